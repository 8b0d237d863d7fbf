/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK transport: one lcore, one port queue, our own TCP and TLS in the client's role. dpdk.c makes
 * the stack and turns the loop, dpdk_conn.c is a connection.
 *
 * A record's plaintext is gathered, not copied, when payloads stay where they are (--replay);
 * otherwise frames go through the connection's out buffer as in kernel.c. Either way a record of
 * 16 KiB is sealed straight into one packet buffer, which TCP cuts into segments.
 */
#ifndef LOAD_DPDK_PRIV_H
#define LOAD_DPDK_PRIV_H

#include "transport.h"
#include <headgate/net.h>
#include <headgate/tcp.h>
#include <headgate/tls.h>
#include <sys/queue.h>

#define TX_ROOM (HG_TLS_MAX_PLAINTEXT + HG_TLS_OVERHEAD)

enum dconn_state { DCONN_NONE, DCONN_TCP, DCONN_TLS, DCONN_UP };

struct dconn {
    TAILQ_ENTRY(dconn) link; /* run queue */
    struct dpdk *dpdk;
    struct session *session;
    enum dconn_state state;
    bool queued, eof;
    struct hg_tcp_conn *tcp;
    struct hg_tls *tls;
    struct hg_source_frame frame; /* gathering: the frame that is partly sent */
    uint32_t frame_at;            /* bytes of it that are in records already */
    bool has_frame;
    uint8_t *out; /* copying: [out_at, out_len) waits; NULL when gathering */
    uint32_t out_at, out_len;
};

TAILQ_HEAD(dconn_queue, dconn);

struct dpdk {
    struct worker *worker;
    hg_ns now;
    struct hg_port *port;
    struct hg_net *net;
    struct hg_tcp *tcp;
    struct hg_tls_shard *tls;
    struct hg_tls_ctx **ctx; /* per certificate */
    unsigned n_ctx;
    struct rte_mempool *rx_pool, *hdr_pool, *clone_pool, *tx_pool;
    struct dconn *conns; /* one per session */
    struct dconn_queue run;
    struct hg_flow flow; /* to the node; lport 0 */
    uint64_t retransmits;
    bool eal;
    char *eal_args;                    /* EAL keeps pointers into it until its cleanup */
    uint8_t record[HG_TLS_MAX_RECORD]; /* plaintext of the record just opened */
};

/* Begins to connect. */
void dconn_connect(struct dconn *c);
/* News from TCP: HG_TCP_EV_*. */
void dconn_event(struct dconn *c, uint32_t what);
/* Reads what came and sends what may be sent, within a budget; true: there is more to do. */
bool dconn_run(struct dconn *c);
/* Ends the connection and tells the session. `why` as for session_down(). */
void dconn_close(struct dconn *c, bool never, const char *why);
/* Puts it on the run queue. */
void dconn_queue(struct dconn *c);

#endif /* LOAD_DPDK_PRIV_H */
