/* SPDX-License-Identifier: BSD-3-Clause */
/* One instance: checked configuration, creation, housekeeping, counters. */
#include "net_int.h"
#include "net_csum.h"
#include <errno.h>
#include <stdlib.h>

#define NEIGHBOURS_DEFAULT 1024u
#define NEIGHBOURS_MAX 65536u
#define VLAN_MAX 4094 /* IEEE 802.1Q table 9-2 */
#define ARP_FRAME 60u /* shortest Ethernet frame without CRC */
#define SLOW_EVERY HG_MS(10)
#define LINK_EVERY HG_MS(100)

static const struct hg_counter_desc net_desc[] = {HG_NET_COUNTERS(HG_COUNTER_DESC)};
_Static_assert(sizeof(struct hg_net_counters) == HG_ARRAY_LEN(net_desc) * sizeof(uint64_t),
               "descriptors and values stand beside each other");

/* The template is complete but for destination MAC and Ethernet type. */
static void set_templates(struct hg_net *net)
{
    uint16_t type = RTE_BE16(RTE_ETHER_TYPE_VLAN), tag = rte_cpu_to_be_16(net->vlan);

    memcpy(&net->mac48, &net->port->mac, sizeof net->port->mac);
    memcpy(net->eth + 6, &net->port->mac, sizeof net->port->mac);
    net->l2_len = RTE_ETHER_HDR_LEN;
    if (net->vlan != 0) {
        memcpy(net->eth + 12, &type, sizeof type);
        memcpy(net->eth + 14, &tag, sizeof tag);
        net->l2_len += RTE_VLAN_HLEN;
    }
    net->hdr4_sum = hg_csum_range(
        &(struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF, .time_to_live = NET_HOPS},
        sizeof(struct rte_ipv4_hdr));
}

static bool has_ip6(const struct hg_net_cfg *cfg)
{
    for (unsigned i = 0; i < cfg->n_addrs && i < HG_NET_ADDRS_MAX; i++) {
        if (!hg_ip_is_v4(&cfg->addrs[i].ip))
            return true;
    }
    return false;
}

static int check_cfg(const struct hg_net_cfg *cfg, struct hg_err *err)
{
    uint32_t room = rte_pktmbuf_data_room_size(cfg->pool);
    uint32_t need = ARP_FRAME;

    if (cfg->queue >= cfg->port->n_queues)
        return hg_fail(err, -EINVAL, "port %s: queue %u of %u", cfg->port->name, cfg->queue,
                       cfg->port->n_queues);
    if (cfg->neighbours_max > NEIGHBOURS_MAX)
        return hg_fail(err, -EINVAL, "neighbours: %u; at most %u are allowed", cfg->neighbours_max,
                       NEIGHBOURS_MAX);
    if (cfg->vlan > VLAN_MAX)
        return hg_fail(err, -EINVAL, "port %s: VLAN %u; 1 to %u are allowed", cfg->port->name,
                       cfg->vlan, VLAN_MAX);
    if ((cfg->slaac || has_ip6(cfg)) && cfg->port->mtu < NET_IP6_MTU_MIN)
        return hg_fail(err, -EINVAL, "port %s: MTU %u; IPv6 needs %u (RFC 8200 5)", cfg->port->name,
                       cfg->port->mtu, NET_IP6_MTU_MIN);
    if (cfg->slaac && cfg->port->n_queues > 1)
        return hg_fail(err, -EINVAL,
                       "port %s: router advertisements reach one of %u queues only; give addresses "
                       "instead of slaac, or use one shard",
                       cfg->port->name, cfg->port->n_queues);
    /* A port that takes no chains gets copies, which must fit one buffer. */
    if (!cfg->port->tx_multi_seg)
        need = (uint32_t)cfg->port->mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
    if (room < RTE_PKTMBUF_HEADROOM + need)
        return hg_fail(err, -EINVAL, "port %s: packet buffers of %u bytes; at least %u are needed",
                       cfg->port->name, room, RTE_PKTMBUF_HEADROOM + need);
    return 0;
}

/* What only depends on cfg; the link counts as up, so that a port without one needs nothing. */
static void init(struct hg_net *net, const struct hg_net_cfg *cfg)
{
    uint64_t mac = 0;

    net->port = cfg->port;
    net->queue = cfg->queue;
    net->vlan = cfg->vlan;
    net->pool = cfg->pool;
    net->slaac = cfg->slaac;
    net->dad = !cfg->no_dad;
    net->skip_csum = cfg->trust_csum || cfg->port->trust_csum;
    net->accept_unsolicited = cfg->accept_unsolicited;
    memcpy(net->secret, cfg->secret, sizeof net->secret);
    memcpy(&mac, &cfg->port->mac, sizeof cfg->port->mac);
    net->random = (net->secret[0] ^ net->secret[1] ^ mac) | 1;
    net->route_gen = 1;
    net->link = true;
    set_templates(net);
}

int hg_net_create(const struct hg_net_cfg *cfg, hg_ns now, struct hg_net **out, struct hg_err *err)
{
    struct hg_net *net;
    int ret = check_cfg(cfg, err);

    if (ret != 0)
        return ret;
    net = calloc(1, sizeof *net);
    if (net == NULL)
        return hg_fail(err, -ENOMEM, "port %s: out of memory", cfg->port->name);
    init(net, cfg);
    ret = addr_init(net, cfg, now, err);
    if (ret == 0)
        ret = route_init(net, cfg, err);
    if (ret != 0)
        goto free_net;
    ret = nbr_init(&net->nbrs, cfg->neighbours_max != 0 ? cfg->neighbours_max : NEIGHBOURS_DEFAULT,
                   now);
    if (ret != 0) {
        hg_fail(err, ret, "port %s: out of memory for neighbours", cfg->port->name);
        goto free_net;
    }
    ret = frag_init(net, now);
    if (ret != 0) {
        hg_fail(err, ret, "port %s: out of EAL memory for fragments", cfg->port->name);
        goto free_nbrs;
    }
    ra_link_up(net, now);
    *out = net;
    return 0;

free_nbrs:
    nbr_fini(&net->nbrs);
free_net:
    free(net);
    return ret;
}

void hg_net_destroy(struct hg_net *net)
{
    if (net == NULL)
        return;
    for (unsigned i = 0; i < net->n_batch; i++)
        rte_pktmbuf_free(net->batch[i]);
    frag_fini(net);
    nbr_fini(&net->nbrs);
    free(net);
}

/* A new link may be another network: everybody is told again who we are. */
static void watch_link(struct hg_net *net, hg_ns now)
{
    bool up = hg_port_link_up(net->port, net->queue);

    if (up == net->link)
        return;
    net->link = up;
    net->c.link_ups += up;
    net->c.link_downs += !up;
    hg_log_limited(&net->log, now, HG_LOG_INFO, "net", "port %s, queue %u: the link is %s",
                   net->port->name, net->queue, up ? "up" : "down");
    if (!up)
        return;
    addr_link_up(net, now);
    mld_changed(net, now);
    ra_link_up(net, now);
}

void hg_net_poll(struct hg_net *net, hg_ns now)
{
    nbr_poll(net, now);
    if (now < net->slow_at)
        return;
    net->slow_at = now + SLOW_EVERY;
    if (now >= net->link_at) {
        net->link_at = now + LINK_EVERY;
        watch_link(net, now);
    }
    addr_poll(net, now);
    route_poll(net, now);
    mld_poll(net, now);
    ra_poll(net, now);
    frag_poll(net, now);
}

uint16_t hg_net_mtu(const struct hg_net *net, const struct hg_ip *remote)
{
    bool smaller = net->ra.mtu != 0 && net->ra.mtu < net->port->mtu && !hg_ip_is_v4(remote);

    return smaller ? net->ra.mtu : net->port->mtu; /* path MTU is kept by TCP */
}

struct hg_counter_set hg_net_counter_set(const struct hg_net *net)
{
    return (struct hg_counter_set){.area = "net",
                                   .desc = net_desc,
                                   .value = (const uint64_t *)&net->c,
                                   .n = HG_ARRAY_LEN(net_desc)};
}
