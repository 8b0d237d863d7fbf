/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening: LISTEN, SYN-SENT and SYN-RECEIVED (RFC 9293 3.10.7.2 and 3.10.7.3, RFC 5961, RFC 6528).
 *
 * A half-open connection costs one entry of the pool and there are at most half_open_max of them,
 * each for at most syn_timeout. Beyond cookies_from, SYNs are answered without an entry
 * (tcp_cookie.h): a flood of SYNs costs a hash and a packet for each, and neither shuts out new
 * connections nor hurts those that stand.
 */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <errno.h>
#include <string.h>

#define UTO_LEAST 100u    /* seconds: RFC 5482 3.1 L_LIMIT, RFC 1122 4.2.3.5 R2 */
#define UTO_MOST 3600u    /* U_LIMIT */
#define PORT_FIRST 49152u /* RFC 6335 6: dynamic ports */
#define PORT_MASK 16383u
#define RTO_AFTER_SYN_LOSS HG_SEC(3) /* RFC 6298 5.7 */

static void start_handshake(struct hg_tcp_conn *conn, uint32_t iss, uint32_t ts_offset)
{
    struct hg_tcp *tcp = conn->tcp;

    conn->iss = iss;
    conn->ts_offset = ts_offset;
    conn->snd_una = iss;
    conn->snd_nxt = iss + 1;
    tcp_sndq_init(&conn->sndq, iss + 1);
    tcp_rtt_init(&conn->rtt);
    conn->rcv_mss = tcp_segment_mss(tcp, &conn->flow);
    if (conn->rcv_mss > TCP_DEFAULT_MSS)
        conn->rcv_mss = TCP_DEFAULT_MSS;
    conn->last_rx = tcp->now;
    tcp_space_init(conn);
    tcp_timer_set(conn, TCP_T_LIFE, tcp->now + tcp->cfg.syn_timeout);
}

/* RFC 6528 3: a clock of about 4 microseconds plus a secret function of the addresses; the other
 * half of the hash hides our uptime in the timestamps (RFC 7323 5.4). */
static void choose_numbers(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    uint64_t h = tcp_siphash(tcp->cfg.secret, &conn->flow, sizeof conn->flow);

    start_handshake(conn, (uint32_t)(tcp->now >> 12) + (uint32_t)h, (uint32_t)(h >> 32));
}

/* What we offer, and with a SYN from the peer: what of it both want. */
static uint32_t our_options(const struct hg_tcp_cfg *cfg)
{
    return (cfg->no_timestamps ? 0 : TCP_F_TS) | (cfg->no_sack ? 0 : TCP_F_SACK) |
           (cfg->no_wscale ? 0 : TCP_F_WSCALE);
}

/* RFC 3168 6.1.1: a SYN asks with both bits, a SYN-ACK agrees with ECE alone. */
static void learn_ecn(struct hg_tcp_conn *conn, uint8_t flags)
{
    bool asked = (flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
    bool agreed = (flags & (TCP_ECE | TCP_CWR | TCP_ACK)) == (TCP_ECE | TCP_ACK);

    if (flags & TCP_ACK ? !agreed || conn->tries : !asked || conn->tcp->cfg.ecn == HG_TCP_ECN_OFF)
        conn->flags &= ~TCP_F_ECN;
    else if (!(flags & TCP_ACK))
        conn->flags |= TCP_F_ECN;
}

/* RFC 5482 3.1: the longer of the two wishes, within limits. */
static void learn_user_timeout(struct hg_tcp_conn *conn, const struct tcp_hdr *h)
{
    uint32_t wish = h->uto & 0x7fff;

    if (!(h->has & TCP_HAS_UTO) || conn->flags & TCP_F_UTO_SET)
        return;
    wish = h->uto & 0x8000 ? wish * 60 : wish;
    if (wish < conn->uto_s)
        wish = conn->uto_s;
    conn->uto_s = wish < UTO_LEAST ? UTO_LEAST : wish > UTO_MOST ? UTO_MOST : wish;
}

/* The same in terms of a header. */
static uint8_t wanted(const struct hg_tcp_cfg *cfg)
{
    return (uint8_t)((cfg->no_timestamps ? 0 : TCP_HAS_TS) | (cfg->no_sack ? 0 : TCP_HAS_SACK_OK) |
                     (cfg->no_wscale ? 0 : TCP_HAS_WSCALE));
}

static void learn_syn(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    const struct tcp_hdr *h = &s->h;
    uint32_t theirs = (h->has & TCP_HAS_TS ? TCP_F_TS : 0) |
                      (h->has & TCP_HAS_SACK_OK ? TCP_F_SACK : 0) |
                      (h->has & TCP_HAS_WSCALE ? TCP_F_WSCALE : 0);
    uint16_t mss = h->has & TCP_HAS_MSS ? h->mss : TCP_DEFAULT_MSS, own;

    conn->flags &= ~(TCP_F_TS | TCP_F_SACK | TCP_F_WSCALE);
    conn->flags |= theirs & our_options(&tcp->cfg);
    if (conn->flags & TCP_F_WSCALE) {
        conn->snd_wscale = h->wscale;
        conn->rcv_wscale = tcp->rcv_wscale;
    }
    if (conn->flags & TCP_F_TS)
        conn->ts_recent = h->ts_val;
    learn_ecn(conn, h->flags);
    learn_user_timeout(conn, h);
    own = tcp_segment_mss(tcp, &conn->flow);
    mss = mss < own ? mss : own;
    conn->snd_mss = mss > TCP_MIN_MSS ? mss : TCP_MIN_MSS;
    conn->irs = h->seq;
    tcp_trace(conn, TCP_TR_SYN_IN, mss, h->wnd);
    conn->rcv_adv =
        h->seq + 1 + (conn->rcv_adv - conn->rcv_nxt); /* what our SYN offered, if sent */
    conn->rcv_nxt = h->seq + 1;
    conn->last_ack_sent = conn->rcv_nxt;
    conn->snd_wnd = conn->snd_wnd_max = h->wnd; /* not scaled in a SYN (RFC 7323 2.2) */
    conn->snd_wl1 = h->seq;
    conn->snd_wl2 = h->ack;
    tcp_cc_init(&conn->cc, tcp_cc_of(&tcp->cfg), tcp_mss(conn), tcp->cfg.snd_buf);
    if (tcp->cfg.init_cwnd)
        conn->cc.cwnd = tcp->cfg.init_cwnd * tcp_mss(conn);
}

/* Our SYN is acknowledged by s. */
static void established(struct hg_tcp_conn *conn, const struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->state == TCP_ST_SYN_RECEIVED && !(conn->flags & TCP_F_ACTIVE))
        tcp->n_half_open--;
    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_ESTABLISHED);
    conn->state = TCP_ST_ESTABLISHED;
    conn->snd_una = s->h.ack;
    tcp_sent_reset(&conn->sent, conn->snd_una);
    tcp_timer_clear(conn, TCP_T_RTX);
    conn->flags &= ~TCP_F_SYN_DUE;
    conn->rtt.shift = 0;
    if (conn->tries) {
        conn->rtt.rto = RTO_AFTER_SYN_LOSS;
        conn->cc.cwnd = tcp_mss(conn); /* RFC 5681 3.1: one segment after a lost SYN */
    } else if (conn->progress) {
        tcp_rtt_sample(&conn->rtt, tcp->now - conn->progress, tcp->cfg.rto_min, tcp->cfg.rto_max);
        tcp_rack_sample(&conn->rack, conn->rtt.srtt, tcp->now);
    }
    conn->rtt_next = conn->snd_nxt;
    conn->progress = tcp->now;
    conn->tries = 0;
    tcp_space_start(conn);
    tcp_output_quick_acks(conn);
    tcp_budget_ask(conn); /* our SYN may have offered nothing */
    conn->last_rx = tcp->now;
    tcp_timer_set(conn, TCP_T_LIFE, tcp->now + tcp->cfg.keepalive_idle);
    if (conn->flags & TCP_F_ACTIVE) {
        tcp->count.active_opens++;
        tcp_event(conn, HG_TCP_EV_CONNECTED);
    } else {
        tcp->count.passive_opens++;
        tcp->n_backlog++;
        conn->in_backlog = true;
        tcp_event(conn, HG_TCP_EV_ACCEPTED);
    }
    /* What the service queued before, or a shutdown. */
    if (tcp_sndq_bytes(conn) || conn->flags & TCP_F_FIN_QUEUED)
        tcp_output_want(conn);
}

static bool ip_equal(const struct hg_ip *a, const struct hg_ip *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static struct tcp_listener *find_listener(struct hg_tcp *tcp, const struct hg_flow *flow)
{
    static const struct hg_ip any;
    struct tcp_listener *found = NULL;

    for (unsigned i = 0; i < HG_TCP_LISTENERS_MAX; i++) {
        struct tcp_listener *l = &tcp->listeners[i];
        if (!l->used || l->port != flow->lport)
            continue;
        if (ip_equal(&l->ip, &flow->local))
            return l;
        if (ip_equal(&l->ip, &any))
            found = l;
    }
    return found;
}

/* The segment completes the handshake, and may bring data. May free conn. */
static void complete(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    established(conn, s);
    conn->snd_wl1 = s->h.seq - 1; /* the window of this segment, scaled now, is taken */
    tcp_input_synchronized(conn, s);
}

static struct hg_tcp_conn *new_half_open(struct hg_tcp *tcp, const struct tcp_seg *s,
                                         const struct tcp_listener *listener)
{
    struct hg_tcp_conn *conn = tcp_conn_new(tcp, s->flow, s->hash);

    if (!conn) {
        tcp->count.conn_limit_drop++;
        return NULL;
    }
    conn->listener = listener->user;
    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_SYN_RECEIVED);
    conn->state = TCP_ST_SYN_RECEIVED;
    tcp->n_half_open++;
    return conn;
}

static void send_cookie(struct hg_tcp *tcp, const struct tcp_seg *s)
{
    struct tcp_cookie cookie;
    struct tcp_cookie_syn syn = {
        .seq = s->h.seq,
        .mss = s->h.has & TCP_HAS_MSS ? s->h.mss : TCP_DEFAULT_MSS,
        .has = s->h.has & wanted(&tcp->cfg),
        .wscale = s->h.wscale,
        .ecn = tcp->cfg.ecn != HG_TCP_ECN_OFF &&
               (s->h.flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR),
    };

    tcp_cookie_make(&tcp->cookies, s->flow, &syn, tcp->now, &cookie);
    tcp_segment_cookie(tcp, s, &cookie);
}

/* Whether s brings a cookie of ours back. A peer with data whose ACK was lost asks for a window, with
 * the number before the ACK's and at most one old byte (RFC 1122 4.2.3.6): s is made that ACK then. */
static bool is_cookie(struct hg_tcp *tcp, struct tcp_seg *s, struct tcp_cookie *cookie)
{
    struct tcp_hdr ack = s->h;

    if (tcp_cookie_check(&tcp->cookies, s->flow, &ack, tcp->now, cookie))
        return true;
    ack.seq++;
    if (s->len > 1 || s->h.flags & TCP_FIN ||
        !tcp_cookie_check(&tcp->cookies, s->flow, &ack, tcp->now, cookie))
        return false;
    s->h.seq++;
    s->seq++;
    s->off += s->len;
    s->len = 0;
    return true;
}

/* The ACK that ends a handshake of which we kept nothing. False: it is not for a cookie. */
static bool accept_cookie(struct hg_tcp *tcp, struct tcp_seg *s,
                          const struct tcp_listener *listener)
{
    struct tcp_cookie cookie;
    struct hg_tcp_conn *conn;

    if (!tcp_cookie_expected(&tcp->cookies, tcp->now))
        return false;
    if (!is_cookie(tcp, s, &cookie)) {
        tcp->count.syncookies_bad++;
        return false;
    }
    if (tcp->n_backlog >= tcp->cfg.accept_max) {
        tcp->count.accept_drop++;
        return true;
    }
    conn = new_half_open(tcp, s, listener);
    if (!conn)
        return true;
    tcp_cookie_redeem(&tcp->cookies, cookie.mac);
    tcp->count.syncookies_ok++;
    start_handshake(conn, cookie.iss, cookie.ts_offset);
    struct tcp_seg syn = {.h = {.seq = cookie.syn.seq,
                                .flags = cookie.syn.ecn ? TCP_ECE | TCP_CWR : 0,
                                .ts_val = s->h.ts_val,
                                .wnd = s->h.wnd,
                                .mss = cookie.syn.mss,
                                .has = cookie.syn.has,
                                .wscale = cookie.syn.wscale}};
    learn_syn(conn, &syn);
    /* The SYN-ACK closed the window: the peer waits for one. Who gets none now is in the queue for
     * memory, from established() on. */
    if (tcp_segment_edge_gain(conn))
        tcp_output_ack_now(conn);
    complete(conn, s);
    return true;
}

static void accept_syn(struct hg_tcp *tcp, struct tcp_seg *s, const struct tcp_listener *listener)
{
    struct hg_tcp_conn *conn;

    if (tcp->n_backlog >= tcp->cfg.accept_max) {
        tcp->count.accept_drop++;
        return;
    }
    if (tcp->n_half_open >= tcp->cfg.cookies_from && !tcp->cfg.no_cookies) {
        send_cookie(tcp, s);
        return;
    }
    if (tcp->n_half_open >= tcp->cfg.half_open_max) {
        tcp->count.half_open_drop++;
        return;
    }
    conn = new_half_open(tcp, s, listener);
    if (!conn)
        return;
    choose_numbers(conn);
    learn_syn(conn, s);
    conn->flags |= TCP_F_SYN_DUE;
    tcp_output_want(conn);
}

/* Another stack of the node may have the connection: fragments and the like do not always come to the
 * shard that does. */
static bool pass_stray(struct hg_tcp *tcp, struct tcp_seg *s)
{
    const struct hg_seg seg = {.kind = HG_SEG_TCP, .m = s->m, .flow = *s->flow, .ecn = s->ecn};

    if (!tcp->env.stray || !tcp->env.stray(tcp->env.arg, &seg))
        return false;
    s->m = NULL;
    return true;
}

static bool allowed(const struct tcp_listener *listener, const struct hg_ip *remote)
{
    const struct hg_tcp_allow *allow = listener->allow;

    if (!allow || !allow->n)
        return true;
    for (unsigned i = 0; i < allow->n; i++)
        if (hg_ip_in(remote, &allow->prefix[i].ip, allow->prefix[i].len))
            return true;
    return false;
}

/* Whoever is not allowed cannot tell the listener from a closed port, or from no host at all. */
static void refuse(struct hg_tcp *tcp, struct tcp_seg *s, const struct tcp_listener *listener)
{
    uint8_t flags = s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

    /* We may have connected to it from that port. */
    if (flags != TCP_SYN && pass_stray(tcp, s))
        return;
    tcp->count.rx_not_allowed++;
    if (!(flags & TCP_RST) && !listener->allow->silent && !tcp->cfg.closed_silent)
        tcp_segment_rst_reply(tcp, s);
}

/* RFC 9293 3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN). Text in a SYN is not taken; the peer sends it
 * again. */
void tcp_open_no_conn(struct hg_tcp *tcp, struct tcp_seg *s)
{
    const struct tcp_listener *listener = find_listener(tcp, s->flow);
    uint8_t flags = s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);

    if (listener && !allowed(listener, &s->flow->remote)) {
        refuse(tcp, s, listener);
        return;
    }
    if (listener && flags & TCP_ACK && !(flags & (TCP_SYN | TCP_RST)) &&
        accept_cookie(tcp, s, listener))
        return;
    if (flags != TCP_SYN && pass_stray(tcp, s))
        return;
    if (flags & TCP_RST) {
        tcp->count.rx_rst_ignored++;
    } else if (listener && flags == TCP_SYN) {
        accept_syn(tcp, s, listener);
    } else if (listener && !(flags & TCP_ACK)) {
        tcp->count.rx_bad_flags++;
    } else if (!listener && tcp->cfg.closed_silent) {
        tcp->count.rx_closed_silent++;
    } else {
        if (flags == TCP_SYN)
            tcp->count.rx_no_listener++;
        else
            tcp->count.rx_no_conn++;
        tcp_segment_rst_reply(tcp, s);
    }
}

/* RFC 9293 3.10.7.3. */
void tcp_open_syn_sent(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    bool acks = s->h.flags & TCP_ACK;

    conn->segs_in++;
    /* First: the ACK bit. Only our SYN can be acknowledged. A peer that still has an older
     * connection answers with another number, and our reset makes it forget that. */
    if (acks && s->h.ack != conn->snd_nxt) {
        tcp->count.rx_bad_ack++;
        tcp_segment_rst_reply(tcp, s);
        return;
    }
    /* Second: RST counts only with an ACK of our SYN. */
    if (s->h.flags & TCP_RST) {
        if (!acks) {
            tcp->count.rx_rst_ignored++;
            return;
        }
        tcp->count.rx_rst++;
        tcp_conn_kill(conn, -ECONNREFUSED);
        return;
    }
    /* Third: security, not implemented. Fourth: SYN. */
    if (!(s->h.flags & TCP_SYN)) {
        tcp->count.rx_bad_flags++;
        return;
    }
    learn_syn(conn, s);
    if (acks) {
        established(conn, s);
        tcp_output_ack_now(conn);
        return;
    }
    /* Both opened at once (RFC 9293 3.5 figure 7). */
    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_SYN_RECEIVED);
    conn->state = TCP_ST_SYN_RECEIVED;
    conn->flags |= TCP_F_SYN_DUE;
    tcp_output_want(conn);
}

/* RFC 9293 3.10.7.4 for SYN-RECEIVED, up to the fifth step. */
void tcp_open_syn_received(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    bool same_syn = s->h.flags & TCP_SYN && s->h.seq == conn->irs;

    if (!tcp_input_paws(conn, s)) {
        tcp->count.rx_paws++;
        tcp_trace(conn, TCP_TR_PAWS, s->h.ts_val, conn->ts_recent);
        tcp_output_ack_limited(conn, NULL);
        return;
    }
    if (s->h.flags & TCP_RST) {
        tcp_input_rst(conn, s, -ECONNREFUSED);
        return;
    }
    if (same_syn && s->h.flags & TCP_ACK && s->h.ack == conn->snd_nxt) {
        /* Simultaneous open: the peer's SYN-ACK repeats its SYN. What follows is its ACK. */
        s->h.flags &= (uint8_t)~TCP_SYN;
        s->seq++;
        s->h.seq++;
        tcp_output_ack_now(conn);
    } else if (same_syn && !(s->h.flags & TCP_ACK)) {
        conn->segs_in++;
        conn->flags |= TCP_F_SYN_DUE; /* our SYN-ACK was lost */
        tcp_output_want(conn);
        return;
    } else if (s->h.flags & TCP_SYN) {
        tcp->count.rx_syn_in_conn++;
        tcp_output_ack_limited(conn, &tcp->count.challenge_acks);
        return;
    }
    /* Fifth: the ACK bit. */
    if (!(s->h.flags & TCP_ACK)) {
        tcp->count.rx_bad_flags++;
        return;
    }
    if (s->h.ack != conn->snd_nxt) {
        tcp->count.rx_bad_ack++;
        tcp_segment_rst_reply(tcp, s);
        return;
    }
    if (seq_lt(s->h.seq, conn->rcv_nxt) || seq_gt(s->h.seq, conn->rcv_adv)) {
        tcp->count.rx_out_of_window++;
        tcp_output_ack_limited(conn, NULL);
        return;
    }
    if (!(conn->flags & TCP_F_ACTIVE) && tcp->n_backlog >= tcp->cfg.accept_max) {
        tcp->count.accept_drop++; /* it will come again, with data or after our SYN-ACK */
        return;
    }
    complete(conn, s);
}

void tcp_open_active(struct hg_tcp_conn *conn)
{
    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_SYN_SENT);
    conn->state = TCP_ST_SYN_SENT;
    conn->flags |= TCP_F_ACTIVE | TCP_F_OWNED | TCP_F_SYN_DUE | our_options(&conn->tcp->cfg);
    if (conn->tcp->cfg.ecn == HG_TCP_ECN_ASK)
        conn->flags |= TCP_F_ECN;
    choose_numbers(conn);
    conn->snd_mss = TCP_DEFAULT_MSS;
    tcp_output_want(conn);
}

int tcp_open_port(struct hg_tcp *tcp, struct hg_flow *flow)
{
    flow->lport = 0;
    /* RFC 6056 3.3.3: a secret offset for each destination, and a counter. */
    uint32_t offset = (uint32_t)tcp_siphash(tcp->cfg.secret, flow, sizeof *flow);

    for (uint32_t i = 0; i <= PORT_MASK; i++) {
        flow->lport = (uint16_t)(PORT_FIRST + ((offset + tcp->port_next++) & PORT_MASK));
        if (!tcp_table_find(tcp, flow, tcp_flow_hash(tcp->cfg.secret, flow)))
            return 0;
    }
    return -EADDRINUSE;
}
