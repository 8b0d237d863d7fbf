/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sequence of bytes that repeats, made once and sent from where it lies. The memory holds one
 * period and a piece more, so that a piece from any position is contiguous.
 */
#ifndef HG_LIB_TESTSVC_PATTERN_H
#define HG_LIB_TESTSVC_PATTERN_H

#include <headgate/testsvc.h>

#define PATTERN_CHARGEN_LINE 74u                            /* bytes: 72 characters, CR, LF */
#define PATTERN_CHARGEN_PERIOD (95u * PATTERN_CHARGEN_LINE) /* bytes */
#define PATTERN_BODY_PERIOD 65521u /* bytes; a prime, unlike packet sizes */

struct pattern {
    uint8_t *mem;    /* owned */
    rte_iova_t iova; /* of mem; contiguous: see MEM_SIZE */
    uint32_t period;
    /* Each packet buffer that points at mem holds a reference; ours is the first. Sixteen bits are
     * enough: references are bounded by the services' packet buffers and the port's descriptors. */
    struct rte_mbuf_ext_shared_info shared;
};

typedef uint8_t pattern_fn(uint32_t i);

/* fn(i) for 0 <= i < period. 0 or -ENOMEM. */
int pattern_create(struct pattern *p, uint32_t period, pattern_fn *fn, int socket);
void pattern_destroy(struct pattern *p);

/* RFC 864's suggestion: 72 of the 95 printable characters a line, each line begins one further. */
uint8_t pattern_chargen_byte(uint32_t i);
/* P(i) of testsvc.h. */
uint8_t pattern_body_byte(uint32_t i);

/* Points out at the bytes from position `at` of the endless sequence; returns how many: `want`,
 * out->max or HG_TESTSVC_PIECE_MAX, whichever is least. */
uint32_t pattern_point(struct pattern *p, uint64_t at, uint64_t want, struct hg_testsvc_out *out);

#endif /* HG_LIB_TESTSVC_PATTERN_H */
