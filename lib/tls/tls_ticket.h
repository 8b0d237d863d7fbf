/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Session tickets of a server (RFC 8446 4.6.1, RFC 5077): what is in them, the keys they are sealed
 * with, and when one still counts.
 *
 *  1. The keys belong to one context and are never stored: a ticket is good for the listener and the
 *     trust (CA, CRL, pins) that it was made under, since a reload makes new contexts, and for
 *     nothing after a restart. So there is no list of revoked tickets to keep.
 *  2. A ticket carries the client's certificate. The session it resumes has that certificate's name,
 *     and ends with the first of its chain's dates and the ticket lifetime, which counts from the
 *     full handshake however often it was resumed since.
 *  3. What does not hold leads to a full handshake, never to a failure.
 *  4. A key seals for one ticket lifetime, opens for one more, and is erased then.
 */
#ifndef HEADGATE_TLS_TICKET_H
#define HEADGATE_TLS_TICKET_H

#include <headgate/tls.h>
#include <openssl/types.h>
#include <time.h>

#define HG_TLS_TICKET_KEYS 2u

struct hg_tls_ticket_key {
    uint8_t name[16];
    uint8_t aes[32]; /* AES-256-CBC */
    uint8_t mac[32]; /* HMAC-SHA-256 */
    time_t from;     /* wall clock, when it began to seal */
    bool set;
};

/* The keys of a context, shared by threads under a lock of their own. key[0] seals, all open. */
struct hg_tls_tickets;

/* Registers tickets with a server's context as cfg says; without any, switches them off. 0, or
 * negative errno with a sentence. */
int hg_tls_tickets_setup(struct hg_tls_ctx *ctx, const struct hg_tls_cfg *cfg, struct hg_err *err);
/* Erases the keys. NULL is allowed. */
void hg_tls_tickets_destroy(struct hg_tls_tickets *t);

/* Makes and erases keys as `now` demands (invariant 4); also when the clock was set back. 0 or
 * -EIO. The caller holds the lock. */
int hg_tls_tickets_rotate(struct hg_tls_ticket_key keys[HG_TLS_TICKET_KEYS], uint32_t lifetime,
                          time_t now);

/* The same with the lock taken; nothing without tickets (NULL). */
void hg_tls_tickets_tick(struct hg_tls_tickets *t, time_t now);

/* What we put into a ticket beside OpenSSL's session, seconds of the wall clock. */
struct hg_tls_ticket_data {
    int64_t authenticated; /* the full handshake */
    int64_t valid_until;   /* the first end of validity in the client's chain; INT64_MAX: no
                            * certificate */
};
/* Whether a session with it may be resumed at `now` (invariant 2). */
bool hg_tls_ticket_holds(const struct hg_tls_ticket_data *d, uint32_t lifetime, time_t now);

#endif /* HEADGATE_TLS_TICKET_H */
