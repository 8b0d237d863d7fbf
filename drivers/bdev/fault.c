/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The crash layer: a volatile write cache in front of `next` that can lose power.
 *
 * 1. A write is copied when it is submitted and held. It reaches `next` only through a flush that
 *    was submitted after the write had completed, or when the layer is closed in an orderly way.
 *    Write zeroes and deallocate are held the same way, without a copy.
 * 2. A read sees `next` with all completed held writes laid over it, in the order of submission.
 *    What a held deallocate covers reads as POISON: nobody may rely on it.
 * 3. hg_bdev_crash() decides for every held write, in flight or completed, whether it is kept, lost
 *    or torn (each 512-byte sector by itself). How likely each is, is drawn once per crash, so that
 *    "nothing survived" and "everything but one survived" both come up.
 * 4. hg_bdev_kill() only drops what is in flight: the cache survives the process.
 * 5. A request that is told to fail has no effect on the medium.
 * 6. A write with `fua` is on `next`, flushed, when it completes. What older completed writes it lies
 *    over reaches `next` before it, so that none of them can come later and undo it.
 *
 * A tool for tests: it allocates per request, and all channels of a device belong to one thread.
 */
#include "bdev_impl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define POISON 0xdb

struct held_write {
    struct held_write *next;
    struct hg_bdev_io *io; /* NULL once completed */
    enum hg_bdev_op op;
    uint64_t completion;  /* number of the completion that finished it */
    uint64_t offset, len; /* bytes */
    uint8_t *data;        /* of a write: HG_BLOCK-aligned copy; else NULL */
    bool first;           /* must reach `next` before the write with fua that is being completed */
};

struct fault_slot {
    struct hg_bdev_io *io;
    struct held_write *held; /* of a write */
    uint64_t due;            /* poll number from which it may complete */
    uint64_t covers;         /* flush: completions before its submission */
    bool fail;
};

struct fault_chan {
    struct hg_bdev_chan base;
    struct fault_chan *next_chan;
    uint64_t polls;
    unsigned n_slots;
    bool dead;                 /* power was cut: only close is allowed */
    struct fault_slot slots[]; /* base.depth, in order of submission */
};

struct fault_dev {
    struct hg_bdev base;
    struct hg_bdev *next;
    struct hg_bdev_chan *next_io;
    struct hg_bdev_fault_cfg cfg;
    struct hg_bdev_fault_stats stats;
    struct fault_chan *chans;
    struct held_write *held;
    struct held_write **held_tail;
    uint64_t completions; /* writes completed so far */
    uint64_t op_count;    /* requests of cfg.fail_op so far */
    uint64_t random;
};

/* splitmix64: the same sequence for the same seed on every machine. */
static uint64_t draw(struct fault_dev *dev)
{
    uint64_t z = (dev->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int fault_chan_open(struct hg_bdev *base, unsigned depth, const struct hg_arena_region *mem,
                           struct hg_bdev_chan **out, struct hg_err *err)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);
    struct fault_chan *chan = calloc(1, sizeof *chan + depth * sizeof chan->slots[0]);

    (void)mem;
    if (chan == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory for a channel", base->name);
    chan->base.dev = base;
    chan->base.depth = depth;
    chan->next_chan = dev->chans;
    dev->chans = chan;
    *out = &chan->base;
    return 0;
}

static void fault_chan_close(struct hg_bdev_chan *base)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base->dev, struct fault_dev, base);
    struct fault_chan *chan = HG_CONTAINER_OF(base, struct fault_chan, base);
    struct fault_chan **at = &dev->chans;

    while (*at != chan)
        at = &(*at)->next_chan;
    *at = chan->next_chan;
    free(chan);
}

/* What the request writes, in one piece; NULL: no memory. */
static uint8_t *copy_of(const struct hg_bdev_io *io, uint64_t len)
{
    uint8_t *data = aligned_alloc(HG_BLOCK, (len + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK);
    uint64_t at = 0;

    for (unsigned i = 0; data != NULL && i < io->iovcnt; i++) {
        memcpy(data + at, io->iov[i].base, io->iov[i].len);
        at += io->iov[i].len;
    }
    return data;
}

static struct held_write *hold(struct fault_dev *dev, struct hg_bdev_io *io)
{
    struct held_write *w = calloc(1, sizeof *w);

    if (w == NULL)
        return NULL;
    w->op = io->op;
    w->len = io->op == HG_BDEV_WRITE ? bdev_io_bytes(io) : io->len;
    w->data = io->op == HG_BDEV_WRITE ? copy_of(io, w->len) : NULL;
    if (io->op == HG_BDEV_WRITE && w->data == NULL) {
        free(w);
        return NULL;
    }
    w->offset = io->offset;
    w->io = io;
    *dev->held_tail = w;
    dev->held_tail = &w->next;
    return w;
}

/* Unlinks and frees *at. */
static void release(struct fault_dev *dev, struct held_write **at)
{
    struct held_write *w = *at;

    *at = w->next;
    if (dev->held_tail == &w->next)
        dev->held_tail = at;
    free(w->data);
    free(w);
}

static bool told_to_fail(struct fault_dev *dev, const struct hg_bdev_io *io)
{
    if (io->op != dev->cfg.fail_op || dev->cfg.fail_nth == 0)
        return false;
    if (++dev->op_count != dev->cfg.fail_nth)
        return false;
    dev->stats.failed++;
    return true;
}

static unsigned fault_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base->dev, struct fault_dev, base);
    struct fault_chan *chan = HG_CONTAINER_OF(base, struct fault_chan, base);

    if (chan->dead)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        struct fault_slot *slot = &chan->slots[chan->n_slots++];

        *slot = (struct fault_slot){.io = ios[i], .due = chan->polls, .covers = dev->completions};
        if (dev->cfg.delay_polls != 0)
            slot->due += draw(dev) % (dev->cfg.delay_polls + 1);
        ios[i]->status = bdev_io_check(&dev->base, ios[i]);
        slot->fail = told_to_fail(dev, ios[i]);
        if (ios[i]->status != 0 || slot->fail || ios[i]->op == HG_BDEV_READ ||
            ios[i]->op == HG_BDEV_FLUSH)
            continue;
        slot->held = hold(dev, ios[i]);
        if (slot->held == NULL)
            ios[i]->status = -ENOMEM;
    }
    return n;
}

/* Carries out [at, at + len) of what w holds on `next`. */
static int write_through(struct fault_dev *dev, const struct held_write *w, uint64_t at,
                         uint64_t len)
{
    struct hg_bdev_io io = {.op = w->op, .offset = w->offset + at, .len = len};
    int rc;

    if (w->op == HG_BDEV_WRITE)
        return bdev_sync_chan(dev->next_io, HG_BDEV_WRITE, w->offset + at,
                              hg_iov_of(w->data + at, (uint32_t)len));
    rc = bdev_sync_io(dev->next_io, &io);
    return w->op == HG_BDEV_DEALLOCATE ? 0 : rc; /* a hint, which may have no effect */
}

static int flush_next(struct fault_dev *dev)
{
    return bdev_sync_chan(dev->next_io, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0));
}

static int complete_flush(struct fault_dev *dev, uint64_t covers)
{
    struct held_write **at = &dev->held;
    int rc = 0;

    while (*at != NULL) {
        struct held_write *w = *at;

        if (w->io != NULL || w->completion > covers) {
            at = &w->next;
            continue;
        }
        if (rc == 0)
            rc = write_through(dev, w, 0, w->len);
        release(dev, at);
    }
    return rc != 0 ? rc : flush_next(dev);
}

static bool overlap(const struct held_write *a, const struct held_write *b)
{
    return a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

/* Marks the completed writes older than w that must reach `next` before it: those it lies over, those
 * that these lie over, and so on. */
static void mark_first(struct fault_dev *dev, struct held_write *w)
{
    bool more = true;

    w->first = true;
    while (more) {
        more = false;
        for (struct held_write *a = dev->held; a != w; a = a->next)
            for (struct held_write *b = a->next; !a->first && a->io == NULL; b = b->next) {
                a->first = b->first && overlap(a, b);
                more |= a->first;
                if (b == w)
                    break;
            }
    }
}

/* w is being completed with fua. */
static int complete_fua(struct fault_dev *dev, struct held_write *w)
{
    struct held_write **at = &dev->held;
    bool last = false;
    int rc = 0;

    mark_first(dev, w);
    while (!last) {
        struct held_write *h = *at;

        last = h == w;
        if (!h->first) {
            at = &h->next;
            continue;
        }
        if (rc == 0)
            rc = write_through(dev, h, 0, h->len);
        release(dev, at);
    }
    return rc != 0 ? rc : flush_next(dev);
}

/* Lays the completed held writes over buf, which holds [offset, offset + len) of `next`. */
static void overlay(const struct fault_dev *dev, uint64_t offset, uint8_t *buf, uint32_t len)
{
    for (const struct held_write *w = dev->held; w != NULL; w = w->next) {
        uint64_t from = w->offset > offset ? w->offset : offset;
        uint64_t to = w->offset + w->len < offset + len ? w->offset + w->len : offset + len;

        if (w->io != NULL || from >= to)
            continue;
        if (w->op != HG_BDEV_WRITE)
            memset(buf + (from - offset), w->op == HG_BDEV_WRITE_ZEROES ? 0 : POISON, to - from);
        else
            memcpy(buf + (from - offset), w->data + (from - w->offset), to - from);
    }
}

static int complete_read(struct fault_dev *dev, const struct hg_bdev_io *io)
{
    uint32_t len = (uint32_t)bdev_io_bytes(io);
    size_t cap = ((size_t)len + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
    uint8_t *buf = aligned_alloc(HG_BLOCK, cap);
    uint32_t at = 0;
    int rc;

    if (buf == NULL)
        return -ENOMEM;
    rc = bdev_sync_chan(dev->next_io, HG_BDEV_READ, io->offset, hg_iov_of(buf, len));
    if (rc == 0) {
        overlay(dev, io->offset, buf, len);
        for (unsigned i = 0; i < io->iovcnt; i++) {
            memcpy(io->iov[i].base, buf + at, io->iov[i].len);
            at += io->iov[i].len;
        }
    }
    free(buf);
    return rc;
}

static void complete(struct fault_dev *dev, struct fault_slot *slot)
{
    struct hg_bdev_io *io = slot->io;

    if (slot->fail) {
        io->status = -EIO;
        bdev_count(&dev->base, HG_BDEV_ERR_OTHER);
    }
    if (io->status != 0)
        return;
    if (io->op == HG_BDEV_READ) {
        io->status = complete_read(dev, io);
    } else if (io->op == HG_BDEV_FLUSH) {
        io->status = complete_flush(dev, slot->covers);
    } else if (io->fua && io->op != HG_BDEV_DEALLOCATE) {
        io->status = complete_fua(dev, slot->held);
    } else {
        slot->held->io = NULL;
        slot->held->completion = ++dev->completions;
    }
}

static unsigned fault_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base->dev, struct fault_dev, base);
    struct fault_chan *chan = HG_CONTAINER_OF(base, struct fault_chan, base);
    unsigned kept = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < chan->n_slots; i++) {
        struct fault_slot *slot = &chan->slots[i];

        if (n == max || slot->due > chan->polls) {
            chan->slots[kept++] = *slot;
            continue;
        }
        complete(dev, slot);
        done[n++] = slot->io;
    }
    chan->n_slots = kept;
    chan->polls++;
    return n;
}

static int fault_resize(struct hg_bdev *base)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);
    int rc = hg_bdev_resize(dev->next);

    if (rc == 0)
        __atomic_store_n(&base->size, dev->next->size, __ATOMIC_RELAXED);
    return rc;
}

static void fault_tick(struct hg_bdev *base, hg_ns now)
{
    hg_bdev_tick(HG_CONTAINER_OF(base, struct fault_dev, base)->next, now);
}

static void fault_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    uint64_t own[HG_BDEV_ERRORS];

    memcpy(own, info->errors, sizeof own);
    hg_bdev_info(HG_CONTAINER_OF(base, struct fault_dev, base)->next, info);
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        info->errors[i] += own[i];
}

static void fault_close(struct hg_bdev *base)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);

    complete_flush(dev, UINT64_MAX);
    while (dev->held != NULL)
        release(dev, &dev->held);
    hg_bdev_chan_close(dev->next_io);
    bdev_fini(base);
    free(dev);
}

static const struct hg_bdev_ops fault_ops = {
    .chan_open = fault_chan_open,
    .chan_close = fault_chan_close,
    .submit = fault_submit,
    .poll = fault_poll,
    .resize = fault_resize,
    .tick = fault_tick,
    .info = fault_info,
    .close = fault_close,
};

int hg_bdev_fault_open(struct hg_bdev *next, const struct hg_bdev_fault_cfg *cfg,
                       struct hg_bdev **out, struct hg_err *err)
{
    struct fault_dev *dev = calloc(1, sizeof *dev);
    int rc;

    if (dev == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory for the fault layer", next->name);
    rc = hg_bdev_chan_open(next, 1, NULL, &dev->next_io, err);
    if (rc != 0) {
        free(dev);
        return rc;
    }
    bdev_init(&dev->base, &fault_ops, next->name);
    dev->base.size = next->size;
    dev->base.block = next->block;
    dev->base.volatile_cache = true;
    dev->base.ticks = next->ticks;
    dev->next = next;
    dev->cfg = *cfg;
    dev->random = cfg->seed;
    dev->held_tail = &dev->held;
    *out = &dev->base;
    return 0;
}

void hg_bdev_fault_set(struct hg_bdev *base, const struct hg_bdev_fault_cfg *cfg)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);

    dev->cfg = *cfg;
    dev->op_count = 0;
}

/* Writes the sectors of w that survive with probability keep / 8. Where `next` cannot write single
 * sectors, it does not tear below its own block either. */
static void tear(struct fault_dev *dev, struct held_write *w, unsigned keep)
{
    uint32_t unit = dev->next->block > SECTOR ? dev->next->block : SECTOR;

    for (uint64_t at = 0; at < w->len; at += unit)
        if (draw(dev) % 8 < keep)
            write_through(dev, w, at, unit);
}

/* What becomes of one held write when its time is up; keep: eighths of them that survive whole. */
static void decide(struct fault_dev *dev, struct held_write *w, unsigned keep)
{
    if (draw(dev) % 4 == 0) {
        tear(dev, w, 1 + (unsigned)(draw(dev) % 7));
        dev->stats.torn++;
    } else if (draw(dev) % 8 < keep) {
        write_through(dev, w, 0, w->len);
        dev->stats.kept++;
    } else {
        dev->stats.lost++;
    }
}

static void drop_requests(struct fault_dev *dev)
{
    for (struct fault_chan *chan = dev->chans; chan != NULL; chan = chan->next_chan) {
        chan->dead = true;
        chan->n_slots = 0;
        chan->base.in_flight = 0;
    }
}

void hg_bdev_crash(struct hg_bdev *base)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);
    unsigned keep = (unsigned)(draw(dev) % 9);

    while (dev->held != NULL) {
        decide(dev, dev->held, keep);
        release(dev, &dev->held);
    }
    drop_requests(dev);
}

/* A write in flight either has reached the cache or never will. */
void hg_bdev_kill(struct hg_bdev *base)
{
    struct fault_dev *dev = HG_CONTAINER_OF(base, struct fault_dev, base);
    struct held_write **at = &dev->held;

    while (*at != NULL) {
        struct held_write *w = *at;

        if (w->io != NULL && draw(dev) % 2 == 0) {
            release(dev, at);
            continue;
        }
        if (w->io != NULL) {
            w->io = NULL;
            w->completion = ++dev->completions;
        }
        at = &w->next;
    }
    drop_requests(dev);
}

struct hg_bdev_fault_stats hg_bdev_fault_stats(const struct hg_bdev *base)
{
    return HG_CONTAINER_OF(base, const struct fault_dev, base)->stats;
}
