/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands of the emulated controller (base spec 5): queues, features, abort, asynchronous event
 * request, doorbell buffer config. Each function does its checks in the order of the specification's
 * text and changes nothing when one of them fails.
 */
#include "nvme_emu_impl.h"

#define FEATURE_SELECT(cdw10) ((cdw10) >> 8 & 0x7)
#define FEATURE_SAVE (1u << 31)
#define FEATURE_CHANGEABLE (1u << 2)

static uint32_t cdw10(const struct emu_req *req)
{
    return hg_le32_get(req->sqe.cdw10);
}

static uint32_t cdw11(const struct emu_req *req)
{
    return hg_le32_get(req->sqe.cdw11);
}

/* ---- queues: 5.4 to 5.7 ---- */

static bool io_qid(const struct nvme_emu *emu, unsigned qid)
{
    return qid != 0 && qid <= emu->queues;
}

/* What both queue creations check of their size and memory. CC.IOSQES and IOCQES have to be set
 * before (3.1.3.5). */
static uint16_t queue_memory(const struct nvme_emu *emu, const struct emu_req *req, uint32_t sizes)
{
    uint32_t entries = (cdw10(req) >> 16) + 1;

    if (entries < 2 || entries > emu->cfg.entries_max || (emu->cc & sizes) != sizes)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE);
    if ((cdw11(req) & NVME_QUEUE_PC) == 0) /* CAP.CQR */
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    if (hg_le64_get(req->sqe.dptr[0]) % emu->page != 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
    return EMU_OK;
}

static uint16_t create_cq(struct nvme_emu *emu, struct emu_req *req)
{
    unsigned qid = cdw10(req) & 0xffff;
    uint16_t rc;

    if (!io_qid(emu, qid) || emu->cq[qid] != NULL)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QID);
    rc = queue_memory(emu, req, NVME_CC_IOCQES);
    if (rc != EMU_OK)
        return rc;
    if (cdw11(req) >> 16 != 0) /* there are no interrupts, hence only vector 0 */
        return EMU_SPECIFIC_DNR(EMU_SCS_INVALID_VECTOR);
    emu->cq[qid] = emu_cq_new((uint16_t)qid, (cdw10(req) >> 16) + 1, hg_le64_get(req->sqe.dptr[0]));
    return emu->cq[qid] != NULL ? EMU_OK : EMU_GENERIC(NVME_SC_INTERNAL);
}

static uint16_t create_sq(struct nvme_emu *emu, struct emu_req *req)
{
    unsigned qid = cdw10(req) & 0xffff;
    unsigned cqid = cdw11(req) >> 16;
    uint16_t rc;

    if (!io_qid(emu, qid) || emu->sq[qid] != NULL)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QID);
    if (cqid == 0 || cqid > emu->queues)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QID);
    if (emu->cq[cqid] == NULL)
        return EMU_SPECIFIC_DNR(EMU_SCS_INVALID_CQ);
    rc = queue_memory(emu, req, NVME_CC_IOSQES);
    if (rc != EMU_OK)
        return rc;
    emu->sq[qid] = emu_sq_new(emu, (uint16_t)qid, emu->cq[cqid]);
    if (emu->sq[qid] == NULL)
        return EMU_GENERIC(NVME_SC_INTERNAL);
    emu->sq[qid]->size = (cdw10(req) >> 16) + 1;
    emu->sq[qid]->iova = hg_le64_get(req->sqe.dptr[0]);
    return EMU_OK;
}

static uint16_t delete_sq(struct nvme_emu *emu, const struct emu_req *req)
{
    unsigned qid = cdw10(req) & 0xffff;

    if (qid == 0 || qid > emu->cfg.queues || emu->sq[qid] == NULL)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QID);
    emu_sq_delete(emu, emu->sq[qid], true);
    return EMU_OK;
}

static uint16_t delete_cq(struct nvme_emu *emu, const struct emu_req *req)
{
    unsigned qid = cdw10(req) & 0xffff;

    if (qid == 0 || qid > emu->cfg.queues || emu->cq[qid] == NULL)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QID);
    if (emu->cq[qid]->sqs != 0)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_QUEUE_DELETION);
    emu_cq_delete(emu, emu->cq[qid]);
    return EMU_OK;
}

static bool have_io_queues(const struct nvme_emu *emu)
{
    for (unsigned qid = 1; qid <= NVME_EMU_QUEUES_MAX; qid++) {
        if (emu->sq[qid] != NULL || emu->cq[qid] != NULL)
            return true;
    }
    return false;
}

/* ---- features: 5.15, 5.27 ---- */

static uint32_t queues_dword(unsigned queues)
{
    return (queues - 1) | (queues - 1) << 16;
}

/* One number for both kinds: the smaller of what was asked for, within what there is. */
static uint16_t set_queues(struct nvme_emu *emu, struct emu_req *req)
{
    unsigned nsq = cdw11(req) & 0xffff;
    unsigned ncq = cdw11(req) >> 16;
    unsigned n = (nsq < ncq ? nsq : ncq) + 1;

    if (have_io_queues(emu)) /* 5.27.1.5 */
        return EMU_GENERIC_DNR(EMU_SC_COMMAND_SEQUENCE);
    if (nsq == 0xffff || ncq == 0xffff)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    emu->queues = n < emu->cfg.queues ? n : emu->cfg.queues;
    req->dw0 = queues_dword(emu->queues);
    return EMU_OK;
}

static uint16_t set_features(struct nvme_emu *emu, struct emu_req *req)
{
    if ((cdw10(req) & FEATURE_SAVE) != 0)
        return EMU_SPECIFIC_DNR(EMU_SCS_NOT_SAVEABLE);
    switch (cdw10(req) & 0xff) {
    case NVME_FEAT_VWC:
        if (!emu->cfg.vwc)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
        emu->vwc_on = (cdw11(req) & 1) != 0;
        if (!emu->vwc_on)
            emu_medium_flush(emu, NULL, UINT64_MAX);
        return EMU_OK;
    case NVME_FEAT_NUM_QUEUES:
        return set_queues(emu, req);
    case NVME_FEAT_ASYNC_EVENT:
        emu->aec = cdw11(req);
        return EMU_OK;
    default:
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    }
}

static uint16_t get_features(struct nvme_emu *emu, struct emu_req *req)
{
    unsigned select = FEATURE_SELECT(cdw10(req));
    uint32_t now;
    uint32_t at_start; /* also what is saved: nothing can be */

    switch (cdw10(req) & 0xff) {
    case NVME_FEAT_VWC:
        if (!emu->cfg.vwc)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
        now = emu->vwc_on;
        at_start = 1;
        break;
    case NVME_FEAT_NUM_QUEUES:
        now = queues_dword(emu->queues);
        at_start = queues_dword(emu->cfg.queues);
        break;
    case NVME_FEAT_ASYNC_EVENT:
        now = emu->aec;
        at_start = 0;
        break;
    default:
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    }
    if (select > 3)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    req->dw0 = select == 0 ? now : select == 3 ? FEATURE_CHANGEABLE : at_start;
    return EMU_OK;
}

/* ---- the rest ---- */

/* 5.1: DW0 bit 0 tells that the command was not aborted. */
static uint16_t abort_command(struct nvme_emu *emu, struct emu_req *req)
{
    unsigned sqid = cdw10(req) & 0xffff;
    uint16_t cid = (uint16_t)(cdw10(req) >> 16);

    if (sqid > emu->cfg.queues || emu->sq[sqid] == NULL)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    req->dw0 = emu->mood.never_aborts || !emu_abort(emu, emu->sq[sqid], cid);
    return EMU_OK;
}

static uint16_t async_event(struct nvme_emu *emu, struct emu_req *req)
{
    if (emu->n_events > emu->cfg.aerl)
        return EMU_SPECIFIC_DNR(NVME_SCS_AER_LIMIT);
    emu->n_events++;
    emu_list_push(&emu->events, req);
    emu_events_report(emu);
    return EMU_NO_COMPLETION;
}

/* 5.8: both pages begin with what the queues have now. */
static uint16_t dbbuf_config(struct nvme_emu *emu, const struct emu_req *req)
{
    uint64_t shadow = hg_le64_get(req->sqe.dptr[0]);
    uint64_t eventidx = hg_le64_get(req->sqe.dptr[1]);
    size_t len = (size_t)(2 * (emu->cfg.queues + 1)) * (4u << emu->cfg.dstrd);
    size_t stride = (size_t)1 << emu->cfg.dstrd;
    uint32_t *tails;
    uint32_t *indices;

    if (!emu->cfg.dbbuf)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    if (shadow == 0 || eventidx == 0 || (shadow | eventidx) % emu->page != 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    tails = emu_at(emu, shadow, len);
    indices = emu_at(emu, eventidx, len);
    if (tails == NULL || indices == NULL)
        return EMU_GENERIC(NVME_SC_DATA_TRANSFER_ERROR);
    for (unsigned qid = 1; qid <= emu->cfg.queues; qid++) {
        uint32_t tail = emu->sq[qid] != NULL ? emu->sq[qid]->tail : 0;
        uint32_t head = emu->cq[qid] != NULL ? emu->cq[qid]->head : 0;

        tails[2 * qid * stride] = indices[2 * qid * stride] = tail;
        tails[(2 * qid + 1) * stride] = indices[(2 * qid + 1) * stride] = head;
    }
    emu->shadow = shadow;
    emu->eventidx = eventidx;
    return EMU_OK;
}

uint16_t emu_admin(struct nvme_emu *emu, struct emu_req *req)
{
    emu->stats.admin++;
    if (req->sqe.flags != 0) /* no fused commands, and PRPs only */
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    switch (req->sqe.opc) {
    case NVME_ADM_DELETE_SQ:
        return delete_sq(emu, req);
    case NVME_ADM_CREATE_SQ:
        return create_sq(emu, req);
    case NVME_ADM_GET_LOG_PAGE:
        return emu_get_log(emu, req);
    case NVME_ADM_DELETE_CQ:
        return delete_cq(emu, req);
    case NVME_ADM_CREATE_CQ:
        return create_cq(emu, req);
    case NVME_ADM_IDENTIFY:
        return emu_identify(emu, req);
    case NVME_ADM_ABORT:
        return abort_command(emu, req);
    case NVME_ADM_SET_FEATURES:
        return set_features(emu, req);
    case NVME_ADM_GET_FEATURES:
        return get_features(emu, req);
    case NVME_ADM_ASYNC_EVENT:
        return async_event(emu, req);
    case NVME_ADM_DBBUF_CONFIG:
        return dbbuf_config(emu, req);
    default:
        return EMU_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
}
