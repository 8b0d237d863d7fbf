/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool: open, close, figures. */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static hg_ns wall(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return HG_SEC(ts.tv_sec) + (hg_ns)ts.tv_nsec;
}

/* What the devices' caches hold must be on media before it is taken for durable: the node may have
 * been killed and not lost power, and lose power next. */
static int flush_all(struct hg_pool *pool, struct hg_err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < pool->geo.n_dev; i++)
        rc = hg_bdev_sync(pool->devs[i], HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), err);
    return rc;
}

static int start(struct hg_pool *pool, unsigned n, struct hg_err *err)
{
    int rc;

    pool->cat_buf = aligned_alloc(HG_BLOCK, STORE_CAT_BYTES);
    if (pool->cat_buf == NULL)
        return hg_fail(err, -ENOMEM, "no memory for the catalogue");
    pool->boot_leaves.slabs = &pool->slabs;
    pool->geo.n_dev = n;
    atomic_store(&pool->clean_end.owner, STORE_NOBODY);
    pool->clean_end.append.segment = STORE_NO_SEGMENT;
    rc = flush_all(pool, err);
    if (rc == 0)
        rc = store_super_open(pool, n, err);
    if (rc == 0)
        rc = store_seg_init(pool, err);
    if (rc == 0)
        rc = store_cat_load(pool, err);
    if (rc == 0)
        rc = store_replay(pool, err);
    return rc;
}

int hg_pool_open(struct hg_bdev **devs, unsigned n, struct hg_pool **out, struct hg_err *err)
{
    hg_ns begin = wall();
    struct hg_pool *pool;
    int rc;

    *out = NULL;
    if (n < 1 || n > HG_POOL_DEVICES_MAX)
        return hg_fail(err, -EINVAL, "a pool has 2 to %u devices, %u were given",
                       HG_POOL_DEVICES_MAX, n);
    pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return hg_fail(err, -ENOMEM, "no memory for a pool");
    pool->devs = calloc(n, sizeof pool->devs[0]);
    if (pool->devs == NULL) {
        free(pool);
        return hg_fail(err, -ENOMEM, "no memory for a pool");
    }
    memcpy(pool->devs, devs, n * sizeof devs[0]);
    rc = start(pool, n, err);
    if (rc != 0) {
        hg_pool_close(pool);
        return rc;
    }
    pool->replay_ns = wall() - begin;
    *out = pool;
    return 0;
}

void hg_pool_close(struct hg_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++) {
        assert(!atomic_load(&pool->shard[i].active));
        store_seg_live_free(pool->shard[i].live);
    }
    for (uint32_t i = 0; i < HG_VOLUMES_MAX; i++)
        store_volume_free(pool->volumes[i]);
    store_slabs_free(&pool->slabs);
    store_seg_fini(pool);
    free(pool->cat_buf);
    free(pool->devs);
    free(pool);
}

static uint64_t mapped_bytes(const struct hg_pool *pool, uint32_t n)
{
    uint64_t blocks = 0;

    for (uint32_t i = 0; i < n; i++)
        blocks += atomic_load_explicit(&pool->volumes[i]->map.mapped, memory_order_relaxed);
    return blocks * HG_BLOCK;
}

void hg_pool_info(const struct hg_pool *pool, struct hg_pool_info *out)
{
    uint64_t seg_bytes = (uint64_t)pool->geo.seg_blocks * HG_BLOCK;
    uint64_t usable;

    memset(out, 0, sizeof *out);
    store_uuid_text(pool->uuid, out->uuid);
    out->n_devices = pool->geo.n_dev;
    out->stripe_unit = pool->geo.stripe_unit;
    out->chunk = pool->geo.chunk;
    out->segments = atomic_load_explicit(&pool->n_segments, memory_order_relaxed);
    out->segments_free = atomic_load_explicit(&pool->free_segs.n, memory_order_relaxed);
    out->volumes = atomic_load_explicit(&pool->n_volumes, memory_order_acquire);
    out->capacity = out->segments * seg_bytes;
    out->used = mapped_bytes(pool, out->volumes);
    usable = out->capacity - STORE_KEEP_USER * seg_bytes;
    out->free = usable > out->used ? usable - out->used : 0;
    out->stopped = atomic_load_explicit(&pool->n_stopped, memory_order_relaxed);
    out->replay_ns = pool->replay_ns;
    out->replay_entries = pool->replay_entries;
}
