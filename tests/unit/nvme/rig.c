/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"
#include <stdlib.h>
#include <string.h>

#define TURN HG_US(10)
#define LIMIT HG_SEC(10)

static hg_ns rig_clock(void *arg)
{
    return ((struct rig *)arg)->now;
}

static void rig_pause(void *arg)
{
    struct rig *r = arg;

    r->now += TURN;
    (void)nvme_emu_poll(r->emu, r->now);
}

void rig_init(struct rig *r, const struct nvme_emu_cfg *cfg)
{
    memset(r, 0, sizeof *r);
    r->now = HG_SEC(1);
    r->mem = aligned_alloc(HG_BLOCK, RIG_MEM);
    CU_ASSERT_FATAL(r->mem != NULL);
    memset(r->mem, 0, RIG_MEM);
    CU_ASSERT_FATAL(nvme_emu_open(cfg, &r->emu, &r->err) == 0);
    r->opts = nvme_opts_default();
    r->opts.host = (struct nvme_host){rig_clock, rig_pause, r};
    r->opts.io_timeout = HG_MS(100);
    r->opts.admin_timeout = HG_MS(50);
    r->opts.tries = 3;
}

int rig_start(struct rig *r)
{
    r->err.text[0] = '\0';
    return nvme_bdev_open(nvme_emu_dev(r->emu), &r->opts, &r->dev, &r->err);
}

int rig_chan(struct rig *r, unsigned depth)
{
    struct hg_arena_region mem = {r->mem, RIG_MEM};
    int rc = hg_bdev_chan_open(r->dev, depth, &mem, &r->chans[r->n_chans], &r->err);

    r->n_chans += rc == 0;
    return rc;
}

void rig_open(struct rig *r, uint32_t block)
{
    struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, block);

    rig_init(r, &cfg);
    CU_ASSERT_FATAL(rig_start(r) == 0);
    CU_ASSERT_FATAL(rig_chan(r, 32) == 0);
}

bool rig_pools_full(struct rig *r)
{
    bool full = true;

    for (unsigned i = 0; i < r->n_chans; i++) {
        const struct nvme_chan *chan = nvme_chan_of(r->chans[i]);

        full = full && chan->qp.n_free == chan->qp.n_reqs && chan->qp.n_flight == 0 &&
               chan->free_bounces == (1u << NVME_BOUNCES) - 1 && chan->held == NVME_NO_REQ &&
               chan->pending.head == NULL && chan->done.head == NULL;
    }
    return full;
}

void rig_close(struct rig *r)
{
    char text[512] = "";

    CU_ASSERT(rig_pools_full(r));
    while (r->n_chans > 0)
        hg_bdev_chan_close(r->chans[--r->n_chans]);
    hg_bdev_close(r->dev);
    CU_ASSERT(nvme_emu_errors(r->emu, text, sizeof text) == 0);
    if (text[0] != '\0')
        printf("  the controller complains: %s\n", text);
    nvme_emu_close(r->emu);
    free(r->mem);
}

void rig_turn(struct rig *r)
{
    rig_pause(r);
    hg_bdev_tick(r->dev, r->now);
}

void rig_sleep(struct rig *r, hg_ns time)
{
    hg_ns end = r->now + time;

    while (r->now < end)
        rig_turn(r);
}

bool rig_run(struct rig *r, unsigned chan, struct hg_bdev_io *ios, unsigned n)
{
    hg_ns end = r->now + LIMIT;
    unsigned taken = 0;
    unsigned back = 0;

    for (unsigned i = 0; i < n; i++)
        ios[i].status = 1;
    while (back < n && r->now < end) {
        struct hg_bdev_io *done[64];
        struct hg_bdev_io *ptr[64];
        unsigned m = 0;

        while (m < HG_ARRAY_LEN(ptr) && taken + m < n) {
            ptr[m] = &ios[taken + m];
            m++;
        }
        taken += hg_bdev_submit(r->chans[chan], ptr, m, r->now);
        rig_turn(r);
        back += hg_bdev_poll(r->chans[chan], done, HG_ARRAY_LEN(done), r->now);
    }
    return back == n;
}

int rig_io(struct rig *r, enum hg_bdev_op op, uint64_t offset, void *buf, uint64_t len)
{
    struct hg_iov iov = {buf, (uint32_t)len};
    struct hg_bdev_io io = {.op = op, .iov = &iov, .offset = offset, .len = len};

    io.iovcnt = op <= HG_BDEV_WRITE;
    return rig_run(r, 0, &io, 1) ? io.status : 1;
}

int rig_fault(struct rig *r, const char *text)
{
    struct nvme_emu_fault fault;
    struct hg_err err = {""};
    int rc = nvme_emu_fault_parse(text, &fault, &err);

    if (rc != 0)
        printf("  %s: %s\n", text, err.text);
    CU_ASSERT_FATAL(rc == 0);
    rc = nvme_emu_fault_add(r->emu, &fault);
    CU_ASSERT_FATAL(rc >= 0);
    return rc;
}

uint64_t rig_errors(struct rig *r, enum hg_bdev_error kind)
{
    struct hg_bdev_info info;

    hg_bdev_info(r->dev, &info);
    return info.errors[kind];
}

enum hg_bdev_state rig_state(struct rig *r)
{
    struct hg_bdev_info info;

    hg_bdev_info(r->dev, &info);
    return info.state;
}
