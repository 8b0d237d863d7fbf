/* SPDX-License-Identifier: BSD-3-Clause */
/* The source core against hand-made frames of a node: start, numbers, credit, hostile input. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static const struct rig_test tests[] = {
    {"session start", test_session_start},
    {"numbers and acknowledgements", test_numbers_and_acks},
    {"ACK of the unsent ends the session", test_ack_of_the_unsent_ends_the_session},
    {"session credit", test_session_credit},
    {"volume credit", test_volume_credit},
    {"volumes take turns", test_volumes_take_turns},
    {"depth", test_depth},
    {"bad WELCOME", test_bad_welcome},
    {"frames a node does not send", test_bad_frames},
    {"bad bytes", test_bad_bytes},
    {"any pieces", test_any_pieces},
    {"bounds of submits", test_submit_bounds},
    {"payload that cannot be made", test_payload_that_cannot_be_made},
};

int main(void)
{
    return rig_main("source", tests, HG_ARRAY_LEN(tests));
}
