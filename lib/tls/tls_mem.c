/* SPDX-License-Identifier: BSD-3-Clause */
/* The address that OpenSSL's allocator gave lies in the pointer's width before the aligned object. */
#include "tls_mem.h"
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#define ALIGN 64u

void *hg_tls_alloc(size_t size)
{
    uint8_t *raw = OPENSSL_zalloc(size + ALIGN + sizeof raw);
    uint8_t *p;

    if (raw == NULL)
        return NULL;
    p = raw + sizeof raw;
    p += -(uintptr_t)p % ALIGN;
    memcpy(p - sizeof raw, &raw, sizeof raw);
    return p;
}

void hg_tls_free(void *p, size_t size)
{
    uint8_t *raw;

    if (p == NULL)
        return;
    memcpy(&raw, (uint8_t *)p - sizeof raw, sizeof raw);
    OPENSSL_clear_free(raw, size + ALIGN + sizeof raw);
}
