/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection table: inserting, finding and removing against a plain list, at full load. */
#include "rig.h"
#include "suite.h"
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <stdlib.h>
#include <string.h>

#define N 256

static uint64_t seed;
static struct rig rig;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static struct hg_flow flow(unsigned i)
{
    return (struct hg_flow){{{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                            {{[10] = 0xff, 0xff, 10, 0, (uint8_t)(i >> 4), 2}},
                            RIG_PORT,
                            (uint16_t)(i & 15)};
}

/* `bits` of the hash are used, so that collisions are the rule and not the exception. */
static void churn(uint32_t bits)
{
    static struct hg_tcp_conn *have[4 * N];
    unsigned n = 0;

    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = N});
    memset(have, 0, sizeof have);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = rnd(4 * N);
        struct hg_flow f = flow(i);
        uint32_t hash = tcp_flow_hash(rig.tcp->cfg.secret, &f) & bits;
        CU_ASSERT_PTR_EQUAL(tcp_table_find(rig.tcp, &f, hash), have[i]);
        if (have[i]) {
            tcp_conn_kill(have[i], 0); /* nobody owns it: freed */
            have[i] = NULL;
            n--;
        } else {
            have[i] = tcp_conn_new(rig.tcp, &f, hash);
            CU_ASSERT_EQUAL(have[i] != NULL, n < N);
            n += have[i] != NULL;
        }
        CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), n);
    }
    for (unsigned i = 0; i < 4 * N; i++) {
        struct hg_flow f = flow(i);
        uint32_t hash = tcp_flow_hash(rig.tcp->cfg.secret, &f) & bits;
        CU_ASSERT_PTR_EQUAL(tcp_table_find(rig.tcp, &f, hash), have[i]);
    }
    unsigned walked = 0;
    for (struct hg_tcp_conn *c = NULL; (c = hg_tcp_conn_walk(rig.tcp, c));)
        walked++;
    CU_ASSERT_EQUAL(walked, n);
    rig_fini(&rig);
}

static void test_good_hash(void)
{
    churn(UINT32_MAX);
}

static void test_colliding_hash(void)
{
    churn(0xf);
}

static void test_probes_across_the_end_of_the_table(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = N});
    uint32_t last = rig.tcp->slot_mask;
    struct hg_tcp_conn *c[6];
    for (unsigned i = 0; i < 6; i++) { /* six homes in the last two slots wrap to the front */
        struct hg_flow f = flow(i);
        c[i] = tcp_conn_new(rig.tcp, &f, last - i % 2);
    }
    for (unsigned gone = 0; gone < 6; gone++) {
        tcp_conn_kill(c[gone], 0);
        for (unsigned i = gone + 1; i < 6; i++) {
            struct hg_flow f = flow(i);
            CU_ASSERT_PTR_EQUAL(tcp_table_find(rig.tcp, &f, last - i % 2), c[i]);
        }
    }
    rig_fini(&rig);
}

int main(int argc, char **argv)
{
    static const struct suite_test tests[] = {
        {"good hash", test_good_hash},
        {"colliding hash", test_colliding_hash},
        {"probes across the end", test_probes_across_the_end_of_the_table},
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", seed);
    rig_eal();
    return suite_run("tcp_table", tests, HG_ARRAY_LEN(tests));
}
