/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake, by OpenSSL over memory buffers: one record of bytes in; bytes to send, and in the
 * end the traffic secrets, out. OpenSSL never sees a byte after the record that completes the
 * handshake, so none can be left in its buffers.
 */
#ifndef HEADGATE_TLS_HS_H
#define HEADGATE_TLS_HS_H

#include "tls_keys.h"
#include "tls_limit.h"
#include "tls_peer.h"

struct hg_tls_hs;

/* What record protection starts from: the one thing that passes from the handshake to it. Wipe
 * after use. */
struct hg_tls_traffic {
    const struct hg_tls_suite *suite;
    struct hg_tls_keyset tx, rx;
    uint8_t tx_secret[HG_TLS_SECRET_MAX], rx_secret[HG_TLS_SECRET_MAX]; /* TLS 1.3: for updates */
    uint64_t tx_seq, rx_seq;                                            /* next sequence numbers */
    uint64_t nonce_base; /* TLS 1.2 GCM: explicit nonce that sequence 0 was sent with */
    struct hg_tls_sizes sizes;
};

/* ctx and counters outlive it. 0 or -ENOMEM. For a client the first flight is ready. */
int hg_tls_hs_create(struct hg_tls_ctx *ctx, struct hg_tls_counters *counters,
                     struct hg_tls_hs **out);
/* Events are counted there from now on; it outlives the handshake, or the next such call. */
void hg_tls_hs_count_in(struct hg_tls_hs *hs, struct hg_tls_counters *counters);
/* Wipes the secrets. NULL is allowed. */
void hg_tls_hs_destroy(struct hg_tls_hs *hs);

/* Feeds one complete record of len bytes, header included, which is used only during the call. 0: more is needed; 1: the handshake is
 * complete; -EPROTO: it failed, the alert (if one is due) is in the output, the sentence in
 * hg_tls_hs_why(). */
int hg_tls_hs_feed(struct hg_tls_hs *hs, const uint8_t *record, uint32_t len);

/* After completion: derives what records need. 0 or -EIO. */
int hg_tls_hs_traffic(const struct hg_tls_hs *hs, struct hg_tls_traffic *out);
/* Before completion: what an alert of ours is protected with now (suite, tx, tx_seq, nonce_base).
 * False when it goes in the clear. Wipe out in either case. */
bool hg_tls_hs_alert_keys(const struct hg_tls_hs *hs, struct hg_tls_traffic *out);
/* Bytes that the body of a record in the handshake may have; hs NULL: the first record. */
uint32_t hg_tls_hs_body_max(const struct hg_tls_hs *hs, uint8_t type);
/* After completion: the alert to refuse the connection with all the same (sentence in
 * hg_tls_hs_why()), or 0. */
int hg_tls_hs_refusal(struct hg_tls_hs *hs);

/* What is known of the connection and its other side; strings with static lifetime except the name.
 */
const char *hg_tls_hs_suite(const struct hg_tls_hs *hs);
const char *hg_tls_hs_version(const struct hg_tls_hs *hs);
const char *hg_tls_hs_peer_name(const struct hg_tls_hs *hs);
const char *hg_tls_hs_why(const struct hg_tls_hs *hs);

/* Frees all but the output; after it only peer_name, why, pending, take and destroy may be called. */
void hg_tls_hs_shed(struct hg_tls_hs *hs);

/* Output: bytes that wait, and taking up to cap of them. */
uint32_t hg_tls_hs_pending(const struct hg_tls_hs *hs);
uint32_t hg_tls_hs_take(struct hg_tls_hs *hs, uint8_t *dst, uint32_t cap);

/* TLS 1.3 is agreed, or for a client possible; hs NULL: the first record has not come. */
bool hg_tls_hs_is_13(const struct hg_tls_hs *hs);
bool hg_tls_hs_resumed(const struct hg_tls_hs *hs);
/* The shard's counters and the record sizes, of the handshake that an SSL belongs to. */
struct hg_tls_counters *hg_tls_hs_counters(const SSL *ssl);
struct hg_tls_limit *hg_tls_hs_limit(const SSL *ssl);

#endif /* HEADGATE_TLS_HS_H */
