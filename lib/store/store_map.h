/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A volume's map: from block number to physical block and CRC32C, in memory.
 *
 * Two levels: a directory of leaf pointers, reserved as address space and touched only where used,
 * and leaves of 512 entries of 12 bytes. A leaf exists while it maps something. Leaves come from a
 * pool of the shard that needs one, which grows by mapping 2 MiB slabs and never by malloc; they
 * may end in another shard's pool, since volumes move. A map belongs to the volume's owner.
 */
#ifndef LIB_STORE_STORE_MAP_H
#define LIB_STORE_STORE_MAP_H

#include <headgate/base.h>
#include <stdatomic.h>
#include <stdbool.h>

#define STORE_LEAF_BLOCKS 512u
#define STORE_PBN_NONE UINT64_MAX

struct store_map_entry {
    uint32_t pbn_lo; /* physical block: segment * blocks per segment + block in segment */
    uint16_t pbn_hi;
    uint16_t mapped; /* 0: reads as zeros */
    uint32_t crc;
};
_Static_assert(sizeof(struct store_map_entry) == 12, "12 bytes per 4 KiB");

struct store_leaf {
    struct store_leaf *next_free;
    uint64_t mapped; /* entries in use */
    struct store_map_entry e[STORE_LEAF_BLOCKS];
};

struct store_slab {
    struct store_slab *next;
};

/* Where all slabs of a pool are remembered; only ever grows until the pool is closed. */
struct store_slabs {
    _Atomic(struct store_slab *) head;
    _Atomic uint64_t n;
};

struct store_leaves {
    struct store_slabs *slabs;
    struct store_leaf *free;
    uint32_t n_free;
};

struct store_map {
    struct store_leaf **dir; /* n_leaves */
    uint64_t *used;          /* bit per 512 directory slots: one of them was set once */
    uint64_t n_leaves;
    uint64_t blocks;
    _Atomic uint64_t mapped; /* blocks */
};

/* 0 or -ENOMEM. */
int store_map_init(struct store_map *map, uint64_t blocks);
void store_map_fini(struct store_map *map);

/* At least n free leaves, mapping a slab when needed; false when there is no memory. */
bool store_leaves_reserve(struct store_leaves *leaves, uint32_t n);
void store_slabs_free(struct store_slabs *slabs);

static inline uint64_t store_map_pbn(const struct store_map_entry *e)
{
    return (uint64_t)e->pbn_hi << 32 | e->pbn_lo;
}

/* The entry of a mapped block, else NULL. block < map->blocks. */
const struct store_map_entry *store_map_get(const struct store_map *map, uint64_t block);

/* Maps a block; a free leaf must have been reserved. Returns what it mapped before, or
 * STORE_PBN_NONE. */
uint64_t store_map_set(struct store_map *map, struct store_leaves *leaves, uint64_t block,
                       uint64_t pbn, uint32_t crc);

/* Bounds the work of one call: what is left after it. A leaf costs 1. */
typedef uint32_t store_budget;

/* Whom to tell of every block that a call unmaps. */
struct store_gone {
    void (*fn)(void *arg, uint64_t pbn);
    void *arg;
};

struct store_range {
    uint64_t from, to; /* blocks; `to` is not part of it */
};

/* Unmaps a range. Returns where it stopped: range.to, or less when the budget ran out. */
uint64_t store_map_unmap(struct store_map *map, struct store_leaves *leaves,
                         struct store_range range, store_budget *budget, struct store_gone gone);

/* The first mapped (unmapped) block in [from, to), else `to`; less than that, with *budget 0, when
 * the budget ran out. */
uint64_t store_map_next_mapped(const struct store_map *map, uint64_t from, uint64_t to,
                               store_budget *budget);
uint64_t store_map_next_unmapped(const struct store_map *map, uint64_t from, uint64_t to,
                                 store_budget *budget);

#endif /* LIB_STORE_STORE_MAP_H */
