/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue pairs and trackers; nvme_req.h has the rules. */
#include "nvme_req.h"
#include <assert.h>
#include <errno.h>
#include <rte_prefetch.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

static volatile uint32_t *doorbell(const struct nvme_dev *dev, unsigned index, unsigned dstrd)
{
    size_t at = NVME_REG_DOORBELL + ((size_t)index * 4 << dstrd);

    if (at + 4 > dev->regs_len)
        return NULL;
    return (volatile uint32_t *)((volatile char *)dev->regs + at);
}

/* base spec 3.1.2 (doorbells): SQ y tail is number 2y, CQ y head 2y + 1. */
static int find_doorbells(struct nvme_qp *qp, unsigned dstrd)
{
    qp->sq.bell.reg = doorbell(qp->dev, 2u * qp->qid, dstrd);
    qp->cq.bell.reg = doorbell(qp->dev, 2u * qp->qid + 1, dstrd);
    return qp->sq.bell.reg != NULL && qp->cq.bell.reg != NULL ? 0 : -ERANGE;
}

static size_t whole_pages(size_t len)
{
    return (len + NVME_PAGE - 1) / NVME_PAGE * NVME_PAGE;
}

static size_t sq_bytes(const struct nvme_qp *qp)
{
    return whole_pages(((size_t)qp->sq.mask + 1) * sizeof(struct nvme_sqe));
}

static size_t cq_bytes(const struct nvme_qp *qp)
{
    return whole_pages(((size_t)qp->cq.mask + 1) * sizeof(struct nvme_cqe));
}

static int alloc_trackers(struct nvme_qp *qp, bool lists)
{
    size_t bytes = (size_t)qp->n_reqs * sizeof *qp->reqs;

    qp->reqs = aligned_alloc(sizeof *qp->reqs, bytes);
    qp->free = calloc(qp->n_reqs, sizeof *qp->free);
    if (qp->reqs == NULL || qp->free == NULL)
        return -ENOMEM;
    memset(qp->reqs, 0, bytes);
    for (unsigned i = 0; i < qp->n_reqs; i++) {
        qp->reqs[i].cid = (uint16_t)i;
        qp->reqs[i].bounce = -1;
        qp->free[qp->n_free++] = (uint16_t)(qp->n_reqs - 1 - i);
    }
    if (lists) {
        qp->lists.pages = qp->n_reqs;
        qp->lists.mem =
            qp->dev->ops->dma_alloc(qp->dev, (size_t)qp->n_reqs * NVME_PAGE, &qp->lists.iova);
        if (qp->lists.mem == NULL)
            return -ENOMEM;
    }
    return 0;
}

int nvme_qp_alloc(struct nvme_qp *qp, struct nvme_dev *dev, const struct nvme_qp_cfg *cfg)
{
    int rc;

    assert(cfg->entries >= 2 && cfg->entries <= NVME_QP_REQS_MAX + 1);
    assert((cfg->entries & (cfg->entries - 1)) == 0);
    assert(cfg->cq_entries == cfg->entries || cfg->cq_entries == 2 * cfg->entries);
    memset(qp, 0, sizeof *qp);
    qp->dev = dev;
    qp->qid = cfg->qid;
    qp->done = cfg->done;
    qp->n_reqs = cfg->entries - 1;
    qp->sq.mask = cfg->entries - 1;
    qp->cq.mask = cfg->cq_entries - 1;
    /* Invariant 3 of nvme_ring.h: what is in flight and what lags behind fit together. */
    qp->cq.lazy = cfg->cq_entries > cfg->entries ? cfg->entries / 2 : 0;
    rc = find_doorbells(qp, cfg->dstrd);
    if (rc != 0)
        return rc;
    qp->sq.entries = dev->ops->dma_alloc(dev, sq_bytes(qp), &qp->sq_iova);
    qp->cq.entries = dev->ops->dma_alloc(dev, cq_bytes(qp), &qp->cq_iova);
    if (qp->sq.entries == NULL || qp->cq.entries == NULL)
        return -ENOMEM;
    nvme_qp_rewind(qp);
    return alloc_trackers(qp, cfg->lists);
}

void nvme_qp_free(struct nvme_qp *qp)
{
    if (qp->dev == NULL)
        return;
    if (qp->lists.mem != NULL)
        qp->dev->ops->dma_free(qp->dev, qp->lists.mem, (size_t)qp->lists.pages * NVME_PAGE);
    if (qp->cq.entries != NULL)
        qp->dev->ops->dma_free(qp->dev, qp->cq.entries, cq_bytes(qp));
    if (qp->sq.entries != NULL)
        qp->dev->ops->dma_free(qp->dev, qp->sq.entries, sq_bytes(qp));
    free(qp->free);
    free(qp->reqs);
    memset(qp, 0, sizeof *qp);
}

void nvme_qp_rewind(struct nvme_qp *qp)
{
    memset(qp->cq.entries, 0, cq_bytes(qp)); /* no phase bit of an earlier life */
    qp->sq.tail = qp->sq.rung = 0;
    qp->cq.head = qp->cq.rung = 0;
    qp->cq.phase = 1;
}

static void set_shadow(struct nvme_bell *bell, void *shadow, const void *eventidx, size_t at)
{
    bell->shadow = NULL;
    bell->eventidx = NULL;
    if (shadow != NULL)
        bell->shadow = (volatile uint32_t *)(void *)((char *)shadow + at);
    if (shadow != NULL && eventidx != NULL)
        bell->eventidx = (const volatile uint32_t *)(const void *)((const char *)eventidx + at);
}

void nvme_qp_shadow(struct nvme_qp *qp, void *shadow, const void *eventidx, unsigned dstrd)
{
    size_t sq = (size_t)2 * qp->qid * 4 << dstrd;
    size_t cq = ((size_t)2 * qp->qid + 1) * 4 << dstrd;

    /* One page holds the doorbells of so many queues; those beyond it ring the register. */
    if (cq + 4 > NVME_PAGE)
        shadow = NULL;
    set_shadow(&qp->sq.bell, shadow, eventidx, sq);
    set_shadow(&qp->cq.bell, shadow, eventidx, cq);
    if (shadow != NULL) {
        *qp->sq.bell.shadow = qp->sq.rung;
        *qp->cq.bell.shadow = qp->cq.rung;
    }
}

/* ---- trackers ---- */

static void renew_cid(struct nvme_req *req)
{
    unsigned index = req->cid & NVME_QP_REQS_MAX;
    unsigned generation = (req->cid >> NVME_CID_INDEX_BITS) + 1u;

    req->cid = (uint16_t)(generation % NVME_CID_GENERATIONS << NVME_CID_INDEX_BITS | index);
}

void nvme_req_put(struct nvme_qp *qp, struct nvme_req *req)
{
    assert(req->state == NVME_REQ_HELD);
    req->state = NVME_REQ_FREE;
    qp->free[qp->n_free++] = (uint16_t)(req - qp->reqs);
}

struct nvme_req *nvme_qp_next_flight(struct nvme_qp *qp, unsigned *at)
{
    while (*at < qp->n_reqs) {
        struct nvme_req *req = &qp->reqs[(*at)++];

        if (req->state >= NVME_REQ_FLIGHT)
            return req;
    }
    return NULL;
}

void nvme_qp_reclaim(struct nvme_qp *qp, struct nvme_req *req)
{
    assert(req->state >= NVME_REQ_FLIGHT);
    req->state = NVME_REQ_HELD;
    renew_cid(req);
    qp->n_flight--;
}

/* The tracker a completion speaks of, or NULL. */
static struct nvme_req *find_req(struct nvme_qp *qp, const struct nvme_cqe *cqe)
{
    uint16_t cid = hg_le16_get(cqe->cid);
    unsigned index = cid & NVME_QP_REQS_MAX;
    struct nvme_req *req;

    if (index >= qp->n_reqs || hg_le16_get(cqe->sqid) != qp->qid)
        return NULL;
    req = &qp->reqs[index];
    return req->cid == cid && req->state >= NVME_REQ_FLIGHT ? req : NULL;
}

unsigned nvme_qp_reap(struct nvme_qp *qp, unsigned max)
{
    const struct nvme_cqe *cqe;
    unsigned n = 0;

    while (n < max && (cqe = nvme_cq_peek(&qp->cq)) != NULL) {
        struct nvme_req *req = find_req(qp, cqe);
        struct nvme_cqe copy = *cqe;

        nvme_cq_advance(&qp->cq);
        n++;
        if (req == NULL) {
            qp->strays++;
            continue;
        }
        /* The next completion's tracker while this one is worked on. */
        rte_prefetch0(&qp->reqs[hg_le16_get(qp->cq.entries[qp->cq.head].cid) & qp->sq.mask]);
        nvme_qp_reclaim(qp, req);
        qp->done(qp, req, &copy);
    }
    if (n != 0)
        nvme_cq_ring(&qp->cq, qp->n_flight == 0);
    return n;
}
