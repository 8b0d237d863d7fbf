/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshake steps carried out apart from their connection: by other threads, late, or in vain. Both
 * providers and versions. */
#include "fixture.h"
#include "tls_conn.h"
#include "tls_shard.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CROWD 24 /* handshakes at once */

static struct hg_tls_shard *shard;
static enum hg_tls_provider provider; /* of the suite that runs */

static struct hg_tls *make_tls(enum hg_tls_role role, enum hg_tls_version version, const char *name)
{
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
    if (role == HG_TLS_SERVER)
        hg_tls_defer(tls);
    return tls;
}

static struct fx_pair make_pair(enum hg_tls_version version, const char *client)
{
    return (struct fx_pair){.client = make_tls(HG_TLS_CLIENT, version, client),
                            .server = make_tls(HG_TLS_SERVER, version, "server")};
}

static void *run_step(void *step)
{
    hg_tls_step_run(step);
    return NULL;
}

/* Each step on a thread of its own, which ends with it. */
static int step_elsewhere(struct hg_tls *tls, struct hg_tls_step *step)
{
    pthread_t thread;

    FX_MUST(pthread_create(&thread, NULL, run_step, step) == 0);
    FX_MUST(pthread_join(thread, NULL) == 0);
    return hg_tls_step_put(tls, step);
}

/* What a caller that defers does; returns steps made, or -EPROTO. */
static int serve(struct fx_pair *p)
{
    struct hg_tls_step *step;
    int steps = 0, rc = 0;

    do {
        rc = fx_open(p->server, &p->c2s, 0, &p->server_got);
        step = hg_tls_step_take(p->server);
        if (step != NULL) {
            size_t waits = p->c2s.len;

            CU_ASSERT_EQUAL(hg_tls_pending(p->server), 0);
            CU_ASSERT_EQUAL(fx_open(p->server, &p->c2s, 0, NULL), 0);
            CU_ASSERT_EQUAL(p->c2s.len, waits); /* input stays where it is */
            CU_ASSERT_PTR_NULL(hg_tls_step_take(p->server));
            rc = step_elsewhere(p->server, step);
            steps++;
        }
        fx_take(p->server, &p->s2c, 0);
    } while (step != NULL && rc == 0);
    return rc == 0 ? steps : rc;
}

static void shake(struct fx_pair *p)
{
    for (unsigned i = 0; i < 8 && hg_tls_state(p->server) == HG_TLS_HANDSHAKE; i++) {
        fx_take(p->client, &p->c2s, 0);
        FX_MUST(serve(p) >= 0);
        FX_MUST(fx_open(p->client, &p->s2c, 0, &p->client_got) == 0);
    }
    FX_MUST(hg_tls_state(p->server) == HG_TLS_OPEN && hg_tls_state(p->client) == HG_TLS_OPEN);
}

static void elsewhere(enum hg_tls_version version)
{
    uint64_t done = shard->counters.handshakes;
    struct fx_pair p = make_pair(version, "client");

    shake(&p);
    CU_ASSERT_EQUAL(shard->counters.handshakes, done + 2);
    CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(p.server), "web-01");
    CU_ASSERT_EQUAL(fx_seal(p.client, "data", 4, 4, &p.c2s), 0);
    CU_ASSERT_EQUAL(fx_open(p.server, &p.c2s, 0, &p.server_got), 0);
    CU_ASSERT(p.server_got.len == 4 && memcmp(p.server_got.p, "data", 4) == 0);
    fx_pair_free(&p);
}

static void test_elsewhere(void)
{
    elsewhere(HG_TLS_1_3);
    elsewhere(HG_TLS_1_2);
}

/* Many first steps run at once on as many threads, over one context. */
static void test_crowd(void)
{
    struct fx_pair p[CROWD];
    struct hg_tls_step *step[CROWD];
    pthread_t thread[CROWD];

    for (unsigned i = 0; i < CROWD; i++)
        p[i] = make_pair(i % 2 == 0 ? HG_TLS_1_3 : HG_TLS_1_2, "client");
    for (unsigned i = 0; i < CROWD; i++) {
        fx_take(p[i].client, &p[i].c2s, 0);
        FX_MUST(fx_open(p[i].server, &p[i].c2s, 0, NULL) == 0);
        step[i] = hg_tls_step_take(p[i].server);
        FX_MUST(step[i] != NULL);
    }
    for (unsigned i = 0; i < CROWD; i++)
        FX_MUST(pthread_create(&thread[i], NULL, run_step, step[i]) == 0);
    for (unsigned i = 0; i < CROWD; i++) {
        FX_MUST(pthread_join(thread[i], NULL) == 0);
        CU_ASSERT_EQUAL(hg_tls_step_put(p[i].server, step[i]), 0);
        fx_take(p[i].server, &p[i].s2c, 0);
        FX_MUST(fx_open(p[i].client, &p[i].s2c, 0, NULL) == 0);
        shake(&p[i]);
        fx_pair_free(&p[i]);
    }
}

static struct hg_tls_step *first_step(struct fx_pair *p)
{
    struct hg_tls_step *step;

    fx_take(p->client, &p->c2s, 0);
    FX_MUST(fx_open(p->server, &p->c2s, 0, NULL) == 0);
    step = hg_tls_step_take(p->server);
    FX_MUST(step != NULL);
    return step;
}

/* The connection goes while its step is out, before or after it ran, or before it was taken. */
static void test_connection_gone(void)
{
    uint64_t failures = shard->counters.handshake_failures;
    struct fx_pair p = make_pair(HG_TLS_1_3, "client");
    struct hg_tls_step *step = first_step(&p);

    fx_pair_free(&p);
    hg_tls_step_run(step);
    hg_tls_step_free(step);
    p = make_pair(HG_TLS_1_3, "client");
    step = first_step(&p);
    fx_pair_free(&p);
    hg_tls_step_free(step);
    p = make_pair(HG_TLS_1_3, "client");
    fx_take(p.client, &p.c2s, 0);
    FX_MUST(fx_open(p.server, &p.c2s, 0, NULL) == 0);
    fx_pair_free(&p);
    CU_ASSERT_EQUAL(shard->counters.handshake_failures, failures + 3);
}

static void test_closed_meanwhile(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3, "client");
    struct hg_tls_step *step = first_step(&p);

    hg_tls_close(p.server);
    hg_tls_step_run(step);
    CU_ASSERT_EQUAL(hg_tls_step_put(p.server, step), -EPROTO);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_FAILED);
    CU_ASSERT_EQUAL(hg_tls_pending(p.server), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_tls_error(p.server), "closed by this side"));
    fx_pair_free(&p);
}

/* A refusal comes back with its sentence, alert and counters. */
static void test_refusal(void)
{
    struct hg_tls_counters before = shard->counters;
    struct fx_pair p = make_pair(HG_TLS_1_3, "stranger");

    fx_take(p.client, &p.c2s, 0);
    CU_ASSERT(serve(&p) >= 0);
    CU_ASSERT_EQUAL(fx_open(p.client, &p.s2c, 0, NULL), 0);
    fx_take(p.client, &p.c2s, 0);
    CU_ASSERT_EQUAL(serve(&p), -EPROTO);
    CU_ASSERT_EQUAL(hg_tls_state(p.server), HG_TLS_FAILED);
    CU_ASSERT(hg_tls_error(p.server)[0] != '\0');
    CU_ASSERT_EQUAL(shard->counters.bad_client_cert, before.bad_client_cert + 1);
    CU_ASSERT_EQUAL(shard->counters.alerts_out, before.alerts_out + 1);
    CU_ASSERT_EQUAL(shard->counters.handshake_failures, before.handshake_failures + 1);
    CU_ASSERT_EQUAL(fx_open(p.client, &p.s2c, 0, NULL), -EPROTO);
    fx_pair_free(&p);
}

/* A peer that says nothing, or half a hello, costs no OpenSSL object. */
static void test_made_late(void)
{
    struct fx_pair p = make_pair(HG_TLS_1_3, "client");
    struct fx_buf half = {0};

    CU_ASSERT_PTR_NULL(p.server->hs);
    fx_take(p.client, &p.c2s, 0);
    fx_put(&half, p.c2s.p, p.c2s.len - 1);
    CU_ASSERT_EQUAL(fx_open(p.server, &half, 0, NULL), 0);
    CU_ASSERT_PTR_NULL(p.server->hs);
    CU_ASSERT_PTR_NULL(p.server->step);
    fx_free(&half);
    fx_pair_free(&p);
}

static int use_mb(void)
{
    provider = HG_TLS_IPSEC_MB;
    return 0;
}

static int use_openssl(void)
{
    provider = HG_TLS_OPENSSL;
    return 0;
}

static void add_tests(const char *name, CU_InitializeFunc init)
{
    CU_pSuite suite = CU_add_suite(name, init, NULL);

    CU_add_test(suite, "steps on other threads make the same connection", test_elsewhere);
    CU_add_test(suite, "many steps run at once", test_crowd);
    CU_add_test(suite, "a connection may go while its step is out", test_connection_gone);
    CU_add_test(suite, "a connection may be closed while its step is out", test_closed_meanwhile);
    CU_add_test(suite, "a refusal comes back whole", test_refusal);
    CU_add_test(suite, "no OpenSSL object before the first record is whole", test_made_late);
}

int main(void)
{
    unsigned failures;

    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca"});
    fx_make_cert(&(struct fx_cert){.file = "other", .cn = "other"});
    fx_make_cert(
        &(struct fx_cert){.file = "server", .issuer = "ca", .cn = "node", .eku = "serverAuth"});
    fx_make_cert(
        &(struct fx_cert){.file = "client", .issuer = "ca", .cn = "web-01", .eku = "clientAuth"});
    fx_make_cert(&(struct fx_cert){
        .file = "stranger", .issuer = "other", .cn = "web-01", .eku = "clientAuth"});
    FX_MUST(hg_tls_shard_create(&shard, NULL) == 0);
    CU_initialize_registry();
    add_tests("tls_step ipsec-mb", use_mb);
    add_tests("tls_step openssl", use_openssl);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 12);
    CU_cleanup_registry();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return failures != 0;
}
