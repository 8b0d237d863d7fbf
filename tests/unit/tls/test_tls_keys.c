/* SPDX-License-Identifier: BSD-3-Clause */
/* Known answers of the key schedule: RFC 8448 (TLS 1.3), and the TLS 1.2 PRF vector that the TLS
 * working group published for SHA-256. Key update has no published vector; the tests of connections
 * check it against OpenSSL. */
#include "fixture.h"
#include "tls_keys.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

/* RFC 8448 3, "Simple 1-RTT Handshake". */
static const uint8_t client_secret[32] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const uint8_t server_secret[32] = {
    0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
    0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};

static void test_rfc8448_traffic_keys(void)
{
    static const uint8_t ckey[16] = {0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9,
                                     0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51};
    static const uint8_t civ[12] = {0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08,
                                    0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9};
    static const uint8_t skey[16] = {0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                     0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56};
    static const uint8_t siv[12] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83,
                                    0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};
    const struct hg_tls_suite *suite = hg_tls_suite_find(0x1301);
    struct hg_tls_keyset k;

    CU_ASSERT_EQUAL(hg_tls_traffic_keys(suite, client_secret, &k), 0);
    CU_ASSERT_EQUAL(memcmp(k.key, ckey, sizeof ckey), 0);
    CU_ASSERT_EQUAL(memcmp(k.iv, civ, sizeof civ), 0);
    CU_ASSERT_EQUAL(hg_tls_traffic_keys(suite, server_secret, &k), 0);
    CU_ASSERT_EQUAL(memcmp(k.key, skey, sizeof skey), 0);
    CU_ASSERT_EQUAL(memcmp(k.iv, siv, sizeof siv), 0);
}

/* A different label, as a check that the label is really in. RFC 8448 3: "finished" of the server's
 * handshake traffic secret. */
static void test_rfc8448_finished(void)
{
    static const uint8_t secret[32] = {0xb6, 0x7b, 0x7d, 0x69, 0x0c, 0xc1, 0x6c, 0x4e,
                                       0x75, 0xe5, 0x42, 0x13, 0xcb, 0x2d, 0x37, 0xb4,
                                       0xe9, 0xc9, 0x12, 0xbc, 0xde, 0xd9, 0x10, 0x5d,
                                       0x42, 0xbe, 0xfd, 0x59, 0xd3, 0x91, 0xad, 0x38};
    static const uint8_t want[32] = {0x00, 0x8d, 0x3b, 0x66, 0xf8, 0x16, 0xea, 0x55,
                                     0x9f, 0x96, 0xb5, 0x37, 0xe8, 0x85, 0xc3, 0x1f,
                                     0xc0, 0x68, 0xbf, 0x49, 0x2c, 0x65, 0x2f, 0x01,
                                     0xf2, 0x88, 0xa1, 0xd8, 0xcd, 0xc1, 0x9f, 0xc8};
    uint8_t out[32];

    CU_ASSERT_EQUAL(hg_tls_expand_label(hg_tls_suite_find(0x1301), secret, "finished", out, 32), 0);
    CU_ASSERT_EQUAL(memcmp(out, want, sizeof want), 0);
}

static void test_prf_sha256(void)
{
    static const uint8_t secret[16] = {0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17,
                                       0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35};
    static const uint8_t seed[16] = {0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18,
                                     0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c};
    static const uint8_t want[100] = {
        0xe3, 0xf2, 0x29, 0xba, 0x72, 0x7b, 0xe1, 0x7b, 0x8d, 0x12, 0x26, 0x20, 0x55, 0x7c, 0xd4,
        0x53, 0xc2, 0xaa, 0xb2, 0x1d, 0x07, 0xc3, 0xd4, 0x95, 0x32, 0x9b, 0x52, 0xd4, 0xe6, 0x1e,
        0xdb, 0x5a, 0x6b, 0x30, 0x17, 0x91, 0xe9, 0x0d, 0x35, 0xc9, 0xc9, 0xa4, 0x6b, 0x4e, 0x14,
        0xba, 0xf9, 0xaf, 0x0f, 0xa0, 0x22, 0xf7, 0x07, 0x7d, 0xef, 0x17, 0xab, 0xfd, 0x37, 0x97,
        0xc0, 0x56, 0x4b, 0xab, 0x4f, 0xbc, 0x91, 0x66, 0x6e, 0x9d, 0xef, 0x9b, 0x97, 0xfc, 0xe3,
        0x4f, 0x79, 0x67, 0x89, 0xba, 0xa4, 0x80, 0x82, 0xd1, 0x22, 0xee, 0x42, 0xc5, 0xa7, 0x2e,
        0x5a, 0x51, 0x10, 0xff, 0xf7, 0x01, 0x87, 0x34, 0x7b, 0x66};
    struct hg_tls_prf prf = {.md = "SHA256",
                             .secret = secret,
                             .secret_len = sizeof secret,
                             .label = "test label",
                             .seed = seed,
                             .seed_len = sizeof seed};
    uint8_t out[sizeof want];

    CU_ASSERT_EQUAL(hg_tls_prf(&prf, out, sizeof out), 0);
    CU_ASSERT_EQUAL(memcmp(out, want, sizeof want), 0);
}

/* RFC 5246 6.3: the parts of the key block are disjoint and in order. */
static void test_key_block_order(void)
{
    const struct hg_tls_suite *suite = hg_tls_suite_find(0xc02f);
    uint8_t master[HG_TLS_MASTER_SECRET], randoms[2 * HG_TLS_RANDOM], block[40];
    struct hg_tls_prf prf = {.md = "SHA256",
                             .secret = master,
                             .secret_len = sizeof master,
                             .label = "key expansion",
                             .seed = randoms,
                             .seed_len = sizeof randoms};
    struct hg_tls_keyset c, s;

    memset(master, 7, sizeof master);
    memset(randoms, 9, sizeof randoms);
    CU_ASSERT_EQUAL(hg_tls_prf(&prf, block, sizeof block), 0);
    CU_ASSERT_EQUAL(hg_tls_key_block(suite, master, randoms, &c, &s), 0);
    CU_ASSERT_EQUAL(memcmp(c.key, block, 16), 0);
    CU_ASSERT_EQUAL(memcmp(s.key, block + 16, 16), 0);
    CU_ASSERT_EQUAL(memcmp(c.iv, block + 32, 4), 0);
    CU_ASSERT_EQUAL(memcmp(s.iv, block + 36, 4), 0);
}

static void test_next_secret(void)
{
    const struct hg_tls_suite *suite = hg_tls_suite_find(0x1301);
    uint8_t secret[HG_TLS_SECRET_MAX] = {0}, want[32];

    memcpy(secret, client_secret, 32);
    CU_ASSERT_EQUAL(hg_tls_expand_label(suite, client_secret, "traffic upd", want, 32), 0);
    CU_ASSERT_EQUAL(hg_tls_next_secret(suite, secret), 0);
    CU_ASSERT_EQUAL(memcmp(secret, want, 32), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(secret, client_secret, 32), 0);
}

static void test_suites(void)
{
    CU_ASSERT_PTR_NULL(hg_tls_suite_find(0x1304)); /* CCM */
    CU_ASSERT_PTR_NULL(hg_tls_suite_find(0xc027)); /* CBC */
    CU_ASSERT_PTR_NULL(hg_tls_suite_find(0x009c)); /* no forward secrecy */
    CU_ASSERT_EQUAL(hg_tls_suite_find(0x1302)->secret_len, 48);
    CU_ASSERT_EQUAL(hg_tls_suite_find(0xc030)->explicit_len, 8);
    CU_ASSERT_EQUAL(hg_tls_suite_find(0xcca9)->salt_len, 12);
}

int main(void)
{
    CU_pSuite s;
    int failures;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    s = CU_add_suite("tls_keys", NULL, NULL);
    if (s == NULL || CU_add_test(s, "RFC 8448 keys", test_rfc8448_traffic_keys) == NULL ||
        CU_add_test(s, "RFC 8448 finished", test_rfc8448_finished) == NULL ||
        CU_add_test(s, "TLS 1.2 PRF", test_prf_sha256) == NULL ||
        CU_add_test(s, "key block", test_key_block_order) == NULL ||
        CU_add_test(s, "key update", test_next_secret) == NULL ||
        CU_add_test(s, "suites", test_suites) == NULL)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
