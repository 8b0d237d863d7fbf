/* SPDX-License-Identifier: BSD-3-Clause */
/* Making and unmaking a stack; its turn. */
#include "stack_priv.h"
#include <assert.h>
#include <errno.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NET_POLL HG_MS(100) /* hg_net_poll() wants it that often */
#define ROUNDS_MAX 64       /* of input per run; a full queue is half as many bursts */
#define DATA_ROOM (RTE_PKTMBUF_HEADROOM + 2048u)
#define HDR_ROOM (RTE_PKTMBUF_HEADROOM + HG_NET_HEADROOM + 64)

static int fill_cfg(struct hg_stack_cfg *cfg, struct hg_err *err)
{
    static const uint8_t mac[6] = {0x02, 0, 0, 0, 0, 0x01}, none[6];

    if (cfg->mtu == 0)
        cfg->mtu = 1500;
    if (cfg->mtu < 68 || cfg->mtu > 9216)
        return hg_fail(err, -EINVAL, "stack: an MTU of %u; 68 to 9216 are allowed", cfg->mtu);
    if (memcmp(cfg->mac, none, sizeof none) == 0)
        memcpy(cfg->mac, mac, sizeof mac);
    if (cfg->bufs == 0)
        cfg->bufs = 4096;
    if (cfg->tcp.conns_max == 0)
        cfg->tcp.conns_max = 256;
    if (cfg->tcp.rcv_low == 0)
        cfg->tcp.rcv_low = 8u << 10;
    if (cfg->tcp.snd_buf == 0)
        cfg->tcp.snd_buf = 256u << 10;
    if (cfg->tcp.rcv_mem_max == 0) /* a quarter stays for what is on its way through */
        cfg->tcp.rcv_mem_max = (uint64_t)cfg->bufs * cfg->mtu / 4 * 3;
    return 0;
}

static struct rte_mempool *pool_make(const struct hg_stack *stack, const char *what, unsigned n,
                                     unsigned room)
{
    char name[RTE_MEMPOOL_NAMESIZE];

    snprintf(name, sizeof name, "%s%p", what, (const void *)stack); /* one of its own */
    return rte_pktmbuf_pool_create(name, n, 0, 0, (uint16_t)room, SOCKET_ID_ANY);
}

static int make_pools(struct hg_stack *stack, struct hg_err *err)
{
    const struct hg_stack_cfg *cfg = &stack->cfg;

    stack->rx_pool = pool_make(stack, "rx", cfg->bufs,
                               RTE_PKTMBUF_HEADROOM + RTE_ETHER_HDR_LEN + cfg->mtu + 64u);
    stack->data_pool = pool_make(stack, "data", cfg->bufs, DATA_ROOM);
    stack->hdr_pool = pool_make(stack, "hdr", cfg->bufs, HDR_ROOM);
    stack->clone_pool = pool_make(stack, "clone", 2 * cfg->bufs, 0);
    stack->n_socks = cfg->tcp.conns_max + HG_TCP_LISTENERS_MAX;
    stack->socks = calloc(stack->n_socks, sizeof *stack->socks);
    if (stack->rx_pool == NULL || stack->data_pool == NULL || stack->hdr_pool == NULL ||
        stack->clone_pool == NULL || stack->socks == NULL)
        return hg_fail(err, -ENOMEM, "stack: %u packet buffers: %s; give EAL more memory",
                       cfg->bufs, rte_strerror(rte_errno));
    return 0;
}

/* ---- the two layers ---- */

static void env_emit(void *arg, struct rte_mbuf *m, const struct hg_tx *tx, hg_ns now)
{
    struct hg_stack *stack = arg;

    hg_net_emit(stack->net, m, tx, now);
}

static uint16_t env_mtu(void *arg, const struct hg_flow *flow)
{
    const struct hg_stack *stack = arg;

    return hg_net_mtu(stack->net, &flow->remote);
}

static int make_layers(struct hg_stack *stack, hg_ns now, struct hg_err *err)
{
    const struct hg_tcp_env env = {env_emit, env_mtu, stack};
    struct hg_stack_cfg *cfg = &stack->cfg;
    int rc;

    stack_port_init(&stack->port, cfg, stack->rx_pool);
    cfg->net.port = &stack->port.port;
    cfg->net.queue = 0;
    cfg->net.pool = stack->rx_pool;
    rc = hg_net_create(&cfg->net, now, &stack->net, err);
    if (rc != 0)
        return rc;
    cfg->tcp.hdr_pool = stack->hdr_pool;
    cfg->tcp.clone_pool = stack->clone_pool;
    return hg_tcp_create(&cfg->tcp, &env, now, &stack->tcp, err);
}

int hg_stack_create(const struct hg_stack_cfg *cfg, hg_ns now, struct hg_stack **out,
                    struct hg_err *err)
{
    struct hg_stack *stack = calloc(1, sizeof *stack);
    int rc;

    *out = NULL;
    if (stack == NULL)
        return hg_fail(err, -ENOMEM, "stack: out of memory");
    stack->cfg = *cfg;
    stack->now = now;
    rc = fill_cfg(&stack->cfg, err);
    if (rc == 0)
        rc = make_pools(stack, err);
    if (rc == 0) {
        stack_sock_init(stack);
        rc = make_layers(stack, now, err);
    }
    if (rc != 0) {
        hg_stack_destroy(stack);
        return rc;
    }
    *out = stack;
    return 0;
}

void hg_stack_destroy(struct hg_stack *stack)
{
    struct rte_mempool *pools[4];

    if (stack == NULL)
        return;
    pools[0] = stack->clone_pool;
    pools[1] = stack->hdr_pool;
    pools[2] = stack->data_pool;
    pools[3] = stack->rx_pool;
    hg_tcp_destroy(stack->tcp);
    hg_net_destroy(stack->net);
    stack_port_fini(&stack->port);
    free(stack->socks);
    for (unsigned i = 0; i < HG_ARRAY_LEN(pools); i++) {
        assert(pools[i] == NULL || rte_mempool_in_use_count(pools[i]) == 0);
        rte_mempool_free(pools[i]);
    }
    free(stack);
}

/* ---- packets and time ---- */

int hg_stack_input(struct hg_stack *stack, const void *packet, size_t len)
{
    return stack_port_put(&stack->port, packet, len);
}

ssize_t hg_stack_output(struct hg_stack *stack, void *packet, size_t cap)
{
    return stack_port_take(&stack->port, packet, cap);
}

/* One burst; false when none came. */
static bool input_burst(struct hg_stack *stack)
{
    struct rte_mbuf *pkts[HG_PORT_BURST];
    struct hg_seg segs[HG_PORT_BURST];
    uint16_t n = hg_port_rx(&stack->port.port, 0, pkts, HG_PORT_BURST);
    unsigned n_segs = hg_net_input(stack->net, pkts, n, stack->now, segs);

    hg_tcp_input(stack->tcp, segs, n_segs, stack->now);
    return n != 0;
}

/* What net answers may let packets out that waited, and in raw mode bring answers in. */
void hg_stack_run(struct hg_stack *stack, hg_ns now)
{
    stack->now = now;
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        bool came = input_burst(stack);

        stack_sock_events(stack);
        hg_tcp_poll(stack->tcp, now);
        hg_net_poll(stack->net, now);
        hg_net_flush(stack->net);
        if (!came && stack->port.in.n == 0)
            break;
    }
    stack_sock_events(stack);
}

hg_ns hg_stack_next(const struct hg_stack *stack)
{
    hg_ns tcp = hg_tcp_next(stack->tcp), net = stack->now + NET_POLL;

    if (stack->port.in.n != 0)
        return stack->now;
    return tcp != 0 && tcp < net ? tcp : net;
}

void hg_stack_counters(const struct hg_stack *stack, struct hg_counter_set out[2])
{
    out[0] = hg_net_counter_set(stack->net);
    out[1] = hg_tcp_counter_set(stack->tcp);
}
