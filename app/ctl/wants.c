/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wanted of the machine: all there is on its bus, what the operator names, or what a profile needs. */
#include "config.h"
#include "judge.h"
#include "memory.h"
#include "netcfg.h"
#include <errno.h>
#include <headgate/units.h>
#include <stdio.h>
#include <string.h>

static struct want_dev *add(struct wants *w, const char *addr)
{
    struct want_dev *d = &w->devs[w->n_devs];

    if (w->n_devs == WANTS_DEVS)
        return NULL;
    w->n_devs++;
    *d = (struct want_dev){.kernel = false};
    snprintf(d->addr, sizeof d->addr, "%s", addr);
    return d;
}

void wants_all(const struct machine *m, struct wants *w)
{
    w->all = w->huge = true;
    w->control = -1;
    for (unsigned nic = 0; nic < 2; nic++)
        for (unsigned i = 0; i < m->n_devs; i++) {
            const struct pci_dev *d = &m->devs[i];
            struct want_dev *want = (nic ? pci_is_nic(d) : pci_is_nvme(d)) ? add(w, d->addr) : NULL;

            if (want != NULL)
                want->nic = nic;
        }
}

/* The first PCI address in a text, in its long form. */
static bool find_addr(const char *text, char addr[PCI_ADDR])
{
    unsigned domain, bus, slot, function;

    for (const char *p = text; *p != '\0'; p++) {
        int end = 0;

        if (p != text && strchr(":,= ", p[-1]) == NULL)
            continue;
        if (sscanf(p, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 ||
            end == 0) {
            domain = 0;
            if (sscanf(p, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 || end == 0)
                continue;
        }
        if (p[end] != '\0' && strchr(", /", p[end]) == NULL)
            continue;
        snprintf(addr, PCI_ADDR, "%04x:%02x:%02x.%x", domain, bus & 0xff, slot & 0xff,
                 function & 0xf);
        return true;
    }
    return false;
}

/* "serial=..." to "/ns=" or the end; the controller must be the kernel's to tell its number. */
static bool find_serial(const struct machine *m, const char *text, char addr[PCI_ADDR])
{
    const char *serial = strstr(text, "serial="), *end;
    size_t len;

    addr[0] = '\0';
    if (serial == NULL)
        return false;
    serial += 7;
    end = strstr(serial, "/ns=");
    len = end != NULL ? (size_t)(end - serial) : strlen(serial);
    for (unsigned i = 0; i < m->n_devs; i++)
        if (len != 0 && strlen(m->devs[i].serial) == len &&
            memcmp(m->devs[i].serial, serial, len) == 0)
            strcpy(addr, m->devs[i].addr);
    return true;
}

/* Whether it is a path like /dev/nvme0n1, or of a partition; the controller's address, "" when the kernel has no
 * such device. */
static bool find_block(const struct machine *m, const char *path, char addr[PCI_ADDR])
{
    unsigned head, ns;
    char block[32];

    if (sscanf(path, "/dev/nvme%un%u", &head, &ns) != 2)
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
    struct want_dev *d;
    bool kernel = find_block(m, text, addr);

    if (!kernel && (text[0] == '/' || strncmp(text, "mem:", 4) == 0))
        return; /* a file, another block device, memory: nothing of ours to prepare */
    if (!kernel && !find_serial(m, text, addr) && !find_addr(text, addr))
        return;
    d = add(w, addr);
    if (d == NULL)
        return;
    d->kernel = kernel;
    snprintf(d->by, sizeof d->by, "%s = %s", by, text);
}

int wants_named(const struct machine *m, const char *name, struct wants *w, struct hg_err *err)
{
    char addr[PCI_ADDR];
    const struct pci_dev *dev;
    struct want_dev *d;

    w->huge = true;
    w->control = -1;
    if (!find_block(m, name, addr) && !find_addr(name, addr))
        return hg_fail(err, -EINVAL, "%s: write a PCI address like 0000:03:00.0", name);
    dev = machine_dev(m, addr);
    d = addr[0] == '\0' ? NULL : add(w, addr);
    if (d == NULL && addr[0] == '\0')
        return hg_fail(err, -ENODEV, "%s: the kernel's NVMe driver has no such device", name);
    if (d == NULL)
        return hg_fail(err, -EINVAL, "more than %d devices", WANTS_DEVS);
    d->nic = dev != NULL && pci_is_nic(dev);
    snprintf(d->by, sizeof d->by, "%s", name);
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

int wants_profile(const struct machine *m, const char *file, struct wants *w, struct hg_err *err)
{
    static struct config cfg; /* large, and only one is read */
    char addr[PCI_ADDR], by[32];
    int rc;

    config_defaults(&cfg);
    rc = config_load(&cfg, file, err);
    if (rc != 0)
        return rc;
    w->profile = true;
    w->huge = cfg.huge;
    w->pci = cfg.pci;
    w->memory = memory_total(&cfg);
    add_cpus(&cfg, w);
    for (unsigned i = 0; i < netcfg_ports(&cfg); i++) {
        struct want_dev *d;

        if (!find_addr(cfg.ports[i].device, addr) || (d = add(w, addr)) == NULL)
            continue;
        d->nic = true;
        snprintf(d->by, sizeof d->by, "[%s] device = %s", netcfg_section(i), cfg.ports[i].device);
    }
    for (unsigned i = 0; i < config_devices(&cfg); i++) {
        snprintf(by, sizeof by, "[store] device%u", i);
        add_store(m, cfg.devices[i], by, w);
    }
    return 0;
}
