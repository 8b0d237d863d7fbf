/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing: FIN in both directions, TIME-WAIT, reset, and the service letting go (RFC 9293 3.6,
 * 3.10.4, 3.10.7.4 step 8; RFC 1337; RFC 2525 2.17).
 */
#include "tcp_priv.h"

#include <errno.h>

#define ORPHAN_MSL 4 /* FIN-WAIT-2 that no service waits for ends after so many MSL */

static void enter_time_wait(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_TIME_WAIT);
    conn->state = TCP_ST_TIME_WAIT;
    /* Only the addresses and numbers matter from now on, and what the service has not read. */
    tcp_close_adopt(conn);
    tcp_ooo_drop(conn);
    tcp_sent_reset(&conn->sent, conn->snd_una);
    tcp_budget_release(conn);
    for (unsigned kind = 0; kind < TCP_T_COUNT; kind++)
        tcp_timer_clear(conn, (enum tcp_timer_kind)kind);
    tcp_timer_set(conn, TCP_T_LIFE, tcp->now + 2 * tcp->cfg.msl);
    if (tcp->n_time_wait >= tcp->cfg.time_wait_max) {
        tcp->count.time_wait_recycled++;
        tcp_conn_kill(TAILQ_FIRST(&tcp->time_wait), 0);
    }
    conn->flags |= TCP_F_ON_TIME_WAIT;
    TAILQ_INSERT_TAIL(&tcp->time_wait, conn, wait_link);
    tcp->n_time_wait++;
    tcp_event(conn, HG_TCP_EV_CLOSED);
}

void tcp_close_fin_sent(struct hg_tcp_conn *conn)
{
    uint8_t from = conn->state;

    conn->flags |= TCP_F_FIN_SENT;
    conn->state = conn->state == TCP_ST_CLOSE_WAIT ? TCP_ST_LAST_ACK : TCP_ST_FIN_WAIT_1;
    tcp_trace(conn, TCP_TR_FIN_OUT, conn->sndq.end - conn->iss, 0);
    tcp_trace(conn, TCP_TR_STATE, from, conn->state);
}

bool tcp_close_fin_acked(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    switch (conn->state) {
    case TCP_ST_FIN_WAIT_1:
        tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_FIN_WAIT_2);
        conn->state = TCP_ST_FIN_WAIT_2;
        if (conn->flags & TCP_F_RELEASED)
            tcp_timer_set(conn, TCP_T_LIFE, tcp->now + ORPHAN_MSL * tcp->cfg.msl);
        return true;
    case TCP_ST_CLOSING:
        enter_time_wait(conn);
        return false; /* nothing that follows in the segment matters */
    case TCP_ST_LAST_ACK:
        tcp_conn_kill(conn, 0);
        return false;
    default:
        return true;
    }
}

void tcp_close_fin_received(struct hg_tcp_conn *conn)
{
    tcp_trace(conn, TCP_TR_FIN_IN, conn->rcv_nxt - conn->irs, 0);
    conn->rcv_nxt++;
    conn->rcv_adv = seq_max(conn->rcv_adv, conn->rcv_nxt);
    tcp_ooo_drop(conn); /* nothing follows a FIN */
    tcp_output_ack_now(conn);
    tcp_event(conn, HG_TCP_EV_EOF);
    switch (conn->state) {
    case TCP_ST_ESTABLISHED:
        tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_CLOSE_WAIT);
        conn->state = TCP_ST_CLOSE_WAIT;
        break;
    case TCP_ST_FIN_WAIT_1: /* our FIN is not acknowledged yet, or we would be in FIN-WAIT-2 */
        tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_CLOSING);
        conn->state = TCP_ST_CLOSING;
        break;
    default:
        enter_time_wait(conn);
        break;
    }
}

void tcp_close_time_wait(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    uint8_t flags = s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

    conn->segs_in++;
    if (flags & TCP_RST) {
        tcp->count.rx_rst_ignored++; /* RFC 1337 3: it must not end TIME-WAIT early */
        return;
    }
    if (flags == TCP_SYN) {
        /* A new connection may begin if its numbers cannot be mistaken for the old one's (RFC 9293
         * 3.6.1 MAY-2, RFC 6191 2). */
        bool newer = conn->flags & TCP_F_TS && s->h.has & TCP_HAS_TS
                         ? seq_gt(s->h.ts_val, conn->ts_recent)
                         : seq_gt(s->h.seq, conn->rcv_nxt);
        if (newer) {
            tcp_conn_kill(conn, 0);
            tcp_open_no_conn(tcp, s);
            return;
        }
    }
    if (flags & TCP_FIN && s->h.seq + s->len + 1 == conn->rcv_nxt) {
        tcp_timer_set(conn, TCP_T_LIFE, tcp->now + 2 * tcp->cfg.msl);
        tcp_output_ack_limited(conn, NULL);
        return;
    }
    if (s->len || flags & (TCP_SYN | TCP_FIN)) {
        tcp->count.rx_out_of_window++;
        tcp_output_ack_limited(conn, NULL);
    }
}

void tcp_close_abort(struct hg_tcp_conn *conn, int error)
{
    if (conn->state != TCP_ST_SYN_SENT && conn->state != TCP_ST_TIME_WAIT)
        tcp_segment_rst(conn);
    tcp_conn_kill(conn, error);
}

void tcp_close_release(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    switch (conn->state) {
    case TCP_ST_SYN_SENT:
        tcp_conn_kill(conn, -ECONNABORTED);
        return;
    case TCP_ST_TIME_WAIT:
        tcp_rxq_drop(conn);
        return;
    default:
        break;
    }
    if (conn->rxq_bytes || conn->ooo_bytes) {
        tcp_close_abort(conn, -ECONNABORTED);
        return;
    }
    if (tcp->n_orphans >= tcp->cfg.orphans_max) {
        tcp->count.orphans_reset++;
        tcp_close_abort(conn, -ECONNABORTED);
        return;
    }
    tcp->n_orphans++;
    conn->is_orphan = true;
    conn->flags |= TCP_F_FIN_QUEUED;
    if (conn->state == TCP_ST_FIN_WAIT_2)
        tcp_timer_set(conn, TCP_T_LIFE, tcp->now + ORPHAN_MSL * tcp->cfg.msl);
    else
        tcp_output_want(conn);
}
