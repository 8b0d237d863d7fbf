/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver over the emulated controller in one thread and on virtual time: each turn of the rig is
 * 10 us, in which the controller polls once and the driver ticks once.
 */
#ifndef TESTS_UNIT_NVME_RIG_H
#define TESTS_UNIT_NVME_RIG_H

#include "nvme_bdev.h"
#include "nvme_chan.h"
#include "nvme_emu.h"
#include <CUnit/Basic.h>

#define RIG_CHANS 4u
#define RIG_MEM (8u << 20)
#define RIG_SIZE (16u << 20) /* of the namespace */

struct rig {
    hg_ns now;
    struct nvme_emu *emu;
    struct nvme_opts opts;
    struct hg_bdev *dev;
    struct hg_bdev_chan *chans[RIG_CHANS];
    unsigned n_chans;
    uint8_t *mem; /* RIG_MEM bytes, registered with each channel */
    struct hg_err err;
};

/* A controller as the configuration says, with nobody on it; options with short times: 100 ms for a
 * request, 50 ms for an admin command, 3 tries, 3 resets. */
void rig_init(struct rig *r, const struct nvme_emu_cfg *cfg);
/* Opens the device; 0 or the error, and r->err then says something. */
int rig_start(struct rig *r);
/* rig_init() with a default controller of `block` bytes a block, rig_start() and a channel. */
void rig_open(struct rig *r, uint32_t block);
/* Opens one more channel with room for `depth` requests. */
int rig_chan(struct rig *r, unsigned depth);
/* Closes what is open, and demands that every tracker and bounce buffer came back, that no memory is
 * left at the controller, and that it saw no mistake of the driver. */
void rig_close(struct rig *r);

/* One turn without requests. */
void rig_turn(struct rig *r);
void rig_sleep(struct rig *r, hg_ns time);

/* Carries requests out on a channel; they all came back within `limit`. */
bool rig_run(struct rig *r, unsigned chan, struct hg_bdev_io *ios, unsigned n);
/* One request of one buffer; its status, or 1 when it did not come back within ten seconds. */
int rig_io(struct rig *r, enum hg_bdev_op op, uint64_t offset, void *buf, uint64_t len);

/* Sets a fault from its text. */
int rig_fault(struct rig *r, const char *text);
uint64_t rig_errors(struct rig *r, enum hg_bdev_error kind);
enum hg_bdev_state rig_state(struct rig *r);
/* Commands the channel could still send: all of them when nothing is in flight. */
bool rig_pools_full(struct rig *r);

#endif /* TESTS_UNIT_NVME_RIG_H */
