/* SPDX-License-Identifier: BSD-3-Clause */
/* Intervals of out-of-order data: see tcp_reass.h. */
#include "tcp_reass.h"
#include "tcp_seq.h"

#include <errno.h>
#include <string.h>

/* Index of the first interval that ends at or after seq; n when there is none. */
static unsigned first_reaching(const struct tcp_reass *r, uint32_t seq)
{
    unsigned lo = 0, hi = r->n;

    /* New data mostly lies above everything that is held. */
    if (hi && seq_lt(r->iv[hi - 1].hi, seq))
        return hi;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (seq_lt(r->iv[mid].hi, seq))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void remove_range(struct tcp_reass *r, unsigned at, unsigned count)
{
    memmove(&r->iv[at], &r->iv[at + count], (r->n - at - count) * sizeof r->iv[0]);
    r->n -= count;
}

static void insert_at(struct tcp_reass *r, unsigned at, uint32_t lo, uint32_t hi)
{
    memmove(&r->iv[at + 1], &r->iv[at], (r->n - at) * sizeof r->iv[0]);
    r->iv[at] = (struct tcp_ival){.lo = lo, .hi = hi};
    r->n++;
}

int tcp_reass_add(struct tcp_reass *r, uint32_t lo, uint32_t hi, struct tcp_placed *out)
{
    unsigned at = first_reaching(r, lo);
    unsigned next = at;

    *out = (struct tcp_placed){.at = at};
    if (at < r->n && seq_le(r->iv[at].lo, lo)) {
        if (seq_le(hi, r->iv[at].hi)) {
            r->iv[at].stamp = ++r->stamp;
            return -EEXIST;
        }
        out->join_left = true;
        lo = r->iv[at].hi;
        next = at + 1;
    }
    unsigned end = next;
    while (end < r->n && seq_le(r->iv[end].hi, hi))
        end++;
    out->swallowed = end - next;
    if (end < r->n && seq_le(r->iv[end].lo, hi)) {
        out->join_right = true;
        hi = r->iv[end].lo;
    }
    out->lo = lo;
    out->hi = hi;
    if (!out->join_left && !out->join_right && !out->swallowed && r->n == TCP_REASS_MAX)
        return -ENOSPC;

    if (out->join_right)
        hi = r->iv[end].hi;
    if (out->join_left)
        lo = r->iv[at].lo;
    remove_range(r, at, end - at + out->join_right);
    insert_at(r, at, lo, hi);
    r->iv[at].stamp = ++r->stamp;
    return 0;
}

unsigned tcp_reass_cover(struct tcp_reass *r, uint32_t *hi)
{
    unsigned n = 0;

    while (n < r->n && seq_le(r->iv[n].hi, *hi))
        n++;
    if (n < r->n && seq_lt(r->iv[n].lo, *hi))
        *hi = r->iv[n].lo;
    if (n)
        remove_range(r, 0, n);
    return n;
}

bool tcp_reass_pop(struct tcp_reass *r, uint32_t nxt, uint32_t *end)
{
    if (!r->n || r->iv[0].lo != nxt)
        return false;
    *end = r->iv[0].hi;
    remove_range(r, 0, 1);
    return true;
}

void tcp_reass_cut_last(struct tcp_reass *r, uint32_t hi)
{
    r->iv[r->n - 1].hi = hi;
    r->n -= r->iv[r->n - 1].lo == hi;
}

unsigned tcp_reass_blocks(const struct tcp_reass *r, struct tcp_block *out, unsigned max)
{
    uint32_t below = r->stamp + 1; /* stamps are unique, so this orders the picks */
    unsigned n = 0;

    while (n < max && n < r->n) {
        const struct tcp_ival *best = NULL;
        for (unsigned i = 0; i < r->n; i++)
            if (seq_lt(r->iv[i].stamp, below) && (!best || seq_gt(r->iv[i].stamp, best->stamp)))
                best = &r->iv[i];
        if (!best)
            break; /* a stamp older than 2^31 changes */
        below = best->stamp;
        out[n++] = (struct tcp_block){.lo = best->lo, .hi = best->hi};
    }
    return n;
}
