/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From secrets to keys: the suites we protect records with, HKDF-Expand-Label (RFC 8446 7.1),
 * traffic keys and key update (7.2, 7.3), and the key block of TLS 1.2 (RFC 5246 6.3). Off the data
 * path; these functions allocate inside OpenSSL.
 */
#ifndef HEADGATE_TLS_KEYS_H
#define HEADGATE_TLS_KEYS_H

#include "tls_aead.h"

#define HG_TLS_SECRET_MAX 48u /* SHA-384 */

/* A cipher suite whose records we can protect. */
struct hg_tls_suite {
    uint16_t id; /* IANA */
    enum hg_tls_version version;
    enum hg_tls_alg alg;
    const char *md;       /* OpenSSL's name of the hash */
    uint8_t secret_len;   /* bytes; the hash's length */
    uint8_t key_len;      /* bytes */
    uint8_t salt_len;     /* bytes of implicit nonce from the key schedule: 12, or 4 (RFC 5288) */
    uint8_t explicit_len; /* bytes of nonce on the wire: 0, or 8 (RFC 5288) */
};

/* NULL when the suite is not one of ours. */
const struct hg_tls_suite *hg_tls_suite_find(uint16_t id);

/* Keys of one direction. Wipe after use. */
struct hg_tls_keyset {
    uint8_t key[HG_TLS_KEY_MAX];
    uint8_t iv[HG_TLS_NONCE]; /* the first salt_len bytes count */
};

/* HKDF-Expand-Label(secret, label, "", len) with the suite's hash; label without "tls13 ", at most
 * 12 bytes. 0 or -EIO. */
int hg_tls_expand_label(const struct hg_tls_suite *suite, const uint8_t *secret, const char *label,
                        uint8_t *out, uint32_t len);

/* TLS 1.3: key and IV from a traffic secret of secret_len bytes. 0 or -EIO. */
int hg_tls_traffic_keys(const struct hg_tls_suite *suite, const uint8_t *secret,
                        struct hg_tls_keyset *out);

/* TLS 1.3: replaces the traffic secret by the next generation. 0 or -EIO. */
int hg_tls_next_secret(const struct hg_tls_suite *suite, uint8_t *secret);

/* PRF of TLS 1.2. */
struct hg_tls_prf {
    const char *md; /* hash */
    const uint8_t *secret;
    uint32_t secret_len; /* bytes */
    const char *label;
    const uint8_t *seed;
    uint32_t seed_len; /* bytes */
};
/* 0 or -EIO. */
int hg_tls_prf(const struct hg_tls_prf *prf, uint8_t *out, uint32_t len);

#define HG_TLS_MASTER_SECRET 48u /* bytes */
#define HG_TLS_RANDOM 32u        /* bytes */

/* TLS 1.2: both directions from the master secret and the two hellos' randoms. 0 or -EIO. */
int hg_tls_key_block(const struct hg_tls_suite *suite, const uint8_t *master,
                     const uint8_t randoms[2 * HG_TLS_RANDOM], /* server's, then client's */
                     struct hg_tls_keyset *client, struct hg_tls_keyset *server);

#endif /* HEADGATE_TLS_KEYS_H */
