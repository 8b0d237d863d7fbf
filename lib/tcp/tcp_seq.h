/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequence number arithmetic (RFC 9293 3.4): the only place that compares sequence numbers.
 *
 * Numbers live on a circle of 2^32. a is before b when the signed difference a - b is negative,
 * which is right as long as the two are less than 2^31 apart; windows are at most 2^30 (RFC 7323
 * 2.3), so they are. Timestamps (RFC 7323 5.2) compare the same way.
 */
#ifndef HEADGATE_TCP_SEQ_H
#define HEADGATE_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

/* lo <= x < hi; hi may be up to 2^32 - 1 after lo. */
static inline bool seq_within(uint32_t x, uint32_t lo, uint32_t hi)
{
    return x - lo < hi - lo;
}

#endif /* HEADGATE_TCP_SEQ_H */
