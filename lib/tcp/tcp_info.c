/* SPDX-License-Identifier: BSD-3-Clause */
/* Seeing inside: names, numbers of a connection, counters. */
#include "tcp_priv.h"

const char *tcp_state_name(unsigned state)
{
    static const char *const names[TCP_ST_COUNT] = {
        [TCP_ST_CLOSED] = "CLOSED",
        [TCP_ST_SYN_SENT] = "SYN-SENT",
        [TCP_ST_SYN_RECEIVED] = "SYN-RECEIVED",
        [TCP_ST_ESTABLISHED] = "ESTABLISHED",
        [TCP_ST_FIN_WAIT_1] = "FIN-WAIT-1",
        [TCP_ST_FIN_WAIT_2] = "FIN-WAIT-2",
        [TCP_ST_CLOSE_WAIT] = "CLOSE-WAIT",
        [TCP_ST_CLOSING] = "CLOSING",
        [TCP_ST_LAST_ACK] = "LAST-ACK",
        [TCP_ST_TIME_WAIT] = "TIME-WAIT",
    };

    return names[state];
}

/* ---- what the sender waits for ---- */

static enum tcp_limit limit_now(const struct hg_tcp_conn *conn)
{
    uint32_t in_flight = conn->snd_nxt - conn->snd_una;

    if (!in_flight && !tcp_sndq_bytes(conn))
        return TCP_L_IDLE;
    if (seq_lt(conn->snd_nxt, conn->sndq.end))
        return conn->snd_wnd < in_flight + tcp_mss(conn) ? TCP_L_RWND : TCP_L_CWND;
    /* All is sent: the service has nothing, or no room to give more. */
    return conn->flags & TCP_F_SND_LOW ? TCP_L_SNDBUF : TCP_L_CWND;
}

void tcp_info_limit(struct hg_tcp_conn *conn)
{
    struct tcp_limits *l = &conn->limits;
    enum tcp_limit limit = limit_now(conn);

    if (limit == l->now)
        return;
    if (l->now != TCP_L_IDLE)
        l->sum[l->now] += conn->tcp->now - l->since;
    l->now = (uint8_t)limit;
    l->since = conn->tcp->now;
}

static uint64_t limited_us(const struct hg_tcp_conn *conn, enum tcp_limit limit)
{
    const struct tcp_limits *l = &conn->limits;
    hg_ns t = l->sum[limit] + (l->now == limit ? conn->tcp->now - l->since : 0);

    return t / 1000;
}

/* ---- numbers of a connection ---- */

static uint32_t to_us(hg_ns t)
{
    return (uint32_t)(t / 1000);
}

static uint32_t ms_since(const struct hg_tcp_conn *conn, hg_ns then)
{
    return then ? (uint32_t)((conn->tcp->now - then) / 1000000) : UINT32_MAX;
}

static const char *ca_state_name(const struct hg_tcp_conn *conn)
{
    static const char *const names[] = {[TCP_CC_OPEN] = "open",
                                        [TCP_CC_CWR] = "cwr",
                                        [TCP_CC_RECOVERY] = "recovery",
                                        [TCP_CC_LOSS] = "loss"};

    return names[conn->cc.phase];
}

static void fill_options(const struct hg_tcp_conn *conn, struct hg_tcp_info *out)
{
    out->timestamps = conn->flags & TCP_F_TS;
    out->sack = conn->flags & TCP_F_SACK;
    out->wscale = conn->flags & TCP_F_WSCALE;
    out->ecn = conn->flags & TCP_F_ECN;
    out->snd_wscale = conn->snd_wscale;
    out->rcv_wscale = conn->rcv_wscale;
    out->cc = conn->cc.ops ? conn->cc.ops->name : tcp_cc_of(&conn->tcp->cfg)->name;
    out->ca_state = ca_state_name(conn);
    out->retries = conn->tries;
    out->probes = conn->probes;
    out->backoff = conn->rtt.shift;
}

static void fill_times(const struct hg_tcp_conn *conn, struct hg_tcp_info *out)
{
    const struct hg_tcp *tcp = conn->tcp;
    hg_ns srtt = conn->rtt.srtt;

    out->srtt_us = to_us(srtt);
    out->rttvar_us = to_us(conn->rtt.var);
    out->rto_us = to_us(tcp_rtt_timeout(&conn->rtt, tcp->cfg.rto_max));
    out->min_rtt_us = to_us(tcp_rack_min_rtt(&conn->rack));
    out->ato_us = to_us(tcp->cfg.delack);
    out->last_data_sent_ms = ms_since(conn, conn->last_tx);
    out->last_recv_ms = ms_since(conn, conn->last_rx);
    out->delivery_rate =
        srtt ? (uint64_t)((double)tcp_cwv_pipeack(&conn->cwv) * 1e9 / (double)srtt) : 0;
    out->rwnd_limited_us = limited_us(conn, TCP_L_RWND);
    out->sndbuf_limited_us = limited_us(conn, TCP_L_SNDBUF);
    out->busy_us = out->rwnd_limited_us + out->sndbuf_limited_us + limited_us(conn, TCP_L_CWND);
}

static void fill_sizes(const struct hg_tcp_conn *conn, struct hg_tcp_info *out)
{
    unsigned headers = hg_ip_is_v4(&conn->flow.remote) ? 40 : 60;
    uint32_t wnd = tcp_budget_window(conn);

    out->cwnd = conn->cc.cwnd;
    out->ssthresh = conn->cc.ssthresh;
    out->snd_mss = conn->snd_mss;
    out->rcv_mss = conn->rcv_mss;
    out->advmss = tcp_segment_mss(conn->tcp, &conn->flow);
    out->pmtu = conn->snd_mss + headers;
    out->rcv_wnd = conn->rcv_adv - conn->rcv_nxt;
    out->snd_wnd = conn->snd_wnd;
    out->rcv_space = wnd > out->rcv_wnd ? wnd : out->rcv_wnd;
}

void hg_tcp_conn_info(const struct hg_tcp_conn *conn, struct hg_tcp_info *out)
{
    bool closed = conn->state == TCP_ST_CLOSED;
    uint32_t queued = tcp_sndq_bytes(conn);
    uint32_t unsent =
        !closed && seq_lt(conn->snd_nxt, conn->sndq.end) ? conn->sndq.end - conn->snd_nxt : 0;

    *out = (struct hg_tcp_info){
        .flow = conn->flow,
        .state = tcp_state_name(conn->state),
        .unread = conn->rxq_bytes,
        .ooo = conn->ooo_bytes,
        .unacked = queued - unsent,
        .unsent = unsent,
        .sacked = conn->sent.sacked,
        .lost = conn->sent.lost,
        .retrans = tcp_sent_again_bytes(&conn->sent),
        .reordering = conn->reorderings,
        .dsack_dups = conn->dsacks,
        .rcv_ooopack = conn->ooo_segs,
        .delivered_ce = conn->ce_echoes,
        .bytes_in = conn->bytes_in,
        .bytes_out = conn->bytes_out,
        .bytes_acked = conn->bytes_out - (queued - unsent),
        .bytes_sent = conn->bytes_sent,
        .bytes_retrans = conn->bytes_sent - conn->bytes_out,
        .segs_in = conn->segs_in,
        .segs_out = conn->segs_out,
        .data_segs_in = conn->data_segs_in,
        .data_segs_out = conn->data_segs_out,
        .retransmits = conn->retransmits,
    };
    fill_options(conn, out);
    fill_times(conn, out);
    fill_sizes(conn, out);
}

const struct hg_flow *hg_tcp_conn_flow(const struct hg_tcp_conn *conn)
{
    return &conn->flow;
}

struct hg_tcp_conn *hg_tcp_conn_walk(struct hg_tcp *tcp, struct hg_tcp_conn *prev)
{
    struct hg_tcp_conn *end = tcp->conns + tcp->conns_used;

    for (struct hg_tcp_conn *c = prev ? prev + 1 : tcp->conns; c < end; c++)
        if (c->flags & TCP_F_IN_USE)
            return c;
    return NULL;
}

uint32_t hg_tcp_conns(const struct hg_tcp *tcp)
{
    return tcp->n_conns;
}

uint32_t hg_tcp_time_waits(const struct hg_tcp *tcp)
{
    return tcp->n_time_wait;
}

struct hg_counter_set hg_tcp_counter_set(const struct hg_tcp *tcp)
{
    static const struct hg_counter_desc desc[] = {HG_TCP_COUNTERS(HG_COUNTER_DESC)};

    _Static_assert(sizeof tcp->count == HG_ARRAY_LEN(desc) * sizeof(uint64_t),
                   "one descriptor for each counter");
    return (struct hg_counter_set){
        .area = "tcp",
        .desc = desc,
        .value = (const uint64_t *)&tcp->count,
        .n = HG_ARRAY_LEN(desc),
    };
}
