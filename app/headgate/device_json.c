/* SPDX-License-Identifier: BSD-3-Clause */
/* See device_json.h. */
#include "device_json.h"

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)(n > INT64_MAX ? INT64_MAX : n));
}

static json_t *text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : json_string(text);
}

/* ---- health ---- */

static json_t *warnings_json(uint8_t bits)
{
    json_t *list = json_array();

    for (unsigned bit = 0; bit < 8; bit++)
        if ((bits >> bit & 1) != 0 && devwatch_warning(bit) != NULL)
            json_array_append_new(list, json_string(devwatch_warning(bit)));
    return list;
}

static json_t *health_json(const struct hg_bdev_info *i)
{
    if (!i->has_health)
        return json_null();
    return json_pack("{s:i, s:o, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "critical_warning",
                     i->critical_warning, "warnings", warnings_json(i->critical_warning),
                     "available_spare", i->available_spare, "spare_threshold", i->spare_threshold,
                     "percentage_used", i->percentage_used, "temperature", i->temperature,
                     "media_errors", number(i->media_errors), "unsafe_shutdowns",
                     number(i->unsafe_shutdowns), "power_on_hours", number(i->power_on_hours),
                     "data_read", number(i->data_read), "data_written", number(i->data_written));
}

/* ---- latencies ---- */

static uint64_t requests(const struct hg_bdev_latency *lat)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++)
        n += lat->bucket[i];
    return n;
}

/* Those that are not empty; the last has no upper bound. */
static json_t *buckets_json(const struct hg_bdev_latency *lat)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++) {
        bool open = i == HG_BDEV_LAT_BUCKETS - 1;

        if (lat->bucket[i] == 0)
            continue;
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "below_ns",
                            open ? json_null() : number(UINT64_C(1) << (i + HG_BDEV_LAT_SHIFT)),
                            "count", number(lat->bucket[i])));
    }
    return list;
}

static json_t *latency_json(const struct hg_bdev_latency *lat)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", number(requests(lat)), "p50_ns",
                     number(hg_bdev_latency_quantile(lat, 0.5)), "p99_ns",
                     number(hg_bdev_latency_quantile(lat, 0.99)), "max_ns", number(lat->max),
                     "buckets", buckets_json(lat));
}

/* ---- all ---- */

static json_t *errors_json(const struct hg_bdev_info *info)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        json_object_set_new(o, devwatch_errors[i].name, number(info->errors[i]));
    return o;
}

json_t *device_json(const struct device_facts *f)
{
    const struct hg_bdev_info *i = &f->info;
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "name", f->name, "kind",
        i->kind, "state", devwatch_state(i->state), "state_text", text_or_null(i->state_text),
        "model", text_or_null(i->model), "serial", text_or_null(i->serial), "firmware",
        text_or_null(i->firmware), "size", number(f->size), "block", number(f->block),
        "volatile_cache", f->volatile_cache, "numa_node",
        i->numa_node < 0 ? json_null() : json_integer(i->numa_node), "health", health_json(i));

    json_object_update_new(
        o, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "access",
                     text_or_null(i->access), "queues", number(f->load.chans), "queues_max",
                     i->queues_max == 0 ? json_null() : number(i->queues_max), "depth",
                     number(f->load.depth), "in_flight", number(f->load.in_flight), "errors",
                     errors_json(i), "latency", "read", latency_json(&f->load.latency[0]), "other",
                     latency_json(&f->load.latency[1])));
    return o;
}

json_t *device_events_json(const struct devwatch *w, hg_ns now)
{
    json_t *list = json_array();
    const struct devwatch_event *e;

    for (unsigned back = 0; (e = devwatch_event(w, back)) != NULL; back++)
        json_array_append_new(list, json_pack("{s:f, s:s, s:s}", "ago_s",
                                              (double)(now - e->at) / 1e9, "level",
                                              e->level == HG_LOG_ERR    ? "error"
                                              : e->level == HG_LOG_WARN ? "warning"
                                                                        : "info",
                                              "text", e->text));
    return list;
}

#define ROW(symbol, name, help) [HG_BDEV_ERR_##symbol] = {"errors_" name, help},

struct hg_counter_set device_counters(const struct device_facts *f, uint64_t value[DEVICE_COUNTERS])
{
    static const struct hg_counter_desc desc[DEVICE_COUNTERS] = {
        DEVWATCH_ERRORS(ROW)[HG_BDEV_ERRORS] = {"reads", "reads that the device has carried out"},
        [HG_BDEV_ERRORS + 1] = {"others",
                                "writes, flushes and the like that the device has carried out"},
    };

    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        value[i] = f->info.errors[i];
    value[HG_BDEV_ERRORS] = requests(&f->load.latency[0]);
    value[HG_BDEV_ERRORS + 1] = requests(&f->load.latency[1]);
    return (struct hg_counter_set){"device", desc, value, DEVICE_COUNTERS};
}
