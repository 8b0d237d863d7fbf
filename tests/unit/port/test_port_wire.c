/* SPDX-License-Identifier: BSD-3-Clause */
/* The wire: what one end sends the other gets, nothing is shared, nothing is lost or leaked. */
#include <headgate/port.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <string.h>

#define POOL 255
#define DEPTH 16

static struct rte_mempool *pool, *small_pool, *clone_pool;

static void open_pools(void)
{
    pool = rte_pktmbuf_pool_create("data", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    small_pool = rte_pktmbuf_pool_create("small", POOL, 0, 0, RTE_PKTMBUF_HEADROOM + 64, 0);
    clone_pool = rte_pktmbuf_pool_create("clone", POOL, 0, 0, 0, 0);
    CU_ASSERT_FATAL(pool != NULL && small_pool != NULL && clone_pool != NULL);
}

static void close_pools(void)
{
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(small_pool), POOL);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(clone_pool), POOL);
    rte_mempool_free(clone_pool);
    rte_mempool_free(small_pool);
    rte_mempool_free(pool);
}

/* All wires have one name: a second wire of the same name must be another wire. */
static int make_wire(uint16_t queues, uint16_t mtu, unsigned depth, struct hg_port *end[2],
                     struct hg_err *err)
{
    struct hg_wire_cfg cfg = {.name = "w", .n_queues = queues, .mtu = mtu, .depth = depth};

    return hg_port_wire_pair(&cfg, end, err);
}

static void open_wire(struct hg_port *end[2])
{
    struct hg_err err;

    open_pools();
    CU_ASSERT_EQUAL_FATAL(make_wire(2, 1500, DEPTH, end, &err), 0);
}

static void close_wire(struct hg_port *end[2])
{
    hg_port_close(end[0]);
    hg_port_close(end[1]);
    close_pools();
}

static struct rte_mbuf *packet(struct rte_mempool *from, uint8_t fill, uint16_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(from);

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    memset(rte_pktmbuf_append(m, len), fill, len);
    return m;
}

static void test_create(void)
{
    struct hg_port *end[2], *twin[2];
    struct hg_err err = {""};

    open_wire(end);
    CU_ASSERT_EQUAL(end[0]->mtu, 1500);
    CU_ASSERT_EQUAL(end[0]->n_queues, 2);
    CU_ASSERT_TRUE(end[0]->tx_multi_seg);
    CU_ASSERT_FALSE(end[0]->rx_csum || end[0]->tx_ip_csum || end[0]->tx_tcp_csum);
    CU_ASSERT_STRING_NOT_EQUAL(end[0]->name, end[1]->name);
    CU_ASSERT_TRUE(rte_is_valid_assigned_ether_addr(&end[0]->mac));
    CU_ASSERT_FALSE(rte_is_same_ether_addr(&end[0]->mac, &end[1]->mac));
    CU_ASSERT_EQUAL_FATAL(make_wire(1, 1500, 1, twin, &err), 0);
    hg_port_close(twin[1]);
    hg_port_close(twin[0]);
    hg_port_close(NULL);
    CU_ASSERT_EQUAL(make_wire(0, 1500, 16, twin, &err), -EINVAL);
    CU_ASSERT_EQUAL(make_wire(1, 1500, 0, twin, &err), -EINVAL);
    CU_ASSERT_EQUAL(make_wire(1, 1500, 12, twin, &err), -EINVAL);
    CU_ASSERT_EQUAL(make_wire(1, 10, 16, twin, &err), -EINVAL);
    CU_ASSERT_TRUE(strlen(err.text) > 0);
    close_wire(end);
}

static void test_both_ways_and_queues_apart(void)
{
    struct hg_port *end[2];
    struct rte_mbuf *got[4];

    open_wire(end);
    for (unsigned side = 0; side < 2; side++) {
        for (uint16_t q = 0; q < 2; q++) {
            struct rte_mbuf *m = packet(pool, (uint8_t)(side * 2 + q), 60);

            CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[side], q, &m, 1), 1);
        }
    }
    for (unsigned side = 0; side < 2; side++) {
        for (uint16_t q = 0; q < 2; q++) {
            CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[side], q, got, 4), 1);
            CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(got[0], uint8_t *), (1 - side) * 2 + q);
            rte_pktmbuf_free(got[0]);
        }
    }
    close_wire(end);
}

static void test_full_and_in_order(void)
{
    struct hg_port *end[2];
    struct rte_mbuf *m[DEPTH + 4], *got[DEPTH + 4];

    open_wire(end);
    for (uint8_t i = 0; i < DEPTH + 4; i++)
        m[i] = packet(pool, i, 60);
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, m, DEPTH + 4), DEPTH);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[1], 0, got, 3), 3);
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, m + DEPTH, 4), 3);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[1], 0, got + 3, DEPTH), DEPTH);
    for (uint8_t i = 0; i < DEPTH + 3; i++) {
        CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(got[i], uint8_t *), i);
        rte_pktmbuf_free(got[i]);
    }
    rte_pktmbuf_free(m[DEPTH + 3]);
    close_wire(end);
}

/* What the sender can still reach is copied: neither side sees the other's writes. */
static void test_nothing_is_shared(void)
{
    struct hg_port *end[2];
    struct rte_mbuf *kept, *m, *got;
    uint8_t flat[1000];

    open_wire(end);
    kept = packet(pool, 0x77, 900);
    m = packet(small_pool, 0x11, 54);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m, rte_pktmbuf_clone(kept, clone_pool)), 0);
    m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, &m, 1), 1);
    CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(kept), 1);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(clone_pool), POOL);
    memset(rte_pktmbuf_mtod(kept, void *), 0x55, 900);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[1], 0, &got, 1), 1);
    CU_ASSERT_EQUAL(got->ol_flags, 0);
    CU_ASSERT_EQUAL(got->nb_segs, 1);
    CU_ASSERT_EQUAL_FATAL(got->pkt_len, 954);
    memcpy(flat, rte_pktmbuf_mtod(got, uint8_t *), 954);
    CU_ASSERT_TRUE(flat[0] == 0x11 && flat[53] == 0x11 && flat[54] == 0x77 && flat[953] == 0x77);
    memset(rte_pktmbuf_mtod(got, void *), 0x99, 954);
    CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(kept, uint8_t *), 0x55);
    rte_pktmbuf_free(got);
    rte_pktmbuf_free(kept);
    /* A second reference counts as well. */
    kept = packet(pool, 0x77, 100);
    rte_pktmbuf_refcnt_update(kept, 1);
    m = kept;
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[0], 0, &m, 1), 1);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[1], 0, &got, 1), 1);
    CU_ASSERT_PTR_NOT_EQUAL(got, kept);
    rte_pktmbuf_free(got);
    rte_pktmbuf_free(kept);
    close_wire(end);
}

static void test_given_away_moves_by_pointer(void)
{
    struct hg_port *end[2];
    struct rte_mbuf *m, *got;

    open_wire(end);
    m = packet(pool, 1, 100);
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(m, packet(pool, 2, 100)), 0);
    m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[1], 1, &m, 1), 1);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[0], 1, &got, 1), 1);
    CU_ASSERT_PTR_EQUAL(got, m);
    CU_ASSERT_EQUAL(got->ol_flags, 0);
    CU_ASSERT_EQUAL(got->nb_segs, 2);
    rte_pktmbuf_free(got);
    close_wire(end);
}

/* No buffer for a copy: the packet stays the sender's, and what came before it went. */
static void test_no_buffer_for_a_copy(void)
{
    struct hg_port *end[2];
    struct rte_mbuf *m[2], *clone, *all[POOL], *got[2];
    unsigned n = 0;

    open_wire(end);
    m[0] = packet(small_pool, 3, 60);
    m[1] = packet(pool, 7, 100);
    clone = rte_pktmbuf_clone(m[1], clone_pool);
    while ((all[n] = rte_pktmbuf_alloc(pool)) != NULL)
        n++;
    rte_pktmbuf_free(m[1]); /* the clone holds it now */
    m[1] = clone;
    CU_ASSERT_EQUAL(hg_port_tx(end[0], 0, m, 2), 1);
    while (n > 0)
        rte_pktmbuf_free(all[--n]);
    CU_ASSERT_EQUAL(hg_port_tx(end[0], 0, m + 1, 1), 1);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(end[1], 0, got, 2), 2);
    CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(got[1], uint8_t *), 7);
    rte_pktmbuf_free(got[0]);
    rte_pktmbuf_free(got[1]);
    close_wire(end);
}

/* Packets on the way when both ends close go back to their pools. */
static void test_close_with_packets_on_the_way(void)
{
    struct hg_port *end[2];

    open_wire(end);
    for (unsigned i = 0; i < 5; i++) {
        struct rte_mbuf *m = packet(pool, 0, 60);

        CU_ASSERT_EQUAL_FATAL(hg_port_tx(end[i % 2], 1, &m, 1), 1);
    }
    close_wire(end);
}

static void test_stats_are_for_ethdev(void)
{
    struct hg_port *end[2];
    struct hg_port_hw_stats stats;

    open_wire(end);
    CU_ASSERT_EQUAL(hg_port_ethdev_stats(end[0], &stats), -ENOTSUP);
    close_wire(end);
}

int main(void)
{
    char *eal[] = {"test", "--no-huge",      "--no-shconf",       "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=error", NULL};
    CU_pSuite suite;

    if (rte_eal_init(8, eal) < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("port_wire", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "create", test_create) ||
        !CU_add_test(suite, "both ways", test_both_ways_and_queues_apart) ||
        !CU_add_test(suite, "full, in order", test_full_and_in_order) ||
        !CU_add_test(suite, "nothing is shared", test_nothing_is_shared) ||
        !CU_add_test(suite, "given away moves", test_given_away_moves_by_pointer) ||
        !CU_add_test(suite, "no buffer for a copy", test_no_buffer_for_a_copy) ||
        !CU_add_test(suite, "packets on the way", test_close_with_packets_on_the_way) ||
        !CU_add_test(suite, "stats", test_stats_are_for_ethdev))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
