/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much each connection may be promised, so that what all peers together may send fits into the
 * packet buffers of this stack.
 *
 * A window is a promise: its bytes may arrive at any time. Promises are summed, and no window goes
 * beyond what the sum and the buffers held leave free. That alone would favour whoever came first,
 * so there is a level that no connection's window and unread data together exceed. Once per era it
 * is set so that this fits for all that were active.
 *
 * Idle connections keep their promise but do not count: thousands of them would leave nothing for
 * the busy ones. If they all wake at once the bound of tcp_rxq.c drops data and TCP recovers.
 *
 * Invariants: (1) era[k].promised is the sum over the connections whose budget_era is era_now - k,
 * and .active their number, for k = 0, 1; older ones are in no sum. (2) Until the memory
 * is really full, a connection may always have cfg.rcv_low bytes unread and promised together: with
 * less a service that needs a whole TLS record to go on would wait for ever.
 */
#include "tcp_priv.h"

#include <string.h>

#define ERA                                                                                        \
    HG_MS(200) /* a connection that had no segment of ours for one to two of these is idle */

/* A byte of payload occupies one and a half of buffer memory: 1448 of 2176. */
static uint64_t cost(uint64_t bytes)
{
    return bytes + bytes / 2;
}

static uint64_t payload(uint64_t memory)
{
    return memory / 3 * 2;
}

static void forget(struct hg_tcp_conn *conn)
{
    uint32_t age = conn->tcp->era_now - conn->budget_era;

    if (age < 2) {
        conn->tcp->era[age].promised -= conn->promised;
        conn->tcp->era[age].active -= conn->counted;
    }
    conn->promised = 0;
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
    tcp->era[0].promised += conn->promised;
    tcp->era[0].active++;
}

void tcp_budget_release(struct hg_tcp_conn *conn)
{
    forget(conn);
}

/* An eighth of the memory stays for connections that come in the meantime. */
static void set_level(struct hg_tcp *tcp)
{
    uint64_t fits = payload(tcp->cfg.rcv_mem_max) / 8 * 7;
    uint32_t active = tcp->era[0].active + tcp->era[1].active;
    uint64_t share = fits / (active ? active : 1);

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

uint32_t tcp_budget_window(const struct hg_tcp_conn *conn)
{
    const struct hg_tcp *tcp = conn->tcp;
    uint64_t max = tcp->cfg.rcv_mem_max;
    uint64_t others = tcp->era[0].promised + tcp->era[1].promised;
    uint32_t wnd = tcp->level > conn->rxq_bytes ? tcp->level - conn->rxq_bytes : 0;
    uint32_t low = tcp->cfg.rcv_low > conn->rxq_bytes ? tcp->cfg.rcv_low - conn->rxq_bytes : 0;
    uint64_t used, room;

    if (tcp->era_now - conn->budget_era < 2)
        others -= conn->promised;
    used = tcp->rx_mem + cost(others);
    room = used < max ? payload(max - used) : 0;
    if (room < low && tcp->rx_mem < max)
        room = low;
    return wnd < room ? wnd : (uint32_t)room;
}
