/* SPDX-License-Identifier: BSD-3-Clause */
/* Folders that look like /sys and /proc of some machine, as far as doctor looks. */
#ifndef HEADGATE_TESTS_DOCTOR_TREE_H
#define HEADGATE_TESTS_DOCTOR_TREE_H

#include "judge.h"

struct tree {
    char root[64];
};

/* An empty one below $TMPDIR; and the end of it, with all that is in it. */
void tree_begin(struct tree *t);
void tree_end(struct tree *t);

/* A file and the folders on the way to it. */
void tree_file(struct tree *t, const char *text, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tree_dir(struct tree *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A symbolic link, which may point to nothing. */
void tree_link(struct tree *t, const char *target, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What every machine has: CPUs of a list, nodes, pages of 2 MiB, limits of root, no routes, no mounts. */
void tree_base(struct tree *t, const char *cpus, unsigned nodes);

struct tree_dev {
    const char *addr, *driver; /* driver NULL: none */
    uint32_t class;
    uint16_t vendor;
    int group, node; /* -1: none */
};
/* A PCI device with its files; its group's list of members too. */
void tree_pci(struct tree *t, const struct tree_dev *d);
/* The kernel's side: an NVMe namespace as block device MAJOR:MINOR; an interface of a NIC. */
void tree_nvme(struct tree *t, const char *addr, const char *ctrl, const char *dev);
void tree_net(struct tree *t, const char *addr, const char *iface);
/* IOMMU on, vfio-pci and vfio_iommu_type1 loaded. */
void tree_vfio(struct tree *t);

/* ---- machines.c ---- */

/* Read from a tree and judged. */
struct exam {
    struct tree t;
    struct machine m;
    struct wants w;
    struct verdict v;
};

void exam_begin(struct exam *e);
/* Reads the tree, wants everything (or `named`, which ends with NULL) and judges. */
void exam_judge(struct exam *e, const char *const *named);
void exam_end(struct exam *e);
/* The first finding of a check about a device (NULL: the machine); NULL: there is none. */
const struct finding *exam_find(const struct exam *e, const char *addr, const char *check);
/* There is such a finding of that level whose sentence has these words. */
void exam_says(const struct exam *e, const char *addr, const char *check, enum level level,
               const char *words);
/* All commands, in order, each with a line end behind it; to be freed. */
char *exam_commands(const struct exam *e);
/* No command names this device. */
void exam_spares(const struct exam *e, const char *addr);
/* Every file of /sys that a command writes is there. */
void exam_commands_have_files(const struct exam *e);

/* A laptop: one NVMe drive with the root file system, one NIC with the default route, nothing prepared. */
void machine_laptop(struct tree *t);
/* A server: IOMMU on, vfio-pci to be loaded, some hugepages, a free NVMe drive and a free NIC. */
void machine_half(struct tree *t);
/* A drive in a group with a USB controller that the kernel uses, one with a sound card and a bridge. */
void machine_shared(struct tree *t);
/* A NIC with virtual functions, one of them bound to vfio-pci, and an NVMe controller with some. */
void machine_vf(struct tree *t);
/* Two nodes, all prepared; a NIC on node 0, an NVMe controller on node 1. */
void machine_two_nodes(struct tree *t);

#endif /* HEADGATE_TESTS_DOCTOR_TREE_H */
