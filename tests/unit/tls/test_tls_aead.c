/* SPDX-License-Identifier: BSD-3-Clause */
/* Both AEAD providers, ipsec-mb also by jobs, through one body: in random pieces and in place against
 * the other provider, batches against single records, input that ends too early, erasing. Known
 * answers are in test_tls_wycheproof.c. */
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

static enum hg_tls_provider other(void)
{
    return provider == HG_TLS_OPENSSL ? HG_TLS_IPSEC_MB : HG_TLS_OPENSSL;
}

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
    struct hg_tls_aead_op op = {.nonce = nonce, .aad = aad, .aad_len = sizeof aad};

    for (uint32_t i = 0; i < len; i++)
        text[i] = (uint8_t)fx_rand(&rng);
    for (uint32_t i = 0; i < sizeof key; i++)
        key[i] = aad[i % 13] = nonce[i % 12] = (uint8_t)fx_rand(&rng);
    hg_tls_aead_init(&s, provider, &engine, alg, true);
    hg_tls_aead_init(&o, other(), &engine, alg, false);
    FX_MUST(hg_tls_aead_set_key(&s, key) == 0 && hg_tls_aead_set_key(&o, key) == 0);
    memcpy(sealed, text, len);
    op.key = &s;
    op.len = len;
    op.in = (struct hg_tls_cur){.v = in, .n = 1};
    in[0] = (struct hg_iov){.base = in_place ? sealed : text, .len = len};
    op.dst = sealed;
    CU_ASSERT_EQUAL(hg_tls_aead_seal(&op, 1), 1);
    op.key = &o;
    op.len = len;
    op.in = (struct hg_tls_cur){.v = in};
    while (at < len + HG_TLS_TAG) {
        uint32_t left = len + HG_TLS_TAG - at, n = 1 + fx_rand(&rng) % 1500;

        n = n < left && op.in.n < 39 ? n : left;
        in[op.in.n++] = (struct hg_iov){.base = sealed + at, .len = n};
        at += n;
    }
    op.dst = back;
    CU_ASSERT_EQUAL(hg_tls_aead_open(&op, 1), 1);
    CU_ASSERT_EQUAL(memcmp(back, text, len), 0);
    hg_tls_aead_wipe(&s);
    hg_tls_aead_wipe(&o);
}

static void test_against_other(void)
{
    for (unsigned i = 0; i < 600; i++)
        random_round((enum hg_tls_alg)(i % HG_TLS_ALGS));
}

/* ---- batches ---- */

#define LONGEST 5000u

/* A record of a batch: random in everything. */
struct one {
    struct hg_tls_aead seal, open;
    uint8_t nonce[HG_TLS_NONCE], aad[13];
    uint8_t text[LONGEST], sealed[LONGEST + HG_TLS_TAG], back[LONGEST + HG_TLS_TAG];
    struct hg_iov in[40];
    uint32_t len;
};

static void make_one(struct one *o, enum hg_tls_provider sealer, enum hg_tls_provider opener)
{
    static const uint32_t edge[] = {0, 1, 15, 16, 17, 64, 511, 512, 513, LONGEST};
    enum hg_tls_alg alg = (enum hg_tls_alg)(fx_rand(&rng) % HG_TLS_ALGS);
    uint8_t key[32];

    o->len = fx_rand(&rng) % 2 ? fx_rand(&rng) % (LONGEST + 1)
                               : edge[fx_rand(&rng) % HG_ARRAY_LEN(edge)];
    for (uint32_t i = 0; i < LONGEST; i++)
        o->text[i] = (uint8_t)fx_rand(&rng);
    for (uint32_t i = 0; i < sizeof key; i++)
        key[i] = o->aad[i % 13] = o->nonce[i % 12] = (uint8_t)fx_rand(&rng);
    hg_tls_aead_init(&o->seal, sealer, &engine, alg, true);
    hg_tls_aead_init(&o->open, opener, &engine, alg, false);
    FX_MUST(hg_tls_aead_set_key(&o->seal, key) == 0 && hg_tls_aead_set_key(&o->open, key) == 0);
}

static void wipe_one(struct one *o)
{
    hg_tls_aead_wipe(&o->seal);
    hg_tls_aead_wipe(&o->open);
}

/* The bytes in random pieces, or in one. */
static struct hg_tls_cur pieces_of(struct one *o, uint8_t *p, uint32_t len)
{
    bool cut = fx_rand(&rng) % 4 != 0;
    unsigned n = 0;

    for (uint32_t at = 0; at < len;) {
        uint32_t left = len - at, run = cut ? 1 + fx_rand(&rng) % 400 : left;

        run = run < left && n < HG_ARRAY_LEN(o->in) - 1 ? run : left;
        o->in[n++] = (struct hg_iov){.base = p + at, .len = run};
        at += run;
    }
    return (struct hg_tls_cur){.v = o->in, .n = n};
}

/* In pieces with the last byte apart, or in place. */
static struct hg_tls_aead_op to_seal(struct one *o)
{
    struct hg_tls_aead_op op = {
        .key = &o->seal, .nonce = o->nonce, .aad = o->aad, .aad_len = 13, .dst = o->sealed};

    op.len = o->len;
    if (fx_rand(&rng) % 3 == 0) {
        memcpy(o->sealed, o->text, o->len);
        o->in[0] = (struct hg_iov){.base = o->sealed, .len = o->len};
        op.in = (struct hg_tls_cur){.v = o->in, .n = 1};
        return op;
    }
    if (o->len != 0) {
        op.tail = o->text + --op.len;
        op.tail_len = 1;
    }
    op.in = pieces_of(o, o->text, op.len);
    return op;
}

static struct hg_tls_aead_op to_open(struct one *o)
{
    struct hg_tls_aead_op op = {.key = &o->open,
                                .nonce = o->nonce,
                                .aad = o->aad,
                                .aad_len = 13,
                                .len = o->len,
                                .dst = o->back};

    op.in = pieces_of(o, o->sealed, o->len + HG_TLS_TAG);
    return op;
}

/* One bit of one record, in the text, the tag or what is only authenticated. */
static void damage(struct one *o)
{
    uint32_t at = fx_rand(&rng) % (o->len + HG_TLS_TAG + 13);

    if (at < o->len + HG_TLS_TAG)
        o->sealed[at] ^= (uint8_t)(1u << fx_rand(&rng) % 8);
    else
        o->aad[at - o->len - HG_TLS_TAG] ^= 1;
}

/* A batch that the other provider sealed, one record at a time: all open but the damaged one. */
static void open_batch(struct one *o, unsigned n)
{
    static const uint8_t zero[LONGEST];
    struct hg_tls_aead_op op[HG_TLS_AEAD_BATCH];
    unsigned bad = fx_rand(&rng) % (n + 1); /* n: none */

    for (unsigned i = 0; i < n; i++) {
        make_one(&o[i], other(), provider);
        op[i] = to_seal(&o[i]);
        CU_ASSERT_EQUAL(hg_tls_aead_seal(&op[i], 1), 1);
        if (i == bad)
            damage(&o[i]);
        o[i].back[o[i].len] = 0xa5;
        op[i] = to_open(&o[i]);
    }
    CU_ASSERT_EQUAL(hg_tls_aead_open(op, n), n - (bad < n));
    for (unsigned i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(op[i].rc, i == bad ? -EBADMSG : 0);
        CU_ASSERT_EQUAL(memcmp(o[i].back, i == bad ? zero : o[i].text, o[i].len), 0);
        CU_ASSERT_EQUAL(o[i].back[o[i].len], 0xa5);
        wipe_one(&o[i]);
    }
}

/* A batch sealed by this provider, which the other one opens one record at a time. */
static void seal_batch(struct one *o, unsigned n)
{
    struct hg_tls_aead_op op[HG_TLS_AEAD_BATCH];

    for (unsigned i = 0; i < n; i++) {
        make_one(&o[i], provider, other());
        op[i] = to_seal(&o[i]);
    }
    CU_ASSERT_EQUAL(hg_tls_aead_seal(op, n), n);
    for (unsigned i = 0; i < n; i++) {
        CU_ASSERT_EQUAL(op[i].rc, 0);
        op[i] = to_open(&o[i]);
        CU_ASSERT_EQUAL(hg_tls_aead_open(&op[i], 1), 1);
        CU_ASSERT_EQUAL(memcmp(o[i].back, o[i].text, o[i].len), 0);
        wipe_one(&o[i]);
    }
}

static void test_batch(void)
{
    static struct one o[HG_TLS_AEAD_BATCH];

    for (unsigned i = 0; i < 60; i++) {
        open_batch(o, 1 + fx_rand(&rng) % HG_TLS_AEAD_BATCH);
        seal_batch(o, 1 + fx_rand(&rng) % HG_TLS_AEAD_BATCH);
    }
}

/* ---- other ---- */

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
                .key = &a, .nonce = nonce, .in = {.v = &in, .n = 1}, .len = 32, .dst = dst};

            CU_ASSERT_EQUAL(hg_tls_aead_open(&op, 1), 0);
            CU_ASSERT_EQUAL(op.rc, -EBADMSG);
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

static void set_jobs(bool on)
{
    for (unsigned i = 0; i < HG_TLS_ALGS; i++)
        engine.jobs[i] = on;
}

static int use_mb(void)
{
    provider = HG_TLS_IPSEC_MB;
    set_jobs(false);
    return 0;
}

static int use_jobs(void)
{
    provider = HG_TLS_IPSEC_MB;
    set_jobs(true);
    return 0;
}

static int use_ossl(void)
{
    provider = HG_TLS_OPENSSL;
    set_jobs(false);
    return 0;
}

static int add_suite(const char *name, CU_InitializeFunc init)
{
    CU_pSuite s = CU_add_suite(name, init, NULL);

    return s == NULL ||
           CU_add_test(s, "opened by the other provider", test_against_other) == NULL ||
           CU_add_test(s,
                       "a batch is what its records are one by one, and a bad tag harms its own "
                       "record only",
                       test_batch) == NULL ||
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
        add_suite("ipsec-mb, jobs", use_jobs) != 0 || add_suite("openssl", use_ossl) != 0)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_engine_fini(&engine);
    return failures != 0;
}
