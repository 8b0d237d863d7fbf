/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The threads that carry out handshake steps.
 *
 * Ordinary threads and no EAL lcores: they sleep when there is nothing to do, and may lose their CPU at any
 * time without holding anybody up. They run where no shard is bound, and at a lower priority, so that
 * the control thread and others who live there notice little; a profile that wants more helpers than
 * there are such CPUs gets them beside the shards, where the priority leaves a shard three quarters of its CPU.
 */
#include "node.h"
#include <errno.h>
#include <headgate/log.h>
#include <headgate/units.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define AUTO_MAX 4         /* a thousand handshakes a second and more, of each */
#define NICE 5             /* a third of the weight of a thread that is not nice */
#define STACK (512u << 10) /* bytes */
#define STEPS_PER_ROUND 16 /* before the look at whether it is time to stop */

/* ---- where and how many ---- */

void helpers_see_cpus(struct node *node)
{
    CPU_ZERO(&node->helpers.cpus);
    if (sched_getaffinity(0, sizeof node->helpers.cpus, &node->helpers.cpus) != 0)
        CPU_SET(0, &node->helpers.cpus);
}

/* Takes the shards' CPUs out; returns how many are left for others. */
static unsigned without_shards(const struct config *cfg, unsigned n_shards, cpu_set_t *cpus)
{
    char list[CFG_TEXT_MAX], *save = NULL;
    unsigned all = (unsigned)CPU_COUNT(cpus);

    if (!cfg->pin)
        return all > n_shards ? all - n_shards : 0;
    snprintf(list, sizeof list, "%s", cfg->shard_cpus);
    for (char *p = strtok_r(list, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        uint64_t cpu;

        if (hg_units_count(p, &cpu) == 0 && cpu < CPU_SETSIZE)
            CPU_CLR(cpu, cpus);
    }
    return (unsigned)CPU_COUNT(cpus);
}

/* Leaves the CPUs to use in node->helpers.cpus; returns the number of threads. */
static unsigned plan(struct node *node)
{
    cpu_set_t cpus = node->helpers.cpus;
    unsigned left = without_shards(&node->cfg, node->n_shards, &cpus);
    uint64_t n;

    if (left != 0)
        node->helpers.cpus = cpus;
    if (hg_units_count(node->cfg.helpers, &n) == 0) /* config_check() has let it pass */
        return (unsigned)n;
    return left < AUTO_MAX ? left : AUTO_MAX;
}

/* ---- threads ---- */

static void wake(void *arg)
{
    sem_post(arg);
}

static void *helper_thread(void *arg)
{
    struct node_helpers *h = arg;

    pthread_setname_np(pthread_self(), "hg-helper");
    sched_setaffinity(0, sizeof h->cpus, &h->cpus);
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    while (!atomic_load_explicit(&h->stop, memory_order_relaxed)) {
        if (hg_helpers_work(h->pool, STEPS_PER_ROUND) != 0 || !hg_helpers_doze(h->pool))
            continue;
        sem_wait(&h->work);
        hg_helpers_up(h->pool);
    }
    return NULL;
}

/* On a stack that core dumps leave out: secrets pass over it. */
static int start_thread(struct node_helpers *h)
{
    pthread_attr_t attr;
    void *stack =
        mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    int rc;

    if (stack == MAP_FAILED)
        return -errno;
    madvise(stack, STACK, MADV_DONTDUMP);
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, STACK);
    rc = pthread_create(&h->thread[h->n], &attr, helper_thread, h);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        munmap(stack, STACK);
        return -rc;
    }
    h->stack[h->n++] = stack;
    return 0;
}

void helpers_stop(struct node *node)
{
    struct node_helpers *h = &node->helpers;

    atomic_store(&h->stop, true);
    for (unsigned i = 0; i < h->n; i++)
        sem_post(&h->work);
    while (h->n > 0) {
        pthread_join(h->thread[--h->n], NULL);
        munmap(h->stack[h->n], STACK);
    }
}

void helpers_undo(struct node *node)
{
    helpers_stop(node);
    hg_helpers_destroy(node->helpers.pool);
    node->helpers.pool = NULL;
}

int helpers_stage(struct node *node, struct hg_err *err)
{
    struct node_helpers *h = &node->helpers;
    struct hg_helpers_cfg cfg = {
        .n_shards = node->n_shards, .socket = SOCKET_ID_ANY, .wake = wake, .arg = &h->work};
    unsigned n = plan(node), begun;
    int rc;

    if (n == 0)
        return 0;
    sem_init(&h->work, 0, 0);
    rc = hg_helpers_create(&cfg, &h->pool, err);
    if (rc != 0)
        return rc;
    while (h->n < n) {
        rc = start_thread(h);
        if (rc == 0)
            continue;
        begun = h->n;
        helpers_undo(node);
        return hg_fail(err, rc, "handshake helper %u of %u: %s", begun + 1, n, strerror(-rc));
    }
    hg_log(HG_LOG_INFO, "node", "%u handshake helper%s", n, n == 1 ? "" : "s");
    return 0;
}
