/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches: the log entries of one shard on their way to the devices.
 *
 *      FREE --room()--> OPEN --close()--> WRITING --all writes done--> WRITTEN
 *           --flush that was submitted later done--> FLUSHED --retire, in bseq order--> FREE
 *
 * The ring holds them in bseq order. A flush covers the unbroken run of WRITTEN batches at its
 * head; one flush is in flight at a time, so the next one covers all that finished meanwhile: that
 * is the group commit. Retiring makes `durable` move and calls done().
 *
 * A device write or flush that fails ends writing on this shard: which of the later batches reached
 * the media is unknown, and reporting any of them durable would tear the prefix. All unretired
 * batches become FAILED, their requests get -EIO, new ones are refused, their blocks read as -EIO.
 * Everything before stays readable. Opening the pool again finds the durable prefix.
 */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

struct store_batch *store_batch_at(const struct hg_store *store, unsigned i)
{
    return &store->batch[(store->head + i) % STORE_BATCHES];
}

/* ---- filling ---- */

static bool fits(const struct hg_store *store, const struct store_batch *b,
                 const struct store_need *need)
{
    uint32_t limit =
        store->batch_blocks > STORE_EXTENT_BLOCKS ? store->batch_blocks : STORE_EXTENT_BLOCKS;

    return b->stream == need->stream && b->n_pieces < STORE_BATCH_RECS &&
           b->rec_bytes + need->rec_bytes <= sizeof b->hdr->records &&
           b->n_data + need->blocks <= limit &&
           b->off + 1 + b->n_data + need->blocks <= store->geo.seg_blocks;
}

/* Takes the cleaner's segment when no shard has it. */
static bool take_clean_end(struct hg_store *store)
{
    struct store_clean_end *end = &store->pool->clean_end;
    int nobody = STORE_NOBODY;

    if (store->has_clean_end)
        return true;
    if (!atomic_compare_exchange_strong_explicit(&end->owner, &nobody, (int)store->shard,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    store->has_clean_end = true;
    store->append[STORE_CLEAN] = end->append;
    if (end->stamp > store->stamp)
        store->stamp = end->stamp;
    return true;
}

void store_batch_give_clean_end(struct hg_store *store)
{
    struct store_clean_end *end = &store->pool->clean_end;

    if (!store->has_clean_end || store->durable < store->clean_bseq)
        return;
    store->has_clean_end = false;
    end->append = store->append[STORE_CLEAN];
    end->stamp = store->stamp;
    store->append[STORE_CLEAN].segment = STORE_NO_SEGMENT;
    atomic_store_explicit(&end->owner, STORE_NOBODY, memory_order_release);
}

/* Makes the stream's open segment one that has room for the header and `blocks`. */
static int segment_room(struct hg_store *store, const struct store_need *need)
{
    struct store_append *append = &store->append[need->stream];
    struct store_append next;
    int rc;

    if (need->stream == STORE_CLEAN && !take_clean_end(store))
        return -EAGAIN;
    if (append->segment != STORE_NO_SEGMENT &&
        append->tail + 1 + need->blocks <= store->geo.seg_blocks)
        return 0;
    rc = store_seg_claim(store->pool, need->stream, 1 + need->blocks, need->keep, &next);
    if (rc == -ENOSPC && need->stream == STORE_USER &&
        !atomic_load_explicit(&store->pool->full, memory_order_relaxed)) {
        store_wants_space(store->pool);
        return -EAGAIN; /* the cleaner is behind, or has not looked yet */
    }
    if (rc != 0)
        return rc;
    if (append->segment != STORE_NO_SEGMENT)
        store_seg_close(store->pool, append, store->shard, store->bseq);
    *append = next;
    store->count.segments_opened++;
    return 0;
}

static void open_batch(struct hg_store *store, enum store_stream stream)
{
    struct store_batch *b = store_batch_at(store, store->n_batches++);

    assert(b->state == BATCH_FREE);
    b->state = BATCH_OPEN;
    b->stream = stream;
    b->segment = store->append[stream].segment;
    b->off = store->append[stream].tail;
    b->n_data = b->rec_bytes = b->n_recs = b->n_pieces = 0;
    b->bseq = ++store->bseq;
    b->opened = store->now;
    b->reqs = NULL;
    b->reqs_tail = &b->reqs;
    b->dev_mask = 0;
    b->status = 0;
    store->open = b;
    if (stream == STORE_CLEAN)
        store->clean_bseq = b->bseq;
    atomic_store_explicit(&store->pub->submitted, b->bseq, memory_order_release);
}

int store_batch_room(struct hg_store *store, const struct store_need *need)
{
    int rc;

    if (store->failed)
        return -EIO;
    if (store->open != NULL) {
        if (fits(store, store->open, need))
            return 0;
        store_batch_close(store);
    }
    if (store->n_batches == STORE_BATCHES)
        return -EAGAIN;
    rc = segment_room(store, need);
    if (rc != 0)
        return rc;
    open_batch(store, need->stream);
    return 0;
}

uint64_t store_batch_add(struct hg_store *store, const struct store_rec *rec, const uint32_t *crc,
                         uint8_t *buf)
{
    struct store_batch *b = store->open;
    uint64_t pbn = (uint64_t)b->segment * store->geo.seg_blocks + b->off + 1 + b->n_data;

    store_rec_put(b->hdr, &b->rec_bytes, rec, crc);
    b->n_recs++;
    if (rec->type == STORE_REC_DATA) {
        b->piece[b->n_pieces++] = (struct store_piece){.buf = buf, .blocks = (uint32_t)rec->n};
        b->n_data += (uint32_t)rec->n;
    }
    return pbn;
}

void store_batch_attach_req(struct hg_store *store, struct hg_store_req *req)
{
    struct store_batch *b = store->open;

    req->next = NULL;
    *b->reqs_tail = req;
    b->reqs_tail = &req->next;
    if (b->n_data >= store->batch_blocks)
        store_batch_close(store);
}

/* ---- closing: from pieces in log order to one contiguous run per device ---- */

/* Goes through header and data in log order, cut at stripe units. */
struct layout {
    const struct hg_store *store;
    const struct store_batch *b;
    uint32_t block; /* of the segment */
    unsigned piece; /* 0: the header, then piece[piece - 1] */
    uint32_t in;    /* blocks of it done */
    struct hg_iov iov;
    struct store_place place;
};

static bool layout_next(struct layout *l)
{
    const struct store_batch *b = l->b;
    uint32_t left;
    uint8_t *base;

    if (l->piece > b->n_pieces)
        return false;
    left = l->piece == 0 ? 1 : b->piece[l->piece - 1].blocks - l->in;
    base = l->piece == 0 ? (uint8_t *)b->hdr : b->piece[l->piece - 1].buf;
    l->place = store_place(&l->store->geo, b->segment, l->block);
    if (left > l->place.blocks)
        left = l->place.blocks;
    l->iov = (struct hg_iov){base + (size_t)l->in * HG_BLOCK, left * HG_BLOCK};
    l->block += left;
    l->in += left;
    if (l->piece == 0 || l->in == b->piece[l->piece - 1].blocks) {
        l->piece++;
        l->in = 0;
    }
    return true;
}

/* What goes to consecutive places of one device. */
struct run {
    struct hg_iov *iov;
    unsigned n;
    uint64_t offset; /* bytes on the device */
};

/* Cuts a device's run of iovs into requests of at most HG_BDEV_IOV_MAX. */
static void queue_run(struct hg_store *store, struct store_batch *b, unsigned dev, struct run r)
{
    while (r.n > 0) {
        unsigned part = r.n < HG_BDEV_IOV_MAX ? r.n : HG_BDEV_IOV_MAX;
        struct store_io *sio = &b->io[b->ios_left++];

        assert(b->ios_left <= STORE_BATCH_IOS);
        *sio = (struct store_io){
            .io = {.op = HG_BDEV_WRITE, .iovcnt = (uint16_t)part, .iov = r.iov, .offset = r.offset},
            .kind = SIO_BATCH,
            .ctx = b};
        for (unsigned i = 0; i < part; i++)
            r.offset += r.iov[i].len;
        r.iov += part;
        r.n -= part;
        store_io_queue(store, dev, sio);
    }
}

static void queue_writes(struct hg_store *store, struct store_batch *b)
{
    unsigned count[HG_POOL_DEVICES_MAX] = {0};
    unsigned start[HG_POOL_DEVICES_MAX];
    uint64_t offset[HG_POOL_DEVICES_MAX];
    struct layout l = {.store = store, .b = b, .block = b->off};
    unsigned total = 0;

    while (layout_next(&l))
        if (count[l.place.dev]++ == 0)
            offset[l.place.dev] = l.place.offset;
    for (unsigned d = 0; d < store->geo.n_dev; d++) {
        start[d] = total;
        total += count[d];
        count[d] = 0;
    }
    assert(total <= STORE_BATCH_BLOCKS + 1);
    l = (struct layout){.store = store, .b = b, .block = b->off};
    while (layout_next(&l))
        b->iov[start[l.place.dev] + count[l.place.dev]++] = l.iov;
    b->ios_left = 0;
    for (unsigned d = 0; d < store->geo.n_dev; d++) {
        if (count[d] == 0)
            continue;
        b->dev_mask |= 1u << d;
        queue_run(store, b, d, (struct run){b->iov + start[d], count[d], offset[d]});
    }
}

void store_batch_close(struct hg_store *store)
{
    struct store_batch *b = store->open;
    struct store_segment *seg = &store->pool->segs[b->segment];
    struct store_log log = {.seg_gen = seg->gen,
                            .bseq = b->bseq,
                            .stamp = ++store->stamp,
                            .durable = store->durable,
                            .segment = b->segment,
                            .seg_block = b->off,
                            .n_data = b->n_data,
                            .n_records = b->n_recs,
                            .rec_bytes = b->rec_bytes,
                            .incarnation = store->pool->incarnation,
                            .shard = (uint16_t)store->shard,
                            .stream = (uint8_t)b->stream};

    store->open = NULL;
    store->append[b->stream].tail += 1 + b->n_data;
    if (atomic_load_explicit(&seg->first_stamp, memory_order_relaxed) == UINT64_MAX)
        atomic_store_explicit(&seg->first_stamp, log.stamp, memory_order_relaxed);
    store_log_put(b->hdr, &log, store->pool->uuid);
    b->state = BATCH_WRITING;
    store->count.batches++;
    store->count.log_bytes += (uint64_t)(1 + b->n_data) * HG_BLOCK;
    queue_writes(store, b);
    store_io_push(store);
}

/* ---- completion ---- */

static void fail(struct hg_store *store)
{
    if (store->failed)
        return;
    store->failed = true;
    atomic_fetch_add_explicit(&store->pool->n_stopped, 1, memory_order_relaxed);
    hg_log(
        HG_LOG_ERR, STORE_AREA,
        "shard %u: a device failed a write, so it writes no more until the node is started again; "
        "%u log entries that were not acknowledged are dropped, and sources send them again then; "
        "reads go on",
        store->shard, store->n_batches);
}

void store_batch_io_done(struct hg_store *store, struct store_io *sio)
{
    struct store_batch *b = sio->ctx;

    if (sio->io.status != 0)
        b->status = sio->io.status;
    if (--b->ios_left != 0)
        return;
    b->state = BATCH_WRITTEN;
    if (b->status != 0)
        fail(store);
}

void store_batch_flush_done(struct hg_store *store, struct store_io *sio)
{
    if (sio->io.status != 0)
        store->flush_status = sio->io.status;
    if (--store->flush_left != 0)
        return;
    if (store->flush_status != 0) {
        fail(store);
        return;
    }
    for (unsigned i = 0; i < store->flush_covers; i++)
        store_batch_at(store, i)->state = BATCH_FLUSHED;
}

/* Flushes what is written at the head of the ring. */
static unsigned start_flush(struct hg_store *store)
{
    uint32_t mask = 0;
    unsigned n = 0;

    while (n < store->n_batches && store_batch_at(store, n)->state == BATCH_WRITTEN)
        mask |= store_batch_at(store, n++)->dev_mask;
    if (n == 0)
        return 0;
    mask &= store->flush_devs;
    for (unsigned i = 0; mask == 0 && i < n; i++)
        store_batch_at(store, i)->state = BATCH_FLUSHED;
    store->flush_covers = n;
    store->flush_status = 0;
    for (unsigned d = 0; d < store->geo.n_dev; d++) {
        if ((mask >> d & 1) == 0)
            continue;
        store->flush_left++;
        store->flush_io[d] = (struct store_io){.io = {.op = HG_BDEV_FLUSH}, .kind = SIO_FLUSH};
        store_io_queue(store, d, &store->flush_io[d]);
    }
    return n;
}

/* ---- retiring ---- */

static void finish_reqs(struct hg_store_req *req, int status)
{
    while (req != NULL) {
        struct hg_store_req *next = req->next;

        if (status == 0) {
            atomic_store_explicit(&req->vol->durable_seq, req->priv[STORE_PRIV_SEQ],
                                  memory_order_relaxed);
            if (req->priv[STORE_PRIV_EPOCH] != 0)
                atomic_store_explicit(&req->vol->durable_epoch, req->priv[STORE_PRIV_EPOCH],
                                      memory_order_relaxed);
        }
        req->status = status;
        req->done(req);
        req = next;
    }
}

/* A ZERO is over only when its blocks are unmapped: the volume is the owner's until then. */
static bool waits_for_zero(const struct store_batch *b)
{
    for (const struct hg_store_req *req = b->reqs; req != NULL; req = req->next)
        if (req->vol->zero_req == req)
            return true;
    return false;
}

static unsigned retire(struct hg_store *store)
{
    unsigned n = 0;

    while (store->n_batches != 0) {
        struct store_batch *b = store_batch_at(store, 0);
        struct hg_store_req *reqs = b->reqs;

        if (b->state != BATCH_FLUSHED || waits_for_zero(b))
            break;
        b->state = BATCH_FREE;
        b->reqs = NULL;
        store->head = (store->head + 1) % STORE_BATCHES;
        store->n_batches--;
        store->durable = b->bseq;
        atomic_store_explicit(&store->pub->durable, b->bseq, memory_order_release);
        finish_reqs(reqs, 0);
        n++;
    }
    store->count.commits += n != 0;
    store->progress += n;
    return n;
}

/* Gives every request its -EIO once no write of it is in flight, still in order. The batches stay
 * in the ring as FAILED, so that reads know their blocks. */
static unsigned retire_failed(struct hg_store *store)
{
    unsigned n = 0;

    if (store->open != NULL) {
        store->open->state = BATCH_WRITTEN; /* it fails with the others */
        store->open = NULL;
    }
    for (unsigned i = 0; i < store->n_batches; i++) {
        struct store_batch *b = store_batch_at(store, i);
        struct hg_store_req *reqs = b->reqs;

        if (b->state == BATCH_FAILED)
            continue;
        if (b->state == BATCH_WRITING || store->flush_left != 0 || waits_for_zero(b))
            break;
        b->state = BATCH_FAILED;
        b->reqs = NULL;
        finish_reqs(reqs, -EIO);
        n++;
    }
    return n;
}

/* Time to close: nothing else is in flight, or the oldest request has waited long enough. */
static bool is_due(const struct hg_store *store)
{
    return store->open != NULL &&
           (store->n_batches == 1 || store->now - store->open->opened >= store->commit_delay);
}

unsigned store_batch_poll(struct hg_store *store)
{
    unsigned work;

    if (store->failed)
        return retire_failed(store);
    work = retire(store);
    if (is_due(store)) {
        store_batch_close(store);
        work++;
    }
    if (store->flush_left == 0)
        work += start_flush(store);
    work += retire(store);
    if (store->walk.phase == WALK_IDLE && store->lead.phase != LEAD_NOTE)
        store_batch_give_clean_end(store);
    return work;
}

enum store_batch_state store_batch_of(const struct hg_store *store, uint64_t pbn)
{
    uint32_t seg = (uint32_t)(pbn / store->geo.seg_blocks);
    uint32_t block = (uint32_t)(pbn % store->geo.seg_blocks);

    for (unsigned i = 0; i < store->n_batches; i++) {
        const struct store_batch *b = store_batch_at(store, i);

        if (b->segment == seg && block > b->off && block <= b->off + b->n_data &&
            (b->state == BATCH_OPEN || b->state == BATCH_WRITING || b->state == BATCH_FAILED))
            return b->state;
    }
    return BATCH_FREE;
}
