/* SPDX-License-Identifier: BSD-3-Clause */
/* What status codes mean to the owner of a request: base spec 4.2.3, NVM spec 3.1. */
#include "nvme_ctrl.h"
#include <errno.h>

struct row {
    uint8_t sct, sc;
    bool retry; /* unless the controller says do not */
    int error;
    enum hg_bdev_error kind;
    const char *text;
};

static const struct row rows[] = {
    {NVME_SCT_GENERIC, NVME_SC_INVALID_OPCODE, false, -EOPNOTSUPP, HG_BDEV_ERR_OTHER,
     "no such command"},
    {NVME_SCT_GENERIC, NVME_SC_INVALID_FIELD, false, -EIO, HG_BDEV_ERR_OTHER,
     "a field of the command is invalid"},
    {NVME_SCT_GENERIC, NVME_SC_CID_CONFLICT, false, -EIO, HG_BDEV_ERR_PROTOCOL,
     "the command identifier is in use"},
    {NVME_SCT_GENERIC, NVME_SC_DATA_TRANSFER_ERROR, true, -EIO, HG_BDEV_ERR_OTHER,
     "memory could not be reached"},
    {NVME_SCT_GENERIC, NVME_SC_POWER_LOSS_ABORT, true, -EIO, HG_BDEV_ERR_OTHER,
     "aborted by a loss of power"},
    {NVME_SCT_GENERIC, NVME_SC_INTERNAL, true, -EIO, HG_BDEV_ERR_OTHER, "internal error"},
    {NVME_SCT_GENERIC, NVME_SC_ABORT_REQUESTED, true, -ETIMEDOUT, HG_BDEV_ERR_ABORTED,
     "aborted on request"},
    {NVME_SCT_GENERIC, NVME_SC_ABORT_SQ_DELETION, true, -EIO, HG_BDEV_ERR_OTHER,
     "the queue was deleted"},
    {NVME_SCT_GENERIC, NVME_SC_INVALID_NS, false, -ENODEV, HG_BDEV_ERR_OTHER,
     "the namespace is not there"},
    {NVME_SCT_GENERIC, NVME_SC_INVALID_PRP_OFFSET, false, -EIO, HG_BDEV_ERR_OTHER,
     "a PRP has an offset where none may be"},
    {NVME_SCT_GENERIC, NVME_SC_NS_WRITE_PROTECTED, false, -EROFS, HG_BDEV_ERR_OTHER,
     "the namespace is write protected"},
    {NVME_SCT_GENERIC, NVME_SC_LBA_OUT_OF_RANGE, false, -EIO, HG_BDEV_ERR_OTHER,
     "blocks beyond the end of the namespace"},
    {NVME_SCT_GENERIC, NVME_SC_CAPACITY_EXCEEDED, false, -ENOSPC, HG_BDEV_ERR_OTHER,
     "the capacity of the namespace is exceeded"},
    {NVME_SCT_GENERIC, NVME_SC_NS_NOT_READY, true, -EIO, HG_BDEV_ERR_OTHER,
     "the namespace is not ready"},
    {NVME_SCT_SPECIFIC, NVME_SCS_WRITE_TO_RO, false, -EROFS, HG_BDEV_ERR_OTHER,
     "the blocks are read-only"},
    {NVME_SCT_MEDIA, NVME_SCM_WRITE_FAULT, true, -EIO, HG_BDEV_ERR_MEDIA, "write fault"},
    {NVME_SCT_MEDIA, NVME_SCM_UNRECOVERED_READ, true, -ENODATA, HG_BDEV_ERR_MEDIA,
     "the medium cannot be read"},
    {NVME_SCT_MEDIA, NVME_SCM_GUARD_CHECK, true, -ENODATA, HG_BDEV_ERR_MEDIA,
     "a block fails its check"},
    {NVME_SCT_MEDIA, NVME_SCM_DEALLOCATED, false, -ENODATA, HG_BDEV_ERR_MEDIA,
     "the block was deallocated"},
};

struct nvme_verdict nvme_status_verdict(uint16_t status)
{
    unsigned sct = NVME_STATUS_SCT(status);
    unsigned sc = NVME_STATUS_SC(status);
    bool may_retry = (status & NVME_STATUS_DNR) == 0;

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        if (rows[i].sct == sct && rows[i].sc == sc)
            return (struct nvme_verdict){rows[i].error, rows[i].retry && may_retry, rows[i].kind,
                                         rows[i].text};
    return (struct nvme_verdict){-EIO, sct != NVME_SCT_SPECIFIC && may_retry,
                                 sct == NVME_SCT_MEDIA ? HG_BDEV_ERR_MEDIA : HG_BDEV_ERR_OTHER,
                                 sct == NVME_SCT_MEDIA ? "media or data integrity error"
                                                       : "an error of another kind"};
}
