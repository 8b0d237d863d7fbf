/* SPDX-License-Identifier: BSD-3-Clause */
/* Full pools, and the cleaner in situations that random runs reach seldom. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define SEGMENTS 16u

static void write_wait(struct rig *r, struct rig_data d)
{
    struct rig_req q;
    int rc = -ENOSPC;

    for (unsigned i = 0; rc != 0 && i < 10000; i++) {
        rc = rig_write(r, &q, d);
        CU_ASSERT_FATAL(rc == 0 || rc == -ENOSPC || rc == -EAGAIN);
        if (rc != 0)
            rig_poll(r);
    }
    CU_ASSERT_FATAL(rc == 0);
    CU_ASSERT_FATAL(rig_wait(&q) == 0);
}

/* Fills the pool until there is no room for good; returns the last seq. */
static uint64_t fill_pool(struct rig *r, struct hg_volume *vol)
{
    uint64_t seq = rig_info(vol).durable_seq;
    unsigned refused = 0;
    uint64_t block = 0;

    while (refused < 1000) {
        struct rig_req q;
        int rc = rig_write(r, &q, (struct rig_data){vol, block, 64, (int)(block % 251), seq + 1});

        CU_ASSERT_FATAL(rc == 0 || rc == -ENOSPC || rc == -EAGAIN);
        if (rc != 0) {
            refused++;
            rig_poll(r);
            continue;
        }
        CU_ASSERT_FATAL(rig_wait(&q) == 0);
        refused = 0;
        seq++;
        block += 64;
    }
    return seq;
}

static void test_full_and_back(void)
{
    struct hg_pool_info info;
    struct hg_volume *vol;
    struct rig_req q;
    uint64_t seq;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 64 * MIB);
    seq = fill_pool(&r, vol);
    hg_pool_info(r.pool, &info);
    CU_ASSERT(info.segments_free >= 1 && info.segments_free <= 4);
    CU_ASSERT(rig_count(&r, 0, "no_space") >= 1000);
    CU_ASSERT(rig_info(vol).durable_seq == seq); /* what was refused did not happen */
    for (uint64_t b = 0; b < seq * 64; b += 64)
        CU_ASSERT(rig_check(&r, vol, b, 64, (int)(b % 251)) == 0);
    CU_ASSERT(rig_zero(&r, &q, (struct rig_data){vol, 0, seq * 32, 0, seq + 1}) == 0 &&
              rig_wait(&q) == 0);
    seq++;
    for (unsigned i = 0; i < 20; i++)
        write_wait(&r, (struct rig_data){vol, i * 64, 64, 0x66, ++seq});
    CU_ASSERT(rig_count(&r, 0, "segments_freed") > 0);
    CU_ASSERT(rig_check(&r, vol, 0, 64, 0x66) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_grow_when_full(void)
{
    struct hg_volume *vol;
    uint64_t added, seq;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 256 * MIB);
    seq = fill_pool(&r, vol);
    rig_settle(&r);
    for (unsigned i = 0; i < RIG_DEVS; i++)
        CU_ASSERT(hg_bdev_mem_set_size(r.mem[i], RIG_DATA_START + 32 * (uint64_t)RIG_CHUNK) == 0);
    CU_ASSERT(hg_pool_grow(r.pool, &added, &r.err) == 0);
    CU_ASSERT(added == 16 * (uint64_t)RIG_CHUNK * RIG_DEVS);
    for (unsigned i = 0; i < 50; i++)
        write_wait(&r, (struct rig_data){vol, (seq + i) * 64, 64, 0x21, seq + 1 + i});
    rig_stop(&r, false);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq == seq + 50);
    CU_ASSERT(rig_check(&r, vol, (seq + 49) * 64, 64, 0x21) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

/* Where the next write of a scratch volume goes: all over it, so that some of every segment stays
 * live and the cleaner cannot live on dead ones. */
#define SCRATCH_BYTES (8 * MIB)
static uint64_t scratch_block(uint64_t seq)
{
    return (seq * seq * 0x9e3779b97f4a7c15u >> 32) % 128 * 16;
}

/* Overwrites a scratch volume until n segments have been freed. */
static void churn(struct rig *r, unsigned shard, struct hg_volume *scratch, uint64_t n)
{
    uint64_t goal = rig_count(r, shard, "segments_freed") + n;
    uint64_t seq = rig_info(scratch).durable_seq;

    for (unsigned i = 0; i < 4000 && rig_count(r, shard, "segments_freed") < goal; i++) {
        seq++;
        write_wait(r, (struct rig_data){scratch, scratch_block(seq), 16, 0x3c, seq});
    }
    CU_ASSERT(rig_count(r, shard, "segments_freed") >= goal);
}

/* Changes a byte of the block on media that is filled with `byte`. */
static void spoil(struct rig *r, int byte)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, HG_BLOCK);
    bool spoiled = false;

    CU_ASSERT_PTR_NOT_NULL_FATAL(buf);
    for (uint32_t at = 0; !spoiled && at < SEGMENTS * RIG_SEG_BLOCKS; at++) {
        rig_peek(r, at / RIG_SEG_BLOCKS, at % RIG_SEG_BLOCKS, buf);
        if (buf[0] == byte && memcmp(buf, buf + 1, HG_BLOCK - 1) == 0) {
            buf[77] = 0;
            rig_poke(r, at / RIG_SEG_BLOCKS, at % RIG_SEG_BLOCKS, buf);
            spoiled = true;
        }
    }
    CU_ASSERT(spoiled);
    free(buf);
}

/* A block that went bad is moved as it is: reading it says so before and after, also after a
 * restart, and nothing else is lost for it. */
static void test_bad_block_stays_bad(void)
{
    struct hg_volume *vol, *scratch;
    struct rig r;

    rig_format(&r, SEGMENTS, NULL);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    scratch = rig_attach(&r, 0, "s/scratch", SCRATCH_BYTES);
    write_wait(&r, (struct rig_data){vol, 0, 3, 0x5a, 1});
    spoil(&r, 0x5a);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 0x5a) == -EILSEQ);
    churn(&r, 0, scratch, 40);
    CU_ASSERT(rig_count(&r, 0, "cleaned_bytes") > 0);
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT(rig_check(&r, vol, 0, 1, 0x5a) == -EILSEQ);
        CU_ASSERT(rig_check(&r, vol, 1, 2, 0x5a) == 0);
        rig_stop(&r, false);
        rig_start(&r, 1);
        vol = rig_attach(&r, 0, "s/a", 0);
        CU_ASSERT(rig_info(vol).durable_seq == 1);
    }
    rig_stop(&r, false);
    rig_free(&r);
}

/* The copy of a bad block is among the last entries when the power fails: it must not be taken for
 * a torn one, since a write that was acknowledged stands behind it. */
static void bad_block_is_not_torn(uint64_t seed)
{
    struct hg_bdev_fault_cfg cfg = {.seed = seed};
    struct hg_volume *vol, *scratch;
    struct rig_req q, last;
    uint64_t seq = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, &cfg);
    r.batch_bytes = HG_BLOCK; /* every write is an entry of its own and leaves at once */
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", MIB);
    scratch = rig_attach(&r, 0, "s/scratch", SCRATCH_BYTES);
    write_wait(&r, (struct rig_data){vol, 0, 3, 0x5a, 1});
    spoil(&r, 0x5a);
    while (rig_count(&r, 0, "crc_errors") == 0) {
        bool taken =
            rig_write(&r, &q, (struct rig_data){scratch, scratch_block(seq + 1), 16, 1, seq + 1}) ==
            0;

        seq += taken;
        do
            rig_poll(&r);
        while (taken && !q.over && rig_count(&r, 0, "crc_errors") == 0);
        CU_ASSERT(!taken || rig_count(&r, 0, "crc_errors") != 0 || rig_wait(&q) == 0);
    }
    CU_ASSERT(rig_write(&r, &last, (struct rig_data){vol, 9, 1, 0x77, 2}) == 0);
    CU_ASSERT(rig_wait(&last) == 0);
    rig_stop(&r, true);
    rig_start(&r, 1);
    vol = rig_attach(&r, 0, "s/a", 0);
    CU_ASSERT(rig_info(vol).durable_seq == 2);
    CU_ASSERT(rig_check(&r, vol, 9, 1, 0x77) == 0);
    CU_ASSERT(rig_check(&r, vol, 0, 1, 0x5a) == -EILSEQ);
    rig_stop(&r, false);
    rig_free(&r);
}

static void test_bad_block_is_not_torn(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        bad_block_is_not_torn(seed);
}

/* A shard that went quiet: its last batches were in flight together, so none of its own headers
 * says that they became durable. The segment of the earlier ones is cleaned by another shard. The
 * gap must not cost the later ones. */
static void test_quiet_shard(void)
{
    struct hg_bdev_fault_cfg cfg = {.seed = 5};
    struct hg_volume *old, *kept, *scratch;
    struct rig_req q[3];
    struct rig r;

    rig_format(&r, SEGMENTS, &cfg);
    rig_start(&r, 2);
    old = rig_attach(&r, 1, "s/old", 2 * MIB);
    kept = rig_attach(&r, 1, "s/kept", 2 * MIB);
    scratch = rig_attach(&r, 0, "s/scratch", SCRATCH_BYTES);
    /* 384 blocks to a segment: the second one opens another. */
    CU_ASSERT(rig_write(&r, &q[0], (struct rig_data){old, 0, 256, 1, 1}) == 0);
    CU_ASSERT(rig_write(&r, &q[1], (struct rig_data){old, 256, 120, 2, 2}) == 0);
    CU_ASSERT(rig_write(&r, &q[2], (struct rig_data){kept, 0, 256, 3, 1}) == 0);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT(rig_wait(&q[i]) == 0);
    hg_store_detach(r.store[1], old);
    old = rig_attach(&r, 0, "s/old", 0);
    CU_ASSERT(rig_zero(&r, &q[0], (struct rig_data){old, 0, 512, 0, 3}) == 0 &&
              rig_wait(&q[0]) == 0);
    r.only = 1; /* polled, shard 1 might lead a job and write headers of its own */
    churn(&r, 0, scratch, 40);
    rig_stop(&r, true);
    r.only = 0;
    rig_start(&r, 2);
    kept = rig_attach(&r, 0, "s/kept", 0);
    old = rig_attach(&r, 1, "s/old", 0);
    CU_ASSERT(rig_info(kept).durable_seq == 1 && rig_info(old).durable_seq == 3);
    CU_ASSERT(rig_check(&r, kept, 0, 256, 3) == 0);
    CU_ASSERT(rig_check(&r, old, 0, 256, 0) == 0);
    rig_stop(&r, false);
    rig_free(&r);
}

/* All 1024 blocks at once: a copy that is not on media yet would show as a wrong CRC. */
static void read_all(struct rig *r, struct hg_volume *vol)
{
    struct rig_req q[4];

    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_FATAL(rig_read(r, &q[i], vol, i * 256, 256) == 0);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(rig_wait(&q[i]) == 0);
}

/* The cleaner is moving blocks of a volume when it changes hands: the next owner gets it only when
 * the copies are durable. */
static void test_moved_while_given_up(void)
{
    struct hg_bdev_fault_cfg cfg = {.seed = 6, .delay_polls = 30};
    struct hg_volume *vol, *scratch, *again;
    uint64_t seq = 0;
    unsigned caught = 0;
    struct rig r;

    rig_format(&r, SEGMENTS, &cfg);
    rig_start(&r, 2);
    vol = rig_attach(&r, 0, "s/a", 4 * MIB);
    scratch = rig_attach(&r, 0, "s/scratch", SCRATCH_BYTES);
    for (unsigned i = 0; i < 30000 && caught < 40; i++) {
        uint64_t moved;
        struct rig_req q;
        bool taken;

        write_wait(
            &r, (struct rig_data){vol, i % 1024, 1, 0x10, i + 1}); /* some of it in every segment */
        moved = rig_count(&r, 0, "cleaned_bytes");
        taken = rig_write(&r, &q,
                          (struct rig_data){scratch, scratch_block(seq + 1), 16, 1, seq + 1}) == 0;
        seq += taken;
        do
            rig_poll(&r);
        while (taken && !q.over && rig_count(&r, 0, "cleaned_bytes") == moved);
        if (rig_count(&r, 0, "cleaned_bytes") != moved) {
            hg_store_detach(r.store[0], vol);
            CU_ASSERT(rig_attach_status(&r, 1, "s/a", 0, &again) == 0);
            read_all(&r, vol);
            hg_store_detach(r.store[1], vol);
            CU_ASSERT(rig_attach_status(&r, 0, "s/a", 0, &again) == 0);
            caught++;
        }
        if (taken)
            CU_ASSERT(rig_wait(&q) == 0);
    }
    CU_ASSERT(caught == 40);
    rig_settle(&r);
    rig_stop(&r, false);
    rig_free(&r);
}

/* Shard 1 writes until the pool is full, n polls pass, and whenever it is idle it is destroyed: it
 * may lead a job then, or be in the middle of shard 0's. Returns whether it was idle. */
static bool destroy_after(struct rig *r, unsigned n)
{
    struct hg_volume *vol, *scratch;
    bool idle;
    struct rig_req q;
    uint64_t seq = 0;

    rig_start(r, 2);
    vol = rig_attach(r, 0, "s/a", 4 * MIB);
    scratch = rig_attach(r, 1, "s/scratch", SCRATCH_BYTES);
    for (unsigned b = 0; b < 512; b += 2)
        write_wait(r, (struct rig_data){vol, b, 1, 0x10, b + 1});
    while (rig_write(r, &q, (struct rig_data){scratch, scratch_block(seq + 1), 16, 1, seq + 1}) ==
           0) {
        CU_ASSERT(rig_wait(&q) == 0);
        seq++;
    }
    for (unsigned i = 0; i < n; i++)
        rig_poll(r);
    idle = hg_store_idle(r->store[1]);
    if (idle) {
        hg_store_destroy(r->store[1]);
        hg_arena_destroy(r->arena[1]);
        r->n_shards = 1;
    }
    rig_stop(r, false);
    rig_start(r, 1);
    CU_ASSERT(rig_info(rig_attach(r, 0, "s/scratch", 0)).durable_seq == seq);
    vol = rig_attach(r, 0, "s/a", 0);
    for (unsigned b = 0; b < 512; b += 64)
        CU_ASSERT(rig_check(r, vol, b, 1, 0x10) == 0);
    rig_stop(r, false);
    return idle;
}

static void test_destroy_in_a_job(void)
{
    struct hg_bdev_fault_cfg cfg = {.seed = 8, .delay_polls = 4};
    unsigned destroyed = 0;

    for (unsigned n = 0; n < 150; n++) {
        struct rig r;

        rig_format(&r, SEGMENTS, &cfg);
        destroyed += destroy_after(&r, n);
        rig_free(&r);
    }
    CU_ASSERT(destroyed > 10);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"full and back", test_full_and_back},
        {"grow when full", test_grow_when_full},
        {"a bad block stays bad", test_bad_block_stays_bad},
        {"a bad block is not torn", test_bad_block_is_not_torn},
        {"a quiet shard", test_quiet_shard},
        {"moved while given up", test_moved_while_given_up},
        {"destroy in a job", test_destroy_in_a_job},
    };

    return rig_main("store_clean", tests, HG_ARRAY_LEN(tests));
}
