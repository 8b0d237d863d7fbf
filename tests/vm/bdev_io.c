/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moves data between files and a block device of ours, for tests that compare it with what another
 * driver reads and writes there.
 *
 * A transfer is cut into requests, and each request's memory into pieces, as a sequence of random
 * numbers has it: any number of blocks, pieces at any multiple of a block, several requests in
 * flight. So one run tries many shapes, and the same seed tries the same ones.
 */
#include <headgate/bdev.h>
#include <errno.h>
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 8u
#define SLOT (2u << 20)    /* bytes of memory of one request, gaps included */
#define REQUEST (1u << 20) /* most bytes of one request */
#define PIECES 12u         /* most pieces of one request */
#define FILE_MAX (UINT64_C(256) << 20)
#define STUCK HG_SEC(120) /* an emulated machine on a busy host is slow; this is for ever */

static const char usage[] =
    "usage: hg-bdev-io [--seed N] DEVICE COMMAND...\n"
    "\n"
    "DEVICE is nvme:ADDRESS, nvme:ADDRESS/ns=N or the path of a file or block device.\n"
    "  write=FILE@OFFSET            the file's bytes\n"
    "  read=FILE@OFFSET+LENGTH      into a new file\n"
    "  zeroes=OFFSET+LENGTH         write zeroes\n"
    "  deallocate=OFFSET+LENGTH\n"
    "  flush\n"
    "OFFSET and LENGTH are multiples of the device's block size.\n";

struct slot {
    struct hg_bdev_io io;
    struct hg_iov iov[PIECES];
    uint8_t *mem;  /* SLOT bytes */
    uint64_t at;   /* of the request's bytes in the file */
    uint64_t size; /* bytes of the request */
    bool busy;
};

struct run {
    struct hg_bdev *dev;
    struct hg_bdev_chan *chan;
    struct slot slots[DEPTH];
    uint64_t random;
    uint64_t requests; /* done so far */
};

/* A command, and how far it has come. */
struct job {
    const char *text;
    enum hg_bdev_op op;
    uint8_t *data; /* of the file; NULL without */
    uint64_t offset, len;
    uint64_t issued, done; /* bytes */
    int status;            /* of the first request that failed */
    uint64_t failed_at;    /* its offset on the device */
};

/* xorshift64*: small, and the same everywhere. */
static uint64_t next_random(struct run *r, uint64_t below)
{
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return (r->random * UINT64_C(2685821657736338717) >> 11) % below;
}

/* Lays `blocks` out in the slot's memory: pieces in order, gaps between them at random. */
static void cut(struct run *r, struct slot *s, uint64_t blocks)
{
    uint64_t block = r->dev->block, gaps = SLOT / block - blocks, at = 0;
    unsigned n = (unsigned)(1 + next_random(r, RTE_MIN(blocks, (uint64_t)PIECES)));

    for (unsigned i = 0; i < n; i++) {
        uint64_t most = blocks - (n - 1 - i), piece = i == n - 1 ? blocks : 1;
        uint64_t gap = next_random(r, gaps / n + 1);

        if (i < n - 1)
            piece += next_random(r, most);
        at += gap;
        s->iov[i] = (struct hg_iov){.base = s->mem + at * block, .len = (uint32_t)(piece * block)};
        at += piece;
        blocks -= piece;
    }
    s->io.iovcnt = (uint16_t)n;
}

/* Between the file's bytes and the pieces. */
static void copy_pieces(struct slot *s, uint8_t *data, bool to_pieces)
{
    for (unsigned i = 0; i < s->io.iovcnt; i++) {
        if (to_pieces)
            memcpy(s->iov[i].base, data, s->iov[i].len);
        else
            memcpy(data, s->iov[i].base, s->iov[i].len);
        data += s->iov[i].len;
    }
}

static void prepare(struct run *r, struct job *j, struct slot *s)
{
    uint64_t left = (j->len - j->issued) / r->dev->block;
    uint64_t blocks = 1 + next_random(r, REQUEST / r->dev->block);

    blocks = RTE_MIN(blocks, left);
    s->at = j->issued;
    s->size = blocks * r->dev->block;
    s->busy = true;
    s->io =
        (struct hg_bdev_io){.op = j->op, .iov = s->iov, .offset = j->offset + s->at, .owner = s};
    if (j->data == NULL) {
        s->io.len = j->op == HG_BDEV_FLUSH ? 0 : s->size;
    } else {
        cut(r, s, blocks);
        if (j->op == HG_BDEV_WRITE)
            copy_pieces(s, j->data + s->at, true);
        else
            memset(s->mem, 0xa5, SLOT);
    }
    j->issued += s->size;
}

/* Fills the depth, unless a request has failed. */
static void issue(struct run *r, struct job *j, hg_ns now)
{
    for (unsigned i = 0; i < DEPTH && j->issued < j->len && j->status == 0; i++) {
        struct hg_bdev_io *io = &r->slots[i].io;

        if (r->slots[i].busy)
            continue;
        prepare(r, j, &r->slots[i]);
        if (hg_bdev_submit(r->chan, &io, 1, now) != 1) {
            j->issued -= r->slots[i].size;
            r->slots[i].busy = false;
            return;
        }
    }
}

static void reap(struct run *r, struct job *j, hg_ns now)
{
    struct hg_bdev_io *done[DEPTH];
    unsigned n = hg_bdev_poll(r->chan, done, DEPTH, now);

    for (unsigned i = 0; i < n; i++) {
        struct slot *s = done[i]->owner;

        if (done[i]->status != 0 && j->status == 0) {
            j->status = done[i]->status;
            j->failed_at = done[i]->offset;
        }
        if (j->op == HG_BDEV_READ && done[i]->status == 0)
            copy_pieces(s, j->data + s->at, false);
        j->done += s->size;
        s->busy = false;
        r->requests++;
    }
}

static int carry_out(struct run *r, struct job *j)
{
    hg_ns last = hg_bdev_clock();
    uint64_t before = r->requests;

    while (j->done < j->issued || (j->issued < j->len && j->status == 0)) {
        hg_ns now = hg_bdev_clock();

        hg_bdev_tick(r->dev, now);
        issue(r, j, now);
        reap(r, j, now);
        if (r->requests != before)
            last = now;
        before = r->requests;
        if (now - last > STUCK) {
            fprintf(stderr, "%s: nothing was done for 120 s\n", j->text);
            exit(1); /* the device has memory of ours */
        }
    }
    if (j->status != 0)
        fprintf(stderr, "%s: a request at offset %" PRIu64 " failed: %s\n", j->text, j->failed_at,
                strerror(-j->status));
    return j->status;
}

/* ---- commands ---- */

static uint64_t number(const char *text, const char **end)
{
    char *stop;
    uint64_t n = strtoull(text, &stop, 0);

    *end = stop;
    return n;
}

static bool load_file(struct job *j, const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t n;

    if (file == NULL)
        return false;
    j->data = malloc(FILE_MAX);
    n = j->data == NULL ? 0 : fread(j->data, 1, FILE_MAX, file);
    fclose(file);
    j->len = n;
    return n != 0;
}

static bool save_file(const struct job *j, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL && fwrite(j->data, 1, j->len, file) == j->len;

    return file != NULL && fclose(file) == 0 && ok;
}

/* "@OFFSET", "OFFSET+LENGTH": where on the device. */
static bool parse_place(struct run *r, struct job *j, const char *text)
{
    const char *end;

    j->offset = number(text, &end);
    if (*end == '+')
        j->len = number(end + 1, &end);
    return *end == '\0' && j->len != 0 && j->offset % r->dev->block == 0 &&
           j->len % r->dev->block == 0 && j->len <= FILE_MAX;
}

/* 0, -1 after an error that was told. */
static int command(struct run *r, char *text)
{
    static const struct {
        const char *name;
        enum hg_bdev_op op;
    } ops[] = {{"read=", HG_BDEV_READ},
               {"write=", HG_BDEV_WRITE},
               {"flush", HG_BDEV_FLUSH},
               {"zeroes=", HG_BDEV_WRITE_ZEROES},
               {"deallocate=", HG_BDEV_DEALLOCATE}};
    struct job j = {.text = text, .op = HG_BDEV_OPS};
    char *place = NULL, *path = NULL, *copy = strdup(text);
    bool ok = copy != NULL;
    int rc = -1;

    for (unsigned i = 0; ok && i < HG_ARRAY_LEN(ops); i++)
        if (strncmp(copy, ops[i].name, strlen(ops[i].name)) == 0) {
            j.op = ops[i].op;
            place = copy + strlen(ops[i].name);
        }
    ok = ok && place != NULL;
    if (ok && (j.op == HG_BDEV_READ || j.op == HG_BDEV_WRITE)) {
        path = place;
        place = strrchr(place, '@');
        ok = place != NULL;
        if (ok)
            *place++ = '\0';
        ok = ok && (j.op == HG_BDEV_READ || load_file(&j, path));
    }
    if (j.op == HG_BDEV_FLUSH)
        j.len = r->dev->block; /* one request */
    ok = ok && (j.op == HG_BDEV_FLUSH ? *place == '\0' : parse_place(r, &j, place));
    if (ok && j.op == HG_BDEV_READ)
        ok = (j.data = calloc(1, j.len)) != NULL;
    if (!ok)
        fprintf(stderr, "%s: not a command for blocks of %u bytes, or the file cannot be read\n%s",
                text, r->dev->block, usage);
    else if (carry_out(r, &j) == 0)
        rc = j.op != HG_BDEV_READ || save_file(&j, path) ? 0 : -1;
    free(j.data);
    free(copy);
    return rc;
}

/* ---- start ---- */

static int open_device(struct run *r, const char *name, struct hg_err *err)
{
    struct hg_arena_region mem = {.len = (size_t)DEPTH * SLOT};
    int rc;

    if (strncmp(name, "nvme:", 5) == 0)
        rc = hg_bdev_nvme_open(name, &r->dev, err);
    else
        rc = hg_bdev_uring_open(name, false, &r->dev, err);
    if (rc != 0)
        return rc;
    mem.base = rte_zmalloc("slots", mem.len, HG_ARENA_MAX_BLOCK);
    if (mem.base == NULL)
        return hg_fail(err, -ENOMEM, "EAL has no %zu bytes", mem.len);
    for (unsigned i = 0; i < DEPTH; i++)
        r->slots[i].mem = (uint8_t *)mem.base + (size_t)i * SLOT;
    return hg_bdev_chan_open(r->dev, DEPTH, &mem, &r->chan, err);
}

static int start_eal(char *self)
{
    char *argv[] = {self,
                    "-l",
                    "0",
                    "-m",
                    "64",
                    "--no-pci",
                    "--iova-mode=va",
                    "--file-prefix=hg-bdev-io",
                    "--log-level=4",
                    NULL};

    return rte_eal_init((int)HG_ARRAY_LEN(argv) - 1, argv);
}

int main(int argc, char **argv)
{
    static struct run run = {.random = 1};
    struct hg_err err = {.text = ""};
    int at = 1, rc = 0;

    if (argc > 3 && strcmp(argv[1], "--seed") == 0) {
        run.random = strtoull(argv[2], NULL, 0) | 1;
        at = 3;
    }
    if (argc - at < 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (start_eal(argv[0]) < 0) {
        fprintf(stderr, "EAL did not start; are there hugepages?\n");
        return 1;
    }
    if (open_device(&run, argv[at], &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s: %" PRIu64 " bytes in blocks of %u, seed %" PRIu64 "\n", run.dev->name,
           run.dev->size, run.dev->block, run.random);
    for (at++; at < argc && rc == 0; at++)
        rc = command(&run, argv[at]);
    hg_bdev_chan_close(run.chan);
    hg_bdev_close(run.dev);
    printf("%" PRIu64 " requests\n", run.requests);
    rte_eal_cleanup();
    return rc == 0 ? 0 : 1;
}
