/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two TCP stacks in one process on virtual time, joined by a bad network (net_model.h). Each run
 * takes everything from its seed: the network, the options, the sizes, the pauses. Promises
 * checked:
 *
 *  - every byte arrives, in order, unchanged, in both directions, and then the end of the stream;
 *  - no connection is stuck, whatever was lost, late, doubled or refused;
 *  - afterwards no connection is left and every mbuf is back in its pool.
 *
 *     sim_tcp [--seed N] [--seeds COUNT] [--verbose]
 */
#include "net_model.h"

#include <errno.h>
#include <getopt.h>
#include <headgate/tcp.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_LEN 65521 /* a prime: offsets in stream and pattern drift apart */
#define CONNS_MAX 4
#define PORT 1500
#define TIME_LIMIT HG_SEC(1800) /* virtual; a run that needs more is stuck */
#define RX_ROOM (RTE_PKTMBUF_HEADROOM + 2048)
#define BIG_ROOM (RTE_PKTMBUF_HEADROOM + 17 * 1024)

struct pools {
    struct rte_mempool *hdr, *clone, *data, *big, *rx;
};

/* One end of one connection. */
struct end {
    struct hg_tcp_conn *conn;
    struct host *host;
    unsigned index;         /* of the connection */
    uint64_t to_send, sent; /* bytes */
    uint64_t to_read, read;
    hg_ns write_at, read_at; /* not before */
    bool shut, eof, closed, released;
};

struct host {
    struct sim *sim;
    unsigned id;
    struct hg_tcp *tcp;
    struct end end[CONNS_MAX];
    unsigned accepted;
};

struct sim {
    uint64_t seed;
    struct net_rng rng;
    struct net_model net;
    struct host host[2];
    const struct pools *pools;
    const uint8_t *pattern;
    unsigned conns;
    bool copy_rx; /* packets arrive in buffers of their own, as from a NIC */
    hg_ns now, pause_max;
    uint32_t write_max, read_max;
    const char *failure;
};

static void fail(struct sim *sim, const char *what)
{
    if (!sim->failure)
        sim->failure = what;
}

static const struct hg_ip *host_ip(unsigned id)
{
    static const struct hg_ip ip[2] = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                                       {{[10] = 0xff, 0xff, 10, 0, 0, 2}}};
    return &ip[id];
}

static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct host *host = arg;

    net_model_send(&host->sim->net, host->id, m, tx, now);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    (void)arg;
    (void)flow;
    return 1500;
}

/* Where the stream of connection `index` from host `from` stands at `offset`, in the pattern. */
static uint32_t pattern_at(unsigned from, unsigned index, uint64_t offset)
{
    return (uint32_t)((offset + 7919 * (2 * index + from)) % PATTERN_LEN);
}

static void fill(const struct sim *sim, struct rte_mbuf *m, uint32_t at, uint32_t len)
{
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);

    while (len) {
        uint32_t n = len < PATTERN_LEN - at ? len : PATTERN_LEN - at;
        memcpy(p, sim->pattern + at, n);
        p += n;
        len -= n;
        at = 0;
    }
}

/* One mbuf or a chain of two with the next bytes of the stream. */
static struct rte_mbuf *make_payload(struct sim *sim, const struct end *e, uint32_t len)
{
    uint32_t part = net_rng_chance(&sim->rng, 200000) ? len / 3 : 0;
    struct rte_mbuf *m = NULL;

    for (uint32_t done = 0; done < len;) {
        uint32_t n = done ? len - done : part ? part : len;
        struct rte_mbuf *next = rte_pktmbuf_alloc(n > 2048 ? sim->pools->big : sim->pools->data);
        if (!next) {
            rte_pktmbuf_free(m);
            return NULL;
        }
        fill(sim, next, pattern_at(e->host->id, e->index, e->sent + done), n);
        if (m)
            rte_pktmbuf_chain(m, next);
        else
            m = next;
        done += n;
    }
    return m;
}

static hg_ns pause_until(struct sim *sim)
{
    return sim->now + (net_rng_chance(&sim->rng, 300000)
                           ? net_rng_range(&sim->rng, 0, sim->pause_max)
                           : net_rng_range(&sim->rng, 0, HG_US(100)));
}

static void do_write(struct sim *sim, struct end *e)
{
    uint64_t left = e->to_send - e->sent;

    if (e->shut || sim->now < e->write_at)
        return;
    if (!left) {
        hg_tcp_shutdown(e->conn);
        e->shut = true;
        return;
    }
    uint32_t len = (uint32_t)net_rng_range(&sim->rng, 1, sim->write_max);
    uint32_t space = hg_tcp_send_space(e->conn);
    len = len < left ? len : (uint32_t)left;
    if (len > space)
        return;
    struct rte_mbuf *m = make_payload(sim, e, len);
    if (!m) {
        e->write_at = sim->now + HG_MS(1);
        return;
    }
    int rc = hg_tcp_send(e->conn, m);
    if (rc) {
        rte_pktmbuf_free(m);
        fail(sim, "send refused bytes that send_space promised");
        return;
    }
    e->sent += len;
    e->write_at = pause_until(sim);
}

static bool matches(const struct sim *sim, const uint8_t *p, uint32_t len, uint32_t at)
{
    while (len) {
        uint32_t n = len < PATTERN_LEN - at ? len : PATTERN_LEN - at;
        if (memcmp(p, sim->pattern + at, n) != 0)
            return false;
        p += n;
        len -= n;
        at = 0;
    }
    return true;
}

static void do_read(struct sim *sim, struct end *e)
{
    struct hg_iov iov[8];
    uint32_t want = (uint32_t)net_rng_range(&sim->rng, 1, sim->read_max), got = 0;

    if (sim->now < e->read_at || !hg_tcp_readable(e->conn))
        return;
    unsigned n = hg_tcp_peek(e->conn, iov, HG_ARRAY_LEN(iov));
    for (unsigned i = 0; i < n && got < want; i++) {
        uint32_t len = iov[i].len < want - got ? iov[i].len : want - got;
        if (!matches(sim, iov[i].base, len, pattern_at(1 - e->host->id, e->index, e->read + got)))
            fail(sim, "bytes arrived changed");
        got += len;
    }
    hg_tcp_consume(e->conn, got);
    e->read += got;
    if (e->read > e->to_read)
        fail(sim, "more bytes arrived than were sent");
    e->read_at = pause_until(sim);
}

static void finish(struct sim *sim, struct end *e)
{
    if (e->eof && !hg_tcp_readable(e->conn) && e->read != e->to_read)
        fail(sim, "end of stream before the last byte");
    bool done = e->eof && e->read == e->to_read && e->shut;
    /* Half of the services let go at once and leave the rest of the close to TCP. */
    if (done && (e->closed || e->index % 2)) {
        hg_tcp_release(e->conn);
        e->released = true;
    } else if (e->closed && hg_tcp_conn_error(e->conn)) {
        fail(sim, strerror(-hg_tcp_conn_error(e->conn)));
    }
}

/* The end at this host whose connection has the given ports. */
static struct end *find_end(struct host *host, const struct hg_tcp_event *ev)
{
    if (ev->user)
        return ev->user;
    const struct hg_flow *flow = hg_tcp_conn_flow(ev->conn);
    struct end *e = &host->end[flow->rport - 40000];
    e->conn = ev->conn;
    host->accepted++;
    hg_tcp_set_user(ev->conn, e);
    return e;
}

static void serve(struct sim *sim, struct host *host)
{
    struct hg_tcp_event ev[3];
    unsigned n;

    while ((n = hg_tcp_events(host->tcp, ev, HG_ARRAY_LEN(ev)))) {
        for (unsigned i = 0; i < n; i++) {
            struct end *e = find_end(host, &ev[i]);
            e->eof |= !!(ev[i].what & HG_TCP_EV_EOF);
            e->closed |= !!(ev[i].what & HG_TCP_EV_CLOSED);
        }
    }
    for (unsigned i = 0; i < sim->conns; i++) {
        struct end *e = &host->end[i];
        if (!e->conn || e->released)
            continue;
        do_write(sim, e);
        do_read(sim, e);
        finish(sim, e);
    }
}

/* As a NIC does it: into one fresh buffer, if there is one. */
static struct rte_mbuf *to_rx_buffer(struct sim *sim, struct rte_mbuf *m)
{
    if (!sim->copy_rx)
        return m;
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, sim->pools->rx, 0, UINT32_MAX);
    rte_pktmbuf_free(m);
    return copy;
}

static void deliver(struct sim *sim, struct host *host)
{
    struct hg_seg segs[48];
    struct net_packet p;
    unsigned n = 0;

    while (n < HG_ARRAY_LEN(segs) && net_model_receive(&sim->net, host->id, sim->now, &p)) {
        struct rte_mbuf *m = to_rx_buffer(sim, p.m);
        if (m)
            segs[n++] = (struct hg_seg){.kind = HG_SEG_TCP, .m = m, .flow = p.flow, .ecn = p.ecn};
    }
    hg_tcp_input(host->tcp, segs, n, sim->now);
}

static hg_ns earlier(hg_ns a, hg_ns b)
{
    return !a || (b && b < a) ? b : a;
}

static hg_ns next_step(const struct sim *sim)
{
    hg_ns t = net_model_next(&sim->net);

    for (unsigned h = 0; h < 2; h++) {
        t = earlier(t, hg_tcp_next(sim->host[h].tcp));
        for (unsigned i = 0; i < sim->conns; i++) {
            const struct end *e = &sim->host[h].end[i];
            if (!e->conn || e->released)
                continue;
            if (!e->shut && (hg_tcp_send_space(e->conn) >= sim->write_max || e->sent == e->to_send))
                t = earlier(t, e->write_at + 1);
            if (hg_tcp_readable(e->conn))
                t = earlier(t, e->read_at + 1);
        }
    }
    return t > sim->now ? t : sim->now;
}

static bool all_done(const struct sim *sim)
{
    for (unsigned h = 0; h < 2; h++)
        for (unsigned i = 0; i < sim->conns; i++)
            if (!sim->host[h].end[i].released)
                return false;
    return !hg_tcp_conns(sim->host[0].tcp) && !hg_tcp_conns(sim->host[1].tcp);
}

static void run(struct sim *sim)
{
    while (!sim->failure && !all_done(sim)) {
        for (unsigned h = 0; h < 2; h++) {
            deliver(sim, &sim->host[h]);
            serve(sim, &sim->host[h]);
            hg_tcp_poll(sim->host[h].tcp, sim->now);
        }
        sim->now = next_step(sim);
        if (sim->now > TIME_LIMIT)
            fail(sim, "stuck: the time limit has passed");
    }
}

static void choose_link(struct sim *sim, struct hg_impair_cfg *link)
{
    struct net_rng *rng = &sim->rng;
    static const uint32_t loss[] = {0, 1000, 10000, 30000, 100000};

    link->loss_ppm = loss[net_rng_range(rng, 0, HG_ARRAY_LEN(loss) - 1)];
    link->dup_ppm = net_rng_chance(rng, 300000) ? 20000 : 0;
    link->reorder_ppm = net_rng_chance(rng, 400000) ? (uint32_t)net_rng_range(rng, 0, 100000) : 0;
    link->delay = net_rng_range(rng, HG_US(20), HG_MS(40));
    link->late = net_rng_range(rng, HG_US(10), HG_MS(20));
    link->rate = net_rng_chance(rng, 700000) ? net_rng_range(rng, 500000, 125000000) : 0;
    link->queue_bytes = (uint32_t)net_rng_range(rng, 20000, 400000);
    if (net_rng_chance(rng, 200000)) {
        link->burst_enter_ppm = (uint32_t)net_rng_range(rng, 100, 5000);
        link->burst_leave_ppm = (uint32_t)net_rng_range(rng, 100000, 500000);
        link->burst_loss_ppm = (uint32_t)net_rng_range(rng, 200000, HG_PPM);
        link->burst_max = HG_MS(500); /* less than what makes a keep-alive give up */
    }
    link->jitter = net_rng_chance(rng, 200000) ? net_rng_range(rng, 0, HG_MS(10)) : 0;
    link->in_order = net_rng_chance(rng, 500000);
    link->late_packets = net_rng_chance(rng, 500000) ? (uint32_t)net_rng_range(rng, 1, 8) : 0;
    link->mark_bytes = link->rate && net_rng_chance(rng, 200000) ? link->queue_bytes / 2 : 0;
}

static void create_host(struct sim *sim, unsigned id)
{
    struct net_rng *rng = &sim->rng;
    struct host *host = &sim->host[id];
    struct hg_tcp_env env = {.emit = emit, .mtu = mtu, .arg = host};
    struct hg_tcp_cfg cfg = {
        .conns_max = 8,
        .rcv_buf = (uint32_t)net_rng_range(rng, 4000, 600000),
        .rcv_mem_max = net_rng_chance(rng, 200000) ? net_rng_range(rng, 100000, 2000000) : 0,
        .snd_buf = (uint32_t)net_rng_range(rng, 40000, 600000),
        .mss = net_rng_chance(rng, 200000) ? (uint16_t)net_rng_range(rng, 536, 1460) : 0,
        .msl = HG_SEC(1),
        .retries = 40,
        .syn_retries = 20,
        .syn_timeout = HG_SEC(600),
        .keepalive_idle = HG_SEC(5),
        .no_sack = net_rng_chance(rng, 200000),
        .no_timestamps = net_rng_chance(rng, 200000),
        .no_wscale = net_rng_chance(rng, 100000),
        .cc = net_rng_chance(rng, 300000) ? HG_TCP_CC_NEWRENO : HG_TCP_CC_CUBIC,
        .ecn = (enum hg_tcp_ecn)net_rng_range(rng, HG_TCP_ECN_ACCEPT, HG_TCP_ECN_ASK),
        .syn_order = net_rng_chance(rng, 300000) ? HG_TCP_SYN_BSD : HG_TCP_SYN_LINUX,
        .secret = {net_rng_next(rng), net_rng_next(rng)},
        .hdr_pool = sim->pools->hdr,
        .clone_pool = sim->pools->clone,
    };
    struct hg_err err = {""};

    host->sim = sim;
    host->id = id;
    if (hg_tcp_create(&cfg, &env, sim->now, &host->tcp, &err)) {
        fprintf(stderr, "sim_tcp: %s\n", err.text);
        exit(2);
    }
}

static void open_connections(struct sim *sim)
{
    hg_tcp_listen(sim->host[1].tcp, host_ip(1), PORT, NULL);
    for (unsigned i = 0; i < sim->conns; i++) {
        struct end *a = &sim->host[0].end[i], *b = &sim->host[1].end[i];
        struct hg_flow flow = {*host_ip(0), *host_ip(1), (uint16_t)(40000 + i), PORT};
        uint64_t scale = net_rng_chance(&sim->rng, 300000) ? 1000000 : 100000;
        /* A stream of single bytes at 10 % loss is slow, not stuck. */
        scale = scale < 1000ull * sim->write_max ? scale : 1000ull * sim->write_max;
        *a = (struct end){.host = &sim->host[0], .index = i};
        *b = (struct end){.host = &sim->host[1], .index = i};
        a->to_send = b->to_read = net_rng_range(&sim->rng, 0, scale);
        b->to_send = a->to_read = net_rng_range(&sim->rng, 0, scale);
        if (hg_tcp_connect(sim->host[0].tcp, &flow, a, sim->now, &a->conn))
            fail(sim, "connect refused");
    }
}

static unsigned pool_missing(struct rte_mempool *pool)
{
    return rte_mempool_in_use_count(pool);
}

static void check_pools(struct sim *sim)
{
    const struct pools *p = sim->pools;

    if (pool_missing(p->hdr) || pool_missing(p->clone) || pool_missing(p->data) ||
        pool_missing(p->big) || pool_missing(p->rx))
        fail(sim, "mbufs are missing from a pool");
}

static void print_state(const struct sim *sim)
{
    for (unsigned h = 0; h < 2; h++) {
        struct hg_tcp *tcp = sim->host[h].tcp;
        for (struct hg_tcp_conn *c = NULL; (c = hg_tcp_conn_walk(tcp, c));) {
            struct hg_tcp_info i;
            hg_tcp_conn_info(c, &i);
            printf("  host %u port %u %s unread %u ooo %u unacked %u unsent %u cwnd %u snd_wnd %u "
                   "rcv_wnd %u rto %u retrans %lu\n",
                   h, i.flow.lport, i.state, i.unread, i.ooo, i.unacked, i.unsent, i.cwnd,
                   i.snd_wnd, i.rcv_wnd, i.rto_us, i.retransmits);
        }
        struct hg_counter_set set = hg_tcp_counter_set(tcp);
        for (unsigned k = 0; k < set.n; k++)
            if (set.value[k])
                printf("  host %u %s %lu\n", h, set.desc[k].name, set.value[k]);
    }
}

/* True when the run kept every promise. */
static bool run_seed(uint64_t seed, const struct pools *pools, const uint8_t *pattern, bool verbose)
{
    struct sim *sim = calloc(1, sizeof *sim);

    if (!sim)
        abort();
    *sim = (struct sim){.seed = seed, .rng = {seed}, .pools = pools, .pattern = pattern};
    sim->now = net_rng_range(&sim->rng, 1, HG_SEC(20));
    net_model_init(&sim->net, net_rng_next(&sim->rng), 4096, pools->rx);
    choose_link(sim, &sim->net.link[0]);
    choose_link(sim, &sim->net.link[1]);
    create_host(sim, 0);
    create_host(sim, 1);
    sim->conns = (unsigned)net_rng_range(&sim->rng, 1, CONNS_MAX);
    sim->copy_rx = net_rng_chance(&sim->rng, 500000);
    sim->pause_max = net_rng_chance(&sim->rng, 300000) ? HG_MS(500) : HG_MS(2);
    sim->write_max = (uint32_t)net_rng_range(&sim->rng, 1, 17000);
    sim->read_max = (uint32_t)net_rng_range(&sim->rng, 100, 100000);
    open_connections(sim);
    run(sim);
    if (verbose || sim->failure) {
        struct net_model_stats stats = net_model_stats(&sim->net);
        printf("seed %lu: %s, %.3f s virtual, %lu packets, %lu lost, %lu queue drops, %lu late\n",
               seed, sim->failure ? sim->failure : "ok", (double)sim->now / 1e9, stats.sent,
               stats.lost, stats.queue_drops, stats.late);
        print_state(sim);
    }
    hg_tcp_destroy(sim->host[0].tcp);
    hg_tcp_destroy(sim->host[1].tcp);
    net_model_fini(&sim->net);
    bool before = sim->failure;
    check_pools(sim);
    if (sim->failure && !before)
        printf("seed %lu: %s\n", seed, sim->failure);
    bool ok = !sim->failure;
    free(sim);
    return ok;
}

static struct rte_mempool *make_pool(const char *name, unsigned n, uint16_t room)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, n, 0, 0, room, SOCKET_ID_ANY);

    if (!pool) {
        fprintf(stderr, "sim_tcp: pool %s: %s\n", name, rte_strerror(rte_errno));
        exit(2);
    }
    return pool;
}

int main(int argc, char **argv)
{
    char *eal[] = {"sim_tcp", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "256",     "--no-telemetry", "--log-level=4", NULL};
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1, count = 200, failed = 0;
    bool verbose = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'n')
            count = strtoull(optarg, NULL, 0);
        else if (c == 'v')
            verbose = true;
        else
            return 2;
    }
    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0) {
        fprintf(stderr, "sim_tcp: EAL: %s\n", rte_strerror(rte_errno));
        return 2;
    }
    struct pools pools = {
        .hdr = make_pool("hdr", 8191, RTE_PKTMBUF_HEADROOM + 64),
        .clone = make_pool("clone", 16383, 0),
        .data = make_pool("data", 16383, RX_ROOM),
        .big = make_pool("big", 1023, BIG_ROOM),
        .rx = make_pool("rx", 16383, RX_ROOM),
    };
    static uint8_t pattern[PATTERN_LEN];
    struct net_rng rng = {42};
    for (unsigned i = 0; i < PATTERN_LEN; i++)
        pattern[i] = (uint8_t)net_rng_next(&rng);
    for (uint64_t s = seed; s < seed + count; s++)
        failed += !run_seed(s, &pools, pattern, verbose);
    printf("sim_tcp: seeds %lu to %lu, %lu failed\n", seed, seed + count - 1, failed);
    return failed ? 1 : 0;
}
