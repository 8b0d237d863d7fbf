/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion window validation: see tcp_cwv.h. */
#include "tcp_cwv.h"
#include "tcp_seq.h"

#define SPAN_MIN HG_MS(500) /* with the span before it: RFC 7661 4.2, at least a second */
#define NVP HG_SEC(300)     /* RFC 7661 4.4: the non-validated period */

uint32_t tcp_cwv_pipeack(const struct tcp_cwv *v)
{
    return v->top[0] > v->top[1] ? v->top[0] : v->top[1];
}

static void round_trip_ended(struct tcp_cwv *v, const struct tcp_cc_ack *ack)
{
    if (ack->now >= v->span_end) {
        hg_ns span = ack->srtt + ack->srtt / 2;
        v->top[1] = v->top[0];
        v->top[0] = 0;
        v->span_end = ack->now + (span > SPAN_MIN ? span : SPAN_MIN);
    }
    if (v->acked > v->top[0])
        v->top[0] = v->acked;
    v->acked = 0;
    v->mark = ack->nxt;
}

bool tcp_cwv_ack(struct tcp_cwv *v, struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
    bool first = !v->span_end && !v->acked;

    if (first)
        v->mark = ack->nxt;
    v->acked += ack->acked;
    if (seq_ge(ack->una, v->mark) && !first)
        round_trip_ended(v, ack);
    uint32_t used = tcp_cwv_pipeack(v), flight = ack->nxt - ack->una + ack->acked;
    used = used > v->acked ? used : v->acked;
    /* In slow start a round trip acknowledges half of the window at best, and a little less when
     * the end of the round is not exact: there, what was on its way until now tells. */
    if (cc->cwnd < cc->ssthresh && used < flight)
        used = flight;
    /* 4.3: not known yet, or at least half of the window. */
    if (!v->span_end || used >= cc->cwnd / 2) {
        v->invalid_at = 0;
        return true;
    }
    if (!v->invalid_at)
        v->invalid_at = ack->now;
    return false;
}

void tcp_cwv_resume(struct tcp_cwv *v, struct tcp_cc *cc, uint32_t mss, hg_ns since, hg_ns now)
{
    if (!v->invalid_at)
        v->invalid_at = since;
    while (now - v->invalid_at >= NVP && cc->cwnd > tcp_cc_initial_window(mss)) {
        uint32_t kept = cc->cwnd / 4 * 3, half = cc->cwnd / 2, least = tcp_cc_initial_window(mss);
        cc->ssthresh = cc->ssthresh > kept ? cc->ssthresh : kept;
        cc->cwnd = half > least ? half : least;
        v->invalid_at += NVP;
    }
    cc->ops->idle(cc, now - since);
}
