/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/tls alone over a kernel socket, for tests against the TLS libraries of others: an echo server
 * on descriptor 0, or a client between stdin, stdout and descriptor 3. Also the example of how a
 * foreign harness drives a connection: bytes in (open), bytes out (take, seal) and its state.
 *
 *     socat TCP-LISTEN:4433,fork,reuseaddr EXEC:'tls_shim server'
 *     tls_shim client 3<>/dev/tcp/127.0.0.1/4433          # in bash
 *
 * Settings are in the environment: TLS_CERT, TLS_KEY, TLS_CA (none: a server asks for no certificate),
 * TLS_NAME (of the server), TLS_ALPN, TLS_OPENSSL (the record provider). What happens is told on
 * stderr; the exit status is 0 when the peer closed in order.
 */
#include <errno.h>
#include <headgate/tls.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct shim {
    struct hg_tls *tls;
    int fd;
    bool server, typing;                /* typing: stdin may have more */
    bool ended;                         /* the peer's FIN or reset came */
    uint32_t in_len, out_len;           /* bytes */
    uint8_t in[2 * HG_TLS_MAX_RECORD];  /* from the peer, not opened yet */
    uint8_t out[4 * HG_TLS_MAX_RECORD]; /* to the peer, not written yet */
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "tls_shim: %s: %s\n", what, strerror(errno));
        exit(2);
    }
}

/* What TLS wants to send, then a record of data, if any: the order on the wire is that of calls. */
static void put(struct shim *s, uint8_t *data, uint32_t len)
{
    struct hg_iov iov = {data, len};
    int n = 0;

    s->out_len += hg_tls_take(s->tls, s->out + s->out_len, sizeof s->out - s->out_len);
    if (len != 0)
        n = hg_tls_seal(s->tls, &iov, 1, s->out + s->out_len, sizeof s->out - s->out_len);
    must(n >= 0, "hg_tls_seal");
    s->out_len += (uint32_t)n;
}

/* Opens whole records while there is room for an answer to each. */
static void open_records(struct shim *s)
{
    uint8_t text[HG_TLS_MAX_RECORD];
    struct hg_tls_opened res = {.consumed = 1};
    int rc = 0;

    while (rc == 0 && res.consumed != 0 && s->out_len + HG_TLS_MAX_RECORD <= sizeof s->out) {
        struct hg_iov in = {s->in, s->in_len}, dst = {text, sizeof text};
        bool was_open = hg_tls_state(s->tls) != HG_TLS_HANDSHAKE;

        rc = hg_tls_open(s->tls, &in, 1, &dst, &res);
        s->in_len -= res.consumed;
        memmove(s->in, s->in + res.consumed, s->in_len);
        if (!was_open && hg_tls_state(s->tls) == HG_TLS_OPEN)
            fprintf(stderr, "tls_shim: open %s %s peer=%s\n", hg_tls_version(s->tls),
                    hg_tls_suite(s->tls), hg_tls_peer_name(s->tls));
        if (!s->server)
            must(write(STDOUT_FILENO, text, res.len) == (ssize_t)res.len, "stdout");
        put(s, text, s->server ? res.len : 0);
    }
    if (hg_tls_state(s->tls) == HG_TLS_PEER_CLOSED)
        hg_tls_close(s->tls);
    put(s, NULL, 0);
}

static void from_peer(struct shim *s)
{
    ssize_t n = read(s->fd, s->in + s->in_len, sizeof s->in - s->in_len);

    s->ended = n <= 0;
    s->in_len += n > 0 ? (uint32_t)n : 0;
    open_records(s);
}

static void to_peer(struct shim *s)
{
    ssize_t n = send(s->fd, s->out, s->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

    s->ended = n < 0;
    s->out_len -= n > 0 ? (uint32_t)n : 0;
    memmove(s->out, s->out + (n > 0 ? n : 0), s->out_len);
    open_records(s);
}

static void from_stdin(struct shim *s)
{
    uint8_t text[HG_TLS_MAX_PLAINTEXT];
    ssize_t n = read(STDIN_FILENO, text, sizeof text);

    must(n >= 0, "stdin");
    s->typing = n > 0;
    if (n == 0)
        hg_tls_close(s->tls);
    put(s, text, (uint32_t)n);
}

/* One connection to its end. */
static void run(struct shim *s)
{
    enum hg_tls_state state;

    put(s, NULL, 0);
    while (!s->ended && ((state = hg_tls_state(s->tls)) < HG_TLS_PEER_CLOSED || s->out_len != 0)) {
        bool idle = s->out_len == 0, read_too = idle || !s->server;
        struct pollfd p[2] = {
            {s->fd, (short)((read_too ? POLLIN : 0) | (idle ? 0 : POLLOUT)), 0},
            {idle && s->typing && state == HG_TLS_OPEN ? STDIN_FILENO : -1, POLLIN, 0},
        };

        must(poll(p, 2, -1) > 0, "poll");
        if (p[0].revents & POLLOUT)
            to_peer(s);
        else if (p[0].revents != 0)
            from_peer(s);
        else
            from_stdin(s);
    }
}

int main(int argc, char **argv)
{
    bool server = argc == 2 && strcmp(argv[1], "server") == 0;
    struct hg_tls_cfg cfg = {
        .role = server ? HG_TLS_SERVER : HG_TLS_CLIENT,
        .provider = getenv("TLS_OPENSSL") != NULL ? HG_TLS_OPENSSL : HG_TLS_IPSEC_MB,
        .cert_file = getenv("TLS_CERT"),
        .key_file = getenv("TLS_KEY"),
        .ca_file = getenv("TLS_CA"),
        .alpn = getenv("TLS_ALPN"),
        .server_name = getenv("TLS_NAME"),
        .client_cert = getenv("TLS_CA") == NULL ? HG_TLS_CERT_OFF : HG_TLS_CERT_REQUIRED,
    };
    static struct shim s;
    struct hg_tls_shard *shard;
    struct hg_tls_ctx *ctx;
    struct hg_err err = {""};
    enum hg_tls_state state;

    must(server || (argc == 2 && strcmp(argv[1], "client") == 0), "usage: tls_shim server|client");
    must(hg_tls_ctx_create(&cfg, &ctx, &err) == 0, err.text);
    must(hg_tls_shard_create(&shard, &err) == 0, err.text);
    s = (struct shim){.server = server, .typing = !server, .fd = server ? 0 : 3};
    must(hg_tls_create(ctx, shard, &s.tls) == 0, "hg_tls_create");
    run(&s);
    shutdown(s.fd, SHUT_WR);
    while (read(s.fd, s.in, sizeof s.in) > 0) /* else the close resets, and an alert is lost */
        ;
    state = hg_tls_state(s.tls);
    fprintf(stderr, "tls_shim: %s\n",
            state == HG_TLS_PEER_CLOSED ? "closed"
            : state == HG_TLS_FAILED    ? hg_tls_error(s.tls)
                                        : "cut off");
    hg_tls_destroy(s.tls);
    hg_tls_shard_destroy(shard);
    hg_tls_ctx_unref(ctx);
    return state == HG_TLS_PEER_CLOSED ? 0 : 1;
}
