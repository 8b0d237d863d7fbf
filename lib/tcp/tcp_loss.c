/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss recovery: joins what is known of the peer (tcp_sack.h) with how much may be sent (tcp_cc.h).
 * RFC 6675 with SACK, RFC 6582 without, RFC 5681 and 6298 after a time-out. The data itself is sent
 * by tcp_output.c, which asks the scoreboard what is lost.
 */
#include "tcp_priv.h"

uint32_t tcp_loss_pipe(const struct hg_tcp_conn *conn)
{
    uint32_t pipe = tcp_sack_pipe(&conn->sack, tcp_span(conn));

    if (conn->flags & TCP_F_SACK || conn->cc.phase == TCP_CC_LOSS)
        return pipe;
    /* Each duplicate says that one segment arrived, though not which (RFC 6582 3.2 inflates the
     * window instead). */
    uint32_t arrived = conn->cc.dupacks * tcp_mss(conn);
    return pipe > arrived ? pipe - arrived : 0;
}

static void enter_recovery(struct hg_tcp_conn *conn)
{
    uint32_t mss = tcp_mss(conn);

    tcp_cc_enter_recovery(&conn->cc, conn->snd_nxt - conn->snd_una, conn->snd_nxt, mss);
    tcp_sack_lose_first(&conn->sack, tcp_span(conn), mss);
    conn->flags |= TCP_F_FORCE_RTX;
    conn->tcp->count.fast_retransmits++;
    /* The retransmission gets a full time-out of its own. */
    tcp_timer_rtx_restart(conn);
    tcp_output_want(conn);
}

/* RFC 6582 3.2 step 3: a partial acknowledgement means that the next segment was lost too. */
static void partial_ack(struct hg_tcp_conn *conn, uint32_t acked)
{
    uint32_t mss = tcp_mss(conn), arrived = acked / mss;

    conn->cc.dupacks = conn->cc.dupacks > arrived ? (uint8_t)(conn->cc.dupacks - arrived) : 0;
    tcp_sack_lose_first(&conn->sack, tcp_span(conn), mss);
    conn->flags |= TCP_F_FORCE_RTX;
}

void tcp_loss_ack(struct hg_tcp_conn *conn, uint32_t acked, uint32_t in_flight)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t mss = tcp_mss(conn);
    bool sack = conn->flags & TCP_F_SACK;
    bool left = cc->phase != TCP_CC_OPEN && acked && seq_ge(conn->snd_una, cc->recover);

    if (left)
        tcp_cc_leave(cc);
    if (sack)
        tcp_sack_find_lost(&conn->sack, mss);
    switch (cc->phase) {
    case TCP_CC_OPEN:
        if (acked) {
            cc->dupacks = 0;
            if (!left) /* what recovery itself had delivered earns nothing */
                tcp_cc_ack(cc, acked, in_flight, mss);
        }
        if (conn->snd_una != conn->snd_nxt &&
            (cc->dupacks >= TCP_DUP_THRESH || tcp_sack_any_lost(&conn->sack, conn->snd_una)))
            enter_recovery(conn);
        break;
    case TCP_CC_RECOVERY:
        if (acked && !sack)
            partial_ack(conn, acked);
        break;
    default:
        if (acked)
            tcp_cc_ack(cc, acked, in_flight, mss);
        break;
    }
}

void tcp_loss_timeout(struct hg_tcp_conn *conn)
{
    tcp_cc_timeout(&conn->cc, conn->snd_nxt - conn->snd_una, conn->snd_nxt, tcp_mss(conn),
                   conn->tries == 0);
    tcp_sack_all_lost(&conn->sack, tcp_span(conn));
    conn->flags |= TCP_F_FORCE_RTX;
    conn->tcp->count.rto_retransmits++;
    tcp_rtt_backoff(&conn->rtt);
    tcp_output_want(conn);
}
