/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for secrets: locked, left out of core dumps, erased when it is given back. All of OpenSSL's
 * allocations come from here, and with them our connections' keys (lib/tls takes them from OpenSSL).
 *
 * Any thread. No call waits for another thread, so a helper that loses its CPU holds up no shard.
 */
#ifndef HG_APP_VAULT_H
#define HG_APP_VAULT_H

#include <headgate/base.h>
#include <stdbool.h>

/* Gives OpenSSL this memory. Before anything uses OpenSSL. 0, or -EBUSY and a sentence. */
int vault_open(struct hg_err *err);

/* As malloc(), realloc() and free(); 16 bytes aligned. What is freed, or left behind by a move, is erased. */
void *vault_alloc(size_t size);
void *vault_resize(void *p, size_t size);
void vault_free(void *p);

#define VAULT_WARNING                                                                              \
    "memory with secrets may be swapped out: the limit of locked memory is too low; raise "        \
    "LimitMEMLOCK (ulimit -l) to unlimited"

struct vault_info {
    uint64_t mapped;   /* bytes taken from the system */
    uint64_t unlocked; /* bytes that could not be locked when they were: they may be swapped out */
};
struct vault_info vault_info(void);

#endif /* HG_APP_VAULT_H */
