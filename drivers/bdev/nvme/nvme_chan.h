/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel: one shard's queue pair on the namespace. A request becomes parts, each one command with
 * one tracker.
 *
 * Invariants
 *   1. A request is on exactly one of: `pending` (notes.queued), the device or `held` (notes.parts
 *      > 0) or both of these, `done`. It goes to `done` when neither is left, once.
 *   2. The first error of a part is the request's; parts not yet sent are then not sent.
 *   3. A part that waits to be sent again keeps its tracker (list `held`), so that a reset needs no
 *      memory. A bounce buffer belongs to its part until the part ends.
 *   4. `live` is the epoch in which the queues exist; rings and doorbells are touched only while the
 *      controller's epoch equals it.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_CHAN_H
#define DRIVERS_BDEV_NVME_NVME_CHAN_H

#include "../bdev_impl.h"
#include "nvme_ctrl.h"

#define NVME_NOT_LIVE 1u /* no epoch in which anybody works: generation 0, stopping */
#define NVME_BOUNCES 8u
#define NVME_BOUNCE_BYTES (128u << 10)
#define NVME_SEGS_MAX HG_BDEV_IOV_MAX
#define NVME_NO_REQ UINT16_MAX
#define NVME_RETRY_PAUSE HG_MS(100) /* times the square of tries so far, less one */
#define NVME_LATE_MAX 2u            /* times a part may outlive its abort */
#define NVME_WIDE_PARTS 2u /* parts of one write zeroes or deallocate at a time: they take long */

struct nvme_bdev {
    struct hg_bdev base;
    struct nvme_ctrl ctrl;
};

struct nvme_chan {
    struct hg_bdev_chan base;
    struct nvme_ctrl *ctrl;
    uint32_t live;
    uint16_t held;         /* first tracker of the list, NVME_NO_REQ: none */
    uint16_t free_bounces; /* bits */
    struct bdev_fifo pending, done;
    struct hg_arena_region mem; /* registered memory; len 0: none */
    uint64_t mem_iova;
    uint8_t *bounce;
    uint64_t bounce_iova;
    hg_ns next_scan; /* of deadlines */
    hg_ns retry_at;  /* when the first of `held` is sent; each has its time in `deadline` */
    /* Writes completed without FUA, and how many of them a flush has covered. When the device may have
     * lost its cache while they differ, `lost` is set for good: flushes fail from then on. */
    uint64_t written, flushed;
    uint32_t losses_seen;
    bool lost;
    uint64_t strays_seen;
    struct nvme_qp qp;
    struct nvme_link link;
    struct hg_log_limit limit;
};

static inline struct nvme_chan *nvme_chan_of(struct hg_bdev_chan *base)
{
    return HG_CONTAINER_OF(base, struct nvme_chan, base);
}

/* ---- nvme_io.c: requests while the channel is live ---- */

unsigned nvme_io_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n);
unsigned nvme_io_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max);
/* The queue pair's completion function. */
void nvme_io_done(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe);
/* A part has ended; error: 0 or what it failed with. */
void nvme_io_end(struct nvme_chan *chan, struct nvme_req *req, int error);
/* A part that was taken back waits to be sent again, at the earliest at `when`. */
void nvme_io_hold(struct nvme_chan *chan, struct nvme_req *req, hg_ns when);
/* Log line about a part; limited. */
void nvme_io_complain(struct nvme_chan *chan, const struct nvme_req *req, const char *text);

/* ---- nvme_join.c: deadlines, and everything when the channel is not live ---- */

/* Goes on with what the controller is doing, without waiting. */
void nvme_join(struct nvme_chan *chan);
/* Looks for commands past their deadline; every eighth of the time-out. */
void nvme_join_scan(struct nvme_chan *chan);

#endif /* DRIVERS_BDEV_NVME_NVME_CHAN_H */
