/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bad path for packets, one direction of it: fault layers in a fixed order, without I/O, on time
 * that is an argument. Same seed, same calls: same run. Each layer draws from a sequence of its own,
 * so that the same packets are lost whether or not others are late.
 *
 *     push -> MTU -> loss -> rate and queue -> duplicate -> corrupt -> delay, jitter -> reorder -> pop
 *
 * A packet is opaque: a pointer of its owner's and a length. What needs the bytes is left to the
 * owner, who learns of it with the packet (CE, flipped bit) or through a callback (copies, drops);
 * functions at the end do it for Ethernet frames.
 *
 * Used by tests/sim, by the port layer hg_port_impair_open() (port.h) and by hg-forward. One thread.
 * All memory is taken at creation.
 */
#ifndef HEADGATE_IMPAIR_H
#define HEADGATE_IMPAIR_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <stdbool.h>

#define HG_PPM 1000000u /* probabilities are parts of this */

/* Packets that one direction can keep back at once until later ones have overtaken them. */
#define HG_IMPAIR_HELD 16

/* All zero: a perfect path. Lengths are those of struct hg_impair_pkt. */
struct hg_impair_cfg {
    uint32_t mtu; /* longer packets are dropped; 0: no limit */

    uint32_t loss_ppm; /* in the good state, which a path without bursts is always in */
    /* Bursts as Gilbert and Elliott model them: each packet first moves the state. */
    uint32_t burst_enter_ppm; /* good to bad; 0: no bursts */
    uint32_t burst_leave_ppm; /* bad to good; bursts are 1 / this many packets long on average */
    uint32_t burst_loss_ppm;  /* in the bad state */
    hg_ns burst_max; /* a burst is over after this time, however few packets came; 0: no limit, so
                      * that a connection which sends little can wait long for its end */

    uint64_t rate;        /* of the bottleneck, bytes per second; 0: not limited */
    uint32_t overhead;    /* bytes that a packet costs there beside its length */
    uint32_t queue_bytes; /* waiting there, with overhead; what does not fit is dropped */
    uint32_t mark_bytes;  /* queue from which ECN-capable packets are marked CE and others dropped,
                           * as an active queue does it (RFC 3168 section 5); 0: never */

    uint32_t dup_ppm;     /* arrive twice */
    uint32_t corrupt_ppm; /* one bit is flipped: the most that every Internet checksum finds */

    hg_ns delay;   /* of every packet */
    hg_ns jitter;  /* at most this much more, evenly spread */
    bool in_order; /* jitter never lets a packet overtake another */

    uint32_t reorder_ppm;  /* leave the order: */
    hg_ns late;            /* up to this much later than the others, evenly spread; needed */
    uint32_t late_packets; /* if not 0: right after this many later packets, or after late */
};

struct hg_impair_pkt {
    void *user;        /* the owner's */
    uint32_t len;      /* bytes; what mtu and queue count */
    bool ect;          /* the sender says that it understands CE */
    bool ce;           /* from pop: to be marked */
    bool corrupt;      /* from pop: to be damaged, */
    uint32_t flip_bit; /* this bit, counted from the first byte's highest; < 8 * len */
};

/* Where a packet ended that was not delivered. */
enum hg_impair_fate {
    HG_IMPAIR_TOO_BIG,
    HG_IMPAIR_LOST,
    HG_IMPAIR_QUEUE_FULL,
    HG_IMPAIR_PATH_FULL,
    HG_IMPAIR_CLOSED, /* on its way when the path was destroyed */
};

#define HG_IMPAIR_COUNTERS(X)                                                                      \
    X(packets_in, "packets that entered the path")                                                 \
    X(bytes_in, "their bytes, without overhead")                                                   \
    X(packets_out, "packets that left the path at its far end")                                    \
    X(bytes_out, "their bytes, without overhead")                                                  \
    X(too_big, "packets dropped for being longer than the MTU of the path")                        \
    X(lost, "packets lost one by one")                                                             \
    X(burst_lost, "packets lost in bursts")                                                        \
    X(queue_full, "packets dropped because they did not fit the queue of the bottleneck")          \
    X(queue_active, "packets without ECN dropped because the queue was over its mark")             \
    X(marked, "packets marked CE because the queue was over its mark")                             \
    X(duplicated, "packets that were doubled")                                                     \
    X(copy_failed, "packets to be doubled for which the owner had no memory")                      \
    X(corrupted, "packets with a flipped bit")                                                     \
    X(late, "packets taken out of the order")                                                      \
    X(held_full, "packets to be taken out of the order that stayed in it, too many being late")    \
    X(path_full, "packets dropped because as many as the path can hold were on their way")

struct hg_impair_counters {
    HG_IMPAIR_COUNTERS(HG_COUNTER_FIELD)
};

struct hg_impair_env {
    uint64_t seed;
    uint32_t packets_max; /* on their way at once; memory for them is taken at creation */
    void *(*copy)(void *arg, const void *user); /* a second one like it, or NULL */
    void (*drop)(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate); /* owner's
                                                                                         * again */
    void *arg; /* of the callbacks, which must not call back into this path */
};

struct hg_impair;

/* 0; -EINVAL with a sentence for a configuration that contradicts itself; -ENOMEM. */
int hg_impair_create(const struct hg_impair_cfg *cfg, const struct hg_impair_env *env,
                     struct hg_impair **out, struct hg_err *err);
/* Drops what is on its way. NULL is allowed. */
void hg_impair_destroy(struct hg_impair *path);

/* Another configuration for packets that enter from now on. On -EINVAL the old one stays. */
int hg_impair_set(struct hg_impair *path, const struct hg_impair_cfg *cfg, struct hg_err *err);

/* Takes n packets that enter the path at `now`, which never goes back. */
void hg_impair_push(struct hg_impair *path, const struct hg_impair_pkt *pkts, unsigned n,
                    hg_ns now);

/* Hands out up to max packets that have arrived by `now`, earliest first; returns how many. */
unsigned hg_impair_pop(struct hg_impair *path, struct hg_impair_pkt *pkts, unsigned max, hg_ns now);

/* When the next packet arrives; 0: none is on its way. */
hg_ns hg_impair_next(const struct hg_impair *path);

/* Valid as long as the path. packets_in + duplicated is packets_out, all drops and what is on its
 * way, at any time. */
const struct hg_impair_counters *hg_impair_counters(const struct hg_impair *path);
struct hg_counter_set hg_impair_counter_set(const struct hg_impair *path);

/* Changes cfg as a text says, on top of what it holds: "loss=0.1%,delay=50ms,rate=200Mbit,queue=1M".
 * hg_impair_keys lists the keys. -EINVAL with a sentence. */
int hg_impair_parse(const char *text, struct hg_impair_cfg *cfg, struct hg_err *err);
extern const char hg_impair_keys[];

/* ---- frames ---- Ethernet with at most one VLAN tag, and IP; anything else is left alone. len: the
 * bytes at hand, which may be less than the frame; HG_IMPAIR_HEAD are enough for what is read and
 * changed, HG_IMPAIR_ANSWER_MAX for what is quoted. */
#define HG_IMPAIR_HEAD 64

/* Whether the IP packet in the frame is ECN-capable (ECT(0), ECT(1), CE). */
bool hg_impair_frame_ect(const uint8_t *frame, uint32_t len);
/* Marks it CE and mends the IPv4 header checksum (RFC 1624). */
void hg_impair_frame_mark_ce(uint8_t *frame, uint32_t len);

/* Bytes that an answer of hg_impair_frame_too_big() can take. */
#define HG_IMPAIR_ANSWER_MAX 1298
/* Writes the frame that a router with the next-hop MTU `mtu` answers to `frame` with: ICMP
 * "fragmentation needed" (RFC 1191 section 4) or ICMPv6 "packet too big" (RFC 4443 section 3.2). The
 * path has no address of its own, so the answer comes from the packet's destination. Returns its
 * length; 0 when none is due: DF is not set, it is itself an ICMP error, not IP, or group-addressed. */
uint32_t hg_impair_frame_too_big(const uint8_t *frame, uint32_t len, uint16_t mtu,
                                 uint8_t answer[HG_IMPAIR_ANSWER_MAX]);

#endif /* HEADGATE_IMPAIR_H */
