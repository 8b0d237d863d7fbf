/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats.h"

_Static_assert(sizeof(struct load_counts) % sizeof(uint64_t) == 0, "counters only");

void stats_merge(struct load_stats *sum, const struct load_stats *s)
{
    const uint64_t *from = (const uint64_t *)&s->n;
    uint64_t *to = (uint64_t *)&sum->n;

    for (unsigned i = 0; i < sizeof s->n / sizeof *from; i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    hist_merge(&sum->latency, &s->latency);
}
