/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Superblocks: what makes devices a pool. Format, check at open, grow.
 *
 * Rewriting (grow, repair) raises the generation and writes copy A of every device, flushes, then
 * copy B, so that at any time each device has one sound copy; the highest generation among all
 * devices counts.
 */
#include "store_super.h"
#include "store_internal.h"
#include <errno.h>
#include <headgate/codec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CHUNK_MAX (1u << 30)

/* ---- encoding ---- */

static uint32_t super_crc(const struct store_super_disk *disk)
{
    static const hg_le32 zero = {{0}};
    const uint8_t *bytes = (const uint8_t *)disk;
    size_t after = offsetof(struct store_super_disk, crc) + sizeof disk->crc;
    uint32_t crc = hg_crc32c(bytes, offsetof(struct store_super_disk, crc));

    crc = hg_crc32c_extend(crc, &zero, sizeof zero);
    return hg_crc32c_extend(crc, bytes + after, sizeof *disk - after);
}

void store_super_put(struct store_super_disk *disk, const struct store_super *super)
{
    memset(disk, 0, sizeof *disk);
    disk->magic = hg_le64_put(STORE_SUPER_MAGIC);
    disk->version = hg_le32_put(STORE_VERSION);
    memcpy(disk->pool_uuid, super->pool_uuid, STORE_UUID_LEN);
    memcpy(disk->device_uuid, super->device_uuid, STORE_UUID_LEN);
    disk->device_index = hg_le32_put(super->device_index);
    disk->n_devices = hg_le32_put(super->n_devices);
    disk->generation = hg_le64_put(super->generation);
    disk->device_size = hg_le64_put(super->device_size);
    disk->data_start = hg_le64_put(super->data_start);
    disk->stripe_unit = hg_le32_put(super->stripe_unit);
    disk->chunk = hg_le32_put(super->chunk);
    disk->n_segments = hg_le32_put(super->n_segments);
    memcpy(disk->uuids, super->uuids, sizeof disk->uuids);
    disk->crc = hg_le32_put(super_crc(disk));
}

static bool geometry_ok(uint32_t n_devices, uint32_t stripe_unit, uint32_t chunk)
{
    uint64_t segment = (uint64_t)chunk * n_devices;

    return n_devices >= 2 && n_devices <= HG_POOL_DEVICES_MAX && stripe_unit >= HG_BLOCK &&
           stripe_unit <= (1u << 20) && (stripe_unit & (stripe_unit - 1)) == 0 && chunk != 0 &&
           chunk <= CHUNK_MAX && chunk % stripe_unit == 0 && segment >= HG_EXTENT_MAX + HG_BLOCK;
}

static bool super_plausible(const struct store_super *s)
{
    return geometry_ok(s->n_devices, s->stripe_unit, s->chunk) && s->device_index < s->n_devices &&
           s->n_segments >= 1 && s->n_segments <= STORE_SEGMENTS_MAX &&
           s->data_start >= STORE_DATA_START && s->data_start % HG_BLOCK == 0 &&
           s->data_start < (uint64_t)1 << 48 &&
           s->device_size == s->data_start + (uint64_t)s->n_segments * s->chunk &&
           s->generation <= STORE_SEQ_MAX &&
           memcmp(s->device_uuid, s->uuids[s->device_index], STORE_UUID_LEN) == 0;
}

enum store_super_verdict store_super_get(const struct store_super_disk *disk,
                                         struct store_super *super)
{
    if (hg_le64_get(disk->magic) != STORE_SUPER_MAGIC)
        return SUPER_ABSENT;
    if (hg_le32_get(disk->crc) != super_crc(disk))
        return SUPER_DAMAGED;
    if (hg_le32_get(disk->version) != STORE_VERSION || hg_le64_get(disk->features) != 0)
        return SUPER_NEWER;
    memcpy(super->pool_uuid, disk->pool_uuid, STORE_UUID_LEN);
    memcpy(super->device_uuid, disk->device_uuid, STORE_UUID_LEN);
    super->device_index = hg_le32_get(disk->device_index);
    super->n_devices = hg_le32_get(disk->n_devices);
    super->generation = hg_le64_get(disk->generation);
    super->device_size = hg_le64_get(disk->device_size);
    super->data_start = hg_le64_get(disk->data_start);
    super->stripe_unit = hg_le32_get(disk->stripe_unit);
    super->chunk = hg_le32_get(disk->chunk);
    super->n_segments = hg_le32_get(disk->n_segments);
    memcpy(super->uuids, disk->uuids, sizeof super->uuids);
    return super_plausible(super) ? SUPER_OK : SUPER_ABSURD;
}

void store_uuid_text(const uint8_t *uuid, char text[37])
{
    static const char hex[] = "0123456789abcdef";
    char *to = text;

    for (unsigned i = 0; i < STORE_UUID_LEN; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[uuid[i] >> 4];
        *to++ = hex[uuid[i] & 15];
    }
    *to = '\0';
}

/* RFC 9562 section 5.4: random, version 4. */
static int new_uuid(uint8_t uuid[STORE_UUID_LEN], struct hg_err *err)
{
    if (getrandom(uuid, STORE_UUID_LEN, 0) != STORE_UUID_LEN)
        return hg_fail(err, -EIO, "the kernel gives no random bytes for a UUID");
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return 0;
}

/* ---- format ---- */

struct signature {
    uint32_t at;
    uint32_t len;
    const char *bytes;
    const char *what;
};

static const struct signature signatures[] = {
    {STORE_SUPER_A, 8, "HGSUPER1", "a headgate superblock"},
    {STORE_SUPER_B, 8, "HGSUPER1", "a headgate superblock"},
    {510, 2, "\x55\xaa", "a partition table"},
    {512, 8, "EFI PART", "a partition table"},
    {4096, 8, "EFI PART", "a partition table"},
    {1080, 2, "\x53\xef", "an ext file system"},
    {0, 4, "XFSB", "an XFS file system"},
    {65600, 8, "_BHRfS_M", "a btrfs file system"},
    {0, 6, "LUKS\xba\xbe", "a LUKS volume"},
    {512, 8, "LABELONE", "an LVM physical volume"},
    {4086, 10, "SWAPSPACE2", "swap space"},
    {4096, 4, "\xfc\x4e\x2b\xa9", "an MD array member"},
};

#define PROBE_BYTES (STORE_SUPER_B + HG_BLOCK)

/* Reads the first PROBE_BYTES of dev; NULL on failure. The caller frees. */
static uint8_t *probe(struct hg_bdev *dev, struct hg_err *err, int *rc)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, PROBE_BYTES);

    *rc = buf == NULL ? hg_fail(err, -ENOMEM, "device %s: no memory", dev->name)
                      : hg_bdev_sync(dev, HG_BDEV_READ, 0, hg_iov_of(buf, PROBE_BYTES), err);
    if (*rc != 0) {
        free(buf);
        return NULL;
    }
    return buf;
}

bool hg_pool_blank(struct hg_bdev *dev)
{
    int rc;
    uint8_t *buf;
    bool blank;

    if (dev->size < PROBE_BYTES)
        return true;
    buf = probe(dev, NULL, &rc);
    if (buf == NULL)
        return false;
    blank = memcmp(buf + STORE_SUPER_A, signatures[0].bytes, 8) != 0 &&
            memcmp(buf + STORE_SUPER_B, signatures[0].bytes, 8) != 0;
    free(buf);
    return blank;
}

static int check_unused(struct hg_bdev *dev, struct hg_err *err)
{
    int rc;
    uint8_t *buf = probe(dev, err, &rc);

    for (unsigned i = 0; rc == 0 && i < HG_ARRAY_LEN(signatures); i++) {
        const struct signature *s = &signatures[i];

        if (memcmp(buf + s->at, s->bytes, s->len) == 0)
            rc = hg_fail(err, -EEXIST, "device %s holds %s; use force to overwrite it", dev->name,
                         s->what);
    }
    free(buf);
    return rc;
}

static int write_super(struct hg_bdev *dev, uint64_t at, const struct store_super *super,
                       struct hg_err *err)
{
    struct store_super_disk *disk = aligned_alloc(HG_BLOCK, sizeof *disk);
    int rc;

    if (disk == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory", dev->name);
    store_super_put(disk, super);
    rc = hg_bdev_sync(dev, HG_BDEV_WRITE, at, hg_iov_of(disk, sizeof *disk), err);
    if (rc == 0)
        rc = hg_bdev_sync(dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), err);
    free(disk);
    return rc;
}

static int format_device(struct hg_bdev *dev, const struct store_super *super, struct hg_err *err)
{
    int rc = store_cat_format(dev, super->pool_uuid, err);

    if (rc == 0)
        rc = write_super(dev, STORE_SUPER_A, super, err);
    if (rc == 0)
        rc = write_super(dev, STORE_SUPER_B, super, err);
    return rc;
}

static uint32_t segments_of(uint64_t device_size, uint64_t data_start, uint32_t chunk)
{
    uint64_t n = device_size <= data_start ? 0 : (device_size - data_start) / chunk;

    return n < STORE_SEGMENTS_MAX ? (uint32_t)n : STORE_SEGMENTS_MAX;
}

static int plan_format(struct hg_bdev **devs, unsigned n, bool force, struct store_super *super,
                       struct hg_err *err)
{
    super->n_segments = STORE_SEGMENTS_MAX;
    for (unsigned i = 0; i < n; i++) {
        uint32_t segments = segments_of(devs[i]->size, super->data_start, super->chunk);
        int rc;

        if (segments < STORE_SEGMENTS_MIN)
            return hg_fail(err, -ENOSPC,
                           "device %s is too small: %llu bytes, at least %llu are needed",
                           devs[i]->name, (unsigned long long)devs[i]->size,
                           (unsigned long long)(STORE_DATA_START +
                                                (uint64_t)STORE_SEGMENTS_MIN * super->chunk));
        if (segments < super->n_segments)
            super->n_segments = segments;
        for (unsigned k = 0; k < i; k++)
            if (devs[k] == devs[i])
                return hg_fail(err, -EINVAL, "device %s is given twice", devs[i]->name);
        rc = force ? 0 : check_unused(devs[i], err);
        if (rc == 0)
            rc = new_uuid(super->uuids[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int hg_pool_format(struct hg_bdev **devs, unsigned n, const struct hg_pool_geometry *geometry,
                   bool force, struct hg_err *err)
{
    struct store_super super = {.n_devices = n,
                                .stripe_unit = geometry->stripe_unit,
                                .chunk = geometry->chunk,
                                .data_start = STORE_DATA_START,
                                .generation = 1};
    int rc;

    if (n < 2 || n > HG_POOL_DEVICES_MAX)
        return hg_fail(err, -EINVAL, "a pool has 2 to %u devices, %u were given",
                       HG_POOL_DEVICES_MAX, n);
    if (!geometry_ok(n, geometry->stripe_unit, geometry->chunk))
        return hg_fail(err, -EINVAL,
                       "stripe unit %u and chunk %u do not fit: the stripe unit is a power of two "
                       "from 4 KiB to 1 MiB, the chunk a multiple of it up to 1 GiB, and %u chunks "
                       "hold more than 1 MiB",
                       geometry->stripe_unit, geometry->chunk, n);
    rc = new_uuid(super.pool_uuid, err);
    if (rc == 0)
        rc = plan_format(devs, n, force, &super, err);
    super.device_size = super.data_start + (uint64_t)super.n_segments * super.chunk;
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        super.device_index = i;
        memcpy(super.device_uuid, super.uuids[i], STORE_UUID_LEN);
        rc = format_device(devs[i], &super, err);
    }
    return rc;
}

/* ---- open ---- */

struct found {
    struct store_super super;
    bool stale; /* one of the copies is not the newest */
};

static int no_super(const struct hg_bdev *dev, enum store_super_verdict verdict, struct hg_err *err)
{
    switch (verdict) {
    case SUPER_DAMAGED:
        return hg_fail(err, -EBADMSG, "device %s: both superblocks are damaged", dev->name);
    case SUPER_NEWER:
        return hg_fail(err, -EOPNOTSUPP,
                       "device %s was written in a newer format than %u; upgrade headgate",
                       dev->name, STORE_VERSION);
    case SUPER_ABSURD:
        return hg_fail(err, -EBADMSG, "device %s: the superblock's numbers are impossible",
                       dev->name);
    default:
        return hg_fail(err, -ENODEV,
                       "device %s holds no headgate superblock: it is blank, or not the device "
                       "that belongs here",
                       dev->name);
    }
}

static int find_super(struct hg_bdev *dev, struct found *found, struct hg_err *err)
{
    struct store_super b;
    enum store_super_verdict va, vb;
    int rc;
    uint8_t *buf;

    if (dev->size < PROBE_BYTES)
        return no_super(dev, SUPER_ABSENT, err);
    buf = probe(dev, err, &rc);
    if (buf == NULL)
        return rc;
    va = store_super_get((struct store_super_disk *)(buf + STORE_SUPER_A), &found->super);
    vb = store_super_get((struct store_super_disk *)(buf + STORE_SUPER_B), &b);
    free(buf);
    if (va == SUPER_NEWER || vb == SUPER_NEWER)
        return no_super(dev, SUPER_NEWER, err);
    if (va != SUPER_OK && vb != SUPER_OK)
        return no_super(dev, va != SUPER_ABSENT ? va : vb, err);
    found->stale = va != SUPER_OK || vb != SUPER_OK || b.generation != found->super.generation;
    if (va != SUPER_OK || (vb == SUPER_OK && b.generation > found->super.generation))
        found->super = b;
    return 0;
}

/* The device whose superblock speaks for the pool: of the pool most of them belong to, the one
 * with the highest generation. */
static const struct store_super *authority(const struct found *found, unsigned n)
{
    const struct store_super *best = NULL;
    unsigned best_votes = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct store_super *s = &found[i].super;
        unsigned votes = 0;

        for (unsigned k = 0; k < n; k++)
            votes += memcmp(s->pool_uuid, found[k].super.pool_uuid, STORE_UUID_LEN) == 0;
        if (votes > best_votes || (votes == best_votes && best != NULL &&
                                   memcmp(s->pool_uuid, best->pool_uuid, STORE_UUID_LEN) == 0 &&
                                   s->generation > best->generation)) {
            best = s;
            best_votes = votes;
        }
    }
    return best;
}

static int check_member(struct hg_bdev **devs, const struct found *found, unsigned i,
                        const struct store_super *pool, struct hg_err *err)
{
    const struct store_super *s = &found[i].super;
    char text[37];

    store_uuid_text(s->pool_uuid, text);
    if (memcmp(s->pool_uuid, pool->pool_uuid, STORE_UUID_LEN) != 0)
        return hg_fail(err, -EXDEV, "device %s belongs to another pool, %s", devs[i]->name, text);
    for (unsigned k = 0; k < i; k++)
        if (memcmp(s->device_uuid, found[k].super.device_uuid, STORE_UUID_LEN) == 0)
            return hg_fail(err, -ENOTUNIQ, "device %s is the same as, or a copy of, device %s",
                           devs[i]->name, devs[k]->name);
    if (s->n_devices != pool->n_devices || s->stripe_unit != pool->stripe_unit ||
        s->chunk != pool->chunk || s->data_start != pool->data_start ||
        memcmp(s->uuids, pool->uuids, sizeof s->uuids) != 0)
        return hg_fail(err, -EBADMSG, "device %s describes the pool differently from the others",
                       devs[i]->name);
    if (devs[i]->size < pool->device_size)
        return hg_fail(err, -ENOSPC, "device %s is too small: %llu bytes, the pool uses %llu",
                       devs[i]->name, (unsigned long long)devs[i]->size,
                       (unsigned long long)pool->device_size);
    return 0;
}

static int name_missing(const struct found *found, unsigned n, const struct store_super *pool,
                        struct hg_err *err)
{
    for (unsigned i = 0; i < pool->n_devices; i++) {
        bool present = false;
        char text[37];

        for (unsigned k = 0; k < n; k++)
            present |= found[k].super.device_index == i;
        store_uuid_text(pool->uuids[i], text);
        if (!present)
            return hg_fail(err, -ENXIO,
                           "the device with index %u, uuid %s, is missing: the pool has %u "
                           "devices, %u were given",
                           i, text, pool->n_devices, n);
    }
    return 0;
}

static int check_set(struct hg_bdev **devs, const struct found *found, unsigned n,
                     const struct store_super *pool, struct hg_err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = check_member(devs, found, i, pool, err);
    if (rc == 0)
        rc = name_missing(found, n, pool, err);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        if (found[i].super.device_index != i)
            rc = hg_fail(err, -EINVAL,
                         "device %s is given in place %u but has index %u; give the devices in "
                         "their order",
                         devs[i]->name, i, found[i].super.device_index);
    return rc;
}

/* Superblock of device i as the pool is now. */
static void super_of(const struct hg_pool *pool, unsigned i, uint32_t n_segments,
                     struct store_super *super)
{
    *super = (struct store_super){.device_index = i,
                                  .n_devices = pool->geo.n_dev,
                                  .generation = pool->super_gen,
                                  .device_size =
                                      pool->geo.data_start + (uint64_t)n_segments * pool->geo.chunk,
                                  .data_start = pool->geo.data_start,
                                  .stripe_unit = pool->geo.stripe_unit,
                                  .chunk = pool->geo.chunk,
                                  .n_segments = n_segments};
    memcpy(super->pool_uuid, pool->uuid, STORE_UUID_LEN);
    memcpy(super->device_uuid, pool->dev_uuid[i], STORE_UUID_LEN);
    memcpy(super->uuids, pool->dev_uuid, sizeof super->uuids);
}

static int rewrite_supers(struct hg_pool *pool, uint32_t n_segments, struct hg_err *err)
{
    static const uint64_t copies[] = {STORE_SUPER_A, STORE_SUPER_B};
    int rc = 0;

    for (unsigned c = 0; c < 2; c++) {
        for (unsigned i = 0; rc == 0 && i < pool->geo.n_dev; i++) {
            struct store_super super;

            super_of(pool, i, n_segments, &super);
            rc = write_super(pool->devs[i], copies[c], &super, err);
        }
    }
    return rc;
}

static int adopt(struct hg_pool *pool, const struct found *found, unsigned n,
                 const struct store_super *super, struct hg_err *err)
{
    bool stale = false;

    pool->geo = (struct store_geo){.n_dev = n,
                                   .stripe_unit = super->stripe_unit,
                                   .chunk = super->chunk,
                                   .seg_blocks = (uint32_t)((uint64_t)super->chunk * n / HG_BLOCK),
                                   .data_start = super->data_start};
    memcpy(pool->uuid, super->pool_uuid, STORE_UUID_LEN);
    memcpy(pool->dev_uuid, super->uuids, sizeof super->uuids);
    pool->super_gen = super->generation;
    atomic_store(&pool->n_segments, super->n_segments);
    for (unsigned i = 0; i < n; i++)
        stale |= found[i].stale || found[i].super.generation != super->generation;
    if (!stale)
        return 0;
    hg_log(HG_LOG_WARN, STORE_AREA,
           "a superblock was damaged or out of date; all of them are rewritten");
    return rewrite_supers(pool, super->n_segments, err);
}

int store_super_open(struct hg_pool *pool, unsigned n, struct hg_err *err)
{
    struct found *found = calloc(n, sizeof *found);
    const struct store_super *super;
    int rc = 0;

    if (found == NULL)
        return hg_fail(err, -ENOMEM, "no memory for the superblocks");
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = find_super(pool->devs[i], &found[i], err);
    if (rc == 0) {
        super = authority(found, n);
        rc = check_set(pool->devs, found, n, super, err);
        if (rc == 0)
            rc = adopt(pool, found, n, super, err);
    }
    free(found);
    return rc;
}

/* ---- grow ---- */

static int grow_locked(struct hg_pool *pool, uint64_t *added, struct hg_err *err)
{
    uint32_t old = atomic_load(&pool->n_segments);
    uint32_t n = STORE_SEGMENTS_MAX;
    int rc;

    for (unsigned i = 0; i < pool->geo.n_dev; i++) {
        struct hg_bdev *dev = pool->devs[i];
        uint32_t fit;

        rc = hg_bdev_resize(dev);
        if (rc != 0)
            return hg_fail(err, rc, "device %s: cannot learn its size: %s", dev->name,
                           strerror(-rc));
        fit = segments_of(dev->size, pool->geo.data_start, pool->geo.chunk);
        if (fit < n)
            n = fit;
    }
    if (n <= old)
        return 0;
    pool->super_gen++;
    rc = rewrite_supers(pool, n, err);
    if (rc != 0)
        return rc;
    for (uint32_t seg = old; seg < n; seg++) {
        atomic_store(&pool->segs[seg].first_stamp, UINT64_MAX);
        atomic_store(&pool->segs[seg].state, SEG_FREE);
    }
    atomic_store(&pool->n_segments, n);
    for (uint32_t seg = old; seg < n; seg++)
        store_seg_push(pool, &pool->free_segs, seg);
    atomic_store(&pool->full, false);
    atomic_fetch_add(&pool->space_events, 1);
    *added = (uint64_t)(n - old) * pool->geo.chunk * pool->geo.n_dev;
    return 0;
}

int hg_pool_grow(struct hg_pool *pool, uint64_t *added, struct hg_err *err)
{
    int rc;

    *added = 0;
    if (atomic_exchange(&pool->super_busy, true))
        return hg_fail(err, -EBUSY, "the pool is being grown already");
    rc = grow_locked(pool, added, err);
    atomic_store(&pool->super_busy, false);
    return rc;
}
