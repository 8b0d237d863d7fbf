/* SPDX-License-Identifier: BSD-3-Clause */
/* Classes of listeners: what each asks of the list of addresses and of client certificates. */
#include "access.h"
#include "rig.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hg_tcp_allow list;

/* The same as a test profile with one service over TLS. */
static void begin_test(void)
{
    begin();
    set("node.profile=test");
    set("test.services=yes");
    set("test.http-tls=443");
}

static void parse(unsigned n)
{
    CU_ASSERT_EQUAL(access_parse(&cfg.access, "ingest", &list, &err), 0);
    CU_ASSERT_EQUAL(list.n, n);
}

static void test_defaults(void)
{
    begin();
    CU_ASSERT_STRING_EQUAL(cfg.access.class, "restricted");
    CU_ASSERT_STRING_EQUAL(cfg.test_access.class, "public");
    good();
    parse(0);
    CU_ASSERT_FALSE(list.silent);
    CU_ASSERT_EQUAL(config_set(&cfg, "ingest.class=private", &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "public|restricted|enumerated"));
}

static void test_list(void)
{
    char text[HG_IP_STRLEN];

    begin();
    set("ingest.allow= 192.0.2.0/25 ,2001:db8::/33");
    set("ingest.allow3=198.51.100.7, 2001:db8:ffff::7");
    good();
    parse(4);
    CU_ASSERT_STRING_EQUAL(hg_ip_str(&list.prefix[0].ip, text), "192.0.2.0");
    CU_ASSERT_EQUAL(list.prefix[0].len, 25);
    CU_ASSERT_STRING_EQUAL(hg_ip_str(&list.prefix[1].ip, text), "2001:db8::");
    CU_ASSERT_EQUAL(list.prefix[1].len, 33);
    CU_ASSERT_EQUAL(list.prefix[2].len, 32);
    CU_ASSERT_STRING_EQUAL(hg_ip_str(&list.prefix[3].ip, text), "2001:db8:ffff::7");
    CU_ASSERT_EQUAL(list.prefix[3].len, 128);
    set("ingest.class=enumerated");
    good();
    parse(4);
    CU_ASSERT(list.silent);
    set("ingest.class=restricted");
    set("ingest.allow=0.0.0.0/0,::/0"); /* says what an empty one means */
    good();
}

static void test_mistakes_in_the_list(void)
{
    static const struct {
        const char *set, *words;
    } rows[] = {
        {"ingest.allow=node.example", "[ingest] allow = node.example: write it like"},
        {"ingest.allow=192.0.2.0/33", "[ingest] allow = 192.0.2.0/33: write it like"},
        {"ingest.allow=192.0.2.0/", "write it like"},
        {"ingest.allow=192.0.2/24", "write it like"},
        {"ingest.allow=192.0.2.1 192.0.2.2", "with one comma between two"},
        {"ingest.allow=192.0.2.1,", "write it like"},
        {"ingest.allow=,192.0.2.1", "write it like"},
        {"ingest.allow=,", "write it like"},
        {"ingest.allow=::ffff:192.0.2.1", "write it like"},
        {"ingest.allow2=192.0.2.1/24",
         "[ingest] allow2 = 192.0.2.1/24: an address with the length"},
        {"ingest.allow2=192.0.2.1/24", "write 192.0.2.0/24 for the network"},
        {"ingest.allow4=2001:db8:8000::/32", "write 2001:db8::/32 for the network"},
        {"ingest.allow=192.0.2.129/31", "write 192.0.2.128/31"},
        {"ingest.allow=192.0.2.1/0", "write 0.0.0.0/0"},
        {"test.allow=1.2.3", "[test] allow = 1.2.3: write it like"},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        begin();
        set(rows[i].set);
        bad(rows[i].words);
    }
}

static void test_list_is_bounded(void)
{
    char text[CFG_TEXT_MAX];

    begin();
    for (unsigned key = 0; key < CFG_ALLOW_KEYS; key++) {
        text[0] = '\0';
        for (unsigned i = 0; i < HG_TCP_ALLOW_MAX / CFG_ALLOW_KEYS; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s10.0.%u.%u",
                     i != 0 ? "," : "", key, i);
        snprintf(cfg.access.allow[key], CFG_TEXT_MAX, "%s", text);
    }
    good();
    parse(HG_TCP_ALLOW_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), ",192.0.2.1");
    snprintf(cfg.access.allow[CFG_ALLOW_KEYS - 1], CFG_TEXT_MAX, "%s", text);
    bad("[ingest] allow4 = 192.0.2.1: more than 64 networks and addresses");
}

static void test_class_and_list(void)
{
    begin();
    set("ingest.class=public");
    good();
    set("ingest.allow=192.0.2.0/24");
    bad("[ingest] class = public: takes connections from anywhere");
    begin();
    set("ingest.class=enumerated");
    bad("[ingest] class = enumerated: allow must name the nodes");
    set("ingest.allow=192.0.2.7,0.0.0.0/0");
    bad("[ingest] class = enumerated: allow has a network of length 0");
    set("ingest.allow=::/0");
    bad("network of length 0");
    set("ingest.allow=192.0.2.7");
    good();
}

static void test_class_and_certificate(void)
{
    static const char *const less[] = {"asked", "off"}, *const class[] = {"restricted",
                                                                          "enumerated"};
    char text[64], words[128];

    for (unsigned i = 0; i < 4; i++) {
        begin_test();
        set("ingest.allow=192.0.2.7");
        snprintf(text, sizeof text, "ingest.class=%s", class[i / 2]);
        set(text);
        good();
        snprintf(text, sizeof text, "tls.client-certificate=%s", less[i % 2]);
        set(text);
        snprintf(words, sizeof words,
                 "[ingest] class = %s: needs a certificate of every client, but [tls] "
                 "client-certificate = %s;",
                 class[i / 2], less[i % 2]);
        bad(words);
        set("ingest.class=public");
        set("ingest.allow=");
        good();
    }
}

static void test_services(void)
{
    static const char *const class[] = {"restricted", "enumerated"};
    char text[64], words[128];

    begin_test();
    good();
    for (unsigned i = 0; i < HG_ARRAY_LEN(class); i++) {
        begin_test();
        snprintf(text, sizeof text, "test.class=%s", class[i]);
        set(text);
        set("test.allow=192.0.2.7");
        snprintf(words, sizeof words,
                 "[test] class = %s: needs a certificate of every client, but [test] "
                 "tls-client-certificate = off;",
                 class[i]);
        bad(words);
        set("test.tls-client-certificate=required");
        good();
        set("test.echo=7");
        snprintf(words, sizeof words,
                 "[test] class = %s: needs a certificate of every client, but echo is not over TLS",
                 class[i]);
        bad(words);
    }
    begin_test();
    set("test.allow=192.0.2.7");
    bad("[test] class = public: takes connections from anywhere");
}

static void test_dump_loads_again(void)
{
    char path[] = "/tmp/hg_access.XXXXXX";
    int fd = mkstemp(path);
    FILE *f;

    CU_ASSERT_FATAL(fd >= 0);
    f = fdopen(fd, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    begin();
    set("ingest.class=enumerated");
    set("ingest.allow=192.0.2.0/24, 2001:db8::/32");
    set("ingest.allow4=198.51.100.7");
    good();
    config_dump(&cfg, f);
    fclose(f);
    config_defaults(&cfg);
    CU_ASSERT_EQUAL(config_load(&cfg, path, &err), 0);
    remove(path);
    good();
    CU_ASSERT_STRING_EQUAL(cfg.access.class, "enumerated");
    parse(3);
    CU_ASSERT_EQUAL(list.prefix[1].len, 32);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"native: restricted, from anywhere; test services: public", test_defaults},
        {"networks and addresses of both families", test_list},
        {"a mistake in the list is named", test_mistakes_in_the_list},
        {"the list is bounded", test_list_is_bounded},
        {"public has no list, enumerated has one that is not everybody", test_class_and_list},
        {"restricted and enumerated need client certificates", test_class_and_certificate},
        {"the same for the test services, plain ones are public", test_services},
        {"what is dumped loads again", test_dump_loads_again},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{.pName = "config_access", .pTests = tests}, CU_SUITE_INFO_NULL};
    unsigned failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return EXIT_FAILURE;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
