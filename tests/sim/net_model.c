/* SPDX-License-Identifier: BSD-3-Clause */
/* A network on virtual time: see net_model.h. */
#include "net_model.h"

#include <stdlib.h>

#define IP_ETHERNET_OVERHEAD 58 /* bytes a segment costs on the wire beside itself */

uint64_t net_rng_next(struct net_rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t net_rng_range(struct net_rng *rng, uint64_t lo, uint64_t hi)
{
    return lo + net_rng_next(rng) % (hi - lo + 1);
}

bool net_rng_chance(struct net_rng *rng, uint32_t ppm)
{
    return net_rng_next(rng) % 1000000 < ppm;
}

void net_model_init(struct net_model *net, uint64_t seed, uint32_t max,
                    struct rte_mempool *copy_pool)
{
    *net = (struct net_model){.rng = {seed}, .copy_pool = copy_pool};
    for (unsigned i = 0; i < 2; i++) {
        net->heap[i].max = max;
        net->heap[i].p = calloc(max, sizeof *net->heap[i].p);
        if (!net->heap[i].p)
            abort();
    }
}

void net_model_fini(struct net_model *net)
{
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < net->heap[i].n; k++)
            rte_pktmbuf_free(net->heap[i].p[k].m);
        free(net->heap[i].p);
    }
}

static bool before(const struct net_packet *a, const struct net_packet *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct net_packet *a, struct net_packet *b)
{
    struct net_packet t = *a;

    *a = *b;
    *b = t;
}

static void push(struct net_heap *heap, const struct net_packet *packet)
{
    struct net_packet *p = heap->p;
    uint32_t i = heap->n++;

    p[i] = *packet;
    for (; i && before(&p[i], &p[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&p[i], &p[(i - 1) / 2]);
}

static void pop(struct net_heap *heap)
{
    struct net_packet *p = heap->p;

    p[0] = p[--heap->n];
    for (uint32_t i = 0;;) {
        uint32_t least = i, l = 2 * i + 1, r = l + 1;
        if (l < heap->n && before(&p[l], &p[least]))
            least = l;
        if (r < heap->n && before(&p[r], &p[least]))
            least = r;
        if (least == i)
            return;
        swap(&p[i], &p[least]);
        i = least;
    }
}

/* The bottleneck: when the packet has left it, or 0 when its queue is full. */
static hg_ns pass_bottleneck(struct net_model *net, unsigned from, uint32_t bytes, hg_ns now)
{
    const struct net_link *link = &net->link[from];
    hg_ns start = net->busy_until[from] > now ? net->busy_until[from] : now;

    if (!link->rate)
        return now;
    uint64_t queued = (start - now) * link->rate / HG_SEC(1);
    if (queued + bytes > link->queue_bytes)
        return 0;
    net->busy_until[from] = start + bytes * HG_SEC(1) / link->rate;
    return net->busy_until[from];
}

static void enqueue(struct net_model *net, unsigned from, struct net_packet *p)
{
    const struct net_link *link = &net->link[from];
    struct net_heap *heap = &net->heap[1 - from];

    p->at += link->delay;
    if (net_rng_chance(&net->rng, link->reorder_ppm)) {
        p->at += net_rng_range(&net->rng, 1, link->late);
        net->stats.late++;
    }
    p->order = net->order++;
    if (heap->n == heap->max) {
        net->stats.queue_drops++;
        rte_pktmbuf_free(p->m);
        return;
    }
    push(heap, p);
}

void net_model_send(struct net_model *net, unsigned from, struct rte_mbuf *m,
                    const struct hg_tx *tx, hg_ns now)
{
    const struct hg_flow *flow = tx->flow;
    const struct net_link *link = &net->link[from];
    struct net_packet p = {
        .m = m,
        .flow = {.local = flow->remote,
                 .remote = flow->local,
                 .lport = flow->rport,
                 .rport = flow->lport},
        .ecn = tx->ecn,
    };

    net->stats.sent++;
    if ((net->tamper && net->tamper(net->tamper_arg, from, m, now)) ||
        net_rng_chance(&net->rng, link->loss_ppm)) {
        net->stats.lost++;
        rte_pktmbuf_free(m);
        return;
    }
    hg_ns left = pass_bottleneck(net, from, m->pkt_len + IP_ETHERNET_OVERHEAD, now);
    if (!left) {
        net->stats.queue_drops++;
        rte_pktmbuf_free(m);
        return;
    }
    p.at = left;
    if (net_rng_chance(&net->rng, link->dup_ppm)) {
        struct net_packet copy = p;
        copy.m = rte_pktmbuf_copy(m, net->copy_pool, 0, UINT32_MAX);
        if (copy.m) {
            net->stats.duplicated++;
            enqueue(net, from, &copy);
        }
    }
    enqueue(net, from, &p);
}

hg_ns net_model_next(const struct net_model *net)
{
    hg_ns a = net->heap[0].n ? net->heap[0].p[0].at : 0;
    hg_ns b = net->heap[1].n ? net->heap[1].p[0].at : 0;

    return !a || (b && b < a) ? b : a;
}

bool net_model_receive(struct net_model *net, unsigned to, hg_ns now, struct net_packet *out)
{
    struct net_heap *heap = &net->heap[to];

    if (!heap->n || heap->p[0].at > now)
        return false;
    *out = heap->p[0];
    pop(heap);
    return true;
}
