/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's devices and the pool on them.
 *
 * Files, block devices and memory are opened before EAL starts: their locks tell that another node
 * is running here, and EAL would already have opened that node's tap interface too, and closed it
 * under its feet on the way out. NVMe controllers need EAL's memory; VFIO gives each to one process.
 */
#include "node.h"
#include <headgate/log.h>
#include <headgate/units.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool on_nvme(const struct config *cfg, unsigned i)
{
    char ctrl[HG_BDEV_NVME_NAME];

    return hg_bdev_nvme_name(cfg->devices[i], ctrl, NULL) == 1;
}

bool pool_wants_vfio(const struct config *cfg)
{
    for (unsigned i = 0; i < config_devices(cfg); i++)
        if (on_nvme(cfg, i))
            return true;
    return false;
}

/* With create=auto a device file that does not exist is made. */
static int make_file(const struct config *cfg, const char *path, struct hg_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = 0;

    if (fd < 0)
        return errno == EEXIST ? 0 : hg_fail(err, -errno, "device %s: %s", path, strerror(errno));
    if (ftruncate(fd, (off_t)cfg->device_size) != 0)
        rc = hg_fail(err, -errno, "device %s: %s", path, strerror(errno));
    close(fd);
    return rc;
}

/* "mem:SIZE" is memory, for benches and trials: its contents are lost at the end. */
static int open_device(const struct config *cfg, const char *name, struct hg_bdev **out,
                       struct hg_err *err)
{
    uint64_t size;
    int rc = 0;

    if (strncmp(name, "mem:", 4) == 0) {
        if (hg_units_size(name + 4, &size) != 0)
            return hg_fail(err, -EINVAL, "device %s: write it like mem:1G", name);
        return hg_bdev_mem_open(name, size, out, err);
    }
    if (strcmp(cfg->create, "auto") == 0 && cfg->device_size != 0)
        rc = make_file(cfg, name, err);
    return rc != 0 ? rc : hg_bdev_uring_open(name, false, out, err);
}

/* Those that are on NVMe, or the others. */
static void close_devices(struct node *node, bool nvme)
{
    for (unsigned i = config_devices(&node->cfg); i-- > 0;) {
        if (on_nvme(&node->cfg, i) != nvme)
            continue;
        hg_bdev_close(node->devs[i]);
        node->devs[i] = NULL;
    }
}

static int open_devices(struct node *node, bool nvme, struct hg_err *err)
{
    const struct config *cfg = &node->cfg;
    int rc = 0;

    for (unsigned i = 0; i < config_devices(cfg) && rc == 0; i++) {
        const char *name = cfg->devices[i];

        if (on_nvme(cfg, i) != nvme)
            continue;
        rc = nvme ? hg_bdev_nvme_open(name, &node->devs[i], err)
                  : open_device(cfg, name, &node->devs[i], err);
    }
    if (rc != 0)
        close_devices(node, nvme);
    return rc;
}

int pool_devices(struct node *node, struct hg_err *err)
{
    return open_devices(node, false, err);
}

void pool_undo_devices(struct node *node)
{
    close_devices(node, false);
}

int pool_controllers(struct node *node, struct hg_err *err)
{
    int rc = open_devices(node, true, err);

    if (rc == 0)
        node->n_devs = config_devices(&node->cfg);
    return rc;
}

void pool_undo_controllers(struct node *node)
{
    node->n_devs = 0;
    close_devices(node, true);
}

int pool_start(struct node *node, struct hg_err *err)
{
    const struct config *cfg = &node->cfg;
    struct hg_pool_geometry geometry = {(uint32_t)cfg->stripe_unit, (uint32_t)cfg->chunk};
    bool blank = true;
    int rc;

    for (unsigned i = 0; i < node->n_devs; i++)
        blank = blank && hg_pool_blank(node->devs[i]);
    if (blank && strcmp(cfg->create, "auto") == 0) {
        rc = hg_pool_format(node->devs, node->n_devs, &geometry, false, err);
        if (rc != 0)
            return rc;
        hg_log(HG_LOG_INFO, "node", "made a new pool of %u devices", node->n_devs);
    }
    return hg_pool_open(node->devs, node->n_devs, &node->pool, err);
}

void pool_undo(struct node *node)
{
    hg_pool_close(node->pool);
    node->pool = NULL;
}
