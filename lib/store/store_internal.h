/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the store share: the types, and every cross-file function under the name of
 * the file that defines it. store.c holds the invariants.
 */
#ifndef LIB_STORE_STORE_INTERNAL_H
#define LIB_STORE_STORE_INTERNAL_H

#include "store_format.h"
#include "store_map.h"
#include "store_record.h"
#include <headgate/log.h>
#include <stdatomic.h>

#define STORE_AREA "store"
#define STORE_SEGMENTS_MAX (1u << 22)
#define STORE_SEGMENTS_MIN 8u
#define STORE_EXTENT_BLOCKS (HG_EXTENT_MAX / HG_BLOCK) /* of one request */
#define STORE_BATCHES 16u                              /* open or in flight, per shard */
#define STORE_BATCH_BLOCKS 1024u                       /* data blocks of one, at most */
#define STORE_BATCH_RECS 144u /* more than records fit into a header block */
#define STORE_READS 64u       /* in flight per shard */
#define STORE_MOVE_BLOCKS 64u /* the cleaner moves at most this many at a time */
#define STORE_REAP 64u        /* completions per device and poll */

/* Free segments that must stay when one is claimed: a cleaning job uses at most one before it frees
 * one; trims in a full pool may fill another; the rest is for what crashes leave half done. */
#define STORE_KEEP_USER 4u
#define STORE_KEEP_TRIM 2u
#define STORE_KEEP_CLEAN 0u

/*
 * A segment takes appends of one stream. Each shard has a segment of its own for what users write.
 * What the cleaner appends goes to one segment in the whole pool, which the shards hand round: so
 * the reserve that keeps the cleaner working does not depend on how many shards there are, and no
 * number of crashes can use it up in half-filled segments.
 */
enum store_stream { STORE_USER = 0, STORE_CLEAN = 1, STORE_STREAMS = 2 };

#define STORE_NOBODY (-1)

/* ---- pool ---- */

struct store_geo {
    unsigned n_dev;
    uint32_t stripe_unit, chunk; /* bytes */
    uint32_t seg_blocks;         /* of one segment */
    uint64_t data_start;         /* bytes on each device */
};

/*
 * FREE -> OPEN (claim) -> CLOSED -> CLEANING -> FREE
 * PARTIAL -> OPEN: was open when the node last went down and has room left
 * CLEANING -> CLOSED when a job is given up, -> BAD when its chain cannot be read
 */
enum store_seg_state { SEG_FREE, SEG_PARTIAL, SEG_OPEN, SEG_CLOSED, SEG_CLEANING, SEG_BAD };

struct store_segment {
    _Atomic uint32_t state;       /* enum store_seg_state; its release publishes the rest */
    _Atomic uint32_t next;        /* in a stack of free or partial segments */
    uint32_t tail;                /* blocks in use, headers included */
    uint64_t gen;                 /* as in its headers */
    _Atomic uint64_t first_stamp; /* of its first entry; UINT64_MAX: it has none */
    uint64_t last_bseq;           /* of its last entry since the pool was opened, and ... */
    uint32_t last_shard;          /* ... of which shard: not cleaned before that is durable */
};

/* A stack of segment indices, popped and pushed by any shard: index + 1 in the low half, a tag
 * against ABA in the high half. */
struct store_stack {
    _Atomic uint64_t head;
    _Atomic uint32_t n;
};

/* What a shard lets the others see. */
struct store_shard_pub {
    _Atomic uint64_t submitted;    /* bseq of its newest batch, open ones included */
    _Atomic uint64_t durable;      /* bseq up to which everything is durable */
    _Atomic bool active;           /* a store exists */
    _Atomic int32_t *_Atomic live; /* per segment: blocks mapped minus unmapped by this shard */
    uint8_t pad[40];
};

enum store_job_state { JOB_IDLE, JOB_PRIVATE, JOB_POSTED };

struct store_append {
    uint32_t segment; /* STORE_NO_SEGMENT: none open */
    uint32_t tail;    /* blocks handed out, the open batch not counted */
};
#define STORE_NO_SEGMENT UINT32_MAX

/* The cleaner's segment, while no shard has it. A shard gives it back when all it appended there is
 * durable: the chain must not have a hole in front of another shard's entries. */
struct store_clean_end {
    _Atomic int owner; /* shard, or STORE_NOBODY */
    struct store_append append;
    uint64_t stamp; /* no lower than that of its last entry */
};

/* The cleaning job of the pool: one at a time, led by one shard, worked on by all. */
struct store_job_pub {
    _Atomic uint32_t state;
    _Atomic uint64_t id; /* unique per pool session */
    _Atomic uint32_t segment,
        tail;                 /* a late shard must not look at the segment's own entry, which */
    _Atomic uint64_t seg_gen; /* may be in use again: so it is copied here */
    _Atomic uint64_t seen[HG_VOLUMES_MAX / 64]; /* volumes with records in the segment */
    _Atomic uint64_t oldest_other;              /* lowest stamp in any other segment */
    _Atomic bool zeroes;                        /* the segment has ZERO records */
    _Atomic bool dead;                          /* nothing in it to append again: only MARKs */
    _Atomic bool failed;                        /* somebody could not read the segment */
};

struct hg_pool {
    struct hg_bdev **devs;
    struct store_geo geo;
    uint8_t uuid[STORE_UUID_LEN];
    uint8_t dev_uuid[HG_POOL_DEVICES_MAX][STORE_UUID_LEN];
    uint64_t super_gen;
    _Atomic uint32_t n_segments;
    struct store_segment *segs; /* STORE_SEGMENTS_MAX reserved */
    struct store_stack free_segs, partial[STORE_STREAMS];
    _Atomic uint32_t n_shards;  /* 0 until the first store */
    _Atomic uint32_t n_stopped; /* shards that write no more */
    _Atomic uint64_t seg_opens; /* with incarnation: the next seg_gen */
    struct store_shard_pub shard[HG_STORE_SHARDS_MAX];
    _Atomic int32_t *live0; /* per segment, from replay */
    uint64_t stamp0;        /* higher than any stamp on media at open */

    struct hg_volume *volumes[HG_VOLUMES_MAX];
    _Atomic uint32_t n_volumes; /* published: entries below it never change */
    _Atomic bool cat_busy;      /* lock of the catalogue and of what follows */
    uint8_t *cat_buf;           /* STORE_CAT_BYTES, DMA-aligned */
    uint64_t cat_gen;           /* the highest used, on media or tried */
    unsigned cat_copy;          /* which copy is the valid one */
    uint32_t incarnation;
    uint64_t base[HG_STORE_SHARDS_MAX];
    _Atomic bool super_busy; /* lock of hg_pool_grow() */

    struct store_slabs slabs;
    struct store_leaves boot_leaves; /* replay's; the first store takes them over */
    _Atomic bool boot_taken;

    struct store_clean_end clean_end;
    struct store_job_pub job;
    _Atomic bool activity;         /* users wanted space since the last job */
    _Atomic uint64_t space_events; /* segments came free, or `full` turned true */
    _Atomic bool full; /* cleaning gains next to nothing: refuse users rather than let them wait */
    hg_ns replay_ns;
    uint64_t replay_entries;
};

/* ---- volumes ---- */

#define STORE_HELD 0x100 /* owner | HELD: not attached, but a shard's cleaner works on it */

struct hg_volume {
    uint32_t id;
    char name[HG_VOLUME_NAME_MAX];
    uint64_t size;     /* bytes */
    _Atomic int owner; /* STORE_NOBODY, shard, or shard | STORE_HELD */

    /* The owner's alone; handed over with `owner`. */
    struct store_map map;
    uint64_t seq, epoch;           /* of the last request submitted */
    uint64_t last_stamp;           /* no lower than any stamp it was written under */
    uint64_t zero_at, zero_end;    /* blocks still to be unmapped by zero_req */
    struct hg_store_req *zero_req; /* NULL: none */
    struct hg_volume *zero_next;   /* in the shard's list of those */
    uint64_t release_bseq;         /* while being given up: when this is durable */
    struct hg_volume *release_next;
    bool broken; /* a write of it failed: closed to all until the pool is opened again */

    /* Any thread. */
    _Atomic uint64_t durable_seq, durable_epoch;
    _Atomic uint64_t clean_done; /* id of the last job that is through with it */
};

/* ---- one shard ---- */

enum store_io_kind { SIO_BATCH, SIO_FLUSH, SIO_READ, SIO_WALK, SIO_JOB, SIO_CAT };

struct store_io {
    struct hg_bdev_io io;
    uint8_t kind;
    void *ctx; /* struct store_batch, store_read; NULL for kinds of which there is one */
};

struct store_dev {
    struct hg_bdev_chan *chan;
    struct hg_bdev_io *head; /* not yet taken by the channel, linked by next */
    struct hg_bdev_io **tail;
};

/*
 * FREE -> OPEN -> WRITING -> WRITTEN -> FLUSHED -> FREE
 * any of the middle ones -> FAILED, for good
 */
enum store_batch_state {
    BATCH_FREE,
    BATCH_OPEN,
    BATCH_WRITING,
    BATCH_WRITTEN,
    BATCH_FLUSHED,
    BATCH_FAILED
};

struct store_piece {
    uint8_t *buf;
    uint32_t blocks;
};

#define STORE_BATCH_IOS (HG_POOL_DEVICES_MAX + (STORE_BATCH_BLOCKS + 1) / HG_BDEV_IOV_MAX + 1)

struct store_batch {
    enum store_batch_state state;
    enum store_stream stream;
    uint32_t segment;
    uint32_t off;    /* block of the header in the segment */
    uint32_t n_data; /* blocks so far */
    uint32_t rec_bytes, n_recs, n_pieces;
    uint64_t bseq;
    hg_ns opened;
    struct store_log_disk *hdr; /* from the arena */
    struct hg_store_req *reqs, **reqs_tail;
    uint32_t dev_mask; /* devices it writes to */
    unsigned ios_left;
    int status;
    struct store_piece piece[STORE_BATCH_RECS]; /* data in order; owners' memory */
    struct hg_iov iov[STORE_BATCH_BLOCKS + 1];
    struct store_io io[STORE_BATCH_IOS];
};

struct store_read {
    struct hg_store_req *req; /* NULL: free */
    struct store_read *next;  /* in the free or the deferred list */
    unsigned ios_left;
    unsigned tries;
    int status;
    struct {
        uint64_t pbn; /* STORE_PBN_NONE: zeros */
        uint32_t crc;
    } want[STORE_EXTENT_BLOCKS];
    struct hg_iov iov[STORE_EXTENT_BLOCKS];
    struct store_io io[STORE_EXTENT_BLOCKS];
};

enum store_cat_phase { CAT_IDLE, CAT_WRITING, CAT_FLUSHING };

/* One write of the catalogue by this shard, for all creations that are waiting. */
struct store_cat_write {
    enum store_cat_phase phase;
    unsigned ios_left;
    int status;
    uint32_t n_volumes; /* with the new ones */
    struct hg_iov iov;
    struct store_io io[HG_POOL_DEVICES_MAX];
};

enum store_walk_phase {
    WALK_IDLE,
    WALK_HEADER,  /* wants the next header */
    WALK_PARSE,   /* header read is under way */
    WALK_RECORDS, /* goes through its records */
    WALK_ZERO,    /* writes a ZERO record again where it still matters */
    WALK_FETCH,   /* reads the collected blocks */
    WALK_APPEND,  /* has them, appends them */
    WALK_SETTLE,  /* waits for the append to be durable */
    WALK_MARKS,   /* writes MARKs */
    WALK_DURABLE, /* waits for all it relied on */
};

struct store_move {
    struct hg_volume *vol;
    uint64_t block, pbn;
    uint32_t crc;
    bool bad; /* the data does not match the CRC */
};

/* This shard's way through the segment that is being cleaned. */
struct store_walk {
    enum store_walk_phase phase;
    bool scan; /* only notes the volumes; the leader's first pass */
    uint64_t id, seg_gen;
    uint32_t segment, at, tail; /* blocks */
    struct store_log log;
    struct store_rec_iter it;
    struct store_rec rec;
    uint64_t rec_at; /* blocks of rec done, while in RECORDS or ZERO */
    bool in_rec;
    uint32_t n_moves;
    uint32_t mark;      /* next volume id for a MARK */
    uint64_t touched;   /* bseq of the last batch a walk appended to */
    uint64_t wait_bseq; /* what must be durable before the walk is over */
    unsigned ios_left;
    int status;
    uint64_t mine[HG_VOLUMES_MAX / 64]; /* volumes this pass is about */
    struct store_move move[STORE_MOVE_BLOCKS];
    struct store_log_disk *hdr; /* from the arena */
    uint8_t *buf;               /* STORE_MOVE_BLOCKS blocks from the arena */
    struct hg_iov iov[STORE_MOVE_BLOCKS];
    struct store_io io[STORE_MOVE_BLOCKS];
};

enum store_job_phase {
    LEAD_NONE,
    LEAD_PICK,  /* looks for the segment with the least live data */
    LEAD_SCAN,  /* learns which volumes have records in it */
    LEAD_WORK,  /* waits until every one of them is done */
    LEAD_GRACE, /* waits until all that the decisions rest on is durable */
    LEAD_NOTE,  /* writes down how far each shard is durable */
    LEAD_NOTED, /* waits for that to be durable */
    LEAD_ERASE, /* erases the first header */
    LEAD_FLUSH, /* makes that durable */
};

/* What the leading shard knows about the job. */
struct store_lead {
    enum store_job_phase phase;
    uint32_t cursor, best;
    int64_t best_live;
    bool later; /* a closed segment was passed over because its end is not durable yet */
    uint64_t oldest, second; /* lowest and second lowest first_stamp */
    uint32_t oldest_seg;
    uint64_t wait_bseq;
    uint64_t grace[HG_STORE_SHARDS_MAX];
    hg_ns next_try, deadline;
    int status;
    bool io_busy;
    struct hg_iov iov;
    struct store_io io;
};

struct hg_store {
    struct hg_pool *pool;
    struct store_geo geo; /* a copy: on the data path */
    unsigned shard;
    struct store_shard_pub *pub;
    _Atomic int32_t *live; /* == pub->live */
    struct hg_arena *arena;
    uint8_t *zero_page; /* from the arena */
    uint32_t batch_blocks;
    hg_ns commit_delay, now;
    struct store_dev dev[HG_POOL_DEVICES_MAX];
    uint32_t flush_devs; /* devices with a volatile cache */
    uint32_t ios_out;    /* queued or in flight */

    struct store_batch *batch; /* ring of STORE_BATCHES */
    unsigned head, n_batches;  /* oldest, and how many are not FREE */
    struct store_batch *open;  /* the newest, or NULL */
    struct store_append append[STORE_STREAMS];
    bool has_clean_end;  /* append[STORE_CLEAN] is this shard's now */
    uint64_t clean_bseq; /* the last batch appended there */
    uint64_t bseq, durable, stamp;
    struct store_io flush_io[HG_POOL_DEVICES_MAX];
    unsigned flush_left;   /* flushes in flight */
    unsigned flush_covers; /* batches from head that they cover */
    int flush_status;
    uint64_t progress; /* batches retired and ZEROs finished */
    bool failed;       /* no more writes; see store_batch.c */

    struct store_read *reads, *free_reads, *deferred, **deferred_tail;
    unsigned n_reads;
    struct hg_store_req *attach, **attach_tail; /* waiting, in order */
    struct store_cat_write cat;
    struct hg_volume *releasing; /* given up, but held until durable */
    struct hg_volume *zeroing;   /* with a zero_req */
    struct store_leaves leaves;
    struct store_walk walk;
    struct store_lead lead;
    struct hg_store_counters count;
    struct hg_log_limit log_limit;
};

/* ---- store_super.c ---- */

/* Reads and checks the superblocks of all devices; fills in geometry, UUIDs, n_segments. */
int store_super_open(struct hg_pool *pool, unsigned n, struct hg_err *err);
void store_uuid_text(const uint8_t *uuid, char text[37]);

/* ---- store_catalogue.c ---- */

/* Serialises the first n volumes into pool->cat_buf under the next generation; returns bytes. */
uint32_t store_cat_build(struct hg_pool *pool, uint32_t n);
/* Where the next generation goes. */
uint64_t store_cat_offset(const struct hg_pool *pool);
/* The write of store_cat_build() is durable. */
void store_cat_committed(struct hg_pool *pool);
/* Reads the newest catalogue and makes the volumes. */
int store_cat_load(struct hg_pool *pool, struct hg_err *err);
/* Blocking: builds, writes to all devices, flushes. */
int store_cat_write(struct hg_pool *pool, struct hg_err *err);
/* Writes the empty catalogue of a new pool to one device. */
int store_cat_format(struct hg_bdev *dev, const uint8_t *pool_uuid, struct hg_err *err);

/* ---- store_volume.c ---- */

struct hg_volume *store_volume_new(uint32_t id, const char *name, uint64_t size);
void store_volume_free(struct hg_volume *vol);
unsigned store_volume_poll(struct hg_store *store);
/* The shard owns or holds the volume: nobody's, as soon as what the cleaner appended is durable. */
void store_volume_give_up(struct hg_store *store, struct hg_volume *vol);
/* Goes through those that wait for it. */
void store_volume_release(struct hg_store *store);
void store_volume_cat_done(struct hg_store *store, struct store_io *sio);
static inline uint64_t store_volume_blocks(const struct hg_volume *vol)
{
    return (vol->size + HG_BLOCK - 1) / HG_BLOCK;
}

/* ---- store_segment.c ---- */

int store_seg_init(struct hg_pool *pool, struct hg_err *err);
void store_seg_fini(struct hg_pool *pool);
/* Memory for one live count per possible segment, or NULL. */
_Atomic int32_t *store_seg_live_new(void);
void store_seg_live_free(_Atomic int32_t *live);
void store_seg_push(struct hg_pool *pool, struct store_stack *stack, uint32_t seg);
/* Claims a segment with room for `blocks` for the stream and opens it. `keep`: free segments that
 * must stay. -ENOSPC. */
int store_seg_claim(struct hg_pool *pool, enum store_stream stream, uint32_t blocks, uint32_t keep,
                    struct store_append *out);
/* No more appends to it; *append is empty afterwards. bseq: the shard's last batch so far. */
void store_seg_close(struct hg_pool *pool, struct store_append *append, unsigned shard,
                     uint64_t bseq);
/* Live blocks in a segment, summed over the shards. Exact for a closed one that nobody cleans. */
int64_t store_seg_live(const struct hg_pool *pool, uint32_t seg);
/* The live count of pbn's segment changes by one; the shard's own array. */
static inline void store_live_add(_Atomic int32_t *live, uint32_t seg, int32_t change)
{
    int32_t now = atomic_load_explicit(&live[seg], memory_order_relaxed);

    atomic_store_explicit(&live[seg], now + change, memory_order_release);
}

/* ---- store_io.c: where a segment's bytes are, and getting requests to devices ---- */

struct store_place {
    unsigned dev;
    uint64_t offset; /* bytes on the device */
    uint32_t blocks; /* from there to the end of the stripe unit */
};
struct store_place store_place(const struct store_geo *geo, uint32_t seg, uint32_t block);
void store_io_queue(struct hg_store *store, unsigned dev, struct store_io *sio);
/* Hands what is queued to the channels as far as their depth allows. */
void store_io_push(struct hg_store *store);
/* Reaps all channels. */
unsigned store_io_poll(struct hg_store *store);

/* Blocking access to a pool while it is being opened. */
#define STORE_BIO_DEPTH 64u
struct store_bio {
    const struct hg_pool *pool;
    struct hg_bdev_chan *chan[HG_POOL_DEVICES_MAX];
};
struct store_bio_req {
    struct hg_bdev_io io;
    struct hg_iov iov;
    unsigned dev;
};
int store_bio_open(struct store_bio *bio, const struct hg_pool *pool, struct hg_err *err);
void store_bio_close(struct store_bio *bio);
/* One block each; n <= STORE_BIO_DEPTH. The error names the device. */
int store_bio_run(struct store_bio *bio, struct store_bio_req *req, unsigned n, struct hg_err *err);
/* Consecutive blocks of a segment. */
struct store_span {
    uint32_t seg, block, blocks;
};
/* The blocks of a span into buf. */
int store_bio_read(struct store_bio *bio, struct store_span span, uint8_t *buf, struct hg_err *err);
int store_bio_flush(struct store_bio *bio, struct hg_err *err);

/* ---- store_batch.c ---- */

struct store_need {
    enum store_stream stream;
    uint32_t rec_bytes;
    uint32_t blocks;
    uint32_t keep; /* free segments that must stay if a new one is needed */
};
/* An open batch with room for what is needed, in store->open. 0, -EAGAIN, -ENOSPC, -EIO. */
int store_batch_room(struct hg_store *store, const struct store_need *need);
/* Appends a record, for DATA with its blocks at buf, to the open batch, which must have room.
 * Returns the physical block of the first data block. */
uint64_t store_batch_add(struct hg_store *store, const struct store_rec *rec, const uint32_t *crc,
                         uint8_t *buf);
/* What a request for the log keeps in its priv. */
enum { STORE_PRIV_SEQ, STORE_PRIV_EPOCH };

/* done() of req comes when the open batch is durable. */
void store_batch_attach_req(struct hg_store *store, struct hg_store_req *req);
void store_batch_close(struct hg_store *store);
void store_batch_io_done(struct hg_store *store, struct store_io *sio);
void store_batch_flush_done(struct hg_store *store, struct store_io *sio);
/* Gives the cleaner's segment back, if this shard has it and all of it is durable. */
void store_batch_give_clean_end(struct hg_store *store);
/* Closes the open batch when it is time, flushes, retires. Returns how much it did. */
unsigned store_batch_poll(struct hg_store *store);
/* State of the batch whose data blocks include pbn: WRITING or OPEN when they are not on media yet,
 * FAILED, or FREE when none does. */
enum store_batch_state store_batch_of(const struct hg_store *store, uint64_t pbn);
struct store_batch *store_batch_at(const struct hg_store *store, unsigned i);

/* ---- store_read.c ---- */

void store_read_init(struct hg_store *store);
void store_read_io_done(struct hg_store *store, struct store_io *sio);
unsigned store_read_poll(struct hg_store *store);

/* ---- store_replay.c, store_scan.c ---- */

/* One sound log entry found on media. */
struct store_ref {
    uint64_t stamp, bseq;
    uint32_t seg, off; /* of its header */
    uint16_t shard;
    bool accepted;
};

struct store_scan {
    struct store_ref *ref;
    size_t n, cap;
    uint64_t durable[HG_STORE_SHARDS_MAX]; /* the highest that is known for certain */
    uint64_t max_stamp;
};

/* Follows the chains of all segments. */
int store_scan(struct store_bio *bio, struct store_scan *scan, struct hg_err *err);
/* Rebuilds maps, live counts and segment states; leaves nothing on media that a later replay could
 * take for valid. */
int store_replay(struct hg_pool *pool, struct hg_err *err);

/* ---- store_walk.c, store_clean.c ---- */

void store_walk_start(struct hg_store *store, uint64_t id, bool scan);
/* Gives the walk up; nothing of it is in flight. */
void store_walk_stop(struct hg_store *store);
/* Goes on with the walk; returns how much it did. */
unsigned store_walk_poll(struct hg_store *store);
void store_walk_io_done(struct hg_store *store, struct store_io *sio);
/* The volume is being given up: no more of it in this walk. */
void store_walk_forget(struct hg_store *store, const struct hg_volume *vol);
unsigned store_clean_poll(struct hg_store *store);
void store_clean_io_done(struct hg_store *store, struct store_io *sio);
/* Gives up the job this store leads; nothing of it is in flight. */
void store_clean_cancel(struct hg_store *store);
/* Free segments below which the cleaner works. */
uint32_t store_clean_low(const struct hg_pool *pool);

/* ---- store_write.c ---- */

/* Goes on unmapping for ZERO requests. Returns how much it did. */
unsigned store_zero_poll(struct hg_store *store);
/* Users want space: the cleaner may start. */
static inline void store_wants_space(struct hg_pool *pool)
{
    if (!atomic_load_explicit(&pool->activity, memory_order_relaxed))
        atomic_store_explicit(&pool->activity, true, memory_order_relaxed);
}

#endif /* LIB_STORE_STORE_INTERNAL_H */
