/* SPDX-License-Identifier: BSD-3-Clause */
/* From requests to commands and back; nvme_chan.h has the invariants. */
#include "nvme_chan.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AREA "nvme"

static hg_ns deadline_of(const struct nvme_chan *chan)
{
    return chan->base.now + chan->ctrl->opts.io_timeout;
}

/* ---- buffers ---- */

static bool registered(const struct nvme_chan *chan, const struct hg_iov *iov, uint64_t *iova)
{
    uint64_t at = (uint64_t)(iov->base - (const uint8_t *)chan->mem.base);

    if (at >= chan->mem.len || iov->len > chan->mem.len - at)
        return false;
    *iova = chan->mem_iova + at;
    return true;
}

/* The pieces from where the request stands on, up to `max` bytes or to one that is not registered. */
static unsigned gather(const struct nvme_chan *chan, const struct hg_bdev_io *io, uint32_t max,
                       struct nvme_seg *segs)
{
    uint32_t off = io->notes.iov_off;
    uint32_t bytes = 0;
    unsigned n = 0;

    for (unsigned i = io->notes.iov_at; i < io->iovcnt && bytes < max; i++) {
        if (!registered(chan, &io->iov[i], &segs[n].iova))
            break;
        segs[n].iova += off;
        segs[n].len = io->iov[i].len - off;
        bytes += segs[n++].len;
        off = 0;
    }
    return n;
}

/* Shortens the pieces to `bytes`; their number then. */
static unsigned trim(struct nvme_seg *segs, uint32_t bytes)
{
    unsigned n = 0;

    while (segs[n].len < bytes)
        bytes -= segs[n++].len;
    segs[n].len = bytes;
    return n + 1;
}

static uint32_t sum(const struct nvme_seg *segs, unsigned n, uint32_t max)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += segs[i].len < max - bytes ? segs[i].len : max - bytes;
    return bytes;
}

static void advance(struct hg_bdev_io *io, uint32_t bytes)
{
    struct hg_bdev_io_notes *notes = &io->notes;

    notes->issued += bytes;
    while (bytes > 0) {
        uint32_t left = io->iov[notes->iov_at].len - notes->iov_off;

        if (bytes < left) {
            notes->iov_off += bytes;
            return;
        }
        bytes -= left;
        notes->iov_at++;
        notes->iov_off = 0;
    }
}

/* Copies between a bounce buffer and `len` bytes of the request from its byte `at` on. */
static void copy(const struct hg_bdev_io *io, uint64_t at, uint8_t *bounce, uint32_t len)
{
    for (unsigned i = 0; len > 0; i++) {
        uint32_t step = io->iov[i].len;

        if (at >= step) {
            at -= step;
            continue;
        }
        step -= (uint32_t)at;
        step = step < len ? step : len;
        if (io->op == HG_BDEV_READ)
            memcpy(io->iov[i].base + at, bounce, step);
        else
            memcpy(bounce, io->iov[i].base + at, step);
        bounce += step;
        len -= step;
        at = 0;
    }
}

static bool take_bounce(struct nvme_chan *chan, struct nvme_req *req)
{
    if (chan->free_bounces == 0)
        return false;
    req->bounce = (int16_t)__builtin_ctz(chan->free_bounces);
    chan->free_bounces &= (uint16_t)(chan->free_bounces - 1);
    return true;
}

static uint8_t *bounce_of(const struct nvme_chan *chan, const struct nvme_req *req)
{
    return chan->bounce + (size_t)req->bounce * NVME_BOUNCE_BYTES;
}

/* ---- parts ---- */

static struct nvme_lbas lbas_of(const struct nvme_chan *chan, uint64_t offset, uint64_t bytes)
{
    const struct nvme_ns *ns = &chan->ctrl->ns;

    return (struct nvme_lbas){ns->nsid, offset >> ns->shift, (uint32_t)(bytes >> ns->shift)};
}

/* The data pointer by PRPs, else by an SGL; the bytes it covers, 0 when neither can. */
static uint32_t describe(struct nvme_chan *chan, const struct hg_bdev_io *io, struct nvme_req *req)
{
    uint64_t left = io->notes.total - io->notes.issued;
    uint32_t max = chan->ctrl->caps.max_bytes;
    struct nvme_seg segs[NVME_SEGS_MAX];
    struct nvme_list list = nvme_req_list(&chan->qp, req);
    uint32_t bytes, all;
    unsigned n;

    max = left < max ? (uint32_t)left : max;
    n = gather(chan, io, max, segs);
    if (n == 0)
        return 0;
    all = sum(segs, n, max);
    bytes = nvme_prp_fit(segs, n, max, chan->base.dev->block);
    if (bytes < all && chan->ctrl->caps.sgl) { /* pieces that PRPs cannot join */
        n = trim(segs, all);
        return nvme_sgl_fill(&req->sqe, segs, n, &list) == 0 ? all : 0;
    }
    if (bytes == 0)
        return 0;
    n = trim(segs, bytes);
    return nvme_prp_fill(&req->sqe, segs, n, &list) == 0 ? bytes : 0;
}

static uint32_t describe_bounce(struct nvme_chan *chan, const struct hg_bdev_io *io,
                                struct nvme_req *req)
{
    uint64_t left = io->notes.total - io->notes.issued;
    uint32_t max = chan->ctrl->caps.max_bytes;
    struct nvme_list list = nvme_req_list(&chan->qp, req);
    struct nvme_seg seg;
    int rc;

    if (!take_bounce(chan, req))
        return 0;
    max = max < NVME_BOUNCE_BYTES ? max : NVME_BOUNCE_BYTES;
    seg.len = left < max ? (uint32_t)left : max;
    seg.iova = chan->bounce_iova + (uint64_t)req->bounce * NVME_BOUNCE_BYTES;
    if (io->op == HG_BDEV_WRITE)
        copy(io, io->notes.issued, bounce_of(chan, req), seg.len);
    rc = nvme_prp_fill(&req->sqe, &seg, 1, &list);
    assert(rc == 0);
    (void)rc;
    return seg.len;
}

static void put_req(struct nvme_chan *chan, struct nvme_req *req)
{
    if (req->bounce >= 0) {
        chan->free_bounces |= (uint16_t)(1u << req->bounce);
        req->bounce = -1;
    }
    nvme_req_put(&chan->qp, req);
}

/* Sets the command's blocks once its length is known. */
static void set_blocks(struct nvme_chan *chan, struct nvme_sqe *sqe, uint32_t bytes)
{
    uint32_t cdw12 = hg_le32_get(sqe->cdw12) & ~0xffffu;

    sqe->cdw12 = hg_le32_put(cdw12 | ((bytes >> chan->ctrl->ns.shift) - 1));
}

static uint32_t build_transfer(struct nvme_chan *chan, struct hg_bdev_io *io, struct nvme_req *req)
{
    struct nvme_lbas at = lbas_of(chan, io->offset + io->notes.issued, chan->base.dev->block);
    uint32_t bytes;

    if (io->op == HG_BDEV_READ)
        nvme_cmd_read(&req->sqe, &at);
    else
        nvme_cmd_write(&req->sqe, &at, io->fua);
    bytes = describe(chan, io, req);
    if (bytes == 0)
        bytes = describe_bounce(chan, io, req);
    if (bytes != 0) {
        set_blocks(chan, &req->sqe, bytes);
        advance(io, bytes);
    }
    return bytes;
}

static uint32_t build_zeroes(struct nvme_chan *chan, struct hg_bdev_io *io, struct nvme_req *req)
{
    uint64_t left = io->notes.total - io->notes.issued;
    uint64_t max = (uint64_t)chan->ctrl->caps.zeroes_max << chan->ctrl->ns.shift;
    uint64_t bytes = left < max ? left : max;
    struct nvme_lbas at = lbas_of(chan, io->offset + io->notes.issued, bytes);

    nvme_cmd_write_zeroes(&req->sqe, &at, io->fua);
    io->notes.issued += bytes;
    return (uint32_t)bytes;
}

static uint32_t build_dealloc(struct nvme_chan *chan, struct hg_bdev_io *io, struct nvme_req *req)
{
    uint64_t left = io->notes.total - io->notes.issued;
    uint64_t max = (uint64_t)chan->ctrl->caps.dealloc_max << chan->ctrl->ns.shift;
    uint64_t bytes = left < max ? left : max;
    struct nvme_lbas at = lbas_of(chan, io->offset + io->notes.issued, bytes);
    struct nvme_list list = nvme_req_list(&chan->qp, req);
    struct nvme_dsm_range *range = list.mem;

    *range = (struct nvme_dsm_range){.nlb = hg_le32_put(at.blocks), .slba = hg_le64_put(at.slba)};
    nvme_cmd_deallocate(&req->sqe, at.nsid, 1, list.iova);
    io->notes.issued += bytes;
    return 1;
}

/* One more part of the request; false when there is no tracker or no bounce buffer for it. */
static bool send_part(struct nvme_chan *chan, struct hg_bdev_io *io)
{
    struct nvme_req *req = nvme_req_get(&chan->qp);
    uint32_t bytes = 1;

    if (req == NULL)
        return false;
    req->owner = io;
    req->at = io->notes.issued;
    req->tries = 1;
    req->backs = req->lates = 0;
    if (io->op <= HG_BDEV_WRITE) {
        bytes = build_transfer(chan, io, req);
    } else if (io->op == HG_BDEV_FLUSH) {
        nvme_cmd_flush(&req->sqe, chan->ctrl->ns.nsid);
        req->at = chan->written;
        io->notes.issued = 1;
    } else if (io->op == HG_BDEV_WRITE_ZEROES) {
        bytes = build_zeroes(chan, io, req);
    } else {
        bytes = build_dealloc(chan, io, req);
    }
    if (bytes == 0) {
        put_req(chan, req);
        return false;
    }
    req->len = bytes;
    io->notes.parts++;
    nvme_qp_submit(&chan->qp, req, deadline_of(chan));
    return true;
}

static bool is_wide(const struct hg_bdev_io *io)
{
    return io->op > HG_BDEV_FLUSH;
}

/* Sends as much as there is room for; whether nothing is left to be queued. */
static bool issue(struct nvme_chan *chan, struct hg_bdev_io *io)
{
    while (io->status == 0 && io->notes.issued < io->notes.total) {
        if (is_wide(io) && io->notes.parts >= NVME_WIDE_PARTS)
            return true; /* each part that ends sends the next one */
        if (!send_part(chan, io))
            return false;
    }
    return true;
}

/* ---- parts that end ---- */

void nvme_io_end(struct nvme_chan *chan, struct nvme_req *req, int error)
{
    struct hg_bdev_io *io = req->owner;

    if (error != 0 && io->status == 0)
        io->status = error;
    if (req->bounce >= 0 && error == 0 && io->op == HG_BDEV_READ)
        copy(io, req->at, bounce_of(chan, req), req->len);
    put_req(chan, req);
    io->notes.parts--;
    if (is_wide(io) && !io->notes.queued)
        (void)issue(chan, io); /* the tracker that was just put back is there for it */
    if (io->notes.parts == 0 && !io->notes.queued)
        bdev_fifo_push(&chan->done, io);
}

void nvme_io_hold(struct nvme_chan *chan, struct nvme_req *req, hg_ns when)
{
    if (chan->held == NVME_NO_REQ || when < chan->retry_at)
        chan->retry_at = when;
    req->deadline = when;
    req->next = chan->held;
    chan->held = (uint16_t)(req - chan->qp.reqs);
}

void nvme_io_complain(struct nvme_chan *chan, const struct nvme_req *req, const char *text)
{
    static const char *const verb[HG_BDEV_OPS] = {"read", "write", "flush", "write zeroes",
                                                  "deallocate"};
    const struct hg_bdev_io *io = req->owner;

    hg_log_limited(&chan->limit, chan->base.now, HG_LOG_ERR, AREA,
                   "NVMe device %s: %s at byte %llu, try %u: %s", chan->ctrl->dev->name,
                   verb[io->op],
                   (unsigned long long)(io->offset + (io->op == HG_BDEV_FLUSH ? 0 : req->at)),
                   req->tries, text);
}

static void part_failed(struct nvme_chan *chan, struct nvme_req *req, uint16_t status)
{
    struct nvme_verdict v = nvme_status_verdict(status);
    unsigned before = req->tries - 1u;
    char text[120];

    snprintf(text, sizeof text, "%s (status type %u, code %02xh%s)", v.text,
             NVME_STATUS_SCT(status), NVME_STATUS_SC(status),
             (status & NVME_STATUS_DNR) != 0 ? ", do not retry" : "");
    nvme_io_complain(chan, req, text);
    bdev_count(chan->base.dev, v.kind);
    if (!v.retry || req->tries >= chan->ctrl->opts.tries) {
        nvme_io_end(chan, req, v.error);
        return;
    }
    bdev_count(chan->base.dev, HG_BDEV_ERR_RETRIED);
    req->tries++;
    nvme_io_hold(chan, req, chan->base.now + (hg_ns)before * before * NVME_RETRY_PAUSE);
}

/* What a completed command means for what is durable; 0 or the error it ends with after all. */
static int note_done(struct nvme_chan *chan, const struct nvme_req *req)
{
    const struct hg_bdev_io *io = req->owner;

    if (io->op == HG_BDEV_FLUSH) {
        if (chan->lost)
            return -EIO;
        if (req->at > chan->flushed) /* flushes may end in another order */
            chan->flushed = req->at;
    } else if (!io->fua && (io->op == HG_BDEV_WRITE || io->op == HG_BDEV_WRITE_ZEROES)) {
        chan->written++;
    }
    return 0;
}

void nvme_io_done(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe)
{
    struct nvme_chan *chan = HG_CONTAINER_OF(qp, struct nvme_chan, qp);
    uint16_t status = hg_le16_get(cqe->status) & (uint16_t)~NVME_CQE_PHASE;
    uint32_t cid = hg_le16_get(cqe->cid) + 1u;

    /* An abort nobody has sent yet would meet the next command of this number. */
    if (atomic_load_explicit(&chan->link.abort, memory_order_relaxed) == cid)
        (void)atomic_compare_exchange_strong(&chan->link.abort, &cid, 0);
    if (status == 0)
        nvme_io_end(chan, req, note_done(chan, req));
    else
        part_failed(chan, req, status);
}

/* ---- the channel ---- */

static bool is_live(const struct nvme_chan *chan)
{
    return atomic_load_explicit(&chan->ctrl->epoch, memory_order_acquire) == chan->live;
}

/* What the driver cannot do, or the device has not. */
static int check(const struct nvme_chan *chan, const struct hg_bdev_io *io)
{
    int rc = bdev_io_check(chan->base.dev, io);

    if (rc == 0 && io->op == HG_BDEV_WRITE_ZEROES && chan->ctrl->caps.zeroes_max == 0)
        rc = -EOPNOTSUPP;
    if (rc == 0 && io->op == HG_BDEV_DEALLOCATE && chan->ctrl->caps.dealloc_max == 0)
        rc = -EOPNOTSUPP;
    return rc;
}

static void take(struct nvme_chan *chan, struct hg_bdev_io *io, bool live)
{
    io->status = check(chan, io);
    io->notes = (struct hg_bdev_io_notes){.total = 1};
    if (io->op <= HG_BDEV_WRITE)
        io->notes.total = bdev_io_bytes(io);
    else if (io->op != HG_BDEV_FLUSH)
        io->notes.total = io->len;
    if (io->status != 0) {
        bdev_fifo_push(&chan->done, io);
    } else if (!live || chan->pending.head != NULL || !issue(chan, io)) {
        io->notes.queued = true;
        bdev_fifo_push(&chan->pending, io);
    }
}

unsigned nvme_io_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct nvme_chan *chan = nvme_chan_of(base);
    bool live = is_live(chan);

    if (base->in_flight == 0) /* nobody polls an idle channel: that is no gap */
        chan->next_scan = base->now + chan->ctrl->opts.io_timeout / 8;
    for (unsigned i = 0; i < n; i++)
        take(chan, ios[i], live);
    if (live)
        nvme_sq_ring(&chan->qp.sq);
    return n;
}

/* Those whose time has come. */
static void send_held(struct nvme_chan *chan)
{
    uint16_t at = chan->held;

    chan->held = NVME_NO_REQ;
    while (at != NVME_NO_REQ) {
        struct nvme_req *req = &chan->qp.reqs[at];

        at = req->next;
        if (chan->base.now >= req->deadline)
            nvme_qp_submit(&chan->qp, req, deadline_of(chan));
        else
            nvme_io_hold(chan, req, req->deadline);
    }
}

static void send_pending(struct nvme_chan *chan)
{
    while (chan->pending.head != NULL) {
        struct hg_bdev_io *io = chan->pending.head;

        if (!issue(chan, io))
            return;
        (void)bdev_fifo_pop(&chan->pending);
        io->notes.queued = false;
        if (io->notes.parts == 0)
            bdev_fifo_push(&chan->done, io);
    }
}

static void work(struct nvme_chan *chan, unsigned max)
{
    (void)nvme_qp_reap(&chan->qp, max);
    if (chan->qp.strays != chan->strays_seen) {
        __atomic_fetch_add(&chan->base.dev->errors[HG_BDEV_ERR_PROTOCOL],
                           chan->qp.strays - chan->strays_seen, __ATOMIC_RELAXED);
        chan->strays_seen = chan->qp.strays;
        nvme_ctrl_want_reset(chan->ctrl, "completed a command that was not in flight");
    }
    if (chan->held != NVME_NO_REQ && chan->base.now >= chan->retry_at)
        send_held(chan);
    if (chan->pending.head != NULL)
        send_pending(chan);
    /* What has been completed is not late, only not looked at yet. */
    if (chan->base.now >= chan->next_scan && nvme_cq_peek(&chan->qp.cq) == NULL)
        nvme_join_scan(chan);
    nvme_sq_ring(&chan->qp.sq);
}

unsigned nvme_io_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct nvme_chan *chan = nvme_chan_of(base);
    unsigned n = 0;

    if (!is_live(chan))
        nvme_join(chan);
    if (is_live(chan))
        work(chan, max);
    while (n < max && (done[n] = bdev_fifo_pop(&chan->done)) != NULL)
        n++;
    return n;
}
