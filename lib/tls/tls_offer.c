/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_offer.h"
#include "tls_keys.h"
#include "tls_pem.h"
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#define CIPHERS13 "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS12                                                                                  \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519,P-256,P-384"
/* RFC 8446 4.2.3 in the order of what they cost us; no SHA-1, no DSA. The last three are for
 * certificates and TLS 1.2 only. */
#define SIGNATURES                                                                                 \
    "ECDSA+SHA256:ed25519:ECDSA+SHA384:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"  \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"                                 \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"
/* OpenSSL's measure: 112 bits, so RSA from 2048 bits on and no SHA-1, in certificates too. */
#define SECURITY_LEVEL 2

#define LIST_MAX 512u /* characters of a list in OpenSSL's notation */
#define NAME_SIZE 64u /* bytes of a name in a list, NUL included */

static int set_versions(SSL_CTX *ssl, int min, int max, struct hg_err *err)
{
    if (min < HG_TLS_1_2 || max > HG_TLS_1_3 || min > max)
        return hg_fail(err, -EINVAL,
                       "TLS versions 0x%04x to 0x%04x are not a range within TLS 1.2 to 1.3", min,
                       max);
    if (SSL_CTX_set_min_proto_version(ssl, min) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, max) != 1)
        return hg_fail(err, -EINVAL, "OpenSSL refuses TLS versions 0x%04x to 0x%04x: %s", min, max,
                       hg_tls_reason());
    return 0;
}

static int append(char list[LIST_MAX], const char *name)
{
    size_t len = strlen(list);

    if (len + 1 + strlen(name) >= LIST_MAX)
        return -EINVAL;
    snprintf(list + len, LIST_MAX - len, "%s%s", len == 0 ? "" : ":", name);
    return 0;
}

/* ---- suites ---- */

/* We protect the records, so a suite that we cannot protect must not be negotiable; and without
 * ECDHE there is no forward secrecy. */
static int check_ciphers(SSL_CTX *ssl, struct hg_err *err)
{
    STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(ssl);

    for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
        const SSL_CIPHER *c = sk_SSL_CIPHER_value(list, i);

        if (hg_tls_suite_find(SSL_CIPHER_get_protocol_id(c)) == NULL)
            return hg_fail(err, -EINVAL,
                           "cipher suite %s is not supported: use only ECDHE suites with AES-GCM "
                           "or ChaCha20-Poly1305",
                           SSL_CIPHER_get_name(c));
    }
    return 0;
}

static int set_ciphers(SSL_CTX *ssl, const char *c13, const char *c12, struct hg_err *err)
{
    if (SSL_CTX_set_ciphersuites(ssl, c13) != 1)
        return hg_fail(err, -EINVAL, "TLS 1.3 cipher suites \"%s\": %s", c13, hg_tls_reason());
    if (SSL_CTX_set_cipher_list(ssl, c12) != 1)
        return hg_fail(err, -EINVAL, "TLS 1.2 cipher suites \"%s\": %s", c12, hg_tls_reason());
    return check_ciphers(ssl, err);
}

/* Adds a suite, by its IANA or its OpenSSL name, to the list of its version. */
static int add_suite(SSL_CTX *ssl, const char *name, char c13[LIST_MAX], char c12[LIST_MAX])
{
    const char *iana = OPENSSL_cipher_name(name); /* "(NONE)" when it knows none */
    const char *ours = strcmp(iana, "(NONE)") == 0 ? name : iana;
    STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ssl);

    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);

        if (strcmp(SSL_CIPHER_get_name(c), ours) == 0)
            return append(
                hg_tls_suite_find(SSL_CIPHER_get_protocol_id(c))->version == HG_TLS_1_3 ? c13 : c12,
                ours);
    }
    return -EINVAL;
}

/* One list for both versions; a version that has none of them must be off. */
static int set_suites(SSL_CTX *ssl, const struct hg_tls_cfg *cfg, int min, int max,
                      struct hg_err *err)
{
    char c13[LIST_MAX] = "", c12[LIST_MAX] = "", name[NAME_SIZE];
    const char *rest = cfg->suites;
    int rc = set_ciphers(ssl, CIPHERS13, CIPHERS12, err); /* what may be chosen from */

    if (rc != 0)
        return rc;
    while (hg_tls_next_item(&rest, name, sizeof name))
        if (add_suite(ssl, name, c13, c12) != 0)
            return hg_fail(err, -EINVAL,
                           "cipher suite \"%s\" is not supported: %s and, for TLS 1.2, the ECDHE "
                           "suites of the same ciphers are",
                           name, CIPHERS13);
    if ((c13[0] == '\0' && max >= HG_TLS_1_3) || (c12[0] == '\0' && min <= HG_TLS_1_2))
        return hg_fail(err, -EINVAL,
                       "cipher suites \"%.200s\" have none of TLS %s: add one, or do not accept "
                       "that version",
                       cfg->suites, c13[0] == '\0' ? "1.3" : "1.2");
    return set_ciphers(ssl, c13, c12[0] == '\0' ? CIPHERS12 : c12, err);
}

/* ---- groups ---- */

static int set_groups(SSL_CTX *ssl, const char *list, struct hg_err *err)
{
    char groups[LIST_MAX] = "", name[NAME_SIZE];

    while (hg_tls_next_item(&list, name, sizeof name)) {
        bool known =
            strcmp(name, "X25519") == 0 || strcmp(name, "P-256") == 0 || strcmp(name, "P-384") == 0;

        if (!known || append(groups, name) != 0)
            return hg_fail(err, -EINVAL,
                           "key exchange group \"%s\" is not supported: X25519, P-256 and P-384 "
                           "are, each once",
                           name);
    }
    if (SSL_CTX_set1_groups_list(ssl, groups) != 1)
        return hg_fail(err, -EINVAL,
                       "key exchange groups \"%s\": %s: X25519, P-256 and P-384 are supported, "
                       "each once",
                       groups, hg_tls_reason());
    return 0;
}

int hg_tls_offer_set(SSL_CTX *ssl, const struct hg_tls_cfg *cfg, struct hg_err *err)
{
    int min = cfg->min_version == 0 ? HG_TLS_1_2 : cfg->min_version;
    int max = cfg->max_version == 0 ? HG_TLS_1_3 : cfg->max_version;
    int rc = set_versions(ssl, min, max, err);

    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    if (rc == 0 && cfg->suites != NULL)
        rc = set_suites(ssl, cfg, min, max, err);
    else if (rc == 0)
        rc = set_ciphers(ssl, cfg->ciphers13 == NULL ? CIPHERS13 : cfg->ciphers13,
                         cfg->ciphers12 == NULL ? CIPHERS12 : cfg->ciphers12, err);
    if (rc == 0)
        rc = set_groups(ssl, cfg->groups == NULL ? GROUPS : cfg->groups, err);
    if (rc == 0 && SSL_CTX_set1_sigalgs_list(ssl, SIGNATURES) != 1)
        rc = hg_fail(err, -EINVAL, "OpenSSL refuses our signature algorithms: %s", hg_tls_reason());
    return rc;
}
