/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handshake messages after the handshake. TLS 1.3 (RFC 8446 4.6): a NewSessionTicket is passed over
 * (client only), a KeyUpdate is reported. TLS 1.2: HelloRequest and ClientHello, which ask for
 * renegotiation, are passed over and reported. Anything else is refused. Messages may span records
 * and records may hold several; only four header bytes are kept between calls.
 */
#ifndef HEADGATE_TLS_POST_H
#define HEADGATE_TLS_POST_H

#include <headgate/base.h>
#include <stdbool.h>

/* Bytes of a message that are passed over at most; more is refused. */
#define HG_TLS_POST_MAX (64u * 1024u)

/* Zero-initialised; one per connection. */
struct hg_tls_post {
    uint8_t hdr[4]; /* type and length of the message that is not complete */
    uint8_t have;   /* bytes of hdr that are there */
    uint32_t skip;  /* bytes still to come of one that is passed over */
};

enum hg_tls_post_event {
    HG_TLS_POST_NONE,
    HG_TLS_POST_KEY_UPDATE,           /* the peer has new sending keys from the next record on */
    HG_TLS_POST_KEY_UPDATE_REQUESTED, /* and wants ours to change as well */
    HG_TLS_POST_RENEGOTIATION,        /* TLS 1.2: the peer asks for it */
};

/* Takes the plaintext of one handshake record. Returns an hg_tls_post_event or the negated alert
 * to send (enum hg_tls_alert). */
int hg_tls_post_input(struct hg_tls_post *post, bool client, const uint8_t *p, uint32_t len);

/* The same for TLS 1.2. */
int hg_tls_post_input_12(struct hg_tls_post *post, bool client, const uint8_t *p, uint32_t len);

/* A message has begun and is not complete: only a handshake record may follow (RFC 8446 5.1). */
static inline bool hg_tls_post_partial(const struct hg_tls_post *post)
{
    return post->have != 0;
}

#endif /* HEADGATE_TLS_POST_H */
