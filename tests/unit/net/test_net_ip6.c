/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv6: what is handed to TCP and what is made of its segments, extension headers, ICMPv6 echo and
 * errors, and that each bad packet ends in its counter.
 */
#include "rig6.h"
#include <stdio.h>
#include <string.h>

static void test_tcp_input(void)
{
    static const unsigned seg_len[] = {0, 1, 40, 60};
    struct hg_ip self = ip_of(SELF6), peer = ip_of(PEER6);
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig6_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(seg_len); i++) {
        frame6_tcp(&f, 100);
        f.b[15] |= 0x30; /* traffic class: ECT and CE */
        f.len += 7;      /* padding */
        CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, seg_len[i], &seg), 1);
        CU_ASSERT_EQUAL(seg.kind, HG_SEG_TCP);
        CU_ASSERT_TRUE(hg_ip_equal(&seg.flow.local, &self));
        CU_ASSERT_TRUE(hg_ip_equal(&seg.flow.remote, &peer));
        CU_ASSERT_EQUAL(seg.flow.lport, 1500);
        CU_ASSERT_EQUAL(seg.flow.rport, 40000);
        CU_ASSERT_EQUAL(seg.ecn, 3);
        CU_ASSERT_EQUAL(seg.m->pkt_len, 120);
        CU_ASSERT(seg.m->data_len >= 60);
        CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(seg.m, void *), f.b + L4, 60), 0);
        rte_pktmbuf_free(seg.m);
    }
    rig_close(&rig);
}

/* ---- output ---- */

static void emit(struct rig *rig, const char *to, unsigned payload, uint8_t ecn)
{
    uint8_t tcp[20 + 1500] = {[12] = 0x50};
    struct hg_flow flow = {
        .local = ip_of(SELF6), .remote = ip_of(to), .lport = 1500, .rport = 40000};

    for (unsigned i = 0; i < payload; i++)
        tcp[20 + i] = (uint8_t)(i * 11);
    hg_net_emit(rig->net, rig_mbuf(rig, tcp, 20 + payload, 77),
                &(struct hg_tx){.flow = &flow, .ecn = ecn}, rig->now);
}

static void know(struct rig *rig, const char *ip, const struct rte_ether_addr *mac)
{
    struct hg_ip addr = ip_of(ip);

    hg_net_learn(rig->net, &addr, mac, rig->now);
}

static void test_tcp_output(void)
{
    static const unsigned payload[] = {0, 1, 100, 1439, 1440};
    struct rig rig;
    struct frame f;
    uint32_t label = 0;

    rig6_open(&rig, NULL);
    know(&rig, PEER6, &mac_peer);
    know(&rig, GATE6, &mac_gate);
    for (unsigned i = 0; i < HG_ARRAY_LEN(payload); i++) {
        emit(&rig, PEER6, payload[i], i % 4 == 0 ? 2 : 0);
        rig_sent(&rig, 0, &f);
        CU_ASSERT_EQUAL(f.len, 74 + payload[i]);
        CU_ASSERT_EQUAL(memcmp(f.b, &mac_peer, 6), 0);
        CU_ASSERT_EQUAL(get16(f.b + 12), 0x86dd);
        CU_ASSERT_EQUAL(get32(f.b + 14) >> 20, i % 4 == 0 ? 0x602u : 0x600u);
        label = i == 0 ? get32(f.b + 14) & 0xfffff : label;
        CU_ASSERT_EQUAL(get32(f.b + 14) & 0xfffff, label); /* one flow, one label */
        CU_ASSERT_EQUAL(get16(f.b + 18), 20 + payload[i]);
        CU_ASSERT_EQUAL(f.b[20], 6);
        CU_ASSERT_EQUAL(f.b[21], 64);
        CU_ASSERT_TRUE(is_ip(f.b + 22, SELF6));
        CU_ASSERT_TRUE(is_ip(f.b + 38, PEER6));
        CU_ASSERT_EQUAL(plain_sum6(f.b + 14), 0);
        rig_forget_tx(&rig);
    }
    CU_ASSERT_NOT_EQUAL(label, 0);
    emit(&rig, FAR6, 1, 0);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(memcmp(f.b, &mac_gate, 6), 0);
    CU_ASSERT_NOT_EQUAL(get32(f.b + 14) & 0xfffff, label);
    rig_close(&rig);
}

static void offload(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)cfg;
    rig->port.tx_ip_csum = rig->port.tx_tcp_csum = true;
}

static void test_checksum_offload(void)
{
    struct rig rig;
    struct frame f;

    rig6_open(&rig, offload);
    know(&rig, PEER6, &mac_peer);
    emit(&rig, PEER6, 10, 0);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(rig.tx[0]->ol_flags, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM);
    CU_ASSERT_EQUAL(rig.tx[0]->l2_len, 14);
    CU_ASSERT_EQUAL(rig.tx[0]->l3_len, 40);
    CU_ASSERT_EQUAL(rig.tx[0]->l4_len, 20);
    rig_close(&rig);
}

/* ---- what is refused ---- */

static void set_src(struct frame *f, const char *src)
{
    struct hg_ip ip = ip_of(src);

    memcpy(f->b + 22, ip.b, 16);
    frame6_sum(f, L4, 6);
}

static void version_4(struct frame *f)
{
    f->b[14] = 0x45;
}
static void beyond_frame(struct frame *f)
{
    put16(f->b + 18, 121);
}
static void no_header(struct frame *f)
{
    f->len = 53;
}
static void other_address(struct frame *f)
{
    f->b[53] = 3;
}
static void other_group(struct frame *f)
{
    frame6(f, PEER6, "ff02::1:ff00:3", 58, 24);
}
static void tcp_to_group(struct frame *f)
{
    frame6(f, PEER6, ALL6, 6, 20);
}
static void from_group(struct frame *f)
{
    set_src(f, "ff02::9");
}
static void from_nobody(struct frame *f)
{
    set_src(f, "::");
}
static void from_loopback(struct frame *f)
{
    set_src(f, "::1");
}
static void from_mapped(struct frame *f)
{
    set_src(f, "192.0.2.9");
}
static void from_us(struct frame *f)
{
    set_src(f, SELF6);
}
static void bad_tcp_sum(struct frame *f)
{
    f->b[100] ^= 1;
}
static void bad_icmp_sum(struct frame *f)
{
    frame6_icmp(f, (const char *[2]){PEER6, SELF6}, (uint8_t[2]){128, 0}, f->b + 200, 40);
    f->b[80] ^= 1;
}
static void no_next_header(struct frame *f)
{
    f->b[20] = 59;
}
static void options_too_long(struct frame *f)
{
    frame6_insert(f, 60, (uint8_t[8]){0, 0, 5, 5}, 8);
}
static void options_beyond_packet(struct frame *f)
{
    frame6_insert(f, 60, (uint8_t[8]){0, 100}, 8);
}
static void option_to_discard(struct frame *f)
{
    frame6_insert(f, 60, (uint8_t[8]){0, 0, 0x41, 4}, 8);
}
static void hop_by_hop_late(struct frame *f)
{
    frame6_insert(f, 0, (uint8_t[8]){0, 0, 1, 4}, 8);
    frame6_insert(f, 60, (uint8_t[8]){0, 0, 1, 4}, 8);
}
static void many_extensions(struct frame *f)
{
    for (unsigned i = 0; i < 9; i++)
        frame6_insert(f, 60, (uint8_t[8]){0, 0, 1, 4}, 8);
}
static void redirect(struct frame *f)
{
    frame6_icmp(f, (const char *[2]){LINK6, SELF6}, (uint8_t[2]){137, 0}, f->b + 200, 36);
}
static void nd_from_afar(struct frame *f)
{
    frame6_nd(f, &(struct nd){.type = 135, .src = PEER6, .dst = SELF_GROUP6, .target = SELF6});
    f->b[21] = 254;
}
static void nd_with_code(struct frame *f)
{
    frame6_nd(f, &(struct nd){.type = 135, .src = PEER6, .dst = SELF_GROUP6, .target = SELF6});
    f->b[L4 + 1] = 1;
    frame6_sum(f, L4, 58);
}
static void nd_option_of_zero(struct frame *f)
{
    frame6_nd(f, &(struct nd){135, 0, 1, PEER6, SELF_GROUP6, SELF6, &mac_peer});
    f->b[L4 + 25] = 0;
    frame6_sum(f, L4, 58);
}
static void nd_cut(struct frame *f)
{
    frame6_icmp(f, (const char *[2]){PEER6, SELF6}, (uint8_t[2]){135, 0}, f->b + 200, 19);
}
static void nd_target_group(struct frame *f)
{
    frame6_nd(f, &(struct nd){.type = 135, .src = PEER6, .dst = SELF6, .target = ALL6});
}
static void probe_to_unicast_group(struct frame *f)
{
    frame6_nd(f, &(struct nd){.type = 135, .src = "::", .dst = ALL6, .target = SELF6});
}
static void probe_with_mac(struct frame *f)
{
    frame6_nd(f, &(struct nd){135, 0, 1, "::", SELF_GROUP6, SELF6, &mac_peer});
}
static void solicited_to_group(struct frame *f)
{
    frame6_nd(f, &(struct nd){136, 0x40, 2, PEER6, ALL6, PEER6, &mac_peer});
}
static void ra_from_afar(struct frame *f)
{
    frame6_icmp(f, (const char *[2]){PEER6, ALL6}, (uint8_t[2]){134, 0}, f->b + 200, 12);
}
static void ra_unwanted(struct frame *f)
{
    frame6_icmp(f, (const char *[2]){LINK6, ALL6}, (uint8_t[2]){134, 0}, f->b + 200, 12);
}
static void tiny_fragment(struct frame *f)
{
    f->len = L4 + 16;
    put16(f->b + 18, 16);
    frame6_insert(f, 44, (uint8_t[8]){0, 0, 0, 1}, 8);
}
static void odd_fragment(struct frame *f)
{
    f->len = L4 + 33;
    put16(f->b + 18, 33);
    frame6_insert(f, 44, (uint8_t[8]){0, 0, 0, 1}, 8);
}
static void fragment_beyond_64k(struct frame *f)
{
    frame6_insert(f, 44, (uint8_t[8]){0, 0, 0xff, 0xf8}, 8);
}
static void fragment_in_fragment(struct frame *f)
{
    frame6_insert(f, 44, (uint8_t[8]){0}, 8);
    frame6_insert(f, 44, (uint8_t[8]){0}, 8);
}

static const struct {
    void (*spoil)(struct frame *f);
    const char *counter;
} bad[] = {
    {version_4, "rx_ip_header"},
    {beyond_frame, "rx_short"},
    {no_header, "rx_short"},
    {other_address, "rx_not_ours"},
    {other_group, "rx_not_ours"},
    {tcp_to_group, "rx_not_ours"},
    {from_group, "rx_ip_martian"},
    {from_nobody, "rx_ip_martian"},
    {from_loopback, "rx_ip_martian"},
    {from_mapped, "rx_ip_martian"},
    {from_us, "rx_ip_martian"},
    {bad_tcp_sum, "rx_tcp_csum"},
    {bad_icmp_sum, "rx_icmp_bad"},
    {no_next_header, "rx_ip_proto"},
    {options_too_long, "rx_ip6_option"},
    {options_beyond_packet, "rx_short"},
    {option_to_discard, "rx_ip6_option"},
    {many_extensions, "rx_ip6_option"},
    {redirect, "rx_nd_redirect"},
    {nd_from_afar, "rx_nd_bad"},
    {nd_with_code, "rx_nd_bad"},
    {nd_option_of_zero, "rx_nd_bad"},
    {nd_cut, "rx_nd_bad"},
    {nd_target_group, "rx_nd_bad"},
    {probe_to_unicast_group, "rx_nd_bad"},
    {probe_with_mac, "rx_nd_bad"},
    {solicited_to_group, "rx_nd_bad"},
    {ra_from_afar, "rx_nd_bad"},
    {ra_unwanted, "rx_nd_router_ignored"},
    {tiny_fragment, "rx_ip_fragment_bad"},
    {odd_fragment, "rx_ip_fragment_bad"},
    {fragment_beyond_64k, "rx_ip_fragment_bad"},
};

static void test_each_bad_packet_is_counted(void)
{
    static const unsigned seg_len[] = {0, 10, 60};
    struct rig rig;
    struct frame f;

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        for (unsigned s = 0; s < HG_ARRAY_LEN(seg_len); s++) {
            struct hg_counter_set set;
            uint64_t sum = 0;

            rig6_open(&rig, NULL);
            frame6_tcp(&f, 100);
            bad[i].spoil(&f);
            CU_ASSERT_EQUAL(rig_feed(&rig, &f, seg_len[s], NULL), 0);
            if (rig_counter(&rig, bad[i].counter) != 1)
                printf("row %u: %s did not fire\n", i, bad[i].counter);
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

/* ---- extension headers ---- */

static void test_known_extensions_are_passed_over(void)
{
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig6_open(&rig, NULL);
    frame6_tcp(&f, 100);
    frame6_insert(&f, 44, (uint8_t[8]){0, 0, 0, 0, 1, 2, 3, 4}, 8); /* atomic: RFC 6946 */
    frame6_insert(&f, 43, (uint8_t[8]){0, 0, 4, 0}, 8);             /* nothing left to visit */
    frame6_insert(&f, 60, (uint8_t[8]){0, 0, 0x1e, 4}, 8);          /* an option to be skipped */
    frame6_insert(&f, 0, (uint8_t[8]){0, 0, 5, 2, 0, 0, 0, 0}, 8);  /* router alert, two Pad1 */
    CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 50, &seg), 1);
    CU_ASSERT_EQUAL(seg.m->pkt_len, 120);
    CU_ASSERT(seg.m->data_len >= 60);
    CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(seg.m, void *), f.b + L4 + 32, 60), 0);
    rte_pktmbuf_free(seg.m);
    rig_close(&rig);
}

static void make_parameter_problem(struct rig *rig, void (*spoil)(struct frame *f),
                                   const uint8_t want[2])
{
    struct frame f, out;

    frame6_tcp(&f, 100);
    spoil(&f);
    CU_ASSERT_EQUAL(rig_feed(rig, &f, 0, NULL), 0);
    hg_net_flush(rig->net);
    CU_ASSERT_EQUAL_FATAL(rig->n_tx, 1);
    rig_sent(rig, 0, &out);
    CU_ASSERT_EQUAL(memcmp(out.b, &mac_peer, 6), 0);
    CU_ASSERT_TRUE(is_ip(out.b + 22, SELF6));
    CU_ASSERT_TRUE(is_ip(out.b + 38, PEER6));
    CU_ASSERT_EQUAL(out.b[L4], 4);
    CU_ASSERT_EQUAL(out.b[L4 + 1], want[0]);
    CU_ASSERT_EQUAL(get32(out.b + L4 + 4), want[1]);
    CU_ASSERT_EQUAL(memcmp(out.b + L4 + 8, f.b + 14, f.len - 14), 0);
    CU_ASSERT_EQUAL(plain_sum6(out.b + 14), 0);
    rig_forget_tx(rig);
}

static void routing_type_0(struct frame *f)
{
    frame6_insert(f, 43, (uint8_t[24]){0, 2, 0, 1}, 24);
}
static void unknown_protocol(struct frame *f)
{
    f->b[20] = 99;
}
static void option_to_report(struct frame *f)
{
    frame6_insert(f, 60, (uint8_t[8]){0, 0, 1, 0, 0xc2, 2}, 8);
}

/* RFC 8200 4, RFC 5095, RFC 4443 3.4. */
static void test_what_is_not_understood_is_reported(void)
{
    struct rig rig;

    rig6_open(&rig, NULL);
    make_parameter_problem(&rig, routing_type_0, (uint8_t[2]){0, 42});
    make_parameter_problem(&rig, unknown_protocol, (uint8_t[2]){1, 6});
    make_parameter_problem(&rig, option_to_report, (uint8_t[2]){2, 44});
    make_parameter_problem(&rig, hop_by_hop_late, (uint8_t[2]){1, 40});
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip6_routing, 1);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_proto, 1);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip6_option, 2);
    rig_close(&rig);
}

static void test_reports_have_a_rate(void)
{
    struct rig rig;
    struct frame f;

    rig6_open(&rig, NULL);
    frame6_tcp(&f, 100);
    unknown_protocol(&f);
    for (unsigned i = 0; i < 100; i++)
        rig_feed(&rig, &f, 0, NULL);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_icmp_error, 10);
    rig.now += HG_SEC(1);
    for (unsigned i = 0; i < 100; i++)
        rig_feed(&rig, &f, 0, NULL);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_icmp_error, 20);
    rig_close(&rig);
}

/* A chain of fragment headers must not lead into ever deeper calls. */
static void test_fragments_do_not_nest(void)
{
    struct rig rig;
    struct frame f;

    rig6_open(&rig, NULL);
    frame6_tcp(&f, 100);
    fragment_in_fragment(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip6_option, 1);
    rig_close(&rig);
}

/* ---- ICMPv6 ---- */

static void test_echo(void)
{
    static const char *const to[] = {SELF6, ALL6, SELF_GROUP6};
    uint8_t body[104] = {0x12, 0x34, 0, 7};
    struct rig rig;
    struct frame f, out;

    rig6_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(to); i++) {
        frame6_icmp(&f, (const char *[2]){PEER6, to[i]}, (uint8_t[2]){128, 0}, body, sizeof body);
        rig_feed(&rig, &f, i * 30, NULL);
        rig_sent(&rig, 0, &out);
        CU_ASSERT_EQUAL(out.len, f.len);
        CU_ASSERT_EQUAL(memcmp(out.b, &mac_peer, 6), 0);
        CU_ASSERT_TRUE(is_ip(out.b + 22, SELF6));
        CU_ASSERT_TRUE(is_ip(out.b + 38, PEER6));
        CU_ASSERT_EQUAL(out.b[L4], 129);
        CU_ASSERT_EQUAL(memcmp(out.b + L4 + 4, body, sizeof body), 0);
        CU_ASSERT_EQUAL(plain_sum6(out.b + 14), 0);
        rig_forget_tx(&rig);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_echo, 3);
    rig_close(&rig);
}

/* An error that quotes a TCP segment of ours with payload of `quoted` bytes. */
static unsigned feed_error(struct rig *rig, const uint8_t type_code[2], uint32_t rest,
                           struct hg_seg *seg)
{
    struct frame f, quoted;
    uint8_t body[4 + 60];

    frame6(&quoted, SELF6, FAR6, 6, 1460);
    put16(quoted.b + L4, 1500);
    put16(quoted.b + L4 + 2, 40000);
    put32(quoted.b + L4 + 4, 0x11223344);
    put32(body, rest);
    memcpy(body + 4, quoted.b + 14, 60);
    frame6_icmp(&f, (const char *[2]){GATE6, SELF6}, type_code, body, sizeof body);
    return rig_feed(rig, &f, 0, seg);
}

static void test_errors_go_to_tcp(void)
{
    static const uint8_t code[][2] = {{0, 0}, {1, 13}, {3, 1}, {4, 3}, {9, 0}};
    struct hg_ip self = ip_of(SELF6), remote = ip_of(FAR6);
    struct rig rig;
    struct hg_seg seg;

    rig6_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(code); i++) {
        CU_ASSERT_EQUAL_FATAL(feed_error(&rig, (uint8_t[2]){1, code[i][0]}, 0, &seg), 1);
        CU_ASSERT_EQUAL(seg.kind, HG_SEG_UNREACHABLE);
        CU_ASSERT_EQUAL(seg.icmp_code, code[i][1]); /* as RFC 792 numbers them */
        CU_ASSERT_PTR_NULL(seg.m);
        CU_ASSERT_EQUAL(seg.quoted_seq, 0x11223344);
        CU_ASSERT_EQUAL(seg.flow.lport, 1500);
        CU_ASSERT_EQUAL(seg.flow.rport, 40000);
        CU_ASSERT_TRUE(hg_ip_equal(&seg.flow.local, &self));
        CU_ASSERT_TRUE(hg_ip_equal(&seg.flow.remote, &remote));
    }
    CU_ASSERT_EQUAL_FATAL(feed_error(&rig, (uint8_t[2]){2, 0}, 1280, &seg), 1);
    CU_ASSERT_EQUAL(seg.kind, HG_SEG_TOO_BIG);
    CU_ASSERT_EQUAL(seg.mtu, 1280);
    /* RFC 8201 4: below the minimum MTU it is discarded; and it must have been too big. */
    CU_ASSERT_EQUAL(feed_error(&rig, (uint8_t[2]){2, 0}, 1279, &seg), 0);
    CU_ASSERT_EQUAL(feed_error(&rig, (uint8_t[2]){2, 0}, 0x10500, &seg), 0);
    CU_ASSERT_EQUAL(feed_error(&rig, (uint8_t[2]){2, 0}, 1500, &seg), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_bad, 3);
    CU_ASSERT_EQUAL(feed_error(&rig, (uint8_t[2]){3, 0}, 0, &seg), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_other, 1);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_ip6", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "TCP input", test_tcp_input) ||
        !CU_add_test(suite, "TCP output", test_tcp_output) ||
        !CU_add_test(suite, "checksum offload", test_checksum_offload) ||
        !CU_add_test(suite, "each bad packet is counted", test_each_bad_packet_is_counted) ||
        !CU_add_test(suite, "known extensions are passed over",
                     test_known_extensions_are_passed_over) ||
        !CU_add_test(suite, "what is not understood is reported",
                     test_what_is_not_understood_is_reported) ||
        !CU_add_test(suite, "reports have a rate", test_reports_have_a_rate) ||
        !CU_add_test(suite, "fragments do not nest", test_fragments_do_not_nest) ||
        !CU_add_test(suite, "echo", test_echo) ||
        !CU_add_test(suite, "errors go to TCP", test_errors_go_to_tcp))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
