/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours on virtual time: resolution, retries and hold-down, bounds, ageing, and what liars on
 * the link can and cannot do.
 */
#include "net_rig.h"
#include <stdio.h>
#include <string.h>

#define PACKET_LEN 40 /* IPv4 and TCP header */

static void emit(struct rig *rig, uint32_t to)
{
    static const uint8_t tcp[20] = {[12] = 0x50};
    struct rte_mbuf *m = rig_mbuf(rig, tcp, sizeof tcp, 0);
    struct hg_flow flow = {
        .local = hg_ip_from_v4(IP_SELF), .remote = hg_ip_from_v4(to), .lport = 1500, .rport = 9};

    hg_net_emit(rig->net, m, &(struct hg_tx){.flow = &flow}, rig->now);
}

/* Lets time pass in steps of 10 ms, as the shard's loop would. */
static void pass(struct rig *rig, hg_ns span)
{
    for (hg_ns end = rig->now + span; rig->now < end;) {
        rig->now += HG_MS(10);
        hg_net_poll(rig->net, rig->now);
        hg_net_flush(rig->net);
    }
}

static void arp(struct rig *rig, uint16_t op, uint32_t sip, const struct rte_ether_addr *sha,
                uint32_t tip)
{
    struct frame f;

    frame_arp(&f, op, sip, sha, tip);
    CU_ASSERT_EQUAL(rig_feed(rig, &f, 0, NULL), 0);
    hg_net_flush(rig->net);
}

/* Counts what was sent and forgets it: ARP requests for an address, packets to a MAC. */
struct sent {
    unsigned requests, replies, announcements, packets;
    unsigned unicast;         /* of the requests */
    struct rte_ether_addr to; /* of the last packet */
};

static struct sent take_sent(struct rig *rig)
{
    struct sent s = {0};
    struct frame f;

    hg_net_flush(rig->net);
    for (unsigned i = 0; i < rig->n_tx; i++) {
        rig_sent(rig, i, &f);
        if (get16(f.b + 12) == 0x0800) {
            CU_ASSERT_EQUAL(f.len, 14 + PACKET_LEN);
            s.packets++;
            memcpy(&s.to, f.b, 6);
            continue;
        }
        CU_ASSERT_EQUAL_FATAL(get16(f.b + 12), 0x0806);
        CU_ASSERT_EQUAL(f.len, 60);
        CU_ASSERT_EQUAL(memcmp(f.b + 6, &mac_self, 6), 0);
        CU_ASSERT_EQUAL(memcmp(f.b + 22, &mac_self, 6), 0);
        CU_ASSERT_EQUAL(get32(f.b + 28), IP_SELF);
        if (get16(f.b + 20) == 2)
            s.replies++;
        else if (get32(f.b + 38) == IP_SELF)
            s.announcements++;
        else
            s.requests++;
        if (get16(f.b + 20) == 1 && memcmp(f.b, &mac_all, 6) != 0) {
            s.unicast++;
            memcpy(&s.to, f.b, 6);
        }
    }
    rig_forget_tx(rig);
    return s;
}

static bool is_mac(const struct rte_ether_addr *a, const struct rte_ether_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Opens an instance that has made its announcements. */
static void open_quiet(struct rig *rig, void (*tweak)(struct rig *, struct hg_net_cfg *))
{
    rig_open(rig, tweak);
    pass(rig, HG_SEC(3));
    rig_forget_tx(rig);
}

/* Asks and answers, so that the peer is known by our own question. */
static void resolve(struct rig *rig, uint32_t ip, const struct rte_ether_addr *mac)
{
    struct sent s;

    emit(rig, ip);
    s = take_sent(rig);
    CU_ASSERT_EQUAL(s.requests, 1);
    CU_ASSERT_EQUAL(s.packets, 0);
    arp(rig, 2, ip, mac, IP_SELF);
    s = take_sent(rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, mac));
}

static void test_announces_itself(void)
{
    struct rig rig;
    struct sent s;

    rig_open(&rig, NULL);
    pass(&rig, HG_SEC(1));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.announcements, 1);
    pass(&rig, HG_SEC(60));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.announcements, 1);
    rig_close(&rig);
}

static void test_resolution(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    emit(&rig, IP_PEER);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 1);
    CU_ASSERT_EQUAL(s.packets, 0);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_reply, 1);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 2);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.requests, 0);
    rig_close(&rig);
}

static void test_wait_queue_keeps_the_newest(void)
{
    struct rig rig;
    struct frame f;

    open_quiet(&rig, NULL);
    for (unsigned i = 0; i < 7; i++)
        emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 3);
    rig_forget_tx(&rig);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL_FATAL(rig.n_tx, 1 + 4);
    rig_sent(&rig, 1, &f);
    CU_ASSERT_EQUAL(get16(f.b + 18), 3); /* IP id: packets 3 to 6 are left */
    rig_close(&rig);
}

static void test_no_answer(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    emit(&rig, IP_PEER);
    pass(&rig, HG_MS(2500));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 3);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 0);
    pass(&rig, HG_MS(600));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 1);
    /* Hold-down: dropped at once, nobody is asked, a late answer is not believed. */
    emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 2);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 3);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests + s.packets, 0);
    /* After it everything starts again. */
    pass(&rig, HG_SEC(4));
    resolve(&rig, IP_PEER, &mac_peer);
    rig_close(&rig);
}

/* Who comes back to life and talks to us ends the hold-down. */
static void test_request_ends_hold_down(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    emit(&rig, IP_PEER);
    pass(&rig, HG_MS(3200));
    take_sent(&rig);
    arp(&rig, 1, IP_PEER, &mac_peer, IP_SELF);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.replies, 1);
    CU_ASSERT_EQUAL(s.packets, 1);
    rig_close(&rig);
}

static void test_requests_are_answered(void)
{
    struct rig rig;
    struct frame f;

    open_quiet(&rig, NULL);
    arp(&rig, 1, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL_FATAL(rig.n_tx, 1);
    rig_sent(&rig, 0, &f);
    CU_ASSERT_EQUAL(memcmp(f.b, &mac_peer, 6), 0);
    CU_ASSERT_EQUAL(memcmp(f.b + 6, &mac_self, 6), 0);
    CU_ASSERT_EQUAL(get16(f.b + 20), 2);
    CU_ASSERT_EQUAL(memcmp(f.b + 22, &mac_self, 6), 0);
    CU_ASSERT_EQUAL(get32(f.b + 28), IP_SELF);
    CU_ASSERT_EQUAL(memcmp(f.b + 32, &mac_peer, 6), 0);
    CU_ASSERT_EQUAL(get32(f.b + 38), IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_request, 1);
    rig_forget_tx(&rig);
    /* The asker is known now; being unproven, it is asked while it is used. */
    emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL_FATAL(rig.n_tx, 0);
    struct sent s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.requests, 1);
    /* An address probe is answered and teaches nothing. */
    arp(&rig, 1, 0, &mac_gate, IP_SELF);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.replies, 1);
    /* So is somebody from another network on the same link. */
    arp(&rig, 1, IP_FAR, &mac_gate, IP_SELF);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.replies, 1);
    rig_close(&rig);
}

static void test_ageing(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_PEER, &mac_peer);
    pass(&rig, HG_SEC(29));
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 0);
    pass(&rig, HG_SEC(2));
    /* Stale: used at once; 5 s later it alone is asked (RFC 4861 7.3.3), and its answer makes it good
     * for another 30 s. */
    emit(&rig, IP_PEER);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 2);
    CU_ASSERT_EQUAL(s.requests, 0);
    pass(&rig, HG_MS(4900));
    CU_ASSERT_EQUAL(take_sent(&rig).requests, 0);
    pass(&rig, HG_MS(200));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 1);
    CU_ASSERT_EQUAL(s.unicast, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    pass(&rig, HG_SEC(29));
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.requests, 0);
    /* Unused for long: forgotten, so the next packet waits for an answer. */
    pass(&rig, HG_SEC(700));
    resolve(&rig, IP_PEER, &mac_peer);
    rig_close(&rig);
}

static void test_neighbour_that_dies(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_PEER, &mac_peer);
    pass(&rig, HG_SEC(31));
    emit(&rig, IP_PEER);
    take_sent(&rig);
    /* Three questions to it, then three to all, in case it has moved; it is used meanwhile. */
    pass(&rig, HG_MS(5000 + 2900));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 3);
    CU_ASSERT_EQUAL(s.unicast, 3);
    pass(&rig, HG_MS(3000));
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 3);
    CU_ASSERT_EQUAL(s.unicast, 0);
    emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 1);
    pass(&rig, HG_MS(300));
    emit(&rig, IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 1);
    rig_close(&rig);
}

/* ---- liars ---- */

static const struct rte_ether_addr mac_liar = {{0x02, 0, 0, 0, 0x66, 0x66}};

static void test_unasked_strangers_are_ignored(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    arp(&rig, 2, IP_PEER, &mac_liar, IP_SELF);
    arp(&rig, 2, IP_PEER, &mac_liar, IP_PEER);
    arp(&rig, 1, IP_PEER, &mac_liar, IP_PEER);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_unsolicited, 3);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests + s.replies, 0);
    resolve(&rig, IP_PEER, &mac_peer);
    rig_close(&rig);
}

/* An answer must be to us in every field: it may have been made for another's question. */
static void test_answers_to_others_are_not_ours(void)
{
    struct rig rig;
    struct frame f;

    open_quiet(&rig, NULL);
    emit(&rig, IP_PEER);
    frame_arp(&f, 2, IP_PEER, &mac_liar, IP_SELF);
    f.b[37] ^= 1; /* target MAC */
    rig_feed(&rig, &f, 0, NULL);
    frame_arp(&f, 2, IP_PEER, &mac_liar, IP_SELF);
    memcpy(f.b, &mac_all, 6);
    rig_feed(&rig, &f, 0, NULL);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_reply, 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_unsolicited, 2);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 0);
    rig_close(&rig);
}

static void test_lies_about_the_known_only_raise_a_question(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_PEER, &mac_peer);
    pass(&rig, HG_SEC(2));
    for (unsigned i = 0; i < 50; i++) {
        arp(&rig, 2, IP_PEER, &mac_liar, IP_PEER); /* gratuitous, so never an answer to us */
        arp(&rig, 1, IP_PEER, &mac_liar, IP_PEER);
        arp(&rig, 1, IP_PEER, &mac_liar, IP_SELF);
        emit(&rig, IP_PEER);
        s = take_sent(&rig);
        CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
        CU_ASSERT_EQUAL(s.requests, i == 0);
    }
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_reply, 2);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    rig_close(&rig);
}

/* Whoever answers first, and however often: the known one has the last word while it is there. */
static void test_a_liar_wins_no_race(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_PEER, &mac_peer);
    for (unsigned second = 0; second < 100; second++) {
        for (unsigned i = 0; i < 9; i++) {
            pass(&rig, HG_MS(100));
            arp(&rig, 2, IP_PEER, &mac_liar, IP_SELF);
            emit(&rig, IP_PEER);
            s = take_sent(&rig);
            CU_ASSERT_TRUE(s.packets == 0 || s.requests != 0 || is_mac(&s.to, &mac_peer));
            if (s.requests != 0) {
                arp(&rig, 2, IP_PEER, &mac_liar, IP_SELF);
                pass(&rig, HG_MS(50));
                arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
            }
        }
    }
    CU_ASSERT(rig_counters(&rig)->rx_arp_reply > 100);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    rig_close(&rig);
}

/* A gateway that moved: its gratuitous ARP makes us ask, and its answer is followed when the old one is
 * silent. */
static void test_move_is_followed(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_GATE, &mac_gate);
    pass(&rig, HG_SEC(2));
    arp(&rig, 1, IP_GATE, &mac_peer, IP_GATE);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.requests, 1);
    arp(&rig, 2, IP_GATE, &mac_peer, IP_SELF);
    emit(&rig, IP_FAR);
    s = take_sent(&rig);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_gate));
    pass(&rig, HG_MS(300));
    emit(&rig, IP_FAR);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    rig_close(&rig);
}

static void test_our_address_is_defended(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, NULL);
    for (unsigned i = 0; i < 20; i++) {
        arp(&rig, 1, IP_SELF, &mac_liar, IP_SELF);
        arp(&rig, 2, IP_SELF, &mac_liar, IP_SELF);
        arp(&rig, 1, IP_SELF, &mac_liar, IP_PEER);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_bad, 60);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.announcements, 1);
    CU_ASSERT_EQUAL(s.replies, 0);
    pass(&rig, HG_SEC(11));
    arp(&rig, 2, IP_SELF, &mac_liar, IP_SELF);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.announcements, 1);
    /* Our own frame, come back through a loop, is not another host. */
    pass(&rig, HG_SEC(11));
    arp(&rig, 1, IP_SELF, &mac_self, IP_SELF);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.announcements, 0);
    rig_close(&rig);
}

static void accept_unsolicited(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->accept_unsolicited = true;
}

static void test_unsolicited_when_configured(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, accept_unsolicited);
    arp(&rig, 1, IP_PEER, &mac_peer, IP_PEER);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_EQUAL(s.requests, 0);
    arp(&rig, 1, IP_FAR, &mac_peer, IP_FAR); /* not on this link: not believed even so */
    arp(&rig, 2, IP_SELF, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_arp_bad, 1);
    rig_close(&rig);
}

/* ---- bounds ---- */

static void eight_neighbours(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->neighbours_max = 8;
}

static void test_full_table(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, eight_neighbours);
    resolve(&rig, IP_PEER, &mac_peer);
    for (uint32_t i = 0; i < 7; i++)
        emit(&rig, 0xc0000264 + i);
    take_sent(&rig);
    emit(&rig, 0xc0000280); /* nobody has been unanswered for long */
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 1);
    pass(&rig, HG_MS(300));
    for (uint32_t i = 0; i < 100; i++)
        emit(&rig, 0xc0000281 + i % 100);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 1 + 100);
    take_sent(&rig);
    /* Through all of that the neighbour in use stayed. */
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    rig_close(&rig);
}

/* Askers that do not exist fill the table; those that do get in all the same. */
static void test_table_full_of_askers(void)
{
    struct rig rig;
    struct sent s;

    open_quiet(&rig, eight_neighbours);
    resolve(&rig, IP_PEER, &mac_peer);
    for (uint32_t i = 0; i < 100; i++) {
        arp(&rig, 1, 0xc0000264 + i, &mac_liar, IP_SELF);
        take_sent(&rig);
    }
    pass(&rig, HG_MS(300));
    resolve(&rig, 0xc0000240, &mac_gate);
    emit(&rig, IP_PEER);
    s = take_sent(&rig);
    CU_ASSERT_EQUAL(s.packets, 1);
    CU_ASSERT_TRUE(is_mac(&s.to, &mac_peer));
    rig_close(&rig);
}

static void test_request_rate_is_bounded(void)
{
    struct rig rig;
    unsigned requests = 0;

    open_quiet(&rig, NULL);
    for (unsigned ms = 0; ms < 200; ms++) {
        emit(&rig, 0xc0000201 + ms + (ms != 0));
        if (ms == 0) {
            for (uint32_t i = 3; i < 254; i++)
                emit(&rig, 0xc0000200 + i);
        }
        rig.now += HG_MS(1);
        hg_net_poll(rig.net, rig.now);
        requests += take_sent(&rig).requests;
    }
    CU_ASSERT_TRUE(requests >= 150);
    CU_ASSERT_TRUE(requests <= 100 + 100 + 1);
    rig_close(&rig);
}

static void wide(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)rig;
    cfg->addrs[0].len = 16;
}

static void test_waiting_packets_are_bounded(void)
{
    struct rig rig;

    open_quiet(&rig, wide);
    for (uint32_t i = 0; i < 900; i++)
        emit(&rig, 0xc0000400 + i);
    take_sent(&rig);
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 900 - 256);
    pass(&rig, HG_SEC(30));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 900);
    rig_close(&rig);
}

static void test_empty_pool(void)
{
    struct rte_mbuf *all[RIG_POOL];
    struct rig rig;
    unsigned n = 0;

    open_quiet(&rig, NULL);
    emit(&rig, IP_GATE);
    while ((all[n] = rte_pktmbuf_alloc(rig.pool)) != NULL)
        n++;
    pass(&rig, HG_MS(1100));
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_no_mbuf, 1);
    while (n > 0)
        rte_pktmbuf_free(all[--n]);
    arp(&rig, 2, IP_GATE, &mac_gate, IP_SELF);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 1);
    rig_close(&rig);
}

/* The bound is on packets that wait now, not on all that ever did. */
static void test_waiting_packets_are_counted_down(void)
{
    struct rig rig;

    open_quiet(&rig, wide);
    for (uint32_t i = 0; i < 300; i++) {
        resolve(&rig, 0xc0000400 + i, &mac_peer);
        pass(&rig, HG_MS(10)); /* within the rate of requests */
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->tx_arp_wait_drop, 0);
    rig_close(&rig);
}

/* ---- several shards ---- */

static void test_learnt_is_told_once(void)
{
    struct hg_neighbour told[4];
    struct rig rig;

    open_quiet(&rig, NULL);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    resolve(&rig, IP_PEER, &mac_peer);
    resolve(&rig, IP_GATE, &mac_gate);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 1);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told + 1, 3), 1);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told + 2, 2), 0);
    for (unsigned i = 0; i < 2; i++) {
        bool peer = hg_ip_to_v4(&told[i].ip) == IP_PEER;

        CU_ASSERT_TRUE(peer || hg_ip_to_v4(&told[i].ip) == IP_GATE);
        CU_ASSERT_TRUE(is_mac(&told[i].mac, peer ? &mac_peer : &mac_gate));
    }
    CU_ASSERT_NOT_EQUAL(hg_ip_to_v4(&told[0].ip), hg_ip_to_v4(&told[1].ip));
    rig_close(&rig);
}

/* What was learnt and forgotten again before anybody asked is not told. */
static void test_forgotten_is_not_told(void)
{
    struct hg_neighbour told[4];
    struct rig rig;

    open_quiet(&rig, NULL);
    resolve(&rig, IP_PEER, &mac_peer);
    pass(&rig, HG_SEC(31));
    emit(&rig, IP_PEER);
    pass(&rig, HG_MS(11500)); /* nobody answered: FAILED */
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    pass(&rig, HG_SEC(4)); /* removed */
    rig_forget_tx(&rig);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    resolve(&rig, IP_PEER, &mac_peer);
    pass(&rig, HG_SEC(700)); /* removed for being idle */
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 0);
    resolve(&rig, IP_PEER, &mac_peer);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 4), 1);
    rig_close(&rig);
}

static void test_learn_from_a_sibling(void)
{
    struct hg_neighbour told[1];
    struct rig rig;

    open_quiet(&rig, NULL);
    emit(&rig, IP_PEER);
    take_sent(&rig);
    rig_know(&rig, IP_PEER, &mac_peer);
    CU_ASSERT_EQUAL(take_sent(&rig).packets, 1);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 0);
    rig_close(&rig);
}

static void two_queues(struct rig *rig, struct hg_net_cfg *cfg)
{
    (void)cfg;
    rig->port.n_queues = 2;
}

/* Another shard asked, the answer came to our queue: it is not believed, but we ask as well, and
 * then tell. Later confirmations of what we know are told too, once per second. */
static void test_answers_to_a_sibling(void)
{
    struct hg_neighbour told[1];
    struct rig rig;

    open_quiet(&rig, two_queues);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 0);
    CU_ASSERT_EQUAL(take_sent(&rig).requests, 1);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 1);
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 0);
    pass(&rig, HG_SEC(31));
    arp(&rig, 2, IP_PEER, &mac_peer, IP_SELF);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 1);
    arp(&rig, 2, IP_PEER, &mac_liar, IP_SELF);
    CU_ASSERT_EQUAL(hg_net_learnt(rig.net, told, 1), 0);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_arp", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "announces itself", test_announces_itself) ||
        !CU_add_test(suite, "resolution", test_resolution) ||
        !CU_add_test(suite, "wait queue", test_wait_queue_keeps_the_newest) ||
        !CU_add_test(suite, "no answer", test_no_answer) ||
        !CU_add_test(suite, "request ends hold-down", test_request_ends_hold_down) ||
        !CU_add_test(suite, "requests are answered", test_requests_are_answered) ||
        !CU_add_test(suite, "ageing", test_ageing) ||
        !CU_add_test(suite, "neighbour that dies", test_neighbour_that_dies) ||
        !CU_add_test(suite, "strangers", test_unasked_strangers_are_ignored) ||
        !CU_add_test(suite, "answers to others", test_answers_to_others_are_not_ours) ||
        !CU_add_test(suite, "lies", test_lies_about_the_known_only_raise_a_question) ||
        !CU_add_test(suite, "a liar wins no race", test_a_liar_wins_no_race) ||
        !CU_add_test(suite, "move is followed", test_move_is_followed) ||
        !CU_add_test(suite, "our address is defended", test_our_address_is_defended) ||
        !CU_add_test(suite, "unsolicited, configured", test_unsolicited_when_configured) ||
        !CU_add_test(suite, "full table", test_full_table) ||
        !CU_add_test(suite, "table full of askers", test_table_full_of_askers) ||
        !CU_add_test(suite, "request rate", test_request_rate_is_bounded) ||
        !CU_add_test(suite, "waiting packets", test_waiting_packets_are_bounded) ||
        !CU_add_test(suite, "waiting is counted down", test_waiting_packets_are_counted_down) ||
        !CU_add_test(suite, "empty pool", test_empty_pool) ||
        !CU_add_test(suite, "told once", test_learnt_is_told_once) ||
        !CU_add_test(suite, "forgotten is not told", test_forgotten_is_not_told) ||
        !CU_add_test(suite, "learn from a sibling", test_learn_from_a_sibling) ||
        !CU_add_test(suite, "answers to a sibling", test_answers_to_a_sibling))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
