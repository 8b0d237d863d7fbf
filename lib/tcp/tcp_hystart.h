/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HyStart++ (RFC 9406): the first slow start ends when the round-trip time begins to grow, before a
 * queue on the way overflows. Pure functions.
 *
 * The RFC's signal is late: the least delay of a round is that of its first segments, and those of
 * the next were sent when the window was half as large. So there is a second, the ACK train of the
 * first HyStart (Ha and Rhee 2011; Linux has it too): when the ACKs of one round keep coming for half
 * of the round-trip time, the window is between half of the path and all of it. It does not end slow
 * start, since ACKs that the way back has spread out look the same, but makes it conservative.
 */
#ifndef HEADGATE_TCP_HYSTART_H
#define HEADGATE_TCP_HYSTART_H

#include <headgate/base.h>
#include <stdbool.h>
#include <stdint.h>

struct tcp_hystart {
    hg_ns last_min, cur_min; /* lastRoundMinRTT, currentRoundMinRTT; 0: infinite */
    hg_ns css_min;           /* cssBaselineMinRtt; 0: the ACK train was the reason */
    hg_ns min;               /* least round-trip time of all; 0: unknown */
    hg_ns round_at, last_at; /* begin of the round; the last ACK of its train, 0: it broke off */
    uint32_t window_end;     /* the round ends when this is acknowledged */
    uint8_t samples;         /* rttSampleCount, saturating */
    uint8_t css_rounds;      /* rounds spent in conservative slow start */
    bool begun, css;
    bool done; /* slow start was left: later ones are not watched */
};

/* One ACK in slow start; rtt 0: no sample. False: slow start has to end now. */
bool tcp_hystart_ack(struct tcp_hystart *h, uint32_t una, uint32_t nxt, hg_ns rtt, hg_ns now);

/* By which the growth of the window is divided now. */
uint32_t tcp_hystart_divisor(const struct tcp_hystart *h);

#endif /* HEADGATE_TCP_HYSTART_H */
