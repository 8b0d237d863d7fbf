/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_store_model.h"
#include <stdlib.h>
#include <string.h>

void model_init(struct model_volume *v, uint32_t id, uint32_t blocks)
{
    memset(v, 0, sizeof *v);
    v->id = id;
    v->blocks = blocks;
    v->base = calloc(blocks, sizeof v->base[0]);
    v->done = calloc(blocks, sizeof v->done[0]);
    if (v->base == NULL || v->done == NULL)
        abort();
}

void model_fini(struct model_volume *v)
{
    free(v->base);
    free(v->done);
    free(v->op);
}

struct model_op *model_add(struct model_volume *v, enum model_op_type type, uint32_t block,
                           uint32_t n)
{
    struct model_op *op;

    if (v->n_ops == v->cap) {
        v->cap = v->cap == 0 ? 64 : 2 * v->cap;
        v->op = realloc(v->op, v->cap * sizeof v->op[0]);
        if (v->op == NULL)
            abort();
    }
    op = &v->op[v->n_ops++];
    *op = (struct model_op){.type = type, .seq = ++v->seq, .block = block, .n = n};
    if (type == MODEL_WRITE)
        op->value = ++v->versions;
    else if (type == MODEL_EPOCH)
        op->value = ++v->epoch;
    return op;
}

void model_undo(struct model_volume *v)
{
    if (v->op[--v->n_ops].type == MODEL_EPOCH)
        v->epoch--;
    v->seq--;
}

static void apply(uint64_t *state, const struct model_op *op)
{
    for (uint32_t i = 0; op->type != MODEL_EPOCH && i < op->n; i++)
        state[op->block + i] = op->type == MODEL_WRITE ? op->value : 0;
}

bool model_done(struct model_volume *v, uint64_t seq)
{
    if (v->n_done == v->n_ops || v->op[v->n_done].seq != seq)
        return false;
    apply(v->done, &v->op[v->n_done++]);
    v->acked = seq;
    return true;
}

bool model_cut(struct model_volume *v, uint64_t seq)
{
    size_t i = 0;

    if (seq < v->acked || seq > v->seq)
        return false;
    for (; i < v->n_ops && v->op[i].seq <= seq; i++) {
        apply(v->base, &v->op[i]);
        if (v->op[i].type == MODEL_EPOCH)
            v->base_epoch = v->op[i].value;
    }
    memcpy(v->done, v->base, v->blocks * sizeof v->base[0]);
    v->seq = v->acked = seq;
    v->epoch = v->base_epoch;
    v->n_ops = v->n_done = 0;
    return true;
}

/* Eight bytes of a block; version 0 never gets here. */
static uint64_t word(const struct model_volume *v, uint32_t block, uint64_t version, uint32_t i)
{
    return ((uint64_t)v->id << 56 ^ (uint64_t)block << 24 ^ version) * 0x9e3779b97f4a7c15u + i;
}

void model_fill(const struct model_volume *v, uint32_t block, uint64_t version, uint8_t *buf)
{
    for (uint32_t i = 0; i < MODEL_BLOCK / 8; i++) {
        uint64_t w = version == 0 ? 0 : word(v, block, version, i);

        memcpy(buf + (size_t)i * 8, &w, 8);
    }
}

bool model_matches(const struct model_volume *v, uint32_t block, uint64_t version,
                   const uint8_t *buf)
{
    uint8_t want[MODEL_BLOCK];

    model_fill(v, block, version, want);
    return memcmp(want, buf, sizeof want) == 0;
}

bool model_matches_later(const struct model_volume *v, uint64_t acked, uint32_t block,
                         const uint8_t *buf)
{
    for (size_t i = v->n_ops; i-- > 0 && v->op[i].seq > acked;) {
        const struct model_op *op = &v->op[i];

        if (op->type != MODEL_EPOCH && block >= op->block && block - op->block < op->n &&
            model_matches(v, block, op->type == MODEL_WRITE ? op->value : 0, buf))
            return true;
    }
    return false;
}
