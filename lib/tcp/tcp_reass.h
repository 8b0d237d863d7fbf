/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which bytes have arrived out of order: interval arithmetic only. The payload is held by the
 * receive queue (tcp_rxq.c), which does to its chains what these functions say they did to the
 * intervals.
 *
 * Invariants: (1) intervals are sorted, not empty, and neither overlap nor touch; (2) all lie
 * strictly above RCV.NXT; (3) there are at most TCP_REASS_MAX of them, whatever the peer sends.
 */
#ifndef HEADGATE_TCP_REASS_H
#define HEADGATE_TCP_REASS_H

#include "tcp_hdr.h"
#include <stdbool.h>

/* Holes one connection may have at once: 4 % random loss in a window of 16 MiB, or every second packet of
 * a queue of 1.5 MB that slow start has filled. */
#define TCP_REASS_MAX 512

struct tcp_ival {
    uint32_t lo, hi; /* [lo, hi) */
    uint32_t stamp;  /* the larger, the more recently it grew (RFC 2018 4, order of blocks) */
};

struct tcp_reass {
    struct tcp_ival *iv; /* room for TCP_REASS_MAX; borrowed */
    uint32_t n;
    uint32_t stamp; /* last one given out */
};

/* What tcp_reass_add() did, in the order in which the queue has to follow. */
struct tcp_placed {
    uint32_t lo, hi;    /* the part that is new; the rest was here already */
    unsigned at;        /* index that held the first interval touched, or where one is inserted */
    unsigned swallowed; /* whole intervals from `at` (or at + 1 if join_left) that lo..hi covers:
                         * their bytes are dropped and the segment's taken instead */
    bool join_left;     /* lo continues interval `at` */
    bool join_right;    /* hi meets the interval after the swallowed ones */
};

/* Adds [lo, hi), hi after lo. 0, -EEXIST (every byte is here already), -ENOSPC (one interval too
 * many; nothing changed). */
int tcp_reass_add(struct tcp_reass *r, uint32_t lo, uint32_t hi, struct tcp_placed *out);

/* Segment [lo, hi) continues the in-order data. Returns how many whole intervals it covers (now
 * removed, from the front) and cuts *hi where the next interval already has the bytes. */
unsigned tcp_reass_cover(struct tcp_reass *r, uint32_t *hi);

/* If the first interval starts at `nxt`, removes it and stores its end in *end. */
bool tcp_reass_pop(struct tcp_reass *r, uint32_t nxt, uint32_t *end);

/* Cuts the last interval (the highest sequence numbers) to end at `hi`, which lies in it; with its
 * lo the interval is gone. n must not be 0. */
void tcp_reass_cut_last(struct tcp_reass *r, uint32_t hi);

/* Fills up to max SACK blocks, the most recently changed interval first (RFC 2018 4). */
unsigned tcp_reass_blocks(const struct tcp_reass *r, struct tcp_block *out, unsigned max);

#endif /* HEADGATE_TCP_REASS_H */
