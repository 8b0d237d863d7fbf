/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes, zeroes, epochs: a record in the open batch, and the map changed at once, so that the map
 * is always what the log says up to and with the open batch.
 *
 * Unmapping a large range is work in proportion to what was mapped, so it is spread over polls.
 * Until it is through, other requests of the volume get -EAGAIN and the cleaner leaves it alone:
 * the record is in the log already, and nothing may slip in between.
 */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>

#define ZERO_BUDGET_NOW 64u   /* leaves a call unmaps before it returns: 128 MiB of a volume */
#define ZERO_BUDGET_POLL 256u /* leaves a poll unmaps */

static void live_change(struct hg_store *store, uint64_t pbn, int32_t change)
{
    store_live_add(store->live, (uint32_t)(pbn / store->geo.seg_blocks), change);
}

/* What every kind of request needs: 0, -EINVAL, -EIO, -EAGAIN. */
static int check(const struct hg_store *store, const struct hg_store_req *req, uint64_t len,
                 uint64_t seq)
{
    const struct hg_volume *vol = req->vol;
    uint64_t size = vol->map.blocks * HG_BLOCK;

    assert(atomic_load_explicit(&vol->owner, memory_order_relaxed) == (int)store->shard);
    if (store->failed)
        return -EIO;
    if ((req->offset | len) % HG_BLOCK != 0 || req->offset > size || len > size - req->offset ||
        seq <= vol->seq || seq > STORE_SEQ_MAX)
        return -EINVAL;
    return vol->zero_req != NULL ? -EAGAIN : 0;
}

static int count_refusal(struct hg_store *store, int rc)
{
    if (rc == -ENOSPC) {
        store->count.no_space++;
        store_wants_space(store->pool);
    } else if (rc == -EAGAIN) {
        store->count.queue_full++;
    }
    return rc;
}

static void take(struct hg_store *store, struct hg_store_req *req, uint64_t seq, uint64_t epoch)
{
    req->vol->seq = seq;
    req->priv[STORE_PRIV_SEQ] = seq;
    req->priv[STORE_PRIV_EPOCH] = epoch;
    store_batch_attach_req(store, req);
}

int hg_store_write(struct hg_store *store, struct hg_store_req *req, const uint32_t *crc,
                   uint64_t seq)
{
    struct hg_volume *vol = req->vol;
    uint32_t n = req->len / HG_BLOCK;
    struct store_rec rec = {.type = STORE_REC_DATA,
                            .volume = vol->id,
                            .seq = seq,
                            .block = req->offset / HG_BLOCK,
                            .n = n};
    struct store_need need = {.stream = STORE_USER,
                              .rec_bytes = store_rec_size(STORE_REC_DATA, n),
                              .blocks = n,
                              .keep = STORE_KEEP_USER};
    uint64_t pbn;
    int rc = check(store, req, req->len, seq);

    if (rc == 0 && (n == 0 || n > STORE_EXTENT_BLOCKS || (uintptr_t)req->buf % HG_BLOCK != 0))
        rc = -EINVAL;
    if (rc == 0 && !store_leaves_reserve(&store->leaves, 2))
        rc = -EAGAIN;
    if (rc == 0)
        rc = store_batch_room(store, &need);
    if (rc != 0)
        return count_refusal(store, rc);
    pbn = store_batch_add(store, &rec, crc, req->buf);
    store_live_add(store->live, store->open->segment, (int32_t)n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t old = store_map_set(&vol->map, &store->leaves, rec.block + i, pbn + i, crc[i]);

        if (old != STORE_PBN_NONE)
            live_change(store, old, -1);
    }
    store->count.writes++;
    store->count.write_bytes += req->len;
    store_wants_space(store->pool);
    take(store, req, seq, 0);
    return 0;
}

bool hg_store_write_waits(struct hg_store *store, const struct hg_volume *vol, uint32_t len)
{
    uint32_t n = (len + HG_BLOCK - 1) / HG_BLOCK;
    struct store_need need = {.stream = STORE_USER,
                              .rec_bytes = store_rec_size(STORE_REC_DATA, n),
                              .blocks = n,
                              .keep = STORE_KEEP_USER};

    if (vol->zero_req != NULL)
        return true;
    return n != 0 && n <= STORE_EXTENT_BLOCKS && store_batch_room(store, &need) == -EAGAIN;
}

uint64_t hg_store_progress(const struct hg_store *store)
{
    return store->progress + atomic_load_explicit(&store->pool->space_events, memory_order_relaxed);
}

/* A header block for a record without data. When the pool is full it may go where the cleaner
 * appends, so that space can still be freed; but not while a job is on, whose room it would take.
 */
static int meta_room(struct hg_store *store, enum store_rec_type type)
{
    struct store_need need = {
        .stream = STORE_USER, .rec_bytes = store_rec_size(type, 0), .keep = STORE_KEEP_USER};
    int rc = store_batch_room(store, &need);

    if (rc != -ENOSPC)
        return rc;
    store_wants_space(store->pool);
    if (atomic_load_explicit(&store->pool->job.state, memory_order_relaxed) != JOB_IDLE)
        return -ENOSPC;
    need.stream = STORE_CLEAN;
    need.keep = STORE_KEEP_TRIM;
    return store_batch_room(store, &need);
}

static void gone(void *arg, uint64_t pbn)
{
    live_change(arg, pbn, -1);
}

/* True when the volume's ZERO is through. */
static bool zero_step(struct hg_store *store, struct hg_volume *vol, store_budget *budget)
{
    vol->zero_at = store_map_unmap(&vol->map, &store->leaves,
                                   (struct store_range){vol->zero_at, vol->zero_end}, budget,
                                   (struct store_gone){gone, store});
    return vol->zero_at == vol->zero_end;
}

int hg_store_zero(struct hg_store *store, struct hg_store_req *req, uint64_t len64, uint64_t seq)
{
    struct hg_volume *vol = req->vol;
    store_budget budget = ZERO_BUDGET_NOW;
    struct store_rec rec = {.type = STORE_REC_ZERO,
                            .volume = vol->id,
                            .seq = seq,
                            .block = req->offset / HG_BLOCK,
                            .n = len64 / HG_BLOCK};
    int rc = check(store, req, len64, seq);

    if (rc == 0 && len64 == 0)
        rc = -EINVAL;
    if (rc == 0)
        rc = meta_room(store, STORE_REC_ZERO);
    if (rc != 0)
        return count_refusal(store, rc);
    store_batch_add(store, &rec, NULL, NULL);
    vol->zero_at = rec.block;
    vol->zero_end = rec.block + rec.n;
    if (!zero_step(store, vol, &budget)) {
        vol->zero_req = req;
        vol->zero_next = store->zeroing;
        store->zeroing = vol;
    }
    store->count.zeroes++;
    take(store, req, seq, 0);
    return 0;
}

unsigned store_zero_poll(struct hg_store *store)
{
    store_budget budget = ZERO_BUDGET_POLL;
    struct hg_volume *vol = store->zeroing;

    if (vol == NULL)
        return 0;
    if (zero_step(store, vol, &budget)) {
        store->zeroing = vol->zero_next;
        vol->zero_req = NULL;
        store->progress++;
    }
    return 1;
}

int hg_store_epoch(struct hg_store *store, struct hg_store_req *req, uint64_t epoch, uint64_t seq)
{
    struct hg_volume *vol = req->vol;
    struct store_rec rec = {.type = STORE_REC_EPOCH, .volume = vol->id, .seq = seq, .epoch = epoch};
    int rc = check(store, req, 0, seq);

    if (rc == 0)
        rc = meta_room(store, STORE_REC_EPOCH);
    if (rc != 0)
        return count_refusal(store, rc);
    store_batch_add(store, &rec, NULL, NULL);
    vol->epoch = epoch;
    store->count.epochs++;
    take(store, req, seq, epoch);
    return 0;
}
