/* SPDX-License-Identifier: BSD-3-Clause */
/* Format, open and grow: every way in which devices may not fit together, and what is said then. */
#include "rig.h"
#include "store_super.h"
#include <errno.h>
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

#define N 3u
#define CHUNK (1u << 20)
#define SIZE (RIG_DATA_START + 12 * (uint64_t)CHUNK)

static const struct hg_pool_geometry geometry = {.stripe_unit = 65536, .chunk = CHUNK};

struct set {
    struct hg_bdev *dev[N + 1]; /* the last one is not in the pool */
    struct hg_err err;
};

static struct hg_bdev *mem(const char *name, uint64_t size)
{
    struct hg_bdev *dev = NULL;

    CU_ASSERT_FATAL(hg_bdev_mem_open(name, size, &dev, NULL) == 0);
    return dev;
}

static void set_up(struct set *s)
{
    memset(s, 0, sizeof *s);
    s->dev[0] = mem("alpha", SIZE);
    s->dev[1] = mem("beta", SIZE);
    s->dev[2] = mem("gamma", SIZE);
    s->dev[3] = mem("delta", SIZE);
    CU_ASSERT_FATAL(hg_pool_format(s->dev, N, &geometry, false, &s->err) == 0);
}

static void tear_down(struct set *s)
{
    for (unsigned i = 0; i <= N; i++)
        hg_bdev_close(s->dev[i]);
}

/* Opens and closes; returns the error. */
static int try_open(struct set *s, unsigned a, unsigned b, unsigned c, unsigned n)
{
    struct hg_bdev *devs[] = {s->dev[a], s->dev[b], s->dev[c]};
    struct hg_pool *pool = NULL;
    int rc;

    s->err.text[0] = '\0';
    rc = hg_pool_open(devs, n, &pool, &s->err);
    CU_ASSERT((rc == 0) == (pool != NULL));
    CU_ASSERT((rc == 0) == (s->err.text[0] == '\0'));
    hg_pool_close(pool);
    return rc;
}

static bool says(const struct set *s, const char *device, const char *what)
{
    return strstr(s->err.text, device) != NULL && strstr(s->err.text, what) != NULL;
}

static void change_super(struct hg_bdev *dev, uint64_t at, void (*change)(struct store_super *),
                         unsigned flip)
{
    struct store_super_disk *disk = aligned_alloc(HG_BLOCK, sizeof *disk);
    struct store_super super;

    CU_ASSERT_FATAL(disk != NULL);
    CU_ASSERT_FATAL(hg_bdev_sync(dev, HG_BDEV_READ, at, hg_iov_of(disk, sizeof *disk), NULL) == 0);
    if (change != NULL) {
        CU_ASSERT_FATAL(store_super_get(disk, &super) == SUPER_OK);
        change(&super);
        store_super_put(disk, &super);
    } else {
        ((uint8_t *)disk)[flip] ^= 0xff;
    }
    CU_ASSERT_FATAL(hg_bdev_sync(dev, HG_BDEV_WRITE, at, hg_iov_of(disk, sizeof *disk), NULL) == 0);
    free(disk);
}

static void test_good(void)
{
    struct hg_pool_info info;
    struct hg_pool *pool;
    struct set s;

    set_up(&s);
    CU_ASSERT_FALSE(hg_pool_blank(s.dev[0]));
    CU_ASSERT(hg_pool_blank(s.dev[3]));
    CU_ASSERT_FATAL(hg_pool_open(s.dev, N, &pool, &s.err) == 0);
    hg_pool_info(pool, &info);
    CU_ASSERT(info.n_devices == N && info.chunk == CHUNK && info.stripe_unit == 65536);
    CU_ASSERT(info.segments == 12 && info.segments_free == 12 && info.volumes == 0);
    CU_ASSERT(info.capacity == 12 * (uint64_t)CHUNK * N && info.used == 0);
    CU_ASSERT(info.free > 0 && info.free < info.capacity);
    CU_ASSERT(strlen(info.uuid) == 36 && info.uuid[14] == '4');
    hg_pool_close(pool);
    tear_down(&s);
}

static void test_wrong_devices(void)
{
    struct set s;

    set_up(&s);
    CU_ASSERT(try_open(&s, 0, 1, 3, 3) == -ENODEV && says(&s, "delta", "no headgate superblock"));
    CU_ASSERT(try_open(&s, 0, 2, 1, 3) == -EINVAL && says(&s, "gamma", "order"));
    CU_ASSERT(try_open(&s, 0, 1, 1, 3) == -ENOTUNIQ && says(&s, "beta", "copy"));
    CU_ASSERT(try_open(&s, 0, 1, 1, 2) == -ENXIO && says(&s, "index 2", "missing"));
    CU_ASSERT(try_open(&s, 1, 2, 2, 2) == -ENXIO && says(&s, "index 0", "missing"));
    CU_ASSERT(try_open(&s, 0, 1, 2, 0) == -EINVAL && says(&s, "2 to 32", "0 were given"));
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == 0);
    tear_down(&s);
}

static void test_foreign(void)
{
    struct hg_bdev *other[2];
    struct set s;

    set_up(&s);
    other[0] = mem("epsilon", SIZE);
    other[1] = s.dev[3];
    CU_ASSERT_FATAL(hg_pool_format(other, 2, &geometry, false, &s.err) == 0);
    CU_ASSERT(try_open(&s, 0, 1, 3, 3) == -EXDEV && says(&s, "delta", "another pool"));
    CU_ASSERT(try_open(&s, 3, 1, 2, 3) == -EXDEV && says(&s, "delta", "another pool"));
    hg_bdev_close(other[0]);
    tear_down(&s);
}

static void test_too_small(void)
{
    struct set s;

    set_up(&s);
    CU_ASSERT_FATAL(hg_bdev_mem_set_size(s.dev[1], SIZE - HG_BLOCK) == 0);
    CU_ASSERT_FATAL(hg_bdev_resize(s.dev[1]) == 0);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -ENOSPC && says(&s, "beta", "too small"));
    tear_down(&s);
}

/* A version is not something store_super_put() can write. */
static void make_newer(struct hg_bdev *dev)
{
    static const uint64_t at[] = {STORE_SUPER_A, STORE_SUPER_B};

    for (unsigned i = 0; i < 2; i++) {
        struct store_super_disk *disk = aligned_alloc(HG_BLOCK, sizeof *disk);
        struct store_super super;
        uint32_t crc;

        CU_ASSERT_FATAL(disk != NULL);
        CU_ASSERT_FATAL(
            hg_bdev_sync(dev, HG_BDEV_READ, at[i], hg_iov_of(disk, sizeof *disk), NULL) == 0);
        disk->version = hg_le32_put(STORE_VERSION + 1);
        disk->crc = hg_le32_put(0);
        crc = hg_crc32c(disk, sizeof *disk);
        disk->crc = hg_le32_put(crc);
        CU_ASSERT(store_super_get(disk, &super) == SUPER_NEWER);
        CU_ASSERT_FATAL(
            hg_bdev_sync(dev, HG_BDEV_WRITE, at[i], hg_iov_of(disk, sizeof *disk), NULL) == 0);
        free(disk);
    }
}

static void test_newer(void)
{
    struct set s;

    set_up(&s);
    make_newer(s.dev[2]);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -EOPNOTSUPP && says(&s, "gamma", "newer format"));
    tear_down(&s);
}

static void test_damaged(void)
{
    struct set s;

    set_up(&s);
    change_super(s.dev[0], STORE_SUPER_A, NULL, 300);
    change_super(s.dev[1], STORE_SUPER_B, NULL, 300);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == 0);
    /* That repaired them: now the other copy of each may go. */
    change_super(s.dev[0], STORE_SUPER_B, NULL, 300);
    change_super(s.dev[1], STORE_SUPER_A, NULL, 300);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == 0);
    change_super(s.dev[1], STORE_SUPER_A, NULL, 300);
    change_super(s.dev[1], STORE_SUPER_B, NULL, 300);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -EBADMSG && says(&s, "beta", "damaged"));
    tear_down(&s);
}

static void other_unit(struct store_super *super)
{
    super->stripe_unit = 16384;
}

static void impossible(struct store_super *super)
{
    super->n_segments++;
}

static void test_contradiction(void)
{
    struct set s;

    set_up(&s);
    change_super(s.dev[2], STORE_SUPER_A, other_unit, 0);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -EBADMSG && says(&s, "gamma", "differently"));
    tear_down(&s);
    set_up(&s);
    change_super(s.dev[2], STORE_SUPER_A, impossible, 0);
    change_super(s.dev[2], STORE_SUPER_B, impossible, 0);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -EBADMSG && says(&s, "gamma", "impossible"));
    tear_down(&s);
}

static void test_no_catalogue(void)
{
    struct set s;
    uint8_t *zero = aligned_alloc(HG_BLOCK, HG_BLOCK);

    CU_ASSERT_FATAL(zero != NULL);
    memset(zero, 0, HG_BLOCK);
    set_up(&s);
    for (unsigned i = 0; i < N; i++)
        for (unsigned copy = 0; copy < 2; copy++)
            CU_ASSERT(hg_bdev_sync(s.dev[i], HG_BDEV_WRITE, STORE_CAT_AT(copy),
                                   hg_iov_of(zero, HG_BLOCK), NULL) == 0);
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == -EBADMSG && says(&s, "alpha", "catalogue"));
    tear_down(&s);
    free(zero);
}

static void test_format_refuses(void)
{
    static const struct hg_pool_geometry bad[] = {
        {.stripe_unit = 65535, .chunk = CHUNK},       {.stripe_unit = 2048, .chunk = CHUNK},
        {.stripe_unit = 2u << 20, .chunk = 4u << 20}, {.stripe_unit = 65536, .chunk = 65536 + 4096},
        {.stripe_unit = 65536, .chunk = 0},           {.stripe_unit = 4096, .chunk = 65536},
    };
    struct hg_bdev *tiny[2];
    struct set s;
    uint8_t *table = aligned_alloc(HG_BLOCK, HG_BLOCK);

    CU_ASSERT_FATAL(table != NULL);
    set_up(&s);
    CU_ASSERT(hg_pool_format(s.dev, N, &geometry, false, &s.err) == -EEXIST &&
              says(&s, "alpha", "superblock"));
    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT(hg_pool_format(s.dev, N, &bad[i], true, &s.err) == -EINVAL);
    CU_ASSERT(hg_pool_format(s.dev, 1, &geometry, true, &s.err) == -EINVAL);
    memset(table, 0, HG_BLOCK);
    table[510] = 0x55;
    table[511] = 0xaa;
    CU_ASSERT(hg_bdev_sync(s.dev[3], HG_BDEV_WRITE, 0, hg_iov_of(table, HG_BLOCK), NULL) == 0);
    tiny[0] = s.dev[3];
    tiny[1] = mem("tiny", SIZE);
    CU_ASSERT(hg_pool_format(tiny, 2, &geometry, false, &s.err) == -EEXIST &&
              says(&s, "delta", "partition table"));
    hg_bdev_close(tiny[1]);
    tiny[1] = mem("tiny", 6u << 20);
    CU_ASSERT(hg_pool_format(tiny, 2, &geometry, true, &s.err) == -ENOSPC &&
              says(&s, "tiny", "too small"));
    tiny[1] = (hg_bdev_close(tiny[1]), tiny[0]);
    CU_ASSERT(hg_pool_format(tiny, 2, &geometry, true, &s.err) == -EINVAL &&
              says(&s, "delta", "twice"));
    CU_ASSERT(try_open(&s, 0, 1, 2, 3) == 0); /* nothing of that harmed the pool */
    free(table);
    tear_down(&s);
}

static void grow_devices(struct set *s, uint64_t size)
{
    for (unsigned i = 0; i < N; i++)
        CU_ASSERT_FATAL(hg_bdev_mem_set_size(s->dev[i], size) == 0);
}

static void test_grow(void)
{
    struct hg_pool_info info;
    struct hg_pool *pool;
    uint64_t added = 1;
    struct set s;

    set_up(&s);
    CU_ASSERT_FATAL(hg_pool_open(s.dev, N, &pool, &s.err) == 0);
    CU_ASSERT(hg_pool_grow(pool, &added, &s.err) == 0 && added == 0);
    CU_ASSERT_FATAL(hg_bdev_mem_set_size(s.dev[0], SIZE + 5 * CHUNK) == 0);
    CU_ASSERT(hg_pool_grow(pool, &added, &s.err) == 0 && added == 0); /* not all of them grew */
    grow_devices(&s, SIZE + 5 * CHUNK + 4096);
    CU_ASSERT(hg_pool_grow(pool, &added, &s.err) == 0 && added == 5 * (uint64_t)CHUNK * N);
    hg_pool_info(pool, &info);
    CU_ASSERT(info.segments == 17 && info.segments_free == 17);
    hg_pool_close(pool);
    CU_ASSERT_FATAL(hg_pool_open(s.dev, N, &pool, &s.err) == 0);
    hg_pool_info(pool, &info);
    CU_ASSERT(info.segments == 17 && info.segments_free == 17);
    hg_pool_close(pool);
    tear_down(&s);
}

static void grown(struct store_super *super)
{
    super->generation++;
    super->n_segments += 5;
    super->device_size += 5 * (uint64_t)super->chunk;
}

/* The node stopped while growing, after the first copy on one device. */
static void test_grow_cut(void)
{
    struct hg_pool_info info;
    struct hg_pool *pool;
    struct set s;

    set_up(&s);
    grow_devices(&s, SIZE + 5 * CHUNK);
    for (unsigned i = 0; i < N; i++)
        CU_ASSERT(hg_bdev_resize(s.dev[i]) == 0);
    change_super(s.dev[1], STORE_SUPER_A, grown, 0);
    CU_ASSERT_FATAL(hg_pool_open(s.dev, N, &pool, &s.err) == 0);
    hg_pool_info(pool, &info);
    CU_ASSERT(info.segments == 17);
    hg_pool_close(pool);
    tear_down(&s);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"good", test_good},
        {"missing, reordered, duplicate, unknown", test_wrong_devices},
        {"foreign", test_foreign},
        {"too small", test_too_small},
        {"newer format", test_newer},
        {"damaged copies", test_damaged},
        {"contradiction", test_contradiction},
        {"no catalogue", test_no_catalogue},
        {"format refuses", test_format_refuses},
        {"grow", test_grow},
        {"grow is cut", test_grow_cut},
    };

    return rig_main("store_super", tests, HG_ARRAY_LEN(tests));
}
