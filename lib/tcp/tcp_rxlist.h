/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The unread in-order data of a connection: which packet buffers, and which bytes of each.
 *
 * A chain through rte_mbuf.next would do, but reading it is one cache miss after the other: with a
 * thousand connections a dozen of them for each TLS record. Here the places stand side by side, the
 * service starts on the payload at once, and the mbufs are fetched meanwhile for being freed.
 *
 * Blocks come from one array per stack. There is one for every TCP_RXLIST_BLOCK buffers that may be
 * held, and two more for each connection that can hold any: so a push never fails as long as no more
 * than tcp->rx_bufs_max buffers are held.
 */
#ifndef HEADGATE_TCP_RXLIST_H
#define HEADGATE_TCP_RXLIST_H

#include <headgate/base.h>
#include <rte_mbuf.h>

#define TCP_RXLIST_BLOCK 15u

struct tcp_rxent {
    struct rte_mbuf *m;
    uint8_t *data; /* unread bytes */
    uint32_t len;  /* > 0 */
};

/* Entries [first, end) are in use; first < end, but for a block on the free list. */
struct tcp_rxblk {
    struct tcp_rxblk *next;
    uint32_t first, end;
    struct tcp_rxent e[TCP_RXLIST_BLOCK];
} __rte_cache_aligned;

struct tcp_rxlist {
    struct tcp_rxblk *head, *tail; /* both NULL: empty */
};

/* Where blocks come from: a free list, then the part of the array never used. */
struct tcp_rxblks {
    struct tcp_rxblk *all, *free;
    uint32_t used, n;
};

/* 0 or -ENOMEM. Memory is touched only as far as blocks are needed at once. */
int tcp_rxblks_create(struct tcp_rxblks *blks, uint32_t bufs, uint32_t conns);
void tcp_rxblks_destroy(struct tcp_rxblks *blks);

void tcp_rxlist_push(struct tcp_rxlist *list, struct tcp_rxblks *blks, struct rte_mbuf *m);
/* The last buffer, or NULL; the one whose entry tcp_rxlist_grow() makes `n` bytes longer. */
struct rte_mbuf *tcp_rxlist_last(const struct tcp_rxlist *list);
void tcp_rxlist_grow(struct tcp_rxlist *list, uint32_t n);
unsigned tcp_rxlist_peek(const struct tcp_rxlist *list, struct hg_iov *iov, unsigned max);
/* Takes up to *n bytes off the front, of one buffer at most; *n is what remains to be taken. Returns
 * the buffer when that was its last byte, else NULL. */
struct rte_mbuf *tcp_rxlist_take(struct tcp_rxlist *list, struct tcp_rxblks *blks, uint32_t *n);

#endif /* HEADGATE_TCP_RXLIST_H */
