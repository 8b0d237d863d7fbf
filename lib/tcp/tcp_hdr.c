/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP header and options: see tcp_hdr.h. */
#include "tcp_hdr.h"

#include <errno.h>
#include <headgate/endian.h>
#include <rte_branch_prediction.h>
#include <string.h>

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_TS = 8,
    OPT_UTO = 28
};
enum { OPT_MSS_LEN = 4, OPT_WSCALE_LEN = 3, OPT_SACK_OK_LEN = 2, OPT_TS_LEN = 10, OPT_UTO_LEN = 4 };

/* RFC 9293 3.1, as it lies on the wire. */
struct wire_hdr {
    hg_be16 sport, dport;
    hg_be32 seq, ack;
    uint8_t offset; /* header length in 32-bit words, upper four bits */
    uint8_t flags;
    hg_be16 wnd, csum, urg;
};
_Static_assert(sizeof(struct wire_hdr) == TCP_HDR_LEN, "header without options");

static uint16_t get16(const uint8_t *p)
{
    hg_be16 v;
    memcpy(&v, p, sizeof v);
    return hg_be16_get(v);
}

static uint32_t get32(const uint8_t *p)
{
    hg_be32 v;
    memcpy(&v, p, sizeof v);
    return hg_be32_get(v);
}

static uint8_t *put16(uint8_t *p, uint16_t h)
{
    hg_be16 v = hg_be16_put(h);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static uint8_t *put32(uint8_t *p, uint32_t h)
{
    hg_be32 v = hg_be32_put(h);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static int parse_sack(const uint8_t *p, unsigned len, struct tcp_hdr *out)
{
    unsigned n = (len - 2) / 8;
    if (n < 1 || n > TCP_SACK_BLOCKS || len != 2 + 8 * n)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        out->sack[i].lo = get32(p + 2 + 8 * i);
        out->sack[i].hi = get32(p + 6 + 8 * i);
    }
    out->n_sack = (uint8_t)n;
    return 0;
}

/* One option of `len` bytes (kind and length included, all readable). A kind that we know must
 * have exactly its length; others are skipped (RFC 9293 3.2, MUST-6). */
static int parse_option(const uint8_t *p, unsigned len, struct tcp_hdr *out)
{
    switch (p[0]) {
    case OPT_MSS:
        if (len != OPT_MSS_LEN)
            return -EINVAL;
        out->mss = get16(p + 2);
        out->has |= TCP_HAS_MSS;
        return 0;
    case OPT_WSCALE:
        if (len != OPT_WSCALE_LEN)
            return -EINVAL;
        /* RFC 7323 2.3: a larger shift is used as 14. */
        out->wscale = p[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : p[2];
        out->has |= TCP_HAS_WSCALE;
        return 0;
    case OPT_SACK_OK:
        if (len != OPT_SACK_OK_LEN)
            return -EINVAL;
        out->has |= TCP_HAS_SACK_OK;
        return 0;
    case OPT_SACK:
        return parse_sack(p, len, out);
    case OPT_TS:
        if (len != OPT_TS_LEN)
            return -EINVAL;
        out->ts_val = get32(p + 2);
        out->ts_ecr = get32(p + 6);
        out->has |= TCP_HAS_TS;
        return 0;
    case OPT_UTO:
        if (len != OPT_UTO_LEN)
            return -EINVAL;
        out->uto = get16(p + 2);
        out->has |= TCP_HAS_UTO;
        return 0;
    default:
        return 0;
    }
}

static int parse_options(const uint8_t *p, const uint8_t *end, struct tcp_hdr *out)
{
    while (p < end && *p != OPT_END) {
        if (*p == OPT_NOP) {
            p++;
            continue;
        }
        /* RFC 9293 3.2, MUST-7: an illegal option length must not hurt us. */
        if (end - p < 2 || p[1] < 2 || p[1] > end - p)
            return -EINVAL;
        int rc = parse_option(p, p[1], out);
        if (rc)
            return rc;
        p += p[1];
    }
    return 0;
}

int tcp_hdr_parse(const uint8_t *p, uint32_t avail, struct tcp_hdr *out)
{
    struct wire_hdr w;

    if (unlikely(avail < TCP_HDR_LEN))
        return -EMSGSIZE;
    memcpy(&w, p, sizeof w);
    out->len = (uint8_t)((w.offset >> 4) * 4);
    if (unlikely(out->len < TCP_HDR_LEN || out->len > avail))
        return -EMSGSIZE;
    out->sport = hg_be16_get(w.sport);
    out->dport = hg_be16_get(w.dport);
    out->seq = hg_be32_get(w.seq);
    out->ack = hg_be32_get(w.ack);
    out->wnd = hg_be16_get(w.wnd);
    out->flags = w.flags;
    out->has = 0;
    out->n_sack = 0;
    /* RFC 7323 appendix A: the layout that nearly every segment of a connection has. */
    if (likely(out->len == TCP_HDR_LEN + 12 &&
               get32(p + TCP_HDR_LEN) ==
                   (OPT_NOP << 24 | OPT_NOP << 16 | OPT_TS << 8 | OPT_TS_LEN))) {
        out->ts_val = get32(p + TCP_HDR_LEN + 4);
        out->ts_ecr = get32(p + TCP_HDR_LEN + 8);
        out->has = TCP_HAS_TS;
        return 0;
    }
    return parse_options(p + TCP_HDR_LEN, p + out->len, out);
}

/* Every option is padded to a multiple of 4; SACK-permitted takes the place of the timestamps'
 * padding. */
static unsigned fixed_options(const struct tcp_hdr *hdr)
{
    return (hdr->has & TCP_HAS_MSS ? 4 : 0) + (hdr->has & TCP_HAS_UTO ? 4 : 0) +
           (hdr->has & TCP_HAS_WSCALE ? 4 : 0) +
           (hdr->has & TCP_HAS_TS        ? 12
            : hdr->has & TCP_HAS_SACK_OK ? 4
                                         : 0);
}

unsigned tcp_hdr_sack_max(const struct tcp_hdr *hdr)
{
    return (TCP_HDR_LEN_MAX - TCP_HDR_LEN - fixed_options(hdr) - 4) / 8;
}

unsigned tcp_hdr_size(const struct tcp_hdr *hdr)
{
    return TCP_HDR_LEN + fixed_options(hdr) + (hdr->n_sack ? 4u + 8u * hdr->n_sack : 0u);
}

static uint8_t *build_wscale(uint8_t *p, const struct tcp_hdr *hdr)
{
    if (!(hdr->has & TCP_HAS_WSCALE))
        return p;
    return put32(p, (uint32_t)OPT_NOP << 24 | OPT_WSCALE << 16 | OPT_WSCALE_LEN << 8 | hdr->wscale);
}

static uint8_t *build_sack_ok_ts(uint8_t *p, const struct tcp_hdr *hdr)
{
    bool sack_ok = hdr->has & TCP_HAS_SACK_OK;
    uint32_t pad = sack_ok ? OPT_SACK_OK << 8 | OPT_SACK_OK_LEN : OPT_NOP << 8 | OPT_NOP;

    if (hdr->has & TCP_HAS_TS) {
        p = put32(p, pad << 16 | OPT_TS << 8 | OPT_TS_LEN);
        p = put32(p, hdr->ts_val);
        return put32(p, hdr->ts_ecr);
    }
    return sack_ok ? put32(p, (uint32_t)(OPT_NOP << 8 | OPT_NOP) << 16 | pad) : p;
}

static uint8_t *build_sack(uint8_t *p, const struct tcp_hdr *hdr)
{
    if (!hdr->n_sack)
        return p;
    p = put32(p, (uint32_t)OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 | (2 + 8u * hdr->n_sack));
    for (unsigned i = 0; i < hdr->n_sack; i++) {
        p = put32(p, hdr->sack[i].lo);
        p = put32(p, hdr->sack[i].hi);
    }
    return p;
}

static void build_options(uint8_t *p, const struct tcp_hdr *hdr)
{
    if (hdr->has & TCP_HAS_MSS)
        p = put32(p, (uint32_t)OPT_MSS << 24 | OPT_MSS_LEN << 16 | hdr->mss);
    if (hdr->bsd_order)
        p = build_wscale(p, hdr);
    p = build_sack_ok_ts(p, hdr);
    if (!hdr->bsd_order)
        p = build_wscale(p, hdr);
    if (hdr->has & TCP_HAS_UTO)
        p = put32(p, (uint32_t)OPT_UTO << 24 | OPT_UTO_LEN << 16 | hdr->uto);
    build_sack(p, hdr);
}

unsigned tcp_hdr_build(uint8_t *p, const struct tcp_hdr *hdr)
{
    unsigned len = tcp_hdr_size(hdr);
    uint8_t *q = put16(p, hdr->sport);

    q = put16(q, hdr->dport);
    q = put32(q, hdr->seq);
    q = put32(q, hdr->ack);
    *q++ = (uint8_t)(len / 4 << 4);
    *q++ = hdr->flags;
    q = put16(q, hdr->wnd);
    q = put32(q, 0); /* checksum and urgent pointer */
    build_options(q, hdr);
    return len;
}
