/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_limit.h"
#include "tls_alert.h"
#include "tls_ctx.h"
#include "tls_hs.h"
#include <errno.h>
#include <openssl/ssl.h>

#define RECORD_SIZE_LIMIT 28u /* RFC 8449 8 */
#define LIMIT_MIN 64u         /* RFC 8449 4: less is an illegal_parameter */

#define IN_SERVER_HELLO (SSL_EXT_TLS1_2_SERVER_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS)

/* Bytes of our handshake messages in one record: a handshake that waits has no room for more. */
#define HS_FRAGMENT 4096u

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The limit counts the content type in TLS 1.3 (RFC 8449 4). */
static uint32_t with_type(uint32_t text, int version)
{
    return text + (version >= TLS1_3_VERSION);
}

/* RFC 6066 4: 1 to 4 are 2^9 to 2^12 bytes. */
static uint32_t fragment_length(const SSL *ssl)
{
    const SSL_SESSION *session = SSL_get_session(ssl);
    unsigned code = session == NULL ? 0 : SSL_SESSION_get_max_fragment_length(session);

    return code == 0 ? HG_TLS_MAX_PLAINTEXT : 256u << code;
}

/* What we offer as a client, or answer as a server; OpenSSL asks for an answer only where the client
 * sent the extension. The signature is OpenSSL's. */
static int add_cb(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len,
                  X509 *x, size_t chain, int *alert, void *arg)
{
    const struct hg_tls_ctx *ctx = arg;
    struct hg_tls_limit *l = hg_tls_hs_limit(ssl);
    bool answer = (context & IN_SERVER_HELLO) != 0;
    int version = answer ? SSL_version(ssl) : (int)SSL_get_max_proto_version(ssl);

    (void)type;
    (void)x;
    (void)chain;
    (void)alert;
    if (answer && fragment_length(ssl) != HG_TLS_MAX_PLAINTEXT)
        l->peers = 0;
    if (answer && l->peers == 0)
        return 0;
    l->ours = with_type(ctx->max_fragment, version);
    l->wire[0] = (uint8_t)(l->ours >> 8);
    l->wire[1] = (uint8_t)l->ours;
    *out = l->wire;
    *len = sizeof l->wire;
    return 1;
}

/* A server's answer must be within what the protocol has, and be something that we can keep. */
static int check_answer(struct hg_tls_limit *l, uint32_t limit, int version, int *alert)
{
    if (limit > with_type(HG_TLS_MAX_PLAINTEXT, version)) {
        hg_fail(l->why, 0, "the server asks for records of up to %u bytes, more than TLS has",
                limit);
        *alert = HG_TLS_AL_ILLEGAL_PARAMETER;
        return 0;
    }
    if (limit < with_type(HG_TLS_MIN_FRAGMENT, version)) {
        hg_fail(l->why, 0,
                "the server takes only records of up to %u bytes (RFC 8449), and %u are needed "
                "here: raise its limit",
                limit, with_type(HG_TLS_MIN_FRAGMENT, version));
        *alert = HG_TLS_AL_HANDSHAKE_FAILURE;
        return 0;
    }
    return 1;
}

/* What the peer asks for. The signature is OpenSSL's. */
static int parse_cb(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len,
                    X509 *x, size_t chain, int *alert, void *arg)
{
    const struct hg_tls_ctx *ctx = arg;
    struct hg_tls_limit *l = hg_tls_hs_limit(ssl);
    int version = SSL_version(ssl);
    uint32_t limit, text;

    (void)type;
    (void)x;
    (void)chain;
    l->peers = 0;
    if (len != 2) {
        hg_fail(l->why, 0, "the peer's record_size_limit extension has %zu bytes, not 2", len);
        *alert = HG_TLS_AL_DECODE_ERROR;
        return 0;
    }
    limit = (uint32_t)in[0] << 8 | in[1];
    if (limit < LIMIT_MIN) {
        hg_fail(l->why, 0, "the peer's record_size_limit of %u bytes is below the least, %u", limit,
                LIMIT_MIN);
        *alert = HG_TLS_AL_ILLEGAL_PARAMETER;
        return 0;
    }
    if ((context & IN_SERVER_HELLO) != 0 && check_answer(l, limit, version, alert) == 0)
        return 0;
    if (limit < with_type(HG_TLS_MIN_FRAGMENT, version))
        return 1;
    l->peers = limit;
    text = limit - (version >= TLS1_3_VERSION);
    return SSL_set_max_send_fragment(ssl, least(least(text, ctx->max_fragment), HS_FRAGMENT)) == 1;
}

int hg_tls_limit_setup(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    ctx->max_fragment = cfg->max_fragment == 0 ? HG_TLS_MAX_PLAINTEXT : cfg->max_fragment;
    if (ctx->max_fragment < HG_TLS_MIN_FRAGMENT || ctx->max_fragment > HG_TLS_MAX_PLAINTEXT)
        return hg_fail(err, -EINVAL, "TLS records of %u bytes: %u to %u are possible",
                       ctx->max_fragment, HG_TLS_MIN_FRAGMENT, HG_TLS_MAX_PLAINTEXT);
    SSL_CTX_set_app_data(ctx->ssl, ctx);
    if (SSL_CTX_set_max_send_fragment(ctx->ssl, least(ctx->max_fragment, HS_FRAGMENT)) != 1 ||
        SSL_CTX_add_custom_ext(ctx->ssl, RECORD_SIZE_LIMIT, SSL_EXT_CLIENT_HELLO | IN_SERVER_HELLO,
                               add_cb, NULL, ctx, parse_cb, ctx) != 1)
        return hg_fail(err, -EINVAL,
                       "OpenSSL refuses the record_size_limit extension: is it a version that "
                       "has its own?");
    return 0;
}

void hg_tls_limit_sizes(const struct hg_tls_limit *l, const SSL *ssl, struct hg_tls_sizes *out)
{
    const struct hg_tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    int version = SSL_version(ssl);
    uint32_t fragment = fragment_length(ssl);

    out->tx_text = least(ctx->max_fragment, fragment);
    out->rx_text = fragment;
    out->rx_inner = with_type(HG_TLS_MAX_PLAINTEXT, version);
    if (l->peers == 0)
        return;
    out->tx_text = least(out->tx_text, l->peers - (version >= TLS1_3_VERSION));
    out->rx_inner = least(out->rx_inner, l->ours);
}
