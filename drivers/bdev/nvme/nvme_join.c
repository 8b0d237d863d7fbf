/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel's side of resets: it lets go when the controller stops, takes its commands back once the
 * controller reaches no memory, and asks for its queues again when it runs (nvme_ctrl.h, threads).
 */
#include "nvme_chan.h"
#include <errno.h>

/* ---- deadlines ---- */

void nvme_join_scan(struct nvme_chan *chan)
{
    hg_ns now = chan->base.now;
    struct nvme_req *req;
    unsigned at = 0;

    chan->next_scan = now + chan->ctrl->opts.io_timeout / 8;
    while ((req = nvme_qp_next_flight(&chan->qp, &at)) != NULL) {
        if (now < req->deadline)
            continue;
        if (req->state == NVME_REQ_ABORTING) {
            nvme_ctrl_want_reset(chan->ctrl, "did not answer a command, nor the abort of it");
            return;
        }
        if (atomic_load_explicit(&chan->link.abort, memory_order_relaxed) != 0)
            continue; /* one after the other: the next scan sees it again */
        bdev_count(chan->base.dev, HG_BDEV_ERR_TIMEOUT);
        req->state = NVME_REQ_ABORTING;
        req->deadline = now + chan->ctrl->opts.io_timeout;
        atomic_store_explicit(&chan->link.abort, req->cid + 1u, memory_order_release);
    }
}

/* ---- resets ---- */

/* Commands are held to be sent again, but for those that ran into their deadline too often. */
static void take_back(struct nvme_chan *chan)
{
    struct nvme_req *req;
    unsigned at = 0;

    while ((req = nvme_qp_next_flight(&chan->qp, &at)) != NULL) {
        bool late = req->state == NVME_REQ_ABORTING;

        nvme_qp_reclaim(&chan->qp, req);
        if (late && req->tries >= chan->ctrl->opts.tries) {
            nvme_io_end(chan, req, -ETIMEDOUT);
            continue;
        }
        req->tries = (uint8_t)(req->tries + late);
        bdev_count(chan->base.dev, HG_BDEV_ERR_RETRIED);
        nvme_io_hold(chan, req);
    }
    atomic_store(&chan->link.abort, 0);
    chan->live = NVME_NOT_LIVE;
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

static void start(struct nvme_chan *chan, uint32_t epoch)
{
    struct nvme_ctrl *ctrl = chan->ctrl;

    if (chan->link.shadow)
        nvme_qp_shadow(&chan->qp, ctrl->dbbuf, (const char *)ctrl->dbbuf + NVME_PAGE,
                       NVME_CAP_DSTRD(ctrl->cap));
    else
        nvme_qp_shadow(&chan->qp, NULL, NULL, 0);
    chan->live = epoch;
    chan->retry_at = 0;
}

static void join_running(struct nvme_chan *chan, uint32_t epoch)
{
    uint32_t state = atomic_load_explicit(&chan->link.state, memory_order_acquire);

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
    uint32_t epoch = atomic_load_explicit(&chan->ctrl->epoch, memory_order_acquire);
    uint32_t state = atomic_load_explicit(&chan->link.state, memory_order_acquire);

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
        join_running(chan, epoch);
        break;
    }
}
