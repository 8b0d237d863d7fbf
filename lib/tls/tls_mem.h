/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for objects that hold keys. It comes from OpenSSL's allocator, so that a program that gives
 * OpenSSL memory of its own (CRYPTO_set_mem_functions: locked, left out of core dumps) has all secrets
 * there, ours and OpenSSL's.
 */
#ifndef HEADGATE_TLS_MEM_H
#define HEADGATE_TLS_MEM_H

#include <stddef.h>

/* Zeroed, aligned to a cache line; NULL: no memory. */
void *hg_tls_alloc(size_t size);
/* Erases and frees; size as allocated. NULL is allowed. */
void hg_tls_free(void *p, size_t size);

/* After work with keys: erases what is left of them in vector registers and on the stack below the
 * caller. Otherwise the next variadic function writes registers to a stack that core dumps have. */
void hg_tls_scrub(void);

#endif /* HEADGATE_TLS_MEM_H */
