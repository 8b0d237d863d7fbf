/* SPDX-License-Identifier: BSD-3-Clause */
/* One instance: checked configuration, creation, housekeeping, counters. */
#include "net_int.h"
#include "net_csum.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS_DEFAULT 1024u
#define NEIGHBOURS_MAX 65536u
#define TTL 64          /* RFC 1122 3.2.1.7, IANA's recommended default */
#define ARP_FRAME 60u   /* shortest Ethernet frame without CRC */
#define ANNOUNCEMENTS 2 /* RFC 5227 ANNOUNCE_NUM */

static const struct hg_counter_desc net_desc[] = {HG_NET_COUNTERS(HG_COUNTER_DESC)};
_Static_assert(sizeof(struct hg_net_counters) == HG_ARRAY_LEN(net_desc) * sizeof(uint64_t),
               "descriptors and values stand beside each other");

static bool is_zero(const struct hg_ip *ip)
{
    static const struct hg_ip zero;

    return hg_ip_equal(ip, &zero) || (hg_ip_is_v4(ip) && hg_ip_to_v4(ip) == 0);
}

static struct net_addrs make_addrs(const struct hg_net_cfg *cfg)
{
    uint32_t mask = cfg->prefix_len == 0 ? 0 : UINT32_MAX << (32 - cfg->prefix_len);
    bool has_broadcast = cfg->prefix_len < 31; /* RFC 3021 */
    struct net_addrs a = {
        .self_be = rte_cpu_to_be_32(hg_ip_to_v4(&cfg->addr)),
        .mask_be = rte_cpu_to_be_32(mask),
        .gateway_be = is_zero(&cfg->gateway) ? 0 : rte_cpu_to_be_32(hg_ip_to_v4(&cfg->gateway)),
    };

    a.zeros_be = has_broadcast ? a.self_be & a.mask_be : a.self_be;
    a.ones_be = has_broadcast ? a.self_be | ~a.mask_be : a.self_be;
    return a;
}

/* The template is complete but for destination MAC, length, id, protocol, destination, checksum. */
static void set_template(struct hg_net *net)
{
    struct net_hdr *hdr = &net->hdr;

    memcpy(&net->mac48, &net->port->mac, sizeof net->port->mac);
    hdr->eth.src_addr = net->port->mac;
    hdr->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
    hdr->ip.version_ihl = RTE_IPV4_VHL_DEF;
    hdr->ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
    hdr->ip.time_to_live = TTL;
    hdr->ip.src_addr = net->addrs.self_be;
    net->hdr_sum = hg_csum_range(&hdr->ip, sizeof hdr->ip);
}

static int check_addresses(const struct hg_net_cfg *cfg, struct hg_err *err)
{
    struct net_addrs a, other;
    char text[HG_IP_STRLEN];

    if (!hg_ip_is_v4(&cfg->addr) || cfg->prefix_len < 1 || cfg->prefix_len > 32)
        return hg_fail(err, -EINVAL, "address %s/%u: needs an IPv4 address and a prefix of 1 to 32",
                       hg_ip_str(&cfg->addr, text), cfg->prefix_len);
    a = make_addrs(cfg);
    other = a;
    other.self_be = 0; /* judges our address as it would judge another's */
    if (cfg->prefix_len > 30)
        other.zeros_be = other.ones_be = 0;
    if (net_is_martian(&other, a.self_be))
        return hg_fail(err, -EINVAL, "address %s/%u: not an address a host can have",
                       hg_ip_str(&cfg->addr, text), cfg->prefix_len);
    if (is_zero(&cfg->gateway))
        return 0;
    /* With /32 everything, the gateway too, is beyond the prefix; it is taken to be on the link. */
    if (!hg_ip_is_v4(&cfg->gateway) || net_is_martian(&a, a.gateway_be) ||
        (cfg->prefix_len < 32 && !net_on_link(&a, a.gateway_be)))
        return hg_fail(err, -EINVAL, "gateway %s: must be another host on the local network",
                       hg_ip_str(&cfg->gateway, text));
    return 0;
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
    /* A port that takes no chains gets copies, which must fit one buffer. */
    if (!cfg->port->tx_multi_seg)
        need = (uint32_t)cfg->port->mtu + RTE_ETHER_HDR_LEN;
    if (room < RTE_PKTMBUF_HEADROOM + need)
        return hg_fail(err, -EINVAL, "port %s: packet buffers of %u bytes; at least %u are needed",
                       cfg->port->name, room, RTE_PKTMBUF_HEADROOM + need);
    return check_addresses(cfg, err);
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
    ret = nbr_init(&net->nbrs, cfg->neighbours_max != 0 ? cfg->neighbours_max : NEIGHBOURS_DEFAULT,
                   now);
    if (ret != 0) {
        free(net);
        return hg_fail(err, ret, "port %s: out of memory for neighbours", cfg->port->name);
    }
    net->port = cfg->port;
    net->queue = cfg->queue;
    net->pool = cfg->pool;
    net->skip_csum = cfg->trust_csum || cfg->port->trust_csum;
    net->accept_unsolicited = cfg->accept_unsolicited;
    /* One voice per port: ARP is the business of queue 0. */
    net->announce_left = cfg->queue == 0 ? ANNOUNCEMENTS : 0;
    net->announce_at = now;
    net->local = cfg->addr;
    net->addrs = make_addrs(cfg);
    set_template(net);
    *out = net;
    return 0;
}

void hg_net_destroy(struct hg_net *net)
{
    if (net == NULL)
        return;
    for (unsigned i = 0; i < net->n_batch; i++)
        rte_pktmbuf_free(net->batch[i]);
    nbr_fini(&net->nbrs);
    free(net);
}

void hg_net_poll(struct hg_net *net, hg_ns now)
{
    nbr_poll(net, now);
    arp_announce_poll(net, now);
}

uint16_t hg_net_mtu(const struct hg_net *net, const struct hg_ip *remote)
{
    (void)remote; /* one port, one MTU; path MTU is kept by TCP */
    return net->port->mtu;
}

struct hg_counter_set hg_net_counter_set(const struct hg_net *net)
{
    return (struct hg_counter_set){.area = "net",
                                   .desc = net_desc,
                                   .value = (const uint64_t *)&net->c,
                                   .n = HG_ARRAY_LEN(net_desc)};
}
