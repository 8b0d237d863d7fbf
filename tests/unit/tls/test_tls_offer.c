/* SPDX-License-Identifier: BSD-3-Clause */
/* What a listener accepts: versions, suites, groups and client certificates as it is told, with plain
 * OpenSSL as the client. Each handshake runs on both record providers. */
#include "fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <openssl/objects.h>
#include <stdio.h>
#include <string.h>

static struct hg_tls_shard *shard;

static char cert_file[512], key_file[512], ca_file[512]; /* fx_path() forgets */

static struct hg_tls_cfg server_cfg(void)
{
    snprintf(cert_file, sizeof cert_file, "%s", fx_path("server", ".crt"));
    snprintf(key_file, sizeof key_file, "%s", fx_path("server", ".key"));
    snprintf(ca_file, sizeof ca_file, "%s", fx_path("ca", ".crt"));
    return (struct hg_tls_cfg){
        .role = HG_TLS_SERVER,
        .cert_file = cert_file,
        .key_file = key_file,
        .ca_file = ca_file,
    };
}

/* What a client offers; NULL and 0: what OpenSSL does by itself. */
struct client {
    int version;
    const char *suites13, *suites12, *groups;
    const char *cert; /* NULL: none */
};

struct result {
    bool open;
    int alert; /* what the client was sent, -1: none */
    char suite[64], version[16], name[HG_TLS_NAME_MAX];
    int group; /* NID */
    char error[600];
};

static SSL_CTX *client_ctx(const struct client *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    FX_MUST(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, c->version) == 1 &&
            SSL_CTX_set_max_proto_version(ctx, c->version) == 1);
    FX_MUST(c->suites13 == NULL || SSL_CTX_set_ciphersuites(ctx, c->suites13) == 1);
    FX_MUST(c->suites12 == NULL || SSL_CTX_set_cipher_list(ctx, c->suites12) == 1);
    FX_MUST(c->groups == NULL || SSL_CTX_set1_groups_list(ctx, c->groups) == 1);
    if (c->cert != NULL)
        FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, fx_path(c->cert, ".crt")) == 1 &&
                SSL_CTX_use_PrivateKey_file(ctx, fx_path(c->cert, ".key"), SSL_FILETYPE_PEM) == 1);
    return ctx;
}

/* NID of the group that the server's key is of. */
static int group_of(SSL *ssl)
{
    EVP_PKEY *key = NULL;
    char name[32] = "X25519";

    FX_MUST(SSL_get_peer_tmp_key(ssl, &key) == 1);
    if (!EVP_PKEY_is_a(key, "X25519"))
        FX_MUST(EVP_PKEY_get_group_name(key, name, sizeof name, NULL) == 1);
    EVP_PKEY_free(key);
    return OBJ_txt2nid(name);
}

static void meet(struct hg_tls_cfg *cfg, const struct client *c, struct result *r)
{
    SSL_CTX *client = client_ctx(c);
    struct hg_tls_ctx *ctx = NULL;
    struct hg_err err = {""};
    struct hg_tls *tls;
    struct fx_mixed m;

    if (hg_tls_ctx_create(cfg, &ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    FX_MUST(ctx != NULL && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    fx_mixed_init(&m, client, tls, true);
    fx_mixed_run(&m, 0, NULL);
    *r = (struct result){.open = hg_tls_state(tls) == HG_TLS_OPEN, .alert = m.ssl_alert};
    snprintf(r->suite, sizeof r->suite, "%s", hg_tls_suite(tls));
    snprintf(r->version, sizeof r->version, "%s", hg_tls_version(tls));
    snprintf(r->name, sizeof r->name, "%s", hg_tls_peer_name(tls));
    snprintf(r->error, sizeof r->error, "%s", hg_tls_error(tls));
    r->group = r->open ? group_of(m.ssl) : 0;
    fx_mixed_free(&m);
    SSL_CTX_free(client);
}

static const enum hg_tls_provider providers[] = {HG_TLS_IPSEC_MB, HG_TLS_OPENSSL};

static void test_versions(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct client c = {.cert = "good"};
    struct result r;

    for (size_t p = 0; p < HG_ARRAY_LEN(providers); p++) {
        cfg.provider = providers[p];
        for (int only = HG_TLS_1_2; only <= HG_TLS_1_3; only++) {
            cfg.min_version = cfg.max_version = (enum hg_tls_version)only;
            c.version = only;
            meet(&cfg, &c, &r);
            CU_ASSERT(r.open);
            CU_ASSERT_STRING_EQUAL(r.version, only == HG_TLS_1_2 ? "TLSv1.2" : "TLSv1.3");
            c.version = only == HG_TLS_1_2 ? HG_TLS_1_3 : HG_TLS_1_2;
            meet(&cfg, &c, &r);
            CU_ASSERT(!r.open);
            CU_ASSERT_EQUAL(r.alert, 70); /* protocol_version */
        }
    }
}

/* The server's order counts, whatever the client's; what is not in the list is refused. */
static void test_suites(void)
{
    static const struct {
        const char *list, *want13, *want12;
    } cases[] = {
        {NULL, "TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
        {"TLS_AES_128_GCM_SHA256, ECDHE-ECDSA-AES128-GCM-SHA256,TLS_AES_256_GCM_SHA384",
         "TLS_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
        {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 ,TLS_CHACHA20_POLY1305_SHA256",
         "TLS_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    };
    struct hg_tls_cfg cfg = server_cfg();
    struct client c = {.cert = "good"};
    struct result r;

    for (size_t i = 0; i < 2 * HG_ARRAY_LEN(cases); i++) {
        cfg.provider = providers[i % 2];
        cfg.suites = cases[i / 2].list;
        c.version = HG_TLS_1_3;
        meet(&cfg, &c, &r);
        CU_ASSERT_STRING_EQUAL(r.suite, cases[i / 2].want13);
        c.version = HG_TLS_1_2;
        meet(&cfg, &c, &r);
        CU_ASSERT_STRING_EQUAL(r.suite, cases[i / 2].want12);
    }
    c = (struct client){.cert = "good",
                        .version = HG_TLS_1_3,
                        .suites13 = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"};
    meet(&cfg, &c, &r); /* ChaCha20 only */
    CU_ASSERT(!r.open);
    CU_ASSERT_EQUAL(r.alert, 40);
    cfg.suites = "TLS_AES_128_GCM_SHA256";
    cfg.min_version = HG_TLS_1_3; /* else one of TLS 1.2 were missing */
    meet(&cfg, &c, &r);
    CU_ASSERT_STRING_EQUAL(r.suite, "TLS_AES_128_GCM_SHA256");
}

/* In TLS 1.2 our order counts; in TLS 1.3 a group of the list that the client has sent a key of saves
 * a round trip (RFC 8446 4.2.8), so it is taken. */
static void test_groups(void)
{
    static const struct {
        const char *ours, *theirs;
        int want12, want13; /* NID; 0: refused */
    } cases[] = {
        {NULL, "P-256:X25519", NID_X25519, NID_X9_62_prime256v1},
        {"P-384,X25519,P-256", "P-256:P-384", NID_secp384r1, NID_X9_62_prime256v1},
        {"P-256", "X25519:P-256:P-384", NID_X9_62_prime256v1, NID_X9_62_prime256v1},
        {"X25519", "P-256:P-384", 0, 0},
        {NULL, "P-521", 0, 0},
    };
    struct hg_tls_cfg cfg = server_cfg();
    struct client c = {.cert = "good"};
    struct result r;
    int want;

    for (size_t i = 0; i < 4 * HG_ARRAY_LEN(cases); i++) {
        cfg.provider = providers[i % 2];
        cfg.groups = cases[i / 4].ours;
        c.groups = cases[i / 4].theirs;
        c.version = i / 2 % 2 == 0 ? HG_TLS_1_2 : HG_TLS_1_3;
        /* In TLS 1.2 the groups also bind the curve of the server's certificate (RFC 8422 5.1), which
         * is P-256 here. */
        if (c.version == HG_TLS_1_2 && strstr(c.groups, "P-256") == NULL)
            continue;
        meet(&cfg, &c, &r);
        want = c.version == HG_TLS_1_2 ? cases[i / 4].want12 : cases[i / 4].want13;
        CU_ASSERT_EQUAL(r.open, want != 0);
        CU_ASSERT_EQUAL(r.group, want);
        CU_ASSERT(r.open || r.alert == 40);
    }
}

static void test_client_certificate(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct client none = {.version = 0}, good = {.cert = "good"}, foreign = {.cert = "foreign"};
    struct result r;

    for (size_t i = 0; i < 4; i++) {
        cfg.provider = providers[i % 2];
        none.version = good.version = foreign.version = i < 2 ? HG_TLS_1_2 : HG_TLS_1_3;
        cfg.client_cert = HG_TLS_CERT_REQUIRED;
        meet(&cfg, &none, &r);
        CU_ASSERT(!r.open);
        CU_ASSERT_EQUAL(r.alert, i < 2 ? 40 : 116);
        cfg.client_cert = HG_TLS_CERT_ASKED;
        meet(&cfg, &none, &r);
        CU_ASSERT(r.open && r.name[0] == '\0');
        meet(&cfg, &good, &r);
        CU_ASSERT(r.open);
        CU_ASSERT_STRING_EQUAL(r.name, "web-01");
        meet(&cfg, &foreign, &r);
        CU_ASSERT(!r.open);
        CU_ASSERT_EQUAL(r.alert, 48);
        cfg.client_cert = HG_TLS_CERT_OFF;
        meet(&cfg, &foreign, &r); /* not asked, so not shown */
        CU_ASSERT(r.open && r.name[0] == '\0');
    }
}

static void refused(const struct hg_tls_cfg *cfg, const char *words)
{
    struct hg_tls_ctx *ctx;
    struct hg_err err = {""};

    CU_ASSERT_EQUAL(hg_tls_ctx_create(cfg, &ctx, &err), -EINVAL);
    if (strstr(err.text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_bad_lists(void)
{
    static const char *const suites[][2] = {
        {"", "cipher suite \"\""},
        {"TLS_AES_128_GCM_SHA256,", "cipher suite \"\""},
        {"TLS_AES_128_CCM_SHA256", "\"TLS_AES_128_CCM_SHA256\" is not supported"},
        {"TLS_RSA_WITH_AES_128_GCM_SHA256", "\"TLS_RSA_WITH_AES_128_GCM_SHA256\" is not"},
        {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "CBC_SHA256\" is not supported"},
        {"AES128-GCM-SHA256", "AES128-GCM-SHA256\" is not supported"},
        {"HIGH", "\"HIGH\" is not supported"},
        {"TLS_AES_128_GCM_SHA256", "have none of TLS 1.2"},
        {"ECDHE-RSA-AES128-GCM-SHA256", "have none of TLS 1.3"},
    };
    static const char *const groups[][2] = {
        {"", "group \"\""},           {"P-521", "\"P-521\" is not supported"},
        {"X448", "\"X448\" is"},      {"X25519,ffdhe2048", "\"ffdhe2048\" is"},
        {"X25519:P-256", "256\" is"}, {"P-256, P-256", "each once"},
    };
    struct hg_tls_cfg cfg = server_cfg();

    for (size_t i = 0; i < HG_ARRAY_LEN(suites); i++) {
        cfg.suites = suites[i][0];
        refused(&cfg, suites[i][1]);
    }
    cfg.suites = NULL;
    for (size_t i = 0; i < HG_ARRAY_LEN(groups); i++) {
        cfg.groups = groups[i][0];
        refused(&cfg, groups[i][1]);
    }
}

int main(void)
{
    static const struct fx_cert certs[] = {
        {.file = "ca", .cn = "Test CA"},
        {.file = "otherca", .cn = "Other CA"},
        {.file = "server", .issuer = "ca", .cn = "node", .eku = "serverAuth"},
        {.file = "good", .issuer = "ca", .cn = "web-01", .eku = "clientAuth"},
        {.file = "foreign", .issuer = "otherca", .cn = "web-01"},
    };
    static const CU_TestInfo tests[] = {
        {"a version that is off is refused", test_versions},
        {"suites are taken in our order, and no others", test_suites},
        {"groups are of our list", test_groups},
        {"client certificates are required, asked for or not", test_client_certificate},
        {"lists with something unknown are refused by its name", test_bad_lists},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"tls_offer", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
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
