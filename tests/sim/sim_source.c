/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_source.h"
#include "relay.h"
#include <headgate/codec.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : die(__LINE__, #c))
#define EXTENT_BLOCKS 16u
#define RETRY HG_MS(20)
#define UNSENT_MAX 8

struct sim_source {
    struct sim_source_cfg cfg;
    struct hg_net *net;
    struct hg_tcp *tcp;
    struct hg_tls_shard *tls_shard;
    struct rte_mempool *hdr, *clone, *tx;
    struct hg_source *src;
    struct hg_tcp_conn *conn;
    struct hg_tls *tls;
    bool started;
    hg_ns retry_at;
    uint64_t rand; /* of record sizes */
    uint32_t submitted[SIM_VOLUMES];
    uint64_t acked[SIM_VOLUMES];
    uint8_t raw[EXTENT_BLOCKS * HG_BLOCK], packed[EXTENT_BLOCKS * HG_BLOCK];
    uint8_t scratch[HG_DEFLATE_SCRATCH];
    uint8_t plain[HG_TLS_MAX_RECORD];
    struct hg_source_frame frame; /* being sent */
    uint32_t frame_at;            /* bytes of it sent */
    bool frame_due;
};

static void die(int line, const char *what)
{
    fprintf(stderr, "sim_source.c:%d: %s does not hold\n", line, what);
    abort();
}

const char *sim_volume_name(unsigned volume)
{
    static const char *const name[SIM_VOLUMES] = {"root", "data", "logs"};

    return name[volume];
}

/* ---- the model ---- */

static void make_op(uint64_t seed, unsigned volume, uint64_t k, struct hg_source_op *op)
{
    uint64_t r = seed ^ ((uint64_t)volume << 56) ^ k * UINT64_C(0x100000001b3);
    uint64_t kind = sim_rand(&r) % 16;
    uint64_t blocks = 1 + sim_rand(&r) % EXTENT_BLOCKS;
    uint64_t at = sim_rand(&r) % (SIM_VOLUME_SIZE / HG_BLOCK - blocks + 1);

    *op = (struct hg_source_op){
        .type = HG_FRAME_DATA, .offset = at * HG_BLOCK, .len = blocks * HG_BLOCK, .tag = k};
    if (kind == 0)
        *op = (struct hg_source_op){.type = HG_FRAME_BARRIER, .tag = k};
    else if (kind == 1)
        op->type = HG_FRAME_ZERO;
    else if (kind == 2)
        op->type = HG_FRAME_TRIM;
}

/* Half random, half repetition: deflate has something to do and data differs by op. */
static void make_data(uint64_t seed, unsigned volume, const struct hg_source_op *op, uint8_t *dst)
{
    uint64_t r = seed * 31 + volume * 7 + op->tag;

    for (uint64_t i = 0; i < op->len; i += 8) {
        uint64_t v = i % 64 < 32 ? sim_rand(&r) : op->tag;

        memcpy(dst + i, &v, 8);
    }
}

void sim_model(uint64_t seed, unsigned volume, uint64_t k, uint8_t *image)
{
    memset(image, 0, SIM_VOLUME_SIZE);
    for (uint64_t i = 1; i <= k; i++) {
        struct hg_source_op op;

        make_op(seed, volume, i, &op);
        if (op.type == HG_FRAME_DATA)
            make_data(seed, volume, &op, image + op.offset);
        else if (op.type != HG_FRAME_BARRIER)
            memset(image + op.offset, 0, op.len);
    }
}

/* ---- what the core calls ---- */

static int payload(void *arg, uint32_t volume, const struct hg_source_op *op,
                   struct hg_source_payload *out)
{
    struct sim_source *s = arg;
    uint32_t len = (uint32_t)op->len, packed = 0;

    make_data(s->cfg.seed, volume, op, s->raw);
    *out = (struct hg_source_payload){
        .data = s->raw, .len = len, .crc = hg_crc32c(s->raw, len), .codec = HG_CODEC_STORED};
    if (op->tag % 3 != 0 && (hg_source_codecs(s->src) & (1u << HG_CODEC_DEFLATE)) != 0)
        packed = hg_deflate(s->packed, sizeof s->packed, s->raw, len, s->scratch);
    if (packed != 0) {
        out->data = s->packed;
        out->len = packed;
        out->codec = HG_CODEC_DEFLATE;
    }
    return 0;
}

static void acked(void *arg, uint32_t volume, const struct hg_source_op *op, hg_ns sent, hg_ns now)
{
    struct sim_source *s = arg;

    (void)sent;
    (void)now;
    MUST(op->tag == s->acked[volume] + 1);
    s->acked[volume] = op->tag;
}

static void volume_news(void *arg, uint32_t volume, const char *why)
{
    (void)arg;
    (void)volume;
    if (why != NULL)
        fprintf(stderr, "volume news: %s\n", why);
    MUST(why == NULL);
}

static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    hg_net_emit(((struct sim_source *)arg)->net, m, tx, now);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    return hg_net_mtu(((struct sim_source *)arg)->net, &flow->remote);
}

/* ---- life ---- */

static struct rte_mempool *pool(const char *name, uint16_t room)
{
    struct rte_mempool *p = rte_pktmbuf_pool_create(name, 4095, 0, 0, room, SOCKET_ID_ANY);

    MUST(p != NULL);
    return p;
}

struct sim_source *sim_source_create(const struct sim_source_cfg *cfg, hg_ns now)
{
    struct sim_source *s = calloc(1, sizeof *s);
    const struct hg_source_env env = {payload, acked, volume_news, s};
    const struct hg_source_cfg source = {.volumes_max = SIM_VOLUMES,
                                         .frames_max = 256,
                                         .max_raw = EXTENT_BLOCKS * HG_BLOCK,
                                         .depth = 512u << 10,
                                         .codecs = 3};
    struct hg_net_cfg net = {.port = cfg->port, .n_addrs = 1, .no_dad = true, .pool = cfg->pool};
    struct hg_tcp_cfg tcp = {.conns_max = 64, .secret = {cfg->seed, 1}};
    struct hg_tcp_env tcp_env = {emit, mtu, s};
    struct hg_err err;

    MUST(s != NULL);
    s->cfg = *cfg;
    s->rand = cfg->seed;
    s->hdr = pool("src_hdr", RTE_PKTMBUF_HEADROOM + HG_NET_HEADROOM + 64);
    s->clone = pool("src_clone", 0);
    s->tx = pool("src_tx", 17000);
    net.addrs[0] = (struct hg_net_prefix){hg_ip_from_v4(0xc0000202), 24};
    tcp.hdr_pool = s->hdr;
    tcp.clone_pool = s->clone;
    MUST(hg_net_create(&net, now, &s->net, &err) == 0);
    MUST(hg_tcp_create(&tcp, &tcp_env, now, &s->tcp, &err) == 0);
    MUST(hg_tls_shard_create(&s->tls_shard, &err) == 0);
    MUST(hg_source_create(&source, &env, &s->src, &err) == 0);
    for (unsigned v = 0; v < SIM_VOLUMES; v++) {
        uint32_t index;

        MUST(hg_source_volume_add(s->src, sim_volume_name(v), SIM_VOLUME_SIZE, &index, &err) == 0);
        MUST(index == v);
    }
    return s;
}

static void drop_connection(struct sim_source *s, bool silently, hg_ns now)
{
    if (s->started)
        hg_source_cut(s->src);
    if (s->conn != NULL) {
        if (!silently)
            hg_tcp_abort(s->conn);
        hg_tcp_release(s->conn);
    }
    hg_tls_destroy(s->tls);
    s->conn = NULL;
    s->tls = NULL;
    s->started = s->frame_due = false;
    s->retry_at = now + RETRY;
}

void sim_source_destroy(struct sim_source *s)
{
    drop_connection(s, false, 0);
    hg_source_destroy(s->src);
    hg_tls_shard_destroy(s->tls_shard);
    hg_tcp_destroy(s->tcp);
    hg_net_destroy(s->net);
    MUST(rte_mempool_full(s->hdr) == 1 || rte_mempool_in_use_count(s->hdr) < 64);
    rte_mempool_free(s->tx);
    rte_mempool_free(s->clone);
    rte_mempool_free(s->hdr);
    free(s);
}

void sim_source_cut(struct sim_source *s, hg_ns now)
{
    if (s->conn != NULL)
        drop_connection(s, true, now);
}

static void connect_again(struct sim_source *s, hg_ns now)
{
    struct hg_flow flow = {.local = hg_ip_from_v4(0xc0000202),
                           .remote = hg_ip_from_v4(0xc0000201),
                           .rport = HG_PROTO_PORT};

    MUST(hg_tcp_connect(s->tcp, &flow, s, now, &s->conn) == 0);
    MUST(hg_tls_create(s->cfg.tls, s->tls_shard, &s->tls) == 0);
}

/* ---- out ---- */

static void send_mbuf(struct sim_source *s, struct rte_mbuf *m, uint32_t len)
{
    m->data_len = (uint16_t)len;
    m->pkt_len = len;
    MUST(hg_tcp_send(s->conn, m) == 0);
}

static struct rte_mbuf *room_to_send(struct sim_source *s)
{
    return hg_tcp_send_space(s->conn) < 20000 ? NULL : rte_pktmbuf_alloc(s->tx);
}

/* Fills one record with frames; returns its plaintext length. */
static uint32_t gather(struct sim_source *s, uint8_t *dst, uint32_t cap, hg_ns now)
{
    uint32_t n = 0;

    while (n < cap) {
        const uint8_t *from;
        uint32_t left;

        if (!s->frame_due) {
            if (hg_source_next(s->src, now, &s->frame) != 1)
                break;
            s->frame_due = true;
            s->frame_at = 0;
        }
        if (s->frame_at < HG_FRAME_HEADER) {
            from = s->frame.header + s->frame_at;
            left = HG_FRAME_HEADER - s->frame_at;
        } else {
            from = s->frame.payload + (s->frame_at - HG_FRAME_HEADER);
            left = HG_FRAME_HEADER + s->frame.payload_len - s->frame_at;
        }
        if (left > cap - n)
            left = cap - n;
        if (left != 0)
            memcpy(dst + n, from, left);
        n += left;
        s->frame_at += left;
        s->frame_due = s->frame_at < HG_FRAME_HEADER + s->frame.payload_len;
    }
    return n;
}

static void flush(struct sim_source *s, hg_ns now)
{
    struct rte_mbuf *m;

    while (hg_tls_pending(s->tls) != 0 && (m = room_to_send(s)) != NULL)
        send_mbuf(s, m,
                  hg_tls_take(s->tls, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m)));
    while (s->started && hg_tls_state(s->tls) == HG_TLS_OPEN && (m = room_to_send(s)) != NULL) {
        uint32_t offset = hg_tls_seal_offset(s->tls);
        struct hg_iov iov = {rte_pktmbuf_mtod_offset(m, uint8_t *, offset), 0};
        int len;

        iov.len = gather(s, iov.base, 1 + (uint32_t)(sim_rand(&s->rand) % 16000), now);
        if (iov.len == 0) {
            rte_pktmbuf_free(m);
            break;
        }
        len = hg_tls_seal(s->tls, &iov, 1, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m));
        MUST(len > 0);
        send_mbuf(s, m, (uint32_t)len);
    }
}

/* ---- in ---- */

static bool receive(struct sim_source *s, hg_ns now)
{
    struct hg_iov iov[64], dst = {s->plain, sizeof s->plain};
    struct hg_tls_opened res;

    do {
        unsigned n = hg_tcp_peek(s->conn, iov, 64);

        res = (struct hg_tls_opened){0, 0};
        if (hg_tls_open(s->tls, iov, n, &dst, &res) != 0)
            return false;
        hg_tcp_consume(s->conn, res.consumed);
        if (!s->started && hg_tls_state(s->tls) == HG_TLS_OPEN) {
            uint8_t id[16] = {1};

            hg_source_start(s->src, id, now);
            s->started = true;
        }
        if (res.len != 0 && hg_source_input(s->src, s->plain, res.len, now) != 0)
            fprintf(stderr, "source refused: %s\n", hg_source_end(s->src)->text);
    } while (res.consumed != 0);
    return hg_source_state(s->src) != HG_SOURCE_FAILED &&
           hg_source_state(s->src) != HG_SOURCE_CLOSED;
}

static void submit(struct sim_source *s)
{
    bool all = true;

    for (unsigned v = 0; v < SIM_VOLUMES; v++) {
        while (s->submitted[v] < s->cfg.ops && hg_source_unsent(s->src, v) < UNSENT_MAX &&
               hg_source_room(s->src, v) != 0) {
            struct hg_source_op op;

            make_op(s->cfg.seed, v, s->submitted[v] + 1, &op);
            if (hg_source_submit(s->src, v, &op, 1) != 1)
                break;
            s->submitted[v]++;
        }
        all = all && s->submitted[v] == s->cfg.ops;
    }
    if (all)
        hg_source_finish(s->src);
}

unsigned sim_source_turn(struct sim_source *s, hg_ns now)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    struct hg_seg segs[HG_PORT_BURST];
    struct hg_tcp_event ev[4];
    uint16_t n = hg_port_rx(s->cfg.port, 0, pkts, HG_PORT_BURST);
    unsigned n_segs = hg_net_input(s->net, pkts, n, now, segs), n_ev;
    bool alive = true, ended = false;

    hg_tcp_input(s->tcp, segs, n_segs, now);
    if (s->conn == NULL && now >= s->retry_at && !sim_source_done(s))
        connect_again(s, now);
    n_ev = hg_tcp_events(s->tcp, ev, 4);
    for (unsigned i = 0; i < n_ev; i++)
        if (ev[i].conn == s->conn && (ev[i].what & (HG_TCP_EV_CLOSED | HG_TCP_EV_EOF)) != 0)
            ended = true;
    if (s->conn != NULL)
        alive = receive(s, now) && !ended;
    if (s->conn != NULL && alive) {
        submit(s);
        hg_source_poll(s->src, now);
        flush(s, now);
    } else if (s->conn != NULL) {
        drop_connection(s, false, now);
    }
    hg_tcp_poll(s->tcp, now);
    hg_net_poll(s->net, now);
    hg_net_flush(s->net);
    return n + n_ev;
}

hg_ns sim_source_next(const struct sim_source *s)
{
    hg_ns next = hg_tcp_next(s->tcp);

    if (s->conn == NULL && !sim_source_done(s) && (next == 0 || s->retry_at < next))
        next = s->retry_at;
    return next;
}

bool sim_source_done(const struct sim_source *s)
{
    for (unsigned v = 0; v < SIM_VOLUMES; v++)
        if (s->acked[v] != s->cfg.ops)
            return false;
    return true;
}

uint64_t sim_source_acked(const struct sim_source *s, unsigned volume)
{
    return s->acked[volume];
}
