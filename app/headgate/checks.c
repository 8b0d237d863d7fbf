/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that are lists or names: what can be told of them without looking at the machine. */
#include "checks.h"
#include <errno.h>
#include <headgate/store.h>
#include <headgate/units.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CPU_MAX 1023u /* what glibc's cpu_set_t and EAL know */

int checks_cpus(const struct config *cfg, struct hg_err *err)
{
    bool used[CPU_MAX + 1] = {false};
    const char *at = cfg->shard_cpus;
    unsigned n = 0;

    for (;;) {
        size_t len = strcspn(at, ",");
        char word[16];
        uint64_t cpu;

        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), at);
        if (len >= sizeof word || hg_units_count(word, &cpu) != 0 || cpu > CPU_MAX)
            return hg_fail(
                err, -EINVAL,
                "[cpu] shards = %s: numbers of CPUs, 0 to %u, separated by commas without "
                "blanks or ranges, like 1,2,3",
                cfg->shard_cpus, CPU_MAX);
        if (used[cpu])
            return hg_fail(err, -EINVAL,
                           "[cpu] shards = %s: CPU %" PRIu64
                           " is named twice; a shard wants one of "
                           "its own",
                           cfg->shard_cpus, cpu);
        used[cpu] = true;
        if (++n > HG_STORE_SHARDS_MAX)
            return hg_fail(err, -EINVAL, "[cpu] shards = %s: more than %u shards", cfg->shard_cpus,
                           HG_STORE_SHARDS_MAX);
        if (at[len] == '\0')
            return 0;
        at += len + 1;
    }
}

int checks_device(const char *name, unsigned number, struct hg_err *err)
{
    uint64_t size;

    if (strncmp(name, "mem:", 4) == 0) {
        if (hg_units_size(name + 4, &size) == 0 && size >= HG_BLOCK)
            return 0;
        return hg_fail(err, -EINVAL, "[store] device%u = %s: write it like mem:1G", number, name);
    }
    if (strncmp(name, "nvme:", 5) == 0 || strncmp(name, "nvme-emu:", 9) == 0)
        return 0; /* these have checks of their own */
    if (strchr(name, '/') == NULL)
        return hg_fail(
            err, -EINVAL,
            "[store] device%u = %s: a path has a '/' (./%.80s is a file in the directory "
            "the node is started in); NVMe controllers are written nvme:ADDRESS or "
            "nvme:serial=SERIAL",
            number, name, name);
    return 0;
}
