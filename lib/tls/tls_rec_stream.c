/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_rec_stream.h"
#include <string.h>

uint32_t hg_tls_cur_copy(struct hg_tls_cur *c, uint8_t *dst, uint32_t len)
{
    uint32_t done = 0;

    while (done < len) {
        const uint8_t *p;
        uint32_t run = hg_tls_cur_run(c, len - done, &p);

        if (run == 0)
            break;
        memcpy(dst + done, p, run);
        done += run;
    }
    return done;
}

/* Stops as soon as the answer is known: a deep receive queue is not walked to its end. */
bool hg_tls_cur_has(const struct hg_tls_cur *c, uint32_t len)
{
    uint64_t want = (uint64_t)c->off + len, have = 0;

    for (unsigned i = 0; i < c->n && have < want; i++)
        have += c->v[i].len;
    return have >= want;
}

bool hg_tls_rec_head_in_pieces(struct hg_tls_cut *cut)
{
    memset(cut->hdr, 0, sizeof cut->hdr);
    cut->have = hg_tls_cur_copy(&cut->body, cut->hdr, HG_TLS_RECORD_HEADER);
    cut->len = (uint32_t)cut->hdr[3] << 8 | cut->hdr[4];
    return cut->have == HG_TLS_RECORD_HEADER;
}
