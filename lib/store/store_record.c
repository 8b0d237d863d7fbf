/* SPDX-License-Identifier: BSD-3-Clause */
#include "store_record.h"
#include <assert.h>
#include <headgate/codec.h>
#include <string.h>

#define DATA_BLOCKS_MAX (HG_EXTENT_MAX / HG_BLOCK)

uint32_t store_rec_size(enum store_rec_type type, uint32_t n)
{
    switch (type) {
    case STORE_REC_DATA:
        return (uint32_t)(sizeof(struct store_data_disk) + n * sizeof(hg_le32));
    case STORE_REC_ZERO:
        return sizeof(struct store_zero_disk);
    case STORE_REC_EPOCH:
    case STORE_REC_MARK:
        return sizeof(struct store_epoch_disk);
    case STORE_REC_UPTO:
        return sizeof(struct store_rec_disk);
    }
    return 0;
}

static void put_data(struct store_data_disk *d, const struct store_rec *rec, const uint32_t *crc)
{
    d->block = hg_le64_put(rec->block);
    d->n = hg_le32_put((uint32_t)rec->n);
    for (uint32_t i = 0; i < rec->n; i++)
        d->crc[i] = hg_le32_put(crc[i]);
}

void store_rec_put(struct store_log_disk *disk, uint32_t *at, const struct store_rec *rec,
                   const uint32_t *crc)
{
    uint32_t len = store_rec_size(rec->type, (uint32_t)rec->n);
    uint8_t *to = disk->records + *at;
    struct store_rec_disk *head = (struct store_rec_disk *)to;

    assert(*at + len <= sizeof disk->records);
    head->type = (uint8_t)rec->type;
    head->flags = rec->flags;
    head->len = hg_le16_put((uint16_t)len);
    head->volume = hg_le32_put(rec->volume);
    head->seq = hg_le64_put(rec->seq);
    if (rec->type == STORE_REC_DATA) {
        put_data((struct store_data_disk *)to, rec, crc);
    } else if (rec->type == STORE_REC_ZERO) {
        ((struct store_zero_disk *)to)->block = hg_le64_put(rec->block);
        ((struct store_zero_disk *)to)->n = hg_le64_put(rec->n);
    } else if (rec->type != STORE_REC_UPTO) {
        ((struct store_epoch_disk *)to)->epoch = hg_le64_put(rec->epoch);
    }
    *at += len;
}

static uint32_t log_crc(const struct store_log_disk *disk)
{
    static const hg_le32 zero = {{0}};
    const uint8_t *bytes = (const uint8_t *)disk;
    size_t after = offsetof(struct store_log_disk, crc) + sizeof disk->crc;
    uint32_t crc = hg_crc32c(bytes, offsetof(struct store_log_disk, crc));

    crc = hg_crc32c_extend(crc, &zero, sizeof zero);
    return hg_crc32c_extend(crc, bytes + after, sizeof *disk - after);
}

void store_log_put(struct store_log_disk *disk, const struct store_log *log,
                   const uint8_t *pool_uuid)
{
    memset(disk->records + log->rec_bytes, 0, sizeof disk->records - log->rec_bytes);
    memset(disk->reserved, 0, sizeof disk->reserved);
    memcpy(disk->pool_uuid, pool_uuid, STORE_UUID_LEN);
    disk->magic = hg_le64_put(STORE_LOG_MAGIC);
    disk->n_records = hg_le32_put(log->n_records);
    disk->seg_gen = hg_le64_put(log->seg_gen);
    disk->segment = hg_le32_put(log->segment);
    disk->seg_block = hg_le32_put(log->seg_block);
    disk->n_data = hg_le32_put(log->n_data);
    disk->shard = hg_le16_put(log->shard);
    disk->stream = log->stream;
    disk->zero = 0;
    disk->incarnation = hg_le32_put(log->incarnation);
    disk->rec_bytes = hg_le32_put(log->rec_bytes);
    disk->bseq = hg_le64_put(log->bseq);
    disk->stamp = hg_le64_put(log->stamp);
    disk->durable = hg_le64_put(log->durable);
    disk->crc = hg_le32_put(log_crc(disk));
}

static void log_get(const struct store_log_disk *disk, struct store_log *log)
{
    log->n_records = hg_le32_get(disk->n_records);
    log->seg_gen = hg_le64_get(disk->seg_gen);
    log->segment = hg_le32_get(disk->segment);
    log->seg_block = hg_le32_get(disk->seg_block);
    log->n_data = hg_le32_get(disk->n_data);
    log->shard = hg_le16_get(disk->shard);
    log->stream = disk->stream;
    log->incarnation = hg_le32_get(disk->incarnation);
    log->rec_bytes = hg_le32_get(disk->rec_bytes);
    log->bseq = hg_le64_get(disk->bseq);
    log->stamp = hg_le64_get(disk->stamp);
    log->durable = hg_le64_get(disk->durable);
}

static bool records_sound(const struct store_log_disk *disk, const struct store_log *log)
{
    struct store_rec_iter it;
    struct store_rec rec;
    uint32_t n = 0;

    store_rec_iter(&it, disk, log);
    while (store_rec_next(&it, &rec))
        n++;
    return it.at == it.end && n == log->n_records && it.data == log->n_data;
}

bool store_log_parse(const struct store_log_disk *disk, const uint8_t *pool_uuid,
                     struct store_log *log)
{
    if (hg_le64_get(disk->magic) != STORE_LOG_MAGIC ||
        memcmp(disk->pool_uuid, pool_uuid, STORE_UUID_LEN) != 0 ||
        hg_le32_get(disk->crc) != log_crc(disk))
        return false;
    log_get(disk, log);
    if (log->rec_bytes > sizeof disk->records || log->shard >= HG_STORE_SHARDS_MAX ||
        log->stream > 1 || log->bseq == 0 || log->bseq > STORE_SEQ_MAX ||
        log->stamp > STORE_SEQ_MAX || log->durable >= log->bseq)
        return false;
    return records_sound(disk, log);
}

void store_rec_iter(struct store_rec_iter *it, const struct store_log_disk *disk,
                    const struct store_log *log)
{
    it->disk = disk;
    it->at = 0;
    it->end = log->rec_bytes;
    it->data = 0;
}

static bool get_data(const uint8_t *from, uint32_t len, struct store_rec *rec)
{
    const struct store_data_disk *d = (const struct store_data_disk *)from;

    if (len < sizeof *d)
        return false;
    rec->block = hg_le64_get(d->block);
    rec->n = hg_le32_get(d->n);
    rec->crc = d->crc;
    return rec->n >= 1 && rec->n <= DATA_BLOCKS_MAX &&
           len == store_rec_size(STORE_REC_DATA, (uint32_t)rec->n);
}

static bool get_zero(const uint8_t *from, uint32_t len, struct store_rec *rec)
{
    const struct store_zero_disk *z = (const struct store_zero_disk *)from;

    if (len != sizeof *z)
        return false;
    rec->block = hg_le64_get(z->block);
    rec->n = hg_le64_get(z->n);
    return rec->n >= 1;
}

static bool get_body(const uint8_t *from, uint32_t len, struct store_rec *rec)
{
    switch (rec->type) {
    case STORE_REC_DATA:
        return get_data(from, len, rec);
    case STORE_REC_ZERO:
        return get_zero(from, len, rec);
    case STORE_REC_EPOCH:
    case STORE_REC_MARK:
        rec->epoch = len == sizeof(struct store_epoch_disk)
                         ? hg_le64_get(((const struct store_epoch_disk *)from)->epoch)
                         : 0;
        return len == sizeof(struct store_epoch_disk);
    case STORE_REC_UPTO:
        return len == sizeof(struct store_rec_disk) && rec->volume < HG_STORE_SHARDS_MAX &&
               rec->seq <= STORE_SEQ_MAX;
    }
    return false;
}

bool store_rec_next(struct store_rec_iter *it, struct store_rec *rec)
{
    const uint8_t *from = it->disk->records + it->at;
    const struct store_rec_disk *head = (const struct store_rec_disk *)from;
    uint32_t len;

    if (it->end - it->at < sizeof *head)
        return false;
    len = hg_le16_get(head->len);
    if (len < sizeof *head || len > it->end - it->at)
        return false;
    *rec = (struct store_rec){.type = head->type,
                              .flags = head->flags,
                              .volume = hg_le32_get(head->volume),
                              .seq = hg_le64_get(head->seq),
                              .data = it->data};
    if (!get_body(from, len, rec))
        return false;
    if (rec->type == STORE_REC_DATA)
        it->data += (uint32_t)rec->n;
    it->at += len;
    return true;
}
