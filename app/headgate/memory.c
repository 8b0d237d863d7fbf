/* SPDX-License-Identifier: BSD-3-Clause */
/* See memory.h. */
#include "memory.h"
#include "netcfg.h"
#include <rte_common.h>

#define PORT_SLACK (UINT64_C(4) << 20)   /* rings, neighbours and fragments of a shard on a port */
#define SHARD_SLACK (UINT64_C(32) << 20) /* rings and drivers */
#define TEST_MBUFS (UINT64_C(8) << 10)

static uint64_t port_bytes(const struct config *cfg, const struct config_port *p)
{
    uint64_t mbuf = p->rx_buffer + 512;

    return p->rx_mbufs * (cfg->huge ? mbuf : RTE_ALIGN_CEIL(mbuf, 4096)) + PORT_SLACK;
}

/* Without hugepages no packet buffer crosses a 4 KiB page, so one of 2 KiB takes a page. */
uint64_t memory_shard(const struct config *cfg)
{
    uint64_t mbuf = cfg->huge ? 2560 : 4096;
    uint64_t tx = cfg->connections * 8 < 8192 ? 8192 : cfg->connections * 8;
    uint64_t bytes = tx * mbuf + 4 * tx * 768 + cfg->buffers + SHARD_SLACK;

    for (unsigned i = 0; i < netcfg_ports(cfg); i++)
        bytes += port_bytes(cfg, &cfg->ports[i]);
    if (cfg->test_services)
        bytes += TEST_MBUFS * (mbuf + 2 * 768);
    return bytes;
}

unsigned memory_shards(const struct config *cfg)
{
    unsigned n = 1;

    for (const char *p = cfg->shard_cpus; *p != '\0'; p++)
        n += *p == ',';
    return n;
}

uint64_t memory_total(const struct config *cfg)
{
    if (cfg->memory != 0)
        return cfg->memory;
    return memory_shards(cfg) * memory_shard(cfg) + MEMORY_NODE;
}
