/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hg_frame_get() and hg_frame_check() on 64 hostile bytes. The header's CRC is put right for half
 * of the inputs, since a fuzzer cannot guess it. What passes the checks must keep their promises.
 */
#include <headgate/codec.h>
#include <headgate/proto.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(int holds)
{
    if (!holds)
        abort();
}

static void check_promises(const struct hg_frame *f, const struct hg_frame_limits *limits)
{
    uint8_t again[HG_FRAME_HEADER];
    struct hg_frame back;

    if (f->type == HG_FRAME_DATA) {
        promise(f->raw_len >= 1 && f->raw_len <= limits->max_raw);
        promise(f->payload_len >= 1 && f->payload_len <= f->raw_len);
        promise(f->codec < 32 && (limits->codecs >> f->codec & 1) != 0);
        promise(f->volume != 0 && f->offset % limits->block == 0);
        promise(hg_frame_cost(f) >= f->raw_len && hg_frame_cost(f) <= HG_ARENA_MAX_BLOCK);
    } else {
        promise(f->payload_len <= HG_FRAME_CONTROL_MAX);
    }
    hg_frame_put(again, f);
    promise(hg_frame_get(again, &back) == 0);
    promise(back.type == f->type && back.seq == f->seq && back.arg == f->arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct hg_frame_limits limits = {65536, 3, 4096};
    uint8_t header[HG_FRAME_HEADER];
    struct hg_frame f;
    uint32_t crc;

    if (size < HG_FRAME_HEADER)
        return 0;
    memcpy(header, data, sizeof header);
    if (size % 2 == 0) {
        memcpy(header, "HGR1", 4);
        memset(header + 8, 0, 4);
        crc = hg_crc32c(header, sizeof header);
        memcpy(header + 8, &crc, 4);
    }
    if (hg_frame_get(header, &f) != 0)
        return 0;
    (void)hg_frame_type_name(f.type);
    if (hg_frame_check(&f, &limits) == 0)
        check_promises(&f, &limits);
    return 0;
}
