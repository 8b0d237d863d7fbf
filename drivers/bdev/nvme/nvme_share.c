/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What controllers share: nvme_share.h.
 *
 * IOVA is VA, always: nvme_dev_vfio.c refuses other modes. EAL has mapped its memory when the first
 * device was attached, and maps what it adds later. All else is mapped here once, however many
 * controllers and channels ask, and unmapped when the last of them has gone: the container has one
 * page table for all of them.
 */
#include "nvme_share.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_memzone.h>
#include <rte_vfio.h>
#include <string.h>

#define ZONE "hg_nvme_share"

struct map {
    uintptr_t base;
    size_t len;
    unsigned refs; /* 0: the slot is free */
};

struct share {
    pthread_mutex_t lock; /* of maps */
    struct map maps[NVME_SHARE_MAPS_MAX];
    char open[NVME_SHARE_OPEN_MAX][NVME_ADDRESS_MAX]; /* "": the slot is free */
    unsigned n_open;
};

static struct share *share_get(void)
{
    const struct rte_memzone *zone = rte_memzone_lookup(ZONE);

    return zone == NULL ? NULL : zone->addr;
}

static struct share *share_make(void)
{
    const struct rte_memzone *zone =
        rte_memzone_reserve(ZONE, sizeof(struct share), SOCKET_ID_ANY, 0);
    struct share *share;

    if (zone == NULL)
        return NULL;
    share = zone->addr;
    memset(share, 0, sizeof *share);
    pthread_mutex_init(&share->lock, NULL);
    return share;
}

/* ---- open functions ---- */

static unsigned slot_of(const struct share *share, const char *address)
{
    unsigned i = 0;

    while (i < NVME_SHARE_OPEN_MAX && strcmp(share->open[i], address) != 0)
        i++;
    return i;
}

bool nvme_share_claimed(const char *address)
{
    const struct share *share = share_get();

    return share != NULL && slot_of(share, address) < NVME_SHARE_OPEN_MAX;
}

int nvme_share_claim(const char *address, struct hg_err *err)
{
    struct share *share = share_get();
    unsigned slot;

    if (share == NULL)
        share = share_make();
    if (share == NULL)
        return hg_fail(err, -ENOMEM, "nvme %s: no EAL memory: raise [eal] memory", address);
    if (slot_of(share, address) < NVME_SHARE_OPEN_MAX)
        return hg_fail(err, -EBUSY,
                       "nvme %s: this process has it open already, under this or another name; one "
                       "namespace of a controller can be used",
                       address);
    slot = slot_of(share, "");
    if (slot == NVME_SHARE_OPEN_MAX)
        return hg_fail(err, -ENOSPC, "nvme %s: %u controllers are open, more are not possible",
                       address, NVME_SHARE_OPEN_MAX);
    memcpy(share->open[slot], address, strlen(address) + 1);
    share->n_open++;
    return 0;
}

void nvme_share_release(const char *address)
{
    struct share *share = share_get();
    unsigned slot;

    assert(share != NULL);
    slot = slot_of(share, address);
    assert(slot < NVME_SHARE_OPEN_MAX);
    share->open[slot][0] = '\0';
    if (--share->n_open > 0)
        return;
    for (unsigned i = 0; i < NVME_SHARE_MAPS_MAX; i++)
        assert(share->maps[i].refs == 0);
    pthread_mutex_destroy(&share->lock);
    rte_memzone_free(rte_memzone_lookup(ZONE));
}

/* ---- mappings ---- */

/* EAL's segment that holds the address and that devices reach at it; NULL: none. */
static const struct rte_memseg *eal_segment(uintptr_t at)
{
    const struct rte_memseg *seg = rte_mem_virt2memseg((void *)at, NULL);

    return seg != NULL && seg->iova == seg->addr_64 ? seg : NULL;
}

static bool eal_memory(uintptr_t base, size_t len)
{
    uintptr_t at = base;

    while (at < base + len) {
        const struct rte_memseg *seg = eal_segment(at);

        if (seg == NULL)
            return false;
        at = (uintptr_t)seg->addr_64 + seg->len;
    }
    return true;
}

static struct map *find_map(struct share *share, uintptr_t base, size_t len)
{
    for (unsigned i = 0; i < NVME_SHARE_MAPS_MAX; i++) {
        struct map *m = &share->maps[i];

        if (m->refs > 0 && m->base == base && m->len == len)
            return m;
    }
    return NULL;
}

/* A free slot, or NULL with *rc telling why the range cannot be mapped. */
static struct map *new_map(struct share *share, uintptr_t base, size_t len, int *rc)
{
    struct map *slot = NULL;

    *rc = -EINVAL;
    if (eal_segment(base) != NULL || eal_segment(base + len - 1) != NULL)
        return NULL;
    for (unsigned i = 0; i < NVME_SHARE_MAPS_MAX; i++) {
        struct map *m = &share->maps[i];

        if (m->refs == 0)
            slot = m;
        else if (base < m->base + m->len && m->base < base + len)
            return NULL;
    }
    *rc = -ENOSPC;
    return slot;
}

/* rte_vfio tells -1, and only sometimes why. */
static int why(void)
{
    return rte_errno != 0 ? -rte_errno : errno != 0 ? -errno : -EIO;
}

static int map_new(struct share *share, uintptr_t base, size_t len)
{
    int rc;
    struct map *slot = new_map(share, base, len, &rc);

    if (slot == NULL)
        return rc;
    rte_errno = errno = 0;
    if (rte_vfio_container_dma_map(RTE_VFIO_DEFAULT_CONTAINER_FD, base, base, len) != 0)
        return why();
    *slot = (struct map){base, len, 1};
    return 0;
}

int nvme_share_map(void *base, size_t len, uint64_t *iova)
{
    struct share *share = share_get();
    uintptr_t at = (uintptr_t)base;
    struct map *m;
    int rc = 0;

    assert(share != NULL && len > 0 && (at | len) % 4096 == 0);
    *iova = at;
    if (eal_memory(at, len))
        return 0;
    pthread_mutex_lock(&share->lock);
    m = find_map(share, at, len);
    if (m != NULL)
        m->refs++;
    else
        rc = map_new(share, at, len);
    pthread_mutex_unlock(&share->lock);
    return rc;
}

void nvme_share_unmap(void *base, size_t len)
{
    struct share *share = share_get();
    uintptr_t at = (uintptr_t)base;
    struct map *m;
    int rc = 0;

    assert(share != NULL);
    if (eal_memory(at, len))
        return;
    pthread_mutex_lock(&share->lock);
    m = find_map(share, at, len);
    assert(m != NULL);
    /* On failure EAL has told why in the log; the kernel drops it with the container. */
    if (--m->refs == 0)
        rc = rte_vfio_container_dma_unmap(RTE_VFIO_DEFAULT_CONTAINER_FD, at, at, len);
    pthread_mutex_unlock(&share->lock);
    (void)rc;
}
