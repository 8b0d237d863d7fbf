/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store on virtual disks and virtual time, from a seed: random requests on several volumes and
 * shards over a small pool, power cut at a random moment, open again (sometimes with another cut in
 * the middle of it), compare with the model, go on. Whatever the cut, each volume must be as if
 * exactly its first S requests had been made, with S no less than what was acknowledged.
 *
 *      sim_store [--seed N] [--seeds COUNT] [--verbose]
 */
#include "sim_disk.h"
#include "sim_store_model.h"
#include <errno.h>
#include <headgate/codec.h>
#include <headgate/store.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVS_MAX 4u
#define SHARDS_MAX 3u
#define VOLS_MAX 5u
#define REQS 96u /* in flight */
#define ARENA_BYTES (4u << 20)
#define RUNS 7u          /* lives of the node per seed, each ended by a cut or a shutdown */
#define LIVELOCK 200000u /* polls after which nothing is expected to happen any more */

struct sim;

struct sim_vol {
    struct model_volume model;
    char name[32];
    bool exists;           /* its creation was acknowledged */
    struct hg_volume *vol; /* attached */
    int shard;
    unsigned in_flight;
    bool attaching;
    struct hg_store_req attach;
};

struct sim_req {
    struct hg_store_req base;
    struct sim *sim;
    struct sim_vol *vol;
    unsigned shard;
    bool busy, is_read;
    uint64_t seq;          /* write-like */
    uint64_t acked;        /* read: at submission */
    uint64_t version[256]; /* read: acknowledged versions at submission */
};

struct sim {
    uint64_t seed, random;
    unsigned n_dev, n_shards, n_vols;
    struct sim_disk *disk[DEVS_MAX];
    struct hg_bdev *dev[DEVS_MAX]; /* of the disks */
    unsigned delay_polls;
    uint32_t batch_bytes;
    struct hg_pool *pool;
    struct hg_store *store[SHARDS_MAX];
    void *region[SHARDS_MAX];
    struct hg_arena *arena[SHARDS_MAX];
    struct sim_vol vol[VOLS_MAX];
    struct sim_req req[REQS];
    hg_ns now;
    bool filling;         /* prefers writes over zeroes */
    bool uniform;         /* all requests have one block, so that what a crash leaves lines up */
    int hot;              /* the only shard with requests, -1: all */
    unsigned runs, steps; /* lives of the node, and how long one is at most */
    bool caches_warm;     /* the process died, the devices did not */
};

/* Over all seeds: what a run without would not have tested. */
static struct {
    uint64_t crashes, kills, cut_opens, no_space, freed, moved, reads, requests, migrations;
} total;

static bool verbose;

__attribute__((format(printf, 2, 3), noreturn)) static void die(const struct sim *s,
                                                                const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "sim_store: seed %llu: ", (unsigned long long)s->seed);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nrepeat with: sim_store --seed %llu\n", (unsigned long long)s->seed);
    va_end(ap);
    exit(1);
}

static uint64_t draw(struct sim *s, uint64_t below)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* ---- the node's life: devices, pool, stores ---- */

static void open_disks(struct sim *s, uint64_t size)
{
    for (unsigned i = 0; i < s->n_dev; i++) {
        char name[16];
        struct sim_disk_cfg cfg = {name, size, draw(s, UINT64_MAX), s->delay_polls};

        snprintf(name, sizeof name, "disk%u", i);
        s->disk[i] = sim_disk_open(&cfg);
        s->dev[i] = sim_disk_dev(s->disk[i]);
    }
}

/* One device fails a request soon (or none does): a cut in the middle of what follows. */
static void arm_faults(struct sim *s, bool armed)
{
    unsigned victim = (unsigned)draw(s, s->n_dev);

    for (unsigned i = 0; i < s->n_dev; i++) {
        enum hg_bdev_op op = draw(s, 3) == 0 ? HG_BDEV_FLUSH : HG_BDEV_WRITE;

        sim_disk_arm(s->disk[i], op, armed && i == victim ? 1 + draw(s, 5) : 0);
    }
}

static void crash_devices(struct sim *s)
{
    for (unsigned i = 0; i < s->n_dev; i++)
        sim_disk_crash(s->disk[i]);
}

static void open_pool(struct sim *s)
{
    struct hg_err err = {""};
    int rc;

    while (draw(s, 3) == 0) { /* power fails again while the pool is being opened */
        arm_faults(s, true);
        rc = hg_pool_open(s->dev, s->n_dev, &s->pool, &err);
        if (rc == 0)
            hg_pool_close(s->pool);
        else
            total.cut_opens++;
        crash_devices(s);
    }
    arm_faults(s, false);
    rc = hg_pool_open(s->dev, s->n_dev, &s->pool, &err);
    if (rc != 0)
        die(s, "open failed: %s", err.text);
}

static void make_stores(struct sim *s)
{
    s->n_shards = 1 + (unsigned)draw(s, SHARDS_MAX);
    s->hot = -1;
    for (unsigned i = 0; i < s->n_shards; i++) {
        struct hg_store_cfg cfg = {.shard = i,
                                   .n_shards = s->n_shards,
                                   .depth = 1 + (unsigned)draw(s, 64),
                                   .batch_bytes = s->batch_bytes,
                                   .commit_delay = HG_US(draw(s, 1000))};
        struct hg_err err;

        if (hg_arena_create(s->region[i], ARENA_BYTES, &s->arena[i]) != 0)
            die(s, "no arena");
        cfg.arena = s->arena[i];
        if (hg_store_create(s->pool, &cfg, &s->store[i], &err) != 0)
            die(s, "no store: %s", err.text);
    }
}

static void count(const struct sim *s)
{
    for (unsigned i = 0; i < s->n_shards; i++) {
        struct hg_counter_set set = hg_store_counter_set(s->store[i]);
        const struct hg_store_counters *c = (const struct hg_store_counters *)set.value;

        total.no_space += c->no_space;
        total.freed += c->segments_freed;
        total.moved += c->cleaned_bytes;
        total.reads += c->reads;
        total.requests += c->writes + c->zeroes + c->epochs;
        if (c->crc_errors != 0 || c->device_errors != 0)
            die(s, "shard %u counted %llu CRC errors, %llu device errors", i,
                (unsigned long long)c->crc_errors, (unsigned long long)c->device_errors);
    }
}

static void end_stores(struct sim *s)
{
    count(s);
    for (unsigned i = 0; i < s->n_shards; i++) {
        hg_store_destroy(s->store[i]);
        hg_arena_destroy(s->arena[i]);
    }
    hg_pool_close(s->pool);
    for (unsigned i = 0; i < s->n_vols; i++) {
        s->vol[i].vol = NULL;
        s->vol[i].attaching = false;
        s->vol[i].in_flight = 0;
    }
    for (unsigned i = 0; i < REQS; i++)
        s->req[i].busy = false;
}

/* ---- requests ---- */

static struct sim_req *get_req(struct sim *s, struct sim_vol *v)
{
    for (unsigned i = 0; i < REQS; i++) {
        struct sim_req *r = &s->req[i];

        if (r->busy)
            continue;
        memset(&r->base, 0, sizeof r->base);
        r->base.owner = r;
        r->base.vol = v->vol;
        r->sim = s;
        r->vol = v;
        r->shard = (unsigned)v->shard;
        return r;
    }
    return NULL;
}

static void free_buf(struct sim_req *r)
{
    if (r->base.buf != NULL)
        hg_arena_free(r->sim->arena[r->shard], r->base.buf);
    r->base.buf = NULL;
}

static void op_done(struct hg_store_req *base)
{
    struct sim_req *r = base->owner;

    if (base->status != 0)
        die(r->sim, "request %llu of %s failed: %d", (unsigned long long)r->seq, r->vol->name,
            base->status);
    if (!model_done(&r->vol->model, r->seq))
        die(r->sim, "request %llu of %s is done out of order", (unsigned long long)r->seq,
            r->vol->name);
    free_buf(r);
    r->busy = false;
    r->vol->in_flight--;
}

static void read_done(struct hg_store_req *base)
{
    struct sim_req *r = base->owner;
    const struct model_volume *m = &r->vol->model;

    if (base->status != 0)
        die(r->sim, "reading %s failed: %d", r->vol->name, base->status);
    for (uint32_t i = 0; i < base->len / HG_BLOCK; i++) {
        uint32_t block = (uint32_t)(base->offset / HG_BLOCK) + i;
        const uint8_t *buf = base->buf + (size_t)i * HG_BLOCK;

        if (!model_matches(m, block, r->version[i], buf) &&
            !model_matches_later(m, r->acked, block, buf))
            die(r->sim, "block %u of %s reads wrong", block, r->vol->name);
    }
    free_buf(r);
    r->busy = false;
    r->vol->in_flight--;
}

/* The request was taken, or was not and never happened. */
static void settle(struct sim_req *r, int rc)
{
    if (rc == 0) {
        r->busy = true;
        r->vol->in_flight++;
        return;
    }
    if (!r->is_read)
        model_undo(&r->vol->model);
    free_buf(r);
    if (rc != -EAGAIN && (rc != -ENOSPC || r->is_read))
        die(r->sim, "a request of %s was refused: %d", r->vol->name, rc);
}

static void range(struct sim *s, const struct model_volume *m, uint32_t max, uint32_t *block,
                  uint32_t *n)
{
    *n = s->uniform ? 1 : 1 + (uint32_t)draw(s, draw(s, 4) == 0 ? max : 8);
    if (*n > m->blocks)
        *n = m->blocks;
    *block = (uint32_t)draw(s, m->blocks - *n + 1);
}

static void do_write(struct sim *s, struct sim_vol *v)
{
    struct sim_req *r = get_req(s, v);
    uint32_t crc[256];
    uint32_t block, n;
    struct model_op *op;

    range(s, &v->model, 256, &block, &n);
    if (r == NULL || (r->base.buf = hg_arena_alloc(s->arena[v->shard], n * HG_BLOCK)) == NULL)
        return;
    op = model_add(&v->model, MODEL_WRITE, block, n);
    for (uint32_t i = 0; i < n; i++)
        model_fill(&v->model, block + i, op->value, r->base.buf + (size_t)i * HG_BLOCK);
    hg_crc32c_blocks(r->base.buf, n * HG_BLOCK, crc);
    r->base.offset = (uint64_t)block * HG_BLOCK;
    r->base.len = n * HG_BLOCK;
    r->base.done = op_done;
    r->is_read = false;
    r->seq = op->seq;
    settle(r, hg_store_write(s->store[v->shard], &r->base, crc, op->seq));
    memset(crc, 0, sizeof crc); /* it must have been copied */
}

static void do_zero(struct sim *s, struct sim_vol *v)
{
    struct sim_req *r = get_req(s, v);
    uint32_t block, n;
    struct model_op *op;

    if (r == NULL)
        return;
    range(s, &v->model, draw(s, 10) == 0 ? v->model.blocks : 64, &block, &n);
    op = model_add(&v->model, MODEL_ZERO, block, n);
    r->base.offset = (uint64_t)block * HG_BLOCK;
    r->base.done = op_done;
    r->is_read = false;
    r->seq = op->seq;
    settle(r, hg_store_zero(s->store[v->shard], &r->base, (uint64_t)n * HG_BLOCK, op->seq));
}

static void do_epoch(struct sim *s, struct sim_vol *v)
{
    struct sim_req *r = get_req(s, v);
    struct model_op *op;

    if (r == NULL)
        return;
    op = model_add(&v->model, MODEL_EPOCH, 0, 0);
    r->base.done = op_done;
    r->is_read = false;
    r->seq = op->seq;
    settle(r, hg_store_epoch(s->store[v->shard], &r->base, op->value, op->seq));
}

static void do_read(struct sim *s, struct sim_vol *v)
{
    struct sim_req *r = get_req(s, v);
    uint32_t block, n;

    range(s, &v->model, 256, &block, &n);
    if (r == NULL || (r->base.buf = hg_arena_alloc(s->arena[v->shard], n * HG_BLOCK)) == NULL)
        return;
    memset(r->base.buf, 0xa5, n * HG_BLOCK);
    memcpy(r->version, v->model.done + block, n * sizeof r->version[0]);
    r->acked = v->model.acked;
    r->base.offset = (uint64_t)block * HG_BLOCK;
    r->base.len = n * HG_BLOCK;
    r->base.done = read_done;
    r->is_read = true;
    settle(r, hg_store_read(s->store[v->shard], &r->base));
}

/* ---- attach and detach ---- */

static void attach_done(struct hg_store_req *base)
{
    struct sim_vol *v = base->owner;
    struct sim *s = (struct sim *)(uintptr_t)base->offset;
    struct hg_volume_info info;

    v->attaching = false;
    if (base->status != 0)
        die(s, "attaching %s failed: %d", v->name, base->status);
    hg_volume_info(v->vol, &info);
    v->exists = true;
    if (info.durable_seq != v->model.acked || info.shard != v->shard)
        die(s, "%s is at %llu on shard %d, expected %llu on %d", v->name,
            (unsigned long long)info.durable_seq, info.shard, (unsigned long long)v->model.acked,
            v->shard);
}

static void do_attach(struct sim *s, struct sim_vol *v)
{
    v->shard = s->hot >= 0 ? s->hot : (int)draw(s, s->n_shards);
    v->attaching = true;
    v->vol = NULL;
    v->attach = (struct hg_store_req){.done = attach_done, .owner = v, .offset = (uintptr_t)s};
    hg_store_attach(s->store[v->shard], v->name, (uint64_t)v->model.blocks * HG_BLOCK, &v->vol,
                    &v->attach);
}

static void do_something(struct sim *s)
{
    struct sim_vol *v = &s->vol[draw(s, s->n_vols)];
    uint64_t what = draw(s, 100);

    if (v->attaching || (s->hot >= 0 && v->vol != NULL && v->shard != s->hot && draw(s, 20) != 0))
        return;
    if (v->vol == NULL)
        do_attach(s, v);
    else if (what < (s->filling ? 72 : 55))
        do_write(s, v);
    else if (what < 75)
        do_zero(s, v);
    else if (what < 80)
        do_epoch(s, v);
    else if (what < 97)
        do_read(s, v);
    else if (v->in_flight == 0) {
        hg_store_detach(s->store[v->shard], v->vol);
        v->vol = NULL;
        total.migrations++;
        if (draw(s, 2) == 0)
            do_attach(s, v);
    }
}

static void poll_one(struct sim *s)
{
    unsigned i = (unsigned)draw(s, s->n_shards);

    s->now += draw(s, HG_US(200));
    hg_store_poll(s->store[i], s->now);
}

static void step(struct sim *s)
{
    for (uint64_t n = draw(s, 6); n > 0; n--)
        do_something(s);
    poll_one(s);
    if (draw(s, 500) == 0)
        s->filling = !s->filling;
    if (draw(s, 300) == 0)
        s->hot = draw(s, 2) == 0 ? -1 : (int)draw(s, s->n_shards);
}

/* ---- checks ---- */

static bool all_idle(const struct sim *s)
{
    for (unsigned i = 0; i < s->n_shards; i++)
        if (!hg_store_idle(s->store[i]))
            return false;
    return true;
}

static void settle_all(struct sim *s)
{
    for (unsigned i = 0; !all_idle(s); i++) {
        if (i == LIVELOCK)
            die(s, "the store does not come to rest");
        poll_one(s);
    }
}

static void sync_read_done(struct hg_store_req *base)
{
    *(bool *)base->owner = true;
}

static void verify_range(struct sim *s, struct sim_vol *v, uint32_t block, uint32_t n, uint8_t *buf)
{
    bool done = false;
    struct hg_store_req req = {.done = sync_read_done,
                               .owner = &done,
                               .offset = (uint64_t)block * HG_BLOCK,
                               .len = n * HG_BLOCK,
                               .buf = buf,
                               .vol = v->vol};
    int rc = hg_store_read(s->store[v->shard], &req);

    if (rc != 0)
        die(s, "verifying %s: refused: %d", v->name, rc);
    for (unsigned i = 0; !done; i++) {
        if (i == LIVELOCK)
            die(s, "a read of %s never ends", v->name);
        poll_one(s);
    }
    if (req.status != 0)
        die(s, "verifying %s: status %d at offset %llu", v->name, req.status,
            (unsigned long long)req.offset);
    for (uint32_t i = 0; i < n; i++)
        if (!model_matches(&v->model, block + i, v->model.done[block + i],
                           buf + (size_t)i * HG_BLOCK))
            die(s, "block %u of %s is not what the first %llu requests made it", block + i, v->name,
                (unsigned long long)v->model.acked);
}

/* All of a volume against the model, and the mapped ranges too. Nothing of it is in flight. */
static void verify_volume(struct sim *s, struct sim_vol *v)
{
    uint8_t *buf = hg_arena_alloc(s->arena[v->shard], 256 * HG_BLOCK);
    uint64_t at, len;
    uint64_t mapped = 0;
    struct hg_volume_info info;

    if (buf == NULL)
        die(s, "no buffer to verify with");
    for (uint32_t b = 0; b < v->model.blocks; b += 256)
        verify_range(s, v, b, v->model.blocks - b < 256 ? v->model.blocks - b : 256, buf);
    hg_arena_free(s->arena[v->shard], buf);
    for (uint64_t from = 0; hg_store_next_data(s->store[v->shard], v->vol, from, &at, &len);
         from = at + len) {
        if (len == 0 || at < from)
            die(s, "next_data of %s stands still", v->name);
        mapped += len;
    }
    for (uint32_t b = 0; b < v->model.blocks; b++)
        mapped -= v->model.done[b] != 0 ? HG_BLOCK : 0;
    hg_volume_info(v->vol, &info);
    if (mapped != 0)
        die(s, "next_data of %s is off by %lld bytes", v->name, (long long)mapped);
}

/* After an open: S and epoch of every volume, then its contents. */
static void verify_open(struct sim *s)
{
    for (unsigned i = 0; i < s->n_vols; i++) {
        struct sim_vol *v = &s->vol[i];
        struct hg_volume_info info;
        bool found = false;

        for (unsigned k = 0; !found && hg_pool_volume(s->pool, k, &info); k++)
            found = strcmp(info.name, v->name) == 0;
        if (!found && v->exists)
            die(s, "%s is gone", v->name);
        if (!found)
            info = (struct hg_volume_info){.size = (uint64_t)v->model.blocks * HG_BLOCK};
        if (info.size != (uint64_t)v->model.blocks * HG_BLOCK)
            die(s, "%s has another size", v->name);
        if (verbose)
            printf("  %s: acked %llu, S %llu, submitted %llu\n", v->name,
                   (unsigned long long)v->model.acked, (unsigned long long)info.durable_seq,
                   (unsigned long long)v->model.seq);
        if (!model_cut(&v->model, info.durable_seq))
            die(s, "%s: durable up to %llu, but %llu were acknowledged of %llu", v->name,
                (unsigned long long)info.durable_seq, (unsigned long long)v->model.acked,
                (unsigned long long)v->model.seq);
        if (info.epoch != v->model.base_epoch)
            die(s, "%s: epoch %llu, expected %llu", v->name, (unsigned long long)info.epoch,
                (unsigned long long)v->model.base_epoch);
    }
}

static void attach_all(struct sim *s)
{
    for (unsigned i = 0; i < s->n_vols; i++)
        if (s->vol[i].vol == NULL && !s->vol[i].attaching)
            do_attach(s, &s->vol[i]);
    settle_all(s);
}

static void verify_all(struct sim *s)
{
    attach_all(s);
    for (unsigned i = 0; i < s->n_vols; i++)
        verify_volume(s, &s->vol[i]);
}

/* However full it was: after zeroing everything there is room again before long. */
static void check_space_returns(struct sim *s)
{
    attach_all(s);
    for (unsigned i = 0; i < s->n_vols; i++) {
        struct sim_vol *v = &s->vol[i];

        for (unsigned k = 0; v->model.seq == v->model.acked; k++) {
            struct sim_req *r = get_req(s, v);
            struct model_op *op = model_add(&v->model, MODEL_ZERO, 0, v->model.blocks);

            if (k == LIVELOCK)
                die(s, "%s cannot be zeroed: the pool is full for good", v->name);
            r->base.done = op_done;
            r->is_read = false;
            r->seq = op->seq;
            settle(r, hg_store_zero(s->store[v->shard], &r->base,
                                    (uint64_t)v->model.blocks * HG_BLOCK, op->seq));
            poll_one(s);
        }
    }
    settle_all(s);
    for (unsigned i = 0; i < s->n_vols; i++) {
        struct sim_vol *v = &s->vol[i];
        uint64_t before = v->model.acked;

        for (unsigned k = 0; v->model.acked < before + 3; k++) {
            if (k == LIVELOCK)
                die(s, "%s cannot be written: space does not come back", v->name);
            do_write(s, v);
            poll_one(s);
        }
    }
    settle_all(s);
}

/* ---- a seed ---- */

static void format(struct sim *s)
{
    static const uint32_t units[] = {4096, 16384, 65536, 262144};
    struct hg_pool_geometry g = {.stripe_unit = units[draw(s, HG_ARRAY_LEN(units))]};
    uint64_t segments = 14 + draw(s, 16);
    bool tight; /* the volumes are larger than the pool */
    struct hg_err err;

    s->n_dev = 2 + (unsigned)draw(s, DEVS_MAX - 1);
    g.chunk = (uint32_t)((1u << 20) / s->n_dev + 262144) / 262144 * 262144 +
              262144 * (uint32_t)draw(s, 3);
    open_disks(s, (5u << 20) + segments * g.chunk);
    if (hg_pool_format(s->dev, s->n_dev, &g, false, &err) != 0)
        die(s, "format failed: %s", err.text);
    s->n_vols = 1 + (unsigned)draw(s, VOLS_MAX);
    tight = draw(s, 4) == 0;
    for (unsigned i = 0; i < s->n_vols; i++) {
        uint64_t share = segments * g.chunk * s->n_dev / HG_BLOCK / s->n_vols;
        uint64_t blocks = tight ? share + draw(s, share / 2) : 16 + draw(s, share * 5 / 4);

        snprintf(s->vol[i].name, sizeof s->vol[i].name, "source/volume-%u", i);
        model_init(&s->vol[i].model, i, (uint32_t)blocks);
    }
}

/* Shutdown, power cut, or the process is killed. */
static void end_run(struct sim *s)
{
    uint64_t how = draw(s, 8);

    if (how == 0) {
        settle_all(s);
        verify_all(s);
        settle_all(s);
    } else if (how <= 2) {
        for (unsigned i = 0; i < s->n_dev; i++)
            sim_disk_kill(s->disk[i]);
        total.kills++;
    } else {
        crash_devices(s);
        total.crashes++;
    }
    end_stores(s);
}

static void run(struct sim *s)
{
    open_pool(s);
    verify_open(s);
    make_stores(s);
    verify_all(s);
    for (uint64_t n = draw(s, s->steps); n > 0; n--)
        step(s);
    end_run(s);
}

/* Few long lives, or many short ones. */
static void flavour(struct sim *s)
{
    static const unsigned runs[] = {6, 12, 25};
    static const unsigned steps[] = {2500, 400, 60};
    uint64_t which = draw(s, 3);

    s->runs = runs[which];
    s->steps = steps[which];
    s->delay_polls = (unsigned)draw(s, 6);
    s->batch_bytes = (uint32_t)(HG_BLOCK << draw(s, 11));
    s->filling = draw(s, 2) != 0;
    s->uniform = draw(s, 5) == 0;
}

static void one_seed(uint64_t seed, void **region)
{
    struct sim *s = calloc(1, sizeof *s);

    if (s == NULL)
        abort();
    s->seed = s->random = seed;
    memcpy(s->region, region, sizeof s->region);
    flavour(s);
    format(s);
    for (unsigned i = 0; i < s->runs; i++)
        run(s);
    open_pool(s);
    verify_open(s);
    make_stores(s);
    verify_all(s);
    check_space_returns(s);
    verify_all(s);
    settle_all(s);
    end_stores(s);
    for (unsigned i = 0; i < s->n_dev; i++)
        sim_disk_close(s->disk[i]);
    for (unsigned i = 0; i < s->n_vols; i++)
        model_fini(&s->vol[i].model);
    free(s);
}

static void report(uint64_t seeds)
{
    printf("%llu seeds: %llu crashes, %llu kills, %llu opens cut, %llu requests, %llu reads, %llu "
           "moves "
           "between shards, %llu refused for space, %llu segments freed, %llu MiB moved\n",
           (unsigned long long)seeds, (unsigned long long)total.crashes,
           (unsigned long long)total.kills, (unsigned long long)total.cut_opens,
           (unsigned long long)total.requests, (unsigned long long)total.reads,
           (unsigned long long)total.migrations, (unsigned long long)total.no_space,
           (unsigned long long)total.freed, (unsigned long long)(total.moved >> 20));
}

int main(int argc, char **argv)
{
    void *region[SHARDS_MAX];
    uint64_t seed = 1;
    uint64_t seeds = 1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 0);
        else
            return fprintf(stderr, "usage: %s [--seed N] [--seeds COUNT] [--verbose]\n", argv[0]),
                   2;
    }
    rte_log_set_global_level(verbose ? RTE_LOG_DEBUG : RTE_LOG_ERR);
    for (unsigned i = 0; i < SHARDS_MAX; i++) {
        region[i] = aligned_alloc(HG_ARENA_MAX_BLOCK, ARENA_BYTES);
        if (region[i] == NULL)
            return 1;
    }
    for (uint64_t i = 0; i < seeds; i++) {
        if (verbose)
            printf("seed %llu\n", (unsigned long long)(seed + i));
        one_seed(seed + i, region);
    }
    report(seeds);
    for (unsigned i = 0; i < SHARDS_MAX; i++)
        free(region[i]);
    /* A long run that did not get to the hard parts has tested less than it says. */
    if (seeds >= 20 && (total.no_space == 0 || total.freed == 0 || total.moved == 0 ||
                        total.cut_opens == 0 || total.migrations == 0 || !sim_disk_report()))
        return fprintf(stderr, "sim_store: something was never exercised\n"), 1;
    return 0;
}
