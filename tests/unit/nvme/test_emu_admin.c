/* SPDX-License-Identifier: BSD-3-Clause */
/* Admin commands of the emulated controller: each one, and each refusal by its status. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <string.h>

static struct nvme_emu_cfg two_namespaces(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);

    cfg.ns[1] = (struct nvme_emu_ns){.size = 1 << 20, .block = 512, .inactive = true};
    cfg.ns[2] =
        (struct nvme_emu_ns){.size = 2 << 20, .block = 512, .metadata = 8, .read_only = true};
    cfg.n_ns = 3;
    cfg.queues = 3;
    return cfg;
}

static uint16_t identify(struct rig *r, unsigned cns, uint32_t nsid)
{
    struct nvme_sqe *sqe = rig_admin(r, NVME_ADM_IDENTIFY, cns, 0);

    sqe->nsid = hg_le32_put(nsid);
    memset(r->data, 0xee, 4096);
    return rig_do(r, 0, sqe, NULL);
}

static void test_identify_controller(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    const struct nvme_id_ctrl *id;
    struct rig r;

    cfg.mdts = 7;
    cfg.dbbuf = true;
    cfg.sgls = 2;
    cfg.shutdown_ns = HG_MS(3);
    rig_open(&r, &cfg);
    rig_enable(&r);
    id = (const struct nvme_id_ctrl *)(void *)r.data;
    CU_ASSERT(identify(&r, NVME_CNS_CTRL, 0) == 0);
    CU_ASSERT(memcmp(id->sn, "EMU0001             ", 20) == 0);
    CU_ASSERT(id->mdts == 7 && id->sqes == 0x66 && id->cqes == 0x44 && id->vwc == 7);
    CU_ASSERT(hg_le32_get(id->nn) == 3 && hg_le32_get(id->rtd3e) == 3000);
    CU_ASSERT(hg_le16_get(id->oacs) == NVME_OACS_DBBUF && hg_le32_get(id->sgls) == 2);
    CU_ASSERT(hg_le16_get(id->oncs) == (NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES));
    rig_close(&r);
}

static void test_identify_namespaces(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    const struct nvme_id_ns *id;
    struct rig r;

    rig_open(&r, &cfg);
    rig_enable(&r);
    id = (const struct nvme_id_ns *)(void *)r.data;
    CU_ASSERT(identify(&r, NVME_CNS_NS_LIST, 0) == 0);
    CU_ASSERT(memcmp(r.data, "\x01\0\0\0\x03\0\0\0\0\0\0\0", 12) == 0);
    CU_ASSERT(identify(&r, NVME_CNS_NS_LIST, 1) == 0);
    CU_ASSERT(memcmp(r.data, "\x03\0\0\0\0\0\0\0", 8) == 0);
    CU_ASSERT(identify(&r, NVME_CNS_NS, 1) == 0);
    CU_ASSERT(hg_le64_get(id->nsze) == RIG_SIZE / 4096 && NVME_FLBAS_INDEX(id->flbas) == 1);
    CU_ASSERT(id->lbaf[1].lbads == 12 && NVME_DLFEAT_ZEROES(id->dlfeat));
    CU_ASSERT(identify(&r, NVME_CNS_NS, 2) == 0);
    CU_ASSERT(hg_le64_get(id->nsze) == 0); /* inactive: all zeroes */
    CU_ASSERT(identify(&r, NVME_CNS_NS, 3) == 0);
    CU_ASSERT(hg_le16_get(id->lbaf[NVME_FLBAS_INDEX(id->flbas)].ms) == 8);
    CU_ASSERT(r.data[99] == 1); /* NSATTR: write protected */
    CU_ASSERT(identify(&r, 0x03, 1) == 0 && r.data[0] == 1 && r.data[1] == 8);
    CU_ASSERT(identify(&r, NVME_CNS_CTRL_NVM, 0) == 0 && r.data[1] == cfg.wzsl);
    rig_close(&r);
}

static void test_identify_refused(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;

    cfg.version = 0x10400;
    rig_open(&r, &cfg);
    rig_enable(&r);
    CU_ASSERT(identify(&r, NVME_CNS_NS, 0) == RIG_GENERIC_DNR(NVME_SC_INVALID_NS));
    CU_ASSERT(identify(&r, NVME_CNS_NS, 4) == RIG_GENERIC_DNR(NVME_SC_INVALID_NS));
    CU_ASSERT(identify(&r, NVME_CNS_NS_LIST, NVME_NSID_ALL) == RIG_GENERIC_DNR(NVME_SC_INVALID_NS));
    CU_ASSERT(identify(&r, NVME_CNS_CTRL_NVM, 0) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(identify(&r, 0x55, 0) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(rig_stats(&r).nsid == 3 && rig_stats(&r).field == 2);
    rig_close_dirty(&r);
}

/* One queue command with the fields given; the memory is queue 1's. */
static uint16_t queue_cmd(struct rig *r, uint8_t opc, uint32_t cdw10, uint32_t cdw11, uint64_t add)
{
    struct nvme_sqe *sqe = rig_admin(r, opc, cdw10, cdw11);

    sqe->dptr[0] =
        hg_le64_put((opc == NVME_ADM_CREATE_CQ ? r->q[1].cq_iova : r->q[1].sq_iova) + add);
    return rig_do(r, 0, sqe, NULL);
}

static void test_create_cq_refused(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;

    cfg.entries_max = 64;
    rig_open(&r, &cfg);
    rig_enable(&r);
#define CREATE_CQ(qid, size0, cdw11, add)                                                          \
    queue_cmd(&r, NVME_ADM_CREATE_CQ, (uint32_t)(size0) << 16 | (qid), cdw11, add)
    CU_ASSERT(CREATE_CQ(0, 31, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_CQ(4, 31, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_CQ(1, 0, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE));
    CU_ASSERT(CREATE_CQ(1, 64, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE));
    CU_ASSERT(CREATE_CQ(1, 31, 0, 0) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(CREATE_CQ(1, 31, 1, 64) == RIG_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET));
    CU_ASSERT(CREATE_CQ(1, 31, 1u << 16 | 3, 0) == RIG_SPECIFIC_DNR(0x08)); /* vector */
    CU_ASSERT(CREATE_CQ(1, 31, 1, 0) == 0);
    CU_ASSERT(CREATE_CQ(1, 31, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
#undef CREATE_CQ
    rig_disable(&r);
    rig_set_admin(&r);
    rig_write_cc(&r, NVME_CC_EN); /* entry sizes not told */
    CU_ASSERT(rig_create_queue(&r, 1) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE));
    rig_close_dirty(&r);
}

static void test_create_sq_refused(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;

    cfg.entries_max = 64;
    rig_start(&r, &cfg);
#define CREATE_SQ(qid, size0, cqid, flags, add)                                                    \
    queue_cmd(&r, NVME_ADM_CREATE_SQ, (uint32_t)(size0) << 16 | (qid),                             \
              (uint32_t)(cqid) << 16 | (flags), add)
    CU_ASSERT(CREATE_SQ(0, 31, 1, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_SQ(9, 31, 1, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_SQ(1, 31, 1, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_SQ(2, 31, 2, 1, 0) == RIG_SPECIFIC_DNR(0x00)); /* completion queue invalid */
    CU_ASSERT(CREATE_SQ(2, 31, 0, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(CREATE_SQ(2, 0, 1, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE));
    CU_ASSERT(CREATE_SQ(2, 64, 1, 1, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QSIZE));
    CU_ASSERT(CREATE_SQ(2, 31, 1, 0, 0) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(CREATE_SQ(2, 31, 1, 1, 8) == RIG_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET));
#undef CREATE_SQ
    CU_ASSERT(rig_stats(&r).queue == 7);
    rig_close_dirty(&r);
}

static void test_delete_queues(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;

    rig_start(&r, &cfg);
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_CQ, 1, 0, 0) ==
              RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QUEUE_DELETION));
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_CQ, 2, 0, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_SQ, 0, 0, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_SQ, 1, 0, 0) == 0);
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_SQ, 1, 0, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_CQ, 1, 0, 0) == 0);
    CU_ASSERT(rig_create_queue(&r, 1) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    rig_close_dirty(&r);
}

/* Commands in flight come back as aborted by the deletion, before the deletion itself is done. */
static void test_delete_with_commands(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_emu_fault late = {
        .kind = NVME_EMU_LATE, .opc = NVME_EMU_ANY, .first = 1, .delay_ns = NVME_EMU_NEVER};
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t cid;

    rig_start(&r, &cfg);
    nvme_emu_fault_add(r.emu, &late);
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    CU_ASSERT(queue_cmd(&r, NVME_ADM_DELETE_SQ, 1, 0, 0) == 0);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid);
    CU_ASSERT(rig_status(&cqe) == RIG_GENERIC(NVME_SC_ABORT_SQ_DELETION));
    rig_close(&r);
}

static uint16_t feature(struct rig *r, uint8_t opc, uint32_t cdw10, uint32_t cdw11, uint32_t *dw0)
{
    *dw0 = 0xdead;
    return rig_do(r, 0, rig_admin(r, opc, cdw10, cdw11), dw0);
}

static void test_features(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;
    uint32_t v;

    rig_open(&r, &cfg);
    rig_enable(&r);
#define SET(cdw10, cdw11) feature(&r, NVME_ADM_SET_FEATURES, cdw10, cdw11, &v)
#define GET(cdw10) feature(&r, NVME_ADM_GET_FEATURES, cdw10, 0, &v)
    CU_ASSERT(SET(NVME_FEAT_NUM_QUEUES, 1u << 16 | 4) == 0 && v == (1u << 16 | 1));
    CU_ASSERT(GET(NVME_FEAT_NUM_QUEUES) == 0 && v == (1u << 16 | 1));
    CU_ASSERT(rig_create_queue(&r, 3) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_QID));
    CU_ASSERT(SET(NVME_FEAT_NUM_QUEUES, 63u << 16 | 63) == 0 && v == (2u << 16 | 2));
    CU_ASSERT(SET(NVME_FEAT_NUM_QUEUES, 0xffff) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(rig_create_queue(&r, 3) == 0);
    CU_ASSERT(SET(NVME_FEAT_NUM_QUEUES, 0) == RIG_GENERIC_DNR(0x0c)); /* sequence */
    CU_ASSERT(GET(NVME_FEAT_VWC) == 0 && v == 1);
    CU_ASSERT(SET(NVME_FEAT_VWC, 0) == 0 && GET(NVME_FEAT_VWC) == 0 && v == 0);
    CU_ASSERT(GET(1u << 8 | NVME_FEAT_VWC) == 0 && v == 1); /* default */
    CU_ASSERT(GET(3u << 8 | NVME_FEAT_VWC) == 0 && v == 4); /* changeable */
    CU_ASSERT(GET(4u << 8 | NVME_FEAT_VWC) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(SET(1u << 31 | NVME_FEAT_VWC, 0) == RIG_SPECIFIC_DNR(0x0d)); /* not saveable */
    CU_ASSERT(SET(NVME_FEAT_ASYNC_EVENT, 0x11f) == 0);
    CU_ASSERT(GET(NVME_FEAT_ASYNC_EVENT) == 0 && v == 0x11f);
    CU_ASSERT(GET(0x7f) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    rig_disable(&r);
    rig_enable(&r);
    CU_ASSERT(GET(NVME_FEAT_ASYNC_EVENT) == 0 && v == 0);
    CU_ASSERT(GET(NVME_FEAT_VWC) == 0 && v == 1);
    rig_close_dirty(&r);
}

static void test_no_cache_no_feature(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct rig r;
    uint32_t v;

    cfg.vwc = false;
    rig_open(&r, &cfg);
    rig_enable(&r);
    CU_ASSERT(identify(&r, NVME_CNS_CTRL, 0) == 0 && r.data[525] == 0);
    CU_ASSERT(GET(NVME_FEAT_VWC) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(SET(NVME_FEAT_VWC, 1) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
#undef SET
#undef GET
    rig_close_dirty(&r);
}

static uint16_t get_log(struct rig *r, unsigned lid, uint32_t bytes, uint32_t offset)
{
    struct nvme_sqe *sqe = rig_admin(r, NVME_ADM_GET_LOG_PAGE, lid | (bytes / 4 - 1) << 16, 0);

    sqe->cdw12 = hg_le32_put(offset);
    sqe->nsid = hg_le32_put(NVME_NSID_ALL);
    memset(r->data, 0xee, 4096);
    return rig_do(r, 0, sqe, NULL);
}

static void test_logs(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    const struct nvme_error_entry *errors;
    const struct nvme_smart *smart;
    struct rig r;

    rig_start(&r, &cfg);
    smart = (const struct nvme_smart *)(void *)r.data;
    errors = (const struct nvme_error_entry *)(void *)r.data;
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == 0);
    CU_ASSERT(get_log(&r, NVME_LOG_SMART, 512, 0) == 0);
    CU_ASSERT(smart->critical_warning == 0 && hg_le16_get(smart->temperature) == 273 + 40);
    CU_ASSERT(hg_le64_get(smart->host_writes.lo) == 1);
    CU_ASSERT(hg_le64_get(smart->data_units_written.lo) == 1);
    CU_ASSERT(r.data[512] == 0xee);
    nvme_emu_smart(r.emu, 0x2, 91);
    CU_ASSERT(get_log(&r, NVME_LOG_SMART, 4, 0) == 0);
    CU_ASSERT(smart->critical_warning == 2 && hg_le16_get(smart->temperature) == 273 + 91);
    CU_ASSERT(r.data[4] == 0xee);
    CU_ASSERT(get_log(&r, NVME_LOG_SMART, 8, 32) == 0 && r.data[8] == 0xee);
    CU_ASSERT(get_log(&r, NVME_LOG_ERROR, 64, 0) == 0 && hg_le64_get(errors->error_count) == 0);
    CU_ASSERT(get_log(&r, 0x77, 64, 0) == RIG_SPECIFIC_DNR(NVME_SCS_INVALID_LOG_PAGE));
    CU_ASSERT(get_log(&r, NVME_LOG_ERROR, 64, 0) == 0);
    CU_ASSERT(hg_le64_get(errors->error_count) == 1 && hg_le16_get(errors->sqid) == 0);
    CU_ASSERT(hg_le16_get(errors->cid) == r.cid - 1);
    CU_ASSERT(get_log(&r, NVME_LOG_SMART, 64, 2) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(get_log(&r, NVME_LOG_SMART, 64, 516) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(get_log(&r, NVME_LOG_CHANGED_NS, 4096, 0) == 0 && r.data[0] == 0);
    rig_close_dirty(&r);
}

static void test_events(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_cqe cqe;
    struct rig r;

    rig_open(&r, &cfg);
    rig_enable(&r);
    CU_ASSERT(rig_do(&r, 0, rig_admin(&r, NVME_ADM_SET_FEATURES, NVME_FEAT_ASYNC_EVENT, 0x11f),
                     NULL) == 0);
    for (unsigned i = 0; i < 4; i++)
        rig_send(&r, 0, rig_admin(&r, NVME_ADM_ASYNC_EVENT, 0, 0));
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 0, &cqe));
    CU_ASSERT(rig_do(&r, 0, rig_admin(&r, NVME_ADM_ASYNC_EVENT, 0, 0), NULL) ==
              RIG_SPECIFIC_DNR(NVME_SCS_AER_LIMIT));
    nvme_emu_smart(r.emu, 0x2, 90);
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe) && rig_status(&cqe) == 0);
    CU_ASSERT(hg_le32_get(cqe.dw0) == (NVME_AER_SMART | 1u << 8 | NVME_LOG_SMART << 16));
    nvme_emu_smart(r.emu, 0x3, 90); /* masked until the log page is read */
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 0, &cqe));
    rig_send(&r, 0, rig_admin(&r, NVME_ADM_GET_LOG_PAGE, 127u << 16 | NVME_LOG_SMART, 0));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe) &&
              hg_le32_get(cqe.dw0) == (NVME_AER_SMART | 2u << 8 | NVME_LOG_SMART << 16));
    CU_ASSERT(rig_reap(&r, 0, &cqe) && hg_le16_get(cqe.cid) == r.cid);
    CU_ASSERT(nvme_emu_ns_resize(r.emu, 1, RIG_SIZE * 2) == 0);
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe));
    CU_ASSERT(hg_le32_get(cqe.dw0) == (NVME_AER_NOTICE | NVME_LOG_CHANGED_NS << 16));
    CU_ASSERT(get_log(&r, NVME_LOG_CHANGED_NS, 4096, 0) == 0);
    CU_ASSERT(memcmp(r.data, "\x01\0\0\0\0\0\0\0", 8) == 0);
    CU_ASSERT(identify(&r, NVME_CNS_NS, 1) == 0);
    CU_ASSERT(memcmp(r.data, "\x00\x10\0\0\0\0\0\0", 8) == 0);
    CU_ASSERT(rig_stats(&r).events == 3 && rig_stats(&r).aer_limit == 1);
    rig_close_dirty(&r);
}

static void test_events_not_asked_for(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_cqe cqe;
    struct rig r;

    rig_open(&r, &cfg);
    rig_enable(&r);
    rig_send(&r, 0, rig_admin(&r, NVME_ADM_ASYNC_EVENT, 0, 0));
    nvme_emu_smart(r.emu, 0x1f, 90);
    nvme_emu_ns_resize(r.emu, 1, 0);
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 0, &cqe));
    CU_ASSERT(identify(&r, NVME_CNS_NS_LIST, 0) == 0 && r.data[0] == 3);
    rig_ring(&r, 3, false, 1); /* an error event needs no configuration */
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe));
    CU_ASSERT(hg_le32_get(cqe.dw0) == (NVME_AER_ERROR | NVME_LOG_ERROR << 16));
    rig_close_dirty(&r);
}

static void test_abort(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_emu_fault late = {.kind = NVME_EMU_LATE,
                                  .opc = NVME_NVM_FLUSH,
                                  .first = 1,
                                  .last = NVME_EMU_FOREVER,
                                  .delay_ns = NVME_EMU_NEVER};
    struct nvme_cqe cqe;
    struct rig r;
    uint32_t dw0;
    uint16_t cid;

    rig_start(&r, &cfg);
    nvme_emu_fault_add(r.emu, &late);
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
#define ABORT(sqid, id)                                                                            \
    rig_do(&r, 0, rig_admin(&r, NVME_ADM_ABORT, (uint32_t)(id) << 16 | (sqid), 0), &dw0)
    CU_ASSERT(ABORT(1, cid + 100) == 0 && dw0 == 1); /* not found */
    CU_ASSERT(ABORT(9, cid) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_aborts = true});
    CU_ASSERT(ABORT(1, cid) == 0 && dw0 == 1 && !rig_reap(&r, 1, &cqe));
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){0});
    CU_ASSERT(ABORT(1, cid) == 0 && dw0 == 0);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid);
    CU_ASSERT(rig_status(&cqe) == RIG_GENERIC(NVME_SC_ABORT_REQUESTED));
    CU_ASSERT(ABORT(1, cid) == 0 && dw0 == 1);
    CU_ASSERT(rig_stats(&r).aborted == 1 && rig_stats(&r).flushes == 0);
    cid = rig_send(&r, 0, rig_admin(&r, NVME_ADM_ASYNC_EVENT, 0, 0));
    rig_send(&r, 0, rig_admin(&r, NVME_ADM_ABORT, (uint32_t)cid << 16, 0));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe) && hg_le16_get(cqe.cid) == cid); /* an event request too */
    CU_ASSERT(rig_reap(&r, 0, &cqe) && hg_le32_get(cqe.dw0) == 0);
#undef ABORT
    rig_close_dirty(&r);
}

static void test_shadow_doorbells(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_sqe *sqe;
    uint64_t pages[2];
    uint64_t doorbells;
    struct rig r;

    cfg.dbbuf = true;
    rig_start(&r, &cfg);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    r.shadow = r.dev->ops->dma_alloc(r.dev, 4096, &pages[0]);
    r.eventidx = r.dev->ops->dma_alloc(r.dev, 4096, &pages[1]);
    sqe = rig_admin(&r, NVME_ADM_DBBUF_CONFIG, 0, 0);
    sqe->dptr[0] = hg_le64_put(pages[0]);
    sqe->dptr[1] = hg_le64_put(pages[1]);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == 0);
    CU_ASSERT(hg_le32_get(r.shadow[2]) == 1 && hg_le32_get(r.eventidx[2]) == 1);
    for (unsigned i = 0; i < 3 * RIG_ENTRIES; i++)
        CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    /* A burst rings once. */
    doorbells = rig_stats(&r).doorbells;
    for (unsigned i = 0; i < 10; i++)
        rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).doorbells - doorbells <= 2);
    CU_ASSERT(rig_stats(&r).flushes == 1 + 3 * RIG_ENTRIES + 10);
    rig_close(&r);
}

static void test_shadow_doorbells_refused(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_sqe *sqe;
    struct rig r;

    rig_start(&r, &cfg);
    sqe = rig_admin(&r, NVME_ADM_DBBUF_CONFIG, 0, 0);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    rig_close_dirty(&r);
    cfg.dbbuf = true;
    rig_start(&r, &cfg);
    sqe = rig_admin(&r, NVME_ADM_DBBUF_CONFIG, 0, 0);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD)); /* one page */
    sqe->dptr[1] = hg_le64_put(r.data_iova + 64);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    sqe->dptr[1] = hg_le64_put(4096);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC(NVME_SC_DATA_TRANSFER_ERROR));
    CU_ASSERT(rig_stats(&r).dma == 1);
    rig_close_dirty(&r);
}

static void test_entries_refused(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_sqe *sqe;
    struct rig r;

    rig_start(&r, &cfg);
    sqe = rig_admin(&r, 0x99, 0, 0);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    sqe = rig_admin(&r, NVME_ADM_IDENTIFY, NVME_CNS_CTRL, 0);
    sqe->flags = NVME_SQE_PSDT_SGL;
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    sqe->flags = 1; /* fused */
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    rig_close_dirty(&r);
}

static void test_identifier_in_use(void)
{
    struct nvme_emu_cfg cfg = two_namespaces();
    struct nvme_cqe cqe;
    struct rig r;

    rig_open(&r, &cfg);
    rig_enable(&r);
    rig_send(&r, 0, rig_admin(&r, NVME_ADM_ASYNC_EVENT, 0, 0));
    r.cid--;
    CU_ASSERT(rig_do(&r, 0, rig_admin(&r, NVME_ADM_ABORT, 0, 0), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_CID_CONFLICT));
    r.cid--; /* the first one still has it */
    CU_ASSERT(rig_do(&r, 0, rig_admin(&r, NVME_ADM_ABORT, 0, 0), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_CID_CONFLICT));
    CU_ASSERT(rig_stats(&r).cid_in_use == 2);
    CU_ASSERT(!rig_reap(&r, 0, &cqe));
    rig_close_dirty(&r);
}

static const CU_TestInfo tests[] = {
    {"identify controller", test_identify_controller},
    {"identify namespaces: active, inactive, with metadata, protected", test_identify_namespaces},
    {"identify: what is refused", test_identify_refused},
    {"create completion queue: what is refused", test_create_cq_refused},
    {"create submission queue: what is refused", test_create_sq_refused},
    {"delete queues: only in order", test_delete_queues},
    {"deleting a queue answers its commands", test_delete_with_commands},
    {"features: current, default, capabilities, after a reset", test_features},
    {"no volatile cache, no such feature", test_no_cache_no_feature},
    {"log pages: SMART, errors, changed namespaces, parts, refusals", test_logs},
    {"events: limit, report, masked until read", test_events},
    {"events: none that was not asked for", test_events_not_asked_for},
    {"abort: found, not found, not done", test_abort},
    {"shadow doorbells: rings only when the event index asks", test_shadow_doorbells},
    {"shadow doorbells: what is refused", test_shadow_doorbells_refused},
    {"entries: what is refused", test_entries_refused},
    {"an identifier in use is a conflict", test_identifier_in_use},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {{"emu_admin", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
