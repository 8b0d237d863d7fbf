/* SPDX-License-Identifier: BSD-3-Clause */
/* The judges alone: facts that are made up. Takes its seed as argument. */
#include "tree.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB (UINT64_C(1) << 30)
#define ROUNDS 3000

static uint64_t seed = 1;

static uint32_t draw(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % n;
}

/* One NVMe controller on node 0 that VFIO has, on a machine that has all; CPUs 0 to 7 on two nodes. */
static void begin(struct exam *e)
{
    memset(e, 0, sizeof *e);
    e->v.list = calloc(FINDINGS_MAX, sizeof *e->v.list);
    e->m.devs = calloc(8, sizeof *e->m.devs);
    CU_ASSERT_FATAL(e->v.list != NULL && e->m.devs != NULL);
    e->m.devs[e->m.n_devs++] = (struct pci_dev){.addr = "0000:01:00.0",
                                                .class = PCI_CLASS_NVME,
                                                .driver = "vfio-pci",
                                                .group = 1,
                                                .vfio_file = true,
                                                .vfio_open = true};
    sys_cpus("0-7", &e->m.present);
    sys_cpus("0-7", &e->m.online);
    sys_cpus("0-3", &e->m.node_cpus[0]);
    sys_cpus("4-7", &e->m.node_cpus[1]);
    e->m.n_nodes = 2;
    e->m.n_pages = 1;
    e->m.pages[0] = (struct huge_pages){.size = 2u << 20, .mount = "/dev/hugepages"};
    e->m.pages[0].total = e->m.pages[0].free = 4096;
    e->m.pages[0].node_total[0] = e->m.pages[0].node_total[1] = 2048;
    e->m.vfio_pci = e->m.vfio_type1 = e->m.iommu = e->m.ipc_lock = true;
    strcpy(e->m.kernel, "6.1");
    e->w = (struct wants){.profile = true, .huge = true, .pci = true, .pin = true, .memory = {GIB}};
    e->w.n_devs = 1;
    strcpy(e->w.devs[0].addr, "0000:01:00.0");
    strcpy(e->w.devs[0].by, "[store] device0 = 0000:01:00.0");
}

static void shards(struct exam *e, const char *cpus)
{
    sys_cpus(cpus, &e->w.shards);
    e->w.n_shards = 0;
    for (unsigned cpu = 0; cpu < 64; cpu++)
        if (CPU_ISSET(cpu, &e->w.shards))
            e->w.shard_cpu[e->w.n_shards++] = cpu;
}

static void again(struct exam *e)
{
    e->v.n = 0;
    judge(&e->m, &e->w, &e->v);
}

static void end(struct exam *e)
{
    free(e->m.devs);
    free(e->v.list);
}

static const char *command(const struct exam *e, const char *check, unsigned n)
{
    const struct finding *f = exam_find(e, NULL, check);

    return f == NULL || n >= f->n_commands ? "" : f->commands[n];
}

static void test_fine(void)
{
    struct exam e;

    begin(&e);
    shards(&e, "1-2");
    sys_cpus("1-2", &e.m.isolated);
    sys_cpus("1-2", &e.m.nohz_full);
    again(&e);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_ADVICE), 0);
    end(&e);
}

static void test_vfio(void)
{
    struct exam e;

    begin(&e);
    e.m.devs[0].driver[0] = '\0';
    e.m.vfio_pci = e.m.vfio_type1 = false;
    again(&e);
    exam_says(&e, NULL, "vfio", LEVEL_MISSING, "kernel 6.1 has no vfio-pci");
    CU_ASSERT_EQUAL(exam_find(&e, "0000:01:00.0", "driver")->n_commands, 0); /* it would fail */
    e.m.vfio_module = true;
    again(&e);
    CU_ASSERT_STRING_EQUAL(command(&e, "vfio", 0), "modprobe vfio-pci");
    CU_ASSERT_EQUAL(exam_find(&e, "0000:01:00.0", "driver")->n_commands, 2); /* nothing to unbind */
    e.m.vfio_pci = true;
    again(&e);
    CU_ASSERT_STRING_EQUAL(command(&e, "vfio", 0), "modprobe vfio_iommu_type1");
    e.m.iommu = false;
    again(&e);
    exam_says(&e, NULL, "iommu", LEVEL_MISSING, "the firmware offers none");
    CU_ASSERT_EQUAL(exam_find(&e, "0000:01:00.0", "driver")->n_commands, 0);
    e.m.iommu_firmware = true;
    again(&e);
    exam_says(&e, NULL, "iommu", LEVEL_MISSING, "\"amd_iommu=on iommu=pt\"");
    e.m.noiommu = true;
    again(&e);
    exam_says(&e, NULL, "noiommu", LEVEL_NOTE, "unsafe");
    end(&e);
}

static void test_vfio_file(void)
{
    struct exam e;

    begin(&e);
    e.m.uid = 1000;
    e.m.devs[0].vfio_open = false;
    again(&e);
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_MISSING, "user 1000 may not open /dev/vfio/1");
    CU_ASSERT_STRING_EQUAL(exam_find(&e, "0000:01:00.0", "driver")->commands[0],
                           "chown 1000 /dev/vfio/1");
    e.m.devs[0].vfio_file = false;
    again(&e);
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_MISSING, "a container has to be given it");
    CU_ASSERT_EQUAL(exam_find(&e, "0000:01:00.0", "driver")->n_commands, 0);
    end(&e);
}

/* Without a device for VFIO nobody is told to prepare it. */
static void test_not_wanted(void)
{
    struct exam e;

    begin(&e);
    e.m.vfio_pci = e.m.iommu = e.m.ipc_lock = false;
    e.w.n_devs = 0;
    e.w.huge = false;
    again(&e);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    e.w.n_devs = 1;
    e.w.devs[0].nic = true;
    e.m.devs[0] = (struct pci_dev){.addr = "0000:01:00.0",
                                   .class = PCI_CLASS_ETHERNET << 8,
                                   .vendor = 0x15b3,
                                   .driver = "mlx5_core",
                                   .group = -1};
    again(&e);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_FINE, "beside the kernel's own");
    e.m.devs[0].driver[0] = '\0';
    again(&e);
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_MISSING, "must be bound");
    end(&e);
}

static void test_hugepages(void)
{
    struct exam e;

    begin(&e);
    shards(&e, "1,5,6");
    e.w.memory[0] = GIB;
    e.w.memory[1] = 2 * GIB;
    e.m.pages[0].node_total[0] = 512; /* enough for one shard; node 1 has two */
    e.m.pages[0].node_total[1] = 600;
    again(&e);
    exam_says(&e, NULL, "hugepages", LEVEL_MISSING,
              "on NUMA node 1: 1200 MiB are reserved, 2048 MiB are needed");
    CU_ASSERT_STRING_EQUAL(
        command(&e, "hugepages", 0),
        "echo 1024 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages");
    e.m.pages[0].mount[0] = '\0';
    again(&e);
    CU_ASSERT_STRING_EQUAL(command(&e, "hugetlbfs", 0), "mkdir -p /dev/hugepages");
    CU_ASSERT_STRING_EQUAL(command(&e, "hugetlbfs", 1),
                           "mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages");
    e.m.n_nodes = 0;
    e.m.pages[0].total = 0;
    e.w.memory[0] = 3 * GIB;
    e.w.memory[1] = 0;
    again(&e);
    CU_ASSERT_STRING_EQUAL(command(&e, "hugepages", 0),
                           "echo 1536 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    e.m.n_pages = 0;
    again(&e);
    exam_says(&e, NULL, "hugepages", LEVEL_MISSING, "this kernel has no hugepages");
    end(&e);
}

/* More than the node has is not asked of the kernel, which would give what it can and say nothing. */
static void test_too_much(void)
{
    struct exam e;

    begin(&e);
    e.w.memory[1] = 3 * GIB;
    e.m.pages[0].node_total[1] = 0;
    e.m.node_ram[1] = 4 * GIB;
    again(&e);
    CU_ASSERT_EQUAL(exam_find(&e, NULL, "hugepages")->n_commands, 1);
    e.m.node_ram[1] = 3 * GIB;
    again(&e);
    exam_says(&e, NULL, "hugepages", LEVEL_MISSING,
              "on NUMA node 1: 3072 MiB are needed, of 3072 MiB of memory there: lower [ingest]");
    CU_ASSERT_EQUAL(exam_find(&e, NULL, "hugepages")->n_commands, 0);
    end(&e);
}

/* Pages of 1 GiB that are there are used, and need a mount of their own. */
static void test_large_pages(void)
{
    struct exam e;

    begin(&e);
    e.m.n_nodes = 1;
    e.m.n_pages = 2;
    e.m.pages[0].total = e.m.pages[0].free = e.m.pages[0].node_total[0] = 0;
    e.m.pages[1] = (struct huge_pages){.size = GIB, .total = 2, .free = 2, .node_total = {2}};
    e.w.memory[0] = 4 * GIB;
    again(&e);
    CU_ASSERT_STRING_EQUAL(
        command(&e, "hugepages", 0),
        "echo 4 > /sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages");
    CU_ASSERT_STRING_EQUAL(command(&e, "hugetlbfs", 1),
                           "mount -t hugetlbfs -o pagesize=1G hugetlbfs /dev/hugepages-1G");
    e.w.memory[0] = 2 * GIB;
    strcpy(e.m.pages[1].mount, "/mnt");
    e.m.pages[1].free = 0;
    again(&e);
    exam_says(&e, NULL, "hugepages", LEVEL_NOTE, "other processes have the rest");
    end(&e);
}

static void test_memlock(void)
{
    struct exam e;

    begin(&e);
    e.m.ipc_lock = false;
    e.m.memlock = 8u << 20;
    again(&e);
    exam_says(&e, NULL, "memlock", LEVEL_MISSING, "is 8 MiB, VFIO maps 1024 MiB");
    CU_ASSERT_STRING_EQUAL(command(&e, "memlock", 0),
                           "prlimit --pid $$ --memlock=unlimited:unlimited");
    e.m.memlock = UINT64_MAX;
    again(&e);
    exam_says(&e, NULL, "memlock", LEVEL_FINE, "allows");
    end(&e);
}

static void test_cpus(void)
{
    struct exam e;

    begin(&e);
    shards(&e, "1-2,9");
    e.w.control = 0;
    CPU_CLR(2, &e.m.online);
    CPU_SET(1, &e.m.slow_governor);
    again(&e);
    exam_says(&e, NULL, "cpus", LEVEL_MISSING, "CPU 2");
    CU_ASSERT_STRING_EQUAL(command(&e, "cpus", 0), "echo 1 > /sys/devices/system/cpu/cpu2/online");
    CU_ASSERT_PTR_NOT_NULL(strstr(e.v.list[e.v.n - 1].text, "alone")); /* the device, last */
    exam_says(&e, NULL, "isolation", LEVEL_ADVICE,
              "\"isolcpus=managed_irq,domain,1-2 nohz_full=1-2");
    CU_ASSERT_STRING_EQUAL(command(&e, "governor", 0),
                           "for c in 1; do echo performance > "
                           "/sys/devices/system/cpu/cpu$c/cpufreq/scaling_governor; done");
    sys_cpus("1-2", &e.m.isolated);
    again(&e);
    exam_says(&e, NULL, "isolation", LEVEL_ADVICE, "timer tick");
    shards(&e, "0");
    again(&e);
    exam_says(&e, NULL, "isolation", LEVEL_NOTE, "for trials only");
    shards(&e, "9");
    CPU_SET(2, &e.m.online);
    again(&e);
    exam_says(&e, NULL, "cpus", LEVEL_MISSING, "names CPU 9, but this machine has 0-7");
    e.w.pin = false;
    again(&e);
    CU_ASSERT_PTR_NULL(exam_find(&e, NULL, "isolation"));
    end(&e);
}

static void test_nodes(void)
{
    struct exam e;

    begin(&e);
    shards(&e, "1,5");
    e.m.distance[1][0] = 21;
    e.m.distance[1][1] = 10;
    again(&e);
    exam_says(&e, "0000:01:00.0", "numa", LEVEL_ADVICE,
              "device 0000:01:00.0 is on NUMA node 0, but shard 1 (CPU 5) is on node 1 (distance "
              "21, own node 10). [cpu] shards of its node would be: 0-3");
    shards(&e, "1,2");
    again(&e);
    exam_says(&e, NULL, "numa", LEVEL_FINE, "the same NUMA node");
    e.m.n_nodes = 1;
    again(&e);
    CU_ASSERT_PTR_NULL(exam_find(&e, NULL, "numa"));
    end(&e);
}

/* ---- chance ---- */

static void random_machine(struct exam *e)
{
    static const char *const driver[] = {"", "nvme", "ixgbe", "vfio-pci", "pci-stub"};
    static const uint32_t class[] = {PCI_CLASS_NVME, PCI_CLASS_ETHERNET << 8, 0x0c0330, 0x060400};

    e->m.n_devs = 2 + draw(7);
    for (unsigned i = 0; i < e->m.n_devs; i++) {
        struct pci_dev *d = &e->m.devs[i];

        memset(d, 0, sizeof *d);
        snprintf(d->addr, sizeof d->addr, "0000:%02x:00.0", (i + 1) & 0xff);
        d->class = class[draw(4)];
        strcpy(d->driver, driver[draw(5)]);
        d->group = (int)draw(4) - 1;
        d->node = (int)draw(3) - 1;
        d->vfs = draw(4) == 0 ? 2 : 0;
        if (d->driver[0] != '\0' && draw(3) == 0) {
            d->default_route = draw(2) == 0;
            strcpy(d->use, d->default_route ? "eth0 carries the default route" : "mounted at /");
        }
    }
    e->m.vfio_pci = draw(4) != 0;
    e->m.vfio_type1 = draw(4) != 0;
    e->m.vfio_module = draw(2) != 0;
    e->m.iommu = draw(4) != 0;
    memset(&e->w, 0, sizeof e->w);
    wants_all(&e->m, &e->w);
    for (unsigned i = 0; i < e->w.n_devs; i++)
        if (draw(2) == 0)
            strcpy(e->w.devs[i].by, "named");
}

static void test_never_taken(void)
{
    unsigned used = 0, taken = 0;

    printf("\n    seed %" PRIu64 " ", seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct exam e;

        begin(&e);
        random_machine(&e);
        again(&e);
        for (unsigned i = 0; i < e.m.n_devs; i++) {
            char *all = exam_commands(&e);

            if (e.m.devs[i].use[0] != '\0') {
                exam_spares(&e, e.m.devs[i].addr);
                used++;
            } else {
                taken += strstr(all, e.m.devs[i].addr) != NULL;
            }
            free(all);
        }
        end(&e);
    }
    CU_ASSERT(used > ROUNDS && taken > ROUNDS / 2); /* else it would have shown nothing */
}

/* More findings than there is room for end the list, and nothing else. */
static void test_bound(void)
{
    struct exam e;

    begin(&e);
    for (unsigned i = 0; i < FINDINGS_MAX + 5; i++)
        mend(find(&e.v, LEVEL_MISSING, "x", "%u", i), "command %u", i);
    CU_ASSERT_EQUAL(e.v.n, FINDINGS_MAX);
    for (unsigned i = 0; i < COMMANDS_MAX + 2; i++)
        mend(&e.v.list[0], "more");
    CU_ASSERT_EQUAL(e.v.list[0].n_commands, COMMANDS_MAX);
    end(&e);
}

static void test_cpu_lists(void)
{
    cpu_set_t set;
    char buf[64], small[6];

    sys_cpus("0-3,8,10-11", &set);
    CU_ASSERT_EQUAL(CPU_COUNT(&set), 7);
    CU_ASSERT_STRING_EQUAL(sys_cpus_text(&set, buf, sizeof buf), "0-3,8,10-11");
    CU_ASSERT_EQUAL(strlen(sys_cpus_text(&set, small, sizeof small)), 5);
    sys_cpus("(null)", &set);
    CU_ASSERT_EQUAL(CPU_COUNT(&set), 0);
    sys_cpus("1022-4096,5", &set);
    CU_ASSERT_STRING_EQUAL(sys_cpus_text(&set, buf, sizeof buf), "5,1022-1023");
    sys_cpus("7-", &set);
    CU_ASSERT(CPU_COUNT(&set) <= 1);
}

int main(int argc, char **argv)
{
    unsigned failed;
    CU_pSuite suite;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("doctor_judge", NULL, NULL);
    CU_add_test(suite, "a machine that has all is told so", test_fine);
    CU_add_test(suite, "VFIO and the IOMMU: what is missing, and nothing that would fail",
                test_vfio);
    CU_add_test(suite, "a device that VFIO has, but not for us", test_vfio_file);
    CU_add_test(suite, "a profile without such devices needs none of it", test_not_wanted);
    CU_add_test(suite, "hugepages are wanted on the nodes of the shards", test_hugepages);
    CU_add_test(suite, "more than a node has is not asked for", test_too_much);
    CU_add_test(suite, "large pages that are there are used", test_large_pages);
    CU_add_test(suite, "locked memory", test_memlock);
    CU_add_test(suite, "CPUs that are absent, off, shared or slow", test_cpus);
    CU_add_test(suite, "a device and its shards on different nodes", test_nodes);
    CU_add_test(suite, "whatever the machine, a device in use is in no command", test_never_taken);
    CU_add_test(suite, "findings and commands are bounded", test_bound);
    CU_add_test(suite, "lists of CPUs", test_cpu_lists);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
