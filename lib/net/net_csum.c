/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rte_raw_cksum() adds 16 bits at a time and relies on the compiler to widen that, which gcc does
 * not do at -O2; a full-sized segment then costs more than all other work on it. Ones' complement
 * sums do not care how wide the steps are (RFC 1071 2), so here they are 16 bytes of vector.
 */
#include "net_csum.h"
#include <string.h>

typedef uint64_t vec __attribute__((vector_size(16)));

/* Each 64-bit lane takes the halves of its words; 2^32 steps would be needed to overflow one. */
static uint64_t sum_vectors(const uint8_t *p, size_t vectors)
{
    vec low = {0, 0}, high = {0, 0};

    for (; vectors > 0; vectors--, p += sizeof(vec)) {
        vec v;

        memcpy(&v, p, sizeof v);
        low += v & 0xffffffff;
        high += v >> 32;
    }
    low += high;
    return low[0] + low[1];
}

uint64_t hg_csum_range(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t sum = sum_vectors(p, len / sizeof(vec));

    p += len & ~(sizeof(vec) - 1);
    len %= sizeof(vec);
    for (; len >= 2; len -= 2, p += 2) {
        uint16_t word;

        memcpy(&word, p, sizeof word);
        sum += word;
    }
    if (len != 0)
        sum += *p; /* the low byte of a little-endian word is the first */
    return sum;
}

uint64_t hg_csum_mbuf(const struct rte_mbuf *m, uint32_t offset)
{
    uint64_t sum = 0;
    bool odd = false; /* whether the next segment starts at an odd offset of the message */

    for (; m != NULL; m = m->next) {
        uint64_t part;

        if (offset >= m->data_len) {
            offset -= m->data_len;
            continue;
        }
        part = hg_csum_range(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset),
                             m->data_len - offset);
        /* RFC 1071 2(B): at an odd offset the sum comes with its bytes swapped. */
        sum += odd ? __builtin_bswap16(hg_csum_fold(part)) : part;
        odd ^= (m->data_len - offset) & 1;
        offset = 0;
    }
    return sum;
}
