/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's life: accepted, given its service, closed. Invariants: shard_priv.h. */
#include "shard_priv.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONN_TICK HG_SEC(1)
#define LINGERS_MAX 60 /* for a peer that goes on reading */

void conn_log(struct hg_conn *c, enum hg_log_level level, const char *what, const char *why)
{
    hg_log_limited(&c->shard->log_limit, c->shard->now, level, "conn", "%s: %s%s%s", c->peer, what,
                   why[0] != '\0' ? ": " : "", why);
}

/* ---- life ---- */

/* Strangers have places of their own in the table, which sessions do not take. */
static bool sessions_full(const struct hg_shard *sh)
{
    return sh->n_conns - sh->hs.n_open >= sh->cfg.conns_max + sh->cfg.test.svc.conns_max;
}

/* TLS of a connection just accepted. False: refused, or no memory. */
static bool tls_begin(struct hg_conn *c)
{
    if (!handshakes_enter(c))
        return false;
    if (hg_tls_create(*c->listener->tls, c->shard->tls, &c->tls) != 0) {
        conn_log(c, HG_LOG_ERR, "no memory for TLS", "");
        return false;
    }
    if (c->shard->cfg.helpers != NULL)
        hg_tls_defer(c->tls);
    return true;
}

struct hg_conn *conn_accept(struct hg_shard *sh, struct hg_tcp_conn *tcp,
                            const struct listener *listener)
{
    struct hg_conn *c = TAILQ_FIRST(&sh->free_conns);
    const struct hg_flow *flow = hg_tcp_conn_flow(tcp);
    char ip[HG_IP_STRLEN];

    if (c == NULL || sh->draining || sessions_full(sh)) {
        sh->count.conns_refused++;
        hg_tcp_abort(tcp);
        hg_tcp_release(tcp);
        return NULL;
    }
    TAILQ_REMOVE(&sh->free_conns, c, link);
    memset(c, 0, sizeof *c);
    c->shard = sh;
    c->tcp = tcp;
    c->listener = listener;
    c->ops = listener->ops;
    c->in_use = true;
    snprintf(c->peer, sizeof c->peer, "%s:%u", hg_ip_str(&flow->remote, ip), flow->rport);
    sh->n_conns++;
    sh->count.conns++;
    if (listener->tls != NULL && !tls_begin(c)) {
        hg_tcp_abort(tcp);
        conn_free(c);
        return NULL;
    }
    hg_tcp_set_user(tcp, c);
    if (c->tls == NULL)
        conn_begin(c);
    return c;
}

void conn_begin(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;

    handshakes_leave(c);
    c->svc = c->ops->begin(c, sh->now);
    if (c->svc == NULL) {
        conn_close(c);
        return;
    }
    c->state = C_SERVICE;
    c->acked_at = sh->now;
    c->talks = true; /* it may have the first word */
    hg_wheel_arm(&sh->wheel, &c->timer, sh->now + CONN_TICK);
    conn_queue(c);
}

static void service_close(struct hg_conn *c)
{
    if (c->svc != NULL)
        c->ops->close(c->svc, c->shard->now);
    c->svc = NULL;
}

void conn_free(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;

    hg_wheel_stop(&sh->wheel, &c->timer);
    if (c->queued)
        TAILQ_REMOVE(&sh->run, c, link);
    handshakes_leave(c);
    conn_stash_drop(c);
    service_close(c);
    hg_tls_destroy(c->tls);
    hg_tcp_release(c->tcp);
    c->in_use = false;
    TAILQ_INSERT_TAIL(&sh->free_conns, c, link);
    sh->n_conns--;
    sh->count.conns_closed++;
}

void conn_queue(struct hg_conn *c)
{
    if (c->queued || c->handshake_queued || c->job != NULL)
        return;
    if (c->state == C_HANDSHAKE) {
        c->handshake_queued = true;
        TAILQ_INSERT_TAIL(&c->shard->hs.queue, c, link);
    } else {
        c->queued = true;
        TAILQ_INSERT_TAIL(&c->shard->run, c, link);
    }
}

void conn_close(struct hg_conn *c)
{
    if (c->state == C_CLOSING)
        return;
    c->state = C_CLOSING;
    handshakes_detach(c);
    c->close_by = c->shard->now + LINGERS_MAX * c->shard->cfg.linger;
    conn_stash_drop(c);
    service_close(c);
    if (c->tls != NULL)
        hg_tls_close(c->tls);
    conn_flush(c);
    hg_wheel_arm(&c->shard->wheel, &c->timer, c->shard->now + c->shard->cfg.linger);
    conn_queue(c);
}

/* Whether the peer has nothing to acknowledge, or acknowledged more since the last look. */
static bool peer_reads(struct hg_conn *c)
{
    struct hg_tcp_info info;
    uint64_t acked;
    bool moved;

    hg_tcp_conn_info(c->tcp, &info);
    acked = info.bytes_out - info.unacked;
    moved = info.unacked + info.unsent == 0 || acked != c->acked;
    c->acked = acked;
    return moved;
}

/* Once a second: a peer that lets our bytes lie unacknowledged does not read, even if what we have
 * to say is little enough to fit TCP's buffer. */
static void conn_tick(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    bool stalled;

    if (peer_reads(c))
        c->acked_at = sh->now;
    stalled = sh->now - c->acked_at >= sh->cfg.ingest.write_timeout;
    if (c->ops->tick(c->svc, stalled, sh->now))
        hg_wheel_arm(&sh->wheel, &c->timer, sh->now + CONN_TICK);
    else
        conn_close(c);
}

/* What was sent last may take its time as long as the peer reads. A peer that has all of it and does
 * not answer with its FIN gets none. */
static bool linger_on(struct hg_conn *c)
{
    struct hg_tcp_info info;

    hg_tcp_conn_info(c->tcp, &info);
    return info.unacked + info.unsent != 0 && peer_reads(c) && c->shard->now < c->close_by;
}

void conn_timeout(struct hg_conn *c)
{
    if (c->state == C_SERVICE) {
        conn_tick(c);
        return;
    }
    if (c->state == C_HANDSHAKE) {
        handshakes_timeout(c);
        return;
    }
    if (linger_on(c)) {
        hg_wheel_arm(&c->shard->wheel, &c->timer, c->shard->now + c->shard->cfg.linger);
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

void conn_drain(struct hg_conn *c)
{
    if (c->state == C_HANDSHAKE || c->ops != &service_ingest)
        conn_close(c);
}
