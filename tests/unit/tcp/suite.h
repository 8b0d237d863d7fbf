/* SPDX-License-Identifier: BSD-3-Clause */
/* The main of a CUnit program: a table of tests, and a return value that tells. */
#ifndef HEADGATE_TESTS_UNIT_TCP_SUITE_H
#define HEADGATE_TESTS_UNIT_TCP_SUITE_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

struct suite_test {
    const char *name;
    void (*run)(void);
};

/* Runs n tests; the exit status of the program. */
static inline int suite_run(const char *name, const struct suite_test *tests, unsigned n)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(name, NULL, NULL);
    if (!suite)
        return 1;
    for (unsigned i = 0; i < n; i++)
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    int bad = CU_get_error() != CUE_SUCCESS || failures || CU_get_number_of_tests_run() != n;
    CU_cleanup_registry();
    return bad;
}

#endif /* HEADGATE_TESTS_UNIT_TCP_SUITE_H */
