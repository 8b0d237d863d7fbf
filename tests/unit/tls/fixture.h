/* SPDX-License-Identifier: BSD-3-Clause */
/* What the TLS tests share: certificates made on the spot, byte buffers, and moving bytes between
 * two ends in memory. A failure inside the fixture itself ends the program. */
#ifndef HEADGATE_TESTS_TLS_FIXTURE_H
#define HEADGATE_TESTS_TLS_FIXTURE_H

#include <headgate/tls.h>
#include <openssl/ssl.h>

/* Ends the program with the place: the fixture is broken, not the unit. */
#define FX_MUST(cond) ((cond) ? (void)0 : fx_die(__FILE__, __LINE__, #cond))
void fx_die(const char *file, int line, const char *what) __attribute__((noreturn));

/* ---- files ---- */

/* Makes a temporary directory; fx_remove() deletes it with all in it. Not thread-safe. */
void fx_make_dir(void);
void fx_remove(void);
/* Path of a file in it. The result lives in a ring of 16. */
const char *fx_path(const char *name, const char *suffix);
void fx_write(const char *path, const char *text);
/* The second file behind the first, as a third. */
void fx_concat(const char *first, const char *second, const char *to);

/* ---- certificates ---- */

enum fx_key { FX_P256, FX_RSA, FX_ED25519, FX_P384, FX_RSA_PSS, FX_RSA1024 };

struct fx_cert {
    const char *file;   /* NAME.crt and NAME.key */
    const char *issuer; /* file of the CA; NULL: self-signed CA */
    const char *cn;     /* NULL: no CN, an O instead */
    const char *san;    /* in OpenSSL's notation; NULL: none */
    const char *eku;    /* "clientAuth", ...; NULL: none */
    enum fx_key key;
    bool is_ca;       /* may issue, though it has an issuer */
    long from, until; /* seconds relative to now; both 0: an hour around now */
    bool sha1;        /* signed with it */
};
void fx_make_cert(const struct fx_cert *c);

struct fx_crl {
    const char *file;    /* NAME.crl */
    const char *issuer;  /* file of the CA whose name it has */
    const char *signer;  /* file of the CA that signs it; NULL: the issuer */
    const char *revoked; /* file of a certificate that is in it; NULL: none is */
    long from, until;    /* as above */
};
void fx_make_crl(const struct fx_crl *c);

/* ---- bytes ---- */

struct fx_buf {
    uint8_t *p;
    size_t len, cap;
};
void fx_put(struct fx_buf *b, const void *p, size_t len);
void fx_cut(struct fx_buf *b, size_t len); /* drops len bytes from the front */
void fx_free(struct fx_buf *b);

/* ---- moving ---- */

/* Everything pending of t goes to `to`, in bites of `bite` bytes (0: large). */
void fx_take(struct hg_tls *t, struct fx_buf *to, uint32_t bite);
/* Opens what is in `in` as pieces of `piece` bytes (0: one piece), until no record is complete or
 * it fails; plaintext goes to `plain`. dst has exactly the room that peek told. Returns the last
 * hg_tls_open()'s result. */
int fx_open(struct hg_tls *t, struct fx_buf *in, uint32_t piece, struct fx_buf *plain);
/* Seals len bytes (in records of at most `rec`) onto `to`. Returns 0 or the error. */
int fx_seal(struct hg_tls *t, const void *p, size_t len, uint32_t rec, struct fx_buf *to);

/* Two ends of ours and what is on the way. */
struct fx_pair {
    struct hg_tls *client, *server;
    struct fx_buf c2s, s2c;
    struct fx_buf client_got, server_got; /* plaintext */
};
/* Moves bytes until nothing moves any more. */
void fx_run(struct fx_pair *p, uint32_t piece);
void fx_pair_free(struct fx_pair *p);

/* One end of ours and one of plain OpenSSL. */
struct fx_mixed {
    struct hg_tls *tls;
    SSL *ssl;
    struct fx_buf to_tls;
    struct fx_buf got; /* plaintext that tls opened */
    int ssl_error;     /* reason of the last failed call of OpenSSL's end, 0: none */
    int ssl_alert;     /* last alert OpenSSL received, -1: none */
};
/* A new SSL of ctx on memory BIOs, beside tls (owned from now on). */
void fx_mixed_init(struct fx_mixed *m, SSL_CTX *ctx, struct hg_tls *tls, bool ssl_is_client);
/* Runs handshake and reads of both ends until nothing moves. Application data that OpenSSL read
 * goes to ssl_got (NULL: discarded). */
void fx_mixed_run(struct fx_mixed *m, uint32_t piece, struct fx_buf *ssl_got);
void fx_mixed_free(struct fx_mixed *m);
/* What OpenSSL's end sent since goes to m->to_tls. */
void fx_mixed_flush(struct fx_mixed *m);

/* ---- repeatable randomness ---- */
uint32_t fx_rand(uint64_t *state);

#endif /* HEADGATE_TESTS_TLS_FIXTURE_H */
