/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What only the io_uring device promises: opening, read only, short transfers, errors of the kernel.
 * Arguments: none, or a device and the offset of a block on it that cannot be read, to see just that.
 */
#include "../../../drivers/bdev/uring_impl.h"
#include "loop.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1u << 20)

struct rig {
    char path[64];
    struct hg_bdev *dev;
    uint8_t *buf; /* 64 KiB */
};

static void rig_open(struct rig *r, bool read_only)
{
    int fd;

    snprintf(r->path, sizeof r->path, "test_uring_XXXXXX");
    fd = mkstemp(r->path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_FATAL(ftruncate(fd, SIZE) == 0);
    close(fd);
    r->buf = aligned_alloc(HG_BLOCK, 64 * 1024);
    CU_ASSERT_FATAL(r->buf != NULL);
    memset(r->buf, 0x77, 64 * 1024);
    CU_ASSERT_FATAL(hg_bdev_uring_open(r->path, read_only, &r->dev, NULL) == 0);
}

static void rig_close(struct rig *r)
{
    hg_bdev_close(r->dev);
    unlink(r->path);
    free(r->buf);
}

static void test_opens_once(void)
{
    struct rig r = {0};
    struct hg_bdev *again = NULL;
    struct hg_err err;

    rig_open(&r, false);
    CU_ASSERT(hg_bdev_uring_open(r.path, false, &again, &err) == -EBUSY);
    CU_ASSERT(strstr(err.text, r.path) != NULL);
    rig_close(&r);
}

static void test_refuses(void)
{
    struct hg_bdev *dev = NULL;
    struct hg_err err;

    CU_ASSERT(hg_bdev_uring_open("/no/such/path", false, &dev, &err) == -ENOENT);
    CU_ASSERT(strstr(err.text, "/no/such/path") != NULL);
    CU_ASSERT(hg_bdev_uring_open("/dev/null", false, &dev, &err) == -ENOTBLK);
    CU_ASSERT(strstr(err.text, "nor an NVMe namespace") != NULL);
    CU_ASSERT(hg_bdev_uring_open("/tmp", false, &dev, &err) == -ENOTBLK);
}

static int range(struct hg_bdev *dev, enum hg_bdev_op op)
{
    struct hg_bdev_io io = {.op = op, .len = HG_BLOCK};
    struct hg_bdev_chan *chan;
    int rc;

    CU_ASSERT_FATAL(hg_bdev_chan_open(dev, 1, NULL, &chan, NULL) == 0);
    rc = bdev_sync_io(chan, &io);
    hg_bdev_chan_close(chan);
    return rc;
}

static void test_read_only(void)
{
    struct rig r = {0};
    struct hg_iov iov;

    rig_open(&r, true);
    iov = hg_iov_of(r.buf, HG_BLOCK);
    CU_ASSERT(hg_bdev_sync(r.dev, HG_BDEV_WRITE, 0, iov, NULL) == -EROFS);
    CU_ASSERT(range(r.dev, HG_BDEV_WRITE_ZEROES) == -EROFS);
    CU_ASSERT(range(r.dev, HG_BDEV_DEALLOCATE) == -EROFS);
    CU_ASSERT(hg_bdev_sync(r.dev, HG_BDEV_READ, 0, iov, NULL) == 0);
    CU_ASSERT(r.buf[0] == 0);
    rig_close(&r);
}

/* The file shrinks under the device: the transfer ends early, is an error and is counted. */
static void test_short_transfer(void)
{
    struct hg_bdev_info info;
    struct rig r = {0};

    rig_open(&r, false);
    CU_ASSERT(truncate(r.path, SIZE - 32 * 1024) == 0);
    CU_ASSERT(hg_bdev_sync(r.dev, HG_BDEV_READ, SIZE - 64 * 1024, hg_iov_of(r.buf, 64 * 1024),
                           NULL) == -EIO);
    hg_bdev_info(r.dev, &info);
    CU_ASSERT(info.errors[HG_BDEV_ERR_OTHER] == 1);
    CU_ASSERT(info.errors[HG_BDEV_ERR_MEDIA] == 0);
    rig_close(&r);
}

/* By the flushes that a block device below has seen. */
static void test_fua_is_durable(void)
{
    struct rig r = {0};
    struct hg_bdev *dev;
    struct hg_bdev_chan *chan;
    struct hg_iov iov;
    struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov};
    struct hg_bdev_io zeroes = {.op = HG_BDEV_WRITE_ZEROES, .len = HG_BLOCK, .offset = HG_BLOCK};
    char name[LOOP_NAME];
    long before;
    int fd;

    rig_open(&r, false);
    iov = hg_iov_of(r.buf, HG_BLOCK);
    fd = loop_attach(r.path, 512, name);
    if (fd < 0 || loop_flushes(name) < 0) {
        printf("skipped: no loop device with statistics: %s\n", strerror(errno));
        rig_close(&r);
        return;
    }
    CU_ASSERT_FATAL(hg_bdev_uring_open(name, false, &dev, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_chan_open(dev, 1, NULL, &chan, NULL) == 0);
    before = loop_flushes(name);
    CU_ASSERT(bdev_sync_io(chan, &io) == 0);
    CU_ASSERT(bdev_sync_io(chan, &zeroes) == 0);
    CU_ASSERT(loop_flushes(name) == before);
    io.fua = zeroes.fua = true;
    CU_ASSERT(bdev_sync_io(chan, &io) == 0);
    CU_ASSERT(loop_flushes(name) == before + 1);
    CU_ASSERT(bdev_sync_io(chan, &zeroes) == 0);
    CU_ASSERT(loop_flushes(name) == before + 2);
    hg_bdev_chan_close(chan);
    hg_bdev_close(dev);
    close(fd);
    rig_close(&r);
}

/* What /sys tells of a device of the kernel's. */
static void test_info(void)
{
    struct hg_bdev_info info;
    struct rig r = {0};

    rig_open(&r, false);
    hg_bdev_info(r.dev, &info);
    CU_ASSERT(strncmp(info.access, "direct I/O, ", 12) == 0 ||
              strncmp(info.access, "page ", 5) == 0);
    CU_ASSERT(info.model[0] == '\0'); /* of a file; what it lies on is not the device */
    rig_close(&r);
}

static void test_status(void)
{
    static const struct {
        int kernel, status;
    } table[] = {
        {0, 0},
        {4096, 0},
        {-ENODATA, -ENODATA},
        {-EIO, -EIO},
        {-EREMOTEIO, -EIO},
        {-EILSEQ, -EIO},
        {-ENOSPC, -ENOSPC},
        {-EDQUOT, -ENOSPC},
        {-EROFS, -EROFS},
        {-EPERM, -EROFS},
        {-ETIMEDOUT, -ETIMEDOUT},
        {-ENODEV, -ENODEV},
        {-ENXIO, -ENODEV},
        {-ENOMEDIUM, -ENODEV},
        {-EINVAL, -EINVAL},
        {-EOPNOTSUPP, -EOPNOTSUPP},
        {-ENOMEM, -EIO},
        {-EAGAIN, -EIO},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(table); i++)
        CU_ASSERT(uring_status(table[i].kernel) == table[i].status);
}

static const char *bad_path;
static uint64_t bad_offset;

/* Its neighbours can be read, and it can be written. */
static void test_medium_error(void)
{
    struct hg_bdev_info info;
    struct hg_bdev *dev;
    uint8_t *buf = aligned_alloc(HG_BLOCK, HG_BLOCK);
    struct hg_iov iov = {buf, HG_BLOCK};
    struct hg_err err = {""};

    CU_ASSERT_FATAL(buf != NULL);
    CU_ASSERT_FATAL(hg_bdev_uring_open(bad_path, false, &dev, &err) == 0);
    CU_ASSERT(hg_bdev_sync(dev, HG_BDEV_READ, bad_offset, iov, &err) == -ENODATA);
    CU_ASSERT(strstr(err.text, bad_path) != NULL);
    hg_bdev_info(dev, &info);
    CU_ASSERT(info.errors[HG_BDEV_ERR_MEDIA] == 1 && info.errors[HG_BDEV_ERR_OTHER] == 0);
    CU_ASSERT(hg_bdev_sync(dev, HG_BDEV_READ, bad_offset - HG_BLOCK, iov, NULL) == 0);
    CU_ASSERT(hg_bdev_sync(dev, HG_BDEV_READ, bad_offset + HG_BLOCK, iov, NULL) == 0);
    memset(buf, 0x11, HG_BLOCK);
    CU_ASSERT(hg_bdev_sync(dev, HG_BDEV_WRITE, bad_offset, iov, NULL) == 0);
    hg_bdev_info(dev, &info);
    CU_ASSERT(info.errors[HG_BDEV_ERR_MEDIA] == 1);
    hg_bdev_close(dev);
    free(buf);
}

static bool add_tests(CU_pSuite suite)
{
    if (bad_path != NULL)
        return CU_add_test(suite, "a medium error is told as such", test_medium_error) != NULL;
    return CU_add_test(suite, "a file opens once", test_opens_once) != NULL &&
           CU_add_test(suite, "what is no device is refused", test_refuses) != NULL &&
           CU_add_test(suite, "read only", test_read_only) != NULL &&
           CU_add_test(suite, "a short transfer is an error", test_short_transfer) != NULL &&
           CU_add_test(suite, "fua is durable at completion", test_fua_is_durable) != NULL &&
           CU_add_test(suite, "how a file is reached is told", test_info) != NULL &&
           CU_add_test(suite, "errors of the kernel have our names", test_status) != NULL;
}

int main(int argc, char **argv)
{
    unsigned failed;
    CU_pSuite suite;

    if (argc == 3) {
        bad_path = argv[1];
        bad_offset = strtoull(argv[2], NULL, 10);
    }
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("uring", NULL, NULL);
    if (suite == NULL || !add_tests(suite) || CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
