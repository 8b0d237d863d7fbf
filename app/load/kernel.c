/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel transport: one epoll loop per thread.
 *
 * A frame's payload lives in the thread's scratch only until the next frame is made, so frames are
 * copied once into the connection's out buffer, and leave it in records of 16 KiB. Socket buffers
 * are left to the kernel: SO_SNDBUF would turn its auto-tuning off and is capped lower.
 */
#include "transport.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD 16384u
#define OUT_LOW (4u * RECORD)      /* frames are made while less than this waits */
#define PUMP_BUDGET (16u * RECORD) /* bytes written for one connection per turn */
#define EVENTS 64
#define USER_TIMEOUT_MS 20000u /* unacknowledged data: the node's host is gone */
#define RETRANSMITS_EVERY HG_SEC(1)

enum link_state { LINK_NONE, LINK_TCP, LINK_TLS, LINK_UP };

struct link {
    struct session *session;
    enum link_state state;
    int fd;
    SSL *ssl;
    bool want_write; /* blocked until EPOLLOUT */
    bool runnable;   /* budget was used up: more to do at once */
    uint32_t events; /* as registered */
    uint32_t retransmits;
    uint8_t *out; /* [out_at, out_len) waits */
    uint32_t out_at, out_len;
};

struct kernel {
    struct worker *worker;
    int epoll_fd;
    SSL_CTX **ctx; /* per certificate */
    unsigned n_ctx;
    struct link *links;
    uint32_t out_cap;
    uint8_t in[RECORD];
};

static void set_events(struct kernel *k, struct link *l, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = l};

    if (l->events == events)
        return;
    epoll_ctl(k->epoll_fd, l->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, l->fd, &ev);
    l->events = events;
}

static void note_retransmits(struct kernel *k, struct link *l)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return;
    stat_add(&k->worker->stats.n.retransmits, info.tcpi_total_retrans - l->retransmits);
    l->retransmits = info.tcpi_total_retrans;
}

static void link_close(struct kernel *k, struct link *l, bool never, const char *why, hg_ns now)
{
    if (l->state == LINK_NONE)
        return;
    note_retransmits(k, l);
    if (l->ssl != NULL) {
        if (l->state == LINK_UP)
            SSL_shutdown(l->ssl);
        SSL_free(l->ssl);
    }
    close(l->fd);
    ERR_clear_error();
    l->ssl = NULL;
    l->fd = -1;
    l->state = LINK_NONE;
    l->events = 0;
    l->retransmits = 0;
    l->out_at = l->out_len = 0;
    l->want_write = l->runnable = false;
    session_down(l->session, never, why, now);
}

/* Closes for what OpenSSL or the socket reports. */
static void link_broken(struct kernel *k, struct link *l, int ret, hg_ns now)
{
    int sys = errno;
    int code = SSL_get_error(l->ssl, ret);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    bool cut = code != SSL_ERROR_SSL || ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    const char *refusal = certs_refusal();
    char why[600];

    if (code == SSL_ERROR_ZERO_RETURN)
        snprintf(why, sizeof why, "the node closed the connection");
    else if (cut)
        snprintf(why, sizeof why, "the connection broke: %s",
                 code == SSL_ERROR_SYSCALL && sys != 0 ? strerror(sys) : "end of stream");
    else
        snprintf(why, sizeof why, "TLS failed: %s",
                 refusal[0] != '\0' ? refusal
                 : reason == NULL   ? "unknown"
                                    : reason);
    link_close(k, l, !cut, why, now);
}

/* ---- sending ---- */

/* Moves frames into the out buffer. false: the connection must be closed. */
static bool fill(struct link *l, hg_ns now)
{
    if (l->out_at != 0) {
        memmove(l->out, l->out + l->out_at, l->out_len - l->out_at);
        l->out_len -= l->out_at;
        l->out_at = 0;
    }
    while (l->out_len < OUT_LOW) {
        struct hg_source_frame f;
        int rc = session_next(l->session, now, &f);

        if (rc <= 0)
            return rc == 0;
        memcpy(l->out + l->out_len, f.header, HG_FRAME_HEADER);
        l->out_len += HG_FRAME_HEADER;
        if (f.payload_len != 0)
            memcpy(l->out + l->out_len, f.payload, f.payload_len);
        l->out_len += f.payload_len;
    }
    return true;
}

/* Writes what waits. false: the link is closed. */
static bool drain(struct kernel *k, struct link *l, uint32_t *budget, hg_ns now)
{
    while (l->out_at < l->out_len && *budget != 0) {
        uint32_t n = l->out_len - l->out_at;
        int rc;

        if (n > RECORD)
            n = RECORD;
        rc = SSL_write(l->ssl, l->out + l->out_at, (int)n);
        if (rc > 0) {
            l->out_at += (uint32_t)rc;
            *budget -= *budget < (uint32_t)rc ? *budget : (uint32_t)rc;
            continue;
        }
        rc = SSL_get_error(l->ssl, rc);
        if (rc == SSL_ERROR_WANT_WRITE || rc == SSL_ERROR_WANT_READ) {
            l->want_write = rc == SSL_ERROR_WANT_WRITE;
            return true;
        }
        link_broken(k, l, -1, now);
        return false;
    }
    return true;
}

static void pump(struct kernel *k, struct link *l, hg_ns now)
{
    uint32_t budget = PUMP_BUDGET;
    bool good = true;

    l->runnable = false;
    while (l->state == LINK_UP && !l->want_write) {
        if (good && l->out_len - l->out_at < RECORD)
            good = fill(l, now);
        if (l->out_at == l->out_len)
            break;
        if (budget == 0) {
            l->runnable = true;
            break;
        }
        if (!drain(k, l, &budget, now))
            return;
    }
    if (!good)
        link_close(k, l, false, NULL, now);
    else if (l->state == LINK_UP)
        set_events(k, l, l->want_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- receiving and connecting ---- */

static void receive(struct kernel *k, struct link *l, hg_ns now)
{
    for (unsigned i = 0; i < 16; i++) {
        int n = SSL_read(l->ssl, k->in, sizeof k->in);
        int code;

        if (n > 0) {
            if (session_input(l->session, k->in, (size_t)n, now))
                continue;
            /* Whatever the session still has to say goes out before the close. */
            pump(k, l, now);
            link_close(k, l, false, NULL, now);
            return;
        }
        code = SSL_get_error(l->ssl, n);
        if (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE)
            link_broken(k, l, n, now);
        return;
    }
    l->runnable = true;
}

static void handshake(struct kernel *k, struct link *l, hg_ns now)
{
    int rc = SSL_connect(l->ssl);
    int code;

    if (rc == 1) {
        l->state = LINK_UP;
        session_up(l->session, now);
        return;
    }
    code = SSL_get_error(l->ssl, rc);
    if (code == SSL_ERROR_WANT_READ)
        set_events(k, l, EPOLLIN);
    else if (code == SSL_ERROR_WANT_WRITE)
        set_events(k, l, EPOLLIN | EPOLLOUT);
    else
        link_broken(k, l, rc, now);
}

static void connected(struct kernel *k, struct link *l, hg_ns now)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        char why[160];

        snprintf(why, sizeof why, "cannot connect: %s", strerror(error));
        link_close(k, l, false, why, now);
        return;
    }
    l->state = LINK_TLS;
    l->ssl = SSL_new(k->ctx[l->session->cert % k->n_ctx]);
    if (l->ssl == NULL || SSL_set_fd(l->ssl, l->fd) != 1) {
        link_close(k, l, true, "TLS: out of memory", now);
        return;
    }
    handshake(k, l, now);
}

static void link_connect(struct kernel *k, struct link *l, hg_ns now)
{
    const struct load_options *opt = k->worker->run->opt;
    const int one = 1;
    const unsigned timeout = USER_TIMEOUT_MS;
    int fd = socket(opt->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        session_down(l->session, false, strerror(errno), now);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    l->fd = fd;
    l->state = LINK_TCP;
    if (connect(fd, (const struct sockaddr *)&opt->server, opt->server_len) != 0 &&
        errno != EINPROGRESS) {
        char why[160];

        snprintf(why, sizeof why, "cannot connect: %s", strerror(errno));
        link_close(k, l, false, why, now);
        return;
    }
    set_events(k, l, EPOLLOUT);
}

static void on_event(struct kernel *k, struct link *l, uint32_t events, hg_ns now)
{
    if (l->state == LINK_TCP)
        connected(k, l, now);
    else if (l->state == LINK_TLS)
        handshake(k, l, now);
    if (l->state != LINK_UP)
        return;
    if (events & EPOLLOUT)
        l->want_write = false;
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        receive(k, l, now);
    if (l->state == LINK_UP)
        pump(k, l, now);
}

/* ---- the loop ---- */

/* Timers of every session; how many are not over. */
static uint32_t tick(struct kernel *k, hg_ns now, bool retransmits)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < k->worker->n_sessions; i++) {
        struct link *l = &k->links[i];

        if (session_over(l->session) && l->state == LINK_NONE)
            continue;
        alive++;
        if (!session_tick(l->session, now)) {
            if (l->state == LINK_UP)
                pump(k, l, now);
            link_close(k, l, false, l->state == LINK_UP ? NULL : "no answer from the node", now);
            continue;
        }
        if (session_wants_connect(l->session, now))
            link_connect(k, l, now);
        else if (l->state == LINK_UP && !l->want_write)
            pump(k, l, now);
        if (retransmits && l->state != LINK_NONE)
            note_retransmits(k, l);
    }
    return alive;
}

/* Connections whose budget was used up; whether some still are. */
static bool run_again(struct kernel *k, hg_ns now)
{
    bool again = false;

    for (uint32_t i = 0; i < k->worker->n_sessions; i++) {
        struct link *l = &k->links[i];

        if (!l->runnable || l->state != LINK_UP)
            continue;
        receive(k, l, now);
        if (l->state == LINK_UP)
            pump(k, l, now);
        again |= l->runnable;
    }
    return again;
}

static void loop(struct kernel *k)
{
    const struct load_options *opt = k->worker->run->opt;
    int wait_ms = opt->rate != 0 ? 1 : 10;
    hg_ns tick_at = 0, retransmits_at = 0;
    bool again = false;

    for (;;) {
        struct epoll_event ev[EVENTS];
        int n = epoll_wait(k->epoll_fd, ev, EVENTS, again ? 0 : wait_ms);
        hg_ns now = clock_now();

        for (int i = 0; i < n; i++)
            on_event(k, ev[i].data.ptr, ev[i].events, now);
        again = run_again(k, now);
        if (now < tick_at)
            continue;
        tick_at = now + HG_MS((unsigned)wait_ms);
        if (tick(k, now, now >= retransmits_at) == 0) {
            k->worker->ended = now;
            return;
        }
        if (now >= retransmits_at)
            retransmits_at = now + RETRANSMITS_EVERY;
    }
}

static void kernel_free(struct kernel *k)
{
    for (uint32_t i = 0; k->links != NULL && i < k->worker->n_sessions; i++)
        free(k->links[i].out);
    for (unsigned i = 0; k->ctx != NULL && i < k->n_ctx; i++)
        SSL_CTX_free(k->ctx[i]);
    if (k->epoll_fd >= 0)
        close(k->epoll_fd);
    free(k->links);
    free(k->ctx);
    free(k);
}

static int prepare(struct kernel *k, const struct certs *certs, struct hg_err *err)
{
    const struct load_mix *mix = &k->worker->run->opt->mix;

    k->out_cap = OUT_LOW + HG_FRAME_HEADER + HG_FRAME_CONTROL_MAX;
    for (unsigned i = 0; i < mix->n; i++)
        if (k->out_cap < OUT_LOW + HG_FRAME_HEADER + mix->size[i])
            k->out_cap = OUT_LOW + HG_FRAME_HEADER + mix->size[i];
    k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    k->ctx = calloc(certs->n, sizeof *k->ctx);
    k->links = calloc(k->worker->n_sessions, sizeof *k->links);
    if (k->epoll_fd < 0 || k->ctx == NULL || k->links == NULL)
        return hg_fail(err, -ENOMEM, "out of memory for %u connections", k->worker->n_sessions);
    for (; k->n_ctx < certs->n; k->n_ctx++) {
        k->ctx[k->n_ctx] = certs_openssl(k->worker->run->opt, &certs->list[k->n_ctx], err);
        if (k->ctx[k->n_ctx] == NULL)
            return -EINVAL;
    }
    for (uint32_t i = 0; i < k->worker->n_sessions; i++) {
        struct link *l = &k->links[i];

        l->session = k->worker->sessions[i];
        l->fd = -1;
        l->out = malloc(k->out_cap);
        if (l->out == NULL)
            return hg_fail(err, -ENOMEM, "out of memory for %u connections", k->worker->n_sessions);
    }
    return 0;
}

int kernel_run(struct worker *worker, const struct certs *certs, struct hg_err *err)
{
    struct kernel *k = calloc(1, sizeof *k);
    int rc;

    if (k == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    k->worker = worker;
    k->epoll_fd = -1;
    rc = prepare(k, certs, err);
    if (rc == 0)
        loop(k);
    kernel_free(k);
    return rc;
}
