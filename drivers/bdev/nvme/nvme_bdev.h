/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver as a block device, over whatever carries the controller. */
#ifndef DRIVERS_BDEV_NVME_NVME_BDEV_H
#define DRIVERS_BDEV_NVME_NVME_BDEV_H

#include "nvme_ctrl.h"

/* Default options: 10 s and 5 s, 4 tries, 3 resets, the only namespace. */
struct nvme_opts nvme_opts_default(void);

/* Starts the controller and hands out its namespace. Owns `dev` from the call on, also when it fails;
 * hg_bdev_close() shuts the controller down and closes it. Blocks, each state of the start for its
 * time at most. One bdev for a controller: its other namespaces stay unused. */
int nvme_bdev_open(struct nvme_dev *dev, const struct nvme_opts *opts, struct hg_bdev **out,
                   struct hg_err *err);

#endif /* DRIVERS_BDEV_NVME_NVME_BDEV_H */
