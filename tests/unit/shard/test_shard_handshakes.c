/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is let into a TLS handshake, who carries it out, and what is left afterwards: a shard with the echo
 * service over TLS at one end of a wire, the stack as a library with our own TLS at the other; virtual
 * time, helpers as the test wants them. */
#include "../tls/fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <headgate/helpers.h>
#include <headgate/shard.h>
#include <headgate/stack.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <stdatomic.h>
#include <string.h>

#define ECHO_PORT 1007
#define DEVICE_SIZE (24u << 20)
#define CLIENTS 160

/* A client: says nothing, or a part of its hello, or shakes hands and sends a word. */
struct client {
    int handle; /* -1: none */
    struct hg_tls *tls;
    struct fx_buf in, got;
    bool sent;
};

static struct world {
    hg_ns now;
    struct rte_mempool *pool;
    struct hg_tls_ctx *node_tls, *test_tls, *client_tls;
    struct hg_tls_shard *client_shard;
    struct hg_port *wire[2];
    struct hg_bdev *devs[2];
    struct hg_pool *store_pool;
    struct hg_helpers *helpers;
    struct hg_shard *shard;
    struct hg_stack *stack;
    struct client client[CLIENTS];
    unsigned steps_per_turn; /* that helpers carry out, on this thread */
} w;

/* ---- world ---- */

static void make_store(void)
{
    struct hg_pool_geometry geometry = {64u << 10, 1u << 20};

    for (unsigned i = 0; i < 2; i++)
        FX_MUST(hg_bdev_mem_open("mem", DEVICE_SIZE, &w.devs[i], NULL) == 0);
    FX_MUST(hg_pool_format(w.devs, 2, &geometry, false, NULL) == 0);
    FX_MUST(hg_pool_open(w.devs, 2, &w.store_pool, NULL) == 0);
}

static struct hg_net_prefix address6(const char *text)
{
    struct hg_net_prefix p;

    FX_MUST(hg_ip_parse_prefix(text, &p.ip, &p.len) == 0);
    return p;
}

static void make_shard(struct hg_shard_cfg cfg)
{
    struct hg_err err = {""};

    cfg.n_shards = 1;
    cfg.socket = SOCKET_ID_ANY;
    cfg.n_ports = 1;
    cfg.ports[0] = (struct hg_shard_port){
        .port = w.wire[0], .rx_pool = w.pool, .net = {.n_addrs = 2, .no_dad = true}};
    cfg.ports[0].net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000201), 24};
    cfg.ports[0].net.addrs[1] = address6("2001:db8::1/64");
    cfg.tcp.rcv_buf = 64u << 10;
    cfg.tcp.snd_buf = 128u << 10;
    cfg.tcp.secret[0] = 1;
    cfg.tls = w.node_tls;
    cfg.test.tls = w.test_tls;
    cfg.test.svc.conns_max = CLIENTS;
    cfg.test.port_tls[HG_TESTSVC_ECHO] = ECHO_PORT;
    cfg.ingest.sessions_max = 8;
    cfg.ingest.requests_max = 64;
    cfg.ingest.credit = 512u << 10;
    cfg.arena_bytes = 4u << 20;
    cfg.conns_max = 8;
    cfg.tx_mbufs = 1023;
    cfg.helpers = w.helpers;
    cfg.pool = w.store_pool;
    if (hg_shard_create(&cfg, w.now, &w.shard, &err) != 0)
        fx_die(__FILE__, __LINE__, err.text);
}

static void world_make(const struct hg_shard_cfg *cfg, bool with_helpers)
{
    struct hg_stack_cfg stack = {.mac = {0x02, 0, 0, 0, 0, 0x02}, .bufs = 2047};
    struct hg_wire_cfg wire = {"w", 1, 1500, 4096};
    struct hg_helpers_cfg helpers = {.n_shards = 1, .socket = SOCKET_ID_ANY};

    w.now = HG_SEC(1);
    w.steps_per_turn = 1;
    FX_MUST(hg_port_wire_pair(&wire, w.wire, NULL) == 0);
    w.helpers = NULL;
    if (with_helpers)
        FX_MUST(hg_helpers_create(&helpers, &w.helpers, NULL) == 0);
    make_store();
    make_shard(*cfg);
    stack.net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000202), 24};
    stack.net.addrs[1] = address6("2001:db8::2/64");
    stack.net.n_addrs = 2;
    stack.net.no_dad = true;
    stack.tcp.conns_max = 2 * CLIENTS;
    stack.tcp.secret[0] = 7;
    FX_MUST(hg_stack_create(&stack, w.now, &w.stack, NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        w.client[i] = (struct client){.handle = -1};
}

static void client_free(struct client *c)
{
    if (c->handle >= 0)
        hg_stack_close(w.stack, c->handle);
    hg_tls_destroy(c->tls);
    fx_free(&c->in);
    fx_free(&c->got);
    *c = (struct client){.handle = -1};
}

static void world_end(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        client_free(&w.client[i]);
    hg_stack_destroy(w.stack);
    hg_port_close(w.wire[0]);
    hg_port_close(w.wire[1]);
    hg_shard_destroy(w.shard);
    hg_helpers_destroy(w.helpers);
    hg_pool_close(w.store_pool);
    for (unsigned i = 0; i < 2; i++)
        hg_bdev_close(w.devs[i]);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(w.pool), 0);
}

/* ---- clients ---- */

static struct client *dial_to(unsigned i, struct hg_ip node)
{
    struct client *c = &w.client[i];

    c->handle = hg_stack_connect(w.stack, &node, ECHO_PORT, 0);
    FX_MUST(c->handle >= 0);
    FX_MUST(hg_tls_create(w.client_tls, w.client_shard, &c->tls) == 0);
    return c;
}

static struct client *dial(unsigned i)
{
    return dial_to(i, hg_ip_from_v4(0xc0000201));
}

/* One look at a client that does what it should; true when its word came back. */
static bool client_run(struct client *c)
{
    uint8_t buf[4096];
    struct fx_buf out = {0};
    ssize_t n;

    if ((hg_stack_poll(w.stack, c->handle) & HG_STACK_OUT) == 0)
        return false;
    while ((n = hg_stack_read(w.stack, c->handle, buf, sizeof buf)) > 0)
        fx_put(&c->in, buf, (size_t)n);
    fx_open(c->tls, &c->in, 0, &c->got);
    fx_take(c->tls, &out, 0);
    if (hg_tls_state(c->tls) == HG_TLS_OPEN && !c->sent) {
        FX_MUST(fx_seal(c->tls, "word", 4, 4, &out) == 0);
        c->sent = true;
    }
    if (out.len != 0)
        FX_MUST(hg_stack_write(w.stack, c->handle, out.p, out.len) == (ssize_t)out.len);
    fx_free(&out);
    return c->got.len == 4 && memcmp(c->got.p, "word", 4) == 0;
}

static bool client_gone(const struct client *c)
{
    return (hg_stack_poll(w.stack, c->handle) & (HG_STACK_ERR | HG_STACK_HUP)) != 0;
}

/* ---- time ---- */

static void carry(void)
{
    uint8_t frame[1514];
    struct rte_mbuf *m;
    ssize_t len;

    while (hg_port_rx(w.wire[1], 0, &m, 1) == 1) {
        hg_stack_input(w.stack, rte_pktmbuf_read(m, 0, m->pkt_len, frame), m->pkt_len);
        rte_pktmbuf_free(m);
    }
    hg_stack_run(w.stack, w.now);
    while ((len = hg_stack_output(w.stack, frame, sizeof frame)) > 0) {
        m = rte_pktmbuf_alloc(w.pool);
        FX_MUST(m != NULL);
        memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, (size_t)len);
        if (hg_port_tx(w.wire[1], 0, &m, 1) == 0)
            rte_pktmbuf_free(m);
    }
}

static void turn(hg_ns step)
{
    hg_shard_turn(w.shard, w.now);
    if (w.helpers != NULL)
        hg_helpers_work(w.helpers, w.steps_per_turn);
    carry();
    w.now += step;
}

static void run_for(hg_ns time)
{
    for (hg_ns end = w.now + time; w.now < end;)
        turn(HG_US(500));
}

/* Sends len bytes of the hello, 0: all of it; the client says no more by itself. */
static void say(struct client *c, size_t len)
{
    struct fx_buf hello = {0};

    while ((hg_stack_poll(w.stack, c->handle) & HG_STACK_OUT) == 0)
        turn(HG_US(100));
    fx_take(c->tls, &hello, 0);
    len = len == 0 ? hello.len : len;
    FX_MUST(hg_stack_write(w.stack, c->handle, hello.p, len) == (ssize_t)len);
    fx_free(&hello);
}

/* Runs the first n clients until all have their word back; returns how many do in 5 s. */
static unsigned run_clients(unsigned n)
{
    unsigned done = 0;

    for (hg_ns end = w.now + HG_SEC(5); w.now < end && done < n;) {
        turn(HG_US(100));
        done = 0;
        for (unsigned i = 0; i < n; i++)
            done += client_run(&w.client[i]);
    }
    return done;
}

static uint64_t count(const char *name)
{
    struct hg_counter_set sets[16];
    unsigned n = hg_shard_counter_sets(w.shard, sets, 16);

    for (unsigned s = 0; s < n; s++)
        for (unsigned i = 0; i < sets[s].n; i++)
            if (strcmp(sets[s].desc[i].name, name) == 0)
                return sets[s].value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}

/* ---- tests ---- */

static void all_served(bool helpers)
{
    world_make(&(struct hg_shard_cfg){.conns_max = 0}, helpers);
    for (unsigned i = 0; i < 40; i++)
        dial(i);
    CU_ASSERT_EQUAL(run_clients(40), 40);
    CU_ASSERT_EQUAL(count("handshakes"), 40);
    CU_ASSERT_EQUAL(count("handshake_steps"), 2 * 40 + 40); /* hello, CCS, Finished */
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 0);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).out, 0);
    world_end();
}

static void test_on_shard(void)
{
    all_served(false);
}

static void test_on_helpers(void)
{
    all_served(true);
}

/* One whose data never ends is served before strangers: they get a quarter of the turns. */
static void test_data_first(void)
{
    const unsigned turns = 400;
    uint64_t before;

    world_make(&(struct hg_shard_cfg){.conns_max = 0}, false);
    dial(0);
    CU_ASSERT_EQUAL(run_clients(1), 1);
    for (unsigned i = 1; i < CLIENTS; i++)
        dial(i);
    run_for(HG_MS(10));
    for (unsigned i = 1; i < CLIENTS; i++)
        say(&w.client[i], 0);
    before = count("handshake_steps");
    for (unsigned i = 0; i < turns; i++) {
        struct fx_buf out = {0};

        FX_MUST(fx_seal(w.client[0].tls, "more", 4, 4, &out) == 0);
        FX_MUST(hg_stack_write(w.stack, w.client[0].handle, out.p, out.len) == (ssize_t)out.len);
        fx_free(&out);
        turn(HG_US(100));
    }
    CU_ASSERT(count("handshakes_yielded") >= turns / 2);
    CU_ASSERT(count("handshake_steps") - before <= turns / 4 + 1);
    CU_ASSERT(count("handshake_steps") - before >= turns / 8);
    world_end();
}

/* More than may be out at once. */
static void test_hands_full(void)
{
    world_make(&(struct hg_shard_cfg){.conns_max = 0}, true);
    w.steps_per_turn = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        say(dial(i), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).out, HG_HELPER_STEPS);
    CU_ASSERT(count("handshakes_waited") > 0);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, CLIENTS);
    w.steps_per_turn = 16;
    CU_ASSERT_EQUAL(run_clients(CLIENTS), CLIENTS);
    world_end();
}

/* Their connections end, time out, or the whole shard goes, while steps are out. */
static void test_ends_meanwhile(void)
{
    world_make(&(struct hg_shard_cfg){.handshake_timeout = HG_SEC(2)}, true);
    w.steps_per_turn = 0;
    for (unsigned i = 0; i < 30; i++)
        say(dial(i), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).out, 30);
    for (unsigned i = 0; i < 10; i++) {
        hg_stack_setopt(w.stack, w.client[i].handle, HG_STACK_LINGER0, 1);
        client_free(&w.client[i]);
    }
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 20);
    hg_helpers_work(w.helpers, 5); /* of them, in vain */
    run_for(HG_SEC(2));
    CU_ASSERT_EQUAL(count("handshake_timeouts"), 20);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).out, 25);
    hg_helpers_work(w.helpers, 10);
    world_end(); /* 10 are back and not taken, 15 not begun: the sanitizer knows what is lost */
}

/* At the cap newer ones are refused for a second, then the oldest goes. An established connection
 * notices nothing, and places for sessions are not taken. */
static void test_cap(void)
{
    world_make(&(struct hg_shard_cfg){.handshakes_max = 10}, true);
    dial(0);
    CU_ASSERT_EQUAL(run_clients(1), 1);
    for (unsigned i = 1; i <= 12; i++)
        say(dial(i), i % 3 == 0 ? 0 : 5 * (i % 3));
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 10);
    CU_ASSERT_EQUAL(count("handshakes_full"), 2);
    CU_ASSERT(client_gone(&w.client[11]) && client_gone(&w.client[12]));
    run_for(HG_SEC(1));
    dial(20);
    for (unsigned i = 0; i < 100 && !client_run(&w.client[20]); i++)
        turn(HG_US(500));
    CU_ASSERT(client_run(&w.client[20]));
    CU_ASSERT_EQUAL(count("handshakes_evicted"), 1);
    CU_ASSERT(client_gone(&w.client[1]) && !client_gone(&w.client[2]));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 9);
    w.client[0].sent = false;
    w.client[0].got.len = 0;
    CU_ASSERT_EQUAL(run_clients(1), 1);
    world_end();
}

static void test_prefix(void)
{
    world_make(&(struct hg_shard_cfg){.prefix_max = 3}, false);
    for (unsigned i = 0; i < 5; i++)
        say(dial(i), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(count("handshakes_prefix"), 2);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 3);
    for (unsigned i = 10; i < 15; i++) /* a prefix of its own */
        say(dial_to(i, address6("2001:db8::1/64").ip), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(count("handshakes_prefix"), 4);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 6);
    for (unsigned i = 0; i < 15; i++)
        client_free(&w.client[i]);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 0);
    for (unsigned i = 0; i < 30; i += 3) { /* whoever is through no longer counts */
        for (unsigned j = i; j < i + 3; j++)
            dial(j);
        CU_ASSERT_EQUAL(run_clients(i + 3), i + 3);
    }
    CU_ASSERT_EQUAL(count("handshakes_prefix"), 4);
    world_end();
}

static void test_rate(void)
{
    world_make(&(struct hg_shard_cfg){.handshake_rate = 10}, false);
    for (unsigned i = 0; i < 14; i++)
        say(dial(i), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(count("handshakes_rate"), 4);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 10);
    run_for(HG_MS(300)); /* 3 tokens */
    for (unsigned i = 20; i < 25; i++)
        say(dial(i), 0);
    run_for(HG_MS(50));
    CU_ASSERT_EQUAL(count("handshakes_rate"), 4 + 2);
    world_end();
}

/* Nothing, half a hello, or a hello and nothing more: each has its time. */
static void test_timeouts(void)
{
    world_make(&(struct hg_shard_cfg){.client_hello_timeout = HG_SEC(1),
                                      .handshake_timeout = HG_SEC(3),
                                      .linger = HG_MS(100)},
               true);
    dial(0);
    say(dial(1), 40);
    say(dial(2), 0);
    run_for(HG_MS(900));
    CU_ASSERT_EQUAL(count("hello_timeouts"), 0);
    run_for(HG_MS(300));
    CU_ASSERT_EQUAL(count("hello_timeouts"), 2);
    CU_ASSERT(client_gone(&w.client[0]) && client_gone(&w.client[1]));
    run_for(HG_MS(1500));
    CU_ASSERT_EQUAL(count("handshake_timeouts"), 0);
    run_for(HG_MS(500));
    CU_ASSERT_EQUAL(count("handshake_timeouts"), 1);
    CU_ASSERT_EQUAL(count("hello_timeouts"), 2);
    CU_ASSERT(client_gone(&w.client[2]));
    run_for(HG_SEC(1));
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, 0);
    world_end();
}

/* A hello that is there and waits for helpers has come in time. */
static void test_waits_its_turn(void)
{
    world_make(
        &(struct hg_shard_cfg){.client_hello_timeout = HG_SEC(1), .handshake_timeout = HG_SEC(3)},
        true);
    w.steps_per_turn = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        say(dial(i), 0);
    run_for(HG_MS(1500));
    CU_ASSERT_EQUAL(count("hello_timeouts"), 0);
    CU_ASSERT_EQUAL(hg_shard_handshakes(w.shard).open, CLIENTS);
    run_for(HG_SEC(2));
    CU_ASSERT_EQUAL(count("handshake_timeouts"), CLIENTS);
    CU_ASSERT_EQUAL(count("hello_timeouts"), 0);
    world_end();
}

/* ---- real threads ---- */

static atomic_bool stop;

static void *helper(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        hg_helpers_work(w.helpers, 4);
    return NULL;
}

static void test_threads(void)
{
    /* Virtual time runs on while the threads wait for a CPU. */
    struct hg_shard_cfg cfg = {.client_hello_timeout = HG_SEC(100000),
                               .handshake_timeout = HG_SEC(100000),
                               .test = {.svc = {.idle = HG_SEC(100000)}}};
    pthread_t thread[3];

    world_make(&cfg, true);
    w.steps_per_turn = 0;
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 3; i++)
        FX_MUST(pthread_create(&thread[i], NULL, helper, NULL) == 0);
    for (unsigned i = 0; i < 100; i++)
        dial(i);
    for (unsigned tries = 0; tries < 100 && run_clients(100) < 100; tries++)
        ;
    CU_ASSERT_EQUAL(run_clients(100), 100);
    CU_ASSERT_EQUAL(count("handshakes"), 100);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    world_end();
}

static unsigned woken;

static void wake(void *arg)
{
    (void)arg;
    woken++;
}

/* A helper that says it sleeps is woken by the next step, and not without need. */
static void test_wake(void)
{
    struct hg_helpers_cfg cfg = {.n_shards = 2, .socket = SOCKET_ID_ANY, .wake = wake};
    struct hg_helper_job job = {0}, *back;
    struct hg_helpers *h;

    FX_MUST(hg_helpers_create(&cfg, &h, NULL) == 0);
    hg_helpers_put(h, 1, &job);
    CU_ASSERT_EQUAL(woken, 0);
    CU_ASSERT(!hg_helpers_doze(h));
    CU_ASSERT_EQUAL(hg_helpers_recall(h, 0, &back, 1), 0);
    CU_ASSERT_EQUAL(hg_helpers_recall(h, 1, &back, 1), 1);
    CU_ASSERT_PTR_EQUAL(back, &job);
    CU_ASSERT(hg_helpers_doze(h));
    hg_helpers_put(h, 0, &job);
    CU_ASSERT_EQUAL(woken, 1);
    hg_helpers_up(h);
    CU_ASSERT_EQUAL(hg_helpers_recall(h, 0, &back, 1), 1);
    hg_helpers_put(h, 0, &job);
    CU_ASSERT_EQUAL(woken, 1);
    CU_ASSERT_EQUAL(hg_helpers_recall(h, 0, &back, 1), 1);
    hg_helpers_destroy(h);
}

/* ---- program ---- */

static void make_contexts(void)
{
    struct hg_tls_cfg node = {.role = HG_TLS_SERVER,
                              .cert_file = fx_path("node", ".crt"),
                              .key_file = fx_path("node", ".key"),
                              .ca_file = fx_path("ca", ".crt")};
    struct hg_tls_cfg test = node;
    struct hg_tls_cfg client = {.role = HG_TLS_CLIENT, .ca_file = fx_path("ca", ".crt")};

    test.client_cert = HG_TLS_CERT_OFF;
    test.ca_file = NULL;
    FX_MUST(hg_tls_ctx_create(&node, &w.node_tls, NULL) == 0);
    FX_MUST(hg_tls_ctx_create(&test, &w.test_tls, NULL) == 0);
    FX_MUST(hg_tls_ctx_create(&client, &w.client_tls, NULL) == 0);
    FX_MUST(hg_tls_shard_create(&w.client_shard, NULL) == 0);
}

static void add_tests(CU_pSuite suite)
{
    CU_add_test(suite, "without helpers the shard serves all", test_on_shard);
    CU_add_test(suite, "without helpers data comes first", test_data_first);
    CU_add_test(suite, "with helpers all are served", test_on_helpers);
    CU_add_test(suite, "helpers on threads of their own serve all", test_threads);
    CU_add_test(suite, "handshakes wait for helpers with their hands full", test_hands_full);
    CU_add_test(suite, "connections and the shard may go while steps are out", test_ends_meanwhile);
    CU_add_test(suite, "a helper that sleeps is woken", test_wake);
    CU_add_test(suite, "at the cap the newest is refused, or an old one goes", test_cap);
    CU_add_test(suite, "a prefix has its share of handshakes", test_prefix);
    CU_add_test(suite, "handshakes begin at a bounded rate", test_rate);
    CU_add_test(suite, "each state has its time, and is counted", test_timeouts);
    CU_add_test(suite, "a hello that waits for its turn has come in time", test_waits_its_turn);
}

int main(void)
{
    unsigned failures;
    CU_pSuite suite;

    FX_MUST(hg_stack_eal(768, NULL) == 0);
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca"});
    fx_make_cert(&(struct fx_cert){
        .file = "node", .issuer = "ca", .cn = "node", .san = "DNS:node", .eku = "serverAuth"});
    make_contexts();
    w.pool = rte_pktmbuf_pool_create("rx", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    FX_MUST(w.pool != NULL);
    CU_initialize_registry();
    suite = CU_add_suite("shard_handshakes", NULL, NULL);
    add_tests(suite);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 12);
    CU_cleanup_registry();
    hg_tls_shard_destroy(w.client_shard);
    hg_tls_ctx_unref(w.client_tls);
    hg_tls_ctx_unref(w.test_tls);
    hg_tls_ctx_unref(w.node_tls);
    rte_mempool_free(w.pool);
    fx_remove();
    return failures != 0;
}
