/* SPDX-License-Identifier: BSD-3-Clause */
/* From a TCP segment to a burst on the port: route, headers, checksums, neighbour, batch. */
#include "net_int.h"
#include "net_csum.h"
#include <assert.h>
#include <rte_tcp.h>

/* Flushes without progress after which the packet at the head is given up: a port that will never
 * take it must not hold up those behind it, while a full ring deserves patience. */
#define STUCK_MAX 64

/* The neighbour a packet goes to (RFC 1122 3.3.1.1), or 0. */
static uint32_t next_hop(const struct net_addrs *addrs, uint32_t dst_be)
{
    if (net_is_martian(addrs, dst_be))
        return 0;
    return net_on_link(addrs, dst_be) ? dst_be : addrs->gateway_be;
}

void net_push_headers(struct hg_net *net, struct rte_mbuf *m, uint32_t dst_be, uint8_t proto)
{
    uint16_t len = rte_cpu_to_be_16((uint16_t)(m->pkt_len + sizeof(struct rte_ipv4_hdr)));
    uint16_t id = rte_cpu_to_be_16(net->ip_id++);
    struct net_hdr *hdr = (struct net_hdr *)rte_pktmbuf_prepend(m, sizeof *hdr);

    assert(hdr != NULL);
    *hdr = net->hdr;
    hdr->ip.total_length = len;
    hdr->ip.packet_id = id;
    hdr->ip.next_proto_id = proto;
    hdr->ip.dst_addr = dst_be;
    if (net->port->tx_ip_csum) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
        m->l2_len = sizeof hdr->eth;
        m->l3_len = sizeof hdr->ip;
    } else {
        uint64_t sum = net->hdr_sum + len + id + ((uint64_t)proto << 8) + dst_be;

        hdr->ip.hdr_checksum = (uint16_t)~hg_csum_fold(sum);
    }
}

/* Fills the TCP checksum, or prepares it for the port: the field then holds the pseudo-header's
 * sum, as the mbuf API asks. m starts at the TCP header. */
static void finish_tcp(const struct hg_net *net, struct rte_mbuf *m, uint32_t dst_be)
{
    struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod(m, struct rte_tcp_hdr *);
    uint64_t sum = hg_csum_pseudo(net->addrs.self_be, dst_be, IPPROTO_TCP, (uint16_t)m->pkt_len);

    if (net->port->tx_tcp_csum) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
        m->l2_len = sizeof(struct rte_ether_hdr);
        m->l3_len = sizeof(struct rte_ipv4_hdr);
        m->l4_len = (tcp->data_off >> 4) * 4;
        tcp->cksum = hg_csum_fold(sum);
    } else {
        tcp->cksum = 0;
        tcp->cksum = (uint16_t)~hg_csum_fold(sum + hg_csum_mbuf(m, 0));
    }
}

void hg_net_emit(struct hg_net *net, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    const struct hg_flow *flow = tx->flow;
    uint32_t dst_be = net_v4_be(&flow->remote);
    uint32_t hop_be = next_hop(&net->addrs, dst_be);
    struct nbr *nbr = net->last;

    assert(hg_ip_is_v4(&flow->remote) && hg_ip_equal(&flow->local, &net->local));
    assert(m->data_len >= sizeof(struct rte_tcp_hdr));
    assert(m->pkt_len + sizeof(struct rte_ipv4_hdr) <= net->port->mtu);
    if (hop_be == 0) {
        net_drop(&net->c.tx_no_route, m);
        return;
    }
    finish_tcp(net, m, dst_be);
    net_push_headers(net, m, dst_be, IPPROTO_TCP);
    if (nbr == NULL || nbr->ip_be != hop_be) {
        nbr = nbr_get(net, hop_be, now);
        if (nbr == NULL) {
            net_drop(&net->c.tx_arp_wait_drop, m);
            return;
        }
        net->last = nbr;
    }
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
