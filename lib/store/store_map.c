/* SPDX-License-Identifier: BSD-3-Clause */
#include "store_map.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SLAB_BYTES ((size_t)2 << 20)
#define SLAB_LEAVES ((SLAB_BYTES - sizeof(struct store_slab)) / sizeof(struct store_leaf))
#define DIR_PAGE 512u /* directory slots per bit of `used`: one page of pointers */

static void *map_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static size_t dir_bytes(const struct store_map *map)
{
    return map->n_leaves * sizeof map->dir[0];
}

static size_t used_words(const struct store_map *map)
{
    return (map->n_leaves + DIR_PAGE * 64 - 1) / (DIR_PAGE * 64);
}

int store_map_init(struct store_map *map, uint64_t blocks)
{
    memset(map, 0, sizeof *map);
    map->blocks = blocks;
    map->n_leaves = (blocks + STORE_LEAF_BLOCKS - 1) / STORE_LEAF_BLOCKS;
    map->dir = map_pages(dir_bytes(map));
    map->used = map_pages(used_words(map) * sizeof map->used[0]);
    if (map->dir == NULL || map->used == NULL) {
        store_map_fini(map);
        return -ENOMEM;
    }
    return 0;
}

void store_map_fini(struct store_map *map)
{
    if (map->dir != NULL)
        munmap(map->dir, dir_bytes(map));
    if (map->used != NULL)
        munmap(map->used, used_words(map) * sizeof map->used[0]);
    map->dir = NULL;
    map->used = NULL;
}

static bool add_slab(struct store_leaves *leaves)
{
    struct store_slab *slab = map_pages(SLAB_BYTES);
    struct store_leaf *leaf;

    if (slab == NULL)
        return false;
    slab->next = atomic_load(&leaves->slabs->head);
    while (!atomic_compare_exchange_weak(&leaves->slabs->head, &slab->next, slab))
        ;
    atomic_fetch_add(&leaves->slabs->n, 1);
    leaf = (struct store_leaf *)(slab + 1);
    for (size_t i = 0; i < SLAB_LEAVES; i++) {
        leaf[i].next_free = leaves->free;
        leaves->free = &leaf[i];
    }
    leaves->n_free += SLAB_LEAVES;
    return true;
}

bool store_leaves_reserve(struct store_leaves *leaves, uint32_t n)
{
    while (leaves->n_free < n)
        if (!add_slab(leaves))
            return false;
    return true;
}

void store_slabs_free(struct store_slabs *slabs)
{
    struct store_slab *slab = atomic_exchange(&slabs->head, NULL);

    while (slab != NULL) {
        struct store_slab *next = slab->next;

        munmap(slab, SLAB_BYTES);
        slab = next;
    }
}

static struct store_leaf *take_leaf(struct store_leaves *leaves)
{
    struct store_leaf *leaf = leaves->free;

    assert(leaf != NULL);
    leaves->free = leaf->next_free;
    leaves->n_free--;
    memset(leaf, 0, sizeof *leaf);
    return leaf;
}

static void give_leaf(struct store_leaves *leaves, struct store_leaf *leaf)
{
    leaf->next_free = leaves->free;
    leaves->free = leaf;
    leaves->n_free++;
}

static void count_mapped(struct store_map *map, int64_t change)
{
    uint64_t now = atomic_load_explicit(&map->mapped, memory_order_relaxed);

    atomic_store_explicit(&map->mapped, now + (uint64_t)change, memory_order_relaxed);
}

const struct store_map_entry *store_map_get(const struct store_map *map, uint64_t block)
{
    const struct store_leaf *leaf = map->dir[block / STORE_LEAF_BLOCKS];
    const struct store_map_entry *e;

    if (leaf == NULL)
        return NULL;
    e = &leaf->e[block % STORE_LEAF_BLOCKS];
    return e->mapped ? e : NULL;
}

uint64_t store_map_set(struct store_map *map, struct store_leaves *leaves, uint64_t block,
                       uint64_t pbn, uint32_t crc)
{
    uint64_t index = block / STORE_LEAF_BLOCKS;
    struct store_leaf *leaf = map->dir[index];
    uint64_t old = STORE_PBN_NONE;
    struct store_map_entry *e;

    assert(block < map->blocks);
    if (leaf == NULL) {
        leaf = map->dir[index] = take_leaf(leaves);
        map->used[index / DIR_PAGE / 64] |= (uint64_t)1 << (index / DIR_PAGE % 64);
    }
    e = &leaf->e[block % STORE_LEAF_BLOCKS];
    if (e->mapped) {
        old = store_map_pbn(e);
    } else {
        leaf->mapped++;
        count_mapped(map, 1);
    }
    *e = (struct store_map_entry){
        .pbn_lo = (uint32_t)pbn, .pbn_hi = (uint16_t)(pbn >> 32), .mapped = 1, .crc = crc};
    return old;
}

/* The first leaf slot >= index that is set, or n_leaves. */
static uint64_t next_leaf(const struct store_map *map, uint64_t index, store_budget *budget)
{
    while (index < map->n_leaves) {
        uint64_t page = index / DIR_PAGE;
        uint64_t word = map->used[page / 64] >> (page % 64);

        if (word == 0) {
            index = (page / 64 + 1) * 64 * DIR_PAGE;
        } else if ((word & 1) == 0) {
            index = (page + (unsigned)__builtin_ctzll(word)) * DIR_PAGE;
        } else {
            uint64_t end =
                (page + 1) * DIR_PAGE < map->n_leaves ? (page + 1) * DIR_PAGE : map->n_leaves;

            while (index < end && map->dir[index] == NULL)
                index++;
            if (index < end)
                return index;
        }
        if (*budget == 0)
            return index;
        --*budget;
    }
    return map->n_leaves;
}

/* Where the part of [from, to) that lies in from's leaf ends. */
static uint64_t leaf_end(uint64_t from, uint64_t to)
{
    uint64_t end = (from / STORE_LEAF_BLOCKS + 1) * STORE_LEAF_BLOCKS;

    return end < to ? end : to;
}

/* The first block in [from, to) whose leaf exists, else `to`; short of that without budget. */
static uint64_t skip_to_leaf(const struct store_map *map, uint64_t from, uint64_t to,
                             store_budget *budget)
{
    uint64_t index = next_leaf(map, from / STORE_LEAF_BLOCKS, budget);
    uint64_t start = index * STORE_LEAF_BLOCKS;

    if (start > from)
        from = start;
    return from < to ? from : to;
}

uint64_t store_map_unmap(struct store_map *map, struct store_leaves *leaves,
                         struct store_range range, store_budget *budget, struct store_gone gone)
{
    uint64_t from = range.from, to = range.to;

    while (from<to && * budget> 0) {
        struct store_leaf *leaf;
        uint64_t end;

        --*budget;
        from = skip_to_leaf(map, from, to, budget);
        if (from == to || (leaf = map->dir[from / STORE_LEAF_BLOCKS]) == NULL)
            continue;
        for (end = leaf_end(from, to); from < end; from++) {
            struct store_map_entry *e = &leaf->e[from % STORE_LEAF_BLOCKS];

            if (!e->mapped)
                continue;
            gone.fn(gone.arg, store_map_pbn(e));
            e->mapped = 0;
            leaf->mapped--;
            count_mapped(map, -1);
        }
        if (leaf->mapped == 0) {
            map->dir[(from - 1) / STORE_LEAF_BLOCKS] = NULL;
            give_leaf(leaves, leaf);
        }
    }
    return from;
}

uint64_t store_map_next_mapped(const struct store_map *map, uint64_t from, uint64_t to,
                               store_budget *budget)
{
    while (from<to && * budget> 0) {
        const struct store_leaf *leaf;
        uint64_t end;

        --*budget;
        from = skip_to_leaf(map, from, to, budget);
        if (from == to || (leaf = map->dir[from / STORE_LEAF_BLOCKS]) == NULL)
            continue;
        for (end = leaf_end(from, to); from < end; from++)
            if (leaf->e[from % STORE_LEAF_BLOCKS].mapped)
                return from;
    }
    return from;
}

uint64_t store_map_next_unmapped(const struct store_map *map, uint64_t from, uint64_t to,
                                 store_budget *budget)
{
    while (from<to && * budget> 0) {
        const struct store_leaf *leaf = map->dir[from / STORE_LEAF_BLOCKS];
        uint64_t end;

        --*budget;
        if (leaf == NULL)
            return from;
        for (end = leaf_end(from, to); from < end; from++)
            if (!leaf->e[from % STORE_LEAF_BLOCKS].mapped)
                return from;
    }
    return from;
}
