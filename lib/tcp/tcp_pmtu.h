/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large a packet the path takes (RFC 1191, RFC 8201; RFC 8899 for a TCP, as RFC 4821).
 *
 *   learnt from ICMP       the segment size goes down to what was said, and up again by probing
 *                          after TCP_PMTU_RAISE
 *   black hole             full segments time out again and again and nobody says why: down to a
 *                          size that every path should take, then up by probing
 *   probe                  one segment of new data that is larger than the others, of the largest size at
 *                          first, then by bisection. Acknowledged: that is the size. Lost for the third
 *                          time: it is too large; a loss may be chance, but is never taken for congestion
 *
 * A search that ended below the largest size begins again after TCP_PMTU_RAISE. A size found is
 * remembered for the pair of addresses, so that the next connection begins with it, and
 * offers it as MSS: a peer whose own packets vanish on such a path finds itself cured when it
 * connects again, although it may not look for black holes itself.
 *
 * Invariants of struct tcp_pmtu: (1) low <= snd_mss <= high while high is not 0 (a search is on, or
 * waits for `next`); (2) a probe is on its way while probe is not 0, and carries `excused`; (3) loss
 * within `excused` is not taken for congestion.
 */
#ifndef HEADGATE_TCP_PMTU_H
#define HEADGATE_TCP_PMTU_H

#include "tcp_hdr.h"
#include <headgate/net.h>
#include <stdbool.h>

#define TCP_PMTU_RAISE HG_SEC(600) /* RFC 1191 6.3, RFC 8899 5.1.1 */
#define TCP_PMTU_CACHE 256u        /* remembered pairs of addresses */

struct tcp_pmtu {
    hg_ns next;               /* no probe before then */
    struct tcp_block excused; /* sequence numbers; empty: none */
    uint16_t high;            /* largest segment worth trying, as snd_mss counts; 0: no search */
    uint16_t probe;           /* size of the probe on its way; 0: none */
    uint16_t top;             /* largest segment that both ends take; with `high` */
    uint8_t fails;            /* probes of the size in question that were lost */
};

/* What is known of one pair of addresses. */
struct tcp_pmtu_entry {
    struct hg_ip local, remote; /* routes, and ports, may differ by either */
    hg_ns expires;              /* 0: empty */
    uint16_t mtu;
};

struct hg_tcp;
struct hg_tcp_conn;

/* Largest IP packet of a flow: the port's, or what was found. */
uint16_t tcp_pmtu_get(const struct hg_tcp *tcp, const struct hg_flow *flow);

/* ICMP says that packets larger than mtu do not get through. */
void tcp_pmtu_too_big(struct hg_tcp_conn *conn, uint16_t mtu);
/* The retransmission timer expired for the conn->tries-th time in a row. */
void tcp_pmtu_timeout(struct hg_tcp_conn *conn);
/* SND.UNA moved. */
void tcp_pmtu_acked(struct hg_tcp_conn *conn);
/* Something is lost; returns how much of it is not excused, bytes. */
uint32_t tcp_pmtu_lost(struct hg_tcp_conn *conn);
/* Payload of the next segment if it is to be a probe, with `unsent` bytes waiting; else 0. */
uint32_t tcp_pmtu_probe_len(const struct hg_tcp_conn *conn, uint32_t unsent);
/* blk was sent again: if that is the probe's data, its acknowledgement no longer tells anything. */
void tcp_pmtu_sent_again(struct hg_tcp_conn *conn, struct tcp_block blk);
/* The probe left with sequence numbers blk. */
void tcp_pmtu_probe_sent(struct hg_tcp_conn *conn, struct tcp_block blk);

#endif /* HEADGATE_TCP_PMTU_H */
