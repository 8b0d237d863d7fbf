/* SPDX-License-Identifier: BSD-3-Clause */
/* NewReno: see tcp_cc.h. */
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

void tcp_cc_init(struct tcp_cc *cc, uint32_t mss, uint32_t max)
{
    *cc = (struct tcp_cc){.ssthresh = UINT32_MAX};
    cc->max = max32(max, 2 * mss);
    cc->cwnd = min32(tcp_cc_initial_window(mss), cc->max);
}

void tcp_cc_ack(struct tcp_cc *cc, uint32_t acked, uint32_t in_flight, uint32_t mss)
{
    if (cc->cwnd < cc->ssthresh) {
        /* Slow start. One ACK may stand for many segments, since receivers (ours among them)
         * acknowledge once per burst; so all of it counts, not RFC 3465's two segments. After a
         * time-out in_flight is small although the window is in use. */
        if (cc->phase == TCP_CC_LOSS || 2 * (uint64_t)in_flight >= cc->cwnd)
            cc->cwnd = min32(cc->cwnd + acked, cc->max);
        return;
    }
    if (cc->phase == TCP_CC_OPEN && (uint64_t)in_flight + mss < cc->cwnd)
        return;
    /* Congestion avoidance: a segment for each window's worth of acknowledged bytes. */
    cc->acked += acked;
    if (cc->acked >= cc->cwnd) {
        cc->acked -= cc->cwnd;
        cc->cwnd = min32(cc->cwnd + mss, cc->max);
    }
}

void tcp_cc_enter_recovery(struct tcp_cc *cc, uint32_t flight, uint32_t nxt, uint32_t mss)
{
    cc->ssthresh = max32(flight / 2, 2 * mss);
    cc->cwnd = cc->ssthresh;
    cc->acked = 0;
    cc->recover = nxt;
    cc->phase = TCP_CC_RECOVERY;
}

void tcp_cc_timeout(struct tcp_cc *cc, uint32_t flight, uint32_t nxt, uint32_t mss, bool first)
{
    if (first)
        cc->ssthresh = max32(flight / 2, 2 * mss);
    cc->cwnd = mss;
    cc->acked = 0;
    cc->recover = nxt;
    cc->phase = TCP_CC_LOSS;
    cc->dupacks = 0;
}

void tcp_cc_leave(struct tcp_cc *cc)
{
    cc->phase = TCP_CC_OPEN;
    cc->dupacks = 0;
}

void tcp_cc_idle(struct tcp_cc *cc, uint32_t mss)
{
    cc->cwnd = min32(cc->cwnd, tcp_cc_initial_window(mss));
}
