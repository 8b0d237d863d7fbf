/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Foreign data: foreign.h. libblkid reads from a file descriptor, and a controller through VFIO has
 * none; so the ends of the device are copied to a memory file of the device's size, all else of which
 * reads as zeroes. Every signature that libblkid 2.38 knows lies there: the farthest from the start is
 * of VMFS, at 2 MiB, the farthest from the end of Promise's RAID, at 1.5 MiB.
 */
#include "foreign.h"
#include <headgate/arena.h>
#include <blkid/blkid.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD (UINT64_C(4) << 20)
#define TAIL (UINT64_C(2) << 20)
#define STEP (1u << 20) /* bytes of one read */
#define KINDS_MAX 4u    /* that are told of one device */
#define VALUE_MAX 40    /* characters of a label or UUID that are told */

/* Calls fn for both ends of the device, STEP by STEP. */
static int both_ends(struct hg_bdev *dev, int fd,
                     int (*fn)(struct hg_bdev *dev, int fd, uint64_t at, struct hg_iov buf,
                               struct hg_err *err),
                     struct hg_err *err)
{
    uint64_t head = dev->size < HEAD ? dev->size : HEAD;
    uint64_t tail = dev->size - head < TAIL ? head : dev->size - TAIL;
    uint8_t *buf = aligned_alloc(HG_BLOCK, STEP);
    int rc = buf == NULL ? hg_fail(err, -ENOMEM, "device %s: no memory", dev->name) : 0;

    for (uint64_t at = 0; rc == 0 && at < dev->size;) {
        uint64_t end = at < head ? head : dev->size;
        uint32_t len = end - at < STEP ? (uint32_t)(end - at) : STEP;

        rc = fn(dev, fd, at, hg_iov_of(buf, len), err);
        at += len;
        if (at == head)
            at = tail;
    }
    free(buf);
    return rc;
}

static int copy(struct hg_bdev *dev, int fd, uint64_t at, struct hg_iov buf, struct hg_err *err)
{
    int rc = hg_bdev_sync(dev, HG_BDEV_READ, at, buf, err);

    if (rc == 0 && pwrite(fd, buf.base, buf.len, (off_t)at) != (ssize_t)buf.len)
        rc = hg_fail(err, -ENOMEM, "device %s: no memory for a copy of its ends", dev->name);
    return rc;
}

static int zero(struct hg_bdev *dev, int fd, uint64_t at, struct hg_iov buf, struct hg_err *err)
{
    (void)fd;
    memset(buf.base, 0, buf.len);
    return hg_bdev_sync(dev, HG_BDEV_WRITE, at, buf, err);
}

int foreign_wipe(struct hg_bdev *dev, struct hg_err *err)
{
    int rc = both_ends(dev, -1, zero, err);

    return rc != 0 ? rc : hg_bdev_sync(dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), err);
}

/* ---- what libblkid says ---- */

/* " BEFORE VALUE" of what it found now, without what could not be printed. */
static void add_value(blkid_probe pr, const char *name, const char *before, char *text, size_t size)
{
    size_t at = strlen(text);
    const char *value;

    if (blkid_probe_lookup_value(pr, name, &value, NULL) != 0 || value[0] == '\0')
        return;
    snprintf(text + at, size - at, "%s%.*s", before, VALUE_MAX, value);
    for (char *p = text + at; *p != '\0'; p++)
        if (!isprint((unsigned char)*p))
            *p = '?';
}

static const char *kind_of(blkid_probe pr)
{
    static const char *const kinds[][2] = {{"filesystem", "a file system"},
                                           {"raid", "a member of a RAID or volume group"},
                                           {"crypto", "an encrypted volume"}};
    const char *usage;

    if (blkid_probe_lookup_value(pr, "USAGE", &usage, NULL) == 0)
        for (unsigned i = 0; i < HG_ARRAY_LEN(kinds); i++)
            if (strcmp(usage, kinds[i][0]) == 0)
                return kinds[i][1];
    return "data of the type";
}

/* What is known of one device. */
struct finds {
    char *text; /* FOREIGN_TEXT */
    unsigned n;
    bool pmbr; /* what protects a GPT from those that know none */
};

static void begin(struct finds *f, const char *kind)
{
    size_t at = strlen(f->text);

    snprintf(f->text + at, FOREIGN_TEXT - at, "%s%s", f->n++ == 0 ? "" : "; ", kind);
}

static void describe_table(blkid_probe pr, struct finds *f)
{
    const char *type = "";

    blkid_probe_lookup_value(pr, "PTTYPE", &type, NULL);
    if (strcmp(type, "PMBR") == 0) {
        f->pmbr = true;
        return;
    }
    begin(f, "a partition table");
    add_value(pr, "PTTYPE", ": ", f->text, FOREIGN_TEXT);
    add_value(pr, "PTUUID", ", UUID ", f->text, FOREIGN_TEXT);
}

static void describe(blkid_probe pr, struct finds *f)
{
    begin(f, kind_of(pr));
    add_value(pr, "TYPE", ": ", f->text, FOREIGN_TEXT);
    add_value(pr, "LABEL", ", label ", f->text, FOREIGN_TEXT);
    add_value(pr, "UUID", ", UUID ", f->text, FOREIGN_TEXT);
}

static int set_up(blkid_probe pr, int fd, unsigned sector, bool superblocks)
{
    int rc = blkid_probe_set_device(pr, fd, 0, 0);

    if (rc == 0)
        rc = blkid_probe_set_sectorsize(pr, sector);
    if (rc == 0)
        rc = blkid_probe_enable_superblocks(pr, superblocks);
    if (rc == 0)
        rc = blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
                                                       BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
    if (rc == 0)
        rc = blkid_probe_enable_partitions(pr, 1);
    if (rc == 0) /* also a GPT of which only the copy at the end is left */
        rc = blkid_probe_set_partitions_flags(pr, BLKID_PARTS_FORCE_GPT);
    return rc;
}

/* libblkid tells one thing at a time. */
static int probe(int fd, unsigned sector, bool superblocks, struct finds *f)
{
    blkid_probe pr = blkid_new_probe();
    int rc = pr == NULL ? -ENOMEM : set_up(pr, fd, sector, superblocks);

    while (rc == 0 && f->n < KINDS_MAX && (rc = blkid_do_probe(pr)) == 0) {
        if (blkid_probe_has_value(pr, "PTTYPE"))
            describe_table(pr, f);
        else
            describe(pr, f);
    }
    if (pr != NULL)
        blkid_free_probe(pr);
    return rc < 0 ? rc : 0;
}

/* A GPT counts in sectors of whoever wrote it, which need not be ours. */
static int ask(const struct hg_bdev *dev, int fd, char text[FOREIGN_TEXT], struct hg_err *err)
{
    struct finds f = {.text = text};
    int rc = probe(fd, 512, true, &f);

    if (rc == 0 && f.n == 0)
        rc = probe(fd, 4096, false, &f);
    if (rc != 0)
        return hg_fail(err, -EIO, "device %s: libblkid could not tell what is on it", dev->name);
    if (f.n == 0 && f.pmbr)
        begin(&f, "a partition table: PMBR");
    return f.n > 0;
}

int foreign_find(struct hg_bdev *dev, char text[FOREIGN_TEXT], struct hg_err *err)
{
    int fd = memfd_create("hg_foreign", MFD_CLOEXEC);
    int rc;

    text[0] = '\0';
    if (fd < 0 || ftruncate(fd, (off_t)dev->size) != 0)
        rc = hg_fail(err, -errno, "device %s: no memory file for a copy of its ends: %s", dev->name,
                     strerror(errno));
    else
        rc = both_ends(dev, fd, copy, err);
    if (rc == 0)
        rc = ask(dev, fd, text, err);
    if (fd >= 0)
        close(fd);
    return rc;
}
