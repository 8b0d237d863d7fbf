/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's side of the native protocol (docs/protocol.md) for one shard: plaintext in, plaintext
 * out, time as an argument. It knows neither TCP nor TLS.
 *
 * A session lives in a pool made by hg_ingest_create(); nothing is taken from the heap afterwards.
 * The connection above feeds it with hg_session_input(), takes what it has to say with
 * hg_session_output(), and lets go with hg_session_close(); the session then waits for its writes
 * to finish and frees itself. One thread.
 */
#ifndef HEADGATE_INGEST_H
#define HEADGATE_INGEST_H

#include <headgate/arena.h>
#include <headgate/base.h>
#include <headgate/codec.h>
#include <headgate/counter.h>
#include <headgate/proto.h>
#include <headgate/store.h>
#include <stdbool.h>

struct hg_ingest;
struct hg_session;

/* Zero means the default in brackets. */
struct hg_ingest_cfg {
    struct hg_store *store;
    struct hg_arena *arena;
    const char *agent;          /* our name and version, for WELCOME */
    uint32_t sessions_max;      /* [1024] */
    uint32_t volumes_max;       /* per session [64] */
    uint32_t requests_max;      /* writes in flight on the shard [8192] */
    uint32_t max_raw;           /* largest DATA, bytes [1 MiB] */
    uint32_t credit;            /* largest grant per session, bytes [4 MiB] */
    hg_ns hello_timeout;        /* [10 s] */
    hg_ns frame_timeout;        /* a frame once begun [30 s] */
    hg_ns idle;                 /* PING after, end after twice [60 s] */
    hg_ns write_timeout;        /* source does not read [30 s]; see hg_session_not_reading() */
    hg_ns open_timeout;         /* wait for a volume that is being released [10 s] */
    uint32_t no_space_retry_ms; /* advice in no_space [1000] */
    /* Asks the other shards to end sessions that hold this volume; NULL with one shard. */
    void (*fence)(void *arg, const char *volume);
    void *fence_arg;
};

int hg_ingest_create(const struct hg_ingest_cfg *cfg, hg_ns now, struct hg_ingest **out,
                     struct hg_err *err);
/* No session is left. */
void hg_ingest_destroy(struct hg_ingest *ing);

/* Timers, volumes that wait to be opened. Call every turn. */
void hg_ingest_poll(struct hg_ingest *ing, hg_ns now);
hg_ns hg_ingest_next(const struct hg_ingest *ing);

/* From now on no session is accepted; those alive say BYE, finish what is in flight, and end. */
void hg_ingest_drain(struct hg_ingest *ing, hg_ns now);

/* Ends the session of this shard that holds the volume, if there is one. */
void hg_ingest_fence(struct hg_ingest *ing, const char *volume, hg_ns now);

/* Keeps a volume that a session of this shard holds from being given up, so that others may read it
 * through the store: fills *vol and returns a hold, or NULL when no session here holds it. */
struct hg_svol;
struct hg_svol *hg_ingest_hold(struct hg_ingest *ing, const char *volume, struct hg_volume **vol);
void hg_ingest_unhold(struct hg_ingest *ing, struct hg_svol *hold);

/* Sessions alive, those that only wait for their writes included. */
uint32_t hg_ingest_sessions(const struct hg_ingest *ing);

/* Payload bytes, uncompressed, handed to the store so far. */
uint64_t hg_ingest_raw_bytes(const struct hg_ingest *ing);

/* Takes up to max sessions with something to say, or that were blocked and may go on; returns their
 * user pointers. Each at most once per call. */
unsigned hg_ingest_ready(struct hg_ingest *ing, void **user, unsigned max);

/* ---- one session ---- */

/* source: authenticated name; peer: address for logs. Both are copied. NULL when sessions_max is
 * reached. */
struct hg_session *hg_session_create(struct hg_ingest *ing, const char *source, const char *peer,
                                     void *user, hg_ns now);

/* Where the next plaintext may be written straight away: a place for exactly `room` bytes inside
 * the payload in progress, or NULL (then write it anywhere). Valid until the next call on the
 * session. */
uint8_t *hg_session_sink(struct hg_session *s, uint32_t room);

/* Fetches what hg_session_input() touches into the cache. */
void hg_session_prefetch(const struct hg_session *s);

/* Takes plaintext; data may be what hg_session_sink() returned (then nothing is copied). Returns
 * how many bytes were taken: fewer than len means blocked, the caller keeps the rest and calls
 * again when hg_ingest_ready() names the session. len 0 retries a blocked frame. */
uint32_t hg_session_input(struct hg_session *s, const uint8_t *data, uint32_t len, hg_ns now);

/* True when input is refused until resources come back. */
bool hg_session_blocked(const struct hg_session *s);

/* Writes whole frames into dst, as many as fit into cap (>= HG_SESSION_OUTPUT_MIN); returns bytes,
 * 0: nothing to say. */
#define HG_SESSION_OUTPUT_MIN (HG_FRAME_HEADER + 8u + HG_PROTO_TEXT_MAX)
uint32_t hg_session_output(struct hg_session *s, uint8_t *dst, uint32_t cap, hg_ns now);

/* The connection below could not get rid of what the session said for write_timeout: ends the
 * session (err_not_reading). */
void hg_session_not_reading(struct hg_session *s, hg_ns now);

/* True when everything was said: close_notify and FIN are next. */
bool hg_session_finished(const struct hg_session *s);

/* The connection is gone or done; s must not be used afterwards. */
void hg_session_close(struct hg_session *s, hg_ns now);

struct hg_session_info {
    const char *source, *peer;
    uint32_t volumes;
    uint64_t frames, raw_bytes, wire_bytes; /* wire: payload bytes of DATA as sent */
    uint64_t in_flight;                     /* bytes of cost not durable */
    uint64_t credit_limit, credit_spent;
    uint64_t errors; /* frames refused */
    bool blocked;
};
void hg_session_info(const struct hg_session *s, struct hg_session_info *out);

#define HG_INGEST_COUNTERS(X)                                                                      \
    X(sessions, "sessions begun")                                                                  \
    X(sessions_refused, "sessions refused because the node was full or stopping")                  \
    X(sessions_ended, "sessions ended in any way")                                                 \
    X(frames_data, "DATA frames accepted")                                                         \
    X(frames_zero, "ZERO frames accepted")                                                         \
    X(frames_trim, "TRIM frames accepted")                                                         \
    X(frames_barrier, "BARRIER frames accepted")                                                   \
    X(frames_other, "other frames accepted")                                                       \
    X(frames_ignored, "unknown frames skipped because they said so")                               \
    X(frames_discarded, "frames discarded during a rewind or on a closed volume")                  \
    X(raw_bytes, "bytes of DATA after decompression")                                              \
    X(wire_bytes, "bytes of DATA payload as sent")                                                 \
    X(zero_bytes, "bytes covered by ZERO and TRIM")                                                \
    X(acks, "ACK frames sent")                                                                     \
    X(credits, "CREDIT frames sent")                                                               \
    X(blocked, "times a session waited for a buffer or a request")                                 \
    X(superseded, "sessions ended because their source opened the volume anew")                    \
    X(err_bad_magic, "sessions ended: not a frame header")                                         \
    X(err_header_crc, "sessions ended: header CRC wrong")                                          \
    X(err_version, "sessions ended: no common version or codec")                                   \
    X(err_unknown_type, "sessions ended: unknown frame type")                                      \
    X(err_bad_state, "sessions ended: frame not allowed then")                                     \
    X(err_limit, "sessions ended: a length over its limit")                                        \
    X(err_bad_field, "sessions ended: a field outside its range")                                  \
    X(err_codec, "sessions ended: codec not negotiated")                                           \
    X(err_decompress, "frames asked for again: payload did not decompress to its length")          \
    X(err_payload_crc, "frames asked for again: payload CRC wrong")                                \
    X(err_bounds, "volumes closed: extent beyond the end")                                         \
    X(err_seq_gap, "sessions ended: sequence number skipped")                                      \
    X(err_seq_replay, "sessions ended: sequence number used twice")                                \
    X(err_no_space, "frames put off because the pool is full")                                     \
    X(err_busy, "opens or sessions put off")                                                       \
    X(err_open, "opens refused: size, name, number or not found")                                  \
    X(err_credit, "sessions ended: more sent than granted")                                        \
    X(err_too_slow, "sessions ended: a frame or HELLO took too long")                              \
    X(err_idle, "sessions ended: no answer to PING")                                               \
    X(err_shutdown, "sessions ended because the node stops")                                       \
    X(err_io, "sessions ended because devices failed")                                             \
    X(err_barrier, "volumes closed: BARRIER counts did not match")                                 \
    X(err_internal, "sessions ended by our own mistake")                                           \
    X(err_not_reading, "sessions ended: the source did not read")                                  \
    X(source_errors, "ERROR frames sent by sources")

struct hg_ingest_counters {
    HG_INGEST_COUNTERS(HG_COUNTER_FIELD)
};
/* For display; any thread. */
struct hg_counter_set hg_ingest_counter_set(const struct hg_ingest *ing);

#endif /* HEADGATE_INGEST_H */
