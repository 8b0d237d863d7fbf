/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The AEAD provider on intel-ipsec-mb: one direct call for a record in one piece; init, update per
 * piece and finalize for one in several; or jobs (tls_aead_jobs.c) where those were measured to be
 * faster. The tag is computed, then compared in constant time here, since the library does not compare.
 */
#include "tls_aead_mb.h"
#include <openssl/crypto.h>

/* The running state of one record. For GCM it holds nothing of the key but one block of key stream,
 * that is no more than the plaintext beside it. */
union mb_ctx {
    struct gcm_context_data gcm;
    struct chacha20_poly1305_context_data chacha;
};

static int mb_set_key(struct hg_tls_aead *a, const uint8_t *key)
{
    union hg_tls_mb_key *k = hg_tls_mb_key_of(a);

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
    union hg_tls_mb_key *k = hg_tls_mb_key_of(a);

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
    union hg_tls_mb_key *k = hg_tls_mb_key_of(a);

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
    union hg_tls_mb_key *k = hg_tls_mb_key_of(a);

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
    union hg_tls_mb_key *k = hg_tls_mb_key_of(a);

    if (a->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_DEC_FINALIZE(mb, &k->gcm, &c->gcm, tag, HG_TLS_TAG);
    else if (a->alg == HG_TLS_AES_128_GCM)
        IMB_AES128_GCM_DEC_FINALIZE(mb, &k->gcm, &c->gcm, tag, HG_TLS_TAG);
    else
        finish_chacha(mb, &c->chacha, tag);
}

/* ---- a record in pieces ----
 * Out of line, so that the common way has no frame for it. */

__attribute__((noinline)) static int open_steps(struct hg_tls_aead_op *op)
{
    uint8_t computed[HG_TLS_TAG];
    union mb_ctx c;
    uint32_t done = 0, run;
    const uint8_t *p;

    start(op->key, &c, op);
    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        decrypt(op->key, &c, op->dst + done, p, run);
        done += run;
    }
    finish(op->key, &c, computed);
    return hg_tls_mb_check(op, computed);
}

__attribute__((noinline)) static int seal_steps(struct hg_tls_aead_op *op)
{
    union mb_ctx c;
    uint32_t done = 0, run;
    const uint8_t *p;

    start(op->key, &c, op);
    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        encrypt(op->key, &c, op->dst + done, p, run);
        done += run;
    }
    if (op->tail_len != 0)
        encrypt(op->key, &c, op->dst + done, op->tail, op->tail_len);
    finish(op->key, &c, op->dst + done + op->tail_len);
    return 0;
}

/* ---- AES-GCM of a record in one piece ---- */

static int open_whole(struct hg_tls_aead_op *op)
{
    IMB_MGR *mb = op->key->engine->mb;
    struct gcm_key_data *k = &hg_tls_mb_key_of(op->key)->gcm;
    const uint8_t *text = op->in.v->base + op->in.off;
    uint8_t computed[HG_TLS_TAG];
    struct gcm_context_data c;

    if (op->key->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_DEC(mb, k, &c, op->dst, text, op->len, op->nonce, op->aad, op->aad_len,
                           computed, HG_TLS_TAG);
    else
        IMB_AES128_GCM_DEC(mb, k, &c, op->dst, text, op->len, op->nonce, op->aad, op->aad_len,
                           computed, HG_TLS_TAG);
    op->in.off += op->len;
    return hg_tls_mb_check(op, computed);
}

static int seal_whole(struct hg_tls_aead_op *op)
{
    IMB_MGR *mb = op->key->engine->mb;
    struct gcm_key_data *k = &hg_tls_mb_key_of(op->key)->gcm;
    const uint8_t *text = op->in.v->base + op->in.off;
    uint8_t *tag = op->dst + op->len;
    struct gcm_context_data c;

    if (op->key->alg == HG_TLS_AES_256_GCM)
        IMB_AES256_GCM_ENC(mb, k, &c, op->dst, text, op->len, op->nonce, op->aad, op->aad_len, tag,
                           HG_TLS_TAG);
    else
        IMB_AES128_GCM_ENC(mb, k, &c, op->dst, text, op->len, op->nonce, op->aad, op->aad_len, tag,
                           HG_TLS_TAG);
    return 0;
}

/* ---- which way ---- */

static int open_direct(struct hg_tls_aead_op *op)
{
    if (op->key->alg != HG_TLS_CHACHA20_POLY1305 && hg_tls_mb_whole(op))
        return open_whole(op);
    return open_steps(op);
}

static int seal_direct(struct hg_tls_aead_op *op)
{
    if (op->key->alg != HG_TLS_CHACHA20_POLY1305 && hg_tls_mb_whole(op))
        return seal_whole(op);
    return seal_steps(op);
}

/* How many from here on go as one batch of jobs. */
static unsigned jobs_from(const struct hg_tls_aead_op *op, unsigned n)
{
    unsigned i = 0;

    while (i < n && op[i].key->jobs && hg_tls_mb_whole(&op[i]))
        i++;
    return i;
}

static void mb_open(struct hg_tls_aead_op *op, unsigned n)
{
    for (unsigned i = 0, jobs; i < n; i += jobs != 0 ? jobs : 1) {
        jobs = op[i].key->jobs ? jobs_from(op + i, n - i) : 0;
        if (jobs != 0)
            hg_tls_mb_jobs(op + i, jobs);
        else
            op[i].rc = open_direct(&op[i]);
    }
}

static void mb_seal(struct hg_tls_aead_op *op, unsigned n)
{
    for (unsigned i = 0, jobs; i < n; i += jobs != 0 ? jobs : 1) {
        jobs = op[i].key->jobs ? jobs_from(op + i, n - i) : 0;
        if (jobs != 0)
            hg_tls_mb_jobs(op + i, jobs);
        else
            op[i].rc = seal_direct(&op[i]);
    }
}

static void mb_wipe(struct hg_tls_aead *a)
{
    OPENSSL_cleanse(a->state, sizeof(union hg_tls_mb_key));
}

const struct hg_tls_aead_ops hg_tls_aead_mb = {
    .name = "ipsec-mb",
    .set_key = mb_set_key,
    .open = mb_open,
    .seal = mb_seal,
    .wipe = mb_wipe,
};
