/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checked wrappers around struct hg_bdev_ops: they hold the depth bound and assert what callers
 * and implementations promise each other.
 */
#include "bdev_impl.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

int hg_bdev_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                      struct hg_bdev_chan **out, struct hg_err *err)
{
    int rc;

    assert(depth >= 1);
    *out = NULL;
    rc = dev->ops->chan_open(dev, depth, mem, out, err);
    if (rc != 0)
        return rc;
    assert((*out)->dev == dev && (*out)->depth == depth && (*out)->in_flight == 0);
    return 0;
}

void hg_bdev_chan_close(struct hg_bdev_chan *chan)
{
    if (chan == NULL)
        return;
    assert(chan->in_flight == 0);
    chan->dev->ops->chan_close(chan);
}

unsigned hg_bdev_submit(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n)
{
    unsigned room = chan->depth - chan->in_flight;
    unsigned taken;

    if (n > room)
        n = room;
    if (n == 0)
        return 0;
    taken = chan->dev->ops->submit(chan, ios, n);
    assert(taken <= n);
    chan->in_flight += taken;
    return taken;
}

unsigned hg_bdev_poll(struct hg_bdev_chan *chan, struct hg_bdev_io **done, unsigned max)
{
    unsigned n;

    if (chan->in_flight == 0 || max == 0)
        return 0;
    n = chan->dev->ops->poll(chan, done, max);
    assert(n <= max && n <= chan->in_flight);
    chan->in_flight -= n;
    return n;
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

int bdev_sync_chan(struct hg_bdev_chan *chan, enum hg_bdev_op op, uint64_t offset,
                   struct hg_iov buf)
{
    struct hg_bdev_io io = {.op = op, .iov = &buf, .offset = offset};
    struct hg_bdev_io *ptr = &io;

    io.iovcnt = op == HG_BDEV_FLUSH ? 0 : 1;
    if (hg_bdev_submit(chan, &ptr, 1) != 1)
        return -EIO;
    while (hg_bdev_poll(chan, &ptr, 1) == 0)
        ;
    return io.status;
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
