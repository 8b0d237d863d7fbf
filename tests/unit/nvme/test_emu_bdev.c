/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulated controller by its name in a profile: what the names say, and that the driver behind
 * them outlives the faults that are asked for. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <headgate/bdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_names(void)
{
    static const char *const good[] = {
        "nvme-emu:4096",
        "nvme-emu:1G",
        "nvme-emu:64M,block=512",
        "nvme-emu:64M,image=/tmp/x",
        "nvme-emu:1M,cache=no,payload=no,shadow=yes,sgl=yes,serial=S1,timeout=200ms",
        "nvme-emu:1M,fail=write:7:2/81,late=read:3-:200ms,lose=create-cq:1"};
    static const char *const wrong[] = {"nvme-emu:",
                                        "nvme-emu:0",
                                        "nvme-emu:1000",
                                        "nvme-emu:1G,block=1024",
                                        "nvme-emu:1G,block=",
                                        "nvme-emu:1G,cache=maybe",
                                        "nvme-emu:1G,cash=no",
                                        "nvme-emu:1G,image=",
                                        "nvme-emu:1G,x",
                                        "nvme-emu:1G,timeout=0",
                                        "nvme-emu:1G,timeout=7",
                                        "nvme-emu:1G,fail=write:7",
                                        "nvme-emu:1G,serial=0123456789012345678901234"};
    struct hg_err err;

    CU_ASSERT(hg_bdev_nvme_emu_name("mem:1G", &err) == 0);
    CU_ASSERT(hg_bdev_nvme_emu_name("nvme:0000:01:00.0", &err) == 0);
    CU_ASSERT(hg_bdev_nvme_emu_name("/dev/nvme-emu:1G", &err) == 0);
    for (unsigned i = 0; i < HG_ARRAY_LEN(good); i++)
        CU_ASSERT(hg_bdev_nvme_emu_name(good[i], &err) == 1);
    for (unsigned i = 0; i < HG_ARRAY_LEN(wrong); i++) {
        err.text[0] = '\0';
        CU_ASSERT(hg_bdev_nvme_emu_name(wrong[i], &err) == -EINVAL);
        CU_ASSERT(strstr(err.text, wrong[i]) != NULL); /* the sentence names the device */
    }
    /* Twenty faults are more than there are places for. */
    char many[256] = "nvme-emu:1G";

    for (unsigned i = 0; i < 20; i++)
        strcat(many, ",sqhd=io:9");
    CU_ASSERT(hg_bdev_nvme_emu_name(many, &err) == -EINVAL);
}

/* Writes, flushes and reads back 1 MiB in 64 KiB requests. */
static int use(struct hg_bdev *dev)
{
    uint8_t *buf = aligned_alloc(HG_BLOCK, 65536);
    int rc = 0;

    CU_ASSERT_FATAL(buf != NULL);
    for (unsigned i = 0; i < 16 && rc == 0; i++) {
        memset(buf, (int)i + 1, 65536);
        rc = hg_bdev_sync(dev, HG_BDEV_WRITE, i * 65536ull, hg_iov_of(buf, 65536), NULL);
    }
    if (rc == 0)
        rc = hg_bdev_sync(dev, HG_BDEV_FLUSH, 0, hg_iov_of(NULL, 0), NULL);
    for (unsigned i = 0; i < 16 && rc == 0; i++) {
        rc = hg_bdev_sync(dev, HG_BDEV_READ, i * 65536ull, hg_iov_of(buf, 65536), NULL);
        CU_ASSERT(rc != 0 || (buf[0] == i + 1 && buf[65535] == i + 1));
    }
    free(buf);
    return rc;
}

static void test_open(void)
{
    struct hg_bdev_info info = {0};
    struct hg_bdev *dev;
    struct hg_err err;

    CU_ASSERT_FATAL(hg_bdev_nvme_emu_open("nvme-emu:16M,block=512,serial=S77", &dev, &err) == 0);
    CU_ASSERT(dev->size == 16u << 20 && dev->block == 512 && dev->volatile_cache);
    hg_bdev_info(dev, &info);
    CU_ASSERT_STRING_EQUAL(info.serial, "S77");
    CU_ASSERT(use(dev) == 0);
    hg_bdev_close(dev);
    CU_ASSERT_FATAL(hg_bdev_nvme_emu_open("nvme-emu:16M,cache=no,shadow=yes,sgl=yes", &dev, &err) ==
                    0);
    CU_ASSERT(dev->block == 4096 && !dev->volatile_cache);
    CU_ASSERT(use(dev) == 0);
    hg_bdev_close(dev);
}

static void test_outlives_faults(void)
{
    static const char *const names[] = {"nvme-emu:16M,timeout=300ms,late=write:3:never",
                                        "nvme-emu:16M,timeout=300ms,lose=read:2",
                                        "nvme-emu:16M,timeout=300ms,fatal=write:5",
                                        "nvme-emu:16M,timeout=300ms,cid-free=read:1",
                                        "nvme-emu:16M,timeout=300ms,fail=io:2-3:0/6",
                                        "nvme-emu:16M,timeout=300ms,duplicate=write:2"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(names); i++) {
        struct hg_bdev *dev;
        struct hg_err err;

        CU_ASSERT_FATAL(hg_bdev_nvme_emu_open(names[i], &dev, &err) == 0);
        CU_ASSERT(use(dev) == 0);
        hg_bdev_close(dev);
    }
}

static void test_tells_what_ends_it(void)
{
    struct hg_bdev *dev;
    struct hg_err err;

    CU_ASSERT_FATAL(hg_bdev_nvme_emu_open("nvme-emu:16M,remove=write:3", &dev, &err) == 0);
    CU_ASSERT(use(dev) == -ENODEV);
    hg_bdev_close(dev);
    CU_ASSERT(hg_bdev_nvme_emu_open("nvme-emu:16M,timeout=300ms,die=identify:1", &dev, &err) != 0);
    CU_ASSERT(err.text[0] != '\0');
    CU_ASSERT(hg_bdev_nvme_emu_open("nvme-emu:16M,image=/nowhere/x", &dev, &err) == -ENOENT);
    CU_ASSERT(strstr(err.text, "/nowhere/x") != NULL);
}

static void test_image(void)
{
    char path[] = "/tmp/headgate-emu-XXXXXX";
    int fd = mkstemp(path);
    uint8_t *buf = aligned_alloc(HG_BLOCK, HG_BLOCK);
    struct hg_bdev *dev, *second;
    struct hg_err err;
    char name[128];

    CU_ASSERT_FATAL(fd >= 0 && buf != NULL);
    close(fd);
    snprintf(name, sizeof name, "nvme-emu:16M,image=%s", path);
    CU_ASSERT_FATAL(hg_bdev_nvme_emu_open(name, &dev, &err) == 0);
    CU_ASSERT(hg_bdev_nvme_emu_open(name, &second, &err) == -EBUSY);
    CU_ASSERT(use(dev) == 0);
    hg_bdev_close(dev);
    CU_ASSERT_FATAL(hg_bdev_nvme_emu_open(name, &dev, &err) == 0);
    CU_ASSERT(hg_bdev_sync(dev, HG_BDEV_READ, 65536, hg_iov_of(buf, HG_BLOCK), NULL) == 0);
    CU_ASSERT(buf[0] == 2 && buf[HG_BLOCK - 1] == 2);
    hg_bdev_close(dev);
    unlink(path);
    free(buf);
}

static const CU_TestInfo tests[] = {
    {"names: what they say, what is refused", test_names},
    {"a device by its name reads what was written", test_open},
    {"faults that the driver outlives", test_outlives_faults},
    {"what ends a device, or keeps it from starting, is told", test_tells_what_ends_it},
    {"an image is kept, and belongs to one at a time", test_image},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_SuiteInfo suites[] = {{"emu_bdev", NULL, NULL, NULL, NULL, (CU_TestInfo *)tests},
                             CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();

    CU_cleanup_registry();
    return failed != 0;
}
