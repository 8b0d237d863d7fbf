/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection after its handshake, both providers and versions: key updates in flight, alerts and
 * close with data pending, bounds, misuse, and that nothing allocates. */
#include "alloc_count.h"
#include "both.h"
#include "fixture.h"
#include "tls_conn.h"
#include "tls_shard.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <headgate/endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */

static struct hg_tls *make_tls(enum hg_tls_role role, enum hg_tls_version version)
{
    const char *name = role == HG_TLS_SERVER ? "server" : "client";
    struct hg_tls_cfg cfg = {
        .role = role,
        .provider = provider,
        .min_version = version,
        .max_version = version,
        .cert_file = fx_path(name, ".crt"),
        .key_file = fx_path(name, ".key"),
        .ca_file = fx_path("ca", ".crt"),
    };
    struct hg_tls_ctx *ctx;
    struct hg_tls *tls;

    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0 && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    return tls;
}

static struct fx_pair make_pair(enum hg_tls_version version)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, version),
                        .server = make_tls(HG_TLS_SERVER, version)};

    fx_run(&p, 0);
    FX_MUST(p.client->state == HG_TLS_OPEN && p.server->state == HG_TLS_OPEN);
    memset(&shard->counters, 0, sizeof shard->counters);
    return p;
}

/* One record with any content from the client, as a hostile peer could send it. */
static void forge(struct fx_pair *p, uint8_t type, const void *bytes, uint32_t len)
{
    uint8_t rec[HG_TLS_MAX_RECORD];
    struct hg_iov iov = {.base = (uint8_t *)bytes, .len = len};
    struct hg_tls_text text = {.type = type, .in = &iov, .n = 1, .len = len};
    int n = hg_tls_rec_seal(&p->client->tx, &text, rec);

    FX_MUST(n > 0);
    fx_put(&p->c2s, rec, (size_t)n);
}

/* The server must fail with this alert; the client learns it. */
static void expect_refused(struct fx_pair *p, unsigned alert, const char *words)
{
    CU_ASSERT_EQUAL(fx_open(p->server, &p->c2s, 0, &p->server_got), -EPROTO);
    CU_ASSERT_EQUAL(hg_tls_state(p->server), HG_TLS_FAILED);
    if (strstr(hg_tls_error(p->server), words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, hg_tls_error(p->server));
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p->server), words));
    CU_ASSERT_EQUAL(shard->counters.alerts_out, 1);
    fx_run(p, 0);
    CU_ASSERT_EQUAL(hg_tls_state(p->client), HG_TLS_FAILED);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p->client), hg_tls_alert_name(alert)));
    CU_ASSERT_EQUAL(shard->counters.alerts_in, 1);
    CU_ASSERT_EQUAL(hg_tls_pending(p->client), 0); /* no alert answers an alert */
}

/* Counts upwards, so that a lost or doubled byte shows. */
static void put_numbers(struct hg_tls *t, struct fx_buf *wire, uint32_t *next, unsigned records)
{
    for (unsigned r = 0; r < records; r++) {
        uint32_t words[50];

        for (unsigned i = 0; i < 50; i++)
            words[i] = (*next)++;
        fx_take(t, wire, 0);
        CU_ASSERT_EQUAL(fx_seal(t, words, sizeof words, sizeof words, wire), 0);
    }
}

static void check_numbers(const struct fx_buf *got, uint32_t want)
{
    CU_ASSERT_EQUAL_FATAL(got->len, 4u * want);
    for (uint32_t i = 0, v; i < want; i++) {
        memcpy(&v, got->p + 4u * i, 4);
        if (v != i)
            CU_FAIL_FATAL("a byte was lost or doubled");
    }
}

/* ---- key update ---- */

/* Both ends renew all the time, with data crossing in both directions. */
static void test_key_updates(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);
    uint32_t c = 0, s = 0;

    p.client->rekey_after = 20;
    p.server->rekey_after = 28;
    for (unsigned i = 0; i < 100; i++) {
        put_numbers(p.client, &p.c2s, &c, 1 + i % 4);
        put_numbers(p.server, &p.s2c, &s, 1 + i % 3);
        CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 99, &p.server_got), 0);
        put_numbers(p.server, &p.s2c, &s, 1); /* crosses what the client is sending */
        CU_ASSERT_EQUAL(fx_open(p.client, &p.s2c, 0, &p.client_got), 0);
    }
    fx_run(&p, 0);
    check_numbers(&p.server_got, c);
    check_numbers(&p.client_got, s);
    CU_ASSERT(shard->counters.key_updates > 40);
    CU_ASSERT(p.client->tx.seq < 60 && p.server->tx.seq < 60);
    fx_pair_free(&p);
}

/* Every change of keys is by the key schedule: OpenSSL follows ours and we follow its. */
static void test_key_update_with_openssl(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct fx_buf ssl_got = {0}, wire = {0};
    struct fx_mixed m;
    uint32_t sent = 0, got = 0;

    FX_MUST(ctx != NULL &&
            SSL_CTX_use_certificate_chain_file(ctx, fx_path("client", ".crt")) == 1 &&
            SSL_CTX_use_PrivateKey_file(ctx, fx_path("client", ".key"), SSL_FILETYPE_PEM) == 1);
    fx_mixed_init(&m, ctx, make_tls(HG_TLS_SERVER, HG_TLS_1_3), true);
    fx_mixed_run(&m, 0, NULL);
    FX_MUST(hg_tls_state(m.tls) == HG_TLS_OPEN);
    m.tls->rekey_after = 6;
    for (unsigned i = 0; i < 30; i++) {
        CU_ASSERT_EQUAL(SSL_key_update(m.ssl, i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
                                                         : SSL_KEY_UPDATE_NOT_REQUESTED),
                        1);
        CU_ASSERT_EQUAL(SSL_write(m.ssl, &got, sizeof got), sizeof got);
        got++;
        fx_mixed_run(&m, 11, &ssl_got);
        put_numbers(m.tls, &wire, &sent, 4);
        FX_MUST(BIO_write(SSL_get_rbio(m.ssl), wire.p, (int)wire.len) == (int)wire.len);
        wire.len = 0;
        fx_mixed_run(&m, 11, &ssl_got);
    }
    CU_ASSERT_EQUAL(m.ssl_error, 0);
    check_numbers(&m.got, got);
    check_numbers(&ssl_got, sent);
    CU_ASSERT(m.tls->updates_in >= 30);
    fx_mixed_free(&m);
    fx_free(&ssl_got);
    fx_free(&wire);
    SSL_CTX_free(ctx);
}

/* Any number of requests is answered by one update while that waits to be sent. */
static void test_requests_collapse(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);
    uint32_t s = 0;

    for (unsigned i = 0; i < 10; i++) {
        struct hg_tls_keyset k;

        forge(&p, HG_TLS_TYPE_HANDSHAKE, "\x18\0\0\1\1", 5);
        FX_MUST(hg_tls_next_secret(p.client->tx.suite, p.client->tx_secret) == 0 &&
                hg_tls_traffic_keys(p.client->tx.suite, p.client->tx_secret, &k) == 0 &&
                hg_tls_rec_rekey(&p.client->tx, &k) == 0);
    }
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0);
    CU_ASSERT_EQUAL(shard->counters.key_updates, 10 + 1);
    CU_ASSERT_EQUAL(hg_tls_pending(p.server), 5 + 5 + 1 + 16);
    CU_ASSERT_EQUAL(hg_tls_seal(p.server, NULL, 0, (uint8_t[64]){0}, 64), -EAGAIN);
    put_numbers(p.server, &p.s2c, &s, 3);
    fx_run(&p, 0);
    check_numbers(&p.client_got, s);
    fx_pair_free(&p);
}

/* Two ends that provoke each other stop at the bound instead of going on for ever. */
static void test_update_storm(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);
    uint32_t c = 0;

    p.client->rekey_after = p.server->rekey_after = 0;
    put_numbers(p.client, &p.c2s, &c, 1);
    fx_run(&p, 0);
    CU_ASSERT(hg_tls_state(p.client) == HG_TLS_FAILED || hg_tls_state(p.server) == HG_TLS_FAILED);
    CU_ASSERT(shard->counters.key_updates < 200);
    fx_pair_free(&p);
}

/* Updates between records of data are bounded as well, though more generously. */
static void test_too_many_updates(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);

    for (unsigned i = 0; i < HG_TLS_FREE_UPDATES + 1; i++) {
        struct hg_tls_keyset k;

        CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0);
        forge(&p, HG_TLS_TYPE_DATA, "x", 1);
        forge(&p, HG_TLS_TYPE_HANDSHAKE, "\x18\0\0\1\0", 5);
        FX_MUST(hg_tls_next_secret(p.client->tx.suite, p.client->tx_secret) == 0 &&
                hg_tls_traffic_keys(p.client->tx.suite, p.client->tx_secret, &k) == 0 &&
                hg_tls_rec_rekey(&p.client->tx, &k) == 0);
    }
    expect_refused(&p, HG_TLS_AL_UNEXPECTED_MESSAGE, "changes its keys too often");
    fx_pair_free(&p);
}

/* ---- alerts and the end ---- */

static void close_of(enum hg_tls_version version)
{
    struct fx_pair p = make_pair(version);
    uint32_t c = 0, s = 0;
    uint8_t rec[64];

    /* data, then close, in one flight: all the data arrives first */
    put_numbers(p.client, &p.c2s, &c, 5);
    hg_tls_close(p.client);
    CU_ASSERT(hg_tls_pending(p.client) != 0);
    hg_tls_close(p.client);
    CU_ASSERT_EQUAL(hg_tls_seal(p.client, NULL, 0, rec, sizeof rec), -EPIPE);
    fx_take(p.client, &p.c2s, 3);
    fx_put(&p.c2s, "after the end", 13);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 13, &p.server_got), 0);
    check_numbers(&p.server_got, c);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_PEER_CLOSED);
    CU_ASSERT_EQUAL(p.c2s.len, 0); /* what came after it was dropped */
    CU_ASSERT_EQUAL(hg_tls_pending(p.client), 0);
    /* the other direction goes on */
    put_numbers(p.server, &p.s2c, &s, 5);
    CU_ASSERT_EQUAL(fx_open(p.client, &p.s2c, 0, &p.client_got), 0);
    check_numbers(&p.client_got, s);
    hg_tls_close(p.server);
    fx_run(&p, 0);
    CU_ASSERT_EQUAL(hg_tls_state(p.client), HG_TLS_PEER_CLOSED);
    CU_ASSERT_EQUAL(shard->counters.alerts_in + shard->counters.alerts_out, 0);
    CU_ASSERT_STRING_EQUAL(hg_tls_error(p.client), "");
    fx_pair_free(&p);
}

static void test_close(void)
{
    close_of(HG_TLS_1_2);
    close_of(HG_TLS_1_3);
}

static void fatal_of(enum hg_tls_version version)
{
    struct fx_pair p = make_pair(version);
    uint32_t c = 0, s = 0;

    put_numbers(p.client, &p.c2s, &c, 3);
    put_numbers(p.server, &p.s2c, &s, 1); /* pending when the alert comes */
    forge(&p, HG_TLS_TYPE_ALERT, "\2\x50", 2);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), -EPROTO);
    check_numbers(&p.server_got, c);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_FAILED);
    CU_ASSERT_EQUAL(hg_tls_pending(p.server), 0);
    CU_ASSERT_EQUAL(shard->counters.alerts_in, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.server), "alert internal_error (80)"));
    hg_tls_close(p.server);
    CU_ASSERT_EQUAL(hg_tls_pending(p.server), 0);
    fx_pair_free(&p);
}

static void test_fatal_alert(void)
{
    fatal_of(HG_TLS_1_2);
    fatal_of(HG_TLS_1_3);
}

static void test_warnings(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);

    forge(&p, HG_TLS_TYPE_ALERT, "\1\x5a", 2); /* user_canceled */
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
    forge(&p, HG_TLS_TYPE_ALERT, "\1\x6e", 2); /* TLS 1.3: fatal whatever the level says */
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), -EPROTO);
    fx_pair_free(&p);

    p = make_pair(HG_TLS_1_2);
    for (unsigned i = 0; i < HG_TLS_IDLE_RECORDS; i++)
        forge(&p, HG_TLS_TYPE_ALERT, "\1\x64", 2);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
    forge(&p, HG_TLS_TYPE_ALERT, "\1\x64", 2);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), -EPROTO);
    fx_pair_free(&p);
}

/* ---- what a peer may not send ---- */

static void refused_record(enum hg_tls_version version, uint8_t type, const char *bytes,
                           uint32_t len, unsigned alert)
{
    struct fx_pair p = make_pair(version);

    forge(&p, type, bytes, len);
    expect_refused(&p, alert, "");
    fx_pair_free(&p);
}

static void test_refused_records(void)
{
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_ALERT, "\2\x50\0", 3, HG_TLS_AL_DECODE_ERROR);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_ALERT, "\2", 1, HG_TLS_AL_DECODE_ERROR);
    refused_record(HG_TLS_1_2, HG_TLS_TYPE_ALERT, "", 0, HG_TLS_AL_DECODE_ERROR);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_CCS, "\1", 1, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_3, 24, "heartbeat", 9, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_HANDSHAKE, "", 0, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_HANDSHAKE, "\1\0\0\0", 4, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_HANDSHAKE, "\4\0\0\1x", 5, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_3, HG_TLS_TYPE_HANDSHAKE, "\x18\0\0\1\7", 5,
                   HG_TLS_AL_ILLEGAL_PARAMETER);
    refused_record(HG_TLS_1_2, HG_TLS_TYPE_HANDSHAKE, "\0\0\0\0", 4, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_2, HG_TLS_TYPE_HANDSHAKE, "\x14\0\0\0", 4,
                   HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_2, HG_TLS_TYPE_HANDSHAKE, "", 0, HG_TLS_AL_UNEXPECTED_MESSAGE);
    refused_record(HG_TLS_1_2, HG_TLS_TYPE_HANDSHAKE, "\1\xff\0\0", 4, HG_TLS_AL_ILLEGAL_PARAMETER);
    refused_record(HG_TLS_1_2, 99, "?", 1, HG_TLS_AL_UNEXPECTED_MESSAGE);
}

/* TLS 1.2: no_renegotiation answers a hello after the handshake, and the connection goes on. Its
 * answer is a warning, which our client ignores. */
static void test_renegotiation(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_2);
    uint32_t c = 0, s = 0;

    for (unsigned i = 0; i < 10; i++) {
        forge(&p, HG_TLS_TYPE_HANDSHAKE, "\1\0\0\3ab", 6);
        forge(&p, HG_TLS_TYPE_HANDSHAKE, "c", 1);
    }
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0);
    CU_ASSERT_EQUAL(shard->counters.alerts_out, 1); /* one that waits answers all */
    CU_ASSERT_EQUAL(hg_tls_seal(p.server, NULL, 0, (uint8_t[64]){0}, 64), -EAGAIN);
    put_numbers(p.server, &p.s2c, &s, 2);
    put_numbers(p.client, &p.c2s, &c, 2);
    fx_run(&p, 0);
    check_numbers(&p.server_got, c);
    check_numbers(&p.client_got, s);
    CU_ASSERT_EQUAL(shard->counters.alerts_in, 1);
    forge(&p, HG_TLS_TYPE_HANDSHAKE, "\1\0\0\0", 4);
    hg_tls_close(p.server);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, NULL), 0); /* no answer behind close_notify */
    CU_ASSERT_EQUAL(shard->counters.alerts_out, 1);
    fx_pair_free(&p);
}

/* In the clear nothing is accepted any more, and one byte is enough to tell (RFC 8446 5). */
static void test_clear_records(void)
{
    static const char *const recs[] = {"\x14\3\3\0\1\1", "\x15\3\3\0\2\2\x28", "\x16\3\3\0\1\1"};

    for (size_t i = 0; i < HG_ARRAY_LEN(recs); i++) {
        struct fx_pair p = make_pair(HG_TLS_1_3);

        fx_put(&p.c2s, recs[i], i == 2 ? 1 : 6);
        expect_refused(&p, HG_TLS_AL_UNEXPECTED_MESSAGE, "may not come here");
        CU_ASSERT_EQUAL(shard->counters.bad_record, 1);
        fx_pair_free(&p);
    }
}

static void test_interrupted_message(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);

    forge(&p, HG_TLS_TYPE_HANDSHAKE, "\x18\0", 2);
    forge(&p, HG_TLS_TYPE_DATA, "data", 4);
    expect_refused(&p, HG_TLS_AL_UNEXPECTED_MESSAGE, "interrupts a handshake message");
    fx_pair_free(&p);
}

static void empty_of(enum hg_tls_version version)
{
    struct fx_pair p = make_pair(version);

    for (unsigned i = 0; i < HG_TLS_IDLE_RECORDS; i++)
        forge(&p, HG_TLS_TYPE_DATA, "", 0);
    forge(&p, HG_TLS_TYPE_DATA, "x", 1);
    for (unsigned i = 0; i < HG_TLS_IDLE_RECORDS; i++)
        forge(&p, HG_TLS_TYPE_DATA, "", 0);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), 0);
    CU_ASSERT_EQUAL(p.server_got.len, 1);
    forge(&p, HG_TLS_TYPE_DATA, "", 0);
    expect_refused(&p, HG_TLS_AL_UNEXPECTED_MESSAGE, "in a row without data");
    fx_pair_free(&p);
}

static void test_empty_records(void)
{
    empty_of(HG_TLS_1_2);
    empty_of(HG_TLS_1_3);
}

static void damage_of(enum hg_tls_version version)
{
    struct fx_pair p = make_pair(version);
    uint32_t c = 0;
    static const uint8_t zero[HG_TLS_AEAD_STATE];

    put_numbers(p.client, &p.c2s, &c, 2);
    p.c2s.p[p.c2s.len / 2 + 20] ^= 1;
    expect_refused(&p, HG_TLS_AL_BAD_RECORD_MAC, "is not authentic");
    CU_ASSERT_EQUAL(p.server_got.len, 200); /* the first record, and nothing of the second */
    CU_ASSERT_EQUAL(shard->counters.bad_tag, 1);
    CU_ASSERT_EQUAL(shard->counters.records_in, 1);
    CU_ASSERT_EQUAL(memcmp(p.server->rx.aead.state, zero, sizeof zero), 0);
    CU_ASSERT_EQUAL(memcmp(p.server->tx.aead.state, zero, sizeof zero), 0);
    CU_ASSERT_EQUAL(memcmp(p.server->rx_secret, zero, sizeof p.server->rx_secret), 0);
    fx_pair_free(&p);
}

static void test_damage(void)
{
    damage_of(HG_TLS_1_2);
    damage_of(HG_TLS_1_3);
}

static void test_oversize(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3);

    fx_put(&p.c2s, "\x17\3\3\x41\1", 5);
    expect_refused(&p, HG_TLS_AL_RECORD_OVERFLOW, "too long");
    fx_pair_free(&p);
}

/* ---- misuse and limits of our own ---- */

static void test_misuse(void)
{
    struct hg_tls *early = make_tls(HG_TLS_SERVER, 0);
    struct fx_pair p = make_pair(HG_TLS_1_3);
    static uint8_t big[HG_TLS_MAX_PLAINTEXT + 1], out[HG_TLS_MAX_RECORD + 64];
    struct hg_iov iov = {big, sizeof big};
    struct hg_tls_opened res;

    CU_ASSERT_EQUAL(hg_tls_seal(early, &iov, 1, out, sizeof out), -EPIPE);
    CU_ASSERT_EQUAL(hg_tls_peek(early, &iov, 1), 0);
    CU_ASSERT_STRING_EQUAL(hg_tls_suite(early), "");
    CU_ASSERT_EQUAL(hg_tls_seal(p.client, &iov, 1, out, sizeof out), -EINVAL);
    iov.len--;
    CU_ASSERT_EQUAL(hg_tls_seal(p.client, &iov, 1, out, iov.len + HG_TLS_OVERHEAD - 1), -EINVAL);
    CU_ASSERT_EQUAL(fx_seal(p.client, big, 100, 100, &p.c2s), 0);
    iov = (struct hg_iov){p.c2s.p, (uint32_t)p.c2s.len};
    CU_ASSERT_EQUAL(hg_tls_peek(p.server, &iov, 1), 101);
    CU_ASSERT_EQUAL(hg_tls_open(p.server, &iov, 1, &(struct hg_iov){out, 100}, &res), -EINVAL);
    CU_ASSERT_EQUAL(res.consumed, 0);
    CU_ASSERT_EQUAL(hg_tls_open(p.server, &iov, 1, &(struct hg_iov){out, 101}, &res), 0);
    CU_ASSERT(res.len == 100 && res.consumed == p.c2s.len);
    hg_tls_destroy(early);
    hg_tls_destroy(NULL);
    fx_pair_free(&p);
}

/* TLS 1.2 cannot renew its keys: an orderly end before the limit, and the peer may finish. */
static void test_used_up(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_2);
    uint32_t c = 0, s = 0;

    p.client->tx.seq = p.server->rx.seq = p.client->tx.limit - HG_TLS_CTL_RESERVE - 2;
    put_numbers(p.client, &p.c2s, &c, 2);
    CU_ASSERT_EQUAL(fx_seal(p.client, "x", 1, 1, &p.c2s), -EPIPE);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.client), "limit: reconnect"));
    fx_run(&p, 0);
    check_numbers(&p.server_got, c);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_PEER_CLOSED);
    put_numbers(p.server, &p.s2c, &s, 2);
    fx_run(&p, 0);
    check_numbers(&p.client_got, s);
    fx_pair_free(&p);
}

/* An open connection holds nothing of the handshake, and is small. */
static void test_idle_size(void)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, HG_TLS_1_3),
                        .server = make_tls(HG_TLS_SERVER, HG_TLS_1_3)};

    fx_take(p.client, &p.c2s, 0);
    fx_open(p.server, &p.c2s, 0, NULL);
    fx_take(p.server, &p.s2c, 0);
    fx_open(p.client, &p.s2c, 0, NULL);
    fx_take(p.client, &p.c2s, 0);
    CU_ASSERT_PTR_NULL(p.client->hs);
    fx_open(p.server, &p.c2s, 0, NULL);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
    CU_ASSERT_PTR_NULL(p.server->hs); /* at once: nothing is pending, so nobody will take */
    CU_ASSERT(sizeof(struct hg_tls) <= 4096);
    fx_pair_free(&p);
}

static void allocations_of(enum hg_tls_version version)
{
    static uint8_t text[16000], rec[HG_TLS_MAX_RECORD], dst[HG_TLS_MAX_RECORD];
    struct fx_pair p = make_pair(version);
    struct hg_tls_opened res;
    unsigned long before = alloc_count();
    void *volatile held;

    for (unsigned i = 0; i < 100; i++) {
        struct hg_iov in = {text, 160 * i}, room = {dst, sizeof dst}, out[12];
        int n = hg_tls_seal(p.client, &in, 1, rec, sizeof rec);
        unsigned pieces = 0;

        for (int at = 0; at < n; at += 1448)
            out[pieces++] = (struct hg_iov){rec + at, n - at < 1448 ? (uint32_t)(n - at) : 1448};
        CU_ASSERT(hg_tls_open(p.server, out, pieces, &room, &res) == 0 && res.len == 160 * i);
    }
    CU_ASSERT_EQUAL(alloc_count(), before);
    held = malloc(1); /* and the counter counts */
    free(held);
    CU_ASSERT(alloc_count() > before);
    fx_pair_free(&p);
}

static void test_allocations(void)
{
    allocations_of(HG_TLS_1_2);
    allocations_of(HG_TLS_1_3);
}

/* Explicit nonce of the last record in wire. */
static uint64_t last_nonce(const struct fx_buf *wire)
{
    const uint8_t *rec = wire->p;
    hg_be64 nonce;

    while (rec + 5 + (rec[3] << 8 | rec[4]) < wire->p + wire->len)
        rec += 5 + (rec[3] << 8 | rec[4]);
    memcpy(&nonce, rec + 5, sizeof nonce);
    return hg_be64_get(nonce);
}

/* TLS 1.2 GCM: our explicit nonces go on after the one that OpenSSL gave its Finished, so that none
 * is used twice under one key. */
static void test_nonce_goes_on(void)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, HG_TLS_1_2),
                        .server = make_tls(HG_TLS_SERVER, HG_TLS_1_2)};
    uint64_t client_finished, server_finished;

    fx_take(p.client, &p.c2s, 0);
    fx_open(p.server, &p.c2s, 0, NULL);
    fx_take(p.server, &p.s2c, 0);
    fx_open(p.client, &p.s2c, 0, NULL);
    fx_take(p.client, &p.c2s, 0);
    client_finished = last_nonce(&p.c2s);
    fx_open(p.server, &p.c2s, 0, NULL);
    fx_take(p.server, &p.s2c, 0);
    server_finished = last_nonce(&p.s2c);
    fx_open(p.client, &p.s2c, 0, NULL);
    FX_MUST(hg_tls_state(p.client) == HG_TLS_OPEN && hg_tls_state(p.server) == HG_TLS_OPEN);
    CU_ASSERT_EQUAL(fx_seal(p.client, "x", 1, 1, &p.c2s), 0);
    CU_ASSERT_EQUAL(fx_seal(p.server, "x", 1, 1, &p.s2c), 0);
    CU_ASSERT_EQUAL(last_nonce(&p.c2s), client_finished + 1);
    CU_ASSERT_EQUAL(last_nonce(&p.s2c), server_finished + 1);
    fx_pair_free(&p);
}

/* The handshake and data, one byte per piece. */
static void test_byte_by_byte(void)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, 0), .server = make_tls(HG_TLS_SERVER, 0)};
    uint32_t c = 0;

    fx_run(&p, 1);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_OPEN);
    put_numbers(p.client, &p.c2s, &c, 9);
    fx_run(&p, 1);
    check_numbers(&p.server_got, c);
    fx_pair_free(&p);
}

/* Names and order of the counters are what the header says. */
static void test_counter_set(void)
{
    struct hg_counter_set set = hg_tls_counter_set(shard);
    uint64_t *value = (uint64_t *)&shard->counters;

    CU_ASSERT_STRING_EQUAL(set.area, "tls");
    CU_ASSERT_EQUAL(set.n * sizeof(uint64_t), sizeof shard->counters);
    memset(value, 0, sizeof shard->counters);
    shard->counters.bad_tag = 77;
    for (unsigned i = 0; i < set.n; i++)
        CU_ASSERT_EQUAL(set.value[i], strcmp(set.desc[i].name, "bad_tag") == 0 ? 77 : 0);
}

static const CU_TestInfo tests[] = {
    {"key updates in flight", test_key_updates},
    {"key updates with OpenSSL", test_key_update_with_openssl},
    {"requests collapse", test_requests_collapse},
    {"key update storm", test_update_storm},
    {"too many key updates", test_too_many_updates},
    {"close with data pending", test_close},
    {"fatal alert", test_fatal_alert},
    {"warnings", test_warnings},
    {"refused records", test_refused_records},
    {"renegotiation is declined", test_renegotiation},
    {"records in the clear", test_clear_records},
    {"interrupted message", test_interrupted_message},
    {"empty records", test_empty_records},
    {"damage", test_damage},
    {"oversize", test_oversize},
    {"misuse", test_misuse},
    {"keys used up", test_used_up},
    {"idle size", test_idle_size},
    {"no allocation", test_allocations},
    {"explicit nonce goes on", test_nonce_goes_on},
    {"byte by byte", test_byte_by_byte},
    {"counters", test_counter_set},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    struct hg_err err;
    int status;

    alloc_count_start();
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "Test CA"});
    fx_make_cert(&(struct fx_cert){.file = "server", .issuer = "ca", .cn = "node"});
    fx_make_cert(&(struct fx_cert){.file = "client", .issuer = "ca", .cn = "web-01"});
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    hg_tls_shard_destroy(shard);
    fx_remove();
    return status;
}
