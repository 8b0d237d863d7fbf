/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data to send: the service's mbufs, kept until the peer has acknowledged their last byte.
 *
 * A segment is a header mbuf and indirect mbufs that point into the queue, so sending and sending
 * again copy nothing. The queue may be freed while such clones are still on their way to the NIC:
 * the reference count of the data keeps it alive.
 */
#include "tcp_priv.h"

#include <assert.h>

/* Clones behind one header. Together 8 mbufs, the most that common NICs take for one packet
 * without segmentation offload. */
#define PIECES_MAX 7
/* What each connection may queue although snd_mem_max is reached: two TLS records. Without it those
 * that came last could not even answer. */
#define SND_LOW (34u << 10)

void tcp_sndq_init(struct tcp_sndq *q, uint32_t seq)
{
    *q = (struct tcp_sndq){.head_seq = seq, .end = seq};
}

void tcp_sndq_append(struct hg_tcp_conn *conn, struct rte_mbuf *m, uint32_t bytes)
{
    struct tcp_sndq *q = &conn->sndq;

    conn->tcp->snd_mem += bytes;
    if (q->tail)
        q->tail->next = m;
    else
        q->head = m;
    while (m->next)
        m = m->next;
    q->tail = m;
    q->end += bytes;
}

static void pop_head(struct hg_tcp_conn *conn)
{
    struct tcp_sndq *q = &conn->sndq;
    struct rte_mbuf *m = q->head;

    if (conn->new_cursor.m == m)
        conn->new_cursor.m = NULL;
    if (conn->rtx_cursor.m == m)
        conn->rtx_cursor.m = NULL;
    conn->tcp->snd_mem -= m->data_len;
    q->head_seq += m->data_len;
    q->head = m->next;
    if (!q->head)
        q->tail = NULL;
    m->next = NULL;
    m->nb_segs = 1;
    rte_pktmbuf_free_seg(m);
}

void tcp_sndq_ack(struct hg_tcp_conn *conn, uint32_t una)
{
    struct tcp_sndq *q = &conn->sndq;

    while (q->head && seq_le(q->head_seq + q->head->data_len, una))
        pop_head(conn);
}

void tcp_sndq_drop(struct hg_tcp_conn *conn)
{
    while (conn->sndq.head)
        pop_head(conn);
    conn->sndq.end = conn->sndq.head_seq;
}

/* Moves the cursor to the mbuf that holds seq, which is in the queue. */
static void seek(const struct tcp_sndq *q, struct tcp_cursor *cur, uint32_t seq)
{
    if (!cur->m || seq_lt(seq, cur->seq)) {
        cur->m = q->head;
        cur->seq = q->head_seq;
    }
    while (seq_ge(seq, cur->seq + cur->m->data_len)) {
        cur->seq += cur->m->data_len;
        cur->m = cur->m->next;
        assert(cur->m);
    }
}

uint32_t tcp_sndq_attach(struct hg_tcp_conn *conn, struct tcp_cursor *cur, struct tcp_block blk,
                         struct rte_mbuf *hdr)
{
    struct rte_mbuf *last = hdr;
    bool large = conn->tcp->cfg.tso_max && blk.hi - blk.lo > tcp_segment_room(conn);
    unsigned max = large ? conn->tcp->cfg.tso_bufs - 1u : PIECES_MAX;
    uint32_t seq = blk.lo;

    for (unsigned pieces = 0; pieces < max && seq != blk.hi; pieces++) {
        seek(&conn->sndq, cur, seq);
        struct rte_mbuf *clone = rte_pktmbuf_alloc(conn->tcp->cfg.clone_pool);
        if (!clone)
            break;
        uint32_t off = seq - cur->seq;
        uint32_t len = cur->m->data_len - off;
        if (len > blk.hi - seq)
            len = blk.hi - seq;
        rte_pktmbuf_attach(clone, cur->m);
        clone->data_off = (uint16_t)(clone->data_off + off);
        clone->data_len = (uint16_t)len;
        clone->pkt_len = len;
        last->next = clone;
        last = clone;
        hdr->nb_segs++;
        hdr->pkt_len += len;
        seq += len;
    }
    return seq - blk.lo;
}

uint32_t tcp_sndq_bytes(const struct hg_tcp_conn *conn)
{
    /* SND.UNA is before the queue during the handshake and after it once our FIN is acknowledged.
     */
    uint32_t first = seq_max(conn->snd_una, conn->sndq.head_seq);

    return seq_lt(first, conn->sndq.end) ? conn->sndq.end - first : 0;
}

uint32_t tcp_sndq_limit(struct hg_tcp_conn *conn)
{
    const struct hg_tcp_cfg *cfg = &conn->tcp->cfg;
    uint64_t limit = 2 * (uint64_t)conn->cc.cwnd;

    /* It does not fall with cwnd: in recovery the queue holds what was reported above the loss, and
     * new data has to follow. */
    if (limit < cfg->init_snd_buf)
        limit = cfg->init_snd_buf;
    if (limit > cfg->snd_buf)
        limit = cfg->snd_buf;
    if (limit > conn->snd_limit)
        conn->snd_limit = (uint32_t)limit;
    return conn->snd_limit;
}

uint32_t tcp_sndq_space(struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint32_t queued = tcp_sndq_bytes(conn), limit = tcp_sndq_limit(conn);
    uint32_t low = limit < SND_LOW ? limit : SND_LOW;
    uint64_t node = tcp->cfg.snd_mem_max > tcp->snd_mem ? tcp->cfg.snd_mem_max - tcp->snd_mem : 0;
    uint32_t own = queued < limit ? limit - queued : 0;

    if (own <= node)
        return own;
    low = queued < low ? low - queued : 0;
    return low > node ? low : (uint32_t)node;
}
