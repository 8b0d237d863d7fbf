/* SPDX-License-Identifier: BSD-3-Clause */
/* Project Wycheproof's AEAD vectors through both providers, each vector cut in two at every byte.
 * The vectors are not part of the project: without them the program exits with 77 (skipped). */
#include "fixture.h"
#include "tls_aead.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIP 77 /* meson's exit code for a skipped test */

static struct hg_tls_engine engine;
static enum hg_tls_provider provider; /* of the suite that runs */
static json_t *gcm_doc, *chacha_doc;

#define TEXT_MAX 1024u

/* One vector. */
struct vector {
    uint8_t key[32], iv[64], aad[TEXT_MAX], msg[TEXT_MAX], ct[TEXT_MAX + HG_TLS_TAG];
    size_t key_len, iv_len, aad_len, msg_len, ct_len, tag_len;
    bool valid;
};

static size_t unhex(json_t *test, const char *field, uint8_t *out, size_t cap)
{
    const char *s = json_string_value(json_object_get(test, field));
    size_t len;

    FX_MUST(s != NULL);
    len = strlen(s) / 2;
    FX_MUST(len <= cap);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        FX_MUST(sscanf(s + 2 * i, "%2x", &byte) == 1);
        out[i] = (uint8_t)byte;
    }
    return len;
}

static void load(json_t *test, struct vector *v)
{
    memset(v, 0, sizeof *v);
    v->key_len = unhex(test, "key", v->key, sizeof v->key);
    v->iv_len = unhex(test, "iv", v->iv, sizeof v->iv);
    v->aad_len = unhex(test, "aad", v->aad, sizeof v->aad);
    v->msg_len = unhex(test, "msg", v->msg, sizeof v->msg);
    v->ct_len = unhex(test, "ct", v->ct, TEXT_MAX);
    v->tag_len = unhex(test, "tag", v->ct + v->ct_len, HG_TLS_TAG);
    v->valid = strcmp(json_string_value(json_object_get(test, "result")), "invalid") != 0;
}

/* Opens ct || tag, cut in two at `split`; the cut may go through the tag. */
static int open_split(struct hg_tls_aead *a, const struct vector *v, uint32_t split, uint8_t *dst)
{
    uint32_t all = (uint32_t)(v->ct_len + v->tag_len);
    struct hg_iov in[3] = {
        {.base = (uint8_t *)v->ct, .len = split},
        {.base = NULL, .len = 0},
        {.base = (uint8_t *)v->ct + split, .len = all - split},
    };
    struct hg_tls_aead_op op = {
        .key = a,
        .nonce = v->iv,
        .aad = v->aad,
        .aad_len = (uint32_t)v->aad_len,
        .in = {.v = in, .n = 3},
        .len = (uint32_t)v->ct_len,
        .dst = dst,
    };

    hg_tls_aead_open(&op, 1);
    return op.rc;
}

static void seal_split(struct hg_tls_aead *a, const struct vector *v, uint32_t split, uint8_t *dst)
{
    struct hg_iov in[2] = {
        {.base = (uint8_t *)v->msg, .len = split},
        {.base = (uint8_t *)v->msg + split, .len = (uint32_t)v->msg_len - split},
    };
    struct hg_tls_aead_op op = {
        .key = a,
        .nonce = v->iv,
        .aad = v->aad,
        .aad_len = (uint32_t)v->aad_len,
        .in = {.v = in, .n = 2},
        .len = (uint32_t)v->msg_len,
        .dst = dst,
    };

    /* The last byte as a tail, as record protection does with the content type. */
    if (split != 0 && split == v->msg_len) {
        op.len--;
        op.tail = v->msg + op.len;
        op.tail_len = 1;
    }
    CU_ASSERT_EQUAL(hg_tls_aead_seal(&op, 1), 1);
}

static void run_vector(const struct vector *v, enum hg_tls_alg alg)
{
    struct hg_tls_aead o, s;
    uint8_t dst[TEXT_MAX + HG_TLS_TAG], zero[TEXT_MAX] = {0};

    hg_tls_aead_init(&o, provider, &engine, alg, false);
    hg_tls_aead_init(&s, provider, &engine, alg, true);
    FX_MUST(hg_tls_aead_set_key(&o, v->key) == 0 && hg_tls_aead_set_key(&s, v->key) == 0);
    for (uint32_t split = 0; split <= v->ct_len + HG_TLS_TAG; split++) {
        memset(dst, 0xa5, sizeof dst);
        if (v->valid) {
            CU_ASSERT_EQUAL(open_split(&o, v, split, dst), 0);
            CU_ASSERT_EQUAL(memcmp(dst, v->msg, v->msg_len), 0);
        } else {
            CU_ASSERT_EQUAL(open_split(&o, v, split, dst), -EBADMSG);
            CU_ASSERT_EQUAL(memcmp(dst, zero, v->ct_len), 0);
        }
        CU_ASSERT_EQUAL(dst[v->ct_len], 0xa5);
    }
    for (uint32_t split = 0; v->valid && split <= v->msg_len; split++) {
        seal_split(&s, v, split, dst);
        CU_ASSERT_EQUAL(memcmp(dst, v->ct, v->ct_len + HG_TLS_TAG), 0);
    }
    hg_tls_aead_wipe(&o);
    hg_tls_aead_wipe(&s);
}

static json_t *load_file(const char *name)
{
    const char *root = getenv("HG_SOURCE_ROOT"), *vectors = getenv("HG_VECTORS");
    char path[1024];
    json_t *doc;

    if (vectors != NULL)
        snprintf(path, sizeof path, "%s/%s", vectors, name);
    else
        snprintf(path, sizeof path, "%s/../shared/vectors/%s", root == NULL ? "." : root, name);
    doc = json_load_file(path, 0, NULL);
    if (doc == NULL)
        printf("skip: no Wycheproof vectors at %s (set HG_VECTORS to their folder)\n", path);
    return doc;
}

/* TLS uses 96-bit nonces and 128-bit tags only, so only those groups are about us. */
static bool our_group(json_t *group)
{
    return json_integer_value(json_object_get(group, "ivSize")) == 96 &&
           json_integer_value(json_object_get(group, "tagSize")) == 128;
}

/* Returns how many vectors ran. */
static unsigned run_group(json_t *group, enum hg_tls_alg alg)
{
    static struct vector v;
    json_t *test;
    size_t i;

    json_array_foreach(json_object_get(group, "tests"), i, test)
    {
        load(test, &v);
        run_vector(&v, alg);
    }
    return (unsigned)i;
}

static void test_wycheproof_gcm(void)
{
    json_t *group;
    unsigned n128 = 0, n256 = 0;
    size_t i;

    json_array_foreach(json_object_get(gcm_doc, "testGroups"), i, group)
    {
        json_int_t bits = json_integer_value(json_object_get(group, "keySize"));

        if (our_group(group) && bits == 128)
            n128 += run_group(group, HG_TLS_AES_128_GCM);
        else if (our_group(group) && bits == 256)
            n256 += run_group(group, HG_TLS_AES_256_GCM);
    }
    CU_ASSERT(n128 > 20 && n256 > 20);
}

static void test_wycheproof_chacha(void)
{
    json_t *group;
    unsigned ran = 0;
    size_t i;

    json_array_foreach(json_object_get(chacha_doc, "testGroups"), i, group)
    {
        if (our_group(group))
            ran += run_group(group, HG_TLS_CHACHA20_POLY1305);
    }
    CU_ASSERT(ran > 100);
}

static int use_mb(void)
{
    provider = HG_TLS_IPSEC_MB;
    return 0;
}

static int use_jobs(void)
{
    provider = HG_TLS_IPSEC_MB;
    memset(engine.jobs, true, sizeof engine.jobs);
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

    return s == NULL || CU_add_test(s, "AES-GCM", test_wycheproof_gcm) == NULL ||
           CU_add_test(s, "ChaCha20-Poly1305", test_wycheproof_chacha) == NULL;
}

int main(void)
{
    struct hg_err err;
    int failures;

    gcm_doc = load_file("aes_gcm_test.json");
    chacha_doc = load_file("chacha20_poly1305_test.json");
    if (gcm_doc == NULL || chacha_doc == NULL) {
        json_decref(gcm_doc);
        json_decref(chacha_doc);
        return SKIP;
    }
    FX_MUST(hg_tls_engine_init(&engine, &err) == 0);
    if (CU_initialize_registry() != CUE_SUCCESS || add_suite("ipsec-mb", use_mb) != 0 ||
        add_suite("ipsec-mb, jobs", use_jobs) != 0 || add_suite("openssl", use_ossl) != 0)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    hg_tls_engine_fini(&engine);
    json_decref(gcm_doc);
    json_decref(chacha_doc);
    return failures != 0;
}
