/* SPDX-License-Identifier: BSD-3-Clause */
/* The map against a plain array. Argument: seed. */
#include "rig.h"
#include "store_map.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 5000u

static uint64_t seed = 1;

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static void count_gone(void *arg, uint64_t pbn)
{
    CU_ASSERT(pbn != STORE_PBN_NONE);
    ++*(uint64_t *)arg;
}

static uint64_t mapped(const uint64_t *want)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < BLOCKS; i++)
        n += want[i] != 0;
    return n;
}

static void check_same(const struct store_map *map, const uint64_t *want)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct store_map_entry *e = store_map_get(map, i);

        wrong += (e == NULL) != (want[i] == 0);
        wrong += e != NULL && (store_map_pbn(e) != want[i] || e->crc != (uint32_t)want[i] + 7);
    }
    CU_ASSERT(wrong == 0);
    CU_ASSERT(map->mapped == mapped(want));
}

static void check_next(const struct store_map *map, const uint64_t *want, uint64_t *rnd)
{
    uint64_t from = draw(rnd, BLOCKS);
    uint64_t to = from + draw(rnd, BLOCKS - from + 1);
    store_budget budget = UINT32_MAX;
    uint64_t a = from;
    uint64_t b = from;

    while (a < to && want[a] == 0)
        a++;
    while (b < to && want[b] != 0)
        b++;
    CU_ASSERT(store_map_next_mapped(map, from, to, &budget) == a);
    CU_ASSERT(store_map_next_unmapped(map, from, to, &budget) == b);
}

static void test_random(void)
{
    struct store_slabs slabs = {0};
    struct store_leaves leaves = {.slabs = &slabs};
    struct store_map map;
    uint64_t *want = calloc(BLOCKS, sizeof *want);
    uint64_t rnd = seed;

    CU_ASSERT_FATAL(want != NULL && store_map_init(&map, BLOCKS) == 0);
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t at = draw(&rnd, BLOCKS);
        uint64_t n = 1 + draw(&rnd, BLOCKS - at < 300 ? BLOCKS - at : 300);
        uint64_t gone = 0;
        uint64_t expect = 0;

        CU_ASSERT_FATAL(store_leaves_reserve(&leaves, 2));
        if (round % 3 != 0) {
            for (uint64_t i = 0; i < n; i++) {
                uint64_t pbn = (1 + draw(&rnd, 1000)) << 36 | (at + i + 1);
                uint64_t old = store_map_set(&map, &leaves, at + i, pbn, (uint32_t)pbn + 7);

                CU_ASSERT(old == (want[at + i] != 0 ? want[at + i] : STORE_PBN_NONE));
                want[at + i] = pbn;
            }
        } else {
            store_budget budget = UINT32_MAX;

            for (uint64_t i = 0; i < n; i++) {
                expect += want[at + i] != 0;
                want[at + i] = 0;
            }
            CU_ASSERT(store_map_unmap(&map, &leaves, (struct store_range){at, at + n}, &budget,
                                      (struct store_gone){count_gone, &gone}) == at + n);
            CU_ASSERT(gone == expect);
        }
        check_next(&map, want, &rnd);
    }
    check_same(&map, want);
    store_map_fini(&map);
    store_slabs_free(&slabs);
    free(want);
}

/* Unmapping gives leaves back, so a volume that is written and trimmed for ever needs one slab. */
static void test_leaves_come_back(void)
{
    struct store_slabs slabs = {0};
    struct store_leaves leaves = {.slabs = &slabs};
    struct store_map map;
    uint64_t gone = 0;

    CU_ASSERT_FATAL(store_map_init(&map, (uint64_t)1 << 34) == 0); /* 64 TiB */
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t block = i * 3435973 % ((uint64_t)1 << 34);
        store_budget budget = UINT32_MAX;

        CU_ASSERT_FATAL(store_leaves_reserve(&leaves, 1));
        store_map_set(&map, &leaves, block, i, 0);
        store_map_unmap(&map, &leaves, (struct store_range){block, block + 1}, &budget,
                        (struct store_gone){count_gone, &gone});
    }
    CU_ASSERT(gone == 5000 && map.mapped == 0);
    CU_ASSERT(slabs.n == 1);
    store_map_fini(&map);
    store_slabs_free(&slabs);
}

/* A walk over a large range stops when its budget is used up and can be taken up again. */
static void test_budget(void)
{
    struct store_slabs slabs = {0};
    struct store_leaves leaves = {.slabs = &slabs};
    uint64_t blocks = (uint64_t)1 << 30;
    struct store_map map;
    uint64_t gone = 0;
    uint64_t at = 0;
    unsigned calls = 0;

    CU_ASSERT_FATAL(store_map_init(&map, blocks) == 0);
    for (uint64_t i = 0; i < 1000; i++) {
        CU_ASSERT_FATAL(store_leaves_reserve(&leaves, 1));
        store_map_set(&map, &leaves, i * 1000000, i + 1, 0);
    }
    while (at < blocks && calls++ < 10000) {
        store_budget budget = 16;

        at = store_map_unmap(&map, &leaves, (struct store_range){at, blocks}, &budget,
                             (struct store_gone){count_gone, &gone});
    }
    CU_ASSERT(at == blocks && gone == 1000);
    CU_ASSERT(calls > 10 && calls < 1000);
    store_map_fini(&map);
    store_slabs_free(&slabs);
}

int main(int argc, char **argv)
{
    static const struct rig_test tests[] = {
        {"random against an array", test_random},
        {"leaves come back", test_leaves_come_back},
        {"budget", test_budget},
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    return rig_main("store_map", tests, HG_ARRAY_LEN(tests));
}
