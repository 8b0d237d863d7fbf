/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An emulated NVMe controller: the second implementation of struct nvme_dev_ops. Its registers and
 * doorbells are ordinary memory, its medium is memory or a file, and nvme_emu_poll() is the hardware:
 * it looks at registers and doorbells, carries out what was submitted and posts completions.
 *
 * It is a controller to the letter (base spec 2.0, NVM spec 1.0), and its own IOMMU: I/O addresses
 * differ from pointers, and an access to what was not mapped is a fault. What a correct driver never
 * does is carried out as the specifications say and counted (NVME_EMU_ERRORS), so that a test can
 * demand that there was none. Faults are asked for explicitly, trigger at an exact command, and count.
 *
 * A tool for tests and for hosts without NVMe; it allocates for each write while a volatile cache is
 * emulated. All functions lock: any thread, but nvme_emu_close() only after nvme_emu_thread_stop().
 */
#ifndef DRIVERS_BDEV_NVME_NVME_EMU_H
#define DRIVERS_BDEV_NVME_NVME_EMU_H

#include "nvme_dev.h"
#include <stdbool.h>

#define NVME_EMU_NS_MAX 8u
#define NVME_EMU_QUEUES_MAX 64u /* I/O queue pairs */
#define NVME_EMU_FAULTS_MAX 16u

struct nvme_emu;

struct nvme_emu_ns {
    uint64_t size;     /* bytes; a multiple of 4096, not 0 */
    uint32_t block;    /* 512 or 4096 */
    uint16_t metadata; /* bytes for each block; they are announced and not kept */
    bool read_only;    /* write protected */
    bool inactive;     /* its identifier is allocated, but it is not attached */
    const char *path;  /* image file, made when it is not there; NULL: memory */
};

struct nvme_emu_cfg {
    struct nvme_emu_ns ns[NVME_EMU_NS_MAX]; /* identifiers 1..n_ns */
    unsigned n_ns;                          /* 1..NVME_EMU_NS_MAX */
    char serial[21];
    uint32_t version;       /* VS, e.g. 0x20000 */
    uint32_t entries_max;   /* of a queue (CAP.MQES + 1): 2..65536 */
    unsigned queues;        /* I/O queue pairs: 1..NVME_EMU_QUEUES_MAX */
    uint8_t timeout;        /* CAP.TO, 500 ms */
    uint8_t dstrd;          /* CAP.DSTRD: 0..8 */
    uint8_t mpsmin, mpsmax; /* CAP.MPSMIN, CAP.MPSMAX: 0..15 */
    uint8_t css;            /* CAP.CSS; bit 0: the NVM command set */
    uint8_t mdts;           /* largest transfer 4096 << (mpsmin + mdts) bytes; 0: no limit */
    uint8_t wzsl;           /* the same of write zeroes; 0: no limit */
    uint8_t dmrl;           /* ranges in one dataset management; 0: no limit */
    uint8_t dlfeat;         /* 1: deallocated blocks read as zeroes; 0: as garbage */
    uint8_t aerl;           /* asynchronous event requests at once, 0's based: 0..15 */
    uint8_t sgls;           /* 0: none; 1: any alignment; 2: multiples of four */
    bool vwc;               /* a volatile write cache, of at most cache_bytes */
    size_t cache_bytes;     /* unflushed writes beyond it become durable, oldest first */
    bool dbbuf;             /* doorbell buffer config is there */
    bool write_zeroes, dsm; /* the optional commands are there */
    bool no_payload;        /* commands are checked and completed, data stays where it is */
    bool secondary_offline; /* an NVMe VF that was not brought online: CSTS.CFS for ever */
    bool close_frees;       /* ops->close() is nvme_emu_close(): nobody else keeps the emulator */
    hg_ns enable_ns;        /* from CC.EN = 1 to CSTS.RDY = 1 */
    hg_ns disable_ns;       /* from CC.EN = 0 to CSTS.RDY = 0 */
    hg_ns shutdown_ns;      /* from CC.SHN to CSTS.SHST = complete */
    uint16_t pci_vendor, pci_device;
};

/* A controller of 2.0 with one namespace of `size` bytes in blocks of `block` bytes, 8 I/O queue pairs
 * of 1024 entries, MDTS 128 KiB, a volatile cache of 64 MiB, every optional command, no SGLs and no
 * shadow doorbells. */
struct nvme_emu_cfg nvme_emu_cfg_default(uint64_t size, uint32_t block);

/* 0, -EINVAL (configuration), -ENOMEM, or what opening the image gave. */
int nvme_emu_open(const struct nvme_emu_cfg *cfg, struct nvme_emu **out, struct hg_err *err);
/* NULL is allowed. */
void nvme_emu_close(struct nvme_emu *emu);

/* The device, to be opened by the driver; after its close() it may be opened again. */
struct nvme_dev *nvme_emu_dev(struct nvme_emu *emu);

/* One turn of the hardware at time `now`, which never goes back. How much it did; 0: it is idle. */
unsigned nvme_emu_poll(struct nvme_emu *emu, hg_ns now);

/* Calls nvme_emu_poll() by the clock from a thread of its own, which sleeps a little when idle. 0 or
 * negative errno. */
int nvme_emu_thread_start(struct nvme_emu *emu);
/* Does nothing when none was started. */
void nvme_emu_thread_stop(struct nvme_emu *emu);

/* ---- what is counted ---- */

/* What a correct driver never does. */
#define NVME_EMU_ERRORS(X)                                                                         \
    X(reg_read_only, "stores to registers that can only be read")                                  \
    X(reg_enable, "CC.EN set while CSTS.RDY was still set (base spec 3.1.3.5)")                    \
    X(reg_while_enabled, "CC.MPS, CC.CSS, AQA, ASQ or ACQ changed while enabled")                  \
    X(reg_start, "enabled with admin queues, page size or command set that cannot be")             \
    X(db_queue, "rings of doorbells whose queue does not exist")                                   \
    X(db_value, "doorbell values out of range of their queue")                                     \
    X(db_overrun, "tails that pass the head, heads that pass the tail, or either going back")      \
    X(db_stopped, "commands submitted before CSTS.RDY or after a shutdown notification")           \
    X(cid_in_use, "command identifiers used again before they completed")                          \
    X(dma, "accesses to memory that is not mapped for the device")                                 \
    X(dma_in_use, "memory taken away that a queue or a command was still using")                   \
    X(dma_unknown, "memory freed or unmapped that was not allocated or mapped")                    \
    X(dma_left, "ranges still mapped or allocated when the device was closed")                     \
    X(prp, "PRP entries or lists with an offset that is not allowed")                              \
    X(sgl, "SGL descriptors or segments that are not allowed")                                     \
    X(opcode, "commands that the controller does not have")                                        \
    X(field, "commands with a field that is not allowed")                                          \
    X(nsid, "commands for a namespace that is not there")                                          \
    X(range, "commands for blocks beyond the end of the namespace")                                \
    X(protected_, "writes to a write protected namespace")                                         \
    X(queue, "queue commands with a wrong identifier, size or order")                              \
    X(aer_limit, "more asynchronous event requests than the controller takes")                     \
    X(log_page, "log pages that the controller does not have")

/* What happens. */
#define NVME_EMU_EVENTS(X)                                                                         \
    X(admin, "admin commands carried out")                                                         \
    X(reads, "reads carried out")                                                                  \
    X(writes, "writes carried out")                                                                \
    X(flushes, "flushes carried out")                                                              \
    X(write_zeroes, "write zeroes carried out")                                                    \
    X(deallocates, "dataset managements that deallocate carried out")                              \
    X(blocks_read, "blocks read")                                                                  \
    X(blocks_written, "blocks written")                                                            \
    X(completions, "completions posted")                                                           \
    X(doorbells, "stores to doorbells seen")                                                       \
    X(resets, "controller resets by CC.EN")                                                        \
    X(shutdowns, "shutdown notifications")                                                         \
    X(power_cuts, "power cuts")                                                                    \
    X(kept, "unflushed writes that a power cut kept")                                              \
    X(lost, "unflushed writes that a power cut lost")                                              \
    X(torn, "unflushed writes that a power cut tore between blocks")                               \
    X(injected, "faults that triggered")                                                           \
    X(aborted, "commands given up because of an abort command")                                    \
    X(events, "asynchronous events reported")

struct nvme_emu_stats {
#define NVME_EMU_FIELD(name, text) uint64_t name;
    NVME_EMU_ERRORS(NVME_EMU_FIELD) NVME_EMU_EVENTS(NVME_EMU_FIELD)
#undef NVME_EMU_FIELD
};

/* Since nvme_emu_open(). */
void nvme_emu_stats(struct nvme_emu *emu, struct nvme_emu_stats *out);

/* The sum of NVME_EMU_ERRORS. text (NULL is allowed): name and count of each that is not 0. */
uint64_t nvme_emu_errors(struct nvme_emu *emu, char *text, size_t size);

/* ---- faults ---- */

enum nvme_emu_fault_kind {
    NVME_EMU_FAIL,      /* completes with the status given and without any effect */
    NVME_EMU_LOSE,      /* is carried out, the completion never comes */
    NVME_EMU_DUPLICATE, /* the completion comes twice */
    NVME_EMU_CID_FREE,  /* the completion names a small identifier that is not in flight */
    NVME_EMU_CID_RANGE, /* the completion names identifier 0xffff */
    NVME_EMU_SQID,      /* the completion names another submission queue */
    NVME_EMU_SQHD,      /* the completion has a head beyond the queue */
    NVME_EMU_LATE,      /* is carried out after delay_ns, or aborted before that */
    NVME_EMU_FATAL,     /* CSTS.CFS instead of carrying it out; a reset mends it */
    NVME_EMU_DIE,       /* the same, and only a power cut mends it */
    NVME_EMU_REMOVE,    /* the device is gone: all registers read as ones */
    NVME_EMU_FAULT_KINDS
};

#define NVME_EMU_ANY 0x100u      /* every opcode */
#define NVME_EMU_NEVER (~0ull)   /* as delay_ns: until it is aborted or the controller reset */
#define NVME_EMU_FOREVER (~0ull) /* as last */

struct nvme_emu_fault {
    enum nvme_emu_fault_kind kind;
    bool admin;           /* counts commands of the admin queue, else of all I/O queues */
    unsigned opc;         /* opcode or NVME_EMU_ANY */
    uint64_t first, last; /* the commands hit, counted from 1 from when the fault was set; last 0:
                             only the first */
    uint16_t status;      /* NVME_EMU_FAIL: as in a completion, without phase */
    hg_ns delay_ns;       /* NVME_EMU_LATE */
};

/* Its number, for nvme_emu_fault_fired(), or -ENOSPC. */
int nvme_emu_fault_add(struct nvme_emu *emu, const struct nvme_emu_fault *fault);
/* How often it has triggered. */
uint64_t nvme_emu_fault_fired(struct nvme_emu *emu, int fault);
/* Forgets all of them; commands already held back stay so. */
void nvme_emu_fault_clear(struct nvme_emu *emu);

/* KIND=COMMAND:N[-[M]][:VALUE]: `fail=write:7:2/81` (status code type and code in hexadecimal, `/dnr`
 * after them), `late=read:3-:200ms` or `:never`, `lose=create-cq:1`; the kinds are fail lose duplicate
 * cid-free cid-range sqid sqhd late fatal die remove; commands read write flush write-zeroes dsm io,
 * identify get-log set-features get-features create-cq create-sq delete-cq delete-sq abort aer dbbuf
 * admin. 0 or -EINVAL. */
int nvme_emu_fault_parse(const char *text, struct nvme_emu_fault *out, struct hg_err *err);

/* What the controller as a whole does wrong, until set otherwise. */
struct nvme_emu_mood {
    bool never_ready;    /* CSTS.RDY stays 0 */
    bool never_disabled; /* CSTS.RDY stays 1 after CC.EN = 0 */
    bool never_shut;     /* CSTS.SHST stays "occurring" */
    bool never_aborts;   /* abort commands find nothing */
    bool stalled;        /* fetches no commands; doorbells and registers work */
    uint64_t reorder;    /* not 0: seed for the order of completions */
};
void nvme_emu_mood(struct nvme_emu *emu, const struct nvme_emu_mood *mood);

/* At once. `for_ever`: only a power cut mends it. */
void nvme_emu_fatal(struct nvme_emu *emu, bool for_ever);
void nvme_emu_remove(struct nvme_emu *emu);
/* What was removed is there again, its registers as after power on. It had kept its power, as behind a
 * link that was down: nothing is lost from its cache. */
void nvme_emu_insert(struct nvme_emu *emu);

/* Power goes and comes back: what is in flight vanishes; of the writes that are neither flushed nor
 * FUA, and of those in flight, each is kept, lost or torn between blocks as the seed says. The
 * controller is then as after power on, also when it had died or was removed. Queues and commands
 * must still be mapped. */
void nvme_emu_power_cut(struct nvme_emu *emu, uint64_t seed);

/* Bits 4:0 of the critical warning; bits newly set raise an event. */
void nvme_emu_smart(struct nvme_emu *emu, uint8_t warning, int celsius);
/* Another size in bytes, or 0: detached. Raises a namespace attribute event. 0 or negative errno. */
int nvme_emu_ns_resize(struct nvme_emu *emu, uint32_t nsid, uint64_t size);
/* Reads of these blocks are unrecovered read errors until they are written. One range in all; blocks
 * 0: none. */
void nvme_emu_bad_blocks(struct nvme_emu *emu, uint32_t nsid, uint64_t slba, uint32_t blocks);

/* The medium behind the controller: what reads would give. For comparisons, without a driver; only
 * while nothing is in flight. Valid until nvme_emu_ns_resize() or nvme_emu_close(). */
uint8_t *nvme_emu_medium(struct nvme_emu *emu, uint32_t nsid);

#endif /* DRIVERS_BDEV_NVME_NVME_EMU_H */
