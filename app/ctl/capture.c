/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * headgatectl capture: asks for a capture and writes what comes to the file, in whole pieces only, so that the
 * file can be read whenever it ends. A first signal asks the node for the end, which flushes what it has
 * and adds the totals; a second ends at once.
 */
#include "client.h"
#include "ctl.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <headgate/capture.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct capture {
    const struct ctl *ctl;
    const char *path;
    FILE *in;
    int out;
    uint64_t bytes;
};

static int fail(const struct capture *c, const char *why)
{
    fprintf(stderr, "headgatectl: capture to %s: %s\n", c->path, why);
    return 1;
}

/* ---- signals: the only thing a handler can reach is a variable ---- */

static volatile sig_atomic_t stop_fd = -1;

static void on_signal(int signal)
{
    int saved = errno;

    (void)signal;
    shutdown(stop_fd, SHUT_WR);
    errno = saved;
}

/* A second one finds the default. */
static void catch_signals(int fd)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

    stop_fd = fd;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

/* ---- the stream ---- */

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len != 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int copy_pieces(struct capture *c, uint8_t *buf)
{
    for (;;) {
        struct hg_capture_piece h;
        uint32_t len;

        if (fread(&h, sizeof h, 1, c->in) != 1)
            return fail(c, "headgate went away; the file holds what came until then");
        len = hg_le32_get(h.len);
        if (len == 0)
            return 0;
        if (len > HG_CAPTURE_PIECE_MAX)
            return fail(c, "headgate sent a piece that is too long");
        if (fread(buf, 1, len, c->in) != len)
            return fail(c, "headgate went away; the file holds what came until then");
        if (write_all(c->out, buf, len) != 0)
            return fail(c, strerror(errno));
        c->bytes += len;
    }
}

static void print_totals(const struct capture *c, json_t *totals)
{
    uint64_t dropped = ctl_number(totals, "dropped");

    if (c->ctl->json) {
        json_dumpf(totals, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    fprintf(stderr,
            "%s: %" PRIu64 " packets written; %" PRIu64
            " went over %s meanwhile, the filter let %" PRIu64 " through, %" PRIu64
            " were dropped%s\n",
            c->path, ctl_number(totals, "packets"), ctl_number(totals, "seen"),
            ctl_text(totals, "interface"), ctl_number(totals, "accepted"), dropped,
            dropped != 0 ? " because this end was too slow" : "");
}

/* The file is made only when headgate has agreed. */
static int run(struct capture *c)
{
    json_t *answer = client_line(c->in);
    const char *why = json_string_value(json_object_get(answer, "error"));
    uint8_t *buf = malloc(HG_CAPTURE_PIECE_MAX);
    int rc = answer == NULL || buf == NULL;

    if (why != NULL)
        rc = fail(c, why);
    if (rc == 0 && strcmp(c->path, "-") != 0)
        c->out = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (rc == 0 && c->out < 0)
        rc = fail(c, strerror(errno));
    json_decref(answer);
    if (rc == 0) {
        catch_signals(fileno(c->in));
        rc = copy_pieces(c, buf);
    }
    free(buf);
    if (rc != 0)
        return rc;
    answer = client_line(c->in);
    if (answer == NULL)
        return 1;
    print_totals(c, answer);
    json_decref(answer);
    return 0;
}

/* Until headgate has taken the capture down, so that the next one finds nothing in its way. */
static void wait_for_end(const struct capture *c)
{
    char rest[4096];

    shutdown(fileno(c->in), SHUT_WR);
    while (fread(rest, 1, sizeof rest, c->in) != 0) {
    }
}

/* ---- the command line ---- */

static bool number(const char *text, json_t *request, const char *key)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0 || n > UINT32_MAX) {
        fprintf(stderr, "headgatectl: --%s %s: a whole number above 0 is wanted\n", key, text);
        return false;
    }
    json_object_set_new(request, key, json_integer((json_int_t)n));
    return true;
}

/* The options into the request; false when something is not understood. */
static bool parse(int argc, char **argv, json_t *request)
{
    static const struct option options[] = {
        {"interface", required_argument, NULL, 'i'}, {"filter", required_argument, NULL, 'f'},
        {"seconds", required_argument, NULL, 's'},   {"packets", required_argument, NULL, 'p'},
        {"snaplen", required_argument, NULL, 'l'},   {NULL, 0, NULL, 0}};
    bool ok = true;
    int opt, which;

    optind = 0; /* a new command line */
    while (ok && (opt = getopt_long(argc, argv, "", options, &which)) != -1) {
        if (opt == 'f' || opt == 'i')
            ok = json_object_set_new(request, options[which].name, json_string(optarg)) == 0;
        else
            ok = opt != '?' && number(optarg, request, options[which].name);
    }
    return ok && optind == argc - 1;
}

int ctl_capture(const struct ctl *ctl, int argc, char **argv)
{
    struct capture c = {.ctl = ctl, .out = STDOUT_FILENO};
    json_t *request = json_pack("{s:s}", "cmd", "capture");
    int rc;

    if (!parse(argc, argv, request)) {
        json_decref(request);
        return CTL_USAGE;
    }
    c.path = argv[optind];
    c.in = client_send(ctl->socket, request);
    if (c.in == NULL)
        return 1;
    rc = run(&c);
    wait_for_end(&c);
    if (c.out != STDOUT_FILENO && c.out >= 0)
        close(c.out);
    fclose(c.in);
    return rc;
}
