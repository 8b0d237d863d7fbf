/* SPDX-License-Identifier: BSD-3-Clause */
/* The service's side of include/headgate/tcp.h: create, listen, connect, events, read and write. */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <assert.h>
#include <errno.h>
#include <rte_malloc.h>
#include <string.h>

#define CONNS_LIMIT (1u << 24)   /* connections; the table's slots stay below 2^32 bytes */
#define RCV_BUF_LIMIT (1u << 29) /* RFC 7323 2.3: the window stays below 2^30 with its slack */
#define SND_BUF_LIMIT (1u << 29)

static void default32(uint32_t *field, uint32_t value)
{
    *field = *field ? *field : value;
}

static void default64(uint64_t *field, uint64_t value)
{
    *field = *field ? *field : value;
}

static void fill_defaults(struct hg_tcp_cfg *cfg)
{
    default32(&cfg->conns_max, 16384);
    /* So that cookies begin before the table is full, from when on nobody gets in. */
    default32(&cfg->half_open_max, cfg->conns_max / 2 < 4096 ? cfg->conns_max / 2 + 1 : 4096);
    if (!cfg->cookies_from || cfg->cookies_from > cfg->half_open_max)
        cfg->cookies_from = cfg->half_open_max;
    default32(&cfg->accept_max, 4096);
    default32(&cfg->time_wait_max, cfg->conns_max / 4 + 1);
    default32(&cfg->orphans_max, cfg->conns_max / 4 + 1);
    default32(&cfg->rcv_buf, 4u << 20);
    default32(&cfg->rcv_low, 8u << 10);
    if (cfg->rcv_low > cfg->rcv_buf)
        cfg->rcv_low = cfg->rcv_buf;
    default64(&cfg->rcv_mem_max, 256u << 20);
    default32(&cfg->ooo_conns_max, cfg->conns_max < 4096 ? cfg->conns_max : 4096);
    default64(&cfg->ooo_conn_max, 2ull * cfg->rcv_buf + (512u << 10));
    default64(&cfg->ooo_mem_max, cfg->rcv_mem_max / 4 * 3);
    default32(&cfg->init_rcv_wnd, 64u << 10);
    if (cfg->init_rcv_wnd > cfg->rcv_buf)
        cfg->init_rcv_wnd = cfg->rcv_buf;
    default32(&cfg->snd_buf, 4u << 20);
    default32(&cfg->init_snd_buf, 64u << 10);
    if (cfg->init_snd_buf > cfg->snd_buf)
        cfg->init_snd_buf = cfg->snd_buf;
    default64(&cfg->snd_mem_max, 256u << 20);
    default64(&cfg->rto_min, HG_MS(200));
    default64(&cfg->rto_max, HG_SEC(60));
    default64(&cfg->delack, HG_MS(40));
    default64(&cfg->msl, HG_SEC(15));
    default64(&cfg->keepalive_idle, HG_SEC(75));
    default64(&cfg->syn_timeout, HG_SEC(10));
    cfg->delack_segs = cfg->delack_segs ? cfg->delack_segs : 2;
    cfg->syn_retries = cfg->syn_retries ? cfg->syn_retries : 5;
    cfg->retries = cfg->retries ? cfg->retries : 12;
}

static int check_cfg(const struct hg_tcp_cfg *cfg, struct hg_err *err)
{
    const unsigned room = RTE_PKTMBUF_HEADROOM + TCP_HDR_LEN_MAX;

    if (!cfg->hdr_pool || !cfg->clone_pool)
        return hg_fail(err, -EINVAL, "tcp: hdr_pool and clone_pool must be given");
    if (rte_pktmbuf_data_room_size(cfg->hdr_pool) < room)
        return hg_fail(err, -EINVAL, "tcp: hdr_pool needs a data room of at least %u bytes", room);
    if (cfg->conns_max > CONNS_LIMIT)
        return hg_fail(err, -EINVAL, "tcp: conns_max %u is above %u", cfg->conns_max, CONNS_LIMIT);
    if (cfg->rcv_buf > RCV_BUF_LIMIT || cfg->snd_buf > SND_BUF_LIMIT)
        return hg_fail(err, -EINVAL, "tcp: rcv_buf and snd_buf must not be above %u bytes",
                       RCV_BUF_LIMIT);
    if (cfg->rcv_mem_max < 8ull * cfg->rcv_low) /* tcp_budget.c */
        return hg_fail(err, -EINVAL, "tcp: rcv_mem_max must be at least %lu bytes, 8 times rcv_low",
                       8ul * cfg->rcv_low);
    if (cfg->mss && cfg->mss < TCP_MIN_MSS)
        return hg_fail(err, -EINVAL, "tcp: mss %u is below %u", cfg->mss, TCP_MIN_MSS);
    if (cfg->user_timeout && (cfg->user_timeout < HG_SEC(1) || cfg->user_timeout > HG_SEC(86400)))
        return hg_fail(err, -EINVAL, "tcp: user_timeout must be from 1 s to a day");
    if (cfg->tso_max > 64000 || (cfg->tso_max && cfg->tso_bufs < 2))
        return hg_fail(err, -EINVAL, "tcp: tso_max must not be above 64000, with tso_bufs from 2");
    if (cfg->rto_min > cfg->rto_max)
        return hg_fail(err, -EINVAL, "tcp: rto_min is above rto_max");
    return 0;
}

int hg_tcp_create(const struct hg_tcp_cfg *cfg, const struct hg_tcp_env *env, hg_ns now,
                  struct hg_tcp **out, struct hg_err *err)
{
    struct hg_tcp_cfg full = *cfg;

    fill_defaults(&full);
    int rc = check_cfg(&full, err);
    if (rc)
        return rc;
    struct hg_tcp *tcp = rte_zmalloc("tcp", sizeof *tcp, RTE_CACHE_LINE_SIZE);
    if (!tcp)
        return hg_fail(err, -ENOMEM, "tcp: no memory; raise the EAL memory limit");
    tcp->cfg = full;
    tcp->env = *env;
    TAILQ_INIT(&tcp->out);
    TAILQ_INIT(&tcp->ready);
    while (tcp->rcv_wscale < TCP_WSCALE_MAX && (65535u << tcp->rcv_wscale) < full.rcv_buf)
        tcp->rcv_wscale++;
    hg_wheel_init(&tcp->wheel, now);
    tcp_budget_init(tcp);
    memcpy(tcp->cookies.secret, full.secret, sizeof full.secret);
    tcp_clock(tcp, now);
    if (tcp_table_create(tcp)) {
        rte_free(tcp);
        return hg_fail(err, -ENOMEM,
                       "tcp: no memory for %u connections; lower conns_max or raise the EAL limit",
                       full.conns_max);
    }
    *out = tcp;
    return 0;
}

void hg_tcp_destroy(struct hg_tcp *tcp)
{
    if (!tcp)
        return;
    for (struct hg_tcp_conn *c = hg_tcp_conn_walk(tcp, NULL); c; c = hg_tcp_conn_walk(tcp, c)) {
        c->flags |= TCP_F_RELEASED; /* freed, not reported */
        if (c->state != TCP_ST_CLOSED)
            tcp_conn_kill(c, -ECONNABORTED);
        else
            tcp_conn_free(c);
    }
    assert(!tcp->rx_mem && !tcp->ooo.mem && !tcp->snd_mem && !tcp->grants_mem &&
           !tcp->era[0].promised && !tcp->wheel.armed);
    tcp_table_destroy(tcp);
    rte_free(tcp);
}

void tcp_clock(struct hg_tcp *tcp, hg_ns now)
{
    tcp->now = now;
    tcp->ts_now = (uint32_t)(now >> HG_WHEEL_SHIFT);
    tcp_budget_clock(tcp);
}

static struct tcp_listener *find_exact(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port)
{
    for (unsigned i = 0; i < HG_TCP_LISTENERS_MAX; i++) {
        struct tcp_listener *l = &tcp->listeners[i];
        if (l->used && l->port == port && hg_ip_equal(&l->ip, ip))
            return l;
    }
    return NULL;
}

int hg_tcp_listen(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port, void *listener)
{
    if (find_exact(tcp, ip, port))
        return -EADDRINUSE;
    for (unsigned i = 0; i < HG_TCP_LISTENERS_MAX; i++) {
        struct tcp_listener *l = &tcp->listeners[i];
        if (l->used)
            continue;
        *l = (struct tcp_listener){.ip = *ip, .port = port, .used = true, .user = listener};
        return 0;
    }
    return -ENOSPC;
}

int hg_tcp_allow(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port,
                 const struct hg_tcp_allow *allow)
{
    struct tcp_listener *l = find_exact(tcp, ip, port);

    if (!l)
        return -ENOENT;
    l->allow = allow;
    return 0;
}

int hg_tcp_unlisten(struct hg_tcp *tcp, const struct hg_ip *ip, uint16_t port)
{
    struct tcp_listener *l = find_exact(tcp, ip, port);

    if (!l)
        return -ENOENT;
    l->used = false;
    return 0;
}

int hg_tcp_connect(struct hg_tcp *tcp, const struct hg_flow *flow, void *user, hg_ns now,
                   struct hg_tcp_conn **out)
{
    struct hg_flow full = *flow;

    tcp_clock(tcp, now);
    if (!full.lport) {
        int rc = tcp_open_port(tcp, &full);
        if (rc)
            return rc;
    }
    uint32_t hash = tcp_flow_hash(tcp->cfg.secret, &full);
    if (tcp_table_find(tcp, &full, hash))
        return -EADDRINUSE;
    struct hg_tcp_conn *conn = tcp_conn_new(tcp, &full, hash);
    if (!conn)
        return -ENOSPC;
    conn->user = user;
    tcp_open_active(conn);
    *out = conn;
    return 0;
}

void hg_tcp_poll(struct hg_tcp *tcp, hg_ns now)
{
    tcp_clock(tcp, now);
    tcp_timer_poll(tcp);
    tcp_budget_poll(tcp);
    tcp_output_poll(tcp);
}

hg_ns hg_tcp_next(const struct hg_tcp *tcp)
{
    if (tcp->n_out)
        return tcp->now ? tcp->now : 1;
    hg_ns timers = hg_wheel_next(&tcp->wheel), memory = tcp_budget_next(tcp);
    return !timers || (memory && memory < timers) ? memory : timers;
}

void tcp_event(struct hg_tcp_conn *conn, uint32_t what)
{
    if (conn->flags & TCP_F_RELEASED)
        return;
    if (what & HG_TCP_EV_CLOSED) {
        if (conn->flags & TCP_F_CLOSED_TOLD)
            return;
        conn->flags |= TCP_F_CLOSED_TOLD;
    }
    conn->events |= what;
    if (conn->flags & TCP_F_ON_READY)
        return;
    conn->flags |= TCP_F_ON_READY;
    TAILQ_INSERT_TAIL(&conn->tcp->ready, conn, ready_link);
}

unsigned hg_tcp_events(struct hg_tcp *tcp, struct hg_tcp_event *ev, unsigned max)
{
    unsigned n = 0;
    struct hg_tcp_conn *conn;

    while (n < max && (conn = TAILQ_FIRST(&tcp->ready))) {
        TAILQ_REMOVE(&tcp->ready, conn, ready_link);
        conn->flags &= ~TCP_F_ON_READY;
        conn->flags |= TCP_F_OWNED;
        tcp_open_told(conn);
        ev[n++] = (struct hg_tcp_event){
            .conn = conn, .user = conn->user, .listener = conn->listener, .what = conn->events};
        conn->events = 0;
    }
    return n;
}

void hg_tcp_set_user(struct hg_tcp_conn *conn, void *user)
{
    conn->user = user;
}

void *hg_tcp_user(const struct hg_tcp_conn *conn)
{
    return conn->user;
}

void hg_tcp_set_rcvlowat(struct hg_tcp_conn *conn, uint32_t n)
{
    conn->rcv_lowat = n < conn->tcp->cfg.rcv_low ? n : conn->tcp->cfg.rcv_low;
}

uint32_t hg_tcp_readable(const struct hg_tcp_conn *conn)
{
    return conn->rxq_bytes;
}

unsigned hg_tcp_peek(struct hg_tcp_conn *conn, struct hg_iov *iov, unsigned max)
{
    return tcp_rxq_peek(conn, iov, max);
}

void hg_tcp_consume(struct hg_tcp_conn *conn, uint32_t n)
{
    assert(n <= conn->rxq_bytes);
    tcp_rxq_consume(conn, n);
    tcp_budget_consumed(conn);
    /* After the peer's FIN there is no window to open. */
    if (conn->state >= TCP_ST_ESTABLISHED && conn->state <= TCP_ST_FIN_WAIT_2) {
        tcp_space_consumed(conn);
        tcp_output_consumed(conn);
    }
}

/* The service may still queue data. */
static bool writable(const struct hg_tcp_conn *conn)
{
    return !(conn->flags & (TCP_F_FIN_QUEUED | TCP_F_RELEASED)) &&
           (conn->state == TCP_ST_SYN_SENT || conn->state == TCP_ST_SYN_RECEIVED ||
            conn->state == TCP_ST_ESTABLISHED || conn->state == TCP_ST_CLOSE_WAIT);
}

uint32_t hg_tcp_send_space(struct hg_tcp_conn *conn)
{
    return writable(conn) ? tcp_sndq_space(conn) : 0;
}

int hg_tcp_send(struct hg_tcp_conn *conn, struct rte_mbuf *m)
{
    uint32_t space = hg_tcp_send_space(conn);

    if (!writable(conn))
        return -EPIPE;
    /* An empty queue takes any chain that fits snd_buf, or a long one would never go. */
    if (m->pkt_len > space && (tcp_sndq_bytes(conn) || m->pkt_len > conn->tcp->cfg.snd_buf)) {
        conn->flags |= TCP_F_SND_LOW;
        return -EAGAIN;
    }
    if (space < m->pkt_len + tcp_sndq_limit(conn) / 2)
        conn->flags |= TCP_F_SND_LOW;
    tcp_sndq_append(conn, m, m->pkt_len);
    if (conn->state >= TCP_ST_ESTABLISHED)
        tcp_output_want(conn);
    return 0;
}

void hg_tcp_shutdown(struct hg_tcp_conn *conn)
{
    if (!writable(conn))
        return;
    conn->flags |= TCP_F_FIN_QUEUED;
    if (conn->state >= TCP_ST_ESTABLISHED)
        tcp_output_want(conn);
}

void hg_tcp_abort(struct hg_tcp_conn *conn)
{
    conn->events &= HG_TCP_EV_CLOSED;
    if (conn->state != TCP_ST_CLOSED)
        tcp_close_abort(conn, -ECONNABORTED);
}

void hg_tcp_release(struct hg_tcp_conn *conn)
{
    assert(!(conn->flags & TCP_F_RELEASED));
    conn->flags |= TCP_F_RELEASED;
    conn->events = 0;
    if (conn->flags & TCP_F_ON_READY) {
        TAILQ_REMOVE(&conn->tcp->ready, conn, ready_link);
        conn->flags &= ~TCP_F_ON_READY;
    }
    if (conn->state == TCP_ST_CLOSED)
        tcp_conn_free(conn);
    else
        tcp_close_release(conn);
}

void hg_tcp_set_user_timeout(struct hg_tcp_conn *conn, hg_ns timeout)
{
    hg_ns t = timeout ? timeout : conn->tcp->cfg.user_timeout;

    conn->flags |= TCP_F_UTO_SET;
    conn->uto_s = (uint32_t)((t + HG_SEC(1) - 1) / HG_SEC(1));
}

int hg_tcp_conn_error(const struct hg_tcp_conn *conn)
{
    return conn->error;
}
