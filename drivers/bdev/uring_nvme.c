/* SPDX-License-Identifier: BSD-3-Clause */
/* NVMe commands for the kernel's passthrough: see uring_nvme.h. Sections as in nvme/nvme_spec.h. */
#include "uring_nvme.h"
#include "nvme/nvme_ctrl.h"
#include "sysfs.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define MPS_MIN 4096u /* MDTS counts in the smallest page, which all there are have so */
#define MAX_BYTES ((uint32_t)1 << 20) /* where neither controller nor kernel tell a limit */

/* ---- identify ---- */

/* Text of the specification: padded with spaces, not terminated. */
static void text(char *out, const char *in, size_t len)
{
    while (len > 0 && (in[len - 1] == ' ' || in[len - 1] == '\0'))
        len--;
    memcpy(out, in, len);
    out[len] = '\0';
}

static uint32_t max_bytes(const struct nvme_id_ctrl *ctrl, uint32_t queue_bytes)
{
    uint64_t max = ctrl->mdts != 0 && ctrl->mdts < 20 ? (uint64_t)MPS_MIN << ctrl->mdts : MAX_BYTES;

    if (queue_bytes >= MPS_MIN && queue_bytes < max)
        max = queue_bytes;
    return (uint32_t)(max < MAX_BYTES ? max - max % MPS_MIN : MAX_BYTES);
}

int uring_nvme_parse(const struct nvme_id_ctrl *ctrl, const struct nvme_id_ns *id,
                     struct uring_nvme_ns *ns, const char *name, struct hg_err *err)
{
    const struct nvme_lbaf *format = &id->lbaf[NVME_FLBAS_INDEX(id->flbas)];

    if (format->lbads != 9 && format->lbads != 12)
        return hg_fail(err, -EINVAL,
                       "device %s has blocks of 2^%u bytes; only 512 and 4096 are used: see "
                       "'nvme format --lbaf'",
                       name, format->lbads);
    if (hg_le16_get(format->ms) != 0)
        return hg_fail(err, -EINVAL,
                       "device %s is formatted with %u bytes of metadata for each block; format it "
                       "without ('nvme format --lbaf')",
                       name, hg_le16_get(format->ms));
    ns->block_shift = format->lbads;
    ns->blocks = hg_le64_get(id->nsze);
    ns->max_bytes = max_bytes(ctrl, ns->max_bytes);
    ns->volatile_cache = (ctrl->vwc & 1) != 0;
    ns->write_zeroes = (hg_le16_get(ctrl->oncs) & NVME_ONCS_WRITE_ZEROES) != 0;
    ns->deallocate = (hg_le16_get(ctrl->oncs) & NVME_ONCS_DSM) != 0;
    text(ns->model, ctrl->mn, sizeof ctrl->mn);
    text(ns->serial, ctrl->sn, sizeof ctrl->sn);
    text(ns->firmware, ctrl->fr, sizeof ctrl->fr);
    return 0;
}

static int identify(int fd, uint32_t nsid, enum nvme_cns cns, void *out)
{
    struct nvme_admin_cmd cmd = {.opcode = NVME_ADM_IDENTIFY,
                                 .nsid = nsid,
                                 .addr = (uintptr_t)out,
                                 .data_len = 4096,
                                 .cdw10 = cns};
    int rc = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd);

    return rc == 0 ? 0 : rc > 0 ? -EIO : -errno;
}

/* Bytes that the block device of the same namespace takes at once, also when each page of memory is a
 * piece of its own; 0: not found. The queue of the character device has the same limits. */
static uint32_t queue_limit(int fd)
{
    struct sysfs_disk disk;
    struct stat st;
    uint64_t by_bytes, by_pages;
    dev_t dev;

    if (fstat(fd, &st) != 0 || (dev = sysfs_disk_of_nvme("/sys", st.st_rdev)) == 0)
        return 0;
    sysfs_disk("/sys", dev, &disk);
    by_bytes = (uint64_t)disk.max_kib * 1024;
    by_pages = disk.max_segments > 1 ? (uint64_t)(disk.max_segments - 1) * MPS_MIN : by_bytes;
    by_bytes = by_pages < by_bytes ? by_pages : by_bytes;
    return by_bytes < MAX_BYTES ? (uint32_t)by_bytes : MAX_BYTES;
}

int uring_nvme_identify(int fd, const char *name, struct uring_nvme_ns *ns, struct hg_err *err)
{
    struct nvme_id_ctrl ctrl;
    struct nvme_id_ns id;
    int nsid = ioctl(fd, NVME_IOCTL_ID);
    int rc;

    if (nsid <= 0)
        return hg_fail(err, -ENOTBLK,
                       "device %s is neither a block device, nor a file, nor an NVMe namespace",
                       name);
    rc = identify(fd, 0, NVME_CNS_CTRL, &ctrl);
    if (rc == 0)
        rc = identify(fd, (uint32_t)nsid, NVME_CNS_NS, &id);
    if (rc != 0)
        return hg_fail(err, rc, "device %s: identify failed: %s", name, strerror(-rc));
    ns->nsid = (uint32_t)nsid;
    ns->max_bytes = queue_limit(fd);
    return uring_nvme_parse(&ctrl, &id, ns, name, err);
}

/* ---- commands: NVM spec 3.2 ---- */

static const uint8_t opcodes[HG_BDEV_OPS] = {
    [HG_BDEV_READ] = NVME_NVM_READ,      [HG_BDEV_WRITE] = NVME_NVM_WRITE,
    [HG_BDEV_FLUSH] = NVME_NVM_FLUSH,    [HG_BDEV_WRITE_ZEROES] = NVME_NVM_WRITE_ZEROES,
    [HG_BDEV_DEALLOCATE] = NVME_NVM_DSM,
};

/* The buffers that one command can take: one piece of the first, or as many whole ones as fit. */
static uint64_t set_data(const struct uring_nvme_ns *ns, const struct uring_nvme_rest *rest,
                         struct nvme_uring_cmd *cmd, uint32_t *op)
{
    uint64_t bytes = rest->vec[0].iov_len;
    unsigned n = 1;

    while (n < rest->n_vec && bytes + rest->vec[n].iov_len <= ns->max_bytes)
        bytes += rest->vec[n++].iov_len;
    if (n > 1) {
        *op = NVME_URING_CMD_IO_VEC;
        cmd->addr = (uintptr_t)rest->vec;
        cmd->data_len = n;
        return bytes;
    }
    bytes = bytes < ns->max_bytes ? bytes : ns->max_bytes;
    cmd->addr = (uintptr_t)rest->vec[0].iov_base;
    cmd->data_len = (uint32_t)bytes;
    return bytes;
}

static uint64_t set_range(const struct uring_nvme_ns *ns, const struct uring_nvme_rest *rest,
                          struct nvme_uring_cmd *cmd)
{
    uint64_t blocks = (rest->io->len - rest->done) >> ns->block_shift;

    blocks = blocks < UINT32_MAX ? blocks : UINT32_MAX;
    *rest->range = (struct nvme_dsm_range){
        .nlb = hg_le32_put((uint32_t)blocks),
        .slba = hg_le64_put((rest->io->offset + rest->done) >> ns->block_shift)};
    cmd->addr = (uintptr_t)rest->range;
    cmd->data_len = sizeof *rest->range;
    cmd->cdw10 = 0; /* number of ranges, 0's based */
    cmd->cdw11 = NVME_DSM_AD;
    return blocks << ns->block_shift;
}

uint64_t uring_nvme_build(const struct uring_nvme_ns *ns, const struct uring_nvme_rest *rest,
                          struct nvme_uring_cmd *cmd, uint32_t *op)
{
    const struct hg_bdev_io *io = rest->io;
    uint64_t slba = (io->offset + rest->done) >> ns->block_shift;
    uint64_t bytes;

    *cmd = (struct nvme_uring_cmd){.opcode = opcodes[io->op], .nsid = ns->nsid};
    *op = NVME_URING_CMD_IO;
    if (io->op == HG_BDEV_FLUSH)
        return 0;
    if (io->op == HG_BDEV_DEALLOCATE)
        return set_range(ns, rest, cmd);
    if (io->op == HG_BDEV_WRITE_ZEROES) {
        uint64_t max = (uint64_t)NVME_RW_BLOCKS_MAX << ns->block_shift;

        bytes = io->len - rest->done < max ? io->len - rest->done : max;
    } else {
        bytes = set_data(ns, rest, cmd, op);
    }
    cmd->cdw10 = (uint32_t)slba;
    cmd->cdw11 = (uint32_t)(slba >> 32);
    cmd->cdw12 = (uint32_t)(bytes >> ns->block_shift) - 1;
    if (io->fua && io->op != HG_BDEV_READ)
        cmd->cdw12 |= NVME_RW_FUA;
    return bytes;
}

/* ---- status: base spec 4.2.3 ---- */

int uring_nvme_status(int res)
{
    /* The kernel leaves the phase bit out. */
    return res <= 0 ? res : nvme_status_verdict((uint16_t)((unsigned)res << 1)).error;
}
