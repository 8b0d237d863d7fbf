/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands of the NVM command set (NVM spec 3.2) on the emulated controller. */
#include "nvme_emu_impl.h"
#include <string.h>

#define RANGES_BYTES (NVME_DSM_RANGES_MAX * sizeof(struct nvme_dsm_range))

static uint64_t slba_of(const struct nvme_sqe *sqe)
{
    return hg_le32_get(sqe->cdw10) | (uint64_t)hg_le32_get(sqe->cdw11) << 32;
}

static uint64_t blocks_of(const struct nvme_sqe *sqe)
{
    return (hg_le32_get(sqe->cdw12) & 0xffff) + 1;
}

static bool fua(const struct emu_req *req)
{
    return (hg_le32_get(req->sqe.cdw12) & NVME_RW_FUA) != 0;
}

uint64_t emu_io_len(struct nvme_emu *emu, const struct nvme_sqe *sqe)
{
    const struct emu_ns *ns = emu_ns(emu, hg_le32_get(sqe->nsid));

    if (ns == NULL)
        return 0;
    switch (sqe->opc) {
    case NVME_NVM_READ:
    case NVME_NVM_WRITE:
        return blocks_of(sqe) * ns->cfg.block;
    case NVME_NVM_DSM:
        return ((hg_le32_get(sqe->cdw10) & 0xff) + 1) * sizeof(struct nvme_dsm_range);
    default:
        return 0;
    }
}

static bool inside(const struct emu_ns *ns, uint64_t slba, uint64_t n)
{
    return slba <= ns->blocks && n <= ns->blocks - slba;
}

static bool overlaps_bad(const struct nvme_emu *emu, uint32_t nsid, uint64_t slba, uint64_t n)
{
    return emu->bad_blocks != 0 && nsid == emu->bad_nsid &&
           slba < emu->bad_slba + emu->bad_blocks && emu->bad_slba < slba + n;
}

/* Writing heals what it covers; of a range cut in two the second part stays bad. */
static void heal(struct nvme_emu *emu, uint32_t nsid, uint64_t slba, uint64_t n)
{
    uint64_t end = emu->bad_slba + emu->bad_blocks;

    if (!overlaps_bad(emu, nsid, slba, n))
        return;
    if (slba + n >= end && slba > emu->bad_slba) {
        emu->bad_blocks = (uint32_t)(slba - emu->bad_slba);
    } else {
        emu->bad_blocks = slba + n >= end ? 0 : (uint32_t)(end - (slba + n));
        emu->bad_slba = slba + n;
    }
}

static uint16_t io_read(struct nvme_emu *emu, struct emu_req *req, const struct emu_ns *ns)
{
    uint64_t slba = slba_of(&req->sqe);
    uint64_t n = blocks_of(&req->sqe);
    uint16_t rc;

    if (!inside(ns, slba, n))
        return EMU_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE);
    rc = emu_map(emu, req, n * ns->cfg.block);
    if (rc != EMU_OK)
        return rc;
    if (overlaps_bad(emu, hg_le32_get(req->sqe.nsid), slba, n)) {
        emu->media_errors++;
        return NVME_STATUS_MAKE(NVME_SCT_MEDIA, NVME_SCM_UNRECOVERED_READ);
    }
    if (!emu->cfg.no_payload)
        emu_copy_out(emu, ns->image + slba * ns->cfg.block, n * ns->cfg.block);
    emu->stats.reads++;
    emu->stats.blocks_read += n;
    return EMU_OK;
}

static uint16_t io_write(struct nvme_emu *emu, struct emu_req *req, struct emu_ns *ns)
{
    uint64_t slba = slba_of(&req->sqe);
    uint64_t n = blocks_of(&req->sqe);
    uint64_t at = slba * ns->cfg.block;
    uint16_t rc;

    if (!inside(ns, slba, n))
        return EMU_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE);
    if (ns->cfg.read_only)
        return EMU_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED);
    rc = emu_map(emu, req, n * ns->cfg.block);
    if (rc != EMU_OK)
        return rc;
    if (!emu->cfg.no_payload) {
        emu_medium_record(emu, req, at, n * ns->cfg.block, fua(req));
        emu_copy_in(emu, ns->image + at, n * ns->cfg.block);
    }
    heal(emu, hg_le32_get(req->sqe.nsid), slba, n);
    emu->stats.writes++;
    emu->stats.blocks_written += n;
    return EMU_OK;
}

static uint16_t io_write_zeroes(struct nvme_emu *emu, struct emu_req *req, struct emu_ns *ns)
{
    uint64_t slba = slba_of(&req->sqe);
    uint64_t n = blocks_of(&req->sqe);
    uint64_t at = slba * ns->cfg.block;

    if (!emu->cfg.write_zeroes)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    if (emu->cfg.wzsl != 0 && n * ns->cfg.block > 4096ull << (emu->cfg.mpsmin + emu->cfg.wzsl))
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    if (!inside(ns, slba, n))
        return EMU_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE);
    if (ns->cfg.read_only)
        return EMU_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED);
    emu_medium_record(emu, req, at, n * ns->cfg.block, fua(req));
    emu_medium_fill(ns, at, n * ns->cfg.block, 0);
    heal(emu, hg_le32_get(req->sqe.nsid), slba, n);
    emu->stats.write_zeroes++;
    return EMU_OK;
}

/* 3.2.3: what a range's contents are afterwards DLFEAT tells; 0 tells nothing, hence garbage. */
static void deallocate(struct nvme_emu *emu, struct emu_req *req, struct emu_ns *ns,
                       const struct nvme_dsm_range *r)
{
    uint64_t at = hg_le64_get(r->slba) * ns->cfg.block;
    uint64_t len = (uint64_t)hg_le32_get(r->nlb) * ns->cfg.block;

    if (len == 0)
        return;
    emu_medium_record(emu, req, at, len, false);
    emu_medium_fill(ns, at, len, NVME_DLFEAT_ZEROES(emu->cfg.dlfeat) ? 0 : 0xa5);
}

static uint16_t io_dsm(struct nvme_emu *emu, struct emu_req *req, struct emu_ns *ns)
{
    struct nvme_dsm_range ranges[NVME_DSM_RANGES_MAX];
    unsigned n = (hg_le32_get(req->sqe.cdw10) & 0xff) + 1;
    uint16_t rc;

    if (!emu->cfg.dsm)
        return EMU_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    if (emu->cfg.dmrl != 0 && n > emu->cfg.dmrl)
        return EMU_SPECIFIC_DNR(EMU_SCS_SIZE_LIMIT);
    rc = emu_map(emu, req, n * sizeof ranges[0]);
    if (rc != EMU_OK)
        return rc;
    emu_copy_in(emu, ranges, n * sizeof ranges[0]);
    if ((hg_le32_get(req->sqe.cdw11) & NVME_DSM_AD) == 0)
        return EMU_OK; /* attributes are hints about access */
    if (ns->cfg.read_only)
        return EMU_GENERIC_DNR(NVME_SC_NS_WRITE_PROTECTED);
    for (unsigned i = 0; i < n; i++) {
        if (!inside(ns, hg_le64_get(ranges[i].slba), hg_le32_get(ranges[i].nlb)))
            return EMU_GENERIC_DNR(NVME_SC_LBA_OUT_OF_RANGE);
    }
    for (unsigned i = 0; i < n; i++)
        deallocate(emu, req, ns, &ranges[i]);
    emu->stats.deallocates++;
    return EMU_OK;
}

/* 3.2.1: covers what completed before the flush was submitted. */
static uint16_t io_flush(struct nvme_emu *emu, const struct emu_req *req, const struct emu_ns *ns)
{
    emu_medium_flush(emu, ns, req->seen);
    emu->stats.flushes++;
    return EMU_OK;
}

uint16_t emu_io(struct nvme_emu *emu, struct emu_req *req)
{
    uint32_t nsid = hg_le32_get(req->sqe.nsid);
    struct emu_ns *ns = emu_ns(emu, nsid);

    if ((req->sqe.flags & 0x3f) != 0) /* no fused commands; the rest is reserved */
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    if (req->sqe.opc == NVME_NVM_FLUSH && nsid == NVME_NSID_ALL)
        return io_flush(emu, req, NULL);
    if (ns == NULL)
        return EMU_GENERIC_DNR(nsid != 0 && nsid <= emu->cfg.n_ns ? NVME_SC_INVALID_FIELD
                                                                  : NVME_SC_INVALID_NS);
    switch (req->sqe.opc) {
    case NVME_NVM_FLUSH:
        return io_flush(emu, req, ns);
    case NVME_NVM_WRITE:
        return io_write(emu, req, ns);
    case NVME_NVM_READ:
        return io_read(emu, req, ns);
    case NVME_NVM_WRITE_ZEROES:
        return io_write_zeroes(emu, req, ns);
    case NVME_NVM_DSM:
        return io_dsm(emu, req, ns);
    default:
        return EMU_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
}

void nvme_emu_bad_blocks(struct nvme_emu *emu, uint32_t nsid, uint64_t slba, uint32_t blocks)
{
    emu_lock(emu);
    emu->bad_nsid = nsid;
    emu->bad_slba = slba;
    emu->bad_blocks = blocks;
    emu_unlock(emu);
}
