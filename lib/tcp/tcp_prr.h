/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proportional rate reduction (RFC 6937): in recovery the window comes down to ssthresh in step with
 * what arrives at the peer, neither in one fall nor in a burst at the end. Pure functions.
 */
#ifndef HEADGATE_TCP_PRR_H
#define HEADGATE_TCP_PRR_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_prr {
    uint32_t flight;    /* RecoverFS: SND.NXT - SND.UNA when recovery began */
    uint32_t delivered; /* prr_delivered: bytes that have arrived since */
    uint32_t out;       /* prr_out: bytes sent since */
};

static inline void tcp_prr_begin(struct tcp_prr *prr, uint32_t flight)
{
    *prr = (struct tcp_prr){.flight = flight ? flight : 1};
}

/* One ACK told of `delivered` bytes that arrived, with `pipe` bytes on their way after it. progress:
 * SND.UNA moved and nothing more is lost, so the reduction may be made good by slow start. Returns
 * the congestion window of this moment. */
uint32_t tcp_prr_window(struct tcp_prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                        uint32_t mss_if_progress);

#endif /* HEADGATE_TCP_PRR_H */
