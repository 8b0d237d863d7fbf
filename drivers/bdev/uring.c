/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files, kernel block devices and NVMe namespaces of the kernel's driver through io_uring: opening,
 * size, what is told of them. Their channels are in uring_chan.c.
 */
#include "sysfs.h"
#include "uring_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <headgate/log.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AREA "bdev"
#define FILE_BLOCK 4096u /* what direct I/O on a regular file is always aligned to */

/* ---- the device ---- */

static int medium_size(const struct uring_dev *dev, uint64_t *size)
{
    struct stat st;

    struct uring_nvme_ns ns;

    if (dev->is_nvme) {
        int rc = uring_nvme_identify(dev->fd, dev->base.name, &ns, NULL);

        *size = rc == 0 ? ns.blocks << ns.block_shift : 0;
        return rc;
    }
    if (dev->is_block)
        return ioctl(dev->fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
    if (fstat(dev->fd, &st) != 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int uring_resize(struct hg_bdev *base)
{
    uint64_t size = 0;
    int rc = medium_size(uring_dev_of(base), &size);

    if (rc == 0)
        __atomic_store_n(&base->size, size - size % base->block, __ATOMIC_RELAXED);
    return rc;
}

/* The kernel's block device that it is or lies on; disk->found is false when there is none. */
static void disk_of(const struct uring_dev *dev, struct sysfs_disk *disk)
{
    struct stat st;
    dev_t at = 0;

    if (fstat(dev->fd, &st) == 0)
        at = dev->is_nvme    ? sysfs_disk_of_nvme("/sys", st.st_rdev)
             : dev->is_block ? st.st_rdev
                             : st.st_dev;
    sysfs_disk("/sys", at, disk);
}

static void uring_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    const struct uring_dev *dev = uring_dev_of(base);
    struct sysfs_disk disk;

    disk_of(dev, &disk);
    info->kind = "uring";
    info->numa_node = disk.numa_node;
    snprintf(info->access, sizeof info->access, "%s, %s%s%s%s",
             dev->is_nvme  ? "NVMe commands"
             : dev->direct ? "direct I/O"
                           : "page cache",
             dev->polled_max != 0 ? "polled" : "interrupts", disk.rotational ? ", rotational" : "",
             disk.scheduler[0] != '\0' ? ", scheduler " : "", disk.scheduler);
    if (!dev->is_block && !dev->is_nvme)
        return; /* what a file lies on is not the device */
    snprintf(info->model, sizeof info->model, "%s", dev->is_nvme ? dev->ns.model : disk.model);
    snprintf(info->serial, sizeof info->serial, "%s", dev->is_nvme ? dev->ns.serial : disk.serial);
    snprintf(info->firmware, sizeof info->firmware, "%s",
             dev->is_nvme ? dev->ns.firmware : disk.firmware);
}

static void uring_close(struct hg_bdev *base)
{
    struct uring_dev *dev = uring_dev_of(base);

    close(dev->fd);
    if (dev->guard >= 0)
        close(dev->guard);
    bdev_fini(base);
    free(dev);
}

static const struct hg_bdev_ops uring_ops = {
    .chan_open = uring_chan_open,
    .chan_close = uring_chan_close,
    .submit = uring_submit,
    .poll = uring_poll,
    .resize = uring_resize,
    .tick = bdev_no_tick,
    .info = uring_info,
    .close = uring_close,
};

/* A closed ring, also one of a process that was killed, keeps its files until the kernel has taken it down,
 * and so their locks and the block device for itself: a node that is started again at once waits. */
#define LOCK_TRIES 150u
#define LOCK_PAUSE HG_MS(20)

static int open_patiently(const char *path, int flags)
{
    struct timespec pause = {0, (long)LOCK_PAUSE};
    int fd = open(path, flags);

    for (unsigned i = 0; fd < 0 && errno == EBUSY && i < LOCK_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = open(path, flags);
    }
    return fd;
}

/* Opens the path with direct I/O where the file system has it. */
static int open_path(struct uring_dev *dev, struct hg_err *err)
{
    const char *path = dev->base.name;
    int flags = (dev->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (dev->is_block ? O_EXCL : 0);

    dev->fd = dev->is_nvme ? -1 : open_patiently(path, flags | O_DIRECT);
    dev->direct = dev->fd >= 0;
    if (dev->fd < 0 && (dev->is_nvme || errno == EINVAL)) {
        dev->fd = open_patiently(path, flags);
        if (dev->fd >= 0 && !dev->is_nvme)
            hg_log(HG_LOG_WARN, AREA,
                   "device %s: the file system has no direct I/O; the page cache is used instead",
                   path);
    }
    if (dev->fd < 0 && errno == EBUSY)
        return hg_fail(err, -EBUSY, "device %s is in use by another process, or mounted", path);
    if (dev->fd < 0)
        return hg_fail(err, -errno, "device %s: cannot open it: %s", path, strerror(errno));
    return 0;
}

static bool lock_file(int fd)
{
    struct timespec pause = {0, (long)LOCK_PAUSE};

    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* ---- open ---- */

/* Commands go past mounts and pools of the namespace's block device, so that is kept from others. */
static int guard_nvme(struct uring_dev *dev, struct hg_err *err)
{
    struct sysfs_disk disk;
    char path[64];

    disk_of(dev, &disk);
    if (!disk.found || disk.name[0] == '\0')
        return 0;
    snprintf(path, sizeof path, "/dev/%s", disk.name);
    dev->guard = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (dev->guard < 0 && errno == EBUSY)
        return hg_fail(err, -EBUSY, "device %s is in use as %s: unmount it there", dev->base.name,
                       path);
    return 0;
}

static int setup_nvme(struct uring_dev *dev, struct hg_err *err)
{
    int rc = uring_nvme_identify(dev->fd, dev->base.name, &dev->ns, err);

    if (rc != 0)
        return rc;
    dev->base.block = 1u << dev->ns.block_shift;
    dev->base.volatile_cache = dev->ns.volatile_cache;
    return guard_nvme(dev, err);
}

static int find_block(struct uring_dev *dev, struct hg_err *err)
{
    int sector = 0;

    dev->base.block = FILE_BLOCK;
    if (dev->is_block && ioctl(dev->fd, BLKSSZGET, &sector) == 0 && sector == 512)
        dev->base.block = 512;
    else if (sector > (int)HG_BLOCK)
        return hg_fail(err, -EINVAL, "device %s has sectors of %d bytes, more than 4096",
                       dev->base.name, sector);
    return 0;
}

static int setup(struct uring_dev *dev, struct hg_err *err)
{
    const char *path = dev->base.name;
    struct stat st;
    int rc;

    if (stat(path, &st) != 0)
        return hg_fail(err, -errno, "device %s: %s", path, strerror(errno));
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return hg_fail(err, -ENOTBLK, "device %s is neither a block device nor a file", path);
    dev->is_block = S_ISBLK(st.st_mode);
    dev->is_nvme = S_ISCHR(st.st_mode);
    rc = open_path(dev, err);
    if (rc != 0)
        return rc;
    if (!lock_file(dev->fd))
        return hg_fail(err, -EBUSY, "device %s is in use by another process or another pool", path);
    rc = dev->is_nvme ? setup_nvme(dev, err) : find_block(dev, err);
    if (rc != 0)
        return rc;
    rc = uring_resize(&dev->base);
    if (rc != 0)
        return hg_fail(err, rc, "device %s: cannot learn its size: %s", path, strerror(-rc));
    if (dev->base.size == 0)
        return hg_fail(err, -EINVAL, "device %s is empty; give the file a size first", path);
    return 0;
}

/* What the device takes as one request, whatever memory it is of; 0: not known. */
static uint32_t unsplit(const struct sysfs_disk *disk)
{
    uint64_t by_bytes = (uint64_t)disk->max_kib * 1024;
    uint64_t by_pages = disk->max_segments > 1 ? (disk->max_segments - 1) * (uint64_t)HG_BLOCK : 0;
    uint64_t max = by_bytes < by_pages ? by_bytes : by_pages;

    return disk->boundaries ? 0 : max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
}

static uint32_t find_polled_max(const struct uring_dev *dev, enum uring_poll poll)
{
    struct sysfs_disk disk;

    if (!dev->direct)
        return 0;
    disk_of(dev, &disk);
    return (poll == URING_POLL_TRY || disk.polls) && uring_try_poll(dev) ? unsplit(&disk) : 0;
}

int uring_open(const char *path, bool read_only, enum uring_poll poll, struct hg_bdev **out,
               struct hg_err *err)
{
    struct uring_dev *dev = calloc(1, sizeof *dev);
    int rc;

    if (dev == NULL)
        return hg_fail(err, -ENOMEM, "device %s: no memory", path);
    dev->fd = -1;
    dev->guard = -1;
    dev->read_only = read_only;
    bdev_init(&dev->base, &uring_ops, path);
    dev->base.volatile_cache = true;
    rc = setup(dev, err);
    if (rc != 0) {
        if (dev->fd >= 0)
            close(dev->fd);
        if (dev->guard >= 0)
            close(dev->guard);
        bdev_fini(&dev->base);
        free(dev);
        return rc;
    }
    dev->polled_max = find_polled_max(dev, poll);
    if (dev->polled_max != 0)
        hg_log(HG_LOG_INFO, AREA,
               "device %s: completions of reads and writes up to %u KiB are polled for", path,
               dev->polled_max / 1024);
    *out = &dev->base;
    return 0;
}

int hg_bdev_uring_open(const char *path, bool read_only, struct hg_bdev **out, struct hg_err *err)
{
    return uring_open(path, read_only, URING_POLL_AUTO, out, err);
}
