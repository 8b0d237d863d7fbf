/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operator's socket: one JSON request a connection, one line; one JSON answer, one line. An
 * export and a capture answer with one JSON line and then binary pieces (export.c, capture.c).
 *
 *     {"cmd": "volumes" | "stats" | "conns" | "pool" | "devices" | "grow" | "certificates" | "reload"}
 *     {"cmd": "conns", "trace": "ADDRESS:PORT"}
 *     {"cmd": "export", "volume": "source/volume"}
 *     {"cmd": "capture", "interface": TEXT, "filter": TEXT, "seconds": N, "packets": N, "snaplen": N}
 *     (each may be missing)
 *
 * An answer with "error" holds a sentence. The socket has mode 0600: whoever may connect is the
 * operator.
 */
#include "node.h"
#include "report.h"
#include <errno.h>
#include <headgate/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define REQUEST_TIMEOUT_S 2

/* The socket's folder is made when it is missing. A stale socket of a daemon that died is replaced;
 * one that answers is not. */
static int clear_stale(const struct sockaddr_un *addr, struct hg_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return hg_fail(err, -errno, "control socket: %s", strerror(errno));
    rc = connect(fd, (const struct sockaddr *)addr, sizeof *addr);
    close(fd);
    if (rc == 0)
        return hg_fail(err, -EADDRINUSE, "control socket %s: another headgate is running",
                       addr->sun_path);
    unlink(addr->sun_path);
    return 0;
}

static void make_folder(const char *path)
{
    char folder[CFG_TEXT_MAX];
    char *slash;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder)
        return;
    *slash = '\0';
    mkdir(folder, 0755); /* bind() tells when this did not help */
}

int control_open(const char *path, int *out, struct hg_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    mode_t old;
    int fd, rc;

    if (strlen(path) >= sizeof addr.sun_path)
        return hg_fail(err, -EINVAL, "[control] socket = %s: longer than %zu characters", path,
                       sizeof addr.sun_path - 1);
    strcpy(addr.sun_path, path);
    make_folder(path);
    rc = clear_stale(&addr, err);
    if (rc != 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    old = umask(0177);
    rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&addr, sizeof addr);
    umask(old);
    if (rc != 0 || listen(fd, 16) != 0) {
        rc = hg_fail(err, -errno, "control socket %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

/* ---- requests ---- */

static json_t *read_request(int client)
{
    char text[REQUEST_MAX];
    size_t len = 0;
    struct timeval timeout = {REQUEST_TIMEOUT_S, 0};

    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    while (len < sizeof text && memchr(text, '\n', len) == NULL) {
        ssize_t n = read(client, text + len, sizeof text - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
}

static void reply(int client, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);

    if (text != NULL) {
        text[len] = '\n'; /* in place of the NUL: one write, one line */
        for (size_t done = 0; done <= len;) {
            ssize_t n = write(client, text + done, len + 1 - done);

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            done += (size_t)n;
        }
    }
    free(text);
    json_decref(answer);
}

static json_t *grow(struct node *node)
{
    uint64_t added;
    struct hg_err err;

    if (hg_pool_grow(node->pool, &added, &err) != 0)
        return json_pack("{s:s}", "error", err.text);
    hg_log(HG_LOG_INFO, "node", "pool grew by %llu bytes", (unsigned long long)added);
    return json_pack("{s:I}", "added", (json_int_t)added);
}

/* What is in use afterwards, be it the old. */
static json_t *reload(struct node *node)
{
    struct hg_err err = {""};

    return node_reload(node, &err) == 0
               ? node_tls_report(node)
               : json_pack("{s:s, s:o}", "error", err.text, "in_use", node_tls_report(node));
}

void control_serve(struct node *node, int client)
{
    json_t *request = read_request(client);
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    const char *volume = json_string_value(json_object_get(request, "volume"));
    json_t *answer;

    if (cmd == NULL) {
        answer = json_pack("{s:s}", "error", "send one line like {\"cmd\": \"stats\"}");
    } else if (strcmp(cmd, "export") == 0 && volume != NULL) {
        int rc = export_start(node, client, volume);

        if (rc == 0) {
            json_decref(request);
            return; /* the thread closes the client */
        }
        answer =
            json_pack("{s:s}", "error", rc == -EBUSY ? "too many exports at once" : strerror(-rc));
    } else if (strcmp(cmd, "capture") == 0) {
        struct hg_err err;

        if (capture_start(node, client, request, &err) == 0) {
            json_decref(request);
            return; /* the thread closes the client */
        }
        answer = json_pack("{s:s}", "error", err.text);
    } else if (strcmp(cmd, "volumes") == 0) {
        answer = report_volumes(node);
    } else if (strcmp(cmd, "stats") == 0) {
        answer = report_stats(node);
    } else if (strcmp(cmd, "conns") == 0) {
        const char *peer = json_string_value(json_object_get(request, "trace"));

        answer = peer != NULL ? report_trace(node, peer) : report_conns(node);
    } else if (strcmp(cmd, "pool") == 0) {
        answer = report_pool(node);
    } else if (strcmp(cmd, "devices") == 0) {
        answer = report_devices(node);
    } else if (strcmp(cmd, "grow") == 0) {
        answer = grow(node);
    } else if (strcmp(cmd, "certificates") == 0) {
        answer = node_tls_report(node);
    } else if (strcmp(cmd, "reload") == 0) {
        answer = reload(node);
    } else {
        answer = json_pack(
            "{s:s}", "error",
            "unknown command; known are volumes stats conns pool devices grow certificates reload "
            "export capture");
    }
    reply(client, answer);
    json_decref(request);
    close(client);
}
