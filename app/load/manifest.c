/* SPDX-License-Identifier: BSD-3-Clause */
#include "manifest.h"
#include <errno.h>
#include <headgate/codec.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANGE_BLOCKS 256u /* blocks in one line at most: 1 MiB */

enum { UNKNOWN = 0, DURABLE = 1, DOUBT = 2 }; /* DURABLE | DOUBT: durable, and rewritten since */

struct manifest_volume {
    const char *name;
    uint64_t size;
    uint64_t blocks;
    uint32_t *crc;  /* per block */
    uint8_t *state; /* per block */
    uint32_t zero_crc;
};

int manifest_volume_create(const char *name, uint64_t size, struct manifest_volume **out,
                           struct hg_err *err)
{
    static const uint8_t zeros[HG_BLOCK];
    struct manifest_volume *mv;

    if (size > MANIFEST_SIZE_MAX)
        return hg_fail(err, -EFBIG, "--verify-manifest: volume %s is larger than 2 TiB", name);
    mv = calloc(1, sizeof *mv);
    if (mv == NULL)
        return hg_fail(err, -ENOMEM, "--verify-manifest: out of memory");
    mv->name = name;
    mv->size = size;
    mv->blocks = (size + HG_BLOCK - 1) / HG_BLOCK;
    mv->zero_crc = hg_crc32c(zeros, sizeof zeros);
    mv->crc = calloc(mv->blocks, sizeof *mv->crc);
    mv->state = calloc(mv->blocks, 1);
    if (mv->crc == NULL || mv->state == NULL) {
        manifest_volume_destroy(mv);
        return hg_fail(err, -ENOMEM, "--verify-manifest: out of memory for volume %s", name);
    }
    *out = mv;
    return 0;
}

void manifest_volume_destroy(struct manifest_volume *mv)
{
    if (mv == NULL)
        return;
    free(mv->crc);
    free(mv->state);
    free(mv);
}

void manifest_data(struct manifest_volume *mv, uint64_t offset, uint32_t len, const uint8_t *raw)
{
    uint64_t first = offset / HG_BLOCK;

    hg_crc32c_blocks(raw, len, &mv->crc[first]);
    memset(&mv->state[first], DURABLE, (len + HG_BLOCK - 1) / HG_BLOCK);
}

void manifest_zero(struct manifest_volume *mv, uint64_t offset, uint64_t len)
{
    uint64_t first = offset / HG_BLOCK;
    uint64_t n = (len + HG_BLOCK - 1) / HG_BLOCK;

    for (uint64_t i = first; i < first + n; i++)
        mv->crc[i] = mv->zero_crc;
    memset(&mv->state[first], DURABLE, n);
}

void manifest_begin(const struct manifest_volume *mv, FILE *file)
{
    fprintf(file, "volume %s %" PRIu64 "\n", mv->name, mv->size);
}

static void put_line(FILE *file, const char *what, uint64_t block, uint64_t n, uint32_t crc)
{
    fprintf(file, "%s %" PRIu64 " %" PRIu64 " %08" PRIx32 "\n", what, block * HG_BLOCK,
            n * HG_BLOCK, crc);
}

void manifest_doubt(struct manifest_volume *mv, uint64_t offset, uint64_t len, const uint8_t *raw,
                    FILE *file)
{
    for (uint64_t at = 0; at < len; at += HG_BLOCK) {
        uint64_t block = (offset + at) / HG_BLOCK;
        uint32_t crc = mv->zero_crc;

        if (raw != NULL)
            hg_crc32c_blocks(raw + at, len - at < HG_BLOCK ? (uint32_t)(len - at) : HG_BLOCK, &crc);
        put_line(file, "doubt", block, 1, crc);
        if (mv->state[block] == DURABLE)
            put_line(file, "before", block, 1, mv->crc[block]);
        mv->state[block] |= DOUBT;
    }
}

void manifest_end(const struct manifest_volume *mv, FILE *file)
{
    uint64_t i = 0;

    while (i < mv->blocks) {
        uint64_t n = 0;
        uint32_t crc = 0;

        for (; n < RANGE_BLOCKS && i + n < mv->blocks && mv->state[i + n] == DURABLE; n++)
            crc = hg_crc32c_combine(crc, mv->crc[i + n], HG_BLOCK);
        if (n != 0)
            put_line(file, "durable", i, n, crc);
        i += n == 0 ? 1 : n;
    }
}
