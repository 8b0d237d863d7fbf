/* SPDX-License-Identifier: BSD-3-Clause */
/* What all algorithms share: see tcp_cc.h. */
#include "tcp_cc.h"

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t max32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t tcp_cc_initial_window(uint32_t mss)
{
    return min32(10 * mss, max32(2 * mss, 14600));
}

void tcp_cc_init(struct tcp_cc *cc, const struct tcp_cc_ops *ops, uint32_t mss, uint32_t max)
{
    *cc = (struct tcp_cc){.ops = ops, .ssthresh = UINT32_MAX};
    cc->max = max32(max, 2 * mss);
    cc->cwnd = min32(tcp_cc_initial_window(mss), cc->max);
    ops->init(cc);
}

/* One ACK may stand for many segments, since receivers (ours among them) acknowledge once per
 * burst; so all of it counts, not RFC 3465's two segments. */
static void slow_start(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    if (cc->phase == TCP_CC_OPEN &&
        !tcp_hystart_ack(&cc->hystart, ack->una, ack->nxt, ack->rtt, ack->now)) {
        cc->ssthresh = cc->cwnd;
        cc->hystart.done = true;
        return;
    }
    if (!ack->full && cc->phase == TCP_CC_OPEN)
        return;
    cc->acked += ack->acked;
    uint32_t divisor = tcp_hystart_divisor(&cc->hystart), grow = cc->acked / divisor;
    cc->acked -= grow * divisor;
    cc->cwnd = min32(cc->cwnd + grow, cc->max);
}

void tcp_cc_ack(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    if (cc->cwnd < cc->ssthresh)
        slow_start(cc, ack);
    else if (ack->full || cc->phase == TCP_CC_LOSS)
        cc->ops->avoid(cc, ack);
    cc->cwnd = min32(cc->cwnd, cc->max);
}

void tcp_cc_congestion(struct tcp_cc *cc, enum tcp_cc_phase phase, uint32_t flight, uint32_t mss)
{
    cc->ssthresh = cc->ops->reduce(cc, flight, mss);
    cc->acked = 0;
    cc->phase = (uint8_t)phase;
    cc->hystart.done = true;
}

void tcp_cc_timeout(struct tcp_cc *cc, uint32_t flight, uint32_t mss, bool first)
{
    if (first)
        cc->ssthresh = cc->ops->reduce(cc, flight, mss);
    cc->ops->timeout(cc);
    cc->cwnd = mss;
    cc->acked = 0;
    cc->phase = TCP_CC_LOSS;
    cc->dupacks = 0;
    cc->hystart.done = true;
}
