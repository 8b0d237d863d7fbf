/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shard: one core with its own queue on each port, TCP stack, TLS state, buffers, store part and
 * sessions. hg_shard_turn() is one turn of its loop; time is an argument, so a test can run shards
 * on virtual time. All functions are for the shard's thread, except hg_shard_call() and the getters
 * that say otherwise.
 */
#ifndef HEADGATE_SHARD_H
#define HEADGATE_SHARD_H

#include <headgate/arena.h>
#include <headgate/base.h>
#include <headgate/counter.h>
#include <headgate/ingest.h>
#include <headgate/net.h>
#include <headgate/port.h>
#include <headgate/store.h>
#include <headgate/tcp.h>
#include <headgate/testsvc.h>
#include <headgate/tls.h>

struct hg_shard;
struct hg_helpers;

/* The services for tests; all zero: none. */
struct hg_shard_test {
    struct hg_testsvc_cfg svc;           /* svc.conns_max connections beside those of the native
                                          * protocol; svc.socket is filled in */
    struct hg_tls_ctx *tls;              /* a reference is taken */
    uint16_t port[HG_TESTSVC_KINDS];     /* plain, 0: not offered */
    uint16_t port_tls[HG_TESTSVC_KINDS]; /* TLS from the first byte, 0: not offered */
    struct hg_tcp_allow allow;           /* from where; all zero: anywhere */
};

#define HG_SHARD_PORTS_MAX 4

/* A port of the node, as one shard uses it. */
struct hg_shard_port {
    struct hg_port *port;        /* shared; this shard uses queue `id` */
    struct rte_mempool *rx_pool; /* the one the port's queue fills from; ARP and ICMP too */
    struct hg_net_cfg net;       /* port, queue and pool are filled in */
};

/* Zero means the default in brackets. */
struct hg_shard_cfg {
    unsigned id, n_shards;
    int socket;                                     /* NUMA node of memory, -1: any */
    struct hg_shard_port ports[HG_SHARD_PORTS_MAX]; /* no address is on two of them */
    unsigned n_ports;                               /* at least one */
    struct hg_tcp_cfg tcp;                          /* pools are filled in */
    enum hg_tls_batch tls_batch;
    hg_tls_clock tls_clock; /* to measure by, with HG_TLS_BATCH_AUTO */
    struct hg_tls_ctx *tls; /* server context that requires certificates; a reference is taken */
    bool tls_anonymous;     /* test profiles: it need not; sources without name have no session */
    struct hg_shard_test test;
    struct hg_pool *pool;
    struct hg_store_cfg store;   /* shard, n_shards and arena are filled in */
    struct hg_ingest_cfg ingest; /* store, arena and fence are filled in */
    size_t arena_bytes;          /* payload buffers, rounded up to 1 MiB [256 MiB] */
    uint32_t conns_max;          /* connections with TLS state [1024] */
    uint32_t tx_mbufs;           /* [8192] buffers for records on their way out */
    uint16_t listen_port;        /* native protocol [1500] */
    struct hg_tcp_allow allow;   /* from where; all zero: anywhere */
    struct hg_helpers *helpers; /* carry out handshake steps, and outlive the shard; NULL: the shard
                                  * does, a step a turn at most, and less while data moves */
    uint32_t handshakes_max;    /* TLS connections whose peer is not known yet; they have places of
                                  * their own beside conns_max [2048] */
    uint32_t prefix_max;        /* of these, from one /24 or IPv6 /64; 0: no such limit */
    uint32_t handshake_rate;    /* handshakes begun a second; 0: no limit */
    hg_ns client_hello_timeout; /* from the TCP connection to the whole ClientHello [5 s] */
    hg_ns handshake_timeout;    /* from the TCP connection to the end of the TLS handshake [10 s] */
    hg_ns linger;               /* wait for the peer's FIN after ours [5 s] */
    hg_ns settle;               /* hg_shard_destroy() waits for devices at most [1 s] */
};

int hg_shard_create(const struct hg_shard_cfg *cfg, hg_ns now, struct hg_shard **out,
                    struct hg_err *err);
/* Connections are cut without a word: call hg_shard_drain() before and wait for hg_shard_drained().
 * Waits (bounded) for the store to be idle. */
void hg_shard_destroy(struct hg_shard *shard);

/* Tells a shard of its peers, for messages between shards. Before the first turn. */
void hg_shard_peers(struct hg_shard *shard, struct hg_shard **peers, unsigned n);

/* One turn; returns the amount of work found, 0: idle. */
unsigned hg_shard_turn(struct hg_shard *shard, hg_ns now);

/* Lower bound of the time of the next turn that has something to do without outside events. */
hg_ns hg_shard_next(const struct hg_shard *shard);

/* Stops accepting; sessions finish what is in flight and end. */
void hg_shard_drain(struct hg_shard *shard, hg_ns now);
bool hg_shard_drained(const struct hg_shard *shard);

/* New connections use these contexts from now on, `test` those to the test services (NULL without
 * them); takes references. */
void hg_shard_set_tls(struct hg_shard *shard, struct hg_tls_ctx *ctx, struct hg_tls_ctx *test);

/* ---- from other threads ---- */

/* Runs fn(shard, arg) on the shard's thread at its next turn. The struct is the caller's and must
 * stay until fn has run. Any thread. 0 or -ENOBUFS. */
struct hg_call {
    void (*fn)(struct hg_shard *shard, struct hg_call *call, hg_ns now);
};
int hg_shard_call(struct hg_shard *shard, struct hg_call *call);

/* Its parts, for functions that run on the shard through hg_shard_call(). */
struct hg_store *hg_shard_store(struct hg_shard *shard);
/* See hg_shard_store(). */
struct hg_arena *hg_shard_arena(struct hg_shard *shard);
/* See hg_shard_store(). */
struct hg_ingest *hg_shard_ingest(struct hg_shard *shard);
/* See hg_shard_store(). */
struct hg_tcp *hg_shard_tcp(struct hg_shard *shard);
/* 0 .. n_shards - 1. */
unsigned hg_shard_id(const struct hg_shard *shard);

#define HG_SHARD_COUNTERS(X)                                                                       \
    X(turns, "turns of the loop")                                                                  \
    X(turns_busy, "turns that found work")                                                         \
    X(busy_ns, "nanoseconds in turns that found work")                                             \
    X(idle_ns, "nanoseconds in turns that found none")                                             \
    X(conns, "connections accepted")                                                               \
    X(conns_refused, "connections refused because the table was full")                             \
    X(handshakes_full, "connections refused because too many handshakes were unfinished, all new") \
    X(handshakes_evicted, "unfinished handshakes ended for a newer one, the oldest first")         \
    X(handshakes_prefix, "connections refused because their /24 or /64 has too many unfinished")   \
    X(handshakes_rate, "connections refused because more handshakes began than [tls] allows")      \
    X(handshakes_waited, "turns in which handshakes waited for helpers with their hands full")     \
    X(handshakes_yielded, "turns in which a handshake waited because data moved")                  \
    X(hello_timeouts, "connections without a whole ClientHello in time")                           \
    X(conns_closed, "connections ended in any way")                                                \
    X(no_source, "native sessions refused because the client showed no certificate")               \
    X(handshake_timeouts, "TLS handshakes that took too long")                                     \
    X(handshake_steps, "handshake records processed")                                              \
    X(cut, "connections that ended without close_notify")                                          \
    X(tx_no_mbuf, "times no buffer was free for a record on its way out")                          \
    X(strays_passed, "segments passed on because another shard may have their connection")         \
    X(strays_dropped, "of these, dropped because that shard had too many waiting")                 \
    X(tx_no_port, "segments from an address that no port has any more, dropped")                   \
    X(no_record_buffer, "times no buffer was free to open a record into")

struct hg_shard_counters {
    HG_SHARD_COUNTERS(HG_COUNTER_FIELD)
};

/* All counter sets of the shard: shard, net of the first port, net1 to net3 of the others, tcp, tls,
 * tls_batch, ingest, store, test; returns how many (<= max). Any thread; figures may be a moment old. */
unsigned hg_shard_counter_sets(const struct hg_shard *shard, struct hg_counter_set *sets,
                               unsigned max);

/* Connections whose peer is not known yet. Any thread; figures may be a moment old. */
struct hg_shard_handshakes {
    uint32_t open; /* now */
    uint32_t max;  /* bound of open */
    uint32_t out;  /* steps with the helpers now */
};
struct hg_shard_handshakes hg_shard_handshakes(const struct hg_shard *shard);

/* Adds to the busy or idle time; called by the thread that runs the turns. */
void hg_shard_account(struct hg_shard *shard, unsigned work, hg_ns took);

/* Connections, for display. Walks: start with *cursor = 0, ends with false. */
struct hg_conn_info {
    struct hg_tcp_info tcp;
    const char *service;                          /* "ingest", "echo", ... */
    const char *tls_version, *tls_suite, *source; /* "" before the handshake is done, or plain */
    bool has_session;
    struct hg_session_info session;
};
bool hg_shard_conn(struct hg_shard *shard, unsigned *cursor, struct hg_conn_info *out);

#endif /* HEADGATE_SHARD_H */
