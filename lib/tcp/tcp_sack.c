/* SPDX-License-Identifier: BSD-3-Clause */
/* SACK scoreboard of the sender: see tcp_sack.h. */
#include "tcp_sack.h"
#include "tcp_seq.h"

#include <string.h>

/* Hole i of the scoreboard: [lo, hi), of which [lo, rtx) was sent again. */
struct hole {
    uint32_t lo, hi, rtx, mark;
};

static struct hole hole_get(const struct tcp_sack *sb, struct tcp_span span, unsigned i)
{
    struct hole h = {.lo = i ? sb->iv[i - 1].hi : span.una, .hi = span.nxt};

    h.rtx = sb->top_rtx;
    h.mark = sb->top_mark;
    if (i < sb->n) {
        h.hi = sb->iv[i].lo;
        h.rtx = sb->iv[i].rtx;
        h.mark = sb->iv[i].mark;
    }
    h.rtx = seq_min(seq_max(h.rtx, h.lo), h.hi);
    return h;
}

static void hole_set_rtx(struct tcp_sack *sb, unsigned i, uint32_t rtx, uint32_t mark)
{
    if (i < sb->n) {
        sb->iv[i].rtx = rtx;
        sb->iv[i].mark = mark;
    } else {
        sb->top_rtx = rtx;
        sb->top_mark = mark;
    }
}

void tcp_sack_reset(struct tcp_sack *sb, uint32_t una)
{
    sb->n = 0;
    sb->sacked = 0;
    sb->lost_to = una;
    sb->top_rtx = una;
    sb->top_mark = una;
}

/* Adds one block that lies within (una, nxt]. */
static void add_block(struct tcp_sack *sb, struct tcp_span span, uint32_t lo, uint32_t hi)
{
    unsigned at = 0, end;

    while (at < sb->n && seq_lt(sb->iv[at].hi, lo))
        at++;
    for (end = at; end < sb->n && seq_le(sb->iv[end].lo, hi); end++)
        ;
    if (end == at && sb->n == TCP_SACK_MAX)
        return; /* forgotten: at worst those bytes are sent again */
    /* The hole that stays below the merged interval is the one below the first of them; what is
     * above keeps the state of the hole it is cut from. */
    struct hole h = hole_get(sb, span, at);
    struct tcp_sacked merged = {.lo = lo, .hi = hi, .rtx = h.rtx, .mark = h.mark};

    if (end > at) {
        merged.lo = seq_min(lo, sb->iv[at].lo);
        merged.hi = seq_max(hi, sb->iv[end - 1].hi);
    }
    for (unsigned i = at; i < end; i++)
        sb->sacked -= sb->iv[i].hi - sb->iv[i].lo;
    sb->sacked += merged.hi - merged.lo;
    memmove(&sb->iv[at + 1], &sb->iv[end], (sb->n - end) * sizeof sb->iv[0]);
    sb->n = sb->n - (end - at) + 1;
    sb->iv[at] = merged;
}

uint32_t tcp_sack_blocks(struct tcp_sack *sb, struct tcp_span span, const struct tcp_block *blk,
                         unsigned n)
{
    uint32_t before = sb->sacked;

    for (unsigned i = 0; i < n; i++) {
        if (seq_gt(blk[i].lo, span.una) && seq_lt(blk[i].lo, blk[i].hi) &&
            seq_le(blk[i].hi, span.nxt))
            add_block(sb, span, blk[i].lo, blk[i].hi);
    }
    return sb->sacked > before ? sb->sacked - before : 0;
}

bool tcp_sack_advance(struct tcp_sack *sb, uint32_t una)
{
    unsigned drop = 0;

    while (drop < sb->n && seq_le(sb->iv[drop].hi, una)) {
        sb->sacked -= sb->iv[drop].hi - sb->iv[drop].lo;
        drop++;
    }
    if (drop) {
        sb->n -= drop;
        memmove(&sb->iv[0], &sb->iv[drop], sb->n * sizeof sb->iv[0]);
    }
    /* An acknowledgement that ends at or inside what was reported above it: the peer no longer has
     * it, or it would have acknowledged it too. */
    if (sb->n && seq_le(sb->iv[0].lo, una)) {
        uint32_t lost_to = sb->iv[sb->n - 1].hi;
        tcp_sack_reset(sb, una);
        sb->lost_to = lost_to;
        return true;
    }
    sb->lost_to = seq_max(sb->lost_to, una);
    sb->top_rtx = seq_max(sb->top_rtx, una);
    return false;
}

void tcp_sack_find_lost(struct tcp_sack *sb, uint32_t mss)
{
    uint32_t bytes = 0;

    for (unsigned i = sb->n; i-- > 0;) {
        bytes += sb->iv[i].hi - sb->iv[i].lo;
        if (sb->n - i >= TCP_DUP_THRESH || bytes > (TCP_DUP_THRESH - 1) * mss) {
            sb->lost_to = seq_max(sb->lost_to, sb->iv[i].lo);
            return;
        }
    }
}

void tcp_sack_lose_first(struct tcp_sack *sb, struct tcp_span span, uint32_t mss)
{
    struct hole h = hole_get(sb, span, 0);

    sb->lost_to = seq_max(sb->lost_to, seq_min(span.una + mss, h.hi));
    hole_set_rtx(sb, 0, span.una, span.nxt);
}

void tcp_sack_all_lost(struct tcp_sack *sb, struct tcp_span span)
{
    sb->lost_to = span.nxt;
    for (unsigned i = 0; i <= sb->n; i++)
        hole_set_rtx(sb, i, i ? sb->iv[i - 1].hi : span.una, span.nxt);
}

bool tcp_sack_next(struct tcp_sack *sb, struct tcp_span span, uint32_t max, struct tcp_block *out)
{
    uint32_t highest = sb->n ? sb->iv[sb->n - 1].hi : span.una;

    for (unsigned i = 0; i <= sb->n; i++) {
        struct hole h = hole_get(sb, span, i);
        uint32_t lost_hi = seq_min(h.hi, sb->lost_to);
        if (seq_ge(h.lo, lost_hi))
            return false;
        if (seq_gt(h.rtx, h.lo) && seq_ge(highest, h.mark + TCP_DUP_THRESH * max)) {
            /* The retransmission was lost as well, and is no longer in flight. */
            h.rtx = h.lo;
            hole_set_rtx(sb, i, h.rtx, h.mark);
        }
        if (seq_lt(h.rtx, lost_hi)) {
            out->lo = h.rtx;
            out->hi = lost_hi - h.rtx > max ? h.rtx + max : lost_hi;
            return true;
        }
    }
    return false;
}

void tcp_sack_sent(struct tcp_sack *sb, struct tcp_span span, struct tcp_block blk)
{
    for (unsigned i = 0; i <= sb->n; i++) {
        struct hole h = hole_get(sb, span, i);
        if (seq_ge(blk.lo, h.lo) && seq_le(blk.hi, h.hi)) {
            hole_set_rtx(sb, i, blk.hi, span.nxt);
            return;
        }
    }
}

uint32_t tcp_sack_pipe(const struct tcp_sack *sb, struct tcp_span span)
{
    uint32_t pipe = 0;

    if (!sb->n && seq_le(sb->lost_to, span.una))
        return span.nxt - span.una;
    for (unsigned i = 0; i <= sb->n; i++) {
        struct hole h = hole_get(sb, span, i);
        uint32_t lost_hi = seq_max(h.lo, seq_min(h.hi, sb->lost_to));
        pipe += h.rtx - h.lo;   /* sent again */
        pipe += h.hi - lost_hi; /* not known to be lost */
    }
    return pipe;
}

bool tcp_sack_any_lost(const struct tcp_sack *sb, uint32_t una)
{
    return seq_gt(sb->lost_to, una);
}
