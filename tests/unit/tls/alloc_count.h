/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts heap allocations of the whole program, libraries included. One file per way to do it: the
 * C library's allocator, or the address sanitizer's. */
#ifndef HEADGATE_TESTS_TLS_ALLOC_COUNT_H
#define HEADGATE_TESTS_TLS_ALLOC_COUNT_H

/* Call once before the first count. */
void alloc_count_start(void);
/* Allocations since the program started (libc) or since alloc_count_start() (sanitizer). */
unsigned long alloc_count(void);

#endif /* HEADGATE_TESTS_TLS_ALLOC_COUNT_H */
