/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a path does to the bytes of a frame: reads ECN bits, marks CE, answers what is too big. Frames
 * are whatever was sent, so every length is checked before it is used.
 */
#include <headgate/impair.h>
#include <string.h>

#define ETH_LEN 14u
#define VLAN_LEN 4u
#define ICMP_LEN 8u
#define V4_LEN 20u
#define V6_LEN 40u
#define V4_ANSWER_MAX 576u  /* RFC 1812 section 4.3.2.3 */
#define V6_ANSWER_MAX 1280u /* RFC 4443 section 2.4 (c) */
#define ECN_CE 3u

_Static_assert(HG_IMPAIR_ANSWER_MAX == ETH_LEN + VLAN_LEN + V6_ANSWER_MAX, "the longest answer");

/* The IP packet of a frame. */
struct ip {
    uint32_t l2_len;
    unsigned version;
    uint32_t len; /* as the IP header says, or what is at hand of it */
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static bool find_ip(const uint8_t *frame, uint32_t len, struct ip *ip)
{
    ip->l2_len = ETH_LEN;
    if (len >= ETH_LEN + VLAN_LEN && get16(frame + 12) == 0x8100)
        ip->l2_len += VLAN_LEN;
    if (len < ip->l2_len + V4_LEN)
        return false;
    const uint8_t *p = frame + ip->l2_len;
    uint16_t type = get16(p - 2);
    ip->version = p[0] >> 4;
    if (type == 0x0800 && ip->version == 4) {
        ip->len = get16(p + 2);
    } else if (type == 0x86dd && ip->version == 6 && len >= ip->l2_len + V6_LEN) {
        ip->len = V6_LEN + get16(p + 4);
    } else {
        return false;
    }
    if (ip->len > len - ip->l2_len)
        ip->len = len - ip->l2_len;
    return ip->len >= V4_LEN;
}

bool hg_impair_frame_ect(const uint8_t *frame, uint32_t len)
{
    struct ip ip;

    if (!find_ip(frame, len, &ip))
        return false;
    const uint8_t *p = frame + ip.l2_len;
    return (ip.version == 4 ? p[1] & 3 : p[1] >> 4 & 3) != 0;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}

void hg_impair_frame_mark_ce(uint8_t *frame, uint32_t len)
{
    struct ip ip;

    if (!find_ip(frame, len, &ip))
        return;
    uint8_t *p = frame + ip.l2_len;
    if (ip.version == 6) {
        p[1] |= ECN_CE << 4;
        return;
    }
    uint16_t old = get16(p);
    p[1] |= ECN_CE;
    /* RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). */
    uint32_t sum = (uint32_t)(uint16_t)~get16(p + 10) + (uint16_t)~old + get16(p);
    put16(p + 10, (uint16_t)~fold(sum));
}

static uint32_t sum_of(const uint8_t *p, uint32_t len)
{
    uint32_t sum = 0;

    for (; len > 1; p += 2, len -= 2)
        sum += get16(p);
    return len != 0 ? sum + (uint32_t)(p[0] << 8) : sum;
}

/* RFC 1122 section 3.2.2: no errors about errors, later fragments or group addresses. */
static bool v4_is_owed(const uint8_t *p, uint32_t len)
{
    uint32_t hlen = (uint32_t)(p[0] & 15) * 4;
    bool df = (p[6] & 0x40) != 0;
    bool later = (get16(p + 6) & 0x1fff) != 0;

    if (!df || later || hlen < V4_LEN || len < hlen + 8)
        return false;
    if (p[12] == 0 || p[12] >= 224 || p[16] >= 224)
        return false;
    return p[9] != 1 || p[hlen] == 0 || p[hlen] == 8;
}

/* RFC 4443 section 2.4 (e). */
static bool v6_is_owed(const uint8_t *p, uint32_t len)
{
    static const uint8_t none[16];

    if (p[8] == 0xff || memcmp(p + 8, none, 16) == 0 || p[24] == 0xff)
        return false;
    return p[6] != 58 || (len > V6_LEN && p[V6_LEN] >= 128);
}

static uint32_t v4_answer(const uint8_t *p, uint32_t len, uint16_t mtu, uint8_t *out)
{
    uint32_t quote =
        len < V4_ANSWER_MAX - V4_LEN - ICMP_LEN ? len : V4_ANSWER_MAX - V4_LEN - ICMP_LEN;
    uint8_t *icmp = out + V4_LEN;

    memset(out, 0, V4_LEN + ICMP_LEN);
    out[0] = 0x45;
    put16(out + 2, (uint16_t)(V4_LEN + ICMP_LEN + quote));
    out[8] = 64; /* TTL */
    out[9] = 1;  /* ICMP */
    memcpy(out + 12, p + 16, 4);
    memcpy(out + 16, p + 12, 4);
    put16(out + 10, (uint16_t)~fold(sum_of(out, V4_LEN)));
    icmp[0] = 3; /* destination unreachable, */
    icmp[1] = 4; /* fragmentation needed and DF set */
    put16(icmp + 6, mtu);
    memcpy(icmp + ICMP_LEN, p, quote);
    put16(icmp + 2, (uint16_t)~fold(sum_of(icmp, ICMP_LEN + quote)));
    return V4_LEN + ICMP_LEN + quote;
}

static uint32_t v6_answer(const uint8_t *p, uint32_t len, uint16_t mtu, uint8_t *out)
{
    uint32_t quote =
        len < V6_ANSWER_MAX - V6_LEN - ICMP_LEN ? len : V6_ANSWER_MAX - V6_LEN - ICMP_LEN;
    uint8_t *icmp = out + V6_LEN;

    memset(out, 0, V6_LEN + ICMP_LEN);
    out[0] = 0x60;
    put16(out + 4, (uint16_t)(ICMP_LEN + quote));
    out[6] = 58; /* ICMPv6 */
    out[7] = 64; /* hop limit */
    memcpy(out + 8, p + 24, 16);
    memcpy(out + 24, p + 8, 16);
    icmp[0] = 2; /* packet too big */
    put16(icmp + 6, mtu);
    memcpy(icmp + ICMP_LEN, p, quote);
    /* The pseudo-header of RFC 8200 section 8.1: addresses, length, next header. */
    uint32_t sum = sum_of(out + 8, 32) + ICMP_LEN + quote + 58;
    put16(icmp + 2, (uint16_t)~fold(sum + sum_of(icmp, ICMP_LEN + quote)));
    return V6_LEN + ICMP_LEN + quote;
}

uint32_t hg_impair_frame_too_big(const uint8_t *frame, uint32_t len, uint16_t mtu,
                                 uint8_t answer[HG_IMPAIR_ANSWER_MAX])
{
    struct ip ip;

    if (!find_ip(frame, len, &ip) || (frame[0] & 1) != 0)
        return 0;
    const uint8_t *p = frame + ip.l2_len;
    if (!(ip.version == 4 ? v4_is_owed(p, ip.len) : v6_is_owed(p, ip.len)))
        return 0;
    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, frame, 6);
    memcpy(answer + 12, frame + 12, ip.l2_len - 12);
    return ip.l2_len +
           (ip.version == 4 ? v4_answer : v6_answer)(p, ip.len, mtu, answer + ip.l2_len);
}
