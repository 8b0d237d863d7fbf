/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wanted of the machine: all there is on its bus, what the operator names, or what a profile needs. */
#include "config.h"
#include "judge.h"
#include "memory.h"
#include "netcfg.h"
#include <errno.h>
#include <headgate/bdev.h>
#include <headgate/units.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_PRESET (UINT64_C(2) << 30) /* asked for when no profile says how much, */
#define MEMORY_PART 4                     /* but no more than this part of what there is */

_Static_assert(MACHINE_NODES == MEMORY_NODES && PCI_ADDR == MEMORY_PCI_ADDR, "handed over");

/* A controller with several namespaces is wanted once. NULL: there is no room. */
static struct want_dev *add(struct wants *w, const char *addr)
{
    struct want_dev *d = &w->devs[w->n_devs];

    for (unsigned i = 0; i < w->n_devs && addr[0] != '\0'; i++)
        if (strcmp(w->devs[i].addr, addr) == 0)
            return &w->devs[i];
    if (w->n_devs == WANTS_DEVS)
        return NULL;
    w->n_devs++;
    snprintf(d->addr, sizeof d->addr, "%s", addr);
    return d;
}

/* Without a profile: equal parts on the devices' nodes, on the first node where none is told. */
static void preset_memory(const struct machine *m, struct wants *w)
{
    uint64_t all =
        m->ram != 0 && m->ram / MEMORY_PART < MEMORY_PRESET ? m->ram / MEMORY_PART : MEMORY_PRESET;
    bool on[MACHINE_NODES] = {false};
    unsigned n = 0;

    w->huge = true;
    for (unsigned i = 0; i < w->n_devs; i++) {
        const struct pci_dev *d = machine_dev(m, w->devs[i].addr);

        if (d != NULL && d->node >= 0 && (unsigned)d->node < m->n_nodes && !on[d->node]) {
            on[d->node] = true;
            n++;
        }
    }
    on[0] = on[0] || n == 0;
    for (unsigned node = 0; node < MACHINE_NODES; node++)
        w->memory[node] = on[node] ? all / (n == 0 ? 1 : n) : 0;
}

void wants_all(const struct machine *m, struct wants *w)
{
    w->all = true;
    w->control = -1;
    for (unsigned nic = 0; nic < 2; nic++)
        for (unsigned i = 0; i < m->n_devs; i++) {
            const struct pci_dev *d = &m->devs[i];
            struct want_dev *want = (nic ? pci_is_nic(d) : pci_is_nvme(d)) ? add(w, d->addr) : NULL;

            if (want != NULL)
                want->nic = nic;
        }
    preset_memory(m, w);
}

/* "nvme:serial=..." to "/ns=" or the end; the controller must be the kernel's to tell its number. */
static bool find_serial(const struct machine *m, const char *text, char addr[PCI_ADDR])
{
    const char *serial = strncmp(text, "nvme:serial=", 12) == 0 ? text + 12 : NULL, *end;
    size_t len;

    addr[0] = '\0';
    if (serial == NULL)
        return false;
    end = strstr(serial, "/ns=");
    len = end != NULL ? (size_t)(end - serial) : strlen(serial);
    for (unsigned i = 0; i < m->n_devs; i++)
        if (len != 0 && strlen(m->devs[i].serial) == len &&
            memcmp(m->devs[i].serial, serial, len) == 0)
            strcpy(addr, m->devs[i].addr);
    return true;
}

/* Whether it is a path like /dev/nvme0n1 or /dev/ng0n1, or of a partition; the controller's address, "" when the kernel has no
 * such device. */
static bool find_block(const struct machine *m, const char *path, char addr[PCI_ADDR])
{
    unsigned head, ns;
    char block[32];

    if (sscanf(path, "/dev/nvme%un%u", &head, &ns) != 2 &&
        sscanf(path, "/dev/ng%un%u", &head, &ns) != 2)
        return false;
    addr[0] = '\0';
    snprintf(block, sizeof block, "nvme%un%u", head, ns);
    for (unsigned i = 0; i < m->n_devs; i++)
        if (pci_has_block(&m->devs[i], block))
            strcpy(addr, m->devs[i].addr);
    return true;
}

static void add_store(const struct machine *m, const char *text, const char *by, struct wants *w)
{
    char addr[PCI_ADDR];
    bool kernel = find_block(m, text, addr), known;
    struct want_dev *d;

    if (!kernel &&
        (text[0] == '/' || strncmp(text, "mem:", 4) == 0 || strncmp(text, "nvme-emu:", 9) == 0))
        return; /* a file, another block device, memory, emulated: nothing of ours to prepare */
    if (!kernel && !find_serial(m, text, addr) && !memory_pci_address(text, addr))
        return;
    d = add(w, addr);
    if (d == NULL)
        return;
    known = d->by[0] != '\0';
    d->both = known && d->kernel != kernel;
    d->kernel = kernel;
    d->bare = !kernel && strncmp(text, "nvme:", 5) != 0;
    if (!known)
        snprintf(d->by, sizeof d->by, "%s = %s", by, text);
}

int wants_named(const struct machine *m, const char *name, struct wants *w, struct hg_err *err)
{
    char addr[PCI_ADDR];
    const struct pci_dev *dev;
    struct want_dev *d;

    w->control = -1;
    if (!find_block(m, name, addr) && !memory_pci_address(name, addr))
        return hg_fail(err, -EINVAL, "%s: write a PCI address like 0000:03:00.0", name);
    dev = machine_dev(m, addr);
    d = addr[0] == '\0' ? NULL : add(w, addr);
    if (d == NULL && addr[0] == '\0')
        return hg_fail(err, -ENODEV, "%s: the kernel's NVMe driver has no such device", name);
    if (d == NULL)
        return hg_fail(err, -EINVAL, "more than %d devices", WANTS_DEVS);
    if (dev != NULL && !pci_is_nic(dev) && !pci_is_nvme(dev))
        return hg_fail(err, -EINVAL, "%s: neither a NIC nor an NVMe controller", name);
    d->nic = dev != NULL && pci_is_nic(dev);
    snprintf(d->by, sizeof d->by, "%s", name);
    preset_memory(m, w);
    return 0;
}

static void add_cpus(const struct config *cfg, struct wants *w)
{
    char list[CFG_TEXT_MAX], *rest = list, *item;
    uint64_t cpu;

    w->control = hg_units_count(cfg->control_cpu, &cpu) == 0 ? (int)cpu : -1;
    w->pin = cfg->pin;
    snprintf(list, sizeof list, "%s", cfg->shard_cpus);
    while ((item = strsep(&rest, ",")) != NULL) {
        if (hg_units_count(netcfg_strip(item), &cpu) != 0 || cpu >= CPU_SETSIZE ||
            w->n_shards == WANTS_SHARDS)
            continue;
        CPU_SET(cpu, &w->shards);
        w->shard_cpu[w->n_shards++] = (unsigned)cpu;
    }
}

static int node_of_cpu(void *arg, unsigned cpu)
{
    return machine_cpu_node(arg, cpu);
}

static int node_of_device(void *arg, const char *addr)
{
    const struct pci_dev *d = machine_dev(arg, addr);

    return d == NULL ? -1 : d->node;
}

int wants_profile(const struct machine *m, const char *file, struct wants *w, struct hg_err *err)
{
    static struct config cfg; /* large, and only one is read */
    const struct memory_where where = {node_of_cpu, node_of_device, (void *)(uintptr_t)m};
    char addr[PCI_ADDR], by[32];
    int rc;

    config_defaults(&cfg);
    rc = config_load(&cfg, file, err);
    if (rc != 0)
        return rc;
    w->profile = true;
    w->huge = cfg.huge;
    w->pci = cfg.pci;
    memory_by_node(&cfg, &where, w->memory);
    add_cpus(&cfg, w);
    for (unsigned i = 0; i < netcfg_ports(&cfg); i++) {
        struct want_dev *d;

        if (!memory_pci_address(cfg.ports[i].device, addr) || (d = add(w, addr)) == NULL)
            continue;
        d->nic = true;
        snprintf(d->by, sizeof d->by, "[%s] device = %s", netcfg_section(i), cfg.ports[i].device);
    }
    for (unsigned i = 0; i < config_devices(&cfg); i++) {
        char ctrl[HG_BDEV_NVME_NAME];

        if (hg_bdev_nvme_name(cfg.devices[i], ctrl, err) < 0)
            return -EINVAL;
        snprintf(by, sizeof by, "[store] device%u", i);
        add_store(m, cfg.devices[i], by, w);
    }
    return 0;
}
