/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store: thin volumes striped over a pool of devices, acknowledged durable only after the flush
 * that covers them. This contract stays when the first form behind it is replaced.
 *
 * A pool is the set of devices and what is immutable about them. A store is one shard's part: its
 * channels, its open segment, its requests. A volume is owned by at most one shard at a time, from
 * hg_store_attach() to hg_store_detach(). Calls on a store are made by its shard's thread only.
 * Requests are embedded in their owner's struct; done() is called from hg_store_poll() (never from
 * within the submitting call), after which the store no longer knows the request.
 *
 * Order and durability. Writes, zeroes and epochs of one volume take effect in the order of their
 * submission. They are made durable as a prefix of that order: after a crash the volume is as if
 * exactly the requests up to some sequence number S had been made, with S >= every sequence number
 * that done() had reported; hg_volume_info.durable_seq is S.
 */
#ifndef HEADGATE_STORE_H
#define HEADGATE_STORE_H

#include <headgate/arena.h>
#include <headgate/base.h>
#include <headgate/bdev.h>
#include <headgate/counter.h>
#include <stdbool.h>

#define HG_VOLUME_NAME_MAX 256u                /* bytes, NUL included; "source/volume" */
#define HG_VOLUME_SIZE_MAX ((uint64_t)1 << 46) /* 64 TiB */
#define HG_VOLUMES_MAX 4096u
#define HG_STORE_SHARDS_MAX 64u
#define HG_POOL_DEVICES_MAX 32u
#define HG_EXTENT_MAX (1024u * 1024u) /* bytes of one write or read */

struct hg_pool;
struct hg_store;
struct hg_volume;

/* ---- pool: start, tools ---- */

struct hg_pool_geometry {
    uint32_t stripe_unit; /* bytes, power of two, 4 KiB..1 MiB [64 KiB] */
    uint32_t chunk;       /* bytes of a segment on one device, multiple of stripe_unit [4 MiB] */
};

/* Writes new superblocks to devs[0..n), n >= 2, in this order. Refuses (-EEXIST) a device that has
 * a headgate superblock, partition table or file system signature unless force; -ENOSPC when one is
 * too small. Blocking. */
int hg_pool_format(struct hg_bdev **devs, unsigned n, const struct hg_pool_geometry *geometry,
                   bool force, struct hg_err *err);

/* True when dev holds no superblock (so that a profile with create=auto may format a fresh pool).
 */
bool hg_pool_blank(struct hg_bdev *dev);

/* Checks all superblocks against each other and the order given, replays the log, and makes the
 * volumes known. The error names the device that is missing, foreign, reordered, too small or of a
 * newer format. The devices stay the caller's but must live as long as the pool. Blocking. */
int hg_pool_open(struct hg_bdev **devs, unsigned n, struct hg_pool **out, struct hg_err *err);
/* All stores destroyed before. */
void hg_pool_close(struct hg_pool *pool);

struct hg_pool_info {
    char uuid[37];
    unsigned n_devices;
    uint32_t stripe_unit, chunk;
    uint64_t capacity, used,
        free; /* bytes: of data segments; live; appendable now or after cleaning */
    uint32_t segments, segments_free;
    uint32_t volumes;
    uint32_t stopped; /* shards that write no more since a device failed a write of theirs */
    hg_ns replay_ns;  /* how long the last open took; entries replayed */
    uint64_t replay_entries;
};
void hg_pool_info(const struct hg_pool *pool, struct hg_pool_info *out);

/* Looks at the devices' sizes again and adds segments where all of them grew. Any thread, blocking;
 * call from the control core. Out: bytes added. */
int hg_pool_grow(struct hg_pool *pool, uint64_t *added, struct hg_err *err);

/* ---- one shard ---- */

struct hg_store_cfg {
    unsigned shard, n_shards;
    struct hg_arena *arena; /* the shard's; its region is registered with the channels */
    unsigned depth;         /* requests in flight per device [128] */
    uint32_t batch_bytes;   /* a batch is closed at this size [1 MiB, max 4 MiB] */
    hg_ns commit_delay;     /* ... or when its oldest write is this old [500 us]; at once when
                             * nothing is in flight */
};
int hg_store_create(struct hg_pool *pool, const struct hg_store_cfg *cfg, struct hg_store **out,
                    struct hg_err *err);
/* Nothing in flight (see hg_store_idle). */
void hg_store_destroy(struct hg_store *store);

struct hg_store_req {
    void (*done)(struct hg_store_req *req); /* called once; status is final */
    void *owner;
    int status;      /* 0; -ENOSPC; -EIO; -EILSEQ: stored CRC does not match, offset names where */
    uint64_t offset; /* as submitted; on -EILSEQ the first bad block */
    uint8_t *buf;    /* read, write: arena buffer, HG_BLOCK-aligned, the owner's until done() */
    uint32_t len;    /* bytes; multiple of HG_BLOCK (a volume's partial last block counts whole) */
    struct hg_volume *vol;
    struct hg_store_req *next; /* the store's */
    uint64_t priv[4];          /* the store's */
};

/* Finds or creates a volume and makes this shard its owner. `size` 0: must exist. Creation is
 * durable before done(). req->status: 0; -EBUSY owned elsewhere; -ENOENT; -EEXIST with another size
 * (see *out's info); -ENOSPC no room in the catalogue; -EINVAL name or size; -EIO a device failed,
 * now or at an earlier write of this volume, after which the pool must be opened again. On 0, *out
 * is set by the time done() runs. name and out must stay until then. */
void hg_store_attach(struct hg_store *store, const char *name, uint64_t size,
                     struct hg_volume **out, struct hg_store_req *req);
/* Gives the volume up. No request of it may be in flight. */
void hg_store_detach(struct hg_store *store, struct hg_volume *vol);

/* Writes req->buf[0..len) at offset; crc[i] is the CRC32C of block i (copied before return) and is
 * stored beside it. seq: the source's sequence number, > every earlier one of this volume. done()
 * means durable. 0, or with nothing taken: -ENOSPC (pool full: try later), -EAGAIN (queue full:
 * retry after the next poll), -EINVAL (range, alignment or seq), -EIO (a device failed a write:
 * this shard writes no more until the pool is opened again). */
int hg_store_write(struct hg_store *store, struct hg_store_req *req, const uint32_t *crc,
                   uint64_t seq);

/* Whether a write of len bytes would be answered -EAGAIN now: asked before a payload is inflated and
 * checked, so that waiting costs nothing. False promises nothing else. */
bool hg_store_write_waits(struct hg_store *store, const struct hg_volume *vol, uint32_t len);

/* Changes whenever what made a request wait (-EAGAIN) may be over. Now and then it is over without:
 * ask again after a millisecond at the latest. */
uint64_t hg_store_progress(const struct hg_store *store);

/* Makes [offset, offset+len64) read as zeros, as metadata only, freeing what was there. Offsets are
 * multiples of HG_BLOCK. As hg_store_write() otherwise. */
int hg_store_zero(struct hg_store *store, struct hg_store_req *req, uint64_t len64, uint64_t seq);

/* Records that `epoch` of the volume closes after everything submitted before. */
int hg_store_epoch(struct hg_store *store, struct hg_store_req *req, uint64_t epoch, uint64_t seq);

/* Reads len bytes at offset into req->buf; every block's CRC is checked. Sees all writes submitted
 * before that are done, and may see later ones. 0, -EAGAIN or -EINVAL. */
int hg_store_read(struct hg_store *store, struct hg_store_req *req);

/* Where the next mapped range at or after `offset` starts and how long it is (both multiples of
 * HG_BLOCK); false when the rest is zeros. */
bool hg_store_next_data(struct hg_store *store, struct hg_volume *vol, uint64_t offset,
                        uint64_t *start, uint64_t *len);

/* Closes batches, submits, reaps, calls done(). Returns what it did (0: idle turn). */
unsigned hg_store_poll(struct hg_store *store, hg_ns now);

/* Lower bound of the time at which poll has something to do by itself; 0: only on completions. */
hg_ns hg_store_next(const struct hg_store *store);

/* True when nothing is pending or in flight. */
bool hg_store_idle(const struct hg_store *store);

struct hg_volume_info {
    char name[HG_VOLUME_NAME_MAX];
    uint32_t id;
    uint64_t size;
    uint64_t mapped;      /* bytes that do not read as zeros by being unmapped */
    uint64_t durable_seq; /* highest sequence number of the durable prefix, 0: none */
    uint64_t epoch;       /* last closed epoch, 0: none */
    int shard;            /* owner, or -1 */
};
void hg_volume_info(const struct hg_volume *vol, struct hg_volume_info *out);
/* All volumes: index 0.. until false. Any thread; figures may be a moment old. */
bool hg_pool_volume(const struct hg_pool *pool, unsigned index, struct hg_volume_info *out);

#define HG_STORE_COUNTERS(X)                                                                       \
    X(writes, "extents taken for writing")                                                         \
    X(write_bytes, "bytes of them")                                                                \
    X(zeroes, "zero and trim requests taken")                                                      \
    X(epochs, "epochs closed")                                                                     \
    X(reads, "reads taken")                                                                        \
    X(read_bytes, "bytes of them")                                                                 \
    X(batches, "log entries written")                                                              \
    X(log_bytes, "bytes of log entries, headers included")                                         \
    X(device_writes, "write requests sent to devices")                                             \
    X(flushes, "flush requests sent to devices")                                                   \
    X(commits, "times the durable prefix moved")                                                   \
    X(crc_errors, "blocks read back with a CRC that does not match")                               \
    X(device_errors, "device requests that failed")                                                \
    X(no_space, "requests refused because the pool is full")                                       \
    X(queue_full, "requests put off because the queue was full")                                   \
    X(segments_opened, "segments opened for appending")                                            \
    X(segments_freed, "segments given back")                                                       \
    X(cleaned_bytes, "live bytes moved by the cleaner")

struct hg_store_counters {
    HG_STORE_COUNTERS(HG_COUNTER_FIELD)
};
/* For display; any thread. */
struct hg_counter_set hg_store_counter_set(const struct hg_store *store);

#endif /* HEADGATE_STORE_H */
