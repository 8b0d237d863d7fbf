/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One stack with a hand-made peer: the test builds each segment that arrives, and looks at each
 * that leaves. Every test ends in rig_fini(), which fails if one mbuf is missing from a pool.
 */
#ifndef HEADGATE_TESTS_UNIT_TCP_RIG_H
#define HEADGATE_TESTS_UNIT_TCP_RIG_H

#include "tcp_conn.h"

#include <headgate/tcp.h>

#define RIG_PORT 1500
#define RIG_PEER_PORT 40000
#define RIG_IRS 0xfffff800u /* the peer's ISN: numbers wrap after two kilobytes */
#define RIG_OUT_MAX 512
#define RIG_MSS 1000 /* both sides; payload with timestamps is 12 less */

/* A segment that left. */
struct rig_out {
    struct tcp_hdr h;
    struct hg_flow flow;
    uint8_t ecn;
    uint32_t len; /* payload bytes */
    uint8_t data[16384];
    unsigned mbufs;
    uint16_t tso_segsz; /* of the mbuf */
};

struct rig {
    struct hg_tcp *tcp;
    hg_ns now;
    struct rte_mempool *hdr, *clone, *data;
    struct rig_out out[RIG_OUT_MAX];
    unsigned n_out, taken;
    struct hg_tcp_conn *conn;
    uint32_t iss;     /* ours, learnt from the SYN or SYN-ACK */
    uint32_t options; /* TCP_HAS_* the peer offers in its SYN */
    uint32_t ts;      /* the peer's timestamp clock */
    uint16_t mtu;
    uint16_t uto;           /* with TCP_HAS_UTO in options */
    struct tcp_hdr syn_ack; /* what rig_accept() got */
    uint16_t mss;           /* that the peer offers; 0: RIG_MSS */
    hg_ns rtt;              /* how long rig_accept() takes */
    uint8_t syn_flags;      /* of rig_accept()'s SYN beside SYN */
};

/* What arrives. Sequence numbers are offsets: seq from the peer's ISN, ack from ours; so data
 * begins at 1. */
struct rig_in {
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t wnd; /* as in the field */
    uint32_t len; /* payload: byte i of the stream is rig_byte(i) */
    uint8_t n_sack;
    struct tcp_block sack[4]; /* offsets from our ISN */
    uint32_t ts_val;          /* 0: the rig's clock */
    uint32_t ts_ecr;          /* 0: no echo */
    uint8_t ecn;              /* IP ECN bits */
    uint16_t port;            /* the peer's; 0: RIG_PEER_PORT */
    bool no_ts;
};

/* EAL for the whole program; exits on failure. */
void rig_eal(void);

/* A stack with cfg (NULL: defaults of the rig; zero fields as in the contract). */
void rig_init(struct rig *rig, const struct hg_tcp_cfg *cfg);
void rig_fini(struct rig *rig);

/* Delivers one segment and polls; rig_in_only() does not poll. */
void rig_in(struct rig *rig, struct rig_in in);
void rig_in_only(struct rig *rig, struct rig_in in);
/* As an ICMP message. */
void rig_icmp(struct rig *rig, struct hg_seg seg, uint32_t quoted);

void rig_poll(struct rig *rig);
/* Moves time by `by`, stopping wherever the stack asks for it. */
void rig_advance(struct rig *rig, hg_ns by);

/* The next segment that left, in order; NULL: none. */
const struct rig_out *rig_take(struct rig *rig);
/* Takes the next segment and checks flags, and seq/ack as offsets (see rig_in). */
const struct rig_out *rig_expect(struct rig *rig, uint8_t flags, uint32_t seq, uint32_t ack);
/* Nothing (more) left. */
void rig_expect_none(struct rig *rig);
/* Forgets what left. */
void rig_skip(struct rig *rig);

/* Byte i of the peer's stream, and of ours. */
uint8_t rig_byte(uint32_t i);
/* An mbuf with bytes [at, at + len) of our stream. */
struct rte_mbuf *rig_payload(struct rig *rig, uint32_t at, uint32_t len);
/* Queues bytes [at, at + len) in one mbuf and expects success; no poll. */
void rig_send(struct rig *rig, uint32_t at, uint32_t len);
/* Reads n bytes, which must be stream bytes from `at` on; consumes them. */
void rig_read(struct rig *rig, uint32_t at, uint32_t n);

/* Takes the one event expected; returns its connection. */
struct hg_tcp_conn *rig_event(struct rig *rig, uint32_t what);
void rig_no_event(struct rig *rig);

/* Handshakes up to ESTABLISHED; rig->conn is set, all output taken, event pulled. */
void rig_accept(struct rig *rig);
void rig_connect(struct rig *rig);

/* State of rig->conn. */
const char *rig_state(const struct rig *rig);
/* Value of a counter by name. */
uint64_t rig_count(const struct rig *rig, const char *name);

#endif /* HEADGATE_TESTS_UNIT_TCP_RIG_H */
