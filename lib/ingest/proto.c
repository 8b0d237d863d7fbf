/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire format of the native protocol. Sections are those of docs/protocol.md. */
#include <headgate/codec.h>
#include <headgate/proto.h>
#include <stdbool.h>

static const uint8_t magic[4] = {'H', 'G', 'R', '1'};

void hg_frame_put(uint8_t dst[HG_FRAME_HEADER], const struct hg_frame *frame)
{
    struct hg_frame_wire w = {
        .minor = frame->minor,
        .type = frame->type,
        .flags = hg_le16_put(frame->flags),
        .payload_len = hg_le32_put(frame->payload_len),
        .raw_len = hg_le32_put(frame->raw_len),
        .payload_crc = hg_le32_put(frame->payload_crc),
        .volume = hg_le32_put(frame->volume),
        .codec = frame->codec,
        .level = frame->level,
        .seq = hg_le64_put(frame->seq),
        .epoch = hg_le64_put(frame->epoch),
        .offset = hg_le64_put(frame->offset),
        .arg = hg_le64_put(frame->arg),
    };

    memcpy(w.magic, magic, sizeof magic);
    w.header_crc = hg_le32_put(hg_crc32c(&w, sizeof w));
    memcpy(dst, &w, sizeof w);
}

int hg_frame_get(const uint8_t src[HG_FRAME_HEADER], struct hg_frame *frame)
{
    struct hg_frame_wire w;
    uint32_t crc;

    memcpy(&w, src, sizeof w);
    if (memcmp(w.magic, magic, sizeof magic) != 0)
        return HG_PROTO_BAD_MAGIC;
    crc = hg_le32_get(w.header_crc);
    w.header_crc = hg_le32_put(0);
    if (hg_crc32c(&w, sizeof w) != crc)
        return HG_PROTO_HEADER_CRC;
    *frame = (struct hg_frame){
        .minor = w.minor,
        .type = w.type,
        .codec = w.codec,
        .level = w.level,
        .flags = hg_le16_get(w.flags),
        .payload_len = hg_le32_get(w.payload_len),
        .raw_len = hg_le32_get(w.raw_len),
        .payload_crc = hg_le32_get(w.payload_crc),
        .volume = hg_le32_get(w.volume),
        .seq = hg_le64_get(w.seq),
        .epoch = hg_le64_get(w.epoch),
        .offset = hg_le64_get(w.offset),
        .arg = hg_le64_get(w.arg),
    };
    return 0;
}

/* Section 3, rows 1 to 3. */
static int check_data(const struct hg_frame *f, const struct hg_frame_limits *limits)
{
    if (f->raw_len == 0 || f->payload_len == 0 || f->raw_len > limits->max_raw ||
        f->payload_len > f->raw_len)
        return HG_PROTO_LIMIT;
    if (f->codec > 31 || (limits->codecs & (1u << f->codec)) == 0)
        return HG_PROTO_CODEC;
    if (f->codec == HG_CODEC_STORED && f->payload_len != f->raw_len)
        return HG_PROTO_BAD_FIELD;
    if (f->codec == HG_CODEC_DEFLATE &&
        f->raw_len > (uint64_t)f->payload_len * HG_DEFLATE_RATIO_MAX)
        return HG_PROTO_LIMIT;
    if (f->volume == 0 || f->offset % limits->block != 0)
        return HG_PROTO_BAD_FIELD;
    return 0;
}

static int check_control(const struct hg_frame *f)
{
    if (f->payload_len > HG_FRAME_CONTROL_MAX)
        return HG_PROTO_LIMIT;
    if (f->codec != HG_CODEC_STORED || f->raw_len != f->payload_len)
        return HG_PROTO_BAD_FIELD;
    return 0;
}

static bool type_known(uint8_t type)
{
    return type >= HG_FRAME_HELLO && type <= HG_FRAME_BYE;
}

int hg_frame_check(const struct hg_frame *f, const struct hg_frame_limits *limits)
{
    int rc;

    if (!type_known(f->type)) {
        if ((f->flags & HG_FRAME_IGNORABLE) == 0)
            return HG_PROTO_UNKNOWN_TYPE;
        return f->payload_len > HG_FRAME_CONTROL_MAX ? HG_PROTO_LIMIT : 0;
    }
    if (f->type == HG_FRAME_DATA)
        return check_data(f, limits);
    rc = check_control(f);
    if (rc != 0)
        return rc;
    switch (f->type) {
    case HG_FRAME_ZERO:
    case HG_FRAME_TRIM:
        if (f->volume == 0 || f->payload_len != 0 || f->arg == 0 || f->offset % limits->block != 0)
            return HG_PROTO_BAD_FIELD;
        return 0;
    case HG_FRAME_BARRIER:
        return f->volume == 0 || f->payload_len != 0 ? HG_PROTO_BAD_FIELD : 0;
    case HG_FRAME_OPEN:
        return f->volume == 0 ? HG_PROTO_BAD_FIELD : 0;
    default:
        return 0;
    }
}

uint32_t hg_frame_cost(const struct hg_frame *frame)
{
    switch (frame->type) {
    case HG_FRAME_DATA:
        return hg_arena_cost(frame->raw_len);
    case HG_FRAME_ZERO:
    case HG_FRAME_TRIM:
    case HG_FRAME_BARRIER:
        return HG_BLOCK;
    default:
        return 0;
    }
}

const char *hg_frame_type_name(uint8_t type)
{
    static const char *const name[] = {
        [HG_FRAME_HELLO] = "HELLO",   [HG_FRAME_WELCOME] = "WELCOME", [HG_FRAME_OPEN] = "OPEN",
        [HG_FRAME_OPENED] = "OPENED", [HG_FRAME_DATA] = "DATA",       [HG_FRAME_ZERO] = "ZERO",
        [HG_FRAME_TRIM] = "TRIM",     [HG_FRAME_BARRIER] = "BARRIER", [HG_FRAME_ACK] = "ACK",
        [HG_FRAME_CREDIT] = "CREDIT", [HG_FRAME_PING] = "PING",       [HG_FRAME_PONG] = "PONG",
        [HG_FRAME_ERROR] = "ERROR",   [HG_FRAME_BYE] = "BYE",
    };

    return type_known(type) ? name[type] : "unknown";
}

struct error_row {
    const char *name;
    uint8_t scope, retry;
};

/* Section 6, the table of codes. */
static const struct error_row error_table[HG_PROTO_ERRORS] = {
    [HG_PROTO_BAD_MAGIC] = {"bad_magic", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_HEADER_CRC] = {"header_crc", HG_SCOPE_SESSION, HG_RETRY_NOW},
    [HG_PROTO_VERSION] = {"version", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_UNKNOWN_TYPE] = {"unknown_type", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_BAD_STATE] = {"bad_state", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_LIMIT] = {"limit", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_BAD_FIELD] = {"bad_field", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_CODEC] = {"codec", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_DECOMPRESS] = {"decompress", HG_SCOPE_FRAME, HG_RETRY_NOW},
    [HG_PROTO_PAYLOAD_CRC] = {"payload_crc", HG_SCOPE_FRAME, HG_RETRY_NOW},
    [HG_PROTO_BOUNDS] = {"bounds", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
    [HG_PROTO_SEQ_GAP] = {"seq_gap", HG_SCOPE_SESSION, HG_RETRY_NOW},
    [HG_PROTO_SEQ_REPLAY] = {"seq_replay", HG_SCOPE_SESSION, HG_RETRY_NOW},
    [HG_PROTO_NO_SPACE] = {"no_space", HG_SCOPE_VOLUME, HG_RETRY_AFTER},
    [HG_PROTO_BUSY] = {"busy", HG_SCOPE_VOLUME, HG_RETRY_AFTER},
    [HG_PROTO_SIZE_MISMATCH] = {"size_mismatch", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
    [HG_PROTO_NOT_FOUND] = {"not_found", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
    [HG_PROTO_BAD_NAME] = {"bad_name", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
    [HG_PROTO_CREDIT] = {"credit", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_TOO_SLOW] = {"too_slow", HG_SCOPE_SESSION, HG_RETRY_NOW},
    [HG_PROTO_IDLE] = {"idle", HG_SCOPE_SESSION, HG_RETRY_NOW},
    [HG_PROTO_SHUTDOWN] = {"shutdown", HG_SCOPE_SESSION, HG_RETRY_AFTER},
    [HG_PROTO_IO_ERROR] = {"io_error", HG_SCOPE_SESSION, HG_RETRY_AFTER},
    [HG_PROTO_BARRIER_MISMATCH] = {"barrier_mismatch", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
    [HG_PROTO_INTERNAL] = {"internal", HG_SCOPE_SESSION, HG_RETRY_AFTER},
    [HG_PROTO_TOO_MANY_VOLUMES] = {"too_many_volumes", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_SUPERSEDED] = {"superseded", HG_SCOPE_SESSION, HG_RETRY_NEVER},
    [HG_PROTO_NOT_READING] = {"not_reading", HG_SCOPE_SESSION, HG_RETRY_NOW},
};

const char *hg_proto_error_name(unsigned code)
{
    return code != 0 && code < HG_PROTO_ERRORS ? error_table[code].name : "unknown";
}

enum hg_proto_scope hg_proto_error_scope(unsigned code)
{
    return code != 0 && code < HG_PROTO_ERRORS ? error_table[code].scope : HG_SCOPE_SESSION;
}

enum hg_proto_retry hg_proto_error_retry(unsigned code)
{
    return code != 0 && code < HG_PROTO_ERRORS ? error_table[code].retry : HG_RETRY_NEVER;
}
