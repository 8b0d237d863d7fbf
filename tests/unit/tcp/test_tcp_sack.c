/* SPDX-License-Identifier: BSD-3-Clause */
/* The sender's scoreboard: what is reported, lost, sent again, in flight. Segments of 100 bytes. */
#include "suite.h"
#include "tcp_sack.h"
#include "tcp_seq.h"

#include <headgate/base.h>
#include <stdlib.h>
#include <string.h>

#define MSS 100

static uint64_t seed;

struct board {
    struct tcp_sacked iv[TCP_SACK_MAX];
    struct tcp_sack sb;
    struct tcp_span span;
    uint32_t base;
};

static void init(struct board *b, uint32_t base, uint32_t sent)
{
    *b = (struct board){.sb = {.iv = b->iv}, .span = {base, base + sent}, .base = base};
    tcp_sack_reset(&b->sb, base);
}

static uint32_t report(struct board *b, uint32_t lo, uint32_t hi)
{
    return tcp_sack_blocks(&b->sb, b->span, &(struct tcp_block){b->base + lo, b->base + hi}, 1);
}

/* Expects [lo, hi) as next to send again, and sends it. */
static void expect_next(struct board *b, uint32_t lo, uint32_t hi)
{
    struct tcp_block blk = {0, 0};

    CU_ASSERT_TRUE(tcp_sack_next(&b->sb, b->span, MSS, &blk));
    CU_ASSERT_EQUAL(blk.lo - b->base, lo);
    CU_ASSERT_EQUAL(blk.hi - b->base, hi);
    tcp_sack_sent(&b->sb, b->span, blk);
}

static void expect_no_next(struct board *b)
{
    struct tcp_block blk;

    CU_ASSERT_FALSE(tcp_sack_next(&b->sb, b->span, MSS, &blk));
}

static void test_blocks_merge_and_count(void)
{
    struct board b;

    init(&b, 0xffffff00, 1000);
    CU_ASSERT_EQUAL(report(&b, 300, 400), 100);
    CU_ASSERT_EQUAL(report(&b, 300, 400), 0);
    CU_ASSERT_EQUAL(report(&b, 500, 600), 100);
    CU_ASSERT_EQUAL(b.sb.n, 2);
    CU_ASSERT_EQUAL(report(&b, 400, 500), 100); /* joins both */
    CU_ASSERT_EQUAL(b.sb.n, 1);
    CU_ASSERT_EQUAL(report(&b, 200, 700), 200); /* covers */
    CU_ASSERT_EQUAL(b.sb.sacked, 500);
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 500);
}

static void test_bad_blocks_are_ignored(void)
{
    struct board b;

    init(&b, 0xffffff00, 1000);
    CU_ASSERT_EQUAL(report(&b, 0, 100), 0);              /* starts at una: not a hole */
    CU_ASSERT_EQUAL(report(&b, (uint32_t)-200, 100), 0); /* DSACK, below una */
    CU_ASSERT_EQUAL(report(&b, 900, 1001), 0);           /* never sent */
    CU_ASSERT_EQUAL(report(&b, 500, 500), 0);            /* empty */
    CU_ASSERT_EQUAL(report(&b, 500, 400), 0);            /* inverted */
    CU_ASSERT_EQUAL(report(&b, 0x70000000, 0x70000100), 0);
    CU_ASSERT_EQUAL(b.sb.n, 0);
}

static void test_lost_after_three_segments(void)
{
    struct board b;

    init(&b, 0xfffffff0, 1000);
    report(&b, 100, 300);
    tcp_sack_find_lost(&b.sb, MSS);
    CU_ASSERT_FALSE(tcp_sack_any_lost(&b.sb, b.span.una)); /* two segments are not enough */
    expect_no_next(&b);
    report(&b, 300, 400);
    tcp_sack_find_lost(&b.sb, MSS);
    CU_ASSERT_TRUE(tcp_sack_any_lost(&b.sb, b.span.una));
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 600); /* 100 lost, 300 reported */
    expect_next(&b, 0, 100);
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 700);
    expect_no_next(&b);
}

static void test_three_small_intervals_are_enough(void)
{
    struct board b;

    init(&b, 0, 1000);
    report(&b, 110, 120);
    report(&b, 130, 140);
    report(&b, 150, 160);
    tcp_sack_find_lost(&b.sb, MSS);
    expect_next(&b, 0, 100);
    expect_next(&b, 100, 110);
    expect_no_next(&b); /* above the third interval nothing is known */
}

static void test_holes_in_order(void)
{
    struct board b;

    init(&b, 0, 2000);
    report(&b, 150, 300);
    report(&b, 400, 500);
    report(&b, 900, 1400);
    tcp_sack_find_lost(&b.sb, MSS);
    expect_next(&b, 0, 100);
    expect_next(&b, 100, 150);
    expect_next(&b, 300, 400);
    expect_next(&b, 500, 600);
    report(&b, 700, 800); /* splits the hole that is being repaired */
    expect_next(&b, 600, 700);
    expect_next(&b, 800, 900);
    expect_no_next(&b);
}

static void test_lost_retransmission_is_found(void)
{
    struct board b;

    init(&b, 0, 1000);
    report(&b, 100, 500);
    tcp_sack_find_lost(&b.sb, MSS);
    expect_next(&b, 0, 100);
    b.span.nxt += 300; /* three new segments are sent after the retransmission */
    report(&b, 500, 1200);
    expect_no_next(&b); /* two of them arrived: may be reordering */
    report(&b, 1200, 1300);
    expect_next(&b, 0, 100);
    expect_no_next(&b);
}

static void test_advance(void)
{
    struct board b;

    init(&b, 0xfffffe00, 1000);
    report(&b, 200, 300);
    report(&b, 500, 600);
    b.span.una = b.base + 300;
    CU_ASSERT_FALSE(tcp_sack_advance(&b.sb, b.span.una));
    CU_ASSERT_EQUAL(b.sb.n, 1);
    CU_ASSERT_EQUAL(b.sb.sacked, 100);
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 600);
}

static void test_reneging(void)
{
    struct board b;
    uint32_t una;

    for (una = 200; una < 300; una += 50) {
        init(&b, 0xfffffe00, 1000);
        report(&b, 200, 300);
        report(&b, 500, 600);
        b.span.una = b.base + una;
        CU_ASSERT_TRUE(tcp_sack_advance(&b.sb, b.span.una));
        CU_ASSERT_EQUAL(b.sb.n, 0);
        CU_ASSERT_EQUAL(b.sb.sacked, 0);
        expect_next(&b, una, una + 100); /* all that was reported is sent again */
    }
}

static void test_timeout_sends_all_again(void)
{
    struct board b;

    init(&b, 0, 450);
    report(&b, 200, 300);
    tcp_sack_lose_first(&b.sb, b.span, MSS);
    expect_next(&b, 0, 100);
    tcp_sack_all_lost(&b.sb, b.span);
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 0);
    expect_next(&b, 0, 100);
    expect_next(&b, 100, 200);
    expect_next(&b, 300, 400);
    expect_next(&b, 400, 450);
    expect_no_next(&b);
    b.span.nxt += 100; /* new data is not lost */
    expect_no_next(&b);
    CU_ASSERT_EQUAL(tcp_sack_pipe(&b.sb, b.span), 450);
}

static void test_bounded(void)
{
    struct board b;

    init(&b, 0, 100000);
    for (uint32_t i = 0; i < TCP_SACK_MAX + 10; i++)
        report(&b, 100 + 20 * i, 110 + 20 * i);
    CU_ASSERT_EQUAL(b.sb.n, TCP_SACK_MAX);
    CU_ASSERT_EQUAL(b.sb.sacked, 10 * TCP_SACK_MAX);
    CU_ASSERT_EQUAL(report(&b, 100, 150), 20); /* what lay between three of them */
}

/* ---- against a map of bytes ---- */

#define SPACE 3000

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static void test_random_against_map(void)
{
    for (unsigned round = 0; round < 200; round++) {
        static bool have[SPACE + 1];
        struct board b;
        init(&b, rnd(2) ? 0xffffffffu - rnd(SPACE) : rnd(1u << 30), SPACE);
        memset(have, 0, sizeof have);
        for (unsigned step = 0; step < 100; step++) {
            uint32_t lo = 1 + rnd(SPACE - 200), hi = lo + 1 + rnd(150), sum = 0, n = 0;
            report(&b, lo, hi);
            if (lo > b.span.una - b.base)
                memset(have + lo, 1, hi - lo);
            if (rnd(10) == 0) {
                uint32_t una = b.span.una - b.base + rnd(50);
                while (have[una])
                    una++; /* a peer that keeps what it reported acknowledges it */
                b.span.una = b.base + una;
                CU_ASSERT_FALSE(tcp_sack_advance(&b.sb, b.span.una));
            }
            for (uint32_t i = b.span.una - b.base; i < SPACE; i++) {
                sum += have[i];
                n += have[i] && !have[i + 1];
            }
            CU_ASSERT_EQUAL(b.sb.sacked, sum);
            CU_ASSERT_EQUAL(b.sb.n, n);
            CU_ASSERT(tcp_sack_pipe(&b.sb, b.span) <= 2 * (b.span.nxt - b.span.una));
        }
        /* After a time-out every missing byte is sent again exactly once. */
        struct tcp_block blk;
        tcp_sack_all_lost(&b.sb, b.span);
        while (tcp_sack_next(&b.sb, b.span, MSS, &blk)) {
            CU_ASSERT_FATAL(blk.hi - blk.lo > 0 && blk.hi - blk.lo <= MSS);
            for (uint32_t i = blk.lo - b.base; i < blk.hi - b.base; i++) {
                CU_ASSERT_FALSE(have[i]);
                have[i] = true;
            }
            tcp_sack_sent(&b.sb, b.span, blk);
        }
        for (uint32_t i = b.span.una - b.base; i < SPACE; i++)
            CU_ASSERT_TRUE(have[i]);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_test tests[] = {
        {"blocks merge and are counted once", test_blocks_merge_and_count},
        {"blocks that cannot be are ignored", test_bad_blocks_are_ignored},
        {"lost after three segments", test_lost_after_three_segments},
        {"three small intervals are enough", test_three_small_intervals_are_enough},
        {"holes are repaired in order", test_holes_in_order},
        {"a lost retransmission is found", test_lost_retransmission_is_found},
        {"cumulative acknowledgement", test_advance},
        {"reneging", test_reneging},
        {"time-out sends all again", test_timeout_sends_all_again},
        {"bounded number", test_bounded},
        {"random against a map of bytes", test_random_against_map},
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", seed);
    return suite_run("tcp_sack", tests, HG_ARRAY_LEN(tests));
}
