/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that does anything to the emulated controller: whatever it stores to registers, doorbells and
 * queues, the controller reaches only what is mapped and is back after a power cut.
 *
 * Input: a byte of configuration, then records of 68 bytes: kind, queue, two bytes of value, and an
 * entry of 64 bytes. Bit 7 of the kind puts the low 16 bits of both data pointers behind the address of
 * the data, which itself holds the rest of the input, for lists and ranges.
 */
#include "../../drivers/bdev/nvme/nvme_emu.h"
#include "../../drivers/bdev/nvme/nvme_spec.h"
#include <stdlib.h>
#include <string.h>

#define ENTRIES 16u
#define QUEUES 3u
#define DATA 131072u
#define RECORD 68u
#define CC_ON (NVME_CC_EN | NVME_CC_IOSQES | NVME_CC_IOCQES)

enum { SUBMIT, DOORBELL, REGISTER, ENABLE, POWER_CUT, FAULT, TIME, UNMAP, KINDS };

struct host {
    struct nvme_emu *emu;
    struct nvme_dev *dev;
    hg_ns now;
    struct nvme_sqe *sq[QUEUES];
    struct nvme_cqe *cq[QUEUES];
    uint64_t sq_iova[QUEUES], cq_iova[QUEUES];
    uint32_t tail[QUEUES];
    uint8_t *data;
    uint64_t data_iova;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void run(struct host *h)
{
    for (unsigned i = 0; i < 8; i++)
        (void)nvme_emu_poll(h->emu, h->now += 1000);
}

static void ring(struct host *h, unsigned doorbell, uint32_t value)
{
    nvme_reg_write32(h->dev, NVME_REG_DOORBELL + 4 * doorbell, value);
}

static void submit(struct host *h, unsigned q, const struct nvme_sqe *sqe)
{
    h->sq[q][h->tail[q]] = *sqe;
    h->tail[q] = (h->tail[q] + 1) % ENTRIES;
    ring(h, 2 * q, h->tail[q]);
    run(h);
    ring(h, 2 * q + 1, h->tail[q]); /* as if all had come */
}

static void create(struct host *h, unsigned q)
{
    struct nvme_sqe sqe = {.opc = NVME_ADM_CREATE_CQ,
                           .cid = hg_le16_put(0xff00),
                           .dptr = {hg_le64_put(h->cq_iova[q])},
                           .cdw10 = hg_le32_put((ENTRIES - 1) << 16 | q),
                           .cdw11 = hg_le32_put(q << 16 | NVME_QUEUE_PC)};
    struct nvme_sqe cq = sqe;

    cq.cdw11 = hg_le32_put(NVME_QUEUE_PC);
    submit(h, 0, &cq);
    sqe.opc = NVME_ADM_CREATE_SQ;
    sqe.dptr[0] = hg_le64_put(h->sq_iova[q]);
    submit(h, 0, &sqe);
}

static void enable(struct host *h)
{
    nvme_reg_write32(h->dev, NVME_REG_CC, 0);
    run(h);
    memset(h->tail, 0, sizeof h->tail);
    nvme_reg_write32(h->dev, NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
    nvme_reg_write64(h->dev, NVME_REG_ASQ, h->sq_iova[0]);
    nvme_reg_write64(h->dev, NVME_REG_ACQ, h->cq_iova[0]);
    nvme_reg_write32(h->dev, NVME_REG_CC, CC_ON);
    run(h);
    for (unsigned q = 1; q < QUEUES; q++)
        create(h, q);
}

static void start(struct host *h, uint8_t flags)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(262144, (flags & 1) != 0 ? 512 : 4096);

    memset(h, 0, sizeof *h);
    cfg.dbbuf = (flags & 2) != 0;
    cfg.sgls = (flags >> 2) % 3;
    cfg.vwc = (flags & 16) != 0;
    cfg.mdts = (flags & 32) != 0 ? 2 : 0;
    cfg.cache_bytes = 65536;
    cfg.entries_max = 64;
    cfg.ns[1] = (struct nvme_emu_ns){.size = 65536, .block = 512, .read_only = true};
    cfg.n_ns = 2;
    must(nvme_emu_open(&cfg, &h->emu, NULL) == 0);
    h->dev = nvme_emu_dev(h->emu);
    for (unsigned q = 0; q < QUEUES; q++) {
        h->sq[q] = h->dev->ops->dma_alloc(h->dev, 4096, &h->sq_iova[q]);
        h->cq[q] = h->dev->ops->dma_alloc(h->dev, 4096, &h->cq_iova[q]);
        must(h->sq[q] != NULL && h->cq[q] != NULL);
    }
    h->data = h->dev->ops->dma_alloc(h->dev, DATA, &h->data_iova);
    must(h->data != NULL);
    enable(h);
}

static void fault(struct host *h, const uint8_t *r)
{
    struct nvme_emu_fault f = {.kind = r[4] % NVME_EMU_FAULT_KINDS,
                               .admin = (r[5] & 1) != 0,
                               .opc = NVME_EMU_ANY,
                               .first = 1 + r[6] % 4,
                               .last = r[7],
                               .status = (uint16_t)((r[8] | r[9] << 8) & ~NVME_CQE_PHASE),
                               .delay_ns = r[10] * 1000u};

    nvme_emu_fault_clear(h->emu);
    (void)nvme_emu_fault_add(h->emu, &f);
    nvme_emu_mood(h->emu, &(struct nvme_emu_mood){.reorder = r[11] & 1});
}

static void record(struct host *h, const uint8_t *r)
{
    static const unsigned regs[] = {NVME_REG_CAP, NVME_REG_CC,  NVME_REG_CSTS, NVME_REG_AQA,
                                    NVME_REG_ASQ, NVME_REG_ACQ, NVME_REG_VS,   NVME_REG_INTMS};
    uint32_t value = (uint32_t)(r[2] | r[3] << 8);
    struct nvme_sqe sqe;

    memcpy(&sqe, r + 4, sizeof sqe);
    for (unsigned i = 0; (r[0] & 0x80) != 0 && i < 2; i++)
        sqe.dptr[i] = hg_le64_put(h->data_iova + (hg_le64_get(sqe.dptr[i]) & 0xffff));
    switch ((r[0] & 0x7f) % KINDS) {
    case SUBMIT:
        submit(h, r[1] % QUEUES, &sqe);
        break;
    case DOORBELL:
        ring(h, r[1] % 24, value);
        break;
    case REGISTER:
        nvme_reg_write32(h->dev, regs[r[1] % HG_ARRAY_LEN(regs)],
                         value | (uint32_t)r[4] << 16 | (uint32_t)r[5] << 24);
        break;
    case ENABLE:
        enable(h);
        break;
    case POWER_CUT:
        nvme_emu_power_cut(h->emu, value);
        break;
    case FAULT:
        fault(h, r);
        break;
    case TIME:
        h->now += value * 1000u;
        break;
    default:
        h->dev->ops->dma_unmap(h->dev, h->data + 4096 * r[1], 4096); /* never mapped by itself */
        break;
    }
    run(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nvme_emu_stats before, after;
    struct host h;

    if (size < 1 || size > 8192)
        return 0;
    start(&h, data[0]);
    memcpy(h.data + 32768, data, size);
    for (data++, size--; size >= RECORD; data += RECORD, size -= RECORD)
        record(&h, data);
    /* Whatever was done: after a power cut it works. */
    nvme_emu_power_cut(h.emu, 1);
    nvme_emu_fault_clear(h.emu);
    run(&h);
    enable(&h);
    must((nvme_reg_read32(h.dev, NVME_REG_CSTS) & (NVME_CSTS_RDY | NVME_CSTS_CFS)) ==
         NVME_CSTS_RDY);
    nvme_emu_stats(h.emu, &before);
    submit(&h, 1, &(struct nvme_sqe){.opc = NVME_NVM_FLUSH, .nsid = hg_le32_put(NVME_NSID_ALL)});
    for (unsigned i = 0; i < 8; i++)
        run(&h);
    nvme_emu_stats(h.emu, &after);
    must(after.flushes == before.flushes + 1);
    nvme_emu_close(h.emu);
    return 0;
}
