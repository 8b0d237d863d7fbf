/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the source's half of a session, shared by source.c (life), source_send.c (frames out)
 * and source_recv.c (bytes in).
 *
 * Invariants, for every volume:
 *  1. tail <= next <= high <= head and head - tail <= the ring's size. Indices count ops since
 *     the volume was added and never wrap; ring slot = index & mask.
 *  2. [tail, next) is in flight in this session; [next, head) waits to be sent.
 *  3. [next, high) was sent in this session and rewound: it goes out again with RETRANSMIT.
 *  4. sent_ever is the largest next there ever was; the node can only know indices below it.
 *  5. Sequence number = seq_base + index + 1, where seq_base is fixed by the first OPENED. An op
 *     keeps its number for ever, so a frame sent again after a cut is the same frame to the node.
 *  6. src->inflight is the sum of the costs of [tail, next) over all volumes.
 *  7. A volume is on the ready queue if and only if `queued`; it is there whenever it is VOL_OPEN,
 *     not held back, not short of its own credit, and next < head.
 * Outside HG_SOURCE_OPEN no volume is in flight: a cut sets next = high = tail.
 */
#ifndef LIB_INGEST_SOURCE_IMPL_H
#define LIB_INGEST_SOURCE_IMPL_H

#include <headgate/source.h>

enum volume_state {
    VOL_OPEN_DUE, /* OPEN waits to be sent, perhaps until hold_until */
    VOL_OPENING,  /* OPEN sent */
    VOL_OPEN,     /* OPENED received */
    VOL_FAILED,   /* nothing more can be sent on it, in any session */
};

/* One unacknowledged op. */
struct pending {
    struct hg_source_op op;
    hg_ns sent;     /* first handed out; 0 not yet */
    uint64_t epoch; /* BARRIER: the epoch it closes; 0 not assigned yet */
    uint64_t
        barrier_frames; /* BARRIER: arg and offset of section 4, as first sent in the session */
    uint64_t barrier_bytes;
};

struct volume {
    struct volume *ready_next;
    bool queued;
    enum volume_state state;
    uint32_t index; /* handle = index + 1 */
    struct pending *ring;
    uint64_t tail, next, high, head;
    uint64_t sent_ever;
    uint64_t seq_base;
    bool has_base;
    hg_ns hold_until;   /* 0: not held back by retry advice */
    uint64_t cost_sent; /* section 7: in this session, bytes */
    uint64_t cost_limit;
    bool limited;                       /* the node sent CREDIT for this volume */
    uint64_t since_frames, since_bytes; /* since the last BARRIER or OPENED of this session */
    uint64_t last_epoch;                /* highest epoch closed or given to a BARRIER */
    struct hg_source_volume_info info;
    char name[HG_PROTO_NAME_MAX + 1];
};

/* Input assembly: the largest frame a node may send. */
#define ASSEMBLY_MAX (HG_FRAME_HEADER + HG_FRAME_CONTROL_MAX)

struct hg_source {
    struct hg_source_cfg cfg;
    struct hg_source_env env;
    char agent[HG_PROTO_AGENT_MAX + 1];
    enum hg_source_state state;
    struct hg_source_end end;
    struct hg_source_stats stats;
    char advice[HG_PROTO_TEXT_MAX + 256]; /* last rewind's sentence */

    struct volume **volumes;
    uint32_t n_volumes;
    uint32_t mask;             /* ring size - 1 */
    uint64_t unreleased;       /* ops submitted and not released, over all volumes not failed */
    struct volume *ready_head; /* round robin: served at the head, put back at the tail */
    struct volume *ready_tail;

    uint8_t session[16];
    uint32_t codecs, block, max_volumes;
    hg_ns idle; /* section 3, silence; 0 before WELCOME */
    hg_ns last_input;
    hg_ns ping_at;                  /* PING without anything heard since; 0: none */
    uint64_t cost_sent, cost_limit; /* section 7, this session, bytes */
    uint64_t inflight;
    bool credit_short;  /* sending stopped for want of session credit */
    uint32_t open_scan; /* volumes below it need no OPEN now */
    uint32_t unopened;  /* volumes in VOL_OPEN_DUE or VOL_OPENING */
    hg_ns next_hold;    /* earliest hold_until of a volume; 0: none */
    bool hello_due, pong_due, ping_due, bye_due, bye_sent, error_due;
    bool finish;   /* hg_source_finish() was called */
    bool draining; /* node sent BYE: no new sequenced frames */
    uint64_t pong_arg;

    uint32_t have; /* bytes in assembly[] */
    uint8_t assembly[ASSEMBLY_MAX];
    uint8_t control[HG_FRAME_CONTROL_MAX]; /* payload of the control frame being handed out */
};

static inline struct pending *pending_at(const struct hg_source *src, const struct volume *vol,
                                         uint64_t index)
{
    return &vol->ring[index & src->mask];
}

/* Section 7. */
uint32_t source_cost(const struct hg_source_op *op);

/* Puts the volume on the ready queue if invariant 7 asks for it. */
void source_ready(struct hg_source *src, struct volume *vol);

/* The session is over: state FAILED, sentence and advice kept. `code` is sent to the node in an
 * ERROR when the fault is the node's (ours = true). Returns -EPROTO. */
int source_fail(struct hg_source *src, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Nothing more can be sent on the volume; the owner is told. */
void source_volume_fail(struct hg_source *src, struct volume *vol, const char *why);

/* Forgets ops below index `upto` (<= sent_ever), telling the owner. */
void source_release(struct hg_source *src, struct volume *vol, uint64_t upto, hg_ns now);

/* Sends again from index `from` (tail <= from <= next). */
void source_rewind(struct hg_source *src, struct volume *vol, uint64_t from);

/* Decides whether BYE is due. */
void source_check_finish(struct hg_source *src);

#endif /* LIB_INGEST_SOURCE_IMPL_H */
