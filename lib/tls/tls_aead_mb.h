/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the ipsec-mb provider: its keys, and records as jobs. */
#ifndef HEADGATE_TLS_AEAD_MB_H
#define HEADGATE_TLS_AEAD_MB_H

#include "tls_aead.h"
#include <assert.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <string.h>

union hg_tls_mb_key {
    struct gcm_key_data gcm;
    uint8_t chacha[HG_TLS_KEY_MAX];
};

static_assert(sizeof(union hg_tls_mb_key) <= HG_TLS_AEAD_STATE, "the expanded key fits the state");
static_assert(alignof(union hg_tls_mb_key) <= 64, "the state is aligned for the expanded key");

static inline union hg_tls_mb_key *hg_tls_mb_key_of(struct hg_tls_aead *a)
{
    return (union hg_tls_mb_key *)(void *)a->state;
}

/* Whether the record's text is in one piece, so that one call does all of it. */
static inline bool hg_tls_mb_whole(const struct hg_tls_aead_op *op)
{
    return op->tail_len == 0 && op->in.n != 0 && op->in.v->len - op->in.off >= op->len;
}

/* Takes no longer or shorter for where they differ. */
static inline bool hg_tls_mb_same_tag(const uint8_t *a, const uint8_t *b)
{
    uint64_t x[2], y[2];

    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* Compares the tag that comes next in op->in, which has nearly always all of it in one piece. */
static inline int hg_tls_mb_check(struct hg_tls_aead_op *op, const uint8_t *computed)
{
    uint8_t copy[HG_TLS_TAG];
    const uint8_t *sent = copy;

    if (op->in.n != 0 && op->in.v->len - op->in.off >= HG_TLS_TAG)
        sent = op->in.v->base + op->in.off;
    else if (hg_tls_cur_copy(&op->in, copy, HG_TLS_TAG) != HG_TLS_TAG)
        return -EBADMSG;
    return hg_tls_mb_same_tag(sent, computed) ? 0 : -EBADMSG;
}

/* ---- tls_aead_jobs.c ---- */

/* n records (<= HG_TLS_AEAD_BATCH) in one piece each, whose keys have the same direction. */
void hg_tls_mb_jobs(struct hg_tls_aead_op *op, unsigned n);

#endif /* HEADGATE_TLS_AEAD_MB_H */
