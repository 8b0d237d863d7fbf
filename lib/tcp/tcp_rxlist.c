/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_rxlist.h"

#include <assert.h>
#include <errno.h>
#include <rte_prefetch.h>
#include <stdlib.h>

int tcp_rxblks_create(struct tcp_rxblks *blks, uint32_t bufs, uint32_t conns)
{
    uint32_t n = bufs / TCP_RXLIST_BLOCK + 1 + 2 * (conns < bufs ? conns : bufs);

    *blks = (struct tcp_rxblks){.n = n};
    /* Ordinary memory, as it may never be touched. */
    blks->all = aligned_alloc(RTE_CACHE_LINE_SIZE, (size_t)n * sizeof blks->all[0]);
    return blks->all ? 0 : -ENOMEM;
}

void tcp_rxblks_destroy(struct tcp_rxblks *blks)
{
    free(blks->all);
}

static struct tcp_rxblk *get_block(struct tcp_rxblks *blks)
{
    struct tcp_rxblk *b = blks->free;

    if (likely(b != NULL)) {
        blks->free = b->next;
    } else {
        assert(blks->used < blks->n);
        b = &blks->all[blks->used++];
    }
    b->next = NULL;
    b->first = b->end = 0;
    return b;
}

void tcp_rxlist_push(struct tcp_rxlist *list, struct tcp_rxblks *blks, struct rte_mbuf *m)
{
    struct tcp_rxblk *b = list->tail;

    if (!b || b->end == TCP_RXLIST_BLOCK) {
        b = get_block(blks);
        if (list->tail)
            list->tail->next = b;
        else
            list->head = b;
        list->tail = b;
    }
    b->e[b->end++] = (struct tcp_rxent){m, rte_pktmbuf_mtod(m, uint8_t *), m->data_len};
}

struct rte_mbuf *tcp_rxlist_last(const struct tcp_rxlist *list)
{
    return list->tail ? list->tail->e[list->tail->end - 1].m : NULL;
}

void tcp_rxlist_grow(struct tcp_rxlist *list, uint32_t n)
{
    list->tail->e[list->tail->end - 1].len += n;
}

unsigned tcp_rxlist_peek(const struct tcp_rxlist *list, struct hg_iov *iov, unsigned max)
{
    unsigned n = 0;

    for (const struct tcp_rxblk *b = list->head; b && n < max; b = b->next) {
        for (uint32_t i = b->first; i < b->end && n < max; i++) {
            rte_prefetch0(b->e[i].data);
            rte_prefetch0(b->e[i].m); /* both lines: freeing it reads `next` */
            rte_mbuf_prefetch_part2(b->e[i].m);
            iov[n++] = (struct hg_iov){b->e[i].data, b->e[i].len};
        }
    }
    return n;
}

struct rte_mbuf *tcp_rxlist_take(struct tcp_rxlist *list, struct tcp_rxblks *blks, uint32_t *n)
{
    struct tcp_rxblk *b = list->head;
    struct tcp_rxent *e = &b->e[b->first];
    struct rte_mbuf *m = e->m;

    if (*n < e->len) {
        e->data += *n;
        e->len -= *n;
        *n = 0;
        return NULL;
    }
    *n -= e->len;
    if (++b->first == b->end) {
        list->head = b->next;
        if (!list->head)
            list->tail = NULL;
        b->next = blks->free;
        blks->free = b;
    }
    return m;
}
