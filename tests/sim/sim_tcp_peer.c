/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One of our TCP stacks against a peer that shares no code with it (model_peer.h), on virtual time,
 * through a bad network. Each run takes everything from its seed. Promises checked:
 *
 *  - every byte arrives, in order, unchanged, in both directions, and then the end of the stream;
 *  - no connection is stuck, whatever the peer or the network does;
 *  - a peer that crashed ends the connection with a reset or a time-out, and with nothing else;
 *  - afterwards no connection is left and every mbuf is back in its pool.
 *
 *     sim_tcp_peer [--seed N] [--seeds COUNT] [--verbose] [--trace]
 */
#include "model_peer.h"

#include <errno.h>
#include <getopt.h>
#include <headgate/tcp.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 1500
#define PEER_PORT 40000
#define TIME_LIMIT HG_SEC(3600) /* virtual; a run that needs more is stuck */

enum opening { PEER_OPENS, WE_OPEN, BOTH_OPEN, OPENINGS };

struct sim {
    struct net_rng rng;
    struct net_model net;
    struct model_peer peer;
    struct rte_mempool *hdr, *clone, *data, *peers; /* data: of what we write */
    struct hg_tcp *tcp;
    struct hg_tcp_conn *conn;
    uint64_t to_send, sent, to_read, read;
    hg_ns now;
    uint32_t write_max;
    bool shut, eof, closed, released, trace;
    int error;
    const char *failure;
};

static void fail(struct sim *sim, const char *what)
{
    if (!sim->failure)
        sim->failure = what;
}

/* Streams: 0 from the peer, 1 from us. */
static uint8_t stream_byte(unsigned dir, uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + (offset >> 16) + 101 * dir);
}

static struct hg_flow our_flow(void)
{
    return (struct hg_flow){
        {{[10] = 0xff, 0xff, 192, 0, 2, 1}}, {{[10] = 0xff, 0xff, 192, 0, 2, 2}}, PORT, PEER_PORT};
}

/* One line for a segment: who sent it, flags, numbers as offsets from the first of each side. */
static void trace(const struct sim *sim, const char *who, const struct rte_mbuf *m, hg_ns now)
{
    const struct rte_tcp_hdr *h = rte_pktmbuf_mtod(m, const struct rte_tcp_hdr *);
    static const char flags[] = "FSRPA";
    char text[6] = "";

    if (!sim->trace)
        return;
    for (unsigned i = 0; i < 5; i++)
        text[i] = h->tcp_flags & 1u << i ? flags[i] : '.';
    printf("%11.6f %s %s seq %u ack %u len %u wnd %u\n", (double)now / 1e9, who, text,
           rte_be_to_cpu_32(h->sent_seq), rte_be_to_cpu_32(h->recv_ack),
           m->pkt_len - (h->data_off >> 4) * 4u, rte_be_to_cpu_16(h->rx_win));
}

static void emit_ours(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    trace(arg, "we  ", m, now);
    net_model_send(&((struct sim *)arg)->net, 0, m, tx, now);
}

static void emit_peers(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    trace(arg, "peer", m, now);
    net_model_send(&((struct sim *)arg)->net, 1, m, tx, now);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    (void)arg;
    (void)flow;
    return 1500;
}

static void do_write(struct sim *sim)
{
    while (sim->sent < sim->to_send) {
        uint64_t left = sim->to_send - sim->sent;
        uint32_t len = (uint32_t)net_rng_range(&sim->rng, 1, sim->write_max);
        len = len < left ? len : (uint32_t)left;
        if (hg_tcp_send_space(sim->conn) < len)
            return;
        struct rte_mbuf *m = rte_pktmbuf_alloc(sim->data);
        if (!m)
            return;
        uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
        for (uint32_t i = 0; i < len; i++)
            p[i] = stream_byte(1, sim->sent + i);
        if (hg_tcp_send(sim->conn, m)) {
            rte_pktmbuf_free(m);
            fail(sim, "send refused bytes that send_space promised");
            return;
        }
        sim->sent += len;
    }
    if (!sim->shut)
        hg_tcp_shutdown(sim->conn);
    sim->shut = true;
}

static void do_read(struct sim *sim)
{
    struct hg_iov iov[16];
    uint32_t got = 0;
    unsigned n = hg_tcp_peek(sim->conn, iov, HG_ARRAY_LEN(iov));

    for (unsigned i = 0; i < n; i++) {
        for (uint32_t k = 0; k < iov[i].len; k++)
            if (iov[i].base[k] != stream_byte(0, sim->read + got + k))
                fail(sim, "bytes arrived changed");
        got += iov[i].len;
    }
    hg_tcp_consume(sim->conn, got);
    sim->read += got;
    if (sim->read > sim->to_read)
        fail(sim, "more bytes arrived than were sent");
}

static void serve(struct sim *sim)
{
    struct hg_tcp_event ev[2];
    unsigned n = hg_tcp_events(sim->tcp, ev, HG_ARRAY_LEN(ev));

    for (unsigned i = 0; i < n; i++) {
        if (sim->conn && ev[i].conn != sim->conn) {
            fail(sim, "a second connection appeared");
            return;
        }
        sim->conn = ev[i].conn;
        sim->eof |= !!(ev[i].what & HG_TCP_EV_EOF);
        sim->closed |= !!(ev[i].what & HG_TCP_EV_CLOSED);
    }
    if (!sim->conn || sim->released)
        return;
    if (!sim->closed)
        do_write(sim);
    while (hg_tcp_readable(sim->conn) && !sim->failure)
        do_read(sim);
    if (sim->eof && !sim->closed && sim->read != sim->to_read)
        fail(sim, "end of stream before the last byte");
    if (sim->closed) {
        sim->error = hg_tcp_conn_error(sim->conn);
        hg_tcp_release(sim->conn);
        sim->released = true;
    }
}

static void deliver(struct sim *sim)
{
    struct net_packet p;

    while (net_model_receive(&sim->net, 0, sim->now, &p)) {
        struct hg_seg s = {.kind = HG_SEG_TCP, .m = p.m, .flow = p.flow};
        hg_tcp_input(sim->tcp, &s, 1, sim->now);
    }
    while (net_model_receive(&sim->net, 1, sim->now, &p))
        model_input(&sim->peer, p.m, sim->now);
}

static hg_ns earlier(hg_ns a, hg_ns b)
{
    return !a || (b && b < a) ? b : a;
}

static void run(struct sim *sim)
{
    while (!sim->failure && !sim->released) {
        deliver(sim);
        serve(sim);
        model_poll(&sim->peer, sim->now);
        hg_tcp_poll(sim->tcp, sim->now);
        hg_ns t = earlier(net_model_next(&sim->net), hg_tcp_next(sim->tcp));
        t = earlier(t, model_next(&sim->peer));
        if (sim->peer.crash && !sim->peer.crash_at && !hg_tcp_conns(sim->tcp))
            return; /* it crashed before we knew of it */
        if (sim->now > TIME_LIMIT)
            fail(sim, "stuck");
        sim->now = t > sim->now ? t : sim->now + HG_US(20);
        if (sim->peer.failure)
            fail(sim, sim->peer.failure);
    }
}

static void judge(struct sim *sim)
{
    const struct model_peer *p = &sim->peer;
    bool crashed = p->crash && !p->crash_at && !model_done(p);

    if (sim->failure || (crashed && !sim->conn))
        return;
    if (!sim->error) {
        if (sim->read != sim->to_read || sim->sent != sim->to_send)
            fail(sim, "closed without an error before all was read and sent");
        if (!crashed && p->received != sim->to_send)
            fail(sim, "the peer did not get all");
    } else if (!crashed) {
        fail(sim, strerror(-sim->error));
    } else if (sim->error != -ECONNRESET && sim->error != -ETIMEDOUT &&
               sim->error != -ECONNREFUSED) {
        fail(sim, "a crash was told as something else");
    }
}

static void choose_network(struct sim *sim)
{
    static const uint32_t loss[] = {0, 0, 5000, 30000, 100000};
    struct net_rng *rng = &sim->rng;

    for (unsigned i = 0; i < 2; i++) {
        struct hg_impair_cfg *l = &sim->net.link[i];
        l->loss_ppm = loss[net_rng_range(rng, 0, HG_ARRAY_LEN(loss) - 1)];
        l->dup_ppm = net_rng_chance(rng, 300000) ? 20000 : 0;
        l->reorder_ppm = net_rng_chance(rng, 400000) ? 50000 : 0;
        l->delay = net_rng_range(rng, HG_US(20), HG_MS(30));
        l->late = net_rng_range(rng, HG_US(10), HG_MS(20));
    }
}

static void create(struct sim *sim)
{
    struct net_rng *rng = &sim->rng;
    const struct hg_tcp_env env = {.emit = emit_ours, .mtu = mtu, .arg = sim};
    const struct hg_tcp_cfg cfg = {
        .conns_max = 4,
        .rcv_buf = (uint32_t)net_rng_range(rng, 3000, 300000),
        .snd_buf = (uint32_t)net_rng_range(rng, 8000, 300000),
        .msl = HG_SEC(1),
        .retries = 60,
        .syn_retries = 20,
        .syn_timeout = HG_SEC(600),
        .keepalive_idle = HG_SEC(20),
        .rto_max = HG_SEC(4),
        .cc = net_rng_chance(rng, 300000) ? HG_TCP_CC_NEWRENO : HG_TCP_CC_CUBIC,
        .secret = {net_rng_next(rng), net_rng_next(rng)},
        .hdr_pool = sim->hdr,
        .clone_pool = sim->clone,
    };
    struct hg_err err = {""};

    if (hg_tcp_create(&cfg, &env, sim->now, &sim->tcp, &err)) {
        fprintf(stderr, "sim_tcp_peer: %s\n", err.text);
        exit(2);
    }
}

static void open_connection(struct sim *sim)
{
    enum opening how = (enum opening)net_rng_range(&sim->rng, 0, OPENINGS - 1);
    struct hg_flow flow = our_flow();
    static const struct hg_ip any;

    if (how == PEER_OPENS)
        hg_tcp_listen(sim->tcp, &any, PORT, NULL);
    else if (hg_tcp_connect(sim->tcp, &flow, NULL, sim->now, &sim->conn))
        abort();
    if (how != WE_OPEN)
        model_connect(&sim->peer, sim->now);
}

static const char *run_seed(struct sim *sim, uint64_t seed)
{
    struct hg_flow flow = our_flow();

    sim->rng.state = seed;
    sim->now = HG_SEC(1);
    sim->to_send = net_rng_range(&sim->rng, 0, 1) ? net_rng_range(&sim->rng, 0, 200000) : 0;
    sim->to_read = net_rng_range(&sim->rng, 0, 1) ? net_rng_range(&sim->rng, 0, 200000) : 0;
    sim->write_max = (uint32_t)net_rng_range(&sim->rng, 1, 2000);
    net_model_init(&sim->net, net_rng_next(&sim->rng), 8192, sim->peers);
    choose_network(sim);
    create(sim);
    model_init(&sim->peer,
               &(struct model_cfg){.seed = net_rng_next(&sim->rng),
                                   .flow = {flow.remote, flow.local, flow.rport, flow.lport},
                                   .to_send = sim->to_read,
                                   .byte = stream_byte,
                                   .pool = sim->peers,
                                   .emit = emit_peers,
                                   .arg = sim},
               sim->now);
    open_connection(sim);
    run(sim);
    judge(sim);
    hg_tcp_destroy(sim->tcp);
    net_model_fini(&sim->net);
    if (rte_mempool_in_use_count(sim->hdr) || rte_mempool_in_use_count(sim->clone) ||
        rte_mempool_in_use_count(sim->data) || rte_mempool_in_use_count(sim->peers))
        fail(sim, "mbufs are missing");
    return sim->failure;
}

static struct rte_mempool *make_pool(const char *name, unsigned n, uint16_t room)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, n, 0, 0, room, SOCKET_ID_ANY);

    if (!pool) {
        fprintf(stderr, "sim_tcp_peer: pool %s: %s\n", name, rte_strerror(rte_errno));
        exit(2);
    }
    return pool;
}

static void tell(const struct sim *sim, uint64_t seed)
{
    const struct model_peer *p = &sim->peer;

    printf(
        "seed %lu: %s; at %.3f s, sent %lu of %lu, read %lu of %lu; peer: mss %u%s%s%s%s%s%s%s%s "
        "state %d una %u nxt %u wnd %u received %lu\n",
        seed, sim->failure ? sim->failure : "ok", (double)sim->now / 1e9, sim->sent, sim->to_send,
        sim->read, sim->to_read, p->mss, p->sack ? " sack" : "", p->ts ? " ts" : "",
        p->wscale ? " wscale" : "", p->renege ? " renege" : "", p->shrink ? " shrink" : "",
        p->silly ? " silly" : "", p->split_acks ? " split" : "", p->crash ? " crash" : "", p->state,
        p->una - p->iss, p->nxt - p->iss, p->their_wnd, p->received);
}

int main(int argc, char **argv)
{
    char *eal[] = {"sim_tcp_peer", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "128",          "--no-telemetry", "--log-level=4", NULL};
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"trace", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1, seeds = 1;
    unsigned failed = 0;
    bool verbose = false, tracing = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (c == 'v')
            verbose = true;
        else if (c == 't')
            tracing = true;
        else
            return 2;
    }
    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0) {
        fprintf(stderr, "sim_tcp_peer: EAL: %s\n", rte_strerror(rte_errno));
        return 2;
    }
    struct rte_mempool *hdr = make_pool("hdr", 8191, RTE_PKTMBUF_HEADROOM + 64);
    struct rte_mempool *clone = make_pool("clone", 8191, 0);
    struct rte_mempool *data = make_pool("data", 2047, RTE_PKTMBUF_HEADROOM + 2048);
    struct rte_mempool *peers = make_pool("peers", 16383, RTE_PKTMBUF_HEADROOM + 2048);
    static struct sim sim;
    for (uint64_t s = seed; s < seed + seeds; s++) {
        sim = (struct sim){
            .hdr = hdr, .clone = clone, .data = data, .peers = peers, .trace = tracing};
        bool bad = run_seed(&sim, s) != NULL;
        failed += bad;
        if (bad || verbose)
            tell(&sim, s);
    }
    printf("sim_tcp_peer: seeds %lu to %lu, %u failed\n", seed, seed + seeds - 1, failed);
    return failed ? 1 : 0;
}
