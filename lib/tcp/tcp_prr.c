/* SPDX-License-Identifier: BSD-3-Clause */
/* PRR: see tcp_prr.h. */
#include "tcp_prr.h"

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t tcp_prr_window(struct tcp_prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                        uint32_t mss_if_progress)
{
    uint32_t more;

    prr->delivered += delivered;
    if (pipe > ssthresh) {
        uint64_t share = ((uint64_t)prr->delivered * ssthresh + prr->flight - 1) / prr->flight;
        more = share > prr->out ? (uint32_t)share - prr->out : 0;
    } else {
        uint32_t owed = prr->delivered > prr->out ? prr->delivered - prr->out : 0;
        uint32_t limit = (owed > delivered ? owed : delivered) + mss_if_progress;
        more = min32(ssthresh - pipe, limit);
    }
    return pipe + more;
}
