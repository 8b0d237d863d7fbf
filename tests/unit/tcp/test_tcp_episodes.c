/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Corners of loss recovery: mechanisms that meet, and peers that lie. Full segments carry 988 bytes;
 * the round trip takes 20 ms.
 */
#include "rig.h"
#include "suite.h"
#include "tcp_seq.h"

#include <string.h>

#define FULL 988u
#define RTT HG_MS(20)
#define ASK (TCP_ECE | TCP_CWR)

static struct rig rig;
static const struct tcp_block none = {0, 0};

static struct hg_tcp_info info(void)
{
    struct hg_tcp_info i;

    hg_tcp_conn_info(rig.conn, &i);
    return i;
}

static void in_flags(uint8_t flags, uint32_t ack, struct tcp_block a, struct tcp_block b)
{
    struct rig_in s = {.flags = TCP_ACK | flags, .seq = 1, .ack = ack, .wnd = 60000};

    if (a.hi)
        s.sack[s.n_sack++] = a;
    if (b.hi)
        s.sack[s.n_sack++] = b;
    rig_in(&rig, s);
}

static void in(uint32_t ack, struct tcp_block a, struct tcp_block b)
{
    in_flags(0, ack, a, b);
}

static void ack(uint32_t n)
{
    in(n, none, none);
}

/* Segments [lo, hi) of the stream, as a block. */
static struct tcp_block segs(uint32_t lo, uint32_t hi)
{
    return (struct tcp_block){1 + lo * FULL, 1 + hi * FULL};
}

static void start_with(const struct hg_tcp_cfg *cfg, uint8_t syn_flags, uint32_t options)
{
    rig_init(&rig, cfg);
    rig.rtt = RTT;
    rig.syn_flags = syn_flags;
    rig.options &= options;
    rig_accept(&rig);
}

static void start(void)
{
    start_with(NULL, 0, UINT32_MAX);
}

/* n full segments leave, the first of them segment `at` of the stream. */
static void send(uint32_t at, unsigned n)
{
    rig_send(&rig, 1 + at * FULL, n * FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.n_out, n);
    rig_skip(&rig);
}

/* ---- timers ---- */

static void test_sending_on_does_not_put_off_the_timers(void)
{
    start();
    for (unsigned i = 0; i < 60; i++) { /* nothing is answered */
        rig_send(&rig, 1 + i * 10, 10);
        rig_poll(&rig);
        rig_advance(&rig, HG_MS(10));
        rig_skip(&rig);
    }
    CU_ASSERT(rig_count(&rig, "tail_loss_probes") >= 1);
    rig_advance(&rig, HG_MS(400));
    CU_ASSERT(rig_count(&rig, "rto_retransmits") >= 1);
    rig_fini(&rig);
}

/* A peer that closes its window over data on its way, and refuses what is sent again. */
static void test_a_window_that_opens_ends_the_waiting(void)
{
    struct rig_in closed = {.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 0};

    start();
    send(0, 4);
    for (unsigned i = 0; i < 30; i++) {
        rig_advance(&rig, HG_SEC(1));
        if (rig.n_out)
            rig_in(&rig, closed);
        rig_skip(&rig);
    }
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    CU_ASSERT(info().rto_us > 2000000); /* it has grown with each refusal */
    rig_skip(&rig);
    ack(1);
    CU_ASSERT_EQUAL_FATAL(rig.n_out, 1); /* the first one, at once */
    CU_ASSERT_EQUAL(rig.out[0].h.seq - rig.iss, 1);
    CU_ASSERT_EQUAL(rig.out[0].len, FULL);
    rig_skip(&rig);
    ack(1 + FULL);
    CU_ASSERT(rig.n_out >= 2); /* and the others in slow start */
    ack(1 + 4 * FULL);
    rig_fini(&rig);
}

static void test_undo_without_packet_buffers_leaves_a_timer(void)
{
    struct rte_mbuf *all[4096];
    unsigned n = 0;

    start();
    send(0, 4);
    while (!rig_count(&rig, "rto_retransmits"))
        rig_advance(&rig, HG_MS(10));
    rig_skip(&rig);
    while (n < HG_ARRAY_LEN(all) && (all[n] = rte_pktmbuf_alloc(rig.clone)))
        n++;
    while (rig_count(&rig, "rto_retransmits") < 2) /* the second cannot send */
        rig_advance(&rig, HG_MS(10));
    in(1, segs(0, 1), segs(0, 2)); /* "twice" */
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 1);
    while (n)
        rte_pktmbuf_free(all[--n]);
    rig_skip(&rig);
    rig_advance(&rig, HG_SEC(10));
    CU_ASSERT(rig.n_out > 0);
    rig_fini(&rig);
}

static void test_user_timeout_begins_when_the_peer_is_asked(void)
{
    start_with(&(struct hg_tcp_cfg){.user_timeout = HG_SEC(30), .keepalive_idle = HG_SEC(7200)}, 0,
               UINT32_MAX);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 0});
    rig_advance(&rig, HG_SEC(3600));
    rig_send(&rig, 1, FULL);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(2)); /* the first probes */
    CU_ASSERT(rig_count(&rig, "zero_window_probes") >= 1);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    rig_skip(&rig);
    rig_advance(&rig, HG_SEC(60)); /* none is answered */
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "CLOSED");
    rig_event(&rig, HG_TCP_EV_CLOSED);
    rig_fini(&rig);
}

static void test_idle_time_counts_once(void)
{
    hg_ns epoch;
    uint32_t at = 1;

    start();
    send(0, 10);
    rig_advance(&rig, RTT);
    in(1, segs(1, 5), none);
    ack(1 + 10 * FULL);
    rig_skip(&rig);
    send(10, 4); /* congestion avoidance begins */
    rig_advance(&rig, RTT);
    ack(1 + 14 * FULL);
    memcpy(&epoch, rig.conn->cc.state, sizeof epoch);
    CU_ASSERT(epoch > 0 && epoch <= rig.now);
    rig_advance(&rig, HG_SEC(10));
    for (unsigned i = 0; i < 20; i++, at += 100) { /* we only receive */
        rig_in(&rig,
               (struct rig_in){
                   .flags = TCP_ACK, .seq = at, .ack = 1 + 14 * FULL, .wnd = 60000, .len = 100});
        rig_advance(&rig, HG_MS(100));
        rig_skip(&rig);
    }
    send(14, 1);
    memcpy(&epoch, rig.conn->cc.state, sizeof epoch);
    CU_ASSERT(epoch > rig.now - HG_SEC(1) && epoch <= rig.now);
    rig_fini(&rig);
}

/* ---- ECN ---- */

static void test_one_mark_reduces_once(void)
{
    start_with(NULL, ASK, UINT32_MAX);
    send(0, 10);
    rig_send(&rig, 1 + 10 * FULL, 20 * FULL);
    rig_advance(&rig, RTT);
    /* The peer echoes until it sees CWR, which is behind the tenth segment. */
    for (uint32_t i = 1; i <= 10; i++)
        in_flags(TCP_ECE, 1 + i * FULL, none, none);
    CU_ASSERT_EQUAL(rig_count(&rig, "ecn_reductions"), 1);
    rig_skip(&rig);
    ack(1 + 12 * FULL);
    in_flags(TCP_ECE, 1 + 13 * FULL, none, none); /* another mark */
    CU_ASSERT_EQUAL(rig_count(&rig, "ecn_reductions"), 2);
    rig_fini(&rig);
}

static void test_a_mark_is_not_undone(void)
{
    start_with(NULL, ASK, UINT32_MAX);
    send(0, 10);
    rig_advance(&rig, RTT);
    in_flags(TCP_ECE, 1, segs(1, 5), none);
    uint32_t reduced = info().ssthresh;
    CU_ASSERT(reduced < 10 * FULL);
    in_flags(TCP_ECE, 1 + 10 * FULL, none, none);
    in(1 + 10 * FULL, segs(0, 1), none); /* the retransmission was needless, the mark was not */
    CU_ASSERT_EQUAL(info().ssthresh, reduced);
    rig_fini(&rig);
}

/* ---- undo ---- */

static void test_old_duplicates_undo_nothing(void)
{
    start();
    send(0, 5);
    rig_advance(&rig, RTT);
    ack(1 + 5 * FULL);
    send(5, 10);
    rig_advance(&rig, RTT);
    in(1 + 5 * FULL, segs(6, 10), none);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    in(1 + 5 * FULL, segs(3, 4), segs(6, 10)); /* the network made a copy, long ago */
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    ack(1 + 15 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    rig_skip(&rig);
    send(15, 2); /* and copies of what was sent later say nothing of it either */
    rig_advance(&rig, RTT);
    in(1 + 17 * FULL, segs(16, 17), none);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    rig_fini(&rig);
}

/* 4 GB later the same numbers are used again. */
static void echoing(uint32_t n, uint32_t ecr)
{
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = n, .wnd = 60000, .ts_ecr = ecr});
}

/* Segments 0 and 3 are sent again. Then the gap at 0 closes of itself, and the one
 * at 3 too if it was only `late`. */
static void two_gaps(bool late, uint32_t undone)
{
    uint32_t first, again;

    start();
    CU_ASSERT_FALSE(rig.conn->cc.hystart.done);
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    first = rig_take(&rig)->h.ts_val;
    rig_skip(&rig);
    rig_advance(&rig, RTT);
    in(1, segs(1, 3), segs(4, 10));
    again = rig_take(&rig)->h.ts_val;
    CU_ASSERT_TRUE(seq_gt(again, first));
    CU_ASSERT_TRUE(rig.conn->cc.hystart.done);
    rig_advance(&rig, HG_MS(30));
    CU_ASSERT_EQUAL(rig_count(&rig, "retrans_segs"), 2);
    echoing(1 + 3 * FULL, first);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    echoing(1 + 10 * FULL, late ? first : again);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), undone);
    CU_ASSERT_EQUAL(rig.conn->cc.hystart.done, !undone);
    rig_fini(&rig);
}

static void test_an_undo_waits_for_all_that_was_resent(void)
{
    two_gaps(true, 1);
    two_gaps(false, 0);
}

static void test_an_episode_long_ago_is_not_undone(void)
{
    start();
    send(0, 10);
    rig_advance(&rig, RTT);
    in(1, segs(1, 5), none);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    rig_skip(&rig);
    ack(1 + 10 * FULL);
    CU_ASSERT_TRUE(rig.conn->undo.armed);
    rig.conn->undo.marker -= (1u << 30) + FULL; /* as if it had been so much earlier */
    rig.conn->undo.end -= (1u << 30) + FULL;
    send(10, 1);
    ack(1 + 11 * FULL);
    CU_ASSERT_FALSE(rig.conn->undo.armed);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    rig_fini(&rig);
}

static void test_only_the_first_echo_tells(void)
{
    uint32_t first;

    start();
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    first = rig.out[0].h.ts_val;
    rig_advance(&rig, RTT);
    rig_skip(&rig);
    in(1, segs(4, 10), none); /* the first is lost, two more are late */
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    rig_advance(&rig, RTT);
    struct rig_in s = {.flags = TCP_ACK, .seq = 1, .wnd = 60000};
    s.ack = 1 + FULL;
    s.ts_ecr = first + 19;
    rig_in(&rig, s);
    s.ack = 1 + 3 * FULL;
    s.ts_ecr = first;
    rig_in(&rig, s);
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    rig_fini(&rig);
}

/* ---- recovery ---- */

static void test_reordering_timer_sends_no_burst(void)
{
    start();
    send(0, 10);
    rig_advance(&rig, RTT);
    in(1, segs(9, 10), none); /* nine are lost */
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(8));
    CU_ASSERT_EQUAL(rig.n_out, 1); /* RFC 6937: as much as arrives, and the first */
    CU_ASSERT(info().cwnd <= 2 * FULL);
    rig_skip(&rig);
    rig_advance(&rig, RTT);
    in(1 + FULL, segs(9, 10), none);
    CU_ASSERT_EQUAL(rig.n_out, 2);
    rig_fini(&rig);
}

static void test_what_was_sent_around_a_retransmission(void)
{
    start();
    send(0, 5);
    rig_advance(&rig, RTT);
    send(5, 1);
    rig_advance(&rig, HG_US(100));
    in(1, segs(1, 5), none);
    rig_expect(&rig, TCP_ACK, 1, 1); /* the first again, */
    rig_expect_none(&rig);
    rig_advance(&rig, HG_US(100));
    send(6, 1); /* and within the same 64th of the round trip as before */
    rig_advance(&rig, RTT - HG_US(200));
    in(1, segs(1, 6), none); /* sent before the retransmission: says nothing of it */
    rig_advance(&rig, HG_US(100));
    rig_expect_none(&rig);
    in(1, segs(1, 7), none); /* sent after it: lost again */
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_no_second_recovery_from_old_duplicates(void)
{
    start_with(NULL, 0, ~(uint32_t)TCP_HAS_SACK_OK);
    send(0, 10);
    while (!rig_count(&rig, "rto_retransmits"))
        rig_advance(&rig, HG_MS(10));
    rig_skip(&rig);
    ack(1 + 10 * FULL); /* all had arrived, */
    send(10, 1);
    for (unsigned i = 0; i < 9; i++) /* and what was sent again arrives for the second time */
        ack(1 + 10 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 0); /* RFC 6582 3.2 step 2 */
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"sending on does not put off the timers", test_sending_on_does_not_put_off_the_timers},
        {"a window that opens ends the waiting", test_a_window_that_opens_ends_the_waiting},
        {"an undo without packet buffers leaves a timer",
         test_undo_without_packet_buffers_leaves_a_timer},
        {"the user timeout begins when the peer is asked",
         test_user_timeout_begins_when_the_peer_is_asked},
        {"idle time counts once", test_idle_time_counts_once},
        {"one mark reduces once", test_one_mark_reduces_once},
        {"a mark is not undone", test_a_mark_is_not_undone},
        {"old duplicates undo nothing", test_old_duplicates_undo_nothing},
        {"an undo waits for all that was resent", test_an_undo_waits_for_all_that_was_resent},
        {"an episode long ago is not undone", test_an_episode_long_ago_is_not_undone},
        {"only the first echo tells", test_only_the_first_echo_tells},
        {"the reordering timer sends no burst", test_reordering_timer_sends_no_burst},
        {"what was sent around a retransmission", test_what_was_sent_around_a_retransmission},
        {"no second recovery from old duplicates", test_no_second_recovery_from_old_duplicates},
    };

    rig_eal();
    return suite_run("tcp_episodes", tests, HG_ARRAY_LEN(tests));
}
