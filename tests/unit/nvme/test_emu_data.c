/* SPDX-License-Identifier: BSD-3-Clause */
/* Data pointers on the emulated controller: PRPs by base spec 4.1.1, SGLs by 4.1.2, and that every
 * address is checked. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 64u            /* of data in use */
#define LISTS (RIG_DATA / 2) /* offset in the data where lists are */

static const uint16_t bad_offset = RIG_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
static const uint16_t no_memory = RIG_GENERIC(NVME_SC_DATA_TRANSFER_ERROR);

static void start(struct rig *r, uint8_t sgls)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 512);

    cfg.mdts = 0;
    cfg.sgls = sgls;
    rig_start(r, &cfg);
    for (unsigned i = 0; i < RIG_SIZE; i++)
        nvme_emu_medium(r->emu, 1)[i] = (uint8_t)(i * 31 + i / 512);
}

static hg_le64 *list_at(struct rig *r, unsigned page, unsigned offset)
{
    return (hg_le64 *)(void *)(r->data + LISTS + page * 4096 + offset);
}

static uint64_t list_iova(const struct rig *r, unsigned page, unsigned offset)
{
    return r->data_iova + LISTS + page * 4096 + offset;
}

static uint16_t read_prps(struct rig *r, uint64_t prp1, uint64_t prp2, uint32_t blocks)
{
    struct nvme_sqe *sqe = rig_rw(r, NVME_NVM_READ, 0, blocks);

    sqe->dptr[0] = hg_le64_put(prp1);
    sqe->dptr[1] = hg_le64_put(prp2);
    return rig_do(r, 1, sqe, NULL);
}

/* The medium's first bytes are at data + offset. */
static bool got(struct rig *r, size_t from, size_t at, size_t len)
{
    return memcmp(r->data + at, nvme_emu_medium(r->emu, 1) + from, len) == 0;
}

static void test_one_and_two_pages(void)
{
    struct rig r;

    start(&r, 0);
    CU_ASSERT(read_prps(&r, r.data_iova, 0xdead, 8) == 0 && got(&r, 0, 0, 4096));
    CU_ASSERT(read_prps(&r, r.data_iova + 3584, 0xdead, 1) == 0 && got(&r, 0, 3584, 512));
    CU_ASSERT(read_prps(&r, r.data_iova + 3588, r.data_iova + 8192, 1) == 0);
    CU_ASSERT(got(&r, 0, 3588, 508) && got(&r, 508, 8192, 4));
    CU_ASSERT(read_prps(&r, r.data_iova + 4, r.data_iova + 16384, 8) == 0);
    CU_ASSERT(got(&r, 0, 4, 4092) && got(&r, 4092, 16384, 4));
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    CU_ASSERT(read_prps(&r, r.data_iova + 2, 0, 1) == bad_offset);
    CU_ASSERT(read_prps(&r, r.data_iova, r.data_iova + 4100, 9) == bad_offset);
    CU_ASSERT(read_prps(&r, r.data_iova + 4, r.data_iova + 4096 + 512, 8) == bad_offset);
    CU_ASSERT(rig_stats(&r).prp == 3);
    rig_close_dirty(&r);
}

static void test_list(void)
{
    struct rig r;

    start(&r, 0);
    for (unsigned i = 0; i < 8; i++) /* every second page, backwards */
        *(list_at(&r, 0, 8 * i)) = hg_le64_put(r.data_iova + (16 - 2 * i) * 4096);
    CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, 0), 8 + 64) == 0);
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT(got(&r, 4096 + i * 4096, (16 - 2 * i) * 4096, 4096));
    CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, 4), 8 + 64) == bad_offset);
    *list_at(&r, 0, 8) = hg_le64_put(r.data_iova + 4096 + 4);
    CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, 0), 8 + 64) == bad_offset);
    CU_ASSERT(rig_stats(&r).prp == 2);
    rig_close_dirty(&r);
}

/* Lists that begin `back` entries before the end of their page, so that they go on in the next. */
static void chained(unsigned back, unsigned pages)
{
    unsigned offset = 4096 - 8 * back;
    struct rig r;

    start(&r, 0);
    for (unsigned i = 0; i < pages; i++) {
        hg_le64 entry = hg_le64_put(r.data_iova + (i + 1) * 4096);

        if (pages > back && i >= back - 1)
            *list_at(&r, 1, 8 * (i - (back - 1))) = entry;
        else
            *list_at(&r, 0, offset + 8 * i) = entry;
    }
    if (pages > back)
        *list_at(&r, 0, 4096 - 8) = hg_le64_put(list_iova(&r, 1, 0));
    CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, offset), 8 * (1 + pages)) == 0);
    CU_ASSERT(got(&r, 0, 0, (1 + pages) * 4096));
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    if (pages > back) { /* a pointer to a list has no offset */
        *list_at(&r, 0, 4096 - 8) = hg_le64_put(list_iova(&r, 1, 8));
        CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, offset), 8 * (1 + pages)) ==
                  bad_offset);
    }
    rig_close_dirty(&r);
}

static void test_chained_lists(void)
{
    for (unsigned back = 1; back <= 5; back++) {
        for (unsigned pages = 2; pages <= 8; pages++)
            chained(back, pages);
    }
}

static void test_every_address_is_checked(void)
{
    const uint64_t nowhere = 1u << 20;
    struct rig r;

    start(&r, 0);
    memset(r.data, 0x77, PAGES * 4096);
    CU_ASSERT(read_prps(&r, nowhere, 0, 1) == no_memory);
    CU_ASSERT(read_prps(&r, (uintptr_t)r.data, 0, 1) == no_memory); /* a pointer is no address */
    CU_ASSERT(read_prps(&r, r.data_iova, nowhere, 9) == no_memory);
    CU_ASSERT(read_prps(&r, r.data_iova, nowhere, 64) == no_memory); /* the list itself */
    *list_at(&r, 0, 0) = hg_le64_put(r.data_iova + 4096);
    *list_at(&r, 0, 8) = hg_le64_put(nowhere);
    CU_ASSERT(read_prps(&r, r.data_iova, list_iova(&r, 0, 0), 24) == no_memory);
    CU_ASSERT(read_prps(&r, r.data_iova + RIG_DATA - 4096, r.data_iova + RIG_DATA, 9) == no_memory);
    CU_ASSERT(rig_stats(&r).dma == 6);
    for (unsigned i = 0; i < PAGES * 4096; i++)
        CU_ASSERT_FATAL(r.data[i] == 0x77); /* and nothing was transferred */
    rig_close_dirty(&r);
}

static void test_larger_page(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 512);
    struct nvme_sqe *sqe;
    struct rig r;

    cfg.mpsmin = cfg.mpsmax = 1;
    rig_open(&r, &cfg);
    rig_set_admin(&r);
    nvme_reg_write64(r.dev, NVME_REG_ASQ, r.data_iova & ~8191ull);
    nvme_reg_write64(r.dev, NVME_REG_ACQ, (r.data_iova & ~8191ull) + 65536);
    rig_write_cc(&r, NVME_CC_EN | NVME_CC_MPS(0) | NVME_CC_IOSQES | NVME_CC_IOCQES);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS); /* pages of 4096 are below MPSMIN */
    rig_write_cc(&r, 0);
    if (r.q[0].sq_iova % 8192 == 0 && r.q[0].cq_iova % 8192 == 0) {
        rig_set_admin(&r);
        rig_write_cc(&r, NVME_CC_EN | NVME_CC_MPS(1) | NVME_CC_IOSQES | NVME_CC_IOCQES);
        CU_ASSERT(rig_csts(&r) == NVME_CSTS_RDY);
        sqe = rig_admin(&r, NVME_ADM_IDENTIFY, NVME_CNS_CTRL, 0);
        sqe->dptr[0] = hg_le64_put((r.data_iova & ~8191ull) + 8192 + 4096);
        CU_ASSERT(rig_do(&r, 0, sqe, NULL) == 0); /* all of it within one page of 8192 */
    }
    rig_close_dirty(&r);
}

/* ---- SGLs ---- */

static struct nvme_sgl_desc desc(uint8_t type, uint64_t addr, uint32_t len)
{
    return (struct nvme_sgl_desc){.addr = hg_le64_put(addr), .len = hg_le32_put(len), .type = type};
}

static uint16_t read_sgl(struct rig *r, struct nvme_sgl_desc d, uint32_t blocks)
{
    struct nvme_sqe *sqe = rig_rw(r, NVME_NVM_READ, 0, blocks);

    sqe->flags = NVME_SQE_PSDT_SGL;
    memcpy(sqe->dptr, &d, sizeof d);
    return rig_do(r, 1, sqe, NULL);
}

static void test_sgl(void)
{
    struct nvme_sgl_desc *list;
    struct rig r;

    start(&r, 1);
    list = (struct nvme_sgl_desc *)(void *)list_at(&r, 0, 0);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_DATA, r.data_iova + 1, 1024), 2) == 0);
    CU_ASSERT(got(&r, 0, 1, 1024));
    list[0] = desc(NVME_SGL_DATA, r.data_iova + 5000, 1000);
    list[1] = desc(NVME_SGL_DATA, r.data_iova + 1, 24);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_LAST_SEGMENT, list_iova(&r, 0, 0), 32), 2) == 0);
    CU_ASSERT(got(&r, 0, 5000, 1000) && got(&r, 1000, 1, 24));
    /* two segments */
    list[1] = desc(NVME_SGL_LAST_SEGMENT, list_iova(&r, 1, 16), 16);
    list[256 + 1] = desc(NVME_SGL_DATA, r.data_iova + 9001, 24);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_SEGMENT, list_iova(&r, 0, 0), 32), 2) == 0);
    CU_ASSERT(got(&r, 1000, 9001, 24));
    rig_close(&r);
}

static void test_sgl_refused(void)
{
    const uint16_t length = RIG_GENERIC_DNR(0x0f);
    const uint16_t type = RIG_GENERIC_DNR(0x11);
    const uint16_t segment = RIG_GENERIC_DNR(NVME_SC_INVALID_SGL_SEG);
    struct nvme_sgl_desc *list;
    struct rig r;

    start(&r, 1);
    list = (struct nvme_sgl_desc *)(void *)list_at(&r, 0, 0);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_DATA, r.data_iova, 511), 1) == length);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_DATA, r.data_iova, 513), 1) == length);
    CU_ASSERT(read_sgl(&r, desc(0x10, r.data_iova, 512), 1) == type); /* bit bucket */
    CU_ASSERT(read_sgl(&r, desc(0x01, r.data_iova, 512), 1) == type); /* sub type */
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_LAST_SEGMENT, list_iova(&r, 0, 0), 0), 1) == segment);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_LAST_SEGMENT, list_iova(&r, 0, 0), 17), 1) == segment);
    list[0] = desc(NVME_SGL_DATA, r.data_iova, 512);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_SEGMENT, list_iova(&r, 0, 0), 16), 1) == segment);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_LAST_SEGMENT, list_iova(&r, 0, 0), 16), 2) == length);
    list[0] = desc(NVME_SGL_SEGMENT, list_iova(&r, 0, 0), 16); /* for ever around */
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_SEGMENT, list_iova(&r, 0, 0), 16), 1) == segment);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_LAST_SEGMENT, 4096, 16), 1) == no_memory);
    CU_ASSERT(rig_stats(&r).sgl == 9 && rig_stats(&r).dma == 1);
    rig_close_dirty(&r);
}

static void test_sgl_of_dwords(void)
{
    struct rig r;

    start(&r, 2);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_DATA, r.data_iova + 4, 512), 1) == 0);
    CU_ASSERT(read_sgl(&r, desc(NVME_SGL_DATA, r.data_iova + 1, 512), 1) ==
              RIG_GENERIC_DNR(NVME_SC_INVALID_FIELD));
    rig_close_dirty(&r);
}

/* Memory that is taken away while a command may still write to it. */
static void test_taken_away(void)
{
    struct nvme_emu_fault late = {
        .kind = NVME_EMU_LATE, .opc = NVME_NVM_READ, .first = 1, .last = 2, .delay_ns = HG_MS(1)};
    struct nvme_emu_fault lost = {.kind = NVME_EMU_LOSE, .opc = NVME_NVM_READ, .first = 2};
    uint64_t iova;
    uint8_t *mem;
    struct rig r;

    for (unsigned i = 0; i < 2; i++) {
        struct nvme_sqe *sqe;

        start(&r, 0);
        nvme_emu_fault_add(r.emu, i == 0 ? &late : &lost);
        CU_ASSERT(read_prps(&r, r.data_iova, 0, 1) == (i == 0 ? 0xffff : 0));
        r.now += HG_MS(1);
        rig_run(&r);
        mem = aligned_alloc(4096, 8192);
        CU_ASSERT_FATAL(mem != NULL && r.dev->ops->dma_map(r.dev, mem, 8192, &iova) == 0);
        sqe = rig_rw(&r, NVME_NVM_READ, 0, 1);
        sqe->dptr[0] = hg_le64_put(iova + 512);
        rig_send(&r, 1, sqe);
        rig_run(&r);
        r.dev->ops->dma_unmap(r.dev, mem, 8192);
        CU_ASSERT(rig_stats(&r).dma_in_use == 1);
        r.now += HG_MS(1);
        rig_run(&r);
        CU_ASSERT(rig_stats(&r).dma == (i == 0)); /* carried out later, it found nothing */
        free(mem);
        rig_close_dirty(&r);
    }
}

static const CU_TestInfo tests[] = {
    {"PRPs: one page and two", test_one_and_two_pages},
    {"PRPs: a list", test_list},
    {"PRPs: lists that go on in another page", test_chained_lists},
    {"every address is checked before anything moves", test_every_address_is_checked},
    {"pages larger than 4096", test_larger_page},
    {"SGLs: one descriptor, a segment, two segments", test_sgl},
    {"SGLs: what is refused", test_sgl_refused},
    {"SGLs: of dwords only", test_sgl_of_dwords},
    {"memory taken away from a command is noticed", test_taken_away},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {{"emu_data", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
