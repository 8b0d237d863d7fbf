/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * headgate-load: sends volumes to a node, real images or synthetic ones, and tells how it went.
 *
 * The main thread makes everything, starts the workers, prints, and takes it all down again; a
 * worker runs its sessions on a transport and shares nothing with others but read-only settings.
 */
#include "bad.h"
#include "check.h"
#include "plan.h"
#include "report.h"
#include "transport.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

struct thread {
    struct worker *worker;
    const struct certs *certs;
    pthread_t id;
    int rc;
    int ended; /* atomic */
    struct hg_err err;
};

/* Set by signals: 1 finish what is in flight, 2 leave. */
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    if (interrupted < 2)
        interrupted++;
}

static void pin(int32_t cpu, unsigned index)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu + index, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "headgate-load: --cpu %u: %s; running unpinned\n", (unsigned)cpu + index,
                strerror(errno));
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct worker *w = t->worker;

    pin(w->run->opt->cpu, w->index);
    if (w->run->opt->transport == LOAD_DPDK)
        t->rc = dpdk_run(w, t->certs, &t->err);
    else
        t->rc = kernel_run(w, t->certs, &t->err);
    __atomic_store_n(&t->ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool all_ended(const struct thread *threads, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!__atomic_load_n(&threads[i].ended, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

/* Prints once a second until every thread has ended. */
static void watch(struct run *run, struct thread *threads, unsigned n, struct report *report)
{
    hg_ns next = run->started + HG_SEC(1);

    while (!all_ended(threads, n)) {
        hg_ns now;

        usleep(20000);
        now = clock_now();
        if (interrupted != 0)
            __atomic_store_n(&run->stop, interrupted, __ATOMIC_RELAXED);
        if (now >= next) {
            report_live(report, now);
            next = now + HG_SEC(1);
        }
    }
}

static int start_threads(struct thread *threads, struct worker **workers, unsigned n,
                         const struct certs *certs, struct hg_err *err)
{
    for (unsigned i = 0; i < n; i++) {
        int rc;

        threads[i] = (struct thread){.worker = workers[i], .certs = certs};
        rc = pthread_create(&threads[i].id, NULL, thread_main, &threads[i]);
        if (rc != 0) {
            __atomic_store_n(&workers[0]->run->stop, 2, __ATOMIC_RELAXED);
            while (i-- > 0)
                pthread_join(threads[i].id, NULL);
            return hg_fail(err, -rc, "cannot start a thread: %s", strerror(rc));
        }
    }
    return 0;
}

/* Runs all threads to their end. */
static int run_threads(struct run *run, struct worker **workers, unsigned n,
                       const struct certs *certs, struct hg_err *err)
{
    struct thread *threads = calloc(n, sizeof *threads);
    struct report *report = calloc(1, sizeof *report);
    int rc = -ENOMEM;

    if (threads == NULL || report == NULL)
        goto free_all;
    run->started = clock_now();
    report_init(report, run, workers, n);
    rc = start_threads(threads, workers, n, certs, err);
    if (rc != 0)
        goto free_all;
    watch(run, threads, n, report);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i].id, NULL);
        if (threads[i].rc != 0 && rc == 0) {
            rc = threads[i].rc;
            *err = threads[i].err;
        }
    }
    if (rc == 0)
        rc = report_end(report, err);
    if (rc == 0 && run->opt->manifest != NULL)
        rc = report_manifest(report, err);
    if (rc == 0)
        rc = report_complete(report) ? 0 : 1;
free_all:
    free(report);
    free(threads);
    return rc;
}

static int make_workers(struct run *run, struct worker **workers, unsigned n, struct hg_err *err)
{
    for (unsigned i = 0; i < n; i++) {
        workers[i] = calloc(1, sizeof **workers);
        if (workers[i] == NULL || feed_scratch_create(&workers[i]->scratch) != 0)
            return hg_fail(err, -ENOMEM, "out of memory");
        workers[i]->run = run;
        workers[i]->index = i;
    }
    return plan_sessions(run, workers, n, err);
}

static int run_load(const struct load_options *opt, struct hg_err *err)
{
    struct worker *workers[64] = {0};
    struct run run = {.opt = opt};
    struct certs certs = {0};
    unsigned n = opt->threads;
    int rc = certs_find(opt, &certs, err);

    if (rc == 0 && gen_init(&run.gen, opt->seed, opt->compress_ratio, opt->mix.size[0]) != 0)
        rc = hg_fail(err, -ENOMEM, "out of memory");
    if (rc == 0 && opt->replay && replay_create(opt, &run.gen, &run.replay) != 0)
        rc = hg_fail(err, -ENOMEM, "out of memory for --replay");
    if (rc == 0)
        rc = make_workers(&run, workers, n, err);
    if (rc == 0)
        rc = run_threads(&run, workers, n, &certs, err);
    for (unsigned i = 0; i < n && workers[i] != NULL; i++) {
        plan_free(&workers[i], 1);
        feed_scratch_destroy(&workers[i]->scratch);
        free(workers[i]);
    }
    replay_destroy(run.replay);
    certs_free(&certs);
    return rc;
}

int main(int argc, char **argv)
{
    static struct load_options opt;
    struct sigaction sa = {.sa_handler = on_signal};
    struct hg_err err = {{0}};
    int rc = options_parse(&opt, argc, argv, &err);

    if (rc != 0) {
        fprintf(stderr, "headgate-load: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (opt.help) {
        options_help();
        return 0;
    }
    if (opt.check_manifest != NULL)
        return check_run(&opt);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    if (opt.bad != NULL)
        return bad_run(&opt);
    rc = run_load(&opt, &err);
    if (rc < 0)
        fprintf(stderr, "headgate-load: %s\n", err.text);
    return rc == 0 ? 0 : 1;
}
