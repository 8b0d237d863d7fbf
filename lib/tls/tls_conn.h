/* SPDX-License-Identifier: BSD-3-Clause */
/* The inside of a connection; its invariants are at the head of tls_conn.c. */
#ifndef HEADGATE_TLS_CONN_H
#define HEADGATE_TLS_CONN_H

#include "tls_alert.h"
#include "tls_hs.h"
#include "tls_post.h"
#include "tls_rec.h"
#include "tls_step.h"

/* Bounds on what a peer can make us do; beyond each the connection fails. */
#define HG_TLS_HELLO_BYTES (10u * 1024u) /* received before our first answer */
#define HG_TLS_HS_BYTES (26u * 1024u)    /* received in the handshake */
#define HG_TLS_HS_RECORDS 128u           /* received in the handshake */
#define HG_TLS_IDLE_RECORDS 32u          /* in a row without application data */
/* Key updates of the peer: this many, and one more for every 64 records of data. */
#define HG_TLS_FREE_UPDATES 32u

/* Room for what waits after the handshake: one key update or no_renegotiation, close_notify and one fatal alert, each
 * at most HG_TLS_OVERHEAD + 5 bytes. */
#define HG_TLS_CTL_ROOM (3u * (HG_TLS_OVERHEAD + 5u))

/* Records that data leaves to control messages under the same key. */
#define HG_TLS_CTL_RESERVE 8u

struct hg_tls {
    enum hg_tls_state state;
    bool keyed;           /* rx and tx are installed */
    bool close_sent;      /* close_notify is or was pending: nothing more is sealed */
    bool update_pending;  /* a KeyUpdate of ours is in ctl */
    bool ccs_in;          /* the peer's change_cipher_spec came */
    bool resumed;         /* by a session ticket */
    bool decline_pending; /* TLS 1.2: a no_renegotiation of ours is in ctl */
    bool update_asked;    /* we asked for new receiving keys and did not get them yet */
    struct hg_tls_rec rx, tx;
    uint64_t rekey_after;  /* records under one key after which we ask for new ones (TLS 1.3) */
    uint32_t max_fragment; /* plaintext bytes of a record that we seal */
    uint64_t data_records; /* application-data records opened */
    uint32_t idle_records; /* records in a row without application data */
    uint32_t hs_records;
    uint32_t hs_bytes;
    bool answered;       /* something of ours was sent in the handshake */
    uint64_t updates_in; /* key updates received */
    struct hg_tls_post post;
    uint8_t tx_secret[HG_TLS_SECRET_MAX], rx_secret[HG_TLS_SECRET_MAX]; /* TLS 1.3 */
    uint8_t ctl[HG_TLS_CTL_ROOM];                                       /* after hs's output */
    uint8_t ctl_len, ctl_off; /* bytes in ctl, and of them taken */
    struct hg_tls_hs *hs;     /* owned; NULL before the first record, while a step has it, and once
                               * its output is taken */
    struct hg_tls_step *step; /* owned: waits to be taken; NULL: none */
    bool defer;               /* steps are carried out elsewhere */
    bool step_out;            /* one is there now */
    struct hg_tls_ctx *ctx;   /* a reference */
    struct hg_tls_shard *shard;
    const char *suite, *version; /* static strings */
    char peer_name[HG_TLS_NAME_MAX];
    struct hg_err error;
};

/* ---- tls_ctl.c: what we send ourselves, and failing ---- */

/* Puts one record with a short message into ctl, under our keys once there are any, before that in
 * the clear. */
void hg_tls_put_control(struct hg_tls *tls, uint8_t type, uint8_t *msg, uint32_t len);
void hg_tls_put_alert(struct hg_tls *tls, uint8_t level, enum hg_tls_alert alert);
/* Fails the connection for a reason of ours: the alert waits to be sent, the sentence stays.
 * Returns -EPROTO. */
int hg_tls_refuse(struct hg_tls *tls, enum hg_tls_alert alert, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Fails it without an alert of ours (the peer sent one, or OpenSSL did). Returns -EPROTO. */
int hg_tls_enter_failed(struct hg_tls *tls);
/* Erases all keys; harmless before there are any. */
void hg_tls_wipe(struct hg_tls *tls);

/* ---- tls_conn.c ---- */

/* A step in state HG_TLS_HANDSHAKE has run, its handshake is back in tls. 0 or -EPROTO. */
int hg_tls_stepped(struct hg_tls *tls, struct hg_tls_step *step);

/* ---- tls_data.c ---- */

/* Queues a KeyUpdate (RFC 8446 4.6.3) when the keys of either direction have served long enough. 0
 * or negative errno. */
int hg_tls_update_in_time(struct hg_tls *tls);

/* hg_tls_open() in state HG_TLS_OPEN; dst->len is the room. */
int hg_tls_open_protected(struct hg_tls *tls, const struct hg_iov *in, unsigned n,
                          const struct hg_iov *dst, struct hg_tls_opened *res);

#endif /* HEADGATE_TLS_CONN_H */
