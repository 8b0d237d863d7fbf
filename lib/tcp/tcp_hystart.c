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

static hg_ns threshold(hg_ns last_min)
{
    hg_ns t = last_min / MIN_RTT_DIVISOR;

    return t < MIN_RTT_THRESH ? MIN_RTT_THRESH : t > MAX_RTT_THRESH ? MAX_RTT_THRESH : t;
}

/* False after CSS_ROUNDS of conservative slow start. */
static bool next_round(struct tcp_hystart *h, uint32_t nxt)
{
    h->last_min = h->cur_min;
    h->cur_min = 0;
    h->samples = 0;
    h->window_end = nxt;
    return !h->css || ++h->css_rounds < CSS_ROUNDS;
}

bool tcp_hystart_ack(struct tcp_hystart *h, uint32_t una, uint32_t nxt, hg_ns rtt)
{
    if (h->done)
        return true;
    if (!h->begun) {
        h->begun = true;
        h->window_end = nxt;
    }
    if (rtt) {
        h->cur_min = !h->cur_min || rtt < h->cur_min ? rtt : h->cur_min;
        h->samples += h->samples < UINT8_MAX;
    }
    if (h->samples >= N_RTT_SAMPLE && h->cur_min) {
        if (h->css && h->cur_min < h->css_min) {
            h->css = false; /* 4.2: the growth was not a queue */
        } else if (!h->css && h->last_min && h->cur_min >= h->last_min + threshold(h->last_min)) {
            h->css = true;
            h->css_rounds = 0;
            h->css_min = h->cur_min;
        }
    }
    if (seq_lt(una, h->window_end))
        return true;
    return next_round(h, nxt);
}

uint32_t tcp_hystart_divisor(const struct tcp_hystart *h)
{
    return h->css && !h->done ? CSS_GROWTH_DIVISOR : 1;
}
