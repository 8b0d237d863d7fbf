/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files and kernel block devices through io_uring: one ring per channel.
 *
 * submit() only fills submission entries; poll() makes one io_uring_submit() for all of them and
 * reaps. Each request in flight owns one slot, and the ring has at least `depth` entries, so an
 * entry can always be had: also for the rest of a short transfer, which is sent again by the poll
 * that saw it. The file is registered, and so is the callers' DMA memory where RLIMIT_MEMLOCK
 * allows; a request of one buffer inside a registered region goes out as a fixed one.
 */
#include "bdev_impl.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <headgate/log.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AREA "bdev"
#define FILE_BLOCK 4096u            /* what direct I/O on a regular file is always aligned to */
#define FIXED_MAX ((size_t)1 << 30) /* the kernel's limit for one registered buffer */
#define FIXED_BUFFERS_MAX 64u
#define POLL_BURST 64u

struct uring_dev {
    struct hg_bdev base;
    int fd;
    bool read_only;
    bool is_block; /* a block device rather than a regular file */
};

struct uring_slot {
    struct hg_bdev_io *io; /* NULL: free */
    uint64_t done;         /* bytes transferred so far */
    uint64_t total;        /* bytes asked for */
    int fixed;             /* registered buffer it lies in, or -1 */
    unsigned first;        /* vec[first..io->iovcnt) is left to transfer */
    struct iovec vec[HG_BDEV_IOV_MAX];
};

struct uring_chan {
    struct hg_bdev_chan base;
    struct io_uring ring;
    struct bdev_fifo refused; /* requests that never reached the ring; their status is set */
    struct iovec fixed[FIXED_BUFFERS_MAX];
    unsigned n_fixed; /* registered buffers; 0 when registration was not possible */
    unsigned n_free;
    uint32_t *free_slots; /* stack of indices, base.depth */
    struct uring_slot *slots;
};

static struct uring_dev *uring_dev_of(struct hg_bdev *base)
{
    return HG_CONTAINER_OF(base, struct uring_dev, base);
}

static struct uring_chan *uring_chan_of(struct hg_bdev_chan *base)
{
    return HG_CONTAINER_OF(base, struct uring_chan, base);
}

/* ---- channels ---- */

/* Cuts the region into pieces the kernel takes; those beyond FIXED_BUFFERS_MAX stay unregistered
 * and work, slower. */
static unsigned cut_region(const struct hg_arena_region *mem, struct iovec *out)
{
    unsigned n = 0;

    for (size_t at = 0; mem != NULL && at < mem->len && n < FIXED_BUFFERS_MAX; at += FIXED_MAX) {
        size_t left = mem->len - at;

        out[n].iov_base = (uint8_t *)mem->base + at;
        out[n++].iov_len = left < FIXED_MAX ? left : FIXED_MAX;
    }
    return n;
}

static void register_memory(struct uring_chan *chan, const struct hg_arena_region *mem)
{
    unsigned n = cut_region(mem, chan->fixed);
    int rc;

    if (n == 0)
        return;
    rc = io_uring_register_buffers(&chan->ring, chan->fixed, n);
    if (rc == 0)
        chan->n_fixed = n;
    else
        hg_log(
            HG_LOG_WARN, AREA,
            "device %s: cannot register the payload memory (%s), so the kernel maps it for every "
            "request; raise the limit of locked memory (LimitMEMLOCK, ulimit -l)",
            chan->base.dev->name, strerror(-rc));
}

/* The kernel gives a closed ring's locked memory back some time later, so where the limit is low a
 * ring that comes right after another one may have to wait for it. */
#define RING_TRIES 100u
#define RING_PAUSE HG_MS(2)

static int create_ring(struct uring_chan *chan, unsigned flags)
{
    const struct timespec pause = {.tv_nsec = RING_PAUSE};
    int rc = -ENOMEM;

    for (unsigned i = 0; rc == -ENOMEM && i < RING_TRIES; i++) {
        struct io_uring_params params = {.flags = flags};

        if (i != 0)
            nanosleep(&pause, NULL);
        rc = io_uring_queue_init_params(chan->base.depth, &chan->ring, &params);
    }
    return rc;
}

static int start_ring(struct uring_chan *chan, struct hg_err *err)
{
    int fd = uring_dev_of(chan->base.dev)->fd;
    int rc;

    rc = create_ring(chan, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    if (rc == -EINVAL) /* before Linux 5.19 */
        rc = create_ring(chan, 0);
    if (rc != 0)
        return hg_fail(err, rc,
                       "device %s: io_uring is not available: %s; see kernel.io_uring_disabled "
                       "and the limit of locked memory",
                       chan->base.dev->name, strerror(-rc));
    rc = io_uring_register_files(&chan->ring, &fd, 1);
    if (rc != 0) {
        io_uring_queue_exit(&chan->ring);
        return hg_fail(err, rc, "device %s: io_uring does not take the file: %s",
                       chan->base.dev->name, strerror(-rc));
    }
    return 0;
}

static void free_chan(struct uring_chan *chan)
{
    free(chan->free_slots);
    free(chan->slots);
    free(chan);
}

static int uring_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                           struct hg_bdev_chan **out, struct hg_err *err)
{
    struct uring_chan *chan = calloc(1, sizeof *chan);
    int rc;

    if (chan == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory for a channel", dev->name);
    chan->base.dev = dev;
    chan->base.depth = depth;
    bdev_fifo_init(&chan->refused);
    chan->free_slots = calloc(depth, sizeof chan->free_slots[0]);
    chan->slots = calloc(depth, sizeof chan->slots[0]);
    if (chan->free_slots == NULL || chan->slots == NULL) {
        free_chan(chan);
        return hg_fail(err, -ENOMEM, "device %s: no memory for %u requests", dev->name, depth);
    }
    for (unsigned i = 0; i < depth; i++)
        chan->free_slots[chan->n_free++] = depth - 1 - i;
    rc = start_ring(chan, err);
    if (rc != 0) {
        free_chan(chan);
        return rc;
    }
    register_memory(chan, mem);
    *out = &chan->base;
    return 0;
}

static void uring_chan_close(struct hg_bdev_chan *base)
{
    struct uring_chan *chan = uring_chan_of(base);

    io_uring_queue_exit(&chan->ring);
    free_chan(chan);
}

/* ---- requests ---- */

static int fixed_index(const struct uring_chan *chan, const struct hg_bdev_io *io)
{
    if (io->iovcnt != 1)
        return -1;
    for (unsigned i = 0; i < chan->n_fixed; i++) {
        const uint8_t *base = chan->fixed[i].iov_base;

        if (io->iov[0].base >= base &&
            io->iov[0].base + io->iov[0].len <= base + chan->fixed[i].iov_len)
            return (int)i;
    }
    return -1;
}

/* Queues what is left of the slot's request. */
static void queue_slot(struct uring_chan *chan, uint32_t index)
{
    struct uring_slot *slot = &chan->slots[index];
    const struct hg_bdev_io *io = slot->io;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&chan->ring);
    const struct iovec *vec = &slot->vec[slot->first];
    unsigned n = io->iovcnt - slot->first;
    uint64_t offset = io->offset + slot->done;

    assert(sqe != NULL);
    if (io->op == HG_BDEV_FLUSH)
        io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
    else if (slot->fixed >= 0 && io->op == HG_BDEV_WRITE)
        io_uring_prep_write_fixed(sqe, 0, vec->iov_base, (unsigned)vec->iov_len, offset,
                                  slot->fixed);
    else if (slot->fixed >= 0)
        io_uring_prep_read_fixed(sqe, 0, vec->iov_base, (unsigned)vec->iov_len, offset,
                                 slot->fixed);
    else if (io->op == HG_BDEV_WRITE)
        io_uring_prep_writev(sqe, 0, vec, n, offset);
    else
        io_uring_prep_readv(sqe, 0, vec, n, offset);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = index;
}

static void start_io(struct uring_chan *chan, struct hg_bdev_io *io)
{
    uint32_t index = chan->free_slots[--chan->n_free];
    struct uring_slot *slot = &chan->slots[index];

    slot->io = io;
    slot->done = 0;
    slot->total = bdev_io_bytes(io);
    slot->first = 0;
    slot->fixed = fixed_index(chan, io);
    for (unsigned i = 0; i < io->iovcnt; i++) {
        slot->vec[i].iov_base = io->iov[i].base;
        slot->vec[i].iov_len = io->iov[i].len;
    }
    queue_slot(chan, index);
}

static unsigned uring_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct uring_chan *chan = uring_chan_of(base);
    bool read_only = uring_dev_of(base->dev)->read_only;

    for (unsigned i = 0; i < n; i++) {
        ios[i]->status = bdev_io_check(base->dev, ios[i]);
        if (ios[i]->status == 0 && ios[i]->op > HG_BDEV_FLUSH)
            ios[i]->status = -EOPNOTSUPP;
        if (ios[i]->status == 0 && read_only && ios[i]->op == HG_BDEV_WRITE)
            ios[i]->status = -EROFS;
        if (ios[i]->status == 0)
            start_io(chan, ios[i]);
        else
            bdev_fifo_push(&chan->refused, ios[i]);
    }
    return n;
}

/* Drops the first `bytes` of what the slot has left. */
static void advance(struct uring_slot *slot, size_t bytes)
{
    slot->done += bytes;
    while (bytes > 0) {
        struct iovec *vec = &slot->vec[slot->first];
        size_t step = bytes < vec->iov_len ? bytes : vec->iov_len;

        vec->iov_base = (uint8_t *)vec->iov_base + step;
        vec->iov_len -= step;
        bytes -= step;
        if (vec->iov_len == 0)
            slot->first++;
    }
}

/* The finished request, or NULL when the rest of it was queued again. */
static struct hg_bdev_io *finish(struct uring_chan *chan, uint32_t index, int res)
{
    struct uring_slot *slot = &chan->slots[index];
    struct hg_bdev_io *io = slot->io;

    assert(io != NULL);
    if (res == -EINTR || res == -EAGAIN) {
        queue_slot(chan, index);
        return NULL;
    }
    if (res > 0 && io->op != HG_BDEV_FLUSH) {
        advance(slot,
                (uint64_t)res < slot->total - slot->done ? (size_t)res : slot->total - slot->done);
        if (slot->done < slot->total) {
            queue_slot(chan, index);
            return NULL;
        }
    }
    io->status = res < 0 ? res : slot->done < slot->total ? -EIO : 0;
    slot->io = NULL;
    chan->free_slots[chan->n_free++] = index;
    return io;
}

static unsigned uring_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct uring_chan *chan = uring_chan_of(base);
    struct io_uring_cqe *cqes[POLL_BURST];
    unsigned n = 0;
    unsigned got;

    while (n < max && (done[n] = bdev_fifo_pop(&chan->refused)) != NULL)
        n++;
    /* A full completion queue (-EBUSY) or a short of memory (-EAGAIN) is cured by a later poll. */
    if (io_uring_sq_ready(&chan->ring) != 0)
        (void)io_uring_submit(&chan->ring);
    if (n == max)
        return n;
    got = io_uring_peek_batch_cqe(&chan->ring, cqes, max - n < POLL_BURST ? max - n : POLL_BURST);
    for (unsigned i = 0; i < got; i++) {
        struct hg_bdev_io *io = finish(chan, (uint32_t)cqes[i]->user_data, cqes[i]->res);

        if (io != NULL)
            done[n++] = io;
    }
    io_uring_cq_advance(&chan->ring, got);
    return n;
}

/* ---- the device ---- */

static int medium_size(const struct uring_dev *dev, uint64_t *size)
{
    struct stat st;

    if (dev->is_block)
        return ioctl(dev->fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
    if (fstat(dev->fd, &st) != 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int uring_resize(struct hg_bdev *base)
{
    uint64_t size = 0;
    int rc = medium_size(uring_dev_of(base), &size);

    if (rc == 0)
        __atomic_store_n(&base->size, size - size % base->block, __ATOMIC_RELAXED);
    return rc;
}

static void uring_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    (void)base;
    info->kind = "uring";
}

static void uring_close(struct hg_bdev *base)
{
    struct uring_dev *dev = uring_dev_of(base);

    close(dev->fd);
    bdev_fini(base);
    free(dev);
}

static const struct hg_bdev_ops uring_ops = {
    .chan_open = uring_chan_open,
    .chan_close = uring_chan_close,
    .submit = uring_submit,
    .poll = uring_poll,
    .resize = uring_resize,
    .tick = bdev_no_tick,
    .info = uring_info,
    .close = uring_close,
};

/* Opens the path with direct I/O where the file system has it. */
static int open_path(const char *path, bool read_only, bool is_block, struct hg_err *err)
{
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (is_block ? O_EXCL : 0);
    int fd = open(path, flags | O_DIRECT);

    if (fd < 0 && errno == EINVAL) {
        fd = open(path, flags);
        if (fd >= 0)
            hg_log(HG_LOG_WARN, AREA,
                   "device %s: the file system has no direct I/O; the page cache is used instead",
                   path);
    }
    if (fd < 0)
        return hg_fail(err, -errno, "device %s: cannot open it: %s", path, strerror(errno));
    return fd;
}

/* A ring of a process that was killed keeps its files, and so this lock, until the kernel has taken it
 * down: a node that is started again at once waits for that. */
#define LOCK_TRIES 150u
#define LOCK_PAUSE HG_MS(20)

static bool lock_file(int fd)
{
    struct timespec pause = {0, (long)LOCK_PAUSE};

    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static int setup(struct uring_dev *dev, const char *path, bool read_only, struct hg_err *err)
{
    struct stat st;
    int sector = 0;

    if (stat(path, &st) != 0)
        return hg_fail(err, -errno, "device %s: %s", path, strerror(errno));
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
        return hg_fail(err, -ENOTBLK, "device %s is neither a block device nor a file", path);
    dev->is_block = S_ISBLK(st.st_mode);
    dev->fd = open_path(path, read_only, dev->is_block, err);
    if (dev->fd < 0)
        return dev->fd;
    if (!lock_file(dev->fd))
        return hg_fail(err, -EBUSY, "device %s is in use by another process or another pool", path);
    dev->base.block = FILE_BLOCK;
    if (dev->is_block && ioctl(dev->fd, BLKSSZGET, &sector) == 0 && sector == 512)
        dev->base.block = 512;
    else if (sector > (int)HG_BLOCK)
        return hg_fail(err, -EINVAL, "device %s has sectors of %d bytes, more than 4096", path,
                       sector);
    return 0;
}

int hg_bdev_uring_open(const char *path, bool read_only, struct hg_bdev **out, struct hg_err *err)
{
    struct uring_dev *dev = calloc(1, sizeof *dev);
    int rc;

    if (dev == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory", path);
    dev->fd = -1;
    dev->read_only = read_only;
    bdev_init(&dev->base, &uring_ops, path);
    dev->base.volatile_cache = true;
    rc = setup(dev, path, read_only, err);
    if (rc == 0) {
        rc = uring_resize(&dev->base);
        if (rc != 0)
            hg_fail(err, rc, "device %s: cannot learn its size: %s", path, strerror(-rc));
        else if (dev->base.size == 0)
            rc = hg_fail(err, -EINVAL, "device %s is empty; give the file a size first", path);
    }
    if (rc != 0) {
        if (dev->fd >= 0)
            close(dev->fd);
        bdev_fini(&dev->base);
        free(dev);
        return rc;
    }
    *out = &dev->base;
    return 0;
}
