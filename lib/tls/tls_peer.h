/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the peer is: verifying its certificate, taking its name out of it, and sentences about why it
 * is refused. Validity dates are compared with the wall clock, here, where our own certificate is
 * chosen, and for session tickets; nothing else in this room reads it.
 */
#ifndef HEADGATE_TLS_PEER_H
#define HEADGATE_TLS_PEER_H

#include "tls_trust.h"

struct hg_tls_peer {
    bool is_client;                   /* the peer is a client: it must have a good name */
    const struct hg_tls_trust *trust; /* outlives the handshake */
    const char *server_name;          /* what we expect of a server; NULL: nothing */
    struct hg_tls_counters *counters; /* of the shard */
    char name[HG_TLS_NAME_MAX]; /* "" until verified; of a server "" also without a good one */
    struct hg_err why;          /* the sentence when it was refused */
};

/* The certificate verification of a handshake: 1 accepted, 0 refused with the error in x (OpenSSL
 * chooses the alert by it), the sentence in peer->why and the counter advanced. A client compares
 * the server's key with its pins here, before it shows a certificate of its own. */
int hg_tls_peer_verify(X509_STORE_CTX *x, struct hg_tls_peer *peer);

/* Of a server, once the handshake is complete: whether the allow-list lets in this client with this
 * certificate (NULL: it has none). 0, or -EACCES with sentence and counter. It is no part of
 * verification, because RFC 8446 6.2 has an alert for it that is not about the certificate
 * (access_denied), and because a resumed session is not verified again. */
int hg_tls_peer_pinned(struct hg_tls_peer *peer, X509 *cert);

/* The name in a certificate: SAN URI headgate:source/NAME, else CN. 0, -ENOENT when there is none,
 * -EINVAL when it is ambiguous or not 1..127 bytes of [A-Za-z0-9._-] (nor "." or "..", since names
 * become parts of paths). */
int hg_tls_peer_cert_name(const X509 *cert, char name[HG_TLS_NAME_MAX]);

#endif /* HEADGATE_TLS_PEER_H */
