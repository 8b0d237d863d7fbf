/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every function of this folder that crosses a file, under the file that defines it.
 */
#ifndef HEADGATE_TCP_PRIV_H
#define HEADGATE_TCP_PRIV_H

#include "tcp_conn.h"
#include "tcp_seq.h"

/* Silly window: the edge moves by at least this many segments before we send an update for it
 * alone (include/headgate/tcp.h, hg_tcp_consume). */
#define TCP_UPDATE_SEGS 2
/* ACKs per second and connection in answer to unacceptable segments (RFC 5961 7). Per connection,
 * so that no outsider can read a shared budget as a side channel. */
#define TCP_LIMITED_ACKS 10
#define TCP_DEFAULT_MSS 536 /* RFC 9293 3.7.1 */
#define TCP_MIN_MSS 64   /* a peer's smaller offer is not followed: each byte would cost a packet */
#define TCP_TS_OPTION 12 /* bytes, padded */

/* ---- tcp.c ---- */

/* Sets the time of the current call. */
void tcp_clock(struct hg_tcp *tcp, hg_ns now);

/* Queues HG_TCP_EV_* for the service. */
void tcp_event(struct hg_tcp_conn *conn, uint32_t what);

/* ---- tcp_table.c: the pool and the lookup ---- */

/* Allocates pool and table for cfg.conns_max; 0 or -ENOMEM. */
int tcp_table_create(struct hg_tcp *tcp);
void tcp_table_destroy(struct hg_tcp *tcp);
struct hg_tcp_conn *tcp_table_find(struct hg_tcp *tcp, const struct hg_flow *flow, uint32_t hash);
/* What the table has at the place of `hash`, perhaps: only to prefetch it. */
const struct hg_tcp_conn *tcp_table_guess(const struct hg_tcp *tcp, uint32_t hash);
/* A cleared connection in the table, state CLOSED; at the bound the oldest TIME-WAIT goes first.
 * NULL when there is no room. */
struct hg_tcp_conn *tcp_conn_new(struct hg_tcp *tcp, const struct hg_flow *flow, uint32_t hash);
/* Ends the connection: state CLOSED, out of the table, nothing sent. Tells the service if it knows
 * the connection, else frees it: the caller must not touch it any more. */
void tcp_conn_kill(struct hg_tcp_conn *conn, int error);
/* Frees a CLOSED connection that nobody knows. */
void tcp_conn_free(struct hg_tcp_conn *conn);

/* ---- tcp_rxq.c: received payload ---- */

/* The payload of s, which starts at RCV.NXT; takes s->m. Moves RCV.NXT. False: memory bound. */
bool tcp_rxq_in_order(struct hg_tcp_conn *conn, struct tcp_seg *s);
unsigned tcp_rxq_peek(const struct hg_tcp_conn *conn, struct hg_iov *iov, unsigned max);
void tcp_rxq_consume(struct hg_tcp_conn *conn, uint32_t n);
/* Drops all payload, in order or not. */
void tcp_rxq_drop(struct hg_tcp_conn *conn);
/* Bytes [s->off, + s->len) of s->m, accounted: copied behind `tail` (NULL: none) when that is worth
 * it, and then the chain returned is empty, or as a chain of their own. Takes s->m. */
struct tcp_chain tcp_rxq_take(struct hg_tcp *tcp, struct rte_mbuf *tail, struct tcp_seg *s);
/* Frees an accounted chain; returns how many bytes of payload it had. */
uint32_t tcp_rxq_free_chain(struct hg_tcp *tcp, struct tcp_chain *chain);

/* ---- tcp_ooo.c: payload out of order ---- */

/* The payload of s, which starts above RCV.NXT; takes s->m if something of it is new. */
void tcp_ooo_add(struct hg_tcp_conn *conn, struct tcp_seg *s);
/* The payload of s is next in order: what it covers of the data held is dropped, and s cut where the
 * next interval begins. */
void tcp_ooo_cover(struct hg_tcp_conn *conn, struct tcp_seg *s);
/* The first chain, if it starts at RCV.NXT; conn->ooo must not be NULL. */
bool tcp_ooo_pull(struct hg_tcp_conn *conn, struct tcp_chain *out);
/* Drops everything the connection holds. */
void tcp_ooo_drop(struct hg_tcp_conn *conn);
/* Frees at least one packet buffer for in-order data of conn: its own newest data out of order, else
 * that of another connection. False: none is held. */
bool tcp_ooo_reclaim(struct hg_tcp_conn *conn);

/* ---- tcp_budget.c: windows within the packet memory ---- */

/* Bytes we are ready to accept from RCV.NXT on. */
uint32_t tcp_budget_window(const struct hg_tcp_conn *conn);
/* Sets the bounds from cfg. */
void tcp_budget_init(struct hg_tcp *tcp);
/* A window is about to be sent: when memory is too short for what the service needs, asks for a part
 * of the reserve. */
void tcp_budget_ask(struct hg_tcp_conn *conn);
/* The service has read something. */
void tcp_budget_consumed(struct hg_tcp_conn *conn);
/* Sends windows to connections that waited for memory. */
void tcp_budget_poll(struct hg_tcp *tcp);
/* When it has something to do without anything else happening; 0: never. */
hg_ns tcp_budget_next(const struct hg_tcp *tcp);
/* A window has been sent: counts what rcv_adv promises. */
void tcp_budget_promise(struct hg_tcp_conn *conn);
/* What is left of the memory is the reserve, or nothing: out-of-order data has to stay out. */
bool tcp_budget_short(const struct hg_tcp *tcp);
/* Half of that point is reached: tcp_budget_admit() has to be asked. */
static inline bool tcp_budget_tight(const struct hg_tcp *tcp)
{
    return tcp->rx_mem >= tcp->rx_soft / 2 || tcp->rx_bufs >= tcp->rx_bufs_max / 2;
}
/* Whether a segment that is next in order is taken when memory is tight. Makes room if it can. */
bool tcp_budget_admit(struct hg_tcp_conn *conn);
/* The connection is gone. */
void tcp_budget_release(struct hg_tcp_conn *conn);
/* Time went on: promises of idle connections drop out of the sum. */
void tcp_budget_clock(struct hg_tcp *tcp);

/* ---- tcp_space.c: how large a window is of use ---- */

/* A new connection; and one that is established. */
void tcp_space_init(struct hg_tcp_conn *conn);
void tcp_space_start(struct hg_tcp_conn *conn);
/* A segment with in-order text, while TCP_F_RCV_RTT is set. */
void tcp_space_sample(struct hg_tcp_conn *conn, const struct tcp_seg *s);
/* The service has read something. */
void tcp_space_consumed(struct hg_tcp_conn *conn);

/* ---- tcp_sndq.c: data to send ---- */

void tcp_sndq_init(struct tcp_sndq *q, uint32_t seq);
/* Takes the chain m of `bytes` bytes. */
void tcp_sndq_append(struct hg_tcp_conn *conn, struct rte_mbuf *m, uint32_t bytes);
/* Frees mbufs whose data is all before una. */
void tcp_sndq_ack(struct hg_tcp_conn *conn, uint32_t una);
void tcp_sndq_drop(struct hg_tcp_conn *conn);
/* Hangs indirect mbufs for up to blk.hi - blk.lo bytes of the queue behind hdr. Returns how many
 * bytes that was: fewer when the data lies in too many pieces, 0 when the clone pool is empty. */
uint32_t tcp_sndq_attach(struct hg_tcp_conn *conn, struct tcp_cursor *cur, struct tcp_block blk,
                         struct rte_mbuf *hdr);
/* Bytes the queue may hold: twice the congestion window, between init_snd_buf and snd_buf. */
uint32_t tcp_sndq_limit(struct hg_tcp_conn *conn);
/* Bytes that fit in now, within snd_mem_max. */
uint32_t tcp_sndq_space(struct hg_tcp_conn *conn);
/* Bytes in the queue that are not acknowledged. */
uint32_t tcp_sndq_bytes(const struct hg_tcp_conn *conn);

/* ---- tcp_input.c ---- */

/* Steps 1 to 8 of RFC 9293 3.10.7.4 for the synchronized states; may free conn. */
void tcp_input_synchronized(struct hg_tcp_conn *conn, struct tcp_seg *s);
/* RFC 7323 5.3 R1: false when the timestamp is too old, or missing. */
bool tcp_input_paws(struct hg_tcp_conn *conn, const struct tcp_seg *s);
/* RFC 5961 3.2: what a reset segment does; may free conn. */
void tcp_input_rst(struct hg_tcp_conn *conn, const struct tcp_seg *s, int error);

/* ---- tcp_ack.c: step 5 ---- */

/* False when the segment must go no further; conn may then be freed. */
bool tcp_ack_input(struct hg_tcp_conn *conn, const struct tcp_seg *s);
/* Takes the window of a segment if it is newer than what we know. */
void tcp_ack_window(struct hg_tcp_conn *conn, const struct tcp_seg *s);

/* ---- tcp_loss.c: recovery ---- */

/* What a segment told the sender. */
struct tcp_ack_event {
    struct tcp_delivered d;
    uint32_t acked; /* bytes by which SND.UNA moved */
    uint32_t dsack; /* bytes that the peer received twice; 0: it does not say so */
    uint32_t dsack_end;
    bool dup;      /* counts as a duplicate ACK of a peer without SACK */
    bool ece;      /* ECN echo */
    bool has_echo; /* echo is of a segment of ours: */
    uint32_t echo; /* the timestamp that the peer echoes */
};
void tcp_loss_ack(struct hg_tcp_conn *conn, const struct tcp_ack_event *ev);
/* The retransmission timer, or TCP_T_LOSS, expired. */
void tcp_loss_timeout(struct hg_tcp_conn *conn);
void tcp_loss_timer(struct hg_tcp_conn *conn);
/* The peer's window was closed and is open: what timed out meanwhile was refused, and does not wait
 * for a time-out that has grown with each refusal. */
void tcp_loss_window_opened(struct hg_tcp_conn *conn);
/* Bytes were sent, for the first time or again. */
void tcp_loss_sent(struct hg_tcp_conn *conn, struct tcp_block blk, bool again);
/* Sets the tail loss probe's timer when one is wanted (RFC 8985 7.2). */
void tcp_loss_arm_probe(struct hg_tcp_conn *conn);
/* Bytes believed to be on their way. */
uint32_t tcp_loss_pipe(const struct hg_tcp_conn *conn);

/* ---- tcp_open.c ---- */

/* A segment to a flow without connection. */
void tcp_open_no_conn(struct hg_tcp *tcp, struct tcp_seg *s);
/* May free conn. */
void tcp_open_syn_sent(struct hg_tcp_conn *conn, struct tcp_seg *s);
void tcp_open_syn_received(struct hg_tcp_conn *conn, struct tcp_seg *s);
/* Our ISN and options, state SYN-SENT; the SYN is put on the output list. */
void tcp_open_active(struct hg_tcp_conn *conn);
/* A free ephemeral port towards flow's remote end into flow->lport; 0 or -EADDRINUSE. */
int tcp_open_port(struct hg_tcp *tcp, struct hg_flow *flow);

/* The service has been told of conn, or never will be: it leaves the backlog. */
static inline void tcp_open_told(struct hg_tcp_conn *conn)
{
    conn->tcp->n_backlog -= conn->in_backlog;
    conn->in_backlog = false;
}

/* ---- tcp_close.c ---- */

/* Our FIN leaves with the segment being built. */
void tcp_close_fin_sent(struct hg_tcp_conn *conn);
/* Everything we sent, FIN included, is acknowledged. False: conn is gone. */
bool tcp_close_fin_acked(struct hg_tcp_conn *conn);
/* The peer's FIN is next in order. */
void tcp_close_fin_received(struct hg_tcp_conn *conn);
/* A segment in TIME-WAIT; may free conn. */
void tcp_close_time_wait(struct hg_tcp_conn *conn, struct tcp_seg *s);
/* Sends RST and kills. */
void tcp_close_abort(struct hg_tcp_conn *conn, int error);
/* The connection needs no one to wait for it any more: it is no orphan. */
static inline void tcp_close_adopt(struct hg_tcp_conn *conn)
{
    conn->tcp->n_orphans -= conn->is_orphan;
    conn->is_orphan = false;
}
/* The service let go of a living connection; may free it. */
void tcp_close_release(struct hg_tcp_conn *conn);

/* ---- tcp_output.c: what is sent, and when ---- */

/* Puts conn on the output list. */
void tcp_output_want(struct hg_tcp_conn *conn);
void tcp_output_ack_now(struct hg_tcp_conn *conn);
/* An ACK for an unacceptable segment, at a bounded rate; counts in *counter when it is sent. */
void tcp_output_ack_limited(struct hg_tcp_conn *conn, uint64_t *counter);
/* RFC 9293 3.8.6.3, RFC 5681 4.2: decides when new in-order bytes are acknowledged; `len`: payload
 * of the segment that brought them. */
void tcp_output_ack_policy(struct hg_tcp_conn *conn, uint32_t len);
/* s has come, which is about to be kept behind a gap. */
void tcp_output_ack_gap(struct hg_tcp_conn *conn, const struct tcp_seg *s);
/* The peer's window is small now: the next ACKs are not delayed. */
void tcp_output_quick_acks(struct hg_tcp_conn *conn);
/* The service consumed data: is the window worth an update of its own? */
void tcp_output_consumed(struct hg_tcp_conn *conn);
/* Sends what the connections on the output list have to send, within the turn's budget. */
void tcp_output_poll(struct hg_tcp *tcp);

/* ---- tcp_segment.c: one segment from its parts ---- */

/* What one segment carries. */
struct tcp_out {
    uint32_t seq;
    uint32_t len;              /* payload bytes of the send queue from seq on */
    uint8_t flags;             /* beside ACK */
    struct tcp_cursor *cursor; /* with len */
    bool again;                /* the bytes were sent before */
    bool probe;                /* larger than others to see whether the path takes it */
};
/* Builds and emits it, with the acknowledgement and window of this moment. Returns the payload
 * bytes that went (fewer than out->len, without FIN and PSH, when the data lies in too many pieces)
 * or -ENOBUFS. */
int tcp_segment_send(struct hg_tcp_conn *conn, const struct tcp_out *out);
/* Payload that fits a segment beside the options it will have now, bytes. */
uint32_t tcp_segment_room(const struct hg_tcp_conn *conn);
/* SYN or SYN-ACK, as the state asks; 0 or -ENOBUFS. */
int tcp_segment_send_syn(struct hg_tcp_conn *conn);
/* SYN-ACK in answer to the SYN s, for no connection. */
void tcp_segment_cookie(struct hg_tcp *tcp, const struct tcp_seg *s, const struct tcp_cookie *c);
/* RST in answer to s (RFC 9293 3.10.7.1), for no connection or instead of one. */
void tcp_segment_rst_reply(struct hg_tcp *tcp, const struct tcp_seg *s);
/* RST of a connection. */
void tcp_segment_rst(struct hg_tcp_conn *conn);
/* Bytes by which the right edge of the window may move now. */
uint32_t tcp_segment_edge_gain(const struct hg_tcp_conn *conn);
/* Largest payload plus options of a flow: cfg.mss and the MTU. */
uint16_t tcp_segment_mss(const struct hg_tcp *tcp, const struct hg_flow *flow);

/* ---- tcp_timer.c ---- */

void tcp_timer_set(struct hg_tcp_conn *conn, enum tcp_timer_kind kind, hg_ns deadline);
/* Starts the retransmission timer unless it runs. */
void tcp_timer_rtx_start(struct hg_tcp_conn *conn);
void tcp_timer_rtx_restart(struct hg_tcp_conn *conn);
void tcp_timer_poll(struct hg_tcp *tcp);

/* ---- tcp_icmp.c ---- */

void tcp_icmp_input(struct hg_tcp *tcp, const struct hg_seg *seg);

/* ---- tcp_info.c ---- */

const char *tcp_state_name(unsigned state);
/* The sender did what it could: notes what it waits for now. */
void tcp_info_limit(struct hg_tcp_conn *conn);

/* ---- small things used everywhere ---- */

static inline void tcp_timer_clear(struct hg_tcp_conn *conn, enum tcp_timer_kind kind)
{
    conn->deadline[kind] = 0;
}

/* The algorithm that the configuration names. */
static inline const struct tcp_cc_ops *tcp_cc_of(const struct hg_tcp_cfg *cfg)
{
    return cfg->cc == HG_TCP_CC_NEWRENO ? &tcp_cc_newreno : &tcp_cc_cubic;
}

/* Payload bytes of a full segment. */
static inline uint32_t tcp_mss(const struct hg_tcp_conn *conn)
{
    return conn->snd_mss - (conn->flags & TCP_F_TS ? TCP_TS_OPTION : 0);
}

#endif /* HEADGATE_TCP_PRIV_H */
