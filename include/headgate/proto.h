/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wire format of the native protocol, docs/protocol.md. Pure functions on bytes; both ends use
 * them.
 */
#ifndef HEADGATE_PROTO_H
#define HEADGATE_PROTO_H

#include <headgate/base.h>
#include <headgate/endian.h>

#define HG_PROTO_ALPN "headgate/1"
#define HG_PROTO_PORT 1500
#define HG_PROTO_MINOR 0
#define HG_FRAME_HEADER 64u
#define HG_FRAME_RAW_MAX (1024u * 1024u)
#define HG_FRAME_CONTROL_MAX 4096u /* payload of frames that are not DATA */
#define HG_PROTO_NAME_MAX 127u     /* bytes of a volume's name, without the source's */
#define HG_PROTO_TEXT_MAX 512u     /* bytes of an ERROR's sentence */
#define HG_PROTO_AGENT_MAX 128u

enum hg_frame_type {
    HG_FRAME_HELLO = 1,
    HG_FRAME_WELCOME = 2,
    HG_FRAME_OPEN = 3,
    HG_FRAME_OPENED = 4,
    HG_FRAME_DATA = 5,
    HG_FRAME_ZERO = 6,
    HG_FRAME_TRIM = 7,
    HG_FRAME_BARRIER = 8,
    HG_FRAME_ACK = 9,
    HG_FRAME_CREDIT = 10,
    HG_FRAME_PING = 11,
    HG_FRAME_PONG = 12,
    HG_FRAME_ERROR = 13,
    HG_FRAME_BYE = 14,
};

enum { HG_FRAME_IGNORABLE = 1 << 0, HG_FRAME_RETRANSMIT = 1 << 1 };

enum hg_ack_level { HG_ACK_RECEIVED = 1, HG_ACK_DURABLE = 2, HG_ACK_CONSISTENT = 3 };

enum hg_proto_error {
    HG_PROTO_BAD_MAGIC = 1,
    HG_PROTO_HEADER_CRC = 2,
    HG_PROTO_VERSION = 3,
    HG_PROTO_UNKNOWN_TYPE = 4,
    HG_PROTO_BAD_STATE = 5,
    HG_PROTO_LIMIT = 6,
    HG_PROTO_BAD_FIELD = 7,
    HG_PROTO_CODEC = 8,
    HG_PROTO_DECOMPRESS = 9,
    HG_PROTO_PAYLOAD_CRC = 10,
    HG_PROTO_BOUNDS = 11,
    HG_PROTO_SEQ_GAP = 12,
    HG_PROTO_SEQ_REPLAY = 13,
    HG_PROTO_NO_SPACE = 14,
    HG_PROTO_BUSY = 15,
    HG_PROTO_SIZE_MISMATCH = 16,
    HG_PROTO_NOT_FOUND = 17,
    HG_PROTO_BAD_NAME = 18,
    HG_PROTO_CREDIT = 19,
    HG_PROTO_TOO_SLOW = 20,
    HG_PROTO_IDLE = 21,
    HG_PROTO_SHUTDOWN = 22,
    HG_PROTO_IO_ERROR = 23,
    HG_PROTO_BARRIER_MISMATCH = 24,
    HG_PROTO_INTERNAL = 25,
    HG_PROTO_TOO_MANY_VOLUMES = 26,
    HG_PROTO_SUPERSEDED = 27,
    HG_PROTO_NOT_READING = 28,
};
#define HG_PROTO_ERRORS 29 /* codes are 1..28 */

enum hg_proto_scope { HG_SCOPE_FRAME = 1, HG_SCOPE_VOLUME = 2, HG_SCOPE_SESSION = 3 };
enum hg_proto_retry {
    HG_RETRY_NEVER = 0,
    HG_RETRY_NOW = 1,
    HG_RETRY_AFTER = 2,
    HG_RETRY_OTHER_NODE = 3,
};

/* Section 2, on the wire. */
struct hg_frame_wire {
    uint8_t magic[4];
    uint8_t minor;
    uint8_t type;
    hg_le16 flags;
    hg_le32 header_crc;
    hg_le32 payload_len;
    hg_le32 raw_len;
    hg_le32 payload_crc;
    hg_le32 volume;
    uint8_t codec;
    uint8_t level;
    uint8_t reserved[2];
    hg_le64 seq;
    hg_le64 epoch;
    hg_le64 offset;
    hg_le64 arg;
};
_Static_assert(sizeof(struct hg_frame_wire) == HG_FRAME_HEADER, "frame header is 64 bytes");

/* Section 2, in host order. */
struct hg_frame {
    uint8_t minor, type, codec, level;
    uint16_t flags;
    uint32_t payload_len, raw_len, payload_crc, volume;
    uint64_t seq, epoch, offset, arg;
};

/* Section 4.1. */
struct hg_hello_wire {
    hg_le32 codecs, max_raw, levels, want_credit;
    uint8_t session[16];
};
_Static_assert(sizeof(struct hg_hello_wire) == 32, "HELLO's fixed part is 32 bytes");

struct hg_welcome_wire {
    hg_le32 codecs, max_raw, levels, block, max_volumes, idle_ms;
    hg_le64 credit;
    uint8_t session[16];
};
_Static_assert(sizeof(struct hg_welcome_wire) == 48, "WELCOME's fixed part is 48 bytes");

/* Section 6. */
struct hg_error_wire {
    hg_le16 code;
    uint8_t scope, retry;
    hg_le32 retry_ms;
};
_Static_assert(sizeof(struct hg_error_wire) == 8, "ERROR's fixed part is 8 bytes");

/* Writes the 64 bytes at dst, header CRC included. */
void hg_frame_put(uint8_t dst[HG_FRAME_HEADER], const struct hg_frame *frame);

/* Reads 64 bytes. Checks magic and header CRC only: 0, or the positive code HG_PROTO_BAD_MAGIC or
 * HG_PROTO_HEADER_CRC, and then *frame is not touched. */
int hg_frame_get(const uint8_t src[HG_FRAME_HEADER], struct hg_frame *frame);

/* Checks what can be told from the header alone, in the order of section 2: lengths against section
 * 3 (max_raw as negotiated), codec against the mask, alignment to `block`, the expansion bound.
 * `skippable` frames of unknown type pass with their payload_len bounded. Returns 0 or a positive
 * enum hg_proto_error. Bounds of the volume are the session's to check. */
struct hg_frame_limits {
    uint32_t max_raw; /* bytes */
    uint32_t codecs;  /* bit mask */
    uint32_t block;   /* bytes */
};
int hg_frame_check(const struct hg_frame *frame, const struct hg_frame_limits *limits);

/* Credit a sequenced frame takes, section 7; 0 for the others. */
uint32_t hg_frame_cost(const struct hg_frame *frame);

/* "DATA", ...; "unknown" for others. */
const char *hg_frame_type_name(uint8_t type);
/* "payload_crc", ...; "unknown". */
const char *hg_proto_error_name(unsigned code);
/* Scope and retry advice that section 6 gives for a code (busy: volume). */
enum hg_proto_scope hg_proto_error_scope(unsigned code);
enum hg_proto_retry hg_proto_error_retry(unsigned code);

#endif /* HEADGATE_PROTO_H */
