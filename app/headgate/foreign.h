/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What others have left on a device: partition tables, file systems, members of RAID and volume
 * groups, encrypted volumes, swap. libblkid looks at a copy of both ends of the device, so it sees
 * controllers through VFIO as well as files. Blocking; for start.
 */
#ifndef HG_APP_FOREIGN_H
#define HG_APP_FOREIGN_H

#include <headgate/bdev.h>

#define FOREIGN_TEXT 192

/* 1 and what is there in `text` ("a file system: ext4, label root, UUID ..."; as much as fits); 0
 * and "" when there is nothing that is known; negative errno. */
int foreign_find(struct hg_bdev *dev, char text[FOREIGN_TEXT], struct hg_err *err);

/* Zeroes where foreign_find() looks. */
int foreign_wipe(struct hg_bdev *dev, struct hg_err *err);

#endif /* HG_APP_FOREIGN_H */
