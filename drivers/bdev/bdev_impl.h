/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the block device implementations share. Nothing outside drivers/bdev includes this.
 */
#ifndef DRIVERS_BDEV_BDEV_IMPL_H
#define DRIVERS_BDEV_BDEV_IMPL_H

#include <headgate/bdev.h>

/* Requests in the order they came, linked through hg_bdev_io.next. */
struct bdev_fifo {
    struct hg_bdev_io *head;
    struct hg_bdev_io **tail;
};

static inline void bdev_fifo_init(struct bdev_fifo *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static inline void bdev_fifo_push(struct bdev_fifo *q, struct hg_bdev_io *io)
{
    io->next = NULL;
    *q->tail = io;
    q->tail = &io->next;
}

static inline struct hg_bdev_io *bdev_fifo_pop(struct bdev_fifo *q)
{
    struct hg_bdev_io *io = q->head;

    if (io != NULL) {
        q->head = io->next;
        if (q->head == NULL)
            q->tail = &q->head;
    }
    return io;
}

/* What every implementation does before its device is used, and after it was. */
void bdev_init(struct hg_bdev *dev, const struct hg_bdev_ops *ops, const char *name);
void bdev_fini(struct hg_bdev *dev);

static inline void bdev_count(struct hg_bdev *dev, enum hg_bdev_error kind)
{
    __atomic_fetch_add(&dev->errors[kind], 1, __ATOMIC_RELAXED);
}

/* Counts a request that the device failed; 0 and refusals (-EINVAL, -EOPNOTSUPP) are no errors of it. */
void bdev_count_status(struct hg_bdev *dev, int status);

/* For devices that have nothing to do by themselves. */
void bdev_no_tick(struct hg_bdev *dev, hg_ns now);

/* Bytes a request transfers; 0 for what carries no data. */
uint64_t bdev_io_bytes(const struct hg_bdev_io *io);

/* 0, or -EINVAL when the request is misaligned, malformed or reaches beyond the device. Offsets
 * can come from a damaged superblock, so this is an error of the request and not an assertion. */
int bdev_io_check(const struct hg_bdev *dev, const struct hg_bdev_io *io);

/* One blocking request on an open channel with nothing else in flight; 0 or negative errno. Ticks the
 * device meanwhile. */
int bdev_sync_chan(struct hg_bdev_chan *chan, enum hg_bdev_op op, uint64_t offset,
                   struct hg_iov buf);

/* The same for any request; its status. */
int bdev_sync_io(struct hg_bdev_chan *chan, struct hg_bdev_io *io);

#endif /* DRIVERS_BDEV_BDEV_IMPL_H */
