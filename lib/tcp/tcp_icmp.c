/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ICMP reports about a connection (RFC 5927, RFC 5461, RFC 1191). Anybody can send an ICMP
 * message, so it counts only if it quotes a sequence number that is in flight, and even then it
 * never ends a connection that stands.
 */
#include "tcp_hash.h"
#include "tcp_priv.h"

#include <errno.h>

/* RFC 792 and RFC 1812 5.2.7.1: codes of "destination unreachable" that retrying does not cure. */
static bool is_hard(uint8_t code)
{
    return code == 2 || code == 3 || code == 9 || code == 10 || code == 13;
}

static void unreachable(struct hg_tcp_conn *conn, uint8_t code)
{
    bool opening = conn->state == TCP_ST_SYN_SENT || conn->state == TCP_ST_SYN_RECEIVED;
    int error = code == 2 || code == 3 ? -ECONNREFUSED : -EHOSTUNREACH;

    tcp_trace(conn, TCP_TR_UNREACHABLE, code, 0);
    if (opening && is_hard(code))
        tcp_conn_kill(conn, error);
    else
        conn->soft_error = error;
}

void tcp_icmp_input(struct hg_tcp *tcp, const struct hg_seg *seg)
{
    uint32_t hash = tcp_flow_hash(tcp->cfg.secret, &seg->flow);
    struct hg_tcp_conn *conn = tcp_table_find(tcp, &seg->flow, hash);

    if (!conn && tcp->env.stray && tcp->env.stray(tcp->env.arg, seg))
        return;
    if (!conn || !seq_within(seg->quoted_seq, conn->snd_una, conn->snd_nxt)) {
        tcp->count.rx_icmp_ignored++;
        return;
    }
    if (seg->kind == HG_SEG_TOO_BIG)
        tcp_pmtu_too_big(conn, seg->mtu);
    else
        unreachable(conn, seg->icmp_code);
}
