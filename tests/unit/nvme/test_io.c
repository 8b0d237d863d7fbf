/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests through the driver against a model's bytes: shapes, splitting, bounce buffers, SGLs,
 * durability. The seed is an argument. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 1;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(draw() % n);
}

static void scramble(uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)draw();
}

#define IOS 24u
#define PIECES 12u
#define LEN_MAX (1u << 20)

struct shape {
    struct hg_iov iov[PIECES];
    uint32_t len;
};

/* Pieces of any block-aligned length and place: in the registered memory, or outside of it. */
static void draw_shape(struct rig *r, struct shape *shape, struct hg_bdev_io *io, uint8_t *outside)
{
    uint32_t block = r->dev->block;
    unsigned n = 1 + below(below(4) == 0 ? PIECES : 2);

    shape->len = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t len = block * (1 + below(below(8) == 0 ? 200 : 9));
        bool inside = below(5) != 0;
        uint8_t *base = inside ? r->mem : outside;
        uint32_t room = inside ? RIG_MEM : LEN_MAX;

        if (len > room)
            len = room;
        shape->iov[i].base = base + (uint64_t)block * below((room - len) / block + 1);
        shape->iov[i].len = len;
        shape->len += len;
    }
    io->iov = shape->iov;
    io->iovcnt = (uint16_t)n;
}

static void write_model(uint8_t *model, const struct hg_bdev_io *io)
{
    uint8_t *at = model + io->offset;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        memcpy(at, io->iov[i].base, io->iov[i].len);
        at += io->iov[i].len;
    }
}

static bool same_as_model(const uint8_t *model, const struct hg_bdev_io *io)
{
    const uint8_t *at = model + io->offset;

    for (unsigned i = 0; i < io->iovcnt; i++) {
        if (memcmp(at, io->iov[i].base, io->iov[i].len) != 0)
            return false;
        at += io->iov[i].len;
    }
    return true;
}

/* Writes one after the other (they may overlap), then reads, many at once into disjoint memory. */
static void against_model(struct rig *r)
{
    uint8_t *model = calloc(1, RIG_SIZE);
    uint8_t *outside = aligned_alloc(HG_BLOCK, LEN_MAX);
    uint32_t block = r->dev->block;
    unsigned bad = 0;

    CU_ASSERT_FATAL(model != NULL && outside != NULL);
    for (unsigned round = 0; round < 300; round++) {
        struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .fua = below(9) == 0};
        struct shape shape;

        if (below(10) == 0) {
            io = (struct hg_bdev_io){.op = HG_BDEV_WRITE_ZEROES};
            io.len = (uint64_t)block * (1 + below(RIG_SIZE / block / 4));
            io.offset = (uint64_t)block * below((uint32_t)((RIG_SIZE - io.len) / block));
            memset(model + io.offset, 0, io.len);
            CU_ASSERT(rig_run(r, 0, &io, 1) && io.status == 0);
            continue;
        }
        draw_shape(r, &shape, &io, outside);
        io.offset = (uint64_t)block * below((RIG_SIZE - shape.len) / block + 1);
        scramble(r->mem, 64);
        scramble(shape.iov[0].base, shape.iov[0].len);
        write_model(model, &io);
        CU_ASSERT(rig_run(r, 0, &io, 1) && io.status == 0);
        draw_shape(r, &shape, &io, outside);
        io.op = HG_BDEV_READ;
        io.offset = (uint64_t)block * below((RIG_SIZE - shape.len) / block + 1);
        if (io.iovcnt > 1) { /* pieces could overlap */
            io.iovcnt = 1;
        }
        memset(io.iov[0].base, 0xee, io.iov[0].len);
        CU_ASSERT(rig_run(r, 0, &io, 1) && io.status == 0);
        bad += !same_as_model(model, &io);
    }
    CU_ASSERT(bad == 0);
    CU_ASSERT(memcmp(model, nvme_emu_medium(r->emu, 1), RIG_SIZE) == 0);
    free(outside);
    free(model);
}

static void test_shapes(void)
{
    for (unsigned row = 0; row < 8; row++) {
        uint32_t block = (row & 1) != 0 ? 512 : 4096;
        struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, block);
        struct rig r;

        cfg.sgls = (row & 2) != 0;
        cfg.dbbuf = (row & 4) != 0;
        cfg.mdts = row == 0 ? 0 : row == 3 ? 1 : 5;
        cfg.dstrd = row == 5 ? 2 : 0;
        cfg.wzsl = row == 6 ? 3 : 0;
        cfg.entries_max = row == 7 ? 2 : 1024;
        rig_init(&r, &cfg);
        CU_ASSERT_FATAL(rig_start(&r) == 0);
        CU_ASSERT_FATAL(rig_chan(&r, 8) == 0);
        against_model(&r);
        rig_close(&r);
    }
}

/* A deep queue of reads and writes of distinct places, in whatever order they end. */
static void test_many_at_once(void)
{
    struct hg_iov iov[256];
    struct hg_bdev_io io[256];
    unsigned bad = 0;
    struct rig r;

    rig_open(&r, 4096);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.reorder = seed});
    for (unsigned i = 0; i < 256; i++) {
        iov[i] = hg_iov_of(r.mem + i * 8192, 8192);
        memset(iov[i].base, (int)i + 1, 8192);
        io[i] = (struct hg_bdev_io){
            .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov[i], .offset = (uint64_t)i * 8192};
    }
    CU_ASSERT(rig_run(&r, 0, io, 256));
    for (unsigned i = 0; i < 256; i++) {
        CU_ASSERT(io[i].status == 0);
        memset(iov[i].base, 0, 8192);
        io[i].op = HG_BDEV_READ;
    }
    CU_ASSERT(rig_run(&r, 0, io, 256));
    for (unsigned i = 0; i < 256 * 8192u; i++)
        bad += r.mem[i] != (uint8_t)(i / 8192 + 1);
    CU_ASSERT(bad == 0);
    rig_close(&r);
}

/* More buffers outside of the registered memory than there are bounce buffers. */
static void test_bounce_buffers_run_out(void)
{
    uint8_t *outside = aligned_alloc(HG_BLOCK, 4u << 20);
    struct hg_iov iov[16];
    struct hg_bdev_io io[16];
    struct rig r;

    CU_ASSERT_FATAL(outside != NULL);
    scramble(outside, 4u << 20);
    rig_open(&r, 512);
    for (unsigned i = 0; i < 16; i++) {
        iov[i] = hg_iov_of(outside + i * (256u << 10), 256u << 10);
        io[i] = (struct hg_bdev_io){
            .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov[i], .offset = (uint64_t)i * (256u << 10)};
    }
    CU_ASSERT(rig_run(&r, 0, io, 16));
    for (unsigned i = 0; i < 16; i++)
        CU_ASSERT(io[i].status == 0);
    CU_ASSERT(memcmp(outside, nvme_emu_medium(r.emu, 1), 4u << 20) == 0);
    rig_close(&r);
    free(outside);
}

static void test_missing_commands(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
    struct rig r;

    cfg.write_zeroes = cfg.dsm = false;
    rig_init(&r, &cfg);
    CU_ASSERT_FATAL(rig_start(&r) == 0 && rig_chan(&r, 8) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE_ZEROES, 0, NULL, 4096) == -EOPNOTSUPP);
    CU_ASSERT(rig_io(&r, HG_BDEV_DEALLOCATE, 0, NULL, 4096) == -EOPNOTSUPP);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, RIG_SIZE, r.mem, 4096) == -EINVAL);
    CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == 0);
    rig_close(&r);
}

/* What a flush or FUA covers survives; the rest may, block by block, be old or new, never else. */
static void test_power_cut(void)
{
    for (unsigned cut = 0; cut < 40; cut++) {
        const uint8_t *medium;
        unsigned bad = 0;
        struct rig r;

        rig_open(&r, 4096);
        memset(r.mem, 1, 65536);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 65536) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == 0);
        memset(r.mem, 2, 65536);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 32768) == 0);
        {
            struct hg_iov iov = hg_iov_of(r.mem, 4096);
            struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov, .fua = true};

            io.offset = 65536;
            CU_ASSERT(rig_run(&r, 0, &io, 1) && io.status == 0);
        }
        nvme_emu_power_cut(r.emu, seed + cut);
        medium = nvme_emu_medium(r.emu, 1);
        for (unsigned i = 0; i < 65536 + 4096; i++) {
            bool fine = i < 32768   ? medium[i] == 1 || medium[i] == 2
                        : i < 65536 ? medium[i] == 1
                                    : medium[i] == 2;

            bad += !fine || medium[i] != medium[i & ~4095u];
        }
        CU_ASSERT(bad == 0);
        /* The driver finds a controller that knows nothing: a reset, and it goes on. */
        rig_sleep(&r, HG_MS(1));
        CU_ASSERT(rig_io(&r, HG_BDEV_READ, 65536, r.mem + 8192, 4096) == 0);
        CU_ASSERT(r.mem[8192] == 2);
        /* A flush now would tell of writes that may be gone: it fails, for good. */
        CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == -EIO);
        CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == -EIO);
        CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) >= 1);
        rig_close(&r);
    }
}

/* Nothing was on its way to the medium but what a flush had covered: then nothing is lost. */
static void test_power_cut_after_flush(void)
{
    struct rig r;

    rig_open(&r, 4096);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 65536) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == 0);
    nvme_emu_power_cut(r.emu, 1);
    rig_sleep(&r, HG_MS(1));
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 65536) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == 0);
    rig_close(&r);
}

/* Two channels, each with its own queues, at the same time. */
static void test_two_channels(void)
{
    struct hg_iov iov[2];
    struct hg_bdev_io io[2];
    struct hg_bdev_io *ptr, *done;
    unsigned back = 0;
    struct rig r;

    rig_open(&r, 4096);
    CU_ASSERT_FATAL(rig_chan(&r, 4) == 0);
    for (unsigned i = 0; i < 2; i++) {
        iov[i] = hg_iov_of(r.mem + i * 4096, 4096);
        memset(iov[i].base, (int)i + 5, 4096);
        io[i] = (struct hg_bdev_io){
            .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov[i], .offset = (uint64_t)i * 4096};
        ptr = &io[i];
        CU_ASSERT(hg_bdev_submit(r.chans[i], &ptr, 1, r.now) == 1);
    }
    for (unsigned turn = 0; turn < 1000 && back < 2; turn++) {
        rig_turn(&r);
        for (unsigned i = 0; i < 2; i++) {
            unsigned n = hg_bdev_poll(r.chans[i], &done, 1, r.now);

            CU_ASSERT(n == 0 || (done == &io[i] && done->status == 0));
            back += n;
        }
    }
    CU_ASSERT(back == 2 && nvme_emu_medium(r.emu, 1)[4096] == 6);
    rig_close(&r);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;
    unsigned failed;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    CU_initialize_registry();
    suite = CU_add_suite("nvme requests", NULL, NULL);
    CU_add_test(suite, "requests of every shape agree with a model", test_shapes);
    CU_add_test(suite, "deep queues in any order", test_many_at_once);
    CU_add_test(suite, "bounce buffers that run out are waited for", test_bounce_buffers_run_out);
    CU_add_test(suite, "commands the device has not are refused", test_missing_commands);
    CU_add_test(suite, "a power cut spares what was flushed", test_power_cut);
    CU_add_test(suite, "a power cut with nothing unflushed costs nothing",
                test_power_cut_after_flush);
    CU_add_test(suite, "channels do not disturb each other", test_two_channels);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
