/* SPDX-License-Identifier: BSD-3-Clause */
/* The main of tests that run on either record provider. */
#ifndef HEADGATE_TESTS_TLS_BOTH_H
#define HEADGATE_TESTS_TLS_BOTH_H

#include <CUnit/CUnit.h>
#include <headgate/tls.h>

/* Runs the tests on either record provider, which *provider says meanwhile. Returns the status for main(). */
int run_on_both(enum hg_tls_provider *provider, const CU_TestInfo *tests);

#endif /* HEADGATE_TESTS_TLS_BOTH_H */
