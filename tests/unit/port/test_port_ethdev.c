/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ethdev port on DPDK's own software devices: what is refused and in which words, packets and
 * statistics through a looped ring, and a start that fails at each of its steps. The calls that
 * opening makes are wrapped by the linker, so that one of them can be told to fail (RX queue set-up
 * is not among them: it fails on the same path as TX queue set-up).
 */
#include "af_packet.h"

#include <headgate/port.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_thash.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <string.h>

#define POOL 4095

enum step { NONE, INFO, CONFIGURE, TX_QUEUE, MAC, MTU, START };

static enum step fail_at; /* this call fails with -EIO */
static unsigned closes;   /* of devices */
static struct rte_mempool *pool, *tiny_pool;

/* The names are the linker's: --wrap=NAME sends calls of NAME to __wrap_NAME. */
__typeof__(rte_eth_dev_info_get) __real_rte_eth_dev_info_get, __wrap_rte_eth_dev_info_get;
__typeof__(rte_eth_dev_configure) __real_rte_eth_dev_configure, __wrap_rte_eth_dev_configure;
__typeof__(rte_eth_tx_queue_setup) __real_rte_eth_tx_queue_setup, __wrap_rte_eth_tx_queue_setup;
__typeof__(rte_eth_macaddr_get) __real_rte_eth_macaddr_get, __wrap_rte_eth_macaddr_get;
__typeof__(rte_eth_dev_get_mtu) __real_rte_eth_dev_get_mtu, __wrap_rte_eth_dev_get_mtu;
__typeof__(rte_eth_dev_start) __real_rte_eth_dev_start, __wrap_rte_eth_dev_start;

/* What the last configuration asked for; and whether a device pretends to cut and join segments. */
static struct rte_eth_conf asked;
static uint8_t asked_key[64];
static bool offer_large;

int __wrap_rte_eth_dev_info_get(uint16_t id, struct rte_eth_dev_info *info)
{
    int ret = fail_at == INFO ? -EIO : __real_rte_eth_dev_info_get(id, info);

    if (ret == 0 && offer_large) {
        info->hash_key_size = 40;
        info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER;
        info->max_lro_pkt_size = 32000;
        info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
    }
    return ret;
}

int __wrap_rte_eth_dev_configure(uint16_t id, uint16_t rx, uint16_t tx,
                                 const struct rte_eth_conf *conf)
{
    asked = *conf;
    if (conf->rx_adv_conf.rss_conf.rss_key != NULL)
        memcpy(asked_key, conf->rx_adv_conf.rss_conf.rss_key,
               conf->rx_adv_conf.rss_conf.rss_key_len);
    return fail_at == CONFIGURE ? -EIO : __real_rte_eth_dev_configure(id, rx, tx, conf);
}

int __wrap_rte_eth_tx_queue_setup(uint16_t id, uint16_t q, uint16_t n, unsigned socket,
                                  const struct rte_eth_txconf *conf)
{
    return fail_at == TX_QUEUE ? -EIO : __real_rte_eth_tx_queue_setup(id, q, n, socket, conf);
}

int __wrap_rte_eth_macaddr_get(uint16_t id, struct rte_ether_addr *mac)
{
    return fail_at == MAC ? -EIO : __real_rte_eth_macaddr_get(id, mac);
}

int __wrap_rte_eth_dev_get_mtu(uint16_t id, uint16_t *mtu)
{
    return fail_at == MTU ? -EIO : __real_rte_eth_dev_get_mtu(id, mtu);
}

int __wrap_rte_eth_dev_start(uint16_t id)
{
    return fail_at == START ? -EIO : __real_rte_eth_dev_start(id);
}

int __real_rte_eth_dev_close(uint16_t id);
int __wrap_rte_eth_dev_close(uint16_t id);
int __wrap_rte_eth_dev_close(uint16_t id)
{
    closes++;
    return __real_rte_eth_dev_close(id);
}

static struct hg_ethdev_cfg cfg_for(const char *device)
{
    return (struct hg_ethdev_cfg){.device = device, .n_queues = 1, .rx_pool = &pool};
}

/* Opening fails, with a sentence that names the device and contains `words`. */
static void refused(const struct hg_ethdev_cfg *cfg, int code, const char *words)
{
    struct hg_port *port = NULL;
    struct hg_err err = {""};

    CU_ASSERT_EQUAL(hg_port_ethdev_open(cfg, &port, &err), code);
    CU_ASSERT_PTR_NULL(port);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cfg->device));
    if (strstr(err.text, words) == NULL)
        printf("\"%s\" is not in \"%s\"\n", words, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_af_packet_takes_what_ring_and_interface_do(void)
{
    CU_ASSERT_EQUAL(af_packet_mtu_of(NULL, 9000), 2048 - 80); /* the driver's default */
    CU_ASSERT_EQUAL(af_packet_mtu_of("iface=eth1", 1500), 1500);
    CU_ASSERT_EQUAL(af_packet_mtu_of("iface=eth1,framesz=10240,blocksz=40960", 9000), 9000);
    CU_ASSERT_EQUAL(af_packet_mtu_of("framesz=4096", 9000), 4016);
    CU_ASSERT_EQUAL(af_packet_mtu_of("framesz=80", 9000), 0);
    CU_ASSERT_EQUAL(af_packet_mtu_of("framesz=", 9000), 0);
    CU_ASSERT_EQUAL(af_packet_mtu_of("framesz=99999999999", 9000), 0);
    CU_ASSERT_EQUAL(af_packet_mtu_of("framesz=10240", 0), 0); /* an interface that cannot say */
}

static void test_refusals(void)
{
    struct hg_ethdev_cfg cfg = cfg_for("net_nowhere7");

    refused(&cfg, -ENODEV, "net_ring0"); /* tells what there is */
    cfg = cfg_for("net_null0");
    cfg.n_queues = 0;
    refused(&cfg, -EINVAL, "0 queues");
    cfg.n_queues = 5000;
    refused(&cfg, -EINVAL, "5000 queues");
    cfg = cfg_for("net_null0");
    cfg.mtu = 10;
    refused(&cfg, -EINVAL, "MTU 10; it allows");
    cfg.mtu = 9000;
    refused(&cfg, -EINVAL, "packet buffers");
    cfg = cfg_for("net_null0");
    cfg.rx_pool = &tiny_pool;
    refused(&cfg, -EINVAL, "packet buffers of 64");
    CU_ASSERT_EQUAL(closes, 0); /* nothing was configured, so another try is possible */
}

static void test_no_rss_serves_one_queue(void)
{
    struct hg_ethdev_cfg cfg = cfg_for("net_ring0");
    struct rte_mempool *pools[2] = {pool, pool};

    cfg.n_queues = 2;
    cfg.rx_pool = pools;
    refused(&cfg, -ENOTSUP, "RSS");
}

/* What net_ring sends it receives: the packet goes through both bursts and is counted. */
static void test_packets_and_stats(void)
{
    struct hg_ethdev_cfg cfg = cfg_for("net_ring0");
    struct hg_port_hw_stats stats;
    struct hg_port *port = NULL;
    struct rte_mbuf *m, *got = NULL;
    struct hg_err err = {""};

    cfg.trust_csum = true;
    CU_ASSERT_EQUAL_FATAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    CU_ASSERT_STRING_EQUAL(port->name, "net_ring0");
    CU_ASSERT_EQUAL(port->mtu, 1500);
    CU_ASSERT_EQUAL(port->n_queues, 1);
    CU_ASSERT_TRUE(port->trust_csum);
    CU_ASSERT_TRUE(port->tx_multi_seg);
    CU_ASSERT_FALSE(port->rx_csum || port->tx_ip_csum || port->tx_tcp_csum);
    m = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(m, 60);
    CU_ASSERT_EQUAL_FATAL(hg_port_tx(port, 0, &m, 1), 1);
    CU_ASSERT_EQUAL_FATAL(hg_port_rx(port, 0, &got, 1), 1);
    CU_ASSERT_PTR_EQUAL(got, m);
    CU_ASSERT_EQUAL(hg_port_rx(port, 0, &got, 1), 0);
    rte_pktmbuf_free(m);
    CU_ASSERT_EQUAL(hg_port_ethdev_stats(port, &stats), 0);
    CU_ASSERT_EQUAL(stats.rx_packets, 1);
    CU_ASSERT_EQUAL(stats.tx_packets, 1);
    CU_ASSERT_TRUE(stats.link_up);
    hg_port_close(port);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL);
}

/* Both directions of a connection have one hash, by DPDK's own Toeplitz. */
static void check_symmetry(void)
{
    CU_ASSERT_EQUAL(asked.rx_adv_conf.rss_conf.rss_key_len, 40);
    for (uint32_t i = 1; i < 100; i++) {
        uint32_t a = i * 2654435761u, b = i * 40503u, p = i * 77 & 0xffff, q = i * 991 & 0xffff;
        uint32_t there[3] = {a, b, p << 16 | q}, back[3] = {b, a, q << 16 | p};
        uint32_t other[3] = {a + 1, b, p << 16 | q};
        CU_ASSERT_EQUAL(rte_softrss(there, 3, asked_key), rte_softrss(back, 3, asked_key));
        CU_ASSERT_NOT_EQUAL(rte_softrss(there, 3, asked_key), rte_softrss(other, 3, asked_key));
    }
}

static void test_what_a_better_device_is_asked_for(void)
{
    struct rte_mempool *pools[2] = {pool, pool};
    struct hg_ethdev_cfg cfg = cfg_for("net_null0");
    struct hg_port *port = NULL;
    struct hg_err err = {""};

    offer_large = true;
    fail_at = CONFIGURE; /* the device could not do it; what it is asked is seen */
    CU_ASSERT_NOT_EQUAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    CU_ASSERT_EQUAL(asked.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0); /* not wanted */
    CU_ASSERT_NOT_EQUAL(asked.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO, 0);
    cfg.lro = true;
    CU_ASSERT_NOT_EQUAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    CU_ASSERT_NOT_EQUAL(asked.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0);
    CU_ASSERT_EQUAL(asked.rxmode.max_lro_pkt_size, 32000);
    offer_large = false;
    CU_ASSERT_NOT_EQUAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    CU_ASSERT_EQUAL(asked.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO, 0); /* not offered */
    offer_large = true;
    cfg.n_queues = 2;
    cfg.rx_pool = pools;
    CU_ASSERT_NOT_EQUAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    check_symmetry();
    offer_large = false;
    fail_at = NONE;
    CU_ASSERT_EQUAL(hg_port_ethdev_queues("net_null0") > 1, 1);
    CU_ASSERT_EQUAL(hg_port_ethdev_queues("net_ring0"), 1);
    CU_ASSERT_EQUAL(hg_port_ethdev_queues("net_nowhere7"), 0);
}

static void test_two_queues_with_rss(void)
{
    struct hg_ethdev_cfg cfg = cfg_for("net_null0");
    struct rte_mempool *pools[2] = {pool, pool};
    struct hg_port *port = NULL;
    struct rte_mbuf *got[4];
    struct hg_err err = {""};

    cfg.n_queues = 2;
    cfg.rx_pool = pools;
    CU_ASSERT_EQUAL_FATAL(hg_port_ethdev_open(&cfg, &port, &err), 0);
    CU_ASSERT_EQUAL(port->n_queues, 2);
    CU_ASSERT_EQUAL(asked.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
    for (uint16_t q = 0; q < 2; q++) {
        CU_ASSERT_EQUAL_FATAL(hg_port_rx(port, q, got, 4), 4);
        rte_pktmbuf_free_bulk(got, 4);
    }
    hg_port_close(port);
}

/* Whatever step fails, the sentence says which, and a device once configured is closed again. */
static void test_start_fails_at_each_step(void)
{
    static const struct {
        enum step step;
        const char *words;
        unsigned closes;
    } row[] = {{INFO, "abilities", 0},
               {CONFIGURE, "configure", 0},
               {TX_QUEUE, "TX queue 0", 1},
               {MAC, "MAC", 1},
               {MTU, "MTU", 1},
               {START, "start", 1}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        char device[16];
        struct hg_ethdev_cfg cfg;

        snprintf(device, sizeof device, "net_null%u", i + 1);
        cfg = cfg_for(device);
        fail_at = row[i].step;
        closes = 0;
        refused(&cfg, -EIO, row[i].words);
        fail_at = NONE;
        CU_ASSERT_EQUAL(closes, row[i].closes);
        CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), POOL);
    }
}

int main(void)
{
    char *eal[] = {"test",
                   "--no-huge",
                   "--no-shconf",
                   "--no-pci",
                   "-m",
                   "128",
                   "--no-telemetry",
                   "--log-level=critical",
                   "--vdev=net_ring0",
                   "--vdev=net_null0",
                   "--vdev=net_null1",
                   "--vdev=net_null2",
                   "--vdev=net_null3",
                   "--vdev=net_null4",
                   "--vdev=net_null5",
                   "--vdev=net_null6",
                   "--vdev=net_null7",
                   NULL};
    CU_pSuite suite;

    if (rte_eal_init(17, eal) < 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    pool = rte_pktmbuf_pool_create("pool", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    tiny_pool = rte_pktmbuf_pool_create("tiny", 15, 0, 0, RTE_PKTMBUF_HEADROOM + 64, 0);
    suite = CU_add_suite("port_ethdev", NULL, NULL);
    if (pool == NULL || tiny_pool == NULL || suite == NULL ||
        !CU_add_test(suite, "af_packet takes what ring and interface do",
                     test_af_packet_takes_what_ring_and_interface_do) ||
        !CU_add_test(suite, "refusals", test_refusals) ||
        !CU_add_test(suite, "what a better device is asked for",
                     test_what_a_better_device_is_asked_for) ||
        !CU_add_test(suite, "no RSS, one queue", test_no_rss_serves_one_queue) ||
        !CU_add_test(suite, "packets and statistics", test_packets_and_stats) ||
        !CU_add_test(suite, "two queues", test_two_queues_with_rss) ||
        !CU_add_test(suite, "start fails at each step", test_start_fails_at_each_step))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
