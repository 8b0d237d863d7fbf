/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records in a byte stream that lies in pieces: a cursor over the pieces, and cutting the record at
 * the front of them. Pure functions on bytes; nothing is copied but the five bytes of the header.
 */
#ifndef HEADGATE_TLS_REC_STREAM_H
#define HEADGATE_TLS_REC_STREAM_H

#include <errno.h>
#include <headgate/base.h>
#include <headgate/tls.h>
#include <stdalign.h>
#include <string.h>

/* Content types, RFC 8446 B.1. */
enum hg_tls_type {
    HG_TLS_TYPE_CCS = 20,
    HG_TLS_TYPE_ALERT = 21,
    HG_TLS_TYPE_HANDSHAKE = 22,
    HG_TLS_TYPE_DATA = 23,
};

/* A place in a scatter list. The list belongs to the caller and outlives the cursor. */
struct hg_tls_cur {
    const struct hg_iov *v; /* the current piece */
    unsigned n;             /* pieces left, the current one included */
    uint32_t off;           /* bytes of the current piece that are behind the cursor */
};

/* Passes over at most `want` bytes that lie in one piece; *p is where they start. Returns how many,
 * 0 only at the end of the list or for want == 0. */
static inline uint32_t hg_tls_cur_run(struct hg_tls_cur *c, uint32_t want, const uint8_t **p)
{
    uint32_t run;

    while (c->n != 0 && c->off == c->v->len) {
        c->v++;
        c->n--;
        c->off = 0;
    }
    if (c->n == 0)
        return 0;
    run = c->v->len - c->off;
    run = run < want ? run : want;
    *p = c->v->base + c->off;
    c->off += run;
    return run;
}

/* Whether there are len bytes after the cursor. */
bool hg_tls_cur_has(const struct hg_tls_cur *c, uint32_t len);

/* Copies up to len bytes out and passes over them; returns how many there were. */
uint32_t hg_tls_cur_copy(struct hg_tls_cur *c, uint8_t *dst, uint32_t len);

/* The record at the front of a stream. */
struct hg_tls_cut {
    /* As received; the first `have` bytes are valid. Written as 8 bytes at once where they can be read
     * as 8: a processor waits when it reads in one what it has just written in two. */
    alignas(8) uint8_t hdr[8];
    uint32_t have;          /* header bytes that are there, 0..5 */
    uint32_t len;           /* bytes after the header; valid once have == 5 */
    struct hg_tls_cur body; /* just after the header; valid once have == 5 */
};

/* For hg_tls_rec_head(). */
bool hg_tls_rec_head_in_pieces(struct hg_tls_cut *cut);

/* Takes the header alone; false: not all of it is there. It is nearly always in one piece. */
static inline bool hg_tls_rec_head(const struct hg_iov *in, unsigned n, struct hg_tls_cut *cut)
{
    uint32_t four;
    uint64_t hdr;

    cut->body = (struct hg_tls_cur){.v = in, .n = n, .off = HG_TLS_RECORD_HEADER};
    if (n == 0 || in->len < HG_TLS_RECORD_HEADER) {
        cut->body.off = 0;
        return hg_tls_rec_head_in_pieces(cut);
    }
    memcpy(&four, in->base, sizeof four);
    hdr = four | (uint64_t)in->base[4] << 32;
    memcpy(cut->hdr, &hdr, sizeof cut->hdr);
    cut->len = (uint32_t)in->base[3] << 8 | in->base[4];
    cut->have = HG_TLS_RECORD_HEADER;
    return true;
}

/* 1: the whole record is there. 0: not yet; `have` tells what is known of the header. -EMSGSIZE:
 * the header says more than HG_TLS_MAX_CIPHERTEXT (RFC 8446 5.2: record_overflow). */
static inline int hg_tls_rec_cut(const struct hg_iov *in, unsigned n, struct hg_tls_cut *cut)
{
    if (!hg_tls_rec_head(in, n, cut))
        return 0;
    if (cut->len > HG_TLS_MAX_CIPHERTEXT)
        return -EMSGSIZE;
    /* Whether the piece that the header ends in holds all of it, before counting. */
    return cut->body.v->len - cut->body.off >= cut->len || hg_tls_cur_has(&cut->body, cut->len);
}

#endif /* HEADGATE_TLS_REC_STREAM_H */
