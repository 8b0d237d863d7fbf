/* SPDX-License-Identifier: BSD-3-Clause */
#include "alloc_count.h"
#include <stdlib.h>

/* glibc's allocator under the names it keeps for interposers like this one. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static unsigned long count;

void alloc_count_start(void)
{
}

unsigned long alloc_count(void)
{
    return count;
}

void *malloc(size_t size)
{
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    count++;
    return __libc_realloc(p, size);
}
