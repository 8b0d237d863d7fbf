/* SPDX-License-Identifier: BSD-3-Clause */
/* Volumes, counters and the pool as JSON. */
#include "report.h"
#include "devices.h"
#include "netcfg.h"
#include "vault.h"
#include <stdlib.h>
#include <string.h>

#define SETS_MAX 16

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

json_t *report_volumes(struct node *node)
{
    json_t *list = json_array();
    struct hg_volume_info v;

    for (unsigned i = 0; hg_pool_volume(node->pool, i, &v); i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I, s:I, s:I, s:i}", "name", v.name, "size",
                                        (json_int_t)v.size, "mapped", (json_int_t)v.mapped,
                                        "durable_seq", (json_int_t)v.durable_seq, "epoch",
                                        (json_int_t)v.epoch, "shard", v.shard));
    return json_pack("{s:o}", "volumes", list);
}

static void add_set(json_t *areas, const struct hg_counter_set *set)
{
    json_t *area = json_object();

    for (unsigned i = 0; i < set->n; i++)
        json_object_set_new(area, set->desc[i].name, number(set->value[i]));
    json_object_set_new(areas, set->area, area);
}

static void add_help(json_t *help, const struct hg_counter_set *set)
{
    for (unsigned i = 0; i < set->n; i++) {
        char name[128];

        snprintf(name, sizeof name, "%s.%s", set->area, set->desc[i].name);
        json_object_set_new(help, name, json_string(set->desc[i].help));
    }
}

/* What has no counters of its own: a port's hardware, the payload buffers. `value` has room for all. */
#define EXTRA_MAX 8

static struct hg_counter_set port_set(const char *area, const struct hg_port_hw_stats *hw,
                                      uint64_t value[EXTRA_MAX])
{
    static const struct hg_counter_desc desc[] = {
        {"rx_packets", "packets the device received"},
        {"tx_packets", "packets the device sent"},
        {"rx_bytes", "bytes the device received"},
        {"tx_bytes", "bytes the device sent"},
        {"rx_missed", "packets the device dropped because no receive descriptor was free"},
        {"rx_nombuf", "times the device found no packet buffer in the receive pool"},
        {"rx_errors", "packets the device dropped as damaged"},
        {"tx_errors", "packets the device could not send"},
    };

    _Static_assert(HG_ARRAY_LEN(desc) <= EXTRA_MAX, "room for all");
    memcpy(value,
           (const uint64_t[]){hw->rx_packets, hw->tx_packets, hw->rx_bytes, hw->tx_bytes,
                              hw->rx_missed, hw->rx_nombuf, hw->rx_errors, hw->tx_errors},
           sizeof desc / sizeof desc[0] * sizeof value[0]);
    return (struct hg_counter_set){area, desc, value, HG_ARRAY_LEN(desc)};
}

static struct hg_counter_set buffers_set(struct hg_shard *shard, uint64_t value[EXTRA_MAX])
{
    static const struct hg_counter_desc desc[] = {
        {"total", "bytes of payload buffers"},
        {"used", "bytes of them in use now"},
    };

    value[0] = hg_arena_total(hg_shard_arena(shard));
    value[1] = hg_arena_used(hg_shard_arena(shard));
    return (struct hg_counter_set){"buffers", desc, value, HG_ARRAY_LEN(desc)};
}

static struct hg_counter_set table_set(struct hg_shard *shard, uint64_t value[EXTRA_MAX])
{
    static const struct hg_counter_desc desc[] = {
        {"conns", "TCP connections in the table now, in all states"},
        {"time_wait", "of these, in TIME-WAIT"},
    };

    value[0] = hg_tcp_conns(hg_shard_tcp(shard));
    value[1] = hg_tcp_time_waits(hg_shard_tcp(shard));
    return (struct hg_counter_set){"tcp_table", desc, value, HG_ARRAY_LEN(desc)};
}

static struct hg_counter_set handshakes_set(struct hg_shard *shard, uint64_t value[EXTRA_MAX])
{
    static const struct hg_counter_desc desc[] = {
        {"open", "TLS connections whose peer is not known yet, now"},
        {"max", "bound of these ([tls] handshakes-max)"},
        {"out", "handshake steps with the helpers now"},
        {"bytes_max", "bound of the memory that connections whose peer is not known hold, bytes"},
    };
    struct hg_shard_handshakes h = hg_shard_handshakes(shard);

    value[0] = h.open;
    value[1] = h.max;
    value[2] = h.out;
    value[3] = (uint64_t)h.max * HG_TLS_STRANGER_BYTES;
    return (struct hg_counter_set){"handshakes", desc, value, HG_ARRAY_LEN(desc)};
}

/* Memory for secrets, of the whole process. */
static json_t *vault_json(void)
{
    struct vault_info v = vault_info();

    return json_pack("{s:I, s:I}", "mapped", (json_int_t)v.mapped, "unlocked",
                     (json_int_t)v.unlocked);
}

static json_t *port_stats(const struct node_port *p, const char *section, json_t *help)
{
    struct hg_port_hw_stats hw = {0};
    uint64_t value[EXTRA_MAX];
    struct hg_counter_set set;
    json_t *areas = json_object(), *port;

    hg_port_ethdev_stats(p->nic, &hw);
    set = port_set(section, &hw, value);
    add_set(areas, &set);
    add_help(help, &set);
    port = json_incref(json_object_get(areas, section));
    set = hg_port_counter_set(p->port);
    if (set.n != 0) {
        add_set(areas, &set);
        add_help(help, &set);
        json_object_set(port, set.area, json_object_get(areas, set.area));
    }
    json_decref(areas);
    json_object_set_new(port, "section", json_string(section));
    json_object_set_new(port, "name", json_string(p->port->name));
    json_object_set_new(port, "link_up", json_boolean(hw.link_up));
    return port;
}

static json_t *device_stats(struct node *node, unsigned i, json_t *help)
{
    uint64_t value[DEVICE_COUNTERS];
    struct hg_counter_set set = devices_counters(node, i, value);
    json_t *areas = json_object(), *device;

    add_set(areas, &set);
    add_help(help, &set);
    device = json_incref(json_object_get(areas, set.area));
    json_decref(areas);
    json_object_set_new(device, "name", json_string(node->devs[i]->name));
    return device;
}

static json_t *shard_stats(struct hg_shard *shard, json_t *help)
{
    struct hg_counter_set sets[SETS_MAX];
    uint64_t buffers[EXTRA_MAX], table[EXTRA_MAX], handshakes[EXTRA_MAX];
    unsigned n = hg_shard_counter_sets(shard, sets, SETS_MAX - 3);
    json_t *areas = json_object();

    sets[n++] = buffers_set(shard, buffers);
    sets[n++] = table_set(shard, table);
    sets[n++] = handshakes_set(shard, handshakes);
    for (unsigned i = 0; i < n; i++) {
        add_set(areas, &sets[i]);
        add_help(help, &sets[i]);
    }
    return areas;
}

/* What an operator must not overlook. */
static void pool_warning(const struct node *node, json_t *list)
{
    struct hg_pool_info info;
    char text[200];

    hg_pool_info(node->pool, &info);
    if (info.stopped == 0)
        return;
    snprintf(text, sizeof text,
             "%u of %u shards write no more since a device failed a write: see the log and "
             "headgatectl devices, then start the node again",
             info.stopped, node->n_shards);
    json_array_append_new(list, json_string(text));
}

static json_t *warnings(struct node *node)
{
    json_t *list = json_array();
    char text[CFG_TEXT_MAX + 128];

    if (node->cfg.keylog[0] != '\0') {
        snprintf(text, sizeof text, KEYLOG_WARNING, node->cfg.keylog);
        json_array_append_new(list, json_string(text));
    }
    node_tls_warnings(node, list);
    devices_warnings(node, list);
    pool_warning(node, list);
    if (vault_info().unlocked != 0)
        json_array_append_new(list, json_string(VAULT_WARNING));
    return list;
}

json_t *report_stats(struct node *node)
{
    json_t *shards = json_array(), *ports = json_array(), *help = json_object();
    json_t *devices = json_array();

    for (unsigned i = 0; i < node->n_ports; i++)
        json_array_append_new(ports, port_stats(&node->ports[i], netcfg_section(i), help));
    for (unsigned i = 0; i < node->n_devs; i++)
        json_array_append_new(devices, device_stats(node, i, help));
    for (unsigned s = 0; s < node->n_shards; s++)
        json_array_append_new(shards, shard_stats(node->shards[s], help));
    return json_pack("{s:f, s:o, s:o, s:O, s:o, s:o, s:o, s:o}", "uptime_s",
                     (double)(clock_now() - node->started) / 1e9, "warnings", warnings(node),
                     "secrets", vault_json(), "port", json_array_get(ports, 0), "ports", ports,
                     "devices", devices, "shards", shards, "help", help);
}

json_t *report_pool(struct node *node)
{
    struct hg_pool_info p;
    json_t *devices = json_array();

    hg_pool_info(node->pool, &p);
    for (unsigned i = 0; i < node->n_devs; i++)
        json_array_append_new(devices, json_pack("{s:s, s:I}", "name", node->devs[i]->name, "size",
                                                 (json_int_t)node->devs[i]->size));
    return json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "uuid", p.uuid, "devices",
        devices, "stripe_unit", (json_int_t)p.stripe_unit, "chunk", (json_int_t)p.chunk, "capacity",
        (json_int_t)p.capacity, "used", (json_int_t)p.used, "free", (json_int_t)p.free, "segments",
        (json_int_t)p.segments, "segments_free", (json_int_t)p.segments_free, "replay_ns",
        (json_int_t)p.replay_ns, "replay_entries", (json_int_t)p.replay_entries);
}
