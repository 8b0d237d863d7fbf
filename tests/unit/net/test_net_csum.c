/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Internet checksum over any bytes, at any alignment and in any segmentation, against the plain
 * form of RFC 1071. Usage: test_net_csum [seed]
 */
#include "net_rig.h"
#include <net_csum.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Sums are in memory order and not complemented; plain_sum() is the complement in host order. */
static uint16_t as_plain(uint64_t sum)
{
    return (uint16_t)~__builtin_bswap16(hg_csum_fold(sum));
}

static void test_ranges(void)
{
    uint8_t data[400];

    for (unsigned i = 0; i < 20000; i++) {
        unsigned from = rnd() % 40, len = rnd() % 300;

        /* Bytes of all ones make the longest carries. */
        memset(data, rnd() % 2 ? 0xff : 0, sizeof data);
        for (unsigned k = rnd() % 2 ? 0 : sizeof data; k < sizeof data; k++)
            data[k] = (uint8_t)rnd();
        CU_ASSERT_EQUAL(as_plain(hg_csum_range(data + from, len)), plain_sum(data + from, len, 0));
    }
}

static void test_largest_range(void)
{
    uint8_t *data = malloc(65535);

    memset(data, 0xff, 65535);
    CU_ASSERT_EQUAL(as_plain(hg_csum_range(data, 65535)), plain_sum(data, 65535, 0));
    free(data);
}

static void test_chains(void)
{
    struct rig rig;
    uint8_t data[1500];

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned len = 1 + rnd() % sizeof data, offset = rnd() % (len + 1);
        struct rte_mbuf *m;

        for (unsigned k = 0; k < len; k++)
            data[k] = (uint8_t)rnd();
        m = rig_mbuf(&rig, data, len, len / (1 + rnd() % 20) + 1);
        CU_ASSERT_EQUAL(as_plain(hg_csum_mbuf(m, offset)),
                        plain_sum(data + offset, len - offset, 0));
        rte_pktmbuf_free(m);
    }
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1; /* the generator's fixed point */
    printf("seed %lu\n", seed);
    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_csum", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "ranges", test_ranges) ||
        !CU_add_test(suite, "largest range", test_largest_range) ||
        !CU_add_test(suite, "chains", test_chains))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
