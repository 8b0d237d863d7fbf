/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"
#include <stdlib.h>
#include <string.h>

#define SETS_MAX 16
#define CONNS_MAX 65536

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

static json_t *help_of(const struct hg_shard *shard)
{
    struct hg_counter_set sets[SETS_MAX];
    unsigned n = hg_shard_counter_sets(shard, sets, SETS_MAX);
    json_t *help = json_object();

    for (unsigned s = 0; s < n; s++)
        for (unsigned i = 0; i < sets[s].n; i++) {
            char name[128];

            snprintf(name, sizeof name, "%s.%s", sets[s].area, sets[s].desc[i].name);
            json_object_set_new(help, name, json_string(sets[s].desc[i].help));
        }
    return help;
}

static json_t *port_stats(struct node *node)
{
    struct hg_port_hw_stats hw = {0};

    hg_port_ethdev_stats(node->port, &hw);
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "name", node->port->name,
                     "link_up", hw.link_up, "rx_packets", (json_int_t)hw.rx_packets, "tx_packets",
                     (json_int_t)hw.tx_packets, "rx_bytes", (json_int_t)hw.rx_bytes, "tx_bytes",
                     (json_int_t)hw.tx_bytes, "rx_missed", (json_int_t)hw.rx_missed, "rx_nombuf",
                     (json_int_t)hw.rx_nombuf);
}

json_t *report_stats(struct node *node)
{
    json_t *shards = json_array();

    for (unsigned s = 0; s < node->n_shards; s++) {
        struct hg_counter_set sets[SETS_MAX];
        unsigned n = hg_shard_counter_sets(node->shards[s], sets, SETS_MAX);
        struct hg_arena *arena = hg_shard_arena(node->shards[s]);
        json_t *areas = json_object();

        for (unsigned i = 0; i < n; i++)
            add_set(areas, &sets[i]);
        json_object_set_new(areas, "buffers",
                            json_pack("{s:I, s:I}", "total", (json_int_t)hg_arena_total(arena),
                                      "used", (json_int_t)hg_arena_used(arena)));
        json_array_append_new(shards, areas);
    }
    return json_pack("{s:f, s:o, s:o, s:o}", "uptime_s",
                     (double)(clock_now() - node->started) / 1e9, "port", port_stats(node),
                     "shards", shards, "help", help_of(node->shards[0]));
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

/* ---- connections: copied on the shard's thread, into memory made here ---- */

struct conn_row {
    struct hg_conn_info info;
    char source[HG_TLS_NAME_MAX], suite[64], version[16];
};

struct conns_call {
    struct sync_call sync;
    struct conn_row *rows;
    unsigned n, max;
};

static void conns_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct conns_call *c = HG_CONTAINER_OF(call, struct conns_call, sync.call);
    unsigned cursor = 0;

    (void)now;
    while (c->n < c->max && hg_shard_conn(shard, &cursor, &c->rows[c->n].info)) {
        struct conn_row *row = &c->rows[c->n++];

        snprintf(row->source, sizeof row->source, "%s", row->info.source);
        snprintf(row->suite, sizeof row->suite, "%s", row->info.tls_suite);
        snprintf(row->version, sizeof row->version, "%s", row->info.tls_version);
    }
    atomic_store(&c->sync.done, true);
}

static json_t *session_json(const struct hg_session_info *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "volumes", (json_int_t)s->volumes,
                     "frames", (json_int_t)s->frames, "raw_bytes", (json_int_t)s->raw_bytes,
                     "wire_bytes", (json_int_t)s->wire_bytes, "in_flight", (json_int_t)s->in_flight,
                     "credit_left", (json_int_t)(s->credit_limit - s->credit_spent), "errors",
                     (json_int_t)s->errors, "blocked", s->blocked);
}

static json_t *conn_json(const struct conn_row *row, unsigned shard)
{
    const struct hg_tcp_info *t = &row->info.tcp;
    char ip[HG_IP_STRLEN], peer[64];
    json_t *tcp, *j;

    snprintf(peer, sizeof peer, "%s:%u", hg_ip_str(&t->flow.remote, ip), t->flow.rport);
    tcp = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state",
                    t->state, "srtt_us", (json_int_t)t->srtt_us, "rto_us", (json_int_t)t->rto_us,
                    "cwnd", (json_int_t)t->cwnd, "snd_mss", (json_int_t)t->snd_mss, "rcv_wnd",
                    (json_int_t)t->rcv_wnd, "unread", (json_int_t)t->unread, "ooo",
                    (json_int_t)t->ooo, "unacked", (json_int_t)t->unacked, "bytes_in",
                    (json_int_t)t->bytes_in, "bytes_out", (json_int_t)t->bytes_out, "retransmits",
                    (json_int_t)t->retransmits);
    j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "peer", peer, "source", row->source, "tls",
                  row->version, "suite", row->suite, "shard", (int)shard, "tcp", tcp);
    if (row->info.has_session)
        json_object_set_new(j, "session", session_json(&row->info.session));
    return j;
}

json_t *report_conns(struct node *node)
{
    json_t *list = json_array();

    for (unsigned s = 0; s < node->n_shards; s++) {
        struct conns_call c = {.max = CONNS_MAX};

        if (c.max > node->cfg.connections)
            c.max = (unsigned)node->cfg.connections;
        c.rows = calloc(c.max, sizeof *c.rows);
        if (c.rows == NULL)
            break;
        node_call(node->shards[s], &c.sync, conns_fn);
        for (unsigned i = 0; i < c.n; i++)
            json_array_append_new(list, conn_json(&c.rows[i], s));
        free(c.rows);
    }
    return json_pack("{s:o}", "conns", list);
}
