/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a connection is for. A connection moves bytes (plain, or in TLS records) and knows nothing of
 * their meaning; a service knows nothing of TCP and TLS. Two of them: the native protocol
 * (svc_ingest.c), and the services of the test profile (svc_test.c).
 */
#ifndef HG_LIB_SHARD_SERVICE_H
#define HG_LIB_SHARD_SERVICE_H

#include <headgate/base.h>
#include <rte_mbuf.h>
#include <stdbool.h>

struct hg_conn;

/* What service_ops.input did. */
struct service_took {
    uint32_t n;   /* bytes; fewer than given: the connection keeps the rest and offers it again */
    bool blocked; /* offer nothing more until the service's owner, or output, makes it possible */
    bool reply;   /* ask for output now */
};

/* Room for output, and where it was put. */
struct service_out {
    uint8_t *room; /* in: to write into */
    uint32_t cap;  /* in: bytes of room; a few hundred at least */
    uint32_t max;  /* in: bytes that may lie elsewhere instead */
    /* out: room, or memory that outlives the connection and is sent from where it lies, with the
     * reference count and the bus address that packet buffers need for it */
    const uint8_t *data;
    struct rte_mbuf_ext_shared_info *shared; /* NULL: data is room */
    rte_iova_t iova;
};

/* All on the shard's thread. `s` is what begin() returned. */
struct service_ops {
    /* The connection can carry data. NULL: refused. */
    void *(*begin)(struct hg_conn *c, hg_ns now);
    /* Where `room` bytes of plaintext should go to spare a copy, or NULL: anywhere. Valid until the
     * next call. */
    uint8_t *(*sink)(void *s, uint32_t room);
    /* Takes bytes; data may be what sink() returned. len 0 retries what was blocked. */
    struct service_took (*input)(void *s, const uint8_t *data, uint32_t len, hg_ns now);
    /* The peer ended its direction in order, everything before was taken. True: close; false: the
     * service has more to say. May be called again. */
    bool (*eof)(void *s);
    /* Next bytes to send: how many, 0: nothing now, -EPIPE: all is said, close. */
    int (*output)(void *s, struct service_out *out, hg_ns now);
    /* Once a second. stalled: the peer does not read. False: close. */
    bool (*tick)(void *s, bool stalled, hg_ns now);
    /* Fetches what input() touches into the cache. */
    void (*prefetch)(const void *s);
    /* The connection is gone or closing; s is not used afterwards. */
    void (*close)(void *s, hg_ns now);
};

extern const struct service_ops service_ingest, service_test;

#endif /* HG_LIB_SHARD_SERVICE_H */
