/* SPDX-License-Identifier: BSD-3-Clause */
/* What store.h promises, call by call. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define SEGMENTS 24u

static void write_wait(struct rig *r, struct rig_data d)
{
    struct rig_req q;

    CU_ASSERT_FATAL(rig_write(r, &q, d) == 0);
    CU_ASSERT_FATAL(rig_wait(&q) == 0);
}

static void test_attach(void)
{
    char name[HG_VOLUME_NAME_MAX + 1];
    struct hg_volume *vol, *other;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 2);
    CU_ASSERT(rig_attach_status(&r, 0, "s/a", 0, &vol) == -ENOENT);
    CU_ASSERT(rig_attach_status(&r, 0, "", MIB, &vol) == -EINVAL);
    CU_ASSERT(rig_attach_status(&r, 0, "s/a", HG_VOLUME_SIZE_MAX + 1, &vol) == -EINVAL);
    memset(name, 'x', HG_VOLUME_NAME_MAX);
    name[HG_VOLUME_NAME_MAX] = '\0';
    CU_ASSERT(rig_attach_status(&r, 0, name, MIB, &vol) == -EINVAL);
    name[HG_VOLUME_NAME_MAX - 1] = '\0';
    CU_ASSERT(rig_attach_status(&r, 0, name, HG_VOLUME_SIZE_MAX, &vol) == 0);
    vol = rig_attach(&r, 0, "s/a", MIB);
    CU_ASSERT(rig_info(vol).shard == 0 && rig_info(vol).size == MIB);
    CU_ASSERT(strcmp(rig_info(vol).name, "s/a") == 0);
    CU_ASSERT(rig_attach_status(&r, 0, "s/a", MIB, &other) == -EBUSY);
    CU_ASSERT(rig_attach_status(&r, 1, "s/a", MIB, &other) == -EBUSY);
    CU_ASSERT(rig_attach_status(&r, 1, "s/a", 2 * MIB, &other) == -EEXIST && other == vol);
    hg_store_detach(r.store[0], vol);
    CU_ASSERT(rig_info(vol).shard == -1);
    CU_ASSERT(rig_attach_status(&r, 1, "s/a", 0, &other) == 0 && other == vol);
    CU_ASSERT(rig_info(vol).shard == 1);
    rig_stop(&r, false);
    rig_free(&r);
}

static void count_done(struct hg_store_req *req)
{
    ++*(unsigned *)req->owner;
}

/* Two shards create the same volume and others at the same time: each is made once. */
static void test_create_race(void)
{
    static const char *const names[] = {"s/a", "s/b", "s/a", "s/c"};
    struct hg_volume *vol[HG_ARRAY_LEN(names)] = {NULL};
    struct hg_store_req req[HG_ARRAY_LEN(names)];
    struct hg_volume_info info;
    unsigned done = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 2);
    for (unsigned i = 0; i < HG_ARRAY_LEN(names); i++) {
        req[i] = (struct hg_store_req){.done = count_done, .owner = &done};
        hg_store_attach(r.store[i / 2], names[i], MIB, &vol[i], &req[i]);
    }
    rig_settle(&r);
    CU_ASSERT(done == HG_ARRAY_LEN(names));
    CU_ASSERT((req[0].status == 0) + (req[2].status == 0) == 1);
    CU_ASSERT(req[0].status == -EBUSY || req[2].status == -EBUSY);
    CU_ASSERT(req[1].status == 0 && req[3].status == 0);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT(hg_pool_volume(r.pool, i, &info) && info.id == i);
    CU_ASSERT_FALSE(hg_pool_volume(r.pool, 3, &info));
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_creation_is_durable(void)
{
    struct hg_bdev_fault_cfg cfg = {.seed = 3};
    struct hg_volume *vol;
    struct rig r;

    rig_format(&r, SEGMENTS, &cfg);
    for (unsigned i = 0; i < 6; i++) {
        char name[8] = {'v', (char)('0' + i)};

        rig_start(&r, 1);
        for (unsigned k = 0; k < i; k++) {
            char old[8] = {'v', (char)('0' + k)};

            CU_ASSERT(rig_attach_status(&r, 0, old, 0, &vol) == 0);
        }
        rig_attach(&r, 0, name, MIB);
        rig_stop(&r, true);
    }
    rig_free(&r);
}

static void test_write_read(void)
{
    struct hg_volume *vol;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 8 * MIB + 1000); /* the last block is partial and counts whole */
    CU_ASSERT(rig_check(&r, vol, 0, 256, 0) == 0);
    write_wait(&r, (struct rig_data){vol, 10, 256, 0x11, 1});
    write_wait(&r, (struct rig_data){vol, 20, 1, 0x22, 2});
    write_wait(&r, (struct rig_data){vol, 2048, 1, 0x33, 3});
    CU_ASSERT(rig_check(&r, vol, 9, 1, 0) == 0);
    CU_ASSERT(rig_check(&r, vol, 10, 10, 0x11) == 0);
    CU_ASSERT(rig_check(&r, vol, 20, 1, 0x22) == 0);
    CU_ASSERT(rig_check(&r, vol, 21, 245, 0x11) == 0);
    CU_ASSERT(rig_check(&r, vol, 266, 1, 0) == 0);
    CU_ASSERT(rig_check(&r, vol, 2048, 1, 0x33) == 0);
    CU_ASSERT(rig_info(vol).mapped == 257 * HG_BLOCK);
    CU_ASSERT(rig_info(vol).durable_seq == 3);
    CU_ASSERT(rig_count(&r, 0, "writes") == 3 && rig_count(&r, 0, "reads") == 7);
    rig_stop(&r, false);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq == 3);
    CU_ASSERT(rig_check(&r, vol, 21, 245, 0x11) == 0);
    CU_ASSERT(rig_check(&r, vol, 20, 1, 0x22) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_invalid_requests(void)
{
    struct hg_volume *vol;
    struct rig_req q;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 256, 1, 0, 1}) == -EINVAL);
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 255, 2, 0, 1}) == -EINVAL);
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 0, 257, 0, 1}) == -EINVAL);
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 0, 0, 0, 1}) == -EINVAL);
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 1, UINT64_MAX / HG_BLOCK, 0, 1}) == -EINVAL);
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 0, 1, 0, 0}) ==
              -EINVAL); /* seq 0 is "none" */
    write_wait(&r, (struct rig_data){vol, 0, 1, 1, 5});
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 0, 1, 0, 5}) == -EINVAL);
    CU_ASSERT(rig_check(&r, vol, 255, 2, 0) == -EINVAL);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 1) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_zero_and_next_data(void)
{
    uint64_t start = 0;
    uint64_t len = 0;
    struct hg_volume *vol;
    struct rig_req q;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 1024 * MIB);
    CU_ASSERT_FALSE(hg_store_next_data(r.store[0], vol, 0, &start, &len));
    write_wait(&r, (struct rig_data){vol, 100, 200, 7, 1});
    write_wait(&r, (struct rig_data){vol, 250000, 3, 8, 2});
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 150, 50, 0, 3}) == 0);
    CU_ASSERT(rig_wait(&q) == 0);
    CU_ASSERT(rig_check(&r, vol, 150, 50, 0) == 0);
    CU_ASSERT(rig_check(&r, vol, 200, 100, 7) == 0);
    CU_ASSERT(hg_store_next_data(r.store[0], vol, 0, &start, &len));
    CU_ASSERT(start == 100 * HG_BLOCK && len == 50 * HG_BLOCK);
    CU_ASSERT(hg_store_next_data(r.store[0], vol, start + len, &start, &len));
    CU_ASSERT(start == 200 * HG_BLOCK && len == 100 * HG_BLOCK);
    CU_ASSERT(hg_store_next_data(r.store[0], vol, start + len, &start, &len));
    CU_ASSERT(start == 250000 * (uint64_t)HG_BLOCK && len == 3 * HG_BLOCK);
    CU_ASSERT_FALSE(hg_store_next_data(r.store[0], vol, start + len, &start, &len));
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 0, 1024 * MIB / HG_BLOCK, 0, 4}) == 0);
    CU_ASSERT(rig_wait(&q) == 0);
    CU_ASSERT(rig_info(vol).mapped == 0);
    CU_ASSERT_FALSE(hg_store_next_data(r.store[0], vol, 0, &start, &len));
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_epoch(void)
{
    struct hg_store_req req = {.done = count_done};
    struct hg_volume *vol;
    unsigned done = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    req.owner = &done;
    req.vol = vol;
    write_wait(&r, (struct rig_data){vol, 0, 1, 1, 1});
    CU_ASSERT(hg_store_epoch(r.store[0], &req, 17, 2) == 0);
    CU_ASSERT(rig_info(vol).epoch == 0);
    rig_settle(&r);
    CU_ASSERT(done == 1 && req.status == 0 && rig_info(vol).epoch == 17);
    rig_stop(&r, false);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).epoch == 17 && rig_info(vol).durable_seq == 2);
    rig_stop(&r, false);
    rig_free(&r);
}

/* Without polls the queue fills; then everything is done, in order. */
static void test_queue_full(void)
{
    struct rig_req q[64];
    struct hg_volume *vol;
    unsigned n = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    r.batch_bytes = HG_BLOCK;
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    while (n < HG_ARRAY_LEN(q) &&
           rig_write(&r, &q[n], (struct rig_data){vol, n, 1, (int)n, n + 1}) == 0)
        n++;
    CU_ASSERT(n >= 8 && n < HG_ARRAY_LEN(q));
    CU_ASSERT(rig_write(&r, &q[n], (struct rig_data){vol, n, 1, 0, n + 1}) == -EAGAIN);
    CU_ASSERT(rig_count(&r, 0, "queue_full") == 2);
    CU_ASSERT(rig_info(vol).durable_seq == 0);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT(rig_wait(&q[i]) == 0);
    CU_ASSERT(rig_info(vol).durable_seq == n);
    rig_stop(&r, false);
    rig_free(&r);
}

/* When a device fails a write, that request and all later ones fail, reads go on, and after the
 * next open the volume is a prefix again. */
static void device_fails(unsigned op, uint64_t nth)
{
    struct hg_bdev_fault_cfg none = {.seed = 9};
    struct hg_bdev_fault_cfg fail = {.fail_op = op, .fail_nth = nth};
    struct rig_req q[8];
    struct hg_pool_info pool;
    struct hg_volume *vol, *again;
    bool failed = false;
    struct rig r;

    rig_format(&r, SEGMENTS, &none);
    r.batch_bytes = HG_BLOCK;
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    write_wait(&r, (struct rig_data){vol, 0, 1, 0x77, 1});
    hg_bdev_fault_set(r.dev[0], &fail);
    for (unsigned i = 0; i < HG_ARRAY_LEN(q); i++)
        CU_ASSERT(rig_write(&r, &q[i], (struct rig_data){vol, i + 1, 1, (int)i, i + 2}) == 0);
    for (unsigned i = 0; i < HG_ARRAY_LEN(q); i++) {
        int rc = rig_wait(&q[i]);

        CU_ASSERT(rc == 0 || rc == -EIO);
        CU_ASSERT(!failed || rc == -EIO);
        failed |= rc != 0;
    }
    CU_ASSERT(failed);
    CU_ASSERT(rig_write(&r, &q[0], (struct rig_data){vol, 1, 1, 0, 100}) == -EIO);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 0x77) == 0);
    CU_ASSERT(rig_check(&r, vol, 8, 1, 7) == -EIO); /* it never became durable */
    rig_settle(&r);
    hg_store_detach(r.store[0], vol);
    CU_ASSERT(rig_attach_status(&r, 0, "s/a", 0, &again) == -EIO);
    CU_ASSERT(rig_count(&r, 0, "device_errors") >= 1);
    hg_pool_info(r.pool, &pool);
    CU_ASSERT(pool.stopped == 1);
    rig_stop(&r, true);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq >= 1);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 0x77) == 0);
    for (unsigned i = 0; i < HG_ARRAY_LEN(q); i++)
        CU_ASSERT(rig_check(&r, vol, i + 1, 1, i + 2 <= rig_info(vol).durable_seq ? (int)i : 0) ==
                  0);
    rig_stop(&r, true);
    rig_free(&r);
}

static void test_device_fails(void)
{
    for (uint64_t nth = 1; nth <= 4; nth++)
        device_fails(HG_BDEV_WRITE, nth);
    device_fails(HG_BDEV_FLUSH, 1);
}

static void test_read_fails(void)
{
    struct hg_bdev_fault_cfg none = {.seed = 9};
    struct hg_bdev_fault_cfg fail = {.fail_op = HG_BDEV_READ, .fail_nth = 1};
    struct hg_volume *vol;
    struct rig r;

    rig_format(&r, SEGMENTS, &none);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    write_wait(&r, (struct rig_data){vol, 0, 4, 5, 1});
    hg_bdev_fault_set(r.dev[0], &fail);
    CU_ASSERT(rig_check(&r, vol, 0, 4, 5) == -EIO);
    CU_ASSERT(rig_check(&r, vol, 0, 4, 5) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

static unsigned find_block(struct rig *r, int byte, uint8_t *buf)
{
    for (unsigned at = 0; at < SEGMENTS * RIG_SEG_BLOCKS; at++) {
        rig_peek(r, at / RIG_SEG_BLOCKS, at % RIG_SEG_BLOCKS, buf);
        if (buf[0] == byte && memcmp(buf, buf + 1, HG_BLOCK - 1) == 0)
            return at;
    }
    CU_FAIL_FATAL("the block is not on media");
    return 0;
}

static void test_damaged_block(void)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, HG_BLOCK);
    struct hg_store_req req = {.done = count_done, .len = 3 * HG_BLOCK};
    struct hg_volume *vol;
    unsigned done = 0;
    unsigned at;
    struct rig r;

    CU_ASSERT_FATAL(buf != NULL);
    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    for (int i = 0; i < 3; i++)
        write_wait(&r, (struct rig_data){vol, (uint64_t)i, 1, 0x50 + i, (uint64_t)i + 1});
    at = find_block(&r, 0x51, buf);
    buf[4000] ^= 4;
    rig_poke(&r, at / RIG_SEG_BLOCKS, at % RIG_SEG_BLOCKS, buf);
    req.owner = &done;
    req.vol = vol;
    req.buf = hg_arena_alloc(r.arena[0], 3 * HG_BLOCK);
    CU_ASSERT(hg_store_read(r.store[0], &req) == 0);
    rig_settle(&r);
    CU_ASSERT(done == 1 && req.status == -EILSEQ && req.offset == HG_BLOCK);
    CU_ASSERT(rig_count(&r, 0, "crc_errors") == 1);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 0x50) == 0 && rig_check(&r, vol, 2, 1, 0x52) == 0);
    hg_arena_free(r.arena[0], req.buf);
    rig_stop(&r, false);
    rig_free(&r);
    free(buf);
}

/* A trim of many leaves is spread over polls; until it is through the volume puts others off. */
static void test_large_zero(void)
{
    uint64_t blocks = 4096 * MIB / HG_BLOCK;
    struct rig_req zero, q;
    struct hg_volume *vol;
    uint64_t seq = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 4096 * MIB);
    for (uint64_t b = 0; b < blocks; b += 1024)
        write_wait(&r, (struct rig_data){vol, b, 1, 3, ++seq});
    CU_ASSERT(rig_zero(&r, &zero, (struct rig_data){vol, 0, blocks, 0, ++seq}) == 0);
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 5, 1, 4, seq + 1}) == -EAGAIN);
    CU_ASSERT(rig_info(vol).mapped > 0);
    CU_ASSERT(rig_wait(&zero) == 0);
    CU_ASSERT(rig_info(vol).mapped == 0);
    write_wait(&r, (struct rig_data){vol, 5, 1, 4, ++seq});
    CU_ASSERT(rig_check(&r, vol, 4, 1, 0) == 0 && rig_check(&r, vol, 5, 1, 4) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_deadlines(void)
{
    struct rig_req q[2];
    struct hg_volume *vol;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    rig_settle(&r);
    CU_ASSERT(hg_store_next(r.store[0]) == 0);
    CU_ASSERT(rig_write(&r, &q[0], (struct rig_data){vol, 0, 1, 1, 1}) == 0);
    CU_ASSERT(hg_store_next(r.store[0]) == r.now); /* nothing in flight: at once */
    CU_ASSERT_FALSE(hg_store_idle(r.store[0]));
    hg_store_poll(r.store[0], ++r.now);
    CU_ASSERT(rig_write(&r, &q[1], (struct rig_data){vol, 1, 1, 1, 2}) == 0);
    CU_ASSERT(hg_store_next(r.store[0]) == r.now + HG_US(500));
    CU_ASSERT(rig_wait(&q[0]) == 0 && rig_wait(&q[1]) == 0);
    CU_ASSERT(hg_store_idle(r.store[0]));
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_create_refuses(void)
{
    struct hg_store_cfg cfg = {.shard = 0, .n_shards = 2};
    struct hg_store *store;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 2);
    cfg.arena = r.arena[0];
    CU_ASSERT(hg_store_create(r.pool, &cfg, &store, &r.err) == -EBUSY);
    cfg.n_shards = 3;
    CU_ASSERT(hg_store_create(r.pool, &cfg, &store, &r.err) == -EINVAL);
    cfg.shard = 3;
    CU_ASSERT(hg_store_create(r.pool, &cfg, &store, &r.err) == -EINVAL);
    rig_stop(&r, false);
    CU_ASSERT_FATAL(hg_pool_open(r.dev, RIG_DEVS, &r.pool, &r.err) == 0);
    cfg = (struct hg_store_cfg){.n_shards = 20};
    CU_ASSERT(hg_arena_create(r.region[0], HG_ARENA_MAX_BLOCK, &cfg.arena) == 0);
    CU_ASSERT(hg_store_create(r.pool, &cfg, &store, &r.err) == -ENOSPC);
    CU_ASSERT(strstr(r.err.text, "20 shards") != NULL);
    hg_arena_destroy(cfg.arena);
    hg_pool_close(r.pool);
    rig_free(&r);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"attach", test_attach},
        {"create race", test_create_race},
        {"creation is durable", test_creation_is_durable},
        {"write and read", test_write_read},
        {"invalid requests", test_invalid_requests},
        {"zero and next data", test_zero_and_next_data},
        {"epoch", test_epoch},
        {"queue full", test_queue_full},
        {"a device fails a write", test_device_fails},
        {"a device fails a read", test_read_fails},
        {"damaged block", test_damaged_block},
        {"large zero", test_large_zero},
        {"deadlines", test_deadlines},
        {"create refuses", test_create_refuses},
    };

    return rig_main("store", tests, HG_ARRAY_LEN(tests));
}
