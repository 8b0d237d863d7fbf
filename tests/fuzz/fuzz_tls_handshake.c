/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes of a stranger in the handshake. byte 0: which end and version we are; byte 1: size of the
 * pieces; the rest is the stream. OpenSSL's randomness is replaced by a counter that starts anew
 * with each input, and the clock stands still, so that a run can be repeated and session tickets of
 * the corpus open. Context 6 asks for no certificate, so that those resume.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <headgate/tls.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ends the run: the fuzzer keeps the input. */
#define CHECK(cond) ((cond) ? (void)0 : abort())

#define CTXS 7

static struct hg_tls_shard *shard;
static struct hg_tls_ctx *ctxs[CTXS];
static uint64_t counter;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everybody's clock. */
time_t time(time_t *t)
{
    const time_t now = 1700000000;

    if (t != NULL)
        *t = now;
    return now;
}

static int counted_bytes(unsigned char *p, int n)
{
    for (int i = 0; i < n; i++) {
        counter = counter * UINT64_C(6364136223846793005) + 1442695040888963407;
        p[i] = (unsigned char)(counter >> 56);
    }
    return 1;
}

static int counted_status(void)
{
    return 1;
}

static void write_files(const char *cert, const char *key)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    FILE *f;

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400 * 365L);
    X509_set_pubkey(x, k);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"fuzz", -1, -1, 0);
    X509_set_issuer_name(x, name);
    CHECK(X509_sign(x, k, EVP_sha256()) > 0);
    f = fopen(cert, "w");
    CHECK(f != NULL && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    f = fopen(key, "w");
    CHECK(f != NULL && PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL) == 1 &&
          fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(k);
}

/* Server and client, each for TLS 1.2, 1.3 and both, then the server of whoever comes. */
static void make_ctxs(const char *cert, const char *key)
{
    struct hg_tls_cfg cfg = {.cert_file = cert, .key_file = key, .ca_file = cert};

    for (int i = 0; i < CTXS; i++) {
        cfg.role = i < 3 || i == 6 ? HG_TLS_SERVER : HG_TLS_CLIENT;
        cfg.min_version = i % 3 == 1 ? HG_TLS_1_3 : HG_TLS_1_2;
        cfg.max_version = i % 3 == 0 && i != 6 ? HG_TLS_1_2 : HG_TLS_1_3;
        cfg.client_cert = i == 6 ? HG_TLS_CERT_OFF : HG_TLS_CERT_REQUIRED;
        cfg.tickets = cfg.role == HG_TLS_SERVER ? 2 : 0;
        cfg.alpn = i == 2 ? "headgate/1" : NULL;
        cfg.alpn_optional = true;
        counter = (uint64_t)i; /* ticket keys do not depend on what was made before */
        CHECK(hg_tls_ctx_create(&cfg, &ctxs[i], NULL) == 0);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const RAND_METHOD counted = {
        .bytes = counted_bytes, .pseudorand = counted_bytes, .status = counted_status};
    char dir[] = "/tmp/hg-fuzz-XXXXXX", cert[64], key[64];

    (void)argc;
    (void)argv;
    CHECK(RAND_set_rand_method(&counted) == 1);
    CHECK(mkdtemp(dir) != NULL);
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    write_files(cert, key);
    make_ctxs(cert, key);
    unlink(cert);
    unlink(key);
    rmdir(dir);
    CHECK(hg_tls_shard_create(&shard, NULL) == 0);
    return 0;
}

static void take_all(struct hg_tls *tls)
{
    uint8_t out[1000];

    while (hg_tls_take(tls, out, sizeof out) != 0)
        ;
    CHECK(hg_tls_pending(tls) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hg_iov iov[1024];
    static uint8_t dst[HG_TLS_MAX_RECORD];
    const struct hg_iov room = {dst, sizeof dst};
    struct hg_tls *tls;
    struct hg_tls_opened res = {0};
    size_t at = 2, piece;
    int rc;

    if (size < 2)
        return 0;
    counter = 1;
    CHECK(hg_tls_create(ctxs[data[0] % CTXS], shard, &tls) == 0);
    piece = 1u + data[1] * 8u;
    do {
        unsigned n = 0;

        for (size_t p = at; p < size && n < HG_ARRAY_LEN(iov); p += piece)
            iov[n++] = (struct hg_iov){(uint8_t *)data + p,
                                       (uint32_t)(size - p < piece ? size - p : piece)};
        rc = hg_tls_open(tls, iov, n, &room, &res);
        CHECK(rc == 0 || (rc == -EPROTO && hg_tls_state(tls) == HG_TLS_FAILED));
        CHECK((rc != 0) == (hg_tls_error(tls)[0] != '\0'));
        CHECK(res.consumed <= size - at && res.len == 0);
        at += res.consumed;
        take_all(tls);
    } while (rc == 0 && res.consumed != 0);
    /* Nobody gets in without the key of the certificate. */
    CHECK(hg_tls_state(tls) != HG_TLS_OPEN);
    hg_tls_destroy(tls);
    return 0;
}
