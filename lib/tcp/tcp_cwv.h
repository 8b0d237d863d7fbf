/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion window validation (RFC 7661): a window that was not used is no proof that the path
 * takes so much. It neither grows nor, for five minutes, shrinks. Pure functions.
 */
#ifndef HEADGATE_TCP_CWV_H
#define HEADGATE_TCP_CWV_H

#include "tcp_cc.h"

struct tcp_cwv {
    hg_ns span_end;   /* maxima are over this span of time and the one before; 0: not begun */
    hg_ns invalid_at; /* begin of the non-validated phase; 0: the window is validated */
    uint32_t mark;    /* the round trip ends when this is acknowledged */
    uint32_t acked;   /* bytes acknowledged in it so far */
    uint32_t top[2];  /* most bytes acknowledged in one round trip */
};

/* What an ACK changed: SND.UNA moved by `acked` to una. Returns whether the window is validated. */
bool tcp_cwv_ack(struct tcp_cwv *v, struct tcp_cc *cc, const struct tcp_cc_ack *ack);

/* pipeACK, bytes: the most that was acknowledged in a round trip lately. */
uint32_t tcp_cwv_pipeack(const struct tcp_cwv *v);

/* Before something is sent with nothing on its way since `since`: RFC 7661 4.4.2. */
void tcp_cwv_resume(struct tcp_cwv *v, struct tcp_cc *cc, uint32_t mss, hg_ns since, hg_ns now);

#endif /* HEADGATE_TCP_CWV_H */
