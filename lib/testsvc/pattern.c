/* SPDX-License-Identifier: BSD-3-Clause */
#include "pattern.h"
#include <errno.h>
#include <rte_malloc.h>

#define CHARACTERS 95u /* ' ' to '~' */

/* A power of two, so that with that alignment it lies in one huge page, contiguous for devices. */
#define MEM_SIZE 131072u

_Static_assert(PATTERN_BODY_PERIOD + HG_TESTSVC_PIECE_MAX <= MEM_SIZE, "a piece from any place");
_Static_assert(PATTERN_CHARGEN_PERIOD + HG_TESTSVC_PIECE_MAX <= MEM_SIZE, "a piece from any place");

uint8_t pattern_chargen_byte(uint32_t i)
{
    uint32_t line = i / PATTERN_CHARGEN_LINE, column = i % PATTERN_CHARGEN_LINE;

    if (column >= PATTERN_CHARGEN_LINE - 2)
        return column == PATTERN_CHARGEN_LINE - 2 ? '\r' : '\n';
    return (uint8_t)(' ' + (line + column) % CHARACTERS);
}

uint8_t pattern_body_byte(uint32_t i)
{
    return (uint8_t)((i * 2654435761u) >> 24);
}

/* The memory goes with pattern_destroy(), not with the last packet. */
static void keep(void *addr, void *arg)
{
    (void)addr;
    (void)arg;
}

int pattern_create(struct pattern *p, uint32_t period, pattern_fn *fn, int socket)
{
    *p = (struct pattern){.period = period, .shared = {.free_cb = keep}};
    p->mem = rte_malloc_socket("hg_pattern", MEM_SIZE, MEM_SIZE, socket);
    if (p->mem == NULL)
        return -ENOMEM;
    p->iova = rte_malloc_virt2iova(p->mem);
    rte_mbuf_ext_refcnt_set(&p->shared, 1);
    for (uint32_t i = 0; i < period + HG_TESTSVC_PIECE_MAX; i++)
        p->mem[i] = fn(i % period);
    return 0;
}

void pattern_destroy(struct pattern *p)
{
    rte_free(p->mem);
}

uint32_t pattern_point(struct pattern *p, uint64_t at, uint64_t want, struct hg_testsvc_out *out)
{
    uint32_t len = out->max < HG_TESTSVC_PIECE_MAX ? out->max : HG_TESTSVC_PIECE_MAX;

    out->data = p->mem + at % p->period;
    out->shared = &p->shared;
    out->iova = p->iova + at % p->period;
    return want < len ? (uint32_t)want : len;
}
