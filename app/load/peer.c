/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"
#include <errno.h>
#include <headgate/codec.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int peer_connect(struct peer *p, const struct load_options *opt, int rcvbuf, struct hg_err *err)
{
    const struct timeval limit = {.tv_sec = 10};

    *p = (struct peer){.opt = opt, .size = opt->size};
    p->fd = socket(opt->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return hg_fail(err, -errno, "socket: %s", strerror(errno));
    setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (rcvbuf != 0)
        setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    if (connect(p->fd, (const struct sockaddr *)&opt->server, opt->server_len) != 0) {
        int rc = hg_fail(err, -errno, "cannot connect: %s", strerror(errno));

        close(p->fd);
        return rc;
    }
    return 0;
}

/* Puts into words how OpenSSL saw the connection end. */
static void note_end(struct peer *p, int ret)
{
    int sys = errno;
    int code = SSL_get_error(p->ssl, ret);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);

    if (p->answer[0] != '\0')
        return;
    if (code == SSL_ERROR_ZERO_RETURN)
        strcpy(p->answer, "close_notify");
    else if (code == SSL_ERROR_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET &&
             ERR_GET_REASON(e) < SSL_AD_REASON_OFFSET + 256)
        snprintf(p->answer, sizeof p->answer, "TLS alert %d (%s)",
                 ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET, reason == NULL ? "?" : reason);
    else if (code == SSL_ERROR_SSL && ERR_GET_REASON(e) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        snprintf(p->answer, sizeof p->answer, "TLS error: %s", reason == NULL ? "?" : reason);
    else if (code == SSL_ERROR_SYSCALL && sys == ECONNRESET)
        strcpy(p->answer, "TCP reset");
    else if (code == SSL_ERROR_SYSCALL && sys == EPIPE)
        strcpy(p->answer, "closed connection");
    else
        strcpy(p->answer, "TCP close without close_notify");
    ERR_clear_error();
}

int peer_tls(struct peer *p, const struct cert *cert, struct hg_err *err)
{
    static const unsigned char alpn[] = "\x0a" HG_PROTO_ALPN;
    const char *refusal;
    int rc;

    if (cert != NULL) {
        p->ctx = certs_openssl(p->opt, cert, err);
    } else {
        p->ctx = SSL_CTX_new(TLS_client_method());
        if (p->ctx != NULL)
            SSL_CTX_set_alpn_protos(p->ctx, alpn, sizeof alpn - 1);
    }
    if (p->ctx == NULL)
        return -EINVAL;
    SSL_CTX_clear_mode(p->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    p->ssl = SSL_new(p->ctx);
    if (p->ssl == NULL || SSL_set_fd(p->ssl, p->fd) != 1)
        return hg_fail(err, -ENOMEM, "TLS: out of memory");
    rc = SSL_connect(p->ssl);
    if (rc == 1)
        return 0;
    refusal = certs_refusal();
    note_end(p, rc);
    return hg_fail(err, -EPROTO, "TLS handshake: %s", refusal[0] != '\0' ? refusal : p->answer);
}

void peer_close(struct peer *p)
{
    if (p->ssl != NULL) {
        if (p->answer[0] == '\0')
            SSL_shutdown(p->ssl);
        SSL_free(p->ssl);
    }
    SSL_CTX_free(p->ctx);
    close(p->fd);
}

int peer_send(struct peer *p, const void *data, size_t n)
{
    int rc = SSL_write(p->ssl, data, (int)n);

    if (rc == (int)n)
        return 0;
    /* What the node said before it closed is still to be read: leave the answer to peer_read(). */
    ERR_clear_error();
    return -EPIPE;
}

int peer_send_frame(struct peer *p, const struct hg_frame *f, const void *payload)
{
    uint8_t header[HG_FRAME_HEADER];
    int rc;

    hg_frame_put(header, f);
    rc = peer_send(p, header, sizeof header);
    if (rc == 0 && payload != NULL && f->payload_len != 0)
        rc = peer_send(p, payload, f->payload_len);
    return rc;
}

/* 0 when n bytes were read; 1 time-out; -1 end, answer set. */
static int read_exact(struct peer *p, uint8_t *dst, size_t n, unsigned seconds)
{
    size_t got = 0;

    while (got < n) {
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
        int rc;

        if (SSL_pending(p->ssl) == 0 && poll(&pfd, 1, (int)seconds * 1000) == 0)
            return 1;
        rc = SSL_read(p->ssl, dst + got, (int)(n - got));
        if (rc <= 0) {
            int code = SSL_get_error(p->ssl, rc);

            if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
                continue; /* a session ticket, or part of a record */
            note_end(p, rc);
            return -1;
        }
        got += (size_t)rc;
    }
    return 0;
}

enum peer_event peer_read(struct peer *p, unsigned seconds, struct hg_frame *f,
                          uint8_t payload[HG_FRAME_CONTROL_MAX])
{
    uint8_t header[HG_FRAME_HEADER];
    int rc = read_exact(p, header, sizeof header, seconds);

    if (rc == 0 && (hg_frame_get(header, f) != 0 || f->payload_len > HG_FRAME_CONTROL_MAX)) {
        strcpy(p->answer, "something that is not a frame");
        return PEER_END;
    }
    if (rc == 0)
        rc = read_exact(p, payload, f->payload_len, seconds);
    return rc == 0 ? PEER_FRAME : rc > 0 ? PEER_TIMEOUT : PEER_END;
}

static void note_error(struct peer *p, const struct hg_frame *f, const uint8_t *payload)
{
    static const char *const scope[] = {"?", "frame", "volume", "session"};
    static const char *const retry[] = {"never", "now", "after", "other node"};
    struct hg_error_wire w;
    int len;

    if (f->payload_len < sizeof w) {
        strcpy(p->answer, "an ERROR frame that is too short");
        return;
    }
    memcpy(&w, payload, sizeof w);
    len = (int)(f->payload_len - sizeof w);
    snprintf(p->answer, sizeof p->answer, "ERROR %s (%u) scope %s retry %s: %.*s",
             hg_proto_error_name(hg_le16_get(w.code)), hg_le16_get(w.code),
             scope[w.scope < 4 ? w.scope : 0], retry[w.retry & 3],
             len > (int)HG_PROTO_TEXT_MAX ? (int)HG_PROTO_TEXT_MAX : len,
             (const char *)payload + sizeof w);
}

void peer_await_answer(struct peer *p, unsigned seconds, bool *rewind)
{
    uint8_t payload[HG_FRAME_CONTROL_MAX];
    struct hg_frame f;

    *rewind = false;
    for (;;) {
        switch (peer_read(p, seconds, &f, payload)) {
        case PEER_TIMEOUT:
            return;
        case PEER_END:
            return;
        case PEER_FRAME:
            if (f.type != HG_FRAME_ERROR)
                continue;
            note_error(p, &f, payload);
            *rewind = f.payload_len >= 3 && payload[2] != HG_SCOPE_SESSION;
            return;
        }
    }
}

/* Waits for a frame of this type. */
static int expect(struct peer *p, uint8_t type, struct hg_frame *f, uint8_t *payload,
                  struct hg_err *err)
{
    for (;;) {
        enum peer_event ev = peer_read(p, 20, f, payload);

        if (ev == PEER_TIMEOUT)
            return hg_fail(err, -ETIMEDOUT, "the node sent no %s", hg_frame_type_name(type));
        if (ev == PEER_END)
            return hg_fail(err, -EPROTO, "instead of %s: %s", hg_frame_type_name(type), p->answer);
        if (f->type == type)
            return 0;
        if (f->type == HG_FRAME_ERROR) {
            note_error(p, f, payload);
            return hg_fail(err, -EPROTO, "instead of %s: %s", hg_frame_type_name(type), p->answer);
        }
    }
}

/* A control frame with its payload's length and CRC filled in. */
static int send_control(struct peer *p, struct hg_frame f, const void *payload, uint32_t len)
{
    f.payload_len = len;
    f.raw_len = len;
    f.payload_crc = hg_crc32c(payload, len);
    return peer_send_frame(p, &f, payload);
}

int peer_start(struct peer *p, struct hg_err *err)
{
    const struct hg_hello_wire hello = {.codecs = hg_le32_put(3),
                                        .max_raw = hg_le32_put(HG_FRAME_RAW_MAX)};
    uint8_t payload[HG_FRAME_CONTROL_MAX];
    struct hg_welcome_wire welcome;
    struct hg_frame f;
    int rc;

    if (send_control(p, (struct hg_frame){.type = HG_FRAME_HELLO}, &hello, sizeof hello) != 0)
        return hg_fail(err, -EPIPE, "HELLO could not be sent");
    rc = expect(p, HG_FRAME_WELCOME, &f, payload, err);
    if (rc != 0)
        return rc;
    if (f.payload_len < sizeof welcome)
        return hg_fail(err, -EPROTO, "WELCOME is too short");
    memcpy(&welcome, payload, sizeof welcome);
    p->credit = hg_le64_get(welcome.credit);
    if (send_control(
            p, (struct hg_frame){.type = HG_FRAME_OPEN, .volume = PEER_HANDLE, .arg = p->size},
            p->opt->volume, (uint32_t)strnlen(p->opt->volume, HG_FRAME_CONTROL_MAX)) != 0)
        return hg_fail(err, -EPIPE, "OPEN could not be sent");
    rc = expect(p, HG_FRAME_OPENED, &f, payload, err);
    p->seq = f.seq;
    return rc;
}
