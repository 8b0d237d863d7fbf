/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of the pool as JSON, for `headgatectl devices` and `stats`. The caller owns what is returned. What a kind
 * of device does not have is null. */
#ifndef HG_APP_DEVICE_JSON_H
#define HG_APP_DEVICE_JSON_H

#include "devwatch.h"
#include <headgate/counter.h>
#include <jansson.h>

/* What is known of a device at one time. */
struct device_facts {
    const char *name;
    uint64_t size; /* bytes */
    uint32_t block;
    bool volatile_cache;
    struct hg_bdev_info info;
    struct hg_bdev_load load;
};

json_t *device_json(const struct device_facts *f);
/* The events that are kept, the newest first. */
json_t *device_events_json(const struct devwatch *w, hg_ns now);

/* Counters of one device, for stats and telemetry. */
#define DEVICE_COUNTERS (HG_BDEV_ERRORS + 2)
struct hg_counter_set device_counters(const struct device_facts *f,
                                      uint64_t value[DEVICE_COUNTERS]);

#endif /* HG_APP_DEVICE_JSON_H */
