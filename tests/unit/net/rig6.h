/* SPDX-License-Identifier: BSD-3-Clause */
/* IPv6 frames for the tests of this folder, made byte by byte, on top of net_rig.h. */
#ifndef TESTS_UNIT_NET_RIG6_H
#define TESTS_UNIT_NET_RIG6_H

#include "net_rig.h"

#define SELF6 "2001:db8::2"
#define PEER6 "2001:db8::9"
#define GATE6 "2001:db8::fe"
#define FAR6 "2001:db8:ffff::5"
#define LINK6 "fe80::9" /* the peer's link-local address */
#define SELF_LINK6 "fe80::ff:fe00:2"
#define SELF_GROUP6 "ff02::1:ff00:2"
#define ALL6 "ff02::1"

struct hg_ip ip_of(const char *text);

/* 192.0.2.2/24 and 2001:db8::2/64 with gateways; tweak may change cfg and port first. */
void rig6_open(struct rig *rig, void (*tweak)(struct rig *rig, struct hg_net_cfg *cfg));

/* Lets time pass in steps of 10 ms, as the shard's loop would, and flushes. */
void rig_pass(struct rig *rig, hg_ns span);

/* A frame from the peer's MAC with len bytes of zero payload, to the MAC that goes with dst. */
void frame6(struct frame *f, const char *src, const char *dst, uint8_t proto, unsigned len);
/* Where the payload of frame6() begins. */
#define L4 (14 + 40)
/* Fills the checksum of TCP or ICMPv6 at offset `at` of the frame. */
void frame6_sum(struct frame *f, unsigned at, uint8_t proto);
/* A TCP segment, as frame_tcp(). */
void frame6_tcp(struct frame *f, unsigned payload);
/* An ICMPv6 message from ends[0] to ends[1] with its checksum; body follows type, code and checksum. */
void frame6_icmp(struct frame *f, const char *const ends[2], const uint8_t type_code[2],
                 const uint8_t *body, unsigned len);
/* A neighbour solicitation or advertisement: type, flags, target, and an option with a MAC (0: none). */
struct nd {
    uint8_t type, flags, option;
    const char *src, *dst, *target;
    const struct rte_ether_addr *mac;
};
void frame6_nd(struct frame *f, const struct nd *nd);
/* Inserts an extension header of len bytes behind the IPv6 header. */
void frame6_insert(struct frame *f, uint8_t type, const uint8_t *ext, unsigned len);

/* The checksum of the upper layer of a flat IPv6 packet without extension headers; 0 when right. */
uint16_t plain_sum6(const uint8_t *ip);
bool is_ip(const uint8_t *b, const char *text);

#endif /* TESTS_UNIT_NET_RIG6_H */
