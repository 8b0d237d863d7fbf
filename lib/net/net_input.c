/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a burst of frames to TCP segments, in one pass. The checks stand in the order of RFC 1122
 * 3.2.1 and 3.3; each failure has its counter. Trusted after each step:
 *
 *  1. net_contiguous(): the first min(pkt_len, NET_CONTIGUOUS) bytes lie in the first segment, so
 *     a comparison with data_len is enough before any header is read.
 *  2. untag(): the frame is of our VLAN, and has no tag any more.
 *  3. ipv4_header(): header length, total length <= frame, checksum, and no source route.
 *  4. ipv4_input(): for us, from a possible source, whole, and without padding behind it.
 */
#include "net_int.h"
#include "net_csum.h"
#include <rte_prefetch.h>
#include <rte_tcp.h>

#define AHEAD 4 /* packets whose headers are on their way into the cache */
#define MAC48 0xffffffffffffull

enum { OPT_END = 0, OPT_NOP = 1, OPT_LSRR = 131, OPT_SSRR = 137 }; /* RFC 791 3.1 */

/* Takes bytes from the front of the following segments, and frees those it empties. */
static void pull_from_next(struct rte_mbuf *m, uint16_t need)
{
    while (need > 0) {
        struct rte_mbuf *next = m->next;
        uint16_t take = RTE_MIN(need, next->data_len);

        memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len),
               rte_pktmbuf_mtod(next, const uint8_t *), take);
        m->data_len += take;
        next->data_off += take;
        next->data_len -= take;
        need -= take;
        if (next->data_len == 0) {
            m->next = next->next;
            m->nb_segs--;
            next->next = NULL;
            next->nb_segs = 1;
            rte_pktmbuf_free_seg(next);
        }
    }
}

/* The slow path for chains whose first segment is short; ports fill segments, so it is rare. */
static __rte_noinline bool pull(struct rte_mbuf *m, uint16_t len)
{
    if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1 || m->buf_len < len)
        return false;
    if (m->data_off + len > m->buf_len) {
        memmove(m->buf_addr, rte_pktmbuf_mtod(m, const void *), m->data_len);
        m->data_off = 0;
    }
    pull_from_next(m, (uint16_t)(len - m->data_len));
    return true;
}

bool net_contiguous(struct rte_mbuf *m, uint32_t len)
{
    len = RTE_MIN(m->pkt_len, len);
    return likely(m->nb_segs == 1 || m->data_len >= len) || pull(m, (uint16_t)len);
}

void net_cut(struct rte_mbuf *m, uint32_t len)
{
    struct rte_mbuf *seg = m;
    uint16_t n_segs = 1;

    m->pkt_len = len;
    while (len > seg->data_len) {
        len -= seg->data_len;
        seg = seg->next;
        n_segs++;
    }
    seg->data_len = (uint16_t)len;
    m->nb_segs = n_segs;
    if (seg->next != NULL) {
        rte_pktmbuf_free(seg->next);
        seg->next = NULL;
    }
}

/* RFC 1122 3.2.1.8: options are understood enough to be skipped; a source route is refused, since
 * it serves only to get around filters (RFC 7126 4.3, 4.4). */
static __rte_noinline bool options_pass(const uint8_t *opt, unsigned len)
{
    unsigned i = 0;

    while (i < len && opt[i] != OPT_END) {
        if (opt[i] == OPT_NOP) {
            i++;
            continue;
        }
        if (opt[i] == OPT_LSRR || opt[i] == OPT_SSRR)
            return false;
        if (i + 1 >= len || opt[i + 1] < 2 || opt[i + 1] > len - i)
            return false;
        i += opt[i + 1];
    }
    return true;
}

/* What the port says about a checksum, if it is one whose word counts. */
enum verdict { GOOD, BAD, UNKNOWN };

static inline enum verdict ip_verdict(const struct hg_net *net, const struct rte_mbuf *m)
{
    uint64_t mark = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

    if (!net->port->rx_csum || mark == RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN)
        return net->skip_csum ? GOOD : UNKNOWN;
    return mark == RTE_MBUF_F_RX_IP_CKSUM_BAD ? BAD : GOOD;
}

static inline enum verdict l4_verdict(const struct hg_net *net, const struct rte_mbuf *m)
{
    uint64_t mark = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    if (!net->port->rx_csum || mark == RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN)
        return net->skip_csum ? GOOD : UNKNOWN;
    return mark == RTE_MBUF_F_RX_L4_CKSUM_BAD ? BAD : GOOD;
}

/* Returns NULL when the header is sound, else the counter of what is wrong. */
static inline uint64_t *ipv4_header(struct hg_net *net, const struct rte_mbuf *m,
                                    const struct rte_ipv4_hdr *ip)
{
    unsigned len = ip->ihl * 4u;
    unsigned total = rte_be_to_cpu_16(ip->total_length);
    enum verdict verdict;

    if (ip->version != 4 || len < sizeof *ip || total < len)
        return &net->c.rx_ip_header;
    /* The frame holds all of total, and so, by step 1, the first segment all of len. */
    if (m->pkt_len - sizeof(struct rte_ether_hdr) < total)
        return &net->c.rx_short;
    verdict = ip_verdict(net, m);
    if (verdict == BAD || (verdict == UNKNOWN && hg_csum_fold(hg_csum_range(ip, len)) != 0xffff))
        return &net->c.rx_ip_csum;
    if (unlikely(len > sizeof *ip) &&
        !options_pass((const uint8_t *)(ip + 1), len - (unsigned)sizeof *ip))
        return &net->c.rx_ip_header;
    return NULL;
}

/* Always inline: it has two callers, and IPv4's is the way of most packets. */
static __rte_always_inline unsigned tcp_input(struct hg_net *net, struct rte_mbuf *m,
                                              const struct net_tcp_in *in, struct hg_seg *seg)
{
    uint32_t len = m->pkt_len - in->offset;
    const struct rte_tcp_hdr *tcp =
        rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, in->offset);
    enum verdict verdict = l4_verdict(net, m);

    if (unlikely(len < sizeof *tcp)) {
        net_drop(&net->c.rx_short, m);
        return 0;
    }
    if (verdict == UNKNOWN) {
        uint64_t sum = in->pseudo + ((uint32_t)IPPROTO_TCP << 8) + __builtin_bswap16((uint16_t)len);

        verdict = hg_csum_fold(sum + hg_csum_mbuf(m, in->offset)) == 0xffff ? GOOD : BAD;
    }
    if (unlikely(verdict == BAD)) {
        net_drop(&net->c.rx_tcp_csum, m);
        return 0;
    }
    seg->kind = HG_SEG_TCP;
    seg->m = m;
    seg->flow.lport = rte_be_to_cpu_16(tcp->dst_port);
    seg->flow.rport = rte_be_to_cpu_16(tcp->src_port);
    seg->quoted_seq = 0;
    seg->mtu = 0;
    seg->icmp_code = 0;
    seg->ecn = in->ecn;
    rte_pktmbuf_adj(m, (uint16_t)in->offset);
    return 1;
}

unsigned net_tcp_input(struct hg_net *net, struct rte_mbuf *m, const struct net_tcp_in *in,
                       struct hg_seg *seg)
{
    return tcp_input(net, m, in, seg);
}

/* Sound, ours and whole. Always inline, for the same reason. */
static __rte_always_inline unsigned ipv4_deliver(struct hg_net *net, struct rte_mbuf *m, hg_ns now,
                                                 struct hg_seg *seg)
{
    const struct rte_ipv4_hdr *ip =
        rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
    struct net_tcp_in in = {.offset = (unsigned)sizeof(struct rte_ether_hdr) + ip->ihl * 4u,
                            .pseudo = (uint64_t)ip->src_addr + ip->dst_addr,
                            .ecn = ip->type_of_service & 3};

    if (unlikely(ip->next_proto_id != IPPROTO_TCP))
        return icmp_input(net, m, ip->ihl * 4u, now, seg);
    seg->flow.local = net_ip_from_be(ip->dst_addr);
    seg->flow.remote = net_ip_from_be(ip->src_addr);
    return tcp_input(net, m, &in, seg);
}

static __rte_noinline unsigned ipv4_fragment(struct hg_net *net, struct rte_mbuf *m, hg_ns now,
                                             struct hg_seg *seg)
{
    const struct rte_ipv4_hdr *ip =
        rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));

    m = frag_input4(net, m, ip->ihl * 4u, now);
    return m != NULL ? ipv4_deliver(net, m, now, seg) : 0;
}

static __rte_noinline bool is_ours4(struct hg_net *net, uint32_t ip_be)
{
    struct hg_ip ip = net_ip_from_be(ip_be);

    return addr_usable(net, &ip) != NULL;
}

static inline unsigned ipv4_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now,
                                  struct hg_seg *seg)
{
    const struct rte_ipv4_hdr *ip =
        rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
    uint64_t *counter = NULL;
    uint32_t frame_len;

    if (m->data_len < sizeof(struct rte_ether_hdr) + sizeof *ip)
        counter = &net->c.rx_short;
    else
        counter = ipv4_header(net, m, ip);
    if (counter == NULL) {
        if (ip->dst_addr != net->hit4_be && !is_ours4(net, ip->dst_addr))
            counter = &net->c.rx_not_ours;
        else if (net_is_martian4(net, ip->src_addr))
            counter = &net->c.rx_ip_martian;
        else if (ip->next_proto_id != IPPROTO_TCP && ip->next_proto_id != IPPROTO_ICMP)
            counter = &net->c.rx_ip_proto;
    }
    if (unlikely(counter != NULL)) {
        net_drop(counter, m);
        return 0;
    }
    frame_len = sizeof(struct rte_ether_hdr) + rte_be_to_cpu_16(ip->total_length);
    if (m->pkt_len != frame_len)
        net_cut(m, frame_len);
    if (unlikely(
            (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0))
        return ipv4_fragment(net, m, now, seg);
    return ipv4_deliver(net, m, now, seg);
}

/* What is not a unicast IP frame for us. */
static __rte_noinline unsigned other_frame(struct hg_net *net, struct rte_mbuf *m, hg_ns now,
                                           struct hg_seg *seg)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    bool for_us = rte_is_same_ether_addr(&eth->dst_addr, &net->port->mac);
    bool broadcast = rte_is_broadcast_ether_addr(&eth->dst_addr);
    /* RFC 2464 7; which groups are ours is decided by the IP address. */
    bool group6 = eth->dst_addr.addr_bytes[0] == 0x33 && eth->dst_addr.addr_bytes[1] == 0x33;

    if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && net->ip6 && (for_us || group6))
        return ip6_input(net, m, now, seg);
    /* RFC 1122 3.3.6: IP in a link-layer broadcast is not for TCP and not for echo. */
    if (!for_us && (!broadcast || eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
                    eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)))
        net_drop(&net->c.rx_not_ours, m);
    else if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP))
        arp_input(net, m, now);
    else
        net_drop(&net->c.rx_ethertype, m);
    return 0;
}

/* Takes the tag off, be it in the frame or in the mbuf; false when it is not ours. VLAN 0 is
 * priority only (IEEE 802.1Q 9.6), as good as no tag. */
static __rte_noinline bool untag(struct hg_net *net, struct rte_mbuf *m)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct rte_vlan_hdr *tag = (const struct rte_vlan_hdr *)(eth + 1);
    uint16_t vlan = 0;
    uint8_t *start;

    if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0)
        return (m->vlan_tci & 0xfff) == net->vlan;
    if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
        if (m->data_len < sizeof *eth + sizeof *tag)
            return false;
        vlan = rte_be_to_cpu_16(tag->vlan_tci) & 0xfff;
        start = rte_pktmbuf_mtod(m, uint8_t *);
        memmove(start + sizeof *tag, start, 2 * RTE_ETHER_ADDR_LEN);
        rte_pktmbuf_adj(m, sizeof *tag);
    }
    return vlan == net->vlan;
}

static inline unsigned frame_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now,
                                   struct hg_seg *seg)
{
    const struct rte_ether_hdr *eth;
    uint64_t dst;

    if (unlikely(!net_contiguous(m, NET_CONTIGUOUS) || m->data_len < sizeof *eth)) {
        net_drop(&net->c.rx_short, m);
        return 0;
    }
    eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    if (unlikely(net->vlan != 0 || eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
                 (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0)) {
        if (!untag(net, m)) {
            net_drop(&net->c.rx_vlan, m);
            return 0;
        }
        eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    }
    memcpy(&dst, eth, sizeof dst);
    if (likely((dst & MAC48) == net->mac48)) {
        if (likely(eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)))
            return ipv4_input(net, m, now, seg);
        if (likely(eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && net->ip6))
            return ip6_input(net, m, now, seg);
    }
    return other_frame(net, m, now, seg);
}

/* Ethernet, IPv4 and TCP with timestamps are 66 bytes: two lines. */
static void prefetch_headers(const struct rte_mbuf *m)
{
    rte_prefetch0(rte_pktmbuf_mtod(m, const void *));
    rte_prefetch0(rte_pktmbuf_mtod_offset(m, const void *, RTE_CACHE_LINE_SIZE));
}

unsigned hg_net_input(struct hg_net *net, struct rte_mbuf **pkts, unsigned n, hg_ns now,
                      struct hg_seg *segs)
{
    unsigned n_segs = 0;

    net->c.rx_packets += n;
    for (unsigned i = 0; i < n && i < AHEAD; i++)
        prefetch_headers(pkts[i]);
    for (unsigned i = 0; i < n; i++) {
        if (i + AHEAD < n)
            prefetch_headers(pkts[i + AHEAD]);
        n_segs += frame_input(net, pkts[i], now, &segs[n_segs]);
    }
    return n_segs;
}
