/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss recovery beyond the first retransmission: reordering, tail loss probes, needless recoveries,
 * ECN. Full segments carry 988 bytes; the round trip takes 20 ms.
 */
#include "rig.h"
#include "suite.h"

#define FULL 988u
#define RTT HG_MS(20)

static struct rig rig;

static struct hg_tcp_info info(void)
{
    struct hg_tcp_info i;

    hg_tcp_conn_info(rig.conn, &i);
    return i;
}

static void in(uint32_t ack, struct tcp_block a, struct tcp_block b)
{
    struct rig_in s = {.flags = TCP_ACK, .seq = 1, .ack = ack, .wnd = 60000};

    if (a.hi)
        s.sack[s.n_sack++] = a;
    if (b.hi)
        s.sack[s.n_sack++] = b;
    rig_in(&rig, s);
}

static void ack(uint32_t n)
{
    in(n, (struct tcp_block){0, 0}, (struct tcp_block){0, 0});
}

/* Segments [lo, hi) of the stream, as a block. */
static struct tcp_block segs(uint32_t lo, uint32_t hi)
{
    return (struct tcp_block){1 + lo * FULL, 1 + hi * FULL};
}

static const struct tcp_block none = {0, 0};

static void start_ecn(const struct hg_tcp_cfg *cfg, uint8_t syn_flags)
{
    rig_init(&rig, cfg);
    rig.rtt = RTT;
    rig.syn_flags = syn_flags;
    rig_accept(&rig);
}

static void start(void)
{
    start_ecn(NULL, 0);
}

/* n full segments leave, the first of them segment `at` of the stream. */
static void send_at(uint32_t at, unsigned n)
{
    rig_send(&rig, 1 + at * FULL, n * FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.n_out, n);
    rig_skip(&rig);
}

static void send(unsigned n)
{
    send_at(0, n);
}

/* Exactly the segments [lo, hi) of the stream leave. */
static void expect(uint32_t lo, uint32_t hi)
{
    for (uint32_t i = lo; i < hi; i++)
        rig_expect(&rig, TCP_ACK, 1 + i * FULL, 1);
    rig_expect_none(&rig);
}

/* ---- RACK ---- */

static void test_reordering_is_no_loss(void)
{
    start();
    send(10);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 3), none); /* the first was overtaken by two */
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(2)); /* within a quarter of the round trip */
    ack(1 + 3 * FULL);
    rig_advance(&rig, HG_MS(8));
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "reordering_seen"), 1);
    /* From now on three segments are no proof either. */
    in(1 + 3 * FULL, segs(4, 9), none);
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(info().retransmits, 0);
    ack(1 + 10 * FULL);
    rig_fini(&rig);
}

static void test_reordering_timer(void)
{
    start();
    send(10);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 3), none);
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(8)); /* nothing more arrives: a quarter of the round trip later */
    expect(0, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 0);
    ack(1 + 10 * FULL);
    rig_fini(&rig);
}

static void test_lost_retransmission_costs_no_timeout(void)
{
    start();
    send(10);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 5), none);
    expect(0, 1);
    rig_send(&rig, 1 + 10 * FULL, 8 * FULL);
    in(1, segs(1, 10), none);
    CU_ASSERT(rig.n_out > 0); /* new data, sent after the retransmission */
    rig_skip(&rig);
    rig_advance(&rig, RTT + HG_MS(1));
    in(1, segs(1, 11), none);
    rig_advance(&rig, HG_MS(8));
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.seq - rig.iss, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 0);
    rig_fini(&rig);
}

/* ---- tail loss probes ---- */

static void test_tail_loss_costs_no_timeout(void)
{
    start();
    send(4);
    rig_advance(&rig, RTT);
    ack(1 + 2 * FULL); /* the last two are lost */
    rig_advance(&rig, 2 * RTT + HG_MS(3));
    expect(3, 4); /* the last once more */
    rig_advance(&rig, RTT);
    in(1 + 2 * FULL, segs(3, 4), none);
    rig_advance(&rig, HG_MS(10));
    expect(2, 3);
    ack(1 + 4 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "tail_loss_probes"), 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 0);
    rig_fini(&rig);
}

static void test_probe_that_repairs_counts_as_congestion(void)
{
    start();
    send(4);
    rig_advance(&rig, RTT);
    ack(1 + 3 * FULL);
    uint32_t cwnd = info().cwnd;
    rig_advance(&rig, HG_SEC(1) / 4); /* a single segment: its ACK may be delayed */
    expect(3, 4);
    rig_advance(&rig, RTT);
    ack(1 + 4 * FULL);
    CU_ASSERT_EQUAL(info().cwnd, cwnd); /* not known yet which copy that was */
    send(1);
    rig_advance(&rig, RTT);
    rig_skip(&rig);
    ack(1 + 5 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "tlp_repairs"), 1);
    CU_ASSERT(info().ssthresh <= cwnd);
    rig_fini(&rig);
}

static void test_needless_probe_costs_nothing(void)
{
    start();
    send(4);
    rig_advance(&rig, RTT);
    ack(1 + 3 * FULL);
    rig_advance(&rig, HG_SEC(1) / 4);
    expect(3, 4);
    ack(1 + 4 * FULL);
    in(1 + 4 * FULL, segs(3, 4), none); /* DSACK: it arrived twice */
    send(1);
    ack(1 + 5 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "tlp_repairs"), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_dsack"), 1);
    CU_ASSERT_EQUAL(info().ssthresh, UINT32_MAX);
    rig_fini(&rig);
}

static void test_probe_prefers_new_data(void)
{
    start();
    send(10);
    rig_advance(&rig, HG_MS(5));
    rig_send(&rig, 1 + 10 * FULL, 2 * FULL); /* the window is full */
    rig_poll(&rig);
    rig_expect_none(&rig);
    rig_advance(&rig, 2 * RTT);
    expect(10, 11);
    CU_ASSERT_EQUAL(info().retransmits, 0);
    ack(1 + 11 * FULL);
    rig_fini(&rig);
}

/* ---- needless recoveries ---- */

static void test_duplicates_undo_a_recovery(void)
{
    start();
    send(10);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 5), none);
    expect(0, 1);
    uint32_t reduced = info().ssthresh;
    CU_ASSERT(reduced < 10 * FULL);
    ack(1 + 10 * FULL);                  /* the first had only been late, */
    in(1 + 10 * FULL, segs(0, 1), none); /* and here its copy arrives */
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 1);
    /* The window comes back by slow start: nothing is on its way that would spread the difference. */
    CU_ASSERT(info().cwnd >= reduced && info().cwnd < 10 * FULL);
    CU_ASSERT_EQUAL(info().ssthresh, UINT32_MAX);
    rig_skip(&rig);
    /* What was overtaken once may be again: three segments are no proof from now on. */
    CU_ASSERT_EQUAL(rig_count(&rig, "reordering_seen"), 1);
    send_at(10, 6);
    rig_advance(&rig, RTT);
    in(1 + 10 * FULL, segs(11, 15), none);
    rig_expect_none(&rig);
    ack(1 + 16 * FULL);
    CU_ASSERT(info().cwnd >= 10 * FULL);
    rig_fini(&rig);
}

static void test_undo_makes_no_burst(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.init_cwnd = 40});
    rig.rtt = RTT;
    rig_accept(&rig);
    send(40);
    uint32_t before = rig.out[0].h.ts_val;
    rig_advance(&rig, HG_MS(500)); /* the path stood still */
    CU_ASSERT(rig_count(&rig, "rto_retransmits") > 0);
    rig_send(&rig, 1 + 40 * FULL, 40 * FULL);
    rig_skip(&rig);
    rig_in(&rig,
           (struct rig_in){
               .flags = TCP_ACK, .seq = 1, .ack = 1 + 35 * FULL, .wnd = 60000, .ts_ecr = before});
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 1);
    expect(40, 50); /* RFC 4015 3: beside what is on its way no more than a first window */
    rig_skip(&rig);
    ack(1 + 45 * FULL);
    CU_ASSERT_EQUAL(info().cwnd, 25 * FULL);
    rig_fini(&rig);
}

static void test_echo_undoes_a_timeout(void)
{
    start();
    send(10);
    uint32_t before = rig.out[0].h.ts_val;
    rig_advance(&rig, HG_MS(500)); /* the path stood still: a probe, then a time-out */
    CU_ASSERT(rig_count(&rig, "rto_retransmits") > 0);
    CU_ASSERT_EQUAL(info().cwnd, FULL);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                 .seq = 1,
                                 .ack = 1 + 2 * FULL,
                                 .wnd = 60000,
                                 .ts_ecr = before}); /* the answer to what was sent first */
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 1);
    CU_ASSERT(info().cwnd >= 10 * FULL);
    rig_expect_none(&rig); /* nothing is sent again */
    CU_ASSERT_EQUAL(rig_count(&rig, "reordering_seen"), 0);
    ack(1 + 10 * FULL);
    rig_fini(&rig);
}

static void test_real_timeout_is_not_undone(void)
{
    start();
    send(10);
    rig_advance(&rig, HG_SEC(2));
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                 .seq = 1,
                                 .ack = 1 + FULL,
                                 .wnd = 60000,
                                 .ts_ecr = rig.out[0].h.ts_val + 5000});
    CU_ASSERT_EQUAL(rig_count(&rig, "spurious_recoveries"), 0);
    CU_ASSERT(info().cwnd <= 3 * FULL);
    rig_fini(&rig);
}

/* ---- ECN ---- */

#define ASK (TCP_ECE | TCP_CWR)

static void test_ecn_is_agreed_when_asked(void)
{
    start_ecn(NULL, ASK);
    rig_send(&rig, 1, FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.out[0].ecn, 2); /* ECT(0) */
    rig_fini(&rig);
    start_ecn(NULL, 0);
    rig_send(&rig, 1, FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.out[0].ecn, 0);
    rig_fini(&rig);
    start_ecn(&(struct hg_tcp_cfg){.ecn = HG_TCP_ECN_OFF}, ASK);
    rig_send(&rig, 1, FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.out[0].ecn, 0);
    rig_fini(&rig);
}

static void test_ecn_echo_reduces_once_per_round_trip(void)
{
    start_ecn(NULL, ASK);
    send(10);
    rig_advance(&rig, RTT);
    for (uint32_t i = 1; i <= 5; i++)
        rig_in(&rig, (struct rig_in){
                         .flags = TCP_ACK | TCP_ECE, .seq = 1, .ack = 1 + i * FULL, .wnd = 60000});
    CU_ASSERT_EQUAL(rig_count(&rig, "ecn_reductions"), 1);
    CU_ASSERT(info().ssthresh <= 8 * FULL);
    rig_send(&rig, 1 + 10 * FULL, FULL);
    ack(1 + 10 * FULL);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK | TCP_CWR, 1 + 10 * FULL, 1);
    CU_ASSERT_EQUAL(o->ecn, 2);
    rig_send(&rig, 1 + 11 * FULL, FULL);
    rig_poll(&rig);
    rig_expect(&rig, TCP_ACK, 1 + 11 * FULL, 1); /* said once */
    CU_ASSERT_EQUAL(info().retransmits, 0);
    rig_fini(&rig);
}

static void test_ce_is_echoed_until_cwr(void)
{
    struct rig_in data = {.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .len = 100};

    start_ecn(NULL, ASK);
    data.ecn = 3;
    rig_in(&rig, data);
    rig_expect(&rig, TCP_ACK | TCP_ECE, 1, 101);
    data.ecn = 2;
    data.seq = 101;
    rig_in(&rig, data);
    rig_advance(&rig, HG_MS(50));
    rig_expect(&rig, TCP_ACK | TCP_ECE, 1, 201);
    data.flags = TCP_ACK | TCP_CWR;
    data.seq = 201;
    rig_in(&rig, data);
    rig_advance(&rig, HG_MS(50));
    rig_expect(&rig, TCP_ACK, 1, 301);
    CU_ASSERT_EQUAL(rig_count(&rig, "ecn_ce"), 1);
    rig_fini(&rig);
}

static void test_retransmissions_carry_no_mark(void)
{
    start_ecn(NULL, ASK);
    send(10);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 5), none);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->ecn, 0); /* RFC 3168 6.1.5 */
    rig_fini(&rig);
}

/* ---- user timeout, RFC 5482 ---- */

static hg_ns dies_after(void)
{
    hg_ns begin = rig.now;

    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    while (rig_state(&rig)[0] != 'C' && rig.now - begin < HG_SEC(7000)) {
        rig_advance(&rig, HG_SEC(1));
        rig_skip(&rig);
    }
    rig_event(&rig, HG_TCP_EV_CLOSED);
    return rig.now - begin;
}

static void test_user_timeout_is_told_and_kept(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.user_timeout = HG_SEC(30), .rto_max = HG_SEC(4)});
    rig_accept(&rig);
    CU_ASSERT_EQUAL(rig.syn_ack.has & TCP_HAS_UTO, TCP_HAS_UTO);
    CU_ASSERT_EQUAL(rig.syn_ack.uto, 30);
    hg_ns t = dies_after();
    CU_ASSERT(t >= HG_SEC(30) && t <= HG_SEC(36));
    rig_fini(&rig);
}

static void test_the_peers_wish_counts_within_limits(void)
{
    static const struct {
        uint16_t uto;
        hg_ns least;
    } rows[] = {{10, HG_SEC(100)},
                {200, HG_SEC(200)},
                {0x8000 | 5, HG_SEC(300)},
                {0x8000 | 0x7fff, HG_SEC(3600)}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        rig_init(&rig, &(struct hg_tcp_cfg){.rto_max = HG_SEC(5)});
        rig.options |= TCP_HAS_UTO;
        rig.uto = rows[i].uto;
        rig_accept(&rig);
        hg_ns t = dies_after();
        CU_ASSERT(t >= rows[i].least && t <= rows[i].least + HG_SEC(8));
        rig_fini(&rig);
    }
}

static void test_the_service_has_the_last_word(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rto_max = HG_SEC(2)});
    rig.options |= TCP_HAS_UTO;
    rig.uto = 200;
    rig_accept(&rig);
    hg_tcp_set_user_timeout(rig.conn, HG_SEC(12));
    hg_ns t = dies_after();
    CU_ASSERT(t >= HG_SEC(12) && t <= HG_SEC(16));
    rig_fini(&rig);
}

/* ---- numbers ---- */

static void test_info_tells_what_happened(void)
{
    start();
    struct hg_tcp_info i = info();
    CU_ASSERT_STRING_EQUAL(i.cc, "cubic");
    CU_ASSERT_STRING_EQUAL(i.ca_state, "open");
    CU_ASSERT(i.timestamps && i.sack && i.wscale && !i.ecn);
    CU_ASSERT_EQUAL(i.min_rtt_us, 20000);
    CU_ASSERT_EQUAL(i.pmtu, RIG_MSS + 40);
    CU_ASSERT_EQUAL(i.busy_us, 0);
    send(10);
    rig_send(&rig, 1 + 10 * FULL, 5 * FULL);
    rig_poll(&rig);
    rig_advance(&rig, RTT - HG_MS(1));
    in(1, segs(1, 5), none);
    rig_skip(&rig);
    i = info();
    CU_ASSERT_STRING_EQUAL(i.ca_state, "recovery");
    CU_ASSERT_EQUAL(i.sacked, 4 * FULL);
    CU_ASSERT_EQUAL(i.retrans, FULL);
    CU_ASSERT_EQUAL(i.lost, 0);
    CU_ASSERT_EQUAL(i.bytes_retrans, FULL);
    CU_ASSERT_EQUAL(i.bytes_acked, 0);
    CU_ASSERT_EQUAL(i.data_segs_out, i.bytes_sent / FULL);
    CU_ASSERT_EQUAL(i.last_data_sent_ms <= 19, 1);
    CU_ASSERT_EQUAL(i.busy_us, 19000);
    CU_ASSERT_EQUAL(i.rwnd_limited_us, 0);
    ack(1 + 10 * FULL);
    CU_ASSERT_EQUAL(info().bytes_acked, 10 * FULL);
    rig_fini(&rig);
}

static void test_info_tells_that_the_peer_does_not_read(void)
{
    start();
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 0});
    rig_send(&rig, 1, 3 * FULL);
    rig_poll(&rig);
    rig_advance(&rig, HG_MS(100));
    rig_poll(&rig);
    CU_ASSERT_EQUAL(info().rwnd_limited_us, 100000);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000});
    rig_advance(&rig, HG_MS(5));
    rig_poll(&rig);
    CU_ASSERT_EQUAL(info().rwnd_limited_us, 100000);
    CU_ASSERT_EQUAL(info().busy_us, 105000);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"reordering is no loss", test_reordering_is_no_loss},
        {"the reordering timer", test_reordering_timer},
        {"a lost retransmission costs no time-out", test_lost_retransmission_costs_no_timeout},
        {"tail loss costs no time-out", test_tail_loss_costs_no_timeout},
        {"a probe that repairs counts as congestion", test_probe_that_repairs_counts_as_congestion},
        {"a needless probe costs nothing", test_needless_probe_costs_nothing},
        {"a probe prefers new data", test_probe_prefers_new_data},
        {"duplicates undo a recovery", test_duplicates_undo_a_recovery},
        {"an undo makes no burst", test_undo_makes_no_burst},
        {"an echo undoes a time-out", test_echo_undoes_a_timeout},
        {"a real time-out is not undone", test_real_timeout_is_not_undone},
        {"ECN is agreed when asked for", test_ecn_is_agreed_when_asked},
        {"an ECN echo reduces once", test_ecn_echo_reduces_once_per_round_trip},
        {"CE is echoed until CWR", test_ce_is_echoed_until_cwr},
        {"retransmissions carry no ECN mark", test_retransmissions_carry_no_mark},
        {"a user timeout is told and kept", test_user_timeout_is_told_and_kept},
        {"the peer's wish counts, within limits", test_the_peers_wish_counts_within_limits},
        {"the service has the last word", test_the_service_has_the_last_word},
        {"info tells what happened", test_info_tells_what_happened},
        {"info tells that the peer does not read", test_info_tells_that_the_peer_does_not_read},
    };

    rig_eal();
    return suite_run("tcp_recovery", tests, HG_ARRAY_LEN(tests));
}
