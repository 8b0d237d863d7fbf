/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The services for tests over a bad cable, on virtual time: a shard at one end, the stack as a
 * library at the other. Everything is decided by the seed.
 *
 *     sim_services [--seed N] [--seeds COUNT]
 *
 * What must hold, for every seed: each client gets what its service promises, byte for byte, within
 * bounded virtual time, also over retransmissions of packets that point into a pattern; then no
 * connection is left, and all packet buffers are back.
 */
#include "../unit/tls/fixture.h"
#include "relay.h"
#include <errno.h>
#include <getopt.h>
#include <headgate/shard.h>
#include <headgate/stack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 2
#define DEVICE_SIZE (24u << 20)
#define VIRTUAL_MAX HG_SEC(900)
#define PORT_FIRST 1000 /* of the service of kind 0 */
#define AMOUNT_MAX 300000u
#define MUST(c) ((c) ? (void)0 : die(__LINE__, #c))

struct client {
    enum hg_testsvc_kind kind;
    int handle;
    uint32_t amount;    /* bytes to send, or to ask for */
    uint32_t sent, got; /* payload; HTTP: got counts the body */
    uint32_t head;      /* HTTP: bytes of "\r\n\r\n" seen, 4: the body has begun */
    bool asked, done;
};

static struct sim {
    uint64_t seed, rand;
    hg_ns now;
    struct rte_mempool *pool;
    struct hg_port *node_wire[2], *client_wire[2];
    struct relay *relay;
    struct hg_bdev *devs[DEVICES];
    struct hg_pool *store_pool;
    struct hg_tls_ctx *tls;
    struct hg_shard *shard;
    struct hg_stack *stack;
    struct client clients[HG_TESTSVC_KINDS];
    uint64_t lost;
} sim;

static void die(int line, const char *what)
{
    fprintf(stderr, "sim_services.c:%d: %s does not hold; repeat with --seed %llu --seeds 1\n",
            line, what, (unsigned long long)sim.seed);
    fx_remove();
    abort();
}

static void must(int rc, const struct hg_err *err, int line)
{
    if (rc != 0) {
        fprintf(stderr, "%s\n", err->text);
        die(line, "rc == 0");
    }
}

/* ---- world ---- */

static void shard_start(void)
{
    struct hg_shard_cfg cfg = {
        .n_shards = 1,
        .socket = SOCKET_ID_ANY,
        .ports = {{.port = sim.node_wire[0],
                   .rx_pool = sim.pool,
                   .net = {.n_addrs = 1, .no_dad = true}}},
        .n_ports = 1,
        .tcp = {.rcv_buf = 64u << 10, .snd_buf = 128u << 10, .secret = {sim.seed, 2}},
        .tls = sim.tls,
        .test = {.svc = {.conns_max = 8}},
        .ingest = {.sessions_max = 8, .requests_max = 64, .credit = 512u << 10, .agent = "sim"},
        .arena_bytes = 4u << 20,
        .conns_max = 8,
        .tx_mbufs = 1023,
    };
    struct hg_pool_geometry geometry = {64u << 10, 1u << 20};
    struct hg_err err = {""};

    for (unsigned i = 0; i < DEVICES; i++)
        must(hg_bdev_mem_open("mem", DEVICE_SIZE, &sim.devs[i], &err), &err, __LINE__);
    must(hg_pool_format(sim.devs, DEVICES, &geometry, false, &err), &err, __LINE__);
    must(hg_pool_open(sim.devs, DEVICES, &sim.store_pool, &err), &err, __LINE__);
    cfg.ports[0].net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000201), 24};
    cfg.pool = sim.store_pool;
    for (unsigned kind = 0; kind < HG_TESTSVC_KINDS; kind++)
        cfg.test.port[kind] = (uint16_t)(PORT_FIRST + kind);
    must(hg_shard_create(&cfg, sim.now, &sim.shard, &err), &err, __LINE__);
}

static void world_make(void)
{
    struct relay_cfg cable = {.seed = sim.seed, .pool = sim.pool};
    struct hg_stack_cfg stack = {.mac = {0x02, 0, 0, 0, 0, 0x02}, .bufs = 1023};
    struct hg_wire_cfg wire = {"sim", 1, 1500, 4096};
    struct hg_err err = {""};

    cable.path.delay = HG_US(500);
    cable.path.loss_ppm = (uint32_t)(sim_rand(&sim.rand) % 4) * 10000;
    cable.path.dup_ppm = (uint32_t)(sim_rand(&sim.rand) % 2) * 10000;
    cable.path.jitter = HG_US(sim_rand(&sim.rand) % 1000);
    must(hg_port_wire_pair(&wire, sim.node_wire, &err), &err, __LINE__);
    must(hg_port_wire_pair(&wire, sim.client_wire, &err), &err, __LINE__);
    sim.relay = relay_create(&cable, (struct hg_port *[]){sim.client_wire[1], sim.node_wire[1]});
    shard_start();
    stack.net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000202), 24};
    stack.net.n_addrs = 1;
    stack.net.no_dad = true;
    stack.tcp.secret[0] = sim.seed;
    must(hg_stack_create(&stack, sim.now, &sim.stack, &err), &err, __LINE__);
}

static void world_end(void)
{
    hg_stack_destroy(sim.stack);
    sim.lost += relay_lost(sim.relay);
    hg_shard_destroy(sim.shard);
    relay_destroy(sim.relay);
    for (unsigned i = 0; i < 2; i++) {
        hg_port_close(sim.node_wire[i]);
        hg_port_close(sim.client_wire[i]);
    }
    hg_pool_close(sim.store_pool);
    for (unsigned i = 0; i < DEVICES; i++)
        hg_bdev_close(sim.devs[i]);
    MUST(rte_mempool_in_use_count(sim.pool) == 0);
}

/* ---- the library's end of the wire ---- */

static unsigned stack_packets(void)
{
    uint8_t frame[1514];
    struct rte_mbuf *m;
    unsigned n = 0;
    ssize_t len;

    while (hg_port_rx(sim.client_wire[0], 0, &m, 1) == 1) {
        const void *bytes = rte_pktmbuf_read(m, 0, m->pkt_len, frame);

        hg_stack_input(sim.stack, bytes, m->pkt_len);
        rte_pktmbuf_free(m);
        n++;
    }
    hg_stack_run(sim.stack, sim.now);
    while ((len = hg_stack_output(sim.stack, frame, sizeof frame)) > 0) {
        m = rte_pktmbuf_alloc(sim.pool);
        MUST(m != NULL);
        memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, (size_t)len);
        if (hg_port_tx(sim.client_wire[0], 0, &m, 1) == 0)
            rte_pktmbuf_free(m);
        n++;
    }
    return n;
}

/* ---- clients ---- */

static uint8_t chargen_byte(uint32_t i)
{
    uint32_t line = i / 74, column = i % 74;

    return column == 72 ? '\r' : column == 73 ? '\n' : (uint8_t)(' ' + (line + column) % 95);
}

static uint8_t sent_byte(uint32_t i)
{
    return (uint8_t)(i * 13 + (i >> 9));
}

/* One received byte is what it should be. */
static void check_byte(struct client *c, uint8_t b)
{
    switch (c->kind) {
    case HG_TESTSVC_ECHO:
        MUST(b == sent_byte(c->got++));
        break;
    case HG_TESTSVC_CHARGEN:
        MUST(b == chargen_byte(c->got++));
        break;
    case HG_TESTSVC_HTTP:
        if (c->head < 4)
            c->head = b == "\r\n\r\n"[c->head] ? c->head + 1 : b == '\r';
        else
            MUST(b == (uint8_t)(((c->amount + c->got++) % 65521 * 2654435761u) >> 24));
        break;
    default:
        die(__LINE__, "discard says nothing");
    }
}

static void client_send(struct client *c)
{
    uint8_t buf[1000];
    ssize_t n;

    if (c->kind == HG_TESTSVC_HTTP && !c->asked) {
        n = snprintf((char *)buf, sizeof buf, "GET /%u HTTP/1.0\r\n\r\n", c->amount);
        c->asked = hg_stack_write(sim.stack, c->handle, buf, (size_t)n) == n;
    }
    if (c->kind != HG_TESTSVC_ECHO && c->kind != HG_TESTSVC_DISCARD)
        return;
    while (c->sent < c->amount) {
        uint32_t len = c->amount - c->sent < sizeof buf ? c->amount - c->sent : sizeof buf;

        for (uint32_t i = 0; i < len; i++)
            buf[i] = sent_byte(c->sent + i);
        n = hg_stack_write(sim.stack, c->handle, buf, len);
        if (n <= 0)
            return;
        c->sent += (uint32_t)n;
        if (c->sent == c->amount)
            MUST(hg_stack_shutdown(sim.stack, c->handle) == 0);
    }
}

static void client_receive(struct client *c)
{
    uint8_t buf[4096];
    ssize_t n;

    while ((n = hg_stack_read(sim.stack, c->handle, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            check_byte(c, buf[i]);
    MUST(n == 0 || n == -EAGAIN);
    if (c->kind == HG_TESTSVC_CHARGEN && c->got >= c->amount)
        hg_stack_setopt(sim.stack, c->handle, HG_STACK_LINGER0, 1); /* it never ends by itself */
    else if (n != 0)
        return;
    else
        MUST(c->got == (c->kind == HG_TESTSVC_DISCARD ? 0 : c->amount));
    MUST(hg_stack_close(sim.stack, c->handle) == 0);
    c->done = true;
}

static bool clients_run(void)
{
    bool done = true;

    for (unsigned i = 0; i < HG_TESTSVC_KINDS; i++) {
        struct client *c = &sim.clients[i];

        if (c->done)
            continue;
        client_send(c);
        client_receive(c);
        done = false;
    }
    return done;
}

static void clients_start(void)
{
    struct hg_ip node = hg_ip_from_v4(0xc0000201);

    for (unsigned kind = 0; kind < HG_TESTSVC_KINDS; kind++) {
        sim.clients[kind] = (struct client){
            .kind = (enum hg_testsvc_kind)kind,
            .amount = 1 + (uint32_t)(sim_rand(&sim.rand) % AMOUNT_MAX),
            .handle = hg_stack_connect(sim.stack, &node, (uint16_t)(PORT_FIRST + kind), 0)};
        MUST(sim.clients[kind].handle >= 0);
    }
}

/* ---- program ---- */

static void pass_time(unsigned work)
{
    const hg_ns at[] = {relay_next(sim.relay), hg_shard_next(sim.shard), hg_stack_next(sim.stack)};
    hg_ns next = sim.now + HG_MS(1);

    for (unsigned i = 0; i < HG_ARRAY_LEN(at); i++)
        if (at[i] != 0 && at[i] < next)
            next = at[i];
    sim.now = work == 0 && next > sim.now ? next : sim.now + HG_US(5);
}

static void turn(void)
{
    unsigned work = relay_run(sim.relay, sim.now);

    work += hg_shard_turn(sim.shard, sim.now);
    work += stack_packets();
    pass_time(work);
    MUST(sim.now < VIRTUAL_MAX);
}

static bool shard_has_conns(void)
{
    struct hg_conn_info info;
    unsigned cursor = 0;

    return hg_shard_conn(sim.shard, &cursor, &info);
}

static void run_seed(uint64_t seed)
{
    sim.seed = sim.rand = seed;
    sim.now = HG_SEC(1);
    world_make();
    clients_start();
    while (!clients_run())
        turn();
    while (shard_has_conns()) /* at the latest when a lost reset is found out */
        turn();
    world_end();
}

static void make_tls(void)
{
    struct hg_tls_cfg server = {.role = HG_TLS_SERVER};
    struct hg_err err = {""};

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca"});
    fx_make_cert(
        &(struct fx_cert){.file = "node", .issuer = "ca", .cn = "node", .eku = "serverAuth"});
    server.cert_file = fx_path("node", ".crt");
    server.key_file = fx_path("node", ".key");
    server.ca_file = fx_path("ca", ".crt");
    must(hg_tls_ctx_create(&server, &sim.tls, &err), &err, __LINE__);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seed = 1, seeds = 1;
    struct hg_err err = {""};
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == '?')
            return 2;
        *(opt == 's' ? &seed : &seeds) = strtoull(optarg, NULL, 10);
    }
    must(hg_stack_eal(512, &err), &err, __LINE__);
    make_tls();
    sim.pool = rte_pktmbuf_pool_create("rx", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    MUST(sim.pool != NULL);
    printf("sim_services: seeds %llu to %llu\n", (unsigned long long)seed,
           (unsigned long long)(seed + seeds - 1));
    for (uint64_t i = 0; i < seeds; i++)
        run_seed(seed + i);
    printf("sim_services: %llu seeds passed, %llu frames lost\n", (unsigned long long)seeds,
           (unsigned long long)sim.lost);
    MUST(seeds < 10 || sim.lost > 0);
    hg_tls_ctx_unref(sim.tls);
    fx_remove();
    return 0;
}
