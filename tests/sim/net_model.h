/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network between two hosts on virtual time: for each direction a bottleneck of finite rate with
 * a finite queue, then a delay, with seeded loss, reordering and duplication. Packets are mbufs,
 * handed on unchanged. Same seed, same calls: same run.
 */
#ifndef HEADGATE_TESTS_SIM_NET_MODEL_H
#define HEADGATE_TESTS_SIM_NET_MODEL_H

#include <headgate/net.h>

/* Random numbers of a test (splitmix64). */
struct net_rng {
    uint64_t state;
};
uint64_t net_rng_next(struct net_rng *rng);
/* In [lo, hi]. */
uint64_t net_rng_range(struct net_rng *rng, uint64_t lo, uint64_t hi);
/* True with a probability of ppm / 1000000. */
bool net_rng_chance(struct net_rng *rng, uint32_t ppm);

struct net_link {
    uint32_t loss_ppm;
    uint32_t dup_ppm;
    uint32_t reorder_ppm; /* packets that take `late` longer than the others */
    hg_ns delay, late;
    uint64_t rate;        /* bytes per second; 0: not limited */
    uint32_t queue_bytes; /* at the bottleneck; what does not fit is dropped */
};

struct net_packet {
    hg_ns at;       /* arrival */
    uint64_t order; /* of sending: ties keep it */
    struct rte_mbuf *m;
    struct hg_flow flow; /* as the receiver sees it */
    uint8_t ecn;         /* IP ECN bits */
};

/* Packets on their way to one host, earliest on top. */
struct net_heap {
    struct net_packet *p;
    uint32_t n, max;
};

struct net_model_stats {
    uint64_t sent, lost, queue_drops, duplicated, late;
};

struct net_model {
    struct net_link link[2]; /* [i]: from host i */
    struct net_rng rng;
    hg_ns busy_until[2];     /* when the bottleneck has sent what is queued */
    struct net_heap heap[2]; /* [i]: to host i */
    uint64_t order;
    struct rte_mempool *copy_pool; /* for duplicates */
    struct net_model_stats stats;
    /* Called for every packet before its fate is decided; true: drop it. May be NULL. */
    bool (*tamper)(void *arg, unsigned from, struct rte_mbuf *m, hg_ns now);
    void *tamper_arg;
};

/* max: packets on their way to one host at once. */
void net_model_init(struct net_model *net, uint64_t seed, uint32_t max,
                    struct rte_mempool *copy_pool);
/* Frees packets still on their way. */
void net_model_fini(struct net_model *net);

/* Takes m, a TCP segment sent by host `from`. */
void net_model_send(struct net_model *net, unsigned from, struct rte_mbuf *m,
                    const struct hg_tx *tx, hg_ns now);

/* Time of the next arrival; 0: nothing on its way. */
hg_ns net_model_next(const struct net_model *net);

/* Takes the earliest packet that has arrived by `now` at host `to`; false: none. */
bool net_model_receive(struct net_model *net, unsigned to, hg_ns now, struct net_packet *out);

#endif /* HEADGATE_TESTS_SIM_NET_MODEL_H */
