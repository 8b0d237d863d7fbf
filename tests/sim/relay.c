/* SPDX-License-Identifier: BSD-3-Clause */
/* A bad cable on virtual time: see relay.h. */
#include "relay.h"
#include <rte_mbuf.h>
#include <stdlib.h>

#define RELAY_FRAMES 8192 /* on their way in one direction */

struct relay {
    struct relay_cfg cfg;
    struct hg_port *ends[2];
    struct hg_impair *path[2]; /* [i]: from end i */
    uint64_t lost;
};

uint64_t sim_rand(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* What is on the cable is a copy: its sender, with its pools, may be gone before it arrives. */
static void *copy_frame(void *arg, const void *user)
{
    const struct relay *r = arg;

    return rte_pktmbuf_copy(user, r->cfg.pool, 0, UINT32_MAX);
}

static void drop_frame(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate)
{
    struct relay *r = arg;

    r->lost += fate != HG_IMPAIR_CLOSED;
    rte_pktmbuf_free(pkt->user);
}

struct relay *relay_create(const struct relay_cfg *cfg, struct hg_port *const ends[2])
{
    struct relay *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort();
    r->cfg = *cfg;
    for (unsigned i = 0; i < 2; i++) {
        struct hg_impair_env env = {.seed = cfg->seed + i,
                                    .packets_max = RELAY_FRAMES,
                                    .copy = copy_frame,
                                    .drop = drop_frame,
                                    .arg = r};

        r->ends[i] = ends[i];
        if (hg_impair_create(&cfg->path, &env, &r->path[i], NULL) != 0)
            abort();
    }
    return r;
}

void relay_destroy(struct relay *r)
{
    hg_impair_destroy(r->path[0]);
    hg_impair_destroy(r->path[1]);
    free(r);
}

static void put(struct relay *r, const struct rte_mbuf *original, unsigned from, hg_ns now)
{
    struct rte_mbuf *m = copy_frame(r, original);

    if (m == NULL)
        r->lost++;
    else
        hg_impair_push(r->path[from], &(struct hg_impair_pkt){.user = m, .len = m->pkt_len}, 1,
                       now);
}

static unsigned take(struct relay *r, unsigned from, hg_ns now)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    unsigned total = 0;
    uint16_t n;

    do {
        n = hg_port_rx(r->ends[from], 0, pkts, HG_PORT_BURST);
        for (uint16_t i = 0; i < n; i++) {
            put(r, pkts[i], from, now);
            rte_pktmbuf_free(pkts[i]);
        }
        total += n;
    } while (n == HG_PORT_BURST);
    return total;
}

/* In an IPv4 packet only, whose checksums find it: Ethernet's own, which the wire has not, would keep
 * damage from ARP. */
static void flip(struct rte_mbuf *m, uint32_t bit)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    uint32_t at = bit / 8;

    if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4) || at < sizeof *eth)
        return;

    for (; at >= m->data_len; m = m->next)
        at -= m->data_len;
    *rte_pktmbuf_mtod_offset(m, uint8_t *, at) ^= (uint8_t)(0x80 >> bit % 8);
}

static unsigned deliver(struct relay *r, unsigned to, hg_ns now)
{
    struct hg_impair_pkt pkt;
    unsigned n = 0;

    for (; hg_impair_pop(r->path[!to], &pkt, 1, now) != 0; n++) {
        struct rte_mbuf *m = pkt.user;

        if (pkt.corrupt)
            flip(m, pkt.flip_bit);
        if (hg_port_tx(r->ends[to], 0, &m, 1) != 1) {
            rte_pktmbuf_free(m);
            r->lost++;
        }
    }
    return n;
}

unsigned relay_run(struct relay *r, hg_ns now)
{
    unsigned moved = take(r, 0, now) + take(r, 1, now);

    return moved + deliver(r, 0, now) + deliver(r, 1, now);
}

hg_ns relay_next(const struct relay *r)
{
    hg_ns a = hg_impair_next(r->path[0]), b = hg_impair_next(r->path[1]);

    return a == 0 || (b != 0 && b < a) ? b : a;
}

uint64_t relay_lost(const struct relay *r)
{
    return r->lost;
}
