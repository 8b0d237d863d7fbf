/* SPDX-License-Identifier: BSD-3-Clause */
#include "certs.h"
#include <dirent.h>
#include <errno.h>
#include <headgate/proto.h>
#include <headgate/tls.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_crt(const struct dirent *d)
{
    size_t len = strlen(d->d_name);

    return len > 4 && strcmp(d->d_name + len - 4, ".crt") == 0;
}

/* Neither a CA nor a node's own: those may lie in the same directory. */
static bool is_client_cert(const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *x = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);
    bool yes = x != NULL && X509_check_ca(x) == 0 &&
               X509_check_purpose(x, X509_PURPOSE_SSL_CLIENT, 0) == 1;

    X509_free(x);
    if (file != NULL)
        fclose(file);
    ERR_clear_error();
    return yes;
}

/* Adds DIR/NAME.crt when it is a client's and its key is there as well. */
static int add_pair(struct certs *certs, const char *dir, const char *crt_name)
{
    struct cert c = {0};
    int stem = (int)strlen(crt_name) - 4;

    if (asprintf(&c.key, "%s/%.*s.key", dir, stem, crt_name) < 0)
        return -ENOMEM;
    if (asprintf(&c.crt, "%s/%s", dir, crt_name) < 0) {
        free(c.key);
        return -ENOMEM;
    }
    if (access(c.key, R_OK) == 0 && is_client_cert(c.crt)) {
        certs->list[certs->n++] = c;
        return 0;
    }
    free(c.key);
    free(c.crt);
    return 0;
}

static int find_in_dir(const char *dir, struct certs *out, struct hg_err *err)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_crt, alphasort);
    int rc = 0;

    if (n < 0)
        return hg_fail(err, -errno, "--cert-dir %s: %s", dir, strerror(errno));
    out->list = calloc((size_t)n + 1, sizeof *out->list);
    if (out->list == NULL)
        rc = -ENOMEM;
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = add_pair(out, dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (rc != 0)
        return hg_fail(err, rc, "--cert-dir %s: out of memory", dir);
    if (out->n == 0)
        return hg_fail(err, -ENOENT, "--cert-dir %s: holds no NAME.crt with a readable NAME.key",
                       dir);
    return 0;
}

int certs_find(const struct load_options *opt, struct certs *out, struct hg_err *err)
{
    int rc;

    *out = (struct certs){0};
    if (opt->cert_dir != NULL) {
        rc = find_in_dir(opt->cert_dir, out, err);
        if (rc != 0)
            certs_free(out);
        return rc;
    }
    out->list = calloc(1, sizeof *out->list);
    if (out->list == NULL)
        return hg_fail(err, -ENOMEM, "--cert: out of memory");
    out->list[0].crt = strdup(opt->cert);
    out->list[0].key = strdup(opt->key);
    out->n = 1;
    if (out->list[0].crt != NULL && out->list[0].key != NULL)
        return 0;
    certs_free(out);
    return hg_fail(err, -ENOMEM, "--cert: out of memory");
}

void certs_free(struct certs *certs)
{
    for (unsigned i = 0; i < certs->n; i++) {
        free(certs->list[i].crt);
        free(certs->list[i].key);
    }
    free(certs->list);
    *certs = (struct certs){0};
}

static const char *ssl_reason(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);

    return reason == NULL ? "unknown reason" : reason;
}

static int set_suite(SSL_CTX *ctx, const char *suite)
{
    if (suite == NULL)
        return 1;
    /* OpenSSL has two lists; the names of TLS 1.3 suites begin with TLS_. */
    if (strncmp(suite, "TLS_", 4) == 0)
        return SSL_CTX_set_ciphersuites(ctx, suite);
    return SSL_CTX_set_cipher_list(ctx, suite);
}

/* OpenSSL's callback has no place for a sentence that outlives the handshake's end. */
static _Thread_local struct hg_err refusal;

static int verify_cb(X509_STORE_CTX *x, void *arg)
{
    const struct load_options *opt = arg;
    const struct hg_tls_server_check check = {.ca_file = opt->ca, .pins = opt->pin};

    return hg_tls_verify_server(x, &check, &refusal);
}

const char *certs_refusal(void)
{
    static _Thread_local struct hg_err last;

    last = refusal;
    refusal.text[0] = '\0';
    return last.text;
}

SSL_CTX *certs_openssl(const struct load_options *opt, const struct cert *cert, struct hg_err *err)
{
    static const unsigned char alpn[] = "\x0a" HG_PROTO_ALPN;
    uint32_t min = opt->tls_version == 0 ? TLS1_2_VERSION : opt->tls_version;
    uint32_t max = opt->tls_version == 0 ? TLS1_3_VERSION : opt->tls_version;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *what = NULL;

    if (ctx == NULL) {
        hg_fail(err, -ENOMEM, "TLS: out of memory");
        return NULL;
    }
    if (SSL_CTX_set_min_proto_version(ctx, (int)min) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, (int)max) != 1)
        what = "TLS version";
    else if (set_suite(ctx, opt->suite) != 1)
        what = opt->suite;
    else if (SSL_CTX_use_certificate_chain_file(ctx, cert->crt) != 1)
        what = cert->crt;
    else if (SSL_CTX_use_PrivateKey_file(ctx, cert->key, SSL_FILETYPE_PEM) != 1)
        what = cert->key;
    else if (SSL_CTX_load_verify_locations(ctx, opt->ca, NULL) != 1)
        what = opt->ca;
    else if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) != 0)
        what = "ALPN";
    if (what != NULL) {
        hg_fail(err, -EINVAL, "TLS: %s cannot be used: %s", what, ssl_reason());
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_cb, (void *)opt);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}
