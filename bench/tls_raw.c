/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_raw.h"
#include "cpu.h"
#include <openssl/evp.h>
#include <string.h>

static const uint8_t key[32] __attribute__((aligned(64))) = {7};
static const uint8_t iv[12] = {1}, aad[5] = {0x17, 3, 3, 0x40, 0x11};

static EVP_CIPHER_CTX *context(enum raw_alg alg, int seal)
{
    const EVP_CIPHER *const cipher[RAW_ALGS] = {EVP_aes_128_gcm(), EVP_aes_256_gcm(),
                                                EVP_chacha20_poly1305()};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (ctx == NULL || EVP_CipherInit_ex(ctx, cipher[alg], NULL, key, iv, seal) != 1)
        cpu_die("tls_bench: OpenSSL has not this cipher");
    return ctx;
}

void raw_init(struct raw *r, bool openssl, enum raw_alg alg)
{
    memset(r, 0, sizeof *r);
    r->alg = alg;
    r->openssl = openssl;
    r->mb = alloc_mb_mgr(0);
    if (r->mb == NULL)
        cpu_die("tls_bench: no memory");
    init_mb_mgr_auto(r->mb, NULL);
    if (alg == RAW_AES_128_GCM)
        IMB_AES128_GCM_PRE(r->mb, key, &r->gcm);
    else
        IMB_AES256_GCM_PRE(r->mb, key, &r->gcm);
    r->seal = context(alg, 1);
    r->open = context(alg, 0);
}

void raw_fini(struct raw *r)
{
    EVP_CIPHER_CTX_free(r->seal);
    EVP_CIPHER_CTX_free(r->open);
    free_mb_mgr(r->mb);
}

/* ---- OpenSSL ---- */

static void evp_start(EVP_CIPHER_CTX *ctx)
{
    int n;

    EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, -1);
    EVP_CipherUpdate(ctx, NULL, &n, aad, sizeof aad);
}

static void evp_seal(struct raw *r, uint8_t *text, uint32_t len)
{
    int n;

    evp_start(r->seal);
    EVP_CipherUpdate(r->seal, text, &n, text, (int)len);
    EVP_CipherFinal_ex(r->seal, text + len, &n);
    EVP_CIPHER_CTX_ctrl(r->seal, EVP_CTRL_AEAD_GET_TAG, RAW_TAG, text + len);
}

/* ---- ipsec-mb ---- */

static void mb_seal(struct raw *r, uint8_t *text, uint32_t len)
{
    struct chacha20_poly1305_context_data chacha;
    struct gcm_context_data gcm;

    if (r->alg == RAW_AES_128_GCM) {
        IMB_AES128_GCM_ENC(r->mb, &r->gcm, &gcm, text, text, len, iv, aad, sizeof aad, text + len,
                           RAW_TAG);
    } else if (r->alg == RAW_AES_256_GCM) {
        IMB_AES256_GCM_ENC(r->mb, &r->gcm, &gcm, text, text, len, iv, aad, sizeof aad, text + len,
                           RAW_TAG);
    } else {
        IMB_CHACHA20_POLY1305_INIT(r->mb, key, &chacha, iv, aad, sizeof aad);
        IMB_CHACHA20_POLY1305_ENC_UPDATE(r->mb, key, &chacha, text, text, len);
        IMB_CHACHA20_POLY1305_ENC_FINALIZE(r->mb, &chacha, text + len, RAW_TAG);
    }
}

static void mb_open_whole(struct raw *r, const uint8_t *p, uint32_t len, uint8_t *dst,
                          uint8_t tag[RAW_TAG])
{
    struct gcm_context_data gcm;

    if (r->alg == RAW_AES_128_GCM)
        IMB_AES128_GCM_DEC(r->mb, &r->gcm, &gcm, dst, p, len, iv, aad, sizeof aad, tag, RAW_TAG);
    else
        IMB_AES256_GCM_DEC(r->mb, &r->gcm, &gcm, dst, p, len, iv, aad, sizeof aad, tag, RAW_TAG);
}

union raw_ctx {
    struct gcm_context_data gcm;
    struct chacha20_poly1305_context_data chacha;
};

static void mb_update(struct raw *r, union raw_ctx *c, const struct hg_iov *v, uint8_t *dst)
{
    if (r->alg == RAW_AES_128_GCM)
        IMB_AES128_GCM_DEC_UPDATE(r->mb, &r->gcm, &c->gcm, dst, v->base, v->len);
    else if (r->alg == RAW_AES_256_GCM)
        IMB_AES256_GCM_DEC_UPDATE(r->mb, &r->gcm, &c->gcm, dst, v->base, v->len);
    else
        IMB_CHACHA20_POLY1305_DEC_UPDATE(r->mb, key, &c->chacha, dst, v->base, v->len);
}

static void mb_start(struct raw *r, union raw_ctx *c)
{
    if (r->alg == RAW_AES_128_GCM)
        IMB_AES128_GCM_INIT(r->mb, &r->gcm, &c->gcm, iv, aad, sizeof aad);
    else if (r->alg == RAW_AES_256_GCM)
        IMB_AES256_GCM_INIT(r->mb, &r->gcm, &c->gcm, iv, aad, sizeof aad);
    else
        IMB_CHACHA20_POLY1305_INIT(r->mb, key, &c->chacha, iv, aad, sizeof aad);
}

static void mb_finish(struct raw *r, union raw_ctx *c, uint8_t tag[RAW_TAG])
{
    if (r->alg == RAW_AES_128_GCM)
        IMB_AES128_GCM_DEC_FINALIZE(r->mb, &r->gcm, &c->gcm, tag, RAW_TAG);
    else if (r->alg == RAW_AES_256_GCM)
        IMB_AES256_GCM_DEC_FINALIZE(r->mb, &r->gcm, &c->gcm, tag, RAW_TAG);
    else
        IMB_CHACHA20_POLY1305_DEC_FINALIZE(r->mb, &c->chacha, tag, RAW_TAG);
}

/* ---- either ---- */

void raw_seal(struct raw *r, uint8_t *text, uint32_t len)
{
    if (r->openssl)
        evp_seal(r, text, len);
    else
        mb_seal(r, text, len);
}

static void text_pieces(struct raw *r, union raw_ctx *c, const struct hg_iov *in, uint32_t len,
                        uint8_t *dst)
{
    uint32_t done = 0;
    int n;

    for (; done < len; in++) {
        struct hg_iov v = {.base = in->base, .len = in->len < len - done ? in->len : len - done};

        if (v.len == 0)
            continue;
        if (r->openssl)
            EVP_CipherUpdate(r->open, dst + done, &n, v.base, (int)v.len);
        else
            mb_update(r, c, &v, dst + done);
        done += v.len;
    }
}

void raw_open(struct raw *r, const struct hg_iov *in, unsigned n, uint32_t len, uint8_t *dst)
{
    union raw_ctx c;
    int none;

    if (r->openssl) {
        evp_start(r->open);
        text_pieces(r, &c, in, len, dst);
        EVP_CIPHER_CTX_ctrl(r->open, EVP_CTRL_AEAD_SET_TAG, RAW_TAG, r->tag);
        r->failed |= EVP_CipherFinal_ex(r->open, dst, &none) != 1;
    } else if (n == 1 && r->alg != RAW_CHACHA20_POLY1305) {
        mb_open_whole(r, in->base, len, dst, r->tag);
    } else {
        mb_start(r, &c);
        text_pieces(r, &c, in, len, dst);
        mb_finish(r, &c, r->tag);
    }
}
