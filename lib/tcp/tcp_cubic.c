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

/* A window's way back to where it was reduced. */
struct curve {
    float w_max;
    float k;          /* seconds from the epoch until W_cubic is w_max */
    float cwnd_prior; /* when it was last reduced */
};

struct cubic {
    hg_ns epoch;  /* begin of this congestion avoidance; 0: not begun */
    double w_est; /* Reno's window; grows by less than a float can tell */
    struct curve curve;
    /* The same before the last reduction: 4.9. */
    struct curve curve_before;
    float w_est_before;
    hg_ns epoch_before;
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
    if (cwnd < cu->curve.w_max) {
        cu->curve.k = (float)cbrt((cu->curve.w_max - cwnd) / C);
        return;
    }
    /* 4.8, 4.10: there is no plateau to return to after a time-out, or the first slow start. */
    cu->curve.k = 0;
    cu->curve.w_max = (float)cwnd;
}

static double w_cubic(const struct cubic *cu, hg_ns t)
{
    double x = (double)t / 1e9 - cu->curve.k;

    return C * x * x * x + cu->curve.w_max;
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
    cu->w_est += (cu->w_est < cu->curve.cwnd_prior ? ALPHA : 1.0) * acked / cwnd;
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

    cu->epoch_before = cu->epoch;
    cu->curve_before = cu->curve;
    cu->w_est_before = (float)cu->w_est;
    cu->epoch = 0;
    cu->curve.cwnd_prior = (float)cwnd;
    bool lower = cwnd < cu->curve.w_max; /* fast convergence */
    cu->curve.w_max = (float)(lower ? cwnd * (1 + BETA) / 2 : cwnd);
    return ssthresh > 2 * mss ? ssthresh : 2 * mss;
}

/* 4.8: W_max is the window at which congestion avoidance begins again, and K is 0. */
static void timeout(struct tcp_cc *cc)
{
    struct cubic *cu = cubic_of(cc);

    cu->epoch = 0;
    cu->curve.w_max = 0;
}

/* RFC 9438 5.8: time in which nothing was sent does not count. */
static void idle(struct tcp_cc *cc, hg_ns time)
{
    struct cubic *cu = cubic_of(cc);

    if (cu->epoch)
        cu->epoch += time;
}

/* 4.9: the curve goes on where it was. */
static void undo(struct tcp_cc *cc)
{
    struct cubic *cu = cubic_of(cc);

    cu->epoch = cu->epoch_before;
    cu->curve = cu->curve_before;
    cu->w_est = cu->w_est_before;
}

const struct tcp_cc_ops tcp_cc_cubic = {
    .name = "cubic",
    .init = init,
    .avoid = avoid,
    .reduce = reduce,
    .timeout = timeout,
    .idle = idle,
    .undo = undo,
};
