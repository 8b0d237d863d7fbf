/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the sent data is lost, judged by time (RFC 8985, RACK): what was sent a reordering window
 * before something that has arrived. Pure functions; what was sent when is in tcp_sent.h.
 */
#ifndef HEADGATE_TCP_RACK_H
#define HEADGATE_TCP_RACK_H

#include "tcp_sent.h"

struct tcp_rack {
    /* RACK.xmit_ts and RACK.end_seq: when the range sent last of all that arrived was sent, and its
     * end. */
    struct tcp_arrived last;
    hg_ns rtt;          /* RACK.rtt: how long it was on its way */
    hg_ns min_rtt[2];   /* least RTT of this span of time and of the one before; 0: none */
    hg_ns min_since;    /* begin of the span */
    uint32_t round_end; /* D-SACKs up to here widen the window once */
    uint8_t multiple;   /* RACK.reo_wnd_mult, from 1 */
    uint8_t persist;    /* RACK.reo_wnd_persist: recoveries until it is 1 again */
    bool round;         /* round_end is not acknowledged yet */
    bool reordering;    /* RACK.reordering_seen */
};

void tcp_rack_init(struct tcp_rack *rack);

/* A round-trip time that was measured elsewhere: the handshake's. */
void tcp_rack_sample(struct tcp_rack *rack, hg_ns rtt, hg_ns now);

/* Steps 1 to 3. echo_ok: the ACK's echoed timestamp, if it has one, is not older than the
 * retransmission that d tells of. Returns an RTT measured on something sent once; 0: none. */
hg_ns tcp_rack_update(struct tcp_rack *rack, const struct tcp_delivered *d, hg_ns now,
                      bool echo_ok);

/* Least RTT of the last minutes; 0: none measured. */
hg_ns tcp_rack_min_rtt(const struct tcp_rack *rack);

/* Step 4: the reordering window. hasty: in recovery, or three segments were reported: then there is
 * no window unless reordering has been seen. */
hg_ns tcp_rack_window(const struct tcp_rack *rack, hg_ns srtt, bool hasty);

/* Every ACK, before tcp_rack_dsack(): the round may be over. Asked later than after 2 GB its end would
 * look as if it were yet to come. */
void tcp_rack_round(struct tcp_rack *rack, uint32_t una);
/* The peer received something twice; nxt is SND.NXT. */
void tcp_rack_dsack(struct tcp_rack *rack, uint32_t nxt);
/* What was sent again had only been overtaken: found out by the first copy's arrival, as it was no
 * longer "sent once" for tcp_rack_update(). */
void tcp_rack_overtaken(struct tcp_rack *rack);
/* A recovery ended. */
void tcp_rack_recovered(struct tcp_rack *rack);

#endif /* HEADGATE_TCP_RACK_H */
