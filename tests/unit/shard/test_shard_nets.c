/* SPDX-License-Identifier: BSD-3-Clause */
/* The ports of a shard: what leaves where, and how large. */
#include "shard_priv.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW HG_SEC(1)
#define PORTS 2

static struct hg_shard sh;
static struct hg_port *far_end[PORTS];
static struct rte_mempool *pool;
static const uint16_t mtu_of[PORTS] = {1500, 1400};
static const uint32_t net_of_port[PORTS] = {0xc0000200, 0xc6336400}; /* 192.0.2.0, 198.51.100.0 */

static struct hg_flow flow_of(uint32_t local, uint32_t remote)
{
    return (struct hg_flow){hg_ip_from_v4(local), hg_ip_from_v4(remote), 1500, 40000};
}

static void begin(void)
{
    static const struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 9}};
    struct hg_err err = {""};

    memset(&sh, 0, sizeof sh);
    sh.now = NOW;
    sh.cfg.n_ports = PORTS;
    for (unsigned i = 0; i < PORTS; i++) {
        struct hg_wire_cfg wire = {"nets", 1, mtu_of[i], 64};
        struct hg_port *ends[2];

        CU_ASSERT_EQUAL_FATAL(hg_port_wire_pair(&wire, ends, &err), 0);
        sh.cfg.ports[i] = (struct hg_shard_port){ends[0], pool, {.n_addrs = 1, .no_dad = true}};
        sh.cfg.ports[i].net.addrs[0] =
            (struct hg_net_prefix){hg_ip_from_v4(net_of_port[i] + 1), 24};
        sh.cfg.ports[i].net.gateway4 = hg_ip_from_v4(net_of_port[i] + 2);
        far_end[i] = ends[1];
    }
    CU_ASSERT_EQUAL_FATAL(nets_create(&sh, NOW, &err), 0);
    for (unsigned i = 0; i < PORTS; i++) {
        struct hg_ip peer = hg_ip_from_v4(net_of_port[i] + 2);

        hg_net_learn(sh.nets[i], &peer, &mac, NOW);
    }
}

static void end(void)
{
    nets_destroy(&sh);
    for (unsigned i = 0; i < PORTS; i++) {
        hg_port_close(sh.cfg.ports[i].port);
        hg_port_close(far_end[i]);
    }
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), 0);
}

static void emit(const struct hg_flow *flow)
{
    struct hg_tx tx = {.flow = flow};
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    struct rte_tcp_hdr *tcp;

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    tcp = (struct rte_tcp_hdr *)rte_pktmbuf_append(m, sizeof *tcp);
    *tcp = (struct rte_tcp_hdr){.data_off = 0x50};
    nets_emit(&sh, m, &tx, NOW);
    nets_flush(&sh);
}

/* TCP segments that left over the port from this address; other packets are passed over. */
static unsigned left(unsigned port, uint32_t from)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    uint16_t n = hg_port_rx(far_end[port], 0, pkts, HG_PORT_BURST);
    unsigned found = 0;

    for (uint16_t i = 0; i < n; i++) {
        const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(
            pkts[i], const struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));

        found += pkts[i]->pkt_len >= 54 && ip->version_ihl == 0x45 &&
                 ip->next_proto_id == IPPROTO_TCP && ip->src_addr == rte_cpu_to_be_32(from);
    }
    rte_pktmbuf_free_bulk(pkts, n);
    return found;
}

/* The remote is not on either network: the local address alone decides. */
static void test_emit(void)
{
    begin();
    for (unsigned i = 0; i < PORTS; i++) {
        uint32_t own = net_of_port[i] + 1;
        struct hg_flow flow = flow_of(own, 0xcb007107);

        emit(&flow);
        CU_ASSERT_EQUAL(left(i, own), 1);
        CU_ASSERT_EQUAL(left(1 - i, own), 0);
    }
    end();
}

static void test_mtu(void)
{
    struct hg_flow flow;

    begin();
    for (unsigned i = 0; i < PORTS; i++) {
        flow = flow_of(net_of_port[i] + 1, 0xcb007107);
        CU_ASSERT_EQUAL(nets_mtu(&sh, &flow), mtu_of[i]);
    }
    flow = flow_of(0xcb007101, 0xcb007107);
    CU_ASSERT_EQUAL(nets_mtu(&sh, &flow), 1400);
    end();
}

static void test_no_port(void)
{
    struct hg_flow flow = flow_of(0xcb007101, 0xcb007107);

    begin();
    emit(&flow);
    CU_ASSERT_EQUAL(sh.count.tx_no_port, 1);
    CU_ASSERT_EQUAL(left(0, 0xcb007101) + left(1, 0xcb007101), 0);
    end();
}

static void test_tso(void)
{
    struct hg_tcp_cfg tcp = {0};

    begin();
    nets_tso(&sh, &tcp);
    CU_ASSERT_EQUAL(tcp.tso_max, 0);
    sh.cfg.ports[0].port->tx_tso = 64000;
    sh.cfg.ports[0].port->tx_tso_bufs = 40;
    nets_tso(&sh, &tcp);
    CU_ASSERT_EQUAL(tcp.tso_max, 0); /* the other port does not cut */
    sh.cfg.ports[1].port->tx_tso = 32000;
    sh.cfg.ports[1].port->tx_tso_bufs = 60;
    nets_tso(&sh, &tcp);
    CU_ASSERT_EQUAL(tcp.tso_max, 32000 - 60);
    CU_ASSERT_EQUAL(tcp.tso_bufs, 40);
    end();
}

static void test_counters(void)
{
    struct hg_counter_set sets[HG_SHARD_PORTS_MAX];
    struct hg_flow flow = flow_of(net_of_port[1] + 1, net_of_port[1] + 2);
    uint64_t before[PORTS];

    begin();
    CU_ASSERT_EQUAL(nets_counter_sets(&sh, sets, 1), 1);
    CU_ASSERT_EQUAL_FATAL(nets_counter_sets(&sh, sets, HG_SHARD_PORTS_MAX), PORTS);
    CU_ASSERT_STRING_EQUAL(sets[0].area, "net");
    CU_ASSERT_STRING_EQUAL(sets[1].area, "net1");
    CU_ASSERT_STRING_EQUAL(sets[0].desc[1].name, "tx_packets");
    for (unsigned i = 0; i < PORTS; i++)
        before[i] = sets[i].value[1];
    emit(&flow);
    CU_ASSERT_EQUAL(sets[0].value[1], before[0]);
    CU_ASSERT_EQUAL(sets[1].value[1], before[1] + 1);
    CU_ASSERT_EQUAL(left(1, net_of_port[1] + 1), 1);
    end();
}

int main(void)
{
    char *argv[] = {"test", "--no-huge",      "--no-shconf", "--no-pci", "-m",
                    "64",   "--no-telemetry", "--log-level", "error",    NULL};
    unsigned failed;
    CU_pSuite suite;

    if (rte_eal_init(9, argv) < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    pool = rte_pktmbuf_pool_create("nets", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    suite = CU_add_suite("shard_nets", NULL, NULL);
    CU_add_test(suite, "a segment leaves through the port that has its address", test_emit);
    CU_add_test(suite, "the MTU is that of the port with the local address", test_mtu);
    CU_add_test(suite, "a segment from an address that no port has is dropped and counted",
                test_no_port);
    CU_add_test(suite, "large segments are what every port can cut", test_tso);
    CU_add_test(suite, "each port counts under a name of its own", test_counters);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
