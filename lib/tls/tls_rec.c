/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_rec.h"
#include <assert.h>
#include <errno.h>
#include <headgate/endian.h>
#include <openssl/crypto.h>
#include <string.h>

/* Nonce and additional data are made in registers and written as 16 bytes at once: the providers read
 * them as one vector, and a processor waits when it reads in one what it has just written in two. As
 * memory words are, on this processor the first byte is the lowest. */
typedef uint64_t words __attribute__((vector_size(16)));

union block {
    words w;
    uint8_t b[16];
};

/* The bytes as they are on the wire, in a word. */
static uint64_t wire64(uint64_t v)
{
    return __builtin_bswap64(v);
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
    memset(rec->iv, 0, sizeof rec->iv);
    memcpy(rec->iv, keys->iv, rec->suite->salt_len);
    return hg_tls_aead_set_key(&rec->aead, keys->key);
}

void hg_tls_rec_wipe(struct hg_tls_rec *rec)
{
    hg_tls_aead_wipe(&rec->aead);
    OPENSSL_cleanse(rec->iv, sizeof rec->iv);
}

/* RFC 8446 5.3 and RFC 7905 2: the IV xor the sequence number. RFC 5288 3: the salt, then the
 * explicit nonce, which is not the sequence number when the peer chose it. Both are: bytes 4 to 11 xor
 * eight bytes as they are on the wire. */
static words make_nonce(const struct hg_tls_rec *rec, uint64_t eight)
{
    uint64_t iv[2];

    memcpy(iv, rec->iv, sizeof iv);
    return (words){iv[0] ^ eight << 32, iv[1] ^ eight >> 32};
}

/* Five bytes in a word: type, version, length. */
static uint64_t header(uint8_t type, uint32_t len)
{
    return type | UINT64_C(0x030300) | (uint64_t)(len >> 8) << 24 | (uint64_t)(len & 0xff) << 32;
}

/* RFC 8446 5.2: the record header as it is on the wire. RFC 5246 6.2.3.3: the sequence number, and
 * the header with the length of the plaintext. hdr: five bytes in a word. Returns its length. */
static uint32_t make_aad(const struct hg_tls_rec *rec, uint64_t hdr, uint32_t text_len, words *aad)
{
    uint64_t len = (uint64_t)(text_len >> 8) << 24 | (uint64_t)(text_len & 0xff) << 32;

    if (is_13(rec)) {
        *aad = (words){hdr, 0};
        return HG_TLS_RECORD_HEADER;
    }
    *aad = (words){wire64(rec->seq), (hdr & 0xffffff) | len};
    return 13;
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

/* What comes between header and ciphertext, or the sequence number. */
static uint64_t nonce_bytes(const struct hg_tls_rec *rec, struct hg_tls_cur *in)
{
    uint64_t eight;

    if (rec->suite->explicit_len == 0)
        return wire64(rec->seq);
    hg_tls_cur_copy(in, (uint8_t *)&eight, sizeof eight);
    return eight;
}

int hg_tls_rec_open(struct hg_tls_rec *rec, const struct hg_tls_cut *cut, uint8_t *dst,
                    struct hg_tls_plain *out)
{
    union block nonce, aad;
    uint64_t hdr;
    struct hg_tls_aead_op op = {.key = &rec->aead, .nonce = nonce.b, .aad = aad.b, .dst = dst};

    if (rec->seq >= rec->limit)
        return -EOVERFLOW;
    if (cut->len < rec->expansion)
        return -EBADMSG;
    op.len = cut->len - rec->expansion;
    if (op.len > rec->max_inner)
        return -EMSGSIZE;
    op.in = cut->body;
    nonce.w = make_nonce(rec, nonce_bytes(rec, &op.in));
    memcpy(&hdr, cut->hdr, sizeof hdr);
    op.aad_len = make_aad(rec, hdr, op.len, &aad.w);
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
static void put_head(const struct hg_tls_rec *rec, uint64_t hdr, uint64_t eight, uint8_t *dst)
{
    memcpy(dst, &hdr, HG_TLS_RECORD_HEADER);
    if (rec->suite->explicit_len != 0)
        memcpy(dst + HG_TLS_RECORD_HEADER, &eight, sizeof eight);
}

int hg_tls_rec_seal(struct hg_tls_rec *rec, const struct hg_tls_text *text, uint8_t *dst)
{
    union block nonce, aad;
    uint32_t body = text->len + rec->expansion + is_13(rec);
    uint64_t hdr = header(is_13(rec) ? HG_TLS_TYPE_DATA : text->type, body);
    uint64_t eight = wire64(rec->suite->explicit_len != 0 ? rec->nonce_base + rec->seq : rec->seq);
    struct hg_tls_aead_op op = {
        .key = &rec->aead,
        .nonce = nonce.b,
        .aad = aad.b,
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
    put_head(rec, hdr, eight, dst);
    nonce.w = make_nonce(rec, eight);
    op.aad_len = make_aad(rec, hdr, text->len, &aad.w);
    if (hg_tls_aead_seal(&op, 1) != 1)
        return -EIO;
    rec->seq++;
    return (int)(HG_TLS_RECORD_HEADER + body);
}
