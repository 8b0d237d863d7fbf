/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Helpers: threads that carry out handshake steps (tls.h) for the shards of a node, so that public-key
 * work never holds up packets. Here is the pool, which is bounded rings; the threads are the
 * application's, as many as it likes.
 *
 * A step belongs to one side at a time: to the shard, to the ring towards the helpers, to the thread
 * that runs it, to the ring back. Each shard has a ring of its own each way, which only it writes or
 * reads at its end, so no shard ever waits for another, nor for a helper that has lost its CPU.
 */
#ifndef HEADGATE_HELPERS_H
#define HEADGATE_HELPERS_H

#include <headgate/base.h>
#include <headgate/tls.h>
#include <stdbool.h>

struct hg_helpers;

#define HG_HELPER_STEPS 128u /* jobs of one shard out at once */

struct hg_helpers_cfg {
    unsigned n_shards;
    int socket; /* NUMA node of the rings, -1: any */
    /* There is work, and a helper said that it dozes. Called on the shard's thread, must not block.
     * NULL: no helper ever dozes. */
    void (*wake)(void *arg);
    void *arg;
};

/* Takes EAL memory. 0, or negative errno with a sentence. */
int hg_helpers_create(const struct hg_helpers_cfg *cfg, struct hg_helpers **out,
                      struct hg_err *err);
/* After the shards that use it are gone. NULL is allowed. */
void hg_helpers_destroy(struct hg_helpers *h);

/* Carries out up to max steps, the shards in turn; returns how many. Any number of threads at once. */
unsigned hg_helpers_work(struct hg_helpers *h, unsigned max);

/* Before a helper sleeps. False: there is work, go on. True: wake() will be called when there is some;
 * the helper calls hg_helpers_up() when it is awake again, for whatever reason. */
bool hg_helpers_doze(struct hg_helpers *h);
/* See hg_helpers_doze(). */
void hg_helpers_up(struct hg_helpers *h);

/* ---- a shard's end ---- */

/* One trip of a step. The owner's struct, which stays until it is back. */
struct hg_helper_job {
    struct hg_tls_step *step;
    void *user; /* the owner's; helpers do not look at it */
};

/* Hands a job out; an owner has at most HG_HELPER_STEPS out. */
void hg_helpers_put(struct hg_helpers *h, unsigned shard, struct hg_helper_job *job);
/* Takes up to max jobs back, in the order in which they became ready; returns how many. */
unsigned hg_helpers_get(struct hg_helpers *h, unsigned shard, struct hg_helper_job **jobs,
                        unsigned max);
/* Takes back what no helper has begun; for the end of a shard, when the threads are gone. */
unsigned hg_helpers_recall(struct hg_helpers *h, unsigned shard, struct hg_helper_job **jobs,
                           unsigned max);

#endif /* HEADGATE_HELPERS_H */
