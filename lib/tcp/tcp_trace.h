/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last events of each connection, for whoever asks why it behaves as it does. Recording is a few
 * stores into 512 bytes that are touched by nothing else, and happens at rare events only: never for a
 * segment that arrives in order, and events of one kind in a row share an entry.
 */
#ifndef HEADGATE_TCP_TRACE_H
#define HEADGATE_TCP_TRACE_H

#include <headgate/base.h>
#include <stdint.h>

struct hg_tcp_conn;

/* X(symbol, what happened, name of the first value, name of the second; "" when there is none). Sequence
 * numbers are relative to the first of their direction. */
#define TCP_TRACE_KINDS(X)                                                                         \
    X(STATE, "state", "", "")                                                                      \
    X(SYN_IN, "SYN received", "mss", "window")                                                     \
    X(SYN_OUT, "SYN sent", "try", "mss")                                                           \
    X(FIN_IN, "FIN received", "seq", "")                                                           \
    X(FIN_OUT, "FIN sent", "seq", "")                                                              \
    X(RST_IN, "RST received", "seq", "expected")                                                   \
    X(RST_OUT, "RST sent", "seq", "")                                                              \
    X(RTO, "retransmission time-out", "in_flight", "rto_ms")                                       \
    X(RECOVERY, "loss recovery begun", "in_flight", "cwnd")                                        \
    X(RECOVERED, "loss recovery done", "cwnd", "ssthresh")                                         \
    X(UNDONE, "loss recovery undone", "cwnd", "ssthresh")                                          \
    X(TLP, "tail loss probe due", "in_flight", "")                                                 \
    X(CWND_CUT, "congestion window reduced", "from", "to")                                         \
    X(PEER_WND_CLOSED, "peer's window closed", "unacked", "")                                      \
    X(PEER_WND_OPENED, "peer's window opened", "window", "")                                       \
    X(WND_CLOSED, "our window closed", "unread", "")                                               \
    X(WND_OPENED, "our window opened", "window", "")                                               \
    X(PERSIST, "window probe sent", "try", "")                                                     \
    X(KEEPALIVE, "keep-alive probe sent", "try", "")                                               \
    X(OOO, "out of order", "seq", "bytes")                                                         \
    X(DUP, "duplicate", "seq", "bytes")                                                            \
    X(OUT_OF_WINDOW, "outside the window", "seq", "bytes")                                         \
    X(OOO_DROP, "out-of-order data dropped", "seq", "bytes")                                       \
    X(MEM_DROP, "dropped for memory", "seq", "bytes")                                              \
    X(PAWS, "dropped by PAWS", "ts", "ts_recent")                                                  \
    X(BAD_ACK, "acknowledges what was never sent", "ack", "snd_nxt")                               \
    X(CHALLENGE, "challenge ACK sent", "", "")                                                     \
    X(MSS, "path MTU: segments resized", "from", "to")                                             \
    X(UNREACHABLE, "ICMP unreachable", "code", "")                                                 \
    X(TOO_BIG, "ICMP packet too big", "mtu", "")                                                   \
    X(ERROR, "ended", "errno", "")

#define TCP_TRACE_SYMBOL(symbol, what, a, b) TCP_TR_##symbol,
enum tcp_trace_kind { TCP_TRACE_KINDS(TCP_TRACE_SYMBOL) TCP_TR_COUNT };

struct tcp_trace_entry {
    uint64_t key; /* microseconds << 16 | repetitions << 8 | kind */
    uint32_t a, b;
};

#define TCP_TRACE_MAX 31u /* HG_TCP_TRACE_MAX */

struct tcp_trace {
    uint32_t n; /* entries ever written */
    uint32_t reserved[3];
    struct tcp_trace_entry entry[TCP_TRACE_MAX];
};
_Static_assert(sizeof(struct tcp_trace) == 512, "what a connection pays for its trace");

/* Adds an event at the time of the current call; `a` and `b` as TCP_TRACE_KINDS names them. */
void tcp_trace(const struct hg_tcp_conn *conn, enum tcp_trace_kind kind, uint32_t a, uint32_t b);

/* A new connection at this place. */
void tcp_trace_reset(const struct hg_tcp_conn *conn);

#endif /* HEADGATE_TCP_TRACE_H */
