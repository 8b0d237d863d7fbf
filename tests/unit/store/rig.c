/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"
#include <headgate/codec.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (8u << 20)
#define POLLS_MAX 100000u

void rig_format(struct rig *r, uint32_t segments, const struct hg_bdev_fault_cfg *fault)
{
    struct hg_pool_geometry g = {.stripe_unit = RIG_UNIT, .chunk = RIG_CHUNK};

    memset(r, 0, sizeof *r);
    for (unsigned i = 0; i < RIG_DEVS; i++) {
        char name[16];

        snprintf(name, sizeof name, "mem%u", i);
        CU_ASSERT_FATAL(hg_bdev_mem_open(name, RIG_DATA_START + (uint64_t)segments * RIG_CHUNK,
                                         &r->mem[i], NULL) == 0);
        r->dev[i] = r->mem[i];
        if (fault != NULL)
            CU_ASSERT_FATAL(hg_bdev_fault_open(r->mem[i], fault, &r->dev[i], NULL) == 0);
    }
    for (unsigned i = 0; i < RIG_SHARDS; i++) {
        r->region[i] = aligned_alloc(HG_ARENA_MAX_BLOCK, ARENA_BYTES);
        CU_ASSERT_FATAL(r->region[i] != NULL);
    }
    CU_ASSERT_FATAL(hg_pool_format(r->dev, RIG_DEVS, &g, false, &r->err) == 0);
}

void rig_start(struct rig *r, unsigned n_shards)
{
    r->n_shards = n_shards;
    CU_ASSERT_FATAL(hg_pool_open(r->dev, RIG_DEVS, &r->pool, &r->err) == 0);
    for (unsigned i = 0; i < n_shards; i++) {
        struct hg_store_cfg cfg = {.shard = i, .n_shards = n_shards, .batch_bytes = r->batch_bytes};

        CU_ASSERT_FATAL(hg_arena_create(r->region[i], ARENA_BYTES, &r->arena[i]) == 0);
        cfg.arena = r->arena[i];
        CU_ASSERT_FATAL(hg_store_create(r->pool, &cfg, &r->store[i], &r->err) == 0);
    }
}

void rig_stop(struct rig *r, bool cut)
{
    if (!cut)
        rig_settle(r);
    for (unsigned i = 0; cut && i < RIG_DEVS; i++)
        hg_bdev_crash(r->dev[i]);
    for (unsigned i = 0; i < r->n_shards; i++) {
        hg_store_destroy(r->store[i]);
        hg_arena_destroy(r->arena[i]);
    }
    hg_pool_close(r->pool);
    r->pool = NULL;
}

void rig_free(struct rig *r)
{
    for (unsigned i = 0; i < RIG_DEVS; i++) {
        if (r->dev[i] != r->mem[i])
            hg_bdev_close(r->dev[i]);
        hg_bdev_close(r->mem[i]);
    }
    for (unsigned i = 0; i < RIG_SHARDS; i++)
        free(r->region[i]);
}

void rig_poll(struct rig *r)
{
    r->now += HG_US(100);
    for (unsigned i = 0; i < r->n_shards; i++)
        if (r->only == 0 || r->only == i + 1)
            hg_store_poll(r->store[i], r->now);
}

void rig_settle(struct rig *r)
{
    for (unsigned polls = 0; polls < POLLS_MAX; polls++) {
        bool idle = true;

        rig_poll(r);
        for (unsigned i = 0; i < r->n_shards; i++)
            idle &= hg_store_idle(r->store[i]);
        if (idle)
            return;
    }
    CU_FAIL_FATAL("the stores do not come to rest");
}

static void on_done(struct hg_store_req *base)
{
    struct rig_req *q = base->owner;

    CU_ASSERT_FALSE(q->over);
    q->over = true;
}

static void prepare(struct rig *r, struct rig_req *q, struct hg_volume *vol, uint64_t block)
{
    memset(q, 0, sizeof *q);
    q->rig = r;
    q->shard = vol != NULL ? (unsigned)rig_info(vol).shard : 0;
    q->base.done = on_done;
    q->base.owner = q;
    q->base.vol = vol;
    q->base.offset = block * HG_BLOCK;
}

static void drop_buf(struct rig_req *q)
{
    if (q->base.buf != NULL)
        hg_arena_free(q->rig->arena[q->shard], q->base.buf);
    q->base.buf = NULL;
}

int rig_wait(struct rig_req *q)
{
    for (unsigned i = 0; !q->over && i < POLLS_MAX; i++)
        rig_poll(q->rig);
    CU_ASSERT_FATAL(q->over);
    drop_buf(q);
    return q->base.status;
}

int rig_attach_status(struct rig *r, unsigned shard, const char *name, uint64_t size,
                      struct hg_volume **vol)
{
    struct rig_req q;

    *vol = NULL;
    prepare(r, &q, NULL, 0);
    hg_store_attach(r->store[shard], name, size, vol, &q.base);
    CU_ASSERT_FALSE(q.over);
    return rig_wait(&q);
}

struct hg_volume *rig_attach(struct rig *r, unsigned shard, const char *name, uint64_t size)
{
    struct hg_volume *vol;

    CU_ASSERT_FATAL(rig_attach_status(r, shard, name, size, &vol) == 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(vol);
    return vol;
}

int rig_write(struct rig *r, struct rig_req *q, struct rig_data d)
{
    uint32_t crc[HG_EXTENT_MAX / HG_BLOCK];
    int rc;

    prepare(r, q, d.vol, d.block);
    q->base.len = (uint32_t)d.n * HG_BLOCK;
    q->base.buf = hg_arena_alloc(r->arena[q->shard], q->base.len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(q->base.buf);
    memset(q->base.buf, d.byte, q->base.len);
    hg_crc32c_blocks(q->base.buf, q->base.len, crc);
    rc = hg_store_write(r->store[q->shard], &q->base, crc, d.seq);
    CU_ASSERT_FALSE(q->over);
    if (rc != 0)
        drop_buf(q);
    return rc;
}

int rig_zero(struct rig *r, struct rig_req *q, struct rig_data d)
{
    prepare(r, q, d.vol, d.block);
    return hg_store_zero(r->store[q->shard], &q->base, d.n * HG_BLOCK, d.seq);
}

int rig_read(struct rig *r, struct rig_req *q, struct hg_volume *vol, uint64_t block, uint32_t n)
{
    prepare(r, q, vol, block);
    q->base.len = n * HG_BLOCK;
    q->base.buf = hg_arena_alloc(r->arena[q->shard], q->base.len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(q->base.buf);
    return hg_store_read(r->store[q->shard], &q->base);
}

int rig_check(struct rig *r, struct hg_volume *vol, uint64_t block, uint32_t n, int byte)
{
    struct rig_req q;
    uint8_t *buf;
    int rc;

    prepare(r, &q, vol, block);
    q.base.len = n * HG_BLOCK;
    buf = q.base.buf = hg_arena_alloc(r->arena[q.shard], q.base.len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(buf);
    memset(buf, ~byte, q.base.len);
    rc = hg_store_read(r->store[q.shard], &q.base);
    if (rc == 0)
        rc = rig_wait(&q);
    for (uint32_t i = 0; rc == 0 && i < n * HG_BLOCK; i++)
        rc = buf[i] != (uint8_t)byte;
    return rc;
}

uint64_t rig_count(const struct rig *r, unsigned shard, const char *name)
{
    struct hg_counter_set set = hg_store_counter_set(r->store[shard]);

    for (unsigned i = 0; i < set.n; i++)
        if (strcmp(set.desc[i].name, name) == 0)
            return set.value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}

struct hg_volume_info rig_info(const struct hg_volume *vol)
{
    struct hg_volume_info info;

    hg_volume_info(vol, &info);
    return info;
}

static void access_block(struct rig *r, enum hg_bdev_op op, uint32_t seg, uint32_t block, void *buf)
{
    uint32_t unit = RIG_UNIT / HG_BLOCK;
    uint32_t stripe = block / unit;
    uint64_t offset = RIG_DATA_START + (uint64_t)seg * RIG_CHUNK +
                      (uint64_t)(stripe / RIG_DEVS) * RIG_UNIT +
                      (uint64_t)(block % unit) * HG_BLOCK;

    CU_ASSERT_FATAL(
        hg_bdev_sync(r->mem[stripe % RIG_DEVS], op, offset, hg_iov_of(buf, HG_BLOCK), NULL) == 0);
}

void rig_peek(struct rig *r, uint32_t seg, uint32_t block, uint8_t *buf)
{
    access_block(r, HG_BDEV_READ, seg, block, buf);
}

void rig_poke(struct rig *r, uint32_t seg, uint32_t block, const uint8_t *buf)
{
    void *copy = aligned_alloc(HG_BLOCK, HG_BLOCK);

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, buf, HG_BLOCK);
    access_block(r, HG_BDEV_WRITE, seg, block, copy);
    free(copy);
}

int rig_main(const char *suite_name, const struct rig_test *tests, unsigned n)
{
    unsigned failed;
    CU_pSuite suite;

    rte_log_set_global_level(RTE_LOG_CRIT); /* the tests make things fail on purpose */
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite(suite_name, NULL, NULL);
    if (suite == NULL)
        return 1;
    for (unsigned i = 0; i < n; i++)
        if (CU_add_test(suite, tests[i].name, tests[i].fn) == NULL)
            return 1;
    if (CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
