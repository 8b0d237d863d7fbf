/* SPDX-License-Identifier: BSD-3-Clause */
/* The promises of bdev.h, one function each: see body.h. */
#include "body.h"
#include "body_random.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 8u
#define MEM (HG_BDEV_IOV_MAX * HG_BLOCK) /* registered with the first channel */

static const struct body_row *row;
static uint64_t seed = 1;

static struct body_device device;
static struct hg_bdev_chan *chan;   /* with registered memory */
static struct hg_bdev_chan *second; /* without */
static uint8_t *mem;                /* registered */
static uint8_t *outside;            /* not */

static uint8_t *buffer(size_t len)
{
    uint8_t *buf = aligned_alloc(HG_ARENA_MAX_BLOCK, HG_ARENA_MAX_BLOCK);

    CU_ASSERT_FATAL(buf != NULL && len <= HG_ARENA_MAX_BLOCK);
    memset(buf, 0, len);
    return buf;
}

static void set_up(void)
{
    char reason[128] = "";
    struct hg_arena_region region;

    memset(&device, 0, sizeof device);
    if (!row->open(&device, reason))
        CU_FAIL_FATAL(reason);
    mem = buffer(MEM);
    outside = buffer(MEM);
    region = (struct hg_arena_region){mem, HG_ARENA_MAX_BLOCK};
    CU_ASSERT_FATAL(hg_bdev_chan_open(device.dev, DEPTH, &region, &chan, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_chan_open(device.dev, DEPTH, NULL, &second, NULL) == 0);
}

static void tear_down(void)
{
    CU_ASSERT(chan == NULL || chan->in_flight == 0);
    CU_ASSERT(second == NULL || second->in_flight == 0);
    hg_bdev_chan_close(second);
    hg_bdev_chan_close(chan);
    row->close(&device);
    free(mem);
    free(outside);
}

/* ---- requests ---- */

static void wait_turn(struct hg_bdev_chan *c)
{
    if (row->pump != NULL)
        row->pump(&device);
    hg_bdev_tick(c->dev, hg_bdev_clock());
}

/* Submits all and polls until all came back. */
static void run(struct hg_bdev_chan *c, struct hg_bdev_io **ios, unsigned n)
{
    struct hg_bdev_io *done[DEPTH];
    unsigned taken = 0;
    unsigned back = 0;
    bool over = false;

    while (back < n) {
        taken += hg_bdev_submit(c, ios + taken, n - taken, hg_bdev_clock());
        over |= c->in_flight > c->depth;
        back += hg_bdev_poll(c, done, DEPTH, hg_bdev_clock());
        wait_turn(c);
    }
    CU_ASSERT(c->in_flight == 0 && !over);
}

static int run_one(struct hg_bdev_chan *c, struct hg_bdev_io io)
{
    struct hg_bdev_io *ptr = &io;

    io.status = 1;
    run(c, &ptr, 1);
    return io.status;
}

static int transfer(struct hg_bdev_chan *c, enum hg_bdev_op op, uint64_t offset, struct hg_iov iov)
{
    return run_one(c, (struct hg_bdev_io){.op = op, .iovcnt = 1, .iov = &iov, .offset = offset});
}

static int range(struct hg_bdev_chan *c, enum hg_bdev_op op, uint64_t offset, uint64_t len)
{
    return run_one(c, (struct hg_bdev_io){.op = op, .offset = offset, .len = len});
}

static void fill(uint8_t *buf, size_t len, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i * 7 + i / 4096 * 13 + salt);
}

static bool all(const uint8_t *buf, size_t len, uint8_t byte)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != byte)
            return false;
    return true;
}

/* ---- promises: data ---- */

static void check_data(struct hg_bdev_chan *c, uint8_t *buf)
{
    static uint8_t want[64 * 1024];

    for (uint32_t len = device.dev->block; len <= sizeof want; len *= 2) {
        fill(want, len, len / 512);
        memcpy(buf, want, len);
        CU_ASSERT(transfer(c, HG_BDEV_WRITE, 128 * 1024, hg_iov_of(buf, len)) == 0);
        memset(buf, 0, len);
        CU_ASSERT(transfer(c, HG_BDEV_READ, 128 * 1024, hg_iov_of(buf, len)) == 0);
        CU_ASSERT(memcmp(buf, want, len) == 0);
    }
}

static void test_data(void)
{
    set_up();
    CU_ASSERT(device.dev->size == BODY_SIZE);
    CU_ASSERT(device.dev->block == 512 || device.dev->block == 4096);
    check_data(chan, mem);
    check_data(chan, outside);
    check_data(second, outside);
    tear_down();
}

/* n buffers of one block each and one longer, in reverse order, every second one registered. */
static void check_shape(struct hg_bdev_chan *c, unsigned n)
{
    uint32_t block = device.dev->block;
    uint32_t len = (n + 1) * block;
    struct hg_iov iov[HG_BDEV_IOV_MAX];
    uint8_t *whole = mem + (size_t)(n + 1) * block;
    unsigned bad = 0;

    for (unsigned i = 0; i < n; i++) {
        iov[i].base = (i % 2 ? mem : outside) + (size_t)(n - 1 - i) * block;
        iov[i].len = i == n - 1 ? 2 * block : block;
    }
    iov[n - 1].base = whole; /* of two blocks */
    for (unsigned i = 0; i < n; i++)
        memset(iov[i].base, (int)(i + 1), iov[i].len);
    CU_ASSERT(run_one(c, (struct hg_bdev_io){.op = HG_BDEV_WRITE,
                                             .iovcnt = (uint16_t)n,
                                             .iov = iov,
                                             .offset = 7 * (uint64_t)block}) == 0);
    CU_ASSERT(transfer(c, HG_BDEV_READ, 7 * (uint64_t)block, hg_iov_of(whole, len)) == 0);
    for (unsigned i = 0; i < len; i++)
        bad += whole[i] != (i / block < n ? i / block + 1 : n);
    CU_ASSERT(bad == 0);
    for (unsigned i = 0; i + 1 < n; i++) /* and back into the pieces */
        memset(iov[i].base, 0, iov[i].len);
    CU_ASSERT(run_one(c, (struct hg_bdev_io){.op = HG_BDEV_READ,
                                             .iovcnt = (uint16_t)n,
                                             .iov = iov,
                                             .offset = 7 * (uint64_t)block}) == 0);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT(all(iov[i].base, iov[i].len, (uint8_t)(i + 1)));
}

static void test_shapes(void)
{
    set_up();
    for (unsigned n = 1; n <= HG_BDEV_IOV_MAX; n++) {
        check_shape(chan, n);
        check_shape(second, n);
    }
    tear_down();
}

static void test_depth(void)
{
    struct hg_iov iov[3 * DEPTH];
    struct hg_bdev_io io[3 * DEPTH];
    struct hg_bdev_io *ptr[3 * DEPTH];

    set_up();
    for (unsigned i = 0; i < 3 * DEPTH; i++) {
        iov[i] = hg_iov_of(mem + (size_t)i * HG_BLOCK, HG_BLOCK);
        io[i] = (struct hg_bdev_io){.op = HG_BDEV_READ,
                                    .iovcnt = 1,
                                    .iov = &iov[i],
                                    .offset = (uint64_t)i * HG_BLOCK,
                                    .status = 1};
        ptr[i] = &io[i];
    }
    CU_ASSERT(hg_bdev_submit(chan, ptr, 3 * DEPTH, hg_bdev_clock()) == DEPTH);
    CU_ASSERT(hg_bdev_submit(chan, ptr + DEPTH, 1, hg_bdev_clock()) == 0);
    for (unsigned back = 0; back < DEPTH; wait_turn(chan))
        back += hg_bdev_poll(chan, (struct hg_bdev_io *[DEPTH]){0}, DEPTH, hg_bdev_clock());
    CU_ASSERT(chan->in_flight == 0);
    run(chan, ptr + DEPTH, 2 * DEPTH);
    for (unsigned i = 0; i < 3 * DEPTH; i++)
        CU_ASSERT(io[i].status == 0);
    tear_down();
}

static void test_refusals(void)
{
    struct hg_bdev_info info;

    set_up();
    {
        uint32_t block = device.dev->block;
        struct hg_iov iov = {mem, HG_BLOCK};
        struct hg_iov odd_len = {mem, block / 2};
        struct hg_iov odd_base = {mem + block / 2, HG_BLOCK};
        struct hg_bdev_io bad[] = {
            {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov, .offset = BODY_SIZE},
            {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = BODY_SIZE - HG_BLOCK / 2},
            {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = UINT64_MAX - HG_BLOCK + 1},
            {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = block / 2},
            {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &odd_len},
            {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &odd_base},
            {.op = HG_BDEV_WRITE, .iovcnt = 0, .iov = &iov},
            {.op = HG_BDEV_FLUSH, .iovcnt = 1, .iov = &iov},
            {.op = HG_BDEV_WRITE_ZEROES, .len = 0},
            {.op = HG_BDEV_WRITE_ZEROES, .len = block / 2},
            {.op = HG_BDEV_WRITE_ZEROES, .len = BODY_SIZE, .offset = block},
            {.op = HG_BDEV_WRITE_ZEROES, .iovcnt = 1, .iov = &iov, .len = block},
            {.op = HG_BDEV_DEALLOCATE, .len = UINT64_MAX - block + 1, .offset = block},
            {.op = HG_BDEV_DEALLOCATE, .len = block, .offset = block / 2},
        };

        for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
            CU_ASSERT(run_one(i % 2 ? second : chan, bad[i]) == -EINVAL);
    }
    CU_ASSERT(transfer(chan, HG_BDEV_READ, 0, hg_iov_of(mem, HG_BLOCK)) == 0);
    hg_bdev_info(device.dev, &info);
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++) /* not the device's fault */
        CU_ASSERT(info.errors[i] == 0);
    tear_down();
}

/* ---- promises: flush, fua, zeroes, deallocate ---- */

static void test_flush(void)
{
    struct hg_iov iov = {0};
    struct hg_bdev_io io[3] = {{.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov, .status = 1},
                               {.op = HG_BDEV_FLUSH, .status = 1},
                               {.op = HG_BDEV_FLUSH, .status = 1}};
    struct hg_bdev_io *ptr[3] = {&io[0], &io[1], &io[2]};

    set_up();
    iov = hg_iov_of(mem, HG_BLOCK);
    CU_ASSERT(range(second, HG_BDEV_FLUSH, 0, 0) == 0);
    run(chan, ptr, 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT(io[i].status == 0);
    CU_ASSERT(hg_bdev_sync(device.dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), NULL) == 0);
    tear_down();
}

static void test_fua(void)
{
    struct hg_iov iov;

    set_up();
    fill(mem, MEM, 5);
    memcpy(outside, mem, MEM);
    iov = hg_iov_of(mem, MEM);
    CU_ASSERT(run_one(chan, (struct hg_bdev_io){.op = HG_BDEV_WRITE,
                                                .iovcnt = 1,
                                                .iov = &iov,
                                                .offset = HG_BLOCK,
                                                .fua = true}) == 0);
    memset(mem, 0, MEM);
    CU_ASSERT(transfer(second, HG_BDEV_READ, HG_BLOCK, iov) == 0);
    CU_ASSERT(memcmp(mem, outside, MEM) == 0);
    tear_down();
}

/* Everything 0x5a, then the range through `op`: what is outside of it stays. */
static void check_range(enum hg_bdev_op op, uint64_t offset, uint64_t len, bool fua)
{
    unsigned wrong = 0;

    for (uint64_t at = 0; at < BODY_SIZE; at += MEM) {
        memset(mem, 0x5a, MEM);
        CU_ASSERT(transfer(chan, HG_BDEV_WRITE, at, hg_iov_of(mem, MEM)) == 0);
    }
    CU_ASSERT(run_one(chan, (struct hg_bdev_io){
                                .op = op, .offset = offset, .len = len, .fua = fua}) == 0);
    for (uint64_t at = 0; at < BODY_SIZE; at += MEM) {
        CU_ASSERT(transfer(second, HG_BDEV_READ, at, hg_iov_of(outside, MEM)) == 0);
        for (uint64_t i = 0; i < MEM; i += device.dev->block) {
            bool inside = at + i >= offset && at + i < offset + len;

            if (!inside || op == HG_BDEV_WRITE_ZEROES)
                wrong += !all(outside + i, device.dev->block, inside ? 0 : 0x5a);
        }
    }
    CU_ASSERT(wrong == 0);
}

static void check_ranges(enum hg_bdev_op op)
{
    uint32_t block = device.dev->block;

    check_range(op, 0, block, false);
    check_range(op, 3 * (uint64_t)block, 9 * (uint64_t)block, true);
    check_range(op, BODY_SIZE - block, block, false);
    check_range(op, HG_BLOCK + block, BODY_SIZE - 2 * HG_BLOCK, false);
    check_range(op, 0, BODY_SIZE, true);
}

static void test_write_zeroes(void)
{
    set_up();
    if (row->caps & BODY_WRITE_ZEROES)
        check_ranges(HG_BDEV_WRITE_ZEROES);
    else
        CU_ASSERT(range(chan, HG_BDEV_WRITE_ZEROES, 0, HG_BLOCK) == -EOPNOTSUPP);
    CU_ASSERT(transfer(chan, HG_BDEV_WRITE, 0, hg_iov_of(mem, HG_BLOCK)) == 0);
    tear_down();
}

static void test_deallocate(void)
{
    set_up();
    if (row->caps & BODY_DEALLOCATE) {
        check_ranges(HG_BDEV_DEALLOCATE);
        check_data(chan, mem);
    } else {
        CU_ASSERT(range(chan, HG_BDEV_DEALLOCATE, 0, HG_BLOCK) == -EOPNOTSUPP);
    }
    CU_ASSERT(transfer(chan, HG_BDEV_WRITE, 0, hg_iov_of(mem, HG_BLOCK)) == 0);
    tear_down();
}

/* ---- promises: the device ---- */

static void test_resize(void)
{
    struct hg_iov iov;
    struct hg_err err = {""};

    set_up();
    iov = hg_iov_of(mem, HG_BLOCK);
    fill(mem, HG_BLOCK, 9);
    CU_ASSERT(hg_bdev_sync(device.dev, HG_BDEV_WRITE, BODY_SIZE, iov, &err) == -EINVAL);
    CU_ASSERT(strstr(err.text, device.dev->name) != NULL);
    CU_ASSERT(hg_bdev_resize(device.dev) == 0);
    CU_ASSERT(device.dev->size == BODY_SIZE);
    if (row->grow != NULL) {
        row->grow(&device, 2 * BODY_SIZE);
        CU_ASSERT(device.dev->size == BODY_SIZE);
        CU_ASSERT(hg_bdev_resize(device.dev) == 0);
        CU_ASSERT(device.dev->size == 2 * BODY_SIZE);
        CU_ASSERT(transfer(chan, HG_BDEV_WRITE, BODY_SIZE, iov) == 0);
        CU_ASSERT(range(chan, HG_BDEV_FLUSH, 0, 0) == 0);
        memset(mem, 0, HG_BLOCK);
        CU_ASSERT(transfer(second, HG_BDEV_READ, BODY_SIZE, iov) == 0);
        CU_ASSERT(mem[1] == (uint8_t)(7 + 9));
    }
    tear_down();
}

static uint64_t counted(const struct hg_bdev_latency *lat)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HG_BDEV_LAT_BUCKETS; i++)
        n += lat->bucket[i];
    return n;
}

/* Time is an argument: each request takes 100 us of it. */
static void timed(struct hg_bdev_chan *c, enum hg_bdev_op op)
{
    struct hg_iov iov = hg_iov_of(mem, HG_BLOCK);
    struct hg_bdev_io io = {.op = op, .iovcnt = 1, .iov = &iov};
    struct hg_bdev_io *ptr = &io;
    hg_ns now = hg_bdev_clock();

    CU_ASSERT(hg_bdev_submit(c, &ptr, 1, now) == 1);
    while (hg_bdev_poll(c, &ptr, 1, now + HG_US(100)) == 0)
        if (row->pump != NULL)
            row->pump(&device);
}

static void test_latency(void)
{
    struct hg_bdev_load load;

    set_up();
    hg_bdev_load(device.dev, &load);
    CU_ASSERT(load.chans == 2 && load.depth == 2 * DEPTH && load.in_flight == 0);
    CU_ASSERT(counted(&load.latency[0]) == 0 && counted(&load.latency[1]) == 0);
    CU_ASSERT(hg_bdev_latency_quantile(&load.latency[0], 0.5) == 0);
    for (unsigned i = 0; i < 3; i++)
        timed(chan, HG_BDEV_READ);
    timed(second, HG_BDEV_WRITE);
    hg_bdev_chan_close(second); /* what it counted stays */
    second = NULL;
    hg_bdev_load(device.dev, &load);
    CU_ASSERT(load.chans == 1 && load.depth == DEPTH);
    CU_ASSERT(counted(&load.latency[0]) == 3 && counted(&load.latency[1]) == 1);
    CU_ASSERT(load.latency[0].bucket[7] == 3 && load.latency[1].bucket[7] == 1); /* 65..131 us */
    CU_ASSERT(load.latency[0].max == HG_US(100));
    CU_ASSERT(hg_bdev_latency_quantile(&load.latency[0], 0.99) == HG_US(100));
    tear_down();
}

static void test_info(void)
{
    struct hg_bdev_info info;

    set_up();
    hg_bdev_info(device.dev, &info);
    CU_ASSERT(strcmp(info.kind, row->kind) == 0);
    CU_ASSERT(info.state == HG_BDEV_OK);
    CU_ASSERT(info.state_text[0] == '\0');
    CU_ASSERT(info.numa_node >= -1);
    CU_ASSERT(memchr(info.model, '\0', sizeof info.model) != NULL);
    CU_ASSERT(memchr(info.serial, '\0', sizeof info.serial) != NULL);
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        CU_ASSERT(info.errors[i] == 0);
    printf("\n    [%s] \"%s\" \"%s\" node %d\n", info.access, info.model, info.serial,
           info.numa_node);
    tear_down();
}

/* ---- promises: many requests at once ---- */

static struct body_random random_of(struct hg_bdev_chan *c, uint64_t offset, uint64_t salt)
{
    return (struct body_random){.row = row,
                                .device = &device,
                                .chan = c,
                                .offset = offset,
                                .seed = seed + salt,
                                .depth = DEPTH};
}

static void test_any_order(void)
{
    struct body_random one, two;

    set_up();
    one = random_of(chan, 0, 0);
    two = random_of(second, BODY_SIZE / 2, 1);
    body_random_run(&one);
    body_random_run(&two);
    CU_ASSERT(one.failed == 0 && one.wrong == 0 && one.lost == 0);
    CU_ASSERT(two.failed == 0 && two.wrong == 0 && two.lost == 0);
    tear_down();
}

static void test_threads(void)
{
    struct body_random one, two;

    if (!(row->caps & BODY_THREADS))
        return;
    set_up();
    one = random_of(chan, 0, 2);
    two = random_of(second, BODY_SIZE / 2, 3);
    CU_ASSERT(body_random_both(&one, &two));
    CU_ASSERT(one.failed == 0 && one.wrong == 0 && one.lost == 0);
    CU_ASSERT(two.failed == 0 && two.wrong == 0 && two.lost == 0);
    tear_down();
}

/* ---- main ---- */

static const struct {
    const char *promise;
    void (*check)(void);
} promises[] = {
    {"what was written is read back", test_data},
    {"1 to 64 buffers are one piece on the device", test_shapes},
    {"a channel takes its depth and no more", test_depth},
    {"wrong requests are refused and harm nothing", test_refusals},
    {"flushes complete, beside writes too", test_flush},
    {"a write with fua is there for other channels", test_fua},
    {"write zeroes gives zeroes there and nowhere else", test_write_zeroes},
    {"deallocate leaves the rest alone", test_deallocate},
    {"a device grows when it is asked to look", test_resize},
    {"latencies and load are counted", test_latency},
    {"a device tells what it is", test_info},
    {"each request comes back once, in any order", test_any_order},
    {"channels of two threads do not disturb each other", test_threads},
};

static bool opens(const struct body_row *candidate)
{
    struct body_device d = {0};
    char reason[128] = "";

    if (candidate->open(&d, reason)) {
        candidate->close(&d);
        return true;
    }
    printf("%s: skipped: %s\n", candidate->name, reason);
    return false;
}

static unsigned run_row(void)
{
    unsigned failed = 1;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    suite = CU_add_suite(row->name, NULL, NULL);
    for (unsigned i = 0; suite != NULL && i < HG_ARRAY_LEN(promises); i++)
        if (CU_add_test(suite, promises[i].promise, promises[i].check) == NULL)
            suite = NULL;
    if (suite != NULL && CU_basic_run_tests() == CUE_SUCCESS)
        failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed;
}

int body_main(const struct body_row *rows, unsigned n, int argc, char **argv)
{
    unsigned failed = 0;
    unsigned ran = 0;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < n; i++) {
        row = &rows[i];
        if (!opens(row))
            continue;
        failed += run_row();
        ran++;
    }
    return failed != 0 ? 1 : ran == 0 ? 77 : 0;
}
