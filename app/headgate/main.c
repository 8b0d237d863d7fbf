/* SPDX-License-Identifier: BSD-3-Clause */
/* headgate: the staging node's daemon. */
#include "node.h"
#include "vault.h"
#include <getopt.h>
#include <headgate/log.h>
#include <inttypes.h>
#include <rte_log.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static void usage(FILE *out)
{
    fputs("headgate " HEADGATE_VERSION ": staging node of a disaster-recovery replication system\n"
          "\n"
          "usage: headgate --config PROFILE [options]\n"
          "  --config FILE            profile to read (INI, see docs/configuration.md)\n"
          "  --set SECTION.KEY=VALUE  override one option; may repeat\n"
          "  --address ADDR/LEN       same as --set port.address=\n"
          "  --port N                 same as --set ingest.port=\n"
          "  --check-config           check the profile and exit\n"
          "  --dump-config            print the effective profile and exit\n"
          "  --config-reference       print all options as a table and exit\n"
          "  --verbose                log more\n"
          "  --version, --help\n"
          "\n"
          "SIGTERM finishes what is in flight and exits; SIGHUP loads certificates, CAs,\n"
          "revocation lists and pins anew.\n",
          out);
}

struct flags {
    bool check, dump, verbose;
};

static int set_prefixed(struct config *cfg, const char *key, const char *value, struct hg_err *err)
{
    char text[CFG_TEXT_MAX * 2];

    snprintf(text, sizeof text, "%s=%s", key, value);
    return config_set(cfg, text, err);
}

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"set", required_argument, NULL, 's'},
    {"address", required_argument, NULL, 'a'},
    {"port", required_argument, NULL, 'p'},
    {"check-config", no_argument, NULL, 'k'},
    {"dump-config", no_argument, NULL, 'd'},
    {"config-reference", no_argument, NULL, 'r'},
    {"verbose", no_argument, NULL, 'v'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void print_and_exit(int opt)
{
    if (opt == 'h')
        usage(stdout);
    else if (opt == 'r')
        config_reference(stdout);
    else
        puts("headgate " HEADGATE_VERSION);
    exit(0);
}

/* Two passes: the profile first, then what overrides it, whatever their order on the command line.
 */
static int parse(int argc, char **argv, struct config *cfg, struct flags *flags, struct hg_err *err)
{
    int opt, rc = 0;
    bool have_profile = false;

    while ((opt = getopt_long(argc, argv, "c:", long_options, NULL)) != -1) {
        if (opt == 'h' || opt == 'V' || opt == 'r')
            print_and_exit(opt);
        if (opt == '?')
            return hg_fail(err, -1, "see headgate --help");
        if (opt == 'c') {
            have_profile = true;
            rc = config_load(cfg, optarg, err);
            if (rc != 0)
                return rc;
        }
    }
    if (optind < argc)
        return hg_fail(err, -1, "%s: not understood; see headgate --help", argv[optind]);
    if (!have_profile)
        return hg_fail(err, -1, "--config PROFILE is missing; see headgate --help");
    optind = 1;
    while (rc == 0 && (opt = getopt_long(argc, argv, "c:", long_options, NULL)) != -1) {
        if (opt == 's')
            rc = config_set(cfg, optarg, err);
        else if (opt == 'a')
            rc = set_prefixed(cfg, "port.address", optarg, err);
        else if (opt == 'p')
            rc = set_prefixed(cfg, "ingest.port", optarg, err);
        flags->check |= opt == 'k';
        flags->dump |= opt == 'd';
        flags->verbose |= opt == 'v';
    }
    return rc == 0 ? config_check(cfg, err) : rc;
}

/* Before any thread exists, so that all inherit it: signals are read from a descriptor. */
static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void announce(const struct node *node)
{
    struct hg_pool_info info;

    hg_pool_info(node->pool, &info);
    fputs("headgate: ready: ", stdout);
    for (unsigned i = 0; i < node->n_ports; i++)
        printf("%s%s", i == 0 ? "" : ", ", node->cfg.ports[i].address);
    printf(" port %" PRIu64 ", %u shard%s, pool %s of %u devices, %u volumes, "
           "replayed %" PRIu64 " entries in %" PRIu64 " ms\n",
           node->cfg.listen, node->n_shards, node->n_shards == 1 ? "" : "s", info.uuid,
           info.n_devices, info.volumes, info.replay_entries, info.replay_ns / HG_MS(1));
    fflush(stdout);
    sd_notify(0, "READY=1");
}

int main(int argc, char **argv)
{
    static struct node node;
    struct flags flags = {false, false, false};
    struct hg_err err = {""};

    if (vault_open(&err) != 0) {
        fprintf(stderr, "headgate: %s\n", err.text);
        return 1;
    }
    config_defaults(&node.cfg);
    node.argv0 = argv[0];
    if (parse(argc, argv, &node.cfg, &flags, &err) != 0) {
        fprintf(stderr, "headgate: %s\n", err.text);
        return 2;
    }
    if (flags.dump)
        config_dump(&node.cfg, stdout);
    if (flags.check && !flags.dump)
        puts("headgate: the profile is good");
    if (flags.check || flags.dump)
        return 0;
    block_signals();
    rte_log_set_global_level(flags.verbose ? RTE_LOG_DEBUG : RTE_LOG_INFO);
    if (node_start(&node, &err) != 0) {
        fprintf(stderr, "headgate: %s\n", err.text);
        return 1;
    }
    if (vault_info().unlocked != 0)
        hg_log(HG_LOG_WARN, "node", "%s", VAULT_WARNING);
    node_launch(&node);
    announce(&node);
    node_run(&node);
    node_stop(&node);
    puts("headgate: stopped");
    return 0;
}
