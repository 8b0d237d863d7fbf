/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of addresses, gateways and routes, separated by commas; what ports may not have in common. */
#include "netcfg.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

/* section: for what is said about mistakes. */
typedef int item_fn(struct hg_net_cfg *out, const char *section, char *item, struct hg_err *err);

char *netcfg_strip(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

/* Empty items are skipped, so that an empty list is one of none. */
static int each(const char *list, const char *section, struct hg_net_cfg *out, item_fn *fn,
                struct hg_err *err)
{
    char text[CFG_TEXT_MAX];
    char *rest = text, *item;
    int rc = 0;

    snprintf(text, sizeof text, "%s", list);
    while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
        item = netcfg_strip(item);
        if (*item != '\0')
            rc = fn(out, section, item, err);
    }
    return rc;
}

static int address(struct hg_net_cfg *out, const char *section, char *item, struct hg_err *err)
{
    struct hg_net_prefix *p = &out->addrs[out->n_addrs];

    if (out->n_addrs == HG_NET_ADDRS_MAX)
        return hg_fail(err, -EINVAL, "[%s] address: more than %d addresses", section,
                       HG_NET_ADDRS_MAX);
    if (hg_ip_parse_prefix(item, &p->ip, &p->len) != 0)
        return hg_fail(err, -EINVAL,
                       "[%s] address = %s: write it like 192.0.2.1/24 or 2001:db8::1/64", section,
                       item);
    out->n_addrs++;
    return 0;
}

static int gateway(struct hg_net_cfg *out, const char *section, char *item, struct hg_err *err)
{
    static const struct hg_ip none;
    struct hg_ip ip, *slot;

    if (hg_ip_parse(item, &ip) != 0)
        return hg_fail(err, -EINVAL, "[%s] gateway = %s: write it like 192.0.2.254 or 2001:db8::fe",
                       section, item);
    slot = hg_ip_is_v4(&ip) ? &out->gateway4 : &out->gateway6;
    if (!hg_ip_equal(slot, &none))
        return hg_fail(err, -EINVAL, "[%s] gateway = %s: a second one of the same IP version",
                       section, item);
    *slot = ip;
    return 0;
}

static int route(struct hg_net_cfg *out, const char *section, char *item, struct hg_err *err)
{
    struct hg_net_route *r = &out->routes[out->n_routes];
    char *via = strstr(item, " via ");

    if (out->n_routes == HG_NET_ROUTES_MAX)
        return hg_fail(err, -EINVAL, "[%s] routes: more than %d routes", section,
                       HG_NET_ROUTES_MAX);
    if (via == NULL)
        return hg_fail(err, -EINVAL,
                       "[%s] routes = %s: write it like 198.51.100.0/24 via 192.0.2.254", section,
                       item);
    *via = '\0';
    if (hg_ip_parse_prefix(netcfg_strip(item), &r->to.ip, &r->to.len) != 0 ||
        hg_ip_parse(netcfg_strip(via + 5), &r->via) != 0 ||
        hg_ip_is_v4(&r->to.ip) != hg_ip_is_v4(&r->via))
        return hg_fail(err, -EINVAL,
                       "[%s] routes = %s via %s: write it like 198.51.100.0/24 via 192.0.2.254",
                       section, item, via + 5);
    out->n_routes++;
    return 0;
}

int netcfg_parse(const struct config_port *port, const char *section, struct hg_net_cfg *out,
                 struct hg_err *err)
{
    int rc;

    *out = (struct hg_net_cfg){.vlan = (uint16_t)port->vlan,
                               .slaac = port->slaac,
                               .no_dad = !port->detect_conflicts,
                               .trust_csum = port->trust_checksums};
    rc = each(port->address, section, out, address, err);
    if (rc == 0)
        rc = each(port->gateway, section, out, gateway, err);
    if (rc == 0)
        rc = each(port->routes, section, out, route, err);
    if (rc == 0 && out->n_addrs == 0 && !out->slaac)
        rc = hg_fail(err, -EINVAL, "[%s] address: at least one is needed, or slaac = yes", section);
    return rc;
}

/* ---- the ports together ---- */

const char *netcfg_section(unsigned n)
{
    static const char *const names[] = {"port", "port1", "port2", "port3"};

    _Static_assert(HG_ARRAY_LEN(names) == HG_SHARD_PORTS_MAX, "a name for each");
    return names[n];
}

static bool has_device(const struct config_port *port)
{
    return port->vdev[0] != '\0' || port->device[0] != '\0';
}

unsigned netcfg_ports(const struct config *cfg)
{
    unsigned n = 0;

    while (n < HG_SHARD_PORTS_MAX && has_device(&cfg->ports[n]))
        n++;
    return n;
}

void netcfg_device(const struct config_port *port, char out[CFG_TEXT_MAX])
{
    snprintf(out, CFG_TEXT_MAX, "%s", port->device[0] != '\0' ? port->device : port->vdev);
    out[strcspn(out, ",")] = '\0';
}

/* EAL takes a PCI address with and without its domain. */
static bool same_device(const struct config_port *a, const struct config_port *b)
{
    char names[2][CFG_TEXT_MAX], *name[2];

    netcfg_device(a, names[0]);
    netcfg_device(b, names[1]);
    for (unsigned i = 0; i < 2; i++)
        name[i] = names[i] + (strncmp(names[i], "0000:", 5) == 0 ? 5 : 0);
    return strcasecmp(name[0], name[1]) == 0;
}

static int check_pair(const struct config *cfg, const struct hg_net_cfg *net, unsigned a,
                      unsigned b, struct hg_err *err)
{
    const char *first = netcfg_section(a), *second = netcfg_section(b);
    char text[HG_IP_STRLEN], device[CFG_TEXT_MAX];

    if (same_device(&cfg->ports[a], &cfg->ports[b])) {
        netcfg_device(&cfg->ports[b], device);
        return hg_fail(err, -EINVAL, "[%s] and [%s] both have device %s", first, second, device);
    }
    for (unsigned i = 0; i < net[a].n_addrs; i++)
        for (unsigned j = 0; j < net[b].n_addrs; j++)
            if (hg_ip_equal(&net[a].addrs[i].ip, &net[b].addrs[j].ip))
                return hg_fail(err, -EINVAL, "[%s] and [%s] both have address %s", first, second,
                               hg_ip_str(&net[b].addrs[j].ip, text));
    return 0;
}

int netcfg_check(const struct config *cfg, struct hg_err *err)
{
    struct hg_net_cfg net[HG_SHARD_PORTS_MAX];
    unsigned n = netcfg_ports(cfg);
    int rc = netcfg_parse(&cfg->ports[0], netcfg_section(0), &net[0], err);

    if (rc == 0 && n == 0)
        rc = hg_fail(err, -EINVAL, "[port] needs a device or a vdev");
    for (unsigned i = n; rc == 0 && i < HG_SHARD_PORTS_MAX; i++)
        if (has_device(&cfg->ports[i]))
            rc = hg_fail(err, -EINVAL, "[%s] has a device but [%s] has none", netcfg_section(i),
                         netcfg_section(n));
    for (unsigned i = 1; rc == 0 && i < n; i++) {
        rc = netcfg_parse(&cfg->ports[i], netcfg_section(i), &net[i], err);
        for (unsigned j = 0; rc == 0 && j < i; j++)
            rc = check_pair(cfg, net, j, i, err);
    }
    return rc;
}
