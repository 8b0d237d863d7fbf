/* SPDX-License-Identifier: BSD-3-Clause */
/* Bounds of out-of-order data: what gives way to what, within a connection and between them. */
#include "rig.h"
#include "suite.h"
#include "tcp_priv.h"

#include <stdio.h>
#include <string.h>

#define CONNS 4

static struct rig rig;
static struct hg_tcp_conn *conn[CONNS];
static uint32_t iss[CONNS];

/* The peers' ports count from RIG_PEER_PORT. */
static void begin(const struct hg_tcp_cfg *cfg)
{
    static const struct hg_ip any;

    rig_init(&rig, cfg);
    hg_tcp_listen(rig.tcp, &any, RIG_PORT, NULL);
    for (unsigned i = 0; i < CONNS; i++) {
        uint16_t port = (uint16_t)(RIG_PEER_PORT + i);
        rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 60000, .port = port});
        iss[i] = rig.iss = rig_take(&rig)->h.seq;
        rig_in(&rig,
               (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .port = port});
        conn[i] = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    }
    rig_skip(&rig);
}

static void data(unsigned i, uint32_t seq, uint32_t len)
{
    rig.iss = iss[i];
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK,
                                 .seq = seq,
                                 .ack = 1,
                                 .wnd = 60000,
                                 .len = len,
                                 .port = (uint16_t)(RIG_PEER_PORT + i)});
    rig_skip(&rig);
}

static void read_all(unsigned i, uint32_t at)
{
    rig.conn = conn[i];
    rig_read(&rig, at, hg_tcp_readable(conn[i]));
}

static void test_borrowed_only_while_held(void)
{
    begin(NULL);
    CU_ASSERT_PTR_NULL(conn[0]->ooo);
    data(0, 1001, 1000);
    data(1, 2001, 1000);
    CU_ASSERT_PTR_NOT_NULL(conn[0]->ooo);
    CU_ASSERT_EQUAL(rig.tcp->ooo.used, 2);
    data(0, 1, 1000); /* the gap is closed */
    CU_ASSERT_PTR_NULL(conn[0]->ooo);
    CU_ASSERT_EQUAL(hg_tcp_readable(conn[0]), 2000);
    data(0, 3001, 1000);
    data(2, 3001, 1000);
    CU_ASSERT_EQUAL(rig.tcp->ooo.used, 3); /* the one given back is used again */
    CU_ASSERT_EQUAL(rig.tcp->ooo.mem, 3 * 2176);
    read_all(0, 1);
    hg_tcp_abort(conn[1]);
    CU_ASSERT_PTR_NULL(conn[1]->ooo);
    CU_ASSERT_EQUAL(rig.tcp->ooo.mem, 2 * 2176);
    rig_fini(&rig);
}

static void test_empty_pool_drops(void)
{
    begin(&(struct hg_tcp_cfg){.ooo_conns_max = 2});
    for (unsigned i = 0; i < 3; i++)
        data(i, 1001, 1000);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_drop"), 1);
    CU_ASSERT_EQUAL(conn[2]->ooo_bytes, 0);
    data(2, 1, 1000); /* in-order data does not need it */
    CU_ASSERT_EQUAL(hg_tcp_readable(conn[2]), 1000);
    data(0, 1, 1000);
    data(2, 2001, 1000); /* now there is one */
    CU_ASSERT_EQUAL(conn[2]->ooo_bytes, 1000);
    rig_fini(&rig);
}

static void test_bound_of_a_connection_keeps_the_lowest(void)
{
    begin(&(struct hg_tcp_cfg){.ooo_conn_max = 5 * 2176});
    for (uint32_t i = 20; i > 0; i--) /* from above */
        data(0, 1 + 2000 * i, 1000);
    CU_ASSERT_EQUAL(conn[0]->ooo_bytes, 5000);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_shed"), 15);
    for (uint32_t i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(conn[0]->reass.iv[i].lo, RIG_IRS + 1 + 2000 * (i + 1));
    data(0, 20001, 1000); /* above all: it is the newest itself */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_drop"), 1);
    data(1, 2001, 1000); /* others have their own */
    CU_ASSERT_EQUAL(conn[1]->ooo_bytes, 1000);
    for (uint32_t i = 0; i < 6; i++)
        data(0, 1 + 2000 * i, 2000);
    CU_ASSERT(hg_tcp_readable(conn[0]) >= 12000);
    read_all(0, 1);
    rig_fini(&rig);
}

static void test_too_many_intervals_keep_the_lowest(void)
{
    begin(&(struct hg_tcp_cfg){.rcv_buf = 60000, .ooo_conn_max = 4u << 20});
    for (uint32_t i = TCP_REASS_MAX + 10; i > 0; i--)
        data(0, 1 + 20 * i, 10);
    CU_ASSERT_EQUAL(conn[0]->reass.n, TCP_REASS_MAX);
    CU_ASSERT_EQUAL(conn[0]->reass.iv[0].lo, RIG_IRS + 21);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_ooo_shed"), 10);
    rig_fini(&rig);
}

static void test_bound_of_all(void)
{
    begin(&(struct hg_tcp_cfg){.ooo_mem_max = 10 * 2176});
    for (uint32_t i = 1; i <= 8; i++)
        data(0, 1 + 2000 * i, 1000);
    for (uint32_t i = 1; i <= 8; i++)
        data(1, 1 + 2000 * i, 1000);
    CU_ASSERT_EQUAL(rig.tcp->ooo.mem, 10 * 2176);
    CU_ASSERT_EQUAL(conn[0]->ooo_bytes, 8000); /* no one takes from another for it */
    CU_ASSERT_EQUAL(conn[1]->ooo_bytes, 2000);
    data(1, 1001, 500); /* but older data of one's own goes before newer */
    CU_ASSERT_EQUAL(conn[1]->reass.iv[0].lo, RIG_IRS + 1001);
    CU_ASSERT_EQUAL(conn[1]->ooo_bytes, 1500);
    rig_fini(&rig);
}

/* Memory is full of what others hold out of order: in-order data is taken, each segment in exchange
 * for the newest of them. */
static void test_in_order_data_is_never_refused_while_any_is_held(void)
{
    begin(&(struct hg_tcp_cfg){.rcv_mem_max = 300 * 2176, .ooo_mem_max = 1u << 30});
    for (unsigned i = 0; i < 3; i++)
        for (uint32_t k = 1; k <= 100; k++)
            data(i, 1 + 20 * k, 10); /* a buffer for each */
    CU_ASSERT_TRUE(tcp_budget_short(rig.tcp));
    CU_ASSERT_EQUAL(conn[0]->ooo_bytes, 1000);
    uint32_t last = conn[2]->ooo_bytes;
    for (uint32_t k = 0; k < 40; k++)
        data(3, 1 + 1400 * k, 1400);
    CU_ASSERT_EQUAL(hg_tcp_readable(conn[3]), 40 * 1400);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_mem_drop"), 0);
    CU_ASSERT_EQUAL(conn[2]->ooo_bytes, last - 400); /* who came last gave first */
    CU_ASSERT_EQUAL(conn[0]->ooo_bytes, 1000);
    CU_ASSERT(rig.tcp->rx_mem <= rig.tcp->cfg.rcv_mem_max);
    read_all(3, 1);
    /* What was kept is whole: the peers send the rest again. */
    for (unsigned i = 0; i < 3; i++) {
        data(i, 1, 1000);
        data(i, 1001, 1010);
        CU_ASSERT_EQUAL(conn[i]->rcv_nxt - RIG_IRS, 2011);
        read_all(i, 1);
    }
    rig_fini(&rig);
}

/* A long interval goes by halves from above, and what stays is what arrived. */
static void test_a_long_interval_is_cut_from_above(void)
{
    begin(&(struct hg_tcp_cfg){.ooo_conn_max = 40 * 2176});
    for (uint32_t k = 0; k < 40; k++)
        data(0, 10001 + 1000 * k, 1000);
    CU_ASSERT_EQUAL(conn[0]->reass.n, 1);
    data(0, 5001, 1000);
    CU_ASSERT_EQUAL(conn[0]->reass.n, 2);
    CU_ASSERT_EQUAL(conn[0]->reass.iv[1].lo, RIG_IRS + 10001);
    CU_ASSERT_EQUAL(conn[0]->reass.iv[1].hi, RIG_IRS + 30001);
    CU_ASSERT_EQUAL(conn[0]->ooo_bytes, 21000);
    CU_ASSERT_EQUAL(conn[0]->ooo->mem, 21 * 2176);
    for (uint32_t k = 0; k < 10; k++)
        data(0, 1 + 1000 * k, 1000);
    CU_ASSERT_EQUAL(hg_tcp_readable(conn[0]), 30000);
    read_all(0, 1);
    rig_fini(&rig);
}

/* The peer may take back nothing, but we may: what was reported and then dropped is reported no
 * more, and accepted when it comes again (RFC 2018 8). */
static void test_reneging_is_said(void)
{
    begin(&(struct hg_tcp_cfg){.ooo_conn_max = 2176});
    data(0, 5001, 1000);
    data(0, 3001, 1000);
    rig.iss = iss[0];
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .len = 500});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.n_sack, 1);
    CU_ASSERT_EQUAL(o->h.sack[0].lo, RIG_IRS + 3001);
    rig_skip(&rig);
    for (uint32_t k = 0; k < 5; k++)
        data(0, 501 + 1100 * k, 1100);
    read_all(0, 1);
    CU_ASSERT_EQUAL(conn[0]->rcv_nxt, RIG_IRS + 6001);
    rig_fini(&rig);
}

/* docs/tcp.md has the figures. */
static void test_sizes(void)
{
    printf("hg_tcp_conn %zu, tcp_ooo %zu, tcp_rxblk %zu bytes ", sizeof(struct hg_tcp_conn),
           sizeof(struct tcp_ooo), sizeof(struct tcp_rxblk));
    CU_ASSERT(sizeof(struct hg_tcp_conn) <= 1216);
    /* Creating a stack touches neither connections nor blocks. */
    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = 16384});
    CU_ASSERT_EQUAL(rig.tcp->conns_used, 0);
    CU_ASSERT_EQUAL(rig.tcp->ooo.used, 0);
    CU_ASSERT_EQUAL(rig.tcp->rx_blocks.used, 0);
    rig_accept(&rig);
    CU_ASSERT_EQUAL(rig.tcp->conns_used, 1);
    CU_ASSERT_EQUAL(rig.tcp->rx_blocks.used, 0);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"borrowed only while something is held", test_borrowed_only_while_held},
        {"an empty pool drops", test_empty_pool_drops},
        {"the bound of a connection keeps the lowest", test_bound_of_a_connection_keeps_the_lowest},
        {"too many intervals keep the lowest", test_too_many_intervals_keep_the_lowest},
        {"the bound of all", test_bound_of_all},
        {"in-order data is never refused while any is held",
         test_in_order_data_is_never_refused_while_any_is_held},
        {"a long interval is cut from above", test_a_long_interval_is_cut_from_above},
        {"what is dropped is reported no more", test_reneging_is_said},
        {"an idle connection is small", test_sizes},
    };

    rig_eal();
    return suite_run("tcp_ooo", tests, HG_ARRAY_LEN(tests));
}
