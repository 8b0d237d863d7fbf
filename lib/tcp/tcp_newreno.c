/* SPDX-License-Identifier: BSD-3-Clause */
/* NewReno (RFC 5681): a segment for each window's worth of acknowledged bytes; half on loss. */
#include "tcp_cc.h"

static void init(struct tcp_cc *cc)
{
    (void)cc;
}

static void avoid(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    cc->acked += ack->acked;
    if (cc->acked >= cc->cwnd) {
        cc->acked -= cc->cwnd;
        cc->cwnd += ack->mss;
    }
}

static uint32_t reduce(struct tcp_cc *cc, uint32_t flight, uint32_t mss)
{
    (void)cc;
    return flight / 2 > 2 * mss ? flight / 2 : 2 * mss;
}

static void timeout(struct tcp_cc *cc)
{
    (void)cc;
}

static void idle(struct tcp_cc *cc, hg_ns time)
{
    (void)cc;
    (void)time;
}

static void undo(struct tcp_cc *cc)
{
    (void)cc;
}

const struct tcp_cc_ops tcp_cc_newreno = {
    .name = "reno",
    .init = init,
    .avoid = avoid,
    .reduce = reduce,
    .timeout = timeout,
    .idle = idle,
    .undo = undo,
};
