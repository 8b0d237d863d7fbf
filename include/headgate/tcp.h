/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP (RFC 9293) for one shard: segments in, segments out, time as an argument.
 *
 * The stack does no I/O, reads no clock, and allocates nothing from the heap after hg_tcp_create().
 * Segments leave through env.emit. Work for the service above is pulled with hg_tcp_events(). One
 * thread per instance; two instances may run in one process (tests/sim).
 *
 * Payload stays in the mbufs it arrived in until the service has consumed it, and in the mbufs the
 * service handed over until the peer has acknowledged it: TCP copies no payload, save that a small
 * segment is folded into the tail room of the one before it, so that a peer sending single bytes
 * cannot pin a packet buffer for each.
 */
#ifndef HEADGATE_TCP_H
#define HEADGATE_TCP_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <headgate/net.h>
#include <rte_mbuf.h>
#include <stdbool.h>

struct hg_tcp;
struct hg_tcp_conn;

/* Where segments go. m starts at the TCP header with HG_NET_HEADROOM bytes of headroom and a zero
 * checksum; the callee owns it. */
struct hg_tcp_env {
    void (*emit)(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now);
    /* Largest IP packet that the port of flow->local takes towards flow->remote. */
    uint16_t (*mtu)(void *arg, const struct hg_flow *flow);
    void *arg;
    /* An ICMP message, or a segment other than a SYN, for no connection of this stack. True: another
     * stack deals with it, and owns its packet. NULL: there is no other. */
    bool (*stray)(void *arg, const struct hg_seg *seg);
};

enum hg_tcp_cc { HG_TCP_CC_CUBIC, HG_TCP_CC_NEWRENO };      /* RFC 9438, RFC 5681 */
enum hg_tcp_syn_order { HG_TCP_SYN_LINUX, HG_TCP_SYN_BSD }; /* order of options in a SYN */
/* RFC 3168: agree when asked, never, ask. */
enum hg_tcp_ecn { HG_TCP_ECN_ACCEPT, HG_TCP_ECN_OFF, HG_TCP_ECN_ASK };

/* Zero in a field means the default in brackets. */
struct hg_tcp_cfg {
    uint32_t conns_max; /* connections in all states, TIME-WAIT included [16384] */
    uint32_t
        half_open_max;     /* SYN-RECEIVED [4096, but about half of conns_max at most]; at the bound
                             * SYNs are answered with cookies */
    uint32_t cookies_from; /* half-open connections from which on that is so [half_open_max]; below
                             * half_open_max it leaves room for peers without timestamps */
    uint32_t accept_max;   /* connections accepted that the service has not been told of, all
                             * listeners together [4096]; at the bound SYNs and the ACKs that end
                             * handshakes are dropped and counted */
    uint32_t time_wait_max; /* [conns_max / 4 + 1]; the oldest goes first */
    uint32_t orphans_max;   /* connections that the service released and that are not closed yet
                             * [conns_max / 4]; at the bound the release resets */
    uint32_t rcv_buf;       /* largest receive window of a connection, bytes [4 MiB]; */
    uint32_t init_rcv_wnd;  /* it begins with this and grows as the service reads [64 KiB] */
    /* Bytes that a service may need as a whole to go on: short of memory, a connection is offered this
     * or nothing, and some are always offered it [8 KiB] */
    uint32_t rcv_low;
    /* Bytes of packet buffers held by all receive queues, at least 8 * rcv_low. Near it windows
     * shrink; at it out-of-order data is dropped first [256 MiB] */
    uint64_t rcv_mem_max;
    /* Bounds of out-of-order data: connections that may hold any at once [conns_max, 4096 at most];
     * bytes of packet buffers of one [2 * rcv_buf + 512 KiB], and of all [3/4 of rcv_mem_max] */
    uint32_t ooo_conns_max;
    uint64_t ooo_conn_max, ooo_mem_max;
    /* Unacknowledged + unsent bytes per connection: twice the congestion window, from init_snd_buf
     * [64 KiB] to snd_buf [4 MiB]; of all together [256 MiB], but two TLS records each in any case */
    uint32_t init_snd_buf, snd_buf;
    uint64_t snd_mem_max;
    uint8_t init_cwnd;               /* segments of the first window [RFC 6928: 10] */
    enum hg_tcp_cc cc;               /* [CUBIC] */
    enum hg_tcp_ecn ecn;             /* [accept] */
    enum hg_tcp_syn_order syn_order; /* [Linux: MSS, SACK, TS, WS] */
    uint16_t mss;                    /* largest MSS we offer and use; [MTU - 40] */
    hg_ns rto_min;                   /* [200 ms] RFC 6298, Linux's floor instead of 1 s */
    hg_ns rto_max;                   /* [60 s] */
    hg_ns delack;                    /* [40 ms] */
    uint32_t tso_max;                /* bytes of payload that the layer below cuts into segments by
                             * rte_mbuf.tso_segsz, at most 64000; 0: it does not */
    uint16_t tso_bufs;               /* mbufs of such a packet at most, its header's among them */
    uint8_t delack_segs;             /* [2] full segments after which an ACK is not delayed */
    hg_ns msl;                       /* [15 s]; TIME-WAIT lasts 2 MSL */
    hg_ns keepalive_idle;            /* [75 s]; then every idle/5, five probes (RFC 1122 4.2.3.6) */
    hg_ns syn_timeout;               /* [10 s] a handshake that is not done by then is dropped */
    uint8_t syn_retries;             /* [5] */
    uint8_t retries; /* [12] retransmissions without progress before the connection dies */
    /* Instead of retries: this long without progress, and the peer is told so (RFC 5482) [0: as
     * retries say, or as long as the peer asks for, 100 s to an hour] */
    hg_ns user_timeout;
    bool no_timestamps, no_sack, no_wscale; /* for tests */
    bool no_quick_acks; /* delay ACKs also while the peer's window is small: when it begins, after a
                         * pause, after a loss */
    bool closed_silent; /* segments for ports that nobody listens on get no RST */
    bool no_cookies;    /* at half_open_max SYNs are dropped and counted */
    uint64_t secret[2]; /* of the ISN function (RFC 6528) and of the hash */
    struct rte_mempool *hdr_pool;   /* for header mbufs: data room >= HG_NET_HEADROOM + 60 +
                                             * RTE_PKTMBUF_HEADROOM */
    struct rte_mempool *clone_pool; /* for indirect mbufs (data room 0) that point into sent data */
};

int hg_tcp_create(const struct hg_tcp_cfg *cfg, const struct hg_tcp_env *env, hg_ns now,
                  struct hg_tcp **out, struct hg_err *err);
/* Frees every connection without sending anything. */
void hg_tcp_destroy(struct hg_tcp *tcp);

/* Accepts connections to flow-local (ip, port); `listener` comes back in events of what it
 * accepted. An all-zero ip means any of ours. 0, -EADDRINUSE, -ENOSPC (HG_TCP_LISTENERS_MAX). */
#define HG_TCP_LISTENERS_MAX 16
int hg_tcp_listen(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port, void *listener);
/* From where a listener takes connections. */
#define HG_TCP_ALLOW_MAX 64
struct hg_tcp_allow {
    struct hg_net_prefix prefix[HG_TCP_ALLOW_MAX];
    unsigned n;  /* of them; 0: from anywhere */
    bool silent; /* others get no answer; false: the one of a port that nobody listens on */
};
/* Looked at before anything is kept of a SYN or looked for in a cookie; connections that stand are not
 * touched. The list is the caller's, and stays unchanged while it is in use; NULL: from anywhere. 0,
 * -ENOENT: no such listener. */
int hg_tcp_allow(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port,
                 const struct hg_tcp_allow *allow);
/* SYNs for the port are answered with RST from now on, also of whom the listener was silent to;
 * connections stay. */
int hg_tcp_unlisten(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port);

/* Active open. flow.lport 0 picks a free ephemeral port. The result comes as an event. 0,
 * -EADDRINUSE, -ENOSPC. */
int hg_tcp_connect(struct hg_tcp *tcp, const struct hg_flow *flow, void *user, hg_ns now,
                   struct hg_tcp_conn **out);

/* Takes ownership of the segments' mbufs. */
void hg_tcp_input(struct hg_tcp *tcp, struct hg_seg *segs, unsigned n, hg_ns now);

/* Timers, and everything that waits to be sent: ACKs are decided once per turn here, so call it at
 * the end of every turn, after the services had their say. */
void hg_tcp_poll(struct hg_tcp *tcp, hg_ns now);

/* Lower bound of the time at which hg_tcp_poll() has something to do; 0: nothing. */
hg_ns hg_tcp_next(const struct hg_tcp *tcp);

/* ---- events, pulled by the service ---- */

enum {
    HG_TCP_EV_ACCEPTED = 1 << 0,  /* passive open done; set the user pointer */
    HG_TCP_EV_CONNECTED = 1 << 1, /* active open done */
    HG_TCP_EV_READABLE = 1 << 2,  /* new in-order bytes since the last event */
    HG_TCP_EV_WRITABLE = 1 << 3,  /* send space was exhausted and is there again */
    HG_TCP_EV_EOF = 1 << 4,       /* peer's FIN is next after what can be read */
    HG_TCP_EV_CLOSED = 1 << 5,    /* gone: reset, timed out, refused or fully closed; see
                                   * hg_tcp_conn_error(). Last event; call hg_tcp_release(). */
};

struct hg_tcp_event {
    struct hg_tcp_conn *conn;
    void *user;     /* as set; NULL with HG_TCP_EV_ACCEPTED */
    void *listener; /* of accepted connections */
    uint32_t what;  /* HG_TCP_EV_* */
};

/* Takes up to max connections with news off the ready queue (each at most once per call), in the
 * order in which they became ready. */
unsigned hg_tcp_events(struct hg_tcp *tcp, struct hg_tcp_event *ev, unsigned max);

/* The service's pointer, handed back with every event. */
void hg_tcp_set_user(struct hg_tcp_conn *conn, void *user);
/* As set; NULL before. */
void *hg_tcp_user(const struct hg_tcp_conn *conn);

/* ---- receiving ---- */

/* In-order bytes not consumed yet. */
uint32_t hg_tcp_readable(const struct hg_tcp_conn *conn);

/* Fills up to max ranges with the next unread bytes, from the front; returns how many. They stay
 * valid until hg_tcp_consume() or hg_tcp_release(). */
unsigned hg_tcp_peek(struct hg_tcp_conn *conn, struct hg_iov *iov, unsigned max);

/* HG_TCP_EV_READABLE only when n bytes are unread (as SO_RCVLOWAT); 1 from the start, cfg.rcv_low at
 * most. Says nothing about bytes that are there already. */
void hg_tcp_set_rcvlowat(struct hg_tcp_conn *conn, uint32_t n);

/* Frees n bytes (<= readable) from the front. Opens the window; an update is sent by hg_tcp_poll()
 * when it grew by two segments or half the buffer (RFC 9293 3.8.6.2.2). */
void hg_tcp_consume(struct hg_tcp_conn *conn, uint32_t n);

/* ---- sending ---- */

/* Bytes that hg_tcp_send() takes now; 0 after shutdown. */
uint32_t hg_tcp_send_space(struct hg_tcp_conn *conn);

/* Appends one contiguous or chained mbuf of payload; TCP owns it until acknowledged. Its bytes must
 * not change any more. 0, -EAGAIN (no space: caller keeps m), -EPIPE (closed: caller keeps m). Goes
 * out with hg_tcp_poll(). */
int hg_tcp_send(struct hg_tcp_conn *conn, struct rte_mbuf *m);

/* FIN after what is queued. Reading goes on. */
void hg_tcp_shutdown(struct hg_tcp_conn *conn);

/* RST now; the only event left is HG_TCP_EV_CLOSED if it was not yet delivered. */
void hg_tcp_abort(struct hg_tcp_conn *conn);

/* The service lets go: no more events, unread data is dropped. What is queued is still sent and
 * the close goes on by itself; unread data at release sends RST (RFC 2525 2.17). */
void hg_tcp_release(struct hg_tcp_conn *conn);

/* This connection dies after so long without progress (RFC 9293 3.8.3 USER TIMEOUT); 0: as
 * configured. The peer's wish no longer counts. */
void hg_tcp_set_user_timeout(struct hg_tcp_conn *conn, hg_ns timeout);

/* ---- seeing inside ---- */

/* 0, or why it closed: -ECONNRESET, -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -ECONNABORTED. */
int hg_tcp_conn_error(const struct hg_tcp_conn *conn);

/* What Linux tells in struct tcp_info, and a little more. Counts are of segments where they say so,
 * else of bytes, also where Linux counts packets. */
struct hg_tcp_info {
    struct hg_flow flow;
    const char *state;    /* RFC 9293 name: "ESTABLISHED", ... */
    const char *ca_state; /* "open", "cwr", "recovery", "loss" */
    const char *cc;       /* congestion control: "cubic", "reno" */
    bool timestamps, sack, wscale, ecn;
    uint8_t snd_wscale, rcv_wscale;
    uint8_t retries; /* time-outs in a row */
    uint8_t probes;  /* keep-alive probes unanswered */
    uint8_t backoff; /* doublings of the time-out */

    uint32_t srtt_us, rttvar_us, rto_us, min_rtt_us; /* 0: not measured */
    uint32_t ato_us;                                 /* delayed ACK */
    uint32_t rcv_rtt_us; /* round trip as seen by what we receive; 0: not measured */
    uint32_t cwnd, ssthresh;
    uint32_t snd_mss, rcv_mss, advmss, pmtu; /* payload and options of a segment; IP packet */
    uint32_t rcv_wnd, snd_wnd;
    uint32_t rcv_space;   /* most bytes we would let this peer have on their way now */
    uint32_t unread, ooo; /* bytes in order and not consumed; bytes out of order */
    uint32_t unacked, unsent;
    uint32_t sacked, lost, retrans; /* of unacked: reported; lost; sent again and not answered */
    uint32_t last_data_sent_ms, last_recv_ms;             /* ago; UINT32_MAX: never */
    uint32_t reordering;                                  /* ACKs that showed reordering */
    uint32_t dsack_dups;                                  /* of ours that arrived twice */
    uint32_t rcv_ooopack;                                 /* segments that came out of order */
    uint32_t delivered_ce;                                /* ECN echoes */
    uint64_t delivery_rate;                               /* bytes per second acknowledged lately */
    uint64_t busy_us, rwnd_limited_us, sndbuf_limited_us; /* time with data to send; of that: */
    uint64_t bytes_in;                                    /* received in order */
    uint64_t bytes_out;                                   /* sent, first time */
    uint64_t bytes_acked, bytes_sent, bytes_retrans;      /* sent: again included */
    uint64_t segs_in, segs_out, data_segs_in, data_segs_out, retransmits;
};
void hg_tcp_conn_info(const struct hg_tcp_conn *conn, struct hg_tcp_info *out);
const struct hg_flow *hg_tcp_conn_flow(const struct hg_tcp_conn *conn);

/* One of the last events of a connection: state changes, loss, drops, probes. */
#define HG_TCP_TRACE_MAX 31u /* as many are kept of each connection */
struct hg_tcp_trace {
    hg_ns time;       /* when it happened first, to the microsecond */
    uint32_t times;   /* how often in a row; from 256 on that is a lower bound */
    const char *what; /* static text */
    char
        detail[64]; /* name:value pairs; sequence numbers count from the first of their direction */
};
/* The last events, oldest first; returns how many (<= max). */
unsigned hg_tcp_conn_trace(const struct hg_tcp_conn *conn, struct hg_tcp_trace *out, unsigned max);

/* Walks all connections: start with NULL, ends with NULL. */
struct hg_tcp_conn *hg_tcp_conn_walk(struct hg_tcp *tcp, struct hg_tcp_conn *prev);

/* Connections alive in any state. */
uint32_t hg_tcp_conns(const struct hg_tcp *tcp);
/* Those of them in TIME-WAIT; at most cfg.time_wait_max. */
uint32_t hg_tcp_time_waits(const struct hg_tcp *tcp);

#define HG_TCP_COUNTERS(X)                                                                         \
    X(rx_segs, "segments received")                                                                \
    X(rx_bytes, "payload bytes received in order")                                                 \
    X(tx_segs, "segments sent")                                                                    \
    X(tx_bytes, "payload bytes sent, first time")                                                  \
    X(rx_short, "segments shorter than their header")                                              \
    X(rx_bad_option, "segments with an option that lies about its length")                         \
    X(rx_no_conn, "segments for no connection, answered with RST")                                 \
    X(rx_no_listener, "SYNs for a port nobody listens on, answered with RST")                      \
    X(rx_not_allowed, "segments for a listener from an address that its allow list does not have") \
    X(rx_closed_silent, "segments for a port nobody listens on, not answered as configured")       \
    X(rx_paws, "segments dropped by the timestamp check (PAWS)")                                   \
    X(rx_out_of_window, "segments outside the receive window")                                     \
    X(rx_dup, "segments with nothing but bytes already received")                                  \
    X(rx_ooo, "segments received out of order")                                                    \
    X(rx_overlap_diff, "overlapping data that differs from what was held; the first copy stays")   \
    X(rx_ooo_drop, "out-of-order segments dropped at a bound")                                     \
    X(rx_ooo_shed, "packet buffers with out-of-order data freed to make room for older data")      \
    X(rx_mem_drop, "segments dropped because receive memory was at its bound")                     \
    X(rx_grants, "times a connection was let into the reserve because memory was short")           \
    X(rx_bad_ack, "segments with an acknowledgement of something never sent")                      \
    X(rx_bad_flags, "segments with flags that make no sense in the state")                         \
    X(rx_after_fin, "segments with data behind the peer's FIN, ignored")                           \
    X(rx_icmp_ignored, "ICMP errors for no connection, or quoting what is not in flight")          \
    X(rx_rst, "connections reset by the peer")                                                     \
    X(rx_rst_ignored, "resets outside the exact sequence number (RFC 5961)")                       \
    X(rx_syn_in_conn, "SYNs within a connection, answered with a challenge ACK")                   \
    X(challenge_acks, "challenge ACKs sent")                                                       \
    X(tx_rst, "resets sent")                                                                       \
    X(dup_acks, "duplicate acknowledgements received")                                             \
    X(fast_retransmits, "times loss was repaired without waiting for the timer")                   \
    X(rto_retransmits, "times the retransmission timer expired")                                   \
    X(retrans_segs, "segments sent again")                                                         \
    X(zero_window_probes, "probes of a closed window sent")                                        \
    X(zero_windows_sent, "times we closed the window because downstream was full")                 \
    X(keepalives, "keep-alive probes sent")                                                        \
    X(passive_opens, "connections accepted")                                                       \
    X(active_opens, "connections opened by us")                                                    \
    X(half_open_drop, "SYNs dropped because too many handshakes were open")                        \
    X(conn_limit_drop, "SYNs dropped because the connection table was full")                       \
    X(accept_drop, "SYNs and ACKs of handshakes dropped because the service accepts too slowly")   \
    X(syncookies_sent, "SYNs answered without a table entry (SYN cookies)")                        \
    X(syncookies_ok, "connections made from a SYN cookie")                                         \
    X(syncookies_bad, "ACKs with a SYN cookie that is forged, too old, or redeemed before")        \
    X(handshake_timeouts, "handshakes given up")                                                   \
    X(dead_peers, "connections ended because the peer stopped answering")                          \
    X(orphans_reset, "connections reset at release because too many were closing already")         \
    X(time_wait_recycled, "TIME-WAIT connections ended early to make room")                        \
    X(tail_loss_probes, "probes of the last segments' fate sent before the timer expired")         \
    X(tlp_repairs, "losses that a tail loss probe repaired")                                       \
    X(reordering_seen, "ACKs that showed segments to have overtaken each other")                   \
    X(spurious_recoveries, "recoveries undone because nothing had been lost")                      \
    X(rx_dsack, "reports of segments that arrived twice (RFC 2883)")                               \
    X(sack_reneged, "times a peer threw away what it had reported by SACK")                        \
    X(ecn_reductions, "times the window was reduced because of an ECN echo")                       \
    X(ecn_ce, "segments marked as having met congestion (ECN)")                                    \
    X(pmtu_reduced, "times an ICMP message made segments smaller")                                 \
    X(pmtu_black_holes, "times segments were made smaller because full ones vanished")             \
    X(pmtu_probes, "larger segments sent to see whether the path takes them")                      \
    X(no_mbuf, "segments not sent because a packet pool was empty")

struct hg_tcp_counters {
    HG_TCP_COUNTERS(HG_COUNTER_FIELD)
};

/* For display; any thread. */
struct hg_counter_set hg_tcp_counter_set(const struct hg_tcp *tcp);

#endif /* HEADGATE_TCP_H */
