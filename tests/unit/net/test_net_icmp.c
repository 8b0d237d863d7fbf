/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP: echo is answered in any form and at a bounded rate; errors reach TCP with the right flow.
 */
#include "net_rig.h"
#include <string.h>

static void expect_echo(struct rig *rig, const struct frame *f, unsigned ip_len, unsigned i)
{
    struct frame out;
    unsigned len = get16(f->b + 16) - ip_len;

    rig_sent(rig, i, &out);
    CU_ASSERT_EQUAL_FATAL(out.len, 34 + len);
    CU_ASSERT_EQUAL(memcmp(out.b, &mac_peer, 6), 0);
    CU_ASSERT_EQUAL(memcmp(out.b + 6, &mac_self, 6), 0);
    CU_ASSERT_EQUAL(out.b[14], 0x45);
    CU_ASSERT_EQUAL(get16(out.b + 16), 20 + len);
    CU_ASSERT_EQUAL(out.b[23], 1);
    CU_ASSERT_EQUAL(get32(out.b + 26), IP_SELF);
    CU_ASSERT_EQUAL(get32(out.b + 30), IP_PEER);
    CU_ASSERT_EQUAL(plain_sum(out.b + 14, 20, 0), 0);
    CU_ASSERT_EQUAL(out.b[34], 0);
    CU_ASSERT_EQUAL(plain_sum(out.b + 34, len, 0), 0);
    CU_ASSERT_EQUAL(memcmp(out.b + 38, f->b + 14 + ip_len + 4, len - 4), 0);
}

static void test_echo_is_answered(void)
{
    static const unsigned payload[] = {0, 1, 56, 1471, 1472};
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(payload); i++) {
        frame_icmp(&f, 8, 0, payload[i]);
        rig_feed(&rig, &f, i % 2 ? 100 : 0, NULL);
        expect_echo(&rig, &f, 20, i);
    }
    /* With options, padding, and a sum that wraps when the type goes to zero. */
    frame_icmp(&f, 8, 0, 4);
    memset(f.b + 38, 0, 8);
    put16(f.b + 38, 0xf7fd);
    frame_options(&f, (const uint8_t *)"\x01\x01\x01\x00", 4);
    frame_sums(&f);
    f.len += 6;
    rig_feed(&rig, &f, 0, NULL);
    expect_echo(&rig, &f, 24, HG_ARRAY_LEN(payload));
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_echo, HG_ARRAY_LEN(payload) + 1);
    rig_close(&rig);
}

/* A peer on the link may send more than our MTU; we answer in fragments. */
static void test_echo_beyond_the_mtu(void)
{
    struct rig rig;
    struct frame f, out;

    rig_open(&rig, NULL);
    frame_icmp(&f, 8, 0, 1473);
    rig_feed(&rig, &f, 0, NULL);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_echo, 1);
    hg_net_flush(rig.net);
    CU_ASSERT_EQUAL_FATAL(rig.n_tx, 2);
    rig_sent(&rig, 0, &out);
    CU_ASSERT_EQUAL(out.len, 14 + 1500);
    CU_ASSERT_EQUAL(get16(out.b + 20), 0x2000); /* more fragments, offset 0, no DF */
    CU_ASSERT_EQUAL(plain_sum(out.b + 14, 20, 0), 0);
    rig_sent(&rig, 1, &f);
    CU_ASSERT_EQUAL(f.len, 14 + 20 + 1);
    CU_ASSERT_EQUAL(get16(f.b + 20), 1480 / 8);
    CU_ASSERT_EQUAL(get16(f.b + 18), get16(out.b + 18)); /* one id */
    rig_close(&rig);
}

static void test_echo_has_a_rate(void)
{
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    frame_icmp(&f, 8, 0, 20);
    for (unsigned ms = 0; ms < 500; ms++) {
        for (unsigned i = 0; i < 5; i++)
            rig_feed(&rig, &f, 0, NULL);
        hg_net_flush(rig.net);
        rig_forget_tx(&rig);
        rig.now += HG_MS(1);
    }
    CU_ASSERT_TRUE(rig_counters(&rig)->rx_icmp_echo >= 500);
    CU_ASSERT_TRUE(rig_counters(&rig)->rx_icmp_echo <= 500 + 64);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_echo + rig_counters(&rig)->rx_icmp_limited, 2500);
    rig_close(&rig);
}

/* An ICMP error whose quote is what we sent: IPv4 header and 8 bytes of TCP. */
static void frame_error(struct frame *f, uint8_t code, uint16_t mtu, uint16_t quoted_len)
{
    uint8_t *q = f->b + 42;

    frame_icmp(f, 3, code, 28);
    memset(f->b + 38, 0, 4 + 28);
    put16(f->b + 40, mtu);
    q[0] = 0x45;
    put16(q + 2, quoted_len);
    q[9] = 6;
    put32(q + 12, IP_SELF);
    put32(q + 16, IP_FAR);
    put16(q + 20, 1500);
    put16(q + 22, 40001);
    put32(q + 24, 0xa1b2c3d4);
    frame_sums(f);
}

static void test_errors_reach_tcp(void)
{
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig_open(&rig, NULL);
    frame_error(&f, 3, 0, 1500);
    CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 25, &seg), 1);
    CU_ASSERT_EQUAL(seg.kind, HG_SEG_UNREACHABLE);
    CU_ASSERT_PTR_NULL(seg.m);
    CU_ASSERT_EQUAL(seg.icmp_code, 3);
    CU_ASSERT_EQUAL(seg.quoted_seq, 0xa1b2c3d4);
    CU_ASSERT_EQUAL(hg_ip_to_v4(&seg.flow.local), IP_SELF);
    CU_ASSERT_EQUAL(hg_ip_to_v4(&seg.flow.remote), IP_FAR);
    CU_ASSERT_EQUAL(seg.flow.lport, 1500);
    CU_ASSERT_EQUAL(seg.flow.rport, 40001);
    frame_error(&f, 4, 1400, 1500);
    CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 0, &seg), 1);
    CU_ASSERT_EQUAL(seg.kind, HG_SEG_TOO_BIG);
    CU_ASSERT_EQUAL(seg.mtu, 1400);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_error, 2);
    rig_close(&rig);
}

static void test_old_routers_get_a_plateau(void)
{
    static const unsigned want[][2] = {{1500, 1492}, {1492, 1006}, {9000, 8166}, {69, 68}};
    struct rig rig;
    struct frame f;
    struct hg_seg seg;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(want); i++) {
        frame_error(&f, 4, 0, (uint16_t)want[i][0]);
        CU_ASSERT_EQUAL_FATAL(rig_feed(&rig, &f, 0, &seg), 1);
        CU_ASSERT_EQUAL(seg.mtu, want[i][1]);
    }
    rig_close(&rig);
}

static void test_impossible_errors_are_refused(void)
{
    static const unsigned mtu_and_len[][2] = {{1500, 1500}, {1501, 1500}, {67, 1500}, {0, 68}};
    struct rig rig;
    struct frame f;

    rig_open(&rig, NULL);
    for (unsigned i = 0; i < HG_ARRAY_LEN(mtu_and_len); i++) {
        frame_error(&f, 4, (uint16_t)mtu_and_len[i][0], (uint16_t)mtu_and_len[i][1]);
        CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    }
    frame_error(&f, 3, 0, 1500);
    put32(f.b + 42 + 12, IP_PEER); /* quotes a packet that is not ours */
    frame_sums(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    frame_error(&f, 3, 0, 1500);
    f.b[42] = 0x46; /* 4 bytes of options: the quoted TCP header is cut */
    frame_sums(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_bad, HG_ARRAY_LEN(mtu_and_len) + 2);
    frame_error(&f, 3, 0, 1500);
    f.b[42 + 9] = 17;
    frame_sums(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    frame_error(&f, 3, 0, 1500);
    f.b[42 + 7] = 1; /* a later fragment: what follows is not a TCP header */
    frame_sums(&f);
    CU_ASSERT_EQUAL(rig_feed(&rig, &f, 0, NULL), 0);
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_icmp_other, 2);
    rig_close(&rig);
}

int main(void)
{
    CU_pSuite suite;

    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_icmp", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "echo is answered", test_echo_is_answered) ||
        !CU_add_test(suite, "echo beyond the MTU", test_echo_beyond_the_mtu) ||
        !CU_add_test(suite, "echo has a rate", test_echo_has_a_rate) ||
        !CU_add_test(suite, "errors reach TCP", test_errors_reach_tcp) ||
        !CU_add_test(suite, "plateau", test_old_routers_get_a_plateau) ||
        !CU_add_test(suite, "impossible errors", test_impossible_errors_are_refused))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
