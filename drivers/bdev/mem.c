/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device in anonymous memory: for tests, and for a node without disks. A request is carried
 * out by the poll that hands it back. No volatile cache: a completed write is as durable as it
 * gets.
 */
#include "bdev_impl.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEM_BLOCK 512u
#define HUGE_PAGE ((size_t)2 << 20)

struct mem_dev {
    struct hg_bdev base;
    uint8_t *bytes;
    uint64_t medium; /* bytes mapped; base.size follows at the next resize() */
};

struct mem_chan {
    struct hg_bdev_chan base;
    struct bdev_fifo queue;
};

static int mem_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                         struct hg_bdev_chan **out, struct hg_err *err)
{
    struct mem_chan *chan = calloc(1, sizeof *chan);

    (void)mem;
    if (chan == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory for a channel", dev->name);
    chan->base.dev = dev;
    chan->base.depth = depth;
    bdev_fifo_init(&chan->queue);
    *out = &chan->base;
    return 0;
}

static void mem_chan_close(struct hg_bdev_chan *chan)
{
    free(HG_CONTAINER_OF(chan, struct mem_chan, base));
}

static unsigned mem_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct mem_chan *chan = HG_CONTAINER_OF(base, struct mem_chan, base);

    for (unsigned i = 0; i < n; i++)
        bdev_fifo_push(&chan->queue, ios[i]);
    return n;
}

/* Whole huge pages go back to the kernel, which has zeroes in their place when they are next touched. */
static void clear(uint8_t *at, uint64_t len)
{
    uint8_t *from = (uint8_t *)(((uintptr_t)at + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    uint8_t *to = (uint8_t *)(((uintptr_t)at + len) & ~(uintptr_t)(HUGE_PAGE - 1));

    if (from >= to || madvise(from, (size_t)(to - from), MADV_DONTNEED) != 0) {
        memset(at, 0, len);
        return;
    }
    memset(at, 0, (size_t)(from - at));
    memset(to, 0, (size_t)(at + len - to));
}

static int mem_transfer(struct mem_dev *dev, const struct hg_bdev_io *io)
{
    uint8_t *at = dev->bytes + io->offset;
    int rc = bdev_io_check(&dev->base, io);

    if (rc != 0 || io->op == HG_BDEV_FLUSH)
        return rc;
    if (io->op == HG_BDEV_WRITE_ZEROES || io->op == HG_BDEV_DEALLOCATE) {
        clear(at, io->len);
        return 0;
    }
    for (unsigned i = 0; i < io->iovcnt; i++) {
        if (io->op == HG_BDEV_WRITE)
            memcpy(at, io->iov[i].base, io->iov[i].len);
        else
            memcpy(io->iov[i].base, at, io->iov[i].len);
        at += io->iov[i].len;
    }
    return 0;
}

static unsigned mem_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct mem_chan *chan = HG_CONTAINER_OF(base, struct mem_chan, base);
    struct mem_dev *dev = HG_CONTAINER_OF(base->dev, struct mem_dev, base);
    unsigned n = 0;

    while (n < max && (done[n] = bdev_fifo_pop(&chan->queue)) != NULL) {
        done[n]->status = mem_transfer(dev, done[n]);
        n++;
    }
    return n;
}

static int mem_resize(struct hg_bdev *base)
{
    struct mem_dev *dev = HG_CONTAINER_OF(base, struct mem_dev, base);

    __atomic_store_n(&base->size, dev->medium, __ATOMIC_RELAXED);
    return 0;
}

static void mem_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    (void)base;
    info->kind = "mem";
}

static void mem_close(struct hg_bdev *base)
{
    struct mem_dev *dev = HG_CONTAINER_OF(base, struct mem_dev, base);

    munmap(dev->bytes, dev->medium);
    bdev_fini(base);
    free(dev);
}

static const struct hg_bdev_ops mem_ops = {
    .chan_open = mem_chan_open,
    .chan_close = mem_chan_close,
    .submit = mem_submit,
    .poll = mem_poll,
    .resize = mem_resize,
    .tick = bdev_no_tick,
    .info = mem_info,
    .close = mem_close,
};

int hg_bdev_mem_open(const char *name, uint64_t size, struct hg_bdev **out, struct hg_err *err)
{
    struct mem_dev *dev;

    size -= size % HG_BLOCK;
    if (size == 0)
        return hg_fail(err, -EINVAL, "device %s: a memory device has at least 4096 bytes", name);
    dev = calloc(1, sizeof *dev);
    if (dev == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory", name);
    dev->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dev->bytes == MAP_FAILED) {
        free(dev);
        return hg_fail(err, -ENOMEM, "device %s: no memory for %llu bytes", name,
                       (unsigned long long)size);
    }
    (void)madvise(dev->bytes, size, MADV_HUGEPAGE); /* faults by the 2 MiB where the kernel can */
    dev->medium = size;
    bdev_init(&dev->base, &mem_ops, name);
    dev->base.size = size;
    dev->base.block = MEM_BLOCK;
    *out = &dev->base;
    return 0;
}

int hg_bdev_mem_set_size(struct hg_bdev *base, uint64_t size)
{
    struct mem_dev *dev = HG_CONTAINER_OF(base, struct mem_dev, base);
    void *moved;

    assert(base->ops == &mem_ops);
    size -= size % HG_BLOCK;
    if (size == 0)
        return -EINVAL;
    moved = mremap(dev->bytes, dev->medium, size, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        return -ENOMEM;
    dev->bytes = moved;
    dev->medium = size;
    return 0;
}
