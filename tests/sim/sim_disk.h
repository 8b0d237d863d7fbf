/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk for simulations that can lose power, or the process that uses it, at any moment. A program
 * is linked with one implementation: sim_disk_fault.c, the crash layer over memory, or
 * sim_disk_nvme.c, the NVMe driver over an emulated controller that has troubles of its own too.
 * All of it is for one thread.
 */
#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include <headgate/bdev.h>

struct sim_disk_cfg {
    const char *name;
    uint64_t size; /* bytes; a multiple of 4096 */
    uint64_t seed;
    unsigned delay_polls; /* completions wait for 0..n polls; of the crash layer only */
};

struct sim_disk;

/* Ends the program when there is no memory. */
struct sim_disk *sim_disk_open(const struct sim_disk_cfg *cfg);
void sim_disk_close(struct sim_disk *disk);

/* The same one for the disk's whole life. */
struct hg_bdev *sim_disk_dev(struct sim_disk *disk);

/* The nth request of `op` from now on fails with -EIO; 0: none does. */
void sim_disk_arm(struct sim_disk *disk, enum hg_bdev_op op, uint64_t nth);

/* As hg_bdev_crash() and hg_bdev_kill(): requests in flight vanish, channels may only be closed. */
void sim_disk_crash(struct sim_disk *disk);
void sim_disk_kill(struct sim_disk *disk);

/* After many seeds: a line about what happened to all disks. False, with a sentence on standard
 * error: something was never exercised. */
bool sim_disk_report(void);

#endif /* TESTS_SIM_SIM_DISK_H */
