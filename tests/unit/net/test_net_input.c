/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What hg_net_input() makes of frames: good ones arrive whole in any segmentation, each bad one
 * fires exactly its counter.
 * Usage: test_net_input [seed]
 */
#include "net_rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- good segments ---- */

/* Feeds f and expects one TCP segment holding the bytes at `offset`, len of them. */
static void expect_tcp(struct rig *rig, const struct frame *f, unsigned seg_len, unsigned offset,
                       unsigned len)
{
    struct hg_seg seg = {0};
    uint8_t copy[9000];
    const uint8_t *flat;

    CU_ASSERT_EQUAL_FATAL(rig_feed(rig, f, seg_len, &seg), 1);
    CU_ASSERT_EQUAL(seg.kind, HG_SEG_TCP);
    CU_ASSERT_EQUAL(hg_ip_to_v4(&seg.flow.local), IP_SELF);
    CU_ASSERT_EQUAL(hg_ip_to_v4(&seg.flow.remote), IP_PEER);
    CU_ASSERT_TRUE(hg_ip_is_v4(&seg.flow.local) && hg_ip_is_v4(&seg.flow.remote));
    CU_ASSERT_EQUAL(seg.flow.lport, 1500);
    CU_ASSERT_EQUAL(seg.flow.rport, 40000);
    CU_ASSERT_EQUAL(rte_mbuf_check(seg.m, 1, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(seg.m->pkt_len, len);
    CU_ASSERT_TRUE(seg.m->data_len >= (len < 60 ? len : 60) || seg.m->data_len == len);
    for (const struct rte_mbuf *m = seg.m; m != NULL; m = m->next)
        CU_ASSERT_TRUE(m->data_len > 0);
    flat = rte_pktmbuf_read(seg.m, 0, len, copy);
    CU_ASSERT_EQUAL(memcmp(flat, f->b + offset, len), 0);
    rte_pktmbuf_free(seg.m);
}

static void test_tcp_in_any_segmentation(void)
{
    static const unsigned seg_len[] = {0, 1, 7, 33, 34, 53, 54, 64, 133, 500};
    static const unsigned payload[] = {0, 1, 2, 3, 79, 80, 81, 1000, 1459, 1460};
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned s = 0; s < HG_ARRAY_LEN(seg_len); s++) {
        for (unsigned p = 0; p < HG_ARRAY_LEN(payload); p++) {
            if (seg_len[s] != 0 && payload[p] / seg_len[s] > 800)
                continue; /* more segments than the pool has */
            frame_tcp(&f, payload[p]);
            expect_tcp(&rig, &f, seg_len[s], 34, 20 + payload[p]);
        }
    }
    rig_close(&rig);
}

/* A chain whose first segment has no room behind it, and one whose first segment may not be written
 * to because another refers to it. */
static void test_headers_without_room(void)
{
    struct rig rig;
    struct frame f;
    struct rte_mbuf *head, *other;
    struct hg_seg seg = {0};

    rig_open(&rig, NULL);
    frame_tcp(&f, 300);
    head = rig_mbuf(&rig, f.b, 40, 0);
    rte_pktmbuf_reset(head);
    head->data_off = (uint16_t)(head->buf_len - 40);
    memcpy(rte_pktmbuf_append(head, 40), f.b, 40);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, rig_mbuf(&rig, f.b + 40, f.len - 40, 50)), 0);
    CU_ASSERT_EQUAL_FATAL(hg_net_input(rig.net, &head, 1, rig.now, &seg), 1);
    CU_ASSERT_EQUAL(rte_mbuf_check(seg.m, 1, NULL), 0);
    CU_ASSERT_EQUAL(seg.m->pkt_len, 320);
    CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(seg.m, uint8_t *), f.b + 34, 60), 0);
    rte_pktmbuf_free(seg.m);
    head = other = rig_mbuf(&rig, f.b, 40, 0);
    CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, rig_mbuf(&rig, f.b + 40, f.len - 40, 0)), 0);
    rte_mbuf_refcnt_update(other, 1);
    CU_ASSERT_EQUAL(hg_net_input(rig.net, &head, 1, rig.now, &seg), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_short, 1);
    other->next = NULL; /* freed with the packet */
    other->nb_segs = 1;
    rte_pktmbuf_free(other);
    rig_close(&rig);
}

static void test_padding_is_cut(void)
{
    static const unsigned seg_len[] = {0, 20, 54, 55, 57};
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned s = 0; s < HG_ARRAY_LEN(seg_len); s++) {
        for (unsigned pad = 1; pad < 400; pad = pad * 3) {
            frame_tcp(&f, 0);
            memset(f.b + f.len, 0xaa, pad);
            f.len += pad;
            expect_tcp(&rig, &f, seg_len[s], 34, 20);
        }
    }
    rig_close(&rig);
}

static void test_options_are_skipped(void)
{
    static const uint8_t harmless[][8] = {{1, 1, 1, 0}, {148, 4, 0, 0, 0}, {68, 6, 5, 0, 0, 0, 1}};
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(harmless); i++) {
        frame_tcp(&f, 100);
        frame_options(&f, harmless[i], 8);
        frame_sums(&f);
        expect_tcp(&rig, &f, 0, 42, 120);
        expect_tcp(&rig, &f, 30, 42, 120);
    }
    rig_close(&rig);
}

static void test_ecn_bits(void)
{
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig_open(&rig, NULL);
    for (unsigned ecn = 0; ecn < 4; ecn++) {
        frame_tcp(&f, 10);
        f.b[15] = (uint8_t)(0xb8 | ecn);
        frame_sums(&f);
        CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 0, &seg), 1);
        CU_ASSERT_EQUAL(seg.ecn, ecn);
        rte_pktmbuf_free(seg.m);
    }
    rig_close(&rig);
}

/* Good and bad frames mixed in one burst: segments come dense and in order. */
static void test_burst_is_dense(void)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    struct hg_seg segs[HG_PORT_BURST];
    struct rig rig;
    struct frame f;
    unsigned good = 0;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < HG_PORT_BURST; i++) {
        frame_tcp(&f, 10);
        put32(f.b + 38, i);
        frame_sums(&f);
        if (i % 3 == 1)
            f.b[50] ^= 1;
        good += i % 3 != 1;
        pkts[i] = rig_mbuf(&rig, f.b, f.len, 0);
    }
    CU_ASSERT_EQUAL_FATAL(hg_net_input(rig.net, pkts, HG_PORT_BURST, rig.now, segs), good);
    for (unsigned i = 0; i < good; i++) {
        CU_ASSERT_EQUAL(get32(rte_pktmbuf_mtod_offset(segs[i].m, uint8_t *, 4)),
                        i / 2 * 3 + i % 2 * 2);
        rte_pktmbuf_free(segs[i].m);
    }
    CU_ASSERT_EQUAL(rig_counter(&rig, "rx_packets"), HG_PORT_BURST);
    CU_ASSERT_EQUAL(rig_counter(&rig, "rx_tcp_csum"), HG_PORT_BURST - good);
    rig_close(&rig);
}

/* ---- bad frames ---- */

static void short_ethernet(struct frame *f)
{
    f->len = 13;
}
static void short_ip(struct frame *f)
{
    f->len = 33;
}
static void short_ip_options(struct frame *f)
{
    f->b[14] = 0x4f;
    put16(f->b + 16, 60);
    f->len = 14 + 59;
}
static void total_beyond_frame(struct frame *f)
{
    put16(f->b + 16, f->len - 14 + 1);
    frame_sums(f);
}
static void tcp_header_cut(struct frame *f)
{
    frame_tcp(f, 0);
    put16(f->b + 16, 39);
    f->len = 14 + 39;
    frame_sums(f);
}
static void other_mac(struct frame *f)
{
    f->b[5] ^= 1;
}
static void broadcast_mac(struct frame *f)
{
    memset(f->b, 0xff, 6);
}
static void multicast_mac(struct frame *f)
{
    memcpy(f->b, "\x01\x00\x5e\x00\x00\x01", 6);
}
static void other_ip(struct frame *f)
{
    put32(f->b + 30, IP_SELF + 1);
    frame_sums(f);
}
static void directed_broadcast(struct frame *f)
{
    put32(f->b + 30, 0xc00002ff);
    frame_sums(f);
}
static void vlan_type(struct frame *f)
{
    put16(f->b + 12, 0x8100);
}
static void ipv6_type(struct frame *f)
{
    put16(f->b + 12, 0x86dd);
}
static void version_6(struct frame *f)
{
    f->b[14] = 0x65;
    frame_sums(f);
}
static void header_of_16(struct frame *f)
{
    f->b[14] = 0x44;
}
static void total_below_header(struct frame *f)
{
    put16(f->b + 16, 19);
}
static void source_route(struct frame *f)
{
    frame_options(f, (const uint8_t *)"\x01\x83\x07\x04\x01\x02\x03\x04", 8);
    frame_sums(f);
}
static void strict_source_route(struct frame *f)
{
    frame_options(f, (const uint8_t *)"\x89\x07\x04\x01\x02\x03\x04\x00", 8);
    frame_sums(f);
}
static void option_too_long(struct frame *f)
{
    frame_options(f, (const uint8_t *)"\x01\x01\x94\x03", 4);
    frame_sums(f);
}
static void option_of_length_1(struct frame *f)
{
    frame_options(f, (const uint8_t *)"\x94\x01\x00\x00", 4);
    frame_sums(f);
}
static void option_without_length(struct frame *f)
{
    frame_options(f, (const uint8_t *)"\x01\x01\x01\x94", 4);
    frame_sums(f);
}
static void ip_sum(struct frame *f)
{
    f->b[24] ^= 0x10;
}
static void source_is(struct frame *f, uint32_t ip)
{
    put32(f->b + 26, ip);
    frame_sums(f);
}
static void from_zero(struct frame *f)
{
    source_is(f, 0);
}
static void from_loopback(struct frame *f)
{
    source_is(f, 0x7f000001);
}
static void from_multicast(struct frame *f)
{
    source_is(f, 0xe0000001);
}
static void from_reserved(struct frame *f)
{
    source_is(f, 0xf0000001);
}
static void from_broadcast(struct frame *f)
{
    source_is(f, 0xffffffff);
}
static void from_us(struct frame *f)
{
    source_is(f, IP_SELF);
}
static void from_net_zeros(struct frame *f)
{
    source_is(f, 0xc0000200);
}
static void from_net_ones(struct frame *f)
{
    source_is(f, 0xc00002ff);
}
static void first_fragment(struct frame *f)
{
    put16(f->b + 20, 0x2000);
    frame_sums(f);
}
static void last_fragment(struct frame *f)
{
    put16(f->b + 20, 0x0010);
    frame_sums(f);
}
/* RFC 1858 3, 4: such fragments serve to show a filter another header than the host. */
static void second_fragment_over_header(struct frame *f)
{
    put16(f->b + 20, 0x0001);
    frame_sums(f);
}
static void tiny_first_fragment(struct frame *f)
{
    put16(f->b + 16, 20 + 16);
    put16(f->b + 20, 0x2000);
    frame_sums(f);
}
static void odd_first_fragment(struct frame *f)
{
    put16(f->b + 16, 20 + 33);
    put16(f->b + 20, 0x2000);
    frame_sums(f);
}
static void fragment_beyond_64k(struct frame *f)
{
    put16(f->b + 20, 0x1fff);
    frame_sums(f);
}
static void udp(struct frame *f)
{
    f->b[23] = 17;
    frame_sums(f);
}
static void tcp_sum(struct frame *f)
{
    f->b[51] ^= 0x01;
}
static void tcp_payload_bit(struct frame *f)
{
    f->b[f->len - 1] ^= 0x80;
}
static void icmp_sum(struct frame *f)
{
    frame_icmp(f, 8, 0, 30);
    f->b[60] ^= 1;
}
static void icmp_cut(struct frame *f)
{
    frame_icmp(f, 8, 0, 0);
    put16(f->b + 16, 27);
    f->len = 41;
    frame_sums(f);
}
static void icmp_timestamp(struct frame *f)
{
    frame_icmp(f, 13, 0, 12);
}
static void icmp_echo_code(struct frame *f)
{
    frame_icmp(f, 8, 1, 12);
}
static void icmp_error_cut(struct frame *f)
{
    frame_icmp(f, 3, 1, 19);
}
static void short_arp(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_SELF);
    f->len = 41;
}
static void arp_hardware(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_SELF);
    f->b[15] = 6;
}
static void arp_protocol(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_SELF);
    f->b[16] = 9;
}
static void arp_lengths(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_SELF);
    f->b[19] = 16;
}
static void arp_opcode(struct frame *f)
{
    frame_arp(f, 3, IP_PEER, &mac_peer, IP_SELF);
}
static void arp_two_senders(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_SELF);
    f->b[27] ^= 1;
}
static void arp_multicast_sender(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_all, IP_SELF);
}
static void arp_martian_sender(struct frame *f)
{
    frame_arp(f, 1, 0x7f000001, &mac_peer, IP_SELF);
}
static void arp_reply_from_zero(struct frame *f)
{
    frame_arp(f, 2, 0, &mac_peer, IP_SELF);
}
static void arp_for_another(struct frame *f)
{
    frame_arp(f, 1, IP_PEER, &mac_peer, IP_GATE);
}
static void arp_to_other_mac(struct frame *f)
{
    frame_arp(f, 2, IP_PEER, &mac_peer, IP_SELF);
    f->b[0] ^= 4;
}

static const struct {
    void (*spoil)(struct frame *f);
    const char *counter;
} bad[] = {
    {short_ethernet, "rx_short"},
    {short_ip, "rx_short"},
    {short_ip_options, "rx_short"},
    {total_beyond_frame, "rx_short"},
    {tcp_header_cut, "rx_short"},
    {other_mac, "rx_not_ours"},
    {broadcast_mac, "rx_not_ours"},
    {multicast_mac, "rx_not_ours"},
    {other_ip, "rx_not_ours"},
    {directed_broadcast, "rx_not_ours"},
    {vlan_type, "rx_vlan"},
    {second_fragment_over_header, "rx_ip_fragment_bad"},
    {tiny_first_fragment, "rx_ip_fragment_bad"},
    {odd_first_fragment, "rx_ip_fragment_bad"},
    {fragment_beyond_64k, "rx_ip_fragment_bad"},
    {ipv6_type, "rx_ethertype"},
    {version_6, "rx_ip_header"},
    {header_of_16, "rx_ip_header"},
    {total_below_header, "rx_ip_header"},
    {source_route, "rx_ip_header"},
    {strict_source_route, "rx_ip_header"},
    {option_too_long, "rx_ip_header"},
    {option_of_length_1, "rx_ip_header"},
    {option_without_length, "rx_ip_header"},
    {ip_sum, "rx_ip_csum"},
    {from_zero, "rx_ip_martian"},
    {from_loopback, "rx_ip_martian"},
    {from_multicast, "rx_ip_martian"},
    {from_reserved, "rx_ip_martian"},
    {from_broadcast, "rx_ip_martian"},
    {from_us, "rx_ip_martian"},
    {from_net_zeros, "rx_ip_martian"},
    {from_net_ones, "rx_ip_martian"},
    {first_fragment, "rx_ip_fragment"},
    {last_fragment, "rx_ip_fragment"},
    {udp, "rx_ip_proto"},
    {tcp_sum, "rx_tcp_csum"},
    {tcp_payload_bit, "rx_tcp_csum"},
    {icmp_sum, "rx_icmp_bad"},
    {icmp_cut, "rx_icmp_bad"},
    {icmp_timestamp, "rx_icmp_other"},
    {icmp_echo_code, "rx_icmp_other"},
    {icmp_error_cut, "rx_icmp_bad"},
    {short_arp, "rx_short"},
    {arp_hardware, "rx_arp_bad"},
    {arp_protocol, "rx_arp_bad"},
    {arp_lengths, "rx_arp_bad"},
    {arp_opcode, "rx_arp_bad"},
    {arp_two_senders, "rx_arp_bad"},
    {arp_multicast_sender, "rx_arp_bad"},
    {arp_martian_sender, "rx_arp_bad"},
    {arp_reply_from_zero, "rx_arp_bad"},
    {arp_for_another, "rx_not_ours"},
    {arp_to_other_mac, "rx_not_ours"},
};

static void test_each_bad_frame_is_counted(void)
{
    static const unsigned seg_len[] = {0, 10, 40};
    struct rig rig;
    struct frame f;

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        for (unsigned s = 0; s < HG_ARRAY_LEN(seg_len); s++) {
            struct hg_counter_set set;
            uint64_t sum = 0;

            rig_open(&rig, NULL);
            frame_tcp(&f, 100);
            bad[i].spoil(&f);
            CU_ASSERT_EQUAL(rig_feed(&rig, &f, seg_len[s], NULL), 0);
            if (rig_counter(&rig, bad[i].counter) != 1)
                printf("row %u, segments of %u: %s did not fire\n", i, seg_len[s], bad[i].counter);
            CU_ASSERT_EQUAL(rig_counter(&rig, bad[i].counter), 1);
            set = hg_net_counter_set(rig.net);
            for (unsigned k = 0; k < set.n; k++)
                sum += set.value[k];
            CU_ASSERT_EQUAL(sum, 2); /* rx_packets and that one */
            hg_net_flush(rig.net);
            CU_ASSERT_EQUAL(rig.n_tx, 0);
            rig_close(&rig);
        }
    }
}

/* ---- checksums and offload marks ---- */

static void trust(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->trust_csum = true;
}

static void trusted_port(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)cfg;
    rig->port.trust_csum = true;
}

static void offload(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)cfg;
    rig->port.rx_csum = true;
}

static unsigned feed_marked(struct rig *rig, const struct frame *f, uint64_t mark)
{
    struct rte_mbuf *m = rig_mbuf(rig, f->b, f->len, 0);
    struct hg_seg seg;
    unsigned n;

    m->ol_flags |= mark;
    n = hg_net_input(rig->net, &m, 1, rig->now, &seg);
    if (n == 1)
        rte_pktmbuf_free(seg.m);
    return n;
}

static void test_trusted_links_are_not_checked(void)
{
    void (*const tweak[])(struct rig *, struct hg_net_cfg *) = {trust, trusted_port};
    struct rig rig;
    struct frame f;

    for (unsigned i = 0; i < 2; i++) {
        rig_open(&rig, tweak[i]);
        frame_tcp(&f, 100);
        f.b[24] ^= 1;
        f.b[60] ^= 1;
        CU_ASSERT_EQUAL(feed_marked(&rig, &f, 0), 1);
        rig_close(&rig);
    }
}

static void test_marks_of_the_port(void)
{
    const uint64_t ip_good = RTE_MBUF_F_RX_IP_CKSUM_GOOD, l4_good = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    struct rig rig;
    struct frame right, wrong;

    frame_tcp(&right, 100);
    wrong = right;
    wrong.b[24] ^= 1;
    wrong.b[60] ^= 1;
    rig_open(&rig, offload);
    CU_ASSERT_EQUAL(feed_marked(&rig, &wrong, ip_good | l4_good), 1);
    CU_ASSERT_EQUAL(feed_marked(&rig, &wrong, ip_good | RTE_MBUF_F_RX_L4_CKSUM_NONE), 1);
    CU_ASSERT_EQUAL(feed_marked(&rig, &right, RTE_MBUF_F_RX_IP_CKSUM_BAD | l4_good), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_csum, 1);
    CU_ASSERT_EQUAL(feed_marked(&rig, &right, ip_good | RTE_MBUF_F_RX_L4_CKSUM_BAD), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_tcp_csum, 1);
    /* Without an opinion of the port the sums are computed. */
    CU_ASSERT_EQUAL(feed_marked(&rig, &right, 0), 1);
    CU_ASSERT_EQUAL(feed_marked(&rig, &wrong, 0), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_csum, 2);
    CU_ASSERT_EQUAL(feed_marked(&rig, &wrong, ip_good), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_tcp_csum, 2);
    rig_close(&rig);
    /* A port without the offload has no opinion, whatever the marks say. */
    rig_open(&rig, NULL);
    CU_ASSERT_EQUAL(feed_marked(&rig, &wrong, ip_good | l4_good), 0);
    CU_ASSERT_EQUAL(feed_marked(&rig, &right, RTE_MBUF_F_RX_L4_CKSUM_BAD), 1);
    rig_close(&rig);
}

/* Every single flipped bit behind the Ethernet header must be caught by some check, or else be in a
 * place where it makes a different but valid packet from another sender: there is none, since the
 * checksums cover all of it. */
static void test_any_flipped_bit_is_caught(void)
{
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned payload = rnd() % 300, at;

        frame_tcp(&f, payload);
        at = 14 + rnd() % (f.len - 14);
        f.b[at] ^= (uint8_t)(1u << rnd() % 8);
        CU_ASSERT_EQUAL(rig_feed(&rig, &f, rnd() % 2 ? 0 : 11 + rnd() % 90, NULL), 0);
    }
    rig_close(&rig);
}

/* ---- creation ---- */

static void test_create_refuses(void)
{
    struct rig rig;
    struct hg_err err;
    struct hg_net *net;
    struct hg_net_cfg good, cfg;

    rig_open(&rig, NULL);
    good = (struct hg_net_cfg){.port = &rig.port,
                               .pool = rig.pool,
                               .addrs = {{hg_ip_from_v4(IP_SELF), 24}},
                               .n_addrs = 1,
                               .gateway4 = hg_ip_from_v4(IP_GATE)};
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        cfg = good;                                                                                \
        err.text[0] = '\0';                                                                        \
        change;                                                                                    \
        CU_ASSERT_TRUE(hg_net_create(&cfg, 0, &net, &err) < 0);                                    \
        CU_ASSERT_TRUE(strlen(err.text) > 20);                                                     \
    } while (0)
    REFUSED(cfg.addrs[0].ip = (struct hg_ip){0});
    REFUSED(cfg.addrs[0].ip = hg_ip_from_v4(0x7f000001));
    REFUSED(cfg.addrs[0].ip = hg_ip_from_v4(0xe0000001));
    REFUSED(cfg.addrs[0].ip = hg_ip_from_v4(0xc0000200));
    REFUSED(cfg.addrs[0].ip = hg_ip_from_v4(0xc00002ff));
    REFUSED(cfg.addrs[0].len = 0);
    REFUSED(cfg.addrs[0].len = 33);
    REFUSED(cfg.gateway4 = hg_ip_from_v4(IP_FAR));
    REFUSED(cfg.gateway4 = cfg.addrs[0].ip);
    REFUSED(cfg.gateway4 = hg_ip_from_v4(0xc00002ff));
    REFUSED(cfg.queue = 1);
    REFUSED(cfg.neighbours_max = 1000000);
    cfg = good;
    cfg.gateway4 = (struct hg_ip){0};
    cfg.addrs[0].len = 31;
    cfg.addrs[0].ip = hg_ip_from_v4(0xc0000200);
    CU_ASSERT_EQUAL_FATAL(hg_net_create(&cfg, 0, &net, &err), 0);
    hg_net_destroy(net);
    cfg = good;
    cfg.addrs[0].len = 32;
    CU_ASSERT_EQUAL_FATAL(hg_net_create(&cfg, 0, &net, &err), 0);
    hg_net_destroy(net);
    hg_net_destroy(NULL);
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1; /* the generator's fixed point */
    printf("seed %lu\n", seed);
    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_input", NULL, NULL);
    if (suite == NULL ||
        !CU_add_test(suite, "TCP in any segmentation", test_tcp_in_any_segmentation) ||
        !CU_add_test(suite, "headers without room", test_headers_without_room) ||
        !CU_add_test(suite, "padding is cut", test_padding_is_cut) ||
        !CU_add_test(suite, "options are skipped", test_options_are_skipped) ||
        !CU_add_test(suite, "ECN bits", test_ecn_bits) ||
        !CU_add_test(suite, "burst is dense", test_burst_is_dense) ||
        !CU_add_test(suite, "each bad frame is counted", test_each_bad_frame_is_counted) ||
        !CU_add_test(suite, "trusted links", test_trusted_links_are_not_checked) ||
        !CU_add_test(suite, "marks of the port", test_marks_of_the_port) ||
        !CU_add_test(suite, "any flipped bit is caught", test_any_flipped_bit_is_caught) ||
        !CU_add_test(suite, "create refuses", test_create_refuses))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
