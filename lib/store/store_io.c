/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a segment's bytes are on the devices, and getting requests there and back. */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

struct store_place store_place(const struct store_geo *geo, uint32_t seg, uint32_t block)
{
    uint32_t unit = geo->stripe_unit / HG_BLOCK;
    uint32_t stripe = block / unit;
    uint32_t in = block % unit;

    return (struct store_place){
        .dev = stripe % geo->n_dev,
        .offset = geo->data_start + (uint64_t)seg * geo->chunk +
                  (uint64_t)(stripe / geo->n_dev) * geo->stripe_unit + (uint64_t)in * HG_BLOCK,
        .blocks = unit - in,
    };
}

void store_io_queue(struct hg_store *store, unsigned dev, struct store_io *sio)
{
    struct store_dev *d = &store->dev[dev];

    sio->io.next = NULL;
    sio->io.status = 0;
    *d->tail = &sio->io;
    d->tail = &sio->io.next;
    store->ios_out++;
    if (sio->io.op == HG_BDEV_WRITE)
        store->count.device_writes++;
    else if (sio->io.op == HG_BDEV_FLUSH)
        store->count.flushes++;
}

static void push_dev(struct store_dev *d, hg_ns now)
{
    while (d->head != NULL) {
        struct hg_bdev_io *ios[32];
        unsigned n = 0;
        unsigned taken;

        for (struct hg_bdev_io *io = d->head; io != NULL && n < HG_ARRAY_LEN(ios); io = io->next)
            ios[n++] = io;
        /* The channel uses `next` once it owns a request, so the queue is put right before. */
        if (n > d->chan->depth - d->chan->in_flight)
            n = d->chan->depth - d->chan->in_flight;
        if (n == 0)
            return;
        d->head = ios[n - 1]->next;
        if (d->head == NULL)
            d->tail = &d->head;
        taken = hg_bdev_submit(d->chan, ios, n, now);
        for (unsigned i = n; i > taken; i--) {
            ios[i - 1]->next = d->head;
            if (d->head == NULL)
                d->tail = &ios[i - 1]->next;
            d->head = ios[i - 1];
        }
        if (taken < n)
            return;
    }
}

void store_io_push(struct hg_store *store)
{
    for (unsigned i = 0; i < store->geo.n_dev; i++)
        push_dev(&store->dev[i], store->now);
}

static void dispatch(struct hg_store *store, unsigned dev, struct store_io *sio)
{
    store->ios_out--;
    if (sio->io.status != 0) {
        store->count.device_errors++;
        hg_log_limited(&store->log_limit, store->now, HG_LOG_ERR, STORE_AREA,
                       "device %s: %s at offset %llu failed: %s", store->pool->devs[dev]->name,
                       sio->io.op == HG_BDEV_READ    ? "read"
                       : sio->io.op == HG_BDEV_WRITE ? "write"
                                                     : "flush",
                       (unsigned long long)sio->io.offset, strerror(-sio->io.status));
    }
    switch ((enum store_io_kind)sio->kind) {
    case SIO_BATCH:
        store_batch_io_done(store, sio);
        break;
    case SIO_FLUSH:
        store_batch_flush_done(store, sio);
        break;
    case SIO_READ:
        store_read_io_done(store, sio);
        break;
    case SIO_WALK:
        store_walk_io_done(store, sio);
        break;
    case SIO_JOB:
        store_clean_io_done(store, sio);
        break;
    case SIO_CAT:
        store_volume_cat_done(store, sio);
        break;
    }
}

unsigned store_io_poll(struct hg_store *store)
{
    struct hg_bdev_io *done[STORE_REAP];
    unsigned total = 0;

    for (unsigned i = 0; i < store->geo.n_dev; i++) {
        unsigned n = hg_bdev_poll(store->dev[i].chan, done, STORE_REAP, store->now);

        for (unsigned k = 0; k < n; k++)
            dispatch(store, i, HG_CONTAINER_OF(done[k], struct store_io, io));
        total += n;
    }
    return total;
}

/* ---- blocking, while a pool is being opened ---- */

int store_bio_open(struct store_bio *bio, const struct hg_pool *pool, struct hg_err *err)
{
    memset(bio, 0, sizeof *bio);
    bio->pool = pool;
    for (unsigned i = 0; i < pool->geo.n_dev; i++) {
        int rc = hg_bdev_chan_open(pool->devs[i], STORE_BIO_DEPTH, NULL, &bio->chan[i], err);

        if (rc != 0) {
            store_bio_close(bio);
            return rc;
        }
    }
    return 0;
}

/* Requests may still be in flight after an error: what they point to must outlive them, so they
 * are waited for. */
static unsigned drain(struct store_bio *bio)
{
    struct hg_bdev_io *done[STORE_BIO_DEPTH];
    unsigned n = 0;

    for (unsigned i = 0; i < bio->pool->geo.n_dev; i++) {
        n += hg_bdev_poll(bio->chan[i], done, STORE_BIO_DEPTH, hg_bdev_clock());
        hg_bdev_tick(bio->pool->devs[i], hg_bdev_clock());
    }
    return n;
}

void store_bio_close(struct store_bio *bio)
{
    for (unsigned i = 0; i < HG_POOL_DEVICES_MAX; i++)
        hg_bdev_chan_close(bio->chan[i]);
}

int store_bio_run(struct store_bio *bio, struct store_bio_req *req, unsigned n, struct hg_err *err)
{
    static const char *const verb[] = {"read", "write", "flush"};
    unsigned back = 0;

    assert(n <= STORE_BIO_DEPTH);
    for (unsigned i = 0; i < n; i++) {
        struct hg_bdev_io *io = &req[i].io;

        io->iov = &req[i].iov;
        io->iovcnt = io->op == HG_BDEV_FLUSH ? 0 : 1;
        if (hg_bdev_submit(bio->chan[req[i].dev], &io, 1, hg_bdev_clock()) != 1) {
            io->status = -EIO;
            back++;
        }
    }
    while (back < n)
        back += drain(bio);
    for (unsigned i = 0; i < n; i++)
        if (req[i].io.status != 0)
            return hg_fail(
                err, req[i].io.status, "device %s: %s of %u bytes at offset %llu failed: %s",
                bio->pool->devs[req[i].dev]->name, verb[req[i].io.op], (unsigned)req[i].iov.len,
                (unsigned long long)req[i].io.offset, strerror(-req[i].io.status));
    return 0;
}

int store_bio_read(struct store_bio *bio, struct store_span span, uint8_t *buf, struct hg_err *err)
{
    while (span.blocks > 0) {
        struct store_bio_req req[STORE_BIO_DEPTH];
        unsigned n = 0;
        int rc;

        for (; n < STORE_BIO_DEPTH && span.blocks > 0; n++) {
            struct store_place at = store_place(&bio->pool->geo, span.seg, span.block);
            uint32_t part = at.blocks < span.blocks ? at.blocks : span.blocks;

            req[n] = (struct store_bio_req){.io = {.op = HG_BDEV_READ, .offset = at.offset},
                                            .iov = {buf, part * HG_BLOCK},
                                            .dev = at.dev};
            buf += (size_t)part * HG_BLOCK;
            span.block += part;
            span.blocks -= part;
        }
        rc = store_bio_run(bio, req, n, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int store_bio_flush(struct store_bio *bio, struct hg_err *err)
{
    struct store_bio_req req[HG_POOL_DEVICES_MAX];

    for (unsigned i = 0; i < bio->pool->geo.n_dev; i++)
        req[i] = (struct store_bio_req){.io = {.op = HG_BDEV_FLUSH}, .dev = i};
    return store_bio_run(bio, req, bio->pool->geo.n_dev, err);
}
