/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Block devices through polled queues: drivers/bdev/uring (file or block device), drivers/bdev/mem,
 * fault layers; later drivers/bdev/nvme.
 *
 * A device is opened once and shared; a channel is one shard's queue pair on it. submit() takes a
 * batch, poll() hands back what is done. Nothing blocks, nothing allocates after chan_open().
 * Buffers, offsets and lengths are multiples of the device's block size, buffers come from memory
 * registered with the channel (otherwise they work, slower). A write is durable only when a flush
 * submitted after its completion has completed (NVMe base spec 5.8/7.1; io_uring fsync). Requests
 * are not ordered among themselves.
 */
#ifndef HEADGATE_BDEV_H
#define HEADGATE_BDEV_H

#include <headgate/arena.h>
#include <headgate/base.h>
#include <stdbool.h>

enum hg_bdev_op { HG_BDEV_READ, HG_BDEV_WRITE, HG_BDEV_FLUSH };

#define HG_BDEV_IOV_MAX 64

/* One request; embedded in its owner's struct, owned by the channel from a successful submit until
 * poll() hands it back. iov points to memory that stays as long. */
struct hg_bdev_io {
    enum hg_bdev_op op;
    uint16_t iovcnt; /* 1..HG_BDEV_IOV_MAX; 0 for flush */
    const struct hg_iov *iov;
    uint64_t offset; /* bytes on the device */
    int status;      /* on completion: 0 or negative errno; short transfers are -EIO */
    void *owner;
    struct hg_bdev_io *next; /* the channel's while it owns the request */
};

struct hg_bdev;
struct hg_bdev_chan;

struct hg_bdev_ops {
    int (*chan_open)(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                     struct hg_bdev_chan **out, struct hg_err *err);
    void (*chan_close)(struct hg_bdev_chan *chan);
    unsigned (*submit)(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n);
    unsigned (*poll)(struct hg_bdev_chan *chan, struct hg_bdev_io **done, unsigned max);
    int (*resize)(struct hg_bdev *dev); /* looks at the medium again and updates size */
    void (*close)(struct hg_bdev *dev);
};

/* First member of every implementation. */
struct hg_bdev {
    const struct hg_bdev_ops *ops;
    char name[256];      /* path or address, for messages */
    uint64_t size;       /* bytes, multiple of block */
    uint32_t block;      /* smallest write without read-modify-write: 512 or 4096 */
    bool volatile_cache; /* writes need a flush to be durable */
};

/* First member of every channel. */
struct hg_bdev_chan {
    struct hg_bdev *dev;
    unsigned depth;     /* requests that may be in flight */
    unsigned in_flight; /* 0..depth */
};

/* depth: requests in flight at most. mem: a region to register, or NULL. */
int hg_bdev_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                      struct hg_bdev_chan **out, struct hg_err *err);
/* No request may be in flight. NULL is allowed. */
void hg_bdev_chan_close(struct hg_bdev_chan *chan);

/* Takes the first k <= n requests (all that fit into the depth) and returns k. */
unsigned hg_bdev_submit(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n);

/* Pushes what submit() queued to the device, reaps up to max finished requests. */
unsigned hg_bdev_poll(struct hg_bdev_chan *chan, struct hg_bdev_io **done, unsigned max);

int hg_bdev_resize(struct hg_bdev *dev);
void hg_bdev_close(struct hg_bdev *dev); /* all channels closed before; NULL is allowed */

/* One blocking request through a temporary channel, for start and tools; never on a shard's data
 * path. buf is HG_BLOCK-aligned; empty for a flush. */
int hg_bdev_sync(struct hg_bdev *dev, enum hg_bdev_op op, uint64_t offset, struct hg_iov buf,
                 struct hg_err *err);

/* File or block device at path with O_DIRECT (falls back to buffered I/O with a warning where the
 * file system has none, e.g. tmpfs). Exclusive: a second open of the same path by anyone using this
 * driver fails with -EBUSY (flock; O_EXCL for block devices). */
int hg_bdev_uring_open(const char *path, bool read_only, struct hg_bdev **out, struct hg_err *err);

/* Memory. Contents are lost at close. */
int hg_bdev_mem_open(const char *name, uint64_t size, struct hg_bdev **out, struct hg_err *err);
/* Changes the size of the memory behind a device of hg_bdev_mem_open(), which the device notices at
 * the next hg_bdev_resize(). No request may be in flight. 0, -EINVAL, -ENOMEM. */
int hg_bdev_mem_set_size(struct hg_bdev *dev, uint64_t size);

/*
 * Crash layer for tests: holds unflushed writes of `next` back as a volatile cache would, so that
 * hg_bdev_crash() can decide from a seed for each of them whether it is kept, lost or torn at
 * 512-byte granularity; what a completed flush covers is always kept. Also fails chosen requests.
 */
struct hg_bdev_fault_cfg {
    uint64_t seed;
    unsigned fail_op;     /* an enum hg_bdev_op */
    uint64_t fail_nth;    /* the n-th request of fail_op fails with -EIO, 0: none */
    unsigned delay_polls; /* completions wait for 0..n polls, drawn from the seed: reorders them */
};
/* Closing the layer writes back what it holds and leaves `next` open: it stays the caller's. All
 * channels of the layer belong to one thread. */
int hg_bdev_fault_open(struct hg_bdev *next, const struct hg_bdev_fault_cfg *cfg,
                       struct hg_bdev **out, struct hg_err *err);
/* Another configuration from now on; requests are counted from here. The seed is not looked at. */
void hg_bdev_fault_set(struct hg_bdev *fault, const struct hg_bdev_fault_cfg *cfg);
/* Power cut: in-flight requests vanish (their channel may only be closed), unflushed writes are
 * kept, lost or torn. Afterwards the device may be used again through new channels. */
void hg_bdev_crash(struct hg_bdev *fault);

/* The process dies, the power stays: in-flight requests vanish as above, completed writes stay in
 * the volatile cache. */
void hg_bdev_kill(struct hg_bdev *fault);

struct hg_bdev_fault_stats {
    uint64_t kept, lost, torn; /* held writes, by what crashes made of them */
    uint64_t failed;           /* requests failed on purpose */
};
struct hg_bdev_fault_stats hg_bdev_fault_stats(const struct hg_bdev *fault);

#endif /* HEADGATE_BDEV_H */
