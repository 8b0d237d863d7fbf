/* SPDX-License-Identifier: BSD-3-Clause */
/* SYN cookies: what they keep, what is refused, and a handshake in the midst of a flood. */
#include "rig.h"
#include "suite.h"
#include "tcp_cookie.h"

#include <stdlib.h>
#include <string.h>

#define HALF_OPEN 4

static struct rig rig;
static uint64_t seed;

static const struct hg_ip any_ip;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static struct hg_flow flow_from(uint32_t addr, uint16_t port)
{
    struct hg_flow f = {
        {{[10] = 0xff, 0xff, 10, 0, 0, 1}}, {{[10] = 0xff, 0xff, 10}}, RIG_PORT, port};

    f.remote.b[13] = (uint8_t)(addr >> 16);
    f.remote.b[14] = (uint8_t)(addr >> 8);
    f.remote.b[15] = (uint8_t)addr;
    return f;
}

/* One SYN from somewhere else. */
static void flood(uint32_t i)
{
    struct hg_flow f = flow_from(0x10000 + rnd(1u << 22), (uint16_t)(1024 + i % 60000));
    struct tcp_hdr h = {
        .sport = f.rport, .dport = RIG_PORT, .seq = rnd(1u << 31), .flags = TCP_SYN, .wnd = 1000};
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig.data);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = f};

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, TCP_HDR_LEN), &h);
    hg_tcp_input(rig.tcp, &seg, 1, rig.now);
    rig_poll(&rig);
}

static void begin(const struct hg_tcp_cfg *cfg)
{
    struct hg_tcp_cfg full = *cfg;

    full.half_open_max = HALF_OPEN;
    rig_init(&rig, &full);
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    for (uint32_t i = 0; i < HALF_OPEN; i++)
        flood(i);
    rig_skip(&rig);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), HALF_OPEN);
}

/* The rig's SYN, answered by a cookie; returns the SYN-ACK. The rig learns its timestamp. */
static uint32_t echo;

static struct tcp_hdr syn(void)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .wnd = 1000});
    const struct rig_out *o = rig_take(&rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN | TCP_ACK);
    CU_ASSERT_EQUAL(o->h.ack, RIG_IRS + 1);
    rig.iss = o->h.seq;
    echo = o->h.ts_val;
    return o->h;
}

/* A segment of the peer that echoes the SYN-ACK's timestamp. */
static void in(struct rig_in in)
{
    in.ts_ecr = echo;
    rig_in(&rig, in);
}

static void final_ack(void)
{
    in((struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 1000});
}

/* The handshake is done, nothing was read from it, and one ACK opens the window. */
static void expect_accepted(void)
{
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 1);
    CU_ASSERT_EQUAL(o->len, 0);
    CU_ASSERT(o->h.wnd > 0);
    CU_ASSERT_EQUAL((uint32_t)o->h.wnd << rig.conn->rcv_wscale,
                    rig.conn->rcv_adv - rig.conn->rcv_nxt);
    rig_expect_none(&rig);
}

static void test_flood_does_not_shut_out(void)
{
    struct hg_tcp_info info;

    begin(&(struct hg_tcp_cfg){.conns_max = 16, .rcv_buf = 1u << 20});
    for (uint32_t i = 0; i < 50000; i++) {
        flood(i);
        rig_skip(&rig);
    }
    struct tcp_hdr h = syn();
    CU_ASSERT_EQUAL(h.has, TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_WSCALE | TCP_HAS_TS);
    CU_ASSERT_EQUAL(h.wscale, 5);
    CU_ASSERT_EQUAL(h.wnd, 0);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), HALF_OPEN); /* no entry for any of them */
    for (uint32_t i = 0; i < 50000; i++) {
        flood(i);
        rig_skip(&rig);
    }
    final_ack();
    expect_accepted();
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_STRING_EQUAL(info.state, "ESTABLISHED");
    CU_ASSERT_EQUAL(info.snd_mss, RIG_MSS);
    CU_ASSERT(rig.conn->flags & TCP_F_SACK && rig.conn->flags & TCP_F_TS &&
              rig.conn->flags & TCP_F_WSCALE);
    CU_ASSERT_EQUAL(rig.conn->snd_wscale, 0); /* as the rig offers it */
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_sent"), 100001);
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "passive_opens"), 1);
    /* Data flows both ways, the clock of our timestamps does not go back, and SACK is in use. */
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 900, .len = 500});
    rig_expect(&rig, TCP_ACK, 1, 501);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 601, .ack = 1, .wnd = 900, .len = 100});
    const struct rig_out *o = rig_expect(&rig, TCP_ACK, 1, 501);
    CU_ASSERT((int32_t)(o->h.ts_val - echo) >= 0 && o->h.ts_val - echo <= 128);
    CU_ASSERT_EQUAL(o->h.n_sack, 1);
    rig_read(&rig, 1, 500);
    rig_send(&rig, 1, 700);
    rig_poll(&rig);
    CU_ASSERT_EQUAL(rig_expect(&rig, TCP_ACK, 1, 501)->len, 700);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 501, .ack = 701, .wnd = 900});
    hg_tcp_conn_info(rig.conn, &info);
    CU_ASSERT_EQUAL(info.unacked, 0);
    rig_fini(&rig);
}

static void test_established_goes_on_in_a_flood(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.half_open_max = HALF_OPEN});
    rig_accept(&rig);
    for (uint32_t i = 0; i < 20000; i++) {
        flood(i);
        rig_skip(&rig);
        if (i % 100)
            continue;
        rig_in(&rig, (struct rig_in){
                         .flags = TCP_ACK, .seq = 1 + i * 10, .ack = 1, .wnd = 900, .len = 1000});
        rig_read(&rig, 1 + i * 10, 1000);
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_mem_drop"), 0);
    rig_fini(&rig);
}

static void test_by_default_there_is_room_in_a_flood(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.conns_max = 100});
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    for (uint32_t i = 0; i < 1000; i++) {
        flood(i);
        rig_skip(&rig);
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "conn_limit_drop"), 0);
    CU_ASSERT(hg_tcp_conns(rig.tcp) < 60);
    CU_ASSERT(rig_count(&rig, "syncookies_sent") > 900);
    rig_fini(&rig);
}

static void test_without_timestamps_only_the_mss_is_kept(void)
{
    begin(&(struct hg_tcp_cfg){.no_timestamps = true});
    struct tcp_hdr h = syn();
    CU_ASSERT_EQUAL(h.has, TCP_HAS_MSS);
    rig.options = 0;
    final_ack();
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    CU_ASSERT_EQUAL(rig.conn->snd_mss, RIG_MSS);
    CU_ASSERT_FALSE(rig.conn->flags & (TCP_F_SACK | TCP_F_WSCALE | TCP_F_TS));
    rig_fini(&rig);
}

/* The first window is as much a promise as any other: it needs room, and those who wait get theirs in
 * turn. */
static void test_window_opens_when_there_is_memory(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16, .rcv_low = 16384});
    CU_ASSERT_EQUAL(syn().wnd, 0);
    rig.tcp->era[0].promised += 1u << 30; /* somebody else's */
    final_ack();
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    rig_expect_none(&rig);
    CU_ASSERT_EQUAL(rig.conn->grant, TCP_GRANT_WAITING);
    CU_ASSERT_EQUAL(rig.conn->rcv_adv, rig.conn->rcv_nxt);
    in((struct rig_in){.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 1000}); /* it asks */
    CU_ASSERT_EQUAL(rig_expect(&rig, TCP_ACK, 1, 1)->h.wnd, 0);
    rig.tcp->era[0].promised -= 1u << 30;
    rig_poll(&rig);
    CU_ASSERT(rig_expect(&rig, TCP_ACK, 1, 1)->h.wnd > 0);
    CU_ASSERT(rig.conn->rcv_adv - rig.conn->rcv_nxt >= 16384);
    rig_fini(&rig);
}

/* The ACK was lost, and the peer has something to say: each kind of probe there is. */
static void test_a_probe_is_enough(void)
{
    static const struct rig_in probes[] = {
        {.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 900},           /* Linux, and we */
        {.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 900, .len = 1}, /* with an old byte */
        {.flags = TCP_ACK,
         .seq = 1,
         .ack = 1,
         .wnd = 900,
         .len = 1}, /* BSD: with the first new one */
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(probes); i++) {
        begin(&(struct hg_tcp_cfg){.conns_max = 16});
        syn();
        in(probes[i]);
        expect_accepted();
        CU_ASSERT_EQUAL(rig.conn->snd_wnd, 900);
        CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 1);
        in((struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 900, .len = 400});
        rig_event(&rig, HG_TCP_EV_READABLE);
        rig_read(&rig, 1, 400);
        rig_fini(&rig);
    }
}

static void test_text_behind_a_closed_window_is_not_taken(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    in((struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 400});
    expect_accepted();
    CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
    in((struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .len = 400});
    rig_event(&rig, HG_TCP_EV_READABLE);
    rig_read(&rig, 1, 400);
    rig_fini(&rig);
}

static void expect_refused(uint64_t bad)
{
    const struct rig_out *o = rig_take(&rig);

    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_RST);
    rig_no_event(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_bad"), bad);
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 0);
}

static void test_forged_acks_are_refused(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    uint32_t iss = rig.iss, stamp = echo;
    for (uint32_t i = 0; i < 20000; i++) { /* guesses */
        rig.iss = rnd(1u << 31) * 2 + i;
        if (rig.iss == iss)
            continue;
        final_ack();
        rig_skip(&rig);
    }
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 0);
    uint64_t bad = rig_count(&rig, "syncookies_bad");
    CU_ASSERT(bad >= 19990);
    for (unsigned bit = 0; bit < 32; bit++) { /* each bit of it counts */
        rig.iss = iss ^ 1u << bit;
        final_ack();
        expect_refused(++bad);
    }
    rig.iss = iss;
    for (unsigned bit = 0; bit < TCP_COOKIE_TS_BITS; bit++) { /* and of the options */
        echo = stamp ^ 1u << bit;
        final_ack();
        expect_refused(++bad);
    }
    echo = stamp;
    in((struct rig_in){.flags = TCP_ACK, .seq = 2, .ack = 1, .wnd = 9}); /* another ISN */
    expect_refused(++bad);
    in((struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 9, .no_ts = true});
    expect_refused(++bad);
    /* The number before the ACK's is for probes alone. */
    in((struct rig_in){.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 9, .len = 2});
    expect_refused(++bad);
    in((struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 0, .ack = 1, .wnd = 9});
    expect_refused(++bad);
    in((struct rig_in){.flags = TCP_ACK, .seq = UINT32_MAX, .ack = 1, .wnd = 9, .len = 1});
    expect_refused(++bad);
    final_ack();
    rig_event(&rig, HG_TCP_EV_ACCEPTED);
    rig_fini(&rig);
}

static void test_old_cookies_are_refused(void)
{
    const hg_ns slot = (hg_ns)1 << TCP_COOKIE_SLOT_SHIFT;

    /* The rig's time is 100 s, 31 s into a slot of 69. */
    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    rig_advance(&rig, 2 * slot - HG_SEC(40));
    rig_skip(&rig);
    for (uint32_t i = 0; i < HALF_OPEN + 1; i++) /* cookies are sent again */
        flood(i);
    rig_skip(&rig);
    final_ack(); /* the slot after its own: good */
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 1);
    rig_fini(&rig);

    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    rig_advance(&rig, 2 * slot);
    for (uint32_t i = 0; i < HALF_OPEN + 1; i++)
        flood(i);
    rig_skip(&rig);
    final_ack();
    expect_refused(1);
    rig_fini(&rig);
}

static void test_none_is_taken_when_none_was_sent(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    rig_advance(&rig, HG_SEC(300));
    rig_skip(&rig);
    final_ack();
    expect_refused(0); /* not even looked at: an ACK for no connection */
    CU_ASSERT_EQUAL(rig_count(&rig, "rx_no_conn"), 1);
    rig_fini(&rig);
}

static void test_a_replay_makes_no_second_connection(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16});
    syn();
    final_ack();
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    hg_tcp_abort(rig.conn);
    rig_event(&rig, HG_TCP_EV_CLOSED);
    hg_tcp_release(rig.conn);
    rig_skip(&rig);
    final_ack();
    rig_no_event(&rig);
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_bad"), 1);
    CU_ASSERT_EQUAL(rig_count(&rig, "syncookies_ok"), 1);
    rig_fini(&rig);
}

static void test_backlog_is_bounded(void)
{
    rig_init(&rig, &(struct hg_tcp_cfg){.accept_max = 1});
    hg_tcp_listen(rig.tcp, &any_ip, RIG_PORT, NULL);
    flood(1); /* half-open before the backlog is full */
    rig_skip(&rig);
    syn();
    final_ack();
    rig_skip(&rig);
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 2);
    flood(2); /* a new one is not begun */
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 2);
    CU_ASSERT_EQUAL(rig_count(&rig, "accept_drop"), 1);
    rig.conn = rig_event(&rig, HG_TCP_EV_ACCEPTED);
    flood(3); /* the service took one: there is room */
    CU_ASSERT_EQUAL(hg_tcp_conns(rig.tcp), 3);
    rig_fini(&rig);
}

static void test_full_backlog_delays_a_handshake(void)
{
    begin(&(struct hg_tcp_cfg){.conns_max = 16, .accept_max = 1});
    syn();
    rig.tcp->n_backlog = 1; /* somebody else's */
    final_ack();
    rig_no_event(&rig);
    rig_expect_none(&rig);
    rig.tcp->n_backlog = 0;
    in((struct rig_in){.flags = TCP_ACK, .seq = 0, .ack = 1, .wnd = 9}); /* it asks for a window */
    expect_accepted();
    CU_ASSERT_EQUAL(rig.tcp->n_backlog, 0);
    rig_fini(&rig);
}

/* What make() says it keeps is what check() reads, for any SYN. */
static void test_round_trip(void)
{
    static struct tcp_cookies c;
    unsigned exact = 0;

    memset(&c, 0, sizeof c);
    c.secret[0] = 1;
    for (unsigned i = 0; i < 20000; i++) {
        struct hg_flow f = flow_from(rnd(1u << 24), (uint16_t)rnd(65536));
        struct tcp_cookie_syn s = {.seq = rnd(1u << 31) * 2 + rnd(2),
                                   .mss = (uint16_t)rnd(9001),
                                   .has = TCP_HAS_MSS | (uint8_t)rnd(16),
                                   .ecn = rnd(2),
                                   .wscale = (uint8_t)rnd(TCP_WSCALE_MAX + 1)};
        struct tcp_cookie sent, got;
        uint32_t clock = rnd(1u << 31) * 2;
        tcp_cookie_make(&c, &f, &s, HG_SEC(5), &sent);
        uint32_t ts = tcp_cookie_ts(clock, sent.ts_bits);
        CU_ASSERT(clock - ts <= 64);
        struct tcp_hdr ack = {
            .seq = s.seq + 1, .ack = sent.iss + 1, .has = s.has & TCP_HAS_TS, .ts_ecr = ts};
        CU_ASSERT_TRUE_FATAL(tcp_cookie_check(&c, &f, &ack, HG_SEC(6), &got));
        CU_ASSERT_EQUAL(got.syn.mss, sent.syn.mss);
        CU_ASSERT(got.syn.mss <= s.mss || s.mss < 64);
        CU_ASSERT(s.mss < 1220 || s.mss > 1460 || got.syn.mss * 100 >= s.mss * 96);
        CU_ASSERT_EQUAL(got.syn.has, sent.syn.has);
        CU_ASSERT_EQUAL(got.syn.has, s.has & TCP_HAS_TS ? s.has : TCP_HAS_MSS);
        if (got.syn.has & TCP_HAS_WSCALE)
            CU_ASSERT_EQUAL(got.syn.wscale, s.wscale);
        CU_ASSERT_EQUAL(got.syn.ecn, s.has & TCP_HAS_TS && s.ecn);
        CU_ASSERT_EQUAL(got.ts_offset, sent.ts_offset);
        exact += got.syn.mss == s.mss;
    }
    CU_ASSERT(exact > 0);
}

int main(int argc, char **argv)
{
    static const struct suite_test tests[] = {
        {"100,000 SYNs do not shut out a handshake", test_flood_does_not_shut_out},
        {"by default there is room in a flood", test_by_default_there_is_room_in_a_flood},
        {"an established connection goes on in a flood", test_established_goes_on_in_a_flood},
        {"without timestamps only the MSS is kept", test_without_timestamps_only_the_mss_is_kept},
        {"the window opens when there is memory for it", test_window_opens_when_there_is_memory},
        {"a probe of the closed window is enough", test_a_probe_is_enough},
        {"text behind a closed window is not taken", test_text_behind_a_closed_window_is_not_taken},
        {"forged ACKs are refused", test_forged_acks_are_refused},
        {"old cookies are refused", test_old_cookies_are_refused},
        {"none is taken when none was sent", test_none_is_taken_when_none_was_sent},
        {"a replay makes no second connection", test_a_replay_makes_no_second_connection},
        {"the backlog is bounded", test_backlog_is_bounded},
        {"a full backlog delays a handshake", test_full_backlog_delays_a_handshake},
        {"round trip of any SYN", test_round_trip},
    };

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    printf("seed %lu\n", seed);
    rig_eal();
    return suite_run("tcp_cookie", tests, HG_ARRAY_LEN(tests));
}
