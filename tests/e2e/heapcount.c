/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts heap calls of shard threads: loaded with LD_PRELOAD, it keeps the counts in the file that
 * HEAPCOUNT_FILE names (two little-endian 64-bit numbers: calls by shard threads, calls by all), so
 * that a test can read them while the daemon runs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names for what is interposed. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *ptr);

struct counts {
    atomic_uint_fast64_t shard, all;
};

static struct counts nowhere;
static struct counts *counts = &nowhere;
static _Thread_local int role; /* 0 unknown, 1 shard, 2 other */

__attribute__((constructor)) static void open_counts(void)
{
    const char *path = getenv("HEAPCOUNT_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map;

    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0)
        return;
    map = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        counts = map;
}

/* EAL names its workers lcore-worker-N (22.11) or dpdk-worker-N (since 23.11), but only after they
 * have started; so an unknown name is asked for again. */
static void count(void)
{
    if (role != 1) {
        char name[16] = "";

        pthread_getname_np(pthread_self(), name, sizeof name);
        role = strstr(name, "-worker") != NULL ? 1 : 2;
    }
    if (role == 1)
        atomic_fetch_add(&counts->shard, 1);
    atomic_fetch_add(&counts->all, 1);
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *ptr, size_t size)
{
    count();
    return __libc_realloc(ptr, size);
}

void *memalign(size_t align, size_t size)
{
    count();
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    count();
    return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
    count();
    *out = __libc_memalign(align, size);
    return *out == NULL ? 12 : 0; /* ENOMEM */
}

void free(void *ptr)
{
    if (ptr != NULL)
        count();
    __libc_free(ptr);
}
