/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments that came to a shard which does not have their connection: put together from fragments, behind
 * extension headers, or quoted in an ICMP message. What spreads packets over queues looks at ports, and
 * those have none, or not where it looks.
 *
 * Such a segment goes round: each shard that does not have the connection passes it to the next, and the
 * last one does what TCP does without a connection. A SYN does not go round: whoever gets it may accept
 * it, and what follows finds its way to it. Rare, so nothing is spent to find out whose it is.
 */
#include "shard_priv.h"
#include <errno.h>
#include <rte_ring_elem.h>
#include <stdio.h>

#define STRAYS 512u /* waiting for one shard */
#define PER_TURN 32u

struct stray {
    struct hg_seg seg;
    uint32_t hops, pad; /* elements are multiples of four bytes */
};
_Static_assert(sizeof(struct stray) % 4 == 0, "rte_ring_create_elem()");

int strays_create(struct hg_shard *sh)
{
    char name[RTE_RING_NAMESIZE];

    snprintf(name, sizeof name, "hg%u_strays", sh->cfg.id);
    sh->strays =
        rte_ring_create_elem(name, sizeof(struct stray), STRAYS, sh->cfg.socket, RING_F_SC_DEQ);
    return sh->strays != NULL ? 0 : -ENOMEM;
}

void strays_destroy(struct hg_shard *sh)
{
    struct stray s;

    while (sh->strays != NULL && rte_ring_sc_dequeue_elem(sh->strays, &s, sizeof s) == 0)
        rte_pktmbuf_free(s.seg.m);
    rte_ring_free(sh->strays);
}

bool strays_pass(void *arg, const struct hg_seg *seg)
{
    struct hg_shard *sh = arg;
    struct stray s = {.seg = *seg, .hops = sh->stray_hops + 1};
    struct hg_shard *next;

    if (s.hops >= sh->n_peers)
        return false;
    next = sh->peers[(sh->cfg.id + 1) % sh->n_peers];
    if (rte_ring_mp_enqueue_elem(next->strays, &s, sizeof s) != 0) {
        sh->count.strays_dropped++;
        rte_pktmbuf_free(seg->m);
        return true;
    }
    sh->count.strays_passed++;
    return true;
}

unsigned strays_poll(struct hg_shard *sh)
{
    struct stray s;
    unsigned n = 0;

    while (n < PER_TURN && rte_ring_sc_dequeue_elem(sh->strays, &s, sizeof s) == 0) {
        sh->stray_hops = s.hops;
        hg_tcp_input(sh->tcp, &s.seg, 1, sh->now);
        n++;
    }
    sh->stray_hops = 0;
    return n;
}
