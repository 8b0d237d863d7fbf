/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers and life of the emulated controller (base spec 3.1.3, 3.5, 3.6, 3.7).
 *
 *   DISABLED --CC.EN--> ENABLING --enable_ns--> READY --CC.EN=0--> DISABLING --disable_ns--> DISABLED
 *       \________________ cannot start ________> FAILED (CSTS.CFS) ---CC.EN=0---^
 *
 * READY with a fatal error is FAILED too. Nothing is fetched or posted except in READY.
 */
#include "nvme_emu_impl.h"
#include <string.h>

#define CC_EN_OF(cc) ((cc)&NVME_CC_EN)
#define CC_CSS_OF(cc) ((cc) >> 4 & 0x7)
#define CC_MPS_OF(cc) ((cc) >> 7 & 0xf)
#define CC_AMS_OF(cc) ((cc) >> 11 & 0x7)
#define CC_SHN_OF(cc) ((cc) >> 14 & 0x3)
#define CC_FIXED 0x00003ff0u /* CSS, MPS, AMS: not to be changed while enabled */
#define CSTS_SHST(x) ((uint32_t)(x) << 2)
#define AQA_MASK 0x0fff0fffu

static uint32_t *reg_at(const struct nvme_emu *emu, unsigned at)
{
    return (uint32_t *)(void *)((char *)emu->dev.regs + at);
}

uint32_t emu_reg(const struct nvme_emu *emu, unsigned at)
{
    return __atomic_load_n(reg_at(emu, at), __ATOMIC_ACQUIRE);
}

static void reg_set(struct nvme_emu *emu, unsigned at, uint32_t value)
{
    __atomic_store_n(reg_at(emu, at), value, __ATOMIC_RELEASE);
}

static uint64_t reg64(const struct nvme_emu *emu, unsigned at)
{
    return emu_reg(emu, at) | (uint64_t)emu_reg(emu, at + 4) << 32;
}

static uint64_t cap(const struct nvme_emu *emu)
{
    const struct nvme_emu_cfg *c = &emu->cfg;

    return (uint64_t)(c->entries_max - 1) | 1u << 16 | (uint64_t)c->timeout << 24 |
           (uint64_t)c->dstrd << 32 | (uint64_t)c->css << 37 | (uint64_t)c->mpsmin << 48 |
           (uint64_t)c->mpsmax << 52;
}

static void csts_set(struct nvme_emu *emu, uint32_t csts)
{
    emu->csts = csts;
    reg_set(emu, NVME_REG_CSTS, csts);
}

/* Stores to registers that can only be read do nothing. */
static void read_only(struct nvme_emu *emu)
{
    const struct {
        unsigned at;
        uint32_t value;
    } regs[] = {{NVME_REG_CAP, (uint32_t)cap(emu)},
                {NVME_REG_CAP + 4, (uint32_t)(cap(emu) >> 32)},
                {NVME_REG_VS, emu->cfg.version},
                {NVME_REG_CSTS, emu->csts}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(regs); i++) {
        if (emu_reg(emu, regs[i].at) == regs[i].value)
            continue;
        emu->stats.reg_read_only++;
        reg_set(emu, regs[i].at, regs[i].value);
    }
}

/* What a reset makes of everything but the admin queue registers (base spec 3.7.2). */
static void reset_state(struct nvme_emu *emu)
{
    emu_queues_drop(emu);
    emu_doorbells_clear(emu);
    emu->queues = emu->cfg.queues;
    emu->shadow = emu->eventidx = 0;
    emu->vwc_on = emu->cfg.vwc;
    emu->aec = 0;
    emu->event_masked = 0;
    memset(emu->event_pending, 0, sizeof emu->event_pending);
}

/* As after power on; what is removed or dead stays so. */
void emu_power_on(struct nvme_emu *emu)
{
    reset_state(emu);
    memset((void *)(uintptr_t)emu->dev.regs, 0, NVME_REG_DOORBELL);
    emu->state = EMU_DISABLED;
    emu->cc = 0;
    reg_set(emu, NVME_REG_CAP, (uint32_t)cap(emu));
    reg_set(emu, NVME_REG_CAP + 4, (uint32_t)(cap(emu) >> 32));
    reg_set(emu, NVME_REG_VS, emu->cfg.version);
    csts_set(emu, emu->cfg.secondary_offline || emu->dead ? NVME_CSTS_CFS : 0);
    if (emu->removed)
        emu_remove(emu);
}

void emu_fatal(struct nvme_emu *emu, bool dead)
{
    emu->dead |= dead;
    emu->state = EMU_FAILED;
    csts_set(emu, emu->csts | NVME_CSTS_CFS);
}

/* PCI Express base spec 2.3.2: what nobody answers reads as ones. */
void emu_remove(struct nvme_emu *emu)
{
    emu_queues_drop(emu);
    emu->removed = true;
    memset((void *)(uintptr_t)emu->dev.regs, 0xff, emu->dev.regs_len);
}

/* 3.5.1: what has to be right when CC.EN is set. */
static bool can_start(struct nvme_emu *emu, uint32_t cc)
{
    unsigned mps = CC_MPS_OF(cc);
    uint32_t asqs = emu->aqa & 0xfff;
    uint32_t acqs = emu->aqa >> 16 & 0xfff;

    if (mps < emu->cfg.mpsmin || mps > emu->cfg.mpsmax)
        return false;
    emu->page = 4096u << mps;
    if (CC_AMS_OF(cc) != 0 || CC_CSS_OF(cc) != 0 || (emu->cfg.css & 1) == 0)
        return false;
    if ((emu->aqa & ~AQA_MASK) != 0 || asqs == 0 || acqs == 0)
        return false;
    return emu->asq != 0 && emu->acq != 0 && (emu->asq | emu->acq) % emu->page == 0;
}

static void start(struct nvme_emu *emu, uint32_t cc)
{
    emu->aqa = emu_reg(emu, NVME_REG_AQA);
    emu->asq = reg64(emu, NVME_REG_ASQ);
    emu->acq = reg64(emu, NVME_REG_ACQ);
    if (emu->dead || !can_start(emu, cc)) {
        emu->stats.reg_start += !emu->dead;
        emu->state = EMU_FAILED;
        csts_set(emu, NVME_CSTS_CFS);
        return;
    }
    emu->cq[0] = emu_cq_new(0, (emu->aqa >> 16 & 0xfff) + 1, emu->acq);
    emu->sq[0] = emu_sq_new(emu, 0, emu->cq[0]);
    if (emu->sq[0] == NULL) {
        emu_fatal(emu, false);
        return;
    }
    emu->sq[0]->size = (emu->aqa & 0xfff) + 1;
    emu->sq[0]->iova = emu->asq;
    emu->state = EMU_ENABLING;
    csts_set(emu, 0);
    emu->due = emu->now + emu->cfg.enable_ns;
}

/* 3.7.2: the queues are gone at once, CSTS.RDY follows. */
static void reset(struct nvme_emu *emu)
{
    emu->stats.resets++;
    reset_state(emu);
    emu->state = EMU_DISABLING;
    emu->due = emu->now + emu->cfg.disable_ns;
    csts_set(emu, emu->csts & (NVME_CSTS_RDY | (emu->dead ? NVME_CSTS_CFS : 0)));
}

/* 3.6: a shutdown notification, also to a controller that is not enabled. */
static void shutdown(struct nvme_emu *emu)
{
    /* Stores reach a device in their order: doorbells that stand now were rung before. */
    (void)emu_doorbells(emu, true);
    emu->stats.shutdowns++;
    emu->shut_due = emu->now + emu->cfg.shutdown_ns;
    csts_set(emu, (emu->csts & ~CSTS_SHST(3)) | CSTS_SHST(NVME_SHST_OCCURRING));
}

static void cc_changed(struct nvme_emu *emu, uint32_t cc)
{
    uint32_t old = emu->cc;

    emu->cc = cc;
    if (CC_EN_OF(old) && CC_EN_OF(cc) && ((old ^ cc) & CC_FIXED) != 0)
        emu->stats.reg_while_enabled++;
    if (CC_EN_OF(old) && !CC_EN_OF(cc)) {
        reset(emu);
    } else if (!CC_EN_OF(old) && CC_EN_OF(cc)) {
        if (emu->csts & NVME_CSTS_RDY)
            emu->stats.reg_enable++; /* it starts when it has stopped */
        else
            start(emu, cc);
    }
    if (CC_SHN_OF(old) == 0 && CC_SHN_OF(cc) != 0)
        shutdown(emu);
}

static void admin_regs(struct nvme_emu *emu)
{
    if (emu_reg(emu, NVME_REG_AQA) == emu->aqa && reg64(emu, NVME_REG_ASQ) == emu->asq &&
        reg64(emu, NVME_REG_ACQ) == emu->acq)
        return;
    emu->stats.reg_while_enabled++;
    emu->aqa = emu_reg(emu, NVME_REG_AQA);
    emu->asq = reg64(emu, NVME_REG_ASQ);
    emu->acq = reg64(emu, NVME_REG_ACQ);
}

/* What is due: true when the state changed. */
static bool transitions(struct nvme_emu *emu)
{
    if (emu->state == EMU_ENABLING && emu->now >= emu->due && !emu->mood.never_ready) {
        emu->state = EMU_READY;
        csts_set(emu, emu->csts | NVME_CSTS_RDY);
        return true;
    }
    if (emu->state == EMU_DISABLING && emu->now >= emu->due && !emu->mood.never_disabled) {
        emu->state = EMU_DISABLED;
        csts_set(emu, emu->csts & ~NVME_CSTS_RDY);
        if (CC_EN_OF(emu->cc))
            start(emu, emu->cc);
        return true;
    }
    if (emu->now >= emu->shut_due && !emu->mood.never_shut &&
        NVME_CSTS_SHST(emu->csts) == NVME_SHST_OCCURRING) {
        emu_medium_flush(emu, NULL, UINT64_MAX);
        csts_set(emu, (emu->csts & ~CSTS_SHST(3)) | CSTS_SHST(NVME_SHST_COMPLETE));
        return true;
    }
    return false;
}

unsigned emu_life(struct nvme_emu *emu)
{
    uint32_t cc = emu_reg(emu, NVME_REG_CC);
    unsigned work = 0;

    if (emu->removed) {
        if (cc != NVME_REG_GONE)
            memset((void *)(uintptr_t)emu->dev.regs, 0xff, emu->dev.regs_len);
        return 0;
    }
    read_only(emu);
    if (emu->cfg.secondary_offline)
        return 0;
    if (cc != emu->cc) {
        cc_changed(emu, cc);
        work++;
    } else if (CC_EN_OF(cc) && (emu->state == EMU_READY || emu->state == EMU_ENABLING)) {
        admin_regs(emu);
    }
    while (transitions(emu))
        work++;
    return work;
}
