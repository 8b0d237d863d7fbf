/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of one connection and of the stack.
 *
 * Invariants of a connection (names as RFC 9293 3.3.1):
 *  1. SND.UNA <= SND.NXT; SND.NXT is the highest number ever sent, retransmissions do not move it.
 *  2. RCV.NXT <= rcv_adv, the right edge of the window. rcv_adv never moves left.
 *  3. rcv_nxt - rxq.bytes is the next byte the service will read.
 *  4. The send queue holds exactly the data in [max(SND.UNA, ISS + 1), sndq.end).
 *  5. A connection is in the table unless its state is CLOSED. A CLOSED connection exists only
 *     until the service releases it.
 *  6. The timer wheel fires at or before the earliest deadline[]; it may fire for nothing. So a
 *     deadline that moves later costs a store, not a re-arming.
 *  7. Whatever has to be sent is marked in `flags` and the connection put on the output list;
 *     segments are built only by tcp_output.c, from hg_tcp_poll(). (RST leaves at once.)
 *  8. A connection may be freed only by tcp_conn_kill() and hg_tcp_release(): after a function
 *     that can call them says so, the caller must not touch the connection.
 *
 *      passive                              active
 *         SYN  -> SYN_RECEIVED <- (both open)   SYN_SENT         tcp_open.c
 *                      \-> ESTABLISHED <----------/               tcp_open.c
 *          FIN sent /        \ FIN received                       tcp_close.c
 *         FIN_WAIT_1          CLOSE_WAIT
 *        /     |     \             | FIN sent
 *  FIN_WAIT_2  |  CLOSING     LAST_ACK
 *        \     |     /             |
 *         TIME_WAIT ------------> CLOSED
 */
#ifndef HEADGATE_TCP_CONN_H
#define HEADGATE_TCP_CONN_H

#include "tcp_cookie.h"
#include "tcp_cwv.h"
#include "tcp_hdr.h"
#include "tcp_ooo.h"
#include "tcp_pmtu.h"
#include "tcp_prr.h"
#include "tcp_rack.h"
#include "tcp_reass.h"
#include "tcp_rtt.h"
#include "tcp_rxlist.h"
#include "tcp_trace.h"

#include <headgate/tcp.h>
#include <headgate/wheel.h>
#include <rte_common.h>
#include <sys/queue.h>

enum tcp_state {
    TCP_ST_CLOSED,
    TCP_ST_SYN_SENT,
    TCP_ST_SYN_RECEIVED,
    TCP_ST_ESTABLISHED, /* this and all after it are the synchronized states */
    TCP_ST_FIN_WAIT_1,
    TCP_ST_FIN_WAIT_2,
    TCP_ST_CLOSE_WAIT,
    TCP_ST_CLOSING,
    TCP_ST_LAST_ACK,
    TCP_ST_TIME_WAIT,
    TCP_ST_COUNT
};

enum {
    /* where the connection is linked */
    TCP_F_IN_USE = 1u << 0,
    TCP_F_ON_OUT = 1u << 1,
    TCP_F_ON_READY = 1u << 2,
    TCP_F_ON_TIME_WAIT = 1u << 3,
    /* who knows of it */
    TCP_F_ACTIVE = 1u << 4,      /* we opened it */
    TCP_F_OWNED = 1u << 5,       /* the service has the handle: hg_tcp_connect() or ACCEPTED */
    TCP_F_RELEASED = 1u << 6,    /* the service let go */
    TCP_F_CLOSED_TOLD = 1u << 7, /* HG_TCP_EV_CLOSED is queued or delivered */
    /* options agreed in the handshake */
    TCP_F_TS = 1u << 8,
    TCP_F_SACK = 1u << 9,
    TCP_F_WSCALE = 1u << 10,
    /* to be sent */
    TCP_F_ACK_NOW = 1u << 11,
    TCP_F_ACK_DELAYED = 1u << 12,
    TCP_F_SYN_DUE = 1u << 13,
    TCP_F_PROBE_DUE = 1u << 14,  /* window probe or keep-alive */
    TCP_F_FORCE_RTX = 1u << 15,  /* the first lost segment goes whatever is in flight */
    TCP_F_FORCE_DATA = 1u << 16, /* silly window override: send what the window allows */
    /* close */
    TCP_F_FIN_QUEUED = 1u << 17, /* the service shut down */
    TCP_F_FIN_SENT = 1u << 18,
    TCP_F_FIN_SEEN = 1u << 19, /* peer's FIN is at fin_seq, not yet in order */
    /* sending */
    TCP_F_PERSIST = 1u << 20,   /* TCP_T_RTX probes a closed window */
    TCP_F_SND_LOW = 1u << 21,   /* WRITABLE is due when there is room */
    TCP_F_SND_DRAIN = 1u << 22, /* WRITABLE is due once more when all is acknowledged */
    TCP_F_DSACK = 1u << 23,     /* dsack is to be reported (RFC 2883) */
    TCP_F_ZERO_WND = 1u << 24,  /* our last segment closed the window */
    TCP_F_TLP_DUE = 1u << 25,   /* a tail loss probe is to be sent */
    TCP_F_TLP_RTX = 1u << 26,   /* the probe on its way is a retransmission */
    /* ECN (RFC 3168) */
    TCP_F_ECN = 1u << 27,     /* agreed in the handshake */
    TCP_F_ECE = 1u << 28,     /* the peer is told of a CE mark until it says CWR */
    TCP_F_CWR_DUE = 1u << 29, /* the next new data says CWR */
    TCP_F_UTO_SET = 1u << 30, /* the service chose the user timeout */
    TCP_F_RCV_RTT = 1u << 31, /* the next segment tells the receiver's RTT (tcp_space.c) */
};

/* What keeps the sender from sending more, and for how long it has (tcp_info.c). */
enum tcp_limit { TCP_L_CWND, TCP_L_RWND, TCP_L_SNDBUF, TCP_L_COUNT, TCP_L_IDLE = TCP_L_COUNT };
struct tcp_limits {
    hg_ns since;
    hg_ns sum[TCP_L_COUNT];
    uint8_t now; /* enum tcp_limit */
};

/* A connection's place in tcp_budget.c's reserve. */
enum tcp_grant { TCP_GRANT_NONE, TCP_GRANT_WAITING, TCP_GRANT_BEGUN, TCP_GRANT_HELD };

/* Deadlines. What TCP_T_LIFE ends depends on the state: see tcp_timer.c. */
enum tcp_timer_kind { TCP_T_RTX, TCP_T_LOSS, TCP_T_DELACK, TCP_T_LIFE, TCP_T_RETRY, TCP_T_COUNT };

/* Data from the service, oldest first, as one chain of mbufs. */
struct tcp_sndq {
    struct rte_mbuf *head, *tail;
    uint32_t head_seq; /* sequence number of the head mbuf's first byte, acknowledged or not */
    uint32_t end;      /* after the last byte queued */
};

/* Where in the send queue the last segment was cut: the next one is found without a walk. */
struct tcp_cursor {
    struct rte_mbuf *m; /* NULL: unknown */
    uint32_t seq;       /* of its first byte */
};

/* What to return to when a recovery proves needless: all that was sent again arrived twice, or the
 * first copy is what the peer answered (RFC 3522). */
struct tcp_undo {
    uint32_t cwnd, ssthresh; /* before */
    uint32_t marker, end;    /* SND.UNA when it began; after the last byte sent again in it */
    uint32_t again;          /* bytes sent again of which no duplicate was reported */
    uint32_t stamp;          /* our timestamp in the first retransmission */
    bool armed;              /* there was an episode, and losses alone were its cause */
    bool resent;             /* `again` and `stamp` count */
    bool judged;             /* the echo that tells came: nothing was in vain */
    bool timeout;            /* a time-out was part of it */
    bool hystart_done;       /* before */
};

struct hg_tcp_conn {
    /* -- first two cache lines: all that receiving in-order data touches -- */
    struct hg_flow flow; /* the key in the table */
    uint8_t state;       /* enum tcp_state */
    uint8_t snd_wscale;  /* shift of the peer's window field */
    uint8_t rcv_wscale;  /* shift of ours */
    uint8_t acks_due;    /* out-of-order segments since the last ACK of its own */
    uint32_t flags;      /* TCP_F_* */
    uint32_t rcv_nxt;    /* RCV.NXT */
    uint32_t rcv_adv;    /* RCV.NXT + RCV.WND as advertised: right edge, never moves left */
    uint32_t snd_una;    /* SND.UNA */
    uint32_t snd_nxt;    /* SND.NXT */
    uint32_t ts_recent;  /* TS.Recent (RFC 7323 4.3) */

    struct tcp_rxlist rxq;     /* unread in-order data */
    uint32_t rxq_bytes;        /* unread in-order bytes */
    uint32_t ooo_bytes;        /* bytes held out of order */
    uint32_t last_ack_sent;    /* Last.ACK.sent */
    uint32_t rcv_mss;          /* largest payload the peer has sent, bytes */
    uint32_t snd_wnd;          /* SND.WND, bytes (scaled) */
    uint32_t snd_wl1, snd_wl2; /* SND.WL1, SND.WL2 */
    uint32_t events;           /* HG_TCP_EV_* not yet pulled */
    struct hg_tcp *tcp;
    hg_ns last_rx; /* time of the last valid segment: keep-alive, PAWS */

    /* -- warm: once per turn, not per segment -- */
    hg_ns deadline[TCP_T_COUNT]; /* 0: none */
    hg_ns armed_at;              /* what `timer` is set to; 0: not armed */
    TAILQ_ENTRY(hg_tcp_conn) out_link;
    TAILQ_ENTRY(hg_tcp_conn) ready_link;
    uint32_t rcv_lowat;         /* unread bytes from which on the service is told */
    uint64_t segs_in, bytes_in; /* bytes: payload in order */
    uint64_t data_segs_in;
    uint32_t promised, modest, budget_era; /* tcp_budget.c: as in the sums of that era, */
    uint8_t counted;                       /* 1: it is in them */
    uint8_t grant;                         /* enum tcp_grant */
    uint8_t quick_acks;                    /* that many ACKs are not delayed any more */
    uint8_t gap_acks;                      /* sent at once for segments behind the gap at RCV.NXT */
    uint8_t sack_news;                     /* blocks that changed since the last ACK, at most */
    uint32_t gap_hi;                       /* end of the last out-of-order segment */
    uint32_t grant_base, grant_size;       /* unread bytes when it was given; for how many more */
    hg_ns grant_at;                        /* when that was, or it was last used */
    TAILQ_ENTRY(hg_tcp_conn) grant_link;   /* tcp->waiting, begun or granted */
    uint32_t rcv_space;                    /* window and unread data it can make use of, bytes */
    uint32_t space_seq, space_last; /* tcp_space.c: read up to there when the period began; */
    hg_ns space_at, rcv_rtt;        /* bytes of the one before; its begin; 0: unknown */
    uint32_t space_edge;            /* right edge, */
    hg_ns space_edge_at;            /* and when it was noted */
    struct tcp_reass reass;         /* intervals beside ooo->chain[] */
    struct tcp_ooo *ooo;            /* borrowed while data is held out of order, or NULL */
    uint32_t fin_seq;               /* of the peer's FIN, with TCP_F_FIN_SEEN */
    struct tcp_block dsack;         /* last duplicate range received */

    /* -- send half -- */
    struct tcp_sndq sndq;
    uint32_t snd_limit; /* bytes that sndq may hold; tcp_sndq_limit() */
    struct tcp_cursor new_cursor, rtx_cursor;
    uint32_t snd_mss;     /* payload and options of a segment, bytes (RFC 6691) */
    uint32_t snd_wnd_max; /* largest window the peer ever offered: RFC 5961 5.2, silly window */
    uint32_t rtt_next;    /* when this is acknowledged the round-trip time is measured again */
    hg_ns progress;       /* handshake: when the only copy of our SYN left, 0: there are several;
                           * then when the peer last acknowledged something new */
    uint32_t uto_s;       /* user timeout, seconds (RFC 5482); 0: none */
    hg_ns last_tx;        /* last data segment: RFC 5681 4.1 */
    struct tcp_cc cc;
    struct tcp_rtt rtt;
    struct tcp_sent sent;
    struct tcp_rack rack;
    struct tcp_prr prr;
    struct tcp_cwv cwv;
    struct tcp_undo undo;
    struct tcp_pmtu pmtu;
    uint32_t tlp_end; /* SND.NXT when a tail loss probe was sent, valid with tlp_out */
    bool tlp_out;     /* one probe is not answered yet (RFC 8985 7.4: TLP.is_retrans, end_seq) */
    bool reo_armed;   /* TCP_T_LOSS is the reordering timer, not the probe's */

    /* -- cold -- */
    struct hg_timer timer;
    TAILQ_ENTRY(hg_tcp_conn) wait_link; /* free list, or TIME-WAIT list */
    void *user, *listener;
    uint32_t iss, irs;
    uint32_t ts_offset;    /* added to the clock in our timestamps (RFC 7323 5.4) */
    uint32_t hash;         /* of flow */
    int error, soft_error; /* negative errno; soft: RFC 5461, reported only if we time out */
    bool is_orphan;        /* counted in n_orphans */
    bool in_backlog;       /* counted in n_backlog: accepted, and the service was not told */
    uint8_t tries;         /* time-outs without progress */
    uint8_t probes;        /* keep-alive probes unanswered */
    uint8_t limited_acks;  /* ACKs sent for unacceptable segments in the current second */
    hg_ns limited_since;
    uint64_t bytes_out, segs_out, retransmits; /* bytes_out: first time only */
    uint64_t bytes_sent;                       /* again included */
    uint64_t data_segs_out;
    uint32_t dsacks, reorderings, ooo_segs, ce_echoes; /* see struct hg_tcp_info */
    struct tcp_limits limits;
} __rte_cache_aligned;

_Static_assert(offsetof(struct hg_tcp_conn, rxq) == 64, "first line: key and sequence state");
_Static_assert(offsetof(struct hg_tcp_conn, deadline) == 128, "second line: receive queue");

TAILQ_HEAD(tcp_conn_list, hg_tcp_conn);

/* The connections that we sent a segment in one span of time, and their windows in bytes. */
struct tcp_era {
    uint64_t promised, modest;
    uint32_t active, n_modest;
};

struct tcp_listener {
    struct hg_ip ip; /* all zero: any */
    uint16_t port;
    bool used;
    void *user;
    const struct hg_tcp_allow *allow; /* the service's; NULL: from anywhere */
};

/* One slot of the connection table: open addressing, linear probing. */
struct tcp_slot {
    uint32_t hash;
    uint32_t conn; /* index + 1; 0: empty */
};

struct hg_tcp {
    hg_ns now;       /* of the current call */
    uint32_t ts_now; /* timestamp clock: now in ticks of 2^20 ns (RFC 7323 5.4: 1 ms to 1 s) */
    uint32_t slot_mask;
    struct tcp_slot *slots; /* power of two, at least twice conns_max */
    struct hg_tcp_conn *conns;
    uint32_t conns_used;      /* of conns[]: touched so far */
    struct hg_tcp_conn *last; /* lookup cache: the connection of the last segment; may be NULL */
    uint64_t rx_mem;          /* bytes of packet buffers in all receive queues, */
    uint32_t rx_bufs;         /* and their number */
    uint32_t rx_bufs_max;     /* as many as tcp_rxlist.h has room for */
    struct tcp_rxblks rx_blocks;
    struct tcp_sent_pool sent_pool;
    struct tcp_pmtu_entry pmtu[TCP_PMTU_CACHE];
    uint32_t n_pmtu; /* entries that were ever used */
    struct tcp_ooo_pool ooo;
    uint64_t rx_soft;    /* rx_mem from which on only connections with a grant add to it, bytes */
    uint64_t grants_mem; /* what the grants given may take of it at most, bytes */
    struct tcp_conn_list granted; /* the one used least recently first */
    struct tcp_conn_list waiting; /* for memory: nothing unread; oldest first */
    struct tcp_conn_list begun;   /* for memory or a grant: something unread; oldest first */
    uint64_t snd_mem;             /* payload bytes in all send queues */
    struct tcp_era era[2];        /* tcp_budget.c: this one and the one before */
    uint32_t era_now, level;
    hg_ns era_end;
    struct tcp_conn_list out, ready;
    struct hg_tcp_cfg cfg; /* defaults filled in */
    struct hg_tcp_env env;
    struct hg_tcp_counters count;

    struct tcp_conn_list free, time_wait; /* time_wait: oldest first */
    struct tcp_trace *trace;              /* trace[i] belongs to conns[i] */
    uint32_t n_conns, n_half_open, n_time_wait, n_out;
    uint32_t n_orphans; /* released by the service, not closed and not in TIME-WAIT */
    uint32_t n_backlog; /* connections that are in_backlog */
    uint32_t port_next; /* RFC 6056 algorithm 3: counter of ephemeral ports */
    uint8_t rcv_wscale; /* smallest shift that can express rcv_buf */
    struct tcp_listener listeners[HG_TCP_LISTENERS_MAX];
    struct hg_wheel wheel;
    struct tcp_cookies cookies;
};

/* A segment on its way through the input functions. */
struct tcp_seg {
    struct tcp_hdr h;
    struct rte_mbuf *m; /* NULL once the receive queue owns it */
    uint32_t seq;       /* of the first byte not yet dealt with */
    uint32_t off;       /* bytes before it in m: header, and what was cut in front */
    uint32_t len;       /* payload bytes from there */
    uint32_t hash;      /* of flow */
    uint8_t ecn;        /* IP ECN bits */
    const struct hg_flow *flow;
};

#endif /* HEADGATE_TCP_CONN_H */
