/* SPDX-License-Identifier: BSD-3-Clause */
/* When keys are renewed (RFC 8446 4.6.3, 5.5), both providers: by the setting, by a side that only
 * sends, at the limit of the sequence number with an update in flight, and with OpenSSL as the
 * peer. */
#include "both.h"
#include "fixture.h"
#include "tls_conn.h"
#include "tls_shard.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */

static struct hg_tls *make_tls(enum hg_tls_role role, const char *suite, uint64_t update_after)
{
    struct hg_tls_cfg cfg = {
        .role = role,
        .provider = provider,
        .min_version = HG_TLS_1_3,
        .ciphers13 = suite,
        .update_after = update_after,
        .ca_file = fx_path("server", ".crt"),
    };
    struct hg_tls_ctx *ctx;
    struct hg_tls *tls;

    if (role == HG_TLS_SERVER) {
        cfg.cert_file = fx_path("server", ".crt");
        cfg.key_file = fx_path("server", ".key");
        cfg.client_cert = HG_TLS_CERT_OFF;
    }
    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0 && hg_tls_create(ctx, shard, &tls) == 0);
    hg_tls_ctx_unref(ctx);
    return tls;
}

static struct fx_pair make_pair(const char *suite, uint64_t client_after, uint64_t server_after)
{
    struct fx_pair p = {.client = make_tls(HG_TLS_CLIENT, suite, client_after),
                        .server = make_tls(HG_TLS_SERVER, suite, server_after)};

    fx_run(&p, 0);
    FX_MUST(p.client->state == HG_TLS_OPEN && p.server->state == HG_TLS_OPEN);
    memset(&shard->counters, 0, sizeof shard->counters);
    return p;
}

/* n records that count upwards. What is pending goes first, as a sender must do it. */
static void put_numbers(struct hg_tls *t, struct fx_buf *wire, uint32_t *next, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fx_take(t, wire, 0);
        CU_ASSERT_EQUAL_FATAL(fx_seal(t, next, sizeof *next, sizeof *next, wire), 0);
        ++*next;
    }
    fx_take(t, wire, 0);
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

static const char *const suites13[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                       "TLS_CHACHA20_POLY1305_SHA256"};

/* A side that never receives anything renews its keys as well, after exactly so many records. */
static void test_sender_only(void)
{
    for (size_t s = 0; s < HG_ARRAY_LEN(suites13); s++) {
        struct fx_pair p = make_pair(suites13[s], 0, 10);
        uint32_t sent = 0;

        for (unsigned i = 1; i <= 100; i++) {
            CU_ASSERT_EQUAL(hg_tls_pending(p.server), 0);
            CU_ASSERT_EQUAL(fx_seal(p.server, &sent, 4, 4, &p.s2c), 0);
            sent++;
            CU_ASSERT_EQUAL(hg_tls_pending(p.server) != 0, i % 10 == 0);
            fx_take(p.server, &p.s2c, 0);
        }
        CU_ASSERT_EQUAL(shard->counters.key_updates, 10);
        CU_ASSERT_EQUAL(fx_open(p.client, &p.s2c, 0, &p.client_got), 0);
        check_numbers(&p.client_got, sent);
        CU_ASSERT_EQUAL(p.client->updates_in, 10);
        fx_pair_free(&p);
    }
}

/* A side that only receives asks the sender to renew, whose library may not count. */
static void test_receiver_only(void)
{
    for (size_t s = 0; s < HG_ARRAY_LEN(suites13); s++) {
        struct fx_pair p = make_pair(suites13[s], 0, 10);
        uint32_t sent = 0;

        for (unsigned i = 0; i < 50; i++) {
            put_numbers(p.client, &p.c2s, &sent, 1);
            fx_run(&p, 0);
        }
        check_numbers(&p.server_got, sent);
        CU_ASSERT_EQUAL(p.server->updates_in, 5);
        CU_ASSERT(p.server->rx.seq <= 12);
        fx_pair_free(&p);
    }
}

static void test_default(void)
{
    struct fx_pair p = make_pair(suites13[0], 0, 0);

    CU_ASSERT_EQUAL(p.client->rekey_after, HG_TLS_REKEY_AFTER);
    fx_pair_free(&p);
    p = make_pair(suites13[2], 0, 0);
    CU_ASSERT_EQUAL(p.client->rekey_after, UINT64_MAX);
    fx_pair_free(&p);
    p = make_pair(suites13[1], 0, UINT64_MAX); /* no setting goes beyond what RFC 8446 5.5 allows */
    CU_ASSERT_EQUAL(p.server->rekey_after, HG_TLS_REKEY_AFTER);
    fx_pair_free(&p);
}

/* Both ends are at the last sequence number but what is kept for control messages, and a request for
 * new keys of each is on its way to the other. Both go on, and nothing is lost. */
static void test_limit_in_flight(void)
{
    for (size_t s = 0; s < 2; s++) {
        struct fx_pair p = make_pair(suites13[s], 0, 0);
        uint32_t c = 0, d = 0;
        uint8_t rec[64];

        p.client->rekey_after = p.server->rekey_after = UINT64_MAX;
        p.client->tx.seq = p.server->rx.seq = p.client->tx.limit - HG_TLS_CTL_RESERVE - 1;
        p.server->tx.seq = p.client->rx.seq = p.server->tx.limit - HG_TLS_CTL_RESERVE - 1;
        put_numbers(p.client, &p.c2s, &c, 1);
        put_numbers(p.server, &p.s2c, &d, 1);
        p.client->rekey_after = p.server->rekey_after = 100;
        CU_ASSERT_EQUAL(hg_tls_update_in_time(p.client), 0);
        CU_ASSERT_EQUAL(hg_tls_update_in_time(p.server), 0);
        fx_take(p.client, &p.c2s, 0);
        fx_take(p.server, &p.s2c, 0);
        CU_ASSERT(p.client->tx.seq == 0 && p.client->update_asked);
        put_numbers(p.client, &p.c2s, &c, 3);
        put_numbers(p.server, &p.s2c, &d, 3);
        fx_run(&p, 0);
        put_numbers(p.client, &p.c2s, &c, 3);
        put_numbers(p.server, &p.s2c, &d, 3);
        fx_run(&p, 0);
        check_numbers(&p.server_got, c);
        check_numbers(&p.client_got, d);
        CU_ASSERT(p.client->updates_in >= 1 && p.server->updates_in >= 1);
        /* and without a way to renew, the limit itself is never passed */
        p.client->rekey_after = UINT64_MAX;
        p.client->tx.seq = p.client->tx.limit - HG_TLS_CTL_RESERVE;
        CU_ASSERT_EQUAL(hg_tls_seal(p.client, NULL, 0, rec, sizeof rec), -EPIPE);
        CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.client), "limit"));
        fx_pair_free(&p);
    }
}

/* After our close_notify no update may follow it (RFC 8446 6.1). */
static void test_after_close(void)
{
    struct fx_pair p = make_pair(suites13[0], 0, 5);
    uint32_t sent = 0;
    uint64_t updates;

    hg_tls_close(p.server);
    fx_run(&p, 0);
    updates = shard->counters.key_updates;
    put_numbers(p.client, &p.c2s, &sent, 20);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), 0);
    check_numbers(&p.server_got, sent);
    CU_ASSERT_EQUAL(hg_tls_pending(p.server), 0);
    CU_ASSERT_EQUAL(shard->counters.key_updates, updates);
    fx_pair_free(&p);
}

/* OpenSSL as the client of a server that renews all the time: every record of both ways arrives. */
static void with_openssl(const char *suite)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct fx_buf ssl_got = {0}, wire = {0};
    uint32_t sent = 0, got = 0;
    struct fx_mixed m;

    FX_MUST(ctx != NULL);
    fx_mixed_init(&m, ctx, make_tls(HG_TLS_SERVER, suite, 3), true);
    fx_mixed_run(&m, 0, NULL);
    for (unsigned i = 0; i < 60; i++) {
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
    CU_ASSERT(m.tls->updates_in > 15);
    CU_ASSERT(m.tls->tx.seq <= 4);
    fx_mixed_free(&m);
    fx_free(&ssl_got);
    fx_free(&wire);
    SSL_CTX_free(ctx);
}

static void test_with_openssl(void)
{
    for (size_t s = 0; s < HG_ARRAY_LEN(suites13); s++)
        with_openssl(suites13[s]);
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"a side that only sends renews its keys", test_sender_only},
        {"a side that only receives asks for new ones", test_receiver_only},
        {"without a setting, before the limit of RFC 8446 5.5", test_default},
        {"both at the limit with updates in flight", test_limit_in_flight},
        {"no update after close_notify", test_after_close},
        {"with OpenSSL", test_with_openssl},
        CU_TEST_INFO_NULL,
    };
    struct hg_err err;
    int status;

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "server", .cn = "node"});
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    hg_tls_shard_destroy(shard);
    fx_remove();
    return status;
}
