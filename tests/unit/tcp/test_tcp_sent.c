/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is on its way: sent, reported, lost, sent again; and RACK's judgement of it. Segments of 100
 * bytes, one a millisecond.
 */
#include "suite.h"
#include "tcp_rack.h"
#include "tcp_seq.h"

#include <stdlib.h>
#include <string.h>

#define MSS 100

static uint64_t seed;

struct board {
    struct tcp_sent_pool pool;
    struct tcp_sent s;
    struct tcp_delivered d;
    uint32_t base;
    hg_ns now;
};

/* `segs` segments on their way, the first sent at 1 ms. */
static void init(struct board *b, uint32_t base, unsigned segs)
{
    memset(b, 0, sizeof *b);
    CU_ASSERT_EQUAL_FATAL(tcp_sent_pool_create(&b->pool, 2), 0);
    b->s.pool = &b->pool;
    b->base = base;
    tcp_sent_reset(&b->s, base);
    for (unsigned i = 1; i <= segs; i++) {
        b->now += HG_MS(1);
        tcp_sent_push(&b->s, base + i * MSS, b->now);
    }
}

static void fini(struct board *b)
{
    tcp_sent_reset(&b->s, 0);
    tcp_sent_pool_destroy(&b->pool);
}

static uint32_t report(struct board *b, uint32_t lo, uint32_t hi)
{
    b->d = (struct tcp_delivered){.fack = b->s.fack};
    tcp_sent_sack(&b->s, (struct tcp_block){b->base + lo, b->base + hi}, &b->d);
    return b->d.bytes;
}

static bool acknowledge(struct board *b, uint32_t una)
{
    b->d = (struct tcp_delivered){.fack = b->s.fack};
    return tcp_sent_ack(&b->s, b->base + una, &b->d);
}

static hg_ns detect(struct tcp_sent *s, hg_ns time, uint32_t end, hg_ns old)
{
    return tcp_sent_detect(s, &(struct tcp_arrived){time, time, end}, old);
}

static void expect_next(struct board *b, uint32_t lo, uint32_t hi)
{
    struct tcp_block blk = {0, 0};

    CU_ASSERT_TRUE(tcp_sent_next_lost(&b->s, MSS, &blk));
    CU_ASSERT_EQUAL(blk.lo - b->base, lo);
    CU_ASSERT_EQUAL(blk.hi - b->base, hi);
    tcp_sent_again(&b->s, blk, b->now);
}

static void expect_no_next(struct board *b)
{
    struct tcp_block blk;

    CU_ASSERT_FALSE(tcp_sent_next_lost(&b->s, MSS, &blk));
}

static void test_reports_merge_and_count_once(void)
{
    struct board b;

    init(&b, 0xffffff00, 10);
    CU_ASSERT_EQUAL(report(&b, 300, 400), 100);
    CU_ASSERT_EQUAL(report(&b, 300, 400), 0);
    CU_ASSERT_EQUAL(report(&b, 500, 600), 100);
    CU_ASSERT_EQUAL(tcp_sent_reports(&b.s), 2);
    CU_ASSERT_EQUAL(report(&b, 400, 500), 100); /* joins both */
    CU_ASSERT_EQUAL(tcp_sent_reports(&b.s), 1);
    CU_ASSERT_EQUAL(report(&b, 250, 710), 160); /* covers, and cuts segments */
    CU_ASSERT_EQUAL(b.s.sacked, 460);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 540);
    fini(&b);
}

static void test_bad_reports_are_ignored(void)
{
    struct board b;

    init(&b, 0xffffff00, 10);
    CU_ASSERT_EQUAL(report(&b, 0, 100), 0);              /* starts at una */
    CU_ASSERT_EQUAL(report(&b, (uint32_t)-200, 100), 0); /* below una */
    CU_ASSERT_EQUAL(report(&b, 900, 1001), 0);           /* never sent */
    CU_ASSERT_EQUAL(report(&b, 500, 500), 0);            /* empty */
    CU_ASSERT_EQUAL(report(&b, 500, 400), 0);            /* inverted */
    CU_ASSERT_EQUAL(report(&b, 0x70000000, 0x70000100), 0);
    CU_ASSERT_EQUAL(b.s.sacked, 0);
    fini(&b);
}

static void test_what_was_sent_together_is_one_range(void)
{
    struct board b;

    init(&b, 0, 0);
    b.s.grain = HG_MS(2);
    for (unsigned i = 1; i <= 100; i++) {
        b.now += HG_US(10);
        tcp_sent_push(&b.s, i * MSS, b.now);
    }
    CU_ASSERT_EQUAL(b.s.n, 1);
    CU_ASSERT_EQUAL(b.s.r[0].time, b.now); /* never earlier than any of them */
    tcp_sent_push(&b.s, 101 * MSS, b.now + HG_MS(3));
    CU_ASSERT_EQUAL(b.s.n, 2);
    fini(&b);
}

/* Without room for more than four ranges, a report that is forgotten becomes what its neighbour is. */
static void test_forgotten_reports_keep_the_order_of_times(void)
{
    struct board b;

    init(&b, 0, 1);
    b.s.pool = NULL;
    b.now = HG_MS(10);
    tcp_sent_lose_first(&b.s, MSS / 2);
    expect_next(&b, 0, MSS / 2);
    report(&b, MSS / 2, MSS);
    tcp_sent_push(&b.s, 2 * MSS, b.now + HG_MS(1));
    tcp_sent_push(&b.s, 3 * MSS, b.now + HG_MS(2));
    CU_ASSERT_EQUAL(b.s.sacked, 0);
    for (uint32_t i = 0; i < b.s.n; i++)
        if (b.s.r[i].flags & TCP_R_RTX)
            CU_ASSERT(seq_le(b.s.r[i].hi, b.s.rtx_end));
    fini(&b);
}

/* 300 ms of it, a segment each 0.1 ms: none is taken for sent more than a grain later than it was,
 * neither when reports cut the ranges and joined them again. */
static void test_a_sender_that_never_pauses_is_many_ranges(void)
{
    struct board b;

    init(&b, 0, 0);
    b.s.grain = HG_MS(2);
    for (unsigned i = 1; i <= 3000; i++) {
        b.now += HG_US(100);
        tcp_sent_push(&b.s, i * MSS, b.now);
    }
    CU_ASSERT(b.s.n >= 140 && b.s.n <= 170);
    for (unsigned i = 0; i < 3000; i += 10) {
        acknowledge(&b, i * MSS + MSS / 2);
        CU_ASSERT(b.d.once_time >= i * HG_US(100));
        CU_ASSERT(b.d.once_time <= (i + 1) * HG_US(100) + b.s.grain);
        report(&b, (i + 2) * MSS, (i + 3) * MSS);
        CU_ASSERT(b.d.once_time <= (i + 3) * HG_US(100) + b.s.grain);
        tcp_sent_lose_first(&b.s, MSS / 2);
        tcp_sent_forgive(&b.s);
    }
    fini(&b);
}

static void test_delivery_tells_what_was_sent_last(void)
{
    struct board b;

    init(&b, 0xfffffff0, 10);
    report(&b, 300, 500);
    CU_ASSERT_EQUAL(b.d.once_time, HG_MS(5));
    CU_ASSERT_EQUAL(b.d.once_end - b.base, 500);
    CU_ASSERT_FALSE(b.d.reordered);
    report(&b, 100, 200); /* below what was reported: it was overtaken */
    CU_ASSERT_TRUE(b.d.reordered);
    tcp_sent_lose_first(&b.s, MSS);
    b.now = HG_MS(50);
    expect_next(&b, 0, 100);
    acknowledge(&b, 200);
    CU_ASSERT_EQUAL(b.d.bytes, 100);
    CU_ASSERT_FALSE(b.d.reordered); /* what was sent again proves nothing */
    CU_ASSERT_EQUAL(b.d.again_time, HG_MS(50));
    CU_ASSERT_EQUAL(b.d.once_time, 0);
    fini(&b);
}

static void test_detect_by_time(void)
{
    struct board b;

    init(&b, 0xffffff80, 10);
    report(&b, 600, 700); /* sent at 7 ms */
    /* Window until 4 ms: 1 to 4 are lost, 5 and 6 later, 8 to 10 were sent after it. */
    hg_ns next = detect(&b.s, HG_MS(7), b.base + 700, HG_MS(4));
    CU_ASSERT_EQUAL(b.s.lost, 400);
    CU_ASSERT_EQUAL(next, HG_MS(5));
    CU_ASSERT_EQUAL(detect(&b.s, HG_MS(7), b.base + 700, HG_MS(6)), 0);
    CU_ASSERT_EQUAL(b.s.lost, 600);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 300);
    for (uint32_t i = 0; i < 6; i++)
        expect_next(&b, i * MSS, i * MSS + MSS);
    expect_no_next(&b);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 900);
    fini(&b);
}

static void test_lost_retransmission_is_found(void)
{
    struct board b;

    init(&b, 0, 5);
    report(&b, 100, 500);
    detect(&b.s, HG_MS(5), 500, HG_MS(5));
    expect_next(&b, 0, 100); /* at 5 ms */
    b.now = HG_MS(6);
    tcp_sent_push(&b.s, 600, b.now);
    report(&b, 500, 600);
    CU_ASSERT_EQUAL(detect(&b.s, HG_MS(6), 600, HG_MS(4)), HG_MS(5));
    expect_no_next(&b);
    detect(&b.s, HG_MS(6), 600, HG_MS(5));
    expect_next(&b, 0, 100);
    fini(&b);
}

static void test_acknowledgement_inside_of_a_range(void)
{
    struct board b;

    init(&b, 0xfffffe00, 10);
    report(&b, 200, 300);
    report(&b, 500, 600);
    tcp_sent_lose_first(&b.s, MSS);
    CU_ASSERT_FALSE(acknowledge(&b, 50));
    CU_ASSERT_EQUAL(b.s.lost, 50);
    CU_ASSERT_FALSE(acknowledge(&b, 330));
    CU_ASSERT_EQUAL(b.s.sacked, 100);
    CU_ASSERT_EQUAL(b.s.lost, 0);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 570);
    CU_ASSERT_FALSE(acknowledge(&b, 1000));
    CU_ASSERT_EQUAL(b.s.n, 0);
    CU_ASSERT_PTR_EQUAL(b.s.r, b.s.few);
    fini(&b);
}

static void test_reneging(void)
{
    struct board b;

    for (uint32_t una = 200; una < 300; una += 50) {
        init(&b, 0xfffffe00, 10);
        report(&b, 200, 300);
        report(&b, 500, 600);
        CU_ASSERT_TRUE(acknowledge(&b, una));
        CU_ASSERT_EQUAL(b.s.sacked, 0);
        CU_ASSERT_EQUAL(b.s.lost, 300 - una + 100); /* what was reported is sent again */
        fini(&b);
    }
}

static void test_timeout_sends_all_again(void)
{
    struct board b;

    init(&b, 0, 5);
    report(&b, 200, 300);
    tcp_sent_lose_first(&b.s, MSS);
    expect_next(&b, 0, 100);
    tcp_sent_lose_all(&b.s);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 0);
    expect_next(&b, 0, 100);
    expect_next(&b, 100, 200);
    expect_next(&b, 300, 400);
    expect_next(&b, 400, 500);
    expect_no_next(&b);
    tcp_sent_lose_all(&b.s);
    tcp_sent_forgive(&b.s);
    expect_no_next(&b);
    CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 400);
    fini(&b);
}

static void test_bounded_with_and_without_a_table(void)
{
    struct board b;

    for (unsigned tables = 0; tables < 2; tables++) {
        init(&b, 0, 0);
        if (!tables)
            b.s.pool = NULL;
        for (unsigned i = 1; i <= 2000; i++)
            tcp_sent_push(&b.s, i * MSS, HG_MS(i));
        for (uint32_t i = 1; i < 999; i++) {
            report(&b, 200 * i, 200 * i + 100);
            if (i % 10 == 0)
                detect(&b.s, HG_MS(2 * i), 200 * i, HG_MS(2 * i - 5));
        }
        CU_ASSERT(b.s.n <= b.s.max);
        CU_ASSERT_EQUAL(b.s.max, tables ? TCP_SENT_MAX : TCP_SENT_FEW);
        CU_ASSERT(b.s.sacked > 0 && b.s.sacked + b.s.lost <= 2000 * MSS);
        /* Whatever was forgotten: all can be sent again, and then acknowledged. */
        struct tcp_block blk;
        unsigned rounds = 0;
        tcp_sent_lose_all(&b.s);
        while (tcp_sent_next_lost(&b.s, MSS, &blk) && rounds++ < 2100)
            tcp_sent_again(&b.s, blk, HG_SEC(9));
        CU_ASSERT(rounds < 2100);
        CU_ASSERT_EQUAL(b.s.lost, 0);
        acknowledge(&b, 2000 * MSS);
        CU_ASSERT_EQUAL(tcp_sent_pipe(&b.s), 0);
        fini(&b);
    }
}

static void test_tables_come_back(void)
{
    struct board b;
    struct tcp_sent more[3] = {0};

    init(&b, 0, 10);
    CU_ASSERT_PTR_NOT_EQUAL(b.s.r, b.s.few);
    for (unsigned k = 0; k < 3; k++) {
        more[k].pool = &b.pool;
        tcp_sent_reset(&more[k], 0);
        for (unsigned i = 1; i <= 10; i++)
            tcp_sent_push(&more[k], i * MSS, HG_MS(i));
    }
    CU_ASSERT_PTR_NOT_EQUAL(more[0].r, more[0].few);
    CU_ASSERT_PTR_EQUAL(more[1].r, more[1].few); /* the pool has two */
    tcp_sent_reset(&more[0], 0);
    tcp_sent_reset(&more[1], 0);
    for (unsigned i = 1; i <= 10; i++)
        tcp_sent_push(&more[1], i * MSS, HG_MS(i));
    CU_ASSERT_PTR_NOT_EQUAL(more[1].r, more[1].few);
    tcp_sent_reset(&more[1], 0);
    tcp_sent_reset(&more[2], 0);
    fini(&b);
}

/* ---- RACK ---- */

static void test_rack_window(void)
{
    struct tcp_rack r;
    struct tcp_delivered d = {.once_time = HG_MS(10), .once_from = HG_MS(10), .once_end = 100};

    tcp_rack_init(&r);
    CU_ASSERT_EQUAL(tcp_rack_update(&r, &d, HG_MS(50), true), HG_MS(40));
    CU_ASSERT_EQUAL(tcp_rack_min_rtt(&r), HG_MS(40));
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), 0);
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), false), HG_MS(10));
    d = (struct tcp_delivered){
        .once_time = HG_MS(11), .once_from = HG_MS(11), .once_end = 90, .reordered = true};
    tcp_rack_update(&r, &d, HG_MS(55), true);
    CU_ASSERT_EQUAL(r.last.end, 90);
    CU_ASSERT_EQUAL(r.rtt, HG_MS(44));
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), HG_MS(10)); /* reordering was seen */
    tcp_rack_dsack(&r, 500);
    tcp_rack_round(&r, 200);
    tcp_rack_dsack(&r, 600); /* the same round trip */
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), HG_MS(20));
    tcp_rack_round(&r, 500);
    tcp_rack_dsack(&r, 600);
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), HG_MS(30));
    for (unsigned i = 0; i < 10; i++) {
        tcp_rack_round(&r, 600 + 100 * i);
        tcp_rack_dsack(&r, 700 + 100 * i);
    }
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), HG_MS(44)); /* SRTT at most */
    for (unsigned i = 0; i < 16; i++)
        tcp_rack_recovered(&r);
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), true), HG_MS(10));
}

/* The end of a round is of no account once it was passed, however far the numbers go on. */
static void test_rack_round_ends_for_good(void)
{
    struct tcp_rack r;
    struct tcp_delivered d = {.once_time = HG_MS(10), .once_from = HG_MS(10), .once_end = 100};

    tcp_rack_init(&r);
    tcp_rack_update(&r, &d, HG_MS(50), true);
    tcp_rack_dsack(&r, 500);
    for (uint32_t una = 100; una < 0xf0000000u; una += 1u << 24)
        tcp_rack_round(&r, una);
    tcp_rack_dsack(&r, 0xf0001000u);
    CU_ASSERT_EQUAL(tcp_rack_window(&r, HG_MS(44), false), HG_MS(30));
}

static void test_rack_does_not_trust_retransmissions_blindly(void)
{
    struct tcp_rack r;
    struct tcp_delivered d = {.once_time = HG_MS(10), .once_from = HG_MS(10), .once_end = 100};

    tcp_rack_init(&r);
    tcp_rack_update(&r, &d, HG_MS(50), true);
    /* Acknowledged 5 ms after it was sent again: that was the first copy. */
    d = (struct tcp_delivered){.again_time = HG_MS(60), .again_end = 50};
    CU_ASSERT_EQUAL(tcp_rack_update(&r, &d, HG_MS(65), true), 0);
    CU_ASSERT_EQUAL(r.last.time, HG_MS(10));
    tcp_rack_update(&r, &d, HG_MS(101), false); /* nor when the echo says so */
    CU_ASSERT_EQUAL(r.last.time, HG_MS(10));
    tcp_rack_update(&r, &d, HG_MS(101), true);
    CU_ASSERT_EQUAL(r.last.time, HG_MS(60));
}

/* ---- against a map of bytes ---- */

#define SPACE 3000

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

struct byte {
    hg_ns time;
    uint8_t flags;
};

static void model_lose(struct byte *map, uint32_t una, uint32_t end, hg_ns old)
{
    for (uint32_t i = una; i < end; i++)
        if (!(map[i].flags & TCP_R_SACKED) && map[i].time <= old)
            map[i].flags |= TCP_R_LOST;
}

static void check_sums(const struct board *b, const struct byte *map, uint32_t una)
{
    uint32_t sacked = 0, lost = 0;

    for (uint32_t i = una; i < SPACE; i++) {
        sacked += !!(map[i].flags & TCP_R_SACKED);
        lost += !!(map[i].flags & TCP_R_LOST);
    }
    CU_ASSERT_EQUAL_FATAL(b->s.sacked, sacked);
    CU_ASSERT_EQUAL_FATAL(b->s.lost, lost);
    CU_ASSERT_EQUAL_FATAL(b->s.una - b->base, una);
}

/* Ten bytes a segment, so that the table is not too small and nothing is blurred. */
static void random_round(void)
{
    static struct byte map[SPACE];
    struct board b;
    uint32_t una = 0;

    init(&b, rnd(2) ? 0xffffffffu - rnd(SPACE) : rnd(1u << 30), 0);
    for (uint32_t i = 0; i < SPACE; i++)
        map[i] = (struct byte){.time = HG_MS(1 + i / 30)};
    for (uint32_t at = 30; at <= SPACE; at += 30)
        tcp_sent_push(&b.s, b.base + at, HG_MS(at / 30));
    b.now = HG_MS(SPACE / 30);
    for (unsigned step = 0; step < 60 && una < SPACE - 250; step++) {
        uint32_t lo = una + 1 + rnd(SPACE - una - 200), hi = lo + 1 + rnd(150);
        struct tcp_block blk;
        b.now += HG_MS(1);
        switch (rnd(4)) {
        case 0:
            report(&b, lo, hi);
            for (uint32_t i = lo; i < hi; i++)
                map[i].flags = TCP_R_SACKED;
            break;
        case 1:
            una += rnd(60);
            while (map[una].flags & TCP_R_SACKED)
                una++; /* a peer that keeps what it reported acknowledges it */
            CU_ASSERT_FALSE(acknowledge(&b, una));
            break;
        case 2: {
            hg_ns old = HG_MS(rnd(SPACE / 30));
            detect(&b.s, b.now, b.base + SPACE, old);
            model_lose(map, una, SPACE, old);
            break;
        }
        default:
            if (!tcp_sent_next_lost(&b.s, MSS, &blk))
                break;
            CU_ASSERT_FATAL(blk.hi - blk.lo > 0 && blk.hi - blk.lo <= MSS);
            tcp_sent_again(&b.s, blk, b.now);
            for (uint32_t i = blk.lo - b.base; i < blk.hi - b.base; i++) {
                CU_ASSERT_FATAL(map[i].flags & TCP_R_LOST);
                map[i] = (struct byte){.time = b.now, .flags = TCP_R_RTX};
            }
        }
        check_sums(&b, map, una);
    }
    fini(&b);
}

static void test_random_against_map(void)
{
    for (unsigned round = 0; round < 1000; round++)
        random_round();
}

int main(int argc, char **argv)
{
    static const struct suite_test tests[] = {
        {"reports merge and are counted once", test_reports_merge_and_count_once},
        {"reports that cannot be are ignored", test_bad_reports_are_ignored},
        {"what was sent together is one range", test_what_was_sent_together_is_one_range},
        {"forgotten reports keep the order of times",
         test_forgotten_reports_keep_the_order_of_times},
        {"a sender that never pauses is many ranges",
         test_a_sender_that_never_pauses_is_many_ranges},
        {"delivery tells what was sent last", test_delivery_tells_what_was_sent_last},
        {"losses are found by time", test_detect_by_time},
        {"a lost retransmission is found", test_lost_retransmission_is_found},
        {"acknowledgement inside of a range", test_acknowledgement_inside_of_a_range},
        {"reneging", test_reneging},
        {"time-out sends all again", test_timeout_sends_all_again},
        {"bounded, with and without a table", test_bounded_with_and_without_a_table},
        {"tables come back", test_tables_come_back},
        {"RACK: the reordering window", test_rack_window},
        {"RACK: a round ends for good", test_rack_round_ends_for_good},
        {"RACK: retransmissions are not trusted blindly",
         test_rack_does_not_trust_retransmissions_blindly},
        {"random against a map of bytes", test_random_against_map},
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", seed);
    return suite_run("tcp_sent", tests, HG_ARRAY_LEN(tests));
}
