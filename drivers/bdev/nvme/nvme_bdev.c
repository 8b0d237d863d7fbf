/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing, which wait; nvme_io.c and nvme_join.c never do. */
#include "nvme_bdev.h"
#include "nvme_chan.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE HG_US(50) /* between looks at a controller that is waited for */

static struct nvme_ctrl *ctrl_of(struct hg_bdev *base)
{
    return &HG_CONTAINER_OF(base, struct nvme_bdev, base)->ctrl;
}

static hg_ns real_clock(void *arg)
{
    (void)arg;
    return hg_bdev_clock();
}

static void real_pause(void *arg)
{
    const struct timespec pause = {.tv_nsec = (long)PAUSE};

    (void)arg;
    nanosleep(&pause, NULL);
}

static hg_ns clock_of(struct nvme_ctrl *ctrl)
{
    return ctrl->opts.host.clock(ctrl->opts.host.arg);
}

/* Opening and closing wait; the data path never comes here. */
static void wait_a_little(struct nvme_ctrl *ctrl)
{
    nvme_ctrl_tick(ctrl, clock_of(ctrl));
    ctrl->opts.host.pause(ctrl->opts.host.arg);
}

/* ---- channels ---- */

static void free_chan(struct nvme_chan *chan)
{
    struct nvme_dev *dev = chan->ctrl->dev;

    if (chan->mem.len != 0)
        dev->ops->dma_unmap(dev, chan->mem.base, chan->mem.len);
    if (chan->bounce != NULL)
        dev->ops->dma_free(dev, chan->bounce, (size_t)NVME_BOUNCES * NVME_BOUNCE_BYTES);
    if (chan->qp.qid != 0)
        nvme_ctrl_qid_put(chan->ctrl, chan->qp.qid);
    nvme_qp_free(&chan->qp);
    free(chan);
}

static int alloc_queues(struct nvme_chan *chan, uint16_t qid, struct hg_err *err)
{
    struct nvme_ctrl *ctrl = chan->ctrl;
    struct nvme_qp_cfg cfg = {.qid = qid,
                              .entries = 2,
                              .dstrd = NVME_CAP_DSTRD(ctrl->cap),
                              .lists = true,
                              .done = nvme_io_done};
    unsigned most = ctrl->caps.mqes < NVME_QP_REQS_MAX + 1 ? ctrl->caps.mqes : NVME_QP_REQS_MAX + 1;
    int rc;

    while (cfg.entries <= chan->base.depth && cfg.entries < most)
        cfg.entries *= 2;
    cfg.cq_entries = 2 * cfg.entries <= ctrl->caps.mqes ? 2 * cfg.entries : cfg.entries;
    rc = nvme_qp_alloc(&chan->qp, ctrl->dev, &cfg);
    if (rc != 0) {
        if (chan->qp.qid == 0)
            nvme_ctrl_qid_put(ctrl, qid);
        return hg_fail(err, rc, "NVMe device %s: no memory for a queue of %u commands",
                       ctrl->dev->name, cfg.entries);
    }
    chan->bounce = ctrl->dev->ops->dma_alloc(ctrl->dev, (size_t)NVME_BOUNCES * NVME_BOUNCE_BYTES,
                                             &chan->bounce_iova);
    if (chan->bounce == NULL)
        return hg_fail(err, -ENOMEM, "NVMe device %s: no memory for bounce buffers",
                       ctrl->dev->name);
    chan->free_bounces = (1u << NVME_BOUNCES) - 1;
    return 0;
}

static int map_region(struct nvme_chan *chan, const struct hg_arena_region *mem, struct hg_err *err)
{
    struct nvme_dev *dev = chan->ctrl->dev;
    int rc;

    if (mem == NULL)
        return 0;
    rc = dev->ops->dma_map(dev, mem->base, mem->len, &chan->mem_iova);
    if (rc != 0)
        return hg_fail(err, rc, "NVMe device %s: cannot map %zu bytes of payload memory: %s",
                       dev->name, mem->len, strerror(-rc));
    chan->mem = *mem;
    return 0;
}

static int wait_live(struct nvme_chan *chan, struct hg_err *err)
{
    struct nvme_ctrl *ctrl = chan->ctrl;

    for (;;) {
        uint32_t state;

        nvme_join(chan);
        if (chan->live == atomic_load_explicit(&ctrl->epoch, memory_order_acquire))
            return 0;
        state = atomic_load_explicit(&chan->link.state, memory_order_acquire);
        if (NVME_EPOCH_PHASE(atomic_load(&ctrl->epoch)) == NVME_DEAD) {
            int rc = nvme_ctrl_started(ctrl, err);

            return rc < 0 ? rc : -EIO;
        }
        if (state == NVME_LINK_REFUSED)
            return hg_fail(err, -EIO, "NVMe device %s refuses to create queue %u: %s",
                           ctrl->dev->name, chan->qp.qid,
                           nvme_status_verdict(chan->link.refusal).text);
        wait_a_little(ctrl);
    }
}

/* Until the controller has forgotten the queues, in whatever state it is. */
static void leave(struct nvme_chan *chan)
{
    for (;;) {
        uint32_t state = atomic_load_explicit(&chan->link.state, memory_order_acquire);

        if (state == NVME_LINK_OUT || state == NVME_LINK_GONE || state == NVME_LINK_REFUSED)
            break;
        if (state == NVME_LINK_LIVE)
            atomic_store_explicit(&chan->link.state, NVME_LINK_DROP, memory_order_release);
        wait_a_little(chan->ctrl);
    }
    nvme_ctrl_unlink(chan->ctrl, &chan->link);
}

static int nvme_chan_open(struct hg_bdev *dev, unsigned depth, const struct hg_arena_region *mem,
                          struct hg_bdev_chan **out, struct hg_err *err)
{
    struct nvme_ctrl *ctrl = ctrl_of(dev);
    struct nvme_chan *chan;
    uint16_t qid = nvme_ctrl_qid_get(ctrl);
    int rc;

    if (qid == 0)
        return hg_fail(
            err, -EBUSY,
            "NVMe device %s has %u I/O queues and all are in use; each shard needs one, and "
            "one more is needed while a pool is opened",
            ctrl->dev->name, ctrl->caps.queues);
    chan = aligned_alloc(64, (sizeof *chan + 63) / 64 * 64);
    if (chan == NULL) {
        nvme_ctrl_qid_put(ctrl, qid);
        return hg_fail(err, -ENOMEM, "NVMe device %s: no memory for a channel", ctrl->dev->name);
    }
    memset(chan, 0, sizeof *chan);
    chan->base.dev = dev;
    chan->base.depth = depth;
    chan->ctrl = ctrl;
    chan->losses_seen = atomic_load(&ctrl->losses);
    chan->live = NVME_NOT_LIVE;
    chan->held = NVME_NO_REQ;
    bdev_fifo_init(&chan->pending);
    bdev_fifo_init(&chan->done);
    rc = alloc_queues(chan, qid, err);
    if (rc == 0)
        rc = map_region(chan, mem, err);
    if (rc != 0) {
        free_chan(chan);
        return rc;
    }
    chan->link.qp = &chan->qp;
    nvme_ctrl_link(ctrl, &chan->link);
    rc = wait_live(chan, err);
    if (rc != 0) {
        leave(chan);
        free_chan(chan);
        return rc;
    }
    *out = &chan->base;
    return 0;
}

static void nvme_chan_close(struct hg_bdev_chan *base)
{
    struct nvme_chan *chan = nvme_chan_of(base);

    leave(chan);
    free_chan(chan);
}

/* ---- the device ---- */

static void nvme_tick(struct hg_bdev *base, hg_ns now)
{
    nvme_ctrl_tick(ctrl_of(base), now);
}

/* base.size follows what the controller answers; one that is being reset answers at its start. */
static int nvme_resize(struct hg_bdev *base)
{
    struct nvme_ctrl *ctrl = ctrl_of(base);
    hg_ns end = clock_of(ctrl) + ctrl->opts.admin_timeout;
    bool done = false;
    int rc;

    pthread_mutex_lock(&ctrl->lock);
    ctrl->relook = true;
    pthread_mutex_unlock(&ctrl->lock);
    while (!done) {
        if (clock_of(ctrl) > end)
            return -ETIMEDOUT;
        wait_a_little(ctrl);
        pthread_mutex_lock(&ctrl->lock);
        done = (!ctrl->relook && ctrl->job.answer == NULL && ctrl->state == NVME_ST_RUN) ||
               ctrl->state == NVME_ST_DEAD;
        pthread_mutex_unlock(&ctrl->lock);
    }
    rc = atomic_load(&ctrl->dead_errno);
    return rc != 0 ? rc : ctrl->relook_error;
}

static void nvme_info(struct hg_bdev *base, struct hg_bdev_info *info)
{
    struct nvme_ctrl *ctrl = ctrl_of(base);
    struct hg_bdev_info out;

    pthread_mutex_lock(&ctrl->lock);
    out = ctrl->info;
    if (ctrl->state == NVME_ST_RUN)
        out.state = HG_BDEV_OK;
    else if (ctrl->state >= NVME_ST_OFF)
        out.state = HG_BDEV_DEAD;
    else
        out.state = ctrl->n_resets == 0 ? HG_BDEV_STARTING : HG_BDEV_RESETTING;
    pthread_mutex_unlock(&ctrl->lock);
    memcpy(out.errors, info->errors, sizeof out.errors);
    *info = out;
}

static void destroy(struct nvme_bdev *nb)
{
    struct nvme_dev *dev = nb->ctrl.dev;

    nvme_ctrl_fini(&nb->ctrl);
    bdev_fini(&nb->base);
    free(nb);
    dev->ops->close(dev);
}

static void nvme_close(struct hg_bdev *base)
{
    struct nvme_ctrl *ctrl = ctrl_of(base);

    nvme_ctrl_stop(ctrl, clock_of(ctrl));
    while (!nvme_ctrl_stopped(ctrl))
        wait_a_little(ctrl);
    destroy(HG_CONTAINER_OF(base, struct nvme_bdev, base));
}

static const struct hg_bdev_ops nvme_ops = {
    .chan_open = nvme_chan_open,
    .chan_close = nvme_chan_close,
    .submit = nvme_io_submit,
    .poll = nvme_io_poll,
    .resize = nvme_resize,
    .tick = nvme_tick,
    .info = nvme_info,
    .close = nvme_close,
};

struct nvme_opts nvme_opts_default(void)
{
    return (struct nvme_opts){.host = {real_clock, real_pause, NULL},
                              .io_timeout = HG_SEC(10),
                              .admin_timeout = HG_SEC(5),
                              .tries = 4,
                              .resets = 3};
}

int nvme_bdev_open(struct nvme_dev *dev, const struct nvme_opts *opts, struct hg_bdev **out,
                   struct hg_err *err)
{
    struct nvme_bdev *nb = aligned_alloc(64, (sizeof *nb + 63) / 64 * 64);
    int rc;

    if (nb == NULL) {
        dev->ops->close(dev);
        return hg_fail(err, -ENOMEM, "NVMe device %s: no memory", dev->name);
    }
    memset(nb, 0, sizeof *nb);
    bdev_init(&nb->base, &nvme_ops, dev->name);
    nb->ctrl.bdev = &nb->base;
    rc = nvme_ctrl_init(&nb->ctrl, dev, opts, err);
    if (rc != 0) {
        destroy(nb);
        return rc;
    }
    while ((rc = nvme_ctrl_started(&nb->ctrl, err)) == 0)
        wait_a_little(&nb->ctrl);
    if (rc < 0) {
        destroy(nb); /* dead: it reaches no memory */
        return rc;
    }
    nb->base.block = 1u << nb->ctrl.ns.shift;
    nb->base.ticks = true;
    nb->base.volatile_cache = nb->ctrl.caps.write_cache;
    *out = &nb->base;
    return 0;
}
