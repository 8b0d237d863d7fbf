/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Synthetic content, reproducible: the bytes of a 4 KiB block are a function of (seed, volume,
 * block number, version) alone, so a frame can be made again after a cut and checked by anybody.
 *
 * A block is made of 32-byte pieces, each either random or copied from a small dictionary; the
 * share of random ones is found by trial so that deflate reaches the ratio asked for.
 */
#ifndef LOAD_GEN_H
#define LOAD_GEN_H

#include <headgate/base.h>

#define GEN_DICT 512u

/* Read-only once made; shared by threads. */
struct gen {
    uint64_t seed;
    uint32_t random_share; /* of 65536 pieces, how many are random */
    uint8_t dict[GEN_DICT];
};

/* ratio 1..20 is aimed at for payloads of block_size bytes; blocks of 4 KiB reach little more than
 * 3. 0 or -ENOMEM. */
int gen_init(struct gen *gen, uint64_t seed, double ratio, uint32_t block_size);

/* Names content for ever. */
struct gen_place {
    uint64_t volume;
    uint64_t offset; /* bytes, a multiple of 4096 */
    uint64_t version;
};

/* The len bytes at a place. */
void gen_fill(const struct gen *gen, const struct gen_place *place, uint8_t *dst, uint32_t len);

/* A mixing function for seeds (splitmix64's). */
uint64_t gen_mix(uint64_t x);

#endif /* LOAD_GEN_H */
