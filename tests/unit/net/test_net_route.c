/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several addresses, routes, source addresses and VLAN tags: which neighbour a packet goes to, from
 * where, and which configurations are refused.
 */
#include "rig6.h"
#include <stdio.h>
#include <string.h>

static void emit(struct rig *rig, const char *from, const char *to)
{
    static const uint8_t tcp[20] = {[12] = 0x50};
    struct hg_flow flow = {.local = ip_of(from), .remote = ip_of(to), .lport = 1500, .rport = 9};

    hg_net_emit(rig->net, rig_mbuf(rig, tcp, sizeof tcp, 0), &(struct hg_tx){.flow = &flow},
                rig->now);
}

/* The address that a packet makes us ask for, as the last byte; 0 when nobody is asked. */
static unsigned next_hop(struct rig *rig, const char *from, const char *to)
{
    struct frame f;
    unsigned last = 0;

    emit(rig, from, to);
    hg_net_flush(rig->net);
    for (unsigned i = 0; i < rig->n_tx; i++) {
        rig_sent(rig, i, &f);
        last = get16(f.b + 12) == 0x0806 ? f.b[41] : f.b[L4 + 23];
    }
    rig_forget_tx(rig);
    return last;
}

static void many(struct rig *rig, struct hg_net_cfg *cfg)
{
    static const char *const addrs[] = {"192.0.2.2/24", "198.51.100.2/25", "203.0.113.2/32",
                                        "2001:db8::2/64", "2001:db8:7::2/64"};
    static const struct {
        const char *to;
        const char *via;
    } routes[] = {
        {"10.0.0.0/8", "192.0.2.11"},
        {"10.1.0.0/16", "192.0.2.12"},
        {"10.1.2.3/32", "198.51.100.13"},
        {"2001:db8:a000::/36", "2001:db8::21"},
        {"2001:db8:a100::/40", "2001:db8:7::22"},
    };

    (void)rig;
    cfg->n_addrs = cfg->n_routes = HG_ARRAY_LEN(addrs);
    for (unsigned i = 0; i < HG_ARRAY_LEN(addrs); i++)
        hg_ip_parse_prefix(addrs[i], &cfg->addrs[i].ip, &cfg->addrs[i].len);
    for (unsigned i = 0; i < HG_ARRAY_LEN(routes); i++) {
        hg_ip_parse_prefix(routes[i].to, &cfg->routes[i].to.ip, &cfg->routes[i].to.len);
        cfg->routes[i].via = ip_of(routes[i].via);
    }
}

static void test_longest_prefix_wins(void)
{
    static const struct {
        const char *to;
        unsigned hop;
    } row[] = {
        {"192.0.2.77", 77}, {"198.51.100.99", 99}, {"198.51.100.200", 254}, {"10.9.9.9", 11},
        {"10.1.9.9", 12},   {"10.1.2.3", 13},      {"203.0.113.9", 254},
    };
    static const struct {
        const char *to;
        unsigned hop;
    } row6[] = {
        {"2001:db8::77", 0x77},     {"2001:db8:7::78", 0x78},   {"2001:db8:a000::1", 0x21},
        {"2001:db8:a1ff::1", 0x22}, {"2001:db8:b000::1", 0xfe},
    };
    struct rig rig;

    rig6_open(&rig, many);
    rig_pass(&rig, HG_SEC(10));
    rig_forget_tx(&rig);
    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        CU_ASSERT_EQUAL(next_hop(&rig, "192.0.2.2", row[i].to), row[i].hop);
        rig_pass(&rig, HG_SEC(20)); /* so that each is asked for anew */
        rig_forget_tx(&rig);
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(row6); i++) {
        CU_ASSERT_EQUAL(next_hop(&rig, SELF6, row6[i].to), row6[i].hop);
        rig_pass(&rig, HG_SEC(20));
        rig_forget_tx(&rig);
    }
    rig_close(&rig);
}

static void test_source_addresses(void)
{
    static const char *const row[][2] = {
        {"192.0.2.9", "192.0.2.2"},
        {"198.51.100.9", "198.51.100.2"},
        {"10.1.2.3", "198.51.100.2"},
        {"10.9.9.9", "192.0.2.2"},
        {"2001:db8::9", "2001:db8::2"},
        {"2001:db8:7::9", "2001:db8:7::2"},
        {"2001:db8:a1ff::1", "2001:db8:7::2"},
        {"fe80::9", SELF_LINK6},
    };
    char text[HG_IP_STRLEN];
    struct rig rig;

    rig6_open(&rig, many);
    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        struct hg_ip to = ip_of(row[i][0]), from;

        CU_ASSERT_EQUAL_FATAL(hg_net_source(rig.net, &to, &from), 0);
        CU_ASSERT_STRING_EQUAL(hg_ip_str(&from, text), row[i][1]);
    }
    rig_close(&rig);
    {
        struct hg_ip to = ip_of(PEER6), from;

        rig_open(&rig, NULL); /* IPv4 only */
        CU_ASSERT(hg_net_source(rig.net, &to, &from) < 0);
        rig_close(&rig);
    }
}

static void test_each_address_is_ours(void)
{
    static const uint32_t to[] = {0xc0000202, 0xc6336402, 0xcb007102};
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig6_open(&rig, many);
    for (unsigned i = 0; i < HG_ARRAY_LEN(to); i++) {
        frame_tcp(&f, 10);
        put32(f.b + 30, to[i]);
        frame_sums(&f);
        CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 0, &seg), 1);
        CU_ASSERT_EQUAL(hg_ip_to_v4(&seg.flow.local), to[i]);
        rte_pktmbuf_free(seg.m);
        /* None of them can be a source of what we receive, nor can a broadcast of their networks. */
        frame_tcp(&f, 10);
        put32(f.b + 26, to[i]);
        frame_sums(&f);
        CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
        frame_arp(&f, 1, IP_PEER, &mac_peer, to[i]);
        rig_feed(&rig, &f, 0, NULL);
    }
    frame_tcp(&f, 10);
    put32(f.b + 26, 0xc633647f); /* 198.51.100.127: broadcast of /25 */
    frame_sums(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_martian, 4);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_request, 3);
    rig_close(&rig);
}

static void test_from_what_is_not_ours(void)
{
    struct rig rig;

    rig6_open(&rig, NULL);
    emit(&rig, "2001:db8::3", PEER6);
    emit(&rig, "192.0.2.3", "192.0.2.9");
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_source, 2);
    emit(&rig, SELF6, "ff02::1");
    emit(&rig, SELF6, SELF6);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_route, 2);
    rig_close(&rig);
}

/* ---- VLAN ---- */

static void vlan_7(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->vlan = 7;
}

static void tag(struct frame *f, unsigned tci)
{
    memmove(f->b + 16, f->b + 12, f->len - 12);
    put16(f->b + 12, 0x8100);
    put16(f->b + 14, tci);
    f->len += 4;
}

static unsigned feed_tagged(struct rig *rig, int tci, struct hg_seg *seg)
{
    struct frame f;

    frame6_tcp(&f, 100);
    if (tci >= 0)
        tag(&f, (unsigned)tci);
    return rig_feed(rig, &f, 0, seg);
}

static void test_vlan_input(void)
{
    struct rig rig;
    struct hg_seg seg;

    rig6_open(&rig, vlan_7);
    CU_ASSERT_EQUAL(feed_tagged(&rig, -1, &seg), 0);
    CU_ASSERT_EQUAL(feed_tagged(&rig, 8, &seg), 0);
    CU_ASSERT_EQUAL(feed_tagged(&rig, 0, &seg), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_vlan, 3);
    CU_ASSERT_EQUAL_FATAL(feed_tagged(&rig, 0xe007, &seg), 1); /* priority bits do not matter */
    CU_ASSERT_EQUAL(seg.m->pkt_len, 120);
    rte_pktmbuf_free(seg.m);
    rig_close(&rig);
    rig6_open(&rig, NULL);
    CU_ASSERT_EQUAL(feed_tagged(&rig, 7, &seg), 0);
    CU_ASSERT_EQUAL_FATAL(feed_tagged(&rig, 0x6000, &seg), 1); /* priority only: IEEE 802.1Q 9.6 */
    rte_pktmbuf_free(seg.m);
    rig_close(&rig);
}

static void test_vlan_stripped_by_the_port(void)
{
    struct rig rig;
    struct frame f;

    rig6_open(&rig, vlan_7);
    for (unsigned id = 6; id < 9; id++) {
        struct rte_mbuf *m;
        struct hg_seg seg;

        frame6_tcp(&f, 100);
        m = rig_mbuf(&rig, f.b, f.len, 0);
        m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
        m->vlan_tci = (uint16_t)id;
        CU_ASSERT_EQUAL(hg_net_input(rig.net, &m, 1, rig.now, &seg), id == 7);
        if (id == 7)
            rte_pktmbuf_free(seg.m);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_vlan, 2);
    rig_close(&rig);
}

static void test_vlan_output(void)
{
    struct hg_ip peer = ip_of(PEER6);
    struct rig rig;
    struct frame f;

    rig6_open(&rig, vlan_7);
    hg_net_learn(rig.net, &peer, &mac_peer, rig.now);
    emit(&rig, SELF6, PEER6);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(f.len, 14 + 4 + 40 + 20);
    CU_ASSERT_EQUAL(get32(f.b + 12), 0x81000007);
    CU_ASSERT_EQUAL(get16(f.b + 16), 0x86dd);
    CU_ASSERT_EQUAL(plain_sum6(f.b + 18), 0);
    rig_forget_tx(&rig);
    /* Answers carry it too. */
    frame_icmp(&f, 8, 0, 56);
    tag(&f, 7);
    rig_feed(&rig, &f, 0, NULL);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(get32(f.b + 12), 0x81000007);
    CU_ASSERT_EQUAL(f.b[38], 0);
    rig_forget_tx(&rig);
    frame_arp(&f, 1, IP_PEER, &mac_peer, IP_SELF);
    tag(&f, 7);
    rig_feed(&rig, &f, 0, NULL);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(get32(f.b + 12), 0x81000007);
    CU_ASSERT_EQUAL(get16(f.b + 16), 0x0806);
    rig_close(&rig);
}

static void vlan_offload(struct rig *rig, struct hg_net_cfg *cfg)
{
    cfg->vlan = 7;
    rig->port.tx_tcp_csum = true;
}

/* The port finds the headers behind the tag. */
static void test_vlan_offload(void)
{
    struct hg_ip peer = ip_of(PEER6);
    struct rig rig;

    rig6_open(&rig, vlan_offload);
    hg_net_learn(rig.net, &peer, &mac_peer, rig.now);
    emit(&rig, SELF6, PEER6);
    hg_net_flush(rig.net);
    CU_ASSERT_EQUAL_FATAL(rig.n_tx, 1);
    CU_ASSERT_EQUAL(rig.tx[0]->l2_len, 18);
    CU_ASSERT_EQUAL(rig.tx[0]->l3_len, 40);
    rig_close(&rig);
}

/* ---- configuration ---- */

static int try(struct rig *rig, const struct hg_net_cfg *cfg, const char *want)
{
    struct hg_net *net = NULL;
    struct hg_err err = {""};
    int ret = hg_net_create(cfg, rig->now, &net, &err);

    hg_net_destroy(net);
    if (want != NULL && strstr(err.text, want) == NULL)
        printf("said: %s\n", err.text);
    CU_ASSERT(want == NULL || strstr(err.text, want) != NULL);
    return ret;
}

#define REFUSED(change, want)                                                                      \
    do {                                                                                           \
        cfg = good;                                                                                \
        change;                                                                                    \
        CU_ASSERT(try(&rig, &cfg, want) < 0);                                                      \
    } while (0)

static void test_bad_configurations_are_refused(void)
{
    struct rig rig;
    struct hg_net_cfg good, cfg;

    rig6_open(&rig, NULL);
    good = (struct hg_net_cfg){.port = &rig.port,
                               .pool = rig.pool,
                               .addrs = {{ip_of("192.0.2.2"), 24}, {ip_of(SELF6), 64}},
                               .n_addrs = 2,
                               .gateway6 = ip_of(GATE6),
                               .routes = {{{ip_of("10.0.0.0"), 8}, ip_of("192.0.2.7")}},
                               .n_routes = 1};
    CU_ASSERT_EQUAL(try(&rig, &good, NULL), 0);
    REFUSED(cfg.n_addrs = 0, "1 to 16 addresses");
    REFUSED(cfg.n_addrs = 17, "1 to 16 addresses");
    REFUSED(cfg.n_routes = 33, "at most 32 routes");
    REFUSED(cfg.addrs[1].len = 0, "prefix of 1 to 128");
    REFUSED(cfg.addrs[1].len = 129, "prefix of 1 to 128");
    REFUSED(cfg.addrs[1].ip = ip_of("::1"), "not an address a host can have");
    REFUSED(cfg.addrs[1].ip = ip_of("ff02::1"), "not an address a host can have");
    REFUSED(cfg.addrs[1].ip = ip_of("fe80::1"), "made from the MAC");
    REFUSED(cfg.addrs[1] = cfg.addrs[0], "given twice");
    REFUSED(cfg.gateway6 = ip_of(FAR6), "not a host of the local network");
    REFUSED(cfg.gateway6 = ip_of(SELF6), "not a host of the local network");
    REFUSED(cfg.routes[0].via = ip_of("192.0.3.7"), "not a host of the local network");
    REFUSED(cfg.routes[0].via = ip_of(PEER6), "one family");
    REFUSED(cfg.routes[0].to.len = 33, "prefix is too long");
    REFUSED(cfg.vlan = 4095, "1 to 4094");
    cfg = good;
    cfg.gateway6 = ip_of("fe80::1"); /* link-local routers are the usual ones */
    CU_ASSERT_EQUAL(try(&rig, &cfg, NULL), 0);
    rig.port.n_queues = 2;
    REFUSED(cfg.slaac = true, "use one shard");
    rig.port.mtu = 1279;
    CU_ASSERT(try(&rig, &good, "RFC 8200") < 0);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_route", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "longest prefix wins", test_longest_prefix_wins) ||
        !CU_add_test(suite, "source addresses", test_source_addresses) ||
        !CU_add_test(suite, "each address is ours", test_each_address_is_ours) ||
        !CU_add_test(suite, "from what is not ours", test_from_what_is_not_ours) ||
        !CU_add_test(suite, "VLAN input", test_vlan_input) ||
        !CU_add_test(suite, "VLAN stripped by the port", test_vlan_stripped_by_the_port) ||
        !CU_add_test(suite, "VLAN output", test_vlan_output) ||
        !CU_add_test(suite, "VLAN offload", test_vlan_offload) ||
        !CU_add_test(suite, "bad configurations are refused", test_bad_configurations_are_refused))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
