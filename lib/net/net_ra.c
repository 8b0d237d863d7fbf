/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Router discovery and stateless address configuration (RFC 4861 6.3, RFC 4862 5.5), when the
 * profile allows it. Anybody on the link can send an advertisement, so what one can do is bounded: a
 * few routers, prefixes and addresses; the configuration always goes first; an address that is in
 * use does not end within two hours because of one; the MTU only becomes smaller, not below 1280.
 *
 * Not used of an advertisement: hop limit, reachable and retransmission time (a forged value harms,
 * the defaults do not), the M and O flags (no DHCPv6), route information.
 */
#include "net_int.h"
#include <netinet/in.h>

#define BODY 16u
#define HOPS_ND 255
#define SOLICIT_GAP HG_SEC(4)        /* RFC 4861 10: RTR_SOLICITATION_INTERVAL */
#define SOLICIT_GAP_MAX HG_SEC(3600) /* RFC 7559 2 */
#define SOLICIT_DELAY HG_SEC(1)      /* RFC 4861 10: MAX_RTR_SOLICITATION_DELAY */
#define TWO_HOURS HG_SEC(7200)       /* RFC 4862 5.5.3 e) */
#define PREFIX_ON_LINK 0x80
#define PREFIX_AUTONOMOUS 0x40

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The end of a lifetime in seconds; all ones is for ever (RFC 4861 4.6.2), which is 0 here. */
static hg_ns end_of(uint32_t lifetime, hg_ns now)
{
    return lifetime == UINT32_MAX ? 0 : now + HG_SEC((hg_ns)lifetime);
}

static void router(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    unsigned lifetime = msg->body[6] * 256u + msg->body[7];
    struct hg_net_prefix all = {.len = 0};
    struct rte_ether_addr mac;

    if (nd_option_mac(msg, BODY, ND_OPT_SOURCE, &mac))
        nbr_hear_asker(net, &msg->ip->src, &mac, now);
    if (lifetime == 0)
        route_forget(net, &all, &msg->ip->src);
    else if (!route_learn(net, &all, &msg->ip->src, end_of(lifetime, now)))
        net->c.ra_limited++;
    else
        net->ra.solicit_at = 0;
}

/* RFC 4862 5.5.3 e): shorter than two hours only if it was shorter already. */
static void renew(struct addr *addr, hg_ns valid_to, hg_ns preferred_to, hg_ns now)
{
    addr->preferred_to = preferred_to;
    if (valid_to == 0 || valid_to > now + TWO_HOURS ||
        (addr->valid_to != 0 && valid_to > addr->valid_to))
        addr->valid_to = valid_to;
    else if (addr->valid_to == 0 || addr->valid_to > now + TWO_HOURS)
        addr->valid_to = now + TWO_HOURS;
}

/* RFC 4862 5.5.3, for a prefix of 64 bits, which is what Ethernet has (RFC 2464 4). */
static void autonomous(struct hg_net *net, const struct hg_net_prefix *prefix, const uint8_t *opt,
                       hg_ns now)
{
    uint32_t valid = get32(opt + 4), preferred = get32(opt + 8);
    struct hg_net_prefix own = {.ip = addr_from_mac(&prefix->ip, &net->port->mac), .len = 64};
    struct addr *addr = addr_find(net, &own.ip);
    unsigned n = 0;

    if (preferred > valid || prefix->len != 64)
        return;
    for (unsigned i = 0; i < net->n_addr; i++)
        n += net->addr[i].origin == ADDR_SLAAC;
    if (addr == NULL && valid != 0) {
        addr = n < ADDR_SLAAC_MAX ? addr_add(net, &own, ADDR_SLAAC, now) : NULL;
        if (addr == NULL) {
            net->c.ra_limited++;
            return;
        }
        net->c.addr_slaac++;
        addr->valid_to = end_of(valid, now);
        addr->preferred_to = end_of(preferred, now);
    } else if (addr != NULL && addr->origin == ADDR_SLAAC) {
        renew(addr, end_of(valid, now), end_of(preferred, now), now);
    }
}

/* RFC 4861 6.3.4, RFC 4862 5.5.3. */
static void prefix_information(struct hg_net *net, const uint8_t *opt, hg_ns now)
{
    struct hg_net_prefix prefix = {.len = opt[2]};
    uint32_t valid = get32(opt + 4);

    memcpy(&prefix.ip, opt + 16, sizeof prefix.ip);
    if (opt[1] != 4 || prefix.len < 3 || prefix.len > 128 || net_ip6_is_link_local(&prefix.ip) ||
        net_ip6_is_multicast(&prefix.ip) || hg_ip_is_v4(&prefix.ip))
        return;
    if ((opt[3] & PREFIX_ON_LINK) != 0 && valid == 0)
        route_forget(net, &prefix, NULL);
    else if ((opt[3] & PREFIX_ON_LINK) != 0 && !route_learn(net, &prefix, NULL, end_of(valid, now)))
        net->c.ra_limited++;
    if ((opt[3] & PREFIX_AUTONOMOUS) != 0)
        autonomous(net, &prefix, opt, now);
}

static void options(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    const uint8_t *mtu = nd_option(msg, BODY, ND_OPT_MTU);

    for (unsigned at = BODY; at < msg->len; at += msg->body[at + 1] * 8u) {
        if (msg->body[at] == ND_OPT_PREFIX && msg->body[at + 1] == 4)
            prefix_information(net, msg->body + at, now);
    }
    if (mtu != NULL && mtu[1] == 1 && get32(mtu + 4) >= NET_IP6_MTU_MIN &&
        get32(mtu + 4) <= net->port->mtu)
        net->ra.mtu = (uint16_t)get32(mtu + 4);
}

uint64_t *ra_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    /* RFC 4861 6.1.2. */
    if (msg->len < BODY || !net_ip6_is_link_local(&msg->ip->src) || !nd_options_sound(msg, BODY))
        return &net->c.rx_nd_bad;
    if (!net->slaac)
        return &net->c.rx_nd_router_ignored;
    router(net, msg, now);
    options(net, msg, now);
    return &net->c.rx_nd_router;
}

/* ---- asking ---- */

void ra_link_up(struct hg_net *net, hg_ns now)
{
    if (!net->slaac || net->queue != 0)
        return;
    net->ra.solicit_gap = SOLICIT_GAP;
    net->ra.solicit_at = now + net_random(net, SOLICIT_DELAY);
}

static void solicit(struct hg_net *net, const struct hg_ip *src)
{
    static const struct hg_ip all_routers = {{0xff, 0x02, [15] = 2}};
    struct net_l3 ip = {.src = src, .dst = &all_routers, .proto = IPPROTO_ICMPV6, .hops = HOPS_ND};
    struct rte_mbuf *m = net_alloc(net, 16);
    uint8_t *p;

    if (m == NULL)
        return;
    p = rte_pktmbuf_mtod(m, uint8_t *);
    p[0] = ICMP6_RS;
    p[8] = ND_OPT_SOURCE;
    p[9] = 1;
    memcpy(p + 10, &net->port->mac, RTE_ETHER_ADDR_LEN);
    net->c.tx_router_solicit++;
    icmp6_send(net, m, &ip, NULL);
}

/* RFC 7559: until a router answers, ever more rarely. */
void ra_poll(struct hg_net *net, hg_ns now)
{
    const struct addr *addr;

    if (net->ra.solicit_at == 0 || now < net->ra.solicit_at || !net->link)
        return;
    addr = addr_link_local(net);
    if (addr == NULL)
        return; /* still being checked */
    solicit(net, &addr->ip);
    net->ra.solicit_at = now + net->ra.solicit_gap;
    net->ra.solicit_gap = RTE_MIN(2 * net->ra.solicit_gap, SOLICIT_GAP_MAX);
}
