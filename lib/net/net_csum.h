/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Internet checksum (RFC 1071) over byte ranges and mbuf chains.
 *
 * A running sum is 64 bits wide and unfolded; sums of ranges that start at an even offset of the
 * message may be added. Sums are in memory order, so they are folded and stored without swapping.
 * Pure functions.
 */
#ifndef LIB_NET_NET_CSUM_H
#define LIB_NET_NET_CSUM_H

#include <rte_mbuf.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

/* Sum of len bytes; an odd last byte is padded with zero. */
uint64_t hg_csum_range(const void *data, size_t len);

/* Sum of the packet from offset to its end, over all segments; offset <= pkt_len. */
uint64_t hg_csum_mbuf(const struct rte_mbuf *m, uint32_t offset);

/* Sum of the TCP pseudo-header (RFC 9293 3.1): addresses as on the wire, len in host order. */
static inline uint64_t hg_csum_pseudo(uint32_t src_be, uint32_t dst_be, uint8_t proto, uint16_t len)
{
    return (uint64_t)src_be + dst_be + (((uint32_t)proto) << 8) + __builtin_bswap16(len);
}

/* Folds to 16 bits; not complemented. 0xffff for a message with a right checksum in it. */
static inline uint16_t hg_csum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

#endif /* LIB_NET_NET_CSUM_H */
