/* SPDX-License-Identifier: BSD-3-Clause */
/* A session's two ends: plaintext in (cut into frames), frames out (made from state). */
#include "ingest.h"
#include <stdio.h>
#include <rte_prefetch.h>
#include <string.h>

/* ---- in ---- */

static void next_frame(struct hg_session *s)
{
    frame_drop_buffers(s);
    s->phase = P_HEADER;
    s->header_len = 0;
    s->payload_len = 0;
    s->svol = NULL;
}

/* Collects the header; the common case has all of it in one piece. */
static uint32_t take_header(struct hg_session *s, const uint8_t *data, uint32_t len)
{
    uint32_t n = HG_FRAME_HEADER - s->header_len;
    int code;

    if (n > len)
        n = len;
    if (s->header_len == 0)
        s->frame_started = s->ing->now;
    memcpy(s->header + s->header_len, data, n);
    s->header_len += n;
    if (s->header_len < HG_FRAME_HEADER)
        return n;
    code = hg_frame_get(s->header, &s->frame);
    if (code != 0)
        session_fail(s, (unsigned)code, "%s",
                     code == HG_PROTO_BAD_MAGIC ? "these bytes are no frame header"
                                                : "frame header does not match its CRC");
    else
        s->phase = P_BEGIN;
    return n;
}

static uint32_t take_payload(struct hg_session *s, const uint8_t *data, uint32_t len)
{
    uint32_t n = s->frame.payload_len - s->payload_len;

    if (n > len)
        n = len;
    if (s->payload_dst != NULL && s->payload_dst + s->payload_len != data)
        memcpy(s->payload_dst + s->payload_len, data, n);
    s->payload_len += n;
    if (s->payload_len == s->frame.payload_len)
        s->phase = P_FINISH;
    return n;
}

uint8_t *hg_session_sink(struct hg_session *s, uint32_t room)
{
    if (s->phase != P_PAYLOAD || s->payload_dst == NULL || s->state == S_FAILED ||
        s->frame.type != HG_FRAME_DATA || s->frame.payload_len - s->payload_len < room)
        return NULL;
    return s->payload_dst + s->payload_len;
}

/* Does what needs no more bytes. */
static enum step advance(struct hg_session *s)
{
    enum step step = STEP_OK;

    if (s->phase == P_BEGIN) {
        step = frame_begin(s);
        if (step == STEP_OK)
            s->phase = s->frame.payload_len == 0 ? P_FINISH : P_PAYLOAD;
    }
    if (step == STEP_OK && s->phase == P_FINISH) {
        step = frame_finish(s);
        if (step == STEP_OK)
            next_frame(s);
    }
    return step;
}

uint32_t hg_session_input(struct hg_session *s, const uint8_t *data, uint32_t len, hg_ns now)
{
    uint32_t taken = 0;

    s->ing->now = now;
    if (len != 0)
        s->last_rx = now;
    for (;;) {
        /* After a failure whatever still comes is thrown away. */
        if (s->state == S_FAILED || s->state == S_ENDED)
            return len;
        if (s->phase == P_BEGIN || s->phase == P_FINISH) {
            if (advance(s) == STEP_BLOCKED) {
                session_make_blocked(s);
                return taken;
            }
            continue;
        }
        if (taken == len)
            return taken;
        if (s->phase == P_HEADER)
            taken += take_header(s, data + taken, len - taken);
        else
            taken += take_payload(s, data + taken, len - taken);
    }
}

void hg_session_prefetch(const struct hg_session *s)
{
    for (size_t at = 0; at < offsetof(struct hg_session, created); at += RTE_CACHE_LINE_SIZE)
        rte_prefetch0((const uint8_t *)s + at);
}

bool hg_session_blocked(const struct hg_session *s)
{
    return s->blocked;
}

/* ---- out ---- */

struct out {
    uint8_t *dst;
    uint32_t len, cap;
};

static bool out_frame(struct out *o, struct hg_frame *f, const void *payload, uint32_t len)
{
    if (o->cap - o->len < HG_FRAME_HEADER + len)
        return false;
    f->payload_len = f->raw_len = len;
    f->payload_crc = len == 0 ? 0 : hg_crc32c(payload, len);
    hg_frame_put(o->dst + o->len, f);
    if (len != 0)
        memcpy(o->dst + o->len + HG_FRAME_HEADER, payload, len);
    o->len += HG_FRAME_HEADER + len;
    return true;
}

/* What an ERROR frame says; section 6. */
struct complaint {
    unsigned code;
    uint8_t scope, retry;
    uint32_t retry_ms, volume;
    uint64_t seq;
    const char *text;
};

static bool out_error(struct out *o, const struct complaint *c)
{
    uint8_t payload[sizeof(struct hg_error_wire) + HG_PROTO_TEXT_MAX];
    struct hg_error_wire w = {hg_le16_put((uint16_t)c->code), c->scope, c->retry,
                              hg_le32_put(c->retry_ms)};
    size_t len = strnlen(c->text, HG_PROTO_TEXT_MAX);
    struct hg_frame f = {.type = HG_FRAME_ERROR, .volume = c->volume, .seq = c->seq};

    memcpy(payload, &w, sizeof w);
    memcpy(payload + sizeof w, c->text, len);
    return out_frame(o, &f, payload, (uint32_t)(sizeof w + len));
}

static bool out_welcome(struct hg_session *s, struct out *o)
{
    const struct hg_ingest_cfg *c = &s->ing->cfg;
    uint8_t payload[sizeof(struct hg_welcome_wire) + HG_PROTO_AGENT_MAX];
    size_t agent = strnlen(c->agent, HG_PROTO_AGENT_MAX);
    struct hg_welcome_wire w = {
        .codecs = hg_le32_put(s->codecs),
        .max_raw = hg_le32_put(s->max_raw),
        .levels = hg_le32_put(s->levels),
        .block = hg_le32_put(HG_BLOCK),
        .max_volumes = hg_le32_put(c->volumes_max),
        .idle_ms = hg_le32_put((uint32_t)(c->idle / HG_MS(1))),
        .credit = hg_le64_put(s->credit_limit),
    };
    struct hg_frame f = {.type = HG_FRAME_WELCOME};

    memcpy(w.session, s->id, sizeof w.session);
    memcpy(payload, &w, sizeof w);
    memcpy(payload + sizeof w, c->agent, agent);
    return out_frame(o, &f, payload, (uint32_t)(sizeof w + agent));
}

static bool out_ack(struct hg_svol *v, struct out *o, enum hg_ack_level level, uint64_t seq)
{
    struct hg_frame f = {.type = HG_FRAME_ACK,
                         .volume = v->handle,
                         .level = (uint8_t)level,
                         .seq = seq,
                         .epoch = v->epoch};

    if (!out_frame(o, &f, NULL, 0))
        return false;
    v->sess->ing->count.acks++;
    return true;
}

static bool out_volume_error(struct hg_svol *v, struct out *o)
{
    char text[HG_PROTO_TEXT_MAX];
    struct complaint c = {
        .code = v->say_error,
        .scope = (uint8_t)hg_proto_error_scope(v->say_error),
        .retry = v->say_retry,
        .retry_ms = v->say_retry_ms,
        .volume = v->handle,
        .seq = v->say_error_seq,
        .text = text,
    };

    snprintf(text, sizeof text, "%s: %s", v->name, hg_proto_error_name(v->say_error));
    return out_error(o, &c);
}

/* Everything there is to say about one volume; false when it did not fit. */
static bool out_volume(struct hg_svol *v, struct out *o)
{
    uint32_t levels = v->sess->levels;

    if (v->say_opened) {
        struct hg_frame f = {.type = HG_FRAME_OPENED,
                             .volume = v->handle,
                             .arg = v->size,
                             .seq = v->next_seq - 1,
                             .epoch = v->epoch};

        if (!out_frame(o, &f, NULL, 0))
            return false;
        v->say_opened = false;
    }
    if ((levels & (1u << HG_ACK_RECEIVED)) && v->received_seq > v->said_received) {
        if (!out_ack(v, o, HG_ACK_RECEIVED, v->received_seq))
            return false;
        v->said_received = v->received_seq;
    }
    if ((levels & (1u << HG_ACK_DURABLE)) && v->durable_seq > v->said_durable) {
        if (!out_ack(v, o, HG_ACK_DURABLE, v->durable_seq))
            return false;
        v->said_durable = v->durable_seq;
    }
    if ((levels & (1u << HG_ACK_CONSISTENT)) && v->consistent_seq > v->said_consistent) {
        if (!out_ack(v, o, HG_ACK_CONSISTENT, v->consistent_seq))
            return false;
        v->said_consistent = v->consistent_seq;
    }
    if (v->say_error != 0) {
        if (!out_volume_error(v, o))
            return false;
        v->say_error = 0;
    }
    return true;
}

static bool out_credit(struct hg_session *s, struct out *o)
{
    uint64_t limit = s->grant + s->credit_returned;
    struct hg_frame f = {.type = HG_FRAME_CREDIT, .arg = limit};

    /* Small steps would cost a frame each: a quarter of the grant keeps the source going; but when
     * nothing is in flight no later completion will say it. */
    if (s->state != S_OPEN || limit == s->credit_said)
        return true;
    if (limit - s->credit_said < s->grant / 4 && s->inflight != 0)
        return true;
    if (!out_frame(o, &f, NULL, 0))
        return false;
    s->credit_limit = s->credit_said = limit;
    s->ing->count.credits++;
    return true;
}

static bool out_small(struct hg_session *s, struct out *o)
{
    struct hg_frame pong = {.type = HG_FRAME_PONG, .arg = s->pong_arg};
    struct hg_frame ping = {.type = HG_FRAME_PING, .arg = s->ping_sent};
    struct hg_frame bye = {.type = HG_FRAME_BYE};

    if (s->say_welcome && !out_welcome(s, o))
        return false;
    s->say_welcome = false;
    if (s->say_pong && !out_frame(o, &pong, NULL, 0))
        return false;
    s->say_pong = false;
    if (s->say_ping && !out_frame(o, &ping, NULL, 0))
        return false;
    s->say_ping = false;
    if (s->bye_due && !s->bye_said) {
        if (!out_frame(o, &bye, NULL, 0))
            return false;
        s->bye_said = true;
    }
    return true;
}

static void out_fail(struct hg_session *s, struct out *o)
{
    struct complaint c = {
        .code = s->fail_code,
        .scope = HG_SCOPE_SESSION,
        .retry = (uint8_t)hg_proto_error_retry(s->fail_code),
        .retry_ms = hg_proto_error_retry(s->fail_code) == HG_RETRY_AFTER ? 1000 : 0,
        .volume = s->fail_volume,
        .seq = s->fail_seq,
        .text = s->fail_text,
    };

    if (out_error(o, &c)) {
        s->state = S_ENDED;
        s->finished = true;
    }
}

/* Section 8: both said BYE, nothing in flight, everything acknowledged. */
static void maybe_end(struct hg_session *s, struct out *o)
{
    if (s->state != S_DRAINING || !s->bye_received || s->inflight != 0 || !STAILQ_EMPTY(&s->dirty))
        return;
    s->bye_due = true;
    if (out_small(s, o)) {
        s->state = S_ENDED;
        s->finished = true;
    }
}

uint32_t hg_session_output(struct hg_session *s, uint8_t *dst, uint32_t cap, hg_ns now)
{
    struct out o = {dst, 0, cap};
    struct hg_svol *v;
    bool fits = true;

    s->ing->now = now;
    if (s->state == S_ENDED)
        return 0;
    if (s->state == S_FAILED) {
        if (!s->finished)
            out_fail(s, &o);
        return o.len;
    }
    fits = out_small(s, &o);
    while (fits && (v = STAILQ_FIRST(&s->dirty)) != NULL) {
        fits = out_volume(v, &o);
        if (fits) {
            STAILQ_REMOVE_HEAD(&s->dirty, dirty_link);
            v->dirty = false;
        }
    }
    if (fits && out_credit(s, &o))
        maybe_end(s, &o);
    if (o.len == 0)
        s->output_since = 0;
    return o.len;
}

bool hg_session_finished(const struct hg_session *s)
{
    return s->finished;
}
