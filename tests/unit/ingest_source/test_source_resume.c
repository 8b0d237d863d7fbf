/* SPDX-License-Identifier: BSD-3-Clause */
/* The source core when things go wrong: rewind, cuts and resume, errors, silence, the end. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    CU_ASSERT_EQUAL(
        node_error(&r, 1, 13,
                   (struct refusal){HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW, 0}),
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
    CU_ASSERT_EQUAL(
        node_error(&r, 1, 1,
                   (struct refusal){HG_PROTO_NO_SPACE, HG_SCOPE_VOLUME, HG_RETRY_AFTER, 500}),
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
        CU_ASSERT_EQUAL(
            node_error(&r, row[i].handle, row[i].seq,
                       (struct refusal){HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW, 0}),
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
    CU_ASSERT_EQUAL(hg_source_end(r.src)->retry, HG_RETRY_NEVER);
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
    node_error(&r, 1, 2, (struct refusal){HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW, 0});
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
    node_error(&r, 1, 3, (struct refusal){HG_PROTO_NO_SPACE, HG_SCOPE_VOLUME, HG_RETRY_NOW, 0});
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
    CU_ASSERT_EQUAL(
        node_error(&r, 0, 0,
                   (struct refusal){HG_PROTO_SHUTDOWN, HG_SCOPE_SESSION, HG_RETRY_AFTER, 1500}),
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
    node_error(&r, 1, 0,
               (struct refusal){HG_PROTO_SIZE_MISMATCH, HG_SCOPE_VOLUME, HG_RETRY_NEVER, 0});
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
    CU_ASSERT_EQUAL(
        node_error(&r, 1, 1, (struct refusal){HG_PROTO_BOUNDS, HG_SCOPE_VOLUME, HG_RETRY_NEVER, 0}),
        0);
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
    CU_ASSERT_EQUAL(
        node_error(&r, 1, 0, (struct refusal){HG_PROTO_BUSY, HG_SCOPE_VOLUME, HG_RETRY_AFTER, 200}),
        0);
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

/* A source without credit whose node died has nothing to send: it must ask, long before `idle`. */
static void test_silence_while_owed(void)
{
    struct rig r;

    rig_init(&r, (struct hg_source_cfg){0});
    begin_one(&r, 1u << 20, 0);
    r.now += HG_SEC(5); /* nothing owed */
    hg_source_poll(r.src, r.now);
    take_nothing(&r);
    submit(&r, 0, HG_FRAME_DATA, 1, 1);
    take(&r, HG_FRAME_DATA);
    hg_source_poll(r.src, r.now); /* the silence before counts: asking costs nothing */
    take(&r, HG_FRAME_PING);
    node_sends(&r, (struct hg_frame){.type = HG_FRAME_PONG}, NULL, 0);
    CU_ASSERT_EQUAL(hg_source_poll(r.src, r.now), r.now + HG_SEC(1));
    r.now += HG_SEC(1);
    hg_source_poll(r.src, r.now);
    take(&r, HG_FRAME_PING);
    CU_ASSERT_EQUAL(hg_source_poll(r.src, r.now), r.now + HG_SEC(10)); /* idle of the rig < 15 s */
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

static const struct rig_test tests[] = {
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
    {"silence while owed", test_silence_while_owed},
    {"HELLO unanswered", test_hello_unanswered},
};

int main(void)
{
    return rig_main("source, trouble", tests, HG_ARRAY_LEN(tests));
}
