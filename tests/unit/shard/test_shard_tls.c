/* SPDX-License-Identifier: BSD-3-Clause */
/* Which TLS contexts a shard takes: the native protocol never goes over one that asks for nothing. */
#include "../tls/fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <headgate/shard.h>
#include <string.h>

static struct hg_tls_ctx *context(enum hg_tls_client_cert client_cert)
{
    struct hg_tls_cfg cfg = {.role = HG_TLS_SERVER,
                             .cert_file = fx_path("node", ".crt"),
                             .key_file = fx_path("node", ".key"),
                             .ca_file = fx_path("ca", ".crt"),
                             .client_cert = client_cert};
    struct hg_tls_ctx *ctx = NULL;
    struct hg_err err;

    CU_ASSERT_EQUAL_FATAL(hg_tls_ctx_create(&cfg, &ctx, &err), 0);
    return ctx;
}

static void test_asks(void)
{
    struct hg_tls_ctx *strict = context(HG_TLS_CERT_REQUIRED), *open = context(HG_TLS_CERT_ASKED);

    CU_ASSERT(hg_tls_ctx_requires_cert(strict));
    CU_ASSERT(!hg_tls_ctx_requires_cert(open));
    hg_tls_ctx_unref(strict);
    hg_tls_ctx_unref(open);
}

static void refused(const struct hg_shard_cfg *cfg, const char *words)
{
    struct hg_shard *shard = NULL;
    struct hg_err err = {""};

    CU_ASSERT_EQUAL(hg_shard_create(cfg, HG_SEC(1), &shard, &err), -EINVAL);
    CU_ASSERT_PTR_NULL(shard);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_open_context_for_ingest(void)
{
    struct hg_tls_ctx *open = context(HG_TLS_CERT_OFF);

    refused(&(struct hg_shard_cfg){.tls = open}, "not for the native protocol");
    hg_tls_ctx_unref(open);
}

static void test_services_without_context(void)
{
    struct hg_tls_ctx *strict = context(HG_TLS_CERT_REQUIRED);
    struct hg_shard_cfg cfg = {.tls = strict, .test = {.svc = {.conns_max = 1}}};

    cfg.test.port_tls[HG_TESTSVC_HTTP] = 443;
    refused(&cfg, "need a context");
    hg_tls_ctx_unref(strict);
}

int main(void)
{
    CU_pSuite suite;
    unsigned failures;

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca"});
    fx_make_cert(
        &(struct fx_cert){.file = "node", .issuer = "ca", .cn = "node", .eku = "serverAuth"});
    CU_initialize_registry();
    suite = CU_add_suite("shard_tls", NULL, NULL);
    CU_add_test(suite, "a context tells whether it requires certificates", test_asks);
    CU_add_test(suite, "the native protocol refuses a context that does not",
                test_open_context_for_ingest);
    CU_add_test(suite, "test services over TLS need a context of their own",
                test_services_without_context);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 3);
    CU_cleanup_registry();
    fx_remove();
    return failures != 0;
}
