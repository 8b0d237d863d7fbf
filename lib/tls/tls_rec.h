/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Record protection in one direction: nonce, additional data, content type, padding, sequence. It
 * knows nothing of messages. RFC 8446 5.2-5.5; RFC 5246 6.2.3.3 with RFC 5288 and RFC 7905.
 */
#ifndef HEADGATE_TLS_REC_H
#define HEADGATE_TLS_REC_H

#include "tls_keys.h"

/* RFC 8446 5.5: at most 2^24.5 full-size records under one AES-GCM key. We ask for new keys (TLS
 * 1.3) at the soft limit, and seal nothing beyond the hard one. ChaCha20-Poly1305 has none before
 * the sequence number wraps. */
#define HG_TLS_REKEY_AFTER (UINT64_C(1) << 23)
#define HG_TLS_SEAL_LIMIT (UINT64_C(1) << 24)

/* One direction of a connection. */
struct hg_tls_rec {
    const struct hg_tls_suite *suite;
    uint64_t seq;        /* of the next record */
    uint64_t limit;      /* seq that must not be used */
    uint64_t nonce_base; /* explicit nonce of seq 0, big-endian on the wire (TLS 1.2 GCM) */
    uint8_t iv[16];      /* the implicit part of the nonce, zeros after it */
    uint32_t max_inner;  /* opening: bytes of text, content type and padding of a record */
    uint32_t max_text;   /* opening: bytes of text alone */
    uint8_t head;        /* bytes before the text: header and explicit nonce */
    uint8_t expansion;   /* bytes a record's body has beyond its text, the inner type apart */
    struct hg_tls_aead aead;
};

struct hg_tls_rec_cfg {
    enum hg_tls_provider provider;
    const struct hg_tls_engine *engine; /* outlives the record object */
    const struct hg_tls_suite *suite;
    bool seal; /* direction */
};

/* 0 or -ENOMEM; wipe in either case. */
int hg_tls_rec_init(struct hg_tls_rec *rec, const struct hg_tls_rec_cfg *cfg,
                    const struct hg_tls_keyset *keys);
/* New keys, sequence 0 (RFC 8446 7.2). 0 or -ENOMEM. */
int hg_tls_rec_rekey(struct hg_tls_rec *rec, const struct hg_tls_keyset *keys);
/* Erases and frees; harmless on zeroed memory. */
void hg_tls_rec_wipe(struct hg_tls_rec *rec);

/* What was in a record. */
struct hg_tls_plain {
    uint8_t type; /* the inner one for TLS 1.3; not checked against the known ones */
    uint32_t len; /* bytes at dst */
};

/* Bytes that opening a record with a body of body_len bytes writes; 0 when it is too short. */
uint32_t hg_tls_rec_room(const struct hg_tls_rec *rec, uint32_t body_len);

/* What a body of body_len bytes holds exceeds max_inner, whatever it is. */
bool hg_tls_rec_too_long(const struct hg_tls_rec *rec, uint32_t body_len);

/* Opens a complete record into dst, which has hg_tls_rec_room() bytes. 0, or
 * -EBADMSG  tag does not match, or no room for one (bad_record_mac); dst is zeroed
 * -EMSGSIZE more plaintext than allowed (record_overflow)
 * -EPROTO   nothing but padding (unexpected_message)
 * -EOVERFLOW the sequence number would wrap */
int hg_tls_rec_open(struct hg_tls_rec *rec, const struct hg_tls_cut *cut, uint8_t *dst,
                    struct hg_tls_plain *out);

/* Plaintext of one record. */
struct hg_tls_text {
    uint8_t type;
    const struct hg_iov *in; /* may be in place: in[0].base == dst + rec->head */
    unsigned n;
    uint32_t off; /* bytes of in[0] to pass over */
    uint32_t len; /* bytes of text, at most HG_TLS_MAX_PLAINTEXT */
};

/* Seals into dst, which has len + HG_TLS_OVERHEAD bytes. Returns the record's length, or
 * -EOVERFLOW at the key's limit, or -EIO. */
int hg_tls_rec_seal(struct hg_tls_rec *rec, const struct hg_tls_text *text, uint8_t *dst);

#endif /* HEADGATE_TLS_REC_H */
