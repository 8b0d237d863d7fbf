/* SPDX-License-Identifier: BSD-3-Clause */
/* The shard's part of the ingest service: pools, timers, queues, draining. Invariants: ingest.h. */
#include "ingest.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_TICK HG_SEC(1)
#define OPEN_RETRY HG_MS(5)
#define BLOCKED_RETRY HG_MS(1)
#define DRAIN_GRACE HG_SEC(5)
#define TIMER_BATCH 64

static const struct hg_counter_desc counter_desc[] = {HG_INGEST_COUNTERS(HG_COUNTER_DESC)};

static void defaults(struct hg_ingest_cfg *c)
{
    if (c->sessions_max == 0)
        c->sessions_max = 1024;
    if (c->volumes_max == 0)
        c->volumes_max = 64;
    if (c->requests_max == 0)
        c->requests_max = 8192;
    if (c->max_raw == 0)
        c->max_raw = HG_FRAME_RAW_MAX;
    if (c->credit == 0)
        c->credit = 4u << 20;
    if (c->hello_timeout == 0)
        c->hello_timeout = HG_SEC(10);
    if (c->frame_timeout == 0)
        c->frame_timeout = HG_SEC(30);
    if (c->idle == 0)
        c->idle = HG_SEC(60);
    if (c->write_timeout == 0)
        c->write_timeout = HG_SEC(30);
    if (c->open_timeout == 0)
        c->open_timeout = HG_SEC(10);
    if (c->no_space_retry_ms == 0)
        c->no_space_retry_ms = 1000;
    if (c->agent == NULL)
        c->agent = "headgate";
}

static int make_pools(struct hg_ingest *ing)
{
    const struct hg_ingest_cfg *c = &ing->cfg;
    /* Volumes are shared by the sessions: most have one, a few have many. */
    size_t n_svols = (size_t)c->sessions_max + HG_VOLUMES_MAX;

    ing->sessions = calloc(c->sessions_max, sizeof *ing->sessions);
    ing->svol_pool = calloc(n_svols, sizeof *ing->svol_pool);
    ing->reqs = calloc(c->requests_max, sizeof *ing->reqs);
    ing->volume_slots = calloc((size_t)c->sessions_max * c->volumes_max, sizeof(struct hg_svol *));
    if (ing->sessions == NULL || ing->svol_pool == NULL || ing->reqs == NULL ||
        ing->volume_slots == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->sessions_max; i++) {
        ing->sessions[i].volumes = ing->volume_slots + (size_t)i * c->volumes_max;
        ing->sessions[i].next_free = ing->free_session;
        ing->free_session = &ing->sessions[i];
    }
    for (size_t i = 0; i < n_svols; i++)
        STAILQ_INSERT_TAIL(&ing->free_svol, &ing->svol_pool[i], dirty_link);
    for (uint32_t i = 0; i < c->requests_max; i++) {
        ing->reqs[i].next_free = ing->free_req;
        ing->free_req = &ing->reqs[i];
    }
    return 0;
}

int hg_ingest_create(const struct hg_ingest_cfg *cfg, hg_ns now, struct hg_ingest **out,
                     struct hg_err *err)
{
    struct hg_ingest *ing = calloc(1, sizeof *ing);

    if (ing == NULL)
        return hg_fail(err, -ENOMEM, "ingest: out of memory");
    ing->cfg = *cfg;
    defaults(&ing->cfg);
    ing->now = now;
    TAILQ_INIT(&ing->ready);
    TAILQ_INIT(&ing->blocked);
    LIST_INIT(&ing->svols);
    STAILQ_INIT(&ing->free_svol);
    hg_wheel_init(&ing->wheel, now);
    if (make_pools(ing) != 0 || hg_inflate_create(&ing->inflate) != 0) {
        hg_ingest_destroy(ing);
        return hg_fail(err, -ENOMEM, "ingest: out of memory for %u sessions; lower sessions_max",
                       ing->cfg.sessions_max);
    }
    *out = ing;
    return 0;
}

void hg_ingest_destroy(struct hg_ingest *ing)
{
    if (ing == NULL)
        return;
    hg_inflate_destroy(ing->inflate);
    free(ing->volume_slots);
    free(ing->reqs);
    free(ing->svol_pool);
    free(ing->sessions);
    free(ing);
}

struct hg_counter_set hg_ingest_counter_set(const struct hg_ingest *ing)
{
    return (struct hg_counter_set){"ingest", counter_desc, (const uint64_t *)&ing->count,
                                   HG_ARRAY_LEN(counter_desc)};
}

uint32_t hg_ingest_sessions(const struct hg_ingest *ing)
{
    return ing->n_sessions;
}

/* ---- queues ---- */

void session_make_ready(struct hg_session *s)
{
    if (s->closed)
        return;
    if (s->output_since == 0)
        s->output_since = s->ing->now;
    if (s->ready)
        return;
    s->ready = true;
    TAILQ_INSERT_TAIL(&s->ing->ready, s, ready_link);
}

void session_make_blocked(struct hg_session *s)
{
    if (s->blocked)
        return;
    s->blocked = true;
    s->ing->count.blocked++;
    TAILQ_INSERT_TAIL(&s->ing->blocked, s, blocked_link);
}

uint64_t hg_ingest_raw_bytes(const struct hg_ingest *ing)
{
    return ing->count.raw_bytes;
}

unsigned hg_ingest_ready(struct hg_ingest *ing, void **user, unsigned max)
{
    unsigned n = 0;
    struct hg_session *s;

    while (n < max && (s = TAILQ_FIRST(&ing->ready)) != NULL) {
        TAILQ_REMOVE(&ing->ready, s, ready_link);
        s->ready = false;
        if (s->blocked) /* both at once: named once */
            TAILQ_REMOVE(&ing->blocked, s, blocked_link);
        s->blocked = false;
        user[n++] = s->user;
    }
    /* Buffers and request objects come back with the store's progress too. */
    if (TAILQ_EMPTY(&ing->blocked) ||
        (hg_store_progress(ing->cfg.store) == ing->progress_seen && ing->now < ing->blocked_retry))
        return n;
    ing->progress_seen = hg_store_progress(ing->cfg.store);
    ing->blocked_retry = ing->now + BLOCKED_RETRY;
    while (n < max && (s = TAILQ_FIRST(&ing->blocked)) != NULL) {
        TAILQ_REMOVE(&ing->blocked, s, blocked_link);
        s->blocked = false;
        user[n++] = s->user;
    }
    return n;
}

/* ---- sessions ---- */

void session_log(struct hg_session *s, enum hg_log_level level, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hg_log_limited(&s->ing->log_limit, s->ing->now, level, "ingest", "source %s at %s: %s",
                   s->source, s->peer, text);
}

struct hg_session *hg_session_create(struct hg_ingest *ing, const char *source, const char *peer,
                                     void *user, hg_ns now)
{
    struct hg_session *s = ing->free_session;
    struct hg_svol **volumes;

    ing->now = now;
    if (s == NULL || ing->draining) {
        ing->count.sessions_refused++;
        return NULL;
    }
    ing->free_session = s->next_free;
    volumes = s->volumes;
    memset(s, 0, sizeof *s);
    s->volumes = volumes;
    memset(volumes, 0, ing->cfg.volumes_max * sizeof *volumes);
    s->ing = ing;
    s->user = user;
    s->created = s->last_rx = now;
    STAILQ_INIT(&s->dirty);
    snprintf(s->source, sizeof s->source, "%s", source);
    snprintf(s->peer, sizeof s->peer, "%s", peer);
    s->timer.kind = 0;
    hg_wheel_arm(&ing->wheel, &s->timer, now + SESSION_TICK);
    ing->n_sessions++;
    ing->count.sessions++;
    return s;
}

void session_maybe_free(struct hg_session *s)
{
    struct hg_ingest *ing = s->ing;

    if (!s->closed || s->inflight != 0)
        return;
    for (uint32_t i = 0; i < s->n_volumes; i++)
        if (s->volumes[i]->attaching)
            return; /* its completion calls us again */
    while (s->n_volumes > 0)
        svol_release(s->volumes[--s->n_volumes]);
    ing->reserved -= s->reserved;
    ing->n_sessions--;
    ing->count.sessions_ended++;
    s->next_free = ing->free_session;
    ing->free_session = s;
}

void hg_session_close(struct hg_session *s, hg_ns now)
{
    struct hg_ingest *ing = s->ing;

    ing->now = now;
    s->closed = true;
    if (s->ready)
        TAILQ_REMOVE(&ing->ready, s, ready_link);
    if (s->blocked)
        TAILQ_REMOVE(&ing->blocked, s, blocked_link);
    s->ready = s->blocked = false;
    hg_wheel_stop(&ing->wheel, &s->timer);
    frame_drop_buffers(s);
    session_maybe_free(s);
}

void hg_session_info(const struct hg_session *s, struct hg_session_info *out)
{
    *out = (struct hg_session_info){
        .source = s->source,
        .peer = s->peer,
        .volumes = s->n_volumes,
        .frames = s->frames,
        .raw_bytes = s->raw_bytes,
        .wire_bytes = s->wire_bytes,
        .in_flight = s->credit_spent - s->credit_returned,
        .credit_limit = s->credit_limit,
        .credit_spent = s->credit_spent,
        .errors = s->errors,
        .blocked = s->blocked,
    };
}

/* ---- errors ---- */

void ingest_count_error(struct hg_ingest *ing, unsigned code)
{
    struct hg_ingest_counters *c = &ing->count;
    uint64_t *const by_code[HG_PROTO_ERRORS] = {
        [HG_PROTO_BAD_MAGIC] = &c->err_bad_magic,
        [HG_PROTO_HEADER_CRC] = &c->err_header_crc,
        [HG_PROTO_VERSION] = &c->err_version,
        [HG_PROTO_UNKNOWN_TYPE] = &c->err_unknown_type,
        [HG_PROTO_BAD_STATE] = &c->err_bad_state,
        [HG_PROTO_LIMIT] = &c->err_limit,
        [HG_PROTO_BAD_FIELD] = &c->err_bad_field,
        [HG_PROTO_CODEC] = &c->err_codec,
        [HG_PROTO_DECOMPRESS] = &c->err_decompress,
        [HG_PROTO_PAYLOAD_CRC] = &c->err_payload_crc,
        [HG_PROTO_BOUNDS] = &c->err_bounds,
        [HG_PROTO_SEQ_GAP] = &c->err_seq_gap,
        [HG_PROTO_SEQ_REPLAY] = &c->err_seq_replay,
        [HG_PROTO_NO_SPACE] = &c->err_no_space,
        [HG_PROTO_BUSY] = &c->err_busy,
        [HG_PROTO_SIZE_MISMATCH] = &c->err_open,
        [HG_PROTO_NOT_FOUND] = &c->err_open,
        [HG_PROTO_BAD_NAME] = &c->err_open,
        [HG_PROTO_CREDIT] = &c->err_credit,
        [HG_PROTO_TOO_SLOW] = &c->err_too_slow,
        [HG_PROTO_IDLE] = &c->err_idle,
        [HG_PROTO_SHUTDOWN] = &c->err_shutdown,
        [HG_PROTO_IO_ERROR] = &c->err_io,
        [HG_PROTO_BARRIER_MISMATCH] = &c->err_barrier,
        [HG_PROTO_INTERNAL] = &c->err_internal,
        [HG_PROTO_TOO_MANY_VOLUMES] = &c->err_open,
        [HG_PROTO_SUPERSEDED] = &c->superseded,
        [HG_PROTO_NOT_READING] = &c->err_not_reading,
    };

    if (code < HG_PROTO_ERRORS && by_code[code] != NULL)
        (*by_code[code])++;
}

void session_fail(struct hg_session *s, unsigned code, const char *fmt, ...)
{
    va_list ap;

    if (s->state == S_FAILED || s->state == S_ENDED)
        return;
    va_start(ap, fmt);
    vsnprintf(s->fail_text, sizeof s->fail_text, fmt, ap);
    va_end(ap);
    s->state = S_FAILED;
    s->fail_code = (uint16_t)code;
    if (s->svol != NULL) {
        s->fail_volume = s->svol->handle;
        s->fail_seq = s->frame.seq;
    }
    s->errors++;
    ingest_count_error(s->ing, code);
    frame_drop_buffers(s);
    session_log(s, code == HG_PROTO_SHUTDOWN ? HG_LOG_INFO : HG_LOG_WARN,
                "session ended with %s: %s", hg_proto_error_name(code), s->fail_text);
    session_make_ready(s);
}

/* ---- time ---- */

void hg_session_not_reading(struct hg_session *s, hg_ns now)
{
    s->ing->now = now;
    session_fail(s, HG_PROTO_NOT_READING, "it did not read for %u s",
                 (unsigned)(s->ing->cfg.write_timeout / HG_SEC(1)));
    s->finished = true; /* there is no way to say it */
    session_make_ready(s);
}

static void session_tick(struct hg_session *s, hg_ns now)
{
    const struct hg_ingest_cfg *c = &s->ing->cfg;
    hg_ns quiet = now - s->last_rx;

    if (s->state == S_HELLO && now - s->created >= c->hello_timeout)
        session_fail(s, HG_PROTO_TOO_SLOW, "no HELLO within %u s",
                     (unsigned)(c->hello_timeout / HG_SEC(1)));
    if (s->frame_started != 0 && !s->blocked && now - s->frame_started >= c->frame_timeout)
        session_fail(s, HG_PROTO_TOO_SLOW, "a frame was not complete after %u s",
                     (unsigned)(c->frame_timeout / HG_SEC(1)));
    if (s->output_since != 0 && now - s->output_since >= c->write_timeout)
        hg_session_not_reading(s, now);
    if (s->state == S_OPEN && quiet >= 2 * c->idle) {
        session_fail(s, HG_PROTO_IDLE, "silent for %u s", (unsigned)(quiet / HG_SEC(1)));
    } else if (s->state == S_OPEN && quiet >= c->idle && s->ping_sent < s->last_rx + c->idle) {
        s->ping_sent = now;
        s->say_ping = true;
        session_make_ready(s);
    }
    if (s->drain_deadline != 0 && now >= s->drain_deadline)
        session_fail(s, HG_PROTO_SHUTDOWN, "the node is stopping");
    hg_wheel_arm(&s->ing->wheel, &s->timer, now + SESSION_TICK);
}

void hg_ingest_poll(struct hg_ingest *ing, hg_ns now)
{
    struct hg_timer *expired[TIMER_BATCH];
    unsigned n;

    ing->now = now;
    do {
        n = hg_wheel_advance(&ing->wheel, now, expired, TIMER_BATCH);
        for (unsigned i = 0; i < n; i++)
            session_tick(HG_CONTAINER_OF(expired[i], struct hg_session, timer), now);
    } while (n == TIMER_BATCH);
    if (ing->opening != 0 && now >= ing->open_retry) {
        ing->open_retry = now + OPEN_RETRY;
        svol_retry_opening(ing);
    }
}

hg_ns hg_ingest_next(const struct hg_ingest *ing)
{
    hg_ns next = hg_wheel_next(&ing->wheel);

    if (ing->opening != 0 && (next == 0 || ing->open_retry < next))
        next = ing->open_retry;
    if (!TAILQ_EMPTY(&ing->blocked) && (next == 0 || ing->blocked_retry < next))
        next = ing->blocked_retry;
    return next;
}

static void session_drain(struct hg_session *s)
{
    if (s->state == S_HELLO) {
        session_fail(s, HG_PROTO_SHUTDOWN, "the node is stopping");
    } else if (s->state == S_OPEN) {
        s->state = S_DRAINING;
        s->bye_due = true;
        s->drain_deadline = s->ing->now + DRAIN_GRACE;
        session_make_ready(s);
    }
}

void hg_ingest_drain(struct hg_ingest *ing, hg_ns now)
{
    ing->now = now;
    ing->draining = true;
    for (uint32_t i = 0; i < ing->cfg.sessions_max; i++) {
        struct hg_session *s = &ing->sessions[i];

        if (s->ing != NULL && !s->closed)
            session_drain(s);
    }
}
