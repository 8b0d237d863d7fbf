/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Volumes: finding, creating, owning.
 *
 * `owner` is claimed by compare-and-swap with acquire and given up with release, which hands the
 * map and everything else of the owner over. A volume the cleaner has touched on this shard is not
 * given up before that is durable: until then it is HELD, and attaching waits.
 *
 * Creating writes the catalogue to all devices, then flushes them, under the pool's cat_busy; all
 * creations of this shard that are waiting share one write.
 */
#include "store_internal.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OWNER_ORDER memory_order_acq_rel

struct hg_volume *store_volume_new(uint32_t id, const char *name, uint64_t size)
{
    struct hg_volume *vol = calloc(1, sizeof *vol);

    if (vol == NULL)
        return NULL;
    vol->id = id;
    vol->size = size;
    memcpy(vol->name, name, strlen(name));
    atomic_store(&vol->owner, STORE_NOBODY);
    if (store_map_init(&vol->map, store_volume_blocks(vol)) != 0) {
        free(vol);
        return NULL;
    }
    return vol;
}

void store_volume_free(struct hg_volume *vol)
{
    if (vol == NULL)
        return;
    store_map_fini(&vol->map);
    free(vol);
}

static struct hg_volume *find(const struct hg_pool *pool, const char *name)
{
    uint32_t n = atomic_load_explicit(&pool->n_volumes, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (strcmp(pool->volumes[i]->name, name) == 0)
            return pool->volumes[i];
    return NULL;
}

/* ---- attach ---- */

/* What the store keeps in a request for an attach. */
enum { PRIV_OUT, PRIV_SIZE, PRIV_VOL, PRIV_NAME };

static const char *name_of(const struct hg_store_req *req)
{
    return (const char *)(uintptr_t)req->priv[PRIV_NAME];
}

/* Created by this request, not yet published; or NULL. */
static struct hg_volume *created_by(const struct hg_store_req *req)
{
    return (struct hg_volume *)(uintptr_t)req->priv[PRIV_VOL];
}

static void set_out(const struct hg_store_req *req, struct hg_volume *vol)
{
    *(struct hg_volume **)(uintptr_t)req->priv[PRIV_OUT] = vol;
}

/* Unlinks *at and reports it; done() may append to the list meanwhile. */
static void finish(struct hg_store *store, struct hg_store_req **at, int status)
{
    struct hg_store_req *req = *at;

    *at = req->next;
    if (store->attach_tail == &req->next)
        store->attach_tail = at;
    req->status = status;
    req->done(req);
}

/* Makes this shard the owner: 0, -EBUSY, or -EAGAIN while a cleaner holds the volume. */
static int claim(struct hg_store *store, struct hg_volume *vol)
{
    int nobody = STORE_NOBODY;

    if (!atomic_compare_exchange_strong_explicit(&vol->owner, &nobody, (int)store->shard,
                                                 OWNER_ORDER, memory_order_acquire))
        return (nobody & STORE_HELD) != 0 ? -EAGAIN : -EBUSY;
    if (vol->broken) {
        atomic_store_explicit(&vol->owner, STORE_NOBODY, memory_order_release);
        return -EIO;
    }
    if (vol->last_stamp > store->stamp)
        store->stamp = vol->last_stamp;
    return 0;
}

enum attach_step { ATTACH_OVER, ATTACH_WAIT, ATTACH_CREATE };

static enum attach_step attach_step(struct hg_store *store, struct hg_store_req **at)
{
    struct hg_store_req *req = *at;
    uint64_t size = req->priv[PRIV_SIZE];
    struct hg_volume *vol = req->status == 0 ? find(store->pool, name_of(req)) : NULL;
    int rc = req->status;

    if (rc == 0 && vol == NULL && size != 0)
        return ATTACH_CREATE;
    if (rc == 0 && vol == NULL)
        rc = -ENOENT;
    if (rc == 0 && size != 0 && size != vol->size) {
        set_out(req, vol);
        rc = -EEXIST;
    }
    if (rc == 0) {
        rc = claim(store, vol);
        if (rc == -EAGAIN)
            return ATTACH_WAIT;
        if (rc == 0)
            set_out(req, vol);
    }
    finish(store, at, rc);
    return ATTACH_OVER;
}

static bool name_ok(const char *name)
{
    size_t len = strnlen(name, HG_VOLUME_NAME_MAX);

    return len > 0 && len < HG_VOLUME_NAME_MAX;
}

void hg_store_attach(struct hg_store *store, const char *name, uint64_t size,
                     struct hg_volume **out, struct hg_store_req *req)
{
    req->priv[PRIV_OUT] = (uintptr_t)out;
    req->priv[PRIV_SIZE] = size;
    req->priv[PRIV_VOL] = 0;
    req->priv[PRIV_NAME] = (uintptr_t)name;
    req->status = name_ok(name) && size <= HG_VOLUME_SIZE_MAX ? 0 : -EINVAL;
    req->next = NULL;
    *store->attach_tail = req;
    store->attach_tail = &req->next;
}

/* ---- create ---- */

/* A creation that another waiting one has already brought into the list. */
static bool in_list(const struct hg_store *store, uint32_t from, uint32_t to, const char *name)
{
    for (uint32_t i = from; i < to; i++)
        if (strcmp(store->pool->volumes[i]->name, name) == 0)
            return true;
    return false;
}

/* Adds a volume to the table, behind what is published. 0 also when it is there already. */
static int create_one(struct hg_store *store, struct hg_store_req *req, uint32_t published)
{
    struct hg_pool *pool = store->pool;
    uint32_t n = store->cat.n_volumes;
    struct hg_volume *vol;

    if (find(pool, name_of(req)) != NULL || in_list(store, published, n, name_of(req)))
        return 0; /* it is found when the catalogue is free again */
    if (n == HG_VOLUMES_MAX)
        return -ENOSPC;
    vol = store_volume_new(n, name_of(req), req->priv[PRIV_SIZE]);
    if (vol == NULL)
        return -ENOMEM;
    atomic_store(&vol->owner, (int)store->shard);
    req->priv[PRIV_VOL] = (uintptr_t)vol;
    pool->volumes[n] = vol;
    store->cat.n_volumes = n + 1;
    return 0;
}

static void cat_unlock(struct hg_store *store)
{
    store->cat.phase = CAT_IDLE;
    atomic_store_explicit(&store->pool->cat_busy, false, memory_order_release);
}

static void cat_submit(struct hg_store *store, enum hg_bdev_op op, uint32_t bytes)
{
    struct store_cat_write *cat = &store->cat;

    cat->iov = (struct hg_iov){store->pool->cat_buf, bytes};
    cat->status = 0;
    cat->ios_left = store->geo.n_dev;
    for (unsigned i = 0; i < store->geo.n_dev; i++) {
        cat->io[i] = (struct store_io){.io = {.op = op,
                                              .iovcnt = op == HG_BDEV_WRITE,
                                              .iov = &cat->iov,
                                              .offset = store_cat_offset(store->pool)},
                                       .kind = SIO_CAT};
        store_io_queue(store, i, &cat->io[i]);
    }
}

/* Takes the catalogue, when it is free, for everything that waits to be created. */
static void create_start(struct hg_store *store)
{
    struct hg_store_req **at = &store->attach;
    uint32_t published;

    if (store->cat.phase != CAT_IDLE ||
        atomic_exchange_explicit(&store->pool->cat_busy, true, memory_order_acquire))
        return;
    published = atomic_load(&store->pool->n_volumes);
    store->cat.n_volumes = published;
    while (*at != NULL) {
        struct hg_store_req *req = *at;
        int rc = 0;

        if (req->status == 0 && req->priv[PRIV_SIZE] != 0)
            rc = create_one(store, req, published);
        if (rc != 0)
            finish(store, at, rc);
        else
            at = &req->next;
    }
    if (store->cat.n_volumes == published) {
        cat_unlock(store);
        return;
    }
    store->cat.phase = CAT_WRITING;
    cat_submit(store, HG_BDEV_WRITE, store_cat_build(store->pool, store->cat.n_volumes));
}

static void create_done(struct hg_store *store, int status)
{
    struct hg_store_req **at = &store->attach;
    struct hg_pool *pool = store->pool;

    if (status == 0) {
        store_cat_committed(pool);
        atomic_store_explicit(&pool->n_volumes, store->cat.n_volumes, memory_order_release);
    }
    cat_unlock(store);
    while (*at != NULL) {
        struct hg_store_req *req = *at;
        struct hg_volume *vol = created_by(req);

        if (vol == NULL) {
            at = &req->next;
            continue;
        }
        if (status == 0)
            set_out(req, vol);
        else
            store_volume_free(vol);
        finish(store, at, status);
    }
}

void store_volume_cat_done(struct hg_store *store, struct store_io *sio)
{
    struct store_cat_write *cat = &store->cat;

    if (sio->io.status != 0)
        cat->status = sio->io.status;
    cat->ios_left--;
}

static unsigned cat_poll(struct hg_store *store)
{
    struct store_cat_write *cat = &store->cat;

    if (cat->phase == CAT_IDLE || cat->ios_left != 0)
        return 0;
    if (cat->status != 0) {
        create_done(store, -EIO);
    } else if (cat->phase == CAT_WRITING) {
        cat->phase = CAT_FLUSHING;
        cat_submit(store, HG_BDEV_FLUSH, 0);
    } else {
        create_done(store, 0);
    }
    return 1;
}

/* Steps of one poll: done() may attach again and again. */
#define ATTACH_STEPS 4096u

static unsigned attach_poll(struct hg_store *store)
{
    struct hg_store_req **at = &store->attach;
    unsigned work = 0;
    bool create = false;

    for (unsigned i = 0; *at != NULL && i < ATTACH_STEPS; i++) {
        enum attach_step step = ATTACH_WAIT;

        if (created_by(*at) == NULL)
            step = attach_step(store, at);
        if (step == ATTACH_OVER) {
            work++;
        } else {
            create |= step == ATTACH_CREATE;
            at = &(*at)->next;
        }
    }
    if (create)
        create_start(store);
    return work;
}

/* ---- detach ---- */

static void release(struct hg_store *store, struct hg_volume *vol)
{
    vol->broken |= store->failed;
    vol->last_stamp = store->stamp;
    atomic_store_explicit(&vol->owner, STORE_NOBODY, memory_order_release);
}

void store_volume_give_up(struct hg_store *store, struct hg_volume *vol)
{
    if (store->failed || store->durable >= store->walk.touched) {
        release(store, vol);
        return;
    }
    vol->release_bseq = store->walk.touched;
    vol->release_next = store->releasing;
    store->releasing = vol;
    atomic_store_explicit(&vol->owner, (int)store->shard | STORE_HELD, memory_order_release);
}

void hg_store_detach(struct hg_store *store, struct hg_volume *vol)
{
    assert(atomic_load(&vol->owner) == (int)store->shard);
    assert(vol->zero_req == NULL);
    store_walk_forget(store, vol);
    store_volume_give_up(store, vol);
}

void store_volume_release(struct hg_store *store)
{
    struct hg_volume **at = &store->releasing;

    while (*at != NULL) {
        struct hg_volume *vol = *at;

        if (store->durable < vol->release_bseq && !store->failed) {
            at = &vol->release_next;
            continue;
        }
        *at = vol->release_next;
        release(store, vol);
    }
}

unsigned store_volume_poll(struct hg_store *store)
{
    unsigned work = cat_poll(store);

    if (store->releasing != NULL)
        store_volume_release(store);
    if (store->attach != NULL)
        work += attach_poll(store);
    return work;
}

/* ---- figures ---- */

void hg_volume_info(const struct hg_volume *vol, struct hg_volume_info *out)
{
    int owner = atomic_load_explicit(&vol->owner, memory_order_relaxed);

    memset(out, 0, sizeof *out);
    memcpy(out->name, vol->name, sizeof out->name);
    out->id = vol->id;
    out->size = vol->size;
    out->mapped = atomic_load_explicit(&vol->map.mapped, memory_order_relaxed) * HG_BLOCK;
    out->durable_seq = atomic_load_explicit(&vol->durable_seq, memory_order_relaxed);
    out->epoch = atomic_load_explicit(&vol->durable_epoch, memory_order_relaxed);
    out->shard = owner != STORE_NOBODY && (owner & STORE_HELD) == 0 ? owner : -1;
}

bool hg_pool_volume(const struct hg_pool *pool, unsigned index, struct hg_volume_info *out)
{
    if (index >= atomic_load_explicit(&pool->n_volumes, memory_order_acquire))
        return false;
    hg_volume_info(pool->volumes[index], out);
    return true;
}
