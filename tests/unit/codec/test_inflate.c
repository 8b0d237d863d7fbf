/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inflate: the error table of headgate/codec.h, with streams from zlib and from hg_deflate().
 * Usage: test_inflate [seed]
 */
#include <headgate/codec.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define RAW 65536u
#define WIRE (2u * RAW)
#define GUARD 64u

static uint64_t seed;
static struct hg_inflate *inf;
static uint8_t raw[RAW], wire[WIRE], out[RAW + GUARD], scratch[HG_DEFLATE_SCRATCH];

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* kind 0 zeros, 1 text-like, 2 random */
static void make_raw(unsigned kind, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        raw[i] = kind == 0   ? 0
                 : kind == 1 ? "Headgate \n"[rnd() % 10 * (i % 3 != 0)]
                             : (uint8_t)rnd();
}

static uint32_t zlib_deflate(uint32_t len, int level, int strategy)
{
    z_stream z = {.next_in = raw, .avail_in = len, .next_out = wire, .avail_out = WIRE};

    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, level, Z_DEFLATED, -15, 8, strategy), Z_OK);
    CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return (uint32_t)z.total_out;
}

/* Inflates and sees that nothing beyond dst_len was written. */
static int inflate_guarded(uint32_t dst_len, uint32_t src_len)
{
    int rc;

    memset(out, 0xaa, sizeof out);
    rc = hg_inflate(inf, out, dst_len, wire, src_len);
    for (uint32_t i = dst_len; i < dst_len + GUARD; i++)
        if (out[i] != 0xaa) {
            CU_FAIL("wrote beyond the destination");
            break;
        }
    return rc;
}

static void test_all_encodings(void)
{
    static const int strategy[] = {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE};

    for (unsigned kind = 0; kind < 3; kind++)
        for (int level = 0; level <= 9; level += 3)
            for (unsigned s = 0; s < HG_ARRAY_LEN(strategy); s++) {
                uint32_t len = s == 0 ? RAW : 1 + (uint32_t)(rnd() % RAW);
                uint32_t n;

                make_raw(kind, len);
                n = zlib_deflate(len, level, strategy[s]);
                CU_ASSERT_EQUAL(inflate_guarded(len, n), 0);
                CU_ASSERT_EQUAL(memcmp(out, raw, len), 0);
            }
}

static void test_own_deflate(void)
{
    for (unsigned i = 0; i < 60; i++) {
        uint32_t len = 1 + (uint32_t)(rnd() % RAW);
        uint32_t n;

        make_raw(i % 2, len);
        n = hg_deflate(wire, WIRE, raw, len, scratch);
        if (n == 0)
            continue; /* too short to shrink */
        CU_ASSERT(n < len);
        CU_ASSERT_EQUAL(inflate_guarded(len, n), 0);
        CU_ASSERT_EQUAL(memcmp(out, raw, len), 0);
    }
}

static void test_incompressible_is_refused(void)
{
    make_raw(2, RAW);
    CU_ASSERT_EQUAL(hg_deflate(wire, WIRE, raw, RAW, scratch), 0);
    make_raw(1, RAW);
    CU_ASSERT_EQUAL(hg_deflate(wire, 100, raw, RAW, scratch), 0); /* no room */
}

static void test_truncated_at_every_byte(void)
{
    uint32_t n;

    make_raw(1, 3000);
    n = zlib_deflate(3000, 9, Z_DEFAULT_STRATEGY);
    for (uint32_t cut = 0; cut < n; cut++)
        CU_ASSERT_EQUAL(inflate_guarded(3000, cut), -ENODATA);
}

static void test_trailing(void)
{
    static const uint32_t extra[] = {1, 2, 7, 8, 9, 64, 1000};

    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned i = 0; i < HG_ARRAY_LEN(extra); i++) {
            uint32_t n;

            make_raw(kind, 5000);
            n = zlib_deflate(5000, 6, Z_DEFAULT_STRATEGY);
            memset(wire + n, (int)rnd() & 0xff, extra[i]);
            CU_ASSERT_EQUAL(inflate_guarded(5000, n + extra[i]), -E2BIG);
        }
}

/* The stream holds more, or less, than the header says. */
static void test_other_length(void)
{
    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned less = 1; less < 600; less += 37) {
            uint32_t n;

            make_raw(kind, 5000);
            n = zlib_deflate(5000, 6, Z_DEFAULT_STRATEGY);
            CU_ASSERT_EQUAL(inflate_guarded(5000 - less, n), -EOVERFLOW);
            CU_ASSERT_EQUAL(inflate_guarded(5000 + less, n), -ENODATA);
        }
}

static void test_bomb(void)
{
    z_stream z = {.next_out = wire, .avail_out = WIRE};

    memset(raw, 0, sizeof raw);
    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, 0), Z_OK);
    for (unsigned i = 0; i < 256; i++) {
        z.next_in = raw;
        z.avail_in = RAW;
        deflate(&z, i == 255 ? Z_FINISH : Z_NO_FLUSH);
    }
    deflateEnd(&z);
    CU_ASSERT_EQUAL(inflate_guarded(RAW, (uint32_t)z.total_out), -EOVERFLOW);
}

static void test_malformed(void)
{
    static const uint8_t stored_bad_len[] = {0x01, 0x04, 0x00, 0xff, 0xff, 1, 2, 3, 4};

    memset(wire, 0, 64);
    wire[0] = 0x07; /* final, type 3: reserved */
    CU_ASSERT_EQUAL(inflate_guarded(512, 64), -EBADMSG);
    memcpy(wire, stored_bad_len, sizeof stored_bad_len); /* NLEN is not the complement of LEN */
    CU_ASSERT_EQUAL(inflate_guarded(4, sizeof stored_bad_len), -EBADMSG);
    wire[0] = 0x05; /* dynamic, with code lengths that are over-subscribed */
    memset(wire + 1, 0xff, 63);
    CU_ASSERT_EQUAL(inflate_guarded(512, 64), -EBADMSG);
}

/* Hostile bytes: any error will do, but nothing is written beyond, and a good stream after it
 * still inflates: no state is left behind. */
static void test_garbage(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t n = 1 + (uint32_t)(rnd() % 300);

        for (uint32_t j = 0; j < n; j++)
            wire[j] = (uint8_t)rnd();
        inflate_guarded(1 + (uint32_t)(rnd() % 2000), n);
    }
    make_raw(1, 4096);
    CU_ASSERT_EQUAL(inflate_guarded(4096, zlib_deflate(4096, 6, 0)), 0);
    CU_ASSERT_EQUAL(memcmp(out, raw, 4096), 0);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1;
    printf("seed %lu\n", seed);
    if (hg_inflate_create(&inf) != 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("inflate", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "all encodings", test_all_encodings) ||
        !CU_add_test(suite, "own deflate", test_own_deflate) ||
        !CU_add_test(suite, "incompressible", test_incompressible_is_refused) ||
        !CU_add_test(suite, "truncated at every byte", test_truncated_at_every_byte) ||
        !CU_add_test(suite, "trailing bytes", test_trailing) ||
        !CU_add_test(suite, "another length", test_other_length) ||
        !CU_add_test(suite, "bomb", test_bomb) ||
        !CU_add_test(suite, "malformed", test_malformed) ||
        !CU_add_test(suite, "garbage", test_garbage))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    hg_inflate_destroy(inf);
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
