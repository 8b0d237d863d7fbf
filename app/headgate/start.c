/* SPDX-License-Identifier: BSD-3-Clause */
/* Start in stages. A stage that fails has undone itself; node_start() undoes those before it. */
#include "access.h"
#include "devices.h"
#include "memory.h"
#include "netcfg.h"
#include "node.h"
#include <headgate/units.h>
#include <errno.h>
#include <inttypes.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <signal.h>
#include <unistd.h>

#define EAL_ARGS_MAX 64
#define TEST_SND_BUF                                                                               \
    (16u << 20) /* bytes: test services send in bulk, the native protocol does not */

struct eal_args {
    char *argv[EAL_ARGS_MAX + 1];
    int argc;
};

static void eal_arg(struct eal_args *a, const char *text)
{
    if (a->argc < EAL_ARGS_MAX)
        a->argv[a->argc++] = strdup(text);
}

/* ---- EAL ---- */

/* "0@control,1@shard0,...": thread 0 is control, the others are shards. */
static int lcore_plan(const struct config *cfg, char *plan, size_t size, struct hg_err *err)
{
    char shards[CFG_TEXT_MAX];
    char *save = NULL;
    unsigned id = 1;
    int len;
    uint64_t cpu;

    if (hg_units_count(cfg->control_cpu, &cpu) != 0)
        return hg_fail(err, -EINVAL, "[cpu] control = %s: one CPU number is allowed",
                       cfg->control_cpu);
    if (!cfg->pin) {
        snprintf(plan, size, "(0-%u)@(0-%ld)", memory_shards(cfg),
                 sysconf(_SC_NPROCESSORS_ONLN) - 1);
        return 0;
    }
    len = snprintf(plan, size, "0@%" PRIu64, cpu);
    snprintf(shards, sizeof shards, "%s", cfg->shard_cpus);
    for (char *p = strtok_r(shards, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        if (hg_units_count(p, &cpu) != 0 || id > HG_STORE_SHARDS_MAX)
            return hg_fail(err, -EINVAL, "[cpu] shards = %s: CPU numbers separated by commas",
                           cfg->shard_cpus);
        len += snprintf(plan + len, size - (size_t)len, ",%u@%" PRIu64, id++, cpu);
    }
    return 0;
}

static int stage_eal(struct node *node, struct hg_err *err)
{
    const struct config *cfg = &node->cfg;
    struct eal_args a = {.argc = 0};
    char plan[512], text[64], nodes[PLACE_MEMORY_TEXT], extra[CFG_TEXT_MAX];
    char *save = NULL;
    int rc = lcore_plan(cfg, plan, sizeof plan, err);

    if (rc != 0)
        return rc;
    node->n_shards = memory_shards(cfg);
    eal_arg(&a, node->argv0);
    eal_arg(&a, "--lcores");
    eal_arg(&a, plan);
    eal_arg(&a, "--main-lcore");
    eal_arg(&a, "0");
    if (!cfg->huge)
        eal_arg(&a, "--no-huge");
    place_memory(cfg, nodes);
    eal_arg(&a, nodes[0] != '\0' ? "--socket-mem" : "-m");
    snprintf(text, sizeof text, "%" PRIu64, (memory_total(cfg) + (1 << 20) - 1) >> 20);
    eal_arg(&a, nodes[0] != '\0' ? nodes : text);
    if (!cfg->pci)
        eal_arg(&a, "--no-pci");
    snprintf(text, sizeof text, "--file-prefix=hg%d", (int)getpid());
    eal_arg(&a, text);
    if (cfg->file_prefix[0] != '\0') {
        free(a.argv[--a.argc]);
        snprintf(extra, sizeof extra, "--file-prefix=%.200s", cfg->file_prefix);
        eal_arg(&a, extra);
    }
    if (pool_wants_vfio(cfg))
        eal_arg(&a, "--iova-mode=va"); /* else EAL may choose PA where it probes no PCI device */
    for (unsigned i = 0; i < netcfg_ports(cfg); i++) {
        if (cfg->ports[i].vdev[0] == '\0')
            continue;
        eal_arg(&a, "--vdev");
        eal_arg(&a, cfg->ports[i].vdev);
    }
    snprintf(extra, sizeof extra, "%s", cfg->eal_args);
    for (char *p = strtok_r(extra, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
        eal_arg(&a, p);
    if (rte_eal_init(a.argc, a.argv) < 0)
        return hg_fail(err, -rte_errno,
                       "EAL did not start: %s; see its lines above. Without hugepages set [eal] "
                       "huge = no; without root run inside: unshare -rnm",
                       rte_strerror(rte_errno));
    rundir_note(node->rundir);
    rundir_sweep(node->rundir);
    return 0;
}

static void undo_eal(struct node *node)
{
    rte_eal_cleanup();
    rundir_remove(node->rundir);
}

/* ---- TLS ---- */

static int stage_tls(struct node *node, struct hg_err *err)
{
    return node_tls_contexts(&node->cfg, &node->tls, err);
}

static void undo_tls(struct node *node)
{
    node_tls_sweep(node, true);
    node_tls_unref(&node->tls);
}

/* ---- shards ---- */

static void shard_test(const struct node *node, struct hg_shard_cfg *out)
{
    const struct config *cfg = &node->cfg;

    out->tcp.snd_buf = TEST_SND_BUF;
    out->test.svc.conns_max = (uint32_t)cfg->test_conns;
    out->test.svc.idle = cfg->test_idle;
    out->test.tls = node->tls.test;
    access_parse(&cfg->test_access, "test", &out->test.allow,
                 NULL); /* config_check() let it pass */
    for (unsigned kind = 0; kind < HG_TESTSVC_KINDS; kind++) {
        out->test.port[kind] = (uint16_t)cfg->test_port[kind];
        out->test.port_tls[kind] = (uint16_t)cfg->test_port_tls[kind];
    }
}

static void shard_port(const struct node *node, unsigned n, unsigned shard,
                       struct hg_shard_port *out)
{
    *out = (struct hg_shard_port){.port = node->ports[n].port,
                                  .rx_pool = node->ports[n].rx_pool[shard]};
    /* config_check() has let it pass */
    netcfg_parse(&node->cfg.ports[n], netcfg_section(n), &out->net, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(out->net.secret); i++)
        out->net.secret[i] = rte_rand();
}

static enum hg_tls_batch tls_batch(const struct config *cfg)
{
    if (strcmp(cfg->provider, "openssl") == 0)
        return HG_TLS_BATCH_SINGLE; /* it has no jobs: nothing to measure */
    if (strcmp(cfg->tls_batch, "auto") == 0)
        return HG_TLS_BATCH_AUTO;
    return strcmp(cfg->tls_batch, "batch") == 0 ? HG_TLS_BATCH_JOBS : HG_TLS_BATCH_SINGLE;
}

static void shard_cfg(const struct node *node, unsigned id, struct hg_shard_cfg *out)
{
    const struct config *cfg = &node->cfg;

    *out = (struct hg_shard_cfg){
        .id = id,
        .n_shards = node->n_shards,
        .socket = place_shard(node, id),
        .n_ports = node->n_ports,
        .tcp = {.conns_max = (uint32_t)cfg->tcp_conns,
                .rcv_buf = (uint32_t)cfg->rcv_buf,
                .rcv_mem_max = cfg->rcv_mem,
                .mss = (uint16_t)cfg->mss,
                .keepalive_idle = cfg->keepalive,
                .closed_silent = strcmp(cfg->closed_ports, "silent") == 0},
        .tls = node->tls.ingest,
        .tls_batch = tls_batch(cfg),
        .tls_clock = clock_now,
        .tls_anonymous = strcmp(cfg->tls.client_cert, "required") != 0,
        .pool = node->pool,
        .store = {.depth = (unsigned)cfg->depth,
                  .batch_bytes = (uint32_t)cfg->batch,
                  .commit_delay = cfg->commit_delay},
        .ingest = {.agent = "headgate/" HEADGATE_VERSION,
                   .volumes_max = (uint32_t)cfg->volumes,
                   .requests_max = (uint32_t)cfg->requests,
                   .max_raw = (uint32_t)cfg->max_raw,
                   .credit = (uint32_t)cfg->credit,
                   .hello_timeout = cfg->hello_timeout,
                   .frame_timeout = cfg->frame_timeout,
                   .idle = cfg->idle,
                   .write_timeout = cfg->write_timeout,
                   .no_space_retry_ms = (uint32_t)(cfg->no_space_retry / HG_MS(1))},
        .arena_bytes = cfg->buffers,
        .conns_max = (uint32_t)cfg->connections,
        .listen_port = (uint16_t)cfg->listen,
        .helpers = node->helpers.pool,
        .handshakes_max = (uint32_t)cfg->handshakes_max,
        .prefix_max = (uint32_t)cfg->prefix_max,
        .handshake_rate = (uint32_t)cfg->handshake_rate,
        .client_hello_timeout = cfg->client_hello_timeout,
        .handshake_timeout = cfg->handshake_timeout,
    };
    access_parse(&cfg->access, "ingest", &out->allow, NULL); /* config_check() let it pass */
    if (cfg->test_services)
        shard_test(node, out);
    for (unsigned i = 0; i < node->n_ports; i++)
        shard_port(node, i, id, &out->ports[i]);
}

/* The ports go first: their rings hold packets from the shards' pools. */
static void undo_shards(struct node *node)
{
    ports_stop(node);
    helpers_stop(node);
    for (unsigned i = 0; i < node->n_shards; i++) {
        hg_shard_destroy(node->shards[i]);
        node->shards[i] = NULL;
    }
}

static int stage_shards(struct node *node, struct hg_err *err)
{
    for (unsigned i = 0; i < node->n_shards; i++) {
        struct hg_shard_cfg cfg;
        int rc;

        shard_cfg(node, i, &cfg);
        /* Outsiders see what is derived from it (sequence numbers, SYN cookies). */
        if (getrandom(cfg.tcp.secret, sizeof cfg.tcp.secret, 0) != sizeof cfg.tcp.secret) {
            undo_shards(node);
            return hg_fail(err, -EIO, "no random numbers from the system");
        }
        place_prefer(cfg.socket);
        rc = hg_shard_create(&cfg, clock_now(), &node->shards[i], err);
        place_prefer(SOCKET_ID_ANY);
        if (rc != 0) {
            undo_shards(node);
            return rc;
        }
    }
    for (unsigned i = 0; i < node->n_shards; i++)
        hg_shard_peers(node->shards[i], node->shards, node->n_shards);
    return 0;
}

/* ---- control ---- */

static int stage_control(struct node *node, struct hg_err *err)
{
    sigset_t set;
    int rc = control_open(node->cfg.socket, &node->listen_fd, err);

    if (rc != 0)
        return rc;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    node->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (node->signal_fd < 0) {
        rc = hg_fail(err, -errno, "signalfd: %s", strerror(errno));
        close(node->listen_fd);
        unlink(node->cfg.socket);
        return rc;
    }
    return telemetry_register(node);
}

static void undo_control(struct node *node)
{
    close(node->signal_fd);
    close(node->listen_fd);
    unlink(node->cfg.socket);
}

/* ---- all ---- */

/* pool.c tells why devices come in two stages. */
static const struct stage {
    const char *name;
    int (*start)(struct node *node, struct hg_err *err);
    void (*undo)(struct node *node);
} stages[] = {
    {"devices", pool_devices, pool_undo_devices},
    {"tls", stage_tls, undo_tls},
    {"eal", stage_eal, undo_eal},
    {"controllers", pool_controllers, pool_undo_controllers},
    {"pool", pool_start, pool_undo},
    {"ports", ports_open, ports_close},
    {"helpers", helpers_stage, helpers_undo},
    {"watch", devices_watch, devices_unwatch},
    {"shards", stage_shards, undo_shards},
    {"control", stage_control, undo_control},
};

static void undo_from(struct node *node, unsigned n)
{
    while (n > 0)
        stages[--n].undo(node);
}

int node_start(struct node *node, struct hg_err *err)
{
    node->started = clock_now();
    helpers_see_cpus(node);
    for (unsigned i = 0; i < HG_ARRAY_LEN(stages); i++) {
        int rc = stages[i].start(node, err);

        if (rc != 0) {
            undo_from(node, i);
            return rc;
        }
    }
    place_warn(node);
    return 0;
}

void node_stop(struct node *node)
{
    undo_from(node, HG_ARRAY_LEN(stages));
}
