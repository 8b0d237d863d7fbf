/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshake messages after the handshake: what is passed over, reported and refused, at every split
 * into records. */
#include "fixture.h"
#include "tls_alert.h"
#include "tls_post.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <string.h>

static int feed(bool client, const void *p, uint32_t len)
{
    struct hg_tls_post post = {{0}};

    return hg_tls_post_input(&post, client, p, len);
}

static void test_key_update(void)
{
    CU_ASSERT_EQUAL(feed(false, "\x18\0\0\1\0", 5), HG_TLS_POST_KEY_UPDATE);
    CU_ASSERT_EQUAL(feed(true, "\x18\0\0\1\1", 5), HG_TLS_POST_KEY_UPDATE_REQUESTED);
    CU_ASSERT_EQUAL(feed(true, "\x18\0\0\1\2", 5), -HG_TLS_AL_ILLEGAL_PARAMETER);
    CU_ASSERT_EQUAL(feed(true, "\x18\0\0\0", 4), -HG_TLS_AL_DECODE_ERROR);
    CU_ASSERT_EQUAL(feed(true, "\x18\0\0\2\0\0", 6), -HG_TLS_AL_DECODE_ERROR);
    /* RFC 8446 5.1: nothing may follow it in its record */
    CU_ASSERT_EQUAL(feed(true, "\x18\0\0\1\0\x18", 6), -HG_TLS_AL_UNEXPECTED_MESSAGE);
}

static void test_refused(void)
{
    uint8_t msg[8] = {0, 0, 0, 4};

    for (unsigned type = 0; type < 256; type++) {
        if (type == 4 || type == 24)
            continue;
        msg[0] = (uint8_t)type;
        CU_ASSERT_EQUAL(feed(true, msg, 8), -HG_TLS_AL_UNEXPECTED_MESSAGE);
        CU_ASSERT_EQUAL(feed(false, msg, 8), -HG_TLS_AL_UNEXPECTED_MESSAGE);
    }
    CU_ASSERT_EQUAL(feed(false, "\4\0\0\4abcd", 8), -HG_TLS_AL_UNEXPECTED_MESSAGE);
    CU_ASSERT_EQUAL(feed(true, "\4\0\0\4abcd", 8), HG_TLS_POST_NONE);
    CU_ASSERT_EQUAL(feed(true, "\4\xff\xff\xff", 4), -HG_TLS_AL_ILLEGAL_PARAMETER);
    CU_ASSERT_EQUAL(feed(true, "", 0), -HG_TLS_AL_UNEXPECTED_MESSAGE);
}

/* Two tickets and a key update as one stream, in records of every size. */
static void test_every_split(void)
{
    static const uint8_t stream[] = "\4\0\0\5abcde\4\0\0\0\4\0\0\1x\x18\0\0\1\1";
    const uint32_t len = sizeof stream - 1;

    for (uint32_t rec = 1; rec <= len; rec++) {
        struct hg_tls_post post = {{0}};
        unsigned updates = 0;

        for (uint32_t at = 0; at < len; at += rec) {
            int rc = hg_tls_post_input(&post, true, stream + at, len - at < rec ? len - at : rec);

            CU_ASSERT(rc >= 0);
            updates += rc == HG_TLS_POST_KEY_UPDATE_REQUESTED;
            if (at + rec == 6)
                CU_ASSERT(hg_tls_post_partial(&post));
        }
        CU_ASSERT_EQUAL(updates, 1);
        CU_ASSERT_FALSE(hg_tls_post_partial(&post));
    }
}

/* TLS 1.2: what asks for renegotiation, from either side, at every split; nothing else. */
static void test_tls12(void)
{
    static const uint8_t hellos[] = "\1\0\0\5abcde\1\0\0\0\1\0\0\1x";
    uint8_t msg[4] = {0};

    for (uint32_t rec = 1; rec < sizeof hellos; rec++) {
        struct hg_tls_post post = {{0}};
        unsigned asked = 0;

        for (uint32_t at = 0; at < sizeof hellos - 1; at += rec) {
            uint32_t left = (uint32_t)sizeof hellos - 1 - at;
            int rc = hg_tls_post_input_12(&post, false, hellos + at, left < rec ? left : rec);

            CU_ASSERT(rc == HG_TLS_POST_NONE || rc == HG_TLS_POST_RENEGOTIATION);
            asked += rc == HG_TLS_POST_RENEGOTIATION;
        }
        CU_ASSERT(asked >= 1 && asked <= 3);
        CU_ASSERT_FALSE(hg_tls_post_partial(&post));
    }
    for (unsigned type = 0; type < 256; type++) {
        struct hg_tls_post c = {{0}}, s = {{0}};

        msg[0] = (uint8_t)type;
        CU_ASSERT_EQUAL(hg_tls_post_input_12(&c, true, msg, 4),
                        type == 0 ? (int)HG_TLS_POST_RENEGOTIATION : -HG_TLS_AL_UNEXPECTED_MESSAGE);
        CU_ASSERT_EQUAL(hg_tls_post_input_12(&s, false, msg, 4),
                        type == 1 ? (int)HG_TLS_POST_RENEGOTIATION : -HG_TLS_AL_UNEXPECTED_MESSAGE);
    }
    CU_ASSERT_EQUAL(
        hg_tls_post_input_12(&(struct hg_tls_post){{0}}, true, (const uint8_t *)"\0\0\0\1", 4),
        -HG_TLS_AL_DECODE_ERROR);
}

int main(void)
{
    CU_pSuite s;
    int failures;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    s = CU_add_suite("tls_post", NULL, NULL);
    if (s == NULL || CU_add_test(s, "key update", test_key_update) == NULL ||
        CU_add_test(s, "refused messages", test_refused) == NULL ||
        CU_add_test(s, "every split", test_every_split) == NULL ||
        CU_add_test(s, "TLS 1.2", test_tls12) == NULL)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = (int)CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
