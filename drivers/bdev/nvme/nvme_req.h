/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs and their trackers: what is known of each command in flight.
 *
 * A command identifier is a tracker's index and a generation that changes whenever the tracker is
 * given back, so that a completion that comes twice or late is told from that of the command which
 * has the tracker now. Numbers from the device are checked before they are used: index against the
 * table, the whole identifier against the tracker, the queue number against the pair's. What fits
 * nothing is counted in `strays` and otherwise left alone; the owner resets a controller that does
 * such things.
 *
 *   free --nvme_req_get()--> held --nvme_qp_submit()--> in flight --nvme_qp_reap()--> held
 *   held --nvme_req_put()--> free            in flight --nvme_qp_reclaim()--> held
 *
 * A queue pair belongs to one thread from nvme_qp_alloc() to nvme_qp_free(), except that the
 * controller's side reads its addresses to create the queues.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_REQ_H
#define DRIVERS_BDEV_NVME_NVME_REQ_H

#include "nvme_cmd.h"
#include "nvme_dev.h"
#include "nvme_ring.h"

#define NVME_CID_INDEX_BITS 10u
#define NVME_QP_REQS_MAX ((1u << NVME_CID_INDEX_BITS) - 1u) /* entries are one more */
#define NVME_CID_GENERATIONS 63u /* of 64: identifier FFFFh is never used (base spec 3.3.3.1) */

enum nvme_req_state { NVME_REQ_FREE, NVME_REQ_HELD, NVME_REQ_FLIGHT, NVME_REQ_ABORTING };

/* The first cache line is the command as it goes out; it is kept to send it again. */
struct nvme_req {
    struct nvme_sqe sqe;
    hg_ns deadline; /* of the command in flight */
    void *owner;
    uint64_t at;    /* the owner's: offset of this part within its request, bytes */
    uint32_t len;   /* the owner's: bytes of this part */
    uint16_t cid;   /* of now */
    uint8_t state;  /* enum nvme_req_state */
    uint8_t tries;  /* the owner's: how often it was sent again */
    int16_t bounce; /* the owner's: bounce buffer, or -1 */
    uint16_t next;  /* the owner's: list of held trackers */
    uint8_t kind;   /* the owner's */
    uint8_t backs;  /* the owner's: times it was taken back by resets */
    uint8_t lates;  /* the owner's: of these, after its time was over */
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct nvme_req) == 128, "two cache lines");

struct nvme_qp;
/* A command in flight was completed; its tracker is held by the callee from now on. */
typedef void (*nvme_done_fn)(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe);

struct nvme_qp {
    struct nvme_sq sq;
    struct nvme_cq cq;
    struct nvme_req *reqs;
    uint16_t *free; /* stack of indices */
    unsigned n_free;
    unsigned n_reqs;   /* 1..NVME_QP_REQS_MAX */
    unsigned n_flight; /* in flight, being aborted ones included */
    uint16_t qid;
    nvme_done_fn done;
    uint64_t strays;        /* completions that fit no command in flight */
    struct nvme_list lists; /* one page for each tracker */
    /* For creating the queues and freeing the memory. */
    struct nvme_dev *dev;
    uint64_t sq_iova, cq_iova;
};

struct nvme_qp_cfg {
    uint16_t qid;
    uint32_t entries;    /* of the submission queue: a power of two, 2..NVME_QP_REQS_MAX + 1 */
    uint32_t cq_entries; /* entries or twice as many */
    unsigned dstrd;      /* CAP.DSTRD */
    bool lists;          /* a page for PRPs with each tracker */
    nvme_done_fn done;
};

/* 0, -ENOMEM, -ERANGE when the doorbells lie outside of the registers. */
int nvme_qp_alloc(struct nvme_qp *qp, struct nvme_dev *dev, const struct nvme_qp_cfg *cfg);
/* The controller must not know the queues any more. Also after a failed nvme_qp_alloc(). */
void nvme_qp_free(struct nvme_qp *qp);
/* Rings as new, before the controller creates the queues (again). Trackers are not touched. */
void nvme_qp_rewind(struct nvme_qp *qp);
/* Shadow doorbells: pages as in nvme_cmd_dbbuf(), or NULL for none; without event indices the
 * registers are rung always. */
void nvme_qp_shadow(struct nvme_qp *qp, void *shadow, const void *eventidx, unsigned dstrd);

/* A tracker, or NULL when all are used. */
static inline struct nvme_req *nvme_req_get(struct nvme_qp *qp)
{
    struct nvme_req *req;

    if (qp->n_free == 0)
        return NULL;
    req = &qp->reqs[qp->free[--qp->n_free]];
    req->state = NVME_REQ_HELD;
    return req;
}

/* The list page that belongs to the tracker. */
static inline struct nvme_list nvme_req_list(const struct nvme_qp *qp, const struct nvme_req *req)
{
    size_t at = (size_t)(req - qp->reqs) * NVME_PAGE;

    return (struct nvme_list){(char *)qp->lists.mem + at, qp->lists.iova + at, 1};
}

void nvme_req_put(struct nvme_qp *qp, struct nvme_req *req);

/* Sends the command of a held tracker; nvme_sq_ring() tells the controller. */
static inline void nvme_qp_submit(struct nvme_qp *qp, struct nvme_req *req, hg_ns deadline)
{
    req->sqe.cid = hg_le16_put(req->cid);
    req->deadline = deadline;
    req->state = NVME_REQ_FLIGHT;
    qp->n_flight++;
    nvme_sq_post(&qp->sq, &req->sqe);
}

/* Hands up to max completions to qp->done and returns how many there were, strays included. */
unsigned nvme_qp_reap(struct nvme_qp *qp, unsigned max);

/* The next tracker from index *at on that is in flight, or NULL; *at goes on behind it. */
struct nvme_req *nvme_qp_next_flight(struct nvme_qp *qp, unsigned *at);

/* Takes a command in flight back from a controller that is disabled or gone: its tracker is held and
 * has a new identifier. */
void nvme_qp_reclaim(struct nvme_qp *qp, struct nvme_req *req);

#endif /* DRIVERS_BDEV_NVME_NVME_REQ_H */
