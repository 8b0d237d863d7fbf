/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_trust.h"
#include "tls_pem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* Certificates between a leaf and its root at most; a longer chain is refused. */
#define CHAIN_MAX 8

static int keep_name(char **at, const char *file, struct hg_err *err)
{
    *at = strdup(file);
    return *at == NULL ? hg_fail(err, -ENOMEM, "no memory for a TLS context") : 0;
}

/* All objects of a PEM file. */
static int read_objects(const char *what, const char *file, STACK_OF(X509_INFO) * *out,
                        struct hg_err *err)
{
    BIO *bio;
    int rc = hg_tls_pem_open(what, file, &bio, err);

    if (rc != 0)
        return rc;
    *out = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (*out == NULL)
        return hg_fail(err, -EINVAL, "%s file %s holds no usable PEM certificate: %s", what, file,
                       hg_tls_reason());
    ERR_clear_error();
    return 0;
}

/* ---- authorities ---- */

static bool name_listed(const STACK_OF(X509) * cas, X509 *x)
{
    for (int i = 0; i < sk_X509_num(cas); i++)
        if (X509_NAME_cmp(X509_get_subject_name(sk_X509_value(cas, i)), X509_get_subject_name(x)) ==
            0)
            return true;
    return false;
}

/* For a server also a name of the list that clients choose their certificate by. */
static int add_ca(struct hg_tls_trust *trust, SSL_CTX *ssl, bool server, X509 *x)
{
    bool named = name_listed(trust->cas, x);

    if (sk_X509_num(trust->cas) == HG_TLS_CAS_MAX || sk_X509_push(trust->cas, x) <= 0)
        return -E2BIG;
    X509_up_ref(x);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), x) != 1)
        return -ENOMEM;
    return !server || named || SSL_CTX_add_client_CA(ssl, x) == 1 ? 0 : -ENOMEM;
}

static int load_cas(struct hg_tls_trust *trust, SSL_CTX *ssl, const struct hg_tls_cfg *cfg,
                    struct hg_err *err)
{
    STACK_OF(X509_INFO) * list;
    int rc = keep_name(&trust->ca_file, cfg->ca_file, err);

    if (rc == 0)
        rc = read_objects("CA", cfg->ca_file, &list, err);
    if (rc != 0)
        return rc;
    trust->cas = sk_X509_new_null();
    for (int i = 0; i < sk_X509_INFO_num(list) && rc == 0; i++) {
        X509 *x = sk_X509_INFO_value(list, i)->x509;

        if (x != NULL)
            rc = add_ca(trust, ssl, cfg->role == HG_TLS_SERVER, x);
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    if (rc != 0)
        return hg_fail(err, rc, "CA file %s: no memory, or more than %d certificates", cfg->ca_file,
                       HG_TLS_CAS_MAX);
    if (sk_X509_num(trust->cas) <= 0)
        return hg_fail(err, -EINVAL, "CA file %s holds no usable PEM certificate: there is none",
                       cfg->ca_file);
    return 0;
}

/* ---- revocation lists ---- */

/* A list of an authority that we have must be signed by it; others may be of authorities that a peer
 * sends, and are checked then. */
static int check_crl(const struct hg_tls_trust *trust, X509_CRL *crl, struct hg_err *err)
{
    const X509_NAME *issuer = X509_CRL_get_issuer(crl);
    char text[HG_TLS_SUBJECT_MAX];
    bool found = false;

    hg_tls_name_text(issuer, text);
    if (X509_CRL_get0_nextUpdate(crl) == NULL)
        return hg_fail(err, -EINVAL, "CRL file %s: the list of \"%s\" has no nextUpdate",
                       trust->crl_file, text);
    for (int i = 0; i < sk_X509_num(trust->cas); i++) {
        X509 *ca = sk_X509_value(trust->cas, i);

        if (X509_NAME_cmp(X509_get_subject_name(ca), issuer) != 0)
            continue;
        if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
            return 0;
        found = true;
    }
    ERR_clear_error();
    if (found)
        return hg_fail(err, -EINVAL,
                       "CRL file %s: the list of \"%s\" is not signed by the key of that CA in CA "
                       "file %s: get the right list",
                       trust->crl_file, text, trust->ca_file);
    return 0;
}

/* OpenSSL sorts a list when it is first searched: here rather than in somebody's handshake. */
static void sort_crl(X509_CRL *crl)
{
    ASN1_INTEGER *any = ASN1_INTEGER_new();
    X509_REVOKED *found;

    if (any != NULL)
        X509_CRL_get0_by_serial(crl, &found, any);
    ASN1_INTEGER_free(any);
}

static int add_crl(struct hg_tls_trust *trust, SSL_CTX *ssl, X509_CRL *crl, struct hg_err *err)
{
    int rc = check_crl(trust, crl, err);

    if (rc != 0)
        return rc;
    if (sk_X509_CRL_num(trust->crls) == HG_TLS_CRLS_MAX || sk_X509_CRL_push(trust->crls, crl) <= 0)
        return hg_fail(err, -E2BIG, "CRL file %s: no memory, or more than %d lists",
                       trust->crl_file, HG_TLS_CRLS_MAX);
    X509_CRL_up_ref(crl);
    sort_crl(crl);
    if (X509_STORE_add_crl(SSL_CTX_get_cert_store(ssl), crl) != 1)
        return hg_fail(err, -ENOMEM, "CRL file %s: no memory", trust->crl_file);
    return 0;
}

/* The whole chain is checked: each CA below the one in the CA file must have its list there. */
static int load_crls(struct hg_tls_trust *trust, SSL_CTX *ssl, const char *file, struct hg_err *err)
{
    STACK_OF(X509_INFO) * list;
    int rc = keep_name(&trust->crl_file, file, err);

    if (rc == 0)
        rc = read_objects("CRL", file, &list, err);
    if (rc != 0)
        return rc;
    trust->crls = sk_X509_CRL_new_null();
    for (int i = 0; i < sk_X509_INFO_num(list) && rc == 0; i++) {
        X509_CRL *crl = sk_X509_INFO_value(list, i)->crl;

        if (crl != NULL)
            rc = add_crl(trust, ssl, crl, err);
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    if (rc == 0 && sk_X509_CRL_num(trust->crls) <= 0)
        rc = hg_fail(err, -EINVAL, "CRL file %s holds no PEM revocation list", file);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl),
                                X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return rc;
}

/* ---- pins ---- */

int hg_tls_trust_server_pins(struct hg_tls_trust *trust, const char *list, struct hg_err *err)
{
    char item[2 * HG_PIN_TEXT];

    while (hg_tls_next_item(&list, item, sizeof item)) {
        if (trust->n_server_pins == HG_TLS_SERVER_PINS_MAX)
            return hg_fail(err, -E2BIG, "more than %u pins of a server", HG_TLS_SERVER_PINS_MAX);
        if (hg_pin_parse(item, strlen(item), &trust->server_pin[trust->n_server_pins]) != 0)
            return hg_fail(err, -EINVAL,
                           "pin \"%s\": write it as sha256/ and 44 characters of Base64, as "
                           "headgate-pki pin prints it",
                           item);
        trust->n_server_pins++;
    }
    return 0;
}

int hg_tls_cert_pin(X509 *cert, struct hg_pin *out)
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    int rc = len <= 0 ? -EIO : hg_pin_of_spki(der, (size_t)len, out);

    OPENSSL_free(der);
    return rc;
}

/* ---- all ---- */

static void set_verify(SSL_CTX *ssl, const struct hg_tls_cfg *cfg)
{
    bool must = cfg->role == HG_TLS_CLIENT || cfg->client_cert == HG_TLS_CERT_REQUIRED;

    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | (must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    SSL_CTX_set_verify_depth(ssl, CHAIN_MAX);
    /* Every certificate in the file is an anchor, so a site may trust its own intermediate CA only.
     */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
}

int hg_tls_trust_load(struct hg_tls_trust *trust, SSL_CTX *ssl, const struct hg_tls_cfg *cfg,
                      struct hg_err *err)
{
    int rc;

    if (cfg->role == HG_TLS_SERVER && cfg->client_cert == HG_TLS_CERT_OFF) {
        SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    if (cfg->ca_file == NULL)
        return hg_fail(err, -EINVAL, "a CA file is needed to verify the TLS peer");
    set_verify(ssl, cfg);
    rc = load_cas(trust, ssl, cfg, err);
    if (rc == 0 && cfg->crl_file != NULL)
        rc = load_crls(trust, ssl, cfg->crl_file, err);
    if (rc == 0 && cfg->pins_file != NULL)
        rc = keep_name(&trust->pins_file, cfg->pins_file, err);
    if (rc == 0 && cfg->pins_file != NULL)
        rc = hg_pins_load(cfg->pins_file, &trust->pins, err);
    trust->pins_only = cfg->pins_only;
    if (rc == 0 && cfg->pins_only && cfg->pins_file == NULL)
        rc = hg_fail(err, -EINVAL, "only sources with a pin may come, and there is no pins file");
    return rc == 0 ? hg_tls_trust_server_pins(trust, cfg->server_pins, err) : rc;
}

void hg_tls_trust_free(struct hg_tls_trust *trust)
{
    sk_X509_pop_free(trust->cas, X509_free);
    sk_X509_CRL_pop_free(trust->crls, X509_CRL_free);
    hg_pins_free(trust->pins);
    free(trust->ca_file);
    free(trust->crl_file);
    free(trust->pins_file);
}
