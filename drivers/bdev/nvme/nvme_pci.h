/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sysfs tells of PCI functions, and whether VFIO can hand one out. Reads only; any thread.
 *
 * Everything that is looked at lies under `struct nvme_paths`, so that tests bring trees of their
 * own.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_PCI_H
#define DRIVERS_BDEV_NVME_NVME_PCI_H

#include "nvme_name.h"

#define NVME_PCI_CLASS 0x010802u /* NVM Express, NVMe over PCIe transport spec 2.2 */
#define NVME_PCI_MAX 256u        /* functions that a search looks at */
#define NVME_VFIO_DRIVER "vfio-pci"

struct nvme_paths {
    const char *sys, *dev; /* "/sys" and "/dev", or trees like them */
};

struct nvme_pci {
    char address[NVME_ADDRESS_MAX];
    char driver[32];                  /* "": none */
    char serial[NVME_SERIAL_MAX + 1]; /* as the kernel's own driver tells it; "": unknown */
    uint32_t class;                   /* class, subclass, interface */
    uint16_t vendor, device;
    int numa_node; /* -1: unknown */
    int group;     /* IOMMU group; -1: none */
};

/* 0, or -ENODEV: there is no such function. */
int nvme_pci_read(const struct nvme_paths *paths, const char *address, struct nvme_pci *pci);

/* The NVMe controllers, by address; returns how many. */
unsigned nvme_pci_list(const struct nvme_paths *paths, struct nvme_pci *list, unsigned max);

/* "0000:01:00.0 (vfio-pci), 0000:02:00.0 (nvme, serial S2)", cut off when there are too many. */
void nvme_pci_text(const struct nvme_pci *list, unsigned n, char *out, size_t size);

/* Whether VFIO can give the function to this process: class, driver, IOMMU, group and its others,
 * permission. 0, or negative errno with a sentence that tells how to mend it. */
int nvme_pci_usable(const struct nvme_paths *paths, const struct nvme_pci *pci, struct hg_err *err);

#endif /* DRIVERS_BDEV_NVME_NVME_PCI_H */
