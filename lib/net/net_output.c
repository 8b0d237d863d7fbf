/* SPDX-License-Identifier: BSD-3-Clause */
/* From a TCP segment to a burst on the port: route, headers, checksums, neighbour, batch. */
#include "net_int.h"
#include "net_csum.h"
#include <assert.h>
#include <rte_tcp.h>

/* Flushes without progress after which the packet at the head is given up: a port that will never
 * take it must not hold up those behind it, while a full ring deserves patience. */
#define STUCK_MAX 64

_Static_assert(offsetof(struct hg_flow, remote) == sizeof(struct hg_ip),
               "both addresses of a flow are summed as one range");

struct rte_mbuf *net_alloc(struct hg_net *net, unsigned len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
    char *p = m != NULL ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;

    if (p == NULL) {
        net->c.tx_no_mbuf++;
        rte_pktmbuf_free(m);
        return NULL;
    }
    memset(p, 0, len);
    return m;
}

static inline void push_eth(struct hg_net *net, struct rte_mbuf *m, uint16_t type_be)
{
    uint8_t *eth = (uint8_t *)rte_pktmbuf_prepend(m, net->l2_len);

    assert(eth != NULL);
    memcpy(eth, net->eth, RTE_ETHER_HDR_LEN);
    if (unlikely(net->vlan != 0)) {
        memcpy(eth, net->eth, sizeof net->eth);
        eth += RTE_VLAN_HLEN;
    }
    memcpy(eth + 2 * RTE_ETHER_ADDR_LEN, &type_be, sizeof type_be);
    if (m->ol_flags != 0)
        m->l2_len = net->l2_len;
}

void net_push_eth(struct hg_net *net, struct rte_mbuf *m, uint16_t type_be)
{
    push_eth(net, m, type_be);
}

static inline void push_ip4(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *l3)
{
    uint16_t len = rte_cpu_to_be_16((uint16_t)(m->pkt_len + sizeof(struct rte_ipv4_hdr)));
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_prepend(m, sizeof *ip);

    assert(ip != NULL);
    *ip = (struct rte_ipv4_hdr){
        .version_ihl = RTE_IPV4_VHL_DEF,
        .type_of_service = l3->ecn,
        .total_length = len,
        .packet_id = l3->frag_be != 0 ? l3->id_be : rte_cpu_to_be_16(net->ip_id++),
        .fragment_offset = l3->frag_be != 0 ? l3->frag_be : RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
        .time_to_live = NET_HOPS,
        .next_proto_id = l3->proto,
        .src_addr = net_v4_be(l3->src),
        .dst_addr = net_v4_be(l3->dst),
    };
    if (net->port->tx_ip_csum) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
        m->l3_len = sizeof *ip;
    } else {
        uint64_t sum = net->hdr4_sum + ((uint64_t)l3->ecn << 8) + len + ip->packet_id +
                       ip->fragment_offset + ((uint64_t)l3->proto << 8) + ip->src_addr +
                       ip->dst_addr;

        ip->hdr_checksum = (uint16_t)~hg_csum_fold(sum);
    }
}

static inline void push_ip6(struct rte_mbuf *m, const struct net_l3 *l3)
{
    uint16_t len = (uint16_t)m->pkt_len;
    struct net_ip6 *ip = (struct net_ip6 *)rte_pktmbuf_prepend(m, sizeof *ip);

    assert(ip != NULL);
    ip->vtc_flow_be =
        rte_cpu_to_be_32(UINT32_C(6) << 28 | (uint32_t)l3->ecn << 20 | (l3->label & 0xfffff));
    ip->len_be = rte_cpu_to_be_16(len);
    ip->proto = l3->proto;
    ip->hops = l3->hops != 0 ? l3->hops : NET_HOPS;
    ip->src = *l3->src;
    ip->dst = *l3->dst;
}

static inline void push_headers(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *l3,
                                bool v4)
{
    if (v4) {
        push_ip4(net, m, l3);
        push_eth(net, m, RTE_BE16(RTE_ETHER_TYPE_IPV4));
    } else {
        push_ip6(m, l3);
        push_eth(net, m, RTE_BE16(RTE_ETHER_TYPE_IPV6));
    }
}

void net_push_headers(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *l3)
{
    push_headers(net, m, l3, net_ip_is_v4(l3->dst));
}

/* Fills the TCP checksum, or prepares it for the port: the field then holds the pseudo-header's
 * sum, as the mbuf API asks. m starts at the TCP header. RFC 9293 3.1, RFC 8200 8.1. */
static inline void finish_tcp(const struct hg_net *net, struct rte_mbuf *m,
                              const struct hg_flow *flow, bool v4)
{
    struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod(m, struct rte_tcp_hdr *);
    bool large = m->tso_segsz != 0; /* then the port adds each packet's length */
    uint64_t sum =
        ((uint32_t)IPPROTO_TCP << 8) + (large ? 0 : __builtin_bswap16((uint16_t)m->pkt_len));

    if (v4)
        sum += (uint64_t)net_v4_be(&flow->local) + net_v4_be(&flow->remote);
    else
        sum += hg_csum_range(&flow->local, 2 * sizeof flow->local);
    if (net->port->tx_tcp_csum) {
        m->ol_flags |= (v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6) | RTE_MBUF_F_TX_TCP_CKSUM;
        m->l3_len = v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct net_ip6);
        m->l4_len = (tcp->data_off >> 4) * 4;
        if (large)
            m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
        tcp->cksum = hg_csum_fold(sum);
    } else {
        tcp->cksum = 0;
        tcp->cksum = (uint16_t)~hg_csum_fold(sum + hg_csum_mbuf(m, 0));
    }
}

/* RFC 6437 3: the same for all packets of a flow, and not to be guessed from outside. */
static uint32_t flow_label(const struct hg_net *net, const struct hg_flow *flow)
{
    uint64_t w[4], h = net->secret[0] ^ ((uint64_t)flow->lport << 16 | flow->rport);

    memcpy(w, flow, sizeof w);
    for (unsigned i = 0; i < HG_ARRAY_LEN(w); i++) {
        h = (h ^ w[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return (uint32_t)((h ^ net->secret[1]) * UINT64_C(0x9e3779b97f4a7c15) >> 44);
}

/* The neighbour towards flow->remote; NULL, and the counter of the drop, when there is none. */
static inline struct nbr *neighbour(struct hg_net *net, const struct hg_flow *flow, hg_ns now,
                                    uint64_t **counter)
{
    if (unlikely(net->last.gen != net->route_gen ||
                 !net_ip_same(&net->last.remote, &flow->remote))) {
        net->last.gen = 0;
        if (!route_find(net, &flow->remote, &net->last.hop)) {
            *counter = &net->c.tx_no_route;
            return NULL;
        }
        net->last.remote = flow->remote;
        net->last.gen = net->route_gen;
    }
    if (unlikely(net->last.nbr == NULL || !net_ip_same(&net->last.nbr->ip, &net->last.hop))) {
        net->last.nbr = nbr_get(net, &net->last.hop, now);
        *counter = &net->c.tx_arp_wait_drop;
    }
    return net->last.nbr;
}

void hg_net_emit(struct hg_net *net, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    const struct hg_flow *flow = tx->flow;
    struct net_l3 l3 = {
        .src = &flow->local, .dst = &flow->remote, .proto = IPPROTO_TCP, .ecn = tx->ecn & 3};
    uint64_t *counter = &net->c.tx_no_source;
    bool v4 = net_ip_is_v4(&flow->remote);
    struct nbr *nbr = NULL;

    assert(v4 == net_ip_is_v4(&flow->local));
    assert(m->data_len >= sizeof(struct rte_tcp_hdr));
    assert(m->tso_segsz != 0 ? m->pkt_len <= net->port->tx_tso
                             : m->pkt_len + sizeof(struct rte_ipv4_hdr) <= net->port->mtu);
    /* An address made from router advertisements may end before its connections do. */
    if (likely(net_local(net, &flow->local) != NULL))
        nbr = neighbour(net, flow, now, &counter);
    if (unlikely(nbr == NULL)) {
        net_drop(counter, m);
        return;
    }
    finish_tcp(net, m, flow, v4);
    if (!v4)
        l3.label = flow_label(net, flow);
    push_headers(net, m, &l3, v4);
    nbr_send(net, nbr, m, now);
}

static struct rte_mbuf *linearise(struct hg_net *net, struct rte_mbuf *m)
{
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, net->pool, 0, UINT32_MAX);

    rte_pktmbuf_free(m);
    return copy;
}

void net_queue(struct hg_net *net, struct rte_mbuf *m)
{
    if (unlikely(m->nb_segs > 1 && !net->port->tx_multi_seg)) {
        m = linearise(net, m);
        if (m == NULL) {
            net->c.tx_no_mbuf++;
            return;
        }
    }
    if (net->n_batch == NET_BATCH)
        hg_net_flush(net);
    if (net->n_batch == NET_BATCH) {
        net_drop(&net->c.tx_port_full, m);
        return;
    }
    net->batch[net->n_batch++] = m;
}

/* What the port did not take stays at the head of the batch for the next flush. */
void hg_net_flush(struct hg_net *net)
{
    uint16_t done = 0, taken = 1;

    while (done < net->n_batch && taken > 0) {
        taken = hg_port_tx(net->port, net->queue, net->batch + done, net->n_batch - done);
        done += taken;
    }
    net->c.tx_packets += done;
    if (done > 0 || net->n_batch == 0) {
        net->stuck = 0;
    } else if (++net->stuck == STUCK_MAX) {
        net->stuck = 0;
        net_drop(&net->c.tx_port_full, net->batch[0]);
        done = 1;
    }
    net->n_batch -= done;
    memmove(net->batch, net->batch + done, net->n_batch * sizeof net->batch[0]);
}
