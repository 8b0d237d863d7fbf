/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICMPv6 (RFC 4443): echo is answered; errors about our TCP flows go to TCP, which decides whether
 * to believe them (RFC 5927); ND, router advertisements and MLD queries go to their files.
 */
#include "net_int.h"
#include "net_csum.h"
#include <netinet/in.h>

#define ERROR_EVERY HG_MS(10) /* errors we send: 100 per second ... (RFC 4443 2.4(f)) */
#define ERROR_BURST 10        /* ... and so many at once */
#define ND_MAX 1280u          /* bytes of an ND or MLD message that is looked at */
#define HOPS_ND 255           /* RFC 4861 7.1: nobody off the link can send it */

static uint64_t pseudo(const struct hg_ip *src, const struct hg_ip *dst, uint32_t len)
{
    return hg_csum_range(src, sizeof *src) + hg_csum_range(dst, sizeof *dst) +
           ((uint32_t)IPPROTO_ICMPV6 << 8) + __builtin_bswap16((uint16_t)len);
}

/* RFC 2464 7. */
static struct rte_ether_addr group_mac(const struct hg_ip *ip)
{
    return (struct rte_ether_addr){{0x33, 0x33, ip->b[12], ip->b[13], ip->b[14], ip->b[15]}};
}

void icmp6_sum(struct rte_mbuf *m, const struct net_l3 *ip)
{
    struct icmp_hdr *icmp = rte_pktmbuf_mtod(m, struct icmp_hdr *);

    icmp->sum = 0;
    icmp->sum = (uint16_t)~hg_csum_fold(pseudo(ip->src, ip->dst, m->pkt_len) + hg_csum_mbuf(m, 0));
}

void icmp6_send(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                const struct rte_ether_addr *mac)
{
    struct rte_ether_addr group = group_mac(ip->dst);

    if (ip->proto == IPPROTO_ICMPV6)
        icmp6_sum(m, ip);
    net_push_headers(net, m, ip);
    net_queue_to(net, m, mac != NULL ? mac : &group);
}

void icmp6_parameter(struct hg_net *net, const struct rte_mbuf *m, uint8_t code, unsigned at,
                     hg_ns now)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct net_ip6 *in = (const struct net_ip6 *)(eth + 1);
    struct hg_ip src = in->dst, dst = in->src;
    struct net_l3 ip = {.src = &src, .dst = &dst, .proto = IPPROTO_ICMPV6};
    uint32_t quoted = m->data_len - (uint32_t)sizeof *eth;
    struct icmp_hdr *icmp;
    struct rte_mbuf *out;

    /* RFC 4443 2.4(e): not to a group, and not to somebody without an address. */
    if (net_ip_is_zero(&dst) || rte_is_multicast_ether_addr(&eth->src_addr) ||
        (net_ip6_is_multicast(&src) && hg_net_source(net, &dst, &src) != 0) ||
        !net_limit_take(&net->error, now, ERROR_EVERY, ERROR_BURST))
        return;
    /* RFC 4443 2.4(c): as much as fits, the whole being no larger than the minimum MTU. */
    quoted = RTE_MIN(quoted, NET_IP6_MTU_MIN - (uint32_t)(sizeof *in + sizeof *icmp));
    out = net_alloc(net, (unsigned)sizeof *icmp + quoted);
    if (out == NULL)
        return;
    icmp = rte_pktmbuf_mtod(out, struct icmp_hdr *);
    icmp->type = ICMP6_PARAMETER;
    icmp->code = code;
    icmp->rest_be = rte_cpu_to_be_32(at);
    memcpy(icmp + 1, in, quoted);
    net->c.tx_icmp_error++;
    icmp6_send(net, out, &ip, &eth->src_addr);
}

/* ---- echo ---- */

static void echo_input(struct hg_net *net, struct rte_mbuf *m, unsigned offset, hg_ns now)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct net_ip6 *in = (const struct net_ip6 *)(eth + 1);
    struct hg_ip src = in->dst, dst = in->src;
    struct net_l3 ip = {.src = &src, .dst = &dst, .proto = IPPROTO_ICMPV6};
    struct rte_ether_addr mac = eth->src_addr;

    if (rte_is_multicast_ether_addr(&mac) || net_ip_is_zero(&dst) ||
        (net_ip6_is_multicast(&src) && hg_net_source(net, &dst, &src) != 0)) {
        net_drop(&net->c.rx_icmp_bad, m);
        return;
    }
    if (!icmp_may_answer(net, now)) {
        net_drop(&net->c.rx_icmp_limited, m);
        return;
    }
    net->c.rx_icmp_echo++;
    rte_pktmbuf_adj(m, (uint16_t)offset);
    rte_pktmbuf_mtod(m, struct icmp_hdr *)->type = ICMP6_ECHO_REPLY;
    icmp6_sum(m, &ip);
    icmp_echo_reply(net, m, &ip, &mac);
}

/* ---- errors ---- */

/* What TCP is told, in the codes of RFC 792 that it knows. */
static uint8_t code4(uint8_t code)
{
    static const uint8_t map[] = {
        0,  /* no route: network unreachable */
        13, /* administratively prohibited */
        0,  /* beyond the scope of the source */
        1,  /* address unreachable: host unreachable */
        3,  /* port unreachable */
        13, /* source address failed policy (RFC 4443 3.1) */
        13, /* reject route */
    };

    return code < HG_ARRAY_LEN(map) ? map[code] : 0;
}

/* Whether the message may be true: RFC 8201 4 discards an MTU below the minimum; and what was too
 * big must have been larger than what fits (RFC 5927 7.2). */
static bool too_big_sound(const struct hg_net *net, const struct icmp_hdr *icmp,
                          const struct net_ip6 *quoted)
{
    uint32_t mtu = rte_be_to_cpu_32(icmp->rest_be);

    return mtu >= NET_IP6_MTU_MIN && mtu < net->port->mtu &&
           mtu < sizeof *quoted + rte_be_to_cpu_16(quoted->len_be);
}

/* Fills *seg from the quoted packet. Returns the counter of what became of the message. We send no
 * extension headers, so a quoted packet of ours has none. */
static uint64_t *parse_error(struct hg_net *net, const struct icmp_hdr *icmp, unsigned len,
                             struct hg_seg *seg)
{
    const struct net_ip6 *ip = (const struct net_ip6 *)(icmp + 1);
    const uint8_t *tcp = (const uint8_t *)(ip + 1);
    uint16_t port_be[2];
    uint32_t seq_be;

    if (len < sizeof *icmp + sizeof *ip + 8 ||
        (ip->vtc_flow_be & RTE_BE32(0xf0000000)) != RTE_BE32(0x60000000) ||
        net_local(net, &ip->src) == NULL || net_is_martian6(net, &ip->dst))
        return &net->c.rx_icmp_bad;
    if (ip->proto != IPPROTO_TCP)
        return &net->c.rx_icmp_other;
    memcpy(port_be, tcp, sizeof port_be);
    memcpy(&seq_be, tcp + 4, sizeof seq_be);
    *seg = (struct hg_seg){
        .kind = icmp->type == ICMP6_TOO_BIG ? HG_SEG_TOO_BIG : HG_SEG_UNREACHABLE,
        .flow = {.local = ip->src,
                 .remote = ip->dst,
                 .lport = rte_be_to_cpu_16(port_be[0]),
                 .rport = rte_be_to_cpu_16(port_be[1])},
        .quoted_seq = rte_be_to_cpu_32(seq_be),
        .icmp_code = icmp->type == ICMP6_UNREACHABLE ? code4(icmp->code) : 0,
    };
    if (icmp->type == ICMP6_TOO_BIG) {
        if (!too_big_sound(net, icmp, ip))
            return &net->c.rx_icmp_bad;
        seg->mtu = (uint16_t)rte_be_to_cpu_32(icmp->rest_be);
    }
    return &net->c.rx_icmp_error;
}

/* ---- dispatch ---- */

/* Returns the counter of what became of the message. RFC 4861 7.1, RFC 3810 6.2. */
static uint64_t *neighbour_message(struct hg_net *net, struct rte_mbuf *m, unsigned offset,
                                   hg_ns now)
{
    struct nd_msg msg;

    if (m->pkt_len > offset + ND_MAX || !net_contiguous(m, m->pkt_len))
        return &net->c.rx_nd_bad;
    msg.eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    msg.ip = (const struct net_ip6 *)(msg.eth + 1);
    msg.body = rte_pktmbuf_mtod_offset(m, const uint8_t *, offset);
    msg.len = m->pkt_len - offset;
    if (msg.body[0] == ICMP6_MLD_QUERY)
        return mld_query_input(net, &msg, now);
    if (msg.ip->hops != HOPS_ND || msg.body[1] != 0)
        return &net->c.rx_nd_bad;
    switch (msg.body[0]) {
    case ICMP6_RA:
        return ra_input(net, &msg, now);
    case ICMP6_NS:
        return nd_solicit_input(net, &msg, now);
    case ICMP6_NA:
        return nd_advert_input(net, &msg, now);
    default:
        /* Our way to a host is our configuration's; a redirect is what an attacker would send. */
        return &net->c.rx_nd_redirect;
    }
}

unsigned icmp6_input(struct hg_net *net, struct rte_mbuf *m, unsigned offset, hg_ns now,
                     struct hg_seg *seg)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct net_ip6 *ip = (const struct net_ip6 *)(eth + 1);
    const struct icmp_hdr *icmp = rte_pktmbuf_mtod_offset(m, const struct icmp_hdr *, offset);
    uint64_t *counter = &net->c.rx_icmp_other;

    if (m->pkt_len < offset + sizeof *icmp ||
        (!net->skip_csum && hg_csum_fold(pseudo(&ip->src, &ip->dst, m->pkt_len - offset) +
                                         hg_csum_mbuf(m, offset)) != 0xffff)) {
        net_drop(&net->c.rx_icmp_bad, m);
        return 0;
    }
    switch (icmp->type) {
    case ICMP6_ECHO:
        echo_input(net, m, offset, now);
        return 0;
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
        counter = parse_error(net, icmp, m->data_len - offset, seg);
        break;
    case ICMP6_MLD_QUERY:
    case ICMP6_RA:
    case ICMP6_NS:
    case ICMP6_NA:
    case ICMP6_REDIRECT:
        counter = neighbour_message(net, m, offset, now);
        break;
    default:
        break;
    }
    net_drop(counter, m);
    return counter == &net->c.rx_icmp_error;
}
