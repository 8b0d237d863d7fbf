/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulated controller's registers: start, reset, shutdown, fatal status, removal, and what it
 * makes of a driver that does them wrongly. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <string.h>

#define CC_ON (NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES)

static void test_registers(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;
    uint64_t cap;

    cfg.entries_max = 77;
    cfg.dstrd = 3;
    cfg.timeout = 9;
    cfg.mpsmax = 2;
    cfg.version = 0x10400;
    rig_open(&r, &cfg);
    cap = nvme_reg_read64(r.dev, NVME_REG_CAP);
    CU_ASSERT(NVME_CAP_MQES(cap) == 76 && NVME_CAP_CQR(cap) == 1 && NVME_CAP_TO(cap) == 9);
    CU_ASSERT(NVME_CAP_DSTRD(cap) == 3 && NVME_CAP_CSS(cap) == 1);
    CU_ASSERT(NVME_CAP_MPSMIN(cap) == 0 && NVME_CAP_MPSMAX(cap) == 2);
    CU_ASSERT(nvme_reg_read32(r.dev, NVME_REG_VS) == 0x10400);
    CU_ASSERT(rig_csts(&r) == 0);
    CU_ASSERT(r.dev->regs_len >= NVME_REG_DOORBELL + 18 * (4u << 3));
    nvme_reg_write32(r.dev, NVME_REG_VS, 1);
    rig_run(&r);
    CU_ASSERT(nvme_reg_read32(r.dev, NVME_REG_VS) == 0x10400);
    CU_ASSERT(rig_stats(&r).reg_read_only == 1);
    rig_close_dirty(&r);
}

static void test_takes_its_time(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.enable_ns = HG_MS(20);
    cfg.disable_ns = HG_MS(30);
    cfg.shutdown_ns = HG_MS(40);
    rig_open(&r, &cfg);
    rig_set_admin(&r);
    rig_write_cc(&r, CC_ON);
    r.now += HG_MS(20) - 1;
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == 0);
    r.now++;
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
    rig_write_cc(&r, CC_ON | NVME_CC_SHN_NORMAL);
    CU_ASSERT(NVME_CSTS_SHST(rig_csts(&r)) == NVME_SHST_OCCURRING);
    r.now += HG_MS(40);
    rig_run(&r);
    CU_ASSERT(NVME_CSTS_SHST(rig_csts(&r)) == NVME_SHST_COMPLETE);
    rig_write_cc(&r, 0);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
    r.now += HG_MS(30);
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == 0);
    CU_ASSERT(rig_stats(&r).resets == 1 && rig_stats(&r).shutdowns == 1);
    rig_close(&r);
}

static void bad_start(const struct nvme_emu_cfg *cfg, uint32_t aqa, uint64_t asq, uint32_t cc)
{
    struct rig r;

    rig_open(&r, cfg);
    rig_set_admin(&r);
    nvme_reg_write32(r.dev, NVME_REG_AQA, aqa);
    nvme_reg_write64(r.dev, NVME_REG_ASQ, asq != 0 ? r.q[0].sq_iova + asq - 1 : 0);
    rig_write_cc(&r, cc);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    CU_ASSERT(rig_stats(&r).reg_start == 1);
    rig_write_cc(&r, 0);
    CU_ASSERT(rig_csts(&r) == 0);
    rig_enable(&r);
    rig_close_dirty(&r);
}

static void test_refuses_to_start(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);

    bad_start(&cfg, 0, 1, CC_ON);                               /* queues of one entry */
    bad_start(&cfg, 31, 1, CC_ON);                              /* only the submission queue */
    bad_start(&cfg, 31u << 16 | 31 | 1u << 15, 1, CC_ON);       /* reserved bit */
    bad_start(&cfg, 31u << 16 | 31, 0, CC_ON);                  /* no address */
    bad_start(&cfg, 31u << 16 | 31, 1 + 64, CC_ON);             /* misaligned */
    bad_start(&cfg, 31u << 16 | 31, 1, CC_ON | NVME_CC_MPS(1)); /* page size */
    bad_start(&cfg, 31u << 16 | 31, 1, CC_ON | 1u << 4);        /* command set */
    bad_start(&cfg, 31u << 16 | 31, 1, CC_ON | 1u << 11);       /* arbitration */
}

static void test_enabled_too_early(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.disable_ns = HG_MS(10);
    rig_open(&r, &cfg);
    rig_enable(&r);
    rig_write_cc(&r, 0);
    rig_write_cc(&r, CC_ON);
    CU_ASSERT(rig_stats(&r).reg_enable == 1);
    rig_close_dirty(&r);
}

static void test_changed_while_enabled(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.mpsmax = 1;
    rig_open(&r, &cfg);
    rig_enable(&r);
    rig_write_cc(&r, CC_ON | NVME_CC_MPS(1));
    CU_ASSERT(rig_stats(&r).reg_while_enabled == 1);
    nvme_reg_write64(r.dev, NVME_REG_ACQ, r.q[1].cq_iova);
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).reg_while_enabled == 2);
    rig_close_dirty(&r);
}

static void test_doorbells_out_of_order(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    rig_ring(&r, 2, false, 1); /* no such queue */
    rig_ring(&r, 2, true, 1);
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_queue == 2);
    rig_ring(&r, 1, false, RIG_ENTRIES);
    rig_ring(&r, 1, true, 70000);
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_value == 2);
    rig_ring(&r, 1, true, 1); /* nothing was posted */
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_overrun == 1);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    rig_run(&r);
    nvme_reg_write32(r.dev, NVME_REG_CC, CC_ON | NVME_CC_SHN_NORMAL);
    rig_run(&r);
    rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_stopped == 1 && rig_stats(&r).flushes == 1);
    rig_close_dirty(&r);
}

static void test_tail_passes_head(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.stalled = true});
    rig_ring(&r, 1, false, 20);
    rig_run(&r);
    rig_ring(&r, 1, false, 10); /* back, or once around */
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_overrun == 1);
    rig_close_dirty(&r);
}

static void test_rings_between_doorbells(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.dstrd = 2;
    rig_start(&r, &cfg);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    rig_run(&r);
    nvme_reg_write32(r.dev, NVME_REG_DOORBELL + 4, 1); /* where it would be with DSTRD 0 */
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).db_queue == 1);
    rig_close_dirty(&r);
}

static void test_reset_drops_queues(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    rig_disable(&r);
    rig_enable(&r);
    CU_ASSERT(rig_create_queue(&r, 1) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    rig_close(&r);
}

static void test_moods(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_open(&r, &cfg);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_ready = true});
    rig_set_admin(&r);
    rig_write_cc(&r, CC_ON);
    r.now += HG_SEC(1000);
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == 0);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_shut = true, .never_disabled = true});
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
    rig_write_cc(&r, CC_ON | NVME_CC_SHN_NORMAL);
    r.now += HG_SEC(1000);
    rig_run(&r);
    CU_ASSERT(NVME_CSTS_SHST(rig_csts(&r)) == NVME_SHST_OCCURRING);
    rig_write_cc(&r, 0);
    r.now += HG_SEC(1000);
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){0});
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == 0);
    rig_close(&r);
}

static void test_fatal(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_cqe cqe;
    struct rig r;

    rig_start(&r, &cfg);
    nvme_emu_fatal(r.emu, false);
    CU_ASSERT(rig_csts(&r) == (NVME_CSTS_RDY | NVME_CSTS_CFS));
    rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    rig_disable(&r);
    rig_enable(&r);
    nvme_emu_fatal(r.emu, true);
    rig_write_cc(&r, 0);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    rig_set_admin(&r);
    rig_write_cc(&r, CC_ON);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    nvme_emu_power_cut(r.emu, 1);
    CU_ASSERT(rig_csts(&r) == 0);
    rig_enable(&r);
    rig_close(&r);
}

static void test_removed(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    nvme_emu_remove(r.emu);
    CU_ASSERT(rig_csts(&r) == NVME_REG_GONE);
    rig_write_cc(&r, 0);
    CU_ASSERT(nvme_reg_read32(r.dev, NVME_REG_CC) == NVME_REG_GONE);
    rig_close(&r); /* its memory can be released, nobody uses it */
}

/* Back on the bus it is as after power on, and has kept its cache. */
static void test_inserted(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    memset(r.data, 0x66, 4096);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == 0);
    nvme_emu_remove(r.emu);
    nvme_emu_insert(r.emu);
    CU_ASSERT(rig_csts(&r) == 0 && nvme_reg_read32(r.dev, NVME_REG_CC) == 0);
    rig_enable(&r);
    CU_ASSERT(rig_create_queue(&r, 1) == 0);
    memset(r.data, 0, 4096);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1), NULL) == 0 && r.data[0] == 0x66);
    rig_close(&r);
}

/* Without bus master it reaches no memory, whatever is rung, and all of it can be released. */
static void test_halted(void)
{
    struct nvme_emu_fault late = {
        .kind = NVME_EMU_LATE, .opc = NVME_NVM_WRITE, .first = 1, .delay_ns = HG_MS(1)};
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_cqe cqe;
    struct rig r;

    rig_start(&r, &cfg);
    nvme_emu_fault_add(r.emu, &late);
    rig_send(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1));
    rig_run(&r);
    r.dev->ops->halt(r.dev);
    r.dev->ops->halt(r.dev);
    rig_send(&r, 1, rig_flush(&r));
    r.now += HG_MS(5);
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    CU_ASSERT(rig_stats(&r).writes == 0 && rig_stats(&r).flushes == 0);
    r.dev->ops->dma_free(r.dev, r.q[1].sq, 4096);
    r.q[1].sq = NULL;
    rig_close(&r);
}

static void test_secondary_offline(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.secondary_offline = true;
    rig_open(&r, &cfg);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    rig_set_admin(&r);
    rig_write_cc(&r, CC_ON);
    r.now += HG_SEC(1000);
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    rig_close(&r);
}

static void test_memory(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    _Alignas(4096) static uint8_t page[4096];
    uint64_t iova;
    struct rig r;

    rig_open(&r, &cfg);
    CU_ASSERT(r.dev->ops->dma_map(r.dev, page + 1, 4096, &iova) == -EINVAL);
    CU_ASSERT(r.dev->ops->dma_map(r.dev, page, 4096, &iova) == 0);
    CU_ASSERT(iova != (uintptr_t)page && iova % 4096 == 0);
    CU_ASSERT(r.dev->ops->dma_map(r.dev, page, 4096, &iova) == 0);
    r.dev->ops->dma_unmap(r.dev, page, 4096);
    r.dev->ops->dma_unmap(r.dev, page, 4096);
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    r.dev->ops->dma_unmap(r.dev, page, 4096);
    CU_ASSERT(rig_stats(&r).dma_unknown == 1);
    rig_close_dirty(&r);
}

static void test_memory_in_use(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    char text[64];
    struct rig r;

    rig_start(&r, &cfg);
    r.dev->ops->dma_free(r.dev, r.q[1].sq, 4096); /* of a queue that is there */
    r.q[1].sq = r.dev->ops->dma_alloc(r.dev, 4096, &r.q[1].sq_iova);
    CU_ASSERT(rig_stats(&r).dma_in_use == 1);
    CU_ASSERT(nvme_emu_errors(r.emu, text, sizeof text) == 1);
    CU_ASSERT_STRING_EQUAL(text, "dma_in_use=1");
    rig_disable(&r);
    r.dev->ops->dma_free(r.dev, r.q[2].sq, 4096);
    r.q[2].sq = NULL;
    CU_ASSERT(rig_stats(&r).dma_in_use == 1);
    rig_close_dirty(&r);
}

/* An entry that the controller cannot fetch is fatal, as with a real IOMMU. */
static void test_unmapped_queue(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_open(&r, &cfg);
    rig_set_admin(&r);
    nvme_reg_write64(r.dev, NVME_REG_ASQ, 4096);
    rig_write_cc(&r, CC_ON);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
    rig_ring(&r, 0, false, 1);
    rig_run(&r);
    CU_ASSERT((rig_csts(&r) & NVME_CSTS_CFS) != 0 && rig_stats(&r).dma == 1);
    rig_close_dirty(&r);
}

static void test_thread(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_cqe cqe;
    struct rig r;

    rig_open(&r, &cfg);
    rig_set_admin(&r);
    CU_ASSERT_FATAL(nvme_emu_thread_start(r.emu) == 0);
    nvme_reg_write32(r.dev, NVME_REG_CC, CC_ON);
    while (rig_csts(&r) != NVME_CSTS_RDY)
        ;
    for (unsigned i = 0; i < 100; i++) {
        rig_send(&r, 0, rig_admin(&r, NVME_ADM_IDENTIFY, NVME_CNS_CTRL, 0));
        while (!rig_reap(&r, 0, &cqe))
            ;
        CU_ASSERT(rig_status(&cqe) == 0);
        CU_ASSERT(r.data[512] == 0x66);
        r.data[512] = 0;
    }
    nvme_emu_thread_stop(r.emu);
    rig_close(&r);
}

static const CU_TestInfo tests[] = {
    {"registers say what was configured, and stay so", test_registers},
    {"start, shutdown and reset take their time", test_takes_its_time},
    {"what cannot be does not start", test_refuses_to_start},
    {"enabled before it was disabled: counted", test_enabled_too_early},
    {"registers changed while enabled: counted", test_changed_while_enabled},
    {"doorbells without queue, out of range, after a shutdown: counted",
     test_doorbells_out_of_order},
    {"a tail that passes the head: counted", test_tail_passes_head},
    {"the doorbell stride is looked at", test_rings_between_doorbells},
    {"a reset drops all queues", test_reset_drops_queues},
    {"never ready, never shut down, never disabled", test_moods},
    {"fatal status ends with a reset, or with a power cut only", test_fatal},
    {"a removed device reads as ones", test_removed},
    {"a device that is back on the bus has kept its cache", test_inserted},
    {"a halted device reaches no memory", test_halted},
    {"a secondary controller that is offline stays fatal", test_secondary_offline},
    {"mappings are counted", test_memory},
    {"memory of a queue is in use until the queue is gone", test_memory_in_use},
    {"a queue in unmapped memory is fatal", test_unmapped_queue},
    {"the thread is the hardware", test_thread},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {{"emu_life", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
