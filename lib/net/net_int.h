/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this room share, under the file that defines it. Names ending in _be hold
 * network byte order as loaded from the packet.
 */
#ifndef LIB_NET_NET_INT_H
#define LIB_NET_NET_INT_H

#include <headgate/log.h>
#include <headgate/net.h>
#include <headgate/wheel.h>
#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <string.h>

#define NET_BATCH 64 /* packets queued for one burst */

/* The bytes of a frame that are made contiguous before anything is read: Ethernet, the longest IPv4
 * header, and the longest of what follows that we look into: a TCP header with all options, or an
 * ICMP error (8) with the longest IPv4 header it may quote and 8 bytes after that. */
#define NET_CONTIGUOUS (14 + 60 + RTE_MAX(60, 8 + 60 + 8))

/* Ethernet and IPv4 header as we send them: no VLAN tag, no options. */
struct net_hdr {
    struct rte_ether_hdr eth;
    struct rte_ipv4_hdr ip;
};
_Static_assert(sizeof(struct net_hdr) == 34, "headers lie back to back");
_Static_assert(sizeof(struct net_hdr) <= HG_NET_HEADROOM, "callers leave room for them");

/* At most `burst` events at once and one per `interval` on average (GCRA). */
struct net_limit {
    hg_ns full_at; /* when the allowance is whole again */
};

static inline bool net_limit_take(struct net_limit *limit, hg_ns now, hg_ns interval,
                                  unsigned burst)
{
    hg_ns from = limit->full_at > now ? limit->full_at : now;

    if (from - now > interval * (burst - 1))
        return false;
    limit->full_at = from + interval;
    return true;
}

/* ---- net_nbr.c: the table of neighbours ---- */

#define NBR_WAIT 4 /* packets that wait for one neighbour */

/* The picture of the states is at the head of net_nbr.c. */
enum nbr_state { NBR_UNUSED, NBR_INCOMPLETE, NBR_REACHABLE, NBR_STALE, NBR_FAILED };

struct nbr {
    uint32_t ip_be;
    struct rte_ether_addr mac; /* in REACHABLE and STALE */
    uint8_t state;             /* enum nbr_state */
    uint8_t tries;             /* requests sent for the open question; 0: none is open */
    uint8_t n_wait;
    bool tell;     /* learnt, and hg_net_learnt() has not said so yet */
    uint32_t next; /* in its bucket, or in the free list; index or NBR_NONE */
    hg_ns used;    /* last packet to it */
    hg_ns asked;   /* last request for it; 0: never */
    hg_ns confirmed;
    struct hg_timer timer;
    struct rte_mbuf *wait[NBR_WAIT]; /* complete but for the destination MAC; oldest first */
};

#define NBR_NONE UINT32_MAX

struct nbr_table {
    struct nbr *entry; /* max of them */
    uint32_t *bucket;  /* 1 << bits heads */
    uint32_t max;
    uint32_t free; /* head of the list of UNUSED entries */
    uint32_t hand; /* where the search for a victim goes on */
    unsigned bits;
    unsigned waiting;     /* packets in all wait queues */
    unsigned to_tell;     /* entries with tell set */
    uint32_t tell_from;   /* where hg_net_learnt() goes on */
    struct net_limit ask; /* on requests to all neighbours together */
    struct hg_wheel wheel;
};

int nbr_init(struct nbr_table *table, uint32_t max, hg_ns now);
void nbr_fini(struct nbr_table *table);
struct nbr *nbr_find(const struct nbr_table *table, uint32_t ip_be);
/* Finds, or makes an INCOMPLETE one; NULL when the table is full of neighbours in use. */
struct nbr *nbr_get(struct hg_net *net, uint32_t ip_be, hg_ns now);
/* The packet's slow path: the neighbour is not REACHABLE. Takes ownership. */
void nbr_send(struct hg_net *net, struct nbr *nbr, struct rte_mbuf *m, hg_ns now);
/* A MAC that we believe: REACHABLE, and what waited goes out. */
void nbr_confirm(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now);
/* A MAC good enough to be used while we ask: STALE. Only for INCOMPLETE and FAILED. */
void nbr_adopt(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now);
/* Asks the neighbour again, at most once per second, and goes on with what we know. */
void nbr_doubt(struct hg_net *net, struct nbr *nbr, hg_ns now);
/* Marks for hg_net_learnt(). */
void nbr_tell(struct hg_net *net, struct nbr *nbr);
void nbr_poll(struct hg_net *net, hg_ns now);

/* ---- net.c ---- */

struct net_addrs {
    uint32_t self_be;
    uint32_t mask_be;    /* of the local network */
    uint32_t zeros_be;   /* host part all zero; self_be when there is no such host (RFC 3021) */
    uint32_t ones_be;    /* host part all one: directed broadcast; as above */
    uint32_t gateway_be; /* 0: none */
};

struct hg_net {
    /* Read for every packet. */
    struct hg_port *port;
    uint64_t mac48; /* our MAC as the low 48 bits of a little-endian load */
    struct net_addrs addrs;
    uint16_t queue;
    bool skip_csum; /* software checks on receive are off */
    uint16_t ip_id; /* of the next packet; RFC 6864: with DF any value will do */
    uint16_t n_batch;
    uint16_t stuck;     /* flushes since the port last took a packet while some were queued */
    struct hg_ip local; /* our address again, as flows carry it */
    struct net_hdr hdr; /* template of what we send */
    uint64_t hdr_sum;   /* sum of the template's constant IPv4 fields */
    struct nbr *last;   /* of the last packet; may be in other use by now: compare ip_be */
    struct rte_mbuf *batch[NET_BATCH];
    struct hg_net_counters c;

    struct rte_mempool *pool;
    bool accept_unsolicited;
    uint8_t announce_left; /* gratuitous ARP announcements still to send */
    hg_ns announce_at;
    hg_ns defended; /* last time we defended our address; 0: never */
    struct net_limit echo;
    struct hg_log_limit log;
    struct nbr_table nbrs;
};

/* Counts and frees. */
static inline void net_drop(uint64_t *counter, struct rte_mbuf *m)
{
    (*counter)++;
    rte_pktmbuf_free(m);
}

static inline uint32_t net_v4_be(const struct hg_ip *ip)
{
    uint32_t be;

    memcpy(&be, ip->b + 12, sizeof be);
    return be;
}

static inline struct hg_ip net_ip_from_be(uint32_t be)
{
    struct hg_ip ip = {{[10] = 0xff, [11] = 0xff}};

    memcpy(ip.b + 12, &be, sizeof be);
    return ip;
}

static inline bool net_on_link(const struct net_addrs *addrs, uint32_t ip_be)
{
    return ((ip_be ^ addrs->self_be) & addrs->mask_be) == 0;
}

/* A source no packet may have (RFC 1122 3.2.1.3): this network (0/8), loopback, multicast,
 * reserved, broadcast, our own address, and the local network's all-zero and all-one hosts. */
static inline bool net_is_martian(const struct net_addrs *addrs, uint32_t ip_be)
{
    uint8_t first = ip_be & 0xff;

    return first == 0 || first == 127 || first >= 224 || ip_be == addrs->self_be ||
           ip_be == addrs->zeros_be || ip_be == addrs->ones_be;
}

/* ---- net_arp.c: ARP packets ---- */

/* Takes ownership. */
void arp_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now);
/* Broadcasts a request; false when the rate limit stood against it. */
bool arp_request(struct hg_net *net, uint32_t ip_be, hg_ns now);
/* RFC 5227 2.3: tells the link our address; twice after the start. */
void arp_announce_poll(struct hg_net *net, hg_ns now);

/* ---- net_icmp.c ---- */

/* Takes ownership of a checked IPv4 packet (padding cut, frame from Ethernet on, l3_len bytes of IP
 * header); returns 1 when it filled *seg. */
unsigned icmp_input(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now,
                    struct hg_seg *seg);

/* ---- net_input.c ---- */

/* Shortens the packet to its first len bytes, which must be there; 0 < len <= pkt_len. */
void net_cut(struct rte_mbuf *m, uint32_t len);

/* ---- net_output.c ---- */

/* Prepends Ethernet and IPv4 headers, complete but for the destination MAC. */
void net_push_headers(struct hg_net *net, struct rte_mbuf *m, uint32_t dst_be, uint8_t proto);
/* Queues a complete frame; takes ownership. */
void net_queue(struct hg_net *net, struct rte_mbuf *m);

/* Makes a received packet fit for sending: marks of the receiver would be taken for requests. */
static inline void net_forget_rx(struct rte_mbuf *m)
{
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    m->tx_offload = 0;
}

static inline void net_queue_to(struct hg_net *net, struct rte_mbuf *m,
                                const struct rte_ether_addr *mac)
{
    rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->dst_addr = *mac;
    net_queue(net, m);
}

#endif /* LIB_NET_NET_INT_H */
