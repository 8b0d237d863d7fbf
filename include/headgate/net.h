/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, VLAN tags, ARP and ND, IPv4, IPv6, ICMP and fragments for one shard and port.
 *
 * hg_net_input() takes a burst from a port, answers ARP, ND and echo itself, and hands out what is
 * for TCP. hg_net_emit() takes TCP segments, adds the headers and queues them; hg_net_flush() sends
 * the queue in one burst. Nothing here blocks, reads the clock or allocates from the heap after
 * hg_net_create(). One thread per instance. docs/net.md lists the RFCs and what is done of each.
 */
#ifndef HEADGATE_NET_H
#define HEADGATE_NET_H

#include <headgate/base.h>
#include <headgate/counter.h>
#include <headgate/port.h>
#include <rte_mbuf.h>
#include <stdbool.h>

/* An IP address; IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). Network byte order. */
struct hg_ip {
    uint8_t b[16];
};

struct hg_flow {
    struct hg_ip local, remote;
    uint16_t lport, rport; /* host order */
};

bool hg_ip_equal(const struct hg_ip *a, const struct hg_ip *b);
bool hg_ip_is_v4(const struct hg_ip *ip);
struct hg_ip hg_ip_from_v4(uint32_t host_order);
uint32_t hg_ip_to_v4(const struct hg_ip *ip); /* host order; only when hg_ip_is_v4() */

#define HG_IP_STRLEN 46
/* Text form into buf; returns buf. */
const char *hg_ip_str(const struct hg_ip *ip, char buf[HG_IP_STRLEN]);
/* Parses "192.0.2.1" or "2001:db8::1"; 0 or -EINVAL. An IPv4 address is written the IPv4 way only. */
int hg_ip_parse(const char *text, struct hg_ip *out);
/* Parses "192.0.2.1/24" or "2001:db8::1/64" into address and prefix length (of 32 or 128). */
int hg_ip_parse_prefix(const char *text, struct hg_ip *out, unsigned *len);
/* Whether ip is of net's family and begins with the first len bits of it; len as in the line above. */
bool hg_ip_in(const struct hg_ip *ip, const struct hg_ip *net, unsigned len);

enum hg_seg_kind {
    HG_SEG_TCP,         /* a TCP segment for one of our addresses */
    HG_SEG_UNREACHABLE, /* ICMP says flow cannot be reached: code in icmp_code (RFC 792; those of
                         * ICMPv6 are translated) */
    HG_SEG_TOO_BIG,     /* ICMP says a packet of flow was too big: next-hop MTU in mtu */
};

/* What hg_net_input() hands to TCP. */
struct hg_seg {
    enum hg_seg_kind kind;
    struct rte_mbuf *m;  /* HG_SEG_TCP: data starts at the TCP header and ends with the IP
                          * payload (padding cut). At least 20 bytes; the first 60, or as many as
                          * there are, lie in the first segment, and no segment is empty. Else
                          * NULL. The receiver owns it. */
    struct hg_flow flow; /* local = that of our addresses which was hit */
    uint32_t quoted_seq; /* ICMP kinds: sequence number in the quoted header (RFC 5927 4.1) */
    uint16_t mtu;
    uint8_t icmp_code;
    uint8_t ecn; /* IP ECN bits of a TCP segment */
};

/* What a TCP segment on its way out says to the layer below. */
struct hg_tx {
    const struct hg_flow *flow;
    uint8_t ecn; /* IP ECN bits (RFC 3168 5): 0 Not-ECT, 2 ECT(0) */
};

#define HG_NET_COUNTERS(X)                                                                         \
    X(rx_packets, "packets received from ports")                                                   \
    X(tx_packets, "packets handed to ports")                                                       \
    X(rx_short, "frames too short for the headers they claim")                                     \
    X(rx_not_ours, "frames for another Ethernet or IP address")                                    \
    X(rx_ethertype, "frames of an Ethernet type that is not served")                               \
    X(rx_vlan, "frames with another VLAN tag than ours, or without ours")                          \
    X(rx_ip_header, "IP headers with a bad version, length or option")                             \
    X(rx_ip_csum, "IPv4 headers with a wrong checksum")                                            \
    X(rx_ip_martian, "packets from an impossible source address")                                  \
    X(rx_ip_fragment, "fragments taken for reassembly")                                            \
    X(rx_ip_fragment_bad,                                                                          \
      "fragments refused: headers cut apart, bad length, beyond the largest packet")               \
    X(rx_ip_proto, "packets of an IP protocol that is not served")                                 \
    X(rx_ip6_option, "IPv6 packets refused for an option or an extension header out of place")     \
    X(rx_ip6_routing, "IPv6 packets with a routing header to be followed, refused")                \
    X(rx_tcp_csum, "TCP segments with a wrong checksum")                                           \
    X(rx_icmp_bad, "ICMP messages with a wrong checksum or length")                                \
    X(rx_icmp_echo, "ICMP echo requests answered")                                                 \
    X(rx_icmp_limited, "ICMP messages over the rate limit, not answered")                          \
    X(rx_icmp_error, "ICMP errors passed to TCP")                                                  \
    X(rx_icmp_other, "ICMP messages of a type that is not served")                                 \
    X(rx_arp_bad, "ARP packets that contradict themselves or claim our address")                   \
    X(rx_arp_request, "ARP requests answered")                                                     \
    X(rx_arp_reply, "ARP replies to our requests")                                                 \
    X(rx_arp_unsolicited, "ARP replies nobody asked for, ignored")                                 \
    X(rx_nd_bad, "ND messages that fail the checks of RFC 4861, or claim our address")             \
    X(rx_nd_solicit, "neighbour solicitations for our addresses")                                  \
    X(rx_nd_advert, "neighbour advertisements in answer to our solicitations")                     \
    X(rx_nd_unsolicited, "neighbour advertisements nobody asked for, not believed")                \
    X(rx_nd_router, "router advertisements used")                                                  \
    X(rx_nd_router_ignored, "router advertisements ignored, because SLAAC is off")                 \
    X(rx_nd_redirect, "ICMP redirects, ignored")                                                   \
    X(rx_mld_query, "MLD queries received")                                                        \
    X(frag_reassembled, "packets put together from fragments")                                     \
    X(frag_dropped, "fragments dropped: time-out, overlap, too many of one packet or in all")      \
    X(addr_conflicts, "times another host was seen to use one of our addresses")                   \
    X(addr_duplicates, "addresses not used because another host has them")                         \
    X(addr_slaac, "addresses made from router advertisements")                                     \
    X(ra_limited, "parts of router advertisements ignored because a table was full")               \
    X(link_ups, "times the link came up")                                                          \
    X(link_downs, "times the link went down")                                                      \
    X(tx_arp_request, "ARP requests sent")                                                         \
    X(tx_nd_solicit, "neighbour solicitations sent")                                               \
    X(tx_nd_advert, "neighbour advertisements sent")                                               \
    X(tx_router_solicit, "router solicitations sent")                                              \
    X(tx_mld_report, "MLD reports sent")                                                           \
    X(tx_icmp_error, "ICMPv6 errors sent")                                                         \
    X(tx_fragments, "fragments sent of echo replies larger than the MTU")                          \
    X(tx_no_route, "packets without a route, dropped")                                             \
    X(tx_no_source, "packets from an address that is not, or no longer, ours, dropped")            \
    X(tx_arp_wait_drop,                                                                            \
      "packets dropped because a neighbour did not answer or the queue for it was full")           \
    X(tx_port_full, "packets the port did not take, dropped; TCP sends again")                     \
    X(tx_no_mbuf, "packets not sent because the packet pool was empty")

struct hg_net_counters {
    HG_NET_COUNTERS(HG_COUNTER_FIELD)
};

#define HG_NET_ADDRS_MAX 16
#define HG_NET_ROUTES_MAX 32

/* An address of ours and the network it is in, or a network. */
struct hg_net_prefix {
    struct hg_ip ip;
    unsigned len; /* bits: of 32 for IPv4, of 128 for IPv6 */
};

struct hg_net_route {
    struct hg_net_prefix to;
    struct hg_ip via; /* of the same family, on the link */
};

struct hg_net_cfg {
    struct hg_port *port;
    uint16_t queue;
    struct hg_net_prefix addrs[HG_NET_ADDRS_MAX];
    unsigned n_addrs;
    struct hg_ip gateway4, gateway6; /* default routers; all zero: none */
    struct hg_net_route routes[HG_NET_ROUTES_MAX];
    unsigned n_routes;
    uint16_t vlan; /* 802.1Q id of all our frames, 1 to 4094; 0: no tag */
    bool slaac;    /* IPv6 addresses, routers and MTU also from router advertisements; only with one
                    * queue, since each advertisement reaches but one */
    bool no_dad;   /* use addresses at once, without asking whether another host has them */
    uint64_t secret[2];       /* random: flow labels, fragment ids and delays are made from it */
    struct rte_mempool *pool; /* for ARP, ND and ICMP, and for flat copies of chains when the port
                               * takes no chains: then its buffers must hold a frame of the MTU */
    unsigned neighbours_max;  /* 0: 1024; at most 65536 */
    bool trust_csum;          /* as in struct hg_ethdev_cfg */
    bool accept_unsolicited;  /* learn from unasked ARP and ND; off by default (spoofing) */
};

struct hg_net;

/* 0, or a negative errno (-EINVAL: addresses, routes; -ENOMEM) and a sentence. What is sent unasked
 * (probes and announcements of addresses, router solicitations, MLD reports) is the business of
 * queue 0, from hg_net_poll(). With IPv6 (an IPv6 address, or slaac) there is also a link-local
 * address, made from the MAC. Port and pool must outlive it. */
int hg_net_create(const struct hg_net_cfg *cfg, hg_ns now, struct hg_net **out, struct hg_err *err);
/* Frees packets that still wait for a neighbour or for their other fragments. */
void hg_net_destroy(struct hg_net *net);

/* Takes ownership of pkts[0..n). Fills segs (room for n) and returns how many. Drops are counted.
 */
unsigned hg_net_input(struct hg_net *net, struct rte_mbuf **pkts, unsigned n, hg_ns now,
                      struct hg_seg *segs);

/* The address of ours to talk to remote from (RFC 6724, without labels and policies): of its family
 * and scope, on the way to it, the longest common prefix. 0, or -EADDRNOTAVAIL: none is usable, or
 * none yet. */
int hg_net_source(const struct hg_net *net, const struct hg_ip *remote, struct hg_ip *out);

/* Whether ip is an address of this port, be it usable now or not. */
bool hg_net_has(const struct hg_net *net, const struct hg_ip *ip);

/* Sends one TCP segment: m starts at the TCP header, has >= HG_NET_HEADROOM bytes of headroom, and
 * its checksum field is filled here (or by the port). tx->flow->local is one of our addresses.
 * Takes ownership. Queued; when the neighbour is not known yet the packet waits (bounded) until it
 * has answered ARP or ND. */
#define HG_NET_HEADROOM 64
void hg_net_emit(struct hg_net *net, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now);

/* Hands what is queued to the port, to be called once per loop turn. What the port has no room for
 * stays queued for the next call (64 packets at most; beyond that, and when a port takes nothing
 * for 64 calls, packets are dropped and counted). */
void hg_net_flush(struct hg_net *net);

/* Everything that happens by time: retries, ageing, probes, lifetimes, the link's state; call at
 * least every 100 ms. */
void hg_net_poll(struct hg_net *net, hg_ns now);

/* The MTU towards a remote address: the port's, or for IPv6 what a router said if that is less. */
uint16_t hg_net_mtu(const struct hg_net *net, const struct hg_ip *remote);

/* A neighbour that another shard's queue learnt (ARP and ND arrive on one queue only). */
void hg_net_learn(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                  hg_ns now);
/* Another shard's queue saw that the host with this MAC has our address: it is not used here either. */
void hg_net_duplicate(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                      hg_ns now);
/* What was learnt since the last call, for the other shards; returns how many (<= max). */
struct hg_neighbour {
    struct hg_ip ip;
    struct rte_ether_addr mac;
    bool duplicate; /* ip is ours, and found in use: for hg_net_duplicate(); else hg_net_learn() */
};
unsigned hg_net_learnt(struct hg_net *net, struct hg_neighbour *out, unsigned max);

/* For display; any thread. */
struct hg_counter_set hg_net_counter_set(const struct hg_net *net);

#endif /* HEADGATE_NET_H */
