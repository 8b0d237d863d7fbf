/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ICMP reports about a connection (RFC 5927, RFC 5461, RFC 1191). Anybody can send an ICMP
 * message, so it counts only if it quotes a sequence number that is in flight, and even then it
 * never ends a connection that stands.
 */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <errno.h>

#define MSS_FLOOR 536u /* smallest that an ICMP message may talk us into: MTU 576 */

/* RFC 792 and RFC 1812 5.2.7.1: codes of "destination unreachable" that retrying does not cure. */
static bool is_hard(uint8_t code)
{
    return code == 2 || code == 3 || code == 9 || code == 10 || code == 13;
}

static void unreachable(struct hg_tcp_conn *conn, uint8_t code)
{
    bool opening = conn->state == TCP_ST_SYN_SENT || conn->state == TCP_ST_SYN_RECEIVED;
    int error = code == 2 || code == 3 ? -ECONNREFUSED : -EHOSTUNREACH;

    if (opening && is_hard(code))
        tcp_conn_kill(conn, error);
    else
        conn->soft_error = error;
}

static void too_big(struct hg_tcp_conn *conn, uint16_t mtu)
{
    unsigned headers = hg_ip_is_v4(&conn->flow.remote) ? 40 : 60;
    uint32_t mss = mtu > headers + MSS_FLOOR ? mtu - headers : MSS_FLOOR;

    if (mss >= conn->snd_mss)
        return;
    conn->snd_mss = mss;
    if (conn->state < TCP_ST_ESTABLISHED)
        return;
    /* What is in flight was dropped for its size, not for congestion: sent again at once in smaller
     * pieces, without shrinking the window (RFC 1191 6.4). */
    tcp_sent_lose_all(&conn->sent);
    conn->flags |= TCP_F_FORCE_RTX;
    tcp_output_want(conn);
}

void tcp_icmp_input(struct hg_tcp *tcp, const struct hg_seg *seg)
{
    uint32_t hash = tcp_flow_hash(tcp->cfg.secret, &seg->flow);
    struct hg_tcp_conn *conn = tcp_table_find(tcp, &seg->flow, hash);

    if (!conn || !seq_within(seg->quoted_seq, conn->snd_una, conn->snd_nxt))
        return;
    if (seg->kind == HG_SEG_TOO_BIG)
        too_big(conn, seg->mtu);
    else
        unreachable(conn, seg->icmp_code);
}
