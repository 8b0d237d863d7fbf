/* SPDX-License-Identifier: BSD-3-Clause */
/* Error sentences and log lines: form, truncation, and the bound on lines from outside. */
#include <headgate/base.h>
#include <headgate/log.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *written; /* what went to the log since open_log() */
static size_t written_len;
static FILE *stream;

static void open_log(void)
{
    stream = open_memstream(&written, &written_len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    CU_ASSERT_EQUAL(rte_openlog_stream(stream), 0);
    rte_log_set_global_level(RTE_LOG_DEBUG);
    rte_log_set_level(RTE_LOGTYPE_USER1, RTE_LOG_DEBUG);
}

static unsigned close_log(char *copy, size_t size)
{
    unsigned lines = 0;

    rte_openlog_stream(NULL);
    fclose(stream);
    snprintf(copy, size, "%s", written);
    for (const char *p = written; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    free(written);
    return lines;
}

static void test_fail_fills_the_sentence(void)
{
    struct hg_err err = {"old"};

    CU_ASSERT_EQUAL(hg_fail(&err, -EINVAL, "device %s: %u queues", "d0", 3u), -EINVAL);
    CU_ASSERT_STRING_EQUAL(err.text, "device d0: 3 queues");
    CU_ASSERT_EQUAL(hg_fail(NULL, -ENOMEM, "nobody reads %d", 1), -ENOMEM);
}

static void test_fail_truncates(void)
{
    struct hg_err err;
    char text[1000];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    hg_fail(&err, -EIO, "%s", text);
    CU_ASSERT_EQUAL(strlen(err.text), sizeof err.text - 1);
}

static void test_line_has_its_form(void)
{
    char text[200];

    open_log();
    hg_log(HG_LOG_INFO, "net", "port %s", "p0");
    CU_ASSERT_EQUAL(close_log(text, sizeof text), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "headgate: net: port p0\n"));
}

static void test_lines_are_bounded(void)
{
    struct hg_log_limit limit = {0};
    char text[4000];
    unsigned said = 0;

    open_log();
    for (unsigned i = 0; i < 100; i++)
        said += (unsigned)hg_log_limited(&limit, HG_SEC(5), HG_LOG_WARN, "tls", "peer %u", i);
    CU_ASSERT_EQUAL(said, 20);
    CU_ASSERT_EQUAL(close_log(text, sizeof text), 20);
    /* A second later it speaks again and says what it held back. */
    open_log();
    CU_ASSERT_EQUAL(hg_log_limited(&limit, HG_SEC(6), HG_LOG_WARN, "tls", "again"), 1);
    CU_ASSERT_EQUAL(close_log(text, sizeof text), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "80 lines"));
    CU_ASSERT_EQUAL(limit.held_back, 0);
}

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("log", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "sentence", test_fail_fills_the_sentence) ||
        !CU_add_test(suite, "sentence too long", test_fail_truncates) ||
        !CU_add_test(suite, "form of a line", test_line_has_its_form) ||
        !CU_add_test(suite, "lines are bounded", test_lines_are_bounded))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
