/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the processor can do at most, one primitive at a time, on the CPU it is bound to: the
 * denominators of the benches. Prints one JSON object: name -> GB/s (10^9 bytes of output a
 * second). With --serve one for each line read from stdin: so that a bench can measure them between
 * its own samples, on memory that is there already.
 *
 *     primitives [--cpu N] [--ratio R] [--seconds S] [--serve]
 *     primitives [--cpu N] --pair M
 *
 * With --pair it prints how long a cache line takes to CPU M and back, ns: of virtual machines' CPUs
 * it tells whether they share a cache at the moment.
 *
 * Data comes from a 64 MiB region, so it is read from memory (or a large last-level cache), not
 * from the first two levels. Payloads for inflate are the load generator's own, of 64 KiB.
 */
#include "../app/load/gen.h"
#include <getopt.h>
#include <headgate/codec.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REGION ((size_t)64 << 20)
#define RECORD 16384u
#define BLOCK 65536u
#define PAYLOADS 256u

struct bench {
    uint8_t *src, *dst;
    IMB_MGR *mb;
    struct gcm_key_data key128 __attribute__((aligned(64))), key256 __attribute__((aligned(64)));
    struct hg_inflate *inflate;
    uint8_t *packed;
    uint32_t packed_at[PAYLOADS], packed_len[PAYLOADS];
    double seconds;
    uint32_t crc; /* so that nothing is optimised away */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One pass over the region; returns bytes done. */
typedef size_t (*pass_fn)(struct bench *b);

static double rate(struct bench *b, pass_fn pass)
{
    double best = 0, end = now() + b->seconds;

    do {
        double t = now();
        size_t n = pass(b);
        double r = (double)n / (now() - t) / 1e9;

        if (r > best)
            best = r;
    } while (now() < end);
    return best;
}

static const uint8_t iv[12] = {1}, aad[5] = {0x17, 3, 3, 0x40, 0x11};

static size_t pass_gcm128(struct bench *b)
{
    struct gcm_context_data ctx;
    uint8_t tag[16];

    for (size_t at = 0; at + RECORD <= REGION; at += RECORD)
        IMB_AES128_GCM_DEC(b->mb, &b->key128, &ctx, b->dst + at % (1u << 20), b->src + at, RECORD,
                           iv, aad, sizeof aad, tag, sizeof tag);
    return REGION;
}

static size_t pass_gcm256(struct bench *b)
{
    struct gcm_context_data ctx;
    uint8_t tag[16];

    for (size_t at = 0; at + RECORD <= REGION; at += RECORD)
        IMB_AES256_GCM_DEC(b->mb, &b->key256, &ctx, b->dst + at % (1u << 20), b->src + at, RECORD,
                           iv, aad, sizeof aad, tag, sizeof tag);
    return REGION;
}

static size_t pass_crc(struct bench *b)
{
    for (size_t at = 0; at < REGION; at += BLOCK)
        b->crc ^= hg_crc32c(b->src + at, BLOCK);
    return REGION;
}

static size_t pass_copy(struct bench *b)
{
    for (size_t at = 0; at < REGION; at += BLOCK)
        memcpy(b->dst + at, b->src + at, BLOCK);
    return REGION;
}

static size_t pass_inflate(struct bench *b)
{
    for (unsigned i = 0; i < PAYLOADS; i++) {
        if (hg_inflate(b->inflate, b->dst + (size_t)i * BLOCK, BLOCK, b->packed + b->packed_at[i],
                       b->packed_len[i]) != 0)
            abort(); /* our own payloads */
    }
    return (size_t)PAYLOADS * BLOCK;
}

static double make_payloads(struct bench *b, double ratio)
{
    struct gen gen;
    uint8_t *scratch = malloc(HG_DEFLATE_SCRATCH);
    uint32_t at = 0;

    if (scratch == NULL || gen_init(&gen, 1, ratio, BLOCK) != 0)
        abort();
    for (unsigned i = 0; i < PAYLOADS; i++) {
        gen_fill(&gen, &(struct gen_place){1, (uint64_t)i * BLOCK, 1}, b->src, BLOCK);
        b->packed_at[i] = at;
        b->packed_len[i] = hg_deflate(b->packed + at, BLOCK, b->src, BLOCK, scratch);
        if (b->packed_len[i] == 0)
            return 0;
        at += b->packed_len[i];
    }
    free(scratch);
    return (double)PAYLOADS * BLOCK / at;
}

static void report(struct bench *b, double ratio)
{
    printf("{\"aes128_gcm_open_16k\": %.3f, ", rate(b, pass_gcm128));
    printf("\"aes256_gcm_open_16k\": %.3f, ", rate(b, pass_gcm256));
    printf("\"crc32c\": %.3f, \"copy\": %.3f, ", rate(b, pass_crc), rate(b, pass_copy));
    printf("\"inflate\": %.3f, \"inflate_ratio\": %.3f, \"crc_sink\": %u}\n",
           ratio == 0 ? 0 : rate(b, pass_inflate), ratio, b->crc & 1);
    fflush(stdout);
}

/* Each on a line of its own, and on no other's. */
static struct {
    atomic_uint turn __attribute__((aligned(128)));
} ball, echo;

#define ROUNDS 1000u
#define TRIES 200u

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *return_ball(void *cpu)
{
    pin(*(int *)cpu);
    for (unsigned i = 1; i <= ROUNDS * TRIES; i++) {
        while (atomic_load_explicit(&ball.turn, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&echo.turn, i, memory_order_release);
    }
    return NULL;
}

static int measure_pair(int peer)
{
    double best = 1;
    pthread_t thread;
    unsigned i = 1;

    if (pthread_create(&thread, NULL, return_ball, &peer) != 0)
        return 1;
    for (unsigned t = 0; t < TRIES; t++) {
        double start = now();

        for (unsigned end = i + ROUNDS; i < end; i++) {
            atomic_store_explicit(&ball.turn, i, memory_order_release);
            while (atomic_load_explicit(&echo.turn, memory_order_acquire) != i)
                ;
        }
        if (now() - start < best)
            best = now() - start;
    }
    pthread_join(thread, NULL);
    printf("%.0f\n", best / ROUNDS * 1e9);
    return 0;
}

struct options {
    double ratio, seconds;
    int cpu, pair;
    bool serve;
};

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {
        {"cpu", required_argument, NULL, 'c'},     {"ratio", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"serve", no_argument, NULL, 'l'},
        {"pair", required_argument, NULL, 'p'},    {NULL, 0, NULL, 0}};
    int opt;

    *o = (struct options){.ratio = 2.0, .seconds = 0.3, .cpu = -1, .pair = -1};
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'c')
            o->cpu = atoi(optarg);
        else if (opt == 'r')
            o->ratio = atof(optarg);
        else if (opt == 's')
            o->seconds = atof(optarg);
        else if (opt == 'l')
            o->serve = true;
        else if (opt == 'p')
            o->pair = atoi(optarg);
        else
            return -1;
    }
    return 0;
}

static int prepare(struct bench *b)
{
    static const uint8_t key[32] __attribute__((aligned(64))) = {7};
    IMB_ARCH arch;

    b->src = aligned_alloc(4096, REGION);
    b->dst = aligned_alloc(4096, REGION);
    b->packed = malloc((size_t)PAYLOADS * BLOCK);
    b->mb = alloc_mb_mgr(0);
    if (b->src == NULL || b->dst == NULL || b->packed == NULL || b->mb == NULL ||
        hg_inflate_create(&b->inflate) != 0)
        return -1;
    init_mb_mgr_auto(b->mb, &arch);
    IMB_AES128_GCM_PRE(b->mb, key, &b->key128);
    IMB_AES256_GCM_PRE(b->mb, key, &b->key256);
    memset(b->src, 5, REGION);
    memset(b->dst, 6, REGION);
    return 0;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct options o;
    char line[64];
    double real;

    if (parse(argc, argv, &o) != 0)
        return 2;
    if (o.cpu >= 0)
        pin(o.cpu);
    if (o.pair >= 0)
        return measure_pair(o.pair);
    b.seconds = o.seconds;
    if (prepare(&b) != 0)
        return 1;
    real = make_payloads(&b, o.ratio);
    if (!o.serve)
        report(&b, real);
    while (o.serve && fgets(line, sizeof line, stdin) != NULL)
        report(&b, real);
    return 0;
}
