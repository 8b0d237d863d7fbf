/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop of one core: every source of work, its order and its budget are in hg_shard_turn(). */
#include "shard_priv.h"
#include <assert.h>
#include <errno.h>

static const struct hg_counter_desc counter_desc[] = {HG_SHARD_COUNTERS(HG_COUNTER_DESC)};

/* ---- the turn ---- */

static unsigned poll_calls(struct hg_shard *sh)
{
    void *calls[CALLS_PER_TURN];
    unsigned n = rte_ring_sc_dequeue_burst(sh->calls, calls, CALLS_PER_TURN, NULL);

    for (unsigned i = 0; i < n; i++) {
        struct hg_call *call = calls[i];

        call->fn(sh, call, sh->now);
    }
    return n;
}

static unsigned poll_events(struct hg_shard *sh)
{
    struct hg_tcp_event ev[EVENTS_PER_TURN];
    unsigned n = hg_tcp_events(sh->tcp, ev, EVENTS_PER_TURN);

    for (unsigned i = 0; i < n; i++) {
        if (ev[i].what & HG_TCP_EV_ACCEPTED) {
            ev[i].user = conn_accept(sh, ev[i].conn, ev[i].listener);
            ev[i].what &= ~(uint32_t)HG_TCP_EV_ACCEPTED;
        }
        if (ev[i].user != NULL && ev[i].what != 0)
            conn_event(ev[i].user, ev[i].what);
    }
    return n;
}

/* What the connections cost so far: a short turn keeps acknowledgements and the cleaner quick. */
static uint64_t bytes_done(const struct hg_shard *sh)
{
    return sh->moved + hg_ingest_raw_bytes(sh->ingest);
}

static unsigned run_conns(struct hg_shard *sh)
{
    uint64_t limit = bytes_done(sh) + BYTES_PER_TURN;
    unsigned n = 0;
    struct hg_conn *c;

    while (n < RUNS_PER_TURN && bytes_done(sh) < limit && (c = TAILQ_FIRST(&sh->run)) != NULL) {
        TAILQ_REMOVE(&sh->run, c, link);
        c->queued = false;
        conn_prefetch(TAILQ_FIRST(&sh->run));
        if (conn_run(c))
            conn_queue(c);
        n++;
    }
    return n;
}

/* Sessions with acknowledgements to send, or that waited for buffers. */
static unsigned run_ready(struct hg_shard *sh)
{
    void *user[EVENTS_PER_TURN];
    unsigned n = hg_ingest_ready(sh->ingest, user, EVENTS_PER_TURN);

    for (unsigned i = 0; i < n; i++) {
        struct hg_conn *c = user[i];

        if (!c->in_use || c->svc == NULL)
            continue;
        conn_queue(c);
        conn_flush(c);
    }
    return n;
}

static unsigned run_timers(struct hg_shard *sh)
{
    struct hg_timer *t[32];
    unsigned n = hg_wheel_advance(&sh->wheel, sh->now, t, HG_ARRAY_LEN(t));

    for (unsigned i = 0; i < n; i++)
        conn_timeout(HG_CONTAINER_OF(t[i], struct hg_conn, timer));
    return n;
}

unsigned hg_shard_turn(struct hg_shard *sh, hg_ns now)
{
    unsigned work;

    sh->now = now;
    work = poll_calls(sh);
    work += nets_input(sh);
    work += strays_poll(sh);
    work += poll_events(sh);
    work += run_conns(sh);
    work += handshakes_run(sh);
    work += hg_store_poll(sh->store, now);
    hg_ingest_poll(sh->ingest, now);
    work += run_ready(sh);
    work += run_timers(sh);
    hg_tcp_poll(sh->tcp, now);
    nets_poll(sh);
    if (sh->n_peers > 1)
        peers_share_neighbours(sh);
    nets_flush(sh);
    sh->count.turns++;
    return work;
}

/* ---- outside of the turn ---- */

hg_ns hg_shard_next(const struct hg_shard *sh)
{
    const hg_ns at[] = {hg_tcp_next(sh->tcp), hg_store_next(sh->store), hg_ingest_next(sh->ingest),
                        hg_wheel_next(&sh->wheel), TAILQ_EMPTY(&sh->hs.queue) ? 0 : sh->now};
    hg_ns next = 0;

    for (unsigned i = 0; i < HG_ARRAY_LEN(at); i++)
        if (at[i] != 0 && (next == 0 || at[i] < next))
            next = at[i];
    return next;
}

void hg_shard_drain(struct hg_shard *sh, hg_ns now)
{
    struct hg_ip any = {{0}};

    sh->now = now;
    sh->draining = true;
    for (unsigned i = 0; i < sh->n_listeners; i++)
        hg_tcp_unlisten(sh->tcp, &any, sh->listeners[i].port);
    hg_ingest_drain(sh->ingest, now);
    for (uint32_t i = 0; i < sh->table_max; i++)
        if (sh->conns[i].in_use)
            conn_drain(&sh->conns[i]);
}

bool hg_shard_drained(const struct hg_shard *sh)
{
    return sh->draining && sh->n_conns == 0 && hg_ingest_sessions(sh->ingest) == 0 &&
           hg_store_idle(sh->store);
}

void hg_shard_set_tls(struct hg_shard *sh, struct hg_tls_ctx *ctx, struct hg_tls_ctx *test)
{
    assert(sh->cfg.tls_anonymous || hg_tls_ctx_requires_cert(ctx));
    hg_tls_ctx_unref(sh->tls_ctx);
    sh->tls_ctx = hg_tls_ctx_ref(ctx);
    if (sh->test == NULL)
        return;
    hg_tls_ctx_unref(sh->test_tls_ctx);
    sh->test_tls_ctx = hg_tls_ctx_ref(test);
}

int hg_shard_call(struct hg_shard *sh, struct hg_call *call)
{
    return rte_ring_mp_enqueue(sh->calls, call) == 0 ? 0 : -ENOBUFS;
}

struct hg_store *hg_shard_store(struct hg_shard *sh)
{
    return sh->store;
}

struct hg_arena *hg_shard_arena(struct hg_shard *sh)
{
    return sh->arena;
}

struct hg_ingest *hg_shard_ingest(struct hg_shard *sh)
{
    return sh->ingest;
}

struct hg_tcp *hg_shard_tcp(struct hg_shard *sh)
{
    return sh->tcp;
}

unsigned hg_shard_id(const struct hg_shard *sh)
{
    return sh->cfg.id;
}

unsigned hg_shard_counter_sets(const struct hg_shard *sh, struct hg_counter_set *sets, unsigned max)
{
    const struct hg_counter_set own = {"shard", counter_desc, (const uint64_t *)&sh->count,
                                       HG_ARRAY_LEN(counter_desc)};
    const struct hg_counter_set above[] = {
        hg_tcp_counter_set(sh->tcp),     hg_tls_counter_set(sh->tls),
        hg_tls_batch_set(sh->tls),       hg_ingest_counter_set(sh->ingest),
        hg_store_counter_set(sh->store),
    };
    unsigned n = 0;

    if (n < max)
        sets[n++] = own;
    n += nets_counter_sets(sh, sets + n, max - n);
    for (unsigned i = 0; n < max && i < HG_ARRAY_LEN(above); i++)
        sets[n++] = above[i];
    if (sh->test != NULL && n < max)
        sets[n++] = hg_testsvc_counter_set(sh->test);
    return n;
}

struct hg_shard_handshakes hg_shard_handshakes(const struct hg_shard *sh)
{
    return (struct hg_shard_handshakes){
        .open = sh->hs.n_open,
        .max = sh->cfg.handshakes_max,
        .out = HG_HELPER_STEPS - sh->hs.n_idle,
    };
}

void hg_shard_account(struct hg_shard *sh, unsigned work, hg_ns took)
{
    if (work != 0) {
        sh->count.turns_busy++;
        sh->count.busy_ns += took;
    } else {
        sh->count.idle_ns += took;
    }
}

bool hg_shard_conn(struct hg_shard *sh, unsigned *cursor, struct hg_conn_info *out)
{
    while (*cursor < sh->table_max && !sh->conns[*cursor].in_use)
        (*cursor)++;
    if (*cursor >= sh->table_max)
        return false;

    const struct hg_conn *c = &sh->conns[(*cursor)++];

    *out = (struct hg_conn_info){
        .service = c->listener->name,
        .tls_version = c->tls != NULL ? hg_tls_version(c->tls) : "",
        .tls_suite = c->tls != NULL ? hg_tls_suite(c->tls) : "",
        .source = c->tls != NULL ? hg_tls_peer_name(c->tls) : "",
        .has_session = c->ops == &service_ingest && c->svc != NULL,
    };
    hg_tcp_conn_info(c->tcp, &out->tcp);
    if (out->has_session)
        hg_session_info(c->svc, &out->session);
    return true;
}
