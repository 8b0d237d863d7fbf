/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads. The map may point into a batch that is not on media yet; such a read is put off until the
 * batch has been written, so unwritten bytes are never returned. Every block is checked against the
 * CRC in the map. A mismatch is looked at twice: while the read was in flight the block may have
 * been overwritten or moved and its old segment given back and used again; then the map has
 * changed, and the read starts over.
 */
#include "store_internal.h"
#include <errno.h>
#include <headgate/codec.h>
#include <string.h>

#define READ_TRIES                                                                                 \
    16u /* then the read fails: a block that changes that often has no stable value */

void store_read_init(struct hg_store *store)
{
    for (unsigned i = 0; i < STORE_READS; i++) {
        store->reads[i].next = store->free_reads;
        store->free_reads = &store->reads[i];
    }
    store->deferred_tail = &store->deferred;
}

static void defer(struct hg_store *store, struct store_read *r)
{
    r->next = NULL;
    *store->deferred_tail = r;
    store->deferred_tail = &r->next;
}

static void finish(struct hg_store *store, struct store_read *r)
{
    struct hg_store_req *req = r->req;

    r->req = NULL;
    r->next = store->free_reads;
    store->free_reads = r;
    store->n_reads--;
    req->status = r->status;
    req->done(req);
}

static uint64_t pbn_of(const struct hg_volume *vol, uint64_t block, uint32_t *crc)
{
    const struct store_map_entry *e = store_map_get(&vol->map, block);

    *crc = e != NULL ? e->crc : 0;
    return e != NULL ? store_map_pbn(e) : STORE_PBN_NONE;
}

/* Looks all blocks up; false when one of them is not on media yet. */
static bool look_up(struct hg_store *store, struct store_read *r)
{
    uint64_t first = r->req->offset / HG_BLOCK;

    for (uint32_t i = 0; i < r->req->len / HG_BLOCK; i++) {
        r->want[i].pbn = pbn_of(r->req->vol, first + i, &r->want[i].crc);
        if (r->want[i].pbn == STORE_PBN_NONE)
            continue;
        switch (store_batch_of(store, r->want[i].pbn)) {
        case BATCH_OPEN:
        case BATCH_WRITING:
            return false;
        case BATCH_FAILED:
            r->status = -EIO;
            break;
        default:
            break;
        }
    }
    return true;
}

/* Queues the request for the run of adjacent physical blocks that starts at block i; returns the
 * blocks in it. */
static uint32_t queue_run(struct hg_store *store, struct store_read *r, uint32_t i)
{
    uint64_t pbn = r->want[i].pbn;
    uint32_t n_blocks = r->req->len / HG_BLOCK;
    struct store_place at = store_place(&store->geo, (uint32_t)(pbn / store->geo.seg_blocks),
                                        (uint32_t)(pbn % store->geo.seg_blocks));
    struct store_io *sio = &r->io[r->ios_left];
    uint32_t n = 1;

    while (n < at.blocks && i + n < n_blocks && r->want[i + n].pbn == pbn + n)
        n++;
    r->iov[r->ios_left] = (struct hg_iov){r->req->buf + (size_t)i * HG_BLOCK, n * HG_BLOCK};
    *sio = (struct store_io){
        .io = {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &r->iov[r->ios_left], .offset = at.offset},
        .kind = SIO_READ,
        .ctx = r};
    r->ios_left++;
    store_io_queue(store, at.dev, sio);
    return n;
}

/* Sends the read on its way; false when it has to be put off. */
static bool start(struct hg_store *store, struct store_read *r)
{
    uint32_t n_blocks = r->req->len / HG_BLOCK;

    r->status = 0;
    r->ios_left = 0;
    if (r->req->vol->zero_req != NULL || !look_up(store, r))
        return false;
    for (uint32_t i = 0; r->status == 0 && i < n_blocks;) {
        if (r->want[i].pbn == STORE_PBN_NONE) {
            memset(r->req->buf + (size_t)i * HG_BLOCK, 0, HG_BLOCK);
            i++;
        } else {
            i += queue_run(store, r, i);
        }
    }
    return true;
}

int hg_store_read(struct hg_store *store, struct hg_store_req *req)
{
    uint64_t size = req->vol->map.blocks * HG_BLOCK;
    struct store_read *r = store->free_reads;

    if (req->len == 0 || req->len > HG_EXTENT_MAX || (req->offset | req->len) % HG_BLOCK != 0 ||
        (uintptr_t)req->buf % HG_BLOCK != 0 || req->offset > size || req->len > size - req->offset)
        return -EINVAL;
    if (r == NULL) {
        store->count.queue_full++;
        return -EAGAIN;
    }
    store->free_reads = r->next;
    store->n_reads++;
    store->count.reads++;
    store->count.read_bytes += req->len;
    r->req = req;
    r->tries = 0;
    /* With nothing to read from a device, done() still has to come from poll: by the same list. */
    if (!start(store, r) || r->ios_left == 0)
        defer(store, r);
    return 0;
}

enum outcome { READ_GOOD, READ_BAD, READ_AGAIN };

static enum outcome verify(struct hg_store *store, struct store_read *r)
{
    struct hg_store_req *req = r->req;
    uint64_t first = req->offset / HG_BLOCK;

    for (uint32_t i = 0; i < req->len / HG_BLOCK; i++) {
        uint32_t crc;

        if (r->want[i].pbn == STORE_PBN_NONE ||
            hg_crc32c(req->buf + (size_t)i * HG_BLOCK, HG_BLOCK) == r->want[i].crc)
            continue;
        if (pbn_of(req->vol, first + i, &crc) != r->want[i].pbn || crc != r->want[i].crc)
            return READ_AGAIN;
        store->count.crc_errors++;
        hg_log_limited(&store->log_limit, store->now, HG_LOG_ERR, STORE_AREA,
                       "volume %s: block at offset %llu does not match its CRC", req->vol->name,
                       (unsigned long long)((first + i) * HG_BLOCK));
        req->offset = (first + i) * HG_BLOCK;
        return READ_BAD;
    }
    return READ_GOOD;
}

void store_read_io_done(struct hg_store *store, struct store_io *sio)
{
    struct store_read *r = sio->ctx;

    if (sio->io.status != 0)
        r->status = -EIO;
    if (--r->ios_left != 0)
        return;
    if (r->status == 0) {
        enum outcome outcome = verify(store, r);

        if (outcome == READ_AGAIN && ++r->tries < READ_TRIES) {
            defer(store, r);
            return;
        }
        if (outcome != READ_GOOD)
            r->status = outcome == READ_BAD ? -EILSEQ : -EIO;
    }
    finish(store, r);
}

unsigned store_read_poll(struct hg_store *store)
{
    struct store_read *r = store->deferred;
    unsigned work = 0;

    store->deferred = NULL;
    store->deferred_tail = &store->deferred;
    while (r != NULL) {
        struct store_read *next = r->next;

        if (!start(store, r)) {
            defer(store, r);
        } else {
            work++;
            if (r->ios_left == 0)
                finish(store, r);
        }
        r = next;
    }
    return work;
}

bool hg_store_next_data(struct hg_store *store, struct hg_volume *vol, uint64_t offset,
                        uint64_t *start_out, uint64_t *len)
{
    store_budget budget = UINT32_MAX;
    uint64_t from = offset / HG_BLOCK;
    uint64_t end;

    (void)store;
    if (from >= vol->map.blocks)
        return false;
    from = store_map_next_mapped(&vol->map, from, vol->map.blocks, &budget);
    if (from == vol->map.blocks)
        return false;
    end = store_map_next_unmapped(&vol->map, from, vol->map.blocks, &budget);
    *start_out = from * HG_BLOCK;
    *len = (end - from) * HG_BLOCK;
    return true;
}
