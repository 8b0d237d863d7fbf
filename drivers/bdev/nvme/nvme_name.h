/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of NVMe devices in a profile:
 *
 *   nvme:0000:01:00.0          by PCI address
 *   nvme:0000:01:00.0/ns=2     a namespace by its number; without, the only one there is
 *   nvme:serial=S123[/ns=N]    by the serial number that Identify Controller shows, without the
 *                              spaces around it
 *
 * Pure functions; any thread.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_NAME_H
#define DRIVERS_BDEV_NVME_NVME_NAME_H

#include <headgate/base.h>

#define NVME_NAME_PREFIX "nvme:"
#define NVME_ADDRESS_MAX 20 /* "0000:01:00.0"; domains of VMD have more digits */
#define NVME_SERIAL_MAX 20  /* base spec 5.17.2.1, SN */

struct nvme_name {
    char address[NVME_ADDRESS_MAX];   /* as sysfs writes it; "" when named by serial */
    char serial[NVME_SERIAL_MAX + 1]; /* "" when named by address */
    uint32_t nsid;                    /* 0: not told */
};

/* text begins with NVME_NAME_PREFIX. 0, or -EINVAL with a sentence that shows how to write it. */
int nvme_name_parse(const char *text, struct nvme_name *name, struct hg_err *err);

/* A PCI address by itself, with or without its domain, into the form of sysfs. 0 or -EINVAL. */
int nvme_name_address(const char *text, size_t len, char out[NVME_ADDRESS_MAX]);

#endif /* DRIVERS_BDEV_NVME_NVME_NAME_H */
