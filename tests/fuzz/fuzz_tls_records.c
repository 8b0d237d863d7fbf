/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection in state OPEN with known keys. Guessing a tag is hopeless, so the input is a list of
 * commands for a peer who has the keys: well-formed records of any type and length, damaged ones,
 * and raw bytes, cut into pieces of any size.
 *
 * byte 0: suite, provider, role, and whether records are agreed to be small; byte 1: size of the pieces; then commands:
 *   0 LEN BYTES        raw bytes on the wire
 *   1 TYPE LEN BYTES   a sealed record
 *   2 TYPE LEN BIT     a sealed record of zeros with one bit flipped
 *   3                  our end takes what is pending and seals
 *   4                  our end closes
 * Checked: what a good peer sent arrives intact and in order, nothing is consumed or written beyond
 * what there is, and failing is final.
 */
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_shard.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX (1u << 16)

/* Ends the run: the fuzzer keeps the input. */
#define CHECK(cond) ((cond) ? (void)0 : abort())

struct peer {
    struct hg_tls_rec tx;
    uint8_t secret[HG_TLS_SECRET_MAX];
    uint64_t updates; /* key updates of ours that it followed */
};

struct run {
    struct hg_tls *tls;
    struct peer peer;
    uint32_t piece;
    uint32_t len;            /* bytes on the wire */
    uint64_t sent, received; /* application bytes */
    bool damaged;            /* something on the wire is not from a good peer */
    uint8_t wire[WIRE_MAX];
};

static struct hg_tls_shard *shard;
static struct hg_tls_ctx ctx; /* only role and provider are read */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    CHECK(hg_tls_shard_create(&shard, NULL) == 0);
    return 0;
}

/* Application bytes count up, so order and integrity can be checked without keeping them. */
static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)(n * 31 + n / 256);
}

static void make_ends(struct run *r, uint8_t choice)
{
    static const uint16_t ids[] = {0x1301, 0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8};
    const struct hg_tls_suite *suite = hg_tls_suite_find(ids[choice % HG_ARRAY_LEN(ids)]);
    struct hg_tls_rec_cfg cfg = {.engine = &shard->engine, .suite = suite};
    struct hg_tls_keyset k;

    memset(&k, 1, sizeof k);
    cfg.provider = ctx.provider = choice & 0x80 ? HG_TLS_OPENSSL : HG_TLS_IPSEC_MB;
    ctx.role = choice & 0x40 ? HG_TLS_CLIENT : HG_TLS_SERVER;
    r->tls = aligned_alloc(alignof(struct hg_tls), sizeof *r->tls);
    CHECK(r->tls != NULL);
    memset(r->tls, 0, sizeof *r->tls);
    r->tls->state = HG_TLS_OPEN;
    r->tls->keyed = true;
    r->tls->shard = shard;
    r->tls->ctx = &ctx;
    r->tls->rekey_after = 20;
    r->tls->max_fragment = HG_TLS_MAX_PLAINTEXT;
    CHECK(hg_tls_rec_init(&r->tls->rx, &cfg, &k) == 0);
    cfg.seal = true;
    CHECK(hg_tls_rec_init(&r->tls->tx, &cfg, &k) == 0);
    CHECK(hg_tls_rec_init(&r->peer.tx, &cfg, &k) == 0);
    if ((choice & 0x3f) / HG_ARRAY_LEN(ids) % 2 != 0) {
        r->tls->rx.max_inner = 300;
        r->tls->max_fragment = HG_TLS_MIN_FRAGMENT;
    }
}

/* The peer's keys follow each key update that our end has taken from it. */
static void follow_updates(struct run *r)
{
    struct hg_tls_keyset k;

    for (; r->peer.updates < r->tls->updates_in; r->peer.updates++) {
        CHECK(hg_tls_next_secret(r->peer.tx.suite, r->peer.secret) == 0);
        CHECK(hg_tls_traffic_keys(r->peer.tx.suite, r->peer.secret, &k) == 0);
        CHECK(hg_tls_rec_rekey(&r->peer.tx, &k) == 0);
    }
}

static void check_data(struct run *r, const uint8_t *p, uint32_t len)
{
    if (!r->damaged)
        for (uint32_t i = 0; i < len; i++)
            CHECK(p[i] == byte_at(r->received + i));
    r->received += len;
}

static unsigned cut(struct run *r, struct hg_iov *iov, unsigned max)
{
    unsigned n = 0;

    for (uint32_t at = 0; at < r->len && n < max; at += r->piece) {
        uint32_t left = r->len - at;

        iov[n++] = (struct hg_iov){r->wire + at, left < r->piece ? left : r->piece};
    }
    return n;
}

/* Opens until nothing is complete; the destination is as large as promised and no larger. */
static void drain(struct run *r)
{
    static struct hg_iov iov[2048];
    struct hg_tls_opened res;
    int rc;

    do {
        unsigned n = cut(r, iov, HG_ARRAY_LEN(iov));
        uint32_t room = hg_tls_peek(r->tls, iov, n), cap = room == 0 ? HG_TLS_MAX_RECORD : room;
        uint8_t *dst = malloc(cap);
        enum hg_tls_state before = hg_tls_state(r->tls);

        CHECK(dst != NULL);
        rc = hg_tls_open(r->tls, iov, n, &(struct hg_iov){dst, cap}, &res);
        CHECK(res.consumed <= r->len && res.len <= cap);
        CHECK((rc == -EPROTO) == (hg_tls_state(r->tls) == HG_TLS_FAILED));
        CHECK(rc == 0 || rc == -EPROTO);
        CHECK(before != HG_TLS_FAILED || hg_tls_state(r->tls) == HG_TLS_FAILED);
        CHECK((rc == 0) == (hg_tls_error(r->tls)[0] == '\0') || before == HG_TLS_FAILED);
        if (rc == 0)
            check_data(r, dst, res.len);
        free(dst);
        memmove(r->wire, r->wire + res.consumed, r->len - res.consumed);
        r->len -= res.consumed;
        follow_updates(r);
    } while (rc == 0 && res.consumed != 0);
}

static void seal_record(struct run *r, uint8_t type, const uint8_t *p, uint32_t len)
{
    struct hg_iov iov = {(uint8_t *)p, len};
    struct hg_tls_text text = {.type = type, .in = &iov, .n = 1, .len = len};
    int n;

    if (r->len + len + HG_TLS_OVERHEAD > WIRE_MAX)
        return;
    n = hg_tls_rec_seal(&r->peer.tx, &text, r->wire + r->len);
    CHECK(n > 0);
    r->len += (uint32_t)n;
}

/* Application data has our own bytes, whatever the input says; other types have the input's. */
static void good_record(struct run *r, uint8_t type, const uint8_t *p, uint32_t len)
{
    uint8_t text[512];

    if (type != HG_TLS_TYPE_DATA) {
        r->damaged = true; /* a type of 0 is padding: the text's own end becomes the type */
        seal_record(r, type, p, len);
        return;
    }
    for (uint32_t i = 0; i < len; i++)
        text[i] = byte_at(r->sent + i);
    r->sent += len;
    r->damaged |= len + 1 > r->tls->rx.max_inner; /* it may not come: nothing of it does */
    seal_record(r, type, text, len);
}

static void bad_record(struct run *r, uint8_t type, uint32_t len, uint32_t bit)
{
    static const uint8_t zeros[512];
    uint32_t before = r->len;

    seal_record(r, type, zeros, len);
    r->damaged = true;
    if (r->len != before)
        r->wire[before + bit / 8 % (r->len - before)] ^= (uint8_t)(1u << bit % 8);
}

/* Seals as much as finds room, from where it lies: one record, or several small ones. */
static void our_data(struct run *r)
{
    static uint8_t out[2048];
    uint32_t len = hg_tls_seal_room(r->tls, sizeof out);
    struct hg_iov iov = {out + hg_tls_seal_offset(r->tls), len};
    int n = hg_tls_seal(r->tls, &iov, 1, out, sizeof out);

    CHECK(n == -EPIPE || (n > (int)len && n <= (int)sizeof out));
    CHECK(hg_tls_seal(r->tls, &iov, 1, out, len) < 0);
}

static void our_end(struct run *r, bool close)
{
    uint8_t out[256];
    struct hg_iov iov = {out, 1};

    if (close)
        hg_tls_close(r->tls);
    if (hg_tls_pending(r->tls) != 0)
        CHECK(hg_tls_seal(r->tls, &iov, 1, out + 1, sizeof out - 1) < 0);
    while (hg_tls_take(r->tls, out, 7) != 0)
        ;
    CHECK(hg_tls_pending(r->tls) == 0);
    our_data(r);
}

/* One command; returns how many bytes it had. */
static size_t step(struct run *r, const uint8_t *p, size_t size)
{
    size_t len = size < 3 ? 0 : p[2] * 2u, at;

    switch (p[0] % 5) {
    case 0:
        len = size < 2 ? 0 : p[1];
        len = size - 1 < len ? size - 1 : len;
        if (r->len + len <= WIRE_MAX) {
            memcpy(r->wire + r->len, p + 1, len);
            r->len += (uint32_t)len;
            r->damaged |= len != 0;
        }
        return 1 + len;
    case 1:
        at = size < 3 ? size : 3;
        len = size - at < len ? size - at : len;
        good_record(r, size < 2 ? 0 : p[1], p + at, (uint32_t)len);
        return at + len;
    case 2:
        bad_record(r, size < 2 ? 0 : p[1], (uint32_t)len, size < 4 ? 0 : p[3] * 7u);
        return 4;
    default:
        our_end(r, p[0] % 5 == 4);
        return 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run r;
    size_t at = 2;

    if (size < 2)
        return 0;
    memset(&r, 0, offsetof(struct run, wire));
    make_ends(&r, data[0]);
    r.piece = 1u + data[1] * 6u;
    while (at < size) {
        size_t n = step(&r, data + at, size - at);

        at += n;
        drain(&r);
    }
    if (!r.damaged && hg_tls_state(r.tls) == HG_TLS_OPEN)
        CHECK(r.received == r.sent && r.len == 0);
    our_end(&r, true);
    hg_tls_wipe(r.tls);
    free(r.tls);
    hg_tls_rec_wipe(&r.peer.tx);
    return 0;
}
