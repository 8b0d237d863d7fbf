/* SPDX-License-Identifier: BSD-3-Clause */
/* Facts of the machine as a whole: CPUs, nodes, huge pages, VFIO, IOMMU, limits. */
#include "machine.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_IPC_LOCK_BIT 14 /* linux/capability.h */

/* ---- CPUs and nodes ---- */

static void read_cpu_list(const char *root, const char *what, cpu_set_t *out)
{
    char list[1024];

    sys_line(root, list, sizeof list, "/sys/devices/system/cpu/%s", what);
    sys_cpus(list, out);
}

static void read_cpus(const char *root, struct machine *m)
{
    char governor[32];

    read_cpu_list(root, "present", &m->present);
    read_cpu_list(root, "online", &m->online);
    read_cpu_list(root, "isolated", &m->isolated);
    read_cpu_list(root, "nohz_full", &m->nohz_full);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &m->online) &&
            sys_line(root, governor, sizeof governor,
                     "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu) &&
            strcmp(governor, "performance") != 0)
            CPU_SET(cpu, &m->slow_governor);
}

/* "10 21": to node 0, 1, ... of those that are online. */
static void read_distances(const char *root, struct machine *m, unsigned node, const cpu_set_t *ids)
{
    char line[512], *p = line, *end;

    sys_line(root, line, sizeof line, "/sys/devices/system/node/node%u/distance", node);
    for (unsigned to = 0; to < MACHINE_NODES; to++) {
        unsigned long d;

        if (!CPU_ISSET(to, ids))
            continue;
        d = strtoul(p, &end, 10);
        if (end == p)
            return;
        m->distance[node][to] = (uint8_t)d;
        p = end;
    }
}

/* "MemTotal:  123 kB", which a node's file begins with "Node 0 ". */
static uint64_t read_ram(const char *root, const char *path)
{
    char *text = sys_text(root, path), *at = text == NULL ? NULL : strstr(text, "MemTotal:");
    uint64_t bytes = at == NULL ? 0 : strtoull(at + 9, NULL, 10) << 10;

    free(text);
    return bytes;
}

static void read_nodes(const char *root, struct machine *m)
{
    char line[1024];
    cpu_set_t ids;

    m->ram = read_ram(root, "/proc/meminfo");
    sys_line(root, line, sizeof line, "/sys/devices/system/node/online");
    sys_cpus(line, &ids); /* written like CPUs */
    for (unsigned node = 0; node < MACHINE_NODES; node++) {
        if (!CPU_ISSET(node, &ids))
            continue;
        m->n_nodes = node + 1;
        sys_line(root, line, sizeof line, "/sys/devices/system/node/node%u/cpulist", node);
        sys_cpus(line, &m->node_cpus[node]);
        snprintf(line, sizeof line, "/sys/devices/system/node/node%u/meminfo", node);
        m->node_ram[node] = read_ram(root, line);
        read_distances(root, m, node, &ids);
    }
}

int machine_cpu_node(const struct machine *m, unsigned cpu)
{
    for (unsigned node = 0; node < m->n_nodes; node++)
        if (CPU_ISSET(cpu, &m->node_cpus[node]))
            return (int)node;
    return -1;
}

/* ---- huge pages ---- */

static void read_page_size(const char *root, struct machine *m, uint64_t kib)
{
    static const char node_dir[] =
        "/sys/devices/system/node/node%u/hugepages/hugepages-%" PRIu64 "kB/%s";
    struct huge_pages *p = &m->pages[m->n_pages];

    if (m->n_pages == MACHINE_PAGES)
        return;
    m->n_pages++;
    p->size = kib << 10;
    p->total = (uint64_t)sys_number(
        root, 0, "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/nr_hugepages", kib);
    p->free = (uint64_t)sys_number(
        root, 0, "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages", kib);
    for (unsigned node = 0; node < m->n_nodes; node++) {
        p->node_total[node] = (uint64_t)sys_number(root, 0, node_dir, node, kib, "nr_hugepages");
        p->node_free[node] = (uint64_t)sys_number(root, 0, node_dir, node, kib, "free_hugepages");
    }
}

/* "pagesize=2M" of a mount's options; `standard` when it is not told. */
static uint64_t mount_page_size(const char *options, uint64_t standard)
{
    const char *p = strstr(options, "pagesize=");
    char *end;
    uint64_t n;

    if (p == NULL)
        return standard;
    n = strtoull(p + 9, &end, 10);
    return n << (*end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0);
}

static void read_mounts(const char *root, struct machine *m)
{
    char *text = sys_text(root, "/proc/mounts"), *rest = text, *line;

    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
        char where[128], type[32], options[256];
        uint64_t size;

        if (sscanf(line, "%*s %127s %31s %255s", where, type, options) != 3 ||
            strcmp(type, "hugetlbfs") != 0)
            continue;
        size = mount_page_size(options, m->n_pages == 0 ? 0 : m->pages[0].size);
        for (unsigned i = 0; i < m->n_pages; i++)
            if (m->pages[i].size == size)
                strcpy(m->pages[i].mount, where);
    }
    free(text);
}

static void read_huge(const char *root, struct machine *m)
{
    char names[MACHINE_PAGES * 2][SYS_NAME];
    unsigned n = sys_list(root, names, MACHINE_PAGES * 2, "/sys/kernel/mm/hugepages");
    char *meminfo = sys_text(root, "/proc/meminfo");
    char *at = meminfo == NULL ? NULL : strstr(meminfo, "Hugepagesize:");
    uint64_t standard = at == NULL ? 2048 : strtoull(at + 13, NULL, 10), kib;

    free(meminfo);
    for (unsigned pass = 0; pass < 2; pass++) /* the default size first */
        for (unsigned i = 0; i < n; i++)
            if (sscanf(names[i], "hugepages-%" SCNu64 "kB", &kib) == 1 &&
                (kib == standard) == (pass == 0))
                read_page_size(root, m, kib);
    read_mounts(root, m);
}

/* ---- VFIO, IOMMU, limits ---- */

static bool module_listed(const char *root, const char *kernel)
{
    char path[160], *text;
    bool listed;

    snprintf(path, sizeof path, "/lib/modules/%s/modules.dep", kernel);
    text = sys_text(root, path);
    listed = text != NULL && strstr(text, "/vfio-pci.ko") != NULL;
    free(text);
    return listed;
}

/* With the line that commands edit, as Debian's update-grub reads it. */
static bool has_grub(const char *root)
{
    static const char line[] = "GRUB_CMDLINE_LINUX=\"";
    char *text = sys_text(root, "/etc/default/grub"), *at = text;
    bool found = false;

    while (!found && at != NULL && (at = strstr(at, line)) != NULL) {
        found = at == text || at[-1] == '\n';
        at++;
    }
    free(text);
    return found && sys_exists(root, "/usr/sbin/update-grub");
}

/* The last one on the command line counts, as it does for the kernel. */
static void read_iommu_off(const char *root, struct machine *m)
{
    static const char *const off[] = {"iommu=off", "intel_iommu=off", "amd_iommu=off"};
    char line[4096], *rest = line, *word;

    sys_line(root, line, sizeof line, "/proc/cmdline");
    while ((word = strsep(&rest, " ")) != NULL)
        for (unsigned i = 0; i < sizeof off / sizeof off[0]; i++)
            if (strcmp(word, off[i]) == 0)
                strcpy(m->iommu_off, off[i]);
}

static void read_vfio(const char *root, struct machine *m)
{
    char line[256], names[1][SYS_NAME], *cpuinfo = sys_text(root, "/proc/cpuinfo");

    sys_line(root, m->kernel, sizeof m->kernel, "/proc/sys/kernel/osrelease");
    m->vfio_pci = sys_exists(root, "/sys/bus/pci/drivers/vfio-pci");
    m->vfio_type1 = sys_exists(root, "/sys/module/vfio_iommu_type1");
    m->vfio_module = module_listed(root, m->kernel);
    m->noiommu = sys_line(root, line, sizeof line, "/sys/module/vfio/parameters/%s",
                          "enable_unsafe_noiommu_mode") &&
                 line[0] == 'Y';
    m->iommu = sys_list(root, names, 1, "/sys/kernel/iommu_groups") != 0;
    m->iommu_firmware = sys_exists(root, "/sys/firmware/acpi/tables/DMAR") ||
                        sys_exists(root, "/sys/firmware/acpi/tables/IVRS");
    m->intel = cpuinfo != NULL && strstr(cpuinfo, "GenuineIntel") != NULL;
    m->grub = has_grub(root);
    read_iommu_off(root, m);
    free(cpuinfo);
}

static void read_limits(const char *root, struct machine *m)
{
    char *limits = sys_text(root, "/proc/self/limits"),
         *status = sys_text(root, "/proc/self/status");
    char *at = limits == NULL ? NULL : strstr(limits, "Max locked memory");
    unsigned long long caps = 0, uid = 1;
    char *p;

    if (at != NULL) {
        at += 17;
        at += strspn(at, " ");
        m->memlock = strncmp(at, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(at, NULL, 10);
    }
    p = status == NULL ? NULL : strstr(status, "CapEff:");
    if (p != NULL)
        caps = strtoull(p + 7, NULL, 16);
    p = status == NULL ? NULL : strstr(status, "Uid:");
    if (p != NULL)
        sscanf(p, "Uid: %*u %llu", &uid);
    m->ipc_lock = (caps >> CAP_IPC_LOCK_BIT & 1) != 0;
    m->uid = (unsigned)uid;
    free(limits);
    free(status);
}

/* ---- all ---- */

int machine_read(const char *root, struct machine *m)
{
    int rc;

    memset(m, 0, sizeof *m);
    read_cpus(root, m);
    read_nodes(root, m);
    read_huge(root, m);
    read_vfio(root, m);
    read_limits(root, m);
    rc = machine_read_pci(root, m);
    if (rc == 0)
        machine_read_use(root, m);
    return rc;
}

void machine_free(struct machine *m)
{
    free(m->devs);
    m->devs = NULL;
}
