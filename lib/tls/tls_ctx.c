/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_ctx.h"
#include "tls_limit.h"
#include "tls_mem.h"
#include "tls_offer.h"
#include "tls_pem.h"
#include "tls_ticket.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CERT_LIST_MAX (16 * 1024) /* bytes of the peer's Certificate message */

static int load_certs(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    int rc;

    if (cfg->cert_file == NULL && cfg->key_file == NULL && cfg->role == HG_TLS_CLIENT)
        return 0;
    if (cfg->cert_file == NULL || cfg->key_file == NULL)
        return hg_fail(err, -EINVAL, "a certificate file and a key file are both needed for TLS");
    rc = hg_tls_certs_load(&ctx->certs, cfg->cert_file, cfg->key_file, err);
    return rc != 0 ? rc : hg_tls_certs_install(&ctx->certs, ctx->ssl, (int64_t)time(NULL), err);
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
    ctx->keylog_buf = OPENSSL_malloc(BUFSIZ);
    if (ctx->keylog != NULL && ctx->keylog_buf != NULL &&
        setvbuf(ctx->keylog, ctx->keylog_buf, _IOFBF, BUFSIZ) == 0)
        return 0;
    if (ctx->keylog != NULL)
        return hg_fail(err, -ENOMEM, "no memory for a key log");
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
    /* A handshake that waits for its peer costs little: no buffers for records, and messages of a size
     * that fits them. docs/tls.md has the sums. */
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ssl, CERT_LIST_MAX);
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
        rc = load_certs(ctx, cfg, err);
    if (rc == 0)
        rc = hg_tls_trust_load(&ctx->trust, ctx->ssl, cfg, err);
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
    rc = ctx->ssl == NULL
             ? hg_fail(err, -ENOMEM, "OpenSSL gives no TLS context: %s", hg_tls_reason())
             : configure(ctx, cfg, err);
    ERR_clear_error();
    hg_tls_scrub();
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

bool hg_tls_ctx_is_last(const struct hg_tls_ctx *ctx)
{
    return atomic_load_explicit(&ctx->refs, memory_order_acquire) == 1;
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
    OPENSSL_clear_free(ctx->keylog_buf, BUFSIZ);
    free(ctx->server_name);
    hg_tls_trust_free(&ctx->trust);
    hg_tls_certs_free(&ctx->certs);
    free(ctx);
}

/* ---- what it was made of ---- */

static void cert_item(const struct hg_tls_certs *certs, unsigned n, int64_t now,
                      struct hg_tls_item *out)
{
    const struct hg_tls_cert *c = &certs->list[n];

    out->kind = HG_TLS_ITEM_CERT;
    out->file = c->file;
    out->key = hg_tls_key_type_name(c->type);
    out->from = c->not_before;
    out->until = c->not_after;
    out->in_use = hg_tls_certs_best(certs, c->type, now) == c;
    hg_tls_name_text(X509_get_subject_name(c->leaf), out->subject);
}

static void ca_item(const struct hg_tls_trust *trust, unsigned n, struct hg_tls_item *out)
{
    const X509 *ca = sk_X509_value(trust->cas, (int)n);

    out->kind = HG_TLS_ITEM_CA;
    out->file = trust->ca_file;
    out->from = hg_tls_seconds(X509_get0_notBefore(ca));
    out->until = hg_tls_seconds(X509_get0_notAfter(ca));
    hg_tls_name_text(X509_get_subject_name(ca), out->subject);
}

static void crl_item(const struct hg_tls_trust *trust, unsigned n, struct hg_tls_item *out)
{
    const X509_CRL *crl = sk_X509_CRL_value(trust->crls, (int)n);

    out->kind = HG_TLS_ITEM_CRL;
    out->file = trust->crl_file;
    out->from = hg_tls_seconds(X509_CRL_get0_lastUpdate(crl));
    out->until = hg_tls_seconds(X509_CRL_get0_nextUpdate(crl));
    hg_tls_name_text(X509_CRL_get_issuer(crl), out->subject);
}

bool hg_tls_ctx_item(const struct hg_tls_ctx *ctx, unsigned *cursor, int64_t now,
                     struct hg_tls_item *out)
{
    unsigned n = (*cursor)++;
    unsigned cas = ctx->trust.cas == NULL ? 0 : (unsigned)sk_X509_num(ctx->trust.cas);
    unsigned crls = ctx->trust.crls == NULL ? 0 : (unsigned)sk_X509_CRL_num(ctx->trust.crls);

    *out = (struct hg_tls_item){.key = ""};
    if (n < ctx->certs.n)
        cert_item(&ctx->certs, n, now, out);
    else if (n - ctx->certs.n < cas)
        ca_item(&ctx->trust, n - ctx->certs.n, out);
    else if (n - ctx->certs.n - cas < crls)
        crl_item(&ctx->trust, n - ctx->certs.n - cas, out);
    else
        return false;
    return true;
}

unsigned hg_tls_ctx_pins(const struct hg_tls_ctx *ctx)
{
    return ctx->trust.pins == NULL ? 0 : hg_pins_count(ctx->trust.pins);
}
