/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor on whole machines: folders that look like them are read and judged. */
#include "tree.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_laptop(void)
{
    struct exam e;

    exam_begin(&e);
    machine_laptop(&e.t);
    exam_judge(&e, NULL);
    exam_says(&e, NULL, "vfio", LEVEL_MISSING, "vfio-pci is not loaded");
    exam_says(&e, NULL, "hugepages", LEVEL_MISSING, "1024 MiB are needed"); /* a quarter */
    CU_ASSERT_STRING_EQUAL(exam_find(&e, NULL, "vfio")->commands[0], "modprobe vfio-pci");
    exam_says(&e, NULL, "iommu", LEVEL_MISSING, "\"intel_iommu=on iommu=pt\"");
    CU_ASSERT_STRING_EQUAL(
        exam_find(&e, NULL, "iommu")->commands[0],
        "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&intel_iommu=on iommu=pt /' /etc/default/grub");
    exam_says(&e, "0000:00:1f.6", "driver", LEVEL_NOTE, "eth0 carries the default route");
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_NOTE, "nvme0n1p2 is mounted at /");
    exam_spares(&e, "0000:00:1f.6");
    exam_spares(&e, "0000:01:00.0");
    /* named, it is a mistake, and still nothing is taken */
    exam_judge(&e, (const char *const[]){"01:00.0", "0000:00:1f.6", NULL});
    exam_says(&e, "0000:01:00.0", "driver", LEVEL_MISSING, "Free it first");
    exam_says(&e, "0000:00:1f.6", "driver", LEVEL_MISSING, "Use another NIC");
    exam_spares(&e, "0000:00:1f.6");
    exam_spares(&e, "0000:01:00.0");
    exam_end(&e);
}

/* Each command that edits GRUB's file does what it says there, and is given only where it does. */
static void test_grub(void)
{
    struct exam e;
    char command[512], line[128];

    exam_begin(&e);
    machine_laptop(&e.t);
    tree_file(&e.t, "quiet intel_iommu=off splash", "/proc/cmdline");
    tree_file(&e.t, "GRUB_CMDLINE_LINUX=\"quiet intel_iommu=off splash\"", "/etc/default/grub");
    exam_judge(&e, NULL);
    exam_says(&e, NULL, "iommu", LEVEL_MISSING, "command line says intel_iommu=off");
    snprintf(command, sizeof command, "cd %s/etc/default && %.200s", e.t.root,
             exam_find(&e, NULL, "iommu")->commands[0]);
    strcpy(strstr(command, "/etc/default/grub"), "grub");
    CU_ASSERT_EQUAL(system(command), 0);
    CU_ASSERT_FATAL(sys_line(e.t.root, line, sizeof line, "/etc/default/grub"));
    CU_ASSERT_STRING_EQUAL(line, "GRUB_CMDLINE_LINUX=\"quiet  splash\"");
    tree_file(&e.t, "quiet splash", "/proc/cmdline");
    exam_judge(&e, NULL);
    snprintf(command, sizeof command, "cd %s/etc/default && %.200s", e.t.root,
             exam_find(&e, NULL, "iommu")->commands[0]);
    strcpy(strstr(command, "/etc/default/grub"), "grub");
    CU_ASSERT_EQUAL(system(command), 0);
    sys_line(e.t.root, line, sizeof line, "/etc/default/grub");
    CU_ASSERT_STRING_EQUAL(line, "GRUB_CMDLINE_LINUX=\"intel_iommu=on iommu=pt quiet  splash\"");
    tree_file(&e.t, "GRUB_CMDLINE_LINUX='quiet'", "/etc/default/grub");
    exam_judge(&e, NULL);
    CU_ASSERT_EQUAL(exam_find(&e, NULL, "iommu")->n_commands, 0);
    exam_end(&e);
}

static void test_half(void)
{
    struct exam e;
    char *all;

    exam_begin(&e);
    machine_half(&e.t);
    exam_judge(&e, NULL);
    exam_says(&e, NULL, "iommu", LEVEL_FINE, "on");
    exam_says(&e, NULL, "hugepages", LEVEL_MISSING, "256 MiB are reserved, 2048 MiB are needed");
    CU_ASSERT_PTR_NULL(exam_find(&e, NULL, "hugetlbfs"));
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_MISSING, "the kernel loses eth1");
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_MISSING, "driver nvme");
    exam_says(&e, "0000:04:00.0", "iommu-group", LEVEL_FINE, "alone in IOMMU group 5");
    all = exam_commands(&e);
    CU_ASSERT_STRING_EQUAL(
        all, "modprobe vfio-pci\n"
             "echo 1024 > "
             "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages\n"
             "echo vfio-pci > /sys/bus/pci/devices/0000:04:00.0/driver_override\n"
             "echo 0000:04:00.0 > /sys/bus/pci/devices/0000:04:00.0/driver/unbind\n"
             "echo 0000:04:00.0 > /sys/bus/pci/drivers_probe\n"
             "echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override\n"
             "echo 0000:03:00.0 > /sys/bus/pci/devices/0000:03:00.0/driver/unbind\n"
             "echo 0000:03:00.0 > /sys/bus/pci/drivers_probe\n");
    free(all);
    exam_end(&e);
}

static void test_shared(void)
{
    struct exam e;

    exam_begin(&e);
    machine_shared(&e.t);
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "iommu-group", LEVEL_MISSING, "shared with 0000:03:00.1");
    CU_ASSERT_STRING_EQUAL(exam_find(&e, "0000:03:00.0", "iommu-group")->commands[0],
                           "echo 0000:03:00.1 > /sys/bus/pci/devices/0000:03:00.1/driver/unbind");
    exam_spares(&e, "0000:02:00.0"); /* a bridge may stay */
    exam_says(&e, "0000:05:00.0", "iommu-group", LEVEL_NOTE, "shared with 0000:05:00.1");
    exam_says(&e, "0000:06:00.0", "iommu-group", LEVEL_MISSING, "nvme2n1 is mounted at /srv");
    exam_spares(&e, "0000:06:00.1");
    exam_end(&e);
}

static void test_vf(void)
{
    struct exam e;

    exam_begin(&e);
    machine_vf(&e.t);
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:10.0", "driver", LEVEL_FINE, "vfio-pci");
    exam_says(&e, "0000:03:10.2", "driver", LEVEL_MISSING, "the kernel loses eth1");
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_NOTE, "2 virtual functions");
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_NOTE, "1 virtual functions");
    exam_spares(&e, "0000:03:00.0");
    exam_spares(&e, "0000:04:00.0");
    CU_ASSERT_STRING_EQUAL(machine_dev(&e.m, "0000:03:10.0")->pf, "0000:03:00.0");
    exam_end(&e);
}

static void test_two_nodes(void)
{
    struct exam e;

    exam_begin(&e);
    machine_two_nodes(&e.t);
    exam_judge(&e, NULL);
    CU_ASSERT_EQUAL(verdict_count(&e.v, LEVEL_MISSING), 0);
    CU_ASSERT_EQUAL(e.m.distance[0][1], 21);
    CU_ASSERT_EQUAL(machine_cpu_node(&e.m, 5), 1);
    exam_says(&e, NULL, "hugepages", LEVEL_FINE, "16384 MiB");
    exam_end(&e);
}

/* ---- who uses a device ---- */

struct user_case {
    const char *file, *text, *link; /* what is added to machine_half(); link: its target instead */
    const char *words;              /* in use of 0000:04:00.0; NULL: it is free */
};

static void test_drive_users(void)
{
    static const struct user_case cases[] = {
        {"/proc/self/mountinfo", "29 1 259:0 / /a rw - ext4 /dev/x rw", NULL,
         "nvme0n1 is mounted at /a"},
        {"/proc/self/mountinfo", "29 1 0:44 / /b rw - btrfs /dev/nvme0n1 rw", NULL,
         "nvme0n1 is mounted at /b"},
        {"/proc/self/mountinfo", "29 1 259:01 / /c rw - ext4 /dev/nvme0n11 rw", NULL, NULL},
        {"/proc/swaps", "Filename Type\n/dev/nvme0n1\tpartition 1", NULL, "is swap space"},
        {"/proc/swaps", "Filename Type\n/dev/nvme0n1p7\tpartition 1", NULL, NULL},
        {"/sys/class/block/nvme0n1/holders/dm-3", "", NULL, "held by dm-3"},
        {"/sys/class/block/nvme0n1/holders/md0", "", NULL, "held by md0"},
        {"/sys/class/block/loop3/loop/backing_file", "/dev/nvme0n1", NULL, "behind loop3"},
        {"/sys/class/block/loop3/loop/backing_file", "/dev/nvme0n12", NULL, NULL},
        {"/proc/77/fd/5", NULL, "/dev/nvme0n1", "process 77"},
        {"/proc/77/fd/5", NULL, "/dev/ng0n1", "process 77"},
        {"/proc/77/fd/5", NULL, "/dev/nvme1n1", NULL},
        {"/proc/77/fd/5", NULL, "/dev/null", NULL},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct user_case *c = &cases[i];
        const struct pci_dev *d;
        struct exam e;

        exam_begin(&e);
        machine_half(&e.t);
        if (c->link != NULL)
            tree_link(&e.t, c->link, "%s", c->file);
        else
            tree_file(&e.t, c->text, "%s", c->file);
        exam_judge(&e, (const char *const[]){"0000:04:00.0", NULL});
        d = machine_dev(&e.m, "0000:04:00.0");
        if (c->words == NULL) {
            CU_ASSERT_STRING_EQUAL(d->use, "");
            exam_says(&e, d->addr, "driver", LEVEL_MISSING, "needs vfio-pci");
        } else {
            exam_says(&e, d->addr, "driver", LEVEL_MISSING, c->words);
            exam_spares(&e, d->addr);
        }
        exam_end(&e);
    }
}

/* With native multipath the controller's entry is its way to the namespace, whose name is the subsystem's. */
static void test_multipath(void)
{
    struct exam e;

    exam_begin(&e);
    machine_half(&e.t);
    tree_dir(&e.t, "/sys/bus/pci/devices/0000:04:00.0/nvme/nvme0/nvme3c0n2");
    tree_file(&e.t, "259:7", "/sys/class/block/nvme3n2/dev");
    tree_file(&e.t, "29 1 259:7 / /deep rw - xfs /dev/nvme3n2 rw", "/proc/self/mountinfo");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:04:00.0", "driver", LEVEL_NOTE, "nvme3n2 is mounted at /deep");
    exam_spares(&e, "0000:04:00.0");
    exam_end(&e);
}

static void test_nic_users(void)
{
    struct exam e;

    exam_begin(&e);
    machine_half(&e.t);
    tree_link(&e.t, "../bond0", "/sys/class/net/eth1/upper_bond0");
    tree_link(&e.t, "../vlan5", "/sys/class/net/bond0/upper_vlan5");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_MISSING, "driver ixgbe");
    tree_file(&e.t,
              "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
              "fe800000000000000000000000000001 00000400 00000001 00000000 00000003    vlan5",
              "/proc/net/ipv6_route");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_NOTE, "eth1 carries the default route");
    exam_spares(&e, "0000:03:00.0");
    /* others are told of; those that every interface has are not */
    tree_file(&e.t,
              "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
              "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1",
              "/proc/net/ipv6_route");
    exam_judge(&e, NULL);
    CU_ASSERT(!machine_dev(&e.m, "0000:03:00.0")->routes);
    tree_file(&e.t,
              "Iface\tDestination\nvlan5\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
              "/proc/net/route");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_MISSING, "eth1 and the routes over it");
    CU_ASSERT_EQUAL(exam_find(&e, "0000:03:00.0", "driver")->n_commands, 3);
    tree_link(&e.t, "../br0", "/sys/class/net/eth1/master");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_NOTE, "eth1 is a part of br0");
    exam_spares(&e, "0000:03:00.0");
    exam_end(&e);
}

/* What cannot be seen is not taken. */
static void test_other_namespace(void)
{
    struct exam e;

    exam_begin(&e);
    machine_half(&e.t);
    tree_pci(&e.t, &(struct tree_dev){"0000:07:00.0", "ixgbe", 0x020000, 0x8086, 11, 0});
    tree_pci(&e.t, &(struct tree_dev){"0000:08:00.0", "uio_pci_generic", 0x020000, 0x8086, 12, 0});
    exam_judge(&e, NULL);
    exam_says(&e, "0000:07:00.0", "driver", LEVEL_NOTE, "another network namespace");
    exam_spares(&e, "0000:07:00.0");
    exam_says(&e, "0000:08:00.0", "driver", LEVEL_MISSING, "needs vfio-pci");
    exam_end(&e);
}

/* A device that VFIO has is as it should be; who has it open is told. */
static void test_vfio_user(void)
{
    struct exam e;

    exam_begin(&e);
    machine_two_nodes(&e.t);
    tree_link(&e.t, "/dev/vfio/1", "/proc/4711/fd/8");
    tree_link(&e.t, "/dev/vfio/2", "/proc/4711/fd/9");
    tree_file(&e.t, "headgate", "/proc/4711/comm");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:03:00.0", "driver", LEVEL_FINE, "process 4711 (headgate)");
    exam_says(&e, "0000:83:00.0", "driver", LEVEL_FINE, "process 4711 (headgate)");
    tree_link(&e.t, "nowhere", "/dev/vfio/2");
    exam_judge(&e, NULL);
    exam_says(&e, "0000:83:00.0", "driver", LEVEL_MISSING, "there is no /dev/vfio/2");
    exam_end(&e);
}

/* An empty folder is a machine without anything, and no crash. */
static void test_nothing(void)
{
    struct exam e;

    exam_begin(&e);
    exam_judge(&e, NULL);
    exam_says(&e, NULL, "vfio", LEVEL_MISSING, "no vfio-pci");
    exam_says(&e, NULL, "nvme", LEVEL_NOTE, "no NVMe controller");
    exam_says(&e, NULL, "nic", LEVEL_NOTE, "no NIC");
    CU_ASSERT_EQUAL(e.w.n_devs, 0);
    exam_end(&e);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("doctor_machine", NULL, NULL);
    CU_add_test(suite, "a laptop keeps its disk and its network", test_laptop);
    CU_add_test(suite, "the kernel's command line by GRUB", test_grub);
    CU_add_test(suite, "a half-made server gets the commands that are left, in order", test_half);
    CU_add_test(suite, "who shares an IOMMU group is told", test_shared);
    CU_add_test(suite, "a function with virtual functions is left alone", test_vf);
    CU_add_test(suite, "a machine with two nodes that has all is fine", test_two_nodes);
    CU_add_test(suite, "a drive in use is never taken", test_drive_users);
    CU_add_test(suite, "nor one in use by its multipath name", test_multipath);
    CU_add_test(suite, "a NIC below a default route, a bond or a bridge is never taken",
                test_nic_users);
    CU_add_test(suite, "nor one whose interface cannot be seen", test_other_namespace);
    CU_add_test(suite, "who has a device by VFIO is told", test_vfio_user);
    CU_add_test(suite, "where nothing can be read nothing is claimed", test_nothing);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
