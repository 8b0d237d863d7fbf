/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The baseline's side of the native protocol (docs/protocol.md), for one connection and one thread.
 * The connection asks where the next bytes belong, reads them there, and says how many came.
 */
#ifndef BENCH_BASELINE_SESSION_H
#define BENCH_BASELINE_SESSION_H

#include <headgate/codec.h>
#include <headgate/proto.h>
#include <stdbool.h>
#include <zlib.h>

#define SESSION_VOLUMES 64         /* at most in a session */
#define SESSION_CREDIT (64u << 20) /* bytes in flight: so many that they never are the limit */
#define SESSION_OUT (32u * 1024u)  /* bytes that wait to be sent */

/* Where blocks go and what is counted; shared by all sessions. */
struct sink {
    int file;          /* -1: blocks are checked and thrown away */
    uint64_t file_end; /* where the next volume begins, bytes */
    z_stream inflate;
    uint8_t raw[HG_FRAME_RAW_MAX];
    uint64_t frames, raw_bytes, wire_bytes; /* of DATA */
};

struct volume {
    uint32_t handle;
    bool dirty;          /* seq has moved since the last ACK */
    uint64_t size, base; /* bytes; base: where the volume begins in the file */
    uint64_t seq, epoch;
};

enum stage { EXPECT_HELLO, OPEN, ENDING };

struct session {
    struct sink *sink;
    enum stage stage;
    uint8_t head[HG_FRAME_HEADER];
    struct hg_frame frame; /* valid when the header is complete */
    uint32_t have;         /* bytes of the frame that have come, header included */
    uint8_t *payload;
    uint32_t payload_cap;  /* bytes at payload */
    uint64_t spent, limit; /* credit, bytes */
    struct volume volume[SESSION_VOLUMES];
    unsigned n_volumes;
    uint32_t out_len; /* bytes in out */
    uint8_t out[SESSION_OUT];
};

/* Where the next bytes belong; *want gets how many are missing there, never 0. */
uint8_t *session_place(struct session *s, uint32_t *want);

/* n bytes came there. 0, or negative when the session cannot go on. */
int session_took(struct session *s, uint32_t n);

/* Says how far every volume got, and grants credit. Call once per visit. 0 or -ENOBUFS. */
int session_acknowledge(struct session *s);

void session_free(struct session *s);

#endif /* BENCH_BASELINE_SESSION_H */
