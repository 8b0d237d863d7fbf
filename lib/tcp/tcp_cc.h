/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: NewReno (RFC 5681, RFC 6582) with initial window 10 (RFC 6928), counting
 * bytes (RFC 3465). Pure functions; what is lost and in flight is tcp_sack.h's business.
 *
 * Phases: OPEN -> RECOVERY on loss seen by the peer's reports, OPEN or RECOVERY -> LOSS on
 * time-out; back to OPEN when everything sent before the loss (`recover`) is acknowledged.
 */
#ifndef HEADGATE_TCP_CC_H
#define HEADGATE_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

enum tcp_cc_phase { TCP_CC_OPEN, TCP_CC_RECOVERY, TCP_CC_LOSS };

struct tcp_cc {
    uint32_t cwnd, ssthresh; /* bytes */
    uint32_t max;            /* cwnd never grows above it, bytes */
    uint32_t acked;          /* bytes towards the next segment of congestion avoidance */
    uint32_t recover;        /* RFC 6582: SND.NXT when the loss was seen */
    uint8_t phase;           /* enum tcp_cc_phase */
    uint8_t dupacks;         /* duplicate ACKs in a row, saturating */
};

/* Starts a connection; max: send buffer, bytes. */
void tcp_cc_init(struct tcp_cc *cc, uint32_t mss, uint32_t max);

/* RFC 6928: min(10 MSS, max(2 MSS, 14600)). */
uint32_t tcp_cc_initial_window(uint32_t mss);

/* `acked` new bytes were acknowledged outside RECOVERY. in_flight is from before this ACK: a
 * window that was not in use does not grow (RFC 7661 4.1's reason). */
void tcp_cc_ack(struct tcp_cc *cc, uint32_t acked, uint32_t in_flight, uint32_t mss);

/* Loss without time-out (RFC 6675 5 step 4). */
void tcp_cc_enter_recovery(struct tcp_cc *cc, uint32_t flight, uint32_t nxt, uint32_t mss);

/* Time-out (RFC 5681 3.1 equation 4). `first`: not a repeated time-out of the same segment. */
void tcp_cc_timeout(struct tcp_cc *cc, uint32_t flight, uint32_t nxt, uint32_t mss, bool first);

/* Everything up to `recover` has been acknowledged. */
void tcp_cc_leave(struct tcp_cc *cc);

/* Nothing was sent for longer than an RTO (RFC 5681 4.1). */
void tcp_cc_idle(struct tcp_cc *cc, uint32_t mss);

#endif /* HEADGATE_TCP_CC_H */
