/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the machine's nodes come in: before EAL runs libnuma tells the node of a CPU, afterwards EAL tells those
 * of its threads and ports. What follows from it is placement.c's, which is pure.
 */
#include "memory.h"
#include "netcfg.h"
#include "node.h"
#include "placement.h"
#include <headgate/log.h>
#include <headgate/units.h>
#include <inttypes.h>
#include <numa.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <string.h>

/* ---- before EAL ---- */

static bool several_nodes(void)
{
    return numa_available() >= 0 && numa_num_configured_nodes() > 1;
}

static int node_of_cpu(void *arg, unsigned cpu)
{
    (void)arg;
    return numa_node_of_cpu((int)cpu);
}

static int node_of_device(void *arg, const char *addr)
{
    char path[128];
    int node = -1;
    FILE *f;

    (void)arg;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", addr);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    if (fscanf(f, "%d", &node) != 1)
        node = -1;
    fclose(f);
    return node;
}

void place_memory(const struct config *cfg, char out[PLACE_MEMORY_TEXT])
{
    const struct memory_where where = {node_of_cpu, node_of_device, NULL};
    uint64_t bytes[MEMORY_NODES];
    int nodes = 0;
    size_t len = 0;

    out[0] = '\0';
    if (!cfg->huge || !several_nodes() || !memory_by_node(cfg, &where, bytes))
        return;
    for (int node = 0; node < MEMORY_NODES; node++)
        nodes = bytes[node] != 0 ? node + 1 : nodes;
    for (int node = 0; node < nodes && len < PLACE_MEMORY_TEXT; node++)
        len += (size_t)snprintf(out + len, PLACE_MEMORY_TEXT - len, "%s%" PRIu64,
                                node == 0 ? "" : ",", (bytes[node] + (1 << 20) - 1) >> 20);
}

void place_prefer(int socket)
{
    if (!several_nodes())
        return;
    if (socket == SOCKET_ID_ANY)
        numa_set_localalloc();
    else
        numa_set_preferred(socket);
}

/* ---- with EAL ---- */

/* Threads of EAL are numbered from 1 in the order of the shards (lcore_plan()). */
int place_shard(const struct node *node, unsigned i)
{
    if (!node->cfg.pin || rte_socket_count() < 2)
        return SOCKET_ID_ANY;
    return (int)rte_lcore_to_socket_id(i + 1);
}

static int port_node(const struct node *node, unsigned n)
{
    char device[CFG_TEXT_MAX];
    uint16_t id;

    netcfg_device(&node->cfg.ports[n], device);
    return rte_eth_dev_get_port_by_name(device, &id) == 0 ? rte_eth_dev_socket_id(id) : -1;
}

static void warn(void *arg, unsigned dev, const char *sentence)
{
    (void)arg;
    (void)dev;
    hg_log(HG_LOG_WARN, "node",
           "%s: all it moves crosses between nodes; headgatectl doctor names "
           "CPUs beside it",
           sentence);
}

/* Of shard i, by the profile: EAL tells the CPU that has the thread's number. */
static unsigned shard_cpu(const struct config *cfg, unsigned i)
{
    char list[CFG_TEXT_MAX], *rest = list, *item;
    uint64_t cpu = 0;

    snprintf(list, sizeof list, "%s", cfg->shard_cpus);
    for (unsigned n = 0; (item = strsep(&rest, ",")) != NULL && n <= i; n++)
        if (hg_units_count(netcfg_strip(item), &cpu) != 0)
            cpu = 0;
    return (unsigned)cpu;
}

void place_warn(struct node *node)
{
    struct placement_dev devs[HG_SHARD_PORTS_MAX + HG_POOL_DEVICES_MAX];
    struct placement_shard shards[HG_STORE_SHARDS_MAX];
    struct placement p = {.devs = devs, .shards = shards};
    struct hg_bdev_info info;

    for (; p.n_shards < node->n_shards; p.n_shards++)
        shards[p.n_shards] = (struct placement_shard){shard_cpu(&node->cfg, p.n_shards),
                                                      place_shard(node, p.n_shards)};
    for (unsigned i = 0; i < node->n_ports; i++)
        devs[p.n_devs++] =
            (struct placement_dev){"port", node->ports[i].port->name, port_node(node, i)};
    for (unsigned i = 0; i < node->n_devs; i++) {
        hg_bdev_info(node->devs[i], &info);
        devs[p.n_devs++] = (struct placement_dev){"device", node->devs[i]->name, info.numa_node};
    }
    placement_judge(&p, warn, NULL);
}
