/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See sim_disk.h. The driver over the emulated controller, on a clock that goes on with every poll.
 *
 * The disk passes requests on to a driver that is opened anew after each cut or kill. Then the
 * controller first loses power (or not), and is gone from the bus as the driver sees it, so that the
 * driver gives everything back and can be closed; what it reports then nobody hears.
 *
 * In every life the controller has at most one trouble that the driver has to mend without anybody
 * noticing, and may complete out of order.
 */
#include "sim_disk.h"
#include "../../drivers/bdev/bdev_impl.h"
#include "../../drivers/bdev/nvme/nvme_bdev.h"
#include "../../drivers/bdev/nvme/nvme_emu.h"
#include "../../drivers/bdev/nvme/nvme_spec.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN HG_US(50)
#define TICK_EVERY 8u     /* turns */
#define LIVELOCK 1000000u /* turns after which nothing is expected to happen any more */

struct disk_chan {
    struct hg_bdev_chan base;
    struct hg_bdev_chan *inner; /* NULL: it died */
    struct disk_chan *next;
};

struct sim_disk {
    struct hg_bdev base;
    struct nvme_emu *emu;
    struct hg_bdev *inner;
    struct disk_chan *chans;
    hg_ns now;
    uint64_t seed, random, turns;
};

static struct {
    struct nvme_emu_stats emu;
    uint64_t errors[HG_BDEV_ERRORS];
} total;

static struct sim_disk *disk_of(struct hg_bdev *base)
{
    return HG_CONTAINER_OF(base, struct sim_disk, base);
}

__attribute__((format(printf, 2, 3), noreturn)) static void die(const struct sim_disk *disk,
                                                                const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "%s (its seed %llu): ", disk->base.name, (unsigned long long)disk->seed);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static uint64_t draw(struct sim_disk *disk, uint64_t below)
{
    uint64_t z = (disk->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* ---- time ---- */

static hg_ns disk_clock(void *arg)
{
    return ((struct sim_disk *)arg)->now;
}

static void disk_turn(void *arg)
{
    struct sim_disk *disk = arg;

    disk->now += TURN;
    (void)nvme_emu_poll(disk->emu, disk->now);
    if (++disk->turns % TICK_EVERY == 0 && disk->inner != NULL)
        hg_bdev_tick(disk->inner, disk->now);
}

/* ---- the driver's lives ---- */

/* Something that the driver mends by itself, or nothing. */
static void trouble(struct sim_disk *disk)
{
    static const struct nvme_emu_fault kinds[] = {
        {.kind = NVME_EMU_FAIL, .status = NVME_STATUS_MAKE(NVME_SCT_GENERIC, NVME_SC_INTERNAL)},
        {.kind = NVME_EMU_LATE, .delay_ns = NVME_EMU_NEVER},
        {.kind = NVME_EMU_LATE, .delay_ns = HG_MS(2)},
        {.kind = NVME_EMU_LOSE},
        {.kind = NVME_EMU_DUPLICATE},
        {.kind = NVME_EMU_CID_FREE},
        {.kind = NVME_EMU_CID_RANGE},
        {.kind = NVME_EMU_SQID},
        {.kind = NVME_EMU_FATAL},
    };
    struct nvme_emu_mood mood = {.reorder = draw(disk, 2) * (1 + draw(disk, UINT32_MAX))};
    struct nvme_emu_fault fault = kinds[draw(disk, HG_ARRAY_LEN(kinds))];

    nvme_emu_mood(disk->emu, &mood);
    fault.opc = NVME_EMU_ANY;
    fault.first = 1 + draw(disk, 100);
    if (draw(disk, 2) == 0)
        (void)nvme_emu_fault_add(disk->emu, &fault);
}

static void start(struct sim_disk *disk)
{
    struct nvme_opts opts = nvme_opts_default();
    struct hg_err err = {""};

    opts.host = (struct nvme_host){disk_clock, disk_turn, disk};
    opts.io_timeout = HG_MS(20);
    opts.admin_timeout = HG_MS(20);
    nvme_emu_fault_clear(disk->emu);
    if (nvme_bdev_open(nvme_emu_dev(disk->emu), &opts, &disk->inner, &err) != 0)
        die(disk, "the driver does not start: %s", err.text);
}

/* Until the driver has given everything back. */
static void drain(struct sim_disk *disk, struct disk_chan *chan)
{
    struct hg_bdev_io *dropped[64];

    for (unsigned i = 0; chan->inner->in_flight > 0; i++) {
        if (i == LIVELOCK)
            die(disk, "%u requests never come back from a device that is gone",
                chan->inner->in_flight);
        disk_turn(disk);
        (void)hg_bdev_poll(chan->inner, dropped, HG_ARRAY_LEN(dropped), disk->now);
    }
}

static void stop(struct sim_disk *disk)
{
    struct hg_bdev *inner = disk->inner;

    for (struct disk_chan *chan = disk->chans; chan != NULL; chan = chan->next) {
        if (chan->inner == NULL)
            continue;
        drain(disk, chan);
        hg_bdev_chan_close(chan->inner);
        chan->inner = NULL;
        chan->base.in_flight = 0;
    }
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        total.errors[i] += inner->errors[i];
    hg_bdev_close(inner);
    disk->inner = NULL;
}

/* Power or not, the process that used the disk is no more. */
static void end_life(struct sim_disk *disk, bool power_cut)
{
    if (power_cut)
        nvme_emu_power_cut(disk->emu, draw(disk, UINT64_MAX));
    nvme_emu_remove(disk->emu);
    stop(disk);
    nvme_emu_insert(disk->emu);
    start(disk);
}

/* ---- the block device ---- */

static int disk_chan_open(struct hg_bdev *base, unsigned depth, const struct hg_arena_region *mem,
                          struct hg_bdev_chan **out, struct hg_err *err)
{
    struct sim_disk *disk = disk_of(base);
    struct disk_chan *chan = calloc(1, sizeof *chan);
    int rc;

    if (chan == NULL)
        return hg_fail(err, -1, "%s: no memory", base->name);
    rc = hg_bdev_chan_open(disk->inner, depth, mem, &chan->inner, err);
    if (rc != 0) {
        free(chan);
        return rc;
    }
    chan->base.dev = base;
    chan->base.depth = depth;
    chan->next = disk->chans;
    disk->chans = chan;
    *out = &chan->base;
    return 0;
}

static void disk_chan_close(struct hg_bdev_chan *base)
{
    struct disk_chan *chan = HG_CONTAINER_OF(base, struct disk_chan, base);
    struct disk_chan **at = &disk_of(base->dev)->chans;

    while (*at != chan)
        at = &(*at)->next;
    *at = chan->next;
    hg_bdev_chan_close(chan->inner);
    free(chan);
}

static unsigned disk_submit(struct hg_bdev_chan *base, struct hg_bdev_io **ios, unsigned n)
{
    struct disk_chan *chan = HG_CONTAINER_OF(base, struct disk_chan, base);

    return chan->inner == NULL ? 0 : hg_bdev_submit(chan->inner, ios, n, disk_of(base->dev)->now);
}

static unsigned disk_poll(struct hg_bdev_chan *base, struct hg_bdev_io **done, unsigned max)
{
    struct disk_chan *chan = HG_CONTAINER_OF(base, struct disk_chan, base);
    struct sim_disk *disk = disk_of(base->dev);

    if (chan->inner == NULL)
        return 0;
    disk_turn(disk);
    return hg_bdev_poll(chan->inner, done, max, disk->now);
}

static int disk_resize(struct hg_bdev *base)
{
    (void)base;
    return 0;
}

static void disk_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    hg_bdev_info(disk_of(base)->inner, info);
}

static void disk_close(struct hg_bdev *base)
{
    bdev_fini(base);
}

static const struct hg_bdev_ops disk_ops = {
    .chan_open = disk_chan_open,
    .chan_close = disk_chan_close,
    .submit = disk_submit,
    .poll = disk_poll,
    .resize = disk_resize,
    .tick = bdev_no_tick,
    .info = disk_info,
    .close = disk_close,
};

/* ---- sim_disk.h ---- */

struct sim_disk *sim_disk_open(const struct sim_disk_cfg *cfg)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    struct nvme_emu_cfg emu;
    struct hg_err err = {""};

    if (disk == NULL)
        abort();
    disk->seed = disk->random = cfg->seed;
    disk->now = HG_SEC(1);
    bdev_init(&disk->base, &disk_ops, cfg->name);
    emu = nvme_emu_cfg_default(cfg->size, draw(disk, 2) == 0 ? 512 : 4096);
    emu.mdts = (uint8_t)(1 + draw(disk, 6));
    emu.dbbuf = draw(disk, 2) == 0;
    emu.sgls = draw(disk, 3) == 0;
    emu.vwc = draw(disk, 8) != 0;
    emu.entries_max = draw(disk, 3) == 0 ? 8 : 1024;
    emu.cache_bytes = (size_t)1 << (16 + draw(disk, 8));
    if (nvme_emu_open(&emu, &disk->emu, &err) != 0)
        die(disk, "%s", err.text);
    start(disk);
    disk->base.size = disk->inner->size;
    disk->base.block = disk->inner->block;
    disk->base.volatile_cache = disk->inner->volatile_cache;
    return disk;
}

void sim_disk_close(struct sim_disk *disk)
{
    struct nvme_emu_stats s;
    char text[256];

    stop(disk);
    nvme_emu_stats(disk->emu, &s);
    if (nvme_emu_errors(disk->emu, text, sizeof text) != 0)
        die(disk, "the driver did what it must not: %s", text);
#define ADD(name, sentence) total.emu.name += s.name;
    NVME_EMU_EVENTS(ADD)
#undef ADD
    nvme_emu_close(disk->emu);
    hg_bdev_close(&disk->base);
    free(disk);
}

struct hg_bdev *sim_disk_dev(struct sim_disk *disk)
{
    return &disk->base;
}

void sim_disk_arm(struct sim_disk *disk, enum hg_bdev_op op, uint64_t nth)
{
    struct nvme_emu_fault fault = {.kind = NVME_EMU_FAIL,
                                   .opc = op == HG_BDEV_FLUSH ? NVME_NVM_FLUSH : NVME_NVM_WRITE,
                                   .first = nth,
                                   .status = NVME_STATUS_MAKE(NVME_SCT_GENERIC, NVME_SC_INTERNAL) |
                                             NVME_STATUS_DNR};

    nvme_emu_fault_clear(disk->emu);
    if (nth != 0)
        (void)nvme_emu_fault_add(disk->emu, &fault);
    else
        trouble(disk);
}

void sim_disk_crash(struct sim_disk *disk)
{
    end_life(disk, true);
}

void sim_disk_kill(struct sim_disk *disk)
{
    end_life(disk, false);
}

bool sim_disk_report(void)
{
    const struct nvme_emu_stats *s = &total.emu;
    const uint64_t *e = total.errors;

    printf("disks: %llu reads, %llu writes, %llu flushes, %llu power cuts (writes %llu kept, %llu "
           "lost, %llu torn), %llu faults, %llu timeouts, %llu aborted, %llu sent again, %llu "
           "resets\n",
           (unsigned long long)s->reads, (unsigned long long)s->writes,
           (unsigned long long)s->flushes, (unsigned long long)s->power_cuts,
           (unsigned long long)s->kept, (unsigned long long)s->lost, (unsigned long long)s->torn,
           (unsigned long long)s->injected, (unsigned long long)e[HG_BDEV_ERR_TIMEOUT],
           (unsigned long long)e[HG_BDEV_ERR_ABORTED], (unsigned long long)e[HG_BDEV_ERR_RETRIED],
           (unsigned long long)e[HG_BDEV_ERR_RESET]);
    if (s->kept != 0 && s->lost != 0 && s->torn != 0 && e[HG_BDEV_ERR_TIMEOUT] != 0 &&
        e[HG_BDEV_ERR_ABORTED] != 0 && e[HG_BDEV_ERR_RETRIED] != 0 && e[HG_BDEV_ERR_RESET] != 0)
        return true;
    fprintf(stderr, "a kind of trouble with disks was never exercised\n");
    return false;
}
