/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the node has acknowledged as durable, with the CRC32C of every 4 KiB block, so that a crash
 * test can compare it with an export. Text, one line per range:
 *
 *     volume NAME SIZE
 *     durable OFFSET LENGTH CRC32C       this range has exactly these bytes
 *     doubt OFFSET LENGTH CRC32C         sent, not acknowledged: the 4 KiB block has these bytes or
 *                                        those of another line for it, or is still unwritten if no
 *                                        durable or "before" line names it
 *     before OFFSET LENGTH CRC32C        durable content of a block in doubt
 *
 * Numbers are decimal bytes, the CRC is hexadecimal. Blocks are padded with zeros to 4 KiB at a
 * volume's end.
 */
#ifndef LOAD_MANIFEST_H
#define LOAD_MANIFEST_H

#include <headgate/base.h>
#include <stdbool.h>
#include <stdio.h>

struct manifest_volume;

#define MANIFEST_SIZE_MAX (UINT64_C(1) << 41) /* of one volume: 1 GiB of CRCs per TiB */

/* 0; -EFBIG, -ENOMEM with a sentence. */
int manifest_volume_create(const char *name, uint64_t size, struct manifest_volume **out,
                           struct hg_err *err);
void manifest_volume_destroy(struct manifest_volume *mv);

/* DATA at offset became durable. raw has len bytes; so below. */
void manifest_data(struct manifest_volume *mv, uint64_t offset, uint32_t len, const uint8_t *raw);
void manifest_zero(struct manifest_volume *mv, uint64_t offset, uint64_t len);
/* Was sent and never acknowledged; raw NULL: zeros. Only once everything durable was told. */
void manifest_doubt(struct manifest_volume *mv, uint64_t offset, uint64_t len, const uint8_t *raw,
                    FILE *file);
/* Writes the head line; then come the doubts, then the durable ranges. */
void manifest_begin(const struct manifest_volume *mv, FILE *file);
void manifest_end(const struct manifest_volume *mv, FILE *file);

#endif /* LOAD_MANIFEST_H */
