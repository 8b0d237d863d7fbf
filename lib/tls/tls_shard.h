/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HEADGATE_TLS_SHARD_H
#define HEADGATE_TLS_SHARD_H

#include "tls_aead_choose.h"

struct hg_tls_shard {
    struct hg_tls_engine engine;
    struct hg_tls_counters counters; /* written by the shard's thread alone */
    struct hg_tls_batch_counters batch;
};

#endif /* HEADGATE_TLS_SHARD_H */
