/* SPDX-License-Identifier: BSD-3-Clause */
#include "hist.h"

static unsigned bucket_of(hg_ns t)
{
    unsigned exp;

    if (t < HIST_SUB)
        return (unsigned)t;
    exp = 63u - (unsigned)__builtin_clzll(t) - 5u; /* t >> exp is in [32, 64) */
    if (exp + 2 > HIST_BUCKETS / HIST_SUB)
        return HIST_BUCKETS - 1;
    return exp * HIST_SUB + (unsigned)(t >> exp);
}

/* Upper end of the bucket. */
static hg_ns value_of(unsigned bucket)
{
    unsigned exp;

    if (bucket < 2 * HIST_SUB)
        return bucket;
    exp = bucket / HIST_SUB - 1;
    return ((hg_ns)(bucket % HIST_SUB + HIST_SUB + 1) << exp) - 1;
}

void hist_add(struct hist *h, hg_ns t)
{
    uint64_t *c = &h->count[bucket_of(t)];

    __atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
}

void hist_merge(struct hist *sum, const struct hist *h)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        sum->count[i] += __atomic_load_n(&h->count[i], __ATOMIC_RELAXED);
}

hg_ns hist_quantile(const struct hist *h, uint32_t num, uint32_t den)
{
    uint64_t total = 0, rank, seen = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        total += h->count[i];
    if (total == 0)
        return 0;
    rank = (total * num + den - 1) / den;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->count[i];
        if (seen >= rank)
            return value_of(i);
    }
    return value_of(HIST_BUCKETS - 1);
}

void hist_since(struct hist *out, const struct hist *now, const struct hist *before)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        out->count[i] = now->count[i] - before->count[i];
}
