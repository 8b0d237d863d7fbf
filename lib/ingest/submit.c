/* SPDX-License-Identifier: BSD-3-Clause */
/* What frames ask of the store, and what its completions mean to the session. */
#include "ingest.h"
#include <errno.h>
#include <string.h>

struct hg_ireq *ireq_get(struct hg_session *s)
{
    struct hg_ireq *r = s->ing->free_req;

    if (r != NULL)
        s->ing->free_req = r->next_free;
    return r;
}

static void ireq_put(struct hg_ingest *ing, struct hg_ireq *r)
{
    r->next_free = ing->free_req;
    ing->free_req = r;
}

/* The frame is durable (or the store failed). Invariant 4: in order of submission. */
static void ireq_done(struct hg_store_req *base)
{
    struct hg_ireq *r = HG_CONTAINER_OF(base, struct hg_ireq, base);
    struct hg_svol *v = r->svol;
    struct hg_session *s = v->sess;
    struct hg_ingest *ing = s->ing;

    if (base->buf != NULL)
        hg_arena_free(ing->cfg.arena, base->buf);
    s->inflight--;
    v->inflight--;
    s->credit_returned += r->cost;
    if (base->status == 0) {
        v->durable_seq = r->seq;
        if (r->type == HG_FRAME_BARRIER) {
            v->consistent_seq = r->seq;
            v->epoch = r->epoch;
        }
    }
    ireq_put(ing, r);
    if (s->closed) {
        session_maybe_free(s);
        return;
    }
    if (base->status != 0)
        session_fail(s, HG_PROTO_IO_ERROR, "writing to %s failed: %s", v->name,
                     strerror(-base->status));
    else
        svol_dirty(v);
}

static struct hg_ireq *ireq_for_frame(struct hg_session *s)
{
    struct hg_ireq *r = ireq_get(s);

    if (r == NULL)
        return NULL;
    *r = (struct hg_ireq){
        .base = {.done = ireq_done, .vol = s->svol->vol},
        .svol = s->svol,
        .seq = s->frame.seq,
        .epoch = s->frame.epoch,
        .cost = hg_frame_cost(&s->frame),
        .type = s->frame.type,
    };
    if (s->frame.type != HG_FRAME_BARRIER) /* whose offset is a count of bytes */
        r->base.offset = s->frame.offset;
    return r;
}

/* The store answered `rc`: taken, or what to do instead. Invariant 3. */
static enum step settle(struct hg_session *s, struct hg_ireq *r, int rc)
{
    struct hg_svol *v = s->svol;

    switch (rc) {
    case 0:
        s->inflight++;
        v->inflight++;
        v->next_seq++;
        v->received_seq = r->seq;
        v->failures = 0;
        v->frames++;
        s->frames++;
        if (s->levels & (1u << HG_ACK_RECEIVED))
            svol_dirty(v);
        return STEP_OK;
    case -EAGAIN:
        ireq_put(s->ing, r);
        return STEP_BLOCKED;
    case -ENOSPC:
        ireq_put(s->ing, r);
        s->credit_returned += hg_frame_cost(&s->frame);
        svol_error(v, HG_PROTO_NO_SPACE, s->frame.seq,
                   "the pool is full; add space, or wait until some is freed");
        return STEP_OK;
    default:
        ireq_put(s->ing, r);
        session_fail(s, HG_PROTO_IO_ERROR, "the store refused a write to %s: %s", v->name,
                     strerror(-rc));
        return STEP_FAILED;
    }
}

enum step submit_data(struct hg_session *s)
{
    struct hg_ireq *r = ireq_for_frame(s);
    uint32_t raw = s->frame.raw_len;
    enum step step;

    if (r == NULL)
        return STEP_BLOCKED;
    r->base.buf = s->raw_buf;
    r->base.len = (raw + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
    step = settle(s, r, hg_store_write(s->ing->cfg.store, &r->base, s->ing->crc, s->frame.seq));
    if (step == STEP_OK && s->svol->rewinding == false) {
        s->raw_buf = NULL; /* the request's now */
        s->svol->bytes += raw;
        s->raw_bytes += raw;
        s->wire_bytes += s->frame.payload_len;
        s->ing->count.frames_data++;
        s->ing->count.raw_bytes += raw;
        s->ing->count.wire_bytes += s->frame.payload_len;
    }
    return step;
}

enum step submit_zero(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    struct hg_ireq *r = ireq_for_frame(s);
    uint64_t len = (f->arg + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
    enum step step;

    if (r == NULL)
        return STEP_BLOCKED;
    step = settle(s, r, hg_store_zero(s->ing->cfg.store, &r->base, len, f->seq));
    if (step == STEP_OK && s->svol->rewinding == false) {
        if (f->type == HG_FRAME_ZERO)
            s->ing->count.frames_zero++;
        else
            s->ing->count.frames_trim++;
        s->ing->count.zero_bytes += f->arg;
    }
    return step;
}

/* Section 4, BARRIER: the counts are those of this session. */
enum step submit_barrier(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    struct hg_svol *v = s->svol;
    struct hg_ireq *r;
    enum step step;

    if (f->epoch <= v->epoch_submitted || f->arg != v->frames || f->offset != v->bytes) {
        s->credit_returned += hg_frame_cost(f);
        svol_error(v, HG_PROTO_BARRIER_MISMATCH, f->seq,
                   f->epoch <= v->epoch_submitted ? "the epoch is closed already"
                                                  : "frames or bytes differ from what arrived");
        return STEP_OK;
    }
    r = ireq_for_frame(s);
    if (r == NULL)
        return STEP_BLOCKED;
    step = settle(s, r, hg_store_epoch(s->ing->cfg.store, &r->base, f->epoch, f->seq));
    if (step == STEP_OK && v->rewinding == false) {
        v->epoch_submitted = f->epoch;
        v->frames = 0;
        v->bytes = 0;
        s->ing->count.frames_barrier++;
    }
    return step;
}
