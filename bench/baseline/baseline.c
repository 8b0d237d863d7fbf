/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one would write without Headgate: a receiver of the native protocol (docs/protocol.md) on
 * kernel sockets, for benches to compare with. One thread; epoll, OpenSSL, zlib, pwrite.
 *
 * It is meant to be as fast as this design can be, so that the comparison is fair: payload is read
 * from TLS straight into the buffer that is written from, OpenSSL reads ahead into a large buffer
 * and keeps its buffers, socket buffers are large, ACKs are merged per visit of a connection,
 * nothing is allocated per frame, and the CRC32C is ISA-L's. It does less than the node: nothing is
 * kept for a restart, no rewind, no time-outs; every error ends the session. Without --sync it says
 * `durable` after pwrite(), which flatters it.
 *
 * At the end (SIGTERM, or --once and the last session is over) it prints one JSON object: bytes,
 * and wall and CPU seconds from the first DATA frame to the end of the last connection. It sleeps
 * when there is nothing to do, so its CPU seconds are busy seconds.
 */
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define VISIT_BYTES (1u << 20) /* read from one connection before the next gets its turn */
#define SOCKET_BYTES (8 << 20) /* receive buffer of a socket */
#define READ_AHEAD 65536       /* OpenSSL's own buffer, bytes: four records */
#define EVENTS 256
#define BACKLOG 4096

struct conn {
    struct server *server;
    SSL *ssl;
    int fd;
    bool shaken; /* the handshake is done */
    bool more;   /* stopped early: OpenSSL may hold bytes that epoll does not know of */
    struct conn *next, **link;
    struct session session;
};

struct options {
    const char *address, *cert, *key, *ca, *path; /* path NULL: throw the data away */
    uint16_t port;
    bool sync, once;
};

struct server {
    struct options opt;
    SSL_CTX *ctx;
    int epoll, listener;
    struct conn *conns;
    uint64_t sessions;
    struct timespec wall_begin, cpu_begin, wall_end, cpu_end;
    char suite[64]; /* of the newest connection */
    struct sink sink;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "baseline: %s: %s\n", what, errno != 0 ? strerror(errno) : "failed");
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ---- one connection ---- */

static int shake_hands(struct conn *c)
{
    int rc = SSL_do_handshake(c->ssl);

    if (rc != 1) {
        rc = SSL_get_error(c->ssl, rc);
        return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -EPROTO;
    }
    c->shaken = true;
    c->server->sessions++;
    snprintf(c->server->suite, sizeof c->server->suite, "%s %s", SSL_get_version(c->ssl),
             SSL_get_cipher(c->ssl));
    return 0;
}

/* Reads until the socket is empty, the visit is over, or too much waits to be sent. */
static int read_frames(struct conn *c)
{
    struct session *s = &c->session;
    uint32_t visit = 0, want;
    int rc = 0;
    size_t n;

    while (rc == 0 && s->stage != ENDING) {
        uint8_t *place = session_place(s, &want);

        c->more = visit >= VISIT_BYTES || s->out_len > SESSION_OUT / 2;
        if (c->more)
            return 0;
        if (SSL_read_ex(c->ssl, place, want, &n) != 1)
            return SSL_get_error(c->ssl, 0) == SSL_ERROR_WANT_READ ? 0 : -ECONNRESET;
        visit += (uint32_t)n;
        rc = session_took(s, (uint32_t)n);
    }
    return rc;
}

static int flush(struct conn *c)
{
    struct session *s = &c->session;
    size_t n;

    if (s->out_len == 0)
        return 0;
    if (SSL_write_ex(c->ssl, s->out, s->out_len, &n) != 1) {
        if (SSL_get_error(c->ssl, 0) != SSL_ERROR_WANT_WRITE)
            return -ECONNRESET;
        c->more = false; /* epoll tells when the socket takes more */
        return 0;
    }
    memmove(s->out, s->out + n, s->out_len - n);
    s->out_len -= (uint32_t)n;
    return 0;
}

static void close_conn(struct conn *c)
{
    struct server *srv = c->server;

    if (c->session.stage == ENDING)
        SSL_shutdown(c->ssl);
    clock_gettime(CLOCK_MONOTONIC, &srv->wall_end);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &srv->cpu_end);
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    SSL_free(c->ssl);
    close(c->fd);
    session_free(&c->session);
    free(c);
    if (srv->opt.once && srv->conns == NULL && srv->sessions != 0)
        stop = 1;
}

static int serve(struct conn *c)
{
    struct server *srv = c->server;
    uint64_t frames = srv->sink.frames;
    int rc = 0;

    if (!c->shaken)
        rc = shake_hands(c);
    if (rc != 0 || !c->shaken)
        return rc;
    if (frames == 0) {
        clock_gettime(CLOCK_MONOTONIC, &srv->wall_begin);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &srv->cpu_begin);
    }
    rc = flush(c);
    if (rc == 0)
        rc = read_frames(c);
    if (rc == 0 && srv->opt.sync && srv->sink.frames != frames && fdatasync(srv->sink.file) != 0)
        rc = -errno;
    if (rc == 0)
        rc = session_acknowledge(&c->session);
    if (rc == 0)
        rc = flush(c);
    if (rc == 0 && c->session.stage == ENDING && c->session.out_len == 0)
        rc = -ESHUTDOWN;
    return rc;
}

static void visit(struct conn *c)
{
    ERR_clear_error(); /* another connection's error must not be taken for this one's */
    c->more = false;
    if (serve(c) != 0)
        close_conn(c);
}

/* ---- all of them ---- */

static void accept_all(struct server *srv)
{
    int fd, one = 1;

    while ((fd = accept4(srv->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

        if (c == NULL || (c->ssl = SSL_new(srv->ctx)) == NULL)
            die("connection");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->server = srv;
        c->session.sink = &srv->sink;
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        c->next = srv->conns;
        c->link = &srv->conns;
        if (c->next != NULL)
            c->next->link = &c->next;
        srv->conns = c;
        if (epoll_ctl(srv->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
            die("epoll_ctl");
    }
}

static void run(struct server *srv)
{
    struct epoll_event events[EVENTS];
    bool more = false;
    struct conn *c, *next;

    while (!stop) {
        int n = epoll_wait(srv->epoll, events, EVENTS, more ? 0 : -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(srv);
            else
                visit(events[i].data.ptr);
        }
        more = false;
        for (c = srv->conns; c != NULL; c = next) {
            next = c->next;
            if (c->more)
                visit(c);
        }
        for (c = srv->conns; c != NULL && !more; c = c->next)
            more = c->more;
    }
}

/* ---- start ---- */

/* ALPN callback; the signature is OpenSSL's. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x0a" HG_PROTO_ALPN;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_ctx(const struct options *opt)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, opt->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, opt->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(ctx, opt->ca, NULL) != 1 ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        die("TLS");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
    return ctx;
}

static int listen_on(const struct options *opt)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(opt->port)};
    int one = 1, bytes = SOCKET_BYTES, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || inet_pton(AF_INET, opt->address, &sa.sin_addr) != 1)
        die("address");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Beyond rmem_max only with CAP_NET_ADMIN; without it the kernel's own tuning is better than
     * what SO_RCVBUF would give. */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, BACKLOG) != 0)
        die("listen");
    return fd;
}

static void parse(int argc, char **argv, struct options *opt)
{
    static const struct option table[] = {
        {"listen", required_argument, NULL, 'l'}, {"port", required_argument, NULL, 'p'},
        {"cert", required_argument, NULL, 'c'},   {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},     {"file", required_argument, NULL, 'f'},
        {"null", no_argument, NULL, 'n'},         {"sync", no_argument, NULL, 's'},
        {"once", no_argument, NULL, 'o'},         {NULL, 0, NULL, 0},
    };
    bool null = false;
    int o;

    while ((o = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (o) {
        case 'l':
            opt->address = optarg;
            break;
        case 'p':
            opt->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            opt->cert = optarg;
            break;
        case 'k':
            opt->key = optarg;
            break;
        case 'a':
            opt->ca = optarg;
            break;
        case 'f':
            opt->path = optarg;
            break;
        case 'n':
            null = true;
            break;
        case 's':
            opt->sync = true;
            break;
        case 'o':
            opt->once = true;
            break;
        default:
            exit(2);
        }
    }
    if (opt->cert == NULL || opt->key == NULL || opt->ca == NULL || null == (opt->path != NULL) ||
        opt->port == 0 || optind != argc || (opt->sync && null)) {
        fprintf(stderr, "usage: baseline [--listen ADDRESS] [--port N] --cert FILE --key FILE "
                        "--ca FILE {--file FILE [--sync] | --null} [--once]\n");
        exit(2);
    }
}

static double between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static void report(const struct server *srv)
{
    const struct sink *k = &srv->sink;
    bool any = k->frames != 0;

    printf("{\"sessions\": %lu, \"tls\": \"%s\", \"frames\": %lu, \"raw_bytes\": %lu, "
           "\"wire_bytes\": %lu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
           srv->sessions, srv->suite, k->frames, k->raw_bytes, k->wire_bytes,
           any ? between(&srv->wall_begin, &srv->wall_end) : 0,
           any ? between(&srv->cpu_begin, &srv->cpu_end) : 0);
}

int main(int argc, char **argv)
{
    static struct server srv = {.opt = {.address = "127.0.0.1", .port = HG_PROTO_PORT}};
    struct epoll_event e = {.events = EPOLLIN};
    struct sigaction sa = {.sa_handler = on_signal};

    parse(argc, argv, &srv.opt);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    srv.sink.file = -1;
    if (srv.opt.path != NULL)
        srv.sink.file = open(srv.opt.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (srv.opt.path != NULL && srv.sink.file < 0)
        die(srv.opt.path);
    if (inflateInit2(&srv.sink.inflate, -MAX_WBITS) != Z_OK)
        die("zlib");
    srv.ctx = make_ctx(&srv.opt);
    srv.listener = listen_on(&srv.opt);
    srv.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (srv.epoll < 0 || epoll_ctl(srv.epoll, EPOLL_CTL_ADD, srv.listener, &e) != 0)
        die("epoll");
    printf("baseline: ready on %s:%u\n", srv.opt.address, srv.opt.port);
    fflush(stdout);
    run(&srv);
    while (srv.conns != NULL)
        close_conn(srv.conns);
    report(&srv);
    return 0;
}
