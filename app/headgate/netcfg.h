/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections [port] to [port3] of a profile as lib/net wants them. */
#ifndef HG_APP_NETCFG_H
#define HG_APP_NETCFG_H

#include "config.h"
#include <headgate/net.h>

/* How many ports the node has: those from [port] on that have a device or a vdev. */
unsigned netcfg_ports(const struct config *cfg);
/* The section of port n < HG_SHARD_PORTS_MAX: "port", "port1", ... */
const char *netcfg_section(unsigned n);
/* The DPDK name of a port's device. */
void netcfg_device(const struct config_port *port, char out[CFG_TEXT_MAX]);

/* Takes the blanks off both ends, the latter in place. */
char *netcfg_strip(char *text);

/* Fills addresses, gateways, routes, VLAN and the like of *out; the rest of it is zero. -EINVAL and a
 * sentence that names section and key. What needs to be seen together (a gateway off the link) is checked
 * by hg_net_create(). */
int netcfg_parse(const struct config_port *port, const char *section, struct hg_net_cfg *out,
                 struct hg_err *err);

/* All ports: each by itself, no gap between them, no device and no address on two. 0 or -EINVAL. */
int netcfg_check(const struct config *cfg, struct hg_err *err);

#endif /* HG_APP_NETCFG_H */
