/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection: TCP bytes, TLS records and the session joined. Invariants: shard_priv.h. */
#include "shard_priv.h"
#include <errno.h>
#include <rte_prefetch.h>
#include <stdio.h>
#include <string.h>

#define CONN_TICK HG_SEC(1)

static void conn_log(struct hg_conn *c, enum hg_log_level level, const char *what, const char *why)
{
    hg_log_limited(&c->shard->log_limit, c->shard->now, level, "conn", "%s: %s%s%s", c->peer, what,
                   why[0] != '\0' ? ": " : "", why);
}

/* ---- life ---- */

struct hg_conn *conn_accept(struct hg_shard *sh, struct hg_tcp_conn *tcp)
{
    struct hg_conn *c = TAILQ_FIRST(&sh->free_conns);
    const struct hg_flow *flow = hg_tcp_conn_flow(tcp);
    char ip[HG_IP_STRLEN];

    if (c == NULL || sh->draining) {
        sh->count.conns_refused++;
        hg_tcp_abort(tcp);
        hg_tcp_release(tcp);
        return NULL;
    }
    TAILQ_REMOVE(&sh->free_conns, c, link);
    memset(c, 0, sizeof *c);
    c->shard = sh;
    c->tcp = tcp;
    c->in_use = true;
    snprintf(c->peer, sizeof c->peer, "%s:%u", hg_ip_str(&flow->remote, ip), flow->rport);
    sh->n_conns++;
    sh->count.conns++;
    if (hg_tls_create(sh->tls_ctx, sh->tls, &c->tls) != 0) {
        conn_log(c, HG_LOG_ERR, "no memory for TLS", "");
        hg_tcp_abort(tcp);
        conn_free(c);
        return NULL;
    }
    hg_tcp_set_user(tcp, c);
    hg_wheel_arm(&sh->wheel, &c->timer, sh->now + sh->cfg.handshake_timeout);
    return c;
}

static void stash_drop(struct hg_conn *c)
{
    if (c->stash != NULL)
        c->shard->record_free[c->shard->n_record_free++] = c->stash;
    c->stash = NULL;
    c->stash_len = 0;
}

void conn_free(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;

    hg_wheel_stop(&sh->wheel, &c->timer);
    if (c->queued)
        TAILQ_REMOVE(&sh->run, c, link);
    if (c->handshake_queued)
        TAILQ_REMOVE(&sh->handshakes, c, link);
    stash_drop(c);
    if (c->sess != NULL)
        hg_session_close(c->sess, sh->now);
    hg_tls_destroy(c->tls);
    hg_tcp_release(c->tcp);
    c->in_use = false;
    TAILQ_INSERT_TAIL(&sh->free_conns, c, link);
    sh->n_conns--;
    sh->count.conns_closed++;
}

void conn_queue(struct hg_conn *c)
{
    if (c->queued || c->handshake_queued)
        return;
    if (c->state == C_HANDSHAKE) {
        c->handshake_queued = true;
        TAILQ_INSERT_TAIL(&c->shard->handshakes, c, link);
    } else {
        c->queued = true;
        TAILQ_INSERT_TAIL(&c->shard->run, c, link);
    }
}

/* Invariant 5. */
static void conn_close(struct hg_conn *c)
{
    if (c->state == C_CLOSING)
        return;
    c->state = C_CLOSING;
    stash_drop(c);
    if (c->sess != NULL)
        hg_session_close(c->sess, c->shard->now);
    c->sess = NULL;
    hg_tls_close(c->tls);
    conn_flush(c);
    hg_tcp_shutdown(c->tcp);
    hg_wheel_arm(&c->shard->wheel, &c->timer, c->shard->now + c->shard->cfg.linger);
    conn_queue(c);
}

/* Once a second: a peer that lets our bytes lie unacknowledged does not read, even if what we have
 * to say is little enough to fit TCP's buffer. */
static void conn_tick(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    struct hg_tcp_info info;

    hg_tcp_conn_info(c->tcp, &info);
    if (info.unacked + info.unsent == 0 || info.bytes_out - info.unacked != c->acked) {
        c->acked = info.bytes_out - info.unacked;
        c->acked_at = sh->now;
    } else if (sh->now - c->acked_at >= sh->cfg.ingest.write_timeout) {
        hg_session_not_reading(c->sess, sh->now);
        conn_close(c);
        return;
    }
    hg_wheel_arm(&sh->wheel, &c->timer, sh->now + CONN_TICK);
}

void conn_timeout(struct hg_conn *c)
{
    if (c->state == C_SESSION) {
        conn_tick(c);
        return;
    }
    if (c->state == C_HANDSHAKE) {
        c->shard->count.handshake_timeouts++;
        conn_log(c, HG_LOG_WARN, "TLS handshake took too long", "");
        conn_close(c);
        return;
    }
    hg_tcp_abort(c->tcp);
    conn_free(c);
}

void conn_event(struct hg_conn *c, uint32_t what)
{
    if (what & HG_TCP_EV_CLOSED) {
        int rc = hg_tcp_conn_error(c->tcp);

        if (c->state != C_CLOSING) {
            c->shard->count.cut++;
            conn_log(c, HG_LOG_INFO, "connection lost", rc != 0 ? strerror(-rc) : "");
        }
        conn_free(c);
        return;
    }
    if (what & HG_TCP_EV_EOF)
        c->eof = true;
    if (what & HG_TCP_EV_WRITABLE)
        conn_flush(c);
    conn_queue(c);
}

/* ---- out ---- */

/* TCP's answer is no only when we overran the space we asked for: our mistake, so cut. */
static void conn_send(struct hg_conn *c, struct rte_mbuf *m)
{
    if (hg_tcp_send(c->tcp, m) != 0) {
        rte_pktmbuf_free(m);
        hg_tcp_abort(c->tcp);
    }
}

static struct rte_mbuf *tx_mbuf(struct hg_conn *c)
{
    struct rte_mbuf *m;

    if (hg_tcp_send_space(c->tcp) < RTE_MBUF_DEFAULT_DATAROOM)
        return NULL; /* HG_TCP_EV_WRITABLE follows */
    m = rte_pktmbuf_alloc(c->shard->tx_pool);
    if (m == NULL) {
        c->shard->count.tx_no_mbuf++;
        conn_queue(c);
    }
    return m;
}

static bool flush_tls(struct hg_conn *c)
{
    while (hg_tls_pending(c->tls) != 0) {
        struct rte_mbuf *m = tx_mbuf(c);

        if (m == NULL)
            return false;
        m->data_len =
            (uint16_t)hg_tls_take(c->tls, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m));
        m->pkt_len = m->data_len;
        conn_send(c, m);
    }
    return true;
}

/* Session output is made in the packet buffer and sealed there. */
static bool flush_session(struct hg_conn *c)
{
    uint32_t offset = hg_tls_seal_offset(c->tls);

    for (;;) {
        struct rte_mbuf *m = tx_mbuf(c);
        struct hg_iov iov;
        int len;

        if (m == NULL)
            return false;
        iov.base = rte_pktmbuf_mtod_offset(m, uint8_t *, offset);
        iov.len = hg_session_output(c->sess, iov.base, rte_pktmbuf_tailroom(m) - HG_TLS_OVERHEAD,
                                    c->shard->now);
        if (iov.len == 0) {
            rte_pktmbuf_free(m);
            return true;
        }
        len = hg_tls_seal(c->tls, &iov, 1, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m));
        if (len < 0) {
            rte_pktmbuf_free(m);
            return true; /* TLS failed: its alert is pending */
        }
        m->data_len = (uint16_t)len;
        m->pkt_len = (uint32_t)len;
        conn_send(c, m);
    }
}

void conn_flush(struct hg_conn *c)
{
    if (!flush_tls(c) || c->sess == NULL)
        return;
    if (flush_session(c) && hg_session_finished(c->sess))
        conn_close(c);
}

void conn_drain(struct hg_conn *c)
{
    if (c->state == C_HANDSHAKE)
        conn_close(c);
}

/* ---- in ---- */

static void conn_tls_failed(struct hg_conn *c)
{
    conn_log(c, HG_LOG_WARN, "TLS", hg_tls_error(c->tls));
    conn_close(c);
}

/* The peer's FIN before close_notify is a cut: nothing may be concluded from it (RFC 8446 6.1). */
static void conn_eof(struct hg_conn *c)
{
    if (c->state != C_CLOSING && hg_tls_state(c->tls) != HG_TLS_PEER_CLOSED)
        c->shard->count.cut++;
    if (c->state == C_CLOSING)
        conn_free(c);
    else
        conn_close(c);
}

static void session_begin(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;

    c->acked_at = sh->now;
    hg_wheel_arm(&sh->wheel, &c->timer, sh->now + CONN_TICK);
    c->sess = hg_session_create(sh->ingest, hg_tls_peer_name(c->tls), c->peer, c, sh->now);
    if (c->sess == NULL) {
        conn_log(c, HG_LOG_WARN, "no room for another session", hg_tls_peer_name(c->tls));
        conn_close(c);
        return;
    }
    c->state = C_SESSION;
    hg_log_limited(&sh->log_limit, sh->now, HG_LOG_INFO, "conn", "%s: source %s, %s %s", c->peer,
                   hg_tls_peer_name(c->tls), hg_tls_version(c->tls), hg_tls_suite(c->tls));
    conn_queue(c);
}

/* One handshake record; invariant 4. */
void conn_handshake(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    struct hg_iov iov[PEEK_IOV];
    struct hg_iov dst = {.len = HG_TLS_MAX_RECORD};
    struct hg_tls_opened res = {0};
    unsigned n = hg_tcp_peek(c->tcp, iov, PEEK_IOV);
    int rc;

    if (sh->n_record_free == 0) {
        sh->count.no_record_buffer++;
        conn_queue(c);
        return;
    }
    dst.base = sh->record_free[sh->n_record_free - 1];
    rc = hg_tls_open(c->tls, iov, n, &dst, &res);
    hg_tcp_consume(c->tcp, res.consumed);
    sh->count.handshake_steps++;
    if (rc != 0) {
        conn_tls_failed(c);
        return;
    }
    conn_flush(c);
    if (hg_tls_state(c->tls) == HG_TLS_OPEN)
        session_begin(c);
    else if (res.consumed != 0)
        conn_queue(c);
    else if (c->eof)
        conn_eof(c);
}

/* Gives plaintext to the session; what it does not take stays as stash (invariant 2). */
static void deliver(struct hg_conn *c, uint8_t *buf, uint32_t len, bool direct)
{
    uint32_t taken = hg_session_input(c->sess, buf, len, c->shard->now);

    if (taken < len && !direct) {
        c->shard->n_record_free--;
        c->stash = buf;
        c->stash_off = taken;
        c->stash_len = len - taken;
    }
}

/* True when the stash is empty and the session takes more. */
static bool run_stash(struct hg_conn *c)
{
    uint32_t taken = hg_session_input(c->sess, c->stash == NULL ? NULL : c->stash + c->stash_off,
                                      c->stash_len, c->shard->now);

    c->stash_off += taken;
    c->stash_len -= taken;
    if (c->stash_len == 0)
        stash_drop(c);
    return c->stash == NULL && !hg_session_blocked(c->sess);
}

void conn_prefetch(const struct hg_conn *c)
{
    struct hg_iov iov[PEEK_FIRST];
    unsigned n;

    if (c == NULL || c->state != C_SESSION)
        return;
    if (TAILQ_NEXT(c, link) != NULL)
        rte_prefetch0(TAILQ_NEXT(c, link));
    hg_tls_prefetch(c->tls);
    hg_session_prefetch(c->sess);
    n = hg_tcp_peek(c->tcp, iov, PEEK_FIRST);
    for (unsigned i = 0; i < n; i++)
        for (uint32_t at = 0; at < iov[i].len; at += RTE_CACHE_LINE_SIZE)
            rte_prefetch1((uint8_t *)iov[i].base + at);
}

/* The pieces of the next record; 0 when it has not arrived as a whole. A record comes in a dozen
 * segments: the queue is walked once it is worth it, not at each of them. */
static unsigned peek_record(struct hg_conn *c, struct hg_iov *iov)
{
    uint32_t readable = hg_tcp_readable(c->tcp);
    uint32_t seen = 0;
    unsigned n;

    if (readable == 0 || readable < c->record_size)
        return 0;
    n = hg_tcp_peek(c->tcp, iov, PEEK_FIRST);
    c->record_size = hg_tls_record_size(iov, n);
    hg_tcp_set_rcvlowat(c->tcp, c->record_size);
    if (c->record_size > readable)
        return 0;
    for (unsigned i = 0; i < n && seen < c->record_size; i++)
        seen += (uint32_t)iov[i].len;
    return seen < c->record_size || c->record_size == 0 ? hg_tcp_peek(c->tcp, iov, PEEK_IOV) : n;
}

enum record { RECORD_DONE, RECORD_NONE, RECORD_STOP };

/* Opens the next record, straight into the payload's final place when it lies wholly inside it. */
static enum record run_record(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    struct hg_iov iov[PEEK_IOV];
    struct hg_tls_opened res = {0};
    unsigned n = peek_record(c, iov);
    struct hg_iov dst;
    bool direct;

    if (n == 0)
        return RECORD_NONE;
    dst.len = hg_tls_peek(c->tls, iov, n);
    dst.base = dst.len == 0 ? NULL : hg_session_sink(c->sess, dst.len);
    direct = dst.base != NULL;
    if (!direct) {
        if (sh->n_record_free == 0) {
            sh->count.no_record_buffer++;
            conn_queue(c);
            return RECORD_STOP;
        }
        dst.base = sh->record_free[sh->n_record_free - 1];
        dst.len = HG_TLS_MAX_RECORD;
    }
    if (hg_tls_open(c->tls, iov, n, &dst, &res) != 0) {
        conn_tls_failed(c);
        return RECORD_STOP;
    }
    if (res.consumed == 0)
        return RECORD_NONE;
    hg_tcp_consume(c->tcp, res.consumed);
    c->record_size = 0;
    hg_tcp_set_rcvlowat(c->tcp, 1);
    sh->opened += res.len;
    if (res.len != 0)
        deliver(c, dst.base, res.len, direct);
    return hg_session_blocked(c->sess) ? RECORD_STOP : RECORD_DONE;
}

static bool run_closing(struct hg_conn *c)
{
    hg_tcp_consume(c->tcp, hg_tcp_readable(c->tcp));
    if (c->eof)
        conn_free(c);
    return false;
}

bool conn_run(struct hg_conn *c)
{
    enum record r = RECORD_DONE;

    if (c->state == C_CLOSING)
        return run_closing(c);
    if (!run_stash(c))
        return false; /* hg_ingest_ready() brings it back */
    for (unsigned i = 0; i < RECORDS_PER_RUN && r == RECORD_DONE; i++)
        r = run_record(c);
    if (r == RECORD_DONE)
        return true;
    if (r == RECORD_NONE && c->state == C_SESSION &&
        (hg_tls_state(c->tls) == HG_TLS_PEER_CLOSED || c->eof))
        conn_eof(c);
    return false;
}
