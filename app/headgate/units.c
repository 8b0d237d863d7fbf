/* SPDX-License-Identifier: BSD-3-Clause */
#include "units.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"T", UINT64_C(1) << 40}, {"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}, {"B", 1}};
static const struct unit time_units[] = {
    {"h", HG_SEC(3600)}, {"m", HG_SEC(60)}, {"s", HG_SEC(1)}, {"ms", HG_MS(1)}, {"us", HG_US(1)}};

static int number(const char *text, uint64_t *n, const char **rest)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL;
    errno = 0;
    *n = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0 ? 0 : -EINVAL;
}

static int with_unit(const char *text, const struct unit *units, unsigned n_units, uint64_t *out)
{
    const char *rest;
    uint64_t n;

    if (number(text, &n, &rest) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < n_units; i++) {
        if (strcmp(rest, units[i].name) == 0) {
            if (n > UINT64_MAX / units[i].factor)
                return -EINVAL;
            *out = n * units[i].factor;
            return 0;
        }
    }
    if (n == 0 && *rest == '\0') {
        *out = 0;
        return 0;
    }
    return -EINVAL;
}

int units_size(const char *text, uint64_t *bytes)
{
    return with_unit(text, size_units, HG_ARRAY_LEN(size_units), bytes);
}

int units_time(const char *text, hg_ns *ns)
{
    return with_unit(text, time_units, HG_ARRAY_LEN(time_units), ns);
}

int units_count(const char *text, uint64_t *n)
{
    const char *rest;

    if (number(text, n, &rest) != 0 || *rest != '\0')
        return -EINVAL;
    return 0;
}

static void text_of(uint64_t n, const struct unit *units, unsigned n_units, char *buf, size_t size)
{
    for (unsigned i = 0; i < n_units; i++) {
        if (n != 0 && n % units[i].factor == 0) {
            snprintf(buf, size, "%" PRIu64 "%s", n / units[i].factor, units[i].name);
            return;
        }
    }
    snprintf(buf, size, "%" PRIu64, n);
}

void units_size_text(uint64_t bytes, char *buf, size_t size)
{
    text_of(bytes, size_units, HG_ARRAY_LEN(size_units), buf, size);
}

void units_time_text(hg_ns ns, char *buf, size_t size)
{
    text_of(ns, time_units, HG_ARRAY_LEN(time_units), buf, size);
}
