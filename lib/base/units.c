/* SPDX-License-Identifier: BSD-3-Clause */
#include <headgate/units.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, as a text takes the first that divides; what is only read comes after. */
static const struct unit size_units[] = {
    {"T", UINT64_C(1) << 40},   {"G", 1u << 30},   {"M", 1u << 20},   {"K", 1u << 10},   {"", 1},
    {"TiB", UINT64_C(1) << 40}, {"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"B", 1},
};
static const struct unit time_units[] = {
    {"h", HG_SEC(3600)}, {"m", HG_SEC(60)}, {"s", HG_SEC(1)}, {"ms", HG_MS(1)}, {"us", HG_US(1)}};
static const struct unit rate_units[] = {
    {"bit", 1}, {"kbit", 1000}, {"Mbit", 1000000}, {"Gbit", 1000000000}};
static const struct unit no_units[] = {{"", 1}};

static int parse(const char *text, const struct unit *units, unsigned n_units, uint64_t *out)
{
    const char *p = text;
    uint64_t n = 0;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return -EINVAL;
    for (unsigned i = 0; i < n_units; i++)
        if (strcmp(p, units[i].name) == 0)
            return __builtin_mul_overflow(n, units[i].factor, out) ? -EINVAL : 0;
    return -EINVAL;
}

int hg_units_count(const char *text, uint64_t *n)
{
    return parse(text, no_units, HG_ARRAY_LEN(no_units), n);
}

int hg_units_size(const char *text, uint64_t *bytes)
{
    return parse(text, size_units, HG_ARRAY_LEN(size_units), bytes);
}

int hg_units_time(const char *text, hg_ns *ns)
{
    if (hg_units_count(text, ns) == 0 && *ns == 0)
        return 0;
    return parse(text, time_units, HG_ARRAY_LEN(time_units), ns);
}

int hg_units_rate(const char *text, uint64_t *bits)
{
    return parse(text, rate_units, HG_ARRAY_LEN(rate_units), bits);
}

static void text_of(uint64_t n, const struct unit *units, unsigned n_units, char *buf, size_t size)
{
    for (unsigned i = 0; i < n_units; i++) {
        if (n % units[i].factor == 0 && (n != 0 || i == n_units - 1)) {
            snprintf(buf, size, "%" PRIu64 "%s", n / units[i].factor, units[i].name);
            return;
        }
    }
    snprintf(buf, size, "%" PRIu64, n);
}

void hg_units_size_text(uint64_t bytes, char *buf, size_t size)
{
    text_of(bytes, size_units, 5, buf, size);
}

void hg_units_time_text(hg_ns ns, char *buf, size_t size)
{
    text_of(ns, time_units, HG_ARRAY_LEN(time_units), buf, size);
}

const char *hg_units_size_about(uint64_t bytes, char *buf, size_t size)
{
    static const char *const name[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    unsigned i = 0;

    while (v >= 1024 && i < HG_ARRAY_LEN(name) - 1) {
        v /= 1024;
        i++;
    }
    snprintf(buf, size, i == 0 ? "%.0f %s" : "%.1f %s", v, name[i]);
    return buf;
}
