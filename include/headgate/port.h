/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packet port: bursts of mbufs in and out of one queue pair per shard.
 *
 * Implementations: drivers/port/ethdev (any DPDK PMD), drivers/port/wire (two shards in one
 * process, for tests), drivers/port/port_impair (fault layers on another port). A queue belongs to
 * one shard; calls on different queues may run on different threads at once, calls on one queue may
 * not. Nothing blocks.
 */
#ifndef HEADGATE_PORT_H
#define HEADGATE_PORT_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <headgate/impair.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <stdbool.h>

#define HG_PORT_BURST 32

struct hg_port;

struct hg_port_ops {
    uint16_t (*rx)(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max);
    uint16_t (*tx)(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
    bool (*link_up)(struct hg_port *port, uint16_t queue);
    void (*close)(struct hg_port *port);
};

/* Sees what goes over a port. The calls come from the queue's thread, must not block, keep or change the
 * packets, and each queue has its own thread. */
struct hg_port_watch {
    /* These n packets came in. */
    void (*rx)(struct hg_port_watch *watch, uint16_t queue, struct rte_mbuf *const *pkts,
               uint16_t n);
    /* These n packets are about to be given to the port; how many it took is told next, by sent(). */
    void (*tx)(struct hg_port_watch *watch, uint16_t queue, struct rte_mbuf *const *pkts,
               uint16_t n);
    /* The port took the first n of them; those behind come again or were given up. */
    void (*sent)(struct hg_port_watch *watch, uint16_t queue, uint16_t n);
};

/* First member of every implementation. Filled by its constructor, read-only afterwards. */
struct hg_port {
    const struct hg_port_ops *ops;
    struct hg_port_watch *_Atomic watch; /* NULL: none; only by hg_port_watch() */
    char name[64];
    struct rte_ether_addr mac;
    uint16_t mtu;      /* largest IP packet, bytes */
    uint16_t n_queues; /* RX/TX pairs; RSS spreads connections over them when > 1 */
    bool rx_csum;      /* RTE_MBUF_F_RX_*_CKSUM_* are set by the port and may be trusted */
    bool trust_csum;   /* the link cannot corrupt: see struct hg_ethdev_cfg */
    bool tx_ip_csum;   /* port fills IPv4 header checksums on request */
    bool tx_tcp_csum;  /* port fills TCP checksums on request */
    bool tx_multi_seg; /* port accepts mbuf chains */
    uint32_t
        tx_tso; /* most bytes of a TCP segment, header included, that the port cuts into packets
                        * by rte_mbuf.tso_segsz; 0: it does not. With it, tx_tcp_csum and tx_multi_seg */
    uint16_t tx_tso_bufs; /* of so many mbufs at most */
};

/* Receives up to max packets; the caller owns them. */
uint16_t hg_port_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max);

/* Sends; returns how many the port took (and now owns). The caller keeps the rest. */
uint16_t hg_port_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

/* From now on `watch` sees what goes over all queues; NULL: nobody does any more, but a call that runs on
 * a queue's thread at this moment may still be in the old one. Costs nothing while there is none. Any
 * thread; whoever sets one sees to it that there is none yet. */
void hg_port_watch(struct hg_port *port, struct hg_port_watch *watch);

/* Whether the link is up. The device is asked by queue 0 only (device control calls are not for
 * several threads); other queues get what queue 0 saw last. May make a system call: not per packet. */
bool hg_port_link_up(struct hg_port *port, uint16_t queue);

/* Stops the device and frees the port. NULL is allowed. */
void hg_port_close(struct hg_port *port);

/* ---- ethdev ---- */

struct hg_ethdev_cfg {
    const char *device;           /* DPDK device name: "net_tap0", "0000:03:00.1", "net_memif0" */
    uint16_t n_queues;            /* wanted; more than the device has is an error */
    uint16_t rx_desc, tx_desc;    /* 0: the driver's default */
    uint16_t mtu;                 /* 0: the driver's default */
    struct rte_mempool **rx_pool; /* one per queue; must outlive the port */
    bool
        lro; /* let the device join segments of one connection, if it can; needs scattered reception */
    bool trust_csum; /* for links that cannot corrupt (shared memory): software checks of
                      * TCP/IP checksums are skipped on receive where no offload exists */
    bool multicast;  /* receive all multicast frames: IPv6 needs it */
};

/* Queues over which the device can spread connections: 1 without RSS, 0: there is no such device. */
uint16_t hg_port_ethdev_queues(const char *device);

/* Configures and starts the device. Negative errno and a sentence on failure; nothing stays. */
int hg_port_ethdev_open(const struct hg_ethdev_cfg *cfg, struct hg_port **out, struct hg_err *err);

/* Link and hardware drop counters of an ethdev port, for stats. */
struct hg_port_hw_stats {
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
    uint64_t rx_missed; /* no RX descriptor was free */
    uint64_t rx_nombuf; /* RX pool was empty */
    uint64_t rx_errors, tx_errors;
    bool link_up;
};
/* 0; -ENOTSUP when port is not an ethdev port, or the driver's error. */
int hg_port_ethdev_stats(struct hg_port *port, struct hg_port_hw_stats *out);

/* ---- spread ---- */

/* A port with n_queues (1 to 64) over the one queue of `lower`, which it owns from now on: the thread of
 * queue 0 receives and sends for all. For devices that cannot spread connections themselves. Pools whose
 * packets go through it must allow several threads. 0 or -ENOMEM: lower stays the caller's. */
int hg_port_spread_open(struct hg_port *lower, uint16_t n_queues, struct hg_port **out,
                        struct hg_err *err);

#define HG_SPREAD_COUNTERS(X)                                                                      \
    X(passed, "packets handed to the shard that has their connection")                             \
    X(rx_drop, "packets dropped because the queue to their shard was full")

struct hg_spread_counters {
    HG_SPREAD_COUNTERS(HG_COUNTER_FIELD)
};

/* Counters of the port; none (n = 0) for ports without. For display; any thread. */
struct hg_counter_set hg_port_counter_set(const struct hg_port *port);

/* ---- wire ---- */

struct hg_wire_cfg {
    const char *name;  /* in the ports' names and their MACs; need not be unique */
    uint16_t n_queues; /* of each port */
    uint16_t mtu;
    unsigned depth; /* packets per direction and queue, a power of two up to 2^20 */
};

/* Two ports joined back to back through bounded rings; what one end sends the other receives. For
 * one process: tests and simulation. A packet that its sender still refers to (clones, more than
 * one reference) is copied on the way, so the receiver may write into what it gets. Packets larger
 * than the MTU are our own mistake. Each end is closed on its own; both before the pools of packets
 * sent over them are freed. 0, -EINVAL, -ENOMEM. */
int hg_port_wire_pair(const struct hg_wire_cfg *cfg, struct hg_port *out[2], struct hg_err *err);

/* ---- impair ---- */

struct hg_port_impair_cfg {
    struct hg_impair_cfg rx, tx; /* what comes in from `lower`, what goes out to it; lengths are
                                  * without the Ethernet header */
    bool
        answer_too_big; /* send ICMP for what is longer than the mtu of its direction; else the path
                          * is a black hole */
    uint64_t seed;
    uint32_t packets_max;     /* on their way at once, in each direction of each queue */
    struct rte_mempool *pool; /* of packets that are doubled, changed or made; with room for the
                               * longest answer; outlives the port */
    hg_ns (*clock)(void *arg);
    void *clock_arg;
};

/* A port whose packets go through the fault layers of impair.h on their way from and to `lower`.
 * Packets that are due are moved by calls of hg_port_rx() and hg_port_tx(), so the caller keeps
 * calling one of them. What `lower` does not take then is lost and counted. Checksum offloads of
 * `lower` are not offered, or bits would be flipped behind the checks. `lower` stays the caller's:
 * close it after this port. 0, -EINVAL, -ENOMEM. */
int hg_port_impair_open(struct hg_port *lower, const struct hg_port_impair_cfg *cfg,
                        struct hg_port **out, struct hg_err *err);

/* When the next packet of the queue is due; 0: none is on its way. */
hg_ns hg_port_impair_next(const struct hg_port *port, uint16_t queue);

#define HG_PORT_IMPAIR_COUNTERS(X)                                                                 \
    X(refused, "packets that the port below did not take when they were due")                      \
    X(no_mbuf, "packets lost because no buffer was free in which to change them")                  \
    X(answered, "ICMP errors sent for packets longer than the MTU of the path")

struct hg_port_impair_counters {
    HG_PORT_IMPAIR_COUNTERS(HG_COUNTER_FIELD)
};

/* Of one queue; valid as long as the port. The paths' own counters are areas of their own. */
struct hg_counter_set hg_port_impair_counter_set(const struct hg_port *port, uint16_t queue);
const struct hg_impair_counters *hg_port_impair_rx(const struct hg_port *port, uint16_t queue);
const struct hg_impair_counters *hg_port_impair_tx(const struct hg_port *port, uint16_t queue);

#endif /* HEADGATE_PORT_H */
