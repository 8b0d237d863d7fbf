/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command builder: PRP lists are read back by a walker that does what base spec 4.1.1 tells a
 * controller to do and knows nothing of the builder; it must find exactly the pieces' bytes, in
 * order. Fields of all commands stand in a table of raw dwords. Argument: the seed of the random
 * part.
 */
#include "nvme_cmd.h"
#include <headgate/base.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_PAGES 4u
#define LIST_IOVA UINT64_C(0x7fff00000000)
#define DATA_IOVA UINT64_C(0x100000000)
#define BLOCK 512u
#define LEN_MAX (4u << 20)
#define SEGS_MAX 64u
#define POISON UINT64_C(0xdeadbeefdeadbeef)

static _Alignas(4096) uint64_t list_mem[LIST_PAGES * NVME_PRPS_PER_PAGE];

static const struct nvme_list list = {.mem = list_mem, .iova = LIST_IOVA, .pages = LIST_PAGES};

/* Only as much as the last command wrote, or the sweep over all lengths takes minutes. */
static void poison(uint64_t entries)
{
    for (uint64_t i = 0; i < entries && i < HG_ARRAY_LEN(list_mem); i++)
        list_mem[i] = POISON;
}

/* ---- the controller's side ---- */

/* What a walk has still to find. */
struct expect {
    const struct nvme_seg *segs;
    unsigned n, at;
    uint32_t done;      /* bytes of segs[at] found */
    uint64_t left;      /* bytes to come in all pieces */
    const char *failed; /* the first thing that was wrong */
};

static bool wrong(struct expect *e, const char *what)
{
    if (e->failed == NULL)
        e->failed = what;
    return false;
}

/* One page or less of data that the controller moves at addr. */
static bool take(struct expect *e, uint64_t addr, uint64_t room)
{
    uint64_t bytes = room < e->left ? room : e->left;

    e->left -= bytes;
    while (bytes > 0) {
        const struct nvme_seg *seg = &e->segs[e->at];
        uint64_t some = seg->len - e->done;

        if (addr != seg->iova + e->done)
            return wrong(e, "bytes are moved to another address than the piece has");
        some = some < bytes ? some : bytes;
        addr += some;
        bytes -= some;
        e->done += (uint32_t)some;
        if (e->done == seg->len) {
            e->done = 0;
            e->at++;
        }
    }
    return true;
}

/* The list at `at` (base spec 4.1.1: the last entry of a page leads on when more is to come). */
static bool walk_list(struct expect *e, uint64_t at)
{
    for (;;) {
        unsigned page = (unsigned)((at - LIST_IOVA) / NVME_PAGE);

        if (at % NVME_PAGE != 0 || at < LIST_IOVA || page >= LIST_PAGES)
            return wrong(e, "a list outside of its memory or within a page");
        for (unsigned i = 0; i < NVME_PRPS_PER_PAGE; i++) {
            uint64_t entry = list_mem[page * NVME_PRPS_PER_PAGE + i];

            if (i == NVME_PRPS_PER_PAGE - 1 && e->left > NVME_PAGE) {
                at = entry;
                break;
            }
            if (entry % NVME_PAGE != 0)
                return wrong(e, "an entry of a list with an offset, or never written");
            if (!take(e, entry, NVME_PAGE))
                return false;
            if (e->left == 0)
                return true;
        }
    }
}

static bool walk(struct expect *e, const struct nvme_sqe *sqe)
{
    uint64_t prp1 = hg_le64_get(sqe->dptr[0]), prp2 = hg_le64_get(sqe->dptr[1]);
    uint64_t room = NVME_PAGE - prp1 % NVME_PAGE;

    if (prp1 % 4 != 0)
        return wrong(e, "PRP1 is not aligned to four bytes");
    if (!take(e, prp1, room))
        return false;
    if (e->left == 0)
        return prp2 == 0 || wrong(e, "PRP2 is set without need");
    if (e->left > NVME_PAGE)
        return walk_list(e, prp2);
    if (prp2 % NVME_PAGE != 0)
        return wrong(e, "PRP2 has an offset");
    return take(e, prp2, NVME_PAGE);
}

/* Builds and walks. */
static const char *check(const struct nvme_seg *segs, unsigned n)
{
    struct expect e = {.segs = segs, .n = n};
    struct nvme_sqe sqe;

    memset(&sqe, 0, sizeof sqe);
    for (unsigned i = 0; i < n; i++)
        e.left += segs[i].len;
    poison(e.left / NVME_PAGE + LIST_PAGES);
    if (nvme_prp_fill(&sqe, segs, n, &list) != 0)
        return "refused";
    if (!walk(&e, &sqe))
        return e.failed;
    return e.at == n ? NULL : "pieces are left over";
}

static unsigned check_one(uint64_t offset, uint32_t len)
{
    struct nvme_seg seg = {DATA_IOVA + offset, len};
    const char *failed = check(&seg, 1);

    if (failed != NULL)
        printf("offset %u, %u bytes: %s\n", (unsigned)offset, (unsigned)len, failed);
    return failed != NULL;
}

static void test_every_length(void)
{
    static const uint32_t offsets[] = {0, 4, 508, 512, 2048, 3584, 3588, 4088, 4092};
    unsigned failed = 0;

    for (unsigned i = 0; i < HG_ARRAY_LEN(offsets); i++)
        for (uint32_t len = BLOCK; len <= LEN_MAX; len += BLOCK)
            failed += check_one(offsets[i], len);
    CU_ASSERT_EQUAL(failed, 0);
}

static void test_every_alignment(void)
{
    /* Around the ends of one, two and three pages, and of one, two and three pages of list. */
    static const uint32_t pages[] = {0, 1, 2, 3, 511, 512, 513, 514, 1022, 1023, 1024};
    unsigned failed = 0;

    for (uint32_t offset = 0; offset < NVME_PAGE; offset += 4)
        for (unsigned i = 0; i < HG_ARRAY_LEN(pages); i++)
            for (uint32_t blocks = 0; blocks <= 8; blocks++)
                if (pages[i] + blocks > 0 && pages[i] * NVME_PAGE + blocks * BLOCK <= LEN_MAX)
                    failed += check_one(offset, pages[i] * NVME_PAGE + blocks * BLOCK);
    CU_ASSERT_EQUAL(failed, 0);
}

/* ---- several pieces ---- */

/* A random row of pieces that PRPs can describe: some go on where the former ended, within a page or
 * at its edge, the others begin a page elsewhere. */
static unsigned draw(struct nvme_seg *segs, unsigned short seed[3])
{
    unsigned n = 1 + (unsigned)(nrand48(seed) % SEGS_MAX);

    segs[0].iova = DATA_IOVA + (uint64_t)(nrand48(seed) % 1024) * 4;
    for (unsigned i = 0; i < n; i++) {
        bool within = nrand48(seed) % 4 == 0;
        uint64_t end;

        segs[i].len = (uint32_t)(1 + nrand48(seed) % 32) * BLOCK;
        end = segs[i].iova + segs[i].len;
        if (!within)
            segs[i].len += (uint32_t)(-end % NVME_PAGE);
        end = segs[i].iova + segs[i].len;
        if (i + 1 < n)
            segs[i + 1].iova = within || nrand48(seed) % 4 == 0
                                   ? end
                                   : DATA_IOVA + (uint64_t)(nrand48(seed) % 100000) * NVME_PAGE;
    }
    return n;
}

static unsigned short start_seed[3];

static void test_pieces(void)
{
    struct nvme_seg segs[SEGS_MAX];
    unsigned short seed[3];
    unsigned failed = 0;

    memcpy(seed, start_seed, sizeof seed);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = draw(segs, seed);
        const char *what = check(segs, n);
        uint64_t sum = 0;

        for (unsigned k = 0; k < n; k++)
            sum += segs[k].len;
        if (what == NULL && nvme_prp_fit(segs, n, UINT32_MAX, 1) != sum)
            what = "fits not";
        if (what != NULL)
            printf("row %u of %u pieces: %s\n", i, n, what);
        failed += what != NULL;
    }
    CU_ASSERT_EQUAL(failed, 0);
}

static void test_refused(void)
{
    static const struct {
        struct nvme_seg segs[3];
        unsigned n;
    } bad[] = {
        {{{0x1002, 512}}, 1},                             /* not aligned to four bytes */
        {{{0x1000, 512}, {0x3000, 512}}, 2},              /* ends within a page */
        {{{0x1000, 4096}, {0x3200, 512}}, 2},             /* begins within a page */
        {{{0x1000, 4096}, {0x3000, 512}, {0x5000, 1}}, 3} /* the one between ends within a page */
    };
    struct nvme_sqe sqe, before;

    memset(&sqe, 0x5a, sizeof sqe);
    before = sqe;
    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(nvme_prp_fill(&sqe, bad[i].segs, bad[i].n, &list), -EINVAL);
    CU_ASSERT_EQUAL(nvme_prp_fill(&sqe, bad[0].segs, 0, &list), -EINVAL);
    CU_ASSERT(memcmp(&sqe, &before, sizeof sqe) == 0);
}

/* As many bytes as lists of 0..3 pages can describe, and one page more. */
static void test_list_too_small(void)
{
    static const uint32_t entries[] = {1, 512, 511 + 512, 511 + 511 + 512};
    struct nvme_sqe sqe, before;

    memset(&sqe, 0, sizeof sqe);
    before = sqe;
    for (unsigned pages = 0; pages < HG_ARRAY_LEN(entries); pages++) {
        struct nvme_list small = {list_mem, LIST_IOVA, pages};
        struct nvme_seg fits = {DATA_IOVA, (1 + entries[pages]) * NVME_PAGE};
        struct nvme_seg too_long = {DATA_IOVA, fits.len + BLOCK};

        CU_ASSERT_EQUAL(nvme_prp_fill(&sqe, &too_long, 1, &small), -E2BIG);
        CU_ASSERT(memcmp(&sqe, &before, sizeof sqe) == 0);
        list_mem[pages * NVME_PRPS_PER_PAGE] = POISON;
        CU_ASSERT_EQUAL(nvme_prp_fill(&sqe, &fits, 1, &small), 0);
        CU_ASSERT_EQUAL(list_mem[pages * NVME_PRPS_PER_PAGE], POISON);
        sqe = before;
    }
    CU_ASSERT_EQUAL(nvme_prp_fill(&sqe, &(struct nvme_seg){DATA_IOVA, 12288}, 1, NULL), -E2BIG);
}

static void test_fit(void)
{
    static const struct {
        struct nvme_seg segs[3];
        unsigned n;
        uint32_t max, block, fit;
    } rows[] = {
        {{{0x1000, 4096}}, 1, UINT32_MAX, 512, 4096},
        {{{0x1000, 4096}}, 1, 4095, 512, 3584},
        {{{0x1000, 4096}}, 1, 511, 512, 0},
        {{{0x1000, 4096}}, 1, UINT32_MAX, 4096, 4096},
        {{{0x1004, 4096}}, 1, UINT32_MAX, 4096, 4096},
        {{{0x1002, 4096}}, 1, UINT32_MAX, 512, 0},
        {{{0x1e00, 512}, {0x5000, 1024}}, 2, UINT32_MAX, 512, 1536},
        {{{0x1e00, 512}, {0x5000, 1024}}, 2, UINT32_MAX, 1024, 1024},
        {{{0x1c00, 512}, {0x5000, 1024}}, 2, UINT32_MAX, 512, 512},
        {{{0x1c00, 512}, {0x1e00, 512}, {0x9000, 512}}, 3, UINT32_MAX, 512, 1536},
        {{{0x1e00, 512}, {0x5000, 4096}, {0x7200, 512}}, 3, UINT32_MAX, 512, 4608},
        {{{0x1000, 1u << 31}, {0x80001000, 1u << 31}}, 2, UINT32_MAX, 512, UINT32_MAX - 511},
        {{{0x1000, 512}}, 0, UINT32_MAX, 512, 0},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        CU_ASSERT_EQUAL(nvme_prp_fit(rows[i].segs, rows[i].n, rows[i].max, rows[i].block),
                        rows[i].fit);
}

/* ---- SGL: base spec 4.1.2 ---- */

static bool desc_is(const void *at, uint64_t iova, uint32_t len, uint8_t type)
{
    const uint8_t *b = at;
    uint64_t addr;
    uint32_t bytes;

    memcpy(&addr, b, 8);
    memcpy(&bytes, b + 8, 4);
    return addr == iova && bytes == len && b[12] == 0 && b[13] == 0 && b[14] == 0 && b[15] == type;
}

static void test_sgl(void)
{
    static const struct nvme_seg segs[3] = {{0x1003, 5}, {0x9000, 4096}, {0x123456789ab, 7}};
    const struct nvme_list one_page = {list_mem, LIST_IOVA, 1};
    struct nvme_seg many[257];
    struct nvme_sqe sqe;

    memset(&sqe, 0, sizeof sqe);
    CU_ASSERT_EQUAL(nvme_sgl_fill(&sqe, segs, 1, NULL), 0);
    CU_ASSERT_EQUAL(sqe.flags, 0x40);
    CU_ASSERT(desc_is((const uint8_t *)&sqe + 24, 0x1003, 5, 0x00));

    memset(&sqe, 0, sizeof sqe);
    CU_ASSERT_EQUAL(nvme_sgl_fill(&sqe, segs, 3, &one_page), 0);
    CU_ASSERT_EQUAL(sqe.flags, 0x40);
    CU_ASSERT(desc_is((const uint8_t *)&sqe + 24, LIST_IOVA, 48, 0x30));
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT(desc_is((uint8_t *)list_mem + 16 * i, segs[i].iova, segs[i].len, 0x00));

    for (unsigned i = 0; i < HG_ARRAY_LEN(many); i++)
        many[i] = segs[0];
    memset(&sqe, 0, sizeof sqe);
    CU_ASSERT_EQUAL(nvme_sgl_fill(&sqe, many, 257, &one_page), -E2BIG);
    CU_ASSERT_EQUAL(nvme_sgl_fill(&sqe, segs, 2, NULL), -E2BIG);
    CU_ASSERT_EQUAL(sqe.flags, 0);
    CU_ASSERT_EQUAL(nvme_sgl_fill(&sqe, many, 256, &one_page), 0);
    CU_ASSERT(desc_is((const uint8_t *)&sqe + 24, LIST_IOVA, 4096, 0x30));
}

/* ---- fields ---- */

/* Dwords of a submission entry as they are in memory: index and value; the others are 0. */
struct dword {
    unsigned at;
    uint32_t value;
};

static void fields(const char *name, const struct nvme_sqe *sqe, const struct dword *dw)
{
    uint32_t want[16] = {0}, got[16];

    for (; dw->at != 16; dw++)
        want[dw->at] = dw->value;
    memcpy(got, sqe, sizeof got);
    for (unsigned i = 0; i < 16; i++) {
        if (got[i] != want[i])
            printf("%s: dword %u is %08x, not %08x\n", name, i, got[i], want[i]);
        CU_ASSERT_EQUAL(got[i], want[i]);
    }
}

/* The entry is full of rubbish before. */
#define FIELDS(call, ...)                                                                          \
    do {                                                                                           \
        memset(&sqe, 0xff, sizeof sqe);                                                            \
        nvme_cmd_##call;                                                                           \
        fields(#call, &sqe, (const struct dword[]){__VA_ARGS__, {16, 0}});                         \
    } while (0)

/* NVM spec 3.2. */
static void test_nvm_fields(void)
{
    const struct nvme_lbas at = {7, UINT64_C(0x123456789a), 65536}, one = {1, 5, 1};
    struct nvme_sqe sqe;

    FIELDS(read(&sqe, &at), {0, 0x02}, {1, 7}, {10, 0x3456789a}, {11, 0x12}, {12, 0xffff});
    FIELDS(read(&sqe, &one), {0, 0x02}, {1, 1}, {10, 5});
    FIELDS(write(&sqe, &one, false), {0, 0x01}, {1, 1}, {10, 5});
    FIELDS(write(&sqe, &at, true), {0, 0x01}, {1, 7}, {10, 0x3456789a}, {11, 0x12},
           {12, 0x4000ffff});
    FIELDS(write_zeroes(&sqe, &one, false), {0, 0x08}, {1, 1}, {10, 5});
    FIELDS(write_zeroes(&sqe, &one, true), {0, 0x08}, {1, 1}, {10, 5}, {12, 0x40000000});
    FIELDS(flush(&sqe, 9), {0, 0x00}, {1, 9});
    FIELDS(deallocate(&sqe, 9, 256, UINT64_C(0x2000001000)), {0, 0x09}, {1, 9}, {6, 0x1000},
           {7, 0x20}, {10, 255}, {11, 4});
}

/* Base spec 5. */
static void test_admin_fields(void)
{
    const uint64_t iova = UINT64_C(0x2000001000);
    struct nvme_sqe sqe;

    FIELDS(identify(&sqe, NVME_CNS_CTRL, 0, iova), {0, 0x06}, {6, 0x1000}, {7, 0x20}, {10, 1});
    FIELDS(identify(&sqe, NVME_CNS_NS_LIST, 3, iova), {0, 0x06}, {1, 3}, {6, 0x1000}, {7, 0x20},
           {10, 2});
    FIELDS(set_feature(&sqe, NVME_FEAT_NUM_QUEUES, 0x00030003), {0, 0x09}, {10, 7},
           {11, 0x00030003});
    FIELDS(get_feature(&sqe, NVME_FEAT_VWC), {0, 0x0a}, {10, 6});
    FIELDS(get_log(&sqe, NVME_LOG_SMART, 512, iova), {0, 0x02}, {1, 0xffffffff}, {6, 0x1000},
           {7, 0x20}, {10, 127u << 16 | 2});
    FIELDS(get_log(&sqe, NVME_LOG_CHANGED_NS, 4096, iova), {0, 0x02}, {1, 0xffffffff}, {6, 0x1000},
           {7, 0x20}, {10, 1023u << 16 | 4});
    FIELDS(create_cq(&sqe, 3, 256, iova), {0, 0x05}, {6, 0x1000}, {7, 0x20}, {10, 255u << 16 | 3},
           {11, 1});
    FIELDS(create_sq(&sqe, 3, 65536, iova), {0, 0x01}, {6, 0x1000}, {7, 0x20}, {10, 0xffff0003},
           {11, 3u << 16 | 1});
    FIELDS(delete_cq(&sqe, 3), {0, 0x04}, {10, 3});
    FIELDS(delete_sq(&sqe, 3), {0, 0x00}, {10, 3});
    FIELDS(abort(&sqe, 3, 0x1234), {0, 0x08}, {10, 0x12340003});
    FIELDS(async_event(&sqe), {0, 0x0c});
    FIELDS(dbbuf(&sqe, iova, UINT64_C(0x3000)), {0, 0x7c}, {6, 0x1000}, {7, 0x20}, {8, 0x3000});
}

int main(int argc, char **argv)
{
    unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20261121;
    CU_pSuite s;
    unsigned failed;

    start_seed[0] = (unsigned short)seed;
    start_seed[1] = (unsigned short)(seed >> 16);
    printf("seed %lu\n", seed);
    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite("nvme_cmd", NULL, NULL)) == NULL)
        return 1;
    CU_add_test(s, "PRPs: every length to 4 MiB", test_every_length);
    CU_add_test(s, "PRPs: every alignment", test_every_alignment);
    CU_add_test(s, "PRPs: several pieces", test_pieces);
    CU_add_test(s, "PRPs: what they cannot describe is refused", test_refused);
    CU_add_test(s, "PRPs: a list too small is refused", test_list_too_small);
    CU_add_test(s, "PRPs: what fits", test_fit);
    CU_add_test(s, "SGL", test_sgl);
    CU_add_test(s, "fields of NVM commands", test_nvm_fields);
    CU_add_test(s, "fields of admin commands", test_admin_fields);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
