/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MLDv2 (RFC 3810), the listener's half for the solicited-node groups of our addresses: without
 * reports a switch that snoops would keep solicitations from us. All groups fit one report. Version
 * 1 queries are answered with version 2 reports too: what snoops today understands them.
 */
#include "net_int.h"
#include <netinet/in.h>

#define REPORTS 2              /* RFC 3810 9.1: robustness variable */
#define REPORT_GAP HG_SEC(1)   /* RFC 3810 9.11: unsolicited report interval */
#define ANSWER_DELAY HG_SEC(1) /* spread of answers to a query, at most */
#define RECORD 20u             /* type, aux length, sources, group */
#define HOP_BY_HOP 8u

enum { MODE_IS_EXCLUDE = 2, CHANGE_TO_EXCLUDE = 4 }; /* RFC 3810 5.2.12 */

void mld_changed(struct hg_net *net, hg_ns now)
{
    net->mld_left = REPORTS;
    net->mld_at = now;
}

uint64_t *mld_query_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now)
{
    /* RFC 3810 5.1.14, 6.2: from a link-local address, and it cannot have come from afar. */
    if (msg->len < 24 || !net_ip6_is_link_local(&msg->ip->src) || msg->ip->hops != 1)
        return &net->c.rx_nd_bad;
    if (net->mld_left == 0) {
        net->mld_left = 1;
        net->mld_at = now + net_random(net, ANSWER_DELAY);
    }
    return &net->c.rx_mld_query;
}

static bool has_group(const uint8_t *records, unsigned n, const struct hg_ip *group)
{
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(records + i * RECORD + 4, group, sizeof *group) == 0)
            return true;
    }
    return false;
}

/* Two addresses may share a group. Returns how many there are. */
static unsigned fill(const struct hg_net *net, uint8_t *records, uint8_t type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < net->n_addr; i++) {
        struct hg_ip group = addr_solicited_node(&net->addr[i].ip);

        if (hg_ip_is_v4(&net->addr[i].ip) || has_group(records, n, &group))
            continue;
        records[n * RECORD] = type;
        memcpy(records + n * RECORD + 4, &group, sizeof group);
        n++;
    }
    return n;
}

/* RFC 3810 5: hop limit 1 and a router alert option, so that routers look at it. */
static void report(struct hg_net *net, uint8_t type)
{
    static const uint8_t alert[HOP_BY_HOP] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
    static const struct hg_ip all_mld_routers = {{0xff, 0x02, [15] = 0x16}}, none;
    const struct addr *addr = addr_link_local(net);
    struct net_l3 ip = {.src = addr != NULL ? &addr->ip : &none, /* RFC 3590 4 */
                        .dst = &all_mld_routers,
                        .proto = IPPROTO_HOPOPTS,
                        .hops = 1};
    uint8_t records[ADDR_MAX * RECORD] = {0};
    unsigned n = fill(net, records, type), len = 8 + n * RECORD;
    struct rte_mbuf *m = n > 0 ? net_alloc(net, len) : NULL;
    uint8_t *p;

    if (m == NULL)
        return;
    p = rte_pktmbuf_mtod(m, uint8_t *);
    p[0] = ICMP6_MLD2_REPORT;
    p[7] = (uint8_t)n;
    memcpy(p + 8, records, n * RECORD);
    icmp6_sum(m, &ip);
    memcpy(rte_pktmbuf_prepend(m, HOP_BY_HOP), alert, HOP_BY_HOP);
    net->c.tx_mld_report++;
    icmp6_send(net, m, &ip, NULL);
}

void mld_poll(struct hg_net *net, hg_ns now)
{
    if (net->mld_left == 0 || now < net->mld_at || !net->ip6 || !net->link)
        return;
    if (net->queue == 0)
        report(net, net->mld_left == REPORTS ? CHANGE_TO_EXCLUDE : MODE_IS_EXCLUDE);
    net->mld_left--;
    net->mld_at = now + REPORT_GAP;
}
