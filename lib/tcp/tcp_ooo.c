/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Out-of-order data: one chain of mbufs for each interval of tcp_reass, so that filling a gap copies
 * nothing; and its bounds, per connection and in sum.
 *
 * Where there is no room, what is newest gives way: within a connection the highest sequence numbers,
 * among connections the one that began to hold data last. The peer sends it again, and meanwhile
 * what is lower can be delivered (RFC 2018 8 allows to take back what was reported). In-order data
 * makes room for itself at the cost of any connection, out-of-order data only of its own.
 *
 * Of data that overlaps the first copy stays, wherever the packet buffer may be written.
 *
 * Invariants: (1) conn->ooo is NULL exactly when reass.n is 0; (2) ooo->chain[i] holds exactly the
 * bytes of reass.iv[i], and ooo_bytes is their sum; (3) no mbuf of a chain is empty; (4) ooo->mem is
 * the sum of buf_len of the mbufs in its chains, and pool.mem the sum of all ooo->mem.
 */
#include "tcp_ooo.h"

#include "tcp_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHED_WHOLE 16 /* an interval of at most so many mbufs goes as a whole */

int tcp_ooo_pool_create(struct tcp_ooo_pool *pool, uint32_t n)
{
    *pool = (struct tcp_ooo_pool){.n = n};
    TAILQ_INIT(&pool->free);
    TAILQ_INIT(&pool->held);
    /* Ordinary memory, as most of it is never touched. */
    pool->all = malloc((size_t)n * sizeof pool->all[0]);
    return pool->all ? 0 : -ENOMEM;
}

void tcp_ooo_pool_destroy(struct tcp_ooo_pool *pool)
{
    free(pool->all);
}

static bool borrow(struct hg_tcp_conn *conn)
{
    struct tcp_ooo_pool *pool = &conn->tcp->ooo;
    struct tcp_ooo *o = TAILQ_FIRST(&pool->free);

    if (o)
        TAILQ_REMOVE(&pool->free, o, link);
    else if (pool->used < pool->n)
        o = &pool->all[pool->used++];
    else
        return false;
    o->conn = conn;
    o->mem = 0;
    TAILQ_INSERT_TAIL(&pool->held, o, link);
    conn->ooo = o;
    conn->reass.iv = o->ival;
    return true;
}

static void give_back_if_empty(struct hg_tcp_conn *conn)
{
    struct tcp_ooo_pool *pool = &conn->tcp->ooo;
    struct tcp_ooo *o = conn->ooo;

    if (!o || conn->reass.n)
        return;
    assert(!o->mem && !conn->ooo_bytes);
    TAILQ_REMOVE(&pool->held, o, link);
    TAILQ_INSERT_HEAD(&pool->free, o, link);
    conn->ooo = NULL;
    conn->reass.iv = NULL;
}

static void lighten(struct hg_tcp_conn *conn, uint64_t mem)
{
    conn->ooo->mem -= mem;
    conn->tcp->ooo.mem -= mem;
}

/* Frees a chain; returns how many bytes of payload it had. */
static uint32_t free_chain(struct hg_tcp_conn *conn, struct tcp_chain *chain)
{
    uint64_t before = conn->tcp->rx_mem;
    uint32_t bytes = tcp_rxq_free_chain(conn->tcp, chain);

    lighten(conn, before - conn->tcp->rx_mem);
    return bytes;
}

static void append_chain(struct tcp_chain *to, const struct tcp_chain *from)
{
    if (to->tail)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
}

/* Removes chain[at .. at + n) and closes the gap; `left` chains are there in all. */
static void drop_chains(struct hg_tcp_conn *conn, unsigned at, unsigned n, unsigned left)
{
    struct tcp_chain *q = conn->ooo->chain;

    for (unsigned i = at; i < at + n; i++)
        conn->ooo_bytes -= free_chain(conn, &q[i]);
    memmove(&q[at], &q[at + n], (left - at - n) * sizeof q[0]);
}

/* ---- giving way ---- */

/* Keeps the first `keep` mbufs of the highest interval, fewer than it has. */
static void cut_highest(struct hg_tcp_conn *conn, unsigned keep)
{
    unsigned last = conn->reass.n - 1;
    struct tcp_chain *q = &conn->ooo->chain[last], rest = *q;
    uint32_t hi = conn->reass.iv[last].lo;

    *q = (struct tcp_chain){NULL, NULL};
    for (; keep; keep--) {
        struct rte_mbuf *m = rest.head;
        rest.head = m->next;
        m->next = NULL;
        append_chain(q, &(struct tcp_chain){m, m});
        hi += m->data_len;
    }
    conn->ooo_bytes -= free_chain(conn, &rest);
    tcp_reass_cut_last(&conn->reass, hi);
}

/* The upper half of the highest interval goes, or all of a short one: so the work of all steps
 * together is twice the mbufs they free. */
static void shed(struct hg_tcp_conn *conn)
{
    uint32_t held = conn->ooo_bytes;
    unsigned n = 0;

    for (const struct rte_mbuf *m = conn->ooo->chain[conn->reass.n - 1].head; m; m = m->next)
        n++;
    unsigned keep = n > SHED_WHOLE ? n / 2 : 0;
    cut_highest(conn, keep);
    conn->tcp->count.rx_ooo_shed += n - keep;
    tcp_trace(conn, TCP_TR_OOO_DROP, conn->rcv_nxt - conn->irs, held - conn->ooo_bytes);
    give_back_if_empty(conn);
}

bool tcp_ooo_reclaim(struct hg_tcp_conn *conn)
{
    const struct tcp_ooo *newest = TAILQ_LAST(&conn->tcp->ooo.held, tcp_ooo_list);

    if (!newest)
        return false;
    shed(conn->ooo ? conn : newest->conn);
    return true;
}

static bool at_bound(const struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;

    return tcp_budget_short(tcp) || tcp->ooo.mem >= tcp->cfg.ooo_mem_max ||
           (conn->ooo && conn->ooo->mem >= tcp->cfg.ooo_conn_max);
}

/* The connection holds something above seq, which then goes. */
static bool shed_above(struct hg_tcp_conn *conn, uint32_t seq)
{
    if (!conn->reass.n || seq_le(conn->reass.iv[conn->reass.n - 1].lo, seq))
        return false;
    shed(conn);
    return true;
}

/* ---- adding and taking ---- */

/* Makes byte `off` of the packet m and those after it what `from` holds, as far as may be written. */
static void put_bytes(struct hg_tcp *tcp, struct rte_mbuf *m, uint32_t off, struct rte_mbuf *from)
{
    const uint8_t *src = rte_pktmbuf_mtod(from, const uint8_t *);
    uint32_t len = from->data_len;

    for (; m && len; m = m->next) {
        if (off >= m->data_len) {
            off -= m->data_len;
            continue;
        }
        uint32_t n = m->data_len - off < len ? m->data_len - off : len;
        uint8_t *to = rte_pktmbuf_mtod_offset(m, uint8_t *, off);
        if (memcmp(to, src, n) != 0) {
            tcp->count.rx_overlap_diff++;
            if (RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1)
                memcpy(to, src, n);
        }
        src += n;
        len -= n;
        off = 0;
    }
}

/* Intervals that lie inside s are about to be replaced by it: the bytes that came first stay, so that
 * nobody can change what is held already (RFC 5961 has the attacks). */
static void first_copy_wins(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    const struct tcp_reass *r = &conn->reass;
    uint32_t hi = s->seq + s->len;

    for (unsigned i = 0; i < r->n && seq_lt(r->iv[i].lo, hi); i++) {
        uint32_t at = r->iv[i].lo;
        if (seq_lt(at, s->seq) || seq_gt(r->iv[i].hi, hi) || r->iv[i].hi - at == s->len)
            continue;
        for (struct rte_mbuf *m = conn->ooo->chain[i].head; m; m = m->next) {
            put_bytes(conn->tcp, s->m, s->off + (at - s->seq), m);
            at += m->data_len;
        }
    }
}

/* Does to the chains what tcp_reass_add() did to the intervals. */
static void place(struct hg_tcp_conn *conn, const struct tcp_placed *p, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    struct tcp_chain *q = conn->ooo->chain;
    unsigned first = p->at + p->join_left;
    unsigned n = conn->reass.n + p->swallowed + p->join_left + p->join_right - 1; /* before */

    drop_chains(conn, first, p->swallowed, n);
    n -= p->swallowed;
    s->off += p->lo - s->seq;
    s->seq = p->lo;
    s->len = p->hi - p->lo;
    conn->ooo_bytes += s->len;
    uint64_t before = tcp->rx_mem;
    struct tcp_chain chain = tcp_rxq_take(tcp, p->join_left ? q[p->at].tail : NULL, s);
    conn->ooo->mem += tcp->rx_mem - before;
    tcp->ooo.mem += tcp->rx_mem - before;
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

void tcp_ooo_add(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    struct hg_tcp *tcp = conn->tcp;
    uint32_t lo = s->seq, hi = s->seq + s->len;
    struct tcp_placed placed;
    int rc = -ENOSPC;

    tcp_trace(conn, TCP_TR_OOO, lo - conn->irs, s->len);
    while (at_bound(conn) && shed_above(conn, lo))
        ;
    if (!at_bound(conn) && (conn->ooo || borrow(conn))) {
        first_copy_wins(conn, s);
        rc = tcp_reass_add(&conn->reass, lo, hi, &placed);
        if (rc == -ENOSPC && shed_above(conn, lo) && (conn->ooo || borrow(conn)))
            rc = tcp_reass_add(&conn->reass, lo, hi, &placed);
    }
    if (rc == -EEXIST) {
        tcp->count.rx_dup++;
        conn->dsack = (struct tcp_block){lo, hi};
        conn->flags |= TCP_F_DSACK;
    } else if (rc) {
        tcp_trace(conn, TCP_TR_OOO_DROP, lo - conn->irs, s->len);
        tcp->count.rx_ooo_drop++;
    } else {
        place(conn, &placed, s);
    }
    give_back_if_empty(conn);
}

void tcp_ooo_cover(struct hg_tcp_conn *conn, struct tcp_seg *s)
{
    uint32_t hi = s->seq + s->len;

    first_copy_wins(conn, s);
    unsigned n = tcp_reass_cover(&conn->reass, &hi);

    drop_chains(conn, 0, n, conn->reass.n + n);
    s->len = hi - s->seq;
    give_back_if_empty(conn);
}

bool tcp_ooo_pull(struct hg_tcp_conn *conn, struct tcp_chain *out)
{
    struct tcp_chain *q = conn->ooo->chain;
    uint64_t mem = 0;
    uint32_t end;

    if (!tcp_reass_pop(&conn->reass, conn->rcv_nxt, &end))
        return false;
    *out = q[0];
    memmove(&q[0], &q[1], conn->reass.n * sizeof q[0]);
    conn->ooo_bytes -= end - conn->rcv_nxt;
    for (const struct rte_mbuf *m = out->head; m; m = m->next)
        mem += m->buf_len;
    lighten(conn, mem);
    give_back_if_empty(conn);
    return true;
}

void tcp_ooo_drop(struct hg_tcp_conn *conn)
{
    if (!conn->ooo)
        return;
    drop_chains(conn, 0, conn->reass.n, conn->reass.n);
    conn->reass.n = 0;
    give_back_if_empty(conn);
}
