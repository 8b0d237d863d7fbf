/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two ports in one process, joined by rings.
 *
 * A wire must not let the two ends share memory in a way that a network would not: a sender keeps
 * the data of what it sent until it is acknowledged, while a receiver may write into what it got.
 * So a packet that the sender gave away wholly (every segment direct, one reference) moves by
 * pointer; any other is copied on its way in, into the sender's pools, as a NIC's DMA would.
 * Offload requests and marks do not cross.
 */
#include <headgate/port.h>
#include <assert.h>
#include <errno.h>
#include <rte_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX (1u << 20)

struct wire_end {
    struct hg_port port;
    struct wire *wire;
    unsigned side; /* sends into ring[side], receives from ring[!side] */
};

struct wire {
    struct wire_end end[2];
    atomic_uint open_ends; /* the last one to close frees the wire */
    uint16_t n_queues;
    struct rte_ring **ring[2]; /* [side][queue], single producer and consumer */
};

static struct wire_end *end_of(struct hg_port *port)
{
    return HG_CONTAINER_OF(port, struct wire_end, port);
}

static uint16_t wire_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max)
{
    struct wire_end *end = end_of(port);

    return (uint16_t)rte_ring_sc_dequeue_burst(end->wire->ring[!end->side][queue], (void **)pkts,
                                               max, NULL);
}

/* Whether the sender has no way left to reach the packet's bytes. */
static bool is_given_away(const struct rte_mbuf *m)
{
    for (; m != NULL; m = m->next) {
        if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
            return false;
    }
    return true;
}

/* The pool behind the packet whose buffers are largest: headers come from pools of small ones. */
static struct rte_mempool *largest_pool(struct rte_mbuf *m)
{
    struct rte_mempool *best = m->pool;

    for (; m != NULL; m = m->next) {
        struct rte_mempool *pool = RTE_MBUF_CLONED(m) ? rte_mbuf_from_indirect(m)->pool : m->pool;

        if (rte_pktmbuf_data_room_size(pool) > rte_pktmbuf_data_room_size(best))
            best = pool;
    }
    return best;
}

static struct rte_mbuf *carry(struct rte_mbuf *m)
{
    if (!is_given_away(m)) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, largest_pool(m), 0, UINT32_MAX);

        if (copy == NULL)
            return NULL;
        rte_pktmbuf_free(m);
        m = copy;
    }
    m->ol_flags = 0;
    m->tx_offload = 0;
    m->packet_type = 0;
    m->port = RTE_MBUF_PORT_INVALID;
    return m;
}

static uint16_t wire_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct wire_end *end = end_of(port);
    struct rte_ring *ring = end->wire->ring[end->side][queue];
    unsigned room = rte_ring_free_count(ring);
    uint16_t i;

    for (i = 0; i < n && i < room; i++) {
        struct rte_mbuf *m;

        assert(pkts[i]->pkt_len <= (uint32_t)port->mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN);
        m = carry(pkts[i]);
        if (m == NULL)
            break;
        pkts[i] = m;
    }
    /* This queue's only producer is us, so the room seen above is still there. */
    return (uint16_t)rte_ring_sp_enqueue_bulk(ring, (void **)pkts, i, NULL);
}

static void ring_free(struct rte_ring *ring)
{
    void *m;

    while (ring != NULL && rte_ring_sc_dequeue(ring, &m) == 0)
        rte_pktmbuf_free(m);
    free(ring);
}

static void wire_free(struct wire *wire)
{
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned q = 0; wire->ring[side] != NULL && q < wire->n_queues; q++)
            ring_free(wire->ring[side][q]);
        free(wire->ring[side]);
    }
    free(wire);
}

static bool wire_link_up(struct hg_port *port, uint16_t queue)
{
    (void)port, (void)queue;
    return true;
}

static void wire_close(struct hg_port *port)
{
    struct wire *wire = end_of(port)->wire;

    if (atomic_fetch_sub(&wire->open_ends, 1) == 1)
        wire_free(wire);
}

static const struct hg_port_ops wire_ops = {
    .rx = wire_rx,
    .tx = wire_tx,
    .link_up = wire_link_up,
    .close = wire_close,
};

/* On our own memory and not by rte_ring_create(): two wires may have the same name. */
static struct rte_ring *ring_new(unsigned depth)
{
    ssize_t size = rte_ring_get_memsize(depth * 2); /* a ring of 2^k holds 2^k - 1 */
    struct rte_ring *ring;

    if (size < 0)
        return NULL;
    ring = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));
    if (ring == NULL)
        return NULL;
    if (rte_ring_init(ring, "wire", depth, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ) != 0) {
        free(ring);
        return NULL;
    }
    return ring;
}

static int rings_new(struct wire *wire, unsigned depth)
{
    for (unsigned side = 0; side < 2; side++) {
        wire->ring[side] = calloc(wire->n_queues, sizeof *wire->ring[side]);
        if (wire->ring[side] == NULL)
            return -ENOMEM;
        for (unsigned q = 0; q < wire->n_queues; q++) {
            wire->ring[side][q] = ring_new(depth);
            if (wire->ring[side][q] == NULL)
                return -ENOMEM;
        }
    }
    return 0;
}

/* A locally administered unicast address from the wire's name, the same in every run. */
static struct rte_ether_addr mac_of(const char *name, unsigned side)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return (struct rte_ether_addr){{0x02, (uint8_t)(h >> 24), (uint8_t)(h >> 16), (uint8_t)(h >> 8),
                                    (uint8_t)h, (uint8_t)(side + 1)}};
}

static void init_end(struct wire *wire, unsigned side, const struct hg_wire_cfg *cfg)
{
    struct wire_end *end = &wire->end[side];

    end->wire = wire;
    end->side = side;
    end->port = (struct hg_port){.ops = &wire_ops,
                                 .mac = mac_of(cfg->name, side),
                                 .mtu = cfg->mtu,
                                 .n_queues = cfg->n_queues,
                                 .tx_multi_seg = true};
    snprintf(end->port.name, sizeof end->port.name, "%.*s.%u", (int)sizeof end->port.name - 3,
             cfg->name, side);
}

int hg_port_wire_pair(const struct hg_wire_cfg *cfg, struct hg_port *out[2], struct hg_err *err)
{
    struct wire *wire;

    if (cfg->n_queues == 0 || cfg->mtu < RTE_ETHER_MIN_MTU || cfg->depth == 0 ||
        cfg->depth > DEPTH_MAX || !rte_is_power_of_2(cfg->depth))
        return hg_fail(err, -EINVAL,
                       "wire %s: needs at least one queue, an MTU from %u and a depth that is a "
                       "power of two up to %u",
                       cfg->name, RTE_ETHER_MIN_MTU, DEPTH_MAX);
    wire = calloc(1, sizeof *wire);
    if (wire == NULL)
        return hg_fail(err, -ENOMEM, "wire %s: out of memory", cfg->name);
    wire->n_queues = cfg->n_queues;
    atomic_init(&wire->open_ends, 2);
    if (rings_new(wire, cfg->depth) != 0) {
        wire_free(wire);
        return hg_fail(err, -ENOMEM, "wire %s: out of memory for %u rings of %u", cfg->name,
                       2u * cfg->n_queues, cfg->depth);
    }
    for (unsigned side = 0; side < 2; side++) {
        init_end(wire, side, cfg);
        out[side] = &wire->end[side].port;
    }
    return 0;
}
