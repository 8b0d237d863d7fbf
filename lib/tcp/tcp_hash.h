/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keyed hashes over a connection's addresses. Pure functions.
 */
#ifndef HEADGATE_TCP_HASH_H
#define HEADGATE_TCP_HASH_H

#include <headgate/net.h>

/* SipHash-2-4 (Aumasson, Bernstein 2012) of len bytes: for numbers that outsiders see but must not
 * guess (RFC 6528). DPDK has no keyed hash of that strength. */
uint64_t tcp_siphash(const uint64_t key[2], const void *data, size_t len);

/* For the connection table: keyed so that outsiders cannot choose colliding addresses, but cheap
 * (three multiplications), since nobody outside sees the result. */
static inline uint32_t tcp_flow_hash(const uint64_t key[2], const struct hg_flow *flow)
{
    uint64_t w[4];
    uint32_t ports;

    _Static_assert(sizeof *flow == 36, "two addresses and two ports without padding");
    __builtin_memcpy(w, flow, sizeof w);
    __builtin_memcpy(&ports, (const char *)flow + sizeof w, sizeof ports);
    /* Each product folds 128 bits; the constants keep the all-zero words of IPv4 apart. */
    unsigned __int128 a = (unsigned __int128)(w[1] ^ key[0]) * (w[3] ^ key[1]);
    unsigned __int128 b = (unsigned __int128)(w[0] ^ key[1] ^ 0x9e3779b97f4a7c15u) *
                          (w[2] ^ key[0] ^ 0xc2b2ae3d27d4eb4fu);
    uint64_t h = (uint64_t)a ^ (uint64_t)(a >> 64) ^ (uint64_t)b ^ (uint64_t)(b >> 64);
    unsigned __int128 c =
        (unsigned __int128)(h ^ ports * 0x9e3779b97f4a7c15u) * ((key[0] ^ 0xa0761d6478bd642fu) | 1);

    return (uint32_t)((uint64_t)c >> 32) ^ (uint32_t)(c >> 64);
}

#endif /* HEADGATE_TCP_HASH_H */
