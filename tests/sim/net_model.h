/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network between two hosts on virtual time: a path of headgate/impair.h for each direction, which
 * carries TCP segments with their flow and ECN bits, as long as if each had an IPv4 header. Packets
 * are mbufs, handed on unchanged, so `corrupt_ppm` has no use here. What is longer than `mtu` vanishes
 * without a word. Same seed, same calls: same run.
 */
#ifndef HEADGATE_TESTS_SIM_NET_MODEL_H
#define HEADGATE_TESTS_SIM_NET_MODEL_H

#include <headgate/impair.h>
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

struct net_packet {
    struct rte_mbuf *m;
    struct hg_flow flow; /* as the receiver sees it */
    uint8_t ecn;         /* IP ECN bits */
};

/* Of both directions. */
struct net_model_stats {
    uint64_t sent, lost, queue_drops, duplicated, late;
};

/* One direction. */
struct net_way {
    struct net_model *net;
    struct hg_impair *path;
    struct net_packet *packets; /* what the path carries: pointers into this */
    struct net_packet **unused;
    uint32_t n_unused;
};

struct net_model {
    struct hg_impair_cfg link[2]; /* [i]: from host i; may be changed at any time. An overhead of 0
                                   * is that of Ethernet. */
    struct net_way way[2];
    struct rte_mempool *copy_pool; /* for duplicates */
    uint64_t tampered;
    /* Called for every packet before its fate is decided; true: drop it. May be NULL. */
    bool (*tamper)(void *arg, unsigned from, struct rte_mbuf *m, hg_ns now);
    void *tamper_arg;
};

/* max: packets on their way to one host at once. The model must not move afterwards. */
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

struct net_model_stats net_model_stats(const struct net_model *net);

#endif /* HEADGATE_TESTS_SIM_NET_MODEL_H */
