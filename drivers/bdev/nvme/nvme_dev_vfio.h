/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller that is a PCI function handed out by VFIO. */
#ifndef DRIVERS_BDEV_NVME_NVME_DEV_VFIO_H
#define DRIVERS_BDEV_NVME_NVME_DEV_VFIO_H

#include "nvme_dev.h"
#include "nvme_pci.h"

/* Takes the function, resets it, maps its registers and lets it reach EAL's memory. EAL runs, with
 * IOVA as VA. `paths` lie where the kernel has them; their text outlives the device. Blocks for the
 * reset. What failed has been undone; the sentence tells how to mend it. */
int nvme_dev_vfio_open(const struct nvme_paths *paths, const char *address, struct nvme_dev **out,
                       struct hg_err *err);

#endif /* DRIVERS_BDEV_NVME_NVME_DEV_VFIO_H */
