/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source's half of the native protocol (docs/protocol.md): one session, without I/O or clock.
 *
 * The owner submits changes to volumes, carries bytes between this core and a TLS connection, and
 * is told what became durable. The core numbers the frames, keeps within credit, holds a descriptor
 * of every frame until the node has acknowledged it at the level relied on, sends again what the
 * node asks for, and after a cut goes on where the node says it stands.
 *
 * Payload is not kept: when a frame is due, first or again, the core asks the owner for its bytes
 * by (volume, offset, len, tag). So memory is flat whatever the network does, and the owner MUST be
 * able to make the same bytes twice: read the image again, or generate from a seed.
 *
 * One thread per instance; several instances per process. Nothing allocates after
 * hg_source_volume_add(). Text in errors is made safe for terminals: what the node sends is cut to
 * printable ASCII.
 */
#ifndef HEADGATE_SOURCE_H
#define HEADGATE_SOURCE_H

#include <headgate/base.h>
#include <headgate/proto.h>
#include <stdbool.h>

struct hg_source;

/* A change to a volume; the core copies it. */
struct hg_source_op {
    uint8_t type;    /* HG_FRAME_DATA, HG_FRAME_ZERO, HG_FRAME_TRIM or HG_FRAME_BARRIER */
    uint64_t offset; /* bytes; 0 for BARRIER */
    uint64_t len;    /* bytes: DATA 1..max_raw, ZERO and TRIM up to the volume's end; BARRIER 0 */
    uint64_t tag;    /* the owner's, handed back as it was */
};

/* The bytes of a DATA frame, as they go on the wire. */
struct hg_source_payload {
    const uint8_t *data; /* the owner's; must stay until the next hg_source_next() */
    uint32_t len;        /* bytes at data; <= op->len, equal to it when stored */
    uint32_t crc;        /* CRC32C of the op->len bytes before compression */
    uint8_t codec;       /* enum hg_codec; one of hg_source_codecs() */
    uint64_t time;       /* ns since 1970, advisory; 0 unknown */
};

/* What the core calls. None may call back into the same hg_source, save the read-only queries. */
struct hg_source_env {
    /* Makes the payload of op. 0, or negative errno: hg_source_next() returns it. */
    int (*payload)(void *arg, uint32_t volume, const struct hg_source_op *op,
                   struct hg_source_payload *out);
    /* op is acknowledged at the level relied on. `sent`: when it was first handed out, 0 when it
     * never was in this process. In order within a volume. */
    void (*acked)(void *arg, uint32_t volume, const struct hg_source_op *op, hg_ns sent, hg_ns now);
    /* The volume was opened (why NULL) or nothing more can be sent to it (why a sentence that names
     * it). */
    void (*volume_news)(void *arg, uint32_t volume, const char *why);
    void *arg;
};

#define HG_SOURCE_VOLUMES_MAX 65536u
#define HG_SOURCE_FRAMES_MAX (1u << 20)

struct hg_source_cfg {
    uint32_t volumes_max;      /* 1..HG_SOURCE_VOLUMES_MAX */
    uint32_t frames_max;       /* unacknowledged and unsent frames per volume; rounded up to a power
                                * of two, 2..HG_SOURCE_FRAMES_MAX */
    uint32_t max_raw;          /* bytes; largest DATA the owner will submit, 4096..1 MiB */
    uint32_t depth;            /* bytes (section 7 cost) in flight at most, also asked for in HELLO;
                                * 0: as much as the node grants */
    uint32_t codecs;           /* bit mask offered in HELLO; stored is always added */
    uint32_t levels;           /* bit mask of ACK levels wanted; `release` is added */
    enum hg_ack_level release; /* level relied on: what it covers is forgotten; 0: durable */
    const char *agent;         /* printable ASCII, at most HG_PROTO_AGENT_MAX; copied; NULL: none */
};

/* 0, -EINVAL, -ENOMEM. */
int hg_source_create(const struct hg_source_cfg *cfg, const struct hg_source_env *env,
                     struct hg_source **out, struct hg_err *err);
void hg_source_destroy(struct hg_source *src); /* NULL is allowed */

/* Adds a volume; it is opened in this session, or the next. `size` in bytes, 0: it must exist on
 * the node. *volume: index from 0. 0, -EINVAL with a sentence, -ENOSPC, -ENOMEM. */
int hg_source_volume_add(struct hg_source *src, const char *name, uint64_t size, uint32_t *volume,
                         struct hg_err *err);

/* How many ops hg_source_submit() will take for the volume now; 0 when it failed. */
uint32_t hg_source_room(const struct hg_source *src, uint32_t volume);
/* Ops submitted and not handed out in this session; to submit much more than can be sent soon only
 * fixes their order early. */
uint32_t hg_source_unsent(const struct hg_source *src, uint32_t volume);
/* Hands in n changes in order; returns how many were taken: less than n when the volume's table of
 * frames is full or an op is out of range (then hg_source_room() is not 0). */
uint32_t hg_source_submit(struct hg_source *src, uint32_t volume, const struct hg_source_op *ops,
                          uint32_t n);

/* ---- a connection's life ---- */

enum hg_source_state {
    HG_SOURCE_IDLE,   /* no connection */
    HG_SOURCE_HELLO,  /* HELLO due or sent */
    HG_SOURCE_OPEN,   /* WELCOME received: frames flow */
    HG_SOURCE_CLOSED, /* BYE answered: everything submitted is acknowledged; close the connection */
    HG_SOURCE_FAILED, /* send what hg_source_next() still has, then close; see hg_source_end() */
};
enum hg_source_state hg_source_state(const struct hg_source *src);

/* TLS is up: begins a session. Only in HG_SOURCE_IDLE. */
void hg_source_start(struct hg_source *src, const uint8_t session[16], hg_ns now);
/* The connection is gone, whatever the reason: back to HG_SOURCE_IDLE, nothing is lost. */
void hg_source_cut(struct hg_source *src);
/* No more submits will come: BYE once everything is acknowledged. Lasts over cuts. */
void hg_source_finish(struct hg_source *src);
/* Every op submitted so far is acknowledged, those of failed volumes apart. */
bool hg_source_released(const struct hg_source *src);

/* Bytes from the node, in order, any pieces. 0, or -EPROTO: the state is HG_SOURCE_FAILED. */
int hg_source_input(struct hg_source *src, const uint8_t *data, size_t len, hg_ns now);

struct hg_source_frame {
    uint8_t header[HG_FRAME_HEADER];
    const uint8_t *payload; /* NULL when payload_len is 0; valid until the next call, or as long as
                             * the owner's payload() memory lives */
    uint32_t payload_len;   /* bytes */
    uint8_t type;
};

/* The next frame that may be sent now. What it returns MUST be sent, whole and in order. One at a
 * time, since payload() usually makes the bytes in one buffer. 1: *out is filled; 0: nothing may be
 * sent before more input, time or ops; negative: payload() failed with it, the frame is still due.
 */
int hg_source_next(struct hg_source *src, hg_ns now, struct hg_source_frame *out);

/* Retry timers and idle supervision. Returns when to call again at the latest; 0: no need. After it
 * hg_source_next() may have something. */
hg_ns hg_source_poll(struct hg_source *src, hg_ns now);

/* ---- seeing inside ---- */

/* How the last session ended; stays until the next one has failed. */
struct hg_source_end {
    unsigned code; /* enum hg_proto_error; 0: no ERROR was involved */
    bool ours;     /* this side refused what the node sent */
    enum hg_proto_retry retry;
    uint32_t retry_ms;
    char text[HG_PROTO_TEXT_MAX + 192]; /* "" when it did not fail */
};
const struct hg_source_end *hg_source_end(const struct hg_source *src);

/* The sentence of the node's last request to send again or to wait; "" when there was none. */
const char *hg_source_advice(const struct hg_source *src);

/* Codecs the node accepted, bit mask; stored only before WELCOME. */
uint32_t hg_source_codecs(const struct hg_source *src);

struct hg_source_volume_info {
    const char *name;
    uint64_t size;     /* bytes; of OPENED when it was 0 */
    uint64_t base_seq; /* durable when this process first opened it */
    uint64_t received; /* sequence numbers acknowledged by level */
    uint64_t durable;
    uint64_t consistent;
    uint64_t epoch;               /* last closed */
    uint64_t submitted, released; /* ops, since hg_source_volume_add() */
    bool open, failed;
};
void hg_source_volume_info(const struct hg_source *src, uint32_t volume,
                           struct hg_source_volume_info *out);

/* Walks what is not yet acknowledged: the i-th op from the oldest; false past the end. `sent` tells
 * whether it was handed out at least once. */
bool hg_source_pending(const struct hg_source *src, uint32_t volume, uint32_t i,
                       struct hg_source_op *op, bool *sent);

/* Since creation. */
struct hg_source_stats {
    uint64_t frames, wire_bytes; /* frames handed out, headers and payloads */
    uint64_t resent;             /* of the frames, those handed out before */
    uint64_t rewinds;            /* times the node asked for frames again */
    uint64_t retry_waits;        /* rewinds or opens that had to wait for retry_ms */
    uint64_t credit_waits;       /* times sending stopped for want of credit */
    uint64_t pings;              /* PINGs of the node answered */
    uint64_t inflight;           /* cost of what is handed out and not acknowledged, now; bytes */
};
void hg_source_stats(const struct hg_source *src, struct hg_source_stats *out);

#endif /* HEADGATE_SOURCE_H */
