/* SPDX-License-Identifier: BSD-3-Clause */
/* The node's side of the protocol against hand-made frames, good and bad. */
#include "rig.h"

/* ---- the good way ---- */

static void writes_are_acknowledged_by_level(void)
{
    struct hg_frame frame;

    ready_session();
    send_data(1, 8192, 65536);
    CU_ASSERT_EQUAL(f->store.n, 1);
    CU_ASSERT_EQUAL(f->store.taken[0].seq, 1);
    CU_ASSERT_EQUAL(f->store.taken[0].crc0, hg_crc32c(pattern, HG_BLOCK));
    CU_ASSERT_EQUAL(memcmp(f->store.image + 8192, pattern, 65536), 0);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.type, HG_FRAME_ACK);
    CU_ASSERT_EQUAL(frame.level, HG_ACK_RECEIVED);
    expect_silence(); /* nothing is durable yet: nothing may say so */
    stub_complete(&f->store, 1, 0);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.level, HG_ACK_DURABLE);
    CU_ASSERT_EQUAL(frame.seq, 1);
    end();
}

static void deflate_is_inflated_in_place(void)
{
    static uint8_t raw[65536], packed[65536], scratch[HG_DEFLATE_SCRATCH];
    struct hg_frame frame;
    uint32_t len;

    ready_session();
    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i / 37);
    len = hg_deflate(packed, sizeof packed, raw, sizeof raw, scratch);
    CU_ASSERT(len > 0 && len < sizeof raw);
    frame = data_frame(1, 0, sizeof raw);
    frame.codec = HG_CODEC_DEFLATE;
    frame.payload_crc = hg_crc32c(raw, sizeof raw);
    send_frame(frame, packed, len);
    CU_ASSERT_EQUAL(memcmp(f->store.image, raw, sizeof raw), 0);
    CU_ASSERT_EQUAL(counters().wire_bytes, len);
    CU_ASSERT_EQUAL(counters().raw_bytes, sizeof raw);
    end();
}

/* The same stream cut at every place gives the same result, through the sink as well. */
static void any_cut_of_the_stream_is_the_same(void)
{
    static uint8_t stream[3 * (HG_FRAME_HEADER + 4096)];
    uint32_t n = 0;

    for (unsigned i = 0; i < 3; i++)
        n += make(stream + n, data_frame(i + 1, i * 4096u, 4096), pattern, 4096);
    for (uint32_t cut = 1; cut < n; cut += cut < 200 ? 1 : 61) {
        uint8_t *sink;

        ready_session();
        CU_ASSERT_EQUAL(feed(stream, cut), cut);
        sink = hg_session_sink(f->s, 100);
        if (sink != NULL && n - cut >= 100) {
            memcpy(sink, stream + cut, 100);
            CU_ASSERT_EQUAL(feed(sink, 100), 100);
            CU_ASSERT_EQUAL(feed(stream + cut + 100, n - cut - 100), n - cut - 100);
        } else {
            CU_ASSERT_EQUAL(feed(stream + cut, n - cut), n - cut);
        }
        CU_ASSERT_EQUAL(f->store.n, 3);
        CU_ASSERT_EQUAL(memcmp(f->store.image + 8192, pattern, 4096), 0);
        end();
    }
}

static void the_last_block_may_be_partial(void)
{
    begin();
    hello();
    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 7, .arg = 4096 + 512}, "disk", 4);
    hear(NULL);
    send_data(1, 4096, 512);
    CU_ASSERT_EQUAL(f->store.n, 1);
    CU_ASSERT_EQUAL(f->store.taken[0].req->len, 4096);
    CU_ASSERT_EQUAL(f->store.image[4096 + 511], pattern[511]);
    CU_ASSERT_EQUAL(f->store.image[4096 + 512], 0);
    end();
}

static void zero_and_trim_are_metadata(void)
{
    ready_session();
    send_frame((struct hg_frame){.type = HG_FRAME_ZERO, .volume = 7, .seq = 1, .arg = VOLUME_SIZE},
               NULL, 0);
    send_frame(
        (struct hg_frame){
            .type = HG_FRAME_TRIM, .volume = 7, .seq = 2, .offset = 4096, .arg = 4096},
        NULL, 0);
    CU_ASSERT_EQUAL(f->store.n, 2);
    CU_ASSERT_EQUAL(f->store.taken[0].len64, VOLUME_SIZE);
    CU_ASSERT_EQUAL(f->store.taken[1].seq, 2);
    end();
}

static void a_barrier_closes_an_epoch(void)
{
    struct hg_frame frame;

    ready_session();
    send_data(1, 0, 4096);
    send_data(2, 4096, 8192);
    send_frame(
        (struct hg_frame){
            .type = HG_FRAME_BARRIER, .volume = 7, .seq = 3, .epoch = 1, .arg = 2, .offset = 12288},
        NULL, 0);
    CU_ASSERT_EQUAL(f->store.n, 3);
    CU_ASSERT_EQUAL(f->store.taken[2].epoch, 1);
    hear(NULL); /* received */
    stub_complete(&f->store, 3, 0);
    CU_ASSERT_EQUAL(hear(NULL).level, HG_ACK_DURABLE);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.level, HG_ACK_CONSISTENT);
    CU_ASSERT_EQUAL(frame.epoch, 1);
    CU_ASSERT_EQUAL(frame.seq, 3);
    end();
}

static void credit_comes_back_when_durable(void)
{
    struct hg_frame frame;

    ready_session();
    for (unsigned i = 0; i < 16; i++)
        send_data(i + 1, 0, 65536); /* the whole grant */
    CU_ASSERT_EQUAL(f->store.n, 16);
    hear(NULL);
    stub_complete(&f->store, 4, 0);
    CU_ASSERT_EQUAL(hear(NULL).type, HG_FRAME_ACK);
    frame = hear(NULL);
    CU_ASSERT_EQUAL(frame.type, HG_FRAME_CREDIT);
    CU_ASSERT_EQUAL(frame.arg, (1u << 20) + 4 * 65536);
    send_data(17, 0, 65536);
    CU_ASSERT_EQUAL(f->store.n, 13);
    end();
}

static void ping_bye_and_ignorable(void)
{
    ready_session();
    send_frame((struct hg_frame){.type = HG_FRAME_PING, .arg = 99}, NULL, 0);
    CU_ASSERT_EQUAL(hear(NULL).arg, 99);
    send_frame((struct hg_frame){.type = 200, .flags = HG_FRAME_IGNORABLE}, "xyz", 3);
    CU_ASSERT_EQUAL(counters().frames_ignored, 1);
    send_data(1, 0, 4096);
    send_frame((struct hg_frame){.type = HG_FRAME_BYE}, NULL, 0);
    CU_ASSERT_EQUAL(hear(NULL).level, HG_ACK_RECEIVED);
    expect_silence();
    CU_ASSERT_FALSE(hg_session_finished(f->s));
    stub_complete(&f->store, 1, 0);
    CU_ASSERT_EQUAL(hear(NULL).level, HG_ACK_DURABLE);
    CU_ASSERT_EQUAL(hear(NULL).type, HG_FRAME_BYE);
    CU_ASSERT(hg_session_finished(f->s));
    end();
}

/* ---- bad input: each row is a session of its own ---- */

static void bad_magic_ends_the_session(void)
{
    ready_session();
    feed("GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nAccept: */*\r\nUser-Agent: curl/7.88.1\r\n\r\n", 74);
    expect_error(HG_PROTO_BAD_MAGIC, HG_SCOPE_SESSION, HG_RETRY_NEVER);
    CU_ASSERT_EQUAL(counters().err_bad_magic, 1);
    end();
}

static void header_crc_ends_the_session(void)
{
    uint8_t buf[HG_FRAME_HEADER];

    ready_session();
    make(buf, (struct hg_frame){.type = HG_FRAME_PING}, NULL, 0);
    buf[40] ^= 1;
    feed(buf, sizeof buf);
    expect_error(HG_PROTO_HEADER_CRC, HG_SCOPE_SESSION, HG_RETRY_NOW);
    end();
}

static void session_errors_by_table(void)
{
    const struct {
        struct hg_frame frame;
        unsigned code;
    } rows[] = {
        {{.type = 77}, HG_PROTO_UNKNOWN_TYPE},
        {{.type = HG_FRAME_HELLO}, HG_PROTO_BAD_STATE},
        {{.type = HG_FRAME_WELCOME}, HG_PROTO_BAD_STATE},
        {{.type = HG_FRAME_PING, .payload_len = 5000, .raw_len = 5000}, HG_PROTO_LIMIT},
        {{.type = HG_FRAME_DATA,
          .volume = 7,
          .seq = 1,
          .payload_len = 2u << 20,
          .raw_len = 2u << 20},
         HG_PROTO_LIMIT},
        {{.type = HG_FRAME_DATA,
          .volume = 7,
          .seq = 1,
          .payload_len = 0xffffffff,
          .raw_len = 0xffffffff},
         HG_PROTO_LIMIT},
        {{.type = HG_FRAME_DATA,
          .volume = 7,
          .seq = 1,
          .codec = 1,
          .payload_len = 100,
          .raw_len = 1u << 20},
         HG_PROTO_LIMIT}, /* a bomb: more than deflate can hold */
        {{.type = HG_FRAME_DATA,
          .volume = 7,
          .seq = 1,
          .codec = 9,
          .payload_len = 4096,
          .raw_len = 4096},
         HG_PROTO_CODEC},
        {{.type = HG_FRAME_DATA, .volume = 7, .seq = 1, .payload_len = 4096, .raw_len = 8192},
         HG_PROTO_BAD_FIELD},
        {{.type = HG_FRAME_DATA,
          .volume = 7,
          .seq = 1,
          .offset = 100,
          .payload_len = 4096,
          .raw_len = 4096},
         HG_PROTO_BAD_FIELD},
        {{.type = HG_FRAME_DATA, .volume = 8, .seq = 1, .payload_len = 4096, .raw_len = 4096},
         HG_PROTO_BAD_STATE},
        {{.type = HG_FRAME_DATA, .volume = 7, .seq = 2, .payload_len = 4096, .raw_len = 4096},
         HG_PROTO_SEQ_GAP},
        {{.type = HG_FRAME_DATA, .volume = 7, .seq = 0, .payload_len = 4096, .raw_len = 4096},
         HG_PROTO_SEQ_REPLAY},
        {{.type = HG_FRAME_ZERO, .volume = 7, .seq = 1}, HG_PROTO_BAD_FIELD},
        {{.type = HG_FRAME_OPEN, .volume = 7}, HG_PROTO_BAD_STATE},
        {{.type = HG_FRAME_OPEN, .volume = 0}, HG_PROTO_BAD_FIELD},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        uint8_t buf[HG_FRAME_HEADER];

        ready_session();
        hg_frame_put(buf, &rows[i].frame);
        feed(buf, sizeof buf);
        expect_error(rows[i].code, HG_SCOPE_SESSION, hg_proto_error_retry(rows[i].code));
        CU_ASSERT_EQUAL(f->store.n, 0);
        /* Whatever comes after is thrown away and changes nothing. */
        send_data(1, 0, 4096);
        CU_ASSERT_EQUAL(f->store.n, 0);
        end();
    }
}

static void nothing_before_hello(void)
{
    uint8_t buf[HG_FRAME_HEADER];

    begin();
    make(buf, (struct hg_frame){.type = HG_FRAME_PING}, NULL, 0);
    feed(buf, sizeof buf);
    expect_error(HG_PROTO_BAD_STATE, HG_SCOPE_SESSION, HG_RETRY_NEVER);
    end();
}

static void a_wrong_payload_is_asked_for_again(void)
{
    struct hg_frame frame;

    ready_session();
    frame = data_frame(1, 0, 4096);
    frame.payload_crc ^= 1;
    send_frame(frame, pattern, 4096);
    CU_ASSERT_EQUAL(f->store.n, 0);
    send_data(2, 4096, 4096); /* on its way already: discarded */
    CU_ASSERT_EQUAL(f->store.n, 0);
    expect_error(HG_PROTO_PAYLOAD_CRC, HG_SCOPE_FRAME, HG_RETRY_NOW);
    frame = data_frame(1, 0, 4096);
    frame.flags = HG_FRAME_RETRANSMIT;
    send_frame(frame, pattern, 4096);
    frame = data_frame(2, 4096, 4096);
    frame.flags = HG_FRAME_RETRANSMIT;
    send_frame(frame, pattern, 4096);
    CU_ASSERT_EQUAL(f->store.n, 2);
    CU_ASSERT_EQUAL(f->store.taken[1].seq, 2);
    end();
}

static void a_frame_that_fails_always_ends_the_session(void)
{
    struct hg_frame frame;

    ready_session();
    for (unsigned i = 0; i < 3; i++) {
        frame = data_frame(1, 0, 4096);
        frame.payload_crc ^= 1;
        frame.flags = i == 0 ? 0 : HG_FRAME_RETRANSMIT;
        send_frame(frame, pattern, 4096);
        expect_error(HG_PROTO_PAYLOAD_CRC, i < 2 ? HG_SCOPE_FRAME : HG_SCOPE_SESSION, HG_RETRY_NOW);
    }
    end();
}

static void bad_deflate_by_table(void)
{
    static uint8_t raw[8192], packed[8192 + 4], scratch[HG_DEFLATE_SCRATCH];
    uint32_t len;
    const struct {
        int extra;        /* bytes more or less of the stream */
        uint32_t raw_len; /* claimed */
    } rows[] = {{-3, 8192}, {4, 8192}, {0, 4096}, {0, 12288}};

    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i / 19);
    len = hg_deflate(packed, sizeof raw, raw, sizeof raw, scratch);
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct hg_frame frame;

        ready_session();
        frame = data_frame(1, 0, rows[i].raw_len);
        frame.codec = HG_CODEC_DEFLATE;
        frame.payload_crc = hg_crc32c(raw, sizeof raw);
        send_frame(frame, packed, (uint32_t)((int)len + rows[i].extra));
        CU_ASSERT_EQUAL(f->store.n, 0);
        expect_error(HG_PROTO_DECOMPRESS, HG_SCOPE_FRAME, HG_RETRY_NOW);
        end();
    }
}

static void beyond_the_end_closes_the_volume(void)
{
    ready_session();
    send_data(1, VOLUME_SIZE, 4096);
    expect_error(HG_PROTO_BOUNDS, HG_SCOPE_VOLUME, HG_RETRY_NEVER);
    send_data(1, 0, 4096);
    CU_ASSERT_EQUAL(f->store.n, 0);
    CU_ASSERT_EQUAL(counters().frames_discarded, 2);
    end();
}

static void an_unaligned_length_inside_is_refused(void)
{
    ready_session();
    send_data(1, 0, 5000);
    expect_error(HG_PROTO_BOUNDS, HG_SCOPE_VOLUME, HG_RETRY_NEVER);
    CU_ASSERT_EQUAL(f->store.n, 0);
    end();
}

static void more_than_granted_ends_the_session(void)
{
    ready_session();
    for (unsigned i = 0; i < 16; i++)
        send_data(i + 1, 0, 65536);
    send_data(17, 0, 4096);
    expect_error(HG_PROTO_CREDIT, HG_SCOPE_SESSION, HG_RETRY_NEVER);
    CU_ASSERT_EQUAL(f->store.n, 16);
    end();
}

static void a_barrier_with_wrong_counts_is_refused(void)
{
    ready_session();
    send_data(1, 0, 4096);
    send_frame(
        (struct hg_frame){
            .type = HG_FRAME_BARRIER, .volume = 7, .seq = 2, .epoch = 1, .arg = 2, .offset = 4096},
        NULL, 0);
    expect_error(HG_PROTO_BARRIER_MISMATCH, HG_SCOPE_VOLUME, HG_RETRY_NEVER);
    CU_ASSERT_EQUAL(f->store.n, 1);
    end();
}

static void bad_names_are_refused(void)
{
    static const char *const names[] = {"", "a/b", "../x", "a b", "\xc3\xa4"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(names); i++) {
        begin();
        hello();
        send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = 3, .arg = 4096}, names[i],
                   (uint32_t)strlen(names[i]));
        expect_error(HG_PROTO_BAD_NAME, HG_SCOPE_VOLUME, HG_RETRY_NEVER);
        CU_ASSERT_EQUAL(f->store.attached, 0);
        open_volume(3); /* the handle may be used again */
        end();
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"writes are acknowledged by level", writes_are_acknowledged_by_level},
        {"deflate is inflated in place", deflate_is_inflated_in_place},
        {"any cut of the stream is the same", any_cut_of_the_stream_is_the_same},
        {"the last block may be partial", the_last_block_may_be_partial},
        {"zero and trim are metadata", zero_and_trim_are_metadata},
        {"a barrier closes an epoch", a_barrier_closes_an_epoch},
        {"credit comes back when durable", credit_comes_back_when_durable},
        {"ping, bye and ignorable frames", ping_bye_and_ignorable},
        {"bad magic ends the session", bad_magic_ends_the_session},
        {"header CRC ends the session", header_crc_ends_the_session},
        {"session errors by table", session_errors_by_table},
        {"nothing before HELLO", nothing_before_hello},
        {"a wrong payload is asked for again", a_wrong_payload_is_asked_for_again},
        {"a frame that fails always ends the session", a_frame_that_fails_always_ends_the_session},
        {"bad deflate by table", bad_deflate_by_table},
        {"beyond the end closes the volume", beyond_the_end_closes_the_volume},
        {"an unaligned length inside is refused", an_unaligned_length_inside_is_refused},
        {"more than granted ends the session", more_than_granted_ends_the_session},
        {"a barrier with wrong counts is refused", a_barrier_with_wrong_counts_is_refused},
        {"bad names are refused", bad_names_are_refused},
        CU_TEST_INFO_NULL,
    };
    static CU_SuiteInfo suites[] = {{"ingest", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

    return rig_main(suites);
}
