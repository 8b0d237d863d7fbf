/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments in: finding the connection, and the synchronized states in the order of RFC 9293
 * 3.10.7.4. Where RFC 5961 and RFC 7323 change that order it is said at the step.
 *
 * The path of a bulk receiver (in order, nothing of ours in flight) goes straight down through
 * tcp_input_synchronized() and touches two cache lines of the connection.
 */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <errno.h>
#include <rte_prefetch.h>

#define BURST 16
#define ECN_CE 3                        /* RFC 3168 5: congestion experienced */
#define PAUSE HG_SEC(1)                 /* then the peer begins with a small window again */
#define PAWS_SLACK 4                    /* ticks; see overtaken() */
#define TS_STALE HG_SEC(24 * 24 * 3600) /* RFC 7323 5.5: then TS.Recent is worth nothing */

/* A segment that a retransmission overtook is older than TS.Recent by the reordering; one from before a
 * wrap of the sequence numbers by far more: at 100 Gbit/s by 340 ticks of a millisecond. Linux lets one tick
 * pass. */
static bool overtaken(const struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    return conn->ts_recent - s->h.ts_val - 1 < PAWS_SLACK;
}

bool tcp_input_paws(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    if (!(conn->flags & TCP_F_TS) || s->h.flags & TCP_RST)
        return true;
    if (unlikely(!(s->h.has & TCP_HAS_TS)))
        return false; /* RFC 7323 3.2: agreed, so it has to be there */
    if (likely(seq_ge(s->h.ts_val, conn->ts_recent)) || overtaken(conn, s))
        return true;
    return conn->tcp->now - conn->last_rx > TS_STALE;
}

void tcp_input_rst(struct hg_tcp_conn *conn, const struct tcp_seg *s, int error)
{
    struct hg_tcp *tcp = conn->tcp;

    tcp_trace(conn, TCP_TR_RST_IN, s->h.seq - conn->irs, conn->rcv_nxt - conn->irs);
    if (s->h.seq == conn->rcv_nxt) {
        tcp->count.rx_rst++;
        tcp_conn_kill(conn, error);
        return;
    }
    tcp->count.rx_rst_ignored++;
    if (seq_within(s->h.seq, conn->rcv_nxt, conn->rcv_adv))
        tcp_output_ack_limited(conn, &tcp->count.challenge_acks);
}

/* Step 1 for a segment that does not simply continue the stream. Cuts it to the window. */
static bool check_seq_slow(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    uint32_t end = s->seq + s->len, fin = !!(s->h.flags & TCP_FIN);

    if (seq_lt(s->seq, conn->rcv_nxt) && seq_le(end + fin, conn->rcv_nxt)) {
        /* Nothing new: the peer missed our ACK, or it probes. */
        tcp->count.rx_dup++;
        tcp_trace(conn, TCP_TR_DUP, s->seq - conn->irs, s->len);
        if (s->len) {
            conn->dsack = (struct tcp_block){s->seq, end};
            conn->flags |= TCP_F_DSACK;
            tcp_output_ack_now(conn);
        } else {
            tcp_output_ack_limited(conn, NULL);
        }
        return false;
    }
    if (seq_gt(s->seq, conn->rcv_adv) ||
        (s->seq == conn->rcv_adv && s->seq != conn->rcv_nxt && s->len + fin)) {
        tcp->count.rx_out_of_window++;
        tcp_trace(conn, TCP_TR_OUT_OF_WINDOW, s->seq - conn->irs, s->len);
        tcp_output_ack_limited(conn, NULL);
        return false;
    }
    if (seq_lt(s->seq, conn->rcv_nxt)) {
        uint32_t old = conn->rcv_nxt - s->seq;
        s->seq += old;
        s->off += old;
        s->len -= old;
    }
    if (seq_gt(end, conn->rcv_adv)) {
        /* Beyond the right edge, perhaps all of it (a probe of a closed window): an ACK is owed,
         * and the segment's own acknowledgement still counts. */
        s->len = seq_gt(conn->rcv_adv, s->seq) ? conn->rcv_adv - s->seq : 0;
        s->h.flags &= (uint8_t)~TCP_FIN;
        tcp->count.rx_out_of_window++;
        tcp_output_ack_now(conn);
    }
    return true;
}

static void text_out_of_order(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    conn->tcp->count.rx_ooo++;
    conn->ooo_segs++;
    tcp_output_ack_gap(conn, s);
    tcp_ooo_add(conn, s);
}

/* Step 7. False: conn is gone. */
static bool process_text(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    if (conn->state != TCP_ST_ESTABLISHED && conn->state != TCP_ST_FIN_WAIT_1 &&
        conn->state != TCP_ST_FIN_WAIT_2) {
        conn->tcp->count.rx_after_fin++;
        return true;
    }
    if (unlikely(conn->flags & TCP_F_RELEASED)) {
        /* Nobody will ever read this: tell the peer (RFC 1122 4.2.2.13). */
        tcp_close_abort(conn, -ECONNABORTED);
        return false;
    }
    if (unlikely(s->seq != conn->rcv_nxt)) {
        text_out_of_order(conn, s);
        return true;
    }
    uint32_t held = conn->ooo_bytes;
    uint32_t len = s->len;
    if (unlikely(!tcp_rxq_in_order(conn, s)))
        return true;
    if (unlikely(conn->flags & TCP_F_RCV_RTT))
        tcp_space_sample(conn, s);
    if (unlikely(held)) {
        conn->gap_acks = 0;
        tcp_output_ack_now(conn); /* RFC 5681 4.2: it fills a gap */
    }
    if (unlikely(held && !conn->ooo_bytes))
        tcp_output_quick_acks(conn);
    tcp_output_ack_policy(conn, len);
    if (!(conn->events & HG_TCP_EV_READABLE) && conn->rxq_bytes >= conn->rcv_lowat)
        tcp_event(conn, HG_TCP_EV_READABLE);
    return true;
}

/* Step 8. A FIN ahead of missing data is remembered until they have come. */
static void process_fin(struct hg_tcp_conn *conn)
{
    bool open = conn->state == TCP_ST_ESTABLISHED || conn->state == TCP_ST_FIN_WAIT_1 ||
                conn->state == TCP_ST_FIN_WAIT_2;

    if (open && conn->rcv_nxt == conn->fin_seq)
        tcp_close_fin_received(conn);
    else if (open)
        tcp_output_ack_now(conn);
}

/* RFC 3168 6.1.3: CE marks are told the peer until it says that it slowed down. */
static void take_ecn(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    if (s->h.flags & TCP_CWR)
        conn->flags &= ~TCP_F_ECE;
    if (s->ecn == ECN_CE && s->len) {
        conn->tcp->count.ecn_ce++;
        conn->flags |= TCP_F_ECE;
        tcp_output_ack_now(conn);
    }
}

void tcp_input_synchronized(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;

    conn->segs_in++;
    /* RFC 7323 5.3 R1, before everything else. */
    if (unlikely(!tcp_input_paws(conn, s))) {
        tcp->count.rx_paws++;
        tcp_trace(conn, TCP_TR_PAWS, s->h.ts_val, conn->ts_recent);
        tcp_output_ack_limited(conn, NULL);
        return;
    }
    /* Steps 2 and 4, first because RFC 5961 3.2 and 4.2 replace the window check for them. */
    if (unlikely(s->h.flags & (TCP_RST | TCP_SYN))) {
        if (s->h.flags & TCP_RST) {
            tcp_input_rst(conn, s, -ECONNRESET);
        } else {
            tcp->count.rx_syn_in_conn++;
            tcp_output_ack_limited(conn, &tcp->count.challenge_acks);
        }
        return;
    }
    /* Step 1: sequence number. */
    if (unlikely(s->seq != conn->rcv_nxt || s->len > conn->rcv_adv - conn->rcv_nxt) &&
        !check_seq_slow(conn, s))
        return;
    /* Step 3, security and compartment: not implemented. Step 5: ACK. */
    if (!tcp_ack_input(conn, s))
        return;
    if (unlikely(tcp->now - conn->last_rx > PAUSE))
        tcp_output_quick_acks(conn);
    conn->last_rx = tcp->now;
    if (unlikely(conn->flags & TCP_F_ECN))
        take_ecn(conn, s);
    /* RFC 7323 4.3 (2), with the sequence number as it came, but only now: else a forged segment
     * that RFC 5961 5 refuses could leave a timestamp against which all of the peer's look old. */
    if ((conn->flags & TCP_F_TS) && seq_le(s->h.seq, conn->last_ack_sent) &&
        likely(!overtaken(conn, s)))
        conn->ts_recent = s->h.ts_val;
    /* Step 6, urgent pointer: ignored, urgent data is ordinary data (RFC 6093 6). Step 7: text. */
    if (unlikely(s->h.flags & TCP_FIN)) {
        conn->fin_seq = s->seq + s->len;
        conn->flags |= TCP_F_FIN_SEEN;
    }
    if (s->len) {
        conn->data_segs_in++;
        if (!process_text(conn, s))
            return;
    }
    /* Step 8: FIN. */
    if (unlikely(conn->flags & TCP_F_FIN_SEEN))
        process_fin(conn);
}

static void input_conn(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    switch (conn->state) {
    case TCP_ST_SYN_SENT:
        tcp_open_syn_sent(conn, s);
        break;
    case TCP_ST_SYN_RECEIVED:
        tcp_open_syn_received(conn, s);
        break;
    case TCP_ST_TIME_WAIT:
        tcp_close_time_wait(conn, s);
        break;
    default:
        tcp_input_synchronized(conn, s);
        break;
    }
}

static void input_segment(struct hg_tcp *tcp, const struct hg_seg *seg, uint32_t hash)
{
    struct tcp_seg s;

    tcp->count.rx_segs++;
    s.m = seg->m;
    s.flow = &seg->flow;
    s.hash = hash;
    s.ecn = seg->ecn;
    int rc = tcp_hdr_parse(rte_pktmbuf_mtod(s.m, const uint8_t *), s.m->data_len, &s.h);
    if (unlikely(rc)) {
        if (rc == -EMSGSIZE)
            tcp->count.rx_short++;
        else
            tcp->count.rx_bad_option++;
        rte_pktmbuf_free(s.m);
        return;
    }
    s.seq = s.h.seq;
    s.off = s.h.len;
    s.len = s.m->pkt_len - s.h.len;
    struct hg_tcp_conn *conn = tcp_table_find(tcp, s.flow, hash);
    if (likely(conn && conn->state == TCP_ST_ESTABLISHED))
        tcp_input_synchronized(conn, &s);
    else if (conn)
        input_conn(conn, &s);
    else
        tcp_open_no_conn(tcp, &s);
    if (s.m)
        rte_pktmbuf_free(s.m);
}

/* Three passes, so that headers and connections are on their way to the cache before use. */
static void input_burst(struct hg_tcp *tcp, const struct hg_seg *segs, unsigned n)
{
    uint32_t hash[BURST];

    for (unsigned i = 0; i < n; i++) {
        if (segs[i].kind == HG_SEG_TCP)
            rte_prefetch0(rte_pktmbuf_mtod(segs[i].m, const void *));
        hash[i] = tcp_flow_hash(tcp->cfg.secret, &segs[i].flow);
        rte_prefetch0(&tcp->slots[hash[i] & tcp->slot_mask]);
    }
    for (unsigned i = 0; i < n; i++) {
        const struct hg_tcp_conn *conn = tcp_table_guess(tcp, hash[i]);
        rte_prefetch0(conn);
        rte_prefetch0((const char *)conn + RTE_CACHE_LINE_SIZE);
    }
    for (unsigned i = 0; i < n; i++) {
        if (segs[i].kind == HG_SEG_TCP)
            input_segment(tcp, &segs[i], hash[i]);
        else
            tcp_icmp_input(tcp, &segs[i]);
    }
}

void hg_tcp_input(struct hg_tcp *tcp, struct hg_seg *segs, unsigned n, hg_ns now)
{
    tcp_clock(tcp, now);
    for (unsigned i = 0; i < n; i += BURST)
        input_burst(tcp, segs + i, n - i < BURST ? n - i : BURST);
}
