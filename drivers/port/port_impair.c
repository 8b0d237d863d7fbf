/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fault layers as a port on top of another one.
 *
 * 1. Every queue has two paths of its own, so queues may run on different threads.
 * 2. A packet is copied before anything in it is changed, since its sender may still hold its bytes: a
 *    bit that is flipped in a segment on the wire must not be flipped in the segment sent again.
 * 3. A caller of tx keeps nothing: what entered the path is gone for it, even when it is lost.
 */
#include <headgate/port.h>
#include <errno.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

enum way { RX, TX };

struct lane {
    struct port_impair *owner;
    struct impair_queue *queue;
    struct hg_impair *path;
    enum way way;
};

struct impair_queue {
    struct lane lane[2];
    struct hg_port_impair_counters counters;
};

struct port_impair {
    struct hg_port port;
    struct hg_port *lower;
    struct hg_port_impair_cfg cfg;
    struct impair_queue queues[]; /* port.n_queues */
};

static const struct hg_counter_desc counter_desc[] = {HG_PORT_IMPAIR_COUNTERS(HG_COUNTER_DESC)};

static struct port_impair *impair_of(const struct hg_port *port)
{
    return HG_CONTAINER_OF(port, struct port_impair, port);
}

static struct hg_impair_pkt packet_of(const struct rte_mbuf *m)
{
    uint8_t space[HG_IMPAIR_HEAD];
    uint32_t n = RTE_MIN(m->pkt_len, (uint32_t)sizeof space);
    struct hg_impair_pkt pkt = {.user = (void *)(uintptr_t)m};

    pkt.len = m->pkt_len - RTE_MIN(m->pkt_len, (uint32_t)RTE_ETHER_HDR_LEN);
    pkt.ect = hg_impair_frame_ect(rte_pktmbuf_read(m, 0, n, space), n);
    return pkt;
}

static void enter(struct lane *lane, struct rte_mbuf **pkts, uint16_t n)
{
    hg_ns now = lane->owner->cfg.clock(lane->owner->cfg.clock_arg);

    for (uint16_t i = 0; i < n; i++) {
        struct hg_impair_pkt in = packet_of(pkts[i]);

        hg_impair_push(lane->path, &in, 1, now);
    }
}

static void *copy_packet(void *arg, const void *user)
{
    const struct lane *lane = arg;

    return rte_pktmbuf_copy(user, lane->owner->cfg.pool, 0, UINT32_MAX);
}

/* Sends the ICMP error for m, if one is due, back the other way. */
static void answer(struct lane *lane, const struct rte_mbuf *m)
{
    struct port_impair *p = lane->owner;
    uint16_t mtu = (uint16_t)(lane->way == RX ? p->cfg.rx.mtu : p->cfg.tx.mtu);
    uint8_t quoted[HG_IMPAIR_ANSWER_MAX], bytes[HG_IMPAIR_ANSWER_MAX];
    uint32_t n = RTE_MIN(m->pkt_len, (uint32_t)sizeof quoted);
    uint32_t len = hg_impair_frame_too_big(rte_pktmbuf_read(m, 0, n, quoted), n, mtu, bytes);
    struct rte_mbuf *out;

    if (len == 0)
        return;
    out = rte_pktmbuf_alloc(p->cfg.pool);
    if (out == NULL) {
        lane->queue->counters.no_mbuf++;
        return;
    }
    memcpy(rte_pktmbuf_append(out, (uint16_t)len), bytes, len);
    lane->queue->counters.answered++;
    enter(&lane->queue->lane[!lane->way], &out, 1);
}

static void drop_packet(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate)
{
    struct lane *lane = arg;

    if (fate == HG_IMPAIR_TOO_BIG && lane->owner->cfg.answer_too_big)
        answer(lane, pkt->user);
    rte_pktmbuf_free(pkt->user);
}

static void flip(struct rte_mbuf *m, uint32_t bit)
{
    uint32_t at = RTE_ETHER_HDR_LEN + bit / 8;

    for (; at >= m->data_len; m = m->next)
        at -= m->data_len;
    *rte_pktmbuf_mtod_offset(m, uint8_t *, at) ^= (uint8_t)(0x80 >> bit % 8);
}

/* The packet as it arrives; NULL when it had to be changed and no buffer was free. */
static struct rte_mbuf *arrived(struct lane *lane, const struct hg_impair_pkt *pkt)
{
    struct rte_mbuf *m = pkt->user;

    if (!pkt->ce && !pkt->corrupt)
        return m;
    m = copy_packet(lane, pkt->user);
    rte_pktmbuf_free(pkt->user);
    if (m == NULL) {
        lane->queue->counters.no_mbuf++;
        return NULL;
    }
    if (pkt->ce)
        hg_impair_frame_mark_ce(rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
    if (pkt->corrupt)
        flip(m, pkt->flip_bit);
    return m;
}

/* Packets that are due; *more tells whether there may be others. */
static uint16_t leave(struct lane *lane, struct rte_mbuf **pkts, uint16_t max, bool *more)
{
    struct hg_impair_pkt out[HG_PORT_BURST];
    hg_ns now = lane->owner->cfg.clock(lane->owner->cfg.clock_arg);
    unsigned n = hg_impair_pop(lane->path, out, RTE_MIN(max, HG_PORT_BURST), now);
    uint16_t kept = 0;

    for (unsigned i = 0; i < n; i++) {
        pkts[kept] = arrived(lane, &out[i]);
        if (pkts[kept] != NULL)
            kept++;
    }
    *more = n == HG_PORT_BURST;
    return kept;
}

static void send_due(struct port_impair *p, uint16_t queue)
{
    struct impair_queue *q = &p->queues[queue];
    struct rte_mbuf *pkts[HG_PORT_BURST];
    bool more = true;

    while (more) {
        uint16_t n = leave(&q->lane[TX], pkts, HG_PORT_BURST, &more);
        uint16_t sent = hg_port_tx(p->lower, queue, pkts, n);

        q->counters.refused += (uint64_t)(n - sent);
        rte_pktmbuf_free_bulk(pkts + sent, (unsigned)(n - sent));
    }
}

static uint16_t impair_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts,
                          uint16_t max)
{
    struct port_impair *p = impair_of(port);
    struct lane *lane = &p->queues[queue].lane[RX];
    struct rte_mbuf *in[HG_PORT_BURST];
    bool more;

    enter(lane, in, hg_port_rx(p->lower, queue, in, HG_PORT_BURST));
    send_due(p, queue);
    return leave(lane, pkts, max, &more);
}

static uint16_t impair_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct port_impair *p = impair_of(port);

    enter(&p->queues[queue].lane[TX], pkts, n);
    send_due(p, queue);
    return n;
}

static bool impair_link_up(struct hg_port *port, uint16_t queue)
{
    return hg_port_link_up(impair_of(port)->lower, queue);
}

static void impair_close(struct hg_port *port)
{
    struct port_impair *p = impair_of(port);

    for (unsigned q = 0; q < port->n_queues; q++) {
        hg_impair_destroy(p->queues[q].lane[RX].path);
        hg_impair_destroy(p->queues[q].lane[TX].path);
    }
    free(p);
}

static const struct hg_port_ops impair_ops = {
    .rx = impair_rx,
    .tx = impair_tx,
    .link_up = impair_link_up,
    .close = impair_close,
};

static int open_lane(struct port_impair *p, unsigned queue, enum way way, struct hg_err *err)
{
    struct lane *lane = &p->queues[queue].lane[way];
    struct hg_impair_env env = {.seed = p->cfg.seed + 2 * queue + way,
                                .packets_max = p->cfg.packets_max,
                                .copy = copy_packet,
                                .drop = drop_packet,
                                .arg = lane};

    *lane = (struct lane){.owner = p, .queue = &p->queues[queue], .way = way};
    return hg_impair_create(way == RX ? &p->cfg.rx : &p->cfg.tx, &env, &lane->path, err);
}

int hg_port_impair_open(struct hg_port *lower, const struct hg_port_impair_cfg *cfg,
                        struct hg_port **out, struct hg_err *err)
{
    struct port_impair *p;
    int ret = 0;

    if (rte_pktmbuf_data_room_size(cfg->pool) < RTE_PKTMBUF_HEADROOM + HG_IMPAIR_ANSWER_MAX)
        return hg_fail(err, -EINVAL, "port %s: the fault layers need packet buffers of %u bytes",
                       lower->name, RTE_PKTMBUF_HEADROOM + HG_IMPAIR_ANSWER_MAX);
    p = calloc(1, sizeof *p + lower->n_queues * sizeof p->queues[0]);
    if (p == NULL)
        return hg_fail(err, -ENOMEM, "port %s: no memory for the fault layers", lower->name);
    p->port = *lower;
    p->port.ops = &impair_ops;
    p->port.watch = NULL; /* who watches the port below goes on doing that */
    p->port.rx_csum = p->port.trust_csum = false;
    p->port.tx_ip_csum = p->port.tx_tcp_csum = false;
    p->lower = lower;
    p->cfg = *cfg;
    for (unsigned q = 0; q < lower->n_queues && ret == 0; q++) {
        ret = open_lane(p, q, RX, err);
        if (ret == 0)
            ret = open_lane(p, q, TX, err);
    }
    if (ret != 0) {
        impair_close(&p->port);
        return ret;
    }
    *out = &p->port;
    return 0;
}

hg_ns hg_port_impair_next(const struct hg_port *port, uint16_t queue)
{
    const struct impair_queue *q = &impair_of(port)->queues[queue];
    hg_ns rx = hg_impair_next(q->lane[RX].path);
    hg_ns tx = hg_impair_next(q->lane[TX].path);

    return rx == 0 || (tx != 0 && tx < rx) ? tx : rx;
}

struct hg_counter_set hg_port_impair_counter_set(const struct hg_port *port, uint16_t queue)
{
    return (struct hg_counter_set){"port_impair", counter_desc,
                                   (const uint64_t *)&impair_of(port)->queues[queue].counters,
                                   HG_ARRAY_LEN(counter_desc)};
}

const struct hg_impair_counters *hg_port_impair_rx(const struct hg_port *port, uint16_t queue)
{
    return hg_impair_counters(impair_of(port)->queues[queue].lane[RX].path);
}

const struct hg_impair_counters *hg_port_impair_tx(const struct hg_port *port, uint16_t queue)
{
    return hg_impair_counters(impair_of(port)->queues[queue].lane[TX].path);
}
