/* SPDX-License-Identifier: BSD-3-Clause */
/* HyStart++: see tcp_hystart.h. Constants are those of RFC 9406 4.3. */
#include "tcp_hystart.h"
#include "tcp_seq.h"

#define MIN_RTT_THRESH HG_MS(4)
#define MAX_RTT_THRESH HG_MS(16)
#define MIN_RTT_DIVISOR 8
#define N_RTT_SAMPLE 8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS 5
#define TRAIN_GAP HG_MS(2)  /* of an ACK train at most: as in Linux, */
#define TRAIN_GAP_DIVISOR 8 /* and that much less than the round-trip time */

static hg_ns threshold(hg_ns last_min)
{
    hg_ns t = last_min / MIN_RTT_DIVISOR;

    return t < MIN_RTT_THRESH ? MIN_RTT_THRESH : t > MAX_RTT_THRESH ? MAX_RTT_THRESH : t;
}

static void go_slow(struct tcp_hystart *h, hg_ns baseline)
{
    h->css = true;
    h->css_rounds = 0;
    h->css_min = baseline;
}

static void watch_delay(struct tcp_hystart *h, hg_ns rtt)
{
    if (rtt) {
        h->cur_min = !h->cur_min || rtt < h->cur_min ? rtt : h->cur_min;
        h->min = !h->min || rtt < h->min ? rtt : h->min;
        h->samples += h->samples < UINT8_MAX;
    }
    if (h->samples < N_RTT_SAMPLE || !h->cur_min)
        return;
    if (h->css && h->cur_min < h->css_min)
        h->css = false; /* 4.2: the growth was not a queue */
    else if (!h->css && h->last_min && h->cur_min >= h->last_min + threshold(h->last_min))
        go_slow(h, h->cur_min);
}

static void watch_train(struct tcp_hystart *h, hg_ns now)
{
    hg_ns gap = h->min / TRAIN_GAP_DIVISOR;

    if (!h->last_at || now - h->last_at > (gap < TRAIN_GAP ? gap : TRAIN_GAP)) {
        h->last_at = 0;
        return;
    }
    h->last_at = now;
    if (!h->css && now - h->round_at > h->min / 2)
        go_slow(h, 0);
}

/* False after CSS_ROUNDS of conservative slow start. */
static bool next_round(struct tcp_hystart *h, uint32_t nxt, hg_ns now)
{
    h->last_min = h->cur_min;
    h->cur_min = 0;
    h->samples = 0;
    h->window_end = nxt;
    h->round_at = h->last_at = now;
    return !h->css || ++h->css_rounds < CSS_ROUNDS;
}

bool tcp_hystart_ack(struct tcp_hystart *h, uint32_t una, uint32_t nxt, hg_ns rtt, hg_ns now)
{
    if (h->done)
        return true;
    if (!h->begun) {
        h->begun = true;
        h->window_end = nxt;
        h->round_at = h->last_at = now;
    }
    watch_delay(h, rtt);
    watch_train(h, now);
    if (seq_lt(una, h->window_end))
        return true;
    return next_round(h, nxt, now);
}

uint32_t tcp_hystart_divisor(const struct tcp_hystart *h)
{
    return h->css && !h->done ? CSS_GROWTH_DIVISOR : 1;
}
