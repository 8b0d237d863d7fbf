/* SPDX-License-Identifier: BSD-3-Clause */
/* See both.h. */
#include "both.h"
#include <CUnit/Basic.h>

/* CUnit passes no argument to what prepares a suite. */
static enum hg_tls_provider *in_use;

static int use_mb(void)
{
    *in_use = HG_TLS_IPSEC_MB;
    return 0;
}

static int use_ossl(void)
{
    *in_use = HG_TLS_OPENSSL;
    return 0;
}

int run_on_both(enum hg_tls_provider *provider, const CU_TestInfo *tests)
{
    CU_SuiteInfo suites[] = {
        {"ipsec-mb", use_mb, NULL, NULL, NULL, (CU_TestInfo *)tests},
        {"openssl", use_ossl, NULL, NULL, NULL, (CU_TestInfo *)tests},
        CU_SUITE_INFO_NULL,
    };
    unsigned failures;

    in_use = provider;
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
