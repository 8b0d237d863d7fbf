/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invariants of a queue's ring:
 *  1. Slots [tail, head) hold packets for the reader; only the reader moves tail, only the queue's thread
 *     moves head. Both only count up; a slot's place is its number modulo n_slots.
 *  2. Slots [head, head + staged) hold packets that were handed to the port and of which it is not known yet
 *     whether it took them. They are in the order in which they were handed over, so those it took are
 *     the first ones. staged is 0 outside of tx() and sent().
 */
#include "tap.h"
#include <errno.h>
#include <pcap/pcap.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STAGED_MAX 256u /* the longest burst that is given to a port; more is counted as dropped */
#define FRAME_MAX 65535u
#define SLOTS_MIN (2 * STAGED_MAX)

struct slot {
    uint64_t time;
    uint32_t captured, original;
    uint16_t place; /* in its burst */
    bool out;
    uint8_t data[];
};

struct ring {
    /* the queue's thread */
    _Alignas(RTE_CACHE_LINE_SIZE) atomic_uint_fast64_t head;
    uint32_t staged;
    atomic_uint_fast64_t seen, accepted, dropped;
    /* of what is staged: what counts only once it is sent */
    uint16_t staged_dropped[STAGED_MAX];
    uint32_t n_staged_dropped;
    uint8_t whole[FRAME_MAX]; /* a packet of several buffers, for the filter */
    /* the reader's */
    _Alignas(RTE_CACHE_LINE_SIZE) atomic_uint_fast64_t tail;
};

struct tap {
    struct hg_port_watch watch;
    struct bpf_program filter; /* no instructions: all */
    uint8_t *slots;            /* n_queues times n_slots of slot_size bytes */
    size_t slots_len, slot_size;
    uint64_t n_slots; /* of each queue */
    uint32_t snaplen;
    uint16_t n_queues;
    struct ring ring[];
};

static struct tap *tap_of(struct hg_port_watch *watch)
{
    return HG_CONTAINER_OF(watch, struct tap, watch);
}

static struct slot *slot_at(const struct tap *tap, const struct ring *r, uint64_t number)
{
    size_t queue = (size_t)(r - tap->ring);

    return (struct slot *)(tap->slots +
                           (queue * tap->n_slots + number % tap->n_slots) * tap->slot_size);
}

/* Counters have one writer: no locked instruction. */
static void count(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t wall_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t); /* in the vDSO: no system call */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- on the queue's thread ---- */

/* The filter wants one piece and may look anywhere in it, also behind what is kept. */
static bool passes(const struct tap *tap, struct ring *r, const struct rte_mbuf *m)
{
    uint32_t len = m->pkt_len < FRAME_MAX ? m->pkt_len : FRAME_MAX;

    return tap->filter.bf_len == 0 ||
           bpf_filter(tap->filter.bf_insns, rte_pktmbuf_read(m, 0, len, r->whole), m->pkt_len,
                      len) != 0;
}

static void copy_out(struct slot *s, const struct rte_mbuf *m, uint32_t max)
{
    uint32_t want = m->pkt_len < max ? m->pkt_len : max, done = 0;

    s->original = m->pkt_len;
    s->captured = want;
    for (; m != NULL && done < want; m = m->next) {
        uint32_t n = m->data_len < want - done ? m->data_len : want - done;

        memcpy(s->data + done, rte_pktmbuf_mtod(m, const void *), n);
        done += n;
    }
}

/* Copies the packet behind what is staged; NULL when there is no slot. */
static struct slot *stage(struct tap *tap, struct ring *r, const struct rte_mbuf *m, uint64_t time)
{
    uint64_t next = atomic_load_explicit(&r->head, memory_order_relaxed) + r->staged;
    struct slot *s;

    if (next - atomic_load_explicit(&r->tail, memory_order_acquire) >= tap->n_slots)
        return NULL;
    s = slot_at(tap, r, next);
    s->time = time;
    copy_out(s, m, tap->snaplen);
    r->staged++;
    return s;
}

/* The first n of what is staged are for the reader, the rest is forgotten. */
static void publish(struct ring *r, uint32_t n)
{
    atomic_store_explicit(&r->head, atomic_load_explicit(&r->head, memory_order_relaxed) + n,
                          memory_order_release);
    r->staged = 0;
}

static void tap_rx(struct hg_port_watch *watch, uint16_t queue, struct rte_mbuf *const *pkts,
                   uint16_t n)
{
    struct tap *tap = tap_of(watch);
    struct ring *r = &tap->ring[queue];
    uint64_t now = wall_clock();
    uint32_t accepted = 0;

    for (uint16_t i = 0; i < n; i++) {
        struct slot *s;

        if (!passes(tap, r, pkts[i]))
            continue;
        accepted++;
        s = stage(tap, r, pkts[i], now);
        if (s != NULL)
            s->out = false;
    }
    count(&r->seen, n);
    count(&r->accepted, accepted);
    count(&r->dropped, accepted - r->staged);
    publish(r, r->staged);
}

static void tap_tx(struct hg_port_watch *watch, uint16_t queue, struct rte_mbuf *const *pkts,
                   uint16_t n)
{
    struct tap *tap = tap_of(watch);
    struct ring *r = &tap->ring[queue];
    uint64_t now = wall_clock();

    r->n_staged_dropped = 0;
    for (uint16_t i = 0; i < n && i < STAGED_MAX; i++) {
        struct slot *s;

        if (!passes(tap, r, pkts[i]))
            continue;
        s = stage(tap, r, pkts[i], now);
        if (s == NULL) {
            r->staged_dropped[r->n_staged_dropped++] = i;
            continue;
        }
        s->place = i;
        s->out = true;
    }
}

static void tap_sent(struct hg_port_watch *watch, uint16_t queue, uint16_t n)
{
    struct tap *tap = tap_of(watch);
    struct ring *r = &tap->ring[queue];
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint32_t copied = 0, dropped = n > STAGED_MAX ? n - STAGED_MAX : 0;

    while (copied < r->staged && slot_at(tap, r, head + copied)->place < n)
        copied++;
    for (uint32_t i = 0; i < r->n_staged_dropped && r->staged_dropped[i] < n; i++)
        dropped++;
    count(&r->seen, n);
    count(&r->accepted, copied + dropped);
    count(&r->dropped, dropped);
    publish(r, copied);
}

/* ---- the reader ---- */

bool tap_peek(const struct tap *tap, struct tap_packet *out)
{
    const struct slot *oldest = NULL;

    for (uint16_t q = 0; q < tap->n_queues; q++) {
        const struct ring *r = &tap->ring[q];
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
        const struct slot *s = slot_at(tap, r, tail);

        if (tail == atomic_load_explicit(&r->head, memory_order_acquire) ||
            (oldest != NULL && oldest->time <= s->time))
            continue;
        oldest = s;
        *out = (struct tap_packet){.time = s->time,
                                   .captured = s->captured,
                                   .original = s->original,
                                   .queue = q,
                                   .out = s->out,
                                   .data = s->data};
    }
    return oldest != NULL;
}

void tap_drop(struct tap *tap, const struct tap_packet *packet)
{
    atomic_fetch_add_explicit(&tap->ring[packet->queue].tail, 1, memory_order_release);
}

struct tap_totals tap_totals(const struct tap *tap)
{
    struct tap_totals t = {0, 0, 0};

    for (uint16_t q = 0; q < tap->n_queues; q++) {
        t.seen += atomic_load_explicit(&tap->ring[q].seen, memory_order_relaxed);
        t.accepted += atomic_load_explicit(&tap->ring[q].accepted, memory_order_relaxed);
        t.dropped += atomic_load_explicit(&tap->ring[q].dropped, memory_order_relaxed);
    }
    return t;
}

/* ---- making and unmaking ---- */

/* libpcap compiles and runs it. DPDK could make machine code of it (rte_bpf_convert()), but what 22.11 makes of
 * `tcp[32] = 23` lets nothing through. */
static int load_filter(struct tap *tap, const char *text, struct hg_err *err)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, FRAME_MAX);
    int rc = 0;

    if (pcap == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    if (pcap_compile(pcap, &tap->filter, text, 1, PCAP_NETMASK_UNKNOWN) != 0)
        rc = hg_fail(err, -EINVAL, "filter \"%.200s\": %.200s", text, pcap_geterr(pcap));
    pcap_close(pcap);
    return rc;
}

/* Touched here, so that the queues' threads take no page faults. */
static int take_memory(struct tap *tap, size_t memory, struct hg_err *err)
{
    tap->slot_size = (sizeof(struct slot) + tap->snaplen + 63) & ~(size_t)63;
    tap->n_slots = memory / tap->slot_size;
    if (tap->n_slots < SLOTS_MIN)
        tap->n_slots = SLOTS_MIN;
    tap->slots_len = tap->n_queues * tap->n_slots * tap->slot_size;
    tap->slots = mmap(NULL, tap->slots_len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (tap->slots != MAP_FAILED)
        return 0;
    tap->slots = NULL;
    return hg_fail(err, -errno, "%zu bytes for packets: %s", tap->slots_len, strerror(errno));
}

int tap_create(const struct tap_cfg *cfg, struct tap **out, struct hg_err *err)
{
    size_t size = sizeof(struct tap) + cfg->port->n_queues * sizeof(struct ring);
    struct tap *tap = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(size, RTE_CACHE_LINE_SIZE));
    int rc = 0;

    if (tap == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    memset(tap, 0, size);
    tap->watch = (struct hg_port_watch){.rx = tap_rx, .tx = tap_tx, .sent = tap_sent};
    tap->n_queues = cfg->port->n_queues;
    tap->snaplen = cfg->snaplen;
    if (cfg->filter[0] != '\0')
        rc = load_filter(tap, cfg->filter, err);
    if (rc == 0)
        rc = take_memory(tap, cfg->memory, err);
    if (rc != 0)
        tap_destroy(tap);
    else
        *out = tap;
    return rc;
}

void tap_destroy(struct tap *tap)
{
    if (tap == NULL)
        return;
    pcap_freecode(&tap->filter);
    if (tap->slots != NULL)
        munmap(tap->slots, tap->slots_len);
    free(tap);
}

struct hg_port_watch *tap_watch(struct tap *tap)
{
    return &tap->watch;
}
