/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Received payload, in the mbufs it came in.
 *
 * In-order data is a list of buffers (tcp_rxlist.h), each trimmed to exactly the bytes that are new.
 * Out-of-order data is tcp_ooo.c's.
 *
 * Memory is accounted by the size of the buffers held, not by the bytes in them: that is what a
 * peer which sends single bytes would exhaust. A segment that fills less than a quarter of its
 * buffer is copied behind the one before it when there is room.
 *
 * Invariants: (1) no buffer of the list is without unread bytes, and rxq_bytes is their sum; (2)
 * tcp->rx_mem is the sum of buf_len of all mbufs in the lists and in tcp_ooo.c's chains, and rx_bufs
 * their number.
 */
#include "tcp_priv.h"

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

uint32_t tcp_rxq_free_chain(struct hg_tcp *tcp, struct tcp_chain *chain)
{
    uint32_t bytes = 0;

    for (struct rte_mbuf *m = chain->head, *next; m; m = next) {
        next = m->next;
        bytes += m->data_len;
        free_mbuf(tcp, m);
    }
    *chain = (struct tcp_chain){NULL, NULL};
    return bytes;
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
        if (out.tail)
            out.tail->next = m;
        else
            out.head = m;
        out.tail = m;
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

struct tcp_chain tcp_rxq_take(struct hg_tcp *tcp, struct rte_mbuf *tail, struct tcp_seg *s)
{
    struct rte_mbuf *m = s->m;
    bool small = is_small(s);

    s->m = NULL;
    if (small && tail && fold(tail, m, s->off, s->len)) {
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

static void delivered(struct hg_tcp_conn *conn, uint32_t len)
{
    conn->rcv_nxt += len;
    conn->rxq_bytes += len;
    conn->bytes_in += len;
    conn->tcp->count.rx_bytes += len;
}

/* The gap in front of the out-of-order data may have closed: moves what is in order now. */
static void pull_ooo(struct hg_tcp_conn *conn)
{
    struct tcp_chain chain;
    uint32_t before = conn->ooo_bytes;

    while (conn->ooo && tcp_ooo_pull(conn, &chain)) {
        append_in_order(conn, &chain);
        delivered(conn, before - conn->ooo_bytes);
        before = conn->ooo_bytes;
    }
}

bool tcp_rxq_in_order(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;

    if (unlikely(tcp_budget_tight(tcp)) && !tcp_budget_admit(conn)) {
        tcp_trace(conn, TCP_TR_MEM_DROP, s->seq - conn->irs, s->len);
        tcp->count.rx_mem_drop++;
        return false;
    }
    if (unlikely(conn->ooo_bytes))
        tcp_ooo_cover(conn, s);
    struct tcp_chain chain = tcp_rxq_take(tcp, tcp_rxlist_last(&conn->rxq), s);
    if (likely(chain.head != NULL))
        append_in_order(conn, &chain);
    else
        tcp_rxlist_grow(&conn->rxq, s->len);
    delivered(conn, s->len);
    if (unlikely(conn->ooo_bytes))
        pull_ooo(conn);
    return true;
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

void tcp_rxq_drop(struct hg_tcp_conn *conn)
{
    tcp_ooo_drop(conn);
    tcp_rxq_consume(conn, conn->rxq_bytes);
}
