/* SPDX-License-Identifier: BSD-3-Clause */
/* The tap: what goes over a port is copied once, and what has no room is counted. */
#include "tap.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_mempool.h>
#include <string.h>

#define POOL 4095
#define DEPTH 64

static struct rte_mempool *pool;
static struct hg_port *end[2];
static struct tap *tap;

/* A wire whose first end is tapped. */
static void open_tap(const char *filter, uint32_t snaplen)
{
    struct hg_wire_cfg wire = {.name = "w", .n_queues = 2, .mtu = 1500, .depth = DEPTH};
    struct hg_err err = {""};

    pool = rte_pktmbuf_pool_create("data", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    CU_ASSERT_EQUAL_FATAL(hg_port_wire_pair(&wire, end, &err), 0);

    const struct tap_cfg cfg = {.port = end[0], .filter = filter, .snaplen = snaplen, .memory = 1};

    CU_ASSERT_EQUAL_FATAL(tap_create(&cfg, &tap, &err), 0);
    hg_port_watch(end[0], tap_watch(tap));
}

static void close_tap(void)
{
    hg_port_watch(end[0], NULL);
    tap_destroy(tap);
    hg_port_close(end[0]);
    hg_port_close(end[1]);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL);
    rte_mempool_free(pool);
}

/* An IPv4 packet of protocol `proto`; its length and first payload byte tell which. */
static struct rte_mbuf *packet(uint8_t proto, uint8_t mark, uint16_t len)
{
    static const uint8_t head[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45};
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    uint8_t *data;

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    data = (uint8_t *)rte_pktmbuf_append(m, len);
    memset(data, 0, len);
    memcpy(data, head, sizeof head);
    data[23] = proto;
    data[34] = mark;
    return m;
}

/* Sends n packets of `len` bytes from an end's queue; returns how many the wire took. */
static unsigned transmit(struct hg_port *from, uint16_t queue, unsigned n, uint16_t len)
{
    struct rte_mbuf *m[128];
    unsigned sent;

    for (unsigned i = 0; i < n; i++)
        m[i] = packet(17, (uint8_t)i, len);
    sent = hg_port_tx(from, queue, m, (uint16_t)n);
    for (unsigned i = sent; i < n; i++)
        rte_pktmbuf_free(m[i]);
    return sent;
}

static unsigned receive(struct hg_port *at, uint16_t queue)
{
    struct rte_mbuf *m[HG_PORT_BURST];
    unsigned n, total = 0;

    while ((n = hg_port_rx(at, queue, m, HG_PORT_BURST)) != 0) {
        rte_pktmbuf_free_bulk(m, n);
        total += n;
    }
    return total;
}

/* Takes the next packet of the tap. */
static bool take(struct tap_packet *p)
{
    if (!tap_peek(tap, p))
        return false;
    tap_drop(tap, p);
    return true;
}

static void totals(uint64_t seen, uint64_t accepted, uint64_t dropped)
{
    struct tap_totals t = tap_totals(tap);

    CU_ASSERT_EQUAL(t.seen, seen);
    CU_ASSERT_EQUAL(t.accepted, accepted);
    CU_ASSERT_EQUAL(t.dropped, dropped);
}

static void test_both_directions_and_queues(void)
{
    struct tap_packet p;

    open_tap("", 1522);
    CU_ASSERT_EQUAL(transmit(end[0], 0, 2, 100), 2);
    CU_ASSERT_EQUAL(transmit(end[1], 1, 1, 200), 1);
    CU_ASSERT_EQUAL(receive(end[0], 1), 1);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_TRUE_FATAL(take(&p));
        CU_ASSERT_TRUE(p.out && p.queue == 0 && p.captured == 100 && p.original == 100);
        CU_ASSERT_EQUAL(p.data[34], i);
    }
    CU_ASSERT_TRUE_FATAL(take(&p));
    CU_ASSERT_TRUE(!p.out && p.queue == 1 && p.captured == 200);
    CU_ASSERT_FALSE(take(&p));
    totals(3, 3, 0);
    close_tap();
}

static void test_what_the_port_refuses_is_not_there(void)
{
    struct tap_packet p;

    open_tap("", 1522);
    CU_ASSERT_EQUAL(transmit(end[0], 0, DEPTH - 4, 60), DEPTH - 4);
    CU_ASSERT_EQUAL(transmit(end[0], 0, 10, 70), 4); /* the wire is full */
    CU_ASSERT_EQUAL(transmit(end[0], 0, 5, 80), 0);
    for (unsigned i = 0; i < DEPTH; i++) {
        CU_ASSERT_TRUE_FATAL(take(&p));
        CU_ASSERT_EQUAL(p.original, i < DEPTH - 4 ? 60 : 70);
    }
    CU_ASSERT_FALSE(take(&p));
    totals(DEPTH, DEPTH, 0);
    close_tap();
}

static void test_no_room_is_counted(void)
{
    struct tap_packet p;
    unsigned kept = 0, sent = 0;

    open_tap("", 1522);
    while (tap_totals(tap).dropped == 0 && sent < 100000) {
        sent += transmit(end[0], 0, DEPTH, 60);
        receive(end[1], 0);
    }
    sent += transmit(end[0], 0, 7, 60);
    while (take(&p))
        kept++;
    CU_ASSERT_TRUE(kept > 0);
    totals(sent, sent, sent - kept);
    /* Room again, also across the end of the ring. */
    receive(end[1], 0);
    CU_ASSERT_EQUAL(transmit(end[0], 0, 3, 90), 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_TRUE(take(&p) && p.original == 90 && p.data[34] == i);
    close_tap();
}

static void test_snaplen_and_chains(void)
{
    struct rte_mbuf *m;
    struct tap_packet p;

    open_tap("", 64);
    m = packet(17, 1, 50);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m, packet(17, 2, 60)), 0);
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, &m, 1), 1);
    CU_ASSERT_TRUE_FATAL(take(&p));
    CU_ASSERT_TRUE(p.captured == 64 && p.original == 110);
    CU_ASSERT_EQUAL(p.data[34], 1);
    CU_ASSERT_EQUAL(p.data[50], 2); /* the second buffer's first byte, of its Ethernet address */
    close_tap();
}

static void test_filter(void)
{
    struct rte_mbuf *m[3];
    struct tap_packet p;

    /* A byte that lies in the second buffer, behind the snaplen. */
    open_tap("udp and ether[84] = 9", 64);
    m[0] = packet(17, 1, 50);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m[0], packet(17, 9, 60)), 0);
    m[1] = packet(17, 1, 50);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m[1], packet(17, 8, 60)), 0);
    m[2] = packet(6, 9, 60);
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, m, 3), 3);
    CU_ASSERT_TRUE(take(&p) && p.original == 110);
    CU_ASSERT_FALSE(take(&p));
    totals(3, 1, 0);
    close_tap();
}

static void test_bad_filter(void)
{
    struct tap_cfg cfg = {.filter = "tcp prot 1500", .snaplen = 64, .memory = 1};
    struct tap *none = NULL;
    struct hg_err err = {""};

    open_tap("", 64);
    cfg.port = end[0];
    CU_ASSERT_EQUAL(tap_create(&cfg, &none, &err), -EINVAL);
    CU_ASSERT_PTR_NULL(none);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "filter \"tcp prot 1500\""));
    close_tap();
}

static void test_nothing_without_a_watch(void)
{
    struct tap_packet p;

    open_tap("", 64);
    hg_port_watch(end[0], NULL);
    CU_ASSERT_EQUAL(transmit(end[0], 0, 2, 100), 2);
    CU_ASSERT_FALSE(take(&p));
    totals(0, 0, 0);
    close_tap();
}

int main(void)
{
    char *eal[] = {"test", "--no-huge",      "--no-shconf",       "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=error", NULL};
    CU_pSuite suite;

    if (rte_eal_init(8, eal) < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("tap", NULL, NULL);
    if (suite == NULL ||
        !CU_add_test(suite, "both directions and queues", test_both_directions_and_queues) ||
        !CU_add_test(suite, "what the port refuses", test_what_the_port_refuses_is_not_there) ||
        !CU_add_test(suite, "no room is counted", test_no_room_is_counted) ||
        !CU_add_test(suite, "snaplen and chains", test_snaplen_and_chains) ||
        !CU_add_test(suite, "filter", test_filter) ||
        !CU_add_test(suite, "bad filter", test_bad_filter) ||
        !CU_add_test(suite, "nothing without a watch", test_nothing_without_a_watch))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
