/* SPDX-License-Identifier: BSD-3-Clause */
/* The sender: cutting, windows, loss repair, probes, empty pools. Full segments carry 988 bytes. */
#include "rig.h"
#include "suite.h"

#include <errno.h>

#define FULL 988u

static struct rig rig;

static void ack(uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = n, .wnd = 60000});
}

static void ack_wnd(uint32_t n, uint16_t wnd)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = n, .wnd = wnd});
}

static void sack(uint32_t n, uint32_t lo, uint32_t hi)
{
    rig_in(
        &rig,
        (struct rig_in){
            .flags = TCP_ACK, .seq = 1, .ack = n, .wnd = 60000, .n_sack = 1, .sack = {{lo, hi}}});
}

static struct hg_tcp_info info(void)
{
    struct hg_tcp_info i;

    hg_tcp_conn_info(rig.conn, &i);
    return i;
}

static void start(const struct hg_tcp_cfg *cfg)
{
    rig_init(&rig, cfg);
    rig_accept(&rig);
}

/* Expects segments of full size from offset `at` on, then none. */
static void expect_full(uint32_t at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct rig_out *o = rig_expect(&rig, TCP_ACK, at + FULL * i, 1);
        CU_ASSERT_EQUAL(o->len, FULL);
    }
    rig_expect_none(&rig);
}

static void test_cut_into_full_segments(void)
{
    start(NULL);
    rig_send(&rig, 1, 2500);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, FULL);
    CU_ASSERT_EQUAL(o->h.flags & TCP_PSH, 0);
    o = rig_expect(&rig, TCP_ACK, 1 + FULL, 1);
    CU_ASSERT_EQUAL(o->len, FULL);
    o = rig_expect(&rig, TCP_ACK, 1 + 2 * FULL, 1);
    CU_ASSERT_EQUAL(o->len, 2500 - 2 * FULL);
    CU_ASSERT_EQUAL(o->h.flags & TCP_PSH, TCP_PSH); /* the last byte queued */
    rig_expect_none(&rig);
    ack(2501);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 0);
    rig_fini(&rig);
}

static void test_one_clone_per_segment(void)
{
    struct rte_mempool *big =
        rte_pktmbuf_pool_create("big", 15, 0, 0, RTE_PKTMBUF_HEADROOM + 17408, SOCKET_ID_ANY);

    CU_ASSERT_PTR_NOT_NULL_FATAL(big);
    start(NULL);
    struct rte_mbuf *m = rte_pktmbuf_alloc(big);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 9 * FULL);
    for (uint32_t i = 0; i < 9 * FULL; i++)
        p[i] = rig_byte(1 + i);
    CU_ASSERT_EQUAL(hg_tcp_send(rig.conn, m), 0);
    rig_poll(&rig);
    for (unsigned i = 0; i < 9; i++) {
        const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1 + FULL * i, 1);
        CU_ASSERT_EQUAL(o->mbufs, 2);
    }
    rig_expect_none(&rig);
    ack(1 + 9 * FULL);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(big), 0);
    rig_fini(&rig);
    rte_mempool_free(big);
}

static void test_small_writes_are_coalesced(void)
{
    start(NULL);
    for (uint32_t i = 0; i < 5; i++)
        rig_send(&rig, 1 + 100 * i, 100);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 500);
    CU_ASSERT_EQUAL(o->mbufs, 6);
    rig_expect_none(&rig);
    /* Bounded pieces: no NIC gets a packet of a hundred mbufs. */
    for (uint32_t i = 0; i < 20; i++)
        rig_send(&rig, 501 + 10 * i, 10);
    rig_poll(&rig);
    uint32_t at = 501;
    while ((o = rig_take(&rig))) {
        CU_ASSERT(o->mbufs <= 8);
        CU_ASSERT_EQUAL(o->h.seq - rig.iss, at);
        at += o->len;
    }
    CU_ASSERT_EQUAL(at, 701);
    rig_fini(&rig);
}

static void test_send_space(void)
{
    start(&(struct hg_tcp_cfg){.snd_buf = 3000});
    CU_ASSERT_EQUAL(hg_tcp_send_space(rig.conn), 3000);
    rig_send(&rig, 1, 2000);
    CU_ASSERT_EQUAL(hg_tcp_send_space(rig.conn), 1000);
    struct rte_mbuf *m = rig_payload(&rig, 2001, 1001);
    CU_ASSERT_EQUAL(hg_tcp_send(rig.conn, m), -EAGAIN);
    rte_pktmbuf_free(m);
    rig_poll(&rig);
    rig_skip(&rig);
    rig_no_event(&rig);
    ack(1001);
    rig_event(&rig, HG_TCP_EV_WRITABLE); /* half is free */
    CU_ASSERT_EQUAL(hg_tcp_send_space(rig.conn), 2000);
    ack(2001);
    rig_event(&rig, HG_TCP_EV_WRITABLE); /* all is free */
    rig_send(&rig, 2001, 100);
    rig_poll(&rig);
    ack(2101);
    rig_no_event(&rig); /* it was never short */
    hg_tcp_shutdown(rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_send_space(rig.conn), 0);
    m = rig_payload(&rig, 2101, 1);
    CU_ASSERT_EQUAL(hg_tcp_send(rig.conn, m), -EPIPE);
    rte_pktmbuf_free(m);
    rig_fini(&rig);
}

static void test_buffer_smaller_than_the_window_stays_full(void)
{
    start(&(struct hg_tcp_cfg){.snd_buf = 8000});
    rig_send(&rig, 1, 8000);
    struct rte_mbuf *m = rig_payload(&rig, 8001, 1);
    CU_ASSERT_EQUAL(hg_tcp_send(rig.conn, m), -EAGAIN);
    rte_pktmbuf_free(m);
    rig_poll(&rig);
    rig_skip(&rig);
    ack(989); /* all was sent, and not yet an eighth is free */
    rig_no_event(&rig);
    ack(1977);
    rig_event(&rig, HG_TCP_EV_WRITABLE);
    rig_fini(&rig);
}

static void test_initial_window_and_slow_start(void)
{
    start(NULL);
    rig_send(&rig, 1, 50000);
    rig_poll(&rig);
    expect_full(1, 10); /* RFC 6928 */
    ack(1 + 2 * FULL);
    expect_full(1 + 10 * FULL, 4); /* two acknowledged, two more */
    rig_fini(&rig);
}

static void test_peer_window_limits(void)
{
    start(NULL);
    ack_wnd(1, 156);                      /* shift 4: this is 2496 bytes */
    CU_ASSERT_EQUAL(info().snd_wnd, 156); /* the rig's peer offers shift 0 */
    ack_wnd(1, 2500);
    rig_send(&rig, 1, 10000);
    rig_poll(&rig);
    expect_full(1, 2);
    /* 524 bytes of window are left: a silly segment is not sent while an answer is due. */
    ack_wnd(1 + FULL, 2500);
    expect_full(1 + 2 * FULL, 1);
    rig_fini(&rig);
}

static void test_shrunk_window(void)
{
    start(NULL);
    rig_send(&rig, 1, 5 * FULL);
    rig_poll(&rig);
    expect_full(1, 5);
    ack_wnd(1, 1000); /* the peer takes its promise back (RFC 9293 3.8.6, MUST-34) */
    rig_expect_none(&rig);
    ack(1 + 5 * FULL);
    rig_send(&rig, 1 + 5 * FULL, FULL);
    rig_poll(&rig);
    expect_full(1 + 5 * FULL, 1);
    rig_fini(&rig);
}

static void test_fast_retransmit_by_sack(void)
{
    rig_init(&rig, NULL);
    rig.rtt = HG_MS(8);
    rig_accept(&rig);
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    expect_full(1, 10);
    rig_advance(&rig, HG_MS(8));
    sack(1, 1 + FULL, 1 + 2 * FULL);
    sack(1, 1 + FULL, 1 + 3 * FULL);
    rig_expect_none(&rig);
    sack(1, 1 + FULL, 1 + 4 * FULL); /* three segments above the hole */
    expect_full(1, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    CU_ASSERT_EQUAL(info().ssthresh, 7 * FULL); /* RFC 9438 4.6 */
    sack(1, 1 + FULL, 1 + 5 * FULL);            /* not again */
    rig_expect_none(&rig);
    ack(1 + 10 * FULL);
    CU_ASSERT_EQUAL(info().retransmits, 1);
    CU_ASSERT_EQUAL(info().cwnd, 7 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 0);
    rig_fini(&rig);
}

static void test_only_holes_are_sent_again(void)
{
    start(NULL);
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    expect_full(1, 10);
    /* 0, 3 and 4 are lost. */
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK,
                           .seq = 1,
                           .ack = 1,
                           .wnd = 60000,
                           .n_sack = 2,
                           .sack = {{1 + 5 * FULL, 1 + 10 * FULL}, {1 + FULL, 1 + 3 * FULL}}});
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_expect(&rig, TCP_ACK, 1 + 3 * FULL, 1);
    rig_expect(&rig, TCP_ACK, 1 + 4 * FULL, 1);
    rig_expect_none(&rig);
    ack(1 + 10 * FULL);
    CU_ASSERT_EQUAL(rig_count(&rig, "retrans_segs"), 3);
    rig_fini(&rig);
}

static void test_fast_retransmit_gets_its_own_timeout(void)
{
    start(NULL);
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    rig_skip(&rig);
    hg_ns rto = HG_US(info().rto_us);
    rig_advance(&rig, HG_MS(8));
    sack(1, 1 + FULL, 1 + 4 * FULL);
    expect_full(1, 1);
    rig_advance(&rig, rto - HG_MS(4)); /* the timer of the first copy would have gone off */
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 0);
    rig_advance(&rig, HG_MS(40));
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 1);
    rig_fini(&rig);
}

static void test_fast_retransmit_without_sack(void)
{
    rig_init(&rig, NULL);
    rig.options = TCP_HAS_MSS;
    rig_accept(&rig);
    rig_send(&rig, 1, 9000);
    rig_poll(&rig);
    rig_skip(&rig);
    ack(1);
    ack(1);
    rig_expect_none(&rig);
    ack(1);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 1000);
    rig_expect_none(&rig);
    /* RFC 6582: a partial acknowledgement shows the next hole. */
    ack(3001);
    rig_expect(&rig, TCP_ACK, 3001, 1);
    rig_expect_none(&rig);
    ack(9001);
    CU_ASSERT_EQUAL(rig_count(&rig, "fast_retransmits"), 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "retrans_segs"), 2);
    rig_fini(&rig);
}

static void test_duplicates_that_are_none(void)
{
    rig_init(&rig, NULL);
    rig.options = TCP_HAS_MSS;
    rig_accept(&rig);
    rig_send(&rig, 1, 5000);
    rig_poll(&rig);
    rig_skip(&rig);
    /* Window updates and segments with data are no duplicates (RFC 5681 2). */
    for (uint16_t i = 0; i < 5; i++)
        ack_wnd(1, (uint16_t)(50000 + i));
    for (uint32_t i = 0; i < 5; i++)
        rig_in(&rig,
               (struct rig_in){.flags = TCP_ACK, .seq = 1 + i, .ack = 1, .wnd = 50004, .len = 1});
    CU_ASSERT_EQUAL(rig_count(&rig, "dup_acks"), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "retrans_segs"), 0);
    rig_fini(&rig);
}

static void test_timeout_and_backoff(void)
{
    start(&(struct hg_tcp_cfg){.no_sack = true}); /* with SACK a probe goes first */
    rig_send(&rig, 1, 3 * FULL);
    rig_poll(&rig);
    expect_full(1, 3);
    hg_ns sent = rig.now, rto = HG_US(info().rto_us);
    rig_advance(&rig, rto - HG_MS(2));
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(5));
    expect_full(1, 1); /* cwnd is one segment */
    CU_ASSERT_EQUAL(info().cwnd, FULL);
    rig_advance(&rig, 2 * rto - HG_MS(10));
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(15));
    expect_full(1, 1);
    CU_ASSERT(rig.now - sent >= 3 * rto);
    CU_ASSERT_EQUAL(rig_count(&rig, "rto_retransmits"), 2);
    ack(1 + FULL); /* slow start over the rest */
    expect_full(1 + FULL, 2);
    ack(1 + 3 * FULL);
    CU_ASSERT_EQUAL(hg_tcp_send_space(rig.conn), 100000);
    rig_advance(&rig, HG_SEC(3));
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_gives_up(void)
{
    start(&(struct hg_tcp_cfg){.retries = 3, .rto_max = HG_SEC(2), .no_sack = true});
    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(10));
    CU_ASSERT_EQUAL(rig.n_out, 4);
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ETIMEDOUT);
    CU_ASSERT_EQUAL(rig_count(&rig, "dead_peers"), 1);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 0);
    rig_fini(&rig);
}

static void test_progress_resets_the_count(void)
{
    start(&(struct hg_tcp_cfg){.retries = 3, .rto_max = HG_SEC(1)});
    rig_send(&rig, 1, 10000);
    rig_poll(&rig);
    for (uint32_t i = 1; i <= 9; i++) {
        rig_advance(&rig, HG_MS(2200)); /* one or two time-outs */
        ack(1 + 1000 * i);
    }
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    CU_ASSERT(rig_count(&rig, "rto_retransmits") > 9);
    rig_fini(&rig);
}

static void test_karn(void)
{
    struct hg_tcp_info before;

    rig_init(&rig, NULL);
    rig.options = TCP_HAS_MSS; /* no timestamps: the copies cannot be told apart */
    rig_accept(&rig);
    rig_send(&rig, 1, 1000);
    rig_poll(&rig);
    rig_advance(&rig, HG_MS(50));
    ack(1001);
    before = info();
    rig_send(&rig, 1001, 1000);
    rig_poll(&rig);
    rig_advance(&rig, HG_MS(400)); /* sent again meanwhile */
    CU_ASSERT_EQUAL(rig_count(&rig, "retrans_segs"), 1);
    ack(2001);
    CU_ASSERT_EQUAL(info().srtt_us, before.srtt_us);
    rig_fini(&rig);
}

static void test_rtt_from_timestamp_after_timeout(void)
{
    start(NULL);
    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(1));
    uint32_t n = rig.n_out;
    CU_ASSERT(n >= 2);
    uint32_t backed_off = info().rto_us;
    /* The echoed stamp is the retransmission's, so this is a measurement and ends the back-off. */
    struct tcp_hdr h = {.sport = RIG_PEER_PORT,
                        .dport = RIG_PORT,
                        .seq = RIG_IRS + 1,
                        .ack = rig.iss + 101,
                        .flags = TCP_ACK,
                        .wnd = 60000,
                        .has = TCP_HAS_TS,
                        .ts_val = rig.ts,
                        .ts_ecr = rig.out[n - 1].h.ts_val};
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, (uint16_t)tcp_hdr_size(&h)), &h);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = *hg_tcp_conn_flow(rig.conn)};
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    CU_ASSERT(info().rto_us < backed_off);
    rig_fini(&rig);
}

static void test_zero_window_is_probed(void)
{
    start(NULL);
    ack_wnd(1, 0);
    rig_send(&rig, 1, 3 * FULL);
    rig_poll(&rig);
    rig_expect_none(&rig);
    hg_ns start_at = rig.now;
    rig_advance(&rig, HG_MS(350));
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 0, 1); /* one below SND.UNA */
    CU_ASSERT_EQUAL(o->len, 0);
    ack_wnd(1, 0); /* alive, still closed */
    rig_advance(&rig, HG_SEC(5));
    unsigned probes = rig.n_out;
    CU_ASSERT(probes >= 4 && probes <= 6); /* each interval is twice the last */
    rig_skip(&rig);
    /* As long as the peer answers it is never given up (RFC 9293 3.8.6.1). */
    while (rig.now - start_at < HG_SEC(1800)) {
        rig_advance(&rig, HG_SEC(60));
        ack_wnd(1, 0);
        rig_skip(&rig);
    }
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    ack(1);
    expect_full(1, 3);
    rig_fini(&rig);
}

static void test_zero_window_without_answers_ends(void)
{
    start(&(struct hg_tcp_cfg){.retries = 4, .rto_max = HG_SEC(2), .keepalive_idle = HG_SEC(9999)});
    ack_wnd(1, 0);
    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(30));
    CU_ASSERT_EQUAL(rig.n_out, 4);
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ETIMEDOUT);
    rig_fini(&rig);
}

static void test_released_connection_does_not_probe_for_ever(void)
{
    start(&(struct hg_tcp_cfg){.retries = 4, .rto_max = HG_SEC(2)});
    ack_wnd(1, 0);
    rig_send(&rig, 1, 100);
    hg_tcp_release(rig.conn);
    for (unsigned i = 0; i < 60; i++) {
        rig_advance(&rig, HG_SEC(1));
        ack_wnd(1, 0);
        rig_skip(&rig);
    }
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_small_window_override(void)
{
    start(NULL);
    ack_wnd(1, 300); /* less than a segment and than half of the largest window */
    rig_send(&rig, 1, 2000);
    rig_poll(&rig);
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(350)); /* RFC 9293 3.8.6.2.1: the override time-out */
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 300);
    rig_fini(&rig);
}

static void test_acceptable_acks(void)
{
    start(NULL);
    rig_send(&rig, 1, 5000);
    rig_poll(&rig);
    rig_skip(&rig);
    ack(5002); /* never sent */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_ack"), 1);
    rig_expect(&rig, TCP_ACK, 5001, 1); /* challenge (RFC 5961 5.2) */
    ack(3001);
    rig_skip(&rig);
    ack(1001); /* an old duplicate is harmless */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_ack"), 1);
    ack((uint32_t)-200000); /* older than any window */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_ack"), 2);
    CU_ASSERT_EQUAL(info().unacked, 2000);
    rig_fini(&rig);
}

static void test_old_window_is_ignored(void)
{
    start(NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 5000, .len = 100});
    /* A reordered older segment must not bring its window back (RFC 9293 3.10.7.4, SND.WL1). */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 51, .ack = 1, .wnd = 9, .len = 100});
    CU_ASSERT_EQUAL(info().snd_wnd, 9);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 31, .ack = 1, .wnd = 7, .len = 200});
    CU_ASSERT_EQUAL(info().snd_wnd, 9);
    rig_fini(&rig);
}

static void test_empty_pools(void)
{
    struct rte_mbuf *taken[2047];
    struct rte_mempool *hdr, *clone;
    unsigned n;

    for (unsigned which = 0; which < 2; which++) {
        start(NULL);
        hdr = rig.hdr;
        clone = rig.clone;
        rig_send(&rig, 1, 2 * FULL);
        for (n = 0; n < 2047; n++)
            if (!(taken[n] = rte_pktmbuf_alloc(which ? hdr : clone)))
                break;
        rig_poll(&rig);
        rig_expect_none(&rig);
        CU_ASSERT(rig_count(&rig, "no_mbuf") > 0);
        CU_ASSERT(hg_tcp_next(rig.tcp) > rig.now); /* it does not spin */
        while (n)
            rte_pktmbuf_free(taken[--n]);
        rig_advance(&rig, HG_MS(5));
        expect_full(1, 2);
        rig_fini(&rig);
    }
}

static void test_turn_budget(void)
{
    uint32_t at = 1;

    start(&(struct hg_tcp_cfg){.mss = 536, .snd_buf = 200000});
    while (info().cwnd < 60000) { /* each round doubles it */
        uint32_t n = info().cwnd;
        rig_send(&rig, at, n);
        rig_poll(&rig);
        rig_poll(&rig);
        rig_skip(&rig);
        at += n;
        ack(at);
    }
    rig_send(&rig, at, 60000);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.n_out, 64);                 /* the others get their share */
    CU_ASSERT_EQUAL(hg_tcp_next(rig.tcp), rig.now); /* and the rest goes at once */
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig.n_out, (60000 + 523) / 524);
    rig_fini(&rig);
}

static void test_cwnd_after_idle(void)
{
    start(&(struct hg_tcp_cfg){.keepalive_idle = HG_SEC(7200)});
    rig_send(&rig, 1, 20 * FULL);
    rig_poll(&rig);
    rig_skip(&rig);
    for (uint32_t i = 2; i <= 20; i += 2)
        ack(1 + i * FULL);
    rig_skip(&rig);
    uint32_t cwnd = info().cwnd;
    CU_ASSERT(cwnd > 12 * FULL);
    rig_advance(&rig, HG_SEC(5)); /* RFC 7661 4.4: kept, not reset as by RFC 5681 4.1 */
    rig_send(&rig, 1 + 20 * FULL, 2 * FULL);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(info().cwnd, cwnd);
    ack(1 + 22 * FULL);
    rig_advance(&rig, HG_SEC(400));
    rig_skip(&rig);
    rig_send(&rig, 1 + 22 * FULL, FULL);
    rig_poll(&rig);
    CU_ASSERT(info().cwnd >= 10 * FULL && info().cwnd <= cwnd * 3 / 4); /* for five minutes */
    rig_fini(&rig);
}

static void test_data_beside_sack_blocks_fits(void)
{
    start(NULL);
    rig_in_only(&rig,
                (struct rig_in){.flags = TCP_ACK, .seq = 501, .ack = 1, .wnd = 60000, .len = 9});
    rig_send(&rig, 1, 2000);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->h.n_sack, 1);
    CU_ASSERT_EQUAL(o->len + o->h.len - 20, RIG_MSS); /* RFC 6691: options count */
    rig_fini(&rig);
}

static void test_reneging_peer(void)
{
    start(NULL);
    rig_send(&rig, 1, 6 * FULL);
    rig_poll(&rig);
    expect_full(1, 6);
    sack(1, 1 + FULL, 1 + 4 * FULL);
    expect_full(1, 1);
    ack(1 + FULL); /* it had reported what follows, and has dropped it */
    rig_expect(&rig, TCP_ACK, 1 + FULL, 1);
    rig_skip(&rig);
    ack(1 + 6 * FULL);
    CU_ASSERT_EQUAL(info().unacked, 0);
    rig_fini(&rig);
}

/* ---- segmentation offload ---- */

static void test_the_layer_below_cuts(void)
{
    start(&(struct hg_tcp_cfg){.tso_max = 16000, .tso_bufs = 40});
    rig_send(&rig, 1, 12 * FULL + 100);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 10 * FULL); /* the congestion window, in full segments */
    CU_ASSERT_EQUAL(o->tso_segsz, FULL);
    CU_ASSERT_EQUAL(info().data_segs_out, 10);
    rig_expect_none(&rig);
    ack(1 + 10 * FULL);
    o = rig_expect(&rig, TCP_ACK, 1 + 10 * FULL, 1);
    CU_ASSERT_EQUAL(o->len, 2 * FULL + 100);
    CU_ASSERT_EQUAL(o->tso_segsz, FULL);
    ack(1 + 12 * FULL + 100);
    rig_send(&rig, 1 + 12 * FULL + 100, 500); /* fits one: nothing to cut */
    rig_poll(&rig);
    o = rig_expect(&rig, TCP_ACK, 1 + 12 * FULL + 100, 1);
    CU_ASSERT_EQUAL(o->len, 500);
    CU_ASSERT_EQUAL(o->tso_segsz, 0);
    ack(1 + 12 * FULL + 600);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 0);
    rig_fini(&rig);
}

static void test_large_segments_are_bounded(void)
{
    start(&(struct hg_tcp_cfg){.tso_max = 5000, .tso_bufs = 4});
    rig_send(&rig, 1, 6 * FULL);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 5 * FULL); /* 5000 bytes hold five */
    CU_ASSERT(o->mbufs <= 4);
    rig_skip(&rig);
    ack(1 + 6 * FULL);
    for (uint32_t i = 0; i < 20; i++)
        rig_send(&rig, 1 + 6 * FULL + 200 * i, 200); /* small pieces */
    rig_poll(&rig);
    uint32_t at = 1 + 6 * FULL;
    while ((o = rig_take(&rig))) {
        CU_ASSERT_EQUAL(o->h.seq - rig.iss, at);
        CU_ASSERT(o->mbufs <= 8);
        at += o->len;
    }
    CU_ASSERT_EQUAL(at, 1 + 6 * FULL + 4000);
    rig_fini(&rig);
}

static void test_lost_parts_of_a_large_segment_go_alone(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.tso_max = 16000, .tso_bufs = 40});
    rig.rtt = HG_MS(8);
    rig_accept(&rig);
    rig_send(&rig, 1, 10 * FULL);
    rig_poll(&rig);
    rig_skip(&rig);
    rig_advance(&rig, HG_MS(8));
    sack(1 + 2 * FULL, 1 + 3 * FULL, 1 + 7 * FULL); /* the third is missing */
    expect_full(1 + 2 * FULL, 1);
    ack(1 + 10 * FULL);
    CU_ASSERT_EQUAL(info().retransmits, 1);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"cut into full segments", test_cut_into_full_segments},
        {"one clone per segment", test_one_clone_per_segment},
        {"small writes are coalesced", test_small_writes_are_coalesced},
        {"send space", test_send_space},
        {"a buffer smaller than the window stays full",
         test_buffer_smaller_than_the_window_stays_full},
        {"initial window and slow start", test_initial_window_and_slow_start},
        {"peer's window limits", test_peer_window_limits},
        {"shrunk window", test_shrunk_window},
        {"fast retransmit by SACK", test_fast_retransmit_by_sack},
        {"fast retransmit gets its own time-out", test_fast_retransmit_gets_its_own_timeout},
        {"only holes are sent again", test_only_holes_are_sent_again},
        {"fast retransmit without SACK", test_fast_retransmit_without_sack},
        {"duplicates that are none", test_duplicates_that_are_none},
        {"time-out and back-off", test_timeout_and_backoff},
        {"gives up", test_gives_up},
        {"progress resets the count", test_progress_resets_the_count},
        {"Karn", test_karn},
        {"RTT from timestamp after time-out", test_rtt_from_timestamp_after_timeout},
        {"zero window is probed", test_zero_window_is_probed},
        {"zero window without answers ends", test_zero_window_without_answers_ends},
        {"released: no probing for ever", test_released_connection_does_not_probe_for_ever},
        {"small window override", test_small_window_override},
        {"acceptable ACKs", test_acceptable_acks},
        {"old window is ignored", test_old_window_is_ignored},
        {"empty pools", test_empty_pools},
        {"turn budget", test_turn_budget},
        {"cwnd after idle", test_cwnd_after_idle},
        {"data beside SACK blocks fits", test_data_beside_sack_blocks_fits},
        {"reneging peer", test_reneging_peer},
        {"the layer below cuts large segments", test_the_layer_below_cuts},
        {"large segments are bounded", test_large_segments_are_bounded},
        {"lost parts of a large segment go alone", test_lost_parts_of_a_large_segment_go_alone},
    };

    rig_eal();
    return suite_run("tcp_tx", tests, HG_ARRAY_LEN(tests));
}
