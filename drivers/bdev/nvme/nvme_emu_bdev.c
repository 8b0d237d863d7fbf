/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a name in a profile to the NVMe driver over an emulated controller that has its own thread:
 *
 *   nvme-emu:SIZE[,OPTION...]   with image=FILE (else memory), block=512|4096, cache=yes|no,
 *                               payload=yes|no, shadow=yes|no, sgl=yes|no, queues=N, serial=TEXT,
 *                               timeout=TIME (of commands), and faults as nvme_emu_fault_parse() reads them
 */
#include "nvme_bdev.h"
#include "nvme_emu.h"
#include <headgate/units.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "nvme-emu:"
#define NAME_MAX_LEN 256u

struct emu_name {
    char text[NAME_MAX_LEN]; /* the name, cut into its parts; the image's path points into it */
    struct nvme_emu_cfg cfg;
    struct nvme_opts opts;
    struct nvme_emu_fault faults[NVME_EMU_FAULTS_MAX];
    unsigned n_faults;
};

static bool yes_or_no(const char *value, bool *out)
{
    *out = strcmp(value, "yes") == 0;
    return *out || strcmp(value, "no") == 0;
}

/* Key and value; 0: no such key, or not such a value. */
static bool set_switch(struct emu_name *n, const char *key, const char *value)
{
    bool sgl = false;
    const struct {
        const char *key;
        bool *to;
    } rows[] = {{"cache", &n->cfg.vwc},
                {"payload", &n->cfg.no_payload},
                {"shadow", &n->cfg.dbbuf},
                {"sgl", &sgl}};

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        if (strcmp(key, rows[i].key) != 0)
            continue;
        if (!yes_or_no(value, rows[i].to))
            return false;
        n->cfg.sgls = sgl ? 1 : n->cfg.sgls;
        if (rows[i].to == &n->cfg.no_payload)
            n->cfg.no_payload = !n->cfg.no_payload;
        return true;
    }
    return false;
}

static bool set_value(struct emu_name *n, const char *key, const char *value)
{
    uint64_t block, count;

    if (strcmp(key, "image") == 0) {
        n->cfg.ns[0].path = value;
        return value[0] != '\0';
    }
    if (strcmp(key, "serial") == 0)
        return snprintf(n->cfg.serial, sizeof n->cfg.serial, "%s", value) <
               (int)sizeof n->cfg.serial;
    if (strcmp(key, "timeout") == 0) {
        bool good = hg_units_time(value, &n->opts.io_timeout) == 0 && n->opts.io_timeout != 0;

        n->opts.admin_timeout = n->opts.io_timeout;
        return good;
    }
    if (strcmp(key, "queues") == 0 && hg_units_count(value, &count) == 0) {
        n->cfg.queues = (unsigned)count;
        return count >= 1 && count <= NVME_EMU_QUEUES_MAX;
    }
    if (strcmp(key, "block") == 0 && hg_units_count(value, &block) == 0) {
        n->cfg.ns[0].block = (uint32_t)block;
        return block == 512 || block == 4096;
    }
    return false;
}

static int set_option(struct emu_name *n, char *word, struct hg_err *err)
{
    char *value = strchr(word, '=');
    struct hg_err why = {""};

    if (value != NULL) {
        bool known;

        *value = '\0';
        known = set_switch(n, word, value + 1) || set_value(n, word, value + 1);
        *value = '=';
        if (known)
            return 0;
    }
    if (n->n_faults < NVME_EMU_FAULTS_MAX &&
        nvme_emu_fault_parse(word, &n->faults[n->n_faults], &why) == 0) {
        n->n_faults++;
        return 0;
    }
    return hg_fail(
        err, -EINVAL,
        "'%s' is none of image=FILE block=512|4096 cache=yes|no payload=yes|no "
        "shadow=yes|no sgl=yes|no queues=N serial=TEXT timeout=TIME, and no fault: %.150s",
        word, why.text);
}

/* The same name gives the same serial number, different ones most likely another. */
static void default_serial(struct emu_name *n, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (const char *p = name; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
    snprintf(n->cfg.serial, sizeof n->cfg.serial, "EMU%08X", (unsigned)(hash >> 32));
}

static int parse(const char *name, struct emu_name *n, struct hg_err *err)
{
    char *save = NULL;
    char *word;
    uint64_t size = 0;

    n->n_faults = 0;
    n->opts = nvme_opts_default();
    if (snprintf(n->text, sizeof n->text, "%s", name + strlen(PREFIX)) >= (int)sizeof n->text)
        return hg_fail(err, -EINVAL, "device %.40s...: the name is too long", name);
    word = strtok_r(n->text, ",", &save);
    if (word == NULL || hg_units_size(word, &size) != 0 || size == 0 || size % HG_BLOCK != 0)
        return hg_fail(err, -EINVAL,
                       "device %s: write it like nvme-emu:1G,block=4096; the size is a multiple of "
                       "4096",
                       name);
    n->cfg = nvme_emu_cfg_default(size, 4096);
    n->cfg.queues = NVME_EMU_QUEUES_MAX;
    n->cfg.close_frees = true;
    default_serial(n, name);
    while ((word = strtok_r(NULL, ",", &save)) != NULL) {
        struct hg_err why;
        int rc = set_option(n, word, &why);

        if (rc != 0)
            return hg_fail(err, rc, "device %.100s: %.400s", name, why.text);
    }
    return 0;
}

int hg_bdev_nvme_emu_name(const char *name, struct hg_err *err)
{
    struct emu_name n;
    int rc;

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return 0;
    rc = parse(name, &n, err);
    return rc != 0 ? rc : 1;
}

int hg_bdev_nvme_emu_open(const char *name, struct hg_bdev **out, struct hg_err *err)
{
    struct emu_name n;
    struct nvme_emu *emu;
    int rc = parse(name, &n, err);

    if (rc != 0)
        return rc;
    rc = nvme_emu_open(&n.cfg, &emu, err);
    if (rc != 0)
        return rc;
    for (unsigned i = 0; i < n.n_faults; i++)
        (void)nvme_emu_fault_add(emu, &n.faults[i]);
    rc = nvme_emu_thread_start(emu);
    if (rc != 0) {
        nvme_emu_close(emu);
        return hg_fail(err, rc, "device %s: cannot start its thread: %s", name, strerror(-rc));
    }
    return nvme_bdev_open(nvme_emu_dev(emu), &n.opts, out, err);
}
