/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulated controller as a whole: opening, a turn of the hardware, its thread, and what tests do
 * to it. */
#include "nvme_emu_impl.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define IDLE_TURNS 64u      /* turns without work before the thread sleeps */
#define IDLE_SLEEP_NS 20000 /* how long */
#define SEGS_MAX 65600u     /* 65536 blocks of 4096 bytes in pages, and a little */

void emu_lock(struct nvme_emu *emu)
{
    __atomic_fetch_add(&emu->waiting, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&emu->lock);
    __atomic_fetch_sub(&emu->waiting, 1, __ATOMIC_RELAXED);
}

void emu_unlock(struct nvme_emu *emu)
{
    pthread_mutex_unlock(&emu->lock);
}

/* splitmix64 */
uint64_t emu_draw(uint64_t *random)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- life of the emulator ---- */

struct nvme_emu_cfg nvme_emu_cfg_default(uint64_t size, uint32_t block)
{
    return (struct nvme_emu_cfg){
        .ns = {{.size = size, .block = block}},
        .n_ns = 1,
        .serial = "EMU0001",
        .version = 0x20000,
        .entries_max = 1024,
        .queues = 8,
        .timeout = 4,
        .css = 1,
        .mdts = 5,
        .dlfeat = 1,
        .aerl = 3,
        .vwc = true,
        .cache_bytes = 64u << 20,
        .write_zeroes = true,
        .dsm = true,
        .pci_vendor = 0x1b36,
        .pci_device = 0x0010,
    };
}

static int cfg_check(const struct nvme_emu_cfg *c, struct hg_err *err)
{
    if (c->n_ns < 1 || c->n_ns > NVME_EMU_NS_MAX || c->queues < 1 ||
        c->queues > NVME_EMU_QUEUES_MAX || c->entries_max < 2 || c->entries_max > 65536 ||
        c->dstrd > 8 || c->mpsmin > c->mpsmax || c->mpsmax > 15 || c->mdts > 15 || c->aerl > 15 ||
        c->sgls > 2)
        return hg_fail(err, -EINVAL, "emulated NVMe: the configuration is out of its limits");
    return 0;
}

static int open_parts(struct nvme_emu *emu, struct hg_err *err)
{
    size_t doorbells = (size_t)(2 * (emu->cfg.queues + 1)) * (4u << emu->cfg.dstrd);
    void *regs;

    emu->dev.regs_len = NVME_REG_DOORBELL + ((doorbells + 4095) & ~(size_t)4095);
    regs =
        mmap(NULL, emu->dev.regs_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (regs != MAP_FAILED)
        emu->dev.regs = regs;
    emu->ranges = calloc(EMU_RANGES_MAX, sizeof *emu->ranges);
    emu->segs_max = SEGS_MAX;
    emu->segs = calloc(SEGS_MAX, sizeof *emu->segs);
    if (emu->dev.regs == NULL || emu->ranges == NULL || emu->segs == NULL)
        return hg_fail(err, -ENOMEM, "emulated NVMe: no memory");
    for (unsigned i = 0; i < emu->cfg.n_ns; i++) {
        int rc = emu_medium_open(&emu->ns[i], &emu->cfg.ns[i], err);

        if (rc != 0)
            return rc;
    }
    return 0;
}

static void emu_free(struct nvme_emu *emu)
{
    for (unsigned i = 0; i < NVME_EMU_NS_MAX; i++) {
        emu_medium_forget(emu, &emu->ns[i]);
        emu_medium_close(&emu->ns[i]);
    }
    if (emu->dev.regs != NULL)
        munmap((void *)(uintptr_t)emu->dev.regs, emu->dev.regs_len);
    pthread_mutex_destroy(&emu->lock);
    free(emu->ranges);
    free(emu->segs);
    free(emu);
}

int nvme_emu_open(const struct nvme_emu_cfg *cfg, struct nvme_emu **out, struct hg_err *err)
{
    struct nvme_emu *emu;
    int rc = cfg_check(cfg, err);

    if (rc != 0)
        return rc;
    emu = calloc(1, sizeof *emu);
    if (emu == NULL)
        return hg_fail(err, -ENOMEM, "emulated NVMe: no memory");
    emu->cfg = *cfg;
    pthread_mutex_init(&emu->lock, NULL);
    for (unsigned i = 0; i < NVME_EMU_NS_MAX; i++)
        emu->ns[i].fd = -1;
    rc = open_parts(emu, err);
    if (rc != 0) {
        emu_free(emu);
        return rc;
    }
    emu->dev.ops = &emu_dev_ops;
    emu->dev.numa_node = -1;
    emu->dev.pci_vendor = cfg->pci_vendor;
    emu->dev.pci_device = cfg->pci_device;
    snprintf(emu->dev.name, sizeof emu->dev.name, "emulated NVMe %s", cfg->serial);
    emu->page = 4096u << cfg->mpsmin;
    emu->celsius = 40;
    emu->power_cycles = 1;
    emu_list_init(&emu->held);
    emu_list_init(&emu->events);
    emu_list_init(&emu->lost);
    for (unsigned i = 0; i < NVME_EMU_NS_MAX; i++)
        emu->cfg.ns[i].path = emu->ns[i].cfg.path = NULL; /* the caller's */
    emu_power_on(emu);
    *out = emu;
    return 0;
}

void nvme_emu_close(struct nvme_emu *emu)
{
    if (emu == NULL)
        return;
    nvme_emu_thread_stop(emu);
    emu_queues_drop(emu);
    for (unsigned i = 0; i < emu->n_ranges; i++) {
        if (emu->ranges[i].allocated)
            free((void *)(uintptr_t)emu->ranges[i].base);
    }
    emu_free(emu);
}

struct nvme_dev *nvme_emu_dev(struct nvme_emu *emu)
{
    return &emu->dev;
}

/* ---- a turn of the hardware ---- */

unsigned nvme_emu_poll(struct nvme_emu *emu, hg_ns now)
{
    unsigned work;

    pthread_mutex_lock(&emu->lock);
    emu->now = now;
    emu->turns++;
    work = emu_life(emu);
    if (!emu->removed && !emu->halted) {
        work += emu_doorbells(emu, emu->turns % EMU_SCAN_EVERY == 0);
        if (emu->state == EMU_READY && NVME_CSTS_SHST(emu->csts) == NVME_SHST_NORMAL) {
            work += emu_run_held(emu);
            for (unsigned qid = 0; qid <= emu->cfg.queues; qid++) {
                if (emu->sq[qid] != NULL)
                    work += emu_fetch(emu, emu->sq[qid]);
            }
            work += emu_post(emu);
        }
        if (work == 0)
            work += emu_doorbells(emu, true);
    }
    pthread_mutex_unlock(&emu->lock);
    return work;
}

static hg_ns clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return HG_SEC(t.tv_sec) + (hg_ns)t.tv_nsec;
}

static void *thread_main(void *arg)
{
    const struct timespec nap = {.tv_nsec = IDLE_SLEEP_NS};
    struct nvme_emu *emu = arg;
    unsigned idle = 0;

    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    while (!__atomic_load_n(&emu->stop, __ATOMIC_RELAXED)) {
        idle = nvme_emu_poll(emu, clock_ns()) > 0 ? 0 : idle + 1;
        while (__atomic_load_n(&emu->waiting, __ATOMIC_RELAXED) > 0)
            sched_yield();
        /* Not by sched_yield(): on a CPU that it shares with a driver that polls, that costs a whole
         * time slice, while one that wakes up is let in at once. */
        if (idle > IDLE_TURNS)
            nanosleep(&nap, NULL);
    }
    return NULL;
}

int nvme_emu_thread_start(struct nvme_emu *emu)
{
    int rc;

    __atomic_store_n(&emu->stop, false, __ATOMIC_RELAXED);
    rc = pthread_create(&emu->thread, NULL, thread_main, emu);
    emu->threaded = rc == 0;
    return -rc;
}

void nvme_emu_thread_stop(struct nvme_emu *emu)
{
    if (!emu->threaded)
        return;
    __atomic_store_n(&emu->stop, true, __ATOMIC_RELAXED);
    pthread_join(emu->thread, NULL);
    emu->threaded = false;
}

/* ---- what tests do to it ---- */

void nvme_emu_stats(struct nvme_emu *emu, struct nvme_emu_stats *out)
{
    emu_lock(emu);
    *out = emu->stats;
    emu_unlock(emu);
}

uint64_t nvme_emu_errors(struct nvme_emu *emu, char *text, size_t size)
{
    struct nvme_emu_stats s;
    uint64_t sum = 0;

    nvme_emu_stats(emu, &s);
#define NVME_EMU_ROW(name, sentence) {#name, s.name},
    const struct {
        const char *name;
        uint64_t n;
    } rows[] = {NVME_EMU_ERRORS(NVME_EMU_ROW)};
#undef NVME_EMU_ROW
    if (text != NULL && size > 0)
        text[0] = '\0';
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        size_t used = text != NULL ? strlen(text) : 0;

        sum += rows[i].n;
        if (rows[i].n != 0 && text != NULL && used < size)
            snprintf(text + used, size - used, "%s%s=%llu", used > 0 ? " " : "", rows[i].name,
                     (unsigned long long)rows[i].n);
    }
    return sum;
}

void nvme_emu_mood(struct nvme_emu *emu, const struct nvme_emu_mood *mood)
{
    emu_lock(emu);
    emu->mood = *mood;
    emu->random = mood->reorder;
    emu_unlock(emu);
}

void nvme_emu_fatal(struct nvme_emu *emu, bool for_ever)
{
    emu_lock(emu);
    emu_fatal(emu, for_ever);
    emu_unlock(emu);
}

void nvme_emu_remove(struct nvme_emu *emu)
{
    emu_lock(emu);
    emu_remove(emu);
    emu_unlock(emu);
}

void nvme_emu_insert(struct nvme_emu *emu)
{
    emu_lock(emu);
    emu->removed = false;
    emu_power_on(emu);
    emu_unlock(emu);
}

void nvme_emu_power_cut(struct nvme_emu *emu, uint64_t seed)
{
    emu_lock(emu);
    emu->stats.power_cuts++;
    emu->unsafe_shutdowns += NVME_CSTS_SHST(emu->csts) != NVME_SHST_COMPLETE;
    emu_held_write(emu);
    emu_medium_cut(emu, seed);
    emu->removed = emu->dead = false;
    emu->power_cycles++;
    emu_power_on(emu);
    emu_unlock(emu);
}

uint8_t *nvme_emu_medium(struct nvme_emu *emu, uint32_t nsid)
{
    return emu->ns[nsid - 1].image;
}
