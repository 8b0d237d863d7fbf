/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What controllers share: ranges are mapped once however many ask, EAL's memory not at all, and a
 * function is open once. EAL's functions are replaced here.
 */
#include "nvme_share.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_memzone.h>
#include <rte_vfio.h>
#include <stdlib.h>
#include <string.h>

#define EAL_BASE UINT64_C(0x100000000)
#define PAGE UINT64_C(0x200000)
#define EAL_PAGES 4u
#define AT(n) ((void *)(uintptr_t)(UINT64_C(0x700000000000) + (uint64_t)(n)*4096))

static struct {
    struct rte_memzone zone; /* addr NULL: there is none */
    unsigned maps, unmaps;   /* calls */
    uint64_t base, len;      /* of the last call */
    int fails_with;          /* rte_errno of the next map */
} eal;

const struct rte_memzone *rte_memzone_lookup(const char *name)
{
    (void)name;
    return eal.zone.addr == NULL ? NULL : &eal.zone;
}

const struct rte_memzone *rte_memzone_reserve(const char *name, size_t len, int socket_id,
                                              unsigned int flags)
{
    (void)name, (void)socket_id, (void)flags;
    eal.zone.addr = malloc(len);
    memset(eal.zone.addr, 0xa5, len);
    return &eal.zone;
}

int rte_memzone_free(const struct rte_memzone *mz)
{
    CU_ASSERT_PTR_EQUAL(mz, &eal.zone);
    free(eal.zone.addr);
    eal.zone.addr = NULL;
    return 0;
}

/* EAL_PAGES pages, the last of which devices do not reach at its own address. */
struct rte_memseg *rte_mem_virt2memseg(const void *virt, const struct rte_memseg_list *msl)
{
    static struct rte_memseg seg;
    uint64_t page = ((uint64_t)(uintptr_t)virt - EAL_BASE) / PAGE;

    (void)msl;
    if ((uint64_t)(uintptr_t)virt < EAL_BASE || page >= EAL_PAGES)
        return NULL;
    seg.addr_64 = EAL_BASE + page * PAGE;
    seg.iova = page == EAL_PAGES - 1 ? RTE_BAD_IOVA : seg.addr_64;
    seg.len = PAGE;
    return &seg;
}

int rte_vfio_container_dma_map(int container_fd, uint64_t vaddr, uint64_t iova, uint64_t len)
{
    CU_ASSERT(container_fd == RTE_VFIO_DEFAULT_CONTAINER_FD && iova == vaddr);
    if (eal.fails_with != 0) {
        rte_errno = eal.fails_with;
        eal.fails_with = 0;
        return -1;
    }
    eal.maps++;
    eal.base = vaddr;
    eal.len = len;
    return 0;
}

int rte_vfio_container_dma_unmap(int container_fd, uint64_t vaddr, uint64_t iova, uint64_t len)
{
    CU_ASSERT(container_fd == RTE_VFIO_DEFAULT_CONTAINER_FD && iova == vaddr);
    eal.unmaps++;
    eal.base = vaddr;
    eal.len = len;
    return 0;
}

static void set_up(void)
{
    memset(&eal, 0, sizeof eal);
}

static void test_claim(void)
{
    struct hg_err err = {""};
    char address[NVME_ADDRESS_MAX];

    CU_ASSERT_FALSE(nvme_share_claimed("0000:01:00.0"));
    CU_ASSERT_EQUAL(nvme_share_claim("0000:01:00.0", &err), 0);
    CU_ASSERT_TRUE(nvme_share_claimed("0000:01:00.0"));
    CU_ASSERT_FALSE(nvme_share_claimed("0000:02:00.0"));
    CU_ASSERT_EQUAL(nvme_share_claim("0000:01:00.0", &err), -EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "0000:01:00.0: this process has it open already"));
    for (unsigned i = 1; i < NVME_SHARE_OPEN_MAX; i++) {
        snprintf(address, sizeof address, "0001:%02x:00.0", i);
        CU_ASSERT_EQUAL(nvme_share_claim(address, &err), 0);
    }
    CU_ASSERT_EQUAL(nvme_share_claim("0000:02:00.0", &err), -ENOSPC);
    nvme_share_release("0000:01:00.0");
    CU_ASSERT_FALSE(nvme_share_claimed("0000:01:00.0"));
    for (unsigned i = 1; i < NVME_SHARE_OPEN_MAX; i++) {
        CU_ASSERT_PTR_NOT_NULL(eal.zone.addr);
        snprintf(address, sizeof address, "0001:%02x:00.0", i);
        nvme_share_release(address);
    }
    CU_ASSERT_PTR_NULL(eal.zone.addr); /* nothing is left behind */
}

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(nvme_share_claim("0000:01:00.0", NULL), 0);
}

static void end(void)
{
    nvme_share_release("0000:01:00.0");
}

static void test_once(void)
{
    uint64_t iova = 0;

    begin();
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(nvme_share_map(AT(0), 8192, &iova), 0);
        CU_ASSERT_EQUAL(iova, (uintptr_t)AT(0));
    }
    CU_ASSERT(eal.maps == 1 && eal.base == (uintptr_t)AT(0) && eal.len == 8192);
    nvme_share_unmap(AT(0), 8192);
    nvme_share_unmap(AT(0), 8192);
    CU_ASSERT_EQUAL(eal.unmaps, 0);
    nvme_share_unmap(AT(0), 8192);
    CU_ASSERT(eal.unmaps == 1 && eal.base == (uintptr_t)AT(0) && eal.len == 8192);
    CU_ASSERT_EQUAL(nvme_share_map(AT(0), 8192, &iova), 0);
    CU_ASSERT_EQUAL(eal.maps, 2);
    nvme_share_unmap(AT(0), 8192);
    end();
}

static void test_eal_memory(void)
{
    void *first = (void *)(uintptr_t)(EAL_BASE + 4096);
    uint64_t iova = 0;

    begin();
    CU_ASSERT_EQUAL(nvme_share_map(first, 2 * PAGE, &iova), 0);
    CU_ASSERT_EQUAL(iova, EAL_BASE + 4096);
    nvme_share_unmap(first, 2 * PAGE);
    CU_ASSERT(eal.maps == 0 && eal.unmaps == 0);
    /* It ends where devices do not reach EAL's memory, or behind all of it, or begins before it. */
    CU_ASSERT_EQUAL(nvme_share_map(first, 3 * PAGE, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map(first, 4 * PAGE, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map((void *)(uintptr_t)(EAL_BASE - 4096), 8192, &iova), -EINVAL);
    CU_ASSERT_EQUAL(eal.maps, 0);
    end();
}

static void test_overlap(void)
{
    uint64_t iova;

    begin();
    CU_ASSERT_EQUAL(nvme_share_map(AT(4), 4 * 4096, &iova), 0);
    CU_ASSERT_EQUAL(nvme_share_map(AT(4), 8192, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map(AT(3), 8192, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map(AT(7), 8192, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map(AT(0), 16 * 4096, &iova), -EINVAL);
    CU_ASSERT_EQUAL(nvme_share_map(AT(8), 4096, &iova), 0);
    CU_ASSERT_EQUAL(nvme_share_map(AT(0), 4 * 4096, &iova), 0);
    CU_ASSERT_EQUAL(eal.maps, 3);
    nvme_share_unmap(AT(4), 4 * 4096);
    nvme_share_unmap(AT(8), 4096);
    nvme_share_unmap(AT(0), 4 * 4096);
    CU_ASSERT_EQUAL(eal.unmaps, 3);
    end();
}

static void test_fails(void)
{
    uint64_t iova;

    begin();
    eal.fails_with = ENOTSUP;
    CU_ASSERT_EQUAL(nvme_share_map(AT(0), 4096, &iova), -ENOTSUP);
    for (unsigned i = 0; i < NVME_SHARE_MAPS_MAX; i++)
        CU_ASSERT_EQUAL(nvme_share_map(AT(i), 4096, &iova), 0); /* the failure took no slot */
    CU_ASSERT_EQUAL(nvme_share_map(AT(NVME_SHARE_MAPS_MAX), 4096, &iova), -ENOSPC);
    for (unsigned i = 0; i < NVME_SHARE_MAPS_MAX; i++)
        nvme_share_unmap(AT(i), 4096);
    end();
}

int main(void)
{
    CU_pSuite s;
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite_with_setup_and_teardown("nvme_share", NULL, NULL, set_up, NULL)) == NULL)
        return 1;
    CU_add_test(s, "a function is open once", test_claim);
    CU_add_test(s, "a range is mapped once and unmapped with the last", test_once);
    CU_add_test(s, "EAL's memory is mapped already", test_eal_memory);
    CU_add_test(s, "ranges that overlap are refused", test_overlap);
    CU_add_test(s, "a failure leaves nothing, and there is a limit", test_fails);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
