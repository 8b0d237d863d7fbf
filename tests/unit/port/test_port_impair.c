/* SPDX-License-Identifier: BSD-3-Clause */
/* The fault layers as a port on a wire: both directions, nothing leaked, the sender's bytes left
 * alone, ICMP back to the sender. */
#include <headgate/port.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <string.h>

#define POOL 511
#define LEN 200u
#define SMALL_ROOM (RTE_PKTMBUF_HEADROOM + HG_IMPAIR_ANSWER_MAX) /* the least allowed */

struct rig {
    struct hg_port *wire[2], *port;
    struct rte_mempool *sent, *changed;
    struct hg_port_impair_cfg cfg;
    hg_ns now;
};

static hg_ns now_of(void *arg)
{
    return *(const hg_ns *)arg;
}

static void open_rig(struct rig *rig)
{
    struct hg_wire_cfg wire = {.name = "w", .n_queues = 2, .mtu = 1500, .depth = 256};
    struct hg_err err = {""};

    rig->now = HG_SEC(1);
    rig->sent = rte_pktmbuf_pool_create("sent", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    rig->changed = rte_pktmbuf_pool_create("changed", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    CU_ASSERT_FATAL(rig->sent != NULL && rig->changed != NULL);
    CU_ASSERT_EQUAL_FATAL(hg_port_wire_pair(&wire, rig->wire, &err), 0);
    /* As if it had offloads, which must not be offered any more. */
    rig->wire[0]->rx_csum = rig->wire[0]->tx_ip_csum = rig->wire[0]->tx_tcp_csum = true;
    rig->cfg.packets_max = 64;
    rig->cfg.pool = rig->changed;
    rig->cfg.clock = now_of;
    rig->cfg.clock_arg = &rig->now;
    CU_ASSERT_EQUAL_FATAL(hg_port_impair_open(rig->wire[0], &rig->cfg, &rig->port, &err), 0);
}

static void close_rig(struct rig *rig)
{
    hg_port_close(rig->port);
    hg_port_close(rig->wire[0]);
    hg_port_close(rig->wire[1]);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(rig->sent), POOL);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(rig->changed), POOL);
    rte_mempool_free(rig->sent);
    rte_mempool_free(rig->changed);
}

/* An IPv4 packet with DF and ECT(0) of `len` bytes; behind the header every byte is `fill`. */
static struct rte_mbuf *packet(struct rig *rig, uint8_t fill, uint16_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig->sent);

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(len + RTE_ETHER_HDR_LEN));
    memset(p, fill, len + RTE_ETHER_HDR_LEN);
    memcpy(p, "\2\0\0\0\0\1\2\0\0\0\0\2\x08", 14);
    struct rte_ipv4_hdr *ip = (void *)(p + RTE_ETHER_HDR_LEN);
    *ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
                                .type_of_service = 2,
                                .total_length = rte_cpu_to_be_16(len),
                                .fragment_offset = rte_cpu_to_be_16(0x4000),
                                .next_proto_id = 6,
                                .src_addr = rte_cpu_to_be_32(0xc0000201),
                                .dst_addr = rte_cpu_to_be_32(0xc0000202)};
    return m;
}

static void send_one(struct rig *rig, struct hg_port *port, uint16_t queue, uint8_t fill,
                     uint16_t len)
{
    struct rte_mbuf *m = packet(rig, fill, len);

    CU_ASSERT_EQUAL(hg_port_tx(port, queue, &m, 1), 1);
}

/* Takes one packet, which the caller frees; NULL: there is none. */
static struct rte_mbuf *take(struct hg_port *port, uint16_t queue)
{
    struct rte_mbuf *m = NULL;

    return hg_port_rx(port, queue, &m, 1) == 1 ? m : NULL;
}

static uint8_t last_byte(const struct rte_mbuf *m)
{
    return *rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len - 1);
}

/* Whether a packet that ends with `fill` is there, the only one. */
static bool takes_only(struct hg_port *port, uint16_t queue, uint8_t fill)
{
    struct rte_mbuf *m = take(port, queue);
    bool is = m != NULL && last_byte(m) == fill;

    rte_pktmbuf_free(m);
    m = take(port, queue);
    is = is && m == NULL;
    rte_pktmbuf_free(m);
    return is;
}

static void test_delays(void)
{
    struct rig rig = {.cfg = {.tx.delay = HG_MS(3), .rx.delay = HG_MS(7)}};

    open_rig(&rig);
    CU_ASSERT_FALSE(rig.port->rx_csum || rig.port->trust_csum);
    CU_ASSERT_FALSE(rig.port->tx_ip_csum || rig.port->tx_tcp_csum);
    CU_ASSERT_TRUE(hg_port_link_up(rig.port, 0));
    CU_ASSERT_EQUAL(hg_port_impair_next(rig.port, 0), 0);
    for (uint16_t q = 0; q < 2; q++) {
        send_one(&rig, rig.wire[1], q, (uint8_t)(10 + q), LEN);
        CU_ASSERT_PTR_NULL(take(rig.port, q));
        send_one(&rig, rig.port, q, (uint8_t)(20 + q), LEN);
        CU_ASSERT_PTR_NULL(take(rig.wire[1], q));
        CU_ASSERT_EQUAL(hg_port_impair_next(rig.port, q), rig.now + HG_MS(3));
    }
    rig.now += HG_MS(3);
    for (uint16_t q = 0; q < 2; q++) {
        CU_ASSERT_PTR_NULL(take(rig.port, q)); /* which moves what goes out */
        CU_ASSERT_TRUE(takes_only(rig.wire[1], q, (uint8_t)(20 + q)));
        CU_ASSERT_EQUAL(hg_port_impair_next(rig.port, q), rig.now + HG_MS(4));
    }
    rig.now += HG_MS(4);
    for (uint16_t q = 0; q < 2; q++)
        CU_ASSERT_TRUE(takes_only(rig.port, q, (uint8_t)(10 + q)));
    close_rig(&rig);
}

static void test_counts(void)
{
    struct rig rig = {.cfg = {.seed = 3, .rx.loss_ppm = 100000, .tx.dup_ppm = 100000}};
    unsigned came = 0, went = 0;
    struct rte_mbuf *m;

    open_rig(&rig);
    for (unsigned i = 0; i < 1000; i++) {
        send_one(&rig, rig.wire[1], 0, 1, LEN);
        send_one(&rig, rig.port, 0, 2, LEN);
        for (; (m = take(rig.port, 0)) != NULL; came++)
            rte_pktmbuf_free(m);
        for (; (m = take(rig.wire[1], 0)) != NULL; went++)
            rte_pktmbuf_free(m);
    }
    CU_ASSERT_EQUAL(came, 1000 - hg_port_impair_rx(rig.port, 0)->lost);
    CU_ASSERT_EQUAL(went, 1000 + hg_port_impair_tx(rig.port, 0)->duplicated);
    CU_ASSERT_TRUE(came > 850 && came < 950 && went > 1050 && went < 1150);
    CU_ASSERT_EQUAL(hg_port_impair_rx(rig.port, 1)->packets_in, 0);
    close_rig(&rig);
}

static unsigned bits_changed(const struct rte_mbuf *a, const struct rte_mbuf *b)
{
    uint8_t one[2048], two[2048];
    unsigned bits = 0;

    CU_ASSERT_EQUAL_FATAL(a->pkt_len, b->pkt_len);
    const uint8_t *p = rte_pktmbuf_read(a, 0, a->pkt_len, one);
    const uint8_t *q = rte_pktmbuf_read(b, 0, b->pkt_len, two);
    for (uint32_t k = 0; k < a->pkt_len; k++)
        bits += (unsigned)__builtin_popcount(p[k] ^ q[k]);
    return bits;
}

/* Sends m, which the sender goes on holding, and compares what arrives with it. */
static void send_damaged(struct rig *rig, struct rte_mbuf *m)
{
    struct rte_mbuf *before = rte_pktmbuf_copy(m, rig->sent, 0, UINT32_MAX), *held = m, *got;

    CU_ASSERT_PTR_NOT_NULL_FATAL(before);
    for (struct rte_mbuf *seg = m; seg != NULL; seg = seg->next)
        rte_mbuf_refcnt_update(seg, 1);
    CU_ASSERT_EQUAL(hg_port_tx(rig->port, 0, &m, 1), 1);
    got = take(rig->wire[1], 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(got);
    CU_ASSERT_EQUAL(bits_changed(before, held), 0);
    CU_ASSERT_EQUAL(bits_changed(before, got), 1);
    rte_pktmbuf_free(before);
    rte_pktmbuf_free(held);
    rte_pktmbuf_free(got);
}

static void test_sender_keeps_its_bytes(void)
{
    struct rig rig = {.cfg.tx = {.corrupt_ppm = HG_PPM}};

    open_rig(&rig);
    for (unsigned i = 0; i < 200; i++)
        send_damaged(&rig, packet(&rig, 0, LEN));
    close_rig(&rig);
}

/* The copy of a long packet is a chain: the bit is found in whichever piece it is. */
static void test_chains(void)
{
    struct rig rig = {.cfg.tx = {.corrupt_ppm = HG_PPM}};

    open_rig(&rig);
    rte_mempool_free(rig.changed);
    rig.changed = rte_pktmbuf_pool_create("small", POOL, 0, 0, SMALL_ROOM, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig.changed);
    rig.cfg.pool = rig.changed;
    hg_port_close(rig.port);
    CU_ASSERT_EQUAL_FATAL(hg_port_impair_open(rig.wire[0], &rig.cfg, &rig.port, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct rte_mbuf *m = packet(&rig, 0, 100), *tail = packet(&rig, 0, 1300);
        CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, tail), 0);
        send_damaged(&rig, m);
    }
    close_rig(&rig);
}

static uint64_t counter(const struct rig *rig, const char *name)
{
    struct hg_counter_set set = hg_port_impair_counter_set(rig->port, 0);

    for (unsigned i = 0; i < set.n; i++)
        if (strcmp(set.desc[i].name, name) == 0)
            return set.value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}

static void test_too_big(void)
{
    struct rig rig = {.cfg = {.tx.mtu = 1000, .rx.mtu = 900, .answer_too_big = true}};
    struct rte_mbuf *m;

    open_rig(&rig);
    send_one(&rig, rig.port, 0, 1, 1000);
    CU_ASSERT_TRUE(takes_only(rig.wire[1], 0, 1));
    send_one(&rig, rig.port, 0, 1, 1001);
    CU_ASSERT_PTR_NULL(take(rig.wire[1], 0));
    m = take(rig.port, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_EQUAL(m->pkt_len, 14 + 576);
    CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 20), 3);
    rte_pktmbuf_free(m);
    send_one(&rig, rig.wire[1], 0, 1, 901);
    CU_ASSERT_PTR_NULL(take(rig.port, 0));
    CU_ASSERT_PTR_NULL(take(rig.port, 0));
    m = take(rig.wire[1], 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 20 + 7), 900 & 0xff);
    rte_pktmbuf_free(m);
    CU_ASSERT_EQUAL(counter(&rig, "answered"), 2);
    CU_ASSERT_EQUAL(hg_port_impair_tx(rig.port, 0)->too_big, 1);
    close_rig(&rig);
}

static void test_black_hole(void)
{
    struct rig rig = {.cfg.tx.mtu = 1000};

    open_rig(&rig);
    send_one(&rig, rig.port, 0, 1, 1001);
    CU_ASSERT_PTR_NULL(take(rig.wire[1], 0));
    CU_ASSERT_PTR_NULL(take(rig.port, 0));
    CU_ASSERT_EQUAL(counter(&rig, "answered"), 0);
    close_rig(&rig);
}

static void test_marks(void)
{
    struct rig rig = {.cfg.tx = {.rate = 1000000, .queue_bytes = 10000, .mark_bytes = 100}};
    static const uint8_t ecn[] = {2, 3, 3};

    open_rig(&rig);
    for (unsigned i = 0; i < 3; i++)
        send_one(&rig, rig.port, 0, 1, LEN);
    rig.now += HG_SEC(1);
    rte_pktmbuf_free(take(rig.port, 0));
    for (unsigned i = 0; i < 3; i++) {
        struct rte_mbuf *m = take(rig.wire[1], 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(m);
        CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 1), ecn[i]);
        rte_pktmbuf_free(m);
    }
    close_rig(&rig);
}

static void test_no_mbuf(void)
{
    struct rig rig = {.cfg.tx = {.corrupt_ppm = HG_PPM, .dup_ppm = HG_PPM}};
    struct rte_mbuf *all[POOL];

    open_rig(&rig);
    CU_ASSERT_EQUAL(rte_pktmbuf_alloc_bulk(rig.changed, all, POOL), 0);
    send_one(&rig, rig.port, 0, 1, LEN);
    CU_ASSERT_PTR_NULL(take(rig.wire[1], 0));
    CU_ASSERT_EQUAL(counter(&rig, "no_mbuf"), 1);
    CU_ASSERT_EQUAL(hg_port_impair_tx(rig.port, 0)->copy_failed, 1);
    rte_pktmbuf_free_bulk(all, POOL);
    close_rig(&rig);
}

static void test_refused(void)
{
    struct rig rig = {.cfg.packets_max = 0};

    open_rig(&rig);
    for (unsigned i = 0; i < 300; i++)
        send_one(&rig, rig.port, 0, 1, LEN);
    CU_ASSERT_EQUAL(counter(&rig, "refused"), 300 - 256);
    close_rig(&rig);
}

static void test_what_is_on_its_way_is_freed(void)
{
    struct rig rig = {.cfg = {.tx.delay = HG_SEC(1), .rx.delay = HG_SEC(1)}};

    open_rig(&rig);
    send_one(&rig, rig.port, 0, 1, LEN);
    send_one(&rig, rig.wire[1], 1, 1, LEN);
    CU_ASSERT_PTR_NULL(take(rig.port, 1));
    close_rig(&rig);
}

static void test_bad_configuration(void)
{
    struct rig rig = {.now = 0};
    struct hg_port_impair_cfg bad;
    struct hg_port *out = NULL;
    struct hg_err err = {""};

    open_rig(&rig);
    bad = rig.cfg;
    bad.tx.rate = 1;
    CU_ASSERT_EQUAL(hg_port_impair_open(rig.wire[0], &bad, &out, &err), -EINVAL);
    CU_ASSERT_NOT_EQUAL(err.text[0], '\0');
    struct rte_mempool *small = rte_pktmbuf_pool_create("small", 1, 0, 0, 512, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(small);
    bad = rig.cfg;
    bad.pool = small;
    CU_ASSERT_EQUAL(hg_port_impair_open(rig.wire[0], &bad, &out, &err), -EINVAL);
    CU_ASSERT_PTR_NULL(out);
    rte_mempool_free(small);
    close_rig(&rig);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"each direction of each queue has its own delay", test_delays},
        {"what arrives is what the counters say", test_counts},
        {"damage never reaches bytes that the sender still holds", test_sender_keeps_its_bytes},
        {"chains are damaged like packets in one piece", test_chains},
        {"what is too big is answered to its sender", test_too_big},
        {"a black hole says nothing", test_black_hole},
        {"a queue over its mark marks CE", test_marks},
        {"without buffers packets are lost and counted", test_no_mbuf},
        {"what the port below refuses is counted", test_refused},
        {"closing frees what is on its way", test_what_is_on_its_way_is_freed},
        {"a bad configuration leaves nothing behind", test_bad_configuration},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"port_impair", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    char *eal[] = {"test", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=4", NULL};

    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0)
        return 2;
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    return failed;
}
