/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fx_die(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: the test's fixture failed: %s\n", file, line, what);
    ERR_print_errors_fp(stderr);
    exit(99);
}

/* ---- files ---- */

static char dir[256];

void fx_make_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/hg-tls-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    FX_MUST(mkdtemp(dir) != NULL);
}

void fx_remove(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    FX_MUST(d != NULL);
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    FX_MUST(rmdir(dir) == 0);
}

const char *fx_path(const char *name, const char *suffix)
{
    static char ring[16][512];
    static unsigned next;
    char *path = ring[next++ % 16];

    snprintf(path, sizeof ring[0], "%s/%s%s", dir, name, suffix);
    return path;
}

void fx_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    FX_MUST(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static size_t read_text(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = f == NULL ? 0 : fread(text, 1, size, f);

    FX_MUST(n > 0 && n < size && fclose(f) == 0);
    return n;
}

void fx_concat(const char *first, const char *second, const char *to)
{
    char text[16384];
    size_t n = read_text(first, text, sizeof text);

    n += read_text(second, text + n, sizeof text - n);
    text[n] = '\0';
    fx_write(to, text);
}

/* ---- certificates ---- */

static EVP_PKEY *make_rsa_pss(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *key = NULL;

    FX_MUST(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 &&
            EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 && EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *make_key(enum fx_key kind)
{
    EVP_PKEY *key = kind == FX_RSA       ? EVP_RSA_gen(2048)
                    : kind == FX_RSA1024 ? EVP_RSA_gen(1024)
                    : kind == FX_RSA_PSS ? make_rsa_pss()
                    : kind == FX_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                    : kind == FX_P384    ? EVP_EC_gen("P-384")
                                         : EVP_EC_gen("P-256");

    FX_MUST(key != NULL);
    return key;
}

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, (char *)value);
    FX_MUST(ext != NULL && X509_add_ext(x, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static void set_subject(X509 *x, const struct fx_cert *c)
{
    X509_NAME *name = X509_get_subject_name(x);
    const char *text = c->cn == NULL ? "Headgate test" : c->cn;

    FX_MUST(X509_NAME_add_entry_by_txt(name, c->cn == NULL ? "O" : "CN", MBSTRING_UTF8,
                                       (const unsigned char *)text, (int)strlen(text), -1, 0) == 1);
}

static X509 *read_cert(const char *file)
{
    FILE *f = fopen(fx_path(file, ".crt"), "r");
    X509 *x = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);

    FX_MUST(x != NULL);
    fclose(f);
    return x;
}

static EVP_PKEY *read_key(const char *file)
{
    FILE *f = fopen(fx_path(file, ".key"), "r");
    EVP_PKEY *k = f == NULL ? NULL : PEM_read_PrivateKey(f, NULL, NULL, NULL);

    FX_MUST(k != NULL);
    fclose(f);
    return k;
}

static void write_pem(const char *file, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(fx_path(file, ".crt"), "w");

    FX_MUST(f != NULL && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    f = fopen(fx_path(file, ".key"), "w");
    FX_MUST(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 &&
            fclose(f) == 0);
}

void fx_make_cert(const struct fx_cert *c)
{
    static long serial = 1;
    EVP_PKEY *key = make_key(c->key);
    EVP_PKEY *ca_key = c->issuer == NULL ? key : read_key(c->issuer);
    X509 *x = X509_new(), *ca = c->issuer == NULL ? x : read_cert(c->issuer);
    bool ed = EVP_PKEY_get_base_id(ca_key) == EVP_PKEY_ED25519;
    long from = c->from == 0 && c->until == 0 ? -3600 : c->from;
    long until = c->from == 0 && c->until == 0 ? 3600 : c->until;

    FX_MUST(x != NULL && X509_set_version(x, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), until);
    X509_set_pubkey(x, key);
    set_subject(x, c);
    X509_set_issuer_name(x, X509_get_subject_name(ca));
    add_ext(x, ca, NID_basic_constraints,
            c->issuer == NULL || c->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (c->san != NULL)
        add_ext(x, ca, NID_subject_alt_name, c->san);
    if (c->eku != NULL)
        add_ext(x, ca, NID_ext_key_usage, c->eku);
    FX_MUST(X509_sign(x, ca_key, ed ? NULL : c->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    write_pem(c->file, x, key);
    if (ca != x) {
        X509_free(ca);
        EVP_PKEY_free(ca_key);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

static void add_revoked(X509_CRL *crl, const char *file)
{
    X509 *x = read_cert(file);
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, -60);

    FX_MUST(r != NULL && X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(x)) == 1 &&
            X509_REVOKED_set_revocationDate(r, when) == 1 && X509_CRL_add0_revoked(crl, r) == 1);
    ASN1_TIME_free(when);
    X509_free(x);
}

void fx_make_crl(const struct fx_crl *c)
{
    X509_CRL *crl = X509_CRL_new();
    X509 *issuer = read_cert(c->issuer);
    EVP_PKEY *key = read_key(c->signer == NULL ? c->issuer : c->signer);
    bool preset = c->from == 0 && c->until == 0;
    ASN1_TIME *from = X509_gmtime_adj(NULL, preset ? -3600 : c->from);
    ASN1_TIME *until = X509_gmtime_adj(NULL, preset ? 3600 : c->until);
    FILE *f;

    FX_MUST(crl != NULL && X509_CRL_set_version(crl, 1) == 1 &&
            X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
            X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1);
    if (c->revoked != NULL)
        add_revoked(crl, c->revoked);
    FX_MUST(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    f = fopen(fx_path(c->file, ".crl"), "w");
    FX_MUST(f != NULL && PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    EVP_PKEY_free(key);
    X509_free(issuer);
    X509_CRL_free(crl);
}

/* ---- bytes ---- */

void fx_put(struct fx_buf *b, const void *p, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len);
        b->p = realloc(b->p, b->cap);
        FX_MUST(b->p != NULL);
    }
    if (len != 0)
        memcpy(b->p + b->len, p, len);
    b->len += len;
}

void fx_cut(struct fx_buf *b, size_t len)
{
    FX_MUST(len <= b->len);
    if (len != 0)
        memmove(b->p, b->p + len, b->len - len);
    b->len -= len;
}

void fx_free(struct fx_buf *b)
{
    free(b->p);
    memset(b, 0, sizeof *b);
}

/* ---- moving ---- */

void fx_take(struct hg_tls *t, struct fx_buf *to, uint32_t bite)
{
    uint8_t bytes[4096];
    uint32_t n, cap = bite == 0 || bite > sizeof bytes ? sizeof bytes : bite;

    while ((n = hg_tls_take(t, bytes, cap)) != 0)
        fx_put(to, bytes, n);
    FX_MUST(hg_tls_pending(t) == 0);
}

#define PIECES 4096

static unsigned make_pieces(struct fx_buf *in, uint32_t piece, struct hg_iov *iov)
{
    unsigned n = 0;
    size_t off = 0;

    while (off < in->len && n < PIECES) {
        size_t len = piece == 0 || in->len - off < piece ? in->len - off : piece;

        iov[n++] = (struct hg_iov){.base = in->p + off, .len = (uint32_t)len};
        off += len;
    }
    return n;
}

int fx_open(struct hg_tls *t, struct fx_buf *in, uint32_t piece, struct fx_buf *plain)
{
    static struct hg_iov iov[PIECES];
    struct hg_tls_opened res;
    int rc;

    do {
        unsigned n = make_pieces(in, piece, iov);
        uint32_t peek = hg_tls_peek(t, iov, n), cap = peek == 0 ? HG_TLS_MAX_RECORD : peek;
        uint8_t *dst = malloc(cap);

        FX_MUST(dst != NULL);
        rc = hg_tls_open(t, iov, n, &(struct hg_iov){dst, cap}, &res);
        FX_MUST(res.len <= cap && res.consumed <= in->len);
        if (rc == 0 && plain != NULL)
            fx_put(plain, dst, res.len);
        free(dst);
        fx_cut(in, res.consumed);
    } while (rc == 0 && res.consumed != 0);
    return rc;
}

int fx_seal(struct hg_tls *t, const void *p, size_t len, uint32_t rec, struct fx_buf *to)
{
    const uint8_t *at = p;
    uint8_t out[HG_TLS_MAX_RECORD];

    do {
        struct hg_iov iov = {.base = (uint8_t *)at, .len = len < rec ? (uint32_t)len : rec};
        int n = hg_tls_seal(t, &iov, 1, out, sizeof out);

        if (n < 0)
            return n;
        fx_put(to, out, (size_t)n);
        at += iov.len;
        len -= iov.len;
    } while (len != 0);
    return 0;
}

void fx_run(struct fx_pair *p, uint32_t piece)
{
    size_t before;

    do {
        fx_take(p->client, &p->c2s, piece);
        fx_take(p->server, &p->s2c, piece);
        before = p->c2s.len + p->s2c.len;
        fx_open(p->server, &p->c2s, piece, &p->server_got);
        fx_open(p->client, &p->s2c, piece, &p->client_got);
    } while (p->c2s.len + p->s2c.len != before || hg_tls_pending(p->client) != 0 ||
             hg_tls_pending(p->server) != 0);
}

void fx_pair_free(struct fx_pair *p)
{
    hg_tls_destroy(p->client);
    hg_tls_destroy(p->server);
    fx_free(&p->c2s);
    fx_free(&p->s2c);
    fx_free(&p->client_got);
    fx_free(&p->server_got);
    memset(p, 0, sizeof *p);
}

static void alert_cb(const SSL *ssl, int where, int ret)
{
    struct fx_mixed *m = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
        m->ssl_alert = ret & 0xff;
}

void fx_mixed_init(struct fx_mixed *m, SSL_CTX *ctx, struct hg_tls *tls, bool ssl_is_client)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    memset(m, 0, sizeof *m);
    m->tls = tls;
    m->ssl_alert = -1;
    m->ssl = SSL_new(ctx);
    FX_MUST(m->ssl != NULL && in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(m->ssl, in, out);
    SSL_set_app_data(m->ssl, m);
    SSL_set_info_callback(m->ssl, alert_cb);
    if (ssl_is_client)
        SSL_set_connect_state(m->ssl);
    else
        SSL_set_accept_state(m->ssl);
}

void fx_mixed_flush(struct fx_mixed *m)
{
    uint8_t bytes[4096];
    int n;

    while ((n = BIO_read(SSL_get_wbio(m->ssl), bytes, sizeof bytes)) > 0)
        fx_put(&m->to_tls, bytes, (size_t)n);
}

static void step_ssl(struct fx_mixed *m, struct fx_buf *ssl_got)
{
    uint8_t bytes[4096];
    int n, e;

    ERR_clear_error();
    n = SSL_do_handshake(m->ssl);
    while (n > 0) {
        n = SSL_read(m->ssl, bytes, sizeof bytes);
        if (n > 0 && ssl_got != NULL)
            fx_put(ssl_got, bytes, (size_t)n);
    }
    e = SSL_get_error(m->ssl, n);
    if (e == SSL_ERROR_SSL && m->ssl_error == 0)
        m->ssl_error = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    fx_mixed_flush(m);
}

void fx_mixed_run(struct fx_mixed *m, uint32_t piece, struct fx_buf *ssl_got)
{
    struct fx_buf out = {0};
    size_t moved;

    do {
        step_ssl(m, ssl_got);
        moved = m->to_tls.len;
        fx_open(m->tls, &m->to_tls, piece, &m->got);
        moved -= m->to_tls.len;
        fx_take(m->tls, &out, piece);
        moved += out.len;
        if (out.len != 0)
            FX_MUST(BIO_write(SSL_get_rbio(m->ssl), out.p, (int)out.len) == (int)out.len);
        out.len = 0;
    } while (moved != 0);
    fx_free(&out);
}

void fx_mixed_free(struct fx_mixed *m)
{
    SSL_free(m->ssl);
    hg_tls_destroy(m->tls);
    fx_free(&m->to_tls);
    fx_free(&m->got);
    memset(m, 0, sizeof *m);
}

uint32_t fx_rand(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}
