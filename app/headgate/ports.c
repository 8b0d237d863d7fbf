/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's ports: each has its device, a queue for every shard, and for each queue a pool of its own, so that
 * what is received on one port cannot leave another without buffers.
 */
#include "netcfg.h"
#include "node.h"
#include <headgate/log.h>
#include <inttypes.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <string.h>

void ports_stop(struct node *node)
{
    for (unsigned n = 0; n < node->n_ports; n++) {
        hg_port_close(node->ports[n].port);
        node->ports[n].port = node->ports[n].nic = NULL;
    }
}

void ports_close(struct node *node)
{
    ports_stop(node);
    for (unsigned n = 0; n < node->n_ports; n++)
        for (unsigned s = 0; s < node->n_shards; s++)
            rte_mempool_free(node->ports[n].rx_pool[s]);
    node->n_ports = 0;
}

static int make_pools(struct node *node, unsigned n, struct hg_err *err)
{
    const struct config_port *cfg = &node->cfg.ports[n];

    for (unsigned s = 0; s < node->n_shards; s++) {
        char name[RTE_MEMPOOL_NAMESIZE];

        snprintf(name, sizeof name, "hg%u_rx%u", s, n);
        /* Last in, first out: a ring would go through all buffers in turn, each cold again. */
        node->ports[n].rx_pool[s] = rte_pktmbuf_pool_create_by_ops(
            name, (unsigned)cfg->rx_mbufs, 512, 0,
            (uint16_t)(cfg->rx_buffer + RTE_PKTMBUF_HEADROOM), place_shard(node, s), "stack");
        if (node->ports[n].rx_pool[s] == NULL)
            return hg_fail(err, -rte_errno,
                           "no EAL memory for %" PRIu64
                           " packet buffers: raise [eal] memory or lower [%s] rx-mbufs",
                           cfg->rx_mbufs, netcfg_section(n));
    }
    return 0;
}

/* Whether shard 0 has to receive for all. */
static bool use_spread(const struct node *node, const struct config_port *cfg, const char *device)
{
    bool forced = strcmp(cfg->spread, "software") == 0;

    if (node->n_shards == 1 || (!forced && hg_port_ethdev_queues(device) >= node->n_shards))
        return false;
    hg_log(HG_LOG_INFO, "node", "device %s: shard 0 spreads packets over %u shards%s", device,
           node->n_shards, forced ? "" : ", since the device cannot");
    return true;
}

static int open_port(struct node *node, unsigned n, struct hg_err *err)
{
    const struct config_port *cfg = &node->cfg.ports[n];
    struct node_port *port = &node->ports[n];
    char device[CFG_TEXT_MAX];
    bool spread;
    struct hg_ethdev_cfg dev = {
        .device = device,
        .n_queues = (uint16_t)node->n_shards,
        .rx_desc = (uint16_t)cfg->rx_desc,
        .tx_desc = (uint16_t)cfg->tx_desc,
        .mtu = (uint16_t)cfg->mtu,
        .rx_pool = port->rx_pool,
        .trust_csum = cfg->trust_checksums,
        .lro = cfg->lro,
        .multicast = strchr(cfg->address, ':') != NULL || cfg->slaac,
    };
    int rc;

    netcfg_device(cfg, device);
    spread = use_spread(node, cfg, device);
    if (spread)
        dev.n_queues = 1;
    rc = hg_port_ethdev_open(&dev, &port->nic, err);
    port->port = port->nic;
    if (rc == 0 && spread)
        rc = hg_port_spread_open(port->nic, (uint16_t)node->n_shards, &port->port, err);
    return rc;
}

int ports_open(struct node *node, struct hg_err *err)
{
    unsigned n_ports = netcfg_ports(&node->cfg);
    int rc = 0;

    while (rc == 0 && node->n_ports < n_ports) {
        unsigned n = node->n_ports++;

        node->ports[n] = (struct node_port){NULL};
        rc = make_pools(node, n, err);
        if (rc == 0)
            rc = open_port(node, n, err);
    }
    if (rc != 0)
        ports_close(node);
    return rc;
}
