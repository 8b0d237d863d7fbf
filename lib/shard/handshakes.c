/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections whose peer is not known yet: who is let in, who may have a step of public-key work next,
 * and where it is carried out.
 *
 *     accepted --first record whole, a token--> steps, on helpers or here --> the service
 *         |                                        |
 *         +-- no room: refused, or the oldest goes +-- too slow, or refused: closed
 *
 * Invariants
 *  1. A connection is in `open` from its acceptance over a TLS port until its service begins or it is
 *     freed, whatever it does meanwhile; so n_open <= handshakes_max bounds all memory that strangers
 *     can hold, and sessions have places in the table that strangers cannot take.
 *  2. Before its first record is whole and a token is there a connection has no OpenSSL object.
 *     Refusing it needs none either: a reset.
 *  3. With helpers the shard does no public-key work. A step that is out belongs to its job; the
 *     connection may close or be freed meanwhile, then job->user is NULL and the result is thrown away.
 *     A connection has one job at most, and is in `queue` only without one.
 *  4. Without helpers a step is run only after the turn's data, one a turn; and as long as data moves,
 *     steps have one part in STEP_SHARE of the time. The queue is served in turn, a record each.
 *  5. Bounds: HG_HELPER_STEPS jobs; LOADS_PER_TURN records taken in a turn.
 */
#include "shard_priv.h"
#include <rte_hash.h>
#include <rte_jhash.h>
#include <stdio.h>
#include <stdlib.h>

#define LOADS_PER_TURN 16
#define STEP_SHARE 4
#define RIPE HG_SEC(1) /* a handshake younger than that is not ended to make room */

/* ---- prefixes ---- */

/* What one peer can easily have many addresses of: a /24 of IPv4, a /64 of IPv6. */
struct prefix {
    uint64_t bits;
    uint64_t family; /* 4 or 6; of this width so that nothing is padding */
};

static struct prefix prefix_of(const struct hg_ip *ip)
{
    struct prefix p = {.family = 6};

    if (hg_ip_is_v4(ip))
        return (struct prefix){.bits = hg_ip_to_v4(ip) >> 8, .family = 4};
    memcpy(&p.bits, ip->b, sizeof p.bits);
    return p;
}

static int prefixes_create(struct hg_shard *sh)
{
    struct handshakes *hs = &sh->hs;
    char name[RTE_HASH_NAMESIZE];
    struct rte_hash_parameters params = {
        .name = name,
        .entries = 2 * sh->cfg.handshakes_max + 8, /* twice, so that none is without a place */
        .key_len = sizeof(struct prefix),
        .hash_func = rte_jhash,
        .hash_func_init_val = (uint32_t)sh->cfg.tcp.secret[0],
        .socket_id = sh->cfg.socket,
    };

    if (sh->cfg.prefix_max == 0)
        return 0;
    snprintf(name, sizeof name, "hg%u_prefixes", sh->cfg.id);
    hs->prefixes = rte_hash_create(&params);
    hs->in_prefix = calloc(params.entries, sizeof *hs->in_prefix);
    return hs->prefixes != NULL && hs->in_prefix != NULL ? 0 : -ENOMEM;
}

/* False: too many of its prefix are there. A prefix that finds no place in the table is not counted. */
static bool prefix_enter(struct hg_shard *sh, struct hg_conn *c)
{
    struct prefix p = prefix_of(&hg_tcp_conn_flow(c->tcp)->remote);
    int32_t at;

    c->prefix = -1;
    if (sh->hs.prefixes == NULL)
        return true;
    at = rte_hash_add_key(sh->hs.prefixes, &p);
    if (at < 0)
        return true;
    if (sh->hs.in_prefix[at] >= sh->cfg.prefix_max)
        return false;
    sh->hs.in_prefix[at]++;
    c->prefix = at;
    return true;
}

static void prefix_leave(struct hg_shard *sh, struct hg_conn *c)
{
    struct prefix p = prefix_of(&hg_tcp_conn_flow(c->tcp)->remote);

    if (c->prefix >= 0 && --sh->hs.in_prefix[c->prefix] == 0)
        rte_hash_del_key(sh->hs.prefixes, &p);
    c->prefix = -1;
}

/* ---- life ---- */

int handshakes_create(struct hg_shard *sh, struct hg_err *err)
{
    struct handshakes *hs = &sh->hs;

    for (unsigned i = 0; i < HG_HELPER_STEPS; i++)
        hs->idle[hs->n_idle++] = &hs->jobs[i];
    hs->tokens_at = sh->now;
    hs->tokens = sh->cfg.handshake_rate;
    if (prefixes_create(sh) == 0)
        return 0;
    return hg_fail(err, -ENOMEM,
                   "shard %u: a table of prefixes for %u handshakes: not enough EAL memory "
                   "([eal] memory)",
                   sh->cfg.id, sh->cfg.handshakes_max);
}

static void job_free(struct hg_shard *sh, struct hg_helper_job *job)
{
    job->user = NULL;
    job->step = NULL;
    sh->hs.idle[sh->hs.n_idle++] = job;
}

void handshakes_destroy(struct hg_shard *sh)
{
    struct handshakes *hs = &sh->hs;
    struct hg_helper_job *job;

    while (sh->cfg.helpers != NULL &&
           (hg_helpers_recall(sh->cfg.helpers, sh->cfg.id, &job, 1) != 0 ||
            hg_helpers_get(sh->cfg.helpers, sh->cfg.id, &job, 1) != 0)) {
        hg_tls_step_free(job->step);
        job_free(sh, job);
    }
    rte_hash_free(hs->prefixes);
    free(hs->in_prefix);
}

/* ---- admission ---- */

/* Its end comes as an event: other events of this turn may still name it. */
static void evict(struct hg_conn *c)
{
    handshakes_leave(c);
    c->state = C_CLOSING;
    c->close_by = c->shard->now;
    hg_tcp_abort(c->tcp);
}

/* The oldest goes: honest peers are through after a few round trips, so it is most likely none. */
static bool make_room(struct hg_shard *sh)
{
    struct hg_conn *oldest = TAILQ_FIRST(&sh->hs.open);

    if (sh->hs.n_open < sh->cfg.handshakes_max)
        return true;
    if (oldest == NULL || sh->now - oldest->accepted_at < RIPE)
        return false;
    sh->count.handshakes_evicted++;
    evict(oldest);
    return true;
}

bool handshakes_enter(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;

    if (!make_room(sh)) {
        sh->count.handshakes_full++;
        return false;
    }
    if (!prefix_enter(sh, c)) {
        sh->count.handshakes_prefix++;
        return false;
    }
    c->open = true;
    c->accepted_at = sh->now;
    TAILQ_INSERT_TAIL(&sh->hs.open, c, open_link);
    sh->hs.n_open++;
    hg_wheel_arm(&sh->wheel, &c->timer, sh->now + sh->cfg.client_hello_timeout);
    return true;
}

void handshakes_detach(struct hg_conn *c)
{
    if (c->job != NULL)
        c->job->user = NULL;
    c->job = NULL;
}

void handshakes_leave(struct hg_conn *c)
{
    struct handshakes *hs = &c->shard->hs;

    handshakes_detach(c);
    if (c->handshake_queued)
        TAILQ_REMOVE(&hs->queue, c, link);
    c->handshake_queued = false;
    if (!c->open)
        return;
    c->open = false;
    prefix_leave(c->shard, c);
    TAILQ_REMOVE(&hs->open, c, open_link);
    hs->n_open--;
}

/* A bucket of a second's handshakes. */
static bool take_token(struct hg_shard *sh)
{
    struct handshakes *hs = &sh->hs;
    double rate = sh->cfg.handshake_rate;

    if (sh->cfg.handshake_rate == 0)
        return true;
    hs->tokens += rate * (double)(sh->now - hs->tokens_at) / 1e9;
    hs->tokens = hs->tokens < rate ? hs->tokens : rate;
    hs->tokens_at = sh->now;
    if (hs->tokens < 1)
        return false;
    hs->tokens -= 1;
    return true;
}

static bool whole(const struct hg_conn *c, const struct hg_iov *iov, unsigned n)
{
    uint32_t size = hg_tls_record_size(iov, n);

    return size != 0 && hg_tcp_readable(c->tcp) >= size;
}

/* The first record is whole: public-key work begins, or not. False: the connection is gone. */
static bool admit(struct hg_conn *c, const struct hg_iov *iov, unsigned n)
{
    if (c->admitted || !whole(c, iov, n))
        return true;
    if (!take_token(c->shard)) {
        c->shard->count.handshakes_rate++;
        hg_tcp_abort(c->tcp);
        conn_free(c);
        return false;
    }
    c->admitted = true;
    hg_wheel_arm(&c->shard->wheel, &c->timer, c->accepted_at + c->shard->cfg.handshake_timeout);
    return true;
}

/* One whose hello came, and waits for its turn, is not at fault: it has the time of a handshake. */
void handshakes_timeout(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    hg_ns end = c->accepted_at + sh->cfg.handshake_timeout;
    struct hg_iov iov[PEEK_IOV];
    bool came = c->admitted || whole(c, iov, hg_tcp_peek(c->tcp, iov, PEEK_IOV));

    if (came && sh->now < end) {
        hg_wheel_arm(&sh->wheel, &c->timer, end);
        return;
    }
    if (came)
        sh->count.handshake_timeouts++;
    else
        sh->count.hello_timeouts++;
    conn_log(c, HG_LOG_WARN,
             came ? "TLS handshake took too long" : "no whole ClientHello came in time", "");
    conn_close(c);
}

/* ---- steps ---- */

/* A record was taken, or a step is back, with this result. */
static void moved(struct hg_conn *c, int rc, bool progress)
{
    if (rc != 0) {
        conn_tls_failed(c);
        return;
    }
    conn_flush(c);
    if (hg_tls_state(c->tls) == HG_TLS_OPEN)
        conn_begin(c);
    else if (progress)
        conn_queue(c);
    else if (c->eof)
        conn_eof(c);
}

static void hand_out(struct hg_conn *c, struct hg_tls_step *step)
{
    struct hg_shard *sh = c->shard;
    struct hg_helper_job *job = sh->hs.idle[--sh->hs.n_idle];

    *job = (struct hg_helper_job){.step = step, .user = c};
    c->job = job;
    hg_helpers_put(sh->cfg.helpers, sh->cfg.id, job);
}

/* Takes one record in; with helpers its step goes out, otherwise it is carried out here. */
static void take_record(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    struct hg_iov iov[PEEK_IOV];
    struct hg_iov none = {.len = HG_TLS_MAX_RECORD}; /* nothing is decrypted before the end */
    struct hg_tls_opened res = {0};
    unsigned n = hg_tcp_peek(c->tcp, iov, PEEK_IOV);
    struct hg_tls_step *step;
    int rc;

    if (!admit(c, iov, n))
        return;
    rc = hg_tls_open(c->tls, iov, n, &none, &res);
    hg_tcp_consume(c->tcp, res.consumed);
    sh->count.handshake_steps += res.consumed != 0;
    step = hg_tls_step_take(c->tls);
    if (step != NULL)
        hand_out(c, step);
    else
        moved(c, rc, res.consumed != 0);
}

/* Results, in the order in which they became ready. */
static unsigned take_back(struct hg_shard *sh)
{
    struct hg_helper_job *jobs[HG_HELPER_STEPS];
    unsigned n = hg_helpers_get(sh->cfg.helpers, sh->cfg.id, jobs, HG_HELPER_STEPS);

    for (unsigned i = 0; i < n; i++) {
        struct hg_conn *c = jobs[i]->user;
        struct hg_tls_step *step = jobs[i]->step;

        job_free(sh, jobs[i]);
        if (c == NULL) {
            hg_tls_step_free(step);
            continue;
        }
        c->job = NULL;
        moved(c, hg_tls_step_put(c->tls, step), true);
    }
    return n;
}

/* Invariant 4. The length of a step is known by the time of the turn after it. */
static bool may_step(struct hg_shard *sh)
{
    struct handshakes *hs = &sh->hs;
    bool data = sh->moved != hs->moved_before || !TAILQ_EMPTY(&sh->run);

    if (hs->step_at != 0)
        hs->not_before = sh->now + (STEP_SHARE - 1) * (sh->now - hs->step_at);
    hs->step_at = 0;
    hs->moved_before = sh->moved;
    if (TAILQ_EMPTY(&hs->queue))
        return false;
    if (data && sh->now < hs->not_before) {
        sh->count.handshakes_yielded++;
        return false;
    }
    hs->step_at = sh->now;
    return true;
}

static unsigned loads(struct hg_shard *sh)
{
    if (sh->cfg.helpers == NULL)
        return may_step(sh) ? 1 : 0;
    if (sh->hs.n_idle == 0 && !TAILQ_EMPTY(&sh->hs.queue))
        sh->count.handshakes_waited++;
    return sh->hs.n_idle < LOADS_PER_TURN ? sh->hs.n_idle : LOADS_PER_TURN;
}

unsigned handshakes_run(struct hg_shard *sh)
{
    unsigned done = sh->cfg.helpers != NULL ? take_back(sh) : 0;
    unsigned left = loads(sh);
    struct hg_conn *c;

    for (; left != 0 && (c = TAILQ_FIRST(&sh->hs.queue)) != NULL; left--) {
        TAILQ_REMOVE(&sh->hs.queue, c, link);
        c->handshake_queued = false;
        if (c->state == C_HANDSHAKE)
            take_record(c);
        else
            conn_queue(c);
        done++;
    }
    return done;
}
