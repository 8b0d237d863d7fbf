/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_cert.h"
#include "tls_pem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 8 /* certificates of one file behind the leaf */
#define RSA_BITS_MIN 2048
#define SIGNATURE_BITS_MIN 112 /* of security: SHA-1 has less */
#define PATH_SIZE 4096

static const char *const type_names[HG_TLS_KEY_TYPES] = {
    [HG_TLS_KEY_RSA] = "RSA",    [HG_TLS_KEY_RSA_PSS] = "RSA-PSS", [HG_TLS_KEY_P256] = "P-256",
    [HG_TLS_KEY_P384] = "P-384", [HG_TLS_KEY_ED25519] = "Ed25519",
};

const char *hg_tls_key_type_name(enum hg_tls_key_type type)
{
    return type_names[type];
}

/* ---- what is accepted ---- */

/* -EINVAL: no key that we sign with. */
static int type_of(EVP_PKEY *key, enum hg_tls_key_type *type)
{
    char group[32] = "";

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        *type = HG_TLS_KEY_RSA;
        return 0;
    case EVP_PKEY_RSA_PSS:
        *type = HG_TLS_KEY_RSA_PSS;
        return 0;
    case EVP_PKEY_ED25519:
        *type = HG_TLS_KEY_ED25519;
        return 0;
    case EVP_PKEY_EC:
        EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
        *type = strcmp(group, "prime256v1") == 0 ? HG_TLS_KEY_P256 : HG_TLS_KEY_P384;
        return strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

static int check_key(struct hg_tls_cert *c, struct hg_err *err)
{
    if (type_of(c->key, &c->type) != 0)
        return hg_fail(err, -EINVAL,
                       "certificate file %s: its type of key is not supported: RSA, P-256, P-384 "
                       "and Ed25519 are",
                       c->file);
    if (c->type <= HG_TLS_KEY_RSA_PSS && EVP_PKEY_get_bits(c->key) < RSA_BITS_MIN)
        return hg_fail(err, -EINVAL,
                       "certificate file %s: its RSA key has %d bits, and %d are the least: make a "
                       "new key and certificate",
                       c->file, EVP_PKEY_get_bits(c->key), RSA_BITS_MIN);
    return 0;
}

/* A self-signed certificate is trusted, or not, for what it is: its signature proves nothing. */
static int check_signature(const struct hg_tls_cert *c, X509 *x, struct hg_err *err)
{
    char subject[HG_TLS_SUBJECT_MAX];
    int digest, bits;

    if (X509_self_signed(x, 0) == 1 ||
        X509_get_signature_info(x, &digest, NULL, &bits, NULL) != 1 || bits >= SIGNATURE_BITS_MIN)
        return 0;
    hg_tls_name_text(X509_get_subject_name(x), subject);
    return hg_fail(err, -EINVAL,
                   "certificate file %s: the signature of certificate \"%s\" uses %s, which is "
                   "broken: have it signed with SHA-256 or better",
                   c->file, subject, OBJ_nid2sn(digest));
}

static int check(struct hg_tls_cert *c, struct hg_err *err)
{
    int rc = check_key(c, err);

    if (rc == 0)
        rc = check_signature(c, c->leaf, err);
    c->not_before = hg_tls_seconds(X509_get0_notBefore(c->leaf));
    c->not_after = hg_tls_seconds(X509_get0_notAfter(c->leaf));
    for (int i = 0; rc == 0 && i < sk_X509_num(c->chain); i++) {
        X509 *x = sk_X509_value(c->chain, i);
        int64_t end = hg_tls_seconds(X509_get0_notAfter(x));

        rc = check_signature(c, x, err);
        c->not_after = end < c->not_after ? end : c->not_after;
    }
    return rc;
}

/* ---- loading ---- */

/* The leaf, then what comes behind it. */
static int read_chain(struct hg_tls_cert *c, BIO *bio, struct hg_err *err)
{
    X509 *x;

    c->leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    c->chain = sk_X509_new_null();
    if (c->leaf == NULL || c->chain == NULL)
        return hg_fail(err, -EINVAL, "certificate file %s is no usable PEM chain: %s", c->file,
                       hg_tls_reason());
    while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_num(c->chain) < CHAIN_MAX && sk_X509_push(c->chain, x) > 0)
            continue;
        X509_free(x);
        return hg_fail(err, -EINVAL,
                       "certificate file %s: more than %d certificates behind the first", c->file,
                       CHAIN_MAX);
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return hg_fail(err, -EINVAL,
                       "certificate file %s is no usable PEM chain: number %d in it: %s", c->file,
                       sk_X509_num(c->chain) + 2, hg_tls_reason());
    ERR_clear_error();
    return 0;
}

static int load_one(struct hg_tls_cert *c, const char *cert_file, const char *key_file,
                    struct hg_err *err)
{
    BIO *certs = NULL, *keys = NULL;
    int rc;

    c->file = strdup(cert_file);
    rc = c->file == NULL ? hg_fail(err, -ENOMEM, "no memory for a certificate") : 0;
    if (rc == 0)
        rc = hg_tls_pem_open("certificate", cert_file, &certs, err);
    if (rc == 0)
        rc = hg_tls_pem_open("key", key_file, &keys, err); /* for its sentence */
    if (rc == 0)
        rc = read_chain(c, certs, err);
    if (rc == 0)
        c->key = hg_tls_pem_key(key_file);
    if (rc == 0 && (c->key == NULL || X509_check_private_key(c->leaf, c->key) != 1))
        rc = hg_fail(err, -EINVAL,
                     "key file %s is no usable PEM key without pass phrase, or not the key of "
                     "certificate %s: %s",
                     key_file, cert_file, hg_tls_reason());
    BIO_free(certs);
    BIO_free(keys);
    return rc == 0 ? check(c, err) : rc;
}

int hg_tls_certs_load(struct hg_tls_certs *certs, const char *cert_files, const char *key_files,
                      struct hg_err *err)
{
    char cert[PATH_SIZE], key[PATH_SIZE];
    int rc = 0;

    while (rc == 0 && cert_files != NULL && key_files != NULL) {
        if (certs->n == HG_TLS_CERTS_MAX)
            return hg_fail(err, -EINVAL, "more than %u certificate files", HG_TLS_CERTS_MAX);
        hg_tls_next_item(&cert_files, cert, sizeof cert);
        hg_tls_next_item(&key_files, key, sizeof key);
        rc = load_one(&certs->list[certs->n++], cert, key, err);
    }
    if (rc == 0 && (cert_files != NULL || key_files != NULL))
        return hg_fail(err, -EINVAL, "there are more %s files than %s files: the lists go in pairs",
                       cert_files != NULL ? "certificate" : "key",
                       cert_files != NULL ? "key" : "certificate");
    return rc;
}

void hg_tls_certs_free(struct hg_tls_certs *certs)
{
    for (unsigned i = 0; i < certs->n; i++) {
        struct hg_tls_cert *c = &certs->list[i];

        X509_free(c->leaf);
        sk_X509_pop_free(c->chain, X509_free);
        EVP_PKEY_free(c->key);
        free(c->file);
    }
    certs->n = 0;
}

/* ---- choosing ---- */

/* Invariant 1. */
static bool better(const struct hg_tls_cert *a, const struct hg_tls_cert *b, int64_t now)
{
    bool a_valid = a->not_before <= now && now <= a->not_after;
    bool b_valid = b->not_before <= now && now <= b->not_after;

    if (a_valid != b_valid)
        return a_valid;
    return a_valid ? a->not_before > b->not_before : a->not_after > b->not_after;
}

const struct hg_tls_cert *hg_tls_certs_best(const struct hg_tls_certs *certs,
                                            enum hg_tls_key_type type, int64_t now)
{
    const struct hg_tls_cert *best = NULL;

    for (unsigned i = 0; i < certs->n; i++)
        if (certs->list[i].type == type && (best == NULL || better(&certs->list[i], best, now)))
            best = &certs->list[i];
    return best;
}

int hg_tls_certs_install(struct hg_tls_certs *certs, SSL_CTX *ssl, int64_t now, struct hg_err *err)
{
    for (int type = 0; type < HG_TLS_KEY_TYPES; type++) {
        const struct hg_tls_cert *c = hg_tls_certs_best(certs, (enum hg_tls_key_type)type, now);

        /* Invariant 2: one place for both curves. */
        if (c == NULL || (type == HG_TLS_KEY_P384 && certs->installed[HG_TLS_KEY_P256] != NULL))
            continue;
        if (SSL_CTX_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1)
            return hg_fail(err, -EINVAL, "certificate file %s cannot be used: %s", c->file,
                           hg_tls_reason());
        certs->installed[type] = c;
    }
    return 0;
}

/* Whether the peer can use this curve: in TLS 1.3 a signature algorithm says so (RFC 8446 4.2.3), in
 * TLS 1.2 its groups (RFC 8422 5.1). How the CA signed is not asked: a peer may know our CA's
 * certificates by heart. */
static bool fits(SSL *ssl, const struct hg_tls_cert *c)
{
    int flag = SSL_version(ssl) == TLS1_3_VERSION ? CERT_PKEY_EE_SIGNATURE : CERT_PKEY_EE_PARAM;

    return (SSL_check_chain(ssl, c->leaf, c->key, c->chain) & flag) != 0;
}

static bool use(SSL *ssl, const struct hg_tls_certs *certs, const struct hg_tls_cert *c)
{
    return c == NULL || c == certs->installed[c->type] ||
           SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

int hg_tls_certs_choose(const struct hg_tls_certs *certs, SSL *ssl, int64_t now)
{
    const struct hg_tls_cert *p256 = hg_tls_certs_best(certs, HG_TLS_KEY_P256, now);
    const struct hg_tls_cert *p384 = hg_tls_certs_best(certs, HG_TLS_KEY_P384, now);

    if (p256 != NULL && p384 != NULL && !fits(ssl, p256) && fits(ssl, p384))
        p256 = NULL;
    for (int type = 0; type <= HG_TLS_KEY_ED25519; type++)
        if (!use(ssl, certs, hg_tls_certs_best(certs, (enum hg_tls_key_type)type, now)))
            return 0;
    return use(ssl, certs, p256 != NULL ? p256 : p384) ? 1 : 0;
}
