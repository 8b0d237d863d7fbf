/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl: the operator's command line, over the daemon's UNIX socket. */
#include "client.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *out)
{
    fputs(
        "headgatectl: ask a running headgate\n"
        "\n"
        "usage: headgatectl [--socket PATH] [--json] COMMAND\n"
        "  volumes              volumes, their size, what is stored, what is durable\n"
        "  conns                connections and sessions\n"
        "  stats [all]          counters that are not zero (all: every counter, with its meaning)\n"
        "  pool                 devices, capacity and use\n"
        "  grow                 use space that was added to the devices\n"
        "  export VOLUME FILE   write a volume as a sparse raw image, checking every CRC\n"
        "\n"
        "The socket is /run/headgate/control.sock or the environment's HEADGATE_SOCKET.\n",
        out);
}

static int fail_answer(json_t *answer)
{
    const char *why = json_string_value(json_object_get(answer, "error"));

    if (why == NULL)
        return 0;
    fprintf(stderr, "headgatectl: %s\n", why);
    return 1;
}

static uint64_t field(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s == NULL ? "" : s;
}

/* "1.5 GiB" */
static const char *human(uint64_t n, char buf[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)n;
    unsigned i = 0;

    while (v >= 1024 && i + 1 < sizeof unit / sizeof unit[0]) {
        v /= 1024;
        i++;
    }
    snprintf(buf, 32, i == 0 ? "%.0f %s" : "%.1f %s", v, unit[i]);
    return buf;
}

static void print_volumes(json_t *answer)
{
    size_t i;
    json_t *v;
    char a[32], b[32];

    printf("%-40s %12s %12s %12s %8s %s\n", "VOLUME", "SIZE", "STORED", "DURABLE SEQ", "EPOCH",
           "SHARD");
    json_array_foreach(json_object_get(answer, "volumes"), i, v)
    {
        int shard = (int)json_integer_value(json_object_get(v, "shard"));

        printf("%-40s %12s %12s %12" PRIu64 " %8" PRIu64 " ", text(v, "name"),
               human(field(v, "size"), a), human(field(v, "mapped"), b), field(v, "durable_seq"),
               field(v, "epoch"));
        if (shard < 0)
            puts("-");
        else
            printf("%d\n", shard);
    }
}

static void print_conns(json_t *answer)
{
    size_t i;
    json_t *c;

    json_array_foreach(json_object_get(answer, "conns"), i, c)
    {
        const json_t *t = json_object_get(c, "tcp"), *s = json_object_get(c, "session");
        char a[32], b[32];

        printf("%-22s %-12s %s %s %s\n", text(c, "peer"), text(t, "state"),
               text(c, "source")[0] != '\0' ? text(c, "source") : "(no source yet)", text(c, "tls"),
               text(c, "suite"));
        printf("    tcp: in %s, out %s, srtt %.3f ms, rto %.0f ms, window %s, unread %" PRIu64
               ", out of order %" PRIu64 ", unacked %" PRIu64 ", retransmits %" PRIu64 "\n",
               human(field(t, "bytes_in"), a), human(field(t, "bytes_out"), b),
               (double)field(t, "srtt_us") / 1e3, (double)field(t, "rto_us") / 1e3,
               human(field(t, "rcv_wnd"), (char[32]){0}), field(t, "unread"), field(t, "ooo"),
               field(t, "unacked"), field(t, "retransmits"));
        if (s != NULL)
            printf("    session: %" PRIu64 " volumes, %" PRIu64
                   " frames, raw %s, wire %s, in flight "
                   "%s, refused %" PRIu64 "%s\n",
                   field(s, "volumes"), field(s, "frames"), human(field(s, "raw_bytes"), a),
                   human(field(s, "wire_bytes"), b), human(field(s, "in_flight"), (char[32]){0}),
                   field(s, "errors"),
                   json_is_true(json_object_get(s, "blocked")) ? ", waits for buffers" : "");
    }
}

static void print_stats(json_t *answer, bool all)
{
    json_t *help = json_object_get(answer, "help"), *shard, *area, *value;
    const char *area_name, *name;
    size_t i;

    printf("uptime %.0f s\n", json_real_value(json_object_get(answer, "uptime_s")));
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        printf("shard %zu\n", i);
        json_object_foreach(shard, area_name, area)
        {
            json_object_foreach(area, name, value)
            {
                char key[128];

                snprintf(key, sizeof key, "%s.%s", area_name, name);
                if (all || json_integer_value(value) != 0)
                    printf("  %-28s %20" JSON_INTEGER_FORMAT "  %s\n", key,
                           json_integer_value(value), all ? text(help, key) : "");
            }
        }
    }
}

static void print_pool(json_t *answer)
{
    size_t i;
    json_t *d;
    char a[32], b[32], c[32];

    printf("pool %s\n  capacity %s, used %s, free %s; segments %" PRIu64 ", free %" PRIu64
           "\n  stripe unit %s, chunk %s; last start replayed %" PRIu64 " entries in %.1f ms\n",
           text(answer, "uuid"), human(field(answer, "capacity"), a),
           human(field(answer, "used"), b), human(field(answer, "free"), c),
           field(answer, "segments"), field(answer, "segments_free"),
           human(field(answer, "stripe_unit"), (char[32]){0}),
           human(field(answer, "chunk"), (char[32]){0}), field(answer, "replay_entries"),
           (double)field(answer, "replay_ns") / 1e6);
    json_array_foreach(json_object_get(answer, "devices"), i, d)
        printf("  device %zu: %s, %s\n", i, text(d, "name"), human(field(d, "size"), a));
}

static int simple(const char *socket, const char *cmd, bool json, bool all)
{
    json_t *answer = client_ask(socket, json_pack("{s:s}", "cmd", cmd));
    int rc;

    if (answer == NULL)
        return 1;
    rc = fail_answer(answer);
    if (rc == 0 && json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (rc == 0 && strcmp(cmd, "volumes") == 0) {
        print_volumes(answer);
    } else if (rc == 0 && strcmp(cmd, "conns") == 0) {
        print_conns(answer);
    } else if (rc == 0 && strcmp(cmd, "stats") == 0) {
        print_stats(answer, all);
    } else if (rc == 0 && strcmp(cmd, "pool") == 0) {
        print_pool(answer);
    } else if (rc == 0) {
        char a[32];

        printf("added %s\n", human(field(answer, "added"), a));
    }
    json_decref(answer);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *socket = getenv("HEADGATE_SOCKET");
    bool json = false;
    int opt;

    if (socket == NULL)
        socket = "/run/headgate/control.sock";
    while ((opt = getopt_long(argc, argv, "s:j", options, NULL)) != -1) {
        if (opt == 'h') {
            usage(stdout);
            return 0;
        }
        if (opt == '?')
            return 2;
        if (opt == 's')
            socket = optarg;
        json |= opt == 'j';
    }
    argv += optind;
    argc -= optind;
    if (argc == 3 && strcmp(argv[0], "export") == 0)
        return client_export(socket, argv[1], argv[2], json);
    if (argc == 1 || (argc == 2 && strcmp(argv[0], "stats") == 0 && strcmp(argv[1], "all") == 0)) {
        static const char *const known[] = {"volumes", "conns", "stats", "pool", "grow"};

        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strcmp(argv[0], known[i]) == 0)
                return simple(socket, argv[0], json, argc == 2);
    }
    usage(stderr);
    return 2;
}
