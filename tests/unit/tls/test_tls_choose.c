/* SPDX-License-Identifier: BSD-3-Clause */
/* Direct calls or jobs: told, or measured by a clock that says what a test wants it to. */
#include "fixture.h"
#include "tls_aead_choose.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <string.h>

static struct hg_tls_engine engine;
static struct hg_tls_batch_counters found;

#define TURNS 24u

/* A turn looks five times: whether there is time for it, then before and after the direct calls and the
 * jobs. Before its first turn an algorithm looks once, after its last it does not look. */
static struct {
    unsigned looks;          /* since the algorithm's first */
    hg_ns now, direct, jobs; /* what each takes */
} fake;

static hg_ns fake_clock(void)
{
    unsigned in_turn = (fake.looks + 4) % 5; /* 0: whether there is time */

    if (fake.looks != 0 && in_turn == 2)
        fake.now += fake.direct;
    else if (fake.looks != 0 && in_turn == 4)
        fake.now += fake.jobs;
    fake.looks = fake.looks == TURNS * 5 ? 0 : fake.looks + 1;
    return fake.now;
}

static void choose(hg_ns direct, hg_ns jobs)
{
    fake.looks = 0;
    fake.now = 0;
    fake.direct = direct;
    fake.jobs = jobs;
    CU_ASSERT_EQUAL(hg_tls_aead_choose(&engine, HG_TLS_BATCH_AUTO, fake_clock, &found), 0);
}

static void all_are(bool jobs)
{
    for (unsigned i = 0; i < HG_TLS_ALGS; i++)
        CU_ASSERT_EQUAL(engine.jobs[i], jobs);
    CU_ASSERT_EQUAL(found.aes_128_gcm_as_jobs, jobs);
    CU_ASSERT_EQUAL(found.aes_256_gcm_as_jobs, jobs);
    CU_ASSERT_EQUAL(found.chacha20_poly1305_as_jobs, jobs);
}

static void test_faster(void)
{
    choose(10000, 9000);
    all_are(true);
    choose(9000, 10000);
    all_are(false);
}

static void test_equal(void)
{
    choose(10000, 9900);
    all_are(false);
    choose(0, 0);
    all_are(false);
}

/* 16 KiB and four of 1400 bytes in 10 us and 8 us. */
static void test_rates(void)
{
    const uint64_t bytes = 16384 + 4 * 1400;

    choose(10000, 8000);
    CU_ASSERT_EQUAL(found.aes_128_gcm_single, bytes * 100000);
    CU_ASSERT_EQUAL(found.aes_128_gcm_jobs, bytes * 125000);
    CU_ASSERT_EQUAL(found.chacha20_poly1305_single, bytes * 100000);
    CU_ASSERT_EQUAL(found.chacha20_poly1305_jobs, bytes * 125000);
}

static hg_ns never(void)
{
    fx_die(__FILE__, __LINE__, "nobody asked for a measurement");
}

static void test_told(void)
{
    memset(&found, 0xff, sizeof found);
    CU_ASSERT_EQUAL(hg_tls_aead_choose(&engine, HG_TLS_BATCH_JOBS, never, &found), 0);
    all_are(true);
    CU_ASSERT_EQUAL(found.aes_256_gcm_single, 0);
    CU_ASSERT_EQUAL(found.aes_256_gcm_jobs, 0);
    CU_ASSERT_EQUAL(hg_tls_aead_choose(&engine, HG_TLS_BATCH_SINGLE, never, &found), 0);
    all_are(false);
}

static hg_ns slow_now;
static unsigned slow_looks;

static hg_ns slow_clock(void)
{
    slow_looks++;
    return slow_now += HG_MS(1);
}

/* On a slow machine no more than four turns of an algorithm, each of five looks, and the looks around. */
static void test_bounded(void)
{
    slow_looks = 0;
    CU_ASSERT_EQUAL(hg_tls_aead_choose(&engine, HG_TLS_BATCH_AUTO, slow_clock, &found), 0);
    CU_ASSERT_EQUAL(slow_looks, 3 * (1 + 4 * 5 + 1));
}

/* A key keeps the way it was made for. */
static void test_keys(void)
{
    struct hg_tls_aead a;

    choose(10000, 5000);
    hg_tls_aead_init(&a, HG_TLS_IPSEC_MB, &engine, HG_TLS_AES_128_GCM, false);
    choose(5000, 10000);
    CU_ASSERT(a.jobs);
    hg_tls_aead_init(&a, HG_TLS_IPSEC_MB, &engine, HG_TLS_AES_128_GCM, false);
    CU_ASSERT(!a.jobs);
    choose(10000, 5000);
    hg_tls_aead_init(&a, HG_TLS_OPENSSL, &engine, HG_TLS_AES_128_GCM, false);
    CU_ASSERT(!a.jobs);
}

int main(void)
{
    struct hg_err err;
    CU_pSuite s;
    int failures;

    FX_MUST(hg_tls_engine_init(&engine, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite("direct calls or jobs", NULL, NULL)) == NULL ||
        CU_add_test(s, "the faster is chosen", test_faster) == NULL ||
        CU_add_test(s, "equals are direct calls", test_equal) == NULL ||
        CU_add_test(s, "what was measured is told", test_rates) == NULL ||
        CU_add_test(s, "what is told is not measured", test_told) == NULL ||
        CU_add_test(s, "it takes a few milliseconds at most", test_bounded) == NULL ||
        CU_add_test(s, "a key keeps its way, OpenSSL's has none", test_keys) == NULL)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_engine_fini(&engine);
    return failures != 0;
}
