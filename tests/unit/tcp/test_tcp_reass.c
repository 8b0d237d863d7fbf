/* SPDX-License-Identifier: BSD-3-Clause */
/* Intervals of out-of-order data: named cases, and random ones against a map of bytes. */
#include "suite.h"
#include "tcp_reass.h"
#include "tcp_seq.h"

#include <errno.h>
#include <headgate/base.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

struct set {
    struct tcp_ival iv[TCP_REASS_MAX];
    struct tcp_reass r;
};

/* Starts with [10,20) [30,40) [50,60), shifted by base. */
static void three(struct set *s, uint32_t base)
{
    struct tcp_placed p;

    s->r = (struct tcp_reass){.iv = s->iv};
    for (uint32_t lo = 10; lo < 60; lo += 20)
        CU_ASSERT_EQUAL(tcp_reass_add(&s->r, base + lo, base + lo + 10, &p), 0);
    CU_ASSERT_EQUAL(s->r.n, 3);
}

static const struct {
    const char *what;
    uint32_t lo, hi;
    int rc;
    struct tcp_placed placed;
    unsigned n;                 /* afterwards */
    uint32_t first_lo, last_hi; /* of the interval at placed.at */
} rows[] = {
    {"below all", 2, 5, 0, {2, 5, 0, 0, false, false}, 4, 2, 5},
    {"between", 22, 25, 0, {22, 25, 1, 0, false, false}, 4, 22, 25},
    {"above all", 70, 80, 0, {70, 80, 3, 0, false, false}, 4, 70, 80},
    {"touches the left one", 20, 25, 0, {20, 25, 0, 0, true, false}, 3, 10, 25},
    {"touches the right one", 25, 30, 0, {25, 30, 1, 0, false, true}, 3, 25, 40},
    {"closes a gap", 20, 30, 0, {20, 30, 0, 0, true, true}, 2, 10, 40},
    {"overlaps the left one", 15, 25, 0, {20, 25, 0, 0, true, false}, 3, 10, 25},
    {"overlaps the right one", 25, 35, 0, {25, 30, 1, 0, false, true}, 3, 25, 40},
    {"overlaps both", 15, 35, 0, {20, 30, 0, 0, true, true}, 2, 10, 40},
    {"same as one", 30, 40, -EEXIST, {0}, 3, 0, 0},
    {"inside one", 32, 38, -EEXIST, {0}, 3, 0, 0},
    {"covers one", 25, 45, 0, {25, 45, 1, 1, false, false}, 3, 25, 45},
    {"covers one, joins left", 20, 45, 0, {20, 45, 0, 1, true, false}, 2, 10, 45},
    {"covers one, joins right", 25, 50, 0, {25, 50, 1, 1, false, true}, 2, 25, 60},
    {"covers all", 5, 65, 0, {5, 65, 0, 3, false, false}, 1, 5, 65},
    {"covers all, exactly", 10, 60, 0, {20, 60, 0, 2, true, false}, 1, 10, 60},
    {"from inside the first to inside the last", 15, 55, 0, {20, 50, 0, 1, true, true}, 1, 10, 60},
};

static void check_row(unsigned i, uint32_t base)
{
    struct set s;
    struct tcp_placed p;

    three(&s, base);
    int rc = tcp_reass_add(&s.r, base + rows[i].lo, base + rows[i].hi, &p);
    CU_ASSERT_EQUAL(rc, rows[i].rc);
    CU_ASSERT_EQUAL(s.r.n, rows[i].n);
    if (rc)
        return;
    CU_ASSERT_EQUAL(p.lo - base, rows[i].placed.lo);
    CU_ASSERT_EQUAL(p.hi - base, rows[i].placed.hi);
    CU_ASSERT_EQUAL(p.at, rows[i].placed.at);
    CU_ASSERT_EQUAL(p.swallowed, rows[i].placed.swallowed);
    CU_ASSERT_EQUAL(p.join_left, rows[i].placed.join_left);
    CU_ASSERT_EQUAL(p.join_right, rows[i].placed.join_right);
    CU_ASSERT_EQUAL(s.iv[p.at].lo - base, rows[i].first_lo);
    CU_ASSERT_EQUAL(s.iv[p.at].hi - base, rows[i].last_hi);
}

static void test_add(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        check_row(i, 0);
        check_row(i, 0xffffffffu - 34); /* the wrap lies inside */
        check_row(i, 0x80000000u - 34);
    }
}

static void test_bound(void)
{
    struct set s = {.r = {.iv = s.iv}};
    struct tcp_placed p;

    for (uint32_t i = 0; i < TCP_REASS_MAX; i++)
        CU_ASSERT_EQUAL(tcp_reass_add(&s.r, 100 + 10 * i, 105 + 10 * i, &p), 0);
    CU_ASSERT_EQUAL(tcp_reass_add(&s.r, 50, 60, &p), -ENOSPC);
    CU_ASSERT_EQUAL(tcp_reass_add(&s.r, 106, 108, &p), -ENOSPC);
    CU_ASSERT_EQUAL(s.r.n, TCP_REASS_MAX);
    /* What joins or covers needs no new interval. */
    CU_ASSERT_EQUAL(tcp_reass_add(&s.r, 105, 107, &p), 0);
    CU_ASSERT_EQUAL(tcp_reass_add(&s.r, 98, 110, &p), 0);
    CU_ASSERT_EQUAL(s.r.n, TCP_REASS_MAX - 1);
}

static void test_cover_and_pop(void)
{
    struct set s;
    uint32_t hi = 35, end = 0;

    three(&s, 0);
    CU_ASSERT_EQUAL(tcp_reass_cover(&s.r, &hi), 1); /* [10,20) is inside [0,35) */
    CU_ASSERT_EQUAL(hi, 30);                        /* and from 30 on it is here */
    CU_ASSERT_EQUAL(s.r.n, 2);
    CU_ASSERT_FALSE(tcp_reass_pop(&s.r, 29, &end));
    CU_ASSERT_TRUE(tcp_reass_pop(&s.r, 30, &end));
    CU_ASSERT_EQUAL(end, 40);
    CU_ASSERT_EQUAL(s.r.n, 1);
    hi = 60;
    CU_ASSERT_EQUAL(tcp_reass_cover(&s.r, &hi), 1);
    CU_ASSERT_EQUAL(hi, 60);
    CU_ASSERT_FALSE(tcp_reass_pop(&s.r, 60, &end));
}

static void test_blocks_most_recent_first(void)
{
    struct set s;
    struct tcp_block b[4];
    struct tcp_placed p;

    three(&s, 0);
    CU_ASSERT_EQUAL(tcp_reass_blocks(&s.r, b, 2), 2);
    CU_ASSERT(b[0].lo == 50 && b[1].lo == 30);
    tcp_reass_add(&s.r, 20, 22, &p); /* the first interval grows: RFC 2018 4 wants it first */
    CU_ASSERT_EQUAL(tcp_reass_blocks(&s.r, b, 4), 3);
    CU_ASSERT(b[0].lo == 10 && b[0].hi == 22 && b[1].lo == 50 && b[2].lo == 30);
    tcp_reass_add(&s.r, 30, 31, &p); /* a duplicate is reported as well */
    CU_ASSERT_EQUAL(tcp_reass_blocks(&s.r, b, 1), 1);
    CU_ASSERT_EQUAL(b[0].lo, 30);
}

/* ---- against a map of bytes ---- */

#define SPACE 2000

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static void check_map(const struct set *s, const bool *have, uint32_t base)
{
    unsigned k = 0;

    for (uint32_t i = 0; i < SPACE;) {
        if (!have[i]) {
            i++;
            continue;
        }
        uint32_t lo = i;
        while (i < SPACE && have[i])
            i++;
        CU_ASSERT_FATAL(k < s->r.n);
        CU_ASSERT_EQUAL(s->iv[k].lo - base, lo);
        CU_ASSERT_EQUAL(s->iv[k].hi - base, i);
        k++;
    }
    CU_ASSERT_EQUAL(k, s->r.n);
}

static void test_random_against_map(void)
{
    for (unsigned round = 0; round < 300; round++) {
        struct set s = {.r = {.iv = s.iv}};
        static bool have[SPACE];
        uint32_t base = rnd(2) ? 0xffffffffu - rnd(SPACE) : rnd(1u << 30);

        memset(have, 0, sizeof have);
        for (unsigned step = 0; step < 200; step++) {
            uint32_t lo = 1 + rnd(SPACE - 60), hi = lo + 1 + rnd(1 + rnd(50)), fresh = 0;
            struct tcp_placed p;
            for (uint32_t i = lo; i < hi; i++)
                fresh += !have[i];
            int rc = tcp_reass_add(&s.r, base + lo, base + hi, &p);
            CU_ASSERT_EQUAL(rc == -EEXIST, fresh == 0);
            if (rc == 0) {
                /* What is taken has at least what is new, and lies within the segment. */
                CU_ASSERT(p.hi - p.lo >= fresh);
                CU_ASSERT(seq_ge(p.lo, base + lo) && seq_le(p.hi, base + hi));
                memset(have + lo, 1, hi - lo);
            }
            check_map(&s, have, base);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct suite_test tests[] = {
        {"add, every way to touch", test_add},
        {"bounded number", test_bound},
        {"cover and pop", test_cover_and_pop},
        {"SACK blocks, most recent first", test_blocks_most_recent_first},
        {"random against a map of bytes", test_random_against_map},
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", seed);
    return suite_run("tcp_reass", tests, HG_ARRAY_LEN(tests));
}
