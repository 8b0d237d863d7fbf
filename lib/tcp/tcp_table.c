/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of connections and the table that finds them by address.
 *
 * The table is open addressing with linear probing at a load of at most one half; removal shifts
 * the following entries back, so there are no tombstones and probes stay short. The hash is keyed
 * (tcp_hash.h), so an outsider cannot build long probes.
 */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <assert.h>
#include <errno.h>
#include <rte_malloc.h>
#include <stdlib.h>
#include <string.h>

/* Connections that can have much in flight at once, or losses; beyond it they recover less well. */
#define SENT_TABLES 8192u

static bool flow_equal(const struct hg_flow *a, const struct hg_flow *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void conn_init(struct hg_tcp *tcp, struct hg_tcp_conn *conn)
{
    memset(conn, 0, sizeof *conn);
    conn->tcp = tcp;
    conn->sent.pool = &tcp->sent_pool;
    tcp_sent_reset(&conn->sent, 0);
    tcp_rack_init(&conn->rack);
    conn->limits.now = TCP_L_IDLE;
    conn->uto_s = (uint32_t)(tcp->cfg.user_timeout / HG_SEC(1));
}

int tcp_table_create(struct hg_tcp *tcp)
{
    uint32_t n = tcp->cfg.conns_max;
    uint32_t slots = rte_align32pow2(2 * n);

    tcp->slot_mask = slots - 1;
    tcp->slots = rte_zmalloc("tcp slots", slots * sizeof *tcp->slots, RTE_CACHE_LINE_SIZE);
    tcp->conns = rte_zmalloc("tcp conns", n * sizeof *tcp->conns, RTE_CACHE_LINE_SIZE);
    /* Ordinary memory on purpose: pages are touched only as far as connections are used. */
    tcp->trace = calloc(n, sizeof *tcp->trace);
    /* Counted so that buffers of half the usual size still fit. */
    tcp->rx_bufs_max = (uint32_t)(tcp->cfg.rcv_mem_max / 1024 + 64);
    int rc = tcp_rxblks_create(&tcp->rx_blocks, 2 * tcp->rx_bufs_max, n);
    rc = rc ? rc : tcp_sent_pool_create(&tcp->sent_pool, n < SENT_TABLES ? n : SENT_TABLES);
    rc = rc ? rc : tcp_ooo_pool_create(&tcp->ooo, tcp->cfg.ooo_conns_max);
    if (rc || !tcp->slots || !tcp->conns || !tcp->trace) {
        tcp_table_destroy(tcp);
        return -ENOMEM;
    }
    TAILQ_INIT(&tcp->free);
    TAILQ_INIT(&tcp->time_wait);
    return 0;
}

void tcp_table_destroy(struct hg_tcp *tcp)
{
    rte_free(tcp->slots);
    rte_free(tcp->conns);
    free(tcp->trace);
    tcp_rxblks_destroy(&tcp->rx_blocks);
    tcp_sent_pool_destroy(&tcp->sent_pool);
    tcp_ooo_pool_destroy(&tcp->ooo);
}

struct hg_tcp_conn *tcp_table_find(struct hg_tcp *tcp, const struct hg_flow *flow, uint32_t hash)
{
    struct hg_tcp_conn *conn = tcp->last;

    if (conn && flow_equal(&conn->flow, flow))
        return conn;
    for (uint32_t i = hash & tcp->slot_mask; tcp->slots[i].conn; i = (i + 1) & tcp->slot_mask) {
        if (tcp->slots[i].hash != hash)
            continue;
        conn = &tcp->conns[tcp->slots[i].conn - 1];
        if (flow_equal(&conn->flow, flow)) {
            tcp->last = conn;
            return conn;
        }
    }
    return NULL;
}

const struct hg_tcp_conn *tcp_table_guess(const struct hg_tcp *tcp, uint32_t hash)
{
    const struct tcp_slot *slot = &tcp->slots[hash & tcp->slot_mask];

    return slot->conn ? &tcp->conns[slot->conn - 1] : tcp->conns;
}

static void table_insert(struct hg_tcp *tcp, struct hg_tcp_conn *conn)
{
    uint32_t i = conn->hash & tcp->slot_mask;

    while (tcp->slots[i].conn)
        i = (i + 1) & tcp->slot_mask;
    tcp->slots[i] =
        (struct tcp_slot){.hash = conn->hash, .conn = (uint32_t)(conn - tcp->conns) + 1};
}

static void table_remove(struct hg_tcp *tcp, const struct hg_tcp_conn *conn)
{
    uint32_t index = (uint32_t)(conn - tcp->conns) + 1;
    uint32_t hole = conn->hash & tcp->slot_mask;

    while (tcp->slots[hole].conn != index) {
        assert(tcp->slots[hole].conn);
        hole = (hole + 1) & tcp->slot_mask;
    }
    /* Close the hole: an entry may move into it if its home is not between hole and entry. */
    for (uint32_t i = (hole + 1) & tcp->slot_mask; tcp->slots[i].conn;
         i = (i + 1) & tcp->slot_mask) {
        uint32_t home = tcp->slots[i].hash & tcp->slot_mask;
        if (((i - home) & tcp->slot_mask) < ((i - hole) & tcp->slot_mask))
            continue;
        tcp->slots[hole] = tcp->slots[i];
        hole = i;
    }
    tcp->slots[hole].conn = 0;
    if (tcp->last == conn)
        tcp->last = NULL;
}

/* One that was used before, else the next that never was: memory is touched only as far as there
 * are connections at once. */
static struct hg_tcp_conn *take_free(struct hg_tcp *tcp)
{
    struct hg_tcp_conn *conn = TAILQ_FIRST(&tcp->free);

    if (conn)
        TAILQ_REMOVE(&tcp->free, conn, wait_link);
    else if (tcp->conns_used < tcp->cfg.conns_max)
        conn = &tcp->conns[tcp->conns_used++];
    return conn;
}

struct hg_tcp_conn *tcp_conn_new(struct hg_tcp *tcp, const struct hg_flow *flow, uint32_t hash)
{
    struct hg_tcp_conn *oldest = TAILQ_FIRST(&tcp->time_wait);

    if (tcp->n_conns == tcp->cfg.conns_max && oldest) {
        tcp->count.time_wait_recycled++;
        tcp_conn_kill(oldest, 0);
    }
    /* Still empty when the service has not released the one that was recycled. */
    struct hg_tcp_conn *conn = take_free(tcp);
    if (!conn)
        return NULL;
    conn_init(tcp, conn);
    conn->flags = TCP_F_IN_USE;
    conn->flow = *flow;
    conn->hash = hash;
    tcp_trace_reset(conn);
    table_insert(tcp, conn);
    tcp->n_conns++;
    return conn;
}

void tcp_conn_free(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;

    assert(conn->state == TCP_ST_CLOSED && !hg_timer_armed(&conn->timer));
    tcp_rxq_drop(conn);
    tcp_sent_reset(&conn->sent, 0);
    tcp_budget_release(conn);
    if (conn->flags & TCP_F_ON_READY)
        TAILQ_REMOVE(&tcp->ready, conn, ready_link);
    conn->flags = 0;
    TAILQ_INSERT_HEAD(&tcp->free, conn, wait_link);
    tcp->n_conns--;
}

void tcp_conn_kill(struct hg_tcp_conn *conn, int error)
{
    struct hg_tcp *tcp = conn->tcp;

    if (conn->state == TCP_ST_SYN_RECEIVED && !(conn->flags & TCP_F_ACTIVE))
        tcp->n_half_open--;
    if (conn->flags & TCP_F_ON_OUT) {
        TAILQ_REMOVE(&tcp->out, conn, out_link);
        tcp->n_out--;
    }
    if (conn->flags & TCP_F_ON_TIME_WAIT) {
        TAILQ_REMOVE(&tcp->time_wait, conn, wait_link);
        tcp->n_time_wait--;
    }
    tcp_open_told(conn);
    tcp_close_adopt(conn);
    conn->flags &= ~(TCP_F_ON_OUT | TCP_F_ON_TIME_WAIT);
    tcp_trace(conn, TCP_TR_STATE, conn->state, TCP_ST_CLOSED);
    if (error)
        tcp_trace(conn, TCP_TR_ERROR, (uint32_t)-error, 0);
    conn->state = TCP_ST_CLOSED;
    if (error)
        conn->error = error;
    table_remove(tcp, conn);
    hg_wheel_stop(&tcp->wheel, &conn->timer);
    tcp_sndq_drop(conn);
    tcp_ooo_drop(conn);
    tcp_budget_release(conn);
    if ((conn->flags & TCP_F_OWNED) && !(conn->flags & TCP_F_RELEASED))
        tcp_event(conn, HG_TCP_EV_CLOSED);
    else
        tcp_conn_free(conn);
}
