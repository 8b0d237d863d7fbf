/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of NVMe devices in a profile: what is taken, and what is refused with how to write it. */
#include "nvme_name.h"
#include <headgate/bdev.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <string.h>

static void test_taken(void)
{
    static const struct {
        const char *text, *address, *serial;
        uint32_t nsid;
    } rows[] = {
        {"nvme:0000:01:00.0", "0000:01:00.0", "", 0},
        {"nvme:0000:01:00.0/ns=2", "0000:01:00.0", "", 2},
        {"nvme:01:00.0", "0000:01:00.0", "", 0},
        {"nvme:c1:1F.7", "0000:c1:1f.7", "", 0},
        {"nvme:10000:AB:1f.3/ns=1", "10000:ab:1f.3", "", 1},
        {"nvme:ffffffff:ff:1f.7", "ffffffff:ff:1f.7", "", 0},
        {"nvme:0:ff:00.0/ns=4294967293", "0000:ff:00.0", "", 4294967293},
        {"nvme:serial=S123", "", "S123", 0},
        {"nvme:serial=S123/ns=1", "", "S123", 1},
        {"nvme:serial=12345678901234567890", "", "12345678901234567890", 0},
        {"nvme:serial=A B/C=d:e", "", "A B/C=d:e", 0},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct nvme_name name;
        struct hg_err err = {""};

        CU_ASSERT_EQUAL(nvme_name_parse(rows[i].text, &name, &err), 0);
        CU_ASSERT_STRING_EQUAL(name.address, rows[i].address);
        CU_ASSERT_STRING_EQUAL(name.serial, rows[i].serial);
        CU_ASSERT_EQUAL(name.nsid, rows[i].nsid);
        CU_ASSERT_STRING_EQUAL(err.text, "");
    }
}

static void test_refused(void)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"nvme:", "write it like nvme:0000:01:00.0"},
        {"nvme:0000:01:00", "write it like"},
        {"nvme:0000:01:00.", "write it like"},
        {"nvme:0000:01:00.8", "write it like"},
        {"nvme:0000:01:20.0", "write it like"},
        {"nvme:0000:100:00.0", "write it like"},
        {"nvme:100:00.0", "write it like"},
        {"nvme:123456789:01:00.0", "write it like"},
        {"nvme:0000:01:00.0x", "write it like"},
        {"nvme:0000:01:00.0/", "write it like"},
        {"nvme:0000:01:00.0/n=1", "write it like"},
        {"nvme:0000:1:00.0", "write it like"},
        {"nvme: 0000:01:00.0", "write it like"},
        {"nvme:/ns=1", "write it like"},
        {"nvme:0000:01:00.0/ns=", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=0", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=-1", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=1x", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=1/ns=2", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=4294967295", "the number of a namespace"},
        {"nvme:0000:01:00.0/ns=99999999999999999999", "the number of a namespace"},
        {"nvme:serial=", "1 to 20 characters"},
        {"nvme:serial=/ns=1", "1 to 20 characters"},
        {"nvme:serial= S1", "1 to 20 characters"},
        {"nvme:serial=S\t1", "1 to 20 characters"},
        {"nvme:serial=123456789012345678901", "1 to 20 characters"},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct nvme_name name;
        struct hg_err err = {""};

        CU_ASSERT_EQUAL(nvme_name_parse(rows[i].text, &name, &err), -EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].says));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].text));
    }
}

static void test_controller(void)
{
    static const struct {
        const char *text, *ctrl;
    } rows[] = {
        {"nvme:0000:0A:00.0", "nvme:0000:0a:00.0"},
        {"nvme:0a:00.0/ns=2", "nvme:0000:0a:00.0"},
        {"nvme:serial=S1/ns=2", "nvme:serial=S1"},
        {"nvme:serial=12345678901234567890/ns=1", "nvme:serial=12345678901234567890"},
    };
    char ctrl[HG_BDEV_NVME_NAME];

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        CU_ASSERT_EQUAL_FATAL(hg_bdev_nvme_name(rows[i].text, ctrl, NULL), 1);
        CU_ASSERT_STRING_EQUAL(ctrl, rows[i].ctrl);
    }
    CU_ASSERT_EQUAL(hg_bdev_nvme_name("nvme:", ctrl, NULL), -EINVAL);
    CU_ASSERT_EQUAL(hg_bdev_nvme_name("/dev/nvme0n1", ctrl, NULL), 0);
    CU_ASSERT_EQUAL(hg_bdev_nvme_name("mem:1G", ctrl, NULL), 0);
}

int main(void)
{
    CU_pSuite s;
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (s = CU_add_suite("nvme_name", NULL, NULL)) == NULL)
        return 1;
    CU_add_test(s, "taken", test_taken);
    CU_add_test(s, "refused, with how to write it", test_refused);
    CU_add_test(s, "the controller of a name", test_controller);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
