/* SPDX-License-Identifier: BSD-3-Clause */
/* One stack with a hand-made peer: see rig.h. */
#include "rig.h"

#include <CUnit/CUnit.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_N 2047

static const struct hg_ip local_ip = {{[10] = 0xff, 0xff, 10, 0, 0, 1}};
static const struct hg_ip peer_ip = {{[10] = 0xff, 0xff, 10, 0, 0, 2}};

void rig_eal(void)
{
    char *eal[] = {"test", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=4", NULL};

    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0) {
        fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        exit(2);
    }
}

/* Pools live as long as the program; each test finds them full, or the one before has failed. */
static struct rte_mempool *pool(const char *name, uint16_t room)
{
    struct rte_mempool *p = rte_mempool_lookup(name);

    if (!p)
        p = rte_pktmbuf_pool_create(name, POOL_N, 0, 0, room, SOCKET_ID_ANY);
    if (!p) {
        fprintf(stderr, "pool %s: %s\n", name, rte_strerror(rte_errno));
        exit(2);
    }
    return p;
}

static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct rig *rig = arg;
    struct rig_out *o = &rig->out[rig->n_out];

    (void)now;
    CU_ASSERT_FATAL(rig->n_out < RIG_OUT_MAX);
    rig->n_out++;
    CU_ASSERT_EQUAL(tcp_hdr_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &o->h), 0);
    CU_ASSERT(rte_pktmbuf_headroom(m) >= HG_NET_HEADROOM);
    CU_ASSERT_EQUAL(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
    o->flow = *tx->flow;
    o->ecn = tx->ecn;
    o->tso_segsz = m->tso_segsz;
    o->len = m->pkt_len - o->h.len;
    o->mbufs = m->nb_segs;
    CU_ASSERT_FATAL(o->len <= sizeof o->data);
    const void *p = rte_pktmbuf_read(m, o->h.len, o->len, o->data);
    if (o->len && p != o->data)
        memcpy(o->data, p, o->len);
    rte_pktmbuf_free(m);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    const struct rig *rig = arg;

    (void)flow;
    return rig->mtu;
}

void rig_init(struct rig *rig, const struct hg_tcp_cfg *cfg)
{
    struct hg_tcp_cfg full = cfg ? *cfg : (struct hg_tcp_cfg){0};
    struct hg_tcp_env env = {.emit = emit, .mtu = mtu, .arg = rig};
    struct hg_err err = {""};

    memset(rig, 0, sizeof *rig);
    rig->now = HG_SEC(100);
    rig->ts = 5000;
    rig->mtu = 1500;
    rig->options = TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_WSCALE | TCP_HAS_TS;
    rig->hdr = pool("hdr", RTE_PKTMBUF_HEADROOM + 64);
    rig->clone = pool("clone", 0);
    rig->data = pool("data", RTE_PKTMBUF_HEADROOM + 2048);
    full.hdr_pool = full.hdr_pool ? full.hdr_pool : rig->hdr;
    full.clone_pool = full.clone_pool ? full.clone_pool : rig->clone;
    full.conns_max = full.conns_max ? full.conns_max : 16;
    full.rcv_buf = full.rcv_buf ? full.rcv_buf : 60000;
    full.snd_buf = full.snd_buf ? full.snd_buf : 100000;
    /* Windows and buffers have their full size from the start unless a test is about that. */
    full.init_rcv_wnd = full.init_rcv_wnd ? full.init_rcv_wnd : full.rcv_buf;
    full.init_snd_buf = full.init_snd_buf ? full.init_snd_buf : full.snd_buf;
    full.mss = full.mss ? full.mss : RIG_MSS;
    full.secret[0] = 0x0123456789abcdefu;
    full.secret[1] = 0xfedcba9876543210u;
    CU_ASSERT_EQUAL_FATAL(hg_tcp_create(&full, &env, rig->now, &rig->tcp, &err), 0);
}

void rig_fini(struct rig *rig)
{
    hg_tcp_destroy(rig->tcp);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig->hdr), 0);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig->clone), 0);
    CU_ASSERT_EQUAL(rte_mempool_in_use_count(rig->data), 0);
}

uint8_t rig_byte(uint32_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7);
}

struct rte_mbuf *rig_payload(struct rig *rig, uint32_t at, uint32_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig->data);

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (uint32_t i = 0; i < len; i++)
        p[i] = rig_byte(at + i);
    return m;
}

static struct hg_flow flow(void)
{
    return (struct hg_flow){local_ip, peer_ip, RIG_PORT, RIG_PEER_PORT};
}

static struct tcp_hdr build_hdr(const struct rig *rig, const struct rig_in *in)
{
    struct tcp_hdr h = {
        .sport = in->port ? in->port : RIG_PEER_PORT,
        .dport = RIG_PORT,
        .seq = RIG_IRS + in->seq,
        .ack = in->flags & TCP_ACK ? rig->iss + in->ack : 0,
        .flags = in->flags,
        .wnd = in->wnd,
        .mss = rig->mss ? rig->mss : RIG_MSS,
        .ts_val = in->ts_val ? in->ts_val : rig->ts,
        .ts_ecr = in->ts_ecr,
        .uto = rig->uto,
        .n_sack = in->n_sack,
    };

    if (in->flags & TCP_SYN)
        h.has = (uint8_t)rig->options;
    else if (rig->options & TCP_HAS_TS && !in->no_ts)
        h.has = TCP_HAS_TS;
    for (unsigned i = 0; i < in->n_sack; i++)
        h.sack[i] = (struct tcp_block){rig->iss + in->sack[i].lo, rig->iss + in->sack[i].hi};
    return h;
}

void rig_in_only(struct rig *rig, struct rig_in in)
{
    struct tcp_hdr h = build_hdr(rig, &in);
    struct rte_mbuf *m = rte_pktmbuf_alloc(rig->data);
    unsigned len = tcp_hdr_size(&h);

    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    tcp_hdr_build((uint8_t *)rte_pktmbuf_append(m, (uint16_t)len), &h);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)in.len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (uint32_t i = 0; i < in.len; i++)
        p[i] = rig_byte(in.seq + i);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = flow(), .ecn = in.ecn};
    seg.flow.rport = h.sport;
    hg_tcp_input(rig->tcp, &seg, 1, rig->now);
}

void rig_in(struct rig *rig, struct rig_in in)
{
    rig_in_only(rig, in);
    rig_poll(rig);
}

void rig_icmp(struct rig *rig, struct hg_seg seg, uint32_t quoted)
{
    seg.flow = flow();
    seg.quoted_seq = rig->iss + quoted;
    hg_tcp_input(rig->tcp, &seg, 1, rig->now);
    rig_poll(rig);
}

void rig_poll(struct rig *rig)
{
    hg_tcp_poll(rig->tcp, rig->now);
}

void rig_advance(struct rig *rig, hg_ns by)
{
    hg_ns end = rig->now + by;

    for (;;) {
        hg_ns next = hg_tcp_next(rig->tcp);
        if (!next || next > end)
            break;
        hg_ns was = rig->now;
        rig->now = next > rig->now ? next : rig->now + 1;
        rig->ts += (uint32_t)((rig->now >> 20) - (was >> 20));
        rig_poll(rig);
    }
    rig->ts += (uint32_t)((end >> 20) - (rig->now >> 20));
    rig->now = end;
}

const struct rig_out *rig_take(struct rig *rig)
{
    return rig->taken < rig->n_out ? &rig->out[rig->taken++] : NULL;
}

const struct rig_out *rig_expect(struct rig *rig, uint8_t flags, uint32_t seq, uint32_t ack)
{
    static const struct rig_out none;
    const struct rig_out *o = rig_take(rig);

    CU_ASSERT_PTR_NOT_NULL(o);
    if (!o)
        return &none;
    CU_ASSERT_EQUAL(o->h.flags & ~TCP_PSH, flags);
    CU_ASSERT_EQUAL(o->h.seq - rig->iss, seq);
    if (flags & TCP_ACK)
        CU_ASSERT_EQUAL(o->h.ack - RIG_IRS, ack);
    for (uint32_t i = 0; i < o->len; i++)
        if (o->data[i] != rig_byte(seq + i)) {
            CU_FAIL("payload is not the stream's");
            break;
        }
    return o;
}

void rig_expect_none(struct rig *rig)
{
    CU_ASSERT_EQUAL(rig->n_out - rig->taken, 0);
    rig_skip(rig);
}

void rig_skip(struct rig *rig)
{
    rig->n_out = rig->taken = 0;
}

void rig_send(struct rig *rig, uint32_t at, uint32_t len)
{
    while (len) {
        uint32_t n = len < 2048 ? len : 2048;
        CU_ASSERT_EQUAL(hg_tcp_send(rig->conn, rig_payload(rig, at, n)), 0);
        at += n;
        len -= n;
    }
}

void rig_read(struct rig *rig, uint32_t at, uint32_t n)
{
    CU_ASSERT_FATAL(hg_tcp_readable(rig->conn) >= n);
    while (n) {
        struct hg_iov iov[2];
        unsigned got = hg_tcp_peek(rig->conn, iov, 2);
        CU_ASSERT_FATAL(got > 0);
        uint32_t len = iov[0].len < n ? iov[0].len : n;
        for (uint32_t i = 0; i < len; i++)
            if (iov[0].base[i] != rig_byte(at + i)) {
                CU_FAIL("received bytes are not the stream's");
                break;
            }
        hg_tcp_consume(rig->conn, len);
        at += len;
        n -= len;
    }
}

struct hg_tcp_conn *rig_event(struct rig *rig, uint32_t what)
{
    struct hg_tcp_event ev[2] = {{NULL}};

    CU_ASSERT_EQUAL(hg_tcp_events(rig->tcp, ev, 2), 1);
    CU_ASSERT_EQUAL(ev[0].what, what);
    return ev[0].conn;
}

void rig_no_event(struct rig *rig)
{
    struct hg_tcp_event ev[1];

    CU_ASSERT_EQUAL(hg_tcp_events(rig->tcp, ev, 1), 0);
}

void rig_accept(struct rig *rig)
{
    CU_ASSERT_EQUAL(hg_tcp_listen(rig->tcp, &local_ip, RIG_PORT, rig), 0);
    rig_in(rig, (struct rig_in){.flags = TCP_SYN | rig->syn_flags, .wnd = 60000});
    const struct rig_out *o = rig_take(rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags & ~TCP_ECE, TCP_SYN | TCP_ACK);
    rig->syn_ack = o->h;
    rig->iss = o->h.seq;
    rig_advance(rig, rig->rtt);
    rig_in(rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000});
    rig->conn = rig_event(rig, HG_TCP_EV_ACCEPTED);
    rig_expect_none(rig);
}

void rig_connect(struct rig *rig)
{
    struct hg_flow f = flow();

    CU_ASSERT_EQUAL(hg_tcp_connect(rig->tcp, &f, rig, rig->now, &rig->conn), 0);
    rig_poll(rig);
    const struct rig_out *o = rig_take(rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_EQUAL(o->h.flags, TCP_SYN);
    rig->iss = o->h.seq;
    rig_in(rig, (struct rig_in){.flags = TCP_SYN | TCP_ACK, .ack = 1, .wnd = 60000});
    rig_event(rig, HG_TCP_EV_CONNECTED);
    rig_expect(rig, TCP_ACK, 1, 1);
    rig_expect_none(rig);
}

const char *rig_state(const struct rig *rig)
{
    struct hg_tcp_info info;

    hg_tcp_conn_info(rig->conn, &info);
    return info.state;
}

uint64_t rig_count(const struct rig *rig, const char *name)
{
    struct hg_counter_set set = hg_tcp_counter_set(rig->tcp);

    for (unsigned i = 0; i < set.n; i++)
        if (!strcmp(set.desc[i].name, name))
            return set.value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}
