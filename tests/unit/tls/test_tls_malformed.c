/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of inputs that must be refused, and the alert that RFC 8446, 5246 or an extension's RFC asks
 * for: hellos made by hand, a client's second flight forged with its own keys, and change_cipher_spec
 * in every place. The server is ours, without client certificates; both providers. */
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

static struct hg_tls *make_server(enum hg_tls_version min, enum hg_tls_version max)
{
    struct hg_tls_cfg cfg = {
        .role = HG_TLS_SERVER,
        .provider = provider,
        .min_version = min,
        .max_version = max,
        .cert_file = fx_path("server", ".crt"),
        .key_file = fx_path("server", ".key"),
        .client_cert = HG_TLS_CERT_OFF,
        .tickets = 1,
    };
    struct hg_tls_ctx *ctx;
    struct hg_tls *tls;

    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0 && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    return tls;
}

/* ---- hellos made by hand ---- */

#define BYTES(s) (s), sizeof(s) - 1

struct ext {
    uint16_t type;
    const char *bytes;
    size_t len;
};

/* X25519's base point, which is a fine share. */
#define X25519_SHARE "\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

#define SUPPORTED_VERSIONS 43
#define GROUPS 10
#define SIGNATURES 13
#define KEY_SHARE 51
#define PSK_MODES 45
#define PSK 41
#define SERVER_NAME 0
#define ALPN 16
#define RENEGOTIATION 0xff01
#define FRAGMENT 1

static const struct ext base[] = {
    {SUPPORTED_VERSIONS, BYTES("\2\3\4")},
    {GROUPS, BYTES("\0\4\0\x1d\0\x17")},
    {SIGNATURES, BYTES("\0\4\4\3\x08\4")},
    {KEY_SHARE, BYTES("\0\x24\0\x1d\0\x20" X25519_SHARE)},
    {PSK_MODES, BYTES("\1\1")},
};

/* What differs from a good hello. */
struct row {
    const char *what;
    int alert;         /* -1: it is good */
    uint16_t drop;     /* type of an extension to leave out; UINT16_MAX: none */
    bool no_share;     /* leave out key_share as well */
    struct ext add[2]; /* bytes NULL: nothing */
    const char *ciphers, *compression;
    size_t cut;  /* bytes missing at the end of the message */
    size_t junk; /* bytes too many at its end */
};

#define NONE UINT16_MAX
#define DEFAULTS .drop = NONE, .ciphers = "\x13\x01", .compression = ""

/* TLS 1.3; sections are RFC 8446's. */
static const struct row rows13[] = {
    {"good", -1, DEFAULTS},
    {"4.2.3 no signature_algorithms", 109, .drop = SIGNATURES, .ciphers = "\x13\x01",
     .compression = ""},
    {"9.2 no supported_groups", 109, .drop = GROUPS, .ciphers = "\x13\x01", .compression = ""},
    {"9.2 no key_share", 109, .drop = KEY_SHARE, .ciphers = "\x13\x01", .compression = ""},
    {"4.2 an extension twice", 47, DEFAULTS, .add = {{PSK_MODES, BYTES("\1\1")}}},
    {"4.1.2 compression", 47, .drop = NONE, .ciphers = "\x13\x01", .compression = "\1"},
    {"4.1.1 no common suite", 40, .drop = NONE, .ciphers = "\x13\x05", .compression = ""},
    {"4.1.1 no common group", 40, .drop = GROUPS, .no_share = true, .ciphers = "\x13\x01",
     .compression = "",
     .add = {{GROUPS, BYTES("\0\2\0\x19")}, {KEY_SHARE, BYTES("\0\5\0\x19\0\1x")}}},
    {"4.2.1 no common version", 70, .drop = SUPPORTED_VERSIONS, .ciphers = "\x13\x01",
     .compression = "", .add = {{SUPPORTED_VERSIONS, BYTES("\2\3\2")}}},
    {"4.2.1 an empty list of versions", 50, .drop = SUPPORTED_VERSIONS, .ciphers = "\x13\x01",
     .compression = "", .add = {{SUPPORTED_VERSIONS, BYTES("\0")}}},
    {"4.2.3 half a signature scheme", 50, .drop = SIGNATURES, .ciphers = "\x13\x01",
     .compression = "", .add = {{SIGNATURES, BYTES("\0\3\4\3\x08")}}},
    {"4.2.8 a share of a group not offered", 47, .drop = KEY_SHARE, .ciphers = "\x13\x01",
     .compression = "", .add = {{KEY_SHARE, BYTES("\0\x24\0\x1e\0\x20" X25519_SHARE)}}},
    {"4.2.8 a share of wrong length", 47, .drop = KEY_SHARE, .ciphers = "\x13\x01",
     .compression = "", .add = {{KEY_SHARE, BYTES("\0\x06\0\x1d\0\2xy")}}},
    {"4.2.8.2 a point not on the curve", 47, .drop = KEY_SHARE, .ciphers = "\x13\x01",
     .compression = "",
     .add = {{KEY_SHARE, BYTES("\0\x45\0\x17\0\x41\4" X25519_SHARE X25519_SHARE)}}},
    {"7.4.2 a share that gives zero", 47, .drop = KEY_SHARE, .ciphers = "\x13\x01",
     .compression = "",
     .add = {{KEY_SHARE,
              BYTES("\0\x24\0\x1d\0\x20"
                    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")}}},
    {"4.2.9 a PSK without modes", 109, .drop = PSK_MODES, .ciphers = "\x13\x01", .compression = "",
     .add = {{PSK, BYTES("\0\x0b\0\5hello\0\0\0\0\0\x21\x20" X25519_SHARE)}}},
    {"4.2.11 a PSK that is not last", 47, DEFAULTS,
     .add = {{PSK, BYTES("\0\x0b\0\5hello\0\0\0\0\0\x21\x20" X25519_SHARE)},
             {SERVER_NAME, BYTES("\0\7\0\0\4node")}}},
    {"6.2 an empty list of names", 50, DEFAULTS, .add = {{SERVER_NAME, BYTES("\0\0")}}},
    {"6.2 an empty list of protocols", 50, DEFAULTS, .add = {{ALPN, BYTES("\0\0")}}},
    {"6.2 an extension longer than the hello", 50, DEFAULTS, .cut = 1},
    {"6.2 bytes behind the extensions", 50, DEFAULTS, .junk = 1},
    {"RFC 6066 4 an unknown fragment length", 47, DEFAULTS, .add = {{FRAGMENT, BYTES("\5")}}},
};

/* TLS 1.2; sections are RFC 5246's unless named. */
#define DEFAULTS12 .drop = SUPPORTED_VERSIONS, .ciphers = "\xc0\x2b", .compression = ""
static const struct row rows12[] = {
    {"good", -1, DEFAULTS12},
    {"7.4.1.2 compression without none", 50, .drop = SUPPORTED_VERSIONS, .ciphers = "\xc0\x2b",
     .compression = "\1"},
    {"7.4.1.3 no common suite", 40, .drop = SUPPORTED_VERSIONS, .ciphers = "\xc0\x23",
     .compression = ""},
    {"RFC 5746 3.6 renegotiation in a first hello", 40, DEFAULTS12,
     .add = {{RENEGOTIATION, BYTES("\1x")}}},
    {"RFC 7507 3 an older version than possible", 86, .drop = SUPPORTED_VERSIONS,
     .ciphers = "\xc0\x2b\x56", .compression = ""},
    {"7.2.2 bytes behind the extensions", 50, DEFAULTS12, .junk = 1},
    {"7.2.2 an extension longer than the hello", 50, DEFAULTS12, .cut = 1},
    {"7.4.1.4 an extension twice", 47, DEFAULTS12, .add = {{SIGNATURES, BYTES("\0\2\4\3")}}},
};

static void put16(struct fx_buf *b, size_t v)
{
    fx_put(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void put_ext(struct fx_buf *b, const struct ext *e)
{
    put16(b, e->type);
    put16(b, e->len);
    fx_put(b, e->bytes, e->len);
}

/* The whole record. A cipher of three bytes is one and TLS_FALLBACK_SCSV. */
static void make_hello(const struct row *r, struct fx_buf *out)
{
    struct fx_buf exts = {0}, msg = {0};
    size_t ciphers = strlen(r->ciphers);

    for (size_t i = 0; i < HG_ARRAY_LEN(base); i++)
        if (base[i].type != r->drop && !(r->no_share && base[i].type == KEY_SHARE))
            put_ext(&exts, &base[i]);
    for (size_t i = 0; i < 2; i++)
        if (r->add[i].bytes != NULL)
            put_ext(&exts, &r->add[i]);
    put16(&msg, 0x0303);
    fx_put(&msg, X25519_SHARE, 32); /* random */
    fx_put(&msg, "\0", 1);
    put16(&msg, ciphers == 2 ? 2 : 4);
    fx_put(&msg, r->ciphers, ciphers);
    if (ciphers == 3)
        fx_put(&msg, "\0", 1);
    fx_put(&msg, r->compression[0] == 0 ? "\1\0" : "\1\1", 2);
    put16(&msg, exts.len);
    fx_put(&msg, exts.p, exts.len - r->cut);
    fx_put(&msg, "junk", r->junk);
    fx_put(out, "\x16\3\1", 3);
    put16(out, msg.len + 4);
    fx_put(out, "\1\0", 2);
    put16(out, msg.len);
    fx_put(out, msg.p, msg.len);
    fx_free(&exts);
    fx_free(&msg);
}

/* The alert at the end of what is pending in the clear, or -1. */
static int pending_alert(struct hg_tls *tls)
{
    struct fx_buf out = {0};
    int alert = -1;

    fx_take(tls, &out, 0);
    if (out.len >= 7 && memcmp(out.p + out.len - 7, "\x15\3\3\0\2\2", 6) == 0)
        alert = out.p[out.len - 1];
    fx_free(&out);
    return alert;
}

static void check_row(const struct row *r, enum hg_tls_version min)
{
    struct hg_tls *tls = make_server(min, 0);
    struct fx_buf hello = {0};
    int alert;

    make_hello(r, &hello);
    CU_ASSERT_EQUAL(fx_open(tls, &hello, 50, NULL), r->alert < 0 ? 0 : -EPROTO);
    alert = pending_alert(tls);
    if (alert != r->alert)
        printf("\n%s: alert %d, not %d (%s)\n", r->what, alert, r->alert, hg_tls_error(tls));
    CU_ASSERT_EQUAL(alert, r->alert);
    CU_ASSERT_EQUAL(hg_tls_error(tls)[0] == '\0', r->alert < 0);
    hg_tls_destroy(tls);
    fx_free(&hello);
}

static void test_hello13(void)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(rows13); i++)
        check_row(&rows13[i], HG_TLS_1_2);
}

static void test_hello12(void)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(rows12); i++)
        check_row(&rows12[i], HG_TLS_1_2);
}

/* ---- the second flight of TLS 1.3, forged with the client's own keys ---- */

static uint8_t client_secret[HG_TLS_SECRET_MAX];

/* Keeps the client's handshake traffic secret. The signature is OpenSSL's. */
static void keylog_cb(const SSL *ssl, const char *line)
{
    const char *hex = strrchr(line, ' ') + 1;

    (void)ssl;
    if (strncmp(line, "CLIENT_HANDSHAKE_TRAFFIC_SECRET ", 32) != 0)
        return;
    for (unsigned i = 0;
         i < sizeof client_secret && sscanf(hex + 2u * i, "%2hhx", &client_secret[i]); i++)
        ;
}

struct second {
    struct fx_mixed m;
    struct hg_tls_rec tx; /* the client's */
    SSL_CTX *ctx;
};

/* OpenSSL's client has taken the server's flight; its own is kept from the wire. */
static void second_begin(struct second *s)
{
    struct hg_tls_rec_cfg cfg = {.provider = provider,
                                 .engine = &shard->engine,
                                 .suite = hg_tls_suite_find(0x1302),
                                 .seal = true};
    struct hg_tls_keyset k;
    struct fx_buf wire = {0};

    s->ctx = SSL_CTX_new(TLS_client_method());
    FX_MUST(s->ctx != NULL && SSL_CTX_set_min_proto_version(s->ctx, TLS1_3_VERSION) == 1);
    SSL_CTX_set_keylog_callback(s->ctx, keylog_cb);
    fx_mixed_init(&s->m, s->ctx, make_server(HG_TLS_1_3, HG_TLS_1_3), true);
    SSL_do_handshake(s->m.ssl);
    fx_mixed_flush(&s->m);
    FX_MUST(fx_open(s->m.tls, &s->m.to_tls, 0, NULL) == 0);
    fx_take(s->m.tls, &wire, 0);
    FX_MUST(BIO_write(SSL_get_rbio(s->m.ssl), wire.p, (int)wire.len) == (int)wire.len);
    FX_MUST(SSL_do_handshake(s->m.ssl) == 1);
    fx_mixed_flush(&s->m);
    FX_MUST(hg_tls_traffic_keys(cfg.suite, client_secret, &k) == 0 &&
            hg_tls_rec_init(&s->tx, &cfg, &k) == 0);
    fx_free(&wire);
}

static void second_end(struct second *s)
{
    hg_tls_rec_wipe(&s->tx);
    fx_mixed_free(&s->m);
    SSL_CTX_free(s->ctx);
}

static void forge(struct second *s, uint8_t type, const void *p, uint32_t len, struct fx_buf *to)
{
    uint8_t rec[HG_TLS_MAX_RECORD];
    struct hg_iov iov = {(uint8_t *)p, len};
    struct hg_tls_text text = {.type = type, .in = &iov, .n = 1, .len = len};

    fx_put(to, rec, (size_t)hg_tls_rec_seal(&s->tx, &text, rec));
}

/* The server refuses the bytes with this alert, protected so that OpenSSL's end can read it. */
static void expect_alert(struct second *s, struct fx_buf *bytes, const char *what, int alert)
{
    CU_ASSERT_EQUAL(fx_open(s->m.tls, bytes, 0, NULL), -EPROTO);
    CU_ASSERT_EQUAL(hg_tls_state(s->m.tls), HG_TLS_FAILED);
    s->m.to_tls.len = 0;
    fx_mixed_run(&s->m, 0, NULL);
    if (s->m.ssl_alert != alert)
        printf("\n%s: alert %d, not %d (%s)\n", what, s->m.ssl_alert, alert,
               hg_tls_error(s->m.tls));
    CU_ASSERT_EQUAL(s->m.ssl_alert, alert);
    fx_free(bytes);
}

/* What is in a protected record in place of the client's Finished. */
struct inner {
    const char *what;
    int alert;
    uint8_t type;
    const char *bytes;
    size_t len;
    uint8_t second; /* type of another record "x" behind it, 0: none */
};

#define ZEROS16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct inner inners[] = {
    {"4.4.4 a wrong Finished", 51, 22, BYTES("\x14\0\0\x30" ZEROS16 ZEROS16 ZEROS16), 0},
    {"4.4.4 a short Finished", 50, 22, BYTES("\x14\0\0\x10" ZEROS16), 0},
    {"4 application data before Finished", 10, 23, BYTES("early"), 0},
    {"4 a certificate that nobody asked for", 10, 22, BYTES("\x0b\0\0\4\0\0\0\0"), 0},
    {"4 another hello", 10, 22, BYTES("\1\0\0\1x"), 0},
    {"4.6.3 a key update before Finished", 10, 22, BYTES("\x18\0\0\1\0"), 0},
    {"4.6.1 a ticket from a client", 10, 22, BYTES("\4\0\0\1x"), 0},
    {"4 an unknown message", 10, 22, BYTES("\x63\0\0\1x"), 0},
    {"5 change_cipher_spec in a protected record", 10, 20, BYTES("\1"), 0},
    {"5.1 an empty handshake record", 10, 22, BYTES(""), 0},
    {"5.1 an unknown content type", 10, 24, BYTES("beat"), 0},
    {"5.1 data within a message", 10, 22, BYTES("\x14\0\0\x30" ZEROS16), 23},
    {"5.4 nothing but padding", 10, 0, BYTES("\0\0\0\0"), 0},
    /* OpenSSL's answer; after the handshake it is decode_error */
    {"6 an alert of one byte", 10, 21, BYTES("\2"), 0},
};

static void test_second_flight(void)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(inners); i++) {
        const struct inner *r = &inners[i];
        struct fx_buf bytes = {0};
        struct second s;

        second_begin(&s);
        forge(&s, r->type, r->bytes, (uint32_t)r->len, &bytes);
        if (r->second != 0)
            forge(&s, r->second, "x", 1, &bytes);
        expect_alert(&s, &bytes, r->what, r->alert);
        second_end(&s);
    }
}

/* Bytes in the clear, where only protected records may come. */
static const struct inner outers[] = {
    {"5.2 a record that is not authentic", 20, 0, BYTES("\x17\3\3\0\x20" ZEROS16 ZEROS16), 0},
    {"5.2 a record too short for its tag", 20, 0, BYTES("\x17\3\3\0\1x"), 0},
    {"5.2 a record too long", 22, 0, BYTES("\x17\3\3\x41\2"), 0},
    {"5.2 a header beyond all limits", 22, 0, BYTES("\x17\3\3\xff\xff"), 0},
    {"5 a handshake record in the clear", 10, 0, BYTES("\x16\3\3\0\4\x14\0\0\0"), 0},
    {"5 change_cipher_spec with other content", 10, 0, BYTES("\x14\3\3\0\1\2"), 0},
    {"5 change_cipher_spec of two bytes", 10, 0, BYTES("\x14\3\3\0\2\1\1"), 0},
    {"5 change_cipher_spec without a byte", 10, 0, BYTES("\x14\3\3\0\0"), 0},
};

static void test_outer(void)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(outers); i++) {
        struct fx_buf bytes = {0};
        struct second s;

        second_begin(&s);
        fx_put(&bytes, outers[i].bytes, outers[i].len);
        expect_alert(&s, &bytes, outers[i].what, outers[i].alert);
        second_end(&s);
    }
}

/* ---- change_cipher_spec of middlebox compatibility, RFC 8446 5 and D.4 ---- */

#define CCS "\x14\3\3\0\1\1"

/* n of them before the client's second flight, then the rest; they count for nothing. */
static void test_ccs_between(void)
{
    for (unsigned n = 0; n <= 3; n++) {
        struct second s;
        struct fx_buf bytes = {0}, got = {0};

        second_begin(&s);
        for (unsigned i = 0; i < n; i++)
            fx_put(&bytes, BYTES(CCS));
        fx_put(&bytes, s.m.to_tls.p, s.m.to_tls.len); /* has one of its own */
        s.m.to_tls.len = 0;
        CU_ASSERT_EQUAL(fx_open(s.m.tls, &bytes, 3, NULL), 0);
        CU_ASSERT_EQUAL(hg_tls_state(s.m.tls), HG_TLS_OPEN);
        fx_mixed_run(&s.m, 0, NULL);
        CU_ASSERT_EQUAL(SSL_write(s.m.ssl, "data", 4), 4);
        fx_mixed_run(&s.m, 0, NULL);
        CU_ASSERT(s.m.got.len == 4 && memcmp(s.m.got.p, "data", 4) == 0);
        fx_free(&got);
        fx_free(&bytes);
        second_end(&s);
    }
}

/* After the handshake one is an error, also a good one. */
static void test_ccs_after(void)
{
    struct fx_buf bytes = {0};
    struct second s;

    second_begin(&s);
    fx_mixed_run(&s.m, 0, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(s.m.tls), HG_TLS_OPEN);
    fx_put(&bytes, BYTES(CCS));
    expect_alert(&s, &bytes, "5 change_cipher_spec after the handshake", 10);
    second_end(&s);
}

/* As the very first record it is one as well. */
static void test_ccs_first(void)
{
    struct hg_tls *tls = make_server(HG_TLS_1_2, HG_TLS_1_3);
    struct fx_buf bytes = {0};

    fx_put(&bytes, BYTES(CCS));
    CU_ASSERT_EQUAL(fx_open(tls, &bytes, 0, NULL), -EPROTO);
    CU_ASSERT_EQUAL(pending_alert(tls), 10);
    hg_tls_destroy(tls);
    fx_free(&bytes);
}

/* ---- the second flight of TLS 1.2, in the clear ---- */

#define GOOD_CKE "\x16\3\3\0\x25\x10\0\0\x21\x20" X25519_SHARE

static const struct inner flight12[] = {
    {"RFC 8422 5.7 an implicit share", 40, 0, BYTES("\x16\3\3\0\4\x10\0\0\0"), 0},
    {"7.4.7 a share of wrong length", 47, 0, BYTES("\x16\3\3\0\7\x10\0\0\3\2xy"), 0},
    {"7.4.7 bytes behind the share", 50, 0,
     BYTES("\x16\3\3\0\x26\x10\0\0\x22\x20" X25519_SHARE "x"), 0},
    {"7.1 change_cipher_spec before its time", 10, 0, BYTES(CCS), 0},
    {"7.4.9 Finished in the clear", 10, 0, BYTES(GOOD_CKE "\x16\3\3\0\x10\x14\0\0\x0c" ZEROS16), 0},
    {"7.4.9 a Finished that is not authentic", 20, 0,
     BYTES(GOOD_CKE CCS "\x16\3\3\0\x28" ZEROS16 ZEROS16 "12345678"), 0},
    {"7.1 change_cipher_spec with other content", 10, 0, BYTES(GOOD_CKE "\x14\3\3\0\1\2"), 0},
    {"6.2.3.3 a second change_cipher_spec, where records are protected", 20, 0,
     BYTES(GOOD_CKE CCS CCS), 0},
    {"10 data before Finished", 10, 0, BYTES("\x17\3\3\0\5early"), 0},
    {"7.4.1.2 another hello", 10, 0, BYTES("\x16\3\3\0\5\1\0\0\1x"), 0},
    {"6.2.1 a record longer than TLS has", 22, 0, BYTES("\x16\3\3\x48\1"), 0},
};

static void test_flight12(void)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(flight12); i++) {
        struct hg_tls *tls = make_server(HG_TLS_1_2, HG_TLS_1_2);
        struct fx_buf bytes = {0};
        int alert;

        make_hello(&rows12[0], &bytes);
        FX_MUST(fx_open(tls, &bytes, 0, NULL) == 0);
        CU_ASSERT_EQUAL(pending_alert(tls), -1);
        fx_put(&bytes, flight12[i].bytes, flight12[i].len);
        CU_ASSERT_EQUAL(fx_open(tls, &bytes, 0, NULL), -EPROTO);
        alert = pending_alert(tls);
        if (alert != flight12[i].alert)
            printf("\n%s: alert %d, not %d (%s)\n", flight12[i].what, alert, flight12[i].alert,
                   hg_tls_error(tls));
        CU_ASSERT_EQUAL(alert, flight12[i].alert);
        hg_tls_destroy(tls);
        fx_free(&bytes);
    }
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"hellos of TLS 1.3", test_hello13},
        {"hellos of TLS 1.2", test_hello12},
        {"TLS 1.3: instead of Finished, protected", test_second_flight},
        {"TLS 1.3: instead of Finished, in the clear", test_outer},
        {"change_cipher_spec between is passed over", test_ccs_between},
        {"change_cipher_spec after is refused", test_ccs_after},
        {"change_cipher_spec first is refused", test_ccs_first},
        {"TLS 1.2: instead of the second flight", test_flight12},
        CU_TEST_INFO_NULL,
    };
    struct hg_err err;
    int status;

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "server", .cn = "node"});
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    hg_tls_shard_destroy(shard);
    fx_remove();
    return status;
}
