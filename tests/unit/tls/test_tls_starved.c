/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes of a server that one allocation of OpenSSL's memory fails in, at every place in turn: they
 * complete or are refused with a sentence, and never end otherwise. Both versions. */
#include "fixture.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 400 /* allocations, all of which fail once; of the later ones every STRIDE-th */
#define STRIDE 17
#define TURNS 4

static struct hg_tls_shard *shard;
static bool counting; /* the server is at work */
static long allocations, fails_at;

/* ---- OpenSSL's memory ---- */

static bool denied(void)
{
    return counting && ++allocations == fails_at;
}

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size == 0 || denied() ? NULL : malloc(size);
}

static void *resize(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size != 0)
        return denied() ? NULL : realloc(p, size);
    free(p);
    return NULL;
}

static void give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* ---- handshakes ---- */

static struct hg_tls_ctx *make_ctx(enum hg_tls_role role, enum hg_tls_version version)
{
    const char *name = role == HG_TLS_SERVER ? "server" : "client";
    struct hg_tls_cfg cfg = {
        .role = role,
        .min_version = version,
        .max_version = version,
        .cert_file = fx_path(name, ".crt"),
        .key_file = fx_path(name, ".key"),
        .ca_file = fx_path("ca", ".crt"),
        .alpn = "headgate/1",
        .tickets = 2,
    };
    struct hg_tls_ctx *ctx;

    FX_MUST(hg_tls_ctx_create(&cfg, &ctx, NULL) == 0);
    return ctx;
}

/* A handshake whose n-th allocation fails, 0: none. The server's state at its end. */
static enum hg_tls_state shake(struct hg_tls_ctx *client, struct hg_tls_ctx *server, long n)
{
    struct fx_pair p = {.client = NULL};
    enum hg_tls_state state;

    FX_MUST(hg_tls_create(client, shard, &p.client) == 0);
    FX_MUST(hg_tls_create(server, shard, &p.server) == 0);
    allocations = 0;
    fails_at = n;
    for (unsigned i = 0; i < TURNS; i++) {
        fx_take(p.client, &p.c2s, 0);
        counting = true;
        fx_open(p.server, &p.c2s, 0, &p.server_got);
        counting = false;
        fx_take(p.server, &p.s2c, 0);
        fx_open(p.client, &p.s2c, 0, &p.client_got);
    }
    state = hg_tls_state(p.server);
    if (state == HG_TLS_OPEN) {
        CU_ASSERT_STRING_EQUAL(hg_tls_peer_name(p.server), "web-01");
        CU_ASSERT_EQUAL(hg_tls_state(p.client), HG_TLS_OPEN);
    } else {
        CU_ASSERT_EQUAL(state, HG_TLS_FAILED);
        CU_ASSERT_STRING_NOT_EQUAL(hg_tls_error(p.server), "");
    }
    fx_pair_free(&p);
    return state;
}

static void starve(enum hg_tls_version version)
{
    struct hg_tls_ctx *client = make_ctx(HG_TLS_CLIENT, version);
    struct hg_tls_ctx *server = make_ctx(HG_TLS_SERVER, version);
    unsigned failed = 0;
    long all;

    CU_ASSERT_EQUAL(shake(client, server, 0), HG_TLS_OPEN); /* fills OpenSSL's caches */
    CU_ASSERT_EQUAL(shake(client, server, 0), HG_TLS_OPEN);
    all = allocations;
    for (long n = 1; n <= all; n += n < FIRST ? 1 : STRIDE)
        failed += shake(client, server, n) == HG_TLS_FAILED;
    CU_ASSERT(failed > FIRST / 8);
    CU_ASSERT_EQUAL(shake(client, server, 0), HG_TLS_OPEN);
    hg_tls_ctx_unref(client);
    hg_tls_ctx_unref(server);
}

static void test_13(void)
{
    starve(HG_TLS_1_3);
}

static void test_12(void)
{
    starve(HG_TLS_1_2);
}

int main(void)
{
    CU_pSuite suite;
    unsigned failures;

    FX_MUST(CRYPTO_set_mem_functions(take, resize, give) == 1);
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "Test CA"});
    fx_make_cert(&(struct fx_cert){.file = "server", .issuer = "ca", .cn = "node"});
    fx_make_cert(&(struct fx_cert){
        .file = "client", .issuer = "ca", .cn = "other", .san = "URI:headgate:source/web-01"});
    FX_MUST(hg_tls_shard_create(&shard, NULL) == 0);
    CU_initialize_registry();
    suite = CU_add_suite("tls_starved", NULL, NULL);
    CU_add_test(suite, "TLS 1.3: an allocation fails", test_13);
    CU_add_test(suite, "TLS 1.2: an allocation fails", test_12);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 2);
    CU_cleanup_registry();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return failures != 0;
}
