/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One frame: what must hold before its payload is taken (frame_begin) and what it does when it is
 * complete (frame_finish). Both may answer STEP_BLOCKED and are then called again with the same
 * frame. Sections are docs/protocol.md's.
 */
#include "ingest.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void frame_drop_buffers(struct hg_session *s)
{
    if (s->wire_buf != NULL)
        hg_arena_free(s->ing->cfg.arena, s->wire_buf);
    if (s->raw_buf != NULL)
        hg_arena_free(s->ing->cfg.arena, s->raw_buf);
    s->wire_buf = s->raw_buf = s->payload_dst = NULL;
    s->frame_started = 0;
}

static bool sequenced(uint8_t type)
{
    return type >= HG_FRAME_DATA && type <= HG_FRAME_BARRIER;
}

/* ---- begin ---- */

/* Section 5 and 6: is this the next frame of its volume? Sets s->discard for frames that a rewind
 * or a closed volume skips. */
static enum step begin_sequence(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    struct hg_svol *v = s->svol;

    if (v->state == V_CLOSED) {
        s->discard = true;
        return STEP_OK;
    }
    if (v->state != V_OPEN) {
        session_fail(s, HG_PROTO_BAD_STATE, "%s on handle %u before OPENED",
                     hg_frame_type_name(f->type), f->volume);
        return STEP_FAILED;
    }
    if (v->rewinding) {
        if (f->seq == v->next_seq && (f->flags & HG_FRAME_RETRANSMIT) != 0)
            v->rewinding = false;
        else
            s->discard = true;
        return STEP_OK;
    }
    if (f->seq != v->next_seq) {
        unsigned code = f->seq > v->next_seq ? HG_PROTO_SEQ_GAP : HG_PROTO_SEQ_REPLAY;

        session_fail(s, code, "frame %llu on volume %s, expected %llu", (unsigned long long)f->seq,
                     v->name, (unsigned long long)v->next_seq);
        return STEP_FAILED;
    }
    return STEP_OK;
}

/* Section 3: the extent lies in the volume and is aligned, or ends exactly at its end. */
static bool extent_ok(const struct hg_svol *v, uint64_t offset, uint64_t len)
{
    if (offset > v->size || len > v->size - offset)
        return false;
    return len % HG_BLOCK == 0 || offset + len == v->size;
}

static enum step begin_sequenced(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    uint32_t cost = hg_frame_cost(f);
    enum step step;

    s->svol = svol_find(s, f->volume);
    if (s->svol == NULL) {
        session_fail(s, HG_PROTO_BAD_STATE, "%s on handle %u, which was never opened",
                     hg_frame_type_name(f->type), f->volume);
        return STEP_FAILED;
    }
    step = begin_sequence(s);
    if (step != STEP_OK)
        return step;
    s->credit_spent += cost;
    if (s->credit_spent > s->credit_limit) {
        session_fail(s, HG_PROTO_CREDIT, "%llu bytes sent, %llu granted",
                     (unsigned long long)s->credit_spent, (unsigned long long)s->credit_limit);
        return STEP_FAILED;
    }
    if (!s->discard && f->type != HG_FRAME_BARRIER &&
        !extent_ok(s->svol, f->offset, f->type == HG_FRAME_DATA ? f->raw_len : f->arg)) {
        svol_error(s->svol, HG_PROTO_BOUNDS, f->seq,
                   "extent beyond the volume's end or not aligned");
        s->discard = true;
    }
    if (s->discard) {
        s->credit_returned += cost;
        s->ing->count.frames_discarded++;
        session_make_ready(s); /* for the credit */
    }
    return STEP_OK;
}

/* Which frames may come now; section 9. */
static enum step begin_state(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    bool allowed;

    switch (f->type) {
    case HG_FRAME_HELLO:
        allowed = s->state == S_HELLO;
        break;
    case HG_FRAME_ERROR:
        allowed = true;
        break;
    case HG_FRAME_OPEN:
    case HG_FRAME_DATA:
    case HG_FRAME_ZERO:
    case HG_FRAME_TRIM:
    case HG_FRAME_BARRIER:
        /* What was on its way when the node said BYE is still taken. */
        allowed = s->state == S_OPEN || (s->state == S_DRAINING && !s->bye_received);
        break;
    case HG_FRAME_PING:
    case HG_FRAME_PONG:
    case HG_FRAME_BYE:
        allowed = s->state == S_OPEN || s->state == S_DRAINING;
        break;
    default:
        allowed = f->type > HG_FRAME_BYE && s->state != S_HELLO; /* ignorable, checked */
        break;
    }
    if (!allowed) {
        session_fail(s, HG_PROTO_BAD_STATE, "%s is not allowed now", hg_frame_type_name(f->type));
        return STEP_FAILED;
    }
    return STEP_OK;
}

/* A place for the payload of DATA. Compressed bytes are collected first, stored ones go straight to
 * the extent. */
static enum step begin_buffers(struct hg_session *s)
{
    struct hg_arena *arena = s->ing->cfg.arena;

    if (s->frame.codec == HG_CODEC_STORED) {
        s->raw_buf = hg_arena_alloc(arena, s->frame.raw_len);
        s->payload_dst = s->raw_buf;
    } else {
        s->wire_buf = hg_arena_alloc(arena, s->frame.payload_len);
        s->payload_dst = s->wire_buf;
    }
    return s->payload_dst == NULL ? STEP_BLOCKED : STEP_OK;
}

/* Few frames carry such a payload: no session has room of its own for it. */
static enum step begin_control(struct hg_session *s)
{
    s->payload_dst = NULL;
    if (s->frame.payload_len == 0)
        return STEP_OK;
    s->wire_buf = hg_arena_alloc(s->ing->cfg.arena, s->frame.payload_len);
    s->payload_dst = s->wire_buf;
    return s->wire_buf == NULL ? STEP_BLOCKED : STEP_OK;
}

enum step frame_begin(struct hg_session *s)
{
    const struct hg_frame_limits limits = {s->max_raw, s->codecs, HG_BLOCK};
    enum step step;
    int code;

    if (s->svol == NULL) { /* first call for this frame */
        s->discard = false;
        code = hg_frame_check(&s->frame, &limits);
        if (s->state == S_HELLO && s->frame.type != HG_FRAME_HELLO &&
            s->frame.type != HG_FRAME_ERROR)
            code = HG_PROTO_BAD_STATE;
        if (code != 0) {
            session_fail(s, (unsigned)code, "%s with payload %u, raw %u, codec %u",
                         hg_frame_type_name(s->frame.type), s->frame.payload_len, s->frame.raw_len,
                         s->frame.codec);
            return STEP_FAILED;
        }
        step = begin_state(s);
        if (step == STEP_OK && sequenced(s->frame.type))
            step = begin_sequenced(s);
        if (step != STEP_OK)
            return step;
    }
    if (s->discard || s->frame.type > HG_FRAME_BYE) {
        s->payload_dst = NULL;
        return STEP_OK;
    }
    if (s->frame.type == HG_FRAME_DATA)
        return begin_buffers(s);
    return begin_control(s);
}

/* ---- finish ---- */

/* The frame failed its own check: ask for it again, or give up when it fails every time. */
static enum step frame_refuse(struct hg_session *s, unsigned code, const char *why)
{
    struct hg_svol *v = s->svol;

    s->credit_returned += hg_frame_cost(&s->frame);
    if (++v->failures >= SVOL_FAILURES_MAX) {
        session_fail(s, code, "frame %llu on volume %s failed %u times: %s",
                     (unsigned long long)s->frame.seq, v->name, v->failures, why);
        return STEP_FAILED;
    }
    svol_error(v, code, s->frame.seq, why);
    return STEP_OK;
}

static const char *inflate_sentence(int rc)
{
    switch (rc) {
    case -ENODATA:
        return "deflate stream ends early or is shorter than raw_len";
    case -EOVERFLOW:
        return "deflate stream is longer than raw_len";
    case -E2BIG:
        return "bytes are left after the deflate stream";
    default:
        return "deflate stream is malformed";
    }
}

static enum step finish_data(struct hg_session *s)
{
    struct hg_ingest *ing = s->ing;
    const struct hg_frame *f = &s->frame;
    uint32_t tail = f->raw_len % HG_BLOCK;

    if (hg_store_write_waits(ing->cfg.store, s->svol->vol, f->raw_len))
        return STEP_BLOCKED;
    if (s->wire_buf != NULL) {
        int rc;

        if (s->raw_buf == NULL)
            s->raw_buf = hg_arena_alloc(ing->cfg.arena, f->raw_len);
        if (s->raw_buf == NULL)
            return STEP_BLOCKED;
        rc = hg_inflate(ing->inflate, s->raw_buf, f->raw_len, s->wire_buf, f->payload_len);
        hg_arena_free(ing->cfg.arena, s->wire_buf);
        s->wire_buf = NULL;
        if (rc != 0)
            return frame_refuse(s, HG_PROTO_DECOMPRESS, inflate_sentence(rc));
    }
    if (hg_crc32c_blocks(s->raw_buf, f->raw_len, ing->crc) != f->payload_crc)
        return frame_refuse(s, HG_PROTO_PAYLOAD_CRC, "payload does not match its CRC");
    if (tail != 0)
        memset(s->raw_buf + f->raw_len, 0, HG_BLOCK - tail);
    return submit_data(s);
}

static enum step finish_hello(struct hg_session *s)
{
    struct hg_ingest *ing = s->ing;
    const struct hg_ingest_cfg *c = &ing->cfg;
    struct hg_hello_wire h;
    uint32_t want, block;

    if (s->frame.payload_len < sizeof h) {
        session_fail(s, HG_PROTO_LIMIT, "HELLO of %u bytes", s->frame.payload_len);
        return STEP_FAILED;
    }
    memcpy(&h, s->wire_buf, sizeof h);
    memcpy(s->id, h.session, sizeof s->id);
    s->codecs = (hg_le32_get(h.codecs) & (1u << HG_CODEC_DEFLATE)) | (1u << HG_CODEC_STORED);
    s->max_raw = hg_le32_get(h.max_raw);
    if (s->max_raw < HG_BLOCK || s->max_raw > c->max_raw)
        s->max_raw = s->max_raw < HG_BLOCK ? HG_BLOCK : c->max_raw;
    s->levels = hg_le32_get(h.levels) &
                (1u << HG_ACK_RECEIVED | 1u << HG_ACK_DURABLE | 1u << HG_ACK_CONSISTENT);
    if (s->levels == 0)
        s->levels = 1u << HG_ACK_DURABLE;
    block = hg_arena_cost(s->max_raw);
    want = hg_le32_get(h.want_credit);
    if (want == 0 || want > c->credit)
        want = c->credit;
    s->grant = want < block ? block : want;
    s->reserved = s->grant + block;
    if (ing->reserved + s->reserved > hg_arena_total(c->arena)) {
        s->reserved = 0;
        session_fail(s, HG_PROTO_BUSY, "no buffers for another session of %u bytes", s->grant);
        return STEP_FAILED;
    }
    ing->reserved += s->reserved;
    s->credit_limit = s->credit_said = s->grant;
    s->state = S_OPEN;
    s->say_welcome = true;
    session_make_ready(s);
    return STEP_OK;
}

static enum step finish_error(struct hg_session *s)
{
    struct hg_error_wire e;
    char text[128] = "";

    s->ing->count.source_errors++;
    if (s->frame.payload_len >= sizeof e) {
        uint32_t len = s->frame.payload_len - (uint32_t)sizeof e;

        memcpy(&e, s->wire_buf, sizeof e);
        if (len >= sizeof text)
            len = sizeof text - 1;
        memcpy(text, s->wire_buf + sizeof e, len);
        for (char *p = text; *p != '\0'; p++)
            if (*p < ' ' || *p > '~')
                *p = '?';
        session_log(s, HG_LOG_WARN, "the source reports %s: %s",
                    hg_proto_error_name(hg_le16_get(e.code)), text);
    }
    return STEP_OK;
}

static enum step finish_control(struct hg_session *s)
{
    s->ing->count.frames_other++;
    switch (s->frame.type) {
    case HG_FRAME_HELLO:
        return finish_hello(s);
    case HG_FRAME_OPEN:
        return svol_open(s);
    case HG_FRAME_PING:
        s->say_pong = true;
        s->pong_arg = s->frame.arg;
        session_make_ready(s);
        return STEP_OK;
    case HG_FRAME_BYE:
        s->state = S_DRAINING;
        s->bye_received = true;
        session_make_ready(s);
        return STEP_OK;
    case HG_FRAME_ERROR:
        return finish_error(s);
    default:
        return STEP_OK;
    }
}

enum step frame_finish(struct hg_session *s)
{
    if (s->frame.type > HG_FRAME_BYE) {
        s->ing->count.frames_ignored++;
        return STEP_OK;
    }
    if (s->discard)
        return STEP_OK;
    switch (s->frame.type) {
    case HG_FRAME_DATA:
        return finish_data(s);
    case HG_FRAME_ZERO:
    case HG_FRAME_TRIM:
        return submit_zero(s);
    case HG_FRAME_BARRIER:
        return submit_barrier(s);
    default:
        return finish_control(s);
    }
}
