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
    tcp.cfg.rcv_buf = BUFFER;
    tcp.cfg.rcv_low = LOW;
    tcp.rx_bufs_max = UINT32_MAX;
    TAILQ_INIT(&tcp.out);
    TAILQ_INIT(&tcp.ooo.held);
    tcp_budget_init(&tcp);
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i].tcp = &tcp;
        conn[i].rcv_mss = 1460;
        conn[i].rcv_space = BUFFER;
        conn[i].state = TCP_ST_ESTABLISHED;
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
        CU_ASSERT_EQUAL(conn[i].promised, 19687); /* (36 MB - reserve) / 1.5 * 15/16 / 1000 */
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

/* Who wants little gets it, and what is left over is for the others. */
static void test_modest_ones_leave_room(void)
{
    begin();
    for (unsigned i = 10; i < 1000; i++)
        conn[i].rcv_space = 10000;
    turns(1000, 1);
    for (unsigned k = 0; k < 3; k++) {
        era();
        turns(1000, 2);
    }
    for (unsigned i = 10; i < 1000; i++)
        CU_ASSERT_EQUAL(conn[i].promised, 10000);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(conn[i].promised, 978750); /* (19687500 - 990 * 10000) / 10 */
    CU_ASSERT(promised(1000) * 3 / 2 <= MEMORY);
}

static void test_full_memory(void)
{
    begin();
    tcp.rx_mem = tcp.rx_soft;
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 0);
    CU_ASSERT_TRUE(tcp_budget_short(&tcp));
    tcp_budget_ask(&conn[0]); /* nothing begun: it waits */
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 0);
    CU_ASSERT_EQUAL(conn[0].grant, TCP_GRANT_WAITING);
    conn[0].rxq_bytes = LOW - 100; /* the rest of a record: from the reserve */
    tcp_budget_ask(&conn[0]);
    CU_ASSERT_EQUAL(conn[0].grant, TCP_GRANT_HELD);
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 100);
    conn[0].rcv_lowat = LOW - 50; /* the service knows more */
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 50);
    tcp.rx_mem = MEMORY;
    CU_ASSERT_FALSE(tcp_budget_admit(&conn[0])); /* really none left */
    tcp.rx_mem = MEMORY - 1;
    CU_ASSERT_TRUE(tcp_budget_admit(&conn[0]));
    conn[0].rxq_bytes = LOW;
    CU_ASSERT_FALSE(tcp_budget_admit(&conn[0])); /* it has what it needs */
    tcp.rx_mem = 0;
    conn[0].rxq_bytes = BUFFER + 5;
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 0);
    tcp_budget_release(&conn[0]);
}

static void test_reserve_fits_a_record(void)
{
    begin();
    CU_ASSERT_EQUAL(tcp.rx_soft, MEMORY / 8 * 7);
    tcp.cfg.rcv_mem_max = 8 * LOW; /* the least that is allowed */
    tcp_budget_init(&tcp);
    CU_ASSERT_EQUAL(tcp.rx_soft, 4 * LOW);
    CU_ASSERT_EQUAL(tcp_budget_window(&conn[0]), 4 * LOW / 3 * 2); /* more than LOW */
}

/* Memory is full up to the reserve and every connection has begun a record. */
static void all_begun(void)
{
    begin();
    tcp.rx_mem = tcp.rx_soft;
    for (unsigned i = 0; i < CONNS; i++) {
        conn[i].rxq_bytes = 3000;
        tcp_budget_ask(&conn[i]);
        tcp_budget_ask(&conn[i]); /* asking twice is asking once */
    }
}

#define REST (4 * (uint64_t)(LOW - 3000)) /* of buffers, at worst, for what a record lacks */

/* More ask than there is room for: each gets a grant in its turn, and all that are given fit. */
static void test_everybody_gets_its_turn(void)
{
    all_begun();
    CU_ASSERT_EQUAL(tcp.grants_mem, (MEMORY - tcp.rx_soft) / REST * REST);
    for (unsigned i = 0; i < CONNS; i++) {
        struct hg_tcp_conn *c = TAILQ_FIRST(&tcp.granted);
        CU_ASSERT_PTR_EQUAL_FATAL(c, &conn[i]); /* first come, first served */
        CU_ASSERT_TRUE(tcp_budget_admit(c));
        c->rxq_bytes = 0; /* it is done, and others fill the memory at once */
        tcp_budget_consumed(c);
        CU_ASSERT_EQUAL(c->grant, TCP_GRANT_NONE);
        tcp_budget_poll(&tcp);
        CU_ASSERT(tcp.rx_mem + tcp.grants_mem <= MEMORY);
    }
    CU_ASSERT_EQUAL(tcp.grants_mem, 0);
    CU_ASSERT_TRUE(TAILQ_EMPTY(&tcp.begun));
}

/* What is left unread stays in the reserve; a grant ends so only while another has room. */
static void test_rests_do_not_eat_the_reserve(void)
{
    unsigned ended = 0;

    all_begun();
    for (unsigned i = 0; i < CONNS && !TAILQ_EMPTY(&tcp.granted); i++) {
        struct hg_tcp_conn *c = TAILQ_FIRST(&tcp.granted);
        c->rxq_bytes = LOW;
        tcp.rx_mem += REST / 8;
        tcp_budget_consumed(c);
        if (c->grant == TCP_GRANT_HELD) { /* it goes on to the end */
            c->rxq_bytes = 0;
            tcp.rx_mem -= REST / 8;
            tcp_budget_consumed(c);
        } else {
            ended++;
        }
        tcp_budget_poll(&tcp);
        CU_ASSERT(tcp.rx_mem + 4 * LOW <= MEMORY + REST / 8);
    }
    CU_ASSERT(ended > 0 && ended < CONNS);
    CU_ASSERT_TRUE(TAILQ_EMPTY(&tcp.begun));
}

static void test_unused_grants_pass_on(void)
{
    all_begun();
    struct hg_tcp_conn *next = TAILQ_FIRST(&tcp.begun);
    CU_ASSERT_PTR_NOT_NULL_FATAL(next);
    conn[0].rxq_bytes = 5000;             /* this one is at it, the others say nothing */
    CU_ASSERT(tcp_budget_next(&tcp) > 0); /* it is looked at again in any case */
    tcp.now += HG_MS(150);
    tcp_budget_poll(&tcp);
    CU_ASSERT_EQUAL(next->grant, TCP_GRANT_BEGUN);
    tcp.now += HG_MS(50);
    tcp.rx_mem = MEMORY - tcp.grants_mem; /* no room for a rest */
    tcp_budget_poll(&tcp);
    CU_ASSERT_EQUAL(next->grant, TCP_GRANT_HELD);
    CU_ASSERT_EQUAL(conn[0].grant, TCP_GRANT_HELD);
    CU_ASSERT_EQUAL(conn[1].grant, TCP_GRANT_NONE);
    CU_ASSERT_TRUE(next->flags & TCP_F_ACK_NOW); /* and it is told */
}

static void test_memory_back_serves_who_waits(void)
{
    begin();
    tcp.rx_mem = tcp.rx_soft;
    for (unsigned i = 0; i < CONNS; i++)
        tcp_budget_ask(&conn[i]);
    tcp.rx_mem = 0;
    for (unsigned i = 0; i < CONNS; i++)
        tcp_budget_poll(&tcp);
    CU_ASSERT_TRUE(TAILQ_EMPTY(&tcp.waiting));
    CU_ASSERT_EQUAL(tcp_budget_next(&tcp), 0);
    for (unsigned i = 0; i < CONNS; i++)
        CU_ASSERT_TRUE(conn[i].grant == TCP_GRANT_HELD || conn[i].flags & TCP_F_ACK_NOW);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"alone it has all", test_alone_it_has_all},
        {"many share", test_many_share},
        {"never more than there is", test_never_more_than_there_is},
        {"idle ones do not count", test_idle_ones_do_not_count},
        {"modest ones leave room", test_modest_ones_leave_room},
        {"full memory", test_full_memory},
        {"the reserve fits a record", test_reserve_fits_a_record},
        {"everybody gets its turn", test_everybody_gets_its_turn},
        {"rests do not eat the reserve", test_rests_do_not_eat_the_reserve},
        {"unused grants pass on", test_unused_grants_pass_on},
        {"memory back serves who waits", test_memory_back_serves_who_waits},
    };
    return suite_run("tcp_budget", tests, sizeof tests / sizeof tests[0]);
}
