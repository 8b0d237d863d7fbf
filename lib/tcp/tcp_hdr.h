/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP header and options on the wire (RFC 9293 3.1, 3.2; RFC 7323; RFC 2018). Pure functions on
 * bytes; any thread.
 */
#ifndef HEADGATE_TCP_HDR_H
#define HEADGATE_TCP_HDR_H

#include <stdbool.h>
#include <stdint.h>

#define TCP_HDR_LEN 20     /* bytes without options */
#define TCP_HDR_LEN_MAX 60 /* bytes with all option space in use */
#define TCP_SACK_BLOCKS 4  /* most blocks that fit in the option space */
#define TCP_WSCALE_MAX 14  /* RFC 7323 2.3 */

enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40, /* RFC 3168 */
    TCP_CWR = 0x80,
};

/* Which options a header has. */
enum {
    TCP_HAS_MSS = 0x01,
    TCP_HAS_WSCALE = 0x02,
    TCP_HAS_SACK_OK = 0x04,
    TCP_HAS_TS = 0x08,
    TCP_HAS_UTO = 0x10,
};

/* Bytes [lo, hi) of the sequence space. */
struct tcp_block {
    uint32_t lo, hi;
};

/* A header in host order. Option fields are valid only when `has` says so. */
struct tcp_hdr {
    uint32_t seq, ack;
    uint32_t ts_val, ts_ecr;
    uint16_t sport, dport;
    uint16_t wnd;   /* as on the wire: not scaled */
    uint16_t mss;   /* bytes */
    uint16_t uto;   /* RFC 5482 3: seconds, with bit 15 minutes */
    uint8_t flags;  /* TCP_FIN ... */
    uint8_t len;    /* header with options, bytes */
    uint8_t has;    /* TCP_HAS_* */
    uint8_t wscale; /* shift; at most TCP_WSCALE_MAX after parsing */
    uint8_t n_sack; /* blocks in sack[] */
    bool bsd_order; /* building: options as BSD orders them, else as Linux does */
    struct tcp_block sack[TCP_SACK_BLOCKS];
};

/* Reads the header at p, of which `avail` bytes may be read. 0, -EMSGSIZE (shorter than its header
 * claims, or than any header), -EINVAL (an option whose length is wrong). Unknown options are
 * skipped. */
int tcp_hdr_parse(const uint8_t *p, uint32_t avail, struct tcp_hdr *out);

/* Bytes that tcp_hdr_build() writes: a multiple of 4, at most TCP_HDR_LEN_MAX. The caller keeps
 * n_sack within tcp_hdr_sack_max(). */
unsigned tcp_hdr_size(const struct tcp_hdr *hdr);

/* SACK blocks that fit beside the other options of hdr. */
unsigned tcp_hdr_sack_max(const struct tcp_hdr *hdr);

/* Writes the header with checksum 0; hdr->len is not used. Returns tcp_hdr_size(). */
unsigned tcp_hdr_build(uint8_t *p, const struct tcp_hdr *hdr);

#endif /* HEADGATE_TCP_HDR_H */
