/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands, PRP lists and SGLs: nvme_cmd.h is the contract.
 *
 * PRPs (base spec 4.1.1) are a list of pages: the first may have an offset, all others have none, and
 * only the last need not be used to its end. So two pieces can follow one another when the first
 * ends and the second begins at a page's edge, or when the second begins where the first ends: then
 * both are one piece to the device.
 */
#include "nvme_cmd.h"
#include <assert.h>
#include <errno.h>

#define PAGE_MASK ((uint64_t)NVME_PAGE - 1)

static uint64_t page_up(uint64_t addr)
{
    return (addr + PAGE_MASK) & ~PAGE_MASK;
}

static uint64_t seg_end(const struct nvme_seg *seg)
{
    return seg->iova + seg->len;
}

/* base spec 4.1.1: bits 1:0 of the first entry's offset are 0. */
static bool may_begin(const struct nvme_seg *seg)
{
    return seg->iova % 4 == 0;
}

static bool may_follow(const struct nvme_seg *seg, const struct nvme_seg *next)
{
    uint64_t end = seg_end(seg);

    return next->iova == end || ((next->iova | end) & PAGE_MASK) == 0;
}

uint32_t nvme_prp_fit(const struct nvme_seg *segs, unsigned n, uint32_t max, uint32_t block)
{
    uint64_t sum = 0;

    assert(block > 0 && block <= NVME_PAGE && (block & (block - 1)) == 0);
    if (n == 0 || !may_begin(&segs[0]))
        return 0;
    for (unsigned i = 0; i < n && sum < max; i++) {
        if (i > 0 && !may_follow(&segs[i - 1], &segs[i]))
            break;
        sum += segs[i].len;
    }
    if (sum > max)
        sum = max;
    return (uint32_t)sum & ~(block - 1);
}

/* The first page of segs[i] that no earlier piece has named yet. */
static uint64_t first_page(const struct nvme_seg *segs, unsigned i)
{
    return i == 0 ? segs[0].iova & ~PAGE_MASK : page_up(segs[i].iova);
}

/* Pages that segs[0..n) name; 0 when PRPs cannot describe them. */
static uint64_t count_pages(const struct nvme_seg *segs, unsigned n)
{
    uint64_t pages = 0;

    if (n == 0 || !may_begin(&segs[0]))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        assert(segs[i].len != 0);
        if (i > 0 && !may_follow(&segs[i - 1], &segs[i]))
            return 0;
        pages += (page_up(seg_end(&segs[i])) - first_page(segs, i)) / NVME_PAGE;
    }
    return pages;
}

/* Pages of a list of two or more entries: each page but the last gives its last entry to the chain. */
static uint64_t list_pages(uint64_t entries)
{
    return (entries - 2) / (NVME_PRPS_PER_PAGE - 1) + 1;
}

/* Where the next entry of a list goes. */
struct cursor {
    hg_le64 *at;
    unsigned slot;      /* 0..NVME_PRPS_PER_PAGE - 1: within its page */
    uint64_t page_iova; /* of the page it is in */
    uint64_t left;      /* entries still to come */
};

static void put_entry(struct cursor *c, uint64_t addr)
{
    if (c->slot == NVME_PRPS_PER_PAGE - 1 && c->left > 1) {
        c->page_iova += NVME_PAGE;
        *c->at++ = hg_le64_put(c->page_iova);
        c->slot = 0;
    }
    *c->at++ = hg_le64_put(addr);
    c->slot++;
    c->left--;
}

static void fill_list(const struct nvme_seg *segs, unsigned n, const struct nvme_list *list,
                      uint64_t entries)
{
    struct cursor c = {.at = list->mem, .page_iova = list->iova, .left = entries};
    bool first = true; /* the first page is PRP1 */

    for (unsigned i = 0; i < n; i++) {
        for (uint64_t page = first_page(segs, i); page < seg_end(&segs[i]); page += NVME_PAGE) {
            if (!first)
                put_entry(&c, page);
            first = false;
        }
    }
    assert(c.left == 0);
}

/* The second of two pages: the next one, or where a later piece begins. */
static uint64_t second_page(const struct nvme_seg *segs)
{
    uint64_t next = (segs[0].iova & ~PAGE_MASK) + NVME_PAGE;
    unsigned i = 0;

    if (next < seg_end(&segs[0]))
        return next;
    do
        i++;
    while (first_page(segs, i) >= seg_end(&segs[i]));
    return first_page(segs, i);
}

int nvme_prp_fill(struct nvme_sqe *sqe, const struct nvme_seg *segs, unsigned n,
                  const struct nvme_list *list)
{
    uint64_t pages = count_pages(segs, n), prp2 = 0;

    if (pages == 0)
        return -EINVAL;
    if (pages > 2) {
        if (list == NULL || list_pages(pages - 1) > list->pages)
            return -E2BIG;
        assert(((uintptr_t)list->mem & PAGE_MASK) == 0 && (list->iova & PAGE_MASK) == 0);
        fill_list(segs, n, list, pages - 1);
        prp2 = list->iova;
    } else if (pages == 2) {
        prp2 = second_page(segs);
    }
    sqe->dptr[0] = hg_le64_put(segs[0].iova);
    sqe->dptr[1] = hg_le64_put(prp2);
    return 0;
}

static void put_desc(void *at, uint64_t iova, uint32_t len, uint8_t type)
{
    struct nvme_sgl_desc desc = {.addr = hg_le64_put(iova), .len = hg_le32_put(len), .type = type};

    memcpy(at, &desc, sizeof desc);
}

int nvme_sgl_fill(struct nvme_sqe *sqe, const struct nvme_seg *segs, unsigned n,
                  const struct nvme_list *list)
{
    struct nvme_sgl_desc *desc;

    assert(n >= 1);
    if (n == 1) {
        put_desc(sqe->dptr, segs[0].iova, segs[0].len, NVME_SGL_DATA);
    } else {
        if (list == NULL || n > list->pages * (NVME_PAGE / sizeof *desc))
            return -E2BIG;
        desc = list->mem;
        for (unsigned i = 0; i < n; i++)
            put_desc(&desc[i], segs[i].iova, segs[i].len, NVME_SGL_DATA);
        put_desc(sqe->dptr, list->iova, n * (uint32_t)sizeof *desc, NVME_SGL_LAST_SEGMENT);
    }
    sqe->flags |= NVME_SQE_PSDT_SGL;
    return 0;
}

static void begin(struct nvme_sqe *sqe, unsigned opc, uint32_t nsid)
{
    memset(sqe, 0, sizeof *sqe);
    sqe->opc = (uint8_t)opc;
    sqe->nsid = hg_le32_put(nsid);
}

/* ---- NVM command set ---- */

static void begin_lbas(struct nvme_sqe *sqe, enum nvme_nvm_opc opc, const struct nvme_lbas *at,
                       uint32_t flags)
{
    assert(at->blocks >= 1 && at->blocks <= NVME_RW_BLOCKS_MAX);
    begin(sqe, opc, at->nsid);
    sqe->cdw10 = hg_le32_put((uint32_t)at->slba);
    sqe->cdw11 = hg_le32_put((uint32_t)(at->slba >> 32));
    sqe->cdw12 = hg_le32_put((at->blocks - 1) | flags);
}

void nvme_cmd_read(struct nvme_sqe *sqe, const struct nvme_lbas *at)
{
    begin_lbas(sqe, NVME_NVM_READ, at, 0);
}

void nvme_cmd_write(struct nvme_sqe *sqe, const struct nvme_lbas *at, bool fua)
{
    begin_lbas(sqe, NVME_NVM_WRITE, at, fua ? NVME_RW_FUA : 0);
}

void nvme_cmd_write_zeroes(struct nvme_sqe *sqe, const struct nvme_lbas *at, bool fua)
{
    begin_lbas(sqe, NVME_NVM_WRITE_ZEROES, at, fua ? NVME_RW_FUA : 0);
}

void nvme_cmd_flush(struct nvme_sqe *sqe, uint32_t nsid)
{
    begin(sqe, NVME_NVM_FLUSH, nsid);
}

void nvme_cmd_deallocate(struct nvme_sqe *sqe, uint32_t nsid, unsigned n, uint64_t iova)
{
    assert(n >= 1 && n <= NVME_DSM_RANGES_MAX);
    assert((iova & PAGE_MASK) + n * sizeof(struct nvme_dsm_range) <= NVME_PAGE);
    begin(sqe, NVME_NVM_DSM, nsid);
    sqe->dptr[0] = hg_le64_put(iova);
    sqe->cdw10 = hg_le32_put(n - 1);
    sqe->cdw11 = hg_le32_put(NVME_DSM_AD);
}

/* ---- admin: base spec 5 ---- */

void nvme_cmd_identify(struct nvme_sqe *sqe, enum nvme_cns cns, uint32_t nsid, uint64_t iova)
{
    begin(sqe, NVME_ADM_IDENTIFY, nsid);
    sqe->dptr[0] = hg_le64_put(iova);
    sqe->cdw10 = hg_le32_put(cns);
}

void nvme_cmd_set_feature(struct nvme_sqe *sqe, enum nvme_feature feature, uint32_t cdw11)
{
    begin(sqe, NVME_ADM_SET_FEATURES, 0);
    sqe->cdw10 = hg_le32_put(feature);
    sqe->cdw11 = hg_le32_put(cdw11);
}

void nvme_cmd_get_feature(struct nvme_sqe *sqe, enum nvme_feature feature)
{
    begin(sqe, NVME_ADM_GET_FEATURES, 0);
    sqe->cdw10 = hg_le32_put(feature);
}

void nvme_cmd_get_log(struct nvme_sqe *sqe, enum nvme_log page, uint32_t bytes, uint64_t iova)
{
    assert(bytes >= 4 && bytes <= NVME_PAGE && bytes % 4 == 0);
    assert((iova & PAGE_MASK) + bytes <= NVME_PAGE);
    begin(sqe, NVME_ADM_GET_LOG_PAGE, NVME_NSID_ALL); /* the controller's, 5.16.1.3 */
    sqe->dptr[0] = hg_le64_put(iova);
    sqe->cdw10 = hg_le32_put((bytes / 4 - 1) << 16 | page);
}

static void begin_queue(struct nvme_sqe *sqe, enum nvme_admin_opc opc, uint16_t qid,
                        uint32_t entries)
{
    assert(qid >= 1 && entries >= 2 && entries <= 65536);
    begin(sqe, opc, 0);
    sqe->cdw10 = hg_le32_put((entries - 1) << 16 | qid);
}

void nvme_cmd_create_cq(struct nvme_sqe *sqe, uint16_t qid, uint32_t entries, uint64_t iova)
{
    begin_queue(sqe, NVME_ADM_CREATE_CQ, qid, entries);
    sqe->dptr[0] = hg_le64_put(iova);
    sqe->cdw11 = hg_le32_put(NVME_QUEUE_PC);
}

void nvme_cmd_create_sq(struct nvme_sqe *sqe, uint16_t qid, uint32_t entries, uint64_t iova)
{
    begin_queue(sqe, NVME_ADM_CREATE_SQ, qid, entries);
    sqe->dptr[0] = hg_le64_put(iova);
    sqe->cdw11 = hg_le32_put((uint32_t)qid << 16 | NVME_QUEUE_PC);
}

static void delete_queue(struct nvme_sqe *sqe, enum nvme_admin_opc opc, uint16_t qid)
{
    assert(qid >= 1);
    begin(sqe, opc, 0);
    sqe->cdw10 = hg_le32_put(qid);
}

void nvme_cmd_delete_cq(struct nvme_sqe *sqe, uint16_t qid)
{
    delete_queue(sqe, NVME_ADM_DELETE_CQ, qid);
}

void nvme_cmd_delete_sq(struct nvme_sqe *sqe, uint16_t qid)
{
    delete_queue(sqe, NVME_ADM_DELETE_SQ, qid);
}

void nvme_cmd_abort(struct nvme_sqe *sqe, uint16_t sqid, uint16_t cid)
{
    begin(sqe, NVME_ADM_ABORT, 0);
    sqe->cdw10 = hg_le32_put((uint32_t)cid << 16 | sqid);
}

void nvme_cmd_async_event(struct nvme_sqe *sqe)
{
    begin(sqe, NVME_ADM_ASYNC_EVENT, 0);
}

void nvme_cmd_dbbuf(struct nvme_sqe *sqe, uint64_t shadow, uint64_t eventidx)
{
    begin(sqe, NVME_ADM_DBBUF_CONFIG, 0);
    sqe->dptr[0] = hg_le64_put(shadow);
    sqe->dptr[1] = hg_le64_put(eventidx);
}
