/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node tells about itself, as JSON. Control thread only. The caller owns what is returned.
 */
#ifndef HG_APP_REPORT_H
#define HG_APP_REPORT_H

#include "node.h"
#include <jansson.h>

json_t *report_volumes(struct node *node);
json_t *report_stats(struct node *node); /* counters of every shard, and their help */
json_t *report_conns(struct node *node);
/* The last events of the connection with peer ("192.0.2.2:40000"), or an error. */
json_t *report_trace(struct node *node, const char *peer);
json_t *report_pool(struct node *node);
json_t *report_devices(struct node *node);

#endif /* HG_APP_REPORT_H */
