/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_keys.h"
#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define SUITE13(id_, alg_, md_, md_len, key)                                                       \
    {                                                                                              \
        .id = (id_), .version = HG_TLS_1_3, .alg = (alg_), .md = (md_), .secret_len = (md_len),    \
        .key_len = (key), .salt_len = 12, .explicit_len = 0                                        \
    }
#define SUITE12(id_, alg_, md_, md_len, key, explicit_)                                            \
    {                                                                                              \
        .id = (id_), .version = HG_TLS_1_2, .alg = (alg_), .md = (md_), .secret_len = (md_len),    \
        .key_len = (key), .salt_len = 12 - (explicit_), .explicit_len = (explicit_)                \
    }

static const struct hg_tls_suite suites[] = {
    SUITE13(0x1301, HG_TLS_AES_128_GCM, "SHA256", 32, 16),
    SUITE13(0x1302, HG_TLS_AES_256_GCM, "SHA384", 48, 32),
    SUITE13(0x1303, HG_TLS_CHACHA20_POLY1305, "SHA256", 32, 32),
    /* ECDHE with ECDSA (also Ed25519), then with RSA: RFC 5289 */
    SUITE12(0xc02b, HG_TLS_AES_128_GCM, "SHA256", 32, 16, 8),
    SUITE12(0xc02c, HG_TLS_AES_256_GCM, "SHA384", 48, 32, 8),
    SUITE12(0xc02f, HG_TLS_AES_128_GCM, "SHA256", 32, 16, 8),
    SUITE12(0xc030, HG_TLS_AES_256_GCM, "SHA384", 48, 32, 8),
    /* RFC 7905 */
    SUITE12(0xcca8, HG_TLS_CHACHA20_POLY1305, "SHA256", 32, 32, 0),
    SUITE12(0xcca9, HG_TLS_CHACHA20_POLY1305, "SHA256", 32, 32, 0),
};

const struct hg_tls_suite *hg_tls_suite_find(uint16_t id)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(suites); i++)
        if (suites[i].id == id)
            return &suites[i];
    return NULL;
}

static int derive(const char *kdf_name, const OSSL_PARAM *params, uint8_t *out, uint32_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    int rc = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) == 1 ? 0 : -EIO;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return rc;
}

int hg_tls_expand_label(const struct hg_tls_suite *suite, const uint8_t *secret, const char *label,
                        uint8_t *out, uint32_t len)
{
    uint8_t info[2 + 1 + 6 + 12 + 1]; /* struct HkdfLabel with an empty context */
    size_t label_len = strlen(label), n = 0;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[5];

    assert(label_len <= 12 && len <= UINT16_MAX);
    info[n++] = (uint8_t)(len >> 8);
    info[n++] = (uint8_t)len;
    info[n++] = (uint8_t)(6 + label_len);
    memcpy(info + n, "tls13 ", 6);
    memcpy(info + n + 6, label, label_len);
    n += 6 + label_len;
    info[n++] = 0;
    params[0] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)suite->md, 0);
    params[2] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, suite->secret_len);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, n);
    params[4] = OSSL_PARAM_construct_end();
    return derive("HKDF", params, out, len);
}

int hg_tls_traffic_keys(const struct hg_tls_suite *suite, const uint8_t *secret,
                        struct hg_tls_keyset *out)
{
    int rc = hg_tls_expand_label(suite, secret, "key", out->key, suite->key_len);

    return rc != 0 ? rc : hg_tls_expand_label(suite, secret, "iv", out->iv, HG_TLS_NONCE);
}

int hg_tls_next_secret(const struct hg_tls_suite *suite, uint8_t *secret)
{
    uint8_t next[HG_TLS_SECRET_MAX];
    int rc = hg_tls_expand_label(suite, secret, "traffic upd", next, suite->secret_len);

    if (rc == 0)
        memcpy(secret, next, suite->secret_len);
    OPENSSL_cleanse(next, sizeof next);
    return rc;
}

int hg_tls_prf(const struct hg_tls_prf *prf, uint8_t *out, uint32_t len)
{
    OSSL_PARAM params[5];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)prf->md, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)prf->secret,
                                                  prf->secret_len);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)prf->label,
                                                  strlen(prf->label));
    params[3] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)prf->seed, prf->seed_len);
    params[4] = OSSL_PARAM_construct_end();
    return derive("TLS1-PRF", params, out, len);
}

int hg_tls_key_block(const struct hg_tls_suite *suite, const uint8_t *master,
                     const uint8_t randoms[2 * HG_TLS_RANDOM], struct hg_tls_keyset *client,
                     struct hg_tls_keyset *server)
{
    uint8_t block[2 * HG_TLS_KEY_MAX + 2 * HG_TLS_NONCE], *p = block;
    struct hg_tls_prf prf = {
        .md = suite->md,
        .secret = master,
        .secret_len = HG_TLS_MASTER_SECRET,
        .label = "key expansion",
        .seed = randoms,
        .seed_len = 2 * HG_TLS_RANDOM,
    };
    int rc = hg_tls_prf(&prf, block, 2u * suite->key_len + 2u * suite->salt_len);

    if (rc == 0) {
        /* RFC 5246 6.3: client key, server key, client IV, server IV; AEAD has no MAC keys. */
        memcpy(client->key, p, suite->key_len);
        memcpy(server->key, p += suite->key_len, suite->key_len);
        memcpy(client->iv, p += suite->key_len, suite->salt_len);
        memcpy(server->iv, p += suite->salt_len, suite->salt_len);
    }
    OPENSSL_cleanse(block, sizeof block);
    return rc;
}
