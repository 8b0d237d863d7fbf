/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the emulated controller: each kind hits the command it names, once, and is counted; and
 * their text form. */
#include "emu_rig.h"
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

static unsigned long seed = 20261121;

/* I/O queue 1 with one fault, given as text. Its number. */
static int start(struct rig *r, const char *text)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_emu_fault fault;
    struct hg_err err;

    rig_start(r, &cfg);
    CU_ASSERT_FATAL(nvme_emu_fault_parse(text, &fault, &err) == 0);
    return nvme_emu_fault_add(r->emu, &fault);
}

static void test_fail(void)
{
    const uint16_t wanted =
        NVME_STATUS_MAKE(NVME_SCT_MEDIA, NVME_SCM_WRITE_FAULT) | NVME_STATUS_DNR;
    struct rig r;
    int f = start(&r, "fail=write:2-3:2/80/dnr");

    memset(r.data, 0x11, 4096);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == 0);
    memset(r.data, 0x22, 4096);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == wanted);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1), NULL) == 0);
    CU_ASSERT(nvme_emu_medium(r.emu, 1)[0] == 0); /* it had no effect */
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == wanted);
    CU_ASSERT(nvme_emu_fault_fired(r.emu, f) == 2);
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1), NULL) == 0);
    CU_ASSERT(nvme_emu_fault_fired(r.emu, f) == 2 && rig_stats(&r).injected == 2);
    rig_close(&r); /* and is no error of the driver */
}

static void test_lose(void)
{
    struct nvme_cqe cqe;
    struct rig r;

    start(&r, "lose=write:1");
    memset(r.data, 0x33, 4096);
    rig_send(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 5, 1));
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    CU_ASSERT(nvme_emu_medium(r.emu, 1)[5 * 4096] == 0x33); /* it was carried out */
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 5, 1), NULL) == 0);
    /* Its identifier stays in use until a reset. */
    r.cid -= 2;
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == RIG_GENERIC_DNR(NVME_SC_CID_CONFLICT));
    rig_disable(&r);
    rig_enable(&r);
    CU_ASSERT(rig_create_queue(&r, 1) == 0);
    r.cid = 0;
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    CU_ASSERT(rig_stats(&r).cid_in_use == 1);
    rig_close_dirty(&r);
}

static void test_duplicate(void)
{
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t cid;

    start(&r, "duplicate=flush:1");
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid);
    CU_ASSERT(!rig_reap(&r, 1, &cqe));
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    rig_close(&r);
}

static void test_wrong_identifiers(void)
{
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t cid;

    start(&r, "cid-free=flush:1");
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) != cid && hg_le16_get(cqe.cid) < 8);
    rig_close(&r);
    start(&r, "cid-range=flush:1");
    rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == 0xffff);
    rig_close(&r);
    start(&r, "sqid=flush:1");
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid && hg_le16_get(cqe.sqid) == 2);
    rig_close(&r);
    start(&r, "sqhd=flush:1");
    cid = rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid);
    CU_ASSERT(hg_le16_get(cqe.sqhd) == 0xffff);
    rig_close(&r);
}

static void test_late(void)
{
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t cid;

    start(&r, "late=write:1:200ms");
    memset(r.data, 0x44, 4096);
    cid = rig_send(&r, 1, rig_rw(&r, NVME_NVM_WRITE, 0, 1));
    r.now += HG_MS(1);
    rig_run(&r);
    r.now += HG_MS(200) - 1;
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 1, &cqe) && nvme_emu_medium(r.emu, 1)[0] == 0);
    r.now++;
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 1, &cqe) && hg_le16_get(cqe.cid) == cid && rig_status(&cqe) == 0);
    CU_ASSERT(nvme_emu_medium(r.emu, 1)[0] == 0x44);
    rig_close(&r);
}

/* A command that deletes its queue while others of it are held back. */
static void test_late_admin(void)
{
    struct nvme_emu_fault io = {.kind = NVME_EMU_LATE,
                                .opc = NVME_EMU_ANY,
                                .first = 1,
                                .last = NVME_EMU_FOREVER,
                                .delay_ns = HG_MS(2)};
    struct nvme_cqe cqe;
    struct rig r;

    start(&r, "late=delete-sq:1:1ms");
    nvme_emu_fault_add(r.emu, &io);
    for (unsigned i = 0; i < 10; i++)
        rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    rig_send(&r, 0, rig_admin(&r, NVME_ADM_DELETE_SQ, 1, 0));
    rig_run(&r);
    CU_ASSERT(!rig_reap(&r, 0, &cqe));
    r.now += HG_MS(5);
    rig_run(&r);
    CU_ASSERT(rig_reap(&r, 0, &cqe) && rig_status(&cqe) == 0);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(rig_reap(&r, 1, &cqe));
    rig_close(&r);
}

static void test_fatal_and_removal(void)
{
    struct nvme_cqe cqe;
    struct rig r;

    start(&r, "fatal=read:2");
    CU_ASSERT(rig_do(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1), NULL) == 0);
    rig_send(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1));
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == (NVME_CSTS_RDY | NVME_CSTS_CFS) && !rig_reap(&r, 1, &cqe));
    rig_disable(&r);
    rig_enable(&r);
    rig_close(&r);
    start(&r, "die=read:1");
    rig_send(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1));
    rig_run(&r);
    rig_write_cc(&r, 0);
    CU_ASSERT(rig_csts(&r) == NVME_CSTS_CFS);
    rig_close(&r);
    start(&r, "remove=read:1");
    for (unsigned i = 0; i < 5; i++)
        rig_send(&r, 1, rig_rw(&r, NVME_NVM_READ, 0, 1));
    rig_run(&r);
    CU_ASSERT(rig_csts(&r) == NVME_REG_GONE && !rig_reap(&r, 1, &cqe));
    rig_close(&r);
}

/* Every admin command of a start can be made to fail, by its number. */
static void test_admin_by_number(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct nvme_emu_fault fault;
    struct rig r;

    rig_open(&r, &cfg);
    rig_enable(&r);
    CU_ASSERT(nvme_emu_fault_parse("fail=admin:2:0/6", &fault, NULL) == 0);
    nvme_emu_fault_add(r.emu, &fault);
    CU_ASSERT(rig_create_queue(&r, 1) == RIG_GENERIC(NVME_SC_INTERNAL)); /* its second one */
    CU_ASSERT(rig_do(&r, 0, rig_admin(&r, NVME_ADM_IDENTIFY, NVME_CNS_CTRL, 0), NULL) == 0);
    nvme_emu_fault_clear(r.emu);
    CU_ASSERT(nvme_emu_fault_parse("fail=create-cq:1:1/1", &fault, NULL) == 0);
    nvme_emu_fault_add(r.emu, &fault);
    CU_ASSERT(rig_create_queue(&r, 2) == NVME_STATUS_MAKE(1, 1));
    rig_close(&r);
}

static void test_several(void)
{
    struct nvme_emu_fault flush = {
        .kind = NVME_EMU_FAIL, .opc = NVME_NVM_FLUSH, .first = 2, .status = NVME_STATUS_MAKE(0, 6)};
    struct rig r;
    int any = start(&r, "fail=io:3:0/5");

    CU_ASSERT(nvme_emu_fault_add(r.emu, &flush) == any + 1);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == NVME_STATUS_MAKE(0, 6));
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == NVME_STATUS_MAKE(0, 5));
    CU_ASSERT(rig_do(&r, 1, rig_flush(&r), NULL) == 0);
    for (unsigned i = 2; i < NVME_EMU_FAULTS_MAX; i++)
        CU_ASSERT(nvme_emu_fault_add(r.emu, &flush) >= 0);
    CU_ASSERT(nvme_emu_fault_add(r.emu, &flush) < 0);
    rig_close(&r);
}

/* All of them come, each once, not in the order they were sent; and the same order for a seed. */
static unsigned reordered(uint64_t order_seed)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    uint64_t came = 0;
    unsigned sum = 0;
    struct nvme_cqe cqe;
    struct rig r;
    uint16_t first;

    rig_start(&r, &cfg);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.reorder = order_seed});
    first = (uint16_t)(r.cid + 1);
    for (unsigned i = 0; i < RIG_ENTRIES - 1; i++)
        rig_send(&r, 1, rig_flush(&r));
    rig_run(&r);
    for (unsigned i = 0; i < RIG_ENTRIES - 1; i++) {
        unsigned n;

        CU_ASSERT_FATAL(rig_reap(&r, 1, &cqe));
        n = hg_le16_get(cqe.cid) - first;
        CU_ASSERT((came & 1ull << n) == 0);
        came |= 1ull << n;
        sum = sum * 31 + n;
    }
    CU_ASSERT(came == (1ull << (RIG_ENTRIES - 1)) - 1 && !rig_reap(&r, 1, &cqe));
    rig_close(&r);
    return sum;
}

static void test_reorder(void)
{
    unsigned in_order = 0;

    for (unsigned i = 0; i < RIG_ENTRIES - 1; i++)
        in_order = in_order * 31 + i;
    CU_ASSERT(reordered(0) == in_order);
    CU_ASSERT(reordered(seed) != in_order && reordered(seed) == reordered(seed));
    CU_ASSERT(reordered(seed + 1) != reordered(seed));
}

static void parsed(const char *text, struct nvme_emu_fault w)
{
    struct nvme_emu_fault f;
    struct hg_err err = {""};

    CU_ASSERT(nvme_emu_fault_parse(text, &f, &err) == 0);
    CU_ASSERT(f.kind == w.kind && f.admin == w.admin && f.opc == w.opc && f.first == w.first);
    CU_ASSERT(f.last == w.last && f.status == w.status && f.delay_ns == w.delay_ns);
}

static void test_text(void)
{
    static const char *const wrong[] = {
        "",
        "fail",
        "fail=",
        "fail=write",
        "fail=write:",
        "fail=write:0:2/81",
        "fail=write:x:2/81",
        "fail=write:7",
        "fail=write:7:2",
        "fail=write:7:2/81/no",
        "fail=write:7:0/0",
        "fail=write:7-6:2/81",
        "fail=wrote:7:2/81",
        "fall=write:7:2/81",
        "lose=read:1:5",
        "late=read:1",
        "late=read:1:soon",
        "late=read:1:2/81",
        "lose=read:1-2-3",
        "lose=read:1111111111111111111111111111111111111111111111111111111111111111111111"};
    struct nvme_emu_fault f;
    struct hg_err err;

    parsed("fail=write:7:2/81", (struct nvme_emu_fault){.opc = NVME_NVM_WRITE,
                                                        .first = 7,
                                                        .status = NVME_STATUS_MAKE(2, 0x81)});
    parsed("lose=create-cq:1",
           (struct nvme_emu_fault){
               .kind = NVME_EMU_LOSE, .admin = true, .opc = NVME_ADM_CREATE_CQ, .first = 1});
    parsed("late=io:3-:never", (struct nvme_emu_fault){.kind = NVME_EMU_LATE,
                                                       .opc = NVME_EMU_ANY,
                                                       .first = 3,
                                                       .last = NVME_EMU_FOREVER,
                                                       .delay_ns = NVME_EMU_NEVER});
    parsed("late=admin:3-4:200ms", (struct nvme_emu_fault){.kind = NVME_EMU_LATE,
                                                           .admin = true,
                                                           .opc = NVME_EMU_ANY,
                                                           .first = 3,
                                                           .last = 4,
                                                           .delay_ns = HG_MS(200)});
    for (unsigned i = 0; i < HG_ARRAY_LEN(wrong); i++) {
        err.text[0] = '\0';
        CU_ASSERT(nvme_emu_fault_parse(wrong[i], &f, &err) < 0 && err.text[0] != '\0');
    }
}

static const CU_TestInfo tests[] = {
    {"fail: the commands named, without effect", test_fail},
    {"lose: carried out, never answered, identifier in use", test_lose},
    {"duplicate: answered twice", test_duplicate},
    {"wrong identifiers, queue and head", test_wrong_identifiers},
    {"late: carried out when it is time", test_late},
    {"late commands of a queue that is deleted late", test_late_admin},
    {"fatal, dead, removed at a command", test_fatal_and_removal},
    {"admin commands by their number", test_admin_by_number},
    {"several faults count for themselves", test_several},
    {"reordering: each once, the same for a seed", test_reorder},
    {"text form", test_text},
    CU_TEST_INFO_NULL,
};

int main(int argc, char **argv)
{
    CU_SuiteInfo suites[] = {{"emu_fault", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
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
