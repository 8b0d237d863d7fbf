/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our certificates: several at once, and which one a peer is shown.
 *
 *  1. Of each type of key the one that is valid now and has the latest notBefore is used; when none
 *     is valid, the one that ended last, so that the peer can say what is wrong. So an old and a new
 *     one may lie side by side, and neither the order of the list nor SNI matters.
 *  2. Of the types OpenSSL takes the first of our signature algorithms that the peer offers too
 *     (tls_offer.c). It has one place for all curves, so between P-256 and P-384 we choose: P-256
 *     unless the peer can only use the other.
 *  3. The choice is made for each handshake, by its time; the list itself never changes.
 */
#ifndef HEADGATE_TLS_CERT_H
#define HEADGATE_TLS_CERT_H

#include <headgate/base.h>
#include <headgate/tls.h>
#include <openssl/x509.h>

enum hg_tls_key_type {
    HG_TLS_KEY_RSA,
    HG_TLS_KEY_RSA_PSS, /* rsassaPss, RFC 8017 A.2.3 */
    HG_TLS_KEY_ED25519,
    HG_TLS_KEY_P256,
    HG_TLS_KEY_P384,
    HG_TLS_KEY_TYPES,
};

struct hg_tls_cert {
    X509 *leaf;             /* owned, as the next two */
    STACK_OF(X509) * chain; /* what is sent behind it */
    EVP_PKEY *key;
    char *file; /* owned; for sentences */
    enum hg_tls_key_type type;
    int64_t not_before, not_after; /* seconds since 1970; the first end in its chain */
};

struct hg_tls_certs {
    struct hg_tls_cert list[HG_TLS_CERTS_MAX];
    unsigned n;
    /* What a new SSL has before hg_tls_certs_choose(), by type; NULL: nothing. */
    const struct hg_tls_cert *installed[HG_TLS_KEY_TYPES];
};

/* Loads the files of two comma-separated lists of equal length. 0, or negative errno with a
 * sentence; what was loaded is hg_tls_certs_free()'s all the same. */
int hg_tls_certs_load(struct hg_tls_certs *certs, const char *cert_files, const char *key_files,
                      struct hg_err *err);
void hg_tls_certs_free(struct hg_tls_certs *certs);

/* Gives an SSL_CTX those to start from. 0, or -EINVAL with a sentence. */
int hg_tls_certs_install(struct hg_tls_certs *certs, SSL_CTX *ssl, int64_t now, struct hg_err *err);

/* Invariant 1; NULL when there is none of the type. now: seconds since 1970. */
const struct hg_tls_cert *hg_tls_certs_best(const struct hg_tls_certs *certs,
                                            enum hg_tls_key_type type, int64_t now);

/* Gives an SSL those for its peer, from OpenSSL's certificate callback: 1, or 0 for
 * internal_error. */
int hg_tls_certs_choose(const struct hg_tls_certs *certs, SSL *ssl, int64_t now);

/* "RSA", "P-256", ... */
const char *hg_tls_key_type_name(enum hg_tls_key_type type);

#endif /* HEADGATE_TLS_CERT_H */
