/* SPDX-License-Identifier: BSD-3-Clause */
#include "dpdk_priv.h"
#include <errno.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define EAL_ARGS_MAX 64
#define RX_BURSTS_PER_TURN 8
#define EVENTS_PER_TURN 128
#define RUNS_PER_TURN 64
#define TICK_RATE HG_MS(1) /* --rate: frames become due by time */
#define TICK HG_MS(5)
#define LINGER HG_MS(100) /* for the last FINs */
#define LINK_TIMEOUT HG_SEC(30)

#define TX_MBUFS 4096u /* records of 16 KiB: 64 MiB in flight over all connections */
#define RX_MBUFS 8192u
#define SEG_MBUFS 16384u /* headers and clones of segments on their way to the port */
#define MBUF_CACHE 256
#define HDR_ROOM (RTE_PKTMBUF_HEADROOM + HG_NET_HEADROOM + 64)
#define SND_BUF_MIN (3u * TX_ROOM)
#define SND_BUF_MAX (4u << 20)
#define RCV_BUF (256u << 10) /* ACKs are small */
#define RCV_MEM (8u << 20)

/* ---- the turn ---- */

static void poll_rx(struct dpdk *d)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    struct hg_seg segs[HG_PORT_BURST];

    for (unsigned i = 0; i < RX_BURSTS_PER_TURN; i++) {
        uint16_t n = hg_port_rx(d->port, 0, pkts, HG_PORT_BURST);
        unsigned n_segs = hg_net_input(d->net, pkts, n, d->now, segs);

        hg_tcp_input(d->tcp, segs, n_segs, d->now);
        if (n < HG_PORT_BURST)
            return;
    }
}

static void poll_events(struct dpdk *d)
{
    struct hg_tcp_event ev[EVENTS_PER_TURN];
    unsigned n = hg_tcp_events(d->tcp, ev, EVENTS_PER_TURN);

    for (unsigned i = 0; i < n; i++)
        if (ev[i].user != NULL)
            dconn_event(ev[i].user, ev[i].what);
}

static void run_conns(struct dpdk *d)
{
    struct dconn *c;

    for (unsigned n = 0; n < RUNS_PER_TURN && (c = TAILQ_FIRST(&d->run)) != NULL; n++) {
        TAILQ_REMOVE(&d->run, c, link);
        c->queued = false;
        if (dconn_run(c))
            dconn_queue(c);
    }
}

static void turn(struct dpdk *d)
{
    poll_rx(d);
    poll_events(d);
    run_conns(d);
    hg_tcp_poll(d->tcp, d->now);
    hg_net_poll(d->net, d->now);
    hg_net_flush(d->net);
}

static void note_retransmits(struct dpdk *d)
{
    struct hg_counter_set set = hg_tcp_counter_set(d->tcp);
    const struct hg_tcp_counters *n = (const void *)set.value;

    stat_add(&d->worker->stats.n.retransmits, n->retrans_segs - d->retransmits);
    d->retransmits = n->retrans_segs;
}

/* Timers of every session; how many are not over. */
static uint32_t tick(struct dpdk *d)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < d->worker->n_sessions; i++) {
        struct dconn *c = &d->conns[i];

        if (session_over(c->session) && c->state == DCONN_NONE)
            continue;
        alive++;
        if (!session_tick(c->session, d->now)) {
            if (c->state == DCONN_UP)
                dconn_run(c); /* what the session still has to say */
            dconn_close(c, false, c->state == DCONN_UP ? NULL : "no answer from the node");
        } else if (session_wants_connect(c->session, d->now)) {
            dconn_connect(c);
        } else if (c->state == DCONN_UP) {
            dconn_queue(c);
        }
    }
    note_retransmits(d);
    return alive;
}

static void loop(struct dpdk *d)
{
    hg_ns tick_at = 0, end_at = 0;

    while (end_at == 0 || d->now < end_at) {
        d->now = clock_now();
        turn(d);
        if (d->now < tick_at || end_at != 0)
            continue;
        tick_at = d->now + (d->worker->run->opt->rate != 0 ? TICK_RATE : TICK);
        if (tick(d) == 0) {
            d->worker->ended = d->now;
            end_at = d->now + LINGER;
        }
    }
}

/* ---- making the stack ---- */

static int start_eal(struct dpdk *d, const char *args, struct hg_err *err)
{
    char *argv[EAL_ARGS_MAX + 2] = {(char *)(uintptr_t) "headgate-load"};
    char *save = NULL;
    int argc = 1;

    d->eal_args = strdup(args == NULL ? "" : args);
    if (d->eal_args == NULL)
        return hg_fail(err, -ENOMEM, "--eal: out of memory");
    for (char *a = strtok_r(d->eal_args, " ", &save); a != NULL; a = strtok_r(NULL, " ", &save)) {
        if (argc > EAL_ARGS_MAX)
            return hg_fail(err, -E2BIG, "--eal: more than %u arguments", EAL_ARGS_MAX);
        argv[argc++] = a;
    }
    if (rte_eal_init(argc, argv) < 0)
        return hg_fail(err, -EINVAL, "--eal \"%s\": EAL does not start: %s",
                       args == NULL ? "" : args, rte_strerror(rte_errno));
    d->eal = true;
    return 0;
}

/* EAL has moved the thread to its main lcore; --cpu has the last word. */
static void pin_again(int32_t cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static int make_pools(struct dpdk *d, struct hg_err *err)
{
    const struct load_options *opt = d->worker->run->opt;
    uint32_t rx_room = opt->mtu + 128u < 2048 ? 2048 : opt->mtu + 128u;

    d->rx_pool = rte_pktmbuf_pool_create("load_rx", RX_MBUFS, MBUF_CACHE, 0,
                                         (uint16_t)(rx_room + RTE_PKTMBUF_HEADROOM), -1);
    d->hdr_pool = rte_pktmbuf_pool_create("load_hdr", SEG_MBUFS, MBUF_CACHE, 0, HDR_ROOM, -1);
    d->clone_pool = rte_pktmbuf_pool_create("load_clone", SEG_MBUFS, MBUF_CACHE, 0, 0, -1);
    d->tx_pool =
        rte_pktmbuf_pool_create("load_tx", TX_MBUFS, 64, 0, TX_ROOM + RTE_PKTMBUF_HEADROOM, -1);
    if (d->rx_pool == NULL || d->hdr_pool == NULL || d->clone_pool == NULL || d->tx_pool == NULL)
        return hg_fail(err, -ENOMEM, "packet buffers: %s; give EAL 256 MiB or more",
                       rte_strerror(rte_errno));
    return 0;
}

/* The node's address and port, as flows carry them. */
static void set_remote(struct hg_flow *flow, const struct load_options *opt)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&opt->server;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&opt->server;

    if (opt->server.ss_family == AF_INET) {
        flow->remote = hg_ip_from_v4(ntohl(v4->sin_addr.s_addr));
        flow->rport = ntohs(v4->sin_port);
    } else {
        memcpy(&flow->remote, &v6->sin6_addr, sizeof flow->remote);
        flow->rport = ntohs(v6->sin6_port);
    }
}

static int parse_addresses(struct dpdk *d, struct hg_net_cfg *net, struct hg_err *err)
{
    const struct load_options *opt = d->worker->run->opt;
    struct hg_ip gateway = {{0}};

    set_remote(&d->flow, opt);
    net->n_addrs = 1;
    if (hg_ip_parse_prefix(opt->addr, &net->addrs[0].ip, &net->addrs[0].len) != 0)
        return hg_fail(err, -EINVAL, "--addr: \"%s\" is not like 192.0.2.2/24 or 2001:db8::2/64",
                       opt->addr);
    d->flow.local = net->addrs[0].ip;
    if (hg_ip_is_v4(&d->flow.local) != hg_ip_is_v4(&d->flow.remote))
        return hg_fail(err, -EINVAL, "--addr and --server are not of one IP version");
    if (opt->gateway != NULL && hg_ip_parse(opt->gateway, &gateway) != 0)
        return hg_fail(err, -EINVAL, "--gateway: \"%s\" is not an IP address", opt->gateway);
    if (hg_ip_is_v4(&gateway))
        net->gateway4 = gateway;
    else
        net->gateway6 = gateway;
    return 0;
}

static int open_port(struct dpdk *d, struct hg_err *err)
{
    const struct load_options *opt = d->worker->run->opt;
    struct hg_ethdev_cfg port = {
        .device = opt->port, .n_queues = 1, .mtu = (uint16_t)opt->mtu, .rx_pool = &d->rx_pool};
    struct hg_net_cfg net = {.pool = d->rx_pool, .no_dad = true};
    int rc = parse_addresses(d, &net, err);

    if (rc != 0)
        return rc;
    /* Shared memory cannot damage a packet. */
    port.trust_csum = strncmp(opt->port, "net_memif", 9) == 0;
    port.multicast = !hg_ip_is_v4(&d->flow.local);
    net.trust_csum = port.trust_csum;
    if (getrandom(net.secret, sizeof net.secret, 0) != sizeof net.secret)
        return hg_fail(err, -EIO, "no random numbers from the system");
    rc = hg_port_ethdev_open(&port, &d->port, err);
    if (rc != 0)
        return rc;
    net.port = d->port;
    return hg_net_create(&net, d->now, &d->net, err);
}

static void env_emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct dpdk *d = arg;

    hg_net_emit(d->net, m, tx, now);
}

static uint16_t env_mtu(void *arg, const struct hg_flow *flow)
{
    const struct dpdk *d = arg;

    return hg_net_mtu(d->net, &flow->remote);
}

/* Send buffers of all connections together leave a quarter of the pool free, so that handshakes and
 * those who wait for a buffer get one. */
static uint32_t snd_buf(const struct dpdk *d)
{
    uint32_t share = TX_MBUFS * 3 / 4 / d->worker->n_sessions * TX_ROOM;

    return share < SND_BUF_MIN ? SND_BUF_MIN : share > SND_BUF_MAX ? SND_BUF_MAX : share;
}

static int make_stack(struct dpdk *d, struct hg_err *err)
{
    const struct hg_tcp_env env = {env_emit, env_mtu, d};
    struct hg_tcp_cfg tcp = {
        .conns_max = 2 * d->worker->n_sessions + 64,
        .rcv_buf = RCV_BUF,
        .rcv_mem_max = RCV_MEM,
        .snd_buf = snd_buf(d),
        .hdr_pool = d->hdr_pool,
        .clone_pool = d->clone_pool,
    };
    int rc;

    if (getrandom(tcp.secret, sizeof tcp.secret, 0) != sizeof tcp.secret)
        return hg_fail(err, -EIO, "no random numbers from the system");
    rc = hg_tcp_create(&tcp, &env, d->now, &d->tcp, err);
    return rc != 0 ? rc : hg_tls_shard_create(&d->tls, err);
}

static int make_contexts(struct dpdk *d, const struct certs *certs, struct hg_err *err)
{
    const struct load_options *opt = d->worker->run->opt;
    struct hg_tls_cfg cfg = {
        .role = HG_TLS_CLIENT,
        .provider = HG_TLS_IPSEC_MB,
        .min_version = opt->tls_version,
        .max_version = opt->tls_version,
        .ca_file = opt->ca,
        .server_pins = opt->pin,
        .alpn = HG_PROTO_ALPN,
    };

    if (opt->suite != NULL && strncmp(opt->suite, "TLS_", 4) == 0)
        cfg.ciphers13 = opt->suite;
    else
        cfg.ciphers12 = opt->suite;
    d->ctx = calloc(certs->n, sizeof *d->ctx);
    if (d->ctx == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    for (; d->n_ctx < certs->n; d->n_ctx++) {
        int rc;

        cfg.cert_file = certs->list[d->n_ctx].crt;
        cfg.key_file = certs->list[d->n_ctx].key;
        rc = hg_tls_ctx_create(&cfg, &d->ctx[d->n_ctx], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int make_conns(struct dpdk *d, struct hg_err *err)
{
    const struct load_options *opt = d->worker->run->opt;
    size_t room = 4u * HG_TLS_MAX_PLAINTEXT + 2 * HG_FRAME_HEADER + HG_FRAME_RAW_MAX;

    d->conns = calloc(d->worker->n_sessions, sizeof *d->conns);
    if (d->conns == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < d->worker->n_sessions; i++) {
        d->conns[i].dpdk = d;
        d->conns[i].session = d->worker->sessions[i];
        /* Pages are taken only as far as frames reach. */
        if (!opt->replay && (d->conns[i].out = malloc(room)) == NULL)
            return hg_fail(err, -ENOMEM, "out of memory for %u connections", d->worker->n_sessions);
    }
    return 0;
}

static int make_all(struct dpdk *d, const struct certs *certs, struct hg_err *err)
{
    int rc = start_eal(d, d->worker->run->opt->eal, err);

    if (rc != 0)
        return rc;
    pin_again(d->worker->run->opt->cpu);
    d->now = clock_now();
    TAILQ_INIT(&d->run);
    rc = make_pools(d, err);
    if (rc == 0)
        rc = open_port(d, err);
    if (rc == 0)
        rc = make_stack(d, err);
    if (rc == 0)
        rc = make_contexts(d, certs, err);
    return rc != 0 ? rc : make_conns(d, err);
}

/* A virtual link comes up when its other end does. SYNs sent before are lost, and what waits for them
 * counts as the node's slowness. */
static int wait_link(struct dpdk *d, struct hg_err *err)
{
    hg_ns end = clock_now() + LINK_TIMEOUT;
    struct timespec nap = {0, 10000000};
    struct hg_port_hw_stats stats;

    for (;;) {
        int rc = hg_port_ethdev_stats(d->port, &stats);

        if (rc != 0 || stats.link_up)
            return rc == 0 ? 0
                           : hg_fail(err, rc, "port %s: no statistics", d->worker->run->opt->port);
        if (clock_now() >= end)
            return hg_fail(err, -ENETDOWN, "port %s: no link after 30 s; is its other end there?",
                           d->worker->run->opt->port);
        nanosleep(&nap, NULL);
    }
}

static void free_all(struct dpdk *d)
{
    for (uint32_t i = 0; d->conns != NULL && i < d->worker->n_sessions; i++)
        free(d->conns[i].out);
    for (unsigned i = 0; i < d->n_ctx; i++)
        hg_tls_ctx_unref(d->ctx[i]);
    if (d->tls != NULL)
        hg_tls_shard_destroy(d->tls);
    if (d->tcp != NULL)
        hg_tcp_destroy(d->tcp);
    if (d->net != NULL)
        hg_net_destroy(d->net);
    hg_port_close(d->port);
    rte_mempool_free(d->tx_pool);
    rte_mempool_free(d->clone_pool);
    rte_mempool_free(d->hdr_pool);
    rte_mempool_free(d->rx_pool);
    if (d->eal)
        rte_eal_cleanup();
    free(d->eal_args);
    free(d->ctx);
    free(d->conns);
    free(d);
}

int dpdk_run(struct worker *worker, const struct certs *certs, struct hg_err *err)
{
    struct dpdk *d = calloc(1, sizeof *d);
    int rc;

    if (d == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    d->worker = worker;
    rc = make_all(d, certs, err);
    if (rc == 0)
        rc = wait_link(d, err);
    if (rc == 0)
        loop(d);
    free_all(d);
    return rc;
}
