/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues of the emulated controller: doorbells (base spec 3.1.3.24, 3.1.3.25), shadow doorbells
 * (5.8), fetching and carrying out commands, posting completions (3.3.3.2).
 *
 * With shadow doorbells an I/O queue is looked at only after its doorbell register was rung, and then
 * until nothing new is found after the event index was stored: a driver that compares wrongly hangs.
 */
#include "nvme_emu_impl.h"
#include <stdlib.h>

/* ---- life ---- */

struct emu_cq *emu_cq_new(uint16_t qid, uint32_t entries, uint64_t iova)
{
    struct emu_cq *cq = calloc(1, sizeof *cq);

    if (cq == NULL)
        return NULL;
    cq->qid = qid;
    cq->size = entries;
    cq->iova = iova;
    cq->phase = NVME_CQE_PHASE;
    emu_list_init(&cq->pending);
    return cq;
}

struct emu_sq *emu_sq_new(struct nvme_emu *emu, uint16_t qid, struct emu_cq *cq)
{
    struct emu_sq *sq = calloc(1, sizeof *sq);
    unsigned n = emu->cfg.entries_max < EMU_REQS_MAX ? emu->cfg.entries_max : EMU_REQS_MAX;

    if (qid == 0)
        n += emu->cfg.aerl + 1u;
    if (sq == NULL || cq == NULL || (sq->reqs = calloc(n, sizeof *sq->reqs)) == NULL) {
        free(sq);
        return NULL;
    }
    sq->qid = qid;
    sq->cq = cq;
    cq->sqs++;
    for (unsigned i = 0; i < n; i++) {
        sq->reqs[i].sq = sq;
        sq->reqs[i].next = sq->free;
        sq->free = &sq->reqs[i];
    }
    return sq;
}

static void req_free(struct nvme_emu *emu, struct emu_req *req)
{
    struct emu_sq *sq = req->sq;

    if (req->record != NULL) {
        req->record->req = NULL;
        if (req->record->done == UINT64_MAX)
            req->record->done = emu->posted; /* its completion never comes; a flush covers it */
    }
    req->record = NULL;
    if (!req->twin)
        sq->cids[req->cid / 64] &= ~(1ull << req->cid % 64);
    req->next = sq->free;
    sq->free = req;
}

/* Frees the queue's requests in the list; `status` not 0: they complete with it. */
static void list_leave(struct nvme_emu *emu, struct emu_list *l, const struct emu_sq *sq,
                       uint16_t status)
{
    for (struct emu_req **at = &l->head; *at != NULL;) {
        struct emu_req *req;

        if ((*at)->sq != sq) {
            at = &(*at)->next;
            continue;
        }
        req = emu_list_take(l, at);
        if (status != EMU_OK)
            emu_complete(emu, req, status);
        else
            req_free(emu, req);
    }
}

static void cq_flush(struct nvme_emu *emu, struct emu_cq *cq);

void emu_sq_delete(struct nvme_emu *emu, struct emu_sq *sq, bool answer)
{
    list_leave(emu, &emu->held, sq, answer ? EMU_GENERIC(NVME_SC_ABORT_SQ_DELETION) : EMU_OK);
    if (answer)
        cq_flush(emu, sq->cq);
    list_leave(emu, &emu->lost, sq, EMU_OK);
    list_leave(emu, &emu->events, sq, EMU_OK);
    list_leave(emu, &sq->cq->pending, sq, EMU_OK);
    sq->cq->sqs--;
    emu->sq[sq->qid] = NULL;
    free(sq->reqs);
    free(sq);
}

void emu_cq_delete(struct nvme_emu *emu, struct emu_cq *cq)
{
    emu->cq[cq->qid] = NULL;
    free(cq);
}

void emu_queues_drop(struct nvme_emu *emu)
{
    for (unsigned i = 0; i <= NVME_EMU_QUEUES_MAX; i++) {
        if (emu->sq[i] != NULL)
            emu_sq_delete(emu, emu->sq[i], false);
    }
    for (unsigned i = 0; i <= NVME_EMU_QUEUES_MAX; i++) {
        if (emu->cq[i] != NULL)
            emu_cq_delete(emu, emu->cq[i]);
    }
    emu->n_events = 0;
}

/* ---- doorbells ---- */

/* 3.1.3.24: stride in words between doorbells; one for the tail and one for the head of each queue. */
static uint32_t *doorbell(const struct nvme_emu *emu, unsigned qid, bool cq)
{
    return (uint32_t *)(void *)((char *)emu->dev.regs + NVME_REG_DOORBELL) +
           ((size_t)(2 * qid + cq) << emu->cfg.dstrd);
}

void emu_doorbells_clear(struct nvme_emu *emu)
{
    size_t words = (emu->dev.regs_len - NVME_REG_DOORBELL) / sizeof(uint32_t);

    for (size_t i = 0; i < words; i++)
        __atomic_store_n(doorbell(emu, 0, false) + i, EMU_DB_IDLE, __ATOMIC_RELEASE);
}

/* The value last stored, or EMU_DB_IDLE. */
static uint32_t ring_take(struct nvme_emu *emu, uint32_t *db)
{
    if (__atomic_load_n(db, __ATOMIC_ACQUIRE) == EMU_DB_IDLE)
        return EMU_DB_IDLE;
    emu->stats.doorbells++;
    return __atomic_exchange_n(db, EMU_DB_IDLE, __ATOMIC_ACQ_REL);
}

/* The two words of a queue in the shadow or event index page. */
static uint32_t *shadow_at(struct nvme_emu *emu, uint64_t page, unsigned qid, bool cq)
{
    return emu_at(emu, page + ((uint64_t)(2 * qid + cq) << (2 + emu->cfg.dstrd)), 4);
}

static bool in_range(struct nvme_emu *emu, uint32_t value, uint32_t size)
{
    if (value < size)
        return true;
    emu->stats.db_value++;
    emu_event(emu, NVME_AER_ERROR, 0x01); /* 5.2: invalid doorbell write value */
    return false;
}

static void sq_tail(struct nvme_emu *emu, struct emu_sq *sq, uint32_t tail)
{
    uint32_t queued = (sq->tail + sq->size - sq->head) % sq->size;
    uint32_t added = (tail + sq->size - sq->tail) % sq->size;

    if (!in_range(emu, tail, sq->size))
        return;
    if (queued + added >= sq->size) {
        emu->stats.db_overrun++;
        emu_event(emu, NVME_AER_ERROR, 0x01);
        return;
    }
    sq->tail = tail;
    sq->seen = emu->posted;
}

static void cq_head(struct nvme_emu *emu, struct emu_cq *cq, uint32_t head)
{
    uint32_t posted = (cq->tail + cq->size - cq->head) % cq->size;
    uint32_t taken = (head + cq->size - cq->head) % cq->size;

    if (!in_range(emu, head, cq->size))
        return;
    if (taken > posted) {
        emu->stats.db_overrun++;
        emu_event(emu, NVME_AER_ERROR, 0x01);
        return;
    }
    cq->head = head;
}

static void sq_rung(struct nvme_emu *emu, struct emu_sq *sq, uint32_t value)
{
    uint32_t *shadow;
    uint32_t *index;

    if (emu->shadow == 0 || sq->qid == 0) {
        sq_tail(emu, sq, value);
        return;
    }
    shadow = shadow_at(emu, emu->shadow, sq->qid, false);
    index = shadow_at(emu, emu->eventidx, sq->qid, false);
    if (shadow == NULL || index == NULL)
        return;
    do {
        value = __atomic_load_n(shadow, __ATOMIC_ACQUIRE);
        sq_tail(emu, sq, value);
        __atomic_store_n(index, value, __ATOMIC_SEQ_CST);
    } while (__atomic_load_n(shadow, __ATOMIC_SEQ_CST) != value);
}

/* The head may be in the shadow page only: it is looked at before each completion. */
static void cq_look(struct nvme_emu *emu, struct emu_cq *cq)
{
    uint32_t *shadow;
    uint32_t *index;

    if (emu->shadow == 0 || cq->qid == 0)
        return;
    shadow = shadow_at(emu, emu->shadow, cq->qid, true);
    index = shadow_at(emu, emu->eventidx, cq->qid, true);
    if (shadow == NULL || index == NULL)
        return;
    cq_head(emu, cq, __atomic_load_n(shadow, __ATOMIC_ACQUIRE));
    __atomic_store_n(index, cq->head, __ATOMIC_SEQ_CST);
}

/* 3.1.3.24: a ring of a queue that is not there. */
static void no_queue(struct nvme_emu *emu)
{
    emu->stats.db_queue++;
    emu_event(emu, NVME_AER_ERROR, 0x00); /* 5.2: write to invalid doorbell register */
}

/* Words between doorbells, when CAP.DSTRD leaves some, belong to no queue. */
static void gaps(struct nvme_emu *emu)
{
    size_t words = (emu->dev.regs_len - NVME_REG_DOORBELL) / sizeof(uint32_t);
    size_t stride = (size_t)1 << emu->cfg.dstrd;

    for (size_t i = 0; i < words; i++) {
        bool is_doorbell = i % stride == 0 && i / stride < 2 * (emu->cfg.queues + 1);

        if (!is_doorbell && ring_take(emu, doorbell(emu, 0, false) + i) != EMU_DB_IDLE)
            no_queue(emu);
    }
}

unsigned emu_doorbells(struct nvme_emu *emu, bool all)
{
    unsigned work = 0;

    for (unsigned qid = 0; qid <= emu->cfg.queues; qid++) {
        uint32_t value;

        if ((all || emu->sq[qid] != NULL) &&
            (value = ring_take(emu, doorbell(emu, qid, false))) != EMU_DB_IDLE) {
            work++;
            if (emu->sq[qid] == NULL)
                no_queue(emu);
            else if (emu->state == EMU_ENABLING || NVME_CSTS_SHST(emu->csts) != NVME_SHST_NORMAL)
                emu->stats.db_stopped++;
            else if (emu->state == EMU_READY)
                sq_rung(emu, emu->sq[qid], value);
        }
        if ((all || emu->cq[qid] != NULL) &&
            (value = ring_take(emu, doorbell(emu, qid, true))) != EMU_DB_IDLE) {
            work++;
            if (emu->cq[qid] == NULL)
                no_queue(emu);
            else if (emu->shadow == 0 || qid == 0)
                cq_head(emu, emu->cq[qid], value);
        }
    }
    if (all)
        gaps(emu);
    return work;
}

/* ---- commands ---- */

static void falsify(struct nvme_emu *emu, struct emu_req *req)
{
    const struct nvme_emu_fault *f = emu_fault_match(emu, req);

    if (f == NULL)
        return;
    emu->stats.injected++;
    req->falsify = true;
    req->kind = f->kind;
    req->status = f->status;
    req->due = f->delay_ns == NVME_EMU_NEVER ? NVME_EMU_NEVER : emu->now + f->delay_ns;
}

static void execute(struct nvme_emu *emu, struct emu_req *req)
{
    uint16_t status = req->sq->qid == 0 ? emu_admin(emu, req) : emu_io(emu, req);

    if (status != EMU_NO_COMPLETION)
        emu_complete(emu, req, status);
}

static void begin(struct nvme_emu *emu, struct emu_req *req)
{
    falsify(emu, req);
    if (!req->falsify) {
        execute(emu, req);
        return;
    }
    switch (req->kind) {
    case NVME_EMU_FAIL:
        req->injected = true;
        emu_complete(emu, req, req->status);
        break;
    case NVME_EMU_LATE:
        emu_list_push(&emu->held, req);
        break;
    case NVME_EMU_FATAL:
    case NVME_EMU_DIE:
        emu_list_push(&emu->lost, req);
        emu_fatal(emu, req->kind == NVME_EMU_DIE);
        break;
    case NVME_EMU_REMOVE:
        req_free(emu, req);
        emu_remove(emu);
        break;
    default:
        execute(emu, req);
        break;
    }
}

/* 3.3.1: the entry at the head; its identifier has to be unique among those in flight. */
static bool fetch_one(struct nvme_emu *emu, struct emu_sq *sq)
{
    const struct nvme_sqe *entry = emu_at(emu, sq->iova + (uint64_t)sq->head * 64, 64);
    struct emu_req *req = sq->free;
    uint64_t bit;

    if (entry == NULL) {
        emu_fatal(emu, false); /* as a controller whose fetch ends in an IOMMU fault */
        return false;
    }
    sq->free = req->next;
    *req = (struct emu_req){.sqe = *entry, .sq = sq, .seen = sq->seen};
    req->cid = hg_le16_get(req->sqe.cid);
    sq->head = (sq->head + 1) % sq->size;
    bit = 1ull << req->cid % 64;
    if ((sq->cids[req->cid / 64] & bit) != 0) {
        emu->stats.cid_in_use++;
        req->twin = true;
        emu_complete(emu, req, EMU_GENERIC_DNR(NVME_SC_CID_CONFLICT));
        return true;
    }
    sq->cids[req->cid / 64] |= bit;
    begin(emu, req);
    return true;
}

unsigned emu_fetch(struct nvme_emu *emu, struct emu_sq *sq)
{
    unsigned qid = sq->qid;
    unsigned n = 0;

    if (emu->mood.stalled)
        return 0;
    /* A command may end the queue it came from, or all of them. */
    while (n < EMU_BUDGET && emu->state == EMU_READY && !emu->removed && emu->sq[qid] == sq &&
           sq->head != sq->tail && sq->free != NULL && fetch_one(emu, sq))
        n++;
    return n;
}

unsigned emu_run_held(struct nvme_emu *emu)
{
    unsigned n = 0;

    for (struct emu_req **at = &emu->held.head; *at != NULL;) {
        if ((*at)->due == NVME_EMU_NEVER || (*at)->due > emu->now) {
            at = &(*at)->next;
            continue;
        }
        execute(emu, emu_list_take(&emu->held, at));
        at = &emu->held.head; /* it may have deleted the queue of others */
        n++;
    }
    return n;
}

/* Power fails while they are carried out: as with a cache, whatever there was of it is drawn. */
void emu_held_write(struct nvme_emu *emu)
{
    bool cache = emu->vwc_on;

    emu->vwc_on = true;
    for (struct emu_req *req = emu->held.head; req != NULL; req = req->next) {
        if (req->sq->qid == 0)
            continue;
        req->sqe.cdw12 = hg_le32_put(hg_le32_get(req->sqe.cdw12) & ~NVME_RW_FUA);
        (void)emu_io(emu, req);
    }
    emu->vwc_on = cache;
}

bool emu_abort(struct nvme_emu *emu, struct emu_sq *sq, uint16_t cid)
{
    struct emu_list *lists[] = {&emu->held, &emu->events};

    for (unsigned i = 0; i < HG_ARRAY_LEN(lists); i++) {
        for (struct emu_req **at = &lists[i]->head; *at != NULL; at = &(*at)->next) {
            if ((*at)->sq != sq || (*at)->cid != cid)
                continue;
            emu->n_events -= lists[i] == &emu->events;
            emu->stats.aborted++;
            emu_complete(emu, emu_list_take(lists[i], at), EMU_GENERIC(NVME_SC_ABORT_REQUESTED));
            /* 5.1: it is posted before the abort's own completion. */
            cq_flush(emu, sq->cq);
            return true;
        }
    }
    return false;
}

/* ---- completions ---- */

static void count_refusal(struct nvme_emu_stats *s, uint16_t status)
{
    unsigned code = NVME_STATUS_SCT(status) << 8 | NVME_STATUS_SC(status);
    const struct {
        unsigned code;
        uint64_t *counter;
    } table[] = {
        {NVME_SC_INVALID_OPCODE, &s->opcode},
        {NVME_SC_INVALID_FIELD, &s->field},
        {EMU_SC_COMMAND_SEQUENCE, &s->queue},
        {NVME_SC_INVALID_NS, &s->nsid},
        {NVME_SC_INVALID_PRP_OFFSET, &s->prp},
        {NVME_SC_INVALID_SGL_SEG, &s->sgl},
        {EMU_SC_SGL_LENGTH, &s->sgl},
        {EMU_SC_SGL_TYPE, &s->sgl},
        {NVME_SC_NS_WRITE_PROTECTED, &s->protected_},
        {NVME_SC_LBA_OUT_OF_RANGE, &s->range},
        {0x100 | EMU_SCS_INVALID_CQ, &s->queue},
        {0x100 | NVME_SCS_INVALID_QID, &s->queue},
        {0x100 | NVME_SCS_INVALID_QSIZE, &s->queue},
        {0x100 | EMU_SCS_INVALID_VECTOR, &s->queue},
        {0x100 | NVME_SCS_INVALID_QUEUE_DELETION, &s->queue},
        {0x100 | NVME_SCS_AER_LIMIT, &s->aer_limit},
        {0x100 | NVME_SCS_INVALID_LOG_PAGE, &s->log_page},
        {0x100 | EMU_SCS_NOT_SAVEABLE, &s->field},
        {0x100 | EMU_SCS_NOT_CHANGEABLE, &s->field},
        {0x100 | EMU_SCS_SIZE_LIMIT, &s->field},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(table); i++) {
        if (table[i].code == code)
            ++*table[i].counter;
    }
}

void emu_complete(struct nvme_emu *emu, struct emu_req *req, uint16_t status)
{
    req->status = status;
    if (status != EMU_OK) {
        if (!req->injected)
            count_refusal(&emu->stats, status);
        emu_log_error(emu, req);
        req->status |= EMU_STATUS_MORE;
    }
    if (req->falsify && req->kind == NVME_EMU_LOSE)
        emu_list_push(&emu->lost, req);
    else
        emu_list_push(&req->sq->cq->pending, req);
}

static uint16_t free_cid(const struct emu_sq *sq)
{
    for (unsigned cid = 0; cid < 65535; cid++) {
        if ((sq->cids[cid / 64] & 1ull << cid % 64) == 0)
            return (uint16_t)cid;
    }
    return 65535;
}

static bool cq_full(const struct emu_cq *cq)
{
    return (cq->tail + 1) % cq->size == cq->head;
}

/* 3.3.3.2: the word with the phase is stored last. False: the queue's memory is not reached. */
static bool cqe_put(struct nvme_emu *emu, struct emu_cq *cq, const struct emu_req *req)
{
    struct nvme_cqe *cqe = emu_at(emu, cq->iova + (uint64_t)cq->tail * sizeof *cqe, sizeof *cqe);
    enum nvme_emu_fault_kind kind = req->falsify ? req->kind : NVME_EMU_FAULT_KINDS;
    uint16_t cid = req->cid;
    uint32_t last;

    if (cqe == NULL) {
        emu_fatal(emu, false);
        return false;
    }
    if (kind == NVME_EMU_CID_FREE)
        cid = free_cid(req->sq);
    else if (kind == NVME_EMU_CID_RANGE)
        cid = 0xffff;
    cqe->dw0 = hg_le32_put(req->dw0);
    cqe->dw1 = hg_le32_put(0);
    cqe->sqhd = hg_le16_put(kind == NVME_EMU_SQHD ? 0xffff : (uint16_t)req->sq->head);
    cqe->sqid = hg_le16_put(kind == NVME_EMU_SQID ? req->sq->qid + 1 : req->sq->qid);
    last = cid | (uint32_t)(req->status | cq->phase) << 16;
    __atomic_store_n((uint32_t *)(void *)&cqe->cid, last, __ATOMIC_RELEASE);
    cq->tail = (cq->tail + 1) % cq->size;
    if (cq->tail == 0)
        cq->phase ^= NVME_CQE_PHASE;
    emu->posted++;
    emu->stats.completions++;
    return true;
}

/* After the completion the identifier is free, except when another one was named. */
static void req_posted(struct nvme_emu *emu, struct emu_req *req)
{
    if (req->record != NULL)
        req->record->done = emu->posted;
    if (req->falsify && (req->kind == NVME_EMU_CID_FREE || req->kind == NVME_EMU_CID_RANGE))
        emu_list_push(&emu->lost, req);
    else
        req_free(emu, req);
}

/* The next to post: the oldest, or any when completions are to be reordered. */
static struct emu_req **choose(struct nvme_emu *emu, struct emu_cq *cq)
{
    struct emu_req **at = &cq->pending.head;

    if (emu->mood.reorder == 0)
        return at;
    for (uint64_t skip = emu_draw(&emu->random) % 8; skip > 0 && (*at)->next != NULL; skip--)
        at = &(*at)->next;
    return at;
}

static void cq_flush(struct nvme_emu *emu, struct emu_cq *cq)
{
    while (cq->pending.head != NULL) {
        struct emu_req *req;

        cq_look(emu, cq);
        if (cq_full(cq) || emu->state != EMU_READY)
            return;
        req = emu_list_take(&cq->pending, choose(emu, cq));
        if (!cqe_put(emu, cq, req)) {
            emu_list_push(&emu->lost, req);
            return;
        }
        if (req->falsify && req->kind == NVME_EMU_DUPLICATE && !cq_full(cq))
            (void)cqe_put(emu, cq, req);
        req_posted(emu, req);
    }
}

unsigned emu_post(struct nvme_emu *emu)
{
    uint64_t before = emu->posted;

    for (unsigned qid = 0; qid <= emu->cfg.queues; qid++) {
        struct emu_cq *cq = emu->cq[qid];

        /* Some wait for the next turn, for those that come then to overtake them. */
        if (cq != NULL && (emu->mood.reorder == 0 || emu_draw(&emu->random) % 4 != 0))
            cq_flush(emu, cq);
    }
    return (unsigned)(emu->posted - before);
}

/* ---- memory in use ---- */

unsigned emu_unreachable(struct nvme_emu *emu)
{
    struct emu_list *lists[] = {&emu->held, &emu->lost};
    unsigned n = 0;

    emu->quiet = true;
    for (unsigned i = 0; i <= NVME_EMU_QUEUES_MAX; i++) {
        const struct emu_sq *sq = emu->sq[i];
        const struct emu_cq *cq = emu->cq[i];

        n += sq != NULL && emu_at(emu, sq->iova, (size_t)sq->size * 64) == NULL;
        n += cq != NULL && emu_at(emu, cq->iova, (size_t)cq->size * 16) == NULL;
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(lists); i++) {
        for (const struct emu_req *req = lists[i]->head; req != NULL; req = req->next) {
            uint64_t len = req->sq->qid == 0 ? 0 : emu_io_len(emu, &req->sqe);

            n += emu_map(emu, req, len) != EMU_OK;
        }
    }
    emu->quiet = false;
    return n;
}
