/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands of a controller: the questions of its start (base spec 3.5.1 steps 6 to 12), and in
 * RUN the creation and deletion of queues, events, aborts and health. What the device answers is
 * checked here and nowhere else (invariant 6 of nvme_ctrl.h).
 */
#include "nvme_ctrl.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AREA "nvme"
#define MAX_BYTES (2u << 20) /* what one page of PRPs carries at any alignment */
#define RANGE_MAX (1u << 18) /* blocks of one deallocation: more in one command takes too long */
#define DBBUF_BYTES ((size_t)2 * NVME_PAGE)

enum { KIND_JOB, KIND_ABORT, KIND_EVENT };

static struct nvme_ctrl *ctrl_of(struct nvme_qp *qp)
{
    return HG_CONTAINER_OF(qp, struct nvme_ctrl, admin);
}

/* ---- sending ---- */

static void send(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, uint8_t kind)
{
    struct nvme_req *req = nvme_req_get(&ctrl->admin);

    assert(req != NULL); /* a job, an abort and NVME_AERS_MAX events are fewer than trackers */
    req->sqe = *sqe;
    req->kind = kind;
    nvme_qp_submit(&ctrl->admin, req, ctrl->now + ctrl->opts.admin_timeout);
}

void nvme_admin_start(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, nvme_answer_fn answer)
{
    assert(!ctrl->job.busy);
    ctrl->job = (struct nvme_job){.busy = true, .answer = answer};
    send(ctrl, sqe, KIND_JOB);
}

void nvme_admin_done(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe)
{
    struct nvme_ctrl *ctrl = ctrl_of(qp);
    uint16_t status = hg_le16_get(cqe->status) & (uint16_t)~NVME_CQE_PHASE;
    uint32_t dw0 = hg_le32_get(cqe->dw0);

    if (req->kind == KIND_JOB) {
        ctrl->job.busy = false;
        ctrl->job.status = status;
        ctrl->job.dw0 = dw0;
    } else if (req->kind == KIND_ABORT) {
        ctrl->aborting = false; /* whether it helped shows in the command itself */
    } else {
        ctrl->aers_out--;
        if (status != 0)
            ctrl->aers = ctrl->aers_out; /* it takes no more of them */
        else if (NVME_AER_LOG(dw0) < 32)
            ctrl->events |= 1u << NVME_AER_LOG(dw0);
    }
    nvme_req_put(qp, req);
}

void nvme_admin_postpone(struct nvme_ctrl *ctrl, hg_ns time)
{
    struct nvme_req *req;
    unsigned at = 0;

    while ((req = nvme_qp_next_flight(&ctrl->admin, &at)) != NULL)
        req->deadline += time;
}

bool nvme_admin_late(struct nvme_ctrl *ctrl)
{
    const struct nvme_req *req;
    unsigned at = 0;

    while ((req = nvme_qp_next_flight(&ctrl->admin, &at)) != NULL)
        if (req->kind != KIND_EVENT && ctrl->now >= req->deadline)
            return true;
    return false;
}

void nvme_admin_reclaim(struct nvme_ctrl *ctrl)
{
    struct nvme_req *req;
    unsigned at = 0;

    while ((req = nvme_qp_next_flight(&ctrl->admin, &at)) != NULL) {
        nvme_qp_reclaim(&ctrl->admin, req);
        nvme_req_put(&ctrl->admin, req);
    }
    ctrl->job = (struct nvme_job){.busy = false};
    ctrl->aborting = false;
    ctrl->aers_out = 0;
}

int nvme_admin_failed(struct nvme_ctrl *ctrl, const char *what)
{
    struct nvme_verdict v = nvme_status_verdict(ctrl->job.status);

    return hg_fail(&ctrl->why, -EIO, "refuses to %s: %s (status type %u, code %02xh)", what, v.text,
                   NVME_STATUS_SCT(ctrl->job.status), NVME_STATUS_SC(ctrl->job.status));
}

/* ---- what it is ---- */

/* Text in identify data is padded with spaces and not terminated; what is no ASCII is a '?'. */
static void take_text(char *out, const char *in, size_t len)
{
    size_t end = len;

    while (end > 0 && (in[end - 1] == ' ' || in[end - 1] == '\0'))
        end--;
    for (size_t i = 0; i < end; i++)
        out[i] = in[i] >= ' ' && in[i] <= '~' ? in[i] : '?';
    out[end] = '\0';
}

static void ask_ctrl(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    nvme_cmd_identify(sqe, NVME_CNS_CTRL, 0, ctrl->data_iova);
}

static bool have_dbbuf(struct nvme_ctrl *ctrl)
{
    if (ctrl->dbbuf == NULL)
        ctrl->dbbuf = ctrl->dev->ops->dma_alloc(ctrl->dev, DBBUF_BYTES, &ctrl->dbbuf_iova);
    return ctrl->dbbuf != NULL;
}

static int answer_ctrl(struct nvme_ctrl *ctrl)
{
    const struct nvme_id_ctrl *id = ctrl->data;
    uint16_t oncs = hg_le16_get(id->oncs);
    uint32_t max = MAX_BYTES;

    if (ctrl->job.status != 0)
        return nvme_admin_failed(ctrl, "identify itself");
    take_text(ctrl->info.serial, id->sn, sizeof id->sn);
    take_text(ctrl->info.model, id->mn, sizeof id->mn);
    take_text(ctrl->info.firmware, id->fr, sizeof id->fr);
    if ((id->sqes & 0xf) > 6 || id->sqes >> 4 < 6 || (id->cqes & 0xf) > 4 || id->cqes >> 4 < 4)
        return hg_fail(&ctrl->why, -ENOTSUP,
                       "has queue entries of other sizes than 64 and 16 bytes");
    /* 9: 4096 << 9 is MAX_BYTES. */
    if (id->mdts != 0 && id->mdts < 9)
        max = NVME_PAGE << id->mdts;
    ctrl->found.max_bytes = max;
    ctrl->found.sgl = (hg_le32_get(id->sgls) & 0x3) != 0;
    ctrl->found.write_cache = (id->vwc & 1) != 0;
    ctrl->dbbuf_on = (hg_le16_get(id->oacs) & NVME_OACS_DBBUF) != 0 && have_dbbuf(ctrl);
    ctrl->found.zeroes_max =
        (oncs & NVME_ONCS_WRITE_ZEROES) != 0 && (ctrl->quirks & NVME_QUIRK_NO_WRITE_ZEROES) == 0
            ? NVME_RW_BLOCKS_MAX
            : 0;
    ctrl->found.dealloc_max = (oncs & NVME_ONCS_DSM) != 0 ? RANGE_MAX : 0;
    ctrl->oaes = hg_le32_get(id->oaes);
    ctrl->rtd3e = HG_US(hg_le32_get(id->rtd3e));
    ctrl->aers = id->aerl + 1u < NVME_AERS_MAX ? id->aerl + 1u : NVME_AERS_MAX;
    return 0;
}

static bool needs_nvm(const struct nvme_ctrl *ctrl)
{
    return nvme_reg_read32(ctrl->dev, NVME_REG_VS) >= 0x20000u;
}

static void ask_nvm(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    nvme_cmd_identify(sqe, NVME_CNS_CTRL_NVM, 0, ctrl->data_iova);
}

static void limit_to(uint32_t *value, uint64_t limit)
{
    if (limit != 0 && limit < *value)
        *value = (uint32_t)limit;
}

static int answer_nvm(struct nvme_ctrl *ctrl)
{
    const struct nvme_id_ctrl_nvm *id = ctrl->data;

    if (ctrl->job.status != 0)
        return 0; /* it tells no limits */
    /* Told in pages; a block is not known yet, and is at most a page. */
    if (id->wzsl != 0 && id->wzsl < 16)
        limit_to(&ctrl->found.zeroes_max, 1ull << id->wzsl);
    limit_to(&ctrl->found.dealloc_max, hg_le32_get(id->dmrsl));
    limit_to(&ctrl->found.dealloc_max, hg_le64_get(id->dmsl));
    return 0;
}

static void ask_queues(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    (void)ctrl;
    nvme_cmd_set_feature(sqe, NVME_FEAT_NUM_QUEUES,
                         (HG_BDEV_CHANS_MAX - 1) << 16 | (HG_BDEV_CHANS_MAX - 1));
}

static int answer_queues(struct nvme_ctrl *ctrl)
{
    unsigned sqs = (ctrl->job.dw0 & 0xffff) + 1;
    unsigned cqs = (ctrl->job.dw0 >> 16) + 1;
    unsigned n = sqs < cqs ? sqs : cqs;

    if (ctrl->job.status != 0)
        return nvme_admin_failed(ctrl, "allocate I/O queues");
    ctrl->found.queues = n < HG_BDEV_CHANS_MAX ? n : HG_BDEV_CHANS_MAX;
    ctrl->info.queues_max = ctrl->found.queues;
    return 0;
}

static bool needs_dbbuf(const struct nvme_ctrl *ctrl)
{
    return ctrl->dbbuf_on;
}

static void ask_dbbuf(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    memset(ctrl->dbbuf, 0, DBBUF_BYTES);
    nvme_cmd_dbbuf(sqe, ctrl->dbbuf_iova, ctrl->dbbuf_iova + NVME_PAGE);
}

/* Without them it works as well, with more doorbells. */
static int answer_dbbuf(struct nvme_ctrl *ctrl)
{
    ctrl->dbbuf_on = ctrl->job.status == 0;
    if (ctrl->dbbuf_on)
        nvme_qp_shadow(&ctrl->admin, ctrl->dbbuf, NULL, NVME_CAP_DSTRD(ctrl->cap));
    return 0;
}

/* ---- the namespace ---- */

static bool needs_list(const struct nvme_ctrl *ctrl)
{
    return ctrl->opts.nsid == 0 && ctrl->ns.nsid == 0;
}

static void ask_list(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    nvme_cmd_identify(sqe, NVME_CNS_NS_LIST, 0, ctrl->data_iova);
}

static int answer_list(struct nvme_ctrl *ctrl)
{
    const hg_le32 *list = ctrl->data;

    if (ctrl->job.status != 0)
        return nvme_admin_failed(ctrl, "list its namespaces");
    if (hg_le32_get(list[0]) == 0)
        return hg_fail(
            &ctrl->why, -ENXIO,
            "has no active namespace; create and attach one (nvme create-ns, attach-ns)");
    if (hg_le32_get(list[1]) != 0)
        return hg_fail(
            &ctrl->why, -EINVAL,
            "has several namespaces (%u, %u, ...); add /ns=NUMBER to its name to say which",
            hg_le32_get(list[0]), hg_le32_get(list[1]));
    ctrl->ns.nsid = hg_le32_get(list[0]);
    return 0;
}

static void ask_ns(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    if (ctrl->ns.nsid == 0)
        ctrl->ns.nsid = ctrl->opts.nsid;
    nvme_cmd_identify(sqe, NVME_CNS_NS, ctrl->ns.nsid, ctrl->data_iova);
}

/* 0 with the format's block size as a power of two. */
static int check_format(struct nvme_ctrl *ctrl, const struct nvme_id_ns *id, uint8_t *shift)
{
    unsigned index = NVME_FLBAS_INDEX(id->flbas);
    const struct nvme_lbaf *format = &id->lbaf[index];
    unsigned ms = hg_le16_get(format->ms);

    if (ms != 0 || (id->dps & 0x7) != 0)
        return hg_fail(
            &ctrl->why, -ENOTSUP,
            "has namespace %u formatted with %u bytes of metadata for each block%s; format "
            "it without (nvme format --lbaf=N, which erases it)",
            ctrl->ns.nsid, ms, (id->dps & 0x7) != 0 ? " and protection information" : "");
    if (format->lbads != 9 && format->lbads != 12)
        return hg_fail(&ctrl->why, -ENOTSUP,
                       "has namespace %u formatted with blocks of 2^%u bytes; 512 and 4096 work",
                       ctrl->ns.nsid, format->lbads);
    *shift = format->lbads;
    return 0;
}

static int answer_ns(struct nvme_ctrl *ctrl)
{
    const struct nvme_id_ns *id = ctrl->data;
    uint64_t blocks = hg_le64_get(id->nsze);
    uint8_t uuid[sizeof ctrl->uuid];
    uint8_t shift = 0;
    int rc;

    if (ctrl->job.status != 0)
        return nvme_admin_failed(ctrl, "identify the namespace");
    if (blocks == 0)
        return hg_fail(&ctrl->why, -ENXIO, "has no active namespace %u", ctrl->ns.nsid);
    rc = check_format(ctrl, id, &shift);
    if (rc != 0)
        return rc;
    if (blocks > (uint64_t)INT64_MAX >> shift)
        return hg_fail(&ctrl->why, -EPROTO, "has a namespace of 2^63 bytes or more");
    if (ctrl->ns.shift != 0 && ctrl->ns.shift != shift)
        return hg_fail(&ctrl->why, -ENODEV, "was formatted anew while it was in use");
    memcpy(uuid, id->nguid, sizeof id->nguid);
    memcpy(uuid + sizeof id->nguid, id->eui64, sizeof id->eui64);
    if (ctrl->ns.shift == 0) {
        ctrl->ns.shift = shift;
        memcpy(ctrl->uuid, uuid, sizeof uuid);
    }
    if (memcmp(ctrl->uuid, uuid, sizeof uuid) != 0)
        return hg_fail(&ctrl->why, -ENODEV, "has another namespace under the number %u than before",
                       ctrl->ns.nsid);
    /* One that takes as long as it likes holds up all others: no more than a write may carry. */
    limit_to(&ctrl->found.zeroes_max, ctrl->found.max_bytes >> shift);
    __atomic_store_n(&ctrl->bdev->size, blocks << shift, __ATOMIC_RELAXED);
    return 0;
}

/* While it runs: one that cannot be asked keeps its size, one that is gone or another is given up. */
static int answer_relook(struct nvme_ctrl *ctrl)
{
    uint16_t status = ctrl->job.status & (uint16_t)~NVME_STATUS_DNR;

    ctrl->relook_error = 0;
    if (status == 0 || status == NVME_STATUS_MAKE(NVME_SCT_GENERIC, NVME_SC_INVALID_NS))
        return answer_ns(ctrl);
    ctrl->relook_error = nvme_admin_failed(ctrl, "identify the namespace");
    hg_log_limited(&ctrl->limit, ctrl->now, HG_LOG_WARN, AREA,
                   "NVMe device %s %s; its size is taken to be as before", ctrl->dev->name,
                   ctrl->why.text);
    return 0;
}

static bool needs_cache(const struct nvme_ctrl *ctrl)
{
    return ctrl->found.write_cache;
}

static void ask_cache(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    (void)ctrl;
    nvme_cmd_get_feature(sqe, NVME_FEAT_VWC);
}

/* A cache that cannot be asked about is taken to be in use. */
static int answer_cache(struct nvme_ctrl *ctrl)
{
    ctrl->found.write_cache = ctrl->job.status != 0 || (ctrl->job.dw0 & 1) != 0;
    return 0;
}

/* ---- events and health ---- */

static void ask_events(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    nvme_cmd_set_feature(sqe, NVME_FEAT_ASYNC_EVENT,
                         NVME_AEC_SMART | (ctrl->oaes & NVME_AEC_NS_ATTR));
}

/* Errors are told in any case; which notices it takes is its own affair. */
static int answer_events(struct nvme_ctrl *ctrl)
{
    (void)ctrl;
    return 0;
}

static void ask_health(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe)
{
    ctrl->health_at = ctrl->now;
    ctrl->health_due = ctrl->now + NVME_HEALTH_EVERY;
    nvme_cmd_get_log(sqe, NVME_LOG_SMART, sizeof(struct nvme_smart), ctrl->data_iova);
}

static uint64_t u128_bounded(const struct nvme_u128 *v)
{
    return hg_le64_get(v->hi) != 0 ? UINT64_MAX : hg_le64_get(v->lo);
}

static uint64_t data_units(const struct nvme_u128 *v)
{
    uint64_t units = u128_bounded(v);

    return units > UINT64_MAX / 512000 ? UINT64_MAX : units * 512000;
}

static void warn_health(struct nvme_ctrl *ctrl, uint8_t now)
{
    static const char *const text[] = {
        "its spare blocks run out", "its temperature is out of bounds",
        "its reliability is degraded by errors", "it has become read-only",
        "the backup of its volatile memory has failed"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(text); i++)
        if ((now & ~ctrl->info.critical_warning & 1u << i) != 0)
            hg_log_limited(&ctrl->limit, ctrl->now, HG_LOG_WARN, AREA,
                           "NVMe device %s (%s, serial %s) warns: %s", ctrl->dev->name,
                           ctrl->info.model, ctrl->info.serial, text[i]);
}

static int answer_health(struct nvme_ctrl *ctrl)
{
    const struct nvme_smart *smart = ctrl->data;
    struct hg_bdev_info *info = &ctrl->info;

    info->has_health = ctrl->job.status == 0;
    if (!info->has_health)
        return 0; /* it works without */
    warn_health(ctrl, smart->critical_warning);
    info->critical_warning = smart->critical_warning;
    info->available_spare = smart->avail_spare;
    info->spare_threshold = smart->spare_thresh;
    info->percentage_used = smart->percent_used;
    info->temperature = (int16_t)(hg_le16_get(smart->temperature) - 273);
    info->media_errors = u128_bounded(&smart->media_errors);
    info->unsafe_shutdowns = u128_bounded(&smart->unsafe_shutdowns);
    info->power_on_hours = u128_bounded(&smart->power_on_hours);
    info->data_read = data_units(&smart->data_units_read);
    info->data_written = data_units(&smart->data_units_written);
    return 0;
}

static int answer_errors(struct nvme_ctrl *ctrl)
{
    const struct nvme_error_entry *entry = ctrl->data;
    uint16_t status = hg_le16_get(entry->status) & (uint16_t)~NVME_CQE_PHASE;

    if (ctrl->job.status == 0 && hg_le64_get(entry->error_count) != 0)
        hg_log_limited(&ctrl->limit, ctrl->now, HG_LOG_WARN, AREA,
                       "NVMe device %s tells of an error: %s, namespace %u, block %llu, queue %u",
                       ctrl->dev->name, nvme_status_verdict(status).text, hg_le32_get(entry->nsid),
                       (unsigned long long)hg_le64_get(entry->lba), hg_le16_get(entry->sqid));
    return 0;
}

static int answer_changed(struct nvme_ctrl *ctrl)
{
    ctrl->relook = true;
    return 0;
}

static const struct nvme_admin_step steps[NVME_STATES] = {
    [NVME_ST_ID_CTRL] = {NULL, ask_ctrl, answer_ctrl},
    [NVME_ST_ID_NVM] = {needs_nvm, ask_nvm, answer_nvm},
    [NVME_ST_QUEUES] = {NULL, ask_queues, answer_queues},
    [NVME_ST_DBBUF] = {needs_dbbuf, ask_dbbuf, answer_dbbuf},
    [NVME_ST_NS_LIST] = {needs_list, ask_list, answer_list},
    [NVME_ST_ID_NS] = {NULL, ask_ns, answer_ns},
    [NVME_ST_WRITE_CACHE] = {needs_cache, ask_cache, answer_cache},
    [NVME_ST_EVENTS] = {NULL, ask_events, answer_events},
    [NVME_ST_HEALTH] = {NULL, ask_health, answer_health},
};

const struct nvme_admin_step *nvme_admin_step(enum nvme_state state)
{
    return steps[state].ask != NULL ? &steps[state] : NULL;
}

/* ---- queues of the shards ---- */

static enum nvme_link_state link_state(const struct nvme_link *link)
{
    return (enum nvme_link_state)atomic_load_explicit(&link->state, memory_order_acquire);
}

static void end_link_job(struct nvme_ctrl *ctrl, enum nvme_link_state state)
{
    struct nvme_link *link = ctrl->working;

    link->shadow = ctrl->dbbuf_on;
    if (state == NVME_LINK_LIVE)
        atomic_store_explicit(&link->joined,
                              atomic_load_explicit(&ctrl->epoch, memory_order_relaxed),
                              memory_order_relaxed);
    atomic_store_explicit(&link->state, (uint32_t)state, memory_order_release);
    ctrl->working = NULL;
    ctrl->step = 0;
}

static int answer_undo_create(struct nvme_ctrl *ctrl)
{
    if (ctrl->job.status == 0) {
        end_link_job(ctrl, NVME_LINK_REFUSED);
        return 0;
    }
    ctrl->working->given_up = true; /* its memory is in use until the reset is over */
    nvme_ctrl_reset(ctrl, "refuses to delete a queue");
    return 0;
}

static int answer_create(struct nvme_ctrl *ctrl)
{
    struct nvme_link *link = ctrl->working;
    const struct nvme_qp *qp = link->qp;
    struct nvme_sqe sqe;

    if (ctrl->job.status != 0)
        link->refusal = ctrl->job.status;
    if (ctrl->job.status != 0 && ctrl->step == 0) {
        end_link_job(ctrl, NVME_LINK_REFUSED);
    } else if (ctrl->job.status != 0) { /* the completion queue stands alone: undo it */
        nvme_cmd_delete_cq(&sqe, qp->qid);
        nvme_admin_start(ctrl, &sqe, answer_undo_create);
    } else if (ctrl->step == 0) {
        ctrl->step = 1;
        nvme_cmd_create_sq(&sqe, qp->qid, qp->sq.mask + 1, qp->sq_iova);
        nvme_admin_start(ctrl, &sqe, answer_create);
    } else {
        end_link_job(ctrl, NVME_LINK_LIVE);
    }
    return 0;
}

/* Queues that the controller does not let go of keep their memory until it is reset. */
static int answer_delete(struct nvme_ctrl *ctrl)
{
    struct nvme_sqe sqe;

    if (ctrl->job.status != 0) {
        nvme_ctrl_reset(ctrl, "refuses to delete a queue");
    } else if (ctrl->step == 0) {
        ctrl->step = 1;
        nvme_cmd_delete_cq(&sqe, ctrl->working->qp->qid);
        nvme_admin_start(ctrl, &sqe, answer_delete);
    } else {
        end_link_job(ctrl, NVME_LINK_GONE);
    }
    return 0;
}

static bool is_current(const struct nvme_ctrl *ctrl, const struct nvme_link *link)
{
    return atomic_load_explicit(&link->joined, memory_order_relaxed) ==
           atomic_load_explicit(&ctrl->epoch, memory_order_relaxed);
}

/* A controller with shadow doorbells looks at them as soon as the queues exist. */
static void clear_shadow(struct nvme_ctrl *ctrl, uint16_t qid)
{
    size_t stride = (size_t)4 << NVME_CAP_DSTRD(ctrl->cap);
    size_t at = 2 * qid * stride;

    if (!ctrl->dbbuf_on || at + 2 * stride > NVME_PAGE)
        return;
    memset((char *)ctrl->dbbuf + at, 0, 2 * stride);
    memset((char *)ctrl->dbbuf + NVME_PAGE + at, 0, 2 * stride);
}

/* The submission queue goes first and comes last (base spec 5.4 to 5.7). */
static bool start_link_job(struct nvme_ctrl *ctrl)
{
    struct nvme_sqe sqe;

    for (struct nvme_link *link = ctrl->links; link != NULL; link = link->next) {
        enum nvme_link_state state = link_state(link);

        if (state != NVME_LINK_WANT && state != NVME_LINK_DROP)
            continue;
        ctrl->working = link;
        ctrl->step = 0;
        if (state == NVME_LINK_DROP && !is_current(ctrl, link)) {
            end_link_job(ctrl, NVME_LINK_GONE); /* a reset has deleted its queues */
            continue;
        }
        if (state == NVME_LINK_WANT) /* a queue that still is would take it for new commands */
            clear_shadow(ctrl, link->qp->qid);
        if (state == NVME_LINK_WANT)
            nvme_cmd_create_cq(&sqe, link->qp->qid, link->qp->cq.mask + 1, link->qp->cq_iova);
        else
            nvme_cmd_delete_sq(&sqe, link->qp->qid);
        nvme_admin_start(ctrl, &sqe, state == NVME_LINK_WANT ? answer_create : answer_delete);
        return true;
    }
    return false;
}

/* ---- what there is to do ---- */

static bool take_event(struct nvme_ctrl *ctrl, enum nvme_log page)
{
    bool there = (ctrl->events & 1u << page) != 0;

    ctrl->events &= ~(1u << page);
    return there;
}

/* Health last, and once a second at most: some controllers tell of it all the time. */
static bool start_event_job(struct nvme_ctrl *ctrl)
{
    struct nvme_sqe sqe;

    if (ctrl->relook) {
        ctrl->relook = false;
        ask_ns(ctrl, &sqe);
        nvme_admin_start(ctrl, &sqe, answer_relook);
    } else if (take_event(ctrl, NVME_LOG_CHANGED_NS)) {
        nvme_cmd_get_log(&sqe, NVME_LOG_CHANGED_NS, NVME_PAGE, ctrl->data_iova);
        nvme_admin_start(ctrl, &sqe, answer_changed);
    } else if (take_event(ctrl, NVME_LOG_ERROR)) {
        nvme_cmd_get_log(&sqe, NVME_LOG_ERROR, sizeof(struct nvme_error_entry), ctrl->data_iova);
        nvme_admin_start(ctrl, &sqe, answer_errors);
    } else if (ctrl->now >= ctrl->health_due ||
               (ctrl->now - ctrl->health_at >= HG_SEC(1) && take_event(ctrl, NVME_LOG_SMART))) {
        ask_health(ctrl, &sqe);
        nvme_admin_start(ctrl, &sqe, answer_health);
    } else {
        return false;
    }
    return true;
}

/* One abort at a time: ACL may be 0, which is one. */
static void start_abort(struct nvme_ctrl *ctrl)
{
    struct nvme_sqe sqe;

    for (struct nvme_link *link = ctrl->links; link != NULL && !ctrl->aborting; link = link->next) {
        uint32_t cid = atomic_exchange(&link->abort, 0);

        if (cid == 0 || link_state(link) != NVME_LINK_LIVE)
            continue;
        ctrl->aborting = true;
        nvme_cmd_abort(&sqe, link->qp->qid, (uint16_t)(cid - 1));
        send(ctrl, &sqe, KIND_ABORT);
    }
}

/* Takes the answer of a job that is done; whether the controller still runs. */
static bool finish_job(struct nvme_ctrl *ctrl)
{
    nvme_answer_fn answer = ctrl->job.answer;
    int rc;

    ctrl->job.answer = NULL;
    rc = answer != NULL ? answer(ctrl) : 0;
    if (rc != 0) {
        char text[sizeof ctrl->why.text];

        snprintf(text, sizeof text, "%s", ctrl->why.text);
        nvme_ctrl_dead(ctrl, rc, text);
    }
    return ctrl->state == NVME_ST_RUN;
}

void nvme_admin_run(struct nvme_ctrl *ctrl)
{
    struct nvme_sqe sqe;

    if (!ctrl->job.busy && !finish_job(ctrl))
        return;
    if (!ctrl->job.busy && !start_link_job(ctrl))
        (void)start_event_job(ctrl);
    start_abort(ctrl);
    while (ctrl->aers_out < ctrl->aers) {
        nvme_cmd_async_event(&sqe);
        send(ctrl, &sqe, KIND_EVENT);
        ctrl->aers_out++;
    }
}
