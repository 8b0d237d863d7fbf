/* SPDX-License-Identifier: BSD-3-Clause */
/* Keyed hashes: SipHash against its published vectors, the table hash for spread. */
#include "suite.h"
#include "tcp_hash.h"

#include <string.h>

/* Aumasson and Bernstein, SipHash-2-4: key 00 01 .. 0f, message 00 01 .. of that length. */
static const struct {
    unsigned len;
    uint64_t hash;
} vectors[] = {
    {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {2, 0x0d6c8009d9a94f5a},
    {3, 0x85676696d7fb7e2d}, {7, 0xab0200f58b01d137},  {8, 0x93f5f5799a932462},
    {9, 0x9e0082df0ba9e4b0}, {15, 0xa129ca6149be45e5},
};

static void test_siphash_vectors(void)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t in[16];

    for (unsigned i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        CU_ASSERT_EQUAL(tcp_siphash(key, in, vectors[i].len), vectors[i].hash);
}

static struct hg_flow flow(uint32_t remote, uint16_t rport)
{
    struct hg_flow f = {.local = {{[10] = 0xff, 0xff, 10, 0, 0, 1}},
                        .remote = {{[10] = 0xff, 0xff}},
                        .lport = 1500,
                        .rport = rport};

    memcpy(&f.remote.b[12], &remote, 4);
    return f;
}

static void check_spread(const uint64_t key[2], unsigned ports, unsigned hosts)
{
    enum { BUCKETS = 1024, PER_BUCKET = 64 };
    static unsigned load[BUCKETS];
    unsigned most = 0;

    CU_ASSERT_EQUAL(ports * hosts, BUCKETS * PER_BUCKET);
    memset(load, 0, sizeof load);
    for (unsigned i = 0; i < ports * hosts; i++) {
        struct hg_flow f = flow(0x0a000001u + (i / ports << 24), (uint16_t)(i % ports));
        unsigned *bucket = &load[tcp_flow_hash(key, &f) % BUCKETS];
        most = ++*bucket > most ? *bucket : most;
    }
    CU_ASSERT(most < 110); /* a fair throw of 64 per bucket stays below it */
}

static void test_flow_hash_spreads(void)
{
    static const uint64_t keys[][2] = {{0, 0}, {1, 2}, {0x0123456789abcdef, 0xfedcba9876543210}};

    for (unsigned k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        check_spread(keys[k], 65536, 1); /* one peer, every port */
        check_spread(keys[k], 1024, 64);
        check_spread(keys[k], 256, 256);
    }
}

static void test_flow_hash_depends_on_key(void)
{
    const uint64_t a[2] = {1, 2}, b[2] = {1, 3}, c[2] = {2, 2};
    unsigned same = 0;

    for (unsigned i = 0; i < 1000; i++) {
        struct hg_flow f = flow(i, (uint16_t)i);
        same += tcp_flow_hash(a, &f) == tcp_flow_hash(b, &f);
        same += tcp_flow_hash(a, &f) == tcp_flow_hash(c, &f);
    }
    CU_ASSERT(same < 3);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"SipHash vectors", test_siphash_vectors},
        {"table hash spreads", test_flow_hash_spreads},
        {"table hash depends on the key", test_flow_hash_depends_on_key},
    };
    return suite_run("tcp_hash", tests, sizeof tests / sizeof tests[0]);
}
