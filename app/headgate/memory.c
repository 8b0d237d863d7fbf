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

/* Beside devices, on their nodes: a port's rings, with what pages are rounded up to; of an NVMe controller
 * what it has at all, and for each shard its rings, bounce buffers and a page of addresses for each request. */
#define PORT_RINGS (UINT64_C(16) << 20)
#define NVME_SELF (UINT64_C(4) << 20)
#define NVME_CHANNEL (UINT64_C(2) << 20)
#define NVME_REQUEST 4096u

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

/* Of device i of the pool, for all shards. */
static uint64_t device_bytes(const struct config *cfg, unsigned i)
{
    if (strncmp(cfg->devices[i], "nvme:", 5) != 0)
        return 0;
    return NVME_SELF + memory_shards(cfg) * (NVME_CHANNEL + cfg->depth * NVME_REQUEST);
}

/* Without what is beside devices. */
static uint64_t own_bytes(const struct config *cfg)
{
    return cfg->memory != 0 ? cfg->memory : memory_shards(cfg) * memory_shard(cfg) + NODE;
}

uint64_t memory_total(const struct config *cfg)
{
    uint64_t bytes = own_bytes(cfg);

    for (unsigned i = 0; cfg->memory == 0 && i < config_devices(cfg); i++)
        bytes += device_bytes(cfg, i);
    return bytes;
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

/* On the node of the device that `text` names, else on `other`. */
static void add_device(const struct memory_where *where, const char *text, uint64_t device,
                       uint64_t bytes[MEMORY_NODES], int other)
{
    char addr[MEMORY_PCI_ADDR];
    int node = memory_pci_address(text, addr) ? where->device(where->arg, addr) : -1;

    bytes[node >= 0 && node < MEMORY_NODES ? node : other] += device;
}

bool memory_by_node(const struct config *cfg, const struct memory_where *where,
                    uint64_t bytes[MEMORY_NODES])
{
    uint64_t total = own_bytes(cfg), own = total / 4 < NODE ? total / 4 : NODE;
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
        bytes[0] = memory_total(cfg);
        return false;
    }
    bytes[control] += own;
    for (unsigned i = 0; i < netcfg_ports(cfg); i++)
        if (cfg->ports[i].device[0] != '\0')
            add_device(where, cfg->ports[i].device, PORT_RINGS, bytes, control);
    for (unsigned i = 0; i < config_devices(cfg); i++)
        add_device(where, cfg->devices[i], device_bytes(cfg, i), bytes, control);
    return true;
}
