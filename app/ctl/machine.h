/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a machine has for driving devices from user space, as facts: read once from /sys and /proc,
 * judged by judge.h. Everything that is not known is -1, "" or empty.
 */
#ifndef HG_APP_CTL_MACHINE_H
#define HG_APP_CTL_MACHINE_H

#include "sysfs.h"

#define PCI_ADDR 20       /* "0000:03:00.0" and NUL; domains of VMD have more digits */
#define MACHINE_DEVS 1024 /* PCI devices */
#define MACHINE_NODES 64  /* NUMA nodes, by number */
#define MACHINE_PAGES 4   /* sizes of huge pages */
#define PCI_CLASS_NVME 0x010802u
#define PCI_CLASS_ETHERNET 0x0200u /* without the programming interface */
#define PCI_CLASS_BRIDGE 0x0604u   /* the same */

struct pci_dev {
    char addr[PCI_ADDR];
    uint32_t class; /* 24 bits: class, subclass, programming interface */
    uint16_t vendor, device;
    char driver[32];           /* "": none */
    int node;                  /* NUMA node, -1: not told */
    int group;                 /* IOMMU group, -1: none */
    bool vfio_file, vfio_open; /* /dev/vfio/GROUP is there; this user may open it */
    char pf[PCI_ADDR];         /* of a virtual function, its physical function; else "" */
    unsigned vfs, vfs_max;     /* virtual functions: there are, there may be */
    char nvme[16];    /* the kernel's name of the controller, nvme0; "": not the kernel's */
    char blocks[128]; /* block devices of its namespaces, each with a blank behind it */
    char model[48], serial[24]; /* of an NVMe controller, while its driver is the kernel's */
    char netdev[64];            /* interfaces of a NIC, while its driver is the kernel's */
    bool routes;                /* others go over its interfaces */
    bool default_route;         /* goes over it, or over what stands on it */
    char use
        [256]; /* by whom the kernel's driver is in use, a phrase: taking the device would hurt */
};

struct huge_pages {
    uint64_t size;                      /* bytes */
    char mount[128];                    /* where hugetlbfs of this size is, "": nowhere */
    uint64_t total, free;               /* pages of the machine */
    uint64_t node_total[MACHINE_NODES]; /* pages; only where `n_nodes` is not 0 */
    uint64_t node_free[MACHINE_NODES];
};

struct machine {
    struct pci_dev *devs; /* on the heap, by address */
    unsigned n_devs;
    /* CPUs and memory */
    cpu_set_t present, online, isolated, nohz_full;
    cpu_set_t slow_governor; /* those whose frequency governor can be read and is not performance */
    cpu_set_t node_cpus[MACHINE_NODES];
    uint64_t ram;                     /* bytes of memory, 0: not told */
    uint64_t node_ram[MACHINE_NODES]; /* the same of each node */
    unsigned n_nodes;                 /* highest node and one; 0: the kernel tells no nodes */
    uint8_t distance[MACHINE_NODES][MACHINE_NODES]; /* ACPI SLIT: 10 is local; 0: not told */
    struct huge_pages pages[MACHINE_PAGES];         /* the default size first */
    unsigned n_pages;
    /* VFIO and IOMMU */
    bool vfio_pci, vfio_type1; /* in the kernel now */
    bool vfio_module;          /* can be loaded: the kernel's modules.dep names it */
    bool noiommu;              /* VFIO's unsafe mode without IOMMU is switched on */
    bool iommu;                /* there are groups */
    bool iommu_firmware;       /* ACPI has a DMAR or IVRS table */
    bool intel;                /* processor, for the kernel's command line */
    bool grub;                 /* update-grub is there, and /etc/default/grub as it edits it */
    char iommu_off[24]; /* word of the kernel's command line that switches it off, "": none */
    char kernel[80];    /* release */
    /* limits of this process */
    uint64_t memlock; /* bytes, UINT64_MAX: none */
    bool ipc_lock;    /* CAP_IPC_LOCK: memlock does not count */
    unsigned uid;     /* effective user; only 0 can see who uses a device */
};

/* Reads all of it; machine_free() in any case. -ENOMEM, or 0. */
int machine_read(const char *root, struct machine *m);
void machine_free(struct machine *m);

/* By address; NULL when the machine has no such device. */
const struct pci_dev *machine_dev(const struct machine *m, const char *addr);
bool pci_is_nvme(const struct pci_dev *d);
bool pci_is_nic(const struct pci_dev *d);
/* Whether a namespace of it is this block device, "nvme0n1". */
bool pci_has_block(const struct pci_dev *d, const char *block);
/* The node that a CPU is on, -1: not told. */
int machine_cpu_node(const struct machine *m, unsigned cpu);

/* machine_pci.c: the devices. */
int machine_read_pci(const char *root, struct machine *m);
/* machine_use.c: fills in default_route and use. */
void machine_read_use(const char *root, struct machine *m);

#endif /* HG_APP_CTL_MACHINE_H */
