/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One source's connection, apart from what carries it: feeds, pacing, reconnecting.
 *
 *     WAIT --session_wants_connect()--> CONNECTING --session_up()--> UP --> DONE
 *      ^                                    |                         |
 *      +---------- session_down() ----------+-------------------------+--> FAILED
 *
 * The transport (kernel.c, dpdk.c) owns the connection and the session belongs to its thread.
 */
#ifndef LOAD_SESSION_H
#define LOAD_SESSION_H

#include "feed.h"
#include "manifest.h"
#include "stats.h"
#include <headgate/source.h>

/* Shared by all threads; read-only for them but `stop`, which the main thread sets. */
struct run {
    const struct load_options *opt;
    struct gen gen;
    struct replay *replay; /* NULL: none */
    hg_ns started;         /* the threads; --duration counts from worker.began */
    int stop;              /* 0; 1: make no new blocks; 2: leave at once. Atomic. */
};

/* A thread with its sessions. */
struct worker {
    struct run *run;
    unsigned index;
    struct load_stats stats;
    struct feed_scratch scratch;
    struct session **sessions;
    uint32_t n_sessions;
    uint32_t lines; /* sentences written so far: bounded */
    hg_ns began;    /* first session with a node behind it; 0 not yet. Atomic. */
    hg_ns ended;    /* all sessions over, before anything is taken down; 0 not yet */
};

enum session_phase {
    SESSION_WAIT,       /* until retry_at */
    SESSION_CONNECTING, /* TCP and TLS, until deadline */
    SESSION_UP,
    SESSION_DONE,
    SESSION_FAILED,
};

struct session {
    struct worker *worker;
    struct hg_source *src;
    uint32_t id;   /* counts all sessions of the run */
    uint32_t cert; /* index of the certificate */
    struct feed *feeds;
    struct manifest_volume **manifest; /* one per feed; NULL: no manifest */
    uint32_t n_feeds;
    uint32_t feeds_done;
    bool fed; /* hg_source_finish() was called */
    enum session_phase phase;
    hg_ns retry_at;
    hg_ns deadline; /* CONNECTING */
    hg_ns backoff;
    hg_ns progress_at; /* last time something was acknowledged, or the first attempt */
    bool was_up, counted_up;
    bool progress; /* something was acknowledged since the session came up */
    uint64_t rate; /* bits per second; 0: no limit */
    hg_ns pace_at; /* next frame not before */
    uint64_t rewinds_seen, resent_seen;
    struct hg_err err; /* why payload() failed */
    void *transport;   /* the transport's */
};

struct session_spec {
    uint32_t id, cert;
    struct feed *feeds; /* array, taken over */
    uint32_t n_feeds;
};

int session_create(struct worker *worker, const struct session_spec *spec, struct session **out,
                   struct hg_err *err);
void session_destroy(struct session *s);

/* True once when it is time to connect; the phase is CONNECTING then. */
bool session_wants_connect(struct session *s, hg_ns now);
/* TLS is established. */
void session_up(struct session *s, hg_ns now);
/* Bytes from the node. false: the connection must be closed. */
bool session_input(struct session *s, const uint8_t *data, size_t len, hg_ns now);
/* The next frame to send. 1; 0: none now; negative: close the connection. */
int session_next(struct session *s, hg_ns now, struct hg_source_frame *frame);
/* Timers and feeding. false: the connection must be closed. */
bool session_tick(struct session *s, hg_ns now);
/* The connection is gone or was never there. `why` may be NULL when the session ended by itself;
 * `never`: trying again is useless. */
void session_down(struct session *s, bool never, const char *why, hg_ns now);

static inline bool session_over(const struct session *s)
{
    return s->phase == SESSION_DONE || s->phase == SESSION_FAILED;
}

/* A sentence on stderr, at most 50 per thread. */
void say(struct worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

hg_ns clock_now(void);

#endif /* LOAD_SESSION_H */
