/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AEAD provider on intel-ipsec-mb, through its direct API: init, update per piece, finalize.
 * The tag is computed, then compared in constant time here, since the library does not compare.
 */
#include "tls_aead.h"
#include <assert.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <string.h>

union mb_key {
    struct gcm_key_data gcm;
    uint8_t chacha[HG_TLS_KEY_MAX];
};

static_assert(sizeof(union mb_key) <= HG_TLS_AEAD_STATE, "the expanded key fits the state");
static_assert(alignof(union mb_key) <= 64, "the state is aligned for the expanded key");

/* The running state of one record. For GCM it holds nothing of the key but one block of key stream,
 * that is no more than the plaintext beside it. */
union mb_ctx {
    struct gcm_context_data gcm;
    struct chacha20_poly1305_context_data chacha;
};

static union mb_key *key_of(struct hg_tls_aead *a)
{
    return (union mb_key *)(void *)a->state;
}

static int mb_set_key(struct hg_tls_aead *a, const uint8_t *key)
{
    union mb_key *k = key_of(a);

    switch (a->alg) {
    case HG_TLS_AES_128_GCM:
        IMB_AES128_GCM_PRE(a->engine->mb, key, &k->gcm);
        return 0;
    case HG_TLS_AES_256_GCM:
        IMB_AES256_GCM_PRE(a->engine->mb, key, &k->gcm);
        return 0;
    default:
        memcpy(k->chacha, key, sizeof k->chacha);
        return 0;
    }
}

static void start(struct hg_tls_aead *a, union mb_ctx *c, const struct hg_tls_aead_op *op)
{
    IMB_MGR *mb = a->engine->mb;
    union mb_key *k = key_of(a);

    if (a->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_INIT(mb, &k->gcm, &c->gcm, op->nonce, op->aad, op->aad_len);
    else if (a->alg == HG_TLS_AES_128_GCM)
        IMB_AES128_GCM_INIT(mb, &k->gcm, &c->gcm, op->nonce, op->aad, op->aad_len);
    else
        IMB_CHACHA20_POLY1305_INIT(mb, k->chacha, &c->chacha, op->nonce, op->aad, op->aad_len);
}

static void decrypt(struct hg_tls_aead *a, union mb_ctx *c, uint8_t *dst, const uint8_t *src,
                    uint32_t len)
{
    IMB_MGR *mb = a->engine->mb;
    union mb_key *k = key_of(a);

    if (a->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_DEC_UPDATE(mb, &k->gcm, &c->gcm, dst, src, len);
    else if (a->alg == HG_TLS_AES_128_GCM)
        IMB_AES128_GCM_DEC_UPDATE(mb, &k->gcm, &c->gcm, dst, src, len);
    else
        IMB_CHACHA20_POLY1305_DEC_UPDATE(mb, k->chacha, &c->chacha, dst, src, len);
}

static void encrypt(struct hg_tls_aead *a, union mb_ctx *c, uint8_t *dst, const uint8_t *src,
                    uint32_t len)
{
    IMB_MGR *mb = a->engine->mb;
    union mb_key *k = key_of(a);

    if (a->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_ENC_UPDATE(mb, &k->gcm, &c->gcm, dst, src, len);
    else if (a->alg == HG_TLS_AES_128_GCM)
        IMB_AES128_GCM_ENC_UPDATE(mb, &k->gcm, &c->gcm, dst, src, len);
    else
        IMB_CHACHA20_POLY1305_ENC_UPDATE(mb, k->chacha, &c->chacha, dst, src, len);
}

/* The Poly1305 key must not outlive the record. */
static void finish_chacha(IMB_MGR *mb, struct chacha20_poly1305_context_data *c,
                          uint8_t tag[HG_TLS_TAG])
{
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(mb, c, tag, HG_TLS_TAG);
    OPENSSL_cleanse(c, sizeof *c);
}

/* The same computation in both directions: the GHASH or Poly1305 of the ciphertext. */
static void finish(struct hg_tls_aead *a, union mb_ctx *c, uint8_t tag[HG_TLS_TAG])
{
    IMB_MGR *mb = a->engine->mb;
    union mb_key *k = key_of(a);

    if (a->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_DEC_FINALIZE(mb, &k->gcm, &c->gcm, tag, HG_TLS_TAG);
    else if (a->alg == HG_TLS_AES_128_GCM)
        IMB_AES128_GCM_DEC_FINALIZE(mb, &k->gcm, &c->gcm, tag, HG_TLS_TAG);
    else
        finish_chacha(mb, &c->chacha, tag);
}

static int mb_open(struct hg_tls_aead *a, struct hg_tls_aead_op *op)
{
    uint8_t sent[HG_TLS_TAG], computed[HG_TLS_TAG];
    union mb_ctx c;
    uint32_t done = 0, run;
    const uint8_t *p;

    start(a, &c, op);
    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        decrypt(a, &c, op->dst + done, p, run);
        done += run;
    }
    finish(a, &c, computed);
    if (hg_tls_cur_copy(&op->in, sent, HG_TLS_TAG) != HG_TLS_TAG)
        return -EBADMSG;
    return CRYPTO_memcmp(sent, computed, HG_TLS_TAG) == 0 ? 0 : -EBADMSG;
}

static int mb_seal(struct hg_tls_aead *a, struct hg_tls_aead_op *op)
{
    union mb_ctx c;
    uint32_t done = 0, run;
    const uint8_t *p;

    start(a, &c, op);
    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        encrypt(a, &c, op->dst + done, p, run);
        done += run;
    }
    if (op->tail_len != 0)
        encrypt(a, &c, op->dst + done, op->tail, op->tail_len);
    finish(a, &c, op->dst + done + op->tail_len);
    return 0;
}

static void mb_wipe(struct hg_tls_aead *a)
{
    OPENSSL_cleanse(key_of(a), sizeof(union mb_key));
}

const struct hg_tls_aead_ops hg_tls_aead_mb = {
    .name = "ipsec-mb",
    .set_key = mb_set_key,
    .open = mb_open,
    .seal = mb_seal,
    .wipe = mb_wipe,
};
