/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA buffers for payload: a buddy allocator over one region of pinned memory per shard.
 *
 * Payload is inflated or decrypted straight into these buffers and written from them, so each is
 * contiguous, HG_BLOCK-aligned and inside the region that block devices have registered. Sizes are
 * HG_BLOCK << order up to HG_ARENA_MAX_BLOCK. No heap, no lock, O(orders) per call; one thread.
 *
 * The arena is the node's back-pressure: hg_arena_alloc() returning NULL stops reading from the
 * source, its TCP window closes, and nothing is dropped.
 */
#ifndef HEADGATE_ARENA_H
#define HEADGATE_ARENA_H

#include <headgate/base.h>

#define HG_BLOCK 4096u    /* unit of the store, of DMA alignment and of the arena */
#define HG_ARENA_ORDERS 9 /* 4 KiB ... 1 MiB */
#define HG_ARENA_MAX_BLOCK (HG_BLOCK << (HG_ARENA_ORDERS - 1))

struct hg_arena;

/* Manages `len` bytes at `base` (both multiples of HG_ARENA_MAX_BLOCK; at least one). The memory
 * stays the caller's. Book-keeping is on the heap, made once here. 0, -EINVAL, -ENOMEM. */
int hg_arena_create(void *base, size_t len, struct hg_arena **out);
void hg_arena_destroy(struct hg_arena *arena);

/* A buffer of at least `len` bytes (1..HG_ARENA_MAX_BLOCK), or NULL when none is free. */
void *hg_arena_alloc(struct hg_arena *arena, uint32_t len);

/* Gives back a buffer; `ptr` must come from hg_arena_alloc() of the same arena. */
void hg_arena_free(struct hg_arena *arena, void *ptr);

/* Bytes really taken for a request of `len` (next power of two blocks). */
uint32_t hg_arena_cost(uint32_t len);

/* Bytes managed; bytes taken now, each buffer at its hg_arena_cost(). */
size_t hg_arena_total(const struct hg_arena *arena);
/* See hg_arena_total(). */
size_t hg_arena_used(const struct hg_arena *arena);

/* The whole region, for registration with devices. */
struct hg_arena_region {
    void *base;
    size_t len;
};
struct hg_arena_region hg_arena_region(const struct hg_arena *arena);

#endif /* HEADGATE_ARENA_H */
