/* SPDX-License-Identifier: BSD-3-Clause */
/* What doctor reads out of a profile. */
#include "tree.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <headgate/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct exam e;
static struct hg_err err;

/* Judges machine_half() by a profile of these lines. */
static int by_profile(const char *lines)
{
    char path[128];
    int rc;

    tree_file(&e.t, lines, "/profile.ini");
    snprintf(path, sizeof path, "%s/profile.ini", e.t.root);
    machine_free(&e.m);
    memset(&e.w, 0, sizeof e.w);
    e.v.n = 0;
    CU_ASSERT_EQUAL_FATAL(machine_read(e.t.root, &e.m), 0);
    rc = wants_profile(&e.m, path, &e.w, &err);
    if (rc == 0)
        judge(&e.m, &e.w, &e.v);
    return rc;
}

static void test_devices(void)
{
    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[eal]\nhuge = yes\npci = yes\n[cpu]\nshards = 1,3\n"
                               "[port]\ndevice = 03:00.0\n[store]\ndevice0 = nvme:0000:04:00.0\n"
                               "device1 = mem:1G\ndevice2 = /srv/file\n"
                               "device3 = nvme-emu:1G,serial=SN1\n"),
                    0);
    CU_ASSERT_EQUAL(e.w.n_devs, 2);
    CU_ASSERT_STRING_EQUAL(e.w.devs[0].addr, "0000:03:00.0");
    CU_ASSERT(e.w.devs[0].nic && !e.w.devs[1].nic && !e.w.devs[1].kernel);
    CU_ASSERT_STRING_EQUAL(e.w.devs[1].by, "[store] device0 = nvme:0000:04:00.0");
    CU_ASSERT(e.w.n_shards == 2 && e.w.shard_cpu[1] == 3 && e.w.control == 0);
    CU_ASSERT(e.w.memory[0] > 512u << 20);
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_MISSING, "needs vfio-pci");
    exam_end(&e);
}

static void test_ways_to_name(void)
{
    static const char *const good[] = {"nvme:04:00.0", "nvme:0000:04:00.0",
                                       "nvme:0000:04:00.0/ns=2", "nvme:serial=SN1",
                                       "nvme:serial=SN1/ns=2"};
    char lines[256];

    exam_begin(&e);
    machine_half(&e.t);
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(lines, sizeof lines, "[store]\ndevice0 = %s\n", good[i]);
        CU_ASSERT_EQUAL(by_profile(lines), 0);
        CU_ASSERT_EQUAL(e.w.n_devs, 1);
        CU_ASSERT_STRING_EQUAL(e.w.devs[0].addr, "0000:04:00.0");
        CU_ASSERT(!e.w.devs[0].kernel);
    }
    exam_end(&e);
}

/* Two namespaces of one controller are one device to prepare, and its commands are there once. */
static void test_two_namespaces(void)
{
    char *all;

    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:04:00.0/ns=1\n"
                               "device1 = nvme:serial=SN1/ns=2\n"),
                    0);
    CU_ASSERT_EQUAL(e.w.n_devs, 1);
    all = exam_commands(&e);
    CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(all, "driver_override"));
    CU_ASSERT_PTR_NULL(strstr(strstr(all, "driver_override") + 1, "driver_override"));
    free(all);
    exam_end(&e);
}

static void test_not_meant(void)
{
    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = 0000:04:00.0\n"), 0);
    exam_says(&e, "0000:04:00.0", "profile", LEVEL_MISSING, "write nvme:0000:04:00.0");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:03:00.0\n"), 0);
    exam_says(&e, "0000:03:00.0", "profile", LEVEL_MISSING,
              "no NVMe controller (its class is 0200");
    CU_ASSERT_EQUAL(by_profile("[eal]\npci = yes\n[port]\ndevice = 04:00.0\n"), 0);
    exam_says(&e, "0000:04:00.0", "profile", LEVEL_MISSING, "no NIC (its class is 010802)");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = /dev/nvme0n1\ndevice1 = nvme:04:00.0/ns=2\n"),
                    0);
    exam_says(&e, "0000:04:00.0", "profile", LEVEL_MISSING, "the same controller");
    exam_spares(&e, "0000:04:00.0/driver");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:four\n"), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nvme:0000:"));
    exam_end(&e);
}

static void test_not_there(void)
{
    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:serial=SN\n"), 0);
    exam_says(&e, NULL, "device", LEVEL_MISSING, "no NVMe controller has this serial number");
    tree_vfio(&e.t);
    tree_link(&e.t, "../../drivers/vfio-pci", "/sys/bus/pci/devices/0000:04:00.0/driver");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:serial=SN2\n"), 0);
    exam_says(&e, NULL, "device", LEVEL_NOTE, "VFIO has 1 NVMe controller, whose");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = nvme:0000:0a:00.0\n"), 0);
    exam_says(&e, "0000:0a:00.0", "device", LEVEL_MISSING, "no such PCI device");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = /dev/nvme7n1\n"), 0);
    exam_says(&e, NULL, "device", LEVEL_MISSING, "has no such device");
    CU_ASSERT_EQUAL(wants_named(&e.m, "eth0", &e.w, &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "PCI address"));
    CU_ASSERT_EQUAL(wants_named(&e.m, "/dev/nvme7n1", &e.w, &err), -ENODEV);
    exam_end(&e);
}

/* A pool on the kernel's device needs no VFIO; one that is mounted cannot be had. */
static void test_kernel_path(void)
{
    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = /dev/nvme0n1\n"), 0);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_NOTE, "write nvme:0000:04:00.0");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = /dev/ng0n1\n"), 0);
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_NOTE, "through the kernel");
    tree_file(&e.t, "29 1 259:0 / /a rw - ext4 /dev/x rw", "/proc/self/mountinfo");
    CU_ASSERT_EQUAL(by_profile("[store]\ndevice0 = /dev/nvme0n1\n"), 0);
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_MISSING, "mounted at /a");
    exam_spares(&e, "0000:04:00.0");
    exam_end(&e);
}

static void test_profile_itself(void)
{
    exam_begin(&e);
    machine_half(&e.t);
    CU_ASSERT_EQUAL(by_profile("[port]\ndevice = 0000:03:00.0\n"), 0);
    exam_says(&e, NULL, "profile", LEVEL_MISSING, "Set [eal] pci = yes");
    exam_says(&e, NULL, "hugepages", LEVEL_ADVICE, "huge = no");
    CU_ASSERT_EQUAL(by_profile("[port]\nvdev = net_tap0,iface=hg0\n"), 0);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    CU_ASSERT_NOT_EQUAL(by_profile("[port]\ncolour = red\n"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "colour is unknown"));
    exam_end(&e);
}

static void test_nodes(void)
{
    exam_begin(&e);
    machine_two_nodes(&e.t);
    CU_ASSERT_EQUAL(
        by_profile("[eal]\nhuge = yes\npci = yes\n[cpu]\nshards = 5,1,6\n"
                   "[port]\ndevice = 0000:03:00.0\n[store]\ndevice0 = nvme:0000:83:00.0\n"),
        0);
    exam_says(&e, "0000:03:00.0", "numa", LEVEL_ADVICE,
              "shards 0 and 2 (CPUs 5 and 6) are on node 1");
    exam_says(&e, "0000:83:00.0", "numa", LEVEL_ADVICE, "shard 1 (CPU 1) is on node 0");
    exam_end(&e);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("doctor_profile", NULL, NULL);
    CU_add_test(suite, "ports, devices of the pool, CPUs and memory", test_devices);
    CU_add_test(suite, "a device by address or serial number", test_ways_to_name);
    CU_add_test(suite, "two namespaces are one device to prepare", test_two_namespaces);
    CU_add_test(suite, "what cannot be meant is said, and nothing is taken for it", test_not_meant);
    CU_add_test(suite, "a device that is not there", test_not_there);
    CU_add_test(suite, "a pool on the kernel's device", test_kernel_path);
    CU_add_test(suite, "what the profile itself lacks", test_profile_itself);
    CU_add_test(suite, "shards keep the profile's order", test_nodes);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
