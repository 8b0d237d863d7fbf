/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buddy allocator. All book-keeping stands outside the managed region, so that a stray DMA write
 * or an overrun of a payload cannot corrupt it. Invariants:
 *
 *  1. Every 4 KiB block of the region belongs to exactly one chunk; a chunk of order o covers 2^o
 *     blocks and starts at a multiple of 2^o. Only the first block's struct describes the chunk;
 *     the others are in state INNER.
 *  2. A FREE chunk is linked in the list of its order; an order's bit in `available` is set
 *     exactly when its list is not empty.
 *  3. No two FREE chunks are buddies below the highest order: hg_arena_free() joins them.
 */
#include <headgate/arena.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

enum state { INNER = 0, FREE, TAKEN };

struct block {
    uint32_t next, prev; /* in the list of its order, when FREE; block numbers or NONE */
    uint8_t order;
    uint8_t state; /* enum state */
};

struct hg_arena {
    uint8_t *base;
    size_t len;
    size_t used;        /* bytes in TAKEN chunks */
    uint32_t available; /* bit o: the list of order o is not empty */
    uint32_t head[HG_ARENA_ORDERS];
    struct block *block; /* len / HG_BLOCK of them */
};

static void push(struct hg_arena *arena, uint32_t b, unsigned order)
{
    uint32_t next = arena->head[order];

    arena->block[b] =
        (struct block){.next = next, .prev = NONE, .order = (uint8_t)order, .state = FREE};
    if (next != NONE)
        arena->block[next].prev = b;
    arena->head[order] = b;
    arena->available |= 1u << order;
}

static void unlink_free(struct hg_arena *arena, uint32_t b)
{
    struct block *block = &arena->block[b];
    unsigned order = block->order;

    assert(block->state == FREE);
    if (block->next != NONE)
        arena->block[block->next].prev = block->prev;
    if (block->prev != NONE)
        arena->block[block->prev].next = block->next;
    else
        arena->head[order] = block->next;
    if (arena->head[order] == NONE)
        arena->available &= ~(1u << order);
    block->state = INNER;
}

static unsigned order_of(uint32_t len)
{
    uint32_t blocks = (len - 1) / HG_BLOCK + 1;

    return blocks == 1 ? 0 : 32u - (unsigned)__builtin_clz(blocks - 1);
}

int hg_arena_create(void *base, size_t len, struct hg_arena **out)
{
    struct hg_arena *arena;
    size_t blocks = len / HG_BLOCK;

    if (base == NULL || (uintptr_t)base % HG_ARENA_MAX_BLOCK != 0 || len == 0 ||
        len % HG_ARENA_MAX_BLOCK != 0 || blocks >= NONE)
        return -EINVAL;
    arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return -ENOMEM;
    arena->block = calloc(blocks, sizeof *arena->block);
    if (arena->block == NULL) {
        free(arena);
        return -ENOMEM;
    }
    arena->base = base;
    arena->len = len;
    for (unsigned order = 0; order < HG_ARENA_ORDERS; order++)
        arena->head[order] = NONE;
    /* From the end, so that low addresses are handed out first. */
    for (size_t b = blocks; b > 0; b -= HG_ARENA_MAX_BLOCK / HG_BLOCK)
        push(arena, (uint32_t)(b - HG_ARENA_MAX_BLOCK / HG_BLOCK), HG_ARENA_ORDERS - 1);
    *out = arena;
    return 0;
}

void hg_arena_destroy(struct hg_arena *arena)
{
    if (arena == NULL)
        return;
    free(arena->block);
    free(arena);
}

void *hg_arena_alloc(struct hg_arena *arena, uint32_t len)
{
    unsigned want, order;
    uint32_t fit, b;

    assert(len >= 1 && len <= HG_ARENA_MAX_BLOCK);
    want = order_of(len);
    fit = arena->available >> want;
    if (fit == 0)
        return NULL;
    order = want + (unsigned)__builtin_ctz(fit);
    b = arena->head[order];
    unlink_free(arena, b);
    while (order > want) {
        order--;
        push(arena, b + (1u << order), order);
    }
    arena->block[b].order = (uint8_t)want;
    arena->block[b].state = TAKEN;
    arena->used += (size_t)HG_BLOCK << want;
    return arena->base + (size_t)b * HG_BLOCK;
}

void hg_arena_free(struct hg_arena *arena, void *ptr)
{
    size_t offset = (size_t)((uintptr_t)ptr - (uintptr_t)arena->base);
    uint32_t b = (uint32_t)(offset / HG_BLOCK);
    unsigned order;

    assert(offset < arena->len && offset % HG_BLOCK == 0);
    assert(arena->block[b].state == TAKEN);
    order = arena->block[b].order;
    arena->block[b].state = INNER;
    arena->used -= (size_t)HG_BLOCK << order;
    while (order < HG_ARENA_ORDERS - 1) {
        uint32_t buddy = b ^ (1u << order);

        if (arena->block[buddy].state != FREE || arena->block[buddy].order != order)
            break;
        unlink_free(arena, buddy);
        b &= buddy;
        order++;
    }
    push(arena, b, order);
}

uint32_t hg_arena_cost(uint32_t len)
{
    assert(len >= 1 && len <= HG_ARENA_MAX_BLOCK);
    return HG_BLOCK << order_of(len);
}

size_t hg_arena_total(const struct hg_arena *arena)
{
    return arena->len;
}

size_t hg_arena_used(const struct hg_arena *arena)
{
    return arena->used;
}

struct hg_arena_region hg_arena_region(const struct hg_arena *arena)
{
    return (struct hg_arena_region){.base = arena->base, .len = arena->len};
}
