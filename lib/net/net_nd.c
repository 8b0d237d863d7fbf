/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbour discovery (RFC 4861) and duplicate address detection (RFC 4862 5.4): solicitations and
 * advertisements. What is believed of them is in net_nbr.c; the checks of RFC 4861 7.1 that concern
 * both (hop limit, code, checksum) are in net_icmp6.c.
 */
#include "net_int.h"
#include <netinet/in.h>

#define ASK_EVERY HG_MS(2) /* solicitations of all neighbours together: 500 per second ... */
#define ASK_BURST 100      /* ... and so many at once */
#define HOPS_ND 255
#define BODY 24u /* ICMPv6 header and target address */

enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

static const struct hg_ip all_nodes = {{0xff, 0x02, [15] = 1}};
static const struct hg_ip unspecified;

/* ---- options ---- */

bool nd_options_sound(const struct nd_msg *msg, unsigned at)
{
    while (at < msg->len) {
        if (msg->len - at < 8 || msg->body[at + 1] == 0 || msg->body[at + 1] * 8u > msg->len - at)
            return false;
        at += msg->body[at + 1] * 8u;
    }
    return true;
}

const uint8_t *nd_option(const struct nd_msg *msg, unsigned at, uint8_t type)
{
    for (; at < msg->len; at += msg->body[at + 1] * 8u) {
        if (msg->body[at] == type)
            return msg->body + at;
    }
    return NULL;
}

bool nd_option_mac(const struct nd_msg *msg, unsigned at, uint8_t type, struct rte_ether_addr *mac)
{
    const uint8_t *opt = nd_option(msg, at, type);

    if (opt == NULL || opt[1] != 1)
        return false;
    memcpy(mac, opt + 2, sizeof *mac);
    return rte_is_valid_assigned_ether_addr(mac);
}

/* ---- output ---- */

/* Room for type, flags, target, and our MAC in an option of the given type (0: none). */
static struct rte_mbuf *message(struct hg_net *net, uint8_t type, const struct hg_ip *target,
                                uint8_t option)
{
    struct rte_mbuf *m = net_alloc(net, BODY + (option != 0 ? 8 : 0));
    uint8_t *p;

    if (m == NULL)
        return NULL;
    p = rte_pktmbuf_mtod(m, uint8_t *);
    p[0] = type;
    memcpy(p + 8, target, sizeof *target);
    if (option != 0) {
        p[BODY] = option;
        p[BODY + 1] = 1;
        memcpy(p + BODY + 2, &net->port->mac, RTE_ETHER_ADDR_LEN);
    }
    return m;
}

static void solicit(struct hg_net *net, const struct hg_ip *src, const struct hg_ip *target,
                    const struct rte_ether_addr *mac)
{
    struct hg_ip group = addr_solicited_node(target);
    struct net_l3 ip = {
        .src = src, .dst = mac != NULL ? target : &group, .proto = IPPROTO_ICMPV6, .hops = HOPS_ND};
    bool dad = net_ip_is_zero(src);
    /* RFC 4861 4.3: no link-layer address with the unspecified source. */
    struct rte_mbuf *m = message(net, ICMP6_NS, target, dad ? 0 : ND_OPT_SOURCE);

    if (m == NULL)
        return;
    net->c.tx_nd_solicit++;
    icmp6_send(net, m, &ip, mac);
}

bool nd_solicit(struct hg_net *net, const struct hg_ip *target, const struct rte_ether_addr *mac,
                hg_ns now)
{
    struct hg_ip src;

    if (hg_net_source(net, target, &src) != 0 ||
        !net_limit_take(&net->nbrs.ask, now, ASK_EVERY, ASK_BURST))
        return false;
    solicit(net, &src, target, mac);
    return true;
}

void nd_probe(struct hg_net *net, const struct hg_ip *target)
{
    solicit(net, &unspecified, target, NULL);
}

static void advertise(struct hg_net *net, const struct hg_ip *target, const struct hg_ip *dst,
                      const struct rte_ether_addr *mac)
{
    struct net_l3 ip = {.src = target, .dst = dst, .proto = IPPROTO_ICMPV6, .hops = HOPS_ND};
    struct rte_mbuf *m = message(net, ICMP6_NA, target, ND_OPT_TARGET);

    if (m == NULL)
        return;
    /* RFC 4861 7.2.4: solicited, if it goes to who asked; override, as we are no proxy. */
    rte_pktmbuf_mtod(m, uint8_t *)[4] = NA_OVERRIDE | (mac != NULL ? NA_SOLICITED : 0);
    net->c.tx_nd_advert++;
    icmp6_send(net, m, &ip, mac);
}

void nd_announce(struct hg_net *net, const struct hg_ip *target)
{
    advertise(net, target, &all_nodes, NULL);
}

/* ---- input ---- */

static bool target_of(const struct nd_msg *msg, struct hg_ip *target)
{
    if (msg->len < BODY || !nd_options_sound(msg, BODY))
        return false;
    memcpy(target, msg->body + 8, sizeof *target);
    return !net_ip6_is_multicast(target);
}

/* RFC 4861 7.1.1, last two points. */
static bool probe_sound(const struct nd_msg *msg)
{
    static const uint8_t solicited_node[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};

    return memcmp(&msg->ip->dst, solicited_node, sizeof solicited_node) == 0 &&
           nd_option(msg, BODY, ND_OPT_SOURCE) == NULL;
}

uint64_t *nd_solicit_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    bool is_probe = net_ip_is_zero(&msg->ip->src);
    struct rte_ether_addr mac = msg->eth->src_addr;
    struct hg_ip target;
    struct addr *addr;

    if (!target_of(msg, &target) || (is_probe && !probe_sound(msg)) ||
        !rte_is_valid_assigned_ether_addr(&mac))
        return &net->c.rx_nd_bad;
    addr = addr_find(net, &target);
    if (addr == NULL || addr->state == ADDR_DUPLICATE)
        return &net->c.rx_not_ours;
    if (addr->state == ADDR_TENTATIVE) {
        /* RFC 4862 5.4.3: another host wants it at the same time, or resolves it: silence. */
        if (is_probe)
            addr_conflict(net, addr, &msg->eth->src_addr, now);
        return is_probe ? &net->c.rx_nd_bad : &net->c.rx_not_ours;
    }
    if (is_probe) {
        advertise(net, &target, &all_nodes, NULL);
        return &net->c.rx_nd_solicit;
    }
    if (nd_option_mac(msg, BODY, ND_OPT_SOURCE, &mac))
        nbr_hear_asker(net, &msg->ip->src, &mac, now);
    advertise(net, &target, &msg->ip->src, &mac);
    return &net->c.rx_nd_solicit;
}

/* RFC 4861 7.2.5, for an advertisement that answers our question. has_mac is false when it could be
 * left out: in answer to a unicast solicitation. */
static void answered(struct hg_net *net, struct nbr *nbr, uint8_t flags,
                     const struct rte_ether_addr *mac, hg_ns now)
{
    bool other = nbr_known(nbr) && mac != NULL && !rte_is_same_ether_addr(&nbr->mac, mac);

    if (!nbr_known(nbr) && mac == NULL)
        return; /* INCOMPLETE, and no address given: nothing learnt */
    nbr->router = (flags & NA_ROUTER) != 0;
    if (other && (flags & NA_OVERRIDE) == 0) {
        /* I: another address without override is not taken, and what we know is in doubt. */
        nbr_stale(net, nbr, now);
        return;
    }
    nbr_answer(net, nbr, mac != NULL ? mac : &nbr->mac, now);
}

uint64_t *nd_advert_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    struct nbr_claim claim;
    bool has_mac;
    uint8_t flags;
    struct addr *addr;
    struct nbr *nbr;

    if (!target_of(msg, &claim.ip))
        return &net->c.rx_nd_bad;
    flags = msg->body[4];
    if ((flags & NA_SOLICITED) != 0 && net_ip6_is_multicast(&msg->ip->dst))
        return &net->c.rx_nd_bad;
    addr = addr_find(net, &claim.ip);
    if (addr != NULL) {
        addr_conflict(net, addr, &msg->eth->src_addr, now);
        return &net->c.rx_nd_bad;
    }
    has_mac = nd_option_mac(msg, BODY, ND_OPT_TARGET, &claim.mac);
    nbr = nbr_find(&net->nbrs, &claim.ip);
    if ((flags & NA_SOLICITED) != 0 && nbr != NULL && nbr->tries != 0) {
        answered(net, nbr, flags, has_mac ? &claim.mac : NULL, now);
        return &net->c.rx_nd_advert;
    }
    claim.to_us = (flags & NA_SOLICITED) != 0;
    if (has_mac)
        nbr_hear_unasked(net, &claim, now);
    return &net->c.rx_nd_unsolicited;
}
