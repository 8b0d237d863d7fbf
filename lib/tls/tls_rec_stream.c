/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_rec_stream.h"
#include <errno.h>
#include <string.h>

/* The header is nearly always in one piece. */
static bool header_in_one(struct hg_tls_cut *cut)
{
    struct hg_tls_cur *c = &cut->body;

    if (c->n == 0 || c->v->len < HG_TLS_RECORD_HEADER)
        return false;
    memcpy(cut->hdr, c->v->base, HG_TLS_RECORD_HEADER);
    cut->have = c->off = HG_TLS_RECORD_HEADER;
    return true;
}

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
static int has_bytes(const struct hg_tls_cur *c, uint32_t len)
{
    uint64_t want = (uint64_t)c->off + len, have = 0;

    for (unsigned i = 0; i < c->n && have < want; i++)
        have += c->v[i].len;
    return have >= want;
}

int hg_tls_rec_cut(const struct hg_iov *in, unsigned n, struct hg_tls_cut *cut)
{
    cut->body = (struct hg_tls_cur){.v = in, .n = n};
    if (!header_in_one(cut)) {
        cut->have = hg_tls_cur_copy(&cut->body, cut->hdr, HG_TLS_RECORD_HEADER);
        if (cut->have < HG_TLS_RECORD_HEADER)
            return 0;
    }
    cut->len = (uint32_t)cut->hdr[3] << 8 | cut->hdr[4];
    if (cut->len > HG_TLS_MAX_CIPHERTEXT)
        return -EMSGSIZE;
    return has_bytes(&cut->body, cut->len);
}
