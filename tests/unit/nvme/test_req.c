/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs and trackers against a controller played by the test: it reads the submission ring,
 * writes completions, and looks at doorbells, which are words in memory.
 */
#include "nvme_req.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGS_BYTES 8192u
#define QID 3u

struct rig {
    struct nvme_dev dev;         /* first: the functions below get it */
    unsigned allocs, fail_alloc; /* the n-th allocation fails */
    int live;                    /* pieces of memory not given back */
    struct nvme_qp qp;
    /* the controller's side */
    uint32_t sq_head, cq_tail;
    uint16_t phase;
    /* what came back */
    unsigned n_done;
    uint16_t last_status;
    struct nvme_req *done[2048];
};

static void *rig_alloc(struct nvme_dev *dev, size_t len, uint64_t *iova)
{
    struct rig *r = HG_CONTAINER_OF(dev, struct rig, dev);
    void *p;

    if (++r->allocs == r->fail_alloc)
        return NULL;
    p = aligned_alloc(NVME_PAGE, len);
    CU_ASSERT_FATAL(p != NULL && len % NVME_PAGE == 0);
    memset(p, 0, len);
    *iova = (uint64_t)(uintptr_t)p;
    r->live++;
    return p;
}

static void rig_free(struct nvme_dev *dev, void *ptr, size_t len)
{
    (void)len;
    HG_CONTAINER_OF(dev, struct rig, dev)->live--;
    free(ptr);
}

static const struct nvme_dev_ops rig_ops = {.dma_alloc = rig_alloc, .dma_free = rig_free};

static void rig_done(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe)
{
    struct rig *r = HG_CONTAINER_OF(qp, struct rig, qp);

    CU_ASSERT(req->state == NVME_REQ_HELD);
    r->last_status = hg_le16_get(cqe->status);
    r->done[r->n_done++ % HG_ARRAY_LEN(r->done)] = req;
    nvme_req_put(qp, req);
}

static int rig_qp(struct rig *r, uint32_t entries, uint32_t cq_entries)
{
    struct nvme_qp_cfg cfg = {
        .qid = QID, .entries = entries, .cq_entries = cq_entries, .lists = true, .done = rig_done};

    r->sq_head = r->cq_tail = 0;
    r->phase = 1;
    return nvme_qp_alloc(&r->qp, &r->dev, &cfg);
}

static struct rig *rig_open(uint32_t entries, uint32_t cq_entries)
{
    struct rig *r = aligned_alloc(128, (sizeof *r + 127) / 128 * 128);

    CU_ASSERT_FATAL(r != NULL);
    memset(r, 0, sizeof *r);
    r->dev.ops = &rig_ops;
    r->dev.regs = calloc(1, REGS_BYTES);
    r->dev.regs_len = REGS_BYTES;
    CU_ASSERT_FATAL(r->dev.regs != NULL);
    CU_ASSERT_FATAL(rig_qp(r, entries, cq_entries) == 0);
    return r;
}

static void rig_close(struct rig *r)
{
    nvme_qp_free(&r->qp);
    CU_ASSERT(r->live == 0);
    free((void *)(uintptr_t)r->dev.regs);
    free(r);
}

static uint32_t bell(const struct rig *r, bool cq)
{
    return nvme_reg_read32(&r->dev, NVME_REG_DOORBELL + (2 * QID + cq) * 4);
}

/* The next command the controller was told of. */
static const struct nvme_sqe *fetch(struct rig *r)
{
    const struct nvme_sqe *sqe = &r->qp.sq.entries[r->sq_head];

    CU_ASSERT_FATAL(r->sq_head != bell(r, false));
    r->sq_head = (r->sq_head + 1) & r->qp.sq.mask;
    return sqe;
}

static void post(struct rig *r, uint16_t cid, uint16_t sqid, uint16_t status)
{
    struct nvme_cqe *cqe = &r->qp.cq.entries[r->cq_tail];

    /* Invariant 3 of nvme_ring.h, as the controller sees it: never into an entry not given back. */
    CU_ASSERT_FATAL(((r->cq_tail + 1) & r->qp.cq.mask) != bell(r, true));
    *cqe = (struct nvme_cqe){.sqid = hg_le16_put(sqid),
                             .cid = hg_le16_put(cid),
                             .status = hg_le16_put((uint16_t)(status | r->phase))};
    r->cq_tail = (r->cq_tail + 1) & r->qp.cq.mask;
    r->phase ^= r->cq_tail == 0;
}

static struct nvme_req *send(struct rig *r)
{
    struct nvme_req *req = nvme_req_get(&r->qp);

    CU_ASSERT_FATAL(req != NULL);
    req->sqe.opc = NVME_NVM_READ;
    nvme_qp_submit(&r->qp, req, 100);
    return req;
}

/* ---- tests ---- */

static void test_wrap(void)
{
    static const uint32_t sizes[][2] = {{2, 2}, {2, 4}, {8, 8}, {8, 16}, {1024, 2048}};

    for (unsigned s = 0; s < HG_ARRAY_LEN(sizes); s++) {
        struct rig *r = rig_open(sizes[s][0], sizes[s][1]);
        unsigned most = sizes[s][0] - 1;

        for (unsigned lap = 0; lap < 40; lap++) {
            unsigned n = lap % most + 1;

            for (unsigned i = 0; i < n; i++)
                send(r);
            nvme_sq_ring(&r->qp.sq);
            for (unsigned i = 0; i < n; i++)
                post(r, hg_le16_get(fetch(r)->cid), QID, 0);
            CU_ASSERT(nvme_qp_reap(&r->qp, UINT32_MAX) == n);
            CU_ASSERT(nvme_qp_reap(&r->qp, UINT32_MAX) == 0);
        }
        CU_ASSERT(r->qp.n_free == most && r->qp.n_flight == 0 && r->qp.strays == 0);
        rig_close(r);
    }
}

/* All trackers out, completed one by one and replaced, so that the rings are as full as they get. */
static void test_full(void)
{
    for (unsigned doubled = 0; doubled < 2; doubled++) {
        struct rig *r = rig_open(16, doubled ? 32 : 16);

        for (unsigned i = 0; i < 15; i++)
            send(r);
        CU_ASSERT(nvme_req_get(&r->qp) == NULL);
        nvme_sq_ring(&r->qp.sq);
        for (unsigned i = 0; i < 500; i++) {
            post(r, hg_le16_get(fetch(r)->cid), QID, 0);
            CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1);
            send(r);
            nvme_sq_ring(&r->qp.sq);
        }
        for (unsigned i = 0; i < 15; i++)
            post(r, hg_le16_get(fetch(r)->cid), QID, 0);
        CU_ASSERT(nvme_qp_reap(&r->qp, 100) == 15 && r->qp.n_free == 15);
        CU_ASSERT(bell(r, true) == r->cq_tail); /* idle: all is given back */
        rig_close(r);
    }
}

static void test_one_doorbell_for_a_batch(void)
{
    struct rig *r = rig_open(64, 128);

    for (unsigned i = 0; i < 32; i++)
        send(r);
    CU_ASSERT(bell(r, false) == 0 && r->qp.sq.bell.writes == 0);
    nvme_sq_ring(&r->qp.sq);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(bell(r, false) == 32 && r->qp.sq.bell.writes == 1);
    for (unsigned i = 0; i < 31; i++)
        post(r, hg_le16_get(fetch(r)->cid), QID, 0);
    CU_ASSERT(nvme_qp_reap(&r->qp, 100) == 31);
    CU_ASSERT(r->qp.cq.bell.writes == 0); /* it may lag */
    post(r, hg_le16_get(fetch(r)->cid), QID, 0);
    CU_ASSERT(nvme_qp_reap(&r->qp, 100) == 1);
    CU_ASSERT(r->qp.cq.bell.writes == 1 && bell(r, true) == 32);
    rig_close(r);
}

/* Every number a device may put into a completion: only the right one counts. */
static void test_strays(void)
{
    struct rig *r = rig_open(8, 16);
    struct nvme_req *req = send(r);
    uint16_t cid = req->cid;
    uint64_t strays = 0;

    nvme_sq_ring(&r->qp.sq);
    for (uint32_t n = 0; n <= UINT16_MAX; n++) {
        if (n == cid)
            continue;
        post(r, (uint16_t)n, QID, 0);
        CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1);
        strays++;
        CU_ASSERT(r->qp.strays == strays && r->n_done == 0);
    }
    post(r, cid, QID + 1, 0); /* of another queue */
    CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1 && r->qp.strays == ++strays && r->n_done == 0);
    post(r, cid, QID, NVME_STATUS_MAKE(NVME_SCT_MEDIA, NVME_SCM_UNRECOVERED_READ));
    CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1 && r->n_done == 1 && r->done[0] == req);
    CU_ASSERT(NVME_STATUS_SC(r->last_status) == NVME_SCM_UNRECOVERED_READ);
    CU_ASSERT(NVME_STATUS_SCT(r->last_status) == NVME_SCT_MEDIA);
    post(r, cid, QID, 0); /* a second time */
    CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1 && r->qp.strays == ++strays && r->n_done == 1);
    rig_close(r);
}

/* A completion that comes again when its tracker is used by another command is not that command's. */
static void test_twice_after_reuse(void)
{
    struct rig *r = rig_open(2, 4);

    for (unsigned i = 0; i < 3 * NVME_CID_GENERATIONS; i++) {
        struct nvme_req *req = send(r);
        uint16_t cid = req->cid;

        CU_ASSERT(cid != UINT16_MAX);
        nvme_sq_ring(&r->qp.sq);
        fetch(r);
        post(r, cid, QID, 0);
        CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1);
        CU_ASSERT(send(r) == req && req->cid != cid);
        nvme_sq_ring(&r->qp.sq);
        fetch(r);
        post(r, cid, QID, 0);
        CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1);
        CU_ASSERT(r->qp.strays == i + 1 && req->state == NVME_REQ_FLIGHT);
        post(r, req->cid, QID, 0);
        CU_ASSERT(nvme_qp_reap(&r->qp, 1) == 1 && r->qp.n_free == 1);
    }
    rig_close(r);
}

static void test_reclaim(void)
{
    struct rig *r = rig_open(8, 16);
    struct nvme_req *req;
    unsigned at = 0, n = 0;
    uint16_t cids[7];

    for (unsigned i = 0; i < 7; i++)
        cids[i] = send(r)->cid;
    nvme_sq_ring(&r->qp.sq);
    while ((req = nvme_qp_next_flight(&r->qp, &at)) != NULL) {
        nvme_qp_reclaim(&r->qp, req);
        nvme_req_put(&r->qp, req);
        n++;
    }
    CU_ASSERT(n == 7 && r->qp.n_free == 7 && r->qp.n_flight == 0);
    nvme_qp_rewind(&r->qp);
    r->sq_head = r->cq_tail = 0;
    r->phase = 1;
    nvme_reg_write32(&r->dev, NVME_REG_DOORBELL + 2 * QID * 4, 0);
    send(r);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(bell(r, false) == 1);
    /* What the controller did before its reset is nobody's now. */
    for (unsigned i = 0; i < 7; i++)
        post(r, cids[i], QID, 0);
    CU_ASSERT(nvme_qp_reap(&r->qp, 100) == 7 && r->qp.strays == 7 && r->n_done == 0);
    rig_close(r);
}

/* Appendix B.5 of the base spec: the register is written only when the event index was passed. */
static void test_shadow_doorbells(void)
{
    struct rig *r = rig_open(8, 16);
    uint32_t shadow[1024] = {0}, event[1024] = {0};

    nvme_qp_shadow(&r->qp, shadow, event, 0);
    send(r);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(shadow[2 * QID] == 1 && bell(r, false) == 1); /* asleep at 0 */
    send(r);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(shadow[2 * QID] == 2 && bell(r, false) == 1); /* still looking */
    event[2 * QID] = 2;
    send(r);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(shadow[2 * QID] == 3 && bell(r, false) == 3 && r->qp.sq.bell.writes == 2);
    nvme_qp_shadow(&r->qp, shadow, NULL, 0);
    send(r);
    nvme_sq_ring(&r->qp.sq);
    CU_ASSERT(shadow[2 * QID] == 4 && bell(r, false) == 4); /* told always */
    CU_ASSERT(nvme_bell_passed(65535, 0, 65535) && !nvme_bell_passed(0, 5, 1));
    CU_ASSERT(nvme_bell_passed(7, 2, 6) && !nvme_bell_passed(5, 2, 6));
    rig_close(r);
}

static void test_memory(void)
{
    for (unsigned fail = 1; fail <= 4; fail++) {
        struct rig *r = rig_open(8, 16);
        int rc;

        nvme_qp_free(&r->qp);
        CU_ASSERT(r->live == 0);
        r->allocs = 0;
        r->fail_alloc = fail;
        rc = rig_qp(r, 8, 16);
        CU_ASSERT(rc == (fail <= 3 ? -ENOMEM : 0));
        rig_close(r);
    }
}

static void test_doorbells_outside(void)
{
    struct rig *r = rig_open(8, 16);
    struct nvme_qp_cfg cfg = {.qid = 600, .entries = 8, .cq_entries = 8, .done = rig_done};

    nvme_qp_free(&r->qp);
    CU_ASSERT(nvme_qp_alloc(&r->qp, &r->dev, &cfg) == -ERANGE);
    nvme_qp_free(&r->qp);
    cfg.qid = 1;
    cfg.dstrd = 12;
    CU_ASSERT(nvme_qp_alloc(&r->qp, &r->dev, &cfg) == -ERANGE);
    rig_close(r);
}

int main(void)
{
    CU_pSuite suite;
    unsigned failed;

    CU_initialize_registry();
    suite = CU_add_suite("nvme queue pairs", NULL, NULL);
    CU_add_test(suite, "rings wrap at every size", test_wrap);
    CU_add_test(suite, "full rings lose nothing", test_full);
    CU_add_test(suite, "a batch is one doorbell, and completions are given back in lots",
                test_one_doorbell_for_a_batch);
    CU_add_test(suite, "a completion that fits no command is counted and does nothing",
                test_strays);
    CU_add_test(suite, "a completion that comes twice is not the next command's",
                test_twice_after_reuse);
    CU_add_test(suite, "commands are taken back from a controller that is reset", test_reclaim);
    CU_add_test(suite, "shadow doorbells wake a controller that sleeps", test_shadow_doorbells);
    CU_add_test(suite, "memory that fails is given back", test_memory);
    CU_add_test(suite, "doorbells outside of the registers are refused", test_doorbells_outside);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
