/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Second half of a restart: which log entries count, and what they say.
 *
 *  1. Per shard, D is what is known to have been durable: the highest `durable` of any of its
 *     headers, UPTO record, or base in the catalogue. Every entry up to D counts.
 *  2. Above D they count while they follow each other without a gap and their data matches its
 *     CRCs: a header may be on media while its data is not. The last one that counts is the cut.
 *  3. The headers of all others are overwritten with zeros and flushed, so that a later run, which
 *     uses their sequence numbers again, cannot bring them back.
 *  4. The catalogue is written with the next incarnation and the cuts as base. From here on every
 *     entry on media counts, whatever happens next.
 *  5. What counts is applied in (stamp, shard) order.
 *
 * A crash anywhere in between repeats the same: until 4 nothing that counted has changed, and what
 * did not count before cannot count afterwards.
 */
#include "store_internal.h"
#include <errno.h>
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

struct replay {
    struct hg_pool *pool;
    struct store_bio bio;
    struct store_scan scan;
    uint64_t cut[HG_STORE_SHARDS_MAX];
    uint8_t *buf; /* STORE_BIO_DEPTH blocks, or the data of one record */
};

#define BUF_BLOCKS STORE_EXTENT_BLOCKS
_Static_assert(BUF_BLOCKS >= STORE_BIO_DEPTH, "buf holds a burst of headers");

static int by_bseq(const void *a, const void *b)
{
    const struct store_ref *x = a;
    const struct store_ref *y = b;

    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    return x->bseq < y->bseq ? -1 : x->bseq > y->bseq;
}

static int by_stamp(const void *a, const void *b)
{
    const struct store_ref *x = a;
    const struct store_ref *y = b;

    if (x->stamp != y->stamp)
        return x->stamp < y->stamp ? -1 : 1;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

static int changed(const struct store_ref *ref, struct hg_err *err)
{
    return hg_fail(err, -EIO, "segment %u, block %u: the log header changes between two reads",
                   ref->seg, ref->off);
}

/* ---- which entries count ---- */

/* The blocks of one DATA record against their CRCs. */
static int verify_record(struct replay *r, const struct store_ref *ref, const struct store_rec *rec,
                         bool *good, struct hg_err *err)
{
    int rc = store_bio_read(
        &r->bio, (struct store_span){ref->seg, ref->off + 1 + rec->data, (uint32_t)rec->n}, r->buf,
        err);

    for (uint64_t i = 0; rc == 0 && i < rec->n; i++)
        *good &= hg_crc32c(r->buf + i * HG_BLOCK, HG_BLOCK) == hg_le32_get(rec->crc[i]);
    return rc;
}

static int verify_entry(struct replay *r, const struct store_ref *ref, bool *good,
                        struct hg_err *err)
{
    struct store_log_disk *hdr = aligned_alloc(HG_BLOCK, sizeof *hdr);
    struct store_rec_iter it;
    struct store_rec rec;
    struct store_log log;
    int rc;

    *good = true;
    if (hdr == NULL)
        return hg_fail(err, -ENOMEM, "no memory to read the log");
    rc = store_bio_read(&r->bio, (struct store_span){ref->seg, ref->off, 1}, (uint8_t *)hdr, err);
    if (rc == 0 && !store_log_parse(hdr, r->pool->uuid, &log))
        rc = changed(ref, err);
    if (rc == 0) {
        store_rec_iter(&it, hdr, &log);
        while (rc == 0 && *good && store_rec_next(&it, &rec))
            if (rec.type == STORE_REC_DATA && (rec.flags & STORE_REC_BAD_CRC) == 0)
                rc = verify_record(r, ref, &rec, good, err);
    }
    free(hdr);
    return rc;
}

static int find_cuts(struct replay *r, struct hg_err *err)
{
    bool open_end = true; /* no gap so far in this shard */
    unsigned discarded = 0;

    memcpy(r->cut, r->scan.durable, sizeof r->cut);
    if (r->scan.n != 0)
        qsort(r->scan.ref, r->scan.n, sizeof r->scan.ref[0], by_bseq);
    for (size_t i = 0; i < r->scan.n; i++) {
        struct store_ref *ref = &r->scan.ref[i];

        if (i == 0 || ref->shard != ref[-1].shard)
            open_end = true;
        if (ref->bseq <= r->scan.durable[ref->shard]) {
            ref->accepted = true;
            continue;
        }
        open_end = open_end && ref->bseq == r->cut[ref->shard] + 1;
        if (open_end) {
            int rc = verify_entry(r, ref, &open_end, err);

            if (rc != 0)
                return rc;
        }
        ref->accepted = open_end;
        if (open_end)
            r->cut[ref->shard] = ref->bseq;
        else
            discarded++;
    }
    if (discarded != 0)
        hg_log(HG_LOG_INFO, STORE_AREA,
               "%u log entries were never acknowledged and not whole; they are discarded",
               discarded);
    return 0;
}

static int erase_discarded(struct replay *r, struct hg_err *err)
{
    bool any = false;

    memset(r->buf, 0, HG_BLOCK);
    for (size_t i = 0; i < r->scan.n; i++) {
        const struct store_ref *ref = &r->scan.ref[i];
        struct store_place at = store_place(&r->pool->geo, ref->seg, ref->off);
        struct store_bio_req req = {.io = {.op = HG_BDEV_WRITE, .offset = at.offset},
                                    .iov = {r->buf, HG_BLOCK},
                                    .dev = at.dev};
        int rc = ref->accepted ? 0 : store_bio_run(&r->bio, &req, 1, err);

        if (rc != 0)
            return rc;
        any |= !ref->accepted;
    }
    return any ? store_bio_flush(&r->bio, err) : 0;
}

/* ---- what they say ---- */

static void live0_add(struct hg_pool *pool, uint64_t pbn, int32_t change)
{
    store_live_add(pool->live0, (uint32_t)(pbn / pool->geo.seg_blocks), change);
}

static void gone(void *arg, uint64_t pbn)
{
    live0_add(arg, pbn, -1);
}

static int apply_data(struct hg_pool *pool, struct hg_volume *vol, const struct store_ref *ref,
                      const struct store_rec *rec, struct hg_err *err)
{
    uint64_t pbn = (uint64_t)ref->seg * pool->geo.seg_blocks + ref->off + 1 + rec->data;

    if (!store_leaves_reserve(&pool->boot_leaves, 2))
        return hg_fail(err, -ENOMEM, "no memory for the map of volume %s", vol->name);
    for (uint64_t i = 0; i < rec->n; i++) {
        uint64_t old = store_map_set(&vol->map, &pool->boot_leaves, rec->block + i, pbn + i,
                                     hg_le32_get(rec->crc[i]));

        live0_add(pool, pbn + i, 1);
        if (old != STORE_PBN_NONE)
            live0_add(pool, old, -1);
    }
    return 0;
}

static int apply_record(struct hg_pool *pool, const struct store_ref *ref,
                        const struct store_rec *rec, struct hg_err *err)
{
    store_budget budget = UINT32_MAX;
    struct hg_volume *vol;
    int rc = 0;

    if (rec->type == STORE_REC_UPTO)
        return 0;
    vol = rec->volume < atomic_load(&pool->n_volumes) ? pool->volumes[rec->volume] : NULL;
    if (vol == NULL || !store_rec_in(rec, vol->map.blocks))
        return hg_fail(
            err, -EBADMSG,
            "segment %u, block %u: the log names volume %u or a range that the catalogue "
            "does not have; a device holds an old catalogue",
            ref->seg, ref->off, rec->volume);
    if (rec->type == STORE_REC_DATA)
        rc = apply_data(pool, vol, ref, rec, err);
    else if (rec->type == STORE_REC_ZERO)
        store_map_unmap(&vol->map, &pool->boot_leaves,
                        (struct store_range){rec->block, rec->block + rec->n}, &budget,
                        (struct store_gone){gone, pool});
    else if (rec->epoch > vol->epoch)
        vol->epoch = rec->epoch;
    if (rec->seq > vol->seq)
        vol->seq = rec->seq;
    pool->replay_entries++;
    return rc;
}

/* The chain of a segment ends behind its last entry that counts; refs come in log order. */
static void note_segment(struct hg_pool *pool, const struct store_ref *ref,
                         const struct store_log *log, uint8_t *stream)
{
    struct store_segment *s = &pool->segs[ref->seg];

    s->gen = log->seg_gen;
    s->tail = ref->off + 1 + log->n_data;
    stream[ref->seg] = log->stream;
    if (atomic_load(&s->first_stamp) == UINT64_MAX)
        atomic_store(&s->first_stamp, log->stamp);
}

static int apply_entry(struct hg_pool *pool, const struct store_ref *ref,
                       const struct store_log_disk *hdr, uint8_t *stream, struct hg_err *err)
{
    struct store_rec_iter it;
    struct store_rec rec;
    struct store_log log;
    int rc = 0;

    if (!store_log_parse(hdr, pool->uuid, &log) || log.n_data >= pool->geo.seg_blocks - ref->off)
        return changed(ref, err);
    note_segment(pool, ref, &log, stream);
    store_rec_iter(&it, hdr, &log);
    while (rc == 0 && store_rec_next(&it, &rec))
        rc = apply_record(pool, ref, &rec, err);
    return rc;
}

/* Reads up to STORE_BIO_DEPTH accepted headers at once from ref *at on; applies them in order. */
static int apply_burst(struct replay *r, size_t *at, uint8_t *stream, struct hg_err *err)
{
    struct store_bio_req req[STORE_BIO_DEPTH];
    const struct store_ref *ref[STORE_BIO_DEPTH];
    unsigned n = 0;
    int rc;

    for (; *at < r->scan.n && n < STORE_BIO_DEPTH; ++*at) {
        const struct store_ref *next = &r->scan.ref[*at];
        struct store_place place = store_place(&r->pool->geo, next->seg, next->off);

        if (!next->accepted)
            continue;
        req[n] = (struct store_bio_req){.io = {.op = HG_BDEV_READ, .offset = place.offset},
                                        .iov = {r->buf + (size_t)n * HG_BLOCK, HG_BLOCK},
                                        .dev = place.dev};
        ref[n++] = next;
    }
    rc = store_bio_run(&r->bio, req, n, err);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = apply_entry(r->pool, ref[i], (struct store_log_disk *)(r->buf + (size_t)i * HG_BLOCK),
                         stream, err);
    return rc;
}

/* Sorts the segments into free, to be appended to again, and closed. */
static void settle_segments(struct hg_pool *pool, const uint8_t *stream)
{
    uint32_t n = atomic_load(&pool->n_segments);

    for (uint32_t seg = n; seg-- > 0;) {
        struct store_segment *s = &pool->segs[seg];
        uint32_t room = pool->geo.seg_blocks - s->tail;
        uint32_t least = stream[seg] == STORE_CLEAN ? 1 : STORE_EXTENT_BLOCKS;

        if (atomic_load(&s->first_stamp) == UINT64_MAX) {
            atomic_store(&s->state, SEG_FREE);
            store_seg_push(pool, &pool->free_segs, seg);
        } else if (room > least) {
            atomic_store(&s->state, SEG_PARTIAL);
            store_seg_push(pool, &pool->partial[stream[seg]], seg);
        } else {
            atomic_store(&s->state, SEG_CLOSED);
        }
    }
}

static void settle_volumes(struct hg_pool *pool)
{
    for (uint32_t i = 0; i < atomic_load(&pool->n_volumes); i++) {
        struct hg_volume *vol = pool->volumes[i];

        atomic_store(&vol->durable_seq, vol->seq);
        atomic_store(&vol->durable_epoch, vol->epoch);
    }
}

static int apply(struct replay *r, struct hg_err *err)
{
    struct hg_pool *pool = r->pool;
    uint32_t n = atomic_load(&pool->n_segments);
    uint8_t *stream = calloc(n, 1);
    size_t at = 0;
    int rc = 0;

    if (stream == NULL)
        return hg_fail(err, -ENOMEM, "no memory for %u segments", n);
    for (uint32_t seg = 0; seg < n; seg++)
        atomic_store_explicit(&pool->segs[seg].first_stamp, UINT64_MAX, memory_order_relaxed);
    if (r->scan.n != 0)
        qsort(r->scan.ref, r->scan.n, sizeof r->scan.ref[0], by_stamp);
    while (rc == 0 && at < r->scan.n)
        rc = apply_burst(r, &at, stream, err);
    if (rc == 0) {
        settle_segments(pool, stream);
        settle_volumes(pool);
    }
    free(stream);
    return rc;
}

/* Step 4. */
static int go_live(struct replay *r, struct hg_err *err)
{
    struct hg_pool *pool = r->pool;

    pool->incarnation++;
    pool->stamp0 = r->scan.max_stamp;
    memcpy(pool->base, r->cut, sizeof pool->base);
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++) {
        atomic_store(&pool->shard[i].submitted, r->cut[i]);
        atomic_store(&pool->shard[i].durable, r->cut[i]);
    }
    return store_cat_write(pool, err);
}

int store_replay(struct hg_pool *pool, struct hg_err *err)
{
    struct replay *r = calloc(1, sizeof *r);
    int rc;

    if (r == NULL)
        return hg_fail(err, -ENOMEM, "no memory to read the log");
    r->pool = pool;
    r->buf = aligned_alloc(HG_BLOCK, (size_t)BUF_BLOCKS * HG_BLOCK);
    rc = r->buf == NULL ? hg_fail(err, -ENOMEM, "no memory to read the log")
                        : store_bio_open(&r->bio, pool, err);
    if (rc != 0) {
        free(r->buf);
        free(r);
        return rc;
    }
    rc = store_scan(&r->bio, &r->scan, err);
    if (rc == 0)
        rc = find_cuts(r, err);
    if (rc == 0)
        rc = apply(r, err);
    if (rc == 0)
        rc = erase_discarded(r, err);
    store_bio_close(&r->bio); /* a device may have no more than one queue to give */
    if (rc == 0)
        rc = go_live(r, err);
    free(r->scan.ref);
    free(r->buf);
    free(r);
    return rc;
}
