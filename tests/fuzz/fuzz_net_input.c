/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet frames into hg_net_input(), mixed with the passing of time and packets of our own.
 *
 * The first byte chooses the configuration (bit 0: checksums trusted, bit 1: unsolicited ARP and ND
 * accepted, bit 2: two queues, bit 3: VLAN 7, bit 4: router advertisements used, bit 5: addresses
 * are probed for). Then operations, one byte each, its low two bits:
 *   0  a frame: 2 bytes of length (little-endian), 1 byte of segment length (0: one), the bytes
 *   1  time passes: 1 byte, times 20 ms
 *   2  we send: 1 byte, the last of the on-link address; IPv6 if bit 2 of the operation is set
 *   3  what was learnt is read
 *
 * A frame in one segment stands in heap memory of its exact size, so that AddressSanitizer sees a
 * read beyond it. Checked: every packet, and every one put together from fragments, ends in one
 * counter or one segment; segments are sound; all buffers come back.
 */
#include <headgate/net.h>
#include <headgate/port.h>
#include <rte_eal.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL 1023
#define FRAME_MAX 1600
#define SELF 0xc0000202u /* 192.0.2.2 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "line %d: %s\n", __LINE__, #cond);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const struct hg_ip self6 = {{0x20, 0x01, 0x0d, 0xb8, [15] = 2}};

struct input {
    const uint8_t *p;
    size_t left;
};

struct node {
    struct hg_port *end[2];
    struct rte_mempool *pool;
    struct hg_net *net;
    hg_ns now;
    uint64_t tcp; /* segments handed out */
};

static struct node node;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char *eal[] = {"fuzz", "--no-huge",      "--no-shconf",       "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=error", NULL};
    struct hg_wire_cfg wire = {.name = "fuzz", .n_queues = 2, .mtu = 1500, .depth = 256};
    struct hg_err err;

    (void)argc, (void)argv;
    CHECK(rte_eal_init(8, eal) >= 0);
    node.pool = rte_pktmbuf_pool_create("fuzz", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    CHECK(node.pool != NULL);
    CHECK(hg_port_wire_pair(&wire, node.end, &err) == 0);
    return 0;
}

static unsigned take(struct input *in, unsigned bytes)
{
    unsigned v = 0;

    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->p++, in->left--)
        v |= (unsigned)*in->p << (8 * i);
    return v;
}

static void free_exact(void *addr, void *opaque)
{
    free(addr);
    free(opaque);
}

static struct rte_mbuf *exact_mbuf(const uint8_t *data, uint16_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(node.pool);
    struct rte_mbuf_ext_shared_info *info = calloc(1, sizeof *info);
    void *copy = malloc(len != 0 ? len : 1);

    CHECK(m != NULL && info != NULL && copy != NULL);
    memcpy(copy, data, len);
    info->free_cb = free_exact;
    info->fcb_opaque = info;
    rte_mbuf_ext_refcnt_set(info, 1);
    rte_pktmbuf_attach_extbuf(m, copy, RTE_BAD_IOVA, len, info);
    m->data_off = 0;
    rte_pktmbuf_append(m, len);
    return m;
}

static struct rte_mbuf *chain_mbuf(const uint8_t *data, unsigned len, unsigned seg_len)
{
    struct rte_mbuf *head = NULL;

    for (unsigned done = 0; done < len || head == NULL; done += seg_len) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(node.pool);
        unsigned n = RTE_MIN(len - done, seg_len);

        CHECK(m != NULL);
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), data + done, n);
        if (head == NULL)
            head = m;
        else
            CHECK(rte_pktmbuf_chain(head, m) == 0);
    }
    return head;
}

static void check_segment(const struct hg_seg *seg)
{
    bool v4 = hg_ip_is_v4(&seg->flow.local);

    CHECK(v4 == hg_ip_is_v4(&seg->flow.remote));
    CHECK(!v4 || hg_ip_to_v4(&seg->flow.local) == SELF);
    CHECK(v4 || (seg->flow.local.b[0] != 0xff && seg->flow.remote.b[0] != 0xff));
    if (seg->kind != HG_SEG_TCP) {
        CHECK(seg->m == NULL);
        CHECK(seg->kind != HG_SEG_TOO_BIG || seg->mtu >= (v4 ? 68 : 1280));
        return;
    }
    for (const struct rte_mbuf *m = seg->m; m != NULL; m = m->next)
        CHECK(m->data_len > 0);
    node.tcp++;
    CHECK(rte_mbuf_check(seg->m, 1, NULL) == 0);
    CHECK(seg->m->pkt_len >= 20 && seg->m->data_len >= RTE_MIN(seg->m->pkt_len, 60u));
    rte_pktmbuf_free(seg->m);
}

static void drain(void)
{
    struct rte_mbuf *out[HG_PORT_BURST];
    uint16_t n;

    hg_net_flush(node.net);
    for (uint16_t q = 0; q < 2; q++) {
        while ((n = hg_port_rx(node.end[1], q, out, HG_PORT_BURST)) > 0)
            rte_pktmbuf_free_bulk(out, n);
    }
}

static void frame(struct input *in)
{
    unsigned len = take(in, 2) % FRAME_MAX, seg_len = take(in, 1);
    struct rte_mbuf *m;
    struct hg_seg seg;

    len = (unsigned)RTE_MIN((size_t)len, in->left);
    m = seg_len == 0 ? exact_mbuf(in->p, (uint16_t)len) : chain_mbuf(in->p, len, seg_len + 2);
    in->p += len;
    in->left -= len;
    if (hg_net_input(node.net, &m, 1, node.now, &seg) == 1)
        check_segment(&seg);
    drain();
}

static void send_to(unsigned host, bool v6)
{
    static const uint8_t tcp[20] = {[12] = 0x50};
    struct hg_flow flow = {.local = hg_ip_from_v4(SELF),
                           .remote = hg_ip_from_v4((SELF & ~255u) + host)};

    if (v6) {
        flow.local = flow.remote = self6;
        flow.remote.b[15] = (uint8_t)host;
    }
    hg_net_emit(node.net, chain_mbuf(tcp, sizeof tcp, sizeof tcp), &(struct hg_tx){.flow = &flow},
                node.now);
    drain();
}

static void check_counters(void)
{
    struct hg_counter_set set = hg_net_counter_set(node.net);
    const struct hg_net_counters *c = (const struct hg_net_counters *)set.value;
    uint64_t ends = node.tcp;

    for (unsigned i = 0; i < set.n; i++) {
        if (strncmp(set.desc[i].name, "rx_", 3) == 0 && &set.value[i] != &c->rx_packets)
            ends += set.value[i];
    }
    CHECK(ends == c->rx_packets + c->frag_reassembled);
}

static void run(struct input *in)
{
    struct hg_neighbour told[2];

    while (in->left > 0) {
        unsigned op = take(in, 1);

        switch (op & 3) {
        case 0:
            frame(in);
            break;
        case 1:
            node.now += HG_MS(20) * take(in, 1);
            hg_net_poll(node.net, node.now);
            drain();
            break;
        case 2:
            send_to(take(in, 1), (op & 4) != 0);
            break;
        default:
            hg_net_learnt(node.net, told, 2);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned options = take(&in, 1);
    struct hg_err err;
    struct hg_net_cfg cfg = {.port = node.end[0],
                             .addrs = {{hg_ip_from_v4(SELF), 24}, {self6, 64}},
                             .n_addrs = 2,
                             .vlan = options & 8 ? 7 : 0,
                             .slaac = (options & 20) == 16, /* with one queue only */
                             .no_dad = !(options & 32),
                             .gateway4 = hg_ip_from_v4(SELF + 1),
                             .pool = node.pool,
                             .neighbours_max = 16,
                             .trust_csum = options & 1,
                             .accept_unsolicited = options & 2};

    node.end[0]->n_queues = options & 4 ? 2 : 1;
    node.end[0]->mac = (struct rte_ether_addr){{0x02, 0, 0, 0, 0, 0x02}};
    node.now = HG_SEC(1);
    node.tcp = 0;
    CHECK(hg_net_create(&cfg, node.now, &node.net, &err) == 0);
    run(&in);
    check_counters();
    hg_net_destroy(node.net);
    CHECK(rte_mempool_avail_count(node.pool) == POOL);
    return 0;
}
