/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel tells of a block device in /sys. */
#ifndef DRIVERS_BDEV_SYSFS_H
#define DRIVERS_BDEV_SYSFS_H

#include <stdbool.h>
#include <sys/types.h>

struct sysfs_disk {
    char model[41], serial[21], firmware[9]; /* "" where it is not told */
    char name[32];                           /* "vda1": what it is called in /dev */
    char scheduler[16];                      /* the one in use; "" */
    int numa_node;                           /* -1: unknown */
    bool polls;                              /* it has queues for polled requests */
    bool rotational;
    bool boundaries;       /* requests across certain blocks are split (queue/chunk_sectors) */
    bool found;            /* there is such a device; else nothing above is known */
    unsigned max_kib;      /* largest request; 0: unknown */
    unsigned max_segments; /* pieces of memory in a request; 0: unknown */
};

/* dev: a block device or a partition of one. root: "/sys", or a tree like it. */
void sysfs_disk(const char *root, dev_t dev, struct sysfs_disk *disk);

/* The block device of the namespace whose character device (/dev/ngXnY) is `chr`; 0: there is none. */
dev_t sysfs_disk_of_nvme(const char *root, dev_t chr);

#endif /* DRIVERS_BDEV_SYSFS_H */
