/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"
#include "bad.h"
#include <headgate/tls_pin.h>
#include <headgate/units.h>
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <headgate/codec.h>
#include <headgate/proto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, NUMBER, SIZE, RATE, TIME, CALL };

/* One option. NUMBER is stored as uint32_t, SIZE, RATE and TIME as uint64_t. */
struct row {
    const char *name, *arg, *help;
    enum kind kind;
    size_t at;         /* offset in struct load_options */
    uint64_t min, max; /* inclusive, in the base unit */
    int (*call)(struct load_options *opt, const char *text, struct hg_err *err);
};

static int bad_value(struct hg_err *err, const char *option, const char *text, const char *allowed)
{
    return hg_fail(err, -EINVAL, "--%s: \"%s\" is not %s", option, text, allowed);
}

/* Fills in the address; false when text is neither IPv4 nor IPv6. */
static bool parse_ip(struct load_options *opt, const char *text, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&opt->server;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&opt->server;

    memset(&opt->server, 0, sizeof opt->server);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        opt->server_len = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1 || IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    opt->server_len = sizeof *v6;
    return true;
}

/* 192.0.2.1, 192.0.2.1:1500, 2001:db8::1, [2001:db8::1], [2001:db8::1]:1500 (RFC 5952 6). */
static int parse_server(struct load_options *opt, const char *text, struct hg_err *err)
{
    const char *start = text, *end = text + strlen(text), *colon = strchr(text, ':');
    const char *after = end; /* ":PORT" or the end */
    uint64_t port = HG_PROTO_PORT;
    char ip[64];

    if (*text == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return bad_value(err, "server", text, "IP or IP:PORT");
        after = end + 1;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        end = after = colon;
    }
    if ((size_t)(end - start) >= sizeof ip)
        return bad_value(err, "server", text, "IP or IP:PORT");
    memcpy(ip, start, (size_t)(end - start));
    ip[end - start] = '\0';
    if (*after == ':' && (hg_units_count(after + 1, &port) != 0 || port == 0 || port > 65535))
        return bad_value(err, "server", text, "IP:PORT with a port from 1 to 65535");
    if (!parse_ip(opt, ip, (uint16_t)port))
        return bad_value(err, "server", text,
                         "an address, e.g. 192.0.2.1:1500 or [2001:db8::1]:1500");
    return 0;
}

static int mix_add(struct load_mix *mix, const char *size_text, const char *weight_text)
{
    uint64_t size, weight = 1;

    if (mix->n == LOAD_MIX_MAX || hg_units_size(size_text, &size) != 0 || size < HG_BLOCK ||
        size > HG_FRAME_RAW_MAX || size % HG_BLOCK != 0)
        return -EINVAL;
    if (weight_text != NULL &&
        (hg_units_count(weight_text, &weight) != 0 || weight == 0 || weight > 1000000))
        return -EINVAL;
    mix->size[mix->n] = (uint32_t)size;
    mix->weight[mix->n++] = (uint32_t)weight;
    mix->weight_sum += (uint32_t)weight;
    return 0;
}

/* "64K" or "4K:20,64K:80". */
static int parse_block(struct load_options *opt, const char *text, struct hg_err *err)
{
    char copy[256];
    char *save = NULL;

    opt->mix = (struct load_mix){0};
    if (strlen(text) >= sizeof copy)
        return bad_value(err, "block", text, "a short list");
    strcpy(copy, text);
    for (char *item = strtok_r(copy, ",", &save); item != NULL; item = strtok_r(NULL, ",", &save)) {
        char *colon = strchr(item, ':');

        if (colon != NULL)
            *colon++ = '\0';
        if (mix_add(&opt->mix, item, colon) != 0)
            return bad_value(err, "block", text,
                             "SIZE or SIZE:WEIGHT,... with up to 8 multiples of 4K up to 1M");
    }
    return opt->mix.n == 0 ? bad_value(err, "block", text, "a size") : 0;
}

static int parse_image(struct load_options *opt, const char *text, struct hg_err *err)
{
    struct load_image *image = &opt->image[opt->n_images];
    const char *eq = strchr(text, '=');
    const char *name = text;
    size_t len;

    if (opt->n_images == LOAD_IMAGES_MAX)
        return hg_fail(err, -EINVAL, "--image: at most %u images", LOAD_IMAGES_MAX);
    if (eq != NULL) {
        image->path = eq + 1;
        len = (size_t)(eq - text);
    } else {
        const char *slash = strrchr(text, '/');

        image->path = text;
        name = slash == NULL ? text : slash + 1;
        len = strlen(name);
    }
    if (len == 0 || len >= sizeof image->name || image->path[0] == '\0')
        return bad_value(err, "image", text, "FILE or NAME=FILE with a name of 1 to 127 bytes");
    memcpy(image->name, name, len);
    image->name[len] = '\0';
    opt->n_images++;
    return 0;
}

static int parse_ratio(struct load_options *opt, const char *text, struct hg_err *err)
{
    char *end;

    opt->compress_ratio = strtod(text, &end);
    if (end == text || *end != '\0' || !(opt->compress_ratio >= 1 && opt->compress_ratio <= 20))
        return bad_value(err, "compress-ratio", text, "a number from 1 to 20");
    return 0;
}

static int parse_pattern(struct load_options *opt, const char *text, struct hg_err *err)
{
    if (strcmp(text, "seq") == 0)
        opt->pattern = LOAD_SEQ;
    else if (strcmp(text, "random") == 0)
        opt->pattern = LOAD_RANDOM;
    else
        return bad_value(err, "pattern", text, "seq or random");
    return 0;
}

static int parse_codec(struct load_options *opt, const char *text, struct hg_err *err)
{
    if (strcmp(text, "stored") == 0)
        opt->codec = HG_CODEC_STORED;
    else if (strcmp(text, "deflate") == 0)
        opt->codec = HG_CODEC_DEFLATE;
    else
        return bad_value(err, "codec", text, "stored or deflate");
    return 0;
}

/* A bare number is seconds. */
static int parse_time(const char *text, hg_ns *ns)
{
    if (hg_units_count(text, ns) != 0)
        return hg_units_time(text, ns);
    return __builtin_mul_overflow(*ns, HG_SEC(1), ns) ? -EINVAL : 0;
}

static int parse_barrier(struct load_options *opt, const char *text, struct hg_err *err)
{
    opt->barrier_frames = 0;
    opt->barrier_ns = 0;
    if (hg_units_count(text, &opt->barrier_frames) == 0 && opt->barrier_frames != 0)
        return 0;
    opt->barrier_frames = 0;
    if (parse_time(text, &opt->barrier_ns) == 0 && opt->barrier_ns != 0)
        return 0;
    return bad_value(err, "barrier-every", text, "a number of frames, or a time such as 5s");
}

static int parse_tls(struct load_options *opt, const char *text, struct hg_err *err)
{
    if (strcmp(text, "1.3") == 0)
        opt->tls_version = 0x0304;
    else if (strcmp(text, "1.2") == 0)
        opt->tls_version = 0x0303;
    else
        return bad_value(err, "tls", text, "1.2 or 1.3");
    return 0;
}

static int parse_pin(struct load_options *opt, const char *text, struct hg_err *err)
{
    struct hg_pin pin;

    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");

        if (hg_pin_parse(p, len, &pin) != 0)
            return bad_value(err, "pin", text,
                             "sha256/ and 44 characters of Base64, as headgate-pki pin prints it");
        p += len;
        if (*p == '\0')
            break;
    }
    opt->pin = text;
    return 0;
}

static int parse_levels(struct load_options *opt, const char *text, struct hg_err *err)
{
    static const char *const name[] = {NULL, "received", "durable", "consistent"};
    char copy[128];
    char *save = NULL;

    opt->levels = 0;
    if (strlen(text) >= sizeof copy)
        return bad_value(err, "levels", text, "a short list");
    strcpy(copy, text);
    for (char *item = strtok_r(copy, ",", &save); item != NULL; item = strtok_r(NULL, ",", &save)) {
        unsigned level = 1;

        while (level < HG_ARRAY_LEN(name) && strcmp(item, name[level]) != 0)
            level++;
        if (level == HG_ARRAY_LEN(name))
            return bad_value(err, "levels", text, "a list of received, durable, consistent");
        opt->levels |= 1u << level;
    }
    return 0;
}

static int parse_transport(struct load_options *opt, const char *text, struct hg_err *err)
{
    if (strcmp(text, "kernel") == 0)
        opt->transport = LOAD_KERNEL;
    else if (strcmp(text, "dpdk") == 0)
        opt->transport = LOAD_DPDK;
    else
        return bad_value(err, "transport", text, "kernel or dpdk");
    return 0;
}

static int parse_cpu(struct load_options *opt, const char *text, struct hg_err *err)
{
    uint64_t cpu;

    if (hg_units_count(text, &cpu) != 0 || cpu > 1023)
        return bad_value(err, "cpu", text, "a processor number from 0 to 1023");
    opt->cpu = (int32_t)cpu;
    return 0;
}

static int parse_bad(struct load_options *opt, const char *text, struct hg_err *err)
{
    char kinds[400];

    if (!bad_known(text))
        return hg_fail(err, -EINVAL, "--bad: \"%.60s\" is not one of %s", text,
                       bad_kinds(kinds, sizeof kinds));
    opt->bad = text;
    return 0;
}

#define AT(field) offsetof(struct load_options, field)
#define KI UINT64_C(1024)

static const struct row rows[] = {
    {"server", "IP[:PORT]", "the node; port 1500 unless given; [IPv6]:PORT", CALL,
     .call = parse_server},
    {"cert", "FILE", "certificate chain of the source, PEM", TEXT, AT(cert)},
    {"key", "FILE", "its private key, PEM", TEXT, AT(key)},
    {"ca", "FILE", "CA that signed the node's certificate, PEM", TEXT, AT(ca)},
    {"pin", "sha256/BASE64",
     "pin of the node's key (headgate-pki pin); several with commas; any unless given", CALL,
     .call = parse_pin},
    {"cert-dir", "DIR", "NAME.crt with NAME.key for several sources, used in turn", TEXT,
     AT(cert_dir)},
    {"tls", "1.2|1.3", "TLS version; both are offered unless given", CALL, .call = parse_tls},
    {"suite", "NAME", "cipher suite, as OpenSSL names it", TEXT, AT(suite)},
    {"sources", "N", "number of sources [1]", NUMBER, AT(sources), 1, 100000},
    {"volumes", "M", "volumes of each source [1]", NUMBER, AT(volumes), 1, 65536},
    {"connections", "N", "connections of each source; volumes are spread over them [1]", NUMBER,
     AT(connections), 1, 1024},
    {"volume", "NAME", "base of the volumes' names [vol]", TEXT, AT(volume)},
    {"size", "SIZE", "size of a synthetic volume [1G]", SIZE, AT(size), 4096, 64 * KI *KI *KI *KI},
    {"image", "[NAME=]FILE", "replicate this image as one volume; may be repeated", CALL,
     .call = parse_image},
    {"block", "SIZE[:WEIGHT,...]", "block size, or a distribution: 4K:20,64K:80 [64K]", CALL,
     .call = parse_block},
    {"compress-ratio", "R", "make data that deflate shrinks about R times [1]", CALL,
     .call = parse_ratio},
    {"zero", "PCT", "share of synthetic blocks that are zero [0]", NUMBER, AT(zero_pct), 0, 100},
    {"overwrite", "PCT", "share of synthetic blocks that rewrite an earlier place [0]", NUMBER,
     AT(overwrite_pct), 0, 100},
    {"pattern", "seq|random", "order of synthetic offsets [seq]", CALL, .call = parse_pattern},
    {"codec", "stored|deflate", "how payloads travel [stored]", CALL, .call = parse_codec},
    {"seed", "N", "of the synthetic data and offsets [1]", SIZE, AT(seed), 0, UINT64_MAX},
    {"replay", NULL, "cycle through 64 ready-made payloads: generation costs nothing", FLAG,
     AT(replay)},
    {"rate", "BITS", "limit over all sources, e.g. 200Mbit", RATE, AT(rate), 8000,
     UINT64_C(1000000000000)},
    {"depth", "SIZE", "bytes in flight per connection [8M]", SIZE, AT(depth), 64 * KI,
     2 * KI *KI *KI},
    {"duration", "TIME", "stop making new blocks after this time", TIME, AT(duration), HG_MS(1),
     HG_SEC(86400 * 30)},
    {"bytes", "SIZE", "stop after this much over all volumes [each volume once]", SIZE, AT(bytes),
     4096, UINT64_C(1) << 60},
    {"barrier-every", "N|TIME", "close an epoch every N frames or every so often", CALL,
     .call = parse_barrier},
    {"levels", "LIST", "ACK levels wanted: received,durable,consistent [durable]", CALL,
     .call = parse_levels},
    {"resume-retry", "TIME", "how long to try to get back after a cut [60s]", TIME,
     AT(resume_retry), 0, HG_SEC(86400 * 30)},
    {"json", "FILE", "write the summary there as JSON", TEXT, AT(json)},
    {"verify-manifest", "FILE", "write there what became durable, with its CRC32C", TEXT,
     AT(manifest)},
    {"check-manifest", "FILE", "compare every --image VOLUME=FILE with this manifest, and exit",
     TEXT, AT(check_manifest)},
    {"quiet", NULL, "no live line", FLAG, AT(quiet)},
    {"progress", NULL, "a bar per image; default on a terminal", FLAG, AT(progress)},
    {"no-progress", NULL, "the live line also for images", FLAG, AT(no_progress)},
    {"transport", "kernel|dpdk", "sockets and OpenSSL, or our own TCP and TLS [kernel]", CALL,
     .call = parse_transport},
    {"threads", "N", "threads of the kernel transport [1]", NUMBER, AT(threads), 1, 64},
    {"eal", "ARGS", "dpdk: EAL arguments, e.g. \"--no-huge -m 512 --vdev=net_tap0\"", TEXT,
     AT(eal)},
    {"port", "DEV", "dpdk: name of the port, e.g. net_memif0", TEXT, AT(port)},
    {"addr", "IP/LEN", "dpdk: our address, e.g. 192.0.2.2/24 or 2001:db8::2/64", TEXT, AT(addr)},
    {"mtu", "BYTES", "dpdk: MTU of the port [the driver's default]", NUMBER, AT(mtu), 576, 9216},
    {"gateway", "IP", "dpdk: next hop for other networks", TEXT, AT(gateway)},
    {"cpu", "N", "pin the first thread to this processor, the next to the next", CALL,
     .call = parse_cpu},
    {"bad", "KIND",
     "send one bad thing after a good start and tell how the node answered; "
     "\"list\" names the kinds",
     CALL, .call = parse_bad},
    {"help", NULL, "this text", FLAG, AT(help)},
};

static int store(const struct row *row, struct load_options *opt, const char *text,
                 struct hg_err *err)
{
    uint8_t *at = (uint8_t *)opt + row->at;
    uint64_t v = 0;
    int rc = 0;

    switch (row->kind) {
    case CALL:
        return row->call(opt, text, err);
    case FLAG:
        *(bool *)(void *)at = true;
        return 0;
    case TEXT:
        *(const char **)(void *)at = text;
        return text[0] == '\0' ? bad_value(err, row->name, text, "a text") : 0;
    case NUMBER:
        rc = hg_units_count(text, &v);
        break;
    case SIZE:
        rc = hg_units_size(text, &v);
        break;
    case RATE:
        rc = hg_units_rate(text, &v);
        break;
    case TIME:
        rc = parse_time(text, &v);
        break;
    }
    if (rc != 0 || v < row->min || v > row->max) {
        static const char *const what[] = {
            [NUMBER] = "a number",
            [SIZE] = "a size such as 4096, 64K, 10G",
            [RATE] = "a rate such as 500kbit, 200Mbit, 10Gbit",
            [TIME] = "a time such as 500ms, 30s, 2m",
        };

        return hg_fail(err, -EINVAL, "--%s: \"%s\" is not %s, or not within %llu to %llu%s",
                       row->name, text, what[row->kind], (unsigned long long)row->min,
                       (unsigned long long)row->max, row->kind == TIME ? " ns" : "");
    }
    if (row->kind == NUMBER)
        *(uint32_t *)(void *)at = (uint32_t)v;
    else
        *(uint64_t *)(void *)at = v;
    return 0;
}

/* What single options cannot know. */
static int check_together(struct load_options *opt, struct hg_err *err)
{
    if (opt->check_manifest != NULL)
        return 0;
    if (opt->server_len == 0)
        return hg_fail(err, -EINVAL, "--server is missing: give the node's address");
    if (opt->ca == NULL)
        return hg_fail(err, -EINVAL, "--ca is missing: the node's certificate must be verified");
    if (opt->cert_dir == NULL && (opt->cert == NULL || opt->key == NULL))
        return hg_fail(err, -EINVAL,
                       "--cert and --key (or --cert-dir) are missing: "
                       "the node demands a certificate");
    if (opt->connections > opt->volumes && opt->n_images == 0)
        return hg_fail(err, -EINVAL, "--connections %u needs at least as many --volumes",
                       opt->connections);
    if (opt->n_images != 0 && (opt->duration != 0 || opt->bytes != 0))
        return hg_fail(err, -EINVAL,
                       "--image sends whole images: leave out --duration and --bytes");
    if (opt->n_images != 0 && opt->replay)
        return hg_fail(err, -EINVAL, "--replay makes synthetic data: leave out --image");
    if (opt->replay && opt->mix.n != 1)
        return hg_fail(err, -EINVAL, "--replay needs one --block size");
    if (opt->replay && opt->size % opt->mix.size[0] != 0)
        return hg_fail(err, -EINVAL, "--replay needs a --size that is a multiple of --block");
    if (opt->size % 512 != 0)
        return hg_fail(err, -EINVAL, "--size must be a multiple of 512");
    if (opt->transport == LOAD_DPDK && (opt->port == NULL || opt->addr == NULL))
        return hg_fail(err, -EINVAL, "--transport dpdk needs --port and --addr");
    if (opt->transport == LOAD_DPDK && opt->threads != 1)
        return hg_fail(err, -EINVAL, "--transport dpdk runs on one thread: leave out --threads");
    return 0;
}

static void defaults(struct load_options *opt)
{
    *opt = (struct load_options){
        .sources = 1,
        .volumes = 1,
        .connections = 1,
        .volume = "vol",
        .size = UINT64_C(1) << 30,
        .compress_ratio = 1,
        .seed = 1,
        .depth = 8u << 20,
        .resume_retry = HG_SEC(60),
        .threads = 1,
        .cpu = -1,
    };
    opt->mix = (struct load_mix){.n = 1, .size = {65536}, .weight = {1}, .weight_sum = 1};
}

int options_parse(struct load_options *opt, int argc, char **argv, struct hg_err *err)
{
    struct option longopts[HG_ARRAY_LEN(rows) + 1] = {0};
    int c, index = 0;

    defaults(opt);
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        longopts[i] = (struct option){
            .name = rows[i].name,
            .has_arg = rows[i].kind == FLAG ? no_argument : required_argument,
        };
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":", longopts, &index)) != -1) {
        int rc;

        if (c == ':')
            return hg_fail(err, -EINVAL, "%s needs a value", argv[optind - 1]);
        if (c != 0)
            return hg_fail(err, -EINVAL, "%s is not an option; see --help", argv[optind - 1]);
        rc = store(&rows[index], opt, optarg, err);
        if (rc != 0 || opt->help)
            return rc;
    }
    if (optind < argc)
        return hg_fail(err, -EINVAL, "\"%s\" is not an option; see --help", argv[optind]);
    return check_together(opt, err);
}

void options_help(void)
{
    puts("headgate-load: sends volumes to a Headgate node and tells how it went\n\n"
         "usage: headgate-load --server IP --cert FILE --key FILE --ca FILE [options]\n\n"
         "Sizes take K, M, G, T (1024); rates bit, kbit, Mbit, Gbit (1000); times ms, s, m, h.\n");
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        char left[64];

        snprintf(left, sizeof left, "--%s %s", rows[i].name,
                 rows[i].arg == NULL ? "" : rows[i].arg);
        printf("  %-30s %s\n", left, rows[i].help);
    }
    puts("\nThe exit status is 0 when everything asked for was acknowledged durable, 1 when not,\n"
         "2 for a wrong option.");
}
