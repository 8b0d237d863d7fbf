/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is on its way: the sequence numbers [SND.UNA, SND.NXT) as ranges, each with the time at which
 * it was last sent and what is known of it. The scoreboard of RFC 6675 and the transmission times
 * of RFC 8985 are one table. Interval arithmetic only; the data is in tcp_sndq.c.
 *
 *      una   r[0]   r[1] SACKED   r[2] LOST   r[3] RTX   r[4]   nxt
 *
 * Invariants:
 *  1. Ranges are sorted, not empty, and cover [una, nxt) without a gap: r[i] begins where r[i - 1]
 *     ends, r[0] at una; nxt is the end of the last.
 *  2. n <= max. Neighbours with the same flags that were all sent within a grain are one range with
 *     the latest time: a loss may be seen that much later for it, never earlier, and a round-trip time
 *     comes out that much too small. `span` tells how long before that time its first byte was sent,
 *     so that a sender that never pauses does not make one range of a whole window. No range has
 *     bytes sent before and after the latest retransmission, whose order with them matters.
 *  3. `sacked` and `lost` are the sums of the lengths of the ranges flagged so; no range is both.
 *  4. RTX ranges end at or below rtx_end. From there on, times do not decrease.
 *  5. At n == max neighbours are joined whatever 2 says; when that does not help, a reported
 *     range is forgotten: at worst its bytes are sent again.
 *
 * Room for TCP_SENT_FEW ranges is in the connection, which is all that a receiver's ACK frames need;
 * TCP_SENT_MAX come from a pool of the stack while there are more.
 */
#ifndef HEADGATE_TCP_SENT_H
#define HEADGATE_TCP_SENT_H

#include "tcp_hdr.h"
#include <headgate/base.h>
#include <stdbool.h>

#define TCP_SENT_FEW 4u
#define TCP_SENT_MAX 1024u

enum {
    TCP_R_SACKED = 1, /* the peer reported it */
    TCP_R_LOST = 2,   /* to be sent again */
    TCP_R_RTX = 4,    /* sent more than once; `time` is of the last time */
};

struct tcp_range {
    hg_ns time;
    uint32_t hi;    /* sequence number after the last one */
    uint16_t flags; /* TCP_R_* */
    uint16_t span;  /* its bytes were sent within so many units before `time`, saturating */
};

#define TCP_SPAN_SHIFT 10 /* unit of tcp_range.span: 2^10 ns */

/* Tables of TCP_SENT_MAX ranges: a free list, then the part of the array never used. */
struct tcp_sent_pool {
    struct tcp_range (*all)[TCP_SENT_MAX];
    uint32_t free; /* index + 1 of the first free one, linked through r[0].hi; 0: none */
    uint32_t used, n;
};

struct tcp_sent {
    struct tcp_sent_pool *pool; /* NULL: none to borrow from */
    struct tcp_range *r;        /* few, or a table of the pool */
    uint32_t una;
    uint32_t n, max;
    uint32_t sacked, lost; /* bytes */
    uint32_t rtx_end;      /* sequence number */
    uint32_t fack;         /* highest sequence number acknowledged or reported */
    hg_ns again_at;        /* when something was last sent again */
    hg_ns grain;           /* see invariant 2; the owner sets it, a small part of the RTT; of effect
                            * up to 67 ms, the most that a span can tell */
    struct tcp_range few[TCP_SENT_FEW];
};

/* What one ACK told: summed over the ranges that it acknowledged or reported for the first time. */
struct tcp_delivered {
    uint32_t bytes;               /* newly known to have arrived */
    uint32_t fack;                /* in: tcp_sent.fack before the ACK */
    uint32_t once_end, again_end; /* end of the range sent last, of those sent once, or again; */
    hg_ns once_time, again_time;  /* when that was; 0: there is none */
    hg_ns once_from;              /* not before then; once_time is not after */
    bool reordered;               /* something sent once arrived below fack */
};

/* 0 or -ENOMEM. Memory is touched only as far as tables are needed at once. */
int tcp_sent_pool_create(struct tcp_sent_pool *pool, uint32_t n);
void tcp_sent_pool_destroy(struct tcp_sent_pool *pool);

/* Nothing is on its way; gives a borrowed table back. */
void tcp_sent_reset(struct tcp_sent *s, uint32_t una);

/* New bytes up to `hi` were sent. */
void tcp_sent_push(struct tcp_sent *s, uint32_t hi, hg_ns now);

/* The cumulative acknowledgement moved to una. True when the peer turns out to have thrown away
 * what it had reported (RFC 2018 8): all that was reported is then lost. */
bool tcp_sent_ack(struct tcp_sent *s, uint32_t una, struct tcp_delivered *d);

/* The peer reports [lo, hi), within (una, nxt]; the rest of what it reports is ignored. */
void tcp_sent_sack(struct tcp_sent *s, struct tcp_block blk, struct tcp_delivered *d);

/* What has arrived was sent at `from` or later and at `time` or earlier, and ends at `end`. */
struct tcp_arrived {
    hg_ns from, time;
    uint32_t end;
};

/* RFC 8985 6.2 step 5: everything that is neither reported nor lost and was sent before what has
 * arrived is lost if it was sent at or before `old`. What was sent once is in order with other such,
 * whatever the grain; for what was sent again `from` decides. Returns the earliest time at which something was
 * sent that will be judged lost when `old` reaches it; 0: nothing. */
hg_ns tcp_sent_detect(struct tcp_sent *s, const struct tcp_arrived *last, hg_ns old);

/* The first `bytes` above una, and all that was not reported, are lost. */
void tcp_sent_lose_first(struct tcp_sent *s, uint32_t bytes);
void tcp_sent_lose_all(struct tcp_sent *s);
/* Nothing is lost after all. */
void tcp_sent_forgive(struct tcp_sent *s);

/* Something that was sent again is neither acknowledged nor reported. */
bool tcp_sent_awaits_again(const struct tcp_sent *s);

/* The lowest lost bytes, at most max, into *out; false: none. */
bool tcp_sent_next_lost(const struct tcp_sent *s, uint32_t max, struct tcp_block *out);
/* blk, which begins where a range does or is the tail, was sent again. */
void tcp_sent_again(struct tcp_sent *s, struct tcp_block blk, hg_ns now);

/* Lost bytes within blk. */
uint32_t tcp_sent_lost_in(const struct tcp_sent *s, struct tcp_block blk);

/* Bytes that were sent more than once, and are neither reported nor lost. */
uint32_t tcp_sent_again_bytes(const struct tcp_sent *s);

/* Ranges that the peer has reported. */
uint32_t tcp_sent_reports(const struct tcp_sent *s);

static inline uint32_t tcp_sent_nxt(const struct tcp_sent *s)
{
    return s->n ? s->r[s->n - 1].hi : s->una;
}

/* RFC 6675 4 SetPipe(): bytes believed to be on their way. */
static inline uint32_t tcp_sent_pipe(const struct tcp_sent *s)
{
    return tcp_sent_nxt(s) - s->una - s->sacked - s->lost;
}

#endif /* HEADGATE_TCP_SENT_H */
