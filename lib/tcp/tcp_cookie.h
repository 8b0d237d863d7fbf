/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SYN cookies (RFC 4987 3.6): a handshake without state on our side. Our ISN says what the peer's
 * SYN asked for and proves that we chose it; the peer's ACK brings it back.
 *
 *      31 30  29    26  25                       0
 *     | slot |  MSS   |           MAC             |
 *
 * The slot is the time in units of 69 seconds, modulo 4: a cookie is good in its own slot and the
 * next. The MSS is an index into a table, rounded down. The MAC is SipHash over addresses, the
 * peer's ISN and everything the cookie says, under a key that belongs to the slot: guessing one
 * takes 2^24 segments on average, and what is gained is one connection with a handshake to do.
 *
 * Window scale, SACK and ECN do not fit. They travel in the low six bits of our timestamp, which a
 * peer with timestamps echoes (as Linux does it); a peer without timestamps gets none of them.
 *
 * The SYN-ACK closes the window. One that is offered has to be kept, and nothing remembers to how many
 * it was; the connection opens it as soon as it exists, if memory allows (tcp_budget.c). A peer whose
 * ACK is lost asks for a window if it has something to send, and that brings the cookie back too, so
 * the peer's ISN is looked for in two places.
 *
 * Each cookie makes one connection: those redeemed are remembered, as far as the table goes.
 *
 * Pure but for struct tcp_cookies; no table entry and one hash for each SYN.
 */
#ifndef HEADGATE_TCP_COOKIE_H
#define HEADGATE_TCP_COOKIE_H

#include "tcp_hdr.h"

#include <headgate/base.h>
#include <headgate/net.h>
#include <stdbool.h>

#define TCP_COOKIE_SLOT_SHIFT 36 /* of a time in ns: 69 s */
#define TCP_COOKIE_TS_BITS 6     /* of a timestamp, taken by options */
#define TCP_COOKIE_USED 4096     /* redeemed cookies remembered; a power of two */

struct tcp_cookies {
    uint64_t secret[2]; /* of the stack */
    uint64_t slot;      /* of key[0] */
    uint64_t key[2][2]; /* of this slot and of the one before; zero until the first is needed */
    uint64_t good_to;   /* last slot in which one that we sent can come back; 0: none was sent */
    uint64_t used[TCP_COOKIE_USED]; /* MACs redeemed, each at its low bits; 0: none */
};

/* What is kept of a SYN, as its header said it. */
struct tcp_cookie_syn {
    uint32_t seq; /* the peer's ISN */
    uint16_t mss; /* bytes; out of a cookie: the value of the table */
    uint8_t has;  /* TCP_HAS_*: as far as both want it */
    uint8_t wscale;
    bool ecn; /* the same (RFC 3168 6.1.1) */
};

struct tcp_cookie {
    struct tcp_cookie_syn syn;
    uint64_t mac;
    uint32_t iss;
    uint32_t ts_offset; /* of the connection's timestamps: from the same hash */
    uint8_t ts_bits;    /* low bits of our timestamp */
};

/* For the SYN-ACK. Options of syn that the cookie cannot keep are taken out of out->syn. */
void tcp_cookie_make(struct tcp_cookies *c, const struct hg_flow *flow,
                     const struct tcp_cookie_syn *syn, hg_ns now, struct tcp_cookie *out);

/* The cookie that an ACK brings back. False: not one of ours, too old, or redeemed before. */
bool tcp_cookie_check(struct tcp_cookies *c, const struct hg_flow *flow, const struct tcp_hdr *ack,
                      hg_ns now, struct tcp_cookie *out);

/* A connection was made from it: not again. */
void tcp_cookie_redeem(struct tcp_cookies *c, uint64_t mac);

/* Whether cookies that were sent may still come back. */
bool tcp_cookie_expected(const struct tcp_cookies *c, hg_ns now);

/* Our timestamp with the options in its low bits: `clock`, or less than 2^TCP_COOKIE_TS_BITS + 1
 * before it, so that those which follow are not older. */
uint32_t tcp_cookie_ts(uint32_t clock, uint8_t bits);

#endif /* HEADGATE_TCP_COOKIE_H */
