/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a window a connection can make use of: the receive buffer grows with the measured product
 * of bandwidth and delay ("dynamic right-sizing", Fisk and Feng 2001; Linux does the same).
 *
 * Once per round-trip time the bytes that the service has read in it are counted. A sender in slow
 * start sends twice as much in the next, so rcv_space becomes twice that and some segments; as long
 * as the count grows it is doubled again, since a measurement does not begin where a flight does.
 * What a slow service leaves unread does not count: a larger window would only fill memory. When far
 * less is read, rcv_space falls slowly. tcp_budget.c decides how much of it is promised, and what was
 * promised stays (RFC 9293 3.8.6: the right edge never moves left).
 *
 * The receiver's round-trip time: of the handshake at first; then, once per measurement, of a segment
 * that echoes our timestamp; and at most the time until data arrives from beyond the right edge
 * noted before, which the peer could not send without an answer of ours.
 */
#include "tcp_priv.h"

#define RTT_TICKS_MAX (1u << 17) /* two minutes of the timestamp clock; more is nonsense */
#define MARGIN_SEGS 16
#define LONG_PERIOD 4 /* round-trip times; then the count is scaled down to one */

static uint32_t initial(const struct hg_tcp *tcp)
{
    return tcp->cfg.init_rcv_wnd < tcp->cfg.rcv_low ? tcp->cfg.rcv_low : tcp->cfg.init_rcv_wnd;
}

void tcp_space_init(struct hg_tcp_conn *conn)
{
    conn->rcv_space = initial(conn->tcp);
}

static void next_period(struct hg_tcp_conn *conn, uint32_t read_to, uint32_t count)
{
    conn->space_seq = read_to;
    conn->space_last = count;
    conn->space_at = conn->tcp->now;
    conn->flags |= TCP_F_RCV_RTT;
}

void tcp_space_start(struct hg_tcp_conn *conn)
{
    conn->rcv_rtt = conn->rtt.srtt;
    conn->space_edge = conn->rcv_adv;
    conn->space_edge_at = conn->tcp->now;
    next_period(conn, conn->rcv_nxt, 0);
}

void tcp_space_sample(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    uint32_t ticks = conn->tcp->ts_now + conn->ts_offset - s->h.ts_ecr;

    conn->flags &= ~TCP_F_RCV_RTT;
    if (!(conn->flags & TCP_F_TS) || !s->h.ts_ecr || ticks > RTT_TICKS_MAX)
        return;
    hg_ns sample = (hg_ns)(ticks ? ticks : 1) << HG_WHEEL_SHIFT;
    /* A pause of the sender is in it as well, so it counts little upwards. */
    if (!conn->rcv_rtt || sample < conn->rcv_rtt)
        conn->rcv_rtt = sample;
    else
        conn->rcv_rtt += (sample - conn->rcv_rtt) / 8;
}

static void check_edge(struct hg_tcp_conn *conn)
{
    hg_ns now = conn->tcp->now;

    if (!seq_gt(conn->rcv_nxt, conn->space_edge))
        return;
    hg_ns sample = now - conn->space_edge_at;
    if (!conn->rcv_rtt || sample < conn->rcv_rtt)
        conn->rcv_rtt = sample ? sample : 1;
    conn->space_edge = conn->rcv_adv;
    conn->space_edge_at = now;
}

static void resize(struct hg_tcp_conn *conn, uint64_t count)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint64_t want = 2 * count + (uint64_t)MARGIN_SEGS * conn->rcv_mss;

    if (count > conn->space_last + conn->space_last / 4)
        want *= 2;
    if (want > tcp->cfg.rcv_buf)
        want = tcp->cfg.rcv_buf;
    if (want > conn->rcv_space)
        conn->rcv_space = (uint32_t)want;
    else if (want < conn->rcv_space / 2 && conn->rcv_space > initial(tcp))
        conn->rcv_space -= (conn->rcv_space - initial(tcp)) / 16;
}

void tcp_space_consumed(struct hg_tcp_conn *conn)
{
    uint32_t read_to = conn->rcv_nxt - conn->rxq_bytes;
    hg_ns period = conn->tcp->now - conn->space_at;
    uint64_t count = read_to - conn->space_seq;

    check_edge(conn);
    if (!conn->rcv_rtt || period < conn->rcv_rtt)
        return;
    if (period > LONG_PERIOD * conn->rcv_rtt)
        count = (uint64_t)((double)count * (double)conn->rcv_rtt / (double)period);
    resize(conn, count);
    next_period(conn, read_to, (uint32_t)count);
}
