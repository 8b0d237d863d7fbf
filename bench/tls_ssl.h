/* SPDX-License-Identifier: BSD-3-Clause */
/* The same records through OpenSSL's own record layer, over memory BIOs: the denominator of R3. */
#ifndef HEADGATE_BENCH_TLS_SSL_H
#define HEADGATE_BENCH_TLS_SSL_H

#include <headgate/tls.h>
#include <openssl/types.h>

/* Two ends of a TLS 1.3 connection. */
struct ssl_pair {
    SSL *client, *server;
};

/* Certificate and key are cfg's. Ends the program on failure. */
void ssl_pair_connect(struct ssl_pair *p, const struct hg_tls_cfg *cfg, const char *suite);
void ssl_pair_free(struct ssl_pair *p);

/* Writes n records of len bytes of text on one side, then reads them on the other into dst; returns the
 * seconds that reading took. */
double ssl_pair_read(struct ssl_pair *p, const uint8_t *text, uint32_t len, unsigned n,
                     uint8_t *dst);

#endif /* HEADGATE_BENCH_TLS_SSL_H */
