/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records in a byte stream that lies in pieces: a cursor over the pieces, and cutting the record at
 * the front of them. Pure functions on bytes; nothing is copied but the five bytes of the header.
 */
#ifndef HEADGATE_TLS_REC_STREAM_H
#define HEADGATE_TLS_REC_STREAM_H

#include <headgate/base.h>
#include <headgate/tls.h>

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

/* Copies up to len bytes out and passes over them; returns how many there were. */
uint32_t hg_tls_cur_copy(struct hg_tls_cur *c, uint8_t *dst, uint32_t len);

/* The record at the front of a stream. */
struct hg_tls_cut {
    uint8_t hdr[HG_TLS_RECORD_HEADER]; /* as received; the first `have` bytes are valid */
    uint32_t have;                     /* header bytes that are there, 0..5 */
    uint32_t len;                      /* bytes after the header; valid once have == 5 */
    struct hg_tls_cur body;            /* just after the header; valid once have == 5 */
};

/* 1: the whole record is there. 0: not yet; `have` tells what is known of the header. -EMSGSIZE:
 * the header says more than HG_TLS_MAX_CIPHERTEXT (RFC 8446 5.2: record_overflow). */
int hg_tls_rec_cut(const struct hg_iov *in, unsigned n, struct hg_tls_cut *cut);

#endif /* HEADGATE_TLS_REC_STREAM_H */
