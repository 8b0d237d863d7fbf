/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL memory on the nodes of those who work on it. */
#include "memory.h"
#include "rig.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static uint64_t bytes[MEMORY_NODES];

/* CPUs 0 to 3 on node 0, 4 to 7 on node 1; of others nobody knows. */
static int cpu_node(void *arg, unsigned cpu)
{
    (void)arg;
    return cpu < 8 ? (int)cpu / 4 : -1;
}

/* Bus 03 is on node 0, bus 83 on node 2. */
static int device_node(void *arg, const char *addr)
{
    (void)arg;
    return strcmp(addr, "0000:03:00.0") == 0 ? 0 : strcmp(addr, "0000:83:00.0") == 0 ? 2 : -1;
}

static bool by_node(void)
{
    return memory_by_node(&cfg, &(struct memory_where){cpu_node, device_node, NULL}, bytes);
}

static void test_shards(void)
{
    begin();
    set("cpu.control=0");
    set("cpu.shards=1,5,6");
    CU_ASSERT(by_node());
    CU_ASSERT_EQUAL(bytes[0], memory_shard(&cfg) + 96 * MIB);
    CU_ASSERT_EQUAL(bytes[1], 2 * memory_shard(&cfg));
    CU_ASSERT_EQUAL(bytes[0] + bytes[1], memory_total(&cfg));
    set("eal.memory=1296M");
    CU_ASSERT(by_node());
    CU_ASSERT(bytes[0] == 496 * MIB && bytes[1] == 800 * MIB);
    set("eal.memory=100M"); /* control cannot have nearly all of it */
    CU_ASSERT(by_node());
    CU_ASSERT(bytes[0] == 50 * MIB && bytes[1] == 50 * MIB);
}

/* A node where only a device is needs memory for its rings, and one where only control is for EAL. */
static void test_devices(void)
{
    begin();
    set("cpu.control=4");
    set("cpu.shards=1");
    set("port.device=83:00.0");
    set("store.device1=nvme:0000:03:00.0/ns=2");
    CU_ASSERT(by_node());
    CU_ASSERT_EQUAL(bytes[0], memory_shard(&cfg) + 6 * MIB + 128 * 4096);
    CU_ASSERT_EQUAL(bytes[1], 96 * MIB);
    CU_ASSERT_EQUAL(bytes[2], 16 * MIB);
    CU_ASSERT_EQUAL(memory_total(&cfg), memory_shard(&cfg) + 102 * MIB + 128 * 4096);
    set("cpu.shards=1,2,3");
    CU_ASSERT(by_node());
    CU_ASSERT_EQUAL(bytes[0], 3 * (memory_shard(&cfg) + 2 * MIB + 128 * 4096) + 4 * MIB);
    set("store.device0=nvme:serial=S1"); /* of no known node: beside control */
    CU_ASSERT(by_node());
    CU_ASSERT_EQUAL(bytes[1], 96 * MIB + 3 * (2 * MIB + 128 * 4096) + 4 * MIB);
    set("eal.memory=1G");
    CU_ASSERT_EQUAL(memory_total(&cfg), 1024 * MIB);
}

static void test_anywhere(void)
{
    static const char *const anywhere[] = {"cpu.pin=no", "cpu.shards=1,9", "cpu.control=9",
                                           "cpu.shards=x"};

    for (unsigned i = 0; i < sizeof anywhere / sizeof anywhere[0]; i++) {
        begin();
        set(anywhere[i]);
        CU_ASSERT(!by_node());
        CU_ASSERT_EQUAL(bytes[0], memory_total(&cfg));
        CU_ASSERT_EQUAL(bytes[1], 0);
    }
}

static void test_addresses(void)
{
    static const struct {
        const char *text, *addr; /* addr NULL: there is none */
    } rows[] = {
        {"0000:03:00.0", "0000:03:00.0"},
        {"03:00.1", "0000:03:00.1"},
        {"10000:e1:00.0", "10000:e1:00.0"}, /* a domain of VMD */
        {"nvme:0000:03:00.0", "0000:03:00.0"},
        {"nvme:0000:03:00.0/ns=2", "0000:03:00.0"},
        {"nvme:serial=12:34.5x", NULL},
        {"mem:1G", NULL},
        {"net_tap0", NULL},
        {"", NULL},
        {"03:00.0.1", NULL},
    };
    char addr[MEMORY_PCI_ADDR];

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CU_ASSERT_EQUAL(memory_pci_address(rows[i].text, addr), rows[i].addr != NULL);
        if (rows[i].addr != NULL)
            CU_ASSERT_STRING_EQUAL(addr, rows[i].addr);
    }
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("memory", NULL, NULL);
    CU_add_test(suite, "shards have theirs on the nodes of their CPUs", test_shards);
    CU_add_test(suite, "devices have their rings on their nodes", test_devices);
    CU_add_test(suite, "where a CPU's node is not told it is anywhere", test_anywhere);
    CU_add_test(suite, "PCI addresses in the names of devices", test_addresses);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
