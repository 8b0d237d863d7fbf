/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the ingest room share: one instance, one session, what it said, and frames made
 * by hand. */
#ifndef HG_TESTS_UNIT_INGEST_RIG_H
#define HG_TESTS_UNIT_INGEST_RIG_H

#include "store_stub.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <headgate/codec.h>
#include <headgate/ingest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA (16u << 20)
#define VOLUME_SIZE (4u << 20)

/* One instance, one session, and what it said. */
static struct fixture {
    struct hg_store store;
    struct hg_arena *arena;
    void *mem;
    struct hg_ingest *ing;
    struct hg_session *s;
    hg_ns now;
    uint8_t out[1u << 16];
    uint32_t out_len, out_at;
    unsigned fences;
} * f;

static inline void count_fence(void *arg, const char *volume)
{
    (void)arg;
    (void)volume;
    f->fences++;
}

static inline struct hg_session *new_session(const char *source)
{
    return hg_session_create(f->ing, source, "192.0.2.7:4711", f, f->now);
}

static inline void begin_with(const struct hg_ingest_cfg *base)
{
    struct hg_ingest_cfg cfg = *base;
    struct hg_err err;

    f = calloc(1, sizeof *f);
    stub_init(&f->store);
    f->mem = aligned_alloc(HG_ARENA_MAX_BLOCK, ARENA);
    CU_ASSERT_EQUAL_FATAL(hg_arena_create(f->mem, ARENA, &f->arena), 0);
    f->now = HG_SEC(1000);
    cfg.store = &f->store;
    cfg.arena = f->arena;
    cfg.fence = count_fence;
    CU_ASSERT_EQUAL_FATAL(hg_ingest_create(&cfg, f->now, &f->ing, &err), 0);
    f->s = new_session("alpha");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->s);
}

static inline void begin(void)
{
    begin_with(&(struct hg_ingest_cfg){.sessions_max = 8, .requests_max = 256, .credit = 1u << 20});
}

/* Every test ends with all buffers back and no session alive. */
static inline void end(void)
{
    if (f->s != NULL)
        hg_session_close(f->s, f->now);
    stub_complete(&f->store, STUB_MAX, 0);
    CU_ASSERT_EQUAL(hg_arena_used(f->arena), 0);
    CU_ASSERT_EQUAL(hg_ingest_sessions(f->ing), 0);
    CU_ASSERT_EQUAL(f->store.attached, f->store.detached);
    hg_ingest_destroy(f->ing);
    hg_arena_destroy(f->arena);
    free(f->mem);
    free(f);
}

static inline uint32_t feed(const void *data, uint32_t len)
{
    return hg_session_input(f->s, data, len, f->now);
}

static inline uint32_t make(uint8_t *dst, struct hg_frame frame, const void *payload, uint32_t len)
{
    if (frame.payload_len == 0)
        frame.payload_len = len;
    if (frame.raw_len == 0 && frame.type != HG_FRAME_DATA)
        frame.raw_len = len;
    hg_frame_put(dst, &frame);
    if (len != 0)
        memcpy(dst + HG_FRAME_HEADER, payload, len);
    return HG_FRAME_HEADER + len;
}

static inline void send_frame(struct hg_frame frame, const void *payload, uint32_t len)
{
    static uint8_t buf[HG_FRAME_HEADER + HG_FRAME_RAW_MAX];
    uint32_t n = make(buf, frame, payload, len);

    CU_ASSERT_EQUAL(feed(buf, n), n);
}

/* The next frame the node said, or type 0. */
static inline struct hg_frame hear(const uint8_t **payload)
{
    struct hg_frame frame = {0};

    if (f->out_at == f->out_len) {
        f->out_at = 0;
        f->out_len = hg_session_output(f->s, f->out, sizeof f->out, f->now);
    }
    if (f->out_at == f->out_len)
        return frame;
    CU_ASSERT_EQUAL_FATAL(hg_frame_get(f->out + f->out_at, &frame), 0);
    if (payload != NULL)
        *payload = f->out + f->out_at + HG_FRAME_HEADER;
    if (frame.payload_len != 0)
        CU_ASSERT_EQUAL(hg_crc32c(f->out + f->out_at + HG_FRAME_HEADER, frame.payload_len),
                        frame.payload_crc);
    f->out_at += HG_FRAME_HEADER + frame.payload_len;
    return frame;
}

static inline void expect_silence(void)
{
    CU_ASSERT_EQUAL(hear(NULL).type, 0);
}

static inline void hello(void)
{
    struct hg_hello_wire h = {
        .codecs = hg_le32_put(3), .max_raw = hg_le32_put(1u << 20), .levels = hg_le32_put(0xe)};
    const uint8_t *p;
    struct hg_welcome_wire w;
    struct hg_frame frame;

    send_frame((struct hg_frame){.type = HG_FRAME_HELLO}, &h, sizeof h);
    frame = hear(&p);
    CU_ASSERT_EQUAL_FATAL(frame.type, HG_FRAME_WELCOME);
    memcpy(&w, p, sizeof w);
    CU_ASSERT_EQUAL(hg_le32_get(w.block), HG_BLOCK);
    CU_ASSERT_EQUAL(hg_le64_get(w.credit), 1u << 20);
}

static inline void open_volume(uint32_t handle)
{
    struct hg_frame frame;

    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = handle, .arg = VOLUME_SIZE},
               "disk", 4);
    frame = hear(NULL);
    CU_ASSERT_EQUAL_FATAL(frame.type, HG_FRAME_OPENED);
    CU_ASSERT_EQUAL(frame.volume, handle);
    CU_ASSERT_EQUAL(frame.arg, VOLUME_SIZE);
}

static inline void ready_session(void)
{
    begin();
    hello();
    open_volume(7);
    expect_silence();
}

static uint8_t pattern[HG_FRAME_RAW_MAX];

static inline struct hg_frame data_frame(uint64_t seq, uint64_t offset, uint32_t len)
{
    return (struct hg_frame){.type = HG_FRAME_DATA,
                             .volume = 7,
                             .seq = seq,
                             .offset = offset,
                             .raw_len = len,
                             .payload_crc = hg_crc32c(pattern, len)};
}

static inline void send_data(uint64_t seq, uint64_t offset, uint32_t len)
{
    send_frame(data_frame(seq, offset, len), pattern, len);
}

/* The node's next words are an ERROR with this code, and for the session's end also its last. */
static inline void expect_error(unsigned code, unsigned scope, unsigned retry)
{
    const uint8_t *p;
    struct hg_frame frame = hear(&p);
    struct hg_error_wire e;

    while (frame.type == HG_FRAME_ACK || frame.type == HG_FRAME_CREDIT)
        frame = hear(&p);
    CU_ASSERT_EQUAL_FATAL(frame.type, HG_FRAME_ERROR);
    memcpy(&e, p, sizeof e);
    CU_ASSERT_EQUAL(hg_le16_get(e.code), code);
    CU_ASSERT_EQUAL(e.scope, scope);
    CU_ASSERT_EQUAL(e.retry, retry);
    CU_ASSERT(frame.payload_len > sizeof e);
    CU_ASSERT_EQUAL(hg_session_finished(f->s), scope == HG_SCOPE_SESSION);
}

static inline struct hg_ingest_counters counters(void)
{
    struct hg_ingest_counters c;

    memcpy(&c, hg_ingest_counter_set(f->ing).value, sizeof c);
    return c;
}

static inline int rig_main(CU_SuiteInfo *suites)
{
    unsigned failed = 1;

    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 2654435761u >> 13);
    if (CU_initialize_registry() == CUE_SUCCESS && CU_register_suites(suites) == CUE_SUCCESS) {
        CU_basic_run_tests();
        failed = CU_get_number_of_failures();
    }
    CU_cleanup_registry();
    return failed != 0;
}

#endif /* HG_TESTS_UNIT_INGEST_RIG_H */
