/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of NVMe devices: nvme_name.h. */
#include "nvme_name.h"
#include "nvme_spec.h"
#include <headgate/units.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#define SERIAL "serial="
#define NS "/ns="

/* Hexadecimal digits at *at, `least` to `most` of them, and the character behind them. */
static bool take_hex(const char **at, const char *end, unsigned least, unsigned most,
                     unsigned long *out)
{
    unsigned n = 0;

    *out = 0;
    while (*at < end && n < most && isxdigit((unsigned char)**at)) {
        int c = tolower((unsigned char)*(*at)++);

        *out = *out * 16 + (unsigned long)(c <= '9' ? c - '0' : c - 'a' + 10);
        n++;
    }
    return n >= least;
}

static bool take(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

int nvme_name_address(const char *text, size_t len, char out[NVME_ADDRESS_MAX])
{
    const char *at = text, *end = text + len;
    unsigned long domain, bus, dev, fn;

    if (!take_hex(&at, end, 1, 8, &domain) || !take(&at, end, ':'))
        return -EINVAL;
    if (!take_hex(&at, end, 2, 2, &bus))
        return -EINVAL;
    if (take(&at, end, ':')) {
        if (!take_hex(&at, end, 2, 2, &dev))
            return -EINVAL;
    } else {
        /* What was read is bus and device. */
        dev = bus;
        bus = domain;
        domain = 0;
    }
    if (!take(&at, end, '.') || !take_hex(&at, end, 1, 1, &fn) || at != end)
        return -EINVAL;
    /* PCI: 8 bits of bus, 5 of device, 3 of function. */
    if (bus > 0xff || dev > 0x1f || fn > 7)
        return -EINVAL;
    snprintf(out, NVME_ADDRESS_MAX, "%04lx:%02lx:%02lx.%lx", domain, bus, dev, fn);
    return 0;
}

static bool serial_ok(const char *text, size_t len)
{
    if (len == 0 || len > NVME_SERIAL_MAX || text[0] == ' ' || text[len - 1] == ' ')
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e) /* ASCII, base spec 1.8 */
            return false;
    return true;
}

int nvme_name_parse(const char *text, struct nvme_name *name, struct hg_err *err)
{
    const char *rest = text + sizeof NVME_NAME_PREFIX - 1;
    const char *ns = strstr(rest, NS);
    size_t len = ns != NULL ? (size_t)(ns - rest) : strlen(rest);
    uint64_t nsid = 0;

    memset(name, 0, sizeof *name);
    if (ns != NULL &&
        (hg_units_count(ns + sizeof NS - 1, &nsid) != 0 || nsid == 0 || nsid >= NVME_NSID_ALL - 1))
        return hg_fail(err, -EINVAL,
                       "device %.200s: /ns= is followed by the number of a namespace, from 1 on",
                       text);
    name->nsid = (uint32_t)nsid;
    if (strncmp(rest, SERIAL, sizeof SERIAL - 1) == 0) {
        rest += sizeof SERIAL - 1;
        len -= sizeof SERIAL - 1;
        if (!serial_ok(rest, len))
            return hg_fail(
                err, -EINVAL,
                "device %.200s: serial= is followed by 1 to %d characters, as headgatectl "
                "doctor shows them",
                text, NVME_SERIAL_MAX);
        memcpy(name->serial, rest, len);
        return 0;
    }
    if (nvme_name_address(rest, len, name->address) != 0)
        return hg_fail(err, -EINVAL,
                       "device %.200s: write it like nvme:0000:01:00.0, nvme:0000:01:00.0/ns=2 or "
                       "nvme:serial=S123/ns=1",
                       text);
    return 0;
}
