/* SPDX-License-Identifier: BSD-3-Clause */
/* Round-trip time and retransmission time-out (RFC 6298). Pure functions. */
#ifndef HEADGATE_TCP_RTT_H
#define HEADGATE_TCP_RTT_H

#include <headgate/base.h>

#define TCP_RTO_INITIAL HG_SEC(1)    /* RFC 6298 2.1 */
#define TCP_RTT_GRANULARITY HG_MS(1) /* G: the timer wheel's tick */

struct tcp_rtt {
    hg_ns srtt; /* 0: no sample yet */
    hg_ns var;
    hg_ns rto;     /* without back-off, within the limits */
    uint8_t shift; /* back-off: the timer runs rto << shift */
};

void tcp_rtt_init(struct tcp_rtt *rtt);

/* A new measurement (RFC 6298 2.2, 2.3); ends the back-off. The caller obeys Karn's rule. */
void tcp_rtt_sample(struct tcp_rtt *rtt, hg_ns sample, hg_ns rto_min, hg_ns rto_max);

/* What the timer is set to now, at most rto_max. */
hg_ns tcp_rtt_timeout(const struct tcp_rtt *rtt, hg_ns rto_max);

/* RFC 6298 5.5. */
void tcp_rtt_backoff(struct tcp_rtt *rtt);

#endif /* HEADGATE_TCP_RTT_H */
