/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds one segment and hands it to env.emit: header mbuf, options, window field, payload clones.
 *
 * The window field is where the right edge is promised. Rules: the edge never moves left (RFC 9293
 * 3.8.6: SHLD-14); it moves right only by a segment or half the buffer at once (3.8.6.2.2). The
 * field counts units of 2^rcv_wscale, so an edge that is kept while RCV.NXT moves is rounded up,
 * that is, by less than one unit to the right. Only when such units add up to an eighth of the
 * buffer (a peer that sends tiny segments to a service that does not read) is it rounded down; what
 * lies below the old edge is still accepted (RFC 7323 2.4).
 */
#include "tcp_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define WND_FIELD_MAX 65535u
#define ECN_ECT0 2 /* RFC 3168 5 */

_Static_assert(RTE_PKTMBUF_HEADROOM >= HG_NET_HEADROOM, "default headroom is enough for emit");

uint16_t tcp_segment_mss(const struct hg_tcp *tcp, const struct hg_flow *flow)
{
    unsigned headers = hg_ip_is_v4(&flow->remote) ? 40 : 60;
    uint16_t mtu = tcp_pmtu_get(tcp, flow);
    uint16_t mss = mtu > headers + TCP_MIN_MSS ? (uint16_t)(mtu - headers) : TCP_MIN_MSS;

    return tcp->cfg.mss && tcp->cfg.mss < mss ? tcp->cfg.mss : mss;
}

uint32_t tcp_segment_edge_gain(const struct hg_tcp_conn *conn)
{
    uint32_t wnd = tcp_budget_window(conn);
    uint32_t limit = WND_FIELD_MAX << conn->rcv_wscale;
    uint32_t edge = conn->rcv_nxt + (wnd < limit ? wnd : limit);

    return seq_gt(edge, conn->rcv_adv) ? edge - conn->rcv_adv : 0;
}

/* Moves the edge if that is allowed and worth it, and returns the window field. */
static uint16_t window_field(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    uint32_t unit = 1u << conn->rcv_wscale, half = tcp->cfg.rcv_buf / 2;

    tcp_budget_ask(conn);
    uint32_t gain = tcp_segment_edge_gain(conn);
    /* What a grant lacks (tcp_budget.c) may be less than a segment, and is wanted all the same. */
    if (gain &&
        (conn->grant == TCP_GRANT_HELD || gain >= (conn->rcv_mss < half ? conn->rcv_mss : half)))
        conn->rcv_adv += gain;
    uint32_t wnd = conn->rcv_adv - conn->rcv_nxt;
    uint32_t up = (wnd + unit - 1) & ~(unit - 1);
    uint32_t most = tcp->cfg.rcv_buf + tcp->cfg.rcv_buf / 8 + unit;
    if (up >> conn->rcv_wscale > WND_FIELD_MAX || up + conn->rxq_bytes > most)
        up = wnd & ~(unit - 1);
    conn->rcv_adv = seq_max(conn->rcv_adv, conn->rcv_nxt + up);
    tcp_budget_promise(conn);
    if (unlikely(up && conn->flags & TCP_F_ZERO_WND))
        tcp_trace(conn, TCP_TR_WND_OPENED, up, 0);
    if (up)
        conn->flags &= ~TCP_F_ZERO_WND;
    else if (!(conn->flags & TCP_F_ZERO_WND)) {
        conn->flags |= TCP_F_ZERO_WND;
        tcp->count.zero_windows_sent++;
        tcp_trace(conn, TCP_TR_WND_CLOSED, conn->rxq_bytes, 0);
    }
    return (uint16_t)(up >> conn->rcv_wscale);
}

/* SACK blocks that the next segment reports: a duplicate first (RFC 2883 4), then the intervals. */
static void sack_blocks(const struct hg_tcp_conn *conn, struct tcp_hdr *h)
{
    unsigned max = tcp_hdr_sack_max(h);

    if (conn->flags & TCP_F_DSACK)
        h->sack[h->n_sack++] = conn->dsack;
    h->n_sack += (uint8_t)tcp_reass_blocks(&conn->reass, &h->sack[h->n_sack], max - h->n_sack);
}

static void set_timestamps(const struct hg_tcp_conn *conn, struct tcp_hdr *h)
{
    h->has |= TCP_HAS_TS;
    h->ts_val = conn->tcp->ts_now + conn->ts_offset;
    h->ts_ecr = conn->ts_recent;
}

uint32_t tcp_segment_room(const struct hg_tcp_conn *conn)
{
    uint32_t room = tcp_mss(conn);

    if (unlikely((conn->flags & TCP_F_SACK) && (conn->reass.n || conn->flags & TCP_F_DSACK))) {
        struct tcp_hdr h = {.has = conn->flags & TCP_F_TS ? TCP_HAS_TS : 0};
        uint32_t n = conn->reass.n + !!(conn->flags & TCP_F_DSACK), max = tcp_hdr_sack_max(&h);
        room -= 4 + 8 * (n < max ? n : max);
    }
    return room;
}

/* Writes the header in front of the payload and lets the segment go. */
static void emit(struct hg_tcp *tcp, struct rte_mbuf *m, const struct tcp_hdr *h,
                 const struct hg_tx *tx)
{
    unsigned len = tcp_hdr_build(rte_pktmbuf_mtod(m, uint8_t *), h);

    m->data_len = (uint16_t)len;
    m->pkt_len += len;
    tcp->count.tx_segs++;
    tcp->env.emit(tcp->env.arg, m, tx, tcp->now);
}

static struct rte_mbuf *header_mbuf(struct hg_tcp *tcp)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(tcp->cfg.hdr_pool);

    if (unlikely(!m))
        tcp->count.no_mbuf++;
    return m;
}

/* RFC 3168 6.1: the echo in every segment, CWR once, and only new data may be marked (6.1.4 to
 * 6.1.6). Returns the IP ECN bits. */
static uint8_t set_ecn(struct hg_tcp_conn *conn, struct tcp_hdr *h, bool new_data)
{
    if (conn->flags & TCP_F_ECE)
        h->flags |= TCP_ECE;
    if (!new_data)
        return 0;
    if (conn->flags & TCP_F_CWR_DUE) {
        conn->flags &= ~TCP_F_CWR_DUE;
        h->flags |= TCP_CWR;
    }
    return ECN_ECT0;
}

int tcp_segment_send(struct hg_tcp_conn *conn, const struct tcp_out *out)
{
    struct hg_tcp *tcp = conn->tcp;
    struct rte_mbuf *m = header_mbuf(tcp);
    struct tcp_hdr h = {
        .sport = conn->flow.lport,
        .dport = conn->flow.rport,
        .seq = out->seq,
        .ack = conn->rcv_nxt,
        .flags = out->flags | TCP_ACK,
    };
    struct hg_tx tx = {.flow = &conn->flow};
    uint32_t sent = 0;

    if (unlikely(!m))
        return -ENOBUFS;
    if (out->len) {
        struct tcp_block blk = {out->seq, out->seq + out->len};
        sent = tcp_sndq_attach(conn, out->cursor, blk, m);
        if (unlikely(!sent)) {
            tcp->count.no_mbuf++;
            rte_pktmbuf_free(m);
            return -ENOBUFS;
        }
        if (unlikely(sent > tcp_segment_room(conn)) && tcp->cfg.tso_max && !out->probe)
            m->tso_segsz = (uint16_t)tcp_segment_room(conn); /* the layer below cuts it */
        if (sent < out->len)
            h.flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    }
    if (conn->flags & TCP_F_TS)
        set_timestamps(conn, &h);
    if ((conn->flags & TCP_F_SACK) && (conn->reass.n || conn->flags & TCP_F_DSACK))
        sack_blocks(conn, &h);
    h.wnd = window_field(conn);
    conn->flags &= ~(TCP_F_ACK_NOW | TCP_F_ACK_DELAYED | TCP_F_DSACK);
    conn->last_ack_sent = conn->rcv_nxt;
    conn->sack_news = 0;
    tcp_timer_clear(conn, TCP_T_DELACK);
    conn->segs_out++;
    conn->bytes_sent += sent;
    conn->data_segs_out += m->tso_segsz ? (sent + m->tso_segsz - 1) / m->tso_segsz : sent != 0;
    if (unlikely(conn->flags & TCP_F_ECN))
        tx.ecn = set_ecn(conn, &h, sent && !out->again);
    emit(tcp, m, &h, &tx);
    return (int)sent;
}

/* RFC 5482 3: seconds as far as they go, else minutes. */
static void set_user_timeout(const struct hg_tcp_conn *conn, struct tcp_hdr *h)
{
    uint32_t s = (uint32_t)(conn->tcp->cfg.user_timeout / HG_SEC(1));

    h->has |= TCP_HAS_UTO;
    h->uto = (uint16_t)(s <= 0x7fff ? s : 0x8000 | s / 60);
}

int tcp_segment_send_syn(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    struct rte_mbuf *m = header_mbuf(tcp);
    bool reply = conn->state == TCP_ST_SYN_RECEIVED;
    uint32_t wnd = tcp_budget_window(conn);
    struct tcp_hdr h = {
        .sport = conn->flow.lport,
        .dport = conn->flow.rport,
        .seq = conn->iss,
        .ack = reply ? conn->rcv_nxt : 0,
        .flags = reply ? TCP_SYN | TCP_ACK : TCP_SYN,
        .has = TCP_HAS_MSS,
        .mss = tcp_segment_mss(tcp, &conn->flow),
        .wscale = tcp->rcv_wscale,
        .bsd_order = tcp->cfg.syn_order == HG_TCP_SYN_BSD,
        .wnd =
            (uint16_t)(wnd < WND_FIELD_MAX ? wnd : WND_FIELD_MAX), /* never scaled: RFC 7323 2.2 */
    };

    if (unlikely(!m))
        return -ENOBUFS;
    if (conn->flags & TCP_F_WSCALE)
        h.has |= TCP_HAS_WSCALE;
    if (conn->flags & TCP_F_SACK)
        h.has |= TCP_HAS_SACK_OK;
    if (conn->flags & TCP_F_TS)
        set_timestamps(conn, &h);
    if (tcp->cfg.user_timeout)
        set_user_timeout(conn, &h);
    if (conn->flags & TCP_F_ECN) /* RFC 3168 6.1.1; a SYN that got no answer is sent without */
        h.flags |= reply ? TCP_ECE : conn->tries ? 0 : TCP_ECE | TCP_CWR;
    conn->rcv_adv = seq_max(conn->rcv_adv, conn->rcv_nxt + h.wnd);
    tcp_budget_promise(conn);
    conn->last_ack_sent = conn->rcv_nxt;
    conn->segs_out++;
    tcp_trace(conn, TCP_TR_SYN_OUT, conn->tries, h.mss);
    emit(tcp, m, &h, &(struct hg_tx){.flow = &conn->flow});
    return 0;
}

void tcp_segment_cookie(struct hg_tcp *tcp, const struct tcp_seg *s, const struct tcp_cookie *c)
{
    struct rte_mbuf *m = header_mbuf(tcp);
    struct tcp_hdr h = {
        .sport = s->flow->lport,
        .dport = s->flow->rport,
        .seq = c->iss,
        .ack = s->h.seq + 1,
        .flags = TCP_SYN | TCP_ACK,
        .has = c->syn.has | TCP_HAS_MSS,
        .mss = tcp_segment_mss(tcp, s->flow),
        .wscale = tcp->rcv_wscale,
        .ts_val = tcp_cookie_ts(tcp->ts_now + c->ts_offset, c->ts_bits),
        .ts_ecr = s->h.ts_val,
        .wnd = 0, /* closed: tcp_cookie.h */
    };

    if (unlikely(!m))
        return;
    if (c->syn.ecn)
        h.flags |= TCP_ECE; /* RFC 3168 6.1.1 */
    tcp->count.syncookies_sent++;
    emit(tcp, m, &h, &(struct hg_tx){.flow = s->flow});
}

void tcp_segment_rst_reply(struct hg_tcp *tcp, const struct tcp_seg *s)
{
    struct tcp_hdr h = {.sport = s->flow->lport, .dport = s->flow->rport, .flags = TCP_RST};

    if (s->h.flags & TCP_RST)
        return;
    struct rte_mbuf *m = header_mbuf(tcp);
    if (!m)
        return;
    if (s->h.flags & TCP_ACK) {
        h.seq = s->h.ack;
    } else {
        h.flags |= TCP_ACK;
        h.ack = s->h.seq + s->len + !!(s->h.flags & TCP_SYN) + !!(s->h.flags & TCP_FIN);
    }
    tcp->count.tx_rst++;
    emit(tcp, m, &h, &(struct hg_tx){.flow = s->flow});
}

void tcp_segment_rst(struct hg_tcp_conn *conn)
{
    struct rte_mbuf *m = header_mbuf(conn->tcp);
    struct tcp_hdr h = {
        .sport = conn->flow.lport,
        .dport = conn->flow.rport,
        .seq = conn->snd_nxt,
        .ack = conn->rcv_nxt,
        .flags = TCP_RST | TCP_ACK,
    };

    if (!m)
        return;
    conn->tcp->count.tx_rst++;
    tcp_trace(conn, TCP_TR_RST_OUT, conn->snd_nxt - conn->iss, 0);
    conn->segs_out++;
    emit(conn->tcp, m, &h, &(struct hg_tx){.flow = &conn->flow});
}
