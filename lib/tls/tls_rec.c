/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_rec.h"
#include <assert.h>
#include <errno.h>
#include <headgate/endian.h>
#include <openssl/crypto.h>
#include <string.h>

#define AAD_MAX 13u /* TLS 1.2: sequence, type, version, length */

static void put64(uint8_t *p, uint64_t v)
{
    hg_be64 wire = hg_be64_put(v);

    memcpy(p, &wire, sizeof wire);
}

static bool is_13(const struct hg_tls_rec *rec)
{
    return rec->suite->version == HG_TLS_1_3;
}

int hg_tls_rec_init(struct hg_tls_rec *rec, const struct hg_tls_rec_cfg *cfg,
                    const struct hg_tls_keyset *keys)
{
    memset(rec, 0, sizeof *rec);
    rec->suite = cfg->suite;
    rec->head = (uint8_t)(HG_TLS_RECORD_HEADER + cfg->suite->explicit_len);
    rec->expansion = (uint8_t)(HG_TLS_TAG + cfg->suite->explicit_len);
    rec->limit = UINT64_MAX;
    rec->max_text = HG_TLS_MAX_PLAINTEXT;
    rec->max_inner = HG_TLS_MAX_PLAINTEXT + is_13(rec);
    if (cfg->seal && cfg->suite->alg != HG_TLS_CHACHA20_POLY1305)
        rec->limit = HG_TLS_SEAL_LIMIT;
    hg_tls_aead_init(&rec->aead, cfg->provider, cfg->engine, cfg->suite->alg, cfg->seal);
    return hg_tls_rec_rekey(rec, keys);
}

int hg_tls_rec_rekey(struct hg_tls_rec *rec, const struct hg_tls_keyset *keys)
{
    rec->seq = 0;
    memcpy(rec->iv, keys->iv, sizeof rec->iv);
    return hg_tls_aead_set_key(&rec->aead, keys->key);
}

void hg_tls_rec_wipe(struct hg_tls_rec *rec)
{
    hg_tls_aead_wipe(&rec->aead);
    OPENSSL_cleanse(rec->iv, sizeof rec->iv);
}

/* RFC 8446 5.3 and RFC 7905 2: the IV xor the sequence number. RFC 5288 3: the salt, then the
 * explicit nonce, which is not the sequence number when the peer chose it. */
static void make_nonce(const struct hg_tls_rec *rec, const uint8_t *explicit_nonce,
                       uint8_t nonce[HG_TLS_NONCE])
{
    hg_be64 low;

    memcpy(nonce, rec->iv, HG_TLS_NONCE);
    if (rec->suite->explicit_len != 0) {
        memcpy(nonce + rec->suite->salt_len, explicit_nonce, rec->suite->explicit_len);
        return;
    }
    memcpy(&low, nonce + HG_TLS_NONCE - 8, 8);
    put64(nonce + HG_TLS_NONCE - 8, hg_be64_get(low) ^ rec->seq);
}

/* RFC 8446 5.2: the record header as it is on the wire. RFC 5246 6.2.3.3: the sequence number, and
 * the header with the length of the plaintext. Returns its length. */
static uint32_t make_aad(const struct hg_tls_rec *rec, const uint8_t *hdr, uint32_t text_len,
                         uint8_t aad[AAD_MAX])
{
    if (is_13(rec)) {
        memcpy(aad, hdr, HG_TLS_RECORD_HEADER);
        return HG_TLS_RECORD_HEADER;
    }
    put64(aad, rec->seq);
    memcpy(aad + 8, hdr, 3);
    aad[11] = (uint8_t)(text_len >> 8);
    aad[12] = (uint8_t)text_len;
    return AAD_MAX;
}

/* RFC 8446 5.4: the content type is the last byte that is not zero. */
static int strip_padding(const uint8_t *dst, uint32_t len, struct hg_tls_plain *out)
{
    while (len != 0 && dst[len - 1] == 0)
        len--;
    if (len == 0)
        return -EPROTO;
    out->type = dst[len - 1];
    out->len = len - 1;
    return 0;
}

uint32_t hg_tls_rec_room(const struct hg_tls_rec *rec, uint32_t body_len)
{
    return body_len <= rec->expansion ? 0 : body_len - rec->expansion;
}

bool hg_tls_rec_too_long(const struct hg_tls_rec *rec, uint32_t body_len)
{
    return body_len > rec->expansion + rec->max_inner;
}

int hg_tls_rec_open(struct hg_tls_rec *rec, const struct hg_tls_cut *cut, uint8_t *dst,
                    struct hg_tls_plain *out)
{
    uint8_t nonce[HG_TLS_NONCE], aad[AAD_MAX], explicit_nonce[8];
    struct hg_tls_aead_op op = {
        .key = &rec->aead, .nonce = nonce, .aad = aad, .in = cut->body, .dst = dst};

    if (rec->seq >= rec->limit)
        return -EOVERFLOW;
    if (cut->len < rec->expansion)
        return -EBADMSG;
    op.len = cut->len - rec->expansion;
    if (op.len > rec->max_inner)
        return -EMSGSIZE;
    hg_tls_cur_copy(&op.in, explicit_nonce, rec->suite->explicit_len);
    make_nonce(rec, explicit_nonce, nonce);
    op.aad_len = make_aad(rec, cut->hdr, op.len, aad);
    if (hg_tls_aead_open(&op, 1) != 1)
        return -EBADMSG;
    rec->seq++;
    out->type = cut->hdr[0];
    out->len = op.len;
    if (is_13(rec) && strip_padding(dst, op.len, out) != 0)
        return -EPROTO;
    return out->len > rec->max_text ? -EMSGSIZE : 0;
}

/* Header and explicit nonce. */
static void put_head(const struct hg_tls_rec *rec, const struct hg_tls_text *text, uint8_t *dst)
{
    uint32_t body = text->len + rec->expansion + is_13(rec);

    dst[0] = is_13(rec) ? HG_TLS_TYPE_DATA : text->type;
    dst[1] = 3;
    dst[2] = 3;
    dst[3] = (uint8_t)(body >> 8);
    dst[4] = (uint8_t)body;
    if (rec->suite->explicit_len != 0)
        put64(dst + HG_TLS_RECORD_HEADER, rec->nonce_base + rec->seq);
}

int hg_tls_rec_seal(struct hg_tls_rec *rec, const struct hg_tls_text *text, uint8_t *dst)
{
    uint8_t nonce[HG_TLS_NONCE], aad[AAD_MAX];
    struct hg_tls_aead_op op = {
        .key = &rec->aead,
        .nonce = nonce,
        .aad = aad,
        .in = {.v = text->in, .n = text->n, .off = text->off},
        .len = text->len,
        .tail = &text->type,
        .tail_len = is_13(rec),
        .dst = dst + rec->head,
    };

    struct hg_iov whole = {.base = op.dst, .len = text->len + 1};

    assert(text->len <= HG_TLS_MAX_PLAINTEXT);
    if (rec->seq >= rec->limit)
        return -EOVERFLOW;
    if (is_13(rec) && text->n == 1 && text->off == 0 && text->in[0].base == op.dst) {
        /* In place there is room for the content type behind the text, which saves a piece. */
        op.dst[text->len] = text->type;
        op.in.v = &whole;
        op.len = whole.len;
        op.tail_len = 0;
    }
    put_head(rec, text, dst);
    make_nonce(rec, dst + HG_TLS_RECORD_HEADER, nonce);
    op.aad_len = make_aad(rec, dst, text->len, aad);
    if (hg_tls_aead_seal(&op, 1) != 1)
        return -EIO;
    rec->seq++;
    return (int)(rec->head + text->len + is_13(rec) + HG_TLS_TAG);
}
