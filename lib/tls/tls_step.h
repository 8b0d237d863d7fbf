/* SPDX-License-Identifier: BSD-3-Clause */
/* A step of the handshake as an object of its own; the invariants are at the head of tls_step.c. */
#ifndef HEADGATE_TLS_STEP_H
#define HEADGATE_TLS_STEP_H

#include "tls_hs.h"

struct hg_tls_step {
    struct hg_tls_ctx *ctx;        /* a reference: the connection may go meanwhile */
    struct hg_tls_hs *hs;          /* owned; NULL before the first step ran */
    struct hg_tls_counters count;  /* what this step counted; the shard's are not touched */
    struct hg_tls_traffic traffic; /* of a handshake that completed */
    const char *suite, *version;   /* of a handshake that completed; static strings */
    bool resumed;                  /* of a handshake that completed: by a ticket */
    int rc;                        /* 1 complete, 0 more is needed, or negative errno */
    int alert;                     /* complete, but to be refused with this alert; 0: not */
    uint32_t len;                  /* bytes of record; at most HG_TLS_MAX_RECORD */
    uint8_t record[];              /* header included */
};

/* A step for the whole record at the cursor; takes over hs (NULL: the first). NULL: no memory, and hs
 * is still the caller's. */
struct hg_tls_step *hg_tls_step_new(struct hg_tls_ctx *ctx, struct hg_tls_hs *hs,
                                    struct hg_tls_cur cur, uint32_t len);

#endif /* HEADGATE_TLS_STEP_H */
