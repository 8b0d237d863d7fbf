/* SPDX-License-Identifier: BSD-3-Clause */
/* How much EAL memory a profile takes. */
#ifndef HG_APP_MEMORY_H
#define HG_APP_MEMORY_H

#include "config.h"

/* Bytes that pools and buffers of one shard take. Pages never touched cost nothing. */
uint64_t memory_shard(const struct config *cfg);

/* Shards of the profile: CPUs in [cpu] shards. */
unsigned memory_shards(const struct config *cfg);
/* All of it: what [eal] memory says, or else what the profile needs. */
uint64_t memory_total(const struct config *cfg);

#define MEMORY_NODES 64    /* NUMA nodes, by number */
#define MEMORY_PCI_ADDR 20 /* "0000:03:00.0" and NUL; domains of VMD have more digits */

/* The NUMA node of things; -1: not told. */
struct memory_where {
    int (*cpu)(void *arg, unsigned cpu);
    int (*device)(void *arg, const char *addr); /* a PCI address in its long form */
    void *arg;
};

/* Bytes on each node: of shards on their CPU's, of EAL and control on theirs, of a device's rings on the device's
 * (on control's where it is not told), which [eal] memory does not count. Without [cpu] pin, or when a CPU's node
 * is not told, all is on the first node, and false is returned: it is anywhere. */
bool memory_by_node(const struct config *cfg, const struct memory_where *where,
                    uint64_t bytes[MEMORY_NODES]);

/* The PCI address in what a profile calls a device ("03:00.0", "nvme:0000:03:00.0/ns=2"), in its long form;
 * false: there is none. */
bool memory_pci_address(const char *text, char addr[MEMORY_PCI_ADDR]);

#endif /* HG_APP_MEMORY_H */
