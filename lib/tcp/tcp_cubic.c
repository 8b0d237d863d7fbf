/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CUBIC (RFC 9438): after a reduction the window grows along a cubic function of time, so its growth
 * does not depend on the round-trip time, and never slower than Reno's would. Windows are counted in
 * segments here, in floating point, as the RFC's formulas are.
 */
#include "tcp_cc.h"

#include <math.h>
#include <string.h>

#define C 0.4 /* RFC 9438 5: segments per second cubed */
#define BETA 0.7
#define ALPHA (3 * (1 - BETA) / (1 + BETA))

struct cubic {
    hg_ns epoch; /* begin of this congestion avoidance; 0: not begun */
    double w_max;
    double k;     /* seconds from the epoch until W_cubic is w_max */
    double w_est; /* Reno's window */
    double w_max_before, cwnd_prior;
};
_Static_assert(sizeof(struct cubic) <= TCP_CC_STATE, "fits its place");

static struct cubic *cubic_of(struct tcp_cc *cc)
{
    return (struct cubic *)(void *)cc->state;
}

static void init(struct tcp_cc *cc)
{
    memset(cc->state, 0, sizeof cc->state);
}

/* 4.2, 4.3. */
static void begin_epoch(struct tcp_cc *cc, hg_ns now, double cwnd)
{
    struct cubic *cu = cubic_of(cc);

    cu->epoch = now;
    cu->w_est = cwnd;
    if (cwnd < cu->w_max) {
        cu->k = cbrt((cu->w_max - cwnd) / C);
    } else {
        cu->k = 0; /* 4.8: after slow start without a loss there is no plateau to return to */
        cu->w_max = cwnd;
    }
}

static double w_cubic(const struct cubic *cu, hg_ns t)
{
    double x = (double)t / 1e9 - cu->k;

    return C * x * x * x + cu->w_max;
}

static void avoid(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    struct cubic *cu = cubic_of(cc);
    double cwnd = (double)cc->cwnd / ack->mss, acked = (double)ack->acked / ack->mss;

    if (!cu->epoch || ack->now < cu->epoch)
        begin_epoch(cc, ack->now, cwnd);
    hg_ns t = ack->now - cu->epoch;
    double target = w_cubic(cu, t + ack->srtt);
    /* 4.3: Reno's window, which grows as fast as Reno once it is where the loss was. */
    cu->w_est += (cu->w_est < cu->cwnd_prior ? ALPHA : 1.0) * acked / cwnd;
    if (w_cubic(cu, t) < cu->w_est) {
        if (cu->w_est > cwnd)
            cwnd = cu->w_est;
    } else if (target > cwnd) { /* 4.4, 4.5 */
        target = target < 1.5 * cwnd ? target : 1.5 * cwnd;
        cwnd += (target - cwnd) / cwnd * acked;
    }
    double bytes = cwnd * ack->mss;
    cc->cwnd = bytes < cc->max ? (uint32_t)bytes : cc->max;
}

/* 4.6, 4.7. */
static uint32_t reduce(struct tcp_cc *cc, uint32_t flight, uint32_t mss)
{
    struct cubic *cu = cubic_of(cc);
    double cwnd = (double)cc->cwnd / mss;
    uint32_t used = flight < cc->cwnd ? flight : cc->cwnd;
    uint32_t ssthresh = (uint32_t)(used * BETA);

    cu->epoch = 0;
    cu->w_max_before = cu->w_max;
    cu->cwnd_prior = cwnd;
    cu->w_max = cwnd < cu->w_max ? cwnd * (1 + BETA) / 2 : cwnd; /* fast convergence */
    return ssthresh > 2 * mss ? ssthresh : 2 * mss;
}

/* RFC 9438 5.8: time in which nothing was sent does not count. */
static void idle(struct tcp_cc *cc, hg_ns time)
{
    struct cubic *cu = cubic_of(cc);

    if (cu->epoch)
        cu->epoch += time;
}

static void undo(struct tcp_cc *cc)
{
    struct cubic *cu = cubic_of(cc);

    cu->w_max = cu->w_max_before;
    cu->epoch = 0;
}

const struct tcp_cc_ops tcp_cc_cubic = {
    .name = "cubic",
    .init = init,
    .avoid = avoid,
    .reduce = reduce,
    .idle = idle,
    .undo = undo,
};
