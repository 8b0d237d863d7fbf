/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Step 5 of RFC 9293 3.10.7.4: what the peer acknowledges, what it reports by SACK, and how much it
 * will take.
 */
#include "tcp_priv.h"

/* Data or FIN that has not been sent yet. */
static bool has_unsent(const struct hg_tcp_conn *conn)
{
    return (conn->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED ||
           seq_lt(conn->snd_nxt, conn->sndq.end);
}

static void window_changed(struct hg_tcp_conn *conn, uint32_t wnd)
{
    bool opened = wnd > conn->snd_wnd, was_closed = !conn->snd_wnd;

    if (!wnd)
        tcp_trace(conn, TCP_TR_PEER_WND_CLOSED, conn->snd_nxt - conn->snd_una, 0);
    else if (!conn->snd_wnd)
        tcp_trace(conn, TCP_TR_PEER_WND_OPENED, wnd, 0);
    conn->snd_wnd = wnd;
    if (wnd > conn->snd_wnd_max)
        conn->snd_wnd_max = wnd;
    if (!opened)
        return;
    if (was_closed)
        tcp_loss_window_opened(conn);
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
    if (unlikely(!wnd) && !(conn->flags & TCP_F_RELEASED)) {
        conn->tries = 0;
        conn->progress = conn->tcp->now;
    }
}

/* Half is free; or an eighth, and all was sent: the buffer is what holds the sender back. */
static bool is_writable(struct hg_tcp_conn *conn, uint32_t queued)
{
    uint32_t limit = tcp_sndq_limit(conn);

    return queued <= limit / 2 || (conn->snd_nxt == conn->sndq.end && queued <= limit / 8 * 7);
}

/* Space in the send buffer came back. The first WRITABLE serves a service that keeps the buffer
 * full; once more when it is empty serves one whose next write needs more than that. */
static void check_writable(struct hg_tcp_conn *conn)
{
    uint32_t queued = tcp_sndq_bytes(conn);

    if (conn->flags & TCP_F_SND_LOW && is_writable(conn, queued)) {
        conn->flags &= ~TCP_F_SND_LOW;
        conn->flags |= TCP_F_SND_DRAIN;
        tcp_event(conn, HG_TCP_EV_WRITABLE);
    } else if (conn->flags & TCP_F_SND_DRAIN && !queued) {
        conn->flags &= ~TCP_F_SND_DRAIN;
        tcp_event(conn, HG_TCP_EV_WRITABLE);
    }
}

/* RFC 2883 4: the first block reports a duplicate if it lies below the acknowledgement, or within
 * the second block. Returns its bytes. */
static uint32_t find_dsack(const struct hg_tcp_conn *conn, const struct tcp_hdr *h)
{
    const struct tcp_block *b = h->sack;
    bool below = seq_le(b[0].hi, h->ack);
    bool within = h->n_sack > 1 && seq_ge(b[0].lo, b[1].lo) && seq_le(b[0].hi, b[1].hi);

    if (!seq_lt(b[0].lo, b[0].hi) || !(below || within) ||
        seq_lt(b[0].lo, conn->snd_una - conn->snd_wnd_max))
        return 0;
    conn->tcp->count.rx_dsack++;
    return b[0].hi - b[0].lo;
}

static void take_sack(struct hg_tcp_conn *conn, const struct tcp_seg *s, struct tcp_ack_event *ev)
{
    if (!(conn->flags & TCP_F_SACK) || !s->h.n_sack)
        return;
    ev->dsack = find_dsack(conn, &s->h);
    ev->dsack_end = s->h.sack[0].hi;
    for (unsigned i = ev->dsack != 0; i < s->h.n_sack; i++)
        tcp_sent_sack(&conn->sent, s->h.sack[i], &ev->d);
}

static struct tcp_ack_event begin_event(const struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    return (struct tcp_ack_event){
        .d.fack = conn->sent.fack,
        .ece = (conn->flags & TCP_F_ECN) && (s->h.flags & TCP_ECE),
        .has_echo = (conn->flags & TCP_F_TS) && s->h.ts_ecr,
        .echo = s->h.ts_ecr,
    };
}

/* RFC 6298 5.2 and 5.3, and the probe instead of the time-out (RFC 8985 7.2). */
static void restart_timers(struct hg_tcp_conn *conn)
{
    if (conn->snd_una == conn->snd_nxt) {
        tcp_timer_clear(conn, TCP_T_RTX);
        tcp_timer_clear(conn, TCP_T_LOSS);
        conn->reo_armed = false;
        return;
    }
    if (!conn->reo_armed)
        tcp_timer_clear(conn, TCP_T_LOSS);
    tcp_timer_rtx_restart(conn);
    tcp_loss_arm_probe(conn);
}

static bool ack_new(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    uint32_t ack = s->h.ack;
    struct tcp_ack_event ev = begin_event(conn, s);

    ev.acked = ack - conn->snd_una;
    conn->snd_una = ack;
    tcp_sndq_ack(conn, ack);
    if (tcp_sent_ack(&conn->sent, ack, &ev.d))
        conn->tcp->count.sack_reneged++;
    take_sack(conn, s, &ev);
    conn->tries = 0;
    conn->progress = conn->tcp->now;
    tcp_ack_window(conn, s);
    tcp_pmtu_acked(conn);
    tcp_loss_ack(conn, &ev);
    restart_timers(conn);
    tcp_info_limit(conn);
    if (conn->flags & (TCP_F_SND_LOW | TCP_F_SND_DRAIN))
        check_writable(conn);
    if (has_unsent(conn) || conn->sent.lost)
        tcp_output_want(conn);
    if (conn->flags & TCP_F_FIN_SENT && conn->snd_una == conn->snd_nxt)
        return tcp_close_fin_acked(conn);
    return true;
}

/* ACK of SND.UNA while something is in flight. */
static void ack_again(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct tcp_ack_event ev = begin_event(conn, s);

    take_sack(conn, s, &ev);
    /* RFC 6675 2: with SACK a duplicate is one that reports something new. */
    ev.dup = conn->flags & TCP_F_SACK ? ev.d.bytes != 0
                                      : !s->len && !(s->h.flags & TCP_FIN) &&
                                            (uint32_t)s->h.wnd << conn->snd_wscale == conn->snd_wnd;
    tcp_ack_window(conn, s);
    conn->tcp->count.dup_acks += ev.dup;
    if (!ev.dup && !ev.dsack && !ev.ece && !conn->tlp_out)
        return;
    tcp_loss_ack(conn, &ev);
    tcp_output_want(conn);
}

/* ACK of everything once more: only what arrived twice is news. */
static void ack_idle(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct tcp_ack_event ev = begin_event(conn, s);

    take_sack(conn, s, &ev);
    tcp_ack_window(conn, s);
    if (ev.dsack || conn->tlp_out)
        tcp_loss_ack(conn, &ev);
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
        if (unlikely(conn->snd_una != conn->snd_nxt))
            ack_again(conn, s);
        else if (unlikely(s->h.n_sack || conn->tlp_out))
            ack_idle(conn, s);
        else
            tcp_ack_window(conn, s);
        return true;
    }
    if (seq_gt(ack, conn->snd_una) && seq_le(ack, conn->snd_nxt))
        return ack_new(conn, s);
    /* RFC 5961 5.2: older than any window we were offered, or never sent. */
    if (seq_gt(ack, conn->snd_nxt) || seq_lt(ack, conn->snd_una - conn->snd_wnd_max)) {
        tcp->count.rx_bad_ack++;
        tcp_trace(conn, TCP_TR_BAD_ACK, ack - conn->iss, conn->snd_nxt - conn->iss);
        tcp_output_ack_limited(conn, &tcp->count.challenge_acks);
        return false;
    }
    return true; /* an old duplicate: only its text may be of use */
}
