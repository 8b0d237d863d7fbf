/* SPDX-License-Identifier: BSD-3-Clause */
/* The running node: what main.c starts in stages, control.c and telemetry.c look at. */
#ifndef HG_APP_NODE_H
#define HG_APP_NODE_H

#include "config.h"
#include "devwatch.h"
#include "rundir.h"
#include <headgate/helpers.h>
#include <headgate/shard.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#define HEADGATE_VERSION "0.1.0"

/* The contexts of TLS servers; each a reference. */
struct node_tls {
    struct hg_tls_ctx *ingest;
    struct hg_tls_ctx *test; /* NULL without test services */
};

#define NODE_TLS_OLD 16 /* reloads; what is older is freed by whoever uses it last */

struct node_port {
    struct hg_port *port; /* what the shards use: nic, or one queue of it spread over them */
    struct hg_port *nic;  /* the device; owned by port */
    struct rte_mempool *rx_pool[HG_STORE_SHARDS_MAX]; /* of each queue; outlive the port */
};

/* Threads that carry out handshake steps. */
struct node_helpers {
    struct hg_helpers *pool; /* NULL: none, the shards do it */
    cpu_set_t cpus;          /* before helpers_stage(): of the process; then those they run on */
    pthread_t thread[CFG_HELPERS_MAX];
    void *stack[CFG_HELPERS_MAX];
    unsigned n; /* threads alive */
    sem_t work; /* posted when one shall look */
    atomic_bool stop;
};

/* The thread that looks after the pool's devices (devices.c). */
struct node_devices {
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    bool stop;
    struct devwatch watch[HG_POOL_DEVICES_MAX];
    struct hg_log_limit limit;
};

struct node {
    struct config cfg;
    const char *argv0;
    char rundir[RUNDIR_MAX];                    /* EAL's files; "" before it runs */
    struct node_port ports[HG_SHARD_PORTS_MAX]; /* in the order of the profile's sections */
    unsigned n_ports;
    struct hg_bdev *devs[HG_POOL_DEVICES_MAX];
    unsigned n_devs; /* 0 until all are open */
    struct node_devices devices;
    struct hg_pool *pool;
    struct node_tls tls;
    struct node_tls tls_old[NODE_TLS_OLD]; /* that streams from before a reload may still use; the
                                            * newest first */
    struct node_helpers helpers;
    struct hg_shard *shards[HG_STORE_SHARDS_MAX];
    unsigned n_shards;
    atomic_bool stop; /* shard threads leave their loops */
    int signal_fd, listen_fd;
    atomic_uint exports;      /* threads alive */
    atomic_uint captures;     /* the same, at most 1 */
    atomic_bool captures_end; /* the node ends: they flush and end */
    hg_ns started;
};

static inline hg_ns clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return HG_SEC(t.tv_sec) + (hg_ns)t.tv_nsec;
}

/* start.c: stages in order, each with its undo. node_start() undoes what it did when one fails. */
int node_start(struct node *node, struct hg_err *err);
void node_stop(struct node *node);

/* pool.c: what needs no EAL, NVMe controllers, and the pool on all of them; each undoes itself when it fails. */
int pool_devices(struct node *node, struct hg_err *err);
void pool_undo_devices(struct node *node);
int pool_controllers(struct node *node, struct hg_err *err);
void pool_undo_controllers(struct node *node);
int pool_start(struct node *node, struct hg_err *err);
void pool_undo(struct node *node);
/* Whether a device is on a controller through VFIO. */
bool pool_wants_vfio(const struct config *cfg);

/* identity.c: what the node shows and whom it trusts. Loads all that [tls] names. */
#define KEYLOG_WARNING "TLS traffic secrets are written to %s: replication is NOT private"
int node_tls_contexts(const struct config *cfg, struct node_tls *out, struct hg_err *err);
void node_tls_unref(struct node_tls *tls);
/* Loads it anew for new connections. 0, or negative errno with a sentence, and what was in use stays (but
 * for a shard that answers nothing: the sentence tells). Both are logged. */
int node_reload(struct node *node, struct hg_err *err);
/* Frees what no stream uses any more, or `all` of it: on this thread, since on a shard it would take
 * milliseconds from its streams. */
void node_tls_sweep(struct node *node, bool all);
/* Erases ticket keys whose time is over, of all contexts. now: seconds of the wall clock. */
void node_tls_tick(struct node *node, int64_t now);
/* What is in use: subjects, dates, counts; and what ends soon, as sentences added to a list. */
json_t *node_tls_report(const struct node *node);
void node_tls_warnings(const struct node *node, json_t *list);
/* Logs what ends soon, and tells systemd (STATUS=). */
void node_tls_log(const struct node *node);

/* ports.c: ports_open() undoes what it did when it fails. ports_stop() closes the devices, so that the shards
 * can go, ports_close() the rest. */
int ports_open(struct node *node, struct hg_err *err);
void ports_stop(struct node *node);
void ports_close(struct node *node);

/* place.c: memory beside the cores that work on it. Fills in EAL's argument --socket-mem, "" on a machine with one
 * node, without hugepages or without binding. */
#define PLACE_MEMORY_TEXT 512 /* characters */
void place_memory(const struct config *cfg, char out[PLACE_MEMORY_TEXT]);
/* The node that shard i's memory comes from, SOCKET_ID_ANY when there is nothing to choose. EAL runs. */
int place_shard(const struct node *node, unsigned i);
/* Heap memory of this thread from that node; SOCKET_ID_ANY: as before. */
void place_prefer(int socket);
/* Logs each port and device that shards of another node work with. */
void place_warn(struct node *node);

/* helpers.c: helpers_see_cpus() before EAL binds this thread. helpers_stop() ends the threads, so that the
 * shards can go, helpers_undo() the rest. */
void helpers_see_cpus(struct node *node);
int helpers_stage(struct node *node, struct hg_err *err);
void helpers_stop(struct node *node);
void helpers_undo(struct node *node);

/* run.c: shard threads, signals, the control socket. Returns when stopped by a signal. */
void node_launch(struct node *node);
void node_run(struct node *node);

/* Runs fn on a shard and waits until it has run (bounded: 0 or -ETIMEDOUT). Any thread but a shard's, while
 * the shards run. */
struct sync_call {
    struct hg_call call; /* first; fn gets it back */
    atomic_bool done;    /* fn sets it last */
};
int node_call(struct hg_shard *shard, struct sync_call *call,
              void (*fn)(struct hg_shard *, struct hg_call *, hg_ns));

/* control.c */
int control_open(const char *path, int *fd, struct hg_err *err);
void control_serve(struct node *node, int client); /* answers one request and closes */

/* export.c: streams a volume to the socket from a thread of its own, and closes it. */
int export_start(struct node *node, int client, const char *volume);

/* capture.c: streams what goes over the port to the client from a thread of its own, which closes it. 0, or a
 * negative errno with a sentence, and the client is still the caller's. */
#define CAPTURE_FILTER_MAX 2048 /* characters, NUL included */
int capture_start(struct node *node, int client, const json_t *request, struct hg_err *err);

/* telemetry.c: /headgate/... of rte_telemetry. */
int telemetry_register(struct node *node);

#endif /* HG_APP_NODE_H */
