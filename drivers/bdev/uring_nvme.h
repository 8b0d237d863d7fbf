/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe commands through the kernel's driver: /dev/ngXnY and IORING_OP_URING_CMD (Linux 5.19, with
 * registered buffers and polling 6.1), which leave file systems, the block layer and its scheduler out.
 *
 * A command carries at most ns->max_bytes; a longer request goes out piece by piece, the next when the
 * one before is done.
 */
#ifndef DRIVERS_BDEV_URING_NVME_H
#define DRIVERS_BDEV_URING_NVME_H

#include <headgate/bdev.h>
#include <linux/nvme_ioctl.h>
#include <sys/uio.h>

struct nvme_id_ctrl;
struct nvme_id_ns;
struct nvme_dsm_range;

struct uring_nvme_ns {
    uint32_t nsid;
    unsigned block_shift; /* block size, power of two */
    uint64_t blocks;
    uint32_t max_bytes; /* one command moves at most; multiple of the block size */
    bool volatile_cache;
    bool write_zeroes, deallocate; /* the controller has the command */
    char model[41], serial[21], firmware[9];
};

/* From what identify says; ns->max_bytes comes as what the kernel's queue takes, 0: unknown. 0, or -EINVAL
 * with a sentence that names `name`: formats with metadata, blocks other than 512 and 4096. */
int uring_nvme_parse(const struct nvme_id_ctrl *ctrl, const struct nvme_id_ns *id,
                     struct uring_nvme_ns *ns, const char *name, struct hg_err *err);

/* Asks the character device; blocks. 0, or negative errno with a sentence. */
int uring_nvme_identify(int fd, const char *name, struct uring_nvme_ns *ns, struct hg_err *err);

/* What is left of a request. */
struct uring_nvme_rest {
    const struct hg_bdev_io *io;
    uint64_t done; /* bytes */
    const struct iovec *vec;
    unsigned n_vec;
    struct nvme_dsm_range *range; /* memory for a deallocate, until the command is done */
};

/* Builds the command for the next piece; returns its bytes (0 for a flush). *op: the ioctl number that
 * goes with it. */
uint64_t uring_nvme_build(const struct uring_nvme_ns *ns, const struct uring_nvme_rest *rest,
                          struct nvme_uring_cmd *cmd, uint32_t *op);

/* The status of a completion as negative errno: that of the kernel as it is, NVMe status codes (base spec
 * 4.2.3) as the NVMe driver takes them. */
int uring_nvme_status(int res);

#endif /* DRIVERS_BDEV_URING_NVME_H */
