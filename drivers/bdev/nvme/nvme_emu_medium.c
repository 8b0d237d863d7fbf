/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The medium of the emulated controller, and what a power cut makes of it.
 *
 * Writes go to the image at once. While they are volatile a record keeps what they replaced. Records
 * are in the order of the writes; those at the old end are dropped as soon as they are durable. A
 * power cut goes back from the newest to the oldest, exchanging contents, so that the image is what
 * it was before all of them and each record has what its write left; then forward, putting in again
 * those that are durable or kept, and single blocks (the atomic write unit) of those that are torn.
 */
#include "nvme_emu_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOLE_MIN (1u << 16) /* bytes: from here on zeroing gives memory back */

/* ---- the image ---- */

static void *image_map(int fd, uint64_t size)
{
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

    return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
}

int emu_medium_open(struct emu_ns *ns, const struct nvme_emu_ns *cfg, struct hg_err *err)
{
    ns->cfg = *cfg;
    ns->fd = -1;
    if (cfg->size == 0 || cfg->size % 4096 != 0 || (cfg->block != 512 && cfg->block != 4096))
        return hg_fail(err, -EINVAL,
                       "emulated NVMe namespace of %llu bytes in blocks of %u: the size is a "
                       "multiple of 4096, blocks have 512 or 4096 bytes",
                       (unsigned long long)cfg->size, cfg->block);
    if (cfg->path != NULL) {
        ns->fd = open(cfg->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (ns->fd < 0 || flock(ns->fd, LOCK_EX | LOCK_NB) != 0 ||
            ftruncate(ns->fd, (off_t)cfg->size) != 0) {
            int rc = errno == EWOULDBLOCK ? -EBUSY : -errno;

            emu_medium_close(ns);
            return hg_fail(err, rc, "emulated NVMe medium %s: %s", cfg->path, strerror(-rc));
        }
    }
    ns->image = image_map(ns->fd, cfg->size);
    if (ns->image == MAP_FAILED) {
        ns->image = NULL;
        emu_medium_close(ns);
        return hg_fail(err, -ENOMEM, "emulated NVMe medium: no memory for %llu bytes",
                       (unsigned long long)cfg->size);
    }
    ns->mapped = cfg->size;
    ns->blocks = cfg->size / cfg->block;
    return 0;
}

void emu_medium_close(struct emu_ns *ns)
{
    if (ns->image != NULL)
        munmap(ns->image, ns->mapped);
    if (ns->fd >= 0)
        close(ns->fd);
    ns->image = NULL;
    ns->fd = -1;
}

int emu_medium_resize(struct emu_ns *ns, uint64_t size)
{
    void *moved;

    if (size == 0 || size % 4096 != 0)
        return -EINVAL;
    if (ns->fd >= 0 && ftruncate(ns->fd, (off_t)size) != 0)
        return -errno;
    moved = mremap(ns->image, ns->mapped, size, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        return -ENOMEM;
    ns->image = moved;
    ns->mapped = size;
    ns->blocks = size / ns->cfg.block;
    return 0;
}

void emu_medium_fill(struct emu_ns *ns, uint64_t offset, uint64_t len, int byte)
{
    uint64_t from = (offset + 4095) & ~4095ull;
    uint64_t to = (offset + len) & ~4095ull;

    /* A hole in a private mapping or in a shared file reads as zeroes. */
    if (byte == 0 && len >= HOLE_MIN &&
        madvise(ns->image + from, to - from, ns->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) == 0) {
        memset(ns->image + offset, 0, from - offset);
        memset(ns->image + to, 0, offset + len - to);
        return;
    }
    memset(ns->image + offset, byte, len);
}

/* ---- records ---- */

static void record_free(struct nvme_emu *emu, struct emu_record *r)
{
    *(r->prev != NULL ? &r->prev->next : &emu->oldest) = r->next;
    *(r->next != NULL ? &r->next->prev : &emu->newest) = r->prev;
    if (r->req != NULL)
        r->req->record = NULL;
    emu->cached -= r->len;
    free(r);
}

static void drop_durable(struct nvme_emu *emu)
{
    while (emu->oldest != NULL && emu->oldest->durable)
        record_free(emu, emu->oldest);
}

void emu_medium_record(struct nvme_emu *emu, struct emu_req *req, uint64_t offset, uint64_t len,
                       bool durable)
{
    struct emu_record *r;

    if (!emu->vwc_on)
        return;
    while (emu->oldest != NULL && emu->cached + len > emu->cfg.cache_bytes)
        record_free(emu, emu->oldest);
    /* Durable at once, and nothing older that a power cut could go back through. */
    if (len > emu->cfg.cache_bytes || (durable && emu->oldest == NULL))
        return;
    r = malloc(sizeof *r + len);
    if (r == NULL)
        return;
    *r = (struct emu_record){.prev = emu->newest,
                             .ns = emu_ns(emu, hg_le32_get(req->sqe.nsid)),
                             .req = req,
                             .offset = offset,
                             .len = len,
                             .done = UINT64_MAX,
                             .durable = durable};
    memcpy(r->other, r->ns->image + offset, len);
    *(emu->newest != NULL ? &emu->newest->next : &emu->oldest) = r;
    emu->newest = r;
    emu->cached += len;
    /* A request notes its completion in one record: of several ranges, the last. */
    if (req->record != NULL) {
        req->record->req = NULL;
        req->record->done = emu->posted;
    }
    req->record = r;
}

void emu_medium_flush(struct nvme_emu *emu, const struct emu_ns *ns, uint64_t upto)
{
    for (struct emu_record *r = emu->oldest; r != NULL; r = r->next) {
        if ((ns == NULL || r->ns == ns) && (r->done <= upto || upto == UINT64_MAX))
            r->durable = true;
    }
    drop_durable(emu);
}

void emu_medium_forget(struct nvme_emu *emu, const struct emu_ns *ns)
{
    for (struct emu_record *r = emu->oldest, *next; r != NULL; r = next) {
        next = r->next;
        if (r->ns == ns)
            record_free(emu, r);
    }
}

/* ---- power cut ---- */

static void exchange(struct emu_record *r)
{
    uint8_t *at = r->ns->image + r->offset;

    for (size_t i = 0; i < r->len; i++) {
        uint8_t byte = at[i];

        at[i] = r->other[i];
        r->other[i] = byte;
    }
}

static void tear(struct emu_record *r, uint64_t *random)
{
    uint32_t block = r->ns->cfg.block;

    for (size_t at = 0; at < r->len; at += block) {
        if (emu_draw(random) % 2 == 0)
            memcpy(r->ns->image + r->offset + at, r->other + at, block);
    }
}

void emu_medium_cut(struct nvme_emu *emu, uint64_t seed)
{
    uint64_t random = seed;
    /* How likely each is, so that "all but one" and "none" both come up. */
    uint64_t keep = emu_draw(&random) % 101;
    uint64_t lose = emu_draw(&random) % 101;

    for (struct emu_record *r = emu->newest; r != NULL; r = r->prev)
        exchange(r);
    for (struct emu_record *r = emu->oldest; r != NULL; r = r->next) {
        if (r->durable || emu_draw(&random) % 100 < keep) {
            emu->stats.kept += !r->durable;
            memcpy(r->ns->image + r->offset, r->other, r->len);
        } else if (r->len == r->ns->cfg.block || emu_draw(&random) % 100 < lose) {
            emu->stats.lost++;
        } else {
            emu->stats.torn++;
            tear(r, &random);
        }
    }
    while (emu->oldest != NULL)
        record_free(emu, emu->oldest);
}
