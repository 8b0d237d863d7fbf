/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel's side of resets: it lets go when the controller stops, takes its commands back once the
 * controller reaches no memory, and asks for its queues again when it runs (nvme_ctrl.h, threads).
 */
#include "nvme_chan.h"
#include <errno.h>

/* ---- deadlines ---- */

/* How much time nobody looked, beyond what is usual: a process or a machine that was stopped. */
static hg_ns gap_of(const struct nvme_chan *chan)
{
    hg_ns late = chan->next_scan != 0 ? chan->base.now - chan->next_scan : 0;

    return late > HG_SEC(1) ? late : 0;
}

static void ask_abort(struct nvme_chan *chan, struct nvme_req *req)
{
    bdev_count(chan->base.dev, HG_BDEV_ERR_TIMEOUT);
    nvme_io_complain(chan, req, "no answer in time; it is aborted");
    req->state = NVME_REQ_ABORTING;
    req->deadline = chan->base.now + chan->ctrl->opts.io_timeout;
    atomic_store_explicit(&chan->link.abort, req->cid + 1u, memory_order_release);
}

void nvme_join_scan(struct nvme_chan *chan)
{
    hg_ns now = chan->base.now;
    hg_ns gap = gap_of(chan);
    struct nvme_req *req;
    unsigned at = 0;

    chan->next_scan = now + chan->ctrl->opts.io_timeout / 8;
    while ((req = nvme_qp_next_flight(&chan->qp, &at)) != NULL) {
        req->deadline += gap;
        if (now < req->deadline)
            continue;
        if (req->state == NVME_REQ_ABORTING)
            nvme_ctrl_want_reset(chan->ctrl, "did not answer a command, nor the abort of it");
        else if (atomic_load_explicit(&chan->link.abort, memory_order_relaxed) == 0)
            ask_abort(chan, req); /* one after the other: the next scan sees the others again */
    }
}

/* ---- resets ---- */

/* A command that is in flight in every reset may be what they come from, and one that is never
 * answered holds its request up for ever; so both have an end, before the device's own. */
static int given_up(const struct nvme_chan *chan, const struct nvme_req *req)
{
    if (req->lates >= NVME_LATE_MAX)
        return -ETIMEDOUT;
    return req->backs > chan->ctrl->opts.resets ? -EIO : 0;
}

static void take_back(struct nvme_chan *chan)
{
    struct nvme_req *req;
    unsigned at = 0;

    chan->live = NVME_NOT_LIVE;
    while ((req = nvme_qp_next_flight(&chan->qp, &at)) != NULL) {
        int error;

        req->lates = (uint8_t)(req->lates + (req->state == NVME_REQ_ABORTING));
        req->backs++;
        nvme_qp_reclaim(&chan->qp, req);
        error = given_up(chan, req);
        if (error != 0) {
            nvme_io_complain(chan, req, "it is given up after several resets");
            nvme_io_end(chan, req, error);
            continue;
        }
        bdev_count(chan->base.dev, HG_BDEV_ERR_RETRIED);
        nvme_io_hold(chan, req, 0);
    }
    atomic_store(&chan->link.abort, 0);
}

static void fail_all(struct nvme_chan *chan)
{
    int error = atomic_load(&chan->ctrl->dead_errno);
    struct hg_bdev_io *io;

    take_back(chan);
    while (chan->held != NVME_NO_REQ) {
        struct nvme_req *req = &chan->qp.reqs[chan->held];

        chan->held = req->next;
        nvme_io_end(chan, req, error);
    }
    while ((io = bdev_fifo_pop(&chan->pending)) != NULL) {
        io->notes.queued = false;
        if (io->status == 0)
            io->status = error;
        bdev_fifo_push(&chan->done, io);
    }
}

static void set_link(struct nvme_chan *chan, enum nvme_link_state state)
{
    atomic_store_explicit(&chan->link.state, (uint32_t)state, memory_order_release);
}

/* The device's cache was lost: whether that matters depends on what we have written. */
static void look_for_losses(struct nvme_chan *chan)
{
    uint32_t losses = atomic_load(&chan->ctrl->losses);

    if (losses != chan->losses_seen && chan->written != chan->flushed)
        chan->lost = true;
    chan->losses_seen = losses;
}

static void start(struct nvme_chan *chan, uint32_t epoch)
{
    struct nvme_ctrl *ctrl = chan->ctrl;

    look_for_losses(chan);
    if (chan->link.shadow)
        nvme_qp_shadow(&chan->qp, ctrl->dbbuf, (const char *)ctrl->dbbuf + NVME_PAGE,
                       NVME_CAP_DSTRD(ctrl->cap));
    else
        nvme_qp_shadow(&chan->qp, NULL, NULL, 0);
    chan->live = epoch;
    chan->next_scan = chan->base.now + ctrl->opts.io_timeout / 8;
}

static void join_running(struct nvme_chan *chan, uint32_t epoch, uint32_t state)
{
    if (state == NVME_LINK_LIVE) {
        if (atomic_load_explicit(&chan->link.joined, memory_order_relaxed) == epoch) {
            start(chan, epoch);
            return;
        }
        /* A reset has come and gone since; what was in flight died with it. */
        take_back(chan);
        state = NVME_LINK_OUT;
    }
    if (state == NVME_LINK_OUT) {
        nvme_qp_rewind(&chan->qp);
        set_link(chan, NVME_LINK_WANT);
    } else if (state == NVME_LINK_REFUSED && chan->base.in_flight != 0) {
        set_link(chan, NVME_LINK_OUT);
        nvme_ctrl_want_reset(chan->ctrl, "does not create a queue again");
    }
}

void nvme_join(struct nvme_chan *chan)
{
    /* In this order: a state that is older than the epoch is an old one, and is taken for that; an
     * epoch that is older than the state would make queues of today look like those of yesterday. */
    uint32_t state = atomic_load_explicit(&chan->link.state, memory_order_acquire);
    uint32_t epoch = atomic_load_explicit(&chan->ctrl->epoch, memory_order_acquire);

    atomic_store_explicit(&chan->link.acked, epoch, memory_order_release);
    switch (NVME_EPOCH_PHASE(epoch)) {
    case NVME_STOPPING:
        break;
    case NVME_DOWN:
        if (state == NVME_LINK_LIVE) {
            take_back(chan);
            set_link(chan, NVME_LINK_OUT);
        }
        break;
    case NVME_DEAD:
        fail_all(chan);
        break;
    case NVME_RUN:
        join_running(chan, epoch, state);
        break;
    }
}
