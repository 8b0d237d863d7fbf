/* SPDX-License-Identifier: BSD-3-Clause */
/* Section [port] of a profile as lib/net wants it. */
#ifndef HG_APP_NETCFG_H
#define HG_APP_NETCFG_H

#include "config.h"
#include <headgate/net.h>

/* Fills addresses, gateways, routes, VLAN and the like of *out; the rest of it is zero. -EINVAL and a
 * sentence that names the key. What needs to be seen together (a gateway off the link) is checked by
 * hg_net_create(). */
int netcfg_parse(const struct config *cfg, struct hg_net_cfg *out, struct hg_err *err);

#endif /* HG_APP_NETCFG_H */
