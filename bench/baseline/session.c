/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int say(struct session *s, struct hg_frame f, const void *payload)
{
    if (s->out_len + HG_FRAME_HEADER + f.payload_len > SESSION_OUT)
        return -ENOBUFS;
    f.raw_len = f.payload_len;
    f.payload_crc = f.payload_len != 0 ? hg_crc32c(payload, f.payload_len) : 0;
    hg_frame_put(s->out + s->out_len, &f);
    s->out_len += HG_FRAME_HEADER;
    if (f.payload_len != 0)
        memcpy(s->out + s->out_len, payload, f.payload_len);
    s->out_len += f.payload_len;
    return 0;
}

/* Every error ends the session here: what was said before is still sent. */
static int refuse(struct session *s, unsigned code)
{
    struct hg_error_wire e = {.code = hg_le16_put((uint16_t)code),
                              .scope = HG_SCOPE_SESSION,
                              .retry = (uint8_t)hg_proto_error_retry(code)};
    struct hg_frame f = {.type = HG_FRAME_ERROR,
                         .volume = s->frame.volume,
                         .seq = s->frame.seq,
                         .payload_len = sizeof e};

    fprintf(stderr, "baseline: session ends: %s\n", hg_proto_error_name(code));
    s->stage = ENDING;
    return say(s, f, &e);
}

int session_acknowledge(struct session *s)
{
    int rc = 0;

    for (unsigned i = 0; i < s->n_volumes && rc == 0; i++) {
        struct volume *v = &s->volume[i];
        struct hg_frame f = {.type = HG_FRAME_ACK,
                             .level = HG_ACK_DURABLE,
                             .volume = v->handle,
                             .seq = v->seq,
                             .epoch = v->epoch};

        if (v->dirty)
            rc = say(s, f, NULL);
        v->dirty = false;
    }
    if (rc == 0 && s->stage == OPEN && s->limit - s->spent < SESSION_CREDIT / 2) {
        s->limit = s->spent + SESSION_CREDIT;
        rc = say(s, (struct hg_frame){.type = HG_FRAME_CREDIT, .arg = s->limit}, NULL);
    }
    return rc;
}

static struct volume *find_volume(struct session *s, uint32_t handle)
{
    for (unsigned i = 0; i < s->n_volumes; i++) {
        if (s->volume[i].handle == handle)
            return &s->volume[i];
    }
    return NULL;
}

static int take_hello(struct session *s)
{
    uint32_t codecs = 1u << HG_CODEC_STORED | 1u << HG_CODEC_DEFLATE;
    struct hg_welcome_wire w = {.codecs = hg_le32_put(codecs),
                                .max_raw = hg_le32_put(HG_FRAME_RAW_MAX),
                                .levels = hg_le32_put(1u << HG_ACK_DURABLE),
                                .block = hg_le32_put(HG_BLOCK),
                                .max_volumes = hg_le32_put(SESSION_VOLUMES),
                                .idle_ms = hg_le32_put(60000),
                                .credit = hg_le64_put(SESSION_CREDIT)};
    struct hg_frame f = {.type = HG_FRAME_WELCOME, .payload_len = sizeof w};

    if (s->frame.type != HG_FRAME_HELLO || s->frame.payload_len < sizeof(struct hg_hello_wire))
        return refuse(s, HG_PROTO_BAD_STATE);
    memcpy(w.session, s->payload + offsetof(struct hg_hello_wire, session), sizeof w.session);
    s->limit = SESSION_CREDIT;
    s->stage = OPEN;
    return say(s, f, &w);
}

static int take_open(struct session *s)
{
    const struct hg_frame *f = &s->frame;
    struct hg_frame opened = {.type = HG_FRAME_OPENED, .volume = f->volume, .arg = f->arg};
    struct sink *sink = s->sink;

    if (find_volume(s, f->volume) != NULL)
        return refuse(s, HG_PROTO_BAD_FIELD);
    if (s->n_volumes == SESSION_VOLUMES)
        return refuse(s, HG_PROTO_TOO_MANY_VOLUMES);
    if (f->arg == 0)
        return refuse(s, HG_PROTO_NOT_FOUND);
    s->volume[s->n_volumes++] =
        (struct volume){.handle = f->volume, .size = f->arg, .base = sink->file_end};
    sink->file_end += (f->arg + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
    return say(s, opened, NULL);
}

/* The bytes to write, frame.raw_len of them; or NULL, and *code says what is wrong with them. */
static const uint8_t *unpack(struct session *s, unsigned *code)
{
    const struct hg_frame *f = &s->frame;
    z_stream *z = &s->sink->inflate;
    const uint8_t *raw = s->payload;

    if (f->codec == HG_CODEC_DEFLATE) {
        inflateReset(z);
        z->next_in = s->payload;
        z->avail_in = f->payload_len;
        z->next_out = s->sink->raw;
        z->avail_out = f->raw_len;
        *code = HG_PROTO_DECOMPRESS;
        if (inflate(z, Z_FINISH) != Z_STREAM_END || z->avail_in != 0 || z->avail_out != 0)
            return NULL;
        raw = s->sink->raw;
    }
    *code = HG_PROTO_PAYLOAD_CRC;
    return hg_crc32c(raw, f->raw_len) == f->payload_crc ? raw : NULL;
}

static int take_data(struct session *s, const struct volume *v)
{
    const struct hg_frame *f = &s->frame;
    struct sink *sink = s->sink;
    unsigned code;
    const uint8_t *raw = unpack(s, &code);
    off_t at = (off_t)(v->base + f->offset);

    if (raw == NULL)
        return refuse(s, code);
    sink->frames++;
    sink->raw_bytes += f->raw_len;
    sink->wire_bytes += f->payload_len;
    if (sink->file >= 0 && pwrite(sink->file, raw, f->raw_len, at) != (ssize_t)f->raw_len)
        return refuse(s, HG_PROTO_IO_ERROR);
    return 0;
}

static int take_hole(struct session *s, const struct volume *v)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    off_t at = (off_t)(v->base + s->frame.offset);

    if (s->sink->file >= 0 && fallocate(s->sink->file, mode, at, (off_t)s->frame.arg) != 0)
        return refuse(s, HG_PROTO_IO_ERROR);
    return 0;
}

static int take_sequenced(struct session *s)
{
    const struct hg_frame *f = &s->frame;
    struct volume *v = find_volume(s, f->volume);
    uint64_t len = f->type == HG_FRAME_DATA ? f->raw_len : f->arg;
    int rc = 0;

    if (v == NULL)
        return refuse(s, HG_PROTO_BAD_STATE);
    if (f->seq != v->seq + 1)
        return refuse(s, f->seq > v->seq ? HG_PROTO_SEQ_GAP : HG_PROTO_SEQ_REPLAY);
    s->spent += hg_frame_cost(f);
    if (s->spent > s->limit)
        return refuse(s, HG_PROTO_CREDIT);
    if (f->type == HG_FRAME_BARRIER)
        v->epoch = f->epoch;
    else if (f->offset > v->size || len > v->size - f->offset)
        rc = refuse(s, HG_PROTO_BOUNDS);
    else
        rc = f->type == HG_FRAME_DATA ? take_data(s, v) : take_hole(s, v);
    if (rc == 0 && s->stage == OPEN) {
        v->seq = f->seq;
        v->dirty = true;
    }
    return rc;
}

static int take_bye(struct session *s)
{
    int rc = session_acknowledge(s);

    s->stage = ENDING;
    return rc != 0 ? rc : say(s, (struct hg_frame){.type = HG_FRAME_BYE}, NULL);
}

static int take_frame(struct session *s)
{
    if (s->stage == EXPECT_HELLO)
        return take_hello(s);
    switch (s->frame.type) {
    case HG_FRAME_OPEN:
        return take_open(s);
    case HG_FRAME_DATA:
    case HG_FRAME_ZERO:
    case HG_FRAME_TRIM:
    case HG_FRAME_BARRIER:
        return take_sequenced(s);
    case HG_FRAME_PING:
        return say(s, (struct hg_frame){.type = HG_FRAME_PONG, .arg = s->frame.arg}, NULL);
    case HG_FRAME_BYE:
        return take_bye(s);
    case HG_FRAME_PONG:
        return 0;
    case HG_FRAME_ERROR:
        return -ECONNABORTED;
    default:
        if ((s->frame.flags & HG_FRAME_IGNORABLE) != 0)
            return 0;
        return refuse(s, HG_PROTO_BAD_STATE);
    }
}

static int begin_frame(struct session *s)
{
    static const struct hg_frame_limits limits = {
        .max_raw = HG_FRAME_RAW_MAX,
        .codecs = 1u << HG_CODEC_STORED | 1u << HG_CODEC_DEFLATE,
        .block = HG_BLOCK,
    };
    int code = hg_frame_get(s->head, &s->frame);
    uint8_t *grown;

    if (code == 0)
        code = hg_frame_check(&s->frame, &limits);
    if (code != 0)
        return refuse(s, (unsigned)code);
    if (s->frame.payload_len <= s->payload_cap)
        return 0;
    grown = realloc(s->payload, s->frame.payload_len);
    if (grown == NULL)
        return -ENOMEM;
    s->payload = grown;
    s->payload_cap = s->frame.payload_len;
    return 0;
}

uint8_t *session_place(struct session *s, uint32_t *want)
{
    if (s->have < HG_FRAME_HEADER) {
        *want = HG_FRAME_HEADER - s->have;
        return s->head + s->have;
    }
    *want = HG_FRAME_HEADER + s->frame.payload_len - s->have;
    return s->payload + (s->have - HG_FRAME_HEADER);
}

int session_took(struct session *s, uint32_t n)
{
    bool head = s->have < HG_FRAME_HEADER;
    int rc = 0;

    s->have += n;
    if (head && s->have == HG_FRAME_HEADER)
        rc = begin_frame(s);
    if (rc != 0 || s->stage == ENDING || s->have < HG_FRAME_HEADER ||
        s->have < HG_FRAME_HEADER + s->frame.payload_len)
        return rc;
    s->have = 0;
    return take_frame(s);
}

void session_free(struct session *s)
{
    free(s->payload);
    s->payload = NULL;
}
