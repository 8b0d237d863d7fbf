/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log entry headers: building and reading them. Pure functions over one block; the reading side
 * takes bytes from outside and checks everything that can be checked without the catalogue.
 */
#ifndef LIB_STORE_STORE_RECORD_H
#define LIB_STORE_STORE_RECORD_H

#include "store_format.h"

#define STORE_SEQ_MAX ((uint64_t)1 << 62) /* bound of bseq, stamp and generations on media */

/* A header in host integers. */
struct store_log {
    uint64_t seg_gen, bseq, stamp, durable;
    uint32_t segment, seg_block, n_data, n_records, rec_bytes, incarnation;
    uint16_t shard;
    uint8_t stream;
};

/* A record in host integers. */
struct store_rec {
    enum store_rec_type type;
    uint8_t flags;
    uint32_t volume;
    uint64_t seq;
    uint64_t block; /* DATA, ZERO */
    uint64_t n;     /* DATA: 1..256, ZERO: >= 1 */
    uint64_t epoch; /* EPOCH, MARK */
    uint32_t data;  /* DATA: where its data starts, in blocks after the header */
    const hg_le32 *crc;
};

/* Walks the records of a header that store_log_parse() accepted. */
struct store_rec_iter {
    const struct store_log_disk *disk;
    uint32_t at, end; /* bytes in disk->records */
    uint32_t data;    /* data blocks passed */
};

/* Bytes a record takes in a header; n: blocks of a DATA record. */
uint32_t store_rec_size(enum store_rec_type type, uint32_t n);

/* Appends rec to the header at byte *at of its records; crc: of a DATA record. Moves *at on. */
void store_rec_put(struct store_log_disk *disk, uint32_t *at, const struct store_rec *rec,
                   const uint32_t *crc);

/* Fills in everything but the records, and the CRC. Bytes after the records become zeros. */
void store_log_put(struct store_log_disk *disk, const struct store_log *log,
                   const uint8_t *pool_uuid);

/* True when the block is a sound header of this pool: magic, CRC, UUID, and every record whole,
 * within its bounds, and their data blocks n_data together. Says nothing about the place. */
bool store_log_parse(const struct store_log_disk *disk, const uint8_t *pool_uuid,
                     struct store_log *log);

void store_rec_iter(struct store_rec_iter *it, const struct store_log_disk *disk,
                    const struct store_log *log);
/* The next record, or false at the end (or at a record that is not whole). */
bool store_rec_next(struct store_rec_iter *it, struct store_rec *rec);

/* True unless the record names blocks beyond those of a volume of that size. */
static inline bool store_rec_in(const struct store_rec *rec, uint64_t volume_blocks)
{
    if (rec->type != STORE_REC_DATA && rec->type != STORE_REC_ZERO)
        return true;
    return rec->block <= volume_blocks && rec->n <= volume_blocks - rec->block;
}

#endif /* LIB_STORE_STORE_RECORD_H */
