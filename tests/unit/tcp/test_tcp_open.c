/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes: passive, active, simultaneous, refused, lost, flooded. */
#include "rig.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static struct rig rig;

static const struct hg_ip any_ip;

static void test_passive(void)
{
    rig_init(&rig, NULL);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, &rig), 0);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    rig.iss = o->h.seq;
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN | TCP_ACK);
    CU_ASSERT_EQUAL(o->h.ack, RIG_IRS + 1);
    CU_ASSERT_EQUAL(o->h.has, TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_WSCALE | TCP_HAS_TS);
    CU_ASSERT_EQUAL(o->h.mss, RIG_MSS);
    CU_ASSERT_EQUAL(o->h.wnd, 60000); /* not scaled */
    CU_ASSERT_EQUAL(o->h.ts_ecr, rig.ts);
    rig_no_event(&rig);
    /* The ACK may bring data. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 1000, .len = 10});
    struct hg_tcp_event ev;
    CU_ASSERT_EQUAL(hg_tcp_events(rig.tcp, &ev, 1), 1);
    CU_ASSERT_EQUAL(ev.what, HG_TCP_EV_ACCEPTED | HG_TCP_EV_READABLE);
    CU_ASSERT_PTR_NULL(ev.user);
    CU_ASSERT_PTR_EQUAL(ev.listener, &rig);
    rig.conn = ev.conn;
    rig_read(&rig, 1, 10);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    rig_fini(&rig);
}

static void test_options_are_used_only_if_both_offer(void)
{
    static const struct {
        uint32_t theirs;
        struct hg_tcp_cfg ours;
        uint8_t has;
    } rows[] = {
        {0, {0}, TCP_HAS_MSS},
        {TCP_HAS_MSS | TCP_HAS_TS, {0}, TCP_HAS_MSS | TCP_HAS_TS},
        {TCP_HAS_SACK_OK | TCP_HAS_WSCALE, {0}, TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_WSCALE},
        {TCP_HAS_TS | TCP_HAS_SACK_OK | TCP_HAS_WSCALE,
         {.no_timestamps = true, .no_sack = true, .no_wscale = true},
         TCP_HAS_MSS},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        rig_init(&rig, &rows[i].ours);
        hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
        rig.options = rows[i].theirs;
        rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
        const struct rig_out *o = rig_take(&rig);
        CU_ASSERT_PTR_NOT_NULL_FATAL(o);
        CU_ASSERT_EQUAL(o->h.has, rows[i].has);
        rig_fini(&rig);
    }
}

static void test_mss(void)
{
    struct hg_tcp_info info;

    rig_init(&rig, &(struct hg_tcp_cfg){.mss = 9000});
    rig.options = 0; /* no MSS option: 536 (RFC 9293 3.7.1) */
    rig_accept(&rig);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.snd_mss, 536);
    rig_fini(&rig);

    rig_init(&rig, &(struct hg_tcp_cfg){.mss = 9000});
    rig.mtu = 900;
    rig_accept(&rig);
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.snd_mss, 860); /* our MTU is the limit */
    rig_fini(&rig);
}

static void test_syn_ack_lost(void)
{
    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig.iss = rig_take(&rig)->h.seq;
    rig_advance(&rig, HG_MS(1100)); /* RFC 6298: 1 s, then 2 s */
    rig_expect(&rig, TCP_SYN | TCP_ACK, 0, 1);
    rig_advance(&rig, HG_MS(1500));
    rig_expect_none(&rig);
    rig_advance(&rig, HG_MS(600));
    rig_expect(&rig, TCP_SYN | TCP_ACK, 0, 1);
    /* The peer's own retransmission is answered at once. */
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig_expect(&rig, TCP_SYN | TCP_ACK, 0, 1);
    rig_advance(&rig, HG_SEC(10)); /* syn_timeout */
    rig_skip(&rig);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "handshake_timeouts"), 1);
    rig_no_event(&rig); /* the service never heard of it */
    rig_fini(&rig);
}

static void test_active(void)
{
    rig_init(&rig, NULL);
    rig_connect(&rig);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    CU_ASSERT_EQUAL(rig_count(&rig, "active_opens"), 1);
    CU_ASSERT_PTR_EQUAL(hg_tcp_user(rig.conn), &rig);
    rig_fini(&rig);
}

static void start_connect(void)
{
    struct hg_flow f = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                        {{[10] = 0xff, 0xff, 10, 0, 0, 2}},
                        RIG_PORT,
                        RIG_PEER_PORT};

    rig_init(&rig, NULL);
    CU_ASSERT_EQUAL(hg_tcp_connect(rig.tcp, &f, &rig, rig.now, &rig.conn), 0);
    CU_ASSERT_EQUAL(hg_tcp_connect(rig.tcp, &f, &rig, rig.now, &rig.conn), -EADDRINUSE);
    rig_poll(&rig);
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN);
    rig.iss = o->h.seq;
}

static void test_data_right_behind_syn_ack(void)
{
    start_connect();
    rig_in_only(&rig, (struct rig_in){.flags = TCP_SYN | TCP_ACK, .ack = 1, .wnd = 1000});
    rig_in_only(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 1, .len = 500});
    rig_poll(&rig);
    rig_event(&rig, HG_TCP_EV_CONNECTED | HG_TCP_EV_READABLE);
    rig_read(&rig, 1, 500);
    rig_fini(&rig);
}

static void test_refused(void)
{
    start_connect();
    rig_in(&rig, (struct rig_in){.flags = TCP_RST}); /* without ACK: could be anybody */
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "SYN-SENT");
    rig_in(&rig, (struct rig_in){.flags = TCP_RST | TCP_ACK, .ack = 1});
    CU_ASSERT_PTR_EQUAL(rig_event(&rig, HG_TCP_EV_CLOSED), rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ECONNREFUSED);
    rig_expect_none(&rig);
    hg_tcp_release(rig.conn);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_no_answer(void)
{
    start_connect();
    rig_advance(&rig, HG_SEC(11));
    CU_ASSERT_EQUAL(rig.n_out - rig.taken, 3); /* after 1, 3 and 7 s */
    rig_event(&rig, HG_TCP_EV_CLOSED);
    CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ETIMEDOUT);
    rig_fini(&rig);
}

static void test_half_open_peer(void)
{
    /* RFC 9293 3.5.1 figure 9: the peer still has an old connection and answers with an ACK of
     * something else; our reset makes it forget. */
    start_connect();
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 300, .ack = 100});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
    CU_ASSERT_EQUAL(o->h.seq, rig.iss + 100);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "SYN-SENT");
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN | TCP_ACK, .ack = 1, .wnd = 1000});
    rig_event(&rig, HG_TCP_EV_CONNECTED);
    rig_fini(&rig);
}

static void test_simultaneous(void)
{
    start_connect();
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig_expect(&rig, TCP_SYN | TCP_ACK, 0, 1);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "SYN-RECEIVED");
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN | TCP_ACK, .ack = 1, .wnd = 1000});
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    rig_event(&rig, HG_TCP_EV_CONNECTED);
    rig_expect(&rig, TCP_ACK, 1, 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 1000, .len = 5});
    rig_read(&rig, 1, 5);
    rig_fini(&rig);
}

static void test_data_and_shutdown_before_connected(void)
{
    start_connect();
    rig_send(&rig, 1, 100);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    rig_expect_none(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN | TCP_ACK, .ack = 1, .wnd = 1000});
    const struct rig_out *o = rig_expect(&rig, TCP_ACK | TCP_FIN, 1, 1);
    CU_ASSERT_EQUAL(o->len, 100);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "FIN-WAIT-1");
    rig_fini(&rig);
}

static void test_no_listener(void)
{
    rig_init(&rig, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_RST | TCP_ACK);
    CU_ASSERT_EQUAL(o->h.seq, 0);
    CU_ASSERT_EQUAL(o->h.ack, RIG_IRS + 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_no_listener"), 1);
    /* A reset is never answered. */
    rig_in(&rig, (struct rig_in){.flags = TCP_RST});
    rig_in(&rig, (struct rig_in){.flags = TCP_RST | TCP_ACK});
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_closed_silent(void)
{
    struct hg_tcp_cfg cfg = {.closed_silent = true};

    rig_init(&rig, &cfg);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .wnd = 1000});
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_closed_silent"), 2);
    /* A peer of a connection that we forgot must learn it where we do listen. */
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL), 0);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .wnd = 1000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
    rig_fini(&rig);
}

/* RFC 9293 3.10.7.2. */
static void test_listen_takes_only_syn(void)
{
    static const struct {
        uint8_t flags;
        bool rst;
        const char *counter;
    } rows[] = {
        {TCP_ACK, true, "rx_no_conn"},           {TCP_SYN | TCP_ACK, true, "rx_no_conn"},
        {TCP_FIN | TCP_ACK, true, "rx_no_conn"}, {TCP_SYN | TCP_FIN, false, "rx_bad_flags"},
        {TCP_FIN, false, "rx_bad_flags"},        {0, false, "rx_bad_flags"},
        {TCP_RST, false, "rx_rst_ignored"},      {TCP_SYN | TCP_RST, false, "rx_rst_ignored"},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        rig_init(&rig, NULL);
        hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
        rig_in(&rig, (struct rig_in){.flags = rows[i].flags, .seq = 5, .ack = 7});
        const struct rig_out *o = rig_take(&rig);
        CU_ASSERT_EQUAL(o != NULL, rows[i].rst);
        if (o) {
            CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
            CU_ASSERT_EQUAL(o->h.seq, 7);
        }
        CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
        CU_ASSERT_EQUAL(rig_count(&rig, rows[i].counter), 1);
        rig_fini(&rig);
    }
}

/* SYN from another port of the peer. */
static void syn_from(uint16_t port)
{
    struct tcp_hdr h = {.sport = port, .dport = RIG_PORT, .seq = 1, .flags = TCP_SYN, .wnd = 1000};
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    struct hg_seg seg = {.kind = HG_SEG_TCP,
                         .m = m,
                         .flow = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                  {{[10] = 0xff, 0xff, 10, 0, 0, 2}},
                                  RIG_PORT,
                                  port}};

    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, 20), &h);
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    rig_poll(&rig);
}

static void test_syn_flood_is_bounded(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = 16, .half_open_max = 5, .no_cookies = true});
    rig_accept(&rig);
    for (unsigned i = 0; i < 100; i++)
        syn_from((uint16_t)(10000 + i));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 6);
    CU_ASSERT_EQUAL(rig_count(&rig, "half_open_drop"), 95);
    rig_skip(&rig);
    /* The connection that stood is not hurt. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 100});
    rig_read(&rig, 1, 100);
    rig_advance(&rig, HG_SEC(11));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_skip(&rig);
    syn_from(20000); /* and there is room again */
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 2);
    rig_fini(&rig);
}

static void test_table_full(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = 4, .half_open_max = 100});
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    for (unsigned i = 0; i < 10; i++)
        syn_from((uint16_t)(10000 + i));
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 4);
    CU_ASSERT_EQUAL(rig_count(&rig, "conn_limit_drop"), 6);
    rig_fini(&rig);
}

static void test_reset_in_syn_received(void)
{
    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig.iss = rig_take(&rig)->h.seq;
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 2}); /* in window, not exact */
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_expect(&rig, TCP_ACK, 1, 1); /* challenge */
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 1});
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_no_event(&rig);
    rig_fini(&rig);
}

static void test_bad_ack_in_syn_received(void)
{
    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig.iss = rig_take(&rig)->h.seq;
    for (uint32_t ack = 0; ack < 4; ack += 2) {
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = ack});
        const struct rig_out *o = rig_take(&rig);
        CU_ASSERT_PTR_NOT_NULL_FATAL(o);
        CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
        CU_ASSERT_EQUAL(o->h.seq, rig.iss + ack);
    }
    rig_no_event(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1});
    rig_event(&rig, HG_TCP_EV_ACCEPTED);
    rig_fini(&rig);
}

static void test_accepted_but_reset_before_the_service_looks(void)
{
    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig.iss = rig_take(&rig)->h.seq;
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 50});
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 51});
    rig_no_event(&rig);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
    rig_fini(&rig);
}

static void test_listeners(void)
{
    struct hg_ip ip = {{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                 other = {{[10] = 0xff, 0xff, 10, 0, 0, 9}};
    int marker;

    rig_init(&rig, NULL);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL), 0);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL), -EADDRINUSE);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &other, RIG_PORT, NULL), 0);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &ip, RIG_PORT, &marker), 0);
    for (uint16_t i = 3; i < HG_TCP_LISTENERS_MAX; i++)
        CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, (uint16_t)(2000 + i), NULL), 0);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, 3000, NULL), -ENOSPC);
    /* The exact address wins. */
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    rig.iss = rig_take(&rig)->h.seq;
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1});
    struct hg_tcp_event ev;
    CU_ASSERT_EQUAL_FATAL(hg_tcp_events(rig.tcp, &ev, 1), 1);
    CU_ASSERT_PTR_EQUAL(ev.listener, &marker);
    CU_ASSERT_EQUAL(hg_tcp_unlisten(rig.tcp, &ip, RIG_PORT), 0);
    CU_ASSERT_EQUAL(hg_tcp_unlisten(rig.tcp, &ip, RIG_PORT), -ENOENT);
    CU_ASSERT_EQUAL(hg_tcp_unlisten(rig.tcp, &any_ip, RIG_PORT), 0);
    syn_from(5000); /* nobody listens, but the connection stays */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_no_listener"), 1);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_fini(&rig);
}

static void test_ephemeral_ports_differ(void)
{
    struct hg_flow f = {
        {{[10] = 0xff, 0xff, 10, 0, 0, 1}}, {{[10] = 0xff, 0xff, 10, 0, 0, 2}}, 0, 80};
    struct hg_tcp_conn *c[16];

    rig_init(&rig, NULL);
    for (unsigned i = 0; i < 16; i++) {
        CU_ASSERT_EQUAL_FATAL(hg_tcp_connect(rig.tcp, &f, NULL, rig.now, &c[i]), 0);
        CU_ASSERT(hg_tcp_conn_flow(c[i])->lport >= 49152);
        for (unsigned k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(hg_tcp_conn_flow(c[i])->lport, hg_tcp_conn_flow(c[k])->lport);
    }
    CU_ASSERT_EQUAL(hg_tcp_connect(rig.tcp, &f, NULL, rig.now, &c[0]), -ENOSPC);
    rig_fini(&rig);
}

/* RFC 6528: for one flow numbers grow with time; for another they are unrelated. */
static void test_initial_sequence_numbers(void)
{
    uint32_t first, later, other;

    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    syn_from(1000);
    first = rig_take(&rig)->h.seq;
    syn_from(1001);
    other = rig_take(&rig)->h.seq;
    rig_fini(&rig);
    rig_init(&rig, NULL);
    rig.now += HG_MS(4);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    syn_from(1000);
    later = rig_take(&rig)->h.seq;
    rig_fini(&rig);
    CU_ASSERT_EQUAL(later - first, ((HG_SEC(100) + HG_MS(4)) >> 12) - (HG_SEC(100) >> 12));
    CU_ASSERT(other - first > 1000 && first - other > 1000);
}

static void test_bad_configuration(void)
{
    struct hg_tcp_env env = {.arg = &rig};
    struct hg_err err = {""};
    struct hg_tcp *tcp;

    rig_init(&rig, NULL);
    struct hg_tcp_cfg bad = {.hdr_pool = rig.hdr};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    CU_ASSERT(strstr(err.text, "clone_pool") != NULL);
    bad = (struct hg_tcp_cfg){.hdr_pool = rig.clone, .clone_pool = rig.clone};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    bad = (struct hg_tcp_cfg){.hdr_pool = rig.hdr, .clone_pool = rig.clone, .mss = 20};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    bad = (struct hg_tcp_cfg){.hdr_pool = rig.hdr, .clone_pool = rig.clone, .rcv_mem_max = 60000};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    bad = (struct hg_tcp_cfg){.hdr_pool = rig.hdr, .clone_pool = rig.clone, .rcv_buf = 1u << 30};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    bad = (struct hg_tcp_cfg){
        .hdr_pool = rig.hdr, .clone_pool = rig.clone, .rto_min = HG_SEC(9), .rto_max = HG_SEC(3)};
    CU_ASSERT_EQUAL(hg_tcp_create(&bad, &env, 0, &tcp, &err), -EINVAL);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"passive open", test_passive},
        {"options only if both offer", test_options_are_used_only_if_both_offer},
        {"MSS", test_mss},
        {"SYN-ACK lost", test_syn_ack_lost},
        {"active open", test_active},
        {"data right behind the SYN-ACK", test_data_right_behind_syn_ack},
        {"refused", test_refused},
        {"no answer", test_no_answer},
        {"half-open peer", test_half_open_peer},
        {"simultaneous open", test_simultaneous},
        {"data and shutdown before connected", test_data_and_shutdown_before_connected},
        {"no listener", test_no_listener},
        {"closed ports may be silent, open ones never are", test_closed_silent},
        {"LISTEN takes only SYN", test_listen_takes_only_syn},
        {"SYN flood is bounded", test_syn_flood_is_bounded},
        {"table full", test_table_full},
        {"reset in SYN-RECEIVED", test_reset_in_syn_received},
        {"bad ACK in SYN-RECEIVED", test_bad_ack_in_syn_received},
        {"reset before the service looks", test_accepted_but_reset_before_the_service_looks},
        {"listeners", test_listeners},
        {"ephemeral ports", test_ephemeral_ports_differ},
        {"initial sequence numbers", test_initial_sequence_numbers},
        {"bad configuration", test_bad_configuration},
    };

    rig_eal();
    return suite_run("tcp_open", tests, HG_ARRAY_LEN(tests));
}
