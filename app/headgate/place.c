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
#include <numa.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <string.h>

/* ---- before EAL ---- */

static bool several_nodes(void)
{
    return numa_available() >= 0 && numa_num_configured_nodes() > 1;
}

void place_memory(const struct config *cfg, char out[PLACE_MEMORY_TEXT])
{
    struct placement_shard shards[HG_STORE_SHARDS_MAX];
    char list[CFG_TEXT_MAX], *rest = list, *item;
    unsigned n = 0;
    uint64_t cpu;

    out[0] = '\0';
    if (!cfg->huge || !cfg->pin || !several_nodes())
        return;
    snprintf(list, sizeof list, "%s", cfg->shard_cpus);
    while (n < HG_STORE_SHARDS_MAX && (item = strsep(&rest, ",")) != NULL)
        if (hg_units_count(netcfg_strip(item), &cpu) == 0)
            shards[n++] = (struct placement_shard){(unsigned)cpu, numa_node_of_cpu((int)cpu)};
    placement_memory(shards, n, memory_total(cfg), out, PLACE_MEMORY_TEXT);
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

void place_warn(struct node *node)
{
    struct placement_dev devs[HG_SHARD_PORTS_MAX + HG_POOL_DEVICES_MAX];
    struct placement_shard shards[HG_STORE_SHARDS_MAX];
    struct placement p = {.devs = devs, .shards = shards};
    struct hg_bdev_info info;

    for (; p.n_shards < node->n_shards; p.n_shards++)
        shards[p.n_shards] = (struct placement_shard){
            (unsigned)rte_lcore_to_cpu_id((int)p.n_shards + 1), place_shard(node, p.n_shards)};
    for (unsigned i = 0; i < node->n_ports; i++)
        devs[p.n_devs++] =
            (struct placement_dev){"port", node->ports[i].port->name, port_node(node, i)};
    for (unsigned i = 0; i < node->n_devs; i++) {
        hg_bdev_info(node->devs[i], &info);
        devs[p.n_devs++] = (struct placement_dev){"device", node->devs[i]->name, info.numa_node};
    }
    placement_judge(&p, warn, NULL);
}
