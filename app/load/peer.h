/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blocking, hand-driven connection for --bad: it sends exactly the bytes it is told to and tells
 * what came back. It deliberately does not use the protocol core, which could not misbehave.
 */
#ifndef LOAD_PEER_H
#define LOAD_PEER_H

#include "certs.h"
#include <headgate/proto.h>

struct peer {
    const struct load_options *opt;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;          /* NULL before TLS */
    uint64_t seq;      /* last durable sequence number of the volume */
    uint64_t credit;   /* bytes, of WELCOME */
    uint64_t size;     /* of the volume, bytes */
    char answer[1024]; /* how the node ended it; "" while it did not */
};

#define PEER_HANDLE 1u /* the volume */

enum peer_event {
    PEER_FRAME,   /* a frame was read */
    PEER_TIMEOUT, /* nothing came in time */
    PEER_END,     /* the node ended the connection: see answer */
};

/* TCP only, with time-outs on the socket and a receive buffer of rcvbuf bytes (0: the system's). 0
 * or negative errno with a sentence. */
int peer_connect(struct peer *p, const struct load_options *opt, int rcvbuf, struct hg_err *err);
/* TLS with this certificate; NULL: without any. 0, or -EPROTO and answer is set. */
int peer_tls(struct peer *p, const struct cert *cert, struct hg_err *err);
/* HELLO, WELCOME, OPEN, OPENED. */
int peer_start(struct peer *p, struct hg_err *err);
void peer_close(struct peer *p);

/* Sends n bytes. 0, or -EPIPE when the connection is gone. */
int peer_send(struct peer *p, const void *data, size_t n);
/* Sends a frame with its CRC and payload of f->payload_len bytes. */
int peer_send_frame(struct peer *p, const struct hg_frame *f, const void *payload);

/* Waits up to `seconds` for one frame. */
enum peer_event peer_read(struct peer *p, unsigned seconds, struct hg_frame *f,
                          uint8_t payload[HG_FRAME_CONTROL_MAX]);

/* Reads until the node answers with an ERROR or ends the connection: fills p->answer. If the answer
 * was an ERROR of scope frame or volume the connection lives on and *rewind is set. */
void peer_await_answer(struct peer *p, unsigned seconds, bool *rewind);

#endif /* LOAD_PEER_H */
