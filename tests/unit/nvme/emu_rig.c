/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

void rig_open(struct rig *r, const struct nvme_emu_cfg *cfg)
{
    struct hg_err err = {""};

    memset(r, 0, sizeof *r);
    if (nvme_emu_open(cfg, &r->emu, &err) != 0)
        printf("%s\n", err.text);
    CU_ASSERT_FATAL(r->emu != NULL);
    r->dev = nvme_emu_dev(r->emu);
    r->dstrd = cfg->dstrd;
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        struct rig_queue *q = &r->q[i];

        q->size = RIG_ENTRIES;
        q->sq = r->dev->ops->dma_alloc(r->dev, 4096, &q->sq_iova);
        q->cq = r->dev->ops->dma_alloc(r->dev, 4096, &q->cq_iova);
        CU_ASSERT_FATAL(q->sq != NULL && q->cq != NULL);
    }
    r->data = r->dev->ops->dma_alloc(r->dev, RIG_DATA, &r->data_iova);
    CU_ASSERT_FATAL(r->data != NULL);
    rig_run(r);
}

void rig_close_dirty(struct rig *r)
{
    rig_write_cc(r, 0);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        r->dev->ops->dma_free(r->dev, r->q[i].sq, 4096);
        r->dev->ops->dma_free(r->dev, r->q[i].cq, 4096);
    }
    r->dev->ops->dma_free(r->dev, r->data, RIG_DATA);
    if (r->shadow != NULL) {
        r->dev->ops->dma_free(r->dev, r->shadow, 4096);
        r->dev->ops->dma_free(r->dev, r->eventidx, 4096);
    }
    r->dev->ops->close(r->dev);
    nvme_emu_close(r->emu);
}

void rig_close(struct rig *r)
{
    char text[256];

    if (nvme_emu_errors(r->emu, text, sizeof text) != 0)
        printf("errors of the driver: %s\n", text);
    CU_ASSERT(nvme_emu_errors(r->emu, NULL, 0) == 0);
    rig_close_dirty(r);
}

void rig_run(struct rig *r)
{
    unsigned idle = 0;

    /* With reordering a turn without work may be followed by one with some. */
    for (unsigned turns = 0; idle < 16; turns++) {
        CU_ASSERT_FATAL(turns < 100000);
        idle = nvme_emu_poll(r->emu, r->now) == 0 ? idle + 1 : 0;
    }
}

void rig_write_cc(struct rig *r, uint32_t cc)
{
    nvme_reg_write32(r->dev, NVME_REG_CC, cc);
    rig_run(r);
}

uint32_t rig_csts(struct rig *r)
{
    return nvme_reg_read32(r->dev, NVME_REG_CSTS);
}

static void queue_reset(struct rig_queue *q)
{
    q->tail = q->head = 0;
    q->phase = NVME_CQE_PHASE;
    memset(q->cq, 0, 4096);
}

void rig_set_admin(struct rig *r)
{
    queue_reset(&r->q[0]);
    nvme_reg_write32(r->dev, NVME_REG_AQA, (RIG_ENTRIES - 1) << 16 | (RIG_ENTRIES - 1));
    nvme_reg_write64(r->dev, NVME_REG_ASQ, r->q[0].sq_iova);
    nvme_reg_write64(r->dev, NVME_REG_ACQ, r->q[0].cq_iova);
}

void rig_enable(struct rig *r)
{
    rig_set_admin(r);
    rig_write_cc(r, NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES);
    CU_ASSERT_FATAL(rig_csts(r) == NVME_CSTS_RDY);
}

void rig_disable(struct rig *r)
{
    rig_write_cc(r, 0);
    CU_ASSERT(rig_csts(r) == 0);
}

uint16_t rig_create_queue(struct rig *r, unsigned qid)
{
    struct rig_queue *q = &r->q[qid];
    struct nvme_sqe *sqe =
        rig_admin(r, NVME_ADM_CREATE_CQ, (RIG_ENTRIES - 1) << 16 | qid, NVME_QUEUE_PC);
    uint16_t rc;

    queue_reset(q);
    sqe->dptr[0] = hg_le64_put(q->cq_iova);
    rc = rig_do(r, 0, sqe, NULL);
    if (rc != 0)
        return rc;
    sqe =
        rig_admin(r, NVME_ADM_CREATE_SQ, (RIG_ENTRIES - 1) << 16 | qid, qid << 16 | NVME_QUEUE_PC);
    sqe->dptr[0] = hg_le64_put(q->sq_iova);
    return rig_do(r, 0, sqe, NULL);
}

void rig_start(struct rig *r, const struct nvme_emu_cfg *cfg)
{
    rig_open(r, cfg);
    rig_enable(r);
    CU_ASSERT_FATAL(rig_create_queue(r, 1) == 0);
}

/* Base spec 5.8: the doorbell register is written when the event index lies in [old, value). */
static bool shadow_ring(struct rig *r, unsigned slot, uint32_t value)
{
    uint16_t old = (uint16_t)hg_le32_get(r->shadow[slot]);
    uint16_t event = (uint16_t)hg_le32_get(r->eventidx[slot]);

    r->shadow[slot] = hg_le32_put(value);
    return (uint16_t)(value - event - 1) < (uint16_t)(value - old);
}

void rig_ring(struct rig *r, unsigned qid, bool cq, uint32_t value)
{
    unsigned slot = 2 * qid + cq;

    if (r->shadow != NULL && qid != 0 && !shadow_ring(r, slot, value))
        return;
    nvme_reg_write32(r->dev, NVME_REG_DOORBELL + slot * (4u << r->dstrd), value);
}

uint16_t rig_put(struct rig *r, unsigned qid, const struct nvme_sqe *sqe)
{
    struct rig_queue *q = &r->q[qid];

    q->sq[q->tail] = *sqe;
    q->sq[q->tail].cid = hg_le16_put(++r->cid);
    q->tail = (q->tail + 1) % q->size;
    return r->cid;
}

uint16_t rig_send(struct rig *r, unsigned qid, const struct nvme_sqe *sqe)
{
    uint16_t cid = rig_put(r, qid, sqe);

    rig_ring(r, qid, false, r->q[qid].tail);
    return cid;
}

bool rig_reap(struct rig *r, unsigned qid, struct nvme_cqe *cqe)
{
    struct rig_queue *q = &r->q[qid];

    *cqe = q->cq[q->head];
    if ((hg_le16_get(cqe->status) & NVME_CQE_PHASE) != q->phase)
        return false;
    q->head = (q->head + 1) % q->size;
    if (q->head == 0)
        q->phase ^= NVME_CQE_PHASE;
    rig_ring(r, qid, true, q->head);
    return true;
}

uint16_t rig_status(const struct nvme_cqe *cqe)
{
    return hg_le16_get(cqe->status) & (uint16_t) ~(NVME_CQE_PHASE | 1u << 14);
}

uint16_t rig_do(struct rig *r, unsigned qid, const struct nvme_sqe *sqe, uint32_t *dw0)
{
    uint16_t cid = rig_send(r, qid, sqe);
    struct nvme_cqe cqe;

    rig_run(r);
    if (!rig_reap(r, qid, &cqe))
        return 0xffff;
    CU_ASSERT(hg_le16_get(cqe.cid) == cid && hg_le16_get(cqe.sqid) == qid);
    CU_ASSERT(hg_le16_get(cqe.sqhd) == r->q[qid].tail);
    if (dw0 != NULL)
        *dw0 = hg_le32_get(cqe.dw0);
    return rig_status(&cqe);
}

struct nvme_sqe *rig_admin(struct rig *r, uint8_t opc, uint32_t cdw10, uint32_t cdw11)
{
    r->sqe = (struct nvme_sqe){.opc = opc,
                               .cdw10 = hg_le32_put(cdw10),
                               .cdw11 = hg_le32_put(cdw11),
                               .dptr = {hg_le64_put(r->data_iova)}};
    return &r->sqe;
}

struct nvme_sqe *rig_rw(struct rig *r, uint8_t opc, uint64_t slba, uint32_t blocks)
{
    r->sqe = (struct nvme_sqe){.opc = opc,
                               .nsid = hg_le32_put(1),
                               .cdw10 = hg_le32_put((uint32_t)slba),
                               .cdw11 = hg_le32_put((uint32_t)(slba >> 32)),
                               .cdw12 = hg_le32_put(blocks - 1),
                               .dptr = {hg_le64_put(r->data_iova)}};
    return &r->sqe;
}

struct nvme_sqe *rig_flush(struct rig *r)
{
    r->sqe = (struct nvme_sqe){.opc = NVME_NVM_FLUSH, .nsid = hg_le32_put(1)};
    return &r->sqe;
}

struct nvme_emu_stats rig_stats(struct rig *r)
{
    struct nvme_emu_stats s;

    nvme_emu_stats(r->emu, &s);
    return s;
}
