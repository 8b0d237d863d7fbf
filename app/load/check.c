/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block in doubt is right with the bytes of any of its lines. The lines of one block stand
 * together in time but not in the file, so they are gathered per volume and judged at its end.
 */
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <headgate/codec.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 400
#define REPORTS_MAX 20u
#define DOUBTS_MAX (UINT64_C(1) << 24)

struct doubt {
    uint64_t offset;
    uint32_t crc;
    bool before; /* a content that was durable */
};

struct check {
    const struct load_options *opt;
    const char *name; /* of the volume being read; NULL: it has no image */
    int fd;
    struct doubt *doubts;
    size_t n_doubts, cap_doubts;
    uint64_t durable, doubtful, wrong, missing; /* bytes, bytes, ranges, volumes */
    uint32_t volumes;
};

static const struct load_image *find_image(const struct load_options *opt, const char *name)
{
    for (unsigned i = 0; i < opt->n_images; i++)
        if (strcmp(opt->image[i].name, name) == 0)
            return &opt->image[i];
    return NULL;
}

/* CRC32C of len bytes at offset, zeros past the end of the file. 0 or negative errno. */
static int range_crc(int fd, uint64_t offset, uint64_t len, uint32_t *crc)
{
    uint8_t block[HG_BLOCK];

    *crc = 0;
    for (uint64_t at = 0; at < len; at += sizeof block) {
        ssize_t n = pread(fd, block, sizeof block, (off_t)(offset + at));

        if (n < 0)
            return -errno;
        memset(block + n, 0, sizeof block - (size_t)n);
        *crc = hg_crc32c_extend(*crc, block, sizeof block);
    }
    return 0;
}

static void report(struct check *c, uint64_t offset, uint64_t len, const char *what)
{
    if (c->wrong++ < REPORTS_MAX)
        printf("volume %s: %" PRIu64 " bytes at %" PRIu64 ": %s\n", c->name, len, offset, what);
}

static int by_offset(const void *a, const void *b)
{
    const struct doubt *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Judges the doubts [i, end) of one block. A block that never was durable may also be unwritten,
 * of which nothing is known. */
static void judge_block(struct check *c, size_t i, size_t end)
{
    bool known = false, match = false;
    uint32_t crc;

    if (range_crc(c->fd, c->doubts[i].offset, HG_BLOCK, &crc) != 0) {
        report(c, c->doubts[i].offset, HG_BLOCK, strerror(errno));
        return;
    }
    c->doubtful += HG_BLOCK;
    for (; i < end; i++) {
        known |= c->doubts[i].before;
        match |= c->doubts[i].crc == crc;
    }
    if (known && !match)
        report(c, c->doubts[end - 1].offset, HG_BLOCK,
               "neither the durable bytes nor any that were sent after them");
}

static void volume_end(struct check *c)
{
    size_t i = 0;

    if (c->name == NULL)
        return;
    if (c->n_doubts != 0)
        qsort(c->doubts, c->n_doubts, sizeof *c->doubts, by_offset);
    while (i < c->n_doubts) {
        size_t end = i + 1;

        while (end < c->n_doubts && c->doubts[end].offset == c->doubts[i].offset)
            end++;
        judge_block(c, i, end);
        i = end;
    }
    c->n_doubts = 0;
    close(c->fd);
    c->name = NULL;
}

static int volume_begin(struct check *c, const char *name)
{
    const struct load_image *image = find_image(c->opt, name);

    volume_end(c);
    c->volumes++;
    if (image == NULL) {
        printf("volume %s: no --image %s=FILE was given to compare with\n", name, name);
        c->missing++;
        return 0;
    }
    c->fd = open(image->path, O_RDONLY | O_CLOEXEC);
    if (c->fd < 0) {
        printf("volume %s: %s: %s\n", name, image->path, strerror(errno));
        c->missing++;
        return 0;
    }
    c->name = image->name;
    return 0;
}

static int add_doubt(struct check *c, uint64_t offset, uint32_t crc, bool before)
{
    if (c->n_doubts == c->cap_doubts) {
        size_t cap = c->cap_doubts == 0 ? 1024 : 2 * c->cap_doubts;
        struct doubt *bigger;

        if (cap > DOUBTS_MAX)
            return -E2BIG;
        bigger = realloc(c->doubts, cap * sizeof *bigger);
        if (bigger == NULL)
            return -ENOMEM;
        c->doubts = bigger;
        c->cap_doubts = cap;
    }
    c->doubts[c->n_doubts++] = (struct doubt){offset, crc, before};
    return 0;
}

static int on_range(struct check *c, const char *what, uint64_t offset, uint64_t len, uint32_t want)
{
    uint32_t crc;

    if (c->name == NULL)
        return 0;
    if (strcmp(what, "durable") != 0)
        return add_doubt(c, offset, want, strcmp(what, "before") == 0);
    if (range_crc(c->fd, offset, len, &crc) != 0)
        report(c, offset, len, strerror(errno));
    else if (crc != want)
        report(c, offset, len, "not the bytes that were acknowledged durable");
    c->durable += len;
    return 0;
}

static int on_line(struct check *c, const char *line)
{
    char what[16], name[128];
    uint64_t offset, len;
    uint32_t crc;

    if (line[0] == '#')
        return 0;
    if (sscanf(line, "volume %127s %" SCNu64, name, &len) == 2)
        return volume_begin(c, name);
    if (sscanf(line, "%15s %" SCNu64 " %" SCNu64 " %" SCNx32, what, &offset, &len, &crc) == 4 &&
        len % HG_BLOCK == 0 && offset % HG_BLOCK == 0)
        return on_range(c, what, offset, len, crc);
    return -EINVAL;
}

int check_run(const struct load_options *opt)
{
    struct check c = {.opt = opt};
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(opt->check_manifest, "r");
    int rc = 0;

    if (file == NULL) {
        fprintf(stderr, "headgate-load: --check-manifest %s: %s\n", opt->check_manifest,
                strerror(errno));
        return 1;
    }
    while (rc == 0 && fgets(line, sizeof line, file) != NULL)
        rc = on_line(&c, line);
    fclose(file);
    volume_end(&c);
    free(c.doubts);
    if (rc != 0)
        fprintf(stderr, "headgate-load: --check-manifest %s: %s\n", opt->check_manifest,
                rc == -EINVAL ? "is not a manifest" : strerror(-rc));
    printf("%s: %u volumes, %" PRIu64 " bytes durable, %" PRIu64 " in doubt, %" PRIu64
           " ranges wrong, %" PRIu64 " volumes missing\n",
           rc == 0 && c.wrong == 0 && c.missing == 0 ? "match" : "MISMATCH", c.volumes, c.durable,
           c.doubtful, c.wrong, c.missing);
    return rc == 0 && c.wrong == 0 && c.missing == 0 ? 0 : 1;
}
