/* SPDX-License-Identifier: BSD-3-Clause */
/* Classes of listeners: lists of addresses, and what each class asks for. See access.h. */
#include "access.h"
#include "netcfg.h"
#include <errno.h>
#include <string.h>

static bool is(const struct config_access *access, const char *class)
{
    return strcmp(access->class, class) == 0;
}

/* ---- the list ---- */

/* "allow", "allow2", ... */
static const char *key_name(unsigned n)
{
    static const char *const names[CFG_ALLOW_KEYS] = {"allow", "allow2", "allow3", "allow4"};

    return names[n];
}

static struct hg_ip network_of(const struct hg_net_prefix *prefix)
{
    unsigned bits = (hg_ip_is_v4(&prefix->ip) ? 96 : 0) + prefix->len;
    struct hg_ip net = prefix->ip;

    for (unsigned i = 0; i < sizeof net.b; i++) {
        unsigned keep = bits <= 8 * i ? 0 : bits - 8 * i;

        if (keep < 8)
            net.b[i] &= (uint8_t)(0xff00 >> keep);
    }
    return net;
}

static int parse_prefix(const char *item, struct hg_net_prefix *out)
{
    if (hg_ip_parse_prefix(item, &out->ip, &out->len) == 0)
        return 0;
    if (hg_ip_parse(item, &out->ip) != 0)
        return -EINVAL;
    out->len = hg_ip_is_v4(&out->ip) ? 32 : 128;
    return 0;
}

/* where: "[section] key", for what is said about mistakes. */
static int add(struct hg_tcp_allow *out, const char *where, const char *item, struct hg_err *err)
{
    char text[HG_IP_STRLEN];
    struct hg_net_prefix p;
    struct hg_ip net;

    if (parse_prefix(item, &p) != 0)
        return hg_fail(err, -EINVAL,
                       "%s = %s: write it like 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32, with one "
                       "comma between two",
                       where, item);
    net = network_of(&p);
    if (!hg_ip_equal(&net, &p.ip))
        return hg_fail(err, -EINVAL,
                       "%s = %s: an address with the length of a network; write %s/%u for the "
                       "network, or the address alone",
                       where, item, hg_ip_str(&net, text), p.len);
    if (out->n == HG_TCP_ALLOW_MAX)
        return hg_fail(err, -EINVAL, "%s = %s: more than %d networks and addresses", where, item,
                       HG_TCP_ALLOW_MAX);
    out->prefix[out->n++] = p;
    return 0;
}

static int add_list(struct hg_tcp_allow *out, const char *where, const char *list,
                    struct hg_err *err)
{
    char text[CFG_TEXT_MAX];
    char *rest = text, *item;
    int rc = 0;

    snprintf(text, sizeof text, "%s", list);
    if (text[strspn(text, " \t")] == '\0')
        return 0;
    while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
        rc = add(out, where, netcfg_strip(item), err);
    }
    return rc;
}

int access_parse(const struct config_access *access, const char *section, struct hg_tcp_allow *out,
                 struct hg_err *err)
{
    char where[64];
    int rc = 0;

    *out = (struct hg_tcp_allow){.silent = is(access, "enumerated")};
    for (unsigned i = 0; rc == 0 && i < CFG_ALLOW_KEYS; i++) {
        snprintf(where, sizeof where, "[%s] %s", section, key_name(i));
        rc = add_list(out, where, access->allow[i], err);
    }
    return rc;
}

/* ---- the class ---- */

static int check_list(const struct config_access *access, const char *section, struct hg_err *err)
{
    struct hg_tcp_allow allow;
    int rc = access_parse(access, section, &allow, err);

    if (rc != 0)
        return rc;
    if (is(access, "public") && allow.n != 0)
        return hg_fail(
            err, -EINVAL,
            "[%s] class = public: takes connections from anywhere, so there is no allow; "
            "set class = restricted, or leave allow empty",
            section);
    if (is(access, "enumerated") && allow.n == 0)
        return hg_fail(err, -EINVAL,
                       "[%s] class = enumerated: allow must name the nodes that may connect",
                       section);
    for (unsigned i = 0; i < allow.n && is(access, "enumerated"); i++)
        if (allow.prefix[i].len == 0)
            return hg_fail(err, -EINVAL,
                           "[%s] class = enumerated: allow has a network of length 0, which is "
                           "everybody; name the nodes, or set class = restricted",
                           section);
    return 0;
}

/* key: as it is written in the profile. */
static int check_certificate(const struct config_access *access, const char *section,
                             const char *key, const char *client_cert, struct hg_err *err)
{
    if (is(access, "public") || strcmp(client_cert, "required") == 0)
        return 0;
    return hg_fail(err, -EINVAL,
                   "[%s] class = %s: needs a certificate of every client, but %s = %s; set it to "
                   "required, or class = public",
                   section, access->class, key, client_cert);
}

static int check_test(const struct config *cfg, struct hg_err *err)
{
    int rc = check_list(&cfg->test_access, "test", err);

    for (unsigned kind = 0; rc == 0 && kind < HG_TESTSVC_KINDS; kind++)
        if (cfg->test_port[kind] != 0 && !is(&cfg->test_access, "public"))
            rc = hg_fail(err, -EINVAL,
                         "[test] class = %s: needs a certificate of every client, but %s is not "
                         "over TLS; leave it out, or set class = public",
                         cfg->test_access.class, hg_testsvc_name((enum hg_testsvc_kind)kind));
    if (rc == 0)
        rc = check_certificate(&cfg->test_access, "test", "[test] tls-client-certificate",
                               cfg->test_tls.client_cert, err);
    return rc;
}

int access_check(const struct config *cfg, struct hg_err *err)
{
    int rc = check_list(&cfg->access, "ingest", err);

    if (rc == 0)
        rc = check_certificate(&cfg->access, "ingest", "[tls] client-certificate",
                               cfg->tls.client_cert, err);
    return rc != 0 ? rc : check_test(cfg, err);
}
