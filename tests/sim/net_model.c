/* SPDX-License-Identifier: BSD-3-Clause */
/* A network on virtual time: see net_model.h. */
#include "net_model.h"

#include <stdlib.h>

#define IP_HEADER 20
#define ETHERNET_OVERHEAD 38 /* bytes a packet costs on the wire beside itself */

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

static struct net_packet *packet_new(struct net_way *way)
{
    return way->n_unused != 0 ? way->unused[--way->n_unused] : NULL;
}

static void packet_free(struct net_way *way, struct net_packet *p)
{
    way->unused[way->n_unused++] = p;
}

static void *copy_packet(void *arg, const void *user)
{
    struct net_way *way = arg;
    const struct net_packet *p = user;
    struct rte_mbuf *m = rte_pktmbuf_copy(p->m, way->net->copy_pool, 0, UINT32_MAX);
    struct net_packet *copy = m ? packet_new(way) : NULL;

    if (!copy) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    *copy = *p;
    copy->m = m;
    return copy;
}

static void drop_packet(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate)
{
    struct net_packet *p = pkt->user;

    (void)fate;
    rte_pktmbuf_free(p->m);
    packet_free(arg, p);
}

static void open_way(struct net_model *net, struct net_way *way, uint64_t seed, uint32_t max)
{
    struct hg_impair_env env = {
        .seed = seed, .packets_max = max, .copy = copy_packet, .drop = drop_packet, .arg = way};
    const uint32_t n = max + 2; /* two that are just being sent, one of them a copy */

    way->net = net;
    way->packets = calloc(n, sizeof *way->packets);
    way->unused = calloc(n, sizeof(struct net_packet *));
    if (!way->packets || !way->unused ||
        hg_impair_create(&(struct hg_impair_cfg){0}, &env, &way->path, NULL))
        abort();
    while (way->n_unused < n)
        packet_free(way, &way->packets[way->n_unused]);
}

void net_model_init(struct net_model *net, uint64_t seed, uint32_t max,
                    struct rte_mempool *copy_pool)
{
    *net = (struct net_model){.copy_pool = copy_pool};
    for (unsigned i = 0; i < 2; i++)
        open_way(net, &net->way[i], seed + i, max);
}

void net_model_fini(struct net_model *net)
{
    for (unsigned i = 0; i < 2; i++) {
        hg_impair_destroy(net->way[i].path);
        free(net->way[i].packets);
        free(net->way[i].unused);
    }
}

static void apply_link(const struct net_model *net, unsigned from)
{
    struct hg_impair_cfg link = net->link[from];

    if (!link.overhead)
        link.overhead = ETHERNET_OVERHEAD;
    if (hg_impair_set(net->way[from].path, &link, NULL))
        abort();
}

void net_model_send(struct net_model *net, unsigned from, struct rte_mbuf *m,
                    const struct hg_tx *tx, hg_ns now)
{
    const struct hg_flow *flow = tx->flow;
    struct net_way *way = &net->way[from];

    if (net->tamper && net->tamper(net->tamper_arg, from, m, now)) {
        net->tampered++;
        rte_pktmbuf_free(m);
        return;
    }
    struct net_packet *p = packet_new(way); /* there is one: two more than the path can hold */
    *p = (struct net_packet){
        .m = m,
        .flow = {.local = flow->remote,
                 .remote = flow->local,
                 .lport = flow->rport,
                 .rport = flow->lport},
        .ecn = tx->ecn,
    };
    apply_link(net, from);
    hg_impair_push(way->path,
                   &(struct hg_impair_pkt){p, m->pkt_len + IP_HEADER, .ect = tx->ecn != 0}, 1, now);
}

hg_ns net_model_next(const struct net_model *net)
{
    hg_ns a = hg_impair_next(net->way[0].path);
    hg_ns b = hg_impair_next(net->way[1].path);

    return !a || (b && b < a) ? b : a;
}

bool net_model_receive(struct net_model *net, unsigned to, hg_ns now, struct net_packet *out)
{
    struct net_way *way = &net->way[1 - to];
    struct hg_impair_pkt pkt;

    if (!hg_impair_pop(way->path, &pkt, 1, now))
        return false;
    *out = *(struct net_packet *)pkt.user;
    if (pkt.ce)
        out->ecn = 3; /* RFC 3168 section 5 */
    packet_free(way, pkt.user);
    return true;
}

struct net_model_stats net_model_stats(const struct net_model *net)
{
    struct net_model_stats sum = {.sent = net->tampered, .lost = net->tampered};

    for (unsigned i = 0; i < 2; i++) {
        const struct hg_impair_counters *c = hg_impair_counters(net->way[i].path);
        sum.sent += c->packets_in;
        sum.lost += c->lost + c->burst_lost + c->too_big;
        sum.queue_drops += c->queue_full + c->queue_active + c->path_full;
        sum.duplicated += c->duplicated;
        sum.late += c->late;
    }
    return sum;
}
