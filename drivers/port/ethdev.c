/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any DPDK Ethernet device as a port.
 *
 * Opening follows the order the ethdev API prescribes: look up, check what is wanted against what
 * the device says it can do, configure, set up queues, start. Offloads are used where offered.
 * RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE is never asked for: it requires that all packets of a queue
 * come from one pool with one reference, and ours come from several and point into sent data.
 */
#include "af_packet.h"

#include <headgate/log.h>
#include <headgate/port.h>
#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RX_CSUM (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
#define TX_WANTED                                                                                  \
    (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |                                \
     RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_TCP_TSO)
#define TSO_NEEDS TX_WANTED
#define LRO_NEEDS (RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER)
#define TSO_MAX 64000u /* an IP packet has at most 65535 bytes */
#define TSO_BUFS 8u
#define TSO_BUFS_MOST 40u /* a segment of 64 KB in buffers of 2 KiB */
/* One connection must stay on one queue in both IP versions; other traffic may go anywhere. */
#define RSS_WANTED (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP)
#define RSS_KEY_MAX 64
#define RSS_KEY_8 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a

/* net_tap offers TX checksums but adds up the pieces of a chain as if each began at an even offset
 * (seen with 22.11: a segment after an odd-sized piece leaves with a wrong checksum), and does it
 * in software anyway. */
static uint64_t tx_wanted(const struct rte_eth_dev_info *info)
{
    if (strcmp(info->driver_name, "net_tap") == 0)
        return TX_WANTED & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    return TX_WANTED;
}

struct ethdev {
    struct hg_port port;
    uint16_t id;      /* of the DPDK port */
    atomic_bool link; /* as queue 0 saw it last */
};

static struct ethdev *dev_of(struct hg_port *port)
{
    return HG_CONTAINER_OF(port, struct ethdev, port);
}

static uint16_t ethdev_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts,
                          uint16_t max)
{
    return rte_eth_rx_burst(dev_of(port)->id, queue, pkts, max);
}

static uint16_t ethdev_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    return rte_eth_tx_burst(dev_of(port)->id, queue, pkts, n);
}

static bool ethdev_link_up(struct hg_port *port, uint16_t queue)
{
    struct ethdev *dev = dev_of(port);
    struct rte_eth_link link;

    if (queue == 0 && rte_eth_link_get_nowait(dev->id, &link) == 0)
        atomic_store(&dev->link, link.link_status == RTE_ETH_LINK_UP);
    return atomic_load(&dev->link);
}

static void ethdev_close(struct hg_port *port)
{
    struct ethdev *dev = dev_of(port);
    int ret = rte_eth_dev_stop(dev->id);

    if (ret != 0)
        hg_log(HG_LOG_WARN, "port", "device %s: stop: %s", port->name, rte_strerror(-ret));
    ret = rte_eth_dev_close(dev->id);
    if (ret != 0)
        hg_log(HG_LOG_WARN, "port", "device %s: close: %s", port->name, rte_strerror(-ret));
    free(dev);
}

static const struct hg_port_ops ethdev_ops = {
    .rx = ethdev_rx,
    .tx = ethdev_tx,
    .link_up = ethdev_link_up,
    .close = ethdev_close,
};

/* Names the devices that are there, since a wrong name is the likeliest mistake. */
static int fail_no_device(const char *device, struct hg_err *err)
{
    char names[256] = "";
    size_t used = 0;
    uint16_t id;

    RTE_ETH_FOREACH_DEV(id)
    {
        char name[RTE_ETH_NAME_MAX_LEN];

        if (rte_eth_dev_get_name_by_port(id, name) == 0 && used + strlen(name) + 2 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, " %s", name);
    }
    return hg_fail(err, -ENODEV,
                   "device %s: EAL has no such port; give it with --vdev or -a, or use one of:%s",
                   device, used != 0 ? names : " (none)");
}

/* The smallest packet buffer among the queues' pools, without headroom. */
static uint32_t rx_room(const struct hg_ethdev_cfg *cfg)
{
    uint32_t room = UINT32_MAX;

    for (uint16_t q = 0; q < cfg->n_queues; q++) {
        uint32_t r = rte_pktmbuf_data_room_size(cfg->rx_pool[q]);

        r = r > RTE_PKTMBUF_HEADROOM ? r - RTE_PKTMBUF_HEADROOM : 0;
        room = RTE_MIN(room, r);
    }
    return room;
}

static int check_desc(const char *device, const char *what, uint16_t n,
                      const struct rte_eth_desc_lim *lim, struct hg_err *err)
{
    uint16_t align = lim->nb_align != 0 ? lim->nb_align : 1;

    if (n == 0 || (n >= lim->nb_min && n <= lim->nb_max && n % align == 0))
        return 0;
    return hg_fail(err, -EINVAL, "device %s: %u %s descriptors; it allows %u to %u in steps of %u",
                   device, n, what, lim->nb_min, lim->nb_max, align);
}

/* The MTU by both limits that drivers state; some state only one of them. Without a number of its
 * own the Ethernet header and CRC are what a frame has beside the packet. */
static uint32_t stated_mtu(const struct rte_eth_dev_info *info)
{
    uint32_t extra = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    uint32_t max = info->max_mtu;

    if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
        extra = info->max_rx_pktlen - info->max_mtu;
    if (info->max_rx_pktlen > extra)
        max = RTE_MIN(max, info->max_rx_pktlen - extra);
    return max;
}

static int check_mtu(const struct hg_ethdev_cfg *cfg, const struct rte_eth_dev_info *info,
                     struct hg_err *err)
{
    uint32_t stated = stated_mtu(info), frames = af_packet_mtu(info);
    uint32_t max = RTE_MAX(stated, frames);

    if (cfg->mtu == 0 || (cfg->mtu >= info->min_mtu && cfg->mtu <= max))
        return 0;
    return hg_fail(err, -EINVAL, "device %s: MTU %u; it allows %u to %u%s", cfg->device, cfg->mtu,
                   info->min_mtu, max,
                   frames != 0 ? ": give its interface that MTU, and framesz 80 bytes more" : "");
}

static int check_cfg(const struct hg_ethdev_cfg *cfg, const struct rte_eth_dev_info *info,
                     struct hg_err *err)
{
    uint16_t queues = RTE_MIN(info->max_rx_queues, info->max_tx_queues);
    int ret;

    if (cfg->n_queues == 0 || cfg->n_queues > queues)
        return hg_fail(err, -EINVAL, "device %s: %u queues wanted; it allows 1 to %u", cfg->device,
                       cfg->n_queues, queues);
    if (cfg->n_queues > 1 && (info->flow_type_rss_offloads & RSS_WANTED) == 0)
        return hg_fail(err, -ENOTSUP,
                       "device %s: %u queues wanted but it cannot spread connections (no RSS); "
                       "use one queue",
                       cfg->device, cfg->n_queues);
    ret = check_mtu(cfg, info, err);
    if (ret == 0)
        ret = check_desc(cfg->device, "RX", cfg->rx_desc, &info->rx_desc_lim, err);
    if (ret == 0)
        ret = check_desc(cfg->device, "TX", cfg->tx_desc, &info->tx_desc_lim, err);
    return ret;
}

/* With this key Toeplitz does not tell source from destination: both directions of a connection have
 * one hash (Woo and Park 2012). Devices with keys of other lengths keep their own. */
static void set_rss_key(const struct rte_eth_dev_info *info, struct rte_eth_rss_conf *rss)
{
    static const uint8_t key[RSS_KEY_MAX] = {RSS_KEY_8, RSS_KEY_8, RSS_KEY_8, RSS_KEY_8,
                                             RSS_KEY_8, RSS_KEY_8, RSS_KEY_8, RSS_KEY_8};

    if (info->hash_key_size == 0 || info->hash_key_size > sizeof key)
        return;
    rss->rss_key = (uint8_t *)(uintptr_t)key; /* only read */
    rss->rss_key_len = info->hash_key_size;
}

/* What to ask of the device: offloads it has of those we use, RSS, MTU. */
static int make_conf(const struct hg_ethdev_cfg *cfg, const struct rte_eth_dev_info *info,
                     struct rte_eth_conf *conf, struct hg_err *err)
{
    uint32_t mtu = cfg->mtu != 0 ? cfg->mtu : RTE_MIN(info->max_mtu, RTE_ETHER_MTU);
    uint32_t frame = mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    uint32_t room = rx_room(cfg);

    memset(conf, 0, sizeof *conf);
    conf->rxmode.mtu = RTE_MIN(mtu, stated_mtu(info));
    conf->rxmode.offloads = info->rx_offload_capa & RX_CSUM;
    conf->txmode.offloads = info->tx_offload_capa & tx_wanted(info);
    if (cfg->lro && (info->rx_offload_capa & LRO_NEEDS) == LRO_NEEDS) {
        conf->rxmode.offloads |= LRO_NEEDS;
        conf->rxmode.max_lro_pkt_size = info->max_lro_pkt_size;
    }
    if (frame > room) {
        if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) == 0)
            return hg_fail(err, -EINVAL,
                           "device %s: frames of %u bytes do not fit packet buffers of %u and it "
                           "cannot scatter; lower the MTU or enlarge the buffers",
                           cfg->device, frame, room);
        conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
    }
    if (cfg->n_queues > 1) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_WANTED;
        set_rss_key(info, &conf->rx_adv_conf.rss_conf);
    }
    return 0;
}

static int setup_queues(const struct hg_ethdev_cfg *cfg, const struct rte_eth_dev_info *info,
                        const struct rte_eth_conf *conf, uint16_t id, struct hg_err *err)
{
    struct rte_eth_rxconf rx = info->default_rxconf;
    struct rte_eth_txconf tx = info->default_txconf;
    unsigned socket = (unsigned)rte_eth_dev_socket_id(id), any = (unsigned)SOCKET_ID_ANY;
    int ret;

    rx.offloads = conf->rxmode.offloads;
    tx.offloads = conf->txmode.offloads;
    for (uint16_t q = 0; q < cfg->n_queues; q++) {
        ret = rte_eth_rx_queue_setup(id, q, cfg->rx_desc, socket, &rx, cfg->rx_pool[q]);
        /* Where the device's node has no memory left any will do, slower. */
        if (ret == -ENOMEM)
            ret = rte_eth_rx_queue_setup(id, q, cfg->rx_desc, any, &rx, cfg->rx_pool[q]);
        if (ret != 0)
            return hg_fail(err, ret, "device %s: RX queue %u: %s", cfg->device, q,
                           rte_strerror(-ret));
        ret = rte_eth_tx_queue_setup(id, q, cfg->tx_desc, socket, &tx);
        if (ret == -ENOMEM)
            ret = rte_eth_tx_queue_setup(id, q, cfg->tx_desc, any, &tx);
        if (ret != 0)
            return hg_fail(err, ret, "device %s: TX queue %u: %s", cfg->device, q,
                           rte_strerror(-ret));
    }
    return 0;
}

/* Not every driver has the call; without it the configured MTU already holds. Beyond what is stated
 * it holds as well (af_packet.h). */
static int set_mtu(const struct hg_ethdev_cfg *cfg, const struct rte_eth_dev_info *info,
                   uint16_t id, struct hg_err *err)
{
    uint16_t now = 0;
    bool set = cfg->mtu != 0 && cfg->mtu <= stated_mtu(info);
    int ret = set ? rte_eth_dev_set_mtu(id, cfg->mtu) : 0;

    if (ret == -ENOTSUP && rte_eth_dev_get_mtu(id, &now) == 0 && now == cfg->mtu)
        ret = 0;
    if (ret != 0)
        return hg_fail(err, ret, "device %s: MTU %u: %s", cfg->device, cfg->mtu,
                       rte_strerror(-ret));
    return 0;
}

/* As many mbufs as the device takes for one packet that it cuts; drivers that do not say get what
 * all take. */
static uint16_t tso_bufs(const struct rte_eth_dev_info *info)
{
    uint16_t max = info->tx_desc_lim.nb_seg_max;

    return max == 0 || max == UINT16_MAX ? TSO_BUFS : RTE_MIN(max, TSO_BUFS_MOST);
}

static int fill_port(struct ethdev *dev, const struct hg_ethdev_cfg *cfg,
                     const struct rte_eth_dev_info *info, const struct rte_eth_conf *conf,
                     struct hg_err *err)
{
    struct hg_port *port = &dev->port;
    int ret = rte_eth_macaddr_get(dev->id, &port->mac);

    if (ret == 0)
        ret = rte_eth_dev_get_mtu(dev->id, &port->mtu);
    if (ret != 0)
        return hg_fail(err, ret, "device %s: reading MAC and MTU: %s", cfg->device,
                       rte_strerror(-ret));
    if (cfg->mtu != 0)
        port->mtu = cfg->mtu;
    snprintf(port->name, sizeof port->name, "%s", cfg->device);
    port->ops = &ethdev_ops;
    port->n_queues = cfg->n_queues;
    port->rx_csum = (conf->rxmode.offloads & RX_CSUM) == RX_CSUM;
    port->trust_csum = cfg->trust_csum;
    port->tx_ip_csum = (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    port->tx_tcp_csum = (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
    port->tx_multi_seg = (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
    if ((conf->txmode.offloads & TSO_NEEDS) == TSO_NEEDS) {
        port->tx_tso = TSO_MAX;
        port->tx_tso_bufs = tso_bufs(info);
    }
    return 0;
}

/* IPv6 neighbours are asked by multicast. A device that cannot filter may pass everything anyway. */
static void receive_multicast(struct ethdev *dev)
{
    int ret = rte_eth_allmulticast_enable(dev->id);

    if (ret != 0)
        hg_log(HG_LOG_WARN, "port",
               "device %s: cannot receive all multicast (%s); IPv6 neighbours may not find us",
               dev->port.name, rte_strerror(-ret));
}

/* From configured to started. On failure the caller closes the device. */
static int bring_up(struct ethdev *dev, const struct hg_ethdev_cfg *cfg,
                    const struct rte_eth_dev_info *info, const struct rte_eth_conf *conf,
                    struct hg_err *err)
{
    int ret = set_mtu(cfg, info, dev->id, err);

    if (ret == 0)
        ret = setup_queues(cfg, info, conf, dev->id, err);
    if (ret == 0)
        ret = fill_port(dev, cfg, info, conf, err);
    if (ret != 0)
        return ret;
    ret = rte_eth_dev_start(dev->id);
    if (ret != 0)
        return hg_fail(err, ret, "device %s: start: %s", cfg->device, rte_strerror(-ret));
    if (cfg->multicast)
        receive_multicast(dev);
    return 0;
}

uint16_t hg_port_ethdev_queues(const char *device)
{
    struct rte_eth_dev_info info;
    uint16_t id;

    if (rte_eth_dev_get_port_by_name(device, &id) != 0 || rte_eth_dev_info_get(id, &info) != 0)
        return 0;
    if ((info.flow_type_rss_offloads & RSS_WANTED) == 0)
        return 1;
    return RTE_MIN(info.max_rx_queues, info.max_tx_queues);
}

int hg_port_ethdev_open(const struct hg_ethdev_cfg *cfg, struct hg_port **out, struct hg_err *err)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf;
    struct ethdev *dev;
    uint16_t id;
    int ret;

    if (rte_eth_dev_get_port_by_name(cfg->device, &id) != 0)
        return fail_no_device(cfg->device, err);
    ret = rte_eth_dev_info_get(id, &info);
    if (ret != 0)
        return hg_fail(err, ret, "device %s: reading its abilities: %s", cfg->device,
                       rte_strerror(-ret));
    ret = check_cfg(cfg, &info, err);
    if (ret == 0)
        ret = make_conf(cfg, &info, &conf, err);
    if (ret != 0)
        return ret;
    dev = calloc(1, sizeof *dev);
    if (dev == NULL)
        return hg_fail(err, -ENOMEM, "device %s: out of memory", cfg->device);
    dev->id = id;
    ret = rte_eth_dev_configure(id, cfg->n_queues, cfg->n_queues, &conf);
    if (ret != 0) {
        hg_fail(err, ret, "device %s: configure: %s", cfg->device, rte_strerror(-ret));
        goto free_dev;
    }
    ret = bring_up(dev, cfg, &info, &conf, err);
    if (ret != 0)
        goto close_device;
    *out = &dev->port;
    return 0;

close_device:
    /* Releases the queues, and with them the device's hold on the caller's pools. */
    rte_eth_dev_close(id);
free_dev:
    free(dev);
    return ret;
}

int hg_port_ethdev_stats(struct hg_port *port, struct hg_port_hw_stats *out)
{
    struct ethdev *dev = dev_of(port);
    struct rte_eth_stats stats;
    struct rte_eth_link link;
    int ret;

    if (port->ops != &ethdev_ops)
        return -ENOTSUP;
    ret = rte_eth_stats_get(dev->id, &stats);
    if (ret == 0)
        ret = rte_eth_link_get_nowait(dev->id, &link);
    if (ret != 0)
        return ret;
    *out = (struct hg_port_hw_stats){
        .rx_packets = stats.ipackets,
        .tx_packets = stats.opackets,
        .rx_bytes = stats.ibytes,
        .tx_bytes = stats.obytes,
        .rx_missed = stats.imissed,
        .rx_nombuf = stats.rx_nombuf,
        .rx_errors = stats.ierrors,
        .tx_errors = stats.oerrors,
        .link_up = link.link_status == RTE_ETH_LINK_UP,
    };
    return 0;
}
