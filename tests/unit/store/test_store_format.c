/* SPDX-License-Identifier: BSD-3-Clause */
/* The on-disk structures: sizes, offsets, round trips, and refusal of everything damaged. */
#include "rig.h"
#include "store_record.h"
#include "store_super.h"
#include <headgate/codec.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t uuid[STORE_UUID_LEN] = "0123456789abcde";

/* docs/store.md gives these numbers; a change of the structs changes the format. */
static void test_layout(void)
{
    CU_ASSERT(offsetof(struct store_super_disk, crc) == 8);
    CU_ASSERT(offsetof(struct store_super_disk, pool_uuid) == 24);
    CU_ASSERT(offsetof(struct store_super_disk, device_index) == 56);
    CU_ASSERT(offsetof(struct store_super_disk, generation) == 64);
    CU_ASSERT(offsetof(struct store_super_disk, stripe_unit) == 88);
    CU_ASSERT(offsetof(struct store_super_disk, uuids) == 104);
    CU_ASSERT(offsetof(struct store_cat_disk, generation) == 32);
    CU_ASSERT(offsetof(struct store_cat_disk, base) == 48);
    CU_ASSERT(offsetof(struct store_vol_disk, name) == 16);
    CU_ASSERT(offsetof(struct store_log_disk, seg_gen) == 32);
    CU_ASSERT(offsetof(struct store_log_disk, shard) == 52);
    CU_ASSERT(offsetof(struct store_log_disk, incarnation) == 56);
    CU_ASSERT(offsetof(struct store_log_disk, bseq) == 64);
    CU_ASSERT(offsetof(struct store_log_disk, records) == 96);
    CU_ASSERT(STORE_CAT_AT(0) == 1u << 20 && STORE_CAT_AT(1) == 3u << 20);
    CU_ASSERT(memcmp(&(hg_le64){{'H', 'G', 'S', 'U', 'P', 'E', 'R', '1'}},
                     &(hg_le64[1]){hg_le64_put(STORE_SUPER_MAGIC)}, 8) == 0);
}

static struct store_super sample_super(void)
{
    struct store_super s = {.device_index = 1,
                            .n_devices = 3,
                            .generation = 7,
                            .device_size = STORE_DATA_START + 10 * (1u << 20),
                            .data_start = STORE_DATA_START,
                            .stripe_unit = 65536,
                            .chunk = 1u << 20,
                            .n_segments = 10};

    memcpy(s.pool_uuid, uuid, sizeof uuid);
    for (unsigned i = 0; i < 3; i++)
        memset(s.uuids[i], (int)i + 1, STORE_UUID_LEN);
    memcpy(s.device_uuid, s.uuids[1], STORE_UUID_LEN);
    return s;
}

static void test_super(void)
{
    struct store_super_disk *disk = malloc(sizeof *disk);
    struct store_super in = sample_super();
    struct store_super out = {0};
    struct store_super bad;

    CU_ASSERT_FATAL(disk != NULL);
    store_super_put(disk, &in);
    CU_ASSERT(store_super_get(disk, &out) == SUPER_OK);
    CU_ASSERT(memcmp(&in, &out, sizeof in) == 0);
    for (unsigned at = 0; at < sizeof *disk; at++) {
        ((uint8_t *)disk)[at] ^= 0x10;
        CU_ASSERT(store_super_get(disk, &out) == (at < 8 ? SUPER_ABSENT : SUPER_DAMAGED));
        ((uint8_t *)disk)[at] ^= 0x10;
    }
#define ABSURD(field, value)                                                                       \
    bad = in;                                                                                      \
    bad.field = (value);                                                                           \
    store_super_put(disk, &bad);                                                                   \
    CU_ASSERT(store_super_get(disk, &out) == SUPER_ABSURD)
    ABSURD(n_devices, 1);
    ABSURD(n_devices, HG_POOL_DEVICES_MAX + 1);
    ABSURD(device_index, 3);
    ABSURD(stripe_unit, 65535);
    ABSURD(stripe_unit, 2048);
    ABSURD(chunk, 65536 + 4096);
    ABSURD(chunk, 0);
    ABSURD(n_segments, 0);
    ABSURD(n_segments, 11);
    ABSURD(n_segments, UINT32_MAX);
    ABSURD(data_start, 0);
    ABSURD(device_size, in.device_size + 1);
    ABSURD(device_uuid[0], 99);
#undef ABSURD
    free(disk);
}

/* One of each record in a header. */
static struct store_log sample_log(struct store_log_disk *disk, const uint32_t *crc)
{
    static const struct store_rec recs[] = {
        {.type = STORE_REC_DATA, .volume = 5, .seq = 100, .block = 1234567, .n = 3},
        {.type = STORE_REC_ZERO, .volume = 6, .seq = 101, .block = 8, .n = (uint64_t)1 << 33},
        {.type = STORE_REC_EPOCH, .volume = 7, .seq = 102, .epoch = 55},
        {.type = STORE_REC_MARK, .volume = 8, .seq = 103, .epoch = 56},
        {.type = STORE_REC_UPTO, .volume = 63, .seq = 104},
        {.type = STORE_REC_DATA, .flags = STORE_REC_MOVED, .volume = 9, .block = 4, .n = 1},
    };
    struct store_log log = {.seg_gen = 3,
                            .bseq = 44,
                            .stamp = 45,
                            .durable = 43,
                            .segment = 2,
                            .seg_block = 17,
                            .n_data = 4,
                            .n_records = HG_ARRAY_LEN(recs),
                            .incarnation = 9,
                            .shard = 1,
                            .stream = 1};

    for (unsigned i = 0; i < HG_ARRAY_LEN(recs); i++)
        store_rec_put(disk, &log.rec_bytes, &recs[i], crc);
    store_log_put(disk, &log, uuid);
    return log;
}

static void test_log(void)
{
    static const uint32_t crc[] = {0x11111111, 0x22222222, 0x33333333};
    struct store_log_disk *disk = malloc(sizeof *disk);
    struct store_log in, out;
    struct store_rec_iter it;
    struct store_rec rec;

    CU_ASSERT_FATAL(disk != NULL);
    in = sample_log(disk, crc);
    CU_ASSERT_FATAL(store_log_parse(disk, uuid, &out));
    CU_ASSERT(in.seg_gen == out.seg_gen && in.bseq == out.bseq && in.stamp == out.stamp &&
              in.durable == out.durable && in.segment == out.segment &&
              in.seg_block == out.seg_block && in.incarnation == out.incarnation &&
              in.shard == out.shard && in.stream == out.stream);
    store_rec_iter(&it, disk, &out);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_DATA && rec.block == 1234567 &&
              rec.n == 3 && rec.data == 0 && hg_le32_get(rec.crc[2]) == crc[2]);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_ZERO &&
              rec.n == (uint64_t)1 << 33 && rec.seq == 101);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_EPOCH && rec.epoch == 55);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_MARK && rec.epoch == 56);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_UPTO && rec.volume == 63);
    CU_ASSERT(store_rec_next(&it, &rec) && rec.type == STORE_REC_DATA && rec.data == 3 &&
              rec.flags == STORE_REC_MOVED);
    CU_ASSERT_FALSE(store_rec_next(&it, &rec));
    for (unsigned at = 0; at < sizeof *disk; at++) {
        ((uint8_t *)disk)[at] ^= 0x01;
        CU_ASSERT_FALSE(store_log_parse(disk, uuid, &out));
        ((uint8_t *)disk)[at] ^= 0x01;
    }
    CU_ASSERT_FALSE(store_log_parse(disk, (const uint8_t *)"another pool uuid", &out));
    free(disk);
}

/* Headers with a right CRC and wrong contents. */
static void test_log_contents(void)
{
    static const uint32_t crc[3];
    struct store_log_disk *disk = malloc(sizeof *disk);
    struct store_log good, bad, out;

    CU_ASSERT_FATAL(disk != NULL);
    good = sample_log(disk, crc);
#define REFUSED(field, value)                                                                      \
    bad = good;                                                                                    \
    bad.field = (value);                                                                           \
    sample_log(disk, crc);                                                                         \
    store_log_put(disk, &bad, uuid);                                                               \
    CU_ASSERT_FALSE(store_log_parse(disk, uuid, &out))
    REFUSED(n_records, 5);
    REFUSED(n_records, 7);
    REFUSED(n_data, 3);
    REFUSED(n_data, 5);
    REFUSED(rec_bytes, good.rec_bytes - 1);
    REFUSED(rec_bytes, good.rec_bytes + 16);
    REFUSED(shard, HG_STORE_SHARDS_MAX);
    REFUSED(stream, 2);
    REFUSED(bseq, 0);
    REFUSED(bseq, UINT64_MAX);
    REFUSED(durable, good.bseq);
    REFUSED(stamp, UINT64_MAX);
#undef REFUSED
    sample_log(disk, crc);
    ((struct store_data_disk *)disk->records)->n = hg_le32_put(4);
    store_log_put(disk, &good, uuid);
    CU_ASSERT_FALSE(store_log_parse(disk, uuid, &out));
    sample_log(disk, crc);
    disk->records[0] = 77;
    store_log_put(disk, &good, uuid);
    CU_ASSERT_FALSE(store_log_parse(disk, uuid, &out));
    free(disk);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"layout", test_layout},
        {"superblock", test_super},
        {"log header", test_log},
        {"log header contents", test_log_contents},
    };

    return rig_main("store_format", tests, HG_ARRAY_LEN(tests));
}
