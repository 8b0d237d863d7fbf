/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The emulated controller's IOMMU and its reading of data pointers: PRPs by base spec 4.1.1, SGLs by
 * 4.1.2, with every address translated and checked. Nothing is transferred unless all of it is right.
 */
#include "nvme_emu_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAP_ALIGN 4096u

/* ---- ranges ---- */

static bool holds(const struct emu_range *r, uint64_t base, size_t len)
{
    return base >= r->base && base - r->base <= r->len && len <= r->len - (base - r->base);
}

void *emu_at(struct nvme_emu *emu, uint64_t iova, size_t len)
{
    uint64_t base = iova - EMU_IOVA;

    if (emu->last_range < emu->n_ranges && holds(&emu->ranges[emu->last_range], base, len))
        return (void *)(uintptr_t)base;
    for (unsigned i = 0; i < emu->n_ranges; i++) {
        if (!holds(&emu->ranges[i], base, len))
            continue;
        emu->last_range = i;
        return (void *)(uintptr_t)base;
    }
    if (!emu->quiet)
        emu->stats.dma++;
    return NULL;
}

static struct emu_range *range_find(struct nvme_emu *emu, const void *base, size_t len,
                                    bool allocated)
{
    for (unsigned i = 0; i < emu->n_ranges; i++) {
        struct emu_range *r = &emu->ranges[i];

        if (r->base == (uintptr_t)base && r->len == len && r->allocated == allocated)
            return r;
    }
    return NULL;
}

static int range_add(struct nvme_emu *emu, void *base, size_t len, bool allocated)
{
    struct emu_range *r = allocated ? NULL : range_find(emu, base, len, false);

    if (r == NULL) {
        if (emu->n_ranges == EMU_RANGES_MAX)
            return -ENOSPC;
        r = &emu->ranges[emu->n_ranges++];
        *r = (struct emu_range){.base = (uintptr_t)base, .len = len, .allocated = allocated};
    }
    r->refs++;
    return 0;
}

/* Whether the range was there; what still uses it is counted. */
static bool range_drop(struct nvme_emu *emu, const void *base, size_t len, bool allocated)
{
    struct emu_range *r = range_find(emu, base, len, allocated);
    unsigned before;

    if (r == NULL) {
        emu->stats.dma_unknown++;
        return false;
    }
    if (--r->refs != 0)
        return true;
    before = emu_unreachable(emu);
    *r = emu->ranges[--emu->n_ranges];
    emu->stats.dma_in_use += emu_unreachable(emu) - before;
    return true;
}

/* ---- struct nvme_dev_ops ---- */

static struct nvme_emu *emu_of(struct nvme_dev *dev)
{
    return HG_CONTAINER_OF(dev, struct nvme_emu, dev);
}

static void *emu_dma_alloc(struct nvme_dev *dev, size_t len, uint64_t *iova)
{
    struct nvme_emu *emu = emu_of(dev);
    void *mem = len == 0
                    ? NULL
                    : aligned_alloc(MAP_ALIGN, (len + MAP_ALIGN - 1) & ~(size_t)(MAP_ALIGN - 1));
    int rc;

    if (mem == NULL)
        return NULL;
    memset(mem, 0, len);
    emu_lock(emu);
    rc = range_add(emu, mem, len, true);
    emu_unlock(emu);
    if (rc != 0) {
        free(mem);
        return NULL;
    }
    *iova = (uintptr_t)mem + EMU_IOVA;
    return mem;
}

static void emu_dma_free(struct nvme_dev *dev, void *ptr, size_t len)
{
    struct nvme_emu *emu = emu_of(dev);
    bool known;

    if (ptr == NULL)
        return;
    emu_lock(emu);
    known = range_drop(emu, ptr, len, true);
    emu_unlock(emu);
    if (known)
        free(ptr);
}

static int emu_dma_map(struct nvme_dev *dev, void *base, size_t len, uint64_t *iova)
{
    struct nvme_emu *emu = emu_of(dev);
    int rc;

    if (len == 0 || (len | (uintptr_t)base) % MAP_ALIGN != 0)
        return -EINVAL;
    emu_lock(emu);
    rc = range_add(emu, base, len, false);
    emu_unlock(emu);
    *iova = (uintptr_t)base + EMU_IOVA;
    return rc;
}

static void emu_dma_unmap(struct nvme_dev *dev, void *base, size_t len)
{
    struct nvme_emu *emu = emu_of(dev);

    emu_lock(emu);
    (void)range_drop(emu, base, len, false);
    emu_unlock(emu);
}

/* Bus master off: what the controller has in hand stays undone. */
static void emu_dev_halt(struct nvme_dev *dev)
{
    struct nvme_emu *emu = emu_of(dev);

    emu_lock(emu);
    emu->halted = true;
    emu_queues_drop(emu);
    emu_unlock(emu);
}

/* As when a process closes its VFIO device: the function is reset, all mappings are gone. The power
 * stays on: what is in the volatile cache stays there. */
static void emu_dev_close(struct nvme_dev *dev)
{
    struct nvme_emu *emu = emu_of(dev);

    emu_lock(emu);
    emu->stats.dma_left += emu->n_ranges;
    emu->halted = false; /* opening it turns bus master on again */
    emu_power_on(emu);
    for (unsigned i = 0; i < emu->n_ranges; i++) {
        if (emu->ranges[i].allocated)
            free((void *)(uintptr_t)emu->ranges[i].base);
    }
    emu->n_ranges = 0;
    emu_unlock(emu);
    if (emu->cfg.close_frees)
        nvme_emu_close(emu);
}

/* It is pulled out (NVME_EMU_REMOVE), never asked for. */
static void emu_dev_attend(struct nvme_dev *dev)
{
    (void)dev;
}

const struct nvme_dev_ops emu_dev_ops = {
    .dma_alloc = emu_dma_alloc,
    .dma_free = emu_dma_free,
    .dma_map = emu_dma_map,
    .dma_unmap = emu_dma_unmap,
    .halt = emu_dev_halt,
    .attend = emu_dev_attend,
    .close = emu_dev_close,
};

/* ---- data pointers ---- */

static uint16_t seg_add(struct nvme_emu *emu, uint64_t iova, size_t len)
{
    uint8_t *at = emu_at(emu, iova, len);
    struct emu_seg *last = emu->n_segs > 0 ? &emu->segs[emu->n_segs - 1] : NULL;

    if (at == NULL)
        return EMU_GENERIC(NVME_SC_DATA_TRANSFER_ERROR);
    if (last != NULL && last->at + last->len == at) {
        last->len += len;
        return EMU_OK;
    }
    if (emu->n_segs == emu->segs_max)
        return EMU_GENERIC(NVME_SC_INTERNAL);
    emu->segs[emu->n_segs++] = (struct emu_seg){at, len};
    return EMU_OK;
}

/* Entries of a list are page-aligned; its pointers to further lists too, only the first list may
 * start within a page, at a multiple of eight. */
static uint16_t map_prp_list(struct nvme_emu *emu, uint64_t list, uint64_t len)
{
    uint64_t mask = emu->page - 1;

    if (list % 8 != 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
    while (len > 0) {
        uint64_t slots = (emu->page - (list & mask)) / 8;
        uint64_t need = (len + mask) / emu->page;
        uint64_t n = need > slots ? slots : need;
        const hg_le64 *entry = emu_at(emu, list, n * sizeof *entry);

        if (entry == NULL)
            return EMU_GENERIC(NVME_SC_DATA_TRANSFER_ERROR);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t at = hg_le64_get(entry[i]);
            uint64_t part = len < emu->page ? len : emu->page;
            uint16_t rc;

            if ((at & mask) != 0)
                return EMU_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
            if (need > slots && i == slots - 1) {
                list = at;
                break;
            }
            rc = seg_add(emu, at, part);
            if (rc != EMU_OK)
                return rc;
            len -= part;
        }
    }
    return EMU_OK;
}

static uint16_t map_prp(struct nvme_emu *emu, const struct nvme_sqe *sqe, uint64_t len)
{
    uint64_t prp1 = hg_le64_get(sqe->dptr[0]);
    uint64_t prp2 = hg_le64_get(sqe->dptr[1]);
    uint64_t mask = emu->page - 1;
    uint64_t part = emu->page - (prp1 & mask);
    uint16_t rc;

    if (prp1 % 4 != 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
    if (part > len)
        part = len;
    rc = seg_add(emu, prp1, part);
    len -= part;
    if (rc != EMU_OK || len == 0)
        return rc;
    if (len > emu->page)
        return map_prp_list(emu, prp2, len);
    if ((prp2 & mask) != 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_PRP_OFFSET);
    return seg_add(emu, prp2, len);
}

/* A data block descriptor; what it has beyond *left is not allowed (SGLS bit 18 is 0). */
static uint16_t sgl_data(struct nvme_emu *emu, const struct nvme_sgl_desc *d, uint64_t *left)
{
    uint64_t addr = hg_le64_get(d->addr);
    uint32_t len = hg_le32_get(d->len);

    if (d->type != NVME_SGL_DATA)
        return EMU_GENERIC_DNR(EMU_SC_SGL_TYPE);
    if (len > *left)
        return EMU_GENERIC_DNR(EMU_SC_SGL_LENGTH);
    if (emu->cfg.sgls == 2 && (addr % 4 != 0 || len % 4 != 0))
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    *left -= len;
    return len == 0 ? EMU_OK : seg_add(emu, addr, len);
}

/* A segment ends with a pointer to the next one; the last segment has data only. */
static uint16_t map_sgl(struct nvme_emu *emu, const struct nvme_sqe *sqe, uint64_t left)
{
    struct nvme_sgl_desc at;
    unsigned segments = 0;

    memcpy(&at, sqe->dptr, sizeof at);
    while (at.type == NVME_SGL_SEGMENT || at.type == NVME_SGL_LAST_SEGMENT) {
        uint32_t len = hg_le32_get(at.len);
        const struct nvme_sgl_desc *d;
        unsigned n = len / sizeof *d;
        bool last = at.type == NVME_SGL_LAST_SEGMENT;

        if (n == 0 || len % sizeof *d != 0 || ++segments > EMU_REQS_MAX)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_SGL_SEG);
        d = emu_at(emu, hg_le64_get(at.addr), len);
        if (d == NULL)
            return EMU_GENERIC(NVME_SC_DATA_TRANSFER_ERROR);
        for (unsigned i = 0; i < (last ? n : n - 1); i++) {
            uint16_t rc = sgl_data(emu, &d[i], &left);

            if (rc != EMU_OK)
                return rc;
        }
        if (last)
            return left == 0 ? EMU_OK : EMU_GENERIC_DNR(EMU_SC_SGL_LENGTH);
        at = d[n - 1];
        if (at.type != NVME_SGL_SEGMENT && at.type != NVME_SGL_LAST_SEGMENT)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_SGL_SEG);
    }
    if (hg_le32_get(at.len) < left)
        return EMU_GENERIC_DNR(EMU_SC_SGL_LENGTH);
    return sgl_data(emu, &at, &left);
}

uint16_t emu_map(struct nvme_emu *emu, const struct emu_req *req, uint64_t len)
{
    unsigned psdt = req->sqe.flags >> 6;

    emu->n_segs = 0;
    if (len == 0)
        return EMU_OK;
    if (emu->cfg.mdts != 0 && len > 4096ull << (emu->cfg.mpsmin + emu->cfg.mdts))
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    if (psdt == 0)
        return map_prp(emu, &req->sqe, len);
    /* 4.1.2: over PCI Express admin commands use PRPs. */
    if (psdt == 3 || emu->cfg.sgls == 0 || req->sq->qid == 0)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    return map_sgl(emu, &req->sqe, len);
}

void emu_copy_out(struct nvme_emu *emu, const void *from, size_t len)
{
    const uint8_t *p = from;

    for (unsigned i = 0; i < emu->n_segs && len > 0; i++) {
        size_t part = emu->segs[i].len < len ? emu->segs[i].len : len;

        memcpy(emu->segs[i].at, p, part);
        p += part;
        len -= part;
    }
}

void emu_copy_in(struct nvme_emu *emu, void *to, size_t len)
{
    uint8_t *p = to;

    for (unsigned i = 0; i < emu->n_segs && len > 0; i++) {
        size_t part = emu->segs[i].len < len ? emu->segs[i].len : len;

        memcpy(p, emu->segs[i].at, part);
        p += part;
        len -= part;
    }
}
