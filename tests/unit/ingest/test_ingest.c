/* SPDX-License-Identifier: BSD-3-Clause */
/* The node's side of the protocol against hand-made frames and a store that does what the test
 * says. */
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

static void count_fence(void *arg, const char *volume)
{
    (void)arg;
    (void)volume;
    f->fences++;
}

static struct hg_session *new_session(const char *source)
{
    return hg_session_create(f->ing, source, "192.0.2.7:4711", f, f->now);
}

static void begin_with(const struct hg_ingest_cfg *base)
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

static void begin(void)
{
    begin_with(&(struct hg_ingest_cfg){.sessions_max = 8, .requests_max = 256, .credit = 1u << 20});
}

/* Every test ends with all buffers back and no session alive. */
static void end(void)
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

static uint32_t feed(const void *data, uint32_t len)
{
    return hg_session_input(f->s, data, len, f->now);
}

static uint32_t make(uint8_t *dst, struct hg_frame frame, const void *payload, uint32_t len)
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

static void send_frame(struct hg_frame frame, const void *payload, uint32_t len)
{
    static uint8_t buf[HG_FRAME_HEADER + HG_FRAME_RAW_MAX];
    uint32_t n = make(buf, frame, payload, len);

    CU_ASSERT_EQUAL(feed(buf, n), n);
}

/* The next frame the node said, or type 0. */
static struct hg_frame hear(const uint8_t **payload)
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

static void expect_silence(void)
{
    CU_ASSERT_EQUAL(hear(NULL).type, 0);
}

static void hello(void)
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

static void open_volume(uint32_t handle)
{
    struct hg_frame frame;

    send_frame((struct hg_frame){.type = HG_FRAME_OPEN, .volume = handle, .arg = VOLUME_SIZE},
               "disk", 4);
    frame = hear(NULL);
    CU_ASSERT_EQUAL_FATAL(frame.type, HG_FRAME_OPENED);
    CU_ASSERT_EQUAL(frame.volume, handle);
    CU_ASSERT_EQUAL(frame.arg, VOLUME_SIZE);
}

static void ready_session(void)
{
    begin();
    hello();
    open_volume(7);
    expect_silence();
}

static uint8_t pattern[HG_FRAME_RAW_MAX];

static struct hg_frame data_frame(uint64_t seq, uint64_t offset, uint32_t len)
{
    return (struct hg_frame){.type = HG_FRAME_DATA,
                             .volume = 7,
                             .seq = seq,
                             .offset = offset,
                             .raw_len = len,
                             .payload_crc = hg_crc32c(pattern, len)};
}

static void send_data(uint64_t seq, uint64_t offset, uint32_t len)
{
    send_frame(data_frame(seq, offset, len), pattern, len);
}

/* The node's next words are an ERROR with this code, and for the session's end also its last. */
static void expect_error(unsigned code, unsigned scope, unsigned retry)
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

static struct hg_ingest_counters counters(void)
{
    struct hg_ingest_counters c;

    memcpy(&c, hg_ingest_counter_set(f->ing).value, sizeof c);
    return c;
}

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
    static CU_SuiteInfo suites[] = {{"ingest", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
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
