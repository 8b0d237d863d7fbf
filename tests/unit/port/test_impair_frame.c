/* SPDX-License-Identifier: BSD-3-Clause */
/* What a path does to frames: ECN bits, CE, and the answer to what is too big; never beyond the
 * bytes it was given. */
#include <headgate/impair.h>
#include <CUnit/Basic.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <stdlib.h>
#include <string.h>

#define VLAN 4u

static uint8_t frame[2000];

/* Frames lie at the end of memory of just their size, so that a sanitizer sees a read beyond them. */
static uint8_t *exactly(uint32_t len)
{
    uint8_t *p = malloc(len != 0 ? len : 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    memcpy(p, frame, len);
    return p;
}

static bool ect(uint32_t len)
{
    uint8_t *p = exactly(len);
    bool is = hg_impair_frame_ect(p, len);

    free(p);
    return is;
}

static uint32_t too_big(uint32_t len, uint8_t answer[HG_IMPAIR_ANSWER_MAX])
{
    uint8_t *p = exactly(len);
    uint32_t n = hg_impair_frame_too_big(p, len, 1400, answer);

    free(p);
    return n;
}

static uint8_t *make_l2(uint16_t type, bool vlan)
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    uint8_t *p = frame + 12;

    memset(frame, 0xa5, sizeof frame);
    memcpy(frame, macs, sizeof macs);
    if (vlan) {
        memcpy(p, "\x81\x00\x00\x07", 4);
        p += 4;
    }
    memcpy(p, &(uint16_t){rte_cpu_to_be_16(type)}, 2);
    return p + 2;
}

/* A TCP segment of `len` bytes in all, DF set, ECT(0). */
static struct rte_ipv4_hdr *make_v4(uint16_t len, bool vlan)
{
    struct rte_ipv4_hdr *ip = (void *)make_l2(RTE_ETHER_TYPE_IPV4, vlan);

    *ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
                                .type_of_service = 2,
                                .total_length = rte_cpu_to_be_16(len),
                                .fragment_offset = rte_cpu_to_be_16(0x4000),
                                .time_to_live = 64,
                                .next_proto_id = 6,
                                .src_addr = rte_cpu_to_be_32(0xc0000201),
                                .dst_addr = rte_cpu_to_be_32(0xc6336401)};
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    return ip;
}

static struct rte_ipv6_hdr *make_v6(uint16_t len, bool vlan)
{
    struct rte_ipv6_hdr *ip = (void *)make_l2(RTE_ETHER_TYPE_IPV6, vlan);
    uint8_t *b = (uint8_t *)ip;

    memset(ip, 0, sizeof *ip);
    b[0] = 0x60;
    b[1] = 0x20; /* ECT(0) */
    ip->payload_len = rte_cpu_to_be_16((uint16_t)(len - 40));
    ip->proto = 6;
    ip->hop_limits = 64;
    memcpy(b + 8, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    memcpy(b + 24, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    return ip;
}

static void test_ect(void)
{
    for (unsigned vlan = 0; vlan < 2; vlan++) {
        struct rte_ipv4_hdr *v4 = make_v4(100, vlan);
        for (uint8_t bits = 0; bits < 4; bits++) {
            v4->type_of_service = (uint8_t)(0xfc | bits);
            CU_ASSERT_EQUAL(ect(114 + VLAN * vlan), bits != 0);
        }
        uint8_t *v6 = (uint8_t *)make_v6(100, vlan);
        for (uint8_t bits = 0; bits < 4; bits++) {
            v6[1] = (uint8_t)(0xcf | bits << 4);
            CU_ASSERT_EQUAL(ect(114 + VLAN * vlan), bits != 0);
        }
    }
    make_v4(100, false);
    CU_ASSERT_TRUE(ect(34));
    CU_ASSERT_FALSE(ect(33));
    make_v6(100, false);
    CU_ASSERT_TRUE(ect(54));
    CU_ASSERT_FALSE(ect(53));
    make_l2(RTE_ETHER_TYPE_ARP, false);
    CU_ASSERT_FALSE(ect(60));
    for (uint32_t len = 0; len < 20; len++)
        CU_ASSERT_FALSE(ect(len));
}

static void test_mark(void)
{
    for (unsigned tos = 0; tos < 256; tos++) {
        struct rte_ipv4_hdr *v4 = make_v4((uint16_t)(40 + tos * 7), false);
        v4->type_of_service = (uint8_t)tos;
        v4->hdr_checksum = 0;
        v4->hdr_checksum = rte_ipv4_cksum(v4);
        hg_impair_frame_mark_ce(frame, HG_IMPAIR_HEAD);
        CU_ASSERT_EQUAL(v4->type_of_service, tos | 3);
        uint16_t have = v4->hdr_checksum;
        v4->hdr_checksum = 0;
        CU_ASSERT_EQUAL(have, rte_ipv4_cksum(v4));
    }
    uint8_t *v6 = (uint8_t *)make_v6(100, true);
    hg_impair_frame_mark_ce(frame, 118);
    CU_ASSERT_EQUAL(v6[1], 0x30);
    make_l2(RTE_ETHER_TYPE_ARP, false);
    uint8_t before[64];
    memcpy(before, frame, sizeof before);
    hg_impair_frame_mark_ce(frame, sizeof before);
    CU_ASSERT_EQUAL(memcmp(before, frame, sizeof before), 0);
}

static void check_macs(const uint8_t *answer)
{
    CU_ASSERT_EQUAL(memcmp(answer, frame + 6, 6), 0);
    CU_ASSERT_EQUAL(memcmp(answer + 6, frame, 6), 0);
}

static void test_answer_v4(void)
{
    uint8_t answer[HG_IMPAIR_ANSWER_MAX];

    for (unsigned vlan = 0; vlan < 2; vlan++) {
        uint32_t l2 = 14 + VLAN * vlan;
        struct rte_ipv4_hdr *in = make_v4(1500, vlan);
        struct rte_ipv4_hdr *out = (void *)(answer + l2);
        CU_ASSERT_EQUAL_FATAL(too_big(l2 + 1500, answer), l2 + 576);
        check_macs(answer);
        CU_ASSERT_EQUAL(memcmp(answer + 12, frame + 12, l2 - 12), 0);
        CU_ASSERT_EQUAL(rte_be_to_cpu_16(out->total_length), 576);
        CU_ASSERT_EQUAL(out->src_addr, in->dst_addr);
        CU_ASSERT_EQUAL(out->dst_addr, in->src_addr);
        CU_ASSERT_EQUAL(out->next_proto_id, 1);
        CU_ASSERT_EQUAL(rte_raw_cksum(out, 20), 0xffff);
        const uint8_t *icmp = answer + l2 + 20;
        CU_ASSERT_EQUAL(icmp[0], 3);
        CU_ASSERT_EQUAL(icmp[1], 4);
        CU_ASSERT_EQUAL(icmp[6] << 8 | icmp[7], 1400);
        CU_ASSERT_EQUAL(rte_raw_cksum(icmp, 556), 0xffff);
        CU_ASSERT_EQUAL(memcmp(icmp + 8, in, 548), 0);
    }
    make_v4(61, false); /* short and odd: quoted whole */
    CU_ASSERT_EQUAL(too_big(80, answer), 14 + 28 + 61);
    CU_ASSERT_EQUAL(rte_raw_cksum(answer + 34, 8 + 61), 0xffff);
}

static void test_answer_v6(void)
{
    uint8_t answer[HG_IMPAIR_ANSWER_MAX];
    const struct rte_ipv6_hdr *out = (void *)(answer + 14);
    struct rte_ipv6_hdr *in = make_v6(1500, false);

    CU_ASSERT_EQUAL_FATAL(too_big(1514, answer), 14 + 1280);
    check_macs(answer);
    CU_ASSERT_EQUAL(rte_be_to_cpu_16(out->payload_len), 1240);
    CU_ASSERT_EQUAL(memcmp(&out->src_addr, &in->dst_addr, 16), 0);
    CU_ASSERT_EQUAL(memcmp(&out->dst_addr, &in->src_addr, 16), 0);
    CU_ASSERT_EQUAL(out->proto, 58);
    CU_ASSERT_EQUAL(answer[54], 2);
    CU_ASSERT_EQUAL(answer[60] << 8 | answer[61], 1400);
    CU_ASSERT_EQUAL(memcmp(answer + 62, in, 1232), 0);
    uint32_t sum = (uint32_t)rte_raw_cksum(answer + 54, 1240) + rte_ipv6_phdr_cksum(out, 0);
    CU_ASSERT_EQUAL((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void test_not_owed(void)
{
    static const struct {
        unsigned at; /* in the IPv4 header or behind it */
        uint8_t value;
    } v4[] = {{6, 0}, {7, 1}, {0, 0x44}, {0, 0x4f}, {12, 0}, {12, 224}, {16, 239}, {16, 255}};
    static const uint8_t icmp_errors[] = {3, 4, 5, 11, 12};
    uint8_t answer[HG_IMPAIR_ANSWER_MAX];

    for (unsigned i = 0; i < HG_ARRAY_LEN(v4); i++) {
        uint8_t *ip = (uint8_t *)make_v4(61, false);
        ip[v4[i].at] = v4[i].value;
        CU_ASSERT_EQUAL(too_big(75, answer), 0);
    }
    for (unsigned i = 0; i < HG_ARRAY_LEN(icmp_errors); i++) {
        uint8_t *ip = (uint8_t *)make_v4(1500, false);
        ip[9] = 1;
        ip[20] = icmp_errors[i];
        CU_ASSERT_EQUAL(too_big(1514, answer), 0);
        ip[20] = 8;
        CU_ASSERT_TRUE(too_big(1514, answer) != 0);
    }
    uint8_t *ip = (uint8_t *)make_v6(1500, false);
    ip[6] = 58;
    ip[40] = 2;
    CU_ASSERT_EQUAL(too_big(1514, answer), 0);
    ip[40] = 128;
    CU_ASSERT_TRUE(too_big(1514, answer) != 0);
    ip[24] = 0xff;
    CU_ASSERT_EQUAL(too_big(1514, answer), 0);
    make_v4(1500, false);
    frame[0] = 0xff;
    CU_ASSERT_EQUAL(too_big(1514, answer), 0);
    make_l2(RTE_ETHER_TYPE_ARP, false);
    CU_ASSERT_EQUAL(too_big(1514, answer), 0);
}

/* Every length that the header may claim against every length that is there. */
static void test_lengths(void)
{
    uint8_t answer[HG_IMPAIR_ANSWER_MAX];

    for (unsigned version = 0; version < 2; version++) {
        for (uint32_t len = 0; len < 120; len++) {
            uint8_t *ip =
                version == 0 ? (uint8_t *)make_v4(1500, false) : (uint8_t *)make_v6(1500, false);
            for (unsigned hlen = 0; hlen < 16; hlen++) {
                if (version == 0)
                    ip[0] = (uint8_t)(0x40 | hlen);
                uint32_t n = too_big(len, answer);
                CU_ASSERT_TRUE(n <= len + 48);
                CU_ASSERT_TRUE(n == 0 || len >= (version == 0 ? 14 + 4 * hlen + 8 : 54));
            }
        }
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"ECN-capable packets are found in both versions, tagged and not", test_ect},
        {"CE is set and the checksum stays right for every TOS", test_mark},
        {"IPv4: the answer is RFC 1191's, checksums right", test_answer_v4},
        {"IPv6: the answer is RFC 4443's, checksum right", test_answer_v6},
        {"no answer to errors, fragments, groups, or without DF", test_not_owed},
        {"nothing is read beyond the bytes at hand", test_lengths},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"impair_frame", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    return failed;
}
