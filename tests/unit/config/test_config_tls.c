/* SPDX-License-Identifier: BSD-3-Clause */
/* What a profile may say about TLS: production lets in nobody without a certificate. */
#include "rig.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <string.h>

static void test_client_certificate(void)
{
    static const char *const less[] = {"asked", "off"};
    char text[64];

    begin();
    CU_ASSERT_STRING_EQUAL(cfg.tls.client_cert, "required");
    good();
    for (unsigned i = 0; i < HG_ARRAY_LEN(less); i++) {
        begin();
        snprintf(text, sizeof text, "tls.client-certificate=%s", less[i]);
        set(text);
        bad("a production profile lets in only sources with a certificate");
        set("node.profile=test");
        bad("[ingest] class = restricted: needs a certificate of every client");
        set("ingest.class=public");
        good();
    }
    CU_ASSERT_EQUAL(config_set(&cfg, "tls.client-certificate=maybe", &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "required|asked|off"));
}

static void test_versions(void)
{
    begin();
    set("tls.min-version=1.3");
    good();
    set("tls.max-version=1.2");
    bad("[tls] min-version = 1.3 is above max-version = 1.2");
    begin();
    set("test.tls-min-version=1.3");
    set("test.tls-max-version=1.2");
    bad("[test] tls-min-version = 1.3 is above tls-max-version = 1.2");
    CU_ASSERT_EQUAL(config_set(&cfg, "tls.min-version=1.1", &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "allowed are 1.2|1.3"));
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("config_tls", NULL, NULL);
    CU_add_test(suite, "only a test profile may do without client certificates",
                test_client_certificate);
    CU_add_test(suite, "a range of versions is not empty, and nothing is older than TLS 1.2",
                test_versions);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
