/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS 1.3 (RFC 8446) and TLS 1.2 (RFC 5246, AEAD suites only): bytes in, bytes out, apart from TCP.
 *
 * OpenSSL does the handshake over memory buffers; traffic secrets leave it once; records are ours,
 * through one of two AEAD providers (intel-ipsec-mb, or OpenSSL as the reference). A connection
 * belongs to one thread. A context is read-only once made, may be shared by threads, and lives
 * until its last reference goes: a reload makes a new one and existing connections keep the old.
 *
 * After the handshake neither opening nor sealing a record allocates.
 */
#ifndef HEADGATE_TLS_H
#define HEADGATE_TLS_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <stdbool.h>

struct hg_tls_ctx;
struct hg_tls;

enum hg_tls_role { HG_TLS_SERVER, HG_TLS_CLIENT };
enum hg_tls_provider { HG_TLS_IPSEC_MB, HG_TLS_OPENSSL };
enum hg_tls_version { HG_TLS_1_2 = 0x0303, HG_TLS_1_3 = 0x0304 };

/* What a server wants of its clients. One that shows a certificate must always show a good one. */
enum hg_tls_client_cert {
    HG_TLS_CERT_REQUIRED,
    HG_TLS_CERT_ASKED, /* and one without a certificate has no name */
    HG_TLS_CERT_OFF,
};

#define HG_TLS_MAX_PLAINTEXT 16384u /* RFC 8446 5.1 */
#define HG_TLS_RECORD_HEADER 5u
#define HG_TLS_MAX_CIPHERTEXT (16384u + 256u) /* RFC 8446 5.2, beside the header */
#define HG_TLS_MAX_RECORD (HG_TLS_RECORD_HEADER + HG_TLS_MAX_CIPHERTEXT)
#define HG_TLS_MIN_FRAGMENT 512u /* smallest limit of plaintext that we can keep */
#define HG_TLS_OVERHEAD 32u      /* sealing adds at most this to the plaintext, header included */
#define HG_TLS_TICKETS_MAX 8u
#define HG_TLS_TICKET_LIFETIME 7200u       /* seconds, unless configured */
#define HG_TLS_TICKET_LIFETIME_MAX 604800u /* seconds, RFC 8446 4.6.1 */
#define HG_TLS_NAME_MAX 128u               /* bytes of a source's name, NUL included */
#define HG_TLS_CERTS_MAX 16u               /* certificates of our own in a context */
/* A server's connection holds at most so much until its peer is authenticated, OpenSSL's objects
 * included; while a step runs, three times as much. */
#define HG_TLS_STRANGER_BYTES (64u * 1024u)

struct hg_tls_cfg {
    enum hg_tls_role role;
    enum hg_tls_provider provider;
    enum hg_tls_version min_version, max_version; /* 0: TLS 1.2 and 1.3 */
    const char *cert_file; /* PEM chain, leaf first; up to HG_TLS_CERTS_MAX files separated by
                              * commas: shown is one that the peer can use, and of several with the
                              * same type of key the valid one with the latest notBefore */
    const char *key_file;  /* PEM; as many as certificates, in the same order */
    const char *ca_file;   /* PEM bundle the peer's certificate must chain to */
    const char *crl_file; /* PEM lists: then each CA below an anchor of ca_file must have one in it,
                              * which is not out of date; NULL: revocation is not checked */
    const char *pins_file;   /* server: allow-list of sources' keys (tls_pin.h); NULL: none */
    bool pins_only;          /* server: a source without a line in it is refused */
    const char *server_pins; /* client: the server's key has one of these pins, separated by commas;
                              * NULL: any */
    const char *ciphers13;   /* OpenSSL list; NULL: AES-256-GCM, AES-128-GCM, ChaCha20-Poly1305
                            * (server: the client's order does not matter) */
    const char *ciphers12;   /* OpenSSL list; NULL: ECDHE AEAD suites of the same three */
    const char *suites;      /* instead of both: names of IANA or OpenSSL, separated by commas, most
                            * wanted first; NULL: the lists above */
    const char *groups; /* of X25519, P-256, P-384, separated by commas, most wanted first; NULL:
                            * all, in this order */
    const char *alpn;   /* one protocol, e.g. "headgate/1"; NULL: none. A server refuses
                            * clients that offer ALPN without it, and accepts those that offer
                            * no ALPN at all only when alpn_optional. */
    bool alpn_optional;
    enum hg_tls_client_cert client_cert; /* server: less than REQUIRED is for test profiles */
    const char *server_name;             /* client: SNI and the name to verify; NULL: chain only */
    const char *keylog_file;  /* append NSS key log lines; NULL: never. Debugging only. */
    uint32_t max_fragment;    /* plaintext bytes of a record, HG_TLS_MIN_FRAGMENT to
                              * HG_TLS_MAX_PLAINTEXT: we send no more, and ask the peer to send no
                              * more (RFC 8449); 0: HG_TLS_MAX_PLAINTEXT */
    uint64_t update_after;    /* TLS 1.3: records under one key, of either direction, after which
                              * new ones are made; 0: only well before the key's limit */
    uint32_t tickets;         /* server: session tickets after a full handshake (TLS 1.2: at most
                               * one), up to HG_TLS_TICKETS_MAX; 0: no resumption */
    uint32_t ticket_lifetime; /* seconds after its full handshake for which a session can be
                               * resumed, up to a week; 0: HG_TLS_TICKET_LIFETIME */
};

/* 0, or negative errno with a sentence naming file and cause. */
int hg_tls_ctx_create(const struct hg_tls_cfg *cfg, struct hg_tls_ctx **out, struct hg_err *err);
struct hg_tls_ctx *hg_tls_ctx_ref(struct hg_tls_ctx *ctx);
void hg_tls_ctx_unref(struct hg_tls_ctx *ctx); /* NULL is allowed */
/* Erases ticket keys whose time is over; any thread, about once a minute. now: seconds of the wall
 * clock. */
void hg_tls_ctx_tick(struct hg_tls_ctx *ctx, int64_t now);
/* Whether the caller's is the only reference left. Who frees the last one frees all certificates and
 * lists: on a thread that may take milliseconds for it. */
bool hg_tls_ctx_is_last(const struct hg_tls_ctx *ctx);
/* Whether the peer must show a certificate that verifies. */
bool hg_tls_ctx_requires_cert(const struct hg_tls_ctx *ctx);

/* What a context was made of, for display and for warnings about dates. Walks: start with *cursor =
 * 0, ends with false. */
enum hg_tls_item_kind { HG_TLS_ITEM_CERT, HG_TLS_ITEM_CA, HG_TLS_ITEM_CRL };
struct hg_tls_item {
    enum hg_tls_item_kind kind;
    char subject[160];   /* RFC 2253 form; of a revocation list its issuer */
    const char *file;    /* as long as the context */
    const char *key;     /* type of our certificate's key: "RSA", "P-256", ...; else "" */
    int64_t from, until; /* notBefore and notAfter, thisUpdate and nextUpdate; seconds since 1970 */
    bool in_use;         /* a certificate of ours that peers are shown at `now` */
};
bool hg_tls_ctx_item(const struct hg_tls_ctx *ctx, unsigned *cursor, int64_t now,
                     struct hg_tls_item *out);
/* Pins in the allow-list. */
unsigned hg_tls_ctx_pins(const struct hg_tls_ctx *ctx);

/* Per-shard crypto state (the ipsec-mb manager) and counters, shared by its connections. */
struct hg_tls_shard;
int hg_tls_shard_create(struct hg_tls_shard **out, struct hg_err *err);
void hg_tls_shard_destroy(struct hg_tls_shard *shard);

/* How the ipsec-mb provider has records opened and sealed: by direct calls, or as jobs of the library's
 * queue. AUTO measures both ways with each algorithm, for a few milliseconds. */
enum hg_tls_batch { HG_TLS_BATCH_SINGLE, HG_TLS_BATCH_JOBS, HG_TLS_BATCH_AUTO };

/* Nanoseconds that go on while it measures. */
typedef hg_ns (*hg_tls_clock)(void);

/* For keys of handshakes that end from now on; a new shard has SINGLE. The clock is used for
 * AUTO only. 0 or -ENOMEM, then SINGLE. */
int hg_tls_shard_choose(struct hg_tls_shard *shard, enum hg_tls_batch batch, hg_tls_clock clock);

#define HG_TLS_BATCH_COUNTERS(X)                                                                   \
    X(aes_128_gcm_single,                                                                          \
      "bytes/s of AES-128-GCM opened by direct calls at start; 0: not measured")                   \
    X(aes_128_gcm_jobs, "the same, as jobs")                                                       \
    X(aes_128_gcm_as_jobs, "1: records of AES-128-GCM are jobs, 0: direct calls")                  \
    X(aes_256_gcm_single,                                                                          \
      "bytes/s of AES-256-GCM opened by direct calls at start; 0: not measured")                   \
    X(aes_256_gcm_jobs, "the same, as jobs")                                                       \
    X(aes_256_gcm_as_jobs, "1: records of AES-256-GCM are jobs, 0: direct calls")                  \
    X(chacha20_poly1305_single,                                                                    \
      "bytes/s of ChaCha20-Poly1305 opened by direct calls at start; 0: not measured")             \
    X(chacha20_poly1305_jobs, "the same, as jobs")                                                 \
    X(chacha20_poly1305_as_jobs, "1: records of ChaCha20-Poly1305 are jobs, 0: direct calls")

/* A new connection; for a client the first flight is pending at once. */
int hg_tls_create(struct hg_tls_ctx *ctx, struct hg_tls_shard *shard, struct hg_tls **out);
/* Wipes all secrets. NULL is allowed. */
void hg_tls_destroy(struct hg_tls *tls);

enum hg_tls_state {
    HG_TLS_HANDSHAKE,   /* hg_tls_open() may do public-key work: give it a budget, or defer it */
    HG_TLS_OPEN,        /* both directions protected by our records */
    HG_TLS_PEER_CLOSED, /* close_notify received; sealing still works */
    HG_TLS_FAILED,      /* an alert is (or was) pending; nothing more can be opened or sealed */
};
enum hg_tls_state hg_tls_state(const struct hg_tls *tls);

/* What hg_tls_open() did with the front of the input. */
struct hg_tls_opened {
    uint32_t consumed; /* input bytes used, 0 when the record is not complete yet */
    uint32_t len;      /* plaintext bytes of application data at dst->base, may be 0 */
};

/* Fetches what opening a record touches into the cache. */
void hg_tls_prefetch(const struct hg_tls *tls);

/* Bytes of the whole record at the front of in[], its header included; 0 when in[] has less than the
 * header, or one that hg_tls_open() will refuse. Until so many bytes are there nothing can be opened. */
uint32_t hg_tls_record_size(const struct hg_iov *in, unsigned n);

/* Looks at the record at the front of in[]: returns the room hg_tls_open() will need in dst for it
 * (plaintext, padding and content type: <= HG_TLS_MAX_PLAINTEXT + 256) when it is a complete
 * application-data record in state HG_TLS_OPEN, else 0. Cheap; decides where dst shall point. */
uint32_t hg_tls_peek(const struct hg_tls *tls, const struct hg_iov *in, unsigned n);

/* Processes at most one record from the front of in[] (a scatter list over packet buffers, in
 * order; never modified). Application data is decrypted into dst in one pass, which also makes it
 * contiguous; dst->len must be the room that hg_tls_peek() told, or HG_TLS_MAX_RECORD. Bytes of dst
 * past len are scratch. Handshake, alert and key-update records are dealt with inside; afterwards
 * look at hg_tls_pending(). 0 or -EPROTO (state is HG_TLS_FAILED, the alert is pending and
 * hg_tls_error() has a sentence), or -EINVAL when dst is smaller than promised (nothing happened).
 */
int hg_tls_open(struct hg_tls *tls, const struct hg_iov *in, unsigned n, const struct hg_iov *dst,
                struct hg_tls_opened *res);

/* Seals application data of up to hg_tls_seal_room(tls, cap) bytes gathered from in[] into dst of cap
 * bytes: one record, or several when the peer asked for small ones. in[0] may lie inside dst at
 * exactly dst + hg_tls_seal_offset() for in-place work. Returns the bytes written or
 * -EPIPE/-EINVAL, or -EAGAIN while hg_tls_pending() is not 0: take that first. So the order of the
 * calls of seal and take is the order in which their bytes must be sent. After it a key update may
 * be pending. */
int hg_tls_seal(struct hg_tls *tls, const struct hg_iov *in, unsigned n, uint8_t *dst,
                uint32_t cap);
uint32_t hg_tls_seal_offset(const struct hg_tls *tls);
/* Bytes of data whose records find room in cap bytes (more than HG_TLS_OVERHEAD), at most
 * HG_TLS_MAX_PLAINTEXT. */
uint32_t hg_tls_seal_room(const struct hg_tls *tls, uint32_t cap);
/* Plaintext bytes of one record at most: what was configured, or less when the peer asked for less
 * (RFC 8449, RFC 6066 4). HG_TLS_MIN_FRAGMENT to HG_TLS_MAX_PLAINTEXT. */
uint32_t hg_tls_max_fragment(const struct hg_tls *tls);

/* Handshake messages, key updates and alerts that wait to be sent. hg_tls_take() moves up to cap
 * bytes out and returns how many. */
uint32_t hg_tls_pending(const struct hg_tls *tls);
uint32_t hg_tls_take(struct hg_tls *tls, uint8_t *dst, uint32_t cap);

/* Queues close_notify (once). */
void hg_tls_close(struct hg_tls *tls);

/* ---- handshake steps elsewhere ---- */

/* Public-key work takes its time, and hg_tls_open() does it on the spot. A caller that must not wait
 * defers it: then a handshake record becomes a step that the caller takes, has carried out by another
 * thread, and puts back. Meanwhile the connection may be closed and destroyed; hg_tls_open() uses no
 * input and nothing is pending. */
struct hg_tls_step;

/* From now on, for the life of the connection. */
void hg_tls_defer(struct hg_tls *tls);
/* After hg_tls_open(): the step that waits, now the caller's, or NULL. */
struct hg_tls_step *hg_tls_step_take(struct hg_tls *tls);
/* Carries it out. Any one thread. */
void hg_tls_step_run(struct hg_tls_step *step);
/* Back to its connection, which then owns it; returns as hg_tls_open() does. Look at hg_tls_pending()
 * and hg_tls_state() afterwards. */
int hg_tls_step_put(struct hg_tls *tls, struct hg_tls_step *step);
/* Instead, when its connection is gone. Erases it. NULL is allowed. */
void hg_tls_step_free(struct hg_tls_step *step);

/* ---- who is there ---- */

/* The peer's name: SAN URI headgate:source/NAME, else the subject's CN; "" before the handshake is
 * done or without a certificate. Only [A-Za-z0-9._-], so it is safe in logs and paths; a
 * certificate with another name fails the handshake. */
const char *hg_tls_peer_name(const struct hg_tls *tls);
const char *hg_tls_suite(const struct hg_tls *tls);   /* IANA-like name, "" before */
const char *hg_tls_version(const struct hg_tls *tls); /* "TLSv1.3", ... */
/* The session of an earlier connection goes on (session ticket): no certificate was shown again. */
bool hg_tls_resumed(const struct hg_tls *tls);
/* Why it failed: peer's alert or our check, with the certificate's subject where one is to blame,
 * and what to do. "" when it did not. */
const char *hg_tls_error(const struct hg_tls *tls);

/* ---- for clients that OpenSSL serves alone ---- */

struct x509_store_ctx_st;
struct hg_tls_server_check {
    const char *ca_file; /* for sentences */
    const char *pins;    /* as server_pins of struct hg_tls_cfg; NULL: any */
};
/* The certificate check of a client context, from OpenSSL's certificate verify callback: 1, or 0 with
 * the error in x, from which OpenSSL makes the alert, and a sentence. Any thread. */
int hg_tls_verify_server(struct x509_store_ctx_st *x, const struct hg_tls_server_check *check,
                         struct hg_err *why);

#define HG_TLS_COUNTERS(X)                                                                         \
    X(handshakes, "handshakes completed")                                                          \
    X(handshake_failures, "handshakes failed for any reason")                                      \
    X(no_client_cert, "handshakes refused because the client sent no certificate")                 \
    X(bad_client_cert, "handshakes refused because the client's certificate did not verify")       \
    X(bad_server_cert, "handshakes refused because the server's certificate did not verify")       \
    X(cert_expired, "of both, because a certificate is expired or not valid yet")                  \
    X(unknown_ca, "of both, because no CA of ours signed it")                                      \
    X(cert_usage, "of both, because the certificate is not for this use")                          \
    X(cert_weak, "of both, because a key or signature in the chain is too weak")                   \
    X(cert_revoked, "of both, because the certificate or a CA above it is revoked")                \
    X(no_crl, "of both, because a CA's revocation list is missing or out of date")                 \
    X(pin_refused, "handshakes refused because the peer's key is not one of its pins")             \
    X(not_tls, "connections whose first bytes were not a TLS record")                              \
    X(bad_name, "client certificates whose name is missing or has forbidden characters")           \
    X(records_in, "application-data records opened")                                               \
    X(records_out, "records sealed")                                                               \
    X(bytes_in, "plaintext bytes opened")                                                          \
    X(bytes_out, "plaintext bytes sealed")                                                         \
    X(bad_record, "records with a bad header, length or content type")                             \
    X(bad_tag, "records whose authentication tag did not match")                                   \
    X(alerts_in, "alerts received, close_notify apart")                                            \
    X(alerts_out, "alerts sent, close_notify apart")                                               \
    X(key_updates, "key updates, either direction")                                                \
    X(resumed, "of the handshakes completed, those that resumed a session by its ticket")          \
    X(tickets_out, "session tickets made")                                                         \
    X(tickets_unknown,                                                                             \
      "tickets not made here, or before a reload, or too long ago; the handshake "                 \
      "went on in full")                                                                           \
    X(tickets_stale, "tickets whose session or certificate has expired; the handshake went on in " \
                     "full")

struct hg_tls_counters {
    HG_TLS_COUNTERS(HG_COUNTER_FIELD)
};
/* For display; any thread. */
struct hg_counter_set hg_tls_counter_set(const struct hg_tls_shard *shard);
/* What hg_tls_shard_choose() measured and chose; for display, any thread. */
struct hg_counter_set hg_tls_batch_set(const struct hg_tls_shard *shard);

#endif /* HEADGATE_TLS_H */
