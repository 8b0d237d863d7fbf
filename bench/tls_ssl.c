/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_ssl.h"
#include "cpu.h"
#include <openssl/ssl.h>

static SSL *end_of(const SSL_METHOD *method, const struct hg_tls_cfg *cfg, const char *suite)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    SSL *ssl;

    if (ctx == NULL || SSL_CTX_set_ciphersuites(ctx, suite) != 1 ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(ctx, cfg->cert_file) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, cfg->key_file, SSL_FILETYPE_PEM) != 1)
        cpu_die("tls_bench: OpenSSL does not take the certificate");
    SSL_CTX_set_num_tickets(ctx, 0);
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (ssl == NULL)
        cpu_die("tls_bench: no memory for OpenSSL");
    return ssl;
}

/* What one writes the other reads. */
static void join(struct ssl_pair *p)
{
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());

    if (up == NULL || down == NULL)
        cpu_die("tls_bench: no memory for OpenSSL");
    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(p->client, down, up);
    SSL_set_bio(p->server, up, down);
}

void ssl_pair_connect(struct ssl_pair *p, const struct hg_tls_cfg *cfg, const char *suite)
{
    p->client = end_of(TLS_client_method(), cfg, suite);
    p->server = end_of(TLS_server_method(), cfg, suite);
    join(p);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    for (unsigned i = 0; i < 8; i++) {
        SSL_do_handshake(p->client);
        SSL_do_handshake(p->server);
    }
    if (!SSL_is_init_finished(p->client) || !SSL_is_init_finished(p->server))
        cpu_die("tls_bench: OpenSSL's handshake did not end");
}

void ssl_pair_free(struct ssl_pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
}

double ssl_pair_read(struct ssl_pair *p, const uint8_t *text, uint32_t len, unsigned n,
                     uint8_t *dst)
{
    double t;

    for (unsigned i = 0; i < n; i++)
        if (SSL_write(p->client, text, (int)len) != (int)len)
            cpu_die("tls_bench: OpenSSL does not write");
    t = cpu_now();
    for (unsigned i = 0; i < n; i++)
        if (SSL_read(p->server, dst, (int)len) != (int)len)
            cpu_die("tls_bench: OpenSSL does not read");
    return cpu_now() - t;
}
