/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a volume must look like, for the store's simulation.
 *
 * A volume is an array of versions, one per block; version 0 reads as zeros, and the bytes of any
 * other are a function of (volume, block, version). Requests are kept from the last verified state
 * on, so that the state after any prefix of them can be made.
 */
#ifndef TESTS_SIM_SIM_STORE_MODEL_H
#define TESTS_SIM_SIM_STORE_MODEL_H

#include <headgate/base.h>
#include <stdbool.h>

#define MODEL_BLOCK 4096u

enum model_op_type { MODEL_WRITE, MODEL_ZERO, MODEL_EPOCH };

struct model_op {
    enum model_op_type type;
    uint64_t seq;
    uint32_t block, n;
    uint64_t value; /* write: version, epoch: epoch */
};

struct model_volume {
    uint32_t id;
    uint32_t blocks;
    uint64_t seq;   /* last submitted */
    uint64_t acked; /* last done */
    uint64_t epoch; /* last submitted */
    uint64_t base_epoch;
    uint64_t versions;   /* used so far */
    uint64_t *base;      /* version per block, before ops */
    uint64_t *done;      /* ... after the acknowledged ones of ops */
    struct model_op *op; /* since base, in order of seq */
    size_t n_ops, n_done, cap;
};

void model_init(struct model_volume *v, uint32_t id, uint32_t blocks);
void model_fini(struct model_volume *v);

/* The next request; returns its place. */
struct model_op *model_add(struct model_volume *v, enum model_op_type type, uint32_t block,
                           uint32_t n);
/* The last one added was refused. */
void model_undo(struct model_volume *v);
/* The oldest unacknowledged request is done; true when its number is seq. */
bool model_done(struct model_volume *v, uint64_t seq);
/* After a crash: the state becomes that after all requests up to seq. False when that is less than
 * what was acknowledged, or more than was submitted. */
bool model_cut(struct model_volume *v, uint64_t seq);

void model_fill(const struct model_volume *v, uint32_t block, uint64_t version, uint8_t *buf);
bool model_matches(const struct model_volume *v, uint32_t block, uint64_t version,
                   const uint8_t *buf);
/* True when buf is the block under a request that was not acknowledged when `acked` was. */
bool model_matches_later(const struct model_volume *v, uint64_t acked, uint32_t block,
                         const uint8_t *buf);

#endif /* TESTS_SIM_SIM_STORE_MODEL_H */
