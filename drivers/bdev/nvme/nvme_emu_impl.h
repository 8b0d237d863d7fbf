/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the emulated controller share.
 *
 * 1. Everything is under emu->lock; functions named emu_ are called with it held.
 * 2. A request is in exactly one place: free in its queue's list, held (not carried out yet), an
 *    asynchronous event request, lost (carried out, its completion will not come), or pending in its
 *    completion queue's list. Its identifier is marked in the queue's bitmap except while it is free.
 * 3. A doorbell that was not rung since it was looked at holds EMU_DB_IDLE, so that a store of the
 *    same value as before is seen too. Reads of doorbells are undefined (base spec 3.1.3.25).
 * 4. Unflushed writes are in the medium already; their records keep what was there before, and a
 *    power cut goes back through them and then forward again with those that are kept.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_EMU_IMPL_H
#define DRIVERS_BDEV_NVME_NVME_EMU_IMPL_H

#include "nvme_emu.h"
#include "nvme_spec.h"
#include <pthread.h>

#define EMU_IOVA (1ull << 46) /* I/O address = pointer + this */
#define EMU_RANGES_MAX 4096u  /* ranges mapped at once */
#define EMU_REQS_MAX 4096u    /* commands of one submission queue at once */
#define EMU_BUDGET 256u       /* commands fetched from one queue in one turn */
#define EMU_ERROR_LOG 16u     /* entries */
#define EMU_CHANGED_MAX 1024u /* namespaces in the changed namespace list */
#define EMU_SCAN_EVERY 64u    /* turns between looks at all doorbells, when not idle */
#define EMU_DB_IDLE UINT32_MAX

/* Status that the driver has no use for. */
enum {
    EMU_SC_COMMAND_SEQUENCE = 0x0c,
    EMU_SC_SGL_LENGTH = 0x0f,
    EMU_SC_SGL_TYPE = 0x11,
    EMU_SCS_INVALID_CQ = 0x00,
    EMU_SCS_INVALID_VECTOR = 0x08,
    EMU_SCS_NOT_SAVEABLE = 0x0d,
    EMU_SCS_NOT_CHANGEABLE = 0x0e,
    EMU_SCS_SIZE_LIMIT = 0x83
};
#define EMU_OK 0u
#define EMU_STATUS_MORE (1u << 14) /* the error log tells more */
#define EMU_GENERIC(sc) NVME_STATUS_MAKE(NVME_SCT_GENERIC, sc)
#define EMU_GENERIC_DNR(sc) ((uint16_t)(EMU_GENERIC(sc) | NVME_STATUS_DNR))
#define EMU_SPECIFIC_DNR(sc) ((uint16_t)(NVME_STATUS_MAKE(NVME_SCT_SPECIFIC, sc) | NVME_STATUS_DNR))
#define EMU_NO_COMPLETION 0xffffu /* of a command that completes later */

/* Memory that the device reaches, or that it is made of for it. */
struct emu_range {
    uint64_t base;
    size_t len;
    unsigned refs;
    bool allocated; /* by dma_alloc() */
};

struct emu_seg {
    uint8_t *at;
    size_t len;
};

struct emu_record;
struct emu_sq;

struct emu_req {
    struct nvme_sqe sqe;
    struct emu_sq *sq;
    struct emu_req *next;
    struct emu_record *record; /* of the write it did; NULL: durable or none */
    uint32_t dw0;
    uint16_t status;
    uint16_t cid;
    bool falsify;                  /* its completion: */
    bool injected;                 /* its status is a fault's */
    bool twin;                     /* its identifier is another one's that is in flight */
    enum nvme_emu_fault_kind kind; /* if falsify */
    hg_ns due;                     /* if held */
    uint64_t seen;                 /* emu->posted when its doorbell was seen */
};

/* Queue of requests. */
struct emu_list {
    struct emu_req *head;
    struct emu_req **tail;
};

struct emu_cq {
    uint16_t qid;
    uint32_t size, head, tail; /* entries */
    uint16_t phase;
    unsigned sqs; /* submission queues that use it */
    uint64_t iova;
    struct emu_list pending;
};

struct emu_sq {
    uint16_t qid;
    struct emu_cq *cq;
    uint32_t size, head, tail; /* entries */
    uint64_t iova;
    uint64_t seen; /* emu->posted when the tail was seen to move */
    struct emu_req *free;
    struct emu_req *reqs;
    uint64_t cids[65536 / 64]; /* identifiers in flight */
};

struct emu_ns {
    struct nvme_emu_ns cfg;
    uint8_t *image;
    size_t mapped; /* bytes of image */
    int fd;        /* -1: memory */
    uint64_t blocks;
};

/* A write, write zeroes or deallocation that is not durable yet. */
struct emu_record {
    struct emu_record *prev, *next;
    struct emu_ns *ns;
    struct emu_req *req; /* not completed yet, or NULL */
    uint64_t offset;
    size_t len;
    uint64_t done;   /* emu->posted after its completion was posted; UINT64_MAX: it was not */
    bool durable;    /* only waits for older records */
    uint8_t other[]; /* the contents before, or after while a power cut goes back */
};

struct emu_fault {
    struct nvme_emu_fault f;
    uint64_t seen, fired;
};

enum emu_state { EMU_DISABLED, EMU_ENABLING, EMU_READY, EMU_DISABLING, EMU_FAILED };

struct nvme_emu {
    struct nvme_dev dev;
    struct nvme_emu_cfg cfg;
    pthread_mutex_t lock;
    pthread_t thread;
    bool threaded, stop; /* stop: atomic */
    unsigned waiting;    /* callers that want the lock from the thread; atomic */
    hg_ns now;
    uint64_t turns, posted; /* posted: completions */
    struct nvme_emu_stats stats;

    /* registers and life */
    enum emu_state state;
    hg_ns due;         /* of ENABLING and DISABLING */
    hg_ns shut_due;    /* when SHST becomes complete */
    uint32_t cc, csts; /* as last seen and as last stored */
    uint32_t aqa;      /* with the next two: while enabled */
    uint64_t asq, acq;
    bool removed, dead, halted;
    bool quiet;    /* accesses are tried, not counted */
    uint32_t page; /* CC.MPS in bytes */
    struct nvme_emu_mood mood;
    uint64_t random;

    /* queues; index 0 is the admin queue */
    struct emu_sq *sq[NVME_EMU_QUEUES_MAX + 1];
    struct emu_cq *cq[NVME_EMU_QUEUES_MAX + 1];
    unsigned queues; /* I/O queues allocated by Set Features */
    struct emu_list held, events, lost;
    unsigned n_events;
    uint64_t shadow, eventidx; /* I/O addresses; 0: no shadow doorbells */

    /* features and logs */
    bool vwc_on;
    uint32_t aec;
    uint32_t event_pending[8]; /* by type: bit for each information */
    uint8_t event_masked;      /* types reported and not yet read */
    uint8_t warning;
    int celsius;
    struct nvme_error_entry errors[EMU_ERROR_LOG]; /* newest first */
    uint64_t n_errors, unsafe_shutdowns, power_cycles, media_errors;
    hg_le32 changed[EMU_CHANGED_MAX];
    unsigned n_changed;

    /* memory */
    struct emu_range *ranges;
    unsigned n_ranges, last_range;
    struct emu_seg *segs; /* of the command being carried out */
    unsigned n_segs, segs_max;

    /* medium */
    struct emu_ns ns[NVME_EMU_NS_MAX];
    struct emu_record *oldest, *newest;
    size_t cached; /* bytes in records */
    uint32_t bad_nsid, bad_blocks;
    uint64_t bad_slba;

    struct emu_fault faults[NVME_EMU_FAULTS_MAX];
    unsigned n_faults;
};

static inline void emu_list_init(struct emu_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static inline void emu_list_push(struct emu_list *l, struct emu_req *req)
{
    req->next = NULL;
    *l->tail = req;
    l->tail = &req->next;
}

/* Takes out the request that *at points to. */
static inline struct emu_req *emu_list_take(struct emu_list *l, struct emu_req **at)
{
    struct emu_req *req = *at;

    *at = req->next;
    if (l->tail == &req->next)
        l->tail = at;
    return req;
}

/* nvme_emu.c */
void emu_lock(struct nvme_emu *emu);
void emu_unlock(struct nvme_emu *emu);
uint64_t emu_draw(uint64_t *random);

/* nvme_emu_mem.c: the IOMMU and data pointers */
extern const struct nvme_dev_ops emu_dev_ops;
/* NULL: not mapped, which is counted. */
void *emu_at(struct nvme_emu *emu, uint64_t iova, size_t len);
/* Fills emu->segs with the `len` bytes that the command's data pointer describes. */
uint16_t emu_map(struct nvme_emu *emu, const struct emu_req *req, uint64_t len);
/* Copies to or from emu->segs; at most as much as they hold. */
void emu_copy_out(struct nvme_emu *emu, const void *from, size_t len);
void emu_copy_in(struct nvme_emu *emu, void *to, size_t len);

/* nvme_emu_regs.c */
unsigned emu_life(struct nvme_emu *emu);
void emu_power_on(struct nvme_emu *emu);
void emu_fatal(struct nvme_emu *emu, bool dead);
void emu_remove(struct nvme_emu *emu);
uint32_t emu_reg(const struct nvme_emu *emu, unsigned at);

/* nvme_emu_queue.c */
unsigned emu_doorbells(struct nvme_emu *emu, bool all);
void emu_doorbells_clear(struct nvme_emu *emu);
unsigned emu_fetch(struct nvme_emu *emu, struct emu_sq *sq);
unsigned emu_post(struct nvme_emu *emu);
unsigned emu_run_held(struct nvme_emu *emu);
/* Carries out the writes that are held, as ones that are not durable, for a power cut. */
void emu_held_write(struct nvme_emu *emu);
/* req has its status and dw0. */
void emu_complete(struct nvme_emu *emu, struct emu_req *req, uint16_t status);
struct emu_sq *emu_sq_new(struct nvme_emu *emu, uint16_t qid, struct emu_cq *cq);
struct emu_cq *emu_cq_new(uint16_t qid, uint32_t entries, uint64_t iova);
/* `answer`: its commands complete, as aborted by the deletion; else they vanish. */
void emu_sq_delete(struct nvme_emu *emu, struct emu_sq *sq, bool answer);
void emu_cq_delete(struct nvme_emu *emu, struct emu_cq *cq);
void emu_queues_drop(struct nvme_emu *emu);
/* Aborts a command that is held or waits for an event; false: there is none. */
bool emu_abort(struct nvme_emu *emu, struct emu_sq *sq, uint16_t cid);
/* Queues and commands whose memory is not mapped. */
unsigned emu_unreachable(struct nvme_emu *emu);

/* nvme_emu_admin.c */
uint16_t emu_admin(struct nvme_emu *emu, struct emu_req *req);
/* nvme_emu_identify.c */
uint16_t emu_identify(struct nvme_emu *emu, struct emu_req *req);
struct emu_ns *emu_ns(struct nvme_emu *emu, uint32_t nsid);
/* nvme_emu_log.c: log pages and asynchronous events */
uint16_t emu_get_log(struct nvme_emu *emu, struct emu_req *req);
void emu_event(struct nvme_emu *emu, enum nvme_aer_type type, unsigned info);
void emu_events_report(struct nvme_emu *emu);
void emu_log_error(struct nvme_emu *emu, const struct emu_req *req);

/* nvme_emu_io.c */
uint16_t emu_io(struct nvme_emu *emu, struct emu_req *req);
/* Bytes of data of an I/O command; 0: it has none, or makes no sense. */
uint64_t emu_io_len(struct nvme_emu *emu, const struct nvme_sqe *sqe);

/* nvme_emu_medium.c: all offsets are within the namespace */
int emu_medium_open(struct emu_ns *ns, const struct nvme_emu_ns *cfg, struct hg_err *err);
void emu_medium_close(struct emu_ns *ns);
int emu_medium_resize(struct emu_ns *ns, uint64_t size);
/* What a write, zeroing or deallocation is about to change. durable: it has FUA. */
void emu_medium_record(struct nvme_emu *emu, struct emu_req *req, uint64_t offset, uint64_t len,
                       bool durable);
void emu_medium_fill(struct emu_ns *ns, uint64_t offset, uint64_t len, int byte);
/* Makes durable what completed before `upto` (emu->posted); ns NULL: of all namespaces. */
void emu_medium_flush(struct nvme_emu *emu, const struct emu_ns *ns, uint64_t upto);
void emu_medium_cut(struct nvme_emu *emu, uint64_t seed);
void emu_medium_forget(struct nvme_emu *emu, const struct emu_ns *ns);

/* nvme_emu_fault.c: the fault that the command triggers, or NULL */
const struct nvme_emu_fault *emu_fault_match(struct nvme_emu *emu, const struct emu_req *req);

#endif /* DRIVERS_BDEV_NVME_NVME_EMU_IMPL_H */
