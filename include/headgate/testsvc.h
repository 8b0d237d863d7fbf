/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Services for tests (profile config/test.ini), so that any TCP or TLS tool can be pointed at the
 * stack: echo (RFC 862), discard (RFC 863), chargen (RFC 864), and HTTP/1.0 (RFC 1945) that answers
 * GET /N with N bytes.
 *
 * Plaintext in, plaintext out, time as an argument: they know neither TCP nor TLS. Whoever reaches
 * the port may use them, so a production node never has them. What they send is made in the room
 * the caller gives, or lies in a pattern that exists as long as the services, so it can be sent
 * without copying. One thread; no allocation after hg_testsvc_create().
 *
 * The body of GET /N is the same each time: its byte at offset o is P((N + o) mod 65521), where
 * P(i) is bits 24 to 31 of i * 2654435761.
 */
#ifndef HEADGATE_TESTSVC_H
#define HEADGATE_TESTSVC_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <rte_mbuf.h>
#include <stdbool.h>

struct hg_testsvc;
struct hg_testsvc_conn;

enum hg_testsvc_kind {
    HG_TESTSVC_ECHO,
    HG_TESTSVC_DISCARD,
    HG_TESTSVC_CHARGEN,
    HG_TESTSVC_HTTP,
    HG_TESTSVC_KINDS,
};

#define HG_TESTSVC_BODY_MAX (64u << 20) /* bytes of the largest body; more is 404 */
#define HG_TESTSVC_LINE_MAX 1024u       /* bytes of a request line; more is 414 */
#define HG_TESTSVC_HEAD_MAX 16384u      /* bytes of a request head; more is 400 */
#define HG_TESTSVC_ROOM_MIN 512u        /* bytes of room that hg_testsvc_output() needs */
#define HG_TESTSVC_PIECE_MAX 32768u     /* bytes of the pattern that one call points at */

/* Zero means the default in brackets. */
struct hg_testsvc_cfg {
    uint32_t conns_max; /* connections of all kinds together [256] */
    hg_ns idle;         /* nothing in either direction for so long ends a connection [60 s] */
    hg_ns request_time; /* an HTTP request must be complete after [10 s] */
    int socket;         /* NUMA node of the patterns, -1: any */
};

/* 0 or -ENOMEM and a sentence. */
int hg_testsvc_create(const struct hg_testsvc_cfg *cfg, struct hg_testsvc **out,
                      struct hg_err *err);
/* No connection is left, and no packet points at a pattern. NULL is allowed. */
void hg_testsvc_destroy(struct hg_testsvc *t);

/* "echo", "discard", "chargen", "http". */
const char *hg_testsvc_name(enum hg_testsvc_kind kind);

/* NULL when conns_max is reached. */
struct hg_testsvc_conn *hg_testsvc_open(struct hg_testsvc *t, enum hg_testsvc_kind kind, hg_ns now);
void hg_testsvc_close(struct hg_testsvc_conn *c);

/* Takes bytes; returns how many. Fewer than len: there is output to take first. */
uint32_t hg_testsvc_input(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len, hg_ns now);

/* The peer will send no more. What is owed to it still comes from hg_testsvc_output(). */
void hg_testsvc_eof(struct hg_testsvc_conn *c);

/* Whether hg_testsvc_output() has something to say, be it that all is said. */
bool hg_testsvc_has_output(const struct hg_testsvc_conn *c);

struct hg_testsvc_out {
    uint8_t *room; /* in: to write into */
    uint32_t cap;  /* in: bytes of room, >= HG_TESTSVC_ROOM_MIN */
    uint32_t max;  /* in: bytes that may be pointed at instead */
    /* out: where the bytes are; room, or a place in a pattern, which never changes and may be
     * attached to packet buffers with `shared` (one reference each) and iova. */
    const uint8_t *data;
    struct rte_mbuf_ext_shared_info *shared; /* NULL when data is room */
    rte_iova_t iova;                         /* of data, when shared */
};

/* Next bytes to send: how many, 0: nothing now, -EPIPE: all is said, close. */
int hg_testsvc_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out, hg_ns now);

/* Call about once a second: false when the connection's time is up. */
bool hg_testsvc_tick(struct hg_testsvc_conn *c, hg_ns now);

#define HG_TESTSVC_COUNTERS(X)                                                                     \
    X(echo_conns, "connections to the echo service")                                               \
    X(discard_conns, "connections to the discard service")                                         \
    X(chargen_conns, "connections to the chargen service")                                         \
    X(http_conns, "connections to the HTTP responder")                                             \
    X(refused, "connections refused because the services had as many as they may")                 \
    X(bytes_in, "bytes taken")                                                                     \
    X(bytes_out, "bytes given out")                                                                \
    X(http_200, "HTTP requests answered with their bytes")                                         \
    X(http_400, "HTTP requests refused: not a request, or its head too long")                      \
    X(http_404, "HTTP requests refused: not /N with N up to 64 MiB")                               \
    X(http_405, "HTTP requests refused: neither GET nor HEAD")                                     \
    X(http_414, "HTTP requests refused: request line too long")                                    \
    X(idle, "connections ended because nothing moved")                                             \
    X(late, "connections ended because an HTTP request took too long")

struct hg_testsvc_counters {
    HG_TESTSVC_COUNTERS(HG_COUNTER_FIELD)
};
/* For display; any thread. */
struct hg_counter_set hg_testsvc_counter_set(const struct hg_testsvc *t);

#endif /* HEADGATE_TESTSVC_H */
