/* SPDX-License-Identifier: BSD-3-Clause */
/* Record protection and cutting, both providers: the records of RFC 8448, every split of a stream,
 * every flipped bit, lengths at their limits, padding, sequence numbers. */
#include "fixture.h"
#include "tls_rec.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_engine engine;
static enum hg_tls_provider provider; /* of the suite that runs */

static const uint16_t all_suites[] = {0x1301, 0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8};

static void make_rec(struct hg_tls_rec *rec, uint16_t id, bool seal, const struct hg_tls_keyset *k)
{
    struct hg_tls_rec_cfg cfg = {
        .provider = provider, .engine = &engine, .suite = hg_tls_suite_find(id), .seal = seal};

    FX_MUST(hg_tls_rec_init(rec, &cfg, k) == 0);
}

/* A sealing and an opening end with the same keys. */
static void make_ends(struct hg_tls_rec *tx, struct hg_tls_rec *rx, uint16_t id)
{
    struct hg_tls_keyset k;

    memset(&k, 0x42, sizeof k);
    make_rec(tx, id, true, &k);
    make_rec(rx, id, false, &k);
    tx->nonce_base = 0xfffffffffffffff0; /* the explicit nonce may wrap */
}

static void wipe_ends(struct hg_tls_rec *tx, struct hg_tls_rec *rx)
{
    hg_tls_rec_wipe(tx);
    hg_tls_rec_wipe(rx);
}

static uint32_t seal(struct hg_tls_rec *tx, uint8_t type, const void *p, uint32_t len, uint8_t *dst)
{
    struct hg_iov iov = {.base = (uint8_t *)p, .len = len};
    struct hg_tls_text text = {.type = type, .in = &iov, .n = 1, .len = len};
    int n = hg_tls_rec_seal(tx, &text, dst);

    FX_MUST(n > 0 && (uint32_t)n <= len + HG_TLS_OVERHEAD);
    return (uint32_t)n;
}

/* Cuts and opens one record that lies in one piece. */
static int open1(struct hg_tls_rec *rx, const uint8_t *p, uint32_t len, uint8_t *dst,
                 struct hg_tls_plain *plain)
{
    struct hg_iov in = {.base = (uint8_t *)p, .len = len};
    struct hg_tls_cut cut;
    int rc = hg_tls_rec_cut(&in, 1, &cut);

    return rc == 1 ? hg_tls_rec_open(rx, &cut, dst, plain) : rc == 0 ? -ENODATA : rc;
}

/* ---- RFC 8448 3: the client's application data and its close_notify ---- */

static const uint8_t rfc_key[16] = {0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9,
                                    0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51};
static const uint8_t rfc_iv[12] = {0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08,
                                   0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9};
static const uint8_t rfc_data[72] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
    0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
    0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
    0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
    0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};
static const uint8_t rfc_close[24] = {0x17, 0x03, 0x03, 0x00, 0x13, 0xc9, 0x87, 0x27,
                                      0x60, 0x65, 0x56, 0x66, 0xb7, 0x4d, 0x7f, 0xf1,
                                      0x15, 0x3e, 0xfd, 0x6d, 0xb6, 0xd0, 0xb0, 0xe3};

static void test_rfc8448(void)
{
    struct hg_tls_keyset k = {{0}, {0}};
    struct hg_tls_rec rx, tx;
    struct hg_tls_plain plain;
    uint8_t text[50], out[128], alert[2] = {1, 0};

    memcpy(k.key, rfc_key, sizeof rfc_key);
    memcpy(k.iv, rfc_iv, sizeof rfc_iv);
    make_rec(&rx, 0x1301, false, &k);
    make_rec(&tx, 0x1301, true, &k);
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(open1(&rx, rfc_data, sizeof rfc_data, out, &plain), 0);
    CU_ASSERT(plain.type == HG_TLS_TYPE_DATA && plain.len == sizeof text);
    CU_ASSERT_EQUAL(memcmp(out, text, sizeof text), 0);
    CU_ASSERT_EQUAL(open1(&rx, rfc_close, sizeof rfc_close, out, &plain), 0);
    CU_ASSERT(plain.type == HG_TLS_TYPE_ALERT && plain.len == 2);
    CU_ASSERT_EQUAL(memcmp(out, alert, 2), 0);
    CU_ASSERT_EQUAL(seal(&tx, HG_TLS_TYPE_DATA, text, sizeof text, out), sizeof rfc_data);
    CU_ASSERT_EQUAL(memcmp(out, rfc_data, sizeof rfc_data), 0);
    CU_ASSERT_EQUAL(seal(&tx, HG_TLS_TYPE_ALERT, alert, 2, out), sizeof rfc_close);
    CU_ASSERT_EQUAL(memcmp(out, rfc_close, sizeof rfc_close), 0);
    wipe_ends(&tx, &rx);
}

/* ---- splits ---- */

/* Three records as one stream, cut into two pieces at every byte, with an empty piece between. */
static void splits_of(uint16_t id)
{
    static const uint8_t text[300] = "split me";
    static const uint32_t lens[3] = {300, 0, 77};
    uint8_t stream[600], out[400];
    struct hg_tls_rec tx, rx;
    uint32_t len = 0;

    make_ends(&tx, &rx, id);
    for (unsigned i = 0; i < 3; i++)
        len += seal(&tx, HG_TLS_TYPE_DATA, text, lens[i], stream + len);
    for (uint32_t at = 0; at <= len; at++) {
        struct hg_iov in[3] = {{stream, at}, {NULL, 0}, {stream + at, len - at}};
        uint32_t gone = 0;

        rx.seq = 0;
        for (unsigned i = 0; i < 3; i++) {
            struct hg_tls_cut cut;
            struct hg_tls_plain plain;

            CU_ASSERT_EQUAL_FATAL(hg_tls_rec_cut(in, 3, &cut), 1);
            CU_ASSERT_EQUAL_FATAL(hg_tls_rec_open(&rx, &cut, out, &plain), 0);
            CU_ASSERT_EQUAL(plain.len, lens[i]);
            CU_ASSERT_EQUAL(memcmp(out, text, lens[i]), 0);
            gone += HG_TLS_RECORD_HEADER + cut.len;
            in[0] = (struct hg_iov){stream + gone, gone < at ? at - gone : 0};
            in[2].base = stream + (gone < at ? at : gone);
            in[2].len = (uint32_t)(stream + len - in[2].base);
        }
        CU_ASSERT_EQUAL(gone, len);
    }
    wipe_ends(&tx, &rx);
}

static void test_splits(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++)
        splits_of(all_suites[i]);
}

/* One byte per piece, and the record is not there before its last byte is. */
static void test_cut_incomplete(void)
{
    uint8_t stream[25] = {23, 3, 3, 0, 20};
    struct hg_iov in[25];

    for (unsigned i = 0; i < 25; i++)
        in[i] = (struct hg_iov){stream + i, 1};
    for (unsigned n = 0; n <= 25; n++) {
        struct hg_tls_cut cut;

        CU_ASSERT_EQUAL(hg_tls_rec_cut(in, n, &cut), n == 25);
        CU_ASSERT_EQUAL(cut.have, n < 5 ? n : 5);
        if (n >= 5)
            CU_ASSERT_EQUAL(cut.len, 20);
        CU_ASSERT_EQUAL(memcmp(cut.hdr, stream, cut.have), 0);
    }
}

static void test_cut_oversize(void)
{
    uint8_t hdr[5] = {23, 3, 3, 0x41, 0x00}; /* 16640 */
    struct hg_iov in = {hdr, 5};
    struct hg_tls_cut cut;

    CU_ASSERT_EQUAL(hg_tls_rec_cut(&in, 1, &cut), 0);
    hdr[4] = 1;
    CU_ASSERT_EQUAL(hg_tls_rec_cut(&in, 1, &cut), -EMSGSIZE);
    hdr[3] = hdr[4] = 0xff;
    CU_ASSERT_EQUAL(hg_tls_rec_cut(&in, 1, &cut), -EMSGSIZE);
}

/* ---- damage ---- */

/* Every single flipped bit is found, leaves no plaintext and does not advance the sequence. */
static void flips_of(uint16_t id)
{
    static const uint8_t text[40] = "do not change me", zero[41];
    uint8_t rec[40 + HG_TLS_OVERHEAD], out[128];
    struct hg_tls_rec tx, rx;
    struct hg_tls_plain plain;
    uint32_t len;

    make_ends(&tx, &rx, id);
    len = seal(&tx, HG_TLS_TYPE_DATA, text, sizeof text, rec);
    for (uint32_t bit = 0; bit < 8 * len; bit++) {
        int rc;

        rec[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(out, 0xee, sizeof out);
        rc = open1(&rx, rec, len, out, &plain);
        CU_ASSERT(rc == -EBADMSG || ((bit / 8 == 3 || bit / 8 == 4) && rc < 0));
        if (rc == -EBADMSG && bit / 8 != 3 && bit / 8 != 4)
            CU_ASSERT_EQUAL(memcmp(out, zero, sizeof text), 0);
        CU_ASSERT_EQUAL(rx.seq, 0);
        rec[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), 0);
    CU_ASSERT_EQUAL(memcmp(out, text, sizeof text), 0);
    wipe_ends(&tx, &rx);
}

static void test_flips(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++)
        flips_of(all_suites[i]);
}

/* Bodies too short for a tag, of every length. */
static void test_short_bodies(void)
{
    uint8_t rec[64] = {23, 3, 3, 0, 0}, out[64];

    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++) {
        struct hg_tls_rec tx, rx;
        struct hg_tls_plain plain;

        make_ends(&tx, &rx, all_suites[i]);
        for (uint8_t body = 0; body < 30; body++) {
            rec[4] = body;
            CU_ASSERT_EQUAL(open1(&rx, rec, 5u + body, out, &plain), -EBADMSG);
        }
        CU_ASSERT_EQUAL(hg_tls_rec_room(&rx, rx.expansion), 0);
        CU_ASSERT_EQUAL(hg_tls_rec_room(&rx, rx.expansion + 1u), 1);
        wipe_ends(&tx, &rx);
    }
}

/* A replayed, a skipped or a swapped record fails. */
static void test_order(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++) {
        uint8_t rec[3][64], out[64];
        uint32_t len[3];
        struct hg_tls_rec tx, rx;
        struct hg_tls_plain plain;

        make_ends(&tx, &rx, all_suites[i]);
        for (unsigned r = 0; r < 3; r++)
            len[r] = seal(&tx, HG_TLS_TYPE_DATA, "abcdefgh", 8, rec[r]);
        CU_ASSERT_EQUAL(open1(&rx, rec[1], len[1], out, &plain), -EBADMSG);
        CU_ASSERT_EQUAL(open1(&rx, rec[0], len[0], out, &plain), 0);
        CU_ASSERT_EQUAL(open1(&rx, rec[0], len[0], out, &plain), -EBADMSG);
        CU_ASSERT_EQUAL(open1(&rx, rec[2], len[2], out, &plain), -EBADMSG);
        CU_ASSERT_EQUAL(open1(&rx, rec[1], len[1], out, &plain), 0);
        CU_ASSERT_EQUAL(open1(&rx, rec[2], len[2], out, &plain), 0);
        wipe_ends(&tx, &rx);
    }
}

/* ---- TLS 1.3 inner plaintext, made by hand ---- */

/* Seals `inner` as it is: text, content type and padding. */
static uint32_t seal_inner(struct hg_tls_rec *tx, const uint8_t *inner, uint32_t len, uint8_t *dst)
{
    uint32_t body = len + HG_TLS_TAG;
    struct hg_iov iov = {.base = (uint8_t *)inner, .len = len};
    uint8_t nonce[HG_TLS_NONCE];
    struct hg_tls_aead_op op = {.key = &tx->aead,
                                .nonce = nonce,
                                .aad = dst,
                                .aad_len = HG_TLS_RECORD_HEADER,
                                .in = {.v = &iov, .n = 1},
                                .len = len,
                                .dst = dst + HG_TLS_RECORD_HEADER};

    memcpy(dst, (uint8_t[]){23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, 5);
    memcpy(nonce, tx->iv, sizeof nonce);
    nonce[11] ^= (uint8_t)tx->seq++;
    FX_MUST(hg_tls_aead_seal(&op, 1) == 1);
    return HG_TLS_RECORD_HEADER + body;
}

static void test_padding(void)
{
    static uint8_t inner[HG_TLS_MAX_PLAINTEXT + 2], rec[HG_TLS_MAX_RECORD + 32],
        out[HG_TLS_MAX_RECORD];
    struct hg_tls_rec tx, rx;
    struct hg_tls_plain plain;
    uint32_t len;

    make_ends(&tx, &rx, 0x1302);
    memcpy(inner, "hello\x17", 6);
    for (uint32_t pad = 0; pad < 600; pad += 37) {
        len = seal_inner(&tx, inner, 6 + pad, rec);
        CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), 0);
        CU_ASSERT(plain.type == 23 && plain.len == 5 && memcmp(out, "hello", 5) == 0);
    }
    /* text that itself ends in zeros keeps them */
    memcpy(inner, "a\0\0\x15", 4);
    len = seal_inner(&tx, inner, 4, rec);
    CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), 0);
    CU_ASSERT(plain.type == 21 && plain.len == 3);
    /* the largest inner plaintext is 2^14 + 1 bytes, padding included */
    memset(inner, 0, sizeof inner);
    inner[0] = 23;
    len = seal_inner(&tx, inner, HG_TLS_MAX_PLAINTEXT + 1, rec);
    CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), 0);
    CU_ASSERT(plain.type == 23 && plain.len == 0);
    len = seal_inner(&tx, inner, HG_TLS_MAX_PLAINTEXT + 2, rec);
    CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), -EMSGSIZE);
    wipe_ends(&tx, &rx);
}

static void test_all_padding(void)
{
    static const uint32_t lens[] = {0, 1, 100, HG_TLS_MAX_PLAINTEXT + 1};
    static uint8_t inner[HG_TLS_MAX_PLAINTEXT + 1], rec[HG_TLS_MAX_RECORD], out[HG_TLS_MAX_RECORD];

    for (unsigned i = 0; i < HG_ARRAY_LEN(lens); i++) {
        struct hg_tls_rec tx, rx;
        struct hg_tls_plain plain;
        uint32_t len;

        make_ends(&tx, &rx, 0x1301);
        len = seal_inner(&tx, inner, lens[i], rec);
        CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), -EPROTO);
        wipe_ends(&tx, &rx);
    }
}

static void test_largest(void)
{
    static uint8_t text[HG_TLS_MAX_PLAINTEXT], rec[HG_TLS_MAX_RECORD], out[HG_TLS_MAX_RECORD];

    memset(text, 0x77, sizeof text);
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++) {
        struct hg_tls_rec tx, rx;
        struct hg_tls_plain plain;
        uint32_t len;

        make_ends(&tx, &rx, all_suites[i]);
        len = seal(&tx, HG_TLS_TYPE_DATA, text, sizeof text, rec);
        CU_ASSERT_EQUAL(open1(&rx, rec, len, out, &plain), 0);
        CU_ASSERT(plain.len == sizeof text && memcmp(out, text, sizeof text) == 0);
        wipe_ends(&tx, &rx);
    }
}

/* ---- sealing ---- */

/* In place and gathered give the same bytes as from elsewhere in one piece. */
static void test_gather(void)
{
    uint8_t text[100], ref[160], out[160];

    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 3);
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++) {
        struct hg_tls_rec tx, rx;
        struct hg_iov in[3];
        struct hg_tls_text t = {.type = 23, .in = in, .n = 1, .len = sizeof text};
        uint32_t len;

        make_ends(&tx, &rx, all_suites[i]);
        len = seal(&tx, 23, text, sizeof text, ref);
        for (uint32_t first = 0; first <= sizeof text; first++) {
            tx.seq = 0;
            memcpy(out + tx.head, text, first);
            in[0] = (struct hg_iov){out + tx.head, first};
            in[1] = (struct hg_iov){text + first, (uint32_t)sizeof text - first};
            t.n = first == sizeof text ? 1 : 2;
            CU_ASSERT_EQUAL(hg_tls_rec_seal(&tx, &t, out), (int)len);
            CU_ASSERT_EQUAL(memcmp(out, ref, len), 0);
        }
        wipe_ends(&tx, &rx);
    }
}

/* Nothing is sealed or opened beyond a limit, and GCM has the one of RFC 8446 5.5. */
static void test_limits(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(all_suites); i++) {
        struct hg_tls_rec tx, rx;
        struct hg_tls_text t = {.type = 23};
        struct hg_tls_plain plain;
        uint8_t rec[64], out[64];
        bool chacha = hg_tls_suite_find(all_suites[i])->alg == HG_TLS_CHACHA20_POLY1305;

        make_ends(&tx, &rx, all_suites[i]);
        CU_ASSERT_EQUAL(tx.limit, chacha ? UINT64_MAX : UINT64_C(1) << 24);
        tx.seq = rx.seq = tx.limit - 1;
        int n = hg_tls_rec_seal(&tx, &t, rec);
        CU_ASSERT(n > 0);
        CU_ASSERT_EQUAL(open1(&rx, rec, (uint32_t)n, out, &plain), 0);
        CU_ASSERT_EQUAL(hg_tls_rec_seal(&tx, &t, rec), -EOVERFLOW);
        rx.seq = UINT64_MAX;
        CU_ASSERT_EQUAL(open1(&rx, rec, (uint32_t)n, out, &plain), -EOVERFLOW);
        wipe_ends(&tx, &rx);
    }
}

/* Explicit nonces of one key never repeat, also where they wrap. */
static void test_explicit_nonce(void)
{
    struct hg_tls_rec tx, rx;
    uint8_t rec[64], seen[64][8];

    make_ends(&tx, &rx, 0xc02f);
    for (unsigned i = 0; i < 64; i++) {
        seal(&tx, 23, "x", 1, rec);
        memcpy(seen[i], rec + 5, 8);
        for (unsigned j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(memcmp(seen[i], seen[j], 8), 0);
    }
    wipe_ends(&tx, &rx);
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

static const CU_TestInfo tests[] = {
    {"RFC 8448 records", test_rfc8448},        {"every split", test_splits},
    {"incomplete", test_cut_incomplete},       {"header too long", test_cut_oversize},
    {"every flipped bit", test_flips},         {"short bodies", test_short_bodies},
    {"replay and reorder", test_order},        {"padding", test_padding},
    {"nothing but padding", test_all_padding}, {"largest record", test_largest},
    {"gather and in place", test_gather},      {"limits", test_limits},
    {"explicit nonce", test_explicit_nonce},   CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {
        {"ipsec-mb", use_mb, NULL, NULL, NULL, (CU_TestInfo *)tests},
        {"openssl", use_ossl, NULL, NULL, NULL, (CU_TestInfo *)tests},
        CU_SUITE_INFO_NULL,
    };
    struct hg_err err;
    int failures;

    FX_MUST(hg_tls_engine_init(&engine, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_engine_fini(&engine);
    return failures != 0;
}
