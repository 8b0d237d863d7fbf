/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Submission and completion rings (base spec 3.3.1): post, ring the doorbell, take completions. Both
 * belong to one thread. Memory is the queue pair's (nvme_req.h); sizes are powers of two.
 *
 * Invariants
 *   1. The submission ring never overflows: whoever posts holds a tracker, and there is one tracker
 *      less than entries. So SQ head needs no look.
 *   2. Entries are complete in memory before the doorbell tells of them (nvme_sq_ring()), and nothing
 *      of a completion is read before its phase bit has turned (nvme_cq_peek()).
 *   3. An entry of the completion ring is given back by the doorbell only after it was read. The
 *      doorbell may lag by `lazy` entries: the ring has that many more than can be in flight.
 *   4. A doorbell is written once for a batch, and not at all when shadow doorbells say that the
 *      controller is awake (base spec 5.8, appendix B.5).
 */
#ifndef DRIVERS_BDEV_NVME_NVME_RING_H
#define DRIVERS_BDEV_NVME_NVME_RING_H

#include "nvme_spec.h"
#include <rte_atomic.h>
#include <stdbool.h>

/* One doorbell, with its shadow where the controller has them. */
struct nvme_bell {
    volatile uint32_t *reg;
    volatile uint32_t *shadow; /* NULL: none */
    /* The value whose passing the controller wants to be told; NULL: it is told always, as many
     * expect of the admin queue. */
    const volatile uint32_t *eventidx;
    uint64_t writes; /* of the register */
};

struct nvme_sq {
    struct nvme_sqe *entries;
    uint32_t tail; /* next to post */
    uint32_t rung; /* tail the controller knows */
    uint32_t mask; /* entries - 1 */
    struct nvme_bell bell;
};

struct nvme_cq {
    struct nvme_cqe *entries;
    uint32_t head;  /* next to look at */
    uint32_t rung;  /* head the controller knows */
    uint32_t mask;  /* entries - 1 */
    uint32_t lazy;  /* by how many entries the doorbell may lag */
    uint16_t phase; /* of entries not seen yet: 1 in the first lap */
    struct nvme_bell bell;
};

/* Has the step from `old` to `value` passed `event`? Doorbell values wrap at 16 bits. */
static inline bool nvme_bell_passed(uint32_t event, uint32_t value, uint32_t old)
{
    return (uint16_t)(value - event - 1) < (uint16_t)(value - old);
}

static inline void nvme_bell_ring(struct nvme_bell *bell, uint32_t value, uint32_t old)
{
    /* What the doorbell tells of must be seen before it: stores to memory before a store to the
     * device, or to the shadow. */
    rte_io_wmb();
    if (bell->shadow != NULL) {
        *bell->shadow = value;
        /* The shadow must be out before the event index is read, else both sides can sleep. */
        rte_mb();
        if (bell->eventidx != NULL && !nvme_bell_passed(*bell->eventidx, value, old))
            return;
    }
    *bell->reg = value;
    bell->writes++;
}

static inline void nvme_sq_post(struct nvme_sq *sq, const struct nvme_sqe *sqe)
{
    sq->entries[sq->tail] = *sqe;
    sq->tail = (sq->tail + 1) & sq->mask;
}

static inline void nvme_sq_ring(struct nvme_sq *sq)
{
    if (sq->tail == sq->rung)
        return;
    nvme_bell_ring(&sq->bell, sq->tail, sq->rung);
    sq->rung = sq->tail;
}

/* The next completion, or NULL. */
static inline const struct nvme_cqe *nvme_cq_peek(const struct nvme_cq *cq)
{
    const struct nvme_cqe *cqe = &cq->entries[cq->head];
    uint16_t status = *(const volatile uint16_t *)(const void *)&cqe->status;

    if ((status & NVME_CQE_PHASE) != cq->phase)
        return NULL;
    /* The phase bit is written last; the rest must not be read before it. */
    rte_io_rmb();
    return cqe;
}

static inline void nvme_cq_advance(struct nvme_cq *cq)
{
    cq->head = (cq->head + 1) & cq->mask;
    cq->phase ^= cq->head == 0;
}

/* idle: nothing is in flight, so the controller gets everything back. */
static inline void nvme_cq_ring(struct nvme_cq *cq, bool idle)
{
    uint32_t lag = (cq->head - cq->rung) & cq->mask;

    if (lag == 0 || (lag <= cq->lazy && !idle))
        return;
    nvme_bell_ring(&cq->bell, cq->head, cq->rung);
    cq->rung = cq->head;
}

#endif /* DRIVERS_BDEV_NVME_NVME_RING_H */
