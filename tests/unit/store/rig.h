/* SPDX-License-Identifier: BSD-3-Clause */
/* A small pool in memory with its stores, for the store's unit tests. */
#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

#include <CUnit/Basic.h>
#include <headgate/store.h>

#define RIG_DEVS 2u
#define RIG_SHARDS 2u
#define RIG_UNIT 65536u
#define RIG_CHUNK (768u * 1024u) /* a segment has 384 blocks */
#define RIG_SEG_BLOCKS 384u
#define RIG_DATA_START ((uint64_t)5 << 20)

struct rig {
    struct hg_bdev *mem[RIG_DEVS];
    struct hg_bdev *dev[RIG_DEVS]; /* the fault layer over mem, or mem itself */
    struct hg_pool *pool;
    struct hg_store *store[RIG_SHARDS];
    struct hg_arena *arena[RIG_SHARDS];
    void *region[RIG_SHARDS];
    unsigned n_shards;
    unsigned only; /* poll only shard only - 1; 0: all */
    uint32_t batch_bytes;
    hg_ns now;
    struct hg_err err;
};

/* Formats a pool of that many segments; fault: NULL for plain memory. */
void rig_format(struct rig *r, uint32_t segments, const struct hg_bdev_fault_cfg *fault);
/* Opens the pool and n_shards stores. */
void rig_start(struct rig *r, unsigned n_shards);
/* Ends stores and pool; with a power cut before when the fault layer is there and cut is set. */
void rig_stop(struct rig *r, bool cut);
void rig_free(struct rig *r);

void rig_poll(struct rig *r);   /* the stores once, time goes on */
void rig_settle(struct rig *r); /* until all are idle */

/* A request that notes its end; the buffer is the arena's. */
struct rig_req {
    struct hg_store_req base;
    struct rig *rig;
    unsigned shard;
    bool over;
};

int rig_attach_status(struct rig *r, unsigned shard, const char *name, uint64_t size,
                      struct hg_volume **vol);
struct hg_volume *rig_attach(struct rig *r, unsigned shard, const char *name, uint64_t size);

/* A change: n blocks from `block` on, filled with `byte` (writes only). */
struct rig_data {
    struct hg_volume *vol;
    uint64_t block, n;
    int byte;
    uint64_t seq;
};

/* Starts a read of n blocks. */
int rig_read(struct rig *r, struct rig_req *q, struct hg_volume *vol, uint64_t block, uint32_t n);
/* Start a write, or zeroes; return what the store said. */
int rig_write(struct rig *r, struct rig_req *q, struct rig_data d);
int rig_zero(struct rig *r, struct rig_req *q, struct rig_data d);
/* Polls until the request is over; its status. */
int rig_wait(struct rig_req *q);
/* Reads n blocks (at most 256) and waits. Status, or 1 when they are not all filled with `byte`. */
int rig_check(struct rig *r, struct hg_volume *vol, uint64_t block, uint32_t n, int byte);

uint64_t rig_count(const struct rig *r, unsigned shard, const char *name);
struct hg_volume_info rig_info(const struct hg_volume *vol);

/* Where a block of a segment is: the bytes of the memory device, by a copy out and in. */
void rig_peek(struct rig *r, uint32_t seg, uint32_t block, uint8_t *buf);
void rig_poke(struct rig *r, uint32_t seg, uint32_t block, const uint8_t *buf);

struct rig_test {
    const char *name;
    CU_TestFunc fn;
};
/* Runs them all; the exit status for main(). */
int rig_main(const char *suite, const struct rig_test *tests, unsigned n);

#endif /* TESTS_UNIT_STORE_RIG_H */
