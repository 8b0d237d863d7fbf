/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom we trust: certificate authorities, their revocation lists, and pins of public keys.
 * Read-only once loaded.
 */
#ifndef HEADGATE_TLS_TRUST_H
#define HEADGATE_TLS_TRUST_H

#include <headgate/tls_pin.h>
#include <headgate/tls.h>
#include <openssl/x509.h>

#define HG_TLS_CAS_MAX 256        /* certificates in a CA file: all their names go to clients */
#define HG_TLS_CRLS_MAX 256       /* lists in a CRL file */
#define HG_TLS_SERVER_PINS_MAX 8u /* of hg_tls_cfg.server_pins */

struct hg_tls_trust {
    char *ca_file, *crl_file, *pins_file; /* owned; for sentences; NULL: none */
    STACK_OF(X509) * cas;                 /* owned; NULL: the peer is not verified */
    STACK_OF(X509_CRL) * crls;            /* owned; NULL: revocation is not checked */
    struct hg_pins *pins;                 /* owned; NULL: any key that a CA vouches for */
    bool pins_only;                       /* a source that is not in them is refused */
    struct hg_pin server_pin[HG_TLS_SERVER_PINS_MAX]; /* client: the server's key is one of them */
    unsigned n_server_pins;                           /* 0: any */
};

/* Loads what cfg names, and tells the SSL_CTX. 0, or negative errno with a sentence; what was loaded
 * is hg_tls_trust_free()'s all the same. */
int hg_tls_trust_load(struct hg_tls_trust *trust, SSL_CTX *ssl, const struct hg_tls_cfg *cfg,
                      struct hg_err *err);
void hg_tls_trust_free(struct hg_tls_trust *trust);

/* Fills in server_pin from a list separated by commas. 0, or negative errno with a sentence. */
int hg_tls_trust_server_pins(struct hg_tls_trust *trust, const char *list, struct hg_err *err);

/* The pin of a certificate's key. 0 or -EIO. */
int hg_tls_cert_pin(X509 *cert, struct hg_pin *out);

#endif /* HEADGATE_TLS_TRUST_H */
