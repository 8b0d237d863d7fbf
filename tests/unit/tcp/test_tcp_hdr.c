/* SPDX-License-Identifier: BSD-3-Clause */
/* Header and options: what is read, what is refused, and that building and reading agree. */
#include "suite.h"
#include "tcp_hdr.h"

#include <errno.h>
#include <headgate/base.h>
#include <string.h>

/* A header with these option bytes, padded with END; returns its length. */
static unsigned make(uint8_t *p, const uint8_t *opt, unsigned n)
{
    static const uint8_t fixed[12] = {0x05, 0xdc, 0x9c, 0x40, 1, 2, 3, 4, 5, 6, 7, 8};
    unsigned len = TCP_HDR_LEN + (n + 3) / 4 * 4;

    memset(p, 0, TCP_HDR_LEN_MAX);
    memcpy(p, fixed, sizeof fixed);
    p[12] = (uint8_t)(len / 4 << 4);
    p[13] = TCP_ACK | TCP_PSH;
    p[14] = 0x12;
    p[15] = 0x34;
    if (n)
        memcpy(p + TCP_HDR_LEN, opt, n);
    return len;
}

static void test_fixed_part(void)
{
    uint8_t p[TCP_HDR_LEN_MAX];
    struct tcp_hdr h;
    unsigned len = make(p, NULL, 0);

    CU_ASSERT_EQUAL(tcp_hdr_parse(p, len, &h), 0);
    CU_ASSERT_EQUAL(h.sport, 1500);
    CU_ASSERT_EQUAL(h.dport, 40000);
    CU_ASSERT_EQUAL(h.seq, 0x01020304);
    CU_ASSERT_EQUAL(h.ack, 0x05060708);
    CU_ASSERT_EQUAL(h.wnd, 0x1234);
    CU_ASSERT_EQUAL(h.flags, TCP_ACK | TCP_PSH);
    CU_ASSERT_EQUAL(h.len, 20);
    CU_ASSERT_EQUAL(h.has, 0);
    CU_ASSERT_EQUAL(h.n_sack, 0);
}

static void test_lengths(void)
{
    uint8_t p[TCP_HDR_LEN_MAX];
    struct tcp_hdr h;
    unsigned len = make(p, (const uint8_t[]){1, 1, 1, 1}, 4);

    CU_ASSERT_EQUAL(tcp_hdr_parse(p, len, &h), 0);
    for (unsigned avail = 0; avail < len; avail++)
        CU_ASSERT_EQUAL(tcp_hdr_parse(p, avail, &h), -EMSGSIZE);
    for (unsigned words = 0; words < 5; words++) {
        p[12] = (uint8_t)(words << 4);
        CU_ASSERT_EQUAL(tcp_hdr_parse(p, sizeof p, &h), -EMSGSIZE);
    }
}

static const struct {
    const char *what;
    uint8_t opt[40];
    unsigned n;
    int rc;
    uint8_t has;
    uint8_t n_sack;
} rows[] = {
    {"only NOPs", {1, 1, 1, 1}, 4, 0, 0, 0},
    {"END hides what follows", {0, 2, 9, 9}, 4, 0, 0, 0},
    {"MSS", {2, 4, 5, 0xb4}, 4, 0, TCP_HAS_MSS, 0},
    {"MSS too short", {2, 3, 5, 0}, 4, -EINVAL, 0, 0},
    {"MSS too long", {2, 5, 5, 0xb4, 0}, 5, -EINVAL, 0, 0},
    {"window scale", {3, 3, 7}, 3, 0, TCP_HAS_WSCALE, 0},
    {"window scale, wrong length", {3, 4, 7, 0}, 4, -EINVAL, 0, 0},
    {"SACK permitted", {4, 2}, 2, 0, TCP_HAS_SACK_OK, 0},
    {"SACK permitted, wrong length", {4, 3, 0}, 3, -EINVAL, 0, 0},
    {"timestamps, usual layout", {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 12, 0, TCP_HAS_TS, 0},
    {"timestamps, other layout", {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, 12, 0, TCP_HAS_TS, 0},
    {"timestamps, wrong length", {8, 9, 0, 0, 0, 1, 0, 0, 0}, 9, -EINVAL, 0, 0},
    {"one SACK block", {5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 10, 0, 0, 1},
    {"four SACK blocks", {5, 34}, 34, 0, 0, 4},
    {"SACK with half a block", {5, 14}, 14, -EINVAL, 0, 0},
    {"SACK without a block", {5, 2}, 2, -EINVAL, 0, 0},
    {"unknown option is skipped", {254, 6, 1, 2, 3, 4, 4, 2}, 8, 0, TCP_HAS_SACK_OK, 0},
    {"length 0", {254, 0, 0, 0}, 4, -EINVAL, 0, 0},
    {"length 1", {254, 1, 0, 0}, 4, -EINVAL, 0, 0},
    {"length beyond the header", {254, 9, 0, 0, 0, 0, 0, 0}, 8, -EINVAL, 0, 0},
    {"kind in the last byte, no length", {1, 1, 1, 8}, 4, -EINVAL, 0, 0},
    {"known option beyond the header", {1, 1, 2, 4}, 4, -EINVAL, 0, 0},
};

static void test_options(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        uint8_t p[TCP_HDR_LEN_MAX];
        struct tcp_hdr h;
        unsigned len = make(p, rows[i].opt, rows[i].n);
        int rc = tcp_hdr_parse(p, len, &h);
        if (rc != rows[i].rc)
            printf("\n    row: %s", rows[i].what);
        CU_ASSERT_EQUAL(rc, rows[i].rc);
        if (rc)
            continue;
        CU_ASSERT_EQUAL(h.has, rows[i].has);
        CU_ASSERT_EQUAL(h.n_sack, rows[i].n_sack);
    }
}

static void test_scale_above_14_is_14(void)
{
    uint8_t p[TCP_HDR_LEN_MAX];
    struct tcp_hdr h;

    for (unsigned shift = 0; shift < 256; shift++) {
        const uint8_t opt[3] = {3, 3, (uint8_t)shift};
        CU_ASSERT_EQUAL(tcp_hdr_parse(p, make(p, opt, 3), &h), 0);
        CU_ASSERT_EQUAL(h.wscale, shift > 14 ? 14 : shift);
    }
}

static void test_build_and_parse_agree(void)
{
    for (unsigned has = 0; has < 16; has++) {
        for (unsigned n = 0; n <= TCP_SACK_BLOCKS; n++) {
            struct tcp_hdr in = {.seq = 0xfffffff0,
                                 .ack = 7,
                                 .sport = 1,
                                 .dport = 65535,
                                 .wnd = 65535,
                                 .flags = TCP_SYN | TCP_FIN,
                                 .has = (uint8_t)has,
                                 .mss = 1460,
                                 .wscale = 7,
                                 .ts_val = 0xdeadbeef,
                                 .ts_ecr = 3};
            struct tcp_hdr out;
            uint8_t p[TCP_HDR_LEN_MAX + 1];
            if (n > tcp_hdr_sack_max(&in))
                continue;
            in.n_sack = (uint8_t)n;
            for (unsigned k = 0; k < n; k++)
                in.sack[k] = (struct tcp_block){100 * k, 100 * k + 50};
            p[TCP_HDR_LEN_MAX] = 0x5a;
            unsigned len = tcp_hdr_build(p, &in);
            CU_ASSERT_EQUAL(len, tcp_hdr_size(&in));
            CU_ASSERT(len % 4 == 0 && len <= TCP_HDR_LEN_MAX);
            CU_ASSERT_EQUAL(p[TCP_HDR_LEN_MAX], 0x5a);
            CU_ASSERT_EQUAL_FATAL(tcp_hdr_parse(p, len, &out), 0);
            CU_ASSERT_EQUAL(out.len, len);
            CU_ASSERT_EQUAL(out.seq, in.seq);
            CU_ASSERT_EQUAL(out.ack, in.ack);
            CU_ASSERT_EQUAL(out.sport, in.sport);
            CU_ASSERT_EQUAL(out.dport, in.dport);
            CU_ASSERT_EQUAL(out.wnd, in.wnd);
            CU_ASSERT_EQUAL(out.flags, in.flags);
            CU_ASSERT_EQUAL(out.has, in.has);
            if (has & TCP_HAS_MSS)
                CU_ASSERT_EQUAL(out.mss, in.mss);
            if (has & TCP_HAS_WSCALE)
                CU_ASSERT_EQUAL(out.wscale, in.wscale);
            if (has & TCP_HAS_TS)
                CU_ASSERT(out.ts_val == in.ts_val && out.ts_ecr == in.ts_ecr);
            CU_ASSERT_EQUAL(out.n_sack, n);
            CU_ASSERT_EQUAL(memcmp(out.sack, in.sack, n * sizeof in.sack[0]), 0);
        }
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"fixed part", test_fixed_part},
        {"lengths", test_lengths},
        {"options", test_options},
        {"window scale is at most 14", test_scale_above_14_is_14},
        {"build and parse agree", test_build_and_parse_agree},
    };
    return suite_run("tcp_hdr", tests, HG_ARRAY_LEN(tests));
}
