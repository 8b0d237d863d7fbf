/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One hg_net instance on a port that keeps what is sent, for the tests of this folder, and frames
 * made byte by byte with checksums computed the plain way.
 */
#ifndef TESTS_UNIT_NET_NET_RIG_H
#define TESTS_UNIT_NET_NET_RIG_H

#include <headgate/net.h>
#include <CUnit/Basic.h>

#define RIG_POOL 1023
#define RIG_TX_MAX 512

#define IP_SELF 0xc0000202u /* 192.0.2.2/24 */
#define IP_PEER 0xc0000209u /* 192.0.2.9 */
#define IP_GATE 0xc00002feu /* 192.0.2.254 */
#define IP_FAR 0xcb007105u  /* 203.0.113.5 */
#define RIG_MTU 1500

extern const struct rte_ether_addr mac_self, mac_peer, mac_gate, mac_all;

struct rig {
    struct hg_port port;
    struct hg_net *net;
    struct rte_mempool *pool;
    hg_ns now;
    struct rte_mbuf *tx[RIG_TX_MAX];
    unsigned n_tx;
    unsigned tx_room; /* the port takes so many more */
    bool link_down;
};

struct frame {
    uint8_t b[9000];
    unsigned len;
};

/* Starts EAL once for the program; returns 0 or ends the program. */
void rig_eal(void);

/* Fresh instance at 192.0.2.2/24 with gateway 192.0.2.254; tweak may change cfg and port first. */
void rig_open(struct rig *rig, void (*tweak)(struct rig *rig, struct hg_net_cfg *cfg));
/* Destroys it and asserts that every packet buffer is back. */
void rig_close(struct rig *rig);
/* Frees what was sent so far. */
void rig_forget_tx(struct rig *rig);

const struct hg_net_counters *rig_counters(const struct rig *rig);
/* Value of a counter by its name, so that the descriptor table is tested as well. */
uint64_t rig_counter(const struct rig *rig, const char *name);

/* Feeds a frame in segments of at most seg_len bytes (0: one). Returns what hg_net_input() did. */
unsigned rig_feed(struct rig *rig, const struct frame *f, unsigned seg_len, struct hg_seg *seg);
/* Flushes and copies the i-th sent packet flat. */
void rig_sent(struct rig *rig, unsigned i, struct frame *out);

/* A chain of segments of at most seg_len bytes (0: one). */
struct rte_mbuf *rig_mbuf(struct rig *rig, const void *data, unsigned len, unsigned seg_len);

/* Frames from the peer to us; the caller changes what it wants and calls frame_sums(). */
void frame_tcp(struct frame *f, unsigned payload);
void frame_icmp(struct frame *f, uint8_t type, uint8_t code, unsigned payload);
void frame_arp(struct frame *f, uint16_t op, uint32_t sip, const struct rte_ether_addr *sha,
               uint32_t tip);
/* Inserts len bytes of IPv4 options (a multiple of 4) after the fixed header. */
void frame_options(struct frame *f, const uint8_t *options, unsigned len);
/* Fills IPv4 header checksum and TCP or ICMP checksum. */
void frame_sums(struct frame *f);

void put16(uint8_t *p, unsigned v);
void put32(uint8_t *p, uint32_t v);
unsigned get16(const uint8_t *p);
uint32_t get32(const uint8_t *p);

/* The Internet checksum as RFC 1071 words it: 16-bit words, end-around carry, complement. */
uint16_t plain_sum(const uint8_t *data, unsigned len, uint32_t start);
/* The TCP checksum of a flat IPv4 packet (from the IP header on); 0 when right. */
uint16_t plain_tcp_sum(const uint8_t *ip);

/* Teaches the instance a neighbour by hg_net_learn(). */
void rig_know(struct rig *rig, uint32_t ip, const struct rte_ether_addr *mac);

#endif /* TESTS_UNIT_NET_NET_RIG_H */
