/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source's half of a session against hand-made frames of a node: numbering, credit, rewind,
 * resume, errors. Time is a number that the tests move.
 */
#include <headgate/codec.h>
#include <headgate/source.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOLUMES 3u
#define SIZE (UINT64_C(1) << 30)
#define BLOCK 4096u

/* One session with what its callbacks saw. */
struct rig {
    struct hg_source *src;
    uint8_t block[BLOCK];
    uint8_t session[16];
    int payload_rc;          /* returned by payload() */
    uint64_t acked[VOLUMES]; /* ops acknowledged */
    uint64_t last_tag[VOLUMES];
    hg_ns last_sent;
    unsigned opened, failed;
    char why[1024];
    hg_ns now;
};

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

static void rig_init(struct rig *r, struct hg_source_cfg cfg)
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

static uint32_t add_volume(struct rig *r, const char *name)
{
    uint32_t v = 99;

    CU_ASSERT_EQUAL_FATAL(hg_source_volume_add(r->src, name, SIZE, &v, NULL), 0);
    return v;
}

/* ---- the node's side ---- */

static int node_sends(struct rig *r, struct hg_frame f, const void *payload, uint32_t len)
{
    uint8_t wire[HG_FRAME_HEADER + HG_FRAME_CONTROL_MAX];

    f.payload_len = f.raw_len = len;
    f.payload_crc = len == 0 ? 0 : hg_crc32c(payload, len);
    hg_frame_put(wire, &f);
    if (len != 0)
        memcpy(wire + HG_FRAME_HEADER, payload, len);
    return hg_source_input(r->src, wire, HG_FRAME_HEADER + len, r->now);
}

static struct hg_welcome_wire good_welcome(const struct rig *r, uint64_t credit)
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

static int node_error(struct rig *r, uint32_t handle, uint64_t seq, unsigned code,
                      enum hg_proto_scope scope, enum hg_proto_retry retry, uint32_t retry_ms)
{
    uint8_t payload[64] = {0};
    struct hg_error_wire w = {.code = hg_le16_put((uint16_t)code),
                              .scope = (uint8_t)scope,
                              .retry = (uint8_t)retry,
                              .retry_ms = hg_le32_put(retry_ms)};

    memcpy(payload, &w, sizeof w);
    memcpy(payload + sizeof w, "it\x1b[31m is so", 13);
    return node_sends(r, (struct hg_frame){.type = HG_FRAME_ERROR, .volume = handle, .seq = seq},
                      payload, sizeof w + 13);
}

static int node_ack(struct rig *r, uint32_t handle, enum hg_ack_level level, uint64_t seq)
{
    return node_sends(
        r,
        (struct hg_frame){
            .type = HG_FRAME_ACK, .volume = handle, .level = (uint8_t)level, .seq = seq},
        NULL, 0);
}

static int node_opened(struct rig *r, uint32_t handle, uint64_t seq, uint64_t epoch)
{
    return node_sends(
        r,
        (struct hg_frame){
            .type = HG_FRAME_OPENED, .volume = handle, .arg = SIZE, .seq = seq, .epoch = epoch},
        NULL, 0);
}

/* ---- our side ---- */

/* The next frame must be of this type. */
static struct hg_frame take(struct rig *r, uint8_t type)
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

static void take_nothing(struct rig *r)
{
    struct hg_source_frame out;

    CU_ASSERT_EQUAL(hg_source_next(r->src, r->now, &out), 0);
}

/* HELLO and WELCOME. */
static void begin(struct rig *r, uint64_t credit)
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
static void begin_one(struct rig *r, uint64_t credit, uint64_t seq)
{
    add_volume(r, "disk");
    begin(r, credit);
    take(r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_opened(r, 1, seq, 0), 0);
}

static void submit(struct rig *r, uint32_t volume, uint8_t type, uint64_t first_tag, uint32_t n)
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

/* ---- tests ---- */

static void test_session_start(void)
{
    struct hg_hello_wire hello;
    struct hg_source_frame out;
    struct hg_frame f;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){.depth = 1u << 20});
    add_volume(&r, "disk0");
    CU_ASSERT_EQUAL(hg_source_next(r.src, r.now, &out), 0); /* no connection */
    memset(r.session, 0x42, sizeof r.session);
    hg_source_start(r.src, r.session, r.now);
    CU_ASSERT_EQUAL(hg_source_next(r.src, r.now, &out), 1);
    CU_ASSERT_EQUAL(out.type, HG_FRAME_HELLO);
    CU_ASSERT_EQUAL_FATAL(out.payload_len, sizeof hello + 4);
    memcpy(&hello, out.payload, sizeof hello);
    CU_ASSERT_EQUAL(hg_le32_get(hello.codecs), 3);
    CU_ASSERT_EQUAL(hg_le32_get(hello.max_raw), BLOCK);
    CU_ASSERT_EQUAL(hg_le32_get(hello.levels), 1u << HG_ACK_DURABLE);
    CU_ASSERT_EQUAL(hg_le32_get(hello.want_credit), 1u << 20);
    CU_ASSERT_EQUAL(memcmp(hello.session, r.session, 16), 0);
    CU_ASSERT_EQUAL(memcmp(out.payload + sizeof hello, "test", 4), 0);
    take_nothing(&r);
    CU_ASSERT_EQUAL(hg_source_codecs(r.src), 1);
    {
        struct hg_welcome_wire w = good_welcome(&r, 65536);

        CU_ASSERT_EQUAL(node_sends(&r, (struct hg_frame){.type = HG_FRAME_WELCOME}, &w, sizeof w),
                        0);
    }
    CU_ASSERT_EQUAL(hg_source_codecs(r.src), 3);
    f = take(&r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(f.volume, 1);
    CU_ASSERT_EQUAL(f.arg, SIZE);
    CU_ASSERT_EQUAL(f.payload_len, 5);
    take_nothing(&r);
    hg_source_destroy(r.src);
}

/* Section 5: after the durable number comes the next one; ACKs release in order. */
static void test_numbers_and_acks(void)
{
    struct hg_source_volume_info info;
    struct hg_frame f;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 41);
    CU_ASSERT_EQUAL(r.opened, 1);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    submit(&r, 0, HG_FRAME_ZERO, 3, 1);
    f = take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(f.seq, 42);
    CU_ASSERT_EQUAL(f.flags, 0);
    CU_ASSERT_EQUAL(f.offset, BLOCK);
    CU_ASSERT_EQUAL(f.raw_len, BLOCK);
    r.now += HG_MS(1);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 43);
    f = take(&r, HG_FRAME_ZERO);
    CU_ASSERT_EQUAL(f.seq, 44);
    CU_ASSERT_EQUAL(f.arg, BLOCK);
    take_nothing(&r);
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_RECEIVED, 44), 0);
    CU_ASSERT_EQUAL(r.acked[0], 0); /* received is not what we rely on */
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 43), 0);
    CU_ASSERT_EQUAL(r.acked[0], 2);
    CU_ASSERT_EQUAL(r.last_sent, r.now);
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 42), 0); /* old news */
    CU_ASSERT_FALSE(hg_source_released(r.src));
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 44), 0);
    CU_ASSERT_TRUE(hg_source_released(r.src));
    hg_source_volume_info(r.src, 0, &info);
    CU_ASSERT_EQUAL(info.durable, 44);
    CU_ASSERT_EQUAL(info.received, 44);
    CU_ASSERT_EQUAL(info.base_seq, 41);
    hg_source_destroy(r.src);
}

static void test_ack_of_the_unsent_ends_the_session(void)
{
    struct hg_source_frame out;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 3);
    take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 2), -EPROTO);
    CU_ASSERT_EQUAL(hg_source_state(r.src), HG_SOURCE_FAILED);
    CU_ASSERT_TRUE(hg_source_end(r.src)->ours);
    CU_ASSERT_EQUAL(r.acked[0], 0);
    /* The node is told why, and nothing more is sent. */
    CU_ASSERT_EQUAL(hg_source_next(r.src, r.now, &out), 1);
    CU_ASSERT_EQUAL(out.type, HG_FRAME_ERROR);
    take_nothing(&r);
    hg_source_destroy(r.src);
}

/* Section 7, session: the costs of all frames stay within the limit. */
static void test_session_credit(void)
{
    struct hg_source_stats st;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 3 * BLOCK, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 6);
    for (unsigned i = 0; i < 3; i++)
        take(&r, HG_FRAME_DATA);
    take_nothing(&r);
    take_nothing(&r);
    hg_source_stats(r.src, &st);
    CU_ASSERT_EQUAL(st.credit_waits, 1);
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 3), 0);
    take_nothing(&r); /* durable gives no credit by itself */
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_CREDIT, .arg = 2 * BLOCK}, NULL, 0);
    take_nothing(&r); /* limits never fall */
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_CREDIT, .arg = 5 * BLOCK}, NULL, 0);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    take_nothing(&r);
    hg_source_destroy(r.src);
}

/* A volume without credit does not hold up the others. */
static void test_volume_credit(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "a");
    add_volume(&r, "b");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    take(&r, HG_FRAME_OPEN);
    node_opened(&r, 1, 0, 0);
    node_opened(&r, 2, 0, 0);
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_CREDIT, .volume = 1, .arg = BLOCK}, NULL, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 3);
    submit(&r, 1, HG_FRAME_DATA, 1, 3);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).volume, 1);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).volume, 2);
    take_nothing(&r);
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_CREDIT, .volume = 1, .arg = 2 * BLOCK}, NULL,
               0);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).volume, 1);
    take_nothing(&r);
    hg_source_destroy(r.src);
}

static void test_volumes_take_turns(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "a");
    add_volume(&r, "b");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    take(&r, HG_FRAME_OPEN);
    node_opened(&r, 1, 0, 0);
    node_opened(&r, 2, 7, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 3);
    submit(&r, 1, HG_FRAME_DATA, 1, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct hg_frame a = take(&r, HG_FRAME_DATA), b = take(&r, HG_FRAME_DATA);

        CU_ASSERT_EQUAL(a.volume, 1);
        CU_ASSERT_EQUAL(a.seq, i + 1);
        CU_ASSERT_EQUAL(b.volume, 2);
        CU_ASSERT_EQUAL(b.seq, i + 8);
    }
    hg_source_destroy(r.src);
}

/* Our own bound: no more than depth is in flight, whatever was granted. */
static void test_depth(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){.depth = 2 * BLOCK});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 4);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    take_nothing(&r);
    node_ack(&r, 1, HG_ACK_DURABLE, 1);
    take(&r, HG_FRAME_DATA);
    take_nothing(&r);
    hg_source_destroy(r.src);
}

/* Section 6: from the frame named, with RETRANSMIT, at once; its credit counts again. */
static void test_rewind_now(void)
{
    struct hg_source_stats st;
    struct hg_frame f;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 6 * BLOCK, 10);
    submit(&r, 0, HG_FRAME_DATA, 1, 5);
    for (unsigned i = 0; i < 4; i++)
        take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(node_error(&r, 1, 13, HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW, 0),
                    0);
    hg_source_stats(r.src, &st);
    CU_ASSERT_EQUAL(st.rewinds, 1);
    CU_ASSERT_EQUAL(st.inflight, 2 * BLOCK);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_source_advice(r.src), "payload_crc"));
    CU_ASSERT_PTR_NULL(strchr(hg_source_advice(r.src), '\x1b')); /* safe for a terminal */
    f = take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(f.seq, 13);
    CU_ASSERT_EQUAL(f.flags, HG_FRAME_RETRANSMIT);
    f = take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(f.seq, 14);
    CU_ASSERT_EQUAL(f.flags, HG_FRAME_RETRANSMIT);
    take_nothing(&r); /* 4 + 2 blocks of credit are used up */
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_CREDIT, .arg = 7 * BLOCK}, NULL, 0);
    f = take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(f.seq, 15);
    CU_ASSERT_EQUAL(f.flags, 0); /* never sent before */
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 15), 0);
    CU_ASSERT_EQUAL(r.acked[0], 5);
    hg_source_destroy(r.src);
}

static void test_rewind_after_a_time(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "a");
    add_volume(&r, "b");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    take(&r, HG_FRAME_OPEN);
    node_opened(&r, 1, 0, 0);
    node_opened(&r, 2, 0, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(node_error(&r, 1, 1, HG_PROTO_NO_SPACE, HG_SCOPE_VOLUME, HG_RETRY_AFTER, 500),
                    0);
    submit(&r, 1, HG_FRAME_DATA, 1, 1);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).volume, 2); /* others are not affected */
    take_nothing(&r);
    CU_ASSERT_EQUAL(hg_source_poll(r.src, r.now), r.now + HG_MS(500));
    r.now += HG_MS(499);
    hg_source_poll(r.src, r.now);
    take_nothing(&r);
    r.now += HG_MS(1);
    hg_source_poll(r.src, r.now);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 1);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 2);
    hg_source_destroy(r.src);
}

/* Numbers outside what is in flight, and handles that do not exist. */
static void test_rewind_out_of_range(void)
{
    static const struct {
        uint32_t handle;
        uint64_t seq;
    } row[] = {{1, 0}, {1, 5}, {1, 9}, {1, UINT64_MAX}, {2, 7}, {0, 7}, {UINT32_MAX, 7}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        struct rig r;

        rig_init(&r, (struct hg_source_cfg){0});
        begin_one(&r, 1u << 20, 5);
        submit(&r, 0, HG_FRAME_DATA, 1, 2);
        take(&r, HG_FRAME_DATA); /* 6 and 7 are in flight */
        take(&r, HG_FRAME_DATA);
        CU_ASSERT_EQUAL(node_error(&r, row[i].handle, row[i].seq, HG_PROTO_PAYLOAD_CRC,
                                   HG_SCOPE_FRAME, HG_RETRY_NOW, 0),
                        -EPROTO);
        CU_ASSERT_TRUE(hg_source_end(r.src)->ours);
        hg_source_destroy(r.src);
    }
}

/* Section 5: after a cut only what is above OPENED.seq goes out again, with its old number. */
static void test_resume(void)
{
    struct hg_source_stats st;
    struct hg_frame f;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 100);
    submit(&r, 0, HG_FRAME_DATA, 1, 6);
    for (unsigned i = 0; i < 5; i++)
        take(&r, HG_FRAME_DATA);
    node_ack(&r, 1, HG_ACK_DURABLE, 101);
    hg_source_cut(r.src);
    CU_ASSERT_EQUAL(hg_source_state(r.src), HG_SOURCE_IDLE);
    begin(&r, 1u << 20);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_OPEN).volume, 1);
    take_nothing(&r);
    CU_ASSERT_EQUAL(node_opened(&r, 1, 103, 0), 0); /* 102 and 103 had become durable */
    CU_ASSERT_EQUAL(r.acked[0], 3);
    f = take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(f.seq, 104);
    CU_ASSERT_EQUAL(f.flags, 0); /* the first time in this session */
    CU_ASSERT_EQUAL(f.offset, 4 * BLOCK);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 105);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 106);
    take_nothing(&r);
    hg_source_stats(r.src, &st);
    CU_ASSERT_EQUAL(st.resent, 2);
    node_ack(&r, 1, HG_ACK_DURABLE, 106);
    CU_ASSERT_TRUE(hg_source_released(r.src));
    hg_source_destroy(r.src);
}

static void test_resume_of_lost_data_is_an_error(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 100);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    node_ack(&r, 1, HG_ACK_DURABLE, 102);
    hg_source_cut(r.src);
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_opened(&r, 1, 101, 0), -EPROTO);
    CU_ASSERT_PTR_NOT_NULL(strstr(hg_source_end(r.src)->text, "lost data"));
    hg_source_destroy(r.src);
}

static void test_resume_beyond_what_was_sent(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 100);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    take(&r, HG_FRAME_DATA);
    hg_source_cut(r.src);
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_opened(&r, 1, 102, 0), 0);
    CU_ASSERT_EQUAL(r.failed, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "another source"));
    CU_ASSERT_EQUAL(r.acked[0], 0);
    CU_ASSERT_EQUAL(hg_source_room(r.src, 0), 0);
    hg_source_destroy(r.src);
}

/* Section 4: counts since the last BARRIER or OPENED, rewound frames once. */
static void test_barrier_counts(void)
{
    struct hg_frame f;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "disk");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    node_opened(&r, 1, 0, 7);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    submit(&r, 0, HG_FRAME_ZERO, 3, 1);
    submit(&r, 0, HG_FRAME_BARRIER, 4, 1);
    submit(&r, 0, HG_FRAME_BARRIER, 5, 1);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_ZERO);
    node_error(&r, 1, 2, HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW, 0);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_ZERO);
    f = take(&r, HG_FRAME_BARRIER);
    CU_ASSERT_EQUAL(f.epoch, 8);
    CU_ASSERT_EQUAL(f.arg, 3);
    CU_ASSERT_EQUAL(f.offset, 2 * BLOCK);
    f = take(&r, HG_FRAME_BARRIER);
    CU_ASSERT_EQUAL(f.epoch, 9);
    CU_ASSERT_EQUAL(f.arg, 0);
    CU_ASSERT_EQUAL(f.offset, 0);
    /* Rewound over a BARRIER: the same counts and epoch again. */
    node_error(&r, 1, 3, HG_PROTO_NO_SPACE, HG_SCOPE_VOLUME, HG_RETRY_NOW, 0);
    take(&r, HG_FRAME_ZERO);
    f = take(&r, HG_FRAME_BARRIER);
    CU_ASSERT_EQUAL(f.epoch, 8);
    CU_ASSERT_EQUAL(f.arg, 3);
    CU_ASSERT_EQUAL(f.offset, 2 * BLOCK);
    /* After a cut the counts begin at OPENED; the epoch stays. */
    hg_source_cut(r.src);
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    node_opened(&r, 1, 2, 7);
    take(&r, HG_FRAME_ZERO);
    f = take(&r, HG_FRAME_BARRIER);
    CU_ASSERT_EQUAL(f.epoch, 8);
    CU_ASSERT_EQUAL(f.arg, 1);
    CU_ASSERT_EQUAL(f.offset, 0);
    hg_source_destroy(r.src);
}

static void test_finish(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 1);
    hg_source_finish(r.src);
    CU_ASSERT_EQUAL(hg_source_room(r.src, 0), 0);
    take(&r, HG_FRAME_DATA);
    take_nothing(&r);
    hg_source_cut(r.src); /* lasts over a cut */
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    take_nothing(&r); /* not before the volume is open */
    node_opened(&r, 1, 0, 0);
    take(&r, HG_FRAME_DATA);
    node_ack(&r, 1, HG_ACK_DURABLE, 1);
    take(&r, HG_FRAME_BYE);
    take_nothing(&r);
    CU_ASSERT_EQUAL(node_sends(&r, (struct hg_frame){.type = HG_FRAME_BYE}, NULL, 0), 0);
    CU_ASSERT_EQUAL(hg_source_state(r.src), HG_SOURCE_CLOSED);
    hg_source_destroy(r.src);
}

/* Section 8: the node drains. */
static void test_node_drains(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    take(&r, HG_FRAME_DATA);
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_BYE}, NULL, 0);
    take_nothing(&r); /* no new sequenced frames */
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 1), 0);
    CU_ASSERT_EQUAL(node_error(&r, 0, 0, HG_PROTO_SHUTDOWN, HG_SCOPE_SESSION, HG_RETRY_AFTER, 1500),
                    -EPROTO);
    CU_ASSERT_FALSE(hg_source_end(r.src)->ours);
    CU_ASSERT_EQUAL(hg_source_end(r.src)->code, HG_PROTO_SHUTDOWN);
    CU_ASSERT_EQUAL(hg_source_end(r.src)->retry, HG_RETRY_AFTER);
    CU_ASSERT_EQUAL(hg_source_end(r.src)->retry_ms, 1500);
    take_nothing(&r); /* no ERROR in answer to an ERROR */
    hg_source_destroy(r.src);
}

static void test_volume_refused(void)
{
    struct hg_source_op op;
    bool sent;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "a");
    add_volume(&r, "b");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    take(&r, HG_FRAME_OPEN);
    submit(&r, 0, HG_FRAME_DATA, 1, 2);
    submit(&r, 1, HG_FRAME_DATA, 1, 1);
    node_error(&r, 1, 0, HG_PROTO_SIZE_MISMATCH, HG_SCOPE_VOLUME, HG_RETRY_NEVER, 0);
    CU_ASSERT_EQUAL(r.failed, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "size_mismatch"));
    node_opened(&r, 2, 0, 0);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).volume, 2);
    node_ack(&r, 2, HG_ACK_DURABLE, 1);
    CU_ASSERT_TRUE(hg_source_released(r.src)); /* failed volumes apart */
    CU_ASSERT_TRUE(hg_source_pending(r.src, 0, 1, &op, &sent));
    CU_ASSERT_FALSE(sent);
    CU_ASSERT_FALSE(hg_source_pending(r.src, 0, 2, &op, &sent));
    hg_source_destroy(r.src);
}

static void test_volume_failed_in_flight(void)
{
    struct hg_source_stats st;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 3);
    take(&r, HG_FRAME_DATA);
    take(&r, HG_FRAME_DATA);
    CU_ASSERT_EQUAL(node_error(&r, 1, 1, HG_PROTO_BOUNDS, HG_SCOPE_VOLUME, HG_RETRY_NEVER, 0), 0);
    CU_ASSERT_EQUAL(r.failed, 1);
    take_nothing(&r);
    hg_source_stats(r.src, &st);
    CU_ASSERT_EQUAL(st.inflight, 0);
    CU_ASSERT_EQUAL(node_ack(&r, 1, HG_ACK_DURABLE, 1), 0); /* late, harmless */
    hg_source_cut(r.src);
    begin(&r, 1u << 20);
    take_nothing(&r); /* it is not opened again */
    hg_source_destroy(r.src);
}

static void test_open_again_after_busy(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    add_volume(&r, "disk");
    begin(&r, 1u << 20);
    take(&r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_error(&r, 1, 0, HG_PROTO_BUSY, HG_SCOPE_VOLUME, HG_RETRY_AFTER, 200), 0);
    take_nothing(&r);
    r.now += HG_MS(200);
    hg_source_poll(r.src, r.now);
    take(&r, HG_FRAME_OPEN);
    CU_ASSERT_EQUAL(node_opened(&r, 1, 0, 0), 0);
    CU_ASSERT_EQUAL(r.opened, 1);
    hg_source_destroy(r.src);
}

static void test_ping_and_silence(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_PING, .arg = 77}, NULL, 0);
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_PONG).arg, 77);
    take_nothing(&r);
    CU_ASSERT_EQUAL(hg_source_poll(r.src, r.now), r.now + HG_SEC(10));
    r.now += HG_SEC(10);
    hg_source_poll(r.src, r.now);
    take(&r, HG_FRAME_PING);
    take_nothing(&r); /* once */
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_PONG}, NULL, 0);
    r.now += HG_SEC(10);
    hg_source_poll(r.src, r.now);
    take(&r, HG_FRAME_PING);
    r.now += HG_SEC(10);
    hg_source_poll(r.src, r.now);
    CU_ASSERT_EQUAL(hg_source_state(r.src), HG_SOURCE_FAILED);
    CU_ASSERT_EQUAL(hg_source_end(r.src)->code, HG_PROTO_IDLE);
    hg_source_destroy(r.src);
}

static void test_hello_unanswered(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    hg_source_start(r.src, r.session, r.now);
    take(&r, HG_FRAME_HELLO);
    CU_ASSERT_EQUAL(hg_source_poll(r.src, r.now), r.now + HG_SEC(10));
    r.now += HG_SEC(10);
    hg_source_poll(r.src, r.now);
    CU_ASSERT_EQUAL(hg_source_state(r.src), HG_SOURCE_FAILED);
    hg_source_destroy(r.src);
}

/* Each row spoils one field of a good WELCOME. */
static void test_bad_welcome(void)
{
    for (unsigned row = 0; row < 6; row++) {
        struct hg_welcome_wire w;
        uint32_t len = sizeof w;
        struct rig r;

        rig_init(&r, (struct hg_source_cfg){0});
        add_volume(&r, "disk");
        hg_source_start(r.src, r.session, r.now);
        take(&r, HG_FRAME_HELLO);
        w = good_welcome(&r, 1u << 20);
        if (row == 0)
            w.max_raw = hg_le32_put(BLOCK - 1);
        if (row == 1)
            w.levels = hg_le32_put(1u << HG_ACK_RECEIVED);
        if (row == 2)
            w.block = hg_le32_put(8192);
        if (row == 3)
            w.block = hg_le32_put(0);
        if (row == 4)
            w.session[15] ^= 1;
        if (row == 5)
            len--;
        CU_ASSERT_EQUAL(node_sends(&r, (struct hg_frame){.type = HG_FRAME_WELCOME}, &w, len),
                        -EPROTO);
        CU_ASSERT(hg_source_end(r.src)->text[0] != '\0');
        hg_source_destroy(r.src);
    }
}

/* Frames at the wrong time or of the wrong kind. */
static void test_bad_frames(void)
{
    static const uint8_t only_ours[] = {HG_FRAME_HELLO, HG_FRAME_OPEN,    HG_FRAME_DATA,
                                        HG_FRAME_ZERO,  HG_FRAME_BARRIER, HG_FRAME_WELCOME};

    for (unsigned i = 0; i < HG_ARRAY_LEN(only_ours); i++) {
        uint8_t payload[BLOCK] = {0};
        struct rig r;
        struct hg_frame f = {.type = only_ours[i], .volume = 1, .arg = BLOCK, .epoch = 1};

        rig_init(&r, (struct hg_source_cfg){0});
        begin_one(&r, 1u << 20, 0);
        CU_ASSERT_EQUAL(node_sends(&r, f, payload,
                                   f.type == HG_FRAME_ZERO || f.type == HG_FRAME_BARRIER ? 0 : 48),
                        -EPROTO);
        hg_source_destroy(r.src);
    }
}

static void test_bad_bytes(void)
{
    uint8_t wire[HG_FRAME_HEADER];
    struct rig r;

    for (unsigned bit = 0; bit < 8 * HG_FRAME_HEADER; bit += 13) {
        rig_init(&r, (struct hg_source_cfg){0});
        begin_one(&r, 1u << 20, 0);
        hg_frame_put(wire, &(struct hg_frame){.type = HG_FRAME_CREDIT, .arg = 5});
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT_EQUAL(hg_source_input(r.src, wire, sizeof wire, r.now), -EPROTO);
        hg_source_destroy(r.src);
    }
    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    hg_frame_put(wire, &(struct hg_frame){.type = 99});
    CU_ASSERT_EQUAL(hg_source_input(r.src, wire, sizeof wire, r.now), -EPROTO);
    hg_source_destroy(r.src);
}

/* An unknown type with IGNORABLE is skipped, and bytes may come in any pieces. */
static void test_any_pieces(void)
{
    uint8_t wire[3 * HG_FRAME_HEADER + 10] = {0};
    struct hg_source_volume_info info;
    struct rig r;

    for (size_t piece = 1; piece < sizeof wire; piece += 7) {
        rig_init(&r, (struct hg_source_cfg){0});
        begin_one(&r, 1u << 20, 0);
        submit(&r, 0, HG_FRAME_DATA, 1, 2);
        take(&r, HG_FRAME_DATA);
        take(&r, HG_FRAME_DATA);
        hg_frame_put(wire,
                     &(struct hg_frame){.type = HG_FRAME_ACK, .volume = 1, .level = 2, .seq = 1});
        hg_frame_put(wire + 64,
                     &(struct hg_frame){.type = 99,
                                        .flags = HG_FRAME_IGNORABLE,
                                        .payload_len = 10,
                                        .raw_len = 10,
                                        .payload_crc = hg_crc32c("\0\0\0\0\0\0\0\0\0\0", 10)});
        memset(wire + 128, 0, 10);
        hg_frame_put(wire + 138,
                     &(struct hg_frame){.type = HG_FRAME_ACK, .volume = 1, .level = 2, .seq = 2});
        for (size_t at = 0; at < sizeof wire; at += piece) {
            size_t n = sizeof wire - at < piece ? sizeof wire - at : piece;

            CU_ASSERT_EQUAL(hg_source_input(r.src, wire + at, n, r.now), 0);
        }
        hg_source_volume_info(r.src, 0, &info);
        CU_ASSERT_EQUAL(info.durable, 2);
        hg_source_destroy(r.src);
    }
}

static void test_submit_bounds(void)
{
    const struct hg_source_op bad[] = {
        {.type = HG_FRAME_DATA, .offset = 0, .len = BLOCK + 1},
        {.type = HG_FRAME_DATA, .offset = 512, .len = BLOCK},
        {.type = HG_FRAME_DATA, .offset = SIZE, .len = BLOCK},
        {.type = HG_FRAME_DATA, .offset = 0, .len = 512},
        {.type = HG_FRAME_DATA, .offset = 0, .len = 0},
        {.type = HG_FRAME_ZERO, .offset = BLOCK, .len = SIZE},
        {.type = HG_FRAME_ZERO, .offset = 0, .len = UINT64_MAX},
        {.type = HG_FRAME_BARRIER, .offset = 0, .len = 1},
        {.type = HG_FRAME_ACK, .offset = 0, .len = BLOCK},
    };
    const struct hg_source_op good = {.type = HG_FRAME_ZERO, .offset = 0, .len = SIZE, .tag = 1};
    struct rig r;
    uint32_t v;

    rig_init(&r, (struct hg_source_cfg){.frames_max = 4});
    CU_ASSERT_EQUAL(hg_source_volume_add(r.src, "", SIZE, &v, NULL), -EINVAL);
    CU_ASSERT_EQUAL(hg_source_volume_add(r.src, "a/b", SIZE, &v, NULL), -EINVAL);
    CU_ASSERT_EQUAL(hg_source_volume_add(r.src, "a", 4097, &v, NULL), -EINVAL);
    CU_ASSERT_EQUAL(hg_source_volume_add(r.src, "a", 512, &v, NULL), -EINVAL);
    add_volume(&r, "disk");
    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(hg_source_submit(r.src, 0, &bad[i], 1), 0);
    CU_ASSERT_EQUAL(hg_source_room(r.src, 0), 4);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(hg_source_submit(r.src, 0, &good, 1), 1);
    CU_ASSERT_EQUAL(hg_source_room(r.src, 0), 0);
    CU_ASSERT_EQUAL(hg_source_submit(r.src, 0, &good, 1), 0);
    hg_source_destroy(r.src);
}

static void test_payload_that_cannot_be_made(void)
{
    struct hg_source_frame out;
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    submit(&r, 0, HG_FRAME_DATA, 1, 1);
    r.payload_rc = -EIO;
    CU_ASSERT_EQUAL(hg_source_next(r.src, r.now, &out), -EIO);
    r.payload_rc = 0;
    CU_ASSERT_EQUAL(take(&r, HG_FRAME_DATA).seq, 1); /* still due */
    hg_source_destroy(r.src);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"session start", test_session_start},
    {"numbers and acknowledgements", test_numbers_and_acks},
    {"ACK of the unsent ends the session", test_ack_of_the_unsent_ends_the_session},
    {"session credit", test_session_credit},
    {"volume credit", test_volume_credit},
    {"volumes take turns", test_volumes_take_turns},
    {"depth", test_depth},
    {"rewind now", test_rewind_now},
    {"rewind after a time", test_rewind_after_a_time},
    {"rewind out of range", test_rewind_out_of_range},
    {"resume", test_resume},
    {"resume of lost data", test_resume_of_lost_data_is_an_error},
    {"resume beyond what was sent", test_resume_beyond_what_was_sent},
    {"barrier counts", test_barrier_counts},
    {"finish", test_finish},
    {"node drains", test_node_drains},
    {"volume refused", test_volume_refused},
    {"volume failed in flight", test_volume_failed_in_flight},
    {"open again after busy", test_open_again_after_busy},
    {"PING and silence", test_ping_and_silence},
    {"HELLO unanswered", test_hello_unanswered},
    {"bad WELCOME", test_bad_welcome},
    {"frames a node does not send", test_bad_frames},
    {"bad bytes", test_bad_bytes},
    {"any pieces", test_any_pieces},
    {"bounds of submits", test_submit_bounds},
    {"payload that cannot be made", test_payload_that_cannot_be_made},
};

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("source", NULL, NULL);
    if (suite == NULL)
        return 1;
    for (unsigned i = 0; i < HG_ARRAY_LEN(tests); i++)
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
