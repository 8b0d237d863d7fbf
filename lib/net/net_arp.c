/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP packets (RFC 826), and RFC 5227: probes for an address before it is used, announcements, and
 * the defence of what is ours. What is believed of what neighbours say is in net_nbr.c.
 */
#include "net_int.h"

#define ASK_EVERY HG_MS(2) /* requests to all neighbours together: 500 per second ... */
#define ASK_BURST 100      /* ... and so many at once */
#define ARP_LEN 46         /* with it the shortest Ethernet frame is full */

struct arp_frame {
    struct rte_ether_hdr eth;
    struct rte_arp_hdr arp;
};
_Static_assert(sizeof(struct arp_frame) == 42, "headers lie back to back");

/* What we send. */
struct arp_out {
    uint16_t op;
    uint32_t sip_be, tip_be;
    const struct rte_ether_addr *tha; /* NULL: zero */
    const struct rte_ether_addr *to;  /* NULL: everybody */
};

static void send_arp(struct hg_net *net, const struct arp_out *out)
{
    static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct rte_mbuf *m = net_alloc(net, ARP_LEN);
    struct rte_arp_hdr *arp;

    if (m == NULL)
        return;
    arp = rte_pktmbuf_mtod(m, struct rte_arp_hdr *);
    arp->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
    arp->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
    arp->arp_hlen = RTE_ETHER_ADDR_LEN;
    arp->arp_plen = sizeof(uint32_t);
    arp->arp_opcode = rte_cpu_to_be_16(out->op);
    arp->arp_data.arp_sha = net->port->mac;
    arp->arp_data.arp_sip = out->sip_be;
    arp->arp_data.arp_tip = out->tip_be;
    if (out->tha != NULL)
        arp->arp_data.arp_tha = *out->tha;
    net->c.tx_arp_request += out->op == RTE_ARP_OP_REQUEST;
    net_push_eth(net, m, RTE_BE16(RTE_ETHER_TYPE_ARP));
    net_queue_to(net, m, out->to != NULL ? out->to : &broadcast);
}

bool arp_request(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                 hg_ns now)
{
    struct hg_ip source;

    if (hg_net_source(net, ip, &source) != 0 ||
        !net_limit_take(&net->nbrs.ask, now, ASK_EVERY, ASK_BURST))
        return false;
    send_arp(net, &(struct arp_out){.op = RTE_ARP_OP_REQUEST,
                                    .sip_be = net_v4_be(&source),
                                    .tip_be = net_v4_be(ip),
                                    .to = mac});
    return true;
}

void arp_probe(struct hg_net *net, const struct hg_ip *ip)
{
    send_arp(net, &(struct arp_out){.op = RTE_ARP_OP_REQUEST, .tip_be = net_v4_be(ip)});
}

void arp_announce(struct hg_net *net, const struct hg_ip *ip)
{
    send_arp(net, &(struct arp_out){
                      .op = RTE_ARP_OP_REQUEST, .sip_be = net_v4_be(ip), .tip_be = net_v4_be(ip)});
}

static void answer(struct hg_net *net, const struct rte_arp_ipv4 *a)
{
    net->c.rx_arp_request++;
    send_arp(net, &(struct arp_out){.op = RTE_ARP_OP_REPLY,
                                    .sip_be = a->arp_tip,
                                    .tip_be = a->arp_sip,
                                    .tha = &a->arp_sha,
                                    .to = &a->arp_sha});
}

static void unsolicited(struct hg_net *net, const struct arp_frame *f, hg_ns now)
{
    struct nbr_claim claim = {
        .ip = net_ip_from_be(f->arp.arp_data.arp_sip),
        .mac = f->arp.arp_data.arp_sha,
        .to_us = rte_is_same_ether_addr(&f->eth.dst_addr, &net->port->mac),
    };

    net->c.rx_arp_unsolicited++;
    nbr_hear_unasked(net, &claim, now);
}

static void request_input(struct hg_net *net, const struct arp_frame *f, hg_ns now)
{
    const struct rte_arp_ipv4 *a = &f->arp.arp_data;
    struct hg_ip sender = net_ip_from_be(a->arp_sip), target = net_ip_from_be(a->arp_tip);

    if (net_local(net, &target) != NULL) {
        if (a->arp_sip != 0)
            nbr_hear_asker(net, &sender, &a->arp_sha, now);
        answer(net, a);
    } else if (a->arp_tip == a->arp_sip) {
        unsolicited(net, f, now);
    } else {
        net->c.rx_not_ours++;
    }
}

static void reply_input(struct hg_net *net, const struct arp_frame *f, hg_ns now)
{
    const struct rte_arp_ipv4 *a = &f->arp.arp_data;
    struct hg_ip sender = net_ip_from_be(a->arp_sip), target = net_ip_from_be(a->arp_tip);
    bool to_us = net_local(net, &target) != NULL;
    struct nbr *nbr;

    if (!to_us && a->arp_tip != a->arp_sip) {
        net->c.rx_not_ours++;
        return;
    }
    nbr = nbr_find(&net->nbrs, &sender);
    if (nbr != NULL && nbr->tries != 0 && to_us &&
        rte_is_same_ether_addr(&a->arp_tha, &net->port->mac) &&
        rte_is_same_ether_addr(&f->eth.dst_addr, &net->port->mac)) {
        net->c.rx_arp_reply++;
        nbr_answer(net, nbr, &a->arp_sha, now);
    } else {
        unsolicited(net, f, now);
    }
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

/* Whether the sender claims one of our addresses, or probes for one that we are about to take
 * (RFC 5227 2.1.1): then that address. */
static struct addr *claimed(struct hg_net *net, const struct rte_arp_hdr *h)
{
    struct hg_ip sender = net_ip_from_be(h->arp_data.arp_sip);
    struct hg_ip target = net_ip_from_be(h->arp_data.arp_tip);
    struct addr *addr = addr_find(net, &sender);

    if (h->arp_data.arp_sip == 0 && h->arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST)) {
        addr = addr_find(net, &target);
        if (addr != NULL && addr->state != ADDR_TENTATIVE)
            addr = NULL;
    }
    return addr;
}

/* An address probe has a zero sender (RFC 5227 2.1.1), and only a request can be one. */
static bool is_sender_possible(const struct hg_net *net, const struct rte_arp_hdr *h)
{
    if (h->arp_data.arp_sip == 0)
        return h->arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST);
    return !net_is_martian4(net, h->arp_data.arp_sip);
}

static void sound_input(struct hg_net *net, const struct arp_frame *f, hg_ns now)
{
    struct addr *addr = claimed(net, &f->arp);

    if (addr != NULL)
        addr_conflict(net, addr, &f->eth.src_addr, now);
    if (addr != NULL || !is_sender_possible(net, &f->arp))
        net->c.rx_arp_bad++;
    else if (f->arp.arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST))
        request_input(net, f, now);
    else if (f->arp.arp_opcode == RTE_BE16(RTE_ARP_OP_REPLY))
        reply_input(net, f, now);
    else
        net->c.rx_arp_bad++;
}

void arp_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now)
{
    const struct arp_frame *f = rte_pktmbuf_mtod(m, const struct arp_frame *);

    if (m->data_len < sizeof *f)
        net->c.rx_short++;
    else if (!is_sound(f))
        net->c.rx_arp_bad++;
    else
        sound_input(net, f, now);
    rte_pktmbuf_free(m);
}
