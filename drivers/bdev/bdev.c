/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checked wrappers around struct hg_bdev_ops: they hold the depth bound and assert what callers
 * and implementations promise each other.
 */
#include "bdev_impl.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void bdev_init(struct hg_bdev *dev, const struct hg_bdev_ops *ops, const char *name)
{
    dev->ops = ops;
    snprintf(dev->name, sizeof dev->name, "%s", name);
    pthread_mutex_init(&dev->lock, NULL);
}

void bdev_fini(struct hg_bdev *dev)
{
    pthread_mutex_destroy(&dev->lock);
}

void bdev_no_tick(struct hg_bdev *dev, hg_ns now)
{
    (void)dev;
    (void)now;
}

void bdev_count_status(struct hg_bdev *dev, int status)
{
    if (status == -ENODATA)
        bdev_count(dev, HG_BDEV_ERR_MEDIA);
    else if (status == -ETIMEDOUT)
        bdev_count(dev, HG_BDEV_ERR_TIMEOUT);
    else if (status != 0 && status != -EINVAL && status != -EOPNOTSUPP)
        bdev_count(dev, HG_BDEV_ERR_OTHER);
}

/* ---- channels ---- */

static struct hg_bdev_chan **find_slot(struct hg_bdev *dev, const struct hg_bdev_chan *chan)
{
    for (unsigned i = 0; i < HG_BDEV_CHANS_MAX; i++)
        if (dev->chans[i] == chan)
            return &dev->chans[i];
    return NULL;
}

int hg_bdev_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                      struct hg_bdev_chan **out, struct hg_err *err)
{
    struct hg_bdev_chan **slot;
    int rc;

    assert(depth >= 1);
    *out = NULL;
    rc = dev->ops->chan_open(dev, depth, mem, out, err);
    if (rc != 0)
        return rc;
    assert((*out)->dev == dev && (*out)->depth == depth && (*out)->in_flight == 0);
    pthread_mutex_lock(&dev->lock);
    slot = find_slot(dev, NULL);
    if (slot != NULL)
        *slot = *out;
    pthread_mutex_unlock(&dev->lock);
    if (slot != NULL)
        return 0;
    dev->ops->chan_close(*out);
    *out = NULL;
    return hg_fail(err, -EMFILE, "device %s: more than %u channels are open", dev->name,
                   HG_BDEV_CHANS_MAX);
}

static void add_latency(struct hg_bdev_latency *to, const struct hg_bdev_latency *from)
{
    uint64_t max = __atomic_load_n(&from->max, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++)
        to->bucket[i] += __atomic_load_n(&from->bucket[i], __ATOMIC_RELAXED);
    if (max > to->max)
        to->max = max;
}

void hg_bdev_chan_close(struct hg_bdev_chan *chan)
{
    struct hg_bdev *dev;

    if (chan == NULL)
        return;
    assert(chan->in_flight == 0);
    dev = chan->dev;
    pthread_mutex_lock(&dev->lock);
    *find_slot(dev, chan) = NULL;
    for (unsigned i = 0; i < HG_ARRAY_LEN(chan->latency); i++)
        add_latency(&dev->closed[i], &chan->latency[i]);
    pthread_mutex_unlock(&dev->lock);
    dev->ops->chan_close(chan);
}

unsigned hg_bdev_submit(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n, hg_ns now)
{
    unsigned room = chan->depth - chan->in_flight;
    unsigned taken;

    chan->now = now;
    if (n > room)
        n = room;
    if (n == 0)
        return 0;
    for (unsigned i = 0; i < n; i++)
        ios[i]->submitted = now;
    taken = chan->dev->ops->submit(chan, ios, n);
    assert(taken <= n);
    __atomic_store_n(&chan->in_flight, chan->in_flight + taken, __ATOMIC_RELAXED);
    return taken;
}

static void note_latency(struct hg_bdev_latency *lat, hg_ns ns)
{
    unsigned at =
        ns >> HG_BDEV_LAT_SHIFT == 0 ? 0 : 64 - (unsigned)__builtin_clzll(ns >> HG_BDEV_LAT_SHIFT);
    uint64_t *bucket = &lat->bucket[at < HG_BDEV_LAT_BUCKETS ? at : HG_BDEV_LAT_BUCKETS - 1];

    __atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELAXED);
    if (ns > lat->max)
        __atomic_store_n(&lat->max, ns, __ATOMIC_RELAXED);
}

unsigned hg_bdev_poll(struct hg_bdev_chan *chan, struct hg_bdev_io **done, unsigned max, hg_ns now)
{
    unsigned n;

    chan->now = now;
    if (chan->in_flight == 0 || max == 0)
        return 0;
    n = chan->dev->ops->poll(chan, done, max);
    assert(n <= max && n <= chan->in_flight);
    __atomic_store_n(&chan->in_flight, chan->in_flight - n, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < n; i++)
        note_latency(&chan->latency[done[i]->op == HG_BDEV_READ ? 0 : 1],
                     now > done[i]->submitted ? now - done[i]->submitted : 0);
    return n;
}

/* ---- the device as a whole ---- */

void hg_bdev_tick(struct hg_bdev *dev, hg_ns now)
{
    dev->ops->tick(dev, now);
}

void hg_bdev_info(struct hg_bdev *dev, struct hg_bdev_info *info)
{
    memset(info, 0, sizeof *info);
    info->numa_node = -1;
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        info->errors[i] = __atomic_load_n(&dev->errors[i], __ATOMIC_RELAXED);
    dev->ops->info(dev, info);
}

void hg_bdev_load(struct hg_bdev *dev, struct hg_bdev_load *load)
{
    memset(load, 0, sizeof *load);
    pthread_mutex_lock(&dev->lock);
    for (unsigned k = 0; k < HG_ARRAY_LEN(load->latency); k++)
        load->latency[k] = dev->closed[k];
    for (unsigned i = 0; i < HG_BDEV_CHANS_MAX; i++) {
        const struct hg_bdev_chan *chan = dev->chans[i];

        if (chan == NULL)
            continue;
        load->chans++;
        load->depth += chan->depth;
        load->in_flight += __atomic_load_n(&chan->in_flight, __ATOMIC_RELAXED);
        for (unsigned k = 0; k < HG_ARRAY_LEN(load->latency); k++)
            add_latency(&load->latency[k], &chan->latency[k]);
    }
    pthread_mutex_unlock(&dev->lock);
}

uint64_t hg_bdev_latency_quantile(const struct hg_bdev_latency *lat, double q)
{
    uint64_t all = 0;
    uint64_t below = 0;

    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++)
        all += lat->bucket[i];
    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++) {
        uint64_t edge = (uint64_t)1 << (i + HG_BDEV_LAT_SHIFT);

        below += lat->bucket[i];
        if (all != 0 && (double)below >= q * (double)all)
            return edge < lat->max ? edge : lat->max;
    }
    return 0;
}

int hg_bdev_resize(struct hg_bdev *dev)
{
    return dev->ops->resize(dev);
}

void hg_bdev_close(struct hg_bdev *dev)
{
    if (dev != NULL)
        dev->ops->close(dev);
}

uint64_t bdev_io_bytes(const struct hg_bdev_io *io)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < io->iovcnt; i++)
        bytes += io->iov[i].len;
    return bytes;
}

int bdev_io_check(const struct hg_bdev *dev, const struct hg_bdev_io *io)
{
    uint64_t size = __atomic_load_n(&dev->size, __ATOMIC_RELAXED);
    uint64_t mask = dev->block - 1;
    uint64_t bytes = 0;

    if (io->op == HG_BDEV_FLUSH)
        return io->iovcnt == 0 ? 0 : -EINVAL;
    if (io->op == HG_BDEV_WRITE_ZEROES || io->op == HG_BDEV_DEALLOCATE)
        return io->iovcnt == 0 && io->len != 0 && ((io->offset | io->len) & mask) == 0 &&
                       io->offset <= size && io->len <= size - io->offset
                   ? 0
                   : -EINVAL;
    if (io->iovcnt == 0 || io->iovcnt > HG_BDEV_IOV_MAX || (io->offset & mask) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < io->iovcnt; i++) {
        if (io->iov[i].len == 0 || (io->iov[i].len & mask) != 0 ||
            ((uintptr_t)io->iov[i].base & mask) != 0)
            return -EINVAL;
        bytes += io->iov[i].len;
    }
    return io->offset <= size && bytes <= size - io->offset ? 0 : -EINVAL;
}

int bdev_sync_io(struct hg_bdev_chan *chan, struct hg_bdev_io *io)
{
    struct hg_bdev_io *ptr = io;

    if (hg_bdev_submit(chan, &ptr, 1, hg_bdev_clock()) != 1)
        return -EIO;
    while (hg_bdev_poll(chan, &ptr, 1, hg_bdev_clock()) == 0)
        hg_bdev_tick(chan->dev, hg_bdev_clock());
    return io->status;
}

int bdev_sync_chan(struct hg_bdev_chan *chan, enum hg_bdev_op op, uint64_t offset,
                   struct hg_iov buf)
{
    struct hg_bdev_io io = {.op = op, .iov = &buf, .offset = offset};

    io.iovcnt = op == HG_BDEV_FLUSH ? 0 : 1;
    return bdev_sync_io(chan, &io);
}

hg_ns hg_bdev_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return HG_SEC((hg_ns)ts.tv_sec) + (hg_ns)ts.tv_nsec;
}

int hg_bdev_sync(struct hg_bdev *dev, enum hg_bdev_op op, uint64_t offset, struct hg_iov buf,
                 struct hg_err *err)
{
    static const char *const verb[] = {"read", "write", "flush"};
    struct hg_bdev_chan *chan;
    int rc;

    rc = hg_bdev_chan_open(dev, 1, NULL, &chan, err);
    if (rc != 0)
        return rc;
    rc = bdev_sync_chan(chan, op, offset, buf);
    hg_bdev_chan_close(chan);
    if (rc != 0)
        return hg_fail(err, rc, "device %s: %s of %u bytes at offset %llu failed: %s", dev->name,
                       verb[op], buf.len, (unsigned long long)offset, strerror(-rc));
    return 0;
}
