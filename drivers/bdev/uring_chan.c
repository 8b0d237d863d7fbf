/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Channels of the io_uring device.
 *
 * 1. submit() only fills submission entries; poll() makes one system call for all of them and reaps.
 *    Without anything to submit it makes none, unless the kernel says that it has completions to hand
 *    over or the ring is polled.
 * 2. Each request in flight owns one slot and has at most one entry in a ring; a ring has at least
 *    `depth` entries, so one can always be had: also for the rest of a short transfer, for a piece of
 *    a long one and for the fsync of a write zeroes with fua, which are sent by the poll that saw that
 *    they are wanted.
 * 3. A polled ring (IORING_SETUP_IOPOLL) takes reads and writes only, and for ever tries again what the
 *    block layer would have to split (seen with Linux 6.1, which never waits for a polled bio). All else,
 *    and what it refuses later, goes to a plain ring beside it.
 * 4. What the kernel cannot do without waiting (fsync, fallocate, writes that extend a file) it does in
 *    workers, which inherit the CPUs of the thread that asks, so they share a shard's. Sent to control's
 *    CPU they cost more: there another shard may poll, and its queue overflowed meanwhile.
 * 5. The file is registered, and so is the callers' DMA memory where RLIMIT_MEMLOCK allows; a request
 *    of one buffer inside a registered region goes out as a fixed one.
 */
#include "nvme/nvme_spec.h"
#include "uring_impl.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <headgate/log.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AREA "bdev"
#define FIXED_MAX ((size_t)1 << 30) /* the kernel's limit for one registered buffer */
#define FIXED_BUFFERS_MAX 64u
#define POLL_BURST 64u
#define RETRY_TIME HG_SEC(10) /* how long a request is sent again that the kernel has no room for */

struct uring_slot {
    struct hg_bdev_io *io; /* NULL: free */
    uint64_t done;         /* bytes transferred so far */
    uint64_t total;        /* bytes asked for */
    uint64_t piece;        /* bytes of the NVMe command in flight */
    int fixed;             /* registered buffer it lies in, or -1 */
    unsigned first;        /* vec[first..io->iovcnt) is left to transfer */
    uint8_t way;           /* of ways[], write zeroes and deallocate */
    bool plain;            /* not for the polled ring, or refused by it */
    bool sync;             /* what is in flight is the fsync after it */
    struct nvme_dsm_range range;
    struct iovec vec[HG_BDEV_IOV_MAX];
};

struct uring_chan {
    struct hg_bdev_chan base;
    struct io_uring ring;
    struct io_uring plain; /* beside a polled ring */
    bool polled;
    unsigned polled_now;      /* requests in the polled ring */
    struct bdev_fifo refused; /* requests that never reached the ring; their status is set */
    struct iovec fixed[FIXED_BUFFERS_MAX];
    unsigned n_fixed; /* registered buffers; 0 when registration was not possible */
    unsigned n_free;
    uint32_t *free_slots; /* stack of indices, base.depth */
    struct uring_slot *slots;
};

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

static int create_ring(struct io_uring *ring, unsigned depth, unsigned flags)
{
    const struct timespec pause = {.tv_nsec = RING_PAUSE};
    int rc = -ENOMEM;

    for (unsigned i = 0; rc == -ENOMEM && i < RING_TRIES; i++) {
        struct io_uring_params params = {.flags = flags};

        if (i != 0)
            nanosleep(&pause, NULL);
        rc = io_uring_queue_init_params(depth, ring, &params);
    }
    return rc;
}

/* A ring of the kind that `flags` asks for, with the file in it. */
static int start_ring(const struct uring_dev *dev, struct io_uring *ring, unsigned depth,
                      unsigned flags)
{
    const unsigned quiet =
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL;
    int rc;

    if (dev->is_nvme)
        flags |= IORING_SETUP_SQE128 | IORING_SETUP_CQE32;
    rc = create_ring(ring, depth, flags | quiet);
    if (rc == -EINVAL) /* before Linux 5.19 */
        rc = create_ring(ring, depth, flags);
    if (rc != 0)
        return rc;
    rc = io_uring_register_files(ring, &dev->fd, 1);
    if (rc != 0)
        io_uring_queue_exit(ring);
    return rc;
}

static int start_rings(struct uring_chan *chan, struct hg_err *err)
{
    const struct uring_dev *dev = uring_dev_of(chan->base.dev);
    unsigned depth = chan->base.depth;
    int rc;

    chan->polled = dev->polled_max != 0;
    rc = start_ring(dev, &chan->ring, depth, chan->polled ? IORING_SETUP_IOPOLL : 0);
    if (rc == 0 && chan->polled) {
        rc = start_ring(dev, &chan->plain, depth, 0);
        if (rc != 0)
            io_uring_queue_exit(&chan->ring);
    }
    if (rc != 0)
        return hg_fail(err, rc,
                       "device %s: io_uring is not available: %s; see kernel.io_uring_disabled "
                       "and the limit of locked memory",
                       chan->base.dev->name, strerror(-rc));
    return 0;
}

static void free_chan(struct uring_chan *chan)
{
    free(chan->free_slots);
    free(chan->slots);
    free(chan);
}

int uring_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
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
    rc = start_rings(chan, err);
    if (rc != 0) {
        free_chan(chan);
        return rc;
    }
    register_memory(chan, mem);
    *out = &chan->base;
    return 0;
}

void uring_chan_close(struct hg_bdev_chan *base)
{
    struct uring_chan *chan = uring_chan_of(base);

    if (chan->polled)
        io_uring_queue_exit(&chan->plain);
    io_uring_queue_exit(&chan->ring);
    free_chan(chan);
}

/* ---- what the kernel is asked for ---- */

static bool moves_data(const struct hg_bdev_io *io)
{
    return io->op == HG_BDEV_READ || io->op == HG_BDEV_WRITE;
}

/* Ways to have zeroes or nothing in a range, best first; each kernel and file system has some. */
#define BLOCK_DISCARD 0x1200u /* uring_cmd of block devices, BLOCK_URING_CMD_DISCARD, Linux 6.12 */

struct uring_way {
    bool block_only;
    unsigned cmd; /* uring_cmd, or 0 */
    int mode;     /* of fallocate */
};

static const struct uring_way zero_ways[] = {
    {false, 0, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
    {false, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
};

static const struct uring_way trim_ways[] = {
    {true, BLOCK_DISCARD, 0},
    {true, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_NO_HIDE_STALE}, /* older */
    {false, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
};

/* The way after `way` that may work, from `way` on; NULL: none is left. */
static const struct uring_way *find_way(const struct uring_dev *dev, enum hg_bdev_op op,
                                        uint8_t *way)
{
    const struct uring_way *ways = op == HG_BDEV_DEALLOCATE ? trim_ways : zero_ways;
    unsigned n = op == HG_BDEV_DEALLOCATE ? HG_ARRAY_LEN(trim_ways) : HG_ARRAY_LEN(zero_ways);

    while (*way < n && ways[*way].block_only && !dev->is_block)
        ++*way;
    return *way < n ? &ways[*way] : NULL;
}

/* Only for a slot whose way find_way() has found. */
static void prep_range(const struct uring_dev *dev, struct io_uring_sqe *sqe,
                       struct uring_slot *slot)
{
    const struct hg_bdev_io *io = slot->io;
    const struct uring_way *way = find_way(dev, io->op, &slot->way);

    if (way->cmd == 0) {
        io_uring_prep_fallocate(sqe, 0, way->mode, (off_t)io->offset, (off_t)io->len);
        return;
    }
    io_uring_prep_nop(sqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = 0;
    sqe->cmd_op = way->cmd;
    sqe->addr = io->offset;
    sqe->addr3 = io->len;
}

static void prep_file(const struct uring_dev *dev, struct io_uring_sqe *sqe,
                      struct uring_slot *slot)
{
    const struct hg_bdev_io *io = slot->io;
    const struct iovec *vec = &slot->vec[slot->first];
    unsigned n = io->iovcnt - slot->first;
    uint64_t offset = io->offset + slot->done;

    if (io->op == HG_BDEV_FLUSH || slot->sync)
        io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
    else if (!moves_data(io))
        prep_range(dev, sqe, slot);
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
    if (io->op == HG_BDEV_WRITE && io->fua)
        sqe->rw_flags = RWF_DSYNC;
}

static void prep_nvme(const struct uring_dev *dev, struct io_uring_sqe *sqe,
                      struct uring_slot *slot)
{
    struct uring_nvme_rest rest = {.io = slot->io,
                                   .done = slot->done,
                                   .vec = &slot->vec[slot->first],
                                   .n_vec = slot->io->iovcnt - slot->first,
                                   .range = &slot->range};
    struct nvme_uring_cmd cmd;
    uint32_t op;

    slot->piece = uring_nvme_build(&dev->ns, &rest, &cmd, &op);
    memset(sqe, 0, 2 * sizeof *sqe); /* IORING_SETUP_SQE128 */
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->cmd_op = op;
    memcpy(sqe->cmd, &cmd, sizeof cmd);
    if (slot->fixed >= 0) {
        sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
        sqe->buf_index = (uint16_t)slot->fixed;
    }
}

/* Queues what is left of the slot's request. */
static void queue_slot(struct uring_chan *chan, uint32_t index)
{
    const struct uring_dev *dev = uring_dev_of(chan->base.dev);
    struct uring_slot *slot = &chan->slots[index];
    bool beside = chan->polled && slot->plain;
    struct io_uring_sqe *sqe = io_uring_get_sqe(beside ? &chan->plain : &chan->ring);

    assert(sqe != NULL);
    if (beside)
        slot->fixed = -1; /* the buffers are registered with the other one */
    else if (chan->polled)
        chan->polled_now++;
    if (dev->is_nvme)
        prep_nvme(dev, sqe, slot);
    else
        prep_file(dev, sqe, slot);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = index;
}

/* ---- submit ---- */

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

static void start_io(struct uring_chan *chan, struct hg_bdev_io *io)
{
    const struct uring_dev *dev = uring_dev_of(chan->base.dev);
    uint32_t index = chan->free_slots[--chan->n_free];
    struct uring_slot *slot = &chan->slots[index];

    slot->io = io;
    slot->done = 0;
    slot->total = 0;
    slot->first = 0;
    slot->way = __atomic_load_n(&dev->way[io->op], __ATOMIC_RELAXED);
    slot->sync = false;
    slot->fixed = fixed_index(chan, io);
    for (unsigned i = 0; i < io->iovcnt; i++) {
        slot->vec[i].iov_base = io->iov[i].base;
        slot->vec[i].iov_len = io->iov[i].len;
        slot->total += io->iov[i].len;
    }
    slot->plain = !moves_data(io) || io->iovcnt != 1 || slot->total > dev->polled_max;
    if (io->op == HG_BDEV_WRITE_ZEROES || io->op == HG_BDEV_DEALLOCATE)
        slot->total = io->len;
    queue_slot(chan, index);
}

/* 0, or why the request does not even go to the kernel. */
static int refusal(const struct uring_dev *dev, const struct hg_bdev_io *io)
{
    uint8_t way = __atomic_load_n(&dev->way[io->op], __ATOMIC_RELAXED);
    int rc = bdev_io_check(&dev->base, io);

    if (rc != 0)
        return rc;
    if (io->op == HG_BDEV_READ || io->op == HG_BDEV_FLUSH)
        return 0;
    if (dev->read_only)
        return -EROFS;
    if (io->op == HG_BDEV_WRITE)
        return 0;
    if (dev->is_nvme)
        return (io->op == HG_BDEV_DEALLOCATE ? dev->ns.deallocate : dev->ns.write_zeroes)
                   ? 0
                   : -EOPNOTSUPP;
    return find_way(dev, io->op, &way) != NULL ? 0 : -EOPNOTSUPP;
}

unsigned uring_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct uring_chan *chan = uring_chan_of(base);
    const struct uring_dev *dev = uring_dev_of(base->dev);

    for (unsigned i = 0; i < n; i++) {
        ios[i]->status = refusal(dev, ios[i]);
        if (ios[i]->status == 0)
            start_io(chan, ios[i]);
        else
            bdev_fifo_push(&chan->refused, ios[i]);
    }
    return n;
}

/* ---- poll ---- */

/* Drops the first `bytes` of what the slot has left. */
static void advance(struct uring_slot *slot, uint64_t bytes)
{
    slot->done += bytes;
    while (bytes > 0 && moves_data(slot->io)) {
        struct iovec *vec = &slot->vec[slot->first];
        size_t step = bytes < vec->iov_len ? (size_t)bytes : vec->iov_len;

        vec->iov_base = (uint8_t *)vec->iov_base + step;
        vec->iov_len -= step;
        bytes -= step;
        if (vec->iov_len == 0)
            slot->first++;
    }
}

int uring_status(int res)
{
    static const struct {
        int from, to;
    } known[] = {{-ENODATA, -ENODATA}, {-ENOSPC, -ENOSPC},        {-EDQUOT, -ENOSPC},
                 {-EROFS, -EROFS},     {-EPERM, -EROFS},          {-ETIMEDOUT, -ETIMEDOUT},
                 {-ENODEV, -ENODEV},   {-ENXIO, -ENODEV},         {-ENOMEDIUM, -ENODEV},
                 {-EINVAL, -EINVAL},   {-EOPNOTSUPP, -EOPNOTSUPP}};

    if (res >= 0)
        return 0;
    for (unsigned i = 0; i < HG_ARRAY_LEN(known); i++)
        if (res == known[i].from)
            return known[i].to;
    return -EIO;
}

/* Kernels that do not know IORING_OP_URING_CMD at all say -EINVAL. */
static bool unknown(const struct uring_slot *slot, int res)
{
    return res == -EOPNOTSUPP ||
           (res == -EINVAL && slot->io->op == HG_BDEV_DEALLOCATE && trim_ways[slot->way].cmd != 0);
}

/* Whether the request goes on: in another way, or once more. */
static bool again(struct uring_chan *chan, struct uring_slot *slot, int res)
{
    struct uring_dev *dev = uring_dev_of(chan->base.dev);

    if ((res == -EINTR || res == -EAGAIN) && chan->base.now < slot->io->submitted + RETRY_TIME) {
        bdev_count(&dev->base, HG_BDEV_ERR_RETRIED);
        return true;
    }
    if (dev->is_nvme && slot->fixed >= 0 && res == -EINVAL) {
        /* Linux 6.1 takes a registered buffer for a command only when it is used as a whole. */
        slot->fixed = -1;
        chan->n_fixed = 0;
        return true;
    }
    if (!unknown(slot, res) || dev->is_nvme || slot->io->op == HG_BDEV_FLUSH || slot->sync)
        return false;
    if (moves_data(slot->io)) { /* the queue to poll has gone */
        bool refused = chan->polled && !slot->plain;

        slot->plain = true;
        return refused;
    }
    slot->way++;
    if (slot->way > __atomic_load_n(&dev->way[slot->io->op], __ATOMIC_RELAXED))
        __atomic_store_n(&dev->way[slot->io->op], slot->way, __ATOMIC_RELAXED);
    return find_way(dev, slot->io->op, &slot->way) != NULL;
}

/* What a completion moved, in bytes, or negative errno. */
static int64_t moved(const struct uring_dev *dev, const struct uring_slot *slot, int res)
{
    uint64_t left = slot->total - slot->done;

    if (dev->is_nvme) {
        int status = uring_nvme_status(res);

        return status != 0 ? status : (int64_t)slot->piece;
    }
    if (res < 0 || slot->io->op == HG_BDEV_FLUSH || slot->sync)
        return res < 0 ? res : 0;
    return moves_data(slot->io) && (uint64_t)res < left ? res : (int64_t)left;
}

/* The finished request, or NULL when something of it was queued again. */
static struct hg_bdev_io *finish(struct uring_chan *chan, uint32_t index, int res)
{
    struct uring_dev *dev = uring_dev_of(chan->base.dev);
    struct uring_slot *slot = &chan->slots[index];
    struct hg_bdev_io *io = slot->io;
    int64_t bytes = moved(dev, slot, res);

    assert(io != NULL);
    if (bytes < 0 && again(chan, slot, (int)bytes)) {
        queue_slot(chan, index);
        return NULL;
    }
    if (bytes > 0) {
        advance(slot, (uint64_t)bytes);
        slot->sync = io->op == HG_BDEV_WRITE_ZEROES && io->fua && !dev->is_nvme;
        if (slot->done < slot->total || slot->sync) {
            queue_slot(chan, index);
            return NULL;
        }
    }
    io->status = bytes < 0 ? uring_status((int)bytes) : slot->done < slot->total ? -EIO : 0;
    if (io->status != 0)
        bdev_count_status(&dev->base, io->status);
    slot->io = NULL;
    chan->free_slots[chan->n_free++] = index;
    return io;
}

static unsigned reap(struct uring_chan *chan, struct io_uring *ring, struct hg_bdev_io **done,
                     unsigned max)
{
    struct io_uring_cqe *cqes[POLL_BURST];
    unsigned n = 0;
    unsigned got = io_uring_peek_batch_cqe(ring, cqes, max < POLL_BURST ? max : POLL_BURST);

    if (chan->polled && ring == &chan->ring)
        chan->polled_now -= got;
    for (unsigned i = 0; i < got; i++) {
        struct hg_bdev_io *io = finish(chan, (uint32_t)cqes[i]->user_data, cqes[i]->res);

        if (io != NULL)
            done[n++] = io;
    }
    io_uring_cq_advance(ring, got);
    return n;
}

unsigned uring_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct uring_chan *chan = uring_chan_of(base);
    unsigned n = 0;

    while (n < max && (done[n] = bdev_fifo_pop(&chan->refused)) != NULL)
        n++;
    /* A full completion queue (-EBUSY) or a short of memory (-EAGAIN) is cured by a later poll. */
    if (chan->polled_now != 0)
        (void)io_uring_submit_and_get_events(&chan->ring);
    else if (io_uring_sq_ready(&chan->ring) != 0)
        (void)io_uring_submit(&chan->ring);
    if (n < max)
        n += reap(chan, &chan->ring, done + n, max - n);
    if (!chan->polled)
        return n;
    if (io_uring_sq_ready(&chan->plain) != 0)
        (void)io_uring_submit(&chan->plain);
    return n < max ? n + reap(chan, &chan->plain, done + n, max - n) : n;
}

/* ---- whether a device can be polled ---- */

#define TRY_TIME HG_SEC(1)

bool uring_try_poll(const struct uring_dev *dev)
{
    hg_ns end = hg_bdev_clock() + TRY_TIME;
    struct io_uring_cqe *cqe = NULL;
    struct io_uring ring;
    void *buf;
    int res = -ETIMEDOUT;

    if (dev->is_nvme || start_ring(dev, &ring, 1, IORING_SETUP_IOPOLL) != 0)
        return false;
    buf = aligned_alloc(HG_BLOCK, HG_BLOCK);
    if (buf != NULL) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

        io_uring_prep_read(sqe, 0, buf, dev->base.block, 0);
        sqe->flags |= IOSQE_FIXED_FILE;
        (void)io_uring_submit(&ring);
        while (cqe == NULL && hg_bdev_clock() < end)
            if (io_uring_get_events(&ring) < 0 || io_uring_peek_cqe(&ring, &cqe) != 0)
                cqe = NULL;
        if (cqe != NULL)
            res = cqe->res;
    }
    io_uring_queue_exit(&ring); /* waits for the read, if it is still under way */
    free(buf);
    return res == (int)dev->base.block;
}
