/* SPDX-License-Identifier: BSD-3-Clause */
/* Making and unmaking a shard: each step has its undo, in reverse order. */
#include "shard_priv.h"
#include <errno.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_RING 1024
#define HDR_ROOM (RTE_PKTMBUF_HEADROOM + HG_NET_HEADROOM + 64)
#define MBUF_CACHE 256

static void defaults(struct hg_shard_cfg *c)
{
    if (c->arena_bytes == 0)
        c->arena_bytes = (size_t)256 << 20;
    if (c->conns_max == 0)
        c->conns_max = 1024;
    if (c->tx_mbufs == 0)
        c->tx_mbufs = 8192;
    if (c->tx_mbufs < 8 * c->conns_max)
        c->tx_mbufs = 8 * c->conns_max;
    if (c->listen_port == 0)
        c->listen_port = HG_PROTO_PORT;
    if (c->handshakes_max == 0)
        c->handshakes_max = 2048;
    if (c->client_hello_timeout == 0)
        c->client_hello_timeout = HG_SEC(5);
    if (c->handshake_timeout == 0)
        c->handshake_timeout = HG_SEC(10);
    if (c->linger == 0)
        c->linger = HG_SEC(5);
    if (c->settle == 0)
        c->settle = HG_SEC(1);
    /* Output is made from state, so a deep send buffer would only pin packet buffers for sources
     * that do not read. */
    if (c->tcp.snd_buf == 0)
        c->tcp.snd_buf = 16384;
    if (c->tcp.conns_max == 0)
        c->tcp.conns_max = 2 * (c->conns_max + c->test.svc.conns_max) + c->handshakes_max;
    if (c->ingest.write_timeout == 0)
        c->ingest.write_timeout = HG_SEC(30);
    if (c->ingest.sessions_max == 0)
        c->ingest.sessions_max = c->conns_max;
}

static bool has_test(const struct hg_shard_cfg *c)
{
    return c->test.svc.conns_max != 0;
}

static struct rte_mempool *pool_make(const struct hg_shard *sh, const char *what, unsigned n,
                                     uint16_t room)
{
    char name[RTE_MEMPOOL_NAMESIZE];

    snprintf(name, sizeof name, "hg%u_%s", sh->cfg.id, what);
    return rte_pktmbuf_pool_create(name, n, MBUF_CACHE, 0, room, sh->cfg.socket);
}

static int make_pools(struct hg_shard *sh, struct hg_err *err)
{
    char name[RTE_RING_NAMESIZE];
    /* Each segment on its way to the port, or waiting there, takes a header and a clone. */
    unsigned n = 2 * (sh->cfg.tx_mbufs + (has_test(&sh->cfg) ? TEST_MBUFS : 0));

    sh->hdr_pool = pool_make(sh, "hdr", n, HDR_ROOM);
    sh->clone_pool = pool_make(sh, "clone", n, 0);
    sh->tx_pool = pool_make(sh, "tx", sh->cfg.tx_mbufs, RTE_MBUF_DEFAULT_BUF_SIZE);
    snprintf(name, sizeof name, "hg%u_calls", sh->cfg.id);
    sh->calls = rte_ring_create(name, CALL_RING, sh->cfg.socket, RING_F_SC_DEQ);
    if (has_test(&sh->cfg))
        sh->test_pool = pool_make(sh, "test", TEST_MBUFS, RTE_MBUF_DEFAULT_BUF_SIZE);
    if ((has_test(&sh->cfg) && sh->test_pool == NULL) || sh->hdr_pool == NULL ||
        sh->clone_pool == NULL || sh->tx_pool == NULL || sh->calls == NULL ||
        strays_create(sh) != 0)
        return hg_fail(err, -ENOMEM,
                       "shard %u: packet buffers: %s; give EAL more memory ([eal] memory)",
                       sh->cfg.id, rte_strerror(rte_errno));
    return 0;
}

static int make_buffers(struct hg_shard *sh, struct hg_err *err)
{
    sh->arena_len =
        (sh->cfg.arena_bytes + HG_ARENA_MAX_BLOCK - 1) & ~((size_t)HG_ARENA_MAX_BLOCK - 1);
    sh->arena_mem =
        rte_malloc_socket("hg_arena", sh->arena_len, HG_ARENA_MAX_BLOCK, sh->cfg.socket);
    sh->record_mem = rte_malloc_socket("hg_records", (size_t)RECORD_BUFFERS * RECORD_ROOM,
                                       RTE_CACHE_LINE_SIZE, sh->cfg.socket);
    /* Those that are on their way out because of a newer one keep their place for a turn. */
    sh->table_max =
        sh->cfg.conns_max + sh->cfg.test.svc.conns_max + sh->cfg.handshakes_max + EVENTS_PER_TURN;
    sh->conns = calloc(sh->table_max, sizeof *sh->conns);
    if (sh->arena_mem == NULL || sh->record_mem == NULL || sh->conns == NULL ||
        hg_arena_create(sh->arena_mem, sh->arena_len, &sh->arena) != 0)
        return hg_fail(err, -ENOMEM,
                       "shard %u: %zu MiB of payload buffers: not enough EAL memory ([eal] memory)",
                       sh->cfg.id, sh->arena_len >> 20);
    for (unsigned i = 0; i < RECORD_BUFFERS; i++)
        sh->record_free[sh->n_record_free++] = sh->record_mem + (size_t)i * RECORD_ROOM;
    for (uint32_t i = 0; i < sh->table_max; i++)
        TAILQ_INSERT_TAIL(&sh->free_conns, &sh->conns[i], link);
    return 0;
}

/* ---- the stack ---- */

static int listen_on(struct hg_shard *sh, const struct listener *l, struct hg_err *err)
{
    struct hg_ip any = {{0}};
    int rc;

    if (l->port == 0)
        return 0;
    sh->listeners[sh->n_listeners] = *l;
    rc = hg_tcp_listen(sh->tcp, &any, l->port, &sh->listeners[sh->n_listeners]);
    if (rc != 0)
        return hg_fail(err, rc, "shard %u: cannot listen on port %u for %s: %s", sh->cfg.id,
                       l->port, l->name, rc == -EADDRINUSE ? "it is taken" : strerror(-rc));
    hg_tcp_allow(sh->tcp, &any, l->port, l->allow);
    sh->n_listeners++;
    return 0;
}

/* Invariant 7. */
static int make_listeners(struct hg_shard *sh, struct hg_err *err)
{
    struct listener ingest = {.port = sh->cfg.listen_port,
                              .name = "ingest",
                              .ops = &service_ingest,
                              .tls = &sh->tls_ctx,
                              .allow = &sh->cfg.allow};
    int rc = listen_on(sh, &ingest, err);

    for (unsigned kind = 0; rc == 0 && has_test(&sh->cfg) && kind < HG_TESTSVC_KINDS; kind++) {
        struct listener l = {
            .kind = (enum hg_testsvc_kind)kind, .ops = &service_test, .allow = &sh->cfg.test.allow};

        l.name = hg_testsvc_name(l.kind);
        l.port = sh->cfg.test.port[kind];
        rc = listen_on(sh, &l, err);
        l.port = sh->cfg.test.port_tls[kind];
        l.tls = &sh->test_tls_ctx;
        if (rc == 0)
            rc = listen_on(sh, &l, err);
    }
    return rc;
}

static int make_stack(struct hg_shard *sh, hg_ns now, struct hg_err *err)
{
    const struct hg_tcp_env env = {nets_emit, nets_mtu, sh,
                                   sh->cfg.n_shards > 1 ? strays_pass : NULL};
    int rc = nets_create(sh, now, err);

    if (rc != 0)
        return rc;
    sh->cfg.tcp.rcv_low = RCV_LOW;
    nets_tso(sh, &sh->cfg.tcp);
    sh->cfg.tcp.hdr_pool = sh->hdr_pool;
    sh->cfg.tcp.clone_pool = sh->clone_pool;
    rc = hg_tcp_create(&sh->cfg.tcp, &env, now, &sh->tcp, err);
    if (rc != 0)
        return rc;
    rc = make_listeners(sh, err);
    if (rc == 0)
        rc = hg_tls_shard_create(&sh->tls, err);
    if (rc == 0 && hg_tls_shard_choose(sh->tls, sh->cfg.tls_batch, sh->cfg.tls_clock) != 0)
        rc = hg_fail(err, -ENOMEM, "shard %u: no memory to measure record protection with",
                     sh->cfg.id);
    return rc;
}

/* ---- the services ---- */

/* Invariant 7. */
static int check_tls(const struct hg_shard_cfg *cfg, struct hg_err *err)
{
    if (!cfg->tls_anonymous && !hg_tls_ctx_requires_cert(cfg->tls))
        return hg_fail(
            err, -EINVAL,
            "shard %u: a TLS context that requires no certificate of clients is not for the "
            "native protocol",
            cfg->id);
    for (unsigned kind = 0; kind < HG_TESTSVC_KINDS; kind++)
        if (cfg->test.port_tls[kind] != 0 && cfg->test.tls == NULL)
            return hg_fail(err, -EINVAL, "shard %u: test services over TLS need a context",
                           cfg->id);
    return 0;
}

static int make_services(struct hg_shard *sh, hg_ns now, struct hg_err *err)
{
    int rc;

    sh->cfg.test.svc.socket = sh->cfg.socket;
    rc = has_test(&sh->cfg) ? hg_testsvc_create(&sh->cfg.test.svc, &sh->test, err) : 0;
    if (rc != 0)
        return rc;

    sh->cfg.store.shard = sh->cfg.id;
    sh->cfg.store.n_shards = sh->cfg.n_shards;
    sh->cfg.store.arena = sh->arena;
    rc = hg_store_create(sh->cfg.pool, &sh->cfg.store, &sh->store, err);
    if (rc != 0)
        return rc;
    sh->cfg.ingest.store = sh->store;
    sh->cfg.ingest.arena = sh->arena;
    sh->cfg.ingest.fence = peers_fence;
    sh->cfg.ingest.fence_arg = sh;
    return hg_ingest_create(&sh->cfg.ingest, now, &sh->ingest, err);
}

int hg_shard_create(const struct hg_shard_cfg *cfg, hg_ns now, struct hg_shard **out,
                    struct hg_err *err)
{
    struct hg_shard *sh = calloc(1, sizeof *sh);
    int rc;

    if (sh == NULL)
        return hg_fail(err, -ENOMEM, "shard %u: out of memory", cfg->id);
    sh->cfg = *cfg;
    sh->now = now;
    defaults(&sh->cfg);
    TAILQ_INIT(&sh->free_conns);
    TAILQ_INIT(&sh->run);
    TAILQ_INIT(&sh->hs.queue);
    TAILQ_INIT(&sh->hs.open);
    hg_wheel_init(&sh->wheel, now);
    rc = check_tls(cfg, err);
    if (rc != 0) {
        free(sh);
        return rc;
    }
    sh->tls_ctx = hg_tls_ctx_ref(cfg->tls);
    sh->test_tls_ctx = cfg->test.tls != NULL ? hg_tls_ctx_ref(cfg->test.tls) : NULL;
    rc = make_pools(sh, err);
    if (rc == 0)
        rc = make_buffers(sh, err);
    if (rc == 0)
        rc = handshakes_create(sh, err);
    if (rc == 0)
        rc = make_stack(sh, now, err);
    if (rc == 0)
        rc = make_services(sh, now, err);
    if (rc != 0) {
        hg_shard_destroy(sh);
        return rc;
    }
    *out = sh;
    return 0;
}

void hg_shard_peers(struct hg_shard *sh, struct hg_shard **peers, unsigned n)
{
    memcpy(sh->peers, peers, n * sizeof *peers);
    sh->n_peers = n;
}

/* Writes in flight point into the arena: it may go only after them. */
static void settle_store(struct hg_shard *sh)
{
    hg_ns now = sh->now;

    for (hg_ns waited = 0; waited < sh->cfg.settle && !hg_store_idle(sh->store);
         waited += HG_US(10)) {
        now += HG_MS(1);
        hg_store_poll(sh->store, now);
        rte_delay_us_block(10);
    }
}

void hg_shard_destroy(struct hg_shard *sh)
{
    if (sh == NULL)
        return;
    sh->gone = true;
    for (uint32_t i = 0; sh->ingest != NULL && i < sh->table_max; i++)
        if (sh->conns[i].in_use)
            conn_free(&sh->conns[i]);
    handshakes_destroy(sh);
    if (sh->store != NULL) {
        settle_store(sh);
        hg_ingest_destroy(sh->ingest);
        hg_store_destroy(sh->store);
    }
    hg_tls_shard_destroy(sh->tls);
    if (sh->tcp != NULL)
        hg_tcp_destroy(sh->tcp);
    nets_destroy(sh);
    hg_testsvc_destroy(sh->test);
    free(sh->conns);
    hg_arena_destroy(sh->arena);
    rte_free(sh->record_mem);
    rte_free(sh->arena_mem);
    strays_destroy(sh);
    rte_ring_free(sh->calls);
    rte_mempool_free(sh->test_pool);
    rte_mempool_free(sh->tx_pool);
    rte_mempool_free(sh->clone_pool);
    rte_mempool_free(sh->hdr_pool);
    hg_tls_ctx_unref(sh->test_tls_ctx);
    hg_tls_ctx_unref(sh->tls_ctx);
    free(sh);
}
