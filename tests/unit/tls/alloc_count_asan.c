/* SPDX-License-Identifier: BSD-3-Clause */
#include "alloc_count.h"
#include <stddef.h>

/* From the sanitizers' allocator interface, which gcc does not ship as a header in C. */
extern int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *,
                                                                       size_t),
                                                     void (*on_free)(const volatile void *));

static unsigned long count;

static void on_malloc(const volatile void *p, size_t size)
{
    (void)p;
    (void)size;
    count++;
}

static void on_free(const volatile void *p)
{
    (void)p;
}

void alloc_count_start(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

unsigned long alloc_count(void)
{
    return count;
}
