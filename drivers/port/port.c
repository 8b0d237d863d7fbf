/* SPDX-License-Identifier: BSD-3-Clause */
/* The checked calls in front of every port implementation. */
#include <headgate/port.h>
#include <assert.h>

uint16_t hg_port_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max)
{
    uint16_t n;

    assert(queue < port->n_queues);
    n = port->ops->rx(port, queue, pkts, max);
    assert(n <= max);
    return n;
}

uint16_t hg_port_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    uint16_t taken;

    assert(queue < port->n_queues);
    taken = port->ops->tx(port, queue, pkts, n);
    assert(taken <= n);
    return taken;
}

void hg_port_close(struct hg_port *port)
{
    if (port != NULL)
        port->ops->close(port);
}
