/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv6 input (RFC 8200): the fixed header, then extension headers in whatever order they come
 * (RFC 8200 4.1), then TCP or ICMPv6. Trusted after each step:
 *
 *  1. header(): version and length; the frame holds the packet, padding is cut; for us, or for a
 *     group of ours, from a possible source.
 *  2. walk(): every extension header lies in the first segment and is understood or skippable;
 *     none asks for anything that we would have to do.
 */
#include "net_int.h"
#include "net_csum.h"
#include <netinet/in.h>

#define ETH sizeof(struct rte_ether_hdr)
#define HEADERS_MAX 8 /* extension headers in one packet; RFC 8504 5.3 allows a limit */
#define CHAIN_MAX 512 /* bytes of all headers together, likewise */

enum { OPT_PAD1 = 0, OPT_ACTION = 0xc0 };                          /* RFC 8200 4.2 */
enum { PARAM_FIELD = 0, PARAM_NEXT_HEADER = 1, PARAM_OPTION = 2 }; /* RFC 4443 3.4 */

/* Where walk() stands. */
struct chain {
    unsigned at;      /* offset of the next header in the IPv6 packet */
    unsigned type_at; /* offset of the field that names it */
    uint8_t type;
};

static const uint8_t *packet(const struct rte_mbuf *m)
{
    return rte_pktmbuf_mtod_offset(m, const uint8_t *, ETH);
}

static const struct net_ip6 *ip6_of(const struct rte_mbuf *m)
{
    return rte_pktmbuf_mtod_offset(m, const struct net_ip6 *, ETH);
}

/* Options of a hop-by-hop or destination options header of len bytes at `at`: we know none, so the
 * two high bits of the type say what to do (RFC 8200 4.2). Returns NULL to go on. */
static uint64_t *options(struct hg_net *net, const struct rte_mbuf *m, const unsigned where[2],
                         hg_ns now)
{
    const uint8_t *p = packet(m);
    unsigned i = where[0] + 2, end = where[0] + where[1];

    while (i < end) {
        uint8_t action = p[i] & OPT_ACTION;

        if (p[i] == OPT_PAD1) {
            i++;
            continue;
        }
        if (i + 1 >= end || p[i + 1] > end - i - 2)
            return &net->c.rx_ip6_option;
        if (action != 0) {
            bool multicast = net_ip6_is_multicast(&ip6_of(m)->dst);

            if (action == 0x80 || (action == 0xc0 && !multicast))
                icmp6_parameter(net, m, PARAM_OPTION, i, now);
            return &net->c.rx_ip6_option;
        }
        i += 2u + p[i + 1];
    }
    return NULL;
}

/* RFC 8200 4.4, RFC 5095 3: no type is known, so one with segments left is refused. */
static uint64_t *routing(struct hg_net *net, const struct rte_mbuf *m, unsigned at, hg_ns now)
{
    if (packet(m)[at + 3] == 0)
        return NULL;
    icmp6_parameter(net, m, PARAM_FIELD, at + 2, now);
    return &net->c.rx_ip6_routing;
}

/* One extension header other than the fragment header. */
static uint64_t *extension(struct hg_net *net, const struct rte_mbuf *m, struct chain *c, hg_ns now)
{
    const uint8_t *p = packet(m) + c->at;
    unsigned room = m->data_len - (unsigned)ETH;
    unsigned where[2] = {c->at, 0};
    uint64_t *counter = NULL;

    if (c->at + 8 > room)
        return &net->c.rx_short;
    where[1] = (p[1] + 1u) * 8;
    if (c->at + where[1] > room || c->at + where[1] > CHAIN_MAX)
        return &net->c.rx_short;
    if (c->type == IPPROTO_ROUTING)
        counter = routing(net, m, c->at, now);
    else
        counter = options(net, m, where, now);
    c->type = p[0];
    c->type_at = c->at;
    c->at += where[1];
    return counter;
}

/* Goes over the extension headers up to a fragment header or what is no extension header. */
static uint64_t *walk(struct hg_net *net, const struct rte_mbuf *m, struct chain *c, hg_ns now)
{
    for (unsigned n = 0;; n++) {
        uint64_t *counter;

        /* RFC 8200 4.3: hop-by-hop options directly follow the IPv6 header, or are not known. */
        if (c->type != IPPROTO_ROUTING && c->type != IPPROTO_DSTOPTS &&
            !(c->type == IPPROTO_HOPOPTS && n == 0))
            return NULL;
        if (n == HEADERS_MAX)
            return &net->c.rx_ip6_option;
        counter = extension(net, m, c, now);
        if (counter != NULL)
            return counter;
    }
}

static __rte_noinline uint64_t *unknown(struct hg_net *net, const struct rte_mbuf *m,
                                        const struct chain *c, hg_ns now)
{
    if (c->type != IPPROTO_NONE && !net_ip6_is_multicast(&ip6_of(m)->dst))
        icmp6_parameter(net, m, PARAM_NEXT_HEADER, c->type_at, now);
    return c->type == IPPROTO_HOPOPTS ? &net->c.rx_ip6_option : &net->c.rx_ip_proto;
}

static unsigned tcp(struct hg_net *net, struct rte_mbuf *m, unsigned offset, struct hg_seg *seg)
{
    const struct net_ip6 *ip = ip6_of(m);
    struct net_tcp_in in = {
        .offset = offset,
        .pseudo = hg_csum_range(&ip->src, 2 * sizeof ip->src),
        .ecn = (rte_be_to_cpu_32(ip->vtc_flow_be) >> 20) & 3,
    };

    seg->flow.local = ip->dst;
    seg->flow.remote = ip->src;
    return net_tcp_input(net, m, &in, seg);
}

/* Cuts the extension headers before the fragment header out; they have been served, and the
 * fragment header is looked for right behind the IPv6 header. */
static void cut_extensions(struct rte_mbuf *m, const struct chain *c)
{
    uint8_t *start = rte_pktmbuf_mtod(m, uint8_t *);
    unsigned n = c->at - (unsigned)sizeof(struct net_ip6);
    struct net_ip6 *ip;

    if (n == 0)
        return;
    memmove(start + n, start, ETH + sizeof *ip);
    rte_pktmbuf_adj(m, (uint16_t)n);
    ip = rte_pktmbuf_mtod_offset(m, struct net_ip6 *, ETH);
    ip->proto = IPPROTO_FRAGMENT;
    ip->len_be = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->len_be) - n));
}

static unsigned deliver(struct hg_net *net, struct rte_mbuf *m, hg_ns now, struct hg_seg *seg,
                        bool whole);

static unsigned fragment(struct hg_net *net, struct rte_mbuf *m, const struct chain *c, hg_ns now,
                         struct hg_seg *seg)
{
    cut_extensions(m, c);
    m = frag_input6(net, m, now);
    return m != NULL ? deliver(net, m, now, seg, true) : 0;
}

/* What follows the extension headers. `whole`: has been put together, so that another fragment header
 * is nothing that anybody honest would send, and would let packets lead us ever deeper. */
static unsigned deliver(struct hg_net *net, struct rte_mbuf *m, hg_ns now, struct hg_seg *seg,
                        bool whole)
{
    struct chain c = {.at = sizeof(struct net_ip6),
                      .type_at = offsetof(struct net_ip6, proto),
                      .type = ip6_of(m)->proto};
    bool has_more = c.type != IPPROTO_TCP && c.type != IPPROTO_ICMPV6;
    uint64_t *counter = NULL;

    if (has_more && !net_contiguous(m, ETH + CHAIN_MAX + NET_CONTIGUOUS))
        counter = &net->c.rx_short;
    else if (has_more)
        counter = walk(net, m, &c, now);
    if (counter == NULL && c.type == IPPROTO_FRAGMENT && whole)
        counter = &net->c.rx_ip6_option;
    if (counter == NULL && c.type == IPPROTO_FRAGMENT)
        return fragment(net, m, &c, now, seg);
    if (counter == NULL && c.type == IPPROTO_ICMPV6)
        return icmp6_input(net, m, (unsigned)ETH + c.at, now, seg);
    if (counter == NULL && c.type == IPPROTO_TCP && !net_ip6_is_multicast(&ip6_of(m)->dst))
        return tcp(net, m, (unsigned)ETH + c.at, seg);
    if (counter == NULL)
        counter = c.type == IPPROTO_TCP ? &net->c.rx_not_ours : unknown(net, m, &c, now);
    net_drop(counter, m);
    return 0;
}

/* Returns NULL when the header is sound, else the counter of what is wrong. */
static inline uint64_t *header(struct hg_net *net, const struct rte_mbuf *m)
{
    const struct net_ip6 *ip = ip6_of(m);

    if (m->data_len < ETH + sizeof *ip)
        return &net->c.rx_short;
    if ((ip->vtc_flow_be & RTE_BE32(0xf0000000)) != RTE_BE32(0x60000000))
        return &net->c.rx_ip_header;
    if (m->pkt_len - ETH - sizeof *ip < rte_be_to_cpu_16(ip->len_be))
        return &net->c.rx_short;
    if (net_local(net, &ip->dst) == NULL &&
        !(net_ip6_is_multicast(&ip->dst) && addr_in_group(net, &ip->dst))) {
        /* Who probes for an address that we are about to take speaks to its group, not to it. */
        return &net->c.rx_not_ours;
    }
    /* The unspecified address is a source in ICMPv6 only: ND and MLD (RFC 4291 2.5.2). */
    if (net_is_martian6(net, &ip->src) &&
        !(net_ip_is_zero(&ip->src) && net_ip6_is_multicast(&ip->dst)))
        return &net->c.rx_ip_martian;
    return NULL;
}

unsigned ip6_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now, struct hg_seg *seg)
{
    uint64_t *counter = header(net, m);
    uint32_t frame_len;

    if (unlikely(counter != NULL)) {
        net_drop(counter, m);
        return 0;
    }
    frame_len = (uint32_t)(ETH + sizeof(struct net_ip6)) + rte_be_to_cpu_16(ip6_of(m)->len_be);
    if (m->pkt_len != frame_len)
        net_cut(m, frame_len);
    if (likely(ip6_of(m)->proto == IPPROTO_TCP) && !net_ip6_is_multicast(&ip6_of(m)->dst))
        return tcp(net, m, (unsigned)(ETH + sizeof(struct net_ip6)), seg);
    return deliver(net, m, now, seg, false);
}
