/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP header and options: any bytes are read within their bounds, and what was accepted can be
 * built again and reads the same.
 */
#include "tcp_hdr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tcp_hdr h, again;
    uint8_t out[TCP_HDR_LEN_MAX];
    uint8_t *copy = malloc(size ? size : 1); /* of exactly that size, so that the sanitizer sees */

    check(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    int rc = tcp_hdr_parse(copy, (uint32_t)size, &h);
    free(copy);
    if (rc)
        return 0;
    check(h.len >= TCP_HDR_LEN && h.len <= TCP_HDR_LEN_MAX && h.len <= size);
    check(h.n_sack <= TCP_SACK_BLOCKS);
    if (h.has & TCP_HAS_WSCALE)
        check(h.wscale <= TCP_WSCALE_MAX);
    unsigned max = tcp_hdr_sack_max(&h);
    h.n_sack = (uint8_t)(h.n_sack < max ? h.n_sack : max);
    h.bsd_order = h.seq & 1; /* the builder's wish, which no header tells */
    unsigned len = tcp_hdr_build(out, &h);
    check(len == tcp_hdr_size(&h) && len <= TCP_HDR_LEN_MAX);
    check(tcp_hdr_parse(out, len, &again) == 0);
    check(again.seq == h.seq && again.ack == h.ack && again.flags == h.flags);
    check(again.wnd == h.wnd && again.has == h.has && again.n_sack == h.n_sack);
    check(memcmp(again.sack, h.sack, h.n_sack * sizeof h.sack[0]) == 0);
    return 0;
}
