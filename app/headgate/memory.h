/* SPDX-License-Identifier: BSD-3-Clause */
/* How much EAL memory a profile takes. */
#ifndef HG_APP_MEMORY_H
#define HG_APP_MEMORY_H

#include "config.h"

/* Bytes that pools and buffers of one shard take. Pages never touched cost nothing. */
uint64_t memory_shard(const struct config *cfg);
/* Bytes that the node takes on its own account. */
#define MEMORY_NODE (UINT64_C(96) << 20)

/* Shards of the profile: CPUs in [cpu] shards. */
unsigned memory_shards(const struct config *cfg);
/* All of it: what [eal] memory says, or else what the profile needs. */
uint64_t memory_total(const struct config *cfg);

#endif /* HG_APP_MEMORY_H */
