/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Out-of-order data of all connections: who holds how much, and who gives way.
 *
 * What it takes to hold any (intervals and chains, 14 KB, touched as far as there are gaps) is borrowed from a pool of the stack for
 * as long as there is something to hold, so connections without loss do not pay for it.
 */
#ifndef HEADGATE_TCP_OOO_H
#define HEADGATE_TCP_OOO_H

#include "tcp_reass.h"

#include <rte_mbuf.h>
#include <sys/queue.h>

struct hg_tcp_conn;

/* A run of mbufs, linked through rte_mbuf.next. */
struct tcp_chain {
    struct rte_mbuf *head, *tail;
};

/* What one connection holds. */
struct tcp_ooo {
    TAILQ_ENTRY(tcp_ooo) link; /* free list, or those in use */
    struct hg_tcp_conn *conn;  /* who holds it */
    uint64_t mem;              /* bytes of packet buffers in the chains */
    struct tcp_ival ival[TCP_REASS_MAX];
    struct tcp_chain chain[TCP_REASS_MAX + 1]; /* payload of ival[i]; one spare while inserting */
};

TAILQ_HEAD(tcp_ooo_list, tcp_ooo);

struct tcp_ooo_pool {
    struct tcp_ooo *all;
    struct tcp_ooo_list free;
    struct tcp_ooo_list held; /* the connection that began to hold last is last */
    uint32_t used, n;         /* of all[]: touched so far, there are */
    uint64_t mem;             /* bytes of packet buffers held by all */
};

/* 0 or -ENOMEM. Memory is touched only as far as connections hold data at once. */
int tcp_ooo_pool_create(struct tcp_ooo_pool *pool, uint32_t n);
void tcp_ooo_pool_destroy(struct tcp_ooo_pool *pool);

#endif /* HEADGATE_TCP_OOO_H */
