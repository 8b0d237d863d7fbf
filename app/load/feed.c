/* SPDX-License-Identifier: BSD-3-Clause */
#include "feed.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

int feed_scratch_create(struct feed_scratch *s)
{
    s->raw = aligned_alloc(4096, HG_FRAME_RAW_MAX);
    s->comp = aligned_alloc(4096, HG_FRAME_RAW_MAX);
    s->deflate = aligned_alloc(4096, HG_DEFLATE_SCRATCH);
    if (s->raw != NULL && s->comp != NULL && s->deflate != NULL)
        return 0;
    feed_scratch_destroy(s);
    return -ENOMEM;
}

void feed_scratch_destroy(struct feed_scratch *s)
{
    free(s->raw);
    free(s->comp);
    free(s->deflate);
    *s = (struct feed_scratch){0};
}

void replay_destroy(struct replay *replay)
{
    if (replay == NULL)
        return;
    for (unsigned i = 0; i < REPLAY_SLOTS; i++) {
        free(replay->slot[i].raw);
        free(replay->slot[i].wire);
    }
    free(replay);
}

static int slot_fill(struct replay_slot *slot, const struct gen *gen, uint32_t block, unsigned i,
                     const struct feed_scratch *s)
{
    const struct gen_place place = {.version = i};

    slot->raw = aligned_alloc(4096, block);
    if (slot->raw == NULL)
        return -ENOMEM;
    gen_fill(gen, &place, slot->raw, block);
    slot->crc = hg_crc32c(slot->raw, block);
    slot->codec = HG_CODEC_STORED;
    slot->wire_len = block;
    if (s->deflate == NULL)
        return 0;
    slot->wire_len = hg_deflate(s->comp, block, slot->raw, block, s->deflate);
    if (slot->wire_len == 0) {
        slot->wire_len = block;
        return 0;
    }
    slot->codec = HG_CODEC_DEFLATE;
    slot->wire = malloc(slot->wire_len);
    if (slot->wire == NULL)
        return -ENOMEM;
    memcpy(slot->wire, s->comp, slot->wire_len);
    return 0;
}

int replay_create(const struct load_options *opt, const struct gen *gen, struct replay **out)
{
    struct replay *replay = calloc(1, sizeof *replay);
    struct feed_scratch s = {0};
    int rc = 0;

    if (replay == NULL || (opt->codec == HG_CODEC_DEFLATE && feed_scratch_create(&s) != 0)) {
        free(replay);
        return -ENOMEM;
    }
    replay->block = opt->mix.size[0];
    for (unsigned i = 0; i < REPLAY_SLOTS && rc == 0; i++)
        rc = slot_fill(&replay->slot[i], gen, replay->block, i, &s);
    feed_scratch_destroy(&s);
    if (rc != 0) {
        replay_destroy(replay);
        return rc;
    }
    *out = replay;
    return 0;
}

/* ---- which change comes next ---- */

static uint64_t draw(struct feed *feed)
{
    feed->rng += UINT64_C(0x9e3779b97f4a7c15);
    return gen_mix(feed->rng);
}

static uint32_t draw_size(struct feed *feed)
{
    const struct load_mix *mix = &feed->opt->mix;
    uint32_t pick = mix->n == 1 ? 0 : (uint32_t)(draw(feed) % mix->weight_sum);

    for (unsigned i = 0; i < mix->n; i++) {
        if (pick < mix->weight[i])
            return mix->size[i];
        pick -= mix->weight[i];
    }
    return mix->size[0];
}

/* Places an extent of `len` at random below `limit`, aligned to itself as guests write. */
static uint64_t draw_offset(struct feed *feed, uint64_t limit, uint64_t len)
{
    return limit < len ? 0 : draw(feed) % (limit / len) * len;
}

static void synthetic_next(struct feed *feed, struct hg_source_op *op)
{
    const struct load_options *opt = feed->opt;
    uint64_t len = draw_size(feed);
    bool rewrite = opt->overwrite_pct != 0 && feed->written >= HG_BLOCK &&
                   draw(feed) % 100 < opt->overwrite_pct;

    if (opt->pattern == LOAD_RANDOM) {
        op->offset = draw_offset(feed, feed->size, len);
    } else if (rewrite) {
        op->offset = draw_offset(feed, feed->written, len);
    } else {
        if (feed->cursor >= feed->size)
            feed->cursor = 0;
        op->offset = feed->cursor;
    }
    if (len > feed->size - op->offset)
        len = feed->size - op->offset;
    if (opt->pattern == LOAD_SEQ && !rewrite) {
        feed->cursor += len;
        if (feed->written < feed->cursor)
            feed->written = feed->cursor;
    }
    op->len = len;
    op->type =
        opt->zero_pct != 0 && draw(feed) % 100 < opt->zero_pct ? HG_FRAME_ZERO : HG_FRAME_DATA;
}

static bool barrier_due(struct feed *feed, hg_ns now)
{
    const struct load_options *opt = feed->opt;

    if (opt->barrier_frames != 0)
        return feed->since_barrier >= opt->barrier_frames;
    if (opt->barrier_ns == 0)
        return false;
    if (feed->barrier_at == 0)
        feed->barrier_at = now + opt->barrier_ns;
    if (now < feed->barrier_at)
        return false;
    feed->barrier_at = now + opt->barrier_ns;
    return feed->since_barrier != 0;
}

static int make_barrier(struct feed *feed, struct hg_source_op *op)
{
    feed->since_barrier = 0;
    *op = (struct hg_source_op){.type = HG_FRAME_BARRIER, .tag = feed->version};
    return 1;
}

/* After the last change: one more BARRIER, if barriers are wanted at all. */
static int feed_end(struct feed *feed, struct hg_source_op *op)
{
    bool wanted = feed->opt->barrier_frames != 0 || feed->opt->barrier_ns != 0;

    if (!wanted || feed->last_barrier_made)
        return 0;
    feed->last_barrier_made = true;
    return make_barrier(feed, op);
}

int feed_next(struct feed *feed, struct feed_scratch *s, hg_ns now, struct hg_source_op *op,
              struct hg_err *err)
{
    *op = (struct hg_source_op){0};
    if (barrier_due(feed, now))
        return make_barrier(feed, op);
    if (feed->stopped || feed->left == 0)
        return feed_end(feed, op);
    if (feed->image != NULL) {
        int rc = image_next(feed->image, s->raw, feed->opt->mix.size[0], op, err);

        if (rc < 0)
            return rc;
        if (rc == 0)
            return feed_end(feed, op);
    } else {
        synthetic_next(feed, op);
        if (feed->left != UINT64_MAX)
            feed->left -= op->len < feed->left ? op->len : feed->left;
    }
    op->tag = ++feed->version;
    feed->since_barrier++;
    feed->fed_bytes += op->len;
    return 1;
}

void feed_stop(struct feed *feed)
{
    feed->stopped = true;
}

/* ---- its bytes ---- */

static const struct replay_slot *replay_slot(const struct feed *feed, const struct hg_source_op *op)
{
    if (feed->replay == NULL || op->len != feed->replay->block)
        return NULL;
    return &feed->replay->slot[op->tag % REPLAY_SLOTS];
}

int feed_raw(struct feed *feed, struct feed_scratch *s, const struct hg_source_op *op,
             const uint8_t **raw, struct hg_err *err)
{
    const struct replay_slot *slot = replay_slot(feed, op);
    struct gen_place place;

    *raw = s->raw;
    if (slot != NULL) {
        *raw = slot->raw;
        return 0;
    }
    if (feed->image != NULL)
        return image_read(feed->image, s->raw, (uint32_t)op->len, op->offset, err);
    place = (struct gen_place){feed->id, op->offset, op->tag};
    gen_fill(feed->gen, &place, s->raw, (uint32_t)op->len);
    return 0;
}

int feed_payload(struct feed *feed, struct feed_scratch *s, const struct hg_source_op *op,
                 struct hg_source_payload *out, struct hg_err *err)
{
    const struct replay_slot *slot = replay_slot(feed, op);
    uint32_t len = (uint32_t)op->len;
    bool deflate =
        feed->opt->codec == HG_CODEC_DEFLATE && (feed->codecs & (1u << HG_CODEC_DEFLATE)) != 0;
    const uint8_t *raw;
    int rc;

    if (slot != NULL) {
        bool ready = slot->wire != NULL && deflate;

        *out = (struct hg_source_payload){
            .data = ready ? slot->wire : slot->raw,
            .len = ready ? slot->wire_len : len,
            .crc = slot->crc,
            .codec = ready ? slot->codec : HG_CODEC_STORED,
        };
        return 0;
    }
    rc = feed_raw(feed, s, op, &raw, err);
    if (rc != 0)
        return rc;
    *out = (struct hg_source_payload){.data = raw, .len = len, .crc = hg_crc32c(raw, len)};
    if (!deflate)
        return 0;
    len = hg_deflate(s->comp, len, raw, len, s->deflate);
    if (len != 0) {
        out->data = s->comp;
        out->len = len;
        out->codec = HG_CODEC_DEFLATE;
    }
    return 0;
}
