/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom we trust beyond a good chain: revocation lists, pins of sources' keys and of a server's, strength.
 * In both versions and on both record providers: alert, counter, sentence. */
#include "fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <headgate/tls_pin.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;

static const struct hg_tls_counters *counters(void)
{
    return (const struct hg_tls_counters *)(const void *)hg_tls_counter_set(shard).value;
}

/* fx_path() forgets; these are for as long as the program. */
static const char *path(const char *name, const char *suffix)
{
    char *p = strdup(fx_path(name, suffix));
    static char *all[256];
    static unsigned n;

    FX_MUST(p != NULL && n < HG_ARRAY_LEN(all));
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(all[i], p) == 0) {
            free(p);
            return all[i];
        }
    }
    return all[n++] = p; /* reachable, so no leak */
}

static struct hg_tls_cfg server_cfg(void)
{
    return (struct hg_tls_cfg){
        .role = HG_TLS_SERVER,
        .cert_file = path("server", ".crt"),
        .key_file = path("server", ".key"),
        .ca_file = path("ca", ".crt"),
    };
}

static struct hg_tls_cfg client_cfg(const char *name)
{
    return (struct hg_tls_cfg){
        .role = HG_TLS_CLIENT,
        .cert_file = path(name, ".crt"),
        .key_file = path(name, ".key"),
        .ca_file = path("ca", ".crt"),
    };
}

static struct hg_tls *make_tls(const struct hg_tls_cfg *cfg)
{
    struct hg_tls_ctx *ctx = NULL;
    struct hg_err err = {{0}};
    struct hg_tls *tls;

    if (hg_tls_ctx_create(cfg, &ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    FX_MUST(ctx != NULL && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    return tls;
}

static void says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, words));
}

/* `why` is in the sentence of the end that refuses, the alert in that of the other. Without `why` all
 * goes well. */
struct meeting {
    struct hg_tls_cfg client, server;
    bool client_refuses;
    const char *why, *alert;
    const uint64_t *counter; /* advances once in each meeting; NULL: none */
};

static void meet(struct meeting m)
{
    for (int i = 0; i < 4; i++) {
        uint64_t before = m.counter == NULL ? 0 : *m.counter;
        struct hg_tls *refuser, *refused;
        struct fx_pair p = {0};

        m.client.max_version = i < 2 ? HG_TLS_1_2 : HG_TLS_1_3;
        m.client.provider = m.server.provider = i % 2 == 0 ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL;
        p.client = make_tls(&m.client);
        p.server = make_tls(&m.server);
        refuser = m.client_refuses ? p.client : p.server;
        refused = m.client_refuses ? p.server : p.client;
        fx_run(&p, 0);
        if (m.why == NULL) {
            says(hg_tls_error(p.server), "");
            CU_ASSERT_STRING_EQUAL(hg_tls_error(p.server), "");
            CU_ASSERT_EQUAL(hg_tls_state(p.client), HG_TLS_OPEN);
            CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
        } else {
            CU_ASSERT_EQUAL(hg_tls_state(refuser), HG_TLS_FAILED);
            CU_ASSERT_EQUAL(hg_tls_state(refused), HG_TLS_FAILED);
            says(hg_tls_error(refuser), m.why);
            says(hg_tls_error(refused), m.alert);
            CU_ASSERT(m.counter == NULL || *m.counter == before + 1);
        }
        fx_pair_free(&p);
    }
}

/* ---- revocation ---- */

/* A CRL file of these lists, "" for none. */
static const char *crl_file(const char *name, const char *const lists[3])
{
    fx_write(fx_path(name, ".pem"), "");
    for (unsigned i = 0; i < 3 && lists[i] != NULL; i++) {
        fx_write(fx_path("part", ".pem"), "");
        if (i == 0)
            fx_concat(fx_path(lists[i], ".crl"), fx_path("newline", ".pem"), fx_path(name, ".pem"));
        else {
            fx_concat(fx_path(name, ".pem"), fx_path(lists[i], ".crl"), fx_path("part", ".pem"));
            fx_concat(fx_path("part", ".pem"), fx_path("newline", ".pem"), fx_path(name, ".pem"));
        }
    }
    return path(name, ".pem");
}

static struct meeting revocation(const char *client, const char *crl)
{
    struct meeting m = {.client = client_cfg(client), .server = server_cfg()};

    m.server.crl_file = crl;
    return m;
}

static void test_revoked(void)
{
    const char *all = crl_file("all", (const char *const[3]){"ca-revokes", "sub-empty"});
    const char *sub = crl_file("subs", (const char *const[3]){"ca-revokes-sub", "sub-empty"});
    struct meeting m = revocation("good", all);

    meet(m);
    m = revocation("chain", all);
    meet(m);
    m = revocation("revoked", all);
    m.why = "certificate \"CN=web-02\" of the client's chain is refused: it is revoked by CRL file";
    m.alert = "certificate_revoked (44)";
    m.counter = &counters()->cert_revoked;
    meet(m);
    m.client = client_cfg("chain");
    m.server.crl_file = sub;
    m.why = "certificate \"CN=Site CA\" of the client's chain is refused: it is revoked";
    meet(m);
    /* our client of a server */
    m.server = server_cfg();
    m.server.cert_file = path("server-revoked", ".crt");
    m.server.key_file = path("server-revoked", ".key");
    m.client = client_cfg("good");
    m.client.crl_file =
        crl_file("servers", (const char *const[3]){"ca-revokes-server", NULL, NULL});
    m.client_refuses = true;
    m.why = "of the server's chain is refused: it is revoked";
    meet(m);
}

/* Who cannot be checked is not let in; that is nobody's fault but the list's. */
static void test_no_list(void)
{
    struct meeting m = revocation(
        "chain", crl_file("root-only", (const char *const[3]){"ca-revokes", NULL, NULL}));

    m.counter = &counters()->no_crl;
    m.alert = "certificate_unknown (46)";
    m.why = "has no revocation list of its CA \"CN=Site CA\"";
    meet(m);
    m.server.crl_file = crl_file("stale", (const char *const[3]){"ca-stale", NULL, NULL});
    m.client = client_cfg("good");
    m.why = "the revocation list of CA \"CN=Test CA\" was to be replaced by 2";
    meet(m);
    m.why = "get a new list and load it";
    meet(m);
    m.server.crl_file = crl_file("early", (const char *const[3]){"ca-early", NULL, NULL});
    m.why = "the revocation list of CA \"CN=Test CA\" is valid from 2";
    meet(m);
    m.client = client_cfg("chain");
    m.server.crl_file =
        crl_file("forged-sub", (const char *const[3]){"ca-revokes", "sub-forged", NULL});
    m.why = "the revocation list of CA \"CN=Site CA\" cannot be used: CRL signature failure";
    meet(m);
    /* of a stale and a good one the good one counts */
    meet(revocation("good", crl_file("both", (const char *const[3]){"ca-stale", "ca-revokes"})));
}

/* An anchor needs no list: it is trusted because it is in the CA file. */
static void test_anchor(void)
{
    struct meeting m =
        revocation("viasub", crl_file("sub-only", (const char *const[3]){"sub-empty", NULL, NULL}));

    m.server.ca_file = path("subca", ".crt");
    meet(m);
}

static void refused(const struct hg_tls_cfg *cfg, const char *words)
{
    struct hg_tls_ctx *ctx;
    struct hg_err err = {""};

    CU_ASSERT(hg_tls_ctx_create(cfg, &ctx, &err) < 0);
    says(err.text, words);
    CU_ASSERT_PTR_NULL(ctx);
}

/* A file of newlines. */
static void write_blank(const char *file, size_t size)
{
    char *text = malloc(size + 1);

    FX_MUST(text != NULL);
    memset(text, '\n', size);
    text[size] = '\0';
    fx_write(file, text);
    free(text);
}

static void test_bad_lists(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    cfg.crl_file = "/nowhere/list.crl";
    refused(&cfg, "CRL file /nowhere/list.crl: No such file");
    cfg.crl_file = path("ca", ".crt");
    refused(&cfg, "ca.crt holds no PEM revocation list");
    fx_write(fx_path("junk", ".pem"), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    cfg.crl_file = path("junk", ".pem");
    refused(&cfg, "CRL file");
    write_blank(fx_path("big", ".pem"), (1 << 20) + 1);
    cfg.crl_file = path("big", ".pem");
    refused(&cfg, "big.pem: File too large");
    cfg.crl_file = path("ca-forged", ".crl");
    refused(&cfg, "the list of \"CN=Test CA\" is not signed by the key of that CA");
}

/* ---- pins ---- */

static const char *pin_of(const char *name)
{
    static char text[HG_PIN_TEXT];
    FILE *f = fopen(fx_path(name, ".crt"), "r");
    X509 *x = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);
    unsigned char *der = NULL;
    struct hg_pin pin;
    int len;

    FX_MUST(x != NULL && fclose(f) == 0);
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    FX_MUST(len > 0 && hg_pin_of_spki(der, (size_t)len, &pin) == 0);
    hg_pin_text(&pin, text);
    OPENSSL_free(der);
    X509_free(x);
    return text;
}

static void test_source_pins(void)
{
    struct meeting m = {.client = client_cfg("good"), .server = server_cfg()};
    char text[512];

    snprintf(text, sizeof text, "web-01 %s\n", pin_of("revoked"));
    fx_write(fx_path("pins", ".txt"), text);
    m.server.pins_file = path("pins", ".txt");
    m.counter = &counters()->pin_refused;
    m.alert = "access_denied (49)";
    m.why = "source web-01 is refused: its key is none of those in pins file";
    meet(m);
    m.why = pin_of("good"); /* the line to add */
    meet(m);
    snprintf(text + strlen(text), sizeof text - strlen(text), "web-01 %s\n", pin_of("good"));
    fx_write(fx_path("pins", ".txt"), text);
    m.why = NULL;
    meet(m);
    m.client = client_cfg("revoked"); /* another name, and not listed */
    meet(m);
    m.server.pins_only = true;
    m.why = "source web-02 is refused: pins file";
    meet(m);
    m.server.pins_file = NULL;
    refused(&m.server, "there is no pins file");
    m.server.pins_file = path("newline", ".pem");
    m.server.pins_only = false;
    m.why = NULL;
    meet(m); /* an empty list lists nobody */
    fx_write(fx_path("badpins", ".txt"), "# who\n\nweb-01 sha256/AAAA\n");
    m.server.pins_file = path("badpins", ".txt");
    refused(&m.server, "badpins.txt, line 3: after the name web-01 comes one pin");
}

/* A swapped key is found although the CA vouches for the certificate. */
static void test_server_pin(void)
{
    struct meeting m = {.client = client_cfg("good"), .server = server_cfg()};
    char pins[2 * HG_PIN_TEXT + 2];

    snprintf(pins, sizeof pins, "%s", pin_of("server"));
    m.client.server_pins = pins;
    meet(m);
    snprintf(pins, sizeof pins, "%s, ", pin_of("good"));
    strcat(pins, pin_of("server"));
    meet(m);
    m.server.cert_file = path("server-swapped", ".crt");
    m.server.key_file = path("server-swapped", ".key");
    m.client_refuses = true;
    m.counter = &counters()->pin_refused;
    m.alert = "certificate_unknown (46)";
    m.why = "server certificate \"CN=node\" has key sha256/";
    meet(m);
    m.why = "which is not the pinned one";
    meet(m);
    m.client.server_pins = "sha256/zzz";
    refused(&m.client, "pin \"sha256/zzz\": write it as sha256/ and 44 characters");
}

/* ---- strength ---- */

static void test_weak(void)
{
    struct meeting m = {.server = server_cfg(), .counter = &counters()->cert_weak};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static const char *const weak[] = {"weak", "sha1"};

    /* Ours refuses to load such a certificate, so the client is plain OpenSSL. */
    SSL_CTX_set_security_level(ctx, 0);
    for (unsigned i = 0; i < 2 * HG_ARRAY_LEN(weak); i++) {
        uint64_t before = counters()->cert_weak;
        struct fx_mixed mixed;

        FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, path(weak[i / 2], ".crt")) == 1 &&
                SSL_CTX_use_PrivateKey_file(ctx, path(weak[i / 2], ".key"), SSL_FILETYPE_PEM) == 1);
        m.server.provider = i % 2 == 0 ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL;
        fx_mixed_init(&mixed, ctx, make_tls(&m.server), true);
        fx_mixed_run(&mixed, 0, NULL);
        CU_ASSERT_EQUAL(hg_tls_state(mixed.tls), HG_TLS_FAILED);
        CU_ASSERT_EQUAL(mixed.ssl_alert, 42); /* bad_certificate */
        says(hg_tls_error(mixed.tls), "RSA keys need 2048 bits and signatures SHA-256");
        CU_ASSERT_EQUAL(counters()->cert_weak, before + 1);
        fx_mixed_free(&mixed);
    }
    SSL_CTX_free(ctx);
}

static void make_files(void)
{
    static const struct fx_cert certs[] = {
        {.file = "ca", .cn = "Test CA"},
        {.file = "otherca", .cn = "Test CA"},
        {.file = "subca", .issuer = "ca", .cn = "Site CA", .is_ca = true},
        {.file = "viasub", .issuer = "subca", .cn = "web-03"},
        {.file = "server", .issuer = "ca", .cn = "node"},
        {.file = "server-revoked", .issuer = "ca", .cn = "node"},
        {.file = "server-swapped", .issuer = "ca", .cn = "node"},
        {.file = "good", .issuer = "ca", .cn = "web-01"},
        {.file = "revoked", .issuer = "ca", .cn = "web-02"},
        {.file = "weak", .issuer = "ca", .cn = "web-04", .key = FX_RSA1024},
        {.file = "sha1", .issuer = "ca", .cn = "web-05", .sha1 = true},
    };
    static const struct fx_crl crls[] = {
        {.file = "ca-revokes", .issuer = "ca", .revoked = "revoked"},
        {.file = "ca-revokes-sub", .issuer = "ca", .revoked = "subca"},
        {.file = "ca-revokes-server", .issuer = "ca", .revoked = "server-revoked"},
        {.file = "ca-stale", .issuer = "ca", .from = -7200, .until = -3600},
        {.file = "ca-early", .issuer = "ca", .from = 3600, .until = 7200},
        {.file = "ca-forged", .issuer = "ca", .signer = "otherca"},
        {.file = "sub-empty", .issuer = "subca"},
        {.file = "sub-forged", .issuer = "subca", .signer = "otherca"},
    };

    for (size_t i = 0; i < HG_ARRAY_LEN(certs); i++)
        fx_make_cert(&certs[i]);
    for (size_t i = 0; i < HG_ARRAY_LEN(crls); i++)
        fx_make_crl(&crls[i]);
    fx_write(fx_path("newline", ".pem"), "\n");
    fx_concat(fx_path("viasub", ".crt"), fx_path("subca", ".crt"), fx_path("chain", ".crt"));
    fx_concat(fx_path("viasub", ".key"), fx_path("newline", ".pem"), fx_path("chain", ".key"));
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"who is revoked is refused, and so is who a revoked CA signed", test_revoked},
        {"without a list that is up to date nobody is let in", test_no_list},
        {"an anchor needs no list", test_anchor},
        {"lists that are none, or forged, do not load", test_bad_lists},
        {"a source with another key than its pins' is refused", test_source_pins},
        {"a server with another key than its pins' is refused", test_server_pin},
        {"a weak key and SHA-1 are refused", test_weak},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"tls_trust", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};
    int failures;

    fx_make_dir();
    make_files();
    FX_MUST(hg_tls_shard_create(&shard, NULL) == 0);
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
