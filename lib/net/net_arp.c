/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP packets (RFC 826, RFC 5227). ARP proves nothing, so what an unasked packet claims is never
 * believed against what we know; a contradiction only makes us ask (nbr_doubt), and the answer to
 * our own question counts. So a gateway that moved to another MAC is found in one round trip, and
 * so is a neighbour whose reply to another shard's question arrived on our queue.
 */
#include "net_int.h"
#include <stdio.h>

#define ASK_EVERY HG_MS(2)          /* requests to all neighbours together: 500 per second ... */
#define ASK_BURST 100               /* ... and so many at once */
#define ANNOUNCE_INTERVAL HG_SEC(2) /* RFC 5227 1.1 */
#define DEFEND_INTERVAL HG_SEC(10)  /* RFC 5227 1.1 */
#define TELL_INTERVAL HG_SEC(1)
#define ARP_FRAME 60 /* shortest Ethernet frame without CRC */

struct arp_frame {
    struct rte_ether_hdr eth;
    struct rte_arp_hdr arp;
};
_Static_assert(sizeof(struct arp_frame) == 42, "headers lie back to back");

static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* Broadcasts "who has target": a question, or with our own address as target an announcement. */
static void send_request(struct hg_net *net, uint32_t target_be)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(net->pool);
    struct arp_frame *f;

    if (m == NULL) {
        net->c.tx_no_mbuf++;
        return;
    }
    f = (struct arp_frame *)rte_pktmbuf_append(m, ARP_FRAME);
    memset(f, 0, ARP_FRAME);
    f->eth.src_addr = net->port->mac;
    f->eth.dst_addr = broadcast;
    f->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
    f->arp.arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
    f->arp.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
    f->arp.arp_hlen = RTE_ETHER_ADDR_LEN;
    f->arp.arp_plen = sizeof(uint32_t);
    f->arp.arp_opcode = RTE_BE16(RTE_ARP_OP_REQUEST);
    f->arp.arp_data.arp_sha = net->port->mac;
    f->arp.arp_data.arp_sip = net->addrs.self_be;
    f->arp.arp_data.arp_tip = target_be;
    net->c.tx_arp_request++;
    net_queue(net, m);
}

bool arp_request(struct hg_net *net, uint32_t ip_be, hg_ns now)
{
    if (!net_limit_take(&net->nbrs.ask, now, ASK_EVERY, ASK_BURST))
        return false;
    send_request(net, ip_be);
    return true;
}

void arp_announce_poll(struct hg_net *net, hg_ns now)
{
    if (net->announce_left == 0 || now < net->announce_at)
        return;
    net->announce_left--;
    net->announce_at = now + ANNOUNCE_INTERVAL;
    send_request(net, net->addrs.self_be);
}

/* Turns the request in m into its answer. */
static void answer(struct hg_net *net, struct rte_mbuf *m)
{
    struct arp_frame *f = rte_pktmbuf_mtod(m, struct arp_frame *);
    struct rte_arp_ipv4 *a = &f->arp.arp_data;

    net->c.rx_arp_request++;
    net_cut(m, RTE_MIN(m->pkt_len, (uint32_t)ARP_FRAME));
    net_forget_rx(m);
    f->eth.src_addr = net->port->mac;
    f->arp.arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
    a->arp_tha = a->arp_sha;
    a->arp_tip = a->arp_sip;
    a->arp_sha = net->port->mac;
    a->arp_sip = net->addrs.self_be;
    net_queue_to(net, m, &a->arp_tha);
}

/* Another host uses our address. RFC 5227 2.4(b): defend it, but not in a war of broadcasts. */
static void conflict(struct hg_net *net, const struct rte_ether_addr *sha, hg_ns now)
{
    char mac[RTE_ETHER_ADDR_FMT_SIZE], ip[HG_IP_STRLEN];

    if (rte_is_same_ether_addr(sha, &net->port->mac))
        return; /* our own frame came back */
    if (net->defended != 0 && now - net->defended < DEFEND_INTERVAL)
        return;
    net->defended = now;
    rte_ether_format_addr(mac, sizeof mac, sha);
    hg_log_limited(&net->log, now, HG_LOG_WARN, "net",
                   "port %s: the host with MAC %s claims our address %s; one of the two must get "
                   "another",
                   net->port->name, mac, hg_ip_str(&net->local, ip));
    send_request(net, net->addrs.self_be);
}

static bool may_learn(const struct hg_net *net, uint32_t ip_be)
{
    return ip_be != 0 && (net_on_link(&net->addrs, ip_be) || ip_be == net->addrs.gateway_be);
}

static bool knows_mac(const struct nbr *nbr)
{
    return nbr->state == NBR_REACHABLE || nbr->state == NBR_STALE;
}

static void believe(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac,
                    hg_ns now)
{
    nbr_confirm(net, nbr, mac, now);
    nbr_tell(net, nbr);
}

/* A claim nobody asked for. With several queues the question may have been another shard's: then a
 * stranger that answers to our MAC is asked by us too, and a confirmation of what we know counts.
 */
static void unsolicited(struct hg_net *net, const struct arp_frame *f, hg_ns now)
{
    const struct rte_arp_ipv4 *a = &f->arp.arp_data;
    bool siblings = net->port->n_queues > 1;
    struct nbr *nbr;

    net->c.rx_arp_unsolicited++;
    if (!may_learn(net, a->arp_sip))
        return;
    nbr = nbr_find(&net->nbrs, a->arp_sip);
    if (nbr == NULL && (net->accept_unsolicited ||
                        (siblings && rte_is_same_ether_addr(&f->eth.dst_addr, &net->port->mac))))
        nbr = nbr_get(net, a->arp_sip, now);
    if (nbr == NULL)
        return;
    if (net->accept_unsolicited) {
        believe(net, nbr, &a->arp_sha, now);
    } else if (!knows_mac(nbr) || !rte_is_same_ether_addr(&nbr->mac, &a->arp_sha)) {
        nbr_doubt(net, nbr, now);
    } else if (siblings && now - nbr->confirmed >= TELL_INTERVAL) {
        believe(net, nbr, &a->arp_sha, now);
    }
}

/* RFC 826: who asks for us is likely to talk to us next. */
static void learn_from_request(struct hg_net *net, const struct rte_arp_ipv4 *a, hg_ns now)
{
    struct nbr *nbr = may_learn(net, a->arp_sip) ? nbr_get(net, a->arp_sip, now) : NULL;

    if (nbr == NULL)
        return;
    if (!knows_mac(nbr))
        nbr_adopt(net, nbr, &a->arp_sha, now);
    else if (!rte_is_same_ether_addr(&nbr->mac, &a->arp_sha))
        nbr_doubt(net, nbr, now);
}

static void request_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now)
{
    const struct arp_frame *f = rte_pktmbuf_mtod(m, const struct arp_frame *);
    const struct rte_arp_ipv4 *a = &f->arp.arp_data;

    if (a->arp_tip == net->addrs.self_be) {
        learn_from_request(net, a, now);
        answer(net, m);
        return;
    }
    if (a->arp_tip == a->arp_sip) {
        unsolicited(net, f, now);
        rte_pktmbuf_free(m);
        return;
    }
    net_drop(&net->c.rx_not_ours, m);
}

static void reply_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now)
{
    const struct arp_frame *f = rte_pktmbuf_mtod(m, const struct arp_frame *);
    const struct rte_arp_ipv4 *a = &f->arp.arp_data;
    struct nbr *nbr;

    if (a->arp_tip != net->addrs.self_be && a->arp_tip != a->arp_sip) {
        net_drop(&net->c.rx_not_ours, m);
        return;
    }
    nbr = nbr_find(&net->nbrs, a->arp_sip);
    if (nbr != NULL && nbr->tries != 0 && a->arp_tip == net->addrs.self_be &&
        rte_is_same_ether_addr(&a->arp_tha, &net->port->mac) &&
        rte_is_same_ether_addr(&f->eth.dst_addr, &net->port->mac)) {
        net->c.rx_arp_reply++;
        believe(net, nbr, &a->arp_sha, now);
    } else {
        unsolicited(net, f, now);
    }
    rte_pktmbuf_free(m);
}

/* Whether the packet is IPv4 over Ethernet and its sender is the frame's sender. */
static bool is_sound(const struct arp_frame *f)
{
    const struct rte_arp_hdr *h = &f->arp;

    return h->arp_hardware == RTE_BE16(RTE_ARP_HRD_ETHER) &&
           h->arp_protocol == RTE_BE16(RTE_ETHER_TYPE_IPV4) && h->arp_hlen == RTE_ETHER_ADDR_LEN &&
           h->arp_plen == sizeof(uint32_t) &&
           rte_is_same_ether_addr(&h->arp_data.arp_sha, &f->eth.src_addr) &&
           rte_is_valid_assigned_ether_addr(&h->arp_data.arp_sha);
}

/* An address probe has a zero sender (RFC 5227 2.1.1), and only a request can be one. */
static bool is_sender_possible(const struct hg_net *net, const struct rte_arp_hdr *h)
{
    if (h->arp_data.arp_sip == 0)
        return h->arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST);
    return !net_is_martian(&net->addrs, h->arp_data.arp_sip);
}

void arp_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now)
{
    const struct arp_frame *f = rte_pktmbuf_mtod(m, const struct arp_frame *);

    if (m->data_len < sizeof *f) {
        net_drop(&net->c.rx_short, m);
        return;
    }
    if (!is_sound(f) || !is_sender_possible(net, &f->arp)) {
        if (is_sound(f) && f->arp.arp_data.arp_sip == net->addrs.self_be)
            conflict(net, &f->eth.src_addr, now);
        net_drop(&net->c.rx_arp_bad, m);
        return;
    }
    switch (rte_be_to_cpu_16(f->arp.arp_opcode)) {
    case RTE_ARP_OP_REQUEST:
        request_input(net, m, now);
        return;
    case RTE_ARP_OP_REPLY:
        reply_input(net, m, now);
        return;
    default:
        net_drop(&net->c.rx_arp_bad, m);
    }
}
