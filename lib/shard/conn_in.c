/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's way in: TLS records or plain bytes to the service. Invariants: shard_priv.h. */
#include "shard_priv.h"
#include <rte_prefetch.h>

void conn_tls_failed(struct hg_conn *c)
{
    conn_log(c, HG_LOG_WARN, "TLS", hg_tls_error(c->tls));
    conn_close(c);
}

/* The peer's FIN before close_notify is a cut: nothing may be concluded from it (RFC 8446 6.1). In
 * order, the service may still have something to say. */
void conn_eof(struct hg_conn *c)
{
    bool in_order = c->tls == NULL || hg_tls_state(c->tls) == HG_TLS_PEER_CLOSED;

    if (!in_order)
        c->shard->count.cut++;
    if (in_order && c->svc != NULL && !c->ops->eof(c->svc))
        conn_flush(c);
    else
        conn_close(c);
}

void conn_stash_drop(struct hg_conn *c)
{
    if (c->stash != NULL)
        c->shard->record_free[c->shard->n_record_free++] = c->stash;
    c->stash = NULL;
    c->stash_len = 0;
}

/* True when the stash is empty and the service takes more. A reply that goes out makes room in a
 * service that answers what it takes. */
static bool run_stash(struct hg_conn *c)
{
    struct service_took took;

    do {
        took = c->ops->input(c->svc, c->stash == NULL ? NULL : c->stash + c->stash_off,
                             c->stash_len, c->shard->now);
        c->stash_off += took.n;
        c->stash_len -= took.n;
        if (c->stash_len == 0)
            conn_stash_drop(c);
        if (took.reply)
            conn_flush(c);
        if (c->state != C_SERVICE)
            return false;
    } while (took.reply && took.n != 0 && c->stash != NULL);
    return c->stash == NULL && !took.blocked;
}

/* Gives plaintext to the service; what it does not take stays as stash (invariant 2). True when it
 * takes more. */
static bool deliver(struct hg_conn *c, uint8_t *buf, uint32_t len, bool direct)
{
    struct service_took took = c->ops->input(c->svc, buf, len, c->shard->now);

    if (took.n < len && !direct) {
        c->shard->n_record_free--;
        c->stash = buf;
        c->stash_off = took.n;
        c->stash_len = len - took.n;
    }
    if (!took.reply)
        return !took.blocked;
    conn_flush(c);
    return c->state == C_SERVICE && (c->stash == NULL || run_stash(c));
}

void conn_prefetch(const struct hg_conn *c)
{
    struct hg_iov iov[PEEK_FIRST];
    unsigned n;

    if (c == NULL || c->state != C_SERVICE)
        return;
    if (TAILQ_NEXT(c, link) != NULL)
        rte_prefetch0(TAILQ_NEXT(c, link));
    if (c->tls != NULL)
        hg_tls_prefetch(c->tls);
    c->ops->prefetch(c->svc);
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
    bool direct, more;

    if (n == 0)
        return RECORD_NONE;
    dst.len = hg_tls_peek(c->tls, iov, n);
    dst.base = dst.len == 0 ? NULL : c->ops->sink(c->svc, dst.len);
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
    sh->moved += res.len;
    more = res.len == 0 || deliver(c, dst.base, res.len, direct);
    if (c->state == C_SERVICE && hg_tls_pending(c->tls) != 0)
        conn_flush(c); /* TLS's own answer, also when the service has none */
    return more && c->state == C_SERVICE ? RECORD_DONE : RECORD_STOP;
}

/* Without TLS: bytes go to the service from the packets they came in. */
static enum record run_plain(struct hg_conn *c)
{
    struct hg_iov iov[PEEK_FIRST];
    struct service_took took = {.reply = false};
    unsigned n = hg_tcp_peek(c->tcp, iov, PEEK_FIRST);
    uint32_t taken = 0;

    for (unsigned i = 0; i < n && !took.blocked; i++) {
        took = c->ops->input(c->svc, iov[i].base, iov[i].len, c->shard->now);
        taken += took.n;
    }
    hg_tcp_consume(c->tcp, taken);
    c->shard->moved += taken;
    if (took.reply)
        conn_flush(c);
    if (n == 0)
        return RECORD_NONE;
    return taken != 0 && c->state == C_SERVICE ? RECORD_DONE : RECORD_STOP;
}

static bool run_closing(struct hg_conn *c)
{
    hg_tcp_consume(c->tcp, hg_tcp_readable(c->tcp));
    if (c->eof && (c->tls == NULL || hg_tls_pending(c->tls) == 0))
        conn_free(c);
    return false;
}

static bool peer_is_done(const struct hg_conn *c)
{
    return c->eof || (c->tls != NULL && hg_tls_state(c->tls) == HG_TLS_PEER_CLOSED);
}

bool conn_run(struct hg_conn *c)
{
    enum record r = RECORD_DONE;

    if (c->talks) {
        c->talks = false;
        conn_flush(c);
    }
    if (c->state == C_CLOSING)
        return run_closing(c);
    if (!run_stash(c))
        return false; /* hg_ingest_ready() or HG_TCP_EV_WRITABLE brings it back */
    for (unsigned i = 0; i < RECORDS_PER_RUN && r == RECORD_DONE; i++)
        r = c->tls != NULL ? run_record(c) : run_plain(c);
    if (r == RECORD_DONE)
        return true;
    if (r == RECORD_NONE && c->state == C_SERVICE && peer_is_done(c))
        conn_eof(c);
    return false;
}
