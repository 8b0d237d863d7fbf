/* SPDX-License-Identifier: BSD-3-Clause */
/* Power cuts of the emulated controller: what a flush or FUA covers is kept, the rest is kept, lost or
 * torn between blocks. Argument: seed. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u
#define WRITES 30u
#define EACH 8u /* blocks of one write */
#define SEEDS 200u

static unsigned long seed = 20261121;

static void start(struct rig *r, bool vwc)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, BLOCK);

    cfg.vwc = vwc;
    rig_start(r, &cfg);
}

static uint16_t write_fill(struct rig *r, uint64_t slba, uint32_t blocks, int byte, bool fua)
{
    struct nvme_sqe *sqe = rig_rw(r, NVME_NVM_WRITE, slba, blocks);

    sqe->cdw12 = hg_le32_put((blocks - 1) | (fua ? NVME_RW_FUA : 0));
    memset(r->data, byte, (size_t)blocks * BLOCK);
    return rig_do(r, 1, sqe, NULL);
}

/* Blocks that hold `byte`; every block has one value. */
static unsigned blocks_of(struct rig *r, uint64_t slba, unsigned n, uint8_t byte)
{
    const uint8_t *at = nvme_emu_medium(r->emu, 1) + slba * BLOCK;
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++, at += BLOCK) {
        CU_ASSERT_FATAL(memcmp(at, at + 1, BLOCK - 1) == 0);
        count += at[0] == byte;
    }
    return count;
}

static void test_flushed_is_kept(void)
{
    struct rig r;

    for (unsigned i = 0; i < 20; i++) {
        start(&r, true);
        CU_ASSERT(write_fill(&r, 0, EACH, 0x11, false) == 0);
        CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 0, EACH, 0x11) == EACH);
        CU_ASSERT(rig_stats(&r).kept + rig_stats(&r).lost + rig_stats(&r).torn == 0);
        CU_ASSERT(rig_csts(&r) == 0 && nvme_reg_read32(r.dev, NVME_REG_CC) == 0);
        rig_enable(&r);
        rig_close(&r);
    }
}

/* FUA covers itself and nothing else, whatever lies under or over it. */
static void test_fua_is_kept(void)
{
    unsigned old = 0;
    unsigned new = 0;
    struct rig r;

    for (unsigned i = 0; i < SEEDS; i++) {
        unsigned n;

        start(&r, true);
        write_fill(&r, 0, EACH, 0x11, false);
        write_fill(&r, 2, 2, 0x22, true);
        write_fill(&r, 3, 1, 0x33, false);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 2, 1, 0x22) == 1);
        n = blocks_of(&r, 3, 1, 0x33);
        CU_ASSERT(n + blocks_of(&r, 3, 1, 0x22) == 1);
        new += n;
        old += blocks_of(&r, 0, 2, 0x11) == 0;
        rig_close(&r);
    }
    CU_ASSERT(new > 0 && new < SEEDS &&old > 0 && old < SEEDS);
}

/* A flush covers what had completed when it was submitted, not what was submitted with it. */
static void test_flush_covers_completed_writes(void)
{
    unsigned lost = 0;
    struct nvme_cqe cqe;
    struct rig r;

    for (unsigned i = 0; i < SEEDS; i++) {
        start(&r, true);
        memset(r.data, 0x11, BLOCK);
        rig_put(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1));
        rig_put(&r, 1, rig_flush(&r));
        rig_ring(&r, 1, false, r.q[1].tail);
        rig_run(&r);
        CU_ASSERT(rig_reap(&r, 1, &cqe) && rig_reap(&r, 1, &cqe));
        nvme_emu_power_cut(r.emu, seed + i);
        lost += blocks_of(&r, 0, 1, 0x11) == 0;
        rig_close(&r);
    }
    CU_ASSERT(lost > 0 && lost < SEEDS);
}

static void test_unflushed(void)
{
    struct nvme_emu_stats sum = {0};
    struct rig r;

    for (unsigned i = 0; i < SEEDS; i++) {
        unsigned whole = 0;
        unsigned part = 0;
        struct nvme_emu_stats s;

        start(&r, true);
        for (unsigned w = 0; w < WRITES; w++)
            CU_ASSERT(write_fill(&r, w * EACH, EACH, 0x22, false) == 0);
        CU_ASSERT(blocks_of(&r, 0, WRITES * EACH, 0x22) == WRITES * EACH);
        nvme_emu_power_cut(r.emu, seed + i);
        s = rig_stats(&r);
        for (unsigned w = 0; w < WRITES; w++) {
            unsigned n = blocks_of(&r, w * EACH, EACH, 0x22);

            whole += n == EACH;
            part += n != 0 && n != EACH;
        }
        CU_ASSERT(s.kept + s.lost + s.torn == WRITES);
        CU_ASSERT(whole >= s.kept && whole <= s.kept + s.torn && part <= s.torn);
        sum.kept += s.kept;
        sum.lost += s.lost;
        sum.torn += part;
        rig_close(&r);
    }
    CU_ASSERT(sum.kept > 0 && sum.lost > 0 && sum.torn > 0);
}

/* Of writes to the same block one of those that were made is there, or what was before. */
static void test_overwrites(void)
{
    unsigned seen[4] = {0};
    struct rig r;

    for (unsigned i = 0; i < SEEDS; i++) {
        start(&r, true);
        for (int byte = 1; byte < 4; byte++)
            write_fill(&r, 100, 1, byte, false);
        nvme_emu_power_cut(r.emu, seed + i);
        seen[nvme_emu_medium(r.emu, 1)[100 * BLOCK] & 3]++;
        rig_close(&r);
    }
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(seen[i] > 0);
}

static void test_zeroes_and_deallocation(void)
{
    unsigned old = 0;
    struct rig r;

    for (unsigned i = 0; i < 50; i++) {
        start(&r, true);
        write_fill(&r, 0, EACH, 0x11, false);
        CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
        CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 0, EACH), NULL) == 0);
        CU_ASSERT(blocks_of(&r, 0, EACH, 0) == EACH);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 0, EACH, 0) + blocks_of(&r, 0, EACH, 0x11) == EACH);
        old += blocks_of(&r, 0, EACH, 0x11) > 0;
        rig_close(&r);
    }
    CU_ASSERT(old > 0 && old < 50);
}

/* Without a cache everything that completed is durable; what is in flight is not. */
static void test_no_cache(void)
{
    struct nvme_emu_fault late = {
        .kind = NVME_EMU_LATE, .opc = NVME_NVM_WRITE, .first = 2, .delay_ns = NVME_EMU_NEVER};
    unsigned old = 0;
    unsigned part = 0;
    struct rig r;

    for (unsigned i = 0; i < SEEDS; i++) {
        unsigned n;

        start(&r, false);
        nvme_emu_fault_add(r.emu, &late);
        CU_ASSERT(write_fill(&r, 0, EACH, 0x11, false) == 0);
        CU_ASSERT(write_fill(&r, EACH, EACH, 0x22, (i & 1) != 0) == 0xffff);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 0, EACH, 0x11) == EACH);
        n = blocks_of(&r, EACH, EACH, 0x22);
        old += n == 0;
        part += n > 0 && n < EACH;
        rig_close(&r);
    }
    CU_ASSERT(old > 0 && part > 0 && old + part < SEEDS);
}

static void test_cache_is_bounded(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, BLOCK);
    struct rig r;

    cfg.cache_bytes = 4 * EACH * BLOCK;
    for (unsigned i = 0; i < 20; i++) {
        rig_start(&r, &cfg);
        for (unsigned w = 0; w < WRITES; w++)
            write_fill(&r, w * EACH, EACH, 0x22, false);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 0, (WRITES - 4) * EACH, 0x22) == (WRITES - 4) * EACH);
        CU_ASSERT(rig_stats(&r).kept + rig_stats(&r).lost + rig_stats(&r).torn == 4);
        rig_close(&r);
    }
}

/* The process may die: the cache lives on, and power may still be cut before it was flushed. */
static void test_close_is_no_flush(void)
{
    unsigned lost = 0;
    struct rig r;

    for (unsigned i = 0; i < 50; i++) {
        struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, BLOCK);

        rig_start(&r, &cfg);
        write_fill(&r, 0, 1, 0x11, false);
        r.dev->ops->close(r.dev);
        CU_ASSERT(rig_stats(&r).dma_left == 2 * RIG_QUEUES + 1);
        CU_ASSERT(blocks_of(&r, 0, 1, 0x11) == 1);
        nvme_emu_power_cut(r.emu, seed + i);
        lost += blocks_of(&r, 0, 1, 0x11) == 0;
        nvme_emu_close(r.emu);
    }
    CU_ASSERT(lost > 0 && lost < 50);
}

static void test_shutdown_flushes(void)
{
    struct rig r;

    for (unsigned i = 0; i < 20; i++) {
        start(&r, true);
        write_fill(&r, 0, EACH, 0x11, false);
        rig_write_cc(&r, NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES | NVME_CC_SHN_NORMAL);
        CU_ASSERT(NVME_CSTS_SHST(rig_csts(&r)) == NVME_SHST_COMPLETE);
        nvme_emu_power_cut(r.emu, seed + i);
        CU_ASSERT(blocks_of(&r, 0, EACH, 0x11) == EACH);
        rig_close(&r);
    }
}

static void test_same_for_a_seed(void)
{
    static uint8_t first[WRITES * EACH * BLOCK];
    struct rig r;

    for (unsigned i = 0; i < 2; i++) {
        start(&r, true);
        for (unsigned w = 0; w < WRITES; w++)
            write_fill(&r, w * (EACH / 2), EACH, (int)w + 1, false);
        nvme_emu_power_cut(r.emu, seed);
        if (i == 0)
            memcpy(first, nvme_emu_medium(r.emu, 1), sizeof first);
        CU_ASSERT(memcmp(first, nvme_emu_medium(r.emu, 1), sizeof first) == 0);
        rig_close(&r);
    }
}

static const CU_TestInfo tests[] = {
    {"what a flush covers is kept", test_flushed_is_kept},
    {"what was written with FUA is kept, between others", test_fua_is_kept},
    {"a flush covers only what had completed before", test_flush_covers_completed_writes},
    {"unflushed writes are kept, lost or torn, and it adds up", test_unflushed},
    {"of overwritten blocks any version may be there", test_overwrites},
    {"write zeroes are no different", test_zeroes_and_deallocation},
    {"without a cache only what is in flight is at risk", test_no_cache},
    {"the cache is bounded, the oldest become durable", test_cache_is_bounded},
    {"closing the device does not flush", test_close_is_no_flush},
    {"a shutdown flushes", test_shutdown_flushes},
    {"the same seed does the same", test_same_for_a_seed},
    CU_TEST_INFO_NULL,
};

int main(int argc, char **argv)
{
    CU_SuiteInfo suites[] = {{"emu_power", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (argc > 1)
        seed = strtoul(argv[1], NULL, 0);
    printf("seed %lu\n", seed);
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
