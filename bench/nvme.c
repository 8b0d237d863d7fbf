/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVMe driver alone, over the emulated controller, in one thread: what submitting and completing
 * a request costs. The controller checks every command and posts real completions, but moves no data
 * and is polled while the clock stands, so the cycles are the driver's: rings, trackers, PRPs, doorbells
 * and the wrappers of the block device.
 *
 *     nvme_bench [--cpu N] [--seconds S] [--depth D] [--bytes B]
 *
 * Prints a line: depth, bytes, the median of slices in cycles per request,
 * of that for submitting and for completing, the best slice, doorbell writes per request. Cycles are of the
 * time stamp counter.
 */
#include "cpu.h"
#include "nvme_bdev.h"
#include "nvme_chan.h"
#include "nvme_emu.h"
#include <getopt.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE ((uint64_t)1 << 30)
#define MEM ((size_t)256 << 20) /* beyond every cache, as payload buffers are */
#define DEPTH_MAX 512u
#define SLICE 4096u /* requests */
#define SLICES_MAX 4096u

struct bench {
    struct nvme_emu *emu;
    struct hg_bdev *dev;
    struct hg_bdev_chan *chan;
    uint8_t *mem;
    hg_ns now;
    uint64_t at; /* of the next request, in units of its size */
    struct hg_iov iov[DEPTH_MAX];
    struct hg_bdev_io io[DEPTH_MAX];
    uint64_t submit, complete; /* cycles of this slice */
    /* cycles per request of each slice */
    double sums[SLICES_MAX], submits[SLICES_MAX], completes[SLICES_MAX];
};

static void die(const char *what, const struct hg_err *err)
{
    fprintf(stderr, "nvme_bench: %s: %s\n", what, err->text);
    exit(1);
}

static hg_ns bench_clock(void *arg)
{
    return ((struct bench *)arg)->now;
}

static void bench_pause(void *arg)
{
    struct bench *b = arg;

    b->now += HG_US(1);
    (void)nvme_emu_poll(b->emu, b->now);
}

static void open_all(struct bench *b)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(SIZE, 4096);
    struct nvme_opts opts = nvme_opts_default();
    struct hg_arena_region mem = {NULL, MEM};
    struct hg_err err = {""};

    cfg.no_payload = true;
    cfg.vwc = false;
    b->now = HG_SEC(1);
    b->mem = aligned_alloc(HG_ARENA_MAX_BLOCK, MEM);
    if (b->mem == NULL || nvme_emu_open(&cfg, &b->emu, &err) != 0)
        die("emulated controller", &err);
    memset(b->mem, 1, MEM);
    mem.base = b->mem;
    opts.host = (struct nvme_host){bench_clock, bench_pause, b};
    if (nvme_bdev_open(nvme_emu_dev(b->emu), &opts, &b->dev, &err) != 0 ||
        hg_bdev_chan_open(b->dev, DEPTH_MAX, &mem, &b->chan, &err) != 0)
        die("driver", &err);
}

static void close_all(struct bench *b)
{
    char text[256];

    hg_bdev_chan_close(b->chan);
    hg_bdev_close(b->dev);
    if (nvme_emu_errors(b->emu, text, sizeof text) != 0) {
        fprintf(stderr, "nvme_bench: the controller complains: %s\n", text);
        exit(1);
    }
    nvme_emu_close(b->emu);
    free(b->mem);
}

static void prepare(struct bench *b, unsigned i, uint32_t bytes)
{
    uint64_t at = b->at++ * bytes;

    b->iov[i] = hg_iov_of(b->mem + at % MEM, bytes);
    b->io[i] = (struct hg_bdev_io){
        .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &b->iov[i], .offset = at % SIZE};
}

/* `depth` requests out and back. */
static void batch(struct bench *b, unsigned depth, uint32_t bytes)
{
    struct hg_bdev_io *ios[DEPTH_MAX];
    unsigned back = 0;
    uint64_t start;

    for (unsigned i = 0; i < depth; i++) {
        prepare(b, i, bytes);
        ios[i] = &b->io[i];
    }
    b->now += HG_US(1);
    start = rte_rdtsc_precise();
    (void)hg_bdev_submit(b->chan, ios, depth, b->now);
    b->submit += rte_rdtsc_precise() - start;
    while (back < depth) {
        while (nvme_emu_poll(b->emu, b->now) != 0)
            ;
        start = rte_rdtsc_precise();
        back += hg_bdev_poll(b->chan, ios, depth, b->now);
        b->complete += rte_rdtsc_precise() - start;
    }
    for (unsigned i = 0; i < depth; i++)
        if (b->io[i].status != 0)
            exit(1);
}

static void measure(struct bench *b, unsigned depth, uint32_t bytes, double seconds, bool print)
{
    const struct nvme_qp *qp = &nvme_chan_of(b->chan)->qp;
    uint64_t bells = qp->sq.bell.writes + qp->cq.bell.writes;
    uint64_t end = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz());
    uint64_t requests = 0;
    unsigned n = 0;

    while (n < SLICES_MAX && (n < 9 || rte_rdtsc() < end)) {
        unsigned done = 0;

        b->submit = b->complete = 0;
        for (; done < SLICE; done += depth)
            batch(b, depth, bytes);
        b->submits[n] = (double)b->submit / done;
        b->completes[n] = (double)b->complete / done;
        b->sums[n] = b->submits[n] + b->completes[n];
        n++;
        requests += done;
    }
    bells = qp->sq.bell.writes + qp->cq.bell.writes - bells;
    if (!print)
        return;
    qsort(b->sums, n, sizeof b->sums[0], cpu_less);
    qsort(b->submits, n, sizeof b->submits[0], cpu_less);
    qsort(b->completes, n, sizeof b->completes[0], cpu_less);
    printf("%u %u %.0f %.0f %.0f %.0f %.4f\n", depth, bytes, b->sums[n / 2], b->submits[n / 2],
           b->completes[n / 2], b->sums[0], (double)bells / (double)requests);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cpu", required_argument, NULL, 'c'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"depth", required_argument, NULL, 'd'},
                                            {"bytes", required_argument, NULL, 'b'},
                                            {NULL, 0, NULL, 0}};
    struct bench *b = calloc(1, sizeof *b);
    uint32_t depth = 32;
    uint32_t bytes = 4096;
    double seconds = 1;
    int cpu = -1;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'c')
            cpu = atoi(optarg);
        else if (c == 's')
            seconds = atof(optarg);
        else if (c == 'd')
            depth = (uint32_t)atoi(optarg);
        else if (c == 'b')
            bytes = (uint32_t)atoi(optarg);
        else
            return 2;
    }
    if (b == NULL || depth < 1 || depth > DEPTH_MAX || bytes < 4096 || bytes > HG_ARENA_MAX_BLOCK ||
        bytes % 4096 != 0)
        return 2;
    if (cpu >= 0)
        cpu_pin(cpu);
    open_all(b);
    measure(b, depth, bytes, 0.1, false); /* warms everything up */
    measure(b, depth, bytes, seconds, true);
    close_all(b);
    free(b);
    return 0;
}
