/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fragments in, by way of rte_ip_frag, and fragments out, for echo replies alone.
 *
 *  1. Bounds: TABLE packets being put together, each of at most RTE_LIBRTE_IP_FRAG_MAX_FRAG (8)
 *     fragments, for TIMEOUT. Whatever the library lets go is on its death row, and counted.
 *  2. The library adds fragments up and joins them only if they lie end to end and their lengths sum
 *     to the packet's, so that overlapping ones drop the whole packet (RFC 5722 4; RFC 1858 3).
 *  3. What it cannot see is refused before: a first fragment that does not hold the transport header,
 *     a second one that could overwrite it (RFC 1858 4.2, RFC 7112 5), a middle one of odd length, an
 *     end beyond 65535.
 *  4. It keys IPv4 fragments by addresses and id but not by protocol (RFC 791 3.2): packets of two
 *     protocols with one id drop each other.
 */
#include "net_int.h"
#include <errno.h>
#include <netinet/in.h>
#include <rte_lcore.h>

#define ETH sizeof(struct rte_ether_hdr)
#define BUCKETS 64
#define BUCKET_ENTRIES 4
#define TABLE (BUCKETS * BUCKET_ENTRIES)
#define TIMEOUT HG_SEC(15) /* RFC 791 3.2 proposes 15 s; RFC 8200 4.5 allows up to 60 */
#define EXPIRE_EVERY HG_SEC(1)
#define PACKET_MAX 65535u
#define TRANSPORT_MIN 20u /* of the first fragment: a TCP header */
#define ICMP_MIN 8u

int frag_init(struct hg_net *net, hg_ns now)
{
    net->frag.table =
        rte_ip_frag_table_create(BUCKETS, BUCKET_ENTRIES, TABLE, TIMEOUT, SOCKET_ID_ANY);
    net->frag.expire_at = now + EXPIRE_EVERY;
    net->frag.next_id = (uint32_t)net_random(net, UINT32_MAX);
    return net->frag.table != NULL ? 0 : -ENOMEM;
}

static void bury(struct hg_net *net)
{
    net->c.frag_dropped += net->frag.dead.cnt;
    rte_ip_frag_free_death_row(&net->frag.dead, 0);
}

void frag_fini(struct hg_net *net)
{
    rte_ip_frag_table_destroy(net->frag.table);
    rte_ip_frag_free_death_row(&net->frag.dead, 0);
}

void frag_poll(struct hg_net *net, hg_ns now)
{
    if (now < net->frag.expire_at)
        return;
    net->frag.expire_at = now + EXPIRE_EVERY;
    rte_ip_frag_table_del_expired_entries(net->frag.table, &net->frag.dead, now);
    bury(net);
}

/* ---- in ---- */

/* A fragment, whatever the family. */
struct piece {
    unsigned offset; /* in the packet, bytes */
    unsigned len;    /* of payload, bytes */
    unsigned before; /* bytes of headers that the whole packet will have */
    uint8_t proto;
    bool more;
};

static bool is_sound(const struct piece *p)
{
    unsigned first = p->proto == IPPROTO_TCP ? TRANSPORT_MIN : ICMP_MIN;

    if (p->len == 0 || (p->more && p->len % 8 != 0))
        return false;
    if (p->before + p->offset + p->len > PACKET_MAX)
        return false;
    if (p->offset == 0)
        return p->len >= first;
    return p->offset >= first;
}

/* The library chains what it got: no segment may be empty, and headers lie in the first. */
static struct rte_mbuf *tidy(struct hg_net *net, struct rte_mbuf *m)
{
    for (struct rte_mbuf *seg = m; seg->next != NULL;) {
        struct rte_mbuf *next = seg->next;

        if (next->data_len != 0) {
            seg = next;
            continue;
        }
        seg->next = next->next;
        m->nb_segs--;
        next->next = NULL;
        next->nb_segs = 1;
        rte_pktmbuf_free_seg(next);
    }
    net->c.frag_reassembled++;
    if (net_contiguous(m, NET_CONTIGUOUS))
        return m;
    net_drop(&net->c.rx_short, m);
    return NULL;
}

struct rte_mbuf *frag_input4(struct hg_net *net, struct rte_mbuf *m, unsigned l3_len, hg_ns now)
{
    struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, ETH);
    unsigned bits = rte_be_to_cpu_16(ip->fragment_offset);
    struct piece piece = {.offset = (bits & RTE_IPV4_HDR_OFFSET_MASK) * RTE_IPV4_HDR_OFFSET_UNITS,
                          .len = m->pkt_len - (unsigned)ETH - l3_len,
                          .before = l3_len,
                          .proto = ip->next_proto_id,
                          .more = (bits & RTE_IPV4_HDR_MF_FLAG) != 0};

    if (!is_sound(&piece)) {
        net_drop(&net->c.rx_ip_fragment_bad, m);
        return NULL;
    }
    net->c.rx_ip_fragment++;
    net_forget_rx(m);
    m->l2_len = ETH;
    m->l3_len = (uint64_t)l3_len & 0x1ff;
    m = rte_ipv4_frag_reassemble_packet(net->frag.table, &net->frag.dead, m, now, ip);
    bury(net);
    return m != NULL ? tidy(net, m) : NULL;
}

/* RFC 6946: a packet with a fragment header that is no fragment is on its own. */
static struct rte_mbuf *atomic(struct hg_net *net, struct rte_mbuf *m)
{
    const struct rte_ipv6_fragment_ext *frag = rte_pktmbuf_mtod_offset(
        m, const struct rte_ipv6_fragment_ext *, ETH + sizeof(struct net_ip6));
    uint8_t *start = rte_pktmbuf_mtod(m, uint8_t *), next = frag->next_header;
    struct net_ip6 *ip;

    memmove(start + sizeof *frag, start, ETH + sizeof *ip);
    rte_pktmbuf_adj(m, sizeof *frag);
    ip = rte_pktmbuf_mtod_offset(m, struct net_ip6 *, ETH);
    ip->proto = next;
    ip->len_be = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->len_be) - sizeof *frag));
    net->c.rx_ip_fragment++;
    return tidy(net, m);
}

struct rte_mbuf *frag_input6(struct hg_net *net, struct rte_mbuf *m, hg_ns now)
{
    struct net_ip6 *ip = rte_pktmbuf_mtod_offset(m, struct net_ip6 *, ETH);
    struct rte_ipv6_fragment_ext *frag = (struct rte_ipv6_fragment_ext *)(ip + 1);
    unsigned headers = sizeof *ip + sizeof *frag, bits;
    struct piece piece;

    if (m->data_len < ETH + headers) {
        net_drop(&net->c.rx_short, m);
        return NULL;
    }
    bits = rte_be_to_cpu_16(frag->frag_data);
    piece = (struct piece){.offset = bits & 0xfff8,
                           .len = m->pkt_len - (unsigned)ETH - headers,
                           .before = 0, /* the length field does not count the header */
                           .proto = frag->next_header,
                           .more = (bits & 1) != 0};
    if (piece.offset == 0 && !piece.more)
        return atomic(net, m);
    if (!is_sound(&piece)) {
        net_drop(&net->c.rx_ip_fragment_bad, m);
        return NULL;
    }
    net->c.rx_ip_fragment++;
    net_forget_rx(m);
    m->l2_len = ETH;
    m->l3_len = (uint64_t)headers & 0x1ff;
    m = rte_ipv6_frag_reassemble_packet(net->frag.table, &net->frag.dead, m, now,
                                        (struct rte_ipv6_hdr *)ip, frag);
    bury(net);
    return m != NULL ? tidy(net, m) : NULL;
}

/* ---- out ---- */

/* The fragment of m's payload at `at`, with headers; NULL when the pool is empty. */
static struct rte_mbuf *cut_piece(struct hg_net *net, const struct rte_mbuf *m,
                                  const struct net_l3 *ip, const struct piece *piece)
{
    struct rte_mbuf *out = rte_pktmbuf_copy(m, net->pool, piece->offset, piece->len);
    struct net_l3 l3 = *ip;

    if (out == NULL)
        return NULL;
    if (hg_ip_is_v4(ip->dst)) {
        l3.id_be = rte_cpu_to_be_16((uint16_t)net->frag.next_id);
        l3.frag_be = rte_cpu_to_be_16((uint16_t)(piece->offset / RTE_IPV4_HDR_OFFSET_UNITS |
                                                 (piece->more ? RTE_IPV4_HDR_MF_FLAG : 0)));
    } else {
        struct rte_ipv6_fragment_ext *frag =
            (struct rte_ipv6_fragment_ext *)rte_pktmbuf_prepend(out, sizeof *frag);

        *frag = (struct rte_ipv6_fragment_ext){
            .next_header = ip->proto,
            .frag_data = rte_cpu_to_be_16((uint16_t)(piece->offset | piece->more)),
            .id = rte_cpu_to_be_32(net->frag.next_id)};
        l3.proto = IPPROTO_FRAGMENT;
    }
    net_push_headers(net, out, &l3);
    return out;
}

void frag_output(struct hg_net *net, struct rte_mbuf *m, const struct net_l3 *ip,
                 const struct rte_ether_addr *mac)
{
    bool v4 = hg_ip_is_v4(ip->dst);
    unsigned headers = v4 ? sizeof(struct rte_ipv4_hdr)
                          : sizeof(struct net_ip6) + sizeof(struct rte_ipv6_fragment_ext);
    unsigned room = (hg_net_mtu(net, ip->dst) - headers) & ~7u;

    net->frag.next_id++;
    for (unsigned at = 0; at < m->pkt_len; at += room) {
        struct piece piece = {
            .offset = at, .len = RTE_MIN(m->pkt_len - at, room), .more = m->pkt_len - at > room};
        struct rte_mbuf *out = cut_piece(net, m, ip, &piece);

        if (out == NULL) {
            net->c.tx_no_mbuf++;
            break;
        }
        net->c.tx_fragments++;
        net_queue_to(net, out, mac);
    }
    rte_pktmbuf_free(m);
}
