/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload codecs and CRC32C. Every payload is compressed on its own, so no state lives longer than
 * a call. Pure functions over caller's memory plus one scratch state per shard; no allocation.
 */
#ifndef HEADGATE_CODEC_H
#define HEADGATE_CODEC_H

#include <headgate/arena.h>
#include <headgate/base.h>

enum hg_codec {
    HG_CODEC_STORED = 0,
    HG_CODEC_DEFLATE = 1, /* raw deflate, RFC 1951 */
};

/* Largest expansion a codec can reach; a frame that claims more is refused before inflating.
 * Deflate: 258 bytes from 2 bits, i.e. < 1032 : 1, rounded up. */
#define HG_DEFLATE_RATIO_MAX 1032u

/* Scratch of one shard: ISA-L inflate state (about 85 KiB). */
struct hg_inflate;
int hg_inflate_create(struct hg_inflate **out);
void hg_inflate_destroy(struct hg_inflate *inf);

/* Inflates src into exactly dst_len bytes at dst (nothing is written beyond). 0; -EBADMSG when the
 * stream is malformed; -ENODATA when it ends early or yields less than dst_len; -EOVERFLOW when it
 * holds more than dst_len; -E2BIG when input bytes are left over after the stream's end. */
int hg_inflate(struct hg_inflate *inf, uint8_t *dst, uint32_t dst_len, const uint8_t *src,
               uint32_t src_len);

/* CRC32C (Castagnoli, reflected, initial value and final xor all ones: RFC 3720 B.4). */
uint32_t hg_crc32c(const void *data, size_t len);
/* As if data followed what `crc` covers. hg_crc32c(d, n) == hg_crc32c_extend(0, d, n). */
uint32_t hg_crc32c_extend(uint32_t crc, const void *data, size_t len);

/* One pass over len bytes (a multiple of HG_BLOCK, or less at a volume's end): crc[i] gets the
 * CRC32C of block i, and the return value is the CRC32C of all, combined from them. So the source's
 * CRC proves the per-block CRCs that are stored. A last partial block is covered as if padded with
 * zeros to HG_BLOCK in crc[], and unpadded in the return value. */
uint32_t hg_crc32c_blocks(const uint8_t *data, uint32_t len, uint32_t *crc);

/* CRC32C of A||B from those of A and B; len_b in bytes. */
uint32_t hg_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

/* Source side. Compresses src into dst; returns bytes, or 0 when it would not be smaller than
 * src_len (send it stored). Not for shards: scratch is caller's, HG_DEFLATE_SCRATCH bytes. */
#define HG_DEFLATE_SCRATCH (512u * 1024u)
uint32_t hg_deflate(uint8_t *dst, uint32_t dst_cap, const uint8_t *src, uint32_t src_len,
                    void *scratch);

#endif /* HEADGATE_CODEC_H */
