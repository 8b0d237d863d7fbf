/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: how much may be on its way. An algorithm is a row of functions with state of
 * its own in the connection; CUBIC (RFC 9438) is the default, NewReno (RFC 5681) the alternative.
 * Both begin with the initial window of RFC 6928, count bytes (RFC 3465) and leave slow start by
 * HyStart++ (RFC 9406). Pure functions; what is lost is tcp_loss.c's business.
 *
 * Phases: OPEN -> RECOVERY on loss, -> CWR on an ECN echo, -> LOSS on time-out; back to OPEN when
 * everything sent before that (`recover`) is acknowledged, or when it proves to have been no loss.
 */
#ifndef HEADGATE_TCP_CC_H
#define HEADGATE_TCP_CC_H

#include "tcp_hystart.h"
#include <stdalign.h>

enum tcp_cc_phase { TCP_CC_OPEN, TCP_CC_CWR, TCP_CC_RECOVERY, TCP_CC_LOSS };

#define TCP_CC_STATE 56 /* bytes of an algorithm's own state */

struct tcp_cc_ops;

struct tcp_cc {
    const struct tcp_cc_ops *ops;
    uint32_t cwnd, ssthresh; /* bytes */
    uint32_t max;            /* cwnd never grows above it, bytes */
    uint32_t acked;          /* bytes towards the next step of growth */
    uint32_t recover;        /* RFC 6582: SND.NXT when the phase began */
    uint8_t phase;           /* enum tcp_cc_phase */
    uint8_t dupacks;         /* duplicate ACKs in a row, saturating */
    struct tcp_hystart hystart;
    alignas(8) uint8_t state[TCP_CC_STATE];
};

/* What an algorithm is told with every ACK of new data outside of recovery. */
struct tcp_cc_ack {
    hg_ns now;
    hg_ns rtt;    /* measured by this ACK; 0: none */
    hg_ns srtt;   /* smoothed; 0: none */
    uint32_t una; /* SND.UNA, and SND.NXT */
    uint32_t nxt;
    uint32_t acked; /* bytes */
    uint32_t mss;
    bool full; /* the window was in use: it may grow (RFC 7661 4.1) */
};

struct tcp_cc_ops {
    const char *name;
    /* state[] is zero. */
    void (*init)(struct tcp_cc *cc);
    /* Congestion avoidance: cwnd >= ssthresh, and the window was in use. */
    void (*avoid)(struct tcp_cc *cc, const struct tcp_cc_ack *ack);
    /* Congestion with so many bytes on their way: the new ssthresh. */
    uint32_t (*reduce)(struct tcp_cc *cc, uint32_t flight, uint32_t mss);
    /* The retransmission timer expired, after reduce() if that was due. */
    void (*timeout)(struct tcp_cc *cc);
    /* Nothing was sent for this long. */
    void (*idle)(struct tcp_cc *cc, hg_ns time);
    /* The last reduction was a mistake. */
    void (*undo)(struct tcp_cc *cc);
};

extern const struct tcp_cc_ops tcp_cc_newreno;
extern const struct tcp_cc_ops tcp_cc_cubic;

/* Starts a connection. max: bytes. */
void tcp_cc_init(struct tcp_cc *cc, const struct tcp_cc_ops *ops, uint32_t mss, uint32_t max);

/* RFC 6928: min(10 MSS, max(2 MSS, 14600)). */
uint32_t tcp_cc_initial_window(uint32_t mss);

/* New bytes were acknowledged in OPEN or LOSS. */
void tcp_cc_ack(struct tcp_cc *cc, const struct tcp_cc_ack *ack);

/* Loss without time-out, or an ECN echo (`phase`): ssthresh is set; cwnd is left to tcp_prr.h. */
void tcp_cc_congestion(struct tcp_cc *cc, enum tcp_cc_phase phase, uint32_t flight, uint32_t mss);

/* Time-out (RFC 5681 3.1 equation 4). `first`: not a repeated time-out of the same segment. */
void tcp_cc_timeout(struct tcp_cc *cc, uint32_t flight, uint32_t mss, bool first);

#endif /* HEADGATE_TCP_CC_H */
