/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a source's session: volumes, submits, cuts, timers. Invariants: source_impl.h. */
#include "source_impl.h"
#include <headgate/codec.h>
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VOLUME_SIZE_MAX (UINT64_C(64) << 40) /* section 3 */
#define HELLO_TIMEOUT HG_SEC(10)             /* section 3 */
#define OWED_ASK HG_SEC(1)                   /* silence before PING while the node owes something */
#define OWED_ANSWER HG_SEC(15) /* and how long its answer may take behind what is on the way */

static uint32_t round_up_pow2(uint32_t n)
{
    return n <= 2 ? 2 : 1u << (32 - __builtin_clz(n - 1));
}

static int check_cfg(const struct hg_source_cfg *cfg, struct hg_err *err)
{
    if (cfg->volumes_max == 0 || cfg->volumes_max > HG_SOURCE_VOLUMES_MAX)
        return hg_fail(err, -EINVAL, "session: %u volumes, allowed are 1 to %u", cfg->volumes_max,
                       HG_SOURCE_VOLUMES_MAX);
    if (cfg->frames_max > HG_SOURCE_FRAMES_MAX)
        return hg_fail(err, -EINVAL, "session: %u frames in flight per volume, allowed are %u",
                       cfg->frames_max, HG_SOURCE_FRAMES_MAX);
    if (cfg->max_raw < HG_BLOCK || cfg->max_raw > HG_FRAME_RAW_MAX)
        return hg_fail(err, -EINVAL, "session: blocks of %u bytes, allowed are %u to %u",
                       cfg->max_raw, HG_BLOCK, HG_FRAME_RAW_MAX);
    if (cfg->release > HG_ACK_CONSISTENT)
        return hg_fail(err, -EINVAL, "session: there is no ACK level %u", cfg->release);
    if (cfg->agent != NULL && strlen(cfg->agent) > HG_PROTO_AGENT_MAX)
        return hg_fail(err, -EINVAL, "session: agent text is longer than %u bytes",
                       HG_PROTO_AGENT_MAX);
    return 0;
}

int hg_source_create(const struct hg_source_cfg *cfg, const struct hg_source_env *env,
                     struct hg_source **out, struct hg_err *err)
{
    struct hg_source *src;
    int rc = check_cfg(cfg, err);

    if (rc != 0)
        return rc;
    src = calloc(1, sizeof *src);
    if (src == NULL)
        return hg_fail(err, -ENOMEM, "session: out of memory");
    src->volumes = calloc(cfg->volumes_max, sizeof *src->volumes);
    if (src->volumes == NULL) {
        free(src);
        return hg_fail(err, -ENOMEM, "session: out of memory for %u volumes", cfg->volumes_max);
    }
    src->cfg = *cfg;
    src->env = *env;
    if (src->cfg.release == 0)
        src->cfg.release = HG_ACK_DURABLE;
    src->cfg.levels |= 1u << src->cfg.release;
    src->cfg.codecs |= 1u << HG_CODEC_STORED;
    if (cfg->agent != NULL)
        memcpy(src->agent, cfg->agent, strlen(cfg->agent) + 1);
    src->cfg.agent = src->agent;
    src->mask = round_up_pow2(cfg->frames_max) - 1;
    src->state = HG_SOURCE_IDLE;
    src->codecs = 1u << HG_CODEC_STORED;
    *out = src;
    return 0;
}

void hg_source_destroy(struct hg_source *src)
{
    if (src == NULL)
        return;
    for (uint32_t i = 0; i < src->n_volumes; i++) {
        free(src->volumes[i]->ring);
        free(src->volumes[i]);
    }
    free(src->volumes);
    free(src);
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= HG_PROTO_NAME_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

int hg_source_volume_add(struct hg_source *src, const char *name, uint64_t size, uint32_t *volume,
                         struct hg_err *err)
{
    struct volume *vol;

    if (!name_ok(name))
        return hg_fail(err, -EINVAL,
                       "volume \"%.200s\": a name has 1 to %u characters of A-Z a-z 0-9 . _ -",
                       name, HG_PROTO_NAME_MAX);
    if (size != 0 && (size < HG_BLOCK || size > VOLUME_SIZE_MAX || size % 512 != 0))
        return hg_fail(err, -EINVAL,
                       "volume %s: size %llu is not a multiple of 512 from 4096 bytes to 64 TiB",
                       name, (unsigned long long)size);
    if (src->n_volumes == src->cfg.volumes_max)
        return hg_fail(err, -ENOSPC, "volume %s: the session has %u volumes already", name,
                       src->n_volumes);
    vol = calloc(1, sizeof *vol);
    if (vol == NULL || (vol->ring = calloc((size_t)src->mask + 1, sizeof *vol->ring)) == NULL) {
        free(vol);
        return hg_fail(err, -ENOMEM, "volume %s: out of memory", name);
    }
    memcpy(vol->name, name, strlen(name) + 1);
    vol->info.name = vol->name;
    vol->info.size = size;
    vol->index = src->n_volumes;
    src->volumes[src->n_volumes++] = vol;
    src->unopened++;
    *volume = vol->index;
    return 0;
}

uint32_t source_cost(const struct hg_source_op *op)
{
    return op->type == HG_FRAME_DATA ? hg_arena_cost((uint32_t)op->len) : HG_BLOCK;
}

/* ---- the ready queue ---- */

void source_ready(struct hg_source *src, struct volume *vol)
{
    if (vol->queued || vol->state != VOL_OPEN || vol->hold_until != 0 || vol->next == vol->head)
        return;
    if (vol->limited &&
        vol->cost_sent + source_cost(&pending_at(src, vol, vol->next)->op) > vol->cost_limit)
        return;
    vol->queued = true;
    vol->ready_next = NULL;
    if (src->ready_head == NULL)
        src->ready_head = vol;
    else
        src->ready_tail->ready_next = vol;
    src->ready_tail = vol;
}

static void ready_clear(struct hg_source *src)
{
    for (struct volume *vol = src->ready_head; vol != NULL; vol = vol->ready_next)
        vol->queued = false;
    src->ready_head = NULL;
    src->ready_tail = NULL;
}

/* ---- submits ---- */

static bool op_ok(const struct hg_source *src, const struct volume *vol,
                  const struct hg_source_op *op)
{
    if (op->type == HG_FRAME_BARRIER)
        return op->len == 0 && op->offset == 0;
    if (op->type < HG_FRAME_DATA || op->type > HG_FRAME_TRIM || op->len == 0)
        return false;
    if (op->type == HG_FRAME_DATA && op->len > src->cfg.max_raw)
        return false;
    if (op->offset % HG_BLOCK != 0 || op->offset > VOLUME_SIZE_MAX || op->len > VOLUME_SIZE_MAX)
        return false;
    /* The size is unknown until OPENED when the volume must exist: the node checks then. */
    if (vol->info.size == 0)
        return op->len % HG_BLOCK == 0;
    if (op->offset + op->len > vol->info.size)
        return false;
    return op->len % HG_BLOCK == 0 || op->offset + op->len == vol->info.size;
}

uint32_t hg_source_room(const struct hg_source *src, uint32_t volume)
{
    const struct volume *vol = src->volumes[volume];

    if (vol->state == VOL_FAILED || src->finish)
        return 0;
    return src->mask + 1 - (uint32_t)(vol->head - vol->tail);
}

uint32_t hg_source_submit(struct hg_source *src, uint32_t volume, const struct hg_source_op *ops,
                          uint32_t n)
{
    struct volume *vol = src->volumes[volume];
    uint32_t room = hg_source_room(src, volume);
    uint32_t taken;

    for (taken = 0; taken < n && taken < room && op_ok(src, vol, &ops[taken]); taken++) {
        *pending_at(src, vol, vol->head) = (struct pending){.op = ops[taken]};
        vol->head++;
    }
    vol->info.submitted += taken;
    src->unreleased += taken;
    source_ready(src, vol);
    return taken;
}

uint32_t hg_source_unsent(const struct hg_source *src, uint32_t volume)
{
    const struct volume *vol = src->volumes[volume];

    return (uint32_t)(vol->head - vol->next);
}

bool hg_source_released(const struct hg_source *src)
{
    return src->unreleased == 0;
}

bool hg_source_pending(const struct hg_source *src, uint32_t volume, uint32_t i,
                       struct hg_source_op *op, bool *sent)
{
    const struct volume *vol = src->volumes[volume];

    if (i >= vol->head - vol->tail)
        return false;
    *op = pending_at(src, vol, vol->tail + i)->op;
    *sent = vol->tail + i < vol->sent_ever;
    return true;
}

/* ---- what the receiving side asks for ---- */

void source_release(struct hg_source *src, struct volume *vol, uint64_t upto, hg_ns now)
{
    assert(upto <= vol->sent_ever);
    while (vol->tail < upto) {
        /* A copy: the owner may submit the freed slot anew before it is done with the old op. */
        const struct pending p = *pending_at(src, vol, vol->tail);

        if (vol->tail < vol->next)
            src->inflight -= source_cost(&p.op);
        vol->tail++;
        vol->info.released++;
        src->unreleased--;
        src->env.acked(src->env.arg, vol->index, &p.op, p.sent, now);
    }
    if (vol->next < vol->tail)
        vol->next = vol->tail;
    if (vol->high < vol->next)
        vol->high = vol->next;
}

void source_rewind(struct hg_source *src, struct volume *vol, uint64_t from)
{
    assert(from >= vol->tail && from <= vol->next);
    for (uint64_t i = from; i < vol->next; i++)
        src->inflight -= source_cost(&pending_at(src, vol, i)->op);
    vol->next = from;
}

void source_volume_fail(struct hg_source *src, struct volume *vol, const char *why)
{
    if (vol->state == VOL_FAILED)
        return;
    if (vol->state != VOL_OPEN)
        src->unopened--;
    source_rewind(src, vol, vol->tail);
    src->unreleased -= vol->head - vol->tail;
    vol->state = VOL_FAILED;
    vol->info.open = false;
    vol->info.failed = true;
    src->env.volume_news(src->env.arg, vol->index, why);
    source_check_finish(src);
}

int source_fail(struct hg_source *src, unsigned code, const char *fmt, ...)
{
    struct hg_source_end *end = &src->end;
    va_list ap;

    *end = (struct hg_source_end){.code = code, .ours = true, .retry = hg_proto_error_retry(code)};
    va_start(ap, fmt);
    vsnprintf(end->text, sizeof end->text, fmt, ap);
    va_end(ap);
    src->state = HG_SOURCE_FAILED;
    src->error_due = true;
    return -EPROTO;
}

void source_check_finish(struct hg_source *src)
{
    if (src->finish && src->state == HG_SOURCE_OPEN && src->unreleased == 0 && src->unopened == 0 &&
        !src->bye_sent)
        src->bye_due = true;
}

/* ---- a connection's life ---- */

enum hg_source_state hg_source_state(const struct hg_source *src)
{
    return src->state;
}

const struct hg_source_end *hg_source_end(const struct hg_source *src)
{
    return &src->end;
}

const char *hg_source_advice(const struct hg_source *src)
{
    return src->advice;
}

uint32_t hg_source_codecs(const struct hg_source *src)
{
    return src->codecs;
}

void hg_source_start(struct hg_source *src, const uint8_t session[16], hg_ns now)
{
    assert(src->state == HG_SOURCE_IDLE);
    memcpy(src->session, session, sizeof src->session);
    src->state = HG_SOURCE_HELLO;
    src->hello_due = true;
    src->last_input = now;
}

static void volume_cut(struct hg_source *src, struct volume *vol)
{
    source_rewind(src, vol, vol->tail);
    vol->high = vol->tail;
    vol->hold_until = 0;
    vol->cost_sent = 0;
    vol->limited = false;
    vol->info.open = false;
    if (vol->state == VOL_OPEN)
        src->unopened++;
    if (vol->state != VOL_FAILED)
        vol->state = VOL_OPEN_DUE;
}

void hg_source_cut(struct hg_source *src)
{
    ready_clear(src);
    for (uint32_t i = 0; i < src->n_volumes; i++)
        volume_cut(src, src->volumes[i]);
    assert(src->inflight == 0);
    src->state = HG_SOURCE_IDLE;
    src->codecs = 1u << HG_CODEC_STORED;
    src->cost_sent = 0;
    src->cost_limit = 0;
    src->credit_short = false;
    src->open_scan = 0;
    src->next_hold = 0;
    src->idle = 0;
    src->have = 0;
    src->hello_due = src->pong_due = src->ping_due = false;
    src->ping_at = 0;
    src->bye_due = src->bye_sent = src->error_due = src->draining = false;
}

void hg_source_finish(struct hg_source *src)
{
    src->finish = true;
    source_check_finish(src);
}

/* Lets go the volumes whose time to retry has come, and finds the next such time. */
static void release_holds(struct hg_source *src, hg_ns now)
{
    src->next_hold = 0;
    for (uint32_t i = 0; i < src->n_volumes; i++) {
        struct volume *vol = src->volumes[i];

        if (vol->hold_until == 0 || vol->state == VOL_FAILED)
            continue;
        if (vol->hold_until > now) {
            if (src->next_hold == 0 || vol->hold_until < src->next_hold)
                src->next_hold = vol->hold_until;
            continue;
        }
        vol->hold_until = 0;
        if (vol->state == VOL_OPEN_DUE)
            src->open_scan = 0;
        source_ready(src, vol);
    }
}

/* Section 3. The node's own rule, PING after `idle` of silence, would leave a source that waits for
 * ACK or CREDIT from a node that lost power unaware for as long: its kernel has nothing to send and so
 * nothing to be told. While anything is owed, ask soon and believe the silence soon. */
static hg_ns check_silence(struct hg_source *src, hg_ns now)
{
    bool owed = src->unreleased != 0 || src->unopened != 0;
    hg_ns ask = owed && src->idle > OWED_ASK ? OWED_ASK : src->idle;
    hg_ns answer = owed && src->idle > OWED_ANSWER ? OWED_ANSWER : src->idle;

    if (src->idle == 0)
        return 0;
    if (src->ping_at == 0 && now >= src->last_input + ask) {
        src->ping_due = true;
        src->ping_at = now;
    }
    if (src->ping_at == 0)
        return src->last_input + ask;
    if (now < src->ping_at + answer)
        return src->ping_at + answer;
    source_fail(src, HG_PROTO_IDLE, "the node was silent for %llu ms and did not answer PING",
                (unsigned long long)((now - src->last_input) / HG_MS(1)));
    return 0;
}

static hg_ns check_hello(struct hg_source *src, hg_ns now)
{
    if (now < src->last_input + HELLO_TIMEOUT)
        return src->last_input + HELLO_TIMEOUT;
    source_fail(src, HG_PROTO_TOO_SLOW, "the node did not answer HELLO within 10 s");
    return 0;
}

hg_ns hg_source_poll(struct hg_source *src, hg_ns now)
{
    hg_ns silence;

    if (src->state != HG_SOURCE_HELLO && src->state != HG_SOURCE_OPEN)
        return 0;
    if (src->next_hold != 0 && now >= src->next_hold)
        release_holds(src, now);
    silence = src->state == HG_SOURCE_HELLO ? check_hello(src, now) : check_silence(src, now);
    if (silence == 0 || (src->next_hold != 0 && src->next_hold < silence))
        return src->next_hold;
    return silence;
}

void hg_source_volume_info(const struct hg_source *src, uint32_t volume,
                           struct hg_source_volume_info *out)
{
    *out = src->volumes[volume]->info;
}

void hg_source_stats(const struct hg_source *src, struct hg_source_stats *out)
{
    *out = src->stats;
    out->inflight = src->inflight;
}
