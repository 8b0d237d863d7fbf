/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units: what is taken, what is refused, and that what is printed reads back. */
#include <headgate/units.h>
#include <CUnit/Basic.h>
#include <errno.h>

static void test_read(void)
{
    uint64_t v;

    CU_ASSERT(hg_units_count("12", &v) == 0 && v == 12);
    CU_ASSERT(hg_units_count("12K", &v) == -EINVAL);
    CU_ASSERT(hg_units_size("64K", &v) == 0 && v == 65536);
    CU_ASSERT(hg_units_size("10G", &v) == 0 && v == UINT64_C(10) << 30);
    CU_ASSERT(hg_units_size("3MiB", &v) == 0 && v == 3u << 20);
    CU_ASSERT(hg_units_size("4096B", &v) == 0 && v == 4096);
    CU_ASSERT(hg_units_size("16777215T", &v) == 0 && v == UINT64_C(16777215) << 40);
    CU_ASSERT(hg_units_size("0", &v) == 0 && v == 0);
    CU_ASSERT(hg_units_rate("200Mbit", &v) == 0 && v == 200000000);
    CU_ASSERT(hg_units_rate("200", &v) == -EINVAL);
    CU_ASSERT(hg_units_time("30s", &v) == 0 && v == HG_SEC(30));
    CU_ASSERT(hg_units_time("250ms", &v) == 0 && v == HG_MS(250));
    CU_ASSERT(hg_units_time("2m", &v) == 0 && v == HG_SEC(120));
    CU_ASSERT(hg_units_time("0", &v) == 0 && v == 0);
    CU_ASSERT(hg_units_time("30", &v) == -EINVAL);
}

static void test_refused(void)
{
    static const char *const bad[] = {
        "", "K", "-1", "1k", "1 K", "1KB", "0x10", "1.5G", "18446744073709551616", "17179869184G"};
    uint64_t v;

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(hg_units_size(bad[i], &v), -EINVAL);
        CU_ASSERT_EQUAL(hg_units_time(bad[i], &v), -EINVAL);
    }
}

static void test_reads_back(void)
{
    static const uint64_t some[] = {
        0, 1, 1000, 1024, 65536, 1536, HG_SEC(1), HG_SEC(90), UINT64_C(5) << 40};
    uint64_t v;
    char buf[32];

    for (unsigned i = 0; i < HG_ARRAY_LEN(some); i++) {
        hg_units_size_text(some[i], buf, sizeof buf);
        CU_ASSERT(hg_units_size(buf, &v) == 0 && v == some[i]);
    }
    hg_units_size_text(3u << 20, buf, sizeof buf);
    CU_ASSERT_STRING_EQUAL(buf, "3M");
    hg_units_time_text(HG_SEC(90), buf, sizeof buf);
    CU_ASSERT_STRING_EQUAL(buf, "90s");
    hg_units_time_text(0, buf, sizeof buf);
    CU_ASSERT(hg_units_time(buf, &v) == 0 && v == 0);
    CU_ASSERT_STRING_EQUAL(hg_units_size_about(1536, buf, sizeof buf), "1.5 KiB");
    CU_ASSERT_STRING_EQUAL(hg_units_size_about(12, buf, sizeof buf), "12 B");
}

int main(void)
{
    CU_pSuite s;
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS || (s = CU_add_suite("units", NULL, NULL)) == NULL)
        return 1;
    CU_add_test(s, "read", test_read);
    CU_add_test(s, "refused", test_refused);
    CU_add_test(s, "reads back", test_reads_back);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
