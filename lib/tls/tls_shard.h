/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HEADGATE_TLS_SHARD_H
#define HEADGATE_TLS_SHARD_H

#include "tls_aead.h"

struct hg_tls_shard {
    struct hg_tls_engine engine;
    struct hg_tls_counters counters; /* written by the shard's thread alone */
};

#endif /* HEADGATE_TLS_SHARD_H */
