/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How large records may be: the record_size_limit extension (RFC 8449), which OpenSSL 3.0 does not
 * know and lets us add, and the maximum fragment length of RFC 6066 4, which it answers by itself.
 *
 * Limits below HG_TLS_MIN_FRAGMENT are more than OpenSSL can keep in the handshake. A client that
 * asks for less gets no answer, as from a server without the extension; of a server it is refused.
 * RFC 8449 5 wants a server to ignore RFC 6066's extension beside its own. OpenSSL cannot be told
 * to, so with both only RFC 6066's is answered: the client never sees two answers.
 */
#ifndef HEADGATE_TLS_LIMIT_H
#define HEADGATE_TLS_LIMIT_H

#include <headgate/tls.h>
#include <openssl/types.h>

/* Of one handshake; zero-initialised but for `why`. */
struct hg_tls_limit {
    struct hg_err *why; /* gets the sentence of a refusal */
    uint32_t ours;      /* record_size_limit that we sent; 0: none */
    uint32_t peers;     /* what the peer asked for; 0: nothing, or nothing that we can keep */
    uint8_t wire[2];    /* the extension while OpenSSL copies it */
};

/* What is agreed, bytes. */
struct hg_tls_sizes {
    uint32_t tx_text; /* plaintext of a record that we send */
    uint32_t
        rx_inner;     /* of one that we receive: text, with TLS 1.3 also content type and padding */
    uint32_t rx_text; /* of one that we receive: text alone */
};

/* Takes max_fragment from cfg and adds the extension. 0, or negative errno with a sentence. */
int hg_tls_limit_setup(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err);

/* Once the version is known. Before the extensions are exchanged: the protocol's limits. */
void hg_tls_limit_sizes(const struct hg_tls_limit *l, const SSL *ssl, struct hg_tls_sizes *out);

#endif /* HEADGATE_TLS_LIMIT_H */
