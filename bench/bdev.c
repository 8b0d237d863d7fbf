/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one thread gets from block devices: requests of one size, at random places or one after the other,
 * so many in flight on each device, submitted in batches, buffers registered.
 *
 *     bdev_bench [--cpu N] [--seconds S] [--op read|write] [--block BYTES] [--depth N] [--batch N]
 *                [--sequential] [--fua] [--huge] DEVICE...
 *
 * DEVICE is a path, mem:SIZE, or emu:SIZE: the NVMe driver on an emulated controller, whose hardware runs
 * in between in the same thread. With several, batches go to one after the other, as a striped pool's do.
 * The thread is not the process's first one, as in the daemon. Prints one line by tabs: requests, seconds,
 * bytes, how the first device is reached.
 */
#include "../drivers/bdev/nvme/nvme_bdev.h"
#include "../drivers/bdev/nvme/nvme_emu.h"
#include "cpu.h"
#include <getopt.h>
#include <headgate/bdev.h>
#include <headgate/units.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEVICES 16u
#define BATCH_MAX 256u
#define CLOCK_EVERY 16u /* turns between looks at the clock */

struct job {
    struct hg_bdev_io io;
    struct hg_iov iov;
    struct job *next; /* of those that are free */
};

struct lane {
    struct hg_bdev *dev;
    struct nvme_emu *emu; /* of emu:SIZE */
    bool memory;
    struct hg_bdev_chan *chan;
    struct job *jobs;
    struct job *free;
    uint64_t at; /* of the next sequential request, in blocks */
};

struct bench {
    enum hg_bdev_op op;
    uint64_t block;
    unsigned depth, batch;
    bool sequential, fua, huge;
    int cpu; /* -1: any */
    double seconds, took;
    uint64_t random;
    unsigned n_lanes;
    struct lane lane[DEVICES];
    uint64_t done;
};

static uint64_t draw(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

/* Memory that has been touched, in pages of the usual size or huge ones. */
static uint8_t *memory(size_t len, bool huge)
{
    uint8_t *p = mmap(NULL, len + HG_ARENA_MAX_BLOCK, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        cpu_die("no memory");
    p = (uint8_t *)(((uintptr_t)p + HG_ARENA_MAX_BLOCK - 1) & ~(uintptr_t)(HG_ARENA_MAX_BLOCK - 1));
    (void)madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(p, 0x5a, len);
    return p;
}

static struct hg_bdev *open_emulated(struct lane *lane, uint64_t size, struct hg_err *err)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(size, 4096);
    struct nvme_opts opts = nvme_opts_default();
    struct hg_bdev *dev = NULL;

    cfg.vwc = false; /* or it keeps a copy of each write */
    if (nvme_emu_open(&cfg, &lane->emu, err) != 0 || nvme_emu_thread_start(lane->emu) != 0 ||
        nvme_bdev_open(nvme_emu_dev(lane->emu), &opts, &dev, err) != 0)
        cpu_die(err->text);
    return dev;
}

static struct hg_bdev *open_device(struct lane *lane, const char *name, struct hg_err *err)
{
    struct hg_bdev *dev = NULL;
    bool memory_only = strncmp(name, "mem:", 4) == 0;
    uint64_t size;

    if (!memory_only && strncmp(name, "emu:", 4) != 0) {
        if (hg_bdev_uring_open(name, false, &dev, err) != 0)
            cpu_die(err->text);
        return dev;
    }
    if (hg_units_size(name + 4, &size) != 0)
        cpu_die("write the size like 256M");
    lane->memory = true;
    if (!memory_only)
        return open_emulated(lane, size, err);
    if (hg_bdev_mem_open(name, size, &dev, err) != 0)
        cpu_die(err->text);
    return dev;
}

static void open_lane(struct bench *b, const char *name)
{
    struct lane *lane = &b->lane[b->n_lanes++];
    size_t len = (size_t)b->depth * b->block;
    uint8_t *mem = memory(len, b->huge);
    struct hg_arena_region region = {mem, len};
    struct hg_err err = {""};

    lane->dev = open_device(lane, name, &err);
    if (hg_bdev_chan_open(lane->dev, b->depth, &region, &lane->chan, &err) != 0)
        cpu_die(err.text);
    if (lane->emu != NULL)
        nvme_emu_thread_stop(lane->emu);
    lane->jobs = calloc(b->depth, sizeof lane->jobs[0]);
    if (lane->jobs == NULL)
        cpu_die("no memory");
    for (unsigned i = 0; i < b->depth; i++) {
        struct job *job = &lane->jobs[i];

        job->iov = hg_iov_of(mem + (size_t)i * b->block, (uint32_t)b->block);
        job->io = (struct hg_bdev_io){
            .op = b->op, .iovcnt = 1, .fua = b->fua, .iov = &job->iov, .owner = job};
        job->next = lane->free;
        lane->free = job;
    }
}

/* A full batch, or nothing. */
static void submit(struct bench *b, struct lane *lane, hg_ns now)
{
    struct hg_bdev_io *ios[BATCH_MAX];
    uint64_t blocks = lane->dev->size / b->block;

    if (lane->chan->depth - lane->chan->in_flight < b->batch)
        return;
    for (unsigned i = 0; i < b->batch; i++) {
        struct job *job = lane->free;

        lane->free = job->next;
        job->io.offset = (b->sequential ? lane->at++ : draw(b)) % blocks * b->block;
        ios[i] = &job->io;
    }
    if (hg_bdev_submit(lane->chan, ios, b->batch, now) != b->batch)
        cpu_die("there was no room");
}

static void poll(struct bench *b, struct lane *lane, hg_ns now)
{
    struct hg_bdev_io *done[BATCH_MAX];
    unsigned n = hg_bdev_poll(lane->chan, done, BATCH_MAX, now);

    if (lane->emu != NULL)
        (void)nvme_emu_poll(lane->emu, now);
    for (unsigned i = 0; i < n; i++) {
        struct job *job = done[i]->owner;

        if (done[i]->status != 0)
            cpu_die("a request failed");
        job->next = lane->free;
        lane->free = job;
    }
    b->done += n;
}

/* Writes memory over once: a page that is touched first costs far more than the copy. */
static void warm(struct bench *b, struct lane *lane)
{
    for (uint64_t at = 0; at < lane->dev->size; at += b->block) {
        struct job *job = lane->free;
        struct hg_bdev_io *io = &job->io;

        io->op = HG_BDEV_WRITE;
        io->offset = at;
        lane->free = job->next;
        if (at + b->block > lane->dev->size || hg_bdev_submit(lane->chan, &io, 1, 1) != 1)
            cpu_die("the size is no multiple of the block");
        while (lane->chan->in_flight != 0)
            poll(b, lane, 1);
        job->io.op = b->op;
    }
}

static void run(struct bench *b)
{
    double begin, now;

    for (unsigned i = 0; i < b->n_lanes; i++)
        if (b->lane[i].memory)
            warm(b, &b->lane[i]);
    b->done = 0;
    begin = now = cpu_now();
    for (unsigned turn = 0; now < begin + b->seconds; turn++) {
        if (turn % CLOCK_EVERY == 0)
            now = cpu_now();
        for (unsigned i = 0; i < b->n_lanes; i++) {
            submit(b, &b->lane[i], (hg_ns)(now * 1e9));
            poll(b, &b->lane[i], (hg_ns)(now * 1e9));
        }
    }
    b->took = now - begin;
    printf("%llu\t%.6f\t%llu", (unsigned long long)b->done, b->took,
           (unsigned long long)(b->done * b->block));
    for (unsigned i = 0; i < b->n_lanes; i++)
        while (b->lane[i].chan->in_flight != 0)
            poll(b, &b->lane[i], hg_bdev_clock());
}

static void *worker(void *arg)
{
    struct bench *b = arg;

    if (b->cpu >= 0)
        cpu_pin(b->cpu);
    run(b);
    return NULL;
}

static void close_lane(struct lane *lane)
{
    if (lane->emu != NULL && nvme_emu_thread_start(lane->emu) != 0)
        cpu_die("no thread for the emulated controller");
    hg_bdev_chan_close(lane->chan);
    hg_bdev_close(lane->dev);
    if (lane->emu != NULL)
        nvme_emu_thread_stop(lane->emu);
    nvme_emu_close(lane->emu);
    free(lane->jobs);
}

static void option(struct bench *b, int c, const char *arg)
{
    switch (c) {
    case 'c':
        b->cpu = atoi(arg);
        break;
    case 's':
        b->seconds = atof(arg);
        break;
    case 'o':
        b->op = strcmp(arg, "read") == 0 ? HG_BDEV_READ : HG_BDEV_WRITE;
        break;
    case 'b':
        b->block = strtoull(arg, NULL, 10);
        break;
    case 'd':
        b->depth = (unsigned)atoi(arg);
        break;
    case 'n':
        b->batch = (unsigned)atoi(arg);
        break;
    case 'q':
        b->sequential = true;
        break;
    case 'f':
        b->fua = true;
        break;
    case 'h':
        b->huge = true;
        break;
    default:
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cpu", 1, NULL, 'c'},        {"seconds", 1, NULL, 's'},
                                            {"op", 1, NULL, 'o'},         {"block", 1, NULL, 'b'},
                                            {"depth", 1, NULL, 'd'},      {"batch", 1, NULL, 'n'},
                                            {"sequential", 0, NULL, 'q'}, {"fua", 0, NULL, 'f'},
                                            {"huge", 0, NULL, 'h'},       {NULL, 0, NULL, 0}};
    struct bench b = {.op = HG_BDEV_READ,
                      .block = 4096,
                      .depth = 128,
                      .batch = 32,
                      .seconds = 1,
                      .cpu = -1,
                      .random = 88172645463325252u};
    struct hg_bdev_info info;
    pthread_t thread;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        option(&b, c, optarg);
    if (optind == argc || argc - optind > (int)DEVICES || b.block == 0 || b.block % 512 != 0 ||
        b.batch == 0 || b.batch > BATCH_MAX || b.batch > b.depth)
        cpu_die("usage: bdev_bench [OPTION...] DEVICE...; see its head");
    while (optind < argc)
        open_lane(&b, argv[optind++]);
    if (pthread_create(&thread, NULL, worker, &b) != 0)
        cpu_die("no thread");
    pthread_join(thread, NULL);
    hg_bdev_info(b.lane[0].dev, &info);
    printf("\t%s\n", info.access);
    for (unsigned i = 0; i < b.n_lanes; i++)
        close_lane(&b.lane[i]);
    return 0;
}
