/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices one by one: there, bound to the right driver, alone in their IOMMU group. */
#include "judge.h"
#include <stdio.h>
#include <string.h>

#define VFIO "vfio-pci"

static const char *kind(const struct pci_dev *d)
{
    return pci_is_nvme(d) ? "NVMe controller" : pci_is_nic(d) ? "NIC" : "device";
}

static bool wanted(const struct wants *w, const char *addr)
{
    for (unsigned i = 0; i < w->n_devs; i++)
        if (strcmp(w->devs[i].addr, addr) == 0)
            return true;
    return false;
}

/* ---- the driver ---- */

static void mend_bind(struct finding *f, const struct pci_dev *d)
{
    mend(f, "echo " VFIO " > /sys/bus/pci/devices/%s/driver_override", d->addr);
    if (d->driver[0] != '\0')
        mend(f, "echo %s > /sys/bus/pci/devices/%s/driver/unbind", d->addr, d->addr);
    mend(f, "echo %s > /sys/bus/pci/drivers_probe", d->addr);
}

/* Without a name from the operator a device in use is nobody's loss, only not to be had. */
static void judge_used(const struct pci_dev *d, const struct want_dev *want, struct verdict *v)
{
    enum level level = want->by[0] != '\0' ? LEVEL_MISSING : LEVEL_NOTE;

    if (d->default_route)
        find(v, level, "driver",
             "driver %s, and %s: it is left alone, since to take it could cut this machine off. "
             "Use another NIC%s",
             d->driver, d->use,
             d->vfs_max != 0 ? ", or a virtual function of this one (sriov_numvfs)" : "");
    else
        find(v, level, "driver", "driver %s, and in use: %s; it is left alone%s", d->driver, d->use,
             level == LEVEL_MISSING ? ". Free it first, or name another device" : "");
}

static void judge_unbound(const struct machine *m, const struct pci_dev *d, struct verdict *v)
{
    char lost[192] = "";
    struct finding *f;

    if (d->netdev[0] != '\0')
        snprintf(lost, sizeof lost, "; the kernel loses %s%s", d->netdev,
                 d->routes ? " and the routes over it: be sure that you do not come in by it" : "");
    else if (d->nvme[0] != '\0')
        snprintf(lost, sizeof lost, "; the kernel loses %s", d->nvme);
    f = find(v, LEVEL_MISSING, "driver", "%s%s, and our driver needs " VFIO "%s%s",
             d->driver[0] == '\0' ? "no driver" : "driver ", d->driver, lost,
             vfio_usable(m) ? ""
                            : "; it can be bound when VFIO and the IOMMU are there, see above");
    if (vfio_usable(m))
        mend_bind(f, d);
}

/* VFIO has it: may we have it from VFIO? Without an IOMMU the file has another name, and root only. */
static void judge_bound(const struct machine *m, const struct pci_dev *d, struct verdict *v)
{
    struct finding *f;

    if (d->group < 0 || d->vfio_open) {
        find(v, LEVEL_FINE, "driver", "driver " VFIO "%s%s", d->use[0] != '\0' ? "; " : "", d->use);
        return;
    }
    if (!d->vfio_file) {
        find(v, LEVEL_MISSING, "driver",
             "driver " VFIO ", but there is no /dev/vfio/%d: a container has to be given it and "
             "/dev/vfio/vfio",
             d->group);
        return;
    }
    f = find(v, LEVEL_MISSING, "driver", "driver " VFIO ", but user %u may not open /dev/vfio/%d",
             m->uid, d->group);
    mend(f, "chown %u /dev/vfio/%d", m->uid, d->group);
}

static void judge_driver(const struct machine *m, const struct pci_dev *d,
                         const struct want_dev *want, struct verdict *v)
{
    if (pci_bifurcated(d))
        find(v, d->driver[0] != '\0' ? LEVEL_FINE : LEVEL_MISSING, "driver",
             "driver %s: DPDK drives this NIC beside the kernel's own driver, which must be bound",
             d->driver[0] != '\0' ? d->driver : "none");
    else if (strcmp(d->driver, VFIO) == 0)
        judge_bound(m, d, v);
    else if (d->use[0] != '\0')
        judge_used(d, want, v);
    else if (d->vfs != 0)
        find(v, want->by[0] != '\0' ? LEVEL_MISSING : LEVEL_NOTE, "driver",
             "driver %s, with %u virtual functions, which would go with it: it is left alone. Use "
             "one "
             "of them",
             d->driver, d->vfs);
    else
        judge_unbound(m, d, v);
}

/* Of the pool, but through the kernel: only who else has it matters. */
static void judge_kernel_path(const struct pci_dev *d, const struct want_dev *want,
                              struct verdict *v)
{
    if (d->use[0] != '\0')
        find(v, LEVEL_MISSING, "driver", "%s: %s; free it, or name another device", want->by,
             d->use);
    else
        find(v, LEVEL_NOTE, "driver",
             "%s: through the kernel (io_uring). To drive it from user space write nvme:%s",
             want->by, d->addr);
}

/* ---- the IOMMU group ---- */

/* What may stay in a group that a process has (kernel: vfio_dev_viable): bridges, no driver, VFIO's. */
static bool harmless(const struct pci_dev *d)
{
    return d->class >> 8 == PCI_CLASS_BRIDGE || d->driver[0] == '\0' ||
           strcmp(d->driver, VFIO) == 0 || strcmp(d->driver, "pci-stub") == 0;
}

static void judge_member(const struct machine *m, const struct pci_dev *d,
                         const struct pci_dev *other, struct verdict *v)
{
    struct finding *f;

    if (other->use[0] != '\0') {
        find(v, LEVEL_MISSING, "iommu-group",
             "IOMMU group %d is shared with %s (%s, driver %s), and that is in use: %s. VFIO gives "
             "out whole groups only: put the device into another slot, or use another one",
             d->group, other->addr, kind(other), other->driver, other->use);
        return;
    }
    f = find(v, LEVEL_MISSING, "iommu-group",
             "IOMMU group %d is shared with %s (%s, class %06x, driver %s): VFIO gives out whole "
             "groups only, so the kernel has to leave that one too",
             d->group, other->addr, kind(other), other->class, other->driver);
    if (vfio_usable(m))
        mend(f, "echo %s > /sys/bus/pci/devices/%s/driver/unbind", other->addr, other->addr);
}

static void judge_group(const struct machine *m, const struct wants *w, const struct pci_dev *d,
                        struct verdict *v)
{
    unsigned n = 0;

    if (d->group < 0) {
        if (m->iommu)
            find(v, LEVEL_MISSING, "iommu-group",
                 "the IOMMU is on, but the device is in none of its groups: VFIO cannot have it");
        return;
    }
    for (unsigned i = 0; i < m->n_devs; i++) {
        const struct pci_dev *other = &m->devs[i];

        if (other == d || other->group != d->group || other->class >> 8 == PCI_CLASS_BRIDGE)
            continue;
        n++;
        if (harmless(other) || (wanted(w, other->addr) && other->use[0] == '\0'))
            find(v, LEVEL_NOTE, "iommu-group", "IOMMU group %d is shared with %s", d->group,
                 other->addr);
        else
            judge_member(m, d, other, v);
    }
    if (n == 0)
        find(v, LEVEL_FINE, "iommu-group", "alone in IOMMU group %d", d->group);
}

/* ---- all ---- */

/* The kernel's driver tells serial numbers; of a controller that VFIO has nobody does before it is opened. */
static void judge_serial(const struct machine *m, const struct want_dev *want, struct verdict *v)
{
    unsigned hidden = 0;

    for (unsigned i = 0; i < m->n_devs; i++)
        hidden += pci_is_nvme(&m->devs[i]) && strcmp(m->devs[i].driver, VFIO) == 0;
    if (hidden != 0)
        find(v, LEVEL_NOTE, "device",
             "%s: no controller of the kernel's driver has this serial number. VFIO has %u NVMe "
             "controller%s, whose numbers show at the start only",
             want->by, hidden, hidden == 1 ? "" : "s");
    else
        find(v, LEVEL_MISSING, "device", "%s: no NVMe controller has this serial number", want->by);
}

/* Whether what the operator wrote can be meant. */
static bool is_sound(const struct pci_dev *d, const struct want_dev *want, struct verdict *v)
{
    if (want->bare)
        find(v, LEVEL_MISSING, "profile",
             "%s: the daemon takes this for the name of a file; write nvme:%s", want->by, d->addr);
    else if (want->both)
        find(v, LEVEL_MISSING, "profile",
             "%s: another device of the pool is the same controller by the kernel's driver, and "
             "only "
             "one driver can have it",
             want->by);
    else if (want->by[0] != '\0' && !(want->nic ? pci_is_nic(d) : pci_is_nvme(d)))
        find(v, LEVEL_MISSING, "profile", "%s: that is no %s (its class is %06x)", want->by,
             want->nic ? "NIC" : "NVMe controller", d->class);
    else
        return true;
    return false;
}

static void judge_device(const struct machine *m, const struct wants *w,
                         const struct want_dev *want, struct verdict *v)
{
    const struct pci_dev *d = machine_dev(m, want->addr);
    struct finding *f;

    if (d == NULL && want->kernel) {
        find(v, LEVEL_MISSING, "device", "%s: the kernel's NVMe driver has no such device",
             want->by);
        return;
    }
    if (d == NULL && want->addr[0] == '\0') {
        judge_serial(m, want, v);
        return;
    }
    if (d == NULL) {
        f = find(v, LEVEL_MISSING, "device",
                 "%s: there is no such PCI device; is the slot's power on?", want->by);
        mend(f, "echo 1 > /sys/bus/pci/rescan");
        return;
    }
    if (!is_sound(d, want, v))
        return;
    if (want->kernel) {
        judge_kernel_path(d, want, v);
        return;
    }
    judge_driver(m, d, want, v);
    /* Whether the group is free matters for devices that can be had. */
    if (!pci_bifurcated(d) && (d->use[0] == '\0' || want->by[0] != '\0'))
        judge_group(m, w, d, v);
}

static void judge_kinds(const struct wants *w, struct verdict *v)
{
    unsigned nvme = 0, nics = 0;

    for (unsigned i = 0; i < w->n_devs; i++)
        *(w->devs[i].nic ? &nics : &nvme) += 1;
    if (nvme == 0)
        find(v, LEVEL_NOTE, "nvme",
             "there is no NVMe controller on the PCI bus: pools are files or other block devices");
    if (nics == 0)
        find(v, LEVEL_NOTE, "nic",
             "there is no NIC on the PCI bus: ports are virtual devices (net_tap, net_af_packet)");
}

void judge_devices(const struct machine *m, const struct wants *w, struct verdict *v)
{
    if (w->all)
        judge_kinds(w, v);
    for (unsigned i = 0; i < w->n_devs; i++) {
        unsigned from = v->n;

        judge_device(m, w, &w->devs[i], v);
        for (unsigned n = from; n < v->n; n++)
            v->list[n].addr = w->devs[i].addr[0] != '\0' ? w->devs[i].addr : NULL;
    }
}
