/* SPDX-License-Identifier: BSD-3-Clause */
/* One test body over every block device: a file through io_uring, memory, the fault layer. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <headgate/bdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (4u << 20)
#define DEPTH 8u

struct device {
    struct hg_bdev *dev;
    struct hg_bdev *below; /* of the fault layer */
    char path[64];         /* of the file */
};

typedef void (*open_fn)(struct device *d);
typedef void (*grow_fn)(struct device *d, uint64_t size);

static void open_uring(struct device *d)
{
    int fd;

    snprintf(d->path, sizeof d->path, "test_bdev_XXXXXX");
    fd = mkstemp(d->path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_FATAL(ftruncate(fd, SIZE) == 0);
    close(fd);
    CU_ASSERT_FATAL(hg_bdev_uring_open(d->path, false, &d->dev, NULL) == 0);
}

static void open_mem(struct device *d)
{
    CU_ASSERT_FATAL(hg_bdev_mem_open("mem", SIZE, &d->dev, NULL) == 0);
}

static void open_fault(struct device *d)
{
    struct hg_bdev_fault_cfg cfg = {.seed = 1, .delay_polls = 5};

    CU_ASSERT_FATAL(hg_bdev_mem_open("mem", SIZE, &d->below, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_fault_open(d->below, &cfg, &d->dev, NULL) == 0);
}

static void grow_uring(struct device *d, uint64_t size)
{
    CU_ASSERT(truncate(d->path, (off_t)size) == 0);
}

static void grow_mem(struct device *d, uint64_t size)
{
    CU_ASSERT(hg_bdev_mem_set_size(d->below != NULL ? d->below : d->dev, size) == 0);
}

static void close_device(struct device *d)
{
    hg_bdev_close(d->dev);
    hg_bdev_close(d->below);
    if (d->path[0] != '\0')
        unlink(d->path);
}

static uint8_t *buffer(size_t len)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, len);

    CU_ASSERT_FATAL(buf != NULL);
    return buf;
}

static void fill(uint8_t *buf, size_t len, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i * 7 + i / 4096 * 13 + salt);
}

/* Submits all and polls until all came back. */
static void run(struct hg_bdev_chan *chan, struct hg_bdev_io **ios, unsigned n)
{
    struct hg_bdev_io *done[DEPTH];
    unsigned taken = 0;
    unsigned back = 0;

    while (back < n) {
        taken += hg_bdev_submit(chan, ios + taken, n - taken, hg_bdev_clock());
        CU_ASSERT(chan->in_flight <= chan->depth);
        back += hg_bdev_poll(chan, done, DEPTH, hg_bdev_clock());
    }
    CU_ASSERT(chan->in_flight == 0);
}

static int run_one(struct hg_bdev_chan *chan, struct hg_bdev_io *io)
{
    io->status = 1;
    run(chan, &io, 1);
    return io->status;
}

static void check_data(struct hg_bdev_chan *chan, uint8_t *mem)
{
    uint8_t *want = buffer(64 * 1024);
    struct hg_iov iov = {mem, 64 * 1024};
    struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov, .offset = 128 * 1024};

    fill(want, 64 * 1024, 3);
    memcpy(mem, want, 64 * 1024);
    CU_ASSERT(run_one(chan, &io) == 0);
    CU_ASSERT(run_one(chan, &(struct hg_bdev_io){.op = HG_BDEV_FLUSH}) == 0);
    memset(mem, 0, 64 * 1024);
    io.op = HG_BDEV_READ;
    CU_ASSERT(run_one(chan, &io) == 0);
    CU_ASSERT(memcmp(mem, want, 64 * 1024) == 0);
    free(want);
}

/* Writes from many buffers in a shuffled order, inside and outside the registered memory, and
 * reads back as one. */
static void check_iov(struct hg_bdev_chan *chan, uint8_t *mem)
{
    uint8_t *outside = buffer(HG_BDEV_IOV_MAX * HG_BLOCK);
    struct hg_iov iov[HG_BDEV_IOV_MAX];
    struct hg_iov whole = {mem, HG_BDEV_IOV_MAX * HG_BLOCK};
    struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = HG_BDEV_IOV_MAX, .iov = iov};
    unsigned bad = 0;

    for (unsigned i = 0; i < HG_BDEV_IOV_MAX; i++) {
        iov[i].base = (i % 2 ? mem : outside) + (size_t)(HG_BDEV_IOV_MAX - 1 - i) * HG_BLOCK;
        iov[i].len = HG_BLOCK;
        memset(iov[i].base, (int)(i + 1), HG_BLOCK);
    }
    io.offset = 8 * HG_BLOCK;
    CU_ASSERT(run_one(chan, &io) == 0);
    io =
        (struct hg_bdev_io){.op = HG_BDEV_READ, .iovcnt = 1, .iov = &whole, .offset = 8 * HG_BLOCK};
    CU_ASSERT(run_one(chan, &io) == 0);
    for (unsigned i = 0; i < HG_BDEV_IOV_MAX * HG_BLOCK; i++)
        bad += mem[i] != i / HG_BLOCK + 1;
    CU_ASSERT(bad == 0);
    free(outside);
}

/* More requests than the depth: the channel takes the depth and no more. */
static void check_depth(struct hg_bdev_chan *chan, uint8_t *mem)
{
    struct hg_iov iov[3 * DEPTH];
    struct hg_bdev_io io[3 * DEPTH];
    struct hg_bdev_io *ptr[3 * DEPTH];

    for (unsigned i = 0; i < 3 * DEPTH; i++) {
        iov[i] = (struct hg_iov){mem + (size_t)i * HG_BLOCK, HG_BLOCK};
        io[i] = (struct hg_bdev_io){.op = HG_BDEV_READ,
                                    .iovcnt = 1,
                                    .iov = &iov[i],
                                    .offset = (uint64_t)i * HG_BLOCK,
                                    .status = 1};
        ptr[i] = &io[i];
    }
    CU_ASSERT(hg_bdev_submit(chan, ptr, 3 * DEPTH, hg_bdev_clock()) == DEPTH);
    CU_ASSERT(hg_bdev_submit(chan, ptr + DEPTH, 1, hg_bdev_clock()) == 0);
    for (unsigned back = 0; back < DEPTH;)
        back += hg_bdev_poll(chan, (struct hg_bdev_io *[DEPTH]){0}, DEPTH, hg_bdev_clock());
    CU_ASSERT(chan->in_flight == 0);
    run(chan, ptr + DEPTH, 2 * DEPTH);
    for (unsigned i = 0; i < 3 * DEPTH; i++)
        CU_ASSERT(io[i].status == 0);
}

/* Requests the device must refuse, each with -EINVAL and without harm to the channel. */
static void check_refusals(struct hg_bdev_chan *chan, uint8_t *mem)
{
    uint32_t block = chan->dev->block;
    struct hg_iov iov = {mem, HG_BLOCK};
    struct hg_iov odd_len = {mem, block / 2};
    struct hg_iov odd_base = {mem + block / 2, HG_BLOCK};
    struct hg_bdev_io bad[] = {
        {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov, .offset = SIZE},
        {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = SIZE - block * (HG_BLOCK > block)},
        {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = UINT64_MAX - HG_BLOCK + 1},
        {.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov, .offset = block / 2},
        {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &odd_len},
        {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &odd_base},
        {.op = HG_BDEV_WRITE, .iovcnt = 0, .iov = &iov},
        {.op = HG_BDEV_FLUSH, .iovcnt = 1, .iov = &iov},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT(run_one(chan, &bad[i]) == -EINVAL);
    CU_ASSERT(run_one(chan, &(struct hg_bdev_io){.op = HG_BDEV_READ, .iovcnt = 1, .iov = &iov}) ==
              0);
}

static void check_resize(struct device *d, grow_fn grow)
{
    uint8_t *buf = buffer(HG_BLOCK);
    struct hg_err err = {""};

    fill(buf, HG_BLOCK, 9);
    CU_ASSERT(hg_bdev_sync(d->dev, HG_BDEV_WRITE, SIZE, hg_iov_of(buf, HG_BLOCK), &err) == -EINVAL);
    CU_ASSERT(strstr(err.text, d->dev->name) != NULL);
    grow(d, 2 * SIZE);
    CU_ASSERT(d->dev->size == SIZE);
    CU_ASSERT(hg_bdev_resize(d->dev) == 0);
    CU_ASSERT(d->dev->size == 2 * SIZE);
    CU_ASSERT(hg_bdev_sync(d->dev, HG_BDEV_WRITE, SIZE, hg_iov_of(buf, HG_BLOCK), NULL) == 0);
    CU_ASSERT(hg_bdev_sync(d->dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), NULL) == 0);
    memset(buf, 0, HG_BLOCK);
    CU_ASSERT(hg_bdev_sync(d->dev, HG_BDEV_READ, SIZE, hg_iov_of(buf, HG_BLOCK), NULL) == 0);
    CU_ASSERT(buf[1] == (uint8_t)(7 + 9));
    free(buf);
}

static void check_all(open_fn open_device, grow_fn grow)
{
    struct device d = {0};
    struct hg_arena_region mem = {aligned_alloc(HG_ARENA_MAX_BLOCK, HG_ARENA_MAX_BLOCK),
                                  HG_ARENA_MAX_BLOCK};
    struct hg_bdev_chan *chan = NULL;
    struct hg_bdev_chan *second = NULL;

    CU_ASSERT_FATAL(mem.base != NULL);
    open_device(&d);
    CU_ASSERT(d.dev->size == SIZE);
    CU_ASSERT(d.dev->block == 512 || d.dev->block == 4096);
    CU_ASSERT_FATAL(hg_bdev_chan_open(d.dev, DEPTH, &mem, &chan, NULL) == 0);
    CU_ASSERT_FATAL(hg_bdev_chan_open(d.dev, DEPTH, NULL, &second, NULL) == 0);
    check_data(chan, mem.base);
    check_data(second, mem.base);
    check_iov(chan, mem.base);
    check_iov(second, mem.base);
    check_depth(chan, mem.base);
    check_refusals(chan, mem.base);
    hg_bdev_chan_close(second);
    hg_bdev_chan_close(chan);
    hg_bdev_chan_close(NULL);
    check_resize(&d, grow);
    close_device(&d);
    hg_bdev_close(NULL);
    free(mem.base);
}

static void test_uring(void)
{
    check_all(open_uring, grow_uring);
}

static void test_mem(void)
{
    check_all(open_mem, grow_mem);
}

static void test_fault(void)
{
    check_all(open_fault, grow_mem);
}

static void test_uring_opens_once(void)
{
    struct device d = {0};
    struct hg_bdev *again = NULL;
    struct hg_err err;

    open_uring(&d);
    CU_ASSERT(hg_bdev_uring_open(d.path, false, &again, &err) == -EBUSY);
    CU_ASSERT(strstr(err.text, d.path) != NULL);
    CU_ASSERT(hg_bdev_uring_open("/no/such/path", false, &again, &err) == -ENOENT);
    CU_ASSERT(strstr(err.text, "/no/such/path") != NULL);
    CU_ASSERT(hg_bdev_uring_open("/dev/null", false, &again, &err) == -ENOTBLK);
    close_device(&d);
}

static void test_uring_read_only(void)
{
    struct device d = {0};
    uint8_t *buf = buffer(HG_BLOCK);

    open_uring(&d);
    hg_bdev_close(d.dev);
    CU_ASSERT_FATAL(hg_bdev_uring_open(d.path, true, &d.dev, NULL) == 0);
    CU_ASSERT(hg_bdev_sync(d.dev, HG_BDEV_WRITE, 0, hg_iov_of(buf, HG_BLOCK), NULL) == -EROFS);
    CU_ASSERT(hg_bdev_sync(d.dev, HG_BDEV_READ, 0, hg_iov_of(buf, HG_BLOCK), NULL) == 0);
    close_device(&d);
    free(buf);
}

/* The file shrinks under the device: the transfer ends early and is an error. */
static void test_uring_short_transfer(void)
{
    struct device d = {0};
    uint8_t *buf = buffer(64 * 1024);

    open_uring(&d);
    CU_ASSERT(truncate(d.path, SIZE - 32 * 1024) == 0);
    CU_ASSERT(hg_bdev_sync(d.dev, HG_BDEV_READ, SIZE - 64 * 1024, hg_iov_of(buf, 64 * 1024),
                           NULL) == -EIO);
    close_device(&d);
    free(buf);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("bdev", NULL, NULL);
    if (suite == NULL || CU_add_test(suite, "uring", test_uring) == NULL ||
        CU_add_test(suite, "mem", test_mem) == NULL ||
        CU_add_test(suite, "fault over mem", test_fault) == NULL ||
        CU_add_test(suite, "a file opens once", test_uring_opens_once) == NULL ||
        CU_add_test(suite, "read only", test_uring_read_only) == NULL ||
        CU_add_test(suite, "short transfer", test_uring_short_transfer) == NULL ||
        CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
