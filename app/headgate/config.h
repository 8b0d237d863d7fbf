/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Profiles: INI files read with rte_cfgfile. Every option is one row of the table in config.c, from
 * which parsing, range checks, --dump-config and the reference in docs/configuration.md are made.
 * Sizes and times carry their unit (64K, 1M, 10G; 500us, 40ms, 10s, 5m).
 */
#ifndef HG_APP_CONFIG_H
#define HG_APP_CONFIG_H

#include <headgate/base.h>
#include <headgate/shard.h>
#include <headgate/store.h>
#include <headgate/testsvc.h>
#include <stdbool.h>
#include <stdio.h>

#define CFG_HELPERS_MAX 32
#define CFG_TEXT_MAX 256

/* [port], [port1], ... */
struct config_port {
    char vdev[CFG_TEXT_MAX];
    char device[CFG_TEXT_MAX];
    char address[CFG_TEXT_MAX];
    char gateway[CFG_TEXT_MAX];
    char routes[CFG_TEXT_MAX];
    uint64_t vlan;
    bool slaac, detect_conflicts;
    uint64_t mtu, rx_desc, tx_desc, rx_mbufs, rx_buffer;
    char spread[CFG_TEXT_MAX];
    bool lro;
    bool trust_checksums;
};

/* What a listener accepts: [tls], and [test] for the test services. */
struct config_tls {
    char min_version[CFG_TEXT_MAX], max_version[CFG_TEXT_MAX]; /* "1.2" or "1.3" */
    char suites[CFG_TEXT_MAX], groups[CFG_TEXT_MAX];           /* "": all */
    char client_cert[CFG_TEXT_MAX];                            /* "required", "asked", "off" */
};

/* Who may come to a listener: [ingest], and [test] for the test services; access.h. */
#define CFG_ALLOW_KEYS 4
struct config_access {
    char class[CFG_TEXT_MAX]; /* "public", "restricted" or "enumerated" */
    char allow[CFG_ALLOW_KEYS][CFG_TEXT_MAX];
};

struct config {
    /* [node] */
    char profile[CFG_TEXT_MAX];
    /* [eal] */
    bool huge;
    uint64_t memory; /* bytes for EAL without hugepages, 0: as much as the profile needs */
    char eal_args[CFG_TEXT_MAX];
    char file_prefix[CFG_TEXT_MAX];
    bool pci;
    /* [cpu] */
    char control_cpu[CFG_TEXT_MAX];
    char shard_cpus[CFG_TEXT_MAX];
    bool pin;
    hg_ns idle_sleep;
    /* [port], [port1] to [port3]: there are as many as netcfg_ports() says */
    struct config_port ports[HG_SHARD_PORTS_MAX];
    char closed_ports[CFG_TEXT_MAX]; /* [port] only: of the node */
    /* [tcp] */
    uint64_t rcv_buf, rcv_mem, tcp_conns, mss;
    hg_ns keepalive;
    /* [tls] */
    char cert[CFG_TEXT_MAX], key[CFG_TEXT_MAX], ca[CFG_TEXT_MAX];
    char crl[CFG_TEXT_MAX], pins[CFG_TEXT_MAX];
    bool pins_only;
    uint64_t expiry_warning; /* days */
    char keylog[CFG_TEXT_MAX];
    char tls_batch[CFG_TEXT_MAX];
    char provider[CFG_TEXT_MAX];
    uint64_t max_fragment;     /* bytes */
    uint64_t key_update_after; /* records; 0: TLS decides */
    uint64_t tickets;          /* 0: none */
    hg_ns ticket_lifetime;
    struct config_tls tls;
    hg_ns client_hello_timeout, handshake_timeout;
    char helpers[CFG_TEXT_MAX]; /* a number up to CFG_HELPERS_MAX, or "auto" */
    uint64_t handshakes_max, prefix_max, handshake_rate;
    /* [ingest] */
    struct config_access access;
    uint64_t listen, connections, volumes, requests, max_raw, credit, buffers;
    hg_ns hello_timeout, frame_timeout, idle, write_timeout, no_space_retry;
    /* [store] */
    char devices[HG_POOL_DEVICES_MAX][CFG_TEXT_MAX];
    char create[CFG_TEXT_MAX];
    char overwrite[CFG_TEXT_MAX]; /* "": nothing is destroyed */
    uint64_t device_size, stripe_unit, chunk, depth, batch;
    hg_ns commit_delay;
    /* [test] */
    bool test_services;
    uint64_t test_port[HG_TESTSVC_KINDS], test_port_tls[HG_TESTSVC_KINDS]; /* 0: not offered */
    uint64_t test_conns;
    hg_ns test_idle;
    uint64_t test_max_fragment;     /* bytes */
    uint64_t test_key_update_after; /* records; 0: TLS decides */
    uint64_t test_tickets;          /* 0: none */
    struct config_tls test_tls;
    struct config_access test_access;
    /* [control] */
    char socket[CFG_TEXT_MAX];
    /* [debug] */
    bool allow_keylog;
};

/* Sets every option to its default. */
void config_defaults(struct config *cfg);

/* Reads a profile over what cfg holds. The error names file, section, key and what is allowed. */
int config_load(struct config *cfg, const char *path, struct hg_err *err);

/* One option as "section.key=value" (from --set). */
int config_set(struct config *cfg, const char *assignment, struct hg_err *err);

/* Checks what concerns more than one option; fills in what is derived. */
int config_check(struct config *cfg, struct hg_err *err);

/* Prints the effective profile; it can be loaded again. */
void config_dump(const struct config *cfg, FILE *out);

/* Prints every option with its default, range and meaning as a Markdown table. */
void config_reference(FILE *out);

unsigned config_devices(const struct config *cfg);

#endif /* HG_APP_CONFIG_H */
