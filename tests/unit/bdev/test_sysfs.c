/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read of a tree like /sys that the test makes. */
#include "../../../drivers/bdev/sysfs.h"
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char root[64];

static void put(const char *path, const char *text)
{
    char full[256];
    FILE *f;

    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *at = strchr(full + strlen(root) + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(full, 0700);
        *at = '/';
    }
    f = fopen(full, "w");
    CU_ASSERT_FATAL(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void link_to(const char *target, const char *path)
{
    char full[256];

    snprintf(full, sizeof full, "%s/%s", root, path);
    CU_ASSERT_FATAL(symlink(target, full) == 0);
}

/* An NVMe disk with a partition, beneath its controller as the kernel has it; and a disk of virtio's. */
static void make_tree(void)
{
    snprintf(root, sizeof root, "test_sysfs_XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(root) != NULL);
    put("devices/nvme0/model", "QEMU NVMe Ctrl                          \n");
    put("devices/nvme0/serial", "hg0                 \n");
    put("devices/nvme0/firmware_rev", "10.0.8  \n");
    put("devices/nvme0/pci/numa_node", "1\n");
    link_to("pci", "devices/nvme0/device");
    put("devices/nvme0/nvme0n1/size", "2048\n");
    put("devices/nvme0/nvme0n1/dev", "259:0\n");
    put("devices/nvme0/nvme0n1/uevent", "MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\nDEVTYPE=disk\n");
    put("devices/nvme0/nvme0n1/queue/io_poll", "1\n");
    put("devices/nvme0/nvme0n1/queue/rotational", "0\n");
    put("devices/nvme0/nvme0n1/queue/scheduler", "[none] mq-deadline\n");
    put("devices/nvme0/nvme0n1/queue/max_sectors_kb", "512\n");
    put("devices/nvme0/nvme0n1/queue/max_segments", "127\n");
    link_to("..", "devices/nvme0/nvme0n1/device");
    put("devices/nvme0/nvme0n1/nvme0n1p1/partition", "1\n");
    put("devices/nvme0/nvme0n1/nvme0n1p1/uevent", "MAJOR=259\nMINOR=1\nDEVNAME=nvme0n1p1\n");
    put("devices/nvme0/ng0n1/uevent", "MAJOR=240\nMINOR=0\nDEVNAME=ng0n1\n");
    put("devices/vda/size", "1\n");
    put("devices/vda/serial", "a-serial-number-of-more-than-twenty\n");
    put("devices/vda/queue/rotational", "1\n");
    put("devices/vda/queue/scheduler", "none\n");
    put("devices/vda/queue/chunk_sectors", "256\n");
    put("dev/block/none", "");
    put("dev/char/none", "");
    put("class/block/none", "");
    link_to("../../devices/nvme0/nvme0n1", "dev/block/259:0");
    link_to("../../devices/nvme0/nvme0n1/nvme0n1p1", "dev/block/259:1");
    link_to("../../devices/nvme0/ng0n1", "dev/char/240:0");
    link_to("../../devices/nvme0/nvme0n1", "class/block/nvme0n1");
    link_to("../../devices/vda", "dev/block/254:0");
}

static void remove_tree(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", root);
    CU_ASSERT(system(command) == 0);
}

static void test_disk(void)
{
    struct sysfs_disk disk;

    make_tree();
    for (unsigned part = 0; part < 2; part++) { /* the disk, and a partition of it */
        sysfs_disk(root, makedev(259, part), &disk);
        CU_ASSERT(disk.found);
        CU_ASSERT(strcmp(disk.name, part ? "nvme0n1p1" : "nvme0n1") == 0);
        CU_ASSERT(strcmp(disk.model, "QEMU NVMe Ctrl") == 0);
        CU_ASSERT(strcmp(disk.serial, "hg0") == 0);
        CU_ASSERT(strcmp(disk.firmware, "10.0.8") == 0);
        CU_ASSERT(strcmp(disk.scheduler, "none") == 0);
        CU_ASSERT(disk.numa_node == 1);
        CU_ASSERT(disk.polls && !disk.rotational && !disk.boundaries);
        CU_ASSERT(disk.max_kib == 512 && disk.max_segments == 127);
    }
    remove_tree();
}

static void test_little_is_told(void)
{
    struct sysfs_disk disk;

    make_tree();
    sysfs_disk(root, makedev(254, 0), &disk);
    CU_ASSERT(disk.found && disk.rotational && !disk.polls && disk.boundaries);
    CU_ASSERT(disk.model[0] == '\0' && disk.scheduler[0] == '\0' && disk.numa_node == -1);
    CU_ASSERT(strcmp(disk.serial, "a-serial-number-of-m") == 0); /* cut to its field */
    sysfs_disk(root, makedev(1, 1), &disk);
    CU_ASSERT(!disk.found && disk.numa_node == -1 && disk.max_kib == 0);
    remove_tree();
}

static void test_of_nvme(void)
{
    make_tree();
    CU_ASSERT(sysfs_disk_of_nvme(root, makedev(240, 0)) == makedev(259, 0));
    CU_ASSERT(sysfs_disk_of_nvme(root, makedev(240, 1)) == 0);
    remove_tree();
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("sysfs", NULL, NULL);
    if (suite == NULL || CU_add_test(suite, "a disk and its partition", test_disk) == NULL ||
        CU_add_test(suite, "what is not told is unknown", test_little_is_told) == NULL ||
        CU_add_test(suite, "the block device of an NVMe character device", test_of_nvme) == NULL ||
        CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
