/* SPDX-License-Identifier: BSD-3-Clause */
/* Random requests against a copy in memory: see body_random.h. */
#include "body_random.h"
#include <stdlib.h>
#include <string.h>

#define AREA (128u << 10) /* each request stays in one, and an area has one request at a time */
#define AREAS (BODY_SIZE / 2 / AREA)
#define REQUESTS 3000u
#define IOVS 6u

struct job {
    struct hg_bdev_io io;
    struct hg_iov iov[IOVS];
    bool busy;
    unsigned area;
    uint64_t at, len; /* bytes, within the area */
    uint8_t *buf;     /* AREA bytes */
};

struct run {
    struct body_random *r;
    uint64_t random;
    struct job job[AREAS];
    uint8_t *want; /* BODY_SIZE / 2 bytes */
};

/* splitmix64, below n. */
static uint64_t draw(struct run *run, uint64_t n)
{
    uint64_t z = (run->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

static enum hg_bdev_op draw_op(struct run *run)
{
    uint64_t d = draw(run, 16);

    if (d == 0)
        return HG_BDEV_FLUSH;
    if (d == 1 && (run->r->row->caps & BODY_WRITE_ZEROES))
        return HG_BDEV_WRITE_ZEROES;
    return d < 8 ? HG_BDEV_WRITE : HG_BDEV_READ;
}

/* Cuts the job's buffer into a random number of pieces. */
static void cut(struct run *run, struct job *job, uint32_t block)
{
    uint64_t blocks = job->len / block;
    uint64_t from = 0;

    job->io.iovcnt = 0;
    while (from < blocks) {
        bool last = job->io.iovcnt == IOVS - 1;
        uint64_t n = last ? blocks - from : 1 + draw(run, blocks - from);

        job->iov[job->io.iovcnt++] = hg_iov_of(job->buf + from * block, (uint32_t)(n * block));
        from += n;
    }
}

static void prepare(struct run *run, struct job *job, unsigned area)
{
    uint32_t block = run->r->chan->dev->block;
    uint8_t *want;

    job->area = area;
    job->at = draw(run, AREA / block) * block;
    job->len = (1 + draw(run, (AREA - job->at) / block)) * block;
    job->io = (struct hg_bdev_io){.op = draw_op(run),
                                  .iov = job->iov,
                                  .offset = run->r->offset + area * AREA + job->at,
                                  .len = job->len,
                                  .fua = draw(run, 8) == 0,
                                  .status = 1,
                                  .owner = job};
    want = run->want + (size_t)area * AREA + job->at;
    if (job->io.op == HG_BDEV_WRITE) {
        uint64_t salt = draw(run, UINT64_MAX);

        for (uint64_t i = 0; i < job->len; i += sizeof salt) {
            uint64_t word = salt + i;

            memcpy(job->buf + i, &word, sizeof word);
        }
        memcpy(want, job->buf, job->len);
    } else if (job->io.op == HG_BDEV_WRITE_ZEROES) {
        memset(want, 0, job->len);
    } else {
        memset(job->buf, 0xee, job->len);
    }
    if (job->io.op == HG_BDEV_READ || job->io.op == HG_BDEV_WRITE)
        cut(run, job, block);
}

static void finish(struct run *run, struct hg_bdev_io *io)
{
    struct job *job = io->owner;

    if (job < run->job || job >= run->job + AREAS || io != &job->io || !job->busy) {
        run->r->lost++;
        return;
    }
    job->busy = false;
    run->r->failed += io->status != 0;
    if (io->op == HG_BDEV_READ &&
        memcmp(job->buf, run->want + (size_t)job->area * AREA + job->at, job->len) != 0)
        run->r->wrong++;
}

/* As many new requests as a draw says, submitted together; returns how many. */
static unsigned start(struct run *run, unsigned room)
{
    struct hg_bdev_io *ios[AREAS];
    unsigned n = 0;
    unsigned taken;

    for (unsigned tries = (unsigned)draw(run, room + 1); tries > 0; tries--) {
        unsigned area = (unsigned)draw(run, AREAS);
        struct job *job = &run->job[area];

        if (job->busy)
            continue;
        job->busy = true;
        prepare(run, job, area);
        ios[n++] = &job->io;
    }
    for (taken = 0; taken < n;) {
        unsigned k = hg_bdev_submit(run->r->chan, ios + taken, n - taken, hg_bdev_clock());

        taken += k;
        if (k == 0)
            break;
    }
    run->r->lost += n - taken; /* there was room for all */
    return taken;
}

static void turn(struct run *run)
{
    struct hg_bdev_io *done[3];
    unsigned n = hg_bdev_poll(run->r->chan, done, HG_ARRAY_LEN(done), hg_bdev_clock());

    for (unsigned i = 0; i < n; i++)
        finish(run, done[i]);
    if (run->r->row->pump != NULL)
        run->r->row->pump(run->r->device);
    hg_bdev_tick(run->r->chan->dev, hg_bdev_clock());
}

/* What was there before is unknown: the half begins as zeroes. */
static void blank(struct run *run)
{
    struct job *job = &run->job[0];

    memset(job->buf, 0, AREA);
    for (unsigned area = 0; area < AREAS; area++) {
        job->area = area;
        job->at = 0;
        job->len = AREA;
        job->iov[0] = hg_iov_of(job->buf, AREA);
        job->io = (struct hg_bdev_io){.op = HG_BDEV_WRITE,
                                      .iovcnt = 1,
                                      .iov = job->iov,
                                      .offset = run->r->offset + (uint64_t)area * AREA,
                                      .owner = job};
        job->busy = true;
        if (hg_bdev_submit(run->r->chan, (struct hg_bdev_io *[1]){&job->io}, 1, hg_bdev_clock()) !=
            1)
            run->r->lost++;
        while (run->r->chan->in_flight != 0)
            turn(run);
    }
}

void body_random_run(struct body_random *r)
{
    struct run *run = calloc(1, sizeof *run);
    uint8_t *bufs = aligned_alloc(HG_BLOCK, BODY_SIZE / 2);
    unsigned sent = 0;

    if (run == NULL || bufs == NULL)
        abort();
    run->r = r;
    run->random = r->seed;
    run->want = calloc(1, BODY_SIZE / 2);
    for (unsigned i = 0; i < AREAS; i++)
        run->job[i].buf = bufs + (size_t)i * AREA;
    blank(run);
    while (sent < REQUESTS || r->chan->in_flight != 0) {
        if (sent < REQUESTS && r->chan->in_flight < r->depth)
            sent += start(run, r->depth - r->chan->in_flight);
        turn(run);
    }
    for (unsigned i = 0; i < AREAS; i++)
        r->lost += run->job[i].busy;
    free(run->want);
    free(bufs);
    free(run);
}

static void *thread(void *arg)
{
    body_random_run(arg);
    return NULL;
}

bool body_random_both(struct body_random *one, struct body_random *two)
{
    pthread_t a, b;

    if (pthread_create(&a, NULL, thread, one) != 0)
        return false;
    if (pthread_create(&b, NULL, thread, two) != 0) {
        pthread_join(a, NULL);
        return false;
    }
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    return true;
}
