/* SPDX-License-Identifier: BSD-3-Clause */
/* A host that drives the emulated controller by hand: registers, queues and entries as a test says,
 * with virtual time. */
#ifndef HEADGATE_TESTS_NVME_EMU_RIG_H
#define HEADGATE_TESTS_NVME_EMU_RIG_H

#include "nvme_emu.h"
#include "nvme_spec.h"

#define RIG_ENTRIES 32u
#define RIG_QUEUES 4u
#define RIG_DATA (1u << 20)
#define RIG_SIZE (8u << 20) /* bytes of the default namespace */

struct rig_queue {
    struct nvme_sqe *sq;
    struct nvme_cqe *cq;
    uint64_t sq_iova, cq_iova;
    uint32_t tail, head, size;
    uint16_t phase;
};

struct rig {
    struct nvme_emu *emu;
    struct nvme_dev *dev;
    hg_ns now;
    uint16_t cid;
    struct nvme_sqe sqe;
    struct rig_queue q[RIG_QUEUES];
    uint8_t *data; /* RIG_DATA bytes */
    uint64_t data_iova;
    unsigned dstrd;
    hg_le32 *shadow, *eventidx; /* NULL: not used */
};

/* Emulator with its memory; registers as after power on. */
void rig_open(struct rig *r, const struct nvme_emu_cfg *cfg);
/* Demands that the controller counted no errors of the driver. */
void rig_close(struct rig *r);
/* The same, but errors are allowed. */
void rig_close_dirty(struct rig *r);
/* Lets the hardware run until it is idle. */
void rig_run(struct rig *r);

void rig_set_admin(struct rig *r);
void rig_write_cc(struct rig *r, uint32_t cc);
uint32_t rig_csts(struct rig *r);
/* Admin queues and CC.EN, until CSTS.RDY. */
void rig_enable(struct rig *r);
void rig_disable(struct rig *r);
/* rig_open(), rig_enable(), I/O queue 1. */
void rig_start(struct rig *r, const struct nvme_emu_cfg *cfg);
uint16_t rig_create_queue(struct rig *r, unsigned qid);

void rig_ring(struct rig *r, unsigned qid, bool cq, uint32_t value);
/* Puts the entry into the queue under a new identifier, which it returns; rings nothing. */
uint16_t rig_put(struct rig *r, unsigned qid, const struct nvme_sqe *sqe);
/* rig_put() and the doorbell. */
uint16_t rig_send(struct rig *r, unsigned qid, const struct nvme_sqe *sqe);
/* The next completion, and rings the head; false: there is none. */
bool rig_reap(struct rig *r, unsigned qid, struct nvme_cqe *cqe);
/* Sends, runs and reaps one: its status without phase and more bit. 0xffff: none came. */
uint16_t rig_do(struct rig *r, unsigned qid, const struct nvme_sqe *sqe, uint32_t *dw0);

/* Entries, in r->sqe, with data at r->data. */
struct nvme_sqe *rig_admin(struct rig *r, uint8_t opc, uint32_t cdw10, uint32_t cdw11);
struct nvme_sqe *rig_rw(struct rig *r, uint8_t opc, uint64_t slba, uint32_t blocks);
struct nvme_sqe *rig_flush(struct rig *r);

uint16_t rig_status(const struct nvme_cqe *cqe);
#define RIG_GENERIC(sc) NVME_STATUS_MAKE(NVME_SCT_GENERIC, sc)
#define RIG_GENERIC_DNR(sc) (RIG_GENERIC(sc) | NVME_STATUS_DNR)
#define RIG_SPECIFIC_DNR(sc) (NVME_STATUS_MAKE(NVME_SCT_SPECIFIC, sc) | NVME_STATUS_DNR)

struct nvme_emu_stats rig_stats(struct rig *r);

#endif /* HEADGATE_TESTS_NVME_EMU_RIG_H */
