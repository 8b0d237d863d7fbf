/* SPDX-License-Identifier: BSD-3-Clause */
/* Several certificates of our own: which one a peer is shown, by what it offers and by the time. */
#include "fixture.h"
#include "tls_cert.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct hg_tls_shard *shard;

/* Lists of files "a,b" for names "a b"; live until the next call. */
static struct hg_tls_cfg server_cfg(const char *names)
{
    static char certs[4096], keys[4096], ca[512];
    char rest[256], *save = NULL;

    certs[0] = keys[0] = '\0';
    snprintf(rest, sizeof rest, "%s", names);
    for (char *p = strtok_r(rest, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save)) {
        const char *comma = certs[0] == '\0' ? "" : ", ";

        snprintf(certs + strlen(certs), sizeof certs - strlen(certs), "%s%s", comma,
                 fx_path(p, ".crt"));
        snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%s%s", comma,
                 fx_path(p, ".key"));
    }
    snprintf(ca, sizeof ca, "%s", fx_path("ca", ".crt"));
    return (struct hg_tls_cfg){
        .role = HG_TLS_SERVER,
        .cert_file = certs,
        .key_file = keys,
        .ca_file = ca,
        .client_cert = HG_TLS_CERT_OFF, /* a client's own key would need its algorithm too */
    };
}

struct client {
    int version;
    const char *sigalgs, *groups, *sni; /* NULL: OpenSSL's default; none */
};

/* The CN of the certificate that the server showed to this client; "" when there was no handshake. */
static const char *shown(const struct hg_tls_cfg *cfg, const struct client *c)
{
    static char cn[64];
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    struct hg_tls_ctx *ctx = NULL;
    struct hg_err err = {""};
    struct hg_tls *tls;
    struct fx_mixed m;
    X509 *x;

    if (hg_tls_ctx_create(cfg, &ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    FX_MUST(ctx != NULL && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    FX_MUST(client != NULL && SSL_CTX_set_min_proto_version(client, c->version) == 1 &&
            SSL_CTX_set_max_proto_version(client, c->version) == 1);
    FX_MUST(c->sigalgs == NULL || SSL_CTX_set1_sigalgs_list(client, c->sigalgs) == 1);
    FX_MUST(c->groups == NULL || SSL_CTX_set1_groups_list(client, c->groups) == 1);
    fx_mixed_init(&m, client, tls, true);
    FX_MUST(c->sni == NULL || SSL_set_tlsext_host_name(m.ssl, c->sni) == 1);
    fx_mixed_run(&m, 0, NULL);
    cn[0] = '\0';
    x = hg_tls_state(tls) == HG_TLS_OPEN ? SSL_get0_peer_certificate(m.ssl) : NULL;
    if (x != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof cn);
    fx_mixed_free(&m);
    SSL_CTX_free(client);
    return cn;
}

/* In both versions and on both record providers. */
static void shows(struct hg_tls_cfg cfg, struct client c, const char *cn12, const char *cn13)
{
    for (int i = 0; i < 4; i++) {
        const char *want = i < 2 ? cn12 : cn13, *got;

        cfg.provider = i % 2 == 0 ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL;
        c.version = i < 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        got = shown(&cfg, &c);
        if (strcmp(got, want) != 0)
            printf("\n%s: \"%s\" was shown, not \"%s\"\n", i < 2 ? "1.2" : "1.3", got, want);
        CU_ASSERT_STRING_EQUAL(got, want);
    }
}

#define ALL "rsa p384 p256 ed25519 rsa-pss"

static void test_offered(void)
{
    struct hg_tls_cfg cfg = server_cfg(ALL);

    shows(cfg, (struct client){.sigalgs = NULL}, "p256", "p256");
    shows(cfg, (struct client){.sigalgs = "ed25519"}, "ed25519", "ed25519");
    shows(cfg, (struct client){.sigalgs = "rsa_pss_rsae_sha256"}, "rsa", "rsa");
    shows(cfg, (struct client){.sigalgs = "rsa_pss_pss_sha256"}, "rsa-pss", "rsa-pss");
    shows(cfg, (struct client){.sigalgs = "ECDSA+SHA256"}, "p256", "p256");
    /* In TLS 1.3 a curve belongs to it (RFC 8446 4.2.3), in TLS 1.2 it does not. */
    shows(cfg, (struct client){.sigalgs = "ECDSA+SHA384"}, "p256", "p384");
    /* In TLS 1.2 the curve must be one of the client's groups (RFC 8422 5.1). */
    shows(cfg, (struct client){.sigalgs = "ECDSA+SHA384", .groups = "P-384"}, "p384", "p384");
    shows(cfg, (struct client){.sigalgs = "RSA+SHA256"}, "rsa", ""); /* not in TLS 1.3 */
    shows(server_cfg("p384 rsa"), (struct client){.sigalgs = NULL}, "p384", "p384");
    shows(server_cfg("p384"), (struct client){.sigalgs = "ECDSA+SHA384"}, "p384", "p384");
    shows(server_cfg("p384 p256"), (struct client){.sigalgs = "rsa_pss_rsae_sha256"}, "", "");
}

static void test_no_sni(void)
{
    struct hg_tls_cfg cfg = server_cfg(ALL);

    shows(cfg, (struct client){.sni = "ed25519"}, "p256", "p256");
    shows(cfg, (struct client){.sni = "nobody.example"}, "p256", "p256");
}

static void test_overlap(void)
{
    static const struct client any = {.sigalgs = NULL};

    shows(server_cfg("p256-old p256-new"), any, "p256-new", "p256-new");
    shows(server_cfg("p256-new p256-old"), any, "p256-new", "p256-new");
    shows(server_cfg("p256-old p256-future"), any, "p256-old", "p256-old");
    shows(server_cfg("p256-expired p256-old p256-future"), any, "p256-old", "p256-old");
    shows(server_cfg("p256-expired p256-older"), any, "p256-expired", "p256-expired");
}

/* The same as time goes by, whatever was installed at the start. */
static void test_time(void)
{
    struct hg_tls_certs c = {.n = 3,
                             .list = {{.type = HG_TLS_KEY_RSA, .not_before = 0, .not_after = 100},
                                      {.type = HG_TLS_KEY_RSA, .not_before = 50, .not_after = 60},
                                      {.type = HG_TLS_KEY_P256, .not_before = 0}}};
    static const struct {
        int64_t now;
        unsigned want;
    } cases[] = {{-1, 0}, {0, 0}, {49, 0}, {50, 1}, {60, 1}, {61, 0}, {100, 0}, {101, 0}};

    for (size_t i = 0; i < HG_ARRAY_LEN(cases); i++)
        CU_ASSERT_PTR_EQUAL(hg_tls_certs_best(&c, HG_TLS_KEY_RSA, cases[i].now),
                            &c.list[cases[i].want]);
    CU_ASSERT_PTR_EQUAL(hg_tls_certs_best(&c, HG_TLS_KEY_P256, 77), &c.list[2]);
    CU_ASSERT_PTR_NULL(hg_tls_certs_best(&c, HG_TLS_KEY_P384, 77));
}

/* A chain is as long valid as its first end. */
static void test_chain(void)
{
    struct hg_tls_cfg cfg;
    struct hg_tls_item item;
    struct hg_tls_ctx *ctx;
    unsigned cursor = 0;

    fx_concat(fx_path("viasub", ".crt"), fx_path("subca", ".crt"), fx_path("chain", ".crt"));
    fx_concat(fx_path("viasub", ".key"), fx_path("viasub", ".key"), fx_path("chain", ".key"));
    cfg = server_cfg("chain");
    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0);
    CU_ASSERT(hg_tls_ctx_item(ctx, &cursor, time(NULL), &item));
    CU_ASSERT_STRING_EQUAL(item.subject, "CN=viasub");
    CU_ASSERT(item.until > time(NULL) && item.until < time(NULL) + 700);
    hg_tls_ctx_unref(ctx);
}

static void refused(const struct hg_tls_cfg *cfg, const char *words)
{
    struct hg_tls_ctx *ctx;
    struct hg_err err = {""};
    int rc = hg_tls_ctx_create(cfg, &ctx, &err);

    CU_ASSERT(rc < 0);
    if (rc == 0 || strstr(err.text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    CU_ASSERT_PTR_NULL(ctx);
}

static void test_refused(void)
{
    struct hg_tls_cfg cfg = server_cfg("rsa p256"), other = server_cfg("rsa p256");
    char keys[1024];

    snprintf(keys, sizeof keys, "%s", fx_path("rsa", ".key"));
    cfg.key_file = keys;
    refused(&cfg, "there are more certificate files than key files");
    cfg = server_cfg("rsa");
    snprintf(keys, sizeof keys, "%s,%s", fx_path("rsa", ".key"), fx_path("p256", ".key"));
    cfg.key_file = keys;
    refused(&cfg, "there are more key files than certificate files");
    cfg = server_cfg("rsa p256");
    snprintf(keys, sizeof keys, "%s,%s", fx_path("p256", ".key"), fx_path("rsa", ".key"));
    cfg.key_file = keys;
    refused(&cfg, "not the key of certificate");
    other.cert_file = "";
    refused(&other, "certificate file : No such file");
    cfg = server_cfg("p256 weak");
    refused(&cfg, "its RSA key has 1024 bits, and 2048 are the least");
    cfg = server_cfg("sha1 p256");
    refused(&cfg, "uses SHA1, which is broken");
    cfg = server_cfg("p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 p256 "
                     "p256 p256");
    refused(&cfg, "more than 16 certificate files");
}

static void test_items(void)
{
    struct hg_tls_cfg cfg = server_cfg("p256-old rsa p256-new");
    struct hg_tls_ctx *ctx;
    struct hg_tls_item item;
    unsigned cursor = 0, n = 0;
    static const struct {
        enum hg_tls_item_kind kind;
        const char *subject, *key;
        bool in_use;
    } want[] = {{HG_TLS_ITEM_CERT, "CN=p256-old", "P-256", false},
                {HG_TLS_ITEM_CERT, "CN=rsa", "RSA", true},
                {HG_TLS_ITEM_CERT, "CN=p256-new", "P-256", true},
                {HG_TLS_ITEM_CA, "CN=Test CA", "", false}};

    cfg.client_cert = HG_TLS_CERT_REQUIRED;
    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0);
    for (; hg_tls_ctx_item(ctx, &cursor, time(NULL), &item); n++) {
        CU_ASSERT_FATAL(n < HG_ARRAY_LEN(want));
        CU_ASSERT_EQUAL(item.kind, want[n].kind);
        CU_ASSERT_STRING_EQUAL(item.subject, want[n].subject);
        CU_ASSERT_STRING_EQUAL(item.key, want[n].key);
        CU_ASSERT_EQUAL(item.in_use, want[n].in_use);
        CU_ASSERT(item.from < time(NULL) && item.until > time(NULL));
    }
    CU_ASSERT_EQUAL(n, HG_ARRAY_LEN(want));
    CU_ASSERT_EQUAL(hg_tls_ctx_pins(ctx), 0);
    hg_tls_ctx_unref(ctx);
}

int main(void)
{
    static const struct fx_cert certs[] = {
        {.file = "ca", .cn = "Test CA"},
        {.file = "rsa", .issuer = "ca", .cn = "rsa", .key = FX_RSA},
        {.file = "rsa-pss", .issuer = "ca", .cn = "rsa-pss", .key = FX_RSA_PSS},
        {.file = "p256", .issuer = "ca", .cn = "p256"},
        {.file = "p384", .issuer = "ca", .cn = "p384", .key = FX_P384},
        {.file = "ed25519", .issuer = "ca", .cn = "ed25519", .key = FX_ED25519},
        {.file = "weak", .issuer = "ca", .cn = "weak", .key = FX_RSA1024},
        {.file = "sha1", .issuer = "ca", .cn = "sha1", .sha1 = true},
        {.file = "subca",
         .issuer = "ca",
         .cn = "Site CA",
         .is_ca = true,
         .from = -60,
         .until = 600},
        {.file = "viasub", .issuer = "subca", .cn = "viasub"},
        {.file = "p256-old", .issuer = "ca", .cn = "p256-old", .from = -7200, .until = 3600},
        {.file = "p256-new", .issuer = "ca", .cn = "p256-new", .from = -3600, .until = 1800},
        {.file = "p256-future", .issuer = "ca", .cn = "p256-future", .from = 3600, .until = 7200},
        {.file = "p256-expired", .issuer = "ca", .cn = "p256-expired", .from = -50, .until = -10},
        {.file = "p256-older", .issuer = "ca", .cn = "p256-older", .from = -40, .until = -20},
    };
    static const CU_TestInfo tests[] = {
        {"a client is shown a certificate that it can use", test_offered},
        {"the name a client asks for does not choose", test_no_sni},
        {"of old and new the valid one with the latest notBefore is shown", test_overlap},
        {"the choice follows the time", test_time},
        {"a chain ends with its first certificate", test_chain},
        {"weak keys, SHA-1 and lists that do not pair are refused", test_refused},
        {"a context tells what it was made of", test_items},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"tls_cert", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};
    int failures;

    fx_make_dir();
    for (size_t i = 0; i < HG_ARRAY_LEN(certs); i++)
        fx_make_cert(&certs[i]);
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
