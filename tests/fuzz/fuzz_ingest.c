/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source that sends anything: bytes into the node's session, with a store that takes everything.
 * Each input starts with one byte that says how it is cut into pieces. After a first run as it is,
 * header CRCs are mended, so that the checks behind them are reached.
 */
#include "../unit/ingest/store_stub.h"
#include <headgate/ingest.h>
#include <rte_log.h>
#include <stdlib.h>
#include <string.h>

#define ARENA (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at + HG_FRAME_HEADER <= size) {
        struct hg_frame_wire w;
        uint32_t payload;

        memcpy(&w, data + at, sizeof w);
        memcpy(w.magic, "HGR1", 4);
        w.header_crc = hg_le32_put(0);
        payload = hg_le32_get(w.payload_len) % 8192;
        w.payload_len = hg_le32_put(payload);
        if (w.type != HG_FRAME_DATA)
            w.raw_len = w.payload_len;
        if (at + HG_FRAME_HEADER + payload <= size && w.codec == HG_CODEC_STORED)
            w.payload_crc =
                hg_le32_put(payload == 0 ? 0 : hg_crc32c(data + at + HG_FRAME_HEADER, payload));
        w.header_crc = hg_le32_put(hg_crc32c(&w, sizeof w));
        memcpy(data + at, &w, sizeof w);
        at += HG_FRAME_HEADER + payload;
    }
}

/* All buffers must be back and the session gone, whatever it was sent. */
static void run(const uint8_t *data, size_t size, unsigned piece, struct hg_store *store)
{
    static uint8_t memory[ARENA] __attribute__((aligned(1 << 20)));
    struct hg_ingest_cfg cfg = {.store = store,
                                .sessions_max = 2,
                                .volumes_max = 8,
                                .requests_max = 64,
                                .credit = 1u << 20};
    uint8_t out[8192];
    struct hg_session *s;
    hg_ns now = HG_SEC(1);
    struct hg_ingest *ing;
    struct hg_err err;

    stub_init(store);
    if (hg_arena_create(memory, ARENA, &cfg.arena) != 0 ||
        hg_ingest_create(&cfg, now, &ing, &err) != 0)
        abort();
    s = hg_session_create(ing, "fuzz", "192.0.2.9:9", &cfg, now);
    for (size_t at = 0; at < size && !hg_session_finished(s); now += HG_MS(100)) {
        uint32_t n = (uint32_t)(size - at < piece ? size - at : piece);

        at += hg_session_input(s, data + at, n, now);
        if (piece % 3 != 0)
            stub_complete(store, STUB_MAX, 0);
        hg_ingest_poll(ing, now);
        while (hg_session_output(s, out, sizeof out, now) != 0) {
        }
        if (hg_session_blocked(s)) {
            void *user[4];

            stub_complete(store, STUB_MAX, 0);
            hg_ingest_ready(ing, user, 4);
        }
    }
    hg_session_close(s, now);
    stub_complete(store, STUB_MAX, 0);
    if (hg_ingest_sessions(ing) != 0 || hg_arena_used(cfg.arena) != 0 ||
        store->attached != store->detached)
        abort();
    hg_ingest_destroy(ing);
    hg_arena_destroy(cfg.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hg_store store;
    unsigned piece;
    uint8_t *copy;

    if (size < 2)
        return 0;
    rte_log_set_global_level(RTE_LOG_CRIT);
    piece = 1 + data[0] * 17u;
    run(data + 1, size - 1, piece, &store);
    copy = malloc(size - 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, size - 1);
    mend(copy, size - 1);
    run(copy, size - 1, piece, &store);
    free(copy);
    return 0;
}
