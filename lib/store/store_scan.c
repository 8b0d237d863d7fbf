/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * First half of a restart: follows the chain of headers of every segment and notes where they are.
 *
 * A chain goes on only with a header of this pool, this segment, this offset and the generation of
 * the segment's first header; along it the incarnation never falls and the stamp rises. So what an
 * earlier use of the segment left behind ends it, and so does what an earlier run wrote behind a
 * gap and a later run has not reached yet.
 */
#include "store_internal.h"
#include <errno.h>
#include <stdlib.h>

#define WINDOW_BLOCKS 16u /* read ahead: chains of small entries come with few reads */

struct chain {
    struct store_bio *bio;
    struct store_scan *scan;
    uint8_t *window;
    uint32_t win_at, win_n; /* blocks in the window */
    uint32_t seg;
    struct store_log last; /* of the previous header */
};

static int add_ref(struct store_scan *scan, const struct store_log *log, struct hg_err *err)
{
    if (scan->n == scan->cap) {
        size_t cap = scan->cap == 0 ? 1024 : 2 * scan->cap;
        struct store_ref *more = realloc(scan->ref, cap * sizeof *more);

        if (more == NULL)
            return hg_fail(err, -ENOMEM, "no memory for %zu log entries", cap);
        scan->ref = more;
        scan->cap = cap;
    }
    scan->ref[scan->n++] = (struct store_ref){.stamp = log->stamp,
                                              .bseq = log->bseq,
                                              .seg = log->segment,
                                              .off = log->seg_block,
                                              .shard = log->shard};
    return 0;
}

static int window_at(struct chain *c, uint32_t block, const struct store_log_disk **out,
                     struct hg_err *err)
{
    uint32_t left = c->bio->pool->geo.seg_blocks - block;
    int rc = 0;

    if (block < c->win_at || block >= c->win_at + c->win_n) {
        c->win_at = block;
        c->win_n = left < WINDOW_BLOCKS ? left : WINDOW_BLOCKS;
        rc = store_bio_read(c->bio, (struct store_span){c->seg, block, c->win_n}, c->window, err);
    }
    *out = (const struct store_log_disk *)(c->window + (size_t)(block - c->win_at) * HG_BLOCK);
    return rc;
}

static bool continues(const struct chain *c, const struct store_log *log, uint32_t at)
{
    const struct hg_pool *pool = c->bio->pool;

    if (log->segment != c->seg || log->seg_block != at ||
        log->n_data >= pool->geo.seg_blocks - at || log->incarnation > pool->incarnation)
        return false;
    return at == 0 || (log->seg_gen == c->last.seg_gen && log->incarnation >= c->last.incarnation &&
                       log->stamp > c->last.stamp);
}

static void note_durable(struct store_scan *scan, const struct store_log_disk *disk,
                         const struct store_log *log)
{
    struct store_rec_iter it;
    struct store_rec rec;

    if (log->durable > scan->durable[log->shard])
        scan->durable[log->shard] = log->durable;
    store_rec_iter(&it, disk, log);
    while (store_rec_next(&it, &rec))
        if (rec.type == STORE_REC_UPTO && rec.seq > scan->durable[rec.volume])
            scan->durable[rec.volume] = rec.seq;
    if (log->stamp > scan->max_stamp)
        scan->max_stamp = log->stamp;
}

static int scan_segment(struct chain *c, struct hg_err *err)
{
    const struct hg_pool *pool = c->bio->pool;
    uint32_t at = 0;

    c->win_n = 0;
    while (at < pool->geo.seg_blocks) {
        const struct store_log_disk *disk;
        struct store_log log;
        int rc = window_at(c, at, &disk, err);

        if (rc != 0)
            return rc;
        if (!store_log_parse(disk, pool->uuid, &log) || !continues(c, &log, at))
            return 0;
        note_durable(c->scan, disk, &log);
        rc = add_ref(c->scan, &log, err);
        if (rc != 0)
            return rc;
        c->last = log;
        at += 1 + log.n_data;
    }
    return 0;
}

int store_scan(struct store_bio *bio, struct store_scan *scan, struct hg_err *err)
{
    struct chain c = {.bio = bio, .scan = scan};
    uint32_t n = atomic_load(&bio->pool->n_segments);
    int rc = 0;

    c.window = aligned_alloc(HG_BLOCK, WINDOW_BLOCKS * HG_BLOCK);
    if (c.window == NULL)
        return hg_fail(err, -ENOMEM, "no memory to read the log");
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++)
        scan->durable[i] = bio->pool->base[i];
    for (c.seg = 0; rc == 0 && c.seg < n; c.seg++)
        rc = scan_segment(&c, err);
    free(c.window);
    return rc;
}
