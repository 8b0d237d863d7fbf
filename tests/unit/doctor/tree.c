/* SPDX-License-Identifier: BSD-3-Clause */
/* See tree.h. */
#include "tree.h"
#include <CUnit/CUnit.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tree_begin(struct tree *t)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(t->root, sizeof t->root, "%.32s/headgate-doctor-XXXXXX", tmp != NULL ? tmp : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(t->root));
}

/* The signature is nftw's. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void tree_end(struct tree *t)
{
    nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_parents(const struct tree *t, char *path)
{
    for (char *p = path + strlen(t->root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(path, 0755);
        *p = '/';
    }
}

static void path_of(const struct tree *t, char path[PATH_MAX], const char *fmt, va_list ap)
{
    size_t len = strlen(t->root);

    memcpy(path, t->root, len);
    vsnprintf(path + len, PATH_MAX - len, fmt, ap);
    make_parents(t, path);
}

void tree_file(struct tree *t, const char *text, const char *fmt, ...)
{
    char path[PATH_MAX];
    va_list ap;
    FILE *f;

    va_start(ap, fmt);
    path_of(t, path, fmt, ap);
    va_end(ap);
    f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

void tree_dir(struct tree *t, const char *fmt, ...)
{
    char path[PATH_MAX];
    va_list ap;

    va_start(ap, fmt);
    path_of(t, path, fmt, ap);
    va_end(ap);
    mkdir(path, 0755);
}

void tree_link(struct tree *t, const char *target, const char *fmt, ...)
{
    char path[PATH_MAX];
    va_list ap;

    va_start(ap, fmt);
    path_of(t, path, fmt, ap);
    va_end(ap);
    unlink(path);
    CU_ASSERT_EQUAL(symlink(target, path), 0);
}

/* ---- what machines have ---- */

static void add_nodes(struct tree *t, unsigned nodes)
{
    tree_file(t, nodes == 2 ? "0-1" : "0", "/sys/devices/system/node/online");
    for (unsigned n = 0; n < nodes; n++) {
        /* of eight CPUs four each */
        tree_file(t,
                  nodes == 1 ? "0-7"
                  : n == 0   ? "0-3"
                             : "4-7",
                  "/sys/devices/system/node/node%u/cpulist", n);
        tree_file(t,
                  nodes == 1 ? "10"
                  : n == 0   ? "10 21"
                             : "21 10",
                  "/sys/devices/system/node/node%u/distance", n);
        tree_file(t, "0", "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages",
                  n);
        tree_file(t, "0",
                  "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/free_hugepages", n);
    }
}

void tree_base(struct tree *t, const char *cpus, unsigned nodes)
{
    tree_file(t, cpus, "/sys/devices/system/cpu/present");
    tree_file(t, cpus, "/sys/devices/system/cpu/online");
    tree_file(t, "", "/sys/devices/system/cpu/isolated");
    tree_file(t, "(null)", "/sys/devices/system/cpu/nohz_full");
    add_nodes(t, nodes);
    tree_file(t, "0", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    tree_file(t, "0", "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    tree_file(t, "Hugepagesize:       2048 kB", "/proc/meminfo");
    tree_file(t, "vendor_id\t: GenuineIntel", "/proc/cpuinfo");
    tree_file(t, "6.1.0-test", "/proc/sys/kernel/osrelease");
    tree_file(t, "sysfs /sys sysfs rw 0 0", "/proc/mounts");
    tree_file(t, "22 1 0:20 / /sys rw - sysfs sysfs rw", "/proc/self/mountinfo");
    tree_file(t, "Max locked memory         8388608              8388608              bytes",
              "/proc/self/limits");
    tree_file(t, "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff", "/proc/self/status");
    tree_file(t, "", "/sys/bus/pci/drivers_probe");
    tree_file(t, "", "/sys/bus/pci/rescan");
}

void tree_pci(struct tree *t, const struct tree_dev *d)
{
    static const char dir[] = "/sys/bus/pci/devices/%s/%s";
    char text[64];

    snprintf(text, sizeof text, "0x%06x", d->class);
    tree_file(t, text, dir, d->addr, "class");
    snprintf(text, sizeof text, "0x%04x", d->vendor);
    tree_file(t, text, dir, d->addr, "vendor");
    tree_file(t, "0x1234", dir, d->addr, "device");
    tree_file(t, "(null)", dir, d->addr, "driver_override");
    snprintf(text, sizeof text, "%d", d->node);
    tree_file(t, text, dir, d->addr, "numa_node");
    if (d->driver != NULL) {
        tree_file(t, "", "/sys/bus/pci/drivers/%s/unbind", d->driver);
        snprintf(text, sizeof text, "../../drivers/%s", d->driver);
        tree_link(t, text, dir, d->addr, "driver");
    }
    if (d->group < 0)
        return;
    if (d->driver != NULL && strcmp(d->driver, "vfio-pci") == 0)
        tree_file(t, "", "/dev/vfio/%d", d->group);
    tree_dir(t, "/sys/kernel/iommu_groups/%d", d->group);
    snprintf(text, sizeof text, "../../../../kernel/iommu_groups/%d", d->group);
    tree_link(t, text, dir, d->addr, "iommu_group");
}

void tree_nvme(struct tree *t, const char *addr, const char *ctrl, const char *dev)
{
    tree_file(t, "Model One       ", "/sys/bus/pci/devices/%s/nvme/%s/model", addr, ctrl);
    tree_file(t, "SN1             ", "/sys/bus/pci/devices/%s/nvme/%s/serial", addr, ctrl);
    tree_dir(t, "/sys/bus/pci/devices/%s/nvme/%s/%sn1", addr, ctrl, ctrl);
    tree_file(t, dev, "/sys/class/block/%sn1/dev", ctrl);
}

void tree_net(struct tree *t, const char *addr, const char *iface)
{
    tree_dir(t, "/sys/bus/pci/devices/%s/net/%s", addr, iface);
    tree_dir(t, "/sys/class/net/%s", iface);
}

void tree_vfio(struct tree *t)
{
    tree_file(t, "", "/sys/bus/pci/drivers/vfio-pci/unbind");
    tree_dir(t, "/sys/module/vfio_iommu_type1");
    tree_dir(t, "/sys/kernel/iommu_groups/0");
}
