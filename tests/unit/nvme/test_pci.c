/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is read of PCI functions from trees that look like /sys and /dev, and the sentences of what
 * VFIO lacks. Permissions are looked at as an ordinary user when the test runs as root.
 */
#include "nvme_pci.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDR "0000:01:00.0"
#define NOBODY 65534

static char root[64], sys[80], dev[80];
static const struct nvme_paths paths = {sys, dev};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

/* Makes the folders on the way to a path below the root. */
static void make_way(const char *path)
{
    char part[PATH_MAX];

    for (const char *p = strchr(path + strlen(root) + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
        mkdir(part, 0755);
    }
}

static void put(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *text, const char *fmt, ...)
{
    char path[PATH_MAX] = "";
    va_list args;
    FILE *f;

    snprintf(path, sizeof path, "%s/", root);
    va_start(args, fmt);
    vsnprintf(path + strlen(path), sizeof path - strlen(path), fmt, args);
    va_end(args);
    make_way(path);
    f = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(text, f);
    fclose(f);
}

static void point(const char *target, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void point(const char *target, const char *fmt, ...)
{
    char path[PATH_MAX] = "";
    va_list args;

    snprintf(path, sizeof path, "%s/", root);
    va_start(args, fmt);
    vsnprintf(path + strlen(path), sizeof path - strlen(path), fmt, args);
    va_end(args);
    make_way(path);
    CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
}

/* A function of a class; driver NULL: none, group NULL: none. */
static void function(const char *addr, const char *class, const char *driver, const char *group)
{
    char target[128];

    put(class, "sys/bus/pci/devices/%s/class", addr);
    put("0x1b36\n", "sys/bus/pci/devices/%s/vendor", addr);
    put("0x0010\n", "sys/bus/pci/devices/%s/device", addr);
    put("1\n", "sys/bus/pci/devices/%s/numa_node", addr);
    if (driver != NULL) {
        snprintf(target, sizeof target, "../../../../bus/pci/drivers/%s", driver);
        point(target, "sys/bus/pci/devices/%s/driver", addr);
    }
    if (group == NULL)
        return;
    put("", "sys/kernel/iommu_groups/%s/devices/%s", group, addr);
    snprintf(target, sizeof target, "../../../../kernel/iommu_groups/%s", group);
    point(target, "sys/bus/pci/devices/%s/iommu_group", addr);
}

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(root, sizeof root, "%.40s/hg-pci-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    CU_ASSERT_EQUAL_FATAL(chmod(root, 0755), 0);
    snprintf(sys, sizeof sys, "%s/sys", root);
    snprintf(dev, sizeof dev, "%s/dev", root);
}

static void tear_down(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Everything as VFIO needs it. */
static void good(void)
{
    static const char *const nodes[] = {"vfio", "7"};
    char path[128];

    function(ADDR, "0x010802\n", "vfio-pci", "7");
    for (unsigned i = 0; i < HG_ARRAY_LEN(nodes); i++) {
        put("", "dev/vfio/%s", nodes[i]);
        snprintf(path, sizeof path, "%s/vfio/%s", dev, nodes[i]);
        CU_ASSERT_EQUAL_FATAL(chmod(path, 0666), 0);
    }
}

/* The sentence has all of these words. */
static void says(int rc, ...)
{
    struct nvme_pci pci;
    struct hg_err err = {""};
    const char *words;
    va_list args;

    CU_ASSERT_EQUAL_FATAL(nvme_pci_read(&paths, ADDR, &pci), 0);
    CU_ASSERT_EQUAL(nvme_pci_usable(&paths, &pci, &err), rc);
    va_start(args, rc);
    while ((words = va_arg(args, const char *)) != NULL) {
        if (strstr(err.text, words) == NULL)
            printf("no \"%s\" in: %s\n", words, err.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    }
    va_end(args);
    CU_ASSERT_TRUE(strlen(err.text) + 1 < sizeof err.text); /* not cut off */
}

static void test_read(void)
{
    struct nvme_pci pci;

    function(ADDR, "0x010802\n", "nvme", "7");
    put("SN 12               \n", "sys/bus/pci/devices/%s/nvme/nvme0/serial", ADDR);
    function("0000:02:00.0", "0x010802\n", NULL, NULL);
    CU_ASSERT_EQUAL_FATAL(nvme_pci_read(&paths, ADDR, &pci), 0);
    CU_ASSERT_STRING_EQUAL(pci.address, ADDR);
    CU_ASSERT_STRING_EQUAL(pci.driver, "nvme");
    CU_ASSERT_STRING_EQUAL(pci.serial, "SN 12");
    CU_ASSERT_EQUAL(pci.class, 0x010802);
    CU_ASSERT_EQUAL(pci.vendor, 0x1b36);
    CU_ASSERT_EQUAL(pci.device, 0x0010);
    CU_ASSERT_EQUAL(pci.numa_node, 1);
    CU_ASSERT_EQUAL(pci.group, 7);
    CU_ASSERT_EQUAL_FATAL(nvme_pci_read(&paths, "0000:02:00.0", &pci), 0);
    CU_ASSERT_STRING_EQUAL(pci.driver, "");
    CU_ASSERT_STRING_EQUAL(pci.serial, "");
    CU_ASSERT_EQUAL(pci.group, -1);
    CU_ASSERT_EQUAL(nvme_pci_read(&paths, "0000:03:00.0", &pci), -ENODEV);
}

static void test_list(void)
{
    struct nvme_pci list[4];
    char text[256];

    CU_ASSERT_EQUAL(nvme_pci_list(&paths, list, 4), 0);
    nvme_pci_text(list, 0, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "none");
    function("0000:03:00.0", "0x010802\n", "nvme", "3");
    put("S3\n", "sys/bus/pci/devices/0000:03:00.0/nvme/nvme1/serial");
    function("0000:02:00.0", "0x020000\n", "igb", "2");
    function(ADDR, "0x010802\n", "vfio-pci", "1");
    function("0000:04:00.0", "0x010802\n", NULL, "4");
    CU_ASSERT_EQUAL(nvme_pci_list(&paths, list, 4), 3);
    nvme_pci_text(list, 3, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, ADDR
                           " (vfio-pci), 0000:03:00.0 (nvme, serial S3), 0000:04:00.0 (no driver)");
    nvme_pci_text(list, 3, text, 40);
    CU_ASSERT_STRING_EQUAL(text, ADDR " (vfio-pci) ...");
    CU_ASSERT_EQUAL(nvme_pci_list(&paths, list, 2), 2);
}

static void test_usable(void)
{
    good();
    says(0, NULL);
    /* Others that may stay in the group. */
    function("0000:00:1c.0", "0x060400\n", "pcieport", "7");
    function("0000:01:00.1", "0x010802\n", "vfio-pci", "7");
    function("0000:01:00.2", "0x020000\n", NULL, "7");
    function("0000:01:00.3", "0x020000\n", "pci-stub", "7");
    says(0, NULL);
}

static void test_class(void)
{
    function(ADDR, "0x020000\n", "vfio-pci", "7");
    says(-ENODEV, ADDR, "no NVMe controller", "020000", NULL);
}

static void test_driver(void)
{
    function(ADDR, "0x010802\n", "nvme", "7");
    says(-EBUSY, "the driver nvme has it",
         "echo " ADDR " > /sys/bus/pci/devices/" ADDR "/driver/unbind", "driver_override",
         "drivers_probe", NULL);
}

static void test_no_driver(void)
{
    function(ADDR, "0x010802\n", NULL, "7");
    says(-ENODEV, "no driver has it", "modprobe vfio-pci",
         "echo vfio-pci > /sys/bus/pci/devices/" ADDR "/driver_override", NULL);
}

static void test_no_iommu(void)
{
    function(ADDR, "0x010802\n", "vfio-pci", NULL);
    says(-ENODEV, "no IOMMU group", "intel_iommu=on", NULL);
}

static void test_noiommu_mode(void)
{
    good();
    put("", "dev/vfio/noiommu-7");
    says(-ENOTSUP, "without an IOMMU", "refused", "intel_iommu=on", NULL);
}

static void test_group_shared(void)
{
    good();
    function("0000:01:00.1", "0x010802\n", "nvme", "7");
    says(-EBUSY, "shares IOMMU group 7 with 0000:01:00.1", "the driver nvme",
         "echo 0000:01:00.1 > /sys/bus/pci/devices/0000:01:00.1/driver/unbind", NULL);
}

static void test_nodes_missing(void)
{
    char path[128];

    good();
    snprintf(path, sizeof path, "%s/vfio/7", dev);
    unlink(path);
    says(-ENOENT, path, "is missing", NULL);
    snprintf(path, sizeof path, "%s/vfio/vfio", dev);
    unlink(path);
    says(-ENOENT, path, "modprobe vfio-pci", NULL);
}

/* In a child, since root may open everything. */
static void no_permission(const char *node, const char *command)
{
    char path[128];
    int status = 0;
    pid_t pid;

    snprintf(path, sizeof path, "%s/vfio/%s", dev, node);
    CU_ASSERT_EQUAL_FATAL(chmod(path, 0), 0);
    pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        unsigned before = CU_get_number_of_failures();

        if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(2);
        says(-EACCES, "no permission for", path, command, NULL);
        _exit(CU_get_number_of_failures() != before);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    chmod(path, 0666);
}

static void test_permission(void)
{
    good();
    no_permission("7", "chown USER");
    no_permission("vfio", "chmod 0666");
}

int main(void)
{
    CU_pSuite s;
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite_with_setup_and_teardown("nvme_pci", NULL, NULL, set_up, tear_down)) ==
            NULL)
        return 1;
    CU_add_test(s, "a function as sysfs tells it", test_read);
    CU_add_test(s, "NVMe controllers in order", test_list);
    CU_add_test(s, "one that VFIO can give out", test_usable);
    CU_add_test(s, "another class is refused", test_class);
    CU_add_test(s, "another driver is refused with the commands", test_driver);
    CU_add_test(s, "no driver is refused with the commands", test_no_driver);
    CU_add_test(s, "no IOMMU is refused", test_no_iommu);
    CU_add_test(s, "VFIO without an IOMMU is refused", test_noiommu_mode);
    CU_add_test(s, "a group shared with a device in use is refused", test_group_shared);
    CU_add_test(s, "missing device nodes are told", test_nodes_missing);
    CU_add_test(s, "missing permission is told", test_permission);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
