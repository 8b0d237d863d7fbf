/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's counters through rte_telemetry, for dpdk-telemetry.py:
 *     /headgate/shards                 list of shard numbers
 *     /headgate/counters,SHARD,AREA    counters of an area of a shard (shard net net1 ...
 *                                   tcp tls ingest store)
 *     /headgate/volumes                list of names
 *     /headgate/volume,NAME            one volume
 *     /headgate/pool                   capacity and use
 */
#include "devices.h"
#include "node.h"
#include <errno.h>
#include <rte_telemetry.h>
#include <rte_version.h>
#include <stdlib.h>
#include <string.h>

#define SETS_MAX 16

/* rte_telemetry hands no context to its callbacks. */
static struct node *the_node;

static int shards_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    (void)params;
    rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
    for (unsigned i = 0; i < the_node->n_shards; i++)
        rte_tel_data_add_array_int(d, (int)i);
    return 0;
}

/* rte_telemetry names its 64-bit unsigned values differently before and after 23.03. */
static void add_u64(struct rte_tel_data *d, const char *name, uint64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    rte_tel_data_add_dict_uint(d, name, value);
#else
    rte_tel_data_add_dict_u64(d, name, value);
#endif
}

static int counters_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    struct hg_counter_set sets[SETS_MAX];
    char *area;
    unsigned long shard;
    unsigned n;

    (void)cmd;
    if (params == NULL)
        return -EINVAL;
    shard = strtoul(params, &area, 10);
    if (shard >= the_node->n_shards || *area != ',')
        return -EINVAL;
    n = hg_shard_counter_sets(the_node->shards[shard], sets, SETS_MAX);
    for (unsigned s = 0; s < n; s++) {
        if (strcmp(sets[s].area, area + 1) != 0)
            continue;
        rte_tel_data_start_dict(d);
        for (unsigned i = 0; i < sets[s].n; i++)
            add_u64(d, sets[s].desc[i].name, sets[s].value[i]);
        return 0;
    }
    return -ENOENT;
}

static int volumes_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    struct hg_volume_info v;

    (void)cmd;
    (void)params;
    rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
    for (unsigned i = 0; hg_pool_volume(the_node->pool, i, &v); i++)
        if (rte_tel_data_add_array_string(d, v.name) != 0)
            break; /* the answer is full: rte_telemetry's own bound */
    return 0;
}

static int volume_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    struct hg_volume_info v;

    (void)cmd;
    for (unsigned i = 0; params != NULL && hg_pool_volume(the_node->pool, i, &v); i++) {
        if (strcmp(v.name, params) != 0)
            continue;
        rte_tel_data_start_dict(d);
        rte_tel_data_add_dict_string(d, "name", v.name);
        add_u64(d, "size", v.size);
        add_u64(d, "mapped", v.mapped);
        add_u64(d, "durable_seq", v.durable_seq);
        add_u64(d, "epoch", v.epoch);
        rte_tel_data_add_dict_int(d, "shard", v.shard);
        return 0;
    }
    return -ENOENT;
}

static int pool_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    struct hg_pool_info p;

    (void)cmd;
    (void)params;
    hg_pool_info(the_node->pool, &p);
    rte_tel_data_start_dict(d);
    rte_tel_data_add_dict_string(d, "uuid", p.uuid);
    add_u64(d, "devices", p.n_devices);
    add_u64(d, "capacity", p.capacity);
    add_u64(d, "used", p.used);
    add_u64(d, "free", p.free);
    add_u64(d, "segments", p.segments);
    add_u64(d, "segments_free", p.segments_free);
    return 0;
}

static int devices_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    (void)cmd;
    (void)params;
    rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
    for (unsigned i = 0; i < the_node->n_devs; i++)
        rte_tel_data_add_array_string(d, the_node->devs[i]->name);
    return 0;
}

static int device_cb(const char *cmd, const char *params, struct rte_tel_data *d)
{
    uint64_t value[DEVICE_COUNTERS];
    struct hg_counter_set set;

    (void)cmd;
    for (unsigned i = 0; params != NULL && i < the_node->n_devs; i++) {
        if (strcmp(the_node->devs[i]->name, params) != 0)
            continue;
        set = devices_counters(the_node, i, value);
        rte_tel_data_start_dict(d);
        for (unsigned c = 0; c < set.n; c++)
            add_u64(d, set.desc[c].name, set.value[c]);
        return 0;
    }
    return -ENOENT;
}

int telemetry_register(struct node *node)
{
    static const struct {
        const char *cmd;
        telemetry_cb cb;
        const char *help;
    } rows[] = {
        {"/headgate/shards", shards_cb, "Shard numbers."},
        {"/headgate/counters", counters_cb, "Counters. Parameters: shard,area"},
        {"/headgate/volumes", volumes_cb, "Volume names."},
        {"/headgate/volume", volume_cb, "One volume. Parameter: name"},
        {"/headgate/devices", devices_cb, "Names of the pool's devices."},
        {"/headgate/device", device_cb, "Counters of one device. Parameter: name"},
        {"/headgate/pool", pool_cb, "Capacity and use of the pool."},
    };

    the_node = node;
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        int rc = rte_telemetry_register_cmd(rows[i].cmd, rows[i].cb, rows[i].help);

        if (rc != 0 && rc != -EEXIST)
            return rc;
    }
    return 0;
}
