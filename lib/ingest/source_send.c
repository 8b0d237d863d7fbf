/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames out: control frames first, then sequenced frames, one volume after the other. */
#include "source_impl.h"
#include <headgate/codec.h>
#include <assert.h>
#include <errno.h>

static void put_header(struct hg_source *src, const struct hg_frame *f, struct hg_source_frame *out)
{
    hg_frame_put(out->header, f);
    out->type = f->type;
    out->payload_len = f->payload_len;
    src->stats.frames++;
    src->stats.wire_bytes += HG_FRAME_HEADER + f->payload_len;
}

/* A frame that is not DATA; its payload, if any, is in src->control. */
static int control_frame(struct hg_source *src, struct hg_frame f, uint32_t len,
                         struct hg_source_frame *out)
{
    f.minor = HG_PROTO_MINOR;
    f.payload_len = len;
    f.raw_len = len;
    f.payload_crc = len == 0 ? 0 : hg_crc32c(src->control, len);
    put_header(src, &f, out);
    out->payload = len == 0 ? NULL : src->control;
    return 1;
}

static int send_hello(struct hg_source *src, struct hg_source_frame *out)
{
    struct hg_hello_wire w = {
        .codecs = hg_le32_put(src->cfg.codecs),
        .max_raw = hg_le32_put(src->cfg.max_raw),
        .levels = hg_le32_put(src->cfg.levels),
        .want_credit = hg_le32_put(src->cfg.depth),
    };
    size_t agent_len = strlen(src->agent);

    memcpy(w.session, src->session, sizeof w.session);
    memcpy(src->control, &w, sizeof w);
    memcpy(src->control + sizeof w, src->agent, agent_len);
    src->hello_due = false;
    return control_frame(src, (struct hg_frame){.type = HG_FRAME_HELLO},
                         (uint32_t)(sizeof w + agent_len), out);
}

/* Tells the node why we leave, so that its log has it too. */
static int send_error(struct hg_source *src, struct hg_source_frame *out)
{
    struct hg_error_wire w = {
        .code = hg_le16_put((uint16_t)src->end.code),
        .scope = HG_SCOPE_SESSION,
        .retry = (uint8_t)src->end.retry,
    };
    size_t len = strnlen(src->end.text, HG_PROTO_TEXT_MAX);

    memcpy(src->control, &w, sizeof w);
    memcpy(src->control + sizeof w, src->end.text, len);
    src->error_due = false;
    return control_frame(src, (struct hg_frame){.type = HG_FRAME_ERROR}, (uint32_t)(sizeof w + len),
                         out);
}

static int send_open(struct hg_source *src, struct hg_source_frame *out)
{
    for (; src->open_scan < src->n_volumes; src->open_scan++) {
        struct volume *vol = src->volumes[src->open_scan];
        size_t len;

        if (vol->state != VOL_OPEN_DUE || vol->hold_until != 0)
            continue;
        len = strlen(vol->name);
        memcpy(src->control, vol->name, len);
        vol->state = VOL_OPENING;
        src->open_scan++;
        return control_frame(src,
                             (struct hg_frame){.type = HG_FRAME_OPEN,
                                               .volume = vol->index + 1,
                                               .arg = vol->info.size},
                             (uint32_t)len, out);
    }
    return 0;
}

/* What comes before sequenced frames, in HG_SOURCE_OPEN. */
static int next_control(struct hg_source *src, struct hg_source_frame *out)
{
    int rc;

    if (src->pong_due) {
        src->pong_due = false;
        src->stats.pings++;
        return control_frame(src, (struct hg_frame){.type = HG_FRAME_PONG, .arg = src->pong_arg}, 0,
                             out);
    }
    if (src->ping_due) {
        src->ping_due = false;
        return control_frame(src, (struct hg_frame){.type = HG_FRAME_PING, .arg = src->last_input},
                             0, out);
    }
    rc = send_open(src, out);
    if (rc != 0)
        return rc;
    if (src->bye_due) {
        src->bye_due = false;
        src->bye_sent = true;
        return control_frame(src, (struct hg_frame){.type = HG_FRAME_BYE}, 0, out);
    }
    return 0;
}

/* ---- sequenced frames ---- */

/* Section 7, and our own bound. */
static bool session_credit(struct hg_source *src, uint32_t cost)
{
    if (src->cfg.depth != 0 && src->inflight != 0 && src->inflight + cost > src->cfg.depth)
        return false;
    if (src->cost_sent + cost <= src->cost_limit)
        return true;
    if (!src->credit_short)
        src->stats.credit_waits++;
    src->credit_short = true;
    return false;
}

/* The first volume that may send; drops those from the queue that may not. */
static struct volume *ready_peek(struct hg_source *src)
{
    while (src->ready_head != NULL) {
        struct volume *vol = src->ready_head;

        if (vol->state == VOL_OPEN && vol->hold_until == 0 && vol->next < vol->head) {
            uint32_t cost = source_cost(&pending_at(src, vol, vol->next)->op);

            if (!vol->limited || vol->cost_sent + cost <= vol->cost_limit)
                return vol;
        }
        src->ready_head = vol->ready_next;
        vol->queued = false;
    }
    return NULL;
}

/* The volume goes to the end of the queue, or off it. */
static void ready_rotate(struct hg_source *src, struct volume *vol)
{
    assert(src->ready_head == vol);
    src->ready_head = vol->ready_next;
    vol->queued = false;
    source_ready(src, vol);
}

/* Section 4, BARRIER: counts of this session, each frame once. */
static void count_for_barrier(struct volume *vol, struct pending *p)
{
    if (p->op.type != HG_FRAME_BARRIER) {
        vol->since_frames++;
        vol->since_bytes += p->op.type == HG_FRAME_DATA ? p->op.len : 0;
        return;
    }
    p->barrier_frames = vol->since_frames;
    p->barrier_bytes = vol->since_bytes;
    vol->since_frames = 0;
    vol->since_bytes = 0;
    if (p->epoch == 0)
        p->epoch = ++vol->last_epoch;
}

/* Fields that depend on the type. */
static void fill_frame(struct hg_frame *f, const struct pending *p,
                       const struct hg_source_payload *payload)
{
    switch (p->op.type) {
    case HG_FRAME_DATA:
        f->offset = p->op.offset;
        f->raw_len = (uint32_t)p->op.len;
        f->payload_len = payload->len;
        f->payload_crc = payload->crc;
        f->codec = payload->codec;
        f->arg = payload->time;
        break;
    case HG_FRAME_BARRIER:
        f->epoch = p->epoch;
        f->offset = p->barrier_bytes;
        f->arg = p->barrier_frames;
        break;
    default:
        f->offset = p->op.offset;
        f->arg = p->op.len;
        break;
    }
}

static int next_sequenced(struct hg_source *src, hg_ns now, struct hg_source_frame *out)
{
    struct volume *vol = ready_peek(src);
    struct hg_source_payload payload = {0};
    struct hg_frame f = {.minor = HG_PROTO_MINOR};
    struct pending *p;
    uint32_t cost;

    if (vol == NULL || src->draining)
        return 0;
    p = pending_at(src, vol, vol->next);
    cost = source_cost(&p->op);
    if (!session_credit(src, cost))
        return 0;
    if (p->op.type == HG_FRAME_DATA) {
        int rc = src->env.payload(src->env.arg, vol->index, &p->op, &payload);

        if (rc != 0)
            return rc;
        assert(payload.codec < 32 && (src->codecs & (1u << payload.codec)) != 0);
        assert(payload.len >= 1 && payload.len <= p->op.len);
    }
    f.type = p->op.type;
    f.volume = vol->index + 1;
    f.seq = vol->seq_base + vol->next + 1;
    if (vol->next < vol->high)
        f.flags = HG_FRAME_RETRANSMIT;
    else
        count_for_barrier(vol, p);
    fill_frame(&f, p, &payload);
    put_header(src, &f, out);
    out->payload = payload.data;

    if (p->sent == 0)
        p->sent = now;
    else
        src->stats.resent++;
    vol->next++;
    if (vol->high < vol->next)
        vol->high = vol->next;
    if (vol->sent_ever < vol->next)
        vol->sent_ever = vol->next;
    vol->cost_sent += cost;
    src->cost_sent += cost;
    src->inflight += cost;
    ready_rotate(src, vol);
    return 1;
}

int hg_source_next(struct hg_source *src, hg_ns now, struct hg_source_frame *out)
{
    int rc;

    switch (src->state) {
    case HG_SOURCE_HELLO:
        return src->hello_due ? send_hello(src, out) : 0;
    case HG_SOURCE_FAILED:
        return src->error_due ? send_error(src, out) : 0;
    case HG_SOURCE_OPEN:
        rc = next_control(src, out);
        if (rc != 0 || src->bye_sent)
            return rc;
        return next_sequenced(src, now, out);
    default:
        return 0;
    }
}
