/* SPDX-License-Identifier: BSD-3-Clause */
/* What is refused in the handshake: the right alert reaches the peer, the right counter moves, and
 * the sentence says what an operator needs. Peers are plain OpenSSL or hand-made bytes. */
#include "fixture.h"
#include "tls_alert.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;

static void make_files(void)
{
    static const struct fx_cert certs[] = {
        {.file = "ca", .cn = "Test CA"},
        {.file = "otherca", .cn = "Other CA"},
        {.file = "subca", .issuer = "ca", .cn = "Site CA", .is_ca = true},
        {.file = "viasub", .issuer = "subca", .cn = "web-01"},
        {.file = "server", .issuer = "ca", .cn = "node", .san = "DNS:node.example,IP:192.0.2.7"},
        {.file = "server-eku", .issuer = "ca", .cn = "node", .eku = "clientAuth"},
        {.file = "server-old", .issuer = "ca", .cn = "node", .from = -7200, .until = -3600},
        {.file = "good", .issuer = "ca", .cn = "web-01", .eku = "clientAuth"},
        {.file = "foreign", .issuer = "otherca", .cn = "web-01"},
        {.file = "selfsigned", .cn = "web-01"},
        {.file = "expired", .issuer = "ca", .cn = "web-01", .from = -7200, .until = -3600},
        {.file = "long-expired", .issuer = "ca", .cn = "web-01", .from = -190000, .until = -90000},
        {.file = "future", .issuer = "ca", .cn = "web-01", .from = 3600, .until = 7200},
        {.file = "usage", .issuer = "ca", .cn = "web-01", .eku = "serverAuth"},
        {.file = "space", .issuer = "ca", .cn = "web 01"},
        {.file = "dots", .issuer = "ca", .cn = ".."},
        {.file = "noname", .issuer = "ca"},
        {.file = "slash", .issuer = "ca", .cn = "web-01", .san = "URI:headgate:source/a/b"},
    };

    for (size_t i = 0; i < HG_ARRAY_LEN(certs); i++)
        fx_make_cert(&certs[i]);
}

static struct hg_tls_cfg server_cfg(void)
{
    return (struct hg_tls_cfg){
        .role = HG_TLS_SERVER,
        .cert_file = fx_path("server", ".crt"),
        .key_file = fx_path("server", ".key"),
        .ca_file = fx_path("ca", ".crt"),
    };
}

static struct hg_tls *make_tls(const struct hg_tls_cfg *cfg)
{
    struct hg_tls_ctx *ctx;
    struct hg_err err = {{0}};
    struct hg_tls *tls;

    if (hg_tls_ctx_create(cfg, &ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    FX_MUST(ctx != NULL && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx); /* the connection keeps its own reference */
    return tls;
}

static const struct hg_tls_counters *counters(void)
{
    return (const struct hg_tls_counters *)(const void *)hg_tls_counter_set(shard).value;
}

/* A client that must be refused. */
struct bad_client {
    const char *cert;     /* NULL: none */
    int version;          /* OpenSSL's number, 0: both */
    const char *ciphers;  /* TLS 1.2 and older */
    const char *suites13; /* TLS 1.3 */
    const char *alpn;     /* wire form */
    uint64_t options;
};

static SSL_CTX *client_ctx(const struct bad_client *b)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    FX_MUST(ctx != NULL);
    SSL_CTX_set_security_level(ctx, 0); /* may offer what is long forbidden */
    SSL_CTX_set_options(ctx, b->options);
    FX_MUST(SSL_CTX_set_min_proto_version(ctx, b->version == 0 ? TLS1_VERSION : b->version) == 1);
    FX_MUST(SSL_CTX_set_max_proto_version(ctx, b->version) == 1);
    if (b->ciphers != NULL)
        FX_MUST(SSL_CTX_set_cipher_list(ctx, b->ciphers) == 1);
    if (b->suites13 != NULL)
        FX_MUST(SSL_CTX_set_ciphersuites(ctx, b->suites13) == 1);
    if (b->alpn != NULL)
        FX_MUST(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)b->alpn,
                                        (unsigned)strlen(b->alpn)) == 0);
    if (b->cert != NULL)
        FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, fx_path(b->cert, ".crt")) == 1 &&
                SSL_CTX_use_PrivateKey_file(ctx, fx_path(b->cert, ".key"), SSL_FILETYPE_PEM) == 1);
    return ctx;
}

/* Runs it against a server; returns the sentence (until the next call). */
static const char *refused(const struct bad_client *b, const struct hg_tls_cfg *cfg, int alert)
{
    static char text[600];
    uint64_t failures = counters()->handshake_failures, out = counters()->alerts_out;
    SSL_CTX *ctx = client_ctx(b);
    struct fx_mixed m;

    fx_mixed_init(&m, ctx, make_tls(cfg), true);
    fx_mixed_run(&m, 100, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_FAILED);
    CU_ASSERT_EQUAL(m.ssl_alert, alert);
    CU_ASSERT_EQUAL(counters()->handshake_failures, failures + 1);
    CU_ASSERT_EQUAL(counters()->alerts_out, out + 1);
    CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(m.tls), "");
    CU_ASSERT_EQUAL(hg_tls_seal(m.tls, NULL, 0, (uint8_t[64]){0}, 64), -EPIPE);
    snprintf(text, sizeof text, "%s", hg_tls_error(m.tls));
    fx_mixed_free(&m);
    SSL_CTX_free(ctx);
    return text;
}

/* As refused(), for a certificate and both versions; `words` is in the sentence. */
static void refused_cert(const char *cert, int alert12, int alert13, const char *words)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct bad_client b = {.cert = cert};
    const char *text;

    for (unsigned i = 0; i < 4; i++) {
        b.version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
        cfg.provider = i / 2 == 0 ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL;
        text = refused(&b, &cfg, i % 2 == 0 ? alert12 : alert13);
        if (strstr(text, words) == NULL)
            printf("\n\"%s\" is not in: %s\n", words, text);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, words));
        CU_ASSERT(cert == NULL || strstr(text, "CN=") != NULL || strstr(text, "O=") != NULL);
    }
}

static void test_no_cert(void)
{
    uint64_t before = counters()->no_client_cert, bad = counters()->bad_client_cert;

    refused_cert(NULL, 40, 116, "the client sent no certificate");
    CU_ASSERT_EQUAL(counters()->no_client_cert, before + 4);
    CU_ASSERT_EQUAL(counters()->bad_client_cert, bad);
}

static void test_untrusted(void)
{
    uint64_t before = counters()->bad_client_cert, expired = counters()->cert_expired;

    refused_cert("foreign", 48, 48, "its issuer is not in CA file");
    refused_cert("selfsigned", 48, 48, "self-signed and not in CA file");
    refused_cert("usage", 43, 43, "does not allow clientAuth");
    CU_ASSERT_EQUAL(counters()->bad_client_cert, before + 12);
    CU_ASSERT_EQUAL(counters()->cert_expired, expired);
}

static void test_dates(void)
{
    uint64_t before = counters()->bad_client_cert, expired = counters()->cert_expired;

    refused_cert("expired", 45, 45, "is expired: its notAfter is 2");
    refused_cert("long-expired", 45, 45, "or set the clock if it is wrong");
    refused_cert("future", 45, 45, "not valid yet: its notBefore is 2");
    refused_cert("expired", 45, 45, "a clock is probably wrong, by at least 1 h 0 min: compare");
    refused_cert("future", 45, 45, "a clock is probably wrong, by at least ");
    CU_ASSERT_EQUAL(counters()->bad_client_cert, before + 20);
    CU_ASSERT_EQUAL(counters()->cert_expired, expired + 20);
}

static void test_names(void)
{
    uint64_t before = counters()->bad_name;

    refused_cert("space", 42, 42, "has an unusable source name");
    refused_cert("dots", 42, 42, "has an unusable source name");
    refused_cert("slash", 42, 42, "has an unusable source name");
    refused_cert("noname", 42, 42, "names no source");
    CU_ASSERT_EQUAL(counters()->bad_name, before + 16);
}

static void test_old_versions(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct bad_client b = {.cert = "good", .ciphers = "ALL"};

    b.version = TLS1_VERSION;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 70), "no TLS version that is accepted"));
    b.version = TLS1_1_VERSION;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 70), "no TLS version that is accepted"));
    cfg.min_version = HG_TLS_1_3;
    b.version = TLS1_2_VERSION;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 70), "no TLS version that is accepted"));
}

static void test_weak_suites(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct bad_client b = {.cert = "good", .version = TLS1_2_VERSION};
    static const char *const weak[] = {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA",
                                       "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM",
                                       "DHE-RSA-AES256-GCM-SHA384"};

    for (size_t i = 0; i < HG_ARRAY_LEN(weak); i++) {
        b.ciphers = weak[i];
        CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 40), "no accepted cipher suite"));
    }
    b.version = TLS1_3_VERSION;
    b.suites13 = "TLS_AES_128_CCM_SHA256";
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 40), "no accepted cipher suite"));
}

static void test_extended_master_secret(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct bad_client b = {
        .cert = "good", .version = TLS1_2_VERSION, .options = SSL_OP_NO_EXTENDED_MASTER_SECRET};

    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 40), "RFC 7627"));
    cfg.provider = HG_TLS_OPENSSL;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 40), "RFC 7627"));
}

static void test_alpn(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct bad_client b = {.cert = "good", .alpn = "\2h2"};
    struct fx_mixed m;
    SSL_CTX *ctx;

    cfg.alpn = "headgate/1";
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 120), "does not offer ALPN"));
    cfg.alpn_optional = true;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 120), "does not offer ALPN"));
    cfg.alpn_optional = false;
    b.alpn = NULL;
    CU_ASSERT_PTR_NOT_NULL(strstr(refused(&b, &cfg, 120), "offers no ALPN"));
    cfg.alpn_optional = true;
    ctx = client_ctx(&b);
    fx_mixed_init(&m, ctx, make_tls(&cfg), true);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_OPEN);
    CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(m.tls), "web-01");
    fx_mixed_free(&m);
    SSL_CTX_free(ctx);
}

/* ---- bytes that are no TLS ---- */

/* Gives bytes to a new server; returns the one pending alert's description or -1. */
static int first_bytes(const void *p, size_t len, char *text, size_t size)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls *tls = make_tls(&cfg);
    struct fx_buf in = {0}, out = {0};
    int alert = -1;

    fx_put(&in, p, len);
    if (fx_open(tls, &in, len > 4096 ? 1448 : 3, NULL) == -EPROTO) {
        CU_ASSERT_EQUAL(hg_tls_state(tls), HG_TLS_FAILED);
        CU_ASSERT_EQUAL(fx_open(tls, &in, 0, NULL), -EPROTO);
        fx_take(tls, &out, 2);
        CU_ASSERT_EQUAL_FATAL(out.len, 7);
        CU_ASSERT_EQUAL(memcmp(out.p, "\x15\x03\x03\x00\x02\x02", 6), 0);
        alert = out.p[6];
    }
    snprintf(text, size, "%s", hg_tls_error(tls));
    hg_tls_destroy(tls);
    fx_free(&in);
    fx_free(&out);
    return alert;
}

static void test_not_tls(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        int alert;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, 10},
        {"G", 1, 10},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21, 10},
        {"\x80\x2e\x01\x00\x02", 5, 10}, /* SSL 2 hello */
        {"\x17\x03\x03\x00\x10", 5, 10},
        {"\x15\x03\x03\x00\x02\x02\x28", 7, 10}, /* an alert is no greeting */
        {"\x16\x02\x00\x00\x10", 5, 70},
        {"\x16\x04", 2, 70},
        {"\0", 1, 10},
    };
    uint64_t before = counters()->not_tls, failures = counters()->handshake_failures;
    char text[600];

    for (size_t i = 0; i < HG_ARRAY_LEN(cases); i++) {
        CU_ASSERT_EQUAL(first_bytes(cases[i].bytes, cases[i].len, text, sizeof text),
                        cases[i].alert);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, "does not speak TLS"));
    }
    CU_ASSERT_EQUAL(counters()->not_tls, before + HG_ARRAY_LEN(cases));
    CU_ASSERT_EQUAL(counters()->handshake_failures, failures + HG_ARRAY_LEN(cases));
    CU_ASSERT_EQUAL(first_bytes("\x16\x03\x01\x02\x00\x01", 6, text, sizeof text), -1);
    CU_ASSERT_STRING_EQUAL(text, "");
}

static void test_handshake_bounds(void)
{
    static uint8_t flood[80000], crumbs[1000];
    uint64_t bad = counters()->bad_record;
    size_t len = 0;
    char text[600];

    /* one endless hello in large records, then in records of one byte */
    for (size_t at = 0; at + 5 <= sizeof flood; at += 5 + 15000)
        memcpy(flood + at, "\x16\x03\x01\x3a\x98", 5);
    memcpy(flood + 5, "\x01\x01\x80\x00", 4);
    CU_ASSERT_EQUAL(first_bytes(flood, sizeof flood, text, sizeof text), 47);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "first message exceeds 10240 bytes or 128 records"));
    for (unsigned i = 0; len + 6 <= sizeof crumbs; i++, len += 6)
        memcpy(crumbs + len, i == 0 ? "\x16\x03\x01\x00\x01\x01" : "\x16\x03\x01\x00\x01\x00", 6);
    crumbs[6 * 2 + 5] = 4;
    CU_ASSERT_EQUAL(first_bytes(crumbs, len, text, sizeof text), 47);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "exceeds"));
    CU_ASSERT_EQUAL(first_bytes("\x16\x03\x01\xff\xff", 5, text, sizeof text), 22);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "too long"));
    CU_ASSERT_EQUAL(counters()->bad_record, bad + 1);
}

/* A connection cut in the handshake counts as a failure; one that sent nothing does not. */
static void test_cut_off(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    uint64_t before = counters()->handshake_failures;
    struct bad_client b = {.cert = "good"};
    SSL_CTX *ctx = client_ctx(&b);
    struct fx_mixed m;

    hg_tls_destroy(make_tls(&cfg));
    CU_ASSERT_EQUAL(counters()->handshake_failures, before);
    fx_mixed_init(&m, ctx, make_tls(&cfg), true);
    SSL_do_handshake(m.ssl);
    fx_mixed_flush(&m);
    CU_ASSERT_EQUAL(fx_open(m.tls, &m.to_tls, 0, NULL), 0);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_HANDSHAKE);
    fx_mixed_free(&m);
    CU_ASSERT_EQUAL(counters()->handshake_failures, before + 1);
    fx_mixed_init(&m, ctx, make_tls(&cfg), true);
    hg_tls_close(m.tls);
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), HG_TLS_FAILED);
    CU_ASSERT_EQUAL(hg_tls_pending(m.tls), 0);
    fx_mixed_free(&m);
    SSL_CTX_free(ctx);
}

/* ---- our client ---- */

static struct hg_tls_cfg client_cfg(void)
{
    return (struct hg_tls_cfg){
        .role = HG_TLS_CLIENT,
        .cert_file = fx_path("good", ".crt"),
        .key_file = fx_path("good", ".key"),
        .ca_file = fx_path("ca", ".crt"),
    };
}

/* Our client meets our server, for both versions; the client ends in `state`. */
static void meet(struct hg_tls_cfg *c, struct hg_tls_cfg *s, enum hg_tls_state state,
                 const char *words, const char *server_words)
{
    for (unsigned v = 0; v < 2; v++) {
        struct fx_pair p = {0};

        c->max_version = v == 0 ? HG_TLS_1_2 : HG_TLS_1_3;
        p.client = make_tls(c);
        p.server = make_tls(s);
        fx_run(&p, 0);
        CU_ASSERT_EQUAL(hg_tls_state(p.client), state);
        if (strstr(hg_tls_error(p.client), words) == NULL)
            printf("\n\"%s\" is not in: %s\n", words, hg_tls_error(p.client));
        CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.client), words));
        CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.server), server_words));
        fx_pair_free(&p);
    }
}

static void test_client_checks_server(void)
{
    struct hg_tls_cfg c = client_cfg(), s = server_cfg();
    uint64_t bad = counters()->bad_client_cert;

    c.server_name = "node.example";
    meet(&c, &s, HG_TLS_OPEN, "", "");
    c.server_name = "192.0.2.7";
    meet(&c, &s, HG_TLS_OPEN, "", "");
    c.server_name = "192.0.2.8";
    meet(&c, &s, HG_TLS_FAILED, "is not for \"192.0.2.8\"", "bad_certificate");
    c.server_name = "other.example";
    meet(&c, &s, HG_TLS_FAILED, "is not for \"other.example\"", "bad_certificate");
    c.server_name = NULL;
    s.cert_file = fx_path("server-eku", ".crt");
    s.key_file = fx_path("server-eku", ".key");
    meet(&c, &s, HG_TLS_FAILED, "does not allow serverAuth", "unsupported_certificate");
    s.cert_file = fx_path("server-old", ".crt");
    s.key_file = fx_path("server-old", ".key");
    meet(&c, &s, HG_TLS_FAILED, "is expired", "certificate_expired");
    s = server_cfg();
    c.ca_file = fx_path("otherca", ".crt");
    meet(&c, &s, HG_TLS_FAILED, "its issuer is not in CA file", "unknown_ca");
    CU_ASSERT_EQUAL(counters()->bad_client_cert, bad); /* those were servers */
}

/* A site's intermediate CA: the client sends it with its certificate, or the server trusts just it.
 */
static void test_intermediate(void)
{
    struct hg_tls_cfg c = client_cfg(), s = server_cfg();

    c.key_file = fx_path("viasub", ".key");
    c.cert_file = fx_path("viasub", ".crt");
    meet(&c, &s, HG_TLS_FAILED, "unknown_ca", "its issuer is not in CA file");
    s.ca_file = fx_path("subca", ".crt");
    meet(&c, &s, HG_TLS_OPEN, "", "");
    s.ca_file = fx_path("ca", ".crt");
    c.cert_file = fx_path("chain", ".crt");
    fx_concat(fx_path("viasub", ".crt"), fx_path("subca", ".crt"), c.cert_file);
    meet(&c, &s, HG_TLS_OPEN, "", "");
    /* others of the root stay outside when only the intermediate is trusted */
    s.ca_file = fx_path("subca", ".crt");
    c = client_cfg();
    meet(&c, &s, HG_TLS_FAILED, "unknown_ca", "its issuer is not in CA file");
}

/* The client learns why: in TLS 1.3 only after its own handshake is complete. */
static void test_client_is_refused(void)
{
    struct hg_tls_cfg c = client_cfg(), s = server_cfg();

    c.cert_file = c.key_file = NULL;
    meet(&c, &s, HG_TLS_FAILED, "alert", "sent no certificate");
    c.cert_file = fx_path("foreign", ".crt");
    c.key_file = fx_path("foreign", ".key");
    meet(&c, &s, HG_TLS_FAILED, "unknown_ca (48): the peer does not trust the CA", "CA file");
    c = client_cfg();
    s.client_cert = HG_TLS_CERT_OFF;
    meet(&c, &s, HG_TLS_OPEN, "", "");
    c.alpn = "headgate/1";
    meet(&c, &s, HG_TLS_FAILED, "does not speak ALPN", "no_application_protocol");
    c.alpn_optional = true;
    meet(&c, &s, HG_TLS_OPEN, "", "");
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"no client certificate", test_no_cert},
        {"untrusted certificates", test_untrusted},
        {"validity dates", test_dates},
        {"source names", test_names},
        {"old versions", test_old_versions},
        {"weak suites", test_weak_suites},
        {"extended master secret", test_extended_master_secret},
        {"ALPN", test_alpn},
        {"not TLS", test_not_tls},
        {"handshake bounds", test_handshake_bounds},
        {"cut off", test_cut_off},
        {"our client checks the server", test_client_checks_server},
        {"intermediate CA", test_intermediate},
        {"our client is refused", test_client_is_refused},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"tls_refuse", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};
    struct hg_err err;
    int failures;

    fx_make_dir();
    make_files();
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return failures != 0;
}
