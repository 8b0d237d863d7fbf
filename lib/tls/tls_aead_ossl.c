/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AEAD provider on OpenSSL's EVP: the reference. One cipher context per key, made when the key
 * is set; a record only replaces its nonce, which does not allocate.
 */
#include "tls_aead.h"
#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>

struct ossl_key {
    EVP_CIPHER_CTX *ctx; /* owned */
};

static_assert(sizeof(struct ossl_key) <= HG_TLS_AEAD_STATE, "the key fits the state");

static struct ossl_key *key_of(struct hg_tls_aead *a)
{
    return (struct ossl_key *)(void *)a->state;
}

static int ossl_set_key(struct hg_tls_aead *a, const uint8_t *key)
{
    struct ossl_key *k = key_of(a);
    const EVP_CIPHER *cipher = NULL; /* NULL: keep the context's */

    if (k->ctx == NULL) {
        k->ctx = EVP_CIPHER_CTX_new();
        if (k->ctx == NULL)
            return -ENOMEM;
        cipher = a->engine->evp[a->alg];
    }
    return EVP_CipherInit_ex(k->ctx, cipher, NULL, key, NULL, a->seal) == 1 ? 0 : -ENOMEM;
}

/* Nonce, then the additional data. */
static int start(EVP_CIPHER_CTX *ctx, const struct hg_tls_aead_op *op)
{
    int n;

    if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, op->nonce, -1) != 1)
        return -EIO;
    if (op->aad_len != 0 && EVP_CipherUpdate(ctx, NULL, &n, op->aad, (int)op->aad_len) != 1)
        return -EIO;
    return 0;
}

/* Every piece of the input through the cipher; both algorithms are stream modes, so each piece
 * gives as many bytes as it has. */
static int run_text(EVP_CIPHER_CTX *ctx, struct hg_tls_aead_op *op)
{
    uint32_t done = 0, run;
    const uint8_t *p;
    int n;

    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        if (EVP_CipherUpdate(ctx, op->dst + done, &n, p, (int)run) != 1 || n != (int)run)
            return -EIO;
        done += run;
    }
    return 0;
}

static int open_one(struct hg_tls_aead_op *op)
{
    EVP_CIPHER_CTX *ctx = key_of(op->key)->ctx;
    uint8_t tag[HG_TLS_TAG], none[EVP_MAX_BLOCK_LENGTH];
    int n;

    if (start(ctx, op) != 0 || run_text(ctx, op) != 0)
        return -EBADMSG;
    if (hg_tls_cur_copy(&op->in, tag, HG_TLS_TAG) != HG_TLS_TAG)
        return -EBADMSG;
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, HG_TLS_TAG, tag) != 1)
        return -EBADMSG;
    return EVP_CipherFinal_ex(ctx, none, &n) == 1 ? 0 : -EBADMSG;
}

static int seal_one(struct hg_tls_aead_op *op)
{
    EVP_CIPHER_CTX *ctx = key_of(op->key)->ctx;
    uint8_t *end = op->dst + op->len, none[EVP_MAX_BLOCK_LENGTH];
    int n;

    if (start(ctx, op) != 0 || run_text(ctx, op) != 0)
        return -EIO;
    if (op->tail_len != 0 && EVP_CipherUpdate(ctx, end, &n, op->tail, (int)op->tail_len) != 1)
        return -EIO;
    if (EVP_CipherFinal_ex(ctx, none, &n) != 1)
        return -EIO;
    end += op->tail_len;
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, HG_TLS_TAG, end) == 1 ? 0 : -EIO;
}

/* EVP knows no batches. */
static void ossl_open(struct hg_tls_aead_op *op, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        op[i].rc = open_one(&op[i]);
}

static void ossl_seal(struct hg_tls_aead_op *op, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        op[i].rc = seal_one(&op[i]);
}

static void ossl_wipe(struct hg_tls_aead *a)
{
    struct ossl_key *k = key_of(a);

    EVP_CIPHER_CTX_free(k->ctx); /* erases the expanded key */
    k->ctx = NULL;
}

const struct hg_tls_aead_ops hg_tls_aead_ossl = {
    .name = "openssl",
    .set_key = ossl_set_key,
    .open = ossl_open,
    .seal = ossl_seal,
    .wipe = ossl_wipe,
};
