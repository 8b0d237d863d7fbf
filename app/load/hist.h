/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histogram of times with a relative error below 1/32: each power of two is cut into 32 equal
 * buckets. One thread adds; others may read values that are a few events old.
 */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <headgate/base.h>

#define HIST_SUB 32u
#define HIST_BUCKETS (48u * HIST_SUB) /* up to 2^52 ns, 52 days */

struct hist {
    uint64_t count[HIST_BUCKETS];
};

void hist_add(struct hist *h, hg_ns t);
/* sum += h. */
void hist_merge(struct hist *sum, const struct hist *h);
/* Nanoseconds below which a share of num/den of all values lies; 0 when empty. */
hg_ns hist_quantile(const struct hist *h, uint32_t num, uint32_t den);
/* As the difference of two snapshots of the same histogram. */
void hist_since(struct hist *out, const struct hist *now, const struct hist *before);

#endif /* LOAD_HIST_H */
