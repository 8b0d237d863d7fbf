/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of addresses, gateways and routes, separated by commas. */
#include "netcfg.h"
#include <errno.h>
#include <string.h>

typedef int item_fn(struct hg_net_cfg *out, char *item, struct hg_err *err);

/* Takes the blanks off both ends. */
static char *strip(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

/* Empty items are skipped, so that an empty list is one of none. */
static int each(const char *list, struct hg_net_cfg *out, item_fn *fn, struct hg_err *err)
{
    char text[CFG_TEXT_MAX];
    char *rest = text, *item;
    int rc = 0;

    snprintf(text, sizeof text, "%s", list);
    while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
        item = strip(item);
        if (*item != '\0')
            rc = fn(out, item, err);
    }
    return rc;
}

static int address(struct hg_net_cfg *out, char *item, struct hg_err *err)
{
    struct hg_net_prefix *p = &out->addrs[out->n_addrs];

    if (out->n_addrs == HG_NET_ADDRS_MAX)
        return hg_fail(err, -EINVAL, "[port] address: more than %d addresses", HG_NET_ADDRS_MAX);
    if (hg_ip_parse_prefix(item, &p->ip, &p->len) != 0)
        return hg_fail(err, -EINVAL,
                       "[port] address = %s: write it like 192.0.2.1/24 or 2001:db8::1/64", item);
    out->n_addrs++;
    return 0;
}

static int gateway(struct hg_net_cfg *out, char *item, struct hg_err *err)
{
    static const struct hg_ip none;
    struct hg_ip ip, *slot;

    if (hg_ip_parse(item, &ip) != 0)
        return hg_fail(err, -EINVAL,
                       "[port] gateway = %s: write it like 192.0.2.254 or 2001:db8::fe", item);
    slot = hg_ip_is_v4(&ip) ? &out->gateway4 : &out->gateway6;
    if (!hg_ip_equal(slot, &none))
        return hg_fail(err, -EINVAL, "[port] gateway = %s: a second one of the same IP version",
                       item);
    *slot = ip;
    return 0;
}

static int route(struct hg_net_cfg *out, char *item, struct hg_err *err)
{
    struct hg_net_route *r = &out->routes[out->n_routes];
    char *via = strstr(item, " via ");

    if (out->n_routes == HG_NET_ROUTES_MAX)
        return hg_fail(err, -EINVAL, "[port] routes: more than %d routes", HG_NET_ROUTES_MAX);
    if (via == NULL)
        return hg_fail(err, -EINVAL,
                       "[port] routes = %s: write it like 198.51.100.0/24 via 192.0.2.254", item);
    *via = '\0';
    if (hg_ip_parse_prefix(strip(item), &r->to.ip, &r->to.len) != 0 ||
        hg_ip_parse(strip(via + 5), &r->via) != 0 || hg_ip_is_v4(&r->to.ip) != hg_ip_is_v4(&r->via))
        return hg_fail(err, -EINVAL,
                       "[port] routes = %s via %s: write it like 198.51.100.0/24 via 192.0.2.254",
                       item, via + 5);
    out->n_routes++;
    return 0;
}

int netcfg_parse(const struct config *cfg, struct hg_net_cfg *out, struct hg_err *err)
{
    int rc;

    *out = (struct hg_net_cfg){
        .vlan = (uint16_t)cfg->vlan, .slaac = cfg->slaac, .no_dad = !cfg->detect_conflicts};
    rc = each(cfg->address, out, address, err);
    if (rc == 0)
        rc = each(cfg->gateway, out, gateway, err);
    if (rc == 0)
        rc = each(cfg->routes, out, route, err);
    if (rc == 0 && out->n_addrs == 0 && !out->slaac)
        rc = hg_fail(err, -EINVAL, "[port] address: at least one is needed, or slaac = yes");
    return rc;
}
