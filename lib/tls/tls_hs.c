/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_hs.h"
#include "tls_alert.h"
#include "tls_ctx.h"
#include "tls_mem.h"
#include <assert.h>
#include <errno.h>
#include <headgate/endian.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

/* Where the secrets lie until they are taken, by the label of the key log. */
struct secret {
    const char *label;
    uint8_t bytes[HG_TLS_SECRET_MAX];
    uint32_t len; /* 0: not seen */
};

struct hg_tls_hs {
    struct hg_tls_ctx *ctx;
    SSL *ssl;                     /* owned; NULL once shed */
    BIO *out;                     /* a reference of ours and one of ssl's */
    struct secret client, server; /* TLS 1.3 application traffic secrets */
    struct secret alert;          /* what an alert of ours is protected with before completion */
    struct hg_tls_limit limit;
    struct hg_tls_peer peer;
    struct hg_err why;
    int alert_in;       /* the last alert received, -1: none */
    bool ccs_sent;      /* our ChangeCipherSpec went out: what follows is protected */
    uint64_t last_out;  /* records of type application_data in the output of the last step */
    uint64_t fin_nonce; /* explicit nonce of our Finished (TLS 1.2 GCM) */
};

/* ---- OpenSSL's callbacks; each finds its handshake in the SSL's application data ---- */

static int verify_cb(X509_STORE_CTX *x, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);

    (void)arg;
    return hg_tls_peer_verify(x, &hs->peer);
}

/* Which certificate of ours the peer is shown. It is valid or not by the wall clock. The signature is
 * OpenSSL's. */
static int cert_cb(SSL *ssl, void *arg)
{
    const struct hg_tls_ctx *ctx = arg;

    return hg_tls_certs_choose(&ctx->certs, ssl, (int64_t)time(NULL));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* "LABEL client_random secret", the two in hexadecimal. */
static void keep_secret(struct secret *s, const char *line)
{
    size_t label_len = strlen(s->label);
    const char *hex;

    if (strncmp(line, s->label, label_len) != 0 || line[label_len] != ' ')
        return;
    hex = strrchr(line, ' ') + 1;
    s->len = 0;
    for (; s->len < HG_TLS_SECRET_MAX && hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2)
        s->bytes[s->len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
}

static void keylog_cb(const SSL *ssl, const char *line)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);

    keep_secret(&hs->client, line);
    keep_secret(&hs->server, line);
    keep_secret(&hs->alert, line);
    if (hs->ctx->keylog != NULL) {
        fprintf(hs->ctx->keylog, "%s\n", line);
        fflush(hs->ctx->keylog);
    }
}

static void info_cb(const SSL *ssl, int where, int ret)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);
    int alert = ret & 0xff;

    if ((where & SSL_CB_ALERT) == 0)
        return;
    if ((where & SSL_CB_READ) != 0) {
        hs->alert_in = alert;
        hs->peer.counters->alerts_in += alert != HG_TLS_AL_CLOSE_NOTIFY;
    } else {
        hs->peer.counters->alerts_out += alert != HG_TLS_AL_CLOSE_NOTIFY;
    }
}

/* Chooses our protocol from the client's list. The signature is OpenSSL's. */
static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);
    const uint8_t *ours = hs->ctx->alpn;

    (void)arg;
    if (SSL_select_next_proto((unsigned char **)out, out_len, ours, ours[0] + 1u, in, in_len) ==
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_OK;
    hg_fail(&hs->why, 0,
            "the client does not offer ALPN protocol \"%.*s\": it speaks something else, or came "
            "to the wrong port",
            ours[0], (const char *)ours + 1);
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool offers_13(const unsigned char *versions, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        if (versions[i] == 3 && versions[i + 1] == 4)
            return true;
    return false;
}

/* What OpenSSL 3.0 answers with another alert than RFC 8446 asks for; 0: nothing. */
static int malformed_hello(SSL *ssl, struct hg_err *why)
{
    const unsigned char *p;
    size_t len;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &p, &len) != 1)
        return 0;
    if (len < 1 || p[0] < 2 || p[0] != len - 1) {
        hg_fail(why, 0, "the client's list of TLS versions is malformed (RFC 8446 4.2.1)");
        return HG_TLS_AL_DECODE_ERROR;
    }
    if (offers_13(p + 1, len - 1) &&
        (SSL_client_hello_get0_compression_methods(ssl, &p) != 1 || p[0] != 0)) {
        hg_fail(why, 0, "the client offers compression with TLS 1.3 (RFC 8446 4.1.2)");
        return HG_TLS_AL_ILLEGAL_PARAMETER;
    }
    return 0;
}

/* A hello without the ALPN extension never reaches alpn_cb. */
static int hello_cb(SSL *ssl, int *alert, void *arg)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);
    const struct hg_tls_ctx *ctx = hs->ctx;
    const unsigned char *ext;
    size_t len;

    (void)arg;
    *alert = malformed_hello(ssl, &hs->why);
    if (*alert != 0)
        return SSL_CLIENT_HELLO_ERROR;
    if (ctx->alpn[0] == 0 || ctx->alpn_optional ||
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext,
                                  &len) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    hg_fail(&hs->why, 0, "the client offers no ALPN protocol, and \"%.*s\" is required here",
            ctx->alpn[0], (const char *)ctx->alpn + 1);
    *alert = HG_TLS_AL_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

void hg_tls_hs_setup(struct hg_tls_ctx *ctx)
{
    SSL_CTX_set_keylog_callback(ctx->ssl, keylog_cb);
    SSL_CTX_set_info_callback(ctx->ssl, info_cb);
    SSL_CTX_set_cert_verify_callback(ctx->ssl, verify_cb, NULL);
    if (ctx->certs.n != 0)
        SSL_CTX_set_cert_cb(ctx->ssl, cert_cb, ctx);
    if (ctx->role != HG_TLS_SERVER)
        return;
    SSL_CTX_set_client_hello_cb(ctx->ssl, hello_cb, NULL);
    if (ctx->alpn[0] != 0)
        SSL_CTX_set_alpn_select_cb(ctx->ssl, alpn_cb, NULL);
}

/* ---- create and destroy ---- */

static int read_from(struct hg_tls_hs *hs, const uint8_t *p, uint32_t len);

static int make_ssl(struct hg_tls_hs *hs)
{
    hs->ssl = SSL_new(hs->ctx->ssl);
    hs->out = BIO_new(BIO_s_mem());
    if (hs->ssl == NULL || hs->out == NULL)
        return -ENOMEM;
    BIO_up_ref(hs->out);
    SSL_set0_wbio(hs->ssl, hs->out);
    if (SSL_set_app_data(hs->ssl, hs) != 1)
        return -ENOMEM; /* the callbacks would not find their handshake */
    return read_from(hs, (const uint8_t *)"", 0);
}

static int run(struct hg_tls_hs *hs);

/* The first flight of a client. */
static int start_client(struct hg_tls_hs *hs)
{
    const struct hg_tls_ctx *ctx = hs->ctx;

    SSL_set_connect_state(hs->ssl);
    if (ctx->server_name != NULL && !ctx->server_name_is_ip &&
        SSL_set_tlsext_host_name(hs->ssl, ctx->server_name) != 1)
        return -ENOMEM;
    return run(hs) == 0 ? 0 : -ENOMEM;
}

int hg_tls_hs_create(struct hg_tls_ctx *ctx, struct hg_tls_counters *counters,
                     struct hg_tls_hs **out)
{
    struct hg_tls_hs *hs = hg_tls_alloc(sizeof *hs);
    int rc;

    *out = NULL;
    if (hs == NULL)
        return -ENOMEM;
    hs->ctx = ctx;
    hs->alert_in = -1;
    hs->client.label = "CLIENT_TRAFFIC_SECRET_0";
    hs->server.label = "SERVER_TRAFFIC_SECRET_0";
    /* RFC 8446 7.3: a server has its application keys once its Finished is out; a client answers a
     * flight that it does not like with its handshake keys. */
    hs->alert.label =
        ctx->role == HG_TLS_SERVER ? hs->server.label : "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    hs->limit.why = &hs->why;
    hs->peer.is_client = ctx->role == HG_TLS_SERVER;
    hs->peer.trust = &ctx->trust;
    hs->peer.server_name = ctx->server_name;
    hs->peer.counters = counters;
    rc = make_ssl(hs);
    if (rc == 0 && ctx->role == HG_TLS_CLIENT)
        rc = start_client(hs);
    else if (rc == 0)
        SSL_set_accept_state(hs->ssl);
    if (rc != 0) {
        hg_tls_hs_destroy(hs);
        return rc;
    }
    *out = hs;
    return 0;
}

void hg_tls_hs_count_in(struct hg_tls_hs *hs, struct hg_tls_counters *counters)
{
    hs->peer.counters = counters;
}

void hg_tls_hs_shed(struct hg_tls_hs *hs)
{
    SSL_free(hs->ssl); /* erases its own secrets; frees its reference to `out` */
    hs->ssl = NULL;
    OPENSSL_cleanse(hs->client.bytes, sizeof hs->client.bytes);
    OPENSSL_cleanse(hs->server.bytes, sizeof hs->server.bytes);
    OPENSSL_cleanse(hs->alert.bytes, sizeof hs->alert.bytes);
}

void hg_tls_hs_destroy(struct hg_tls_hs *hs)
{
    if (hs == NULL)
        return;
    hg_tls_hs_shed(hs);
    BIO_free(hs->out);
    hg_tls_free(hs, sizeof *hs);
}

/* ---- one step ---- */

/* TLS 1.3: a server's last step sends tickets under the application keys; our records go on after
 * theirs. OpenSSL starts the explicit nonces of TLS 1.2 GCM at random and counts on. Ours continue after
 * the one its Finished had, so that none is used twice under the key. Looks at the whole records in
 * the output from `from` on. */
static void watch_output(struct hg_tls_hs *hs, size_t from)
{
    char *data;
    hg_be64 nonce;
    size_t len = (size_t)BIO_get_mem_data(hs->out, &data), off = from;

    hs->last_out = 0;
    while (len - off >= HG_TLS_RECORD_HEADER) {
        const uint8_t *rec = (const uint8_t *)data + off;
        size_t body = (size_t)rec[3] << 8 | rec[4];

        if (len - off - HG_TLS_RECORD_HEADER < body)
            break;
        hs->last_out += rec[0] == HG_TLS_TYPE_DATA;
        if (rec[0] == HG_TLS_TYPE_CCS)
            hs->ccs_sent = true;
        else if (hs->ccs_sent && rec[0] == HG_TLS_TYPE_HANDSHAKE && body >= sizeof nonce) {
            memcpy(&nonce, rec + HG_TLS_RECORD_HEADER, sizeof nonce);
            hs->fin_nonce = hg_be64_get(nonce);
        }
        off += HG_TLS_RECORD_HEADER + body;
    }
}

/* Sentences for what OpenSSL reports most, where its own words would not help an operator. */
static void explain_reason(struct hg_tls_hs *hs, int reason)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        hs->peer.counters->no_client_cert++;
        hg_fail(&hs->why, 0,
                "the client sent no certificate: configure one on it that a CA of %s signed",
                hs->ctx->trust.ca_file);
        return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_VERSION_NUMBER:
        hg_fail(&hs->why, 0,
                "the peer offers no TLS version that is accepted here: TLS 1.2 and 1.3 are, unless "
                "configured more narrowly");
        return;
    case SSL_R_NO_SHARED_CIPHER:
        hg_fail(&hs->why, 0,
                "the peer offers no accepted cipher suite or signature type: ECDHE with AES-GCM or "
                "ChaCha20-Poly1305 is needed");
        return;
    default:
        hg_fail(&hs->why, 0, "TLS handshake failed: %s", text == NULL ? "no reason given" : text);
    }
}

static void explain(struct hg_tls_hs *hs)
{
    if (hs->why.text[0] != '\0') {
        return;
    } else if (hs->peer.why.text[0] != '\0') {
        hs->why = hs->peer.why;
    } else if (hs->alert_in >= 0) {
        unsigned a = (unsigned)hs->alert_in;

        hg_fail(&hs->why, 0, "the peer ended the handshake with alert %s (%u)%s%s",
                hg_tls_alert_name(a), a, hg_tls_alert_advice(a)[0] == '\0' ? "" : ": ",
                hg_tls_alert_advice(a));
    } else {
        explain_reason(hs, ERR_GET_REASON(ERR_peek_last_error()));
    }
}

/* A resumed session shows no certificate again: the name is that of the one in its ticket, which
 * was found good before the ticket was used. */
static void name_again(struct hg_tls_hs *hs)
{
    const X509 *cert = SSL_get0_peer_certificate(hs->ssl);

    if (cert != NULL)
        hg_tls_peer_cert_name(cert, hs->peer.name);
}

static int run(struct hg_tls_hs *hs)
{
    size_t before = BIO_ctrl_pending(hs->out);
    int rc, e;

    ERR_clear_error();
    rc = SSL_do_handshake(hs->ssl);
    e = SSL_get_error(hs->ssl, rc);
    watch_output(hs, before);
    if (rc == 1 && SSL_session_reused(hs->ssl))
        name_again(hs);
    if (rc != 1 && e == SSL_ERROR_WANT_READ) {
        rc = 0;
    } else if (rc != 1) {
        explain(hs);
        rc = -EPROTO;
    }
    ERR_clear_error();
    return rc;
}

/* OpenSSL reads from `len` bytes at p, then there is nothing more yet. 0 or -ENOMEM. */
static int read_from(struct hg_tls_hs *hs, const uint8_t *p, uint32_t len)
{
    BIO *in = BIO_new_mem_buf(p, (int)len);

    if (in == NULL)
        return -ENOMEM;
    BIO_set_mem_eof_return(in, -1);
    SSL_set0_rbio(hs->ssl, in);
    return 0;
}

/* The record is read where it lies: a handshake that waits holds no buffer for input. */
int hg_tls_hs_feed(struct hg_tls_hs *hs, const uint8_t *record, uint32_t len)
{
    int rc = read_from(hs, record, len);

    if (rc == 0)
        rc = run(hs);
    if (read_from(hs, (const uint8_t *)"", 0) == 0 && rc != -ENOMEM)
        return rc;
    hg_fail(&hs->why, 0, "no memory for a TLS handshake");
    return -EPROTO;
}

/* ---- the result ---- */

static int traffic_13(const struct hg_tls_hs *hs, struct hg_tls_traffic *out)
{
    bool server = hs->ctx->role == HG_TLS_SERVER;
    const struct secret *tx = server ? &hs->server : &hs->client;
    const struct secret *rx = server ? &hs->client : &hs->server;

    if (tx->len != out->suite->secret_len || rx->len != out->suite->secret_len)
        return -EIO;
    out->tx_seq = server ? hs->last_out : 0;
    memcpy(out->tx_secret, tx->bytes, tx->len);
    memcpy(out->rx_secret, rx->bytes, rx->len);
    if (hg_tls_traffic_keys(out->suite, out->tx_secret, &out->tx) != 0)
        return -EIO;
    return hg_tls_traffic_keys(out->suite, out->rx_secret, &out->rx);
}

static int traffic_12(const struct hg_tls_hs *hs, struct hg_tls_traffic *out)
{
    bool server = hs->ctx->role == HG_TLS_SERVER;
    uint8_t master[HG_TLS_MASTER_SECRET], randoms[2 * HG_TLS_RANDOM];
    int rc = -EIO;

    out->tx_seq = out->rx_seq = 1; /* Finished had 0, in each direction */
    out->nonce_base = hs->fin_nonce;
    if (SSL_SESSION_get_master_key(SSL_get_session(hs->ssl), master, sizeof master) ==
            sizeof master &&
        SSL_get_server_random(hs->ssl, randoms, HG_TLS_RANDOM) == HG_TLS_RANDOM &&
        SSL_get_client_random(hs->ssl, randoms + HG_TLS_RANDOM, HG_TLS_RANDOM) == HG_TLS_RANDOM)
        rc = hg_tls_key_block(out->suite, master, randoms, server ? &out->rx : &out->tx,
                              server ? &out->tx : &out->rx);
    OPENSSL_cleanse(master, sizeof master);
    return rc;
}

int hg_tls_hs_traffic(const struct hg_tls_hs *hs, struct hg_tls_traffic *out)
{
    memset(out, 0, sizeof *out);
    out->suite = hg_tls_suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(hs->ssl)));
    /* The suites were checked when the context was made. */
    assert(out->suite != NULL && out->suite->version == (enum hg_tls_version)SSL_version(hs->ssl));
    hg_tls_limit_sizes(&hs->limit, hs->ssl, &out->sizes);
    return out->suite->version == HG_TLS_1_3 ? traffic_13(hs, out) : traffic_12(hs, out);
}

bool hg_tls_hs_alert_keys(const struct hg_tls_hs *hs, struct hg_tls_traffic *out)
{
    const SSL_CIPHER *cipher = hs->ssl == NULL ? NULL : SSL_get_current_cipher(hs->ssl);

    memset(out, 0, sizeof *out);
    out->suite = cipher == NULL ? NULL : hg_tls_suite_find(SSL_CIPHER_get_protocol_id(cipher));
    if (out->suite == NULL)
        return false;
    if (out->suite->version == HG_TLS_1_2)
        return hs->ccs_sent && traffic_12(hs, out) == 0; /* our Finished has gone out */
    return hs->alert.len == out->suite->secret_len &&
           hg_tls_traffic_keys(out->suite, hs->alert.bytes, &out->tx) == 0;
}

uint32_t hg_tls_hs_body_max(const struct hg_tls_hs *hs, uint8_t type)
{
    struct hg_tls_sizes sizes;

    if (hs == NULL || type != HG_TLS_TYPE_DATA)
        return HG_TLS_MAX_CIPHERTEXT;
    hg_tls_limit_sizes(&hs->limit, hs->ssl, &sizes);
    return sizes.rx_inner + HG_TLS_TAG;
}

bool hg_tls_hs_is_13(const struct hg_tls_hs *hs)
{
    return hs != NULL && SSL_version(hs->ssl) == TLS1_3_VERSION;
}

struct hg_tls_counters *hg_tls_hs_counters(const SSL *ssl)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);

    return hs->peer.counters;
}

struct hg_tls_limit *hg_tls_hs_limit(const SSL *ssl)
{
    struct hg_tls_hs *hs = SSL_get_app_data(ssl);

    return &hs->limit;
}

/* RFC 7627: without the extended master secret a TLS 1.2 session is not bound to its handshake. A
 * client that names a protocol wants a server that speaks it; a server had its say in alpn_cb. The
 * allow-list comes last of what concerns a certificate, and also when a session is resumed: that it
 * verified once says nothing of the list of today. */
int hg_tls_hs_refusal(struct hg_tls_hs *hs)
{
    const uint8_t *ours = hs->ctx->alpn;
    const unsigned char *alpn;
    unsigned len;

    if (SSL_version(hs->ssl) == TLS1_2_VERSION && SSL_get_extms_support(hs->ssl) != 1) {
        hg_fail(&hs->why, 0,
                "the peer's TLS 1.2 lacks the extended master secret extension (RFC 7627): update "
                "its TLS library or use TLS 1.3");
        return HG_TLS_AL_HANDSHAKE_FAILURE;
    }
    if (hg_tls_peer_pinned(&hs->peer, SSL_get0_peer_certificate(hs->ssl)) != 0) {
        hs->why = hs->peer.why;
        return HG_TLS_AL_ACCESS_DENIED;
    }
    SSL_get0_alpn_selected(hs->ssl, &alpn, &len);
    if (hs->ctx->role == HG_TLS_CLIENT && ours[0] != 0 && !hs->ctx->alpn_optional && len == 0) {
        hg_fail(&hs->why, 0,
                "the server does not speak ALPN protocol \"%.*s\": check its address and port",
                ours[0], (const char *)ours + 1);
        return HG_TLS_AL_NO_APPLICATION_PROTOCOL;
    }
    return 0;
}

bool hg_tls_hs_resumed(const struct hg_tls_hs *hs)
{
    return SSL_session_reused(hs->ssl) == 1;
}

const char *hg_tls_hs_suite(const struct hg_tls_hs *hs)
{
    return SSL_CIPHER_standard_name(SSL_get_current_cipher(hs->ssl));
}

const char *hg_tls_hs_version(const struct hg_tls_hs *hs)
{
    return SSL_get_version(hs->ssl);
}

const char *hg_tls_hs_peer_name(const struct hg_tls_hs *hs)
{
    return hs->peer.name;
}

const char *hg_tls_hs_why(const struct hg_tls_hs *hs)
{
    return hs->why.text;
}

uint32_t hg_tls_hs_pending(const struct hg_tls_hs *hs)
{
    return (uint32_t)BIO_ctrl_pending(hs->out);
}

uint32_t hg_tls_hs_take(struct hg_tls_hs *hs, uint8_t *dst, uint32_t cap)
{
    int n = BIO_read(hs->out, dst, cap > INT32_MAX ? INT32_MAX : (int)cap);

    return n > 0 ? (uint32_t)n : 0;
}
