/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of one shard: create, destroy, poll.
 *
 * The store is a log. Every request becomes a record in a log entry, which is one header block and
 * its data; the log is the journal and the data at once. docs/store.md has the format to the byte.
 *
 * Invariants. "Durable" means: a flush of every device it lies on was submitted after its writes
 * had completed, and has completed.
 *
 *  1. Requests of a volume are recorded in the order of their submission, and the batches of a
 *     shard are numbered without gaps (bseq). A request lies in one batch as a whole.
 *  2. done(0) comes in bseq order, for a batch that is durable and whose predecessors all are. So
 *     what is acknowledged is always a prefix.
 *  3. The map says what the log says, up to and with the open batch: it changes when a record is
 *     appended, in the same call. So what the cleaner appends can never undo something newer.
 *  4. For one volume, stamps rise along its records, whichever shards wrote them: attaching raises
 *     the shard's clock to that of the shard before, and a volume changes hands only when nothing
 *     of it is in flight.
 *  5. Blocks that are not on media yet are not read (store_read.c), and every block that is read is
 *     checked against the CRC in the map.
 *  6. A segment is erased only when no map points into it, everything that made that so is durable,
 *     all that its other records say is said again elsewhere, durably, and a durable table says
 *     that every shard was durable beyond its batches in it (store_clean.c).
 *  7. A segment generation and an (incarnation, shard, bseq) are never used twice on media: the
 *     incarnation rises durably with every open, before anything is appended.
 *  8. Users cannot take the last STORE_KEEP_USER free segments: the cleaner can always work.
 *  9. On this thread nothing is allocated, locked or waited for after create, but for creating a
 *     volume and for mapping 2 MiB slabs for maps that grow.
 *
 * What may be trusted after a crash, and where it is decided:
 *
 *      an entry up to D                durable before the crash               store_replay.c 1
 *      an entry above D, no gap, CRCs  written completely; now made durable   store_replay.c 2
 *      an entry behind a gap           nothing; it is erased                  store_replay.c 3
 *      a header that fits no chain     nothing; the chain ends there          store_scan.c
 *      a catalogue copy, CRC right     the newest generation counts           store_catalogue.c
 *      a superblock copy, CRC right    the newest generation counts           store_super.c
 */
#include "store_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_DEFAULT 128u
#define BATCH_BYTES_DEFAULT (1u << 20)
#define BATCH_BYTES_MAX (4u << 20)

static const struct hg_counter_desc counter_desc[] = {HG_STORE_COUNTERS(HG_COUNTER_DESC)};
_Static_assert(sizeof counter_desc / sizeof counter_desc[0] * sizeof(uint64_t) ==
                   sizeof(struct hg_store_counters),
               "names and values have the same order");

/* ---- create ---- */

static int open_channels(struct hg_store *store, unsigned depth, struct hg_err *err)
{
    struct hg_arena_region mem = hg_arena_region(store->arena);

    for (unsigned i = 0; i < store->geo.n_dev; i++) {
        struct store_dev *d = &store->dev[i];
        int rc = hg_bdev_chan_open(store->pool->devs[i], depth, &mem, &d->chan, err);

        if (rc != 0)
            return rc;
        d->tail = &d->head;
        if (store->pool->devs[i]->volatile_cache)
            store->flush_devs |= 1u << i;
    }
    return 0;
}

static int take_buffers(struct hg_store *store, struct hg_err *err)
{
    bool ok = true;

    for (unsigned i = 0; i < STORE_BATCHES; i++)
        ok &= (store->batch[i].hdr = hg_arena_alloc(store->arena, HG_BLOCK)) != NULL;
    ok &= (store->walk.hdr = hg_arena_alloc(store->arena, HG_BLOCK)) != NULL;
    ok &= (store->walk.buf = hg_arena_alloc(store->arena, STORE_MOVE_BLOCKS * HG_BLOCK)) != NULL;
    ok &= (store->zero_page = hg_arena_alloc(store->arena, HG_BLOCK)) != NULL;
    if (!ok)
        return hg_fail(err, -ENOMEM, "shard %u: the arena is too small for the store's own buffers",
                       store->shard);
    memset(store->zero_page, 0, HG_BLOCK);
    return 0;
}

static void give_buffers(struct hg_store *store)
{
    void *const own[] = {store->walk.hdr, store->walk.buf, store->zero_page};

    for (unsigned i = 0; i < HG_ARRAY_LEN(own); i++)
        if (own[i] != NULL)
            hg_arena_free(store->arena, own[i]);
    for (unsigned i = 0; store->batch != NULL && i < STORE_BATCHES; i++)
        if (store->batch[i].hdr != NULL)
            hg_arena_free(store->arena, store->batch[i].hdr);
}

/* The first store decides the number of shards; all later ones must agree. */
static int join_pool(struct hg_store *store, unsigned n_shards, struct hg_err *err)
{
    struct hg_pool *pool = store->pool;
    uint32_t n = 0;

    if (store->shard >= n_shards || n_shards > HG_STORE_SHARDS_MAX)
        return hg_fail(err, -EINVAL, "shard %u of %u: at most %u shards can use a pool",
                       store->shard, n_shards, HG_STORE_SHARDS_MAX);
    if (!atomic_compare_exchange_strong(&pool->n_shards, &n, n_shards) && n != n_shards)
        return hg_fail(err, -EINVAL, "shard %u of %u: the pool is used by %u shards", store->shard,
                       n_shards, n);
    n = atomic_load(&pool->n_segments);
    if (n < STORE_KEEP_USER + 2 * n_shards)
        return hg_fail(err, -ENOSPC,
                       "%u segments are too few for %u shards, which need %u: use more space, "
                       "smaller chunks or fewer shards",
                       n, n_shards, STORE_KEEP_USER + 2 * n_shards);
    if (atomic_exchange(&pool->shard[store->shard].active, true))
        return hg_fail(err, -EBUSY, "shard %u has a store on this pool already", store->shard);
    store->pub = &pool->shard[store->shard];
    return 0;
}

static int init_shard(struct hg_store *store, struct hg_err *err)
{
    struct hg_pool *pool = store->pool;

    if (store->pub->live == NULL)
        store->pub->live = store_seg_live_new();
    store->live = store->pub->live;
    store->batch = calloc(STORE_BATCHES, sizeof store->batch[0]);
    store->reads = calloc(STORE_READS, sizeof store->reads[0]);
    if (store->live == NULL || store->batch == NULL || store->reads == NULL)
        return hg_fail(err, -ENOMEM, "shard %u: no memory for the store", store->shard);
    store->bseq = store->durable = atomic_load(&store->pub->durable);
    store->stamp = pool->stamp0;
    store->attach_tail = &store->attach;
    for (unsigned i = 0; i < STORE_STREAMS; i++)
        store->append[i].segment = STORE_NO_SEGMENT;
    store_read_init(store);
    store->leaves.slabs = &pool->slabs;
    if (!atomic_exchange(&pool->boot_taken, true))
        store->leaves = pool->boot_leaves;
    if (!store_leaves_reserve(&store->leaves, 2))
        return hg_fail(err, -ENOMEM, "shard %u: no memory for maps", store->shard);
    return 0;
}

int hg_store_create(struct hg_pool *pool, const struct hg_store_cfg *cfg, struct hg_store **out,
                    struct hg_err *err)
{
    uint32_t batch_bytes = cfg->batch_bytes != 0 ? cfg->batch_bytes : BATCH_BYTES_DEFAULT;
    struct hg_store *store = calloc(1, sizeof *store);
    int rc;

    *out = NULL;
    if (store == NULL)
        return hg_fail(err, -ENOMEM, "shard %u: no memory for the store", cfg->shard);
    if (batch_bytes > BATCH_BYTES_MAX)
        batch_bytes = BATCH_BYTES_MAX;
    store->pool = pool;
    store->geo = pool->geo;
    store->shard = cfg->shard;
    store->arena = cfg->arena;
    store->batch_blocks = batch_bytes < HG_BLOCK ? 1 : batch_bytes / HG_BLOCK;
    store->commit_delay = cfg->commit_delay != 0 ? cfg->commit_delay : HG_US(500);
    rc = join_pool(store, cfg->n_shards, err);
    if (rc == 0)
        rc = init_shard(store, err);
    if (rc == 0)
        rc = take_buffers(store, err);
    if (rc == 0)
        rc = open_channels(store, cfg->depth != 0 ? cfg->depth : DEPTH_DEFAULT, err);
    if (rc != 0) {
        hg_store_destroy(store);
        return rc;
    }
    *out = store;
    return 0;
}

void hg_store_destroy(struct hg_store *store)
{
    if (store == NULL)
        return;
    if (store->batch != NULL && store->pub != NULL) {
        store_clean_cancel(store);
        store_walk_stop(store);
        store_volume_release(store);
        store_batch_give_clean_end(store);
        if (store->append[STORE_USER].segment != STORE_NO_SEGMENT)
            store_seg_close(store->pool, &store->append[STORE_USER], store->shard, store->bseq);
    }
    for (unsigned i = 0; i < store->geo.n_dev; i++)
        hg_bdev_chan_close(store->dev[i].chan);
    give_buffers(store);
    free(store->batch);
    free(store->reads);
    if (store->pub != NULL)
        atomic_store(&store->pub->active, false);
    free(store);
}

/* ---- poll ---- */

unsigned hg_store_poll(struct hg_store *store, hg_ns now)
{
    unsigned work;

    store->now = now;
    work = store_io_poll(store);
    work += store_batch_poll(store);
    work += store_zero_poll(store);
    work += store_read_poll(store);
    work += store_volume_poll(store);
    work += store_clean_poll(store);
    store_io_push(store);
    return work;
}

hg_ns hg_store_next(const struct hg_store *store)
{
    const struct hg_pool *pool = store->pool;

    if (store->zeroing != NULL || store->attach != NULL || store->releasing != NULL ||
        store->lead.phase != LEAD_NONE || store->walk.phase != WALK_IDLE ||
        atomic_load_explicit(&pool->job.state, memory_order_relaxed) == JOB_POSTED)
        return store->now;
    if (store->open != NULL)
        return store->n_batches == 1 ? store->now : store->open->opened + store->commit_delay;
    if (atomic_load_explicit(&pool->activity, memory_order_relaxed) &&
        atomic_load_explicit(&pool->free_segs.n, memory_order_relaxed) < store_clean_low(pool))
        return store->lead.next_try > store->now ? store->lead.next_try : store->now;
    return 0;
}

bool hg_store_idle(const struct hg_store *store)
{
    for (unsigned i = 0; i < store->n_batches; i++)
        if (store_batch_at(store, i)->state != BATCH_FAILED)
            return false;
    return store->ios_out == 0 && store->n_reads == 0 && store->attach == NULL &&
           store->releasing == NULL;
}

struct hg_counter_set hg_store_counter_set(const struct hg_store *store)
{
    return (struct hg_counter_set){.area = "store",
                                   .desc = counter_desc,
                                   .value = (const uint64_t *)&store->count,
                                   .n = HG_ARRAY_LEN(counter_desc)};
}
