/* SPDX-License-Identifier: BSD-3-Clause */
/* See memory.h. */
#include "memory.h"
#include "netcfg.h"
#include <headgate/units.h>
#include <rte_common.h>
#include <stdio.h>
#include <string.h>

#define PORT_SLACK (UINT64_C(4) << 20)   /* rings, neighbours and fragments of a shard on a port */
#define SHARD_SLACK (UINT64_C(32) << 20) /* rings and drivers */
#define TEST_MBUFS (UINT64_C(8) << 10)
#define NODE (UINT64_C(96) << 20) /* EAL's own, and control's: on the node of its CPU */
#define RINGS                                                                                      \
    (UINT64_C(16) << 20) /* of a device, on its node; also for the pages they are rounded up to */

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
    return memory_shards(cfg) * memory_shard(cfg) + NODE;
}

/* ---- by node ---- */

bool memory_pci_address(const char *text, char addr[MEMORY_PCI_ADDR])
{
    unsigned domain = 0, bus, slot, function;
    int end = 0;

    if (strncmp(text, "nvme:", 5) == 0)
        text += 5;
    if (sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 || end == 0) {
        domain = 0;
        if (sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 || end == 0)
            return false;
    }
    if (text[end] != '\0' && text[end] != '/' && text[end] != ',')
        return false;
    snprintf(addr, MEMORY_PCI_ADDR, "%04x:%02x:%02x.%x", domain, bus & 0xff, slot & 0xff,
             function & 0xf);
    return true;
}

static int node_of_cpu(const struct memory_where *where, const char *text)
{
    uint64_t cpu;

    return hg_units_count(text, &cpu) != 0 || cpu > UINT32_MAX
               ? -1
               : where->cpu(where->arg, (unsigned)cpu);
}

static void add_device(const struct memory_where *where, const char *text,
                       uint64_t bytes[MEMORY_NODES])
{
    char addr[MEMORY_PCI_ADDR];
    int node;

    if (!memory_pci_address(text, addr))
        return;
    node = where->device(where->arg, addr);
    if (node >= 0 && node < MEMORY_NODES)
        bytes[node] += RINGS;
}

bool memory_by_node(const struct config *cfg, const struct memory_where *where,
                    uint64_t bytes[MEMORY_NODES])
{
    uint64_t total = memory_total(cfg), own = total / 4 < NODE ? total / 4 : NODE;
    int control = node_of_cpu(where, cfg->control_cpu);
    bool known = cfg->pin && control >= 0 && control < MEMORY_NODES;
    char list[CFG_TEXT_MAX], *rest = list, *item;

    memset(bytes, 0, MEMORY_NODES * sizeof bytes[0]);
    snprintf(list, sizeof list, "%s", cfg->shard_cpus);
    while (known && (item = strsep(&rest, ",")) != NULL) {
        int node = node_of_cpu(where, netcfg_strip(item));

        known = node >= 0 && node < MEMORY_NODES;
        if (known)
            bytes[node] += (total - own) / memory_shards(cfg);
    }
    if (!known) {
        memset(bytes, 0, MEMORY_NODES * sizeof bytes[0]);
        bytes[0] = total;
        return false;
    }
    bytes[control] += own;
    for (unsigned i = 0; i < netcfg_ports(cfg); i++)
        add_device(where, cfg->ports[i].device, bytes);
    for (unsigned i = 0; i < config_devices(cfg); i++)
        if (strncmp(cfg->devices[i], "nvme:", 5) == 0)
            add_device(where, cfg->devices[i], bytes);
    return true;
}
