/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Router advertisements on virtual time: addresses, routers and MTU made from them, their lifetimes,
 * and the bounds on what a rogue router can do.
 */
#include "rig6.h"
#include <stdio.h>
#include <string.h>

#define PREFIX "2001:db8:5::"
#define MADE "2001:db8:5::ff:fe00:2" /* with the interface id of 02:00:00:00:00:02 */

struct ra {
    const char *src;
    unsigned lifetime; /* of the router, s */
    const char *prefix;
    uint32_t valid, preferred; /* s */
    uint32_t mtu;              /* 0: no option */
};

static void slaac(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->slaac = true;
    cfg->gateway6 = (struct hg_ip){{0}};
}

static void send_ra(struct rig *rig, const struct ra *ra)
{
    uint8_t body[12 + 8 + 32 + 8] = {64};
    struct frame f;
    uint8_t *p = body + 12;

    put16(body + 2, ra->lifetime);
    p[0] = p[1] = 1;
    memcpy(p + 2, &mac_peer, 6);
    p += 8;
    if (ra->prefix != NULL) {
        struct hg_ip ip = ip_of(ra->prefix);

        p[0] = 3, p[1] = 4, p[2] = 64, p[3] = 0xc0;
        put32(p + 4, ra->valid);
        put32(p + 8, ra->preferred);
        memcpy(p + 16, ip.b, 16);
        p += 32;
    }
    if (ra->mtu != 0) {
        p[0] = 5, p[1] = 1;
        put32(p + 4, ra->mtu);
        p += 8;
    }
    frame6_icmp(&f, (const char *[2]){ra->src, ALL6}, (uint8_t[2]){134, 0}, body,
                (unsigned)(p - body));
    CU_ASSERT_EQUAL(rig_feed(rig, &f, 0, NULL), 0);
    hg_net_flush(rig->net);
}

/* The source for a remote, or "" */
static const char *source(struct rig *rig, const char *remote)
{
    static char text[HG_IP_STRLEN];
    struct hg_ip to = ip_of(remote), from;

    return hg_net_source(rig->net, &to, &from) == 0 ? hg_ip_str(&from, text) : "";
}

/* Whether a packet leaves, to the router's MAC, which ND would otherwise have to find. */
static bool reaches(struct rig *rig, const char *from, const char *to)
{
    static const uint8_t tcp[20] = {[12] = 0x50};
    struct hg_flow flow = {.local = ip_of(from), .remote = ip_of(to), .lport = 1500, .rport = 9};
    struct frame f = {.len = 0};

    rig_forget_tx(rig);
    hg_net_emit(rig->net, rig_mbuf(rig, tcp, sizeof tcp, 0), &(struct hg_tx){.flow = &flow},
                rig->now);
    hg_net_flush(rig->net);
    if (rig->n_tx > 0)
        rig_sent(rig, 0, &f);
    rig_forget_tx(rig);
    return f.len > 0 && f.b[20] == 6 && memcmp(f.b, &mac_peer, 6) == 0;
}

/* It answers no questions here. */
static void know_router(struct rig *rig)
{
    struct hg_ip ip = ip_of(LINK6);

    hg_net_learn(rig->net, &ip, &mac_peer, rig->now);
}

static void test_address_router_and_mtu(void)
{
    struct hg_ip far6 = ip_of(FAR6), far4 = ip_of("203.0.113.5");
    struct rig rig;

    rig6_open(&rig, slaac);
    rig_pass(&rig, HG_SEC(1));
    CU_ASSERT_FALSE(reaches(&rig, SELF6, FAR6));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_route, 1);
    send_ra(&rig, &(struct ra){LINK6, 1800, PREFIX, 7200, 3600, 1400});
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_router, 1);
    CU_ASSERT_EQUAL(rig_counters(&rig)->addr_slaac, 1);
    CU_ASSERT_STRING_EQUAL(source(&rig, "2001:db8:5::9"), MADE);
    CU_ASSERT_TRUE(reaches(&rig, MADE, FAR6));
    CU_ASSERT_EQUAL(hg_net_mtu(rig.net, &far6), 1400);
    CU_ASSERT_EQUAL(hg_net_mtu(rig.net, &far4), RIG_MTU);
    /* The router says good-bye. */
    send_ra(&rig, &(struct ra){LINK6, 0, NULL, 0, 0, 0});
    CU_ASSERT_FALSE(reaches(&rig, MADE, FAR6));
    rig_close(&rig);
}

static void test_made_addresses_are_probed(void)
{
    struct rig rig;

    rig6_open(&rig, slaac);
    rig_pass(&rig, HG_SEC(1));
    hg_net_destroy(rig.net);
    rig_forget_tx(&rig);
    {
        struct hg_err err;
        struct hg_net_cfg cfg = {.port = &rig.port, .pool = rig.pool, .slaac = true};

        CU_ASSERT_EQUAL_FATAL(hg_net_create(&cfg, rig.now, &rig.net, &err), 0);
    }
    rig_pass(&rig, HG_SEC(3));
    send_ra(&rig, &(struct ra){LINK6, 1800, PREFIX, 7200, 3600, 0});
    CU_ASSERT_STRING_EQUAL(source(&rig, FAR6), SELF_LINK6);
    rig_pass(&rig, HG_MS(2100));
    CU_ASSERT_STRING_EQUAL(source(&rig, FAR6), MADE);
    rig_close(&rig);
}

/* RFC 4862 5.5.4: deprecated, then gone; the router's own lifetime ends by itself too. */
static void test_lifetimes(void)
{
    struct rig rig;

    rig6_open(&rig, slaac);
    send_ra(&rig, &(struct ra){LINK6, 100, PREFIX, 60, 30, 0});
    know_router(&rig);
    rig_pass(&rig, HG_SEC(29));
    CU_ASSERT_STRING_EQUAL(source(&rig, "2001:db8:5::9"), MADE);
    rig_pass(&rig, HG_SEC(2));
    CU_ASSERT_STRING_EQUAL(source(&rig, "2001:db8:5::9"), SELF6); /* deprecated: not chosen ... */
    CU_ASSERT_TRUE(reaches(&rig, MADE, FAR6));                    /* ... but in use */
    rig_pass(&rig, HG_SEC(30));
    know_router(&rig);
    CU_ASSERT_FALSE(reaches(&rig, MADE, FAR6));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_source, 1);
    CU_ASSERT_TRUE(reaches(&rig, SELF6, FAR6));
    rig_pass(&rig, HG_SEC(41));
    CU_ASSERT_FALSE(reaches(&rig, SELF6, FAR6));
    rig_close(&rig);
}

/* RFC 4862 5.5.3 e): a forged advertisement cannot end what is in use within two hours. */
static void test_two_hours(void)
{
    struct rig rig;

    rig6_open(&rig, slaac);
    send_ra(&rig, &(struct ra){LINK6, 9000, PREFIX, 86400, 86400, 0});
    send_ra(&rig, &(struct ra){LINK6, 9000, PREFIX, 1, 1, 0});
    rig_pass(&rig, HG_SEC(10));
    CU_ASSERT_TRUE(reaches(&rig, MADE, FAR6));
    rig.now += HG_SEC(7180);
    rig_pass(&rig, HG_MS(20));
    CU_ASSERT_FALSE(strcmp(source(&rig, "2001:db8:5::9"), "") == 0);
    rig.now += HG_SEC(20);
    rig_pass(&rig, HG_MS(20));
    CU_ASSERT_STRING_EQUAL(source(&rig, "2001:db8:5::9"), SELF6);
    rig_close(&rig);
}

static void test_rogues_are_bounded(void)
{
    struct hg_ip far6 = ip_of(FAR6);
    char prefix[64], router[64];
    struct rig rig;

    rig6_open(&rig, slaac);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(prefix, sizeof prefix, "2001:db8:%x::", 0x100 + i);
        snprintf(router, sizeof router, "fe80::%x", 0x100 + i);
        send_ra(&rig, &(struct ra){router, 1800, prefix, 7200, 3600, 1000 + i});
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->addr_slaac, 7);
    CU_ASSERT_EQUAL(rig_counters(&rig)->ra_limited, (50 - 4) + (50 - 8) + (50 - 7));
    CU_ASSERT_EQUAL(hg_net_mtu(rig.net, &far6), RIG_MTU); /* below 1280: not believed */
    send_ra(&rig, &(struct ra){LINK6, 1800, NULL, 0, 0, 9000});
    CU_ASSERT_EQUAL(hg_net_mtu(rig.net, &far6), RIG_MTU); /* above ours: neither */
    send_ra(&rig, &(struct ra){LINK6, 0, "fe80::", 7200, 3600, 0});
    send_ra(&rig, &(struct ra){LINK6, 0, "ff02::", 7200, 3600, 0});
    send_ra(&rig, &(struct ra){LINK6, 0, "2001:db8:100::", 10, 20, 0}); /* preferred > valid */
    CU_ASSERT_EQUAL(rig_counters(&rig)->addr_slaac, 7);
    rig_close(&rig);
}

static void with_gateway(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->slaac = true;
}

static void test_configuration_goes_first(void)
{
    struct hg_ip gate = ip_of(GATE6);
    struct rig rig;

    rig6_open(&rig, with_gateway);
    hg_net_learn(rig.net, &gate, &mac_gate, rig.now);
    send_ra(&rig, &(struct ra){LINK6, 1800, NULL, 0, 0, 0});
    CU_ASSERT_FALSE(reaches(&rig, SELF6, FAR6)); /* not by the router's MAC */
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_packets, 1);
    rig_close(&rig);
}

/* RFC 4861 6.3.6: a router that does not answer is passed over for another. */
static void test_dead_router(void)
{
    struct rig rig;

    rig6_open(&rig, slaac);
    send_ra(&rig, &(struct ra){LINK6, 1800, NULL, 0, 0, 0});
    send_ra(&rig, &(struct ra){"fe80::77", 1800, NULL, 0, 0, 0});
    CU_ASSERT_TRUE(reaches(&rig, SELF6, FAR6)); /* by fe80::9, which is asked and silent */
    rig_pass(&rig, HG_MS(3500));
    CU_ASSERT_TRUE(reaches(&rig, SELF6, FAR6)); /* by the other */
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 0);
    rig_close(&rig);
}

/* RFC 7559: every 4, 8, 16 ... s until a router answers; from the link-local address. */
static void test_solicitation(void)
{
    struct rig rig;
    struct frame f;
    unsigned n = 0;

    rig6_open(&rig, slaac);
    rig_pass(&rig, HG_SEC(30));
    for (unsigned i = 0; i < rig.n_tx; i++) {
        rig_sent(&rig, i, &f);
        if (get16(f.b + 12) != 0x86dd || f.b[20] != 58 || f.b[L4] != 133)
            continue;
        n++;
        CU_ASSERT_TRUE(is_ip(f.b + 22, SELF_LINK6));
        CU_ASSERT_TRUE(is_ip(f.b + 38, "ff02::2"));
        CU_ASSERT_EQUAL(f.b[21], 255);
        CU_ASSERT_EQUAL(memcmp(f.b + L4 + 10, &mac_self, 6), 0);
        CU_ASSERT_EQUAL(plain_sum6(f.b + 14), 0);
    }
    CU_ASSERT_EQUAL(n, 4); /* at 0..1, 4, 12 and 28 s after the first */
    send_ra(&rig, &(struct ra){LINK6, 1800, NULL, 0, 0, 0});
    rig_forget_tx(&rig);
    rig_pass(&rig, HG_SEC(100));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_router_solicit, 4);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_ra", NULL, NULL);
    if (suite == NULL ||
        !CU_add_test(suite, "address, router and MTU", test_address_router_and_mtu) ||
        !CU_add_test(suite, "made addresses are probed", test_made_addresses_are_probed) ||
        !CU_add_test(suite, "lifetimes", test_lifetimes) ||
        !CU_add_test(suite, "two hours", test_two_hours) ||
        !CU_add_test(suite, "rogues are bounded", test_rogues_are_bounded) ||
        !CU_add_test(suite, "configuration goes first", test_configuration_goes_first) ||
        !CU_add_test(suite, "dead router", test_dead_router) ||
        !CU_add_test(suite, "solicitation", test_solicitation))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
