/* SPDX-License-Identifier: BSD-3-Clause */
/* Many connections one after the other: whatever ends them, nothing stays. */
#include "rig.h"
#include "suite.h"
#include "tcp_priv.h"

#include <stdio.h>
#include <string.h>

#define STORM 100000u
#define CONNS 256u

static struct rig rig;

static const struct hg_ip any_ip;

static void in(uint16_t port, struct rig_in in)
{
    in.port = port;
    in.wnd = in.wnd ? in.wnd : 60000;
    rig_in(&rig, in);
}

/* Up to ESTABLISHED; NULL when it was refused. */
static struct hg_tcp_conn *open_one(uint16_t port)
{
    struct hg_tcp_event ev;

    rig_skip(&rig);
    in(port, (struct rig_in){.flags = TCP_SYN});
    const struct rig_out *o = rig_take(&rig);
    if (!o || o->h.flags != (TCP_SYN | TCP_ACK))
        return NULL;
    rig.iss = o->h.seq;
    in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1});
    CU_ASSERT_EQUAL_FATAL(hg_tcp_events(rig.tcp, &ev, 1), 1);
    CU_ASSERT_EQUAL(ev.what, HG_TCP_EV_ACCEPTED);
    return ev.conn;
}

static void pull_events(void)
{
    struct hg_tcp_event ev[4];

    while (hg_tcp_events(rig.tcp, ev, 4))
        ;
}

enum ending {
    PEER_CLOSES,  /* CLOSE-WAIT, LAST-ACK */
    WE_CLOSE,     /* FIN-WAIT-2, TIME-WAIT */
    BOTH_CLOSE,   /* CLOSING, TIME-WAIT */
    PEER_RESETS,  /* with data out of order */
    WE_ABORT,     /* with data unread and unsent */
    PEER_VANISHES /* an orphan in FIN-WAIT-1 */
};

/* In every second part of the storm peers vanish, so that orphans are at their bound; in the others
 * TIME-WAIT is. */
static enum ending ending_of(uint32_t i)
{
    if (i / 10000 % 2 && i % 6 == 5)
        return PEER_VANISHES;
    return (enum ending)(i % PEER_VANISHES);
}

static void end_one(struct hg_tcp_conn *c, uint16_t port, enum ending how)
{
    rig.conn = c;
    in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1001, .ack = 1, .len = 500});
    if (how == PEER_RESETS || how == WE_ABORT)
        rig_send(&rig, 1, 900);
    if (how == PEER_RESETS)
        in(port, (struct rig_in){.flags = TCP_RST, .seq = 1});
    if (how == WE_ABORT)
        hg_tcp_abort(c);
    if (how != PEER_RESETS && how != WE_ABORT) {
        in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .len = 1000});
        rig_read(&rig, 1, 1500);
    }
    if (how == PEER_CLOSES)
        in(port, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1501, .ack = 1});
    pull_events();
    hg_tcp_release(c);
    rig_poll(&rig);
    if (how == PEER_CLOSES)
        in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1502, .ack = 2});
    if (how == WE_CLOSE) {
        in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1501, .ack = 2});
        in(port, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1501, .ack = 2});
    }
    if (how == BOTH_CLOSE) {
        in(port, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1501, .ack = 1});
        in(port, (struct rig_in){.flags = TCP_ACK, .seq = 1502, .ack = 2});
    }
    rig_skip(&rig);
}

static void check_flat(void)
{
    const struct hg_tcp *tcp = rig.tcp;

    CU_ASSERT(tcp->conns_used <= CONNS);
    CU_ASSERT(tcp->n_time_wait <= tcp->cfg.time_wait_max);
    CU_ASSERT(tcp->n_orphans <= tcp->cfg.orphans_max);
    CU_ASSERT_EQUAL(tcp->n_conns, tcp->n_time_wait + tcp->n_orphans);
    CU_ASSERT_EQUAL(tcp->wheel.armed, tcp->n_conns);
    CU_ASSERT_EQUAL(tcp->rx_mem, 0);
    CU_ASSERT_EQUAL(tcp->snd_mem, 0);
    CU_ASSERT_EQUAL(tcp->n_half_open + tcp->n_backlog, 0);
    CU_ASSERT(tcp->ooo.used <= 1);
    CU_ASSERT(tcp->rx_blocks.used <= 2);
    CU_ASSERT(tcp->sent_pool.used <= 1);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.data), 0);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig.clone), 0);
}

static void test_storm(void)
{
    unsigned refused = 0;

    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = CONNS, .msl = HG_MS(100), .retries = 2});
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    for (uint32_t i = 0; i < STORM; i++) {
        uint16_t port = (uint16_t)(1024 + i % 60000);
        struct hg_tcp_conn *c = open_one(port);
        if (c)
            end_one(c, port, ending_of(i));
        else
            refused++;
        if (i % 16 == 0)
            rig_advance(&rig, HG_MS(1));
        rig_skip(&rig);
        if (i % 1000 == 0)
            check_flat();
    }
    check_flat();
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(rig_count(&rig, "passive_opens"), STORM);
    CU_ASSERT(rig_count(&rig, "time_wait_recycled") > 1000); /* bounds were met */
    CU_ASSERT(rig_count(&rig, "orphans_reset") > 1000);
    for (unsigned i = 0; i < 100; i++) {
        rig_advance(&rig, HG_SEC(1));
        rig_skip(&rig);
    }
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0); /* orphans and TIME-WAIT end by themselves */
    CU_ASSERT_EQUAL(rig.tcp->wheel.armed, 0);
    rig_fini(&rig);
}

/* TIME-WAIT keeps addresses and numbers, nothing borrowed and nothing promised. */
static void test_time_wait_holds_nothing(void)
{
    rig_init(&rig, NULL);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    struct hg_tcp_conn *c = open_one(5000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    end_one(c, 5000, WE_CLOSE);
    CU_ASSERT_EQUAL(c->state, TCP_ST_TIME_WAIT);
    CU_ASSERT_EQUAL(rig.tcp->era[0].promised + rig.tcp->era[1].promised, 0);
    CU_ASSERT_EQUAL(c->sent.n, 0);
    in(5000, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1501, .ack = 2}); /* answered */
    CU_ASSERT_EQUAL(rig.n_out, 1);
    CU_ASSERT_EQUAL(rig.tcp->era[0].promised + rig.tcp->era[1].promised, 0);
    rig_fini(&rig);
}

static void test_orphans_are_bounded(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.orphans_max = 3});
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    for (uint16_t i = 0; i < 5; i++) {
        struct hg_tcp_conn *c = open_one((uint16_t)(5000 + i));
        CU_ASSERT_PTR_NOT_NULL_FATAL(c);
        hg_tcp_release(c);
        rig_poll(&rig);
    }
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 3);
    CU_ASSERT_EQUAL(rig_count(&rig, "orphans_reset"), 2);
    CU_ASSERT_EQUAL(rig_count(&rig, "tx_rst"), 2);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"100,000 connections leave nothing", test_storm},
        {"TIME-WAIT holds nothing", test_time_wait_holds_nothing},
        {"orphans are bounded", test_orphans_are_bounded},
    };

    rig_eal();
    return suite_run("tcp_storm", tests, HG_ARRAY_LEN(tests));
}
