/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * More begun TLS records than the receiver has memory for, on virtual time: every source sends the
 * beginning of a record at once and its rest after a pause, and the service reads whole records only.
 * Promises checked, each with its demand in percent of what memory can hold:
 *
 *  - nothing freezes: every source gets all its records through;
 *  - memory stays within its bound;
 *  - meanwhile a new connection is answered, and its few bytes arrive.
 *
 *     sim_tcp_overload [--seed N] [--verbose]
 */
#include "net_model.h"

#include <getopt.h>
#include <headgate/tcp.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 1500
#define FIRST_PORT 40000
#define SOURCES 400
#define RECORD 16400u
#define RECORDS 12u
#define WRITE 1400u /* bytes per mbuf handed to hg_tcp_send() */
#define ROOM (RTE_PKTMBUF_HEADROOM + 2048)
#define LATE_AT HG_SEC(3)       /* when one more connection comes */
#define LATE_BYTES 100u         /* of it, read as they come */
#define OPEN_LIMIT HG_SEC(10)   /* within which it has to be open: SYNs may be lost */
#define IDLE_STEP HG_MS(10)     /* between the openings of idle connections, */
#define WAKE_AT HG_SEC(8)       /* which begin to send then */
#define TIME_LIMIT HG_SEC(3600) /* virtual */

struct row {
    const char *name;
    unsigned demand; /* percent: a record of each source, of rcv_mem_max */
    uint32_t loss_ppm;
    bool lowat; /* the service says how much it waits for */
    bool idle;  /* opened one after the other, promised their windows, and wake all at once */
};

static const struct row rows[] = {
    {"80 %", 80, 0, true},
    {"120 %", 120, 0, true},
    {"120 %, loss", 120, 10000, true},
    {"400 %", 400, 0, true},
    {"400 %, loss", 400, 10000, true},
    {"400 %, silent service", 400, 0, false},
    {"2000 %", 2000, 0, true},
    {"400 %, all wake at once", 400, 0, true, true},
};

struct source {
    struct hg_tcp_conn *conn;
    uint32_t queued; /* bytes handed to TCP */
    uint32_t part;   /* of the current record: where the pause is */
    hg_ns resume;
};

struct sink {
    struct hg_tcp_conn *conn;
    uint32_t read;
};

struct sim {
    struct net_model net;
    struct net_rng rng;
    struct hg_tcp *tcp[2]; /* 0: sources, 1: receiver */
    struct rte_mempool *hdr, *clone, *data, *rx;
    struct source src[SOURCES + 1]; /* the last one is the late one */
    struct sink dst[SOURCES + 1];
    hg_ns now, late_open;
    uint32_t opened, done, held_max;
    const struct row *row;
};

struct end {
    struct sim *sim;
    unsigned id;
};

static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    const struct end *end = arg;

    net_model_send(&end->sim->net, end->id, m, tx, now);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    (void)arg;
    (void)flow;
    return 1500;
}

static uint32_t total(unsigned i)
{
    return i < SOURCES ? RECORD * RECORDS : LATE_BYTES;
}

/* Writes up to the pause in the current record, or to its end. */
static void write_source(struct sim *sim, unsigned i)
{
    struct source *s = &sim->src[i];

    while (s->conn && s->queued < total(i) && sim->now >= s->resume) {
        uint32_t at = s->queued % RECORD;
        uint32_t stop = at < s->part ? s->part : RECORD;
        uint32_t len = stop - at < WRITE ? stop - at : WRITE;
        if (len > total(i) - s->queued)
            len = total(i) - s->queued;
        if (hg_tcp_send_space(s->conn) < len)
            return;
        struct rte_mbuf *m = rte_pktmbuf_alloc(sim->data);
        if (!m)
            return;
        m->data_len = (uint16_t)len; /* whatever is in it */
        m->pkt_len = len;
        if (hg_tcp_send(s->conn, m))
            abort();
        s->queued += len;
        if (at + len == s->part)
            s->resume = sim->now + net_rng_range(&sim->rng, HG_MS(20), HG_MS(400));
        else if (at + len == RECORD)
            s->part = (uint32_t)net_rng_range(&sim->rng, 1000, RECORD - 100);
    }
}

static void read_sink(struct sim *sim, unsigned i)
{
    struct sink *d = &sim->dst[i];

    if (!d->conn)
        return;
    uint32_t n = hg_tcp_readable(d->conn), unit = i < SOURCES ? RECORD : 1;
    if (n >= unit) {
        n -= n % unit;
        hg_tcp_consume(d->conn, n);
        hg_tcp_set_rcvlowat(d->conn, 1);
        d->read += n;
        sim->done += d->read == total(i);
    } else if (n >= 5 && sim->row->lowat) {
        hg_tcp_set_rcvlowat(d->conn, RECORD);
    }
}

static void take_events(struct sim *sim)
{
    struct hg_tcp_event ev[64];
    unsigned n;

    while ((n = hg_tcp_events(sim->tcp[0], ev, HG_ARRAY_LEN(ev)))) {
        for (unsigned k = 0; k < n; k++)
            if (ev[k].conn == sim->src[SOURCES].conn && ev[k].what & HG_TCP_EV_CONNECTED)
                sim->late_open = sim->now;
    }
    while ((n = hg_tcp_events(sim->tcp[1], ev, HG_ARRAY_LEN(ev)))) {
        for (unsigned k = 0; k < n; k++)
            sim->dst[hg_tcp_conn_flow(ev[k].conn)->rport - FIRST_PORT].conn = ev[k].conn;
    }
}

static void deliver(struct sim *sim, unsigned host)
{
    struct hg_seg segs[64];
    struct net_packet p;
    unsigned n = 0;

    while (n < HG_ARRAY_LEN(segs) && net_model_receive(&sim->net, host, sim->now, &p)) {
        /* As a NIC does it: into one buffer of its own. */
        struct rte_mbuf *m = rte_pktmbuf_copy(p.m, sim->rx, 0, UINT32_MAX);
        rte_pktmbuf_free(p.m);
        if (m)
            segs[n++] = (struct hg_seg){.kind = HG_SEG_TCP, .m = m, .flow = p.flow, .ecn = p.ecn};
    }
    hg_tcp_input(sim->tcp[host], segs, n, sim->now);
}

static void open_one(struct sim *sim, unsigned i)
{
    struct hg_flow flow = {{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                           {{[10] = 0xff, 0xff, 10, 0, 0, 2}},
                           (uint16_t)(FIRST_PORT + i),
                           PORT};

    sim->src[i].part = i < SOURCES ? RECORD / 8 * 7 : 0;
    if (sim->row->idle && i < SOURCES)
        sim->src[i].resume = WAKE_AT;
    if (hg_tcp_connect(sim->tcp[0], &flow, NULL, sim->now, &sim->src[i].conn))
        abort();
}

static hg_ns open_at(const struct sim *sim, unsigned i)
{
    if (i == SOURCES)
        return sim->row->idle ? WAKE_AT + HG_SEC(2) : LATE_AT;
    return HG_SEC(1) + (sim->row->idle ? i * IDLE_STEP : 0);
}

static void open_due(struct sim *sim)
{
    for (; sim->opened <= SOURCES && sim->now >= open_at(sim, sim->opened); sim->opened++)
        open_one(sim, sim->opened);
}

static hg_ns earlier(hg_ns a, hg_ns b)
{
    return !a || (b && b < a) ? b : a;
}

static hg_ns next_step(const struct sim *sim)
{
    hg_ns t = net_model_next(&sim->net);

    for (unsigned h = 0; h < 2; h++)
        t = earlier(t, hg_tcp_next(sim->tcp[h]));
    for (unsigned i = 0; i < SOURCES; i++)
        if (sim->src[i].resume > sim->now)
            t = earlier(t, sim->src[i].resume);
    if (sim->opened <= SOURCES)
        t = earlier(t, open_at(sim, sim->opened));
    return t > sim->now + HG_US(5) ? t : sim->now + HG_US(5);
}

static void run(struct sim *sim)
{
    while (sim->done < SOURCES + 1 && sim->now < TIME_LIMIT) {
        open_due(sim);
        for (unsigned h = 0; h < 2; h++)
            deliver(sim, h);
        take_events(sim);
        for (unsigned i = 0; i <= SOURCES; i++) {
            write_source(sim, i);
            read_sink(sim, i);
        }
        uint32_t held = rte_mempool_in_use_count(sim->rx);
        sim->held_max = held > sim->held_max ? held : sim->held_max;
        for (unsigned h = 0; h < 2; h++)
            hg_tcp_poll(sim->tcp[h], sim->now);
        sim->now = next_step(sim);
    }
}

static uint64_t counter(const struct hg_tcp *tcp, const char *name)
{
    struct hg_counter_set set = hg_tcp_counter_set(tcp);

    for (unsigned i = 0; i < set.n; i++)
        if (!strcmp(set.desc[i].name, name))
            return set.value[i];
    abort();
}

static void start(struct sim *sim, uint64_t memory, struct end end[2])
{
    static const struct hg_ip any;
    struct hg_err err = {""};

    for (unsigned h = 0; h < 2; h++) {
        struct hg_tcp_cfg cfg = {.conns_max = SOURCES + 8,
                                 .rcv_low = 28u << 10,
                                 .rcv_mem_max = h ? memory : 0,
                                 .retries = 60,
                                 .secret = {1, 2},
                                 .hdr_pool = sim->hdr,
                                 .clone_pool = sim->clone};
        end[h] = (struct end){sim, h};
        struct hg_tcp_env env = {.emit = emit, .mtu = mtu, .arg = &end[h]};
        if (hg_tcp_create(&cfg, &env, sim->now, &sim->tcp[h], &err)) {
            fprintf(stderr, "sim_tcp_overload: %s\n", err.text);
            exit(2);
        }
    }
    hg_tcp_listen(sim->tcp[1], &any, PORT, NULL);
}

static bool check(const struct sim *sim, uint64_t memory, bool verbose)
{
    uint64_t held = (uint64_t)sim->held_max * ROOM;
    bool done = sim->done == SOURCES + 1;
    hg_ns late = open_at(sim, SOURCES);
    bool open = sim->late_open && sim->late_open < late + OPEN_LIMIT;
    /* A burst from the wire is not in the queues yet, and a chain may overshoot. */
    bool bounded = held <= memory + 128 * ROOM;

    if (verbose || !done || !open || !bounded)
        printf(
            "%s %s: %u of %u finished after %.2f s; late one open after %.3f s; at most %lu of %lu "
            "bytes held; %lu grants, %lu dropped, %lu shed\n",
            done && open && bounded ? "ok" : "FAILED", sim->row->name, sim->done, SOURCES + 1,
            (double)sim->now / 1e9, sim->late_open ? (double)(sim->late_open - late) / 1e9 : -1.0,
            held, memory, counter(sim->tcp[1], "rx_grants"), counter(sim->tcp[1], "rx_mem_drop"),
            counter(sim->tcp[1], "rx_ooo_shed"));
    return done && open && bounded;
}

static bool run_row(const struct sim *pools, const struct row *row, uint64_t seed, bool verbose)
{
    static struct sim sim;
    struct end end[2];
    /* A byte of payload takes one and a half of buffers: 1448 of 2176. */
    uint64_t memory = (uint64_t)SOURCES * RECORD * 3 / 2 * 100 / row->demand;

    sim = *pools;
    sim.row = row;
    sim.rng.state = seed;
    sim.now = HG_SEC(1);
    net_model_init(&sim.net, seed, 32768, NULL);
    for (unsigned h = 0; h < 2; h++)
        sim.net.link[h] = (struct hg_impair_cfg){.loss_ppm = row->loss_ppm,
                                                 .delay = HG_MS(10),
                                                 .rate = 125000000,
                                                 .queue_bytes = 4000000};
    start(&sim, memory, end);
    run(&sim);
    bool ok = check(&sim, memory, verbose);
    hg_tcp_destroy(sim.tcp[0]);
    hg_tcp_destroy(sim.tcp[1]);
    net_model_fini(&sim.net);
    if (rte_mempool_in_use_count(sim.hdr) || rte_mempool_in_use_count(sim.clone) ||
        rte_mempool_in_use_count(sim.data) || rte_mempool_in_use_count(sim.rx)) {
        printf("FAILED %s: mbufs are missing\n", row->name);
        ok = false;
    }
    return ok;
}

static struct rte_mempool *make_pool(const char *name, unsigned n, uint16_t room)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, n, 0, 0, room, SOCKET_ID_ANY);

    if (!pool) {
        fprintf(stderr, "sim_tcp_overload: pool %s: %s\n", name, rte_strerror(rte_errno));
        exit(2);
    }
    return pool;
}

int main(int argc, char **argv)
{
    char *eal[] = {"sim_tcp_overload", "--no-huge",     "--no-shconf", "--no-pci", "-m", "256",
                   "--no-telemetry",   "--log-level=4", NULL};
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1;
    bool verbose = false;
    unsigned failed = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (c == 'v')
            verbose = true;
        else
            return 2;
    }
    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0) {
        fprintf(stderr, "sim_tcp_overload: EAL: %s\n", rte_strerror(rte_errno));
        return 2;
    }
    static struct sim pools;
    pools.hdr = make_pool("hdr", 16383, RTE_PKTMBUF_HEADROOM + 64);
    pools.clone = make_pool("clone", 32767, 0);
    pools.data = make_pool("data", 24575, ROOM);
    pools.rx = make_pool("rx", 16383, ROOM);
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        failed += !run_row(&pools, &rows[i], seed, verbose);
    printf("sim_tcp_overload: seed %lu, %u of %zu failed\n", seed, failed, HG_ARRAY_LEN(rows));
    return failed ? 1 : 0;
}
