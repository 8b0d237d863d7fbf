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
}

int hg_tls_aead_set_key(struct hg_tls_aead *a, const uint8_t *key)
{
    assert(a->ops != NULL && a->alg < HG_TLS_ALGS);
    return a->ops->set_key(a, key);
}

int hg_tls_aead_open(struct hg_tls_aead *a, struct hg_tls_aead_op *op)
{
    int rc;

    assert(!a->seal && op->tail_len == 0);
    rc = a->ops->open(a, op);
    assert(rc == 0 || rc == -EBADMSG);
    if (rc != 0)
        OPENSSL_cleanse(op->dst, op->len);
    return rc;
}

int hg_tls_aead_seal(struct hg_tls_aead *a, struct hg_tls_aead_op *op)
{
    assert(a->seal);
    return a->ops->seal(a, op);
}

void hg_tls_aead_wipe(struct hg_tls_aead *a)
{
    if (a->ops != NULL)
        a->ops->wipe(a);
    OPENSSL_cleanse(a->state, sizeof a->state);
}
