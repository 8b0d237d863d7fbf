/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The catalogue: which volumes there are, how often the pool was opened, and how far each shard's
 * log was accepted by the last open. Two copies on every device, written in turn: the copy with the
 * last committed generation is never touched, so one is always sound.
 */
#include "store_internal.h"
#include <errno.h>
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

static uint32_t cat_crc(const struct store_cat_disk *disk)
{
    static const hg_le32 zero = {{0}};
    const uint8_t *bytes = (const uint8_t *)disk;
    size_t after = offsetof(struct store_cat_disk, crc) + sizeof disk->crc;
    uint32_t crc = hg_crc32c(bytes, offsetof(struct store_cat_disk, crc));

    crc = hg_crc32c_extend(crc, &zero, sizeof zero);
    return hg_crc32c_extend(crc, bytes + after, sizeof *disk - after);
}

static uint32_t cat_bytes(uint32_t n_volumes)
{
    uint32_t entries = n_volumes * (uint32_t)sizeof(struct store_vol_disk);

    return HG_BLOCK + (entries + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
}

static void put_head(struct store_cat_disk *head, const struct hg_pool *pool, uint32_t n,
                     uint32_t entries_crc)
{
    memset(head, 0, sizeof *head);
    head->magic = hg_le64_put(STORE_CAT_MAGIC);
    head->entries_crc = hg_le32_put(entries_crc);
    memcpy(head->pool_uuid, pool->uuid, STORE_UUID_LEN);
    head->generation = hg_le64_put(pool->cat_gen);
    head->incarnation = hg_le32_put(pool->incarnation);
    head->n_volumes = hg_le32_put(n);
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++)
        head->base[i] = hg_le64_put(pool->base[i]);
    head->crc = hg_le32_put(cat_crc(head));
}

uint32_t store_cat_build(struct hg_pool *pool, uint32_t n)
{
    struct store_cat_disk *head = (struct store_cat_disk *)pool->cat_buf;
    struct store_vol_disk *entry = (struct store_vol_disk *)(pool->cat_buf + HG_BLOCK);
    uint32_t bytes = cat_bytes(n);

    memset(entry, 0, bytes - HG_BLOCK);
    for (uint32_t i = 0; i < n; i++) {
        entry[i].id = hg_le32_put(i);
        entry[i].size = hg_le64_put(pool->volumes[i]->size);
        memcpy(entry[i].name, pool->volumes[i]->name, HG_VOLUME_NAME_MAX);
    }
    pool->cat_gen++;
    put_head(head, pool, n, hg_crc32c(entry, n * sizeof *entry));
    return bytes;
}

uint64_t store_cat_offset(const struct hg_pool *pool)
{
    return STORE_CAT_AT(1 - pool->cat_copy);
}

void store_cat_committed(struct hg_pool *pool)
{
    pool->cat_copy = 1 - pool->cat_copy;
}

int store_cat_format(struct hg_bdev *dev, const uint8_t *pool_uuid, struct hg_err *err)
{
    struct hg_pool *empty = calloc(1, sizeof *empty);
    struct store_cat_disk *head = aligned_alloc(HG_BLOCK, sizeof *head);
    int rc = 0;

    if (empty == NULL || head == NULL) {
        rc = hg_fail(err, -ENOMEM, "device %s: no memory", dev->name);
        goto out;
    }
    memcpy(empty->uuid, pool_uuid, STORE_UUID_LEN);
    for (unsigned copy = 0; rc == 0 && copy < 2; copy++) {
        empty->cat_gen = copy + 1;
        put_head(head, empty, 0, hg_crc32c(NULL, 0));
        rc = hg_bdev_sync(dev, HG_BDEV_WRITE, STORE_CAT_AT(copy), hg_iov_of(head, sizeof *head),
                          err);
    }
    if (rc == 0)
        rc = hg_bdev_sync(dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), err);
out:
    free(head);
    free(empty);
    return rc;
}

/* ---- load ---- */

/* Where the newest sound copy was found. */
struct cat_found {
    uint64_t generation; /* 0: nowhere */
    unsigned dev, copy;
    bool everywhere; /* every device has it */
};

static bool head_ok(const struct hg_pool *pool, const struct store_cat_disk *head)
{
    return hg_le64_get(head->magic) == STORE_CAT_MAGIC && hg_le32_get(head->crc) == cat_crc(head) &&
           memcmp(head->pool_uuid, pool->uuid, STORE_UUID_LEN) == 0 &&
           hg_le32_get(head->n_volumes) <= HG_VOLUMES_MAX &&
           hg_le32_get(head->incarnation) <= INT32_MAX &&
           hg_le64_get(head->generation) <= STORE_SEQ_MAX;
}

static bool entries_ok(const struct store_cat_disk *head, const struct store_vol_disk *entry)
{
    uint32_t n = hg_le32_get(head->n_volumes);

    if (hg_le32_get(head->entries_crc) != hg_crc32c(entry, n * sizeof *entry))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size = hg_le64_get(entry[i].size);

        if (hg_le32_get(entry[i].id) != i || size == 0 || size > HG_VOLUME_SIZE_MAX ||
            entry[i].name[0] == '\0' || memchr(entry[i].name, '\0', HG_VOLUME_NAME_MAX) == NULL)
            return false;
    }
    return true;
}

/* Reads one copy of one device into cat_buf: its generation, or 0 when it is not sound. Only the
 * second part of the read depends on what the first part said, and only after its CRC was right. */
static int read_copy(struct hg_pool *pool, unsigned dev, unsigned copy, uint64_t *generation,
                     struct hg_err *err)
{
    struct store_cat_disk *head = (struct store_cat_disk *)pool->cat_buf;
    uint8_t *entries = pool->cat_buf + HG_BLOCK;
    uint32_t bytes;
    int rc;

    *generation = 0;
    rc = hg_bdev_sync(pool->devs[dev], HG_BDEV_READ, STORE_CAT_AT(copy), hg_iov_of(head, HG_BLOCK),
                      err);
    if (rc != 0 || !head_ok(pool, head))
        return rc;
    bytes = cat_bytes(hg_le32_get(head->n_volumes)) - HG_BLOCK;
    if (bytes != 0)
        rc = hg_bdev_sync(pool->devs[dev], HG_BDEV_READ, STORE_CAT_AT(copy) + HG_BLOCK,
                          hg_iov_of(entries, bytes), err);
    if (rc == 0 && entries_ok(head, (struct store_vol_disk *)entries))
        *generation = hg_le64_get(head->generation);
    return rc;
}

static int find_newest(struct hg_pool *pool, struct cat_found *found, struct hg_err *err)
{
    unsigned have = 0;

    for (unsigned dev = 0; dev < pool->geo.n_dev; dev++) {
        for (unsigned copy = 0; copy < 2; copy++) {
            uint64_t generation;
            int rc = read_copy(pool, dev, copy, &generation, err);

            if (rc != 0)
                return rc;
            if (generation > found->generation) {
                *found = (struct cat_found){.generation = generation, .dev = dev, .copy = copy};
                have = 0;
            }
            have += generation != 0 && generation == found->generation;
        }
    }
    if (found->generation == 0)
        return hg_fail(err, -EBADMSG, "device %s: no sound catalogue, nor on any other device",
                       pool->devs[0]->name);
    found->everywhere = have >= pool->geo.n_dev;
    return 0;
}

static int make_volumes(struct hg_pool *pool, struct hg_err *err)
{
    const struct store_cat_disk *head = (const struct store_cat_disk *)pool->cat_buf;
    const struct store_vol_disk *entry = (const struct store_vol_disk *)(pool->cat_buf + HG_BLOCK);
    uint32_t n = hg_le32_get(head->n_volumes);

    pool->incarnation = hg_le32_get(head->incarnation);
    for (unsigned i = 0; i < HG_STORE_SHARDS_MAX; i++) {
        pool->base[i] = hg_le64_get(head->base[i]);
        if (pool->base[i] > STORE_SEQ_MAX)
            return hg_fail(err, -EBADMSG, "the catalogue's numbers are impossible");
    }
    for (uint32_t i = 0; i < n; i++) {
        pool->volumes[i] = store_volume_new(i, entry[i].name, hg_le64_get(entry[i].size));
        if (pool->volumes[i] == NULL)
            return hg_fail(err, -ENOMEM, "no memory for volume %s", entry[i].name);
        atomic_store(&pool->n_volumes, i + 1);
    }
    return 0;
}

int store_cat_load(struct hg_pool *pool, struct hg_err *err)
{
    struct cat_found found = {0};
    uint64_t generation;
    int rc = find_newest(pool, &found, err);

    if (rc == 0)
        rc = read_copy(pool, found.dev, found.copy, &generation, err);
    if (rc != 0)
        return rc;
    if (generation != found.generation)
        return hg_fail(err, -EIO, "device %s: the catalogue changes between two reads",
                       pool->devs[found.dev]->name);
    pool->cat_gen = found.generation;
    pool->cat_copy = found.copy;
    if (!found.everywhere)
        hg_log(HG_LOG_INFO, STORE_AREA, "the newest catalogue was not on every device yet");
    return make_volumes(pool, err);
}

int store_cat_write(struct hg_pool *pool, struct hg_err *err)
{
    uint32_t bytes = store_cat_build(pool, atomic_load(&pool->n_volumes));
    uint64_t at = store_cat_offset(pool);
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < pool->geo.n_dev; i++)
        rc = hg_bdev_sync(pool->devs[i], HG_BDEV_WRITE, at, hg_iov_of(pool->cat_buf, bytes), err);
    for (unsigned i = 0; rc == 0 && i < pool->geo.n_dev; i++)
        rc = hg_bdev_sync(pool->devs[i], HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), err);
    if (rc == 0)
        store_cat_committed(pool);
    return rc;
}
