/* SPDX-License-Identifier: BSD-3-Clause */
#include "units.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {NULL, 0},
};
static const struct unit rate_units[] = {
    {"bit", 1}, {"kbit", 1000}, {"Mbit", 1000000}, {"Gbit", 1000000000}, {NULL, 0},
};
static const struct unit time_units[] = {
    {"", UINT64_C(1000000000)},   {"ms", UINT64_C(1000000)},      {"s", UINT64_C(1000000000)},
    {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)}, {NULL, 0},
};

static int parse(const char *text, const struct unit *units, uint64_t *out)
{
    uint64_t n = 0;
    const char *p = text;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return -EINVAL;
    for (; units->name != NULL; units++)
        if (strcmp(p, units->name) == 0)
            return __builtin_mul_overflow(n, units->factor, out) ? -EINVAL : 0;
    return -EINVAL;
}

int units_number(const char *text, uint64_t *out)
{
    return parse(text, plain_units, out);
}

int units_size(const char *text, uint64_t *out)
{
    return parse(text, size_units, out);
}

int units_rate(const char *text, uint64_t *out)
{
    return parse(text, rate_units, out);
}

int units_time(const char *text, uint64_t *out)
{
    return parse(text, time_units, out);
}

const char *units_size_str(uint64_t bytes, char *buf, unsigned cap)
{
    static const char *const name[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    unsigned i = 0;

    while (v >= 1024 && i < 4) {
        v /= 1024;
        i++;
    }
    snprintf(buf, cap, i == 0 ? "%.0f %s" : "%.1f %s", v, name[i]);
    return buf;
}
