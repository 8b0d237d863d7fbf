/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss recovery: joins what is known of the peer (tcp_sent.h) and what follows from it (tcp_rack.h)
 * with how much may be sent (tcp_cc.h, tcp_prr.h). RFC 8985 with SACK, RFC 6582 without, RFC 5681
 * and 6298 after a time-out, RFC 3168 on an ECN echo. The data itself is sent by tcp_output.c, which
 * asks the table what is lost.
 *
 * Invariants: (1) ssthresh is reduced once per episode, that is, until everything sent before its
 * begin (cc.recover) is acknowledged; (2) `undo` describes the last episode, also after it ended,
 * until the next one begins, and is not armed when ECN or a tail loss probe had proved the
 * congestion; (3) at most one tail loss probe is unanswered (tlp_out); (4) TCP_T_LOSS is the
 * reordering timer while something may yet be judged lost by time (reo_armed), else the probe's.
 */
#include "tcp_priv.h"

#define DUP_THRESH 3        /* segments; RFC 5681 3.2 */
#define PTO_FIRST HG_SEC(1) /* RFC 8985 7.2: without an RTT sample */
#define PTO_MIN HG_MS(10)   /* a timer's tick, and time for the peer's burst to be answered */
#define WORST_DELACK HG_MS(200)
#define UNDO_REACH (1u << 30)    /* bytes after which numbers say nothing of an episode any more */
#define GRAIN_SHIFT 6            /* tcp_sent.grain is a 64th of the round-trip time */
#define RTT_TICKS_MAX (1u << 17) /* two minutes of the timestamp clock; more is nonsense */

static bool reducing(const struct hg_tcp_conn *conn)
{
    return conn->cc.phase == TCP_CC_RECOVERY || conn->cc.phase == TCP_CC_CWR;
}

uint32_t tcp_loss_pipe(const struct hg_tcp_conn *conn)
{
    uint32_t pipe = tcp_sent_pipe(&conn->sent);

    if (conn->flags & TCP_F_SACK || conn->cc.phase == TCP_CC_LOSS)
        return pipe;
    /* Each duplicate says that one segment arrived, though not which (RFC 6582 3.2 inflates the
     * window instead). */
    uint32_t arrived = conn->cc.dupacks * tcp_mss(conn);
    return pipe > arrived ? pipe - arrived : 0;
}

/* ---- episodes ---- */

static void begin_episode(struct hg_tcp_conn *conn)
{
    conn->undo = (struct tcp_undo){.cwnd = conn->cc.cwnd,
                                   .ssthresh = conn->cc.ssthresh,
                                   .hystart_done = conn->cc.hystart.done,
                                   .marker = conn->snd_una,
                                   .armed = true};
    conn->cc.recover = conn->snd_nxt;
    if (conn->flags & TCP_F_ECN)
        conn->flags |= TCP_F_CWR_DUE; /* RFC 3168 6.1.2: whatever the reason */
}

static void reduce(struct hg_tcp_conn *conn, enum tcp_cc_phase phase)
{
    uint32_t flight = conn->snd_nxt - conn->snd_una, cwnd = conn->cc.cwnd;

    begin_episode(conn);
    conn->undo.armed = phase == TCP_CC_RECOVERY;
    tcp_cc_congestion(&conn->cc, phase, flight, tcp_mss(conn));
    tcp_trace(conn, TCP_TR_CWND_CUT, cwnd, conn->cc.ssthresh);
    tcp_prr_begin(&conn->prr, flight);
}

/* Everything sent before the loss is acknowledged. */
static void end_episode(struct hg_tcp_conn *conn)
{
    struct tcp_cc *cc = &conn->cc;

    if (reducing(conn))
        cc->cwnd = cc->ssthresh < cc->max ? cc->ssthresh : cc->max;
    if (cc->phase == TCP_CC_RECOVERY)
        tcp_rack_recovered(&conn->rack);
    cc->phase = TCP_CC_OPEN;
    cc->dupacks = 0;
    tcp_trace(conn, TCP_TR_RECOVERED, cc->cwnd, cc->ssthresh);
}

/* Nothing was lost: RFC 3522, and RFC 2883 with every retransmission reported as a duplicate. */
static void undo_episode(struct hg_tcp_conn *conn, uint32_t acked)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t first = tcp_cc_initial_window(tcp_mss(conn));

    conn->tcp->count.spurious_recoveries++;
    if (!conn->undo.timeout) { /* else the path stood still, which is no reordering */
        tcp_rack_overtaken(&conn->rack);
        conn->tcp->count.reordering_seen++;
        conn->reorderings++;
    }
    tcp_sent_forgive(&conn->sent);
    cc->phase = TCP_CC_OPEN;
    cc->dupacks = 0;
    /* RFC 4015 3: from what is on its way back to the window before by slow start, not at once: much
     * of it may have been acknowledged meanwhile, and would leave in one burst. */
    uint32_t wnd = tcp_loss_pipe(conn) + (acked < first ? acked : first);
    wnd = wnd < conn->undo.cwnd ? wnd : conn->undo.cwnd;
    cc->cwnd = cc->cwnd > wnd ? cc->cwnd : wnd;
    cc->ssthresh = conn->undo.ssthresh > conn->undo.cwnd ? conn->undo.ssthresh : conn->undo.cwnd;
    cc->hystart.done = conn->undo.hystart_done;
    cc->ops->undo(cc);
    tcp_trace(conn, TCP_TR_UNDONE, cc->cwnd, cc->ssthresh);
    conn->undo.armed = false;
    conn->flags &= ~TCP_F_FORCE_RTX;
    conn->rtt.shift = 0;
}

/* True when the last episode was for nothing, and the window is set. */
static bool check_undo(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev)
{
    struct tcp_undo *undo = &conn->undo;

    if (!undo->armed || !undo->resent)
        return false;
    if (unlikely(seq_gt(conn->snd_una - UNDO_REACH, undo->end))) {
        undo->armed = false;
        return false;
    }
    /* What the network doubled before, or a probe afterwards, is no copy made by this episode. */
    if (ev->dsack && seq_gt(ev->dsack_end, undo->marker) && seq_le(ev->dsack_end, undo->end))
        undo->again -= ev->dsack < undo->again ? ev->dsack : undo->again;
    /* RFC 3522 3.2 step 5: an ACK that echoes what was sent before the first retransmission answers a
     * first copy, and the first that does not ends the matter. One gap that closed of itself tells
     * nothing of others that were sent again, so they are waited for. */
    bool tells = ev->acked && ev->has_echo && !undo->judged && conn->cc.phase != TCP_CC_OPEN;
    bool first_copy = tells && seq_lt(ev->echo, undo->stamp);
    undo->judged |= tells && !first_copy;
    first_copy = first_copy && (undo->timeout || !tcp_sent_awaits_again(&conn->sent));
    if (undo->again && !first_copy)
        return false;
    undo_episode(conn, ev->acked);
    return true;
}

/* ---- what is lost ---- */

/* RFC 8985 6.2 steps 4 and 5. */
static void detect(struct hg_tcp_conn *conn)
{
    struct tcp_rack *rack = &conn->rack;
    hg_ns now = conn->tcp->now;
    /* Three segments: by bytes, or by ranges when segments are small (RFC 6675 4 IsLost()). */
    bool hasty = conn->cc.phase != TCP_CC_OPEN ||
                 conn->sent.sacked > (DUP_THRESH - 1) * tcp_mss(conn) ||
                 (conn->sent.n > DUP_THRESH && tcp_sent_reports(&conn->sent) >= DUP_THRESH);

    if (!rack->last.time)
        return;
    hg_ns age = rack->rtt + tcp_rack_window(rack, conn->rtt.srtt, hasty);
    hg_ns next = tcp_sent_detect(&conn->sent, &rack->last, now > age ? now - age : 0);
    if (next) {
        conn->reo_armed = true;
        tcp_timer_set(conn, TCP_T_LOSS, next + age);
    } else if (conn->reo_armed) {
        conn->reo_armed = false;
        tcp_timer_clear(conn, TCP_T_LOSS);
    }
}

static void enter_recovery(struct hg_tcp_conn *conn)
{
    tcp_trace(conn, TCP_TR_RECOVERY, conn->snd_nxt - conn->snd_una, conn->cc.cwnd);
    if (conn->cc.phase == TCP_CC_CWR) /* reduced already */
        conn->cc.phase = TCP_CC_RECOVERY;
    else
        reduce(conn, TCP_CC_RECOVERY);
    if (!(conn->flags & TCP_F_SACK)) {
        tcp_sent_lose_first(&conn->sent, tcp_mss(conn));
        conn->cc.cwnd = conn->cc.ssthresh;
    }
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
    tcp_sent_lose_first(&conn->sent, mss);
    conn->flags |= TCP_F_FORCE_RTX;
}

static void act_on_losses(struct hg_tcp_conn *conn)
{
    struct tcp_cc *cc = &conn->cc;
    bool open = cc->phase == TCP_CC_OPEN || cc->phase == TCP_CC_CWR;

    if (!open || conn->snd_una == conn->snd_nxt)
        return;
    if ((conn->sent.lost && tcp_pmtu_lost(conn)) || cc->dupacks >= DUP_THRESH) {
        enter_recovery(conn);
    } else if (conn->sent.lost) { /* too large for the path */
        conn->flags |= TCP_F_FORCE_RTX;
        tcp_output_want(conn);
    }
}

static void find_losses(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev)
{
    struct tcp_cc *cc = &conn->cc;

    if (conn->flags & TCP_F_SACK) {
        detect(conn);
    } else if (ev->acked) {
        if (cc->phase == TCP_CC_RECOVERY)
            partial_ack(conn, ev->acked);
        else
            cc->dupacks = 0;
    } else if (ev->dup && cc->dupacks < UINT8_MAX && conn->snd_una != cc->recover) {
        /* RFC 6582 3.2 step 2: right after an episode they are answers to what it sent in vain. */
        cc->dupacks++;
    }
    act_on_losses(conn);
}

/* ---- tail loss probes, RFC 8985 7 ---- */

void tcp_loss_arm_probe(struct hg_tcp_conn *conn)
{
    hg_ns now = conn->tcp->now, rtx = conn->deadline[TCP_T_RTX];
    hg_ns pto = conn->rtt.srtt ? 2 * conn->rtt.srtt : PTO_FIRST;

    if (!(conn->flags & TCP_F_SACK) || conn->cc.phase != TCP_CC_OPEN || conn->tlp_out ||
        conn->sent.sacked || conn->sent.lost || conn->reo_armed || !rtx ||
        conn->flags & TCP_F_PERSIST)
        return;
    if (conn->snd_nxt - conn->snd_una <= tcp_mss(conn))
        pto += WORST_DELACK;
    pto = pto > PTO_MIN ? pto : PTO_MIN;
    /* Until something is acknowledged it only comes earlier: a service that writes now and then would
     * put it off for ever, and the time-out with it. */
    if (conn->deadline[TCP_T_LOSS] && conn->deadline[TCP_T_LOSS] <= now + pto)
        return;
    if (now + pto >= rtx) {
        /* 7.2: the probe takes the time-out's place, and the time-out comes after it. */
        pto = rtx > now ? rtx - now : 0;
        tcp_timer_set(conn, TCP_T_RTX, rtx + tcp_rtt_timeout(&conn->rtt, conn->tcp->cfg.rto_max));
    }
    tcp_timer_set(conn, TCP_T_LOSS, now + pto);
}

/* 7.4: what the ACK says of the probe. */
static void probe_answered(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev)
{
    if (!conn->tlp_out || seq_lt(conn->snd_una, conn->tlp_end))
        return;
    if (!(conn->flags & TCP_F_TLP_RTX) || ev->dsack) {
        conn->tlp_out = false;
    } else if (seq_gt(conn->snd_una, conn->tlp_end)) {
        conn->tlp_out = false;
        conn->tcp->count.tlp_repairs++;
        if (conn->cc.phase == TCP_CC_OPEN) /* the probe repaired a loss: that was congestion */
            reduce(conn, TCP_CC_CWR);
    } else if (!ev->acked) {
        conn->tlp_out = false; /* both copies arrived */
    }
}

void tcp_loss_timer(struct hg_tcp_conn *conn)
{
    if (conn->reo_armed) {
        conn->reo_armed = false;
        detect(conn);
        bool before = reducing(conn);
        act_on_losses(conn);
        if (!before && reducing(conn)) /* no ACK: nothing but the first segment may leave now */
            conn->cc.cwnd = tcp_loss_pipe(conn);
    } else if (conn->snd_una != conn->snd_nxt && conn->cc.phase == TCP_CC_OPEN && !conn->tlp_out) {
        conn->flags |= TCP_F_TLP_DUE;
        tcp_trace(conn, TCP_TR_TLP, conn->snd_nxt - conn->snd_una, 0);
    }
    tcp_output_want(conn);
}

/* ---- events ---- */

void tcp_loss_sent(struct hg_tcp_conn *conn, struct tcp_block blk, bool again)
{
    uint32_t len = blk.hi - blk.lo;

    conn->prr.out += len;
    if (!again) {
        tcp_sent_push(&conn->sent, blk.hi, conn->tcp->now);
        return;
    }
    tcp_sent_again(&conn->sent, blk, conn->tcp->now);
    tcp_pmtu_sent_again(conn, blk);
    if (conn->cc.phase == TCP_CC_OPEN)
        return;
    if (!conn->undo.resent) {
        conn->undo.resent = true;
        conn->undo.stamp = conn->tcp->ts_now + conn->ts_offset;
        conn->undo.end = blk.hi;
    }
    conn->undo.again += len;
    conn->undo.end = seq_max(conn->undo.end, blk.hi);
}

/* RFC 6298 with Karn's rule, once per round trip: something sent once is timed, else the echoed
 * timestamp tells which copy was acknowledged (RFC 7323 4.1). */
static void measure_rtt(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev, hg_ns rtt)
{
    struct hg_tcp *tcp = conn->tcp;

    if (!ev->acked || (seq_lt(conn->snd_una, conn->rtt_next) && conn->rtt.srtt))
        return;
    /* Without SACK the newest of what an ACK covers may have waited for a gap to be filled. */
    if (!(conn->flags & TCP_F_SACK) && conn->cc.phase != TCP_CC_OPEN)
        rtt = 0;
    if (!rtt && ev->has_echo) {
        uint32_t ticks = tcp->ts_now + conn->ts_offset - ev->echo;
        rtt = ticks <= RTT_TICKS_MAX ? (hg_ns)ticks << HG_WHEEL_SHIFT : 0;
    }
    if (!rtt)
        return;
    tcp_rtt_sample(&conn->rtt, rtt, tcp->cfg.rto_min, tcp->cfg.rto_max);
    conn->rtt_next = conn->snd_nxt;
    conn->sent.grain = conn->rtt.srtt >> GRAIN_SHIFT;
}

/* The echo is not older than the retransmission that arrived. */
static bool echo_fits(const struct hg_tcp_conn *conn, const struct tcp_ack_event *ev)
{
    uint32_t sent = (uint32_t)(ev->d.again_time >> HG_WHEEL_SHIFT) + conn->ts_offset;

    return !ev->has_echo || seq_ge(ev->echo, sent);
}

static void set_window(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev, hg_ns rtt,
                       uint32_t lost)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t mss = tcp_mss(conn);
    struct tcp_cc_ack ack = {.now = conn->tcp->now,
                             .rtt = rtt,
                             .srtt = conn->rtt.srtt,
                             .una = conn->snd_una,
                             .nxt = conn->snd_nxt,
                             .acked = ev->acked,
                             .mss = mss};

    if (reducing(conn)) {
        bool sack = conn->flags & TCP_F_SACK;
        if (!sack && cc->phase == TCP_CC_RECOVERY)
            return; /* tcp_loss_pipe() does the sums */
        cc->cwnd = tcp_prr_window(&conn->prr, ev->d.bytes, tcp_loss_pipe(conn), cc->ssthresh,
                                  ev->acked && conn->sent.lost <= lost ? mss : 0);
        return;
    }
    if (!ev->acked)
        return;
    ack.full = tcp_cwv_ack(&conn->cwv, cc, &ack);
    tcp_cc_ack(cc, &ack);
}

void tcp_loss_ack(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev)
{
    struct tcp_cc *cc = &conn->cc;
    uint32_t lost = conn->sent.lost;
    hg_ns rtt = tcp_rack_update(&conn->rack, &ev->d, conn->tcp->now, echo_fits(conn, ev));

    conn->tcp->count.reordering_seen += ev->d.reordered;
    conn->reorderings += ev->d.reordered;
    conn->dsacks += ev->dsack != 0;
    conn->ce_echoes += ev->ece;
    measure_rtt(conn, ev, rtt);
    tcp_rack_round(&conn->rack, conn->snd_una);
    if (ev->dsack)
        tcp_rack_dsack(&conn->rack, conn->snd_nxt);
    probe_answered(conn, ev);
    if (ev->ece)
        conn->undo.armed = false;
    bool undone = check_undo(conn, ev);
    bool ended = cc->phase != TCP_CC_OPEN && ev->acked && seq_ge(conn->snd_una, cc->recover);
    if (ended)
        end_episode(conn);
    find_losses(conn, ev);
    /* RFC 3168 6.1.2, once per window: the peer has not seen our CWR before something above
     * `recover` is acknowledged. */
    if (ev->ece && cc->phase == TCP_CC_OPEN && conn->snd_una != conn->snd_nxt &&
        conn->snd_una != cc->recover) {
        conn->tcp->count.ecn_reductions++;
        reduce(conn, TCP_CC_CWR);
    }
    if (!undone &&
        (!ended || cc->phase != TCP_CC_OPEN)) /* what recovery itself had delivered earns nothing */
        set_window(conn, ev, rtt, lost);
}

void tcp_loss_window_opened(struct hg_tcp_conn *conn)
{
    if (!conn->rtt.shift || conn->snd_una == conn->snd_nxt)
        return;
    conn->rtt.shift = 0;
    tcp_sent_lose_first(&conn->sent, tcp_mss(conn));
    conn->flags |= TCP_F_FORCE_RTX;
    tcp_timer_rtx_restart(conn);
    tcp_output_want(conn);
}

void tcp_loss_timeout(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    bool sack = conn->flags & TCP_F_SACK;
    bool fresh =
        conn->cc.phase == TCP_CC_OPEN || (conn->cc.phase == TCP_CC_LOSS && conn->tries == 0);
    uint32_t flight = conn->snd_nxt - conn->snd_una, cwnd = conn->cc.cwnd;
    hg_ns age = conn->rack.rtt + tcp_rack_window(&conn->rack, conn->rtt.srtt, false);

    struct tcp_arrived all = {tcp->now, tcp->now, conn->snd_nxt};

    if (fresh)
        begin_episode(conn);
    conn->cc.recover = conn->snd_nxt;
    conn->undo.timeout = true;
    tcp_pmtu_timeout(conn);
    tcp_cc_timeout(&conn->cc, flight, tcp_mss(conn), fresh);
    tcp_trace(conn, TCP_TR_RTO, flight,
              (uint32_t)(tcp_rtt_timeout(&conn->rtt, tcp->cfg.rto_max) / HG_MS(1)));
    tcp_trace(conn, TCP_TR_CWND_CUT, cwnd, conn->cc.cwnd);
    /* RFC 8985 6.3: with SACK only the first and what is old enough; the rest may yet be reported. */
    tcp_sent_lose_first(&conn->sent, tcp_mss(conn));
    if (sack)
        tcp_sent_detect(&conn->sent, &all, tcp->now > age ? tcp->now - age : 0);
    else
        tcp_sent_lose_all(&conn->sent);
    conn->reo_armed = conn->tlp_out = false;
    tcp_timer_clear(conn, TCP_T_LOSS);
    conn->flags &= ~TCP_F_TLP_DUE;
    conn->flags |= TCP_F_FORCE_RTX;
    tcp->count.rto_retransmits++;
    tcp_rtt_backoff(&conn->rtt);
    tcp_output_want(conn);
}
