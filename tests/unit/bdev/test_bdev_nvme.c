/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The promises of bdev.h on the NVMe driver over the emulated controller, in the forms that change what
 * the driver does. The controller runs in a thread of its own and must have had nothing to complain of.
 * Argument: seed.
 */
#include "../../../drivers/bdev/nvme/nvme_bdev.h"
#include "../../../drivers/bdev/nvme/nvme_emu.h"
#include "body.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool open_emulated(struct body_device *d, const struct nvme_emu_cfg *cfg, char reason[128])
{
    struct nvme_opts opts = nvme_opts_default();
    struct hg_err err = {""};
    struct nvme_emu *emu;

    if (nvme_emu_open(cfg, &emu, &err) != 0) {
        snprintf(reason, 128, "%.127s", err.text);
        return false;
    }
    d->own = emu;
    if (nvme_emu_thread_start(emu) == 0 &&
        nvme_bdev_open(nvme_emu_dev(emu), &opts, &d->dev, &err) == 0)
        return true;
    snprintf(reason, 128, "%.127s", err.text);
    nvme_emu_thread_stop(emu);
    nvme_emu_close(emu);
    return false;
}

static bool open_512(struct body_device *d, char reason[128])
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(BODY_SIZE, 512);

    return open_emulated(d, &cfg, reason);
}

static bool open_4096(struct body_device *d, char reason[128])
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(BODY_SIZE, 4096);

    return open_emulated(d, &cfg, reason);
}

/* SGLs, shadow doorbells, doorbells far apart. */
static bool open_rich(struct body_device *d, char reason[128])
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(BODY_SIZE, 512);

    cfg.sgls = 1;
    cfg.dbbuf = true;
    cfg.dstrd = 2;
    return open_emulated(d, &cfg, reason);
}

/* Completions in another order than the commands came. */
static bool open_shuffled(struct body_device *d, char reason[128])
{
    struct nvme_emu_mood mood = {.reorder = 1};

    if (!open_512(d, reason))
        return false;
    nvme_emu_mood(d->own, &mood);
    return true;
}

/* Small transfers, tiny queues, no cache, none of the optional commands. */
static bool open_poor(struct body_device *d, char reason[128])
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(BODY_SIZE, 512);

    cfg.mdts = 1;
    cfg.entries_max = 4;
    cfg.vwc = false;
    cfg.write_zeroes = cfg.dsm = false;
    return open_emulated(d, &cfg, reason);
}

static void grow(struct body_device *d, uint64_t size)
{
    if (nvme_emu_ns_resize(d->own, 1, size) != 0)
        abort();
}

static void close_emulated(struct body_device *d)
{
    struct nvme_emu *emu = d->own;
    char text[256] = "";

    hg_bdev_close(d->dev);
    nvme_emu_thread_stop(emu);
    if (nvme_emu_errors(emu, text, sizeof text) != 0) {
        printf("the driver has made mistakes: %s\n", text);
        abort();
    }
    nvme_emu_close(emu);
}

#define ALL (BODY_WRITE_ZEROES | BODY_DEALLOCATE | BODY_THREADS)

static const struct body_row rows[] = {
    {"nvme: 512", "nvme", ALL, open_512, grow, close_emulated, NULL},
    {"nvme: 4096", "nvme", ALL, open_4096, grow, close_emulated, NULL},
    {"nvme: all it can have", "nvme", ALL, open_rich, grow, close_emulated, NULL},
    {"nvme: shuffled", "nvme", ALL, open_shuffled, grow, close_emulated, NULL},
    {"nvme: as little as may be", "nvme", BODY_THREADS, open_poor, grow, close_emulated, NULL},
};

int main(int argc, char **argv)
{
    return body_main(rows, HG_ARRAY_LEN(rows), argc, argv);
}
