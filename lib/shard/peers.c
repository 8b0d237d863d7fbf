/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shards tell each other: both are rare, so each message is made on the heap and freed by the
 * shard that got it. A message that cannot be made or queued is not repeated: the event that caused
 * it comes again (OPEN is tried again, ARP is asked again).
 */
#include "shard_priv.h"
#include <stdio.h>
#include <stdlib.h>

#define LEARNT_PER_TURN 16

/* A fence on its way to another shard; made on the slow path of OPEN, freed when it has run. */
struct fence_call {
    struct hg_call call;
    char volume[HG_VOLUME_NAME_MAX];
};

static void fence_run(struct hg_shard *sh, struct hg_call *call, hg_ns now)
{
    struct fence_call *f = HG_CONTAINER_OF(call, struct fence_call, call);

    hg_ingest_fence(sh->ingest, f->volume, now);
    free(f);
}

void peers_fence(void *arg, const char *volume)
{
    struct hg_shard *sh = arg;

    for (unsigned i = 0; i < sh->n_peers; i++) {
        struct fence_call *f;

        if (sh->peers[i] == sh)
            continue;
        f = calloc(1, sizeof *f);
        if (f == NULL)
            return; /* OPEN is tried again, and with it the fence */
        f->call.fn = fence_run;
        snprintf(f->volume, sizeof f->volume, "%s", volume);
        if (hg_shard_call(sh->peers[i], &f->call) != 0)
            free(f);
    }
}

/* ARP and ND are answered on one queue only: the other shards hear of neighbours from here, and of
 * addresses of ours that another host has. */
struct learn_call {
    struct hg_call call;
    unsigned port; /* the neighbour is on it */
    struct hg_neighbour neighbour;
};

static void learn_run(struct hg_shard *sh, struct hg_call *call, hg_ns now)
{
    struct learn_call *l = HG_CONTAINER_OF(call, struct learn_call, call);

    if (l->neighbour.duplicate)
        hg_net_duplicate(sh->nets[l->port], &l->neighbour.ip, &l->neighbour.mac, now);
    else
        hg_net_learn(sh->nets[l->port], &l->neighbour.ip, &l->neighbour.mac, now);
    free(l);
}

static void tell(struct hg_shard *peer, unsigned port, const struct hg_neighbour *n)
{
    struct learn_call *l = calloc(1, sizeof *l);

    if (l == NULL)
        return;
    *l = (struct learn_call){{learn_run}, port, *n};
    if (hg_shard_call(peer, &l->call) != 0)
        free(l);
}

static void share(struct hg_shard *sh, unsigned port)
{
    struct hg_neighbour learnt[LEARNT_PER_TURN];
    unsigned n = hg_net_learnt(sh->nets[port], learnt, LEARNT_PER_TURN);

    for (unsigned i = 0; i < n; i++)
        for (unsigned p = 0; p < sh->n_peers; p++)
            if (sh->peers[p] != sh)
                tell(sh->peers[p], port, &learnt[i]);
}

void peers_share_neighbours(struct hg_shard *sh)
{
    for (unsigned port = 0; port < sh->cfg.n_ports; port++)
        share(sh, port);
}
