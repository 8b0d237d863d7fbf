/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cleaner: gives segments back. One job at a time in a pool; the shard that starts it leads.
 *
 *      NONE -> PICK -> SCAN -> WORK -> GRACE -> NOTE -> NOTED -> ERASE -> FLUSH -> NONE
 *
 *  PICK   the closed segment with the least live data
 *  SCAN   which volumes have records in it
 *  WORK   every shard walks through it for the volumes it owns (store_walk.c)
 *  GRACE  nothing maps into the segment any more; now everything that had been submitted by then,
 * on all shards, must become durable: what unmapped the last block may still be in flight NOTE   a
 * batch with one UPTO record per shard. A replay could otherwise miss the batches that go with the
 * segment and take the gap for the end of that shard's log. As every erasure comes after such a
 * table, and the latest table is never in the segment being erased, one always stands on media
 *  ERASE  the first header becomes zeros: the chain is gone, and what is free stays free after a
 *         crash. Then a flush, and only then may the segment be used again
 *
 * A job runs only while users want space, so a node without work comes to rest.
 */
#include "store_internal.h"
#include <headgate/log.h>
#include <string.h>

#define PICK_PER_POLL 1024u
#define RETRY HG_MS(10)
/* Moving data costs: a segment is worth it up to this many sixteenths live. Close to full even little
 * gain is, but no user may be kept waiting for it. */
#define WORTH 12u
#define WORTH_FULL 15u
#define DEADLINE                                                                                   \
    HG_SEC(30) /* then some shard does not poll, or there is no room: try again later */

uint32_t store_clean_low(const struct hg_pool *pool)
{
    uint32_t share = atomic_load_explicit(&pool->n_segments, memory_order_relaxed) / 64;

    return STORE_KEEP_USER + pool->n_shards + (share > 2 ? share : 2);
}

static uint32_t free_segments(const struct hg_pool *pool)
{
    return atomic_load_explicit(&pool->free_segs.n, memory_order_relaxed);
}

/* ---- begin and end of a job ---- */

static unsigned begin(struct hg_store *store)
{
    struct hg_pool *pool = store->pool;
    struct store_lead *lead = &store->lead;
    uint32_t idle = JOB_IDLE;

    if (store->failed || store->now < lead->next_try ||
        !atomic_load_explicit(&pool->activity, memory_order_relaxed) ||
        free_segments(pool) >= store_clean_low(pool) ||
        !atomic_compare_exchange_strong(&pool->job.state, &idle, JOB_PRIVATE))
        return 0;
    atomic_store_explicit(&pool->activity, false, memory_order_relaxed);
    lead->phase = LEAD_PICK;
    lead->cursor = 0;
    lead->best = STORE_NO_SEGMENT;
    lead->later = false;
    lead->oldest = lead->second = UINT64_MAX;
    lead->oldest_seg = STORE_NO_SEGMENT;
    lead->deadline = store->now + DEADLINE;
    return 1;
}

static void finish(struct hg_store *store, hg_ns pause)
{
    store->lead.phase = LEAD_NONE;
    store->lead.next_try = store->now + pause;
    atomic_fetch_add(&store->pool->job.id, 1); /* walks that are late see that it is over */
    atomic_store_explicit(&store->pool->job.state, JOB_IDLE, memory_order_release);
}

/* Gives the job up; what was moved stays moved. */
static void give_up(struct hg_store *store, enum store_seg_state state)
{
    if (store->lead.phase > LEAD_PICK)
        atomic_store_explicit(&store->pool->segs[store->lead.best].state, state,
                              memory_order_release);
    finish(store, RETRY);
}

void store_clean_cancel(struct hg_store *store)
{
    if (store->lead.phase != LEAD_NONE)
        give_up(store, SEG_CLOSED);
}

/* ---- the phases ---- */

static void look_at(struct hg_store *store, uint32_t seg)
{
    struct store_lead *lead = &store->lead;
    struct store_segment *s = &store->pool->segs[seg];
    uint32_t state = atomic_load_explicit(&s->state, memory_order_acquire);
    uint64_t stamp = atomic_load_explicit(&s->first_stamp, memory_order_relaxed);
    int64_t live;

    if (state == SEG_FREE)
        return;
    if (stamp < lead->oldest) {
        lead->second = lead->oldest;
        lead->oldest = stamp;
        lead->oldest_seg = seg;
    } else if (stamp < lead->second) {
        lead->second = stamp;
    }
    if (state != SEG_CLOSED)
        return;
    if (atomic_load_explicit(&store->pool->shard[s->last_shard].durable, memory_order_acquire) <
        s->last_bseq) {
        lead->later = true;
        return;
    }
    live = store_seg_live(store->pool, seg);
    if (lead->best == STORE_NO_SEGMENT || live < lead->best_live) {
        lead->best = seg;
        lead->best_live = live;
    }
}

static void post_scan(struct hg_store *store)
{
    struct store_lead *lead = &store->lead;
    struct store_job_pub *job = &store->pool->job;

    atomic_store(&store->pool->segs[lead->best].state, SEG_CLEANING);
    for (unsigned i = 0; i < HG_ARRAY_LEN(job->seen); i++)
        atomic_store_explicit(&job->seen[i], 0, memory_order_relaxed);
    atomic_store(&job->segment, lead->best);
    atomic_store(&job->tail, store->pool->segs[lead->best].tail);
    atomic_store(&job->seg_gen, store->pool->segs[lead->best].gen);
    atomic_store(&job->oldest_other, lead->best == lead->oldest_seg ? lead->second : lead->oldest);
    atomic_store(&job->zeroes, false);
    atomic_store(&job->failed, false);
    atomic_fetch_add(&job->id, 1);
    lead->phase = LEAD_SCAN;
    store_walk_start(store, atomic_load(&job->id), true);
}

/* Users that wait for space get an answer. */
static void declare_full(struct hg_pool *pool)
{
    atomic_store_explicit(&pool->full, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->space_events, 1, memory_order_relaxed);
}

static bool fuller(const struct hg_store *store, uint32_t sixteenths)
{
    return store->lead.best_live * 16 > (int64_t)store->geo.seg_blocks * sixteenths;
}

static unsigned pick(struct hg_store *store)
{
    struct store_lead *lead = &store->lead;
    struct hg_pool *pool = store->pool;
    uint32_t n = atomic_load(&pool->n_segments);
    uint32_t stop = n - lead->cursor < PICK_PER_POLL ? n : lead->cursor + PICK_PER_POLL;
    uint32_t worth = free_segments(pool) <= STORE_KEEP_USER + 1 ? WORTH_FULL : WORTH;

    if (store->walk.phase != WALK_IDLE)
        return 0; /* of an earlier job */
    for (; lead->cursor < stop; lead->cursor++)
        look_at(store, lead->cursor);
    if (lead->cursor < n)
        return 1;
    if (lead->best == STORE_NO_SEGMENT ? !lead->later : fuller(store, WORTH))
        declare_full(pool);
    if (lead->best == STORE_NO_SEGMENT || fuller(store, worth))
        give_up(store, SEG_CLOSED);
    else
        post_scan(store);
    return 1;
}

static unsigned scan(struct hg_store *store)
{
    struct store_job_pub *job = &store->pool->job;

    if (store->walk.phase != WALK_IDLE)
        return 0;
    atomic_store(&job->dead,
                 store_seg_live(store->pool, store->lead.best) == 0 && !atomic_load(&job->zeroes));
    store->lead.phase = LEAD_WORK;
    atomic_store_explicit(&job->state, JOB_POSTED, memory_order_release);
    return 1;
}

static bool all_volumes_done(const struct hg_pool *pool)
{
    const struct store_job_pub *job = &pool->job;
    uint64_t id = atomic_load(&job->id);

    for (unsigned w = 0; w < HG_ARRAY_LEN(job->seen); w++) {
        uint64_t left = atomic_load_explicit(&job->seen[w], memory_order_relaxed);

        for (; left != 0; left &= left - 1) {
            const struct hg_volume *vol = pool->volumes[w * 64 + (unsigned)__builtin_ctzll(left)];

            if (vol != NULL && atomic_load_explicit(&vol->clean_done, memory_order_acquire) != id)
                return false;
        }
    }
    return true;
}

static unsigned work(struct hg_store *store)
{
    struct store_lead *lead = &store->lead;
    struct hg_pool *pool = store->pool;
    int64_t live;

    if (store->walk.phase != WALK_IDLE || !all_volumes_done(pool))
        return 0;
    live = store_seg_live(pool, lead->best);
    if (live != 0) {
        hg_log(
            HG_LOG_ERR, STORE_AREA,
            "segment %u: %lld blocks are mapped that its headers do not name; it is left as it is",
            lead->best, (long long)live);
        give_up(store, SEG_BAD);
        return 1;
    }
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++)
        lead->grace[i] = atomic_load_explicit(&pool->shard[i].submitted, memory_order_acquire);
    lead->phase = LEAD_GRACE;
    return 1;
}

static unsigned grace(struct hg_store *store)
{
    struct hg_pool *pool = store->pool;

    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++)
        if (atomic_load_explicit(&pool->shard[i].durable, memory_order_acquire) <
            store->lead.grace[i])
            return 0;
    store->lead.phase = LEAD_NOTE;
    return 1;
}

static unsigned note(struct hg_store *store)
{
    struct store_need need = {.stream = STORE_CLEAN, .keep = STORE_KEEP_CLEAN};

    need.rec_bytes = HG_STORE_SHARDS_MAX * store_rec_size(STORE_REC_UPTO, 0);
    if (store_batch_room(store, &need) != 0)
        return 0;
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++) {
        struct store_rec rec = {.type = STORE_REC_UPTO, .volume = i};

        rec.seq = atomic_load_explicit(&store->pool->shard[i].durable, memory_order_acquire);
        if (rec.seq != 0)
            store_batch_add(store, &rec, NULL, NULL);
    }
    store->lead.wait_bseq = store->bseq;
    store_batch_close(store);
    store->lead.phase = LEAD_NOTED;
    return 1;
}

static void queue_io(struct hg_store *store, enum hg_bdev_op op)
{
    struct store_lead *lead = &store->lead;
    struct store_place at = store_place(&store->geo, lead->best, 0);

    lead->iov = (struct hg_iov){store->zero_page, HG_BLOCK};
    lead->io = (struct store_io){
        .io = {.op = op, .iovcnt = op == HG_BDEV_WRITE, .iov = &lead->iov, .offset = at.offset},
        .kind = SIO_JOB};
    lead->io_busy = true;
    store_io_queue(store, at.dev, &lead->io);
}

static unsigned noted(struct hg_store *store)
{
    if (store->durable < store->lead.wait_bseq)
        return 0;
    store->lead.phase = LEAD_ERASE;
    queue_io(store, HG_BDEV_WRITE);
    return 1;
}

void store_clean_io_done(struct hg_store *store, struct store_io *sio)
{
    store->lead.io_busy = false;
    store->lead.status = sio->io.status;
}

static unsigned erase(struct hg_store *store)
{
    if (store->lead.status != 0) {
        give_up(store, SEG_BAD);
        return 1;
    }
    store->lead.phase = LEAD_FLUSH;
    queue_io(store, HG_BDEV_FLUSH);
    return 1;
}

static unsigned flush(struct hg_store *store)
{
    struct hg_pool *pool = store->pool;
    uint32_t seg = store->lead.best;

    if (store->lead.status != 0) {
        give_up(store, SEG_BAD);
        return 1;
    }
    atomic_store_explicit(&pool->segs[seg].first_stamp, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&pool->segs[seg].state, SEG_FREE, memory_order_release);
    store->count.segments_freed++;
    if (!fuller(store, WORTH))
        atomic_store_explicit(&pool->full, false, memory_order_relaxed);
    finish(store, 0);
    store_seg_push(pool, &pool->free_segs, seg); /* after that: it may be written again at once */
    atomic_fetch_add_explicit(&pool->space_events, 1, memory_order_relaxed);
    return 1;
}

static unsigned lead_step(struct hg_store *store)
{
    switch (store->lead.phase) {
    case LEAD_NONE:
        return begin(store);
    case LEAD_PICK:
        return pick(store);
    case LEAD_SCAN:
        return scan(store);
    case LEAD_WORK:
        return work(store);
    case LEAD_GRACE:
        return grace(store);
    case LEAD_NOTE:
        return note(store);
    case LEAD_NOTED:
        return noted(store);
    case LEAD_ERASE:
        return erase(store);
    case LEAD_FLUSH:
        return flush(store);
    }
    return 0;
}

/* What can end a job early. True when it did. */
static bool ended(struct hg_store *store)
{
    struct store_lead *lead = &store->lead;

    if (lead->phase == LEAD_NONE || lead->io_busy || lead->phase >= LEAD_ERASE)
        return false;
    if (atomic_load(&store->pool->job.failed) && lead->phase > LEAD_PICK) {
        give_up(store, SEG_BAD);
        return true;
    }
    if (store->failed || store->now >= lead->deadline) {
        declare_full(store->pool);
        give_up(store, SEG_CLOSED);
        return true;
    }
    return false;
}

unsigned store_clean_poll(struct hg_store *store)
{
    struct store_job_pub *job = &store->pool->job;
    unsigned n = 0;

    if (!ended(store) && !store->lead.io_busy)
        n = lead_step(store);
    if (store->walk.phase == WALK_IDLE && !store->failed &&
        atomic_load_explicit(&job->state, memory_order_acquire) == JOB_POSTED)
        store_walk_start(store, atomic_load(&job->id), false);
    return n + store_walk_poll(store);
}
