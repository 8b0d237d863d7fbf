/* SPDX-License-Identifier: BSD-3-Clause */
/* What is on its way: see tcp_sent.h. */
#include "tcp_sent.h"
#include "tcp_seq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ranges that one call may add: a block cuts two at most. */
#define CUTS 2u

int tcp_sent_pool_create(struct tcp_sent_pool *pool, uint32_t n)
{
    *pool = (struct tcp_sent_pool){.n = n};
    /* Ordinary memory, as most of it is never touched. */
    pool->all = aligned_alloc(64, n * sizeof pool->all[0]);
    return pool->all ? 0 : -ENOMEM;
}

void tcp_sent_pool_destroy(struct tcp_sent_pool *pool)
{
    free(pool->all);
}

static struct tcp_range *borrow(struct tcp_sent_pool *pool)
{
    uint32_t index = pool->free;

    if (index) {
        pool->free = pool->all[index - 1][0].hi;
        return pool->all[index - 1];
    }
    return pool->used < pool->n ? pool->all[pool->used++] : NULL;
}

static void give_back(struct tcp_sent *s)
{
    struct tcp_sent_pool *pool = s->pool;

    if (s->r != s->few) {
        s->r[0].hi = pool->free;
        pool->free = (uint32_t)((s->r - pool->all[0]) / TCP_SENT_MAX) + 1;
    }
    s->r = s->few;
    s->max = TCP_SENT_FEW;
}

void tcp_sent_reset(struct tcp_sent *s, uint32_t una)
{
    if (!s->r)
        s->r = s->few;
    give_back(s);
    s->una = s->rtx_end = s->fack = una;
    s->n = 0;
    s->sacked = s->lost = 0;
}

static uint32_t begin(const struct tcp_sent *s, uint32_t i)
{
    return i ? s->r[i - 1].hi : s->una;
}

static uint32_t length(const struct tcp_sent *s, uint32_t i)
{
    return s->r[i].hi - begin(s, i);
}

static void set_flags(struct tcp_sent *s, uint32_t i, uint32_t flags)
{
    uint32_t len = length(s, i), old = s->r[i].flags;

    s->sacked += (flags & TCP_R_SACKED ? len : 0) - (old & TCP_R_SACKED ? len : 0);
    s->lost += (flags & TCP_R_LOST ? len : 0) - (old & TCP_R_LOST ? len : 0);
    s->r[i].flags = (uint16_t)flags;
}

static void remove_ranges(struct tcp_sent *s, uint32_t at, uint32_t count)
{
    memmove(&s->r[at], &s->r[at + count], (s->n - at - count) * sizeof s->r[0]);
    s->n -= count;
}

static hg_ns sent_from(const struct tcp_range *r)
{
    hg_ns span = (hg_ns)r->span << TCP_SPAN_SHIFT;

    return r->time > span ? r->time - span : 0;
}

/* For [from, to], rounded up: what is joined again and again must not seem shorter than it is. */
static uint16_t span_of(hg_ns from, hg_ns to)
{
    hg_ns units = (to - from + (1u << TCP_SPAN_SHIFT) - 1) >> TCP_SPAN_SHIFT;

    return units < UINT16_MAX ? (uint16_t)units : UINT16_MAX;
}

static hg_ns first_sent(const struct tcp_sent *s, uint32_t i)
{
    hg_ns a = sent_from(&s->r[i]), b = sent_from(&s->r[i + 1]);

    return a < b ? a : b;
}

static hg_ns last_sent(const struct tcp_sent *s, uint32_t i)
{
    hg_ns a = s->r[i].time, b = s->r[i + 1].time;

    return a > b ? a : b;
}

/* In how long a time r[i] and r[i + 1] were sent. */
static hg_ns spread(const struct tcp_sent *s, uint32_t i)
{
    return last_sent(s, i) - first_sent(s, i);
}

/* r[i] and r[i + 1], which have the same flags, become one. */
static void join(struct tcp_sent *s, uint32_t i)
{
    hg_ns first = first_sent(s, i), last = last_sent(s, i);

    s->r[i + 1].time = last;
    s->r[i + 1].span = span_of(first, last);
    remove_ranges(s, i, 1);
}

static bool may_join(const struct tcp_sent *s, uint32_t i)
{
    bool over_again = first_sent(s, i) < s->again_at && last_sent(s, i) >= s->again_at;

    return s->r[i].flags == s->r[i + 1].flags &&
           (s->r[i].flags & TCP_R_SACKED || (spread(s, i) <= s->grain && !over_again));
}

/* Invariant 2 again after r[from .. to] changed. */
static void join_all(struct tcp_sent *s, uint32_t from, uint32_t to)
{
    uint32_t i = from ? from - 1 : 0;

    for (uint32_t left = to - i + 1; left && i + 1 < s->n; left--) {
        if (may_join(s, i))
            join(s, i);
        else
            i++;
    }
}

/* The shortest range that the peer reported is taken for not reported. False: there is none. */
static bool forget_one(struct tcp_sent *s)
{
    uint32_t best = s->n;

    for (uint32_t i = 0; i < s->n; i++)
        if (s->r[i].flags & TCP_R_SACKED && (best == s->n || length(s, i) < length(s, best)))
            best = i;
    if (best == s->n)
        return false;
    /* Its neighbours are not reported, or they would be one with it. */
    set_flags(s, best, s->r[best ? best - 1 : 1].flags);
    if (s->r[best].flags & TCP_R_RTX)
        s->rtx_end = seq_max(s->rtx_end, s->r[best].hi);
    join(s, best ? best - 1 : 0);
    return true;
}

/* The first two become one that is all that either was. */
static void blur(struct tcp_sent *s)
{
    uint32_t flags = s->r[0].flags | s->r[1].flags;

    set_flags(s, 0, flags);
    set_flags(s, 1, flags);
    if (flags & TCP_R_RTX)
        s->rtx_end = seq_max(s->rtx_end, s->r[1].hi);
    join(s, 0);
}

/* Invariant 5: one range fewer. */
static void squeeze(struct tcp_sent *s)
{
    uint32_t best = s->n;

    for (uint32_t i = 0; i + 1 < s->n; i++)
        if (s->r[i].flags == s->r[i + 1].flags && (best == s->n || spread(s, i) < spread(s, best)))
            best = i;
    if (best < s->n)
        join(s, best);
    else if (!forget_one(s))
        blur(s);
}

/* Room for as many ranges as one call can add. */
static void make_room(struct tcp_sent *s)
{
    if (s->max - s->n >= CUTS)
        return;
    if (s->r == s->few && s->pool) {
        struct tcp_range *table = borrow(s->pool);
        if (table) {
            memcpy(table, s->few, s->n * sizeof s->few[0]);
            s->r = table;
            s->max = TCP_SENT_MAX;
        }
    }
    while (s->max - s->n < CUTS)
        squeeze(s);
}

/* r[i] ends at seq and r[i + 1] begins there; there is room, and seq lies inside of r[i]. */
static void cut(struct tcp_sent *s, uint32_t i, uint32_t seq)
{
    memmove(&s->r[i + 1], &s->r[i], (s->n - i) * sizeof s->r[0]);
    s->n++;
    s->r[i].hi = seq;
}

/* Index of the range that holds seq; n: none. */
static uint32_t find(const struct tcp_sent *s, uint32_t seq)
{
    uint32_t lo = 0, hi = s->n;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (seq_le(s->r[mid].hi, seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void tcp_sent_push(struct tcp_sent *s, uint32_t hi, hg_ns now)
{
    struct tcp_range *last = s->n ? &s->r[s->n - 1] : NULL;

    if (last && !last->flags && now - sent_from(last) <= s->grain &&
        sent_from(last) >= s->again_at) {
        last->span = span_of(sent_from(last), now);
        last->hi = hi;
        last->time = now;
        return;
    }
    make_room(s);
    s->r[s->n++] = (struct tcp_range){.time = now, .hi = hi};
}

/* RFC 8985 6.2 steps 1 to 3 for [.., hi) of range r. */
static void deliver(const struct tcp_range *r, uint32_t hi, uint32_t len, struct tcp_delivered *d)
{
    if (r->flags & TCP_R_SACKED)
        return;
    d->bytes += len;
    if (r->flags & TCP_R_RTX) {
        hg_ns time = sent_from(r);
        if (time > d->again_time || (time == d->again_time && seq_gt(hi, d->again_end))) {
            d->again_time = time;
            d->again_end = hi;
        }
        return;
    }
    d->reordered |= seq_lt(hi, d->fack);
    if (r->time > d->once_time || (r->time == d->once_time && seq_gt(hi, d->once_end))) {
        d->once_time = r->time;
        d->once_from = sent_from(r);
        d->once_end = hi;
    }
}

static void renege(struct tcp_sent *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->r[i].flags & TCP_R_SACKED)
            set_flags(s, i, TCP_R_LOST);
    s->fack = s->una;
    join_all(s, 0, s->n);
}

bool tcp_sent_ack(struct tcp_sent *s, uint32_t una, struct tcp_delivered *d)
{
    uint32_t gone = 0;

    while (gone < s->n && seq_le(s->r[gone].hi, una)) {
        deliver(&s->r[gone], s->r[gone].hi, length(s, gone), d);
        set_flags(s, gone, 0);
        gone++;
    }
    if (gone < s->n && seq_lt(begin(s, gone), una)) {
        uint32_t flags = s->r[gone].flags;
        deliver(&s->r[gone], una, una - begin(s, gone), d);
        set_flags(s, gone, 0);
        s->una = una;
        remove_ranges(s, 0, gone);
        set_flags(s, 0, flags);
    } else {
        remove_ranges(s, 0, gone);
        s->una = una;
    }
    s->rtx_end = seq_max(s->rtx_end, una);
    s->fack = seq_max(s->fack, una);
    if (!s->n) {
        give_back(s);
        return false;
    }
    /* An acknowledgement that ends at or inside of what was reported above it: the peer no longer
     * has it, or it would have acknowledged it too. */
    if (!(s->r[0].flags & TCP_R_SACKED))
        return false;
    renege(s);
    return true;
}

void tcp_sent_sack(struct tcp_sent *s, struct tcp_block blk, struct tcp_delivered *d)
{
    if (seq_le(blk.lo, s->una) || seq_ge(blk.lo, blk.hi) || seq_gt(blk.hi, tcp_sent_nxt(s)))
        return;
    make_room(s);
    uint32_t i = find(s, blk.lo), first;

    if (!(s->r[i].flags & TCP_R_SACKED) && begin(s, i) != blk.lo)
        cut(s, i++, blk.lo);
    for (first = i; i < s->n && seq_lt(begin(s, i), blk.hi); i++) {
        if (s->r[i].flags & TCP_R_SACKED)
            continue;
        if (seq_gt(s->r[i].hi, blk.hi))
            cut(s, i, blk.hi);
        deliver(&s->r[i], s->r[i].hi, length(s, i), d);
        set_flags(s, i, TCP_R_SACKED);
    }
    join_all(s, first, i);
    s->fack = seq_max(s->fack, blk.hi);
}

static bool sent_before(const struct tcp_range *r, const struct tcp_arrived *last)
{
    if (r->flags & TCP_R_RTX && last->from != last->time)
        return r->time < last->from;
    return r->time < last->time || (r->time == last->time && seq_lt(r->hi, last->end));
}

hg_ns tcp_sent_detect(struct tcp_sent *s, const struct tcp_arrived *last, hg_ns old)
{
    uint32_t lost = s->lost;
    hg_ns next = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        const struct tcp_range *r = &s->r[i];
        if (r->time > last->time && seq_ge(begin(s, i), s->rtx_end))
            break; /* invariant 4 */
        if (r->flags & (TCP_R_SACKED | TCP_R_LOST) || !sent_before(r, last))
            continue;
        if (r->time <= old)
            set_flags(s, i, r->flags | TCP_R_LOST);
        else if (!next || r->time < next)
            next = r->time;
    }
    if (s->lost != lost)
        join_all(s, 0, s->n);
    return next;
}

void tcp_sent_lose_first(struct tcp_sent *s, uint32_t bytes)
{
    if (!s->n || s->r[0].flags & (TCP_R_LOST | TCP_R_SACKED))
        return;
    make_room(s);
    if (s->r[0].hi - s->una > bytes)
        cut(s, 0, s->una + bytes);
    set_flags(s, 0, s->r[0].flags | TCP_R_LOST);
    join_all(s, 0, 1);
}

void tcp_sent_lose_all(struct tcp_sent *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!(s->r[i].flags & TCP_R_SACKED))
            set_flags(s, i, s->r[i].flags | TCP_R_LOST);
    join_all(s, 0, s->n);
}

void tcp_sent_forgive(struct tcp_sent *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        set_flags(s, i, s->r[i].flags & ~(uint32_t)TCP_R_LOST);
    join_all(s, 0, s->n);
}

bool tcp_sent_awaits_again(const struct tcp_sent *s)
{
    for (uint32_t i = 0; i < s->n && seq_lt(begin(s, i), s->rtx_end); i++)
        if ((s->r[i].flags & (TCP_R_RTX | TCP_R_SACKED)) == TCP_R_RTX)
            return true;
    return false;
}

bool tcp_sent_next_lost(const struct tcp_sent *s, uint32_t max, struct tcp_block *out)
{
    uint32_t i = 0;

    if (!s->lost)
        return false;
    while (!(s->r[i].flags & TCP_R_LOST))
        i++;
    out->lo = begin(s, i);
    do {
        out->hi = s->r[i].hi;
        i++;
    } while (i < s->n && s->r[i].flags & TCP_R_LOST && out->hi - out->lo < max);
    if (out->hi - out->lo > max)
        out->hi = out->lo + max;
    return true;
}

void tcp_sent_again(struct tcp_sent *s, struct tcp_block blk, hg_ns now)
{
    make_room(s);
    uint32_t i = find(s, blk.lo), first;

    if (begin(s, i) != blk.lo)
        cut(s, i++, blk.lo);
    for (first = i; i < s->n && seq_lt(begin(s, i), blk.hi); i++) {
        if (s->r[i].flags & TCP_R_SACKED)
            continue;
        if (seq_gt(s->r[i].hi, blk.hi))
            cut(s, i, blk.hi);
        set_flags(s, i, TCP_R_RTX);
        s->r[i].time = now;
        s->r[i].span = 0;
    }
    s->rtx_end = seq_max(s->rtx_end, blk.hi);
    s->again_at = now;
    join_all(s, first, i);
}

uint32_t tcp_sent_reports(const struct tcp_sent *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n; i++)
        n += !!(s->r[i].flags & TCP_R_SACKED);
    return n;
}

uint32_t tcp_sent_again_bytes(const struct tcp_sent *s)
{
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < s->n; i++)
        if (s->r[i].flags == TCP_R_RTX)
            bytes += length(s, i);
    return bytes;
}

uint32_t tcp_sent_lost_in(const struct tcp_sent *s, struct tcp_block blk)
{
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < s->n && seq_lt(begin(s, i), blk.hi); i++) {
        uint32_t lo = seq_max(begin(s, i), blk.lo), hi = seq_min(s->r[i].hi, blk.hi);
        if (s->r[i].flags & TCP_R_LOST && seq_lt(lo, hi))
            bytes += hi - lo;
    }
    return bytes;
}
