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

#endif /* HEADGATE_TLS_MEM_H */
