/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments: claiming, closing, counting.
 *
 * Free segments are the pool's and not a shard's: with a share of its own each shard would run full
 * alone. Taking one is a compare-and-swap once per segment's worth of data, not per request. The
 * tables have room for STORE_SEGMENTS_MAX from the start, as reserved address space, so that
 * growing a pool moves nothing that a shard is reading.
 */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

#define LIVE_BYTES (STORE_SEGMENTS_MAX * sizeof(_Atomic int32_t))

_Atomic int32_t *store_seg_live_new(void)
{
    return reserve(LIVE_BYTES);
}

void store_seg_live_free(_Atomic int32_t *live)
{
    if (live != NULL)
        munmap((void *)live, LIVE_BYTES);
}

int store_seg_init(struct hg_pool *pool, struct hg_err *err)
{
    pool->segs = reserve(STORE_SEGMENTS_MAX * sizeof pool->segs[0]);
    pool->live0 = store_seg_live_new();
    if (pool->segs == NULL || pool->live0 == NULL)
        return hg_fail(err, -ENOMEM, "no address space for the segment tables");
    return 0;
}

void store_seg_fini(struct hg_pool *pool)
{
    store_seg_live_free(pool->live0);
    if (pool->segs != NULL)
        munmap(pool->segs, STORE_SEGMENTS_MAX * sizeof pool->segs[0]);
}

/* ---- stacks ---- */

#define STACK_INDEX 0xffffffffu

static uint64_t stack_head(uint64_t old, uint32_t index1)
{
    return ((old >> 32) + 1) << 32 | index1;
}

void store_seg_push(struct hg_pool *pool, struct store_stack *stack, uint32_t seg)
{
    uint64_t old = atomic_load(&stack->head);

    do {
        atomic_store_explicit(&pool->segs[seg].next, (uint32_t)old, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&stack->head, &old, stack_head(old, seg + 1)));
    atomic_fetch_add(&stack->n, 1);
}

static bool pop(struct hg_pool *pool, struct store_stack *stack, uint32_t *seg)
{
    uint64_t old = atomic_load(&stack->head);
    uint32_t next;

    do {
        if ((old & STACK_INDEX) == 0)
            return false;
        *seg = (uint32_t)(old & STACK_INDEX) - 1;
        next = atomic_load_explicit(&pool->segs[*seg].next, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&stack->head, &old, stack_head(old, next)));
    return true;
}

/* Takes one off the count, so that the pop that follows will find one. */
static bool reserve_one(struct store_stack *stack, uint32_t keep)
{
    uint32_t n = atomic_load(&stack->n);

    do {
        if (n <= keep)
            return false;
    } while (!atomic_compare_exchange_weak(&stack->n, &n, n - 1));
    return true;
}

/* ---- life of a segment ---- */

static bool claim_partial(struct hg_pool *pool, enum store_stream stream, uint32_t blocks,
                          struct store_append *out)
{
    uint32_t seg;

    while (reserve_one(&pool->partial[stream], 0) && pop(pool, &pool->partial[stream], &seg)) {
        uint32_t tail = pool->segs[seg].tail;

        *out = (struct store_append){.segment = seg, .tail = tail};
        if (pool->geo.seg_blocks - tail >= blocks) {
            atomic_store_explicit(&pool->segs[seg].state, SEG_OPEN, memory_order_release);
            return true;
        }
        store_seg_close(pool, out, 0, 0);
    }
    return false;
}

int store_seg_claim(struct hg_pool *pool, enum store_stream stream, uint32_t blocks, uint32_t keep,
                    struct store_append *out)
{
    struct store_segment *s;
    uint32_t seg;

    assert(blocks <= pool->geo.seg_blocks);
    if (claim_partial(pool, stream, blocks, out))
        return 0;
    if (!reserve_one(&pool->free_segs, keep))
        return -ENOSPC;
    while (!pop(pool, &pool->free_segs, &seg))
        ;
    s = &pool->segs[seg];
    s->tail = 0;
    s->gen = (uint64_t)pool->incarnation << 32 | (atomic_fetch_add(&pool->seg_opens, 1) + 1);
    atomic_store_explicit(&s->first_stamp, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&s->state, SEG_OPEN, memory_order_release);
    *out = (struct store_append){.segment = seg, .tail = 0};
    return 0;
}

void store_seg_close(struct hg_pool *pool, struct store_append *append, unsigned shard,
                     uint64_t bseq)
{
    struct store_segment *s = &pool->segs[append->segment];

    s->tail = append->tail;
    s->last_shard = shard;
    s->last_bseq = bseq;
    atomic_store_explicit(&s->state, SEG_CLOSED, memory_order_release);
    *append = (struct store_append){.segment = STORE_NO_SEGMENT};
}

int64_t store_seg_live(const struct hg_pool *pool, uint32_t seg)
{
    int64_t live = atomic_load_explicit(&pool->live0[seg], memory_order_acquire);
    unsigned n = atomic_load_explicit(&pool->n_shards, memory_order_relaxed);

    for (unsigned i = 0; i < n; i++) {
        const _Atomic int32_t *count = pool->shard[i].live;

        if (count != NULL)
            live += atomic_load_explicit(&count[seg], memory_order_acquire);
    }
    return live;
}
