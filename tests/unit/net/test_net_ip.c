/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses: conversions, text forms, and what the parsers must refuse. */
#include <headgate/net.h>
#include <CUnit/Basic.h>
#include <string.h>

static void test_v4_is_mapped(void)
{
    struct hg_ip ip = hg_ip_from_v4(0xc0000201);
    static const uint8_t want[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};

    CU_ASSERT_EQUAL(memcmp(ip.b, want, 16), 0);
    CU_ASSERT_TRUE(hg_ip_is_v4(&ip));
    CU_ASSERT_EQUAL(hg_ip_to_v4(&ip), 0xc0000201);
    ip.b[11] = 0xfe;
    CU_ASSERT_FALSE(hg_ip_is_v4(&ip));
}

static void test_equal(void)
{
    struct hg_ip a = hg_ip_from_v4(1), b = hg_ip_from_v4(1), c = hg_ip_from_v4(2);

    CU_ASSERT_TRUE(hg_ip_equal(&a, &b));
    CU_ASSERT_FALSE(hg_ip_equal(&a, &c));
}

static void test_text(void)
{
    char buf[HG_IP_STRLEN];
    struct hg_ip ip = hg_ip_from_v4(0xffffffff);
    struct hg_ip v6 = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}};

    CU_ASSERT_STRING_EQUAL(hg_ip_str(&ip, buf), "255.255.255.255");
    CU_ASSERT_STRING_EQUAL(hg_ip_str(&v6, buf), "2001:db8::1");
    CU_ASSERT_EQUAL(hg_ip_parse("192.0.2.77", &ip), 0);
    CU_ASSERT_STRING_EQUAL(hg_ip_str(&ip, buf), "192.0.2.77");
    CU_ASSERT_EQUAL(hg_ip_parse("2001:DB8:0::1", &ip), 0);
    CU_ASSERT_TRUE(hg_ip_equal(&ip, &v6));
}

static void test_parse_refuses(void)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.1.1.1",
                                      "1.2.3.-4",
                                      " 1.2.3.4",
                                      "1.2.3.4 ",
                                      "1.2.3.4/24",
                                      "01.2.3.4",
                                      "0x1.2.3.4",
                                      "a.b.c.d",
                                      "1..2.3",
                                      "1.2.3.4444",
                                      "2001:db8::1::2",
                                      "2001:db8:1",
                                      "fe80::1%eth0",
                                      "[::1]",
                                      "::ffff:192.0.2.1"};
    struct hg_ip ip = hg_ip_from_v4(7);

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        CU_ASSERT_TRUE(hg_ip_parse(bad[i], &ip) < 0);
        CU_ASSERT_EQUAL(hg_ip_to_v4(&ip), 7);
    }
}

static void test_prefix(void)
{
    static const char *const bad[] = {
        "192.0.2.1",    "192.0.2.1/",          "192.0.2.1/33", "192.0.2.1/-1",  "192.0.2.1/024",
        "192.0.2.1/+4", "192.0.2.1/ 4",        "192.0.2.1/4 ", "192.0.2.1/4/4", "/24",
        "192.0.2/24",   "192.000.002.0001/24", "192.0.2.1/00"};
    struct hg_ip ip;
    unsigned len = 99;

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT_TRUE(hg_ip_parse_prefix(bad[i], &ip, &len) < 0);
    CU_ASSERT_EQUAL(len, 99);
    CU_ASSERT_EQUAL(hg_ip_parse_prefix("192.0.2.1/24", &ip, &len), 0);
    CU_ASSERT_EQUAL(hg_ip_to_v4(&ip), 0xc0000201);
    CU_ASSERT_EQUAL(len, 24);
    CU_ASSERT_EQUAL(hg_ip_parse_prefix("255.255.255.255/32", &ip, &len), 0);
    CU_ASSERT_EQUAL(len, 32);
    CU_ASSERT_EQUAL(hg_ip_parse_prefix("1.2.3.4/0", &ip, &len), 0);
    CU_ASSERT_EQUAL(len, 0);
    CU_ASSERT_EQUAL(hg_ip_parse_prefix("2001:db8::1/128", &ip, &len), 0);
    CU_ASSERT_EQUAL(len, 128);
    CU_ASSERT_TRUE(hg_ip_parse_prefix("2001:db8::1/129", &ip, &len) < 0);
    CU_ASSERT_TRUE(hg_ip_parse_prefix("2001:db8::1", &ip, &len) < 0);
}

static void test_in(void)
{
    static const struct {
        const char *ip, *net;
        bool in;
    } rows[] = {
        {"192.0.2.255", "192.0.2.0/24", true},
        {"192.0.3.0", "192.0.2.0/24", false},
        {"192.0.2.129", "192.0.2.128/25", true},
        {"192.0.2.127", "192.0.2.128/25", false},
        {"192.0.2.1", "192.0.2.1/32", true},
        {"192.0.2.0", "192.0.2.1/32", false},
        {"192.0.2.2", "192.0.2.3/31", true},
        {"203.0.113.1", "0.0.0.0/0", true},
        {"2001:db8::1", "0.0.0.0/0", false},
        {"2001:db8::1", "::/0", true},
        {"203.0.113.1", "::/0", false},
        {"2001:db8:ffff::", "2001:db8::/32", true},
        {"2001:db9::", "2001:db8::/32", false},
        {"2001:db8:8000::1", "2001:db8:8000::/33", true},
        {"2001:db8:7fff::1", "2001:db8:8000::/33", false},
        {"2001:db8::1", "2001:db8::1/128", true},
        {"2001:db8::", "2001:db8::1/127", true},
        {"2001:db8::2", "2001:db8::1/127", false},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct hg_ip ip, net;
        unsigned len;

        CU_ASSERT_EQUAL_FATAL(hg_ip_parse(rows[i].ip, &ip), 0);
        CU_ASSERT_EQUAL_FATAL(hg_ip_parse_prefix(rows[i].net, &net, &len), 0);
        CU_ASSERT_EQUAL(hg_ip_in(&ip, &net, len), rows[i].in);
    }
}

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_ip", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "IPv4 is mapped", test_v4_is_mapped) ||
        !CU_add_test(suite, "equal", test_equal) || !CU_add_test(suite, "text", test_text) ||
        !CU_add_test(suite, "parse refuses", test_parse_refuses) ||
        !CU_add_test(suite, "prefix", test_prefix) || !CU_add_test(suite, "in a network", test_in))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
