/* SPDX-License-Identifier: BSD-3-Clause */
/* One queue spread over several: a connection stays on its queue, nothing is lost without a count. */
#include <headgate/port.h>
#include <CUnit/Basic.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <rte_tcp.h>
#include <stdlib.h>
#include <string.h>

#define POOL 8191
#define QUEUES 4

static struct rte_mempool *pool;
static struct hg_port *end[2], *port;

static void open_port(unsigned depth)
{
    struct hg_wire_cfg cfg = {.name = "w", .n_queues = 1, .mtu = 1500, .depth = depth};
    struct hg_err err;

    pool = rte_pktmbuf_pool_create("pool", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    CU_ASSERT_EQUAL_FATAL(hg_port_wire_pair(&cfg, end, &err), 0);
    CU_ASSERT_EQUAL_FATAL(hg_port_spread_open(end[0], QUEUES, &port, &err), 0);
    CU_ASSERT_EQUAL(port->n_queues, QUEUES);
    CU_ASSERT_EQUAL(port->mtu, 1500);
}

static void close_port(void)
{
    hg_port_close(port);
    hg_port_close(end[1]);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), 0);
    rte_mempool_free(pool);
}

static uint64_t counter(const char *name)
{
    struct hg_counter_set set = hg_port_counter_set(port);

    for (unsigned i = 0; i < set.n; i++)
        if (strcmp(set.desc[i].name, name) == 0)
            return set.value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}

/* A TCP packet; v6, tag and fragment as asked. */
struct shape {
    uint32_t src, dst;
    uint16_t sport, dport;
    bool v6, vlan, fragment;
};

static struct rte_mbuf *packet(const struct shape *s)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 100);
    uint32_t at = 12;

    memset(p, 0, 100);
    if (s->vlan) {
        p[12] = 0x81;
        at = 16;
    }
    p[at] = s->v6 ? 0x86 : 0x08;
    p[at + 1] = s->v6 ? 0xdd : 0x00;
    p += at + 2;
    if (s->v6) {
        p[0] = 0x60;
        p[6] = IPPROTO_TCP;
        memcpy(p + 20, &s->src, 4);
        memcpy(p + 36, &s->dst, 4);
        p += 40;
    } else {
        p[0] = 0x45;
        p[9] = IPPROTO_TCP;
        p[6] = s->fragment ? 0x20 : 0;
        memcpy(p + 12, &s->src, 4);
        memcpy(p + 16, &s->dst, 4);
        p += 20;
    }
    memcpy(p, &s->sport, 2);
    memcpy(p + 2, &s->dport, 2);
    return m;
}

/* The queue on which the packet comes out. */
static int queue_of(const struct shape *s)
{
    struct rte_mbuf *m = packet(s), *got;
    int found = -1;

    CU_ASSERT_EQUAL(hg_port_tx(end[1], 0, &m, 1), 1);
    for (uint16_t q = 0; q < QUEUES; q++) {
        if (hg_port_rx(port, q, &got, 1) == 1) {
            CU_ASSERT_EQUAL(found, -1);
            found = q;
            rte_pktmbuf_free(got);
        }
    }
    CU_ASSERT(found >= 0);
    return found;
}

static void test_a_connection_stays_on_its_queue(void)
{
    unsigned seen[QUEUES] = {0};

    open_port(64);
    for (unsigned i = 0; i < 2000; i++) {
        struct shape s = {.src = (uint32_t)rand(),
                          .dst = (uint32_t)rand(),
                          .sport = (uint16_t)rand(),
                          .dport = (uint16_t)rand(),
                          .v6 = i % 2};
        int q = queue_of(&s);
        seen[q]++;
        s.vlan = true;
        CU_ASSERT_EQUAL(queue_of(&s), q);
        struct shape back = {s.dst, s.src, s.dport, s.sport, s.v6, false, false};
        CU_ASSERT_EQUAL(queue_of(&back), q);
    }
    for (unsigned q = 0; q < QUEUES; q++)
        CU_ASSERT(seen[q] > 400 && seen[q] < 600); /* a fair share */
    close_port();
}

static void test_what_has_no_ports_goes_to_queue_0(void)
{
    open_port(64);
    for (unsigned i = 0; i < 100; i++) {
        struct shape s = {.src = i * 77, .dst = 5, .sport = 9, .dport = 8, .fragment = true};
        CU_ASSERT_EQUAL(queue_of(&s), 0);
    }
    for (uint16_t len = 0; len < 60; len++) { /* and what is cut short, without reading beyond it */
        struct shape s = {.src = 1, .dst = 2, .v6 = len % 2};
        struct rte_mbuf *m = packet(&s), *got;
        rte_pktmbuf_trim(m, (uint16_t)(100 - len));
        CU_ASSERT_EQUAL(hg_port_tx(end[1], 0, &m, 1), 1);
        unsigned n = 0;
        for (uint16_t q = 0; q < QUEUES; q++) {
            if (hg_port_rx(port, q, &got, 1) == 1) {
                CU_ASSERT(len >= 38 || q == 0);
                rte_pktmbuf_free(got);
                n++;
            }
        }
        CU_ASSERT_EQUAL(n, 1);
    }
    close_port();
}

static void test_every_queue_can_send(void)
{
    struct shape s = {.src = 1, .dst = 2};
    struct rte_mbuf *got[8], *m;

    open_port(64);
    for (uint16_t q = 0; q < QUEUES; q++) {
        m = packet(&s);
        CU_ASSERT_EQUAL(hg_port_tx(port, q, &m, 1), 1);
    }
    CU_ASSERT_EQUAL(hg_port_rx(end[1], 0, got, 8), 1); /* queue 0 sent; the others wait for it */
    rte_pktmbuf_free(got[0]);
    CU_ASSERT_EQUAL(hg_port_rx(port, 0, &m, 1), 0);
    uint16_t n = hg_port_rx(end[1], 0, got, 8);
    CU_ASSERT_EQUAL(n, QUEUES - 1);
    for (uint16_t i = 0; i < n; i++)
        rte_pktmbuf_free(got[i]);
    close_port();
}

/* The device is asked by the thread of queue 0 alone; the others get what that saw. */
static void test_the_link_is_the_devices(void)
{
    open_port(64);
    CU_ASSERT_TRUE(hg_port_link_up(port, 0));
    CU_ASSERT_TRUE(hg_port_link_up(port, 1));
    close_port();
}

static void test_a_full_device_holds_what_waits(void)
{
    struct shape s = {.src = 1, .dst = 2};
    struct rte_mbuf *m, *got;
    unsigned sent = 0, arrived = 0;

    open_port(16);
    for (unsigned i = 0; i < 200; i++) {
        m = packet(&s);
        if (hg_port_tx(port, 1, &m, 1) == 1)
            sent++;
        else
            rte_pktmbuf_free(m);
    }
    CU_ASSERT_EQUAL(sent, 200);
    for (unsigned turn = 0; turn < 400; turn++) {
        hg_port_rx(port, 0, &got, 1);
        if (turn % 2 && hg_port_rx(end[1], 0, &got, 1) == 1) {
            arrived++;
            rte_pktmbuf_free(got);
        }
    }
    while (hg_port_rx(port, 0, &got, 1) == 0 && hg_port_rx(end[1], 0, &got, 1) == 1) {
        arrived++;
        rte_pktmbuf_free(got);
    }
    CU_ASSERT_EQUAL(arrived, 200);
    close_port();
}

static void test_a_shard_that_sleeps_loses_only_its_own(void)
{
    struct rte_mbuf *m, *got;
    unsigned own = 0, other = 0;

    open_port(64);
    for (unsigned i = 0; i < 20000; i++) {
        struct shape s = {.src = i * 2654435761u, .dst = 2, .sport = (uint16_t)i};
        m = packet(&s);
        hg_port_tx(end[1], 0, &m, 1);
        if (hg_port_rx(port, 0, &got, 1) == 1) {
            own++;
            rte_pktmbuf_free(got);
        }
        if (hg_port_rx(port, 1, &got, 1) == 1) {
            other++;
            rte_pktmbuf_free(got);
        }
    }
    CU_ASSERT(own > 4500 && other > 4500);
    CU_ASSERT(counter("rx_drop") > 5000); /* queues 2 and 3 hold 2047 each, the rest is counted */
    CU_ASSERT_EQUAL(counter("rx_drop") + counter("passed") + own, 20000);
    close_port();
}

int main(void)
{
    char *eal[] = {"test_port_spread", "--no-huge",     "--no-shconf", "--no-pci", "-m", "128",
                   "--no-telemetry",   "--log-level=4", NULL};
    CU_pSuite suite;
    unsigned failed;

    if (rte_eal_init((int)HG_ARRAY_LEN(eal) - 1, eal) < 0 ||
        CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("port_spread", NULL, NULL);
    CU_ADD_TEST(suite, test_a_connection_stays_on_its_queue);
    CU_ADD_TEST(suite, test_what_has_no_ports_goes_to_queue_0);
    CU_ADD_TEST(suite, test_every_queue_can_send);
    CU_ADD_TEST(suite, test_the_link_is_the_devices);
    CU_ADD_TEST(suite, test_a_full_device_holds_what_waits);
    CU_ADD_TEST(suite, test_a_shard_that_sleeps_loses_only_its_own);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
