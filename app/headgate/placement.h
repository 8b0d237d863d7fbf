/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether devices and the cores that work with them stand on the same NUMA node. Pure; the daemon fills it from
 * EAL and libnuma (place.c), `headgatectl doctor` from /sys.
 */
#ifndef HG_APP_PLACEMENT_H
#define HG_APP_PLACEMENT_H

#include <stdint.h>

#define PLACEMENT_NODES 64

struct placement_dev {
    const char *what; /* "port", "device" */
    const char *name;
    int node; /* -1: not told, or on none; nothing is said about it */
};

struct placement_shard {
    unsigned cpu;
    int node; /* -1: not told, or not bound to a CPU */
};

struct placement {
    const struct placement_dev *devs;
    const struct placement_shard *shards; /* in the order of [cpu] shards */
    unsigned n_devs, n_shards;
    const uint8_t (*distance)[PLACEMENT_NODES]; /* ACPI SLIT, 10 is local; NULL, or 0: not told */
};

/* One sentence for each device that shards of another node work with: its number and the sentence, which stays
 * valid during the call. */
typedef void placement_fn(void *arg, unsigned dev, const char *sentence);

/* Tells every crossing; returns how many there are. With one node there is none. */
unsigned placement_judge(const struct placement *p, placement_fn *tell, void *arg);

#endif /* HG_APP_PLACEMENT_H */
