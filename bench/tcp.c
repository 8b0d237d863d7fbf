/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TCP stack alone, in one thread, without a port: what receiving costs per segment, how that
 * grows with the number of connections, and how many connections are opened and closed per second.
 *
 *     tcp_bench [--cpu N] [--seconds S] receive|open|gro
 *
 * receive: segments of 1448 bytes with timestamps, in order, 16 KiB (twelve segments) for one connection
 * after the other, round robin; the service reads all and does not look at it ("TCP alone"), or opens
 * it as one TLS record with AES-128-GCM ("with the record"), which is what the sixteen kilobytes are
 * for. Segments are written before the clock starts, eight visits at a time, as a NIC would have done it;
 * they lie in 48 MiB of buffers. One line for each number of connections:
 * connections, cycles per segment alone, nanoseconds per 16 KiB with the record, of that the record
 * alone.
 *
 * open: SYN, SYN-ACK, ACK, FIN both ways; 64 at once. Prints connections per second.
 *
 * gro: what rte_gro would take to join the twelve segments before TCP sees them, cycles per segment, and how
 * many are left.
 *
 * Times are of the fastest of many slices; cycles are of the time stamp counter.
 */
#include <getopt.h>
#include <headgate/tcp.h>
#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_gro.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD 1448u
#define HEADER 32u
#define BURST 12u /* segments of a visit: 16 KiB and a little */
#define AHEAD 8u  /* visits written before the clock starts; of one connection: one */
#define RECORD 16384u
#define PORT 1500
#define CONNS_MAX 16384u
#define NOP_NOP_TS 0x0101080au
#define OPENING 64u

struct peer {
    struct hg_tcp_conn *conn;
    uint32_t seq, ack; /* next of ours; of theirs */
};

struct bench {
    struct hg_tcp *tcp;
    struct rte_mempool *rx, *hdr, *clone;
    struct peer *peers;
    uint32_t n;
    hg_ns now;
    uint64_t acks, consumed; /* segments that came back; bytes read */
    IMB_MGR *mb;
    struct gcm_key_data key __attribute__((aligned(64)));
    uint8_t *plain;
    bool open_records;
    double seconds;
};

static void die(const char *what)
{
    fprintf(stderr, "tcp_bench: %s\n", what);
    exit(1);
}

static struct hg_flow flow_of(uint32_t i)
{
    struct hg_flow f = {.lport = PORT, .rport = (uint16_t)(1024 + i % 50000)};

    f.local = hg_ip_from_v4(0xc0000201);
    f.remote = hg_ip_from_v4(0xc6336400 + i / 50000 + 1);
    return f;
}

/* A SYN-ACK tells where to go on; everything else is counted. */
static void emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct bench *b = arg;
    const struct rte_tcp_hdr *h = rte_pktmbuf_mtod(m, const struct rte_tcp_hdr *);
    uint32_t i = (uint32_t)tx->flow->rport - 1024 +
                 50000 * (hg_ip_to_v4(&tx->flow->remote) - 0xc6336400 - 1);

    (void)now;
    if (h->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG))
        b->peers[i].ack = rte_be_to_cpu_32(h->sent_seq) + 1;
    b->acks++;
    rte_pktmbuf_free(m);
}

static uint16_t mtu(void *arg, const struct hg_flow *flow)
{
    (void)arg;
    (void)flow;
    return 1500;
}

static struct rte_mbuf *segment(struct bench *b, uint32_t i, uint8_t flags, uint32_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(b->rx);
    struct peer *p = &b->peers[i];
    bool syn = flags & RTE_TCP_SYN_FLAG;
    uint32_t words[9] = {0}, head = syn ? HEADER + 4 : HEADER;
    uint16_t ports[2] = {rte_cpu_to_be_16(flow_of(i).rport), RTE_BE16(PORT)};

    if (m == NULL)
        die("the packet pool is too small");
    memcpy(&words[0], ports, sizeof ports);
    words[1] = rte_cpu_to_be_32(p->seq);
    words[2] = flags & RTE_TCP_ACK_FLAG ? rte_cpu_to_be_32(p->ack) : 0;
    words[3] = rte_cpu_to_be_32(head / 4 << 28 | (uint32_t)flags << 16 | 60000);
    words[5] = rte_cpu_to_be_32(syn ? 0x0402080au : NOP_NOP_TS);
    words[6] = rte_cpu_to_be_32((uint32_t)(b->now >> 20));
    words[8] = RTE_BE32(0x020405b4);
    memcpy(rte_pktmbuf_append(m, (uint16_t)(head + len)), words, head);
    p->seq += len + syn + !!(flags & RTE_TCP_FIN_FLAG);
    return m;
}

static void feed(struct bench *b, uint32_t i, uint8_t flags)
{
    struct hg_seg s = {.kind = HG_SEG_TCP, .m = segment(b, i, flags, 0), .flow = flow_of(i)};

    hg_tcp_input(b->tcp, &s, 1, b->now);
}

/* Takes the events; what was accepted is told to its peer. */
static void accept_all(struct bench *b)
{
    struct hg_tcp_event ev[64];
    unsigned n;

    while ((n = hg_tcp_events(b->tcp, ev, 64)) > 0) {
        for (unsigned k = 0; k < n; k++) {
            const struct hg_flow *f = hg_tcp_conn_flow(ev[k].conn);
            uint32_t i =
                (uint32_t)f->rport - 1024 + 50000 * (hg_ip_to_v4(&f->remote) - 0xc6336400 - 1);
            if (ev[k].what & HG_TCP_EV_ACCEPTED) {
                b->peers[i].conn = ev[k].conn;
                hg_tcp_set_user(ev[k].conn, &b->peers[i]);
            }
            if (ev[k].what & HG_TCP_EV_EOF)
                hg_tcp_release(ev[k].conn);
        }
    }
}

static void connect_one(struct bench *b, uint32_t i)
{
    b->peers[i].seq = 77 * i;
    feed(b, i, RTE_TCP_SYN_FLAG);
    hg_tcp_poll(b->tcp, b->now);
    feed(b, i, RTE_TCP_ACK_FLAG);
    accept_all(b);
    if (b->peers[i].conn == NULL)
        die("a handshake failed");
}

/* The twelve segments that open as one record, in pieces as they came. */
static void open_record(struct bench *b, const struct hg_iov *iov, unsigned n)
{
    static const uint8_t iv[12] = {1}, aad[5] = {0x17, 3, 3, 0x40, 0x11};
    struct gcm_context_data ctx;
    uint8_t tag[16];
    uint32_t done = 0;

    IMB_AES128_GCM_INIT(b->mb, &b->key, &ctx, iv, aad, sizeof aad);
    for (unsigned i = 0; i < n && done < RECORD; i++) {
        uint32_t len = iov[i].len < RECORD - done ? iov[i].len : RECORD - done;
        IMB_AES128_GCM_DEC_UPDATE(b->mb, &b->key, &ctx, b->plain + done, iov[i].base, len);
        done += len;
    }
    IMB_AES128_GCM_DEC_FINALIZE(b->mb, &b->key, &ctx, tag, sizeof tag);
}

static void prefetch(const struct hg_iov *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (uint32_t at = 0; at < iov[i].len; at += RTE_CACHE_LINE_SIZE)
            rte_prefetch1(iov[i].base + at);
}

static void read_all(struct bench *b)
{
    struct hg_tcp_event ev[AHEAD];
    struct hg_iov iov[2][BURST + 1];
    unsigned n = hg_tcp_events(b->tcp, ev, AHEAD), k = 0;

    if (n > 0)
        k = hg_tcp_peek(ev[0].conn, iov[0], BURST + 1);
    for (unsigned i = 0; i < n; i++) {
        unsigned next = 0;

        if (i + 1 < n) {
            next = hg_tcp_peek(ev[i + 1].conn, iov[(i + 1) % 2], BURST + 1);
            if (b->open_records)
                prefetch(iov[(i + 1) % 2], next);
        }
        if (b->open_records)
            open_record(b, iov[i % 2], k);
        b->consumed += hg_tcp_readable(ev[i].conn);
        hg_tcp_consume(ev[i].conn, hg_tcp_readable(ev[i].conn));
        k = next;
    }
}

static uint32_t ahead(const struct bench *b)
{
    return b->n < AHEAD ? b->n : AHEAD;
}

/* Visits from connection `first` on; returns what they took, in ticks of the counter. */
static uint64_t visit(struct bench *b, uint32_t first)
{
    struct hg_seg segs[AHEAD * BURST];
    unsigned n = 0;
    uint64_t t, before = b->consumed;

    for (uint32_t v = 0; v < ahead(b); v++) {
        uint32_t i = (first + v) % b->n;

        for (unsigned s = 0; s < BURST; s++) {
            segs[n].kind = HG_SEG_TCP;
            segs[n].flow = flow_of(i);
            segs[n++].m = segment(b, i, RTE_TCP_ACK_FLAG, PAYLOAD);
        }
    }
    b->now += 50000;
    t = rte_rdtsc();
    for (unsigned at = 0; at < n; at += 32) /* bursts as ports hand them out */
        hg_tcp_input(b->tcp, segs + at, n - at < 32 ? n - at : 32, b->now);
    read_all(b);
    hg_tcp_poll(b->tcp, b->now);
    t = rte_rdtsc() - t;
    if (b->consumed - before != (uint64_t)n * PAYLOAD)
        die("not all that came in was read");
    return t;
}

/* Ticks per visit: the best slice of 64 * AHEAD visits, all connections seen at least once. */
static double measure(struct bench *b)
{
    uint64_t end = rte_rdtsc() + (uint64_t)(b->seconds * (double)rte_get_tsc_hz());
    uint32_t at = 0, warm = b->n;
    double best = 0;

    do {
        uint64_t sum = 0;

        for (unsigned k = 0; k < 64; k++) {
            sum += visit(b, at);
            at = (at + ahead(b)) % b->n;
        }
        double per = (double)sum / (64 * ahead(b));
        if (warm > 0)
            warm -= warm < 64 * ahead(b) ? warm : 64 * ahead(b);
        else if (best == 0 || per < best)
            best = per;
    } while (rte_rdtsc() < end || best == 0);
    return best;
}

/* The record alone, hot in the nearest cache: what no stack can save. */
static double record_alone(struct bench *b)
{
    struct hg_iov iov[BURST];
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < BURST; i++)
        iov[i] = (struct hg_iov){b->plain + RECORD + i * 2048, PAYLOAD};
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t t = rte_rdtsc();

        open_record(b, iov, BURST);
        t = rte_rdtsc() - t;
        best = t < best ? t : best;
    }
    return (double)best;
}

static void create(struct bench *b)
{
    const struct hg_tcp_cfg cfg = {.conns_max = CONNS_MAX,
                                   .rcv_buf = 256u << 10,
                                   .rcv_mem_max = UINT64_C(2) << 30, /* windows for all */
                                   .half_open_max = 1024,
                                   .time_wait_max = 1024,
                                   .secret = {1, 2},
                                   .hdr_pool = b->hdr,
                                   .clone_pool = b->clone};
    const struct hg_tcp_env env = {.emit = emit, .mtu = mtu, .arg = b};
    const struct hg_ip any = {{0}};
    struct hg_err err = {""};

    b->now = HG_SEC(1000);
    if (hg_tcp_create(&cfg, &env, b->now, &b->tcp, &err) != 0)
        die(err.text);
    hg_tcp_listen(b->tcp, &any, PORT, b);
    memset(b->peers, 0, CONNS_MAX * sizeof *b->peers);
}

static void bench_receive(struct bench *b)
{
    static const uint32_t conns[] = {1, 100, 1000, 10000};

    for (unsigned k = 0; k < HG_ARRAY_LEN(conns); k++) {
        double alone, with;

        create(b);
        for (b->n = 0; b->n < conns[k]; b->n++)
            connect_one(b, b->n);
        b->open_records = false;
        alone = measure(b);
        b->open_records = true;
        with = measure(b);
        double ns = 1e9 / (double)rte_get_tsc_hz();
        printf("%u %.1f %.0f %.0f\n", conns[k], alone / BURST, with * ns, record_alone(b) * ns);
        fflush(stdout);
        hg_tcp_destroy(b->tcp);
    }
}

static uint64_t open_and_close(struct bench *b)
{
    uint64_t t = rte_rdtsc();

    for (uint32_t i = 0; i < OPENING; i++)
        feed(b, i, RTE_TCP_SYN_FLAG);
    hg_tcp_poll(b->tcp, b->now);
    for (uint32_t i = 0; i < OPENING; i++)
        feed(b, i, RTE_TCP_ACK_FLAG);
    accept_all(b);
    for (uint32_t i = 0; i < OPENING; i++)
        feed(b, i, RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG);
    accept_all(b);
    hg_tcp_poll(b->tcp, b->now);
    for (uint32_t i = 0; i < OPENING; i++)
        feed(b, i, RTE_TCP_ACK_FLAG);
    b->now += HG_MS(1);
    if (hg_tcp_conns(b->tcp) != 0)
        die("connections are left");
    return rte_rdtsc() - t;
}

static void bench_open(struct bench *b)
{
    uint64_t end, best = UINT64_MAX;

    create(b);
    end = rte_rdtsc() + (uint64_t)(b->seconds * (double)rte_get_tsc_hz());
    do {
        uint64_t t = open_and_close(b);

        best = t < best ? t : best;
    } while (rte_rdtsc() < end);
    printf("%.0f\n", (double)OPENING * (double)rte_get_tsc_hz() / (double)best);
    hg_tcp_destroy(b->tcp);
}

/* The segments of a visit as frames, as rte_gro wants them. */
static void make_frames(struct bench *b, struct rte_mbuf **m)
{
    for (unsigned i = 0; i < BURST; i++) {
        struct rte_ether_hdr *eth;
        struct rte_ipv4_hdr *ip;

        m[i] = segment(b, 0, RTE_TCP_ACK_FLAG, PAYLOAD);
        ip = (struct rte_ipv4_hdr *)rte_pktmbuf_prepend(m[i], sizeof *ip);
        *ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
                                    .total_length = rte_cpu_to_be_16((uint16_t)m[i]->pkt_len),
                                    .packet_id = rte_cpu_to_be_16((uint16_t)i),
                                    .fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
                                    .next_proto_id = IPPROTO_TCP,
                                    .src_addr = 1,
                                    .dst_addr = 2};
        eth = (struct rte_ether_hdr *)rte_pktmbuf_prepend(m[i], sizeof *eth);
        memset(eth, 0, sizeof *eth);
        eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
        m[i]->l2_len = sizeof *eth;
        m[i]->l3_len = sizeof *ip;
        m[i]->l4_len = HEADER;
        m[i]->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
    }
}

static void bench_gro(struct bench *b)
{
    const struct rte_gro_param param = {
        .gro_types = RTE_GRO_TCP_IPV4, .max_flow_num = 4, .max_item_per_flow = 32};
    uint64_t end, best = UINT64_MAX;
    uint16_t left = 0;

    end = rte_rdtsc() + (uint64_t)(b->seconds * (double)rte_get_tsc_hz());
    do {
        struct rte_mbuf *m[BURST];
        uint64_t t;

        make_frames(b, m);
        t = rte_rdtsc();
        left = rte_gro_reassemble_burst(m, BURST, &param);
        t = rte_rdtsc() - t;
        best = t < best ? t : best;
        for (uint16_t i = 0; i < left; i++)
            rte_pktmbuf_free(m[i]);
    } while (rte_rdtsc() < end);
    printf("%.1f %u\n", (double)best / BURST, left);
}

static struct rte_mempool *pool(const char *name, unsigned n, uint16_t room)
{
    struct rte_mempool *p =
        rte_pktmbuf_pool_create_by_ops(name, n, 0, 0, room, SOCKET_ID_ANY, "stack");

    if (p == NULL)
        die(rte_strerror(rte_errno));
    return p;
}

static void prepare(struct bench *b)
{
    char *eal[] = {"tcp_bench", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "256",       "--no-telemetry", "--log-level=4", NULL};
    static const uint8_t key[16] __attribute__((aligned(64))) = {7};
    IMB_ARCH arch;

    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0)
        die(rte_strerror(rte_errno));
    b->rx = pool("rx", 22 * 1024, RTE_PKTMBUF_HEADROOM + 2048);
    b->hdr = pool("hdr", 4096, RTE_PKTMBUF_HEADROOM + 64);
    b->clone = pool("clone", 256, 0);
    b->peers = calloc(CONNS_MAX, sizeof *b->peers);
    b->plain = aligned_alloc(4096, 1u << 20);
    b->mb = alloc_mb_mgr(0);
    if (b->peers == NULL || b->plain == NULL || b->mb == NULL)
        die("no memory");
    memset(b->plain, 3, 1u << 20);
    init_mb_mgr_auto(b->mb, &arch);
    IMB_AES128_GCM_PRE(b->mb, key, &b->key);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cpu", required_argument, NULL, 'c'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    static struct bench b __attribute__((aligned(64)));
    cpu_set_t set;
    int c;

    b.seconds = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's') {
            b.seconds = atof(optarg);
        } else if (c == 'c') {
            CPU_ZERO(&set);
            CPU_SET((unsigned)atoi(optarg), &set);
            sched_setaffinity(0, sizeof set, &set);
        } else {
            return 2;
        }
    }
    if (optind + 1 != argc)
        die("say receive, open or gro");
    prepare(&b);
    if (strcmp(argv[optind], "receive") == 0)
        bench_receive(&b);
    else if (strcmp(argv[optind], "gro") == 0)
        bench_gro(&b);
    else
        bench_open(&b);
    return 0;
}
