/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes in from the node, which is outside: every number is checked before it is used. A node that
 * contradicts itself ends the session with a sentence; it can never make this side forget an op
 * that it did not acknowledge.
 */
#include "source_impl.h"
#include <headgate/codec.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define IDLE_MIN HG_SEC(5) /* a busy node may be late; do not believe less */
#define RETRY_MS_MAX 600000u
#define VOLUME_SIZE_MAX (UINT64_C(64) << 40)

static struct volume *find_volume(struct hg_source *src, uint32_t handle)
{
    return handle >= 1 && handle <= src->n_volumes ? src->volumes[handle - 1] : NULL;
}

static int unknown_volume(struct hg_source *src, const struct hg_frame *f)
{
    return source_fail(src, HG_PROTO_BAD_FIELD, "the node sent %s for volume handle %u, which %s",
                       hg_frame_type_name(f->type), f->volume, "this session does not have");
}

/* Sequence number to index of the next op, i.e. how many ops `seq` covers. */
static bool seq_covers(const struct volume *vol, uint64_t seq, uint64_t *upto)
{
    if (!vol->has_base || seq < vol->seq_base)
        return false;
    *upto = seq - vol->seq_base;
    return true;
}

/* ---- WELCOME, section 4.1 ---- */

static int check_welcome(struct hg_source *src, const struct hg_welcome_wire *w)
{
    uint32_t max_raw = hg_le32_get(w->max_raw);
    uint32_t levels = hg_le32_get(w->levels);
    uint32_t block = hg_le32_get(w->block);

    if (memcmp(w->session, src->session, sizeof src->session) != 0)
        return source_fail(src, HG_PROTO_BAD_FIELD, "the node's WELCOME answers another session");
    if (max_raw < src->cfg.max_raw)
        return source_fail(src, HG_PROTO_LIMIT,
                           "the node takes blocks of at most %u bytes and this source sends %u; "
                           "send smaller blocks",
                           max_raw, src->cfg.max_raw);
    if ((levels & (1u << src->cfg.release)) == 0)
        return source_fail(src, HG_PROTO_VERSION,
                           "the node does not acknowledge at level %u, which this source needs",
                           src->cfg.release);
    if (block == 0 || HG_BLOCK % block != 0)
        return source_fail(src, HG_PROTO_VERSION,
                           "the node wants extents aligned to %u bytes; this source aligns to %u",
                           block, HG_BLOCK);
    if (hg_le32_get(w->max_volumes) < src->n_volumes)
        return source_fail(src, HG_PROTO_TOO_MANY_VOLUMES,
                           "the node takes %u volumes in a session and this one has %u",
                           hg_le32_get(w->max_volumes), src->n_volumes);
    return 0;
}

static int on_welcome(struct hg_source *src, const struct hg_frame *f, const uint8_t *payload)
{
    struct hg_welcome_wire w;
    int rc;

    if (src->state != HG_SOURCE_HELLO || src->hello_due)
        return source_fail(src, HG_PROTO_BAD_STATE, "the node sent WELCOME when none was due");
    if (f->payload_len < sizeof w)
        return source_fail(src, HG_PROTO_BAD_FIELD, "the node's WELCOME has %u bytes, 48 needed",
                           f->payload_len);
    memcpy(&w, payload, sizeof w);
    rc = check_welcome(src, &w);
    if (rc != 0)
        return rc;
    src->codecs = (hg_le32_get(w.codecs) & src->cfg.codecs) | 1u << HG_CODEC_STORED;
    src->block = hg_le32_get(w.block);
    src->idle = HG_MS(hg_le32_get(w.idle_ms));
    if (src->idle != 0 && src->idle < IDLE_MIN)
        src->idle = IDLE_MIN;
    src->cost_limit = hg_le64_get(w.credit);
    src->state = HG_SOURCE_OPEN;
    source_check_finish(src);
    return 0;
}

/* ---- OPENED, section 5 ---- */

/* What the node holds against what we know it acknowledged and what it can have got from us. */
static int check_resume(struct hg_source *src, struct volume *vol, uint64_t seq)
{
    uint64_t upto;

    if (!seq_covers(vol, seq, &upto) || upto < vol->tail) {
        source_fail(src, HG_PROTO_INTERNAL,
                    "volume %s: the node lost data: it had acknowledged sequence number %" PRIu64
                    " and now says only %" PRIu64 " is durable",
                    vol->name, vol->seq_base + vol->tail, seq);
        src->end.retry = HG_RETRY_NEVER; /* what was forgotten here cannot be sent again */
        return -EPROTO;
    }
    if (upto > vol->sent_ever) {
        char why[384];

        snprintf(why, sizeof why,
                 "volume %s: the node holds sequence number %" PRIu64 " and this source has sent "
                 "only up to %" PRIu64 ": another source writes this volume",
                 vol->name, seq, vol->seq_base + vol->sent_ever);
        source_volume_fail(src, vol, why);
        return 1;
    }
    return 0;
}

static int on_opened(struct hg_source *src, const struct hg_frame *f, hg_ns now)
{
    struct volume *vol = find_volume(src, f->volume);
    int rc;

    if (vol == NULL)
        return unknown_volume(src, f);
    if (vol->state != VOL_OPENING)
        return source_fail(src, HG_PROTO_BAD_STATE, "volume %s: the node sent OPENED twice",
                           vol->name);
    if (f->arg < 512 || f->arg > VOLUME_SIZE_MAX ||
        (vol->info.size != 0 && f->arg != vol->info.size))
        return source_fail(src, HG_PROTO_BAD_FIELD,
                           "volume %s: the node opened it with size %" PRIu64
                           " instead of %" PRIu64,
                           vol->name, f->arg, vol->info.size);
    if (f->seq > UINT64_MAX / 2)
        return source_fail(src, HG_PROTO_BAD_FIELD, "volume %s: sequence number out of range",
                           vol->name);
    if (!vol->has_base) {
        vol->has_base = true;
        vol->seq_base = f->seq;
        vol->info.base_seq = f->seq;
    }
    rc = check_resume(src, vol, f->seq);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    vol->state = VOL_OPEN;
    src->unopened--;
    vol->info.size = f->arg;
    vol->info.open = true;
    vol->info.durable = f->seq;
    if (vol->info.received < f->seq)
        vol->info.received = f->seq;
    vol->info.epoch = f->epoch;
    if (vol->last_epoch < f->epoch)
        vol->last_epoch = f->epoch;
    vol->since_frames = 0;
    vol->since_bytes = 0;
    source_release(src, vol, f->seq - vol->seq_base, now);
    source_ready(src, vol);
    src->env.volume_news(src->env.arg, vol->index, NULL);
    source_check_finish(src);
    return 0;
}

/* ---- ACK and CREDIT ---- */

static int on_ack(struct hg_source *src, const struct hg_frame *f, hg_ns now)
{
    struct volume *vol = find_volume(src, f->volume);
    uint64_t *mark;
    uint64_t upto;

    if (vol == NULL)
        return unknown_volume(src, f);
    if (vol->state == VOL_FAILED)
        return 0;
    if (vol->state != VOL_OPEN)
        return source_fail(src, HG_PROTO_BAD_STATE, "volume %s: the node sent ACK before OPENED",
                           vol->name);
    if (f->level < HG_ACK_RECEIVED || f->level > HG_ACK_CONSISTENT)
        return source_fail(src, HG_PROTO_BAD_FIELD, "volume %s: the node sent ACK level %u",
                           vol->name, f->level);
    if (!seq_covers(vol, f->seq, &upto) || upto > vol->high)
        return source_fail(src, HG_PROTO_BAD_FIELD,
                           "volume %s: the node acknowledged sequence number %" PRIu64
                           ", but %" PRIu64 " to %" PRIu64 " were sent",
                           vol->name, f->seq, vol->info.base_seq + 1, vol->seq_base + vol->high);
    mark = f->level == HG_ACK_RECEIVED  ? &vol->info.received
           : f->level == HG_ACK_DURABLE ? &vol->info.durable
                                        : &vol->info.consistent;
    if (*mark < f->seq)
        *mark = f->seq;
    if (vol->info.epoch < f->epoch)
        vol->info.epoch = f->epoch;
    if (f->level < src->cfg.release || upto <= vol->tail)
        return 0;
    source_release(src, vol, upto, now);
    source_check_finish(src);
    return 0;
}

static int on_credit(struct hg_source *src, const struct hg_frame *f)
{
    struct volume *vol;

    if (f->volume == 0) {
        if (f->arg > src->cost_limit) {
            src->cost_limit = f->arg;
            src->credit_short = false;
        }
        return 0;
    }
    vol = find_volume(src, f->volume);
    if (vol == NULL)
        return unknown_volume(src, f);
    if (!vol->limited || f->arg > vol->cost_limit) {
        vol->limited = true;
        vol->cost_limit = f->arg;
        source_ready(src, vol);
    }
    return 0;
}

/* ---- ERROR, section 6 ---- */

/* The node's sentence, safe for a terminal. */
static void copy_text(char *dst, size_t cap, const uint8_t *src, size_t len)
{
    size_t n = len < cap - 1 ? len : cap - 1;

    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] >= 0x20 && src[i] <= 0x7e ? (char)src[i] : '?';
    dst[n] = '\0';
}

static void hold(struct hg_source *src, struct volume *vol, uint32_t retry_ms, hg_ns now)
{
    if (retry_ms > RETRY_MS_MAX)
        retry_ms = RETRY_MS_MAX;
    vol->hold_until = now + HG_MS(retry_ms == 0 ? 1 : retry_ms);
    if (src->next_hold == 0 || vol->hold_until < src->next_hold)
        src->next_hold = vol->hold_until;
    src->stats.retry_waits++;
}

static int on_rewind(struct hg_source *src, struct volume *vol, const struct hg_frame *f,
                     const struct hg_error_wire *w, hg_ns now)
{
    uint64_t upto;

    if (f->seq == 0 || !seq_covers(vol, f->seq - 1, &upto) || upto < vol->tail || upto > vol->next)
        return source_fail(src, HG_PROTO_BAD_FIELD,
                           "volume %s: the node asked for sequence number %" PRIu64
                           " again, which is not in flight",
                           vol->name, f->seq);
    source_rewind(src, vol, upto);
    src->stats.rewinds++;
    if (w->retry == HG_RETRY_AFTER)
        hold(src, vol, hg_le32_get(w->retry_ms), now);
    source_ready(src, vol);
    return 0;
}

static int on_volume_error(struct hg_source *src, const struct hg_frame *f,
                           const struct hg_error_wire *w, const char *text, hg_ns now)
{
    struct volume *vol = find_volume(src, f->volume);
    unsigned code = hg_le16_get(w->code);
    bool again = w->retry == HG_RETRY_NOW || w->retry == HG_RETRY_AFTER;
    char why[sizeof src->advice];

    if (vol == NULL)
        return unknown_volume(src, f);
    if (vol->state == VOL_FAILED)
        return 0;
    snprintf(why, sizeof why, "volume %s: the node %s: %s (%u)%s%s", vol->name,
             again ? "asks to wait and send again" : "refused it", hg_proto_error_name(code), code,
             text[0] != '\0' ? ": " : "", text);
    if (!again || vol->state == VOL_OPEN_DUE) {
        source_volume_fail(src, vol, why);
        return 0;
    }
    memcpy(src->advice, why, sizeof why);
    if (vol->state == VOL_OPEN)
        return on_rewind(src, vol, f, w, now);
    vol->state = VOL_OPEN_DUE;
    hold(src, vol, w->retry == HG_RETRY_AFTER ? hg_le32_get(w->retry_ms) : 1, now);
    return 0;
}

static int on_error(struct hg_source *src, const struct hg_frame *f, const uint8_t *payload,
                    hg_ns now)
{
    struct hg_error_wire w;
    char text[HG_PROTO_TEXT_MAX + 1];
    unsigned code;

    if (f->payload_len < sizeof w)
        return source_fail(src, HG_PROTO_BAD_FIELD, "the node's ERROR has %u bytes, 8 needed",
                           f->payload_len);
    memcpy(&w, payload, sizeof w);
    copy_text(text, sizeof text, payload + sizeof w, f->payload_len - sizeof w);
    if ((w.scope == HG_SCOPE_FRAME || w.scope == HG_SCOPE_VOLUME) && src->state == HG_SOURCE_OPEN)
        return on_volume_error(src, f, &w, text, now);
    code = hg_le16_get(w.code);
    source_fail(src, code, "the node ended the session: %s (%u)%s%s", hg_proto_error_name(code),
                code, text[0] != '\0' ? ": " : "", text);
    src->end.ours = false;
    src->end.retry = w.retry <= HG_RETRY_OTHER_NODE ? w.retry : HG_RETRY_NEVER;
    src->end.retry_ms = hg_le32_get(w.retry_ms);
    if (src->end.retry_ms > RETRY_MS_MAX)
        src->end.retry_ms = RETRY_MS_MAX;
    src->error_due = false;
    return -EPROTO;
}

/* ---- frames ---- */

static int on_bye(struct hg_source *src)
{
    if (src->bye_sent)
        src->state = HG_SOURCE_CLOSED;
    else
        src->draining = true;
    return 0;
}

static int on_frame(struct hg_source *src, const struct hg_frame *f, const uint8_t *payload,
                    hg_ns now)
{
    bool known = f->type >= HG_FRAME_HELLO && f->type <= HG_FRAME_BYE;

    if (!known)
        return 0; /* ignorable: hg_frame_check() let it pass */
    if (src->state == HG_SOURCE_HELLO && f->type != HG_FRAME_WELCOME && f->type != HG_FRAME_ERROR)
        return source_fail(src, HG_PROTO_BAD_STATE, "the node sent %s before WELCOME",
                           hg_frame_type_name(f->type));
    switch (f->type) {
    case HG_FRAME_WELCOME:
        return on_welcome(src, f, payload);
    case HG_FRAME_OPENED:
        return on_opened(src, f, now);
    case HG_FRAME_ACK:
        return on_ack(src, f, now);
    case HG_FRAME_CREDIT:
        return on_credit(src, f);
    case HG_FRAME_PING:
        src->pong_due = true;
        src->pong_arg = f->arg;
        return 0;
    case HG_FRAME_PONG:
        return 0;
    case HG_FRAME_ERROR:
        return on_error(src, f, payload, now);
    case HG_FRAME_BYE:
        return on_bye(src);
    default:
        return source_fail(src, HG_PROTO_BAD_STATE, "the node sent %s, which only a source sends",
                           hg_frame_type_name(f->type));
    }
}

/* Header checks in the order of section 2. */
static int check_header(struct hg_source *src, struct hg_frame *f)
{
    const struct hg_frame_limits limits = {.max_raw = HG_FRAME_CONTROL_MAX, .block = HG_BLOCK};
    int code = hg_frame_get(src->assembly, f);

    if (code != 0)
        return source_fail(src, (unsigned)code, "the node sent a frame header with %s",
                           code == HG_PROTO_BAD_MAGIC ? "a wrong magic" : "a wrong CRC");
    code = hg_frame_check(f, &limits);
    if (code != 0)
        return source_fail(src, (unsigned)code, "the node sent a bad %s frame: %s",
                           hg_frame_type_name(f->type), hg_proto_error_name((unsigned)code));
    return 0;
}

static int check_payload(struct hg_source *src, const struct hg_frame *f)
{
    const uint8_t *payload = src->assembly + HG_FRAME_HEADER;

    if (f->raw_len != 0 && hg_crc32c(payload, f->payload_len) != f->payload_crc)
        return source_fail(src, HG_PROTO_PAYLOAD_CRC,
                           "the node sent a %s frame whose payload does not match its CRC",
                           hg_frame_type_name(f->type));
    return 0;
}

/* Moves bytes into assembly[] until it holds `want`; how many were taken. */
static size_t gather(struct hg_source *src, const uint8_t *data, size_t len, uint32_t want)
{
    size_t n = want - src->have;

    if (n > len)
        n = len;
    memcpy(src->assembly + src->have, data, n);
    src->have += (uint32_t)n;
    return n;
}

int hg_source_input(struct hg_source *src, const uint8_t *data, size_t len, hg_ns now)
{
    if (len != 0) {
        src->last_input = now;
        src->ping_at = 0;
    }
    while (len != 0 && (src->state == HG_SOURCE_HELLO || src->state == HG_SOURCE_OPEN)) {
        struct hg_frame f;
        size_t n = 0;
        int rc;

        if (src->have < HG_FRAME_HEADER)
            n = gather(src, data, len, HG_FRAME_HEADER);
        data += n;
        len -= n;
        if (src->have < HG_FRAME_HEADER)
            return 0;
        rc = check_header(src, &f);
        if (rc != 0)
            return rc;
        n = gather(src, data, len, HG_FRAME_HEADER + f.payload_len);
        data += n;
        len -= n;
        if (src->have < HG_FRAME_HEADER + f.payload_len)
            return 0;
        src->have = 0;
        rc = check_payload(src, &f);
        if (rc == 0)
            rc = on_frame(src, &f, src->assembly + HG_FRAME_HEADER, now);
        if (rc != 0)
            return rc;
    }
    return src->state == HG_SOURCE_FAILED ? -EPROTO : 0;
}
