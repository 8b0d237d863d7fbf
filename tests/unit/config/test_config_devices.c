/* SPDX-License-Identifier: BSD-3-Clause */
/* [store] device0 ...: names of NVMe controllers are checked before anything starts, and nothing is named twice. */
#include "rig.h"
#include <CUnit/Basic.h>

static void devices(const char *first, const char *second)
{
    char text[CFG_TEXT_MAX + 32];

    begin();
    snprintf(text, sizeof text, "store.device0=%s", first);
    set(text);
    snprintf(text, sizeof text, "store.device1=%s", second);
    set(text);
}

static void test_good(void)
{
    devices("nvme:0000:01:00.0", "nvme:0000:02:00.0/ns=2");
    good();
    devices("nvme:serial=S1", "nvme:serial=S2/ns=1");
    good();
    devices("nvme:serial=S1", "nvme:0000:01:00.0"); /* whether they are one is seen at the start */
    good();
    devices("nvme:0000:01:00.0", "/dev/nvme0n1");
    good();
    devices("mem:64M", "mem:64M");
    good();
}

static void test_names(void)
{
    devices("/dev/a", "nvme:0000:01:00");
    bad("device nvme:0000:01:00: write it like nvme:0000:01:00.0");
    devices("nvme:serial=", "/dev/a");
    bad("serial= is followed by");
    devices("nvme:01:00.0/ns=x", "/dev/a");
    bad("/ns= is followed by the number of a namespace");
}

/* What would be taken for a path, and made as a file. */
static void test_slips(void)
{
    static const char *const slips[] = {"0000:01:00.0", "nvme0n1", "NVMe:0000:01:00.0",
                                        "pci:01:00.0", "nvme-emu"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(slips); i++) {
        devices("/dev/a", slips[i]);
        bad("a path has a '/'");
    }
    devices("mem:x", "/dev/a");
    bad("write it like mem:1G");
    devices("mem:0", "/dev/a");
    bad("write it like mem:1G");
    devices("disks/a", "./b");
    good();
}

static void shards(const char *list)
{
    char text[CFG_TEXT_MAX + 32];

    begin();
    snprintf(text, sizeof text, "cpu.shards=%s", list);
    set(text);
}

static void test_shards(void)
{
    static const char *const wrong[] = {"",     ",", "1,",   ",1", "1-3",
                                        "0, 1", "x", "1024", "-1", "99999999999999999999"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(wrong); i++) {
        shards(wrong[i]);
        bad("[cpu] shards = ");
    }
    shards("1,2,1");
    bad("CPU 1 is named twice");
    shards("0,1,1023");
    good();
}

static void test_twice(void)
{
    devices("/dev/a", "/dev/a");
    bad("device0 and device1 are both /dev/a");
    devices("nvme:0000:0A:00.0/ns=1", "nvme:0a:00.0/ns=2");
    bad("device0 and device1 are both on nvme:0000:0a:00.0: one namespace");
    devices("nvme:serial=S1/ns=1", "nvme:serial=S1/ns=2");
    bad("both on nvme:serial=S1: one namespace");
}

int main(void)
{
    CU_pSuite s;
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite("config devices", NULL, NULL)) == NULL)
        return 1;
    CU_add_test(s, "names that are good", test_good);
    CU_add_test(s, "NVMe names that are wrong are refused", test_names);
    CU_add_test(s, "what was meant otherwise is not taken for a path", test_slips);
    CU_add_test(s, "shards are CPUs, each once", test_shards);
    CU_add_test(s, "a device named twice is refused", test_twice);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
