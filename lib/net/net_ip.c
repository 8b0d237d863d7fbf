/* SPDX-License-Identifier: BSD-3-Clause */
/* IP addresses and their text forms (RFC 4291 2.5.5.2, RFC 5952). */
#include <headgate/net.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

_Static_assert(HG_IP_STRLEN == INET6_ADDRSTRLEN, "inet_ntop() writes at most this");

bool hg_ip_equal(const struct hg_ip *a, const struct hg_ip *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool hg_ip_is_v4(const struct hg_ip *ip)
{
    return memcmp(ip->b, v4_mapped, sizeof v4_mapped) == 0;
}

struct hg_ip hg_ip_from_v4(uint32_t host_order)
{
    uint32_t be = __builtin_bswap32(host_order);
    struct hg_ip ip;

    memcpy(ip.b, v4_mapped, sizeof v4_mapped);
    memcpy(ip.b + sizeof v4_mapped, &be, sizeof be);
    return ip;
}

uint32_t hg_ip_to_v4(const struct hg_ip *ip)
{
    uint32_t be;

    memcpy(&be, ip->b + sizeof v4_mapped, sizeof be);
    return __builtin_bswap32(be);
}

const char *hg_ip_str(const struct hg_ip *ip, char buf[HG_IP_STRLEN])
{
    if (hg_ip_is_v4(ip))
        inet_ntop(AF_INET, ip->b + sizeof v4_mapped, buf, HG_IP_STRLEN);
    else
        inet_ntop(AF_INET6, ip->b, buf, HG_IP_STRLEN);
    return buf;
}

int hg_ip_parse(const char *text, struct hg_ip *out)
{
    struct hg_ip ip;
    uint32_t be;

    if (inet_pton(AF_INET, text, &be) == 1) {
        *out = hg_ip_from_v4(__builtin_bswap32(be));
        return 0;
    }
    /* "::ffff:192.0.2.1" would be a second way to write an IPv4 address (RFC 4038 4.2). */
    if (inet_pton(AF_INET6, text, ip.b) != 1 || hg_ip_is_v4(&ip))
        return -EINVAL;
    *out = ip;
    return 0;
}

bool hg_ip_in(const struct hg_ip *ip, const struct hg_ip *net, unsigned len)
{
    bool v4 = hg_ip_is_v4(net);
    unsigned bits = v4 ? 96 + len : len, whole = bits / 8, rest = bits % 8;

    /* Without this ::/0 would be all of IPv4 as well, which is kept in mapped form. */
    if (hg_ip_is_v4(ip) != v4 || memcmp(ip->b, net->b, whole) != 0)
        return false;
    return rest == 0 || (ip->b[whole] ^ net->b[whole]) >> (8 - rest) == 0;
}

/* Decimal digits only: no sign, no space, no leading zero, all of which strtoul() would let pass. */
static int parse_len(const char *text, unsigned max, unsigned *out)
{
    unsigned n = 0;

    if (*text == '\0' || strlen(text) > 3 || (text[0] == '0' && text[1] != '\0'))
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        n = n * 10 + (unsigned)(*text - '0');
    }
    if (n > max)
        return -EINVAL;
    *out = n;
    return 0;
}

int hg_ip_parse_prefix(const char *text, struct hg_ip *out, unsigned *len)
{
    const char *slash = strchr(text, '/');
    char addr[INET6_ADDRSTRLEN];
    struct hg_ip ip;

    if (slash == NULL || (size_t)(slash - text) >= sizeof addr)
        return -EINVAL;
    memcpy(addr, text, (size_t)(slash - text));
    addr[slash - text] = '\0';
    if (hg_ip_parse(addr, &ip) != 0 || parse_len(slash + 1, hg_ip_is_v4(&ip) ? 32 : 128, len) != 0)
        return -EINVAL;
    *out = ip;
    return 0;
}
