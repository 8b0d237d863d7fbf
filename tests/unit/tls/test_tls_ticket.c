/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Session tickets, both versions and providers, with OpenSSL as the client: a resumed session is the
 * same source and its records go on after the tickets; whatever no longer holds leads to a full
 * handshake. The clock is the test's: time() below is what OpenSSL and we are told.
 */
#include "both.h"
#include "fixture.h"
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_shard.h"
#include "tls_ticket.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */
static time_t ahead;                  /* seconds by which the clock is set forward */

time_t time(time_t *t)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += ahead;
    if (t != NULL)
        *t = now.tv_sec;
    return now.tv_sec;
}

/* ---- a server and its clients ---- */

static struct hg_tls_cfg server_cfg(void)
{
    return (struct hg_tls_cfg){.role = HG_TLS_SERVER, .provider = provider, .tickets = 2};
}

/* Fills in the files, whose names do not last. */
static struct hg_tls_ctx *server(const struct hg_tls_cfg *settings)
{
    struct hg_tls_cfg cfg = *settings;
    struct hg_tls_ctx *ctx;

    cfg.cert_file = fx_path("server", ".crt");
    cfg.key_file = fx_path("server", ".key");
    cfg.ca_file = fx_path("ca", ".crt");
    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0);
    return ctx;
}

static SSL_SESSION *newest; /* of the client, owned */
static unsigned sessions;   /* it was given */

static int session_cb(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    sessions++;
    return 1;
}

static SSL_CTX *client(enum hg_tls_version version, const char *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    FX_MUST(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
            SSL_CTX_set_max_proto_version(ctx, version) == 1);
    if (cert != NULL)
        FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, fx_path(cert, ".crt")) == 1 &&
                SSL_CTX_use_PrivateKey_file(ctx, fx_path(cert, ".key"), SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, session_cb);
    return ctx;
}

static uint8_t big[50000];

/* Data both ways: it shows that our sequence numbers go on after the tickets'. */
static void exchange(struct fx_mixed *m)
{
    struct fx_buf got = {0}, wire = {0};

    CU_ASSERT_EQUAL(fx_seal(m->tls, big, sizeof big, 9000, &wire), 0);
    FX_MUST(BIO_write(SSL_get_rbio(m->ssl), wire.p, (int)wire.len) == (int)wire.len);
    CU_ASSERT_EQUAL(SSL_write(m->ssl, big, sizeof big), sizeof big);
    fx_mixed_run(m, 1448, &got);
    CU_ASSERT(got.len == sizeof big && memcmp(got.p, big, sizeof big) == 0);
    CU_ASSERT(m->got.len == sizeof big && memcmp(m->got.p, big, sizeof big) == 0);
    fx_free(&got);
    fx_free(&wire);
}

/* One connection that offers the newest session, if there is one. Whether it was resumed, the same on
 * both sides; -1: it failed. */
static int visit(struct hg_tls_ctx *ctx, SSL_CTX *ossl)
{
    struct fx_mixed m;
    struct hg_tls *tls;
    int resumed;

    FX_MUST(hg_tls_create(ctx, shard, &tls) == 0);
    fx_mixed_init(&m, ossl, tls, true);
    if (newest != NULL)
        FX_MUST(SSL_set_session(m.ssl, newest) == 1);
    fx_mixed_run(&m, 0, NULL);
    resumed = hg_tls_resumed(m.tls);
    if (hg_tls_state(m.tls) == HG_TLS_OPEN) {
        CU_ASSERT_EQUAL(SSL_session_reused(m.ssl), resumed);
        CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(m.tls),
                               hg_tls_ctx_requires_cert(ctx) ? "web-01" : "");
        exchange(&m);
    } else {
        resumed = -1;
    }
    SSL_set_shutdown(m.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* the session may go on */
    fx_mixed_free(&m);
    return resumed;
}

static void forget(void)
{
    SSL_SESSION_free(newest);
    newest = NULL;
    sessions = 0;
    ahead = 0;
    memset(&shard->counters, 0, sizeof shard->counters);
}

static const enum hg_tls_version versions[] = {HG_TLS_1_2, HG_TLS_1_3};

/* ---- what holds ---- */

static void resume(const struct hg_tls_cfg *cfg, enum hg_tls_version version)
{
    struct hg_tls_ctx *ctx = server(cfg);
    SSL_CTX *ossl = client(version, cfg->client_cert == HG_TLS_CERT_OFF ? NULL : "client");

    forget();
    CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
    CU_ASSERT_EQUAL(sessions, version == HG_TLS_1_2 ? 1 : cfg->tickets);
    CU_ASSERT_EQUAL(shard->counters.tickets_out, sessions);
    for (unsigned i = 1; i <= 4; i++) {
        CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
        CU_ASSERT_EQUAL(shard->counters.resumed, i);
    }
    /* in TLS 1.3 each brought one for the next */
    CU_ASSERT_EQUAL(sessions, version == HG_TLS_1_2 ? 1 : cfg->tickets + 4);
    CU_ASSERT_EQUAL(shard->counters.handshakes, 5);
    CU_ASSERT_EQUAL(shard->counters.tickets_unknown + shard->counters.tickets_stale, 0);
    CU_ASSERT_EQUAL(SSL_SESSION_get_max_early_data(newest), 0);
    CU_ASSERT_EQUAL(SSL_SESSION_get_ticket_lifetime_hint(newest), HG_TLS_TICKET_LIFETIME);
    SSL_CTX_free(ossl);
    hg_tls_ctx_unref(ctx);
}

static void test_resume(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        for (cfg.tickets = 1; cfg.tickets <= HG_TLS_TICKETS_MAX; cfg.tickets++)
            resume(&cfg, versions[v]);
        cfg.tickets = 2;
        cfg.max_fragment = 512; /* a ticket takes several records */
        resume(&cfg, versions[v]);
        cfg.max_fragment = 0;
    }
}

/* Without client certificates, as the test services are. */
static void test_without_certificate(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    cfg.client_cert = HG_TLS_CERT_OFF;
    resume(&cfg, HG_TLS_1_2);
    resume(&cfg, HG_TLS_1_3);
}

static void test_off(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx;

    cfg.tickets = 0;
    ctx = server(&cfg);
    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        SSL_CTX *ossl = client(versions[v], "client");

        forget();
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        CU_ASSERT(newest == NULL || SSL_SESSION_has_ticket(newest) == 0);
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        CU_ASSERT_EQUAL(shard->counters.tickets_out, 0);
        SSL_CTX_free(ossl);
    }
    hg_tls_ctx_unref(ctx);
}

/* TLS 1.3: a resumption makes new keys by (EC)DHE, also when the client would do without. */
static void test_forward_secrecy(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx = server(&cfg);
    SSL_CTX *ossl = client(HG_TLS_1_3, "client");
    struct hg_tls *tls;
    struct fx_mixed m;
    EVP_PKEY *share = NULL;

    forget();
    SSL_CTX_set_options(ossl, SSL_OP_ALLOW_NO_DHE_KEX);
    CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
    FX_MUST(hg_tls_create(ctx, shard, &tls) == 0);
    fx_mixed_init(&m, ossl, tls, true);
    FX_MUST(SSL_set_session(m.ssl, newest) == 1);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_TRUE(hg_tls_resumed(m.tls));
    CU_ASSERT_EQUAL(SSL_get_peer_tmp_key(m.ssl, &share), 1);
    EVP_PKEY_free(share);
    fx_mixed_free(&m);
    SSL_CTX_free(ossl);
    hg_tls_ctx_unref(ctx);
}

/* ---- what no longer holds ---- */

/* A second context with the same files: another listener, or the same after a reload. */
static void test_other_context(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        struct hg_tls_ctx *before = server(&cfg), *after = server(&cfg);
        SSL_CTX *ossl = client(versions[v], "client");

        forget();
        CU_ASSERT_EQUAL(visit(before, ossl), 0);
        CU_ASSERT_EQUAL(visit(after, ossl), 0);
        CU_ASSERT_EQUAL(shard->counters.tickets_unknown, 1);
        CU_ASSERT_EQUAL(visit(after, ossl), 1); /* the full handshake brought a good one */
        CU_ASSERT_EQUAL(shard->counters.handshake_failures, 0);
        SSL_CTX_free(ossl);
        hg_tls_ctx_unref(before);
        hg_tls_ctx_unref(after);
    }
}

/* Resuming again and again does not put off the next full handshake. */
static void test_lifetime(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    cfg.ticket_lifetime = 100;
    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        struct hg_tls_ctx *ctx = server(&cfg);
        SSL_CTX *ossl = client(versions[v], "client");
        unsigned full = 0;

        forget();
        for (unsigned i = 0; i < 60; i++) {
            int resumed = visit(ctx, ossl);

            CU_ASSERT(resumed >= 0);
            full += resumed == 0;
            ahead += 8;
        }
        CU_ASSERT_EQUAL(full, 5); /* 480 s, and each session serves for 100 */
        CU_ASSERT_EQUAL(shard->counters.resumed, 60 - full);
        SSL_CTX_free(ossl);
        hg_tls_ctx_unref(ctx);
    }
}

/* The client's certificate has expired in the meantime: the full handshake that follows tells it. */
static void test_certificate_expires(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    cfg.ticket_lifetime = HG_TLS_TICKET_LIFETIME_MAX;
    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        struct hg_tls_ctx *ctx = server(&cfg);
        SSL_CTX *ossl = client(versions[v], "client");

        forget();
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        ahead = 3000;
        CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
        ahead = 3700;
        CU_ASSERT_EQUAL(visit(ctx, ossl), -1);
        CU_ASSERT_EQUAL(shard->counters.tickets_stale, 1);
        CU_ASSERT_EQUAL(shard->counters.cert_expired, 1);
        SSL_CTX_free(ossl);
        hg_tls_ctx_unref(ctx);
    }
    ahead = 0;
}

/* Puts a revocation list of the CA, without entries, into the context's store. */
static void add_crl(struct hg_tls_ctx *ctx, long next_update)
{
    FILE *f = fopen(fx_path("ca", ".crt"), "r"), *g = fopen(fx_path("ca", ".key"), "r");
    X509 *ca = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);
    EVP_PKEY *key = g == NULL ? NULL : PEM_read_PrivateKey(g, NULL, NULL, NULL);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -10), *until = X509_gmtime_adj(NULL, next_update);

    FX_MUST(ca != NULL && key != NULL && crl != NULL && from != NULL && until != NULL);
    FX_MUST(X509_CRL_set_version(crl, 1) == 1 &&
            X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) == 1 &&
            X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1 &&
            X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    FX_MUST(X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx->ssl), crl) == 1);
    fclose(f);
    fclose(g);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
    X509_free(ca);
}

/* A newer revocation list is due: what it says is for a full handshake to find out. */
static void test_crl_ends(void)
{
    struct hg_tls_cfg cfg = server_cfg();

    for (size_t v = 0; v < HG_ARRAY_LEN(versions); v++) {
        struct hg_tls_ctx *ctx = server(&cfg);
        SSL_CTX *ossl = client(versions[v], "client");

        forget();
        add_crl(ctx, 60);
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        ahead = 30;
        CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
        ahead = 70;
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        CU_ASSERT_EQUAL(shard->counters.tickets_stale, 1);
        SSL_CTX_free(ossl);
        hg_tls_ctx_unref(ctx);
    }
    ahead = 0;
}

/* The session with one byte of its ticket changed. */
static void damage_ticket(size_t at)
{
    const unsigned char *ticket, *p;
    unsigned char *der = NULL, *found;
    size_t len;
    int n;

    SSL_SESSION_get0_ticket(newest, &ticket, &len);
    n = i2d_SSL_SESSION(newest, &der);
    FX_MUST(n > 0 && len > 100);
    found = memmem(der, (size_t)n, ticket, len);
    FX_MUST(found != NULL);
    found[at < len ? at : len - 1] ^= 1;
    SSL_SESSION_free(newest);
    p = der;
    newest = d2i_SSL_SESSION(NULL, &p, n);
    FX_MUST(newest != NULL);
    OPENSSL_free(der);
}

/* A byte of the key's name, the IV, the sealed session, and the MAC. */
static void test_damaged(void)
{
    static const size_t places[] = {0, 15, 16, 31, 32, 90, SIZE_MAX};
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx = server(&cfg);

    for (size_t i = 0; i < 2 * HG_ARRAY_LEN(places); i++) {
        SSL_CTX *ossl = client(versions[i % 2], "client");

        forget();
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        damage_ticket(places[i / 2]);
        CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
        CU_ASSERT_EQUAL(shard->counters.tickets_unknown, 1);
        CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
        SSL_CTX_free(ossl);
    }
    hg_tls_ctx_unref(ctx);
}

/* TLS 1.2: when a session is resumed our Finished goes first, so an alert of ours that refuses what
 * the client sends next is protected already. */
static void test_alert_12(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx = server(&cfg);
    SSL_CTX *ossl = client(HG_TLS_1_2, "client");
    struct fx_buf wire = {0};
    struct hg_tls *tls;
    struct fx_mixed m;

    forget();
    CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
    FX_MUST(hg_tls_create(ctx, shard, &tls) == 0);
    fx_mixed_init(&m, ossl, tls, true);
    FX_MUST(SSL_set_session(m.ssl, newest) == 1);
    SSL_do_handshake(m.ssl);
    fx_mixed_flush(&m);
    CU_ASSERT_EQUAL(fx_open(m.tls, &m.to_tls, 0, NULL), 0);
    fx_put(&wire, "\x14\3\3\0\1\1\x16\3\3\0\3abc", 14); /* instead of its Finished */
    CU_ASSERT_EQUAL(fx_open(m.tls, &wire, 0, NULL), -EPROTO);
    fx_mixed_run(&m, 0, NULL);
    CU_ASSERT_EQUAL(m.ssl_alert, HG_TLS_AL_BAD_RECORD_MAC);
    fx_mixed_free(&m);
    fx_free(&wire);
    SSL_CTX_free(ossl);
    hg_tls_ctx_unref(ctx);
}

/* ---- the parts ---- */

static void test_rotation(void)
{
    struct hg_tls_ticket_key k[HG_TLS_TICKET_KEYS] = {{.set = false}}, first, zero = {.set = false};

    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 1000), 0);
    CU_ASSERT(k[0].set && k[0].from == 1000 && !k[1].set);
    first = k[0];
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 1099), 0);
    CU_ASSERT_EQUAL(memcmp(&k[0], &first, sizeof first), 0);
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 1100), 0); /* seals no more, but opens */
    CU_ASSERT(k[0].from == 1100 && memcmp(&k[1], &first, sizeof first) == 0);
    CU_ASSERT(memcmp(k[0].name, first.name, 16) != 0 && memcmp(k[0].aes, first.aes, 32) != 0 &&
              memcmp(k[0].mac, first.mac, 32) != 0);
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 1199), 0);
    CU_ASSERT_EQUAL(memcmp(&k[1], &first, sizeof first), 0);
    first = k[0];
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 1200), 0);
    CU_ASSERT_EQUAL(memcmp(&k[1], &first, sizeof first), 0);
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 5000), 0); /* nobody came: both are too old */
    CU_ASSERT(k[0].from == 5000 && memcmp(&k[1], &zero, sizeof zero) == 0);
    CU_ASSERT_EQUAL(hg_tls_tickets_rotate(k, 100, 4000), 0); /* the clock was set back */
    CU_ASSERT(k[0].from == 4000 && memcmp(&k[1], &zero, sizeof zero) == 0);
}

/* Nobody connects: the keys go by time all the same, and with them what they sealed. */
static void test_tick(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx;
    SSL_CTX *ossl = client(HG_TLS_1_2, "client");

    cfg.ticket_lifetime = 100;
    ctx = server(&cfg);
    forget();
    CU_ASSERT_EQUAL(visit(ctx, ossl), 0);
    hg_tls_ctx_tick(ctx, time(NULL) + 110);
    CU_ASSERT_EQUAL(visit(ctx, ossl), 0); /* the clock is back: no key's age is known */
    CU_ASSERT_EQUAL(shard->counters.tickets_unknown, 1);
    CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
    hg_tls_ctx_tick(ctx, time(NULL));
    CU_ASSERT_EQUAL(visit(ctx, ossl), 1);
    SSL_CTX_free(ossl);
    hg_tls_ctx_unref(ctx);
}

static void test_holds(void)
{
    struct hg_tls_ticket_data d = {.authenticated = 1000, .valid_until = 1050};

    CU_ASSERT_TRUE(hg_tls_ticket_holds(&d, 100, 1000));
    CU_ASSERT_TRUE(hg_tls_ticket_holds(&d, 100, 1049));
    CU_ASSERT_FALSE(hg_tls_ticket_holds(&d, 100, 1050));
    CU_ASSERT_FALSE(hg_tls_ticket_holds(&d, 100, 999));
    CU_ASSERT_FALSE(hg_tls_ticket_holds(&d, 40, 1040));
    d.valid_until = INT64_MAX;
    CU_ASSERT_TRUE(hg_tls_ticket_holds(&d, 100, 1099));
    CU_ASSERT_FALSE(hg_tls_ticket_holds(&d, 100, 1100));
}

static void test_settings(void)
{
    struct hg_tls_cfg cfg = server_cfg();
    struct hg_tls_ctx *ctx;
    struct hg_err err;

    cfg.cert_file = fx_path("server", ".crt");
    cfg.key_file = fx_path("server", ".key");
    cfg.ca_file = fx_path("ca", ".crt");
    cfg.tickets = HG_TLS_TICKETS_MAX + 1;
    CU_ASSERT_EQUAL(hg_tls_ctx_create(&cfg, &ctx, &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "at most 8"));
    cfg.tickets = 1;
    cfg.ticket_lifetime = HG_TLS_TICKET_LIFETIME_MAX + 1;
    CU_ASSERT_EQUAL(hg_tls_ctx_create(&cfg, &ctx, &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "RFC 8446 4.6.1"));
}

int main(void)
{
    static const CU_TestInfo tests[] = {
        {"a resumed session is the same source", test_resume},
        {"without client certificates", test_without_certificate},
        {"off", test_off},
        {"a resumption makes new keys", test_forward_secrecy},
        {"another context or a reload: full handshake", test_other_context},
        {"the lifetime counts from the full handshake", test_lifetime},
        {"the client's certificate expires", test_certificate_expires},
        {"a revocation list ends", test_crl_ends},
        {"a damaged ticket: full handshake", test_damaged},
        {"an alert while TLS 1.2 resumes can be read", test_alert_12},
        {"keys rotate and are erased", test_rotation},
        {"keys go by time", test_tick},
        {"when a ticket holds", test_holds},
        {"settings", test_settings},
        CU_TEST_INFO_NULL,
    };
    struct hg_err err;
    int status;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "Test CA"});
    fx_make_cert(&(struct fx_cert){.file = "server", .issuer = "ca", .cn = "node"});
    fx_make_cert(&(struct fx_cert){.file = "client", .issuer = "ca", .cn = "web-01"});
    FX_MUST(hg_tls_shard_create(&shard, &err) == 0);
    status = run_on_both(&provider, tests);
    forget();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return status;
}
