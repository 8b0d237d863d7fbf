/* SPDX-License-Identifier: BSD-3-Clause */
/* Record sizes (RFC 8449, RFC 6066 4), both versions and providers: what is sent keeps within what
 * the peer asked for, in the handshake too; what comes is held to what we asked for. */
#include "both.h"
#include "fixture.h"
#include "tls_conn.h"
#include "tls_shard.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */

static struct hg_tls *make_tls(enum hg_tls_role role, enum hg_tls_version version, uint32_t max)
{
    struct hg_tls_cfg cfg = {
        .role = role,
        .provider = provider,
        .min_version = version,
        .max_version = version,
        .max_fragment = max,
        .tickets = role == HG_TLS_SERVER ? 3 : 0,
        .ca_file = fx_path("server", ".crt"),
    };
    struct hg_tls_ctx *ctx;
    struct hg_tls *tls;

    if (role == HG_TLS_SERVER) {
        cfg.cert_file = fx_path("server", ".crt");
        cfg.key_file = fx_path("server", ".key");
        cfg.client_cert = HG_TLS_CERT_OFF;
    }
    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0 && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    return tls;
}

static uint32_t is_13(enum hg_tls_version version)
{
    return version == HG_TLS_1_3;
}

/* The longest plaintext that the protected records of a stream can have; counts them. */
static uint32_t longest(const struct fx_buf *wire, enum hg_tls_version version, unsigned *records)
{
    uint32_t most = 0;

    *records = 0;
    for (size_t at = 0; at + 5 <= wire->len;) {
        uint32_t body = (uint32_t)wire->p[at + 3] << 8 | wire->p[at + 4];
        uint32_t text = body - (version == HG_TLS_1_3 ? 16 + 1 : 16 + 8);

        if (wire->p[at] == 23) {
            most = text > most ? text : most;
            ++*records;
        }
        at += 5 + body;
        FX_MUST(at <= wire->len);
    }
    return most;
}

/* ---- both ends ours ---- */

static uint8_t big[40000];

/* One direction: `to` got all of it, in records of at most `max` bytes. */
static void check_way(struct hg_tls *from, struct hg_tls *to, enum hg_tls_version version,
                      uint32_t max)
{
    struct fx_buf wire = {0}, got = {0};
    unsigned records;

    CU_ASSERT_EQUAL(hg_tls_max_fragment(from), max);
    CU_ASSERT_EQUAL(fx_seal(from, big, sizeof big, max, &wire), 0);
    CU_ASSERT_EQUAL(longest(&wire, version, &records), max);
    CU_ASSERT_EQUAL(records, (sizeof big + max - 1) / max);
    CU_ASSERT_EQUAL(fx_open(to, &wire, 1448, &got), 0);
    CU_ASSERT(got.len == sizeof big && memcmp(got.p, big, sizeof big) == 0);
    fx_free(&wire);
    fx_free(&got);
}

static void agree(enum hg_tls_version version, uint32_t client, uint32_t server)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, version, client),
                        .server = make_tls(HG_TLS_SERVER, version, server)};
    uint32_t least;

    client = client == 0 ? HG_TLS_MAX_PLAINTEXT : client;
    server = server == 0 ? HG_TLS_MAX_PLAINTEXT : server;
    least = client < server ? client : server;
    fx_run(&p, 0);
    FX_MUST(p.client->state == HG_TLS_OPEN && p.server->state == HG_TLS_OPEN);
    check_way(p.client, p.server, version, least);
    check_way(p.server, p.client, version, least);
    CU_ASSERT_EQUAL(p.client->rx.max_inner, client + is_13(version));
    CU_ASSERT_EQUAL(p.server->rx.max_inner, server + is_13(version));
    fx_pair_free(&p);
}

static void test_agreed(void)
{
    static const uint32_t sizes[] = {0, 512, 513, 1400, 4096, 16383};

    for (size_t i = 0; i < HG_ARRAY_LEN(sizes) * HG_ARRAY_LEN(sizes); i++) {
        agree(HG_TLS_1_2, sizes[i % HG_ARRAY_LEN(sizes)], sizes[i / HG_ARRAY_LEN(sizes)]);
        agree(HG_TLS_1_3, sizes[i % HG_ARRAY_LEN(sizes)], sizes[i / HG_ARRAY_LEN(sizes)]);
    }
}

/* One byte more than was agreed, of text or of padding, is record_overflow; told by the header. */
static void overflow(enum hg_tls_version version, uint32_t len, bool refused)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, version, 0),
                        .server = make_tls(HG_TLS_SERVER, version, 600)};
    uint8_t rec[HG_TLS_MAX_RECORD];
    struct hg_iov iov = {big, len};
    struct hg_tls_text text = {.type = HG_TLS_TYPE_DATA, .in = &iov, .n = 1, .len = len};

    fx_run(&p, 0);
    fx_put(&p.c2s, rec, (size_t)hg_tls_rec_seal(&p.client->tx, &text, rec));
    if (refused)
        p.c2s.len = HG_TLS_RECORD_HEADER;
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), refused ? -EPROTO : 0);
    CU_ASSERT_EQUAL(p.server_got.len, refused ? 0 : len);
    fx_run(&p, 0);
    if (refused)
        CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.client), "record_overflow"));
    fx_pair_free(&p);
}

static void test_overflow(void)
{
    overflow(HG_TLS_1_2, 600, false);
    overflow(HG_TLS_1_2, 601, true);
    overflow(HG_TLS_1_3, 600, false);
    overflow(HG_TLS_1_3, 601, true);
}

/* Data for several records at once, from elsewhere and in place, is what one record each gives. */
static void test_many(void)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, HG_TLS_1_3, 0),
                        .server = make_tls(HG_TLS_SERVER, HG_TLS_1_3, 512)};
    static uint8_t dst[HG_TLS_MAX_RECORD];
    uint32_t sent = 0;

    fx_run(&p, 0);
    CU_ASSERT_EQUAL(hg_tls_seal_room(p.client, 2048), 1024);
    CU_ASSERT_EQUAL(hg_tls_seal_room(p.client, 544), 512);
    CU_ASSERT_EQUAL(hg_tls_seal_room(p.client, 100), 68);
    for (uint32_t cap = 600; cap < sizeof dst; cap += 700) {
        uint32_t len = hg_tls_seal_room(p.client, cap);
        struct hg_iov in[2] = {{big + sent, 300}, {big + sent + 300, len - 300}};
        int n = hg_tls_seal(p.client, in, 2, dst, cap);

        CU_ASSERT_FATAL(n > 0 && (uint32_t)n <= cap);
        fx_put(&p.c2s, dst, (size_t)n);
        CU_ASSERT_EQUAL(hg_tls_seal(p.client, in, 2, dst, len), -EINVAL);
        sent += len;
        memcpy(dst + hg_tls_seal_offset(p.client), big + sent, len);
        in[0] = (struct hg_iov){dst + hg_tls_seal_offset(p.client), len};
        n = hg_tls_seal(p.client, in, 1, dst, cap);
        CU_ASSERT_FATAL(n > 0 && (uint32_t)n <= cap);
        fx_put(&p.c2s, dst, (size_t)n);
        sent += len;
        if (sent > 10000) {
            CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), 0);
            CU_ASSERT(p.server_got.len == sent && memcmp(p.server_got.p, big, sent) == 0);
            p.server_got.len = sent = 0;
        }
    }
    fx_pair_free(&p);
}

/* ---- OpenSSL's client, with the extension made by hand ---- */

struct offer {
    uint8_t bytes[4];
    size_t len;      /* 0: not offered */
    uint32_t answer; /* what the server said, 0: nothing */
};

/* The signature is OpenSSL's. */
static int offer_cb(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                    size_t *len, X509 *x, size_t chain, int *alert, void *arg)
{
    struct offer *o = arg;

    (void)ssl;
    (void)type;
    (void)context;
    (void)x;
    (void)chain;
    (void)alert;
    *out = o->bytes;
    *len = o->len;
    return 1;
}

/* The signature is OpenSSL's. */
static int answer_cb(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len,
                     X509 *x, size_t chain, int *alert, void *arg)
{
    struct offer *o = arg;

    (void)ssl;
    (void)type;
    (void)context;
    (void)x;
    (void)chain;
    (void)alert;
    CU_ASSERT_EQUAL(len, 2);
    o->answer = (uint32_t)in[0] << 8 | in[1];
    return 1;
}

static SSL_CTX *client_ctx(struct offer *o, enum hg_tls_version version, unsigned fragment)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    FX_MUST(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
            SSL_CTX_set_max_proto_version(ctx, version) == 1);
    if (o->len != 0)
        FX_MUST(SSL_CTX_add_custom_ext(ctx, 28,
                                       SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO |
                                           SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS,
                                       offer_cb, NULL, o, answer_cb, o) == 1);
    if (fragment != 0)
        FX_MUST(SSL_CTX_set_tlsext_max_fragment_length(ctx, (uint8_t)fragment) == 1);
    return ctx;
}

/* A handshake with such a client; returns the longest record of the server's flights, or 0 when it
 * failed. */
static uint32_t meet(struct fx_mixed *m, struct offer *o, enum hg_tls_version version,
                     unsigned fragment, uint32_t max)
{
    SSL_CTX *ctx = client_ctx(o, version, fragment);
    struct fx_buf wire = {0};
    unsigned records;
    uint32_t most = 0;

    o->answer = 0;
    fx_mixed_init(m, ctx, make_tls(HG_TLS_SERVER, version, max), true);
    SSL_CTX_free(ctx);
    SSL_do_handshake(m->ssl);
    fx_mixed_flush(m);
    fx_open(m->tls, &m->to_tls, 0, NULL);
    fx_take(m->tls, &wire, 0);
    most = longest(&wire, version, &records);
    FX_MUST(BIO_write(SSL_get_rbio(m->ssl), wire.p, (int)wire.len) == (int)wire.len);
    fx_mixed_run(m, 0, NULL);
    fx_free(&wire);
    return hg_tls_state(m->tls) == HG_TLS_OPEN ? (most == 0 ? 1 : most) : 0;
}

static struct offer offer_of(uint32_t limit)
{
    return (struct offer){.bytes = {(uint8_t)(limit >> 8), (uint8_t)limit}, .len = 2};
}

/* The answer is what we take, and all that we send keeps the client's limit; the certificate of the
 * test makes the flight longer than the smallest. */
static void answered(enum hg_tls_version version, uint32_t limit, uint32_t max)
{
    struct offer o = offer_of(limit);
    struct fx_mixed m;
    uint32_t most = meet(&m, &o, version, 0, max), text = limit - is_13(version);

    if (text > (max == 0 ? HG_TLS_MAX_PLAINTEXT : max))
        text = max == 0 ? HG_TLS_MAX_PLAINTEXT : max;
    CU_ASSERT_FATAL(most != 0);
    CU_ASSERT(most <= text);
    if (version == HG_TLS_1_3 && text < 700)
        CU_ASSERT_EQUAL(most, text);
    CU_ASSERT_EQUAL(o.answer, (max == 0 ? HG_TLS_MAX_PLAINTEXT : max) + is_13(version));
    CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), text);
    fx_mixed_free(&m);
}

static void test_answered(void)
{
    answered(HG_TLS_1_2, 512, 0);
    answered(HG_TLS_1_2, 16384, 0);
    answered(HG_TLS_1_2, 16385, 0); /* more than there is: a server must not mind */
    answered(HG_TLS_1_2, 65535, 0);
    answered(HG_TLS_1_2, 1000, 900);
    answered(HG_TLS_1_3, 513, 0);
    answered(HG_TLS_1_3, 16385, 0);
    answered(HG_TLS_1_3, 65535, 0);
    answered(HG_TLS_1_3, 1000, 900);
    answered(HG_TLS_1_3, 600, 900);
}

/* Less than we can keep: no answer, and the connection is as without the extension. */
static void declined(enum hg_tls_version version, uint32_t limit)
{
    struct offer o = offer_of(limit);
    struct fx_mixed m;

    CU_ASSERT(meet(&m, &o, version, 0, 0) != 0);
    CU_ASSERT_EQUAL(o.answer, 0);
    CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), HG_TLS_MAX_PLAINTEXT);
    fx_mixed_free(&m);
}

static void test_declined(void)
{
    declined(HG_TLS_1_2, 64);
    declined(HG_TLS_1_2, 511);
    declined(HG_TLS_1_3, 64);
    declined(HG_TLS_1_3, 512);
}

static void malformed(enum hg_tls_version version, struct offer o, int alert, const char *words)
{
    struct fx_mixed m;

    CU_ASSERT_EQUAL(meet(&m, &o, version, 0, 0), 0);
    CU_ASSERT_EQUAL(m.ssl_alert, alert);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(m.tls), words));
    fx_mixed_free(&m);
}

static void test_malformed(void)
{
    for (enum hg_tls_version v = HG_TLS_1_2; v <= HG_TLS_1_3; v++) {
        malformed(v, offer_of(63), HG_TLS_AL_ILLEGAL_PARAMETER, "below the least");
        malformed(v, offer_of(0), HG_TLS_AL_ILLEGAL_PARAMETER, "below the least");
        malformed(v, (struct offer){.bytes = {64}, .len = 1}, HG_TLS_AL_DECODE_ERROR, "1 bytes");
        malformed(v, (struct offer){.bytes = {4}, .len = 3}, HG_TLS_AL_DECODE_ERROR, "3 bytes");
    }
}

/* RFC 6066's way, alone, and beside RFC 8449's, whose answer is left out then. */
static void fragment_length(enum hg_tls_version version, unsigned code, bool both)
{
    struct offer o = {.len = 0};
    struct fx_mixed m;
    struct fx_buf wire = {0};
    uint32_t most;

    if (both)
        o = offer_of(16384);
    most = meet(&m, &o, version, code, 0);
    CU_ASSERT(most != 0 && most <= 256u << code);
    CU_ASSERT_EQUAL(o.answer, 0);
    CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), 256u << code);
    /* the client keeps to it as well, and is held to it */
    CU_ASSERT_EQUAL(SSL_write(m.ssl, big, sizeof big), sizeof big);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(m.got.len, sizeof big);
    CU_ASSERT_EQUAL(m.tls->rx.max_text, 256u << code);
    CU_ASSERT_EQUAL(fx_seal(m.tls, big, sizeof big, 256u << code, &wire), 0);
    fx_free(&wire);
    fx_mixed_free(&m);
}

static void test_fragment_length(void)
{
    for (unsigned code = 1; code <= 4; code++) {
        fragment_length(HG_TLS_1_2, code, code % 2 == 0);
        fragment_length(HG_TLS_1_3, code, code % 2 == 0);
    }
}

/* A client's record in the handshake is held to what we answered, and the alert can be read. */
static void test_handshake_overflow(void)
{
    struct offer o = offer_of(16385);
    SSL_CTX *ctx = client_ctx(&o, HG_TLS_1_3, 0);
    struct fx_mixed m;
    struct fx_buf wire = {0};
    uint8_t long_record[5] = {23, 3, 3, 4, 0}; /* 1024 bytes of body */

    fx_mixed_init(&m, ctx, make_tls(HG_TLS_SERVER, HG_TLS_1_3, 900), true);
    SSL_do_handshake(m.ssl);
    fx_mixed_flush(&m);
    CU_ASSERT_EQUAL(fx_open(m.tls, &m.to_tls, 0, NULL), 0);
    fx_put(&wire, long_record, sizeof long_record);
    CU_ASSERT_EQUAL(fx_open(m.tls, &wire, 0, NULL), -EPROTO);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(m.tls), "longer than was agreed"));
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(m.ssl_alert, HG_TLS_AL_RECORD_OVERFLOW);
    fx_mixed_free(&m);
    fx_free(&wire);
    SSL_CTX_free(ctx);
}

/* ---- our client ---- */

/* A server that answers any value, which its context carries. */
static void server_answers(enum hg_tls_version version, uint32_t limit, const char *words)
{
    struct offer o = offer_of(limit);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct fx_mixed m;

    FX_MUST(ctx != NULL &&
            SSL_CTX_use_certificate_file(ctx, fx_path("server", ".crt"), SSL_FILETYPE_PEM) == 1 &&
            SSL_CTX_use_PrivateKey_file(ctx, fx_path("server", ".key"), SSL_FILETYPE_PEM) == 1);
    FX_MUST(SSL_CTX_add_custom_ext(ctx, 28,
                                   SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO |
                                       SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS,
                                   offer_cb, NULL, &o, answer_cb, &o) == 1);
    fx_mixed_init(&m, ctx, make_tls(HG_TLS_CLIENT, version, 0), false);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(o.answer, HG_TLS_MAX_PLAINTEXT + is_13(version)); /* what the client offered */
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(m.tls), words));
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), words[0] == '\0' ? HG_TLS_OPEN : HG_TLS_FAILED);
    if (words[0] == '\0')
        CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), limit - is_13(version));
    fx_mixed_free(&m);
    SSL_CTX_free(ctx);
}

static void test_client(void)
{
    server_answers(HG_TLS_1_2, 512, "");
    server_answers(HG_TLS_1_2, 16384, "");
    server_answers(HG_TLS_1_2, 16385, "more than TLS has");
    server_answers(HG_TLS_1_2, 511, "raise its limit");
    server_answers(HG_TLS_1_3, 513, "");
    server_answers(HG_TLS_1_3, 16385, "");
    server_answers(HG_TLS_1_3, 16386, "more than TLS has");
    server_answers(HG_TLS_1_3, 512, "raise its limit");
    server_answers(HG_TLS_1_3, 63, "below the least");
}

/* After a HelloRetryRequest (RFC 8446 4.1.4) the hello comes again, with the extension, and our
 * records go on after the tickets all the same. */
static void test_retry(void)
{
    struct offer o = offer_of(1000);
    SSL_CTX *ctx = client_ctx(&o, HG_TLS_1_3, 0), *server = SSL_CTX_new(TLS_server_method());
    struct fx_mixed m;

    FX_MUST(SSL_CTX_set1_groups_list(ctx, "P-521:P-256") == 1);
    fx_mixed_init(&m, ctx, make_tls(HG_TLS_SERVER, HG_TLS_1_3, 0), true);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_OPEN);
    CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), 999);
    CU_ASSERT_EQUAL(SSL_write(m.ssl, big, sizeof big), sizeof big);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(m.got.len, sizeof big);
    fx_mixed_free(&m);
    SSL_CTX_free(ctx);

    FX_MUST(server != NULL && SSL_CTX_set1_groups_list(server, "P-384") == 1 &&
            SSL_CTX_use_certificate_file(server, fx_path("server", ".crt"), SSL_FILETYPE_PEM) ==
                1 &&
            SSL_CTX_use_PrivateKey_file(server, fx_path("server", ".key"), SSL_FILETYPE_PEM) == 1);
    FX_MUST(SSL_CTX_add_custom_ext(server, 28,
                                   SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS,
                                   offer_cb, NULL, &o, answer_cb, &o) == 1);
    fx_mixed_init(&m, server, make_tls(HG_TLS_CLIENT, HG_TLS_1_3, 0), false);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_OPEN);
    CU_ASSERT_EQUAL(hg_tls_max_fragment(m.tls), 999);
    fx_mixed_free(&m);
    SSL_CTX_free(server);
}

static void test_setting(void)
{
    struct hg_tls_cfg cfg = {.role = HG_TLS_CLIENT, .ca_file = fx_path("server", ".crt")};
    struct hg_tls_ctx *ctx;
    struct hg_err err;

    cfg.max_fragment = 511;
    CU_ASSERT_EQUAL(hg_tls_ctx_create(&cfg, &ctx, &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "511 bytes: 512 to 16384 are possible"));
    cfg.max_fragment = 16385;
    CU_ASSERT_EQUAL(hg_tls_ctx_create(&cfg, &ctx, &err), -EINVAL);
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"both ends keep what the other asked for", test_agreed},
        {"more than was agreed is record_overflow", test_overflow},
        {"data for several small records", test_many},
        {"limits are answered and kept", test_answered},
        {"limits that cannot be kept are not answered", test_declined},
        {"malformed limits", test_malformed},
        {"maximum fragment length of RFC 6066", test_fragment_length},
        {"overflow in the handshake", test_handshake_overflow},
        {"our client", test_client},
        {"after a HelloRetryRequest", test_retry},
        {"setting", test_setting},
        CU_TEST_INFO_NULL,
    };
    struct hg_err err;
    int status;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "server", .cn = "node", .key = FX_RSA});
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    hg_tls_shard_destroy(shard);
    fx_remove();
    return status;
}
