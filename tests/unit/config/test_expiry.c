/* SPDX-License-Identifier: BSD-3-Clause */
/* What ends soon is warned of in time, by the words an operator needs; what is out of date is not usable. The
 * clock is the test's. */
#include "../tls/fixture.h"
#include "expiry.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY 86400L

struct said {
    unsigned n, errors;
    char text[4][EXPIRY_TEXT_MAX];
};

static void say(void *arg, enum hg_log_level level, const char *text)
{
    struct said *s = arg;

    CU_ASSERT(level == HG_LOG_WARN || level == HG_LOG_ERR);
    s->errors += level == HG_LOG_ERR;
    if (s->n < HG_ARRAY_LEN(s->text))
        snprintf(s->text[s->n], sizeof s->text[0], "%s", text);
    s->n++;
}

static struct hg_tls_ctx *context(const char *name, const char *other, const char *crl)
{
    char certs[1100], keys[1100];
    struct hg_tls_cfg cfg = {.role = HG_TLS_SERVER,
                             .cert_file = certs,
                             .key_file = keys,
                             .ca_file = fx_path("ca", ".crt"),
                             .crl_file = crl == NULL ? NULL : fx_path(crl, ".crl")};
    struct hg_tls_ctx *ctx = NULL;
    struct hg_err err = {""};

    snprintf(certs, sizeof certs, "%s%s%s", fx_path(name, ".crt"), other == NULL ? "" : ",",
             other == NULL ? "" : fx_path(other, ".crt"));
    snprintf(keys, sizeof keys, "%s%s%s", fx_path(name, ".key"), other == NULL ? "" : ",",
             other == NULL ? "" : fx_path(other, ".key"));
    if (hg_tls_ctx_create(&cfg, &ctx, &err) != 0)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    return ctx;
}

/* Days from now. */
static struct said at(const struct hg_tls_ctx *ctx, long days)
{
    struct said s = {0};

    CU_ASSERT_EQUAL(expiry_warnings(ctx, (int64_t)time(NULL) + days * DAY, 30, say, &s), s.n);
    return s;
}

static void has(const struct said *s, unsigned n, const char *words)
{
    CU_ASSERT_FATAL(n < s->n);
    if (strstr(s->text[n], words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, s->text[n]);
    CU_ASSERT_PTR_NOT_NULL(strstr(s->text[n], words));
}

/* The certificate ends after 100 days and half a one, the CA after 200. */
static void test_days(void)
{
    struct hg_tls_ctx *ctx = context("node", NULL, NULL);
    struct said s = at(ctx, 70);

    CU_ASSERT_EQUAL(s.n, 0);
    s = at(ctx, 71);
    CU_ASSERT_EQUAL(s.n, 1);
    has(&s, 0, "certificate \"CN=node\", P-256 in ");
    has(&s, 0, " expires in 29 days, at 20");
    has(&s, 0, "headgatectl reload");
    s = at(ctx, 99);
    has(&s, 0, "expires in 1 day, at");
    s = at(ctx, 100);
    has(&s, 0, "expires in less than a day, at");
    CU_ASSERT_EQUAL(s.errors, 0);
    s = at(ctx, 101);
    has(&s, 0, "expired less than a day ago, at");
    CU_ASSERT_EQUAL(s.errors, 1);
    s = at(ctx, 180);
    CU_ASSERT_EQUAL(s.n, 2);
    has(&s, 0, "expired 79 days ago");
    has(&s, 1, "CA \"CN=Test CA\" in ");
    has(&s, 1, "expires in 20 days");
    hg_tls_ctx_unref(ctx);
}

/* The successor is valid from day 50 to 300: from then on nobody is told of the old one's end. */
static void test_overlap(void)
{
    struct hg_tls_ctx *ctx = context("node", "successor", NULL);
    struct said s = at(ctx, 90);

    CU_ASSERT_EQUAL(s.n, 0);
    s = at(ctx, 290);
    CU_ASSERT_EQUAL(s.n, 2);
    has(&s, 0, "CN=successor");
    hg_tls_ctx_unref(ctx);
}

/* A list of 12 days: the last 4. One of 300 days: the last 30. */
static void test_lists(void)
{
    struct hg_tls_ctx *ctx = context("node", NULL, "short");
    struct said s = at(ctx, 7);

    CU_ASSERT_EQUAL(s.n, 0);
    s = at(ctx, 9);
    CU_ASSERT_EQUAL(s.n, 1);
    has(&s, 0, "revocation list of CA \"CN=Test CA\" in ");
    has(&s, 0, "without one all of this CA are refused");
    hg_tls_ctx_unref(ctx);
    ctx = context("successor", NULL, "long");
    CU_ASSERT_EQUAL(at(ctx, 265).n, 1); /* the CA */
    s = at(ctx, 275);
    has(&s, s.n - 1, "revocation list");
    hg_tls_ctx_unref(ctx);
}

static void usable(const struct hg_tls_ctx *ctx, long days, const char *words)
{
    struct hg_err err = {""};
    int rc = expiry_usable(ctx, (int64_t)time(NULL) + days * DAY, &err);

    CU_ASSERT_EQUAL(rc == 0, words == NULL);
    if (words != NULL && strstr(err.text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, err.text);
    CU_ASSERT(words == NULL || strstr(err.text, words) != NULL);
}

static void test_usable(void)
{
    struct hg_tls_ctx *ctx = context("node", NULL, NULL);

    usable(ctx, -2, "no certificate of ours is valid now");
    usable(ctx, 0, NULL);
    usable(ctx, 100, NULL);
    usable(ctx, 101, "no certificate of ours is valid now");
    hg_tls_ctx_unref(ctx);
    ctx = context("node", "successor", NULL);
    usable(ctx, 101, NULL);
    usable(ctx, 201, "no CA is valid now");
    hg_tls_ctx_unref(ctx);
    ctx = context("node", NULL, "short");
    usable(ctx, 11, NULL);
    usable(ctx, 13, "was to be replaced by 2");
    hg_tls_ctx_unref(ctx);
}

int main(void)
{
    static const struct fx_cert certs[] = {
        {.file = "ca", .cn = "Test CA", .from = -DAY, .until = 200 * DAY + DAY / 2},
        {.file = "node", .issuer = "ca", .cn = "node", .from = -DAY, .until = 100 * DAY + DAY / 2},
        {.file = "successor",
         .issuer = "ca",
         .cn = "successor",
         .from = 50 * DAY,
         .until = 300 * DAY},
    };
    unsigned failed;
    CU_pSuite suite;

    fx_make_dir();
    for (size_t i = 0; i < HG_ARRAY_LEN(certs); i++)
        fx_make_cert(&certs[i]);
    fx_make_crl(&(struct fx_crl){.file = "short", .issuer = "ca", .from = -60, .until = 12 * DAY});
    fx_make_crl(&(struct fx_crl){.file = "long", .issuer = "ca", .from = -60, .until = 300 * DAY});
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("expiry", NULL, NULL);
    CU_add_test(suite, "a certificate and a CA are warned of from 30 days on", test_days);
    CU_add_test(suite, "an old certificate beside its successor ends unseen", test_overlap);
    CU_add_test(suite, "a revocation list is warned of in the last third of its time", test_lists);
    CU_add_test(suite, "what is out of date is not usable", test_usable);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    fx_remove();
    return failed != 0;
}
