/* SPDX-License-Identifier: BSD-3-Clause */
/* The two address functions that TCP uses of lib/net, so that its tests link without it. */
#include <headgate/net.h>
#include <string.h>

bool hg_ip_equal(const struct hg_ip *a, const struct hg_ip *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool hg_ip_is_v4(const struct hg_ip *ip)
{
    static const uint8_t prefix[12] = {[10] = 0xff, 0xff};

    return memcmp(ip->b, prefix, sizeof prefix) == 0;
}
