/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one seam below the driver: where a controller's registers are and how it reaches memory.
 * Implementations: nvme_dev_vfio.c (a PCI function by VFIO), nvme_emu.c (an emulated controller whose
 * registers and doorbells are ordinary memory). The hot path of the driver is the same bytes over
 * both: it knows only `regs` and I/O addresses.
 *
 * They are for the thread that starts the device and the one that ticks it,
 * one at a time; none is called on the data path.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_DEV_H
#define DRIVERS_BDEV_NVME_NVME_DEV_H

#include <headgate/base.h>

struct nvme_dev;

struct nvme_dev_ops {
    /* Zeroed memory that both sides see at once, aligned to 4096, contiguous for the device; *iova is
     * its address there. NULL when there is none. */
    void *(*dma_alloc)(struct nvme_dev *dev, size_t len, uint64_t *iova);
    /* The device must not reach it any more. */
    void (*dma_free)(struct nvme_dev *dev, void *ptr, size_t len);
    /* Lets the device reach [base, base + len), multiples of 4096, contiguous at *iova. The same range
     * may be mapped several times and is then unmapped as often. 0 or negative errno. */
    int (*dma_map)(struct nvme_dev *dev, void *base, size_t len, uint64_t *iova);
    void (*dma_unmap)(struct nvme_dev *dev, void *base, size_t len);
    /* From its return on the device reaches no memory any more, whatever state it is in (PCI: bus master
     * off, base spec 3.1.3.5 does not help with one that hangs). For good; may be called twice. */
    void (*halt)(struct nvme_dev *dev);
    /* Looks whether the machine wants the device back (its slot's button, an unbind in sysfs). Then it
     * is given back, and is to the driver as one that was pulled out: registers read as ones. */
    void (*attend)(struct nvme_dev *dev);
    /* After the last dma_free() and dma_unmap(). */
    void (*close)(struct nvme_dev *dev);
};

/* First member of every implementation. */
struct nvme_dev {
    const struct nvme_dev_ops *ops;
    volatile void *regs; /* BAR0; 32-bit accesses, and 64-bit ones as two of them, low half first */
    size_t regs_len;     /* bytes mapped */
    char name[64];       /* PCI address or the like, for messages */
    int numa_node;       /* -1: unknown */
    uint16_t pci_vendor, pci_device; /* for the quirk table; 0: not on PCI */
};

static inline uint32_t nvme_reg_read32(const struct nvme_dev *dev, unsigned at)
{
    return *(const volatile uint32_t *)((const volatile char *)dev->regs + at);
}

static inline void nvme_reg_write32(const struct nvme_dev *dev, unsigned at, uint32_t value)
{
    *(volatile uint32_t *)((volatile char *)dev->regs + at) = value;
}

/* Not every controller takes 64-bit accesses (base spec 3.1.3 allows two halves). */
static inline uint64_t nvme_reg_read64(const struct nvme_dev *dev, unsigned at)
{
    uint64_t low = nvme_reg_read32(dev, at);

    return low | (uint64_t)nvme_reg_read32(dev, at + 4) << 32;
}

static inline void nvme_reg_write64(const struct nvme_dev *dev, unsigned at, uint64_t value)
{
    nvme_reg_write32(dev, at, (uint32_t)value);
    nvme_reg_write32(dev, at + 4, (uint32_t)(value >> 32));
}

#endif /* DRIVERS_BDEV_NVME_NVME_DEV_H */
