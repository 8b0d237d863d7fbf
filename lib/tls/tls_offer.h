/* SPDX-License-Identifier: BSD-3-Clause */
/* What a side offers or accepts: versions, cipher suites, groups, signature algorithms. */
#ifndef HEADGATE_TLS_OFFER_H
#define HEADGATE_TLS_OFFER_H

#include <headgate/tls.h>
#include <openssl/types.h>

/* Sets them by cfg, to the defaults where it says nothing. 0, or -EINVAL with a sentence that names
 * what is not accepted and what is. */
int hg_tls_offer_set(SSL_CTX *ssl, const struct hg_tls_cfg *cfg, struct hg_err *err);

#endif /* HEADGATE_TLS_OFFER_H */
