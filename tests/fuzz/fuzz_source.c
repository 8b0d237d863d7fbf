/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile node against the source's half of the protocol.
 *
 * The input is a script of steps, one byte each with operands: submit, take frames, let time pass,
 * cut, or bytes from the node. A step of bytes is a frame whose magic, CRCs and some small numbers
 * are put right, so that the fuzzer gets behind the checks; another hands them in as they are.
 */
#include <headgate/codec.h>
#include <headgate/source.h>
#include <stdlib.h>
#include <string.h>

#define VOLUMES 3u
#define SIZE (UINT64_C(1) << 24)
#define STEPS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
    struct hg_source *src;
    uint8_t block[4096];
    uint64_t submitted[VOLUMES], acked[VOLUMES];
    hg_ns now;
};

struct input {
    const uint8_t *p, *end;
};

static void promise(int holds)
{
    if (!holds)
        abort();
}

static uint8_t byte(struct input *in)
{
    return in->p < in->end ? *in->p++ : 0;
}

static int on_payload(void *arg, uint32_t volume, const struct hg_source_op *op,
                      struct hg_source_payload *out)
{
    struct state *s = arg;

    promise(volume < VOLUMES && op->len <= sizeof s->block);
    *out = (struct hg_source_payload){.data = s->block, .len = (uint32_t)op->len};
    return 0;
}

/* Only what was submitted is acknowledged, in order, once. */
static void on_acked(void *arg, uint32_t volume, const struct hg_source_op *op, hg_ns sent,
                     hg_ns now)
{
    struct state *s = arg;

    promise(sent <= now);
    promise(op->tag == s->acked[volume]);
    s->acked[volume]++;
    promise(s->acked[volume] <= s->submitted[volume]);
}

static void on_volume_news(void *arg, uint32_t volume, const char *why)
{
    (void)arg;
    promise(volume < VOLUMES);
    for (; why != NULL && *why != '\0'; why++)
        promise(*why >= 0x20 && *why <= 0x7e);
}

static void submit(struct state *s, struct input *in)
{
    static const uint8_t types[] = {HG_FRAME_DATA, HG_FRAME_ZERO, HG_FRAME_TRIM, HG_FRAME_BARRIER};
    uint32_t volume = byte(in) % VOLUMES;
    uint8_t type = types[byte(in) % 4];
    struct hg_source_op op = {.type = type, .tag = s->submitted[volume]};

    if (type != HG_FRAME_BARRIER) {
        op.len = 4096;
        op.offset = (uint64_t)byte(in) * 4096;
    }
    s->submitted[volume] += hg_source_submit(s->src, volume, &op, 1);
}

static void take(struct state *s, unsigned n)
{
    struct hg_source_frame out;
    struct hg_frame f;

    while (n-- != 0 && hg_source_next(s->src, s->now, &out) == 1) {
        promise(hg_frame_get(out.header, &f) == 0);
        promise(f.payload_len == out.payload_len && out.payload_len <= 4096);
    }
}

/* A frame of the node with the fields that a fuzzer cannot guess put right. */
static void node_frame(struct state *s, struct input *in)
{
    uint8_t wire[HG_FRAME_HEADER + 256];
    struct hg_frame f = {.type = (uint8_t)(byte(in) % 18), .flags = byte(in) & 3};
    uint32_t len = byte(in) % 80;

    f.volume = byte(in) % (VOLUMES + 2);
    f.level = byte(in) % 5;
    f.seq = byte(in);
    f.epoch = byte(in);
    f.arg = byte(in) < 128 ? SIZE : UINT64_C(1) << (byte(in) % 64);
    for (uint32_t i = 0; i < len; i++)
        wire[HG_FRAME_HEADER + i] = byte(in);
    if (f.type == HG_FRAME_WELCOME && len >= 48)
        memset(wire + HG_FRAME_HEADER + 32, 0x55, 16); /* the session's id */
    f.payload_len = f.raw_len = len;
    f.payload_crc = len == 0 ? 0 : hg_crc32c(wire + HG_FRAME_HEADER, len);
    hg_frame_put(wire, &f);
    hg_source_input(s->src, wire, HG_FRAME_HEADER + len, s->now);
}

static void raw_bytes(struct state *s, struct input *in)
{
    size_t n = byte(in);

    if (n > (size_t)(in->end - in->p))
        n = (size_t)(in->end - in->p);
    hg_source_input(s->src, in->p, n, s->now);
    in->p += n;
}

/* A right WELCOME: most of the protocol lies behind it. */
static void welcome(struct state *s)
{
    uint8_t wire[HG_FRAME_HEADER + sizeof(struct hg_welcome_wire)];
    struct hg_welcome_wire w = {.codecs = hg_le32_put(1),
                                .max_raw = hg_le32_put(65536),
                                .levels = hg_le32_put(14),
                                .block = hg_le32_put(4096),
                                .max_volumes = hg_le32_put(8),
                                .idle_ms = hg_le32_put(10000),
                                .credit = hg_le64_put(1u << 18)};
    struct hg_frame f = {.type = HG_FRAME_WELCOME, .payload_len = sizeof w, .raw_len = sizeof w};

    memset(w.session, 0x55, sizeof w.session);
    f.payload_crc = hg_crc32c(&w, sizeof w);
    hg_frame_put(wire, &f);
    memcpy(wire + HG_FRAME_HEADER, &w, sizeof w);
    hg_source_input(s->src, wire, sizeof wire, s->now);
}

static void step(struct state *s, struct input *in)
{
    static const uint8_t session[16] = {0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
                                        0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};

    switch (byte(in) % 9) {
    case 0:
        submit(s, in);
        break;
    case 1:
        take(s, byte(in) % 16);
        break;
    case 2:
        s->now += HG_MS(byte(in) * 100u);
        hg_source_poll(s->src, s->now);
        break;
    case 3:
        hg_source_cut(s->src);
        hg_source_start(s->src, session, s->now);
        break;
    case 4:
        welcome(s);
        break;
    case 5:
        raw_bytes(s, in);
        break;
    case 6:
        if (byte(in) == 200)
            hg_source_finish(s->src);
        break;
    default:
        node_frame(s, in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[VOLUMES] = {"a", "b", "c"};
    struct state s = {.now = HG_SEC(1)};
    struct hg_source_env env = {on_payload, on_acked, on_volume_news, &s};
    struct hg_source_cfg cfg = {
        .volumes_max = VOLUMES, .frames_max = 16, .max_raw = 4096, .levels = 14, .depth = 1u << 16};
    struct input in = {data, data + size};

    if (size == 0)
        return 0;
    cfg.release = data[0] & 1 ? HG_ACK_DURABLE : HG_ACK_RECEIVED;
    promise(hg_source_create(&cfg, &env, &s.src, NULL) == 0);
    for (uint32_t i = 0; i < VOLUMES; i++)
        promise(hg_source_volume_add(s.src, names[i], i == 2 ? 0 : SIZE, &(uint32_t){0}, NULL) ==
                0);
    for (unsigned i = 0; i < STEPS_MAX && in.p < in.end; i++)
        step(&s, &in);
    hg_source_destroy(s.src);
    return 0;
}
