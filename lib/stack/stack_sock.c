/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets: handles, and the calls that everybody knows. Invariants: stack_priv.h. */
#include "stack_priv.h"
#include <errno.h>
#include <string.h>

#define EVENTS 64

/* ---- handles ---- */

static struct sock *sock_new(struct hg_stack *stack, enum sock_kind kind)
{
    struct sock *s = TAILQ_FIRST(&stack->free);

    if (s == NULL)
        return NULL;
    TAILQ_REMOVE(&stack->free, s, link);
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->lowat = 1;
    TAILQ_INIT(&s->queue);
    return s;
}

static void sock_free(struct hg_stack *stack, struct sock *s)
{
    s->kind = SOCK_FREE;
    TAILQ_INSERT_TAIL(&stack->free, s, link);
}

void stack_sock_init(struct hg_stack *stack)
{
    TAILQ_INIT(&stack->free);
    for (uint32_t i = 0; i < stack->n_socks; i++)
        sock_free(stack, &stack->socks[i]);
}

static int sock_handle(const struct hg_stack *stack, const struct sock *s)
{
    return (int)(s - stack->socks);
}

static struct sock *sock_of(struct hg_stack *stack, int handle)
{
    struct sock *s;

    if (handle < 0 || (uint32_t)handle >= stack->n_socks)
        return NULL;
    s = &stack->socks[handle];
    return s->kind == SOCK_FREE || s->waiting ? NULL : s;
}

static struct sock *conn_of(struct hg_stack *stack, int handle, int *error)
{
    struct sock *s = sock_of(stack, handle);

    *error = s == NULL ? -EBADF : s->kind != SOCK_CONN ? -ENOTCONN : 0;
    return *error == 0 ? s : NULL;
}

/* ---- events ---- */

/* The listener may have been closed, and its socket used again, while the handshake went on. */
static bool still_listens(const struct sock *l, struct hg_tcp_conn *tcp)
{
    return l->kind == SOCK_LISTENER && l->port == hg_tcp_conn_flow(tcp)->lport &&
           l->n_waiting < l->backlog;
}

static struct sock *accepted(struct hg_stack *stack, struct sock *l, struct hg_tcp_conn *tcp)
{
    struct sock *s = still_listens(l, tcp) ? sock_new(stack, SOCK_CONN) : NULL;

    if (s == NULL) {
        hg_tcp_abort(tcp);
        hg_tcp_release(tcp);
        return NULL;
    }
    s->tcp = tcp;
    s->connected = s->waiting = true;
    s->listener = l;
    hg_tcp_set_user(tcp, s);
    TAILQ_INSERT_TAIL(&l->queue, s, link);
    l->n_waiting++;
    return s;
}

void stack_sock_events(struct hg_stack *stack)
{
    struct hg_tcp_event ev[EVENTS];
    unsigned n;

    while ((n = hg_tcp_events(stack->tcp, ev, EVENTS)) != 0)
        for (unsigned i = 0; i < n; i++) {
            struct sock *s = ev[i].user;

            if (ev[i].what & HG_TCP_EV_ACCEPTED)
                s = accepted(stack, ev[i].listener, ev[i].conn);
            if (s == NULL)
                continue;
            s->connected |= (ev[i].what & HG_TCP_EV_CONNECTED) != 0;
            s->eof |= (ev[i].what & HG_TCP_EV_EOF) != 0;
            s->closed |= (ev[i].what & HG_TCP_EV_CLOSED) != 0;
        }
}

/* ---- opening and closing ---- */

int hg_stack_listen(struct hg_stack *stack, const struct hg_ip *ip, uint16_t port, uint32_t backlog)
{
    struct sock *s = sock_new(stack, SOCK_LISTENER);
    int rc;

    if (s == NULL)
        return -ENOSPC;
    s->ip = *ip;
    s->port = port;
    s->backlog = backlog;
    rc = hg_tcp_listen(stack->tcp, ip, port, s);
    if (rc != 0)
        sock_free(stack, s);
    return rc != 0 ? rc : sock_handle(stack, s);
}

int hg_stack_connect(struct hg_stack *stack, const struct hg_ip *ip, uint16_t port, uint16_t lport)
{
    struct hg_flow flow = {.remote = *ip, .lport = lport, .rport = port};
    int rc = hg_net_source(stack->net, ip, &flow.local);
    struct sock *s;

    if (rc != 0)
        return rc;
    s = sock_new(stack, SOCK_CONN);
    if (s == NULL)
        return -ENOSPC;
    rc = hg_tcp_connect(stack->tcp, &flow, s, stack->now, &s->tcp);
    if (rc != 0)
        sock_free(stack, s);
    return rc != 0 ? rc : sock_handle(stack, s);
}

int hg_stack_accept(struct hg_stack *stack, int listener)
{
    struct sock *l = sock_of(stack, listener), *s;

    if (l == NULL)
        return -EBADF;
    if (l->kind != SOCK_LISTENER)
        return -EINVAL;
    s = TAILQ_FIRST(&l->queue);
    if (s == NULL)
        return -EAGAIN;
    TAILQ_REMOVE(&l->queue, s, link);
    l->n_waiting--;
    s->waiting = false;
    return sock_handle(stack, s);
}

int hg_stack_shutdown(struct hg_stack *stack, int handle)
{
    int error;
    struct sock *s = conn_of(stack, handle, &error);

    if (s == NULL)
        return error;
    if (!s->connected)
        return -ENOTCONN;
    s->shut = true;
    hg_tcp_shutdown(s->tcp);
    return 0;
}

static void conn_free(struct hg_stack *stack, struct sock *s, bool reset)
{
    if (reset)
        hg_tcp_abort(s->tcp);
    hg_tcp_release(s->tcp);
    sock_free(stack, s);
}

int hg_stack_close(struct hg_stack *stack, int handle)
{
    struct sock *s = sock_of(stack, handle), *w;

    if (s == NULL)
        return -EBADF;
    if (s->kind == SOCK_CONN) {
        conn_free(stack, s, s->linger0);
        return 0;
    }
    hg_tcp_unlisten(stack->tcp, &s->ip, s->port);
    while ((w = TAILQ_FIRST(&s->queue)) != NULL) {
        TAILQ_REMOVE(&s->queue, w, link);
        conn_free(stack, w, true);
    }
    sock_free(stack, s);
    return 0;
}

/* ---- bytes ---- */

/* Why nothing more moves, when the connection is over: an error, or `in_order`. */
static int over(const struct sock *s, int in_order)
{
    int error = hg_tcp_conn_error(s->tcp);

    return error != 0 ? error : in_order;
}

static uint32_t read_some(struct sock *s, uint8_t *buf, uint32_t want)
{
    struct hg_iov iov[16];
    unsigned n = hg_tcp_peek(s->tcp, iov, HG_ARRAY_LEN(iov));
    uint32_t got = 0;

    for (unsigned i = 0; i < n && got < want; i++) {
        uint32_t len = iov[i].len < want - got ? iov[i].len : want - got;

        memcpy(buf + got, iov[i].base, len);
        got += len;
    }
    hg_tcp_consume(s->tcp, got);
    return got;
}

ssize_t hg_stack_read(struct hg_stack *stack, int handle, void *buf, size_t len)
{
    int error;
    struct sock *s = conn_of(stack, handle, &error);
    uint32_t readable, done = 0;

    if (s == NULL)
        return error;
    readable = hg_tcp_readable(s->tcp);
    if (len > readable)
        len = readable;
    while (done < len)
        done += read_some(s, (uint8_t *)buf + done, (uint32_t)len - done);
    if (done != 0 || readable != 0)
        return (ssize_t)done;
    if (s->closed)
        return over(s, 0);
    return s->eof ? 0 : -EAGAIN;
}

ssize_t hg_stack_write(struct hg_stack *stack, int handle, const void *buf, size_t len)
{
    int error;
    struct sock *s = conn_of(stack, handle, &error);
    size_t done = 0;

    if (s == NULL)
        return error;
    if (s->closed)
        return over(s, -EPIPE);
    if (s->shut)
        return -EPIPE;
    if (!s->connected)
        return -EAGAIN;
    while (done < len) {
        size_t n = len - done, space = hg_tcp_send_space(s->tcp);
        struct rte_mbuf *m = space == 0 ? NULL : rte_pktmbuf_alloc(stack->data_pool);

        if (m == NULL)
            break;
        n = n < space ? n : space;
        n = n < rte_pktmbuf_tailroom(m) ? n : rte_pktmbuf_tailroom(m);
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), (const uint8_t *)buf + done, n);
        if (hg_tcp_send(s->tcp, m) != 0) {
            rte_pktmbuf_free(m);
            break;
        }
        done += n;
    }
    return done == 0 && len != 0 ? -EAGAIN : (ssize_t)done;
}

/* ---- seeing ---- */

int hg_stack_setopt(struct hg_stack *stack, int handle, enum hg_stack_opt opt, uint32_t value)
{
    struct sock *s = sock_of(stack, handle);

    if (s == NULL)
        return -EBADF;
    if ((opt == HG_STACK_BACKLOG) != (s->kind == SOCK_LISTENER))
        return -ENOPROTOOPT;
    switch (opt) {
    case HG_STACK_BACKLOG:
        s->backlog = value;
        return 0;
    case HG_STACK_RCVLOWAT:
        if (value == 0 || value > stack->cfg.tcp.rcv_low)
            return -EINVAL;
        s->lowat = value;
        return 0;
    case HG_STACK_LINGER0:
        s->linger0 = value != 0;
        return 0;
    case HG_STACK_NODELAY:
        return value != 0 ? 0 : -EINVAL;
    default:
        return -ENOPROTOOPT;
    }
}

int hg_stack_getopt(struct hg_stack *stack, int handle, enum hg_stack_opt opt, uint32_t *value)
{
    struct sock *s = sock_of(stack, handle);

    if (s == NULL)
        return -EBADF;
    if ((opt == HG_STACK_BACKLOG) != (s->kind == SOCK_LISTENER))
        return -ENOPROTOOPT;
    switch (opt) {
    case HG_STACK_BACKLOG:
        *value = s->backlog;
        return 0;
    case HG_STACK_RCVLOWAT:
        *value = s->lowat;
        return 0;
    case HG_STACK_LINGER0:
        *value = s->linger0;
        return 0;
    case HG_STACK_NODELAY:
        *value = 1;
        return 0;
    case HG_STACK_ERROR:
        *value = (uint32_t)-over(s, 0);
        return 0;
    case HG_STACK_UNREAD:
        *value = hg_tcp_readable(s->tcp);
        return 0;
    case HG_STACK_ROOM:
        *value = s->connected ? hg_tcp_send_space(s->tcp) : 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int hg_stack_poll(struct hg_stack *stack, int handle)
{
    struct sock *s = sock_of(stack, handle);
    int ready = 0;

    if (s == NULL)
        return -EBADF;
    if (s->kind == SOCK_LISTENER)
        return s->n_waiting != 0 ? HG_STACK_IN : 0;
    if (hg_tcp_readable(s->tcp) >= s->lowat || s->eof || s->closed)
        ready |= HG_STACK_IN;
    if (s->shut || s->closed || (s->connected && hg_tcp_send_space(s->tcp) != 0))
        ready |= HG_STACK_OUT;
    if (s->eof || s->closed)
        ready |= HG_STACK_HUP;
    if (s->closed && over(s, 0) != 0)
        ready |= HG_STACK_ERR;
    return ready;
}

int hg_stack_info(struct hg_stack *stack, int handle, struct hg_tcp_info *out)
{
    int error;
    struct sock *s = conn_of(stack, handle, &error);

    if (s == NULL)
        return error;
    hg_tcp_conn_info(s->tcp, out);
    return 0;
}
