/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port with one queue made to look like one with several: for devices without RSS.
 *
 *       device queue 0                         device queue 0
 *            |                                      ^
 *      rx(queue 0): hash                      tx(queue 0): straight, and what waits
 *      |        |        |                          ^
 *    to the   ring[1]  ring[2]                    out ring  <- tx(queue 1), tx(queue 2)
 *    caller
 *
 * The thread of queue 0 does all the work of the device. Invariants: (1) the lower port is touched by
 * that thread alone; (2) ring[q] has one producer (queue 0) and one consumer (queue q), the out ring
 * many producers and one consumer; (3) a packet in a ring belongs to the port; (4) packets of one
 * TCP connection go to one queue, in both directions of the hash, since it is symmetric.
 *
 * What has no ports (ARP, ND, ICMP, fragments) goes to queue 0, which hands on what concerns a flow
 * of another shard (lib/shard/peers.c). At a full ring packets are dropped and counted, as by a NIC.
 */
#include <headgate/port.h>
#include <assert.h>
#include <errno.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 2048u /* packets in each ring */
#define QUEUES_MAX 64u

struct spread {
    struct hg_port port;
    struct hg_port *lower;
    struct rte_ring *in[QUEUES_MAX]; /* [0] is not used */
    struct rte_ring *out;
    struct rte_mbuf *left[HG_PORT_BURST]; /* taken from `out`, not taken by the lower port yet */
    uint16_t n_left;
    struct hg_spread_counters count;
    atomic_bool up; /* the link, as queue 0 saw it last */
};

static struct spread *spread_of(struct hg_port *port)
{
    return HG_CONTAINER_OF(port, struct spread, port);
}

static uint64_t load64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Sums do not tell source from destination. */
static uint32_t hash_v4(uint32_t a, uint32_t b, uint16_t p, uint16_t q)
{
    return rte_hash_crc_8byte((uint64_t)(a + b) << 32 | (uint32_t)(p + q), 0);
}

static uint32_t hash_v6(const uint8_t *a, const uint8_t *b, uint16_t p, uint16_t q)
{
    uint32_t h = rte_hash_crc_8byte(load64(a) + load64(b), (uint32_t)(p + q));

    return rte_hash_crc_8byte(load64(a + 8) + load64(b + 8), h);
}

static uint16_t queue_of(const struct spread *s, uint32_t hash)
{
    return (uint16_t)((uint64_t)hash * s->port.n_queues >> 32);
}

static uint16_t queue_v4(const struct spread *s, const uint8_t *p, uint32_t len)
{
    const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)p;
    uint16_t ports[2];

    if (len < sizeof *ip || ip->ihl < 5 || len < ip->ihl * 4u + sizeof ports ||
        ip->next_proto_id != IPPROTO_TCP ||
        (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
        return 0;
    memcpy(ports, p + ip->ihl * 4u, sizeof ports);
    return queue_of(s, hash_v4(ip->src_addr, ip->dst_addr, ports[0], ports[1]));
}

static uint16_t queue_v6(const struct spread *s, const uint8_t *p, uint32_t len)
{
    uint16_t ports[2];

    /* Behind an extension header nobody looks; such segments are handed on. */
    if (len < sizeof(struct rte_ipv6_hdr) + sizeof ports || p[6] != IPPROTO_TCP)
        return 0;
    memcpy(ports, p + sizeof(struct rte_ipv6_hdr), sizeof ports);
    return queue_of(s, hash_v6(p + 8, p + 24, ports[0], ports[1]));
}

static uint16_t classify(const struct spread *s, const struct rte_mbuf *m)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    uint32_t len = m->data_len, at = 12;
    uint16_t type;

    if (len < 18)
        return 0;
    memcpy(&type, p + at, sizeof type);
    if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
        at += 4;
        memcpy(&type, p + at, sizeof type);
    }
    at += 2;
    if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
        return queue_v4(s, p + at, len - at);
    if (type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
        return queue_v6(s, p + at, len - at);
    return 0;
}

/* What the other queues gave us to send. */
static void send_waiting(struct spread *s)
{
    uint16_t sent;

    if (s->n_left == 0)
        s->n_left =
            (uint16_t)rte_ring_sc_dequeue_burst(s->out, (void **)s->left, HG_PORT_BURST, NULL);
    if (s->n_left == 0)
        return;
    sent = hg_port_tx(s->lower, 0, s->left, s->n_left);
    s->n_left -= sent;
    memmove(s->left, s->left + sent, s->n_left * sizeof s->left[0]);
}

static void pass_on(struct spread *s, uint16_t queue, struct rte_mbuf *m)
{
    if (rte_ring_sp_enqueue(s->in[queue], m) == 0) {
        s->count.passed++;
        return;
    }
    s->count.rx_drop++;
    rte_pktmbuf_free(m);
}

static uint16_t spread_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts,
                          uint16_t max)
{
    struct spread *s = spread_of(port);
    uint16_t n, mine = 0;

    if (queue != 0)
        return (uint16_t)rte_ring_sc_dequeue_burst(s->in[queue], (void **)pkts, max, NULL);
    send_waiting(s);
    n = hg_port_rx(s->lower, 0, pkts, max);
    for (uint16_t i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(pkts[i], const void *));
    for (uint16_t i = 0; i < n; i++) {
        uint16_t q = classify(s, pkts[i]);
        if (q == 0)
            pkts[mine++] = pkts[i];
        else
            pass_on(s, q, pkts[i]);
    }
    return mine;
}

static uint16_t spread_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct spread *s = spread_of(port);

    if (queue == 0)
        return hg_port_tx(s->lower, 0, pkts, n);
    return (uint16_t)rte_ring_mp_enqueue_burst(s->out, (void *const *)pkts, n, NULL);
}

static bool spread_link_up(struct hg_port *port, uint16_t queue)
{
    struct spread *s = spread_of(port);

    if (queue == 0)
        atomic_store_explicit(&s->up, hg_port_link_up(s->lower, 0), memory_order_relaxed);
    return atomic_load_explicit(&s->up, memory_order_relaxed);
}

static void free_ring(struct rte_ring *ring)
{
    struct rte_mbuf *m;

    if (ring == NULL)
        return;
    while (rte_ring_sc_dequeue(ring, (void **)&m) == 0)
        rte_pktmbuf_free(m);
    rte_ring_free(ring);
}

static void spread_close(struct hg_port *port)
{
    struct spread *s = spread_of(port);

    for (uint16_t i = 0; i < s->n_left; i++)
        rte_pktmbuf_free(s->left[i]);
    for (uint16_t q = 1; q < port->n_queues; q++)
        free_ring(s->in[q]);
    free_ring(s->out);
    hg_port_close(s->lower);
    free(s);
}

static const struct hg_port_ops spread_ops = {
    .rx = spread_rx,
    .tx = spread_tx,
    .link_up = spread_link_up,
    .close = spread_close,
};

static struct rte_ring *make_ring(const void *self, unsigned queue, unsigned flags)
{
    char name[RTE_RING_NAMESIZE];

    snprintf(name, sizeof name, "spread_%lx_%u", (unsigned long)(uintptr_t)self, queue);
    return rte_ring_create(name, DEPTH, SOCKET_ID_ANY, flags);
}

int hg_port_spread_open(struct hg_port *lower, uint16_t n_queues, struct hg_port **out,
                        struct hg_err *err)
{
    struct spread *s = calloc(1, sizeof *s);
    bool ok;

    assert(n_queues >= 1 && n_queues <= QUEUES_MAX);
    if (s == NULL)
        return hg_fail(err, -ENOMEM, "port %s: out of memory", lower->name);
    memcpy(&s->port, lower, sizeof s->port);
    s->port.ops = &spread_ops;
    s->port.n_queues = n_queues;
    s->lower = lower;
    atomic_init(&s->port.watch, NULL);
    atomic_init(&s->up, true);
    s->out = make_ring(s, 0, RING_F_SC_DEQ);
    ok = s->out != NULL;
    for (uint16_t q = 1; q < n_queues; q++) {
        s->in[q] = make_ring(s, q, RING_F_SP_ENQ | RING_F_SC_DEQ);
        ok = ok && s->in[q] != NULL;
    }
    if (!ok) {
        for (uint16_t q = 1; q < n_queues; q++)
            free_ring(s->in[q]);
        free_ring(s->out);
        free(s);
        return hg_fail(err, -ENOMEM, "port %s: no EAL memory for rings between shards",
                       lower->name);
    }
    *out = &s->port;
    return 0;
}

struct hg_counter_set hg_port_counter_set(const struct hg_port *port)
{
    static const struct hg_counter_desc desc[] = {HG_SPREAD_COUNTERS(HG_COUNTER_DESC)};
    const struct spread *s;

    if (port->ops != &spread_ops)
        return (struct hg_counter_set){.area = "spread"};
    s = HG_CONTAINER_OF(port, struct spread, port);
    return (struct hg_counter_set){.area = "spread",
                                   .desc = desc,
                                   .value = (const uint64_t *)&s->count,
                                   .n = HG_ARRAY_LEN(desc)};
}
