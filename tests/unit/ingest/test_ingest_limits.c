/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions when the store says no, when sources are slow, and when the node stops. */
#include "rig.h"

/* ---- a store that says no ---- */

static void a_full_pool_puts_frames_off(void)
{
    struct hg_frame frame;

    ready_session();
    send_data(1, 0, 4096);
    f->store.answer = -ENOSPC;
    send_data(2, 0, 4096);
    send_data(3, 0, 4096);
    expect_error(HG_PROTO_NO_SPACE, HG_SCOPE_VOLUME, HG_RETRY_AFTER);
    f->store.answer = 0;
    frame = data_frame(2, 0, 4096);
    frame.flags = HG_FRAME_RETRANSMIT;
    send_frame(frame, pattern, 4096);
    CU_ASSERT_EQUAL(f->store.n, 2);
    stub_complete(&f->store, 2, 0);
    CU_ASSERT_EQUAL(hear(NULL).level, HG_ACK_RECEIVED);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.level, HG_ACK_DURABLE);
    CU_ASSERT_EQUAL(frame.seq, 2);
    end();
}

static void a_busy_store_blocks_and_goes_on(void)
{
    static uint8_t buf[2 * (HG_FRAME_HEADER + 4096)];
    uint32_t n = make(buf, data_frame(1, 0, 4096), pattern, 4096), taken;
    void *user[4];

    ready_session();
    n += make(buf + n, data_frame(2, 4096, 4096), pattern, 4096);
    f->store.answer = -EAGAIN;
    taken = feed(buf, n);
    CU_ASSERT_EQUAL(taken,
                    HG_FRAME_HEADER + 4096); /* the first frame is held, the second not read */
    CU_ASSERT(hg_session_blocked(f->s));
    f->store.answer = 0;
    CU_ASSERT_EQUAL(hg_ingest_ready(f->ing, user, 4), 1);
    CU_ASSERT_PTR_EQUAL(user[0], f);
    CU_ASSERT_EQUAL(feed(buf + taken, n - taken), n - taken);
    CU_ASSERT_EQUAL(f->store.n, 2);
    end();
}

static void without_buffers_it_blocks(void)
{
    void *held[16];
    uint8_t buf[HG_FRAME_HEADER];

    ready_session();
    for (unsigned i = 0; i < 16; i++)
        held[i] = hg_arena_alloc(f->arena, HG_ARENA_MAX_BLOCK);
    make(buf, data_frame(1, 0, 4096), NULL, 0);
    struct hg_frame frame = data_frame(1, 0, 4096);
    frame.payload_len = 4096;
    hg_frame_put(buf, &frame);
    CU_ASSERT_EQUAL(feed(buf, sizeof buf), sizeof buf);
    CU_ASSERT(hg_session_blocked(f->s));
    CU_ASSERT_EQUAL(feed(pattern, 4096), 0);
    for (unsigned i = 0; i < 16; i++)
        hg_arena_free(f->arena, held[i]);
    CU_ASSERT_EQUAL(feed(pattern, 4096), 4096);
    CU_ASSERT_EQUAL(f->store.n, 1);
    end();
}

static void a_failed_device_ends_the_session(void)
{
    ready_session();
    send_data(1, 0, 4096);
    stub_complete(&f->store, 1, -EIO);
    expect_error(HG_PROTO_IO_ERROR, HG_SCOPE_SESSION, HG_RETRY_AFTER);
    end();
}

static void open_errors_by_table(void)
{
    const struct {
        int status;
        unsigned code;
    } rows[] = {{-EEXIST, HG_PROTO_SIZE_MISMATCH},
                {-ENOENT, HG_PROTO_NOT_FOUND},
                {-EINVAL, HG_PROTO_BAD_NAME},
                {-ENOSPC, HG_PROTO_NO_SPACE}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        begin();
        hello();
        f->store.attach_status = rows[i].status;
        send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 7, .arg = VOLUME_SIZE},
                   "disk", 4);
        expect_error(rows[i].code, HG_SCOPE_VOLUME, hg_proto_error_retry(rows[i].code));
        end();
    }
}

static void a_second_session_takes_the_volume_over(void)
{
    struct hg_session *first;

    ready_session();
    first = f->s;
    f->s = new_session("alpha");
    hello();
    f->store.attach_status = -EBUSY;
    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 7, .arg = VOLUME_SIZE}, "disk",
               4);
    expect_silence();
    CU_ASSERT_EQUAL(counters().superseded, 1);
    CU_ASSERT_EQUAL(f->fences, 1);
    hg_session_close(first, f->now);
    f->store.attach_status = 0;
    f->now += HG_MS(20);
    hg_ingest_poll(f->ing, f->now);
    CU_ASSERT_EQUAL(hear(NULL).type, HG_FRAME_OPENED);
    end();
}

static void a_volume_that_stays_busy_is_put_off(void)
{
    begin();
    hello();
    f->store.attach_status = -EBUSY;
    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 7, .arg = VOLUME_SIZE}, "disk",
               4);
    for (unsigned i = 0; i < 1100; i++) {
        f->now += HG_MS(10);
        hg_ingest_poll(f->ing, f->now);
    }
    expect_error(HG_PROTO_BUSY, HG_SCOPE_VOLUME, HG_RETRY_AFTER);
    end();
}

static void closing_waits_for_what_is_in_flight(void)
{
    ready_session();
    send_data(1, 0, 4096);
    hg_session_close(f->s, f->now);
    f->s = NULL;
    CU_ASSERT_EQUAL(f->store.detached, 0);
    CU_ASSERT_EQUAL(hg_ingest_sessions(f->ing), 1);
    stub_complete(&f->store, 1, 0);
    CU_ASSERT_EQUAL(f->store.detached, 1);
    CU_ASSERT_EQUAL(hg_ingest_sessions(f->ing), 0);
    end();
}

static void closing_while_opening(void)
{
    begin();
    hello();
    f->store.attach_later = true;
    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 7, .arg = VOLUME_SIZE}, "disk",
               4);
    hg_session_close(f->s, f->now);
    f->s = NULL;
    CU_ASSERT_EQUAL(hg_ingest_sessions(f->ing), 1);
    stub_attach(&f->store);
    CU_ASSERT_EQUAL(hg_ingest_sessions(f->ing), 0);
    end();
}

/* ---- time ---- */

static void pass(hg_ns span)
{
    hg_ns until = f->now + span;

    while (f->now < until) {
        f->now += HG_MS(100);
        hg_ingest_poll(f->ing, f->now);
    }
}

static void no_hello_in_time(void)
{
    begin();
    pass(HG_SEC(12));
    expect_error(HG_PROTO_TOO_SLOW, HG_SCOPE_SESSION, HG_RETRY_NOW);
    end();
}

static void a_frame_that_drips_is_cut(void)
{
    uint8_t buf[HG_FRAME_HEADER];

    ready_session();
    make(buf, (struct hg_frame){.type = HG_FRAME_PING}, NULL, 0);
    for (unsigned i = 0; i < 40; i++) {
        feed(buf + i, 1);
        pass(HG_SEC(1));
    }
    expect_error(HG_PROTO_TOO_SLOW, HG_SCOPE_SESSION, HG_RETRY_NOW);
    end();
}

static void silence_is_pinged_then_ended(void)
{
    ready_session();
    pass(HG_SEC(62));
    CU_ASSERT_EQUAL(hear(NULL).type, HG_FRAME_PING);
    expect_silence();
    pass(HG_SEC(62));
    expect_error(HG_PROTO_IDLE, HG_SCOPE_SESSION, HG_RETRY_NOW);
    end();
}

static void a_source_that_does_not_read_is_cut(void)
{
    ready_session();
    send_data(1, 0, 4096);
    stub_complete(&f->store, 1, 0);
    pass(HG_SEC(32)); /* nobody takes the output */
    CU_ASSERT(hg_session_finished(f->s));
    CU_ASSERT_EQUAL(counters().err_not_reading, 1);
    end();
}

static void draining_finishes_what_is_in_flight(void)
{
    struct hg_frame frame;

    ready_session();
    send_data(1, 0, 4096);
    hg_ingest_drain(f->ing, f->now);
    CU_ASSERT_PTR_NULL(new_session("beta"));
    CU_ASSERT_EQUAL(hear(NULL).type, HG_FRAME_BYE);
    send_data(2, 0, 4096); /* was on its way */
    CU_ASSERT_EQUAL(f->store.n, 2);
    send_frame((struct hg_frame){.type = HG_FRAME_BYE}, NULL, 0);
    CU_ASSERT_EQUAL(hear(NULL).seq, 1);
    CU_ASSERT_EQUAL(hear(NULL).seq, 2);
    expect_silence();
    CU_ASSERT_FALSE(hg_session_finished(f->s));
    stub_complete(&f->store, 2, 0);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.level, HG_ACK_DURABLE);
    CU_ASSERT_EQUAL(frame.seq, 2);
    expect_silence();
    CU_ASSERT(hg_session_finished(f->s));
    end();
}

static void grants_never_exceed_the_arena(void)
{
    struct hg_session *s[8];
    unsigned welcomed = 0;

    begin_with(&(struct hg_ingest_cfg){.sessions_max = 9, .requests_max = 64, .credit = 3u << 20});
    hg_session_close(f->s, f->now);
    for (unsigned i = 0; i < 8; i++) {
        struct hg_hello_wire h = {.max_raw = hg_le32_put(1u << 20)};
        struct hg_session_info info;

        s[i] = f->s = new_session("alpha");
        f->out_at = f->out_len = 0;
        send_frame((struct hg_frame){.type = HG_FRAME_HELLO}, &h, sizeof h);
        hg_session_info(f->s, &info);
        welcomed += hear(NULL).type == HG_FRAME_WELCOME;
    }
    CU_ASSERT_EQUAL(welcomed, 4); /* 16 MiB by 3 + 1 */
    for (unsigned i = 0; i < 8; i++)
        hg_session_close(s[i], f->now);
    f->s = NULL;
    end();
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a full pool puts frames off", a_full_pool_puts_frames_off},
        {"a busy store blocks and goes on", a_busy_store_blocks_and_goes_on},
        {"without buffers it blocks", without_buffers_it_blocks},
        {"a failed device ends the session", a_failed_device_ends_the_session},
        {"open errors by table", open_errors_by_table},
        {"a second session takes the volume over", a_second_session_takes_the_volume_over},
        {"a volume that stays busy is put off", a_volume_that_stays_busy_is_put_off},
        {"closing waits for what is in flight", closing_waits_for_what_is_in_flight},
        {"closing while opening", closing_while_opening},
        {"no HELLO in time", no_hello_in_time},
        {"a frame that drips is cut", a_frame_that_drips_is_cut},
        {"silence is pinged, then ended", silence_is_pinged_then_ended},
        {"a source that does not read is cut", a_source_that_does_not_read_is_cut},
        {"draining finishes what is in flight", draining_finishes_what_is_in_flight},
        {"grants never exceed the arena", grants_never_exceed_the_arena},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {{"ingest_limits", NULL, NULL, NULL, NULL, tests},
                                    CU_SUITE_INFO_NULL};

    return rig_main(suites);
}
