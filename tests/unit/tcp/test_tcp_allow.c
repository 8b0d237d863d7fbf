/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners that take connections from some addresses only. */
#include "rig.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

#define OFFER 1000 /* window of every segment */

static struct rig rig;
static struct hg_tcp_allow list;
static const struct hg_ip any_ip;

/* Peers: the first three are in the list, and the others next to it. */
static const char *const peers[] = {
    "192.0.2.64",         "192.0.2.127",       "2001:db8:1:8000::", "192.0.2.128", "192.0.2.63",
    "2001:db8:1:7fff::1", "2001:db8:2:8000::", "::192.0.2.64",      "198.51.100.1"};
#define IN_LIST 3u

static void allow(const char *prefix)
{
    struct hg_net_prefix *p = &list.prefix[list.n++];

    CU_ASSERT_EQUAL_FATAL(hg_ip_parse_prefix(prefix, &p->ip, &p->len), 0);
}

/* A stack with a listener that has the list. */
static void begin(const struct hg_tcp_cfg *cfg, bool silent)
{
    list = (struct hg_tcp_allow){.silent = silent};
    allow("203.0.113.0/24"); /* nobody here is in it */
    allow("192.0.2.64/26");
    allow("2001:db8:1:8000::/49");
    rig_init(&rig, cfg);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL), 0);
    CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, &any_ip, RIG_PORT, &list), 0);
}

/* A bare segment from a peer; numbers are as in its header. */
static void from(const char *peer, struct tcp_hdr h)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = {.lport = RIG_PORT, .rport = 40000}};
    bool v6 = strchr(peer, ':') != NULL;

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_EQUAL(hg_ip_parse(v6 ? "2001:db8::1" : "192.0.2.1", &seg.flow.local), 0);
    CU_ASSERT_EQUAL_FATAL(hg_ip_parse(peer, &seg.flow.remote), 0);
    h.sport = 40000;
    h.dport = RIG_PORT;
    h.wnd = OFFER;
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, TCP_HDR_LEN), &h);
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    rig_poll(&rig);
}

static void syn(const char *peer)
{
    from(peer, (struct tcp_hdr){.flags = TCP_SYN, .seq = 1});
}

/* What left last was a segment with these flags; returns its sequence number. */
static uint32_t answered(uint8_t flags)
{
    const struct rig_out *o = rig_take(&rig);

    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, flags);
    return o->h.seq;
}

static void test_only_those_in_the_list(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(peers); i++) {
        begin(NULL, true);
        syn(peers[i]);
        if (i < IN_LIST) {
            answered(TCP_SYN | TCP_ACK);
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 0);
        } else {
            rig_expect_none(&rig);
            CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 0);
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 1);
        }
        rig_fini(&rig);
    }
}

/* Each kind of segment that scanners send. */
static void test_strangers_see_no_port_or_a_closed_one(void)
{
    static const uint8_t flags[] = {TCP_SYN, TCP_ACK, TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK,
                                    TCP_FIN, 0,       TCP_RST,           TCP_RST | TCP_ACK};
    static const struct {
        bool silent, closed_silent;
    } rows[] = {{true, false}, {true, true}, {false, true}, {false, false}};

    for (unsigned r = 0; r < HG_ARRAY_LEN(rows); r++)
        for (unsigned i = 0; i < HG_ARRAY_LEN(flags); i++) {
            struct hg_tcp_cfg cfg = {.closed_silent = rows[r].closed_silent};
            struct tcp_hdr h = {.flags = flags[i], .seq = 1, .ack = 9};

            begin(&cfg, rows[r].silent);
            from("192.0.2.128", h);
            if (r == 3 && !(flags[i] & TCP_RST)) {
                const struct rig_out *listening = rig_take(&rig);

                CU_ASSERT_PTR_NOT_NULL_FATAL(listening);
                CU_ASSERT_EQUAL(hg_tcp_unlisten(rig.tcp, &any_ip, RIG_PORT), 0);
                from("192.0.2.128", h);
                const struct rig_out *closed = rig_take(&rig);
                CU_ASSERT_PTR_NOT_NULL_FATAL(closed);
                CU_ASSERT_EQUAL(memcmp(&listening->h, &closed->h, sizeof closed->h), 0);
                CU_ASSERT(closed->h.flags & TCP_RST);
            }
            rig_expect_none(&rig);
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 1);
            rig_fini(&rig);
        }
}

static void test_cookies(void)
{
    struct hg_tcp_cfg cfg = {.half_open_max = 1};

    for (unsigned family = 0; family < 2; family++) {
        const char *known = family ? "2001:db8:1:ffff::1" : "192.0.2.100";
        const char *stranger = family ? "2001:db8:1:7fff::1" : "192.0.2.128";

        begin(&cfg, true);
        syn(family ? "192.0.2.100" : "2001:db8:1:ffff::1"); /* the one half-open connection */
        rig_skip(&rig);
        syn(stranger);
        rig_expect_none(&rig);
        CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_sent"), 0);
        syn(known);
        uint32_t iss = answered(TCP_SYN | TCP_ACK);
        CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_sent"), 1);
        /* Somebody else cannot bring it back, nor can its owner when the list no longer has it. */
        struct tcp_hdr ack = {.flags = TCP_ACK, .seq = 2, .ack = iss + 1};
        from(stranger, ack);
        list.prefix[1 + family] = list.prefix[0];
        from(known, ack);
        rig_expect_none(&rig);
        CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 3);
        CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_bad"), 0);
        CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
        CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, &any_ip, RIG_PORT, NULL), 0);
        from(known, ack);
        CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 1);
        rig_fini(&rig);
    }
}

static void test_connections_that_stand_go_on(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig); /* from 10.0.0.2 */
    list = (struct hg_tcp_allow){.silent = true};
    allow("192.0.2.64/26");
    const struct hg_ip *local = &hg_tcp_conn_flow(rig.conn)->local;
    CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, local, RIG_PORT, &list), 0);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 900, .len = 500});
    rig_expect(&rig, TCP_ACK, 1, 501);
    rig_read(&rig, 1, 500);
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), "ESTABLISHED");
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 0);
    /* A second one from there is not begun. */
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 900, .port = 5});
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 1);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 1);
    rig_fini(&rig);
}

static unsigned passed;

static bool take_stray(void *arg, const struct hg_seg *seg)
{
    (void)arg;
    passed++;
    rte_pktmbuf_free(seg->m);
    return true;
}

/* Its connection may be with another stack of the node, but a SYN begins one here. */
static void test_strays_are_passed_on(void)
{
    begin(NULL, true);
    rig.tcp->env.stray = take_stray;
    passed = 0;
    from("192.0.2.128", (struct tcp_hdr){.flags = TCP_ACK, .seq = 1, .ack = 9});
    CU_ASSERT_EQUAL(passed, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 0);
    syn("192.0.2.128");
    CU_ASSERT_EQUAL(passed, 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 1);
    rig_expect_none(&rig);
    rig_fini(&rig);
}

static void test_lists(void)
{
    static const struct hg_tcp_allow none = {.silent = true};

    begin(NULL, true);
    CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, &any_ip, RIG_PORT + 1, &list), -ENOENT);
    /* An empty one is no limit. */
    CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, &any_ip, RIG_PORT, &none), 0);
    syn("198.51.100.1");
    answered(TCP_SYN | TCP_ACK);
    /* One of length 0 is all of its family. */
    list.n = 0;
    allow("0.0.0.0/0");
    CU_ASSERT_EQUAL(hg_tcp_allow(rig.tcp, &any_ip, RIG_PORT, &list), 0);
    syn("203.0.113.255");
    answered(TCP_SYN | TCP_ACK);
    syn("2001:db8::9");
    rig_expect_none(&rig);
    list.n = 0;
    allow("::/0");
    syn("2001:db8::9");
    answered(TCP_SYN | TCP_ACK);
    syn("203.0.113.254");
    rig_expect_none(&rig);
    /* The last of a full list counts. */
    list.n = 0;
    for (unsigned i = 0; i < HG_TCP_ALLOW_MAX; i++)
        allow("192.0.2.9/32");
    list.prefix[HG_TCP_ALLOW_MAX - 1].ip.b[15] = 10;
    syn("192.0.2.10");
    answered(TCP_SYN | TCP_ACK);
    syn("192.0.2.11");
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_not_allowed"), 3);
    /* A listener that takes its place has none. */
    CU_ASSERT_EQUAL(hg_tcp_unlisten(rig.tcp, &any_ip, RIG_PORT), 0);
    CU_ASSERT_EQUAL(hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL), 0);
    syn("192.0.2.11");
    answered(TCP_SYN | TCP_ACK);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"only those in the list are let in, of both families", test_only_those_in_the_list},
        {"strangers see nothing, or what a closed port shows",
         test_strangers_see_no_port_or_a_closed_one},
        {"SYN cookies keep to the list", test_cookies},
        {"connections that stand go on", test_connections_that_stand_go_on},
        {"segments of other stacks' connections are passed on", test_strays_are_passed_on},
        {"empty, full and other lists", test_lists},
    };

    rig_eal();
    return suite_run("tcp_allow", tests, HG_ARRAY_LEN(tests));
}
