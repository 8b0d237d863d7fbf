/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the ingest room: session, volume of a session, request.
 *
 * Invariants
 *  1. A session's grant is reserved when it is accepted: the sum of `reserved` over sessions never
 *     exceeds the arena. A slow source therefore holds only its own share.
 *  2. A frame changes nothing before its header CRC, lengths, sequence number, credit, payload
 *     length and payload CRC have passed, in this order.
 *  3. next_seq moves only when the store has taken the frame; so `rewinding` can always be answered
 *     by the same number again.
 *  4. The store reports requests of a volume in the order of submission; so durable_seq is
 *     cumulative.
 *  5. A session that was closed, or failed, submits nothing more, and is freed when inflight is 0
 *     and all its volumes are detached. Nothing points to it from then on.
 *  6. Output is made from state, never queued: ACK, CREDIT and PONG are merged when the source does
 *     not read, so memory is bounded without dropping anything that matters.
 *
 * States of a session, and the function that makes the transition
 *
 *     HELLO --finish_hello--> OPEN --finish_bye/drain--> DRAINING --all said--> ENDED
 *       \_______________________\_______session_fail__________\--> FAILED --said--> ENDED
 *
 *     hg_session_close() may come in any state and sets `closed`.
 */
#ifndef HG_LIB_INGEST_INGEST_H
#define HG_LIB_INGEST_INGEST_H

#include <headgate/ingest.h>
#include <headgate/log.h>
#include <headgate/wheel.h>
#include <sys/queue.h>

#define SVOL_FAILURES_MAX 3 /* the same frame refused this often ends the session */

enum session_state { S_HELLO, S_OPEN, S_DRAINING, S_FAILED, S_ENDED };

/* What the bytes that come next are. */
enum session_phase {
    P_HEADER,  /* part of a frame header */
    P_BEGIN,   /* header is complete; waits for a place to put the payload */
    P_PAYLOAD, /* bytes go to payload_dst, or nowhere when discarding */
    P_FINISH,  /* payload is complete; waits for what the frame needs */
};

enum step { STEP_OK, STEP_BLOCKED, STEP_FAILED };

enum svol_state {
    V_OPENING, /* attach submitted, or waits for the former owner */
    V_OPEN,
    V_CLOSED, /* error with retry 0: frames are discarded */
};

/* A volume as a session sees it. */
struct hg_svol {
    LIST_ENTRY(hg_svol) all; /* of the ingest instance */
    STAILQ_ENTRY(hg_svol) dirty_link;
    struct hg_session *sess;
    struct hg_volume *vol; /* NULL until attached */
    struct hg_store_req attach;
    enum svol_state state;
    uint32_t handle;
    uint32_t inflight;  /* requests at the store */
    uint64_t size;      /* bytes */
    uint64_t open_size; /* as asked for */
    hg_ns open_deadline;
    uint64_t next_seq; /* expected */
    uint64_t received_seq, durable_seq, consistent_seq;
    uint64_t said_received, said_durable, said_consistent;
    uint64_t epoch, epoch_submitted; /* closed; handed to the store */
    uint64_t frames, bytes;          /* since the last barrier, for BARRIER's counts */
    uint8_t failures;                /* of frame next_seq */
    bool rewinding, dirty, say_opened, attaching;
    uint16_t say_error; /* HG_PROTO_*, 0: none */
    uint8_t say_retry;
    uint32_t say_retry_ms;
    uint64_t say_error_seq;
    char name[HG_VOLUME_NAME_MAX]; /* "source/volume" */
};

/* A frame at the store. */
struct hg_ireq {
    struct hg_store_req base;
    struct hg_svol *svol;
    struct hg_ireq *next_free;
    uint64_t seq;
    uint64_t epoch;
    uint32_t cost;
    uint8_t type; /* HG_FRAME_* */
};

STAILQ_HEAD(svol_queue, hg_svol);

struct hg_session {
    TAILQ_ENTRY(hg_session) ready_link;
    TAILQ_ENTRY(hg_session) blocked_link;
    struct hg_session *next_free;
    struct hg_ingest *ing;
    void *user;
    enum session_state state;
    enum session_phase phase;
    bool closed, ready, blocked, discard, finished;

    /* frame in progress */
    uint32_t header_len;  /* bytes collected */
    uint32_t payload_len; /* bytes collected */
    uint8_t *payload_dst; /* one of the two: */
    uint8_t *wire_buf;    /* arena: compressed payload, or the payload of a control frame */
    uint8_t *raw_buf;     /* arena: extent */
    struct hg_svol *svol; /* of the frame, NULL: session */
    struct hg_frame frame;
    hg_ns frame_started; /* 0: none in progress */
    uint8_t header[HG_FRAME_HEADER];

    /* credit, section 7 */
    uint64_t credit_limit, credit_spent, credit_returned, credit_said;
    uint32_t grant;    /* bytes */
    uint32_t reserved; /* of the arena: grant and room for one compressed payload */

    uint32_t inflight; /* requests at the store */
    uint32_t max_raw, codecs, levels;
    uint32_t n_volumes;
    struct hg_svol **volumes; /* [cfg.volumes_max] */
    struct hg_svol *last_svol;
    struct svol_queue dirty;

    hg_ns created, last_rx, ping_sent, output_since;
    struct hg_timer timer;
    hg_ns drain_deadline; /* the source's BYE is not waited for any longer; 0: not draining */
    bool say_welcome, say_pong, say_ping;
    bool bye_due, bye_said, bye_received;
    uint64_t pong_arg;
    uint16_t fail_code;
    uint64_t fail_seq;
    uint32_t fail_volume;
    char fail_text[160];

    uint64_t frames, raw_bytes, wire_bytes, errors;
    uint8_t id[16];
    char source[HG_PROTO_NAME_MAX + 1];
    char peer[64];
};

TAILQ_HEAD(session_queue, hg_session);
LIST_HEAD(svol_list, hg_svol);

struct hg_ingest {
    struct hg_ingest_cfg cfg;
    struct hg_ingest_counters count;
    struct hg_inflate *inflate;
    struct hg_wheel wheel;
    struct hg_log_limit log_limit;
    hg_ns now; /* of the current turn: completions come without it */
    bool draining;
    uint32_t n_sessions;
    uint64_t reserved; /* of the arena, bytes: invariant 1 */
    struct session_queue ready, blocked;
    uint64_t progress_seen; /* hg_store_progress() when the blocked were last asked */
    hg_ns blocked_retry;    /* when they are asked again in any case */
    struct svol_list svols;
    struct hg_session *sessions, *free_session;
    struct hg_svol *svol_pool;
    struct svol_queue free_svol;
    struct hg_ireq *reqs, *free_req;
    struct hg_svol **volume_slots; /* sessions_max * volumes_max pointers */
    uint32_t opening;              /* svols in V_OPENING that wait for a former owner */
    hg_ns open_retry;
    uint32_t crc[HG_EXTENT_MAX / HG_BLOCK];
};

/* ingest.c */
void session_make_ready(struct hg_session *s);
void session_make_blocked(struct hg_session *s);
void session_maybe_free(struct hg_session *s);
void session_log(struct hg_session *s, enum hg_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Session-scope error: logs, counts, and leaves ERROR as the last thing to say. */
void session_fail(struct hg_session *s, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ingest_count_error(struct hg_ingest *ing, unsigned code);

/* svol.c */
struct hg_svol *svol_find(struct hg_session *s, uint32_t handle);
enum step svol_open(struct hg_session *s);
void svol_retry_opening(struct hg_ingest *ing);
void svol_dirty(struct hg_svol *v);
/* Error of scope frame or volume; retry 1 or 2 starts a rewind at the frame in progress. */
void svol_error(struct hg_svol *v, unsigned code, uint64_t seq, const char *why);
void svol_release(struct hg_svol *v);

/* frame.c */
enum step frame_begin(struct hg_session *s);
enum step frame_finish(struct hg_session *s);
void frame_drop_buffers(struct hg_session *s);

/* submit.c: what frames ask of the store */
struct hg_ireq *ireq_get(struct hg_session *s);
enum step submit_data(struct hg_session *s);
enum step submit_zero(struct hg_session *s);
enum step submit_barrier(struct hg_session *s);

#endif /* HG_LIB_INGEST_INGEST_H */
