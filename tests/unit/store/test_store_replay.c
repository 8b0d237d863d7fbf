/* SPDX-License-Identifier: BSD-3-Clause */
/* Restarts after chosen damage: what counts, what does not, and that it stays so. */
#include "rig.h"
#include "store_record.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define SEGMENTS 16u

/* n writes of one block each, block i with byte i + 1, all in flight together, each a batch. */
static void write_together(struct rig *r, struct hg_volume *vol, unsigned n)
{
    struct rig_req q[16];

    for (unsigned i = 0; i < n; i++)
        CU_ASSERT_FATAL(rig_write(r, &q[i], (struct rig_data){vol, i, 1, (int)i + 1, i + 1}) == 0);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT(rig_wait(&q[i]) == 0);
}

static struct hg_volume *begin(struct rig *r)
{
    rig_format(r, SEGMENTS, NULL);
    r->batch_bytes = HG_BLOCK;
    rig_start(r, 1);
    return rig_attach(r, 0, "s/a", MIB);
}

/* Opens again and checks that exactly the first s of n writes happened. */
static struct hg_volume *reopen(struct rig *r, unsigned s, unsigned n)
{
    struct hg_volume *vol;

    rig_start(r, 1);
    vol = rig_attach(r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq == s);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT(rig_check(r, vol, i, 1, i < s ? (int)i + 1 : 0) == 0);
    return vol;
}

/* The segment of the first batch, whose header is its block 0; batch i's header is block 2 * i. */
static uint32_t log_segment(struct rig *r)
{
    struct store_log_disk *hdr = aligned_alloc(HG_BLOCK, HG_BLOCK);
    uint32_t found = UINT32_MAX;

    CU_ASSERT_PTR_NOT_NULL_FATAL(hdr);
    for (uint32_t seg = 0; seg < SEGMENTS; seg++) {
        rig_peek(r, seg, 0, (uint8_t *)hdr);
        if (hg_le64_get(hdr->magic) == STORE_LOG_MAGIC)
            found = seg;
    }
    free(hdr);
    CU_ASSERT_FATAL(found != UINT32_MAX);
    return found;
}

static void spoil(struct rig *r, uint32_t seg, uint32_t block)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, HG_BLOCK);

    CU_ASSERT_PTR_NOT_NULL_FATAL(buf);
    rig_peek(r, seg, block, buf);
    memset(buf + 512, 0xee, 512);
    rig_poke(r, seg, block, buf);
    free(buf);
}

static bool is_header(struct rig *r, uint32_t seg, uint32_t block)
{
    struct store_log_disk *hdr = aligned_alloc(HG_BLOCK, HG_BLOCK);
    bool yes;

    CU_ASSERT_PTR_NOT_NULL_FATAL(hdr);
    rig_peek(r, seg, block, (uint8_t *)hdr);
    yes = hg_le64_get(hdr->magic) == STORE_LOG_MAGIC;
    free(hdr);
    return yes;
}

/* A torn header ends the log; what stood behind it must not come back when the same sequence
 * numbers and offsets are used again. */
static void torn_header(unsigned batch)
{
    struct rig_req q;
    struct rig r;
    struct hg_volume *vol = begin(&r);
    uint32_t seg;

    write_together(&r, vol, 8);
    rig_stop(&r, false);
    seg = log_segment(&r);
    spoil(&r, seg, 2 * batch);
    vol = reopen(&r, batch, 8);
    CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, batch, 1, (int)batch + 1, batch + 1}) == 0);
    CU_ASSERT(rig_wait(&q) == 0);
    rig_stop(&r, false);
    reopen(&r, batch + 1, 8);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_torn_header(void)
{
    for (unsigned batch = 0; batch < 8; batch++)
        torn_header(batch);
}

/* The header is there, its data is not. */
static void test_torn_data(void)
{
    for (unsigned batch = 0; batch < 8; batch++) {
        struct rig r;
        struct hg_volume *vol = begin(&r);
        uint32_t seg;

        write_together(&r, vol, 8);
        rig_stop(&r, false);
        seg = log_segment(&r);
        spoil(&r, seg, 2 * batch + 1);
        reopen(&r, batch, 8);
        rig_stop(&r, false);
        for (unsigned i = batch; i < 8; i++)
            CU_ASSERT_FALSE(is_header(&r, seg, 2 * i));
        reopen(&r, batch, 8);
        rig_stop(&r, false);
        rig_free(&r);
    }
}

/* What is known to have been durable is not thrown away for a bad block: the block reads as bad. */
static void test_durable_data_is_kept(void)
{
    struct rig_req q;
    struct rig r;
    struct hg_volume *vol = begin(&r);
    uint32_t seg;

    for (unsigned i = 0; i < 4; i++) { /* one after the other: each header says so of the last */
        CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, i, 1, (int)i + 1, i + 1}) == 0);
        CU_ASSERT(rig_wait(&q) == 0);
    }
    rig_stop(&r, false);
    seg = log_segment(&r);
    spoil(&r, seg, 3);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq == 4);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 1) == 0);
    CU_ASSERT(rig_check(&r, vol, 1, 1, 2) == -EILSEQ);
    CU_ASSERT(rig_check(&r, vol, 3, 1, 4) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

/* The segment that was open goes on being filled: opening again and again uses no space. */
static void test_reopen_uses_no_space(void)
{
    struct hg_pool_info first, last;
    struct rig_req q;
    struct rig r;
    struct hg_volume *vol = begin(&r);

    write_together(&r, vol, 8);
    hg_pool_info(r.pool, &first);
    for (unsigned i = 0; i < 20; i++) {
        rig_stop(&r, false);
        rig_start(&r, 1);
        vol = rig_attach(&r, 0, "s/a", 0);
        CU_ASSERT(rig_write(&r, &q, (struct rig_data){vol, 0, 1, 9, 9 + i}) == 0 &&
                  rig_wait(&q) == 0);
    }
    hg_pool_info(r.pool, &last);
    CU_ASSERT(first.segments_free == last.segments_free);
    CU_ASSERT(last.replay_entries == 27 && last.replay_ns > 0);
    rig_stop(&r, false);
    rig_free(&r);
}

/* Fewer shards than before: what the others wrote stays, also after their numbers come back. */
static void test_other_number_of_shards(void)
{
    struct hg_volume *a, *b;
    struct rig_req q;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    for (unsigned i = 0; i < 6; i++) {
        unsigned shards = 1 + i % 2;

        rig_start(&r, shards);
        a = rig_attach(&r, 0, "s/a", MIB);
        b = rig_attach(&r, shards - 1, "s/b", MIB);
        CU_ASSERT(rig_info(a).durable_seq == i && rig_info(b).durable_seq == i);
        CU_ASSERT(rig_check(&r, a, 0, 1, (int)i) == 0);
        CU_ASSERT(rig_check(&r, b, 0, 1, (int)i * 2) == 0);
        CU_ASSERT(rig_write(&r, &q, (struct rig_data){a, 0, 1, (int)i + 1, i + 1}) == 0 &&
                  rig_wait(&q) == 0);
        CU_ASSERT(rig_write(&r, &q, (struct rig_data){b, 0, 1, (int)i * 2 + 2, i + 1}) == 0 &&
                  rig_wait(&q) == 0);
        rig_stop(&r, false);
    }
    rig_free(&r);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"torn header", test_torn_header},
        {"torn data", test_torn_data},
        {"durable data is kept", test_durable_data_is_kept},
        {"opening uses no space", test_reopen_uses_no_space},
        {"other number of shards", test_other_number_of_shards},
    };

    return rig_main("store_replay", tests, HG_ARRAY_LEN(tests));
}
