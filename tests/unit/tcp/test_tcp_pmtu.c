/* SPDX-License-Identifier: BSD-3-Clause */
/* Path MTU: what ICMP says, black holes, probes, and what is remembered. Port MTU 1500, MSS 1460. */
#include "rig.h"
#include "suite.h"

#define FULL 1448u /* payload beside timestamps */
#define RTT HG_MS(20)

static struct rig rig;

static struct hg_tcp_info info(void)
{
    struct hg_tcp_info i;

    hg_tcp_conn_info(rig.conn, &i);
    return i;
}

static void start(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.mss = 1460, .keepalive_idle = HG_SEC(7200)});
    rig.rtt = RTT;
    rig.mss = 1460;
    rig_accept(&rig);
}

static void ack(uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = n, .wnd = 60000});
}

/* Largest segment that left since the last call. */
static uint32_t largest(void)
{
    uint32_t most = 0;

    for (unsigned i = 0; i < rig.n_out; i++)
        most = rig.out[i].len > most ? rig.out[i].len : most;
    rig_skip(&rig);
    return most;
}

/* Full segments that nobody answers, until they become smaller. */
static void fall_into_black_hole(void)
{
    rig_send(&rig, 1, 4 * FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(largest(), FULL);
    for (unsigned i = 0; i < 20 && !rig_count(&rig, "pmtu_black_holes"); i++) {
        rig_skip(&rig);
        rig_advance(&rig, HG_MS(200));
    }
}

static void test_black_hole_is_left(void)
{
    start();
    fall_into_black_hole();
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_black_holes"), 1);
    CU_ASSERT_EQUAL(info().pmtu, 1280);
    rig_skip(&rig);
    rig_advance(&rig, HG_SEC(3));
    CU_ASSERT_EQUAL(largest(), 1280 - 52);
    /* Still nothing: the least that every host takes. */
    rig_advance(&rig, HG_SEC(10));
    rig_skip(&rig);
    rig_advance(&rig, HG_SEC(20));
    CU_ASSERT_EQUAL(largest(), 576 - 52);
    CU_ASSERT_EQUAL(info().pmtu, 576);
    rig_fini(&rig);
}

static void test_small_segments_that_vanish_are_no_black_hole(void)
{
    start();
    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(10));
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_black_holes"), 0);
    CU_ASSERT_EQUAL(info().pmtu, 1500);
    rig_fini(&rig);
}

/* Acknowledges what has left; returns the next byte's number. */
static uint32_t ack_all(void)
{
    uint32_t at = 1 + (uint32_t)info().bytes_out;

    ack(at);
    return at;
}

/* `n` rounds in which as much is sent and acknowledged as the window allows; at: next byte to queue. */
static uint32_t run(uint32_t at, unsigned n)
{
    while (n--) {
        uint32_t more = hg_tcp_send_space(rig.conn) / 2;
        more = more < 40000 ? more : 40000;
        rig_send(&rig, at, more);
        at += more;
        rig_poll(&rig);
        rig_advance(&rig, HG_MS(5));
        rig_skip(&rig);
        ack_all();
    }
    return at;
}

static void test_probe_that_arrives_is_the_new_size(void)
{
    start();
    fall_into_black_hole();
    ack_all();
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), 0);
    rig_advance(&rig, HG_SEC(3)); /* no probe before the connection has run again */
    run(1 + 4 * FULL, 40);
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), 1); /* the whole size at first: */
    CU_ASSERT_EQUAL(info().pmtu, 1500);                 /* it was no black hole, but an outage */
    rig_fini(&rig);
}

/* The probe among what left: its number, and length into *len. */
static uint32_t find_probe(uint32_t *len)
{
    for (unsigned i = 0; i < rig.n_out; i++) {
        if (rig.out[i].len > 1280 - 52) {
            *len = rig.out[i].len;
            return rig.out[i].h.seq - rig.iss;
        }
    }
    *len = 0;
    return 0;
}

/* Sends on; of what the path does not take the peer reports what is behind, and gets it in small. */
static uint32_t run_over(uint32_t at, unsigned rounds, uint32_t path)
{
    while (rounds--) {
        uint32_t len, probe;
        rig_skip(&rig);
        rig_send(&rig, at, 30000);
        at += 30000;
        rig_poll(&rig);
        rig_advance(&rig, HG_MS(5));
        probe = find_probe(&len);
        rig_skip(&rig);
        if (len > path - 52)
            rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                         .seq = 1,
                                         .ack = probe,
                                         .wnd = 60000,
                                         .n_sack = 1,
                                         .sack = {{probe + len, probe + len + 9000}}});
        CU_ASSERT(largest() <= path - 52);
        rig_advance(&rig, HG_MS(5));
        ack_all();
    }
    return at;
}

static void test_search_finds_the_size_and_begins_again(void)
{
    start();
    fall_into_black_hole();
    ack_all();
    uint32_t at = run(1 + 4 * FULL, 20);
    rig_advance(&rig, HG_SEC(3));
    at = run_over(at, 40, 1400);
    CU_ASSERT(info().pmtu <= 1400 && info().pmtu > 1400 - 16);
    uint64_t probes = rig_count(&rig, "pmtu_probes"), again = rig_count(&rig, "fast_retransmits");
    CU_ASSERT_EQUAL(again, 0); /* no loss was taken for congestion */
    at = run_over(at, 20, 1400);
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), probes);
    rig_advance(&rig, HG_SEC(601)); /* RFC 8899 5.1.1: the route may have changed */
    run_over(at, 20, 1500);
    CU_ASSERT_EQUAL(info().pmtu, 1500);
    rig_fini(&rig);
}

/* The path goes dead with a probe on its way. That must not say anything of the probe's size. */
static void test_outage_during_a_probe_costs_no_size(void)
{
    uint32_t len;

    start();
    fall_into_black_hole();
    ack_all();
    uint32_t at = run(1 + 4 * FULL, 20);
    rig_advance(&rig, HG_SEC(3));
    rig_skip(&rig);
    rig_send(&rig, at, 40000);
    rig_poll(&rig);
    find_probe(&len);
    CU_ASSERT_FATAL(len > 0);
    for (unsigned i = 0; i < 5; i++) { /* nothing is answered */
        rig_advance(&rig, HG_MS(100));
        rig_skip(&rig);
    }
    CU_ASSERT(rig_count(&rig, "rto_retransmits") > 1);
    ack_all();
    at = run(at + 40000, 20);
    rig_advance(&rig, HG_SEC(3));
    run(at, 40);
    CU_ASSERT_EQUAL(info().pmtu, 1500);
    rig_fini(&rig);
}

/* The peer's window may be smaller than a probe though not than a segment: cut to it, the probe would be
 * too large and prove nothing. */
static void test_window_that_is_too_small_puts_a_probe_off(void)
{
    const uint32_t seg = 1280 - 52;

    start();
    fall_into_black_hole();
    ack_all();
    uint32_t at = run(1 + 4 * FULL, 20);
    rig_advance(&rig, HG_SEC(3));
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = at, .wnd = (uint16_t)(seg + 50)});
    rig_skip(&rig);
    rig_send(&rig, at, 40000);
    for (unsigned i = 0; i < 4; i++) {
        rig_poll(&rig);
        CU_ASSERT_EQUAL(largest(), seg);
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                     .seq = 1,
                                     .ack = 1 + (uint32_t)info().bytes_out,
                                     .wnd = (uint16_t)(seg + 50)});
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), 0);
    rig_skip(&rig);
    ack_all(); /* the window is open */
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), 1);
    CU_ASSERT_EQUAL(largest(), FULL);
    rig_fini(&rig);
}

/* Each of our addresses may have a way of its own to the same peer. */
static void test_size_belongs_to_both_addresses(void)
{
    start();
    fall_into_black_hole();
    struct hg_flow other = rig.conn->flow;
    CU_ASSERT_EQUAL(tcp_pmtu_get(rig.tcp, &other), 1280);
    other.local.b[15]++;
    CU_ASSERT_EQUAL(tcp_pmtu_get(rig.tcp, &other), 1500);
    other = rig.conn->flow;
    other.remote.b[15]++;
    CU_ASSERT_EQUAL(tcp_pmtu_get(rig.tcp, &other), 1500);
    rig_fini(&rig);
}

static void test_lost_probe_is_no_congestion(void)
{
    start();
    fall_into_black_hole();
    ack_all();
    uint32_t at = run(1 + 4 * FULL, 20), probe = 0, len = 0;
    rig_advance(&rig, HG_SEC(3));
    rig_skip(&rig);
    rig_send(&rig, at, 40000);
    rig_poll(&rig);
    for (unsigned i = 0; i < rig.n_out; i++) {
        if (rig.out[i].len > 1280 - 52) {
            probe = rig.out[i].h.seq - rig.iss;
            len = rig.out[i].len;
        }
    }
    CU_ASSERT_FATAL(len > 0);
    rig_skip(&rig);
    rig_advance(&rig, HG_MS(5));
    struct hg_tcp_info before = info();
    /* All but the probe arrived. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                 .seq = 1,
                                 .ack = probe,
                                 .wnd = 60000,
                                 .n_sack = 1,
                                 .sack = {{probe + len, probe + len + 9000}}});
    CU_ASSERT_EQUAL(largest(), 1280 - 52); /* its bytes again, in two */
    CU_ASSERT_STRING_EQUAL(info().ca_state, "open");
    CU_ASSERT(info().cwnd >= before.cwnd);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 0);
    rig_fini(&rig);
}

static void test_probe_lost_in_recovery_is_not_the_new_size(void)
{
    const uint32_t seg = 1280 - 52;
    struct rig_in s = {.flags = TCP_ACK, .seq = 1, .wnd = 60000, .n_sack = 1};
    uint32_t probe = 0, len = 0;

    start();
    fall_into_black_hole();
    ack_all();
    uint32_t at = run(1 + 4 * FULL, 20);
    rig_advance(&rig, HG_SEC(3));
    rig_send(&rig, at, 5 * seg); /* too little for a probe behind it */
    rig_poll(&rig);
    rig_skip(&rig);
    rig_send(&rig, at + 5 * seg, 40000);
    rig_poll(&rig);
    for (unsigned i = 0; i < rig.n_out; i++) {
        if (rig.out[i].len > seg) {
            probe = rig.out[i].h.seq - rig.iss;
            len = rig.out[i].len;
        }
    }
    CU_ASSERT_FATAL(len > 0);
    rig_advance(&rig, HG_MS(5));
    s.ack = at; /* the first is lost, which begins a recovery; */
    s.sack[0] = (struct tcp_block){at + seg, probe};
    rig_in(&rig, s);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    rig_skip(&rig);
    s.ack = probe; /* the probe as well */
    s.sack[0] = (struct tcp_block){probe + len, probe + len + 5 * seg};
    rig_in(&rig, s);
    CU_ASSERT_EQUAL(largest(), seg);
    ack_all(); /* its bytes arrived, though not in one segment */
    CU_ASSERT_EQUAL(info().pmtu, 1280);
    rig_fini(&rig);
}

static void test_the_next_connection_knows(void)
{
    start();
    fall_into_black_hole();
    hg_tcp_abort(rig.conn);
    rig_event(&rig, HG_TCP_EV_CLOSED);
    hg_tcp_release(rig.conn);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 60000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.mss, 1240); /* so the peer's segments fit as well */
    rig_advance(&rig, HG_SEC(15));   /* that handshake is given up */
    rig_advance(&rig, HG_SEC(600));
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 60000});
    o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.mss, 1460); /* routes change */
    rig_fini(&rig);
}

static void test_icmp_is_followed_and_forgotten(void)
{
    start();
    rig_send(&rig, 1, 4 * FULL);
    rig_poll(&rig);
    rig_skip(&rig);
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 1400}, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_reduced"), 1);
    CU_ASSERT_EQUAL(largest(), 1400 - 52);
    uint32_t cwnd = info().cwnd;
    ack(1 + 4 * FULL);
    CU_ASSERT(info().cwnd >= cwnd); /* no congestion */
    uint32_t at = run(1 + 4 * FULL, 20);
    CU_ASSERT_EQUAL(rig_count(&rig, "pmtu_probes"), 0);
    rig_advance(&rig, HG_SEC(601));
    run(at, 20);
    CU_ASSERT(rig_count(&rig, "pmtu_probes") >= 1);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"a black hole is left", test_black_hole_is_left},
        {"small segments that vanish are no black hole",
         test_small_segments_that_vanish_are_no_black_hole},
        {"a probe that arrives is the new size", test_probe_that_arrives_is_the_new_size},
        {"a search finds the size, and begins again", test_search_finds_the_size_and_begins_again},
        {"an outage during a probe costs no size", test_outage_during_a_probe_costs_no_size},
        {"a window that is too small puts a probe off",
         test_window_that_is_too_small_puts_a_probe_off},
        {"a size belongs to both addresses", test_size_belongs_to_both_addresses},
        {"a lost probe is no congestion", test_lost_probe_is_no_congestion},
        {"a probe lost in recovery is not the new size",
         test_probe_lost_in_recovery_is_not_the_new_size},
        {"the next connection knows", test_the_next_connection_knows},
        {"ICMP is followed, and forgotten", test_icmp_is_followed_and_forgotten},
    };

    rig_eal();
    return suite_run("tcp_pmtu", tests, HG_ARRAY_LEN(tests));
}
