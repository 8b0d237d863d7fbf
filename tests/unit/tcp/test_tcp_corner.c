/* SPDX-License-Identifier: BSD-3-Clause */
/* What no honest peer sends: overlaps that differ, windows that shrink, options that offer nonsense. */
#include "rig.h"
#include "suite.h"
#include "tcp_priv.h"

#include <errno.h>
#include <string.h>

static struct rig rig;

/* Segments are built by hand: every byte is `fill`. */
static void forged(uint32_t seq, uint32_t len, uint8_t fill)
{
    struct hg_flow f = *hg_tcp_conn_flow(rig.conn);
    struct tcp_hdr h = {.sport = f.rport,
                        .dport = f.lport,
                        .seq = RIG_IRS + seq,
                        .ack = rig.iss + 1,
                        .flags = TCP_ACK,
                        .wnd = 60000,
                        .has = TCP_HAS_TS,
                        .ts_val = rig.ts};
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = f};

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, (uint16_t)tcp_hdr_size(&h)), &h);
    memset(rte_pktmbuf_append(m, (uint16_t)len), fill, len);
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    rig_poll(&rig);
    rig_skip(&rig);
}

/* n bytes of value `fill` are next. */
static void expect_bytes(uint32_t n, uint8_t fill)
{
    while (n) {
        struct hg_iov iov;
        CU_ASSERT_EQUAL_FATAL(hg_tcp_peek(rig.conn, &iov, 1), 1);
        uint32_t len = iov.len < n ? (uint32_t)iov.len : n;
        for (uint32_t i = 0; i < len; i++)
            if (iov.base[i] != fill) {
                CU_FAIL("another copy was delivered");
                break;
            }
        hg_tcp_consume(rig.conn, len);
        n -= len;
    }
}

static void test_first_copy_wins(void)
{
    static const struct {
        uint32_t a, a_len, b, b_len; /* 'a' first, then 'b' over it, both out of order */
    } rows[] = {
        {1001, 500, 901, 700},  /* inside */
        {1001, 500, 1001, 800}, /* same beginning */
        {1001, 500, 801, 700},  /* same end */
        {1001, 500, 901, 300},  /* over its beginning */
        {1001, 500, 1301, 500}, /* over its end */
        {1001, 500, 1001, 500}, /* the same */
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        uint32_t a_end = rows[i].a + rows[i].a_len, b_end = rows[i].b + rows[i].b_len;
        rig_init(&rig, NULL);
        rig_accept(&rig);
        forged(rows[i].a, rows[i].a_len, 'a');
        forged(rows[i].b, rows[i].b_len, 'b');
        uint32_t lo = rows[i].a < rows[i].b ? rows[i].a : rows[i].b;
        forged(1, lo - 1, 'c');
        expect_bytes(lo - 1, 'c');
        expect_bytes(rows[i].a - lo, 'b');
        expect_bytes(rows[i].a_len, 'a');
        expect_bytes(b_end > a_end ? b_end - a_end : 0, 'b');
        CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
        rig_fini(&rig);
    }
}

static void test_first_copy_wins_against_in_order_data(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    forged(501, 100, 'a');
    forged(801, 200, 'a');
    forged(1, 1200, 'b'); /* in order, over both */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_overlap_diff"), 2);
    expect_bytes(500, 'b');
    expect_bytes(100, 'a');
    expect_bytes(200, 'b');
    expect_bytes(200, 'a');
    expect_bytes(200, 'b');
    forged(1101, 200, 'd'); /* partly read already */
    expect_bytes(100, 'd');
    CU_ASSERT_EQUAL(rig.conn->rcv_nxt, RIG_IRS + 1301);
    rig_fini(&rig);
}

/* RFC 9293 3.8.6: a sender must cope with a window that shrinks. */
static void test_window_taken_back(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 5000});
    rig_send(&rig, 1, 4000);
    rig_poll(&rig);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1001, .wnd = 0});
    rig_send(&rig, 4001, 1000);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(3));
    rig_skip(&rig);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED"); /* however long it is closed */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 4001, .wnd = 9000});
    rig_advance(&rig, HG_SEC(3));
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 5001, .wnd = 9000});
    struct hg_tcp_info info;
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.unacked + info.unsent, 0);
    rig_fini(&rig);
}

/* Far outside, at the other end of the number space, and just beyond the edge. */
static void test_huge_gaps(void)
{
    static const uint32_t at[] = {61001, 1u << 20, 1u << 30, 0x7fffffff, 0x80000001, 0xfff00000};

    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (unsigned i = 0; i < HG_ARRAY_LEN(at); i++)
        forged(at[i], 500, 'x');
    CU_ASSERT_EQUAL(rig.conn->ooo_bytes, 0);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 0);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    forged(1, 100, 'y');
    expect_bytes(100, 'y');
    rig_fini(&rig);
}

/* A peer that offers an MSS of 1 would have a packet for each byte. */
static void test_mss_of_peers(void)
{
    static const struct {
        uint16_t offer, used;
    } rows[] = {{1, TCP_MIN_MSS}, {63, TCP_MIN_MSS}, {65, 65}, {65535, RIG_MSS}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        rig_init(&rig, NULL);
        rig.mss = rows[i].offer;
        rig_accept(&rig);
        CU_ASSERT_EQUAL(rig.conn->snd_mss, rows[i].used);
        rig_send(&rig, 1, 100);
        rig_poll(&rig);
        for (const struct rig_out *o; (o = rig_take(&rig));)
            CU_ASSERT(o->len <= rows[i].used);
        rig_fini(&rig);
    }
}

/* Text in a SYN is not taken, and its sender sends it again (RFC 9293 3.10.7.2 allows both). */
static void test_syn_with_data(void)
{
    static const struct hg_ip any;

    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any, RIG_PORT, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 60000, .len = 300});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    rig.iss = o->h.seq;
    CU_ASSERT_EQUAL(o->h.ack, RIG_IRS + 1); /* the SYN alone */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .len = 300});
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED | HG_TCP_EV_READABLE);
    rig_read(&rig, 1, 300);
    rig_fini(&rig);
}

/* RFC 9293 3.5.1 figure 10: we forgot the connection; the peer's data is answered by a reset that it
 * believes. */
static void test_after_our_crash(void)
{
    static const struct hg_ip any;

    for (unsigned listening = 0; listening < 2; listening++) {
        rig_init(&rig, NULL);
        if (listening)
            hg_tcp_listen(rig.tcp, &any, RIG_PORT, NULL);
        rig.iss = 777;
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 5000, .ack = 9000, .len = 100});
        const struct rig_out *o = rig_take(&rig);
        CU_ASSERT_PTR_NOT_NULL_FATAL(o);
        CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
        CU_ASSERT_EQUAL(o->h.seq, 777 + 9000);
        CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
        rig_fini(&rig);
    }
}

/* The peer crashed and connects again from the same port: a challenge ACK makes it reset what we
 * still hold (RFC 5961 4.2), then it gets through. */
static void test_after_the_peers_crash(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 70000, .wnd = 60000});
    rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "challenge_acks"), 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 1, .no_ts = true});
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ECONNRESET);
    hg_tcp_release(rig.conn);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 70000, .wnd = 60000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN | TCP_ACK);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"of overlaps the first copy wins", test_first_copy_wins},
        {"and wins against in-order data", test_first_copy_wins_against_in_order_data},
        {"a window taken back", test_window_taken_back},
        {"huge gaps", test_huge_gaps},
        {"MSS of peers", test_mss_of_peers},
        {"SYN with data", test_syn_with_data},
        {"after our crash", test_after_our_crash},
        {"after the peer's crash", test_after_the_peers_crash},
    };

    rig_eal();
    return suite_run("tcp_corner", tests, HG_ARRAY_LEN(tests));
}
