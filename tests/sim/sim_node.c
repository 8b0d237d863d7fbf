/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole node and a source in one process on virtual time: packets through a bad cable, devices
 * that lose power. Everything is decided by the seed.
 *
 *     sim_node [--seed N] [--seeds COUNT]
 *
 * What must hold, for every seed:
 *  1. After each power cut the volume's bytes are those of exactly its first S operations, with S
 *     the durable sequence number the store tells, and S >= every number the source was told.
 *  2. The source ends with everything acknowledged, within bounded virtual time.
 *  3. At the end the volumes equal the model, and all packet buffers are back.
 */
#include "../unit/tls/fixture.h"
#include "relay.h"
#include "sim_source.h"
#include <errno.h>
#include <getopt.h>
#include <headgate/shard.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 3
#define DEVICE_SIZE (24u << 20)
#define OPS 150
#define VIRTUAL_MAX HG_SEC(600)
#define MUST(c) ((c) ? (void)0 : die(__LINE__, #c))

static struct sim {
    uint64_t seed, rand;
    hg_ns now;
    struct hg_port *node_wire[2], *source_wire[2];
    struct rte_mempool *pool;
    struct relay *relay;
    struct hg_bdev *mem[DEVICES], *fault[DEVICES];
    struct hg_pool *store_pool;
    struct hg_tls_ctx *server_tls, *client_tls;
    struct hg_shard *shard;
    struct sim_source *source;
    unsigned crashes, cuts;
    uint8_t want[SIM_VOLUME_SIZE];
} sim;

static void die(int line, const char *what)
{
    fprintf(stderr, "sim_node.c:%d: %s does not hold; repeat with --seed %llu --seeds 1\n", line,
            what, (unsigned long long)sim.seed);
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

/* ---- node ---- */

static void node_start(void)
{
    struct hg_shard_cfg cfg = {
        .n_shards = 1,
        .socket = SOCKET_ID_ANY,
        .ports = {{.port = sim.node_wire[0],
                   .rx_pool = sim.pool,
                   .net = {.n_addrs = 1, .no_dad = true}}},
        .n_ports = 1,
        .tcp = {.rcv_buf = 256u << 10, .secret = {sim.seed, 2}},
        .tls = sim.server_tls,
        .store = {.batch_bytes = 256u << 10},
        .ingest = {.sessions_max = 8,
                   .requests_max = 256,
                   .credit = 512u << 10,
                   .max_raw = 64u << 10,
                   .agent = "sim"},
        .arena_bytes = 8u << 20,
        .conns_max = 8,
        .tx_mbufs = 1023,
        .settle = HG_US(10), /* after a power cut nothing comes back */
    };
    struct hg_err err = {""};

    must(hg_pool_open(sim.fault, DEVICES, &sim.store_pool, &err), &err, __LINE__);
    cfg.ports[0].net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000201), 24};
    cfg.pool = sim.store_pool;
    must(hg_shard_create(&cfg, sim.now, &sim.shard, &err), &err, __LINE__);
}

/* Invariant 1 and, at the end, 3: reads the volume through the store and compares. */
struct reader {
    struct hg_store_req req;
    bool done;
};

static void read_done(struct hg_store_req *req)
{
    HG_CONTAINER_OF(req, struct reader, req)->done = true;
}

static void wait_for(struct reader *r)
{
    for (unsigned i = 0; i < 100000 && !r->done; i++) {
        sim.now += HG_US(10);
        hg_store_poll(hg_shard_store(sim.shard), sim.now);
    }
    MUST(r->done);
}

static void compare_bytes(unsigned v, uint64_t at, const uint8_t *got, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += HG_BLOCK) {
        if (memcmp(got + i, sim.want + at + i, HG_BLOCK) == 0)
            continue;
        fprintf(stderr, "volume %s, block %llu differs from the model\n", sim_volume_name(v),
                (unsigned long long)((at + i) / HG_BLOCK));
        die(__LINE__, "stored bytes equal the model");
    }
}

static void compare_volume(unsigned v)
{
    struct hg_store *store = hg_shard_store(sim.shard);
    struct hg_volume *vol = NULL;
    struct reader r = {.req = {.done = read_done}};
    struct hg_volume_info info;
    char name[64];

    snprintf(name, sizeof name, "alpha/%s", sim_volume_name(v));
    hg_store_attach(store, name, 0, &vol, &r.req);
    wait_for(&r);
    if (r.req.status == -ENOENT) {
        MUST(sim_source_acked(sim.source, v) == 0);
        return;
    }
    MUST(r.req.status == 0);
    hg_volume_info(vol, &info);
    MUST(info.durable_seq >= sim_source_acked(sim.source, v));
    sim_model(sim.seed, v, info.durable_seq, sim.want);
    for (uint64_t at = 0; at < SIM_VOLUME_SIZE; at += HG_EXTENT_MAX / 4) {
        r = (struct reader){
            .req = {.done = read_done, .vol = vol, .offset = at, .len = HG_EXTENT_MAX / 4}};
        r.req.buf = hg_arena_alloc(hg_shard_arena(sim.shard), r.req.len);
        MUST(r.req.buf != NULL);
        MUST(hg_store_read(store, &r.req) == 0);
        wait_for(&r);
        MUST(r.req.status == 0);
        compare_bytes(v, at, r.req.buf, r.req.len);
        hg_arena_free(hg_shard_arena(sim.shard), r.req.buf);
    }
    hg_store_detach(store, vol);
}

static void compare_all(void)
{
    for (unsigned v = 0; v < SIM_VOLUMES; v++)
        compare_volume(v);
}

/* Power is cut: what the devices had not flushed is kept, lost or torn; then the node starts again.
 * The shard is unmade only after the cut, so nothing it does then reaches the devices' past. */
static void node_crash(void)
{
    for (unsigned i = 0; i < DEVICES; i++)
        hg_bdev_crash(sim.fault[i]);
    relay_run(sim.relay, sim.now); /* takes the last packets out of the dying node's memory */
    hg_shard_destroy(sim.shard);
    hg_pool_close(sim.store_pool);
    node_start();
    compare_all();
    sim.crashes++;
}

/* ---- world ---- */

static void world_make(void)
{
    struct relay_cfg cable = {.seed = sim.seed, .pool = sim.pool};
    struct hg_pool_geometry geometry = {64u << 10, 1u << 20};
    struct hg_port *ends[2];
    struct hg_err err = {""};
    struct sim_source_cfg source = {.seed = sim.seed, .ops = OPS};

    cable.path.delay = HG_US(50);
    cable.path.loss_ppm = (uint32_t)(sim_rand(&sim.rand) % 3) * 5000;
    cable.path.dup_ppm = (uint32_t)(sim_rand(&sim.rand) % 2) * 5000;
    cable.path.jitter = HG_US(sim_rand(&sim.rand) % 400);
    cable.path.corrupt_ppm = (uint32_t)(sim_rand(&sim.rand) % 2) * 2000;
    must(hg_port_wire_pair(&(struct hg_wire_cfg){"node", 1, 1500, 4096}, sim.node_wire, &err), &err,
         __LINE__);
    must(hg_port_wire_pair(&(struct hg_wire_cfg){"source", 1, 1500, 4096}, sim.source_wire, &err),
         &err, __LINE__);
    ends[0] = sim.source_wire[1];
    ends[1] = sim.node_wire[1];
    sim.relay = relay_create(&cable, ends);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct hg_bdev_fault_cfg fault = {.seed = sim.seed + i,
                                          .delay_polls = (unsigned)(sim_rand(&sim.rand) % 8)};
        char name[16];

        snprintf(name, sizeof name, "dev%u", i);
        must(hg_bdev_mem_open(name, DEVICE_SIZE, &sim.mem[i], &err), &err, __LINE__);
        must(hg_bdev_fault_open(sim.mem[i], &fault, &sim.fault[i], &err), &err, __LINE__);
    }
    must(hg_pool_format(sim.fault, DEVICES, &geometry, false, &err), &err, __LINE__);
    node_start();
    source.port = sim.source_wire[0];
    source.pool = sim.pool;
    source.tls = sim.client_tls;
    sim.source = sim_source_create(&source, sim.now);
}

static void world_end(void)
{
    sim_source_destroy(sim.source);
    hg_shard_destroy(sim.shard);
    hg_pool_close(sim.store_pool);
    relay_destroy(sim.relay);
    for (unsigned i = 0; i < DEVICES; i++) {
        hg_bdev_close(sim.fault[i]);
        hg_bdev_close(sim.mem[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        hg_port_close(sim.node_wire[i]);
        hg_port_close(sim.source_wire[i]);
    }
    MUST(rte_mempool_in_use_count(sim.pool) == 0);
}

/* To the next moment at which something happens by itself, a millisecond at most. */
static void pass_time(unsigned work)
{
    const hg_ns at[] = {relay_next(sim.relay), hg_shard_next(sim.shard),
                        sim_source_next(sim.source)};
    hg_ns next = sim.now + HG_MS(1);

    if (work != 0) {
        sim.now += HG_US(2);
        return;
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(at); i++)
        if (at[i] != 0 && at[i] < next)
            next = at[i];
    sim.now = next > sim.now ? next : sim.now + HG_US(2);
}

static void run_seed(uint64_t seed)
{
    uint64_t turns = 0;
    unsigned crashes;

    sim.seed = sim.rand = seed;
    sim.now = HG_SEC(1);
    world_make();
    crashes = 1 + (unsigned)(sim_rand(&sim.rand) % 4);
    while (!sim_source_done(sim.source)) {
        unsigned work = relay_run(sim.relay, sim.now);

        work += hg_shard_turn(sim.shard, sim.now);
        work += sim_source_turn(sim.source, sim.now);
        pass_time(work);
        MUST(sim.now < VIRTUAL_MAX);
        if (++turns % 64 == 0 && crashes > 0 && sim_rand(&sim.rand) % 40 == 0) {
            crashes--;
            node_crash();
        }
        if (turns % 64 == 1 && sim_rand(&sim.rand) % 200 == 0) {
            sim_source_cut(sim.source, sim.now);
            sim.cuts++;
        }
    }
    node_crash();
    for (unsigned v = 0; v < SIM_VOLUMES; v++)
        MUST(sim_source_acked(sim.source, v) == OPS);
    world_end();
}

/* ---- program ---- */

static void make_tls(void)
{
    struct hg_tls_cfg server = {.role = HG_TLS_SERVER, .alpn = HG_PROTO_ALPN},
                      client = {.role = HG_TLS_CLIENT, .alpn = HG_PROTO_ALPN};
    struct hg_err err = {""};

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca"});
    fx_make_cert(
        &(struct fx_cert){.file = "node", .issuer = "ca", .cn = "node", .eku = "serverAuth"});
    fx_make_cert(
        &(struct fx_cert){.file = "alpha", .issuer = "ca", .cn = "alpha", .eku = "clientAuth"});
    server.cert_file = fx_path("node", ".crt");
    server.key_file = fx_path("node", ".key");
    client.cert_file = fx_path("alpha", ".crt");
    client.key_file = fx_path("alpha", ".key");
    server.ca_file = client.ca_file = fx_path("ca", ".crt");
    must(hg_tls_ctx_create(&server, &sim.server_tls, &err), &err, __LINE__);
    must(hg_tls_ctx_create(&client, &sim.client_tls, &err), &err, __LINE__);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    char *eal[] = {"sim_node",       "--no-huge", "--no-shconf", "--no-pci",      "-m", "512",
                   "--no-telemetry", "--lcores",  "0",           "--log-level=4", NULL};
    uint64_t seed = 1, seeds = 1;
    uint64_t cuts = 0;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == '?')
            return 2;
        *(opt == 's' ? &seed : &seeds) = strtoull(optarg, NULL, 10);
    }
    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0)
        return 2;
    make_tls();
    sim.pool = rte_pktmbuf_pool_create("rx", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    MUST(sim.pool != NULL);
    printf("sim_node: seeds %llu to %llu\n", (unsigned long long)seed,
           (unsigned long long)(seed + seeds - 1));
    for (uint64_t i = 0; i < seeds; i++) {
        run_seed(seed + i);
        cuts += sim.cuts;
        sim.cuts = 0;
    }
    printf("sim_node: %llu seeds passed, %u power cuts, %llu cut connections\n",
           (unsigned long long)seeds, sim.crashes, (unsigned long long)cuts);
    hg_tls_ctx_unref(sim.server_tls);
    hg_tls_ctx_unref(sim.client_tls);
    fx_remove();
    return 0;
}
