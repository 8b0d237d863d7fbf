/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl: the operator's command line, over the daemon's UNIX socket. */
#include "ctl.h"
#include "client.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- shared ---- */

uint64_t ctl_number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

const char *ctl_text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s == NULL ? "" : s;
}

const char *ctl_human(uint64_t n, char buf[32])
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

json_t *ctl_ask(const struct ctl *ctl, json_t *request)
{
    json_t *answer = client_ask(ctl->socket, request);
    const char *why = json_string_value(json_object_get(answer, "error"));

    if (why == NULL)
        return answer;
    fprintf(stderr, "headgatectl: %s\n", why);
    if (ctl->json)
        ctl_print_json(answer);
    else
        json_decref(answer);
    return NULL;
}

void ctl_print_json(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}

/* ---- volumes, pool, grow, export ---- */

static void print_volumes(const json_t *answer)
{
    size_t i;
    json_t *v;
    char a[32], b[32];

    printf("%-40s %12s %12s %12s %8s %s\n", "VOLUME", "SIZE", "STORED", "DURABLE SEQ", "EPOCH",
           "SHARD");
    json_array_foreach(json_object_get(answer, "volumes"), i, v)
    {
        int shard = (int)json_integer_value(json_object_get(v, "shard"));

        printf("%-40s %12s %12s %12" PRIu64 " %8" PRIu64 " ", ctl_text(v, "name"),
               ctl_human(ctl_number(v, "size"), a), ctl_human(ctl_number(v, "mapped"), b),
               ctl_number(v, "durable_seq"), ctl_number(v, "epoch"));
        if (shard < 0)
            puts("-");
        else
            printf("%d\n", shard);
    }
}

static void print_pool(const json_t *answer)
{
    size_t i;
    json_t *d;
    char a[32], b[32], c[32];

    printf("pool %s\n  capacity %s, used %s, free %s; segments %" PRIu64 ", free %" PRIu64
           "\n  stripe unit %s, chunk %s; last start replayed %" PRIu64 " entries in %.1f ms\n",
           ctl_text(answer, "uuid"), ctl_human(ctl_number(answer, "capacity"), a),
           ctl_human(ctl_number(answer, "used"), b), ctl_human(ctl_number(answer, "free"), c),
           ctl_number(answer, "segments"), ctl_number(answer, "segments_free"),
           ctl_human(ctl_number(answer, "stripe_unit"), (char[32]){0}),
           ctl_human(ctl_number(answer, "chunk"), (char[32]){0}),
           ctl_number(answer, "replay_entries"), (double)ctl_number(answer, "replay_ns") / 1e6);
    json_array_foreach(json_object_get(answer, "devices"), i, d) printf(
        "  device %zu: %s, %s\n", i, ctl_text(d, "name"), ctl_human(ctl_number(d, "size"), a));
}

static void print_grown(const json_t *answer)
{
    char a[32];

    printf("added %s\n", ctl_human(ctl_number(answer, "added"), a));
}

static void print_dates(const json_t *item, const char *from, const char *until)
{
    const char *key[2] = {from, until};
    char text[2][32];

    for (int i = 0; i < 2; i++) {
        time_t t = (time_t)json_integer_value(json_object_get(item, key[i]));
        struct tm tm;

        if (gmtime_r(&t, &tm) == NULL || strftime(text[i], 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
            text[i][0] = '\0';
    }
    printf("  %s UTC to %s UTC  %s\n", text[0], text[1], ctl_text(item, "file"));
}

static void print_certificates(const json_t *answer)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(answer, "certificates"), i, item)
    {
        printf("certificate %s, %s%s\n", ctl_text(item, "subject"), ctl_text(item, "key"),
               json_is_true(json_object_get(item, "in_use")) ? "" : ", not in use");
        print_dates(item, "not_before", "not_after");
    }
    json_array_foreach(json_object_get(answer, "cas"), i, item)
    {
        printf("CA %s\n", ctl_text(item, "subject"));
        print_dates(item, "not_before", "not_after");
    }
    json_array_foreach(json_object_get(answer, "crls"), i, item)
    {
        printf("revocation list of %s\n", ctl_text(item, "subject"));
        print_dates(item, "this_update", "next_update");
    }
    printf("pins %" PRIu64 "\n", ctl_number(answer, "pins"));
    json_array_foreach(json_object_get(answer, "warnings"), i, item)
        printf("WARNING: %s\n", json_string_value(item));
}

/* A command that is a word and an answer. */
static int simple(const struct ctl *ctl, int argc, const char *cmd, void (*print)(const json_t *))
{
    json_t *answer;

    if (argc != 1)
        return CTL_USAGE;
    answer = ctl_ask(ctl, json_pack("{s:s}", "cmd", cmd));
    if (answer == NULL)
        return 1;
    if (ctl->json) {
        ctl_print_json(answer);
    } else {
        print(answer);
        json_decref(answer);
    }
    return 0;
}

static int ctl_volumes(const struct ctl *ctl, int argc, char **argv)
{
    return simple(ctl, argc, argv[0], print_volumes);
}

static int ctl_pool(const struct ctl *ctl, int argc, char **argv)
{
    return simple(ctl, argc, argv[0], print_pool);
}

static int ctl_grow(const struct ctl *ctl, int argc, char **argv)
{
    return simple(ctl, argc, argv[0], print_grown);
}

static int ctl_certificates(const struct ctl *ctl, int argc, char **argv)
{
    return simple(ctl, argc, argv[0], print_certificates);
}

static int ctl_export(const struct ctl *ctl, int argc, char **argv)
{
    return argc == 3 ? client_export(ctl->socket, argv[1], argv[2], ctl->json) : CTL_USAGE;
}

/* ---- the command line ---- */

static const struct command {
    const char *name, *arguments, *help;
    int (*run)(const struct ctl *ctl, int argc, char **argv);
} commands[] = {
    {"volumes", "", "volumes, their size, what is stored, what is durable", ctl_volumes},
    {"conns", "[state STATE] [src NAME] [peer ADDR[:PORT]]",
     "connections as `ss -ti` shows them, and their sessions", ctl_conns},
    {"conns", "--trace ADDR:PORT", "the last events of one connection", ctl_conns},
    {"stats", "[--explain]",
     "counters that are not zero (--explain: every counter, with its meaning)", ctl_stats},
    {"capture", "[--interface NAME] [--filter BPF] [--seconds N] [--packets N] [--snaplen N] FILE",
     "packets of a port, the first unless named, into a pcapng file (- is stdout), until Ctrl-C",
     ctl_capture},
    {"devices", "[--histogram]",
     "devices of the pool: model, health, load, latencies, errors, events", ctl_devices},
    {"doctor", "[--config FILE | DEVICE...] [--commands]",
     "what this machine lacks for driving devices from user space (those that a profile or you "
     "name, "
     "else all), and the commands that mend it; needs no daemon",
     ctl_doctor},
    {"pool", "", "devices, capacity and use", ctl_pool},
    {"grow", "", "use space that was added to the devices", ctl_grow},
    {"certificates", "", "certificates, CAs, revocation lists and pins in use, and what ends soon",
     ctl_certificates},
    {"reload", "", "load all of these anew for new sessions, as SIGHUP does, and show them",
     ctl_certificates},
    {"export", "VOLUME FILE", "write a volume as a sparse raw image, checking every CRC",
     ctl_export},
};

static void usage(FILE *out)
{
    fputs("headgatectl: ask a running headgate\n"
          "\n"
          "usage: headgatectl [--socket PATH] [--json] COMMAND\n",
          out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %s %s\n        %s\n", commands[i].name, commands[i].arguments,
                commands[i].help);
    fputs("\nThe socket is /run/headgate/control.sock or the environment's HEADGATE_SOCKET.\n",
          out);
}

/* The rows of one command; whether there is such a one. */
static bool usage_of(FILE *out, const char *name, bool with_help)
{
    bool known = false;

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        fprintf(out, "usage: headgatectl [--socket PATH] [--json] %s %s\n", name,
                commands[i].arguments);
        if (with_help)
            fprintf(out, "        %s\n", commands[i].help);
        known = true;
    }
    return known;
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
    int rc = CTL_USAGE;

    if (argc == 0) {
        usage(stderr);
        return CTL_USAGE;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
        usage_of(stdout, argv[0], true))
        return 0;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            rc = commands[i].run(ctl, argc, argv);
            break;
        }
    }
    if (rc != CTL_USAGE)
        return rc;
    if (!usage_of(stderr, argv[0], false))
        fprintf(stderr, "headgatectl: there is no command '%s'\n", argv[0]);
    fputs("headgatectl --help tells more\n", stderr);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *socket = getenv("HEADGATE_SOCKET");
    struct ctl ctl = {.socket = socket != NULL ? socket : "/run/headgate/control.sock"};
    int opt;

    /* "+": what follows the command is the command's. */
    while ((opt = getopt_long(argc, argv, "+s:j", options, NULL)) != -1) {
        if (opt == 'h') {
            usage(stdout);
            return 0;
        }
        if (opt == '?')
            return CTL_USAGE;
        if (opt == 's')
            ctl.socket = optarg;
        ctl.json |= opt == 'j';
    }
    argv += optind;
    argc -= optind;
    /* `COMMAND --json` means the same. */
    if (argc > 1 && strcmp(argv[argc - 1], "--json") == 0) {
        ctl.json = true;
        argc--;
    }
    return run(&ctl, argc, argv);
}
