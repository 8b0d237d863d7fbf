/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI functions in sysfs: nvme_pci.h. */
#include "nvme_pci.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BRIDGE_CLASS 0x06u

static void path_of(char path[PATH_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void path_of(char path[PATH_MAX], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(path, PATH_MAX, fmt, args);
    va_end(args);
}

/* The first line of a file, without spaces around it; "" when there is none. */
static void read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t from, len;

    out[0] = '\0';
    if (f == NULL)
        return;
    if (fgets(out, (int)size, f) == NULL)
        out[0] = '\0';
    fclose(f);
    len = strcspn(out, "\n");
    while (len > 0 && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
    from = strspn(out, " ");
    memmove(out, out + from, len - from + 1);
}

static long read_number(const char *dir, const char *name, long missing)
{
    char path[PATH_MAX], line[32], *end;
    long value;

    path_of(path, "%s/%s", dir, name);
    read_line(path, line, sizeof line);
    value = strtol(line, &end, 0);
    return end == line || *end != '\0' ? missing : value;
}

/* The last part of what a link points to; "" when there is none. */
static void read_link(const char *dir, const char *name, char *out, size_t size)
{
    char path[PATH_MAX], target[PATH_MAX];
    const char *last;
    ssize_t len;

    path_of(path, "%s/%s", dir, name);
    len = readlink(path, target, sizeof target - 1);
    target[len < 0 ? 0 : len] = '\0';
    last = strrchr(target, '/');
    snprintf(out, size, "%.*s", (int)size - 1, last == NULL ? target : last + 1);
}

/* The kernel's driver has one directory nvme/nvmeN for each controller. */
static void read_serial(const char *dir, char serial[NVME_SERIAL_MAX + 1])
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *d;

    path_of(path, "%s/nvme", dir);
    d = opendir(path);
    serial[0] = '\0';
    while (d != NULL && serial[0] == '\0' && (entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, "nvme", 4) != 0)
            continue;
        path_of(path, "%s/nvme/%s/serial", dir, entry->d_name);
        read_line(path, serial, NVME_SERIAL_MAX + 1);
    }
    if (d != NULL)
        closedir(d);
}

int nvme_pci_read(const struct nvme_paths *paths, const char *address, struct nvme_pci *pci)
{
    char dir[PATH_MAX], group[16], *end;

    memset(pci, 0, sizeof *pci);
    path_of(dir, "%s/bus/pci/devices/%s", paths->sys, address);
    if (access(dir, F_OK) != 0)
        return -ENODEV;
    snprintf(pci->address, sizeof pci->address, "%s", address);
    pci->class = (uint32_t)read_number(dir, "class", 0);
    pci->vendor = (uint16_t)read_number(dir, "vendor", 0);
    pci->device = (uint16_t)read_number(dir, "device", 0);
    pci->numa_node = (int)read_number(dir, "numa_node", -1);
    read_link(dir, "driver", pci->driver, sizeof pci->driver);
    read_link(dir, "iommu_group", group, sizeof group);
    pci->group = (int)strtol(group, &end, 10);
    if (end == group || *end != '\0')
        pci->group = -1;
    read_serial(dir, pci->serial);
    return 0;
}

static int by_address(const void *a, const void *b)
{
    return strcmp(((const struct nvme_pci *)a)->address, ((const struct nvme_pci *)b)->address);
}

unsigned nvme_pci_list(const struct nvme_paths *paths, struct nvme_pci *list, unsigned max)
{
    char dir[PATH_MAX];
    struct dirent *entry;
    unsigned n = 0;
    DIR *d;

    path_of(dir, "%s/bus/pci/devices", paths->sys);
    d = opendir(dir);
    while (d != NULL && n < max && (entry = readdir(d)) != NULL) {
        char address[NVME_ADDRESS_MAX];

        if (nvme_name_address(entry->d_name, strlen(entry->d_name), address) == 0 &&
            nvme_pci_read(paths, address, &list[n]) == 0 && list[n].class == NVME_PCI_CLASS)
            n++;
    }
    if (d != NULL)
        closedir(d);
    qsort(list, n, sizeof *list, by_address);
    return n;
}

void nvme_pci_text(const struct nvme_pci *list, unsigned n, char *out, size_t size)
{
    size_t len = 0;

    snprintf(out, size, "none");
    for (unsigned i = 0; i < n; i++) {
        const struct nvme_pci *p = &list[i];
        char one[128];

        snprintf(one, sizeof one, "%s%s (%s%s%s)", i == 0 ? "" : ", ", p->address,
                 p->driver[0] == '\0' ? "no driver" : p->driver,
                 p->serial[0] == '\0' ? "" : ", serial ", p->serial);
        if (len + strlen(one) + sizeof " ..." > size) {
            snprintf(out + len, size - len, " ...");
            return;
        }
        len += (size_t)snprintf(out + len, size - len, "%s", one);
    }
}

/* ---- what VFIO needs ---- */

static int check_driver(const struct nvme_pci *pci, struct hg_err *err)
{
    const char *a = pci->address;

    if (pci->class != NVME_PCI_CLASS)
        return hg_fail(err, -ENODEV,
                       "nvme %s: this PCI function is no NVMe controller: its class is %06x, not "
                       "%06x",
                       a, pci->class, NVME_PCI_CLASS);
    if (strcmp(pci->driver, NVME_VFIO_DRIVER) == 0)
        return 0;
    if (pci->driver[0] == '\0')
        return hg_fail(err, -ENODEV,
                       "nvme %s: no driver has it, and ours needs " NVME_VFIO_DRIVER
                       ": run modprobe vfio-pci; echo vfio-pci > "
                       "/sys/bus/pci/devices/%s/driver_override; echo %s > "
                       "/sys/bus/pci/drivers_probe",
                       a, a, a);
    return hg_fail(err, -EBUSY,
                   "nvme %s: the driver %s has it, and ours needs " NVME_VFIO_DRIVER
                   ": unmount what is on it, then run modprobe vfio-pci; echo vfio-pci > "
                   "/sys/bus/pci/devices/%s/driver_override; echo %s > "
                   "/sys/bus/pci/devices/%s/driver/unbind; echo %s > /sys/bus/pci/drivers_probe",
                   a, pci->driver, a, a, a, a);
}

/* The kernel gives out whole groups; these may be in one beside ours (vfio_dev_viable()). */
static bool may_stay(const struct nvme_pci *other)
{
    return other->class >> 16 == BRIDGE_CLASS || other->driver[0] == '\0' ||
           strcmp(other->driver, NVME_VFIO_DRIVER) == 0 || strcmp(other->driver, "pci-stub") == 0;
}

static int check_group(const struct nvme_paths *paths, const struct nvme_pci *pci,
                       struct hg_err *err)
{
    char dir[PATH_MAX];
    struct dirent *entry;
    struct nvme_pci other;
    int rc = 0;
    DIR *d;

    if (pci->group < 0)
        return hg_fail(err, -ENODEV,
                       "nvme %s: it is in no IOMMU group, so the kernel cannot keep it to our "
                       "memory: switch on VT-d or AMD-Vi in the firmware and boot the kernel with "
                       "intel_iommu=on or amd_iommu=on",
                       pci->address);
    path_of(dir, "%s/bus/pci/devices/%s/iommu_group/devices", paths->sys, pci->address);
    d = opendir(dir);
    while (d != NULL && rc == 0 && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, pci->address) == 0 ||
            nvme_pci_read(paths, entry->d_name, &other) != 0 || may_stay(&other))
            continue;
        rc = hg_fail(err, -EBUSY,
                     "nvme %s: it shares IOMMU group %d with %s, which the driver %s has; VFIO "
                     "gives out whole groups only: run echo %s > "
                     "/sys/bus/pci/devices/%s/driver/unbind, or move the device to another slot",
                     pci->address, pci->group, other.address, other.driver, other.address,
                     other.address);
    }
    if (d != NULL)
        closedir(d);
    return rc;
}

static int check_nodes(const struct nvme_paths *paths, const struct nvme_pci *pci,
                       struct hg_err *err)
{
    char path[PATH_MAX];

    path_of(path, "%s/vfio/noiommu-%d", paths->dev, pci->group);
    if (access(path, F_OK) == 0)
        return hg_fail(err, -ENOTSUP,
                       "nvme %s: VFIO works without an IOMMU here, so the device could reach any "
                       "memory of this machine; that is refused: switch on VT-d or AMD-Vi in the "
                       "firmware and boot the kernel with intel_iommu=on or amd_iommu=on",
                       pci->address);
    path_of(path, "%s/vfio/vfio", paths->dev);
    if (access(path, F_OK) != 0)
        return hg_fail(err, -errno, "nvme %s: %s is missing: run modprobe vfio-pci", pci->address,
                       path);
    if (access(path, R_OK | W_OK) != 0)
        return hg_fail(err, -errno, "nvme %s: no permission for %s: run chmod 0666 %s as root",
                       pci->address, path, path);
    path_of(path, "%s/vfio/%d", paths->dev, pci->group);
    if (access(path, F_OK) != 0)
        return hg_fail(err, -errno,
                       "nvme %s: %s is missing, though the device is in IOMMU group %d; see the "
                       "kernel's log",
                       pci->address, path, pci->group);
    if (access(path, R_OK | W_OK) != 0)
        return hg_fail(err, -errno,
                       "nvme %s: no permission for %s: run as root, or let root run chown USER %s",
                       pci->address, path, path);
    return 0;
}

int nvme_pci_usable(const struct nvme_paths *paths, const struct nvme_pci *pci, struct hg_err *err)
{
    int rc = check_driver(pci, err);

    if (rc == 0)
        rc = check_group(paths, pci, err);
    return rc != 0 ? rc : check_nodes(paths, pci, err);
}
