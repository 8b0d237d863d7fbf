/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Export: a thread of its own per client asks the volume's shard for a batch of reads, writes what
 * came to the socket, gives the buffers back, and goes on. A slow client holds at most one batch.
 *
 * A volume that a session holds is read beside it, on that shard. A volume that nobody holds is
 * attached by shard 0 for the batch only, so that a source that comes meanwhile waits milliseconds.
 */
#include <headgate/export.h>
#include "node.h"
#include <errno.h>
#include <headgate/codec.h>
#include <headgate/log.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTS_MAX 4
#define BATCH 8
#define PIECE (256u * 1024u)
#define BUSY_RETRIES 2000 /* of 5 ms */
#define CLIENT_TIMEOUT_S 60

struct piece {
    struct hg_store_req req;
    struct batch *batch;
};

/* One trip to the shard and back. Fields belong to the shard's thread from hg_shard_call() to
 * sem_post(). */
struct batch {
    struct hg_call call;
    sem_t done;
    struct node *node;
    struct hg_shard *shard;
    char name[HG_VOLUME_NAME_MAX];
    struct hg_volume *vol;
    struct hg_svol *hold; /* or NULL: attached by us */
    struct hg_store_req attach;
    uint64_t next; /* offset at which the next batch starts */
    bool last;     /* nothing is mapped after this batch */
    int status;
    uint64_t bad_offset;
    struct piece pieces[BATCH];
    unsigned n, pending;
};

struct job {
    struct node *node;
    int client;
    struct batch batch;
};

/* ---- on the shard's thread ---- */

static void batch_done(struct batch *b)
{
    if (b->hold != NULL)
        hg_ingest_unhold(hg_shard_ingest(b->shard), b->hold);
    else if (b->vol != NULL)
        hg_store_detach(hg_shard_store(b->shard), b->vol);
    b->hold = NULL;
    b->vol = NULL;
    sem_post(&b->done);
}

static void piece_done(struct hg_store_req *req)
{
    struct piece *p = HG_CONTAINER_OF(req, struct piece, req);
    struct batch *b = p->batch;

    if (req->status != 0 && (b->status == 0 || req->offset < b->bad_offset)) {
        b->status = req->status;
        b->bad_offset = req->offset;
    }
    if (--b->pending == 0)
        batch_done(b);
}

/* Submits one read; false when the store or the arena has no room now. */
static bool piece_read(struct batch *b, uint64_t offset, uint32_t len)
{
    struct piece *p = &b->pieces[b->n];

    p->batch = b;
    p->req = (struct hg_store_req){.done = piece_done, .vol = b->vol, .offset = offset, .len = len};
    p->req.buf = hg_arena_alloc(hg_shard_arena(b->shard), len);
    if (p->req.buf == NULL)
        return false;
    if (hg_store_read(hg_shard_store(b->shard), &p->req) != 0) {
        hg_arena_free(hg_shard_arena(b->shard), p->req.buf);
        return false;
    }
    b->pending++;
    b->n++;
    return true;
}

static void batch_read(struct batch *b)
{
    struct hg_store *store = hg_shard_store(b->shard);
    uint64_t start, len;

    b->n = 0;
    b->pending = 1; /* ours, until all are submitted */
    while (b->n < BATCH) {
        if (!hg_store_next_data(store, b->vol, b->next, &start, &len)) {
            b->last = true;
            break;
        }
        if (len > PIECE)
            len = PIECE;
        if (!piece_read(b, start, (uint32_t)len))
            break;
        b->next = start + len;
    }
    if (--b->pending == 0)
        batch_done(b);
}

static void attach_done(struct hg_store_req *req)
{
    struct batch *b = req->owner;

    if (req->status == 0) {
        batch_read(b);
        return;
    }
    b->vol = NULL;
    b->status = req->status;
    batch_done(b);
}

static void batch_begin(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct batch *b = HG_CONTAINER_OF(call, struct batch, call);

    (void)now;
    b->n = 0;
    b->hold = hg_ingest_hold(hg_shard_ingest(shard), b->name, &b->vol);
    if (b->hold != NULL) {
        batch_read(b);
        return;
    }
    b->attach = (struct hg_store_req){.done = attach_done, .owner = b};
    hg_store_attach(hg_shard_store(shard), b->name, 0, &b->vol, &b->attach);
}

static void batch_free(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct batch *b = HG_CONTAINER_OF(call, struct batch, call);

    (void)now;
    for (unsigned i = 0; i < b->n; i++)
        hg_arena_free(hg_shard_arena(shard), b->pieces[i].req.buf);
    b->n = 0;
    sem_post(&b->done);
}

/* ---- on the export's thread ---- */

static void on_shard(struct batch *b, void (*fn)(struct hg_shard *, struct hg_call *, hg_ns))
{
    b->call.fn = fn;
    while (hg_shard_call(b->shard, &b->call) != 0)
        usleep(1000);
    while (sem_wait(&b->done) != 0) {
    }
}

static bool find_volume(struct node *node, const char *name, struct hg_volume_info *out)
{
    for (unsigned i = 0; hg_pool_volume(node->pool, i, out); i++)
        if (strcmp(out->name, name) == 0)
            return true;
    return false;
}

/* Sends the caller to the shard that holds the volume; it may have moved since. */
static int batch_fetch(struct batch *b)
{
    struct hg_volume_info info;

    for (unsigned i = 0; i < BUSY_RETRIES; i++) {
        if (!find_volume(b->node, b->name, &info))
            return -ENOENT;
        b->shard = b->node->shards[info.shard >= 0 ? info.shard : 0];
        b->status = 0;
        on_shard(b, batch_begin);
        if (b->status != -EBUSY && (b->status != 0 || b->last || b->n != 0))
            return b->status;
        usleep(5000);
    }
    return -EBUSY;
}

static int send_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len != 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPIPE;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_piece(int fd, const struct hg_store_req *req, uint64_t size)
{
    uint32_t len = req->len;
    struct hg_export_piece h = {.offset = hg_le64_put(req->offset)};

    if (req->offset + len > size)
        len = (uint32_t)(size - req->offset);
    h.len = hg_le32_put(len);
    h.crc = hg_le32_put(hg_crc32c(req->buf, len));
    if (send_all(fd, &h, sizeof h) != 0)
        return -EPIPE;
    return send_all(fd, req->buf, len);
}

static void export_stream(struct job *job, uint64_t size)
{
    struct batch *b = &job->batch;
    struct hg_export_piece end = {.len = hg_le32_put(0)};
    int rc = 0, client = 0;

    while (rc == 0 && client == 0 && !b->last) {
        rc = batch_fetch(b);
        for (unsigned i = 0; i < b->n && rc == 0 && client == 0; i++)
            client = send_piece(job->client, &b->pieces[i].req, size);
        if (b->n != 0)
            on_shard(b, batch_free);
    }
    if (rc != 0)
        hg_log(HG_LOG_ERR, "export", "%s: %s at offset %" PRIu64, b->name,
               rc == -EILSEQ ? "stored CRC does not match" : strerror(-rc), b->bad_offset);
    end.status = hg_le32_put((uint32_t)-rc);
    end.offset = hg_le64_put(b->bad_offset);
    send_all(job->client, &end, sizeof end);
}

static void *export_thread(void *arg)
{
    struct job *job = arg;
    struct hg_volume_info info;
    char line[HG_VOLUME_NAME_MAX + 128];
    struct timeval timeout = {CLIENT_TIMEOUT_S, 0};

    setsockopt(job->client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (find_volume(job->node, job->batch.name, &info)) {
        snprintf(line, sizeof line, "{\"size\": %" PRIu64 ", \"mapped\": %" PRIu64 "}\n", info.size,
                 info.mapped);
        if (send_all(job->client, line, strlen(line)) == 0)
            export_stream(job, info.size);
    } else {
        snprintf(line, sizeof line,
                 "{\"error\": \"no volume of this name; see: headgatectl "
                 "volumes\"}\n");
        send_all(job->client, line, strlen(line));
    }
    close(job->client);
    atomic_fetch_sub(&job->node->exports, 1);
    sem_destroy(&job->batch.done);
    free(job);
    return NULL;
}

int export_start(struct node *node, int client, const char *volume)
{
    struct job *job;
    pthread_t thread;
    int rc;

    if (atomic_load(&node->exports) >= EXPORTS_MAX)
        return -EBUSY;
    job = calloc(1, sizeof *job);
    if (job == NULL)
        return -ENOMEM;
    job->node = node;
    job->client = client;
    job->batch.node = node;
    snprintf(job->batch.name, sizeof job->batch.name, "%s", volume);
    sem_init(&job->batch.done, 0, 0);
    atomic_fetch_add(&node->exports, 1);
    rc = pthread_create(&thread, NULL, export_thread, job);
    if (rc != 0) {
        atomic_fetch_sub(&node->exports, 1);
        free(job);
        return -rc;
    }
    pthread_detach(thread);
    return 0;
}
