/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's devices and the pool on them.
 *
 * Files, block devices and memory are opened before EAL starts: their locks tell that another node
 * is running here, and EAL would already have opened that node's tap interface too, and closed it
 * under its feet on the way out. NVMe controllers need EAL's memory; VFIO gives each to one process.
 */
#include "foreign.h"
#include "node.h"
#include <headgate/codec.h>
#include <headgate/log.h>
#include <headgate/units.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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
    if (hg_bdev_nvme_emu_name(name, err) != 0)
        return hg_bdev_nvme_emu_open(name, out, err);
    /* A device that is gone from /dev must not come back as a file there, which is memory. */
    if (strcmp(cfg->create, "auto") == 0 && cfg->device_size != 0 && strncmp(name, "/dev/", 5) != 0)
        rc = make_file(cfg, name, err);
    if (rc == 0)
        rc = hg_bdev_uring_open(name, false, out, err);
    if (rc == -ENOENT)
        hg_fail(
            err, rc,
            "device %s is not there; a file is made when [store] create = auto, device-size says "
            "how large, and its path is not below /dev",
            name);
    return rc;
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

/* ---- a new pool ---- */

/* What others have left on the devices of a pool to be. */
struct finds {
    char text[HG_POOL_DEVICES_MAX][FOREIGN_TEXT];
    unsigned n, first; /* devices with something on them, and the first of them */
    char token[9];     /* of all that was found */
};

static int find_all(const struct node *node, struct finds *finds, struct hg_err *err)
{
    uint32_t crc = 0;

    for (unsigned i = node->n_devs; i-- > 0;) {
        const char *name = node->devs[i]->name;
        int rc = foreign_find(node->devs[i], finds->text[i], err);

        if (rc < 0)
            return rc;
        crc = hg_crc32c_extend(crc, name, strlen(name) + 1);
        crc = hg_crc32c_extend(crc, finds->text[i], strlen(finds->text[i]) + 1);
        if (rc == 0)
            continue;
        finds->n++;
        finds->first = i;
    }
    snprintf(finds->token, sizeof finds->token, "%08x", crc);
    return 0;
}

/* Whoever wants what is there destroyed shows that he has read what it is; the same words do nothing
 * once it is gone, so they may stay in a profile. */
static int clear_all(const struct node *node, struct hg_err *err)
{
    struct finds finds = {.n = 0};
    const char *wanted = node->cfg.overwrite;
    int rc = find_all(node, &finds, err);

    if (rc != 0 || finds.n == 0)
        return rc;
    if (strcmp(wanted, finds.token) != 0)
        return hg_fail(
            err, -EEXIST,
            "device %.80s holds %s; a new pool would destroy it%s. Name another device, or "
            "start once with --set store.overwrite=%s to destroy what is there",
            node->devs[finds.first]->name, finds.text[finds.first],
            finds.n > 1 ? ", and what is on other devices of this profile" : "", finds.token);
    for (unsigned i = 0; i < node->n_devs && rc == 0; i++) {
        if (finds.text[i][0] == '\0')
            continue;
        hg_log(HG_LOG_WARN, "node", "device %s held %s; it is overwritten as told",
               node->devs[i]->name, finds.text[i]);
        rc = foreign_wipe(node->devs[i], err);
    }
    return rc;
}

static int make_pool(struct node *node, struct hg_err *err)
{
    const struct config *cfg = &node->cfg;
    struct hg_pool_geometry geometry = {(uint32_t)cfg->stripe_unit, (uint32_t)cfg->chunk};
    int rc = clear_all(node, err);

    if (rc == 0)
        rc = hg_pool_format(node->devs, node->n_devs, &geometry, false, err);
    if (rc == 0)
        hg_log(HG_LOG_INFO, "node", "made a new pool of %u devices", node->n_devs);
    return rc;
}

int pool_start(struct node *node, struct hg_err *err)
{
    bool blank = strcmp(node->cfg.create, "auto") == 0;
    int rc;

    for (unsigned i = 0; i < node->n_devs && blank; i++)
        blank = hg_pool_blank(node->devs[i]);
    rc = blank ? make_pool(node, err) : 0;
    return rc != 0 ? rc : hg_pool_open(node->devs, node->n_devs, &node->pool, err);
}

void pool_undo(struct node *node)
{
    hg_pool_close(node->pool);
    node->pool = NULL;
}
