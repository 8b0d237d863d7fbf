/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of options, and loading, setting and printing by it. */
#include "checks.h"
#include "config.h"
#include "access.h"
#include "netcfg.h"
#include <headgate/bdev.h>
#include <headgate/units.h>
#include <ctype.h>
#include <errno.h>
#include <headgate/net.h>
#include <headgate/tls.h>
#include <inttypes.h>
#include <rte_cfgfile.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, SIZE, COUNT, TIME, YESNO, CHOICE };

struct option {
    const char *section, *key;
    enum kind kind;
    size_t at;          /* offset in struct config */
    const char *preset; /* default, as written in a profile */
    uint64_t min, max;  /* SIZE, COUNT: bytes or number; TIME: ns */
    const char *help;   /* CHOICE: "a|b: meaning" */
};

#define MSS_LEAST 536u /* RFC 9293 3.7.1: what every host takes */
#define AT(field) offsetof(struct config, field)
#define K UINT64_C(1024)
#define M (K * K)
#define G (K * M)
#define T (K * G)

static const struct option options[] = {
    {"node", "profile", CHOICE, AT(profile), "production", 0, 0,
     "production|test: production refuses [test] services"},
    {"eal", "huge", YESNO, AT(huge), "no", 0, 0,
     "use hugepages; they must be mounted and reserved"},
    {"eal", "memory", SIZE, AT(memory), "0", 0, T,
     "memory for buffers; 0: what this profile needs"},
    {"eal", "args", TEXT, AT(eal_args), "", 0, 0, "more EAL arguments, separated by blanks"},
    {"eal", "file-prefix", TEXT, AT(file_prefix), "", 0, 0,
     "EAL file prefix; empty: one of its own for each process"},
    {"eal", "pci", YESNO, AT(pci), "no", 0, 0, "probe PCI devices"},
    {"cpu", "control", TEXT, AT(control_cpu), "0", 0, 0, "CPU of the control thread"},
    {"cpu", "shards", TEXT, AT(shard_cpus), "1", 0, 0,
     "CPUs of the shards, one each, separated by commas; may name the control CPU"},
    {"cpu", "pin", YESNO, AT(pin), "yes", 0, 0, "bind threads to these CPUs"},
    {"cpu", "idle-sleep", TIME, AT(idle_sleep), "0us", 0, HG_MS(10),
     "sleep this long when a shard found no work for 1 ms; 0us: poll always"},
    {"port", "vdev", TEXT, AT(ports[0].vdev), "", 0, 0,
     "virtual device to make: net_tap0,iface=hg0"},
    {"port", "device", TEXT, AT(ports[0].device), "", 0, 0,
     "DPDK device name or PCI address; empty: the virtual device"},
    {"port", "address", TEXT, AT(ports[0].address), "192.0.2.1/24", 0, 0,
     "our addresses with prefix length, IPv4 and IPv6, separated by commas; up to 16"},
    {"port", "gateway", TEXT, AT(ports[0].gateway), "", 0, 0,
     "default gateways, one for IPv4 and one for IPv6; empty: local network only"},
    {"port", "routes", TEXT, AT(ports[0].routes), "", 0, 0,
     "more routes, separated by commas: 198.51.100.0/24 via 192.0.2.254; the longest prefix wins"},
    {"port", "vlan", COUNT, AT(ports[0].vlan), "0", 0, 4094,
     "802.1Q tag of all frames; others are dropped; 0: untagged"},
    {"port", "slaac", YESNO, AT(ports[0].slaac), "no", 0, 0,
     "IPv6 addresses, routers and MTU also from router advertisements"},
    {"port", "detect-conflicts", YESNO, AT(ports[0].detect_conflicts), "yes", 0, 0,
     "ask for about 6 s (IPv6: 2 s) whether another host has an address before it is used"},
    {"port", "mtu", COUNT, AT(ports[0].mtu), "0", 0, 9216, "0: the device's own"},
    {"port", "rx-descriptors", COUNT, AT(ports[0].rx_desc), "1024", 0, 32768,
     "0: the driver's default"},
    {"port", "tx-descriptors", COUNT, AT(ports[0].tx_desc), "1024", 0, 32768,
     "0: the driver's default"},
    {"port", "rx-mbufs", COUNT, AT(ports[0].rx_mbufs), "32768", 4096, 16 * M,
     "packet buffers per shard and port"},
    {"port", "rx-buffer", SIZE, AT(ports[0].rx_buffer), "2K", 2 * K, 16 * K,
     "bytes of a packet that one buffer holds; longer ones take several if the device can scatter"},
    {"port", "lro", YESNO, AT(ports[0].lro), "no", 0, 0,
     "let the device join received segments of a connection, if it can"},
    {"port", "spread", CHOICE, AT(ports[0].spread), "device", 0, 0,
     "device|software: who spreads connections over shards; software also where the device has "
     "too few queues or no RSS"},
    {"port", "trust-checksums", YESNO, AT(ports[0].trust_checksums), "no", 0, 0,
     "skip software checks of TCP/IP checksums; for links that cannot corrupt (shared memory)"},
    {"port", "closed-ports", CHOICE, AT(closed_ports), "reset", 0, 0,
     "reset|silent: what a segment for a TCP port that nobody listens on gets; of the node, not "
     "in [port1] to [port3]"},
    {"tcp", "receive-buffer", SIZE, AT(rcv_buf), "16M", 64 * K, G,
     "largest receive window per connection; it grows to what the path needs"},
    {"tcp", "receive-memory", SIZE, AT(rcv_mem), "0", 0, T,
     "packet buffers that receive queues may hold per shard; 0: three quarters of rx-mbufs (of the "
     "port that has least)"},
    {"tcp", "connections", COUNT, AT(tcp_conns), "0", 0, 4 * M,
     "connections in any state per shard; 0: twice ingest.connections"},
    {"tcp", "mss", COUNT, AT(mss), "0", 0, 9176,
     "largest segment offered to peers and sent, bytes without headers; for paths that swallow "
     "larger packets; 0: what the MTU allows"},
    {"tcp", "keepalive", TIME, AT(keepalive), "75s", HG_SEC(1), HG_SEC(7200),
     "probe after silence"},
    {"tls", "certificate", TEXT, AT(cert), "", 0, 0,
     "our certificate chain, PEM; several files, separated by commas, serve more clients and "
     "overlap "
     "(docs/tls.md)"},
    {"tls", "key", TEXT, AT(key), "", 0, 0,
     "our private key, PEM; as many as certificates, in the same order"},
    {"tls", "ca", TEXT, AT(ca), "", 0, 0,
     "CA bundle that sources' certificates must chain to, PEM"},
    {"tls", "crl", TEXT, AT(crl), "", 0, 0,
     "revocation lists, PEM, one of each CA; empty: revocation is not checked"},
    {"tls", "pins", TEXT, AT(pins), "", 0, 0,
     "allow-list of sources' keys: lines NAME sha256/BASE64 (headgate-pki pin); empty: any key "
     "that the CA signed"},
    {"tls", "pins-only", YESNO, AT(pins_only), "no", 0, 0,
     "refuse sources that are not in the allow-list"},
    {"tls", "expiry-warning", COUNT, AT(expiry_warning), "30", 0, 3650,
     "days before the end of a certificate of ours, a CA or a revocation list from which it is "
     "warned "
     "of"},
    {"tls", "keylog", TEXT, AT(keylog), "", 0, 0,
     "write traffic secrets there, for Wireshark; needs [debug] allow-keylog = yes: breaks "
     "confidentiality"},
    {"tls", "batch", CHOICE, AT(tls_batch), "auto", 0, 0,
     "auto|single|batch: whether ipsec-mb gets records by direct calls or in batches of jobs; auto "
     "measures both at start and takes the faster for each algorithm"},
    {"tls", "provider", CHOICE, AT(provider), "ipsec-mb", 0, 0,
     "ipsec-mb|openssl: what protects records"},
    {"tls", "max-fragment", SIZE, AT(max_fragment), "16K", HG_TLS_MIN_FRAGMENT,
     HG_TLS_MAX_PLAINTEXT,
     "data in one record: sent at most, and asked of peers that know RFC 8449"},
    {"tls", "key-update-after", COUNT, AT(key_update_after), "0", 0, 8 * M,
     "TLS 1.3: change keys after so many records; 0: with AES-GCM after 8388608"},
    {"tls", "tickets", COUNT, AT(tickets), "0", 0, HG_TLS_TICKETS_MAX,
     "session tickets given to a source for resuming; 0: every connection is a full handshake"},
    {"tls", "ticket-lifetime", TIME, AT(ticket_lifetime), "2h", HG_SEC(1),
     HG_SEC(HG_TLS_TICKET_LIFETIME_MAX),
     "resuming is possible so long after a full handshake; also for the test services"},
    {"tls", "min-version", CHOICE, AT(tls.min_version), "1.2", 0, 0,
     "1.2|1.3: oldest TLS version that sources may use"},
    {"tls", "max-version", CHOICE, AT(tls.max_version), "1.3", 0, 0, "1.2|1.3: newest"},
    {"tls", "suites", TEXT, AT(tls.suites), "", 0, 0,
     "cipher suites, IANA's or OpenSSL's names separated by commas, most wanted first; empty: "
     "AES-256-GCM, "
     "AES-128-GCM, ChaCha20-Poly1305; in TLS 1.2 with ECDHE"},
    {"tls", "groups", TEXT, AT(tls.groups), "", 0, 0,
     "key exchange groups separated by commas, most wanted first (in TLS 1.3 one that the client "
     "sent a key of comes first); empty: X25519, P-256, P-384"},
    {"tls", "client-certificate", CHOICE, AT(tls.client_cert), "required", 0, 0,
     "required|asked|off: asked and off need [node] profile = test, and sessions of sources "
     "without "
     "one are refused all the same"},
    {"tls", "client-hello-timeout", TIME, AT(client_hello_timeout), "5s", HG_MS(100), HG_SEC(600),
     "a connection must have sent its whole ClientHello by then"},
    {"tls", "handshake-timeout", TIME, AT(handshake_timeout), "10s", HG_MS(100), HG_SEC(600),
     "a connection must have done its TLS handshake by then"},
    {"tls", "handshakes-max", COUNT, AT(handshakes_max), "2048", 1, M,
     "unfinished TLS handshakes per shard; then the oldest goes, if it is older than a second"},
    {"tls", "handshakes-per-prefix", COUNT, AT(prefix_max), "1024", 0, M,
     "of these from one /24 or IPv6 /64; 0: no limit"},
    {"tls", "handshake-rate", COUNT, AT(handshake_rate), "0", 0, M,
     "handshakes begun per shard and second, more are reset; 0: no limit"},
    {"tls", "handshake-helpers", TEXT, AT(helpers), "auto", 0, 0,
     "threads for public-key work; auto: one for each CPU without a shard, 4 at most; 0: the "
     "shards do it between packets"},
    {"ingest", "port", COUNT, AT(listen), "1500", 1, 65535, "TCP port of the native protocol"},
    {"ingest", "class", CHOICE, AT(access.class), "restricted", 0, 0,
     "public|restricted|enumerated: who may connect: whoever can; addresses in allow, with a "
     "certificate; the same, and nobody else gets an answer"},
    {"ingest", "allow", TEXT, AT(access.allow[0]), "", 0, 0,
     "networks and addresses, IPv4 and IPv6, separated by commas: 192.0.2.0/24, 2001:db8::7; up to "
     "64 in allow to allow4; empty: all, not with enumerated"},
    {"ingest", "allow2", TEXT, AT(access.allow[1]), "", 0, 0, "more of them"},
    {"ingest", "allow3", TEXT, AT(access.allow[2]), "", 0, 0, "more of them"},
    {"ingest", "allow4", TEXT, AT(access.allow[3]), "", 0, 0, "more of them"},
    {"ingest", "connections", COUNT, AT(connections), "1024", 1, M, "connections per shard"},
    {"ingest", "volumes", COUNT, AT(volumes), "64", 1, 4096, "volumes per session"},
    {"ingest", "requests", COUNT, AT(requests), "8192", 64, M, "frames at the store per shard"},
    {"ingest", "max-extent", SIZE, AT(max_raw), "1M", 4 * K, M, "largest DATA frame, uncompressed"},
    {"ingest", "credit", SIZE, AT(credit), "4M", 4 * K, G, "buffer space granted to a session"},
    {"ingest", "buffers", SIZE, AT(buffers), "256M", 4 * M, T, "payload buffers per shard"},
    {"ingest", "hello-timeout", TIME, AT(hello_timeout), "10s", HG_MS(100), HG_SEC(600), ""},
    {"ingest", "frame-timeout", TIME, AT(frame_timeout), "30s", HG_MS(100), HG_SEC(3600),
     "a frame once begun must be complete"},
    {"ingest", "idle", TIME, AT(idle), "60s", HG_MS(100), HG_SEC(86400),
     "PING after this silence; the session ends after twice"},
    {"ingest", "write-timeout", TIME, AT(write_timeout), "30s", HG_MS(100), HG_SEC(3600),
     "a source must read what we send"},
    {"ingest", "no-space-retry", TIME, AT(no_space_retry), "1s", HG_MS(10), HG_SEC(3600),
     "advice to sources when the pool is full"},
    {"store", "create", CHOICE, AT(create), "no", 0, 0,
     "no|auto: with auto a pool is made when every device is blank"},
    {"store", "overwrite", TEXT, AT(overwrite), "", 0, 0,
     "for a new pool: destroy what others have left on the devices; the word that the refusal "
     "told"},
    {"store", "device-size", SIZE, AT(device_size), "0", 0, 64 * T,
     "with create=auto, files that do not exist are made with this size"},
    {"store", "stripe-unit", SIZE, AT(stripe_unit), "64K", 4 * K, M, "for a new pool"},
    {"store", "chunk", SIZE, AT(chunk), "4M", 64 * K, G,
     "size of a segment on one device, for a new pool"},
    {"store", "depth", COUNT, AT(depth), "128", 8, 4096, "requests in flight per device and shard"},
    {"store", "batch", SIZE, AT(batch), "1M", 64 * K, 4 * M, "log entry size that is aimed at"},
    {"store", "commit-delay", TIME, AT(commit_delay), "500us", 0, HG_SEC(1),
     "longest wait for a batch to fill"},
    {"test", "services", YESNO, AT(test_services), "no", 0, 0,
     "offer the services below to whoever reaches their ports; not in production"},
    {"test", "echo", COUNT, AT(test_port[0]), "0", 0, 65535,
     "TCP port; sends back what comes; 0: none"},
    {"test", "echo-tls", COUNT, AT(test_port_tls[0]), "0", 0, 65535, "the same over TLS"},
    {"test", "discard", COUNT, AT(test_port[1]), "0", 0, 65535,
     "TCP port; throws away what comes; 0: none"},
    {"test", "discard-tls", COUNT, AT(test_port_tls[1]), "0", 0, 65535, "the same over TLS"},
    {"test", "chargen", COUNT, AT(test_port[2]), "0", 0, 65535,
     "TCP port; characters without end (RFC 864); 0: none"},
    {"test", "chargen-tls", COUNT, AT(test_port_tls[2]), "0", 0, 65535, "the same over TLS"},
    {"test", "http", COUNT, AT(test_port[3]), "0", 0, 65535,
     "TCP port; GET /N answers N bytes, N up to 64 MiB; 0: none"},
    {"test", "http-tls", COUNT, AT(test_port_tls[3]), "0", 0, 65535, "the same over TLS"},
    {"test", "class", CHOICE, AT(test_access.class), "public", 0, 0,
     "public|restricted|enumerated: as in [ingest], for these services; plain ones are public"},
    {"test", "allow", TEXT, AT(test_access.allow[0]), "", 0, 0, "as in [ingest]"},
    {"test", "connections", COUNT, AT(test_conns), "256", 1, M,
     "connections to these services per shard"},
    {"test", "idle", TIME, AT(test_idle), "60s", HG_SEC(1), HG_SEC(86400),
     "such a connection ends when nothing moved for so long"},
    {"test", "tls-max-fragment", SIZE, AT(test_max_fragment), "16K", HG_TLS_MIN_FRAGMENT,
     HG_TLS_MAX_PLAINTEXT, "as [tls] max-fragment, for these services"},
    {"test", "tls-key-update-after", COUNT, AT(test_key_update_after), "0", 0, 8 * M,
     "as [tls] key-update-after, for these services"},
    {"test", "tls-tickets", COUNT, AT(test_tickets), "2", 0, HG_TLS_TICKETS_MAX,
     "as [tls] tickets, for these services"},
    {"test", "tls-min-version", CHOICE, AT(test_tls.min_version), "1.2", 0, 0,
     "1.2|1.3: as in [tls], for these services"},
    {"test", "tls-max-version", CHOICE, AT(test_tls.max_version), "1.3", 0, 0, "1.2|1.3: the same"},
    {"test", "tls-suites", TEXT, AT(test_tls.suites), "", 0, 0, "the same"},
    {"test", "tls-groups", TEXT, AT(test_tls.groups), "", 0, 0, "the same"},
    {"test", "tls-client-certificate", CHOICE, AT(test_tls.client_cert), "off", 0, 0,
     "off|asked|required: whether clients must show one that a CA of [tls] ca signed"},
    {"control", "socket", TEXT, AT(socket), "/run/headgate/control.sock", 0, 0,
     "UNIX socket of headgatectl"},
    {"debug", "allow-keylog", YESNO, AT(allow_keylog), "no", 0, 0,
     "[tls] keylog may be set; whoever has that file can read all replication"},
};

/* ---- values ---- */

static int set_number(const struct option *o, void *at, const char *value, struct hg_err *err)
{
    uint64_t n;
    int rc = o->kind == TIME   ? hg_units_time(value, &n)
             : o->kind == SIZE ? hg_units_size(value, &n)
                               : hg_units_count(value, &n);
    char lo[32], hi[32];

    if (rc == 0 && n >= o->min && n <= o->max) {
        memcpy(at, &n, sizeof n);
        return 0;
    }
    if (o->kind == TIME) {
        hg_units_time_text(o->min, lo, sizeof lo);
        hg_units_time_text(o->max, hi, sizeof hi);
    } else if (o->kind == SIZE) {
        hg_units_size_text(o->min, lo, sizeof lo);
        hg_units_size_text(o->max, hi, sizeof hi);
    } else {
        snprintf(lo, sizeof lo, "%" PRIu64, o->min);
        snprintf(hi, sizeof hi, "%" PRIu64, o->max);
    }
    return hg_fail(err, -EINVAL, "[%s] %s = %s: %s from %s to %s is allowed", o->section, o->key,
                   value,
                   o->kind == TIME   ? "a time with its unit (us, ms, s, m, h)"
                   : o->kind == SIZE ? "a size with its unit (K, M, G, T; 0 needs none)"
                                     : "a whole number",
                   lo, hi);
}

static bool choice_ok(const char *help, const char *value)
{
    size_t len = strlen(value);
    const char *p = help;

    for (;;) {
        size_t n = strcspn(p, "|:");

        if (n == len && strncmp(p, value, n) == 0)
            return true;
        if (p[n] != '|')
            return false;
        p += n + 1;
    }
}

static int set_value(struct config *cfg, const struct option *o, const char *value,
                     struct hg_err *err)
{
    void *at = (char *)cfg + o->at;

    switch (o->kind) {
    case SIZE:
    case COUNT:
    case TIME:
        return set_number(o, at, value, err);
    case YESNO:
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
            return hg_fail(err, -EINVAL, "[%s] %s = %s: yes or no is allowed", o->section, o->key,
                           value);
        *(bool *)at = value[0] == 'y';
        return 0;
    case CHOICE:
        if (!choice_ok(o->help, value))
            return hg_fail(err, -EINVAL, "[%s] %s = %s: allowed are %.*s", o->section, o->key,
                           value, (int)strcspn(o->help, ":"), o->help);
        break;
    case TEXT:
        break;
    }
    if (strlen(value) >= CFG_TEXT_MAX)
        return hg_fail(err, -EINVAL, "[%s] %s: longer than %d characters", o->section, o->key,
                       CFG_TEXT_MAX - 1);
    snprintf(at, CFG_TEXT_MAX, "%s", value);
    return 0;
}

/* ---- sections ---- */

/* Whether a row is an option of the section; then *out is it, under the section's name. The rows of
 * [port] serve all ports, but for those that are not in struct config_port. */
static bool option_of(const struct option *row, const char *section, struct option *out)
{
    bool each = row->at >= AT(ports) && row->at < AT(ports) + sizeof(struct config_port);

    *out = *row;
    if (strcmp(row->section, section) == 0)
        return true;
    for (unsigned n = 1; each && n < HG_SHARD_PORTS_MAX; n++) {
        if (strcmp(section, netcfg_section(n)) != 0)
            continue;
        out->section = netcfg_section(n);
        out->at += n * sizeof(struct config_port);
        return true;
    }
    return false;
}

/* [store] device0 ... device31. */
static char *device_slot(struct config *cfg, const char *section, const char *key)
{
    char *end;
    unsigned long n;

    if (strcmp(section, "store") != 0 || strncmp(key, "device", 6) != 0 ||
        !isdigit((unsigned char)key[6]))
        return NULL;
    n = strtoul(key + 6, &end, 10);
    return *end == '\0' && n < HG_POOL_DEVICES_MAX ? cfg->devices[n] : NULL;
}

static int unknown_section(const char *section, struct hg_err *err)
{
    return hg_fail(err, -EINVAL,
                   "section [%s] is unknown; known are node eal cpu port port1 port2 port3 tcp tls "
                   "ingest store test "
                   "control debug",
                   section);
}

static int set_option(struct config *cfg, const char *section, const char *key, const char *value,
                      struct hg_err *err)
{
    char *slot = device_slot(cfg, section, key);
    char known[384] = "";

    if (slot != NULL) {
        snprintf(slot, CFG_TEXT_MAX, "%s", value);
        return 0;
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++) {
        struct option o;

        if (!option_of(&options[i], section, &o))
            continue;
        if (strcmp(o.key, key) == 0)
            return set_value(cfg, &o, value, err);
        snprintf(known + strlen(known), sizeof known - strlen(known), " %s", o.key);
    }
    if (known[0] == '\0')
        return unknown_section(section, err);
    return hg_fail(err, -EINVAL, "[%s] %s is unknown; known are%s%s", section, key, known,
                   strcmp(section, "store") == 0 ? " device0 ... device31" : "");
}

void config_defaults(struct config *cfg)
{
    memset(cfg, 0, sizeof *cfg);
    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++) {
        struct hg_err err;

        if (set_value(cfg, &options[i], options[i].preset, &err) != 0)
            abort(); /* the table contradicts itself; the unit test loads it */
    }
    for (unsigned n = 1; n < HG_SHARD_PORTS_MAX; n++) {
        cfg->ports[n] = cfg->ports[0];
        cfg->ports[n].address[0] = '\0'; /* no address is on two ports */
    }
}

int config_set(struct config *cfg, const char *assignment, struct hg_err *err)
{
    char text[CFG_TEXT_MAX * 2];
    char *dot, *eq;

    if (strlen(assignment) >= sizeof text)
        return hg_fail(err, -EINVAL, "--set: value is too long");
    strcpy(text, assignment);
    dot = strchr(text, '.');
    eq = strchr(text, '=');
    if (dot == NULL || eq == NULL || dot > eq)
        return hg_fail(err, -EINVAL, "--set %s: write section.key=value", assignment);
    *dot = *eq = '\0';
    return set_option(cfg, text, dot + 1, eq + 1, err);
}

/* ---- files ---- */

static bool section_known(const char *section)
{
    struct option o;

    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++)
        if (option_of(&options[i], section, &o))
            return true;
    return false;
}

/* By index: a section that appears twice is one section, not a first and an ignored second. */
static int load_section(struct config *cfg, struct rte_cfgfile *file, int index, struct hg_err *err)
{
    char section[CFG_NAME_LEN] = "";
    int n = rte_cfgfile_section_num_entries_by_index(file, section, index);
    struct rte_cfgfile_entry *entries;
    int rc = 0;

    if (n < 0)
        return hg_fail(err, -EINVAL, "section %d cannot be read", index);
    if (n == 0 && !section_known(section))
        return unknown_section(section, err);
    entries = calloc((size_t)n + 1, sizeof *entries);
    if (entries == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    n = rte_cfgfile_section_entries_by_index(file, index, section, entries, n);
    for (int i = 0; i < n && rc == 0; i++)
        rc = set_option(cfg, section, entries[i].name, entries[i].value, err);
    free(entries);
    return rc;
}

/* rte_cfgfile passes over what it does not understand: a typo would silently be the default. */
static int check_line(const char *line, bool in_section, struct hg_err *err)
{
    size_t len = strcspn(line, "#\r\n");

    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#' || *line == '\r' || *line == '\n')
        return 0;
    if (*line == '[')
        return memchr(line, ']', len) != NULL ? 0 : hg_fail(err, -EINVAL, "a ']' is missing");
    /* It would be cut off without a word. */
    if (len >= CFG_TEXT_MAX)
        return hg_fail(err, -EINVAL, "longer than %d characters", CFG_TEXT_MAX - 1);
    if (memchr(line, '=', len) == NULL)
        return hg_fail(err, -EINVAL, "\"%.*s\" is no [section], no key = value and no # comment",
                       (int)strcspn(line, "#\r\n"), line);
    return in_section ? 0 : hg_fail(err, -EINVAL, "a key before the first [section]");
}

static int check_lines(const char *path, struct hg_err *err)
{
    FILE *f = fopen(path, "r");
    struct hg_err inner = {""};
    bool in_section = false;
    char *line = NULL;
    size_t size = 0;
    int rc = 0;

    if (f == NULL)
        return hg_fail(err, -errno, "profile %s: %s", path, strerror(errno));
    for (unsigned n = 1; rc == 0 && getline(&line, &size, f) >= 0; n++) {
        rc = check_line(line, in_section, &inner);
        if (rc != 0)
            hg_fail(err, rc, "profile %s, line %u: %.400s", path, n, inner.text);
        in_section = in_section || line[strspn(line, " \t")] == '[';
    }
    free(line);
    fclose(f);
    return rc;
}

int config_load(struct config *cfg, const char *path, struct hg_err *err)
{
    static const struct rte_cfgfile_parameters params = {.comment_character = '#'};
    struct rte_cfgfile *file;
    struct hg_err inner = {""};
    int n, rc = 0;

    rc = check_lines(path, err);
    if (rc != 0)
        return rc;
    file = rte_cfgfile_load_with_params(path, CFG_FLAG_EMPTY_VALUES, &params);
    if (file == NULL)
        return hg_fail(
            err, -EINVAL,
            "profile %s: not an INI file: [section] lines, key = value lines, # comments", path);
    n = rte_cfgfile_num_sections(file, NULL, 0);
    for (int i = 0; i < n && rc == 0; i++)
        rc = load_section(cfg, file, i, &inner);
    rte_cfgfile_close(file);
    return rc == 0 ? 0 : hg_fail(err, rc, "profile %s: %.400s", path, inner.text);
}

/* ---- whole ---- */

unsigned config_devices(const struct config *cfg)
{
    unsigned n = 0;

    while (n < HG_POOL_DEVICES_MAX && cfg->devices[n][0] != '\0')
        n++;
    return n;
}

/* Several mem: devices are several memories, but of an NVMe controller one namespace is used. */
static int check_twice(const struct config *cfg, unsigned n, struct hg_err *err)
{
    char one[HG_BDEV_NVME_NAME], other[HG_BDEV_NVME_NAME];

    for (unsigned i = 0; i < n; i++) {
        int nvme = hg_bdev_nvme_name(cfg->devices[i], one, err);

        if (nvme < 0)
            return nvme;
        for (unsigned j = 0; j < i; j++) {
            if (nvme == 1 && hg_bdev_nvme_name(cfg->devices[j], other, NULL) == 1 &&
                strcmp(one, other) == 0)
                return hg_fail(err, -EINVAL,
                               "[store] device%u and device%u are both on %s: one namespace of a "
                               "controller can be used",
                               j, i, one);
            if (nvme == 0 && strcmp(cfg->devices[i], cfg->devices[j]) == 0 &&
                strncmp(cfg->devices[i], "mem:", 4) != 0 &&
                hg_bdev_nvme_emu_name(cfg->devices[i], NULL) == 0)
                return hg_fail(err, -EINVAL, "[store] device%u and device%u are both %s", j, i,
                               cfg->devices[i]);
        }
    }
    return 0;
}

static int check_emulated(const struct config *cfg, struct hg_err *err)
{
    for (unsigned i = 0; i < config_devices(cfg); i++) {
        int rc = hg_bdev_nvme_emu_name(cfg->devices[i], err);

        if (rc == 1 && strcmp(cfg->profile, "test") != 0)
            rc = hg_fail(err, -EINVAL,
                         "[store] device%u is an emulated controller: a production profile has "
                         "none; set [node] profile = test if this is no production node",
                         i);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What a pool of one shard cannot do without: superblocks and catalogue, and the segments that users may
 * not take. */
#define DEVICE_FIXED ((uint64_t)5 << 20)
#define DEVICE_CHUNKS 6u

static int check_store(const struct config *cfg, struct hg_err *err)
{
    unsigned n = config_devices(cfg);
    int rc;

    if (n < 2)
        return hg_fail(err, -EINVAL, "[store] needs device0 and device1 at least, without gaps");
    for (unsigned i = n; i < HG_POOL_DEVICES_MAX; i++)
        if (cfg->devices[i][0] != '\0')
            return hg_fail(err, -EINVAL, "[store] device%u is given but device%u is not", i, n);
    if (cfg->device_size != 0 && cfg->device_size < DEVICE_FIXED + DEVICE_CHUNKS * cfg->chunk)
        return hg_fail(err, -EINVAL,
                       "[store] device-size = %" PRIu64 ": with chunk = %" PRIu64
                       " a device has at least %" PRIu64 " bytes",
                       cfg->device_size, cfg->chunk, DEVICE_FIXED + DEVICE_CHUNKS * cfg->chunk);
    for (unsigned i = 0; i < n; i++) {
        rc = checks_device(cfg->devices[i], i, err);
        if (rc != 0)
            return rc;
    }
    rc = check_twice(cfg, n, err);
    return rc != 0 ? rc : check_emulated(cfg, err);
}

static int check_test(const struct config *cfg, struct hg_err *err)
{
    if (cfg->test_services && strcmp(cfg->profile, "test") != 0)
        return hg_fail(
            err, -EINVAL,
            "[test] services = yes: a production profile has no test services; set [node] "
            "profile = test if this is no production node");
    for (unsigned kind = 0; kind < HG_TESTSVC_KINDS && !cfg->test_services; kind++)
        if (cfg->test_port[kind] != 0 || cfg->test_port_tls[kind] != 0)
            return hg_fail(err, -EINVAL,
                           "[test] %s: refused without [test] services = yes, which a production "
                           "profile does not allow",
                           hg_testsvc_name((enum hg_testsvc_kind)kind));
    return 0;
}

static int check_versions(const struct config_tls *tls, const char *section, const char *prefix,
                          struct hg_err *err)
{
    if (strcmp(tls->min_version, tls->max_version) <= 0)
        return 0;
    return hg_fail(err, -EINVAL, "[%s] %smin-version = %s is above %smax-version = %s", section,
                   prefix, tls->min_version, prefix, tls->max_version);
}

/* Who sends disks must be known: a certificate less is for tests of TLS itself. */
static int check_tls(const struct config *cfg, struct hg_err *err)
{
    int rc = check_versions(&cfg->tls, "tls", "", err);

    if (cfg->cert[0] == '\0' || cfg->key[0] == '\0' || cfg->ca[0] == '\0')
        return hg_fail(err, -EINVAL, "[tls] certificate, key and ca must be given");
    if (strcmp(cfg->tls.client_cert, "required") != 0 && strcmp(cfg->profile, "test") != 0)
        return hg_fail(err, -EINVAL,
                       "[tls] client-certificate = %s: a production profile lets in only sources "
                       "with a certificate; leave it at required, or set [node] profile = test if "
                       "this is no production node",
                       cfg->tls.client_cert);
    if (cfg->pins_only && cfg->pins[0] == '\0')
        return hg_fail(err, -EINVAL, "[tls] pins-only = yes: needs pins, or nobody could come");
    if (cfg->keylog[0] != '\0' && !cfg->allow_keylog)
        return hg_fail(
            err, -EINVAL,
            "[tls] keylog = %s: gives away all traffic; it needs [debug] allow-keylog = yes",
            cfg->keylog);
    return rc != 0 ? rc : check_versions(&cfg->test_tls, "test", "tls-", err);
}

/* All connections of a shard may be on one port, and its pool must still fill the device's queue. */
static uint64_t least_rx_bytes(const struct config *cfg)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < netcfg_ports(cfg); i++) {
        uint64_t bytes = cfg->ports[i].rx_mbufs * cfg->ports[i].rx_buffer;

        least = bytes < least ? bytes : least;
    }
    return least;
}

int config_check(struct config *cfg, struct hg_err *err)
{
    int rc = netcfg_check(cfg, err);
    uint64_t n;

    if (rc == 0)
        rc = checks_cpus(cfg, err);
    if (rc == 0)
        rc = check_tls(cfg, err);
    if (rc != 0)
        return rc;
    if (cfg->mss != 0 && cfg->mss < MSS_LEAST)
        return hg_fail(err, -EINVAL, "[tcp] mss = %" PRIu64 ": 0, or from %u to 9176", cfg->mss,
                       MSS_LEAST);
    if (strcmp(cfg->helpers, "auto") != 0 &&
        (hg_units_count(cfg->helpers, &n) != 0 || n > CFG_HELPERS_MAX))
        return hg_fail(err, -EINVAL,
                       "[tls] handshake-helpers = %s: auto, or a number from 0 to %d, is allowed",
                       cfg->helpers, CFG_HELPERS_MAX);
    if (cfg->credit + cfg->max_raw > cfg->buffers)
        return hg_fail(err, -EINVAL, "[ingest] credit + max-extent is more than buffers");
    if (cfg->rcv_mem == 0)
        cfg->rcv_mem = least_rx_bytes(cfg) / 4 * 3;
    rc = check_test(cfg, err);
    if (rc == 0)
        rc = access_check(cfg, err);
    if (rc != 0)
        return rc;
    return check_store(cfg, err);
}

/* ---- printing ---- */

static void value_text(const struct config *cfg, const struct option *o, char *buf, size_t size)
{
    const void *at = (const char *)cfg + o->at;
    uint64_t n;

    switch (o->kind) {
    case TEXT:
    case CHOICE:
        snprintf(buf, size, "%s", (const char *)at);
        break;
    case YESNO:
        snprintf(buf, size, "%s", *(const bool *)at ? "yes" : "no");
        break;
    case COUNT:
        memcpy(&n, at, sizeof n);
        snprintf(buf, size, "%" PRIu64, n);
        break;
    case SIZE:
        memcpy(&n, at, sizeof n);
        hg_units_size_text(n, buf, size);
        break;
    case TIME:
        memcpy(&n, at, sizeof n);
        hg_units_time_text(n, buf, size);
        break;
    }
}

static void dump_section(const struct config *cfg, const char *section, FILE *out)
{
    char value[CFG_TEXT_MAX];

    fprintf(out, "[%s]\n", section);
    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++) {
        struct option o;

        if (!option_of(&options[i], section, &o))
            continue;
        value_text(cfg, &o, value, sizeof value);
        fprintf(out, "%s = %s\n", o.key, value);
        if (strcmp(o.section, "store") == 0 && strcmp(o.key, "create") == 0)
            for (unsigned d = 0; d < config_devices(cfg); d++)
                fprintf(out, "device%u = %s\n", d, cfg->devices[d]);
    }
}

void config_dump(const struct config *cfg, FILE *out)
{
    const char *section = "";

    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++) {
        if (strcmp(section, options[i].section) == 0)
            continue;
        section = options[i].section;
        fputs(i == 0 ? "" : "\n", out);
        dump_section(cfg, section, out);
        for (unsigned n = 1; strcmp(section, "port") == 0 && n < netcfg_ports(cfg); n++) {
            fputs("\n", out);
            dump_section(cfg, netcfg_section(n), out);
        }
    }
}

void config_reference(FILE *out)
{
    fprintf(out, "| section | key | default | meaning |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < HG_ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];

        fprintf(out, "| %s | %s | %s | ", o->section, o->key, o->preset);
        for (const char *p = o->help; *p != '\0'; p++)
            fprintf(out, *p == '|' ? "\\|" : "%c", *p);
        fprintf(out, " |\n");
    }
    fprintf(out, "| store | device0 ... device31 | | files or block devices of the pool, in order; "
                 "nvme:ADDRESS or nvme:serial=SERIAL is a controller through VFIO (docs/nvme.md); "
                 "/dev/ngXnY takes NVMe commands through the kernel's driver; "
                 "mem:SIZE is memory, for trials; nvme-emu:SIZE[,OPTION...] an emulated "
                 "controller, with [node] profile = test (docs/nvme.md) |\n");
    fprintf(out, "| port1 ... port3 | as [port], without closed-ports | as [port], address: none | "
                 "more ports of the node, without "
                 "gaps; each is "
                 "there when it has a device or a vdev |\n");
}
