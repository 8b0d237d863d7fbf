/* SPDX-License-Identifier: BSD-3-Clause */
/* Both AEAD providers through one body: in random pieces and in place against the other provider,
 * input that ends too early, erasing. Known answers are in test_tls_wycheproof.c. */
#include "fixture.h"
#include "tls_aead.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_engine engine;
static enum hg_tls_provider provider; /* of the suite that runs */
static uint64_t rng;

#define BIG 16401u

/* What one provider seals in random pieces, in place or not, the other opens in random pieces. */
static void random_round(enum hg_tls_alg alg)
{
    static uint8_t text[BIG], sealed[BIG + HG_TLS_TAG], back[BIG];
    struct hg_tls_aead s, o;
    struct hg_iov in[40];
    uint8_t key[32], nonce[HG_TLS_NONCE], aad[13];
    uint32_t len = fx_rand(&rng) % (BIG + 1), at = 0;
    bool in_place = fx_rand(&rng) % 2;
    struct hg_tls_aead_op op = {.nonce = nonce, .aad = aad, .aad_len = sizeof aad, .len = len};

    for (uint32_t i = 0; i < len; i++)
        text[i] = (uint8_t)fx_rand(&rng);
    for (uint32_t i = 0; i < sizeof key; i++)
        key[i] = aad[i % 13] = nonce[i % 12] = (uint8_t)fx_rand(&rng);
    hg_tls_aead_init(&s, provider, &engine, alg, true);
    hg_tls_aead_init(&o, provider == HG_TLS_OPENSSL ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL, &engine,
                     alg, false);
    FX_MUST(hg_tls_aead_set_key(&s, key) == 0 && hg_tls_aead_set_key(&o, key) == 0);
    memcpy(sealed, text, len);
    op.in = (struct hg_tls_cur){.v = in, .n = 1};
    in[0] = (struct hg_iov){.base = in_place ? sealed : text, .len = len};
    op.dst = sealed;
    CU_ASSERT_EQUAL(hg_tls_aead_seal(&s, &op), 0);
    op.in = (struct hg_tls_cur){.v = in};
    while (at < len + HG_TLS_TAG) {
        uint32_t left = len + HG_TLS_TAG - at, n = 1 + fx_rand(&rng) % 1500;

        n = n < left && op.in.n < 39 ? n : left;
        in[op.in.n++] = (struct hg_iov){.base = sealed + at, .len = n};
        at += n;
    }
    op.dst = back;
    CU_ASSERT_EQUAL(hg_tls_aead_open(&o, &op), 0);
    CU_ASSERT_EQUAL(memcmp(back, text, len), 0);
    hg_tls_aead_wipe(&s);
    hg_tls_aead_wipe(&o);
}

static void test_against_other(void)
{
    for (unsigned i = 0; i < 600; i++)
        random_round((enum hg_tls_alg)(i % HG_TLS_ALGS));
}

/* A list that ends before the tag does must not be taken for a good one. */
static void test_short_input(void)
{
    uint8_t key[32] = {1}, nonce[HG_TLS_NONCE] = {2}, bytes[64] = {3}, dst[64];

    for (int alg = 0; alg < HG_TLS_ALGS; alg++) {
        struct hg_tls_aead a;

        hg_tls_aead_init(&a, provider, &engine, (enum hg_tls_alg)alg, false);
        FX_MUST(hg_tls_aead_set_key(&a, key) == 0);
        for (uint32_t have = 0; have < 48; have++) {
            struct hg_iov in = {.base = bytes, .len = have};
            struct hg_tls_aead_op op = {
                .nonce = nonce, .in = {.v = &in, .n = 1}, .len = 32, .dst = dst};

            CU_ASSERT_EQUAL(hg_tls_aead_open(&a, &op), -EBADMSG);
        }
        hg_tls_aead_wipe(&a);
    }
}

static void test_wipe(void)
{
    uint8_t key[32];
    struct hg_tls_aead a;

    memset(key, 0x5a, sizeof key);
    for (int alg = 0; alg < HG_TLS_ALGS; alg++) {
        hg_tls_aead_init(&a, provider, &engine, (enum hg_tls_alg)alg, true);
        FX_MUST(hg_tls_aead_set_key(&a, key) == 0);
        CU_ASSERT_EQUAL(hg_tls_aead_set_key(&a, key), 0); /* replacing leaks nothing */
        hg_tls_aead_wipe(&a);
        for (size_t i = 0; i < sizeof a.state; i++)
            CU_ASSERT_EQUAL(a.state[i], 0);
        hg_tls_aead_wipe(&a);
    }
}

static int use_mb(void)
{
    provider = HG_TLS_IPSEC_MB;
    return 0;
}

static int use_ossl(void)
{
    provider = HG_TLS_OPENSSL;
    return 0;
}

static int add_suite(const char *name, CU_InitializeFunc init)
{
    CU_pSuite s = CU_add_suite(name, init, NULL);

    return s == NULL ||
           CU_add_test(s, "opened by the other provider", test_against_other) == NULL ||
           CU_add_test(s, "input that ends too early", test_short_input) == NULL ||
           CU_add_test(s, "wipe leaves nothing", test_wipe) == NULL;
}

int main(int argc, char **argv)
{
    struct hg_err err;
    int failures;

    rng = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240611;
    printf("seed %llu\n", (unsigned long long)rng);
    FX_MUST(hg_tls_engine_init(&engine, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS || add_suite("ipsec-mb", use_mb) != 0 ||
        add_suite("openssl", use_ossl) != 0)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_engine_fini(&engine);
    return failures != 0;
}
