/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C against a bit-by-bit reference, and combination against the direct value.
 * Usage: test_crc32c [seed]
 */
#include <headgate/codec.h>
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES (64u * 1024u + 4096u)

static uint64_t seed;
static uint8_t data[BYTES];

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t reference(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0u;

    while (len-- != 0) {
        crc ^= *p++;
        for (unsigned i = 0; i < 8; i++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* RFC 3720 B.4. */
static void test_known_values(void)
{
    uint8_t b[32];

    memset(b, 0, sizeof b);
    CU_ASSERT_EQUAL(hg_crc32c(b, 32), 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    CU_ASSERT_EQUAL(hg_crc32c(b, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(hg_crc32c(b, 32), 0x46dd794e);
    CU_ASSERT_EQUAL(hg_crc32c(b, 0), 0);
}

static void test_every_short_length(void)
{
    for (unsigned len = 0; len < 300; len++)
        for (unsigned at = 0; at < 8; at++)
            CU_ASSERT_EQUAL(hg_crc32c(data + at, len), reference(data + at, len));
}

static void test_extend(void)
{
    for (unsigned i = 0; i < 200; i++) {
        size_t len = rnd() % 5000, cut = len == 0 ? 0 : rnd() % len;
        uint32_t crc = hg_crc32c_extend(hg_crc32c(data, cut), data + cut, len - cut);

        CU_ASSERT_EQUAL(crc, hg_crc32c(data, len));
    }
}

static void test_combine(void)
{
    for (unsigned i = 0; i < 500; i++) {
        size_t a = rnd() % 3000, b = i % 7 == 0 ? 0 : rnd() % 9000;
        uint32_t crc = hg_crc32c_combine(hg_crc32c(data, a), hg_crc32c(data + a, b), b);

        CU_ASSERT_EQUAL(crc, hg_crc32c(data, a + b));
    }
}

/* A length that no buffer has: zeros appended one terabyte at a time equal one step of two. */
static void test_combine_long(void)
{
    uint32_t a = hg_crc32c(data, 100);
    uint64_t tib = UINT64_C(1) << 40;
    uint32_t zeros_tib = 0; /* any value: combination is linear in it */
    uint32_t twice = hg_crc32c_combine(hg_crc32c_combine(a, zeros_tib, tib), zeros_tib, tib);

    CU_ASSERT_EQUAL(twice, hg_crc32c_combine(a, zeros_tib, 2 * tib));
    CU_ASSERT_NOT_EQUAL(twice, a);
}

static void check_blocks(const uint8_t *p, uint32_t len)
{
    uint8_t padded[HG_BLOCK];
    uint32_t crc[BYTES / HG_BLOCK + 2];
    uint32_t n = (len + HG_BLOCK - 1) / HG_BLOCK;

    memset(crc, 0xee, sizeof crc);
    CU_ASSERT_EQUAL(hg_crc32c_blocks(p, len, crc), hg_crc32c(p, len));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t here = len - i * HG_BLOCK < HG_BLOCK ? len - i * HG_BLOCK : HG_BLOCK;

        memset(padded, 0, sizeof padded);
        memcpy(padded, p + (size_t)i * HG_BLOCK, here);
        CU_ASSERT_EQUAL(crc[i], hg_crc32c(padded, HG_BLOCK));
    }
    CU_ASSERT_EQUAL(crc[n], 0xeeeeeeee); /* nothing beyond */
}

static void test_blocks(void)
{
    static const uint32_t len[] = {1,    511,  512,   4095,  4096,  4097,
                                   8192, 8193, 12288, 65535, 65536, 65536 + 512};

    for (unsigned i = 0; i < HG_ARRAY_LEN(len); i++) {
        check_blocks(data, len[i]);
        check_blocks(data + 3, len[i]);
    }
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1;
    printf("seed %lu\n", seed);
    for (unsigned i = 0; i < BYTES; i++)
        data[i] = (uint8_t)rnd();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("CRC32C", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "known values", test_known_values) ||
        !CU_add_test(suite, "every short length", test_every_short_length) ||
        !CU_add_test(suite, "extend", test_extend) ||
        !CU_add_test(suite, "combine", test_combine) ||
        !CU_add_test(suite, "combine over terabytes", test_combine_long) ||
        !CU_add_test(suite, "blocks", test_blocks))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
