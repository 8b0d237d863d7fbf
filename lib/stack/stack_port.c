/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port of byte buffers. In raw mode the harness sees IP packets: the Ethernet header is added and
 * removed here, and ARP requests (RFC 826) are answered with an address that stands for everybody.
 */
#include "stack_priv.h"
#include <errno.h>
#include <rte_arp.h>
#include <string.h>

static const struct rte_ether_addr everybody = {{0x02, 0, 0, 0, 0, 0xff}};

static bool queue_put(struct packet_queue *q, struct rte_mbuf *m)
{
    if (q->n == HG_STACK_QUEUE)
        return false;
    q->m[(q->head + q->n++) % HG_STACK_QUEUE] = m;
    return true;
}

static struct rte_mbuf *queue_take(struct packet_queue *q)
{
    struct rte_mbuf *m;

    if (q->n == 0)
        return NULL;
    m = q->m[q->head];
    q->head = (q->head + 1) % HG_STACK_QUEUE;
    q->n--;
    return m;
}

/* ---- the side of lib/net ---- */

static uint16_t port_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max)
{
    struct stack_port *p = HG_CONTAINER_OF(port, struct stack_port, port);
    uint16_t n = 0;

    (void)queue;
    while (n < max && (pkts[n] = queue_take(&p->in)) != NULL)
        n++;
    return n;
}

/* The answer to an ARP request goes where packets come in. Probes and announcements ask nobody. */
static void answer_arp(struct stack_port *p, struct rte_mbuf *m)
{
    struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
    struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);
    struct rte_arp_ipv4 *d = &arp->arp_data;
    rte_be32_t asked = d->arp_tip;

    if (m->data_len < sizeof *eth + sizeof *arp || d->arp_sip == 0 || d->arp_sip == asked ||
        arp->arp_opcode != RTE_BE16(RTE_ARP_OP_REQUEST)) {
        rte_pktmbuf_free(m);
        return;
    }
    eth->dst_addr = eth->src_addr;
    eth->src_addr = everybody;
    arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
    d->arp_tip = d->arp_sip;
    d->arp_tha = d->arp_sha;
    d->arp_sip = asked;
    d->arp_sha = everybody;
    if (!queue_put(&p->in, m))
        rte_pktmbuf_free(m);
}

static uint16_t port_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct stack_port *p = HG_CONTAINER_OF(port, struct stack_port, port);
    uint16_t i;

    (void)queue;
    for (i = 0; i < n; i++) {
        const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *);

        if (p->raw_ip && eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP))
            answer_arp(p, pkts[i]);
        else if (!queue_put(&p->out, pkts[i]))
            break;
    }
    return i;
}

static void port_close(struct hg_port *port)
{
    (void)port; /* part of the stack; stack_port_fini() empties it */
}

static bool port_link(struct hg_port *port, uint16_t queue)
{
    (void)port;
    (void)queue;
    return true;
}

static const struct hg_port_ops ops = {port_rx, port_tx, port_link, port_close};

/* ---- the side of the harness ---- */

static void fill_ethernet(const struct stack_port *p, struct rte_ether_hdr *eth)
{
    const uint8_t *ip = (const uint8_t *)(eth + 1);

    eth->dst_addr = p->port.mac;
    eth->src_addr = everybody;
    eth->ether_type =
        ip[0] >> 4 == 6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6) : RTE_BE16(RTE_ETHER_TYPE_IPV4);
}

int stack_port_put(struct stack_port *p, const void *packet, size_t len)
{
    size_t front = p->raw_ip ? RTE_ETHER_HDR_LEN : 0;
    struct rte_mbuf *m;

    if (len == 0 || len + front > (size_t)p->port.mtu + RTE_ETHER_HDR_LEN)
        return -EMSGSIZE;
    m = p->in.n == HG_STACK_QUEUE ? NULL : rte_pktmbuf_alloc(p->pool);
    if (m == NULL)
        return -ENOBUFS;
    memcpy(rte_pktmbuf_append(m, (uint16_t)(len + front)) + front, packet, len);
    if (p->raw_ip)
        fill_ethernet(p, rte_pktmbuf_mtod(m, struct rte_ether_hdr *));
    queue_put(&p->in, m);
    return 0;
}

ssize_t stack_port_take(struct stack_port *p, void *packet, size_t cap)
{
    uint32_t front = p->raw_ip ? RTE_ETHER_HDR_LEN : 0;
    struct rte_mbuf *m;
    uint32_t len;

    if (p->out.n == 0)
        return 0;
    m = p->out.m[p->out.head];
    len = m->pkt_len - front;
    if (len > cap)
        return -EMSGSIZE;
    for (uint32_t at = 0; m != NULL; at += m->data_len, m = m->next) {
        uint32_t skip = at < front ? front - at : 0;

        if (skip < m->data_len)
            memcpy((uint8_t *)packet + at + skip - front,
                   rte_pktmbuf_mtod_offset(m, uint8_t *, skip), m->data_len - skip);
    }
    rte_pktmbuf_free(queue_take(&p->out));
    return (ssize_t)len;
}

void stack_port_init(struct stack_port *p, const struct hg_stack_cfg *cfg, struct rte_mempool *pool)
{
    p->port = (struct hg_port){
        .ops = &ops, .name = "stack", .mtu = cfg->mtu, .n_queues = 1, .tx_multi_seg = true};
    memcpy(&p->port.mac, cfg->mac, sizeof cfg->mac);
    p->pool = pool;
    p->raw_ip = cfg->raw_ip;
}

void stack_port_fini(struct stack_port *p)
{
    struct rte_mbuf *m;

    while ((m = queue_take(&p->in)) != NULL || (m = queue_take(&p->out)) != NULL)
        rte_pktmbuf_free(m);
}
