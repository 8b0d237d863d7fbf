/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who uses a device through the kernel, so that nobody is told to take it away: for an NVMe controller mounts,
 * swap, holders (device mapper, md), loop devices and processes of its namespaces, and last the kernel's own word, an
 * exclusive open, which also knows those that leave no trace in /sys (ZFS); for a NIC the default route,
 * and bonds and bridges that it is a part of; for a device that VFIO has, the process that opened it.
 */
#include "machine.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOUNT 128     /* characters of a mount point, longer ones are cut */
#define LOOPS 512     /* block devices that are looked at for them */
#define FILES 1024    /* of a process that are looked at */
#define PARTS 64      /* partitions of a namespace */
#define NAMESPACES 64 /* of a controller */

/* Files that are searched for every device, read once; NULL: not readable. */
struct tables {
    const char *root;
    char *mounts, *swaps, *route4, *route6;
};

static void add_use(struct pci_dev *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_use(struct pci_dev *d, const char *fmt, ...)
{
    size_t len = strlen(d->use);
    va_list ap;

    if (len != 0 && len + 2 < sizeof d->use)
        len += (size_t)snprintf(d->use + len, sizeof d->use - len, ", ");
    va_start(ap, fmt);
    vsnprintf(d->use + len, sizeof d->use - len, fmt, ap);
    va_end(ap);
}

/* ---- block devices ---- */

/* A line of mountinfo (proc(5)): 36 35 98:0 /root /mnt options - type source more. The device number tells, but
 * file systems of many devices (btrfs) have one of their own, and then the source does. */
static bool line_mounts(const char *line, const char *dev, const char *block, char where[MOUNT])
{
    char number[32], source[256] = "", *dash = strstr(line, " - ");

    if (sscanf(line, "%*s %*s %31s %*s %127s", number, where) != 2)
        return false;
    if (dash != NULL)
        sscanf(dash, " - %*s %255s", source);
    return strcmp(number, dev) == 0 ||
           (strncmp(source, "/dev/", 5) == 0 && strcmp(source + 5, block) == 0);
}

static void find_mount(const struct tables *t, struct pci_dev *d, const char *block)
{
    char dev[32], where[MOUNT];
    char *copy, *rest, *line;

    if (!sys_line(t->root, dev, sizeof dev, "/sys/class/block/%s/dev", block) || t->mounts == NULL)
        return;
    copy = rest = strdup(t->mounts);
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (!line_mounts(line, dev, block, where))
            continue;
        add_use(d, "%s is mounted at %s", block, where);
        break;
    }
    free(copy);
}

static void find_swap(const struct tables *t, struct pci_dev *d, const char *block)
{
    char wanted[SYS_NAME + 8], *at;

    snprintf(wanted, sizeof wanted, "/dev/%s", block);
    at = t->swaps == NULL ? NULL : strstr(t->swaps, wanted);
    if (at != NULL && isspace((unsigned char)at[strlen(wanted)]))
        add_use(d, "%s is swap space", block);
}

/* A loop device neither claims what it stands on nor keeps a process's file open. */
static void find_loop(const struct tables *t, struct pci_dev *d, const char *block)
{
    char names[LOOPS][SYS_NAME], file[128], wanted[SYS_NAME + 8];
    unsigned n = sys_list(t->root, names, LOOPS, "/sys/class/block");

    snprintf(wanted, sizeof wanted, "/dev/%s", block);
    for (unsigned i = 0; i < n; i++)
        if (strncmp(names[i], "loop", 4) == 0 &&
            sys_line(t->root, file, sizeof file, "/sys/class/block/%s/loop/backing_file",
                     names[i]) &&
            strcmp(file, wanted) == 0)
            add_use(d, "%s is behind %s", block, names[i]);
}

static void look_at_block(const struct tables *t, struct pci_dev *d, const char *block)
{
    char names[8][SYS_NAME], name[SYS_NAME];
    unsigned n = sys_list(t->root, names, 8, "/sys/class/block/%s/holders", block);

    find_mount(t, d, block);
    find_swap(t, d, block);
    find_loop(t, d, block);
    for (unsigned i = 0; i < n; i++) {
        if (sys_line(t->root, name, sizeof name, "/sys/class/block/%s/dm/name", names[i]))
            add_use(d, "%s is held by %s (%s)", block, names[i], name);
        else
            add_use(d, "%s is held by %s", block, names[i]);
    }
}

/* An exclusive open for reading changes nothing; it is refused while the kernel has claimed the device. */
static void look_exclusively(const struct tables *t, struct pci_dev *d, const char *block)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "%s/dev/%s", t->root, block);
    fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    else if (errno == EBUSY)
        add_use(d, "%s is claimed in the kernel", block);
}

static void look_at_namespace(const struct tables *t, struct pci_dev *d, const char *block)
{
    char names[PARTS][SYS_NAME];
    unsigned n = sys_list(t->root, names, PARTS, "/sys/class/block/%s", block);

    look_at_block(t, d, block);
    for (unsigned i = 0; i < n; i++)
        if (sys_exists(t->root, "/sys/class/block/%s/%s/partition", block, names[i]))
            look_at_block(t, d, names[i]);
    if (d->use[0] == '\0')
        look_exclusively(t, d, block);
}

/* The block device of a controller's entry: nvme0n1 itself, and with multipath nvme0n1 of nvme0c1n1, which is
 * this controller's way to it. False: another kind of entry. */
static bool namespace_of(const char *entry, char *block, size_t size)
{
    unsigned head, ctrl, ns;
    int end = 0;

    if (sscanf(entry, "nvme%uc%un%u%n", &head, &ctrl, &ns, &end) != 3 || entry[end] != '\0') {
        end = 0;
        if (sscanf(entry, "nvme%un%u%n", &head, &ns, &end) != 2 || entry[end] != '\0')
            return false;
    }
    snprintf(block, size, "nvme%un%u", head, ns);
    return true;
}

static void look_at_nvme(const struct tables *t, struct pci_dev *d)
{
    char names[NAMESPACES][SYS_NAME], block[SYS_NAME];
    unsigned n =
        sys_list(t->root, names, NAMESPACES, "/sys/bus/pci/devices/%s/nvme/%s", d->addr, d->nvme);

    for (unsigned i = 0; i < n; i++) {
        size_t len = strlen(d->blocks);

        if (!namespace_of(names[i], block, sizeof block))
            continue;
        snprintf(d->blocks + len, sizeof d->blocks - len, "%s ", block);
        look_at_namespace(t, d, block);
    }
}

/* ---- NICs ---- */

enum routes { NO_ROUTE, SOME_ROUTE, DEFAULT_ROUTE };

static enum routes more(enum routes a, enum routes b)
{
    return a > b ? a : b;
}

/* /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
static enum routes routes_v4(const char *text, const char *iface)
{
    enum routes most = NO_ROUTE;
    unsigned long dest, mask;
    char name[32];

    for (const char *p = text; p != NULL; p = strchr(p + 1, '\n'))
        if (sscanf(p, "%31s %lx %*s %*s %*s %*s %*s %lx", name, &dest, &mask) == 3 &&
            strcmp(name, iface) == 0)
            most = more(most, dest == 0 && mask == 0 ? DEFAULT_ROUTE : SOME_ROUTE);
    return most;
}

/* /proc/net/ipv6_route: destination, its prefix length in hex, seven more fields, of which the last are flags, and
 * the interface. Every interface has its link-local and multicast routes (fe80::/10, ff00::/8). */
static enum routes routes_v6(const char *text, const char *iface)
{
    enum routes most = NO_ROUTE;
    char dest[40], name[32];
    unsigned len;

    for (const char *p = text; p != NULL; p = strchr(p + 1, '\n')) {
        if (sscanf(p, "%39s %x %*s %*s %*s %*s %*s %*s %*s %31s", dest, &len, name) != 3 ||
            strcmp(name, iface) != 0 || strncmp(dest, "fe8", 3) == 0 || strncmp(dest, "ff", 2) == 0)
            continue;
        most = more(most, len == 0 && strspn(dest, "0") == 32 ? DEFAULT_ROUTE : SOME_ROUTE);
    }
    return most;
}

/* What stands on an interface (VLANs, bonds, bridges) is linked as upper_NAME. */
static enum routes routes_over(const struct tables *t, const char *iface, unsigned depth)
{
    enum routes most = more(routes_v4(t->route4, iface), routes_v6(t->route6, iface));
    char names[256][SYS_NAME];
    unsigned n = depth == 0 ? 0 : sys_list(t->root, names, 256, "/sys/class/net/%s", iface);

    for (unsigned i = 0; i < n; i++)
        if (strncmp(names[i], "upper_", 6) == 0)
            most = more(most, routes_over(t, names[i] + 6, depth - 1));
    return most;
}

/* Drivers that make no interface, so that nothing is missed where there is none. */
static bool makes_none(const char *driver)
{
    static const char *const none[] = {"", "vfio-pci", "pci-stub", "uio_pci_generic", "igb_uio"};

    for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++)
        if (strcmp(driver, none[i]) == 0)
            return true;
    return false;
}

static void look_at_nic(const struct tables *t, struct pci_dev *d)
{
    char list[sizeof d->netdev], master[SYS_NAME], *rest = list, *iface;

    if (d->netdev[0] == '\0' && !makes_none(d->driver))
        add_use(d, "its interface is not to be seen here, it may be in another network namespace");
    strcpy(list, d->netdev);
    while ((iface = strsep(&rest, " ")) != NULL && *iface != '\0') {
        enum routes routes = routes_over(t, iface, 4);

        d->routes |= routes == SOME_ROUTE;
        if (routes == DEFAULT_ROUTE) {
            d->default_route = true;
            add_use(d, "%s carries the default route", iface);
        }
        if (sys_link(t->root, master, sizeof master, "/sys/class/net/%s/master", iface))
            add_use(d, "%s is a part of %s", iface, master);
    }
}

/* ---- processes ---- */

/* The device whose file this is: /dev/nvme0n1p2, /dev/ng0n1 or /dev/vfio/GROUP. */
static struct pci_dev *owner_of(struct machine *m, const char *file)
{
    unsigned head, ns, group;
    char block[SYS_NAME];
    int end = 0;

    if (sscanf(file, "/dev/vfio/%u%n", &group, &end) == 1 && file[end] == '\0') {
        for (unsigned i = 0; i < m->n_devs; i++)
            if (m->devs[i].group == (int)group && strcmp(m->devs[i].driver, "vfio-pci") == 0)
                return &m->devs[i];
        return NULL;
    }
    if (sscanf(file, "/dev/nvme%un%u", &head, &ns) != 2 &&
        sscanf(file, "/dev/ng%un%u", &head, &ns) != 2)
        return NULL;
    snprintf(block, sizeof block, "nvme%un%u", head, ns);
    for (unsigned i = 0; i < m->n_devs; i++)
        if (pci_has_block(&m->devs[i], block))
            return &m->devs[i];
    return NULL;
}

/* Each device is told of once for a process, by the first of its files. */
static void look_at_fds(const struct tables *t, struct machine *m, const char *pid)
{
    char file[128], comm[32], fds[FILES][SYS_NAME], mine[64];
    unsigned n = sys_list(t->root, fds, FILES, "/proc/%s/fd", pid);

    snprintf(mine, sizeof mine, "process %.20s ", pid);
    for (unsigned i = 0; i < n; i++) {
        struct pci_dev *d;

        sys_target(t->root, file, sizeof file, "/proc/%s/fd/%s", pid, fds[i]);
        if (strncmp(file, "/dev/", 5) != 0 || (d = owner_of(m, file)) == NULL ||
            strstr(d->use, mine) != NULL)
            continue;
        sys_line(t->root, comm, sizeof comm, "/proc/%s/comm", pid);
        add_use(d, "%s(%s) has %s open", mine, comm, file);
    }
}

/* Ours may have inherited a file of its caller's, which is found there. */
static void look_at_processes(const struct tables *t, struct machine *m)
{
    char path[PATH_MAX], own[32];
    struct dirent *e;
    DIR *dir;

    sys_link(t->root, own, sizeof own, "/proc/self");
    snprintf(path, sizeof path, "%s/proc", t->root);
    dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (isdigit((unsigned char)e->d_name[0]) && strcmp(e->d_name, own) != 0)
            look_at_fds(t, m, e->d_name);
    if (dir != NULL)
        closedir(dir);
}

void machine_read_use(const char *root, struct machine *m)
{
    struct tables t = {
        .root = root,
        .mounts = sys_text(root, "/proc/self/mountinfo"),
        .swaps = sys_text(root, "/proc/swaps"),
        .route4 = sys_text(root, "/proc/net/route"),
        .route6 = sys_text(root, "/proc/net/ipv6_route"),
    };

    for (unsigned i = 0; i < m->n_devs; i++) {
        if (m->devs[i].nvme[0] != '\0')
            look_at_nvme(&t, &m->devs[i]);
        else if (pci_is_nic(&m->devs[i]))
            look_at_nic(&t, &m->devs[i]);
    }
    look_at_processes(&t, m);
    free(t.mounts);
    free(t.swaps);
    free(t.route4);
    free(t.route6);
}
