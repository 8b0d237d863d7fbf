/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbour discovery on virtual time: resolution, unreachability, advertisements and their flags,
 * duplicate address detection in both IP versions, MLD, and what liars can and cannot do.
 */
#include "rig6.h"
#include <stdio.h>
#include <string.h>

static const struct rte_ether_addr mac_liar = {{0x02, 0, 0, 0, 0x66, 0x66}};

enum {
    NS = 135,
    NA = 136,
    ROUTER = 0x80,
    SOLICITED = 0x40,
    OVERRIDE = 0x20,
    SOURCE = 1,
    TARGET = 2
};

static void emit(struct rig *rig, const char *to)
{
    static const uint8_t tcp[20] = {[12] = 0x50};
    struct hg_flow flow = {.local = ip_of(SELF6), .remote = ip_of(to), .lport = 1500, .rport = 9};

    hg_net_emit(rig->net, rig_mbuf(rig, tcp, sizeof tcp, 0), &(struct hg_tx){.flow = &flow},
                rig->now);
}

/* Counts what was sent and forgets it. */
struct sent {
    unsigned solicits, unicast, probes, adverts, packets, reports, router_solicits, arp;
    struct rte_ether_addr to; /* of the last TCP packet */
    struct frame last;        /* the last of anything else */
};

static void count_one(struct sent *s, const struct frame *f)
{
    const uint8_t *l4 = f->b + L4;

    if (get16(f->b + 12) == 0x0806) {
        s->arp++;
        return;
    }
    CU_ASSERT_EQUAL_FATAL(get16(f->b + 12), 0x86dd);
    if (f->b[20] == 6) {
        s->packets++;
        memcpy(&s->to, f->b, 6);
        return;
    }
    s->last = *f;
    if (f->b[20] == 0) {
        s->reports++;
        return;
    }
    CU_ASSERT_EQUAL(f->b[20], 58);
    CU_ASSERT_EQUAL(f->b[21], 255);
    CU_ASSERT_EQUAL(plain_sum6(f->b + 14), 0);
    s->router_solicits += l4[0] == 133;
    s->adverts += l4[0] == NA;
    if (l4[0] != NS)
        return;
    s->probes += is_ip(f->b + 22, "::");
    s->solicits += !is_ip(f->b + 22, "::");
    s->unicast += f->b[0] != 0x33;
    if (f->b[0] == 0x33) /* RFC 4291 2.7.1, RFC 2464 7 */
        CU_ASSERT(memcmp(f->b + 2, f->b + 50, 4) == 0 && memcmp(f->b + 51, l4 + 21, 3) == 0);
}

static struct sent take_sent(struct rig *rig)
{
    static struct sent s;
    struct frame f;

    s = (struct sent){0};
    hg_net_flush(rig->net);
    for (unsigned i = 0; i < rig->n_tx; i++) {
        rig_sent(rig, i, &f);
        count_one(&s, &f);
    }
    rig_forget_tx(rig);
    return s;
}

static bool is_mac(const struct rte_ether_addr *a, const struct rte_ether_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Whether the last packet since the last look went there. */
static bool went_to(struct rig *rig, const struct rte_ether_addr *mac)
{
    struct sent s = take_sent(rig);

    return s.packets > 0 && is_mac(&s.to, mac);
}

static void feed(struct rig *rig, const struct nd *nd)
{
    struct frame f;

    frame6_nd(&f, nd);
    if (nd->mac != NULL)
        memcpy(f.b + 6, nd->mac, 6);
    CU_ASSERT_EQUAL(rig_feed(rig, &f, 0, NULL), 0);
    hg_net_flush(rig->net);
}

static void advert(struct rig *rig, uint8_t flags, const struct rte_ether_addr *mac)
{
    feed(rig, &(struct nd){NA, flags, TARGET, PEER6, SELF6, PEER6, mac});
}

/* An instance that has said all it says unasked. */
static void open_quiet(struct rig *rig, void (*tweak)(struct rig *, struct hg_net_cfg *))
{
    rig6_open(rig, tweak);
    rig_pass(rig, HG_SEC(15));
    rig_forget_tx(rig);
}

static void resolve(struct rig *rig)
{
    struct sent s;

    emit(rig, PEER6);
    s = take_sent(rig);
    CU_ASSERT_EQUAL(s.solicits, 1);
    CU_ASSERT_EQUAL(s.unicast, 0);
    CU_ASSERT_EQUAL(s.packets, 0);
    advert(rig, SOLICITED | OVERRIDE, &mac_peer);
    s = take_sent(rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
}

/* ---- neighbours ---- */

static void test_resolution(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    emit(&rig, PEER6);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.solicits, 1);
    CU_ASSERT_TRUE(is_ip(s.last.b + 22, SELF6));
    CU_ASSERT_TRUE(is_ip(s.last.b + L4 + 8, PEER6));
    CU_ASSERT_EQUAL(get16(s.last.b + L4 + 24), 0x0101); /* our MAC in option 1 */
    CU_ASSERT_EQUAL(memcmp(s.last.b + L4 + 26, &mac_self, 6), 0);
    advert(&rig, SOLICITED | OVERRIDE, &mac_peer);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_advert, 1);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    rig_close(&rig);
}

static void test_no_answer(void)
{
    struct rig rig;

    open_quiet(&rig, NULL);
    emit(&rig, PEER6);
    rig_pass(&rig, HG_MS(3100));
    CU_ASSERT_EQUAL(take_sent(&rig).solicits, 3);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 1);
    rig_close(&rig);
}

/* RFC 4861 7.3: STALE, DELAY, PROBE. */
static void test_unreachability(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig);
    rig_pass(&rig, HG_SEC(31));
    emit(&rig, PEER6);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.solicits, 0);
    rig_pass(&rig, HG_MS(5100));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.solicits, 1);
    CU_ASSERT_EQUAL(s.unicast, 1);
    advert(&rig, SOLICITED, &mac_peer);
    rig_pass(&rig, HG_SEC(20));
    CU_ASSERT_EQUAL(take_sent(&rig).solicits, 0);
    rig_close(&rig);
}

static void test_solicitations_are_answered(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    feed(&rig, &(struct nd){NS, 0, SOURCE, PEER6, SELF_GROUP6, SELF6, &mac_peer});
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.adverts, 1);
    CU_ASSERT_EQUAL(memcmp(s.last.b, &mac_peer, 6), 0);
    CU_ASSERT_TRUE(is_ip(s.last.b + 22, SELF6));
    CU_ASSERT_TRUE(is_ip(s.last.b + 38, PEER6));
    CU_ASSERT_EQUAL(s.last.b[L4 + 4], SOLICITED | OVERRIDE);
    CU_ASSERT_EQUAL(get16(s.last.b + L4 + 24), 0x0201);
    CU_ASSERT_EQUAL(memcmp(s.last.b + L4 + 26, &mac_self, 6), 0);
    /* Who asked is known, and asked itself when it is used. */
    emit(&rig, PEER6);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.solicits, 1);
    /* Somebody without an address wants ours: all are told that it is taken. */
    feed(&rig, &(struct nd){.type = NS, .src = "::", .dst = SELF_GROUP6, .target = SELF6});
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.adverts, 1);
    CU_ASSERT_TRUE(is_ip(s.last.b + 38, ALL6));
    CU_ASSERT_EQUAL(s.last.b[L4 + 4], OVERRIDE);
    /* The link-local address answers too. */
    feed(&rig, &(struct nd){NS, 0, SOURCE, LINK6, SELF_LINK6, SELF_LINK6, &mac_peer});
    CU_ASSERT_EQUAL(take_sent(&rig).adverts, 1);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_solicit, 3);
    rig_close(&rig);
}

/* RFC 4861 7.2.5, in answer to our own question. */
static void test_override_flag(void)
{
    struct rig rig;

    open_quiet(&rig, NULL);
    resolve(&rig);
    rig_pass(&rig, HG_SEC(31));
    emit(&rig, PEER6);
    rig_pass(&rig, HG_MS(5100)); /* a question is open */
    take_sent(&rig);
    advert(&rig, SOLICITED, &mac_gate); /* without override: not taken */
    emit(&rig, PEER6);
    CU_ASSERT_TRUE(went_to(&rig, &mac_peer));
    rig_pass(&rig, HG_MS(5100));
    take_sent(&rig);
    advert(&rig, SOLICITED | OVERRIDE, &mac_gate); /* the peer alone was asked: now all are */
    emit(&rig, PEER6);
    CU_ASSERT_TRUE(went_to(&rig, &mac_peer));
    rig_pass(&rig, HG_MS(1000));
    take_sent(&rig);
    advert(&rig, SOLICITED | OVERRIDE, &mac_gate);
    rig_pass(&rig, HG_MS(300)); /* in which the peer is silent */
    emit(&rig, PEER6);
    CU_ASSERT_TRUE(went_to(&rig, &mac_gate));
    rig_close(&rig);
}

/* ---- liars ---- */

static void test_unasked_adverts_are_not_believed(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    advert(&rig, SOLICITED | OVERRIDE, &mac_liar);
    emit(&rig, PEER6);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 0);
    advert(&rig, SOLICITED | OVERRIDE, &mac_peer);
    take_sent(&rig);
    rig_pass(&rig, HG_SEC(2));
    /* What is known stays in use, while everybody is asked whether it has changed. */
    feed(&rig, &(struct nd){NA, OVERRIDE, TARGET, PEER6, ALL6, PEER6, &mac_liar});
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.solicits, 1);
    CU_ASSERT_EQUAL(s.unicast, 0);
    emit(&rig, PEER6);
    CU_ASSERT_TRUE(went_to(&rig, &mac_peer));
    advert(&rig, SOLICITED | OVERRIDE, &mac_peer);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_unsolicited, 2);
    /* The same by a solicitation. */
    rig_pass(&rig, HG_SEC(2));
    feed(&rig, &(struct nd){NS, 0, SOURCE, PEER6, SELF_GROUP6, SELF6, &mac_liar});
    emit(&rig, PEER6);
    CU_ASSERT_TRUE(went_to(&rig, &mac_peer));
    rig_close(&rig);
}

static void test_strangers_do_not_fill_the_table(void)
{
    struct hg_neighbour told[4];
    struct rig rig;

    open_quiet(&rig, NULL);
    feed(&rig, &(struct nd){NS, 0, SOURCE, FAR6, SELF_GROUP6, SELF6, &mac_liar});
    CU_ASSERT_EQUAL(take_sent(&rig).adverts, 1); /* answered, but not remembered */
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    emit(&rig, FAR6);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 0); /* goes by the gateway, which is not known yet */
    rig_close(&rig);
}

static void test_defence(void)
{
    struct rig rig;

    open_quiet(&rig, NULL);
    for (unsigned i = 0; i < 20; i++) {
        feed(&rig, &(struct nd){NA, OVERRIDE, TARGET, LINK6, ALL6, SELF6, &mac_liar});
        rig_pass(&rig, HG_SEC(1));
    }
    CU_ASSERT_EQUAL(take_sent(&rig).adverts, 2); /* one in ten seconds */
    CU_ASSERT_EQUAL(rig_counters(&rig)->addr_conflicts, 20);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_bad, 20);
    emit(&rig, PEER6);
    CU_ASSERT_EQUAL(take_sent(&rig).solicits, 1); /* still ours */
    rig_close(&rig);
}

/* ---- duplicate address detection ---- */

static void dad(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->no_dad = false;
}

static bool usable(struct rig *rig, const char *remote)
{
    struct hg_ip to = ip_of(remote), from;

    return hg_net_source(rig->net, &to, &from) == 0;
}

static void test_probes_come_before_use(void)
{
    struct rig rig;
    struct frame f;
    struct sent s;

    rig6_open(&rig, dad);
    CU_ASSERT_FALSE(usable(&rig, PEER6));
    CU_ASSERT_FALSE(usable(&rig, "192.0.2.9"));
    emit(&rig, PEER6);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_source, 1);
    frame6_tcp(&f, 0);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    frame_tcp(&f, 0);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_not_ours, 2);
    /* Within a second both IPv6 addresses are probed for, and a second later they are in use. */
    rig_pass(&rig, HG_MS(1010));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.probes, 2);
    CU_ASSERT_EQUAL(s.adverts, 0);
    rig_pass(&rig, HG_MS(1010));
    CU_ASSERT_TRUE(usable(&rig, PEER6));
    CU_ASSERT_EQUAL(take_sent(&rig).adverts, 2);
    /* RFC 5227 1.1: at most 1 s, three probes 1 to 2 s apart, 2 s of waiting. */
    CU_ASSERT_FALSE(usable(&rig, "192.0.2.9"));
    rig_pass(&rig, HG_SEC(6));
    CU_ASSERT_TRUE(usable(&rig, "192.0.2.9"));
    CU_ASSERT_EQUAL(rig_counters(&rig)->addr_duplicates, 0);
    rig_close(&rig);
}

/* The three forms of probe and announcement of ARP, as RFC 5227 2.1.1 and 2.3 write them. */
static void test_arp_probes(void)
{
    unsigned probes = 0, announcements = 0;
    struct rig rig;
    struct frame f;

    rig6_open(&rig, dad);
    rig_pass(&rig, HG_SEC(20));
    for (unsigned i = 0; i < rig.n_tx; i++) {
        rig_sent(&rig, i, &f);
        if (get16(f.b + 12) != 0x0806)
            continue;
        CU_ASSERT_EQUAL(get32(f.b + 38), IP_SELF);
        CU_ASSERT_EQUAL(memcmp(f.b, &mac_all, 6), 0);
        probes += get32(f.b + 28) == 0;
        announcements += get32(f.b + 28) == IP_SELF;
        CU_ASSERT(announcements == 0 || probes == 3);
    }
    CU_ASSERT_EQUAL(probes, 3);
    CU_ASSERT_EQUAL(announcements, 2);
    rig_close(&rig);
}

static void claim_by_advert(struct rig *rig)
{
    feed(rig, &(struct nd){NA, OVERRIDE, TARGET, SELF6, ALL6, SELF6, &mac_liar});
}
static void claim_by_probe(struct rig *rig)
{
    feed(rig, &(struct nd){.type = NS, .src = "::", .dst = SELF_GROUP6, .target = SELF6});
}

static void test_duplicates_are_not_used(void)
{
    void (*const claim[])(struct rig *) = {claim_by_advert, claim_by_probe};
    struct rig rig;
    struct frame f;

    for (unsigned i = 0; i < HG_ARRAY_LEN(claim); i++) {
        rig6_open(&rig, dad);
        rig_pass(&rig, HG_MS(500));
        claim[i](&rig);
        rig_pass(&rig, HG_SEC(20));
        CU_ASSERT_EQUAL(rig_counters(&rig)->addr_duplicates, 1);
        frame6_tcp(&f, 0);
        CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
        rig_forget_tx(&rig);
        feed(&rig, &(struct nd){NS, 0, SOURCE, PEER6, SELF_GROUP6, SELF6, &mac_peer});
        CU_ASSERT_EQUAL(take_sent(&rig).adverts, 0);
        /* After a minute it is probed for again, and nobody has it any more. */
        rig_pass(&rig, HG_SEC(60));
        CU_ASSERT_TRUE(usable(&rig, PEER6));
        rig_close(&rig);
    }
}

static void test_arp_duplicates_are_not_used(void)
{
    struct rig rig;
    struct frame f;

    for (unsigned i = 0; i < 3; i++) {
        rig6_open(&rig, dad);
        rig_pass(&rig, HG_SEC(1));
        if (i == 0)
            frame_arp(&f, 2, IP_SELF, &mac_liar, 0); /* the answer to our probe */
        else if (i == 1)
            frame_arp(&f, 1, 0, &mac_liar, IP_SELF); /* wants it too */
        else
            frame_arp(&f, 1, IP_SELF, &mac_liar, IP_PEER); /* uses it */
        rig_feed(&rig, &f, 0, NULL);
        rig_pass(&rig, HG_SEC(10));
        CU_ASSERT_EQUAL(rig_counters(&rig)->addr_duplicates, 1);
        CU_ASSERT_FALSE(usable(&rig, "192.0.2.9"));
        rig_pass(&rig, HG_SEC(60));
        CU_ASSERT_TRUE(usable(&rig, "192.0.2.9"));
        rig_close(&rig);
    }
}

static void second_of_two(struct rig *rig, struct hg_net_cfg *cfg)
{
    rig->port.n_queues = 2;
    cfg->queue = 1;
    cfg->no_dad = false;
}

/* The answer to a probe reaches one queue only: its shard tells the others, which send no probes of
 * their own and do not use the address before the first could have told them. */
static void test_duplicates_are_told(void)
{
    struct hg_neighbour told[4];
    struct hg_ip self = ip_of(SELF6);
    struct rig rig, sibling;
    struct sent s;

    rig6_open(&rig, dad);
    rig_pass(&rig, HG_MS(500));
    claim_by_advert(&rig);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 1);
    CU_ASSERT_TRUE(told[0].duplicate && hg_ip_equal(&told[0].ip, &self));
    CU_ASSERT_TRUE(is_mac(&told[0].mac, &mac_liar));
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    rig_close(&rig);

    rig6_open(&sibling, second_of_two);
    rig_pass(&sibling, HG_MS(1990));
    CU_ASSERT_FALSE(usable(&sibling, PEER6));
    hg_net_duplicate(sibling.net, &self, &mac_liar, sibling.now);
    rig_pass(&sibling, HG_SEC(10));
    CU_ASSERT_EQUAL(rig_counters(&sibling)->addr_duplicates, 1);
    CU_ASSERT_EQUAL(hg_net_learnt(sibling.net, told, 4), 0);
    CU_ASSERT_TRUE(usable(&sibling, "192.0.2.9"));
    s = take_sent(&sibling);
    CU_ASSERT_EQUAL(s.probes + s.arp + s.adverts + s.reports, 0);
    rig_close(&sibling);
}

/* A probe that nobody could hear proves nothing. */
static void link_is_down(struct rig *rig, struct hg_net_cfg *cfg)
{
    cfg->no_dad = false;
    rig->link_down = true;
}

static void test_probes_wait_for_the_link(void)
{
    struct rig rig;
    struct sent s;

    rig6_open(&rig, link_is_down);
    rig_pass(&rig, HG_SEC(20));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.probes + s.arp + s.reports + s.adverts, 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->link_downs, 1);
    rig.link_down = false;
    rig_pass(&rig, HG_SEC(12));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.probes, 2);
    CU_ASSERT_EQUAL(s.arp, 3 + 2);
    CU_ASSERT_TRUE(usable(&rig, PEER6));
    /* When it comes back, what we have is announced again. */
    rig.link_down = true;
    rig_pass(&rig, HG_SEC(1));
    rig.link_down = false;
    rig_pass(&rig, HG_SEC(4));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.probes, 0);
    CU_ASSERT_EQUAL(s.adverts, 4);
    CU_ASSERT_EQUAL(s.arp, 2);
    CU_ASSERT_EQUAL(rig_counters(&rig)->link_ups, 2);
    rig_close(&rig);
}

/* ---- MLD ---- */

/* RFC 3810 5.2: to ff02::16, hop limit 1, router alert; one record for the group that all share. */
static void test_reports(void)
{
    struct rig rig;
    struct sent s;
    const uint8_t *l4;

    rig6_open(&rig, NULL);
    rig_pass(&rig, HG_SEC(10));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.reports, 2);
    rig_pass(&rig, HG_SEC(10));
    CU_ASSERT_EQUAL(take_sent(&rig).reports, 0);
    /* A query is answered within a second; one from afar is not. */
    for (unsigned hops = 1; hops < 3; hops++) {
        struct frame f;
        uint8_t body[24] = {0};

        frame6_icmp(&f, (const char *[2]){LINK6, ALL6}, (uint8_t[2]){130, 0}, body, sizeof body);
        f.b[21] = (uint8_t)hops;
        rig_feed(&rig, &f, 0, NULL);
        rig_pass(&rig, HG_MS(1100));
        s = take_sent(&rig);
        CU_ASSERT_EQUAL(s.reports, hops == 1);
        if (hops != 1)
            continue;
        l4 = s.last.b + L4 + 8;
        CU_ASSERT_TRUE(is_ip(s.last.b + 38, "ff02::16"));
        CU_ASSERT_TRUE(is_ip(s.last.b + 22, SELF_LINK6));
        CU_ASSERT_EQUAL(s.last.b[21], 1);
        CU_ASSERT_EQUAL(get32(s.last.b + L4), 0x3a000502);
        CU_ASSERT_EQUAL(l4[0], 143);
        CU_ASSERT_EQUAL(get16(l4 + 6), 1);
        CU_ASSERT_EQUAL(l4[8], 2);
        CU_ASSERT_TRUE(is_ip(l4 + 12, SELF_GROUP6));
        s.last.b[20] = 58; /* as if nothing stood before it */
        put16(s.last.b + 18, get16(s.last.b + 18) - 8);
        memmove(s.last.b + L4, l4, s.last.len - L4 - 8);
        CU_ASSERT_EQUAL(plain_sum6(s.last.b + 14), 0);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_mld_query, 1);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_nd_bad, 1);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_nd", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "resolution", test_resolution) ||
        !CU_add_test(suite, "no answer", test_no_answer) ||
        !CU_add_test(suite, "unreachability", test_unreachability) ||
        !CU_add_test(suite, "solicitations are answered", test_solicitations_are_answered) ||
        !CU_add_test(suite, "override flag", test_override_flag) ||
        !CU_add_test(suite, "unasked adverts are not believed",
                     test_unasked_adverts_are_not_believed) ||
        !CU_add_test(suite, "strangers do not fill the table",
                     test_strangers_do_not_fill_the_table) ||
        !CU_add_test(suite, "defence", test_defence) ||
        !CU_add_test(suite, "probes come before use", test_probes_come_before_use) ||
        !CU_add_test(suite, "ARP probes", test_arp_probes) ||
        !CU_add_test(suite, "duplicates are not used", test_duplicates_are_not_used) ||
        !CU_add_test(suite, "ARP duplicates are not used", test_arp_duplicates_are_not_used) ||
        !CU_add_test(suite, "duplicates are told", test_duplicates_are_told) ||
        !CU_add_test(suite, "probes wait for the link", test_probes_wait_for_the_link) ||
        !CU_add_test(suite, "MLD reports", test_reports))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
