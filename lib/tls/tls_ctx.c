/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_ctx.h"
#include "tls_limit.h"
#include "tls_offer.h"
#include "tls_ticket.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Certificates between a leaf and its root at most; a longer chain is refused. */
#define CHAIN_MAX 8

/* OpenSSL's reason for the newest error on this thread; empties the queue. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return text == NULL ? "unknown reason" : text;
}

/* OpenSSL tells a missing file badly, so we look first. */
static int check_readable(const char *what, const char *file, struct hg_err *err)
{
    FILE *f = fopen(file, "re");
    int e = errno;

    if (f == NULL)
        return hg_fail(err, -e, "%s file %s: %s", what, file, strerror(e));
    fclose(f);
    return 0;
}

/* A daemon must not ask for a pass phrase on a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static int load_cert(SSL_CTX *ssl, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    int rc;

    if (cfg->cert_file == NULL && cfg->key_file == NULL && cfg->role == HG_TLS_CLIENT)
        return 0;
    if (cfg->cert_file == NULL || cfg->key_file == NULL)
        return hg_fail(err, -EINVAL, "a certificate file and a key file are both needed for TLS");
    rc = check_readable("certificate", cfg->cert_file, err);
    if (rc == 0)
        rc = check_readable("key", cfg->key_file, err);
    if (rc != 0)
        return rc;
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ssl, cfg->cert_file) != 1)
        return hg_fail(err, -EINVAL, "certificate file %s is no usable PEM chain: %s",
                       cfg->cert_file, reason());
    if (SSL_CTX_use_PrivateKey_file(ssl, cfg->key_file, SSL_FILETYPE_PEM) != 1)
        return hg_fail(err, -EINVAL,
                       "key file %s is no usable PEM key without pass phrase, or not the key of "
                       "certificate %s: %s",
                       cfg->key_file, cfg->cert_file, reason());
    return 0;
}

/* For a server also the list of CA names that clients choose their certificate by. */
static int load_ca(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    STACK_OF(X509_NAME) * names;
    int rc;

    if (cfg->role == HG_TLS_SERVER && cfg->client_cert == HG_TLS_CERT_OFF) {
        SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    if (cfg->ca_file == NULL)
        return hg_fail(err, -EINVAL, "a CA file is needed to verify the TLS peer");
    rc = check_readable("CA", cfg->ca_file, err);
    if (rc != 0)
        return rc;
    if (SSL_CTX_load_verify_file(ctx->ssl, cfg->ca_file) != 1)
        return hg_fail(err, -EINVAL, "CA file %s holds no usable PEM certificate: %s", cfg->ca_file,
                       reason());
    ctx->ca_file = strdup(cfg->ca_file);
    if (ctx->ca_file == NULL)
        return hg_fail(err, -ENOMEM, "no memory for a TLS context");
    SSL_CTX_set_verify(
        ctx->ssl,
        SSL_VERIFY_PEER |
            (cfg->client_cert == HG_TLS_CERT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    SSL_CTX_set_verify_depth(ctx->ssl, CHAIN_MAX);
    /* Every certificate in the file is an anchor, so a site may trust its own intermediate CA only.
     */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    if (cfg->role == HG_TLS_CLIENT)
        return 0;
    names = SSL_load_client_CA_file(cfg->ca_file);
    if (names == NULL)
        return hg_fail(err, -EINVAL, "CA file %s: %s", cfg->ca_file, reason());
    SSL_CTX_set_client_CA_list(ctx->ssl, names); /* takes it */
    return 0;
}

/* Client: what the server's certificate must be for (RFC 6125 through OpenSSL). */
static int set_server_name(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx->ssl);

    if (cfg->role != HG_TLS_CLIENT || cfg->server_name == NULL)
        return 0;
    ctx->server_name = strdup(cfg->server_name);
    if (ctx->server_name == NULL)
        return hg_fail(err, -ENOMEM, "no memory for a TLS context");
    ctx->server_name_is_ip = X509_VERIFY_PARAM_set1_ip_asc(param, cfg->server_name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!ctx->server_name_is_ip && (cfg->server_name[0] == '\0' ||
                                    X509_VERIFY_PARAM_set1_host(param, cfg->server_name, 0) != 1))
        return hg_fail(err, -EINVAL, "server name \"%s\" is no host name or address",
                       cfg->server_name);
    return 0;
}

static int set_alpn(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    size_t len = cfg->alpn == NULL ? 0 : strlen(cfg->alpn);

    ctx->alpn_optional = cfg->alpn_optional;
    if (cfg->alpn == NULL)
        return 0;
    if (len == 0 || len > 255)
        return hg_fail(err, -EINVAL, "ALPN protocol \"%.32s\" must have 1 to 255 bytes", cfg->alpn);
    ctx->alpn[0] = (uint8_t)len;
    memcpy(ctx->alpn + 1, cfg->alpn, len);
    if (cfg->role == HG_TLS_CLIENT &&
        SSL_CTX_set_alpn_protos(ctx->ssl, ctx->alpn, (unsigned)len + 1) != 0)
        return hg_fail(err, -ENOMEM, "no memory for a TLS context");
    return 0;
}

/* The file unlocks every recorded session, so nobody but the owner may read it. */
static int open_keylog(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    int fd, e;

    if (cfg->keylog_file == NULL)
        return 0;
    fd = open(cfg->keylog_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ctx->keylog = fd < 0 ? NULL : fdopen(fd, "a");
    if (ctx->keylog != NULL)
        return 0;
    e = errno;
    if (fd >= 0)
        close(fd);
    return hg_fail(err, -e, "key log file %s: %s", cfg->keylog_file, strerror(e));
}

/* No session cache, and no tickets unless hg_tls_tickets_setup() allows them; never 0-RTT. No
 * renegotiation: once our records take over OpenSSL is gone. Tickets need psk_dhe_ke in TLS 1.3,
 * which is OpenSSL's way unless told otherwise. */
static void set_options(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN); /* the certificate file has the chain to send */
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_recv_max_early_data(ssl, 0);
}

static int configure(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    int rc;

    set_options(ctx->ssl);
    rc = hg_tls_offer_set(ctx->ssl, cfg, err);
    if (rc == 0)
        rc = load_cert(ctx->ssl, cfg, err);
    if (rc == 0)
        rc = load_ca(ctx, cfg, err);
    if (rc == 0)
        rc = set_server_name(ctx, cfg, err);
    if (rc == 0)
        rc = set_alpn(ctx, cfg, err);
    if (rc == 0)
        rc = hg_tls_limit_setup(ctx, cfg, err);
    if (rc == 0)
        rc = hg_tls_tickets_setup(ctx, cfg, err);
    if (rc == 0)
        rc = open_keylog(ctx, cfg, err);
    if (rc == 0)
        hg_tls_hs_setup(ctx);
    return rc;
}

int hg_tls_ctx_create(const struct hg_tls_cfg *cfg, struct hg_tls_ctx **out, struct hg_err *err)
{
    struct hg_tls_ctx *ctx = calloc(1, sizeof *ctx);
    int rc;

    *out = NULL;
    if (ctx == NULL)
        return hg_fail(err, -ENOMEM, "no memory for a TLS context");
    atomic_init(&ctx->refs, 1);
    ctx->role = cfg->role;
    ctx->provider = cfg->provider;
    ctx->update_after = cfg->update_after;
    ERR_clear_error();
    ctx->ssl = SSL_CTX_new(cfg->role == HG_TLS_SERVER ? TLS_server_method() : TLS_client_method());
    rc = ctx->ssl == NULL ? hg_fail(err, -ENOMEM, "OpenSSL gives no TLS context: %s", reason())
                          : configure(ctx, cfg, err);
    ERR_clear_error();
    if (rc != 0) {
        hg_tls_ctx_unref(ctx);
        return rc;
    }
    *out = ctx;
    return 0;
}

struct hg_tls_ctx *hg_tls_ctx_ref(struct hg_tls_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void hg_tls_ctx_tick(struct hg_tls_ctx *ctx, int64_t now)
{
    hg_tls_tickets_tick(ctx->tickets, (time_t)now);
}

bool hg_tls_ctx_requires_cert(const struct hg_tls_ctx *ctx)
{
    return (SSL_CTX_get_verify_mode(ctx->ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0;
}

void hg_tls_ctx_unref(struct hg_tls_ctx *ctx)
{
    if (ctx == NULL || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(ctx->ssl);
    hg_tls_tickets_destroy(ctx->tickets);
    if (ctx->keylog != NULL)
        fclose(ctx->keylog);
    free(ctx->server_name);
    free(ctx->ca_file);
    free(ctx);
}
