/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the library: the stack, its port of byte buffers, its sockets.
 *
 * Invariants
 *  1. A socket in use with a connection owns it: `tcp` is released exactly when the socket is
 *     freed, and its user pointer is the socket.
 *  2. A connection that waits to be accepted has a socket too, which is on its listener's queue and
 *     whose index nobody outside knows yet.
 *  3. Events only set flags; what can be read or written is asked of TCP when it is needed.
 */
#ifndef HG_LIB_STACK_STACK_PRIV_H
#define HG_LIB_STACK_STACK_PRIV_H

#include <headgate/port.h>
#include <headgate/stack.h>
#include <sys/queue.h>

/* ---- stack_port.c ---- */

/* Packets in the order they came. */
struct packet_queue {
    struct rte_mbuf *m[HG_STACK_QUEUE];
    unsigned head, n;
};

struct stack_port {
    struct hg_port port; /* first: what lib/net holds */
    struct rte_mempool *pool;
    struct packet_queue in, out;
    bool raw_ip;
};

void stack_port_init(struct stack_port *p, const struct hg_stack_cfg *cfg,
                     struct rte_mempool *pool);
void stack_port_fini(struct stack_port *p);
int stack_port_put(struct stack_port *p, const void *packet, size_t len);
ssize_t stack_port_take(struct stack_port *p, void *packet, size_t cap);

/* ---- stack_sock.c ---- */

enum sock_kind { SOCK_FREE, SOCK_LISTENER, SOCK_CONN };

TAILQ_HEAD(sock_list, sock);

struct sock {
    enum sock_kind kind;
    struct hg_tcp_conn *tcp; /* SOCK_CONN */
    bool connected, eof, closed, shut, linger0;
    bool waiting; /* invariant 2 */
    uint32_t lowat;
    /* SOCK_LISTENER */
    struct hg_ip ip;
    uint16_t port;
    uint32_t backlog, n_waiting;
    struct sock_list queue;
    /* either: of a listener's queue, or of the free list */
    TAILQ_ENTRY(sock) link;
    struct sock *listener; /* while waiting */
};

struct hg_stack {
    struct hg_stack_cfg cfg; /* defaults filled in */
    hg_ns now;
    struct stack_port port;
    struct hg_net *net;
    struct hg_tcp *tcp;
    struct rte_mempool *rx_pool, *data_pool, *hdr_pool, *clone_pool;
    struct sock *socks;
    uint32_t n_socks;
    struct sock_list free; /* the handle given back longest ago is the next one */
};

void stack_sock_init(struct hg_stack *stack);
/* What TCP has to tell. */
void stack_sock_events(struct hg_stack *stack);

#endif /* HG_LIB_STACK_STACK_PRIV_H */
