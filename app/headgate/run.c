/* SPDX-License-Identifier: BSD-3-Clause */
/* Shard threads and the control thread's loop: signals, the control socket. */
#include "node.h"
#include <errno.h>
#include <headgate/log.h>
#include <poll.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 60000 /* between looks at what goes by time */
#define DRAIN_MAX HG_SEC(20)
#define CAPTURE_END_MAX HG_SEC(10)
#define CALL_MAX HG_SEC(5)
#define DATES_EVERY HG_SEC(24 * 3600)
#define IDLE_BEFORE_SLEEP HG_MS(1)

struct thread_arg {
    struct node *node;
    struct hg_shard *shard;
};

/* The clock is read once a turn; what a turn took is the difference to the next reading. */
static int shard_thread(void *argp)
{
    struct thread_arg arg = *(struct thread_arg *)argp;
    const hg_ns nap = arg.node->cfg.idle_sleep;
    hg_ns now = clock_now(), busy_at = now;

    free(argp);
    while (!atomic_load_explicit(&arg.node->stop, memory_order_relaxed)) {
        unsigned work = hg_shard_turn(arg.shard, now);
        hg_ns end = clock_now();

        hg_shard_account(arg.shard, work, end - now);
        if (work != 0) {
            busy_at = end;
        } else if (nap != 0 && end - busy_at > IDLE_BEFORE_SLEEP) {
            struct timespec t = {0, (long)nap};

            nanosleep(&t, NULL);
            end = clock_now();
        }
        now = end;
    }
    return 0;
}

void node_launch(struct node *node)
{
    unsigned lcore, i = 0;

    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        struct thread_arg *arg = malloc(sizeof *arg);

        if (arg == NULL || i == node->n_shards)
            abort(); /* EAL has as many workers as the plan has shards */
        *arg = (struct thread_arg){node, node->shards[i++]};
        rte_eal_remote_launch(shard_thread, arg, lcore);
    }
}

int node_call(struct hg_shard *shard, struct sync_call *call,
              void (*fn)(struct hg_shard *, struct hg_call *, hg_ns))
{
    hg_ns start = clock_now();
    struct timespec nap = {0, 50000};

    call->call.fn = fn;
    atomic_store(&call->done, false);
    while (hg_shard_call(shard, &call->call) != 0) {
        if (clock_now() - start > CALL_MAX)
            return -ETIMEDOUT;
        nanosleep(&nap, NULL);
    }
    /* Once queued the shard will run it: the struct may not go before. */
    while (!atomic_load(&call->done))
        nanosleep(&nap, NULL);
    return 0;
}

/* ---- signals ---- */

static void drain_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct sync_call *sync = HG_CONTAINER_OF(call, struct sync_call, call);

    hg_shard_drain(shard, now);
    atomic_store(&sync->done, true);
}

struct drained_call {
    struct sync_call sync;
    bool drained;
};

static void drained_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct drained_call *d = HG_CONTAINER_OF(call, struct drained_call, sync.call);

    (void)now;
    d->drained = hg_shard_drained(shard);
    atomic_store(&d->sync.done, true);
}

static bool all_drained(struct node *node)
{
    for (unsigned i = 0; i < node->n_shards; i++) {
        struct drained_call d = {.drained = false};

        node_call(node->shards[i], &d.sync, drained_fn);
        if (!d.drained)
            return false;
    }
    return true;
}

static void drain(struct node *node)
{
    hg_ns end = clock_now() + DRAIN_MAX;
    struct timespec nap = {0, 10000000};

    sd_notify(0, "STOPPING=1");
    hg_log(HG_LOG_INFO, "node", "stopping: finishing what is in flight");
    for (unsigned i = 0; i < node->n_shards; i++) {
        struct sync_call call;

        node_call(node->shards[i], &call, drain_fn);
    }
    while ((!all_drained(node) || atomic_load(&node->exports) != 0) && clock_now() < end)
        nanosleep(&nap, NULL);
    /* Last, so that a capture has seen the connections' end; it needs the shards to leave the port. */
    atomic_store(&node->captures_end, true);
    while (atomic_load(&node->captures) != 0 && clock_now() < end + CAPTURE_END_MAX)
        nanosleep(&nap, NULL);
    atomic_store(&node->stop, true);
    rte_eal_mp_wait_lcore();
}

/* True when it is time to stop. */
static bool handle_signals(struct node *node)
{
    struct signalfd_siginfo info;
    struct hg_err err;
    bool stop = false;

    while (read(node->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            node_reload(node, &err); /* it has logged how it went */
        else
            stop = true;
    }
    return stop;
}

/* Old ticket keys go even when nobody connects; dates are looked at when it is time. */
static void tick(struct node *node, hg_ns *next_dates)
{
    hg_ns now = clock_now();

    node_tls_sweep(node, false);
    node_tls_tick(node, (int64_t)time(NULL));
    if (now < *next_dates)
        return;
    node_tls_log(node);
    *next_dates = now + DATES_EVERY;
}

void node_run(struct node *node)
{
    hg_ns next_dates = clock_now() + DATES_EVERY;
    struct pollfd fds[2] = {{.fd = node->signal_fd, .events = POLLIN},
                            {.fd = node->listen_fd, .events = POLLIN}};

    node_tls_log(node);
    for (;;) {
        if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR)
            break;
        tick(node, &next_dates);
        if ((fds[0].revents & POLLIN) != 0 && handle_signals(node))
            break;
        if ((fds[1].revents & POLLIN) != 0) {
            int client = accept4(node->listen_fd, NULL, NULL, SOCK_CLOEXEC);

            if (client >= 0)
                control_serve(node, client);
        }
    }
    drain(node);
}
