/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 6298: see tcp_rtt.h. */
#include "tcp_rtt.h"

#define BACKOFF_SHIFT_MAX 16 /* beyond rto_max for any rto_min worth setting */

void tcp_rtt_init(struct tcp_rtt *rtt)
{
    *rtt = (struct tcp_rtt){.rto = TCP_RTO_INITIAL};
}

void tcp_rtt_sample(struct tcp_rtt *rtt, hg_ns sample, hg_ns rto_min, hg_ns rto_max)
{
    if (!rtt->srtt) {
        rtt->srtt = sample ? sample : 1;
        rtt->var = sample / 2;
    } else {
        hg_ns delta = rtt->srtt > sample ? rtt->srtt - sample : sample - rtt->srtt;
        rtt->var = rtt->var - rtt->var / 4 + delta / 4;
        rtt->srtt = rtt->srtt - rtt->srtt / 8 + sample / 8;
        rtt->srtt += rtt->srtt == 0;
    }
    hg_ns term = 4 * rtt->var;
    hg_ns rto = rtt->srtt + (term > TCP_RTT_GRANULARITY ? term : TCP_RTT_GRANULARITY);

    rtt->rto = rto < rto_min ? rto_min : rto > rto_max ? rto_max : rto;
    rtt->shift = 0;
}

hg_ns tcp_rtt_timeout(const struct tcp_rtt *rtt, hg_ns rto_max)
{
    hg_ns t = rtt->rto << rtt->shift;

    return t < rto_max ? t : rto_max;
}

void tcp_rtt_backoff(struct tcp_rtt *rtt)
{
    if (rtt->shift < BACKOFF_SHIFT_MAX)
        rtt->shift++;
}
