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
 * Idle connections keep their promise but do not count: thousands of them would leave nothing for
 * the busy ones. If they all wake at once the memory fills with beginnings of TLS records of which
 * none is complete, so a part of it is a reserve: it takes data only of connections that hold a
 * grant. A grant is good for cfg.rcv_low bytes unread, what a service may need as a whole. There are
 * as many as the reserve has room for. One that is used goes back when the service has read what came
 * under it; one that is not used passes on after a while. Who asks in vain waits in a queue, and is
 * sent a window when its turn, or memory, has come.
 *
 * Invariants: (1) era[k].promised is the sum over the connections whose budget_era is era_now - k,
 * .active their number, .modest the sum of rcv_space of those of them that want no more than the
 * level, and .n_modest their number, for k = 0, 1; older ones are in no sum. (2) Data without a
 * grant never takes memory beyond rx_soft. (3) A connection with a grant can always have rcv_low bytes
 * unread: n_grants <= grants_max, and grants_max times what these may occupy is the reserve. So some
 * always get to finish, whatever the others hold.
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
    uint64_t max = tcp->cfg.rcv_mem_max, each = (uint64_t)WORST_COST * tcp->cfg.rcv_low;
    uint64_t grants = max / 8 / each;

    grants = grants ? grants : 1;
    uint64_t reserve = grants * each < max / 2 ? grants * each : max / 2;
    tcp->grants_max = (uint32_t)grants;
    tcp->rx_soft = max - reserve;
    tcp->level = tcp->cfg.rcv_buf;
    TAILQ_INIT(&tcp->granted);
    TAILQ_INIT(&tcp->waiting);
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
    uint32_t wnd = conn->rcv_adv - conn->rcv_nxt;

    forget(conn);
    conn->budget_era = tcp->era_now;
    conn->promised = wnd > conn->ooo_bytes ? wnd - conn->ooo_bytes : 0; /* those have arrived */
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
    } else if (conn->grant == TCP_GRANT_HELD) {
        TAILQ_REMOVE(&tcp->granted, conn, grant_link);
        tcp->n_grants--;
    }
    conn->grant = TCP_GRANT_NONE;
}

static void enter_queue(struct hg_tcp_conn *conn)
{
    if (conn->grant != TCP_GRANT_NONE)
        return;
    conn->grant = TCP_GRANT_WAITING;
    TAILQ_INSERT_TAIL(&conn->tcp->waiting, conn, grant_link);
}

/* What came under the grant is read, or nothing came: no more is held than before it. A segment
 * more does not matter. */
static bool is_settled(const struct hg_tcp_conn *conn)
{
    return conn->rxq_bytes <= conn->grant_base || conn->rxq_bytes <= conn->rcv_mss;
}

/* Takes a grant from a connection that does not use it. */
static bool revoke_one(struct hg_tcp *tcp)
{
    for (unsigned i = 0; i < GRANT_SCAN; i++) {
        struct hg_tcp_conn *conn = TAILQ_FIRST(&tcp->granted);
        if (tcp->now - conn->grant_at < GRANT_UNUSED)
            return false;
        if (is_settled(conn)) {
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

static bool give(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (tcp->n_grants >= tcp->grants_max && !revoke_one(tcp))
        return false;
    leave(conn);
    conn->grant = TCP_GRANT_HELD;
    conn->grant_base = conn->rxq_bytes;
    conn->grant_at = tcp->now;
    TAILQ_INSERT_TAIL(&tcp->granted, conn, grant_link);
    tcp->n_grants++;
    tcp->count.rx_grants++;
    return true;
}

static uint64_t free_room(const struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint64_t others = tcp->era[0].promised + tcp->era[1].promised;

    if (tcp->era_now - conn->budget_era < 2)
        others -= conn->promised;
    uint64_t used = tcp->rx_mem + cost(others);
    return used < tcp->rx_soft ? payload(tcp->rx_soft - used) : 0;
}

void tcp_budget_ask(struct hg_tcp_conn *conn)
{
    uint32_t more = missing(conn);

    if (conn->grant != TCP_GRANT_NONE || conn->rcv_adv - conn->rcv_nxt >= more ||
        conn->state < TCP_ST_ESTABLISHED || conn->state > TCP_ST_FIN_WAIT_2 ||
        free_room(conn) >= more)
        return;
    if (!give(conn))
        enter_queue(conn);
}

void tcp_budget_consumed(struct hg_tcp_conn *conn)
{
    if (unlikely(conn->grant == TCP_GRANT_HELD) && is_settled(conn))
        leave(conn);
}

void tcp_budget_poll(struct hg_tcp *tcp)
{
    for (unsigned i = 0; i < SERVED_PER_POLL; i++) {
        struct hg_tcp_conn *conn = TAILQ_FIRST(&tcp->waiting);
        if (!conn)
            return;
        if (free_room(conn) >= missing(conn))
            leave(conn);
        else if (!give(conn))
            return;
        tcp_output_ack_now(conn);
    }
}

/* ---- what may come in, and what is offered ---- */

bool tcp_budget_short(const struct hg_tcp *tcp)
{
    return tcp->rx_mem >= tcp->rx_soft || tcp->rx_bufs >= tcp->rx_bufs_max / 8 * 7;
}

bool tcp_budget_admit(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    if (tcp->rx_mem >= tcp->cfg.rcv_mem_max || tcp->rx_bufs >= tcp->rx_bufs_max)
        return tcp_ooo_reclaim(conn) && tcp->rx_mem < tcp->cfg.rcv_mem_max;
    if (tcp_ooo_reclaim(conn)) /* in exchange */
        return true;
    if (conn->grant != TCP_GRANT_HELD && !give(conn)) {
        enter_queue(conn);
        return false;
    }
    if (conn->rxq_bytes >= tcp->cfg.rcv_low)
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
    uint64_t room = free_room(conn);

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
