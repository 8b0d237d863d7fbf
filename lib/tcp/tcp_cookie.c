/* SPDX-License-Identifier: BSD-3-Clause */
/* SYN cookies: see tcp_cookie.h. */
#include "tcp_cookie.h"

#include "tcp_hash.h"

#include <string.h>

#define SLOT_SHIFT 30 /* where the slot is in a cookie */
#define MSS_SHIFT 26
#define MSS_MASK 15u
#define MAC_MASK ((1u << MSS_SHIFT) - 1)

#define TS_MASK ((1u << TCP_COOKIE_TS_BITS) - 1)
#define TS_WSCALE 15u /* shift; 15: no window scaling */
#define TS_SACK 16u
#define TS_ECN 32u
#define TS_ALWAYS 64u /* never in a timestamp: tells "no timestamps" from "no options" in the MAC */

/* Sizes in use: IPv4 and IPv6 without and with tunnels, PPPoE, and jumbo frames; between 1200 and
 * 1460 at most 4 % are lost by rounding. */
static const uint16_t mss_table[MSS_MASK + 1] = {64,   256,  536,  1000, 1220, 1260, 1300, 1340,
                                                 1380, 1400, 1420, 1440, 1452, 1460, 4036, 8940};

/* The MAC's input, without padding. */
struct message {
    struct hg_flow flow;
    uint32_t seq;
    uint16_t mss;
    uint16_t ts;
};
_Static_assert(sizeof(struct message) == 44, "no padding");

/* A key of its own for each slot, so that what one reveals is soon worth nothing. */
static void derive(const struct tcp_cookies *c, uint64_t slot, uint64_t key[2])
{
    uint64_t msg[2] = {slot, 0};

    for (unsigned i = 0; i < 2; i++) {
        msg[1] = i;
        key[i] = tcp_siphash(c->secret, msg, sizeof msg);
    }
}

static void turn(struct tcp_cookies *c, hg_ns now)
{
    uint64_t slot = now >> TCP_COOKIE_SLOT_SHIFT;

    if (slot == c->slot && (c->key[0][0] | c->key[0][1]))
        return;
    c->slot = slot;
    derive(c, slot, c->key[0]);
    derive(c, slot - 1, c->key[1]);
}

static unsigned mss_index(uint16_t mss)
{
    unsigned i = MSS_MASK;

    while (i && mss_table[i] > mss)
        i--;
    return i;
}

static uint64_t mac_of(const uint64_t key[2], const struct hg_flow *flow, uint32_t seq,
                       unsigned index, unsigned ts)
{
    struct message msg = {*flow, seq, (uint16_t)index, (uint16_t)ts};

    return tcp_siphash(key, &msg, sizeof msg);
}

static void fill(struct tcp_cookie *out, uint64_t mac)
{
    out->mac = mac ? mac : 1; /* zero means an empty entry */
    out->ts_offset = (uint32_t)(mac >> 32);
}

void tcp_cookie_make(struct tcp_cookies *c, const struct hg_flow *flow,
                     const struct tcp_cookie_syn *syn, hg_ns now, struct tcp_cookie *out)
{
    unsigned index = mss_index(syn->mss), ts = 0;

    turn(c, now);
    c->good_to = c->slot + 1;
    *out = (struct tcp_cookie){.syn = *syn};
    out->syn.mss = mss_table[index];
    if (syn->has & TCP_HAS_TS) {
        ts = syn->has & TCP_HAS_WSCALE ? syn->wscale : TS_WSCALE;
        ts |= syn->has & TCP_HAS_SACK_OK ? TS_SACK : 0;
        ts |= syn->ecn ? TS_ECN : 0;
        out->ts_bits = (uint8_t)ts;
        ts |= TS_ALWAYS;
    } else {
        out->syn.has &= (uint8_t) ~(TCP_HAS_WSCALE | TCP_HAS_SACK_OK);
        out->syn.ecn = false;
    }
    fill(out, mac_of(c->key[0], flow, syn->seq, index, ts));
    out->iss =
        (uint32_t)(c->slot << SLOT_SHIFT) | index << MSS_SHIFT | ((uint32_t)out->mac & MAC_MASK);
}

static void read_options(unsigned ts, struct tcp_cookie_syn *syn)
{
    syn->has |= TCP_HAS_TS;
    syn->ecn = ts & TS_ECN;
    if (ts & TS_SACK)
        syn->has |= TCP_HAS_SACK_OK;
    if ((ts & TS_WSCALE) != TS_WSCALE) {
        syn->has |= TCP_HAS_WSCALE;
        syn->wscale = ts & TS_WSCALE;
    }
}

bool tcp_cookie_check(struct tcp_cookies *c, const struct hg_flow *flow, const struct tcp_hdr *ack,
                      hg_ns now, struct tcp_cookie *out)
{
    uint32_t cookie = ack->ack - 1;
    unsigned index = cookie >> MSS_SHIFT & MSS_MASK, ts = 0;

    turn(c, now);
    unsigned age = (unsigned)(c->slot - (cookie >> SLOT_SHIFT)) & 3;
    if (age > 1)
        return false;
    *out = (struct tcp_cookie){
        .iss = cookie,
        .syn = {.seq = ack->seq - 1, .mss = mss_table[index], .has = TCP_HAS_MSS},
    };
    if (ack->has & TCP_HAS_TS) {
        read_options(ack->ts_ecr & TS_MASK, &out->syn);
        ts = (ack->ts_ecr & TS_MASK) | TS_ALWAYS;
    }
    fill(out, mac_of(c->key[age], flow, out->syn.seq, index, ts));
    return !(((uint32_t)out->mac ^ cookie) & MAC_MASK) &&
           c->used[out->mac & (TCP_COOKIE_USED - 1)] != out->mac;
}

void tcp_cookie_redeem(struct tcp_cookies *c, uint64_t mac)
{
    c->used[mac & (TCP_COOKIE_USED - 1)] = mac;
}

bool tcp_cookie_expected(const struct tcp_cookies *c, hg_ns now)
{
    return c->good_to && now >> TCP_COOKIE_SLOT_SHIFT <= c->good_to;
}

uint32_t tcp_cookie_ts(uint32_t clock, uint8_t bits)
{
    uint32_t ts = (clock & ~TS_MASK) | bits;

    return (int32_t)(ts - clock) > 0 ? ts - TS_MASK - 1 : ts;
}
