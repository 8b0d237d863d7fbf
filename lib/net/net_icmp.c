/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICMP (RFC 792): echo is answered in the packet it came in; errors about our TCP flows go to TCP,
 * which decides whether to believe them (RFC 5927); the rest is counted.
 */
#include "net_int.h"
#include "net_csum.h"

#define ECHO_EVERY HG_MS(1) /* answers: 1000 per second ... */
#define ECHO_BURST 64       /* ... and so many at once */

enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_ECHO = 8 };
enum { UNREACHABLE_TOO_BIG = 4 }; /* "fragmentation needed and DF set" */

bool icmp_may_answer(struct hg_net *net, hg_ns now)
{
    return net_limit_take(&net->echo, now, ECHO_EVERY, ECHO_BURST);
}

void icmp_echo_reply(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                     const struct rte_ether_addr *mac)
{
    bool v4 = hg_ip_is_v4(ip->dst);
    unsigned l3_len = v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct net_ip6);

    net_forget_rx(m);
    if (m->pkt_len + l3_len > hg_net_mtu(net, ip->dst)) {
        frag_output(net, m, ip, mac);
        return;
    }
    /* A port may give packets without room in front, and another tag to put there than they had. */
    if (rte_pktmbuf_headroom(m) < net->l2_len + l3_len) {
        net_drop(&net->c.tx_no_mbuf, m);
        return;
    }
    net_push_headers(net, m, ip);
    /* Back to where it came from: an echo must not fill the table of neighbours. */
    net_queue_to(net, m, mac);
}

static void echo_input(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct rte_ipv4_hdr *in = (const struct rte_ipv4_hdr *)(eth + 1);
    struct hg_ip src = net_ip_from_be(in->dst_addr), dst = net_ip_from_be(in->src_addr);
    struct net_l3 ip = {.src = &src, .dst = &dst, .proto = IPPROTO_ICMP};
    struct rte_ether_addr mac = eth->src_addr;
    struct icmp_hdr *icmp;

    if (rte_is_multicast_ether_addr(&mac)) {
        net_drop(&net->c.rx_icmp_bad, m);
        return;
    }
    if (!icmp_may_answer(net, now)) {
        net_drop(&net->c.rx_icmp_limited, m);
        return;
    }
    net->c.rx_icmp_echo++;
    icmp = (struct icmp_hdr *)rte_pktmbuf_adj(m, (uint16_t)(sizeof *eth + l3_len));
    icmp->type = ICMP_ECHO_REPLY;
    /* RFC 1624 3: the type's word went from 8 to 0, so the complemented sum grows by 8. */
    icmp->sum = hg_csum_fold((uint64_t)icmp->sum + ICMP_ECHO);
    icmp_echo_reply(net, m, &ip, &mac);
}

/* RFC 1191 7.1: what a router that does not say its MTU most likely has, below what was too big. */
static uint16_t plateau_below(uint16_t len)
{
    static const uint16_t plateau[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};

    for (unsigned i = 0; i < HG_ARRAY_LEN(plateau); i++) {
        if (plateau[i] < len)
            return plateau[i];
    }
    return 0;
}

/* The next-hop MTU, or 0 when the message makes no sense: RFC 791 asks every link for 68 bytes, and
 * the packet must really have been larger (RFC 5927 7.2). */
static uint16_t too_big_mtu(const struct icmp_hdr *icmp, const struct rte_ipv4_hdr *quoted)
{
    uint16_t len = rte_be_to_cpu_16(quoted->total_length);
    uint16_t mtu = (uint16_t)rte_be_to_cpu_32(icmp->rest_be); /* RFC 1191 4 */

    if (mtu == 0)
        mtu = plateau_below(len);
    return mtu >= 68 && mtu < len ? mtu : 0;
}

/* Fills *seg from the quoted packet. Returns the counter of what became of the message. */
static uint64_t *parse_error(struct hg_net *net, const struct icmp_hdr *icmp, unsigned len,
                             struct hg_seg *seg)
{
    const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(icmp + 1);
    const uint8_t *tcp; /* the first 8 bytes of its header: ports and sequence number */
    unsigned ip_len;
    struct hg_ip local;
    uint16_t port_be[2];
    uint32_t seq_be;

    if (len < sizeof *icmp + sizeof *ip || ip->version != 4 || ip->ihl < 5)
        return &net->c.rx_icmp_bad;
    ip_len = ip->ihl * 4u;
    local = net_ip_from_be(ip->src_addr);
    if (len < sizeof *icmp + ip_len + 8 || net_local(net, &local) == NULL ||
        net_is_martian4(net, ip->dst_addr))
        return &net->c.rx_icmp_bad;
    if (ip->next_proto_id != IPPROTO_TCP ||
        (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK)) != 0)
        return &net->c.rx_icmp_other;
    tcp = (const uint8_t *)ip + ip_len;
    memcpy(port_be, tcp, sizeof port_be);
    memcpy(&seq_be, tcp + 4, sizeof seq_be);
    *seg = (struct hg_seg){
        .kind = HG_SEG_UNREACHABLE,
        .flow = {.local = local,
                 .remote = net_ip_from_be(ip->dst_addr),
                 .lport = rte_be_to_cpu_16(port_be[0]),
                 .rport = rte_be_to_cpu_16(port_be[1])},
        .quoted_seq = rte_be_to_cpu_32(seq_be),
        .icmp_code = icmp->code,
    };
    if (icmp->code == UNREACHABLE_TOO_BIG) {
        seg->kind = HG_SEG_TOO_BIG;
        seg->mtu = too_big_mtu(icmp, ip);
        if (seg->mtu == 0)
            return &net->c.rx_icmp_bad;
    }
    return &net->c.rx_icmp_error;
}

unsigned icmp_input(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now,
                    struct hg_seg *seg)
{
    unsigned offset = sizeof(struct rte_ether_hdr) + l3_len;
    const struct icmp_hdr *icmp = rte_pktmbuf_mtod_offset(m, const struct icmp_hdr *, offset);
    uint64_t *counter = &net->c.rx_icmp_other;

    /* RFC 792: the sum covers the whole message; no port checks it for us. */
    if (m->pkt_len < offset + sizeof *icmp ||
        (!net->skip_csum && hg_csum_fold(hg_csum_mbuf(m, offset)) != 0xffff)) {
        net_drop(&net->c.rx_icmp_bad, m);
        return 0;
    }
    if (icmp->type == ICMP_ECHO && icmp->code == 0) {
        echo_input(net, m, l3_len, now);
        return 0;
    }
    if (icmp->type == ICMP_UNREACHABLE)
        counter = parse_error(net, icmp, m->data_len - offset, seg);
    net_drop(counter, m);
    return counter == &net->c.rx_icmp_error;
}
