/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects in OpenSSL's memory. What its allocator returned lies before the aligned object. */
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

#define SCRUB_STACK 16384u /* bytes; what OpenSSL's key schedule and our records go down to */

#ifdef __x86_64__
/* The C library's copies use whatever the CPU has. */
static void scrub_registers(void)
{
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "memory");
    else
        __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm1, %%xmm1; pxor %%xmm2, %%xmm2;"
                         "pxor %%xmm3, %%xmm3; pxor %%xmm4, %%xmm4; pxor %%xmm5, %%xmm5;"
                         "pxor %%xmm6, %%xmm6; pxor %%xmm7, %%xmm7; pxor %%xmm8, %%xmm8;"
                         "pxor %%xmm9, %%xmm9; pxor %%xmm10, %%xmm10; pxor %%xmm11, %%xmm11;"
                         "pxor %%xmm12, %%xmm12; pxor %%xmm13, %%xmm13; pxor %%xmm14, %%xmm14;"
                         "pxor %%xmm15, %%xmm15" ::
                             : "memory");
    if (__builtin_cpu_supports("avx512f"))
        __asm__ volatile(".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                         "vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n"
                         ".endr" ::
                             : "memory");
}
#else
static void scrub_registers(void)
{
}
#endif

/* Not inlined: its frame lies where those of its forerunners lay. All vector registers are the callee's
 * to change, so the compiler keeps nothing in them across the call. */
__attribute__((noinline)) void hg_tls_scrub(void)
{
    uint8_t below[SCRUB_STACK];

    explicit_bzero(below, sizeof below);
    scrub_registers();
}
