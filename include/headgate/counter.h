/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Named counters. An area declares its counters once in an X-macro list of (symbol, sentence):
 *
 *     #define HG_FOO_COUNTERS(X) \
 *         X(rx_bad_crc, "frames whose header CRC did not match") ...
 *     struct hg_foo_counters { HG_FOO_COUNTERS(HG_COUNTER_FIELD) };
 *     static const struct hg_counter_desc foo_desc[] = { HG_FOO_COUNTERS(HG_COUNTER_DESC) };
 *
 * so that struct and table have the same order. Counters belong to one shard and are written by
 * it alone; readers on other threads may see a value that is a few events old.
 */
#ifndef HEADGATE_COUNTER_H
#define HEADGATE_COUNTER_H

#include <stdint.h>

struct hg_counter_desc {
    const char *name; /* lower_case, stable: operators' dashboards use it */
    const char *help; /* one sentence */
};

/* A view of one area's counters: n descriptors and, beside them, n values. */
struct hg_counter_set {
    const char *area; /* "tcp", "tls", ... */
    const struct hg_counter_desc *desc;
    const uint64_t *value;
    unsigned n;
};

#define HG_COUNTER_FIELD(name, help) uint64_t name;
#define HG_COUNTER_DESC(name, help) {#name, help},

#endif /* HEADGATE_COUNTER_H */
