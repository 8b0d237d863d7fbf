/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a name in a profile to a block device: nvme_name.h tells how names look.
 *
 * By serial number: it is known only to whoever has asked the controller. So those bound to vfio-pci
 * are opened one after the other, in the order of their addresses, and those that are others are
 * closed again; of those that the kernel's driver has, the kernel knows it. A controller that this
 * process uses is not touched, nor one that another process has. A virtual function has the serial
 * number of its physical function; the first that is found is taken.
 */
#include "nvme_bdev.h"
#include "nvme_dev_vfio.h"
#include "nvme_share.h"
#include <headgate/bdev.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nvme_paths kernel = {"/sys", "/dev"};

int hg_bdev_nvme_name(const char *name, char ctrl[HG_BDEV_NVME_NAME], struct hg_err *err)
{
    struct nvme_name parsed;
    int rc;

    if (strncmp(name, NVME_NAME_PREFIX, sizeof NVME_NAME_PREFIX - 1) != 0)
        return 0;
    rc = nvme_name_parse(name, &parsed, err);
    if (rc != 0)
        return rc;
    if (parsed.serial[0] != '\0')
        snprintf(ctrl, HG_BDEV_NVME_NAME, NVME_NAME_PREFIX "serial=%s", parsed.serial);
    else
        snprintf(ctrl, HG_BDEV_NVME_NAME, NVME_NAME_PREFIX "%s", parsed.address);
    return 1;
}

static int open_address(const char *address, uint32_t nsid, struct hg_bdev **out,
                        struct hg_err *err)
{
    struct nvme_opts opts = nvme_opts_default();
    struct nvme_dev *dev;
    int rc = nvme_dev_vfio_open(&kernel, address, &dev, err);

    opts.nsid = nsid;
    return rc != 0 ? rc : nvme_bdev_open(dev, &opts, out, err);
}

/* What a search has met. */
struct search {
    const struct nvme_name *name;
    struct nvme_pci list[NVME_PCI_MAX];
    unsigned n;
    struct hg_err failed; /* why one could not be asked; "" */
};

/* Whether it is the one: then *out is open. */
static bool ask(struct search *s, struct nvme_pci *pci, struct hg_bdev **out)
{
    struct hg_bdev_info info;
    struct hg_bdev *dev;

    if (strcmp(pci->driver, NVME_VFIO_DRIVER) != 0)
        return false;
    if (nvme_share_claimed(pci->address)) {
        hg_fail(&s->failed, -EBUSY, "this profile uses %s already, under another name",
                pci->address);
        return false;
    }
    if (open_address(pci->address, s->name->nsid, &dev, &s->failed) != 0)
        return false;
    hg_bdev_info(dev, &info);
    snprintf(pci->serial, sizeof pci->serial, "%s", info.serial);
    if (strcmp(info.serial, s->name->serial) == 0) {
        *out = dev;
        return true;
    }
    hg_bdev_close(dev);
    return false;
}

static int not_found(const struct search *s, struct hg_err *err)
{
    char found[256];

    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->list[i].driver, NVME_VFIO_DRIVER) != 0 &&
            strcmp(s->list[i].serial, s->name->serial) == 0)
            return nvme_pci_usable(&kernel, &s->list[i], err);
    nvme_pci_text(s->list, s->n, found, sizeof found);
    return hg_fail(err, -ENODEV,
                   "no NVMe controller that VFIO gives out has the serial number %s; there are: "
                   "%s%s%.150s",
                   s->name->serial, found, s->failed.text[0] == '\0' ? "" : "; ", s->failed.text);
}

static int open_serial(const struct nvme_name *name, struct hg_bdev **out, struct hg_err *err)
{
    struct search *s = calloc(1, sizeof *s);
    int rc = -ENODEV;

    if (s == NULL)
        return hg_fail(err, -ENOMEM, "no memory to look for NVMe controllers");
    s->name = name;
    s->n = nvme_pci_list(&kernel, s->list, NVME_PCI_MAX);
    for (unsigned i = 0; i < s->n && rc != 0; i++)
        if (ask(s, &s->list[i], out))
            rc = 0;
    if (rc != 0)
        rc = not_found(s, err);
    free(s);
    return rc;
}

int hg_bdev_nvme_open(const char *name, struct hg_bdev **out, struct hg_err *err)
{
    struct nvme_name parsed;
    struct nvme_pci list[16];
    char found[256];
    int rc = nvme_name_parse(name, &parsed, err);

    if (rc != 0)
        return rc;
    if (parsed.serial[0] != '\0')
        return open_serial(&parsed, out, err);
    if (nvme_pci_read(&kernel, parsed.address, &list[0]) == 0)
        return open_address(parsed.address, parsed.nsid, out, err);
    nvme_pci_text(list, nvme_pci_list(&kernel, list, HG_ARRAY_LEN(list)), found, sizeof found);
    return hg_fail(err, -ENODEV, "nvme %s: there is no such PCI function; NVMe controllers are: %s",
                   parsed.address, found);
}
