/* SPDX-License-Identifier: BSD-3-Clause */
/* Identify of the emulated controller (base spec 5.17, NVM spec 4.1.5). */
#include "nvme_emu_impl.h"
#include <stdio.h>
#include <string.h>

#define CNS_NS_DESCRIPTORS 0x03u
#define NSATTR_AT 99u /* byte of struct nvme_id_ns: bit 0 write protected */

/* ASCII, padded with spaces, without a NUL. */
static void pad(char *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    memset(field, ' ', size);
    memcpy(field, text, len < size ? len : size);
}

struct emu_ns *emu_ns(struct nvme_emu *emu, uint32_t nsid)
{
    if (nsid == 0 || nsid > emu->cfg.n_ns || emu->ns[nsid - 1].cfg.inactive)
        return NULL;
    return &emu->ns[nsid - 1];
}

static void controller(const struct nvme_emu *emu, struct nvme_id_ctrl *id)
{
    const struct nvme_emu_cfg *c = &emu->cfg;

    id->vid = hg_le16_put(c->pci_vendor);
    id->ssvid = hg_le16_put(c->pci_vendor);
    pad(id->sn, sizeof id->sn, c->serial);
    pad(id->mn, sizeof id->mn, "Headgate emulated NVMe controller");
    pad(id->fr, sizeof id->fr, "1.0");
    id->mdts = c->mdts;
    id->cntlid = hg_le16_put(1);
    id->ver = hg_le32_put(c->version);
    id->rtd3e = hg_le32_put((uint32_t)(c->shutdown_ns / 1000));
    id->oaes = hg_le32_put(NVME_AEC_NS_ATTR);
    id->oacs = hg_le16_put(c->dbbuf ? NVME_OACS_DBBUF : 0);
    id->acl = 3;
    id->aerl = c->aerl;
    id->lpa = 0x4; /* get log page has offsets and long lengths */
    id->elpe = EMU_ERROR_LOG - 1;
    id->wctemp = hg_le16_put(273 + 70);
    id->cctemp = hg_le16_put(273 + 85);
    id->sqes = 0x66;
    id->cqes = 0x44;
    id->nn = hg_le32_put(c->n_ns);
    id->oncs = hg_le16_put(
        (uint16_t)((c->dsm ? NVME_ONCS_DSM : 0) | (c->write_zeroes ? NVME_ONCS_WRITE_ZEROES : 0)));
    id->vwc = c->vwc ? 0x7 : 0; /* flush takes NVME_NSID_ALL */
    id->sgls = hg_le32_put(c->sgls);
    snprintf(id->subnqn, sizeof id->subnqn, "nqn.2026-01.invalid.headgate:emulated:%s", c->serial);
}

/* Format 0 is 512, 1 is 4096 bytes; 2 is the same as the one in use with metadata. */
static void namespace(const struct emu_ns *ns, unsigned nsid, uint8_t dlfeat, struct nvme_id_ns *id)
{
    uint8_t shift = ns->cfg.block == 4096 ? 12 : 9;

    id->nsze = id->ncap = id->nuse = hg_le64_put(ns->blocks);
    id->nlbaf = 2; /* 0's based */
    id->flbas = ns->cfg.metadata != 0 ? 2 : ns->cfg.block == 4096;
    id->mc = ns->cfg.metadata != 0 ? 0x2 : 0;
    id->dlfeat = dlfeat;
    id->rsvd34[NSATTR_AT - offsetof(struct nvme_id_ns, rsvd34)] = ns->cfg.read_only;
    memcpy(id->eui64, "\x02\x00\x00\xff\xfe\x00\x00", 7);
    id->eui64[7] = (uint8_t)nsid;
    memcpy(id->nguid + 8, id->eui64, sizeof id->eui64);
    id->lbaf[0].lbads = 9;
    id->lbaf[1].lbads = 12;
    id->lbaf[2].lbads = shift;
    id->lbaf[2].ms = hg_le16_put(ns->cfg.metadata != 0 ? ns->cfg.metadata : 8);
}

/* 5.17.2.3: type 1 is the EUI-64. */
static void descriptors(unsigned nsid, uint8_t *page)
{
    memcpy(page, "\x01\x08\x00\x00\x02\x00\x00\xff\xfe\x00\x00", 11);
    page[11] = (uint8_t)nsid;
}

static void active(struct nvme_emu *emu, uint32_t above, hg_le32 *list)
{
    unsigned n = 0;

    for (uint32_t nsid = 1; nsid <= emu->cfg.n_ns; nsid++) {
        if (nsid > above && emu_ns(emu, nsid) != NULL)
            list[n++] = hg_le32_put(nsid);
    }
}

static void limits(const struct nvme_emu *emu, struct nvme_id_ctrl_nvm *id)
{
    id->wzsl = emu->cfg.wzsl;
    id->dmrl = emu->cfg.dmrl;
}

static uint16_t fill(struct nvme_emu *emu, unsigned cns, uint32_t nsid, unsigned csi, void *page)
{
    const struct emu_ns *ns = emu_ns(emu, nsid);

    switch (cns) {
    case NVME_CNS_CTRL:
        controller(emu, page);
        return EMU_OK;
    case NVME_CNS_NS:
    case CNS_NS_DESCRIPTORS:
        if (nsid == 0 || nsid > emu->cfg.n_ns)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_NS);
        if (ns != NULL && cns == NVME_CNS_NS)
        namespace(ns, nsid, emu->cfg.dlfeat, page);
        else if (ns != NULL) descriptors(nsid, page);
        return EMU_OK; /* of an inactive one: zeroes */
    case NVME_CNS_NS_LIST:
        if (nsid >= NVME_NSID_ALL - 1)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_NS);
        active(emu, nsid, page);
        return EMU_OK;
    case NVME_CNS_CTRL_NVM:
        if (emu->cfg.version < 0x20000 || csi != 0)
            return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
        limits(emu, page);
        return EMU_OK;
    default:
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    }
}

uint16_t emu_identify(struct nvme_emu *emu, struct emu_req *req)
{
    _Alignas(8) uint8_t page[4096] = {0};
    uint16_t rc = fill(emu, hg_le32_get(req->sqe.cdw10) & 0xff, hg_le32_get(req->sqe.nsid),
                       hg_le32_get(req->sqe.cdw11) >> 24, page);

    if (rc != EMU_OK)
        return rc;
    rc = emu_map(emu, req, sizeof page);
    if (rc == EMU_OK)
        emu_copy_out(emu, page, sizeof page);
    return rc;
}
