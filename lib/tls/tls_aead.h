/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Authenticated encryption (RFC 5116) of records: scattered input, contiguous output, one pass.
 *
 * Two providers stand behind one const table: intel-ipsec-mb, the fast one, and OpenSSL, the
 * reference. Both pass the same tests. A key belongs to one thread and one direction.
 *
 * ChaCha20-Poly1305 takes a second pass: records in pieces are gathered first. Both libraries are so
 * much slower in pieces that copying costs less (docs/performance.md).
 */
#ifndef HEADGATE_TLS_AEAD_H
#define HEADGATE_TLS_AEAD_H

#include "tls_rec_stream.h"
#include <openssl/types.h>
#include <stdalign.h>

#define HG_TLS_TAG 16u   /* bytes, all three algorithms */
#define HG_TLS_NONCE 12u /* bytes, all three algorithms */
#define HG_TLS_KEY_MAX 32u
/* Room for a provider's expanded key; each provider asserts that its own fits. The largest known is
 * the GCM key of ipsec-mb 2.0 (Debian 13): 1264 bytes. */
#define HG_TLS_AEAD_STATE 1280u

#define HG_TLS_AEAD_BATCH 32u /* records in one call at most */

struct IMB_MGR;

enum hg_tls_alg {
    HG_TLS_AES_128_GCM,
    HG_TLS_AES_256_GCM,
    HG_TLS_CHACHA20_POLY1305,
    HG_TLS_ALGS, /* how many */
};

/* What the providers need once per shard. */
struct hg_tls_engine {
    struct IMB_MGR *mb;           /* owned */
    EVP_CIPHER *evp[HG_TLS_ALGS]; /* owned; fetched once, since a fetch takes a lock */
    bool jobs[HG_TLS_ALGS]; /* keys made from now on go to ipsec-mb as jobs, not by direct calls */
};

struct hg_tls_aead_ops;

/* A key ready for use, for one direction. */
struct hg_tls_aead {
    const struct hg_tls_aead_ops *ops;
    const struct hg_tls_engine *engine; /* of the shard, which outlives the key */
    enum hg_tls_alg alg;
    bool seal;                                    /* direction: this key seals, else it opens */
    bool jobs;                                    /* engine's, when the key was made */
    bool one_piece;                               /* input to open is gathered at dst first */
    alignas(64) uint8_t state[HG_TLS_AEAD_STATE]; /* the provider's; holds key material */
};

/* One record to open or seal. Output never overlaps input, except that it may be in place: then the
 * first input byte is at dst. The call uses up in, len and tail. */
struct hg_tls_aead_op {
    struct hg_tls_aead *key;
    const uint8_t *nonce; /* HG_TLS_NONCE bytes */
    const uint8_t *aad;
    uint32_t aad_len; /* bytes */
    struct hg_tls_cur
        in;              /* opening: ciphertext, then HG_TLS_TAG bytes of tag; sealing: plaintext */
    uint32_t len;        /* bytes of text in `in`, the tag apart */
    const uint8_t *tail; /* sealing: text after `in` (the content type); NULL when tail_len is 0 */
    uint32_t tail_len;   /* bytes */
    uint8_t *dst;        /* opening: len bytes; sealing: len + tail_len + HG_TLS_TAG */
    int rc;              /* out; below */
};

/* The caller has checked that `in` holds what len says. After create, open and seal neither
 * allocate nor lock. */
struct hg_tls_aead_ops {
    const char *name;
    /* Installs a key of the algorithm's length; also replaces one. ->ops, engine, alg and seal are
     * set, and state is zero the first time. 0 or -ENOMEM. */
    int (*set_key)(struct hg_tls_aead *a, const uint8_t *key);
    /* n records, each under its own key. rc of each: 0, or -EBADMSG when the tag does not match; then
     * dst holds bytes that nobody may look at. */
    void (*open)(struct hg_tls_aead_op *op, unsigned n);
    /* rc of each: 0, or -EIO when the provider failed; then dst must not be sent. */
    void (*seal)(struct hg_tls_aead_op *op, unsigned n);
    /* Erases the key and frees what set_key took. Harmless without a key. */
    void (*wipe)(struct hg_tls_aead *a);
};

extern const struct hg_tls_aead_ops hg_tls_aead_mb;
extern const struct hg_tls_aead_ops hg_tls_aead_ossl;

/* 0, or negative errno with a sentence. On failure nothing is left to destroy. */
int hg_tls_engine_init(struct hg_tls_engine *e, struct hg_err *err);
void hg_tls_engine_fini(struct hg_tls_engine *e);

/* Makes a an empty key of the provider; follow with set_key. */
void hg_tls_aead_init(struct hg_tls_aead *a, enum hg_tls_provider provider,
                      const struct hg_tls_engine *e, enum hg_tls_alg alg, bool seal);

/* The wrappers check what callers and providers promise. */
int hg_tls_aead_set_key(struct hg_tls_aead *a, const uint8_t *key);
/* Open and seal n records (1 to HG_TLS_AEAD_BATCH) whose keys are of one provider; return how many
 * went well, rc of each tells which. A record that did not open has zeros at dst[0..len): plaintext
 * that was not authenticated does not survive. */
unsigned hg_tls_aead_open(struct hg_tls_aead_op *op, unsigned n);
/* See hg_tls_aead_open(). */
unsigned hg_tls_aead_seal(struct hg_tls_aead_op *op, unsigned n);
void hg_tls_aead_wipe(struct hg_tls_aead *a);

#endif /* HEADGATE_TLS_AEAD_H */
