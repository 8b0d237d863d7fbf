/* SPDX-License-Identifier: BSD-3-Clause */
/* The AEADs of TLS by the calls of their library alone: what no record layer can be faster than. */
#ifndef HEADGATE_BENCH_TLS_RAW_H
#define HEADGATE_BENCH_TLS_RAW_H

#include <headgate/base.h>
#include <intel-ipsec-mb.h>
#include <openssl/types.h>
#include <stdbool.h>

#define RAW_TAG 16u

enum raw_alg { RAW_AES_128_GCM, RAW_AES_256_GCM, RAW_CHACHA20_POLY1305, RAW_ALGS };

/* A key of a fixed value, ready for both directions. */
struct raw {
    enum raw_alg alg;
    bool openssl; /* the library: OpenSSL, else ipsec-mb */
    IMB_MGR *mb;
    struct gcm_key_data gcm __attribute__((aligned(64)));
    EVP_CIPHER_CTX *seal, *open;
    uint8_t tag[RAW_TAG]; /* OpenSSL: the tag of what is opened next; ipsec-mb: of what was */
    bool failed;          /* OpenSSL refused a tag */
};

/* Ends the program on failure. */
void raw_init(struct raw *r, bool openssl, enum raw_alg alg);
void raw_fini(struct raw *r);

/* len bytes of text in place; the tag goes behind them. */
void raw_seal(struct raw *r, uint8_t *text, uint32_t len);

/* len bytes of text in n pieces to dst. The tag is the caller's to give or to compare, in r->tag: finding
 * it is not the library's work. */
void raw_open(struct raw *r, const struct hg_iov *in, unsigned n, uint32_t len, uint8_t *dst);

#endif /* HEADGATE_BENCH_TLS_RAW_H */
