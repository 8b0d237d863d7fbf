/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration made ready: read-only after create but for its ticket keys, which have a lock;
 * shared by threads, counted references. */
#ifndef HEADGATE_TLS_CTX_H
#define HEADGATE_TLS_CTX_H

#include "tls_cert.h"
#include "tls_trust.h"
#include <stdatomic.h>
#include <stdio.h>

struct hg_tls_ctx {
    atomic_uint refs;
    SSL_CTX *ssl; /* owned */
    enum hg_tls_role role;
    enum hg_tls_provider provider;
    uint8_t alpn[1 + 255]; /* length byte and protocol, as on the wire; alpn[0] == 0: none */
    bool alpn_optional;
    bool server_name_is_ip;
    char *server_name; /* owned; NULL: none */
    struct hg_tls_certs certs;
    struct hg_tls_trust trust;
    FILE *keylog;     /* owned; NULL: none. stdio's own lock serves the threads. */
    char *keylog_buf; /* of BUFSIZ bytes; owned: the C library's own buffer is not for secrets */
    uint32_t max_fragment;          /* plaintext bytes of a record */
    struct hg_tls_tickets *tickets; /* owned; NULL: none */
    uint64_t update_after;          /* records under one key; 0: only before its limit */
};

/* Registers the handshake's callbacks with a new SSL_CTX (in tls_hs.c, which owns them). */
void hg_tls_hs_setup(struct hg_tls_ctx *ctx);

#endif /* HEADGATE_TLS_CTX_H */
