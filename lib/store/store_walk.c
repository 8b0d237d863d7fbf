/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A walk: one shard goes through the headers of the segment that is being cleaned and appends again
 * what is still needed of the volumes it owns (or, for the leader, that nobody owns):
 *
 *   - DATA blocks the map still points to, read and checked first;
 *   - ZERO ranges that are still unmapped, unless no other segment has anything older: then there
 *     is nothing left that they hide;
 *   - one MARK per volume, with the sequence number and epoch of its last request.
 *
 * What is live is decided when the copy is appended, against the map, which at that moment says
 * exactly what the log says: so a copy never undoes a newer write. Volumes that change hands during
 * the walk are dropped from it; their new owner does another walk.
 *
 * The leader's first pass (`scan`) only notes which volumes have records in the segment.
 */
#include "store_internal.h"
#include <assert.h>
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_BUDGET 256u /* leaves looked at per poll for ZERO records */

enum step { STEP_ON, STEP_WAIT };

static bool bit_get(const uint64_t *set, uint32_t i)
{
    return (set[i / 64] >> (i % 64) & 1) != 0;
}

static struct hg_volume *volume_of(const struct hg_store *store, uint32_t id)
{
    uint32_t n = atomic_load_explicit(&store->pool->n_volumes, memory_order_acquire);

    return id < n ? store->pool->volumes[id] : NULL;
}

/* The volume of a record, when this walk is about it. */
static struct hg_volume *my_volume(const struct hg_store *store, uint32_t id)
{
    return id < HG_VOLUMES_MAX && bit_get(store->walk.mine, id) ? volume_of(store, id) : NULL;
}

/* ---- start and end ---- */

/* Owns the volume, or takes it when nobody does and this shard leads the job. */
static bool take(struct hg_store *store, struct hg_volume *vol)
{
    int owner = atomic_load_explicit(&vol->owner, memory_order_relaxed);

    if (owner == (int)store->shard)
        return true;
    if (owner != STORE_NOBODY || store->lead.phase == LEAD_NONE)
        return false;
    if (!atomic_compare_exchange_strong_explicit(&vol->owner, &owner,
                                                 (int)store->shard | STORE_HELD,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    if (vol->last_stamp > store->stamp)
        store->stamp = vol->last_stamp;
    return true;
}

/* Fills `mine`; false when there is nothing for this shard to do. */
static bool choose(struct hg_store *store, uint64_t id)
{
    struct store_job_pub *job = &store->pool->job;
    bool any = false;

    for (unsigned w = 0; w < HG_ARRAY_LEN(job->seen); w++) {
        uint64_t left = atomic_load_explicit(&job->seen[w], memory_order_relaxed);

        store->walk.mine[w] = 0;
        for (; left != 0; left &= left - 1) {
            uint32_t v = w * 64 + (unsigned)__builtin_ctzll(left);
            struct hg_volume *vol = volume_of(store, v);

            if (vol == NULL || atomic_load_explicit(&vol->clean_done, memory_order_acquire) == id ||
                !take(store, vol))
                continue;
            store->walk.mine[w] |= left & -left;
            any = true;
        }
    }
    return any;
}

void store_walk_start(struct hg_store *store, uint64_t id, bool scan)
{
    struct store_walk *w = &store->walk;

    assert(w->phase == WALK_IDLE);
    if (!scan && !choose(store, id))
        return;
    w->phase = WALK_HEADER;
    w->scan = scan;
    w->id = id;
    w->segment = atomic_load_explicit(&store->pool->job.segment, memory_order_relaxed);
    w->tail = atomic_load_explicit(&store->pool->job.tail, memory_order_relaxed);
    /* What is dead stays dead: the records need no second look. */
    w->at = !scan && atomic_load(&store->pool->job.dead) ? w->tail : 0;
    w->seg_gen = atomic_load_explicit(&store->pool->job.seg_gen, memory_order_relaxed);
    w->n_moves = 0;
    w->in_rec = false;
    w->mark = 0;
    w->status = 0;
}

/* Lets go of all it held; `done`: their part of the segment is no longer needed. */
static void end(struct hg_store *store, bool done)
{
    struct store_walk *w = &store->walk;

    for (uint32_t v = 0; !w->scan && v < HG_VOLUMES_MAX; v++) {
        struct hg_volume *vol = my_volume(store, v);

        if (vol == NULL)
            continue;
        if (done)
            atomic_store_explicit(&vol->clean_done, w->id, memory_order_release);
        if (atomic_load_explicit(&vol->owner, memory_order_relaxed) ==
            ((int)store->shard | STORE_HELD))
            store_volume_give_up(store, vol);
    }
    memset(w->mine, 0, sizeof w->mine);
    w->phase = WALK_IDLE;
}

void store_walk_stop(struct hg_store *store)
{
    if (store->walk.phase != WALK_IDLE)
        end(store, false);
}

void store_walk_forget(struct hg_store *store, const struct hg_volume *vol)
{
    store->walk.mine[vol->id / 64] &= ~((uint64_t)1 << (vol->id % 64));
}

/* The job is over, or another one has begun. */
static bool is_over(const struct hg_store *store)
{
    const struct store_job_pub *job = &store->pool->job;
    uint32_t state = store->walk.scan ? JOB_PRIVATE : JOB_POSTED;

    return atomic_load_explicit(&job->state, memory_order_acquire) != state ||
           atomic_load_explicit(&job->id, memory_order_acquire) != store->walk.id ||
           atomic_load_explicit(&job->failed, memory_order_relaxed);
}

/* The segment cannot be read: the job must not go on. */
static void give_up(struct hg_store *store, const char *why)
{
    struct store_walk *w = &store->walk;

    if (is_over(store)) { /* no wonder: somebody else may write there by now */
        end(store, false);
        return;
    }
    hg_log(HG_LOG_ERR, STORE_AREA, "segment %u, block %u: %s; the segment is left as it is",
           w->segment, w->at, why);
    atomic_store(&store->pool->job.failed, true);
    end(store, false);
}

/* ---- headers ---- */

static void queue_read(struct hg_store *store, unsigned i, uint32_t block, uint32_t blocks,
                       uint8_t *buf)
{
    struct store_walk *w = &store->walk;
    struct store_place at = store_place(&store->geo, w->segment, block);

    assert(blocks <= at.blocks);
    w->iov[i] = (struct hg_iov){buf, blocks * HG_BLOCK};
    w->io[i] = (struct store_io){
        .io = {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &w->iov[i], .offset = at.offset},
        .kind = SIO_WALK};
    w->ios_left++;
    store_io_queue(store, at.dev, &w->io[i]);
}

void store_walk_io_done(struct hg_store *store, struct store_io *sio)
{
    if (sio->io.status != 0)
        store->walk.status = sio->io.status;
    store->walk.ios_left--;
}

static enum step next_header(struct hg_store *store)
{
    struct store_walk *w = &store->walk;

    if (w->at >= w->tail) {
        w->phase = w->n_moves != 0 ? WALK_FETCH : WALK_MARKS;
        if (w->scan)
            end(store, true);
        return STEP_ON;
    }
    queue_read(store, 0, w->at, 1, (uint8_t *)w->hdr);
    w->phase = WALK_PARSE;
    return STEP_WAIT;
}

static enum step parse(struct hg_store *store)
{
    struct store_walk *w = &store->walk;

    if (w->status != 0 || !store_log_parse(w->hdr, store->pool->uuid, &w->log) ||
        w->log.segment != w->segment || w->log.seg_block != w->at || w->log.seg_gen != w->seg_gen) {
        give_up(store, "the log header cannot be read back");
        return STEP_ON;
    }
    w->at += 1 + w->log.n_data;
    store_rec_iter(&w->it, w->hdr, &w->log);
    w->phase = WALK_RECORDS;
    return STEP_ON;
}

static void note_volumes(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    struct store_rec rec;

    while (store_rec_next(&w->it, &rec)) {
        if (rec.type != STORE_REC_UPTO && rec.volume < HG_VOLUMES_MAX)
            atomic_fetch_or_explicit(&store->pool->job.seen[rec.volume / 64],
                                     (uint64_t)1 << (rec.volume % 64), memory_order_relaxed);
        if (rec.type == STORE_REC_ZERO)
            atomic_store_explicit(&store->pool->job.zeroes, true, memory_order_relaxed);
    }
}

/* ---- records ---- */

/* Collects what is live of a DATA record, as far as there is room. */
static void collect(struct hg_store *store, struct hg_volume *vol)
{
    struct store_walk *w = &store->walk;
    uint32_t first = w->at - w->log.n_data + w->rec.data;

    for (; w->rec_at < w->rec.n && w->n_moves < STORE_MOVE_BLOCKS; w->rec_at++) {
        uint64_t block = w->rec.block + w->rec_at;
        uint64_t pbn = (uint64_t)w->segment * store->geo.seg_blocks + first + w->rec_at;
        const struct store_map_entry *e = store_map_get(&vol->map, block);

        if (e != NULL && store_map_pbn(e) == pbn)
            w->move[w->n_moves++] =
                (struct store_move){.vol = vol, .block = block, .pbn = pbn, .crc = e->crc};
    }
}

static enum step records(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    struct hg_volume *vol;

    if (w->scan) {
        note_volumes(store);
        w->phase = WALK_HEADER;
        return STEP_ON;
    }
    if (!w->in_rec) {
        if (!store_rec_next(&w->it, &w->rec)) {
            w->phase = WALK_HEADER;
            return STEP_ON;
        }
        w->in_rec = true;
        w->rec_at = 0;
    }
    vol = w->rec.type != STORE_REC_UPTO ? my_volume(store, w->rec.volume) : NULL;
    if (vol != NULL && !store_rec_in(&w->rec, vol->map.blocks)) {
        give_up(store, "a record reaches beyond its volume");
        return STEP_ON;
    }
    if (vol != NULL && w->rec.type == STORE_REC_ZERO) {
        w->phase = WALK_ZERO;
        return STEP_ON;
    }
    if (vol != NULL && w->rec.type == STORE_REC_DATA)
        collect(store, vol);
    if (w->n_moves == STORE_MOVE_BLOCKS)
        w->phase = WALK_FETCH;
    else
        w->in_rec = false;
    return STEP_ON;
}

/* Room in the cleaner's stream, which may use the reserve. */
static bool clean_room(struct hg_store *store, uint32_t rec_bytes, uint32_t blocks)
{
    struct store_need need = {
        .stream = STORE_CLEAN, .rec_bytes = rec_bytes, .blocks = blocks, .keep = STORE_KEEP_CLEAN};

    return store_batch_room(store, &need) == 0;
}

static void append_rec(struct hg_store *store, const struct store_rec *rec)
{
    store_batch_add(store, rec, NULL, NULL);
    store->walk.touched = store->bseq;
}

/* Writes the ZERO record again for the ranges of it that are unmapped now. */
static enum step zero_again(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    struct hg_volume *vol = my_volume(store, w->rec.volume);
    uint64_t end_block = w->rec.block + w->rec.n;
    store_budget budget = ZERO_BUDGET;

    if (vol == NULL || w->log.stamp < atomic_load(&store->pool->job.oldest_other))
        w->rec_at = w->rec.n;
    else if (vol->zero_req != NULL)
        return STEP_WAIT;
    while (w->rec_at < w->rec.n && budget > 0) {
        struct store_rec rec = {.type = STORE_REC_ZERO, .volume = w->rec.volume};
        uint64_t from;
        uint64_t to;

        from = store_map_next_unmapped(&vol->map, w->rec.block + w->rec_at, end_block, &budget);
        to = budget > 0 ? store_map_next_mapped(&vol->map, from, end_block, &budget) : from;
        if (to > from && !clean_room(store, store_rec_size(STORE_REC_ZERO, 0), 0))
            return STEP_WAIT;
        rec.block = from;
        rec.n = to - from;
        if (to > from)
            append_rec(store, &rec);
        w->rec_at = to - w->rec.block;
    }
    if (w->rec_at < w->rec.n)
        return STEP_WAIT;
    w->in_rec = false;
    w->phase = WALK_RECORDS;
    return STEP_ON;
}

/* ---- moving data ---- */

static enum step fetch(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    unsigned n_io = 0;

    if (store->durable < w->touched)
        return STEP_WAIT; /* a walk that was given up may have left the buffer in a batch */
    for (uint32_t i = 0; i < w->n_moves;) {
        uint32_t block = (uint32_t)(w->move[i].pbn % store->geo.seg_blocks);
        struct store_place at = store_place(&store->geo, w->segment, block);
        uint32_t n = 1;

        while (n < at.blocks && i + n < w->n_moves && w->move[i + n].pbn == w->move[i].pbn + n)
            n++;
        queue_read(store, n_io++, block, n, w->buf + (size_t)i * HG_BLOCK);
        i += n;
    }
    w->phase = WALK_APPEND;
    return STEP_WAIT;
}

static bool still_live(const struct hg_store *store, const struct store_move *m)
{
    const struct store_map_entry *e;

    if (my_volume(store, m->vol->id) == NULL)
        return false;
    e = store_map_get(&m->vol->map, m->block);
    return e != NULL && store_map_pbn(e) == m->pbn;
}

/* A block that does not match its CRC is moved as it is, with the CRC it should have, so that
 * reading it goes on to say so. */
static void verify(struct hg_store *store)
{
    struct store_walk *w = &store->walk;

    for (uint32_t i = 0; i < w->n_moves; i++) {
        struct store_move *m = &w->move[i];

        m->bad = hg_crc32c(w->buf + (size_t)i * HG_BLOCK, HG_BLOCK) != m->crc;
        if (!m->bad || !still_live(store, m))
            continue;
        store->count.crc_errors++;
        hg_log_limited(
            &store->log_limit, store->now, HG_LOG_ERR, STORE_AREA,
            "volume %s: block at offset %llu does not match its CRC (found while moving)",
            m->vol->name, (unsigned long long)m->block * HG_BLOCK);
    }
}

/* How many moves from i on become one record. */
static uint32_t run_length(const struct hg_store *store, uint32_t i)
{
    const struct store_walk *w = &store->walk;
    const struct store_move *m = &w->move[i];
    uint32_t n = 1;

    while (i + n < w->n_moves && m[n].vol == m->vol && m[n].block == m->block + n &&
           m[n].bad == m->bad && still_live(store, &m[n]))
        n++;
    return n;
}

static void append_run(struct hg_store *store, uint32_t i, uint32_t n)
{
    struct store_walk *w = &store->walk;
    const struct store_move *m = &w->move[i];
    uint32_t crc[STORE_MOVE_BLOCKS];
    struct store_rec rec = {.type = STORE_REC_DATA,
                            .flags = STORE_REC_MOVED | (m->bad ? STORE_REC_BAD_CRC : 0),
                            .volume = m->vol->id,
                            .block = m->block,
                            .n = n};
    uint64_t pbn;

    for (uint32_t k = 0; k < n; k++)
        crc[k] = m[k].crc;
    pbn = store_batch_add(store, &rec, crc, w->buf + (size_t)i * HG_BLOCK);
    store_live_add(store->live, store->open->segment, (int32_t)n);
    for (uint32_t k = 0; k < n; k++)
        store_map_set(&m->vol->map, &store->leaves, m->block + k, pbn + k, crc[k]);
    store_live_add(store->live, w->segment, -(int32_t)n);
    store->count.cleaned_bytes += (uint64_t)n * HG_BLOCK;
}

/* All of the moves go into one batch, since they share a buffer that is free only with it. */
static enum step append(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    uint32_t rec_bytes = 0;
    uint32_t blocks = 0;

    if (w->status != 0) {
        give_up(store, "a data block cannot be read");
        return STEP_ON;
    }
    for (uint32_t i = 0; i < w->n_moves; i++) {
        if (!still_live(store, &w->move[i]))
            continue;
        if (w->move[i].vol->zero_req != NULL)
            return STEP_WAIT;
        rec_bytes += store_rec_size(STORE_REC_DATA, 1);
        blocks++;
    }
    if (blocks != 0 && !clean_room(store, rec_bytes, blocks))
        return STEP_WAIT;
    verify(store);
    for (uint32_t i = 0; i < w->n_moves;) {
        uint32_t n = still_live(store, &w->move[i]) ? run_length(store, i) : 0;

        if (n != 0)
            append_run(store, i, n);
        i += n != 0 ? n : 1;
    }
    w->n_moves = 0;
    w->phase = WALK_SETTLE;
    if (blocks != 0) {
        w->touched = store->bseq;
        store_batch_close(store);
    }
    return STEP_ON;
}

static enum step settle(struct hg_store *store)
{
    struct store_walk *w = &store->walk;

    if (store->durable < w->touched)
        return STEP_WAIT;
    /* At the end of the segment the last record is through; otherwise it may not be. */
    w->phase = w->in_rec ? WALK_RECORDS : WALK_HEADER;
    return STEP_ON;
}

/* ---- the end ---- */

static enum step marks(struct hg_store *store)
{
    struct store_walk *w = &store->walk;

    for (; w->mark < HG_VOLUMES_MAX; w->mark++) {
        struct hg_volume *vol = my_volume(store, w->mark);
        struct store_rec rec = {.type = STORE_REC_MARK, .volume = w->mark};

        if (vol == NULL)
            continue;
        if (!clean_room(store, store_rec_size(STORE_REC_MARK, 0), 0))
            return STEP_WAIT;
        rec.seq = vol->seq;
        rec.epoch = vol->epoch;
        append_rec(store, &rec);
    }
    w->wait_bseq = store->bseq;
    w->phase = WALK_DURABLE;
    return STEP_ON;
}

static enum step durable(struct hg_store *store)
{
    if (store->durable < store->walk.wait_bseq)
        return STEP_WAIT;
    end(store, true);
    return STEP_ON;
}

static enum step step(struct hg_store *store)
{
    switch (store->walk.phase) {
    case WALK_HEADER:
        return next_header(store);
    case WALK_PARSE:
        return parse(store);
    case WALK_RECORDS:
        return records(store);
    case WALK_ZERO:
        return zero_again(store);
    case WALK_FETCH:
        return fetch(store);
    case WALK_APPEND:
        return append(store);
    case WALK_SETTLE:
        return settle(store);
    case WALK_MARKS:
        return marks(store);
    case WALK_DURABLE:
        return durable(store);
    case WALK_IDLE:
        break;
    }
    return STEP_WAIT;
}

unsigned store_walk_poll(struct hg_store *store)
{
    struct store_walk *w = &store->walk;
    unsigned work = 0;

    if (w->phase == WALK_IDLE || w->ios_left != 0)
        return 0;
    if (store->failed || is_over(store)) {
        end(store, false);
        return 1;
    }
    while (w->phase != WALK_IDLE && w->ios_left == 0 && work < HG_BDEV_IOV_MAX &&
           step(store) == STEP_ON)
        work++;
    return work;
}
