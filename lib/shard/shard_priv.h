/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the shard room: the shard and its connections.
 *
 * A connection joins three things that do not know each other: TCP bytes, TLS records, a session.
 *
 * Invariants
 *  1. A connection is in at most one place: free, or in use; its `queued` flag says whether it is
 *     in the run queue.
 *  2. A record is opened only into a buffer that can keep it: into the payload's final place, or
 *     into a record buffer. When the session does not take all of it the connection keeps that buffer
 *     (stash) and opens nothing more until it is empty. So nothing decrypted is ever lost or copied
 *     twice.
 *  3. A shard has RECORD_BUFFERS of them; when none is free nothing is opened, TCP windows close.
 *  4. Public-key work happens only in run_handshakes(), HANDSHAKES_PER_TURN a turn.
 *  5. Alerts and ERROR are flushed before FIN; after our FIN input is read and thrown away until
 *     the peer's FIN or `linger`, so that a reset does not destroy what the peer has not read yet.
 */
#ifndef HG_LIB_SHARD_SHARD_PRIV_H
#define HG_LIB_SHARD_SHARD_PRIV_H

#include <headgate/log.h>
#include <headgate/shard.h>
#include <headgate/wheel.h>
#include <rte_ring.h>
#include <sys/queue.h>

#define RX_BURSTS_PER_TURN 4
#define EVENTS_PER_TURN 128
#define RUNS_PER_TURN 64
#define RECORDS_PER_RUN 8
#define BYTES_PER_TURN                                                                             \
    (256u << 10) /* opened and inflated, before RX, store and timers come again */
#define HANDSHAKES_PER_TURN 1
#define CALLS_PER_TURN 16
#define RECORD_BUFFERS 256
#define RECORD_ROOM ((HG_TLS_MAX_RECORD + 63u) & ~63u) /* whole cache lines */
#define RCV_LOW                                                                                    \
    (HG_TLS_MAX_RECORD + 2048u) /* a whole record, and a segment's worth in front of it */
#define PEEK_FIRST 13           /* pieces of 1448 bytes in the largest record, and one */
#define PEEK_IOV 64             /* the stack folds small segments together: no record is in more */

enum conn_state {
    C_HANDSHAKE,
    C_SESSION,
    C_CLOSING, /* our FIN is queued; invariant 5 */
};

struct hg_conn {
    TAILQ_ENTRY(hg_conn) link; /* run queue, handshake queue or free list */
    struct hg_shard *shard;
    struct hg_tcp_conn *tcp;
    struct hg_tls *tls;
    struct hg_session *sess;
    uint8_t *stash; /* record buffer with plaintext not taken yet */
    uint32_t stash_off, stash_len;
    uint32_t record_size; /* of the next record, 0: not known yet */
    enum conn_state state;
    bool in_use, queued, handshake_queued, eof;
    struct hg_timer timer; /* handshake or linger deadline, or the session's next look */
    uint64_t acked;        /* payload bytes the peer had acknowledged at acked_at */
    hg_ns acked_at;        /* last time it acknowledged more, or had nothing to acknowledge */
    char peer[64];         /* "192.0.2.7:40112", for logs */
};

TAILQ_HEAD(conn_queue, hg_conn);

struct hg_shard {
    struct hg_shard_cfg cfg;
    struct hg_shard_counters count;
    hg_ns now;
    struct hg_net *net;
    struct hg_tcp *tcp;
    struct hg_tls_ctx *tls_ctx;
    struct hg_tls_shard *tls;
    struct hg_arena *arena;
    void *arena_mem;
    size_t arena_len;
    struct hg_store *store;
    struct hg_ingest *ingest;
    struct rte_mempool *hdr_pool, *clone_pool, *tx_pool;
    struct rte_ring *calls;
    struct rte_ring *strays; /* strays.c */
    unsigned stray_hops;     /* of the segment that is being taken in, 0: it came from the port */
    struct hg_shard *peers[HG_STORE_SHARDS_MAX];
    unsigned n_peers;
    struct hg_conn *conns;
    struct conn_queue free_conns, run, handshakes;
    struct hg_wheel wheel;
    uint32_t n_conns;
    uint8_t *record_mem;
    uint8_t *record_free[RECORD_BUFFERS];
    unsigned n_record_free;
    uint64_t opened; /* bytes of application records */
    bool draining;
    struct hg_log_limit log_limit;
};

/* conn.c */
/* NULL when refused; tcp is released then. */
struct hg_conn *conn_accept(struct hg_shard *sh, struct hg_tcp_conn *tcp);
void conn_event(struct hg_conn *c, uint32_t what);
void conn_queue(struct hg_conn *c);
/* Opens up to RECORDS_PER_RUN records; true when there is more to do. */
bool conn_run(struct hg_conn *c);
/* It runs next, or is NULL: fetches its state and its next record while another one is opened. */
void conn_prefetch(const struct hg_conn *c);
/* One step of the handshake. */
void conn_handshake(struct hg_conn *c);
/* Sends what TLS and the session have to say. */
void conn_flush(struct hg_conn *c);
void conn_timeout(struct hg_conn *c);
void conn_drain(struct hg_conn *c);
void conn_free(struct hg_conn *c);

/* strays.c: segments that came to a shard which does not have their connection. */
/* 0 or -ENOMEM. */
int strays_create(struct hg_shard *sh);
void strays_destroy(struct hg_shard *sh);
/* env.stray of TCP. */
bool strays_pass(void *shard, const struct hg_seg *seg);
/* Takes in what others passed; returns how many. */
unsigned strays_poll(struct hg_shard *sh);

/* peers.c */
void peers_fence(void *shard, const char *volume);
void peers_share_neighbours(struct hg_shard *sh);

#endif /* HG_LIB_SHARD_SHARD_PRIV_H */
