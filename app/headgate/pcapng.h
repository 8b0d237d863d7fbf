/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blocks of a capture file (draft-ietf-opsawg-pcapng), written into memory. One section, one interface,
 * times in nanoseconds. DPDK has rte_pcapng, but its calls differ between 22.11 and 24.11.
 */
#ifndef HG_APP_PCAPNG_H
#define HG_APP_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that a block takes beside packet data and texts, at most. */
#define PCAPNG_BLOCK_MAX 128u
/* Longer texts are cut, bytes. */
#define PCAPNG_TEXT_MAX 2048u
/* Room that pcapng_begin() needs, bytes. */
#define PCAPNG_BEGIN_MAX (2 * PCAPNG_BLOCK_MAX + 4 * (PCAPNG_TEXT_MAX + 8))

struct pcapng_interface {
    const char *application; /* who wrote the file */
    const char *name;        /* of the interface */
    const char *description; /* "" for none */
    const char *filter;      /* libpcap's language; "" for none */
    uint8_t mac[6];
    uint32_t snaplen; /* bytes kept of a packet */
};

struct pcapng_packet {
    uint64_t time; /* ns since 1970 */
    const void *data;
    uint32_t captured, original; /* bytes at data; bytes the packet had */
    uint32_t queue;              /* of the port */
    bool out;                    /* we sent it */
};

struct pcapng_totals {
    uint64_t start, end; /* ns since 1970 */
    uint64_t received;   /* packets that the interface carried */
    uint64_t accepted;   /* of those, what the filter let through */
    uint64_t dropped;    /* of those, what is missing because the writer was too slow */
};

/* Each writes one or two whole blocks at `to`, which has room, and returns their length in bytes. */
size_t pcapng_begin(uint8_t *to, const struct pcapng_interface *interface);
size_t pcapng_packet(uint8_t *to, const struct pcapng_packet *packet);
size_t pcapng_end(uint8_t *to, const struct pcapng_totals *totals);

#endif /* HG_APP_PCAPNG_H */
