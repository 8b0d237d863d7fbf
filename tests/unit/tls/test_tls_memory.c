/* SPDX-License-Identifier: BSD-3-Clause */
/* What a peer that is not authenticated can make a server hold, ours and OpenSSL's objects together:
 * every allocation of OpenSSL goes through this file, and counts for the side that made it. */
#include "fixture.h"
#include "tls_conn.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define WORK_LIMIT (3 * HG_TLS_STRANGER_BYTES) /* while a step runs, of which few do at once */

/* ---- accounting ---- */

struct block {
    size_t size;
    bool server;
    alignas(16) uint8_t bytes[];
};

static bool serving; /* the server runs: what is allocated is its own */
static size_t held, peak;

static void account(struct block *b, bool add)
{
    if (!b->server)
        return;
    held = add ? held + b->size + sizeof *b : held - b->size - sizeof *b;
    peak = held > peak ? held : peak;
}

static void *count_malloc(size_t n, const char *file, int line)
{
    struct block *b = malloc(sizeof *b + n);

    (void)file;
    (void)line;
    if (b == NULL)
        return NULL;
    b->size = n;
    b->server = serving;
    account(b, true);
    return b->bytes;
}

static void count_free(void *p, const char *file, int line)
{
    struct block *b;

    (void)file;
    (void)line;
    if (p == NULL)
        return;
    b = HG_CONTAINER_OF(p, struct block, bytes);
    account(b, false);
    free(b);
}

/* As the C library may do it, both copies exist for a moment. */
static void *count_realloc(void *p, size_t n, const char *file, int line)
{
    void *q = n == 0 ? NULL : count_malloc(n, file, line);
    size_t old = p == NULL ? 0 : HG_CONTAINER_OF(p, struct block, bytes)->size;

    if (n != 0 && q == NULL)
        return NULL;
    if (p != NULL && q != NULL)
        memcpy(q, p, old < n ? old : n);
    count_free(p, file, line);
    return q;
}

/* ---- a server, and OpenSSL as a client that sends much ---- */

static struct hg_tls_shard *shard;

struct visit {
    enum hg_tls_version version;
    const char *chain; /* the client's certificates */
    size_t hello;      /* bytes of an extension that makes its hello large */
    bool refused;      /* it asks for too much */
};

static struct hg_tls *make_server(const struct visit *v)
{
    struct hg_tls_cfg cfg = {
        .role = HG_TLS_SERVER,
        .min_version = v->version,
        .max_version = v->version,
        .cert_file = fx_path("server", ".crt"),
        .key_file = fx_path("server", ".key"),
        .ca_file = fx_path("ca", ".crt"),
    };
    static struct hg_tls_ctx *ctx[2]; /* outlive all: their caches are not a connection's */
    unsigned i = v->version == HG_TLS_1_3;
    struct hg_tls *tls;

    if (ctx[i] == NULL)
        FX_MUST(hg_tls_ctx_create(&cfg, &ctx[i], NULL) == 0);
    serving = true;
    FX_MUST(hg_tls_create(ctx[i], shard, &tls) == 0);
    serving = false;
    return tls;
}

/* The signature is OpenSSL's. */
static int add_padding(SSL *ssl, unsigned ext, unsigned context, const unsigned char **out,
                       size_t *out_len, X509 *x, size_t chain, int *alert, void *arg)
{
    static unsigned char zeros[1 << 16];

    (void)ssl, (void)ext, (void)context, (void)x, (void)chain, (void)alert;
    *out = zeros;
    *out_len = *(const size_t *)arg;
    return 1;
}

static SSL_CTX *make_client(const struct visit *v)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    FX_MUST(ctx != NULL);
    FX_MUST(SSL_CTX_set_min_proto_version(ctx, v->version) == 1);
    FX_MUST(SSL_CTX_set_max_proto_version(ctx, v->version) == 1);
    FX_MUST(SSL_CTX_use_certificate_chain_file(ctx, fx_path(v->chain, ".crt")) == 1);
    FX_MUST(SSL_CTX_use_PrivateKey_file(ctx, fx_path("client", ".key"), SSL_FILETYPE_PEM) == 1);
    if (v->hello != 0)
        FX_MUST(SSL_CTX_add_custom_ext(ctx, 0x5a5a, SSL_EXT_CLIENT_HELLO, add_padding, NULL,
                                       (void *)&v->hello, NULL, NULL) == 1);
    return ctx;
}

/* What a server holds before it knows the client, bytes. */
struct cost {
    size_t waiting; /* while it waits for the client, at most: for as long as the client likes */
    size_t working; /* within a step, at most */
};

/* The server's records one by one. */
static void serve(struct fx_mixed *m, struct cost *cost, struct fx_buf *reply)
{
    size_t len;

    do {
        len = m->to_tls.len;
        peak = held;
        serving = true;
        if (hg_tls_state(m->tls) == HG_TLS_HANDSHAKE)
            fx_open(m->tls, &m->to_tls, 0, NULL);
        fx_take(m->tls, reply, 0);
        serving = false;
        cost->working = peak > cost->working ? peak : cost->working;
        if (hg_tls_state(m->tls) == HG_TLS_HANDSHAKE && held > cost->waiting)
            cost->waiting = held;
    } while (m->to_tls.len != len);
}

static struct cost visit(const struct visit *v)
{
    SSL_CTX *ctx = make_client(v);
    struct fx_buf reply = {0};
    struct fx_mixed m;
    struct cost cost = {0};

    held = 0;
    fx_mixed_init(&m, ctx, make_server(v), true);
    for (unsigned round = 0; round < 4; round++) {
        if (SSL_do_handshake(m.ssl) != 1)
            SSL_get_error(m.ssl, -1);
        fx_mixed_flush(&m);
        serve(&m, &cost, &reply);
        if (reply.len != 0)
            FX_MUST(BIO_write(SSL_get_rbio(m.ssl), reply.p, (int)reply.len) == (int)reply.len);
        reply.len = 0;
    }
    CU_ASSERT_EQUAL(hg_tls_state(m.tls), v->refused ? HG_TLS_FAILED : HG_TLS_OPEN);
    if (v->refused != (hg_tls_state(m.tls) == HG_TLS_FAILED))
        printf("\n%s", hg_tls_error(m.tls));
    fx_mixed_free(&m);
    fx_free(&reply);
    SSL_CTX_free(ctx);
    return cost;
}

static void check(const char *what, const struct visit *v)
{
    struct cost cost;

    visit(v); /* fills what all connections share */
    cost = visit(v);
    printf("\n    %s, %s: %zu bytes while it waits, %zu within a step", what,
           v->version == HG_TLS_1_3 ? "TLS 1.3" : "TLS 1.2", cost.waiting, cost.working);
    CU_ASSERT(cost.waiting <= HG_TLS_STRANGER_BYTES);
    CU_ASSERT(cost.working <= WORK_LIMIT);
    CU_ASSERT(cost.working >= sizeof(struct hg_tls)); /* it was counted at all */
}

static void both(const char *what, struct visit v)
{
    v.version = HG_TLS_1_3;
    check(what, &v);
    v.version = HG_TLS_1_2;
    check(what, &v);
}

static void test_usual(void)
{
    both("usual", (struct visit){.chain = "client"});
}

static void test_large(void)
{
    both("large hello", (struct visit){.chain = "client", .hello = 9700});
    both("8 certificates of RSA", (struct visit){.chain = "chain8"});
    both("both", (struct visit){.chain = "chain8", .hello = 9700});
}

static void test_too_large(void)
{
    both("hello of 15,000", (struct visit){.chain = "client", .hello = 15000, .refused = true});
    both("hello of 60,000", (struct visit){.chain = "client", .hello = 60000, .refused = true});
    both("60 certificates", (struct visit){.chain = "chain60", .refused = true});
}

static void test_silent(void)
{
    struct hg_tls *tls;

    held = 0;
    tls = make_server(&(struct visit){.version = HG_TLS_1_3});
    printf("\n    silent: %zu bytes", held);
    CU_ASSERT(held <= sizeof(struct hg_tls) + 256);
    hg_tls_destroy(tls);
    CU_ASSERT_EQUAL(held, 0);
}

/* ---- program ---- */

static void append(FILE *to, const char *name)
{
    FILE *f = fopen(fx_path(name, ".crt"), "r");
    int c;

    FX_MUST(f != NULL);
    while ((c = getc(f)) != EOF)
        putc(c, to);
    fclose(f);
}

static void make_chain(const char *name, unsigned certs)
{
    FILE *f = fopen(fx_path(name, ".crt"), "w");

    FX_MUST(f != NULL);
    append(f, "client");
    for (unsigned i = 1; i < certs; i++)
        append(f, i % 2 == 0 ? "rsa1" : "rsa2");
    FX_MUST(fclose(f) == 0);
}

static void make_files(void)
{
    fx_make_dir();
    fx_make_cert(&(struct fx_cert){.file = "ca", .cn = "ca", .key = FX_RSA});
    fx_make_cert(&(struct fx_cert){
        .file = "server", .issuer = "ca", .cn = "node", .eku = "serverAuth", .key = FX_RSA});
    fx_make_cert(&(struct fx_cert){
        .file = "client", .issuer = "ca", .cn = "web-01", .eku = "clientAuth", .key = FX_RSA});
    fx_make_cert(&(struct fx_cert){.file = "rsa1", .cn = "rsa1", .key = FX_RSA});
    fx_make_cert(&(struct fx_cert){.file = "rsa2", .cn = "rsa2", .key = FX_RSA});
    make_chain("chain8", 8);
    make_chain("chain60", 60);
}

int main(void)
{
    unsigned failures;
    CU_pSuite suite;

    FX_MUST(CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) == 1);
    make_files();
    FX_MUST(hg_tls_shard_create(&shard, NULL) == 0);
    CU_initialize_registry();
    suite = CU_add_suite("tls_memory", NULL, NULL);
    CU_add_test(suite, "a silent peer costs one small object", test_silent);
    CU_add_test(suite, "a usual handshake stays within 64 KiB", test_usual);
    CU_add_test(suite, "a large one too, which is let through", test_large);
    CU_add_test(suite, "a larger one is refused before it costs more", test_too_large);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 4);
    CU_cleanup_registry();
    hg_tls_shard_destroy(shard);
    fx_remove();
    return failures != 0;
}
