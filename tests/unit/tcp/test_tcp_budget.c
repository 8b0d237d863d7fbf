/* SPDX-License-Identifier: BSD-3-Clause */
/* What connections are promised of the packet memory. No packets: windows as numbers. */
#include "suite.h"
#include "tcp_priv.h"

#include <string.h>

#define CONNS 2000
#define MEMORY 36000000u /* bytes of buffers; payload takes two thirds */
#define LOW 8192
#define BUFFER 1000000u

static struct hg_tcp tcp;
static struct hg_tcp_conn conn[CONNS];

static void begin(void)
{
    memset(&tcp, 0, sizeof tcp);
    memset(conn, 0, sizeof conn);
    tcp.cfg.rcv_mem_max = MEMORY;
    tcp.cfg.rcv_buf = tcp.level = BUFFER;
    tcp.cfg.rcv_low = LOW;
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i].tcp = &tcp;
        conn[i].rcv_mss = 1460;
    }
    tcp_budget_clock(&tcp);
}

/* Its peer has used the whole window, the service has read it, and an ACK leaves. */
static void turn(struct hg_tcp_conn *c)
{
    uint32_t wnd;

    c->rcv_nxt = c->rcv_adv;
    wnd = tcp_budget_window(c);
    c->rcv_adv = c->rcv_nxt + wnd;
    tcp_budget_promise(c);
}

static void era(void)
{
    tcp.now += HG_MS(200);
    tcp_budget_clock(&tcp);
}

static uint64_t promised(unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += conn[i].rcv_adv - conn[i].rcv_nxt;
    return sum;
}

static void turns(unsigned n, unsigned times)
{
    for (unsigned k = 0; k < times; k++)
        for (unsigned i = 0; i < n; i++)
            turn(&conn[i]);
}

static void test_alone_it_has_all(void)
{
    begin();
    turn(&conn[0]);
    CU_ASSERT_EQUAL(conn[0].promised, BUFFER);
    turns(8, 10);
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(conn[i].promised, BUFFER);
}

static void test_many_share(void)
{
    begin();
    turns(1000, 1); /* the first twenty take all there is */
    CU_ASSERT(conn[999].promised <= LOW);
    era();
    turns(1000, 2);
    CU_ASSERT(promised(1000) * 3 / 2 <= MEMORY);
    CU_ASSERT(promised(1000) * 3 / 2 >= MEMORY / 10 * 8); /* and it is used */
    for (unsigned i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(conn[i].promised, 21000); /* 36 MB / 1.5 * 7/8 / 1000 */
    }
}

/* The sum is bounded from the first turn on, not only when the shares have settled. */
static void test_never_more_than_there_is(void)
{
    begin();
    for (unsigned i = 0; i < 1000; i++) {
        turn(&conn[i]);
        CU_ASSERT(promised(i + 1) * 3 / 2 <= MEMORY + (uint64_t)(i + 1) * LOW * 3 / 2);
    }
    CU_ASSERT_EQUAL(tcp.era[0].promised, promised(1000));
}

static void test_idle_ones_do_not_count(void)
{
    begin();
    turns(1000, 30);
    for (unsigned k = 0; k < 4; k++) { /* one goes on, the others say nothing */
        era();
        turn(&conn[0]);
    }
    CU_ASSERT_EQUAL(conn[0].promised, BUFFER);
    CU_ASSERT_EQUAL(tcp.era[0].promised + tcp.era[1].promised, BUFFER);
    tcp_budget_release(&conn[1]); /* long out of the sums */
    tcp_budget_release(&conn[0]);
    CU_ASSERT_EQUAL(tcp.era[0].promised + tcp.era[1].promised, 0);
}

static void test_full_memory(void)
{
    begin();
    tcp.rx_mem = MEMORY;
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 0); /* really none left */
    tcp.rx_mem = MEMORY - 1;
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), LOW);
    conn[0].rxq_bytes = LOW - 100; /* the rest of a record */
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 100);
    conn[0].rxq_bytes = BUFFER + 5;
    tcp.rx_mem = 0;
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"alone it has all", test_alone_it_has_all},
        {"many share", test_many_share},
        {"never more than there is", test_never_more_than_there_is},
        {"idle ones do not count", test_idle_ones_do_not_count},
        {"full memory", test_full_memory},
    };
    return suite_run("tcp_budget", tests, sizeof tests / sizeof tests[0]);
}
