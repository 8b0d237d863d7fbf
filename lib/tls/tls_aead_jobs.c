/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records through the job queue of ipsec-mb. In versions 1.3 to 2.0 each of the three algorithms is
 * computed when its job is submitted, one record after the other; what the queue offers beyond direct
 * calls is ChaCha20-Poly1305 in one call instead of three. Nothing here relies on it: a job may as well
 * wait for others until the end of the batch.
 *
 * get_next_job and submit_job are the calls that mean the same in all these versions (since 1.4 a burst
 * wants a session in each job). Arguments are ours and right, so they are not checked again.
 *
 * The library leaves the one-time key of a Poly1305 (RFC 8439 2.6) on the stack, where the next
 * record overwrites it; it is good for nothing but the record that it came with.
 */
#include "tls_aead_mb.h"

static void fill_gcm(IMB_JOB *job, const struct hg_tls_aead_op *op)
{
    job->cipher_mode = IMB_CIPHER_GCM;
    job->hash_alg = IMB_AUTH_AES_GMAC;
    job->key_len_in_bytes = op->key->alg == HG_TLS_AES_128_GCM ? 16 : 32;
    job->u.GCM.aad = op->aad;
    job->u.GCM.aad_len_in_bytes = op->aad_len;
}

static void fill_chacha(IMB_JOB *job, const struct hg_tls_aead_op *op)
{
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->key_len_in_bytes = 32;
    job->u.CHACHA20_POLY1305.aad = op->aad;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->aad_len;
}

/* The tag that is computed goes to `tag`. */
static void fill(IMB_JOB *job, const struct hg_tls_aead_op *op, uint8_t *tag)
{
    bool seal = op->key->seal;

    if (op->key->alg == HG_TLS_CHACHA20_POLY1305)
        fill_chacha(job, op);
    else
        fill_gcm(job, op);
    job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = job->dec_keys = hg_tls_mb_key_of(op->key);
    job->src = op->in.v->base + op->in.off;
    job->dst = op->dst;
    job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = op->len;
    job->iv = op->nonce;
    job->iv_len_in_bytes = HG_TLS_NONCE;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = HG_TLS_TAG;
}

static int verdict(const IMB_JOB *job, struct hg_tls_aead_op *op, const uint8_t *tag)
{
    if (job->status != IMB_STATUS_COMPLETED)
        return op->key->seal ? -EIO : -EBADMSG;
    if (op->key->seal)
        return 0;
    op->in.off += op->len;
    return hg_tls_mb_check(op, tag);
}

void hg_tls_mb_jobs(struct hg_tls_aead_op *op, unsigned n)
{
    IMB_MGR *mb = op->key->engine->mb;
    IMB_JOB *job[HG_TLS_AEAD_BATCH];
    uint8_t tag[HG_TLS_AEAD_BATCH][HG_TLS_TAG];
    unsigned waiting = n;

    for (unsigned i = 0; i < n; i++) {
        job[i] = IMB_GET_NEXT_JOB(mb);
        fill(job[i], &op[i], op[i].key->seal ? op[i].dst + op[i].len : tag[i]);
        waiting -= IMB_SUBMIT_JOB_NOCHECK(mb) != NULL;
    }
    while (waiting != 0 && IMB_FLUSH_JOB(mb) != NULL)
        waiting--;
    for (unsigned i = 0; i < n; i++)
        op[i].rc = verdict(job[i], &op[i], tag[i]);
}
