/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands on the devices, to the byte. docs/store.md explains it; this file decides it.
 * All integers are little-endian, all checksums CRC32C over the structure with its own crc field
 * zero.
 *
 * A device:
 *
 *      0           superblock A                    4 KiB
 *      64 KiB      superblock B                    4 KiB
 *      1 MiB       catalogue copy 0                header + entries, at most 2 MiB
 *      3 MiB       catalogue copy 1
 *      data_start  chunk 0, chunk 1, ...           segment i is chunk i of every device
 *
 * A segment is a chain of log entries from its offset 0: one header block, then its data blocks.
 * The first header that does not fit ends the chain.
 */
#ifndef LIB_STORE_STORE_FORMAT_H
#define LIB_STORE_STORE_FORMAT_H

#include <headgate/arena.h>
#include <headgate/endian.h>
#include <headgate/store.h>

#define STORE_VERSION 1u
#define STORE_UUID_LEN 16u

#define STORE_SUPER_MAGIC 0x3152455055534748u /* "HGSUPER1" */
#define STORE_CAT_MAGIC 0x3147544143474840u   /* "@HGCATG1" */
#define STORE_LOG_MAGIC 0x3130474f4c474840u   /* "@HGLOG01" */

#define STORE_SUPER_A 0u
#define STORE_SUPER_B 65536u
#define STORE_CAT_AT(copy) (((uint64_t)1 + 2 * (copy)) << 20)
#define STORE_DATA_START ((uint64_t)5 << 20)

struct store_super_disk {
    hg_le64 magic;
    hg_le32 crc; /* of the 4096 bytes */
    hg_le32 version;
    hg_le64 features; /* unknown bits: refuse to open */
    uint8_t pool_uuid[STORE_UUID_LEN];
    uint8_t device_uuid[STORE_UUID_LEN];
    hg_le32 device_index;
    hg_le32 n_devices;
    hg_le64 generation;  /* raised by every rewrite; the highest valid one counts */
    hg_le64 device_size; /* bytes of the device in use */
    hg_le64 data_start;  /* bytes */
    hg_le32 stripe_unit; /* bytes */
    hg_le32 chunk;       /* bytes */
    hg_le32 n_segments;
    hg_le32 zero;
    uint8_t uuids[HG_POOL_DEVICES_MAX][STORE_UUID_LEN]; /* of all devices, in order */
    uint8_t reserved[3480];
};
_Static_assert(sizeof(struct store_super_disk) == HG_BLOCK, "superblock is one block");

struct store_cat_disk {
    hg_le64 magic;
    hg_le32 crc;         /* of this block */
    hg_le32 entries_crc; /* of n_volumes entries */
    uint8_t pool_uuid[STORE_UUID_LEN];
    hg_le64 generation;  /* the highest valid copy counts */
    hg_le32 incarnation; /* raised by every open, before anything is appended */
    hg_le32 n_volumes;
    /* Per shard: every log entry up to this batch sequence was accepted by the last open. */
    hg_le64 base[HG_STORE_SHARDS_MAX];
    uint8_t reserved[3536];
};
_Static_assert(sizeof(struct store_cat_disk) == HG_BLOCK, "catalogue header is one block");

struct store_vol_disk {
    hg_le32 id; /* equal to the entry's index */
    hg_le32 zero;
    hg_le64 size; /* bytes */
    char name[HG_VOLUME_NAME_MAX];
};
_Static_assert(sizeof(struct store_vol_disk) == 272, "catalogue entry");

#define STORE_CAT_BYTES                                                                            \
    (HG_BLOCK +                                                                                    \
     (HG_VOLUMES_MAX * sizeof(struct store_vol_disk) + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK)
_Static_assert(STORE_CAT_BYTES <= (2u << 20), "a catalogue copy fits its place");

struct store_log_disk {
    hg_le64 magic;
    hg_le32 crc; /* of the header block */
    hg_le32 n_records;
    uint8_t pool_uuid[STORE_UUID_LEN];
    hg_le64 seg_gen;   /* which opening of the segment; the same in the whole chain */
    hg_le32 segment;   /* where this block is ... */
    hg_le32 seg_block; /* ... in blocks from the segment's start */
    hg_le32 n_data;    /* data blocks that follow */
    hg_le16 shard;     /* who wrote it */
    uint8_t stream;    /* enum store_stream */
    uint8_t zero;
    hg_le32 incarnation; /* of the open it was written in; never falls along a chain */
    hg_le32 rec_bytes;   /* bytes of records */
    hg_le64 bseq;        /* batch sequence, contiguous per shard */
    hg_le64 stamp;       /* Lamport clock: orders the batches of all shards */
    hg_le64 durable;     /* this shard's highest durable bseq when it was written */
    uint8_t reserved[8];
    uint8_t records[4000];
};
_Static_assert(sizeof(struct store_log_disk) == HG_BLOCK, "log header is one block");
_Static_assert(offsetof(struct store_log_disk, records) == 96, "records start at 96");

enum store_rec_type {
    STORE_REC_DATA = 1,  /* n blocks of the entry's data are the volume's blocks from `block` */
    STORE_REC_ZERO = 2,  /* n blocks from `block` read as zeros */
    STORE_REC_EPOCH = 3, /* an epoch closes */
    STORE_REC_MARK = 4,  /* state of a volume whose older records were cleaned away */
    STORE_REC_UPTO = 5,  /* a fact: shard `volume` was durable up to bseq `seq` */
};

#define STORE_REC_MOVED 1u   /* DATA: written by the cleaner; seq is 0 */
#define STORE_REC_BAD_CRC 2u /* DATA: did not match its CRC when moved, and must not now */

/* Start of every record. */
struct store_rec_disk {
    uint8_t type;
    uint8_t flags;
    hg_le16 len; /* bytes of the whole record */
    hg_le32 volume;
    hg_le64 seq;
};
_Static_assert(sizeof(struct store_rec_disk) == 16, "record head");

struct store_data_disk {
    struct store_rec_disk rec;
    hg_le64 block;
    hg_le32 n;
    hg_le32 crc[]; /* n */
};
_Static_assert(sizeof(struct store_data_disk) == 28, "DATA record");

struct store_zero_disk {
    struct store_rec_disk rec;
    hg_le64 block;
    hg_le64 n;
};
_Static_assert(sizeof(struct store_zero_disk) == 32, "ZERO record");

struct store_epoch_disk { /* EPOCH and MARK */
    struct store_rec_disk rec;
    hg_le64 epoch;
};
_Static_assert(sizeof(struct store_epoch_disk) == 24, "EPOCH and MARK records");

#endif /* LIB_STORE_STORE_FORMAT_H */
