/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames and the interfaces they come from: a fixed pool of buffers, and an existing interface
 * (AF_PACKET) or a TAP of our own behind the same four calls.
 *
 * Frames are as they would be on a cable: checksums that the sender's kernel left to hardware are
 * filled in, and aggregates (TSO, GSO), which no cable carries, are dropped and counted, so the
 * interface's other side must not send them (ip link set DEV gso_max_segs 1).
 */
#ifndef HG_TESTS_E2E_FORWARD_FRAMES_H
#define HG_TESTS_E2E_FORWARD_FRAMES_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <stdbool.h>

#define FRAMES_BATCH 64

struct frame {
    uint32_t len; /* bytes */
    uint8_t data[];
};

/* All frames have the same room. Memory that was never used costs nothing. */
struct frame_pool {
    uint8_t *memory;
    size_t stride;
    uint32_t room; /* bytes of a frame */
    uint32_t n, n_free;
    struct frame **free_list;
};

/* 0 or -ENOMEM. */
int frame_pool_open(struct frame_pool *pool, uint32_t n, uint32_t room, struct hg_err *err);
void frame_pool_close(struct frame_pool *pool);
struct frame *frame_new(struct frame_pool *pool); /* NULL: none is left */
void frame_free(struct frame_pool *pool, struct frame *frame);

#define IFACE_COUNTERS(X)                                                                          \
    X(rx_packets, "frames taken from the interface")                                               \
    X(rx_aggregates, "frames of several segments, dropped: its other side must not send them")     \
    X(rx_oversize, "frames longer than the MTUs of both interfaces, dropped")                      \
    X(rx_no_frame, "turns in which frames were left to the kernel because no buffer was free")     \
    X(rx_kernel_drops, "frames the kernel dropped before we took them")                            \
    X(tx_packets, "frames given to the interface")                                                 \
    X(tx_refused, "frames the interface did not take")

struct iface {
    char name[16];
    int rx_fd, tx_fd; /* the same for a TAP */
    bool is_tap;
    uint32_t mtu; /* bytes, of IP packets */
    struct {
        IFACE_COUNTERS(HG_COUNTER_FIELD)
    } count;
};

/* name: of an interface of this namespace, or "tap:NAME" for one to make, which lives as long as it
 * is open. 0 or a negative errno with a sentence. */
int iface_open(struct iface *iface, const char *name, struct hg_err *err);
void iface_close(struct iface *iface);
/* Takes up to FRAMES_BATCH frames; returns how many. Never blocks. */
unsigned iface_receive(struct iface *iface, struct frame_pool *pool, struct frame **frames);
/* Sends n <= FRAMES_BATCH frames; they stay the caller's. */
void iface_send(struct iface *iface, struct frame *const *frames, unsigned n);
struct hg_counter_set iface_counters(struct iface *iface);

#endif /* HG_TESTS_E2E_FORWARD_FRAMES_H */
