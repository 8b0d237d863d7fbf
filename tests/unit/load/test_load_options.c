/* SPDX-License-Identifier: BSD-3-Clause */
/* Options of headgate-load: what is taken, and that everything else is refused. */
#include "options.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* Parses "prog" with the required options and those given; NULL ends. */
static int parse(struct load_options *opt, struct hg_err *err, const char *const *more)
{
    char *argv[32] = {"headgate-load", "--server", "192.0.2.1", "--cert", "a",
                      "--key",         "b",        "--ca",      "c"};
    int argc = 9;

    while (*more != NULL)
        argv[argc++] = (char *)(uintptr_t)*more++;
    optind = 0;
    err->text[0] = '\0';
    return options_parse(opt, argc, argv, err);
}

static unsigned port_of(const struct load_options *opt)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&opt->server;

    return ntohs(v6->sin6_port); /* at the same place in both families */
}

/* RFC 5952 6: with a port an IPv6 address stands in brackets. */
static void test_servers(void)
{
    static const struct {
        const char *text;
        int family;
        unsigned port;
    } row[] = {
        {"192.0.2.1", AF_INET, 1500},     {"192.0.2.1:7", AF_INET, 7},
        {"2001:db8::1", AF_INET6, 1500},  {"[2001:db8::1]", AF_INET6, 1500},
        {"[2001:db8::1]:7", AF_INET6, 7}, {"::1", AF_INET6, 1500},
    };
    static struct load_options opt;
    struct hg_err err;

    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        const char *const args[] = {"--server", row[i].text, NULL};

        CU_ASSERT_EQUAL_FATAL(parse(&opt, &err, args), 0);
        CU_ASSERT_EQUAL(opt.server.ss_family, row[i].family);
        CU_ASSERT_EQUAL(port_of(&opt), row[i].port);
    }
}

static void test_defaults(void)
{
    static struct load_options opt;
    struct hg_err err;

    CU_ASSERT_EQUAL_FATAL(parse(&opt, &err, (const char *const[]){NULL}), 0);
    CU_ASSERT_EQUAL(port_of(&opt), 1500);
    CU_ASSERT_EQUAL(opt.sources, 1);
    CU_ASSERT_EQUAL(opt.mix.n, 1);
    CU_ASSERT_EQUAL(opt.mix.size[0], 65536);
    CU_ASSERT_EQUAL(opt.resume_retry, HG_SEC(60));
}

static void test_values(void)
{
    static struct load_options opt;
    struct hg_err err;
    static const char *const args[] = {
        "--block",  "4K:20,64K:80",    "--image", "disk=/a/b.img", "--image",
        "/c/d.img", "--barrier-every", "5s",      "--levels",      "received,consistent",
        "--server", "10.0.0.1:99",     NULL};

    CU_ASSERT_EQUAL_FATAL(parse(&opt, &err, args), 0);
    CU_ASSERT_EQUAL(opt.mix.n, 2);
    CU_ASSERT_EQUAL(opt.mix.size[0], 4096);
    CU_ASSERT_EQUAL(opt.mix.weight_sum, 100);
    CU_ASSERT_EQUAL(opt.n_images, 2);
    CU_ASSERT_STRING_EQUAL(opt.image[0].name, "disk");
    CU_ASSERT_STRING_EQUAL(opt.image[0].path, "/a/b.img");
    CU_ASSERT_STRING_EQUAL(opt.image[1].name, "d.img");
    CU_ASSERT_EQUAL(opt.barrier_ns, HG_SEC(5));
    CU_ASSERT_EQUAL(opt.barrier_frames, 0);
    CU_ASSERT_EQUAL(opt.levels, 1u << 1 | 1u << 3);
    CU_ASSERT_EQUAL(port_of(&opt), 99);
}

/* Each is refused with a sentence that names the option. */
static void test_refused(void)
{
    static const char *const row[][2] = {
        {"--sources", "0"},      {"--sources", "1K"},       {"--sources", "100001"},
        {"--block", "5000"},     {"--block", "2M"},         {"--block", "4K:0"},
        {"--block", ""},         {"--zero", "101"},         {"--rate", "10"},
        {"--tls", "1.1"},        {"--codec", "lz4"},        {"--pattern", "zigzag"},
        {"--levels", "perhaps"}, {"--compress-ratio", "0"}, {"--compress-ratio", "nan"},
        {"--server", "host"},    {"--server", "1.2.3.4:0"}, {"--bad", "luck"},
        {"--server", "[::1"},    {"--server", "[::1]7"},    {"--server", "::ffff:1.2.3.4"},
        {"--size", "1000"},      {"--depth", "1"},          {"--transport", "pigeon"},
        {"--image", "=x"},       {"--barrier-every", "0"},  {"--cpu", "-1"},
    };
    static struct load_options opt;
    struct hg_err err;

    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        const char *const args[] = {row[i][0], row[i][1], NULL};

        CU_ASSERT_EQUAL(parse(&opt, &err, args), -EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, row[i][0]));
    }
    CU_ASSERT_EQUAL(parse(&opt, &err, (const char *const[]){"--speed", "9", NULL}), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--speed"));
    CU_ASSERT_EQUAL(parse(&opt, &err, (const char *const[]){"word", NULL}), -EINVAL);
    CU_ASSERT_EQUAL(parse(&opt, &err, (const char *const[]){"--size", NULL}), -EINVAL);
}

static void test_together(void)
{
    static const char *const bad[][8] = {
        {"--transport", "dpdk", NULL},
        {"--connections", "2", NULL},
        {"--replay", "--block", "4K:1,8K:1", NULL},
        {"--image", "x", "--duration", "5s", NULL},
        {"--replay", "--size", "100K", NULL},
    };
    static struct load_options opt;
    struct hg_err err;

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(parse(&opt, &err, bad[i]), -EINVAL);
}

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("headgate-load options", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "defaults", test_defaults) ||
        !CU_add_test(suite, "servers of both IP versions", test_servers) ||
        !CU_add_test(suite, "values", test_values) ||
        !CU_add_test(suite, "refused", test_refused) ||
        !CU_add_test(suite, "what goes together", test_together))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
