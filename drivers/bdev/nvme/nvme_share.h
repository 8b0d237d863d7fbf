/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the controllers of one process share: the mappings of VFIO's one container, and which PCI
 * functions are open. Kept in a memzone, where EAL keeps what belongs to it; EAL must run.
 *
 * One thread at a time opens and closes controllers; mapping is for any thread.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_SHARE_H
#define DRIVERS_BDEV_NVME_NVME_SHARE_H

#include "nvme_name.h"
#include <stdbool.h>

#define NVME_SHARE_OPEN_MAX 64u /* controllers of a process */
#define NVME_SHARE_MAPS_MAX 64u /* ranges besides EAL's own memory */

/* Takes the function for this process. -EBUSY: it has it already; -ENOSPC, -ENOMEM. */
int nvme_share_claim(const char *address, struct hg_err *err);
void nvme_share_release(const char *address);
bool nvme_share_claimed(const char *address);

/* Lets all controllers reach [base, base + len), multiples of 4096, at *iova. EAL's memory they
 * reach anyway. The same range may be mapped several times and is then unmapped as often; -EINVAL
 * when it overlaps another one or begins or ends in EAL's memory; -ENOSPC beyond
 * NVME_SHARE_MAPS_MAX. */
int nvme_share_map(void *base, size_t len, uint64_t *iova);
void nvme_share_unmap(void *base, size_t len);

#endif /* DRIVERS_BDEV_NVME_NVME_SHARE_H */
