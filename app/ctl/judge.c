/* SPDX-License-Identifier: BSD-3-Clause */
/* The verdict, and the machine as a whole: VFIO and the IOMMU. */
#include "judge.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const level_names[] = {"fine", "note", "advice", "missing"};

struct finding *find(struct verdict *v, enum level level, const char *check, const char *fmt, ...)
{
    /* The last place is taken again and again when there are too many. */
    struct finding *f = &v->list[v->n < FINDINGS_MAX ? v->n++ : FINDINGS_MAX - 1];
    va_list ap;

    *f = (struct finding){.level = level, .check = check};
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return f;
}

void mend(struct finding *f, const char *fmt, ...)
{
    va_list ap;

    if (f->n_commands == COMMANDS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(f->commands[f->n_commands++], sizeof f->commands[0], fmt, ap);
    va_end(ap);
}

unsigned verdict_count(const struct verdict *v, enum level level)
{
    unsigned n = 0;

    for (unsigned i = 0; i < v->n; i++)
        n += v->list[i].level == level;
    return n;
}

/* ---- VFIO ---- */

#define VENDOR_MELLANOX 0x15b3u  /* NVIDIA ConnectX and BlueField: DPDK's mlx5 needs mlx5_core */
#define VENDOR_MICROSOFT 0x1414u /* MANA: DPDK's needs mana and mana_ib */

bool pci_bifurcated(const struct pci_dev *d)
{
    return pci_is_nic(d) && (d->vendor == VENDOR_MELLANOX || d->vendor == VENDOR_MICROSOFT);
}

bool wants_vfio(const struct machine *m, const struct wants *w)
{
    if (w->all)
        return true; /* the question is what the machine can do */
    for (unsigned i = 0; i < w->n_devs; i++) {
        const struct pci_dev *d = machine_dev(m, w->devs[i].addr);

        if (!w->devs[i].kernel && (d == NULL || !pci_bifurcated(d)))
            return true;
    }
    return false;
}

bool vfio_usable(const struct machine *m)
{
    return (m->vfio_pci || m->vfio_module) && (m->iommu || m->noiommu);
}

static void judge_vfio(const struct machine *m, struct verdict *v)
{
    struct finding *f;

    if (m->vfio_pci && m->vfio_type1) {
        find(v, LEVEL_FINE, "vfio", "the kernel has vfio-pci");
        return;
    }
    if (!m->vfio_module && !m->vfio_pci) {
        find(
            v, LEVEL_MISSING, "vfio",
            "kernel %s has no vfio-pci, built in or as a module below /lib/modules/%s: install the "
            "distribution's full kernel or its package of extra modules; until then devices can be "
            "used through the kernel only",
            m->kernel, m->kernel);
        return;
    }
    f = find(v, LEVEL_MISSING, "vfio", "%s is not loaded",
             m->vfio_pci ? "vfio_iommu_type1" : "vfio-pci");
    mend(f, "modprobe %s", m->vfio_pci ? "vfio_iommu_type1" : "vfio-pci");
}

void mend_cmdline(const struct machine *m, struct finding *f, const char *words)
{
    if (!m->grub)
        return;
    mend(f, "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&%s /' /etc/default/grub", words);
    mend(f, "update-grub");
}

static void judge_iommu(const struct machine *m, struct verdict *v)
{
    const char *words = m->intel ? "intel_iommu=on iommu=pt" : "amd_iommu=on iommu=pt";
    struct finding *f;

    if (m->noiommu)
        find(v, LEVEL_NOTE, "noiommu",
             "VFIO's unsafe mode without IOMMU is on: a device can write to any memory");
    if (m->iommu) {
        find(v, LEVEL_FINE, "iommu", "the IOMMU is on");
        return;
    }
    if (!m->iommu_firmware) {
        find(v, LEVEL_MISSING, "iommu",
             "there is no IOMMU: the firmware offers none (ACPI has no %s table). Switch on %s in "
             "the firmware's set-up; a virtual machine must be given one",
             m->intel ? "DMAR" : "IVRS", m->intel ? "VT-d" : "AMD-Vi (IOMMU)");
        return;
    }
    if (m->iommu_off[0] != '\0') {
        f = find(v, LEVEL_MISSING, "iommu",
                 "the IOMMU is off because the kernel's command line says %s: take that out and "
                 "restart the machine",
                 m->iommu_off);
        if (m->grub) {
            mend(f, "sed -i 's/\\b%s\\b//' /etc/default/grub", m->iommu_off);
            mend(f, "update-grub");
        }
        return;
    }
    f = find(v, LEVEL_MISSING, "iommu",
             "the IOMMU is off: the machine has one, but the kernel does not use it. Put \"%s\" on "
             "the kernel's command line and restart the machine",
             words);
    mend_cmdline(m, f, words);
}

void judge_machine(const struct machine *m, const struct wants *w, struct verdict *v)
{
    if (!wants_vfio(m, w))
        return;
    judge_vfio(m, v);
    judge_iommu(m, v);
}

void judge(const struct machine *m, const struct wants *w, struct verdict *v)
{
    judge_machine(m, w, v);
    judge_memory(m, w, v);
    judge_cpus(m, w, v);
    judge_devices(m, w, v);
}
