/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fragments of both IP versions: every order, pieces that overlap, are missing or too many, the bound
 * of the table and its time-out, and that what comes out is what TCP may be given.
 * Usage: test_net_frag [seed]
 */
#include "rig6.h"
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static unsigned rnd(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 16) % n);
}

/* Bytes [at, at + len) of the payload of whole as a fragment of its own. */
static void cut4(const struct frame *whole, unsigned at, unsigned len, struct frame *out)
{
    bool more = 34 + at + len < whole->len;

    memcpy(out->b, whole->b, 34);
    memcpy(out->b + 34, whole->b + 34 + at, len);
    out->len = 34 + len;
    put16(out->b + 16, 20 + len);
    put16(out->b + 20, at / 8 | (more ? 0x2000 : 0));
    put16(out->b + 24, 0);
    put16(out->b + 24, plain_sum(out->b + 14, 20, 0));
}

static void cut6(const struct frame *whole, unsigned at, unsigned len, struct frame *out)
{
    bool more = L4 + at + len < whole->len;
    uint8_t ext[8] = {0, 0, (uint8_t)(at >> 8), (uint8_t)(at | more), 0, 0, 0, whole->b[200]};

    memcpy(out->b, whole->b, L4);
    memcpy(out->b + L4, whole->b + L4 + at, len);
    out->len = L4 + len;
    put16(out->b + 18, len);
    frame6_insert(out, 44, ext, 8);
}

static void cut(const struct frame *whole, unsigned at, unsigned len, struct frame *out)
{
    (get16(whole->b + 12) == 0x86dd ? cut6 : cut4)(whole, at, len, out);
}

static void make(struct frame *f, bool v6, unsigned payload)
{
    if (v6)
        frame6_tcp(f, payload);
    else
        frame_tcp(f, payload);
}

static void check_whole(const struct hg_seg *seg, const struct frame *whole, unsigned l4)
{
    uint8_t flat[9000];

    CU_ASSERT_EQUAL(seg->kind, HG_SEG_TCP);
    CU_ASSERT_EQUAL(rte_mbuf_check(seg->m, 1, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(seg->m->pkt_len, whole->len - l4);
    CU_ASSERT(seg->m->data_len >= 60);
    for (const struct rte_mbuf *m = seg->m; m != NULL; m = m->next)
        CU_ASSERT(m->data_len > 0);
    CU_ASSERT_EQUAL(
        memcmp(rte_pktmbuf_read(seg->m, 0, seg->m->pkt_len, flat), whole->b + l4, seg->m->pkt_len),
        0);
    CU_ASSERT_EQUAL(seg->flow.lport, 1500);
    rte_pktmbuf_free(seg->m);
}

/* Random cuts, orders and segments. */
static void test_every_order(void)
{
    struct rig rig;
    struct frame whole, piece;

    rig6_open(&rig, NULL);
    for (unsigned round = 0; round < 600; round++) {
        bool v6 = round & 1;
        unsigned l4 = v6 ? L4 : 34, n = 2 + rnd(6), at[9], order[8], got = 0;
        struct hg_seg seg;

        make(&whole, v6, 400 + rnd(3000));
        put16(whole.b + 18, v6 ? get16(whole.b + 18) : round); /* IPv4: id */

        for (unsigned i = 1; i < n; i++)
            at[i] = 24 + (whole.len - l4 - 40) / n / 8 * i * 8;
        at[0] = 0, at[n] = whole.len - l4;
        for (unsigned i = 0; i < n; i++)
            order[i] = i;
        for (unsigned i = n - 1; i > 0; i--) {
            unsigned k = rnd(i + 1), t = order[i];

            order[i] = order[k], order[k] = t;
        }
        for (unsigned i = 0; i < n; i++) {
            unsigned p = order[i];

            cut(&whole, at[p], at[p + 1] - at[p], &piece);
            got = rig_feed(&rig, &piece, rnd(2) ? 0 : 60 + rnd(100), &seg);
            CU_ASSERT_EQUAL(got, i == n - 1);
        }
        if (got == 1)
            check_whole(&seg, &whole, l4);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->frag_reassembled, 600);
    CU_ASSERT_EQUAL(rig_counters(&rig)->frag_dropped, 0);
    rig_close(&rig);
}

/* RFC 5722 4: an overlap drops the whole packet, whatever comes after. */
static void test_overlaps(void)
{
    struct rig rig;
    struct frame whole, piece;

    for (unsigned v6 = 0; v6 < 2; v6++) {
        rig6_open(&rig, NULL);
        make(&whole, v6, 1000);
        cut(&whole, 0, 400, &piece);
        CU_ASSERT_EQUAL(rig_feed(&rig, &piece, 0, NULL), 0);
        cut(&whole, 392, 408, &piece);
        CU_ASSERT_EQUAL(rig_feed(&rig, &piece, 0, NULL), 0);
        cut(&whole, 800, 220, &piece);
        CU_ASSERT_EQUAL(rig_feed(&rig, &piece, 0, NULL), 0);
        CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_fragment, 3);
        CU_ASSERT_EQUAL(rig_counters(&rig)->frag_reassembled, 0);
        CU_ASSERT_EQUAL(rig_counters(&rig)->frag_dropped, 3);
        rig_close(&rig);
    }
}

static void test_too_many_pieces(void)
{
    struct rig rig;
    struct frame whole, piece;

    rig6_open(&rig, NULL);
    make(&whole, true, 1000);
    for (unsigned i = 0; i < 12; i++) {
        cut(&whole, i * 80, 80, &piece);
        CU_ASSERT_EQUAL(rig_feed(&rig, &piece, 0, NULL), 0);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_fragment, 12);
    CU_ASSERT(rig_counters(&rig)->frag_dropped >= 8);
    rig_close(&rig);
}

/* What never becomes whole holds at most the table's buffers, for 15 s. */
static void test_bounds(void)
{
    struct rig rig;
    struct frame whole, piece;
    unsigned free_before;

    rig6_open(&rig, NULL);
    rig_pass(&rig, HG_SEC(5));
    rig_forget_tx(&rig);
    free_before = rte_mempool_avail_count(rig.pool);
    make(&whole, false, 1000);
    for (unsigned id = 0; id < 3000; id++) {
        put16(whole.b + 18, id);
        cut(&whole, 0, 400, &piece);
        CU_ASSERT_EQUAL(rig_feed(&rig, &piece, 0, NULL), 0);
    }
    CU_ASSERT_EQUAL(rig_counters(&rig)->rx_ip_fragment, 3000);
    CU_ASSERT(free_before - rte_mempool_avail_count(rig.pool) <= 256);
    CU_ASSERT(rig_counters(&rig)->frag_dropped >= 3000 - 256);
    rig_pass(&rig, HG_SEC(14));
    CU_ASSERT(rte_mempool_avail_count(rig.pool) < free_before);
    rig_pass(&rig, HG_SEC(3));
    CU_ASSERT_EQUAL(rte_mempool_avail_count(rig.pool), free_before);
    CU_ASSERT_EQUAL(rig_counters(&rig)->frag_dropped, 3000);
    rig_close(&rig);
}

/* Whoever asks in fragments is answered in fragments, which put together are the answer. */
static void test_large_echo(void)
{
    uint8_t body[3004] = {0, 7, 0, 9};
    struct rig rig;
    struct frame whole, piece, out;
    uint8_t answer[3100];
    unsigned n = 0;

    for (unsigned i = 4; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 13);
    for (unsigned v6 = 0; v6 < 2; v6++) {
        unsigned l4 = v6 ? L4 : 34, head = v6 ? L4 + 8 : 34;

        rig6_open(&rig, NULL);
        if (v6)
            frame6_icmp(&whole, (const char *[2]){PEER6, SELF6}, (uint8_t[2]){128, 0}, body,
                        sizeof body);
        else
            frame_icmp(&whole, 8, 0, 3000);
        for (unsigned at = 0; at < whole.len - l4; at += 1440) {
            unsigned left = whole.len - l4 - at;

            cut(&whole, at, left < 1440 ? left : 1440, &piece);
            rig_feed(&rig, &piece, 0, NULL);
        }
        hg_net_flush(rig.net);
        CU_ASSERT_EQUAL_FATAL(rig.n_tx, 3);
        for (unsigned i = n = 0; i < 3; i++) {
            rig_sent(&rig, i, &out);
            CU_ASSERT(out.len <= 14 + 1500);
            CU_ASSERT_EQUAL_FATAL(
                v6 ? get16(out.b + L4 + 2) & 0xfff8u : (get16(out.b + 20) & 0x1fff) * 8u, n);
            CU_ASSERT_EQUAL((v6 ? get16(out.b + L4 + 2) & 1 : get16(out.b + 20) >> 13), i < 2);
            memcpy(answer + n, out.b + head, out.len - head);
            n += out.len - head;
        }
        CU_ASSERT_EQUAL(n, whole.len - l4);
        CU_ASSERT_EQUAL(answer[0], v6 ? 129 : 0);
        CU_ASSERT_EQUAL(memcmp(answer + 4, whole.b + l4 + 4, n - 4), 0);
        CU_ASSERT_EQUAL(rig_counters(&rig)->tx_fragments, 3);
        rig_close(&rig);
    }
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    printf("seed %llu\n", (unsigned long long)seed);
    rig_eal();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("net_frag", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "every order", test_every_order) ||
        !CU_add_test(suite, "overlaps", test_overlaps) ||
        !CU_add_test(suite, "too many pieces", test_too_many_pieces) ||
        !CU_add_test(suite, "bounds", test_bounds) ||
        !CU_add_test(suite, "large echo", test_large_echo))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
