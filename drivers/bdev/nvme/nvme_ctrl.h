/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller: its life as a state machine that never blocks, and how the shards' queue pairs hang
 * on it.
 *
 *               +--------------------------- failure: reset again, at most `resets` -----+
 *               v                                                                        |
 *          SETTLE -> DISABLE -> ENABLE -> identify ... health (the rows of nvme_ctrl.c) -+-> RUN
 *               ^                                                                             |
 *               +-- QUIESCE <----- fatal status, strays, a command that outlives its abort ---+
 *   any -> DEAD (removed, or no reset helped)         RUN -> SHUTDOWN -> OFF
 *
 * Threads. One thread at a time works on the controller, whoever ticks it: everything here is under
 * `lock` but what is atomic. A queue pair belongs to its shard. They meet in these places only:
 *
 *   epoch   generation << 2 | phase, written under the lock, read by shards on every turn.
 *           RUN: work. STOPPING: leave rings and doorbells alone; the controller may still reach
 *           memory. DOWN: it is disabled and reaches no memory, so commands may be taken back. DEAD:
 *           the same, for good. Each reset is a new generation.
 *   link    one for each channel, its state handed back and forth (below).
 *   wanted  a shard asks for a reset, with its reason.
 *   losses  counts what may have cost the write cache; raised before RUN, looked at when a shard joins.
 *   ns, caps, cap, dbbuf   set before the first RUN and never again.
 *
 * Invariants
 *   1. A shard touches its rings only while its link is LIVE and the epoch is the one it joined in.
 *      The controller is told of a queue (create) only after its shard has rewound the rings and set
 *      WANT; so no ring is ever used by two sides with different ideas of it. A shard reads its
 *      link's state before the epoch, never after it.
 *   2. A command in flight is given up (sent again, failed) only when it was completed, or in phase
 *      DOWN or DEAD: before, the device may still write to its buffers.
 *   3. DEAD is entered only after dev->ops->halt(): the device reaches no memory any more.
 *   4. Memory is freed only after the controller was told to forget it, or is disabled or halted.
 *   5. Every state but RUN, DEAD and OFF has a deadline, and every wait in this file ends by it.
 *   6. Numbers from the device (sizes, counts, identifiers) are checked where they are read
 *      (nvme_admin.c) and bounded before they are stored here.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_CTRL_H
#define DRIVERS_BDEV_NVME_NVME_CTRL_H

#include "nvme_req.h"
#include <headgate/bdev.h>
#include <headgate/log.h>
#include <pthread.h>
#include <stdatomic.h>

enum nvme_phase { NVME_RUN, NVME_STOPPING, NVME_DOWN, NVME_DEAD };
#define NVME_EPOCH(gen, phase) ((uint32_t)(gen) << 2 | (uint32_t)(phase))
#define NVME_EPOCH_PHASE(epoch) ((enum nvme_phase)((epoch)&3u))

/* Who may change it: the shard OUT -> WANT, LIVE -> OUT, any but WANT -> DROP; the ticker the rest. */
enum nvme_link_state {
    NVME_LINK_OUT,    /* the controller knows nothing of the queues */
    NVME_LINK_WANT,   /* rings are rewound: create the queues */
    NVME_LINK_LIVE,   /* queues exist since epoch `joined` */
    NVME_LINK_DROP,   /* drained: delete the queues */
    NVME_LINK_GONE,   /* they are deleted, or the controller is disabled */
    NVME_LINK_REFUSED /* could not be created: `refusal` */
};

struct nvme_link {
    _Atomic uint32_t state;  /* enum nvme_link_state */
    _Atomic uint32_t joined; /* epoch in which the queues were created */
    _Atomic uint32_t acked;  /* the last epoch the shard has seen */
    _Atomic uint32_t abort;  /* identifier + 1 of a command to abort; 0: none */
    uint16_t refusal;        /* status of the create command; before REFUSED */
    bool given_up;           /* the ticker's: refused, and a reset has to undo what was created */
    bool shadow;             /* the queues have shadow doorbells; before LIVE */
    struct nvme_qp *qp;
    struct nvme_link *next;
};

/* The one namespace of this device that is in use. */
struct nvme_ns {
    uint32_t nsid;
    uint8_t shift; /* log2 of the block size: 9 or 12 */
};

/* What the controller can do, as it told. */
struct nvme_caps {
    uint32_t max_bytes;   /* of one read or write: a multiple of NVME_PAGE */
    uint32_t zeroes_max;  /* blocks of one write zeroes; 0: it has no such command */
    uint32_t dealloc_max; /* blocks of one range; 0: no dataset management */
    unsigned queues;      /* I/O queue pairs */
    unsigned mqes;        /* entries of a queue, a power of two */
    bool sgl, write_cache;
};

/* How opening and closing wait (nvme_opts_default(): by the clock, sleeping). A test puts its own time
 * and its emulated controller here. */
struct nvme_host {
    hg_ns (*clock)(void *arg);
    void (*pause)(void *arg);
    void *arg;
};

struct nvme_opts {
    struct nvme_host host;
    hg_ns io_timeout;    /* until a command is aborted; the abort has as long */
    hg_ns admin_timeout; /* of one admin command */
    unsigned tries;      /* how often a request is sent after errors, 1..10 */
    unsigned resets;     /* 2..NVME_RESETS_MAX within NVME_RESET_WINDOW; one more is its end */
    uint32_t nsid;       /* 0: the only one there is */
};
#define NVME_RESETS_MAX 8u
#define NVME_RESET_WINDOW HG_SEC(120)
#define NVME_QUIESCE_TIME HG_MS(100) /* for shards to see that a reset has begun */
#define NVME_HEALTH_EVERY HG_SEC(60)
#define NVME_AERS_MAX 4u
#define NVME_ADMIN_ENTRIES 32u

struct nvme_ctrl;

/* Takes the answer of a job, once: 0, or negative errno with ctrl->why filled. */
typedef int (*nvme_answer_fn)(struct nvme_ctrl *ctrl);

/* The admin command that is carried out now; there is one at a time besides aborts and events. */
struct nvme_job {
    bool busy;
    uint16_t status; /* without the phase bit; 0: it worked */
    uint32_t dw0;
    nvme_answer_fn answer;
};

enum nvme_state {
    NVME_ST_QUIESCE,
    NVME_ST_SETTLE,
    NVME_ST_DISABLE,
    NVME_ST_ENABLE,
    NVME_ST_ID_CTRL,
    NVME_ST_ID_NVM,
    NVME_ST_QUEUES,
    NVME_ST_DBBUF,
    NVME_ST_NS_LIST,
    NVME_ST_ID_NS,
    NVME_ST_WRITE_CACHE,
    NVME_ST_EVENTS,
    NVME_ST_HEALTH,
    NVME_ST_RUN,
    NVME_ST_SHUTDOWN,
    NVME_ST_OFF,
    NVME_ST_DEAD,
    NVME_STATES
};

struct nvme_ctrl {
    /* Read by shards; written seldom. */
    _Atomic uint32_t epoch;
    _Atomic(const char *) wanted; /* why a reset is wanted; static text */
    _Atomic int dead_errno;       /* what requests fail with once DEAD */
    _Atomic uint32_t losses;      /* how often its write cache may have been lost; before RUN */
    /* Set before the first RUN and the same ever after: a controller that comes back from a reset with
     * others is given up. */
    struct nvme_ns ns;
    struct nvme_caps caps;
    struct nvme_opts opts;
    struct nvme_dev *dev;
    struct hg_bdev *bdev; /* for its name, size and error counters */

    /* Under lock. */
    pthread_mutex_t lock;
    hg_ns now, since, deadline; /* this tick; of the state */
    enum nvme_state state;
    bool entered;           /* the state's first action was taken */
    struct nvme_caps found; /* what this start has found out */
    bool dbbuf_on;          /* the controller has taken the shadow doorbells */
    bool stopping;          /* shut down as soon as no admin command is under way */
    bool lost_state;        /* it was reset by others than us, or has lost power */
    uint64_t unsafe_seen;   /* unsafe shutdowns at the last RUN */
    uint8_t uuid[24];       /* NGUID and EUI64 of the namespace at its first identification */
    uint32_t oaes;          /* events it can tell of */
    struct nvme_qp admin;
    struct nvme_job job;
    void *data; /* NVME_PAGE for what admin commands transfer */
    uint64_t data_iova;
    void *dbbuf; /* two pages: shadow doorbells, event indices; NULL: none */
    uint64_t dbbuf_iova;
    struct nvme_link *links, *working; /* `working`: whose queues a job creates or deletes */
    unsigned step;                     /* of a job of several commands */
    bool qid_used[HG_BDEV_CHANS_MAX + 1];
    unsigned aers;                   /* to keep outstanding; 0: no events */
    unsigned aers_out;               /* outstanding */
    uint32_t events;                 /* log pages that wait to be read, bit by number of page */
    bool aborting;                   /* an abort is outstanding */
    bool relook;                     /* identify the namespace again */
    int relook_error;                /* of the last time */
    hg_ns health_due, health_at;     /* the next and the last look */
    hg_ns reset_at[NVME_RESETS_MAX]; /* times of the last resets, a ring */
    unsigned n_resets;               /* of all time */
    uint64_t admin_strays;           /* seen so far */
    unsigned quirks;                 /* NVME_QUIRK_ */
    uint64_t cap;
    hg_ns rtd3e; /* that a shutdown may take */
    struct hg_bdev_info info;
    struct hg_err why; /* what went wrong last */
    struct hg_log_limit limit;
};

/* ---- nvme_ctrl.c ---- */

/* Allocates the admin queue and starts; `dev` and `bdev` stay the caller's. Nothing has happened on
 * the device yet: tick until nvme_ctrl_started(). */
int nvme_ctrl_init(struct nvme_ctrl *ctrl, struct nvme_dev *dev, const struct nvme_opts *opts,
                   struct hg_err *err);
/* The controller must be OFF or DEAD, or never have been ticked. */
void nvme_ctrl_fini(struct nvme_ctrl *ctrl);

/* Any thread; does nothing when another is at it. */
void nvme_ctrl_tick(struct nvme_ctrl *ctrl, hg_ns now);
/* 0 not yet, 1 runs, negative errno: it failed and *err tells (NULL is allowed). */
int nvme_ctrl_started(struct nvme_ctrl *ctrl, struct hg_err *err);
/* Shutdown notification; tick until nvme_ctrl_stopped(). All links are gone. */
void nvme_ctrl_stop(struct nvme_ctrl *ctrl, hg_ns now);
bool nvme_ctrl_stopped(struct nvme_ctrl *ctrl);

/* Asks for a reset; why: static text. Any thread. */
void nvme_ctrl_want_reset(struct nvme_ctrl *ctrl, const char *why);

/* A queue number that nobody has, or 0. */
uint16_t nvme_ctrl_qid_get(struct nvme_ctrl *ctrl);
void nvme_ctrl_qid_put(struct nvme_ctrl *ctrl, uint16_t qid);
/* Makes a link known, and forgets it; it is OUT, GONE or REFUSED then. */
void nvme_ctrl_link(struct nvme_ctrl *ctrl, struct nvme_link *link);
void nvme_ctrl_unlink(struct nvme_ctrl *ctrl, struct nvme_link *link);
/* For nvme_admin.c: resets now, or gives the device up. The sentence goes on after its name. */
void nvme_ctrl_reset(struct nvme_ctrl *ctrl, const char *why);
void nvme_ctrl_dead(struct nvme_ctrl *ctrl, int error, const char *why);

/* ---- nvme_admin.c: under the lock ---- */

/* A state in which one admin command is asked and answered. */
struct nvme_admin_step {
    bool (*needed)(const struct nvme_ctrl *ctrl); /* NULL: always */
    void (*ask)(struct nvme_ctrl *ctrl, struct nvme_sqe *sqe);
    nvme_answer_fn answer;
};
/* NULL for states that are none. */
const struct nvme_admin_step *nvme_admin_step(enum nvme_state state);

/* Sends a job's command; no other job is busy. */
void nvme_admin_start(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, nvme_answer_fn answer);
/* The completion function of the admin queue. */
void nvme_admin_done(struct nvme_qp *qp, struct nvme_req *req, const struct nvme_cqe *cqe);
/* What there is to do in RUN: events, links, aborts, health. */
void nvme_admin_run(struct nvme_ctrl *ctrl);
/* Gives every command in flight so much more time. */
void nvme_admin_postpone(struct nvme_ctrl *ctrl, hg_ns time);
/* Whether a job or an abort has passed its deadline. */
bool nvme_admin_late(struct nvme_ctrl *ctrl);
/* Takes all commands back, after the controller was disabled or halted. */
void nvme_admin_reclaim(struct nvme_ctrl *ctrl);
/* After a command failed: -EIO with ctrl->why saying which and how. */
int nvme_admin_failed(struct nvme_ctrl *ctrl, const char *what);

/* ---- nvme_status.c ---- */

/* What a status means to the owner of a request. */
struct nvme_verdict {
    int error; /* negative errno */
    bool retry;
    enum hg_bdev_error kind;
    const char *text; /* a few words */
};
struct nvme_verdict nvme_status_verdict(uint16_t status);

/* ---- nvme_quirk.c ---- */

#define NVME_QUIRK_DELAY_READY (1u << 0) /* CSTS.RDY lies for a while after EN was cleared */
#define NVME_QUIRK_NO_WRITE_ZEROES (1u << 1)
unsigned nvme_quirks(uint16_t vendor, uint16_t device);

#endif /* DRIVERS_BDEV_NVME_NVME_CTRL_H */
