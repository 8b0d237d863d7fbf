/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports of a shard below its one TCP. A connection belongs to the port that has its local address:
 * what it sends leaves there, and nowhere else, so the peer's path back is the one it came on.
 */
#include "shard_priv.h"
#include <assert.h>

#define TCP_HEADER_MOST 60u /* with all options */

int nets_create(struct hg_shard *sh, hg_ns now, struct hg_err *err)
{
    assert(sh->cfg.n_ports >= 1 && sh->cfg.n_ports <= HG_SHARD_PORTS_MAX);
    for (unsigned i = 0; i < sh->cfg.n_ports; i++) {
        struct hg_shard_port *p = &sh->cfg.ports[i];
        int rc;

        p->net.port = p->port;
        p->net.queue = (uint16_t)sh->cfg.id;
        p->net.pool = p->rx_pool;
        rc = hg_net_create(&p->net, now, &sh->nets[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void nets_destroy(struct hg_shard *sh)
{
    for (unsigned i = 0; i < sh->cfg.n_ports; i++)
        if (sh->nets[i] != NULL)
            hg_net_destroy(sh->nets[i]);
}

void nets_tso(const struct hg_shard *sh, struct hg_tcp_cfg *tcp)
{
    uint32_t bytes = UINT32_MAX;
    uint16_t bufs = UINT16_MAX;

    for (unsigned i = 0; i < sh->cfg.n_ports; i++) {
        const struct hg_port *port = sh->cfg.ports[i].port;

        bytes = port->tx_tso < bytes ? port->tx_tso : bytes;
        bufs = port->tx_tso_bufs < bufs ? port->tx_tso_bufs : bufs;
    }
    tcp->tso_max = bytes > TCP_HEADER_MOST ? bytes - TCP_HEADER_MOST : 0;
    tcp->tso_bufs = bufs;
}

/* NULL: the address is gone, as one from router advertisements may be before its connections. */
static struct hg_net *net_of(const struct hg_shard *sh, const struct hg_ip *local)
{
    if (sh->cfg.n_ports == 1)
        return sh->nets[0];
    for (unsigned i = 0; i < sh->cfg.n_ports; i++)
        if (hg_net_has(sh->nets[i], local))
            return sh->nets[i];
    return NULL;
}

void nets_emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct hg_shard *sh = arg;
    struct hg_net *net = net_of(sh, &tx->flow->local);

    if (net == NULL || sh->gone) {
        sh->count.tx_no_port += net == NULL;
        rte_pktmbuf_free(m);
        return;
    }
    hg_net_emit(net, m, tx, now);
}

/* Of an address that is gone nothing is sent; the least is right wherever it comes back. */
uint16_t nets_mtu(void *arg, const struct hg_flow *flow)
{
    const struct hg_shard *sh = arg;
    const struct hg_net *net = net_of(sh, &flow->local);
    uint16_t least = UINT16_MAX;

    if (net != NULL)
        return hg_net_mtu(net, &flow->remote);
    for (unsigned i = 0; i < sh->cfg.n_ports; i++) {
        uint16_t mtu = hg_net_mtu(sh->nets[i], &flow->remote);

        least = mtu < least ? mtu : least;
    }
    return least;
}

static unsigned input(struct hg_shard *sh, unsigned port)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    struct hg_seg segs[HG_PORT_BURST];
    unsigned total = 0;

    for (unsigned i = 0; i < RX_BURSTS_PER_TURN; i++) {
        uint16_t n =
            hg_port_rx(sh->cfg.ports[port].port, (uint16_t)sh->cfg.id, pkts, HG_PORT_BURST);
        unsigned n_segs = hg_net_input(sh->nets[port], pkts, n, sh->now, segs);

        hg_tcp_input(sh->tcp, segs, n_segs, sh->now);
        total += n;
        if (n < HG_PORT_BURST)
            break;
    }
    return total;
}

unsigned nets_input(struct hg_shard *sh)
{
    unsigned total = 0;

    for (unsigned i = 0; i < sh->cfg.n_ports; i++)
        total += input(sh, i);
    return total;
}

void nets_poll(struct hg_shard *sh)
{
    for (unsigned i = 0; i < sh->cfg.n_ports; i++)
        hg_net_poll(sh->nets[i], sh->now);
}

void nets_flush(struct hg_shard *sh)
{
    for (unsigned i = 0; i < sh->cfg.n_ports; i++)
        hg_net_flush(sh->nets[i]);
}

unsigned nets_counter_sets(const struct hg_shard *sh, struct hg_counter_set *sets, unsigned max)
{
    static const char *const areas[] = {"net", "net1", "net2", "net3"};
    unsigned n = 0;

    _Static_assert(HG_ARRAY_LEN(areas) == HG_SHARD_PORTS_MAX, "a name for each");
    for (; n < sh->cfg.n_ports && n < max; n++) {
        sets[n] = hg_net_counter_set(sh->nets[n]);
        sets[n].area = areas[n];
    }
    return n;
}
