/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TCP peer that shares no code with lib/tcp: as simple as a TCP can be (go-back-N, a fixed timer, a map
 * of bytes as receive buffer), and as odd as one may be. What it does beyond that is chosen from a seed:
 *
 *   - offers any MSS from 1 to 65535, with or without SACK, timestamps and window scale
 *   - a window that opens by single bytes, closes for seconds, or is taken back
 *   - acknowledges every segment, every n-th, in several pieces, or late
 *   - forgets what it had reported by SACK (reneging)
 *   - sends again with other boundaries, out of order, and single bytes into a closed window
 *   - opens at the same moment as we do, closes first, last, or at the same moment
 *   - crashes: knows nothing any more and answers with resets
 *
 * It reads and writes the pattern stream of the simulation and says where both ended.
 */
#ifndef HEADGATE_TESTS_SIM_MODEL_PEER_H
#define HEADGATE_TESTS_SIM_MODEL_PEER_H

#include "net_model.h"

#define MODEL_WINDOW 65536u /* bytes of receive buffer */

enum model_state { MODEL_CLOSED, MODEL_SYN_SENT, MODEL_SYN_RECEIVED, MODEL_OPEN, MODEL_RESET };

struct model_cfg {
    uint64_t seed;
    struct hg_flow flow; /* as the peer sees it: local is the peer */
    uint64_t to_send;    /* bytes, then FIN */
    /* Byte `offset` of the stream that the peer sends (0) or expects (1). */
    uint8_t (*byte)(unsigned dir, uint64_t offset);
    struct rte_mempool *pool; /* of its segments */
    /* Takes a segment on its way to us. */
    void (*emit)(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now);
    void *arg;
};

struct model_peer {
    struct model_cfg cfg;
    struct net_rng rng;
    enum model_state state;
    /* habits */
    bool sack, ts, wscale, renege, shrink, silly, split_acks, crash;
    uint8_t shift, their_shift, ack_every;
    uint16_t mss;
    hg_ns ack_delay, rto, crash_at;
    /* sending */
    uint32_t iss, una, nxt; /* sequence numbers; SYN is iss */
    uint32_t their_wnd, their_mss;
    bool fin_acked;
    hg_ns rto_at;
    /* receiving */
    uint32_t irs, rcv_nxt;
    uint8_t have[MODEL_WINDOW]; /* [seq % MODEL_WINDOW] of rcv_nxt .. rcv_nxt + MODEL_WINDOW */
    uint32_t edge;              /* right edge as advertised */
    uint32_t fin_seq;
    bool fin_seen, fin_taken, ack_due;
    unsigned unacked; /* segments */
    hg_ns ack_at, wnd_at;
    uint32_t wnd; /* offered now, bytes */
    uint32_t ts_recent;
    uint64_t received; /* bytes that arrived in order and were right */
    const char *failure;
};

void model_init(struct model_peer *p, const struct model_cfg *cfg, hg_ns now);
/* Sends its SYN. */
void model_connect(struct model_peer *p, hg_ns now);
/* Takes a segment; frees it. */
void model_input(struct model_peer *p, struct rte_mbuf *m, hg_ns now);
/* Timers, and what there is to send. */
void model_poll(struct model_peer *p, hg_ns now);
/* 0: nothing to wait for. */
hg_ns model_next(const struct model_peer *p);
/* Everything was sent and acknowledged, and the other side's FIN arrived. */
bool model_done(const struct model_peer *p);

#endif /* HEADGATE_TESTS_SIM_MODEL_PEER_H */
