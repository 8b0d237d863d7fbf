/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one volume is fed with: the order of its changes, and their bytes whenever a frame is due.
 *
 * Three kinds: an image; synthetic (gen.h); replay, which cycles through ready-made payloads. The
 * tag of an op is its version: with the offset it names the content for ever.
 */
#ifndef LOAD_FEED_H
#define LOAD_FEED_H

#include "gen.h"
#include "image.h"
#include "options.h"
#include <headgate/codec.h>
#include <headgate/source.h>

#define REPLAY_SLOTS 64u

/* Ready-made payloads, read-only once made, shared by all volumes. */
struct replay {
    uint32_t block; /* bytes, raw */
    struct replay_slot {
        uint8_t *raw, *wire;
        uint32_t wire_len, crc;
        uint8_t codec;
    } slot[REPLAY_SLOTS];
};

/* Memory of one thread for making payloads. */
struct feed_scratch {
    uint8_t *raw;     /* 1 MiB */
    uint8_t *comp;    /* 1 MiB */
    uint8_t *deflate; /* HG_DEFLATE_SCRATCH */
};

struct feed {
    const struct load_options *opt;
    const struct gen *gen;
    const struct replay *replay; /* NULL: none */
    struct image *image;         /* NULL: synthetic; owned */
    uint32_t id;                 /* of the volume in this run: seeds the content */
    uint64_t size;               /* bytes */
    uint32_t codecs;             /* bit mask: what the node accepts in this session */
    char name[HG_PROTO_NAME_MAX + 1];

    uint64_t rng;
    uint64_t cursor;  /* seq: next offset */
    uint64_t written; /* seq: everything below was written at least once */
    uint64_t version; /* of the last op */
    uint64_t left;    /* bytes still to be made; UINT64_MAX: until told to stop */
    uint64_t since_barrier;
    hg_ns barrier_at; /* time of the next BARRIER; 0 not set */
    bool stopped, last_barrier_made;

    uint64_t fed_bytes, acked_bytes; /* DATA, ZERO: progress */
};

int replay_create(const struct load_options *opt, const struct gen *gen, struct replay **out);
void replay_destroy(struct replay *replay);

int feed_scratch_create(struct feed_scratch *s);
void feed_scratch_destroy(struct feed_scratch *s);

/* The next change. 1; 0: nothing more comes; negative errno with a sentence. */
int feed_next(struct feed *feed, struct feed_scratch *s, hg_ns now, struct hg_source_op *op,
              struct hg_err *err);
/* No more changes, save a last BARRIER where those were asked for. */
void feed_stop(struct feed *feed);

/* The bytes of op before compression; valid until the next call on the same scratch. */
int feed_raw(struct feed *feed, struct feed_scratch *s, const struct hg_source_op *op,
             const uint8_t **raw, struct hg_err *err);
/* The bytes of op as they travel, with one of feed->codecs. */
int feed_payload(struct feed *feed, struct feed_scratch *s, const struct hg_source_op *op,
                 struct hg_source_payload *out, struct hg_err *err);

#endif /* LOAD_FEED_H */
