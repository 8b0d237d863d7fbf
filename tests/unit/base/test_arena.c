/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buddy arena: the promises of headgate/arena.h, with a random walk against a map of taken blocks.
 * Usage: test_arena [seed]
 */
#include <headgate/arena.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION ((size_t)8 * HG_ARENA_MAX_BLOCK)
#define BLOCKS (REGION / HG_BLOCK)

static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void test_create_checks(void)
{
    uint8_t *mem = aligned_alloc(HG_ARENA_MAX_BLOCK, REGION);
    struct hg_arena *a = NULL;

    CU_ASSERT_EQUAL(hg_arena_create(mem + HG_BLOCK, HG_ARENA_MAX_BLOCK, &a), -EINVAL);
    CU_ASSERT_EQUAL(hg_arena_create(mem, HG_ARENA_MAX_BLOCK - HG_BLOCK, &a), -EINVAL);
    CU_ASSERT_EQUAL(hg_arena_create(mem, 0, &a), -EINVAL);
    CU_ASSERT_EQUAL(hg_arena_create(NULL, HG_ARENA_MAX_BLOCK, &a), -EINVAL);
    CU_ASSERT_EQUAL_FATAL(hg_arena_create(mem, REGION, &a), 0);
    CU_ASSERT_EQUAL(hg_arena_total(a), REGION);
    CU_ASSERT_EQUAL(hg_arena_used(a), 0);
    CU_ASSERT_PTR_EQUAL(hg_arena_region(a).base, mem);
    CU_ASSERT_EQUAL(hg_arena_region(a).len, REGION);
    hg_arena_destroy(a);
    hg_arena_destroy(NULL);
    free(mem);
}

static void test_cost(void)
{
    CU_ASSERT_EQUAL(hg_arena_cost(1), HG_BLOCK);
    CU_ASSERT_EQUAL(hg_arena_cost(HG_BLOCK), HG_BLOCK);
    CU_ASSERT_EQUAL(hg_arena_cost(HG_BLOCK + 1), 2 * HG_BLOCK);
    CU_ASSERT_EQUAL(hg_arena_cost(3 * HG_BLOCK), 4 * HG_BLOCK);
    CU_ASSERT_EQUAL(hg_arena_cost(HG_ARENA_MAX_BLOCK / 2 + 1), HG_ARENA_MAX_BLOCK);
    CU_ASSERT_EQUAL(hg_arena_cost(HG_ARENA_MAX_BLOCK), HG_ARENA_MAX_BLOCK);
}

/* Takes everything in the smallest unit, sees NULL, gives back in a stride, and then the largest
 * units are whole again. */
static void test_exhaust_and_coalesce(void)
{
    uint8_t *mem = aligned_alloc(HG_ARENA_MAX_BLOCK, REGION);
    void **p = calloc(BLOCKS, sizeof *p);
    struct hg_arena *a = NULL;

    CU_ASSERT_EQUAL_FATAL(hg_arena_create(mem, REGION, &a), 0);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            p[i] = hg_arena_alloc(a, 1);
            CU_ASSERT_PTR_NOT_NULL(p[i]);
        }
        CU_ASSERT_PTR_NULL(hg_arena_alloc(a, 1));
        CU_ASSERT_EQUAL(hg_arena_used(a), REGION);
        for (size_t i = 0; i < BLOCKS; i++)
            hg_arena_free(a, p[i * 37 % BLOCKS]); /* 37 is odd: every index once */
        CU_ASSERT_EQUAL(hg_arena_used(a), 0);
        for (size_t i = 0; i < REGION / HG_ARENA_MAX_BLOCK; i++)
            p[i] = hg_arena_alloc(a, HG_ARENA_MAX_BLOCK);
        CU_ASSERT_PTR_NOT_NULL(p[REGION / HG_ARENA_MAX_BLOCK - 1]);
        CU_ASSERT_PTR_NULL(hg_arena_alloc(a, 1));
        for (size_t i = 0; i < REGION / HG_ARENA_MAX_BLOCK; i++)
            hg_arena_free(a, p[i]);
    }
    hg_arena_destroy(a);
    free(p);
    free(mem);
}

struct piece {
    uint8_t *ptr;
    uint32_t len;
};

/* Whether a buffer of `cost` bytes could be had: an aligned run of free blocks in the map. */
static int model_fits(const uint8_t *map, uint32_t cost)
{
    size_t n = cost / HG_BLOCK;

    for (size_t b = 0; b < BLOCKS; b += n) {
        if (memchr(map + b, 1, n) == NULL)
            return 1;
    }
    return 0;
}

static void model_alloc(struct hg_arena *a, uint8_t *base, uint8_t *map, struct piece *piece)
{
    uint32_t len = 1 + (uint32_t)(rnd() % (HG_BLOCK << (rnd() % HG_ARENA_ORDERS)));
    uint32_t cost = hg_arena_cost(len);
    size_t used = hg_arena_used(a);
    uint8_t *ptr = hg_arena_alloc(a, len);

    if (ptr == NULL) {
        CU_ASSERT_FALSE(model_fits(map, cost));
        return;
    }
    CU_ASSERT_FATAL(ptr >= base && ptr + cost <= base + REGION);
    CU_ASSERT_EQUAL((size_t)(ptr - base) % cost, 0);
    CU_ASSERT_PTR_NULL(memchr(map + (ptr - base) / HG_BLOCK, 1, cost / HG_BLOCK));
    CU_ASSERT_EQUAL(hg_arena_used(a), used + cost);
    memset(map + (ptr - base) / HG_BLOCK, 1, cost / HG_BLOCK);
    memset(ptr, 0xee, len); /* its bytes are ours: book-keeping must not stand there */
    *piece = (struct piece){ptr, len};
}

static void model_free(struct hg_arena *a, const uint8_t *base, uint8_t *map, struct piece *piece)
{
    memset(map + (piece->ptr - base) / HG_BLOCK, 0, hg_arena_cost(piece->len) / HG_BLOCK);
    hg_arena_free(a, piece->ptr);
    piece->ptr = NULL;
}

static void test_random_against_map(void)
{
    uint8_t *mem = aligned_alloc(HG_ARENA_MAX_BLOCK, REGION);
    uint8_t *map = calloc(1, BLOCKS);
    struct piece piece[64] = {0};
    struct hg_arena *a = NULL;

    CU_ASSERT_EQUAL_FATAL(hg_arena_create(mem, REGION, &a), 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct piece *e = &piece[rnd() % HG_ARRAY_LEN(piece)];

        if (e->ptr == NULL)
            model_alloc(a, mem, map, e);
        else
            model_free(a, mem, map, e);
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(piece); i++) {
        if (piece[i].ptr != NULL)
            model_free(a, mem, map, &piece[i]);
    }
    CU_ASSERT_EQUAL(hg_arena_used(a), 0);
    for (size_t i = 0; i < REGION / HG_ARENA_MAX_BLOCK; i++)
        CU_ASSERT_PTR_NOT_NULL(hg_arena_alloc(a, HG_ARENA_MAX_BLOCK));
    hg_arena_destroy(a);
    free(map);
    free(mem);
}

/* Runs a misuse in a child; returns whether the child died of an assertion. */
static int dies(void (*misuse)(struct hg_arena *a, uint8_t *mem))
{
    uint8_t *mem = aligned_alloc(HG_ARENA_MAX_BLOCK, REGION);
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        struct hg_arena *a = NULL;

        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == NULL || hg_arena_create(mem, REGION, &a) != 0)
            _exit(1);
        misuse(a, mem);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    free(mem);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void double_free(struct hg_arena *a, uint8_t *mem)
{
    void *p = hg_arena_alloc(a, 1);

    (void)mem;
    hg_arena_free(a, p);
    hg_arena_free(a, p);
}

static void foreign_free(struct hg_arena *a, uint8_t *mem)
{
    hg_arena_free(a, mem + REGION);
}

static void inner_free(struct hg_arena *a, uint8_t *mem)
{
    (void)mem;
    hg_arena_free(a, (uint8_t *)hg_arena_alloc(a, 2 * HG_BLOCK) + HG_BLOCK);
}

static void unaligned_free(struct hg_arena *a, uint8_t *mem)
{
    (void)mem;
    hg_arena_free(a, (uint8_t *)hg_arena_alloc(a, 1) + 1);
}

static void test_misuse_is_caught(void)
{
    CU_ASSERT_TRUE(dies(double_free));
    CU_ASSERT_TRUE(dies(foreign_free));
    CU_ASSERT_TRUE(dies(inner_free));
    CU_ASSERT_TRUE(dies(unaligned_free));
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1; /* the generator's fixed point */
    printf("seed %lu\n", seed);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("arena", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "create checks", test_create_checks) ||
        !CU_add_test(suite, "cost", test_cost) ||
        !CU_add_test(suite, "exhaust and coalesce", test_exhaust_and_coalesce) ||
        !CU_add_test(suite, "random against map", test_random_against_map) ||
        !CU_add_test(suite, "misuse is caught", test_misuse_is_caught))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
