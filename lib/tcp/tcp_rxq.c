/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Received payload, in the mbufs it came in.
 *
 * In-order data is a list of buffers (tcp_rxlist.h), each trimmed to exactly the bytes that are new;
 * out-of-order data is one chain of mbufs through rte_mbuf.next per interval of tcp_reass. So filling
 * a gap copies nothing.
 *
 * Memory is accounted by the size of the buffers held, not by the bytes in them: that is what a
 * peer which sends single bytes would exhaust. A segment that fills less than a quarter of its
 * buffer is copied behind the one before it when there is room.
 *
 * Invariants: (1) no mbuf of a chain is empty; (2) rxq_bytes and ooo_bytes are the sums of the
 * list's and the chains' lengths; (3) tcp->rx_mem is the sum of buf_len of all mbufs in them and
 * rx_bufs their number; (4)
 * cold->ooo[i] holds exactly the bytes of reass.iv[i].
 */
#include "tcp_priv.h"

#include <errno.h>
#include <string.h>

#define FOLD_FRACTION 4 /* a segment below buf_len / 4 is worth copying */

static void free_mbuf(struct hg_tcp *tcp, struct rte_mbuf *m)
{
    tcp->rx_mem -= m->buf_len;
    tcp->rx_bufs--;
    m->next = NULL;
    m->nb_segs = 1;
    rte_pktmbuf_free_seg(m);
}

/* Holds one more. */
static void account(struct hg_tcp *tcp, const struct rte_mbuf *m)
{
    tcp->rx_mem += m->buf_len;
    tcp->rx_bufs++;
}

static bool is_full(const struct hg_tcp *tcp)
{
    return tcp->rx_mem >= tcp->cfg.rcv_mem_max || tcp->rx_bufs >= tcp->rx_bufs_max;
}

static void free_chain(struct hg_tcp *tcp, struct tcp_chain *chain)
{
    for (struct rte_mbuf *m = chain->head, *next; m; m = next) {
        next = m->next;
        free_mbuf(tcp, m);
    }
    *chain = (struct tcp_chain){NULL, NULL};
}

static void append_chain(struct tcp_chain *to, const struct tcp_chain *from)
{
    if (to->tail)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
}

/* Cuts the packet m to bytes [off, off + len) and accounts what is left; mbufs without a byte in
 * that range are freed. len > 0 and the packet has them. */
static struct tcp_chain trim(struct hg_tcp *tcp, struct rte_mbuf *m, uint32_t off, uint32_t len)
{
    struct tcp_chain out = {NULL, NULL};

    for (struct rte_mbuf *next; m; m = next) {
        next = m->next;
        m->next = NULL;
        m->nb_segs = 1;
        uint32_t skip = off < m->data_len ? off : m->data_len;
        uint32_t keep = m->data_len - skip < len ? m->data_len - skip : len;
        off -= skip;
        len -= keep;
        if (!keep) {
            rte_pktmbuf_free_seg(m);
            continue;
        }
        m->data_off = (uint16_t)(m->data_off + skip);
        m->data_len = (uint16_t)keep;
        account(tcp, m);
        append_chain(&out, &(struct tcp_chain){m, m});
    }
    return out;
}

/* Copies the payload of a small segment behind `tail`; false when it has to keep its own mbuf. */
static bool fold(struct rte_mbuf *tail, const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
    if (!RTE_MBUF_DIRECT(tail) || rte_mbuf_refcnt_read(tail) != 1 ||
        rte_pktmbuf_tailroom(tail) < len)
        return false;
    uint8_t *to = rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len);
    const void *from = rte_pktmbuf_read(m, off, len, to);
    if (from != to)
        memcpy(to, from, len);
    tail->data_len = (uint16_t)(tail->data_len + len);
    return true;
}

/* Worth copying behind the one before, if there is one. */
static bool is_small(const struct tcp_seg *s)
{
    return s->len * FOLD_FRACTION <= s->m->buf_len;
}

/* Bytes [s->off, + s->len) of s->m, behind `tail` or as a chain of their own; takes s->m. */
static struct tcp_chain take(struct hg_tcp *tcp, struct rte_mbuf *tail, struct tcp_seg *s)
{
    struct rte_mbuf *m = s->m;

    s->m = NULL;
    if (tail && fold(tail, m, s->off, s->len)) {
        rte_pktmbuf_free(m);
        return (struct tcp_chain){NULL, NULL};
    }
    if (likely(m->nb_segs == 1)) {
        m->data_off = (uint16_t)(m->data_off + s->off);
        m->data_len = (uint16_t)s->len;
        account(tcp, m);
        return (struct tcp_chain){m, m};
    }
    return trim(tcp, m, s->off, s->len);
}

static void append_in_order(struct hg_tcp_conn *conn, const struct tcp_chain *chain)
{
    for (struct rte_mbuf *m = chain->head, *next; m; m = next) {
        next = m->next;
        tcp_rxlist_push(&conn->rxq, &conn->tcp->rx_blocks, m);
    }
}

/* Removes cold->ooo[at .. at + n) and closes the gap; `left` chains are there in all. */
static void drop_chains(struct hg_tcp_conn *conn, unsigned at, unsigned n, unsigned left)
{
    struct tcp_chain *q = conn->cold->ooo;

    for (unsigned i = at; i < at + n; i++) {
        for (const struct rte_mbuf *m = q[i].head; m; m = m->next)
            conn->ooo_bytes -= m->data_len;
        free_chain(conn->tcp, &q[i]);
    }
    memmove(&q[at], &q[at + n], (left - at - n) * sizeof q[0]);
}

/* The gap in front of the out-of-order data may have closed: moves what is in order now. */
static void pull_ooo(struct hg_tcp_conn *conn)
{
    struct tcp_chain *q = conn->cold->ooo;
    uint32_t end;

    while (tcp_reass_pop(&conn->reass, conn->rcv_nxt, &end)) {
        uint32_t len = end - conn->rcv_nxt;
        append_in_order(conn, &q[0]);
        memmove(&q[0], &q[1], conn->reass.n * sizeof q[0]);
        conn->ooo_bytes -= len;
        conn->rcv_nxt = end;
        conn->rxq_bytes += len;
        conn->bytes_in += len;
        conn->tcp->count.rx_bytes += len;
    }
}

/* At the memory bound: out-of-order data goes first, since the peer will send it again. */
static bool make_room(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->ooo_bytes) {
        tcp->count.rx_ooo_drop += conn->reass.n;
        tcp_trace(conn, TCP_TR_OOO_DROP, conn->rcv_nxt - conn->irs, conn->ooo_bytes);
        tcp_rxq_drop_ooo(conn);
    }
    return !is_full(tcp);
}

bool tcp_rxq_in_order(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;

    if (unlikely(is_full(tcp)) && !make_room(conn)) {
        tcp_trace(conn, TCP_TR_MEM_DROP, s->seq - conn->irs, s->len);
        tcp->count.rx_mem_drop++;
        return false;
    }
    if (unlikely(conn->ooo_bytes)) {
        uint32_t hi = s->seq + s->len;
        unsigned n = tcp_reass_cover(&conn->reass, &hi);
        drop_chains(conn, 0, n, conn->reass.n + n);
        s->len = hi - s->seq;
    }
    struct tcp_chain chain = take(tcp, is_small(s) ? tcp_rxlist_last(&conn->rxq) : NULL, s);
    if (likely(chain.head != NULL))
        append_in_order(conn, &chain);
    else
        tcp_rxlist_grow(&conn->rxq, s->len);
    conn->rcv_nxt += s->len;
    conn->rxq_bytes += s->len;
    conn->bytes_in += s->len;
    tcp->count.rx_bytes += s->len;
    if (unlikely(conn->ooo_bytes))
        pull_ooo(conn);
    return true;
}

/* Does to the chains what tcp_reass_add() did to the intervals. */
static void place(struct hg_tcp_conn *conn, const struct tcp_placed *p, struct tcp_seg *s)
{
    struct tcp_chain *q = conn->cold->ooo;
    unsigned first = p->at + p->join_left;
    unsigned n = conn->reass.n + p->swallowed + p->join_left + p->join_right - 1; /* before */

    drop_chains(conn, first, p->swallowed, n);
    n -= p->swallowed;
    s->off += p->lo - s->seq;
    s->seq = p->lo;
    s->len = p->hi - p->lo;
    conn->ooo_bytes += s->len;
    struct tcp_chain chain = take(conn->tcp, p->join_left && is_small(s) ? q[p->at].tail : NULL, s);
    if (p->join_left) {
        if (chain.head)
            append_chain(&q[p->at], &chain);
    } else {
        memmove(&q[p->at + 1], &q[p->at], (n - p->at) * sizeof q[0]);
        q[p->at] = chain;
        n++;
    }
    if (p->join_right) {
        append_chain(&q[p->at], &q[p->at + 1]);
        memmove(&q[p->at + 1], &q[p->at + 2], (n - p->at - 2) * sizeof q[0]);
    }
}

void tcp_rxq_out_of_order(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    struct tcp_placed placed;

    tcp->count.rx_ooo++;
    tcp_trace(conn, TCP_TR_OOO, s->seq - conn->irs, s->len);
    if (is_full(tcp)) {
        tcp_trace(conn, TCP_TR_MEM_DROP, s->seq - conn->irs, s->len);
        tcp->count.rx_mem_drop++;
        return;
    }
    int rc = tcp_reass_add(&conn->reass, s->seq, s->seq + s->len, &placed);
    if (rc == -EEXIST) {
        tcp->count.rx_dup++;
        conn->dsack = (struct tcp_block){s->seq, s->seq + s->len};
        conn->flags |= TCP_F_DSACK;
    } else if (rc) {
        tcp_trace(conn, TCP_TR_OOO_DROP, s->seq - conn->irs, s->len);
        tcp->count.rx_ooo_drop++;
    } else {
        place(conn, &placed, s);
    }
}

unsigned tcp_rxq_peek(const struct hg_tcp_conn *conn, struct hg_iov *iov, unsigned max)
{
    return tcp_rxlist_peek(&conn->rxq, iov, max);
}

void tcp_rxq_consume(struct hg_tcp_conn *conn, uint32_t n)
{
    struct hg_tcp *tcp = conn->tcp;

    conn->rxq_bytes -= n;
    while (n) {
        struct rte_mbuf *m = tcp_rxlist_take(&conn->rxq, &tcp->rx_blocks, &n);

        if (m)
            free_mbuf(tcp, m);
    }
}

void tcp_rxq_drop_ooo(struct hg_tcp_conn *conn)
{
    if (conn->reass.n)
        drop_chains(conn, 0, conn->reass.n, conn->reass.n);
    conn->reass.n = 0;
}

void tcp_rxq_drop(struct hg_tcp_conn *conn)
{
    tcp_rxq_drop_ooo(conn);
    tcp_rxq_consume(conn, conn->rxq_bytes);
}
