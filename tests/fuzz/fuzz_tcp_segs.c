/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stack with a listener and an established connection, fed with a sequence of segments, service
 * calls and jumps of time that the input describes. Checked: nothing is read outside its bounds,
 * the bytes delivered are the stream's, limits hold, and at the end every mbuf is back in its pool.
 *
 * Input: a byte of options, then commands of 8 bytes (struct command). With COOKIE in the options the
 * connection comes of a SYN cookie, by an ACK or by a probe of the window that it closes.
 */
#include "tcp_conn.h"

#include <rte_eal.h>
#include <stdlib.h>
#include <string.h>

#define POOL_N 1023
#define COMMANDS_MAX 400
#define PEER_ISN 0xffffff00u
/* Every millisecond costs a step of the timer wheel: an input must not look like one that hangs. */
#define JUMP_MAX HG_SEC(700) /* longer than any timer */
#define END HG_SEC(2000)
#define COOKIE 15 /* as the window scale, which no SYN may have */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct command {
    uint8_t op;
    uint8_t flags;
    int16_t seq; /* relative to what the stack expects next */
    int16_t ack; /* relative to what the stack has not had acknowledged */
    uint16_t arg;
};

struct fuzz {
    struct rte_mempool *hdr, *clone, *data;
};

struct run {
    const struct fuzz *pools;
    struct hg_tcp *tcp;
    struct hg_tcp_conn *conn; /* NULL once released */
    struct hg_flow flow;
    hg_ns now;
    uint32_t ts, read_at, snd_una; /* as offsets or numbers the peer would know */
    bool has_ts;
    struct tcp_hdr syn_ack; /* the last one that left */
};

static struct fuzz *pools_of_process(void)
{
    static struct fuzz fuzz;
    return &fuzz;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char *eal[] = {"fuzz", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=4", NULL};
    struct fuzz *f = pools_of_process();

    (void)argc;
    (void)argv;
    check(rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) >= 0);
    f->hdr = rte_pktmbuf_pool_create("hdr", POOL_N, 0, 0, RTE_PKTMBUF_HEADROOM + 64, SOCKET_ID_ANY);
    f->clone = rte_pktmbuf_pool_create("clone", POOL_N, 0, 0, 0, SOCKET_ID_ANY);
    f->data =
        rte_pktmbuf_pool_create("data", POOL_N, 0, 0, RTE_PKTMBUF_HEADROOM + 2048, SOCKET_ID_ANY);
    check(f->hdr && f->clone && f->data);
    return 0;
}

static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct run *r = arg;
    struct tcp_hdr h;

    (void)tx;
    (void)now;
    check(tcp_hdr_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &h) == 0);
    if ((h.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
        r->syn_ack = h;
    check(m->pkt_len <= 1460 + 20u && m->nb_segs <= 8);
    rte_pktmbuf_free(m);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    (void)arg;
    (void)flow;
    return 1500;
}

static uint8_t stream_byte(uint32_t seq)
{
    return (uint8_t)(seq * 31 + (seq >> 8));
}

static void feed(struct run *r, const struct tcp_hdr *h, uint32_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(r->pools->data);

    if (!m)
        return; /* the stack holds them all: allowed within its bound */
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(tcp_hdr_size(h) + len));
    check(p != NULL);
    p += tcp_hdr_build(p, h);
    for (uint32_t i = 0; i < len; i++)
        p[i] = stream_byte(h->seq + !!(h->flags & TCP_SYN) + i);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = r->flow};
    hg_tcp_input(r->tcp, &seg, 1, r->now);
}

static void segment(struct run *r, const struct command *c)
{
    uint32_t nxt = r->conn ? r->conn->rcv_nxt : PEER_ISN + r->read_at;
    uint32_t una = r->conn ? r->conn->snd_una : r->snd_una;
    struct tcp_hdr h = {.sport = r->flow.rport,
                        .dport = r->flow.lport,
                        .seq = nxt + (uint32_t)c->seq,
                        .ack = una + (uint32_t)c->ack,
                        .flags = c->flags & 0x3f,
                        .wnd = (uint16_t)(c->arg * 7),
                        .mss = c->arg,
                        .wscale = c->flags & 15,
                        .ts_val = r->ts + (c->op >> 7),
                        .ts_ecr = c->arg};

    if (h.flags & TCP_SYN)
        h.has = c->arg & 15;
    else if (r->has_ts && c->arg % 16)
        h.has = TCP_HAS_TS;
    h.n_sack = (uint8_t)(c->op >> 5 & 3);
    if (h.n_sack > tcp_hdr_sack_max(&h))
        h.n_sack = 0;
    for (unsigned i = 0; i < h.n_sack; i++)
        h.sack[i] = (struct tcp_block){una + 300 * i + c->flags, una + 300 * i + (c->arg & 1023)};
    feed(r, &h, c->arg % 1460);
}

static void raw_segment(struct run *r, const struct command *c)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(r->pools->data);

    if (!m)
        return;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, c->flags);
    for (unsigned i = 0; i < c->flags; i++)
        p[i] = (uint8_t)(((const uint8_t *)c)[i % sizeof *c] + i / sizeof *c);
    struct hg_seg seg = {.kind = HG_SEG_TCP, .m = m, .flow = r->flow};
    hg_tcp_input(r->tcp, &seg, 1, r->now);
}

static void icmp(struct run *r, const struct command *c)
{
    struct hg_seg seg = {.kind = c->flags & 1 ? HG_SEG_TOO_BIG : HG_SEG_UNREACHABLE,
                         .flow = r->flow,
                         .quoted_seq = (r->conn ? r->conn->snd_una : 0) + (uint32_t)c->ack,
                         .mtu = c->arg,
                         .icmp_code = c->flags >> 4};

    hg_tcp_input(r->tcp, &seg, 1, r->now);
}

static void read_some(struct run *r, uint32_t n)
{
    struct hg_iov iov[4];
    uint32_t done = 0;
    unsigned k = hg_tcp_peek(r->conn, iov, HG_ARRAY_LEN(iov));

    for (unsigned i = 0; i < k && done < n; i++) {
        uint32_t len = iov[i].len < n - done ? iov[i].len : n - done;
        check(len > 0);
        for (uint32_t b = 0; b < len; b++)
            check(iov[i].base[b] == stream_byte(PEER_ISN + 1 + r->read_at + done + b));
        done += len;
    }
    check(done <= hg_tcp_readable(r->conn));
    hg_tcp_consume(r->conn, done);
    r->read_at += done;
}

static void send_some(struct run *r, uint16_t n)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(r->pools->data);

    if (!m)
        return;
    check(rte_pktmbuf_append(m, n % 2048) != NULL);
    if (hg_tcp_send(r->conn, m))
        rte_pktmbuf_free(m);
}

static void release(struct run *r)
{
    r->snd_una = r->conn->snd_una;
    hg_tcp_release(r->conn);
    r->conn = NULL;
}

static void service(struct run *r, const struct command *c)
{
    if (!r->conn)
        return;
    switch (c->flags & 7) {
    case 0:
    case 1:
        read_some(r, c->arg);
        break;
    case 2:
    case 3:
    case 4:
        send_some(r, c->arg);
        break;
    case 5:
        hg_tcp_shutdown(r->conn);
        break;
    case 6:
        if (c->arg & 1)
            hg_tcp_abort(r->conn);
        break;
    default:
        if (c->arg & 1)
            release(r);
        break;
    }
}

static void events(struct run *r)
{
    struct hg_tcp_event ev[4];
    unsigned n = hg_tcp_events(r->tcp, ev, HG_ARRAY_LEN(ev));

    for (unsigned i = 0; i < n; i++)
        if (ev[i].conn != r->conn) /* accepted after a SYN of the fuzzer */
            hg_tcp_release(ev[i].conn);
}

static void jump(struct run *r, hg_ns by)
{
    by = by < JUMP_MAX ? by : JUMP_MAX;
    r->now = r->now + by < END ? r->now + by : END;
}

static void step(struct run *r, const struct command *c)
{
    switch (c->op & 7) {
    case 0:
        raw_segment(r, c);
        break;
    case 1:
        icmp(r, c);
        break;
    case 2:
        service(r, c);
        break;
    case 3:
        jump(r, (hg_ns)c->arg * c->arg * 1000);
        r->ts += c->arg;
        break;
    default:
        segment(r, c);
        break;
    }
    if (c->op & 8)
        hg_tcp_poll(r->tcp, r->now);
    if (c->op & 16)
        events(r);
}

/* A SYN of another peer, from which on cookies are in use. */
static void half_open(struct run *r)
{
    r->flow.rport++;
    feed(r, &(struct tcp_hdr){.sport = r->flow.rport, .dport = r->flow.lport, .flags = TCP_SYN}, 0);
    hg_tcp_poll(r->tcp, r->now);
    r->flow.rport--;
}

static void establish(struct run *r, uint8_t options)
{
    bool cookie = options >> 4 == COOKIE, probe = cookie && options & TCP_HAS_MSS;
    struct hg_ip any = {{0}};
    struct hg_tcp_event ev;
    struct tcp_hdr h = {.sport = r->flow.rport,
                        .dport = r->flow.lport,
                        .seq = PEER_ISN,
                        .flags = TCP_SYN,
                        .has = options & 15,
                        .mss = 1460,
                        .wscale = cookie ? 7 : options >> 4,
                        .wnd = 5000,
                        .ts_val = r->ts};

    r->has_ts = options & TCP_HAS_TS;
    check(hg_tcp_listen(r->tcp, &any, r->flow.lport, NULL) == 0);
    if (cookie)
        half_open(r);
    feed(r, &h, 0);
    hg_tcp_poll(r->tcp, r->now);
    check(r->syn_ack.flags && (!cookie || !r->syn_ack.wnd));
    h = (struct tcp_hdr){.sport = h.sport,
                         .dport = h.dport,
                         .seq = PEER_ISN + !probe,
                         .ack = r->syn_ack.seq + 1,
                         .flags = TCP_ACK,
                         .has = options & TCP_HAS_TS,
                         .wnd = 5000,
                         .ts_val = r->ts,
                         .ts_ecr = r->syn_ack.ts_val};
    feed(r, &h, 0);
    check(hg_tcp_events(r->tcp, &ev, 1) == 1 && ev.what == HG_TCP_EV_ACCEPTED);
    r->conn = ev.conn;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct fuzz *f = pools_of_process();
    struct run r = {
        .pools = f,
        .now = HG_SEC(5),
        .ts = 1000,
        .flow = {
            {{[10] = 0xff, 0xff, 10, 0, 0, 1}}, {{[10] = 0xff, 0xff, 10, 0, 0, 2}}, 1500, 40000}};
    struct hg_tcp_env env = {.emit = emit, .mtu = mtu, .arg = &r};
    struct hg_tcp_cfg cfg = {.conns_max = 4,
                             .rcv_buf = 30000,
                             .rcv_mem_max = 300000,
                             .snd_buf = 30000,
                             .secret = {1, 2},
                             .hdr_pool = f->hdr,
                             .clone_pool = f->clone};
    struct hg_err err;

    if (!size || size > 1 + COMMANDS_MAX * sizeof(struct command))
        return 0;
    if (data[0] >> 4 == COOKIE)
        cfg.cookies_from = 1;
    check(hg_tcp_create(&cfg, &env, r.now, &r.tcp, &err) == 0);
    establish(&r, data[0]);
    for (size_t at = 1; at + sizeof(struct command) <= size; at += sizeof(struct command)) {
        struct command c;
        memcpy(&c, data + at, sizeof c);
        step(&r, &c);
        check(r.tcp->rx_mem <= cfg.rcv_mem_max + 2176);
        check(hg_tcp_conns(r.tcp) <= cfg.conns_max);
    }
    hg_tcp_poll(r.tcp, r.now);
    hg_tcp_destroy(r.tcp);
    check(!rte_mempool_in_use_count(f->hdr) && !rte_mempool_in_use_count(f->clone) &&
          !rte_mempool_in_use_count(f->data));
    return 0;
}
