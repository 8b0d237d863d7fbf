/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"
#include <headgate/export.h>
#include <errno.h>
#include <fcntl.h>
#include <headgate/codec.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE_MAX (1u << 20)

static int client_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof addr.sun_path) {
        fprintf(stderr, "headgatectl: %s: path is too long\n", path);
        return -1;
    }
    strcpy(addr.sun_path, path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        fprintf(stderr,
                "headgatectl: %s: %s; is headgate running, and is this its [control] socket?\n",
                path, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

FILE *client_send(const char *path, json_t *request)
{
    int fd = client_connect(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");

    if (f != NULL) {
        json_dumpf(request, f, JSON_COMPACT);
        fputc('\n', f);
        fflush(f);
    }
    json_decref(request);
    return f;
}

json_t *client_line(FILE *f)
{
    char *line = NULL;
    size_t size = 0;
    json_t *answer = NULL;

    if (getline(&line, &size, f) > 0)
        answer = json_loads(line, 0, NULL);
    if (answer == NULL)
        fputs("headgatectl: headgate closed the socket without an answer\n", stderr);
    free(line);
    return answer;
}

json_t *client_ask(const char *socket_path, json_t *request)
{
    FILE *f = client_send(socket_path, request);
    json_t *answer;

    if (f == NULL)
        return NULL;
    answer = client_line(f);
    fclose(f);
    return answer;
}

/* ---- export ---- */

struct export
{
    FILE *in;
    int out;
    const char *volume, *file;
    uint64_t size, mapped, received;
    uint8_t *buf;
    bool progress;
};

static int export_fail(const struct export *e, const char *why)
{
    fprintf(stderr, "headgatectl: export of %s to %s: %s\n", e->volume, e->file, why);
    return 1;
}

static int export_piece(struct export *e, const struct hg_export_piece *h)
{
    uint64_t offset = hg_le64_get(h->offset);
    uint32_t len = hg_le32_get(h->len);

    if (len > PIECE_MAX || offset > e->size || len > e->size - offset)
        return export_fail(e, "headgate sent a piece beyond the volume's end");
    if (fread(e->buf, 1, len, e->in) != len)
        return export_fail(e, "the stream broke off; see headgate's log");
    if (hg_crc32c(e->buf, len) != hg_le32_get(h->crc))
        return export_fail(e, "a piece was damaged on its way from headgate");
    for (uint32_t done = 0; done < len;) {
        ssize_t n = pwrite(e->out, e->buf + done, len - done, (off_t)(offset + done));

        if (n <= 0)
            return export_fail(e, strerror(errno));
        done += (uint32_t)n;
    }
    e->received += len;
    if (e->progress)
        fprintf(stderr, "\r%s: %3.0f %%", e->volume,
                e->mapped == 0 ? 100.0 : 100.0 * (double)e->received / (double)e->mapped);
    return 0;
}

static int export_stream(struct export *e)
{
    struct hg_export_piece h;

    for (;;) {
        int rc;

        if (fread(&h, sizeof h, 1, e->in) != 1)
            return export_fail(e, "the stream broke off; see headgate's log");
        if (hg_le32_get(h.len) == 0)
            break;
        rc = export_piece(e, &h);
        if (rc != 0)
            return rc;
    }
    if (hg_le32_get(h.status) != 0) {
        char why[160];

        snprintf(why, sizeof why, "%s at offset %" PRIu64,
                 hg_le32_get(h.status) == EILSEQ ? "stored CRC does not match"
                                                 : strerror((int)hg_le32_get(h.status)),
                 hg_le64_get(h.offset));
        return export_fail(e, why);
    }
    if (fsync(e->out) != 0)
        return export_fail(e, strerror(errno));
    return 0;
}

static int export_open(struct export *e)
{
    json_t *answer = client_line(e->in);
    const char *why = json_string_value(json_object_get(answer, "error"));
    int rc = answer == NULL;

    if (why != NULL)
        rc = export_fail(e, why);
    e->size = (uint64_t)json_integer_value(json_object_get(answer, "size"));
    e->mapped = (uint64_t)json_integer_value(json_object_get(answer, "mapped"));
    json_decref(answer);
    if (rc != 0)
        return rc;
    e->out = open(e->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (e->out < 0 || ftruncate(e->out, (off_t)e->size) != 0)
        return export_fail(e, strerror(errno));
    return 0;
}

int client_export(const char *socket_path, const char *volume, const char *file, bool json)
{
    struct export e = {.volume = volume, .file = file, .out = -1, .buf = malloc(PIECE_MAX)};
    int rc = 1;

    e.progress = !json && isatty(STDERR_FILENO);
    e.in = client_send(socket_path, json_pack("{s:s, s:s}", "cmd", "export", "volume", volume));
    if (e.in != NULL && e.buf != NULL)
        rc = export_open(&e);
    if (rc == 0 && e.out >= 0)
        rc = export_stream(&e);
    if (e.progress)
        fputc('\n', stderr);
    if (rc == 0 && json)
        printf("{\"volume\": \"%s\", \"size\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n", volume,
               e.size, e.received);
    else if (rc == 0)
        printf("%s: %" PRIu64 " bytes written to %s, all CRCs right\n", volume, e.received, file);
    if (e.out >= 0)
        close(e.out);
    if (e.in != NULL)
        fclose(e.in);
    free(e.buf);
    return rc;
}
