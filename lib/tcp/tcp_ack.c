/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Step 5 of RFC 9293 3.10.7.4: what the peer acknowledges, what it reports by SACK, and how much it
 * will take.
 */
#include "tcp_priv.h"

#define RTT_TICKS_MAX (1u << 17) /* two minutes of the timestamp clock; more is nonsense */

/* Data or FIN that has not been sent yet. */
static bool has_unsent(const struct hg_tcp_conn *conn)
{
    return (conn->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED ||
           seq_lt(conn->snd_nxt, conn->sndq.end);
}

static void window_changed(struct hg_tcp_conn *conn, uint32_t wnd)
{
    bool opened = wnd > conn->snd_wnd;

    conn->snd_wnd = wnd;
    if (wnd > conn->snd_wnd_max)
        conn->snd_wnd_max = wnd;
    if (!opened)
        return;
    if (conn->flags & TCP_F_PERSIST) {
        /* What does not fit yet starts the probing again, from a short interval. */
        conn->flags &= ~TCP_F_PERSIST;
        conn->rtt.shift = 0;
        tcp_timer_clear(conn, TCP_T_RTX);
    }
    if (has_unsent(conn))
        tcp_output_want(conn);
}

void tcp_ack_window(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    uint32_t wnd = (uint32_t)s->h.wnd << conn->snd_wscale;

    if (seq_lt(conn->snd_wl1, s->h.seq) ||
        (conn->snd_wl1 == s->h.seq && seq_le(conn->snd_wl2, s->h.ack))) {
        conn->snd_wl1 = s->h.seq;
        conn->snd_wl2 = s->h.ack;
        if (unlikely(wnd != conn->snd_wnd))
            window_changed(conn, wnd);
    }
    /* A peer that answers with a closed window is alive (RFC 9293 3.8.6.1, MUST-37) and is waited
     * for, unless nobody here waits any more. */
    if (unlikely(!wnd) && !(conn->flags & TCP_F_RELEASED))
        conn->tries = 0;
}

/* RFC 6298 with Karn's rule: a segment sent once is timed; while something is being sent again,
 * the echoed timestamp tells which copy was acknowledged (RFC 7323 4.1). */
static void measure_rtt(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    hg_ns sample;

    if (conn->rtt_start) {
        if (seq_lt(s->h.ack, conn->rtt_seq))
            return;
        sample = tcp->now - conn->rtt_start;
        conn->rtt_start = 0;
    } else if (conn->flags & TCP_F_TS && s->h.ts_ecr &&
               (conn->rtt.shift || conn->cc.phase != TCP_CC_OPEN)) {
        uint32_t ticks = tcp->ts_now + conn->ts_offset - s->h.ts_ecr;
        if (ticks > RTT_TICKS_MAX)
            return;
        sample = (hg_ns)ticks << HG_WHEEL_SHIFT;
    } else {
        return;
    }
    tcp_rtt_sample(&conn->rtt, sample, tcp->cfg.rto_min, tcp->cfg.rto_max);
}

/* Space in the send buffer came back. WRITABLE at half of it serves a service that keeps the
 * buffer full; once more when it is empty serves one whose next write needs more than half. */
static void check_writable(struct hg_tcp_conn *conn)
{
    uint32_t queued = tcp_sndq_bytes(conn);

    if (conn->flags & TCP_F_SND_LOW && queued <= conn->tcp->cfg.snd_buf / 2) {
        conn->flags &= ~TCP_F_SND_LOW;
        conn->flags |= TCP_F_SND_DRAIN;
        tcp_event(conn, HG_TCP_EV_WRITABLE);
    } else if (conn->flags & TCP_F_SND_DRAIN && !queued) {
        conn->flags &= ~TCP_F_SND_DRAIN;
        tcp_event(conn, HG_TCP_EV_WRITABLE);
    }
}

static bool ack_new(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    uint32_t ack = s->h.ack;
    uint32_t acked = ack - conn->snd_una, flight = conn->snd_nxt - conn->snd_una;

    conn->snd_una = ack;
    tcp_sndq_ack(conn, ack);
    tcp_sack_advance(&conn->sack, ack);
    if (conn->flags & TCP_F_SACK && s->h.n_sack)
        tcp_sack_blocks(&conn->sack, tcp_span(conn), s->h.sack, s->h.n_sack);
    measure_rtt(conn, s);
    conn->tries = 0;
    tcp_ack_window(conn, s);
    tcp_loss_ack(conn, acked, flight);
    if (conn->snd_una == conn->snd_nxt)
        tcp_timer_clear(conn, TCP_T_RTX); /* RFC 6298 5.2 */
    else
        tcp_timer_rtx_restart(conn); /* RFC 6298 5.3 */
    if (conn->flags & (TCP_F_SND_LOW | TCP_F_SND_DRAIN))
        check_writable(conn);
    if (has_unsent(conn) || tcp_sack_any_lost(&conn->sack, ack))
        tcp_output_want(conn);
    if (conn->flags & TCP_F_FIN_SENT && conn->snd_una == conn->snd_nxt)
        return tcp_close_fin_acked(conn);
    return true;
}

/* ACK of SND.UNA while something is in flight. */
static void ack_again(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    uint32_t flight = conn->snd_nxt - conn->snd_una;
    bool dup;

    if (conn->flags & TCP_F_SACK) {
        /* RFC 6675 2: with SACK a duplicate is one that reports something new. */
        dup = s->h.n_sack && tcp_sack_blocks(&conn->sack, tcp_span(conn), s->h.sack, s->h.n_sack);
    } else {
        dup = !s->len && !(s->h.flags & TCP_FIN) &&
              (uint32_t)s->h.wnd << conn->snd_wscale == conn->snd_wnd;
    }
    tcp_ack_window(conn, s);
    if (!dup)
        return;
    conn->tcp->count.dup_acks++;
    if (conn->cc.dupacks < UINT8_MAX)
        conn->cc.dupacks++;
    tcp_loss_ack(conn, 0, flight);
    tcp_output_want(conn);
}

bool tcp_ack_input(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    uint32_t ack = s->h.ack;

    if (unlikely(!(s->h.flags & TCP_ACK))) {
        tcp->count.rx_bad_flags++;
        return false;
    }
    if (likely(ack == conn->snd_una)) {
        if (likely(conn->snd_una == conn->snd_nxt))
            tcp_ack_window(conn, s);
        else
            ack_again(conn, s);
        return true;
    }
    if (seq_gt(ack, conn->snd_una) && seq_le(ack, conn->snd_nxt))
        return ack_new(conn, s);
    /* RFC 5961 5.2: older than any window we were offered, or never sent. */
    if (seq_gt(ack, conn->snd_nxt) || seq_lt(ack, conn->snd_una - conn->snd_wnd_max)) {
        tcp->count.rx_bad_ack++;
        tcp_output_ack_limited(conn, &tcp->count.challenge_acks);
        return false;
    }
    return true; /* an old duplicate: only its text may be of use */
}
