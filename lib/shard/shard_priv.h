/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the shard room: the shard and its connections.
 *
 * A connection joins things that do not know each other: TCP bytes, TLS records or none, a service
 * (service.h). Which, its listener tells.
 *
 * Invariants
 *  1. A connection is in at most one place: free, or in use; its `queued` flag says whether it is
 *     in the run queue.
 *  2. A record is opened only into a buffer that can keep it: into the payload's final place, or
 *     into a record buffer. When the service does not take all of it the connection keeps that buffer
 *     (stash) and opens nothing more until it is empty. So nothing decrypted is ever lost or copied
 *     twice. Plain bytes stay in their packets until the service has taken them.
 *  3. A shard has RECORD_BUFFERS of them; when none is free nothing is opened, TCP windows close.
 *  4. Public-key work happens only in handshakes_run(), or on helpers (handshakes.c).
 *  5. Alerts and ERROR are flushed before FIN, which waits for room for them; after our FIN input is read and thrown away until
 *     the peer's FIN or `linger`, which begins anew while the peer acknowledges (to a bound), so that
 *     a reset does not destroy what the peer has not read yet.
 *  6. A connection in C_SERVICE has a service, in other states none. Without TLS it begins there.
 *  7. The native protocol is reached only over a context that requires a certificate of clients (but
 *     in test profiles), and a client without a name has no session. The
 *     test services are there only when the profile has them. Their output has buffers of its own, so that
 *     they cannot keep the native protocol from acknowledging.
 */
#ifndef HG_LIB_SHARD_SHARD_PRIV_H
#define HG_LIB_SHARD_SHARD_PRIV_H

#include "service.h"
#include <headgate/helpers.h>
#include <headgate/log.h>
#include <headgate/shard.h>
#include <headgate/wheel.h>
#include <rte_ring.h>
#include <sys/queue.h>

#define RX_BURSTS_PER_TURN 4 /* of each port */
#define EVENTS_PER_TURN 128
#define RUNS_PER_TURN 64
#define RECORDS_PER_RUN 8
#define BYTES_PER_TURN                                                                             \
    (256u << 10)              /* opened and inflated, before RX, store and timers come again */
#define FLUSH_MAX (64u << 10) /* sent for one connection before others have their turn */
#define TEST_MBUFS 8191       /* output of the test services; see pattern.h before making it more */
#define CALLS_PER_TURN 16
#define RECORD_BUFFERS 256
#define RECORD_ROOM ((HG_TLS_MAX_RECORD + 63u) & ~63u) /* whole cache lines */
#define RCV_LOW                                                                                    \
    (HG_TLS_MAX_RECORD + 2048u) /* a whole record, and a segment's worth in front of it */
#define PEEK_FIRST 13           /* pieces of 1448 bytes in the largest record, and one */
#define PEEK_IOV 64             /* the stack folds small segments together: no record is in more */

enum conn_state {
    C_HANDSHAKE,
    C_SERVICE,
    C_CLOSING, /* our FIN is queued, or will be behind what TLS has to say; invariant 5 */
};

#define LISTENERS_MAX (1 + 2 * HG_TESTSVC_KINDS)
_Static_assert(LISTENERS_MAX <= HG_TCP_LISTENERS_MAX, "TCP has room for all of them");

/* A port, and what the connections to it are for. */
struct listener {
    uint16_t port;
    enum hg_testsvc_kind kind; /* which, of service_test */
    const char *name;          /* of the service: "ingest", "echo", ... */
    const struct service_ops *ops;
    struct hg_tls_ctx **tls;          /* where the shard keeps the context; NULL: plain */
    const struct hg_tcp_allow *allow; /* in the shard's cfg */
};

struct hg_conn {
    TAILQ_ENTRY(hg_conn) link;      /* run queue, handshake queue or free list */
    TAILQ_ENTRY(hg_conn) open_link; /* handshakes.open */
    struct hg_shard *shard;
    struct hg_tcp_conn *tcp;
    struct hg_tls *tls; /* NULL: plain */
    const struct service_ops *ops;
    void *svc;      /* the service's end; invariant 6 */
    uint8_t *stash; /* record buffer with plaintext not taken yet */
    uint32_t stash_off, stash_len;
    uint32_t record_size; /* of the next record, 0: not known yet */
    enum conn_state state;
    bool in_use, queued, handshake_queued, eof;
    bool open;                 /* in handshakes.open */
    bool admitted;             /* its first record was taken in */
    int32_t prefix;            /* its place in handshakes.in_prefix, -1: none */
    struct hg_helper_job *job; /* of the step that is out; NULL: none */
    hg_ns accepted_at;         /* with TLS */
    hg_ns close_by;            /* the end of C_CLOSING, whatever the peer does */
    bool talks;                /* the service had more to say than FLUSH_MAX */
    const struct listener *listener;
    struct hg_timer timer; /* handshake or linger deadline, or the service's next look */
    uint64_t acked;        /* payload bytes the peer had acknowledged at acked_at */
    hg_ns acked_at;        /* last time it acknowledged more, or had nothing to acknowledge */
    char peer[64];         /* "192.0.2.7:40112", for logs */
};

TAILQ_HEAD(conn_queue, hg_conn);

/* handshakes.c has the invariants. */
struct handshakes {
    struct conn_queue queue; /* want a step, in turn */
    struct conn_queue open;  /* not authenticated yet, the oldest first; by open_link */
    uint32_t n_open;         /* at most cfg.handshakes_max */
    struct hg_helper_job jobs[HG_HELPER_STEPS];
    struct hg_helper_job *idle[HG_HELPER_STEPS];
    unsigned n_idle;
    double tokens; /* handshakes that may begin, at tokens_at; at most cfg.handshake_rate */
    hg_ns tokens_at;
    struct rte_hash *prefixes; /* NULL: not limited */
    uint32_t *in_prefix;       /* members of `open`, by a prefix's place in the table */
    hg_ns step_at;             /* a step was run in the turn before, which began then; 0: none */
    hg_ns not_before;          /* while data moves the next step waits until then */
    uint64_t moved_before;     /* shard.moved at the last look */
};

struct hg_shard {
    struct hg_shard_cfg cfg;
    struct hg_shard_counters count;
    hg_ns now;
    struct hg_net *nets[HG_SHARD_PORTS_MAX]; /* of cfg.ports, in their order */
    struct hg_tcp *tcp;
    struct hg_tls_ctx *tls_ctx, *test_tls_ctx; /* the latter NULL without test services over TLS */
    struct listener listeners[LISTENERS_MAX];
    unsigned n_listeners;
    struct hg_testsvc *test; /* NULL: not offered */
    struct rte_mempool *test_pool;
    uint32_t table_max; /* entries of conns */
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
    struct conn_queue free_conns, run;
    struct handshakes hs;
    struct hg_wheel wheel;
    uint32_t n_conns;
    uint8_t *record_mem;
    uint8_t *record_free[RECORD_BUFFERS];
    unsigned n_record_free;
    uint64_t moved; /* bytes given to services and sent for them */
    bool draining;
    bool gone; /* being destroyed: the ports may be closed, so nothing is sent */
    struct hg_log_limit log_limit;
};

/* conn.c */
/* NULL when refused; tcp is released then. */
struct hg_conn *conn_accept(struct hg_shard *sh, struct hg_tcp_conn *tcp,
                            const struct listener *listener);
/* The transport carries data from now on. */
void conn_begin(struct hg_conn *c);
void conn_event(struct hg_conn *c, uint32_t what);
void conn_queue(struct hg_conn *c);
void conn_timeout(struct hg_conn *c);
/* Invariant 5. */
void conn_close(struct hg_conn *c);
void conn_drain(struct hg_conn *c);
void conn_free(struct hg_conn *c);
void conn_log(struct hg_conn *c, enum hg_log_level level, const char *what, const char *why);

/* handshakes.c */
/* What was made before a failure is the caller's to destroy. */
int handshakes_create(struct hg_shard *sh, struct hg_err *err);
/* After the connections, and when no helper runs a step any more. */
void handshakes_destroy(struct hg_shard *sh);
/* A connection over TLS was accepted. False: refused, and counted. */
bool handshakes_enter(struct hg_conn *c);
/* Its service begins, or it is being freed. */
void handshakes_leave(struct hg_conn *c);
/* It closes: what is out for it comes back in vain. */
void handshakes_detach(struct hg_conn *c);
/* The deadline of a connection in C_HANDSHAKE. */
void handshakes_timeout(struct hg_conn *c);
/* Results and steps of one turn; returns how many. */
unsigned handshakes_run(struct hg_shard *sh);

/* conn_out.c */
/* Sends what TLS and the service have to say; closes when the service has said all. */
void conn_flush(struct hg_conn *c);

/* conn_in.c */
/* Gives the service up to RECORDS_PER_RUN records; true when there is more to do. */
bool conn_run(struct hg_conn *c);
/* It runs next, or is NULL: fetches its state and its next record while another one is opened. */
void conn_prefetch(const struct hg_conn *c);
/* TLS refuses the peer, or the other way round. */
void conn_tls_failed(struct hg_conn *c);
/* All was read up to the peer's FIN. */
void conn_eof(struct hg_conn *c);
/* Lets go of plaintext that the service has not taken. */
void conn_stash_drop(struct hg_conn *c);

/* strays.c: segments that came to a shard which does not have their connection. */
/* 0 or -ENOMEM. */
int strays_create(struct hg_shard *sh);
void strays_destroy(struct hg_shard *sh);
/* env.stray of TCP. */
bool strays_pass(void *shard, const struct hg_seg *seg);
/* Takes in what others passed; returns how many. */
unsigned strays_poll(struct hg_shard *sh);

/* nets.c: the ports of a shard below its one TCP. */
/* What was made before a failure is the caller's to destroy. */
int nets_create(struct hg_shard *sh, hg_ns now, struct hg_err *err);
void nets_destroy(struct hg_shard *sh);
/* What all ports can do with large segments; 0: TCP cuts them. */
void nets_tso(const struct hg_shard *sh, struct hg_tcp_cfg *tcp);
/* env.emit and env.mtu of TCP. */
void nets_emit(void *shard, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now);
uint16_t nets_mtu(void *shard, const struct hg_flow *flow);
/* Receives from all ports; returns how many packets. */
unsigned nets_input(struct hg_shard *sh);
/* What is due by time, of all ports. */
void nets_poll(struct hg_shard *sh);
/* Sends what is queued. */
void nets_flush(struct hg_shard *sh);
/* One for each port; returns how many (<= max). */
unsigned nets_counter_sets(const struct hg_shard *sh, struct hg_counter_set *sets, unsigned max);

/* peers.c */
void peers_fence(void *shard, const char *volume);
void peers_share_neighbours(struct hg_shard *sh);

#endif /* HG_LIB_SHARD_SHARD_PRIV_H */
