/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of the sources, and TLS client contexts of OpenSSL made from them. */
#ifndef LOAD_CERTS_H
#define LOAD_CERTS_H

#include "options.h"
#include <openssl/ssl.h>

struct cert {
    char *crt, *key; /* file names, PEM */
};

struct certs {
    struct cert *list;
    unsigned n;
};

/* The one of --cert, or all NAME.crt with NAME.key of --cert-dir in the order of their names. */
int certs_find(const struct load_options *opt, struct certs *out, struct hg_err *err);
void certs_free(struct certs *certs);

/* A client context for one certificate; opt outlives it. NULL with a sentence. */
SSL_CTX *certs_openssl(const struct load_options *opt, const struct cert *cert, struct hg_err *err);

/* Why the certificate check on this thread refused the node; "" when it did not. Forgets it. */
const char *certs_refusal(void);

#endif /* LOAD_CERTS_H */
