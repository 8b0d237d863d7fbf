/* SPDX-License-Identifier: BSD-3-Clause */
/* Configurations that cannot work are refused with a sentence that names the file or setting; names
 * in certificates; the key log. */
#include "fixture.h"
#include "tls_peer.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct hg_tls_cfg good_cfg(void)
{
    return (struct hg_tls_cfg){
        .role = HG_TLS_SERVER,
        .cert_file = fx_path("node", ".crt"),
        .key_file = fx_path("node", ".key"),
        .ca_file = fx_path("ca", ".crt"),
    };
}

static void refused(const struct hg_tls_cfg *cfg, int code, const char *words)
{
    struct hg_tls_ctx *ctx = (struct hg_tls_ctx *)(void *)&ctx;
    struct hg_err err = {{0}};

    CU_ASSERT_EQUAL(hg_tls_ctx_create(cfg, &ctx, &err), code);
    CU_ASSERT_PTR_NULL(ctx);
    if (strstr(err.text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    CU_ASSERT_EQUAL(hg_tls_ctx_create(cfg, &ctx, NULL), code);
}

static void test_files(void)
{
    struct hg_tls_cfg cfg = good_cfg();

    cfg.cert_file = "/nowhere/node.crt";
    refused(&cfg, -ENOENT, "/nowhere/node.crt");
    cfg = good_cfg();
    cfg.key_file = "/nowhere/node.key";
    refused(&cfg, -ENOENT, "/nowhere/node.key");
    cfg = good_cfg();
    cfg.ca_file = "/nowhere/ca.crt";
    refused(&cfg, -ENOENT, "/nowhere/ca.crt");
    cfg = good_cfg();
    fx_write(fx_path("junk", ".crt"), "no certificate\n");
    cfg.cert_file = fx_path("junk", ".crt");
    refused(&cfg, -EINVAL, "junk.crt is no usable PEM chain");
    cfg = good_cfg();
    cfg.key_file = fx_path("junk", ".crt");
    refused(&cfg, -EINVAL, "junk.crt is no usable PEM key");
    cfg = good_cfg();
    cfg.ca_file = fx_path("junk", ".crt");
    refused(&cfg, -EINVAL, "junk.crt holds no usable PEM certificate");
    cfg = good_cfg();
    cfg.key_file = fx_path("ca", ".key");
    refused(&cfg, -EINVAL, "not the key of certificate");
    cfg = good_cfg();
    cfg.key_file = NULL;
    refused(&cfg, -EINVAL, "both needed");
    cfg = good_cfg();
    cfg.ca_file = NULL;
    refused(&cfg, -EINVAL, "a CA file is needed");
    cfg.role = HG_TLS_CLIENT;
    refused(&cfg, -EINVAL, "a CA file is needed");
}

static void test_settings(void)
{
    static const char *const bad12[] = {"AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256",
                                        "ECDHE-ECDSA-AES128-CCM", "DHE-RSA-AES128-GCM-SHA256"};
    struct hg_tls_cfg cfg = good_cfg();
    char long_alpn[300];

    for (size_t i = 0; i < HG_ARRAY_LEN(bad12); i++) {
        cfg.ciphers12 = bad12[i];
        refused(&cfg, -EINVAL, bad12[i]);
    }
    cfg.ciphers12 = "no such suite";
    refused(&cfg, -EINVAL, "no such suite");
    cfg = good_cfg();
    cfg.ciphers13 = "TLS_AES_128_CCM_SHA256";
    refused(&cfg, -EINVAL, "TLS_AES_128_CCM_SHA256");
    cfg.ciphers13 = "nonsense";
    refused(&cfg, -EINVAL, "nonsense");
    cfg = good_cfg();
    cfg.min_version = HG_TLS_1_3;
    cfg.max_version = HG_TLS_1_2;
    refused(&cfg, -EINVAL, "0x0304 to 0x0303");
    cfg.min_version = cfg.max_version = (enum hg_tls_version)0x0302;
    refused(&cfg, -EINVAL, "0x0302");
    cfg = good_cfg();
    cfg.alpn = "";
    refused(&cfg, -EINVAL, "ALPN");
    memset(long_alpn, 'a', sizeof long_alpn);
    long_alpn[256] = '\0';
    cfg.alpn = long_alpn;
    refused(&cfg, -EINVAL, "ALPN");
    cfg = good_cfg();
    cfg.role = HG_TLS_CLIENT;
    cfg.server_name = "";
    refused(&cfg, -EINVAL, "server name");
    cfg = good_cfg();
    cfg.keylog_file = "/nowhere/keys";
    refused(&cfg, -ENOENT, "/nowhere/keys");
}

/* A reload makes a new context; connections keep the old one until they end. */
static void test_references(void)
{
    struct hg_tls_cfg cfg = good_cfg();
    struct hg_tls_ctx *ctx;
    struct hg_tls_shard *shard;
    struct hg_tls *tls;

    CU_ASSERT_EQUAL_FATAL(hg_tls_ctx_create(&cfg, &ctx, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(hg_tls_shard_create(&shard, NULL), 0);
    CU_ASSERT_PTR_EQUAL(hg_tls_ctx_ref(ctx), ctx);
    CU_ASSERT_EQUAL_FATAL(hg_tls_create(ctx, shard, &tls), 0);
    hg_tls_ctx_unref(ctx);
    CU_ASSERT(!hg_tls_ctx_is_last(ctx)); /* the connection has one */
    hg_tls_ctx_unref(ctx);
    CU_ASSERT(hg_tls_ctx_is_last(ctx));
    CU_ASSERT_EQUAL(hg_tls_state(tls), HG_TLS_HANDSHAKE);
    hg_tls_destroy(tls); /* the last reference; a leak or double free shows under the sanitizer */
    hg_tls_ctx_unref(NULL);
    hg_tls_shard_destroy(shard);
    hg_tls_shard_destroy(NULL);
}

/* The key log has what Wireshark needs, and only its owner may read it. */
static void test_keylog(void)
{
    const char *path = fx_path("keys", ".log");
    struct hg_tls_cfg c = good_cfg(), s = good_cfg();
    struct hg_tls_ctx *cctx, *sctx;
    struct hg_tls_shard *shard;
    struct fx_pair p = {0};
    struct stat st;
    char line[400];
    unsigned secrets = 0;
    FILE *f;

    c.role = HG_TLS_CLIENT;
    s.keylog_file = path;
    FX_MUST(hg_tls_ctx_create(&c, &cctx, NULL) == 0 && hg_tls_ctx_create(&s, &sctx, NULL) == 0);
    FX_MUST(hg_tls_shard_create(&shard, NULL) == 0);
    FX_MUST(hg_tls_create(cctx, shard, &p.client) == 0);
    FX_MUST(hg_tls_create(sctx, shard, &p.server) == 0);
    fx_run(&p, 0);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
    CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    f = fopen(path, "r");
    FX_MUST(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        secrets += strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0 ||
                   strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0;
    fclose(f);
    CU_ASSERT_EQUAL(secrets, 2);
    fx_pair_free(&p);
    hg_tls_ctx_unref(cctx);
    hg_tls_ctx_unref(sctx);
    hg_tls_shard_destroy(shard);
}

/* ---- names in certificates ---- */

static int name_of(const char *cn, const char *san, char name[HG_TLS_NAME_MAX])
{
    FILE *f;
    X509 *x;
    int rc;

    fx_make_cert(&(struct fx_cert){.file = "n", .issuer = "ca", .cn = cn, .san = san});
    f = fopen(fx_path("n", ".crt"), "r");
    x = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);
    FX_MUST(x != NULL);
    fclose(f);
    strcpy(name, "left over");
    rc = hg_tls_peer_cert_name(x, name);
    X509_free(x);
    return rc;
}

/* Also where each of two extensions has one name only, and the CN another. */
static void test_two_extensions(void)
{
    char name[HG_TLS_NAME_MAX] = "left over";
    X509 *x = X509_new();

    FX_MUST(x != NULL &&
            X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                       (const unsigned char *)"web-01", -1, -1, 0) == 1);
    for (int i = 0; i < 2; i++) {
        X509_EXTENSION *ext =
            X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "URI:headgate:source/db");

        FX_MUST(ext != NULL && X509_add_ext(x, ext, -1) == 1);
        X509_EXTENSION_free(ext);
    }
    CU_ASSERT_EQUAL(hg_tls_peer_cert_name(x, name), -EINVAL);
    CU_ASSERT_STRING_EQUAL(name, "");
    X509_free(x);
}

static void test_names(void)
{
    static const struct {
        const char *cn, *san;
        int rc;
        const char *name;
    } cases[] = {
        {"web-01", NULL, 0, "web-01"},
        {"A.b_C-9", NULL, 0, "A.b_C-9"},
        {"web-01", "URI:headgate:source/db_2", 0, "db_2"},
        {"bad name", "URI:headgate:source/db_2", 0, "db_2"},
        {"web-01", "DNS:x.example,URI:https://x/,URI:headgate:source/db", 0, "db"},
        {"web-01", "DNS:x.example", 0, "web-01"},
        {NULL, NULL, -ENOENT, ""},
        {"web 01", NULL, -EINVAL, ""},
        {"web/01", NULL, -EINVAL, ""},
        {"w\xc3\xa9", NULL, -EINVAL, ""},
        {".", NULL, -EINVAL, ""},
        {"..", NULL, -EINVAL, ""},
        {"...", NULL, 0, "..."},
        {"web-01", "URI:headgate:source/", -EINVAL, ""},
        {"web-01", "URI:headgate:source/a/b", -EINVAL, ""},
        {"web-01", "URI:headgate:source/a,URI:headgate:source/b", -EINVAL, ""},
        {"web-01", "URI:headgate:source/a,URI:headgate:source/a", -EINVAL, ""},
        {"web-01", "URI:headgate:sourceX", 0, "web-01"},
        {"web-01", "DER:3003020101", -EINVAL, ""}, /* an INTEGER where names should be */
    };
    char name[HG_TLS_NAME_MAX], uri[200] = "URI:headgate:source/";

    for (size_t i = 0; i < HG_ARRAY_LEN(cases); i++) {
        CU_ASSERT_EQUAL(name_of(cases[i].cn, cases[i].san, name), cases[i].rc);
        CU_ASSERT_STRING_EQUAL(name, cases[i].name);
    }
    memset(uri + strlen(uri), 'n', 127);
    CU_ASSERT_EQUAL(name_of("x", uri, name), 0);
    CU_ASSERT_EQUAL(strlen(name), 127);
    strcat(uri, "n");
    CU_ASSERT_EQUAL(name_of("x", uri, name), -EINVAL);
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"files", test_files},
        {"settings", test_settings},
        {"references", test_references},
        {"key log", test_keylog},
        {"names", test_names},
        {"two extensions with names", test_two_extensions},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"tls_ctx", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};
    int failures;

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "Test CA"});
    fx_make_cert(&(struct fx_cert){.file = "node", .issuer = "ca", .cn = "node"});
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    fx_remove();
    return failures != 0;
}
