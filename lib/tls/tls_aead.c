/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_aead.h"
#include <assert.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

static const char *const evp_name[HG_TLS_ALGS] = {
    [HG_TLS_AES_128_GCM] = "AES-128-GCM",
    [HG_TLS_AES_256_GCM] = "AES-256-GCM",
    [HG_TLS_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

int hg_tls_engine_init(struct hg_tls_engine *e, struct hg_err *err)
{
    memset(e, 0, sizeof *e);
    e->mb = alloc_mb_mgr(0);
    if (e->mb == NULL)
        return hg_fail(err, -ENOMEM, "no memory for the ipsec-mb manager of a TLS shard");
    init_mb_mgr_auto(e->mb, NULL);
    if (imb_get_errno(e->mb) != 0 || e->mb->gcm128_dec_update == NULL) {
        hg_fail(err, -ENOTSUP,
                "ipsec-mb does not run on this CPU (%s): x86-64 with SSE4.2 is needed",
                imb_get_strerror(imb_get_errno(e->mb)));
        hg_tls_engine_fini(e);
        return -ENOTSUP;
    }
    for (int i = 0; i < HG_TLS_ALGS; i++) {
        e->evp[i] = EVP_CIPHER_fetch(NULL, evp_name[i], NULL);
        if (e->evp[i] == NULL) {
            hg_fail(err, -ENOTSUP,
                    "OpenSSL has no %s: is its configuration file restricting providers?",
                    evp_name[i]);
            hg_tls_engine_fini(e);
            return -ENOTSUP;
        }
    }
    return 0;
}

void hg_tls_engine_fini(struct hg_tls_engine *e)
{
    for (int i = 0; i < HG_TLS_ALGS; i++)
        EVP_CIPHER_free(e->evp[i]);
    if (e->mb != NULL)
        free_mb_mgr(e->mb);
    memset(e, 0, sizeof *e);
}

void hg_tls_aead_init(struct hg_tls_aead *a, enum hg_tls_provider provider,
                      const struct hg_tls_engine *e, enum hg_tls_alg alg, bool seal)
{
    memset(a, 0, sizeof *a);
    a->ops = provider == HG_TLS_OPENSSL ? &hg_tls_aead_ossl : &hg_tls_aead_mb;
    a->engine = e;
    a->alg = alg;
    a->seal = seal;
    a->jobs = provider == HG_TLS_IPSEC_MB && e->jobs[alg];
    a->one_piece = a->jobs || alg == HG_TLS_CHACHA20_POLY1305;
}

int hg_tls_aead_set_key(struct hg_tls_aead *a, const uint8_t *key)
{
    assert(a->ops != NULL && a->alg < HG_TLS_ALGS);
    return a->ops->set_key(a, key);
}

/* What gathering makes of a record's input; lives as long as the call. */
struct gathered {
    struct hg_iov v[2];
    uint8_t tag[HG_TLS_TAG];
};

/* Copies the text to dst; a piece that lies there already is passed over. */
static void copy_text(struct hg_tls_aead_op *op)
{
    uint32_t done = 0, run;
    const uint8_t *p;

    while (done < op->len && (run = hg_tls_cur_run(&op->in, op->len - done, &p)) != 0) {
        if (p != op->dst + done)
            memcpy(op->dst + done, p, run);
        done += run;
    }
}

static bool in_pieces(const struct hg_tls_aead_op *op)
{
    return op->in.n == 0 || op->in.v->len - op->in.off < op->len;
}

/* Out of line, so that the common way has no frame for it. */
__attribute__((noinline)) static void gather(struct hg_tls_aead_op *op, struct gathered *g)
{
    copy_text(op);
    g->v[0] = (struct hg_iov){.base = op->dst, .len = op->len};
    g->v[1] = (struct hg_iov){.base = g->tag};
    g->v[1].len = hg_tls_cur_copy(&op->in, g->tag, HG_TLS_TAG);
    op->in = (struct hg_tls_cur){.v = g->v, .n = 2};
}

unsigned hg_tls_aead_open(struct hg_tls_aead_op *op, unsigned n)
{
    struct gathered room[HG_TLS_AEAD_BATCH];
    unsigned good = 0;

    assert(n - 1 < HG_TLS_AEAD_BATCH);
    for (unsigned i = 0; i < n; i++) {
        assert(!op[i].key->seal && op[i].tail_len == 0 && op[i].key->ops == op->key->ops);
        if (op[i].key->one_piece && in_pieces(&op[i]))
            gather(&op[i], &room[i]);
    }
    op->key->ops->open(op, n);
    for (unsigned i = 0; i < n; i++) {
        assert(op[i].rc == 0 || op[i].rc == -EBADMSG);
        if (op[i].rc != 0)
            OPENSSL_cleanse(op[i].dst, op[i].len);
        good += op[i].rc == 0;
    }
    return good;
}

/* Up to this many bytes are cheaper copied than sealed in two steps, the second for the tail (AES-256-GCM
 * of 1400 bytes: 204 ns copied, 193 ns in steps). */
#define COPY_MAX 512u

/* Out of line too. */
__attribute__((noinline)) static void seal_gather(struct hg_tls_aead_op *op, struct gathered *g)
{
    copy_text(op);
    if (op->tail_len != 0)
        memcpy(op->dst + op->len, op->tail, op->tail_len);
    op->len += op->tail_len;
    op->tail_len = 0;
    g->v[0] = (struct hg_iov){.base = op->dst, .len = op->len};
    op->in = (struct hg_tls_cur){.v = g->v, .n = 1};
}

unsigned hg_tls_aead_seal(struct hg_tls_aead_op *op, unsigned n)
{
    struct gathered room[HG_TLS_AEAD_BATCH];
    unsigned good = 0;

    assert(n - 1 < HG_TLS_AEAD_BATCH);
    for (unsigned i = 0; i < n; i++) {
        assert(op[i].key->seal && op[i].key->ops == op->key->ops);
        if ((op[i].tail_len != 0 || in_pieces(&op[i])) && op[i].len + op[i].tail_len <= COPY_MAX)
            seal_gather(&op[i], &room[i]);
    }
    op->key->ops->seal(op, n);
    for (unsigned i = 0; i < n; i++)
        good += op[i].rc == 0;
    return good;
}

void hg_tls_aead_wipe(struct hg_tls_aead *a)
{
    if (a->ops != NULL)
        a->ops->wipe(a);
    OPENSSL_cleanse(a->state, sizeof a->state);
}
