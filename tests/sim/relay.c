/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay.h"
#include <rte_mbuf.h>
#include <stdlib.h>

#define RELAY_FRAMES 8192

struct frame {
    struct rte_mbuf *m;
    hg_ns due;
    unsigned to;
};

struct relay {
    struct relay_cfg cfg;
    struct hg_port *ends[2];
    struct frame frames[RELAY_FRAMES]; /* unordered */
    unsigned n;
    uint64_t lost;
};

uint64_t sim_rand(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct relay *relay_create(const struct relay_cfg *cfg, struct hg_port *const ends[2])
{
    struct relay *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort();
    r->cfg = *cfg;
    r->ends[0] = ends[0];
    r->ends[1] = ends[1];
    return r;
}

void relay_destroy(struct relay *r)
{
    while (r->n > 0)
        rte_pktmbuf_free(r->frames[--r->n].m);
    free(r);
}

static bool chance(struct relay *r, unsigned of_10000)
{
    return sim_rand(&r->cfg.seed) % 10000 < of_10000;
}

/* What is on the cable is a copy: its sender, with its pools, may be gone before it arrives. */
static void put(struct relay *r, const struct rte_mbuf *original, unsigned to, hg_ns now)
{
    hg_ns jitter = r->cfg.jitter == 0 ? 0 : sim_rand(&r->cfg.seed) % r->cfg.jitter;
    struct rte_mbuf *m = NULL;

    if (r->n < RELAY_FRAMES && !chance(r, r->cfg.loss))
        m = rte_pktmbuf_copy(original, r->cfg.pool, 0, UINT32_MAX);
    if (m == NULL) {
        r->lost++;
        return;
    }
    r->frames[r->n++] = (struct frame){m, now + r->cfg.delay + jitter, to};
}

static unsigned take(struct relay *r, unsigned from, hg_ns now)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    unsigned total = 0;
    uint16_t n;

    do {
        n = hg_port_rx(r->ends[from], 0, pkts, HG_PORT_BURST);
        for (uint16_t i = 0; i < n; i++) {
            put(r, pkts[i], !from, now);
            if (chance(r, r->cfg.dup))
                put(r, pkts[i], !from, now);
            rte_pktmbuf_free(pkts[i]);
        }
        total += n;
    } while (n == HG_PORT_BURST);
    return total;
}

unsigned relay_run(struct relay *r, hg_ns now)
{
    unsigned moved = take(r, 0, now) + take(r, 1, now);

    for (unsigned i = 0; i < r->n;) {
        struct frame f = r->frames[i];

        if (f.due > now) {
            i++;
            continue;
        }
        r->frames[i] = r->frames[--r->n];
        if (hg_port_tx(r->ends[f.to], 0, &f.m, 1) != 1) {
            rte_pktmbuf_free(f.m);
            r->lost++;
        }
        moved++;
    }
    return moved;
}

hg_ns relay_next(const struct relay *r)
{
    hg_ns next = 0;

    for (unsigned i = 0; i < r->n; i++)
        if (next == 0 || r->frames[i].due < next)
            next = r->frames[i].due;
    return next;
}

uint64_t relay_lost(const struct relay *r)
{
    return r->lost;
}
