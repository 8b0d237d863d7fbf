/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Block devices through polled queues: drivers/bdev/nvme (our own driver), drivers/bdev/uring (file
 * or kernel block device), drivers/bdev/mem, fault layers.
 *
 * A device is opened once and shared; a channel is one shard's queue pair on it. submit() takes a
 * batch, poll() hands back what is done. Nothing blocks, nothing allocates after chan_open().
 * Buffers, offsets and lengths are multiples of the device's block size, buffers come from memory
 * registered with the channel (otherwise they work, slower). A write is durable when it was
 * submitted with `fua`, or when a flush submitted after its completion has completed (NVMe NVM
 * command set spec, Flush; io_uring fsync). Requests are not ordered among themselves.
 *
 * What belongs to the device as a whole (deadlines, resets, health) is done by hg_bdev_tick(), which
 * a thread of the node calls that does nothing else.
 */
#ifndef HEADGATE_BDEV_H
#define HEADGATE_BDEV_H

#include <headgate/arena.h>
#include <headgate/base.h>
#include <pthread.h>
#include <stdbool.h>

enum hg_bdev_op {
    HG_BDEV_READ,
    HG_BDEV_WRITE,
    HG_BDEV_FLUSH,
    HG_BDEV_WRITE_ZEROES, /* reads as zeroes afterwards, as durable as a write */
    HG_BDEV_DEALLOCATE,   /* a hint: contents are undefined until written again */
    HG_BDEV_OPS
};

#define HG_BDEV_IOV_MAX 64

/* A channel's own notes on a request it owns. */
struct hg_bdev_io_notes {
    uint64_t total, issued; /* bytes of the request; handed to the device so far */
    uint32_t iov_off;       /* where the rest begins: within iov[iov_at] */
    uint16_t iov_at;
    uint16_t parts; /* commands of this request that the device has */
    bool queued;    /* the rest waits for room */
};

/* One request; embedded in its owner's struct, owned by the channel from a successful submit until
 * poll() hands it back. iov points to memory that stays as long. */
struct hg_bdev_io {
    enum hg_bdev_op op;
    uint16_t iovcnt; /* 1..HG_BDEV_IOV_MAX for reads and writes, else 0 */
    bool fua;        /* of a write or write zeroes: durable when it completes */
    const struct hg_iov *iov;
    uint64_t offset; /* bytes on the device */
    uint64_t len;    /* bytes of a write zeroes or deallocate; not looked at otherwise */
    /* On completion 0 or negative errno: -EINVAL the request itself is wrong; -EOPNOTSUPP the device
     * has no such command (the caller writes zeroes itself); -ENODATA the medium has lost what was
     * asked for; -ENOSPC, -EROFS; -ETIMEDOUT, -ENODEV the device does not answer or is gone; -EIO
     * anything else. Short transfers are -EIO. */
    int status;
    void *owner;
    struct hg_bdev_io *next; /* the channel's while it owns the request */
    hg_ns submitted;         /* the channel's: when submit() took it */
    struct hg_bdev_io_notes notes;
};

enum hg_bdev_state {
    HG_BDEV_OK,
    HG_BDEV_STARTING,
    HG_BDEV_RESETTING, /* requests wait; they are carried out or failed when it ends */
    HG_BDEV_DEAD       /* every request fails; only a new open may bring the device back */
};

enum hg_bdev_error {
    HG_BDEV_ERR_MEDIA,    /* -ENODATA: the medium lost data */
    HG_BDEV_ERR_TIMEOUT,  /* requests that passed their deadline */
    HG_BDEV_ERR_ABORTED,  /* of these, given up by the device when asked to */
    HG_BDEV_ERR_RETRIED,  /* requests that were sent again */
    HG_BDEV_ERR_RESET,    /* resets of the controller */
    HG_BDEV_ERR_PROTOCOL, /* answers that fit no request */
    HG_BDEV_ERR_OTHER,    /* requests that failed for another reason */
    HG_BDEV_ERRORS
};

/* What `headgatectl devices` shows of the device as a whole. Absent text is "". */
struct hg_bdev_info {
    const char *kind; /* "nvme", "uring", "mem"; static */
    char model[41], serial[21], firmware[9];
    enum hg_bdev_state state;
    char state_text[128]; /* why it is not HG_BDEV_OK; "" else */
    char access[80];      /* how requests reach it, for people: "direct I/O, polled"; or "" */
    int numa_node;        /* -1: unknown */
    unsigned queues_max;  /* channels that may be open at once; 0: no limit */
    bool has_health;      /* the next fields are known (NVMe base spec, SMART / Health log page) */
    uint8_t critical_warning; /* bits as in the specification */
    uint8_t available_spare;  /* percent */
    uint8_t spare_threshold;  /* percent */
    uint8_t percentage_used;  /* percent of the estimated endurance; may exceed 100 */
    int16_t temperature;      /* degrees Celsius */
    uint64_t media_errors, unsafe_shutdowns, power_on_hours;
    uint64_t data_read, data_written; /* bytes, rounded to 512,000 as the log has them */
    uint64_t errors[HG_BDEV_ERRORS];  /* since the device was opened */
};

/* Latencies of one channel, from submit() to the poll() that handed the request back, by their power
 * of two: bucket i counts those below 2^(i + HG_BDEV_LAT_SHIFT) ns and not in a lower one, the last
 * all that are longer. Written by the channel's thread, read by any (each counter by itself). */
#define HG_BDEV_LAT_SHIFT 10u
#define HG_BDEV_LAT_BUCKETS 28u

struct hg_bdev_latency {
    uint64_t bucket[HG_BDEV_LAT_BUCKETS];
    uint64_t max; /* ns */
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
    void (*tick)(struct hg_bdev *dev, hg_ns now);
    void (*info)(struct hg_bdev *dev, struct hg_bdev_info *info); /* comes zeroed */
    void (*close)(struct hg_bdev *dev);
};

#define HG_BDEV_CHANS_MAX 64u /* channels of one device that are open at once */

/* First member of every implementation. */
struct hg_bdev {
    const struct hg_bdev_ops *ops;
    char name[256];      /* path or address, for messages */
    uint64_t size;       /* bytes, multiple of block */
    uint32_t block;      /* smallest write without read-modify-write: 512 or 4096 */
    bool volatile_cache; /* writes need fua or a flush to be durable */
    bool ticks;          /* hg_bdev_tick() does something */
    /* The wrappers': open channels, for those who report on them; a slot is NULL or valid under
     * `lock` (opening, closing and reporting take it; never a shard at work). */
    pthread_mutex_t lock;
    struct hg_bdev_chan *chans[HG_BDEV_CHANS_MAX];
    struct hg_bdev_latency closed[2]; /* of channels that were closed */
    uint64_t errors[HG_BDEV_ERRORS];  /* since it was opened; counted by any thread, atomically */
};

/* First member of every channel. */
struct hg_bdev_chan {
    struct hg_bdev *dev;
    unsigned depth;                    /* requests that may be in flight */
    unsigned in_flight;                /* 0..depth */
    hg_ns now;                         /* the caller's clock at the last submit() or poll() */
    struct hg_bdev_latency latency[2]; /* 0: what reads, 1: all else */
};

/* depth: requests in flight at most. mem: a region to register, or NULL. */
int hg_bdev_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                      struct hg_bdev_chan **out, struct hg_err *err);
/* No request may be in flight. NULL is allowed. */
void hg_bdev_chan_close(struct hg_bdev_chan *chan);

/* Takes the first k <= n requests (all that fit into the depth) and returns k. now: the clock of this
 * turn, from which deadlines and latencies are counted. */
unsigned hg_bdev_submit(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n, hg_ns now);

/* Pushes what submit() queued to the device, reaps up to max finished requests. */
unsigned hg_bdev_poll(struct hg_bdev_chan *chan, struct hg_bdev_io **done, unsigned max, hg_ns now);

/* The device's own work: start, deadlines, resets, health. Wanted every HG_BDEV_TICK while channels
 * are open; never blocks. Any thread; when two come at once, one of them does nothing. */
#define HG_BDEV_TICK HG_MS(5)
void hg_bdev_tick(struct hg_bdev *dev, hg_ns now);

/* Any thread but a shard at work. */
void hg_bdev_info(struct hg_bdev *dev, struct hg_bdev_info *info);

/* Latencies of all channels ever open on this device that read (0) or did all else (1), requests in
 * flight and the sum of depths of those open now. Any thread but a shard at work. */
struct hg_bdev_load {
    struct hg_bdev_latency latency[2];
    unsigned chans, depth, in_flight;
};
void hg_bdev_load(struct hg_bdev *dev, struct hg_bdev_load *load);

/* Upper bound in ns of the share `q` (0..1) of the latencies; 0 when there are none. */
uint64_t hg_bdev_latency_quantile(const struct hg_bdev_latency *lat, double q);

int hg_bdev_resize(struct hg_bdev *dev);
void hg_bdev_close(struct hg_bdev *dev); /* all channels closed before; NULL is allowed */

/* The clock for those who wait for requests outside of a shard's loop, at start and in tools. */
hg_ns hg_bdev_clock(void);

/* One blocking request through a temporary channel, for start and tools; never on a shard's data
 * path. buf is HG_BLOCK-aligned; empty for a flush. Reads, writes and flushes. */
int hg_bdev_sync(struct hg_bdev *dev, enum hg_bdev_op op, uint64_t offset, struct hg_iov buf,
                 struct hg_err *err);

/* File or block device at path with O_DIRECT (falls back to buffered I/O with a warning where the
 * file system has none), or the character device of an NVMe namespace (/dev/ngXnY), which takes NVMe
 * commands without the block layer. Exclusive: a second open of the same path by anyone using this
 * driver fails with -EBUSY (flock; O_EXCL for block devices). Polled instead of with interrupts where
 * the device has queues for that (queue/io_poll in /sys, for example with nvme.poll_queues=N). */
int hg_bdev_uring_open(const char *path, bool read_only, struct hg_bdev **out, struct hg_err *err);

/* An NVMe controller's namespace through VFIO: "nvme:0000:01:00.0", "nvme:0000:01:00.0/ns=2",
 * "nvme:serial=S123/ns=1" (docs/nvme.md). EAL runs, with IOVA as VA, until it is closed. One
 * namespace of a controller; the sentence of a failure tells what VFIO lacks and how to mend it. */
int hg_bdev_nvme_open(const char *name, struct hg_bdev **out, struct hg_err *err);

/* Whether the name is one of NVMe (1, and the controller's name in one form, without namespace, in
 * `ctrl`), of another kind (0), or wrong (-EINVAL). */
#define HG_BDEV_NVME_NAME 40
int hg_bdev_nvme_name(const char *name, char ctrl[HG_BDEV_NVME_NAME], struct hg_err *err);

/* The NVMe driver over an emulated controller with a thread of its own, for tests and trials:
 * "nvme-emu:SIZE[,OPTION...]" (docs/nvme.md). */
int hg_bdev_nvme_emu_open(const char *name, struct hg_bdev **out, struct hg_err *err);
/* Whether the name is one of these (1), of another kind (0), or wrong (-EINVAL). */
int hg_bdev_nvme_emu_name(const char *name, struct hg_err *err);

/* Memory. Contents are lost at close. */
int hg_bdev_mem_open(const char *name, uint64_t size, struct hg_bdev **out, struct hg_err *err);
/* Changes the size of the memory behind a device of hg_bdev_mem_open(), which the device notices at
 * the next hg_bdev_resize(). No request may be in flight. 0, -EINVAL, -ENOMEM. */
int hg_bdev_mem_set_size(struct hg_bdev *dev, uint64_t size);

/*
 * Crash layer for tests: holds unflushed writes of `next` back as a volatile cache would, so that
 * hg_bdev_crash() can decide from a seed for each of them whether it is kept, lost or torn at
 * 512-byte granularity; what a completed flush covers is always kept, and so is what was written with
 * fua. Write zeroes is for a `next` that has it; what was deallocated reads as garbage until it is
 * written. Also fails chosen requests.
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
