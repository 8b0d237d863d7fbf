/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our addresses: those of the configuration, the link-local one, and those made from router
 * advertisements.
 *
 *                 nobody answered                 preferred_to
 *   TENTATIVE ------------------------> PREFERRED -------------> DEPRECATED -- valid_to --> (removed)
 *      |   ^                                ^------- renewed ---------+
 *      |   | after 60 s, unless SLAAC
 *      +---+--> DUPLICATE
 *     conflict
 *
 *  1. A tentative or duplicate address is neither sent from nor answered for (RFC 4862 5.4, RFC 5227
 *     2.1): net_local() does not see it.
 *  2. While the link is down no probe is counted as sent; time begins with the link.
 *  3. Queue 0 sends the probes and announcements; the other queues let the longest time pass that it
 *     may take, and hear from the shard whose queue got an answer.
 *  4. An address in use that another host claims is kept and defended (RFC 5227 2.4(b)).
 */
#include "net_int.h"
#include <assert.h>
#include <errno.h>

#define PROBES4 3                  /* RFC 5227 1.1: PROBE_NUM */
#define PROBE_WAIT HG_SEC(1)       /* RFC 5227 1.1; RFC 4861 MAX_RTR_SOLICITATION_DELAY */
#define PROBE_MIN HG_SEC(1)        /* RFC 5227 1.1 */
#define PROBE_SPREAD HG_SEC(1)     /* RFC 5227: PROBE_MAX - PROBE_MIN */
#define ANNOUNCE_WAIT HG_SEC(2)    /* RFC 5227 1.1 */
#define PROBES6 1                  /* RFC 4862 5.1: DupAddrDetectTransmits */
#define RETRANS6 HG_SEC(1)         /* RFC 4861 10: RETRANS_TIMER */
#define ANNOUNCEMENTS 2            /* RFC 5227 ANNOUNCE_NUM */
#define ANNOUNCE_GAP HG_SEC(2)     /* RFC 5227 1.1 */
#define DEFEND_INTERVAL HG_SEC(10) /* RFC 5227 1.1 */
#define RETRY_DUPLICATE HG_SEC(60) /* RFC 5227 RATE_LIMIT_INTERVAL */

hg_ns net_random(struct hg_net *net, hg_ns max)
{
    /* xorshift64*: only to spread probes in time. */
    net->random ^= net->random >> 12;
    net->random ^= net->random << 25;
    net->random ^= net->random >> 27;
    return (net->random * UINT64_C(0x2545f4914f6cdd1d) >> 16) % (max + 1);
}

static const char *text(const struct addr *addr, char buf[HG_IP_STRLEN])
{
    return hg_ip_str(&addr->ip, buf);
}

struct addr *addr_find(struct hg_net *net, const struct hg_ip *ip)
{
    for (unsigned i = 0; i < net->n_addr; i++) {
        if (net_ip_same(&net->addr[i].ip, ip))
            return &net->addr[i];
    }
    return NULL;
}

bool hg_net_has(const struct hg_net *net, const struct hg_ip *ip)
{
    for (unsigned i = 0; i < net->n_addr; i++) {
        if (net_ip_same(&net->addr[i].ip, ip))
            return true;
    }
    return false;
}

const struct addr *addr_usable(struct hg_net *net, const struct hg_ip *ip)
{
    struct addr *addr = addr_find(net, ip);

    if (addr == NULL || addr->state < ADDR_DEPRECATED)
        return NULL;
    net->hit = (uint16_t)(addr - net->addr);
    net->hit4_be = net_ip_is_v4(ip) ? net_v4_be(ip) : 0;
    return addr;
}

const struct addr *addr_link_local(const struct hg_net *net)
{
    for (unsigned i = 0; i < net->n_addr; i++) {
        if (net->addr[i].origin == ADDR_LINK_LOCAL && net->addr[i].state >= ADDR_DEPRECATED)
            return &net->addr[i];
    }
    return NULL;
}

struct hg_ip addr_solicited_node(const struct hg_ip *ip)
{
    return (struct hg_ip){{0xff, 0x02, [11] = 1, [12] = 0xff, ip->b[13], ip->b[14], ip->b[15]}};
}

struct hg_ip addr_from_mac(const struct hg_ip *prefix, const struct rte_ether_addr *mac)
{
    struct hg_ip ip = *prefix;

    memcpy(ip.b + 8, mac->addr_bytes, 3);
    ip.b[8] ^= 2;
    ip.b[11] = 0xff;
    ip.b[12] = 0xfe;
    memcpy(ip.b + 13, mac->addr_bytes + 3, 3);
    return ip;
}

bool addr_in_group(const struct hg_net *net, const struct hg_ip *dst)
{
    static const struct hg_ip all_nodes = {{0xff, 0x02, [15] = 1}};

    if (net_ip_same(dst, &all_nodes))
        return true;
    for (unsigned i = 0; i < net->n_addr; i++) {
        struct hg_ip group = addr_solicited_node(&net->addr[i].ip);

        if (!hg_ip_is_v4(&net->addr[i].ip) && net_ip_same(dst, &group))
            return true;
    }
    return false;
}

/* ---- life ---- */

static void use(struct addr *addr, hg_ns now)
{
    addr->state =
        addr->preferred_to != 0 && addr->preferred_to <= now ? ADDR_DEPRECATED : ADDR_PREFERRED;
    addr->announce = ANNOUNCEMENTS;
    addr->at = now;
}

static void begin(struct hg_net *net, struct addr *addr, hg_ns now)
{
    addr->probes = 0;
    addr->announce = 0;
    net->hit4_be = 0;
    if (!hg_ip_is_v4(&addr->ip))
        mld_changed(net, now); /* RFC 4862 5.4.2: the group is joined before the probe */
    if (!net->dad) {
        use(addr, now);
        return;
    }
    addr->state = ADDR_TENTATIVE;
    addr->at = now + (net->queue == 0 ? net_random(net, PROBE_WAIT) : PROBE_WAIT);
}

struct addr *addr_add(struct hg_net *net, const struct hg_net_prefix *prefix,
                      enum addr_origin origin, hg_ns now)
{
    struct addr *addr;

    if (net->n_addr == ADDR_MAX)
        return NULL;
    addr = &net->addr[net->n_addr++];
    *addr = (struct addr){.ip = prefix->ip,
                          .len = (uint8_t)(prefix->len + (hg_ip_is_v4(&prefix->ip) ? 96 : 0)),
                          .origin = (uint8_t)origin};
    begin(net, addr, now);
    return addr;
}

static void remove_at(struct hg_net *net, unsigned i, hg_ns now)
{
    net->addr[i] = net->addr[--net->n_addr];
    net->addr[net->n_addr] = (struct addr){.state = ADDR_TENTATIVE};
    net->hit = 0;
    net->hit4_be = 0;
    mld_changed(net, now);
}

static void duplicate(struct hg_net *net, struct addr *addr, const struct rte_ether_addr *other,
                      hg_ns now)
{
    char ip[HG_IP_STRLEN], mac[RTE_ETHER_ADDR_FMT_SIZE];

    rte_ether_format_addr(mac, sizeof mac, other);
    addr->tell = true;
    addr->other = *other;
    addr->announce = 0;

    net->c.addr_duplicates++;
    addr->state = ADDR_DUPLICATE;
    net->hit4_be = 0;
    addr->at = addr->origin != ADDR_SLAAC ? now + RETRY_DUPLICATE : 0;
    hg_log_limited(&net->log, now, HG_LOG_ERR, "net",
                   "port %s: the host with MAC %s already uses %s: the address is NOT used here%s",
                   net->port->name, mac, text(addr, ip),
                   addr->at != 0 ? ", and tried again in 60 s" : "");
}

/* RFC 5227 2.4(b): defend it, but not in a war of broadcasts. */
static void defend(struct hg_net *net, struct addr *addr, const char *mac, hg_ns now)
{
    char ip[HG_IP_STRLEN];

    if (addr->defended != 0 && now - addr->defended < DEFEND_INTERVAL)
        return;
    addr->defended = now;
    hg_log_limited(&net->log, now, HG_LOG_WARN, "net",
                   "port %s: the host with MAC %s claims our address %s; one of the two must get "
                   "another",
                   net->port->name, mac, text(addr, ip));
    if (hg_ip_is_v4(&addr->ip))
        arp_announce(net, &addr->ip);
    else
        nd_announce(net, &addr->ip);
}

void addr_conflict(struct hg_net *net, struct addr *addr, const struct rte_ether_addr *mac,
                   hg_ns now)
{
    char who[RTE_ETHER_ADDR_FMT_SIZE];

    if (rte_is_same_ether_addr(mac, &net->port->mac))
        return; /* our own frame came back */
    rte_ether_format_addr(who, sizeof who, mac);
    net->c.addr_conflicts++;
    if (addr->state == ADDR_TENTATIVE)
        duplicate(net, addr, mac, now);
    else if (addr->state != ADDR_DUPLICATE)
        defend(net, addr, who, now);
}

void hg_net_duplicate(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                      hg_ns now)
{
    struct addr *addr = addr_find(net, ip);

    if (addr == NULL || addr->state == ADDR_DUPLICATE)
        return;
    duplicate(net, addr, mac, now);
    addr->tell = false; /* who told us tells the others */
}

bool addr_to_tell(struct hg_net *net, struct hg_neighbour *out)
{
    for (unsigned i = 0; i < net->n_addr; i++) {
        struct addr *addr = &net->addr[i];

        if (!addr->tell)
            continue;
        addr->tell = false;
        *out = (struct hg_neighbour){.ip = addr->ip, .mac = addr->other, .duplicate = true};
        return true;
    }
    return false;
}

/* ---- time ---- */

static void probe(struct hg_net *net, struct addr *addr, hg_ns now)
{
    bool v4 = hg_ip_is_v4(&addr->ip);

    if (addr->probes == (v4 ? PROBES4 : PROBES6)) {
        use(addr, now);
        return;
    }
    addr->probes++;
    if (net->queue == 0 && v4)
        arp_probe(net, &addr->ip);
    else if (net->queue == 0)
        nd_probe(net, &addr->ip);
    if (!v4)
        addr->at = now + RETRANS6;
    else if (addr->probes < PROBES4)
        addr->at =
            now + PROBE_MIN + (net->queue == 0 ? net_random(net, PROBE_SPREAD) : PROBE_SPREAD);
    else
        addr->at = now + ANNOUNCE_WAIT;
}

static void announce(struct hg_net *net, struct addr *addr, hg_ns now)
{
    if (net->queue == 0 && hg_ip_is_v4(&addr->ip))
        arp_announce(net, &addr->ip);
    else if (net->queue == 0)
        nd_announce(net, &addr->ip);
    addr->announce--;
    addr->at = addr->announce > 0 ? now + ANNOUNCE_GAP : 0;
}

static void step(struct hg_net *net, struct addr *addr, hg_ns now)
{
    if (addr->state == ADDR_PREFERRED && addr->preferred_to != 0 && addr->preferred_to <= now)
        addr->state = ADDR_DEPRECATED;
    else if (addr->state == ADDR_DEPRECATED && addr->preferred_to > now)
        addr->state = ADDR_PREFERRED;
    if (addr->at == 0 || now < addr->at)
        return;
    if (addr->state == ADDR_TENTATIVE)
        probe(net, addr, now);
    else if (addr->state == ADDR_DUPLICATE)
        begin(net, addr, now);
    else if (addr->announce > 0)
        announce(net, addr, now);
    else
        addr->at = 0;
    if (addr->state >= ADDR_DEPRECATED && addr->announce == ANNOUNCEMENTS)
        announce(net, addr, now); /* has just become usable */
}

void addr_poll(struct hg_net *net, hg_ns now)
{
    if (!net->link)
        return;
    for (unsigned i = 0; i < net->n_addr;) {
        if (net->addr[i].valid_to != 0 && net->addr[i].valid_to <= now) {
            remove_at(net, i, now);
            continue;
        }
        step(net, &net->addr[i++], now);
    }
}

void addr_link_up(struct hg_net *net, hg_ns now)
{
    for (unsigned i = 0; i < net->n_addr; i++) {
        struct addr *addr = &net->addr[i];

        if (addr->state >= ADDR_DEPRECATED)
            use(addr, now);
        else if (addr->state == ADDR_TENTATIVE)
            begin(net, addr, now);
    }
}

/* ---- configuration ---- */

static int fail(const struct hg_net_prefix *p, const char *why, struct hg_err *err)
{
    char ip[HG_IP_STRLEN];

    return hg_fail(err, -EINVAL, "address %s/%u: %s", hg_ip_str(&p->ip, ip), p->len, why);
}

static struct addr_net4 net4_of(const struct hg_net_prefix *p)
{
    uint32_t self = hg_ip_to_v4(&p->ip), mask = UINT32_MAX << (32 - p->len);
    bool has_broadcast = p->len < 31; /* RFC 3021 */

    return (struct addr_net4){
        .self_be = rte_cpu_to_be_32(self),
        .zeros_be = rte_cpu_to_be_32(has_broadcast ? self & mask : self),
        .ones_be = rte_cpu_to_be_32(has_broadcast ? self | ~mask : self),
    };
}

static int check4(struct hg_net *net, const struct hg_net_prefix *p, struct hg_err *err)
{
    struct addr_net4 n;
    uint8_t first = p->ip.b[12];

    if (p->len < 1 || p->len > 32)
        return fail(p, "an IPv4 address needs a prefix of 1 to 32", err);
    n = net4_of(p);
    if (first == 0 || first == 127 || first >= 224 ||
        (p->len < 31 && (n.self_be == n.zeros_be || n.self_be == n.ones_be)))
        return fail(p, "not an address a host can have", err);
    net->net4[net->n_net4++] = n;
    return 0;
}

static int check6(struct hg_net *net, const struct hg_net_prefix *p, struct hg_err *err)
{
    if (p->len < 1 || p->len > 128)
        return fail(p, "an IPv6 address needs a prefix of 1 to 128", err);
    if (net_is_martian6(net, &p->ip))
        return fail(p, "not an address a host can have", err);
    if (net_ip6_is_link_local(&p->ip))
        return fail(p, "the link-local address is made from the MAC and needs no line", err);
    net->ip6 = true;
    return 0;
}

int addr_init(struct hg_net *net, const struct hg_net_cfg *cfg, hg_ns now, struct hg_err *err)
{
    struct hg_net_prefix link_local = {.ip = {{0xfe, 0x80}}, .len = 64};

    if (cfg->n_addrs > HG_NET_ADDRS_MAX || (cfg->n_addrs == 0 && !cfg->slaac))
        return hg_fail(err, -EINVAL, "port %s: 1 to %d addresses are allowed", cfg->port->name,
                       HG_NET_ADDRS_MAX);
    for (unsigned i = 0; i < cfg->n_addrs; i++) {
        const struct hg_net_prefix *p = &cfg->addrs[i];
        int ret = hg_ip_is_v4(&p->ip) ? check4(net, p, err) : check6(net, p, err);

        if (ret == 0 && addr_find(net, &p->ip) != NULL)
            ret = fail(p, "given twice", err);
        if (ret != 0)
            return ret;
        addr_add(net, p, ADDR_STATIC, now);
    }
    net->ip6 = net->ip6 || cfg->slaac;
    if (net->ip6) {
        link_local.ip = addr_from_mac(&link_local.ip, &cfg->port->mac);
        addr_add(net, &link_local, ADDR_LINK_LOCAL, now);
    }
    return 0;
}

/* ---- source address selection ---- */

static unsigned common_bits(const struct hg_ip *a, const struct hg_ip *b)
{
    for (unsigned i = 0; i < sizeof a->b; i++) {
        uint8_t diff = a->b[i] ^ b->b[i];

        if (diff != 0)
            return i * 8 + (unsigned)__builtin_clz(diff) - 24;
    }
    return 128;
}

/* How good an address is as source for remote by way of hop: RFC 6724 5, its rules from the first
 * as the highest digit; 0: cannot be used. Rules on home addresses, labels and temporary addresses
 * do not apply here. */
static unsigned merit(const struct addr *addr, const struct hg_ip *remote, const struct hg_ip *hop)
{
    bool scope_fits = net_ip6_is_link_local(&addr->ip) == net_ip6_is_link_local(remote);
    bool on_way = common_bits(&addr->ip, hop) >= addr->len;

    if (addr->state < ADDR_DEPRECATED || hg_ip_is_v4(&addr->ip) != hg_ip_is_v4(remote))
        return 0;
    return 1 + (net_ip_same(&addr->ip, remote) ? 1u << 20 : 0) + /* rule 1 */
           (scope_fits ? 1u << 19 : 0) +                         /* rule 2 */
           (addr->state == ADDR_PREFERRED ? 1u << 18 : 0) +      /* rule 3 */
           (on_way ? 1u << 17 : 0) +                             /* rule 5.5 */
           common_bits(&addr->ip, remote);                       /* rule 8 */
}

int hg_net_source(const struct hg_net *net, const struct hg_ip *remote, struct hg_ip *out)
{
    const struct addr *best = NULL;
    unsigned most = 0;
    struct hg_ip hop;

    if (!route_find(net, remote, &hop))
        hop = *remote;
    for (unsigned i = 0; i < net->n_addr; i++) {
        unsigned m = merit(&net->addr[i], remote, &hop);

        if (m > most) {
            most = m;
            best = &net->addr[i];
        }
    }
    if (best == NULL)
        return -EADDRNOTAVAIL;
    *out = best->ip;
    return 0;
}
