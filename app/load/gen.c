/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"
#include <errno.h>
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 32u
#define TRIALS 12 /* bisection steps for the share of random pieces */

uint64_t gen_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* xorshift64*: cheap, and good enough that deflate finds nothing in it. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static void fill_block(const struct gen *gen, uint8_t dst[HG_BLOCK], uint64_t key)
{
    uint64_t state = key | 1;

    for (uint32_t at = 0; at < HG_BLOCK; at += PIECE) {
        uint64_t r = next_random(&state);

        if ((r & 0xffff) >= gen->random_share) {
            memcpy(dst + at, gen->dict + (r >> 16) % (GEN_DICT - PIECE), PIECE);
            continue;
        }
        for (uint32_t i = 0; i < PIECE; i += 8) {
            r = next_random(&state);
            memcpy(dst + at + i, &r, 8);
        }
    }
}

void gen_fill(const struct gen *gen, const struct gen_place *place, uint8_t *dst, uint32_t len)
{
    uint64_t base = gen_mix(gen->seed ^ gen_mix(place->volume ^ gen_mix(place->version)));

    for (uint32_t at = 0; at < len; at += HG_BLOCK) {
        uint64_t key = gen_mix(base ^ ((place->offset + at) / HG_BLOCK));

        if (len - at >= HG_BLOCK) {
            fill_block(gen, dst + at, key);
        } else {
            uint8_t tail[HG_BLOCK];

            fill_block(gen, tail, key);
            memcpy(dst + at, tail, len - at);
        }
    }
}

struct trial {
    uint8_t raw[65536], comp[65536];
    uint8_t scratch[HG_DEFLATE_SCRATCH];
};

static double try_share(struct gen *gen, struct trial *t, uint32_t share, uint32_t len)
{
    uint64_t in = 0, out = 0;

    gen->random_share = share;
    for (uint64_t version = 0; version < 4; version++) {
        const struct gen_place place = {.version = version};
        uint32_t n;

        gen_fill(gen, &place, t->raw, len);
        n = hg_deflate(t->comp, len, t->raw, len, t->scratch);
        in += len;
        out += n == 0 ? len : n;
    }
    return (double)in / (double)out;
}

int gen_init(struct gen *gen, uint64_t seed, double ratio, uint32_t block_size)
{
    uint32_t len = block_size > 65536 ? 65536 : block_size;
    uint32_t low = 0, high = 65536;
    uint64_t state = gen_mix(seed) | 1;
    struct trial *t;

    gen->seed = seed;
    gen->random_share = 65536;
    for (uint32_t i = 0; i < GEN_DICT; i++)
        gen->dict[i] = (uint8_t)(next_random(&state) >> 32);
    if (ratio <= 1)
        return 0;
    t = aligned_alloc(64, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < TRIALS; i++) {
        uint32_t mid = (low + high) / 2;

        if (try_share(gen, t, mid, len) > ratio)
            low = mid;
        else
            high = mid;
    }
    gen->random_share = low;
    free(t);
    return 0;
}
