/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"
#include <stdio.h>
#include <string.h>

static int on_payload(void *arg, uint32_t volume, const struct hg_source_op *op,
                      struct hg_source_payload *out)
{
    struct rig *r = arg;

    (void)volume;
    memset(r->block, (int)op->tag, sizeof r->block);
    *out = (struct hg_source_payload){
        .data = r->block, .len = (uint32_t)op->len, .crc = hg_crc32c(r->block, op->len)};
    return r->payload_rc;
}

static void on_acked(void *arg, uint32_t volume, const struct hg_source_op *op, hg_ns sent,
                     hg_ns now)
{
    struct rig *r = arg;

    CU_ASSERT_EQUAL(now, r->now);
    CU_ASSERT(op->tag > r->last_tag[volume]); /* in order, each once */
    r->last_tag[volume] = op->tag;
    r->acked[volume]++;
    r->last_sent = sent;
}

static void on_volume_news(void *arg, uint32_t volume, const char *why)
{
    struct rig *r = arg;

    (void)volume;
    if (why == NULL) {
        r->opened++;
        return;
    }
    r->failed++;
    snprintf(r->why, sizeof r->why, "%s", why);
}

void rig_init(struct rig *r, struct hg_source_cfg cfg)
{
    struct hg_source_env env = {on_payload, on_acked, on_volume_news, r};
    struct hg_err err;

    memset(r, 0, sizeof *r);
    r->now = HG_SEC(1000);
    cfg.volumes_max = VOLUMES;
    if (cfg.frames_max == 0)
        cfg.frames_max = 64;
    cfg.max_raw = BLOCK;
    cfg.codecs = 3;
    cfg.agent = "test";
    CU_ASSERT_EQUAL_FATAL(hg_source_create(&cfg, &env, &r->src, &err), 0);
}

uint32_t add_volume(struct rig *r, const char *name)
{
    uint32_t v = 99;

    CU_ASSERT_EQUAL_FATAL(hg_source_volume_add(r->src, name, SIZE, &v, NULL), 0);
    return v;
}

/* ---- the node's side ---- */

int node_sends(struct rig *r, struct hg_frame f, const void *payload, uint32_t len)
{
    uint8_t wire[HG_FRAME_HEADER + HG_FRAME_CONTROL_MAX];

    f.payload_len = f.raw_len = len;
    f.payload_crc = len == 0 ? 0 : hg_crc32c(payload, len);
    hg_frame_put(wire, &f);
    if (len != 0)
        memcpy(wire + HG_FRAME_HEADER, payload, len);
    return hg_source_input(r->src, wire, HG_FRAME_HEADER + len, r->now);
}

struct hg_welcome_wire good_welcome(const struct rig *r, uint64_t credit)
{
    struct hg_welcome_wire w = {.codecs = hg_le32_put(3),
                                .max_raw = hg_le32_put(BLOCK),
                                .levels = hg_le32_put(1u << HG_ACK_DURABLE | 1u << HG_ACK_RECEIVED),
                                .block = hg_le32_put(4096),
                                .max_volumes = hg_le32_put(VOLUMES),
                                .idle_ms = hg_le32_put(10000),
                                .credit = hg_le64_put(credit)};

    memcpy(w.session, r->session, sizeof w.session);
    return w;
}

int node_error(struct rig *r, uint32_t handle, uint64_t seq, struct refusal why)
{
    uint8_t payload[64] = {0};
    struct hg_error_wire w = {.code = hg_le16_put((uint16_t)why.code),
                              .scope = (uint8_t)why.scope,
                              .retry = (uint8_t)why.retry,
                              .retry_ms = hg_le32_put(why.retry_ms)};

    memcpy(payload, &w, sizeof w);
    memcpy(payload + sizeof w, "it\x1b[31m is so", 13);
    return node_sends(r, (struct hg_frame){.type = HG_FRAME_ERROR, .volume = handle, .seq = seq},
                      payload, sizeof w + 13);
}

int node_ack(struct rig *r, uint32_t handle, enum hg_ack_level level, uint64_t seq)
{
    return node_sends(
        r,
        (struct hg_frame){
            .type = HG_FRAME_ACK, .volume = handle, .level = (uint8_t)level, .seq = seq},
        NULL, 0);
}

int node_opened(struct rig *r, uint32_t handle, uint64_t seq, uint64_t epoch)
{
    return node_sends(
        r,
        (struct hg_frame){
            .type = HG_FRAME_OPENED, .volume = handle, .arg = SIZE, .seq = seq, .epoch = epoch},
        NULL, 0);
}

/* ---- our side ---- */

/* The next frame must be of this type. */
struct hg_frame take(struct rig *r, uint8_t type)
{
    struct hg_source_frame out = {.type = 0};
    struct hg_frame f = {0};

    CU_ASSERT_EQUAL(hg_source_next(r->src, r->now, &out), 1);
    CU_ASSERT_EQUAL(hg_frame_get(out.header, &f), 0);
    CU_ASSERT_EQUAL(f.type, type);
    CU_ASSERT_EQUAL(out.type, type);
    CU_ASSERT_EQUAL(f.payload_len, out.payload_len);
    CU_ASSERT(out.payload_len == 0 || hg_crc32c(out.payload, out.payload_len) == f.payload_crc);
    return f;
}

void take_nothing(struct rig *r)
{
    struct hg_source_frame out;

    CU_ASSERT_EQUAL(hg_source_next(r->src, r->now, &out), 0);
}

/* HELLO and WELCOME. */
void begin(struct rig *r, uint64_t credit)
{
    struct hg_welcome_wire w;

    r->session[0]++;
    hg_source_start(r->src, r->session, r->now);
    w = good_welcome(r, credit);
    take(r, HG_FRAME_HELLO);
    take_nothing(r);
    CU_ASSERT_EQUAL(node_sends(r, (struct hg_frame){.type = HG_FRAME_WELCOME}, &w, sizeof w), 0);
    CU_ASSERT_EQUAL(hg_source_state(r->src), HG_SOURCE_OPEN);
}

/* One volume, open, at sequence number seq. */
void begin_one(struct rig *r, uint64_t credit, uint64_t seq)
{
    add_volume(r, "disk");
    begin(r, credit);
    take(r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_opened(r, 1, seq, 0), 0);
}

void submit(struct rig *r, uint32_t volume, uint8_t type, uint64_t first_tag, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool barrier = type == HG_FRAME_BARRIER;
        const struct hg_source_op op = {.type = type,
                                        .offset = barrier ? 0 : (first_tag + i) * BLOCK,
                                        .len = barrier ? 0 : BLOCK,
                                        .tag = first_tag + i};

        CU_ASSERT_EQUAL(hg_source_submit(r->src, volume, &op, 1), 1);
    }
}

int rig_main(const char *suite_name, const struct rig_test *tests, unsigned n)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite(suite_name, NULL, NULL);
    if (suite == NULL)
        return 1;
    for (unsigned i = 0; i < n; i++)
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
