/* SPDX-License-Identifier: BSD-3-Clause */
/* The receiver: order, duplicates, SACK, acknowledgements, window, memory. */
#include "rig.h"
#include "suite.h"

#include <errno.h>

static struct rig rig;

static void data(uint32_t seq, uint32_t len)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = seq, .ack = 1, .wnd = 60000, .len = len});
}

static uint32_t ooo(void)
{
    struct hg_tcp_info info;

    hg_tcp_conn_info(rig.conn, &info);
    return info.ooo;
}

static void test_in_order(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 20; i++) { /* across the wrap of the sequence numbers */
        data(1 + 500 * i, 500);
        if (i == 0)
            rig_event(&rig, HG_TCP_EV_READABLE);
    }
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 10000);
    rig_read(&rig, 1, 3333);
    rig_read(&rig, 3334, 6667);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bytes"), 10000);
    rig_fini(&rig);
}

static void test_readable_event_once(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    data(1, 10);
    data(11, 10);
    rig_event(&rig, HG_TCP_EV_READABLE);
    rig_no_event(&rig);
    data(21, 10);
    rig_event(&rig, HG_TCP_EV_READABLE);
    rig_fini(&rig);
}

/* What follows the first segments of a connection, without them. */
static const struct hg_tcp_cfg delays = {.no_quick_acks = true};

static void test_every_second_segment_is_acknowledged(void)
{
    rig_init(&rig, &delays);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 6; i += 2) {
        data(1 + 988 * i, 988);
        rig_expect_none(&rig);
        data(1 + 988 * (i + 1), 988);
        rig_expect(&rig, TCP_ACK, 1, 1 + 988 * (i + 2));
        rig_expect_none(&rig);
    }
    rig_fini(&rig);
}

static void test_delayed_ack(void)
{
    rig_init(&rig, &delays);
    rig_accept(&rig);
    data(1, 100);
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(38));
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(5));
    rig_expect(&rig, TCP_ACK, 1, 101);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

/* Each of n segments is acknowledged at once, and the one after them is not. */
static void expect_quick(uint32_t *at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        data(*at, 100);
        *at += 100;
        rig_expect(&rig, TCP_ACK, 1, *at);
    }
    data(*at, 100);
    *at += 100;
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(50));
    rig_expect(&rig, TCP_ACK, 1, *at);
}

static void test_no_ack_is_delayed_while_windows_are_small(void)
{
    uint32_t at = 1;

    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = 16});
    rig_accept(&rig);
    expect_quick(&at, 16);
    data(at + 100, 100); /* a loss halves the peer's window */
    rig_expect(&rig, TCP_ACK, 1, at);
    data(at, 100);
    at += 200;
    rig_expect(&rig, TCP_ACK, 1, at);
    expect_quick(&at, 16);
    rig_advance(&rig, HG_SEC(2)); /* a pause lets it begin anew */
    expect_quick(&at, 16);
    rig_fini(&rig);
}

static void test_one_ack_per_turn(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 16; i++)
        rig_in_only(&rig,
                    (struct rig_in){.flags = TCP_ACK, .seq = 1 + 900 * i, .ack = 1, .len = 900});
    rig_expect_none(&rig);
    rig_poll(&rig);
    rig_expect(&rig, TCP_ACK, 1, 1 + 16 * 900);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_ack_rides_on_data(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_in_only(&rig,
                (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .len = 100});
    rig_send(&rig, 1, 50);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 101);
    CU_ASSERT_EQUAL(o->len, 50);
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(60)); /* the delayed ACK is no longer due */
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_out_of_order_and_gap(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    data(501, 500);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1); /* at once, with SACK */
    CU_ASSERT_EQUAL(o->h.n_sack, 1);
    CU_ASSERT_EQUAL(o->h.sack[0].lo - RIG_IRS, 501);
    CU_ASSERT_EQUAL(o->h.sack[0].hi - RIG_IRS, 1001);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    CU_ASSERT_EQUAL(ooo(), 500);
    rig_no_event(&rig);
    data(1, 500);
    o = rig_expect(&rig, TCP_ACK, 1, 1001); /* at once: it fills a gap */
    CU_ASSERT_EQUAL(o->h.n_sack, 0);
    rig_read(&rig, 1, 1000);
    CU_ASSERT_EQUAL(ooo(), 0);
    rig_fini(&rig);
}

static void test_sack_order(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 1; i <= 5; i++)
        data(1 + 200 * i, 100);
    rig_skip(&rig);
    data(301, 50); /* joins the first block */
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->h.n_sack, 3); /* what fits beside timestamps */
    CU_ASSERT_EQUAL(o->h.sack[0].lo - RIG_IRS, 201);
    CU_ASSERT_EQUAL(o->h.sack[0].hi - RIG_IRS, 351);
    CU_ASSERT_EQUAL(o->h.sack[1].lo - RIG_IRS, 1001);
    CU_ASSERT_EQUAL(o->h.sack[2].lo - RIG_IRS, 801);
    rig_fini(&rig);
}

static void test_duplicates(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    data(1, 500);
    rig_skip(&rig);
    data(1, 500); /* all old: ACK at once, with DSACK (RFC 2883) */
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 501);
    CU_ASSERT_EQUAL_FATAL(o->h.n_sack, 1);
    CU_ASSERT_EQUAL(o->h.sack[0].lo - RIG_IRS, 1);
    CU_ASSERT_EQUAL(o->h.sack[0].hi - RIG_IRS, 501);
    data(801, 100);
    rig_skip(&rig);
    data(801, 100); /* old and out of order: DSACK, then the block that holds it */
    o = rig_expect(&rig, TCP_ACK, 1, 501);
    CU_ASSERT_EQUAL_FATAL(o->h.n_sack, 2);
    CU_ASSERT_EQUAL(o->h.sack[0].lo - RIG_IRS, 801);
    CU_ASSERT_EQUAL(o->h.sack[1].lo - RIG_IRS, 801);
    data(401, 500); /* half old, up to beyond what is held */
    rig_read(&rig, 1, 900);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_dup"), 2);
    rig_fini(&rig);
}

/* Every split of the stream into overlapping pieces, in every order, gives the same stream. */
static void test_overlaps_in_every_order(void)
{
    static const struct {
        uint32_t seq, len;
    } piece[] = {{1, 300}, {201, 300}, {401, 700}, {601, 100}, {901, 500}};
    const unsigned n = HG_ARRAY_LEN(piece);

    for (unsigned code = 0; code < 120; code++) {
        unsigned left[HG_ARRAY_LEN(piece)] = {0, 1, 2, 3, 4}, c = code;
        rig_init(&rig, NULL);
        rig_accept(&rig);
        for (unsigned k = n; k; k--) {
            unsigned pick = c % k;
            c /= k;
            data(piece[left[pick]].seq, piece[left[pick]].len);
            left[pick] = left[k - 1];
        }
        rig_read(&rig, 1, 1400);
        CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
        CU_ASSERT_EQUAL(ooo(), 0);
        rig_fini(&rig);
    }
}

static void test_single_bytes_do_not_pin_buffers(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 1500; i++) {
        data(1 + i, 1);
        rig_skip(&rig);
    }
    CU_ASSERT(rte_mempool_in_use_count(rig.data) <= 2);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 1500);
    for (uint32_t i = 0; i < 500; i++) { /* out of order just the same */
        data(2001 + i, 1);
        rig_skip(&rig);
    }
    CU_ASSERT(rte_mempool_in_use_count(rig.data) <= 3);
    for (uint32_t i = 0; i < 500; i++) {
        data(1501 + i, 1);
        rig_skip(&rig);
    }
    rig_read(&rig, 1, 2500);
    rig_fini(&rig);
}

static void test_peeked_ranges_stay_while_data_arrives(void)
{
    struct hg_iov iov[4];

    rig_init(&rig, NULL);
    rig_accept(&rig);
    data(1, 100);
    CU_ASSERT_EQUAL_FATAL(hg_tcp_peek(rig.conn, iov, 4), 1);
    data(101, 50); /* folded behind it */
    data(151, 900);
    CU_ASSERT_EQUAL(iov[0].len, 100);
    for (uint32_t i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(iov[0].base[i], rig_byte(1 + i));
    rig_read(&rig, 1, 1050);
    rig_fini(&rig);
}

static void test_window_shrinks_and_opens(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_buf = 5000});
    rig_accept(&rig);
    uint32_t edge = 0;
    for (uint32_t i = 0; i < 5; i++) {
        data(1 + 1000 * i, 1000);
        const struct rig_out *o = rig_take(&rig);
        if (!o)
            continue;
        CU_ASSERT(o->h.ack - RIG_IRS + o->h.wnd >= edge); /* never to the left */
        edge = o->h.ack - RIG_IRS + o->h.wnd;
    }
    rig_advance(&rig, HG_MS(50));
    rig_skip(&rig);
    data(5001, 1); /* a probe of the closed window */
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 5001);
    CU_ASSERT_EQUAL(o->h.wnd, 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "zero_windows_sent"), 1);
    rig_read(&rig, 1, 1000); /* one segment is not worth an update */
    rig_poll(&rig);
    rig_expect_none(&rig);
    rig_read(&rig, 1001, 1500); /* half the buffer is */
    rig_poll(&rig);
    o = rig_expect(&rig, TCP_ACK, 1, 5001);
    CU_ASSERT_EQUAL(o->h.wnd, 2500);
    rig_read(&rig, 2501, 2500);
    data(5001, 100);
    rig_read(&rig, 5001, 100);
    rig_fini(&rig);
}

static void test_receiver_avoids_silly_windows(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_buf = 10000});
    rig_accept(&rig);
    for (uint32_t i = 0; i < 10; i++)
        data(1 + 1000 * i, 1000);
    rig_advance(&rig, HG_MS(50));
    rig_skip(&rig);
    /* The service reads bytes; each probe must still be told "closed" until a segment fits. */
    for (uint32_t i = 0; i < 9; i++) {
        rig_read(&rig, 1 + 100 * i, 100);
        data(10000, 1);
        const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 10001);
        CU_ASSERT_EQUAL(o->h.wnd, 0);
    }
    rig_read(&rig, 901, 100);
    data(10000, 1);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 10001);
    CU_ASSERT_EQUAL(o->h.wnd, 1000);
    rig_fini(&rig);
}

static void test_scaled_window_never_shrinks(void)
{
    uint64_t edge = 0;

    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_buf = 1000000});
    rig_accept(&rig);
    uint32_t at = 1;
    for (unsigned i = 0; i < 700; i++) { /* segment lengths that do not match the scale */
        uint32_t len = 700 + (i * 37) % 300;
        data(at, len);
        at += len;
        for (const struct rig_out *o; (o = rig_take(&rig));) {
            uint64_t e = (uint64_t)(o->h.ack - RIG_IRS) + ((uint32_t)o->h.wnd << 4);
            CU_ASSERT(e >= edge);
            edge = e;
        }
        rig_skip(&rig);
    }
    rig_read(&rig, 1, at - 1);
    rig_fini(&rig);
}

static void test_whole_window_usable_out_of_order(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_buf = 50000});
    rig_accept(&rig);
    for (uint32_t at = 1001; at < 50001; at += 1000)
        data(at, 1000);
    CU_ASSERT_EQUAL(ooo(), 49000);
    data(50001, 100); /* beyond the edge */
    CU_ASSERT_EQUAL(ooo(), 49000);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_out_of_window"), 1);
    data(1, 1000);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 50000);
    rig_skip(&rig);
    rig_read(&rig, 1, 50000);
    rig_fini(&rig);
}

static void test_segment_across_the_edge_is_cut(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_buf = 1500});
    rig_accept(&rig);
    data(1, 1000);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1001, .ack = 1, .len = 900});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 1500);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED"); /* the FIN was beyond the edge */
    rig_expect(&rig, TCP_ACK, 1, 1501);
    rig_fini(&rig);
}

static void test_memory_bound(void)
{
    /* Room for ten buffers of 2176 bytes, the last two of them the reserve. The window allows for
     * full segments: ten bytes in each buffer are what it does not expect. */
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_mem_max = 22000, .rcv_low = 1460});
    rig_accept(&rig);
    for (uint32_t i = 1; i < 30; i++)
        data(1 + 20 * i, 10);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 8); /* none in the reserve */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_drop"), 21);
    CU_ASSERT_EQUAL(ooo(), 80);
    data(1, 10); /* in order: what is out of order gives way, the newest first */
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 10);
    CU_ASSERT_EQUAL(ooo(), 70);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_mem_drop"), 0);
    for (uint32_t i = 0; i < 20; i++) /* in-order data stops when the service has what it needs */
        data(11 + 1000 * i, 1000);
    CU_ASSERT(rte_mempool_in_use_count(rig.data) <= 10);
    CU_ASSERT(hg_tcp_readable(rig.conn) >= 7000);
    rig_skip(&rig);
    rig_read(&rig, 1, hg_tcp_readable(rig.conn));
    rig_fini(&rig);
}

static void test_memory_pressure_shrinks_windows(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.rcv_mem_max = 60000, .rcv_buf = 60000, .rcv_low = 1460});
    rig_accept(&rig);
    rig_read(&rig, 1, 0);
    for (uint32_t i = 0; i < 20; i++)
        data(1 + 1000 * i, 1000);
    struct hg_tcp_info info;
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.unread, 20000);
    /* 20 buffers are 43520 bytes: the free window would be 40000, the memory allows less; the edge
     * promised before stays. */
    CU_ASSERT(info.rcv_wnd < 40000);
    uint32_t edge = 20001 + info.rcv_wnd;
    rig_read(&rig, 1, 20000);
    rig_poll(&rig);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT(20001 + info.rcv_wnd >= edge);
    CU_ASSERT_EQUAL(info.rcv_wnd, 32805); /* 15/16 of what 52500 bytes of buffers hold */
    rig_fini(&rig);
}

static void test_too_many_holes(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.ooo_conn_max = 4u << 20});
    rig_accept(&rig);
    for (uint32_t i = 1; i <= TCP_REASS_MAX + 20; i++) {
        data(1 + 20 * i, 10);
        rig_skip(&rig);
    }
    CU_ASSERT_EQUAL(ooo(), 10 * TCP_REASS_MAX);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_drop"), 20);
    data(1, 20 * (TCP_REASS_MAX / 8)); /* covers an eighth of them */
    CU_ASSERT(hg_tcp_readable(rig.conn) >= 20 * (TCP_REASS_MAX / 8));
    rig_fini(&rig);
}

static void test_low_water_mark(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    hg_tcp_set_rcvlowat(rig.conn, 1500);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 900});
    rig_no_event(&rig);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 900);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 901, .ack = 1, .len = 599});
    rig_no_event(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1500, .ack = 1, .len = 1});
    rig_event(&rig, HG_TCP_EV_READABLE);
    rig_read(&rig, 1, 1500);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1501, .ack = 1, .len = 10});
    rig_no_event(&rig);
    /* The end of the stream is news whatever is unread. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1511, .ack = 1});
    rig_event(&rig, HG_TCP_EV_EOF);
    hg_tcp_set_rcvlowat(rig.conn, 1u << 30); /* never more than the window that is sure to open */
    rig_fini(&rig);
}

static void test_paws(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig.ts = 6000;
    data(1, 500);
    rig_skip(&rig);
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK, .seq = 501, .ack = 1, .len = 10, .ts_val = 5995});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 500);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_paws"), 1);
    rig_expect(&rig, TCP_ACK, 1, 501);
    /* A retransmission overtook this one: it is taken, and TS.Recent stays. */
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK, .seq = 501, .ack = 1, .len = 1000, .ts_val = 5996});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 1500);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_paws"), 1);
    rig_advance(&rig, HG_MS(50));
    CU_ASSERT_EQUAL(rig_expect(&rig, TCP_ACK, 1, 1501)->h.ts_ecr, 6000);
    /* Agreed timestamps have to be there (RFC 7323 3.2). */
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK, .seq = 1501, .ack = 1, .len = 10, .no_ts = true});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 1500);
    /* A reset needs none. */
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 1501, .no_ts = true});
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "CLOSED");
    rig_fini(&rig);
}

/* Whoever guesses a sequence number does not set the clock by which PAWS judges the peer. */
static void test_forged_segment_leaves_no_timestamp(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig.ts = 6000;
    data(1, 500);
    rig_skip(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                 .seq = 400,
                                 .ack = 1u << 30,
                                 .len = 500,
                                 .ts_val = 6000 + (1u << 30)});
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_ack"), 1);
    data(501, 100);
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 600);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_paws"), 0);
    rig_fini(&rig);
}

static void test_paws_after_24_days(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig.conn->last_rx = rig.now - HG_SEC(23 * 24 * 3600);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 10, .ts_val = 3});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    rig.conn->last_rx = rig.now - HG_SEC(25 * 24 * 3600); /* RFC 7323 5.5 */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 10, .ts_val = 3});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 10);
    /* From here on the new clock counts. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 11, .ack = 1, .len = 10, .ts_val = 4});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 20);
    rig_fini(&rig);
}

static void test_timestamp_echo(void)
{
    rig_init(&rig, &delays);
    rig_accept(&rig);
    rig.ts = 7000;
    data(1, 900); /* the ACK is delayed, so this is the stamp to echo (RFC 7323 4.3) */
    rig.ts = 7050;
    data(901, 900);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1801);
    CU_ASSERT_EQUAL(o->h.ts_ecr, 7000);
    rig.ts = 7100;
    data(2001, 100); /* out of order: not echoed */
    o = rig_expect(&rig, TCP_ACK, 1, 1801);
    CU_ASSERT_EQUAL(o->h.ts_ecr, 7000);
    rig_fini(&rig);
}

static void test_dup_acks_for_peers_without_sack(void)
{
    rig_init(&rig, NULL);
    rig.options = 0;
    rig_accept(&rig);
    for (uint32_t i = 1; i <= 5; i++)
        rig_in_only(&rig,
                    (struct rig_in){.flags = TCP_ACK, .seq = 1 + 500 * i, .ack = 1, .len = 500});
    rig_poll(&rig);
    for (unsigned i = 0; i < 5; i++)
        rig_expect(&rig, TCP_ACK, 1, 1); /* one each: the peer counts to three */
    rig_expect_none(&rig);
    rig_fini(&rig);
}

/* Three ACKs for a gap start the peer's repair; over a long path one more tells of what follows. */
static void test_sacks_wait_for_each_other_on_long_paths(void)
{
    rig_init(&rig, NULL);
    rig.rtt = HG_MS(60);
    rig_accept(&rig);
    for (uint32_t i = 1; i <= 3; i++) {
        data(1 + 500 * i, 500);
        CU_ASSERT_EQUAL(rig_expect(&rig, TCP_ACK, 1, 1)->h.sack[0].hi - RIG_IRS, 501 + 500 * i);
    }
    for (uint32_t i = 4; i <= 20; i++)
        data(1 + 500 * i, 500);
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(3));
    CU_ASSERT_EQUAL(rig_expect(&rig, TCP_ACK, 1, 1)->h.sack[0].hi - RIG_IRS, 10501);
    rig_advance(&rig, HG_MS(100));
    rig_expect_none(&rig);
    data(10501, 500);
    data(1, 500); /* fills the gap: at once */
    rig_expect(&rig, TCP_ACK, 1, 11001);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_sacks_do_not_wait_for_ever(void)
{
    unsigned told = 0;

    rig_init(&rig, NULL);
    rig.rtt = HG_MS(60);
    rig_accept(&rig);
    for (uint32_t i = 1; i <= 100; i++)
        data(1 + 10 * i, 10); /* all at one time */
    while (rig_take(&rig))
        told++;
    CU_ASSERT_EQUAL(told, 3 + 2); /* one for every 45 after the third */
    rig_fini(&rig);
}

/* An ACK holds three blocks beside timestamps: each that changed must be in one. */
static void test_no_changed_block_goes_untold(void)
{
    bool told[40] = {false};
    const struct rig_out *o;

    rig_init(&rig, NULL);
    rig.rtt = HG_MS(60);
    rig_accept(&rig);
    data(501, 500);
    for (uint32_t i = 1; i < HG_ARRAY_LEN(told); i++)
        rig_in_only(&rig, (struct rig_in){.flags = TCP_ACK,
                                          .seq = 1 + 1000 * i + (i == 1 ? 500 : 0),
                                          .ack = 1,
                                          .wnd = 60000,
                                          .len = 500}); /* in one turn */
    rig_poll(&rig);
    rig_advance(&rig, HG_MS(3));
    while ((o = rig_take(&rig)) != NULL)
        for (unsigned b = 0; b < o->h.n_sack; b++)
            told[(o->h.sack[b].hi - RIG_IRS) / 1000] = true;
    for (uint32_t i = 2; i < HG_ARRAY_LEN(told); i++)
        CU_ASSERT(told[i]);
    rig_fini(&rig);
}

static void test_chained_and_shared_buffers(void)
{
    /* A segment in three mbufs, the first with only the header, the last one shared. */
    rig_init(&rig, NULL);
    rig_accept(&rig);
    struct tcp_hdr h = {.sport = RIG_PEER_PORT,
                        .dport = RIG_PORT,
                        .seq = RIG_IRS + 1,
                        .ack = rig.iss + 1,
                        .flags = TCP_ACK,
                        .wnd = 1000,
                        .has = TCP_HAS_TS,
                        .ts_val = rig.ts};
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data), *b = rig_payload(&rig, 1, 300),
                    *c = rig_payload(&rig, 301, 50);
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, (uint16_t)tcp_hdr_size(&h)), &h);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, b), 0);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, c), 0);
    rte_mbuf_refcnt_update(c, 1);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = *hg_tcp_conn_flow(rig.conn)};
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    rig_poll(&rig);
    data(351, 20); /* must not be folded into a buffer that others see */
    CU_ASSERT_EQUAL(c->data_len, 50);
    rig_read(&rig, 1, 370);
    rte_pktmbuf_free(c);
    rig_fini(&rig);
}

static void test_short_and_bad_segments(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint16_t len = 0; len < 20; len++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
        rte_pktmbuf_append(m, len);
        struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = *hg_tcp_conn_flow(rig.conn)};
        hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_short"), 20);
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 24);
    for (unsigned i = 0; i < 24; i++)
        p[i] = 0;
    p[12] = 0x60;
    p[20] = 2; /* MSS of length 0 */
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = *hg_tcp_conn_flow(rig.conn)};
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_option"), 1);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"in order", test_in_order},
        {"readable event once", test_readable_event_once},
        {"every second segment is acknowledged", test_every_second_segment_is_acknowledged},
        {"delayed ACK", test_delayed_ack},
        {"no ACK is delayed while windows are small",
         test_no_ack_is_delayed_while_windows_are_small},
        {"one ACK per turn", test_one_ack_per_turn},
        {"ACK rides on data", test_ack_rides_on_data},
        {"out of order and gap", test_out_of_order_and_gap},
        {"SACK order", test_sack_order},
        {"duplicates", test_duplicates},
        {"overlaps in every order", test_overlaps_in_every_order},
        {"single bytes do not pin buffers", test_single_bytes_do_not_pin_buffers},
        {"peeked ranges stay", test_peeked_ranges_stay_while_data_arrives},
        {"window shrinks and opens", test_window_shrinks_and_opens},
        {"receiver avoids silly windows", test_receiver_avoids_silly_windows},
        {"scaled window never shrinks", test_scaled_window_never_shrinks},
        {"whole window usable out of order", test_whole_window_usable_out_of_order},
        {"segment across the edge is cut", test_segment_across_the_edge_is_cut},
        {"low water mark", test_low_water_mark},
        {"memory bound", test_memory_bound},
        {"memory pressure shrinks windows", test_memory_pressure_shrinks_windows},
        {"too many holes", test_too_many_holes},
        {"PAWS", test_paws},
        {"a forged segment leaves no timestamp", test_forged_segment_leaves_no_timestamp},
        {"PAWS after 24 days", test_paws_after_24_days},
        {"timestamp echo", test_timestamp_echo},
        {"duplicate ACKs without SACK", test_dup_acks_for_peers_without_sack},
        {"SACKs wait for each other on long paths", test_sacks_wait_for_each_other_on_long_paths},
        {"SACKs do not wait for ever", test_sacks_do_not_wait_for_ever},
        {"no changed block goes untold", test_no_changed_block_goes_untold},
        {"chained and shared buffers", test_chained_and_shared_buffers},
        {"short and bad segments", test_short_and_bad_segments},
    };

    rig_eal();
    return suite_run("tcp_rx", tests, HG_ARRAY_LEN(tests));
}
