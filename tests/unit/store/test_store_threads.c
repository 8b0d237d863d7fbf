/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shards on threads of their own over one small pool: volumes change hands, the pool runs full, the
 * cleaner works on all shards. What was acknowledged must read back, on the next shard and after
 * the next open. Argument: seed.
 */
#include "rig.h"
#include <errno.h>
#include <headgate/codec.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARDS 3u
#define VOLS 5u
#define BLOCKS 768u
#define SEGMENTS 24u
#define TURNS 1500u /* ownerships per thread */
#define ARENA_BYTES (4u << 20)

/* What the owner of a volume knows about it; handed over with the volume. */
struct shared_vol {
    uint64_t seq;
    uint8_t byte[BLOCKS]; /* acknowledged contents: every block is filled with one byte */
};

struct worker {
    pthread_t thread;
    unsigned shard;
    struct hg_pool *pool;
    struct hg_store *store;
    struct hg_arena *arena;
    struct shared_vol *vols;
    uint64_t random;
    unsigned wrong, refused, owned, freed;
    _Atomic unsigned *running;
    hg_ns now;
};

static uint64_t seed = 1;

static uint64_t draw(struct worker *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % below;
}

static void poll(struct worker *w)
{
    w->now += HG_US(50);
    hg_store_poll(w->store, w->now);
}

static void on_done(struct hg_store_req *req)
{
    *(bool *)req->owner = true;
}

static int wait_for(struct worker *w, const struct hg_store_req *req)
{
    while (!*(const bool *)req->owner)
        poll(w);
    return req->status;
}

static void check(struct worker *w, struct hg_volume *vol, const struct shared_vol *v,
                  uint64_t block, uint32_t n)
{
    bool done = false;
    struct hg_store_req req = {.done = on_done,
                               .owner = &done,
                               .vol = vol,
                               .offset = block * HG_BLOCK,
                               .len = n * HG_BLOCK,
                               .buf = hg_arena_alloc(w->arena, n * HG_BLOCK)};

    while (hg_store_read(w->store, &req) == -EAGAIN)
        poll(w);
    w->wrong += wait_for(w, &req) != 0;
    for (uint32_t i = 0; i < n * HG_BLOCK; i++)
        w->wrong += req.buf[i] != v->byte[block + i / HG_BLOCK];
    hg_arena_free(w->arena, req.buf);
}

static void change(struct worker *w, struct hg_volume *vol, struct shared_vol *v)
{
    uint32_t n = 1 + (uint32_t)draw(w, 64);
    uint64_t block = draw(w, BLOCKS - n + 1);
    int byte = draw(w, 4) == 0 ? 0 : 1 + (int)draw(w, 255);
    uint8_t *buf = hg_arena_alloc(w->arena, n * HG_BLOCK);
    uint32_t crc[64];
    bool done = false;
    struct hg_store_req req = {.done = on_done,
                               .owner = &done,
                               .vol = vol,
                               .offset = block * HG_BLOCK,
                               .len = n * HG_BLOCK,
                               .buf = buf};
    int rc;

    memset(buf, byte, n * HG_BLOCK);
    hg_crc32c_blocks(buf, n * HG_BLOCK, crc);
    if (byte != 0)
        rc = hg_store_write(w->store, &req, crc, v->seq + 1);
    else
        rc = hg_store_zero(w->store, &req, n * HG_BLOCK, v->seq + 1);
    if (rc == 0) {
        w->wrong += wait_for(w, &req) != 0;
        v->seq++;
        memset(v->byte + block, byte, n);
    } else {
        w->wrong += rc != -EAGAIN && rc != -ENOSPC;
        w->refused++;
        poll(w);
    }
    hg_arena_free(w->arena, buf);
}

static void own_one(struct worker *w)
{
    unsigned index = (unsigned)draw(w, VOLS);
    struct shared_vol *v = &w->vols[index];
    char name[8] = {'s', '/', (char)('a' + index)};
    struct hg_volume *vol = NULL;
    struct hg_volume_info info;
    bool done = false;
    struct hg_store_req req = {.done = on_done, .owner = &done};

    hg_store_attach(w->store, name, BLOCKS * HG_BLOCK, &vol, &req);
    if (wait_for(w, &req) != 0) {
        w->wrong += req.status != -EBUSY;
        return;
    }
    w->owned++;
    hg_volume_info(vol, &info);
    w->wrong += info.durable_seq != v->seq;
    for (uint64_t n = draw(w, 8); n > 0; n--) {
        change(w, vol, v);
        if (draw(w, 3) == 0)
            check(w, vol, v, draw(w, BLOCKS - 63), 64);
    }
    hg_store_detach(w->store, vol);
}

static void *work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < TURNS; i++)
        own_one(w);
    /* The others' cleaning jobs need this shard's polls. */
    atomic_fetch_sub(w->running, 1);
    while (atomic_load(w->running) != 0 || !hg_store_idle(w->store))
        poll(w);
    return NULL;
}

static void start(struct rig *r, struct worker *w, unsigned i, struct shared_vol *vols)
{
    struct hg_store_cfg cfg = {.shard = i, .n_shards = SHARDS};
    void *region = aligned_alloc(HG_ARENA_MAX_BLOCK, ARENA_BYTES);

    CU_ASSERT_FATAL(region != NULL && hg_arena_create(region, ARENA_BYTES, &w->arena) == 0);
    cfg.arena = w->arena;
    CU_ASSERT_FATAL(hg_store_create(r->pool, &cfg, &w->store, &r->err) == 0);
    w->shard = i;
    w->pool = r->pool;
    w->vols = vols;
    w->random = seed * 1000 + i;
}

static void stop(struct worker *w)
{
    void *region = hg_arena_region(w->arena).base;

    hg_store_destroy(w->store);
    hg_arena_destroy(w->arena);
    free(region);
}

static void check_after_open(struct rig *r, const struct shared_vol *vols)
{
    rig_start(r, 1);
    for (unsigned i = 0; i < VOLS; i++) {
        char name[8] = {'s', '/', (char)('a' + i)};
        struct hg_volume *vol = rig_attach(r, 0, name, 0);

        CU_ASSERT(rig_info(vol).durable_seq == vols[i].seq);
        for (unsigned b = 0; b < BLOCKS; b++)
            CU_ASSERT(rig_check(r, vol, b, 1, vols[i].byte[b]) == 0);
    }
    rig_stop(r, false);
}

static void test_threads(void)
{
    struct shared_vol *vols = calloc(VOLS, sizeof *vols);
    struct worker w[SHARDS];
    _Atomic unsigned running = SHARDS;
    struct rig r;

    CU_ASSERT_FATAL(vols != NULL);
    memset(w, 0, sizeof w);
    rig_format(&r, SEGMENTS, NULL);
    CU_ASSERT_FATAL(hg_pool_open(r.dev, RIG_DEVS, &r.pool, &r.err) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        start(&r, &w[i], i, vols);
    for (unsigned i = 0; i < SHARDS; i++) {
        w[i].running = &running;
        CU_ASSERT_FATAL(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_join(w[i].thread, NULL);
        CU_ASSERT(w[i].wrong == 0);
        CU_ASSERT(w[i].owned > 0);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        struct hg_counter_set set = hg_store_counter_set(w[i].store);

        w[0].freed += ((const struct hg_store_counters *)set.value)->segments_freed;
        stop(&w[i]);
    }
    CU_ASSERT(w[0].freed > 0);
    hg_pool_close(r.pool);
    check_after_open(&r, vols);
    rig_free(&r);
    free(vols);
}

int main(int argc, char **argv)
{
    static const struct rig_test tests[] = {{"threads", test_threads}};

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    return rig_main("store_threads", tests, HG_ARRAY_LEN(tests));
}
