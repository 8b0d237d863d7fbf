/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices on the PCI bus, as sysfs shows them (Documentation/ABI/testing/sysfs-bus-pci). */
#include "machine.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCI "/sys/bus/pci/devices/%s/"

static void add_name(char *list, size_t size, const char *name)
{
    size_t len = strlen(list);

    snprintf(list + len, size - len, "%s%s", len == 0 ? "" : " ", name);
}

/* Interfaces stand below the device, or below a virtio device on it. */
static void read_netdevs(const char *root, struct pci_dev *d)
{
    char names[16][SYS_NAME], below[64][SYS_NAME];
    unsigned n = sys_list(root, names, 16, PCI "net", d->addr), m;

    for (unsigned i = 0; i < n; i++)
        add_name(d->netdev, sizeof d->netdev, names[i]);
    m = sys_list(root, below, 64, "/sys/bus/pci/devices/%s", d->addr);
    for (unsigned i = 0; i < m; i++) {
        if (strncmp(below[i], "virtio", 6) != 0)
            continue;
        n = sys_list(root, names, 16, PCI "%s/net", d->addr, below[i]);
        for (unsigned j = 0; j < n; j++)
            add_name(d->netdev, sizeof d->netdev, names[j]);
    }
}

static void read_nvme(const char *root, struct pci_dev *d)
{
    char names[1][SYS_NAME];

    if (sys_list(root, names, 1, PCI "nvme", d->addr) == 0)
        return;
    snprintf(d->nvme, sizeof d->nvme, "%.15s", names[0]);
    sys_line(root, d->model, sizeof d->model, PCI "nvme/%s/model", d->addr, d->nvme);
    sys_line(root, d->serial, sizeof d->serial, PCI "nvme/%s/serial", d->addr, d->nvme);
}

static void read_dev(const char *root, struct pci_dev *d)
{
    char group[16];

    d->class = (uint32_t)sys_number(root, 0, PCI "class", d->addr);
    d->vendor = (uint16_t)sys_number(root, 0, PCI "vendor", d->addr);
    d->device = (uint16_t)sys_number(root, 0, PCI "device", d->addr);
    d->node = (int)sys_number(root, -1, PCI "numa_node", d->addr);
    sys_link(root, d->driver, sizeof d->driver, PCI "driver", d->addr);
    d->group = sys_link(root, group, sizeof group, PCI "iommu_group", d->addr) ? atoi(group) : -1;
    d->vfio_file = d->group >= 0 && sys_exists(root, "/dev/vfio/%d", d->group);
    d->vfio_open = d->group >= 0 && sys_usable(root, "/dev/vfio/%d", d->group);
    sys_link(root, d->pf, sizeof d->pf, PCI "physfn", d->addr);
    d->vfs = (unsigned)sys_number(root, 0, PCI "sriov_numvfs", d->addr);
    d->vfs_max = (unsigned)sys_number(root, 0, PCI "sriov_totalvfs", d->addr);
    if (pci_is_nvme(d))
        read_nvme(root, d);
    else if (pci_is_nic(d))
        read_netdevs(root, d);
}

int machine_read_pci(const char *root, struct machine *m)
{
    char(*names)[SYS_NAME] = calloc(MACHINE_DEVS, SYS_NAME);
    unsigned n;

    if (names == NULL)
        return -ENOMEM;
    n = sys_list(root, names, MACHINE_DEVS, "/sys/bus/pci/devices");
    m->devs = calloc(n + 1, sizeof *m->devs);
    if (m->devs == NULL) {
        free(names);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        struct pci_dev *d = &m->devs[m->n_devs];

        if (strlen(names[i]) >= PCI_ADDR)
            continue;
        strcpy(d->addr, names[i]);
        read_dev(root, d);
        m->n_devs++;
    }
    free(names);
    return 0;
}

const struct pci_dev *machine_dev(const struct machine *m, const char *addr)
{
    for (unsigned i = 0; i < m->n_devs; i++)
        if (strcmp(m->devs[i].addr, addr) == 0)
            return &m->devs[i];
    return NULL;
}

bool pci_is_nvme(const struct pci_dev *d)
{
    return d->class == PCI_CLASS_NVME;
}

bool pci_is_nic(const struct pci_dev *d)
{
    return d->class >> 8 == PCI_CLASS_ETHERNET;
}

bool pci_has_block(const struct pci_dev *d, const char *block)
{
    size_t len = strlen(block);

    for (const char *p = d->blocks; (p = strstr(p, block)) != NULL; p += len)
        if ((p == d->blocks || p[-1] == ' ') && p[len] == ' ')
            return true;
    return false;
}
