/* SPDX-License-Identifier: BSD-3-Clause */
/* The rings between shards and the threads that carry out handshake steps. */
#include <assert.h>
#include <errno.h>
#include <headgate/helpers.h>
#include <rte_errno.h>
#include <rte_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* A ring of n slots holds n - 1; both hold all steps that may be out, so neither is ever full. */
#define RING_SLOTS (2u * HG_HELPER_STEPS)

struct lane {
    struct rte_ring *out, *back; /* one writer, many readers; and the reverse */
};

struct hg_helpers {
    struct hg_helpers_cfg cfg;
    atomic_uint dozing; /* helpers that said so and are not up again */
    atomic_uint turn;   /* the shard that is asked first next time */
    struct lane lanes[];
};

static int make_lane(struct hg_helpers *h, unsigned shard)
{
    char name[RTE_RING_NAMESIZE];

    snprintf(name, sizeof name, "hg%u_steps", shard);
    h->lanes[shard].out = rte_ring_create(name, RING_SLOTS, h->cfg.socket, RING_F_SP_ENQ);
    snprintf(name, sizeof name, "hg%u_stepped", shard);
    h->lanes[shard].back = rte_ring_create(name, RING_SLOTS, h->cfg.socket, RING_F_SC_DEQ);
    return h->lanes[shard].out != NULL && h->lanes[shard].back != NULL ? 0 : -ENOMEM;
}

int hg_helpers_create(const struct hg_helpers_cfg *cfg, struct hg_helpers **out, struct hg_err *err)
{
    struct hg_helpers *h = calloc(1, sizeof *h + cfg->n_shards * sizeof h->lanes[0]);

    *out = NULL;
    if (h == NULL)
        return hg_fail(err, -ENOMEM, "handshake helpers: out of memory");
    h->cfg = *cfg;
    for (unsigned i = 0; i < cfg->n_shards; i++) {
        if (make_lane(h, i) == 0)
            continue;
        hg_helpers_destroy(h);
        return hg_fail(err, -ENOMEM,
                       "handshake helpers: rings: %s; give EAL more memory ([eal] memory)",
                       rte_strerror(rte_errno));
    }
    *out = h;
    return 0;
}

void hg_helpers_destroy(struct hg_helpers *h)
{
    if (h == NULL)
        return;
    for (unsigned i = 0; i < h->cfg.n_shards; i++) {
        rte_ring_free(h->lanes[i].out);
        rte_ring_free(h->lanes[i].back);
    }
    free(h);
}

/* ---- the helpers' end ---- */

static bool work_one(struct hg_helpers *h)
{
    unsigned first = atomic_fetch_add_explicit(&h->turn, 1, memory_order_relaxed);
    void *p;

    for (unsigned i = 0; i < h->cfg.n_shards; i++) {
        struct lane *lane = &h->lanes[(first + i) % h->cfg.n_shards];
        struct hg_helper_job *job;

        if (rte_ring_mc_dequeue(lane->out, &p) != 0)
            continue;
        job = p;
        hg_tls_step_run(job->step);
        rte_ring_mp_enqueue(lane->back, job); /* has room for all that are out */
        return true;
    }
    return false;
}

unsigned hg_helpers_work(struct hg_helpers *h, unsigned max)
{
    unsigned n = 0;

    while (n < max && work_one(h))
        n++;
    return n;
}

/* The announcement and the look at the rings are ordered against the shard's enqueue and its look at
 * the announcement: one of the two sees the other. */
bool hg_helpers_doze(struct hg_helpers *h)
{
    atomic_fetch_add(&h->dozing, 1);
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < h->cfg.n_shards; i++) {
        if (rte_ring_empty(h->lanes[i].out))
            continue;
        hg_helpers_up(h);
        return false;
    }
    return true;
}

void hg_helpers_up(struct hg_helpers *h)
{
    atomic_fetch_sub(&h->dozing, 1);
}

/* ---- a shard's end ---- */

void hg_helpers_put(struct hg_helpers *h, unsigned shard, struct hg_helper_job *job)
{
    int rc = rte_ring_sp_enqueue(h->lanes[shard].out, job);

    assert(rc == 0); /* has room for all that may be out */
    (void)rc;
    atomic_thread_fence(memory_order_seq_cst);
    if (h->cfg.wake != NULL && atomic_load_explicit(&h->dozing, memory_order_relaxed) != 0)
        h->cfg.wake(h->cfg.arg);
}

unsigned hg_helpers_get(struct hg_helpers *h, unsigned shard, struct hg_helper_job **jobs,
                        unsigned max)
{
    return rte_ring_sc_dequeue_burst(h->lanes[shard].back, (void **)jobs, max, NULL);
}

unsigned hg_helpers_recall(struct hg_helpers *h, unsigned shard, struct hg_helper_job **jobs,
                           unsigned max)
{
    return rte_ring_mc_dequeue_burst(h->lanes[shard].out, (void **)jobs, max, NULL);
}
