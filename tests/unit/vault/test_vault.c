/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for secrets: an allocator that many threads use at once, and what the system is told of it.
 * Takes its seed as argument. */
#include "vault.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define ROUNDS 60000
#define HELD 200

static uint64_t seed = 1;

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* ---- what the system knows ---- */

/* The VmFlags line of the mapping that p lies in. */
static void flags_of(const void *p, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;

    *out = '\0';
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = (unsigned long)p >= from && (unsigned long)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(out, size, "%s", line);
    }
    if (f != NULL)
        fclose(f);
}

static void check_mapping(void *p)
{
    char flags[512];

    flags_of(p, flags, sizeof flags);
    CU_ASSERT_PTR_NOT_NULL(strstr(flags, " dd"));
    if (vault_info().unlocked == 0)
        CU_ASSERT_PTR_NOT_NULL(strstr(flags, " lo"));
}

static void test_mapping(void)
{
    void *small = vault_alloc(100), *large = vault_alloc(3000000), *heap = malloc(100);
    char flags[512];

    CU_ASSERT_FATAL(small != NULL && large != NULL && heap != NULL);
    check_mapping(small);
    check_mapping(large);
    check_mapping((char *)large + 2999999);
    flags_of(heap, flags, sizeof flags); /* the check can fail */
    CU_ASSERT_PTR_NULL(strstr(flags, " dd"));
    vault_free(small);
    vault_free(large);
    free(heap);
}

static void test_openssl(void)
{
    void *p = OPENSSL_malloc(48), *s;

    CU_ASSERT_FATAL(p != NULL);
    check_mapping(p);
    s = OPENSSL_realloc(p, 5000);
    CU_ASSERT_FATAL(s != NULL);
    check_mapping(s);
    OPENSSL_free(s);
    CU_ASSERT_PTR_NULL(OPENSSL_malloc(0));
}

/* ---- contents ---- */

/* A block that comes back is erased, whatever way it went. */
static void test_erased(void)
{
    for (size_t size = 1; size < 200000; size = size * 5 / 4 + 1) {
        uint8_t *p = vault_alloc(size), *q;

        CU_ASSERT_FATAL(p != NULL && (uintptr_t)p % 16 == 0);
        for (size_t i = 0; i < size; i++)
            CU_ASSERT_FATAL(p[i] == 0);
        memset(p, 0xa5, size);
        q = vault_resize(p, size * 2);
        CU_ASSERT_FATAL(q != NULL);
        for (size_t i = 0; i < size; i++)
            CU_ASSERT_FATAL(q[i] == 0xa5);
        memset(q, 0x5a, size * 2);
        p = vault_resize(q, size / 2 + 1);
        CU_ASSERT_PTR_EQUAL(p, q);
        vault_free(p);
    }
}

/* ---- many threads ---- */

struct held {
    uint8_t *p;
    size_t size;
    uint8_t mark;
};

static _Atomic(struct held *) hand_over; /* from whichever thread to whichever other */

static void check_and_free(struct held *h)
{
    for (size_t i = 0; i < h->size; i++)
        if (h->p[i] != h->mark)
            abort(); /* somebody else wrote into it */
    vault_free(h->p);
    free(h);
}

static struct held *make(uint64_t *rand)
{
    struct held *h = malloc(sizeof *h);

    h->size = 1 + next_random(rand) % (next_random(rand) % 50 == 0 ? 150000 : 3000);
    h->mark = (uint8_t)next_random(rand);
    h->p = vault_alloc(h->size);
    if (h->p == NULL)
        abort();
    memset(h->p, h->mark, h->size);
    return h;
}

static void *worker(void *arg)
{
    uint64_t rand = seed + (uintptr_t)arg;
    struct held *held[HELD] = {NULL};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct held **slot = &held[next_random(&rand) % HELD];

        if (*slot != NULL && next_random(&rand) % 4 == 0)
            *slot = atomic_exchange(&hand_over, *slot);
        if (*slot != NULL)
            check_and_free(*slot);
        *slot = make(&rand);
    }
    for (unsigned i = 0; i < HELD; i++)
        if (held[i] != NULL)
            check_and_free(held[i]);
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread[THREADS];
    uint64_t mapped = 0;

    printf("\n    seed %llu ", (unsigned long long)seed);
    for (unsigned round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < THREADS; i++)
            CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, worker, (void *)(i + 1)), 0);
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        if (round == 0)
            mapped = vault_info().mapped;
    }
    CU_ASSERT(vault_info().mapped <= 2 * mapped); /* what was freed is used again */
    if (atomic_load(&hand_over) != NULL)
        check_and_free(atomic_load(&hand_over));
}

int main(int argc, char **argv)
{
    unsigned failed;
    CU_pSuite suite;

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (vault_open(NULL) != 0 || CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("vault", NULL, NULL);
    CU_add_test(suite, "its memory is left out of core dumps, and locked", test_mapping);
    CU_add_test(suite, "OpenSSL's memory comes from it", test_openssl);
    CU_add_test(suite, "what is freed is erased", test_erased);
    CU_add_test(suite, "threads have their blocks to themselves", test_threads);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + (CU_get_number_of_tests_run() != 4);
    CU_cleanup_registry();
    return failed != 0;
}
