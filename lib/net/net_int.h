/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this room share, under the file that defines it; that file alone writes the
 * part of struct hg_net that is named after it. Names ending in _be hold network byte order as
 * loaded from the packet. Every input function takes ownership of its packet, ends it in exactly one
 * rx_ counter, and returns 1 when it made a segment of it instead.
 */
#ifndef LIB_NET_NET_INT_H
#define LIB_NET_NET_INT_H

#include <headgate/log.h>
#include <headgate/net.h>
#include <headgate/wheel.h>
#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <rte_mbuf.h>
#include <string.h>

#define NET_BATCH 64 /* packets queued for one burst */
#define NET_HOPS 64  /* RFC 1122 3.2.1.7, IANA's recommended default; RFC 4861 6.3.2 */
#define NET_IP6_MTU_MIN 1280u

/* The bytes of a frame that are made contiguous before anything is read: Ethernet, the longest IPv4
 * header, and the longest of what follows that we look into: a TCP header with all options, or an
 * ICMP error (8) with the longest IPv4 header it may quote and 8 bytes after that. It also holds
 * an IPv6 header, a fragment header and TCP, and an ICMPv6 error that quotes IPv6 and TCP; what
 * lies behind other extension headers is pulled up when it is looked at. */
#define NET_CONTIGUOUS (14 + 60 + RTE_MAX(60, 8 + 60 + 8))

/* IPv6 (RFC 8200 3); of our own, since DPDK's type of the addresses changes with its version. */
struct net_ip6 {
    uint32_t vtc_flow_be; /* version 4 bits, traffic class 8, flow label 20 */
    uint16_t len_be;      /* of what follows the header */
    uint8_t proto;
    uint8_t hops;
    struct hg_ip src, dst;
} __attribute__((packed, aligned(2))); /* behind Ethernet it stands at two bytes past a word */
_Static_assert(sizeof(struct net_ip6) == 40, "RFC 8200 3");
_Static_assert(sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr) +
                       sizeof(struct net_ip6) <=
                   HG_NET_HEADROOM,
               "callers leave room for all headers");

struct net_l3;

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

static inline bool net_ip_same(const struct hg_ip *a, const struct hg_ip *b)
{
    uint64_t x[2], y[2];

    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* hg_ip_is_v4(), for every packet. */
static inline bool net_ip_is_v4(const struct hg_ip *ip)
{
    uint64_t high;
    uint32_t mapped;

    memcpy(&high, ip->b, sizeof high);
    memcpy(&mapped, ip->b + 8, sizeof mapped);
    return high == 0 && mapped == RTE_BE32(0x0000ffff);
}

/* ---- net_nbr.c: the table of neighbours ---- */

#define NBR_WAIT 4 /* packets that wait for one neighbour */

/* The picture of the states is at the head of net_nbr.c. */
enum nbr_state {
    NBR_UNUSED,
    NBR_INCOMPLETE,
    NBR_REACHABLE,
    NBR_STALE,
    NBR_DELAY,
    NBR_PROBE,
    NBR_FAILED
};

struct nbr {
    struct hg_ip ip;
    struct rte_ether_addr mac; /* in REACHABLE, STALE, DELAY and PROBE */
    uint8_t state;             /* enum nbr_state */
    uint8_t tries;             /* requests sent for the open question; 0: none is open */
    uint8_t n_wait;
    bool tell;     /* learnt, and hg_net_learnt() has not said so yet */
    bool router;   /* says so itself (RFC 4861 4.4) */
    bool rivalled; /* another MAC answered as well: */
    struct rte_ether_addr rival;
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
struct nbr *nbr_find(const struct nbr_table *table, const struct hg_ip *ip);
/* Finds, or makes an INCOMPLETE one; NULL when the table is full of neighbours in use. */
struct nbr *nbr_get(struct hg_net *net, const struct hg_ip *ip, hg_ns now);
/* Sends to the neighbour, or keeps the packet until it is known. Takes ownership. */
void nbr_send(struct hg_net *net, struct nbr *nbr, struct rte_mbuf *m, hg_ns now);
/* A MAC that we believe: REACHABLE, and what waited goes out. */
void nbr_confirm(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now);
/* An answer to our question. One that contradicts what we know waits for what the known one says. */
void nbr_answer(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now);
/* Asks everybody for the neighbour, at most once per second, and goes on with what we know. */
void nbr_doubt(struct hg_net *net, struct nbr *nbr, hg_ns now);
/* RFC 4861 7.3.3: asks again when it is used; RFC 4861 7.2.5 step I (1). */
void nbr_stale(struct hg_net *net, struct nbr *nbr, hg_ns now);
/* Marks for hg_net_learnt(). */
void nbr_tell(struct hg_net *net, struct nbr *nbr);
/* Whether a MAC is known, be it a doubtful one. */
static inline bool nbr_known(const struct nbr *nbr)
{
    return nbr->state >= NBR_REACHABLE && nbr->state <= NBR_PROBE;
}
/* Somebody who asked for us and so is likely to be talked to: used while it is checked. */
void nbr_hear_asker(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                    hg_ns now);
/* A claim nobody asked for, to_us if the frame came to our own MAC. */
struct nbr_claim {
    struct hg_ip ip;
    struct rte_ether_addr mac;
    bool to_us;
};
void nbr_hear_unasked(struct hg_net *net, const struct nbr_claim *claim, hg_ns now);
void nbr_poll(struct hg_net *net, hg_ns now);

/* ---- net_addr.c: our addresses ---- */

#define ADDR_SLAAC_MAX 7
#define ADDR_MAX (HG_NET_ADDRS_MAX + 1 + ADDR_SLAAC_MAX)

/* In this order: from ADDR_DEPRECATED on an address may be used (RFC 4862 2). */
enum addr_state { ADDR_TENTATIVE, ADDR_DUPLICATE, ADDR_DEPRECATED, ADDR_PREFERRED };
enum addr_origin { ADDR_STATIC, ADDR_LINK_LOCAL, ADDR_SLAAC };

struct addr {
    struct hg_ip ip;
    uint8_t len;      /* of its network, bits of 128: an IPv4 prefix counts 96 more */
    uint8_t state;    /* enum addr_state */
    uint8_t origin;   /* enum addr_origin */
    uint8_t probes;   /* sent while tentative */
    uint8_t announce; /* announcements left to send */
    bool tell;        /* found to be a duplicate, and hg_net_learnt() has not said so yet */
    struct rte_ether_addr other; /* with tell: who has it */
    hg_ns at;           /* next probe or announcement, or end of the wait for it; 0: none */
    hg_ns preferred_to; /* then deprecated; 0: for ever */
    hg_ns valid_to;     /* then gone; 0: for ever */
    hg_ns defended;     /* last time we defended it; 0: never */
};

/* What an IPv4 address forbids others, beside itself. */
struct addr_net4 {
    uint32_t self_be;
    uint32_t zeros_be; /* host part all zero; self_be when there is no such host (RFC 3021) */
    uint32_t ones_be;  /* host part all one: directed broadcast; as above */
};

int addr_init(struct hg_net *net, const struct hg_net_cfg *cfg, hg_ns now, struct hg_err *err);
/* Adds a tentative one (usable at once without DAD); NULL when the table is full. */
struct addr *addr_add(struct hg_net *net, const struct hg_net_prefix *prefix,
                      enum addr_origin origin, hg_ns now);
/* Ours in whatever state, or NULL. */
struct addr *addr_find(struct hg_net *net, const struct hg_ip *ip);
/* Like net_local(), past its shortcut. */
const struct addr *addr_usable(struct hg_net *net, const struct hg_ip *ip);
/* Another host uses the address: a tentative one is given up, another is defended. */
void addr_conflict(struct hg_net *net, struct addr *addr, const struct rte_ether_addr *mac,
                   hg_ns now);
/* The next duplicate that hg_net_learnt() has not said yet; false: none. */
bool addr_to_tell(struct hg_net *net, struct hg_neighbour *out);
/* The link is up (again): probes and announcements begin. */
void addr_link_up(struct hg_net *net, hg_ns now);
void addr_poll(struct hg_net *net, hg_ns now);
/* Whether dst is a multicast group we listen to: all nodes, or solicited-node of an address. */
bool addr_in_group(const struct hg_net *net, const struct hg_ip *dst);
/* The usable link-local address, or NULL. */
const struct addr *addr_link_local(const struct hg_net *net);
struct hg_ip addr_solicited_node(const struct hg_ip *ip); /* RFC 4291 2.7.1 */
/* fe80::/64 or a /64 prefix with the interface id made from the MAC (RFC 4291 appendix A). */
struct hg_ip addr_from_mac(const struct hg_ip *prefix, const struct rte_ether_addr *mac);
/* A random time up to max, for probes that hosts would otherwise send all at once. */
hg_ns net_random(struct hg_net *net, hg_ns max);

/* ---- net_route.c: where packets go ---- */

#define ROUTE_RA_ROUTERS 4  /* default routers learnt */
#define ROUTE_RA_PREFIXES 8 /* on-link prefixes learnt */
#define ROUTE_MAX                                                                                  \
    (HG_NET_ADDRS_MAX + 1 + HG_NET_ROUTES_MAX + 2 + ROUTE_RA_ROUTERS + ROUTE_RA_PREFIXES)

struct route {
    uint64_t ip[2], mask[2]; /* as loaded from struct hg_ip */
    struct hg_ip via;        /* next hop, unless on_link */
    uint8_t len;             /* bits of 128, as struct addr counts them */
    bool on_link;
    bool v4;
    bool learnt;    /* from a router advertisement */
    hg_ns valid_to; /* 0: for ever */
};

int route_init(struct hg_net *net, const struct hg_net_cfg *cfg, struct hg_err *err);
/* Adds, or renews, a learnt route; via NULL: on the link. valid_to 0: for ever. false: no room. */
bool route_learn(struct hg_net *net, const struct hg_net_prefix *to, const struct hg_ip *via,
                 hg_ns valid_to);
void route_forget(struct hg_net *net, const struct hg_net_prefix *to, const struct hg_ip *via);
void route_poll(struct hg_net *net, hg_ns now);
/* The neighbour a packet goes to (RFC 1122 3.3.1.1, RFC 4861 5.2); false: there is no way. */
bool route_find(const struct hg_net *net, const struct hg_ip *dst, struct hg_ip *hop);
bool route_on_link(const struct hg_net *net, const struct hg_ip *ip);
bool route_is_gateway(const struct hg_net *net, const struct hg_ip *ip);

/* ---- net_frag.c ---- */

struct frag_state {
    struct rte_ip_frag_tbl *table; /* made with the instance; a null pointer never */
    struct rte_ip_frag_death_row dead;
    hg_ns expire_at;
    uint32_t next_id; /* of fragments we send */
};

/* ---- net_ra.c ---- */

struct ra_state {
    uint16_t mtu;      /* from the last MTU option; 0: none */
    hg_ns solicit_at;  /* next router solicitation; 0: none */
    hg_ns solicit_gap; /* to the one after it (RFC 7559) */
};

/* ---- net.c ---- */

struct hg_net {
    /* Read for every packet. */
    struct hg_port *port;
    uint64_t mac48;  /* our MAC as the low 48 bits of a little-endian load */
    uint16_t vlan;   /* 0: none */
    uint16_t l2_len; /* of the Ethernet header we send, tag included */
    uint16_t queue;
    uint16_t hit;     /* index of the local address that matched last */
    uint32_t hit4_be; /* of that address, while it is IPv4 and usable; else 0 */
    bool skip_csum;   /* software checks on receive are off */
    bool ip6;         /* IPv6 is served */
    uint16_t ip_id;   /* of the next packet; RFC 6864: with DF any value will do */
    uint16_t n_batch;
    uint16_t stuck; /* flushes since the port last took a packet while some were queued */
    uint16_t n_addr, n_net4, n_route;
    struct addr_net4 net4[HG_NET_ADDRS_MAX];
    struct addr addr[ADDR_MAX];
    uint8_t eth[18];   /* template: destination (zero), source, tag, type (zero) */
    uint64_t hdr4_sum; /* sum of the constant fields of our IPv4 headers */
    struct {           /* of the last packet */
        struct hg_ip remote, hop;
        struct nbr *nbr; /* may be in other use by now: compare ip */
        uint32_t gen;    /* compare with route_gen */
    } last;
    uint32_t route_gen; /* changes with the routes; never 0 */
    struct rte_mbuf *batch[NET_BATCH];
    struct hg_net_counters c;

    struct rte_mempool *pool;
    uint64_t secret[2];
    uint64_t random; /* state of net_random() */
    bool accept_unsolicited, slaac, dad;
    bool link;        /* as last seen */
    uint8_t mld_left; /* reports still to send */
    hg_ns mld_at;
    hg_ns slow_at; /* next look at everything that is not a neighbour's timer */
    hg_ns link_at; /* next look at the link */
    struct net_limit echo, error, mld;
    struct hg_log_limit log;
    struct frag_state frag;
    struct ra_state ra;
    struct route route[ROUTE_MAX]; /* longest prefix first; of equals static ones first */
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

static inline bool net_ip_is_zero(const struct hg_ip *ip)
{
    static const struct hg_ip zero;

    return net_ip_same(ip, &zero);
}

static inline bool net_ip6_is_multicast(const struct hg_ip *ip)
{
    return ip->b[0] == 0xff;
}

static inline bool net_ip6_is_link_local(const struct hg_ip *ip)
{
    return ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

/* One of our addresses that may be used, or NULL. */
static inline const struct addr *net_local(struct hg_net *net, const struct hg_ip *ip)
{
    const struct addr *addr = &net->addr[net->hit];

    if (likely(net_ip_same(&addr->ip, ip) && addr->state >= ADDR_DEPRECATED))
        return addr;
    return addr_usable(net, ip);
}

/* Sources no IPv4 packet may have (RFC 1122 3.2.1.3): this network (0/8), loopback, multicast,
 * reserved, broadcast, our own addresses, and the all-zero and all-one hosts of our networks. */
static inline bool net_is_martian4(const struct hg_net *net, uint32_t ip_be)
{
    uint8_t first = ip_be & 0xff;
    bool bad = first == 0 || first == 127 || first >= 224;

    for (unsigned i = 0; i < net->n_net4; i++) {
        const struct addr_net4 *n = &net->net4[i];

        bad |= ip_be == n->self_be || ip_be == n->zeros_be || ip_be == n->ones_be;
    }
    return bad;
}

/* The same for IPv6 (RFC 4291 2.5.2, 2.5.3, 2.5.5.2, 2.7). */
static inline bool net_is_martian6(struct hg_net *net, const struct hg_ip *ip)
{
    static const struct hg_ip loopback = {{[15] = 1}};

    return net_ip6_is_multicast(ip) || net_ip_is_zero(ip) || net_ip_same(ip, &loopback) ||
           hg_ip_is_v4(ip) || net_local(net, ip) != NULL;
}

/* A neighbour, gateway or source of either family that cannot be one. */
static inline bool net_is_martian(struct hg_net *net, const struct hg_ip *ip)
{
    return hg_ip_is_v4(ip) ? net_is_martian4(net, net_v4_be(ip)) : net_is_martian6(net, ip);
}

/* ---- net_arp.c: ARP packets ---- */

/* Takes ownership. */
void arp_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now);
/* Asks for a neighbour, everybody (mac NULL) or only that MAC; false when the rate limit stood
 * against it. */
bool arp_request(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                 hg_ns now);
/* RFC 5227 2.1.1: asks whether anybody has the address. */
void arp_probe(struct hg_net *net, const struct hg_ip *ip);
/* RFC 5227 2.3: tells the link our address. */
void arp_announce(struct hg_net *net, const struct hg_ip *ip);

/* ---- net_icmp.c ---- */

/* Takes ownership of a checked IPv4 packet (padding cut, frame from Ethernet on, l3_len bytes of IP
 * header); returns 1 when it filled *seg. */
unsigned icmp_input(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now,
                    struct hg_seg *seg);
/* Sends the answer whose ICMP header m starts at to where the request came from. Takes ownership. */
void icmp_echo_reply(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                     const struct rte_ether_addr *mac);
/* Whether another echo or error may be answered now. */
bool icmp_may_answer(struct hg_net *net, hg_ns now);

struct icmp_hdr {
    uint8_t type;
    uint8_t code;
    uint16_t sum;     /* memory order */
    uint32_t rest_be; /* by type: MTU, pointer, identifier and sequence number */
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct icmp_hdr) == 8, "RFC 792, RFC 4443");

/* ---- net_ip6.c ---- */

/* Takes ownership of a frame that starts at Ethernet; returns 1 when it filled *seg. */
unsigned ip6_input(struct hg_net *net, struct rte_mbuf *m, hg_ns now, struct hg_seg *seg);

/* ---- net_icmp6.c ---- */

enum {
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME_EXCEEDED = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_MLD_QUERY = 130,
    ICMP6_RS = 133,
    ICMP6_RA = 134,
    ICMP6_NS = 135,
    ICMP6_NA = 136,
    ICMP6_REDIRECT = 137,
    ICMP6_MLD2_REPORT = 143,
};

/* A packet for ICMPv6 whose checks up to IPv6 are done; `offset` is from the start of the frame. */
unsigned icmp6_input(struct hg_net *net, struct rte_mbuf *m, unsigned offset, hg_ns now,
                     struct hg_seg *seg);
/* Tells the sender of m, and leaves m alone, that the byte at offset `at` of its IPv6 packet is not
 * understood (RFC 4443 3.4); limited. */
void icmp6_parameter(struct hg_net *net, const struct rte_mbuf *m, uint8_t code, unsigned at,
                     hg_ns now);
/* Fills the checksum of the message m starts at. */
void icmp6_sum(struct rte_mbuf *m, const struct net_l3 *ip);
/* Fills the checksum (unless ip->proto says that something stands before the message), adds headers
 * and queues. mac NULL: dst is a group. Takes ownership. */
void icmp6_send(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                const struct rte_ether_addr *mac);

/* ---- net_nd.c ---- */

/* A message with a right checksum. body and len: from the ICMPv6 header on. */
struct nd_msg {
    const struct rte_ether_hdr *eth;
    const struct net_ip6 *ip;
    const uint8_t *body;
    unsigned len;
};

enum { ND_OPT_SOURCE = 1, ND_OPT_TARGET = 2, ND_OPT_PREFIX = 3, ND_OPT_MTU = 5, ND_OPT_NONCE = 14 };

/* Each returns the counter of what became of the message. */
uint64_t *nd_solicit_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now);
uint64_t *nd_advert_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now);
/* RFC 4861 4.6: whether the options from body[at] on are well formed. */
bool nd_options_sound(const struct nd_msg *msg, unsigned at);
/* The first option of a type, or NULL; only after nd_options_sound(). */
const uint8_t *nd_option(const struct nd_msg *msg, unsigned at, uint8_t type);
/* The MAC in option SOURCE or TARGET, if there is a usable one. */
bool nd_option_mac(const struct nd_msg *msg, unsigned at, uint8_t type, struct rte_ether_addr *mac);
/* As arp_request(). */
bool nd_solicit(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                hg_ns now);
/* RFC 4862 5.4.2: asks whether anybody has the address. */
void nd_probe(struct hg_net *net, const struct hg_ip *ip);
/* RFC 4861 7.2.6: tells all nodes our address. */
void nd_announce(struct hg_net *net, const struct hg_ip *ip);

/* ---- net_ra.c ---- */

uint64_t *ra_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now);
/* Begins to ask for routers. */
void ra_link_up(struct hg_net *net, hg_ns now);
void ra_poll(struct hg_net *net, hg_ns now);

/* ---- net_mld.c ---- */

/* Our groups have changed, or the link came up: says so soon. */
void mld_changed(struct hg_net *net, hg_ns now);
uint64_t *mld_query_input(struct hg_net *net, const struct nd_msg *msg, hg_ns now);
void mld_poll(struct hg_net *net, hg_ns now);

/* ---- net_frag.c ---- */

int frag_init(struct hg_net *net, hg_ns now);
void frag_fini(struct hg_net *net);
void frag_poll(struct hg_net *net, hg_ns now);
/* Takes ownership of a fragment that starts at Ethernet, l3_len bytes before its payload, padding
 * cut. Returns the whole packet, checked to begin contiguously, when this was its last piece. */
struct rte_mbuf *frag_input4(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now);
/* The same; the fragment header follows the IPv6 header at once. */
struct rte_mbuf *frag_input6(struct hg_net *net, struct rte_mbuf *m, hg_ns now);
/* Sends a payload that is larger than the MTU allows in pieces. Takes ownership. */
void frag_output(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                 const struct rte_ether_addr *mac);

/* ---- net_input.c ---- */

/* Shortens the packet to its first len bytes, which must be there; 0 < len <= pkt_len. */
void net_cut(struct rte_mbuf *m, uint32_t len);
/* Makes the first len bytes, or all there are, contiguous; false when they do not fit. */
bool net_contiguous(struct rte_mbuf *m, uint32_t len);
/* A packet that is IP, ours and whole. m still starts at Ethernet; TCP begins at offset; pseudo is
 * the sum of the addresses; flow has both of them. Takes ownership. */
struct net_tcp_in {
    unsigned offset;
    uint64_t pseudo;
    uint8_t ecn;
};
unsigned net_tcp_input(struct hg_net *net, struct rte_mbuf *m, const struct net_tcp_in *in,
                       struct hg_seg *seg);

/* ---- net_output.c ---- */

/* The IP header of something we send. */
struct net_l3 {
    const struct hg_ip *src, *dst;
    uint8_t proto;
    uint8_t ecn;      /* two bits of TOS or traffic class */
    uint8_t hops;     /* 0: NET_HOPS */
    uint16_t frag_be; /* IPv4: flags and offset; 0 is "don't fragment" */
    uint32_t label;   /* IPv6: flow label */
    uint16_t id_be;   /* IPv4 with frag_be: identification */
};

/* Makes an mbuf of len zero bytes for what we send; NULL when the pool is empty (counted). */
struct rte_mbuf *net_alloc(struct hg_net *net, unsigned len);
/* Prepends Ethernet and IP headers, complete but for the destination MAC. */
void net_push_headers(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip);
/* Prepends the Ethernet header alone. */
void net_push_eth(struct hg_net *net, struct rte_mbuf *m, uint16_t type_be);
/* Queues a complete frame; takes ownership. */
void net_queue(struct hg_net *net, struct rte_mbuf *m);

/* Makes a received packet fit for sending: marks of the receiver would be taken for requests. */
static inline void net_forget_rx(struct rte_mbuf *m)
{
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    m->tx_offload = 0;
    m->vlan_tci = 0;
}

static inline void net_queue_to(struct hg_net *net, struct rte_mbuf *m,
                                const struct rte_ether_addr *mac)
{
    rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->dst_addr = *mac;
    net_queue(net, m);
}

#endif /* LIB_NET_NET_INT_H */
