/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the io_uring device share: uring.c (the device), uring_chan.c (its channels),
 * uring_nvme.c (NVMe commands passed through the kernel's driver).
 */
#ifndef DRIVERS_BDEV_URING_IMPL_H
#define DRIVERS_BDEV_URING_IMPL_H

#include "bdev_impl.h"
#include "uring_nvme.h"
#include <liburing.h>

enum uring_poll {
    URING_POLL_AUTO, /* where the device has queues for it */
    URING_POLL_TRY   /* where the kernel takes it at all; for tests */
};

struct uring_dev {
    struct hg_bdev base;
    int fd;
    int guard; /* block device kept from others while its namespace is used by commands; or -1 */
    bool read_only;
    bool is_block; /* a block device rather than a regular file */
    bool direct;   /* O_DIRECT was taken */
    /* Reads and writes of one buffer of at most this many bytes go to a ring that is polled
     * (IORING_SETUP_IOPOLL); 0: none. */
    uint32_t polled_max;
    bool is_nvme; /* a character device for NVMe commands, described by ns */
    struct uring_nvme_ns ns;
    /* The first of the ways to write zeroes and to deallocate that may work here: learnt by trying,
     * by any channel; atomic. */
    uint8_t way[HG_BDEV_OPS];
};

static inline struct uring_dev *uring_dev_of(struct hg_bdev *base)
{
    return HG_CONTAINER_OF(base, struct uring_dev, base);
}

/* The operations of channels, see struct hg_bdev_ops. */
int uring_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                    struct hg_bdev_chan **out, struct hg_err *err);
void uring_chan_close(struct hg_bdev_chan *base);
unsigned uring_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n);
unsigned uring_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max);

/* Whether the kernel polls for a read of the first block; takes a moment. */
bool uring_try_poll(const struct uring_dev *dev);

/* What bdev.h calls the kernel's error (negative errno). */
int uring_status(int res);

/* hg_bdev_uring_open() with a say in polling. */
int uring_open(const char *path, bool read_only, enum uring_poll poll, struct hg_bdev **out,
               struct hg_err *err);

#endif /* DRIVERS_BDEV_URING_IMPL_H */
