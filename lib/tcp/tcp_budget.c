/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much each connection may be promised, so that what all peers together may send fits into the
 * packet buffers of this stack; and who goes on when it does not fit.
 *
 * A window is a promise: its bytes may arrive at any time. Promises are summed, and no window goes
 * beyond what the sum and the buffers held leave free. That alone would favour whoever came first,
 * so there is a level that no connection's window and unread data together exceed. Once per era it
 * is set so that this fits for all that were active: those that want less than the level
 * (rcv_space, tcp_space.c) get what they want, the others share the rest.
 *
 * Where less is left than the service waits for (missing()), a window is all of that or nothing:
 * another beginning of a TLS record would only fill memory. Who gets nothing waits in a queue, those
 * with something unread before the others, and is sent a window when memory is back.
 *
 * Idle connections keep their promise but do not count: thousands of them would leave nothing for
 * the busy ones. One that wakes is let in as far as there is room. If too many send at once all the
 * same, or stop within a record, memory fills with beginnings of which none is complete. So a part of
 * it is a reserve, which takes data only of connections that hold a grant: for as many bytes as its
 * service still waits for. It is for connections with something unread, since finishing frees memory,
 * and is given only while all who hold one could still use it up (Dijkstra's banker). It ends when the
 * service has read what came under it, or with a rest unread if that leaves room for the next one; when
 * it was not used for a while, it passes on under the same condition.
 *
 * Invariants: (1) era[k].promised is the sum over the connections whose budget_era is era_now - k,
 * .active their number, .modest the sum of rcv_space of those of them that want no more than the
 * level, and .n_modest their number, for k = 0, 1; older ones are in no sum. (2) Data without a
 * grant never takes memory beyond rx_soft, save in exchange for data out of order. (3) rx_mem and what
 * the grants given may still take are together within rcv_mem_max. (4) While data waits beyond
 * rx_soft, either someone holds a grant or there is room to give the largest. So some always get to
 * finish, whatever the others hold. (3) and (4) take rcv_mem_max >= 8 * rcv_low.
 */
#include "tcp_priv.h"

#include <string.h>

#define ERA                                                                                        \
    HG_MS(200) /* a connection that had no segment of ours for one to two of these is idle */
#define GRANT_UNUSED HG_MS(200) /* then it passes on, if others wait */
#define GRANT_SCAN 8            /* grants looked at for one that is not used */
#define SERVED_PER_POLL 16      /* waiting connections that are sent a window */
/* Buffer memory for a byte at worst: segments of less than a quarter of a buffer are copied together
 * (tcp_rxq.c). */
#define WORST_COST 4

/* A byte of payload occupies one and a half of buffer memory: 1448 of 2176. */
static uint64_t cost(uint64_t bytes)
{
    return bytes + bytes / 2;
}

static uint64_t payload(uint64_t memory)
{
    return memory / 3 * 2;
}

void tcp_budget_init(struct hg_tcp *tcp)
{
    uint64_t max = tcp->cfg.rcv_mem_max, least = (uint64_t)WORST_COST * tcp->cfg.rcv_low;

    tcp->rx_soft = max - (max / 8 > least ? max / 8 : least);
    tcp->level = tcp->cfg.rcv_buf;
    TAILQ_INIT(&tcp->granted);
    TAILQ_INIT(&tcp->waiting);
    TAILQ_INIT(&tcp->begun);
}

/* ---- the sum of promises ---- */

static void forget(struct hg_tcp_conn *conn)
{
    uint32_t age = conn->tcp->era_now - conn->budget_era;

    if (age < 2) {
        struct tcp_era *era = &conn->tcp->era[age];
        era->promised -= conn->promised;
        era->active -= conn->counted;
        era->modest -= conn->modest;
        era->n_modest -= !!conn->modest;
    }
    conn->promised = conn->modest = 0;
    conn->counted = 0;
}

void tcp_budget_promise(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    /* Nothing follows a FIN. */
    uint32_t wnd = conn->state <= TCP_ST_FIN_WAIT_2 ? conn->rcv_adv - conn->rcv_nxt : 0;

    forget(conn);
    conn->budget_era = tcp->era_now;
    conn->promised = wnd;
    conn->counted = 1;
    conn->modest = conn->rcv_space <= tcp->level ? conn->rcv_space : 0;
    tcp->era[0].promised += conn->promised;
    tcp->era[0].active++;
    tcp->era[0].modest += conn->modest;
    tcp->era[0].n_modest += !!conn->modest;
}

/* A sixteenth stays for connections that come in the meantime. */
static void set_level(struct hg_tcp *tcp)
{
    uint64_t fits = payload(tcp->rx_soft) / 16 * 15;
    uint32_t active = tcp->era[0].active + tcp->era[1].active;
    uint64_t modest = tcp->era[0].modest + tcp->era[1].modest;
    uint32_t others = active - tcp->era[0].n_modest - tcp->era[1].n_modest;
    uint64_t share = fits / (active ? active : 1);

    if (modest <= fits)
        share = others ? (fits - modest) / others : fits;
    if (share < tcp->cfg.rcv_low)
        share = tcp->cfg.rcv_low;
    tcp->level = share < tcp->cfg.rcv_buf ? (uint32_t)share : tcp->cfg.rcv_buf;
}

void tcp_budget_clock(struct hg_tcp *tcp)
{
    if (likely(tcp->now < tcp->era_end))
        return;
    set_level(tcp);
    tcp->era[1] = tcp->era[0];
    if (tcp->now - tcp->era_end >= ERA) { /* nobody called for so long */
        tcp->era[1] = (struct tcp_era){0};
        tcp->era_now++;
    }
    tcp->era[0] = (struct tcp_era){0};
    tcp->era_now++;
    tcp->era_end = tcp->now + ERA;
}

/* ---- grants ---- */

/* Unread bytes that the service waits for, as far as it said so. */
static uint32_t needed(const struct hg_tcp_conn *conn)
{
    return conn->rcv_lowat > 1 ? conn->rcv_lowat : conn->tcp->cfg.rcv_low;
}

static uint32_t missing(const struct hg_tcp_conn *conn)
{
    uint32_t need = needed(conn);

    return need > conn->rxq_bytes ? need - conn->rxq_bytes : 0;
}

static void leave(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->grant == TCP_GRANT_WAITING) {
        TAILQ_REMOVE(&tcp->waiting, conn, grant_link);
    } else if (conn->grant == TCP_GRANT_BEGUN) {
        TAILQ_REMOVE(&tcp->begun, conn, grant_link);
    } else if (conn->grant == TCP_GRANT_HELD) {
        TAILQ_REMOVE(&tcp->granted, conn, grant_link);
        tcp->grants_mem -= (uint64_t)WORST_COST * conn->grant_size;
    }
    conn->grant = TCP_GRANT_NONE;
}

static void enter_queue(struct hg_tcp_conn *conn)
{
    enum tcp_grant kind = conn->rxq_bytes ? TCP_GRANT_BEGUN : TCP_GRANT_WAITING;
    struct hg_tcp *tcp = conn->tcp;

    if (conn->grant >= kind)
        return;
    leave(conn);
    conn->grant = (uint8_t)kind;
    if (kind == TCP_GRANT_BEGUN)
        TAILQ_INSERT_TAIL(&tcp->begun, conn, grant_link);
    else
        TAILQ_INSERT_TAIL(&tcp->waiting, conn, grant_link);
}

/* The reserve has room for `bytes` of payload beside what the grants may still take. */
static bool has_room_for(const struct hg_tcp *tcp, uint32_t bytes)
{
    return tcp->rx_mem + tcp->grants_mem + (uint64_t)WORST_COST * bytes <= tcp->cfg.rcv_mem_max;
}

/* Without this grant the largest one would have room, although what came under it is unread. */
static bool rest_fits(const struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint64_t others = tcp->grants_mem - (uint64_t)WORST_COST * conn->grant_size;

    return tcp->rx_mem + others + (uint64_t)WORST_COST * tcp->cfg.rcv_low <= tcp->cfg.rcv_mem_max;
}

/* Takes a grant from a connection that does not use it. */
static bool revoke_one(struct hg_tcp *tcp)
{
    for (unsigned i = 0; i < GRANT_SCAN; i++) {
        struct hg_tcp_conn *conn = TAILQ_FIRST(&tcp->granted);
        if (tcp->now - conn->grant_at < GRANT_UNUSED)
            return false;
        if (conn->rxq_bytes <= conn->grant_base || rest_fits(conn)) {
            leave(conn);
            return true;
        }
        /* It holds the beginning of something: looked at again later. */
        TAILQ_REMOVE(&tcp->granted, conn, grant_link);
        TAILQ_INSERT_TAIL(&tcp->granted, conn, grant_link);
        conn->grant_at = tcp->now;
    }
    return false;
}

/* Only what is begun gets a grant: to finish it frees memory, to begin something else does not. */
static bool give(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    uint32_t size = missing(conn);

    if (!conn->rxq_bytes || !size)
        return false;
    if (!has_room_for(tcp, size) && !TAILQ_EMPTY(&tcp->granted) &&
        (!revoke_one(tcp) || !has_room_for(tcp, size)))
        return false;
    leave(conn);
    conn->grant = TCP_GRANT_HELD;
    conn->grant_base = conn->rxq_bytes;
    conn->grant_size = size;
    conn->grant_at = tcp->now;
    TAILQ_INSERT_TAIL(&tcp->granted, conn, grant_link);
    tcp->grants_mem += (uint64_t)WORST_COST * size;
    tcp->count.rx_grants++;
    return true;
}

/* Bytes that may still be promised. Where that is less than the service waits for, promises are
 * counted by half: mostly they do not come in all at once, and if they do there is the reserve. */
static uint64_t free_room(const struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint64_t others = tcp->era[0].promised + tcp->era[1].promised;
    /* What is held out of order is within the promises already, and gives way in any case. */
    uint64_t held = tcp->rx_mem - tcp->ooo.mem;
    uint32_t more = missing(conn);

    if (tcp->era_now - conn->budget_era < 2)
        others -= conn->promised;
    uint64_t used = held + cost(others), likely_used = held + cost(others + more) / 2;
    uint64_t room = used < tcp->rx_soft ? payload(tcp->rx_soft - used) : 0;
    if (room < more)
        room = likely_used < tcp->rx_soft ? more : 0;
    return room;
}

void tcp_budget_ask(struct hg_tcp_conn *conn)
{
    uint32_t more = missing(conn);

    if (conn->grant == TCP_GRANT_HELD || conn->rcv_adv - conn->rcv_nxt >= more ||
        conn->state < TCP_ST_ESTABLISHED || conn->state > TCP_ST_FIN_WAIT_2 ||
        free_room(conn) >= more)
        return;
    if (!give(conn))
        enter_queue(conn);
}

void tcp_budget_consumed(struct hg_tcp_conn *conn)
{
    if (likely(conn->grant != TCP_GRANT_HELD))
        return;
    /* A rest of a segment takes the one buffer that there was before at least. */
    if (conn->rxq_bytes <= conn->grant_base || conn->rxq_bytes <= conn->rcv_mss || rest_fits(conn))
        leave(conn);
}

void tcp_budget_poll(struct hg_tcp *tcp)
{
    uint64_t handed = 0; /* in this call: their windows count once they are sent */
    struct hg_tcp_conn *conn;

    for (unsigned i = 0; i < SERVED_PER_POLL; i++) {
        conn = TAILQ_FIRST(&tcp->begun);
        if (!conn)
            conn = TAILQ_FIRST(&tcp->waiting);
        if (!conn)
            return;
        uint32_t more = missing(conn);
        if (free_room(conn) >= handed + more) {
            leave(conn);
            handed += more;
        } else if (!give(conn)) {
            return;
        }
        tcp_output_ack_now(conn);
    }
}

hg_ns tcp_budget_next(const struct hg_tcp *tcp)
{
    return TAILQ_EMPTY(&tcp->begun) && TAILQ_EMPTY(&tcp->waiting) ? 0 : tcp->era_end;
}

/* ---- what may come in, and what is offered ---- */

bool tcp_budget_short(const struct hg_tcp *tcp)
{
    return tcp->rx_mem >= tcp->rx_soft || tcp->rx_bufs >= tcp->rx_bufs_max / 8 * 7;
}

/* An idle connection wakes up: what it was promised is in no sum, and may not fit any more. */
static bool begins_without_room(const struct hg_tcp_conn *conn)
{
    return !conn->rxq_bytes && conn->tcp->era_now - conn->budget_era >= 2 && !free_room(conn);
}

bool tcp_budget_admit(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (!tcp_budget_short(tcp))
        return !begins_without_room(conn);
    if (tcp->rx_mem >= tcp->cfg.rcv_mem_max || tcp->rx_bufs >= tcp->rx_bufs_max)
        return tcp_ooo_reclaim(conn) && tcp->rx_mem < tcp->cfg.rcv_mem_max;
    if (tcp_ooo_reclaim(conn)) /* in exchange */
        return true;
    /* Refused, it does not wait in the queue: its window is open, so that no news from us would make
     * the peer send again before its timer does. */
    if (conn->grant != TCP_GRANT_HELD && !give(conn))
        return false;
    if (conn->rxq_bytes >= conn->grant_base + conn->grant_size)
        return false;
    conn->grant_at = tcp->now;
    TAILQ_REMOVE(&tcp->granted, conn, grant_link);
    TAILQ_INSERT_TAIL(&tcp->granted, conn, grant_link);
    return true;
}

uint32_t tcp_budget_window(const struct hg_tcp_conn *conn)
{
    uint32_t most = conn->tcp->level < conn->rcv_space ? conn->tcp->level : conn->rcv_space;
    uint32_t wnd = most > conn->rxq_bytes ? most - conn->rxq_bytes : 0;
    uint64_t room = free_room(conn); /* all that the service waits for, or nothing */

    wnd = wnd < room ? wnd : (uint32_t)room;
    if (unlikely(conn->grant == TCP_GRANT_HELD) && wnd < missing(conn))
        wnd = missing(conn);
    return wnd;
}

void tcp_budget_release(struct hg_tcp_conn *conn)
{
    forget(conn);
    leave(conn);
}
