/* SPDX-License-Identifier: BSD-3-Clause */
/* Closing: every order of FINs, TIME-WAIT, reset, abort, the service letting go, ICMP, keep-alive.
 */
#include "rig.h"
#include "suite.h"

#include <errno.h>

static struct rig rig;

static void start(const struct hg_tcp_cfg *cfg)
{
    rig_init(&rig, cfg);
    rig_accept(&rig);
}

static void ack(uint32_t seq, uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = seq, .ack = n, .wnd = 60000});
}

static void fin(uint32_t seq, uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_FIN | TCP_ACK, .seq = seq, .ack = n, .wnd = 60000});
}

static void expect_state(const char *name)
{
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), name);
}

/* Our FIN first, answered in two steps; ends in TIME-WAIT. */
static void close_actively(void)
{
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_expect(&rig, TCP_FIN | TCP_ACK, 1, 1);
    expect_state("FIN-WAIT-1");
    ack(1, 2);
    expect_state("FIN-WAIT-2");
    fin(1, 2);
    rig_expect(&rig, TCP_ACK, 2, 2);
    expect_state("TIME-WAIT");
}

static void test_we_close_first(void)
{
    start(NULL);
    close_actively();
    rig_event(&rig, HG_TCP_EV_EOF | HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), 0);
    hg_tcp_release(rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_advance(&rig, HG_SEC(29));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_advance(&rig, HG_SEC(2));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_peer_closes_first(void)
{
    start(NULL);
    fin(1, 1);
    rig_expect(&rig, TCP_ACK, 1, 2);
    expect_state("CLOSE-WAIT");
    rig_event(&rig, HG_TCP_EV_EOF);
    rig_send(&rig, 1, 100); /* the other direction is still open */
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    const struct rig_out *o = rig_expect(&rig, TCP_FIN | TCP_ACK, 1, 2);
    CU_ASSERT_EQUAL(o->len, 100);
    expect_state("LAST-ACK");
    ack(2, 101);
    expect_state("LAST-ACK"); /* the data, not the FIN */
    ack(2, 102);
    expect_state("CLOSED");
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), 0);
    hg_tcp_release(rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_both_close_at_once(void)
{
    start(NULL);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_expect(&rig, TCP_FIN | TCP_ACK, 1, 1);
    fin(1, 1); /* crossed ours: does not acknowledge it */
    rig_expect(&rig, TCP_ACK, 2, 2);
    expect_state("CLOSING");
    ack(2, 2);
    expect_state("TIME-WAIT");
    rig_event(&rig, HG_TCP_EV_EOF | HG_TCP_EV_CLOSED);
    rig_fini(&rig);
}

static void test_fin_with_ack_of_ours(void)
{
    start(NULL);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_skip(&rig);
    fin(1, 2);
    expect_state("TIME-WAIT");
    rig_expect(&rig, TCP_ACK, 2, 2);
    rig_fini(&rig);
}

static void test_half_closed_reading_goes_on(void)
{
    start(NULL);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    ack(1, 2);
    for (uint32_t i = 0; i < 10; i++)
        rig_in(&rig, (struct rig_in){
                         .flags = TCP_ACK, .seq = 1 + 900 * i, .ack = 2, .wnd = 9, .len = 900});
    rig_read(&rig, 1, 9000);
    rig_in(&rig,
           (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 9001, .ack = 2, .wnd = 9, .len = 5});
    rig_read(&rig, 9001, 5);
    expect_state("TIME-WAIT");
    rig_fini(&rig);
}

static void test_fin_out_of_order(void)
{
    start(NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 501, .ack = 1, .len = 100});
    expect_state("ESTABLISHED");
    rig_no_event(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 500});
    expect_state("CLOSE-WAIT");
    rig_event(&rig, HG_TCP_EV_READABLE | HG_TCP_EV_EOF);
    rig_read(&rig, 1, 600);
    rig_fini(&rig);
}

static void test_bare_fin_out_of_order(void)
{
    start(NULL);
    fin(501, 1);
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 500});
    expect_state("CLOSE-WAIT");
    rig_expect(&rig, TCP_ACK, 1, 502);
    rig_fini(&rig);
}

static void test_fin_at_the_edge_of_the_window(void)
{
    start(&(struct hg_tcp_cfg){.rcv_buf = 900});
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1, .ack = 1, .len = 900});
    expect_state("CLOSE-WAIT");
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 902);
    CU_ASSERT_EQUAL(o->h.wnd, 0);
    struct hg_tcp_info info;
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.rcv_wnd, 0);
    rig_fini(&rig);
}

static void test_fin_lost_is_sent_again(void)
{
    start(NULL);
    rig_send(&rig, 1, 100);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_expect(&rig, TCP_FIN | TCP_ACK, 1, 1);
    ack(1, 101); /* the data came, not the FIN */
    rig_advance(&rig, HG_MS(800));
    const struct rig_out *o = rig_expect(&rig, TCP_FIN | TCP_ACK, 101, 1);
    CU_ASSERT_EQUAL(o->len, 0);
    ack(1, 102);
    expect_state("FIN-WAIT-2");
    rig_fini(&rig);
}

static void test_fin_waits_for_data(void)
{
    start(NULL);
    rig_send(&rig, 1, 20000);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_skip(&rig);
    expect_state("ESTABLISHED"); /* RFC 9293 3.10.4: queued until all data is cut */
    for (uint32_t n = 2; n < 20; n++) {
        ack(1, 1 + 988 * n);
        rig_skip(&rig);
    }
    expect_state("FIN-WAIT-1");
    ack(1, 20002);
    expect_state("FIN-WAIT-2");
    rig_fini(&rig);
}

static void test_peer_fin_sent_again(void)
{
    start(NULL);
    fin(1, 1);
    rig_skip(&rig);
    fin(1, 1);
    rig_expect(&rig, TCP_ACK, 1, 2);
    expect_state("CLOSE-WAIT");
    rig_event(&rig, HG_TCP_EV_EOF);
    rig_fini(&rig);
}

static void test_data_after_fin_is_ignored(void)
{
    start(NULL);
    fin(1, 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 2, .ack = 1, .wnd = 9, .len = 100});
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_after_fin"), 1);
    expect_state("CLOSE-WAIT");
    rig_fini(&rig);
}

/* ---- TIME-WAIT ---- */

static void test_time_wait_answers_fin_and_restarts(void)
{
    start(NULL);
    close_actively();
    rig_advance(&rig, HG_SEC(20));
    fin(1, 2);
    rig_expect(&rig, TCP_ACK, 2, 2);
    rig_advance(&rig, HG_SEC(20));
    expect_state("TIME-WAIT");
    rig_advance(&rig, HG_SEC(11));
    expect_state("CLOSED");
    rig_fini(&rig);
}

static void test_time_wait_ignores_reset(void)
{
    start(NULL);
    close_actively();
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 2}); /* RFC 1337 */
    expect_state("TIME-WAIT");
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_time_wait_gives_way_to_a_newer_syn(void)
{
    start(NULL);
    close_actively();
    rig_event(&rig, HG_TCP_EV_EOF | HG_TCP_EV_CLOSED);
    hg_tcp_release(rig.conn);
    /* An old SYN is not enough (RFC 6191 2) ... */
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 100000, .ts_val = rig.ts - 1});
    rig_expect(&rig, TCP_ACK, 2, 2);
    /* ... a newer timestamp is. */
    uint32_t old_iss = rig.iss;
    rig.now += HG_MS(100);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 100000, .ts_val = rig.ts + 1});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN | TCP_ACK);
    CU_ASSERT_EQUAL(o->h.ack - RIG_IRS, 100001);
    CU_ASSERT((int32_t)(o->h.seq - old_iss) > 0); /* RFC 6528: numbers of a flow only grow */
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_fini(&rig);
}

static void test_time_wait_bound(void)
{
    start(&(struct hg_tcp_cfg){.time_wait_max = 1});
    close_actively();
    rig_event(&rig, HG_TCP_EV_EOF | HG_TCP_EV_CLOSED);
    struct hg_tcp_conn *first = rig.conn;
    struct hg_flow f = *hg_tcp_conn_flow(first);
    f.rport++;
    struct hg_tcp_conn *c;
    /* A second one, driven by hand on another port. */
    CU_ASSERT_EQUAL_FATAL(hg_tcp_connect(rig.tcp, &f, NULL, rig.now, &c), 0);
    rig_poll(&rig);
    uint32_t iss = rig_take(&rig)->h.seq;
    static const struct {
        uint8_t flags;
        uint32_t seq, ack;
    } steps[] = {{TCP_SYN | TCP_ACK, 0, 1}, {TCP_ACK, 1, 1}, {TCP_FIN | TCP_ACK, 1, 2}};
    for (unsigned i = 0; i < HG_ARRAY_LEN(steps); i++) {
        struct tcp_hdr h = {.sport = f.rport,
                            .dport = f.lport,
                            .seq = 1000 + steps[i].seq,
                            .ack = iss + steps[i].ack,
                            .flags = steps[i].flags,
                            .wnd = 1000};
        struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
        tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, 20), &h);
        struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = f};
        hg_tcp_input(rig.tcp, &seg, 1, rig.now);
        if (i == 1)
            hg_tcp_shutdown(c);
        rig_poll(&rig);
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "time_wait_recycled"), 1);
    expect_state("CLOSED"); /* the older one */
    rig.conn = c;
    expect_state("TIME-WAIT");
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 2); /* the older one waits for its release */
    hg_tcp_release(first);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_skip(&rig);
    rig_fini(&rig);
}

static void test_full_table_recycles_time_wait(void)
{
    start(&(struct hg_tcp_cfg){.conns_max = 1});
    close_actively();
    rig_event(&rig, HG_TCP_EV_EOF | HG_TCP_EV_CLOSED);
    struct hg_flow f = *hg_tcp_conn_flow(rig.conn);
    struct hg_tcp_conn *c;
    f.rport++;
    hg_tcp_release(rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_connect(rig.tcp, &f, NULL, rig.now, &c), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "time_wait_recycled"), 1);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_fini(&rig);
}

/* ---- the service ---- */

static void test_abort(void)
{
    start(NULL);
    rig_send(&rig, 1, 5000);
    rig_poll(&rig);
    rig_skip(&rig);
    rig_in_only(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 100});
    hg_tcp_abort(rig.conn);
    rig_expect(&rig, TCP_RST | TCP_ACK, 5001, 101);
    rig_event(&rig, HG_TCP_EV_CLOSED); /* and not that something is readable */
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ECONNABORTED);
    hg_tcp_abort(rig.conn); /* harmless */
    hg_tcp_release(rig.conn);
    rig_poll(&rig);
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_release_finishes_by_itself(void)
{
    start(NULL);
    rig_send(&rig, 1, 3000);
    hg_tcp_release(rig.conn);
    rig_poll(&rig);
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_expect(&rig, TCP_ACK, 989, 1);
    rig_expect(&rig, TCP_ACK, 1977, 1);
    rig_expect(&rig, TCP_FIN | TCP_ACK, 2965, 1);
    ack(1, 3002);
    fin(1, 3002);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_no_event(&rig);
    rig_advance(&rig, HG_SEC(31));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_release_with_unread_data_resets(void)
{
    start(NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 10});
    rig_skip(&rig);
    hg_tcp_release(rig.conn);
    rig_expect(&rig, TCP_RST | TCP_ACK, 1, 11);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_data_for_a_released_connection_resets(void)
{
    start(NULL);
    hg_tcp_release(rig.conn);
    rig_poll(&rig);
    rig_expect(&rig, TCP_FIN | TCP_ACK, 1, 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 2, .wnd = 9, .len = 10});
    CU_ASSERT_EQUAL(rig_take(&rig)->h.flags, TCP_RST | TCP_ACK);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_released_fin_wait_2_ends(void)
{
    start(NULL);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    ack(1, 2);
    expect_state("FIN-WAIT-2");
    hg_tcp_release(rig.conn);
    rig_advance(&rig, HG_SEC(61));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_unread_data_survives_the_end(void)
{
    start(NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 700});
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 701});
    rig_event(&rig, HG_TCP_EV_READABLE | HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ECONNRESET);
    rig_read(&rig, 1, 700);
    hg_tcp_release(rig.conn);
    rig_fini(&rig);
}

static void test_destroy_with_everything_queued(void)
{
    start(NULL);
    rig_send(&rig, 1, 50000);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9999, .len = 700});
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 901, .ack = 1, .wnd = 9999, .len = 700});
    rig_fini(&rig); /* checks the pools */
}

/* ---- keep-alive ---- */

static void test_keepalive(void)
{
    start(&(struct hg_tcp_cfg){.keepalive_idle = HG_SEC(10)});
    rig_advance(&rig, HG_SEC(9));
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(1100));
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 0, 1);
    CU_ASSERT_EQUAL(o->len, 0);
    ack(1, 1);
    rig_advance(&rig, HG_SEC(9));
    rig_expect_none(&rig); /* the answer counts as activity */
    rig_advance(&rig, HG_SEC(20));
    CU_ASSERT_EQUAL(rig.n_out, 6); /* five probes 2 s apart, then the reset */
    CU_ASSERT_EQUAL(rig.out[5].h.flags, TCP_RST | TCP_ACK);
    rig_skip(&rig);
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ETIMEDOUT);
    CU_ASSERT_EQUAL(rig_count(&rig, "keepalives"), 6);
    rig_fini(&rig);
}

static void test_keepalive_of_the_peer_is_answered(void)
{
    start(NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 9});
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_fini(&rig);
}

/* ---- ICMP ---- */

static void test_too_big(void)
{
    struct hg_tcp_info info;

    start(NULL);
    rig_send(&rig, 1, 5 * 988);
    rig_poll(&rig);
    rig_skip(&rig);
    /* Quotes something that is not in flight: forged (RFC 5927 4.1). */
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 700}, 5 * 988 + 1);
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 700}, 0);
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_icmp_ignored"), 2);
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 700}, 1);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.snd_mss, 660);
    uint32_t at = 1;
    for (const struct rig_out *o; (o = rig_take(&rig));) {
        CU_ASSERT_EQUAL(o->h.seq - rig.iss, at);
        CU_ASSERT(o->len + 12 <= 660);
        at += o->len;
    }
    CU_ASSERT_EQUAL(at, 5 * 988 + 1); /* all at once: the path dropped it, not congestion */
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 68}, 1);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.snd_mss, 536); /* the floor */
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_TOO_BIG, .mtu = 1400}, 1);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.snd_mss, 536); /* ICMP never raises it */
    rig_skip(&rig);
    rig_fini(&rig);
}

static void test_unreachable_is_soft_when_established(void)
{
    start(&(struct hg_tcp_cfg){.retries = 2, .rto_max = HG_SEC(1)});
    rig_send(&rig, 1, 100);
    rig_poll(&rig);
    for (uint8_t code = 0; code < 16; code++)
        rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_UNREACHABLE, .icmp_code = code}, 1);
    expect_state("ESTABLISHED");
    rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_UNREACHABLE, .icmp_code = 1}, 1);
    rig_advance(&rig, HG_SEC(10));
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -EHOSTUNREACH); /* the better reason */
    rig_fini(&rig);
}

static void test_unreachable_while_opening(void)
{
    static const struct {
        uint8_t code;
        int error; /* 0: goes on */
    } rows[] = {{0, 0},  {1, 0},  {2, -ECONNREFUSED}, {3, -ECONNREFUSED},
                {4, 0},  {5, 0},  {9, -EHOSTUNREACH}, {10, -EHOSTUNREACH},
                {11, 0}, {12, 0}, {13, -EHOSTUNREACH}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct hg_flow f = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                            {{[10] = 0xff, 0xff, 10, 0, 0, 2}},
                            RIG_PORT,
                            RIG_PEER_PORT};
        rig_init(&rig, NULL);
        CU_ASSERT_EQUAL(hg_tcp_connect(rig.tcp, &f, NULL, rig.now, &rig.conn), 0);
        rig_poll(&rig);
        rig.iss = rig_take(&rig)->h.seq;
        rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_UNREACHABLE, .icmp_code = rows[i].code}, 7);
        expect_state("SYN-SENT"); /* not our SYN */
        rig_icmp(&rig, (struct hg_seg){.kind = HG_SEG_UNREACHABLE, .icmp_code = rows[i].code}, 0);
        if (rows[i].error)
            rig_event(&rig, HG_TCP_EV_CLOSED);
        expect_state(rows[i].error ? "CLOSED" : "SYN-SENT");
        CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), rows[i].error);
        rig_fini(&rig);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"we close first", test_we_close_first},
        {"peer closes first", test_peer_closes_first},
        {"both at once", test_both_close_at_once},
        {"FIN with ACK of ours", test_fin_with_ack_of_ours},
        {"half-closed: reading goes on", test_half_closed_reading_goes_on},
        {"FIN out of order", test_fin_out_of_order},
        {"bare FIN out of order", test_bare_fin_out_of_order},
        {"FIN at the edge of the window", test_fin_at_the_edge_of_the_window},
        {"FIN lost", test_fin_lost_is_sent_again},
        {"FIN waits for data", test_fin_waits_for_data},
        {"peer's FIN again", test_peer_fin_sent_again},
        {"data after FIN", test_data_after_fin_is_ignored},
        {"TIME-WAIT answers FIN", test_time_wait_answers_fin_and_restarts},
        {"TIME-WAIT ignores RST", test_time_wait_ignores_reset},
        {"TIME-WAIT and a newer SYN", test_time_wait_gives_way_to_a_newer_syn},
        {"TIME-WAIT bound", test_time_wait_bound},
        {"full table recycles TIME-WAIT", test_full_table_recycles_time_wait},
        {"abort", test_abort},
        {"release finishes by itself", test_release_finishes_by_itself},
        {"release with unread data", test_release_with_unread_data_resets},
        {"data for a released connection", test_data_for_a_released_connection_resets},
        {"released FIN-WAIT-2 ends", test_released_fin_wait_2_ends},
        {"unread data survives the end", test_unread_data_survives_the_end},
        {"destroy with everything queued", test_destroy_with_everything_queued},
        {"keep-alive", test_keepalive},
        {"keep-alive of the peer", test_keepalive_of_the_peer_is_answered},
        {"ICMP too big", test_too_big},
        {"ICMP unreachable is soft", test_unreachable_is_soft_when_established},
        {"ICMP unreachable while opening", test_unreachable_while_opening},
    };

    rig_eal();
    return suite_run("tcp_close", tests, HG_ARRAY_LEN(tests));
}
