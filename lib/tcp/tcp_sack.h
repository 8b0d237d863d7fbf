/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peer has of the data we sent (RFC 6675 scoreboard), and from it: what is lost, what to
 * send again, how much is in flight. Interval arithmetic only; the data is in tcp_sndq.c.
 *
 * The unacknowledged range [una, nxt) is cut by the intervals the peer reported:
 *
 *      una   hole 0   iv[0]   hole 1   iv[1]   ...   hole n   nxt
 *
 * Invariants: (1) intervals are sorted, not empty, do not touch, and lie within (una, nxt];
 * (2) there are at most TCP_SACK_MAX; (3) `sacked` is the sum of their lengths; (4) of hole i, the
 * bytes before `rtx` have been sent again, and `mark` was SND.NXT when that last happened;
 * (5) bytes in holes below `lost_to` are taken for lost.
 *
 * A retransmission is itself taken for lost when the peer reports three segments that were sent
 * after it (`mark`): without that every loss of a retransmission costs a time-out.
 */
#ifndef HEADGATE_TCP_SACK_H
#define HEADGATE_TCP_SACK_H

#include "tcp_hdr.h"
#include <stdbool.h>

#define TCP_SACK_MAX 128
#define TCP_DUP_THRESH 3 /* segments; RFC 5681 3.2 */

/* One reported interval, and the hole below it. */
struct tcp_sacked {
    uint32_t lo, hi;
    uint32_t rtx, mark;
};

struct tcp_sack {
    struct tcp_sacked *iv; /* room for TCP_SACK_MAX; borrowed */
    uint32_t n;
    uint32_t sacked;            /* bytes */
    uint32_t lost_to;           /* sequence number */
    uint32_t top_rtx, top_mark; /* of the hole above the last interval */
};

/* The range the peer has not acknowledged. */
struct tcp_span {
    uint32_t una, nxt;
};

/* Forgets everything: nothing reported, nothing lost, nothing sent again. */
void tcp_sack_reset(struct tcp_sack *sb, uint32_t una);

/* Takes the blocks of one segment. Blocks outside (una, nxt] are ignored: old ones, and DSACK
 * (RFC 2883). Returns bytes newly reported. */
uint32_t tcp_sack_blocks(struct tcp_sack *sb, struct tcp_span span, const struct tcp_block *blk,
                         unsigned n);

/* The cumulative acknowledgement moved to una. True when the peer turns out to have thrown away
 * what it had reported (RFC 2018 8): the scoreboard is then empty and all of that range lost. */
bool tcp_sack_advance(struct tcp_sack *sb, uint32_t una);

/* RFC 6675 4 IsLost(): raises lost_to below three segments of reported data. */
void tcp_sack_find_lost(struct tcp_sack *sb, uint32_t mss);

/* The first segment above una is lost, whether it was sent again or not: three duplicate
 * acknowledgements, or a partial one without SACK (RFC 6582 3.2). */
void tcp_sack_lose_first(struct tcp_sack *sb, struct tcp_span span, uint32_t mss);

/* Time-out: everything up to nxt that is not reported is lost, sent again or not. */
void tcp_sack_all_lost(struct tcp_sack *sb, struct tcp_span span);

/* RFC 6675 4 NextSeg() rule 1: the lowest lost bytes not sent again, at most max of them, into
 * *out. False when there are none. */
bool tcp_sack_next(struct tcp_sack *sb, struct tcp_span span, uint32_t max, struct tcp_block *out);

/* [blk.lo, blk.hi) from tcp_sack_next() was sent. */
void tcp_sack_sent(struct tcp_sack *sb, struct tcp_span span, struct tcp_block blk);

/* RFC 6675 4 SetPipe(): bytes believed to be on their way. */
uint32_t tcp_sack_pipe(const struct tcp_sack *sb, struct tcp_span span);

/* Some of the data above una has been reported lost. */
bool tcp_sack_any_lost(const struct tcp_sack *sb, uint32_t una);

#endif /* HEADGATE_TCP_SACK_H */
