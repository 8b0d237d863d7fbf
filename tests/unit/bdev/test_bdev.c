/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The promises of bdev.h on every block device but the NVMe driver. Arguments: seed, and paths of devices of
 * 4 MiB to be used instead, one after the other; their contents are lost.
 */
#include "../../../drivers/bdev/uring_impl.h"
#include "body.h"
#include "loop.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a file, its completions by interrupts or polled for ---- */

static bool make_file(struct body_device *d, char reason[128])
{
    int fd;

    snprintf(d->path, sizeof d->path, "test_bdev_XXXXXX");
    fd = mkstemp(d->path);
    if (fd < 0 || ftruncate(fd, BODY_SIZE) != 0) {
        snprintf(reason, 128, "no file can be made here: %s", strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static bool opened(struct body_device *d, const char *path, enum uring_poll poll, char reason[128])
{
    struct hg_err err = {""};

    if (uring_open(path, false, poll, &d->dev, &err) == 0)
        return true;
    snprintf(reason, 128, "%.127s", err.text);
    return false;
}

static void close_file(struct body_device *d)
{
    hg_bdev_close(d->dev);
    unlink(d->path);
}

static bool open_file(struct body_device *d, char reason[128])
{
    if (!make_file(d, reason))
        return false;
    if (opened(d, d->path, URING_POLL_AUTO, reason))
        return true;
    unlink(d->path);
    return false;
}

static bool open_polled(struct body_device *d, char reason[128])
{
    if (!make_file(d, reason))
        return false;
    if (opened(d, d->path, URING_POLL_TRY, reason)) {
        if (uring_dev_of(d->dev)->polled_max != 0)
            return true;
        snprintf(reason, 128, "the file system or its device cannot be polled");
        hg_bdev_close(d->dev);
    }
    unlink(d->path);
    return false;
}

static void grow_file(struct body_device *d, uint64_t size)
{
    if (truncate(d->path, (off_t)size) != 0)
        abort();
}

/* ---- a block device of the kernel's: loop over a file ---- */

static bool open_loop(struct body_device *d, uint32_t block, char reason[128])
{
    char name[LOOP_NAME];
    int fd;

    if (!make_file(d, reason))
        return false;
    fd = loop_attach(d->path, block, name);
    if (fd < 0)
        snprintf(reason, 128, "no loop device of %u-byte sectors: %s", block, strerror(errno));
    if (fd >= 0 && opened(d, name, URING_POLL_AUTO, reason)) {
        d->own = (void *)(intptr_t)fd;
        return true;
    }
    if (fd >= 0)
        close(fd);
    unlink(d->path);
    return false;
}

static bool open_loop_512(struct body_device *d, char reason[128])
{
    return open_loop(d, 512, reason);
}

static bool open_loop_4096(struct body_device *d, char reason[128])
{
    return open_loop(d, 4096, reason);
}

static void grow_loop(struct body_device *d, uint64_t size)
{
    grow_file(d, size);
    if (loop_grow((int)(intptr_t)d->own) != 0)
        abort();
}

static void close_loop(struct body_device *d)
{
    close_file(d);
    close((int)(intptr_t)d->own);
}

/* ---- memory, and the fault layer over it ---- */

static bool open_mem(struct body_device *d, char reason[128])
{
    (void)reason;
    return hg_bdev_mem_open("mem", BODY_SIZE, &d->dev, NULL) == 0;
}

static bool open_fault(struct body_device *d, char reason[128])
{
    struct hg_bdev_fault_cfg cfg = {.seed = 1, .delay_polls = 5};

    (void)reason;
    return hg_bdev_mem_open("mem", BODY_SIZE, &d->below, NULL) == 0 &&
           hg_bdev_fault_open(d->below, &cfg, &d->dev, NULL) == 0;
}

static void grow_mem(struct body_device *d, uint64_t size)
{
    if (hg_bdev_mem_set_size(d->below != NULL ? d->below : d->dev, size) != 0)
        abort();
}

static void close_mem(struct body_device *d)
{
    hg_bdev_close(d->dev);
    hg_bdev_close(d->below);
}

#define ALL (BODY_WRITE_ZEROES | BODY_DEALLOCATE)

static const struct body_row rows[] = {
    {"uring: file", "uring", ALL | BODY_THREADS, open_file, grow_file, close_file, NULL},
    {"uring: file, polled", "uring", ALL | BODY_THREADS, open_polled, grow_file, close_file, NULL},
    {"uring: block device, 512", "uring", ALL | BODY_THREADS, open_loop_512, grow_loop, close_loop,
     NULL},
    {"uring: block device, 4096", "uring", ALL | BODY_THREADS, open_loop_4096, grow_loop,
     close_loop, NULL},
    {"mem", "mem", ALL | BODY_THREADS, open_mem, grow_mem, close_mem, NULL},
    {"fault over mem", "mem", ALL, open_fault, grow_mem, close_mem, NULL},
};

/* ---- a device that somebody else has made ---- */

static const char *given; /* the one in use */

static bool open_given(struct body_device *d, char reason[128])
{
    return opened(d, given, URING_POLL_AUTO, reason);
}

static void close_given(struct body_device *d)
{
    hg_bdev_close(d->dev);
}

static int run_given(char **paths, int argc, char **argv)
{
    int rc = 0;

    for (; rc == 0 && *paths != NULL; paths++) {
        struct body_row row = {*paths,      "uring", ALL | BODY_THREADS, open_given, NULL,
                               close_given, NULL};

        given = *paths;
        rc = body_main(&row, 1, argc, argv);
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 2)
        return run_given(argv + 2, argc, argv);
    return body_main(rows, HG_ARRAY_LEN(rows), argc, argv);
}
