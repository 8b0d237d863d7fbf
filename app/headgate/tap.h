/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A tap copies what goes over a port, filtered and cut, into bounded memory from which one reader takes it.
 *
 * Each queue of the port has slots of its own, written by the queue's thread and read by the reader: a
 * ring with one producer and one consumer, so neither ever waits for the other. When the slots of a queue
 * are full its packets are counted instead of copied. No memory is taken from EAL, whose amount is
 * fixed at the start for what the node itself needs.
 */
#ifndef HG_APP_TAP_H
#define HG_APP_TAP_H

#include <headgate/port.h>

struct tap;

struct tap_cfg {
    struct hg_port *port; /* must outlive the tap */
    const char *filter;   /* libpcap's language; "": all */
    uint32_t snaplen;     /* bytes kept of a packet */
    size_t memory;        /* bytes of slots for each queue */
};

struct tap_packet {
    uint64_t time;               /* ns since 1970, read once a burst */
    uint32_t captured, original; /* bytes at data; bytes the packet had */
    uint16_t queue;
    bool out;            /* we sent it */
    const uint8_t *data; /* until tap_drop() */
};

struct tap_totals {
    uint64_t seen;     /* packets that went over the port */
    uint64_t accepted; /* of those, what the filter let through */
    uint64_t dropped;  /* of those, what is missing because the slots were full */
};

/* Compiles the filter (which may ask the resolver for names) and takes the memory. 0, or a negative
 * errno with a sentence. */
int tap_create(const struct tap_cfg *cfg, struct tap **out, struct hg_err *err);
/* Only when the port's threads cannot be in it any more. NULL is allowed. */
void tap_destroy(struct tap *tap);

/* For hg_port_watch(). */
struct hg_port_watch *tap_watch(struct tap *tap);

/* The oldest packet that is there, or false. The reader's thread. */
bool tap_peek(const struct tap *tap, struct tap_packet *out);
/* Done with what tap_peek() gave. The reader's thread. */
void tap_drop(struct tap *tap, const struct tap_packet *packet);

/* Any thread; may be a moment old. */
struct tap_totals tap_totals(const struct tap *tap);

#endif /* HG_APP_TAP_H */
