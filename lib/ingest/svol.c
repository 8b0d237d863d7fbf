/* SPDX-License-Identifier: BSD-3-Clause */
/* A volume as a session sees it: open, fence, rewind, release. Sections are docs/protocol.md's. */
#include "ingest.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct hg_svol *svol_find(struct hg_session *s, uint32_t handle)
{
    if (s->last_svol != NULL && s->last_svol->handle == handle)
        return s->last_svol;
    for (uint32_t i = 0; i < s->n_volumes; i++) {
        if (s->volumes[i]->handle == handle) {
            s->last_svol = s->volumes[i];
            return s->last_svol;
        }
    }
    return NULL;
}

void svol_dirty(struct hg_svol *v)
{
    if (!v->dirty) {
        v->dirty = true;
        STAILQ_INSERT_TAIL(&v->sess->dirty, v, dirty_link);
    }
    session_make_ready(v->sess);
}

/* Section 6. */
void svol_error(struct hg_svol *v, unsigned code, uint64_t seq, const char *why)
{
    struct hg_session *s = v->sess;

    s->errors++;
    ingest_count_error(s->ing, code);
    session_log(s, HG_LOG_WARN, "volume %s, frame %llu: %s: %s", v->name, (unsigned long long)seq,
                hg_proto_error_name(code), why);
    v->say_error = (uint16_t)code;
    v->say_error_seq = seq;
    v->say_retry = (uint8_t)hg_proto_error_retry(code);
    v->say_retry_ms = v->say_retry == HG_RETRY_AFTER ? s->ing->cfg.no_space_retry_ms : 0;
    if (v->say_retry == HG_RETRY_NEVER)
        v->state = V_CLOSED;
    else
        v->rewinding = true;
    svol_dirty(v);
}

/* ---- open ---- */

static bool name_ok(const uint8_t *name, uint32_t len)
{
    if (len == 0 || len > HG_PROTO_NAME_MAX)
        return false;
    for (uint32_t i = 0; i < len; i++)
        if (!isalnum(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-')
            return false;
    return true;
}

static struct hg_svol *svol_get(struct hg_session *s, uint32_t handle)
{
    struct hg_ingest *ing = s->ing;
    struct hg_svol *v = STAILQ_FIRST(&ing->free_svol);

    if (v == NULL || s->n_volumes == ing->cfg.volumes_max)
        return NULL;
    STAILQ_REMOVE_HEAD(&ing->free_svol, dirty_link);
    memset(v, 0, sizeof *v);
    v->sess = s;
    v->handle = handle;
    LIST_INSERT_HEAD(&ing->svols, v, all);
    s->volumes[s->n_volumes++] = v;
    return v;
}

void svol_release(struct hg_svol *v)
{
    struct hg_ingest *ing = v->sess->ing;

    if (v->vol != NULL)
        hg_store_detach(ing->cfg.store, v->vol);
    if (v->state == V_OPENING)
        ing->opening--;
    LIST_REMOVE(v, all);
    STAILQ_INSERT_TAIL(&ing->free_svol, v, dirty_link);
}

static void open_refuse(struct hg_svol *v, unsigned code, const char *why)
{
    v->sess->ing->opening--;
    v->say_opened = false;
    svol_error(v, code, 0, why);
    v->state = V_CLOSED; /* also for "later": the source sends OPEN again */
    v->rewinding = false;
}

static void svol_opened(struct hg_svol *v)
{
    struct hg_volume_info info;

    hg_volume_info(v->vol, &info);
    v->sess->ing->opening--;
    v->state = V_OPEN;
    v->size = info.size;
    v->next_seq = info.durable_seq + 1;
    v->received_seq = v->durable_seq = info.durable_seq;
    v->said_received = v->said_durable = info.durable_seq;
    v->epoch = v->epoch_submitted = info.epoch;
    v->say_opened = true;
    svol_dirty(v);
    session_log(v->sess, HG_LOG_INFO, "opened %s, %llu bytes, durable up to %llu", v->name,
                (unsigned long long)info.size, (unsigned long long)info.durable_seq);
}

static void attach_done(struct hg_store_req *req)
{
    struct hg_svol *v = req->owner;
    struct hg_session *s = v->sess;

    v->attaching = false;
    if (req->status != 0)
        v->vol = NULL;
    if (s->closed) {
        session_maybe_free(s);
        return;
    }
    switch (req->status) {
    case 0:
        svol_opened(v);
        break;
    case -EBUSY:
        hg_ingest_fence(s->ing, v->name, s->ing->now);
        if (s->ing->cfg.fence != NULL)
            s->ing->cfg.fence(s->ing->cfg.fence_arg, v->name);
        break; /* svol_retry_opening() tries again */
    case -EEXIST:
        open_refuse(v, HG_PROTO_SIZE_MISMATCH, "the volume exists with another size");
        break;
    case -ENOENT:
        open_refuse(v, HG_PROTO_NOT_FOUND, "no such volume");
        break;
    case -EINVAL:
        open_refuse(v, HG_PROTO_BAD_NAME, "name or size is not acceptable");
        break;
    case -ENOSPC:
        open_refuse(v, HG_PROTO_NO_SPACE, "no room for another volume");
        break;
    default:
        session_fail(s, HG_PROTO_IO_ERROR, "opening %s failed: %s", v->name,
                     strerror(-req->status));
    }
}

static void svol_attach(struct hg_svol *v)
{
    v->attach = (struct hg_store_req){.done = attach_done, .owner = v};
    v->attaching = true;
    hg_store_attach(v->sess->ing->cfg.store, v->name, v->open_size, &v->vol, &v->attach);
}

void svol_retry_opening(struct hg_ingest *ing)
{
    struct hg_svol *v, *next;

    for (v = LIST_FIRST(&ing->svols); v != NULL; v = next) {
        next = LIST_NEXT(v, all);
        if (v->state != V_OPENING || v->attaching || v->sess->closed)
            continue;
        if (ing->now >= v->open_deadline)
            open_refuse(v, HG_PROTO_BUSY, "the volume is still held by another session");
        else
            svol_attach(v);
    }
}

void hg_ingest_fence(struct hg_ingest *ing, const char *volume, hg_ns now)
{
    struct hg_svol *v;

    ing->now = now;
    LIST_FOREACH(v, &ing->svols, all)
    {
        if (v->vol != NULL && v->state != V_OPENING && strcmp(v->name, volume) == 0) {
            session_fail(v->sess, HG_PROTO_SUPERSEDED, "another session opened %s", volume);
            return;
        }
    }
}

struct hg_svol *hg_ingest_hold(struct hg_ingest *ing, const char *volume, struct hg_volume **vol)
{
    struct hg_svol *v;

    LIST_FOREACH(v, &ing->svols, all)
    {
        if (v->vol != NULL && v->state != V_OPENING && strcmp(v->name, volume) == 0) {
            v->sess->inflight++;
            *vol = v->vol;
            return v;
        }
    }
    return NULL;
}

void hg_ingest_unhold(struct hg_ingest *ing, struct hg_svol *hold)
{
    (void)ing;
    hold->sess->inflight--;
    session_maybe_free(hold->sess);
}

/* Section 4, OPEN. A handle whose open was refused may be used again. */
enum step svol_open(struct hg_session *s)
{
    const struct hg_frame *f = &s->frame;
    struct hg_svol *v = svol_find(s, f->volume);

    if (v != NULL && (v->vol != NULL || v->state != V_CLOSED)) {
        session_fail(s, HG_PROTO_BAD_STATE, "OPEN of handle %u, which is open", f->volume);
        return STEP_FAILED;
    }
    if (v == NULL)
        v = svol_get(s, f->volume);
    if (v == NULL) {
        session_fail(s, HG_PROTO_TOO_MANY_VOLUMES, "more than %u volumes", s->ing->cfg.volumes_max);
        return STEP_FAILED;
    }
    v->state = V_OPENING;
    v->open_size = f->arg;
    v->open_deadline = s->ing->now + s->ing->cfg.open_timeout;
    s->ing->opening++;
    if (!name_ok(s->wire_buf, f->payload_len)) {
        snprintf(v->name, sizeof v->name, "%s/?", s->source);
        open_refuse(v, HG_PROTO_BAD_NAME, "1 to 127 of A-Z a-z 0-9 . _ - are allowed");
        return STEP_OK;
    }
    snprintf(v->name, sizeof v->name, "%s/%.*s", s->source, (int)f->payload_len,
             (const char *)s->wire_buf);
    if (f->arg % 512 != 0 || (f->arg != 0 && f->arg < HG_BLOCK) || f->arg > HG_VOLUME_SIZE_MAX) {
        open_refuse(v, HG_PROTO_BAD_NAME, "size is not a multiple of 512 from 4096 to 64 TiB");
        return STEP_OK;
    }
    svol_attach(v);
    return STEP_OK;
}
