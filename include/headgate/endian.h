/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wire integers that the compiler keeps apart from host integers.
 *
 * Each type is a struct around raw bytes: assigning one to a host integer, or a little-endian one
 * to a big-endian one, does not compile. Alignment is 1, so wire structs need no packing pragma
 * and may be laid over any byte of a buffer. Conversions happen only at the edge, with
 * hg_XX_get() and hg_XX_put(). Pure functions; any thread.
 */
#ifndef HEADGATE_ENDIAN_H
#define HEADGATE_ENDIAN_H

#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t b[2];
} hg_be16;
typedef struct {
    uint8_t b[4];
} hg_be32;
typedef struct {
    uint8_t b[8];
} hg_be64;
typedef struct {
    uint8_t b[2];
} hg_le16;
typedef struct {
    uint8_t b[4];
} hg_le32;
typedef struct {
    uint8_t b[8];
} hg_le64;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hosts are little-endian");

static inline uint16_t hg_le16_get(hg_le16 v)
{
    uint16_t h;
    memcpy(&h, v.b, sizeof h);
    return h;
}

static inline uint32_t hg_le32_get(hg_le32 v)
{
    uint32_t h;
    memcpy(&h, v.b, sizeof h);
    return h;
}

static inline uint64_t hg_le64_get(hg_le64 v)
{
    uint64_t h;
    memcpy(&h, v.b, sizeof h);
    return h;
}

static inline hg_le16 hg_le16_put(uint16_t h)
{
    hg_le16 v;
    memcpy(v.b, &h, sizeof h);
    return v;
}

static inline hg_le32 hg_le32_put(uint32_t h)
{
    hg_le32 v;
    memcpy(v.b, &h, sizeof h);
    return v;
}

static inline hg_le64 hg_le64_put(uint64_t h)
{
    hg_le64 v;
    memcpy(v.b, &h, sizeof h);
    return v;
}

static inline uint16_t hg_be16_get(hg_be16 v)
{
    uint16_t h;
    memcpy(&h, v.b, sizeof h);
    return __builtin_bswap16(h);
}

static inline uint32_t hg_be32_get(hg_be32 v)
{
    uint32_t h;
    memcpy(&h, v.b, sizeof h);
    return __builtin_bswap32(h);
}

static inline uint64_t hg_be64_get(hg_be64 v)
{
    uint64_t h;
    memcpy(&h, v.b, sizeof h);
    return __builtin_bswap64(h);
}

static inline hg_be16 hg_be16_put(uint16_t h)
{
    hg_be16 v;
    h = __builtin_bswap16(h);
    memcpy(v.b, &h, sizeof h);
    return v;
}

static inline hg_be32 hg_be32_put(uint32_t h)
{
    hg_be32 v;
    h = __builtin_bswap32(h);
    memcpy(v.b, &h, sizeof h);
    return v;
}

static inline hg_be64 hg_be64_put(uint64_t h)
{
    hg_be64 v;
    h = __builtin_bswap64(h);
    memcpy(v.b, &h, sizeof h);
    return v;
}

#endif /* HEADGATE_ENDIAN_H */
