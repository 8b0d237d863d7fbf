/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One row per kind of bad input. A kind sends its bad thing; the rest is common: wait for the
 * answer, and where the node asks for the frame again, send it right and see it taken.
 *
 * "vanish" falls silent with the connection open, which is what a node can see of a host that lost
 * its power. A process cannot make its kernel forget a connection without FIN or RST; a test that
 * wants that too drops the link in its network namespace.
 */
#include "bad.h"
#include "peer.h"
#include <errno.h>
#include <headgate/codec.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK 65536u
#define BOMB (UINT64_C(16) << 20) /* what the bomb inflates to; it claims BLOCK */
#define NO_READ_BUFFER 16384
#define WAIT_S 75u /* longer than any of the node's default time-outs (section 3) */

enum stage { PLAIN, NO_CERT, SESSION };

struct kind {
    const char *name;
    enum stage stage; /* what comes before the bad thing */
    int (*run)(struct peer *p);
    int rcvbuf; /* of the socket, bytes; 0: the system's */
};

struct buffers {
    uint8_t raw[BLOCK];
    uint8_t wire[BLOCK];
};

/* A right DATA frame, the volume's next: 64 KiB stored. */
static struct hg_frame good_frame(const struct peer *p, uint8_t raw[BLOCK])
{
    for (uint32_t i = 0; i < BLOCK; i++)
        raw[i] = (uint8_t)(i * 7 + (i >> 8));
    return (struct hg_frame){.type = HG_FRAME_DATA,
                             .volume = PEER_HANDLE,
                             .payload_len = BLOCK,
                             .raw_len = BLOCK,
                             .payload_crc = hg_crc32c(raw, BLOCK),
                             .seq = p->seq + 1};
}

static int send_good(struct peer *p, uint16_t flags)
{
    static uint8_t raw[BLOCK];
    struct hg_frame f = good_frame(p, raw);

    f.flags = flags;
    return peer_send_frame(p, &f, raw);
}

/* ---- kinds ---- */

static int bad_http(struct peer *p)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: headgate\r\n\r\n";

    return send(p->fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

static int bad_random(struct peer *p)
{
    uint8_t bytes[4096];
    uint64_t x = 88172645463325252u;

    for (unsigned i = 0; i < sizeof bytes; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (uint8_t)x;
    }
    return send(p->fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

static int bad_nothing(struct peer *p)
{
    (void)p;
    return 0;
}

static int bad_header_crc(struct peer *p)
{
    uint8_t raw[BLOCK], header[HG_FRAME_HEADER];
    struct hg_frame f = good_frame(p, raw);

    hg_frame_put(header, &f);
    header[40] ^= 1;
    return peer_send(p, header, sizeof header);
}

static int bad_payload_crc(struct peer *p)
{
    uint8_t raw[BLOCK];
    struct hg_frame f = good_frame(p, raw);

    raw[12345] ^= 0x10;
    return peer_send_frame(p, &f, raw);
}

static int bad_unknown_type(struct peer *p)
{
    return peer_send_frame(p, &(struct hg_frame){.type = 99, .volume = PEER_HANDLE}, NULL);
}

static int bad_over_length(struct peer *p)
{
    uint8_t raw[BLOCK];
    struct hg_frame f = good_frame(p, raw);

    f.raw_len = f.payload_len = 2 * HG_FRAME_RAW_MAX;
    return peer_send_frame(p, &f, NULL);
}

/* Raw deflate of n zeros; returns the length. */
static uint32_t deflate_zeros(uint8_t *dst, uint32_t cap, uint64_t n)
{
    static const uint8_t zeros[BLOCK];
    z_stream z = {0};

    if (deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    z.next_out = dst;
    z.avail_out = cap;
    for (uint64_t at = 0; at < n; at += sizeof zeros) {
        z.next_in = (uint8_t *)(uintptr_t)zeros;
        z.avail_in = sizeof zeros;
        deflate(&z, at + sizeof zeros < n ? Z_NO_FLUSH : Z_FINISH);
    }
    deflateEnd(&z);
    return (uint32_t)z.total_out;
}

/* A frame with this deflate payload that claims BLOCK bytes of zeros. */
static int send_deflate(struct peer *p, const uint8_t *wire, uint32_t len)
{
    static const uint8_t zeros[BLOCK];
    const struct hg_frame f = {.type = HG_FRAME_DATA,
                               .volume = PEER_HANDLE,
                               .codec = HG_CODEC_DEFLATE,
                               .payload_len = len,
                               .raw_len = BLOCK,
                               .payload_crc = hg_crc32c(zeros, BLOCK),
                               .seq = p->seq + 1};

    return peer_send_frame(p, &f, wire);
}

/* Claims less than it holds: seen while it inflates. */
static int bad_bomb_hidden(struct peer *p)
{
    uint8_t wire[BLOCK];

    return send_deflate(p, wire, deflate_zeros(wire, sizeof wire, BOMB));
}

/* Claims more than deflate can reach at all: seen in the header. */
static int bad_bomb(struct peer *p)
{
    uint8_t wire[16] = {0};
    const struct hg_frame f = {.type = HG_FRAME_DATA,
                               .volume = PEER_HANDLE,
                               .codec = HG_CODEC_DEFLATE,
                               .payload_len = sizeof wire,
                               .raw_len = HG_FRAME_RAW_MAX,
                               .seq = p->seq + 1};

    return peer_send_frame(p, &f, wire);
}

static int bad_truncated_deflate(struct peer *p)
{
    uint8_t wire[BLOCK];
    uint32_t len = deflate_zeros(wire, sizeof wire, BLOCK);

    /* BLOCK zeros shrink to some 70 bytes; the bound of section 3 needs 64. */
    return send_deflate(p, wire, len - 2);
}

static int bad_trailing_deflate(struct peer *p)
{
    uint8_t wire[BLOCK] = {0};
    uint32_t len = deflate_zeros(wire, sizeof wire - 64, BLOCK);

    memset(wire + len, 0xa5, 64);
    return send_deflate(p, wire, len + 64);
}

static int bad_beyond_end(struct peer *p)
{
    uint8_t raw[BLOCK];
    struct hg_frame f = good_frame(p, raw);

    f.offset = p->size - 4096;
    return peer_send_frame(p, &f, raw);
}

static int bad_seq_gap(struct peer *p)
{
    uint8_t raw[BLOCK];
    struct hg_frame f = good_frame(p, raw);

    f.seq += 5;
    return peer_send_frame(p, &f, raw);
}

static int bad_seq_replay(struct peer *p)
{
    int rc = send_good(p, 0);

    return rc != 0 ? rc : send_good(p, 0);
}

/* Whether the node has closed, seen without reading anything. */
static bool hung_up(const struct peer *p, int ms)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLRDHUP};

    return poll(&pfd, 1, ms) > 0 && (pfd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static int bad_slow(struct peer *p)
{
    uint8_t raw[BLOCK], header[HG_FRAME_HEADER];
    struct hg_frame f = good_frame(p, raw);

    hg_frame_put(header, &f);
    for (unsigned i = 0; i < WAIT_S; i++)
        if (peer_send(p, i < sizeof header ? &header[i] : &raw[i], 1) != 0 || hung_up(p, 1000))
            break;
    return 0;
}

/* PINGs ask for PONGs, of which none is read. The receive buffer was made small before the
 * connection (made small later, Linux would drop what it had offered to take), so that it soon is
 * full. */
static int bad_no_read(struct peer *p)
{
    uint8_t pings[256 * HG_FRAME_HEADER];

    for (unsigned i = 0; i < 256; i++)
        hg_frame_put(pings + (size_t)i * HG_FRAME_HEADER,
                     &(struct hg_frame){.type = HG_FRAME_PING, .arg = i});
    for (unsigned waits = 0; waits < WAIT_S;) {
        struct pollfd pfd = {.fd = p->fd, .events = POLLOUT};

        if (hung_up(p, 0))
            return 0;
        if (poll(&pfd, 1, 1000) == 0 || (pfd.revents & POLLOUT) == 0)
            waits++;
        else if (peer_send(p, pings, sizeof pings) != 0)
            return 0; /* the socket's time-out, or the node has closed */
    }
    return 0;
}

/* ZERO frames cost 4096 each and are 64 bytes long: more of them than was granted, at once. */
static int bad_credit(struct peer *p)
{
    uint64_t n = p->credit / HG_BLOCK * 16 + 16;
    uint8_t frames[256 * HG_FRAME_HEADER];
    uint64_t seq = p->seq;

    for (uint64_t i = 0; i < n; i += 256) {
        for (unsigned j = 0; j < 256; j++)
            hg_frame_put(
                frames + (size_t)j * HG_FRAME_HEADER,
                &(struct hg_frame){
                    .type = HG_FRAME_ZERO, .volume = PEER_HANDLE, .seq = ++seq, .arg = HG_BLOCK});
        if (peer_send(p, frames, sizeof frames) != 0)
            return 0;
    }
    return 0;
}

static const struct kind kinds[] = {
    {"http", PLAIN, bad_http},
    {"random", PLAIN, bad_random},
    {"silent", PLAIN, bad_nothing},
    {"no-cert", NO_CERT, bad_nothing},
    {"header-crc", SESSION, bad_header_crc},
    {"payload-crc", SESSION, bad_payload_crc},
    {"unknown-type", SESSION, bad_unknown_type},
    {"over-length", SESSION, bad_over_length},
    {"bomb", SESSION, bad_bomb},
    {"bomb-hidden", SESSION, bad_bomb_hidden},
    {"truncated-deflate", SESSION, bad_truncated_deflate},
    {"trailing-deflate", SESSION, bad_trailing_deflate},
    {"beyond-end", SESSION, bad_beyond_end},
    {"seq-gap", SESSION, bad_seq_gap},
    {"seq-replay", SESSION, bad_seq_replay},
    {"slow", SESSION, bad_slow},
    {"no-read", SESSION, bad_no_read, NO_READ_BUFFER},
    {"vanish", SESSION, bad_nothing},
    {"credit", SESSION, bad_credit},
};

/* ---- what is common ---- */

static const struct kind *find(const char *name)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

bool bad_known(const char *kind)
{
    return find(kind) != NULL;
}

const char *bad_kinds(char *buf, unsigned cap)
{
    unsigned at = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < HG_ARRAY_LEN(kinds) && at < cap; i++)
        at += (unsigned)snprintf(buf + at, cap - at, "%s%s", i == 0 ? "" : ", ", kinds[i].name);
    return buf;
}

/* Before TLS: a TLS alert record, or the close. */
static void await_plain(struct peer *p)
{
    const struct timeval limit = {.tv_sec = WAIT_S};
    uint8_t b[256];
    ssize_t n;

    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    n = recv(p->fd, b, sizeof b, 0);
    if (n >= 7 && b[0] == 21)
        snprintf(p->answer, sizeof p->answer, "TLS alert %u (%s)", b[6],
                 SSL_alert_desc_string_long(b[6]));
    else if (n > 0)
        strcpy(p->answer, "bytes that are no TLS alert");
    else if (n == 0)
        strcpy(p->answer, "TCP close");
    else if (errno == ECONNRESET)
        strcpy(p->answer, "TCP reset");
}

/* After ERROR with retry: the same frame, right; the node must take it and go on. */
static void send_again(struct peer *p)
{
    uint8_t payload[HG_FRAME_CONTROL_MAX];
    size_t at = strlen(p->answer);
    struct hg_frame f;

    if (send_good(p, HG_FRAME_RETRANSMIT) != 0)
        return;
    while (peer_read(p, 20, &f, payload) == PEER_FRAME)
        if (f.type == HG_FRAME_ACK && f.seq > p->seq) {
            snprintf(p->answer + at, sizeof p->answer - at, "; took the right frame after it");
            return;
        }
    snprintf(p->answer + at, sizeof p->answer - at, "; did NOT take the right frame after it");
}

static int before(struct peer *p, const struct kind *kind, const struct certs *certs,
                  struct hg_err *err)
{
    int rc = peer_connect(p, p->opt, kind->rcvbuf, err);

    if (rc != 0 || kind->stage == PLAIN)
        return rc;
    rc = peer_tls(p, kind->stage == NO_CERT ? NULL : &certs->list[0], err);
    if (kind->stage == NO_CERT && p->ssl != NULL)
        return 0;
    return rc != 0 ? rc : peer_start(p, err);
}

int bad_run(const struct load_options *opt)
{
    const struct kind *kind = find(opt->bad);
    struct peer p = {.opt = opt, .fd = -1};
    struct certs certs;
    struct hg_err err = {{0}};
    bool rewind = false;
    int rc = certs_find(opt, &certs, &err);

    if (rc == 0)
        rc = before(&p, kind, &certs, &err);
    if (rc != 0) {
        printf("bad %s: the valid start failed: %s\n", kind->name, err.text);
        certs_free(&certs);
        return 1;
    }
    if (kind->run(&p) != 0)
        fprintf(stderr, "headgate-load: the node closed before all was sent\n");
    if (kind->stage == PLAIN)
        await_plain(&p);
    else if (p.answer[0] == '\0')
        peer_await_answer(&p, WAIT_S, &rewind);
    if (rewind && strstr(p.answer, "retry now") != NULL)
        send_again(&p);
    printf("bad %s: node answered %s\n", kind->name,
           p.answer[0] != '\0' ? p.answer : "nothing within the time of waiting");
    rc = p.answer[0] != '\0' ? 0 : 1;
    peer_close(&p);
    certs_free(&certs);
    return rc;
}
