/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fault layers of one direction of a path: see impair.h.
 *
 * 1. A packet that is on its way is in the heap (it has a time of arrival) or held (it waits until
 *    enough later packets have passed it, at most until its limit); never in both.
 * 2. heap.n + n_held <= packets_max, so whatever is held finds room in the heap.
 * 3. Packets leave in the order of (arrival, order); `order` only grows, so ties keep the order in
 *    which they were put into the heap, and one that was overtaken comes right after who overtook it.
 * 4. The bottleneck is one number, the time at which it will have sent all it took: what waits is
 *    (busy_until - now) * rate.
 */
#include <headgate/impair.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum layer { LOSS, BURST, DUP, CORRUPT, JITTER, REORDER, LAYERS };

struct entry {
    hg_ns at; /* arrival; while held the limit */
    uint64_t order;
    uint32_t passes; /* while held: later packets still to come */
    struct hg_impair_pkt pkt;
};

struct hg_impair {
    struct hg_impair_cfg cfg;
    struct hg_impair_env env;
    struct hg_impair_counters counters;
    uint64_t random[LAYERS];
    bool bad; /* state of the burst model, */
    hg_ns bad_since;
    hg_ns busy_until;
    hg_ns latest; /* arrival of the latest packet so far, for in_order */
    uint64_t order;
    struct entry held[HG_IMPAIR_HELD];
    uint32_t n_held;
    uint32_t n;
    struct entry heap[]; /* env.packets_max */
};

static const struct hg_counter_desc counter_desc[] = {HG_IMPAIR_COUNTERS(HG_COUNTER_DESC)};

/* splitmix64: the same sequence for the same seed on every machine. */
static uint64_t draw(struct hg_impair *path, enum layer layer)
{
    uint64_t z = path->random[layer] += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(struct hg_impair *path, enum layer layer, uint32_t ppm)
{
    return ppm != 0 && draw(path, layer) % HG_PPM < ppm;
}

static bool before(const struct entry *a, const struct entry *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_add(struct hg_impair *path, struct entry e)
{
    struct entry *heap = path->heap;
    uint32_t i = path->n++;

    e.order = path->order++;
    for (; i != 0 && before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static void heap_remove_first(struct hg_impair *path)
{
    struct entry *heap = path->heap;
    const struct entry last = heap[--path->n];
    uint32_t i = 0;

    for (uint32_t child; (child = 2 * i + 1) < path->n; i = child) {
        if (child + 1 < path->n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
}

static void drop(struct hg_impair *path, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate,
                 uint64_t *counter)
{
    ++*counter;
    path->env.drop(path->env.arg, pkt, fate);
}

static bool pass_mtu(struct hg_impair *path, const struct hg_impair_pkt *pkt)
{
    if (path->cfg.mtu == 0 || pkt->len <= path->cfg.mtu)
        return true;
    drop(path, pkt, HG_IMPAIR_TOO_BIG, &path->counters.too_big);
    return false;
}

static void move_burst(struct hg_impair *path, hg_ns now)
{
    const struct hg_impair_cfg *cfg = &path->cfg;

    if (path->bad && cfg->burst_max != 0 && now - path->bad_since >= cfg->burst_max)
        path->bad = false;
    if (chance(path, BURST, path->bad ? cfg->burst_leave_ppm : cfg->burst_enter_ppm)) {
        path->bad = !path->bad;
        path->bad_since = now;
    }
    if (cfg->burst_enter_ppm == 0)
        path->bad = false;
}

static bool pass_loss(struct hg_impair *path, const struct hg_impair_pkt *pkt, hg_ns now)
{
    const struct hg_impair_cfg *cfg = &path->cfg;
    uint64_t *counter = NULL;

    move_burst(path, now);
    if (path->bad && chance(path, LOSS, cfg->burst_loss_ppm))
        counter = &path->counters.burst_lost;
    else if (!path->bad && chance(path, LOSS, cfg->loss_ppm))
        counter = &path->counters.lost;
    if (counter != NULL)
        drop(path, pkt, HG_IMPAIR_LOST, counter);
    return counter == NULL;
}

/* On success *left is the time at which the packet has left the bottleneck. */
static bool pass_bottleneck(struct hg_impair *path, struct hg_impair_pkt *pkt, hg_ns now,
                            hg_ns *left)
{
    const struct hg_impair_cfg *cfg = &path->cfg;
    hg_ns start = path->busy_until > now ? path->busy_until : now;
    uint64_t cost = (uint64_t)pkt->len + cfg->overhead;

    *left = now;
    if (cfg->rate == 0)
        return true;
    uint64_t queued = (uint64_t)((unsigned __int128)(start - now) * cfg->rate / HG_SEC(1));
    if (queued + cost > cfg->queue_bytes) {
        drop(path, pkt, HG_IMPAIR_QUEUE_FULL, &path->counters.queue_full);
        return false;
    }
    if (cfg->mark_bytes != 0 && queued >= cfg->mark_bytes) {
        if (!pkt->ect) {
            drop(path, pkt, HG_IMPAIR_QUEUE_FULL, &path->counters.queue_active);
            return false;
        }
        pkt->ce = true;
        path->counters.marked++;
    }
    path->busy_until = start + cost * HG_SEC(1) / cfg->rate;
    *left = path->busy_until;
    return true;
}

/* A packet arrives at `at`: those held that waited for it come right behind. */
static void release_held(struct hg_impair *path, hg_ns at)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < path->n_held; i++) {
        struct entry *h = &path->held[i];

        if (--h->passes != 0) {
            path->held[kept++] = *h;
            continue;
        }
        if (at < h->at)
            h->at = at;
        heap_add(path, *h);
    }
    path->n_held = kept;
}

static hg_ns arrival(struct hg_impair *path, hg_ns left)
{
    const struct hg_impair_cfg *cfg = &path->cfg;
    hg_ns at = left + cfg->delay;

    if (cfg->jitter != 0)
        at += draw(path, JITTER) % (cfg->jitter + 1);
    if (cfg->in_order && at < path->latest)
        at = path->latest;
    if (at > path->latest)
        path->latest = at;
    return at != 0 ? at : 1; /* 0 means never */
}

/* Puts the packet on its way; false: it was not taken out of the order. */
static bool reorder(struct hg_impair *path, struct entry *e)
{
    const struct hg_impair_cfg *cfg = &path->cfg;

    if (!chance(path, REORDER, cfg->reorder_ppm))
        return false;
    if (cfg->late_packets == 0) {
        e->at += 1 + draw(path, REORDER) % cfg->late;
        heap_add(path, *e);
    } else if (path->n_held < HG_IMPAIR_HELD) {
        e->at += cfg->late;
        e->passes = cfg->late_packets;
        path->held[path->n_held++] = *e;
    } else {
        path->counters.held_full++;
        return false;
    }
    path->counters.late++;
    return true;
}

static void travel(struct hg_impair *path, const struct hg_impair_pkt *pkt, hg_ns left)
{
    struct entry e = {.pkt = *pkt};

    if (path->n + path->n_held == path->env.packets_max) {
        drop(path, pkt, HG_IMPAIR_PATH_FULL, &path->counters.path_full);
        return;
    }
    if (pkt->len != 0 && chance(path, CORRUPT, path->cfg.corrupt_ppm)) {
        e.pkt.corrupt = true;
        e.pkt.flip_bit = (uint32_t)(draw(path, CORRUPT) % (8 * (uint64_t)pkt->len));
        path->counters.corrupted++;
    }
    e.at = arrival(path, left);
    if (reorder(path, &e))
        return;
    heap_add(path, e);
    release_held(path, e.at);
}

static void duplicate(struct hg_impair *path, const struct hg_impair_pkt *pkt, hg_ns left)
{
    struct hg_impair_pkt second = *pkt;

    if (!chance(path, DUP, path->cfg.dup_ppm))
        return;
    second.user = path->env.copy(path->env.arg, pkt->user);
    if (second.user == NULL) {
        path->counters.copy_failed++;
        return;
    }
    path->counters.duplicated++;
    travel(path, &second, left);
}

void hg_impair_push(struct hg_impair *path, const struct hg_impair_pkt *pkts, unsigned n, hg_ns now)
{
    for (unsigned i = 0; i < n; i++) {
        struct hg_impair_pkt pkt = {.user = pkts[i].user, .len = pkts[i].len, .ect = pkts[i].ect};
        hg_ns left;

        path->counters.packets_in++;
        path->counters.bytes_in += pkt.len;
        if (!pass_mtu(path, &pkt) || !pass_loss(path, &pkt, now) ||
            !pass_bottleneck(path, &pkt, now, &left))
            continue;
        duplicate(path, &pkt, left);
        travel(path, &pkt, left);
    }
}

/* Held packets whose limit has come are overtaken by no more. */
static void expire_held(struct hg_impair *path, hg_ns now)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < path->n_held; i++) {
        if (path->held[i].at <= now)
            heap_add(path, path->held[i]);
        else
            path->held[kept++] = path->held[i];
    }
    path->n_held = kept;
}

unsigned hg_impair_pop(struct hg_impair *path, struct hg_impair_pkt *pkts, unsigned max, hg_ns now)
{
    unsigned n = 0;

    expire_held(path, now);
    for (; n < max && path->n != 0 && path->heap[0].at <= now; n++) {
        pkts[n] = path->heap[0].pkt;
        path->counters.packets_out++;
        path->counters.bytes_out += pkts[n].len;
        heap_remove_first(path);
    }
    return n;
}

hg_ns hg_impair_next(const struct hg_impair *path)
{
    hg_ns next = path->n != 0 ? path->heap[0].at : 0;

    for (uint32_t i = 0; i < path->n_held; i++)
        if (next == 0 || path->held[i].at < next)
            next = path->held[i].at;
    return next;
}

const struct hg_impair_counters *hg_impair_counters(const struct hg_impair *path)
{
    return &path->counters;
}

struct hg_counter_set hg_impair_counter_set(const struct hg_impair *path)
{
    return (struct hg_counter_set){"impair", counter_desc, (const uint64_t *)&path->counters,
                                   HG_ARRAY_LEN(counter_desc)};
}

static int check(const struct hg_impair_cfg *cfg, struct hg_err *err)
{
    const uint32_t ppm[] = {cfg->loss_ppm,       cfg->burst_enter_ppm, cfg->burst_leave_ppm,
                            cfg->burst_loss_ppm, cfg->dup_ppm,         cfg->corrupt_ppm,
                            cfg->reorder_ppm};

    for (unsigned i = 0; i < HG_ARRAY_LEN(ppm); i++)
        if (ppm[i] > HG_PPM)
            return hg_fail(err, -EINVAL, "impair: a probability of %u ppm is more than 100%%",
                           ppm[i]);
    if (cfg->burst_enter_ppm != 0 && (cfg->burst_leave_ppm == 0 || cfg->burst_loss_ppm == 0))
        return hg_fail(err, -EINVAL, "impair: bursts need a way out and a loss of their own");
    if (cfg->rate != 0 && cfg->queue_bytes == 0)
        return hg_fail(err, -EINVAL, "impair: a rate needs the bytes of the queue in front of it");
    if (cfg->mark_bytes != 0 && cfg->rate == 0)
        return hg_fail(err, -EINVAL, "impair: a mark needs a rate, or there is no queue");
    if (cfg->reorder_ppm != 0 && cfg->late == 0)
        return hg_fail(err, -EINVAL, "impair: reordering needs a time by which to be late");
    return 0;
}

int hg_impair_set(struct hg_impair *path, const struct hg_impair_cfg *cfg, struct hg_err *err)
{
    int ret = check(cfg, err);

    if (ret == 0)
        path->cfg = *cfg;
    return ret;
}

int hg_impair_create(const struct hg_impair_cfg *cfg, const struct hg_impair_env *env,
                     struct hg_impair **out, struct hg_err *err)
{
    struct hg_impair *path;
    int ret = check(cfg, err);

    assert(env->packets_max != 0 && env->copy != NULL && env->drop != NULL);
    if (ret != 0)
        return ret;
    path = calloc(1, sizeof *path + (size_t)env->packets_max * sizeof path->heap[0]);
    if (path == NULL)
        return hg_fail(err, -ENOMEM, "impair: no memory for %u packets", env->packets_max);
    path->cfg = *cfg;
    path->env = *env;
    /* Distances of 2^56 steps: the layers' sequences never meet. */
    for (unsigned i = 0; i < LAYERS; i++)
        path->random[i] = env->seed + 0x9e3779b97f4a7c15u * ((uint64_t)i << 56);
    *out = path;
    return 0;
}

void hg_impair_destroy(struct hg_impair *path)
{
    if (path == NULL)
        return;
    for (uint32_t i = 0; i < path->n; i++)
        path->env.drop(path->env.arg, &path->heap[i].pkt, HG_IMPAIR_CLOSED);
    for (uint32_t i = 0; i < path->n_held; i++)
        path->env.drop(path->env.arg, &path->held[i].pkt, HG_IMPAIR_CLOSED);
    free(path);
}
