/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invariants
 *  1. A block belongs to one arena for ever; its header says which. Blocks of an arena are given out and
 *     taken back under its lock, which is only ever tried: allocation goes to the next arena, and a free
 *     that fails to get it leaves the block on the arena's `returned` stack, which whoever has the lock
 *     empties as a whole. So nobody waits.
 *  2. Every byte lies in a mapping with MADV_DONTDUMP, which is locked if the system lets us.
 *  3. A free block is zero but for the link to the next.
 *  4. Blocks have sizes of four steps to a doubling, so at most a fifth is waste; larger ones than
 *     LARGEST have a mapping each, which goes with them.
 *  5. Arenas never shrink: their size is what handshakes needed at most, which admission bounds.
 */
#include "vault.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define ARENAS 8u
#define CHUNK ((size_t)1 << 20) /* bytes that an arena grows by */
#define SMALLEST 64u            /* bytes, header included; a power of two */
#define STEPS 4u                /* sizes to a doubling */
#define DOUBLINGS 11u           /* up to 128 KiB */
#define CLASSES (STEPS * DOUBLINGS + 1)
#define LARGEST ((size_t)SMALLEST << DOUBLINGS)
#define OWN_MAPPING UINT32_MAX /* instead of an arena */

struct block {
    size_t size; /* as asked for */
    uint32_t arena, class;
    /* the caller's bytes; of a free block, the next free one */
};
_Static_assert(sizeof(struct block) == 16, "what follows is as aligned as malloc's");

struct arena {
    atomic_flag lock;
    struct block *free[CLASSES];
    uint8_t *fresh; /* the rest of the newest chunk */
    size_t fresh_len;
    _Atomic(struct block *) returned;
};

static struct arena arenas[ARENAS];
static atomic_uint threads; /* that have chosen an arena */
static atomic_uint_fast64_t mapped, unlocked;
static _Thread_local unsigned favourite; /* arena + 1; 0: not chosen */

/* ---- sizes ---- */

static size_t class_size(unsigned class)
{
    size_t base = (size_t)SMALLEST << class / STEPS;

    return (base + base / STEPS * (class % STEPS) + 15) & ~(size_t)15;
}

static unsigned class_of(size_t total)
{
    unsigned doubling = 0;
    unsigned class;

    while (((size_t)SMALLEST << (doubling + 1)) < total)
        doubling++;
    class = doubling * STEPS;
    while (class_size(class) < total)
        class ++;
    return class;
}

/* ---- mappings ---- */

static void *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (madvise(p, len, MADV_DONTDUMP) != 0) {
        munmap(p, len);
        return NULL;
    }
    atomic_fetch_add(&mapped, len);
    if (mlock2(p, len, MLOCK_ONFAULT) != 0)
        atomic_fetch_add(&unlocked, len);
    return p;
}

static size_t mapping_len(size_t size)
{
    return (sizeof(struct block) + size + 4095) & ~(size_t)4095;
}

static struct block *map_block(size_t size)
{
    struct block *b = map(mapping_len(size));

    if (b != NULL)
        *b = (struct block){.size = size, .arena = OWN_MAPPING};
    return b;
}

/* ---- an arena, under its lock ---- */

static struct block **next_of(struct block *b)
{
    return (struct block **)(void *)(b + 1);
}

static void put_free(struct arena *a, struct block *b)
{
    *next_of(b) = a->free[b->class];
    a->free[b->class] = b;
}

static void take_returned(struct arena *a)
{
    struct block *b = atomic_exchange_explicit(&a->returned, NULL, memory_order_acquire);

    while (b != NULL) {
        struct block *next = *next_of(b);

        put_free(a, b);
        b = next;
    }
}

/* The rest of a chunk that is too small for what is wanted now is left: at most one block's size. */
static struct block *carve(struct arena *a, unsigned class)
{
    size_t len = class_size(class);
    struct block *b;

    if (a->fresh_len < len) {
        a->fresh = map(CHUNK);
        a->fresh_len = a->fresh == NULL ? 0 : CHUNK;
    }
    if (a->fresh == NULL)
        return NULL;
    b = (struct block *)(void *)a->fresh;
    a->fresh += len;
    a->fresh_len -= len;
    *b = (struct block){.arena = (uint32_t)(a - arenas), .class = class};
    return b;
}

static struct block *take_block(struct arena *a, unsigned class)
{
    struct block *b;

    take_returned(a);
    b = a->free[class];
    if (b == NULL)
        return carve(a, class);
    a->free[class] = *next_of(b);
    *next_of(b) = NULL;
    return b;
}

static bool try_lock(struct arena *a)
{
    return !atomic_flag_test_and_set_explicit(&a->lock, memory_order_acquire);
}

static void unlock(struct arena *a)
{
    atomic_flag_clear_explicit(&a->lock, memory_order_release);
}

/* ---- the interface ---- */

void *vault_alloc(size_t size)
{
    struct block *b;
    struct arena *a;

    if (size > LARGEST - sizeof *b) {
        b = size < SIZE_MAX / 2 ? map_block(size) : NULL;
        return b == NULL ? NULL : b + 1;
    }
    if (favourite == 0)
        favourite = 1 + atomic_fetch_add(&threads, 1) % ARENAS;
    for (unsigned i = favourite - 1;; i++) {
        a = &arenas[i % ARENAS];
        if (try_lock(a))
            break;
    }
    b = take_block(a, class_of(size + sizeof *b));
    unlock(a);
    if (b == NULL)
        return NULL;
    b->size = size;
    return b + 1;
}

void vault_free(void *p)
{
    struct block *b = p == NULL ? NULL : (struct block *)p - 1;
    struct arena *a;

    if (b == NULL)
        return;
    explicit_bzero(p, b->size);
    if (b->arena == OWN_MAPPING) {
        atomic_fetch_sub(&mapped, mapping_len(b->size));
        munmap(b, mapping_len(b->size));
        return;
    }
    a = &arenas[b->arena];
    if (try_lock(a)) {
        put_free(a, b);
        unlock(a);
        return;
    }
    *next_of(b) = atomic_load_explicit(&a->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&a->returned, next_of(b), b, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

void *vault_resize(void *p, size_t size)
{
    struct block *b = p == NULL ? NULL : (struct block *)p - 1;
    void *q;

    if (b != NULL && size <= b->size) {
        explicit_bzero((uint8_t *)p + size, b->size - size);
        if (b->arena != OWN_MAPPING)
            b->size = size; /* of a mapping it tells the length */
        return p;
    }
    if (b != NULL && b->arena != OWN_MAPPING && size <= class_size(b->class) - sizeof *b) {
        b->size = size; /* what follows is zero */
        return p;
    }
    q = vault_alloc(size);
    if (q != NULL && b != NULL) {
        memcpy(q, p, b->size);
        vault_free(p);
    }
    return q;
}

struct vault_info vault_info(void)
{
    return (struct vault_info){atomic_load(&mapped), atomic_load(&unlocked)};
}

/* ---- OpenSSL; the signatures are OpenSSL's ---- */

static void *ssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size == 0 ? NULL : vault_alloc(size);
}

static void *ssl_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size != 0)
        return vault_resize(p, size);
    vault_free(p);
    return NULL;
}

static void ssl_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    vault_free(p);
}

int vault_open(struct hg_err *err)
{
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) == 1)
        return 0;
    return hg_fail(err, -EBUSY, "OpenSSL was used before its memory could be made safe");
}
