/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes with an independent implementation (plain OpenSSL) and with ourselves: every version,
 * suite, kind of key and provider, and data through our records afterwards. */
#include "fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;

static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                       "TLS_CHACHA20_POLY1305_SHA256"};
static const char *const suites12[] = {"AES128-GCM-SHA256", "AES256-GCM-SHA384",
                                       "CHACHA20-POLY1305"};
static const char *const keys[] = {"p256", "rsa", "ed"};

static void make_files(void)
{
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "Test CA"});
    for (unsigned k = 0; k < 3; k++) {
        char server[16], client[16];

        snprintf(server, sizeof server, "s-%s", keys[k]);
        snprintf(client, sizeof client, "c-%s", keys[k]);
        fx_make_cert(&(struct fx_cert){.file = server,
                                       .issuer = "ca",
                                       .cn = "node",
                                       .san = "DNS:node.example",
                                       .eku = "serverAuth",
                                       .key = (enum fx_key)k});
        fx_make_cert(&(struct fx_cert){.file = client,
                                       .issuer = "ca",
                                       .cn = "ignored when there is a URI",
                                       .san = "URI:headgate:source/web-01",
                                       .eku = "clientAuth",
                                       .key = (enum fx_key)k});
    }
}

/* One combination. */
struct combo {
    enum hg_tls_provider provider;
    enum hg_tls_version version;
    const char *key;
    const char *suite; /* 1.3: IANA; 1.2: the part after the key exchange */
    uint32_t piece;
};

static const char *suite12_list(const struct combo *c, char *buf, size_t size)
{
    snprintf(buf, size, "ECDHE-%s-%s", strcmp(c->key, "rsa") == 0 ? "RSA" : "ECDSA", c->suite);
    return buf;
}

static struct hg_tls *make_tls(enum hg_tls_role role, const struct combo *c,
                               struct hg_tls_ctx **ctx)
{
    char name[16], list[64];
    struct hg_tls *tls;
    struct hg_err err = {{0}};
    struct hg_tls_cfg cfg = {.role = role, .provider = c->provider};

    snprintf(name, sizeof name, "%c-%s", role == HG_TLS_SERVER ? 's' : 'c', c->key);
    cfg.min_version = cfg.max_version = c->version;
    cfg.cert_file = fx_path(name, ".crt");
    cfg.key_file = fx_path(name, ".key");
    cfg.ca_file = fx_path("ca", ".crt");
    cfg.server_name = "node.example";
    cfg.alpn = "headgate/1";
    if (c->version == HG_TLS_1_3)
        cfg.ciphers13 = c->suite;
    else
        cfg.ciphers12 = suite12_list(c, list, sizeof list);
    if (hg_tls_ctx_create(&cfg, ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    FX_MUST(*ctx != NULL && hg_tls_create(*ctx, shard, &tls) == 0);
    return tls;
}

static SSL_CTX *make_ossl(bool client, const char *key)
{
    char name[16];
    SSL_CTX *ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());

    snprintf(name, sizeof name, "%c-%s", client ? 'c' : 's', key);
    FX_MUST(ctx != NULL);
    FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, fx_path(name, ".crt")) == 1);
    FX_MUST(SSL_CTX_use_PrivateKey_file(ctx, fx_path(name, ".key"), SSL_FILETYPE_PEM) == 1);
    FX_MUST(SSL_CTX_load_verify_file(ctx, fx_path("ca", ".crt")) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    FX_MUST(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\012headgate/1", 11) == 0);
    return ctx;
}

/* Takes the client's first protocol. The signature is OpenSSL's. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    *out = in + 1;
    *out_len = in[0];
    return in_len > 1 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void fill(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + i / 251);
}

static void check_names(struct hg_tls *tls, const struct combo *c, const char *peer)
{
    const char *version = c->version == HG_TLS_1_3 ? "TLSv1.3" : "TLSv1.2";

    CU_ASSERT_EQUAL(hg_tls_state(tls), HG_TLS_OPEN);
    CU_ASSERT_STRING_EQUAL(hg_tls_version(tls), version);
    CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(tls), peer);
    CU_ASSERT_STRING_EQUAL(hg_tls_error(tls), "");
    CU_ASSERT_EQUAL(strncmp(hg_tls_suite(tls), "TLS_", 4), 0);
    if (c->version == HG_TLS_1_3)
        CU_ASSERT_STRING_EQUAL(hg_tls_suite(tls), c->suite);
}

static uint8_t big[100000];

/* Data both ways between tls and OpenSSL, and the end from each side. */
static void exchange(struct fx_mixed *m, uint32_t piece)
{
    struct fx_buf ssl_got = {0}, wire = {0};

    CU_ASSERT_EQUAL(SSL_write(m->ssl, big, sizeof big), sizeof big);
    fx_mixed_run(m, piece, &ssl_got);
    CU_ASSERT_EQUAL_FATAL(m->got.len, sizeof big);
    CU_ASSERT_EQUAL(memcmp(m->got.p, big, sizeof big), 0);
    CU_ASSERT_EQUAL_FATAL(fx_seal(m->tls, big, sizeof big, HG_TLS_MAX_PLAINTEXT, &wire), 0);
    FX_MUST(BIO_write(SSL_get_rbio(m->ssl), wire.p, (int)wire.len) == (int)wire.len);
    fx_mixed_run(m, piece, &ssl_got);
    CU_ASSERT_EQUAL_FATAL(ssl_got.len, sizeof big);
    CU_ASSERT_EQUAL(memcmp(ssl_got.p, big, sizeof big), 0);
    hg_tls_close(m->tls);
    fx_mixed_run(m, piece, NULL);
    CU_ASSERT_EQUAL(SSL_get_shutdown(m->ssl), SSL_RECEIVED_SHUTDOWN);
    SSL_shutdown(m->ssl);
    fx_mixed_flush(m);
    CU_ASSERT_EQUAL(fx_open(m->tls, &m->to_tls, piece, NULL), 0);
    CU_ASSERT_EQUAL(hg_tls_state(m->tls), HG_TLS_PEER_CLOSED);
    CU_ASSERT_EQUAL(m->ssl_alert, 0);
    fx_free(&ssl_got);
    fx_free(&wire);
}

static void our_server_their_client(const struct combo *c)
{
    struct hg_tls_ctx *ctx;
    SSL_CTX *ossl = make_ossl(true, c->key);
    struct fx_mixed m;

    fx_mixed_init(&m, ossl, make_tls(HG_TLS_SERVER, c, &ctx), true);
    fx_mixed_run(&m, c->piece, NULL);
    CU_ASSERT_EQUAL(m.ssl_error, 0);
    check_names(m.tls, c, "web-01");
    if (hg_tls_state(m.tls) == HG_TLS_OPEN)
        exchange(&m, c->piece);
    fx_mixed_free(&m);
    hg_tls_ctx_unref(ctx);
    SSL_CTX_free(ossl);
}

/* OpenSSL's server sends session tickets, which we must pass over. */
static void our_client_their_server(const struct combo *c)
{
    struct hg_tls_ctx *ctx;
    SSL_CTX *ossl = make_ossl(false, c->key);
    struct fx_mixed m;

    SSL_CTX_set_alpn_select_cb(ossl, choose_alpn, NULL);
    fx_mixed_init(&m, ossl, make_tls(HG_TLS_CLIENT, c, &ctx), false);
    fx_mixed_run(&m, c->piece, NULL);
    CU_ASSERT_EQUAL(m.ssl_error, 0);
    check_names(m.tls, c, "node");
    if (hg_tls_state(m.tls) == HG_TLS_OPEN)
        exchange(&m, c->piece);
    fx_mixed_free(&m);
    hg_tls_ctx_unref(ctx);
    SSL_CTX_free(ossl);
}

static void our_both(const struct combo *c)
{
    struct hg_tls_ctx *cctx, *sctx;
    struct fx_pair p = {0};

    p.client = make_tls(HG_TLS_CLIENT, c, &cctx);
    p.server = make_tls(HG_TLS_SERVER, c, &sctx);
    fx_run(&p, c->piece);
    check_names(p.client, c, "node");
    check_names(p.server, c, "web-01");
    CU_ASSERT_EQUAL(fx_seal(p.client, big, sizeof big, 5000, &p.c2s), 0);
    CU_ASSERT_EQUAL(fx_seal(p.server, big, sizeof big, 16384, &p.s2c), 0);
    fx_run(&p, c->piece);
    CU_ASSERT_EQUAL_FATAL(p.server_got.len, sizeof big);
    CU_ASSERT_EQUAL_FATAL(p.client_got.len, sizeof big);
    CU_ASSERT_EQUAL(memcmp(p.server_got.p, big, sizeof big), 0);
    CU_ASSERT_EQUAL(memcmp(p.client_got.p, big, sizeof big), 0);
    fx_pair_free(&p);
    hg_tls_ctx_unref(cctx);
    hg_tls_ctx_unref(sctx);
}

static void each_combo(void (*body)(const struct combo *))
{
    static const uint32_t pieces[] = {0, 1448, 7};

    for (unsigned i = 0; i < 2 * 2 * 3 * 3; i++) {
        struct combo c = {
            .provider = i % 2 == 0 ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL,
            .version = i / 2 % 2 == 0 ? HG_TLS_1_3 : HG_TLS_1_2,
            .key = keys[i / 4 % 3],
            .piece = pieces[i % 3],
        };

        c.suite = (c.version == HG_TLS_1_3 ? suites13 : suites12)[i / 12 % 3];
        body(&c);
    }
}

static void test_server(void)
{
    each_combo(our_server_their_client);
}

static void test_client(void)
{
    each_combo(our_client_their_server);
}

static void test_both(void)
{
    each_combo(our_both);
}

int main(void)
{
    CU_pSuite suite;
    struct hg_err err;
    int failures;

    fx_make_dir();
    make_files();
    fill(big, sizeof big);
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("tls_hs", NULL, NULL);
    if (suite == NULL || CU_add_test(suite, "our server, OpenSSL client", test_server) == NULL ||
        CU_add_test(suite, "our client, OpenSSL server", test_client) == NULL ||
        CU_add_test(suite, "both ours", test_both) == NULL)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return failures != 0;
}
