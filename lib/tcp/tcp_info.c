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

static uint32_t to_us(hg_ns t)
{
    return (uint32_t)(t / 1000);
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
        .srtt_us = to_us(conn->rtt.srtt),
        .rttvar_us = to_us(conn->rtt.var),
        .rto_us = to_us(tcp_rtt_timeout(&conn->rtt, conn->tcp->cfg.rto_max)),
        .cwnd = conn->cc.cwnd,
        .ssthresh = conn->cc.ssthresh,
        .snd_mss = conn->snd_mss,
        .rcv_wnd = conn->rcv_adv - conn->rcv_nxt,
        .snd_wnd = conn->snd_wnd,
        .unread = conn->rxq_bytes,
        .ooo = conn->ooo_bytes,
        .unacked = queued - unsent,
        .unsent = unsent,
        .bytes_in = conn->bytes_in,
        .bytes_out = conn->bytes_out,
        .segs_in = conn->segs_in,
        .segs_out = conn->segs_out,
        .retransmits = conn->retransmits,
    };
}

const struct hg_flow *hg_tcp_conn_flow(const struct hg_tcp_conn *conn)
{
    return &conn->flow;
}

struct hg_tcp_conn *hg_tcp_conn_walk(struct hg_tcp *tcp, struct hg_tcp_conn *prev)
{
    struct hg_tcp_conn *end = tcp->conns + tcp->cfg.conns_max;

    for (struct hg_tcp_conn *c = prev ? prev + 1 : tcp->conns; c < end; c++)
        if (c->flags & TCP_F_IN_USE)
            return c;
    return NULL;
}

uint32_t hg_tcp_conns(const struct hg_tcp *tcp)
{
    return tcp->n_conns;
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
