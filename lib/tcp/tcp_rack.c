/* SPDX-License-Identifier: BSD-3-Clause */
/* RACK: see tcp_rack.h. */
#include "tcp_rack.h"
#include "tcp_seq.h"

#define MIN_RTT_SPAN HG_SEC(150) /* a minimum is forgotten after one to two of these */
#define UNCERTAIN 8u             /* a sample may be wrong by this part of it */
#define PERSIST 16u              /* RFC 8985 6.2 step 4: recoveries without D-SACK */

void tcp_rack_init(struct tcp_rack *rack)
{
    *rack = (struct tcp_rack){.multiple = 1};
}

hg_ns tcp_rack_min_rtt(const struct tcp_rack *rack)
{
    hg_ns a = rack->min_rtt[0], b = rack->min_rtt[1];

    return !a || (b && b < a) ? b : a;
}

void tcp_rack_sample(struct tcp_rack *rack, hg_ns rtt, hg_ns now)
{
    if (now - rack->min_since >= MIN_RTT_SPAN) {
        rack->min_rtt[1] = rack->min_rtt[0];
        rack->min_rtt[0] = 0;
        rack->min_since = now;
    }
    if (!rack->min_rtt[0] || rtt < rack->min_rtt[0])
        rack->min_rtt[0] = rtt;
}

static void advance(struct tcp_rack *rack, struct tcp_arrived a, hg_ns now)
{
    const struct tcp_arrived *last = &rack->last;

    if (a.time < last->time || (a.time == last->time && seq_le(a.end, last->end)))
        return;
    rack->last = a;
    rack->rtt = now - a.time;
}

hg_ns tcp_rack_update(struct tcp_rack *rack, const struct tcp_delivered *d, hg_ns now, bool echo_ok)
{
    hg_ns rtt = 0;

    rack->reordering |= d->reordered;
    if (d->once_time) {
        rtt = now - d->once_time;
        /* Of a range that was sent over a long time nobody knows when the part that arrived was. */
        if (d->once_time - d->once_from > rtt / UNCERTAIN)
            rtt = 0;
        else
            tcp_rack_sample(rack, rtt += rtt == 0, now);
        advance(rack, (struct tcp_arrived){d->once_from, d->once_time, d->once_end}, now);
    }
    /* Step 2: what was sent again may have arrived as the first copy. */
    if (d->again_time && echo_ok && now - d->again_time >= tcp_rack_min_rtt(rack))
        advance(rack, (struct tcp_arrived){d->again_time, d->again_time, d->again_end}, now);
    return rtt;
}

hg_ns tcp_rack_window(const struct tcp_rack *rack, hg_ns srtt, bool hasty)
{
    hg_ns wnd = tcp_rack_min_rtt(rack) / 4 * rack->multiple;

    if (!rack->reordering && hasty)
        return 0;
    return wnd < srtt ? wnd : srtt;
}

void tcp_rack_round(struct tcp_rack *rack, uint32_t una)
{
    if (rack->round && seq_ge(una, rack->round_end))
        rack->round = false;
}

void tcp_rack_dsack(struct tcp_rack *rack, uint32_t nxt)
{
    if (rack->round)
        return;
    rack->round = true;
    rack->round_end = nxt;
    rack->persist = PERSIST;
    if (rack->multiple < UINT8_MAX)
        rack->multiple++;
}

void tcp_rack_overtaken(struct tcp_rack *rack)
{
    rack->reordering = true;
}

void tcp_rack_recovered(struct tcp_rack *rack)
{
    if (rack->persist && --rack->persist == 0)
        rack->multiple = 1;
}
