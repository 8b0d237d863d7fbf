/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control and the retransmission time-out, by the RFCs' numbers. */
#include "suite.h"
#include "tcp_cwv.h"
#include "tcp_prr.h"
#include "tcp_rtt.h"

#define MSS 1000

static void reno(struct tcp_cc *cc, uint32_t max)
{
    tcp_cc_init(cc, &tcp_cc_newreno, MSS, max);
}

static void cubic(struct tcp_cc *cc, uint32_t segs)
{
    tcp_cc_init(cc, &tcp_cc_cubic, MSS, 100000000);
    cc->cwnd = segs * MSS;
}

static void lose(struct tcp_cc *cc)
{
    tcp_cc_congestion(cc, TCP_CC_RECOVERY, cc->cwnd, MSS);
}

static void recovered(struct tcp_cc *cc)
{
    cc->cwnd = cc->ssthresh;
    cc->phase = TCP_CC_OPEN;
}

static void ack(struct tcp_cc *cc, uint32_t acked)
{
    tcp_cc_ack(cc, &(struct tcp_cc_ack){.acked = acked, .mss = MSS, .full = true});
}

static void test_initial_window(void)
{
    CU_ASSERT_EQUAL(tcp_cc_initial_window(1448), 14480); /* RFC 6928 2 */
    CU_ASSERT_EQUAL(tcp_cc_initial_window(536), 5360);
    CU_ASSERT_EQUAL(tcp_cc_initial_window(4000), 14600);
    CU_ASSERT_EQUAL(tcp_cc_initial_window(9000), 18000);
}

static void test_slow_start_doubles(void)
{
    struct tcp_cc cc;

    reno(&cc, 1000000);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    for (unsigned i = 0; i < 5; i++)
        ack(&cc, 2000);
    CU_ASSERT_EQUAL(cc.cwnd, 20000);
}

static void test_unused_window_does_not_grow(void)
{
    struct tcp_cc cc;
    const struct tcp_cc_ack idle = {.acked = 1000, .mss = MSS, .full = false};

    reno(&cc, 1000000);
    tcp_cc_ack(&cc, &idle);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    cc.ssthresh = 5000; /* congestion avoidance */
    for (unsigned i = 0; i < 100; i++)
        tcp_cc_ack(&cc, &idle);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
}

static void test_congestion_avoidance_one_segment_per_window(void)
{
    struct tcp_cc cc;

    reno(&cc, 1000000);
    cc.ssthresh = cc.cwnd;
    for (unsigned i = 0; i < 10; i++)
        ack(&cc, 1000);
    CU_ASSERT_EQUAL(cc.cwnd, 11000);
    for (unsigned i = 0; i < 11; i++)
        ack(&cc, 1000);
    CU_ASSERT_EQUAL(cc.cwnd, 12000);
}

static void test_limits(void)
{
    struct tcp_cc cc;

    reno(&cc, 12000);
    for (unsigned i = 0; i < 100; i++)
        ack(&cc, 10000);
    CU_ASSERT_EQUAL(cc.cwnd, 12000);
    reno(&cc, 0); /* two segments can always be sent */
    CU_ASSERT_EQUAL(cc.cwnd, 2000);
}

static void test_reduction(void)
{
    struct tcp_cc cc;

    reno(&cc, 1000000);
    cc.cwnd = 20000;
    lose(&cc);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000); /* RFC 5681 equation 4 */
    CU_ASSERT_EQUAL(cc.phase, TCP_CC_RECOVERY);
    tcp_cc_congestion(&cc, TCP_CC_CWR, 1500, MSS);
    CU_ASSERT_EQUAL(cc.ssthresh, 2000); /* never below two segments */
}

static void test_timeout(void)
{
    struct tcp_cc cc;

    reno(&cc, 1000000);
    tcp_cc_timeout(&cc, 20000, MSS, true);
    CU_ASSERT_EQUAL(cc.cwnd, MSS);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000);
    CU_ASSERT_EQUAL(cc.phase, TCP_CC_LOSS);
    tcp_cc_timeout(&cc, 3000, MSS, false);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000); /* RFC 5681 3.1: not again for the same segment */
    ack(&cc, 1000);                      /* slow start up to ssthresh */
    ack(&cc, 2000);
    CU_ASSERT_EQUAL(cc.cwnd, 4000);
}

/* ---- CUBIC, RFC 9438 ---- */

/* One round trip of `rtt`, a segment per ACK. */
static hg_ns round_trip(struct tcp_cc *cc, hg_ns now, hg_ns rtt)
{
    unsigned n = cc->cwnd / MSS;

    for (unsigned i = 1; i <= n; i++)
        tcp_cc_ack(
            cc, &(struct tcp_cc_ack){
                    .now = now + rtt * i / n, .srtt = rtt, .acked = MSS, .mss = MSS, .full = true});
    return now + rtt;
}

static hg_ns round_trips(struct tcp_cc *cc, hg_ns now, hg_ns end)
{
    while (now < end)
        now = round_trip(cc, now, HG_MS(100));
    return now;
}

static void test_cubic_reduces_to_seven_tenths_and_returns(void)
{
    struct tcp_cc cc;

    cubic(&cc, 1000);
    lose(&cc);
    CU_ASSERT_EQUAL(cc.ssthresh, 700 * MSS);
    recovered(&cc);
    /* K = cbrt(1000 * 0.3 / 0.4) = 9.09 s whatever the round-trip time (figure 1). */
    hg_ns now = round_trips(&cc, HG_SEC(1), HG_SEC(1) + HG_MS(8800));
    CU_ASSERT(cc.cwnd > 990 * MSS && cc.cwnd <= 1001 * MSS);
    round_trips(&cc, now, HG_SEC(13)); /* 0.4 * (12 - 9.09)^3 = 9.8 */
    CU_ASSERT(cc.cwnd > 1005 * MSS && cc.cwnd < 1030 * MSS);
}

/* 4.8: after a time-out there is no plateau: K is 0, and W_max where congestion avoidance began. */
static void test_cubic_after_a_timeout(void)
{
    struct tcp_cc cc;

    cubic(&cc, 1000);
    tcp_cc_timeout(&cc, cc.cwnd, MSS, true);
    CU_ASSERT_EQUAL(cc.ssthresh, 700 * MSS);
    recovered(&cc); /* slow start */
    round_trips(&cc, HG_SEC(1), HG_SEC(5));
    CU_ASSERT(cc.cwnd > 720 * MSS && cc.cwnd < 740 * MSS); /* 700 + 0.4 * 4^3 = 726 */

    cubic(&cc, 1000); /* the same when a recovery came before it */
    lose(&cc);
    tcp_cc_timeout(&cc, cc.cwnd, MSS, false);
    recovered(&cc);
    round_trips(&cc, HG_SEC(1), HG_SEC(5));
    CU_ASSERT(cc.cwnd > 720 * MSS && cc.cwnd < 740 * MSS);
}

/* 4.9: as if nothing had been, in every part of the curve. */
static void test_cubic_goes_on_after_a_mistake(void)
{
    for (unsigned s = 2; s < 16; s += 3) {
        struct tcp_cc a, b;
        cubic(&a, 1000);
        lose(&a);
        recovered(&a);
        hg_ns now = round_trips(&a, HG_SEC(1), HG_SEC(s));
        b = a;
        lose(&b);
        tcp_cc_timeout(&b, b.cwnd, MSS, false);
        b.ops->undo(&b);
        b.cwnd = a.cwnd;
        b.ssthresh = a.ssthresh;
        b.phase = TCP_CC_OPEN;
        round_trips(&a, now, now + HG_SEC(2));
        round_trips(&b, now, now + HG_SEC(2));
        CU_ASSERT(a.cwnd < b.cwnd + MSS / 10 && b.cwnd < a.cwnd + MSS / 10);
    }
}

static void test_cubic_is_no_slower_than_reno(void)
{
    struct tcp_cc cc;
    hg_ns now = HG_SEC(1);

    cubic(&cc, 20);
    lose(&cc);
    recovered(&cc);
    /* With 1 ms the cubic function stands still; Reno's window grows by alpha = 0.53 a round trip
     * up to 20 segments, by one from there on. */
    for (unsigned i = 0; i < 12; i++)
        now = round_trip(&cc, now, HG_MS(1));
    CU_ASSERT(cc.cwnd >= 19 * MSS && cc.cwnd <= 21 * MSS);
    for (unsigned i = 0; i < 20; i++)
        now = round_trip(&cc, now, HG_MS(1));
    CU_ASSERT(cc.cwnd >= 37 * MSS && cc.cwnd <= 42 * MSS);
}

static void test_cubic_converges_fast(void)
{
    struct tcp_cc cc;

    cubic(&cc, 1000);
    lose(&cc);
    cc.cwnd = 800 * MSS; /* lost again before it was back: 4.7 leaves bandwidth to others */
    lose(&cc);
    recovered(&cc);
    round_trips(&cc, HG_SEC(1),
                HG_SEC(1) + HG_MS(6500)); /* W_max 680, K = cbrt(120 / 0.4) = 6.7 s */
    CU_ASSERT(cc.cwnd > 670 * MSS && cc.cwnd < 690 * MSS);
}

static void test_cubic_idle_time_does_not_count(void)
{
    struct tcp_cc cc;

    cubic(&cc, 1000);
    lose(&cc);
    recovered(&cc);
    hg_ns now = round_trip(&cc, HG_SEC(1), HG_MS(100));
    uint32_t before = cc.cwnd;
    cc.ops->idle(&cc, HG_SEC(60));
    round_trip(&cc, now + HG_SEC(60), HG_MS(100));
    CU_ASSERT(cc.cwnd < before + 20 * MSS);
}

static void test_undo_restores_the_plateau(void)
{
    struct tcp_cc cc;

    cubic(&cc, 200);
    lose(&cc); /* W_max 200 */
    cc.cwnd = 150 * MSS;
    lose(&cc); /* W_max 127.5, a mistake */
    cc.ops->undo(&cc);
    cc.cwnd = 150 * MSS;
    cc.ssthresh = 100 * MSS;
    cc.phase = TCP_CC_OPEN;
    round_trips(&cc, HG_SEC(1), HG_SEC(1) + HG_MS(4800)); /* K = cbrt(50 / 0.4) = 5 s to 200 */
    CU_ASSERT(cc.cwnd > 195 * MSS && cc.cwnd < 203 * MSS);
}

/* ---- HyStart++, RFC 9406 ---- */

/* One round of 10 ACKs; false when slow start has to end. */
static bool hystart_round(struct tcp_hystart *h, uint32_t *una, hg_ns rtt)
{
    bool go = true;

    for (unsigned i = 0; i < 10; i++) {
        *una += MSS;
        go = tcp_hystart_ack(h, *una, *una + 10 * MSS, rtt, 0) && go;
    }
    return go;
}

static void test_hystart_leaves_on_growing_delay(void)
{
    struct tcp_hystart h = {0};
    uint32_t una = 0xffffff00;
    unsigned rounds = 0;

    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_TRUE(hystart_round(&h, &una, HG_MS(40)));
    CU_ASSERT_EQUAL(tcp_hystart_divisor(&h), 1);
    CU_ASSERT_TRUE(hystart_round(&h, &una, HG_MS(44)));
    CU_ASSERT_EQUAL(tcp_hystart_divisor(&h), 1); /* an eighth is 5 ms */
    hystart_round(&h, &una, HG_MS(60));
    CU_ASSERT_EQUAL(tcp_hystart_divisor(&h), 4); /* conservative slow start */
    while (hystart_round(&h, &una, HG_MS(60)) && rounds < 20)
        rounds++;
    CU_ASSERT(rounds >= 3 && rounds <= 5);
}

/* ACKs of one round, `gap` apart; the divisor after each, as the number of those that came before it
 * was more than 1. */
static unsigned hystart_train(hg_ns gap, unsigned n)
{
    struct tcp_hystart h = {0};
    hg_ns now = HG_SEC(1);

    for (unsigned i = 1; i <= n; i++, now += gap) {
        CU_ASSERT_TRUE(tcp_hystart_ack(&h, i * MSS, 1000 * MSS, HG_MS(20), now));
        if (tcp_hystart_divisor(&h) > 1)
            return i;
    }
    return 0;
}

static void test_hystart_slows_when_acks_fill_half_the_path(void)
{
    CU_ASSERT_EQUAL(hystart_train(HG_MS(1), 100), 12);  /* more than 10 ms after the first */
    CU_ASSERT_EQUAL(hystart_train(HG_US(100), 100), 0); /* over in 10 ms */
    CU_ASSERT_EQUAL(hystart_train(HG_US(100), 110), 102);
    CU_ASSERT_EQUAL(hystart_train(HG_US(2100), 100), 0); /* no train */
}

static void test_hystart_returns_when_delay_falls(void)
{
    struct tcp_hystart h = {0};
    uint32_t una = 5;

    for (unsigned i = 0; i < 3; i++)
        hystart_round(&h, &una, HG_MS(40));
    hystart_round(&h, &una, HG_MS(60));
    CU_ASSERT_EQUAL(tcp_hystart_divisor(&h), 4);
    hystart_round(&h, &una, HG_MS(41));
    hystart_round(&h, &una, HG_MS(41));
    CU_ASSERT_EQUAL(tcp_hystart_divisor(&h), 1);
}

/* ---- PRR, RFC 6937 ---- */

static void test_prr_reduces_in_proportion(void)
{
    struct tcp_prr prr;
    uint32_t pipe = 19 * MSS, sent = 0;

    tcp_prr_begin(&prr, 20 * MSS);
    /* 19 ACKs of a segment each, ssthresh 10: one is sent for two that arrive. */
    for (unsigned i = 0; i < 19; i++) {
        pipe -= MSS;
        uint32_t cwnd = tcp_prr_window(&prr, MSS, pipe, 10 * MSS, 0);
        while (pipe + MSS <= cwnd) {
            pipe += MSS;
            prr.out += MSS;
            sent++;
        }
    }
    CU_ASSERT(sent >= 9 && sent <= 10);
    CU_ASSERT(pipe >= 9 * MSS && pipe <= 10 * MSS);
}

static void test_prr_sends_no_burst_after_heavy_loss(void)
{
    struct tcp_prr prr;

    tcp_prr_begin(&prr, 100 * MSS);
    /* Only four segments are left on their way, ssthresh 50: as many as arrive, or one more. */
    CU_ASSERT_EQUAL(tcp_prr_window(&prr, MSS, 4 * MSS, 50 * MSS, 0), 5 * MSS);
    prr.out += MSS;
    CU_ASSERT_EQUAL(tcp_prr_window(&prr, MSS, 4 * MSS, 50 * MSS, MSS), 6 * MSS);
}

/* ---- congestion window validation, RFC 7661 ---- */

/* n ACKs of a segment each, every `gap`, with `flight` segments on their way. */
static bool acks(struct tcp_cwv *v, struct tcp_cc *cc, struct tcp_cc_ack *a, unsigned n)
{
    uint32_t flight = a->nxt - a->una;
    hg_ns gap = a->srtt * MSS / flight;
    bool valid = false;

    while (n--) {
        a->una += MSS;
        a->nxt = a->una + flight;
        a->now += gap;
        valid = tcp_cwv_ack(v, cc, a);
    }
    return valid;
}

static void test_window_not_used_is_not_validated(void)
{
    struct tcp_cc cc;
    struct tcp_cwv v = {0};
    struct tcp_cc_ack a = {.now = HG_SEC(1), .srtt = HG_MS(50), .mss = MSS, .acked = MSS};

    reno(&cc, 1000000);
    cc.cwnd = 100 * MSS;
    a.nxt = a.una + 100 * MSS;
    CU_ASSERT_TRUE(acks(&v, &cc, &a, 300)); /* 100 segments each round trip */
    CU_ASSERT(tcp_cwv_pipeack(&v) >= 99 * MSS);
    a.nxt = a.una + 10 * MSS; /* then ten: after a second that is all that is known of the path */
    CU_ASSERT_FALSE(acks(&v, &cc, &a, 600));
    CU_ASSERT(tcp_cwv_pipeack(&v) <= 11 * MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 100 * MSS); /* kept for five minutes */
    tcp_cwv_resume(&v, &cc, MSS, a.now, a.now + HG_SEC(60));
    CU_ASSERT_EQUAL(cc.cwnd, 100 * MSS);
    tcp_cwv_resume(&v, &cc, MSS, a.now, a.now + HG_SEC(301));
    CU_ASSERT_EQUAL(cc.cwnd, 50 * MSS);
    CU_ASSERT(cc.ssthresh >= 75 * MSS);
    tcp_cwv_resume(&v, &cc, MSS, a.now, a.now + HG_SEC(36000));
    CU_ASSERT_EQUAL(cc.cwnd, 10 * MSS); /* never below the initial window */
}

/* Windows are counted in whole MSS; segments are shorter by their options. */
static void test_slow_start_is_validated_on_every_ack(void)
{
    struct tcp_cc cc;
    struct tcp_cwv v = {0};
    struct tcp_cc_ack a = {.now = HG_SEC(1), .srtt = HG_MS(50), .mss = MSS, .acked = MSS - 12};
    bool valid = true;

    reno(&cc, 10000000);
    a.nxt = 10 * (MSS - 12);
    while (cc.cwnd < 1000 * MSS) {
        a.una += MSS - 12;
        a.now += HG_MS(50) * MSS / cc.cwnd;
        valid = valid && tcp_cwv_ack(&v, &cc, &a);
        cc.cwnd += MSS - 12;
        a.nxt = a.una + cc.cwnd / MSS * (MSS - 12);
    }
    CU_ASSERT_TRUE(valid);
    a.nxt = a.una + 10 * (MSS - 12); /* and not when there is little to send */
    CU_ASSERT_FALSE(acks(&v, &cc, &a, 300));
}

/* ---- RFC 6298 ---- */

static const hg_ns rto_min = HG_MS(200), rto_max = HG_SEC(60);

static void test_rto_first_and_next(void)
{
    struct tcp_rtt r;

    tcp_rtt_init(&r);
    CU_ASSERT_EQUAL(tcp_rtt_timeout(&r, rto_max), HG_SEC(1)); /* 2.1 */
    tcp_rtt_sample(&r, HG_MS(400), rto_min, rto_max);         /* 2.2 */
    CU_ASSERT_EQUAL(r.srtt, HG_MS(400));
    CU_ASSERT_EQUAL(r.var, HG_MS(200));
    CU_ASSERT_EQUAL(r.rto, HG_MS(1200));
    tcp_rtt_sample(&r, HG_MS(800), rto_min, rto_max); /* 2.3 */
    CU_ASSERT_EQUAL(r.var, HG_MS(250));               /* 3/4 * 200 + 1/4 * 400 */
    CU_ASSERT_EQUAL(r.srtt, HG_MS(450));              /* 7/8 * 400 + 1/8 * 800 */
    CU_ASSERT_EQUAL(r.rto, HG_MS(1450));
}

static void test_rto_limits(void)
{
    struct tcp_rtt r;

    tcp_rtt_init(&r);
    for (unsigned i = 0; i < 100; i++)
        tcp_rtt_sample(&r, HG_US(50), rto_min, rto_max);
    CU_ASSERT_EQUAL(r.rto, rto_min);
    tcp_rtt_init(&r);
    tcp_rtt_sample(&r, HG_SEC(50), rto_min, rto_max);
    CU_ASSERT_EQUAL(r.rto, rto_max);
    tcp_rtt_init(&r);
    tcp_rtt_sample(&r, 0, rto_min, rto_max);
    CU_ASSERT(r.srtt > 0); /* 0 means "no sample" */
    for (unsigned i = 0; i < 100; i++)
        tcp_rtt_sample(&r, 0, rto_min, rto_max);
    CU_ASSERT(r.srtt > 0);
}

static void test_rto_granularity(void)
{
    struct tcp_rtt r;

    tcp_rtt_init(&r);
    for (unsigned i = 0; i < 200; i++)
        tcp_rtt_sample(&r, HG_MS(300), HG_MS(10), rto_max);
    CU_ASSERT_EQUAL(r.rto, r.srtt + TCP_RTT_GRANULARITY); /* variance gone: G stays */
}

static void test_backoff(void)
{
    struct tcp_rtt r;

    tcp_rtt_init(&r);
    tcp_rtt_sample(&r, HG_MS(100), rto_min, rto_max);
    CU_ASSERT_EQUAL(r.rto, HG_MS(300));
    for (unsigned i = 1; i < 8; i++) {
        tcp_rtt_backoff(&r);
        hg_ns want = HG_MS(300) << i;
        CU_ASSERT_EQUAL(tcp_rtt_timeout(&r, rto_max), want < rto_max ? want : rto_max);
    }
    for (unsigned i = 0; i < 300; i++)
        tcp_rtt_backoff(&r);
    CU_ASSERT_EQUAL(tcp_rtt_timeout(&r, rto_max), rto_max);
    tcp_rtt_sample(&r, HG_MS(100), rto_min, rto_max); /* a measurement ends it */
    CU_ASSERT(tcp_rtt_timeout(&r, rto_max) < HG_MS(301));
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"initial window", test_initial_window},
        {"slow start doubles", test_slow_start_doubles},
        {"an unused window does not grow", test_unused_window_does_not_grow},
        {"congestion avoidance", test_congestion_avoidance_one_segment_per_window},
        {"limits", test_limits},
        {"reduction", test_reduction},
        {"time-out", test_timeout},
        {"CUBIC: 0.7, and back at W_max after K", test_cubic_reduces_to_seven_tenths_and_returns},
        {"CUBIC: after a time-out", test_cubic_after_a_timeout},
        {"CUBIC: goes on after a mistake", test_cubic_goes_on_after_a_mistake},
        {"CUBIC: no slower than Reno", test_cubic_is_no_slower_than_reno},
        {"CUBIC: fast convergence", test_cubic_converges_fast},
        {"CUBIC: idle time does not count", test_cubic_idle_time_does_not_count},
        {"CUBIC: a needless reduction is undone", test_undo_restores_the_plateau},
        {"HyStart++: growing delay ends slow start", test_hystart_leaves_on_growing_delay},
        {"HyStart++: ACKs that fill half of the path",
         test_hystart_slows_when_acks_fill_half_the_path},
        {"HyStart++: delay that falls again", test_hystart_returns_when_delay_falls},
        {"PRR: in proportion to what arrives", test_prr_reduces_in_proportion},
        {"PRR: no burst after heavy loss", test_prr_sends_no_burst_after_heavy_loss},
        {"a window that is not used is not validated", test_window_not_used_is_not_validated},
        {"slow start is validated on every ACK", test_slow_start_is_validated_on_every_ack},
        {"RTO: first and next sample", test_rto_first_and_next},
        {"RTO: limits", test_rto_limits},
        {"RTO: granularity", test_rto_granularity},
        {"RTO: back-off", test_backoff},
    };
    return suite_run("tcp_cc", tests, sizeof tests / sizeof tests[0]);
}
