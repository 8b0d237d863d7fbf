/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Direct calls or jobs: which of the two the ipsec-mb provider uses, for each algorithm, told or measured.
 */
#ifndef HEADGATE_TLS_AEAD_CHOOSE_H
#define HEADGATE_TLS_AEAD_CHOOSE_H

#include "tls_aead.h"

/* What was measured; shown to operators. In the order of HG_TLS_BATCH_COUNTERS. */
struct hg_tls_batch_counters {
    HG_TLS_BATCH_COUNTERS(HG_COUNTER_FIELD)
};

/* Sets e->jobs, and *out to what it found. With HG_TLS_BATCH_AUTO it opens some records both ways, by
 * `clock`; jobs are chosen where they save a fiftieth, so that two equals are not decided by chance. 0
 * or -ENOMEM, then direct calls stay. */
int hg_tls_aead_choose(struct hg_tls_engine *e, enum hg_tls_batch batch, hg_tls_clock clock,
                       struct hg_tls_batch_counters *out);

#endif /* HEADGATE_TLS_AEAD_CHOOSE_H */
