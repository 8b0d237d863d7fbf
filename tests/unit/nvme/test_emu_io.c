/* SPDX-License-Identifier: BSD-3-Clause */
/* NVM commands of the emulated controller: each one on both block sizes, and each refusal. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fill(uint8_t *p, size_t len, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + i / 256 + salt);
}

static bool all(const uint8_t *p, size_t len, int byte)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != byte)
            return false;
    }
    return true;
}

static void write_and_read(uint32_t block)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, block);
    static uint8_t wanted[8192];
    struct rig r;

    rig_start(&r, &cfg);
    fill(wanted, sizeof wanted, block);
    memcpy(r.data, wanted, sizeof wanted);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 3, 4096 / block), NULL) == 0);
    CU_ASSERT(memcmp(nvme_emu_medium(r.emu, 1) + 3 * block, wanted, 4096) == 0);
    memset(r.data, 0, 8192);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 3, 4096 / block), NULL) == 0);
    CU_ASSERT(memcmp(r.data, wanted, 4096) == 0 && all(r.data + 4096, 4096, 0));
    /* the last block, and one beyond */
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, RIG_SIZE / block - 1, 1), NULL) == 0);
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, RIG_SIZE / block - 1, 2), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, UINT64_MAX, 1), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE));
    CU_ASSERT(rig_stats(&r).range == 2 && rig_stats(&r).writes == 2 && rig_stats(&r).reads == 1);
    rig_close_dirty(&r);
}

static void test_write_and_read(void)
{
    write_and_read(512);
    write_and_read(4096);
}

static void test_mdts(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_sqe *sqe;
    struct rig r;

    cfg.mdts = 1;
    rig_start(&r, &cfg);
    sqe = rig_rw(&r, NVME_NVM_WRITE, 0, 2);
    sqe->dptr[1] = hg_le64_put(r.data_iova + 4096);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == 0);
    sqe->cdw12 = hg_le32_put(2);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    rig_close_dirty(&r);
}

static void test_write_zeroes(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 512);
    uint8_t *medium;
    struct rig r;

    cfg.wzsl = 5;
    rig_start(&r, &cfg);
    medium = nvme_emu_medium(r.emu, 1);
    memset(medium, 0xff, RIG_SIZE);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 3, 2), NULL) == 0);
    CU_ASSERT(all(medium + 3 * 512, 1024, 0) && all(medium, 3 * 512, 0xff) &&
              medium[5 * 512] == 0xff);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 1001, 256), NULL) == 0);
    CU_ASSERT(all(medium + 1001 * 512, 256 * 512, 0));
    CU_ASSERT(medium[1001 * 512 - 1] == 0xff && medium[1257 * 512] == 0xff);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 0, 257), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, RIG_SIZE / 512 - 1, 2), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE));
    rig_close_dirty(&r);
}

static uint16_t deallocate(struct rig *r, const struct nvme_dsm_range *ranges, unsigned n,
                           uint32_t cdw11)
{
    struct nvme_sqe *sqe = rig_rw(r, NVME_NVM_DSM, 0, 1);

    memcpy(r->data, ranges, n * sizeof *ranges);
    sqe->cdw10 = hg_le32_put(n - 1);
    sqe->cdw11 = hg_le32_put(cdw11);
    return rig_do(r, 1, sqe, NULL);
}

static struct nvme_dsm_range range(uint64_t slba, uint32_t nlb)
{
    return (struct nvme_dsm_range){.nlb = hg_le32_put(nlb), .slba = hg_le64_put(slba)};
}

static void deallocated(uint8_t dlfeat, int byte)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_dsm_range two[] = {range(1, 2), range(100, 1)};
    struct nvme_dsm_range beyond[] = {range(0, 1), range(RIG_SIZE / 4096, 1)};
    uint8_t *medium;
    struct rig r;

    cfg.dlfeat = dlfeat;
    cfg.dmrl = 2;
    rig_start(&r, &cfg);
    medium = nvme_emu_medium(r.emu, 1);
    memset(medium, 0x11, RIG_SIZE);
    CU_ASSERT(deallocate(&r, two, 2, 0) == 0); /* only hints */
    CU_ASSERT(all(medium, RIG_SIZE, 0x11));
    CU_ASSERT(deallocate(&r, two, 2, NVME_DSM_AD) == 0);
    CU_ASSERT(all(medium + 4096, 8192, byte) && all(medium + 100 * 4096, 4096, byte));
    CU_ASSERT(medium[4095] == 0x11 && medium[3 * 4096] == 0x11);
    CU_ASSERT(deallocate(&r, beyond, 2, NVME_DSM_AD) == RIG_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE));
    CU_ASSERT(medium[0] == 0x11);
    CU_ASSERT(deallocate(&r, (struct nvme_dsm_range[3]){0}, 3, NVME_DSM_AD) ==
              RIG_SPECIFIC_DNR(0x83)); /* command size limit */
    CU_ASSERT(rig_stats(&r).deallocates == 1);
    rig_close_dirty(&r);
}

static void test_deallocate(void)
{
    deallocated(1, 0);
    deallocated(0, 0xa5); /* nothing is promised: garbage */
}

static void test_optional_commands(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.write_zeroes = cfg.dsm = false;
    rig_start(&r, &cfg);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 0, 1), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_DSM, 0, 1), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, 0x7f, 0, 1), NULL) ==
              RIG_GENERIC_DNR(NVME_SC_INVALID_OPCODE));
    rig_close_dirty(&r);
}

static void test_namespaces(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_sqe *sqe;
    struct rig r;

    cfg.ns[1] = (struct nvme_emu_ns){.size = 1 << 20, .block = 512, .read_only = true};
    cfg.ns[2] = (struct nvme_emu_ns){.size = 1 << 20, .block = 512, .inactive = true};
    cfg.n_ns = 3;
    rig_start(&r, &cfg);
    memset(nvme_emu_medium(r.emu, 2), 0x22, 512);
    sqe = rig_rw(&r, NVME_NVM_READ, 0, 1);
    sqe->nsid = hg_le32_put(2);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == 0 && all(r.data, 512, 0x22) && r.data[512] == 0);
    sqe->opc = NVME_NVM_WRITE;
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED));
    sqe->opc = NVME_NVM_WRITE_ZEROES;
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED));
    sqe->nsid = hg_le32_put(3);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD)); /* inactive */
    sqe->nsid = hg_le32_put(4);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_NS));
    sqe->nsid = hg_le32_put(NVME_NSID_ALL);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_NS));
    sqe->opc = NVME_NVM_FLUSH;
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == 0);
    rig_close_dirty(&r);
}

static void test_flags_refused(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_sqe *sqe;
    struct rig r;

    rig_start(&r, &cfg);
    sqe = rig_rw(&r, NVME_NVM_READ, 0, 1);
    for (unsigned flags = 1; flags < 256; flags <<= 1) {
        sqe->flags = (uint8_t)flags; /* fused, reserved, SGL without SGLs, reserved PSDT */
        CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    }
    rig_close_dirty(&r);
}

static void test_full_queue_wraps(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t cid = 0;

    rig_start(&r, &cfg);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < RIG_ENTRIES - 1; i++)
            cid = rig_put(&r, 1, rig_flush(&r));
        rig_ring(&r, 1, false, r.q[1].tail);
        rig_run(&r);
        for (unsigned i = 0; i < RIG_ENTRIES - 1; i++)
            CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid - (RIG_ENTRIES - 2) + i);
        CU_ASSERT(!rig_reap(&r, 1, &cqe));
    }
    rig_close(&r);
}

/* Nothing is posted to a completion queue whose head does not move. */
static void test_completion_queue_full(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_cqe cqe;
    struct rig r;

    rig_start(&r, &cfg);
    for (unsigned i = 0; i < RIG_ENTRIES - 1; i++)
        rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    for (unsigned i = 0; i < 5; i++)
        rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_stats(&r).flushes == RIG_ENTRIES + 4);
    CU_ASSERT((hg_le16_get(r.q[1].cq[RIG_ENTRIES - 1].status) & NVME_CQE_PHASE) == 0);
    for (unsigned i = 0; i < RIG_ENTRIES + 4; i++) {
        CU_ASSERT(rig_reap(&r, 1, &cqe));
        rig_run(&r);
    }
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    rig_close(&r);
}

static void test_shared_completion_queue(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_sqe *sqe;
    struct nvme_cqe cqe;
    struct rig r;

    rig_start(&r, &cfg);
    sqe = rig_admin(&r, NVME_ADM_CREATE_SQ, (RIG_ENTRIES - 1) << 16 | 2, 1u << 16 | NVME_QUEUE_PC);
    sqe->dptr[0] = hg_le64_put(r.q[2].sq_iova);
    CU_ASSERT(rig_do(&r, 0, sqe, NULL) == 0);
    rig_send(&r, 1, rig_flush(&r));
    rig_send(&r, 2, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.sqid) == 1);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.sqid) == 2);
    rig_close(&r);
}

static void test_bad_blocks(void)
{
    const uint16_t unrecovered = NVME_STATUS_MAKE(NVME_SCT_MEDIA, NVME_SCM_UNRECOVERED_READ);
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    rig_start(&r, &cfg);
    nvme_emu_bad_blocks(r.emu, 1, 10, 4);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 9, 1), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 13, 1), NULL) == unrecovered);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 14, 1), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 13, 1), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 13, 1), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 10, 1), NULL) == unrecovered);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 8, 6), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 10, 1), NULL) == 0);
    rig_close(&r);
}

static void test_no_payload(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_sqe *sqe;
    struct rig r;

    cfg.no_payload = true;
    rig_start(&r, &cfg);
    memset(r.data, 0x55, 4096);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == 0);
    CU_ASSERT(all(nvme_emu_medium(r.emu, 1), 4096, 0));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1), NULL) == 0 && r.data[0] == 0x55);
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    sqe = rig_rw(&r, NVME_NVM_WRITE, 0, 1); /* what is checked, stays checked */
    sqe->dptr[0] = hg_le64_put(4096);
    CU_ASSERT(rig_do(&r, 1, sqe, NULL) == RIG_GENERIC(NVME_SC_DATA_TRANSFER_ERROR));
    rig_close_dirty(&r);
}

static void test_file_image(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    char path[] = "/tmp/headgate-emu-XXXXXX";
    int fd = mkstemp(path);
    struct rig r;

    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    cfg.ns[0].path = path;
    rig_start(&r, &cfg);
    fill(r.data, 4096, 3);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 7, 1), NULL) == 0);
    rig_close(&r);
    rig_start(&r, &cfg);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 7, 1), NULL) == 0);
    CU_ASSERT(r.data[1] == (uint8_t)(7 + 3) && r.data[300] == (uint8_t)(2100 + 1 + 3));
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE_ZEROES, 0, 256), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 7, 1), NULL) == 0 && all(r.data, 4096, 0));
    rig_close(&r);
    unlink(path);
}

static void test_bad_configuration(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_emu *emu = NULL;
    struct hg_err err;

    cfg.ns[0].block = 1024;
    CU_ASSERT(nvme_emu_open(&cfg, &emu, &err) != 0 && strstr(err.text, "1024") != NULL);
    cfg = nvme_emu_cfg_default(1000, 512);
    CU_ASSERT(nvme_emu_open(&cfg, &emu, &err) != 0 && strstr(err.text, "1000") != NULL);
    cfg = nvme_emu_cfg_default(RIG_SIZE, 512);
    cfg.queues = 0;
    CU_ASSERT(nvme_emu_open(&cfg, &emu, &err) != 0);
    cfg = nvme_emu_cfg_default(RIG_SIZE, 512);
    cfg.ns[0].path = "/nowhere/at/all";
    CU_ASSERT(nvme_emu_open(&cfg, &emu, &err) != 0 && strstr(err.text, "/nowhere") != NULL);
    CU_ASSERT(emu == NULL);
}

static const CU_TestInfo tests[] = {
    {"what is written is read, to the last block and not beyond", test_write_and_read},
    {"transfers beyond MDTS are refused", test_mdts},
    {"write zeroes, and its own limit", test_write_zeroes},
    {"deallocate: ranges, limits, what is read afterwards", test_deallocate},
    {"optional commands may be missing", test_optional_commands},
    {"namespaces: protected, inactive, not there, all", test_namespaces},
    {"flags of an entry that are refused", test_flags_refused},
    {"a full queue, many times around", test_full_queue_wraps},
    {"a full completion queue waits for its head", test_completion_queue_full},
    {"two submission queues on one completion queue", test_shared_completion_queue},
    {"bad blocks fail reads until they are written", test_bad_blocks},
    {"without payload nothing moves and all is checked", test_no_payload},
    {"a file keeps the medium", test_file_image},
    {"wrong configurations are told", test_bad_configuration},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {{"emu_io", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
