/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of records as a connection takes it, every suite and both providers: cut at every byte,
 * with one bit wrong anywhere, padded, empty, and as long as may be and longer. The ends are made by
 * hand from known keys. */
#include "both.h"
#include "fixture.h"
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_shard.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */
static struct hg_tls_ctx ctx;         /* only role and provider are read */

static const uint16_t all_suites[] = {0x1301, 0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8};

static bool is_13(uint16_t suite)
{
    return suite < 0x1400;
}

/* An open connection; two of them understand each other. */
static struct hg_tls *make_end(uint16_t suite)
{
    struct hg_tls *tls = aligned_alloc(alignof(struct hg_tls), sizeof *tls);
    struct hg_tls_rec_cfg cfg = {
        .provider = provider, .engine = &shard->engine, .suite = hg_tls_suite_find(suite)};
    struct hg_tls_keyset k;

    FX_MUST(tls != NULL);
    memset(tls, 0, sizeof *tls);
    ctx.role = HG_TLS_SERVER;
    ctx.provider = provider;
    tls->ctx = &ctx;
    tls->shard = shard;
    tls->state = HG_TLS_OPEN;
    tls->keyed = true;
    tls->rekey_after = UINT64_MAX;
    tls->max_fragment = HG_TLS_MAX_PLAINTEXT;
    memset(&k, 7, sizeof k);
    if (is_13(suite))
        FX_MUST(hg_tls_traffic_keys(cfg.suite, tls->tx_secret, &k) == 0);
    FX_MUST(hg_tls_rec_init(&tls->rx, &cfg, &k) == 0);
    cfg.seal = true;
    FX_MUST(hg_tls_rec_init(&tls->tx, &cfg, &k) == 0);
    return tls;
}

static void free_end(struct hg_tls *tls)
{
    hg_tls_wipe(tls);
    free(tls);
}

/* The receiver as it was before the stream: keys of the first generation, nothing received. */
static void rewind_end(struct hg_tls *tls, uint16_t suite)
{
    struct hg_tls *fresh = make_end(suite);

    hg_tls_wipe(tls);
    *tls = *fresh;
    free(fresh);
}

static uint8_t text[700];

/* Data, nothing, a key update, data, an alert that says nothing, data, and the end. */
static void make_stream(uint16_t suite, struct fx_buf *wire)
{
    struct hg_tls *tx = make_end(suite);

    FX_MUST(fx_seal(tx, text, 200, 200, wire) == 0 && fx_seal(tx, "", 0, 1, wire) == 0);
    if (is_13(suite)) {
        tx->rekey_after = 0;
        FX_MUST(hg_tls_update_in_time(tx) == 0);
        tx->rekey_after = UINT64_MAX;
        fx_take(tx, wire, 0);
    }
    FX_MUST(fx_seal(tx, text + 200, 300, 100, wire) == 0);
    hg_tls_put_alert(tx, HG_TLS_ALERT_WARNING, HG_TLS_AL_USER_CANCELED);
    fx_take(tx, wire, 0);
    FX_MUST(fx_seal(tx, text + 500, 200, 200, wire) == 0);
    hg_tls_close(tx);
    fx_take(tx, wire, 0);
    free_end(tx);
}

/* Gives the first `at` bytes, then all. */
static void take_split(struct hg_tls *rx, const struct fx_buf *wire, size_t at)
{
    struct fx_buf in = {0}, got = {0};

    fx_put(&in, wire->p, at);
    CU_ASSERT_EQUAL_FATAL(fx_open(rx, &in, 0, &got), 0);
    fx_put(&in, wire->p + at, wire->len - at);
    CU_ASSERT_EQUAL_FATAL(fx_open(rx, &in, 0, &got), 0);
    CU_ASSERT_EQUAL(in.len, 0);
    CU_ASSERT_EQUAL(hg_tls_state(rx), HG_TLS_PEER_CLOSED);
    CU_ASSERT(got.len == sizeof text && memcmp(got.p, text, sizeof text) == 0);
    fx_free(&in);
    fx_free(&got);
}

static void test_splits(void)
{
    for (size_t s = 0; s < HG_ARRAY_LEN(all_suites); s++) {
        struct fx_buf wire = {0};
        struct hg_tls *rx = make_end(all_suites[s]);

        make_stream(all_suites[s], &wire);
        for (size_t at = 0; at <= wire.len; at++) {
            rewind_end(rx, all_suites[s]);
            take_split(rx, &wire, at);
        }
        free_end(rx);
        fx_free(&wire);
    }
}

/* One bit anywhere: what was complete before arrives, nothing of that record or after it, and the
 * alert is one of those for it. */
static void flip(struct hg_tls *rx, const struct fx_buf *wire, size_t bit)
{
    struct fx_buf in = {0}, got = {0};
    int rc;

    fx_put(&in, wire->p, wire->len);
    in.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    rc = fx_open(rx, &in, 0, &got);
    /* a longer length may leave the connection waiting for the rest of that record */
    CU_ASSERT(rc == -EPROTO || (rc == 0 && hg_tls_state(rx) == HG_TLS_OPEN && in.len != 0));
    CU_ASSERT(got.len < sizeof text || rc == -EPROTO || in.len != 0);
    CU_ASSERT_EQUAL(memcmp(got.p == NULL ? text : got.p, text, got.len), 0);
    if (rc == -EPROTO) {
        uint64_t *c = (uint64_t *)&shard->counters;

        CU_ASSERT_EQUAL(shard->counters.bad_tag + shard->counters.bad_record, 1);
        memset(c, 0, sizeof shard->counters);
        CU_ASSERT_EQUAL(fx_open(rx, &in, 0, &got), -EPROTO); /* and that is final */
    }
    memset(&shard->counters, 0, sizeof shard->counters);
    fx_free(&in);
    fx_free(&got);
}

static void test_flips(void)
{
    for (size_t s = 0; s < HG_ARRAY_LEN(all_suites); s++) {
        struct fx_buf wire = {0};
        struct hg_tls *rx = make_end(all_suites[s]);

        make_stream(all_suites[s], &wire);
        memset(&shard->counters, 0, sizeof shard->counters);
        for (size_t bit = s; bit < 8 * wire.len; bit += 5) { /* each byte, and each of its bits */
            rewind_end(rx, all_suites[s]);
            flip(rx, &wire, bit);
        }
        free_end(rx);
        fx_free(&wire);
    }
}

/* ---- lengths and padding ---- */

/* Seals `inner` of TLS 1.3 as it is: text, content type and padding. */
static void put_inner(struct hg_tls *tx, const uint8_t *inner, uint32_t len, struct fx_buf *wire)
{
    static uint8_t rec[HG_TLS_MAX_RECORD + 64];
    uint32_t body = len + HG_TLS_TAG;
    struct hg_iov iov = {.base = (uint8_t *)inner, .len = len};
    uint8_t nonce[HG_TLS_NONCE];
    struct hg_tls_aead_op op = {.key = &tx->tx.aead,
                                .nonce = nonce,
                                .aad = rec,
                                .aad_len = HG_TLS_RECORD_HEADER,
                                .in = {.v = &iov, .n = 1},
                                .len = len,
                                .dst = rec + HG_TLS_RECORD_HEADER};

    memcpy(rec, (uint8_t[]){23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, 5);
    memcpy(nonce, tx->tx.iv, sizeof nonce);
    nonce[11] ^= (uint8_t)tx->tx.seq++;
    FX_MUST(hg_tls_aead_seal(&op, 1) == 1);
    fx_put(wire, rec, HG_TLS_RECORD_HEADER + body);
}

/* Takes what is on the wire; returns the alert that answers, -1 for none. */
static int answer(uint16_t suite, struct fx_buf *wire, size_t want)
{
    struct hg_tls *rx = make_end(suite), *tx = make_end(suite);
    struct fx_buf back = {0}, got = {0};
    int alert = -1;

    if (fx_open(rx, wire, 1448, &got) == -EPROTO) {
        fx_take(rx, &back, 0);
        CU_ASSERT_EQUAL(fx_open(tx, &back, 0, NULL), -EPROTO);
        for (alert = 0; alert < 255; alert++) {
            char number[8];

            snprintf(number, sizeof number, "(%d)", alert);
            if (strstr(hg_tls_error(tx), number) != NULL)
                break;
        }
    }
    CU_ASSERT_EQUAL(got.len, want);
    wire->len = 0;
    free_end(rx);
    free_end(tx);
    fx_free(&back);
    fx_free(&got);
    return alert;
}

static uint8_t inner[HG_TLS_MAX_PLAINTEXT + 2];

/* `len` bytes of text, its type, then padding up to `total`. */
static int padded(uint16_t suite, uint32_t len, uint32_t total, uint8_t type)
{
    struct hg_tls *tx = make_end(suite);
    struct fx_buf wire = {0};
    int alert;

    memset(inner, 0, sizeof inner);
    memset(inner, 'x', len);
    inner[len] = type;
    put_inner(tx, inner, total, &wire);
    alert = answer(suite, &wire, total <= HG_TLS_MAX_PLAINTEXT + 1 && type == 23 ? len : 0);
    free_end(tx);
    fx_free(&wire);
    return alert;
}

static void test_padding(void)
{
    static const uint32_t most = HG_TLS_MAX_PLAINTEXT;

    for (size_t s = 0; s < 3; s++) {
        CU_ASSERT_EQUAL(padded(all_suites[s], 10, 11, 23), -1);
        CU_ASSERT_EQUAL(padded(all_suites[s], 10, most + 1, 23), -1);
        CU_ASSERT_EQUAL(padded(all_suites[s], most, most + 1, 23), -1);
        CU_ASSERT_EQUAL(padded(all_suites[s], 10, most + 2, 23), HG_TLS_AL_RECORD_OVERFLOW);
        CU_ASSERT_EQUAL(padded(all_suites[s], most, most + 2, 23), HG_TLS_AL_RECORD_OVERFLOW);
        CU_ASSERT_EQUAL(padded(all_suites[s], 0, 1, 0), HG_TLS_AL_UNEXPECTED_MESSAGE);
        CU_ASSERT_EQUAL(padded(all_suites[s], 0, 500, 0), HG_TLS_AL_UNEXPECTED_MESSAGE);
        CU_ASSERT_EQUAL(padded(all_suites[s], 0, most + 1, 0), HG_TLS_AL_UNEXPECTED_MESSAGE);
    }
}

/* Records that carry nothing but padding beside their type cost us work for nothing: some may come,
 * not any number; a record with data begins the count anew. */
static void test_padding_flood(void)
{
    struct hg_tls *tx = make_end(0x1301);
    struct fx_buf wire = {0};

    memset(inner, 0, sizeof inner);
    inner[0] = 23;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < HG_TLS_IDLE_RECORDS; i++)
            put_inner(tx, inner, 1000, &wire);
        put_inner(tx, (const uint8_t *)"x\x17", 2, &wire);
    }
    CU_ASSERT_EQUAL(answer(0x1301, &wire, 3), -1);
    tx->tx.seq = 0;
    for (unsigned i = 0; i < HG_TLS_IDLE_RECORDS + 1; i++)
        put_inner(tx, inner, 1000, &wire);
    CU_ASSERT_EQUAL(answer(0x1301, &wire, 0), HG_TLS_AL_UNEXPECTED_MESSAGE);
    free_end(tx);
    fx_free(&wire);
}

/* RFC 5246 6.2.1 and 6.2.3: 2^14 bytes of text. Its 2^14 + 2048 are for suites that add more than
 * ours: what exceeds the text by more than nonce and tag cannot be good. */
static void test_lengths_12(void)
{
    for (size_t s = 3; s < HG_ARRAY_LEN(all_suites); s++) {
        static const uint8_t most[HG_TLS_MAX_PLAINTEXT];
        struct hg_tls *tx = make_end(all_suites[s]);
        struct fx_buf wire = {0};
        uint32_t over = tx->tx.expansion + HG_TLS_MAX_PLAINTEXT + 1u;
        static const uint32_t bodies[] = {
            0, 16384 + 256, 16384 + 257, 16384 + 2048, 16384 + 2049, 65535};

        FX_MUST(fx_seal(tx, most, sizeof most, sizeof most, &wire) == 0);
        CU_ASSERT_EQUAL(answer(all_suites[s], &wire, sizeof most), -1);
        for (size_t i = 0; i < HG_ARRAY_LEN(bodies); i++) {
            uint32_t body = bodies[i] == 0 ? over : bodies[i];

            fx_put(&wire, (uint8_t[]){23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, 5);
            CU_ASSERT_EQUAL(answer(all_suites[s], &wire, 0), HG_TLS_AL_RECORD_OVERFLOW);
        }
        free_end(tx);
        fx_free(&wire);
    }
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"a stream cut at every byte", test_splits},
        {"a stream with a flipped bit", test_flips},
        {"padding, and plaintext with padding over 2^14 + 1", test_padding},
        {"nothing but padding, again and again", test_padding_flood},
        {"lengths of TLS 1.2", test_lengths_12},
        CU_TEST_INFO_NULL,
    };
    struct hg_err err;
    int status;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7 + i / 251);
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    hg_tls_shard_destroy(shard);
    return status;
}
