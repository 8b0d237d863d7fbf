/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_rig.h"
#include <rte_eal.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct rte_ether_addr mac_self = {{0x02, 0, 0, 0, 0, 0x02}};
const struct rte_ether_addr mac_peer = {{0x02, 0, 0, 0, 0, 0x09}};
const struct rte_ether_addr mac_gate = {{0x02, 0, 0, 0, 0, 0xfe}};
const struct rte_ether_addr mac_all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

void rig_eal(void)
{
    char *argv[] = {"test", "--no-huge",      "--no-shconf", "--no-pci", "-m",
                    "64",   "--no-telemetry", "--log-level", "error",    NULL};

    if (rte_eal_init(9, argv) < 0) {
        fprintf(stderr, "EAL does not start\n");
        exit(1);
    }
}

static struct rig *rig_of(struct hg_port *port)
{
    return HG_CONTAINER_OF(port, struct rig, port);
}

static uint16_t keep(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct rig *rig = rig_of(port);
    uint16_t i;

    (void)queue;
    for (i = 0; i < n && rig->tx_room > 0 && rig->n_tx < RIG_TX_MAX; i++) {
        rig->tx[rig->n_tx++] = pkts[i];
        rig->tx_room--;
    }
    return i;
}

static uint16_t nothing(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max)
{
    (void)port, (void)queue, (void)pkts, (void)max;
    return 0;
}

static bool link_up(struct hg_port *port, uint16_t queue)
{
    (void)queue;
    return !rig_of(port)->link_down;
}

static void no_close(struct hg_port *port)
{
    (void)port;
}

static const struct hg_port_ops keep_ops = {
    .rx = nothing, .tx = keep, .link_up = link_up, .close = no_close};

void rig_open(struct rig *rig, void (*tweak)(struct rig *rig, struct hg_net_cfg *cfg))
{
    struct hg_err err = {""};
    struct hg_net_cfg cfg = {.port = &rig->port,
                             .addrs = {{hg_ip_from_v4(IP_SELF), 24}},
                             .n_addrs = 1,
                             .gateway4 = hg_ip_from_v4(IP_GATE),
                             .no_dad = true};

    memset(rig, 0, sizeof *rig);
    rig->now = HG_SEC(1000);
    rig->tx_room = UINT32_MAX;
    rig->pool = rte_pktmbuf_pool_create("rig", RIG_POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig->pool);
    rig->port = (struct hg_port){.ops = &keep_ops,
                                 .name = "rig",
                                 .mac = mac_self,
                                 .mtu = RIG_MTU,
                                 .n_queues = 1,
                                 .tx_multi_seg = true};
    cfg.pool = rig->pool;
    if (tweak != NULL)
        tweak(rig, &cfg);
    if (hg_net_create(&cfg, rig->now, &rig->net, &err) != 0) {
        printf("%s\n", err.text);
        CU_FAIL_FATAL("create");
    }
}

void rig_close(struct rig *rig)
{
    hg_net_destroy(rig->net);
    rig_forget_tx(rig);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(rig->pool), RIG_POOL);
    rte_mempool_free(rig->pool);
}

void rig_forget_tx(struct rig *rig)
{
    for (unsigned i = 0; i < rig->n_tx; i++)
        rte_pktmbuf_free(rig->tx[i]);
    rig->n_tx = 0;
}

uint64_t rig_counter(const struct rig *rig, const char *name)
{
    struct hg_counter_set set = hg_net_counter_set(rig->net);

    for (unsigned i = 0; i < set.n; i++) {
        if (strcmp(set.desc[i].name, name) == 0)
            return set.value[i];
    }
    CU_FAIL_FATAL("no such counter");
    return 0;
}

const struct hg_net_counters *rig_counters(const struct rig *rig)
{
    return (const struct hg_net_counters *)hg_net_counter_set(rig->net).value;
}

struct rte_mbuf *rig_mbuf(struct rig *rig, const void *data, unsigned len, unsigned seg_len)
{
    const uint8_t *p = data;
    struct rte_mbuf *head = NULL;

    if (seg_len == 0)
        seg_len = RTE_MBUF_DEFAULT_DATAROOM;
    do {
        unsigned n = len < seg_len ? len : seg_len;
        struct rte_mbuf *m = rte_pktmbuf_alloc(rig->pool);

        CU_ASSERT_PTR_NOT_NULL_FATAL(m);
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), p, n);
        if (head == NULL)
            head = m;
        else
            CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_chain(head, m), 0);
        p += n;
        len -= n;
    } while (len > 0);
    return head;
}

unsigned rig_feed(struct rig *rig, const struct frame *f, unsigned seg_len, struct hg_seg *seg)
{
    struct rte_mbuf *m = rig_mbuf(rig, f->b, f->len, seg_len);
    struct hg_seg none;

    return hg_net_input(rig->net, &m, 1, rig->now, seg != NULL ? seg : &none);
}

void rig_sent(struct rig *rig, unsigned i, struct frame *out)
{
    const void *flat;

    hg_net_flush(rig->net);
    out->len = 0;
    CU_ASSERT_FATAL(i < rig->n_tx);
    CU_ASSERT_EQUAL(rte_mbuf_check(rig->tx[i], 1, NULL), 0);
    CU_ASSERT_FATAL(rig->tx[i]->pkt_len <= sizeof out->b);
    flat = rte_pktmbuf_read(rig->tx[i], 0, rig->tx[i]->pkt_len, out->b);
    if (flat != out->b)
        memcpy(out->b, flat, rig->tx[i]->pkt_len);
    out->len = rig->tx[i]->pkt_len;
}

void rig_know(struct rig *rig, uint32_t ip, const struct rte_ether_addr *mac)
{
    struct hg_ip addr = hg_ip_from_v4(ip);

    hg_net_learn(rig->net, &addr, mac, rig->now);
}

void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

unsigned get16(const uint8_t *p)
{
    return p[0] * 256u + p[1];
}

uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

uint16_t plain_sum(const uint8_t *data, unsigned len, uint32_t start)
{
    uint32_t sum = start;

    for (unsigned i = 0; i < len; i++) {
        sum += i % 2 == 0 ? data[i] * 256u : data[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint16_t plain_tcp_sum(const uint8_t *ip)
{
    unsigned hlen = (ip[0] & 15) * 4u, len = get16(ip + 2) - hlen;
    uint32_t pseudo = get16(ip + 12) + get16(ip + 14) + get16(ip + 16) + get16(ip + 18) + 6 + len;

    return plain_sum(ip + hlen, len, pseudo);
}

static void frame_ip(struct frame *f, uint8_t proto, unsigned len)
{
    memset(f->b, 0, sizeof f->b);
    memcpy(f->b, &mac_self, 6);
    memcpy(f->b + 6, &mac_peer, 6);
    put16(f->b + 12, 0x0800);
    f->b[14] = 0x45;
    put16(f->b + 16, 20 + len);
    f->b[22] = 64;
    f->b[23] = proto;
    put32(f->b + 26, IP_PEER);
    put32(f->b + 30, IP_SELF);
    f->len = 34 + len;
}

void frame_tcp(struct frame *f, unsigned payload)
{
    frame_ip(f, 6, 20 + payload);
    put16(f->b + 34, 40000);
    put16(f->b + 36, 1500);
    put32(f->b + 38, 0x01020304);
    f->b[46] = 0x50;
    f->b[47] = 0x10;
    for (unsigned i = 0; i < payload; i++)
        f->b[54 + i] = (uint8_t)(i * 7 + 1);
    frame_sums(f);
}

void frame_icmp(struct frame *f, uint8_t type, uint8_t code, unsigned payload)
{
    frame_ip(f, 1, 8 + payload);
    f->b[34] = type;
    f->b[35] = code;
    for (unsigned i = 0; i < payload; i++)
        f->b[42 + i] = (uint8_t)(i * 5 + 3);
    frame_sums(f);
}

void frame_arp(struct frame *f, uint16_t op, uint32_t sip, const struct rte_ether_addr *sha,
               uint32_t tip)
{
    memset(f->b, 0, sizeof f->b);
    memcpy(f->b, op == 1 ? &mac_all : &mac_self, 6);
    memcpy(f->b + 6, sha, 6);
    put16(f->b + 12, 0x0806);
    put16(f->b + 14, 1);
    put16(f->b + 16, 0x0800);
    f->b[18] = 6;
    f->b[19] = 4;
    put16(f->b + 20, op);
    memcpy(f->b + 22, sha, 6);
    put32(f->b + 28, sip);
    if (op == 2)
        memcpy(f->b + 32, &mac_self, 6);
    put32(f->b + 38, tip);
    f->len = 60;
}

void frame_options(struct frame *f, const uint8_t *options, unsigned len)
{
    memmove(f->b + 34 + len, f->b + 34, f->len - 34);
    memcpy(f->b + 34, options, len);
    f->len += len;
    f->b[14] = (uint8_t)(0x40 + (20 + len) / 4);
    put16(f->b + 16, get16(f->b + 16) + len);
}

void frame_sums(struct frame *f)
{
    uint8_t *ip = f->b + 14;
    unsigned hlen = (ip[0] & 15) * 4u;
    uint8_t *l4 = ip + hlen;

    put16(ip + 10, 0);
    put16(ip + 10, plain_sum(ip, hlen, 0));
    if (ip[9] == 6) {
        put16(l4 + 16, 0);
        put16(l4 + 16, plain_tcp_sum(ip));
    } else if (ip[9] == 1) {
        put16(l4 + 2, 0);
        put16(l4 + 2, plain_sum(l4, get16(ip + 2) - hlen, 0));
    }
}
