/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where packets go: one table of both families, longest prefix first. It holds the networks of our
 * addresses, static routes, default gateways, and what router advertisements said; of equal prefixes
 * the static one comes first, so that an advertisement never overrules the configuration.
 */
#include "net_int.h"
#include <errno.h>

static void load(const struct hg_ip *ip, uint64_t w[2])
{
    memcpy(w, ip, 2 * sizeof *w);
}

static void mask_of(unsigned len, uint64_t mask[2])
{
    struct hg_ip ip = {{0}};

    for (unsigned i = 0; i < len / 8; i++)
        ip.b[i] = 0xff;
    if (len % 8 != 0)
        ip.b[len / 8] = (uint8_t)(0xff00u >> (len % 8));
    load(&ip, mask);
}

static struct route make(const struct hg_net_prefix *to, const struct hg_ip *via)
{
    struct route r = {.v4 = hg_ip_is_v4(&to->ip), .on_link = via == NULL};

    r.len = (uint8_t)(to->len + (r.v4 ? 96 : 0));
    if (via != NULL)
        r.via = *via;
    mask_of(r.len, r.mask);
    load(&to->ip, r.ip);
    r.ip[0] &= r.mask[0];
    r.ip[1] &= r.mask[1];
    return r;
}

static void changed(struct hg_net *net)
{
    net->route_gen += net->route_gen == UINT32_MAX ? 2 : 1;
}

static bool insert(struct hg_net *net, const struct route *r)
{
    unsigned at = net->n_route;

    if (net->n_route == ROUTE_MAX)
        return false;
    while (at > 0 && net->route[at - 1].len < r->len)
        at--;
    while (!r->learnt && at > 0 && net->route[at - 1].len == r->len && net->route[at - 1].learnt)
        at--;
    memmove(&net->route[at + 1], &net->route[at], (net->n_route - at) * sizeof *r);
    net->route[at] = *r;
    net->n_route++;
    changed(net);
    return true;
}

static void remove_at(struct hg_net *net, unsigned i)
{
    net->n_route--;
    memmove(&net->route[i], &net->route[i + 1], (net->n_route - i) * sizeof net->route[0]);
    changed(net);
}

static bool matches(const struct route *r, const uint64_t ip[2], bool v4)
{
    return r->v4 == v4 &&
           (((ip[0] ^ r->ip[0]) & r->mask[0]) | ((ip[1] ^ r->ip[1]) & r->mask[1])) == 0;
}

/* RFC 4861 6.3.6: of routers learnt, one that is known not to answer is the last choice. */
static bool is_dead(const struct hg_net *net, const struct route *r)
{
    const struct nbr *nbr = r->learnt && !r->on_link ? nbr_find(&net->nbrs, &r->via) : NULL;

    return nbr != NULL && nbr->state == NBR_FAILED;
}

/* Multicast and the like are nobody's next hop; our own address neither: nothing loops back. */
static bool is_destination(const struct hg_net *net, const struct hg_ip *ip)
{
    if (hg_ip_is_v4(ip))
        return !net_is_martian4(net, net_v4_be(ip));
    if (net_ip6_is_multicast(ip) || net_ip_is_zero(ip))
        return false;
    for (unsigned i = 0; i < net->n_addr; i++) {
        if (net_ip_same(&net->addr[i].ip, ip))
            return false;
    }
    return true;
}

bool route_find(const struct hg_net *net, const struct hg_ip *dst, struct hg_ip *hop)
{
    const struct route *last_choice = NULL;
    bool v4 = hg_ip_is_v4(dst);
    uint64_t ip[2];

    if (!is_destination(net, dst))
        return false;
    load(dst, ip);
    for (unsigned i = 0; i < net->n_route; i++) {
        const struct route *r = &net->route[i];

        if (!matches(r, ip, v4))
            continue;
        if (is_dead(net, r)) {
            last_choice = last_choice == NULL ? r : last_choice;
            continue;
        }
        *hop = r->on_link ? *dst : r->via;
        return true;
    }
    if (last_choice != NULL)
        *hop = last_choice->via;
    return last_choice != NULL;
}

bool route_on_link(const struct hg_net *net, const struct hg_ip *ip)
{
    bool v4 = hg_ip_is_v4(ip);
    uint64_t w[2];

    load(ip, w);
    for (unsigned i = 0; i < net->n_route; i++) {
        if (net->route[i].on_link && matches(&net->route[i], w, v4))
            return true;
    }
    return false;
}

bool route_is_gateway(const struct hg_net *net, const struct hg_ip *ip)
{
    for (unsigned i = 0; i < net->n_route; i++) {
        if (!net->route[i].on_link && net_ip_same(&net->route[i].via, ip))
            return true;
    }
    return false;
}

/* ---- learnt ---- */

static struct route *find_learnt(struct hg_net *net, const struct route *want)
{
    for (unsigned i = 0; i < net->n_route; i++) {
        struct route *r = &net->route[i];

        if (r->learnt && r->len == want->len && r->on_link == want->on_link &&
            matches(r, want->ip, want->v4) && net_ip_same(&r->via, &want->via))
            return r;
    }
    return NULL;
}

bool route_learn(struct hg_net *net, const struct hg_net_prefix *to, const struct hg_ip *via,
                 hg_ns valid_to)
{
    struct route r = make(to, via);
    struct route *old = find_learnt(net, &r);
    unsigned n = 0;

    if (old != NULL) {
        old->valid_to = valid_to;
        return true;
    }
    for (unsigned i = 0; i < net->n_route; i++)
        n += net->route[i].learnt && net->route[i].on_link == r.on_link;
    if (n == (r.on_link ? ROUTE_RA_PREFIXES : ROUTE_RA_ROUTERS))
        return false;
    r.learnt = true;
    r.valid_to = valid_to;
    return insert(net, &r);
}

void route_forget(struct hg_net *net, const struct hg_net_prefix *to, const struct hg_ip *via)
{
    struct route r = make(to, via);
    struct route *old = find_learnt(net, &r);

    if (old != NULL)
        remove_at(net, (unsigned)(old - net->route));
}

void route_poll(struct hg_net *net, hg_ns now)
{
    for (unsigned i = 0; i < net->n_route;) {
        if (net->route[i].valid_to != 0 && net->route[i].valid_to <= now)
            remove_at(net, i);
        else
            i++;
    }
}

/* ---- configuration ---- */

/* With host prefixes (/32, /128) every gateway is beyond the prefix, and is taken to be on the
 * link; so is a link-local one. */
static bool gateway_reachable(const struct hg_net *net, const struct hg_ip *via)
{
    bool v4 = hg_ip_is_v4(via), only_hosts = true;

    if (route_on_link(net, via))
        return true;
    for (unsigned i = 0; i < net->n_addr; i++) {
        if (net->addr[i].origin == ADDR_STATIC && hg_ip_is_v4(&net->addr[i].ip) == v4)
            only_hosts = only_hosts && net->addr[i].len == 128;
    }
    return only_hosts && (!v4 || net->n_net4 > 0);
}

static int add_via(struct hg_net *net, const struct hg_net_route *route, struct hg_err *err)
{
    char to[HG_IP_STRLEN], via[HG_IP_STRLEN];
    bool v4 = hg_ip_is_v4(&route->to.ip);
    struct route r;

    hg_ip_str(&route->to.ip, to);
    hg_ip_str(&route->via, via);
    if (hg_ip_is_v4(&route->via) != v4 || (!v4 && !net->ip6))
        return hg_fail(err, -EINVAL, "route %s/%u via %s: no addresses of one family", to,
                       route->to.len, via);
    if (route->to.len > (v4 ? 32 : 128))
        return hg_fail(err, -EINVAL, "route %s/%u via %s: prefix is too long", to, route->to.len,
                       via);
    if (!is_destination(net, &route->via) || !gateway_reachable(net, &route->via))
        return hg_fail(err, -EINVAL, "gateway %s: not a host of the local network", via);
    r = make(&route->to, &route->via);
    insert(net, &r);
    return 0;
}

int route_init(struct hg_net *net, const struct hg_net_cfg *cfg, struct hg_err *err)
{
    struct hg_net_route all4 = {.to = {.ip = hg_ip_from_v4(0)}, .via = cfg->gateway4};
    struct hg_net_route all6 = {.via = cfg->gateway6};
    int ret = 0;

    if (cfg->n_routes > HG_NET_ROUTES_MAX)
        return hg_fail(err, -EINVAL, "port %s: at most %d routes are allowed", cfg->port->name,
                       HG_NET_ROUTES_MAX);
    for (unsigned i = 0; i < net->n_addr; i++) {
        const struct addr *addr = &net->addr[i];
        unsigned len = addr->len - (hg_ip_is_v4(&addr->ip) ? 96u : 0u);
        struct route r = make(&(struct hg_net_prefix){.ip = addr->ip, .len = len}, NULL);

        insert(net, &r);
    }
    for (unsigned i = 0; i < cfg->n_routes && ret == 0; i++)
        ret = add_via(net, &cfg->routes[i], err);
    if (ret == 0 && !net_ip_is_zero(&cfg->gateway4) && hg_ip_to_v4(&cfg->gateway4) != 0)
        ret = add_via(net, &all4, err);
    if (ret == 0 && !net_ip_is_zero(&cfg->gateway6))
        ret = add_via(net, &all6, err);
    return ret;
}
