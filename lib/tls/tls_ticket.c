/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_ticket.h"
#include "tls_ctx.h"
#include "tls_hs.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

struct hg_tls_tickets {
    pthread_mutex_t lock; /* held in handshakes only, for as long as it takes to copy a key */
    uint32_t lifetime;    /* seconds */
    struct hg_tls_ticket_key key[HG_TLS_TICKET_KEYS];
};

/* ---- keys ---- */

static int fresh(struct hg_tls_ticket_key *k, time_t now)
{
    k->from = now;
    k->set = RAND_bytes(k->name, sizeof k->name) == 1 &&
             RAND_priv_bytes(k->aes, sizeof k->aes) == 1 &&
             RAND_priv_bytes(k->mac, sizeof k->mac) == 1;
    return k->set ? 0 : -EIO;
}

/* A key from the future is one from before the clock was set back: its age is not known. */
static bool older(const struct hg_tls_ticket_key *k, uint64_t age, time_t now)
{
    return !k->set || now < k->from || (uint64_t)(now - k->from) >= age;
}

int hg_tls_tickets_rotate(struct hg_tls_ticket_key keys[HG_TLS_TICKET_KEYS], uint32_t lifetime,
                          time_t now)
{
    int rc = 0;

    if (older(&keys[0], lifetime, now)) {
        keys[1] = keys[0];
        rc = fresh(&keys[0], now);
    }
    if (older(&keys[1], 2 * (uint64_t)lifetime, now))
        OPENSSL_cleanse(&keys[1], sizeof keys[1]);
    return rc;
}

void hg_tls_tickets_tick(struct hg_tls_tickets *t, time_t now)
{
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    /* A failure is told by the handshake that needs the key. */
    (void)hg_tls_tickets_rotate(t->key, t->lifetime, now);
    pthread_mutex_unlock(&t->lock);
}

/* The key of this name, or the sealing one for NULL. 0, -ENOENT or -EIO. */
static int find_key(struct hg_tls_tickets *t, const uint8_t *name, struct hg_tls_ticket_key *out)
{
    int rc;

    pthread_mutex_lock(&t->lock);
    rc = hg_tls_tickets_rotate(t->key, t->lifetime, time(NULL));
    for (unsigned i = 0; rc == 0 && i < HG_TLS_TICKET_KEYS; i++) {
        const struct hg_tls_ticket_key *k = &t->key[i];

        if (k->set && (name == NULL || memcmp(k->name, name, sizeof k->name) == 0)) {
            *out = *k;
            pthread_mutex_unlock(&t->lock);
            return 0;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return rc == 0 ? -ENOENT : rc;
}

static int load_key(const struct hg_tls_ticket_key *k, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int seal)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, seal) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Gives OpenSSL the key for a ticket: 1 done, 0 no such key (a full handshake follows), -1 failed.
 * The signature is OpenSSL's. */
static int key_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int seal)
{
    const struct hg_tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct hg_tls_ticket_key k;
    int rc = find_key(ctx->tickets, seal ? NULL : name, &k);

    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && seal) {
        memcpy(name, k.name, sizeof k.name);
        rc = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 ? 0 : -EIO;
    }
    if (rc == 0)
        rc = load_key(&k, iv, cipher, mac, seal) ? 0 : -EIO;
    OPENSSL_cleanse(&k, sizeof k);
    return rc == 0 ? 1 : -1;
}

/* ---- what a ticket carries ---- */

bool hg_tls_ticket_holds(const struct hg_tls_ticket_data *d, uint32_t lifetime, time_t now)
{
    return now >= d->authenticated && now - d->authenticated < (int64_t)lifetime &&
           now < d->valid_until;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int64_t first_end(int64_t until, const ASN1_TIME *t)
{
    int64_t end = seconds_of(t);

    return end < until ? end : until;
}

/* What a full handshake would check again: the dates of the chain that verified, and of the
 * revocation lists it verified against. */
static int64_t valid_until(const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    int64_t until = INT64_MAX;
    STACK_OF(X509_OBJECT) * objects;

    if (SSL_get0_peer_certificate(ssl) == NULL)
        return until;
    if (sk_X509_num(chain) <= 0)
        return 0;
    for (int i = 0; i < sk_X509_num(chain); i++)
        until = first_end(until, X509_get0_notAfter(sk_X509_value(chain, i)));
    X509_STORE_lock(store);
    objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));

        if (crl != NULL && X509_CRL_get0_nextUpdate(crl) != NULL)
            until = first_end(until, X509_CRL_get0_nextUpdate(crl));
    }
    X509_STORE_unlock(store);
    return until;
}

/* A ticket is about to be made. One that follows a resumption keeps what the first one had. */
static int make_cb(SSL *ssl, void *arg)
{
    struct hg_tls_ticket_data d;

    (void)arg;
    hg_tls_hs_counters(ssl)->tickets_out++;
    if (SSL_session_reused(ssl))
        return 1;
    memset(&d, 0, sizeof d);
    d.authenticated = time(NULL);
    d.valid_until = valid_until(ssl);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &d, sizeof d);
}

static bool holds(const struct hg_tls_ctx *ctx, SSL_SESSION *session)
{
    struct hg_tls_ticket_data d;
    char name[HG_TLS_NAME_MAX];
    X509 *cert = SSL_SESSION_get0_peer(session);
    void *data;
    size_t len;

    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof d)
        return false;
    memcpy(&d, data, sizeof d);
    if (!hg_tls_ticket_holds(&d, ctx->tickets->lifetime, time(NULL)))
        return false;
    return cert == NULL ? d.valid_until == INT64_MAX : hg_tls_peer_cert_name(cert, name) == 0;
}

/* A ticket was opened, or could not be. TLS 1.3's are for one use (RFC 8446 C.4), so each brings a
 * new one; TLS 1.2's stay. The signature is OpenSSL's. */
static SSL_TICKET_RETURN use_cb(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    const struct hg_tls_ctx *ctx = arg;

    (void)name;
    (void)name_len;
    if (status == SSL_TICKET_EMPTY)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
        hg_tls_hs_counters(ssl)->tickets_unknown++;
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    if (!holds(ctx, session)) {
        hg_tls_hs_counters(ssl)->tickets_stale++;
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

/* ---- set-up ---- */

static int check(const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    if (cfg->tickets > HG_TLS_TICKETS_MAX)
        return hg_fail(err, -EINVAL, "%u session tickets for a connection: at most %u are possible",
                       cfg->tickets, HG_TLS_TICKETS_MAX);
    if (cfg->ticket_lifetime > HG_TLS_TICKET_LIFETIME_MAX)
        return hg_fail(err, -EINVAL,
                       "session tickets for %u seconds: at most %u are allowed (RFC 8446 4.6.1)",
                       cfg->ticket_lifetime, HG_TLS_TICKET_LIFETIME_MAX);
    return 0;
}

void hg_tls_tickets_destroy(struct hg_tls_tickets *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_secure_clear_free(t, sizeof *t);
}

static struct hg_tls_tickets *tickets_new(const struct hg_tls_cfg *cfg)
{
    struct hg_tls_tickets *t = OPENSSL_secure_zalloc(sizeof *t);

    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->lifetime = cfg->ticket_lifetime == 0 ? HG_TLS_TICKET_LIFETIME : cfg->ticket_lifetime;
    if (hg_tls_tickets_rotate(t->key, t->lifetime, time(NULL)) == 0)
        return t;
    hg_tls_tickets_destroy(t);
    return NULL;
}

int hg_tls_tickets_setup(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    uint8_t id[SSL_MAX_SID_CTX_LENGTH];
    int rc = check(cfg, err);

    if (rc != 0 || cfg->tickets == 0 || cfg->role != HG_TLS_SERVER)
        return rc;
    ctx->tickets = tickets_new(cfg);
    /* The id tells contexts apart a second time; OpenSSL wants one where certificates are asked
     * for. */
    if (ctx->tickets == NULL || RAND_bytes(id, sizeof id) != 1 ||
        SSL_CTX_set_session_id_context(ctx->ssl, id, sizeof id) != 1 ||
        SSL_CTX_set_num_tickets(ctx->ssl, cfg->tickets) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl, key_cb) != 1 ||
        SSL_CTX_set_session_ticket_cb(ctx->ssl, make_cb, use_cb, ctx) != 1)
        return hg_fail(err, -ENOMEM, "no memory for session tickets");
    SSL_CTX_set_timeout(ctx->ssl, (long)ctx->tickets->lifetime);
    SSL_CTX_clear_options(ctx->ssl, SSL_OP_NO_TICKET);
    return 0;
}
