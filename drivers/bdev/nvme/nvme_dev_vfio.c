/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function by VFIO, through EAL's container, so that its memory is mapped once for NICs and
 * NVMe controllers.
 *
 * Invariants
 *   1. Bus mastering is on from the end of a successful open to halt(): never while registers are
 *      unmapped, and never again after halt().
 *   2. close() ends in this order: bus mastering off, registers unmapped, device released. What the
 *      driver mapped it has unmapped before, after it had disabled the controller.
 *   3. A former owner that was killed has left the controller enabled and its queues pointing at
 *      memory of then. It is reset here where it can be, and in any case disabled before it may reach
 *      ours.
 *   4. No interrupts: INTx is switched off and MSI-X never on; completions are polled.
 *   5. Who unbinds the function or takes it out waits in the kernel until we have let go. After that fd
 *      is -1, and the registers are memory of ones of our own: shards may still ring doorbells there.
 */
#include "nvme_dev_vfio.h"
#include "nvme_share.h"
#include "nvme_spec.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <headgate/log.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROOM "nvme"
#define PAGE 4096u
#define REGS_LEAST (NVME_REG_DOORBELL + 4096u) /* what holds the doorbells of queues there are */

struct vfio_dev {
    struct nvme_dev base;
    struct nvme_pci pci;
    char bus[128];      /* sysfs folder of PCI devices, as EAL wants it */
    int fd;             /* of the device; -1: given back */
    int wanted;         /* eventfd: the kernel wants it back; -1: cannot be told */
    uint64_t config_at; /* where its configuration space is in fd */
};

static struct vfio_dev *vfio_of(struct nvme_dev *dev)
{
    return HG_CONTAINER_OF(dev, struct vfio_dev, base);
}

/* ---- memory ---- */

static void *vfio_dma_alloc(struct nvme_dev *dev, size_t len, uint64_t *iova)
{
    int socket = dev->numa_node < 0 ? SOCKET_ID_ANY : dev->numa_node;
    void *mem = rte_zmalloc_socket("hg_nvme", len, PAGE, socket);

    if (mem == NULL) /* better far than none */
        mem = rte_zmalloc("hg_nvme", len, PAGE);
    *iova = (uintptr_t)mem;
    return mem;
}

static void vfio_dma_free(struct nvme_dev *dev, void *ptr, size_t len)
{
    (void)dev, (void)len;
    rte_free(ptr);
}

static int vfio_dma_map(struct nvme_dev *dev, void *base, size_t len, uint64_t *iova)
{
    (void)dev;
    return nvme_share_map(base, len, iova);
}

static void vfio_dma_unmap(struct nvme_dev *dev, void *base, size_t len)
{
    (void)dev;
    nvme_share_unmap(base, len);
}

/* ---- regions ---- */

/* Kernel: Documentation/driver-api/vfio.rst. The caller frees; NULL: errno tells. */
static struct vfio_region_info *region_info(int fd, uint32_t index)
{
    size_t size = sizeof(struct vfio_region_info);
    struct vfio_region_info *info = NULL;

    for (unsigned round = 0; round < 2; round++) {
        struct vfio_region_info *more = realloc(info, size);

        if (more == NULL)
            break;
        info = more;
        memset(info, 0, size);
        info->argsz = (uint32_t)size;
        info->index = index;
        if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, info) != 0)
            break;
        if (info->argsz <= size)
            return info;
        size = info->argsz; /* capabilities need so much */
    }
    free(info);
    return NULL;
}

/* A capability of a region with `need` bytes at least; NULL: it has none. */
static const void *region_cap(const struct vfio_region_info *info, uint16_t id, size_t need)
{
    uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

    while (at >= sizeof *info && (size_t)at + sizeof(struct vfio_info_cap_header) <= info->argsz) {
        const void *cap = (const char *)info + at;
        const struct vfio_info_cap_header *head = cap;

        if (head->id == id && at + need <= info->argsz)
            return cap;
        if (head->next <= at)
            break;
        at = head->next;
    }
    return NULL;
}

/* Bytes from the start of the region that may be mapped. The kernel leaves the page of the MSI-X
 * table out when it lies in this region and interrupts are not remapped. */
static uint64_t mappable(const struct vfio_region_info *info)
{
    const struct vfio_region_info_cap_sparse_mmap *sparse =
        region_cap(info, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof *sparse);

    if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
        return 0;
    if (sparse == NULL)
        return info->size;
    for (uint32_t i = 0; i < sparse->nr_areas; i++) {
        if ((const char *)&sparse->areas[i + 1] > (const char *)info + info->argsz)
            return 0;
        if (sparse->areas[i].offset == 0)
            return sparse->areas[i].size;
    }
    return 0;
}

static int map_regs(struct vfio_dev *dev, struct hg_err *err)
{
    const char *a = dev->pci.address;
    struct vfio_region_info *info = region_info(dev->fd, VFIO_PCI_BAR0_REGION_INDEX);
    uint64_t len = info == NULL ? 0 : mappable(info);
    void *regs;

    if (len < REGS_LEAST) {
        int rc =
            info == NULL
                ? hg_fail(err, -errno, "nvme %s: VFIO tells nothing of BAR 0: %s", a,
                          strerror(errno))
                : hg_fail(err, -ENODEV,
                          "nvme %s: VFIO lets %llu bytes of BAR 0 be mapped, and registers and "
                          "doorbells need %u",
                          a, (unsigned long long)len, REGS_LEAST);

        free(info);
        return rc;
    }
    regs = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, (off_t)info->offset);
    free(info);
    if (regs == MAP_FAILED)
        return hg_fail(err, -errno, "nvme %s: cannot map the registers: %s", a, strerror(errno));
    dev->base.regs = regs;
    dev->base.regs_len = len;
    return 0;
}

/* ---- configuration space: PCI base spec 7.5.1.1.3 ---- */

static int change_command(const struct vfio_dev *dev, uint16_t set, uint16_t clear)
{
    uint16_t command;
    off_t at = (off_t)dev->config_at + PCI_COMMAND;

    if (pread(dev->fd, &command, sizeof command, at) != sizeof command)
        return -EIO;
    command = (uint16_t)((command & ~clear) | set);
    return pwrite(dev->fd, &command, sizeof command, at) == sizeof command ? 0 : -EIO;
}

static int enable(struct vfio_dev *dev, struct hg_err *err)
{
    struct vfio_region_info *info = region_info(dev->fd, VFIO_PCI_CONFIG_REGION_INDEX);

    if (info == NULL)
        return hg_fail(err, -errno, "nvme %s: VFIO tells nothing of its configuration space: %s",
                       dev->pci.address, strerror(errno));
    dev->config_at = info->offset;
    free(info);
    if (change_command(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 0) != 0)
        return hg_fail(err, -EIO, "nvme %s: its configuration space cannot be written",
                       dev->pci.address);
    return 0;
}

/* A device that is gone does nothing any more: then there is nothing to switch off. */
static void vfio_halt(struct nvme_dev *dev)
{
    if (vfio_of(dev)->fd >= 0)
        change_command(vfio_of(dev), 0, PCI_COMMAND_MASTER);
}

/* ---- asked to let go: Documentation/driver-api/vfio.rst, VFIO_PCI_REQ_IRQ_INDEX ---- */

/* Without it a removal waits until the daemon ends, and that is all. */
static void listen_for_removal(struct vfio_dev *dev, const struct vfio_device_info *info)
{
    char space[sizeof(struct vfio_irq_set) + sizeof(int32_t)] = {0};
    struct vfio_irq_set *set = (struct vfio_irq_set *)(void *)space;

    dev->wanted = -1;
    if (info->num_irqs <= VFIO_PCI_REQ_IRQ_INDEX)
        return;
    dev->wanted = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (dev->wanted < 0)
        return;
    set->argsz = sizeof space;
    set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    set->index = VFIO_PCI_REQ_IRQ_INDEX;
    set->count = 1;
    memcpy(set->data, &dev->wanted, sizeof(int32_t));
    if (ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) != 0) {
        hg_log(HG_LOG_WARN, ROOM, "nvme %s: VFIO does not tell when it is taken out: %s",
               dev->pci.address, strerror(errno));
        close(dev->wanted);
        dev->wanted = -1;
    }
}

static void give_back(struct vfio_dev *dev)
{
    if (dev->wanted >= 0)
        close(dev->wanted);
    if (rte_vfio_release_device(dev->bus, dev->pci.address, dev->fd) != 0)
        hg_log(HG_LOG_WARN, ROOM, "nvme %s: VFIO did not take it back; EAL's lines tell why",
               dev->pci.address);
    dev->wanted = dev->fd = -1;
}

/* Puts memory of ones in the registers' place, in one step. */
static bool blind(struct vfio_dev *dev)
{
    void *regs = (void *)(uintptr_t)dev->base.regs;
    void *ones =
        mmap(NULL, dev->base.regs_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (ones == MAP_FAILED)
        return false;
    memset(ones, 0xff, dev->base.regs_len);
    if (mremap(ones, dev->base.regs_len, dev->base.regs_len, MREMAP_MAYMOVE | MREMAP_FIXED, regs) ==
        regs)
        return true;
    munmap(ones, dev->base.regs_len);
    return false;
}

static void vfio_attend(struct nvme_dev *base)
{
    struct vfio_dev *dev = vfio_of(base);
    uint64_t times;

    if (dev->wanted < 0 || read(dev->wanted, &times, sizeof times) != sizeof times)
        return;
    hg_log(HG_LOG_WARN, ROOM, "nvme %s: the machine wants it back, and gets it", dev->pci.address);
    vfio_halt(base);
    if (blind(dev))
        give_back(dev);
}

/* ---- attach ---- */

static int check_eal(const struct nvme_pci *pci, struct hg_err *err)
{
    if (rte_eal_iova_mode() != RTE_IOVA_VA)
        return hg_fail(err, -ENOTSUP,
                       "nvme %s: EAL gives devices physical addresses, which lets them reach all "
                       "memory of this machine: take --iova-mode=pa out of [eal] args; where the "
                       "IOMMU is off switch it on (intel_iommu=on or amd_iommu=on)",
                       pci->address);
    if (rte_vfio_is_enabled("vfio") != 1)
        return hg_fail(
            err, -ENOTSUP,
            "nvme %s: EAL found no VFIO when it started: run modprobe vfio-pci and start "
            "again; its lines above tell more",
            pci->address);
    return 0;
}

static bool memlock_too_low(uint64_t *limit)
{
    struct rlimit lim;

    /* Root may lock what it likes (CAP_IPC_LOCK). */
    if (geteuid() == 0 || getrlimit(RLIMIT_MEMLOCK, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY)
        return false;
    *limit = lim.rlim_cur;
    return lim.rlim_cur < rte_eal_get_physmem_size();
}

/* rte_vfio_setup_device() tells -1 and writes lines to EAL's log. */
static int refused(const struct nvme_paths *paths, const struct nvme_pci *pci, struct hg_err *err)
{
    char path[PATH_MAX];
    uint64_t limit;
    int fd, error;

    snprintf(path, sizeof path, "%s/vfio/%d", paths->dev, pci->group);
    fd = open(path, O_RDWR | O_CLOEXEC);
    error = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 && error == EBUSY)
        return hg_fail(
            err, -EBUSY,
            "nvme %s: another process has it or a device of its IOMMU group: see fuser -v "
            "%s",
            pci->address, path);
    if (memlock_too_low(&limit))
        return hg_fail(err, -ENOMEM,
                       "nvme %s: EAL has %llu MiB of memory for devices, and this process may lock "
                       "%llu MiB: run ulimit -l unlimited, or set LimitMEMLOCK=infinity in the "
                       "systemd unit",
                       pci->address, (unsigned long long)rte_eal_get_physmem_size() >> 20,
                       (unsigned long long)limit >> 20);
    return hg_fail(
        err, -EIO,
        "nvme %s: VFIO does not give it out; EAL's lines above and the kernel's log tell "
        "why",
        pci->address);
}

/* Bus mastering on, with a controller that is surely disabled: one that could not be reset may still be
 * at the commands of a former owner, whose addresses are memory of ours now. */
static int let_reach_memory(struct vfio_dev *dev, struct hg_err *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    unsigned ms = 500 * (NVME_CAP_TO(nvme_reg_read64(&dev->base, NVME_REG_CAP)) + 1);
    uint32_t cc = nvme_reg_read32(&dev->base, NVME_REG_CC);

    if (cc == NVME_REG_GONE)
        return hg_fail(err, -ENODEV, "nvme %s: it does not answer on the bus", dev->pci.address);
    if ((cc & NVME_CC_EN) != 0)
        nvme_reg_write32(&dev->base, NVME_REG_CC, cc & ~NVME_CC_EN);
    while ((nvme_reg_read32(&dev->base, NVME_REG_CSTS) & NVME_CSTS_RDY) != 0) {
        if (ms-- == 0)
            return hg_fail(
                err, -ETIMEDOUT,
                "nvme %s: what its former owner left running cannot be disabled; reset it "
                "by switching its power off",
                dev->pci.address);
        nanosleep(&pause, NULL);
    }
    if (change_command(dev, PCI_COMMAND_MASTER, 0) != 0)
        return hg_fail(err, -EIO, "nvme %s: its configuration space cannot be written",
                       dev->pci.address);
    return 0;
}

static int attach(struct vfio_dev *dev, const struct nvme_paths *paths, struct hg_err *err)
{
    struct vfio_device_info info = {.argsz = sizeof info};
    const char *a = dev->pci.address;
    int rc = rte_vfio_setup_device(dev->bus, a, &dev->fd, &info);

    if (rc != 0)
        return refused(paths, &dev->pci, err);
    if (!(info.flags & VFIO_DEVICE_FLAGS_PCI) || info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
        rc = hg_fail(err, -ENODEV, "nvme %s: VFIO does not hand it out as a PCI device", a);
    else if ((info.flags & VFIO_DEVICE_FLAGS_RESET) && ioctl(dev->fd, VFIO_DEVICE_RESET) != 0)
        rc = hg_fail(err, -errno, "nvme %s: the device cannot be reset: %s", a, strerror(errno));
    if (rc == 0)
        rc = enable(dev, err);
    if (rc == 0)
        rc = map_regs(dev, err);
    if (rc == 0) {
        rc = let_reach_memory(dev, err);
        if (rc != 0)
            munmap((void *)(uintptr_t)dev->base.regs, dev->base.regs_len);
    }
    if (rc == 0)
        listen_for_removal(dev, &info);
    if (rc != 0)
        rte_vfio_release_device(dev->bus, a, dev->fd);
    return rc;
}

static void vfio_close(struct nvme_dev *base)
{
    struct vfio_dev *dev = vfio_of(base);

    vfio_halt(base);
    munmap((void *)(uintptr_t)base->regs, base->regs_len);
    if (dev->fd >= 0)
        give_back(dev);
    nvme_share_release(dev->pci.address);
    free(dev);
}

static const struct nvme_dev_ops vfio_ops = {
    .dma_alloc = vfio_dma_alloc,
    .dma_free = vfio_dma_free,
    .dma_map = vfio_dma_map,
    .dma_unmap = vfio_dma_unmap,
    .halt = vfio_halt,
    .attend = vfio_attend,
    .close = vfio_close,
};

/* Nothing is taken yet. */
static int check(const struct nvme_paths *paths, const char *address, struct nvme_pci *pci,
                 struct hg_err *err)
{
    int rc = nvme_pci_read(paths, address, pci);

    if (rc != 0)
        return hg_fail(err, rc, "nvme %s: there is no such PCI function in %s/bus/pci/devices",
                       address, paths->sys);
    rc = nvme_pci_usable(paths, pci, err);
    return rc != 0 ? rc : check_eal(pci, err);
}

int nvme_dev_vfio_open(const struct nvme_paths *paths, const char *address, struct nvme_dev **out,
                       struct hg_err *err)
{
    struct nvme_pci pci;
    struct vfio_dev *dev;
    int rc = check(paths, address, &pci, err);

    if (rc != 0)
        return rc;
    rc = nvme_share_claim(address, err);
    if (rc != 0)
        return rc;
    dev = calloc(1, sizeof *dev);
    if (dev == NULL) {
        rc = hg_fail(err, -ENOMEM, "nvme %s: no memory", address);
        goto release;
    }
    dev->base.ops = &vfio_ops;
    dev->base.numa_node = pci.numa_node;
    dev->base.pci_vendor = pci.vendor;
    dev->base.pci_device = pci.device;
    dev->pci = pci;
    snprintf(dev->base.name, sizeof dev->base.name, "%s", address);
    snprintf(dev->bus, sizeof dev->bus, "%s/bus/pci/devices", paths->sys);
    rc = attach(dev, paths, err);
    if (rc != 0)
        goto free_dev;
    *out = &dev->base;
    return 0;

free_dev:
    free(dev);
release:
    nvme_share_release(address);
    return rc;
}
