/* SPDX-License-Identifier: BSD-3-Clause */
/* The checked calls in front of every port implementation. */
#include <headgate/port.h>
#include <assert.h>
#include <rte_branch_prediction.h>
#include <stdatomic.h>

static struct hg_port_watch *watch_of(struct hg_port *port)
{
    return atomic_load_explicit(&port->watch, memory_order_acquire);
}

uint16_t hg_port_rx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t max)
{
    struct hg_port_watch *watch = watch_of(port);
    uint16_t n;

    assert(queue < port->n_queues);
    n = port->ops->rx(port, queue, pkts, max);
    assert(n <= max);
    if (unlikely(watch != NULL) && n != 0)
        watch->rx(watch, queue, pkts, n);
    return n;
}

uint16_t hg_port_tx(struct hg_port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
    struct hg_port_watch *watch = watch_of(port);
    uint16_t taken;

    assert(queue < port->n_queues);
    if (unlikely(watch != NULL))
        watch->tx(watch, queue, pkts, n); /* before: afterwards they are the port's */
    taken = port->ops->tx(port, queue, pkts, n);
    assert(taken <= n);
    if (unlikely(watch != NULL))
        watch->sent(watch, queue, taken);
    return taken;
}

void hg_port_watch(struct hg_port *port, struct hg_port_watch *watch)
{
    atomic_store_explicit(&port->watch, watch, memory_order_release);
}

bool hg_port_link_up(struct hg_port *port, uint16_t queue)
{
    assert(queue < port->n_queues);
    return port->ops->link_up(port, queue);
}

void hg_port_close(struct hg_port *port)
{
    if (port != NULL)
        port->ops->close(port);
}
