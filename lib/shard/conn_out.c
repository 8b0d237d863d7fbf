/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's way out: what TLS and the service have to say, into packet buffers. */
#include "shard_priv.h"
#include <errno.h>

/* TCP's answer is no only when we overran the space we asked for: our mistake, so cut. */
static void send_mbuf(struct hg_conn *c, struct rte_mbuf *m)
{
    if (hg_tcp_send(c->tcp, m) != 0) {
        rte_pktmbuf_free(m);
        hg_tcp_abort(c->tcp);
    }
}

/* Peers that let the node's answers to their hellos lie cannot keep sources from acknowledgements. */
static bool leaves_half(const struct rte_mempool *pool)
{
    return rte_mempool_avail_count(pool) > pool->size / 2;
}

static struct rte_mbuf *tx_mbuf(struct hg_conn *c)
{
    struct hg_shard *sh = c->shard;
    struct rte_mempool *pool = c->ops == &service_ingest ? sh->tx_pool : sh->test_pool;
    struct rte_mbuf *m = NULL;

    if (hg_tcp_send_space(c->tcp) < RTE_MBUF_DEFAULT_DATAROOM)
        return NULL; /* HG_TCP_EV_WRITABLE follows */
    if (c->state != C_HANDSHAKE || leaves_half(pool))
        m = rte_pktmbuf_alloc(pool);
    if (m == NULL) {
        sh->count.tx_no_mbuf++;
        conn_queue(c);
        c->talks = true;
    }
    return m;
}

static bool flush_tls(struct hg_conn *c)
{
    while (hg_tls_pending(c->tls) != 0) {
        struct rte_mbuf *m = tx_mbuf(c);

        if (m == NULL)
            return false;
        m->data_len =
            (uint16_t)hg_tls_take(c->tls, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m));
        m->pkt_len = m->data_len;
        send_mbuf(c, m);
    }
    return true;
}

/* Output is made in the packet buffer and sealed there, or sealed into it from where it lies. */
static int make_record(struct hg_conn *c, struct rte_mbuf *m)
{
    uint16_t room = rte_pktmbuf_tailroom(m);
    struct service_out out = {
        .room = rte_pktmbuf_mtod_offset(m, uint8_t *, hg_tls_seal_offset(c->tls)),
        .cap = hg_tls_seal_room(c->tls, room),
        .max = hg_tls_seal_room(c->tls, room),
    };
    int len = c->ops->output(c->svc, &out, c->shard->now);
    struct hg_iov iov;

    if (len <= 0)
        return len;
    iov = hg_iov_of((void *)(uintptr_t)out.data, (uint32_t)len);
    len = hg_tls_seal(c->tls, &iov, 1, rte_pktmbuf_mtod(m, uint8_t *), room);
    if (len < 0)
        return 0; /* TLS failed: its alert is pending */
    m->data_len = (uint16_t)len;
    return len;
}

/* Output is made in the packet buffer, or the buffer becomes a reference to it. */
static int make_plain(struct hg_conn *c, struct rte_mbuf *m)
{
    struct service_out out = {
        .room = rte_pktmbuf_mtod(m, uint8_t *),
        .cap = rte_pktmbuf_tailroom(m),
        .max = hg_tcp_send_space(c->tcp),
    };
    int len = c->ops->output(c->svc, &out, c->shard->now);

    if (len <= 0)
        return len;
    if (out.shared != NULL) {
        rte_mbuf_ext_refcnt_update(out.shared, 1);
        rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)out.data, out.iova, (uint16_t)len,
                                  out.shared);
    }
    m->data_len = (uint16_t)len;
    return len;
}

static void flush_service(struct hg_conn *c)
{
    for (uint32_t sent = 0; sent < FLUSH_MAX;) {
        struct rte_mbuf *m = NULL;
        int len;

        /* Sealing may have made a key update due, whose place is before the next record. */
        if (c->tls == NULL || flush_tls(c))
            m = tx_mbuf(c);
        if (m == NULL)
            return;
        len = c->tls != NULL ? make_record(c, m) : make_plain(c, m);
        if (len <= 0) {
            rte_pktmbuf_free(m);
            if (len < 0)
                conn_close(c);
            return;
        }
        m->pkt_len = m->data_len;
        send_mbuf(c, m);
        sent += (uint32_t)len;
        c->shard->moved += (uint32_t)len;
    }
    c->talks = true;
    conn_queue(c);
}

void conn_flush(struct hg_conn *c)
{
    if (c->tls != NULL && !flush_tls(c))
        return;
    if (c->state == C_CLOSING)
        hg_tcp_shutdown(c->tcp);
    else if (c->svc != NULL)
        flush_service(c);
}
