/* SPDX-License-Identifier: BSD-3-Clause */
#include "dpdk_priv.h"
#include <stdio.h>
#include <string.h>

#define PEEK_IOV 64
#define GATHER_IOV 16
#define RECORDS_PER_RUN 8 /* fairness between connections of one turn */
#define OUT_LOW (4u * HG_TLS_MAX_PLAINTEXT)

void dconn_queue(struct dconn *c)
{
    if (c->queued)
        return;
    c->queued = true;
    TAILQ_INSERT_TAIL(&c->dpdk->run, c, link);
}

/* ---- connecting and closing ---- */

void dconn_connect(struct dconn *c)
{
    int rc = hg_tcp_connect(c->dpdk->tcp, &c->dpdk->flow, c, c->dpdk->now, &c->tcp);

    if (rc != 0) {
        session_down(c->session, false, strerror(-rc), c->dpdk->now);
        return;
    }
    c->state = DCONN_TCP;
}

/* Output of TLS itself: handshake messages, alerts, close_notify. */
static bool flush_tls(struct dconn *c)
{
    while (hg_tls_pending(c->tls) != 0) {
        struct rte_mbuf *m;

        if (hg_tcp_send_space(c->tcp) < TX_ROOM)
            return false;
        m = rte_pktmbuf_alloc(c->dpdk->tx_pool);
        if (m == NULL)
            return false;
        m->data_len = (uint16_t)hg_tls_take(c->tls, rte_pktmbuf_mtod(m, uint8_t *), TX_ROOM);
        m->pkt_len = m->data_len;
        if (hg_tcp_send(c->tcp, m) != 0) {
            rte_pktmbuf_free(m);
            return false;
        }
    }
    return true;
}

void dconn_close(struct dconn *c, bool never, const char *why)
{
    struct dpdk *d = c->dpdk;

    if (c->state == DCONN_NONE)
        return;
    if (c->tls != NULL) {
        hg_tls_close(c->tls);
        flush_tls(c);
        hg_tls_destroy(c->tls);
        c->tls = NULL;
    }
    /* Unread bytes would turn the release into a reset. */
    hg_tcp_consume(c->tcp, hg_tcp_readable(c->tcp));
    hg_tcp_shutdown(c->tcp);
    hg_tcp_release(c->tcp);
    c->tcp = NULL;
    if (c->queued)
        TAILQ_REMOVE(&d->run, c, link);
    c->queued = c->eof = c->has_frame = false;
    c->out_at = c->out_len = 0;
    c->state = DCONN_NONE;
    session_down(c->session, never, why, d->now);
}

static void connected(struct dconn *c)
{
    struct dpdk *d = c->dpdk;

    if (hg_tls_create(d->ctx[c->session->cert % d->n_ctx], d->tls, &c->tls) != 0) {
        dconn_close(c, true, "TLS: out of memory");
        return;
    }
    c->state = DCONN_TLS;
}

void dconn_event(struct dconn *c, uint32_t what)
{
    if (what & HG_TCP_EV_CLOSED) {
        int rc = hg_tcp_conn_error(c->tcp);
        char why[128];

        snprintf(why, sizeof why, "%s: %s",
                 c->state == DCONN_TCP ? "cannot connect" : "the connection broke",
                 rc != 0 ? strerror(-rc) : "closed by the node");
        dconn_close(c, false, why);
        return;
    }
    if (what & HG_TCP_EV_CONNECTED)
        connected(c);
    if (what & HG_TCP_EV_EOF)
        c->eof = true;
    dconn_queue(c);
}

/* ---- sending ---- */

/* Up to one record's worth of plaintext. Gathering: from the frame at hand and, while it lasts,
 * those after it; `frames` keeps their headers until they are sealed. */
struct gather {
    struct hg_iov iov[GATHER_IOV];
    unsigned n;
    uint32_t len; /* bytes */
    uint32_t max; /* of len: what a record may carry */
    struct hg_source_frame frames[GATHER_IOV / 2];
    unsigned n_frames;
};

static void gather_add(struct gather *g, const uint8_t *base, uint32_t len)
{
    g->iov[g->n++] = (struct hg_iov){(uint8_t *)(uintptr_t)base, len};
    g->len += len;
}

/* Adds what is left of f from `at` on; returns the new `at`. */
static uint32_t gather_frame(struct gather *g, const struct hg_source_frame *f, uint32_t at)
{
    uint32_t end = HG_FRAME_HEADER + f->payload_len;

    if (at < HG_FRAME_HEADER) {
        uint32_t n = HG_FRAME_HEADER - at;

        if (n > g->max - g->len)
            n = g->max - g->len;
        gather_add(g, f->header + at, n);
        at += n;
    }
    if (at >= HG_FRAME_HEADER && at < end && g->len < g->max) {
        uint32_t n = end - at;

        if (n > g->max - g->len)
            n = g->max - g->len;
        gather_add(g, f->payload + (at - HG_FRAME_HEADER), n);
        at += n;
    }
    return at;
}

/* 0, or negative when the connection must be closed. */
static int gather_replay(struct dconn *c, struct gather *g)
{
    while (g->len < g->max && g->n_frames < HG_ARRAY_LEN(g->frames)) {
        struct hg_source_frame *f = &g->frames[g->n_frames];

        if (!c->has_frame) {
            int rc = session_next(c->session, c->dpdk->now, &c->frame);

            if (rc <= 0)
                return rc;
            c->has_frame = true;
            c->frame_at = 0;
        }
        /* A copy: c->frame may hold the next one before the record is sealed. */
        *f = c->frame;
        g->n_frames++;
        c->frame_at = gather_frame(g, f, c->frame_at);
        c->has_frame = c->frame_at < HG_FRAME_HEADER + f->payload_len;
    }
    return 0;
}

/* As fill() in kernel.c: the payload lives in the thread's scratch until the next frame is made. */
static int fill_out(struct dconn *c)
{
    memmove(c->out, c->out + c->out_at, c->out_len - c->out_at);
    c->out_len -= c->out_at;
    c->out_at = 0;
    while (c->out_len < OUT_LOW) {
        struct hg_source_frame f;
        int rc = session_next(c->session, c->dpdk->now, &f);

        if (rc <= 0)
            return rc;
        memcpy(c->out + c->out_len, f.header, HG_FRAME_HEADER);
        c->out_len += HG_FRAME_HEADER;
        if (f.payload_len != 0)
            memcpy(c->out + c->out_len, f.payload, f.payload_len);
        c->out_len += f.payload_len;
    }
    return 0;
}

static int gather_out(struct dconn *c, struct gather *g)
{
    int rc = 0;
    uint32_t n;

    if (c->out_len - c->out_at < g->max)
        rc = fill_out(c);
    n = c->out_len - c->out_at;
    if (n > g->max)
        n = g->max;
    if (n != 0)
        gather_add(g, c->out + c->out_at, n);
    c->out_at += n;
    /* What was made before the failure is still sent. */
    return n != 0 ? 0 : rc;
}

enum sent {
    SENT_ALL, /* nothing is due */
    SENT_SOME,
    SENT_BLOCKED, /* TCP's buffer is full: HG_TCP_EV_WRITABLE follows */
    SENT_NO_MBUF, /* others hold all packet buffers: try again next turn */
    SENT_FAILED,
};

static enum sent send_record(struct dconn *c)
{
    struct gather g; /* large: only its counts are set */
    struct rte_mbuf *m;
    int rc;

    /* A key update goes before the next record. */
    if (hg_tls_pending(c->tls) != 0 && !flush_tls(c))
        return SENT_NO_MBUF;
    if (hg_tcp_send_space(c->tcp) < TX_ROOM)
        return SENT_BLOCKED;
    m = rte_pktmbuf_alloc(c->dpdk->tx_pool);
    if (m == NULL)
        return SENT_NO_MBUF;
    g.n = g.n_frames = g.len = 0;
    g.max = hg_tls_max_fragment(c->tls);
    rc = c->out == NULL ? gather_replay(c, &g) : gather_out(c, &g);
    if (rc != 0 || g.len == 0) {
        rte_pktmbuf_free(m);
        return rc != 0 ? SENT_FAILED : SENT_ALL;
    }
    rc = hg_tls_seal(c->tls, g.iov, g.n, rte_pktmbuf_mtod(m, uint8_t *), TX_ROOM);
    if (rc > 0) {
        m->data_len = (uint16_t)rc;
        m->pkt_len = (uint32_t)rc;
        rc = hg_tcp_send(c->tcp, m);
    }
    if (rc != 0) {
        rte_pktmbuf_free(m);
        return SENT_FAILED;
    }
    return SENT_SOME;
}

/* ---- receiving ---- */

enum got { GOT_RECORD, GOT_NOTHING, GOT_END };

static enum got receive_record(struct dconn *c)
{
    struct hg_iov iov[PEEK_IOV];
    const struct hg_iov dst = {c->dpdk->record, sizeof c->dpdk->record};
    struct hg_tls_opened res = {0};
    unsigned n;

    if (hg_tcp_readable(c->tcp) == 0)
        return GOT_NOTHING;
    n = hg_tcp_peek(c->tcp, iov, PEEK_IOV);
    if (hg_tls_open(c->tls, iov, n, &dst, &res) != 0) {
        char why[600];

        snprintf(why, sizeof why, "TLS: %s", hg_tls_error(c->tls));
        dconn_close(c, true, why);
        return GOT_END;
    }
    hg_tcp_consume(c->tcp, res.consumed);
    if (c->state == DCONN_TLS && hg_tls_state(c->tls) == HG_TLS_OPEN) {
        c->state = DCONN_UP;
        session_up(c->session, c->dpdk->now);
    }
    if (res.len != 0 && !session_input(c->session, dst.base, res.len, c->dpdk->now)) {
        /* Whatever the session still has to say goes out before the close. */
        if (flush_tls(c))
            send_record(c);
        dconn_close(c, false, NULL);
        return GOT_END;
    }
    return res.consumed != 0 ? GOT_RECORD : GOT_NOTHING;
}

/* The node's end of stream, after all that came before it was read. */
static bool ended(const struct dconn *c)
{
    return c->eof || hg_tls_state(c->tls) == HG_TLS_PEER_CLOSED;
}

bool dconn_run(struct dconn *c)
{
    enum got got = GOT_RECORD;
    enum sent sent = SENT_SOME;

    if (c->state != DCONN_TLS && c->state != DCONN_UP)
        return false;
    for (unsigned i = 0; i < RECORDS_PER_RUN && got == GOT_RECORD; i++)
        got = receive_record(c);
    if (got == GOT_END)
        return false;
    if (got == GOT_NOTHING && ended(c)) {
        dconn_close(c, false, "the node closed the connection");
        return false;
    }
    if (!flush_tls(c) || c->state != DCONN_UP)
        return got == GOT_RECORD;
    for (unsigned i = 0; i < RECORDS_PER_RUN && sent == SENT_SOME; i++)
        sent = send_record(c);
    if (sent == SENT_FAILED) {
        dconn_close(c, false, NULL);
        return false;
    }
    return got == GOT_RECORD || sent == SENT_SOME || sent == SENT_NO_MBUF;
}
