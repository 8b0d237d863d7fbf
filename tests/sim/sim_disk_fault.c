/* SPDX-License-Identifier: BSD-3-Clause */
/* See sim_disk.h. */
#include "sim_disk.h"
#include <stdlib.h>

struct sim_disk {
    struct hg_bdev *mem, *fault;
    unsigned delay_polls;
};

struct sim_disk *sim_disk_open(const struct sim_disk_cfg *cfg)
{
    struct hg_bdev_fault_cfg fault = {.seed = cfg->seed, .delay_polls = cfg->delay_polls};
    struct sim_disk *disk = calloc(1, sizeof *disk);

    if (disk == NULL || hg_bdev_mem_open(cfg->name, cfg->size, &disk->mem, NULL) != 0 ||
        hg_bdev_fault_open(disk->mem, &fault, &disk->fault, NULL) != 0)
        abort();
    disk->delay_polls = cfg->delay_polls;
    return disk;
}

void sim_disk_close(struct sim_disk *disk)
{
    hg_bdev_close(disk->fault);
    hg_bdev_close(disk->mem);
    free(disk);
}

struct hg_bdev *sim_disk_dev(struct sim_disk *disk)
{
    return disk->fault;
}

void sim_disk_arm(struct sim_disk *disk, enum hg_bdev_op op, uint64_t nth)
{
    struct hg_bdev_fault_cfg cfg = {
        .delay_polls = disk->delay_polls, .fail_op = op, .fail_nth = nth};

    hg_bdev_fault_set(disk->fault, &cfg);
}

void sim_disk_crash(struct sim_disk *disk)
{
    hg_bdev_crash(disk->fault);
}

void sim_disk_kill(struct sim_disk *disk)
{
    hg_bdev_kill(disk->fault);
}

bool sim_disk_report(void)
{
    return true;
}
