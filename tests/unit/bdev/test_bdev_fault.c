/* SPDX-License-Identifier: BSD-3-Clause */
/* The crash layer keeps what a flush covered, and keeps, loses or tears the rest. Argument: seed.
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <headgate/bdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (1u << 20)
#define SECTOR 512u
#define WRITES 64u

struct rig {
    struct hg_bdev *mem;
    struct hg_bdev *fault;
    struct hg_bdev_chan *chan;
    uint8_t *buf;
};

static void rig_open(struct rig *r, const struct hg_bdev_fault_cfg *cfg)
{
    CU_ASSERT_FATAL(hg_bdev_mem_open("mem", SIZE, &r->mem, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_fault_open(r->mem, cfg, &r->fault, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_chan_open(r->fault, 128, NULL, &r->chan, NULL) == 0);
    r->buf = aligned_alloc(HG_BLOCK, SIZE);
    CU_ASSERT_FATAL(r->buf != NULL);
}

static void rig_close(struct rig *r)
{
    hg_bdev_chan_close(r->chan);
    hg_bdev_close(r->fault);
    hg_bdev_close(r->mem);
    free(r->buf);
}

static int request_of(struct rig *r, struct hg_bdev_io io)
{
    struct hg_iov iov = {r->buf, (uint32_t)io.len};
    struct hg_bdev_io *ptr = &io;

    io.iov = &iov;
    io.iovcnt = io.op == HG_BDEV_READ || io.op == HG_BDEV_WRITE;
    io.status = 1;

    CU_ASSERT_FATAL(hg_bdev_submit(r->chan, &ptr, 1, hg_bdev_clock()) == 1);
    while (hg_bdev_poll(r->chan, &ptr, 1, hg_bdev_clock()) == 0)
        ;
    return io.status;
}

static int request(struct rig *r, enum hg_bdev_op op, uint64_t offset, uint32_t len)
{
    return request_of(r, (struct hg_bdev_io){.op = op, .offset = offset, .len = len});
}

static int write_fill(struct rig *r, uint64_t offset, uint32_t len, int byte)
{
    memset(r->buf, byte, len);
    return request(r, HG_BDEV_WRITE, offset, len);
}

/* How many sectors of the memory below hold `byte`; every sector must be of one value. */
static unsigned sectors_of(struct rig *r, uint64_t offset, uint32_t len, uint8_t byte)
{
    unsigned n = 0;

    CU_ASSERT(hg_bdev_sync(r->mem, HG_BDEV_READ, offset, hg_iov_of(r->buf, len), NULL) == 0);
    for (uint32_t at = 0; at < len; at += SECTOR) {
        n += r->buf[at] == byte;
        for (uint32_t i = 1; i < SECTOR; i++)
            CU_ASSERT_FATAL(r->buf[at + i] == r->buf[at]);
    }
    return n;
}

static void test_flushed_is_kept(uint64_t seed)
{
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed, .delay_polls = 3});
    CU_ASSERT(write_fill(&r, 0, SIZE, 0x11) == 0);
    CU_ASSERT(sectors_of(&r, 0, SIZE, 0x11) == 0);
    CU_ASSERT(request(&r, HG_BDEV_FLUSH, 0, 0) == 0);
    CU_ASSERT(sectors_of(&r, 0, SIZE, 0x11) == SIZE / SECTOR);
    hg_bdev_crash(r.fault);
    CU_ASSERT(sectors_of(&r, 0, SIZE, 0x11) == SIZE / SECTOR);
    rig_close(&r);
}

/* 64 unflushed writes: every sector is old or new, and what the counters say adds up. */
static void test_unflushed(uint64_t seed, struct hg_bdev_fault_stats *sum)
{
    struct hg_bdev_fault_stats s;
    unsigned whole = 0;
    unsigned part = 0;
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed});
    for (unsigned i = 0; i < WRITES; i++)
        CU_ASSERT(write_fill(&r, (uint64_t)i * 8192, 8192, 0x22) == 0);
    CU_ASSERT(request(&r, HG_BDEV_READ, 0, WRITES * 8192) == 0);
    CU_ASSERT(r.buf[0] == 0x22 && r.buf[WRITES * 8192 - 1] == 0x22);
    hg_bdev_crash(r.fault);
    s = hg_bdev_fault_stats(r.fault);
    for (unsigned i = 0; i < WRITES; i++) {
        unsigned n = sectors_of(&r, (uint64_t)i * 8192, 8192, 0x22);

        whole += n == 16;
        part += n != 0 && n != 16;
    }
    CU_ASSERT(s.kept + s.lost + s.torn == WRITES);
    CU_ASSERT(whole >= s.kept && whole <= s.kept + s.torn);
    CU_ASSERT(part <= s.torn);
    sum->kept += s.kept;
    sum->lost += s.lost;
    sum->torn += part;
    rig_close(&r);
}

/* A flush covers only writes that had completed when it was submitted. */
static void test_flush_covers_completed_only(uint64_t seed)
{
    struct hg_iov iov;
    struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov};
    struct hg_bdev_io flush = {.op = HG_BDEV_FLUSH};
    struct hg_bdev_io *both[2] = {&io, &flush};
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed});
    iov = (struct hg_iov){r.buf, HG_BLOCK};
    memset(r.buf, 0x33, HG_BLOCK);
    CU_ASSERT(hg_bdev_submit(r.chan, both, 2, hg_bdev_clock()) == 2);
    CU_ASSERT(hg_bdev_poll(r.chan, both, 2, hg_bdev_clock()) == 2);
    CU_ASSERT(io.status == 0 && flush.status == 0);
    CU_ASSERT(sectors_of(&r, 0, HG_BLOCK, 0x33) == 0);
    rig_close(&r);
}

/* In-flight requests vanish; the device works again through a new channel. */
static void test_usable_after_crash(uint64_t seed)
{
    struct hg_iov iov;
    struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov};
    struct hg_bdev_io *ptr = &io;
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed, .delay_polls = 100});
    iov = (struct hg_iov){r.buf, HG_BLOCK};
    CU_ASSERT(hg_bdev_submit(r.chan, &ptr, 1, hg_bdev_clock()) == 1);
    hg_bdev_crash(r.fault);
    CU_ASSERT(hg_bdev_submit(r.chan, &ptr, 1, hg_bdev_clock()) == 0);
    CU_ASSERT(hg_bdev_poll(r.chan, &ptr, 1, hg_bdev_clock()) == 0);
    hg_bdev_chan_close(r.chan);
    CU_ASSERT_FATAL(hg_bdev_chan_open(r.fault, 4, NULL, &r.chan, NULL) == 0);
    CU_ASSERT(write_fill(&r, 0, HG_BLOCK, 0x44) == 0);
    CU_ASSERT(request(&r, HG_BDEV_FLUSH, 0, 0) == 0);
    CU_ASSERT(sectors_of(&r, 0, HG_BLOCK, 0x44) == 8);
    rig_close(&r);
}

static void test_fails_the_nth(uint64_t seed)
{
    struct hg_bdev_info info;
    struct rig r = {0};

    rig_open(&r,
             &(struct hg_bdev_fault_cfg){.seed = seed, .fail_op = HG_BDEV_WRITE, .fail_nth = 2});
    CU_ASSERT(write_fill(&r, 0, HG_BLOCK, 1) == 0);
    CU_ASSERT(write_fill(&r, 0, HG_BLOCK, 2) == -EIO);
    CU_ASSERT(write_fill(&r, HG_BLOCK, HG_BLOCK, 3) == 0);
    CU_ASSERT(hg_bdev_fault_stats(r.fault).failed == 1);
    hg_bdev_info(r.fault, &info);
    CU_ASSERT(info.errors[HG_BDEV_ERR_OTHER] == 1);
    CU_ASSERT(request(&r, HG_BDEV_FLUSH, 0, 0) == 0);
    CU_ASSERT(sectors_of(&r, 0, HG_BLOCK, 1) == 8);
    CU_ASSERT(sectors_of(&r, HG_BLOCK, HG_BLOCK, 3) == 8);
    rig_close(&r);
}

/* An orderly close writes back what was held. */
static void test_close_keeps(uint64_t seed)
{
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed});
    CU_ASSERT(write_fill(&r, 0, HG_BLOCK, 5) == 0);
    hg_bdev_chan_close(r.chan);
    hg_bdev_close(r.fault);
    CU_ASSERT(sectors_of(&r, 0, HG_BLOCK, 5) == 8);
    hg_bdev_close(r.mem);
    free(r.buf);
}

/* A write with fua survives, and no older write that was held comes after it: neither one that it lies
 * over, nor one that such a one lies over. */
static void test_fua_is_kept(uint64_t seed)
{
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed, .delay_polls = 2});
    CU_ASSERT(write_fill(&r, 0, 16384, 0x11) == 0);
    CU_ASSERT(write_fill(&r, 12288, 8192, 0x22) == 0);
    CU_ASSERT(write_fill(&r, 65536, 8192, 0x33) == 0); /* elsewhere: stays held */
    memset(r.buf, 0x44, 4096);
    CU_ASSERT(
        request_of(&r, (struct hg_bdev_io){
                           .op = HG_BDEV_WRITE, .offset = 16384, .len = 4096, .fua = true}) == 0);
    CU_ASSERT(sectors_of(&r, 16384, 4096, 0x44) == 8);
    CU_ASSERT(sectors_of(&r, 65536, 8192, 0x33) == 0);
    CU_ASSERT(
        request_of(&r, (struct hg_bdev_io){
                           .op = HG_BDEV_WRITE_ZEROES, .offset = 0, .len = 512, .fua = true}) == 0);
    hg_bdev_crash(r.fault);
    CU_ASSERT(sectors_of(&r, 16384, 4096, 0x44) == 8);
    CU_ASSERT(sectors_of(&r, 12288, 4096, 0x22) == 8);
    CU_ASSERT(sectors_of(&r, 0, 512, 0) == 1);
    CU_ASSERT(sectors_of(&r, 512, 11776, 0x11) == 23);
    rig_close(&r);
}

/* Write zeroes and deallocate wait for a flush like writes, and a crash keeps, loses or tears them. */
static void test_ranges_are_held(uint64_t seed, struct hg_bdev_fault_stats *sum)
{
    struct hg_bdev_fault_stats s;
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed});
    CU_ASSERT(write_fill(&r, 0, SIZE, 0x55) == 0);
    CU_ASSERT(request(&r, HG_BDEV_FLUSH, 0, 0) == 0);
    for (unsigned i = 0; i < WRITES; i++)
        CU_ASSERT(request(&r, i % 2 ? HG_BDEV_WRITE_ZEROES : HG_BDEV_DEALLOCATE, (uint64_t)i * 8192,
                          4096) == 0);
    CU_ASSERT(sectors_of(&r, 0, SIZE, 0x55) == SIZE / SECTOR);
    CU_ASSERT(request(&r, HG_BDEV_READ, 0, 16384) == 0);
    CU_ASSERT(r.buf[0] == 0xdb && r.buf[4095] == 0xdb && r.buf[4096] == 0x55);
    CU_ASSERT(r.buf[8192] == 0 && r.buf[8192 + 4095] == 0 && r.buf[8192 + 4096] == 0x55);
    hg_bdev_crash(r.fault);
    s = hg_bdev_fault_stats(r.fault);
    CU_ASSERT(s.kept + s.lost + s.torn == WRITES);
    for (unsigned i = 0; i < WRITES; i++) {
        unsigned n = sectors_of(&r, (uint64_t)i * 8192, 4096, 0);

        CU_ASSERT(n + sectors_of(&r, (uint64_t)i * 8192, 4096, 0x55) == 8);
        CU_ASSERT(sectors_of(&r, (uint64_t)i * 8192 + 4096, 4096, 0x55) == 8);
        sum->kept += n == 8;
        sum->lost += n == 0;
        sum->torn += n % 8 != 0;
    }
    rig_close(&r);
}

/* A flush makes them durable. */
static void test_flushed_ranges_are_kept(uint64_t seed)
{
    struct rig r = {0};

    rig_open(&r, &(struct hg_bdev_fault_cfg){.seed = seed, .delay_polls = 3});
    CU_ASSERT(write_fill(&r, 0, 65536, 0x66) == 0);
    CU_ASSERT(request(&r, HG_BDEV_WRITE_ZEROES, 4096, 8192) == 0);
    CU_ASSERT(request(&r, HG_BDEV_FLUSH, 0, 0) == 0);
    hg_bdev_crash(r.fault);
    CU_ASSERT(sectors_of(&r, 0, 4096, 0x66) == 8);
    CU_ASSERT(sectors_of(&r, 4096, 8192, 0) == 16);
    CU_ASSERT(sectors_of(&r, 12288, 53248, 0x66) == 104);
    rig_close(&r);
}

static uint64_t first_seed = 1;

static void test_all(void)
{
    struct hg_bdev_fault_stats sum = {0};
    struct hg_bdev_fault_stats ranges = {0};

    for (uint64_t seed = first_seed; seed < first_seed + 32; seed++) {
        test_flushed_is_kept(seed);
        test_unflushed(seed, &sum);
        test_flush_covers_completed_only(seed);
        test_usable_after_crash(seed);
        test_fails_the_nth(seed);
        test_close_keeps(seed);
        test_fua_is_kept(seed);
        test_ranges_are_held(seed, &ranges);
        test_flushed_ranges_are_kept(seed);
    }
    CU_ASSERT(sum.kept > 0 && sum.lost > 0 && sum.torn > 0);
    CU_ASSERT(ranges.kept > 0 && ranges.lost > 0 && ranges.torn > 0);
}

int main(int argc, char **argv)
{
    unsigned failed;
    CU_pSuite suite;

    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)first_seed);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("bdev_fault", NULL, NULL);
    if (suite == NULL || CU_add_test(suite, "crashes", test_all) == NULL ||
        CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
