/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shards at work on threads of their own, the controller on another, and a control thread that ticks
 * while it makes the controller fail again and again: every request ends, and what was written is
 * there. The rules of nvme_ctrl.h about who touches what are what is tested; a thread sanitizer makes
 * it strict. The seed is an argument.
 */
#include "nvme_bdev.h"
#include "nvme_chan.h"
#include "nvme_emu.h"
#include <CUnit/Basic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHARDS 2u
#define DEPTH 16u
#define AREA_BYTES (2u << 20) /* of each shard */
#define PIECE 8192u
#define ROUNDS 60u

static uint64_t seed = 1;

struct shard {
    pthread_t thread;
    struct hg_bdev *dev;
    unsigned number;
    uint8_t *mem; /* AREA_BYTES */
    unsigned failed, wrong;
    atomic_bool done;
};

static uint8_t pattern(const struct shard *sh, unsigned round, unsigned piece)
{
    return (uint8_t)(sh->number * 101 + round * 7 + piece);
}

/* Carries out one request for each piece of the shard's area. */
static void all_pieces(struct shard *sh, struct hg_bdev_chan *chan, enum hg_bdev_op op)
{
    enum { N = AREA_BYTES / PIECE };
    struct hg_bdev_io *ios = calloc(N, sizeof *ios);
    struct hg_iov *iov = calloc(N, sizeof *iov);
    unsigned taken = 0, back = 0;

    CU_ASSERT_FATAL(ios != NULL && iov != NULL);
    while (back < N) {
        struct hg_bdev_io *ptr[DEPTH], *done[DEPTH];
        unsigned n = 0, got;

        while (n < DEPTH && taken + n < N) {
            unsigned i = taken + n;

            iov[i] = hg_iov_of(sh->mem + (size_t)i * PIECE, PIECE);
            ios[i] = (struct hg_bdev_io){.op = op,
                                         .iovcnt = 1,
                                         .iov = &iov[i],
                                         .offset = (uint64_t)sh->number * AREA_BYTES +
                                                   (uint64_t)i * PIECE};
            ptr[n++] = &ios[i];
        }
        taken += hg_bdev_submit(chan, ptr, n, hg_bdev_clock());
        got = hg_bdev_poll(chan, done, DEPTH, hg_bdev_clock());
        for (unsigned i = 0; i < got; i++)
            sh->failed += done[i]->status != 0;
        back += got;
        if (got == 0) /* two CPUs are shared by four threads */
            sched_yield();
    }
    free(iov);
    free(ios);
}

static void *shard_main(void *arg)
{
    struct shard *sh = arg;
    struct hg_arena_region mem = {sh->mem, AREA_BYTES};
    struct hg_bdev_chan *chan;

    for (unsigned round = 0; round < ROUNDS; round++) {
        /* A new channel now and then: queues come and go while the controller is in trouble. */
        if (hg_bdev_chan_open(sh->dev, DEPTH, &mem, &chan, NULL) != 0) {
            sh->failed++;
            break;
        }
        for (unsigned piece = 0; piece < AREA_BYTES / PIECE; piece++)
            memset(sh->mem + (size_t)piece * PIECE, pattern(sh, round, piece), PIECE);
        all_pieces(sh, chan, HG_BDEV_WRITE);
        memset(sh->mem, 0, AREA_BYTES);
        all_pieces(sh, chan, HG_BDEV_READ);
        for (unsigned i = 0; i < AREA_BYTES; i++)
            sh->wrong += sh->mem[i] != pattern(sh, round, i / PIECE);
        hg_bdev_chan_close(chan);
    }
    atomic_store(&sh->done, true);
    return NULL;
}

static void disturb(struct nvme_emu *emu, unsigned turn)
{
    static const char *const faults[] = {
        "lose=write:40",    "fatal=write:300",    "cid-range=read:90", "late=read:50:never",
        "fatal=read:700",   "duplicate=write:20", "fail=write:30:0/6", "lose=abort:1",
        "lose=create-sq:1", "fatal=create-cq:1"};
    struct nvme_emu_fault fault;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    nvme_emu_fault_clear(emu);
    CU_ASSERT(nvme_emu_fault_parse(faults[(seed >> 33) % HG_ARRAY_LEN(faults)], &fault, NULL) == 0);
    CU_ASSERT(nvme_emu_fault_add(emu, &fault) >= 0);
    if (turn % 4 == 3)
        nvme_emu_fatal(emu, false);
}

static void test_threads(void)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(16u << 20, 4096);
    struct nvme_opts opts = nvme_opts_default();
    const struct timespec nap = {.tv_nsec = 1000000};
    struct shard shards[SHARDS];
    struct nvme_emu *emu;
    struct hg_bdev_info info;
    struct hg_bdev *dev;
    hg_ns next = 0;
    unsigned turn = 0;

    /* Sixteen wrong things in a row are survived when each may take its resets. */
    opts.io_timeout = HG_MS(60);
    opts.admin_timeout = HG_MS(200);
    opts.tries = 10;
    opts.resets = NVME_RESETS_MAX;
    CU_ASSERT_FATAL(nvme_emu_open(&cfg, &emu, NULL) == 0);
    CU_ASSERT_FATAL(nvme_emu_thread_start(emu) == 0);
    CU_ASSERT_FATAL(nvme_bdev_open(nvme_emu_dev(emu), &opts, &dev, NULL) == 0);
    memset(shards, 0, sizeof shards);
    for (unsigned i = 0; i < SHARDS; i++) {
        shards[i].dev = dev;
        shards[i].number = i;
        shards[i].mem = aligned_alloc(HG_BLOCK, AREA_BYTES);
        CU_ASSERT_FATAL(shards[i].mem != NULL);
        CU_ASSERT_FATAL(pthread_create(&shards[i].thread, NULL, shard_main, &shards[i]) == 0);
    }
    while (!atomic_load(&shards[0].done) || !atomic_load(&shards[1].done)) {
        hg_ns now = hg_bdev_clock();

        hg_bdev_tick(dev, now);
        nanosleep(&nap, NULL);
        if (now < next || turn >= NVME_RESETS_MAX)
            continue; /* the last of its resets are left for what is still going on */
        hg_bdev_info(dev, &info);
        if (info.errors[HG_BDEV_ERR_RESET] + 2 < NVME_RESETS_MAX)
            disturb(emu, turn++);
        next = now + HG_MS(150);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        CU_ASSERT(pthread_join(shards[i].thread, NULL) == 0);
        CU_ASSERT(shards[i].failed == 0 && shards[i].wrong == 0);
        free(shards[i].mem);
    }
    hg_bdev_info(dev, &info);
    CU_ASSERT(info.state == HG_BDEV_OK && info.errors[HG_BDEV_ERR_RESET] >= 1);
    printf("  %u resets, %u sent again ", (unsigned)info.errors[HG_BDEV_ERR_RESET],
           (unsigned)info.errors[HG_BDEV_ERR_RETRIED]);
    hg_bdev_close(dev);
    nvme_emu_thread_stop(emu);
    nvme_emu_close(emu);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;
    unsigned failed;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    CU_initialize_registry();
    suite = CU_add_suite("nvme threads", NULL, NULL);
    CU_add_test(suite, "shards lose nothing while the controller is reset under them",
                test_threads);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
