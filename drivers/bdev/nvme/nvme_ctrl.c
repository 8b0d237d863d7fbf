/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine of nvme_ctrl.h: rows in the order of base spec 3.5.1 (initialisation), 3.6.1
 * (shutdown) and 3.7.2 (reset). A row's enter() acts once, its poll() is asked on every tick: 0 stay,
 * 1 next row, negative errno: the start has failed. Interrupts are never used, so steps about MSI-X
 * and interrupt vectors are left out; so is I/O command set selection beyond the NVM command set.
 */
#include "nvme_ctrl.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AREA "nvme"
#define STEPS_PER_TICK 32u /* rows that need no waiting follow each other at once */

struct row {
    const char *doing; /* "did not ... in time" */
    void (*enter)(struct nvme_ctrl *ctrl);
    int (*poll)(struct nvme_ctrl *ctrl);
    hg_ns (*limit)(const struct nvme_ctrl *ctrl);
};

static enum nvme_phase phase_of(struct nvme_ctrl *ctrl)
{
    return NVME_EPOCH_PHASE(atomic_load_explicit(&ctrl->epoch, memory_order_relaxed));
}

static void set_phase(struct nvme_ctrl *ctrl, enum nvme_phase phase)
{
    uint32_t epoch = atomic_load_explicit(&ctrl->epoch, memory_order_relaxed);

    /* Stopping begins a new generation; everything else belongs to the one it is in. */
    epoch = NVME_EPOCH((epoch >> 2) + (phase == NVME_STOPPING), phase);
    atomic_store_explicit(&ctrl->epoch, epoch, memory_order_release);
}

static void go(struct nvme_ctrl *ctrl, enum nvme_state state)
{
    ctrl->state = state;
    ctrl->entered = false;
}

/* ---- the end, and another beginning ---- */

/* Without a controller there is nothing to delete, and with a dead one nothing to create. */
static void release_links(struct nvme_ctrl *ctrl)
{
    bool dead = phase_of(ctrl) == NVME_DEAD;

    for (struct nvme_link *link = ctrl->links; link != NULL; link = link->next) {
        uint32_t state = atomic_load_explicit(&link->state, memory_order_acquire);

        if (state == NVME_LINK_DROP)
            atomic_store_explicit(&link->state, NVME_LINK_GONE, memory_order_release);
        else if (state == NVME_LINK_WANT && (dead || link->given_up))
            atomic_store_explicit(&link->state, NVME_LINK_REFUSED, memory_order_release);
    }
}

/* The controller reaches no memory any more and knows no queue. */
static void forget(struct nvme_ctrl *ctrl)
{
    nvme_admin_reclaim(ctrl);
    ctrl->working = NULL;
    ctrl->step = 0;
    release_links(ctrl);
}

void nvme_ctrl_dead(struct nvme_ctrl *ctrl, int error, const char *why)
{
    if (ctrl->state == NVME_ST_DEAD)
        return;
    ctrl->dev->ops->halt(ctrl->dev);
    hg_fail(&ctrl->why, error, "NVMe device %s %s", ctrl->dev->name, why);
    snprintf(ctrl->info.state_text, sizeof ctrl->info.state_text, "%s", why);
    hg_log(HG_LOG_ERR, AREA, "%s; it is given up", ctrl->why.text);
    atomic_store(&ctrl->dead_errno, error);
    set_phase(ctrl, NVME_DEAD);
    forget(ctrl);
    go(ctrl, NVME_ST_DEAD);
}

static bool too_many_resets(const struct nvme_ctrl *ctrl)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NVME_RESETS_MAX && i < ctrl->n_resets; i++)
        n += ctrl->now - ctrl->reset_at[i] < NVME_RESET_WINDOW;
    return n >= ctrl->opts.resets;
}

void nvme_ctrl_reset(struct nvme_ctrl *ctrl, const char *why)
{
    char text[200];

    atomic_store(&ctrl->wanted, NULL);
    if (too_many_resets(ctrl)) {
        snprintf(text, sizeof text, "%s, and %u resets in two minutes did not help", why,
                 ctrl->opts.resets);
        nvme_ctrl_dead(ctrl, -EIO, text);
        return;
    }
    hg_log(HG_LOG_WARN, AREA, "NVMe device %s %s; it is reset", ctrl->dev->name, why);
    snprintf(ctrl->info.state_text, sizeof ctrl->info.state_text, "%s", why);
    ctrl->reset_at[ctrl->n_resets++ % NVME_RESETS_MAX] = ctrl->now;
    __atomic_fetch_add(&ctrl->bdev->errors[HG_BDEV_ERR_RESET], 1, __ATOMIC_RELAXED);
    set_phase(ctrl, NVME_STOPPING);
    go(ctrl, NVME_ST_QUIESCE);
}

/* A row has failed; ctrl->why may say how. */
static void fail(struct nvme_ctrl *ctrl, int error)
{
    char text[sizeof ctrl->why.text];

    snprintf(text, sizeof text, "%s", ctrl->why.text);
    if (ctrl->n_resets == 0 || error == -ENODEV)
        nvme_ctrl_dead(ctrl, error, text);
    else
        nvme_ctrl_reset(ctrl, text);
}

/* ---- rows ---- */

static uint32_t csts(const struct nvme_ctrl *ctrl)
{
    return nvme_reg_read32(ctrl->dev, NVME_REG_CSTS);
}

#define FATAL_GRACE HG_MS(500)  /* a fatal status of before the start may take so long to go */
#define QUIRK_DELAY HG_MS(2300) /* as the Linux driver waits */

/* CAP.TO is in units of 500 ms; a controller that tells 0 gets a second. */
static hg_ns ready_limit(const struct nvme_ctrl *ctrl)
{
    unsigned to = NVME_CAP_TO(ctrl->cap);

    return HG_MS(500) * (to == 0 ? 2 : to);
}

static hg_ns disable_limit(const struct nvme_ctrl *ctrl)
{
    return ready_limit(ctrl) + ((ctrl->quirks & NVME_QUIRK_DELAY_READY) != 0 ? QUIRK_DELAY : 0);
}

static hg_ns quiesce_limit(const struct nvme_ctrl *ctrl)
{
    (void)ctrl;
    return NVME_QUIESCE_TIME;
}

static hg_ns admin_limit(const struct nvme_ctrl *ctrl)
{
    return ctrl->opts.admin_timeout;
}

static hg_ns shutdown_limit(const struct nvme_ctrl *ctrl)
{
    hg_ns least = HG_SEC(5); /* RTD3E is 0 for many */

    return (ctrl->rtd3e > least ? ctrl->rtd3e : least) + ready_limit(ctrl);
}

static void enter_nothing(struct nvme_ctrl *ctrl)
{
    (void)ctrl;
}

static int poll_stay(struct nvme_ctrl *ctrl)
{
    (void)ctrl;
    return 0;
}

/* Shards that sleep do not answer; they find out before they touch anything (invariant 1). */
static int poll_quiesce(struct nvme_ctrl *ctrl)
{
    uint32_t epoch = atomic_load_explicit(&ctrl->epoch, memory_order_relaxed);

    for (const struct nvme_link *link = ctrl->links; link != NULL; link = link->next)
        if (atomic_load_explicit(&link->state, memory_order_acquire) == NVME_LINK_LIVE &&
            atomic_load_explicit(&link->acked, memory_order_acquire) != epoch)
            return ctrl->now >= ctrl->deadline;
    return 1;
}

/* CC.EN may only change while CSTS.RDY agrees with it (3.1.3.5), whoever had it before us. */
static int poll_settle(struct nvme_ctrl *ctrl)
{
    bool enabled = (nvme_reg_read32(ctrl->dev, NVME_REG_CC) & NVME_CC_EN) != 0;

    if ((csts(ctrl) & NVME_CSTS_CFS) != 0 || ctrl->now >= ctrl->deadline)
        return 1;
    return enabled == ((csts(ctrl) & NVME_CSTS_RDY) != 0);
}

static void enter_disable(struct nvme_ctrl *ctrl)
{
    uint32_t cc = nvme_reg_read32(ctrl->dev, NVME_REG_CC);

    if ((cc & NVME_CC_EN) != 0)
        nvme_reg_write32(ctrl->dev, NVME_REG_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
}

/* Registers that must be left alone for a while. */
static bool hands_off(const struct nvme_ctrl *ctrl)
{
    return ctrl->state == NVME_ST_DISABLE && ctrl->entered &&
           (ctrl->quirks & NVME_QUIRK_DELAY_READY) != 0 && ctrl->now - ctrl->since < QUIRK_DELAY;
}

/* A fatal status may take a while to go; one that stays is for the next row to tell. */
static int poll_disable(struct nvme_ctrl *ctrl)
{
    uint32_t status;

    if (hands_off(ctrl))
        return 0;
    status = csts(ctrl);
    if ((status & NVME_CSTS_RDY) != 0 ||
        ((status & NVME_CSTS_CFS) != 0 && ctrl->now < ctrl->deadline))
        return 0;
    set_phase(ctrl, NVME_DOWN);
    forget(ctrl);
    return 1;
}

/* 3.5.1 steps 2 to 5 */
static void enter_enable(struct nvme_ctrl *ctrl)
{
    const uint32_t last = NVME_ADMIN_ENTRIES - 1;

    ctrl->dbbuf_on = false;
    nvme_qp_shadow(&ctrl->admin, NULL, NULL, 0);
    nvme_qp_rewind(&ctrl->admin);
    nvme_reg_write32(ctrl->dev, NVME_REG_INTMS, UINT32_MAX);
    nvme_reg_write32(ctrl->dev, NVME_REG_AQA, last << 16 | last);
    nvme_reg_write64(ctrl->dev, NVME_REG_ASQ, ctrl->admin.sq_iova);
    nvme_reg_write64(ctrl->dev, NVME_REG_ACQ, ctrl->admin.cq_iova);
    nvme_reg_write32(ctrl->dev, NVME_REG_CC,
                     NVME_CC_IOCQES | NVME_CC_IOSQES | NVME_CC_MPS(0) | NVME_CC_EN);
}

static int poll_enable(struct nvme_ctrl *ctrl)
{
    uint32_t status = csts(ctrl);

    if ((status & NVME_CSTS_CFS) != 0 && ctrl->now - ctrl->since < FATAL_GRACE)
        return 0;
    if ((status & NVME_CSTS_CFS) != 0)
        return hg_fail(
            &ctrl->why, -EIO,
            "reports a fatal status when it is enabled; if it is a virtual function, its "
            "physical function must bring it online first (nvme virt-mgmt)");
    return (status & NVME_CSTS_RDY) != 0;
}

static void enter_ask(struct nvme_ctrl *ctrl)
{
    const struct nvme_admin_step *step = nvme_admin_step(ctrl->state);
    struct nvme_sqe sqe;

    if (step->needed != NULL && !step->needed(ctrl))
        return;
    step->ask(ctrl, &sqe);
    nvme_admin_start(ctrl, &sqe, step->answer);
}

static int poll_ask(struct nvme_ctrl *ctrl)
{
    int rc;

    if (ctrl->job.busy)
        return 0;
    if (ctrl->job.answer == NULL)
        return 1; /* it was not needed */
    rc = ctrl->job.answer(ctrl);
    ctrl->job.answer = NULL;
    return rc < 0 ? rc : 1;
}

static bool same_caps(const struct nvme_caps *a, const struct nvme_caps *b)
{
    return a->max_bytes == b->max_bytes && a->zeroes_max == b->zeroes_max &&
           a->dealloc_max == b->dealloc_max && a->queues == b->queues && a->sgl == b->sgl &&
           a->write_cache == b->write_cache;
}

/* What a write cache held is gone when the power was; the drive's own count tells, or its state. A
 * reset by us spares the cache. */
static void note_losses(struct nvme_ctrl *ctrl)
{
    bool lost = ctrl->lost_state || ctrl->info.unsafe_shutdowns > ctrl->unsafe_seen;

    if (ctrl->n_resets != 0 && ctrl->caps.write_cache && lost) {
        atomic_fetch_add(&ctrl->losses, 1);
        hg_log(
            HG_LOG_ERR, AREA,
            "NVMe device %s may have lost writes that were not flushed: it has lost power, or was "
            "reset by others",
            ctrl->dev->name);
    }
    ctrl->lost_state = false;
    ctrl->unsafe_seen = ctrl->info.unsafe_shutdowns;
}

static void enter_run(struct nvme_ctrl *ctrl)
{
    if (ctrl->n_resets == 0)
        ctrl->caps = ctrl->found;
    if (!same_caps(&ctrl->caps, &ctrl->found)) {
        nvme_ctrl_dead(ctrl, -EIO, "came back from a reset with other limits than before");
        return;
    }
    note_losses(ctrl);
    ctrl->info.state_text[0] = '\0';
    atomic_store(&ctrl->wanted, NULL);
    set_phase(ctrl, NVME_RUN);
    if (ctrl->n_resets != 0)
        hg_log(HG_LOG_INFO, AREA, "NVMe device %s works again", ctrl->dev->name);
}

static int poll_run(struct nvme_ctrl *ctrl)
{
    const char *wanted = atomic_load(&ctrl->wanted);
    uint32_t status = csts(ctrl);

    if ((status & NVME_CSTS_CFS) != 0)
        nvme_ctrl_reset(ctrl, "reports a fatal status");
    else if ((status & NVME_CSTS_RDY) == 0) {
        ctrl->lost_state = true;
        nvme_ctrl_reset(ctrl, "has lost its state, as after a loss of power or a reset by others");
    } else if (ctrl->admin.strays != ctrl->admin_strays)
        nvme_ctrl_reset(ctrl, "completed an admin command that was not in flight");
    else if (nvme_admin_late(ctrl))
        nvme_ctrl_reset(ctrl, "did not answer an admin command in time");
    else if (wanted != NULL)
        nvme_ctrl_reset(ctrl, wanted);
    else if (ctrl->stopping && !ctrl->job.busy && !ctrl->aborting)
        go(ctrl, NVME_ST_SHUTDOWN);
    else
        nvme_admin_run(ctrl);
    ctrl->admin_strays = ctrl->admin.strays;
    return 0;
}

/* 3.6.1: memory queue based shutdown; the queues were deleted before. */
static void enter_shutdown(struct nvme_ctrl *ctrl)
{
    uint32_t cc = nvme_reg_read32(ctrl->dev, NVME_REG_CC);

    ctrl->step = 0;
    nvme_reg_write32(ctrl->dev, NVME_REG_CC, (cc & ~NVME_CC_SHN_MASK) | NVME_CC_SHN_NORMAL);
}

/* Late or not: what follows makes sure of the memory. */
static int poll_shutdown(struct nvme_ctrl *ctrl)
{
    bool late = ctrl->now >= ctrl->deadline;

    if (late)
        hg_log(HG_LOG_WARN, AREA, "NVMe device %s does not confirm its shutdown", ctrl->dev->name);
    if (ctrl->step == 0 && NVME_CSTS_SHST(csts(ctrl)) == NVME_SHST_COMPLETE) {
        enter_disable(ctrl);
        ctrl->step = 1;
    }
    return late || (ctrl->step == 1 && (csts(ctrl) & NVME_CSTS_RDY) == 0);
}

/* Also from the midst of a start, which is then undone without waiting for it. */
static void enter_off(struct nvme_ctrl *ctrl)
{
    enter_disable(ctrl);
    ctrl->dev->ops->halt(ctrl->dev);
    set_phase(ctrl, NVME_DOWN);
    forget(ctrl);
}

#define ASK(what)                                                                                  \
    {                                                                                              \
        what, enter_ask, poll_ask, admin_limit                                                     \
    }

static const struct row rows[NVME_STATES] = {
    [NVME_ST_QUIESCE] = {"stand still", enter_nothing, poll_quiesce, quiesce_limit},
    [NVME_ST_SETTLE] = {"settle", enter_nothing, poll_settle, ready_limit},
    [NVME_ST_DISABLE] = {"disable itself", enter_disable, poll_disable, disable_limit},
    [NVME_ST_ENABLE] = {"become ready", enter_enable, poll_enable, ready_limit},
    [NVME_ST_ID_CTRL] = ASK("identify itself"),
    [NVME_ST_ID_NVM] = ASK("tell the limits of its commands"),
    [NVME_ST_QUEUES] = ASK("tell its number of queues"),
    [NVME_ST_DBBUF] = ASK("take shadow doorbells"),
    [NVME_ST_NS_LIST] = ASK("list its namespaces"),
    [NVME_ST_ID_NS] = ASK("identify the namespace"),
    [NVME_ST_WRITE_CACHE] = ASK("tell about its write cache"),
    [NVME_ST_EVENTS] = ASK("set up its events"),
    [NVME_ST_HEALTH] = ASK("tell its health"),
    [NVME_ST_RUN] = {"run", enter_run, poll_run, NULL},
    [NVME_ST_SHUTDOWN] = {"shut down", enter_shutdown, poll_shutdown, shutdown_limit},
    [NVME_ST_OFF] = {"be off", enter_off, poll_stay, NULL},
    [NVME_ST_DEAD] = {"be dead", enter_nothing, poll_stay, NULL},
};

/* One row's turn; whether the next may follow at once. */
static bool step(struct nvme_ctrl *ctrl)
{
    const struct row *row = &rows[ctrl->state];
    enum nvme_state before = ctrl->state;
    int rc;

    if (!ctrl->entered) {
        ctrl->entered = true;
        ctrl->since = ctrl->now;
        ctrl->deadline = row->limit != NULL ? ctrl->now + row->limit(ctrl) : 0;
        row->enter(ctrl);
        if (ctrl->state != before)
            return true;
        nvme_sq_ring(&ctrl->admin.sq);
    }
    rc = row->poll(ctrl);
    if (rc == 0 && ctrl->state == before && row->limit != NULL && ctrl->now >= ctrl->deadline)
        rc = hg_fail(&ctrl->why, -ETIMEDOUT, "did not %s within %llu ms", row->doing,
                     (unsigned long long)((ctrl->deadline - ctrl->since) / HG_MS(1)));
    if (rc < 0)
        fail(ctrl, rc);
    else if (rc > 0)
        go(ctrl, ctrl->state + 1);
    return ctrl->state != before;
}

#define GAP HG_SEC(1) /* between ticks: nobody looked, so nobody is late */

/* Two tickers may come with times in the wrong order. A process that was stopped, or a machine that
 * was, gives everybody the time back. */
static void take_time(struct nvme_ctrl *ctrl, hg_ns now)
{
    hg_ns gap = now > ctrl->now && ctrl->now != 0 ? now - ctrl->now : 0;

    if (now > ctrl->now)
        ctrl->now = now;
    if (gap > GAP) {
        nvme_admin_postpone(ctrl, gap);
        if (ctrl->deadline != 0)
            ctrl->deadline += gap;
    }
}

void nvme_ctrl_tick(struct nvme_ctrl *ctrl, hg_ns now)
{
    if (pthread_mutex_trylock(&ctrl->lock) != 0)
        return;
    take_time(ctrl, now);
    if (ctrl->state < NVME_ST_OFF && !hands_off(ctrl)) {
        ctrl->dev->ops->attend(ctrl->dev);
        if (csts(ctrl) == NVME_REG_GONE)
            nvme_ctrl_dead(ctrl, -ENODEV, "is gone from the bus");
        else if (ctrl->state > NVME_ST_ENABLE && ctrl->state < NVME_ST_SHUTDOWN)
            (void)nvme_qp_reap(&ctrl->admin, NVME_ADMIN_ENTRIES);
    }
    for (unsigned i = 0; i < STEPS_PER_TICK && step(ctrl); i++)
        ;
    nvme_sq_ring(&ctrl->admin.sq);
    if (phase_of(ctrl) == NVME_DEAD || phase_of(ctrl) == NVME_DOWN)
        release_links(ctrl);
    pthread_mutex_unlock(&ctrl->lock);
}

/* ---- from outside ---- */

static int check_cap(struct nvme_ctrl *ctrl, struct hg_err *err)
{
    const char *name = ctrl->dev->name;
    unsigned entries;

    ctrl->cap = nvme_reg_read64(ctrl->dev, NVME_REG_CAP);
    if (csts(ctrl) == NVME_REG_GONE)
        return hg_fail(err, -ENODEV, "NVMe device %s does not answer on the bus", name);
    if ((NVME_CAP_CSS(ctrl->cap) & 1u) == 0)
        return hg_fail(err, -ENOTSUP, "NVMe device %s has no NVM command set", name);
    if (NVME_CAP_MPSMIN(ctrl->cap) != 0)
        return hg_fail(err, -ENOTSUP, "NVMe device %s needs memory pages of %u bytes, not 4096",
                       name, NVME_PAGE << NVME_CAP_MPSMIN(ctrl->cap));
    entries = NVME_CAP_MQES(ctrl->cap) + 1;
    if (entries < 2)
        return hg_fail(err, -EPROTO, "NVMe device %s has queues of one entry", name);
    ctrl->found.mqes = 1u << (31 - __builtin_clz(entries));
    return 0;
}

int nvme_ctrl_init(struct nvme_ctrl *ctrl, struct nvme_dev *dev, const struct nvme_opts *opts,
                   struct hg_err *err)
{
    struct nvme_qp_cfg cfg = {
        .entries = NVME_ADMIN_ENTRIES, .cq_entries = NVME_ADMIN_ENTRIES, .done = nvme_admin_done};
    int rc;

    assert(opts->resets >= 2 && opts->resets <= NVME_RESETS_MAX);
    ctrl->dev = dev;
    ctrl->opts = *opts;
    ctrl->state = NVME_ST_SETTLE;
    ctrl->info.kind = "nvme";
    ctrl->info.numa_node = dev->numa_node;
    ctrl->quirks = nvme_quirks(dev->pci_vendor, dev->pci_device);
    atomic_store(&ctrl->epoch, NVME_EPOCH(0, NVME_DOWN));
    pthread_mutex_init(&ctrl->lock, NULL);
    rc = check_cap(ctrl, err);
    if (rc != 0)
        return rc;
    cfg.dstrd = NVME_CAP_DSTRD(ctrl->cap);
    rc = nvme_qp_alloc(&ctrl->admin, dev, &cfg);
    if (rc != 0)
        return hg_fail(err, rc, "NVMe device %s: no memory for the admin queue, or no doorbells",
                       dev->name);
    ctrl->data = dev->ops->dma_alloc(dev, NVME_PAGE, &ctrl->data_iova);
    if (ctrl->data == NULL)
        return hg_fail(err, -ENOMEM, "NVMe device %s: no memory the device can reach", dev->name);
    return 0;
}

void nvme_ctrl_fini(struct nvme_ctrl *ctrl)
{
    const struct nvme_dev_ops *ops = ctrl->dev->ops;

    assert(ctrl->links == NULL);
    if (ctrl->dbbuf != NULL)
        ops->dma_free(ctrl->dev, ctrl->dbbuf, (size_t)2 * NVME_PAGE);
    if (ctrl->data != NULL)
        ops->dma_free(ctrl->dev, ctrl->data, NVME_PAGE);
    nvme_qp_free(&ctrl->admin);
    pthread_mutex_destroy(&ctrl->lock);
}

int nvme_ctrl_started(struct nvme_ctrl *ctrl, struct hg_err *err)
{
    int rc = 0;

    pthread_mutex_lock(&ctrl->lock);
    if (ctrl->state == NVME_ST_RUN)
        rc = 1;
    else if (ctrl->state == NVME_ST_DEAD)
        rc = hg_fail(err, atomic_load(&ctrl->dead_errno), "%s", ctrl->why.text);
    pthread_mutex_unlock(&ctrl->lock);
    return rc;
}

void nvme_ctrl_stop(struct nvme_ctrl *ctrl, hg_ns now)
{
    pthread_mutex_lock(&ctrl->lock);
    take_time(ctrl, now);
    ctrl->stopping = true;
    if (ctrl->state < NVME_ST_RUN)
        go(ctrl, NVME_ST_OFF);
    pthread_mutex_unlock(&ctrl->lock);
}

bool nvme_ctrl_stopped(struct nvme_ctrl *ctrl)
{
    bool stopped;

    pthread_mutex_lock(&ctrl->lock);
    stopped = ctrl->state >= NVME_ST_OFF && ctrl->entered;
    pthread_mutex_unlock(&ctrl->lock);
    return stopped;
}

void nvme_ctrl_want_reset(struct nvme_ctrl *ctrl, const char *why)
{
    atomic_store(&ctrl->wanted, why);
}

uint16_t nvme_ctrl_qid_get(struct nvme_ctrl *ctrl)
{
    uint16_t qid = 0;

    pthread_mutex_lock(&ctrl->lock);
    for (unsigned i = 1; i <= ctrl->caps.queues && i <= HG_BDEV_CHANS_MAX && qid == 0; i++)
        if (!ctrl->qid_used[i])
            qid = (uint16_t)i;
    ctrl->qid_used[qid] = qid != 0;
    pthread_mutex_unlock(&ctrl->lock);
    return qid;
}

void nvme_ctrl_qid_put(struct nvme_ctrl *ctrl, uint16_t qid)
{
    pthread_mutex_lock(&ctrl->lock);
    ctrl->qid_used[qid] = false;
    pthread_mutex_unlock(&ctrl->lock);
}

void nvme_ctrl_link(struct nvme_ctrl *ctrl, struct nvme_link *link)
{
    pthread_mutex_lock(&ctrl->lock);
    link->next = ctrl->links;
    ctrl->links = link;
    pthread_mutex_unlock(&ctrl->lock);
}

void nvme_ctrl_unlink(struct nvme_ctrl *ctrl, struct nvme_link *link)
{
    struct nvme_link **at = &ctrl->links;

    pthread_mutex_lock(&ctrl->lock);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    pthread_mutex_unlock(&ctrl->lock);
}
