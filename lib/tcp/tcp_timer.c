/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers of a connection. Each kind has a deadline in the connection; the wheel holds one timer per
 * connection, set to the earliest of them or before it. Moving a deadline later is a store; when
 * the wheel fires too early for it, the timer is set again. So a connection in full flow arms the
 * wheel about once per delayed-ACK interval instead of twice per segment.
 *
 *   TCP_T_RTX     handshake: SYN again; data in flight: RTO; TCP_F_PERSIST: window probe
 *   TCP_T_LOSS    reordering timer or tail loss probe (tcp_loss.c)
 *   TCP_T_DELACK  delayed ACK
 *   TCP_T_LIFE    handshake: its end; TIME-WAIT: 2 MSL; FIN-WAIT-2 without service: its end;
 *                 else keep-alive
 *   TCP_T_RETRY   a packet pool was empty: try to send again
 */
#include "tcp_priv.h"

#include <errno.h>

#define BATCH 64
#define KEEPALIVE_PROBES 5

static void arm(struct hg_tcp_conn *conn, hg_ns deadline)
{
    if (conn->armed_at && conn->armed_at <= deadline)
        return;
    conn->armed_at = deadline;
    hg_wheel_arm(&conn->tcp->wheel, &conn->timer, deadline);
}

void tcp_timer_set(struct hg_tcp_conn *conn, enum tcp_timer_kind kind, hg_ns deadline)
{
    conn->deadline[kind] = deadline;
    arm(conn, deadline);
}

void tcp_timer_rtx_restart(struct hg_tcp_conn *conn)
{
    conn->flags &= ~TCP_F_PERSIST;
    tcp_timer_set(conn, TCP_T_RTX,
                  conn->tcp->now + tcp_rtt_timeout(&conn->rtt, conn->tcp->cfg.rto_max));
}

void tcp_timer_rtx_start(struct hg_tcp_conn *conn)
{
    if (!conn->deadline[TCP_T_RTX] || conn->flags & TCP_F_PERSIST)
        tcp_timer_rtx_restart(conn);
}

/* RFC 9293 3.8.3 R2: the peer has been silent for too many time-outs. */
static bool give_up(struct hg_tcp_conn *conn, uint64_t *counter)
{
    (*counter)++;
    tcp_conn_kill(conn, conn->soft_error ? conn->soft_error : -ETIMEDOUT);
    return false;
}

static bool expire_syn(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->tries >= tcp->cfg.syn_retries)
        return give_up(conn, &tcp->count.handshake_timeouts);
    conn->tries++;
    tcp_rtt_backoff(&conn->rtt);
    conn->flags |= TCP_F_SYN_DUE;
    tcp->count.retrans_segs++;
    tcp_output_want(conn);
    return true;
}

/* R2 of RFC 9293 3.8.3, as a time if there is a user timeout, else as a count. */
static bool is_hopeless(const struct hg_tcp_conn *conn)
{
    if (conn->uto_s)
        return conn->tcp->now - conn->progress >= HG_SEC(conn->uto_s);
    return conn->tries >= conn->tcp->cfg.retries;
}

static bool expire_persist(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (is_hopeless(conn))
        return give_up(conn, &tcp->count.dead_peers);
    conn->tries += conn->tries < UINT8_MAX;
    tcp_rtt_backoff(&conn->rtt);
    conn->flags &= ~TCP_F_PERSIST;
    if (conn->snd_wnd) {
        conn->flags |= TCP_F_FORCE_DATA; /* RFC 9293 3.8.6.2.1, the override time-out */
    } else {
        conn->flags |= TCP_F_PROBE_DUE;
        tcp->count.zero_window_probes++;
        tcp_trace(conn, TCP_TR_PERSIST, conn->tries, 0);
    }
    tcp_output_want(conn);
    return true;
}

static bool expire_rtx(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->state == TCP_ST_SYN_SENT || conn->state == TCP_ST_SYN_RECEIVED)
        return expire_syn(conn);
    if (conn->flags & TCP_F_PERSIST)
        return expire_persist(conn);
    if (conn->snd_una == conn->snd_nxt)
        return true;
    if (is_hopeless(conn))
        return give_up(conn, &tcp->count.dead_peers);
    tcp_loss_timeout(conn);
    conn->tries += conn->tries < UINT8_MAX;
    return true;
}

static bool expire_keepalive(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    hg_ns idle = tcp->cfg.keepalive_idle;

    if (tcp->now - conn->last_rx < idle) {
        conn->probes = 0;
        tcp_timer_set(conn, TCP_T_LIFE, conn->last_rx + idle);
        return true;
    }
    if (!conn->deadline[TCP_T_RTX]) { /* else that timer finds out */
        if (conn->probes >= KEEPALIVE_PROBES) {
            tcp->count.dead_peers++;
            tcp_close_abort(conn, conn->soft_error ? conn->soft_error : -ETIMEDOUT);
            return false;
        }
        conn->probes++;
        conn->flags |= TCP_F_PROBE_DUE;
        tcp->count.keepalives++;
        tcp_trace(conn, TCP_TR_KEEPALIVE, conn->probes, 0);
        tcp_output_want(conn);
    }
    tcp_timer_set(conn, TCP_T_LIFE, tcp->now + idle / KEEPALIVE_PROBES);
    return true;
}

static bool expire_life(struct hg_tcp_conn *conn)
{
    switch (conn->state) {
    case TCP_ST_SYN_SENT:
    case TCP_ST_SYN_RECEIVED:
        return give_up(conn, &conn->tcp->count.handshake_timeouts);
    case TCP_ST_TIME_WAIT:
        tcp_conn_kill(conn, 0);
        return false;
    case TCP_ST_FIN_WAIT_2:
        if (conn->flags & TCP_F_RELEASED) {
            tcp_conn_kill(conn, 0);
            return false;
        }
        break;
    default:
        break;
    }
    return expire_keepalive(conn);
}

/* False: conn is gone. */
static bool expire(struct hg_tcp_conn *conn, enum tcp_timer_kind kind)
{
    switch (kind) {
    case TCP_T_RTX:
        return expire_rtx(conn);
    case TCP_T_LIFE:
        return expire_life(conn);
    case TCP_T_LOSS:
        tcp_loss_timer(conn);
        return true;
    case TCP_T_DELACK:
        tcp_output_ack_now(conn);
        return true;
    default:
        tcp_output_want(conn);
        return true;
    }
}

static void fire(struct hg_tcp_conn *conn)
{
    hg_ns now = conn->tcp->now;

    conn->armed_at = 0;
    for (unsigned kind = 0; kind < TCP_T_COUNT; kind++) {
        if (!conn->deadline[kind] || conn->deadline[kind] > now)
            continue;
        conn->deadline[kind] = 0;
        if (!expire(conn, (enum tcp_timer_kind)kind))
            return;
    }
    for (unsigned kind = 0; kind < TCP_T_COUNT; kind++)
        if (conn->deadline[kind])
            arm(conn, conn->deadline[kind]);
}

void tcp_timer_poll(struct hg_tcp *tcp)
{
    struct hg_timer *out[BATCH];
    unsigned n;

    /* Handling one connection's timers ends at most that connection, so the others in the batch
     * stay valid. */
    do {
        n = hg_wheel_advance(&tcp->wheel, tcp->now, out, BATCH);
        for (unsigned i = 0; i < n; i++)
            fire(HG_CONTAINER_OF(out[i], struct hg_tcp_conn, timer));
    } while (n == BATCH);
}
