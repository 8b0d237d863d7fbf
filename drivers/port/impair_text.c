/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration of a bad path as a text: one table of keys. */
#include <headgate/impair.h>
#include <headgate/units.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum kind { COUNT, SIZE, TIME, RATE, SHARE, YES };

#define AT(field) offsetof(struct hg_impair_cfg, field)

static const struct key {
    const char *name;
    enum kind kind;
    size_t at;
} keys[] = {
    {"mtu", COUNT, AT(mtu)},
    {"loss", SHARE, AT(loss_ppm)},
    {"burst-enter", SHARE, AT(burst_enter_ppm)},
    {"burst-leave", SHARE, AT(burst_leave_ppm)},
    {"burst-loss", SHARE, AT(burst_loss_ppm)},
    {"burst-max", TIME, AT(burst_max)},
    {"rate", RATE, AT(rate)},
    {"queue", SIZE, AT(queue_bytes)},
    {"mark", SIZE, AT(mark_bytes)},
    {"overhead", SIZE, AT(overhead)},
    {"dup", SHARE, AT(dup_ppm)},
    {"corrupt", SHARE, AT(corrupt_ppm)},
    {"delay", TIME, AT(delay)},
    {"jitter", TIME, AT(jitter)},
    {"in-order", YES, AT(in_order)},
    {"reorder", SHARE, AT(reorder_ppm)},
    {"late", TIME, AT(late)},
    {"late-packets", COUNT, AT(late_packets)},
};

const char hg_impair_keys[] =
    "mtu=BYTES loss=PERCENT burst-enter=PERCENT burst-leave=PERCENT burst-loss=PERCENT "
    "burst-max=TIME rate=BITRATE queue=SIZE mark=SIZE overhead=BYTES dup=PERCENT corrupt=PERCENT "
    "delay=TIME jitter=TIME in-order=yes|no reorder=PERCENT late=TIME late-packets=COUNT";

/* "1%", "0.25%": up to four decimals, since a part of a million is the unit. */
static int parse_share(const char *text, uint64_t *ppm)
{
    unsigned factor = HG_PPM / 100;
    unsigned digits = 0;

    *ppm = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++)
        *ppm = *ppm * 10 + (uint64_t)(*text - '0');
    if (digits == 0)
        return -EINVAL;
    *ppm *= factor;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && factor > 1; text++)
            *ppm += (uint64_t)(*text - '0') * (factor /= 10);
    return strcmp(text, "%") == 0 && *ppm <= HG_PPM ? 0 : -EINVAL;
}

static int parse_value(enum kind kind, const char *text, uint64_t *value)
{
    int ret;

    switch (kind) {
    case COUNT:
        return hg_units_count(text, value);
    case SIZE:
        return hg_units_size(text, value);
    case TIME:
        return hg_units_time(text, value);
    case RATE:
        ret = hg_units_rate(text, value);
        *value /= 8;
        return *value != 0 ? ret : -EINVAL;
    case SHARE:
        return parse_share(text, value);
    case YES:
        *value = strcmp(text, "yes") == 0;
        return *value != 0 || strcmp(text, "no") == 0 ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int store(const struct key *key, uint64_t value, struct hg_impair_cfg *cfg)
{
    char *field = (char *)cfg + key->at;

    if (key->kind == TIME || key->kind == RATE)
        memcpy(field, &value, sizeof value);
    else if (key->kind == YES)
        *(bool *)(void *)field = value != 0;
    else if (value <= UINT32_MAX)
        memcpy(field, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
    else
        return -EINVAL;
    return 0;
}

static int set_one(char *text, struct hg_impair_cfg *cfg, struct hg_err *err)
{
    char *value = strchr(text, '=');
    uint64_t n = 0;

    if (value == NULL)
        return hg_fail(err, -EINVAL, "impair: '%s' is not KEY=VALUE; there are %s", text,
                       hg_impair_keys);
    *value++ = '\0';
    for (unsigned i = 0; i < HG_ARRAY_LEN(keys); i++) {
        if (strcmp(text, keys[i].name) != 0)
            continue;
        if (parse_value(keys[i].kind, value, &n) != 0 || store(&keys[i], n, cfg) != 0)
            return hg_fail(err, -EINVAL, "impair: %s=%s is not a value; there are %s", text, value,
                           hg_impair_keys);
        return 0;
    }
    return hg_fail(err, -EINVAL, "impair: no key '%s'; there are %s", text, hg_impair_keys);
}

int hg_impair_parse(const char *text, struct hg_impair_cfg *cfg, struct hg_err *err)
{
    char copy[512];
    char *rest = NULL;
    int ret = 0;

    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return hg_fail(err, -EINVAL, "impair: more than %zu characters", sizeof copy - 1);
    for (char *one = strtok_r(copy, ",", &rest); one != NULL && ret == 0;
         one = strtok_r(NULL, ",", &rest))
        ret = set_one(one, cfg, err);
    return ret;
}
