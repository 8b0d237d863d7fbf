/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands from (buffers, block, count): submission entries, PRP lists (base spec 4.1.1) and SGLs
 * (4.1.2). Pure functions on the caller's memory; they neither allocate nor keep anything, and know
 * no queue. Every function that starts a command clears the entry; the command identifier is put in
 * by the queue. Addresses are I/O addresses: what the device sees.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_CMD_H
#define DRIVERS_BDEV_NVME_NVME_CMD_H

#include "nvme_spec.h"
#include <stdbool.h>

#define NVME_PAGE 4096u /* the memory page size we set (CC.MPS = 0) */
#define NVME_PRPS_PER_PAGE (NVME_PAGE / 8u)

/* One contiguous piece of a buffer. */
struct nvme_seg {
    uint64_t iova;
    uint32_t len; /* bytes, not 0 */
};

/* Memory for PRP entries or SGL descriptors: whole pages, page-aligned, contiguous for the device. */
struct nvme_list {
    void *mem;
    uint64_t iova;
    unsigned pages;
};

/* How many bytes from the start of segs[0..n) one command with PRPs can carry, at most `max`: PRPs
 * describe whole pages, so only the first piece may begin within a page and only the last may end
 * within one; pieces that adjoin each other count as one. Rounded down to a multiple of `block` (a
 * power of two <= NVME_PAGE); 0 when not even one block can be described, e.g. because of an address
 * that is no multiple of four. */
uint32_t nvme_prp_fit(const struct nvme_seg *segs, unsigned n, uint32_t max, uint32_t block);

/* Describes all of segs[0..n) by PRP1, PRP2 and, beyond two pages, entries in `list`, whose pages are
 * chained by their last entries. -EINVAL: not to be described by PRPs (see nvme_prp_fit());
 * -E2BIG: the list has too few pages. The entry is then unchanged. */
int nvme_prp_fill(struct nvme_sqe *sqe, const struct nvme_seg *segs, unsigned n,
                  const struct nvme_list *list);

/* The same by an SGL, for pieces of any alignment: one descriptor in the entry, or a list in one
 * segment. -E2BIG: more pieces than the list has room for. */
int nvme_sgl_fill(struct nvme_sqe *sqe, const struct nvme_seg *segs, unsigned n,
                  const struct nvme_list *list);

/* A range of blocks of one namespace. */
struct nvme_lbas {
    uint32_t nsid;
    uint64_t slba;
    uint32_t blocks; /* 1..NVME_RW_BLOCKS_MAX */
};

/* NVM spec 3.2: the data pointer of read and write is filled afterwards by nvme_prp_fill(). */
void nvme_cmd_read(struct nvme_sqe *sqe, const struct nvme_lbas *at);
void nvme_cmd_write(struct nvme_sqe *sqe, const struct nvme_lbas *at, bool fua);
void nvme_cmd_write_zeroes(struct nvme_sqe *sqe, const struct nvme_lbas *at, bool fua);
void nvme_cmd_flush(struct nvme_sqe *sqe, uint32_t nsid);
/* Deallocates n ranges (1..NVME_DSM_RANGES_MAX) that the caller has put at `iova` (struct
 * nvme_dsm_range, within one page). */
void nvme_cmd_deallocate(struct nvme_sqe *sqe, uint32_t nsid, unsigned n, uint64_t iova);

/* Base spec 5: admin commands. `iova` is the address of a page of data. */
void nvme_cmd_identify(struct nvme_sqe *sqe, enum nvme_cns cns, uint32_t nsid, uint64_t iova);
void nvme_cmd_set_feature(struct nvme_sqe *sqe, enum nvme_feature feature, uint32_t cdw11);
void nvme_cmd_get_feature(struct nvme_sqe *sqe, enum nvme_feature feature);
/* bytes: 4..4096, a multiple of 4. */
void nvme_cmd_get_log(struct nvme_sqe *sqe, enum nvme_log page, uint32_t bytes, uint64_t iova);
/* qid: 1..65535; entries: 2..65536. Without interrupts. */
void nvme_cmd_create_cq(struct nvme_sqe *sqe, uint16_t qid, uint32_t entries, uint64_t iova);
/* Completions go to the completion queue of the same number. */
void nvme_cmd_create_sq(struct nvme_sqe *sqe, uint16_t qid, uint32_t entries, uint64_t iova);
void nvme_cmd_delete_cq(struct nvme_sqe *sqe, uint16_t qid);
void nvme_cmd_delete_sq(struct nvme_sqe *sqe, uint16_t qid);
void nvme_cmd_abort(struct nvme_sqe *sqe, uint16_t sqid, uint16_t cid);
void nvme_cmd_async_event(struct nvme_sqe *sqe);
/* Shadow doorbells and event indices, one page each (base spec 5.8). */
void nvme_cmd_dbbuf(struct nvme_sqe *sqe, uint64_t shadow, uint64_t eventidx);

#endif /* DRIVERS_BDEV_NVME_NVME_CMD_H */
