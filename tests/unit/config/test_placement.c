/* SPDX-License-Identifier: BSD-3-Clause */
/* Who stands on which NUMA node, with made-up machines. */
#include "placement.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

static char said[4][512];
static unsigned about[4], n_said;

static void tell(void *arg, unsigned dev, const char *sentence)
{
    (void)arg;
    about[n_said] = dev;
    snprintf(said[n_said++], sizeof said[0], "%s", sentence);
}

static unsigned run(const struct placement_dev *devs, unsigned n_devs,
                    const struct placement_shard *shards, unsigned n_shards)
{
    struct placement p = {.devs = devs, .n_devs = n_devs, .shards = shards, .n_shards = n_shards};

    n_said = 0;
    return placement_judge(&p, tell, NULL);
}

static void test_one_node(void)
{
    const struct placement_dev devs[] = {{"port", "a", 0}, {"device", "b", 0}};
    const struct placement_shard shards[] = {{1, 0}, {2, 0}};

    CU_ASSERT_EQUAL(run(devs, 2, shards, 2), 0);
    CU_ASSERT_EQUAL(n_said, 0);
}

static void test_unknown(void)
{
    const struct placement_dev devs[] = {{"port", "net_tap0", -1}, {"device", "b", 99}};
    const struct placement_shard shards[] = {{1, 0}, {2, 1}, {3, -1}};
    const struct placement_dev known[] = {{"port", "a", 0}};

    CU_ASSERT_EQUAL(run(devs, 2, shards, 3), 0);
    CU_ASSERT_EQUAL(run(known, 1, &shards[2], 1), 0); /* a shard that is bound to no CPU */
    CU_ASSERT_EQUAL(n_said, 0);
}

static void test_one_crosses(void)
{
    const struct placement_dev devs[] = {{"port", "0000:03:00.0", 0}, {"device", "nvme", 1}};
    const struct placement_shard shards[] = {{1, 0}, {2, 0}, {9, 1}};

    CU_ASSERT_EQUAL(run(devs, 2, shards, 3), 2);
    CU_ASSERT_STRING_EQUAL(said[0],
                           "port 0000:03:00.0 is on NUMA node 0, but shard 2 (CPU 9) is on node 1");
    CU_ASSERT_STRING_EQUAL(
        said[1], "device nvme is on NUMA node 1, but shards 0 and 1 (CPUs 1 and 2) are on node 0");
    CU_ASSERT(about[0] == 0 && about[1] == 1);
}

static void test_four_nodes(void)
{
    static const uint8_t distance[PLACEMENT_NODES][PLACEMENT_NODES] = {
        {10, 16, 32, 32}, {16, 10, 32, 32}, {32, 32, 10, 16}, {32, 32, 16, 10}};
    const struct placement_dev devs[] = {{"port", "p", 3}};
    const struct placement_shard shards[] = {{0, 0}, {1, 3}, {2, 1}, {3, 0}, {4, 0}};
    struct placement p = {devs, shards, 1, 5, distance};

    n_said = 0;
    CU_ASSERT_EQUAL(placement_judge(&p, tell, NULL), 1);
    CU_ASSERT_STRING_EQUAL(
        said[0], "port p is on NUMA node 3, but shards 0, 3 and 4 (CPUs 0, 3 and 4) are on node 0 "
                 "(distance 32, own node 10); shard 2 (CPU 2) is on node 1 (distance 32, own node "
                 "10)");
}

/* A sentence that would be too long is cut, within its buffer. */
static void test_many(void)
{
    struct placement_dev devs[] = {{"port", "p", 0}};
    struct placement_shard shards[200];

    for (unsigned i = 0; i < 200; i++)
        shards[i] = (struct placement_shard){1000 + i, 1 + (int)i % 60};
    CU_ASSERT_EQUAL(run(devs, 1, shards, 200), 1);
    CU_ASSERT_EQUAL(strlen(said[0]), 479);
    for (unsigned i = 0; i < 200; i++)
        shards[i].node = 1;
    CU_ASSERT_EQUAL(run(devs, 1, shards, 200), 1);
    CU_ASSERT_EQUAL(strlen(said[0]), 479);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("placement", NULL, NULL);
    CU_add_test(suite, "with one node nothing is said", test_one_node);
    CU_add_test(suite, "what is on no known node is not judged", test_unknown);
    CU_add_test(suite, "each device that shards cross to is one sentence", test_one_crosses);
    CU_add_test(suite, "several nodes, with their distances", test_four_nodes);
    CU_add_test(suite, "more than a sentence can hold", test_many);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
