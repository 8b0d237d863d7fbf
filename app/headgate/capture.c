/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capture: a thread of its own takes packets from a tap (tap.c) on the port and streams them to the client as
 * pieces of a pcapng file (include/headgate/capture.h). The client writes the file: with the client's rights, and
 * a disk that hangs never holds a thread of the node. A client that reads too slowly loses packets, which
 * the statistics at the file's end tell.
 *
 * One at a time: each would copy every packet once more.
 */
#include "netcfg.h"
#include "node.h"
#include "pcapng.h"
#include "tap.h"
#include <errno.h>
#include <headgate/capture.h>
#include <headgate/log.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_MEMORY ((size_t)32 << 20) /* bytes in all; a queue has a few hundred packets at least */
#define PIECE (256u * 1024u)
#define IDLE_MS 20          /* how long nothing is looked at when nothing came */
#define SEND_TICK_US 200000 /* how often a blocked send looks at the clock */
#define CLIENT_TIMEOUT HG_SEC(60)
#define END_TIMEOUT HG_SEC(2) /* for the client to take all the rest when the node ends */
#define FRAME_EXTRA 22u       /* Ethernet header and two VLAN tags beside the MTU */

_Static_assert(PIECE <= HG_CAPTURE_PIECE_MAX, "a piece is not longer than agreed");

struct capture {
    struct node *node;
    struct hg_port *port;
    const char *address; /* of the port, as the profile has it */
    int client;
    char filter[CAPTURE_FILTER_MAX];
    uint32_t snaplen;
    uint64_t packets_max; /* 0: no limit */
    hg_ns end;            /* 0: no limit */
    struct tap *tap;
    uint64_t packets, start; /* start: ns since 1970 */
    bool gone;               /* the client takes nothing more */
    hg_ns ending;            /* when it was seen that the node ends; 0: not yet */
    struct hg_capture_piece *piece;
    uint32_t piece_len;
};

static uint8_t *piece_data(struct capture *c)
{
    return (uint8_t *)(c->piece + 1);
}

static uint64_t wall_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)HG_SEC(t.tv_sec) + (uint64_t)t.tv_nsec;
}

static bool node_ends(struct capture *c)
{
    if (c->ending == 0 && atomic_load(&c->node->captures_end))
        c->ending = clock_now();
    return c->ending != 0;
}

/* ---- to the client ---- */

static void send_all(struct capture *c, const void *data, size_t len)
{
    const uint8_t *p = data;
    hg_ns start = clock_now();

    while (len != 0 && !c->gone) {
        ssize_t n = send(c->client, p, len, MSG_NOSIGNAL);
        hg_ns now = clock_now();

        if (n > 0) {
            p += n;
            len -= (size_t)n;
            start = now;
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN) || now - start > CLIENT_TIMEOUT) {
            c->gone = true;
        }
        if (len != 0 && node_ends(c) && now > c->ending + END_TIMEOUT)
            c->gone = true;
    }
}

static void send_json(struct capture *c, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    if (text != NULL) {
        send_all(c, text, strlen(text));
        send_all(c, "\n", 1);
    }
    free(text);
    json_decref(line);
}

static void piece_send(struct capture *c)
{
    if (c->piece_len == 0)
        return;
    c->piece->len = hg_le32_put(c->piece_len);
    send_all(c, c->piece, sizeof *c->piece + c->piece_len);
    c->piece_len = 0;
}

/* ---- the file ---- */

static void file_begin(struct capture *c)
{
    const struct hg_port *port = c->port;
    char description[128];
    struct pcapng_interface interface = {.application = "headgate " HEADGATE_VERSION,
                                         .name = port->name,
                                         .description = description,
                                         .filter = c->filter,
                                         .snaplen = c->snaplen};

    snprintf(description, sizeof description, "headgate, %.100s", c->address);
    memcpy(interface.mac, port->mac.addr_bytes, sizeof interface.mac);
    c->piece_len = (uint32_t)pcapng_begin(piece_data(c), &interface);
    piece_send(c);
}

/* One piece of what the tap has; returns how many packets. */
static unsigned file_packets(struct capture *c)
{
    struct tap_packet p;
    unsigned n = 0;

    while ((c->packets_max == 0 || c->packets < c->packets_max) &&
           c->piece_len + c->snaplen + PCAPNG_BLOCK_MAX <= PIECE && tap_peek(c->tap, &p)) {
        const struct pcapng_packet packet = {.time = p.time,
                                             .data = p.data,
                                             .captured = p.captured,
                                             .original = p.original,
                                             .queue = p.queue,
                                             .out = p.out};

        c->piece_len += (uint32_t)pcapng_packet(piece_data(c) + c->piece_len, &packet);
        tap_drop(c->tap, &p);
        c->packets++;
        n++;
    }
    piece_send(c);
    return n;
}

static void file_end(struct capture *c)
{
    struct tap_totals t = tap_totals(c->tap);
    const struct pcapng_totals totals = {.start = c->start,
                                         .end = wall_clock(),
                                         .received = t.seen,
                                         .accepted = t.accepted,
                                         .dropped = t.dropped};
    struct hg_capture_piece end = {.len = hg_le32_put(0)};

    c->piece_len = (uint32_t)pcapng_end(piece_data(c), &totals);
    piece_send(c);
    send_all(c, &end, sizeof end);
    send_json(c, json_pack("{s:I, s:I, s:I, s:I, s:s}", "packets", (json_int_t)c->packets, "seen",
                           (json_int_t)t.seen, "accepted", (json_int_t)t.accepted, "dropped",
                           (json_int_t)t.dropped, "interface", c->port->name));
    hg_log(HG_LOG_INFO, "capture",
           "end: %" PRIu64 " packets, %" PRIu64 " dropped because the client was too slow",
           c->packets, t.dropped);
}

/* ---- the thread ---- */

/* The client has shut down its half: it wants the end. It sends nothing else. */
static bool client_stops(struct capture *c, int wait_ms)
{
    struct pollfd fd = {.fd = c->client, .events = POLLIN | POLLRDHUP};

    return poll(&fd, 1, wait_ms) > 0 &&
           (fd.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static bool is_over(struct capture *c)
{
    return c->gone || node_ends(c) || (c->packets_max != 0 && c->packets >= c->packets_max) ||
           (c->end != 0 && clock_now() >= c->end);
}

static void nothing_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct sync_call *sync = HG_CONTAINER_OF(call, struct sync_call, call);

    (void)shard;
    (void)now;
    atomic_store(&sync->done, true);
}

/* A shard that has run a call since is out of the tap. */
static void unwatch(struct capture *c)
{
    struct sync_call call;

    hg_port_watch(c->port, NULL);
    for (unsigned i = 0; i < c->node->n_shards; i++)
        while (node_call(c->node->shards[i], &call, nothing_fn) != 0) {
        }
}

static void capture_stream(struct capture *c)
{
    file_begin(c);
    hg_log(HG_LOG_INFO, "capture", "begin: %s%s", c->filter[0] != '\0' ? "filter " : "all packets",
           c->filter);
    hg_port_watch(c->port, tap_watch(c->tap));
    while (!is_over(c)) {
        unsigned n = file_packets(c);

        if (client_stops(c, n == 0 ? IDLE_MS : 0))
            break;
    }
    unwatch(c);
    while (!c->gone && file_packets(c) != 0) {
    }
    file_end(c);
}

static void *capture_thread(void *arg)
{
    struct capture *c = arg;
    struct node *node = c->node;
    struct timeval tick = {0, SEND_TICK_US};
    const struct tap_cfg cfg = {.port = c->port,
                                .filter = c->filter,
                                .snaplen = c->snaplen,
                                .memory = TAP_MEMORY / c->port->n_queues};
    struct hg_err err = {""};
    int client;

    setsockopt(c->client, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof tick);
    if (tap_create(&cfg, &c->tap, &err) != 0) {
        send_json(c, json_pack("{s:s}", "error", err.text));
    } else if (node_ends(c)) { /* a name in the filter may have taken long: the port may be gone */
        send_json(c, json_pack("{s:s}", "error", "headgate is stopping"));
    } else {
        c->start = wall_clock();
        send_json(c, json_pack("{s:s, s:I}", "interface", c->port->name, "snaplen",
                               (json_int_t)c->snaplen));
        capture_stream(c);
    }
    tap_destroy(c->tap);
    client = c->client;
    free(c->piece);
    free(c);
    atomic_store(&node->captures, 0);
    close(client); /* last: who sees this may begin another capture */
    return NULL;
}

/* ---- the request ---- */

/* By the name of its device or by its section; the first one when none is named. */
static int pick_port(struct capture *c, const char *name, struct hg_err *err)
{
    const struct node *node = c->node;
    char known[HG_SHARD_PORTS_MAX * sizeof node->ports[0].port->name] = "";

    for (unsigned i = 0; i < node->n_ports; i++) {
        struct hg_port *port = node->ports[i].port;

        if (name == NULL || strcmp(name, port->name) == 0 || strcmp(name, netcfg_section(i)) == 0) {
            c->port = port;
            c->address = node->cfg.ports[i].address;
            return 0;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), " %s", port->name);
    }
    return hg_fail(err, -EINVAL, "interface %.60s: there is none of this name; there are%s", name,
                   known);
}

static int take_request(struct capture *c, const json_t *request, struct hg_err *err)
{
    const char *filter = json_string_value(json_object_get(request, "filter"));
    json_int_t seconds = json_integer_value(json_object_get(request, "seconds"));
    json_int_t packets = json_integer_value(json_object_get(request, "packets"));
    json_int_t snaplen = json_integer_value(json_object_get(request, "snaplen"));
    uint32_t frame;
    int rc = pick_port(c, json_string_value(json_object_get(request, "interface")), err);

    if (rc != 0)
        return rc;
    frame = c->port->mtu + FRAME_EXTRA;
    if (filter != NULL && strlen(filter) >= sizeof c->filter)
        return hg_fail(err, -EINVAL, "the filter is longer than %zu characters",
                       sizeof c->filter - 1);
    if (seconds < 0 || packets < 0 || snaplen < 0 || seconds > UINT32_MAX)
        return hg_fail(err, -EINVAL, "seconds, packets and snaplen are whole numbers above 0");
    if (snaplen != 0 && (snaplen < HG_CAPTURE_SNAPLEN_MIN || snaplen > HG_CAPTURE_SNAPLEN_MAX))
        return hg_fail(err, -EINVAL, "snaplen %lld: from %u to %u is allowed", snaplen,
                       HG_CAPTURE_SNAPLEN_MIN, HG_CAPTURE_SNAPLEN_MAX);
    snprintf(c->filter, sizeof c->filter, "%s", filter != NULL ? filter : "");
    c->snaplen = snaplen != 0 && snaplen < frame ? (uint32_t)snaplen : frame;
    c->packets_max = (uint64_t)packets;
    c->end = seconds != 0 ? clock_now() + HG_SEC(seconds) : 0;
    return 0;
}

int capture_start(struct node *node, int client, const json_t *request, struct hg_err *err)
{
    struct capture *c;
    pthread_t thread;
    unsigned none = 0;
    int rc;

    if (!atomic_compare_exchange_strong(&node->captures, &none, 1))
        return hg_fail(err, -EBUSY, "a capture is running already; there can be one at a time");
    c = calloc(1, sizeof *c);
    if (c == NULL) {
        rc = hg_fail(err, -ENOMEM, "out of memory");
        goto unlock;
    }
    *c = (struct capture){.node = node, .client = client};
    c->piece = malloc(sizeof *c->piece + PIECE);
    rc = c->piece == NULL ? hg_fail(err, -ENOMEM, "out of memory") : take_request(c, request, err);
    if (rc != 0)
        goto free_capture;
    rc = -pthread_create(&thread, NULL, capture_thread, c);
    if (rc != 0) {
        hg_fail(err, rc, "no thread for the capture: %s", strerror(-rc));
        goto free_capture;
    }
    pthread_detach(thread);
    return 0;

free_capture:
    free(c->piece);
    free(c);
unlock:
    atomic_store(&node->captures, 0);
    return rc;
}
