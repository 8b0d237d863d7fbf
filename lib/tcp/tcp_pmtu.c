/* SPDX-License-Identifier: BSD-3-Clause */
/* Path MTU: see tcp_pmtu.h. */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <string.h>

#define BLACK_HOLE_TRIES 2u    /* time-outs in a row that make us try smaller segments */
#define BASE_MTU 1280u         /* RFC 8899 5.1.2: BASE_PLPMTU, and what every IPv6 link takes */
#define LEAST_MTU4 576u        /* RFC 1122 3.3.3: what an IPv4 host takes */
#define LEAST_MSS 536u         /* what an ICMP message may talk us into */
#define SEARCH_STEP 16u        /* a search ends when less is to be gained */
#define SEARCH_AFTER HG_SEC(2) /* a black hole was left: the connection runs again first */
#define PROBE_FLIGHT 8u        /* segments' worth of window and data that a probe needs */
#define PROBES_MAX 3u          /* RFC 8899 5.1.2: MAX_PROBES */

static unsigned headers(const struct hg_ip *remote)
{
    return hg_ip_is_v4(remote) ? 40 : 60;
}

static unsigned place_of(const struct hg_tcp *tcp, const struct hg_flow *flow)
{
    const struct hg_ip pair[2] = {flow->local, flow->remote};

    return tcp_siphash(tcp->cfg.secret, pair, sizeof pair) % TCP_PMTU_CACHE;
}

uint16_t tcp_pmtu_get(const struct hg_tcp *tcp, const struct hg_flow *flow)
{
    uint16_t mtu = tcp->env.mtu(tcp->env.arg, flow);
    const struct tcp_pmtu_entry *e;

    if (!tcp->n_pmtu)
        return mtu;
    e = &tcp->pmtu[place_of(tcp, flow)];
    bool known = e->expires > tcp->now && hg_ip_equal(&e->remote, &flow->remote) &&
                 hg_ip_equal(&e->local, &flow->local);
    return known && e->mtu < mtu ? e->mtu : mtu;
}

static void remember(struct hg_tcp_conn *conn)
{
    struct hg_tcp *tcp = conn->tcp;
    struct tcp_pmtu_entry *e = &tcp->pmtu[place_of(tcp, &conn->flow)];

    tcp->n_pmtu += !e->expires;
    *e = (struct tcp_pmtu_entry){.local = conn->flow.local,
                                 .remote = conn->flow.remote,
                                 .expires = tcp->now + TCP_PMTU_RAISE,
                                 .mtu = (uint16_t)(conn->snd_mss + headers(&conn->flow.remote))};
}

/* Smaller segments from now on; what is in flight was too large, which is no congestion. */
static void shrink(struct hg_tcp_conn *conn, uint32_t mss, hg_ns next)
{
    struct tcp_pmtu *p = &conn->pmtu;

    if (!p->high)
        p->top = (uint16_t)conn->snd_mss;
    p->high = p->top;
    p->probe = p->fails = 0;
    p->next = conn->tcp->now + next;
    tcp_trace(conn, TCP_TR_MSS, conn->snd_mss, mss);
    conn->snd_mss = mss;
    remember(conn);
    p->excused = (struct tcp_block){conn->snd_una, conn->snd_nxt};
}

void tcp_pmtu_too_big(struct hg_tcp_conn *conn, uint16_t mtu)
{
    unsigned head = headers(&conn->flow.remote);
    uint32_t mss = mtu > head + LEAST_MSS ? mtu - head : LEAST_MSS;

    tcp_trace(conn, TCP_TR_TOO_BIG, mtu, 0);
    if (mss >= conn->snd_mss)
        return;
    conn->tcp->count.pmtu_reduced++;
    shrink(conn, mss, TCP_PMTU_RAISE);
    if (conn->state < TCP_ST_ESTABLISHED)
        return;
    tcp_sent_lose_all(&conn->sent);
    conn->flags |= TCP_F_FORCE_RTX;
    tcp_output_want(conn);
}

/* The search goes on below `high`, or is over. */
static void search_on(struct hg_tcp_conn *conn, uint32_t high)
{
    struct tcp_pmtu *p = &conn->pmtu;

    p->probe = p->fails = 0;
    p->high = (uint16_t)high;
    if (high >= conn->snd_mss + SEARCH_STEP)
        return;
    remember(conn);
    p->high = conn->snd_mss < p->top ? p->top : 0;
    p->next = conn->tcp->now + TCP_PMTU_RAISE;
}

/* The probe was lost, or what it carried went again so that nobody will know. */
static void probe_failed(struct hg_tcp_conn *conn)
{
    struct tcp_pmtu *p = &conn->pmtu;

    if (++p->fails >= PROBES_MAX)
        search_on(conn, p->probe - 1u);
    p->probe = 0;
}

void tcp_pmtu_timeout(struct hg_tcp_conn *conn)
{
    unsigned head = headers(&conn->flow.remote);
    bool full = conn->snd_nxt - conn->snd_una >= tcp_mss(conn);
    uint32_t mss = conn->snd_mss;

    if (conn->pmtu.probe) { /* all stands still: that says little of the probe (RFC 4821 7.6.2) */
        probe_failed(conn);
        if (conn->pmtu.next < conn->tcp->now + SEARCH_AFTER)
            conn->pmtu.next = conn->tcp->now + SEARCH_AFTER;
    }
    if (conn->tries < BLACK_HOLE_TRIES || !full)
        return;
    if (mss > BASE_MTU - head)
        mss = BASE_MTU - head;
    else if (hg_ip_is_v4(&conn->flow.remote) && mss > LEAST_MTU4 - head &&
             conn->tries >= 2 * BLACK_HOLE_TRIES)
        mss = LEAST_MTU4 - head;
    else
        return;
    conn->tcp->count.pmtu_black_holes++;
    shrink(conn, mss, SEARCH_AFTER);
    if (conn->undo.armed) /* what the time-outs took for congestion */
        conn->cc.ssthresh = conn->undo.ssthresh;
}

void tcp_pmtu_acked(struct hg_tcp_conn *conn)
{
    struct tcp_pmtu *p = &conn->pmtu;

    if (p->excused.lo == p->excused.hi || seq_lt(conn->snd_una, p->excused.hi))
        return;
    p->excused.lo = p->excused.hi = 0;
    if (!p->probe)
        return;
    tcp_trace(conn, TCP_TR_MSS, conn->snd_mss, p->probe);
    conn->snd_mss = p->probe;
    search_on(conn, p->high);
}

uint32_t tcp_pmtu_lost(struct hg_tcp_conn *conn)
{
    struct tcp_pmtu *p = &conn->pmtu;

    if (likely(p->excused.lo == p->excused.hi))
        return conn->sent.lost;
    uint32_t excused = tcp_sent_lost_in(&conn->sent, p->excused);
    if (excused && p->probe)
        probe_failed(conn);
    return conn->sent.lost - excused;
}

void tcp_pmtu_sent_again(struct hg_tcp_conn *conn, struct tcp_block blk)
{
    const struct tcp_pmtu *p = &conn->pmtu;

    if (p->probe && seq_lt(blk.lo, p->excused.hi) && seq_gt(blk.hi, p->excused.lo))
        probe_failed(conn);
}

uint32_t tcp_pmtu_probe_len(const struct hg_tcp_conn *conn, uint32_t unsent)
{
    const struct tcp_pmtu *p = &conn->pmtu;
    uint32_t options = conn->snd_mss - tcp_mss(conn);
    /* An outage looks like a black hole, too: the largest size first. */
    uint32_t size = p->high == p->top ? p->top : (conn->snd_mss + p->high + 1) / 2;

    if (likely(!p->high) || p->probe || conn->tcp->now < p->next || conn->cc.phase != TCP_CC_OPEN ||
        conn->sent.lost || p->excused.lo != p->excused.hi)
        return 0;
    /* 4821 7.1: enough behind it that its loss is seen without a time-out. */
    if (unsent < PROBE_FLIGHT * size || conn->cc.cwnd < PROBE_FLIGHT * size)
        return 0;
    return size - options;
}

void tcp_pmtu_probe_sent(struct hg_tcp_conn *conn, struct tcp_block blk)
{
    conn->pmtu.probe = (uint16_t)(blk.hi - blk.lo + conn->snd_mss - tcp_mss(conn));
    conn->pmtu.excused = blk;
    conn->tcp->count.pmtu_probes++;
}
