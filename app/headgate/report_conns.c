/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections as JSON: copied on the shard's thread into memory made here. A field of struct hg_tcp_info is
 * one row of a table. */
#include "report.h"
#include <errno.h>
#include <headgate/units.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CONNS_MAX 65536

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

/* ---- struct hg_tcp_info ---- */

enum kind { TEXT, YESNO, NUMBER };

struct tcp_field {
    const char *name;
    enum kind kind;
    size_t at, size; /* NUMBER: an unsigned integer of 1, 2, 4 or 8 bytes */
};

#define FIELD(kind, name)                                                                          \
    {                                                                                              \
#name, kind, offsetof(struct hg_tcp_info, name), sizeof((struct hg_tcp_info *)0)->name     \
    }

static const struct tcp_field tcp_fields[] = {
    FIELD(TEXT, state),
    FIELD(TEXT, ca_state),
    FIELD(TEXT, cc),
    FIELD(YESNO, timestamps),
    FIELD(YESNO, sack),
    FIELD(YESNO, wscale),
    FIELD(YESNO, ecn),
    FIELD(NUMBER, retries),
    FIELD(NUMBER, probes),
    FIELD(NUMBER, backoff),
    FIELD(NUMBER, snd_wscale),
    FIELD(NUMBER, rcv_wscale),
    FIELD(NUMBER, srtt_us),
    FIELD(NUMBER, rttvar_us),
    FIELD(NUMBER, rto_us),
    FIELD(NUMBER, min_rtt_us),
    FIELD(NUMBER, ato_us),
    FIELD(NUMBER, rcv_rtt_us),
    FIELD(NUMBER, cwnd),
    FIELD(NUMBER, ssthresh),
    FIELD(NUMBER, snd_mss),
    FIELD(NUMBER, rcv_mss),
    FIELD(NUMBER, advmss),
    FIELD(NUMBER, pmtu),
    FIELD(NUMBER, rcv_wnd),
    FIELD(NUMBER, snd_wnd),
    FIELD(NUMBER, rcv_space),
    FIELD(NUMBER, unread),
    FIELD(NUMBER, ooo),
    FIELD(NUMBER, unacked),
    FIELD(NUMBER, unsent),
    FIELD(NUMBER, sacked),
    FIELD(NUMBER, lost),
    FIELD(NUMBER, retrans),
    FIELD(NUMBER, last_data_sent_ms),
    FIELD(NUMBER, last_recv_ms),
    FIELD(NUMBER, reordering),
    FIELD(NUMBER, dsack_dups),
    FIELD(NUMBER, rcv_ooopack),
    FIELD(NUMBER, delivered_ce),
    FIELD(NUMBER, delivery_rate),
    FIELD(NUMBER, busy_us),
    FIELD(NUMBER, rwnd_limited_us),
    FIELD(NUMBER, sndbuf_limited_us),
    FIELD(NUMBER, bytes_in),
    FIELD(NUMBER, bytes_out),
    FIELD(NUMBER, bytes_acked),
    FIELD(NUMBER, bytes_sent),
    FIELD(NUMBER, bytes_retrans),
    FIELD(NUMBER, segs_in),
    FIELD(NUMBER, segs_out),
    FIELD(NUMBER, data_segs_in),
    FIELD(NUMBER, data_segs_out),
    FIELD(NUMBER, retransmits),
};

static json_int_t number_at(const char *at, size_t size)
{
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (size) {
    case sizeof v8:
        memcpy(&v8, at, sizeof v8);
        return v8;
    case sizeof v16:
        memcpy(&v16, at, sizeof v16);
        return v16;
    case sizeof v32:
        memcpy(&v32, at, sizeof v32);
        return v32;
    default:
        memcpy(&v64, at, sizeof v64);
        return (json_int_t)v64;
    }
}

static json_t *field_json(const struct hg_tcp_info *t, const struct tcp_field *f)
{
    const char *at = (const char *)t + f->at;

    if (f->kind == TEXT)
        return json_string(*(const char *const *)(const void *)at);
    return f->kind == YESNO ? json_boolean(*(const bool *)at)
                            : json_integer(number_at(at, f->size));
}

static json_t *tcp_json(const struct hg_tcp_info *t)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < HG_ARRAY_LEN(tcp_fields); i++)
        json_object_set_new(o, tcp_fields[i].name, field_json(t, &tcp_fields[i]));
    return o;
}

/* ---- a connection ---- */

static json_t *session_json(const struct hg_session_info *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "volumes", (json_int_t)s->volumes,
                     "frames", (json_int_t)s->frames, "raw_bytes", (json_int_t)s->raw_bytes,
                     "wire_bytes", (json_int_t)s->wire_bytes, "in_flight", (json_int_t)s->in_flight,
                     "credit_left", (json_int_t)(s->credit_limit - s->credit_spent), "errors",
                     (json_int_t)s->errors, "blocked", s->blocked);
}

/* "192.0.2.1:1500", "[2001:db8::1]:1500" */
static void address_text(const struct hg_ip *ip, uint16_t port, char *buf, size_t size)
{
    char text[HG_IP_STRLEN];

    snprintf(buf, size, hg_ip_is_v4(ip) ? "%s:%u" : "[%s]:%u", hg_ip_str(ip, text), port);
}

static json_t *conn_json(const struct conn_row *row, unsigned shard)
{
    const struct hg_tcp_info *t = &row->info.tcp;
    char local[64], peer[64];
    json_t *j;

    address_text(&t->flow.local, t->flow.lport, local, sizeof local);
    address_text(&t->flow.remote, t->flow.rport, peer, sizeof peer);
    j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "local", local, "peer", peer,
                  "service", row->info.service, "source", row->source, "tls", row->version, "suite",
                  row->suite, "shard", (int)shard, "tcp", tcp_json(t));
    if (row->info.has_session)
        json_object_set_new(j, "session", session_json(&row->info.session));
    return j;
}

json_t *report_conns(struct node *node)
{
    json_t *list = json_array();

    for (unsigned s = 0; s < node->n_shards; s++) {
        struct conns_call c = {.max = CONNS_MAX};

        if (c.max > node->cfg.connections + node->cfg.test_conns)
            c.max = (unsigned)(node->cfg.connections + node->cfg.test_conns);
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

/* ---- the trace of one ---- */

struct trace_call {
    struct sync_call sync;
    struct hg_ip ip; /* of the peer, */
    uint16_t port;
    bool found;
    hg_ns now;
    unsigned n;
    struct hg_tcp_trace rows[HG_TCP_TRACE_MAX];
};

static void trace_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct trace_call *c = HG_CONTAINER_OF(call, struct trace_call, sync.call);
    struct hg_tcp *tcp = hg_shard_tcp(shard);
    struct hg_tcp_conn *conn = hg_tcp_conn_walk(tcp, NULL);

    c->now = now;
    for (; conn != NULL && !c->found; conn = hg_tcp_conn_walk(tcp, conn)) {
        const struct hg_flow *flow = hg_tcp_conn_flow(conn);

        c->found = flow->rport == c->port && hg_ip_equal(&flow->remote, &c->ip);
        if (c->found)
            c->n = hg_tcp_conn_trace(conn, c->rows, HG_TCP_TRACE_MAX);
    }
    atomic_store(&c->sync.done, true);
}

/* What address_text() wrote. */
static int parse_peer(const char *text, struct trace_call *c)
{
    char ip[HG_IP_STRLEN + 2];
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    uint64_t port;

    if (len == 0 || len >= sizeof ip || hg_units_count(colon + 1, &port) != 0 || port > UINT16_MAX)
        return -EINVAL;
    memcpy(ip, text, len);
    ip[len] = '\0';
    c->port = (uint16_t)port;
    if (ip[0] != '[')
        return hg_ip_parse(ip, &c->ip);
    ip[len - 1] = '\0'; /* the bracket */
    return hg_ip_parse(ip + 1, &c->ip);
}

static json_t *trace_json(const struct trace_call *c, const char *peer)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < c->n; i++) {
        const struct hg_tcp_trace *t = &c->rows[i];

        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:s, s:i}", "ago_us",
                                        (json_int_t)((c->now - t->time) / HG_US(1)), "what",
                                        t->what, "detail", t->detail, "times", (int)t->times));
    }
    return json_pack("{s:s, s:o}", "peer", peer, "trace", list);
}

json_t *report_trace(struct node *node, const char *peer)
{
    struct trace_call c = {.found = false};

    if (parse_peer(peer, &c) != 0)
        return json_pack("{s:s}", "error",
                         "write the peer as `headgatectl conns` does, like 192.0.2.2:40000");
    for (unsigned s = 0; s < node->n_shards && !c.found; s++)
        node_call(node->shards[s], &c.sync, trace_fn);
    return c.found ? trace_json(&c, peer)
                   : json_pack("{s:s}", "error", "there is no connection with this peer");
}
