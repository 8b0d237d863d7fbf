/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is sent, and when: acknowledgements once per turn (behind a gap also before one would have to
 * leave a changed block out), lost data before new data, new data as window and congestion window allow,
 * FIN after the last byte.
 *
 * There is no Nagle delay: the service writes whole records and frames. All that is queued in a
 * turn is cut into full segments, and only the last may be short.
 */
#include "tcp_priv.h"

#include <errno.h>

#define TURN_SEGS 256          /* segments per hg_tcp_poll(): what a port's ring can take */
#define CONN_SEGS 64           /* of these, per connection: the others get their share */
#define RETRY_AFTER HG_MS(1)   /* when a packet pool was empty */
#define QUICK_ACKS 16          /* as many as Linux sends */
#define GAP_ACKS 3             /* the duplicates that start a repair (RFC 5681 3.2) */
#define SACKS_HELD 44          /* segments one ACK may tell of: as many as Linux */
#define LIMIT_PERIOD HG_SEC(1) /* of TCP_LIMITED_ACKS */

static void out_of_mbufs(struct hg_tcp_conn *conn)
{
    tcp_timer_set(conn, TCP_T_RETRY, conn->tcp->now + RETRY_AFTER);
}

void tcp_output_want(struct hg_tcp_conn *conn)
{
    if (conn->flags & TCP_F_ON_OUT || conn->state == TCP_ST_CLOSED)
        return;
    conn->flags |= TCP_F_ON_OUT;
    TAILQ_INSERT_TAIL(&conn->tcp->out, conn, out_link);
    conn->tcp->n_out++;
}

void tcp_output_ack_now(struct hg_tcp_conn *conn)
{
    conn->flags |= TCP_F_ACK_NOW;
    tcp_output_want(conn);
}

void tcp_output_ack_limited(struct hg_tcp_conn *conn, uint64_t *counter)
{
    hg_ns now = conn->tcp->now;

    if (now - conn->limited_since >= LIMIT_PERIOD) {
        conn->limited_since = now;
        conn->limited_acks = 0;
    }
    if (conn->limited_acks >= TCP_LIMITED_ACKS)
        return;
    conn->limited_acks++;
    if (counter)
        (*counter)++;
    if (counter)
        tcp_trace(conn, TCP_TR_CHALLENGE, 0, 0);
    tcp_output_ack_now(conn);
}

void tcp_output_quick_acks(struct hg_tcp_conn *conn)
{
    conn->quick_acks = conn->tcp->cfg.no_quick_acks ? 0 : QUICK_ACKS;
}

void tcp_output_ack_policy(struct hg_tcp_conn *conn, uint32_t len)
{
    if (unlikely(len > conn->rcv_mss)) {
        /* More than we offered is several segments that the device joined. */
        uint32_t most = tcp_segment_mss(conn->tcp, &conn->flow);
        conn->rcv_mss = len < most ? len : most;
    }
    if (conn->flags & TCP_F_ACK_NOW)
        return;
    if (conn->rcv_nxt - conn->last_ack_sent >= conn->tcp->cfg.delack_segs * conn->rcv_mss) {
        tcp_output_ack_now(conn);
    } else if (conn->quick_acks) {
        conn->quick_acks--;
        tcp_output_ack_now(conn);
    } else if (!(conn->flags & TCP_F_ACK_DELAYED)) {
        conn->flags |= TCP_F_ACK_DELAYED;
        tcp_timer_set(conn, TCP_T_DELACK, conn->tcp->now + conn->tcp->cfg.delack);
    }
}

/* One ACK tells of three or four blocks. What it leaves out the peer takes for lost, so it goes before
 * one block too many has changed. */
static void keep_sacks_whole(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct tcp_out out = {.seq = conn->snd_nxt};
    unsigned most = conn->flags & TCP_F_TS ? 2 : 3; /* and one for a duplicate */

    if (s->seq != conn->gap_hi || !conn->ooo_bytes || !conn->sack_news) {
        if (conn->sack_news >= most && tcp_segment_send(conn, &out) < 0)
            out_of_mbufs(conn);
        conn->sack_news++;
    }
    conn->gap_hi = s->seq + s->len;
}

/* RFC 5681 4.2 asks for an ACK for each segment behind a gap. When the peer has got three it repairs,
 * and with SACK one ACK tells of all that came since: the others wait a twentieth of the round-trip
 * time, one tick at most (Linux: tcp_comp_sack_delay_ns). On short paths none waits. */
void tcp_output_ack_gap(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    hg_ns rtt = conn->rcv_rtt < conn->rtt.srtt ? conn->rcv_rtt : conn->rtt.srtt;
    hg_ns until = conn->tcp->now + HG_WHEEL_TICK;
    bool sack = conn->flags & TCP_F_SACK;

    if (!conn->ooo_bytes)
        conn->gap_acks = 0;
    if (sack)
        keep_sacks_whole(conn, s);
    if (conn->acks_due < UINT8_MAX)
        conn->acks_due++;
    if (conn->gap_acks < GAP_ACKS) {
        conn->gap_acks++;
        tcp_output_ack_now(conn);
    } else if (!sack || conn->acks_due > SACKS_HELD || rtt / 20 < HG_WHEEL_TICK) {
        tcp_output_ack_now(conn);
    } else if (!conn->deadline[TCP_T_DELACK] || conn->deadline[TCP_T_DELACK] > until) {
        conn->flags |= TCP_F_ACK_DELAYED;
        tcp_timer_set(conn, TCP_T_DELACK, until);
    }
}

void tcp_output_consumed(struct hg_tcp_conn *conn)
{
    uint32_t half = conn->tcp->cfg.rcv_buf / 2, segs = TCP_UPDATE_SEGS * conn->rcv_mss;

    if (!(conn->flags & TCP_F_ACK_NOW) &&
        tcp_segment_edge_gain(conn) >= (segs < half ? segs : half))
        tcp_output_ack_now(conn);
}

/* Data or FIN may leave in this state. */
static bool may_send(const struct hg_tcp_conn *conn)
{
    return conn->state >= TCP_ST_ESTABLISHED && conn->state != TCP_ST_TIME_WAIT &&
           conn->state != TCP_ST_FIN_WAIT_2;
}

/* A segment with blk, which was sent before; false when a packet pool was empty. */
static bool send_again(struct hg_tcp_conn *conn, struct tcp_block blk)
{
    bool fin = (conn->flags & TCP_F_FIN_SENT) && seq_gt(blk.hi, conn->sndq.end);
    struct tcp_out out = {
        .seq = blk.lo, .len = blk.hi - blk.lo - fin, .cursor = &conn->rtx_cursor, .again = true};

    if (fin)
        out.flags = TCP_FIN;
    int sent = tcp_segment_send(conn, &out);
    if (sent < 0) {
        out_of_mbufs(conn);
        return false;
    }
    if ((uint32_t)sent == out.len)
        sent += fin;
    tcp_loss_sent(conn, (struct tcp_block){blk.lo, blk.lo + (uint32_t)sent}, true);
    tcp_timer_rtx_start(conn);
    conn->retransmits++;
    conn->tcp->count.retrans_segs++;
    return true;
}

/* Lost data, lowest first, while less than cwnd is in flight (RFC 6675 5 C). False: new data has
 * to wait. */
static bool send_lost(struct hg_tcp_conn *conn, uint32_t *pipe, unsigned *budget)
{
    struct tcp_block blk;

    while (tcp_sent_next_lost(&conn->sent, tcp_segment_room(conn), &blk)) {
        *pipe = tcp_loss_pipe(conn);
        if (!*budget || (*pipe && *pipe + (blk.hi - blk.lo) > conn->cc.cwnd &&
                         !(conn->flags & TCP_F_FORCE_RTX)))
            return false;
        if (!send_again(conn, blk))
            return false;
        conn->flags &= ~TCP_F_FORCE_RTX;
        (*budget)--;
    }
    conn->flags &= ~TCP_F_FORCE_RTX;
    *pipe = tcp_loss_pipe(conn);
    return true;
}

/* The sender's half of silly window avoidance (RFC 9293 3.8.6.2.1), Nagle left out: `len` bytes
 * could go. */
static bool worth_sending(const struct hg_tcp_conn *conn, uint32_t len, uint32_t unsent)
{
    return len == unsent || len >= tcp_segment_room(conn) || len >= conn->snd_wnd_max / 2 ||
           conn->flags & TCP_F_FORCE_DATA;
}

static void sent_new(struct hg_tcp_conn *conn, uint32_t len, bool fin)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->snd_una == conn->snd_nxt) {
        hg_ns since = conn->progress > conn->last_tx ? conn->progress : conn->last_tx;
        if (conn->last_tx && tcp->now - conn->last_tx > conn->rtt.rto)
            tcp_cwv_resume(&conn->cwv, &conn->cc, tcp_mss(conn), since, tcp->now);
        conn->progress = tcp->now;
    }
    tcp_loss_sent(conn, (struct tcp_block){conn->snd_nxt, conn->snd_nxt + len + fin}, false);
    conn->snd_nxt += len + fin;
    conn->bytes_out += len;
    conn->last_tx = tcp->now;
    conn->flags &= ~TCP_F_FORCE_DATA;
    tcp->count.tx_bytes += len;
    if (fin)
        tcp_close_fin_sent(conn);
    tcp_timer_rtx_start(conn);
    tcp_loss_arm_probe(conn);
}

/* With segmentation offload: as many full segments as the congestion window takes, in one. */
static uint32_t large_segment(const struct hg_tcp_conn *conn, uint32_t room, uint32_t pipe)
{
    uint32_t cwnd = conn->cc.cwnd, max = conn->tcp->cfg.tso_max;
    uint32_t len = cwnd > pipe ? cwnd - pipe : 0;

    len = len < max ? len : max;
    return len > room ? len / room * room : room;
}

/* The next new segment. False when nothing more can go now. */
static bool send_one_new(struct hg_tcp_conn *conn, uint32_t *pipe)
{
    bool fin = (conn->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED;
    uint32_t unsent = conn->flags & TCP_F_FIN_SENT ? 0 : conn->sndq.end - conn->snd_nxt;
    uint32_t edge = conn->snd_una + conn->snd_wnd;
    uint32_t wnd = seq_gt(edge, conn->snd_nxt) ? edge - conn->snd_nxt : 0;
    uint32_t probe = tcp_pmtu_probe_len(conn, unsent);

    if (unlikely(probe > wnd)) /* cut to the window it would prove nothing, and be too large */
        probe = 0;
    uint32_t len = probe ? probe : tcp_segment_room(conn);
    if (conn->tcp->cfg.tso_max && !probe)
        len = large_segment(conn, len, *pipe);
    len = len < unsent ? len : unsent;
    len = len < wnd ? len : wnd;
    fin = fin && len == unsent && wnd > len;
    if (!len && !fin)
        return false;
    if (*pipe && *pipe + len > conn->cc.cwnd)
        return false;
    if (len && !worth_sending(conn, len, unsent))
        return false;
    struct tcp_out out = {
        .seq = conn->snd_nxt, .len = len, .cursor = &conn->new_cursor, .probe = probe != 0};
    out.flags = (fin ? TCP_FIN : 0) | (len && len == unsent ? TCP_PSH : 0);
    int sent = tcp_segment_send(conn, &out);
    if (sent < 0) {
        out_of_mbufs(conn);
        return false;
    }
    if (unlikely(probe && (uint32_t)sent == probe))
        tcp_pmtu_probe_sent(conn, (struct tcp_block){out.seq, out.seq + probe});
    sent_new(conn, (uint32_t)sent, fin && (uint32_t)sent == len);
    *pipe += (uint32_t)sent;
    return true;
}

/* RFC 8985 7.3: new data if the window takes it, else the last segment once more. `sent`: new data
 * went just now, which serves as well. */
static void send_tail_probe(struct hg_tcp_conn *conn, bool sent, unsigned *budget)
{
    uint32_t flight = conn->snd_nxt - conn->snd_una, mss = tcp_segment_room(conn), none = 0;
    struct tcp_block tail = {conn->snd_nxt - (flight < mss ? flight : mss), conn->snd_nxt};

    if (!*budget || !flight)
        return;
    conn->flags &= ~(TCP_F_TLP_DUE | TCP_F_TLP_RTX);
    if (!sent && !send_one_new(conn, &none)) {
        if (!send_again(conn, tail))
            return;
        conn->flags |= TCP_F_TLP_RTX;
    }
    conn->tlp_out = true;
    conn->tlp_end = conn->snd_nxt;
    conn->tcp->count.tail_loss_probes++;
    tcp_timer_rtx_restart(conn);
    tcp_timer_clear(conn, TCP_T_LOSS);
    (*budget)--;
}

/* Whatever waits, waits with a timer. In flight: the time-out, also when an undo took back what the
 * last one wanted to send. Else something that the window does not take: only a probe will tell us
 * that it opened, should the update get lost (RFC 9293 3.8.6.1). */
static void check_timer(struct hg_tcp_conn *conn)
{
    bool waiting = !(conn->flags & TCP_F_FIN_SENT) &&
                   (conn->sndq.end != conn->snd_nxt || conn->flags & TCP_F_FIN_QUEUED);

    if (conn->deadline[TCP_T_RTX] || conn->deadline[TCP_T_RETRY])
        return;
    if (conn->snd_una != conn->snd_nxt) {
        tcp_timer_rtx_restart(conn);
    } else if (waiting) {
        if (!conn->tries) /* the user timeout counts from the first question */
            conn->progress = conn->tcp->now;
        conn->flags |= TCP_F_PERSIST;
        tcp_timer_set(conn, TCP_T_RTX,
                      conn->tcp->now + tcp_rtt_timeout(&conn->rtt, conn->tcp->cfg.rto_max));
    }
}

/* True when the budget ended it. */
static bool send_data(struct hg_tcp_conn *conn, unsigned *budget)
{
    uint32_t pipe;

    if (!send_lost(conn, &pipe, budget))
        return !*budget;
    uint32_t nxt = conn->snd_nxt;
    while (*budget && send_one_new(conn, &pipe))
        (*budget)--;
    if (unlikely(conn->flags & TCP_F_TLP_DUE))
        send_tail_probe(conn, conn->snd_nxt != nxt, budget);
    tcp_info_limit(conn);
    if (!*budget)
        return true;
    check_timer(conn);
    return false;
}

static void send_probe(struct hg_tcp_conn *conn)
{
    /* One below SND.UNA and without payload: not acceptable, so the peer has to answer with its
     * window, and no byte is sent that would have to be accounted (RFC 1122 4.2.3.6). */
    struct tcp_out out = {.seq = conn->snd_una - 1};

    conn->flags &= ~TCP_F_PROBE_DUE;
    if (tcp_segment_send(conn, &out) < 0)
        out_of_mbufs(conn);
}

static void send_acks(struct hg_tcp_conn *conn, unsigned *budget)
{
    struct tcp_out out = {.seq = conn->snd_nxt};
    /* A peer without SACK counts duplicates (RFC 5681 4.2: one for each); with SACK one tells all.
     */
    unsigned n = conn->flags & TCP_F_SACK || !conn->acks_due ? 1 : conn->acks_due;

    conn->acks_due = 0;
    while (n-- && *budget) {
        if (tcp_segment_send(conn, &out) < 0) {
            out_of_mbufs(conn);
            return;
        }
        (*budget)--;
    }
}

static void send_syn(struct hg_tcp_conn *conn)
{
    if (tcp_segment_send_syn(conn) < 0) {
        out_of_mbufs(conn);
        return;
    }
    conn->flags &= ~TCP_F_SYN_DUE;
    /* Timed only while there is one copy (Karn). */
    conn->progress = conn->tries ? 0 : conn->progress ? conn->progress : conn->tcp->now;
    tcp_timer_rtx_start(conn);
}

/* True when it has to be called again in the next turn. */
static bool output_conn(struct hg_tcp_conn *conn, unsigned *budget)
{
    unsigned mine = *budget < CONN_SEGS ? *budget : CONN_SEGS, left = mine;
    bool more = false;

    if (conn->state == TCP_ST_SYN_SENT || conn->state == TCP_ST_SYN_RECEIVED) {
        if (conn->flags & TCP_F_SYN_DUE)
            send_syn(conn);
        else if (conn->flags & TCP_F_ACK_NOW && conn->state == TCP_ST_SYN_RECEIVED)
            send_acks(conn, &left);
        *budget -= mine > left ? mine - left : 1;
        return false;
    }
    if (conn->flags & TCP_F_PROBE_DUE)
        send_probe(conn);
    if (may_send(conn))
        more = send_data(conn, &left);
    if (conn->flags & TCP_F_ACK_NOW && left)
        send_acks(conn, &left);
    *budget -= mine - left;
    return more || (conn->flags & TCP_F_ACK_NOW && !left);
}

void tcp_output_poll(struct hg_tcp *tcp)
{
    unsigned budget = TURN_SEGS;

    for (uint32_t n = tcp->n_out; n && budget; n--) {
        struct hg_tcp_conn *conn = TAILQ_FIRST(&tcp->out);
        TAILQ_REMOVE(&tcp->out, conn, out_link);
        conn->flags &= ~TCP_F_ON_OUT;
        tcp->n_out--;
        if (output_conn(conn, &budget))
            tcp_output_want(conn);
    }
}
