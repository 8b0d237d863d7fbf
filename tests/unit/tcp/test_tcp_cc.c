/* SPDX-License-Identifier: BSD-3-Clause */
/* NewReno and the retransmission time-out, as tables of the RFCs' numbers. */
#include "suite.h"
#include "tcp_cc.h"
#include "tcp_rtt.h"

#define MSS 1000

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

    tcp_cc_init(&cc, MSS, 1000000);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    for (unsigned i = 0; i < 5; i++)
        tcp_cc_ack(&cc, 2000, 10000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 20000);
}

static void test_unused_window_does_not_grow(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 1000000);
    tcp_cc_ack(&cc, 1000, 4000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    cc.ssthresh = 5000; /* congestion avoidance */
    for (unsigned i = 0; i < 100; i++)
        tcp_cc_ack(&cc, 1000, 8000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
}

static void test_congestion_avoidance_one_segment_per_window(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 1000000);
    cc.ssthresh = cc.cwnd;
    for (unsigned i = 0; i < 10; i++)
        tcp_cc_ack(&cc, 1000, 10000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 11000);
    for (unsigned i = 0; i < 11; i++)
        tcp_cc_ack(&cc, 1000, 11000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 12000);
}

static void test_limits(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 12000);
    for (unsigned i = 0; i < 100; i++)
        tcp_cc_ack(&cc, 10000, 12000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 12000);
    tcp_cc_init(&cc, MSS, 0); /* two segments can always be sent */
    CU_ASSERT_EQUAL(cc.cwnd, 2000);
}

static void test_recovery(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 1000000);
    cc.cwnd = 20000;
    tcp_cc_enter_recovery(&cc, 20000, 77, MSS);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000); /* RFC 5681 equation 4 */
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    CU_ASSERT_EQUAL(cc.recover, 77);
    CU_ASSERT_EQUAL(cc.phase, TCP_CC_RECOVERY);
    tcp_cc_leave(&cc);
    CU_ASSERT_EQUAL(cc.phase, TCP_CC_OPEN);
    tcp_cc_enter_recovery(&cc, 1500, 78, MSS);
    CU_ASSERT_EQUAL(cc.ssthresh, 2000); /* never below two segments */
}

static void test_timeout(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 1000000);
    tcp_cc_timeout(&cc, 20000, 77, MSS, true);
    CU_ASSERT_EQUAL(cc.cwnd, MSS);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000);
    CU_ASSERT_EQUAL(cc.phase, TCP_CC_LOSS);
    tcp_cc_timeout(&cc, 3000, 78, MSS, false);
    CU_ASSERT_EQUAL(cc.ssthresh, 10000); /* RFC 5681 3.1: not again for the same segment */
    tcp_cc_ack(&cc, 1000, 1000, MSS);    /* slow start up to ssthresh */
    tcp_cc_ack(&cc, 2000, 2000, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 4000);
}

static void test_idle(void)
{
    struct tcp_cc cc;

    tcp_cc_init(&cc, MSS, 1000000);
    cc.cwnd = 500000;
    tcp_cc_idle(&cc, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 10000);
    cc.cwnd = 3000;
    tcp_cc_idle(&cc, MSS);
    CU_ASSERT_EQUAL(cc.cwnd, 3000);
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
        {"recovery", test_recovery},
        {"time-out", test_timeout},
        {"idle", test_idle},
        {"RTO: first and next sample", test_rto_first_and_next},
        {"RTO: limits", test_rto_limits},
        {"RTO: granularity", test_rto_granularity},
        {"RTO: back-off", test_backoff},
    };
    return suite_run("tcp_cc", tests, sizeof tests / sizeof tests[0]);
}
